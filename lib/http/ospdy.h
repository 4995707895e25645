/*
 * ospdy - the server side of SPDY/3.1, as kubectl exec, attach and port-forward speak it
 *
 * Works over any byte pipe (an upgraded connection, or a WebSocket that tunnels it): the user feeds
 * what arrives and gives a function that sends. Streams are opened by the client.
 *
 * Kubernetes' clients (spdystream) neither send nor understand WINDOW_UPDATE, so there is no window
 * here either: who writes looks at how much waits on the pipe, who reads pauses the pipe.
 */
#ifndef OLIB_HTTP_OSPDY_H
#define OLIB_HTTP_OSPDY_H

#include "http/ohttp.h"

struct ospdy;
struct ospdy_stream;

struct ospdy_ops {
	/* Send bytes (copy them). 0 or -errno: the session then ends. */
	int	(*send)(void *arg, const char *p, size_t len);
	/*
	 * The client opened a stream; headers lower case, borrowed for the call. Answered with
	 * SYN_REPLY when 0 is returned, RST_STREAM (refused) otherwise. May set a word on the stream.
	 */
	int	(*open)(void *arg, struct ospdy_stream *st, const struct ohttp_header *hdr, size_t n);
	/* Data; @fin: the client's direction is finished. */
	void	(*data)(void *arg, struct ospdy_stream *st, const char *p, size_t len, bool fin);
	/* The client reset the stream; the pointer dies. */
	void	(*reset)(void *arg, struct ospdy_stream *st);
	/* The session broke (protocol error, GOAWAY): all streams are gone; free it. */
	void	(*ended)(void *arg, int err);
};

int ospdy_new(const struct ospdy_ops *ops, void *arg, struct ospdy **ret);
/* No callbacks. Accepts NULL. Not from inside a callback of its own: use ospdy_goaway() there. */
void ospdy_free(struct ospdy *s);

/* Bytes from the client. 0, or -EPROTO … (ended() was called). */
int ospdy_feed(struct ospdy *s, const char *p, size_t len);

void ospdy_stream_set_user(struct ospdy_stream *st, void *user);
void *ospdy_stream_user(const struct ospdy_stream *st);
uint32_t ospdy_stream_id(const struct ospdy_stream *st);
/* Header of the stream's SYN_STREAM; kept while the stream lives. */
struct orlop_bytes ospdy_stream_header(const struct ospdy_stream *st, const char *name);

/* Send data; @fin ends our direction. 0 or the error of send(). */
int ospdy_write(struct ospdy_stream *st, const void *p, size_t len, bool fin);
/* Both directions are finished: forget it. The pointer dies. */
void ospdy_done(struct ospdy_stream *st);
/* RST_STREAM; the pointer dies. */
void ospdy_reset(struct ospdy_stream *st);
void ospdy_ping(struct ospdy *s);
void ospdy_goaway(struct ospdy *s);

#endif
