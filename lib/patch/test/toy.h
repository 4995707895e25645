/*
 * toy.h - a small schema for the tests of lib/patch: an object with the kinds of lists, maps and
 * structs that the rules distinguish, modelled on Deployment and Pod. Built when the test starts.
 */
#ifndef TEST_PATCH_TOY_H
#define TEST_PATCH_TOY_H

#include "schema/oschema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char toy_pool[4096] = "";
static struct oschema_type toy_types[64];
static struct oschema_field toy_fields[128];
static uint16_t toy_by_name[128];
static uint32_t toy_strs[32];
static struct oschema toy = {
	.pool = toy_pool,
	.types = toy_types,
	.fields = toy_fields,
	.by_name = toy_by_name,
	.strs = toy_strs,
	.pool_len = 1,
};
static uint16_t toy_n_strs;

static uint32_t toy_text(const char *cstr)
{
	uint32_t at = toy.pool_len;

	memcpy(toy_pool + at, cstr, strlen(cstr) + 1);
	toy.pool_len += (uint32_t)strlen(cstr) + 1;
	return at;
}

static uint16_t toy_type(uint8_t kind, uint16_t elem)
{
	toy_types[toy.n_types] = (struct oschema_type){ .kind = kind, .elem = elem };
	return toy.n_types++;
}

static struct oschema_field *toy_field(const char *name, uint16_t type, uint16_t flags)
{
	struct oschema_field *f = &toy_fields[toy.n_fields++];

	*f = (struct oschema_field){ .name = toy_text(name), .name_len = (uint8_t)strlen(name),
				     .type = type, .flags = flags };
	return f;
}

/* A list field that both kinds of patches merge by @key (and @key2 for ownership). */
static struct oschema_field *toy_keyed(const char *name, uint16_t list, const char *key,
				       const char *key2, uint16_t flags)
{
	struct oschema_field *f = toy_field(name, list, flags);

	f->patch = OSCHEMA_PATCH_MERGE;
	f->patch_key = toy_text(key);
	f->list = OSCHEMA_LIST_MAP;
	f->keys = toy_n_strs;
	toy_strs[toy_n_strs++] = toy_text(key);
	if (key2 != NULL)
		toy_strs[toy_n_strs++] = toy_text(key2);
	f->n_keys = key2 != NULL ? 2 : 1;
	return f;
}

static struct oschema_field *toy_set(const char *name, uint16_t list, uint16_t flags)
{
	struct oschema_field *f = toy_field(name, list, flags);

	f->patch = OSCHEMA_PATCH_MERGE;
	f->list = OSCHEMA_LIST_SET;
	return f;
}

static int toy_cmp(const void *a, const void *b)
{
	return strcmp(toy_pool + toy_fields[*(const uint16_t *)a].name,
		      toy_pool + toy_fields[*(const uint16_t *)b].name);
}

/* A struct of the fields added since @first. */
static uint16_t toy_struct(uint16_t first, uint8_t flags)
{
	uint16_t t = toy_type(OSCHEMA_STRUCT, 0);

	toy_types[t].flags = flags;
	toy_types[t].fields = first;
	toy_types[t].n_fields = (uint16_t)(toy.n_fields - first);
	for (uint16_t i = first; i < toy.n_fields; i++)
		toy_by_name[i] = i;
	qsort(toy_by_name + first, toy.n_fields - first, sizeof(toy_by_name[0]), toy_cmp);
	return t;
}

#define TOY_OMIT OSCHEMA_F_OMITEMPTY
#define TOY_PTR (OSCHEMA_F_PTR | OSCHEMA_F_OMITEMPTY)

static const struct oschema_type *toy_make(void)
{
	uint16_t f, strings, map, port, env, container, resources, volume, path, podspec, owner, meta, cond,
		status, rolling, strategy, spec, object, selector;

	for (uint8_t k = 0; k < OSCHEMA_N_SCALARS; k++)
		(void)toy_type(k, 0);
	strings = toy_type(OSCHEMA_LIST, OSCHEMA_STRING);
	map = toy_type(OSCHEMA_MAP, OSCHEMA_STRING);

	f = toy.n_fields;
	toy_field("containerPort", OSCHEMA_INT32, 0);
	toy_field("name", OSCHEMA_STRING, TOY_OMIT);
	toy_field("protocol", OSCHEMA_STRING, TOY_OMIT | OSCHEMA_F_HAS_DEFAULT)->def = toy_text("\"TCP\"");
	port = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("name", OSCHEMA_STRING, 0);
	toy_field("value", OSCHEMA_STRING, TOY_OMIT);
	env = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("limits", map, TOY_OMIT);
	resources = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("name", OSCHEMA_STRING, 0);
	toy_field("image", OSCHEMA_STRING, TOY_OMIT);
	toy_field("args", strings, TOY_OMIT);
	toy_keyed("ports", toy_type(OSCHEMA_LIST, port), "containerPort", "protocol", TOY_OMIT);
	toy_keyed("env", toy_type(OSCHEMA_LIST, env), "name", NULL, TOY_OMIT);
	toy_field("resources", resources, TOY_OMIT);
	container = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("path", OSCHEMA_STRING, 0);
	path = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("name", OSCHEMA_STRING, 0);
	toy_field("emptyDir", resources, TOY_PTR);
	toy_field("hostPath", path, TOY_PTR);
	volume = toy_struct(f, 0);

	f = toy.n_fields;
	toy_keyed("containers", toy_type(OSCHEMA_LIST, container), "name", NULL, 0);
	toy_keyed("volumes", toy_type(OSCHEMA_LIST, volume), "name", NULL, TOY_OMIT)->patch |=
		OSCHEMA_PATCH_RETAINKEYS;
	toy_field("nodeSelector", map, TOY_OMIT)->map_atomic = 1;
	toy_field("tolerations", toy_type(OSCHEMA_LIST, env), TOY_OMIT);
	podspec = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("name", OSCHEMA_STRING, 0);
	toy_field("uid", OSCHEMA_STRING, 0);
	owner = toy_struct(f, OSCHEMA_T_ATOMIC);

	f = toy.n_fields;
	toy_field("name", OSCHEMA_STRING, TOY_OMIT);
	toy_field("namespace", OSCHEMA_STRING, TOY_OMIT);
	toy_field("uid", OSCHEMA_STRING, TOY_OMIT);
	toy_field("resourceVersion", OSCHEMA_STRING, TOY_OMIT);
	toy_field("generation", OSCHEMA_INT64, TOY_OMIT);
	toy_field("creationTimestamp", OSCHEMA_TIME, TOY_OMIT | OSCHEMA_F_OMITZERO);
	toy_field("labels", map, TOY_OMIT);
	toy_field("annotations", map, TOY_OMIT);
	toy_keyed("ownerReferences", toy_type(OSCHEMA_LIST, owner), "uid", NULL, TOY_OMIT);
	toy_set("finalizers", strings, TOY_OMIT);
	toy_field("managedFields", toy_type(OSCHEMA_LIST, OSCHEMA_FIELDS), TOY_OMIT);
	meta = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("type", OSCHEMA_STRING, 0);
	toy_field("status", OSCHEMA_STRING, 0);
	cond = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("phase", OSCHEMA_STRING, TOY_OMIT);
	toy_keyed("conditions", toy_type(OSCHEMA_LIST, cond), "type", NULL, TOY_OMIT);
	status = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("maxSurge", OSCHEMA_INT_OR_STRING, TOY_PTR);
	rolling = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("type", OSCHEMA_STRING, TOY_OMIT);
	toy_field("rollingUpdate", rolling, TOY_PTR);
	strategy = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("matchLabels", map, TOY_OMIT);
	selector = toy_struct(f, OSCHEMA_T_ATOMIC);

	f = toy.n_fields;
	toy_field("replicas", OSCHEMA_INT32, TOY_PTR);
	toy_field("selector", selector, OSCHEMA_F_PTR);
	toy_field("template", podspec, 0);
	toy_field("strategy", strategy, TOY_OMIT)->patch = OSCHEMA_PATCH_RETAINKEYS;
	spec = toy_struct(f, 0);

	f = toy.n_fields;
	toy_field("metadata", meta, TOY_OMIT);
	toy_field("spec", spec, TOY_OMIT);
	toy_field("status", status, TOY_OMIT);
	toy_field("data", map, TOY_OMIT);
	object = toy_struct(f, OSCHEMA_T_OBJECT);
	return &toy_types[object];
}

#endif
