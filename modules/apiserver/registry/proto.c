/*
 * proto.c - JSON of the API as protobuf, by the numbers of the schema. Pure.
 *
 * The text has been checked or made by us; what does not fit its type is refused, never read beyond. A message's length
 * stands before it and is known behind it: one byte is left for it, and long messages move up by what is missing.
 */
#include "proto.h"

#include "base/oenc.h"
#include "base/ostr.h"
#include "base/otime.h"
#include "json/oscan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH	160

struct enc {
	const struct oschema *s;
	const char	*p;
	const char	*end;
	struct obuf	*out;
	uint16_t	schema_props;	/* apiextensions/v1.JSONSchemaProps: unions that are "json" in our tables */
	uint16_t	api_resource;	/* meta/v1.APIResource: verbs is a message of its own */
	int		depth;
};

/* ---- the wire ---- */

static void put_varint(struct obuf *b, uint64_t v)
{
	char *at = obuf_reserve(b, 10);
	size_t n = 0;

	if (!at)
		return;
	for (; v >= 0x80; v >>= 7)
		at[n++] = (char)(v | 0x80);
	at[n++] = (char)v;
	obuf_advance(b, n);
}

static void put_tag(struct obuf *b, unsigned int num, unsigned int wire)
{
	put_varint(b, (uint64_t)num << 3 | wire);
}

void reg_proto_bytes(struct obuf *out, unsigned int num, const char *p, size_t len)
{
	put_tag(out, num, 2);
	put_varint(out, len);
	obuf_append(out, len ? p : "", len);
}

void reg_proto_varint(struct obuf *out, unsigned int num, uint64_t v)
{
	put_tag(out, num, 0);
	put_varint(out, v);
}

static size_t begin(struct obuf *b, unsigned int num)
{
	put_tag(b, num, 2);
	obuf_putc(b, '\0');
	return b->len;
}

/* What has been appended since begin() gets its length. */
static void end(struct obuf *b, size_t from)
{
	size_t len = b->len - from;
	size_t more = 0;
	char *at;

	if (b->err)
		return;
	for (size_t v = len >> 7; v; v >>= 7)
		more++;
	if (more) {
		if (!obuf_reserve(b, more))
			return;
		memmove(b->data + from + more, b->data + from, len);
		obuf_advance(b, more);
	}
	at = b->data + from - 1;
	for (; len >= 0x80; len >>= 7)
		*at++ = (char)(len | 0x80);
	*at = (char)len;
}

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
	r = e->p < e->end && *e->p == '[' ? put_list(e, t, 2) :
	    put_message(e, &e->s->types[e->schema_props], 1);
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
		r = put_message(e, &e->s->types[e->schema_props], 2);
	} else {
		r = put_bool(e, 1);
	}
	end(e->out, at);
	return r;
}

/* ---- messages ---- */

static int put_field(struct enc *e, const struct oschema_type *of, const struct oschema_field *f)
{
	const struct oschema_type *t = &e->s->types[f->type];
	uint16_t of_index = (uint16_t)(of - e->s->types);

	if (of_index == e->schema_props) {
		const char *name = oschema_field_name(e->s, f);

		if (!strcmp(name, "items"))
			return put_or_list(e, of, f->pb);
		if (!strcmp(name, "additionalProperties") || !strcmp(name, "additionalItems"))
			return put_or_bool(e, f->pb);
		if (!strcmp(name, "dependencies"))
			return put_map(e, &e->s->types[OSCHEMA_STRING], f->pb, put_or_list);
	}
	if (t->kind == OSCHEMA_LIST) {
		if (of_index == e->api_resource && !strcmp(oschema_field_name(e->s, f), "verbs"))
			return put_value(e, t, f->pb);
		return put_list(e, &e->s->types[t->elem], f->pb);
	}
	if (t->kind == OSCHEMA_MAP)
		return put_map(e, &e->s->types[t->elem], f->pb, put_value);
	return put_value(e, t, f->pb);
}

/* Members mostly come in the order of the fields: the search goes on where the last one ended. */
static const struct oschema_field *find(const struct enc *e, const struct oschema_type *t, struct orlop_bytes name,
					uint16_t *from)
{
	for (uint16_t i = 0; i < t->n_fields; i++) {
		uint16_t at = (uint16_t)(*from + i < t->n_fields ? *from + i : *from + i - t->n_fields);
		const struct oschema_field *f = &e->s->fields[t->fields + at];

		if (f->name_len == name.len && memcmp(e->s->pool + f->name, name.p, name.len) == 0) {
			*from = (uint16_t)(at + 1);
			return f;
		}
	}
	return NULL;
}

/* Members up to @close, which is passed; '\0': to the end of the text. */
static int members(struct enc *e, const struct oschema_type *t, char close)
{
	unsigned int inside = 0;	/* number of the embedded message that is open */
	uint16_t from = 0;
	size_t at = 0;

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
			if (inside != f->pb_in) {
				if (inside)
					end(e->out, at);
				inside = f->pb_in;
				at = inside ? begin(e->out, inside) : 0;
			}
			r = put_field(e, t, f);
		}
		if (r < 0)
			return r;
		if (!take(e, ','))
			break;
	}
	if (inside)
		end(e->out, at);
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

/* ---- documents ---- */

static uint16_t index_of(const struct oschema *s, const char *name)
{
	const struct oschema_type *t = oschema_type_find(s, name);

	return t ? oschema_type_index(s, t) : UINT16_MAX;
}

static void enc_init(struct enc *e, const struct oschema *s, struct orlop_bytes json, struct obuf *out)
{
	memset(e, 0, sizeof(*e));
	e->s = s;
	e->p = json.p;
	e->end = json.p + json.len;
	e->out = out;
	e->schema_props = index_of(s, "apiextensions/v1.JSONSchemaProps");
	e->api_resource = index_of(s, "meta/v1.APIResource");
}

const struct oschema_type *reg_proto_type(const struct oschema *s, struct orlop_bytes api_version,
					  struct orlop_bytes kind)
{
	const char *slash = api_version.len ? memchr(api_version.p, '/', api_version.len) : NULL;
	struct orlop_bytes group = { api_version.p, slash ? (size_t)(slash - api_version.p) : 0 };
	struct orlop_bytes version = { slash ? slash + 1 : api_version.p,
		slash ? api_version.len - group.len - 1 : api_version.len };
	const struct oschema_group *g = oschema_group_version_find(s, group, version);
	const struct oschema_type *t = NULL;
	char name[300];

	if (g && kind.len < 200) {
		snprintf(name, sizeof(name), "%s.%.*s", oschema_str(s, g->package), (int)kind.len, kind.p);
		t = oschema_type_find(s, name);
	}
	if (!t && kind.len < 200 && (!group.len || ostr_is(group.p, group.len, "meta.k8s.io"))) {
		snprintf(name, sizeof(name), "meta/v1.%.*s", (int)kind.len, kind.p);
		t = oschema_type_find(s, name);
	}
	return t && t->flags & OSCHEMA_T_OBJECT ? t : NULL;
}

static void put_head(struct orlop_bytes api_version, struct orlop_bytes kind, size_t raw_len, struct obuf *out)
{
	size_t at;

	obuf_append(out, "k8s", 4);
	at = begin(out, 1);
	reg_proto_bytes(out, 1, api_version.p, api_version.len);
	reg_proto_bytes(out, 2, kind.p, kind.len);
	end(out, at);
	put_tag(out, 2, 2);
	put_varint(out, raw_len);
}

void reg_proto_head(const char *api_version, const char *kind, size_t raw_len, struct obuf *out)
{
	put_head((struct orlop_bytes){ api_version, strlen(api_version) },
		 (struct orlop_bytes){ kind, strlen(kind) }, raw_len, out);
}

int reg_proto_document(const struct oschema *s, struct orlop_bytes json, struct obuf *out)
{
	struct obuf raw = OBUF_INIT;
	const struct oschema_type *t;
	struct orlop_bytes v, kind, api_version;
	struct enc e;
	int r;

	if (!oscan_get(json, "kind", &v) || !oscan_plain(v, &kind))
		return -EINVAL;
	/* Discovery's documents of the core group have no version. */
	if (!oscan_get(json, "apiVersion", &v) || !oscan_plain(v, &api_version))
		api_version = (struct orlop_bytes){ "v1", 2 };
	t = reg_proto_type(s, api_version, kind);
	if (!t)
		return -ENOENT;
	enc_init(&e, s, json, &raw);
	r = message(&e, t);
	if (r == 0)
		r = obuf_err(&raw);
	if (r == 0) {
		put_head(api_version, kind, raw.len, out);
		obuf_append(out, raw.len ? raw.data : "", raw.len);
		obuf_append(out, REG_PROTO_TAIL, REG_PROTO_TAIL_LEN);
		r = obuf_err(out);
	}
	obuf_done(&raw);
	return r;
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

int reg_proto_event(const struct oschema *s, struct orlop_bytes json, struct obuf *out)
{
	struct orlop_bytes type, obj, v;
	size_t from = out->len, at, raw;
	uint32_t len;
	int r;

	if (!oscan_get(json, "type", &v) || !oscan_plain(v, &type) || !oscan_get(json, "object", &obj))
		return -EINVAL;
	obuf_append(out, "\0\0\0\0", 4);
	reg_proto_bytes(out, 1, type.p, type.len);
	at = begin(out, 2);
	raw = begin(out, 1);
	r = reg_proto_document(s, obj, out);
	end(out, raw);
	end(out, at);
	if (r < 0 || obuf_err(out))
		return r < 0 ? r : obuf_err(out);
	len = (uint32_t)(out->len - from - 4);
	for (unsigned int i = 0; i < 4; i++)
		out->data[from + i] = (char)(len >> (24 - 8 * i));
	return 0;
}
