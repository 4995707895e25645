/*
 * decode.c - walks a tree along its type: checks, drops, defaults, and writes the canonical form.
 */
#include "schema/decode.h"

#include <errno.h>
#include <orlop/inline/error.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/ocleanup.h"
#include "base/omem.h"
#include "schema/hooks.h"
#include "schema/internal.h"
#include "schema/scalar.h"

struct decoder {
	const struct oschema *s;
	struct oschema_texts *unknown;
	struct orlop_error *err;
	unsigned int	flags;
};

static int decode_value(struct decoder *d, const struct oschema_type *t, struct ojson *in,
			const struct opath *at, const struct oschema_field *f, struct ojson **ret);
static int decode_struct(struct decoder *d, const struct oschema_type *t, struct ojson *in,
			 const struct opath *at, struct ojson **ret);

/* ---- errors, in the words of encoding/json ---- */

/* "DeploymentSpec.spec.replicas": the innermost struct's name, then all field names from the root. */
static void put_go_field(struct decoder *d, const struct opath *at, struct obuf *out)
{
	const struct opath *names[64];
	size_t n = 0;
	const char *dot;

	for (const struct opath *p = at; p != NULL && n < 64; p = p->up)
		if (p->owner != NULL)
			names[n++] = p;
	if (n == 0)
		return;
	dot = strchr(oschema_str(d->s, names[0]->owner->name), '.');
	obuf_puts(out, dot != NULL ? dot + 1 : "");
	while (n-- > 0) {
		obuf_putc(out, '.');
		obuf_append(out, names[n]->name, names[n]->len);
	}
}

static int wrong_type(struct decoder *d, const struct opath *at, struct ojson *in, const char *go_type)
{
	struct obuf b = OBUF_INIT;

	if (d->err == NULL)
		return -EINVAL;
	obuf_puts(&b, "json: cannot unmarshal ");
	switch (ojson_type(in)) {
	case OJSON_STRING:
		obuf_puts(&b, "string");
		break;
	case OJSON_BOOL:
		obuf_puts(&b, "bool");
		break;
	case OJSON_ARRAY:
		obuf_puts(&b, "array");
		break;
	case OJSON_OBJECT:
		obuf_puts(&b, "object");
		break;
	default:
		obuf_puts(&b, "number");
		if (strcmp(go_type, "int32") == 0 || strcmp(go_type, "int64") == 0)
			obuf_putc(&b, ' '), (void)ojson_write(in, 0, &b);
	}
	obuf_puts(&b, " into Go ");
	if (at != NULL) {
		obuf_puts(&b, "struct field ");
		put_go_field(d, at, &b);
	} else {
		obuf_puts(&b, "value");
	}
	obuf_printf(&b, " of type %s", go_type);
	(void)orlop_fail(d->err, EINVAL, 400, "BadRequest", "%s", obuf_cstr(&b));
	obuf_done(&b);
	return -EINVAL;
}

static void unknown_field(struct decoder *d, const struct opath *at, const char *name)
{
	struct opath p = opath_child(at, name);
	struct obuf b = OBUF_INIT;

	if (d->unknown == NULL)
		return;
	opath_put(&p, &b);
	(void)oschema_texts_add(d->unknown, "unknown field \"%s\"", obuf_cstr(&b));
	obuf_done(&b);
}

/* ---- values ---- */

static int decode_list(struct decoder *d, const struct oschema_type *t, struct ojson *in,
		       const struct opath *at, struct ojson **ret)
{
	const struct oschema_type *elem = oschema_type_at(d->s, t->elem);
	cleanup_ojson struct ojson *out = ojson_new_array();
	size_t n = ojson_count(in);

	if (out == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct opath p = opath_index(at, i);
		struct ojson *v = NULL;
		int r = decode_value(d, elem, ojson_index(in, i), &p, NULL, &v);

		if (r == 0)
			r = ojson_insert(out, i, v);
		if (r != 0)
			return r;
	}
	*ret = TAKE(out);
	return 0;
}

struct member {
	const char	*key;
	size_t		len;
	struct ojson	*value;
};

static int member_cmp(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return ostr_cmp(x->key, x->len, y->key, y->len);
}

static int decode_map(struct decoder *d, const struct oschema_type *t, struct ojson *in,
		      const struct opath *at, struct ojson **ret)
{
	const struct oschema_type *elem = oschema_type_at(d->s, t->elem);
	cleanup_free struct member *m = omem_alloc_array(ojson_count(in), sizeof(*m));
	cleanup_ojson struct ojson *out = ojson_new_object();
	size_t n = 0;

	if (m == NULL || out == NULL)
		return -ENOMEM;
	OJSON_FOREACH(it, in)
		m[n++] = (struct member){ it.key, it.key_len, it.value };
	qsort(m, n, sizeof(*m), member_cmp);
	for (size_t i = 0; i < n; i++) {
		struct opath p = opath_key(at, m[i].key);
		struct ojson *v = NULL;
		int r = decode_value(d, elem, m[i].value, &p, NULL, &v);

		if (r == 0)
			r = ojson_put_n(out, m[i].key, m[i].len, v);
		if (r != 0)
			return r;
	}
	*ret = TAKE(out);
	return 0;
}

/* The zero value of a type as it is written where something must be: "", 0, {}, null for lists. */
static int zero_value(struct decoder *d, const struct oschema_type *t, const struct opath *at,
		      struct ojson **ret)
{
	struct ojson *v = NULL;

	switch (t->kind) {
	case OSCHEMA_STRING:
	case OSCHEMA_BYTES:
		v = ojson_new_cstr("");
		break;
	case OSCHEMA_QUANTITY:
		v = ojson_new_cstr("0");
		break;
	case OSCHEMA_DURATION:
		v = ojson_new_cstr("0s");
		break;
	case OSCHEMA_INT32:
	case OSCHEMA_INT64:
	case OSCHEMA_INT_OR_STRING:
		v = ojson_new_i64(0);
		break;
	case OSCHEMA_DOUBLE:
		v = ojson_new_i64(0);
		break;
	case OSCHEMA_BOOL:
		v = ojson_new_bool(false);
		break;
	case OSCHEMA_STRUCT:
		return decode_struct(d, t, NULL, at, ret);
	default:
		*ret = NULL;		/* null */
		return 0;
	}
	if (v == NULL)
		return -ENOMEM;
	*ret = v;
	return 0;
}

static const char *go_type_of(struct decoder *d, const struct oschema_type *t, const struct oschema_field *f)
{
	return f != NULL && f->alias != 0 ? oschema_str(d->s, f->alias) : oschema_go_name(d->s, t);
}

/* The union of a schema and something else, within the struct of schemas; the something else stays as it is. */
static int decode_schema_or(struct decoder *d, struct ojson *in, const struct opath *at, bool or_bool, struct ojson **ret)
{
	if (ojson_is(in, OJSON_OBJECT))
		return decode_struct(d, at->owner, in, at, ret);
	if (or_bool && !ojson_is(in, OJSON_BOOL))
		return orlop_fail(d->err, EINVAL, 400, "BadRequest", "boolean or JSON schema expected");
	*ret = ojson_ref(in);
	return 0;
}

/* @in may be NULL (null): the zero value then. */
static int decode_value(struct decoder *d, const struct oschema_type *t, struct ojson *in,
			const struct opath *at, const struct oschema_field *f, struct ojson **ret)
{
	if (in == NULL)
		return zero_value(d, t, at, ret);
	if (t->kind == OSCHEMA_JSON && f != NULL && f->alias != 0)
		return decode_schema_or(d, in, at, strstr(oschema_str(d->s, f->alias), "OrBool") != NULL, ret);
	switch (t->kind) {
	case OSCHEMA_STRUCT:
		if (!ojson_is(in, OJSON_OBJECT))
			return wrong_type(d, at, in, oschema_go_name(d->s, t));
		return decode_struct(d, t, in, at, ret);
	case OSCHEMA_LIST:
		if (!ojson_is(in, OJSON_ARRAY))
			return wrong_type(d, at, in, oschema_go_name(d->s, t));
		return decode_list(d, t, in, at, ret);
	case OSCHEMA_MAP:
		if (!ojson_is(in, OJSON_OBJECT))
			return wrong_type(d, at, in, go_type_of(d, t, f));
		return decode_map(d, t, in, at, ret);
	default: {
		char why[256] = "";
		int r = t->kind == OSCHEMA_QUANTITY && at != NULL && at->key ?
			oscalar_quantity(true, in, ret, why, sizeof(why)) :
			oscalar_decode(t->kind, in, ret, why, sizeof(why));

		if (r != -EINVAL)
			return r;
		if (*why != '\0')
			return orlop_fail(d->err, EINVAL, 400, "BadRequest", "%s", why);
		return wrong_type(d, at, in, t->kind == OSCHEMA_INT_OR_STRING ? "int32" :
				  t->kind == OSCHEMA_TIME || t->kind == OSCHEMA_MICROTIME ||
				  t->kind == OSCHEMA_DURATION ? "string" : go_type_of(d, t, f));
	}
	}
}

/* ---- structs ---- */

/* Value of `default=`: JSON text. Objects are decoded, so that they are canonical. */
static int default_value(struct decoder *d, const struct oschema_field *f, const struct oschema_type *t,
			 const struct opath *at, struct ojson **ret)
{
	const char *text = oschema_str(d->s, f->def);
	struct ojson *v;
	int r;

	if (*text == '"') {
		v = ojson_new_string(text + 1, strlen(text) - 2);
	} else if (*text == 't' || *text == 'f') {
		v = ojson_new_bool(*text == 't');
	} else if (*text == '-' || (*text >= '0' && *text <= '9')) {
		int64_t n = 0;

		(void)ostr_to_i64(text, strlen(text), &n);
		v = ojson_new_i64(n);
	} else {
		cleanup_ojson struct ojson *tree = NULL;

		r = ojson_parse(text, strlen(text), &tree, NULL);
		return r != 0 ? r : decode_value(d, t, tree, at, f, ret);
	}
	*ret = v;
	return v != NULL ? 0 : -ENOMEM;
}

/* Kinds that Go holds as structs: "omitempty" does not leave them out. */
static bool struct_like(unsigned int kind)
{
	return kind == OSCHEMA_STRUCT || kind == OSCHEMA_TIME || kind == OSCHEMA_MICROTIME ||
	       kind == OSCHEMA_QUANTITY || kind == OSCHEMA_INT_OR_STRING || kind == OSCHEMA_RAW ||
	       kind == OSCHEMA_DURATION;
}

/* One field of a struct: adds it to @out if it is to be written. */
static int decode_field(struct decoder *d, const struct oschema_type *owner, const struct oschema_field *f,
			struct ojson *from, const struct opath *at, struct ojson *out)
{
	const struct oschema_type *t = oschema_field_type(d->s, f);
	const char *name = oschema_field_name(d->s, f);
	struct opath p = { .up = at, .name = name, .len = f->name_len, .owner = owner };
	bool ptr = (f->flags & OSCHEMA_F_PTR) != 0;
	bool leave_out = (f->flags & OSCHEMA_F_OMITEMPTY) != 0 && (ptr || !struct_like(t->kind));
	cleanup_ojson struct ojson *v = NULL;
	int r = 0;

	if (from != NULL)
		r = decode_value(d, t, from, &p, f, &v);
	if (r == 0 && (d->flags & OSCHEMA_DECODE_DEFAULTS) != 0 && (f->flags & OSCHEMA_F_HAS_DEFAULT) != 0 &&
	    (v == NULL || (!ptr && ozero(v)))) {
		ojson_unref(v);
		v = NULL;
		r = default_value(d, f, t, &p, &v);
	}
	if (r != 0)
		return r;
	if (v != NULL && !ptr && ozero(v) && (leave_out || t->kind == OSCHEMA_LIST || t->kind == OSCHEMA_MAP)) {
		ojson_unref(v);		/* empty and missing lists are the same thing once stored */
		v = NULL;
	}
	if (v == NULL) {
		if (leave_out || (f->flags & OSCHEMA_F_OMITZERO) != 0)
			return 0;
		if ((f->flags & OSCHEMA_F_NOTNULL) != 0)
			r = (v = ojson_new_array()) != NULL ? 0 : -ENOMEM;
		else if (!ptr)
			r = zero_value(d, t, &p, &v);
	}
	return r != 0 ? r : ojson_put_n(out, name, f->name_len, TAKE(v));
}

/* Brings members that a hook has added into their places: moves all to the end, in order. */
int oschema_restore_order(const struct oschema *s, const struct oschema_type *t, struct ojson *obj)
{
	for (unsigned int i = 0; i < t->n_fields; i++) {
		const struct oschema_field *f = &s->fields[t->fields + i];
		const char *name = oschema_field_name(s, f);
		struct ojson *v = NULL;
		int r;

		if (!ojson_lookup_n(obj, name, f->name_len, &v))
			continue;
		v = ojson_ref(v);
		ojson_del_n(obj, name, f->name_len);
		r = ojson_put_n(obj, name, f->name_len, v);
		if (r != 0)
			return r;
	}
	return 0;
}

/* Names what of @in no field of @t takes. */
static void find_unknown(struct decoder *d, const struct oschema_type *t, struct ojson *in,
			 const struct opath *at)
{
	OJSON_FOREACH(it, in) {
		if ((t->flags & OSCHEMA_T_OBJECT) != 0 && (ostr_is(it.key, it.key_len, "kind") ||
							   ostr_is(it.key, it.key_len, "apiVersion")))
			continue;
		if (oschema_field_find(d->s, t, it.key, it.key_len) == NULL)
			unknown_field(d, at, it.key);
	}
}

/* kind or apiVersion of an object. */
static int decode_type_meta(struct decoder *d, const struct oschema_type *t, struct ojson *in,
			    const char *name, const struct opath *at, struct ojson *out, size_t *taken)
{
	struct opath p = { .up = at, .name = name, .len = strlen(name), .owner = t };
	struct ojson *v = NULL;

	if (!ojson_lookup(in, name, &v))
		return 0;
	++*taken;
	if (v == NULL)
		return 0;
	if (!ojson_is(v, OJSON_STRING))
		return wrong_type(d, &p, v, "string");
	return otext(v).len == 0 ? 0 : ojson_set(out, name, ojson_ref(v));
}

static int decode_struct(struct decoder *d, const struct oschema_type *t, struct ojson *in,
			 const struct opath *at, struct ojson **ret)
{
	struct ojson *out = ojson_new_object();
	size_t taken = 0;
	int r = out == NULL ? -ENOMEM : 0;

	if (r == 0 && (t->flags & OSCHEMA_T_OBJECT) != 0 && in != NULL) {
		r = decode_type_meta(d, t, in, "kind", at, out, &taken);
		if (r == 0)
			r = decode_type_meta(d, t, in, "apiVersion", at, out, &taken);
	}
	for (unsigned int i = 0; i < t->n_fields && r == 0; i++) {
		const struct oschema_field *f = &d->s->fields[t->fields + i];
		struct ojson *v = NULL;

		if (in != NULL && ojson_lookup_n(in, oschema_field_name(d->s, f), f->name_len, &v))
			taken++;
		r = decode_field(d, t, f, v, at, out);
	}
	if (r == 0 && d->unknown != NULL && in != NULL && taken != ojson_count(in))
		find_unknown(d, t, in, at);
	/* a struct that is only there because it is always written has no defaults of its own */
	if (r == 0 && t->defaulter != 0 && (d->flags & OSCHEMA_DECODE_DEFAULTS) != 0) {
		r = odefaults_hook(t->defaulter)(d->s, out);
		if (r > 0)
			r = oschema_restore_order(d->s, t, out);
	}
	if (r != 0) {
		ojson_unref(out);
		return r;
	}
	*ret = out;
	return 0;
}

int oschema_decode(const struct oschema *s, const struct oschema_type *t, struct ojson *in,
		   unsigned int flags, struct oschema_texts *unknown, struct ojson **ret,
		   struct orlop_error *err)
{
	struct decoder d = { s, unknown, err, flags };
	struct ojson *out = NULL;
	int r;

	if (!ojson_is(in, OJSON_OBJECT))
		return wrong_type(&d, NULL, in, oschema_go_name(s, t));
	r = decode_struct(&d, t, in, NULL, &out);
	if (r == -ENOMEM)
		return orlop_fail(err, ENOMEM, 500, "InternalError", "out of memory");
	if (r != 0)
		return r;
	*ret = out;
	return 0;
}

int oschema_decode_wrap(const struct oschema *s, const struct oschema_resource *r, int status,
			struct orlop_error *err)
{
	if (status == -EINVAL)
		return orlop_wrap(err, status, "%s in version \"%s\" cannot be handled as a %s",
				  oschema_str(s, r->kind), oschema_str(s, r->version), oschema_str(s, r->kind));
	return status;
}

/* ---- lists of findings ---- */

int oschema_texts_add(struct oschema_texts *t, const char *fmt, ...)
{
	struct obuf b = OBUF_INIT;
	va_list ap;
	char *text;

	if (t->n >= OSCHEMA_TEXTS_MAX)
		return 0;
	if (t->n == t->cap) {
		uint32_t cap = t->cap != 0 ? t->cap * 2 : 4;
		char **v = omem_realloc(t->v, cap * sizeof(*v));

		if (v == NULL)
			return t->err = -ENOMEM;
		t->v = v;
		t->cap = cap;
	}
	va_start(ap, fmt);
	obuf_vprintf(&b, fmt, ap);
	va_end(ap);
	text = obuf_steal(&b, NULL);
	if (text == NULL)
		return t->err = -ENOMEM;
	t->v[t->n++] = text;
	return 0;
}

void oschema_texts_done(struct oschema_texts *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		omem_free(t->v[i]);
	omem_free(t->v);
	memset(t, 0, sizeof(*t));
}
