/*
 * static.c - the folder of static pods: read at start, and file by file as inotify tells.
 *
 * A file is read when whoever wrote it has closed it. One that cannot be used is named in the log and ignored until it
 * changes; what it was before goes on meanwhile. Names that begin with a dot, and folders, are none of ours.
 * Source: pkg/kubelet/config/file.go, file_linux.go.
 */
#include "statics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/ostr.h"

#define FILE_MAX	(10u << 20)
#define WATCHED		(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)

struct statics {
	struct kubelet	*k;
	const char	*dir;
	int		fd;
	struct orlop_fdwatch *watch;
	struct omap	files;		/* name → uid, omem */
	uint32_t	reading;
	bool		ready;
};

/* One file, or (name NULL) all of them, on a worker. */
struct reading {
	struct statics	*s;
	char		*name;
	struct read_file {
		char		*name;
		struct ojson	*pod;	/* NULL: not to be used */
		struct obuf	why;
		bool		gone;
	}		*f;
	size_t		n;
};

/* ---- reading, on a worker ------------------------------------------------------------------------------------ */

static void read_one(struct reading *r, int dir, const char *name)
{
	struct read_file *f = omem_realloc_array(r->f, r->n + 1, sizeof(*f));
	struct kubelet *k = r->s->k;
	struct obuf b = OBUF_INIT;
	char path[4400];
	struct stat st;
	int e;

	if (!f)
		return;
	r->f = f;
	f = &f[r->n];
	memset(f, 0, sizeof(*f));
	obuf_init(&f->why);
	f->name = omem_strdup(name);
	if (!f->name)
		return;
	r->n++;
	if (fstatat(dir, name, &st, 0)) {
		f->gone = true;
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		f->gone = true;
		return;
	}
	snprintf(path, sizeof(path), "%s/%s", r->s->dir, name);
	e = ofile_read(dir, name, FILE_MAX, &b);
	if (e == -ENOENT)
		f->gone = true;
	else if (e)
		obuf_puts(&f->why, strerrordesc_np(-e));
	else
		(void)manifest_read(obuf_cstr(&b), b.len, path, k->node_name, (int64_t)k->h->now_wall(k->h), &f->pod, &f->why);
	obuf_done(&b);
}

static void read_work(void *arg)
{
	struct reading *r = arg;
	int dir = open(r->s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *d;
	DIR *list;

	if (dir < 0)
		return;
	if (r->name) {
		read_one(r, dir, r->name);
		close(dir);
		return;
	}
	list = fdopendir(dir);
	if (!list) {
		close(dir);
		return;
	}
	while ((d = readdir(list)))
		if (d->d_name[0] != '.')
			read_one(r, dir, d->d_name);
	closedir(list);
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static void pod_end(struct kubelet *k, const char *uid)
{
	struct pod *p = pod_get(k, uid);

	if (!p || !p->is_static)
		return;
	p->gone = true;
	pod_kick(p);
}

/* Does another file say the same? Then the pod stays. */
static bool said_elsewhere(const struct statics *s, const char *name, const char *uid)
{
	OMAP_FOREACH(&s->files, e) {
		if (strcmp(e->key, name) && !strcmp(e->value, uid))
			return true;
	}
	return false;
}

static void file_taken(struct statics *s, struct read_file *f)
{
	struct kubelet *k = s->k;
	char *was = omap_get_cstr(&s->files, f->name);
	const char *uid = f->pod ? okube_meta(f->pod, "uid") : "";
	char *kept;

	if (!f->pod && !f->gone) {
		OLOG(k->h, WARN, "static_pod_refused", "file=%s/%s why=\"%s\" ignoring=1", s->dir, f->name, obuf_cstr(&f->why));
		return;
	}
	if (was && !strcmp(was, uid)) {
		if (!pod_get(k, uid))
			pod_static(k, TAKE(f->pod));
		return;
	}
	if (was && !said_elsewhere(s, f->name, was))
		pod_end(k, was);
	(void)omap_del(&s->files, f->name, strlen(f->name));
	omem_free(was);
	if (!f->pod)
		return;
	kept = omem_strdup(uid);
	if (!kept || omap_put_cstr(&s->files, f->name, kept)) {
		omem_free(kept);
		return;
	}
	OLOG(k->h, INFO, "static_pod", "file=%s/%s pod=%s/%s", s->dir, f->name, okube_meta(f->pod, "namespace"),
	     okube_meta(f->pod, "name"));
	pod_static(k, TAKE(f->pod));
}

static bool was_read(const struct reading *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (!strcmp(r->f[i].name, name))
			return true;
	return false;
}

static void read_done(void *arg)
{
	struct reading *r = arg;
	struct statics *s = r->s;
	bool stopping = s->k->stopping;
	size_t i;

	for (i = 0; i < r->n && !stopping; i++)
		file_taken(s, &r->f[i]);
	if (!r->name && !stopping) {
		/* what has gone unseen */
		OMAP_FOREACH(&s->files, e) {
			if (!was_read(r, e->key))
				pod_end(s->k, e->value);
		}
	}
	for (i = 0; i < r->n; i++) {
		omem_free(r->f[i].name);
		ojson_unref(r->f[i].pod);
		obuf_done(&r->f[i].why);
	}
	s->reading--;
	if (!s->ready && !r->name) {
		s->ready = true;
		/* mirrors of what is no more were spared until now */
		if (s->k->in_pods && !stopping)
			okube_informer_relist(s->k->in_pods);
		kubelet_maybe_run(s->k);
	}
	omem_free(r->f);
	omem_free(r->name);
	omem_free(r);
}

static void read_begin(struct statics *s, const char *name)
{
	struct reading *r = OMEM_NEW(struct reading);

	if (!r)
		return;
	r->s = s;
	r->name = name ? omem_strdup(name) : NULL;
	s->reading++;
	if (s->k->h->work(s->k->h, 0x57a71c, read_work, read_done, r))
		read_done(r);
}

void static_again(struct kubelet *k)
{
	if (k->statics && !k->stopping)
		read_begin(k->statics, NULL);
}

static void changed(void *arg, int32_t fd, uint32_t events)
{
	struct statics *s = arg;
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	(void)events;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		const char *p = buf;

		while (p < buf + n) {
			const struct inotify_event *ev = (const void *)p;

			if (ev->mask & IN_Q_OVERFLOW)
				read_begin(s, NULL);
			else if (ev->len && ev->name[0] != '.' && !(ev->mask & IN_ISDIR))
				read_begin(s, ev->name);
			p += sizeof(*ev) + ev->len;
		}
	}
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

bool static_ready(const struct kubelet *k)
{
	return !k->statics || k->statics->ready;
}

int static_start(struct kubelet *k, struct orlop_error *err)
{
	const char *dir = k->h->param(k->h, "static_pods");
	struct statics *s;
	int e;

	if (!*dir)
		return 0;
	s = OMEM_NEW(struct statics);
	if (!s)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	s->k = k;
	s->dir = dir;
	s->fd = -1;
	omap_init(&s->files);
	k->statics = s;
	e = ofile_mkdir_p(dir, 0755);
	if (e)
		return orlop_fail(err, -e, 0, "", "static_pods = \"%s\": cannot be made", dir);
	s->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->fd < 0 || inotify_add_watch(s->fd, dir, WATCHED | IN_ONLYDIR) < 0)
		return orlop_fail(err, errno, 0, "", "static_pods = \"%s\": cannot be watched", dir);
	e = k->h->fd_watch(k->h, s->fd, ORLOP_FD_READ, changed, s, &s->watch);
	if (e)
		return orlop_fail(err, -e, 0, "", "static_pods = \"%s\": cannot be watched", dir);
	read_begin(s, NULL);
	return 0;
}

void static_stop(struct kubelet *k)
{
	struct statics *s = k->statics;

	if (!s)
		return;
	k->h->fd_unwatch(s->watch);
	s->watch = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static void uid_free(void *value)
{
	omem_free(value);
}

void static_free(struct kubelet *k)
{
	struct statics *s = k->statics;

	if (!s)
		return;
	static_stop(k);
	k->statics = NULL;
	omap_done_with(&s->files, uid_free);
	omem_free(s);
}
