/*
 * ask.h - how probes and hooks ask a container: by HTTP and by gRPC, on the loop.
 */
#ifndef KUBELET_ASK_H
#define KUBELET_ASK_H

#include "kubelet.h"

/* "HOST:PORT" of a handler (httpGet, tcpSocket, grpc): its host or the pod's address, ports also by name. */
bool ask_address(const struct ctr *c, const struct ojson *action, char *out, size_t size);

/* ---- httpask.c ------------------------------------------------------------------------------- */

struct http_ask;

struct http_answer {
	int		status;		/* 0: none */
	bool		elsewhere;	/* redirected to another host, where nobody followed */
	struct orlop_bytes body;	/* its beginning, if @elsewhere */
	const char	*why;		/* there is no answer: as Go's net/http says it */
};

typedef void (*http_answer_fn)(void *arg, const struct http_answer *a);

/*
 * GET as an httpGet handler describes it; certificates are not looked at. Redirects within the host are followed.
 * @fn comes later, once. NULL: no memory.
 */
struct http_ask *http_ask(struct kubelet *k, const struct ojson *action, const char *addr, const char *agent,
			  uint64_t timeout_ns, http_answer_fn fn, void *arg);
/* No callback any more. Accepts NULL. */
void http_ask_cancel(struct http_ask *a);

/* ---- grpc.c ------------------------------------------------------------------------------------ */

struct grpc_ask;

/* @why NULL: it serves. Else what upstream's probe says. */
typedef void (*grpc_answer_fn)(void *arg, const char *why);

/* grpc.health.v1.Health/Check without TLS. @fn comes later, once. NULL: no memory. */
struct grpc_ask *grpc_ask(const struct orlop_host *h, const char *addr, const char *service, int64_t timeout_s,
			  grpc_answer_fn fn, void *arg);
void grpc_ask_cancel(struct grpc_ask *a);

#endif
