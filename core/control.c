/*
 * control.c - the control socket: frames of abi/orlop/admin.h from root or ourselves, each sent on
 * as a request to the address "core".
 *
 * Whoever may connect is trusted with the daemon, but not with its memory: a frame has a limit, half
 * a frame has a deadline, and there are only so many connections.
 *
 * The tap is a stream and does not go over the bus that it shows: lines are taken from its ring when
 * the socket has taken those before.
 */
#include "admin.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/admin.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "bus/bus.h"
#include "config.h"
#include "log.h"
#include "net.h"
#include "tap.h"

#define CONNS_MAX	64u
#define ANSWER_MAX	(256u << 20)
#define FLATTEN_DEPTH	8
#define IDLE_NS		UINT64_C(30000000000)	/* for the rest of a frame, or to take an answer */
#define REQUEST_NS	UINT64_C(120000000000)
#define REQUEST_MAX_NS	UINT64_C(86400000000000)
#define TAP_LINES	64u		/* of a frame */

struct core_admin {
	struct core	*core;
	struct orlop_listener *listener;
	struct olist	conns;
	uint32_t	n_conns;
};

struct conn {
	struct olist	node;
	struct core_admin *admin;
	int		fd;
	struct orlop_fdwatch *watch;
	struct orlop_timer *timer;
	struct obuf	in;
	struct obuf	out;
	size_t		sent;
	bool		asked;		/* a request is under way */
	struct orlop_request *patient;	/* one that ends when its asker hangs up; else NULL */
	bool		gone;		/* closed while it was */
	struct core_tap	*tap;		/* a stream: anything that comes now ends it */
	int32_t		fds[ORLOP_MSG_MAX_FDS];	/* came with the request */
	uint32_t	n_fds;
};

/* ---- messages without blobs ------------------------------------------------------------------------- */

static void put_u32(struct obuf *b, uint32_t v)
{
	char le[4] = { (char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24) };

	obuf_append(b, le, 4);
}

static uint32_t get_u32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static void flatten(const struct orlop_host *h, const struct orlop_msg *m, struct orlop_bytes body,
		    int depth, struct obuf *out)
{
	static const char zeros[8] = "";
	struct orlop_msgr r;

	orlop_msgr_init(&r, h, m, body);
	while (orlop_msgr_next(&r)) {
		size_t at = out->len;
		size_t len;

		put_u32(out, (r.tag & 0xffff) | r.type << 16);
		put_u32(out, (uint32_t)r.bytes.len);
		if (r.type == ORLOP_T_MSG && depth < FLATTEN_DEPTH)
			flatten(h, m, r.bytes, depth + 1, out);
		else
			obuf_append(out, r.bytes.p, r.bytes.len);
		if (obuf_err(out))
			return;
		len = out->len - at - 8;
		memcpy(out->data + at + 4, &(uint32_t){ (uint32_t)len }, 4);
		obuf_append(out, zeros, (8 - len % 8) % 8);
	}
}

void core_msg_flatten(const struct orlop_host *h, const struct orlop_msg *m, struct obuf *out)
{
	if (m)
		flatten(h, m, m->body, 0, out);
}

/* ---- connections --------------------------------------------------------------------------------------- */

static void conn_event(void *arg, int32_t fd, uint32_t events);

static void conn_free(struct conn *c)
{
	for (uint32_t i = 0; i < c->n_fds; i++)
		(void)close(c->fds[i]);
	obuf_done(&c->in);
	obuf_done(&c->out);
	omem_free(c);
}

static void conn_close(struct conn *c)
{
	if (c->gone)
		return;
	c->gone = true;
	core_tap_close(c->tap);
	core_fd_unwatch(c->watch);
	core_timer_free(c->timer);
	(void)close(c->fd);
	olist_del(&c->node);
	c->admin->n_conns--;
	if (!c->asked)
		conn_free(c);
}

static void conn_late(void *arg)
{
	conn_close(arg);
}

static void conn_answer(struct conn *c, int32_t status, const struct orlop_msg *msg,
			const struct orlop_error *err)
{
	const struct orlop_host *h = &c->admin->core->self->shards[0].host;
	size_t len;

	obuf_reset(&c->out);
	c->out.max = ANSWER_MAX;
	c->sent = 0;
	put_u32(&c->out, 0);
	put_u32(&c->out, (uint32_t)status);
	if (status < 0) {
		struct orlop_msgw w;
		struct orlop_msg m;

		orlop_msgw_init(&w, NULL);
		orlop_msgw_str(&w, ORLOP_ADMIN_T_TEXT, err && err->msg[0] ? err->msg :
			       strerrordesc_np(-status) ? strerrordesc_np(-status) : "failed");
		m = orlop_msgw_msg(&w);
		obuf_append(&c->out, m.body.p, m.body.len);
		orlop_msgw_done(&w);
	} else {
		core_msg_flatten(h, msg, &c->out);
	}
	if (obuf_err(&c->out)) {
		conn_close(c);
		return;
	}
	len = c->out.len - 8;
	memcpy(c->out.data, &(uint32_t){ (uint32_t)len }, 4);
	core_timer_set(c->timer, IDLE_NS, 0);
	core_fd_update(c->watch, ORLOP_FD_WRITE);
}

static void conn_replied(void *arg, int32_t status, const struct orlop_msg *msg,
			 const struct orlop_error *err, uint32_t flags)
{
	struct conn *c = arg;

	if (flags & ORLOP_REPLY_MORE)
		return;
	c->asked = false;
	c->patient = NULL;
	if (c->gone)
		conn_free(c);
	else
		conn_answer(c, status, msg, err);
}

/* ---- the tap -------------------------------------------------------------------------------------------- */

/* The next frame of the stream, if there is something to say and the last one has left. */
static void conn_tap_fill(void *arg)
{
	struct conn *c = arg;
	uint32_t head[4] = { 0, ORLOP_ADMIN_MORE, ORLOP_ADMIN_T_TEXT | ORLOP_T_BYTES << 16, 0 };

	if (c->out.len)
		return;
	c->sent = 0;
	c->out.max = ANSWER_MAX;
	obuf_append(&c->out, head, sizeof(head));
	if (!core_tap_read(c->tap, TAP_LINES, &c->out)) {
		obuf_reset(&c->out);
		core_timer_clear(c->timer);
		core_fd_update(c->watch, ORLOP_FD_READ);
		return;
	}
	head[3] = (uint32_t)(c->out.len - sizeof(head));
	obuf_append(&c->out, "\0\0\0\0\0\0\0", (8 - c->out.len % 8) % 8);
	if (obuf_err(&c->out)) {
		conn_close(c);
		return;
	}
	head[0] = (uint32_t)c->out.len - 8;
	memcpy(c->out.data, head, sizeof(head));
	core_timer_set(c->timer, IDLE_NS, 0);
	core_fd_update(c->watch, ORLOP_FD_READ | ORLOP_FD_WRITE);
}

static void text_copy(struct orlop_bytes v, char *to, size_t size)
{
	size_t n = v.len < size - 1 ? v.len : size - 1;

	if (n)
		memcpy(to, v.p, n);
	to[n] = '\0';
}

static void conn_tap(struct conn *c, const struct orlop_msg *m)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t cred_len = sizeof(cred);
	struct core_tap_spec spec = { .op = (int64_t)orlop_msg_u64(m, ORLOP_ADMIN_T_OP, UINT64_MAX) };
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r;

	spec.trace = orlop_msg_u64(m, ORLOP_ADMIN_T_TRACE, 0);
	spec.bodies = orlop_msg_u64(m, ORLOP_ADMIN_T_BODIES, 0) == 1;
	text_copy(orlop_msg_bytes(NULL, m, ORLOP_ADMIN_T_NAME), spec.link, sizeof(spec.link));
	text_copy(orlop_msg_bytes(NULL, m, ORLOP_ADMIN_T_TO), spec.address, sizeof(spec.address));
	r = core_tap_open(c->admin->core, &spec, conn_tap_fill, c, &c->tap);
	if (r) {
		(void)orlop_fail(&err, -r, 0, "", r == -EBUSY ? "%u others look at the bus already" :
				 "no memory for a tap", CORE_TAPS_MAX);
		conn_answer(c, r, NULL, &err);
		return;
	}
	/* An empty frame at once: who waits for it knows that nothing is missed from here on. */
	(void)getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len);
	CLOG(c->admin->core, INFO, "tap", "pid=%ld uid=%u bodies=%d", (long)cred.pid, cred.uid, spec.bodies);
	c->sent = 0;
	put_u32(&c->out, 0);
	put_u32(&c->out, ORLOP_ADMIN_MORE);
	if (obuf_err(&c->out))
		conn_close(c);
	else
		core_fd_update(c->watch, ORLOP_FD_READ | ORLOP_FD_WRITE);
}

/* ---- requests -------------------------------------------------------------------------------------------- */

/* A whole frame is in: ask. */
static void conn_ask(struct conn *c, uint32_t len)
{
	struct core *core = c->admin->core;
	struct orlop_send send = { .size = sizeof(send), .to = "core", .timeout_ns = REQUEST_NS };
	struct orlop_error err = ORLOP_ERROR_INIT;
	uint64_t timeout;
	bool patient;
	int r;

	send.op = get_u32(c->in.data + 4);
	send.msg.size = sizeof(send.msg);
	send.msg.body.p = c->in.data + 8;
	send.msg.body.len = len;
	send.msg.fds = c->fds;
	send.msg.n_fds = c->n_fds;
	core_timer_clear(c->timer);
	if (send.op == ORLOP_ADMIN_TAP) {
		conn_tap(c, &send.msg);
		return;
	}
	patient = send.op == ORLOP_ADMIN_MODULE_LOAD || send.op == ORLOP_ADMIN_MODULE_REPLACE;
	if (patient)
		send.timeout_ns = REQUEST_MAX_NS;	/* start_timeout_s is the limit */
	timeout = orlop_msg_u64(&send.msg, ORLOP_ADMIN_T_TIMEOUT_NS, 0);
	if (timeout)
		send.timeout_ns = timeout < REQUEST_MAX_NS ? timeout : REQUEST_MAX_NS;
	core_fd_update(c->watch, patient ? ORLOP_FD_READ : 0);
	c->asked = true;
	c->n_fds = 0;		/* taken, also if it fails */
	r = core_link_request(core->self->shards[0].link, &send, conn_replied, c, patient ? &c->patient : NULL);
	obuf_splice(&c->in, 0, 8 + len, NULL, 0);
	if (r) {
		c->asked = false;
		conn_answer(c, r, NULL, (orlop_fail(&err, -r, 0, "", "%s", strerrordesc_np(-r)), &err));
	}
}

/* What is in the buffer: a frame, part of one, or rubbish. */
static void conn_look(struct conn *c)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	uint32_t len;

	if (c->in.len < 8)
		return;
	len = get_u32(c->in.data);
	if (len > ORLOP_MSG_MAX) {
		obuf_reset(&c->in);
		conn_answer(c, -E2BIG, NULL, (orlop_fail(&err, E2BIG, 0, "", "a frame of %u bytes, at most %u",
							 len, ORLOP_MSG_MAX), &err));
		return;
	}
	if (c->in.len >= 8 + (size_t)len)
		conn_ask(c, len);
}

/* read(), with the descriptors that come along; more than there is room for: -1, EMSGSIZE. */
static ssize_t conn_recv(struct conn *c, char *room, size_t size)
{
	union {
		struct cmsghdr	align;
		char		buf[CMSG_SPACE(sizeof(int) * ORLOP_MSG_MAX_FDS)];
	} control;
	struct iovec iov = { .iov_base = room, .iov_len = size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
			    .msg_controllen = sizeof(control.buf) };
	ssize_t n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);
	bool fits = n < 0 || !(m.msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		uint32_t count = (uint32_t)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (uint32_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
			fits = fits && c->n_fds < ORLOP_MSG_MAX_FDS;
			if (fits)
				c->fds[c->n_fds++] = fd;
			else
				(void)close(fd);
		}
	}
	if (!fits) {
		errno = EMSGSIZE;
		return -1;
	}
	return n;
}

static void conn_read(struct conn *c)
{
	char *room = obuf_reserve(&c->in, 16384);
	ssize_t n;

	if (!room) {
		conn_close(c);
		return;
	}
	n = conn_recv(c, room, 16384);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close(c);
		return;
	}
	obuf_advance(&c->in, (size_t)n);
	core_timer_set(c->timer, IDLE_NS, 0);
	conn_look(c);
}

static void conn_write(struct conn *c)
{
	ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		conn_close(c);
		return;
	}
	c->sent += (size_t)n;
	core_timer_set(c->timer, IDLE_NS, 0);
	if (c->sent < c->out.len)
		return;
	obuf_done(&c->out);
	obuf_init(&c->out);
	if (c->tap) {
		conn_tap_fill(c);
		return;
	}
	core_timer_clear(c->timer);
	core_fd_update(c->watch, ORLOP_FD_READ);
	conn_look(c);
}

/* While a module is being loaded: whoever asked for it and hangs up (Ctrl-C) does not want it any more. */
static void conn_hangs_up(struct conn *c)
{
	struct orlop_request *r = c->patient;
	struct pollfd p = { .fd = c->fd };
	char b;
	ssize_t n = recv(c->fd, &b, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 || poll(&p, 1, 0) != 1 || !(p.revents & (POLLHUP | POLLERR))) {
		/* Another request, which waits; or it says no more, and listens. */
		core_fd_update(c->watch, 0);
		return;
	}
	conn_close(c);
	core_request_cancel(r);
}

static void conn_event(void *arg, int32_t fd, uint32_t events)
{
	struct conn *c = arg;

	(void)fd;
	if (c->asked) {
		if (c->patient)
			conn_hangs_up(c);
		return;
	}
	if (c->tap && (events & ORLOP_FD_READ)) {
		conn_close(c);		/* the end, or a request that nobody can answer now */
		return;
	}
	if (c->out.len)
		conn_write(c);
	else if (events & ORLOP_FD_READ)
		conn_read(c);
}

static void control_accept(void *arg, int32_t fd, const char *peer)
{
	struct core_admin *a = arg;
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);
	struct conn *c;

	(void)peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
	    (cred.uid != 0 && cred.uid != geteuid()) || a->n_conns >= CONNS_MAX) {
		CLOG(a->core, WARN, "control_refused", "uid=%u connections=%u", cred.uid, a->n_conns);
		(void)close(fd);
		return;
	}
	c = OMEM_NEW(struct conn);
	if (!c) {
		(void)close(fd);
		return;
	}
	c->admin = a;
	c->fd = fd;
	if (core_timer_new(a->core->main, NULL, conn_late, c, &c->timer) ||
	    core_fd_watch(a->core->main, NULL, fd, ORLOP_FD_READ, conn_event, c, &c->watch)) {
		core_timer_free(c->timer);
		(void)close(fd);
		omem_free(c);
		return;
	}
	olist_append(&a->conns, &c->node);
	a->n_conns++;
}

/* ---- life ------------------------------------------------------------------------------------------------ */

int core_control_start(struct core *core, struct orlop_error *err)
{
	cleanup_free char *addr = omem_printf("unix:%s", core->config->control);
	cleanup_free char *dir = omem_strdup(core->config->control);
	struct core_admin *a = OMEM_NEW(struct core_admin);
	int r;

	if (!addr || !dir || !a) {
		omem_free(a);
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	}
	a->core = core;
	olist_init(&a->conns);
	core->admin = a;
	if (strrchr(dir, '/') && strrchr(dir, '/') != dir) {
		*strrchr(dir, '/') = '\0';
		(void)ofile_mkdir_p(dir, 0755);		/* listen says it better if this fails */
	}
	r = core_net_listen(core->net, core->main, NULL, "core", addr, control_accept, a, &a->listener, err);
	if (r)
		return r;
	/* Peers are checked one by one; the mode only spares others the attempt. */
	(void)chmod(core->config->control, 0600);
	return 0;
}

void core_control_stop(struct core *core)
{
	struct core_admin *a = core->admin;
	struct olist *n;

	if (!a)
		return;
	core_net_listener_close(a->listener);
	core_net_release(core->net, "core");
	while ((n = olist_first(&a->conns)))
		conn_close(OLIST_ENTRY(n, struct conn, node));
	core->admin = NULL;
	omem_free(a);
}
