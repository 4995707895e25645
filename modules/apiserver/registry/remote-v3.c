/*
 * remote-v3.c - a document of OpenAPI v3 made of one of v2, for a server that has none of v3.
 *
 * Source: kube-openapi's openapiconv, behaviour only; test: tests/api/aggregator.py
 */
#include "remote-docs.h"

#include "base/ocleanup.h"
#include "json/ojson.h"

#include <errno.h>
#include <string.h>

/*
 * What an operation consumes and produces stands in each of its bodies and answers: a document of a few megabytes could
 * become gigabytes. Upstream's have 7 media types at most.
 */
#define TYPES_MAX	16u	/* of one body or answer */
#define MEDIA_MAX	50000u	/* of the document */

#define OF_V2	"#/definitions/"
#define OF_V3	"#/components/schemas/"

static bool is_extension(const char *key)
{
	return key[0] == 'x' && key[1] == '-';
}

/* Members of @from that are the same in both, into @to: those named, and extensions. */
static int copy(struct ojson *to, const struct ojson *from, const char *const *names)
{
	int r = 0;

	OJSON_FOREACH(it, ojson_is(from, OJSON_OBJECT) ? from : NULL) {
		bool same = is_extension(it.key);

		for (const char *const *n = names; *n; n++)
			same = same || !strcmp(it.key, *n);
		if (r == 0 && same && it.value)
			r = ojson_put_n(to, it.key, it.key_len, ojson_ref(it.value));
	}
	return r;
}

/* References in @v lead to where the definitions are now; one with something beside it is wrapped, since that would not count. */
static int convert_refs(struct ojson *v)
{
	const char *ref = ojson_is(v, OJSON_OBJECT) ? ojson_get_cstr(v, "$ref", "") : "";
	struct ojson *all = NULL, *one = NULL;
	struct obuf to = OBUF_INIT;
	int r = 0;

	if (ojson_is(v, OJSON_ARRAY))
		OJSON_FOREACH_ELEM(i, e, v)
			if (r == 0)
				r = convert_refs(e);
	OJSON_FOREACH(it, ojson_is(v, OJSON_OBJECT) ? v : NULL)
		if (r == 0)
			r = convert_refs(it.value);
	if (r || strncmp(ref, OF_V2, strlen(OF_V2)) != 0)
		return r;
	obuf_printf(&to, OF_V3 "%s", ref + strlen(OF_V2));
	r = obuf_err(&to) ? -ENOMEM : ojson_set_string(v, "$ref", to.data, to.len);
	obuf_done(&to);
	if (r || ojson_count(v) == 1)
		return r;
	all = ojson_new_array();
	one = ojson_new_object();
	r = all && one ? ojson_set(one, "$ref", ojson_take(v, "$ref")) : -ENOMEM;
	if (r == 0)
		r = ojson_append(all, ojson_ref(one));
	if (r == 0)
		r = ojson_set(v, "allOf", ojson_ref(all));
	ojson_unref(all);
	ojson_unref(one);
	return r;
}

/* {"content": {TYPE: {"schema": …}, …}} of each of @types into @to; without types nothing. @n: how many there are so far. */
static int put_content(struct ojson *to, struct ojson *schema, const struct ojson *types, size_t *n)
{
	struct ojson *content = ojson_count(types) ? ojson_ensure_object(to, "content") : NULL;

	if (!ojson_count(types))
		return 0;
	if (!content)
		return -ENOMEM;
	if (ojson_count(types) > TYPES_MAX || (*n += ojson_count(types)) > MEDIA_MAX)
		return -E2BIG;
	OJSON_FOREACH_ELEM(i, t, types) {
		struct ojson *media = ojson_is(t, OJSON_STRING) ? ojson_ensure_object(content, ojson_cstr(t, "")) : NULL;

		if (ojson_is(t, OJSON_STRING) && (!media || ojson_set(media, "schema", ojson_ref(schema))))
			return -ENOMEM;
	}
	return 0;
}

static int put_parameter(struct ojson *list, const struct ojson *v2)
{
	static const char *const same[] = { "name", "in", "description", "required", "schema", "allowEmptyValue", NULL };
	static const char *const simple[] = { "type", "format", "uniqueItems", NULL };
	cleanup_ojson struct ojson *p = ojson_new_object();
	int r = p ? copy(p, v2, same) : -ENOMEM;

	if (r == 0 && !ojson_has(p, "schema")) {
		struct ojson *schema = ojson_ensure_object(p, "schema");

		for (const char *const *n = simple; r == 0 && *n; n++)
			if (!schema || (ojson_has(v2, *n) && ojson_set(schema, *n, ojson_ref(ojson_get(v2, *n)))))
				r = -ENOMEM;
	}
	return r ? r : ojson_append(list, ojson_ref(p));
}

/* What of @v2's parameters is no body into @to; the body is one of the operation's own. */
static int put_parameters(struct ojson *to, const struct ojson *v2, bool of_operation, size_t *n)
{
	int r = 0;

	OJSON_FOREACH_ELEM(i, p, ojson_get_array(v2, "parameters")) {
		if (r || !ojson_is(p, OJSON_OBJECT))
			continue;
		if (of_operation && ojson_string_is(ojson_get(p, "name"), "body") && ojson_has(p, "schema")) {
			struct ojson *body = ojson_ensure_object(to, "requestBody");

			r = body ? put_content(body, ojson_get(p, "schema"), ojson_get_array(v2, "consumes"), n) : -ENOMEM;
		} else {
			struct ojson *list = ojson_ensure_array(to, "parameters");

			r = list ? put_parameter(list, p) : -ENOMEM;
		}
	}
	return r;
}

static int put_operation(struct ojson *path, const char *method, const struct ojson *v2, size_t *n)
{
	static const char *const same[] = { "description", "externalDocs", "tags", "summary", "deprecated", "operationId", NULL };
	static const char *const said[] = { "description", NULL };
	struct ojson *to = ojson_ensure_object(path, method), *answers = to ? ojson_ensure_object(to, "responses") : NULL;
	int r = answers ? copy(to, v2, same) : -ENOMEM;

	if (r == 0)
		r = put_parameters(to, v2, true, n);
	OJSON_FOREACH(it, ojson_get_object(v2, "responses")) {
		struct ojson *one;

		if (r || is_extension(it.key) || !ojson_is(it.value, OJSON_OBJECT))
			continue;
		one = ojson_ensure_object(answers, it.key);
		r = one ? copy(one, it.value, said) : -ENOMEM;
		if (r == 0 && ojson_has(it.value, "schema"))
			r = put_content(one, ojson_get(it.value, "schema"), ojson_get_array(v2, "produces"), n);
	}
	return r;
}

static int put_path(struct ojson *paths, const char *key, const struct ojson *v2, size_t *n)
{
	static const char *const methods[] = { "get", "put", "post", "delete", "options", "head", "patch" };
	static const char *const none[] = { NULL };
	struct ojson *to = ojson_ensure_object(paths, key);
	int r = to ? copy(to, v2, none) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < sizeof(methods) / sizeof(methods[0]); i++)
		if (ojson_get_object(v2, methods[i]))
			r = put_operation(to, methods[i], ojson_get_object(v2, methods[i]), n);
	return r ? r : put_parameters(to, v2, false, n);
}

int remote_v3_of(struct orlop_bytes v2, struct obuf *out)
{
	cleanup_ojson struct ojson *doc = NULL, *to = ojson_new_object();
	struct ojson *info, *paths, *components;
	int r = to ? ojson_parse(v2.p, v2.len, &doc, NULL) : -ENOMEM;
	size_t n = 0;

	if (r == 0)
		r = convert_refs(doc);
	if (r == 0)
		r = ojson_set_cstr(to, "openapi", "3.0.0");
	info = r == 0 ? ojson_ensure_object(to, "info") : NULL;
	paths = info ? ojson_ensure_object(to, "paths") : NULL;
	components = paths ? ojson_ensure_object(to, "components") : NULL;
	if (!components)
		return r ? r : -ENOMEM;
	r = ojson_set_cstr(info, "title", ojson_cstr(OJSON_AT(doc, "info", "title"), "Kubernetes"));
	if (r == 0)
		r = ojson_set_cstr(info, "version", ojson_cstr(OJSON_AT(doc, "info", "version"), "unversioned"));
	OJSON_FOREACH(it, ojson_get_object(doc, "paths"))
		if (r == 0)
			r = put_path(paths, it.key, it.value, &n);
	if (r == 0 && ojson_get_object(doc, "definitions"))
		r = ojson_set(components, "schemas", ojson_ref(ojson_get_object(doc, "definitions")));
	return r ? r : ojson_write(to, 0, out);
}
