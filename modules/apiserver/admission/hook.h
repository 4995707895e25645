/* hook.h - admission webhooks: which are asked about a write, one call, and the round over all of them. */
#ifndef ADMISSION_HOOK_H
#define ADMISSION_HOOK_H

#include "admission.h"

#include "../registry/write.h"
#include "http/oclient.h"
#include "json/ojson.h"

#define HOOKS_MAX	64u		/* asked about one write */
#define HOOK_CALLS_MAX	256u		/* under way in a shard */
#define HOOK_ANSWER_MAX	(3u << 20)

struct hook_run;

/* What a request to a subresource (or a resource that is not stored) carries instead of the object: a Binding, an Eviction … */
struct hook_body {
	const struct reg_kind *k;	/* whose path it is */
	const struct oschema_type *type;
	const char	*group;
	const char	*version;
	const char	*kind;
	const char	*api_version;
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

/* hookplace.c */

/* Connections to webhooks whose certificates the same authority has signed. */
struct hook_client {
	struct olist	link;
	char		*ca;		/* base64 as configured; "" the system's */
	struct otls_ctx	*tls;
	struct ohttp_client *http;
	uint32_t	calls;
};

/* Where one is asked. */
struct hook_place {
	const char	*addr;		/* HOST:PORT to connect to */
	const char	*name;		/* in the certificate */
	const char	*host;		/* of the URL */
	const char	*path;
};

struct hook_client *hook_client_of(struct reg_shard *sh, const char *ca, struct orlop_error *err);
/* NULL, or why there is none. */
const char *hook_place(struct reg_op *op, const struct ojson *client_config, struct hook_place *p);
/* Appends what the base64 text says. 0, -EINVAL, -ENOMEM. */
int hook_base64(struct obuf *b, const char *p, size_t len);

/* hooktree.c: trees of kinds, built in or custom. In place, from one version of its objects to another: */
int hook_convert(const struct reg_kind *from, const struct reg_kind *to, struct ojson *obj);
/* @ret: what @run's objects are, of any tree; defaults are filled in. */
int hook_decode(const struct hook_run *run, struct ojson *in, struct ojson **ret, struct orlop_error *err);
/* Is @k served, and can this server make objects of it from the stored ones? */
bool hook_served(const struct reg_kind *k);
bool hook_convertible(const struct reg_kind *from, const struct reg_kind *to);

#endif
