/*
 * openapi.h - OpenAPI documents made from the tables: v2 (JSON and protobuf) and v3 (JSON).
 *
 * Each is made in one go into a buffer; a server makes them on first use and keeps them.
 */
#ifndef OSCHEMA_OPENAPI_H
#define OSCHEMA_OPENAPI_H

#include "schema/oschema.h"

struct obuf;

/* What others add to a document: its paths and its definitions, as members of JSON objects without the braces. */
struct oschema_more {
	struct orlop_bytes paths, definitions;
};

/* GET /openapi/v2 as JSON; of one group, or of all (@g NULL). @version: "v1.36.0" of the server. @more: or NULL. */
void oschema_openapi_v2(const struct oschema *s, const struct oschema_group *g, const char *version,
			const struct oschema_more *more, struct obuf *out);

/* The document of all groups as protobuf message openapi.v2.Document. Errors stick to @out. */
void oschema_openapi_v2_proto(const struct oschema *s, const char *version, const struct oschema_more *more,
			      struct obuf *out);

#define OSCHEMA_OPENAPI_V2_PROTO_TYPE "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

/*
 * GET /openapi/v3: {"paths":{"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=…"},…}}
 * @hash: text that changes when any document does; NULL: made from the schema generation. @url, or NULL, says of a group's version
 * where its document is if it is not ours: NULL it is, "" there is none.
 */
typedef const char *(*oschema_url_fn)(void *arg, const char *group, const char *version);
void oschema_openapi_v3_index(const struct oschema *s, const char *hash, oschema_url_fn url, void *arg, struct obuf *out);

/* GET /openapi/v3/apis/GROUP/VERSION (api/v1 for core): the document of one group. */
void oschema_openapi_v3(const struct oschema *s, const struct oschema_group *g, const char *version,
			struct obuf *out);

#endif
