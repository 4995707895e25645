/*
 * oforward - the server side of kubectl port-forward
 *
 * SPDY/3.1 on an upgraded connection, or tunnelled in a WebSocket (SPDY/3.1+portforward.k8s.io, what
 * kubectl tries first since 1.31). For each connection the client opens an error and a data stream of
 * one requestID; the user connects to the port, and bytes are copied from then on.
 *
 * Or a WebSocket with two channels for each port that the query names (port=80,81), each connected once
 * (v4.channel.k8s.io, also in base64; what clients in other languages speak).
 */
#ifndef OLIB_HTTP_OFORWARD_H
#define OLIB_HTTP_OFORWARD_H

#include "http/ohttp.h"

struct oforward;
struct oforward_conn;

struct oforward_ops {
	/* Connect to @port of the pod; then oforward_connected() or oforward_failed(), now or later. */
	void	(*dial)(void *arg, struct oforward_conn *c, uint16_t port);
	/* The client has let go of @c before it was connected: forget it, the pointer dies. */
	void	(*forget)(void *arg, struct oforward_conn *c);
	/* The client is gone; the pointer dies (forget() has come for each that was being dialled). */
	void	(*closed)(void *arg);
};

/* 0 (closed() may have come already); -EPROTO: answered with 400 or 403; -ENOMEM: still to be answered. @h for the sockets. */
int oforward_accept(const struct orlop_host *h, struct ohttp_req *r, const struct oforward_ops *ops, void *arg,
		    struct oforward **ret);
/* Takes the socket (non-blocking). */
void oforward_connected(struct oforward_conn *c, int take_fd);
/* @why is told to the client. The pointer dies. */
void oforward_failed(struct oforward_conn *c, const char *why);
/* Ends it; no callback any more. Accepts NULL. */
void oforward_abort(struct oforward *f);

#endif
