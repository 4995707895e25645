/*
 * custom.h - kinds that CustomResourceDefinitions define, as the engine sees them.
 *
 * A shard makes the tables of a definition when the first request asks for its resource, and makes
 * them anew when the definition has changed. Requests, watches and fronts hold the set they began with.
 */
#ifndef REG_CUSTOM_H
#define REG_CUSTOM_H

#include "op.h"

#include "crd/ocrd.h"

#define CRDS "customresourcedefinitions.apiextensions.k8s.io"

struct oschema_texts;

/* One defined resource of a shard, by name; it stays until the shard ends. */
struct reg_custom {
	struct olist	link;
	char		*name;		/* "widgets.example.com" */
	struct reg_open	open;
	struct reg_set	*set;		/* the present one, or NULL */
};

/* A definition's tables; freed with the last holder. */
struct reg_set {
	struct reg_custom *of;
	struct reg_shard *sh;
	struct ocrd	*o;
	struct reg_kind	*kinds;		/* parallel to o->schema.resources */
	struct oarena	arena;
	uint64_t	rev;		/* resourceVersion of the definition */
	const struct reg_kind *storage;	/* in which objects are stored from now on */
	struct ojson	*webhook;	/* spec.conversion of strategy Webhook, or NULL */
	uint32_t	refs;
	bool		terminating;
	bool		changed;	/* since it was made: objects may be older than the schema */
};

static inline const struct ocrd_version *custom_version(const struct reg_kind *k)
{
	return &k->set->o->versions[k - k->kinds];
}

/* By cache name; @version empty: the stored one. NULL: not defined, not served, no memory. Not held. */
const struct reg_kind *custom_find(struct reg_shard *sh, struct orlop_bytes name, struct orlop_bytes version);
/* The kind in which objects of @crd are stored, served or not, in tables of its own: reg_kind_release(). -ENOMEM, or @crd cannot be read. */
int custom_kind_new(struct reg_shard *sh, struct orlop_bytes name, const struct ojson *crd, const struct reg_kind **ret);
void custom_shard_free(struct reg_shard *sh);

/* What oschema_decode() is for built-in kinds. */
int custom_decode(const struct reg_kind *k, struct ojson *in, unsigned int flags, struct oschema_texts *unknown,
		  struct ojson **ret, struct orlop_error *err);
/* An object of @k that a webhook made: what the schema does not know goes, defaults are not filled in. */
int custom_prune(const struct reg_kind *k, const struct ojson *in, struct ojson **ret);
/* May this request begin at all? Warns of what is deprecated. */
int custom_admit(struct reg_op *op);
/* Causes of what the schema does not allow. */
void custom_check(struct reg_op *op, struct ojson *obj, const struct ojson *old);
/* A handle's note: false if the handle is none of ours. */
bool custom_note(struct reg_shard *sh, struct orlop_resource *res);
/* Definitions changed: watches of those that are gone end. */
void custom_ended(struct reg_shard *sh);

/* crd.c: shard 0 keeps conditions, registers resources, empties what is deleted. */
struct reg_crds;
int reg_crds_start(struct reg_shard *sh);
/* After the start: are the objects of what was established before it in the cache? Until then they would be missed. */
bool reg_crds_fed(struct reg_shard *sh);
void reg_crds_free(struct reg_crds *c);		/* accepts NULL */
bool custom_established(const struct ojson *crd);
/* kind-crd.c: set a condition: 1 changed, 0 it was so, -ENOMEM. */
int custom_condition(struct ojson *status, const char *type, bool on, const char *reason, const char *message,
		     const char *now);

#endif
