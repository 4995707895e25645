/*
 * discovery.c - discovery and OpenAPI documents: they parse, refer to what exists, and say what clients look for.
 */
#include "apischema/apischema.h"
#include "base/ocleanup.h"
#include "base/otap.h"
#include "json/ojson.h"
#include "schema/discovery.h"
#include "schema/openapi.h"

static const struct oschema *const s = &oschema_builtin;

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

/* Parses what is in @b and empties it. */
static struct ojson *parsed(struct obuf *b, const char *what)
{
	struct oscan_error at = { 0 };
	struct ojson *o = NULL;

	if (!ok(obuf_err(b) == 0 && ojson_parse(obuf_cstr(b), b->len, &o, &at) == 0, "%s is JSON", what))
		diag("%s at %zu", at.msg, at.offset);
	obuf_reset(b);
	return o;
}

static struct ojson *named(struct ojson *list, const char *key, const char *name)
{
	OJSON_FOREACH_ELEM(i, e, list)
		if (strcmp(ojson_get_cstr(e, key, ""), name) == 0)
			return e;
	return NULL;
}

static void test_legacy(void)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct ojson *o, *list;
	const char *last = "";
	bool sorted = true;

	oschema_api_versions(s, "10.0.0.1:6443", &b);
	o = parsed(&b, "/api");
	is_str(ojson_cstr(ojson_index(ojson_get(o, "versions"), 0), ""), "v1", "the core version");
	ojson_unref(o);

	oschema_api_groups(s, &b);
	o = parsed(&b, "/apis");
	is_str(ojson_get_cstr(ojson_index(ojson_get(o, "groups"), 0), "name", ""), "apiregistration.k8s.io", "who registers comes first");
	ok(named(ojson_get(o, "groups"), "name", "policy") != NULL, "policy is there, for evictions");
	ok(named(ojson_get(o, "groups"), "name", "meta.k8s.io") == NULL, "meta is not");
	ojson_unref(o);

	oschema_api_group(s, oschema_group_find(s, text("apps")), &b);
	o = parsed(&b, "/apis/apps");
	is_str(ojson_get_cstr(ojson_get(o, "preferredVersion"), "groupVersion", ""), "apps/v1", "its version");
	ojson_unref(o);

	oschema_api_resources(s, oschema_group_find(s, text("")), &b);
	o = parsed(&b, "/api/v1");
	list = ojson_get(o, "resources");
	OJSON_FOREACH_ELEM(i, e, list) {
		sorted = sorted && strcmp(last, ojson_get_cstr(e, "name", "")) < 0;
		last = ojson_get_cstr(e, "name", "");
	}
	ok(sorted, "resources are sorted by name");
	is_str(ojson_get_cstr(named(list, "name", "pods"), "storageVersionHash", ""), "xPOwRZ+Yhw8=", "pods' hash");
	is_str(ojson_get_cstr(named(list, "name", "pods/status"), "kind", ""), "Pod", "pods/status is a Pod");
	is_str(ojson_get_cstr(named(list, "name", "serviceaccounts/token"), "group", ""), "authentication.k8s.io",
	       "a token's group");
	ojson_unref(o);
}

static void test_aggregated(void)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct ojson *o, *apps, *deployments, *scale, *first;

	oschema_api_discovery(s, true, &b);
	o = parsed(&b, "aggregated /api");
	is_int(ojson_count(ojson_get(o, "items")), 1, "one group");
	ojson_unref(o);
	oschema_api_discovery(s, false, &b);
	o = parsed(&b, "aggregated /apis");
	first = ojson_index(ojson_get(o, "items"), 0);
	is_str(ojson_get_cstr(ojson_get(first, "metadata"), "name", ""), "apiregistration.k8s.io", "who registers comes first here, too");
	apps = ojson_index(ojson_get(o, "items"), 1);
	is_str(ojson_get_cstr(ojson_get(apps, "metadata"), "name", ""), "apps", "then apps");
	deployments = named(ojson_get(ojson_index(ojson_get(apps, "versions"), 0), "resources"), "resource", "deployments");
	is_str(ojson_get_cstr(deployments, "scope", ""), "Namespaced", "deployments have namespaces");
	scale = named(ojson_get(deployments, "subresources"), "subresource", "scale");
	is_str(ojson_get_cstr(ojson_get(scale, "responseKind"), "group", ""), "autoscaling", "the group of a Scale");
	ojson_unref(o);
}

/* Counts references in @o that are not in @definitions. */
static size_t dangling(struct ojson *o, struct ojson *definitions, const char *prefix)
{
	size_t n = 0;

	if (ojson_is(o, OJSON_ARRAY)) {
		OJSON_FOREACH_ELEM(i, e, o)
			n += dangling(e, definitions, prefix);
		return n;
	}
	OJSON_FOREACH(it, o) {
		const char *ref = ojson_cstr(it.value, "");

		/* a schema of schemas has a property of that name */
		if (strcmp(it.key, "$ref") == 0 && ojson_is(it.value, OJSON_STRING) &&
		    (strncmp(ref, prefix, strlen(prefix)) != 0 || !ojson_has(definitions, ref + strlen(prefix)))) {
			diag("nothing is at %s", ref);
			n++;
		}
		n += dangling(it.value, definitions, prefix);
	}
	return n;
}

/* One field of a protobuf message at *pos: its number, and its bytes if it has any. */
static unsigned int proto_field(struct orlop_bytes m, size_t *pos, struct orlop_bytes *ret)
{
	uint64_t v[2] = { 0, 0 };

	*ret = (struct orlop_bytes){ NULL, 0 };
	for (int i = 0; i < 2; i++) {
		int shift = 0;

		do {
			if (*pos >= m.len || shift > 56)
				return 0;
			v[i] |= (uint64_t)(m.p[*pos] & 0x7f) << shift;
			shift += 7;
		} while ((m.p[(*pos)++] & 0x80) != 0);
	}
	if ((v[0] & 7) == 2) {
		if (v[1] > m.len - *pos)
			return 0;
		*ret = (struct orlop_bytes){ m.p + *pos, (size_t)v[1] };
		*pos += (size_t)v[1];
	}
	return (unsigned int)(v[0] >> 3);
}

/* The named values in field @field of @m: how many, and that each is in the JSON form, too. */
static void test_named(struct orlop_bytes m, unsigned int field, struct ojson *same, const char *what)
{
	size_t pos = 0, n = 0;
	bool known = true;

	while (pos < m.len) {
		struct orlop_bytes entry, name;
		size_t in = 0;

		if (proto_field(m, &pos, &entry) != field || proto_field(entry, &in, &name) != 1)
			break;
		known = known && ojson_lookup_n(same, name.p, name.len, &(struct ojson *){ NULL });
		n++;
	}
	is_int(pos, m.len, "%s: the message is whole", what);
	is_int(n, ojson_count(same), "%s: as many as in JSON", what);
	ok(known, "%s: with the same names", what);
}

static void test_v2(void)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_ojson struct ojson *o = NULL;
	struct ojson *defs, *spec, *patch;

	oschema_openapi_v2(s, NULL, "v1.36.0", NULL, &b);
	diag("v2: %zu bytes", b.len);
	o = parsed(&b, "/openapi/v2");
	defs = ojson_get(o, "definitions");
	is_int(dangling(o, defs, "#/definitions/"), 0, "all references lead somewhere");
	spec = OJSON_AT(defs, "io.k8s.api.core.v1.PodSpec", "properties", "containers");
	is_str(ojson_get_cstr(spec, "x-kubernetes-patch-merge-key", ""), "name", "containers are merged by name");
	is_str(ojson_get_cstr(spec, "x-kubernetes-patch-strategy", ""), "merge", "and not replaced");
	is_str(ojson_cstr(OJSON_AT(spec, "items", "$ref"), ""), "#/definitions/io.k8s.api.core.v1.Container", "their type");
	patch = OJSON_AT(o, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch");
	ok(named(ojson_get(patch, "parameters"), "name", "dryRun") != NULL, "PATCH takes dryRun");
	ok(named(ojson_get(patch, "parameters"), "name", "fieldValidation") != NULL, "and fieldValidation");
	is_str(ojson_get_cstr(ojson_get(patch, "x-kubernetes-group-version-kind"), "kind", ""), "Deployment", "its kind");

	oschema_openapi_v2_proto(s, "v1.36.0", NULL, &b);
	diag("v2 as protobuf: %zu bytes", b.len);
	ok(obuf_err(&b) == 0 && b.len > 1000 && memcmp(b.data, "\n\0032.0", 5) == 0, "v2 as protobuf begins with 2.0");
	for (size_t pos = 0; pos < b.len;) {
		struct orlop_bytes part;
		unsigned int field = proto_field((struct orlop_bytes){ b.data, b.len }, &pos, &part);

		if (field == 8)
			test_named(part, 2, ojson_get(o, "paths"), "paths");
		else if (field == 9)
			test_named(part, 1, defs, "definitions");
		else if (field == 0)
			break;
	}
}

static void test_v3(void)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct ojson *o, *path;

	oschema_openapi_v3_index(s, "AB", NULL, NULL, &b);
	o = parsed(&b, "/openapi/v3");
	path = OJSON_AT(o, "paths", "apis/apps/v1");
	is_str(ojson_get_cstr(path, "serverRelativeURL", ""), "/openapi/v3/apis/apps/v1?hash=AB", "where apps/v1 is");
	ok(OJSON_AT(o, "paths", "api/v1") != NULL, "core is there");
	ojson_unref(o);
	for (unsigned int i = 0; i < s->n_groups; i++) {
		const struct oschema_group *g = &s->groups[i];

		if (!g->served)
			continue;
		oschema_openapi_v3(s, g, "v1.36.0", &b);
		diag("v3 of \"%s\": %zu bytes", oschema_str(s, g->name), b.len);
		o = parsed(&b, "a v3 document");
		is_int(dangling(o, OJSON_AT(o, "components", "schemas"), "#/components/schemas/"), 0,
		       "all references of \"%s\" lead somewhere", oschema_str(s, g->name));
		ojson_unref(o);
	}
}

int main(void)
{
	test_legacy();
	test_aggregated();
	test_v2();
	test_v3();
	return done_testing();
}
