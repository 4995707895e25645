/* podsecurity.h - the Pod Security Standards: which rules a level has, and what a pod does against them. */
#ifndef ADMISSION_PODSECURITY_H
#define ADMISSION_PODSECURITY_H

#include "base/obuf.h"
#include "json/ojson.h"

#include <stdbool.h>

enum psa_level {
	PSA_PRIVILEGED,
	PSA_BASELINE,
	PSA_RESTRICTED,
};

#define PSA_LATEST 36	/* the newest rules are of 1.36 or earlier */

struct psa_policy {
	enum psa_level	level;
	int		minor;		/* of v1.minor, or -1: latest */
};

/* One finding: "hostPort (container "x" uses hostPort 80)". @why is in words of its own, without the reason. */
struct psa_rule {
	const char	*id;		/* rules of a level are told in this order */
	enum psa_level	level;
	int		since;		/* 1.since */
	int		until;		/* before 1.until, 0: still */
	/*
	 * True if @meta, @spec (of a pod or its template) are against it: then the reason is in @reason, details may be
	 * in @detail.
	 */
	bool		(*against)(const struct ojson *meta, const struct ojson *spec, struct obuf *reason, struct obuf *detail);
};

extern const struct psa_rule psa_baseline_rules[];	/* the last one has no id */
extern const struct psa_rule psa_restricted_rules[];

/* "restricted:latest" */
const char *psa_policy_text(const struct psa_policy *p, char buf[40]);

/*
 * psa_evaluate - what is wrong with the pod, or nothing
 *
 * @details  "reason (detail), reason (detail)"
 * @reasons  "reason, reason"; either may be NULL. True if it is allowed.
 */
bool psa_evaluate(const struct psa_policy *p, const struct ojson *meta, const struct ojson *spec, struct obuf *details,
		  struct obuf *reasons);

/* ---- for the rules: sets of names ---- */

struct psa_names {
	const char	*v[256];
	unsigned int	n;
};

void psa_add(struct psa_names *s, const char *name);		/* as it comes */
void psa_add_once(struct psa_names *s, const char *name);	/* sorted, without repeats */
/* "a", "b" in quotes */
void psa_quote(struct obuf *b, const struct psa_names *s);
void psa_join(struct obuf *b, const struct psa_names *s);	/* a, b */
/* container "a", containers "a", "b" */
void psa_containers(struct obuf *b, const struct psa_names *s);
/* pod and container "a" */
void psa_setters(struct obuf *b, bool pod, const struct psa_names *s);

/* Every container: plain, initial, ephemeral. @i counts over all; NULL: no more. */
const struct ojson *psa_container(const struct ojson *spec, size_t i);
#define PSA_EACH(c, spec) \
	for (size_t c##_i = 0; c##_i < SIZE_MAX; c##_i = SIZE_MAX) \
		for (const struct ojson *c; (c = psa_container((spec), c##_i)) != NULL; c##_i++)
/* A pod with users of its own: what they may is less. */
bool psa_own_users(const struct ojson *spec);
bool psa_is_windows(const struct ojson *spec);

#endif
