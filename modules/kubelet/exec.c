/*
 * exec.c - /exec: a command in a container, its streams carried by WebSocket or SPDY.
 *
 * The runtime hands over descriptors; bytes are copied between them and the client's channels, with
 * back-pressure both ways. When the command has ended and its output is through, the error channel
 * carries a Status, and the connection closes. If the client leaves, the command is hung up.
 * Source: k8s.io/kubelet/pkg/cri/streaming/remotecommand (channels, versions, Status).
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/oenc.h"
#include "base/ostr.h"
#include "http/ospdy.h"
#include "http/ows.h"

#define QUEUE_HIGH	(256u * 1024)
#define STDIN_HIGH	(64u * 1024)
#define PIECE		32768u
#define LINGER_NS	(2 * NS_PER_S)	/* for output that somebody else still holds open */
#define STREAMS_NS	(30 * NS_PER_S)	/* SPDY: for the client to open its streams */

enum { CH_STDIN, CH_STDOUT, CH_STDERR, CH_ERROR, CH_RESIZE, N_CH };

struct session {
	struct olist	node;
	struct server	*s;
	struct kubelet	*k;
	struct pod	*p;
	uint32_t	refs;
	char		*ctr_id;
	char		*exec_id;
	struct ojson	*cmd;
	bool		want[N_CH];
	bool		tty;
	int		version;	/* of the channel protocol */
	bool		base64;
	struct ows	*ws;
	struct ohttp_stream *stream;
	struct ospdy	*spdy;
	struct ospdy_stream *ch[N_CH];
	int		in_fd;
	int		out_fd[2];
	struct orlop_fdwatch *in_watch;
	struct orlop_fdwatch *out_watch[2];
	struct obuf	in;		/* stdin not yet taken */
	bool		in_eof;
	bool		in_paused;
	bool		out_paused;
	bool		running;	/* asked of the runtime */
	bool		ended;
	bool		closed;
	bool		close_posted;
	int		code;
	char		*failure;	/* the command could not be run */
	struct orlop_request *wait;
	struct orlop_timer *timer;
	uint64_t	width;
	uint64_t	height;
};

static void maybe_finish(struct session *x);

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

/* Not from inside a callback of ospdy. */
static void session_close(struct session *x)
{
	if (x->closed)
		return;
	x->closed = true;
	fd_close(x, &x->in_fd, &x->in_watch);
	fd_close(x, &x->out_fd[0], &x->out_watch[0]);
	fd_close(x, &x->out_fd[1], &x->out_watch[1]);
	x->k->h->timer_free(x->timer);
	x->timer = NULL;
	if (x->ws)
		ows_close(x->ws, 1000, "");
	x->ws = NULL;
	ospdy_free(x->spdy);
	x->spdy = NULL;
	if (x->stream)
		ohttp_stream_close(x->stream);
	x->stream = NULL;
	if (x->wait && !x->ended)
		x->k->h->request_cancel(x->wait);
	olist_del(&x->node);
	session_unref(x);
}

static void close_posted(void *arg)
{
	struct session *x = arg;

	session_close(x);
	session_unref(x);
}

static void close_soon(struct session *x)
{
	if (x->close_posted || x->closed)
		return;
	x->close_posted = true;
	x->refs++;
	if (x->k->h->post(x->k->h, close_posted, x))
		session_unref(x);
}

/* ---- to the client ---------------------------------------------------------------------------------------- */

static size_t queued(const struct session *x)
{
	return x->ws ? ows_queued(x->ws) : x->stream ? ohttp_stream_queued(x->stream) : 0;
}

static int channel_send(struct session *x, int ch, const char *p, size_t len, bool fin)
{
	struct orlop_bytes v[2];
	char first;

	if (x->spdy)
		return x->ch[ch] ? ospdy_write(x->ch[ch], p, len, fin) : 0;
	if (!x->ws || !len)
		return 0;
	if (x->base64) {
		char *text = omem_alloc(OBASE64_ENCODED(len));
		int e;

		if (!text)
			return -ENOMEM;
		first = (char)('0' + ch);
		v[0] = (struct orlop_bytes){ &first, 1 };
		v[1] = (struct orlop_bytes){ text, obase64_encode(OBASE64_STD, p, len, text) };
		e = ows_send(x->ws, OWS_TEXT, v, 2);
		omem_free(text);
		return e;
	}
	first = (char)ch;
	v[0] = (struct orlop_bytes){ &first, 1 };
	v[1] = (struct orlop_bytes){ p, len };
	return ows_send(x->ws, OWS_BINARY, v, 2);
}

static void out_flow(struct session *x)
{
	bool full = queued(x) > QUEUE_HIGH;
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
		if (channel_send(x, i ? CH_STDERR : CH_STDOUT, buf, (size_t)n, false))
			close_soon(x);
		else
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

	if (full == x->in_paused)
		return;
	x->in_paused = full;
	if (x->ws)
		(full ? ows_pause : ows_resume)(x->ws);
	else if (x->stream)
		(full ? ohttp_stream_pause : ohttp_stream_resume)(x->stream);
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
	if (x->in_fd < 0 && x->exec_id)
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

	if (!x->exec_id || !x->width)
		return;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_RUNTIME_T_EXEC_ID, x->exec_id);
	orlop_msgw_u64(&w, ORLOP_RUNTIME_T_WIDTH, x->width);
	orlop_msgw_u64(&w, ORLOP_RUNTIME_T_HEIGHT, x->height);
	s.msg = orlop_msgw_msg(&w);
	(void)x->k->h->request(x->k->h, &s, ignored, NULL, NULL);
	orlop_msgw_done(&w);
}

static void resized(struct session *x, const char *p, size_t len)
{
	while (len) {
		const char *nl = memchr(p, '\n', len);
		size_t n = nl ? (size_t)(nl - p) : len;
		struct ojson *j = NULL;

		if (n && !ojson_parse(p, n, &j, NULL)) {
			int64_t w = ojson_get_i64(j, "Width", 0);
			int64_t h = ojson_get_i64(j, "Height", 0);

			if (w > 0 && w < 65536 && h > 0 && h < 65536) {
				x->width = (uint64_t)w;
				x->height = (uint64_t)h;
				resize_send(x);
			}
		}
		ojson_unref(j);
		p += n + (nl != NULL);
		len -= n + (nl != NULL);
	}
}

static void channel_data(struct session *x, int ch, const char *p, size_t len)
{
	if (ch == CH_RESIZE) {
		resized(x, p, len);
	} else if (ch == CH_STDIN && !x->in_eof && (x->in_fd >= 0 || !x->exec_id)) {
		obuf_append(&x->in, p, len);
		in_push(x);
	}
}

static void channel_eof(struct session *x, int ch)
{
	if (ch != CH_STDIN || x->in_eof)
		return;
	x->in_eof = true;
	in_push(x);
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

static void status_send(struct session *x)
{
	struct obuf b = OBUF_INIT;

	if (x->version >= 4) {
		if (x->failure) {
			obuf_puts(&b, "{\"metadata\":{},\"status\":\"Failure\",\"message\":");
			obuf_put_json_cstr(&b, x->failure);
			obuf_puts(&b, ",\"reason\":\"InternalError\",\"details\":{\"causes\":[{\"message\":");
			obuf_put_json_cstr(&b, x->failure);
			obuf_puts(&b, "}]},\"code\":500}");
		} else if (x->code) {
			obuf_printf(&b, "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"command terminated with non-zero exit code: "
				    "exit code %d\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\","
				    "\"message\":\"%d\"}]}}", x->code, x->code);
		} else {
			obuf_puts(&b, "{\"metadata\":{},\"status\":\"Success\"}");
		}
	} else if (x->failure) {
		obuf_puts(&b, x->failure);
	} else if (x->code) {
		obuf_printf(&b, "command terminated with exit code %d", x->code);
	}
	(void)channel_send(x, CH_ERROR, obuf_cstr(&b), b.len, true);
	obuf_done(&b);
}

static void finish(struct session *x)
{
	if (x->closed || x->close_posted)
		return;
	if (x->spdy) {
		(void)channel_send(x, CH_STDOUT, "", 0, true);
		(void)channel_send(x, CH_STDERR, "", 0, true);
	}
	status_send(x);
	close_soon(x);
}

static void maybe_finish(struct session *x)
{
	if (x->ended && x->out_fd[0] < 0 && x->out_fd[1] < 0)
		finish(x);
}

static void timer_fired(void *arg)
{
	struct session *x = arg;

	if (x->ended)
		finish(x);
	else if (!x->running)
		close_soon(x);
}

static void command_ended(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
			  uint32_t flags)
{
	struct session *x = arg;

	if (flags & ORLOP_REPLY_MORE)
		return;
	x->wait = NULL;
	x->ended = true;
	if (status >= 0)
		x->code = (int)orlop_msg_u64(msg, ORLOP_RUNTIME_T_EXIT_CODE, 0);
	else if (!x->failure)
		x->failure = omem_strdup(err && err->msg[0] ? err->msg : "the command's end is not known");
	if (!x->closed && !x->k->ending) {
		maybe_finish(x);
		if (x->timer && !x->close_posted)
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

static void begun(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct session *x = arg;
	struct orlop_bytes id;
	int i;

	(void)res;
	if (status < 0) {
		x->ended = true;
		x->failure = omem_strdup(why);
		if (!x->k->ending)
			finish(x);
		session_unref(x);
		return;
	}
	id = orlop_msg_bytes(x->k->h, msg, ORLOP_RUNTIME_T_EXEC_ID);
	x->exec_id = omem_strndup(id.p ? id.p : "", id.len);
	if (x->tty) {
		x->out_fd[0] = take_fd(msg, 0);
		x->in_fd = x->want[CH_STDIN] && x->out_fd[0] >= 0 ? fcntl(x->out_fd[0], F_DUPFD_CLOEXEC, 3) : -1;
	} else {
		x->in_fd = take_fd(msg, 0);
		x->out_fd[0] = take_fd(msg, 1);
		x->out_fd[1] = take_fd(msg, 2);
		/* what was not asked for is /dev/null */
		if (!x->want[CH_STDIN])
			fd_close(x, &x->in_fd, &x->in_watch);
		for (i = 0; i < 2; i++)
			if (!x->want[CH_STDOUT + i])
				fd_close(x, &x->out_fd[i], &x->out_watch[i]);
	}
	if (x->closed || !x->exec_id) {
		/* the client has left meanwhile: waiting and not waiting any more hangs the command up */
		fd_close(x, &x->in_fd, &x->in_watch);
		fd_close(x, &x->out_fd[0], &x->out_watch[0]);
		fd_close(x, &x->out_fd[1], &x->out_watch[1]);
		if (x->exec_id && !x->k->ending) {
			wait_for_end(x);
			if (x->wait)
				x->k->h->request_cancel(x->wait);
		}
		session_unref(x);
		return;
	}
	for (i = 0; i < 2; i++)
		if (x->out_fd[i] >= 0 && x->k->h->fd_watch(x->k->h, x->out_fd[i], ORLOP_FD_READ, out_readable, x,
							    &x->out_watch[i]))
			fd_close(x, &x->out_fd[i], &x->out_watch[i]);
	resize_send(x);
	in_push(x);
	wait_for_end(x);
	session_unref(x);
}

static void begin(struct session *x)
{
	struct ojson *body = rt_id("containerId", x->ctr_id);

	if (x->running)
		return;
	x->running = true;
	x->k->h->timer_clear(x->timer);
	(void)ojson_set(body, "cmd", ojson_ref(x->cmd));
	(void)ojson_set_bool(body, "tty", x->tty);
	(void)ojson_set_bool(body, "stdin", x->want[CH_STDIN]);
	(void)ojson_set_bool(body, "stdout", x->want[CH_STDOUT]);
	(void)ojson_set_bool(body, "stderr", x->want[CH_STDERR] && !x->tty);
	x->refs++;
	rt_call(x->k, ORLOP_RUNTIME_EXEC, 0, body, 0, begun, x);
}

/* ---- WebSocket --------------------------------------------------------------------------------------------------- */

static void ws_message(void *arg, int type, const char *p, size_t len)
{
	struct session *x = arg;
	int ch;

	(void)type;
	if (!len)
		return;
	if (x->base64) {
		char *raw = omem_alloc(OBASE64_DECODED(len) + 1);
		long n = raw ? obase64_decode(OBASE64_STD, p + 1, len - 1, raw, NULL) : -1;

		if (n >= 0)
			channel_data(x, *p - '0', raw, (size_t)n);
		omem_free(raw);
		return;
	}
	ch = (unsigned char)*p;
	if (ch == 255 && x->version >= 5) {
		if (len >= 2)
			channel_eof(x, (unsigned char)p[1]);
		return;
	}
	channel_data(x, ch, p + 1, len - 1);
}

static void ws_drained(void *arg)
{
	out_flow(arg);
}

static void ws_closed(void *arg, int code)
{
	struct session *x = arg;

	(void)code;
	x->ws = NULL;
	close_soon(x);
}

static const struct ows_ops ws_ops = { .message = ws_message, .drained = ws_drained, .closed = ws_closed };

static int ws_begin(struct session *x, struct ohttp_req *r)
{
	static const char *const offers[] = {
		"v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io",
		"base64.channel.k8s.io", NULL,
	};
	const char *proto = ows_protocol(r, offers);
	int e;

	x->version = proto && proto[0] == 'v' ? proto[1] - '0' : 1;
	x->base64 = proto && strstr(proto, "base64") != NULL;
	e = ows_accept(r, proto, 0, &ws_ops, x, &x->ws);
	if (!e)
		begin(x);
	return e;
}

/* ---- SPDY ---------------------------------------------------------------------------------------------------------- */

static int spdy_send(void *arg, const char *p, size_t len)
{
	struct session *x = arg;

	return x->stream ? ohttp_stream_write(x->stream, p, len) : -EPIPE;
}

static bool all_open(const struct session *x)
{
	int i;

	for (i = 0; i < N_CH; i++)
		if (x->want[i] && !x->ch[i])
			return false;
	return true;
}

static int spdy_open(void *arg, struct ospdy_stream *st, const struct ohttp_header *hdr, size_t n)
{
	static const char *const names[N_CH] = { "stdin", "stdout", "stderr", "error", "resize" };
	struct session *x = arg;
	size_t i;
	int ch;

	for (i = 0; i < n; i++) {
		if (!ostr_is(hdr[i].name.p, hdr[i].name.len, "streamtype"))
			continue;
		for (ch = 0; ch < N_CH; ch++) {
			if (!ostr_is(hdr[i].value.p, hdr[i].value.len, names[ch]))
				continue;
			if (x->ch[ch])
				return -EEXIST;
			x->ch[ch] = st;
			ospdy_stream_set_user(st, &x->ch[ch]);
			if (all_open(x))
				begin(x);
			return 0;
		}
	}
	return -EINVAL;
}

static void spdy_data(void *arg, struct ospdy_stream *st, const char *p, size_t len, bool fin)
{
	struct session *x = arg;
	struct ospdy_stream **slot = ospdy_stream_user(st);
	int ch = slot ? (int)(slot - x->ch) : -1;

	if (ch < 0)
		return;
	if (len)
		channel_data(x, ch, p, len);
	if (fin)
		channel_eof(x, ch);
}

static void spdy_reset(void *arg, struct ospdy_stream *st)
{
	struct ospdy_stream **slot = ospdy_stream_user(st);

	(void)arg;
	if (slot)
		*slot = NULL;
}

static void spdy_ended(void *arg, int err)
{
	struct session *x = arg;

	(void)err;
	memset(x->ch, 0, sizeof(x->ch));
	close_soon(x);
}

static const struct ospdy_ops spdy_ops = {
	.send = spdy_send, .open = spdy_open, .data = spdy_data, .reset = spdy_reset, .ended = spdy_ended,
};

static void stream_data(void *arg, const char *p, size_t len)
{
	struct session *x = arg;

	if (x->spdy && ospdy_feed(x->spdy, p, len))
		close_soon(x);
}

static void stream_drained(void *arg)
{
	out_flow(arg);
}

static void stream_closed(void *arg, int err)
{
	struct session *x = arg;

	(void)err;
	x->stream = NULL;
	close_soon(x);
}

static const struct ohttp_stream_ops stream_ops = {
	.data = stream_data, .drained = stream_drained, .closed = stream_closed,
};

static const char *const spdy_names[] = {
	"channel.k8s.io", "v2.channel.k8s.io", "v3.channel.k8s.io", "v4.channel.k8s.io",
};

/* Highest version that the client lists, 0: it lists others only. */
static int spdy_version(const struct ohttp_req *r)
{
	const struct ohttp_header *h;
	size_t n = ohttp_headers(r, &h);
	bool any = false;
	int best = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		if (h[i].name.len != 25 || strncasecmp(h[i].name.p, "x-stream-protocol-version", 25))
			continue;
		any = true;
		for (int v = 4; v > best; v--)
			if (ohttp_has_token(h[i].value, spdy_names[v - 1])) {
				best = v;
				break;
			}
	}
	return any ? best : 1;
}

static int spdy_begin(struct session *x, struct ohttp_req *r)
{
	struct ohttp_header hdr;
	int e;

	x->version = spdy_version(r);
	if (!x->version)
		return -EPROTONOSUPPORT;
	hdr = ohttp_header_cstr("X-Stream-Protocol-Version", spdy_names[x->version - 1]);
	e = ospdy_new(&spdy_ops, x, &x->spdy);
	if (e)
		return e;
	e = ohttp_upgrade(r, "SPDY/3.1", &hdr, 1, &stream_ops, x, &x->stream);
	if (!e)
		x->k->h->timer_set(x->timer, STREAMS_NS, 0);
	return e;
}

/* ---- the request ----------------------------------------------------------------------------------------------------- */

static struct ojson *command_of(struct orlop_bytes q)
{
	struct ojson *list = ojson_new_array();
	size_t at = 0;
	char *v;

	while ((v = query_next(q, "command", &at))) {
		(void)ojson_append_cstr(list, v);
		omem_free(v);
	}
	return list;
}

static bool flag_either(struct orlop_bytes q, const char *a, const char *b)
{
	return query_flag(q, a) || query_flag(q, b);
}

void exec_serve(struct server *s, struct ohttp_req *r, struct pod *p, struct ctr *c)
{
	struct orlop_bytes q = ohttp_query(r);
	bool ws = ows_wanted(r);
	struct session *x;
	int e;

	if (c->state != C_RUNNING || !c->id) {
		server_text(r, 500, "container not found (\"%s\")", c->name);
		return;
	}
	if (!ws && !ohttp_wants_upgrade(r, "SPDY/3.1")) {
		server_text(r, 400, "Upgrade request required");
		return;
	}
	x = OMEM_NEW(struct session);
	if (!x || !(x->cmd = command_of(q)) || !(x->ctr_id = omem_strdup(c->id)) ||
	    s->k->h->timer_new(s->k->h, timer_fired, x, &x->timer)) {
		if (x) {
			ojson_unref(x->cmd);
			omem_free(x->ctr_id);
		}
		omem_free(x);
		server_text(r, 500, "no memory");
		return;
	}
	x->s = s;
	x->k = s->k;
	x->p = p;
	x->refs = 1;
	x->in_fd = -1;
	x->out_fd[0] = -1;
	x->out_fd[1] = -1;
	x->tty = query_flag(q, "tty");
	x->want[CH_STDIN] = flag_either(q, "input", "stdin");
	x->want[CH_STDOUT] = flag_either(q, "output", "stdout");
	x->want[CH_STDERR] = flag_either(q, "error", "stderr") && !x->tty;
	x->want[CH_ERROR] = true;
	pod_ref(p);
	olist_append(&s->sessions, &x->node);
	if (!x->want[CH_STDIN] && !x->want[CH_STDOUT] && !x->want[CH_STDERR])
		e = -EINVAL;
	else
		e = ws ? ws_begin(x, r) : spdy_begin(x, r);
	/* before v3 there is no resize stream, and in v3 it comes with a terminal */
	if (e) {
		server_text(r, 400, e == -EINVAL ? "you must specify at least 1 of stdin, stdout, stderr"
				    : e == -EPROTONOSUPPORT ? "none of the stream protocols offered is supported"
							    : "the connection cannot be upgraded");
		session_close(x);
	}
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
