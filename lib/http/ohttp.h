/*
 * ohttp - an HTTP server: HTTP/1.1 and HTTP/2 on one port, driven by the host's loop
 *
 * One server per shard; connections dealt to a shard stay there. Nothing is global, nothing blocks.
 *
 * Life of a request: on_request(req) is called when its head is complete. From there the handler
 * owns the answer, now or later: it asks for the body if it wants it (ohttp_body_read), then gives
 * exactly one of
 *	ohttp_reply()                           the whole answer
 *	ohttp_reply_start() … ohttp_write() … ohttp_end()	a stream (watch, log)
 *	ohttp_upgrade()                         101: the raw connection becomes the handler's
 *	ohttp_abort()                           break it off (reset, or close the connection)
 * After ohttp_reply, _end, _upgrade, _abort the pointer is dead. If the client vanishes before,
 * on_close (ohttp_on_close) is called once and the pointer dies when it returns; who answers later
 * than in on_request must set it. None of our functions calls on_close itself.
 *
 * Everything a request points to (path, headers, body) lives as long as the request.
 */
#ifndef OLIB_HTTP_OHTTP_H
#define OLIB_HTTP_OHTTP_H

#include "http/ostream.h"

#include <orlop/types.h>

#include <stdbool.h>

struct obuf;
struct ohttp_server;
struct ohttp_req;

typedef void (*ohttp_request_fn)(void *arg, struct ohttp_req *req);
/*
 * @status 0: the whole body. -EMSGSIZE: too big, we answered 413; -ENOMEM: we end the connection: the request
 * is over, on_close is not called, clean up. Others: the client is gone (told here only if on_close is not set).
 */
typedef void (*ohttp_body_fn)(void *arg, struct ohttp_req *req, int status, struct orlop_bytes body);
/* Part of a body, borrowed for the call; the last one has @end. */
typedef void (*ohttp_chunk_fn)(void *arg, struct ohttp_req *req, const char *p, size_t len, bool end);

struct ohttp_header {
	struct orlop_bytes	name;	/* requests: as sent (HTTP/1.1) or lower case (HTTP/2) */
	struct orlop_bytes	value;
};

/* Zero it; 0 means the default in brackets. */
struct ohttp_server_config {
	const struct orlop_host	*h;
	const char		*listen;	/* "ADDR:PORT", NULL: use ohttp_server_accept() */
	struct otls_ctx		*tls;		/* NULL: plain HTTP/1.1; borrowed, must outlive the server */
	ohttp_request_fn	on_request;
	void			*arg;
	const char		*server_header;	/* NULL: none */
	uint32_t		max_connections;	/* [10000] */
	uint32_t		max_streams;	/* concurrent on one HTTP/2 connection [250] */
	uint32_t		max_head_bytes;	/* request line and headers [65536] */
	uint32_t		max_headers;	/* [256], which is the most: who is in many groups has one for each */
	uint32_t		max_target_bytes;	/* request target [16384] */
	uint64_t		head_timeout_ns;	/* first byte (or TLS hello) to end of head [10 s] */
	uint64_t		body_timeout_ns;	/* between two reads of a body [30 s] */
	uint64_t		idle_timeout_ns;	/* keep-alive without request [180 s] */
	uint64_t		write_timeout_ns;	/* without progress while bytes wait [60 s] */
};

/* Counters, since the server was made. */
struct ohttp_server_stats {
	uint64_t	connections;	/* accepted */
	uint64_t	open;		/* now */
	uint64_t	requests;
	uint64_t	active;		/* requests not yet answered, now */
	uint64_t	refused;	/* connections over the limit */
	uint64_t	bad;		/* malformed requests */
	uint64_t	timeouts;
	uint64_t	calmed;		/* HTTP/2 connections sent away for flooding */
	uint64_t	tls_failed;
};

int ohttp_server_new(const struct ohttp_server_config *cfg, struct ohttp_server **ret,
		     struct orlop_error *err);
/* "127.0.0.1:6443", also when port 0 was asked for. */
void ohttp_server_addr(struct ohttp_server *s, char *buf, size_t size);
/* A connection from elsewhere. Takes @fd. */
int ohttp_server_accept(struct ohttp_server *s, int take_fd, const char *peer);
/*
 * No new connections; those there are end after their requests (Connection: close; GOAWAY, twice, so that
 * no stream that is on its way is refused), idle ones some seconds later: nobody finds his request refused.
 * @done (may be NULL) is called once, later, when none is left.
 */
void ohttp_server_drain(struct ohttp_server *s, orlop_cb done, void *arg);
/*
 * The same when nobody takes over: connections without a request end now, HTTP/2 is told at once which of its streams
 * will be answered.
 */
void ohttp_server_end(struct ohttp_server *s);
/*
 * Between these, what is written to HTTP/2 streams waits, and leaves at the last release: one frame after the other, in
 * few writes a connection, when many streams are told at once. Nests. Nothing waits longer than the caller's own turn.
 */
void ohttp_server_hold(struct ohttp_server *s);
void ohttp_server_release(struct ohttp_server *s);
/* How many connections still send an answer that is whole. */
uint32_t ohttp_server_unsent(struct ohttp_server *s);
void ohttp_server_stats(const struct ohttp_server *s, struct ohttp_server_stats *ret);
/* Drops what is left: requests get on_close. Upgraded streams belong to their users. Accepts NULL. */
void ohttp_server_free(struct ohttp_server *s);

/* ---- the request ---------------------------------------------------------------------------- */

struct orlop_bytes ohttp_method(const struct ohttp_req *r);	/* "GET" */
struct orlop_bytes ohttp_path(const struct ohttp_req *r);	/* as sent, up to '?' */
struct orlop_bytes ohttp_query(const struct ohttp_req *r);	/* behind '?', as sent; empty if none */
struct orlop_bytes ohttp_authority(const struct ohttp_req *r);	/* Host or :authority */
/* First header of this name (any case); p is NULL if there is none. */
struct orlop_bytes ohttp_header(const struct ohttp_req *r, const char *name);
size_t ohttp_headers(const struct ohttp_req *r, const struct ohttp_header **ret);
int ohttp_version(const struct ohttp_req *r);			/* 10, 11 or 20 */
const char *ohttp_peer_addr(const struct ohttp_req *r);	/* "10.0.0.7:4711" */
/* The client's certificate (tls/otls.h), NULL if none. */
const struct otls_peer *ohttp_peer(const struct ohttp_req *r);
/* Does Accept-Encoding allow gzip? */
bool ohttp_accepts_gzip(const struct ohttp_req *r);
/* A word of the handler's own. */
void ohttp_set_user(struct ohttp_req *r, void *user);
void *ohttp_user(const struct ohttp_req *r);
/* Called once if the client is gone before the answer is complete. */
void ohttp_on_close(struct ohttp_req *r, void (*cb)(void *arg, struct ohttp_req *r), void *arg);

/*
 * ohttp_body_read - collect the body, at most @max_bytes; more: 413 is answered by us
 *
 * @cb is called exactly once, possibly at once. 100-continue is sent when the client waits for it.
 */
void ohttp_body_read(struct ohttp_req *r, size_t max_bytes, ohttp_body_fn cb, void *arg);
/* In @cb: the buffer itself, for who needs it longer than the request lives. obuf_done() it. */
void ohttp_body_take(struct ohttp_req *r, struct obuf *ret);
/* Get the body in parts instead. */
void ohttp_body_stream(struct ohttp_req *r, ohttp_chunk_fn cb, void *arg);

/* ---- the answer ------------------------------------------------------------------------------ */

/*
 * ohttp_reply - the whole answer
 *
 * Content-Length and Date are added; HEAD sends no body but the right length. Pieces are taken by
 * reference and released exactly once, also on failure. Header text is copied.
 */
void ohttp_reply(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n_hdr,
		 const struct ohttp_piece *v, size_t n);
/* Content-Type and a copied body. */
void ohttp_reply_text(struct ohttp_req *r, int status, const char *type, const void *p, size_t len);

/* The same, gzipped if the client takes it and the body has at least @min_bytes (level 1). */
void ohttp_reply_gzip(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n_hdr,
		      const struct ohttp_piece *v, size_t n, size_t min_bytes);

/*
 * The same for an answer of many parts, without a node for each: what they and @v itself live in is let go by
 * @release, exactly once.
 */
void ohttp_reply_spans(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n_hdr,
		       const struct orlop_bytes *v, size_t n, size_t min_bytes, void (*release)(void *arg), void *arg);

/* Begin a stream: the head goes out at once. */
void ohttp_reply_start(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n_hdr);
/* Queue a part, by reference. Always accepted (-ENOMEM apart): bound it by ohttp_queued(). */
int ohttp_write(struct ohttp_req *r, const struct ohttp_piece *v, size_t n);
int ohttp_write_copy(struct ohttp_req *r, const void *p, size_t len);
/* Bytes of this request not yet with the kernel. */
size_t ohttp_queued(const struct ohttp_req *r);
/* Called each time the queue has fallen to @low bytes or less after being above; cb NULL: never. */
void ohttp_on_writable(struct ohttp_req *r, size_t low, void (*cb)(void *arg, struct ohttp_req *r),
		       void *arg);
void ohttp_end(struct ohttp_req *r);
void ohttp_abort(struct ohttp_req *r);

/*
 * ohttp_upgrade - answer 101 and hand over the connection (HTTP/1.1 only)
 *
 * @protocol  for "Upgrade:". Further headers in @hdr. Bytes that came behind the request follow as data.
 * Returns 0, or -EPROTO (HTTP/2, or no Upgrade was asked for: the request is still to be answered).
 */
int ohttp_upgrade(struct ohttp_req *r, const char *protocol, const struct ohttp_header *hdr, size_t n_hdr,
		  const struct ohttp_stream_ops *ops, void *arg, struct ohttp_stream **ret);
/* Does the request ask for an upgrade to @protocol (any case)? "" : to any. */
bool ohttp_wants_upgrade(const struct ohttp_req *r, const char *protocol);

/* "Not Found" */
const char *ohttp_status_text(int status);

#define OHTTP_HEADER(n, v) { { (n), sizeof(n) - 1 }, { (v), sizeof(v) - 1 } }
/* Both NUL-terminated. */
static inline struct ohttp_header ohttp_header_cstr(const char *name, const char *value)
{
	struct ohttp_header h = { { name, __builtin_strlen(name) }, { value, __builtin_strlen(value) } };

	return h;
}

/* Is @token in a comma-separated header value, any case? */
bool ohttp_has_token(struct orlop_bytes list, const char *token);
/* %XX (and + as space if @plus) decoded into @out (≤ len bytes); length or -EINVAL (broken escape). */
long ohttp_unescape(struct orlop_bytes in, bool plus, char *out);

#endif
