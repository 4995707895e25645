/*
 * select.h - the selectors of a list or watch: parsed once, matched against the index entries that
 * every object carries (fields of custom resources: against its JSON), and turned into a cache query where an index helps.
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
	int32_t		*index;		/* number of the index of each field term; -1 name, -2 ns, -3 of a custom resource */
	bool		custom;		/* one of them is -3 */
	bool		never;		/* contradicts itself: metadata.name=a in the path of b */
};

/* From op->opt and op->rq; 0 or -errno with op->err (400). */
int reg_select_init(struct reg_op *op, struct reg_select *s);
void reg_select_done(struct reg_select *s);

/* True if neither labels nor fields (other than namespace and name) restrict. */
bool reg_select_all(const struct reg_select *s);
/*
 * 1, 0, -errno; or only the object as a webhook converts it (convert.h) can tell: then reg_select_served() of that is the answer.
 */
#define REG_SELECT_CONVERTED 2
int reg_select_match(const struct reg_select *s, const struct orlop_object *o);
/* The same for a stored record. */
int reg_select_stored(const struct reg_select *s, struct orlop_bytes ns, struct orlop_bytes name,
		      const struct reg_stored *st);
/* The fields of a custom resource alone; @json is what is served, from "metadata": on. */
bool reg_select_served(const struct reg_select *s, struct orlop_bytes json);

/* Fill ns and, if one helps, the index condition of @q. What it says is only a pre-selection. */
void reg_select_query(const struct reg_select *s, struct reg_shard *sh, struct orlop_query *q);

#endif
