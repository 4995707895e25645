/*
 * openapi.c - OpenAPI documents: definitions of all types, and the documents around them.
 *
 * What kubectl needs of them: `explain` reads descriptions, types and kinds; apply reads the merge keys;
 * create and apply look whether PATCH of a kind has the parameters dryRun and fieldValidation.
 */
#include "schema/openapi.h"

#include <stdio.h>

#include "schema/openapi-internal.h"

/* Types that are written as text or free form: definitions of their own upstream. */
static const struct {
	uint8_t		kind;
	const char	*name;
	const char	*schema;
} specials[] = {
	{ OSCHEMA_QUANTITY, "io.k8s.apimachinery.pkg.api.resource.Quantity",
	  "\"description\":\"A number with a suffix: 500m, 2, 1Gi, 1e3. It is kept exactly and written in canonical form.\","
	  "\"type\":\"string\"" },
	{ OSCHEMA_INT_OR_STRING, "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
	  "\"description\":\"Either a whole number or text, such as a port's name or a percentage.\","
	  "\"type\":\"string\",\"format\":\"int-or-string\"" },
	{ OSCHEMA_TIME, "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
	  "\"description\":\"A moment in RFC 3339 form, in whole seconds.\",\"type\":\"string\",\"format\":\"date-time\"" },
	{ OSCHEMA_MICROTIME, "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
	  "\"description\":\"A moment in RFC 3339 form, in microseconds.\",\"type\":\"string\",\"format\":\"date-time\"" },
	{ OSCHEMA_DURATION, "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
	  "\"description\":\"A length of time such as 1h30m.\",\"type\":\"string\"" },
	{ OSCHEMA_RAW, "io.k8s.apimachinery.pkg.runtime.RawExtension",
	  "\"description\":\"An object of any kind.\",\"type\":\"object\"" },
	{ OSCHEMA_FIELDS, "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
	  "\"description\":\"A set of fields as a trie in JSON.\",\"type\":\"object\"" },
};
#define N_SPECIALS (sizeof(specials) / sizeof(specials[0]))

static const char *special_name(unsigned int kind)
{
	for (size_t i = 0; i < N_SPECIALS; i++)
		if (specials[i].kind == kind)
			return specials[i].name;
	return NULL;
}

/* "io.k8s.api.core.v1.Pod" of "core/v1.Pod" */
static void put_name(struct odoc *d, const struct oschema_type *t)
{
	const char *special = special_name(t->kind);
	const char *full = oschema_str(d->s, t->name), *dot = strrchr(full, '.');

	if (special != NULL) {
		obuf_puts(d->out, special);
		return;
	}
	for (unsigned int i = 0; dot != NULL && i < d->s->n_groups; i++) {
		const char *package = oschema_str(d->s, d->s->groups[i].package);

		if (ostr_eq(package, strlen(package), full, (size_t)(dot - full)))
			obuf_printf(d->out, "%s%s", oschema_str(d->s, d->s->groups[i].openapi), dot);
	}
}

void odoc_ref(struct odoc *d, uint16_t type)
{
	obuf_puts(d->out, d->v3 ? "{\"$ref\":\"#/components/schemas/" : "{\"$ref\":\"#/definitions/");
	put_name(d, oschema_type_at(d->s, type));
	obuf_puts(d->out, "\"}");
}

uint16_t odoc_type(struct odoc *d, const char *name)
{
	const struct oschema_type *t = oschema_type_find(d->s, name);

	return t != NULL ? oschema_type_index(d->s, t) : 0;
}

void odoc_gvk(struct odoc *d, const char *group, const char *version, const char *kind)
{
	obuf_printf(d->out, "{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}", group, kind, version);
}

uint16_t odoc_list_type(struct odoc *d, const struct oschema_resource *r)
{
	const char *full = oschema_str(d->s, d->s->types[r->type].name);
	const char *dot = strrchr(full, '.');
	char name[700];

	if (*oschema_str(d->s, r->list_kind) == '\0' || dot == NULL)
		return 0;
	(void)snprintf(name, sizeof(name), "%.*s.%s", (int)(dot - full), full, oschema_str(d->s, r->list_kind));
	return odoc_type(d, name);
}

bool odoc_in_group(const struct odoc *d, const struct oschema_resource *r, const struct oschema_group *g)
{
	return strcmp(oschema_str(d->s, r->group), oschema_str(d->s, g->name)) == 0 &&
	       strcmp(oschema_str(d->s, r->version), oschema_str(d->s, g->version)) == 0;
}

/* ---- schemas ---- */

/* Is the type a definition of its own, so that others refer to it? */
static bool is_definition(unsigned int kind)
{
	return kind == OSCHEMA_STRUCT || special_name(kind) != NULL;
}

/* The members of a schema: "type":"array","items":… or a reference. */
static void put_schema(struct odoc *d, uint16_t type, bool property)
{
	const struct oschema_type *t = oschema_type_at(d->s, type);
	struct obuf *out = d->out;

	switch (t->kind) {
	case OSCHEMA_STRING:
		obuf_puts(out, "\"type\":\"string\"");
		return;
	case OSCHEMA_INT32:
		obuf_puts(out, "\"type\":\"integer\",\"format\":\"int32\"");
		return;
	case OSCHEMA_INT64:
		obuf_puts(out, "\"type\":\"integer\",\"format\":\"int64\"");
		return;
	case OSCHEMA_BOOL:
		obuf_puts(out, "\"type\":\"boolean\"");
		return;
	case OSCHEMA_DOUBLE:
		obuf_puts(out, "\"type\":\"number\",\"format\":\"double\"");
		return;
	case OSCHEMA_BYTES:
		obuf_puts(out, "\"type\":\"string\",\"format\":\"byte\"");
		return;
	case OSCHEMA_JSON:	/* no type: it may have any */
		obuf_puts(out, "\"x-kubernetes-preserve-unknown-fields\":true");
		return;
	case OSCHEMA_LIST:
		obuf_puts(out, "\"type\":\"array\",\"items\":{");
		put_schema(d, t->elem, false);
		obuf_putc(out, '}');
		return;
	case OSCHEMA_MAP:
		obuf_puts(out, "\"type\":\"object\",\"additionalProperties\":{");
		put_schema(d, t->elem, false);
		obuf_putc(out, '}');
		return;
	default:
		break;
	}
	/* beside a $ref nothing else counts in v3: a property with a description wraps it */
	obuf_puts(out, d->v3 && property ? "\"allOf\":[{\"$ref\":\"#/components/schemas/" :
		  d->v3 ? "\"$ref\":\"#/components/schemas/" : "\"$ref\":\"#/definitions/");
	put_name(d, t);
	obuf_puts(out, d->v3 && property ? "\"}]" : "\"");
}

static void put_strs(struct odoc *d, const char *key, uint16_t first, unsigned int n)
{
	obuf_printf(d->out, ",\"%s\":[", key);
	for (unsigned int i = 0; i < n; i++) {
		obuf_puts(d->out, i > 0 ? "," : "");
		obuf_put_json_cstr(d->out, oschema_strs(d->s, first, i));
	}
	obuf_putc(d->out, ']');
}

static void put_doc(struct odoc *d, uint32_t doc)
{
	if (doc == 0)
		return;
	obuf_puts(d->out, "\"description\":");
	obuf_put_json_cstr(d->out, oschema_str(d->s, doc));
	obuf_putc(d->out, ',');
}

/* The allowed values, on the value itself or on a list's elements. */
static void put_property(struct odoc *d, const struct oschema_field *f)
{
	const struct oschema_type *t = oschema_field_type(d->s, f);
	struct obuf *out = d->out;

	obuf_putc(out, '{');
	put_doc(d, f->doc);
	put_schema(d, f->type, true);
	if ((f->flags & OSCHEMA_F_CLOSED) != 0 && t->kind == OSCHEMA_STRING)
		put_strs(d, "enum", f->enums, f->n_enums);
	/* v2 allows nothing but text beside a reference */
	if ((f->flags & OSCHEMA_F_HAS_DEFAULT) != 0 && (d->v3 || !is_definition(t->kind)))
		obuf_printf(out, ",\"default\":%s", oschema_str(d->s, f->def));
	if (f->list == OSCHEMA_LIST_SET)
		obuf_puts(out, ",\"x-kubernetes-list-type\":\"set\"");
	if (f->list == OSCHEMA_LIST_MAP) {
		put_strs(d, "x-kubernetes-list-map-keys", f->keys, f->n_keys);
		obuf_puts(out, ",\"x-kubernetes-list-type\":\"map\"");
	}
	if (t->kind == OSCHEMA_LIST && f->list == OSCHEMA_LIST_ATOMIC)
		obuf_puts(out, ",\"x-kubernetes-list-type\":\"atomic\"");
	if (f->map_atomic || f->struct_atomic)
		obuf_puts(out, ",\"x-kubernetes-map-type\":\"atomic\"");
	if (f->patch_key != 0)
		obuf_printf(out, ",\"x-kubernetes-patch-merge-key\":\"%s\"", oschema_str(d->s, f->patch_key));
	if (f->patch != 0)
		obuf_printf(out, ",\"x-kubernetes-patch-strategy\":\"%s%s%s%s\"",
			    (f->patch & OSCHEMA_PATCH_MERGE) != 0 ? "merge" : "",
			    (f->patch & OSCHEMA_PATCH_REPLACE) != 0 ? "replace" : "",
			    (f->patch & OSCHEMA_PATCH_MERGE) != 0 && (f->patch & OSCHEMA_PATCH_RETAINKEYS) != 0 ? "," : "",
			    (f->patch & OSCHEMA_PATCH_RETAINKEYS) != 0 ? "retainKeys" : "");
	obuf_putc(out, '}');
}

/* The group version that an object type belongs to. */
static void put_kinds(struct odoc *d, const struct oschema_type *t)
{
	const char *full = oschema_str(d->s, t->name), *dot = strrchr(full, '.');

	for (unsigned int i = 0; dot != NULL && i < d->s->n_groups; i++) {
		const struct oschema_group *g = &d->s->groups[i];
		const char *package = oschema_str(d->s, g->package);
		bool meta = strcmp(package, "meta/v1") == 0;

		if (!ostr_eq(package, strlen(package), full, (size_t)(dot - full)))
			continue;
		obuf_puts(d->out, ",\"x-kubernetes-group-version-kind\":[");
		/* what is common to all groups is asked for as part of the core group */
		odoc_gvk(d, meta ? "" : oschema_str(d->s, g->name), oschema_str(d->s, g->version), dot + 1);
		obuf_putc(d->out, ']');
	}
}

static void put_definition(struct odoc *d, const struct oschema_type *t)
{
	bool object = (t->flags & OSCHEMA_T_OBJECT) != 0, first = true;
	struct obuf *out = d->out;

	obuf_putc(out, '"');
	put_name(d, t);
	obuf_puts(out, "\":{");
	put_doc(d, t->doc);
	obuf_puts(out, "\"type\":\"object\"");
	for (unsigned int i = 0; i < t->n_fields; i++) {
		const struct oschema_field *f = &d->s->fields[t->fields + i];

		if ((f->flags & OSCHEMA_F_REQUIRED) == 0)
			continue;
		obuf_puts(out, first ? ",\"required\":[" : ",");
		obuf_put_json_cstr(out, oschema_field_name(d->s, f));
		first = false;
	}
	obuf_puts(out, first ? ",\"properties\":{" : "],\"properties\":{");
	if (object)
		obuf_puts(out, "\"apiVersion\":{\"description\":\"The version of the schema that this object is written in, as "
			  "GROUP/VERSION.\",\"type\":\"string\"},\"kind\":{\"description\":\"The kind of object, in CamelCase.\","
			  "\"type\":\"string\"}");
	for (unsigned int i = 0; i < t->n_fields; i++) {
		const struct oschema_field *f = &d->s->fields[t->fields + i];

		obuf_puts(out, i > 0 || object ? "," : "");
		obuf_put_json_cstr(out, oschema_field_name(d->s, f));
		obuf_putc(out, ':');
		put_property(d, f);
	}
	obuf_putc(out, '}');
	if ((t->flags & OSCHEMA_T_ATOMIC) != 0)
		obuf_puts(out, ",\"x-kubernetes-map-type\":\"atomic\"");
	if (object)
		put_kinds(d, t);
	obuf_putc(out, '}');
}

/* ---- which types a document needs ---- */

#define MAX_TYPES 4096

struct type_set {
	uint64_t	bits[MAX_TYPES / 64];
};

static bool set_has(const struct type_set *set, unsigned int i)
{
	return i < MAX_TYPES && (set->bits[i / 64] >> (i % 64) & 1) != 0;
}

/* @type and everything that its fields refer to. */
static void set_add(const struct oschema *s, struct type_set *set, uint16_t type)
{
	const struct oschema_type *t = oschema_type_at(s, type);

	if (type >= MAX_TYPES || set_has(set, type))
		return;
	set->bits[type / 64] |= 1ull << (type % 64);
	if (t->kind == OSCHEMA_LIST || t->kind == OSCHEMA_MAP)
		set_add(s, set, t->elem);
	for (unsigned int i = 0; i < t->n_fields; i++)
		set_add(s, set, s->fields[t->fields + i].type);
}

/* The types of a group's operations; @g NULL: all structs there are. */
static void set_fill(struct odoc *d, struct type_set *set, const struct oschema_group *g)
{
	static const char *const shared[] = { "meta/v1.DeleteOptions", "meta/v1.Status", "meta/v1.WatchEvent" };
	const struct oschema *s = d->s;

	for (unsigned int i = 0; g == NULL && i < s->n_types; i++)
		set_add(s, set, (uint16_t)i);
	for (size_t i = 0; i < 3; i++)
		if (odoc_type(d, shared[i]) != 0)
			set_add(s, set, odoc_type(d, shared[i]));
	for (unsigned int i = 0; g != NULL && i < s->n_resources; i++) {
		const struct oschema_resource *r = &s->resources[i];
		uint16_t list = odoc_list_type(d, r);

		if (!odoc_in_group(d, r, g))
			continue;
		set_add(s, set, r->type);
		if (list != 0)
			set_add(s, set, list);
		for (unsigned int k = 0; k < r->n_subs; k++)
			set_add(s, set, s->subs[r->subs + k].type);
	}
}

static void put_definitions(struct odoc *d, const struct oschema_group *g)
{
	struct type_set set = { { 0 } };
	bool first = true;

	set_fill(d, &set, g);
	for (size_t i = 0; i < N_SPECIALS; i++) {
		if (!set_has(&set, specials[i].kind))
			continue;
		obuf_printf(d->out, "%s\"%s\":{%s}", first ? "" : ",", specials[i].name, specials[i].schema);
		first = false;
	}
	for (unsigned int i = 0; i < d->s->n_type_names; i++) {
		uint16_t t = d->s->type_names[i];

		if (!set_has(&set, t))
			continue;
		obuf_puts(d->out, first ? "" : ",");
		put_definition(d, &d->s->types[t]);
		first = false;
	}
}

/* ---- documents ---- */

static void put_info(struct odoc *d, const char *version)
{
	obuf_puts(d->out, "\"info\":{\"title\":\"Kubernetes\",\"version\":");
	obuf_put_json_cstr(d->out, version);
	obuf_puts(d->out, "},\"paths\":{");
}

/* Members of others behind what was written since @start. */
static void put_more(struct odoc *d, size_t start, struct orlop_bytes more)
{
	if (more.len == 0)
		return;
	if (d->out->len > start)
		obuf_putc(d->out, ',');
	obuf_append(d->out, more.p, more.len);
}

void oschema_openapi_v2(const struct oschema *s, const struct oschema_group *g, const char *version,
			const struct oschema_more *more, struct obuf *out)
{
	struct odoc d = { s, out, false };
	size_t start;

	obuf_puts(out, "{\"swagger\":\"2.0\",");
	put_info(&d, version);
	start = out->len;
	odoc_paths(&d, g);
	if (more != NULL)
		put_more(&d, start, more->paths);
	obuf_puts(out, "},\"definitions\":{");
	start = out->len;
	put_definitions(&d, g);
	if (more != NULL)
		put_more(&d, start, more->definitions);
	obuf_puts(out, "},\"securityDefinitions\":{\"BearerToken\":{\"description\":\"Bearer Token authentication\",\"type\":"
		  "\"apiKey\",\"name\":\"authorization\",\"in\":\"header\"}},\"security\":[{\"BearerToken\":[]}]}\n");
}

void oschema_openapi_v3(const struct oschema *s, const struct oschema_group *g, const char *version,
			struct obuf *out)
{
	struct odoc d = { s, out, true };

	obuf_puts(out, "{\"openapi\":\"3.0.0\",");
	put_info(&d, version);
	odoc_paths(&d, g);
	obuf_puts(out, "},\"components\":{\"schemas\":{");
	put_definitions(&d, g);
	obuf_puts(out, "},\"securitySchemes\":{\"BearerToken\":{\"type\":\"apiKey\",\"description\":\"Bearer Token authentication\","
		  "\"name\":\"authorization\",\"in\":\"header\"}}}}\n");
}

void oschema_openapi_v3_index(const struct oschema *s, const char *hash, oschema_url_fn url, void *arg, struct obuf *out)
{
	bool first = true;
	char own[16];

	(void)snprintf(own, sizeof(own), "%08X", s->generation);
	obuf_puts(out, "{\"paths\":{");
	for (unsigned int i = 0; i < s->n_groups; i++) {
		const struct oschema_group *g = &s->groups[i];
		const char *name = oschema_str(s, g->name), *version = oschema_str(s, g->version);
		const char *other = url != NULL && *name != '\0' ? url(arg, name, version) : NULL;
		char path[700];

		if (!g->served || (other != NULL && *other == '\0'))
			continue;
		(void)snprintf(path, sizeof(path), "%s%s/%s", *name != '\0' ? "apis/" : "api", name, version);
		if (*name == '\0')
			(void)snprintf(path, sizeof(path), "api/%s", version);
		obuf_printf(out, "%s\"%s\":{\"serverRelativeURL\":\"", first ? "" : ",", path);
		if (other != NULL)
			obuf_puts(out, other);
		else
			obuf_printf(out, "/openapi/v3/%s?hash=%s", path, hash != NULL ? hash : own);
		obuf_puts(out, "\"}");
		first = false;
	}
	obuf_puts(out, "}}\n");
}
