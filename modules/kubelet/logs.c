/*
 * logs.c - /containerLogs: a container's log, parsed line by line, to its end or as it grows.
 *
 * Read in pieces of 64 KiB, never more ahead of a slow client than 256 KiB. Who follows waits by
 * inotify and goes when the container has ended and all of the file is out.
 * Source: pkg/kubelet/kuberuntime/logs/logs.go.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/ostr.h"
#include "base/otime.h"

#define PIECE		65536u
#define LINE_MAX_	(1u << 20)	/* a longer line is passed on as it comes */
#define QUEUE_HIGH	(256u * 1024)
#define QUEUE_LOW	(64u * 1024)

struct follow {
	struct olist	node;
	struct server	*s;
	struct ohttp_req *r;
	struct pod	*p;
	struct ctr	*c;
	char		*id;		/* container whose log this is */
	char		*path;
	int		fd;
	int		next_fd;	/* the file that came in its place, -1 */
	int		watch_fd;
	struct orlop_fdwatch *watch;
	struct obuf	in;		/* an incomplete line */
	bool		follow;
	bool		ended;
	bool		timestamps;
	bool		mid_line;	/* the last was partial: no time stamp in between */
	bool		paused;
	bool		posted;
	bool		dead;		/* answered or gone: freed when the posted call has come */
	int64_t		since_ns;
	int64_t		left;		/* bytes that may still be sent, -1: no limit */
	int		stream;		/* 0 all, 1 stdout, 2 stderr */
};

static void follow_release(struct follow *f)
{
	obuf_done(&f->in);
	omem_free(f->id);
	omem_free(f->path);
	pod_unref(f->p);
	omem_free(f);
}

static void follow_free(struct follow *f)
{
	const struct orlop_host *h = f->s->k->h;

	h->fd_unwatch(f->watch);
	f->watch = NULL;
	if (f->watch_fd >= 0)
		close(f->watch_fd);
	if (f->fd >= 0)
		close(f->fd);
	if (f->next_fd >= 0)
		close(f->next_fd);
	f->watch_fd = -1;
	f->fd = -1;
	f->next_fd = -1;
	olist_del(&f->node);
	if (f->posted) {
		f->dead = true;
		return;
	}
	follow_release(f);
}

static void follow_end(struct follow *f)
{
	struct ohttp_req *r = f->r;

	f->r = NULL;
	ohttp_end(r);
	follow_free(f);
}

/* False: enough has been sent. */
static bool send_some(struct follow *f, const char *p, size_t len)
{
	if (f->left >= 0 && (int64_t)len > f->left)
		len = (size_t)f->left;
	if (len && ohttp_write_copy(f->r, p, len))
		return false;
	if (f->left >= 0)
		f->left -= (int64_t)len;
	return f->left != 0;
}

static bool send_line(struct follow *f, const char *line, size_t len, struct obuf *out)
{
	struct logline l;

	if (!logline_parse(line, len, &l) || l.ns < f->since_ns || (f->stream && l.err != (f->stream == 2))) {
		return true;
	}
	obuf_reset(out);
	if (f->timestamps && !f->mid_line) {
		char time[OTIME_BUF];

		obuf_append(out, time, otime_format_log(l.ns, time));
		obuf_putc(out, ' ');
	}
	obuf_append(out, l.p, l.len);
	if (!l.partial)
		obuf_putc(out, '\n');
	f->mid_line = l.partial;
	return send_some(f, obuf_cstr(out), out->len);
}

/* All complete lines in f->in. False: enough. */
static bool send_lines(struct follow *f)
{
	struct obuf out = OBUF_INIT;
	size_t at = 0;
	bool more = true;

	while (more && at < f->in.len) {
		const char *nl = memchr(f->in.data + at, '\n', f->in.len - at);

		if (!nl && f->in.len - at < LINE_MAX_)
			break;
		if (!nl)
			nl = f->in.data + f->in.len - 1;
		more = send_line(f, f->in.data + at, (size_t)(nl - (f->in.data + at)), &out);
		at = (size_t)(nl - f->in.data) + 1;
	}
	if (at)
		obuf_splice(&f->in, 0, at, "", 0);
	obuf_done(&out);
	return more;
}

static void pump_posted(void *arg);

static void pump_again(struct follow *f)
{
	if (f->posted)
		return;
	f->posted = true;
	if (f->s->k->h->post(f->s->k->h, pump_posted, f))
		f->posted = false;
}

/*
 * At the end of the file: is there another of its name? Nothing is written into the old one any more when the new one is
 * there, but something may have been since we looked: it is read once more before we go over.
 */
static bool rotated(struct follow *f)
{
	struct stat now;
	struct stat is;
	int fd;

	if (f->next_fd >= 0) {
		close(f->fd);
		f->fd = f->next_fd;
		f->next_fd = -1;
		if (f->watch_fd >= 0)
			(void)inotify_add_watch(f->watch_fd, f->path, IN_MODIFY);
		return true;
	}
	if (stat(f->path, &now) || fstat(f->fd, &is) || (now.st_ino == is.st_ino && now.st_dev == is.st_dev))
		return false;
	fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	f->next_fd = fd;
	return true;
}

static void pump(struct follow *f)
{
	char *room;
	ssize_t n;

	if (f->paused)
		return;
	if (ohttp_queued(f->r) > QUEUE_HIGH) {
		f->paused = true;
		return;
	}
	room = obuf_reserve(&f->in, PIECE);
	n = room ? read(f->fd, room, PIECE) : -1;
	if (n > 0) {
		obuf_advance(&f->in, (size_t)n);
		if (send_lines(f))
			pump_again(f);
		else
			follow_end(f);
		return;
	}
	if (n == 0 && f->follow && rotated(f))
		pump_again(f);
	else if (n < 0 || !f->follow || f->ended)
		follow_end(f);
}

static void pump_posted(void *arg)
{
	struct follow *f = arg;

	f->posted = false;
	if (f->dead) {
		follow_release(f);
		return;
	}
	pump(f);
}

static void grown(void *arg, int32_t fd, uint32_t events)
{
	char buf[4096];

	(void)events;
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	pump(arg);
}

static void writable(void *arg, struct ohttp_req *r)
{
	struct follow *f = arg;

	(void)r;
	if (f->paused) {
		f->paused = false;
		pump_again(f);
	}
}

static void gone(void *arg, struct ohttp_req *r)
{
	struct follow *f = arg;

	(void)r;
	f->r = NULL;
	follow_free(f);
}

void logs_ctr_ended(struct server *s, const struct ctr *c)
{
	OLIST_FOREACH_SAFE(pos, tmp, &s->follows) {
		struct follow *f = OLIST_ENTRY(pos, struct follow, node);

		if (f->c == c && c->id && !strcmp(f->id, c->id)) {
			f->ended = true;
			pump_again(f);
		}
	}
}

/* ---- while a successor serves ------------------------------------------------------------------------------- */

#define ASK_NS	(NS_PER_S / 2)

struct ask {
	struct kubelet	*k;
	char		id[80];
};

static void asked(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct ask *a = arg;
	const char *state = ojson_get_cstr(ojson_get(res, "status"), "state", "");

	(void)msg;
	(void)why;
	if (a->k->server && (status == -ENOENT || !strcmp(state, "CONTAINER_EXITED")))
		OLIST_FOREACH_SAFE(pos, tmp, &a->k->server->follows) {
			struct follow *f = OLIST_ENTRY(pos, struct follow, node);

			if (!strcmp(f->id, a->id) && !f->ended) {
				f->ended = true;
				pump_again(f);
			}
		}
	omem_free(a);
}

static void ask_all(void *arg)
{
	struct server *s = arg;

	OLIST_FOREACH(pos, &s->follows) {
		struct follow *f = OLIST_ENTRY(pos, struct follow, node);
		struct ask *a = f->ended ? NULL : OMEM_NEW(struct ask);

		if (!a)
			continue;
		a->k = s->k;
		snprintf(a->id, sizeof(a->id), "%s", f->id);
		rt_call(s->k, ORLOP_RUNTIME_CONTAINER_STATUS, 0, rt_id("containerId", f->id), 0, asked, a);
	}
	if (!olist_empty(&s->follows))
		s->k->h->timer_set(s->ask, ASK_NS, 0);
}

void logs_drain(struct server *s)
{
	if (!s->ask && s->k->h->timer_new(s->k->h, ask_all, s, &s->ask))
		return;		/* they end when their clients go, or with us */
	s->k->h->timer_set(s->ask, ASK_NS, 0);
}

uint32_t logs_count(const struct server *s)
{
	uint32_t n = 0;

	OLIST_FOREACH(l, &s->follows)
		n++;
	return n;
}

void logs_stop(struct server *s)
{
	while (!olist_empty(&s->follows)) {
		struct follow *f = OLIST_ENTRY(olist_first(&s->follows), struct follow, node);
		struct ohttp_req *r = f->r;

		f->r = NULL;
		ohttp_abort(r);
		follow_free(f);
	}
}

/* ---- beginning --------------------------------------------------------------------------------------------- */

/* Position of the last @n lines. */
static off_t tail_position(int fd, int64_t n)
{
	off_t size = lseek(fd, 0, SEEK_END);
	off_t at = size;
	char buf[PIECE / 4];
	bool first = true;

	if (n <= 0)
		return size;
	while (at > 0) {
		size_t len = at > (off_t)sizeof(buf) ? sizeof(buf) : (size_t)at;
		ssize_t got = pread(fd, buf, len, at - (off_t)len);
		ssize_t i;

		if (got <= 0)
			return 0;
		for (i = got - 1; i >= 0; i--) {
			if (buf[i] != '\n')
				continue;
			if (first && at == size && i == got - 1) {
				first = false;
				continue;
			}
			if (--n == 0)
				return at - (off_t)len + i + 1;
		}
		first = false;
		at -= (off_t)len;
	}
	return 0;
}

static bool number(struct orlop_bytes q, const char *key, int64_t *ret)
{
	char *v = query_value(q, key);
	bool good = !v || (!ostr_to_i64(v, strlen(v), ret) && *ret >= 0);

	omem_free(v);
	return good;
}

static const char *why_waiting(const struct ctr *c)
{
	return c->reason ? c->reason : "ContainerCreating";
}

void logs_serve(struct server *s, struct ohttp_req *r, struct pod *p, struct ctr *c)
{
	struct ohttp_header type = OHTTP_HEADER("Content-Type", "text/plain");
	struct orlop_bytes q = ohttp_query(r);
	bool previous = query_flag(q, "previous");
	const char *id = c->id;
	uint32_t attempt = c->attempt;
	int64_t tail = -1;
	int64_t since = -1;
	int64_t limit = -1;
	int64_t since_ns = 0;
	struct follow *f;
	char *path;
	char *text;
	int fd;

	if (!number(q, "tailLines", &tail) || !number(q, "sinceSeconds", &since) || !number(q, "limitBytes", &limit)) {
		server_text(r, 400, "tailLines, sinceSeconds and limitBytes must be whole numbers that are not negative");
		return;
	}
	text = query_value(q, "sinceTime");
	if (text && otime_parse(text, strlen(text), &since_ns)) {
		omem_free(text);
		server_text(r, 400, "sinceTime must be a time in RFC 3339");
		return;
	}
	omem_free(text);
	if (since >= 0)
		since_ns = kubelet_now(s->k) - since * (int64_t)NS_PER_S;
	if (previous) {
		id = c->prev_id;
		attempt = c->attempt ? c->attempt - 1 : 0;
		/* of one that waits to be started again the last end is the previous one */
		if (c->state == C_EXITED && c->reason) {
			id = c->id;
			attempt = c->attempt;
		}
		if (!id) {
			server_text(r, 400, "previous terminated container \"%s\" in pod \"%s\" not found", c->name, p->name);
			return;
		}
	}
	if (!id) {
		server_text(r, 400, "container \"%s\" in pod \"%s\" is waiting to start: %s", c->name, p->name,
			    why_waiting(c));
		return;
	}
	path = ctr_log_path(c, attempt);
	fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (fd < 0) {
		server_text(r, 500, "failed to open log file \"%s\": %s", path ? path : "", strerrordesc_np(errno));
		omem_free(path);
		return;
	}
	f = OMEM_NEW(struct follow);
	if (!f || !(f->id = omem_strdup(id))) {
		close(fd);
		omem_free(f);
		omem_free(path);
		server_text(r, 500, "no memory");
		return;
	}
	f->s = s;
	f->r = r;
	f->p = p;
	f->c = c;
	f->fd = fd;
	f->next_fd = -1;
	f->path = path;
	f->watch_fd = -1;
	f->follow = query_flag(q, "follow");
	f->timestamps = query_flag(q, "timestamps");
	f->since_ns = since_ns;
	f->left = limit > 0 ? limit : -1;
	f->ended = previous || c->state == C_EXITED;
	text = query_value(q, "stream");
	f->stream = text && !strcasecmp(text, "stdout") ? 1 : text && !strcasecmp(text, "stderr") ? 2 : 0;
	omem_free(text);
	pod_ref(p);
	olist_append(&s->follows, &f->node);
	if (tail >= 0)
		(void)lseek(fd, tail_position(fd, tail), SEEK_SET);
	if (f->follow && !f->ended) {
		char *dir = omem_strndup(path, (size_t)(strrchr(path, '/') - path));

		f->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

		/* the folder, for the file that comes when this one is put aside */
		if (f->watch_fd < 0 || inotify_add_watch(f->watch_fd, path, IN_MODIFY) < 0 ||
		    !dir || inotify_add_watch(f->watch_fd, dir, IN_CREATE | IN_MOVED_TO) < 0 ||
		    s->k->h->fd_watch(s->k->h, f->watch_fd, ORLOP_FD_READ, grown, f, &f->watch))
			OLOG(s->k->h, WARN, "log_not_watched", "file=%s errno=%d", path, errno);
		omem_free(dir);
	}
	ohttp_on_close(r, gone, f);
	ohttp_on_writable(r, QUEUE_LOW, writable, f);
	ohttp_reply_start(r, 200, &type, 1);
	pump(f);
}
