/*
 * rbac.h - roles and bindings as numbers: one index per shard, kept up from the cache, asked without allocation.
 *
 * Every string of a rule is a number (interned, counted). A decision looks up the few strings of the
 * request once and then compares numbers. The index looks at the revisions of its four resources before
 * each decision and reads their journals when they have moved, so that a binding counts from the moment
 * that its write has been answered.
 */
#ifndef APIS_RBAC_H
#define APIS_RBAC_H

#include <orlop/host.h>
#include <orlop/inline/log.h>

#include "base/obuf.h"
#include "base/omap.h"
#include "../registry/registry.h"

extern const char rbac_policy[];	/* policy.c */

struct rbac_string {
	const char	*p;		/* the key in the map; NULL: a free number */
	uint32_t	len;
	uint32_t	refs;
};

/* Rules one after the other: five counts, then that many numbers each. */
enum rbac_part { RBAC_VERBS, RBAC_GROUPS, RBAC_RESOURCES, RBAC_NAMES, RBAC_URLS, RBAC_N_PARTS };

struct rbac_role {
	char		*key;		/* "NS/NAME", "/NAME" of a ClusterRole */
	uint32_t	*code;		/* NULL while it has no rules or is not there */
	uint32_t	n_words;
	uint32_t	n_bound;	/* bindings that refer to it */
	bool		there;
};

struct rbac_binding {
	char		*key;		/* "NS/NAME", "/NAME" of a ClusterRoleBinding */
	uint32_t	ns;		/* string number; 0: everywhere */
	uint32_t	n_subjects;
	struct rbac_role *role;
	struct rbac_subject **subjects;
};

enum rbac_who { RBAC_USER, RBAC_GROUP, RBAC_ACCOUNT, RBAC_N_WHO };

struct rbac_subject {
	struct rbac_binding **b;
	uint32_t	n;
	uint32_t	cap;
	uint8_t		kind;		/* enum rbac_who */
	char		*name;		/* account: "NS:NAME" */
};

enum { RBAC_ROLES, RBAC_CLUSTER_ROLES, RBAC_BINDINGS, RBAC_CLUSTER_BINDINGS, RBAC_N_RESOURCES };

struct rbac {
	const struct orlop_host *h;
	struct orlop_resource *res[RBAC_N_RESOURCES];
	uint64_t	seen[RBAC_N_RESOURCES];		/* revision that was looked at last */
	uint64_t	cursor[RBAC_N_RESOURCES];
	bool		listed[RBAC_N_RESOURCES];
	struct omap	numbers;		/* text → number */
	struct rbac_string *strings;
	uint32_t	n_strings;
	uint32_t	cap_strings;
	uint32_t	free_string;		/* a number that may be free; search begins here */
	struct omap	roles;
	struct omap	bindings;
	struct omap	who[RBAC_N_WHO];
};

#define RBAC_STAR	1u	/* the number of "*" */

/* rbac-index.c */
int rbac_new(const struct orlop_host *h, struct rbac **ret);
void rbac_free(struct rbac *x);			/* accepts NULL */
void rbac_sync(struct rbac *x);
/* Numbers; 0: no rule has it. */
uint32_t rbac_number(const struct rbac *x, const char *p, size_t len);
/* For tests and for who has no cache: as if these had been read. @json NULL: gone. */
int rbac_put(struct rbac *x, unsigned int resource, struct orlop_bytes ns, struct orlop_bytes name,
	     struct orlop_bytes json);

/*
 * rbac_allows - do the bindings let @who do this?
 *
 * 1: yes, and *ret_by, *ret_subject (may be NULL) say by which binding. 0: no; *ret_missing counts
 * bindings of @who whose role is not there.
 */
int rbac_allows(const struct rbac *x, const struct orlop_identity *who, const struct reg_attrs *at,
		const struct rbac_binding **ret_by, const struct rbac_subject **ret_subject, uint32_t *ret_missing);

/* "RBAC: …" for people, why or why not. Into @buf, cut if need be; "" if there is nothing to say. */
void rbac_reason(const struct rbac *x, const struct orlop_identity *who, const struct reg_attrs *at, int allowed,
		 char *buf, size_t size);

/* Every rule of @who in @ns (empty: everywhere only), as JSON of ResourceRule (path 0) or NonResourceRule. */
void rbac_rules(const struct rbac *x, const struct orlop_identity *who, struct orlop_bytes ns,
		void (*rule)(void *rarg, int path, const char *json), void *rarg);

#endif
