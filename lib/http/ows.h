/*
 * ows - the server side of WebSocket (RFC 6455) on an upgraded connection
 *
 * Whole messages; pings are answered, fragments joined. No extensions are negotiated.
 */
#ifndef OLIB_HTTP_OWS_H
#define OLIB_HTTP_OWS_H

#include "http/ohttp.h"

struct ows;

enum {
	OWS_TEXT	= 1,
	OWS_BINARY	= 2,
};

struct ows_ops {
	/* A message, borrowed for the call. */
	void	(*message)(void *arg, int type, const char *p, size_t len);
	/* May send again. May be NULL. */
	void	(*drained)(void *arg);
	/* Over; the pointer dies. @code as the peer closed (1005: none given, 1006: broken off). */
	void	(*closed)(void *arg, int code);
};

/* Is this a WebSocket handshake (GET, Upgrade: websocket, key, version 13)? */
bool ows_wanted(const struct ohttp_req *r);
/*
 * First of @offers (NULL-terminated, our preference) that the client lists in Sec-WebSocket-Protocol;
 * NULL if none.
 */
const char *ows_protocol(const struct ohttp_req *r, const char *const *offers);

/* @protocol may be NULL. Messages above @max_bytes (0: 1 MiB) end it with 1009. 0, or -EPROTO, -ENOMEM. */
int ows_accept(struct ohttp_req *r, const char *protocol, size_t max_bytes, const struct ows_ops *ops,
	       void *arg, struct ows **ret);

/* Sends the pieces as one message (copied). 0, -EPIPE, -ENOMEM. */
int ows_send(struct ows *w, int type, const struct orlop_bytes *v, size_t n);
/* Asks whether the peer is there; what it answers is dropped. */
void ows_ping(struct ows *w);
size_t ows_queued(const struct ows *w);
void ows_pause(struct ows *w);
void ows_resume(struct ows *w);
/* Close frame, then the connection, without callback; the pointer dies. Accepts NULL. */
void ows_close(struct ows *w, int code, const char *reason);

/* For tests and fuzzing: the parser alone, on bytes that came from a client. */
int ows_new_for_test(size_t max_bytes, const struct ows_ops *ops, void *arg, struct ows **ret);
int ows_feed(struct ows *w, const char *p, size_t len);

#endif
