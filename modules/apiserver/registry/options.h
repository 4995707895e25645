/*
 * options.h - the options of a request, from its query string (and DELETE's body).
 *
 * Source: metav1.ListOptions, CreateOptions, UpdateOptions, PatchOptions, DeleteOptions.
 */
#ifndef REG_OPTIONS_H
#define REG_OPTIONS_H

#include <orlop/types.h>

#include "base/oarena.h"

#include <stdbool.h>
#include <stdint.h>

enum reg_match {
	REG_MATCH_NONE,
	REG_MATCH_EXACT,
	REG_MATCH_NOT_OLDER,
};

enum reg_strictness {
	REG_VALIDATE_WARN,
	REG_VALIDATE_STRICT,
	REG_VALIDATE_IGNORE,
};

enum reg_propagation {
	REG_PROPAGATE_DEFAULT,
	REG_PROPAGATE_ORPHAN,
	REG_PROPAGATE_BACKGROUND,
	REG_PROPAGATE_FOREGROUND,
};

enum reg_include {
	REG_INCLUDE_METADATA,
	REG_INCLUDE_NONE,
	REG_INCLUDE_OBJECT,
};

/* Texts are decoded, in the request's arena; absent ones are empty. */
struct reg_opts {
	struct orlop_bytes labels;
	struct orlop_bytes fields;
	struct orlop_bytes cont;
	struct orlop_bytes rv;		/* as written */
	uint64_t	rv_n;
	uint64_t	limit;
	uint64_t	timeout_s;
	enum reg_match	match;
	bool		has_rv;
	bool		bookmarks;
	bool		has_initial;	/* sendInitialEvents was given */
	bool		initial;
	bool		pretty;
	enum reg_include include;

	bool		dry_run;
	bool		force;
	bool		has_force;
	enum reg_strictness strictness;
	struct orlop_bytes manager;

	bool		has_grace;
	bool		has_orphan;	/* orphanDependents, the old spelling */
	bool		orphan;
	int64_t		grace_s;
	enum reg_propagation propagation;
	struct orlop_bytes pre_uid;
	struct orlop_bytes pre_rv;
};

struct reg_op;

/*
 * reg_opts_parse - read op->rq.query into op->opt and check it for the verb
 *
 * Returns 0, or -errno with the answer in op->err (400 for what does not parse, 422 for what is
 * not allowed).
 */
int reg_opts_parse(struct reg_op *op);

/* A DELETE request's body (metav1.DeleteOptions), if it has one, into op->opt; it is all there is of them then, as upstream. */
int reg_opts_delete_body(struct reg_op *op);

/* @v as Go's %q, in @a; without memory an empty one. */
const char *reg_quoted(struct oarena *a, struct orlop_bytes v);

/* Percent-decode @s (plus means space) into the arena; p NULL without memory. */
struct orlop_bytes reg_url_decode(struct oarena *a, struct orlop_bytes s);

/* The next pair of a query, decoded, in @a; @rest is what is behind it: 1, 0 at the end, -ENOMEM. */
int reg_query_next(struct oarena *a, struct orlop_bytes *rest, struct orlop_bytes *k, struct orlop_bytes *v);

/* The field selector of a query, as reg_opts_parse() takes it: what authorization narrows is what is done. In @a. */
struct orlop_bytes reg_query_fields(struct oarena *a, struct orlop_bytes query);

#endif
