/*
 * exec.c - /exec and /attach: a command in a container, or the container's own process, joined to a client.
 *
 * The runtime hands over descriptors; bytes are copied between them and the client's channels (http/oremote.h),
 * with back-pressure both ways. When the command has ended and its output is through, the client is told how. If the
 * client leaves, the command is hung up; a container that was attached to goes on.
 * Source: k8s.io/kubelet/pkg/cri/streaming/remotecommand.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "http/oremote.h"

#define QUEUE_HIGH	(256u * 1024)
#define STDIN_HIGH	(64u * 1024)
#define PIECE		32768u
#define LINGER_NS	(2 * NS_PER_S)	/* for output that somebody else still holds open */
#define PING_NS		(2 * NS_PER_S)	/* while the client's input waits: is it still there? */
#define SIZE_NS		(NS_PER_S / 10)	/* for it to tell the size of its terminal */
#define STREAMS_NS	(30 * NS_PER_S)	/* for the client to open its streams */

struct session {
	struct olist	node;
	struct server	*s;
	struct kubelet	*k;
	struct pod	*p;
	uint32_t	refs;
	bool		attach;
	char		*ctr_id;
	char		*exec_id;
	struct ojson	*cmd;
	uint32_t	streams;	/* OREMOTE_* */
	struct oremote	*remote;
	int		in_fd;
	int		out_fd[2];
	struct orlop_fdwatch *in_watch;
	struct orlop_fdwatch *out_watch[2];
	struct obuf	in;		/* stdin not yet taken */
	bool		in_eof;
	bool		in_paused;
	bool		out_paused;
	bool		size_awaited;	/* the client may tell how large its terminal is */
	bool		running;	/* asked of the runtime */
	bool		begun;		/* the runtime has answered */
	bool		ended;
	bool		closed;
	bool		finish_posted;
	int		code;
	char		*failure;	/* the command could not be run */
	struct orlop_request *wait;
	struct orlop_timer *timer;
	struct orlop_timer *ping;
	uint64_t	width;
	uint64_t	height;
};

static void session_unref(struct session *x)
{
	if (--x->refs)
		return;
	pod_unref(x->p);
	ojson_unref(x->cmd);
	obuf_done(&x->in);
	omem_free(x->ctr_id);
	omem_free(x->exec_id);
	omem_free(x->failure);
	omem_free(x);
}

static void fd_close(struct session *x, int *fd, struct orlop_fdwatch **w)
{
	x->k->h->fd_unwatch(*w);
	*w = NULL;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void fds_close(struct session *x)
{
	fd_close(x, &x->in_fd, &x->in_watch);
	fd_close(x, &x->out_fd[0], &x->out_watch[0]);
	fd_close(x, &x->out_fd[1], &x->out_watch[1]);
}

/* The client is gone or has been told the end. */
static void session_close(struct session *x)
{
	if (x->closed)
		return;
	x->closed = true;
	fds_close(x);
	x->k->h->timer_free(x->timer);
	x->timer = NULL;
	x->k->h->timer_free(x->ping);
	x->ping = NULL;
	oremote_abort(x->remote);
	x->remote = NULL;
	if (x->wait && !x->ended)
		x->k->h->request_cancel(x->wait);
	olist_del(&x->node);
	session_unref(x);
}

static void finish_posted(void *arg)
{
	struct session *x = arg;

	if (!x->closed && x->remote) {
		struct oremote *m = x->remote;

		x->remote = NULL;
		oremote_exit(m, x->failure ? -1 : x->code, x->failure);
	}
	session_close(x);
	session_unref(x);
}

/* From the loop: not inside a callback of the client's connection. */
static void finish(struct session *x)
{
	if (x->finish_posted || x->closed)
		return;
	x->finish_posted = true;
	x->refs++;
	if (x->k->h->post(x->k->h, finish_posted, x))
		session_unref(x);
}

static void maybe_finish(struct session *x)
{
	bool silent = x->out_fd[0] < 0 && x->out_fd[1] < 0;

	/* the container's own process is over, or talks no more: all that whoever is attached can learn */
	if (x->attach && x->begun && silent)
		x->ended = true;
	if (x->ended && silent)
		finish(x);
}

/* ---- to the client ---------------------------------------------------------------------------------------- */

static void out_flow(void *arg)
{
	struct session *x = arg;
	bool full = x->remote && oremote_queued(x->remote) > QUEUE_HIGH;
	int i;

	if (full == x->out_paused)
		return;
	x->out_paused = full;
	for (i = 0; i < 2; i++)
		if (x->out_watch[i])
			x->k->h->fd_update(x->out_watch[i], full ? 0 : ORLOP_FD_READ);
}

static void out_readable(void *arg, int32_t fd, uint32_t events)
{
	struct session *x = arg;
	int i = fd == x->out_fd[1];
	char buf[PIECE];
	ssize_t n = read(fd, buf, sizeof(buf));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		if (x->remote)
			(void)oremote_write(x->remote, i ? OREMOTE_STDERR : OREMOTE_STDOUT, buf, (size_t)n);
		out_flow(x);
		return;
	}
	/* the end; a terminal says EIO */
	fd_close(x, &x->out_fd[i], &x->out_watch[i]);
	maybe_finish(x);
}

/* ---- to the command ----------------------------------------------------------------------------------------- */

static void in_flow(struct session *x)
{
	bool full = x->in.len > STDIN_HIGH;

	if (full == x->in_paused || !x->remote)
		return;
	x->in_paused = full;
	(full ? oremote_pause : oremote_resume)(x->remote);
	if (full)
		x->k->h->timer_set(x->ping, PING_NS, PING_NS);
	else
		x->k->h->timer_clear(x->ping);
}

static void ping(void *arg)
{
	struct session *x = arg;

	if (x->remote)
		oremote_ping(x->remote);
}

static void in_writable(void *arg, int32_t fd, uint32_t events);

/* Give what waits to the command. */
static void in_push(struct session *x)
{
	ssize_t n;

	while (x->in_fd >= 0 && x->in.len) {
		n = write(x->in_fd, x->in.data, x->in.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			/* it reads no more */
			fd_close(x, &x->in_fd, &x->in_watch);
			break;
		}
		obuf_splice(&x->in, 0, (size_t)n, "", 0);
	}
	if (x->in_fd < 0 && x->begun)
		obuf_truncate(&x->in, 0);
	if (x->in_fd >= 0 && !x->in.len && x->in_eof)
		fd_close(x, &x->in_fd, &x->in_watch);
	if (x->in_watch)
		x->k->h->fd_update(x->in_watch, x->in.len ? ORLOP_FD_WRITE : 0);
	else if (x->in_fd >= 0 && x->in.len)
		(void)x->k->h->fd_watch(x->k->h, x->in_fd, ORLOP_FD_WRITE, in_writable, x, &x->in_watch);
	in_flow(x);
}

static void in_writable(void *arg, int32_t fd, uint32_t events)
{
	(void)fd;
	(void)events;
	in_push(arg);
}

static void on_input(void *arg, const char *p, size_t len)
{
	struct session *x = arg;

	if (x->in_eof || (x->in_fd < 0 && x->begun))
		return;
	obuf_append(&x->in, p, len);
	in_push(x);
}

static void on_input_end(void *arg)
{
	struct session *x = arg;

	x->in_eof = true;
	in_push(x);
}

static void ignored(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		    uint32_t flags)
{
	(void)arg;
	(void)status;
	(void)msg;
	(void)err;
	(void)flags;
}

static void resize_send(struct session *x)
{
	struct orlop_send s = { .size = sizeof(s), .op = ORLOP_RUNTIME_EXEC_RESIZE, .to = "runtime" };
	struct orlop_msgw w;

	if (!x->exec_id || !x->width || x->closed)
		return;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_RUNTIME_T_EXEC_ID, x->exec_id);
	orlop_msgw_u64(&w, ORLOP_RUNTIME_T_WIDTH, x->width);
	orlop_msgw_u64(&w, ORLOP_RUNTIME_T_HEIGHT, x->height);
	s.msg = orlop_msgw_msg(&w);
	(void)x->k->h->request(x->k->h, &s, ignored, NULL, NULL);
	orlop_msgw_done(&w);
}

static void begin(void *arg);

static void on_resize(void *arg, unsigned int width, unsigned int height)
{
	struct session *x = arg;

	if (!width || !height)
		return;
	x->width = width;
	x->height = height;
	if (x->size_awaited && !x->running)
		begin(x);
	else
		resize_send(x);
}

static void on_closed(void *arg)
{
	struct session *x = arg;

	x->remote = NULL;
	session_close(x);
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

static void timer_fired(void *arg)
{
	struct session *x = arg;

	if (x->ended)
		finish(x);
	else if (!x->running && x->size_awaited)
		begin(x);
	else if (!x->running)
		session_close(x);
}

static void command_ended(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
			  uint32_t flags)
{
	struct session *x = arg;

	if (flags & ORLOP_REPLY_MORE)
		return;
	x->wait = NULL;
	x->ended = true;
	/* of a container its status tells */
	if (status >= 0 && !x->attach)
		x->code = (int)orlop_msg_u64(msg, ORLOP_RUNTIME_T_EXIT_CODE, 0);
	else if (status < 0 && !x->attach && !x->failure)
		x->failure = omem_strdup(err && err->msg[0] ? err->msg : "the command's end is not known");
	if (!x->closed && !x->k->ending) {
		maybe_finish(x);
		if (x->timer && !x->finish_posted)
			x->k->h->timer_set(x->timer, LINGER_NS, 0);
	}
	session_unref(x);
}

/* ---- the beginning ---------------------------------------------------------------------------------------------- */

static void wait_for_end(struct session *x)
{
	struct orlop_send s = { .size = sizeof(s), .op = ORLOP_RUNTIME_EXEC_WAIT, .to = "runtime",
				.timeout_ns = UINT64_MAX };
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_RUNTIME_T_EXEC_ID, x->exec_id);
	s.msg = orlop_msgw_msg(&w);
	x->refs++;
	if (x->k->h->request(x->k->h, &s, command_ended, x, &x->wait)) {
		x->ended = true;
		x->failure = omem_strdup("no memory");
		session_unref(x);
	}
	orlop_msgw_done(&w);
}

static int take_fd(const struct orlop_msg *msg, uint32_t i)
{
	int fd = msg && i < msg->n_fds ? msg->fds[i] : -1;

	if (fd >= 0) {
		msg->fds[i] = -1;
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	}
	return fd;
}

static void take_fds(struct session *x, const struct orlop_msg *msg)
{
	int i;

	if (x->streams & OREMOTE_TTY) {
		x->out_fd[0] = take_fd(msg, 0);
		x->in_fd = x->streams & OREMOTE_STDIN && x->out_fd[0] >= 0 ? fcntl(x->out_fd[0], F_DUPFD_CLOEXEC, 3) : -1;
		return;
	}
	x->in_fd = take_fd(msg, 0);
	x->out_fd[0] = take_fd(msg, 1);
	x->out_fd[1] = take_fd(msg, 2);
	/* what was not asked for is /dev/null */
	if (!(x->streams & OREMOTE_STDIN))
		fd_close(x, &x->in_fd, &x->in_watch);
	for (i = 0; i < 2; i++)
		if (!(x->streams & (i ? OREMOTE_STDERR : OREMOTE_STDOUT)))
			fd_close(x, &x->out_fd[i], &x->out_watch[i]);
}

static void begun(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct session *x = arg;
	struct orlop_bytes id;
	int i;

	(void)res;
	x->begun = true;
	if (status < 0) {
		x->ended = true;
		x->failure = omem_printf("error %s container: %s", x->attach ? "attaching to" : "executing command in", why);
		if (!x->k->ending)
			finish(x);
		session_unref(x);
		return;
	}
	id = orlop_msg_bytes(x->k->h, msg, ORLOP_RUNTIME_T_EXEC_ID);
	x->exec_id = id.len ? omem_strndup(id.p, id.len) : NULL;
	take_fds(x, msg);
	if (x->closed || (!x->exec_id && !x->attach)) {
		/* the client has left meanwhile: waiting and not waiting any more hangs the command up */
		fds_close(x);
		if (x->exec_id && !x->k->ending) {
			wait_for_end(x);
			if (x->wait)
				x->k->h->request_cancel(x->wait);
		}
		session_unref(x);
		return;
	}
	resize_send(x);
	for (i = 0; i < 2; i++)
		if (x->out_fd[i] >= 0 && x->k->h->fd_watch(x->k->h, x->out_fd[i], ORLOP_FD_READ, out_readable, x,
							    &x->out_watch[i]))
			fd_close(x, &x->out_fd[i], &x->out_watch[i]);
	in_push(x);
	if (x->exec_id)
		wait_for_end(x);
	session_unref(x);
}

static void begin(void *arg)
{
	struct session *x = arg;
	struct ojson *body = rt_id("containerId", x->ctr_id);

	if (x->running || x->closed) {
		ojson_unref(body);
		return;
	}
	if (x->streams & OREMOTE_TTY && !x->width && !x->size_awaited) {
		/* kubectl tells it at once, by a stream of its own; the command's first line should know */
		x->size_awaited = true;
		x->k->h->timer_set(x->timer, SIZE_NS, 0);
		ojson_unref(body);
		return;
	}
	x->running = true;
	x->k->h->timer_clear(x->timer);
	if (x->width) {
		struct ojson *size = ojson_ensure_object(body, "consoleSize");

		(void)ojson_set_i64(size, "width", (int64_t)x->width);
		(void)ojson_set_i64(size, "height", (int64_t)x->height);
	}
	if (!x->attach)
		(void)ojson_set(body, "cmd", ojson_ref(x->cmd));
	(void)ojson_set_bool(body, "tty", x->streams & OREMOTE_TTY);
	(void)ojson_set_bool(body, "stdin", x->streams & OREMOTE_STDIN);
	(void)ojson_set_bool(body, "stdout", x->streams & OREMOTE_STDOUT);
	(void)ojson_set_bool(body, "stderr", x->streams & OREMOTE_STDERR);
	x->refs++;
	rt_call(x->k, x->attach ? ORLOP_RUNTIME_ATTACH : ORLOP_RUNTIME_EXEC, 0, body, 0, begun, x);
}

static const struct oremote_ops remote_ops = {
	.start = begin, .input = on_input, .input_end = on_input_end, .resize = on_resize, .writable = out_flow,
	.closed = on_closed,
};

static struct ojson *command_of(struct orlop_bytes q)
{
	struct ojson *list = ojson_new_array();
	size_t at = 0;
	char *v;

	while (list && (v = query_next(q, "command", &at))) {
		(void)ojson_append_cstr(list, v);
		omem_free(v);
	}
	return list;
}

static uint32_t streams_of(struct orlop_bytes q)
{
	static const struct { const char *a, *b; uint32_t stream; } names[] = {
		{ "input", "stdin", OREMOTE_STDIN }, { "output", "stdout", OREMOTE_STDOUT },
		{ "error", "stderr", OREMOTE_STDERR }, { "tty", "tty", OREMOTE_TTY },
	};
	uint32_t streams = 0;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (query_flag(q, names[i].a) || query_flag(q, names[i].b))
			streams |= names[i].stream;
	/* a terminal has one output */
	return streams & OREMOTE_TTY ? streams & ~OREMOTE_STDERR : streams;
}

static struct session *session_new(struct server *s, struct pod *p, const struct ctr *c, struct orlop_bytes q)
{
	struct session *x = OMEM_NEW(struct session);

	if (!x)
		return NULL;
	x->cmd = command_of(q);
	x->ctr_id = omem_strdup(c->id);
	if (!x->cmd || !x->ctr_id || s->k->h->timer_new(s->k->h, timer_fired, x, &x->timer) ||
	    s->k->h->timer_new(s->k->h, ping, x, &x->ping)) {
		s->k->h->timer_free(x->timer);
		ojson_unref(x->cmd);
		omem_free(x->ctr_id);
		omem_free(x);
		return NULL;
	}
	x->s = s;
	x->k = s->k;
	x->p = p;
	x->refs = 1;
	x->in_fd = -1;
	x->out_fd[0] = -1;
	x->out_fd[1] = -1;
	x->streams = streams_of(q);
	pod_ref(p);
	olist_append(&s->sessions, &x->node);
	return x;
}

void exec_serve(struct server *s, struct ohttp_req *r, struct pod *p, struct ctr *c, bool attach)
{
	struct orlop_bytes q = ohttp_query(r);
	struct session *x;
	int e;

	if (c->state != C_RUNNING || !c->id) {
		server_text(r, 500, "container not found (\"%s\")", c->name);
		return;
	}
	if (!(streams_of(q) & (OREMOTE_STDIN | OREMOTE_STDOUT | OREMOTE_STDERR))) {
		server_text(r, 400, "you must specify at least 1 of stdin, stdout, stderr");
		return;
	}
	x = session_new(s, p, c, q);
	if (!x) {
		server_text(r, 500, "no memory");
		return;
	}
	x->attach = attach;
	e = oremote_accept(r, x->streams, &remote_ops, x, &x->remote);
	if (e == -ENOMEM)
		server_text(r, 500, "no memory");
	if (e < 0)
		session_close(x);
	else if (e == 1)
		begin(x);
	else
		s->k->h->timer_set(x->timer, STREAMS_NS, 0);
}

uint32_t exec_count(const struct server *s)
{
	uint32_t n = 0;

	OLIST_FOREACH(l, &s->sessions)
		n++;
	return n;
}

void exec_stop(struct server *s)
{
	while (!olist_empty(&s->sessions))
		session_close(OLIST_ENTRY(olist_first(&s->sessions), struct session, node));
}
