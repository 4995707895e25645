/*
 * discovery.h - what the server serves, as the discovery documents that clients read first.
 *
 * Each function appends one JSON document with a newline at its end. They depend on the
 * set alone (and the address given), so a server makes each once and keeps it.
 */
#ifndef OSCHEMA_DISCOVERY_H
#define OSCHEMA_DISCOVERY_H

#include "schema/oschema.h"

struct obuf;

/* GET /api: APIVersions. @server: "10.0.0.1:6443", what clients may connect to. */
void oschema_api_versions(const struct oschema *s, const char *server, struct obuf *out);

/* GET /apis: APIGroupList, in order of priority. */
void oschema_api_groups(const struct oschema *s, struct obuf *out);

/* GET /apis/GROUP: APIGroup. */
void oschema_api_group(const struct oschema *s, const struct oschema_group *g, struct obuf *out);

/* GET /api/v1 and /apis/GROUP/VERSION: APIResourceList, sorted by name. */
void oschema_api_resources(const struct oschema *s, const struct oschema_group *g, struct obuf *out);

/*
 * GET /api and /apis in the aggregated form: APIGroupDiscoveryList of apidiscovery.k8s.io/v2.
 * @core: only the core group (/api); else all others (/apis).
 */
void oschema_api_discovery(const struct oschema *s, bool core, struct obuf *out);

#define OSCHEMA_DISCOVERY_TYPE "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

#endif
