/* describe.c - resources as the cache is told of them: fields, and which are worth a secondary index. */
#include "internal.h"

#include <string.h>

/*
 * What is looked up by value often enough to pay for an index in each generation of the cache:
 * the kubelet's and scheduler's slices, owners for controllers, labels for Services.
 */
static const char *const idx_pods[] = { "spec.nodeName", "owner", "labels", NULL };
static const char *const idx_slices[] = { "labels", "owner", NULL };
static const char *const idx_events[] = { "involvedObject.uid", "involvedObject.name", NULL };
static const char *const idx_owner[] = { "owner", NULL };
static const char *const idx_none[] = { NULL };

static const char *const *indexes_of(const char *name)
{
	if (!strcmp(name, "pods"))
		return idx_pods;
	if (!strcmp(name, "endpointslices.discovery.k8s.io") || !strcmp(name, "replicasets.apps"))
		return idx_slices;
	if (!strcmp(name, "events"))
		return idx_events;
	if (!strcmp(name, "nodes") || !strcmp(name, "namespaces"))
		return idx_none;
	return idx_owner;
}

void orecord_describe(const struct oschema *s, const struct oschema_resource *r, const char *name,
		      const char *fields[ORECORD_FIELDS_MAX], struct orlop_resource_info *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->size = sizeof(*ret);
	for (unsigned int f = 0; f < r->n_selects && ret->n_fields < ORECORD_FIELDS_MAX; f++) {
		const struct oschema_select *sel = &s->selects[r->selects + f];

		if (orecord_is_field(s, sel))
			fields[ret->n_fields++] = oschema_str(s, sel->name);
	}
	ret->namespaced = (r->flags & OSCHEMA_S_NAMESPACED) != 0;
	ret->name = name;
	ret->group = oschema_str(s, r->group);
	ret->version = oschema_str(s, r->version);
	ret->kind = oschema_str(s, r->kind);
	ret->plural = oschema_str(s, r->plural);
	ret->schema_gen = s->generation;
	ret->fields = fields;
	ret->indexed = indexes_of(name);
}
