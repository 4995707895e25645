/*
 * From text to tree. Recursion is bounded by the depth limit; the grammar is check.c's, in the same
 * order of tests, so that both give the same messages.
 */
#include "json/ojson.h"

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ostr.h"
#include "base/outf8.h"
#include "json/tree.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	const char		*p;
	size_t			len;
	size_t			pos;
	unsigned int		depth;
	struct obuf		text;		/* one unescaped string or key at a time */
	struct obuf		path;		/* for duplicates only */
	ojson_duplicate_fn	dup_fn;
	void			*dup_arg;
	struct oscan_error	*err;
};

static int parse_value(struct parser *s, struct ojson **ret);

static int fail_at(struct parser *s, size_t at, const char *context)
{
	return oscan_fail(s->p, s->len, at, context, s->err);
}

static void skip_space(struct parser *s)
{
	s->pos = oscan_space(s->p, s->len, s->pos);
}

/* The string at pos: its content, in the text itself or unescaped into s->text. */
static int parse_string(struct parser *s, const char **ret_p, size_t *ret_len)
{
	size_t start = s->pos;
	struct orlop_bytes whole;
	bool escaped;
	int r = oscan_check_string(s->p, s->len, &s->pos, &escaped, s->err);

	if (r < 0)
		return r;
	whole = (struct orlop_bytes){ s->p + start, s->pos - start };
	if (!escaped && outf8_valid(whole.p + 1, whole.len - 2)) {
		*ret_p = whole.p + 1;
		*ret_len = whole.len - 2;
		return 0;
	}
	obuf_reset(&s->text);
	r = oscan_unquote(whole, &s->text);
	*ret_p = obuf_cstr(&s->text);
	*ret_len = s->text.len;
	return r;
}

static int parse_number(struct parser *s, struct ojson **ret)
{
	size_t start = s->pos;
	cleanup_free char *text = NULL;
	bool integer;
	int64_t i;
	double d;
	int r = oscan_check_number(s->p, s->len, &s->pos, &integer, s->err);

	if (r < 0)
		return r;
	if (integer && ostr_to_i64(s->p + start, s->pos - start, &i) == 0) {
		*ret = ojson_new_i64(i);
		return *ret != NULL ? 0 : -ENOMEM;
	}
	text = omem_strndup(s->p + start, s->pos - start);
	if (text == NULL)
		return -ENOMEM;
	/* the process never calls setlocale(), so the decimal point is a point */
	d = strtod(text, NULL);
	if (!isfinite(d)) {
		if (s->err != NULL) {
			s->err->offset = start;
			(void)snprintf(s->err->msg, sizeof(s->err->msg),
				       "cannot unmarshal number %.24s into Go value of type float64", text);
		}
		return -ERANGE;
	}
	*ret = ojson_new_double_text(d, text);
	return *ret != NULL ? 0 : -ENOMEM;
}

static int parse_array(struct parser *s, struct ojson **ret)
{
	cleanup_ojson struct ojson *arr = ojson_new_array();
	size_t path_len = s->path.len;
	struct ojson *v;
	int r;

	if (arr == NULL)
		return -ENOMEM;
	s->pos++;
	skip_space(s);
	if (s->pos < s->len && s->p[s->pos] == ']') {
		s->pos++;
		*ret = TAKE(arr);
		return 0;
	}
	for (size_t i = 0;; i++) {
		if (s->dup_fn != NULL)
			obuf_printf(&s->path, "[%zu]", i);
		r = parse_value(s, &v);
		obuf_truncate(&s->path, path_len);
		if (r < 0)
			return r;
		r = v != NULL ? ojson_append(arr, v) : ojson_append_null(arr);
		if (r < 0)
			return r;
		skip_space(s);
		if (s->pos < s->len && s->p[s->pos] == ',') {
			s->pos++;
			continue;
		}
		if (s->pos >= s->len || s->p[s->pos] != ']')
			return fail_at(s, s->pos, "after array element");
		s->pos++;
		*ret = TAKE(arr);
		return 0;
	}
}

static void report_duplicate(struct parser *s)
{
	size_t skip = s->path.len > 0 && s->path.data[0] == '.';

	if (s->dup_fn != NULL && obuf_err(&s->path) == 0)
		s->dup_fn(s->dup_arg, s->path.data + skip, s->path.len - skip);
}

/* key : value into @obj; pos is at the key's quote. */
static int parse_member(struct parser *s, struct ojson *obj)
{
	struct lh_table *table = json_object_get_object(ojson_raw(obj));
	size_t path_len = s->path.len;
	size_t key_at = s->pos;
	cleanup_free char *copy = NULL;
	struct ojson *v;
	struct lh_entry *e;
	const char *key;
	size_t len;
	unsigned long h;
	int r;

	r = parse_string(s, &key, &len);
	if (r < 0)
		return r;
	if (memchr(key, '\0', len) != NULL)
		return fail_at(s, key_at, "beginning an object key that contains NUL");
	copy = omem_strndup(key, len);
	if (copy == NULL)
		return -ENOMEM;
	if (s->dup_fn != NULL) {
		obuf_putc(&s->path, '.');
		obuf_append(&s->path, key, len);
	}
	skip_space(s);
	if (s->pos >= s->len || s->p[s->pos] != ':')
		return fail_at(s, s->pos, "after object key");
	s->pos++;
	r = parse_value(s, &v);
	if (r < 0)
		return r;
	h = lh_get_hash(table, copy);
	e = lh_table_lookup_entry_w_hash(table, copy, h);
	if (e != NULL) {
		report_duplicate(s);
		ojson_unref(lh_entry_v(e));
		lh_entry_set_val(e, v);
	} else if (lh_table_insert_w_hash(table, copy, v, h, 0) < 0) {
		ojson_unref(v);
		return -ENOMEM;
	} else {
		TAKE(copy);	/* json-c frees it with the table, by free() */
	}
	obuf_truncate(&s->path, path_len);
	return 0;
}

static int parse_object(struct parser *s, struct ojson **ret)
{
	cleanup_ojson struct ojson *obj = ojson_new_object();
	bool first = true;
	int r;

	if (obj == NULL)
		return -ENOMEM;
	s->pos++;
	for (;; first = false) {
		skip_space(s);
		if (first && s->pos < s->len && s->p[s->pos] == '}')
			break;
		if (s->pos >= s->len || s->p[s->pos] != '"')
			return fail_at(s, s->pos, "looking for beginning of object key string");
		r = parse_member(s, obj);
		if (r < 0)
			return r;
		skip_space(s);
		if (s->pos < s->len && s->p[s->pos] == ',') {
			s->pos++;
			continue;
		}
		if (s->pos >= s->len || s->p[s->pos] != '}')
			return fail_at(s, s->pos, "after object key:value pair");
		break;
	}
	s->pos++;
	*ret = TAKE(obj);
	return 0;
}

static int parse_nested(struct parser *s, struct ojson **ret)
{
	int r;

	if (s->depth == OSCAN_DEPTH_MAX) {
		if (s->err != NULL) {
			s->err->offset = s->pos;
			(void)snprintf(s->err->msg, sizeof(s->err->msg), "exceeded max depth");
		}
		return -ELOOP;
	}
	s->depth++;
	r = s->p[s->pos] == '{' ? parse_object(s, ret) : parse_array(s, ret);
	s->depth--;
	return r;
}

static int parse_value(struct parser *s, struct ojson **ret)
{
	const char *p;
	size_t len;
	char c;
	int r;

	*ret = NULL;
	skip_space(s);
	if (s->pos >= s->len)
		return fail_at(s, s->pos, "");
	c = s->p[s->pos];
	switch (c) {
	case '{':
	case '[':
		return parse_nested(s, ret);
	case '"':
		r = parse_string(s, &p, &len);
		if (r < 0)
			return r;
		*ret = ojson_new_string(p, len);
		return *ret != NULL ? 0 : -ENOMEM;
	case 't':
	case 'f':
		r = oscan_check_literal(s->p, s->len, &s->pos, s->err);
		if (r < 0)
			return r;
		*ret = ojson_new_bool(c == 't');
		return *ret != NULL ? 0 : -ENOMEM;
	case 'n':
		return oscan_check_literal(s->p, s->len, &s->pos, s->err);
	default:
		if (c == '-' || (c >= '0' && c <= '9'))
			return parse_number(s, ret);
		return fail_at(s, s->pos, "looking for beginning of value");
	}
}

int ojson_parse_duplicates(const char *p, size_t len, ojson_duplicate_fn fn, void *arg,
			   struct ojson **ret, struct oscan_error *err)
{
	struct parser s = { .p = p, .len = len, .dup_fn = fn, .dup_arg = arg, .err = err };
	cleanup_ojson struct ojson *v = NULL;
	int r;

	if (err != NULL)
		*err = (struct oscan_error){ 0, "" };
	r = parse_value(&s, &v);
	if (r == 0) {
		skip_space(&s);
		if (s.pos < len)
			r = fail_at(&s, s.pos, "after top-level value");
	}
	if (r == 0 && obuf_err(&s.path) < 0)
		r = obuf_err(&s.path);
	obuf_done(&s.text);
	obuf_done(&s.path);
	if (r < 0)
		return r;
	*ret = TAKE(v);
	return 0;
}

int ojson_parse(const char *p, size_t len, struct ojson **ret, struct oscan_error *err)
{
	return ojson_parse_duplicates(p, len, NULL, NULL, ret, err);
}

int ojson_parse_bytes(struct orlop_bytes text, struct ojson **ret, struct oscan_error *err)
{
	return ojson_parse(text.p, text.len, ret, err);
}

int ojson_parse_members(struct orlop_bytes members, struct ojson **ret, struct oscan_error *err)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	obuf_putc(&b, '{');
	obuf_append(&b, members.p, members.len);
	obuf_putc(&b, '}');
	if (obuf_err(&b) < 0)
		return obuf_err(&b);
	return ojson_parse(b.data, b.len, ret, err);
}
