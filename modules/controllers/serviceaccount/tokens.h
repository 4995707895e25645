/*
 * tokens.h - Secrets of type kubernetes.io/service-account-token.
 */
#ifndef SERVICEACCOUNT_TOKENS_H
#define SERVICEACCOUNT_TOKENS_H

#include "ctl/octl.h"

struct tokens {
	struct octl	*c;
	struct orlop_resource *accounts;
	struct orlop_resource *secrets;
	const char	*ca;		/* PEM, NULL: none; borrowed */
	bool		make;		/* a Secret for every account, as before Kubernetes 1.24 */
};

/* Is the key one of ours? Namespaces have none, a name with a colon is an account. */
bool tokens_is_key(struct orlop_bytes ns);
int tokens_sync(struct tokens *k, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name);
void tokens_secret_changed(struct tokens *k, uint32_t type, struct orlop_object *o, struct orlop_object *prev);
void tokens_account_changed(struct tokens *k, uint32_t type, struct orlop_object *o);
/* Look at every account once more: the parameter has changed. */
void tokens_make(struct tokens *k, bool make);

#endif
