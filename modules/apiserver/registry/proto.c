/*
 * proto.c - JSON of the API as messages of protobuf, by the numbers of the schema. Pure.
 *
 * The text has been checked or made by us; what does not fit its type is refused, never read beyond.
 */
#include "proto.h"
#include "proto-wire.h"

#include "base/oenc.h"
#include "base/otime.h"
#include "json/oscan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH	160

struct enc {
	const struct oschema *s;
	const char	*p;
	const char	*end;
	struct obuf	*out;
	const struct oschema_type *props;	/* JSONSchemaProps, once we are in one */
	int		depth;
};

/* ---- the text ---- */

static void space(struct enc *e)
{
	while (e->p < e->end && (*e->p == ' ' || *e->p == '\n' || *e->p == '\t' || *e->p == '\r'))
		e->p++;
}

static bool take(struct enc *e, char c)
{
	space(e);
	if (e->p == e->end || *e->p != c)
		return false;
	e->p++;
	return true;
}

/* The next value as bytes. */
static int value_bytes(struct enc *e, struct orlop_bytes *ret)
{
	size_t n;

	space(e);
	n = e->p < e->end ? oscan_skip(e->p, (size_t)(e->end - e->p), 0) : SIZE_MAX;
	if (n == SIZE_MAX || n == 0 || n > (size_t)(e->end - e->p))
		return -EINVAL;
	*ret = (struct orlop_bytes){ e->p, n };
	e->p += n;
	return 0;
}

/* A string with its quotes; @plain: nothing in it is escaped. */
static int string_bytes(struct enc *e, struct orlop_bytes *ret, bool *plain)
{
	const char *q;

	space(e);
	if (e->p == e->end || *e->p != '"')
		return -EINVAL;
	q = memchr(e->p + 1, '"', (size_t)(e->end - e->p - 1));
	*plain = q && !memchr(e->p + 1, '\\', (size_t)(q - e->p - 1));
	if (!*plain)
		return value_bytes(e, ret);
	*ret = (struct orlop_bytes){ e->p, (size_t)(q - e->p) + 1 };
	e->p = q + 1;
	return 0;
}

/* Field @num: the string that comes next. */
static int put_string(struct enc *e, unsigned int num)
{
	struct orlop_bytes v;
	bool plain;
	size_t at;
	int r = string_bytes(e, &v, &plain);

	if (r < 0)
		return r;
	if (plain) {
		reg_proto_bytes(e->out, num, v.p + 1, v.len - 2);
		return 0;
	}
	at = begin(e->out, num);
	r = oscan_unquote(v, e->out);
	end(e->out, at);
	return r;
}

static bool is_null(struct enc *e)
{
	space(e);
	if (e->end - e->p < 4 || memcmp(e->p, "null", 4) != 0)
		return false;
	e->p += 4;
	return true;
}

/* ---- values ---- */

static int message(struct enc *e, const struct oschema_type *t);
static int members(struct enc *e, const struct oschema_type *t, char close);

static int put_message(struct enc *e, const struct oschema_type *t, unsigned int num)
{
	size_t at = begin(e->out, num);
	int r = message(e, t);

	end(e->out, at);
	return r;
}

static int put_base64(struct enc *e, unsigned int num)
{
	struct orlop_bytes v;
	bool plain;
	size_t at;
	char *to;
	long n;
	int r = string_bytes(e, &v, &plain);

	if (r < 0 || !plain)
		return r < 0 ? r : -EINVAL;
	at = begin(e->out, num);
	to = obuf_reserve(e->out, OBASE64_DECODED(v.len) + 1);
	if (!to)
		return -ENOMEM;
	n = obase64_decode(OBASE64_STD, v.p + 1, v.len - 2, to, NULL);
	if (n < 0)
		return -EINVAL;
	obuf_advance(e->out, (size_t)n);
	end(e->out, at);
	return 0;
}

/* The text between the quotes of what comes next, which needs no unescaping. */
static int plain_text(struct enc *e, struct orlop_bytes *ret)
{
	bool plain;
	int r = string_bytes(e, ret, &plain);

	if (r < 0 || !plain)
		return r < 0 ? r : -EINVAL;
	ret->p++;
	ret->len -= 2;
	return 0;
}

static int put_time(struct enc *e, unsigned int num)
{
	struct orlop_bytes v;
	int64_t sec;
	int32_t ns;
	size_t at;
	int r = plain_text(e, &v);

	if (r < 0 || otime_parse_wide(v.p, v.len, &sec, &ns) < 0)
		return -EINVAL;
	at = begin(e->out, num);
	reg_proto_varint(e->out, 1, (uint64_t)sec);
	reg_proto_varint(e->out, 2, (uint64_t)ns);
	end(e->out, at);
	return 0;
}

static int put_duration(struct enc *e, unsigned int num)
{
	struct orlop_bytes v;
	int64_t ns;
	size_t at;
	int r = plain_text(e, &v);

	if (r < 0 || otime_duration_parse(v.p, v.len, &ns) < 0)
		return -EINVAL;
	at = begin(e->out, num);
	reg_proto_varint(e->out, 1, (uint64_t)ns);
	end(e->out, at);
	return 0;
}

static int put_number(struct enc *e, unsigned int num)
{
	struct orlop_bytes v;
	int r = value_bytes(e, &v);

	if (r < 0 || oscan_type(v) != OSCAN_NUMBER)
		return -EINVAL;
	reg_proto_varint(e->out, num, (uint64_t)oscan_i64(v, 0));
	return 0;
}

static int put_bool(struct enc *e, unsigned int num)
{
	struct orlop_bytes v;
	int r = value_bytes(e, &v);

	if (r < 0 || oscan_type(v) != OSCAN_BOOL)
		return -EINVAL;
	reg_proto_varint(e->out, num, oscan_bool(v, false));
	return 0;
}

static int put_double(struct enc *e, unsigned int num)
{
	char text[64];
	struct orlop_bytes v;
	double d;
	int r = value_bytes(e, &v);

	if (r < 0 || oscan_type(v) != OSCAN_NUMBER || v.len >= sizeof(text))
		return -EINVAL;
	memcpy(text, v.p, v.len);
	text[v.len] = '\0';
	d = strtod(text, NULL);
	put_tag(e->out, num, 1);
	obuf_append(e->out, &d, sizeof(d));
	return 0;
}

static int put_int_or_string(struct enc *e, unsigned int num)
{
	size_t at = begin(e->out, num);
	bool text;
	int r;

	space(e);
	text = e->p < e->end && *e->p == '"';
	reg_proto_varint(e->out, 1, text);
	if (text) {
		reg_proto_varint(e->out, 2, 0);
		r = put_string(e, 3);
	} else {
		r = put_number(e, 2);
		reg_proto_bytes(e->out, 3, "", 0);
	}
	end(e->out, at);
	return r;
}

/* Any JSON as it stands, in a message of its own. */
static int put_raw(struct enc *e, unsigned int num)
{
	struct orlop_bytes v;
	size_t at;
	int r = value_bytes(e, &v);

	if (r < 0)
		return r;
	at = begin(e->out, num);
	reg_proto_bytes(e->out, 1, v.p, v.len);
	end(e->out, at);
	return 0;
}

static int put_value(struct enc *e, const struct oschema_type *t, unsigned int num);

/* Each element as field @num; null is the zero of its type. */
static int put_list(struct enc *e, const struct oschema_type *elem, unsigned int num)
{
	if (!take(e, '['))
		return -EINVAL;
	if (take(e, ']'))
		return 0;
	do {
		int r = 0;

		if (!is_null(e))
			r = put_value(e, elem, num);
		else if (elem->kind == OSCHEMA_INT32 || elem->kind == OSCHEMA_INT64 || elem->kind == OSCHEMA_BOOL)
			reg_proto_varint(e->out, num, 0);
		else if (elem->kind != OSCHEMA_DOUBLE)
			reg_proto_bytes(e->out, num, "", 0);
		if (r < 0)
			return r;
	} while (take(e, ','));
	return take(e, ']') ? 0 : -EINVAL;
}

/* An entry {1 key, 2 value} each. */
static int put_map(struct enc *e, const struct oschema_type *elem, unsigned int num,
		   int (*put)(struct enc *e, const struct oschema_type *t, unsigned int num))
{
	if (!take(e, '{'))
		return -EINVAL;
	if (take(e, '}'))
		return 0;
	do {
		size_t at = begin(e->out, num);
		int r = put_string(e, 1);

		if (r == 0 && !take(e, ':'))
			r = -EINVAL;
		if (r == 0 && !is_null(e))
			r = put(e, elem, 2);
		if (r < 0)
			return r;
		end(e->out, at);
	} while (take(e, ','));
	return take(e, '}') ? 0 : -EINVAL;
}

static int put_value(struct enc *e, const struct oschema_type *t, unsigned int num)
{
	size_t at;
	int r;

	switch (t->kind) {
	case OSCHEMA_STRING:
		return put_string(e, num);
	case OSCHEMA_INT32:
	case OSCHEMA_INT64:
		return put_number(e, num);
	case OSCHEMA_BOOL:
		return put_bool(e, num);
	case OSCHEMA_DOUBLE:
		return put_double(e, num);
	case OSCHEMA_BYTES:
		return put_base64(e, num);
	case OSCHEMA_QUANTITY:
		at = begin(e->out, num);
		r = put_string(e, 1);
		end(e->out, at);
		return r;
	case OSCHEMA_INT_OR_STRING:
		return put_int_or_string(e, num);
	case OSCHEMA_TIME:
	case OSCHEMA_MICROTIME:
		return put_time(e, num);
	case OSCHEMA_DURATION:
		return put_duration(e, num);
	case OSCHEMA_RAW:
	case OSCHEMA_FIELDS:
	case OSCHEMA_JSON:
		return put_raw(e, num);
	case OSCHEMA_STRUCT:
		return put_message(e, t, num);
	case OSCHEMA_LIST:		/* in a map: a named list type is a message {1 items …} */
		at = begin(e->out, num);
		r = put_list(e, &e->s->types[t->elem], 1);
		end(e->out, at);
		return r;
	default:
		return -EINVAL;
	}
}

/* ---- unions of JSONSchemaProps ---- */

/* One or many: @props, or the elements of a list, of @t. */
static int put_or_list(struct enc *e, const struct oschema_type *t, unsigned int num)
{
	size_t at = begin(e->out, num);
	int r;

	space(e);
	r = e->p < e->end && *e->p == '[' ? put_list(e, t, 2) : put_message(e, e->props, 1);
	end(e->out, at);
	return r;
}

/* true, false or a schema: {1 allows, 2 schema} */
static int put_or_bool(struct enc *e, unsigned int num)
{
	size_t at = begin(e->out, num);
	int r;

	space(e);
	if (e->p < e->end && *e->p == '{') {
		reg_proto_varint(e->out, 1, 1);
		r = put_message(e, e->props, 2);
	} else {
		r = put_bool(e, 1);
	}
	end(e->out, at);
	return r;
}

/* ---- messages ---- */

static bool is_type(const struct enc *e, const struct oschema_type *t, const char *name)
{
	return strcmp(oschema_str(e->s, t->name), name) == 0;
}

/* Unions of schemas, which are "json" in our tables. */
static int put_json(struct enc *e, const struct oschema_type *of, const struct oschema_field *f)
{
	const char *name = oschema_field_name(e->s, f);
	const struct oschema_type *t = &e->s->types[f->type];

	if (of != e->props && is_type(e, of, "apiextensions/v1.JSONSchemaProps"))
		e->props = of;
	if (of != e->props)
		return t->kind == OSCHEMA_MAP ? put_map(e, &e->s->types[t->elem], f->pb, put_value) : put_value(e, t, f->pb);
	if (!strcmp(name, "items"))
		return put_or_list(e, of, f->pb);
	if (!strcmp(name, "additionalProperties") || !strcmp(name, "additionalItems"))
		return put_or_bool(e, f->pb);
	if (!strcmp(name, "dependencies"))
		return put_map(e, &e->s->types[OSCHEMA_STRING], f->pb, put_or_list);
	return put_value(e, t, f->pb);
}

static int put_field(struct enc *e, const struct oschema_type *of, const struct oschema_field *f)
{
	const struct oschema_type *t = &e->s->types[f->type];

	switch (t->kind) {
	case OSCHEMA_LIST: {
		const char *name = oschema_field_name(e->s, f);

		/* a list type with a name is a message of its own */
		if (name[0] == 'v' && !strcmp(name, "verbs") && is_type(e, of, "meta/v1.APIResource"))
			return put_value(e, t, f->pb);
		return put_list(e, &e->s->types[t->elem], f->pb);
	}
	case OSCHEMA_MAP:
		if (e->s->types[t->elem].kind == OSCHEMA_JSON)
			return put_json(e, of, f);
		return put_map(e, &e->s->types[t->elem], f->pb, put_value);
	case OSCHEMA_JSON:
		return put_json(e, of, f);
	default:
		return put_value(e, t, f->pb);
	}
}

/* Members mostly come in the order of the fields: the search goes on where the last one ended. */
static const struct oschema_field *find(const struct enc *e, const struct oschema_type *t, struct orlop_bytes name,
					uint16_t *from)
{
	for (uint16_t i = 0; i < t->n_fields; i++) {
		uint16_t at = (uint16_t)(*from + i < t->n_fields ? *from + i : *from + i - t->n_fields);
		const struct oschema_field *f = &e->s->fields[t->fields + at];

		if (f->name_len == name.len && e->s->pool[f->name] == name.p[0] && memcmp(e->s->pool + f->name, name.p, name.len) == 0) {
			*from = (uint16_t)(at + 1);
			return f;
		}
	}
	return NULL;
}

/* The embedded messages that are open: where (oschema_field.pb_in), and where each began. */
struct embedded {
	unsigned int	inside;
	size_t		at[2];
};

/* Close and open them until a field of @want fits. */
static void embed(struct enc *e, struct embedded *m, unsigned int want)
{
	unsigned int outer = want & 15, inner = want >> 4;

	if (m->inside == want)
		return;
	if (m->inside >> 4)
		end(e->out, m->at[1]);
	if (m->inside && (m->inside & 15) != outer)
		end(e->out, m->at[0]);
	if (outer && (m->inside & 15) != outer)
		m->at[0] = begin(e->out, outer);
	if (inner)
		m->at[1] = begin(e->out, inner);
	m->inside = want;
}

/* Members up to @close, which is passed; '\0': to the end of the text. */
static int members(struct enc *e, const struct oschema_type *t, char close)
{
	struct embedded in = { 0 };
	uint16_t from = 0;

	space(e);
	if (close && take(e, close))
		return 0;
	while (e->p < e->end) {
		const struct oschema_field *f;
		struct orlop_bytes key;
		bool plain;
		int r = string_bytes(e, &key, &plain);

		if (r < 0 || !take(e, ':'))
			return -EINVAL;
		f = plain ? find(e, t, (struct orlop_bytes){ key.p + 1, key.len - 2 }, &from) : NULL;
		if (!f || !f->pb) {
			r = value_bytes(e, &key);
		} else if (!is_null(e)) {
			embed(e, &in, f->pb_in);
			r = put_field(e, t, f);
		}
		if (r < 0)
			return r;
		if (!take(e, ','))
			break;
	}
	embed(e, &in, 0);
	if (!close)
		return e->p == e->end ? 0 : -EINVAL;
	return take(e, close) ? 0 : -EINVAL;
}

static int message(struct enc *e, const struct oschema_type *t)
{
	int r;

	if (!take(e, '{') || t->kind != OSCHEMA_STRUCT)
		return -EINVAL;
	if (++e->depth > MAX_DEPTH)
		return -EINVAL;
	r = members(e, t, '}');
	e->depth--;
	return r;
}

/* ---- objects ---- */

static void enc_init(struct enc *e, const struct oschema *s, struct orlop_bytes json, struct obuf *out)
{
	memset(e, 0, sizeof(*e));
	e->s = s;
	e->p = json.p;
	e->end = json.p + json.len;
	e->out = out;
}

int reg_proto_message(const struct oschema *s, const struct oschema_type *t, struct orlop_bytes json, struct obuf *out)
{
	struct enc e;
	int r;

	enc_init(&e, s, json, out);
	r = message(&e, t);
	return r < 0 ? r : obuf_err(out);
}

int reg_proto_members(const struct oschema *s, const struct oschema_type *t, struct orlop_bytes json,
		      unsigned int num, struct obuf *out)
{
	struct enc e;
	size_t at;
	int r;

	enc_init(&e, s, json, out);
	at = begin(out, num);
	r = members(&e, t, '\0');
	end(out, at);
	return r < 0 ? r : obuf_err(out);
}
