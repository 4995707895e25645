/*
 * op.h - one request inside the engine, and what every file of the registry shares.
 *
 * A struct reg_op lives from reg_call() to reg_answer_free(): it holds the request, the arena all
 * its memory comes from, the error being built, and at the end the answer.
 */
#ifndef REG_OP_H
#define REG_OP_H

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/oarena.h"
#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/olist.h"
#include "base/omap.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "options.h"
#include "registry.h"
#include "schema/decode.h"

struct reg_op;
struct reg_kind;
struct reg_obj;
struct reg_txn;
struct reg_convert;
struct ojson;

/* What is special to a kind; NULL members: nothing is. All return 0 or -errno with op->err. */
struct reg_behaviour {
	const char	*resource;	/* cache name: "services" */
	/* after defaults, before admission; @old NULL: create. Keep, drop, compute fields. */
	int	(*prepare)(struct reg_op *op, struct ojson *obj, struct ojson *old);
	/* after admission: more checks, causes by reg_cause() */
	int	(*validate)(struct reg_op *op, struct ojson *obj, struct ojson *old);
	/*
	 * Add compares and puts of private keys to the transaction, fill allocated fields. Called
	 * again on each retry; @obj NULL: the object goes away for good.
	 */
	int	(*commit)(struct reg_op *op, struct reg_txn *t, struct ojson *obj, struct ojson *old);
	/* changes DELETE: may refuse, or adjust op->opt */
	int	(*deleting)(struct reg_op *op, struct ojson *old);
};

/* One served resource, as the engine sees it. Immutable once made. */
struct reg_kind {
	const struct oschema *schema;	/* that @res is of */
	const struct reg_kind *kinds;	/* all of it, parallel to its resources */
	struct reg_set	*set;		/* custom.h; NULL: built in */
	bool		reread;		/* stored objects may be older than the schema: they are made anew */
	const struct oschema_resource *res;
	const struct reg_kind *stored;	/* whose objects these are: itself in general */
	uint16_t	id;		/* index in the schema's resources and in the shards' tables */
	bool		virt;
	const char	*name;		/* cache name: "deployments.apps" */
	const char	*group;
	const char	*version;
	const char	*kind;
	const char	*plural;
	const char	*api_version;	/* "apps/v1" */
	const char	*gk;		/* "Deployment.apps" for messages */
	struct orlop_bytes prefix;	/* {"kind":"Deployment","apiVersion":"apps/v1", */
	struct orlop_bytes list_head;	/* {"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":" */
	const struct reg_behaviour *behaviour;
};

struct registry {
	struct reg_config cfg;
	const struct oschema *schema;
	struct oarena	arena;
	struct reg_kind	*kinds;		/* parallel to schema->resources */
	uint64_t	*lazy_rev;	/* the same, and one for all custom kinds: last write answered before the cache had
				 * it (lazy, or it could not wait); the one thing that shards share, atomic */
	uint32_t	svc_base;	/* service range, host order */
	uint32_t	svc_mask;
	uint16_t	port_lo;
	uint16_t	port_hi;
	/* well-known kinds, for the engine's own look-ups */
	const struct reg_kind *namespaces;
	const struct reg_kind *events;
	const struct reg_kind *leases;
	const struct reg_kind *pods;
	const struct reg_kind *nodes;
	const struct reg_kind *services;
	const struct reg_kind *serviceaccounts;
	const struct reg_kind *secrets;
	const struct reg_kind *crds;
	const struct reg_kind *priorityclasses;	/* NULL while the schema has none */
	const struct reg_kind *resourcequotas;
	const struct reg_kind *bindings;
	const struct reg_kind *components;
	const struct reg_kind *webhooks[2];	/* validating, mutating */
};

/* A resource as one shard has it open. */
struct reg_open {
	struct orlop_resource *res;	/* NULL: not opened yet */
	struct olist	watches;	/* of struct reg_watch */
	bool		noted;		/* notes are asked for */
};

struct reg_shard {
	struct registry	*rg;
	const struct orlop_host *h;
	struct reg_open	*open;		/* parallel to kinds */
	struct omap	customs;	/* name → struct reg_custom */
	struct olist	custom_list;	/* the same */
	struct reg_crds	*crds;		/* shard 0 */
	uint64_t	crd_cursor;	/* what discovery knows */
	struct olist	watches;	/* all of this shard, by their second link */
	struct orlop_timer *watch_timer;
	uint64_t	watch_timer_at;	/* monotonic; when it fires, 0: unarmed */
	struct boot_rbac *boot_rbac;	/* shard 0: while it goes on */
	struct orlop_change *spare;	/* a batch of BATCH_MIN that no watch uses now */
	void		(*burst)(void *arg, bool begins);	/* may be NULL */
	void		*burst_arg;
	struct reg_expiry *expiry;	/* shard 0: events' end */
	struct reg_evcache *evcache;
	struct olist	hook_clients;	/* connections to webhooks */
	uint32_t	hook_calls;
	struct olist	quota_gates;	/* namespaces whose quotas are being charged */
	struct reg_aggregate *aggregate;	/* shard 0 */
	struct reg_flows *flows;	/* shard 0 */
	struct reg_apiservices *apiservices;	/* shard 0 */
	struct reg_remotes *remotes;	/* remotes.h */
	uint64_t	remote_generation;	/* changes with what remotes have */
	uint64_t	remote_known;	/* what discovery knows of it */
	struct omap	store_metrics;	/* store-time.c */
	struct omap	hook_labels;	/* admission/hookcount.c */
	struct convert_share *convert_share; /* NULL: nothing to share yet */
	uint32_t	n_ops;
	uint32_t	n_watches;
};

/* A cause of a 422, kept in the arena until the Status is written. */
struct reg_cause {
	struct reg_cause *next;
	const char	*reason;
	const char	*message;
	const char	*field;
};

struct reg_note {
	struct reg_note	*next;
	const char	*key;
	const char	*value;
};

struct reg_warning {
	struct reg_warning *next;
	const char	*text;
};

struct reg_op {
	struct reg_answer ans;		/* first: reg_answer_free() finds the op by it */
	struct reg_shard *sh;
	struct reg_req	rq;
	struct reg_opts	opt;
	const struct reg_kind *k;	/* of rq.res */
	const struct oschema_sub *sub;	/* of rq.sub, NULL none */
	reg_done_fn	done;
	void		*done_arg;
	struct oarena	arena;

	/* the error being answered */
	struct orlop_error err;
	const char	*err_text;	/* message when longer than err.msg, or NULL */
	const char	*det_name;
	const char	*det_group;
	const char	*det_kind;
	const char	*det_uid;
	const char	*list_continue;	/* 410: token for the inconsistent rest */
	struct reg_cause *causes;
	struct reg_cause **causes_tail;
	uint32_t	n_causes;
	struct reg_warning *warnings;
	struct reg_warning **warnings_tail;
	uint32_t	n_warned;	/* also what was said already */
	struct reg_note	*notes;		/* the last one first */
	struct oschema_texts strict;	/* what strict decoding found so far: reg_take_strict() */

	/* what the answer lives in */
	struct obuf	out;		/* text made for it */
	struct orlop_snapshot *snap;
	struct orlop_object *obj;
	struct orlop_blob *blob;
	void		*pieces;	/* omem */

	/* custom objects: in which version the bytes at hand are stored; what is being converted */
	struct orlop_bytes version;
	struct reg_convert *convert;

	/* writes */
	struct write	*w;
};

/* ---- status.c: errors ---- */

int reg_not_found(struct reg_op *op, struct orlop_bytes name);
/* The same of a part of it that upstream names with it: "deployments/scale". */
int reg_not_found_part(struct reg_op *op, const char *part, const char *group, struct orlop_bytes name);
int reg_exists(struct reg_op *op, struct orlop_bytes name);
int reg_conflict(struct reg_op *op, struct orlop_bytes name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same about a subresource: "pods/binding". */
int reg_conflict_sub(struct reg_op *op, const char *sub, struct orlop_bytes name, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int reg_forbidden(struct reg_op *op, struct orlop_bytes name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int reg_bad_request(struct reg_op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int reg_internal(struct reg_op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int reg_method(struct reg_op *op);
/* Any other: without details but the causes that were added. -@errnum. */
int reg_fail(struct reg_op *op, int errnum, int http, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
int reg_too_large_rv(struct reg_op *op, uint64_t asked, uint64_t current);
int reg_expired(struct reg_op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A cause; the error itself is made by reg_invalid() when at least one was added. */
void reg_cause(struct reg_op *op, const char *reason, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* 0 without causes, else -EINVAL and the 422 in op->err, worded for Kind @gk and @name. */
int reg_invalid_as(struct reg_op *op, const char *gk, struct orlop_bytes name);
int reg_invalid(struct reg_op *op, struct orlop_bytes name);	/* of op->k */

void reg_warn(struct reg_op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* An audit annotation: what is said again about @key replaces what was said before (a write may be decided many times). */
void reg_note(struct reg_op *op, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Turn a storage or host failure (-errno, @err may be NULL) into op->err. */
int reg_failed(struct reg_op *op, int r, const struct orlop_error *err);

/* Append the Status of op->err as JSON (no newline). */
void reg_status_put(struct reg_op *op, struct obuf *b);

/* ---- answer.c ---- */

/* Finish with op->err (r < 0), or with code and the text in op->out. Consumes the op. */
void reg_finish(struct reg_op *op, int r);
void reg_finish_text(struct reg_op *op, uint32_t code);
/* Finish with a Status Success over an object that was deleted. */
void reg_finish_deleted(struct reg_op *op, struct orlop_bytes name, struct orlop_bytes uid);
/*
 * Finish with one object: @json from "metadata" on, with resourceVersion in place; borrowed, so it
 * must live in op->obj, op->blob or the arena. @k is how to render it.
 */
void reg_finish_object(struct reg_op *op, uint32_t code, const struct reg_kind *k,
		       struct orlop_bytes json, uint64_t rev);

/* Of custom kinds op->version says in which version @json is stored. */

/* The same with a stored record (in op->out, the arena or op->blob), resourceVersion not yet in place. */
struct reg_stored;
void reg_finish_stored(struct reg_op *op, uint32_t code, const struct reg_kind *k,
		       const struct reg_stored *st);
/* Hand over what op->ans holds. */
void reg_deliver(struct reg_op *op);

/* ---- registry.c ---- */

/* The shard's handle of @k's objects, opened on first use; NULL without memory or permission. */
struct orlop_resource *reg_open(struct reg_shard *sh, const struct reg_kind *k);
const struct reg_kind *reg_kind_of(const struct registry *rg, const struct oschema_resource *res);
/* Its slot in the shard. */
struct reg_open *reg_open_of(struct reg_shard *sh, const struct reg_kind *k);
/* Something moved: watches of the slot look. */
void reg_open_note(struct reg_shard *sh, struct reg_open *o);
void reg_kind_hold(const struct reg_kind *k);
int reg_kind_init(struct oarena *a, const struct oschema *s, struct reg_kind *kinds, uint16_t i);
const struct reg_kind *reg_kind_named(const struct registry *rg, const char *cache_name);
/* The cached object, a reference, or NULL in *ret; 0 or -errno. */
int reg_find(struct reg_shard *sh, const struct reg_kind *k, struct orlop_bytes ns,
	     struct orlop_bytes name, struct orlop_object **ret);
/*
 * Lazy writes are acknowledged before the cache can have them. Reads that must be fresh wait for the
 * last one, whichever shard made it. 0: none is outstanding.
 */
void reg_lazy_wrote(struct reg_shard *sh, const struct reg_kind *k, uint64_t rev);
uint64_t reg_lazy_pending(struct reg_shard *sh, const struct reg_kind *k);
/* Revision that the cache must have before this read: as asked, or of our own lazy writes. */
uint64_t reg_read_after(struct reg_op *op);

/* A request that the engine makes itself, as the user system:apiserver. Namespace, name and body are copied. */
void reg_internal_call(struct reg_shard *sh, const struct reg_req *rq, reg_done_fn done, void *arg);

#define RB(cstr) ((struct orlop_bytes){ .p = (cstr), .len = strlen(cstr) })
#define RB0 ((struct orlop_bytes){ .p = NULL, .len = 0 })

static inline bool rb_is(struct orlop_bytes b, const char *cstr)
{
	return ostr_is(b.p, b.len, cstr);
}

static inline bool rb_eq(struct orlop_bytes a, struct orlop_bytes b)
{
	return ostr_eq(a.p, a.len, b.p, b.len);
}

static inline const char *rb_dup(struct oarena *a, struct orlop_bytes b)
{
	const char *s = oarena_strndup(a, b.len ? b.p : "", b.len);

	return s ? s : "";
}

#endif
