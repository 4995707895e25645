/* openapi.c - a definition in OpenAPI v3: operations as of every resource, the kind as its author wrote it. */
#include "crd/ocrd.h"

#include "base/ocleanup.h"
#include "schema/openapi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char meta_text[] =
	"{\"apiVersion\":{\"description\":\"The version of the schema in which this object is written.\",\"type\":\"string\"},"
	"\"kind\":{\"description\":\"The kind of this object.\",\"type\":\"string\"},"
	"\"metadata\":{\"description\":\"The object's name, labels and other general data.\","
	"\"allOf\":[{\"$ref\":\"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta\"}]}}";

/* The author's schema with what every object has. */
static int kind_schema(const struct ojson *schema, const struct ojson *crd, const char *version, struct ojson **ret)
{
	cleanup_ojson struct ojson *out = NULL, *meta = NULL;
	const struct ojson *spec = ojson_get(crd, "spec");
	struct ojson *props, *list, *gvk = ojson_new_object();
	int r = schema ? ojson_copy(schema, &out) : (out = ojson_new_object()) ? 0 : -ENOMEM;

	if (r == 0)
		r = ojson_parse(meta_text, sizeof(meta_text) - 1, &meta, NULL);
	props = r == 0 ? ojson_ensure_object(out, "properties") : NULL;
	if (r == 0 && !props)
		r = -ENOMEM;
	OJSON_FOREACH(it, meta)
		if (r == 0)
			r = ojson_set(props, it.key, ojson_ref(it.value));
	if (r == 0)
		r = ojson_set_cstr(out, "type", "object");
	if (r == 0)
		r = ojson_set_cstr(gvk, "group", ojson_get_cstr(spec, "group", ""));
	if (r == 0)
		r = ojson_set_cstr(gvk, "kind", ojson_get_cstr(ojson_get(spec, "names"), "kind", ""));
	if (r == 0)
		r = ojson_set_cstr(gvk, "version", version);
	list = r == 0 ? ojson_ensure_array(out, "x-kubernetes-group-version-kind") : NULL;
	if (list && ojson_append(list, gvk) == 0)
		gvk = NULL;
	else if (r == 0)
		r = -ENOMEM;
	ojson_unref(gvk);
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

static const struct ojson *schema_of(const struct ojson *crd, const char *version)
{
	OJSON_FOREACH_ELEM(i, v, ojson_get_array(ojson_get(crd, "spec"), "versions"))
		if (!strcmp(ojson_get_cstr(v, "name", ""), version))
			return OJSON_AT(v, "schema", "openAPIV3Schema");
	return NULL;
}

int ocrd_doc_add(struct ocrd_doc *d, const struct oschema *builtin, const struct ojson *crd, const char *version,
		 const char *server)
{
	cleanup_ojson struct ojson *own = NULL;
	struct ojson *fresh = NULL, *schemas;
	const struct oschema_group *g;
	struct obuf b = OBUF_INIT;
	struct ocrd *o = NULL;
	char name[700];
	int r = ocrd_new(builtin, crd, true, &o);

	if (r)
		return r;
	g = oschema_group_version_find(&o->schema, ojson_get_bytes(ojson_get(crd, "spec"), "group"),
				       (struct orlop_bytes){ version, strlen(version) });
	if (g) {
		oschema_openapi_v3(&o->schema, g, server, &b);
		snprintf(name, sizeof(name), "%s.%s", oschema_str(&o->schema, g->openapi),
			 ojson_get_cstr(OJSON_AT(crd, "spec", "names"), "kind", ""));
		r = obuf_err(&b) ? -ENOMEM : ojson_parse(b.data, b.len, &own, NULL);
	} else {
		r = -ENOENT;
	}
	obuf_done(&b);
	ocrd_free(o);
	/* there are no merge keys in schemas of users */
	OJSON_FOREACH(it, ojson_get(own, "paths"))
		ojson_del(OJSON_AT(it.value, "patch", "requestBody", "content"), "application/strategic-merge-patch+json");
	schemas = r == 0 ? OJSON_AT(own, "components", "schemas") : NULL;
	if (r == 0)
		r = kind_schema(schema_of(crd, version), crd, version, &fresh);
	if (r == 0)
		r = ojson_set(schemas, name, fresh);
	if (r == 0)
		r = append(d, &d->paths, ojson_get(own, "paths"));
	return r ? r : append(d, &d->schemas, schemas);
}

void ocrd_doc_end(struct ocrd_doc *d, const char *server, struct obuf *out)
{
	if (d->paths.len) {
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
