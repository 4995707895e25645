/*
 * front.h - the HTTP side of the API server: what its files share.
 *
 * apiserver.c makes one struct apis per instance and one struct ashard per shard. A connection and
 * its requests stay on one shard. A struct front is one HTTP request from its head until both the
 * client and the registry have let go of it.
 */
#ifndef APIS_FRONT_H
#define APIS_FRONT_H

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/oarena.h"
#include "base/obuf.h"
#include "base/olist.h"
#include "base/omap.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "http/oclient.h"
#include "http/ohttp.h"
#include "pki/opki.h"
#include "registry/registry.h"
#include "registry/remotes.h"
#include "schema/oschema.h"
#include "tls/otls.h"

#define APIS_VERSION		"v1.36.0"
#define APIS_BODY_MAX		(3u * 1024 * 1024)
#define APIS_GZIP_MIN		(128u * 1024)
#define APIS_NS_PER_S		UINT64_C(1000000000)

struct apis;
struct ashard;
struct front;
struct flows;
struct flow_set;
struct flow_schema;

/* One line of the static token file. */
struct static_token {
	struct orlop_bytes	user;
	struct orlop_bytes	uid;
	struct orlop_bytes	*groups;
	uint32_t		n_groups;
};

struct apis {
	const struct orlop_host	*h;		/* of shard 0 */
	const struct oschema	*schema;
	struct registry		*rg;
	struct ashard		**shards;	/* h->n_shards, each made on its own loop */
	uint32_t		n_shards;
	struct opki_key		*sa_key;	/* signs tokens; NULL: none are made */
	char			*issuer;
	struct oarena		arena;		/* tokens and other text for good */
	struct omap		tokens;		/* bearer text → struct static_token */
	_Atomic uint32_t		max_reads;	/* per shard */
	_Atomic uint32_t		max_writes;
	_Atomic uint32_t		places;		/* reads and writes of all shards together: priority levels have shares of them */
	_Atomic uint32_t		max_watches;
	_Atomic uint32_t		max_streams;
	_Atomic bool		log_requests;
	_Atomic uint64_t		timeout_ns;	/* of a request */
	_Atomic uint64_t		delay_ns;	/* between /readyz's no and the end */
	uint16_t		own_ports[2];	/* at which we listen, and are said to: no kubelets are there */
	uint32_t		n_serving;	/* shards whose server is up; shard 0's loop only */
	struct otls_ctx		*tls;		/* as made at the start, of which each shard has a share; so */
	struct otls_ctx		*kubelet_tls;	/* this; NULL: kubelets are not asked */
	bool			booted;
	char			boot_error[100];
};

struct ashard {
	struct apis		*a;
	const struct orlop_host	*h;
	struct reg_shard	*reg;
	struct ohttp_server	*srv;
	struct otls_ctx		*tls;
	struct otls_ctx		*kubelet_tls;
	struct ohttp_client	*kubelet;
	struct otls_ctx		*relay_tls;	/* backend.c; made when first needed, as these: */
	struct ohttp_client	*relay[2];	/* HTTP and HTTPS */
	struct orlop_resource	*pods;		/* for the rules of nodes */
	struct orlop_timer	*timer;		/* deadlines of requests; armed while there are some */
	struct orlop_timer	*chores;	/* once a minute: changed certificates, unused documents */
	uint64_t		docs_used;	/* when a document was last asked for */
	uint32_t		n_streams;	/* to kubelets, before they are joined */
	struct olist		active;		/* of struct front, oldest first */
	struct olist		watches;	/* of struct fwatch */
	struct olist		ws_logs;	/* of struct proxy: logs over WebSockets */
	struct olist		joined;		/* of struct joined: exec and port-forward under way */
	struct omap		metrics;	/* of http/metrics.c */
	struct omap		docs;		/* path → struct doc */
	struct orlop_metric	*inflight[2];
	uint32_t		n_reads;
	uint32_t		n_writes;
	uint32_t		n_fronts;
	uint32_t		n_longrunning;	/* of them */
	struct flows		*flows;		/* of http/flow.c */
	struct token_cache	*tokens;
	struct rbac		*rbac;
	bool			draining;
	bool			finishing;	/* stopped, and nobody takes over */
	_Atomic uint32_t	left;		/* draining: connections and joined streams that are still served */
};

/* A path, taken apart. All text in the front's arena or the schema. */
struct route {
	bool			is_resource;
	bool			watch_prefix;	/* /api/v1/watch/… */
	struct orlop_bytes	path;
	struct orlop_bytes	group;
	struct orlop_bytes	version;
	struct orlop_bytes	ns;
	struct orlop_bytes	resource;
	struct orlop_bytes	name;
	struct orlop_bytes	sub;
	struct orlop_bytes	rest;		/* behind the subresource, without its first slash */
	const struct oschema	*schema;	/* of @res */
	const struct reg_kind	*kind;		/* held; NULL: built in, or not served */
	const struct oschema_resource *res;	/* NULL: not served */
	const struct oschema_sub *subres;
};

/* What Accept asks for. */
struct accept {
	enum reg_form	form;
	bool		yaml;		/* application/yaml is wanted */
	bool		aggregated;	/* discovery in the aggregated form */
	bool		openapi_proto;
	bool		proto;		/* objects in protobuf */
	bool		status_proto;	/* errors too: they are of no other form and of no custom kind */
	bool		none;		/* nothing of what we can give: 406 */
};

/* What is asked. */
enum accept_for { ACCEPT_OBJECTS, ACCEPT_ANSWERS /* reviews: no tables */, ACCEPT_CUSTOM /* no messages */, ACCEPT_DISCOVERY };

enum body_kind { BODY_JSON, BODY_PROTO, BODY_YAML };

struct front {
	struct ashard		*sh;
	struct ohttp_req	*req;		/* NULL: the client is gone or has been answered */
	struct olist		link;		/* sh->active; alone if not counted */
	struct oarena		arena;
	struct obuf		body;
	struct route		rt;
	struct accept		accept;
	struct orlop_identity	who;
	struct reg_req		rq;
	struct flow_schema	*flow;		/* to which it belongs, NULL: none; in this: */
	struct flow_set		*flow_set;
	const char		*extra;		/* of who, as JSON; NULL: none, or nobody asks */
	const char		*verb;		/* as the authorizer knows it */
	uint64_t		began;
	uint64_t		deadline;	/* 0: long-running */
	struct orlop_metric	*longrunning;	/* counted as that; may be NULL */
	bool			is_longrunning;	/* counted in sh->n_longrunning */
	size_t			sent;		/* bytes of the answer, before gzip */
	uint8_t			counted;	/* 1 as read, 2 as write */
	bool			calling;	/* the registry has it */
	bool			stream;		/* counted in sh->n_streams */
	bool			pretty;
	uint8_t			body_kind;	/* enum body_kind */
	char			audit_id[40];
	char			traceparent[56];
};

/* ---- http/trace.c ---- */

/* The trace of the request, from the client or out of @random: f->rq.trace and f->traceparent. */
void front_trace(struct front *f, const uint8_t random[16]);

/* ---- http/log.c ---- */

/* It has been answered: its line in the request log. */
void front_log(const struct front *f, int status);

/* ---- http/front.c ---- */

void front_begin(void *arg, struct ohttp_req *req);	/* ohttp_request_fn of struct ashard */
bool front_admit(struct front *f, bool write);	/* room for one more? false: answered with 429 */
/* It has been answered: count it, and free it when nobody holds it. */
void front_done(struct front *f, int status);
void front_sweep(void *arg);				/* timer of struct ashard */
bool front_free_if_idle(struct front *f);

/* ---- http/answer.c ---- */

void front_error(struct front *f, int http, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Answer with a Status made of @err (which is not freed). */
void front_fail(struct front *f, const struct orlop_error *err);
/* The 403 for what was asked of the authorizer. */
void front_forbidden(struct front *f, const struct reg_attrs *at);
/* 404 of object @name of the path's resource. */
void front_not_found(struct front *f, struct orlop_bytes name);
/* Takes the answer. NULL: 500. */
void front_answer(struct front *f, struct reg_answer *take_a);
/* An answer of our own, bytes copied. */
void front_text(struct front *f, int status, const char *type, const void *p, size_t len);
/* A document of ours in JSON, as that or in protobuf. */
void front_document(struct front *f, const void *p, size_t len);
/* Headers of every answer; returns how many of @hdr (room for 12) are used. Text in the arena. */
size_t front_headers(struct front *f, struct ohttp_header *hdr, const char *type);
/* @own, @n of them, and behind them the warnings of @a; in the arena if there are any. @n grows. */
const struct ohttp_header *front_warnings(struct front *f, const struct reg_answer *a, const struct ohttp_header *own, size_t *n);
/* No room: 429, answered at once. */
void front_too_many(struct front *f, bool write);

/* ---- http/body.c ---- */

/* Content-Type of the body, without parameters. False: answered with 415. */
bool front_body_type(struct front *f);
/* The body becomes JSON. False: answered. */
bool front_body_decode(struct front *f);

/* ---- http/route.c, http/accept.c: pure ---- */

/* 0, -EINVAL (bad escapes), -E2BIG, -ENOMEM. */
int route_parse(const struct oschema *s, struct oarena *a, struct orlop_bytes path, struct route *ret);
bool route_is_connect(const struct route *rt);		/* log, exec, attach, portforward, proxy */
bool route_is_proxy(const struct route *rt);
/* Is anything at the path of @rt, whose resource there is, for whatever method? If not: 404. */
bool route_exists(const struct route *rt);
/* Is @method served there? If not: 405. */
bool route_serves(const struct route *rt, struct orlop_bytes method, enum reg_verb verb);
void accept_parse(struct orlop_bytes header, enum accept_for what, struct accept *ret);
/* A body in protobuf as JSON text. -EINVAL: malformed, -E2BIG, -ENOMEM. */
int protobuf_to_json(const struct oschema *s, const struct oschema_type *t, struct orlop_bytes in, struct obuf *out);
/* Value of @key in a query string, decoded into the arena; p NULL: absent. */
struct orlop_bytes query_get(struct oarena *a, struct orlop_bytes query, const char *key);
bool query_true(struct oarena *a, struct orlop_bytes query, const char *key);
/* JSON with indentation as Go's json.Indent does it with two spaces. */
void json_indent(const struct orlop_bytes *v, size_t n, struct obuf *out);

/* ---- http/watch.c, http/docs.c, http/health.c, http/proxy.c ---- */

void watch_begin(struct front *f, struct reg_watch *take_w);
void watch_drain(struct ashard *sh);
void watch_burst(void *arg, bool begins);	/* arg: struct ashard */
/* True: it was one of theirs and is being answered. */
bool docs_serve(struct front *f);
bool health_serve(struct front *f);
void docs_drop(struct ashard *sh);
void proxy_begin(struct front *f);
void proxy_abort_all(struct ashard *sh);
/* "10.0.0.1:10250" of a node, into @buf, and its host alone; false: it has none. */
bool proxy_kubelet_addr(struct ashard *sh, const char *node, char *buf, size_t size, char *host, size_t host_size);

/* ---- http/joined.c ---- */

/*
 * joined_begin - the client's connection is upgraded, too (@hdr: of the answer), and becomes one with @take_s
 *
 * @mind_peer: ohttp_stream_mind_peer() of the client's. 0: f->req is gone; -errno: it is still to be answered.
 */
int joined_begin(struct front *f, const char *protocol, const struct ohttp_header *hdr, size_t n, struct ohttp_stream *take_s,
		 bool mind_peer);
void joined_abort_all(struct ashard *sh);

/* ---- http/flow.c ---- */

int flow_shard_init(struct ashard *sh);		/* 0, -ENOMEM */
void flow_shard_free(struct ashard *sh);
/* f->flow: known are who asks, and what for. flow_leave() at the end. */
void flow_match(struct front *f);
void flow_leave(struct front *f);
bool flow_uids(const struct front *f, const char **ret_schema, const char **ret_level);
bool flow_is_exempt(const struct front *f);	/* no limit holds */
bool flow_has_room(const struct front *f, bool write);	/* of a request with a schema */
void flow_take(struct front *f, bool write);	/* a place of its level, until flow_give() */
void flow_give(struct front *f, bool write);
void flow_refused(struct front *f);		/* is counted */
void flow_metrics(struct ashard *sh, struct obuf *out);

/* ---- http/metrics.c ---- */

void metrics_begin(struct ashard *sh);
/* One more, or less, is being answered. */
void metrics_inflight(struct ashard *sh, bool write, bool begins);
void metrics_request(struct front *f, int status);	/* it has been answered */
void metrics_terminated(struct front *f, int status);	/* 429, 504 */
void metrics_dropped(struct front *f, bool write);
void metrics_aborted(struct front *f);
/* It is open from now on, until front_done(). */
void metrics_longrunning(struct front *f);
/* To count the events of a watch by. NULL each: not counted. */
void metrics_watch(struct front *f, struct orlop_metric **ret_events, struct orlop_metric **ret_sizes);
void metrics_serve(struct front *f);
void metrics_done(struct ashard *sh);

/* ---- http/backend.c ---- */

void relay_begin(struct front *f);
void relay_done(struct ashard *sh);

/* ---- http/relay.c ---- */

/* The request goes to @addr. @client NULL: out of memory. */
void relay_to(struct front *f, struct ohttp_client *client, const char *addr);
#define RELAY_MORE 400u		/* headers of ours: as many groups as may be impersonated, and extra */
/* To another server of a group version. Texts in the front's arena; @take_to's client is released at the end. */
void relay_remote(struct front *f, const struct reg_remote *take_to, const char *target, const struct ohttp_header *more, size_t n);

/* ---- http/podopts.c ---- */

/* What the query asks of a pod's log, of its ports: false is answered, with 400 or 422. */
bool podopts_log(struct front *f);
bool podopts_ports(struct front *f);
/* The query to a kubelet for the log, as upstream writes it. */
void podopts_put_log(struct front *f, struct obuf *b);
/* As it may stand in a path or in a query. */
void front_put_escaped(struct obuf *b, const char *p, size_t n);

/* ---- http/remote.c ---- */

/* True: another server serves the path's group version; the request is refused, or goes there. */
bool remote_serve(struct front *f);
/* The OpenAPI v3 document of "apis/GROUP/VERSION", by the server that has it; who asks may. False: no other server does. */
bool remote_document(struct front *f, struct orlop_bytes gv);

/* ---- http/usage.c ---- */

/* metrics.k8s.io: authorized, the verb is served. */
void usage_begin(struct front *f);

/* ---- auth/ ---- */

/* Fills f->who (in the arena). 0, or -EACCES: 401 with @err. */
int authn_request(struct front *f, struct orlop_error *err);
int authn_set_who(struct front *f, struct orlop_bytes user, struct orlop_bytes uid, const struct orlop_bytes *groups,
		  size_t n, const char *last);
/* auth/bootstrap.c: whose bootstrap token this is, in @a; NULL: nobody's. */
const struct static_token *authn_bootstrap(struct ashard *sh, struct oarena *a, struct orlop_bytes token);
/* auth/impersonate.c: f->who becomes whom the headers ask for, if f->who may. */
int authn_impersonate(struct front *f, struct orlop_error *err);
int authn_load_tokens(struct apis *a, const char *path, struct orlop_error *err);
void authn_shard_free(struct ashard *sh);
int hook_authenticate(void *arg, const struct orlop_host *h, struct orlop_bytes token,
		      const struct orlop_bytes *audiences, uint32_t n_audiences, char **ret_user_info,
		      char **ret_audiences, char *why, size_t why_size);
int hook_sign(void *arg, const char *claims, size_t len, char **ret_jwt);
int hook_authorize(void *arg, const struct orlop_host *h, const struct orlop_identity *who,
		   const struct reg_attrs *at, char *reason, size_t reason_size);
void hook_rules(void *arg, const struct orlop_host *h, const struct orlop_identity *who,
		struct orlop_bytes ns, void (*rule)(void *rarg, int path, const char *json), void *rarg);
int hook_covers(void *arg, const struct orlop_host *h, const struct orlop_identity *who, struct orlop_bytes ns,
		const struct ojson *rules, struct obuf *missing);
/* http/log.c: audit annotations into the request log. */
void hook_note(void *arg, const struct orlop_host *h, const struct reg_req *rq, const char *resource, const char *key,
	       const char *value);
bool in_group(const struct orlop_identity *who, const char *group);
/* auth/flows.c */
extern const char flow_objects[];
/* auth/node.c: may node @node (p NULL: the kubelet of this process, any) do this? */
bool node_may(struct ashard *sh, struct orlop_bytes node, const struct reg_attrs *at);

static inline bool bytes_is(struct orlop_bytes b, const char *cstr)
{
	return ostr_is(b.p, b.len, cstr);
}

static inline struct orlop_bytes bytes_cstr(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

#endif
