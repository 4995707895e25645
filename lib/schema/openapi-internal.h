/*
 * openapi-internal.h - what the OpenAPI writers share: definitions (openapi.c), operations (openapi-paths.c).
 */
#ifndef OSCHEMA_OPENAPI_INTERNAL_H
#define OSCHEMA_OPENAPI_INTERNAL_H

#include "base/obuf.h"
#include "base/ostr.h"
#include "schema/oschema.h"

struct odoc {
	const struct oschema *s;
	struct obuf	*out;
	bool		v3;
};

/* {"$ref":"#/definitions/io.k8s.api.core.v1.Pod"} */
void odoc_ref(struct odoc *d, uint16_t type);

/* A type by its full name, as index; 0 if it is not in the set. */
uint16_t odoc_type(struct odoc *d, const char *name);

/* {"group":"apps","kind":"Deployment","version":"v1"} */
void odoc_gvk(struct odoc *d, const char *group, const char *version, const char *kind);

/* The list type of @r: index, 0 if it has none. */
uint16_t odoc_list_type(struct odoc *d, const struct oschema_resource *r);

/* "paths" of one group (NULL: all), as members without braces. */
void odoc_paths(struct odoc *d, const struct oschema_group *g);

/* Is @r served in @g? */
bool odoc_in_group(const struct odoc *d, const struct oschema_resource *r, const struct oschema_group *g);

#endif
