/*
 * openapi.h - OpenAPI documents made from the tables: v2 (JSON and protobuf) and v3 (JSON).
 *
 * Each is made in one go into a buffer; a server makes them on first use and keeps them.
 */
#ifndef OSCHEMA_OPENAPI_H
#define OSCHEMA_OPENAPI_H

#include "schema/oschema.h"

struct obuf;

/* GET /openapi/v2 as JSON. @version: "v1.36.0" of the server. */
void oschema_openapi_v2(const struct oschema *s, const char *version, struct obuf *out);

/* The same document as protobuf message openapi.v2.Document. Errors stick to @out. */
void oschema_openapi_v2_proto(const struct oschema *s, const char *version, struct obuf *out);

#define OSCHEMA_OPENAPI_V2_PROTO_TYPE "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

/*
 * GET /openapi/v3: {"paths":{"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=…"},…}}
 * @hash: text that changes when any document does; NULL: made from the schema generation.
 */
void oschema_openapi_v3_index(const struct oschema *s, const char *hash, struct obuf *out);

/* GET /openapi/v3/apis/GROUP/VERSION (api/v1 for core): the document of one group. */
void oschema_openapi_v3(const struct oschema *s, const struct oschema_group *g, const char *version,
			struct obuf *out);

#endif
