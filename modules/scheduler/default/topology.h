/*
 * topology.h - where pods are, as other pods' wishes see it: counted per domain, kept up to date.
 *
 * A *topology* is a label of nodes that somebody named (topologyKey); each of its values is a domain, a
 * small number. A *match* is a set of pods: namespaces and a label selector, one object for all pods
 * that say the same. A *tally* counts the pods of a match per domain of a topology; a *hold* counts,
 * per domain, the placed pods that have one same term about a match. Placing a pod changes the tallies
 * of the matches that it is in; so deciding about the next one needs no look at other pods.
 */
#ifndef SCHEDULER_DEFAULT_TOPOLOGY_H
#define SCHEDULER_DEFAULT_TOPOLOGY_H

#include "sched.h"

#define SD_NO_DOMAIN UINT32_MAX

struct sd_topo {
	struct orlop_bytes key;
	char		*own;
	uint32_t	slot;		/* in sd_node.domain */
	uint32_t	refs;
	bool		node;		/* of the node itself: a domain each */
	bool		hostname;	/* kubernetes.io/hostname */
	struct omap	values;		/* value → domain + 1 */
	struct olist	tallies;	/* all have room for cap domains */
	uint32_t	cap;
	uint32_t	n_domains;	/* ever used; what is free is 0 in nodes_in */
	uint32_t	n_live;		/* with nodes */
	uint32_t	n_labeled;	/* nodes that have the label */
	uint32_t	n_free;
	uint32_t	*nodes_in;
	uint32_t	*free;
};

struct sd_tally {
	struct olist	of_topo;
	struct olist	list;		/* of its match */
	struct sd_topo	*topo;
	int32_t		*v;		/* per domain */
	int64_t		total;
};

/* Pods of some namespaces with some labels. */
struct sd_clause {
	uint32_t	n_ns;
	uint32_t	n_ns_exprs;
	uint32_t	n_exprs;
	bool		ns_select;	/* namespaces by their labels as well */
	bool		nothing;	/* no selector at all */
	struct orlop_bytes *ns;
	struct sd_expr	*ns_exprs;
	struct sd_expr	*exprs;
};

struct sd_match {
	struct orlop_bytes key;		/* of the table of matches */
	uint32_t	refs;
	uint32_t	n;		/* clauses: all must hold */
	bool		live_only;	/* pods that are being deleted do not count */
	struct sd_clause *clauses;
	struct oarena	mem;
	struct olist	idle;		/* nobody refers to it: forgotten when others are */
	struct olist	bucket;
	struct sd_bucket *in;		/* NULL: among those without a label to find them by */
	struct olist	tallies;
	struct olist	holds;
};

enum sd_term_kind { SD_NEED, SD_AVOID, SD_LIKE, SD_DISLIKE, SD_N_TERM_KINDS };

struct sd_hold {
	struct olist	list;		/* of its match */
	struct sd_match	*match;
	enum sd_term_kind kind;
	uint32_t	refs;
	int64_t		weight;
	struct sd_tally	tally;
};

struct sd_pod_term {
	enum sd_term_kind kind;
	int64_t		weight;
	struct sd_match	*match;
	struct sd_topo	*topo;
	struct sd_hold	*hold;
};

/* spec.affinity.podAffinity and podAntiAffinity of one pod; one allocation. */
struct sd_terms {
	uint32_t	n;
	uint32_t	n_kind[SD_N_TERM_KINDS];
	struct sd_match	*all;		/* what all needed terms match */
	struct sd_pod_term v[];
};

/* One constraint of spec.topologySpreadConstraints. */
struct sd_spread {
	struct sd_match	*match;
	struct sd_topo	*topo;
	int64_t		max_skew;
	int64_t		min_domains;
	bool		hard;
	bool		honor_affinity;
	bool		honor_taints;
};

struct sd_spreads {
	uint32_t	n;
	uint32_t	n_hard;
	bool		by_default;	/* the profile's, not the pod's */
	struct sd_spread v[];
};

/* ---- topologies ---------------------------------------------------------------------------------- */

/* A reference; NULL: no memory. @key "": of the nodes themselves. */
struct sd_topo *sd_topo_get(struct sd_cluster *c, struct orlop_bytes key);
void sd_topo_put(struct sd_topo *t);
/* The node has its labels: it gets its domains, its pods are counted. 0 or -ENOMEM. */
int sd_topo_node_on(struct sd_cluster *c, struct sd_node *n);
void sd_topo_node_off(struct sd_cluster *c, struct sd_node *n);
void sd_topo_done(struct sd_cluster *c);

static inline uint32_t sd_domain(const struct sd_node *n, const struct sd_topo *t)
{
	return n->domain ? n->domain[t->slot] : SD_NO_DOMAIN;
}

int sd_tally_init(struct sd_tally *t, struct sd_topo *topo);	/* takes a reference of @topo */
void sd_tally_done(struct sd_tally *t);

static inline void sd_tally_add(struct sd_tally *t, const struct sd_node *n, int32_t by)
{
	uint32_t d = sd_domain(n, t->topo);

	if (d != SD_NO_DOMAIN) {
		t->v[d] += by;
		t->total += by;
	}
}

/* ---- matches ------------------------------------------------------------------------------------- */

/* What a term says, as JSON; empty: absent. */
struct sd_clause_text {
	struct orlop_bytes own_ns;	/* of the pod whose term it is */
	struct orlop_bytes namespaces;
	struct orlop_bytes ns_selector;
	struct orlop_bytes selector;
	struct orlop_bytes match_keys;	/* matchLabelKeys */
	struct orlop_bytes mismatch_keys;
};

/* A reference. @pod: whose labels matchLabelKeys mean. 0 or -ENOMEM. */
int sd_match_get(struct sd_cluster *c, const struct sd_clause_text *v, uint32_t n, bool live_only,
		 const struct sd_pod *pod, struct sd_match **ret);
void sd_match_put(struct sd_cluster *c, struct sd_match *m);	/* accepts NULL */
bool sd_match_has(struct sd_cluster *c, const struct sd_match *m, const struct sd_pod *p);
/* Counted, if need be for the first time. NULL: no memory. */
struct sd_tally *sd_match_tally(struct sd_cluster *c, struct sd_match *m, struct sd_topo *t);
/* Calls @fn for each match that the pod is in. */
void sd_match_each(struct sd_cluster *c, const struct sd_pod *p,
		   void (*fn)(void *arg, struct sd_match *m), void *arg);
void sd_match_done(struct sd_cluster *c);

/* Count a pod on its node in all tallies, or no longer. */
void sd_tallies_add(struct sd_cluster *c, const struct sd_pod *p, const struct sd_node *n, int by);

/* Labels of a namespace: matters to selectors of namespaces. @members NULL: it is gone. 0 or -ENOMEM. */
int sd_namespace_set(struct sd_cluster *c, struct orlop_bytes name, struct orlop_bytes labels,
		     bool gone);

/* ---- what pods say ------------------------------------------------------------------------------- */

/* 0 or -ENOMEM; *ret NULL: it says nothing. @p has namespace and labels. */
int sd_terms_new(struct sd_cluster *c, const struct sd_pod *p, struct orlop_bytes spec,
		 struct sd_terms **ret);
void sd_terms_free(struct sd_cluster *c, struct sd_terms *t);
/* @list: topologySpreadConstraints; @selector not empty: instead of what each of them says. */
int sd_spreads_new(struct sd_cluster *c, const struct sd_pod *p, struct orlop_bytes list,
		   struct orlop_bytes selector, bool by_default, struct sd_spreads **ret);
void sd_spreads_free(struct sd_cluster *c, struct sd_spreads *s);

#endif
