/*
 * openapi-v2.c - schemas of definitions as OpenAPI v2 can have them, and as kubectl before 1.27 understands them.
 *
 * Source: upstream's pkg/controller/openapi/v2 of apiextensions-apiserver, behaviour only.
 */
#include "crd/ocrd.h"

#include <string.h>

/* What v2 does not have, and what is of no use to readers. */
static const char *const unknown[] = {
	"allOf", "anyOf", "oneOf", "not", "nullable", "example", "externalDocs", "id", "$schema",
};

/* A name less in "required". */
static void not_required(struct ojson *s, const char *name, size_t len)
{
	struct ojson *list = ojson_get_array(s, "required");

	for (size_t i = ojson_count(list); i > 0; i--) {
		struct orlop_bytes t = ojson_bytes(ojson_index(list, i - 1));

		if (t.len == len && !memcmp(t.p, name, len))
			ojson_remove(list, i - 1);
	}
	if (list && !ojson_count(list))
		ojson_del(s, "required");
}

/* Before their own turn: what may be null need not be there. */
static void nullable_below(struct ojson *s)
{
	OJSON_FOREACH(it, ojson_get(s, "properties"))
		if (ojson_get_bool(it.value, "nullable", false))
			not_required(s, it.key, it.key_len);
	if (ojson_get_bool(ojson_get(s, "additionalProperties"), "nullable", false))
		ojson_del(s, "required");
}

void ocrd_schema_v2(struct ojson *s)
{
	bool any = ojson_get_bool(s, "x-kubernetes-preserve-unknown-fields", false);
	bool null = ojson_get_bool(s, "nullable", false);
	struct ojson *list = ojson_get(s, "items");

	if (!ojson_is(s, OJSON_OBJECT))
		return;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		ojson_del(s, unknown[i]);
	/* kubectl takes a type, members or elements for all that there may be, and cannot read a list of nothing */
	if (any || null) {
		ojson_del(s, "items");
		ojson_del(s, "properties");
		list = NULL;
	}
	if (null || (any && ojson_string_is(ojson_get(s, "type"), "object")) ||
	    (!list && ojson_string_is(ojson_get(s, "type"), "array")))
		ojson_del(s, "type");
	nullable_below(s);
	OJSON_FOREACH(it, ojson_get(s, "properties"))
		ocrd_schema_v2(it.value);
	ocrd_schema_v2(list);
	ocrd_schema_v2(ojson_get(s, "additionalProperties"));
}
