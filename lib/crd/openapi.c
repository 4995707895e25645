/* openapi.c - a definition in OpenAPI, v2 or v3: operations as of every resource, the kind as its author wrote it. */
#include "crd/ocrd.h"

#include "base/ocleanup.h"
#include "schema/openapi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define META_TEXT(ref) \
	"{\"apiVersion\":{\"description\":\"APIVersion defines in which version of the schema this object is written.\"," \
	"\"type\":\"string\"},\"kind\":{\"description\":\"The kind of this object.\",\"type\":\"string\"}," \
	"\"metadata\":{\"description\":\"Standard object's metadata: its name, labels and other general data.\"," ref "}}"
#define META_V3	META_TEXT("\"allOf\":[{\"$ref\":\"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta\"}]")
#define META_V2	META_TEXT("\"$ref\":\"#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta\"")

/* The members that every object has. */
static int add_meta(const struct ocrd_doc *d, struct ojson *schema)
{
	cleanup_ojson struct ojson *meta = NULL;
	struct ojson *props = ojson_ensure_object(schema, "properties");
	int r = !props ? -ENOMEM : d->v2 ? ojson_parse(META_V2, sizeof(META_V2) - 1, &meta, NULL) :
		ojson_parse(META_V3, sizeof(META_V3) - 1, &meta, NULL);

	OJSON_FOREACH(it, meta)
		if (r == 0)
			r = ojson_set(props, it.key, ojson_ref(it.value));
	return r;
}

static int require(struct ojson *schema, const char *name)
{
	struct ojson *list = ojson_ensure_array(schema, "required"), *text;

	OJSON_FOREACH_ELEM(i, e, list)
		if (ojson_string_is(e, name))
			return 0;
	text = ojson_new_cstr(name);
	if (!list) {
		ojson_unref(text);
		return -ENOMEM;
	}
	return ojson_append(list, text);
}

/* Whole objects inside: kubectl must not be told of members in v2 where there may be others. */
static int add_embedded(const struct ocrd_doc *d, struct ojson *s)
{
	int r = 0;

	OJSON_FOREACH(it, ojson_get(s, "properties"))
		if (r == 0)
			r = add_embedded(d, it.value);
	if (r == 0 && ojson_get_object(s, "items"))
		r = add_embedded(d, ojson_get_object(s, "items"));
	if (r == 0 && ojson_get_object(s, "additionalProperties"))
		r = add_embedded(d, ojson_get_object(s, "additionalProperties"));
	if (r || !ojson_get_bool(s, "x-kubernetes-embedded-resource", false) ||
	    (d->v2 && ojson_get_bool(s, "x-kubernetes-preserve-unknown-fields", false)))
		return r;
	r = add_meta(d, s);
	if (r == 0)
		r = require(s, "kind");
	return r ? r : require(s, "apiVersion");
}

static const struct ojson *version_of(const struct ojson *crd, const char *name)
{
	OJSON_FOREACH_ELEM(i, v, ojson_get_array(ojson_get(crd, "spec"), "versions"))
		if (!strcmp(ojson_get_cstr(v, "name", ""), name))
			return v;
	return NULL;
}

/* By which fields lists of it select, beside the name and the namespace. */
static int add_fields(struct ojson *s, const struct ojson *fields)
{
	struct ojson *list = ojson_count(fields) ? ojson_ensure_array(s, "x-kubernetes-selectable-fields") : NULL;
	int r = list || !ojson_count(fields) ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, f, fields) {
		const char *path = ojson_get_cstr(f, "jsonPath", "");
		struct ojson *one = r == 0 ? ojson_new_object() : NULL;

		if (r == 0)
			r = one ? ojson_set_cstr(one, "fieldPath", path + (path[0] == '.')) : -ENOMEM;
		if (r == 0)
			r = ojson_append(list, TAKE(one));
		ojson_unref(one);
	}
	return r;
}

/* The author's schema with what every object has. */
static int kind_schema(const struct ocrd_doc *d, const struct ojson *schema, const struct ojson *crd, const char *version,
		       struct ojson **ret)
{
	cleanup_ojson struct ojson *out = NULL;
	const struct ojson *spec = ojson_get(crd, "spec");
	struct ojson *list, *gvk = ojson_new_object();
	/* kubectl before 1.27 would refuse everything but these members */
	bool any = !schema || (d->v2 && (ojson_get_bool(schema, "x-kubernetes-preserve-unknown-fields", false) ||
					 ojson_get_bool(spec, "preserveUnknownFields", false)));
	int r = !any ? ojson_copy(schema, &out) : (out = ojson_new_object()) ? 0 : -ENOMEM;

	if (r == 0 && !any && d->v2)
		ocrd_schema_v2(out);
	if (r == 0 && !any)
		r = add_embedded(d, out);
	if (r == 0 && !any)
		r = add_meta(d, out);
	if (r == 0)
		r = ojson_set_cstr(out, "type", "object");
	if (r == 0)
		r = ojson_set_cstr(gvk, "group", ojson_get_cstr(spec, "group", ""));
	if (r == 0)
		r = ojson_set_cstr(gvk, "kind", ojson_get_cstr(ojson_get(spec, "names"), "kind", ""));
	if (r == 0)
		r = ojson_set_cstr(gvk, "version", version);
	list = r == 0 ? ojson_ensure_array(out, "x-kubernetes-group-version-kind") : NULL;
	if (list)
		r = ojson_append(list, TAKE(gvk));
	else if (r == 0)
		r = -ENOMEM;
	ojson_unref(gvk);
	if (r == 0)
		r = add_fields(out, ojson_get_array(version_of(crd, version), "selectableFields"));
	if (r == 0)
		*ret = TAKE(out);
	return r;
}

/* Members of @from that are not there yet, as text. */
static int append(struct ocrd_doc *d, struct obuf *to, const struct ojson *from)
{
	OJSON_FOREACH(it, from) {
		if (omap_get(&d->seen, it.key, it.key_len))
			continue;
		if (omap_put(&d->seen, it.key, it.key_len, d, NULL) < 0)
			return -ENOMEM;
		if (to->len)
			obuf_putc(to, ',');
		obuf_put_json_string(to, it.key, it.key_len);
		obuf_putc(to, ':');
		if (ojson_write(it.value, 0, to))
			return -ENOMEM;
	}
	return obuf_err(to);
}

#define STRATEGIC "application/strategic-merge-patch+json"

int ocrd_doc_add(struct ocrd_doc *d, const struct oschema *builtin, const struct ojson *crd, const char *version,
		 const char *server)
{
	cleanup_ojson struct ojson *own = NULL;
	struct ojson *fresh = NULL, *schemas;
	const struct oschema_group *g;
	struct obuf b = OBUF_INIT;
	struct ocrd *o = NULL;
	char name[700] = "", list[700] = "";
	int r = ocrd_new(builtin, crd, true, &o);

	if (r)
		return r;
	g = oschema_group_version_find(&o->schema, ojson_get_bytes(ojson_get(crd, "spec"), "group"),
				       (struct orlop_bytes){ version, strlen(version) });
	if (g) {
		if (d->v2)
			oschema_openapi_v2(&o->schema, g, server, NULL, &b);
		else
			oschema_openapi_v3(&o->schema, g, server, &b);
		snprintf(name, sizeof(name), "%s.%s", oschema_str(&o->schema, g->openapi),
			 ojson_get_cstr(OJSON_AT(crd, "spec", "names"), "kind", ""));
		snprintf(list, sizeof(list), "%s.%s", oschema_str(&o->schema, g->openapi),
			 ojson_get_cstr(OJSON_AT(crd, "spec", "names"), "listKind", ""));
		r = obuf_err(&b) ? -ENOMEM : ojson_parse(b.data, b.len, &own, NULL);
	} else {
		r = -ENOENT;
	}
	obuf_done(&b);
	ocrd_free(o);
	/* there are no merge keys in schemas of users */
	OJSON_FOREACH(it, ojson_get(own, "paths")) {
		struct ojson *types = OJSON_AT(it.value, "patch", "consumes");

		ojson_del(OJSON_AT(it.value, "patch", "requestBody", "content"), STRATEGIC);
		for (size_t i = ojson_count(types); i > 0; i--)
			if (ojson_string_is(ojson_index(types, i - 1), STRATEGIC))
				ojson_remove(types, i - 1);
	}
	schemas = r == 0 ? d->v2 ? ojson_get(own, "definitions") : OJSON_AT(own, "components", "schemas") : NULL;
	if (r == 0)
		r = kind_schema(d, OJSON_AT(version_of(crd, version), "schema", "openAPIV3Schema"), crd, version, &fresh);
	/* in the one document of v2 all else is there already */
	OJSON_FOREACH(it, d->v2 ? schemas : NULL)
		if (strcmp(it.key, name) && strcmp(it.key, list))
			ojson_del_n(schemas, it.key, it.key_len);
	if (r == 0)
		r = ojson_set(schemas, name, fresh);
	if (r == 0)
		r = append(d, &d->paths, ojson_get(own, "paths"));
	return r ? r : append(d, &d->schemas, schemas);
}

void ocrd_doc_end(struct ocrd_doc *d, const char *server, struct obuf *out)
{
	if (out && d->paths.len) {
		obuf_puts(out, "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Kubernetes\",\"version\":");
		obuf_put_json_cstr(out, server);
		obuf_puts(out, "},\"paths\":{");
		obuf_append(out, d->paths.data, d->paths.len);
		obuf_puts(out, "},\"components\":{\"schemas\":{");
		obuf_append(out, d->schemas.data, d->schemas.len);
		obuf_puts(out, "},\"securitySchemes\":{\"BearerToken\":{\"type\":\"apiKey\",\"description\":\"Bearer Token authentication\","
			  "\"name\":\"authorization\",\"in\":\"header\"}}}}\n");
	}
	obuf_done(&d->paths);
	obuf_done(&d->schemas);
	omap_done(&d->seen);
}
