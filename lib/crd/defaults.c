/* defaults.c - a default must be what its own schema allows, and say nothing that the schema does not know. */
#include "crd/look.h"

#include "base/ocleanup.h"

#include <stdio.h>
#include <string.h>

struct nth {
	struct look	*l;
	unsigned int	n;
};

static void on_default(void *arg, const char *reason, const char *field, const char *message)
{
	struct nth *n = arg;
	struct look *l = n->l;
	size_t at = l->path.len;

	n->n++;
	if (++l->found > LOOK_MAX)
		return;
	obuf_printf(&l->path, ".default%s%s", strcmp(field, "<nil>") ? "." : "", strcmp(field, "<nil>") ? field : "");
	if (obuf_err(&l->path) == 0)
		l->fn(l->arg, reason, obuf_cstr(&l->path), message);
	obuf_truncate(&l->path, at);
}

/* A type that nobody knows has no values. */
static bool has_odd_type(const struct ojson *s, const struct ocrd_node *n)
{
	return ojson_get_cstr(s, "type", "")[0] && n->type == OCRD_ANY && !(n->flags & OCRD_INT_OR_STRING);
}

static const char *called(const struct ojson *v)
{
	static const char *const names[] = {
		[OJSON_BOOL] = "boolean", [OJSON_INT] = "integer", [OJSON_DOUBLE] = "number", [OJSON_STRING] = "string",
		[OJSON_ARRAY] = "array", [OJSON_OBJECT] = "object",
	};

	return names[ojson_type(v)];
}

static void check(struct look *l, const struct ojson *s, bool object, bool meta)
{
	static const struct ocrd_node bare = { .type = OCRD_ANY, .flags = OCRD_EMBEDDED };
	const struct ojson *def = ojson_get(s, "default");
	cleanup_ojson struct ojson *v = NULL;
	struct oschema_texts unknown = { 0 };
	struct nth nth = { l, 0 };
	const struct ocrd_node *n;
	struct oarena a;

	oarena_init(&a, 0);
	if (ocrd_compile(&a, s, &n) || ocrd_take(n, def, object, "", &unknown, &v))
		goto out;
	if (unknown.n && !meta)
		look_invalid(l, "default", def, "must not have unknown fields");
	if (object && !meta && ojson_is(v, OJSON_OBJECT))
		(void)ocrd_check(&bare, v, NULL, on_default, &nth);
	if (nth.n == 0 && has_odd_type(s, n)) {
		char text[400];

		snprintf(text, sizeof(text), "Invalid value: \"%s\":  in body must be of type %.300s: \"%s\"", called(def),
			 ojson_get_cstr(s, "type", ""), called(def));
		on_default(&nth, "FieldValueTypeInvalid", "<nil>", text);
	} else if (nth.n == 0) {
		(void)ocrd_check(n, v, NULL, on_default, &nth);
	}
out:
	oschema_texts_done(&unknown);
	oarena_done(&a);
}

static void walk(struct look *l, const struct ojson *s, bool root, bool meta)
{
	bool object = root || ojson_get_bool(s, "x-kubernetes-embedded-resource", false);
	const struct ojson *items = ojson_get_object(s, "items");

	if (look_deep(l))
		return;
	meta = meta && !object;
	if (ojson_get(s, "default"))
		check(l, s, object, meta);
	if (items) {
		size_t at = look_into(l, ".items");

		walk(l, items, false, meta);
		look_back(l, at);
	}
	OJSON_FOREACH(it, ojson_get_object(s, "properties")) {
		size_t at = look_into(l, ".properties[%.*s]", (int)it.key_len, it.key);

		walk(l, it.value, false,
		     meta || (object && (!strcmp(it.key, "metadata") || !strcmp(it.key, "apiVersion") || !strcmp(it.key, "kind"))));
		look_back(l, at);
	}
}

void look_defaults(struct look *l, const struct ojson *schema)
{
	walk(l, schema, true, false);
}
