/*
 * validate.c - walks an object along its type and applies the rules of api/ *.schema.
 */
#include "schema/validate.h"

#include <errno.h>
#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "quantity/oquantity.h"
#include "schema/check.h"
#include "schema/seen.h"
#include "schema/hooks.h"

#define HOOK(n) [OSCHEMA_C_##n] = ocheck_do_##n,
static const ocheck_fn hooks[OSCHEMA_C_COUNT] = { OSCHEMA_CHECKS(HOOK) };

ocheck_fn ocheck_hook(unsigned int number)
{
	return hooks[number];
}

static void walk_struct(struct ocheck *c, const struct opath *at, const struct oschema_type *t,
			struct ojson *v, struct ojson *old);

/* ---- rules of one field ---- */

/* FORMAT on one value: text, or a number for ports and modes. */
static void format_rule(struct ocheck *c, const struct opath *at, struct ojson *v, unsigned int fmt)
{
	struct oquantity q;

	if (ojson_is(v, OJSON_ARRAY)) {
		OJSON_FOREACH_ELEM(i, e, v) {
			struct opath p = opath_index(at, i);

			format_rule(c, &p, e, fmt);
		}
		return;
	}
	if (ojson_is(v, OJSON_INT)) {
		int64_t n = ojson_i64(v, 0);

		if (fmt == OSCHEMA_FMT_PORT && (n < 1 || n > 65535))
			ocheck_invalid(c, at, v, "must be between 1 and 65535, inclusive");
		if (fmt == OSCHEMA_FMT_MODE && (n < 0 || n > 0777))
			ocheck_invalid(c, at, v, "must be a number between 0 and 0777 (octal), both inclusive");
		return;
	}
	if (fmt == OSCHEMA_FMT_NONNEG_QUANTITY) {
		if (ocheck_quantity(v, &q) && oquantity_sign(&q) < 0)
			ocheck_invalid(c, at, v, "must be greater than or equal to 0");
		return;
	}
	ocheck_format(c, at, v, fmt);
}

static void unique_rule(struct ocheck *c, const struct opath *at, struct ojson *v, const char *key)
{
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, e, v) {
		struct ojson *k = *key != '\0' ? ojson_get(e, key) : e;
		struct opath p = opath_index(at, i), pk = opath_child(&p, key);

		if (ozero(k))
			continue;
		if (oseen(&before, k, NULL))
			ocheck_duplicate(c, *key != '\0' ? &pk : &p, k);
	}
}

/* One rule. False: the other rules of the field make no sense any more. */
static bool apply_rule(struct ocheck *c, const struct opath *at, const struct oschema_rule *r,
		       struct ojson *v, struct ojson *old)
{
	const char *arg = oschema_str(c->s, r->arg);
	char text[96];
	int64_t n = ojson_i64(v, 0);
	bool number = ojson_is(v, OJSON_INT);

	switch (r->op) {
	case OSCHEMA_R_REQUIRED:
		if (!ozero(v))
			break;
		ocheck_required(c, at, arg);
		return false;
	case OSCHEMA_R_RANGE:
		(void)snprintf(text, sizeof(text), "must be between %lld and %lld, inclusive", (long long)r->lo,
			       (long long)r->hi);
		if (number && (n < r->lo || n > r->hi))
			ocheck_invalid(c, at, v, text);
		OJSON_FOREACH_ELEM(i, e, ojson_is(v, OJSON_ARRAY) ? v : NULL) {
			struct opath p = opath_index(at, i);

			if (ojson_i64(e, r->lo) < r->lo || ojson_i64(e, r->lo) > r->hi)
				ocheck_invalid(c, &p, e, text);
		}
		break;
	case OSCHEMA_R_MIN:
		(void)snprintf(text, sizeof(text), "must be greater than or equal to %lld", (long long)r->lo);
		if (number && n < r->lo)
			ocheck_invalid(c, at, v, text);
		break;
	case OSCHEMA_R_GREATER:
		(void)snprintf(text, sizeof(text), "must be greater than %lld", (long long)r->lo);
		if (number && n <= r->lo)
			ocheck_invalid(c, at, v, text);
		break;
	case OSCHEMA_R_FORMAT:
		format_rule(c, at, v, (unsigned int)r->lo);
		break;
	case OSCHEMA_R_KEYFORMAT:
		OJSON_FOREACH(it, v) {
			struct opath p = opath_key(at, it.key);

			ocheck_format_text(c, &p, (struct orlop_bytes){ it.key, it.key_len }, (unsigned int)r->lo);
		}
		break;
	case OSCHEMA_R_MAXLEN:
		if (otext(v).len > (size_t)r->lo)
			ocheck_too_long(c, at, r->lo);
		break;
	case OSCHEMA_R_MAXITEMS:
		if (v != NULL && ojson_count(v) > (size_t)r->lo)
			ocheck_too_many(c, at, ojson_count(v), r->lo);
		break;
	case OSCHEMA_R_UNIQUE:
		unique_rule(c, at, v, arg);
		break;
	case OSCHEMA_R_IMMUTABLE:
		if (c->update && v == NULL && ojson_is(old, OJSON_STRING))
			ocheck_invalid_text(c, at, (struct orlop_bytes){ "", 0 }, "field is immutable");
		else if (c->update && !ojson_equal(v, old))
			ocheck_invalid(c, at, v, "field is immutable");
		break;
	case OSCHEMA_R_SETONCE:
		if (c->update && !ozero(old) && !ojson_equal(v, old))
			ocheck_invalid(c, at, v, "field is immutable");
		break;
	case OSCHEMA_R_CHECK:
		ocheck_hook((unsigned int)r->lo)(c, at, v, old);
		break;
	default:
		break;
	}
	return true;
}

/* A closed set of values, for a value or each of a list. */
static void closed_set(struct ocheck *c, const struct opath *at, const struct oschema_field *f, struct ojson *v)
{
	const char *values[256];
	struct orlop_bytes text = otext(v);

	if (ojson_is(v, OJSON_ARRAY)) {
		OJSON_FOREACH_ELEM(i, e, v) {
			struct opath p = opath_index(at, i);

			closed_set(c, &p, f, e);
		}
		return;
	}
	if (!ojson_is(v, OJSON_STRING))
		return;
	for (unsigned int i = 0; i < f->n_enums; i++) {
		values[i] = oschema_strs(c->s, f->enums, i);
		if (otext_is(text, values[i]))
			return;
	}
	ocheck_not_supported(c, at, v, values, f->n_enums);
}

/* ---- the walk ---- */

/*
 * Where upstream says it otherwise than JSON does: names of another time, and lists of which it does not say which element
 * it is.
 */
static bool is_told_of_list(const struct ocheck *c, const struct opath *at, const struct oschema_type *elem)
{
	const char *name = oschema_str(c->s, elem->name);

	return at->name != NULL && strcmp(name, "core/v1.DownwardAPIVolumeFile") == 0;
}

static void walk_value(struct ocheck *c, const struct opath *at, const struct oschema_type *t,
		       struct ojson *v, struct ojson *old)
{
	const struct oschema_type *elem;

	if (v == NULL || t->kind < OSCHEMA_STRUCT)
		return;
	if (t->kind == OSCHEMA_STRUCT) {
		walk_struct(c, at, t, v, old);
		return;
	}
	elem = oschema_type_at(c->s, t->elem);
	if (elem->kind < OSCHEMA_STRUCT)
		return;
	if (t->kind == OSCHEMA_LIST) {
		bool of_list = is_told_of_list(c, at, elem);

		OJSON_FOREACH_ELEM(i, e, v) {
			struct opath p = opath_index(at, i);

			walk_value(c, of_list ? at->up : &p, elem, e, NULL);
		}
		return;
	}
	OJSON_FOREACH(it, v) {
		struct opath p = opath_key(at, it.key);

		walk_value(c, &p, elem, it.value, NULL);
	}
}

static bool has_check(const struct ocheck *c, uint32_t rules, unsigned int n, unsigned int hook)
{
	for (unsigned int i = 0; i < n; i++)
		if (c->s->rules[rules + i].op == OSCHEMA_R_CHECK && c->s->rules[rules + i].lo == hook)
			return true;
	return false;
}

/* Is a field of that type there when it is empty? */
static bool is_there(const struct ocheck *c, const struct oschema_field *f)
{
	return (f->flags & OSCHEMA_F_PTR) != 0 || oschema_field_type(c->s, f)->kind == OSCHEMA_RAW;
}

static void walk_field(struct ocheck *c, const struct opath *at, const struct oschema_field *f,
		       struct ojson *v, struct ojson *old)
{
	const char *name = oschema_field_name(c->s, f);
	struct opath p = opath_child(at, name), twice = opath_child(&p, name);
	bool goes_on = true;

	/* claims of a StatefulSet are looked at when they are made */
	if (strcmp(name, "volumeClaimTemplates") == 0)
		return;
	if (strcmp(name, "gcePersistentDisk") == 0)
		p = opath_child(at, "persistentDisk");
	if (c->bad_selector && strcmp(c->kind, "DaemonSet") != 0 && strcmp(c->kind, "Job") != 0 && at != NULL && at->up == NULL &&
	    strcmp(p.name, "template") == 0)
		return;
	for (unsigned int i = 0; i < f->n_rules; i++) {
		const struct oschema_rule *r = &c->s->rules[f->rules + i];

		if (r->op == OSCHEMA_R_REQUIRED && v != NULL && is_there(c, f))
			continue;
		/* what may not be gone may not have changed, either */
		if (goes_on || r->op == OSCHEMA_R_IMMUTABLE)
			goes_on = apply_rule(c, &p, r, v, old) && goes_on;
	}
	if (goes_on && (f->flags & OSCHEMA_F_CLOSED) != 0)
		closed_set(c, &p, f, v);
	/* upstream finds what is wrong with one of a class's tolerations in scheduling.tolerations.tolerations */
	walk_value(c, has_check(c, f->rules, f->n_rules, OSCHEMA_C_class_tolerations) ? &twice : &p,
		   oschema_field_type(c->s, f), v, old);
}

/* Which of @t one takes one of; NULL: it is no such struct. */
static const char *const *sources_of(const struct ocheck *c, const struct oschema_type *t)
{
	if (has_check(c, t->rules, t->n_rules, OSCHEMA_C_volume))
		return ocheck_volume_types;
	if (has_check(c, t->rules, t->n_rules, OSCHEMA_C_volume_source))
		return ocheck_volume_sources;
	if (has_check(c, t->rules, t->n_rules, OSCHEMA_C_probe) || has_check(c, t->rules, t->n_rules, OSCHEMA_C_lifecycle_handler))
		return ocheck_handlers;
	return NULL;
}

/* Is @name one of @list, and another of @v before it? */
static bool is_second(const char *const *list, const struct ojson *v, const char *name)
{
	bool before = false;

	for (; list != NULL && *list != NULL; list++) {
		if (strcmp(*list, name) == 0)
			return before;
		before = before || ojson_get(v, *list) != NULL;
	}
	return false;
}

static void walk_struct(struct ocheck *c, const struct opath *at, const struct oschema_type *t,
			struct ojson *v, struct ojson *old)
{
	const char *const *sources = sources_of(c, t);

	for (unsigned int i = 0; i < t->n_fields; i++) {
		const struct oschema_field *f = &c->s->fields[t->fields + i];
		const char *name = oschema_field_name(c->s, f);

		if (is_second(sources, v, name))
			continue;	/* what is wrong is that it is there */
		/* rules inside an absent struct do not count; those of the field do */
		walk_field(c, at, f, ojson_get_n(v, name, f->name_len), ojson_get_n(old, name, f->name_len));
	}
	for (unsigned int i = 0; i < t->n_rules; i++)
		(void)apply_rule(c, at, &c->s->rules[t->rules + i], v, old);
}

/* ---- entries ---- */

int oschema_invalid_message(const char *kind, const char *group, const char *name,
			    const struct orlop_causes *causes, struct obuf *out)
{
	uint32_t n = causes != NULL ? causes->n : 0;

	obuf_printf(out, "%s%s%s ", kind, *group != '\0' ? "." : "", group);
	obuf_put_quoted(out, name, strlen(name));
	obuf_puts(out, " is invalid: ");
	if (n > 1)
		obuf_putc(out, '[');
	for (uint32_t i = 0; i < n; i++)
		obuf_printf(out, "%s%s: %s", i > 0 ? ", " : "", causes->v[i].field, causes->v[i].message);
	if (n > 1)
		obuf_putc(out, ']');
	return obuf_err(out);
}

static int finish(struct ocheck *c, const char *kind, const char *group, const char *name)
{
	struct obuf b = OBUF_INIT;

	if (c->lost)
		return orlop_fail(c->err, ENOMEM, 0, "", "out of memory");
	if (c->found == 0)
		return 0;
	(void)oschema_invalid_message(kind, group, name, c->err != NULL ? c->err->causes : NULL, &b);
	(void)orlop_fail(c->err, EINVAL, 422, "Invalid", "%s", obuf_cstr(&b));
	obuf_done(&b);
	return -EINVAL;
}

int oschema_validate(const struct oschema *s, const struct oschema_resource *r,
		     const struct oschema_write *w, struct orlop_error *err)
{
	const struct oschema_type *t = oschema_type_at(s, r->type);
	struct ojson *meta = ojson_get(w->obj, "metadata");
	const char *name = ojson_get_cstr(meta, "name", "");
	struct ocheck c = {
		.s = s, .w = w, .err = err, .kind = oschema_str(s, r->kind), .update = w->old != NULL,
		.in_pod = strcmp(oschema_str(s, r->kind), "Pod") == 0,
	};
	bool only_status = otext_is(w->sub, "status");

	if ((r->flags & OSCHEMA_S_VIRTUAL) == 0)
		ocheck_meta(&c, r, w->obj, w->old);
	for (unsigned int i = 0; i < t->n_fields; i++) {
		const struct oschema_field *f = &s->fields[t->fields + i];
		const char *field = oschema_field_name(s, f);
		bool status = strcmp(field, "status") == 0;

		/* the other half of the object stays as it is stored */
		if (strcmp(field, "metadata") == 0 || (only_status && !status) ||
		    (!only_status && status && (r->flags & OSCHEMA_S_STATUS) != 0))
			continue;
		walk_field(&c, NULL, f, ojson_get(w->obj, field), ojson_get(w->old, field));
	}
	for (unsigned int i = 0; i < t->n_rules; i++)
		(void)apply_rule(&c, NULL, &s->rules[t->rules + i], w->obj, w->old);
	return finish(&c, c.kind, oschema_str(s, r->group), *name != '\0' ? name :
		      ojson_get_cstr(meta, "generateName", ""));
}

int oschema_validate_body(const struct oschema *s, const struct oschema_sub *sub, struct ojson *body,
			  struct orlop_error *err)
{
	const struct oschema_type *t = oschema_type_at(s, sub->type);
	struct oschema_write w = { .obj = body };
	struct ocheck c = { .s = s, .w = &w, .err = err, .kind = oschema_str(s, sub->kind) };

	for (unsigned int i = 0; i < t->n_fields; i++) {
		const struct oschema_field *f = &s->fields[t->fields + i];
		const char *field = oschema_field_name(s, f);

		if (strcmp(field, "metadata") != 0 && strcmp(field, "status") != 0)
			walk_field(&c, NULL, f, ojson_get(body, field), NULL);
	}
	for (unsigned int i = 0; i < t->n_rules; i++)
		(void)apply_rule(&c, NULL, &s->rules[t->rules + i], body, NULL);
	return finish(&c, c.kind, oschema_str(s, sub->group),
		      ojson_get_cstr(ojson_get(body, "metadata"), "name", ""));
}

bool oschema_spec_changed(const struct oschema *s, const struct oschema_resource *r,
			  const struct ojson *old, const struct ojson *obj)
{
	static const char *const skip[] = { "metadata", "status", "kind", "apiVersion", NULL };

	(void)s;
	if ((r->flags & OSCHEMA_S_GENERATION) == 0)
		return false;
	if (!ocheck_equal_but(old, obj, skip))
		return true;
	return (r->flags & OSCHEMA_S_GENERATION_META) != 0 &&
	       !ojson_equal(OJSON_AT(old, "metadata", "annotations"), OJSON_AT(obj, "metadata", "annotations"));
}
