/* hook.h - admission webhooks: which are asked about a write, one call, and the round over all of them. */
#ifndef ADMISSION_HOOK_H
#define ADMISSION_HOOK_H

#include "admission.h"

#include "../registry/write.h"
#include "json/ojson.h"

#define HOOKS_MAX	64u		/* asked about one write */

struct hook_run;

/* What a request to a subresource (or a resource that is not stored) carries instead of the object: a Binding, an Eviction … */
struct hook_body {
	const struct reg_kind *k;	/* whose path it is */
	const struct oschema_type *type;
	const char	*group;
	const char	*version;
	const char	*kind;
	const char	*api_version;
	const char	*operation;	/* NULL: as of any write */
	bool		bare;		/* it has no labels: no selector selects it */
	struct write	*under;		/* of a Scale: the write of the object, which goes on */
	void		(*go)(struct reg_op *op);	/* when it may be done */
};

/* One webhook that is asked about the write in hand. */
struct hook {
	struct ojson	*conf;		/* the webhook as configured, a reference */
	const char	*name;
	const struct reg_kind *as;	/* in whose version it sees the object */
	bool		mutating;
	bool		asked;		/* in this round */
	bool		again;		/* reinvocationPolicy IfNeeded */

	/* what came of it */
	int		r;		/* 0: go on */
	int		http;
	const char	*reason;
	const char	*message;	/* in the op's arena */
	struct ojson	*patch;		/* JSON patch, or NULL */
};

/* All webhooks about one write: mutating ones one after the other, validating ones at once. */
struct hook_run {
	struct reg_op	*op;
	struct hook	v[HOOKS_MAX];
	uint32_t	n;
	uint32_t	at;
	uint32_t	pending;
	bool		starting;
	bool		mutating;
	bool		changed;	/* since the round began */
	bool		second;		/* round of those that want to see what later ones changed */
	const struct hook_body *body;	/* asked about, NULL: whole objects of w->k */
	struct ojson	*obj;		/* as it is now, of w->k or body->type; NULL: DELETE */
	void		(*done)(struct reg_op *op, int r);
};

/* hookmatch.c: is any configured at all? */
bool hooks_any(struct reg_shard *sh, bool mutating);
/* Fills run->v. 0 or -errno with op->err. */
int hooks_match(struct hook_run *run, bool mutating);

/* hookcall.c: ask; hook_answered() is called once, maybe before this returns. */
void hook_call(struct hook_run *run, struct hook *k);
void hook_answered(struct hook_run *run, struct hook *k);

/*
 * hookcount.c: @k was asked in @run at @began (mono), and k->r says what came of it. @unasked: it could not be, or what it
 * said was no answer.
 */
void hook_counted(const struct hook_run *run, const struct hook *k, const char *operation, uint64_t began, bool unasked);

/* hooktree.c: trees of kinds, built in or custom. In place, from one version of its objects to another: */
int hook_convert(const struct reg_kind *from, const struct reg_kind *to, struct ojson *obj);
/* @ret: what @run's objects are, of any tree; defaults are filled in. */
int hook_decode(const struct hook_run *run, struct ojson *in, struct ojson **ret, struct orlop_error *err);
/* Is @k served, and can this server make objects of it from the stored ones? */
bool hook_served(const struct reg_kind *k);
bool hook_convertible(const struct reg_kind *from, const struct reg_kind *to);

#endif
