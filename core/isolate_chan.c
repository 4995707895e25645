/*
 * isolate_chan.c - packets over a SOCK_SEQPACKET pair.
 */
#include "isolate_chan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/omem.h"

#define QUEUE_MAX	16384u
#define QUEUE_BYTES	(64u << 20)
#define QUEUE_FDS	1024u	/* they are open here until they leave */
#define BUDGET		64	/* packets per turn */

struct queued {
	struct olist	node;
	uint32_t	type;
	uint64_t	id;
	uint32_t	n_fds;
	int32_t		fds[CORE_ISO_FDS_MAX];
	uint32_t	len;
	uint32_t	fields_len;
	char		body[];
};

struct core_iso_chan {
	struct core_loop *loop;
	int		fd;
	struct orlop_fdwatch *watch;
	core_iso_in_fn	in;
	core_iso_end_fn	end;
	void		*arg;
	char		*buf;
	bool		*freed;		/* set while a callback runs */
	pthread_mutex_t	lock;		/* guards the rest */
	struct olist	queue;
	uint32_t	n_queued;
	uint32_t	queued_fds;
	uint64_t	queued_bytes;
	int		broken;		/* -errno */
	bool		ended;		/* end() was called; on the loop */
	struct core_post sync;
};

/* A packet in parts: head, fields, and what is behind them. */
static int send_raw(int fd, uint32_t type, uint64_t id, struct orlop_bytes fields, const struct core_iso_raw *raw,
		    const int32_t *fds, uint32_t n_fds)
{
	struct core_iso_head h = { .magic = CORE_ISO_MAGIC, .version = CORE_ISO_VERSION,
				   .type = (uint16_t)type, .id = id, .fields_len = (uint32_t)fields.len };
	struct iovec v[2 + CORE_ISO_PARTS_MAX] = { { &h, sizeof(h) },
						   { (char *)(uintptr_t)fields.p, fields.len } };
	union {
		struct cmsghdr	align;
		char		bytes[CMSG_SPACE(sizeof(int) * CORE_ISO_FDS_MAX)];
	} control;
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };

	h.len = h.fields_len;
	for (uint32_t i = 0; raw && i < raw->n; i++) {
		v[m.msg_iovlen++] = (struct iovec){ (char *)(uintptr_t)raw->part[i].p, raw->part[i].len };
		h.len += (uint32_t)raw->part[i].len;
	}
	if (n_fds) {
		struct cmsghdr *cm;

		memset(&control, 0, sizeof(control));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		cm = CMSG_FIRSTHDR(&m);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * n_fds);
	}
	for (;;) {
		if (sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != EINTR)
			return errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS ? -EAGAIN : -errno;
	}
}

int core_iso_put(int fd, uint32_t type, uint64_t id, const struct orlop_msgw *w)
{
	struct orlop_bytes fields = { w ? w->buf : NULL, w ? w->len : 0 };

	if (w && w->err)
		return w->err;
	return send_raw(fd, type, id, fields, NULL, w ? w->fds : NULL, w ? w->n_fds : 0);
}

static int recv_raw(int fd, char *buf, size_t size, struct core_iso_in *in)
{
	struct iovec v = { buf, size };
	union {
		struct cmsghdr	align;
		char		bytes[CMSG_SPACE(sizeof(int) * CORE_ISO_FDS_MAX)];
	} control;
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n;
	int r;

	in->n_fds = 0;
	do {
		n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : errno == ECONNRESET ? -EPIPE : -errno;
	if (n == 0)
		return -EPIPE;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(&m); cm; cm = CMSG_NXTHDR(&m, cm)) {
		uint32_t k = (uint32_t)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		if (k > CORE_ISO_FDS_MAX)
			k = CORE_ISO_FDS_MAX;
		memcpy(in->fds, CMSG_DATA(cm), k * sizeof(int));
		in->n_fds = k;
	}
	r = m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EPROTO : core_iso_read(buf, (size_t)n, in);
	if (r) {
		for (uint32_t i = 0; i < in->n_fds; i++)
			(void)close(in->fds[i]);
		in->n_fds = 0;
	}
	return r;
}

int core_iso_recv(int fd, int timeout_ms, char *buf, size_t size, struct core_iso_in *in)
{
	uint64_t end = core_now_mono() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * 1000000;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int wait = timeout_ms;
		int r = recv_raw(fd, buf, size, in);

		if (r != -EAGAIN)
			return r;
		if (timeout_ms >= 0) {
			uint64_t now = core_now_mono();

			if (now >= end)
				return -ETIMEDOUT;
			wait = (int)((end - now) / 1000000) + 1;
		}
		if (poll(&p, 1, wait) < 0 && errno != EINTR)
			return -errno;
	}
}

/* ---- with a loop ---------------------------------------------------------------------------------------- */

static void queued_free(struct queued *q)
{
	for (uint32_t i = 0; i < q->n_fds; i++)
		(void)close(q->fds[i]);
	omem_free(q);
}

static void chan_end(struct core_iso_chan *c, int status)
{
	if (c->ended)
		return;
	c->ended = true;
	core_fd_unwatch(c->watch);
	c->watch = NULL;
	c->end(c->arg, status);
}

/* Sends what waits. Lock held. */
static void chan_flush(struct core_iso_chan *c)
{
	struct olist *n;

	while (!c->broken && (n = olist_first(&c->queue))) {
		struct queued *q = OLIST_ENTRY(n, struct queued, node);
		struct orlop_bytes fields = { q->body, q->fields_len };
		struct core_iso_raw raw = { .n = 1, .part = { { q->body + q->fields_len, q->len - q->fields_len } } };
		int r = send_raw(c->fd, q->type, q->id, fields, &raw, q->fds, q->n_fds);

		if (r == -EAGAIN)
			return;
		if (r)
			c->broken = r;
		olist_del(n);
		c->n_queued--;
		c->queued_bytes -= q->len;
		c->queued_fds -= q->n_fds;
		queued_free(q);
	}
}

/* Posted to the loop when something waits or broke. */
static void chan_sync(void *arg)
{
	struct core_iso_chan *c = arg;
	bool waits;
	int broken;

	pthread_mutex_lock(&c->lock);
	chan_flush(c);
	waits = c->n_queued > 0;
	broken = c->broken;
	pthread_mutex_unlock(&c->lock);
	/* What the peer said before it closed is still to be read: reading finds the end. */
	if (broken && broken != -EPIPE && broken != -ECONNRESET)
		chan_end(c, broken);
	else if (c->watch)
		core_fd_update(c->watch, ORLOP_FD_READ | (waits && !broken ? ORLOP_FD_WRITE : 0));
}

static void chan_event(void *arg, int32_t fd, uint32_t events)
{
	struct core_iso_chan *c = arg;
	bool freed = false;
	int r = 0;

	if (events & ORLOP_FD_WRITE)
		chan_sync(c);
	for (int i = 0; i < BUDGET && !c->ended; i++) {
		struct core_iso_in in;

		r = recv_raw(fd, c->buf, CORE_ISO_BUF, &in);
		if (r)
			break;
		c->freed = &freed;
		c->in(c->arg, &in);
		for (uint32_t k = 0; k < in.n_fds; k++)
			if (in.fds[k] >= 0)
				(void)close(in.fds[k]);
		if (freed)
			return;
		c->freed = NULL;
	}
	if (r && r != -EAGAIN)
		chan_end(c, r == -EPIPE ? 0 : r);
}

int core_iso_chan_new(struct core_loop *l, int take_fd, core_iso_in_fn in, core_iso_end_fn end, void *arg,
		      struct core_iso_chan **ret)
{
	struct core_iso_chan *c = OMEM_NEW(struct core_iso_chan);
	int r = -ENOMEM;

	if (c) {
		c->loop = l;
		c->fd = take_fd;
		c->in = in;
		c->end = end;
		c->arg = arg;
		olist_init(&c->queue);
		(void)pthread_mutex_init(&c->lock, NULL);
		c->buf = omem_alloc(CORE_ISO_BUF);
		r = c->buf ? core_fd_watch(l, NULL, take_fd, ORLOP_FD_READ, chan_event, c, &c->watch) : -ENOMEM;
	}
	if (r) {
		(void)close(take_fd);
		if (c) {
			omem_free(c->buf);
			pthread_mutex_destroy(&c->lock);
			omem_free(c);
		}
		return r;
	}
	*ret = c;
	return 0;
}

static void chan_gone(void *arg)
{
	struct core_iso_chan *c = arg;

	pthread_mutex_destroy(&c->lock);
	omem_free(c);
}

void core_iso_chan_free(struct core_iso_chan *c)
{
	struct olist *n;

	if (!c)
		return;
	if (c->freed)
		*c->freed = true;
	c->ended = true;
	core_fd_unwatch(c->watch);
	c->watch = NULL;
	(void)close(c->fd);
	c->fd = -1;
	c->broken = -EPIPE;
	while ((n = olist_shift(&c->queue)))
		queued_free(OLIST_ENTRY(n, struct queued, node));
	c->n_queued = 0;
	omem_free(c->buf);
	c->buf = NULL;
	/* A sync may be queued: behind it nothing touches the channel. */
	if (core_loop_post(c->loop, chan_gone, c))
		chan_gone(c);
}

static int chan_queue(struct core_iso_chan *c, uint32_t type, uint64_t id, struct orlop_bytes fields,
		      const struct core_iso_raw *raw, const int32_t *fds, uint32_t n_fds)
{
	uint32_t len = (uint32_t)fields.len;
	struct queued *q;
	char *at;

	for (uint32_t i = 0; raw && i < raw->n; i++)
		len += (uint32_t)raw->part[i].len;
	if (c->n_queued >= QUEUE_MAX || c->queued_bytes + len > QUEUE_BYTES || c->queued_fds + n_fds > QUEUE_FDS) {
		c->broken = -ENOBUFS;
		return -EPIPE;
	}
	q = omem_alloc(sizeof(*q) + len);
	if (!q)
		return -ENOMEM;
	q->type = type;
	q->id = id;
	q->len = len;
	q->fields_len = (uint32_t)fields.len;
	q->n_fds = 0;
	at = q->body;
	if (fields.len)
		memcpy(at, fields.p, fields.len);
	at += fields.len;
	for (uint32_t i = 0; raw && i < raw->n; i++) {
		if (raw->part[i].len)
			memcpy(at, raw->part[i].p, raw->part[i].len);
		at += raw->part[i].len;
	}
	for (uint32_t i = 0; i < n_fds; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

		if (fd < 0) {
			queued_free(q);
			return -errno;
		}
		q->fds[q->n_fds++] = fd;
	}
	olist_append(&c->queue, &q->node);
	c->n_queued++;
	c->queued_bytes += len;
	c->queued_fds += n_fds;
	return 0;
}

static int chan_send(struct core_iso_chan *c, uint32_t type, uint64_t id, struct orlop_bytes fields,
		     const struct core_iso_raw *raw, const int32_t *fds, uint32_t n_fds, uint32_t flags)
{
	bool sync = false;
	int r;

	pthread_mutex_lock(&c->lock);
	if (c->broken) {
		r = -EPIPE;
	} else {
		r = c->n_queued ? -EAGAIN : send_raw(c->fd, type, id, fields, raw, fds, n_fds);
		if (r == -EAGAIN && !(flags & CORE_ISO_DROP)) {
			r = chan_queue(c, type, id, fields, raw, fds, n_fds);
			sync = true;
		} else if (r && r != -EAGAIN && r != -EBADF && r != -EMSGSIZE && r != -ENOMEM && r != -EINVAL) {
			c->broken = r;
			r = -EPIPE;
			sync = true;
		}
	}
	pthread_mutex_unlock(&c->lock);
	if (sync)
		(void)core_loop_post_node(c->loop, &c->sync, chan_sync, c);
	return r;
}

int core_iso_send(struct core_iso_chan *c, uint32_t type, uint64_t id, const struct orlop_msgw *w,
		  uint32_t flags)
{
	struct orlop_bytes fields = { w ? w->buf : NULL, w ? w->len : 0 };

	if (w && w->err)
		return w->err;
	return chan_send(c, type, id, fields, NULL, w ? w->fds : NULL, w ? w->n_fds : 0, flags);
}

int core_iso_send_raw(struct core_iso_chan *c, uint32_t type, uint64_t id, const struct orlop_msgw *w,
		      const struct core_iso_raw *raw)
{
	struct orlop_bytes fields = { w->buf, w->len };
	size_t len = w->len;

	/* The other side has a buffer of this size, and takes what is longer for rubbish. */
	for (uint32_t i = 0; i < raw->n; i++)
		len += raw->part[i].len;
	if (len > CORE_ISO_BODY_MAX)
		return -E2BIG;
	return w->err ? w->err : chan_send(c, type, id, fields, raw, raw->fds, raw->n_fds, raw->flags);
}

/* ---- questions ------------------------------------------------------------------------------------------ */

int core_iso_ask(struct core_iso_chan *c, uint32_t type, const struct orlop_msgw *w, int timeout_ms,
		 char *buf, size_t size, struct core_iso_in *in)
{
	struct orlop_msgw q;
	int sv[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		return -errno;
	if (w)
		q = *w;
	else
		orlop_msgw_init(&q, NULL);
	if (w && w->buf == w->small)
		q.buf = q.small;
	q.n_fds = 0;
	orlop_msgw_fd(&q, sv[1]);
	r = core_iso_send(c, type, 0, &q, 0);
	(void)close(sv[1]);
	if (r == 0)
		r = core_iso_recv(sv[0], timeout_ms, buf, size, in);
	(void)close(sv[0]);
	return r;
}

void core_iso_answer(int fd, const struct orlop_msgw *w)
{
	/* A fresh socket has room; who asked may have given up. */
	(void)core_iso_put(fd, CORE_ISO_REPLY, 0, w);
}
