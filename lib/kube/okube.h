/*
 * okube - what a module needs to act on Kubernetes objects: reads from the cache, writes by "api".
 *
 * Everything is callback-driven on the module's loop; nothing here blocks or locks. Trees are
 * ojson (lib/json), owned by whoever the function says. Objects of the cache are bytes; parse one
 * with okube_parse() only when its content decides something.
 */
#ifndef OLIB_KUBE_OKUBE_H
#define OLIB_KUBE_OKUBE_H

#include <orlop/api.h>
#include <orlop/host.h>

#include "json/ojson.h"

/* ---- writing ---------------------------------------------------------------------------------- */

/*
 * The answer. @status < 0: the API did not answer (-ECONNRESET: outcome unknown, read and decide).
 * Else @code is the HTTP status, @body the object or metav1.Status (borrowed, may be NULL), @rev the
 * object's new resourceVersion. The cache of this process has it already: the API server answers
 * only then.
 */
typedef void (*okube_fn)(void *arg, int32_t status, uint32_t code, const struct ojson *body,
			 uint64_t rev);

struct okube_req {
	const char	*verb;		/* get create update patch delete */
	const char	*resource;	/* "pods", "deployments.apps" */
	struct orlop_bytes ns;
	struct orlop_bytes name;
	const char	*sub;		/* subresource or NULL */
	const char	*content_type;	/* patches; NULL: JSON */
	const char	*query;		/* NULL: none */
	const struct ojson *body;	/* borrowed, may be NULL */
	struct orlop_bytes text;	/* instead of body */
};

/* 0 (then @fn is called once) or -errno. @fn may be NULL. */
int okube_call(const struct orlop_host *h, const struct okube_req *req, okube_fn fn, void *arg);

#define OKUBE_MERGE_PATCH	"application/merge-patch+json"
#define OKUBE_STRATEGIC_PATCH	"application/strategic-merge-patch+json"

/* The commonest ones. */
int okube_create(const struct orlop_host *h, const char *resource, struct orlop_bytes ns,
		 const struct ojson *body, okube_fn fn, void *arg);
int okube_update(const struct orlop_host *h, const char *resource, const char *sub,
		 const struct ojson *body, okube_fn fn, void *arg);	/* ns, name from metadata */
int okube_patch(const struct orlop_host *h, const char *resource, struct orlop_bytes ns,
		struct orlop_bytes name, const char *sub, const char *content_type,
		const struct ojson *patch, okube_fn fn, void *arg);
/* With the uid as precondition if @uid is not empty; @propagation may be NULL. */
int okube_delete(const struct orlop_host *h, const char *resource, struct orlop_bytes ns,
		 struct orlop_bytes name, struct orlop_bytes uid, const char *propagation,
		 int64_t grace_s /* < 0: default */, okube_fn fn, void *arg);

/* reason of a Status body, "" else */
const char *okube_reason(const struct ojson *body);

/* ---- objects ----------------------------------------------------------------------------------- */

/* A cached object as a tree (metadata, spec, …; without kind and apiVersion). NULL without memory. */
struct ojson *okube_parse(const struct orlop_object *o);
/* Shared: metadata.KEY as text ("" if absent). */
const char *okube_meta(const struct ojson *obj, const char *key);
/* Is it being deleted? */
bool okube_deleting(const struct ojson *obj);
/* The owner reference with controller=true, or NULL. */
const struct ojson *okube_controller_of(const struct ojson *obj);
/* uid of the object as its index has it; empty if it has none. */
struct orlop_bytes okube_uid(const struct orlop_object *o);
/* First value of a field index of the object. */
struct orlop_bytes okube_index(const struct orlop_object *o, int32_t index);
/* Append an owner reference {apiVersion, kind, name, uid, controller, blockOwnerDeletion} of @owner. */
int okube_owner_add(struct ojson *obj, const char *api_version, const char *kind,
		    const struct ojson *owner);
/* LabelSelector matching; NULL or empty selects everything (as apps/v1 after validation never is). */
bool okube_labels_match(const struct ojson *label_selector, const struct ojson *labels);
/* The same against a cached object's label index, without parsing it. */
bool okube_object_matches(const struct orlop_object *o, const struct ojson *label_selector);
/* Condition of status.conditions by type, or NULL. */
struct ojson *okube_condition(const struct ojson *obj, const char *type);
/*
 * Set one: adds or changes it in @conditions; lastTransitionTime moves with status, lastUpdateTime
 * (if @with_update) with any change. Returns true if something changed.
 */
bool okube_condition_set(struct ojson *conditions, const char *type, const char *status,
			 const char *reason, const char *message, int64_t now_ns, bool with_update);
/* Is the pod ready (condition Ready=True)? Since when (ns), 0 unknown. */
bool okube_pod_ready(const struct ojson *pod, int64_t *ret_since_ns);
/* Available: ready for at least @min_ready_s. *ret_wait_ns: until it would be, 0 none. */
bool okube_pod_available(const struct ojson *pod, int64_t min_ready_s, int64_t now_ns,
			 int64_t *ret_wait_ns);
/* Not being deleted, phase neither Succeeded nor Failed. */
bool okube_pod_active(const struct ojson *pod);
/*
 * Upstream's ranking of which pod of a ReplicaSet to delete first: < 0: @a before @b. @near_a, @near_b:
 * how many related pods are on the same node.
 */
int okube_pod_rank(const struct ojson *a, int64_t near_a, const struct ojson *b, int64_t near_b);

/* ---- events ------------------------------------------------------------------------------------ */

/*
 * Records an Event about an object; repeats within ten minutes are counted in the same Event as
 * upstream's recorder does. Never waits, never fails: what cannot be written is dropped.
 */
struct okube_recorder;
int okube_recorder_new(const struct orlop_host *h, const char *component, const char *host,
		       struct okube_recorder **ret);
void okube_recorder_free(struct okube_recorder *r);	/* accepts NULL */
/*
 * From now on its events wait a tenth of a second, and as long as @busy, but at most half a second: what they tell of
 * goes first. Their times are those of when they happened. 0 or -ENOMEM.
 */
int okube_recorder_gather(struct okube_recorder *r, bool (*busy)(void *arg), void *arg);
/* Those that wait are told now. */
void okube_recorder_flush(struct okube_recorder *r);
/* The same, and later ones wait no more: nobody may be there to tell them. */
void okube_recorder_stop(struct okube_recorder *r);
/* @obj: tree with metadata; @type "Normal" or "Warning"; @field_path e.g. spec.containers{web} or NULL */
void okube_event(struct okube_recorder *r, const char *api_version, const char *kind,
		 const struct ojson *obj, const char *field_path, const char *type, const char *reason,
		 const char *fmt, ...) __attribute__((format(printf, 8, 9)));

/* ---- informers ----------------------------------------------------------------------------------- */

/*
 * Follows one resource: calls @fn for every change, and for every object (as ADDED) at start and
 * whenever the journal has passed it by. Then an object may also have vanished unseen: @resync is
 * called after such a pass, so that the user compares what it knows with the snapshot.
 */
struct okube_informer;
typedef void (*okube_change_fn)(void *arg, uint32_t type, struct orlop_object *o,
				struct orlop_object *prev);
int okube_informer_new(const struct orlop_host *h, const char *resource, okube_change_fn fn,
		       orlop_cb resync, void *arg, struct okube_informer **ret, struct orlop_error *err);
void okube_informer_free(struct okube_informer *i);	/* accepts NULL */
/* Go through all objects once more, soon. */
void okube_informer_relist(struct okube_informer *i);
struct orlop_resource *okube_informer_resource(struct okube_informer *i);
/* Has the first pass been made over a synced cache? */
bool okube_informer_synced(const struct okube_informer *i);

/* An object by key from the cache, as a tree. 0, -ENOENT, or -ENOMEM: it may well be there. */
int okube_find(const struct orlop_host *h, struct orlop_resource *r, struct orlop_bytes ns,
	       struct orlop_bytes name, struct ojson **ret);
/* The same where the difference does not matter: NULL. */
struct ojson *okube_get(const struct orlop_host *h, struct orlop_resource *r, struct orlop_bytes ns,
			struct orlop_bytes name);

#endif
