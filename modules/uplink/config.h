/*
 * config.h - where the remote API server is and who we are there: a kubeconfig, or parameters.
 */
#ifndef UP_CONFIG_H
#define UP_CONFIG_H

#include <orlop/host.h>

#include "kubeconfig/okubeconfig.h"

struct up_config {
	struct okubeconfig k;
	char		*from;		/* file it came from, for messages */
};

/* From the parameters of @h. 0 or -errno with one line that says what to mend. */
int up_config_load(const struct orlop_host *h, struct up_config *c, struct orlop_error *err);
void up_config_done(struct up_config *c);

#endif
