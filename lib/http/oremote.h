/*
 * oremote - the server side of kubectl exec and attach, over SPDY/3.1 or WebSocket
 *
 * Which of the two the client speaks does not show. Source: k8s.io/kubelet's remotecommand protocol,
 * v1 … v4.channel.k8s.io over SPDY, v1, v4 and v5.channel.k8s.io (also in base64) over WebSocket.
 */
#ifndef OLIB_HTTP_OREMOTE_H
#define OLIB_HTTP_OREMOTE_H

#include "http/ohttp.h"

struct oremote;

#define OREMOTE_STDIN	0x1u
#define OREMOTE_STDOUT	0x2u
#define OREMOTE_STDERR	0x4u
#define OREMOTE_TTY	0x8u		/* then there is no stderr, but resize */

struct oremote_ops {
	/* All streams are there: begin. Only if oremote_accept() returned 0. */
	void	(*start)(void *arg);
	void	(*input)(void *arg, const char *p, size_t len);
	void	(*input_end)(void *arg);
	void	(*resize)(void *arg, unsigned int width, unsigned int height);
	/* What was queued has gone: write more. May be NULL. */
	void	(*writable)(void *arg);
	/* The client has gone before oremote_exit(); the pointer dies. */
	void	(*closed)(void *arg);
};

/*
 * 1: begin, all streams are there; 0: wait for start(). -EPROTO: it was no upgrade or no protocol in common, and has been answered with 400 or 403;
 * -ENOMEM: still to be answered.
 */
int oremote_accept(struct ohttp_req *r, uint32_t streams, const struct oremote_ops *ops, void *arg,
		   struct oremote **ret);

/* @stream: OREMOTE_STDOUT or _STDERR. 0, -EPIPE. Bound it by oremote_queued(). */
int oremote_write(struct oremote *m, uint32_t stream, const void *p, size_t len);
size_t oremote_queued(const struct oremote *m);
/* Back-pressure for input(). */
void oremote_pause(struct oremote *m);
void oremote_resume(struct oremote *m);
/*
 * While paused: a client that is gone answers with a reset. That it has gone does not show otherwise, its last word waits
 * behind what we do not read.
 */
void oremote_ping(struct oremote *m);

/*
 * It has ended: code 0 … 255, or < 0 with @why (the command could not be run). Sends the Status, closes
 * when all is out. No callback any more; the pointer dies.
 */
void oremote_exit(struct oremote *m, int code, const char *why);
/* At once, without a word. Accepts NULL. */
void oremote_abort(struct oremote *m);

#endif
