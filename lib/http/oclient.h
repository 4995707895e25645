/*
 * oclient - an HTTP/1.1 client with a small pool of kept connections
 *
 * For what one part of the system asks of another: logs and exec of a kubelet, an API server asked
 * by uplink. Answers are streamed; an upgrade hands over the connection.
 */
#ifndef OLIB_HTTP_OCLIENT_H
#define OLIB_HTTP_OCLIENT_H

#include "http/ohttp.h"

struct ohttp_client;
struct ohttp_creq;

struct ohttp_response {
	int				status;
	const struct ohttp_header	*headers;
	size_t				n_headers;
};

struct ohttp_client_ops {
	/* The head, borrowed for the call (1xx are skipped, except 101). */
	void	(*head)(void *arg, struct ohttp_creq *r, const struct ohttp_response *res);
	/* Part of the body, borrowed. */
	void	(*data)(void *arg, struct ohttp_creq *r, const char *p, size_t len);
	/* 101, after head(): the stream is ours to keep; the request is over, end() does not come. */
	void	(*upgraded)(void *arg, struct ohttp_creq *r, struct ohttp_stream *take_s);
	/*
	 * Over, the pointer dies. @err 0: complete. -errno: -ETIMEDOUT, -ECONNREFUSED, -EPROTO … with
	 * @why for people (never NULL).
	 */
	void	(*end)(void *arg, struct ohttp_creq *r, int err, const char *why);
};

struct ohttp_client_request {
	const char			*addr;		/* "HOST:PORT" or "unix:PATH" */
	const char			*tls_name;	/* name in the certificate; NULL: HOST of addr */
	const char			*method;
	const char			*target;	/* path and query */
	const char			*host;		/* Host header; NULL: addr */
	const struct ohttp_header	*headers;	/* Host, Content-Length are added */
	size_t				n_headers;
	struct orlop_bytes		body;		/* copied */
	bool				upgrade;	/* never on a kept connection; 101 expected */
	bool				has_body;	/* send Content-Length: 0 when the body is empty */
	uint64_t			timeout_ns;	/* until the head is here; 0: 30 s */
	uint64_t			connect_ns;	/* until there is a connection, TLS and all; 0: timeout_ns */
};

/* @tls NULL: plain; borrowed, must outlive the client. */
int ohttp_client_new(const struct orlop_host *h, struct otls_ctx *tls, struct ohttp_client **ret);
/* Keep so many idle connections, for so long [4, 30 s]. */
void ohttp_client_keep(struct ohttp_client *c, uint32_t max, uint64_t idle_ns);
/* Requests under way end with -ECANCELED. Accepts NULL. */
void ohttp_client_free(struct ohttp_client *c);

/* 0 (then end or upgraded comes, later) or -ENOMEM, -EINVAL. */
int ohttp_client_send(struct ohttp_client *c, const struct ohttp_client_request *q,
		      const struct ohttp_client_ops *ops, void *arg, struct ohttp_creq **ret);
/* No callback any more; the connection is closed. Accepts NULL. */
void ohttp_creq_cancel(struct ohttp_creq *r);
/* In end(): may the server have seen it? False: it never left, so asking once more is harmless. */
bool ohttp_creq_sent(const struct ohttp_creq *r);
/* Back-pressure for data(). */
void ohttp_creq_pause(struct ohttp_creq *r);
void ohttp_creq_resume(struct ohttp_creq *r);

struct orlop_bytes ohttp_response_header(const struct ohttp_response *res, const char *name);

#endif
