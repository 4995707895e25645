/*
 * Bodies in protobuf, as typed Go clients send them, turned into JSON by the schema. Pure.
 *
 * "k8s\0", then runtime.Unknown {1 TypeMeta {1 apiVersion, 2 kind}, 2 raw}. The object's message has
 * Go's zero values of fields without pointer written out; where JSON would omit them they are dropped.
 * Source: k8s.io/apimachinery/pkg/runtime/generated.proto and the generated.proto of each group.
 */
#include "front.h"

#include "base/oenc.h"
#include "base/otime.h"
#include "json/ojson.h"

#include <errno.h>
#include <math.h>

#define MAX_DEPTH	64
#define MAX_VALUES	200000		/* bounds what a small body can make us allocate */

struct pb {
	const struct oschema	*s;
	const struct oschema_type *schema_props;	/* apiextensions/v1.JSONSchemaProps: unions that are "json" in our tables */
	uint32_t		values;
};

struct pb_field {
	uint32_t		num;
	uint32_t		wire;
	uint64_t		v;	/* varint, fixed */
	struct orlop_bytes	b;	/* length-delimited */
};

static bool get_varint(struct orlop_bytes *in, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64 && in->len; shift += 7) {
		unsigned char c = (unsigned char)*in->p++;

		in->len--;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* 1: a field, 0: the end, -EINVAL */
static int next(struct orlop_bytes *in, struct pb_field *f)
{
	uint64_t key;
	size_t n;

	if (in->len == 0)
		return 0;
	if (!get_varint(in, &key) || key >> 3 == 0 || key >> 32)
		return -EINVAL;
	f->num = (uint32_t)(key >> 3);
	f->wire = key & 7;
	f->b = (struct orlop_bytes){ NULL, 0 };
	f->v = 0;
	switch (f->wire) {
	case 0:
		return get_varint(in, &f->v) ? 1 : -EINVAL;
	case 1:
	case 5:
		n = f->wire == 1 ? 8 : 4;
		if (in->len < n)
			return -EINVAL;
		memcpy(&f->v, in->p, n);	/* little endian, as we are */
		in->p += n;
		in->len -= n;
		return 1;
	case 2:
		if (!get_varint(in, &f->v) || f->v > in->len)
			return -EINVAL;
		f->b = (struct orlop_bytes){ in->p, (size_t)f->v };
		in->p += f->v;
		in->len -= (size_t)f->v;
		return 1;
	default:
		return -EINVAL;
	}
}

static int message(struct pb *pb, const struct oschema_type *t, struct orlop_bytes in, uint32_t inside,
		   struct ojson *obj, int depth);

/* seconds and nanoseconds; nothing at all is Go's zero time: *ret stays NULL. */
static int get_time(struct orlop_bytes in, bool micro, struct ojson **ret)
{
	struct pb_field f;
	bool empty = in.len == 0;
	int64_t sec = 0;
	int64_t ns = 0;
	char text[OTIME_BUF];
	int r;

	while ((r = next(&in, &f)) == 1) {
		if (f.num == 1)
			sec = (int64_t)f.v;
		else if (f.num == 2)
			ns = (int32_t)f.v;
	}
	if (r < 0)
		return r;
	if (empty)
		return 0;
	if (sec > OTIME_WIDE_MAX || sec < OTIME_WIDE_MIN || ns < 0 || ns > 999999999)
		return -EINVAL;
	otime_format_wide(sec, (int32_t)ns, micro, text);
	*ret = ojson_new_cstr(text);
	return *ret ? 0 : -ENOMEM;
}

/* Field @num of a message, if it is there: bytes. */
static int inner_bytes(struct orlop_bytes in, uint32_t num, struct orlop_bytes *ret)
{
	struct pb_field f;
	int r;

	*ret = (struct orlop_bytes){ NULL, 0 };
	while ((r = next(&in, &f)) == 1)
		if (f.num == num && f.wire == 2)
			*ret = f.b;
	return r;
}

static int inner_int(struct orlop_bytes in, uint32_t num, uint64_t *ret)
{
	struct pb_field f;
	int r;

	*ret = 0;
	while ((r = next(&in, &f)) == 1)
		if (f.num == num && f.wire == 0)
			*ret = f.v;
	return r;
}

static struct ojson *base64(struct orlop_bytes b)
{
	struct obuf o = OBUF_INIT;
	struct ojson *j;

	obase64_append(&o, OBASE64_STD, b.p, b.len);
	j = obuf_err(&o) ? NULL : ojson_new_string(obuf_cstr(&o), o.len);
	obuf_done(&o);
	return j;
}

/*
 * One value. *ret NULL with 0: the zero of its type where that is not a value of its own (a zero time).
 * @zero: it is Go's zero value.
 */
static int value(struct pb *pb, const struct oschema_type *t, const struct pb_field *f, int depth,
		 struct ojson **ret, bool *zero)
{
	struct orlop_bytes b;
	uint64_t v;
	double d;
	int r;

	*ret = NULL;
	*zero = false;
	if (++pb->values > MAX_VALUES || depth > MAX_DEPTH)
		return -E2BIG;
	switch (t->kind) {
	case OSCHEMA_STRING:
		if (f->wire != 2)
			return -EINVAL;
		*zero = f->b.len == 0;
		*ret = ojson_new_string(f->b.len ? f->b.p : "", f->b.len);
		break;
	case OSCHEMA_INT32:
	case OSCHEMA_INT64:
		if (f->wire != 0)
			return -EINVAL;
		*zero = f->v == 0;
		*ret = ojson_new_i64(t->kind == OSCHEMA_INT32 ? (int32_t)f->v : (int64_t)f->v);
		break;
	case OSCHEMA_BOOL:
		if (f->wire != 0)
			return -EINVAL;
		*zero = f->v == 0;
		*ret = ojson_new_bool(f->v != 0);
		break;
	case OSCHEMA_DOUBLE:
		if (f->wire != 1)
			return -EINVAL;
		memcpy(&d, &f->v, sizeof(d));
		*zero = d == 0;
		*ret = isfinite(d) ? ojson_new_double(d) : NULL;
		if (!isfinite(d))
			return -EINVAL;
		break;
	case OSCHEMA_BYTES:
		if (f->wire != 2)
			return -EINVAL;
		*zero = f->b.len == 0;
		*ret = base64(f->b);
		break;
	case OSCHEMA_QUANTITY:
		r = f->wire == 2 ? inner_bytes(f->b, 1, &b) : -EINVAL;
		if (r < 0)
			return r;
		*ret = ojson_new_string(b.len ? b.p : "0", b.len ? b.len : 1);
		break;
	case OSCHEMA_INT_OR_STRING:
		r = f->wire == 2 ? inner_int(f->b, 1, &v) : -EINVAL;
		if (r == 0 && v == 1) {
			r = inner_bytes(f->b, 3, &b);
			if (r == 0)
				*ret = ojson_new_string(b.len ? b.p : "", b.len);
		} else if (r == 0) {
			r = inner_int(f->b, 2, &v);
			if (r == 0)
				*ret = ojson_new_i64((int32_t)v);
		}
		if (r < 0)
			return r;
		break;
	case OSCHEMA_TIME:
	case OSCHEMA_MICROTIME:
		r = f->wire == 2 ? get_time(f->b, t->kind == OSCHEMA_MICROTIME, ret) : -EINVAL;
		*zero = *ret == NULL;
		return r;
	case OSCHEMA_DURATION: {
		char text[OTIME_BUF];

		r = f->wire == 2 ? inner_int(f->b, 1, &v) : -EINVAL;
		if (r < 0)
			return r;
		otime_duration_format((int64_t)v, text);
		*ret = ojson_new_cstr(text);
		break;
	}
	case OSCHEMA_RAW:
	case OSCHEMA_FIELDS:
	case OSCHEMA_JSON:
		r = f->wire == 2 ? inner_bytes(f->b, 1, &b) : -EINVAL;
		if (r < 0)
			return r;
		*zero = b.len == 0;
		return b.len ? ojson_parse_bytes(b, ret, NULL) : 0;
	case OSCHEMA_STRUCT:
		if (f->wire != 2)
			return -EINVAL;
		*ret = ojson_new_object();
		if (!*ret)
			return -ENOMEM;
		r = message(pb, t, f->b, 0, *ret, depth + 1);
		if (r < 0) {
			ojson_unref(*ret);
			*ret = NULL;
		}
		return r;
	default:
		return -EINVAL;
	}
	return *ret ? 0 : -ENOMEM;
}

/* One (@f->num 1) or many (2): a schema or a text, or a list of such. {1 allows, 2 schema}: a schema or true, false. */
static int one_or_many(struct pb *pb, const struct oschema_type *many, struct orlop_bytes in, int depth, struct ojson **ret)
{
	struct pb_field f;
	struct ojson *j;
	bool zero;
	int r;

	*ret = NULL;
	if (depth > MAX_DEPTH)
		return -E2BIG;
	while ((r = next(&in, &f)) == 1) {
		if (f.num == 1 || (f.num == 2 && !many)) {
			bool schema = many || f.num == 2;

			if (!schema && *ret && ojson_type(*ret) == OJSON_OBJECT)
				continue;
			r = value(pb, schema ? pb->schema_props : oschema_type_at(pb->s, OSCHEMA_BOOL), &f, depth + 1, &j, &zero);
			if (r == 0) {
				ojson_unref(*ret);
				*ret = j;
			}
		} else if (f.num == 2) {
			if (*ret && ojson_type(*ret) != OJSON_ARRAY)
				continue;
			if (!*ret)
				*ret = ojson_new_array();
			r = *ret ? value(pb, many, &f, depth + 1, &j, &zero) : -ENOMEM;
			if (r == 0)
				r = ojson_append(*ret, j);
		}
		if (r < 0)
			break;
	}
	if (r == 0 && !*ret)
		*ret = many ? ojson_new_array() : ojson_new_bool(false);
	if (r == 0 && !*ret)
		r = -ENOMEM;
	if (r < 0) {
		ojson_unref(*ret);
		*ret = NULL;
	}
	return r < 0 ? r : 0;
}

static int schema_map_entry(struct pb *pb, struct orlop_bytes in, struct ojson *obj, int depth)
{
	struct orlop_bytes key, val;
	struct ojson *j = NULL;
	int r = inner_bytes(in, 1, &key);

	if (r == 0)
		r = inner_bytes(in, 2, &val);
	if (r == 0)
		r = one_or_many(pb, oschema_type_at(pb->s, OSCHEMA_STRING), val, depth, &j);
	return r < 0 ? r : ojson_put_n(obj, key.p ? key.p : "", key.len, j);
}

/* Fields whose type our tables do not tell. 1: it was one. */
static int special_field(struct pb *pb, const struct oschema_type *of, const char *name, const struct pb_field *f,
			 struct ojson *obj, int depth)
{
	struct orlop_bytes items = f->b;
	struct ojson *j = NULL;
	struct pb_field one;
	int r;

	if (of == pb->schema_props) {
		bool list = !strcmp(name, "items");

		if (!list && strcmp(name, "additionalProperties") && strcmp(name, "additionalItems") && strcmp(name, "dependencies"))
			return 0;
		if (f->wire != 2 || ++pb->values > MAX_VALUES)
			return f->wire != 2 ? -EINVAL : -E2BIG;
		if (!strcmp(name, "dependencies")) {
			j = ojson_ensure_object(obj, name);
			r = j ? schema_map_entry(pb, f->b, j, depth) : -ENOMEM;
		} else {
			r = one_or_many(pb, list ? pb->schema_props : NULL, f->b, depth, &j);
			if (r == 0)
				r = ojson_put(obj, name, j);
		}
		return r < 0 ? r : 1;
	}
	if (strcmp(oschema_str(pb->s, of->name), "meta/v1.APIResource") != 0 || strcmp(name, "verbs") != 0 || f->wire != 2)
		return 0;
	j = ojson_ensure_array(obj, name);
	while (j && (r = next(&items, &one)) == 1)
		if (one.num == 1 && one.wire == 2 && ++pb->values <= MAX_VALUES)
			r = ojson_append(j, ojson_new_string(one.b.len ? one.b.p : "", one.b.len));
	return !j ? -ENOMEM : r < 0 ? r : 1;
}

/* {1 key, 2 value} into @obj. */
static int map_entry(struct pb *pb, const struct oschema_type *elem, struct orlop_bytes in, struct ojson *obj,
		     int depth)
{
	struct orlop_bytes key = { "", 0 };
	struct pb_field f;
	struct pb_field val = { .wire = elem->kind == OSCHEMA_INT32 || elem->kind == OSCHEMA_INT64 ||
				       elem->kind == OSCHEMA_BOOL ? 0 : 2 };
	struct ojson *j;
	bool zero;
	int r;

	while ((r = next(&in, &f)) == 1) {
		if (f.num == 1 && f.wire == 2)
			key = f.b;
		else if (f.num == 2)
			val = f;
	}
	if (r < 0)
		return r;
	if (elem->kind == OSCHEMA_LIST) {
		/* A named list type is a message {1 items …} of its own. */
		const struct oschema_type *e = oschema_type_at(pb->s, elem->elem);
		struct ojson *arr = ojson_new_array();
		struct orlop_bytes items = val.b;

		while (arr && (r = next(&items, &f)) == 1) {
			r = value(pb, e, &f, depth + 1, &j, &zero);
			if (r < 0 || (r = ojson_append(arr, j)) < 0)
				break;
		}
		if (!arr || r < 0) {
			ojson_unref(arr);
			return r < 0 ? r : -ENOMEM;
		}
		return ojson_set_n(obj, key.p, key.len, arr);
	}
	r = value(pb, elem, &val, depth + 1, &j, &zero);
	return r < 0 ? r : ojson_put_n(obj, key.p, key.len, j);
}

static int add_element(struct pb *pb, const struct oschema_type *elem, const struct pb_field *f, struct ojson *arr,
		       int depth)
{
	struct ojson *j;
	bool zero;
	int r;

	if (f->wire == 2 && (elem->kind == OSCHEMA_INT32 || elem->kind == OSCHEMA_INT64 ||
			     elem->kind == OSCHEMA_BOOL)) {
		/* packed */
		struct orlop_bytes in = f->b;
		struct pb_field one = { .wire = 0 };

		while (in.len) {
			if (!get_varint(&in, &one.v))
				return -EINVAL;
			r = value(pb, elem, &one, depth, &j, &zero);
			if (r == 0)
				r = ojson_append(arr, j);
			if (r < 0)
				return r;
		}
		return 0;
	}
	r = value(pb, elem, f, depth, &j, &zero);
	if (r < 0)
		return r;
	return j ? ojson_append(arr, j) : ojson_append_null(arr);
}

static int put_field(struct pb *pb, const struct oschema_type *of, const struct oschema_field *sf, const struct pb_field *f,
		     struct ojson *obj, int depth)
{
	const struct oschema_type *t = oschema_field_type(pb->s, sf);
	const char *name = oschema_field_name(pb->s, sf);
	struct ojson *j;
	bool zero;
	int r;

	if (t->kind == OSCHEMA_JSON || t->kind == OSCHEMA_LIST || t->kind == OSCHEMA_MAP) {
		r = special_field(pb, of, name, f, obj, depth);
		if (r)
			return r < 0 ? r : 0;
	}
	if (t->kind == OSCHEMA_LIST) {
		j = ojson_ensure_array(obj, name);
		return j ? add_element(pb, oschema_type_at(pb->s, t->elem), f, j, depth) : -ENOMEM;
	}
	if (t->kind == OSCHEMA_MAP) {
		if (f->wire != 2)
			return -EINVAL;
		if (++pb->values > MAX_VALUES)
			return -E2BIG;
		j = ojson_ensure_object(obj, name);
		return j ? map_entry(pb, oschema_type_at(pb->s, t->elem), f->b, j, depth) : -ENOMEM;
	}
	r = value(pb, t, f, depth, &j, &zero);
	if (r < 0)
		return r;
	if (!j || (zero && !(sf->flags & OSCHEMA_F_PTR) && sf->flags & (OSCHEMA_F_OMITEMPTY | OSCHEMA_F_OMITZERO))) {
		ojson_unref(j);
		return 0;
	}
	return ojson_set(obj, name, j);
}

/* Is message @num, where we are @inside (oschema_field.pb_in), one that carries @sf? Where are we then? */
static bool carries(const struct oschema_field *sf, uint32_t inside, uint32_t num, uint32_t *ret)
{
	if (num > 15 || inside > 15)
		return false;
	*ret = inside ? inside | num << 4 : num;
	return inside ? sf->pb_in == *ret : sf->pb_in && (sf->pb_in & 15) == num;
}

static int message(struct pb *pb, const struct oschema_type *t, struct orlop_bytes in, uint32_t inside,
		   struct ojson *obj, int depth)
{
	struct pb_field f;
	int r;

	if (depth > MAX_DEPTH)
		return -E2BIG;
	while ((r = next(&in, &f)) == 1) {
		for (uint16_t i = 0; i < t->n_fields; i++) {
			const struct oschema_field *sf = &pb->s->fields[t->fields + i];
			uint32_t into;

			if (sf->pb_in == inside && sf->pb == f.num) {
				r = put_field(pb, t, sf, &f, obj, depth);
				break;
			}
			if (f.wire == 2 && carries(sf, inside, f.num, &into)) {
				/* An embedded struct: its fields are ours in JSON. */
				r = message(pb, t, f.b, into, obj, depth + 1);
				break;
			}
		}
		if (r < 0)
			return r;
	}
	return r;
}

int protobuf_to_json(const struct oschema *s, const struct oschema_type *t, struct orlop_bytes in, struct obuf *out)
{
	struct pb pb = { .s = s, .schema_props = oschema_type_find(s, "apiextensions/v1.JSONSchemaProps") };
	struct orlop_bytes raw = { "", 0 };
	struct orlop_bytes meta = { "", 0 };
	struct orlop_bytes b;
	struct pb_field f;
	struct ojson *obj;
	int r;

	if (in.len < 4 || memcmp(in.p, "k8s", 4) != 0)
		return -EINVAL;
	in.p += 4;
	in.len -= 4;
	while ((r = next(&in, &f)) == 1) {
		if (f.num == 1 && f.wire == 2)
			meta = f.b;
		else if (f.num == 2 && f.wire == 2)
			raw = f.b;
		else if (f.num == 3 && f.b.len)
			return -EINVAL;		/* contentEncoding: none is known */
	}
	if (r < 0)
		return r;
	obj = ojson_new_object();
	if (!obj)
		return -ENOMEM;
	r = inner_bytes(meta, 2, &b);
	if (r == 0 && b.len)
		r = ojson_set_string(obj, "kind", b.p, b.len);
	if (r == 0)
		r = inner_bytes(meta, 1, &b);
	if (r == 0 && b.len)
		r = ojson_set_string(obj, "apiVersion", b.p, b.len);
	if (r == 0)
		r = message(&pb, t, raw, 0, obj, 0);
	if (r == 0)
		r = ojson_write(obj, 0, out);
	ojson_unref(obj);
	return r;
}
