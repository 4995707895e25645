/* server.h - what the files of the kubelet's HTTPS API share. */
#ifndef KUBELET_SERVER_H
#define KUBELET_SERVER_H

#include "kubelet.h"
#include "http/ohttp.h"

struct server {
	struct kubelet	*k;
	struct otls_ctx	*tls;
	struct ohttp_server *http;
	uint32_t	port;
	struct olist	follows;	/* logs.c */
	struct orlop_timer *ask;	/* logs.c: draining */
	struct olist	sessions;	/* exec.c */
	struct olist	forwards;	/* forward.c */
	struct omap	verdicts;	/* serverauth.c */
};

/* serverauth.c: @go when who asks may; else it is answered. */
typedef void (*server_go_fn)(struct server *s, struct ohttp_req *r);
void server_authorize(struct server *s, struct ohttp_req *r, server_go_fn go);
void server_auth_free(struct server *s);
/* statserve.c: true if the path was one of theirs */
bool stats_serve(struct server *s, struct ohttp_req *r);
/* Answer with plain text, as upstream's kubelet does. */
void server_text(struct ohttp_req *r, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Value of a query parameter, unescaped (omem_free), NULL: none. *@at: where to go on, start with 0. */
char *query_next(struct orlop_bytes q, const char *key, size_t *at);
char *query_value(struct orlop_bytes q, const char *key);
bool query_flag(struct orlop_bytes q, const char *key);

/* logs.c */
void logs_serve(struct server *s, struct ohttp_req *r, struct pod *p, struct ctr *c);
void logs_stop(struct server *s);
/* The kubelet has stopped, so nobody tells of containers' ends: asks for those whose logs are followed. */
void logs_drain(struct server *s);
void logs_ctr_ended(struct server *s, const struct ctr *c);
/* exec.c: @attach: the container's own process, else a command */
void exec_serve(struct server *s, struct ohttp_req *r, struct pod *p, struct ctr *c, bool attach);
void exec_stop(struct server *s);
/* forward.c */
void forward_serve(struct server *s, struct ohttp_req *r, struct pod *p);
void forward_stop(struct server *s);
uint32_t forward_count(const struct server *s);
uint32_t logs_count(const struct server *s);
uint32_t exec_count(const struct server *s);

#endif
