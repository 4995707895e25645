/*
 * rotate.c - logs of containers have a size: a file that is too large is put aside, older ones are compressed, the
 * oldest go.
 *
 * Looked at every ten seconds while anything runs, as upstream does: a log that is written is no event of ours. A file
 * is renamed and the runtime told to open its name anew; who follows the log notices by itself (logs.c).
 * Source: pkg/kubelet/logs/container_log_manager.go.
 */
#include "kubelet.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <zlib.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "quantity/oquantity.h"

#define PERIOD_NS	(10 * NS_PER_S)
#define PIECE		65536u
#define FILES_SEEN	64u

struct rotator {
	struct kubelet	*k;
	struct orlop_timer *timer;
	int64_t		max_size;
	int64_t		max_files;
	bool		busy;
};

/* One log, on a worker. */
struct turn {
	struct rotator	*r;
	char		*id;
	char		*path;
	char		aside[4300];	/* what it was renamed to; "" not */
	int		err;
};

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in @dir that begin with @base and a dot, sorted: times sort as text. */
static size_t older_files(DIR *dir, const char *base, char *names[], size_t max)
{
	size_t len = strlen(base);
	struct dirent *d;
	size_t n = 0;

	rewinddir(dir);
	while (n < max && (d = readdir(dir)))
		if (!strncmp(d->d_name, base, len) && d->d_name[len] == '.' && (names[n] = omem_strdup(d->d_name)))
			n++;
	qsort(names, n, sizeof(*names), name_cmp);
	return n;
}

static int compress_file(int dir, const char *name)
{
	cleanup_close int in = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char tmp[300];
	char to[300];
	char *buf;
	gzFile gz;
	ssize_t n = -1;
	int out;
	int e = 0;

	if (in < 0 || (size_t)snprintf(tmp, sizeof(tmp), "%s.tmp", name) >= sizeof(tmp))
		return -errno;
	snprintf(to, sizeof(to), "%s.gz", name);
	out = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (out < 0)
		return -errno;
	gz = gzdopen(out, "wb6");
	buf = omem_alloc(PIECE);
	if (!gz || !buf) {
		e = -ENOMEM;
		if (!gz)
			close(out);
	}
	while (!e && (n = read(in, buf, PIECE)) > 0)
		if (gzwrite(gz, buf, (unsigned int)n) != n)
			e = -EIO;
	if (n < 0 && !e)
		e = -EIO;
	omem_free(buf);
	if (gz && gzclose(gz) != Z_OK && !e)
		e = -EIO;
	if (!e && renameat(dir, tmp, dir, to))
		e = -errno;
	(void)unlinkat(dir, e ? tmp : name, 0);
	return e;
}

static bool ends(const char *s, const char *tail)
{
	size_t n = strlen(s);
	size_t m = strlen(tail);

	return n >= m && !strcmp(s + n - m, tail);
}

/* What is left over of an interrupted turn goes, then the oldest; the rest is compressed. */
static void older_tidy(DIR *dir, const char *base, int64_t keep)
{
	char *names[FILES_SEEN];
	size_t n = older_files(dir, base, names, FILES_SEEN);
	size_t live = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		/* "x" beside "x.gz" has been compressed already */
		bool twice = i + 1 < n && !strncmp(names[i + 1], names[i], strlen(names[i])) &&
			     !strcmp(names[i + 1] + strlen(names[i]), ".gz");

		if (ends(names[i], ".tmp") || twice) {
			(void)unlinkat(dirfd(dir), names[i], 0);
			omem_free(names[i]);
			continue;
		}
		names[live++] = names[i];
	}
	for (i = 0; i < live; i++) {
		if ((int64_t)(live - i) > keep)
			(void)unlinkat(dirfd(dir), names[i], 0);
		else if (!ends(names[i], ".gz"))
			(void)compress_file(dirfd(dir), names[i]);
		omem_free(names[i]);
	}
}

static void turn_work(void *arg)
{
	struct turn *t = arg;
	char *slash = strrchr(t->path, '/');
	struct timespec ts;
	struct stat st;
	struct tm tm;
	DIR *dir;
	size_t n;

	if (stat(t->path, &st) || st.st_size < t->r->max_size)
		return;
	*slash = '\0';
	dir = opendir(t->path);
	*slash = '/';
	if (!dir) {
		t->err = -errno;
		return;
	}
	older_tidy(dir, slash + 1, t->r->max_files - 2);
	closedir(dir);
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = (size_t)snprintf(t->aside, sizeof(t->aside), "%s.", t->path);
	(void)strftime(t->aside + n, sizeof(t->aside) - n, "%Y%m%d-%H%M%S", &tm);
	if (rename(t->path, t->aside)) {
		t->err = -errno;
		t->aside[0] = '\0';
	}
}

static void turn_free(struct turn *t)
{
	omem_free(t->id);
	omem_free(t->path);
	omem_free(t);
}

static void reopened(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct turn *t = arg;

	(void)res;
	(void)msg;
	if (status < 0) {
		/* it writes into the old file still: back with it, unless it has ended and does not write at all */
		if (access(t->path, F_OK))
			(void)rename(t->aside, t->path);
		if (!t->r->k->stopping)
			OLOG(t->r->k->h, WARN, "log_not_rotated", "file=%s why=\"%s\" retrying_in=10s", t->path, why);
	}
	turn_free(t);
}

static void turn_done(void *arg)
{
	struct turn *t = arg;

	if (t->err)
		OLOG(t->r->k->h, WARN, "log_not_rotated", "file=%s why=\"%s\" retrying_in=10s", t->path,
		     strerrordesc_np(-t->err));
	if (*t->aside)
		rt_call(t->r->k, ORLOP_RUNTIME_REOPEN_LOG, 0, rt_id("containerId", t->id), 0, reopened, t);
	else
		turn_free(t);
}

static void turn_begin(struct rotator *r, const struct ctr *c)
{
	struct turn *t;
	struct stat st;
	char *path = ctr_log_path(c, c->attempt);

	/* a question for each that runs is cheap, a worker is not */
	if (!path || stat(path, &st) || st.st_size < r->max_size || !(t = OMEM_NEW(struct turn))) {
		omem_free(path);
		return;
	}
	t->r = r;
	t->path = path;
	t->id = omem_strdup(c->id);
	if (!t->id || r->k->h->work(r->k->h, c->pod->key, turn_work, turn_done, t))
		turn_free(t);
}

static void look(void *arg)
{
	struct rotator *r = arg;
	bool any = false;

	OMAP_FOREACH(&r->k->pods, e) {
		const struct pod *p = e->value;
		uint32_t i;

		for (i = 0; i < p->n_ctrs; i++) {
			if (p->ctrs[i]->state != C_RUNNING || !p->ctrs[i]->id || p->orphan)
				continue;
			any = true;
			turn_begin(r, p->ctrs[i]);
		}
	}
	r->busy = any;
	if (!any)
		r->k->h->timer_clear(r->timer);
}

void rotate_wake(struct kubelet *k)
{
	struct rotator *r = k->rotator;

	if (!r || r->busy || k->stopping)
		return;
	r->busy = true;
	k->h->timer_set(r->timer, PERIOD_NS, PERIOD_NS);
}

int rotate_init(struct kubelet *k, struct orlop_error *err)
{
	const char *size = k->h->param(k->h, "container_log_max_size");
	struct rotator *r = OMEM_NEW(struct rotator);
	struct oquantity q;

	if (!r)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	k->rotator = r;
	r->k = k;
	r->max_files = k->h->param_int(k->h, "container_log_max_files");
	if (oquantity_parse(size, strlen(size), &q, NULL) || oquantity_i64(&q) < 1)
		return orlop_fail(err, EINVAL, 0, "", "container_log_max_size = \"%s\": must be a size, as 10Mi", size);
	if (r->max_files < 2)
		return orlop_fail(err, EINVAL, 0, "", "container_log_max_files = %lld: must be at least 2", (long long)r->max_files);
	r->max_size = oquantity_i64(&q);
	return k->h->timer_new(k->h, look, r, &r->timer) ? orlop_fail(err, ENOMEM, 0, "", "no memory") : 0;
}

void rotate_stop(struct kubelet *k)
{
	if (k->rotator)
		k->h->timer_clear(k->rotator->timer);
}

void rotate_free(struct kubelet *k)
{
	if (!k->rotator)
		return;
	k->h->timer_free(k->rotator->timer);
	omem_free(k->rotator);
	k->rotator = NULL;
}
