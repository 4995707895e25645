/*
 * write.h - one write: from the stored object (or none) to the next one, as often as it takes.
 *
 * write_run() loads the base from the cache, calls `make` which decides what shall be, commits with
 * a compare on the base's revision, and waits until the cache has it. Somebody else's write in
 * between starts over with the object that the storage reported; `make` finds then whether its
 * preconditions still hold.
 */
#ifndef REG_WRITE_H
#define REG_WRITE_H

#include "op.h"
#include "record.h"
#include "store.h"

struct ojson;

enum write_action {
	WRITE_PUT,
	WRITE_REMOVE,
	WRITE_NOTHING,		/* answer as it is */
};

/* How the answer of a finished write looks. */
enum write_answer {
	WRITE_ANSWER_OBJECT,
	WRITE_ANSWER_STATUS,	/* Status Success with the object's details (DELETE) */
	WRITE_ANSWER_CUSTOM,	/* w->finish does it */
};

struct write {
	const struct reg_kind *k;	/* whose object is written: a stored kind */
	struct orlop_bytes ns;
	struct orlop_bytes name;
	struct orlop_bytes key;
	unsigned int	tries;
	unsigned int	max_tries;
	unsigned int	private_tries;	/* lost races for addresses and ports */
	uint32_t	last_failed;	/* compare that failed in the last try; 0: the object's own */
	bool		may_create;	/* no base is no error: 404 otherwise */
	bool		create_only;	/* a base is an error: 409 */

	/* the base: as it is now */
	uint64_t	base_rev;	/* 0: does not exist */
	struct orlop_bytes base_json;	/* with resourceVersion */
	struct obuf	base_buf;
	struct orlop_object *base_obj;
	struct ojson	*old;		/* typed tree with kind and apiVersion, NULL: none */
	struct orlop_bytes base_version;	/* of custom kinds: in which it is stored */
	bool		converted;	/* old is in the version of the request (convert.h) */

	/* what shall be */
	enum write_action action;
	struct ojson	*obj;		/* typed tree */
	struct ojson	*out;		/* it in the version that is stored, where a webhook made that; NULL: obj */
	struct ojson	*mf_requested;	/* managedFields as the client sent them, or NULL */
	bool		dirty;		/* members were added: order is to be restored */
	bool		no_managed;	/* managedFields stay as they are */
	bool		managed_done;	/* w->managed is made */
	struct obuf	record;
	struct obuf	managed;	/* text of the new managedFields */
	struct reg_stored stored;

	uint32_t	code;		/* of success: 200, 201 */
	enum write_answer answer;
	int		(*make)(struct reg_op *op);
	/*
	 * NULL, or tried before @make on the cached object's bytes, while `old` is not yet parsed: w->record and
	 * w->stored; false: let @make do it. For kinds that commit nothing besides.
	 */
	bool		(*make_text)(struct reg_op *op);
	void		(*finish)(struct reg_op *op);	/* WRITE_ANSWER_CUSTOM */

	/* generateName */
	bool		generated;

	/* admission/hooks.c: what mutating webhooks made of the object when the base was hook_rev */
	struct hook_run	*hook_run;	/* to be asked, or being asked */
	struct ojson	*hook_obj;
	uint64_t	hook_rev;
	bool		hooked;
	const struct hook_body *hook_body;	/* hookbody.c: this is no write, they are asked about a body */

	/* admission/quota.c: what is charged with this write */
	struct quota_charge *charges;
	uint32_t	n_charges;
	uint32_t	quota_first;	/* of the transaction's compares */
	struct quota_gate *quota_gate;	/* held */
	struct olist	quota_link;	/* waiting for it */
	struct reg_op	*quota_op;
};

/* A write of @name by @make; takes op to its end. */
int write_new(struct reg_op *op, const struct reg_kind *k, struct orlop_bytes ns,
	      struct orlop_bytes name, int (*make)(struct reg_op *op));
void write_run(struct reg_op *op);
void write_free(struct reg_op *op);
/* What was decided goes to the storage; called again for a write that had to wait for others of its namespace. */
void write_commit(struct reg_op *op);

/* ---- parts of make ---- */

/* w->in → typed w->obj with defaults; findings of strict decoding handled. Takes @in. */
int write_decode(struct reg_op *op, struct ojson *take_in);
/* Something about what a patch (not an apply) leaves, @in: upstream's finding is about the patch, not about a kind. -errno. */
int write_patch_is_bad(struct reg_op *op, const struct ojson *in, const char *why);
bool write_is_patched(const struct reg_op *op);
/* What strict decoding found (op->strict) is refused or warned of; of a patch: in @in, which it has left. */
int reg_take_strict(struct reg_op *op, const struct reg_kind *k, const struct ojson *in);
/* Behaviours, generation, admission, validation over w->obj and w->old. */
int write_check(struct reg_op *op);
/* After members were added to w->obj: canonical again. */
int write_canonical(struct reg_op *op);
/* A member was added to w->obj outside of its place. */
static inline void reg_dirty(struct reg_op *op)
{
	if (op->w)
		op->w->dirty = true;
}

/* A failure of lib/: its causes become op's and 0 is returned (reg_invalid() follows), else op->err. */
int reg_take_error(struct reg_op *op, int r, struct orlop_error *e);

/* The same, but the message stays as it is: patches that do not apply. @e keeps its causes. */
int reg_take_whole(struct reg_op *op, int r, struct orlop_error *e);

/* input.c: make of create, update, patch */
int write_make_create(struct reg_op *op);
int write_make_update(struct reg_op *op);
int write_make_patch(struct reg_op *op);
/* The request's body as a tree that claims to be @k (kind and apiVersion are checked). */
int write_parse_body(struct reg_op *op, const struct reg_kind *k, struct ojson **ret);
/* The same decoded as @t, with what strictness asks for; of @as count the schema and the names. */
int write_body_as(struct reg_op *op, const struct reg_kind *as, const struct oschema_type *t, struct ojson **ret);
/* The same of what the subresource takes. */
int write_body_sub(struct reg_op *op, struct ojson **ret);
/* An ojson_duplicate_fn; @arg: the op. */
void write_note_duplicate(void *arg, const char *path, size_t len);
/* The error about a body of YAML that is none. -errno. */
int write_body_broken(struct reg_op *op);

/* The whole object as the client wants it becomes the new one. Both take @in. */
int write_make_new(struct reg_op *op, struct ojson *take_in);
int write_make_changed(struct reg_op *op, struct ojson *take_in, bool patch);
/* Subresources write one part: everything else comes from @was. @in is replaced. */
int write_only_part(struct reg_op *op, struct ojson **in, const struct ojson *was);
/* The stored object in the version of the request, a copy. */
int write_current(struct reg_op *op, struct ojson **ret);
/* An update that creates: may this user create, and do name, uid and version of @in allow it? */
int write_may_create(struct reg_op *op, struct ojson *in);

/* managed.c: w->managed from w->old, w->obj and the manager of the request. */
int managed_update(struct reg_op *op);

/* apply.c: make of server-side apply */
int write_make_apply(struct reg_op *op);

/* scale.c */
int scale_get(struct reg_op *op, const struct reg_kind *k, struct ojson *obj, struct obuf *out);
int scale_make(struct reg_op *op);
void scale_finish(struct reg_op *op);
/*
 * Webhooks see the Scale and not the workload: once it is decided for a base they are asked about it, and it is decided
 * once more with what they made of it.
 */
const struct ojson *scale_agreed(const struct write *w);	/* NULL: not yet */
bool scale_asks(struct reg_op *op);
void scale_ask(struct reg_op *op, void (*fn)(struct reg_op *op));
/* The member at the dotted path "spec.replicas", with the objects on the way there. */
int scale_put(struct ojson *obj, const char *path, struct ojson *take_v);

/* The text of now, "2006-01-02T15:04:05Z", in the arena. */
const char *reg_now(struct reg_op *op);

#endif
