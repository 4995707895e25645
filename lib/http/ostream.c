/*
 * A connected socket on the host's loop, with TLS or without.
 *
 * One function, turn(), does all that can be done now: handshake, read, write, end. It runs when the
 * descriptor is ready; who wants it to run soon asks for writability, which is nearly always given.
 * So there is no timer and no post, except for a close that must wait for its last bytes.
 */
#include "ostream.h"
#include "internal.h"
#include "outq.h"

#include "base/obuf.h"
#include "base/omem.h"
#include "tls/otls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE	16384
#define READ_TURNS	8		/* reads in one turn: fair to the others on the loop */
#define DRAIN_TURNS	8
#define CLOSE_NS	(UINT64_C(5) * 1000000000)
#define CLOSE_TURNS	12u	/* as often, as long as the peer takes something each time */
#define PEER_NS		(UINT64_C(2) * 1000000000)
#define CORK_MIN	(128 * 1024)	/* bytes that leave in full segments, not in one for each record of TLS */
#define LINGER_MAX	(1024 * 1024)	/* bytes thrown away while a refused client finishes */

struct ohttp_stream {
	const struct orlop_host		*h;
	struct olist			link;		/* among the streams of its server, or alone */
	const struct ohttp_stream_ops	*ops;		/* NULL: closed by the user */
	void				*arg;
	struct otls			*tls;
	struct orlop_fdwatch		*watch;
	struct orlop_timer		*timer;		/* of a slow close */
	struct orlop_timer		*peer;		/* while paused: has the peer hung up? NULL: nobody minds */
	struct outq			out;
	struct obuf			unread;
	size_t				low_water;
	uint64_t			sent;		/* bytes, for progress */
	uint64_t			close_sent;	/* … when a slow close last got its time */
	uint32_t			close_turns;
	size_t				discarded;
	int				fd;
	int				err;		/* < 0: broken, tell the user */
	uint32_t			events;
	unsigned int			busy;		/* depth of turn() */
	bool				handshaking;
	bool				paused;
	bool				eof;		/* seen */
	bool				eof_told;
	bool				shut;		/* asked for */
	bool				shut_done;
	bool				high;		/* queue has been above low water */
	bool				soon;		/* run turn() at once */
	bool				end_ok;		/* the stream ended by itself, without error */
	char				why[96];
};

static void turn(struct ohttp_stream *s);

static void stream_free(struct ohttp_stream *s)
{
	olist_del(&s->link);
	s->h->fd_unwatch(s->watch);
	s->h->timer_free(s->timer);
	s->h->timer_free(s->peer);
	otls_free(s->tls);
	if (s->fd >= 0)
		close(s->fd);
	outq_done(&s->out);
	obuf_done(&s->unread);
	omem_free(s);
}

static void on_fd(void *arg, int32_t fd, uint32_t events)
{
	(void)fd;
	(void)events;
	turn(arg);
}

static void on_close_timeout(void *arg)
{
	struct ohttp_stream *s = arg;

	if (s->out.bytes && s->sent != s->close_sent && s->close_turns++ < CLOSE_TURNS) {
		s->close_sent = s->sent;
		s->h->timer_set(s->timer, CLOSE_NS, 0);
		return;
	}
	ohttp_stream_abort(s);
}

/* A peer that lost its power is noticed after about two minutes; on other sockets this just fails. */
static void keep_alive(int fd)
{
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){ 60 }, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){ 20 }, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){ 3 }, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
}

int ohttp_stream_new(const struct orlop_host *h, int take_fd, struct otls_ctx *tls, const char *name,
		     const struct ohttp_stream_ops *ops, void *arg, struct ohttp_stream **ret)
{
	struct ohttp_stream *s = OMEM_NEW(struct ohttp_stream);
	int r = -ENOMEM;

	if (!s) {
		close(take_fd);
		return -ENOMEM;
	}
	olist_init(&s->link);
	s->h = h;
	s->ops = ops;
	s->arg = arg;
	s->fd = take_fd;
	s->low_water = OHTTP_STREAM_LOW_WATER;
	keep_alive(take_fd);
	if (tls) {
		s->handshaking = true;
		r = otls_new(tls, take_fd, name, &s->tls);
		if (r < 0)
			goto fail;
	}
	s->events = ORLOP_FD_READ | (tls && !otls_ctx_is_server(tls) ? ORLOP_FD_WRITE : 0u);
	r = h->fd_watch(h, take_fd, s->events, on_fd, s, &s->watch);
	if (r < 0)
		goto fail;
	*ret = s;
	return 0;
fail:
	stream_free(s);
	return r;
}

void ohttp_stream_set(struct ohttp_stream *s, const struct ohttp_stream_ops *ops, void *arg)
{
	s->ops = ops;
	s->arg = arg;
}

static void fail(struct ohttp_stream *s, int err)
{
	if (s->err || s->end_ok)
		return;
	s->err = err;
	if (s->tls && otls_error(s->tls)[0])
		snprintf(s->why, sizeof(s->why), "%s", otls_error(s->tls));
	else
		snprintf(s->why, sizeof(s->why), "%s", strerrordesc_np(-err));
}

static bool send_all(struct ohttp_stream *s)
{
	while (s->out.bytes) {
		ssize_t n;

		if (s->tls) {
			const struct onode *d = s->out.head;

			while (d->len == 0)
				d = d->next;
			if (d->len >= READ_SIZE || (!d->next && !d->n_more)) {
				n = otls_write(s->tls, d->p, d->len);
			} else {
				char buf[READ_SIZE];
				size_t len = outq_peek(&s->out, buf, sizeof(buf));

				n = otls_write(s->tls, buf, len);
			}
			if (n == -EAGAIN)
				return otls_wants(s->tls) == ORLOP_FD_WRITE;
		} else {
			struct iovec iov[32];
			struct msghdr msg = { .msg_iov = iov };

			msg.msg_iovlen = (size_t)outq_iov(&s->out, iov, 32);
			n = sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
			if (n < 0)
				n = -errno;
			if (n == -EAGAIN)
				return true;
			if (n == -EINTR)
				continue;
		}
		if (n <= 0) {
			fail(s, n < 0 ? (int)n : -EPIPE);
			return false;
		}
		s->sent += (uint64_t)n;
		outq_drop(&s->out, (size_t)n);
	}
	if (s->out.head)
		outq_drop(&s->out, 0);	/* empty pieces with a release */
	if (s->shut && !s->shut_done) {
		if (s->tls && otls_shutdown(s->tls) == -EAGAIN)
			return otls_wants(s->tls) == ORLOP_FD_WRITE;
		(void)shutdown(s->fd, SHUT_WR);
		s->shut_done = true;
	}
	return false;
}

/* Sends what it can. Sets s->err. Returns true if something must wait for writability. */
static bool flush(struct ohttp_stream *s)
{
	bool cork = s->tls && s->out.bytes >= CORK_MIN;
	bool wait;

	/* The peer is woken once for several records; on what is no TCP this just fails. */
	if (cork)
		(void)setsockopt(s->fd, IPPROTO_TCP, TCP_CORK, &(int){ 1 }, sizeof(int));
	wait = send_all(s);
	if (cork)
		(void)setsockopt(s->fd, IPPROTO_TCP, TCP_CORK, &(int){ 0 }, sizeof(int));
	return wait;
}

static void read_some(struct ohttp_stream *s)
{
	char buf[READ_SIZE];
	int turns = 0;

	while (!s->eof && !s->err && !(s->ops && s->paused)) {
		ssize_t n;

		if (++turns > READ_TURNS) {
			s->soon = true;
			return;
		}
		if (s->tls) {
			n = otls_read(s->tls, buf, sizeof(buf));
		} else {
			n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);
			if (n < 0)
				n = -errno;
			if (n == -EINTR)
				continue;
		}
		if (n == -EAGAIN)
			return;
		if (n == 0) {
			s->eof = true;
			return;
		}
		if (n < 0) {
			fail(s, (int)n);
			return;
		}
		if (s->ops) {
			s->ops->data(s->arg, buf, (size_t)n);
			if (s->unread.len) {	/* given back: that comes first */
				s->soon = true;
				return;
			}
		} else {
			s->discarded += (size_t)n;
			if (s->discarded > LINGER_MAX)
				fail(s, -EMSGSIZE);
		}
	}
}

static void deliver_unread(struct ohttp_stream *s)
{
	struct obuf b = s->unread;

	if (b.len == 0 || s->paused || !s->ops)
		return;
	obuf_init(&s->unread);
	s->ops->data(s->arg, b.data, b.len);
	obuf_done(&b);
}

/* What is watched from now on; ends the stream if that is due. */
static void settle(struct ohttp_stream *s, bool want_write)
{
	uint32_t ev = 0;

	if (s->busy)
		return;
	if (s->ops && (s->err || s->end_ok)) {
		const struct ohttp_stream_ops *ops = s->ops;

		s->ops = NULL;
		s->busy++;		/* closing it once more in there is harmless */
		ops->closed(s->arg, s->err);
		stream_free(s);
		return;
	}
	if (!s->ops && (s->err || s->end_ok || (s->out.bytes == 0 && s->shut_done && s->eof))) {
		stream_free(s);
		return;
	}
	if (!s->eof && !(s->ops && s->paused))
		ev |= ORLOP_FD_READ;
	if (want_write || s->soon)
		ev |= ORLOP_FD_WRITE;
	if (s->handshaking)
		ev = (uint32_t)otls_wants(s->tls);
	if (ev != s->events) {
		s->events = ev;
		s->h->fd_update(s->watch, ev);
	}
}

static void turn(struct ohttp_stream *s)
{
	bool want_write = false;

	if (s->busy)
		return;
	s->busy++;
	s->soon = false;
	if (s->handshaking && !s->err) {
		ssize_t n = otls_handshake(s->tls);

		if (n > 0) {
			s->handshaking = false;
			if (s->ops && s->ops->ready)
				s->ops->ready(s->arg);
		} else if (n != -EAGAIN) {
			fail(s, n < 0 ? (int)n : -ECONNRESET);
		}
	}
	if (!s->handshaking && !s->err) {
		deliver_unread(s);
		if (s->unread.len == 0)
			read_some(s);
		if (s->eof && !s->eof_told && !s->err && s->ops && !s->paused) {
			s->eof_told = true;
			if (s->ops->eof)
				s->ops->eof(s->arg);
			else
				s->end_ok = true;
		}
	}
	/* What was answered meanwhile leaves also when the peer has ended or broken the connection. */
	if (!s->handshaking && !s->err)
		want_write = flush(s);
	/* Whoever is told that there is room may fill it, and the kernel may take that at once too. */
	for (int i = 0; s->high && s->out.bytes <= s->low_water && s->ops && !s->err; i++) {
		if (i == DRAIN_TURNS) {
			s->soon = true;
			break;
		}
		s->high = false;
		if (s->ops->drained)
			s->ops->drained(s->arg);
		if (!s->err)
			want_write = flush(s);
	}
	if (s->eof && s->shut_done && s->out.bytes == 0)
		s->end_ok = true;
	s->busy--;
	settle(s, want_write);
}

/* After a change from outside: send now unless a turn is running, which will do it. */
static void push(struct ohttp_stream *s)
{
	bool want_write = false;

	if (s->busy)
		return;
	if (!s->handshaking && !s->err)
		want_write = flush(s);
	if (s->err || (s->eof && s->shut_done))
		s->soon = true;		/* closed() comes from the loop, never from the user's own call */
	if (s->high && s->out.bytes <= s->low_water)
		s->soon = true;
	if (!s->ops) {
		settle(s, want_write);
		return;
	}
	if (want_write || s->soon) {
		uint32_t ev = s->handshaking ? s->events : s->events | ORLOP_FD_WRITE;

		if (ev != s->events) {
			s->events = ev;
			s->h->fd_update(s->watch, ev);
		}
	}
}

int ohttp_stream_write_pieces(struct ohttp_stream *s, const struct ohttp_piece *v, size_t n)
{
	int r = s->shut ? -EPIPE : s->err ? s->err : 0;

	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			r = outq_ref(&s->out, &v[i]);
		else if (v[i].release)
			v[i].release(v[i].arg);
	}
	if (r == -ENOMEM)
		fail(s, r);		/* a hole in the bytes: the connection is of no more use */
	if (s->out.bytes > s->low_water)
		s->high = true;
	push(s);
	return r;
}

int ohttp_stream_write(struct ohttp_stream *s, const void *p, size_t len)
{
	int r = s->shut ? -EPIPE : s->err ? s->err : outq_copy(&s->out, p, len);

	if (r == -ENOMEM)
		fail(s, r);
	if (s->out.bytes > s->low_water)
		s->high = true;
	push(s);
	return r;
}

void ohttp_stream_low_water(struct ohttp_stream *s, size_t bytes)
{
	s->low_water = bytes;
	if (s->out.bytes > bytes)
		s->high = true;
}

struct outq *ohttp_stream_outq(struct ohttp_stream *s)
{
	return &s->out;
}

void ohttp_stream_push(struct ohttp_stream *s)
{
	if (s->out.bytes > s->low_water)
		s->high = true;
	push(s);
}

void ohttp_stream_fail(struct ohttp_stream *s, int err)
{
	fail(s, err);
	push(s);
}

uint64_t ohttp_stream_sent(const struct ohttp_stream *s)
{
	return s->sent;
}

size_t ohttp_stream_queued(const struct ohttp_stream *s)
{
	return s->out.bytes;
}

void ohttp_stream_pause(struct ohttp_stream *s)
{
	s->paused = true;
	if (s->peer)
		s->h->timer_set(s->peer, PEER_NS, PEER_NS);
}

/* What it sent before stands between us and its end, so the kernel is asked. */
static void on_peer(void *arg)
{
	struct ohttp_stream *s = arg;
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (!s->paused || !s->ops) {
		s->h->timer_clear(s->peer);
	} else if (!s->busy && !getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) && info.tcpi_state != TCP_ESTABLISHED) {
		s->h->timer_clear(s->peer);
		fail(s, -EPIPE);
		turn(s);
	}
}

void ohttp_stream_mind_peer(struct ohttp_stream *s)
{
	if (!s->peer && s->h->timer_new(s->h, on_peer, s, &s->peer))
		s->peer = NULL;		/* then it is noticed when something is read or written */
}

void ohttp_stream_resume(struct ohttp_stream *s)
{
	if (!s->paused)
		return;
	s->paused = false;
	s->soon = true;
	push(s);
	if (!s->busy && !(s->events & ORLOP_FD_READ) && !s->handshaking) {
		s->events |= ORLOP_FD_READ;
		s->h->fd_update(s->watch, s->events);
	}
}

void ohttp_stream_shutdown(struct ohttp_stream *s)
{
	s->shut = true;
	push(s);
}

void ohttp_stream_close(struct ohttp_stream *s)
{
	if (!s)
		return;
	s->ops = NULL;
	s->shut = true;
	s->close_sent = s->sent;
	obuf_done(&s->unread);
	if (s->handshaking)
		s->end_ok = true;
	if (!s->timer && s->h->timer_new(s->h, on_close_timeout, s, &s->timer) == 0)
		s->h->timer_set(s->timer, CLOSE_NS, 0);
	if (!s->timer)
		s->end_ok = true;
	s->soon = true;
	push(s);
}

void ohttp_stream_abort(struct ohttp_stream *s)
{
	if (!s)
		return;
	s->ops = NULL;
	s->end_ok = true;
	outq_done(&s->out);
	if (!s->busy)
		stream_free(s);
}

void ohttp_stream_join(struct ohttp_stream *s, struct olist *all)
{
	olist_append(all, &s->link);
}

uint32_t ohttp_streams_unsent(struct olist *all)
{
	uint32_t n = 0;

	OLIST_FOREACH(l, all) {
		const struct ohttp_stream *s = OLIST_ENTRY(l, struct ohttp_stream, link);

		n += !s->ops && s->out.bytes;
	}
	return n;
}

void ohttp_streams_leave(struct olist *all)
{
	struct olist *l;

	while ((l = olist_shift(all)) != NULL) {
		struct ohttp_stream *s = OLIST_ENTRY(l, struct ohttp_stream, link);

		if (!s->ops)
			ohttp_stream_abort(s);
	}
}

int ohttp_stream_unread(struct ohttp_stream *s, const void *p, size_t len)
{
	obuf_append(&s->unread, p, len);
	if (obuf_err(&s->unread))
		return -ENOMEM;
	s->soon = true;
	push(s);
	return 0;
}

const struct otls_peer *ohttp_stream_peer(const struct ohttp_stream *s)
{
	return s->tls ? otls_peer(s->tls) : NULL;
}

const char *ohttp_stream_alpn(const struct ohttp_stream *s)
{
	return s->tls ? otls_alpn(s->tls) : "";
}

const char *ohttp_stream_error(const struct ohttp_stream *s)
{
	return s->why;
}
