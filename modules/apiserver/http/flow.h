/*
 * flow.h - flow schemas and priority levels as a shard has them: flow-set.c reads them, flow.c asks them.
 */
#ifndef APIS_FLOW_H
#define APIS_FLOW_H

#include "front.h"

#define FLOW_UID_MAX	40u
#define FLOW_ACCOUNT	"system:serviceaccount:"

struct flow_list {
	const struct orlop_bytes *v;
	uint32_t	n;
	bool		all;
};

enum flow_who { FLOW_USER, FLOW_GROUP, FLOW_ACCOUNTS };

struct flow_subject {
	enum flow_who kind;
	bool		all;
	struct orlop_bytes text;	/* FLOW_ACCOUNTS: what the name of each begins with */
};

struct flow_rule {
	bool		path;
	bool		cluster;
	struct flow_list verbs;
	struct flow_list groups;
	struct flow_list things;	/* resources, or paths */
	struct flow_list namespaces;
};

struct flow_rules {
	const struct flow_subject *subjects;
	const struct flow_rule *rules;
	uint32_t	n_subjects;
	uint32_t	n_rules;
};

struct flow_level {
	uint32_t	refs;		/* of sets */
	uint32_t	used[2];	/* places for reads, for writes */
	uint32_t	promised[2];	/* kept for it; as of the last set, as these: */
	uint32_t	most[2];	/* it may have */
	uint32_t	nominal;	/* its share of all, for people */
	bool		exempt;
	char		uid[FLOW_UID_MAX];
	char		name[];
};

struct flow_schema {
	struct orlop_bytes name;
	char		uid[FLOW_UID_MAX];
	int64_t		precedence;
	struct flow_level *level;
	const struct flow_rules *rules;
	uint32_t	n_rules;
	struct orlop_metric *executing;	/* these may be NULL */
	struct orlop_metric *dispatched;
	struct orlop_metric *rejected;
};

struct flow_set {
	struct oarena	arena;
	uint32_t	refs;		/* requests, and the shard */
	struct flow_schema *schemas;	/* in order */
	struct flow_level **levels;
	uint32_t	n_schemas;
	uint32_t	n_levels;
	uint32_t	places[2];	/* of which the levels have shares: for reads, for writes */
	bool		torn;		/* while it is made: there was no memory for something */
};

struct flows {
	struct orlop_resource *res[2];	/* levels, schemas */
	uint64_t	seen[2];	/* revision that was looked at last */
	uint64_t	cursor[2];
	struct flow_set	*set;		/* NULL: none yet */
	bool		late;		/* there was no memory for the next: tried again */
};

/* What there is now; NULL: nothing that could be read. */
struct flow_set *flow_set_now(struct ashard *sh);
void flow_set_unref(struct flow_set *s);	/* accepts NULL */

#endif
