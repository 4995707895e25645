/* defaults-kinds.h - hooks of defaults-kinds.c, for the table in defaults.c. Private to lib/schema. */
#ifndef OSCHEMA_DEFAULTS_KINDS_H
#define OSCHEMA_DEFAULTS_KINDS_H

#include "schema/hooks.h"
#include "schema/internal.h"

int defaults_stateful_set_spec(const struct oschema *s, struct ojson *o);
int defaults_stateful_set_strategy(const struct oschema *s, struct ojson *o);
int defaults_daemon_set_strategy(const struct oschema *s, struct ojson *o);
int defaults_daemon_set(const struct oschema *s, struct ojson *o);
int defaults_job(const struct oschema *s, struct ojson *o);
int defaults_autoscaler_spec(const struct oschema *s, struct ojson *o);
int defaults_network_policy_spec(const struct oschema *s, struct ojson *o);
int defaults_crd_spec(const struct oschema *s, struct ojson *o);
int defaults_device_count(const struct oschema *s, struct ojson *o);
int defaults_role_binding(const struct oschema *s, struct ojson *o);	/* check-rbac.c */

#endif
