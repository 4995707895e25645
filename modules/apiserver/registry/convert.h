/*
 * convert.h - custom objects between versions, where a webhook converts them.
 *
 * Kinds of such a definition are stored kinds of their own for the engine: it reads, checks and writes in the version
 * of the request. Here is where stored bytes come into that version, and go back to the one that is stored.
 */
#ifndef REG_CONVERT_H
#define REG_CONVERT_H

#include "custom.h"
#include "record.h"

#define CONVERT_AT_ONCE	500u	/* objects in one review, at most */

struct reg_convert;

/* The version in which an object is stored; empty: not said, that of the definition. */
struct orlop_bytes convert_version(const struct orlop_object *o);
struct orlop_bytes convert_version_stored(const struct reg_stored *st);

static inline bool convert_hooked(const struct reg_kind *k)
{
	return k->set && k->set->webhook;
}

/* Are stored bytes in @version just what @k serves? */
bool convert_plain(const struct reg_kind *k, struct orlop_bytes version);

/* A number of objects that shall be of @to (held). NULL: no memory. */
struct reg_convert *convert_new(const struct reg_kind *to);
/* Stored bytes, from "metadata": on; copied. 0, -ENOMEM, -EINVAL. */
int convert_add(struct reg_convert *c, struct orlop_bytes json, struct orlop_bytes version);
/* A tree with kind and apiVersion; borrowed for the call. */
int convert_add_tree(struct reg_convert *c, const struct ojson *obj);
/* @why NULL: all are converted. Otherwise in upstream's words why not. Maybe called at once. */
typedef void (*convert_done_fn)(void *arg, const char *why);
void convert_start(struct reg_convert *c, convert_done_fn done, void *arg);
/* The @i-th, in the order they were added: a tree with kind and apiVersion, borrowed; bytes from "metadata": on. */
struct ojson *convert_get(struct reg_convert *c, size_t i);
int convert_put(struct reg_convert *c, size_t i, struct obuf *b);
void convert_free(struct reg_convert *c);	/* accepts NULL; what is under way is given up */

/* ---- convert-share.c: for watches, of which many want the same ---- */

struct convert_item;		/* an object of a revision in a version */
struct convert_round;		/* those of them that have to be asked for */

/*
 * @obj as @to has it: @json of @version, as of @rev. What nobody has asked for comes into *@round, which is made if need be.
 * The item is referenced. 0, -ENOMEM, -EINVAL.
 */
int convert_share(struct reg_shard *sh, const struct reg_kind *to, struct orlop_object *obj, struct orlop_bytes json,
		  struct orlop_bytes version, uint64_t rev, struct convert_round **round, struct convert_item **ret);
/* Either, once: ask, then wake the resource's watches (not if it is over at once); or give up. Both accept NULL. */
void convert_round_start(struct convert_round *take_r);
void convert_round_drop(struct convert_round *take_r);
/* @ret_why NULL: *@ret is from "metadata": on; borrowed. False: not yet. */
bool convert_item_ready(const struct convert_item *it, const char **ret_why, struct orlop_bytes *ret);
void convert_item_unref(struct convert_item *it);	/* accepts NULL */
/* Its tables go. */
void convert_share_forget(struct reg_set *set);
void convert_share_free(struct reg_shard *sh);

/* A failure as the answer. */
int convert_failed(struct reg_op *op, const char *why);

/*
 * One object of a request: @then is called, at once or later, with the tree (borrowed) in the version of @to; it need
 * not finish the op. What fails finishes it.
 */
void convert_one(struct reg_op *op, const struct reg_kind *to, struct orlop_bytes json, struct orlop_bytes version,
		 void (*then)(struct reg_op *op, struct ojson *obj));
void convert_one_tree(struct reg_op *op, const struct reg_kind *to, const struct ojson *obj,
		      void (*then)(struct reg_op *op, struct ojson *obj));
/* reg_finish_object() of stored bytes. */
void convert_answer(struct reg_op *op, uint32_t code, const struct reg_kind *k, struct orlop_bytes json,
		    struct orlop_bytes version, uint64_t rev);

#endif
