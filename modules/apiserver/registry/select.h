/*
 * select.h - the selectors of a list or watch: parsed once, matched against the index entries that
 * every object carries, and turned into a cache query where an index helps.
 */
#ifndef REG_SELECT_H
#define REG_SELECT_H

#include "op.h"
#include "record.h"

struct oselector;
struct ofield_selector;

struct reg_select {
	const struct reg_kind *k;	/* as served */
	struct oselector *labels;	/* NULL: everything */
	struct ofield_selector *fields;	/* NULL: everything */
	struct orlop_bytes ns;		/* empty: all; own copy after reg_select_keep() */
	struct orlop_bytes name;
	int32_t		*index;		/* number of the index of each field term; -1 name, -2 ns */
	bool		never;		/* contradicts itself: metadata.name=a in the path of b */
};

/* From op->opt and op->rq; 0 or -errno with op->err (400). */
int reg_select_init(struct reg_op *op, struct reg_select *s);
void reg_select_done(struct reg_select *s);

/* True if neither labels nor fields (other than namespace and name) restrict. */
bool reg_select_all(const struct reg_select *s);
bool reg_select_match(const struct reg_select *s, const struct orlop_object *o);

/* The same for a stored record; @scratch is used for its head. */
int reg_select_stored(const struct reg_select *s, struct orlop_bytes ns, struct orlop_bytes name,
		      const struct reg_stored *st, bool *ret);

/* Fill ns and, if one helps, the index condition of @q. What it says is only a pre-selection. */
void reg_select_query(const struct reg_select *s, struct reg_shard *sh, struct orlop_query *q);

#endif
