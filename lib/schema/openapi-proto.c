/*
 * openapi-proto.c - the OpenAPI v2 document as protobuf (message openapi.v2.Document).
 *
 * kubectl before 1.27 accepts nothing else. The JSON document is made first and translated, so that
 * there is one description of what is in it.
 *
 * Source of the numbers: openapiv2/OpenAPIv2.proto of github.com/google/gnostic.
 */
#include <errno.h>

#include "base/ocleanup.h"
#include "json/ojson.h"
#include "json/oscan.h"
#include "schema/internal.h"
#include "schema/openapi.h"

/* ---- protobuf ---- */

static void put_varint(struct obuf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		obuf_putc(b, (char)(v | 0x80));
	obuf_putc(b, (char)v);
}

static void put_bytes(struct obuf *b, unsigned int field, const char *p, size_t n)
{
	put_varint(b, (uint64_t)field << 3 | 2);
	put_varint(b, n);
	obuf_append(b, p, n);
}

static void put_text(struct obuf *b, unsigned int field, const struct ojson *v)
{
	struct orlop_bytes t = otext(v);

	if (t.len > 0)
		put_bytes(b, field, t.p, t.len);
}

static void put_true(struct obuf *b, unsigned int field, const struct ojson *v)
{
	if (!ojson_bool(v, false))
		return;
	put_varint(b, (uint64_t)field << 3);
	obuf_putc(b, 1);
}

static void put_int(struct obuf *b, unsigned int field, const struct ojson *v)
{
	int64_t n = ojson_i64(v, 0);

	if (n == 0)
		return;
	put_varint(b, (uint64_t)field << 3);
	put_varint(b, (uint64_t)n);
}

static void put_double(struct obuf *b, unsigned int field, const struct ojson *v)
{
	double n = ojson_double(v, 0);
	uint64_t bits;

	if (v == NULL || n == 0)
		return;
	memcpy(&bits, &n, sizeof(bits));
	put_varint(b, (uint64_t)field << 3 | 1);
	for (unsigned int i = 0; i < 8; i++)
		obuf_putc(b, (char)(bits >> (8 * i)));
}

/* A message inside another: written behind, then its length is put before it. */
static size_t begin(const struct obuf *b)
{
	return b->len;
}

static void end(struct obuf *b, unsigned int field, size_t start)
{
	char head[20];
	size_t n = 0;

	for (int i = 0; i < 2; i++) {
		uint64_t v = i == 0 ? (uint64_t)field << 3 | 2 : b->len - start;

		for (; v >= 0x80; v >>= 7)
			head[n++] = (char)(v | 0x80);
		head[n++] = (char)v;
	}
	obuf_splice(b, start, 0, head, n);
}

/* Any: its YAML text, for which JSON does. */
static void put_any(struct obuf *b, unsigned int field, const struct ojson *v)
{
	struct obuf text = OBUF_INIT;
	size_t at = begin(b);

	(void)ojson_write(v, 0, &text);
	obuf_putc(&text, '\n');
	put_bytes(b, 2, obuf_cstr(&text), text.len);
	end(b, field, at);
	if (obuf_err(&text) != 0 && b->err == 0)
		b->err = obuf_err(&text);
	obuf_done(&text);
}

/* All members x-…, as NamedAny. */
static void put_extensions(struct obuf *b, unsigned int field, const struct ojson *o)
{
	OJSON_FOREACH(it, o) {
		size_t at = begin(b);

		if (!ostr_starts(it.key, it.key_len, "x-"))
			continue;
		put_bytes(b, 1, it.key, it.key_len);
		put_any(b, 2, it.value);
		end(b, field, at);
	}
}

static void put_texts(struct obuf *b, unsigned int field, const struct ojson *list)
{
	OJSON_FOREACH_ELEM(i, e, list)
		put_bytes(b, field, otext(e).p, otext(e).len);
}

/* ---- the document ---- */

static void put_schema(struct obuf *b, const struct ojson *s);

/* Definitions or properties: NamedSchema in field 1. */
static void put_schemas(struct obuf *b, const struct ojson *map)
{
	OJSON_FOREACH(it, map) {
		size_t at = begin(b), value;

		put_bytes(b, 1, it.key, it.key_len);
		value = begin(b);
		put_schema(b, it.value);
		end(b, 2, value);
		end(b, 1, at);
	}
}

/* What users say of values. A limit of zero is not written: in this message it is the same as none. */
static void put_limits(struct obuf *b, const struct ojson *s)
{
	put_double(b, 6, ojson_get(s, "multipleOf"));
	put_double(b, 7, ojson_get(s, "maximum"));
	put_true(b, 8, ojson_get(s, "exclusiveMaximum"));
	put_double(b, 9, ojson_get(s, "minimum"));
	put_true(b, 10, ojson_get(s, "exclusiveMinimum"));
	put_int(b, 11, ojson_get(s, "maxLength"));
	put_int(b, 12, ojson_get(s, "minLength"));
	put_text(b, 13, ojson_get(s, "pattern"));
	put_int(b, 14, ojson_get(s, "maxItems"));
	put_int(b, 15, ojson_get(s, "minItems"));
	put_true(b, 16, ojson_get(s, "uniqueItems"));
	put_int(b, 17, ojson_get(s, "maxProperties"));
	put_int(b, 18, ojson_get(s, "minProperties"));
}

static void put_schema(struct obuf *b, const struct ojson *s)
{
	struct ojson *more = ojson_get(s, "additionalProperties"), *items = ojson_get(s, "items");
	struct ojson *props = ojson_get(s, "properties");
	size_t at, in;

	put_text(b, 1, ojson_get(s, "$ref"));
	put_text(b, 2, ojson_get(s, "format"));
	put_text(b, 3, ojson_get(s, "title"));
	put_text(b, 4, ojson_get(s, "description"));
	if (ojson_has(s, "default"))
		put_any(b, 5, ojson_get(s, "default"));
	put_limits(b, s);
	put_texts(b, 19, ojson_get(s, "required"));
	OJSON_FOREACH_ELEM(i, e, ojson_get(s, "enum"))
		put_any(b, 20, e);
	if (more != NULL) {
		at = begin(b);
		in = begin(b);
		if (ojson_is(more, OJSON_OBJECT)) {
			put_schema(b, more);
			end(b, 1, in);
		} else {
			put_true(b, 2, more);
		}
		end(b, 21, at);
	}
	if (ojson_has(s, "type")) {
		at = begin(b);
		put_text(b, 1, ojson_get(s, "type"));
		end(b, 22, at);
	}
	if (items != NULL) {
		at = begin(b);
		in = begin(b);
		put_schema(b, items);
		end(b, 1, in);
		end(b, 23, at);
	}
	if (props != NULL) {
		at = begin(b);
		put_schemas(b, props);
		end(b, 25, at);
	}
	put_extensions(b, 31, s);
}

static void put_parameter(struct obuf *b, unsigned int field, const struct ojson *p)
{
	bool body = oget_is(p, "in", "body"), path = oget_is(p, "in", "path");
	size_t item = begin(b), param = item, one = item, sub = item;

	if (body) {
		put_text(b, 2, ojson_get(p, "name"));
		put_text(b, 3, ojson_get(p, "in"));
		put_true(b, 4, ojson_get(p, "required"));
		sub = begin(b);
		put_schema(b, ojson_get(p, "schema"));
		end(b, 5, sub);
		end(b, 1, one);
	} else {
		put_true(b, 1, ojson_get(p, "required"));
		put_text(b, 2, ojson_get(p, "in"));
		put_text(b, 4, ojson_get(p, "name"));
		put_text(b, path ? 5 : 6, ojson_get(p, "type"));
		put_true(b, path ? 19 : 20, ojson_get(p, "uniqueItems"));
		end(b, path ? 4 : 3, sub);
		end(b, 2, one);
	}
	end(b, 1, param);
	end(b, field, item);
}

static void put_responses(struct obuf *b, const struct ojson *map)
{
	OJSON_FOREACH(it, map) {
		struct ojson *schema = ojson_get(it.value, "schema");
		size_t named = begin(b), value, response, item, in;

		put_bytes(b, 1, it.key, it.key_len);
		value = begin(b);
		response = begin(b);
		put_text(b, 1, ojson_get(it.value, "description"));
		if (schema != NULL) {
			item = begin(b);
			in = begin(b);
			put_schema(b, schema);
			end(b, 1, in);
			end(b, 2, item);
		}
		end(b, 1, response);
		end(b, 2, value);
		end(b, 1, named);
	}
}

static void put_operation(struct obuf *b, unsigned int field, const struct ojson *o)
{
	size_t at = begin(b), in;

	if (o == NULL)
		return;
	put_text(b, 5, ojson_get(o, "operationId"));
	put_texts(b, 6, ojson_get(o, "produces"));
	put_texts(b, 7, ojson_get(o, "consumes"));
	OJSON_FOREACH_ELEM(i, p, ojson_get(o, "parameters"))
		put_parameter(b, 8, p);
	in = begin(b);
	put_responses(b, ojson_get(o, "responses"));
	end(b, 9, in);
	put_extensions(b, 13, o);
	end(b, field, at);
}

static void put_path_item(struct obuf *b, const struct ojson *item)
{
	put_operation(b, 2, ojson_get(item, "get"));
	put_operation(b, 3, ojson_get(item, "put"));
	put_operation(b, 4, ojson_get(item, "post"));
	put_operation(b, 5, ojson_get(item, "delete"));
	put_operation(b, 8, ojson_get(item, "patch"));
	OJSON_FOREACH_ELEM(i, p, ojson_get(item, "parameters"))
		put_parameter(b, 9, p);
}

/*
 * A map of the document as a message of named values, each in @field. Only one value at a time is
 * made a tree: all of them together would take megabytes.
 */
static int put_named(struct obuf *b, unsigned int field, struct orlop_bytes map,
		     void (*put)(struct obuf *b, const struct ojson *v))
{
	struct oscan_iter it;

	for (oscan_begin(&it, map); oscan_next(&it) > 0;) {
		cleanup_ojson struct ojson *v = NULL;
		size_t named = begin(b), value;
		int r = ojson_parse_bytes(it.value, &v, NULL);

		if (r != 0)
			return r;
		put_bytes(b, 1, it.key.p + 1, it.key.len - 2);	/* without its quotes; nothing is escaped */
		value = begin(b);
		put(b, v);
		end(b, 2, value);
		end(b, field, named);
	}
	return obuf_err(b);
}

void oschema_openapi_v2_proto(const struct oschema *s, const char *version, const struct oschema_more *more,
			      struct obuf *out)
{
	cleanup_obuf struct obuf json = OBUF_INIT;
	cleanup_obuf struct obuf part = OBUF_INIT;
	struct orlop_bytes paths = { NULL, 0 }, definitions = { NULL, 0 };
	static const char title[] = "Kubernetes";
	int r;

	oschema_openapi_v2(s, NULL, version, more, &json);
	r = obuf_err(&json);
	if (r == 0 && (!oscan_get(oscan_bytes(json.data, json.len), "paths", &paths) ||
		       !oscan_get(oscan_bytes(json.data, json.len), "definitions", &definitions)))
		r = -EINVAL;
	put_bytes(out, 1, "2.0", 3);
	put_bytes(&part, 1, title, sizeof(title) - 1);
	put_bytes(&part, 2, version, strlen(version));
	put_bytes(out, 2, obuf_cstr(&part), part.len);
	obuf_reset(&part);
	if (r == 0)
		r = put_named(&part, 2, paths, put_path_item);
	put_bytes(out, 8, obuf_cstr(&part), part.len);
	obuf_reset(&part);
	if (r == 0)
		r = put_named(&part, 1, definitions, put_schema);
	put_bytes(out, 9, obuf_cstr(&part), part.len);
	if (r != 0 && out->err == 0)
		out->err = r;
}
