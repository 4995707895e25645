/*
 * registry.h - the API as request → answer, without HTTP: one engine for all verbs and kinds.
 *
 * The front (HTTP), the bus (busapi.c) and the simulation fill a struct reg_req, call reg_call() and
 * receive one struct reg_answer, at once or later, on the same shard. Who asks has been
 * authenticated and authorized by the caller (reg_authorize() helps); admission, validation,
 * storage and the wait for the cache happen here.
 *
 * One struct registry per module instance, made once and then never written; one struct reg_shard
 * per shard with everything that changes. Shards share nothing but storage and cache.
 */
#ifndef REG_REGISTRY_H
#define REG_REGISTRY_H

#include <orlop/host.h>
#include <orlop/types.h>

#include "schema/oschema.h"

struct oarena;
struct registry;
struct reg_shard;
struct reg_watch;
struct reg_answer;
struct ojson;
struct obuf;

enum reg_verb {
	REG_GET = 1,
	REG_LIST,
	REG_WATCH,
	REG_CREATE,
	REG_UPDATE,
	REG_PATCH,
	REG_DELETE,
	REG_DELETECOLLECTION,
};

enum reg_patch {
	REG_PATCH_NONE,
	REG_PATCH_JSON,		/* application/json-patch+json */
	REG_PATCH_MERGE,	/* application/merge-patch+json */
	REG_PATCH_STRATEGIC,	/* application/strategic-merge-patch+json */
	REG_PATCH_APPLY,	/* application/apply-patch+yaml: the body is YAML or JSON */
};

/* What the client asked to see (Accept). */
enum reg_form {
	REG_FORM_OBJECT,
	REG_FORM_TABLE,		/* as=Table;g=meta.k8s.io;v=v1; includeObject is read from the query */
	REG_FORM_META,		/* as=PartialObjectMetadata, for lists ...List */
};

/*
 * A request. All borrowed until the answer is given (for a watch: until its answer; the watch
 * copies what it keeps). Zero it; unset members mean absent.
 */
struct reg_req {
	enum reg_verb	verb;
	enum reg_patch	patch;
	enum reg_form	form;
	bool		collection;	/* of a deletecollection: webhooks are told no name, as upstream */
	bool		judged;		/* admission webhooks have been asked about what makes this request */
	bool		proto;		/* answers in protobuf (application/vnd.kubernetes.protobuf); not for tables */
	const struct oschema_resource *res;	/* the served resource of the path; with @kind not looked at */
	const struct reg_kind *kind;	/* of reg_resolve(); NULL: @res is of the built-in schema */
	struct orlop_bytes ns;		/* path namespace; empty: all, or cluster-scoped */
	struct orlop_bytes name;	/* path name; for a list or watch: only this one */
	struct orlop_bytes sub;		/* path subresource, "" none; never a CONNECT one */
	struct orlop_bytes query;	/* after the '?', still URL-encoded */
	struct orlop_bytes body;	/* JSON (the front converts YAML) */
	struct orlop_bytes raw;		/* of YAML: how the body began, a little of it */
	const char	*broken;	/* of YAML: why it is none; there is no body then */
	const char	*twice;		/* of YAML: which key stood there twice, as "line 3: key …"; NULL: none */
	struct orlop_bytes user_agent;	/* default field manager: up to the first '/' */
	struct orlop_bytes manager;	/* field manager when the query names none; wins over user_agent */
	const struct orlop_identity *who;	/* never NULL */
	const char	*extra;		/* more about who, {"key":["value"]}, for SelfSubjectReview; NULL: none */
	uint64_t	trace;
};

/*
 * An answer. The receiver owns it: reg_answer_free(). The pieces in order are the body (a JSON
 * document with the newline); they point into cached objects and stay valid until the free, from
 * any shard's loop but freed on the shard that made it. Errors are answers too: code ≥ 400 and a
 * metav1.Status as body.
 */
struct reg_answer {
	uint32_t	code;		/* HTTP status */
	uint32_t	n_pieces;
	const struct orlop_bytes *pieces;
	size_t		len;		/* sum of the pieces */
	uint64_t	rev;		/* resourceVersion of the written object, 0: none */
	uint32_t	retry_after_s;	/* Retry-After, 0: none */
	uint32_t	n_warnings;
	const char	*const *warnings;	/* Warning: 299 - "…" */
	bool		proto;		/* the pieces are protobuf: only what reg_answer_proto() made of it, and lists */
	char		reason[32];	/* of an error: metav1.StatusReason */
	struct reg_watch *watch;	/* REG_WATCH with code 200: no pieces; take it (set to NULL) */
};

void reg_answer_free(struct reg_answer *a);	/* accepts NULL; frees an untaken watch */

/* JSON becomes protobuf; nothing happens if it is that already, a watch, or of a kind that has no messages. 0, -ENOMEM. */
int reg_answer_proto(struct reg_answer *a);
/* The same of a document that is no answer: appended to @out. 0, -ENOENT (no messages), -EINVAL, -ENOMEM. */
int reg_proto_document(const struct oschema *s, struct orlop_bytes json, struct obuf *out);
#define REG_PROTO_TYPE		"application/vnd.kubernetes.protobuf"
#define REG_PROTO_WATCH_TYPE	REG_PROTO_TYPE ";stream=watch"

/* @take_a is the receiver's. Called exactly once, maybe before reg_call() returns. */
typedef void (*reg_done_fn)(void *arg, struct reg_answer *take_a);

/*
 * reg_call - answer one request; always calls @done exactly once; without memory for an answer it gets NULL (500)
 *
 * On @sh's loop. There is no cancellation: a write that has begun is finished; @done must cope
 * with its connection having gone (watches are ended by reg_watch_free()).
 */
void reg_call(struct reg_shard *sh, const struct reg_req *rq, reg_done_fn done, void *arg);

/*
 * reg_connect - may this CONNECT (exec, attach, portforward, proxy) begin? Asks admission webhooks.
 *
 * @path what is asked for behind "proxy". The answer is like reg_call()'s: code 200 and no body, or why not.
 */
bool reg_connect_asks(struct reg_shard *sh);	/* is there anybody to ask? */
void reg_connect(struct reg_shard *sh, const struct reg_req *rq, struct orlop_bytes path, reg_done_fn done, void *arg);

/* A Status answer made by the caller: 401, 403, 404 of a path, 405, 406, 413, 415, 429 … */
struct reg_answer *reg_status(struct reg_shard *sh, const struct orlop_error *err);
/* The same about a resource: its details. */
struct reg_answer *reg_status_about(struct reg_shard *sh, const struct orlop_error *err, struct orlop_bytes group,
				    struct orlop_bytes resource, struct orlop_bytes name);

/* How many objects of each stored resource there are, the custom ones that this shard has open included. */
void reg_count_objects(struct reg_shard *sh, void (*fn)(void *arg, const char *group, const char *plural, uint64_t n), void *arg);

/* ---- watches ---- */

/* One event: a line of JSON, or a frame of protobuf, in at most 4 pieces, valid until reg_event_done(). */
struct reg_event {
	uint32_t	n_pieces;
	struct orlop_bytes pieces[4];
	size_t		len;
	struct orlop_object *obj;	/* what the pieces live in; or */
	struct reg_bytes *shared;	/* bytes made once for all watchers of this shard */
};

/*
 * reg_watch_next - the next event
 *
 * 1: @ev is filled; 0: nothing now, the wake-up is armed; -ENODATA: the watch has ended in order
 * (timeout, or after an ERROR event): finish the response; other -errno: break the connection.
 */
int reg_watch_next(struct reg_watch *w, struct reg_event *ev);
void reg_event_done(struct reg_watch *w, struct reg_event *ev);

/* @wake is called on the shard's loop once after each reg_watch_next() that returned 0. */
void reg_watch_wake(struct reg_watch *w, orlop_cb wake, void *arg);
/* @burst is called before and after many watches of the shard are woken, one after the other. */
void reg_watch_burst(struct reg_shard *sh, void (*burst)(void *arg, bool begins), void *arg);

/* End it in order soon: a last bookmark (if allowed), then -ENODATA. For drain and replace. */
void reg_watch_drain(struct reg_watch *w);
void reg_watch_free(struct reg_watch *w);	/* accepts NULL */

/* ---- what the front gives ---- */

/* What is asked for, as the authorizer sees it. Verbs are words: "get", "list", "create" … */
struct reg_attrs {
	struct orlop_bytes verb;
	struct orlop_bytes group;
	struct orlop_bytes version;
	struct orlop_bytes resource;	/* "pods"; empty: a path */
	struct orlop_bytes sub;
	struct orlop_bytes ns;
	struct orlop_bytes name;
	struct orlop_bytes path;	/* non-resource requests */
	struct orlop_bytes field_selector;	/* of a list or watch, as its text: the Node rules look at it */
};

struct reg_hooks {
	void	*arg;
	/*
	 * May @who do this? 1 yes, 0 no. @reason (may be NULL) is why, for people. Reads the
	 * cache through @h of the calling shard at most. NULL: everyone may everything (tests).
	 */
	int	(*authorize)(void *arg, const struct orlop_host *h, const struct orlop_identity *who,
			const struct reg_attrs *a, char *reason, size_t reason_size);
	/*
	 * Rules of @who in @ns for SelfSubjectRulesReview: calls @rule per rule with JSON text
	 * of a ResourceRule (path 0) or NonResourceRule (path 1). NULL: answers incomplete.
	 */
	void	(*rules)(void *arg, const struct orlop_host *h, const struct orlop_identity *who,
			struct orlop_bytes ns, void (*rule)(void *rarg, int path, const char *json),
			void *rarg);
	/*
	 * Sign a claims object as JWT (header with kid is added): a NUL-terminated token that is
	 * freed with omem_free(). 0 or -errno. NULL: TokenRequest answers 404.
	 */
	int	(*sign)(void *arg, const char *claims, size_t len, char **ret_jwt);
	/*
	 * Who does this bearer token belong to? JSON text of a UserInfo
	 * {"username","uid","groups","extra"} to be freed with omem_free(), and the audiences that
	 * matched as JSON list. 0; -EACCES with *ret_why set otherwise. NULL: unauthenticated.
	 */
	int	(*authenticate)(void *arg, const struct orlop_host *h, struct orlop_bytes token,
			const struct orlop_bytes *audiences, uint32_t n_audiences,
			char **ret_user_info, char **ret_audiences, char *why, size_t why_size);
	/*
	 * Does @who have all of these rules (a list of PolicyRule) in @ns, or everywhere if that is empty?
	 * 1; 0 and the rules that are missing as text, one a line; -errno. NULL: everyone does.
	 */
	int	(*covers)(void *arg, const struct orlop_host *h, const struct orlop_identity *who,
			struct orlop_bytes ns, const struct ojson *rules, struct obuf *missing);
	/* What admission notes about a request (audit annotations), when it is answered. NULL: nobody asks. */
	void	(*note)(void *arg, const struct orlop_host *h, const struct reg_req *rq, const char *resource,
			const char *key, const char *value);
	/* Instead of a POST to a webhook: append its answer. 0, or not: why there is none is @why. NULL: they are asked (tests). */
	int	(*webhook)(void *arg, struct orlop_bytes question, struct obuf *answer, const char **why);
};

/* Whom and what PodSecurity lets be; names with commas between them, NULL or empty: nobody. */
struct reg_exempt {
	const char	*users;
	const char	*namespaces;
	const char	*runtime_classes;
};

struct reg_config {
	const struct oschema *schema;
	struct reg_hooks hooks;
	const char	*service_cidr;		/* "10.96.0.0/16" */
	const char	*node_ports;		/* "30000-32767" */
	const char	*advertise_addr;	/* endpoint of default/kubernetes: "192.0.2.1" */
	uint16_t	advertise_port;		/* its target port */
	const char	*issuer;		/* "https://kubernetes.default.svc.cluster.local" */
	uint64_t	event_ttl_ns;		/* 0: 1 h */
	const char	*policy;		/* roles and bindings to begin with (auth/policy.c); NULL: none */
	const char	*flows;			/* priority levels and flow schemas to begin with (auth/flows.c); NULL: none */
	struct reg_exempt exempt;
	const char	*proxy_cert;		/* PEM files: as whom we ask other servers of group versions; NULL or empty: as nobody */
	const char	*proxy_key;
	const char	*auth_config;		/* what they must know to believe us: data of a ConfigMap as JSON; NULL: none is made */
	bool		deny_external_ips;	/* Services may not name new externalIPs */
	bool		shared_storage;		/* other API servers write to the same storage */
};

/* All of @cfg is copied. Makes nothing but memory; shard contexts follow. */
int registry_new(const struct reg_config *cfg, struct registry **ret, struct orlop_error *err);
void registry_free(struct registry *rg);

/* Register all stored resources of the schema with the core's cache. Once, before the shards. */
int registry_register(struct registry *rg, const struct orlop_host *h, struct orlop_error *err);

/* A shard's context, on that shard's loop. Free it when no request, answer or watch is left. */
int reg_shard_new(struct registry *rg, const struct orlop_host *h, struct reg_shard **ret,
		  struct orlop_error *err);
void reg_shard_free(struct reg_shard *sh);

/* Requests in flight and watches open; for drain and stats. */
uint32_t reg_shard_busy(const struct reg_shard *sh);
uint32_t reg_shard_watches(const struct reg_shard *sh);

/*
 * reg_bootstrap - make what must always exist, then call @done once (shard 0, at start)
 *
 * Waits for the caches, then creates what is missing: the four namespaces, Service
 * default/kubernetes with its address, Endpoints and EndpointSlice. Idempotent.
 */
typedef void (*reg_boot_fn)(void *arg, int32_t status, const char *what);
void reg_bootstrap(struct reg_shard *sh, reg_boot_fn done, void *arg);

/* ---- helpers for callers ---- */

struct obuf;
struct reg_kind;

/*
 * A resource that a CustomResourceDefinition defines, or NULL; with its tables. Held: reg_kind_release()
 * on the same shard, when the request that began with it is over.
 */
const struct reg_kind *reg_resolve(struct reg_shard *sh, struct orlop_bytes group, struct orlop_bytes version,
				   struct orlop_bytes plural, const struct oschema **ret_schema,
				   const struct oschema_resource **ret_res);
void reg_kind_release(const struct reg_kind *k);	/* accepts NULL */

/* All that is served now, for documents: to be freed at once. NULL: no memory. */
struct reg_served;
struct reg_served *reg_served_new(struct reg_shard *sh, const struct oschema **ret);
void reg_served_free(struct reg_served *s);
/* OpenAPI v3 of a group version of definitions, appended to @out. 0, -ENOENT, -ENOMEM. */
int reg_custom_openapi(struct reg_shard *sh, struct orlop_bytes group, struct orlop_bytes version, const char *server,
		       struct obuf *out);
/* What all definitions add to OpenAPI v2: members of its paths and of its definitions. 0 or -ENOMEM. */
int reg_custom_openapi_v2(struct reg_shard *sh, const char *server, struct obuf *paths, struct obuf *definitions);
/* Has a definition changed since this was last asked on this shard? */
bool reg_served_changed(struct reg_shard *sh);

/*
 * Names that only the parts of this process have: they come by the bus, under the name the core gives them. Whoever comes
 * another way, or is only named in a review, must not have them. The first may all, kubelets what any node may.
 */
bool reg_user_is_part(struct orlop_bytes user);
bool reg_user_is_kubelet(struct orlop_bytes user);

/* What the field selector of a list's or watch's query says to who authorizes: it, and the one name it demands; in @mem. */
void reg_query_narrow(struct oarena *mem, struct orlop_bytes query, struct reg_attrs *a);

/* authorize() over a request; fills @err with the 403 that upstream would give. 0 or -EACCES. */
int reg_authorize(struct reg_shard *sh, const struct reg_req *rq, struct orlop_error *err);

/* The verb's word: "get", "deletecollection" … */
const char *reg_verb_name(enum reg_verb v);

/*
 * A resource by its cache name, "pods" or "deployments.apps", @version "" for the storage
 * version; NULL if there is none.
 */
const struct oschema_resource *reg_resource(const struct registry *rg, struct orlop_bytes name,
					    struct orlop_bytes version);

/* The cached object (JSON from "metadata" on) or NULL; a reference: h->object_unref(). */
struct orlop_object *reg_peek(struct reg_shard *sh, const char *resource, struct orlop_bytes ns,
			      struct orlop_bytes name);

/* ---- the bus: class "apiserver"'s ops table is filled with these; ctx is found by @shard_of ---- */

/* request and batch of orlop/api.h for shard @sh. 0 or -errno as an op returns. */
int reg_bus_call(struct reg_shard *sh, const struct orlop_req *req, struct orlop_call *call,
		 struct orlop_error *err);

#endif
