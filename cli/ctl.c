/*
 * ctl.c - the control socket of a running orlopd, from the asking side.
 */
#include "ctl.h"

#include <orlop/runtime.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/ocleanup.h"

#define ANSWER_MAX	(256u << 20)

int ctl_open(const char *path, struct ctl *ret, struct orlop_error *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	cleanup_close int fd = -1;

	if (strlen(path) >= sizeof(un.sun_path))
		return orlop_fail(err, ENAMETOOLONG, 0, "", "%s: too long for a socket; choose a shorter data directory", path);
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "socket: %s", strerrordesc_np(errno));
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return orlop_fail(err, errno, 0, "", "orlopd is not running (nothing answers at %s); "
					  "start it: orlop up", path);
		if (errno == EACCES)
			return orlop_fail(err, EACCES, 0, "", "%s: permission denied; run it as root", path);
		return orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
	}
	ret->fd = TAKE_FD(fd);
	ret->path = path;
	return 0;
}

void ctl_close(struct ctl *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
}

static int put(struct ctl *c, const void *p, size_t len, int flags)
{
	const char *at = p;

	while (len) {
		ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL | flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int get(struct ctl *c, void *p, size_t len)
{
	char *at = p;

	while (len) {
		ssize_t n = read(c->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ECONNRESET;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* All of a frame, with a descriptor at its first byte unless @fd is -1. */
static int put_frame(struct ctl *c, const uint32_t head[2], struct orlop_bytes body, int fd)
{
	union {
		struct cmsghdr	align;
		char		buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)head, .iov_len = 8 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
			    .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *h;
	ssize_t n;
	int r;

	if (fd < 0) {
		r = put(c, head, 8, body.len ? MSG_MORE : 0);
		return r || !body.len ? r : put(c, body.p, body.len, 0);
	}
	memset(&control, 0, sizeof(control));
	h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	do
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r = put(c, (const char *)head + n, 8 - (size_t)n, 0);
	return r || !body.len ? r : put(c, body.p, body.len, 0);
}

static int send_fd(struct ctl *c, uint32_t op, struct orlop_msgw *w, int fd, struct orlop_error *err)
{
	struct orlop_msg m = { .body = { NULL, 0 } };
	uint32_t head[2];
	int r;

	if (w && w->err)
		return orlop_fail(err, -w->err, 0, "", "the request: %s", strerrordesc_np(-w->err));
	if (w)
		m = orlop_msgw_msg(w);
	head[0] = (uint32_t)m.body.len;
	head[1] = op;
	r = put_frame(c, head, m.body, fd);
	return r ? orlop_fail(err, -r, 0, "", "%s: %s", c->path, strerrordesc_np(-r)) : 0;
}

int ctl_send(struct ctl *c, uint32_t op, struct orlop_msgw *w, struct orlop_error *err)
{
	return send_fd(c, op, w, -1, err);
}

int ctl_wait(struct ctl *c, int timeout_ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) != 0;
}

int ctl_recv(struct ctl *c, struct obuf *ret, struct orlop_error *err)
{
	int r = ctl_next(c, ret, err);

	return r < 0 ? r : 0;
}

int ctl_next(struct ctl *c, struct obuf *ret, struct orlop_error *err)
{
	uint32_t head[2];
	int32_t status;
	char *room;
	int r = get(c, head, sizeof(head));

	if (r)
		return orlop_fail(err, -r, 0, "", "orlopd ended before it answered");
	if (head[0] > ANSWER_MAX)
		return orlop_fail(err, EBADMSG, 0, "", "%s: not an orlopd", c->path);
	obuf_reset(ret);
	room = obuf_reserve(ret, head[0] + 1);
	if (!room)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	r = get(c, room, head[0]);
	if (r)
		return orlop_fail(err, -r, 0, "", "orlopd ended before it answered");
	obuf_advance(ret, head[0]);
	memcpy(&status, &head[1], 4);
	if (status < 0) {
		struct orlop_bytes text = ctl_field(ret, ORLOP_ADMIN_T_TEXT);

		return orlop_fail(err, -status, 0, "", "%.*s", (int)text.len, text.p ? text.p : "");
	}
	return status == ORLOP_ADMIN_MORE;
}

int ctl_call(struct ctl *c, uint32_t op, struct orlop_msgw *w, struct obuf *ret, struct orlop_error *err)
{
	int r = ctl_send(c, op, w, err);

	return r ? r : ctl_recv(c, ret, err);
}

static int forward_send(struct ctl *c, const char *to, uint32_t op, struct orlop_msgw *w, int fd,
			uint64_t timeout_ns, struct orlop_error *err)
{
	struct orlop_msgw outer;
	int r;

	orlop_msgw_init(&outer, NULL);
	orlop_msgw_str(&outer, ORLOP_ADMIN_T_TO, to);
	orlop_msgw_u64(&outer, ORLOP_ADMIN_T_OP, op);
	if (w) {
		struct orlop_msg m = orlop_msgw_msg(w);

		orlop_msgw_bytes(&outer, ORLOP_ADMIN_T_BODY, m.body.p, m.body.len);
		if (w->err)
			outer.err = w->err;
	}
	if (timeout_ns)
		orlop_msgw_u64(&outer, ORLOP_ADMIN_T_TIMEOUT_NS, timeout_ns);
	r = send_fd(c, ORLOP_ADMIN_FORWARD, &outer, fd, err);
	orlop_msgw_done(&outer);
	return r;
}

int ctl_forward_send(struct ctl *c, const char *to, uint32_t op, struct orlop_msgw *w, struct orlop_error *err)
{
	return forward_send(c, to, op, w, -1, 0, err);
}

int ctl_forward_fd(struct ctl *c, const char *to, uint32_t op, struct orlop_msgw *w, int fd, uint64_t timeout_ns,
		   struct obuf *ret, struct orlop_error *err)
{
	int r = forward_send(c, to, op, w, fd, timeout_ns, err);

	return r ? r : ctl_forward_recv(c, ret, err);
}

int ctl_forward_recv(struct ctl *c, struct obuf *ret, struct orlop_error *err)
{
	struct obuf outer = OBUF_INIT;
	int r = ctl_recv(c, &outer, err);

	if (r == 0) {
		struct orlop_bytes body = ctl_field(&outer, ORLOP_ADMIN_T_BODY);

		obuf_reset(ret);
		obuf_append(ret, body.p ? body.p : "", body.len);
		r = obuf_err(ret) ? orlop_fail(err, ENOMEM, 0, "", "out of memory") : 0;
	}
	obuf_done(&outer);
	return r;
}

int ctl_forward(struct ctl *c, const char *to, uint32_t op, struct orlop_msgw *w, struct obuf *ret,
		struct orlop_error *err)
{
	int r = ctl_forward_send(c, to, op, w, err);

	return r ? r : ctl_forward_recv(c, ret, err);
}

struct orlop_bytes ctl_field(const struct obuf *answer, uint32_t tag)
{
	struct orlop_msg m = { .size = sizeof(m), .body = { answer->data, answer->len } };

	return orlop_msg_bytes(NULL, &m, tag);
}

static int parse(struct orlop_bytes text, struct ojson **ret, struct orlop_error *err)
{
	int r = text.p ? ojson_parse_bytes(text, ret, NULL) : -EBADMSG;

	return r ? orlop_fail(err, -r, 0, "", "the answer of orlopd cannot be read; is it of another version?") : 0;
}

int ctl_json(struct ctl *c, uint32_t op, const char *name, struct ojson **ret, struct orlop_error *err)
{
	struct obuf answer = OBUF_INIT;
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, NULL);
	if (name)
		orlop_msgw_str(&w, ORLOP_ADMIN_T_NAME, name);
	r = ctl_call(c, op, &w, &answer, err);
	orlop_msgw_done(&w);
	if (r == 0)
		r = parse(ctl_field(&answer, ORLOP_ADMIN_T_JSON), ret, err);
	obuf_done(&answer);
	return r;
}

int ctl_runtime(struct ctl *c, uint32_t op, struct ojson *take_req, struct ojson **ret, struct orlop_error *err)
{
	cleanup_free char *text = take_req ? ojson_text(take_req, 0, NULL) : omem_strdup("{}");
	struct obuf answer = OBUF_INIT;
	struct orlop_msgw w;
	int r;

	ojson_unref(take_req);
	orlop_msgw_init(&w, NULL);
	if (text)
		orlop_msgw_str(&w, ORLOP_RUNTIME_T_REQUEST, text);
	else
		w.err = -ENOMEM;
	r = ctl_forward(c, "runtime", op, &w, &answer, err);
	orlop_msgw_done(&w);
	if (r == 0)
		r = parse(ctl_field(&answer, ORLOP_RUNTIME_T_RESPONSE), ret, err);
	obuf_done(&answer);
	return r;
}
