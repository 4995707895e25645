/* Making, writing and matching label selectors; the text's grammar is in parse.c. */
#include "selector/oselector.h"

#include "base/ocleanup.h"
#include "base/ostr.h"
#include "selector/internal.h"

#include <errno.h>
#include <orlop/inline/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct oselector *oselector_new(void)
{
	struct oselector *s = OMEM_NEW(struct oselector);

	if (s != NULL)
		oarena_init(&s->mem, OSELECTOR_MEM_MAX);
	return s;
}

void oselector_free(struct oselector *s)
{
	if (s == NULL)
		return;
	omem_free(s->reqs);
	oarena_done(&s->mem);
	omem_free(s);
}

/*
 * Field errors name the requirement's parts: key, values, values[i][key]. The message buffer is
 * fixed, so long input is cut, never the reason's beginning.
 */
static int invalid(struct orlop_error *err, const char *field, struct orlop_bytes value,
		   const char *why)
{
	cleanup_obuf struct obuf quoted = OBUF_INIT;

	obuf_put_quoted(&quoted, value.p, value.len < 100 ? value.len : 100);
	return orlop_fail(err, EINVAL, 400, "BadRequest", "%s: Invalid value: %s: %s", field,
			  obuf_cstr(&quoted), why);
}

int oselector_check_key(struct orlop_bytes key, const char *field, struct orlop_error *err)
{
	cleanup_obuf struct obuf why = OBUF_INIT;

	if (oselector_key_valid(key.p, key.len, &why))
		return 0;
	return invalid(err, field, key, obuf_cstr(&why));
}

static int check_values(const struct oselector_requirement *r, struct orlop_error *err)
{
	char field[120];

	for (size_t i = 0; i < r->n_values; i++) {
		cleanup_obuf struct obuf why = OBUF_INIT;
		int64_t number;

		if ((r->op == OSELECTOR_GREATER || r->op == OSELECTOR_LESS) &&
		    ostr_to_i64(r->values[i].p, r->values[i].len, &number) < 0) {
			(void)snprintf(field, sizeof(field), "values[%zu]", i);
			return invalid(err, field, r->values[i],
				       "for 'Gt', 'Lt' operators, the value must be an integer");
		}
		if (oselector_value_valid(r->values[i].p, r->values[i].len, &why))
			continue;
		(void)snprintf(field, sizeof(field), "values[%zu][%.*s]", i, (int)r->key.len, r->key.p);
		return invalid(err, field, r->values[i], obuf_cstr(&why));
	}
	return 0;
}

static int check_count(const struct oselector_requirement *r, struct orlop_error *err)
{
	const char *why = NULL;

	switch (r->op) {
	case OSELECTOR_IN:
	case OSELECTOR_NOT_IN:
		if (r->n_values == 0)
			why = "for 'in', 'notin' operators, values set can't be empty";
		break;
	case OSELECTOR_EXISTS:
	case OSELECTOR_NOT_EXISTS:
		if (r->n_values != 0)
			why = "values set must be empty for exists and does not exist";
		break;
	case OSELECTOR_GREATER:
	case OSELECTOR_LESS:
		if (r->n_values != 1)
			why = "for 'Gt', 'Lt' operators, exactly one value is required";
		break;
	default:
		if (r->n_values != 1)
			why = "exact-match compatibility requires one single value";
		break;
	}
	if (why == NULL)
		return 0;
	return orlop_fail(err, EINVAL, 400, "BadRequest", "values: Invalid value: []: %s", why);
}

static int copy_bytes(struct oselector *s, struct orlop_bytes from, struct orlop_bytes *ret)
{
	ret->p = oarena_strndup(&s->mem, from.p, from.len);
	ret->len = from.len;
	return ret->p != NULL ? 0 : -ENOMEM;
}

int oselector_add(struct oselector *s, struct orlop_bytes key, enum oselector_op op,
		  const struct orlop_bytes *values, size_t n, bool check, struct orlop_error *err)
{
	struct oselector_requirement r = { .op = op };
	struct oselector_requirement *reqs;
	int e = check ? oselector_check_key(key, "key", err) : 0;

	if (e < 0)
		return e;
	if (copy_bytes(s, key, &r.key) < 0)
		return -ENOMEM;
	r.values = oarena_alloc(&s->mem, (n + 1) * sizeof(*r.values));
	if (r.values == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (copy_bytes(s, values[i], &r.values[i]) < 0)
			return -ENOMEM;
	qsort(r.values, n, sizeof(*r.values), oselector_by_bytes);
	for (size_t i = 0; i < n; i++)
		if (r.n_values == 0 || oselector_by_bytes(&r.values[r.n_values - 1], &r.values[i]) != 0)
			r.values[r.n_values++] = r.values[i];
	if (check) {
		e = check_count(&r, err);
		if (e == 0)
			e = check_values(&r, err);
		if (e < 0)
			return e;
	}
	/* full at each power of two */
	if ((s->n_reqs & (s->n_reqs - 1)) == 0) {
		reqs = omem_realloc_array(s->reqs, s->n_reqs ? s->n_reqs * 2 : 1, sizeof(*reqs));
		if (reqs == NULL)
			return -ENOMEM;
		s->reqs = reqs;
	}
	s->reqs[s->n_reqs++] = r;
	return 0;
}

/* In one array: what is equal is told apart by where it stood, which the sorted array does not say. */
struct placed {
	struct oselector_requirement r;
	size_t		at;
};

static int by_key_and_place(const void *a, const void *b)
{
	const struct placed *x = a;
	const struct placed *y = b;
	int c = oselector_by_bytes(&x->r.key, &y->r.key);

	return c ? c : x->at < y->at ? -1 : 1;
}

/* Those that somebody has made long on purpose: 3 MB of JSON are 200,000 of them. False: no memory. */
static bool sort_many(struct oselector *s)
{
	struct placed *v = omem_alloc_array(s->n_reqs, sizeof(*v));

	if (v == NULL)
		return false;
	for (size_t i = 0; i < s->n_reqs; i++)
		v[i] = (struct placed){ s->reqs[i], i };
	qsort(v, s->n_reqs, sizeof(*v), by_key_and_place);
	for (size_t i = 0; i < s->n_reqs; i++)
		s->reqs[i] = v[i].r;
	omem_free(v);
	return true;
}

/* By key; equal keys stay in order. Insertion, since selectors are short and arrive nearly sorted. */
void oselector_sort(struct oselector *s)
{
	if (s->n_reqs > 64 && sort_many(s))
		return;
	for (size_t i = 1; i < s->n_reqs; i++) {
		struct oselector_requirement r = s->reqs[i];
		size_t k = i;

		for (; k > 0 && oselector_by_bytes(&s->reqs[k - 1].key, &r.key) > 0; k--)
			s->reqs[k] = s->reqs[k - 1];
		s->reqs[k] = r;
	}
}

static int add_map(struct oselector *s, const struct ojson *map, bool check, struct orlop_error *err)
{
	OJSON_FOREACH(it, map) {
		struct orlop_bytes key = { it.key, it.key_len };
		struct orlop_bytes value = ojson_bytes(it.value);
		int r;

		if (value.p == NULL)
			return orlop_fail(err, EINVAL, 400, "BadRequest",
					  "label %.63s: the value must be a string", it.key);
		r = oselector_add(s, key, OSELECTOR_EQUALS, &value, 1, check, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_expression(struct oselector *s, const struct ojson *e, struct orlop_error *err)
{
	static const struct {
		const char		*name;
		enum oselector_op	op;
	} ops[] = {
		{ "In", OSELECTOR_IN },
		{ "NotIn", OSELECTOR_NOT_IN },
		{ "Exists", OSELECTOR_EXISTS },
		{ "DoesNotExist", OSELECTOR_NOT_EXISTS },
	};
	struct orlop_bytes name = ojson_get_bytes(e, "operator");
	const struct ojson *list = ojson_get_array(e, "values");
	size_t n = ojson_count(list);
	cleanup_free struct orlop_bytes *values = omem_zalloc_array(n, sizeof(*values));
	cleanup_obuf struct obuf quoted = OBUF_INIT;

	if (values == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		values[i] = ojson_bytes(ojson_index(list, i));
		if (values[i].p == NULL)
			return orlop_fail(err, EINVAL, 400, "BadRequest",
					  "values[%zu]: must be a string", i);
	}
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (ostr_is(name.p, name.len, ops[i].name))
			return oselector_add(s, ojson_get_bytes(e, "key"), ops[i].op, values, n, true, err);
	obuf_put_quoted(&quoted, name.p, name.len);
	return orlop_fail(err, EINVAL, 400, "BadRequest", "%.100s is not a valid label selector operator",
			  obuf_cstr(&quoted));
}

int oselector_from_json(const struct ojson *selector, struct oselector **ret,
			struct orlop_error *err)
{
	cleanup_oselector struct oselector *s = oselector_new();
	int r;

	if (s == NULL)
		return -ENOMEM;
	s->nothing = selector == NULL;
	if (!ojson_is(selector, OJSON_OBJECT) && selector != NULL)
		return orlop_fail(err, EINVAL, 400, "BadRequest", "a label selector must be an object");
	r = add_map(s, ojson_get(selector, "matchLabels"), true, err);
	if (r < 0)
		return r;
	OJSON_FOREACH_ELEM(i, e, ojson_get_array(selector, "matchExpressions")) {
		r = add_expression(s, e, err);
		if (r < 0)
			return r;
	}
	oselector_sort(s);
	*ret = TAKE(s);
	return 0;
}

int oselector_from_map(const struct ojson *map, struct oselector **ret, struct orlop_error *err)
{
	cleanup_oselector struct oselector *s = oselector_new();
	int r;

	if (s == NULL)
		return -ENOMEM;
	r = add_map(s, map, false, err);
	if (r < 0)
		return r;
	oselector_sort(s);
	*ret = TAKE(s);
	return 0;
}

bool oselector_is_everything(const struct oselector *s)
{
	return s->n_reqs == 0 && !s->nothing;
}

static const char *op_text(enum oselector_op op)
{
	switch (op) {
	case OSELECTOR_EQUALS:
		return "=";
	case OSELECTOR_DOUBLE_EQUALS:
		return "==";
	case OSELECTOR_NOT_EQUALS:
		return "!=";
	case OSELECTOR_IN:
		return " in ";
	case OSELECTOR_NOT_IN:
		return " notin ";
	case OSELECTOR_GREATER:
		return ">";
	case OSELECTOR_LESS:
		return "<";
	default:
		return "";
	}
}

void oselector_write(const struct oselector *s, struct obuf *b)
{
	for (size_t i = 0; i < s->n_reqs; i++) {
		const struct oselector_requirement *r = &s->reqs[i];
		bool set = r->op == OSELECTOR_IN || r->op == OSELECTOR_NOT_IN;

		if (i > 0)
			obuf_putc(b, ',');
		if (r->op == OSELECTOR_NOT_EXISTS)
			obuf_putc(b, '!');
		obuf_append(b, r->key.p, r->key.len);
		obuf_puts(b, op_text(r->op));
		if (set)
			obuf_putc(b, '(');
		for (size_t k = 0; k < r->n_values; k++) {
			if (k > 0)
				obuf_putc(b, ',');
			obuf_append(b, r->values[k].p, r->values[k].len);
		}
		if (set)
			obuf_putc(b, ')');
	}
}

static bool has_value(const struct oselector_requirement *r, struct orlop_bytes v)
{
	return bsearch(&v, r->values, r->n_values, sizeof(v), oselector_by_bytes) != NULL;
}

static bool requirement_match(const struct oselector_requirement *r, bool has, struct orlop_bytes v)
{
	int64_t label;
	int64_t bound;

	switch (r->op) {
	case OSELECTOR_EQUALS:
	case OSELECTOR_DOUBLE_EQUALS:
	case OSELECTOR_IN:
		return has && has_value(r, v);
	case OSELECTOR_NOT_EQUALS:
	case OSELECTOR_NOT_IN:
		return !has || !has_value(r, v);
	case OSELECTOR_EXISTS:
		return has;
	case OSELECTOR_NOT_EXISTS:
		return !has;
	case OSELECTOR_GREATER:
	case OSELECTOR_LESS:
		if (!has || ostr_to_i64(v.p, v.len, &label) < 0 ||
		    ostr_to_i64(r->values[0].p, r->values[0].len, &bound) < 0)
			return false;
		return r->op == OSELECTOR_GREATER ? label > bound : label < bound;
	}
	return false;
}

bool oselector_match(const struct oselector *s, oselector_lookup_fn lookup, const void *arg)
{
	if (s->nothing)
		return false;
	for (size_t i = 0; i < s->n_reqs; i++) {
		struct orlop_bytes v = { NULL, 0 };
		bool has = lookup(arg, s->reqs[i].key, &v);

		if (!requirement_match(&s->reqs[i], has, v))
			return false;
	}
	return true;
}

static bool lookup_map(const void *arg, struct orlop_bytes key, struct orlop_bytes *ret_value)
{
	struct ojson *v;

	if (!ojson_lookup_n(arg, key.p, key.len, &v))
		return false;
	*ret_value = ojson_bytes(v);
	return true;
}

bool oselector_match_map(const struct oselector *s, const struct ojson *labels)
{
	return oselector_match(s, lookup_map, labels);
}

static bool lookup_bytes(const void *arg, struct orlop_bytes key, struct orlop_bytes *ret_value)
{
	const struct orlop_bytes *labels = arg;
	struct orlop_bytes v;

	if (!oscan_get_n(*labels, key.p, key.len, &v))
		return false;
	/* a value with escapes is no valid label value and equals none that a selector can ask for */
	if (!oscan_plain(v, ret_value))
		*ret_value = (struct orlop_bytes){ "\\", 1 };
	return true;
}

bool oselector_match_bytes(const struct oselector *s, struct orlop_bytes labels)
{
	return oselector_match(s, lookup_bytes, &labels);
}

static bool lookup_object(const void *arg, struct orlop_bytes key, struct orlop_bytes *ret_value)
{
	const struct orlop_object *o = arg;
	uint32_t low = 0;
	uint32_t high = o->n_index;

	/* labels are index 0 and sorted by key: they come first */
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct orlop_index_entry *e = &o->index[mid];
		int c = e->index != ORLOP_INDEX_LABELS ? 1 :
							ostr_cmp(e->key.p, e->key.len, key.p, key.len);

		if (c == 0) {
			*ret_value = e->value;
			return true;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

bool oselector_match_object(const struct oselector *s, const struct orlop_object *o)
{
	return oselector_match(s, lookup_object, o);
}
