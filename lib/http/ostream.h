/*
 * ostream - a connected socket on the host's loop, with TLS or without
 *
 * What HTTP runs on, what an upgrade hands out, and what a port-forward copies to. Reading is
 * pushed (until paused), writing is queued and never blocks: look at ohttp_stream_queued() and wait
 * for drained(). All functions and callbacks on the loop of the host given at birth.
 *
 * A stream may be closed from inside any of its callbacks; no callback comes after
 * ohttp_stream_close(), and exactly one closed() comes if the stream ends by itself.
 */
#ifndef OLIB_HTTP_OSTREAM_H
#define OLIB_HTTP_OSTREAM_H

#include <orlop/host.h>

#include <stddef.h>
#include <stdint.h>

struct otls_ctx;
struct otls_peer;
struct ohttp_stream;

/*
 * Part of what is to be sent, by reference. @release (may be NULL) is called exactly once, and not before
 * the pieces queued earlier have gone: the last of several may hold what all of them live in.
 */
struct ohttp_piece {
	const char	*p;
	size_t		len;
	void		(*release)(void *arg);
	void		*arg;
};

struct ohttp_stream_ops {
	/* Bytes arrived; borrowed for the call. */
	void	(*data)(void *arg, const char *p, size_t len);
	/* The peer will send no more; we still may. NULL: the stream is closed then. */
	void	(*eof)(void *arg);
	/* The queue has fallen to the low-water mark after having been above it. May be NULL. */
	void	(*drained)(void *arg);
	/* TLS is up. May be NULL. */
	void	(*ready)(void *arg);
	/* The stream is gone and the pointer dies with this call. @err 0 or -errno. */
	void	(*closed)(void *arg, int err);
};

#define OHTTP_STREAM_LOW_WATER	(64u * 1024)

/*
 * ohttp_stream_new - take over a connected socket
 *
 * @take_fd   non-blocking; closed by the stream, also if this fails
 * @tls       NULL: plain. A context from otls_server_new() accepts, one of otls_client_new() connects
 * @name      for TLS clients: the DNS name or IP address that the certificate must carry
 * Returns 0 or -errno.
 */
int ohttp_stream_new(const struct orlop_host *h, int take_fd, struct otls_ctx *tls, const char *name,
		     const struct ohttp_stream_ops *ops, void *arg, struct ohttp_stream **ret);

/* Changes who is called; what came before an upgrade is handed over by its giver. */
void ohttp_stream_set(struct ohttp_stream *s, const struct ohttp_stream_ops *ops, void *arg);

/* Queue a copy / by reference (released also on failure). 0, -ENOMEM, -EPIPE after shutdown. */
int ohttp_stream_write(struct ohttp_stream *s, const void *p, size_t len);
int ohttp_stream_write_pieces(struct ohttp_stream *s, const struct ohttp_piece *v, size_t n);
size_t ohttp_stream_queued(const struct ohttp_stream *s);
/* Where drained() comes, from now on. */
void ohttp_stream_low_water(struct ohttp_stream *s, size_t bytes);

/* Stop and go on calling data(). */
void ohttp_stream_pause(struct ohttp_stream *s);
void ohttp_stream_resume(struct ohttp_stream *s);
/*
 * A peer that ends its side is gone, and what it sent and nobody has read is of no use to anybody: closed() comes within
 * seconds also while paused. For those who speak to people, not for those who fetch.
 */
void ohttp_stream_mind_peer(struct ohttp_stream *s);

/* No more writes: FIN after what is queued. */
void ohttp_stream_shutdown(struct ohttp_stream *s);
/* Forget it: sends what is queued (at most 5 s), closes, calls nothing any more. Accepts NULL. */
void ohttp_stream_close(struct ohttp_stream *s);
/* At once, queued bytes are dropped. Accepts NULL. */
void ohttp_stream_abort(struct ohttp_stream *s);

/* Hand in bytes that were read before ownership changed: they come first, from the loop. */
int ohttp_stream_unread(struct ohttp_stream *s, const void *p, size_t len);

/* Certificate of the peer, NULL without TLS or certificate; lives as long as the stream. */
const struct otls_peer *ohttp_stream_peer(const struct ohttp_stream *s);
/* "h2", "http/1.1" or "". */
const char *ohttp_stream_alpn(const struct ohttp_stream *s);
/* Why the TLS handshake failed or the connection broke, for people; "" if nothing is known. */
const char *ohttp_stream_error(const struct ohttp_stream *s);

/*
 * ohttp_stream_splice - copy between two streams in both directions until both have ended
 *
 * Takes both. @done (may be NULL) is called once when both are closed. 0 or -ENOMEM (both closed).
 */
struct ohttp_splice;
int ohttp_stream_splice(struct ohttp_stream *take_a, struct ohttp_stream *take_b, orlop_cb done,
			void *arg, struct ohttp_splice **ret);
/* Ends it now; @done is not called. */
void ohttp_splice_abort(struct ohttp_splice *sp);

#endif
