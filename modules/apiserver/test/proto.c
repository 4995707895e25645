/*
 * Protobuf both ways: an object of every type that has a kind, with every field set, comes back as it was; what is not
 * JSON of the API is refused; envelopes, lists, events are what Go's clients read, to the byte.
 */
#include "../front.h"
#include "../registry/proto.h"

#include "apischema/apischema.h"
#include "base/oenc.h"
#include "base/otap.h"
#include "json/ojson.h"
#include "schema/decode.h"

#include <errno.h>

static const struct oschema *const s = &oschema_builtin;

/* ---- an object of any type ---- */

#define DEEP	40

static uint32_t seed;

static uint32_t any(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void gen_struct(const struct oschema_type *t, int depth, struct obuf *b);

/* Long and short texts, some to be escaped. */
static void gen_text(struct obuf *b)
{
	static const char *const texts[] = { "a", "\\\"quoted\\\"\\n", "\xc3\xa4\\u2028\xf0\x9f\x98\x80", "web-0", "0123456789abcdef" };
	uint32_t n = any(8) ? 1 : 20;

	obuf_putc(b, '"');
	for (uint32_t i = 0; i < n; i++)
		obuf_puts(b, texts[any(5)]);
	obuf_putc(b, '"');
}

static void gen(const struct oschema_type *t, const char *field, int depth, struct obuf *b)
{
	static const char *const quantities[] = { "\"10m\"", "\"1Gi\"", "\"3\"" };
	bool schema = strcmp(field, "items") == 0 || strncmp(field, "additional", 10) == 0;

	switch (t->kind) {
	case OSCHEMA_STRING:
		gen_text(b);
		break;
	case OSCHEMA_INT32:
		obuf_put_i64(b, any(4) ? (int64_t)any(300) + 1 : -2147483647 + (int64_t)any(9));
		break;
	case OSCHEMA_INT64:
		obuf_put_i64(b, any(4) ? (int64_t)any(70000) + 1 : INT64_MIN + any(9));
		break;
	case OSCHEMA_BOOL:
		obuf_puts(b, "true");
		break;
	case OSCHEMA_DOUBLE:
		obuf_puts(b, "-2.5");
		break;
	case OSCHEMA_BYTES:
		obuf_puts(b, any(2) ? "\"AAECAw==\"" : "\"/+8=\"");
		break;
	case OSCHEMA_QUANTITY:
		obuf_puts(b, quantities[any(3)]);
		break;
	case OSCHEMA_INT_OR_STRING:
		obuf_puts(b, any(2) ? "\"25%\"" : any(2) ? "8080" : "-1");
		break;
	case OSCHEMA_TIME:
		obuf_puts(b, any(4) ? "\"2026-01-02T03:04:05Z\"" : any(2) ? "\"1970-01-01T00:00:00Z\"" : "\"1833-01-01T00:00:01Z\"");
		break;
	case OSCHEMA_MICROTIME:
		obuf_puts(b, "\"2026-01-02T03:04:05.000067Z\"");
		break;
	case OSCHEMA_DURATION:
		obuf_puts(b, "\"1h0m1.5s\"");
		break;
	case OSCHEMA_RAW:
		obuf_puts(b, "{\"kind\":\"X\",\"apiVersion\":\"x/v1\",\"a\":[1,null,{\"b\":\"\\n\"}]}");
		break;
	case OSCHEMA_FIELDS:
		obuf_puts(b, "{\"f:metadata\":{\"f:labels\":{\".\":{},\"f:a\":{}}}}");
		break;
	case OSCHEMA_JSON:
		if (schema && any(2) && field[0] == 'a')
			obuf_puts(b, any(2) ? "true" : "false");
		else if (!strcmp(field, "items") && any(2))
			obuf_puts(b, "[{\"type\":\"string\"},{\"items\":{\"type\":\"integer\"}}]");
		else if (schema)
			obuf_puts(b, "{\"type\":\"string\",\"additionalProperties\":{\"default\":[1,{\"z\":null}]}}");
		else if (!strcmp(field, "dependencies"))
			obuf_puts(b, any(2) ? "[\"a\",\"b\"]" : "{\"type\":\"string\"}");
		else
			obuf_puts(b, any(2) ? "{\"any\":[true,1.5,\"x\"]}" : "\"text\"");
		break;
	case OSCHEMA_STRUCT:
		gen_struct(t, depth + 1, b);
		break;
	case OSCHEMA_LIST:
		obuf_putc(b, '[');
		for (uint32_t i = 0, n = 1 + any(2); i < n; i++) {
			if (i)
				obuf_putc(b, ',');
			gen(&s->types[t->elem], field, depth + 1, b);
		}
		obuf_putc(b, ']');
		break;
	case OSCHEMA_MAP:
		obuf_puts(b, "{\"a/k\":");
		gen(&s->types[t->elem], field, depth + 1, b);
		if (any(2)) {
			obuf_puts(b, ",\"b\\n\":");
			gen(&s->types[t->elem], field, depth + 1, b);
		}
		obuf_putc(b, '}');
		break;
	default:
		obuf_puts(b, "null");
	}
}

static void gen_struct(const struct oschema_type *t, int depth, struct obuf *b)
{
	bool comma = false;

	obuf_putc(b, '{');
	for (uint16_t i = 0; i < t->n_fields; i++) {
		const struct oschema_field *f = &s->fields[t->fields + i];
		const struct oschema_type *ft = oschema_field_type(s, f);
		const char *name = oschema_field_name(s, f);

		/* types that contain themselves end somewhere; the more there is, the less is added */
		if (depth > 3 && ft->kind >= OSCHEMA_STRUCT && (depth > 12 || b->len > 60000 || any(3)))
			continue;
		obuf_printf(b, "%s\"%s\":", comma ? "," : "", name);
		gen(ft, name, depth, b);
		comma = true;
	}
	obuf_putc(b, '}');
}

/* As it would be stored and answered. False: it cannot be. */
static bool canonical(const struct oschema_type *t, struct orlop_bytes in, struct obuf *out)
{
	struct ojson *j = NULL, *typed = NULL;
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = ojson_parse(in.p, in.len, &j, NULL);

	if (r == 0)
		r = oschema_decode(s, t, j, 0, NULL, &typed, &err);
	if (r < 0)
		diag("%s: %s", oschema_str(s, t->name), err.msg);
	if (r == 0)
		r = ojson_write(typed, 0, out);
	ojson_unref(typed);
	ojson_unref(j);
	orlop_error_done(&err);
	return r == 0;
}

static const char *api_version(const struct oschema_type *t, char *buf, size_t size)
{
	const char *name = oschema_str(s, t->name);
	size_t n = strcspn(name, ".");

	for (uint16_t i = 0; i < s->n_groups; i++) {
		const char *p = oschema_str(s, s->groups[i].package);
		const char *g = oschema_str(s, s->groups[i].name);

		if (strlen(p) == n && memcmp(p, name, n) == 0) {
			snprintf(buf, size, "%s%s%s", g, g[0] ? "/" : "", oschema_str(s, s->groups[i].version));
			return buf;
		}
	}
	return NULL;
}

/* One object of @t there and back. Returns whether it came back the same. */
static bool there_and_back(const struct oschema_type *t, uint32_t n)
{
	struct obuf given = OBUF_INIT, want = OBUF_INIT, doc = OBUF_INIT, wire = OBUF_INIT, back = OBUF_INIT, got = OBUF_INIT;
	char av[100] = "";
	const char *kind = strchr(oschema_str(s, t->name), '.') + 1;
	bool good;
	int r = 0;

	seed = n;
	gen_struct(t, 0, &given);
	good = api_version(t, av, sizeof(av)) && canonical(t, (struct orlop_bytes){ given.data, given.len }, &want);
	obuf_printf(&doc, "{\"kind\":\"%s\",\"apiVersion\":\"%s\"%s%s", kind, av, want.len > 2 ? "," : "}",
		    good && want.len > 2 ? want.data + 1 : "");
	if (good)
		r = reg_proto_document(s, (struct orlop_bytes){ doc.data, doc.len }, &wire);
	if (good && r == 0)
		r = protobuf_to_json(s, t, (struct orlop_bytes){ wire.data, wire.len }, &back);
	good = good && r == 0 && canonical(t, (struct orlop_bytes){ back.data, back.len }, &got);
	if (good) {
		char *lead = obuf_cstr(&got) ? got.data : NULL;
		size_t head = want.len > 2 ? doc.len - want.len + 1 : doc.len;

		/* kind and apiVersion come back from the envelope */
		good = got.len == doc.len && memcmp(lead, doc.data, doc.len) == 0 && head <= doc.len;
	}
	if (!good)
		diag("%s #%u: %d\n# want %.1500s\n# got  %.1500s", oschema_str(s, t->name), n, r, doc.data, got.data ? got.data :
		     back.data ? back.data : "");
	obuf_done(&given);
	obuf_done(&want);
	obuf_done(&doc);
	obuf_done(&wire);
	obuf_done(&back);
	obuf_done(&got);
	return good;
}

static void test_every_type(void)
{
	unsigned int n = 0;

	for (uint16_t i = 0; i < s->n_type_names; i++) {
		const struct oschema_type *t = &s->types[s->type_names[i]];
		bool good = true;

		if (!(t->flags & OSCHEMA_T_OBJECT))
			continue;
		n++;
		for (uint32_t k = 1; k <= DEEP && good; k++)
			good = there_and_back(t, k * 7919 + i);
		ok(good, "%s", oschema_str(s, t->name));
	}
	ok(n > 100, "%u types", n);
}

/* ---- to the byte ---- */

static bool wire_is(const char *json, const char *want, size_t len)
{
	struct obuf b = OBUF_INIT;
	bool good;

	good = reg_proto_document(s, bytes_cstr(json), &b) == 0 && b.len == len && memcmp(b.data, want, len) == 0;
	if (!good) {
		char hex[2000];

		ohex_encode(b.data ? b.data : "", b.len < 900 ? b.len : 900, hex);
		diag("%s", hex);
	}
	obuf_done(&b);
	return good;
}

#define WIRE(json, want) wire_is(json, want, sizeof(want) - 1)

static void test_bytes(void)
{
	static const char frame[] = "\0\0\0\x26" "\x0a\x05" "ADDED" "\x12\x1d\x0a\x1b" "k8s\0\x0a\x0f\x0a\x02v1\x12\x09" "ConfigMap"
		"\x12\x00" "\x1a\0\"\0";
	struct obuf b = OBUF_INIT;

	ok(WIRE("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\"},\"data\":{\"k\":\"v\"}}\n",
		"k8s\0\x0a\x0f\x0a\x02v1\x12\x09" "ConfigMap\x12\x0d\x0a\x03\x0a\x01p\x12\x06\x0a\x01k\x12\x01v\x1a\0\"\0"), "an object");
	ok(WIRE("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"code\":404}\n",
		"k8s\0\x0a\x0c\x0a\x02v1\x12\x06" "Status\x12\x0e\x0a\0\x12\x07" "Failure\x30\x94\x03\x1a\0\"\0"), "a Status");
	ok(WIRE("{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"spec\":{\"replicas\":-1}}",
		"k8s\0\x0a\x17\x0a\x0e" "autoscaling/v1\x12\x05Scale\x12\x0d\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\0\"\0"),
	   "a number below zero takes ten bytes");
	ok(WIRE("{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{\"name\":\"p\"}}",
		"k8s\0\x0a\x27\x0a\x0emeta.k8s.io/v1\x12\x15PartialObjectMetadata\x12\x05\x0a\x03\x0a\x01p\x1a\0\"\0"), "metadata alone");
	ok(WIRE("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"creationTimestamp\":null},\"new\":{\"x\":[1]}}",
		"k8s\0\x0a\x0f\x0a\x02v1\x12\x09" "ConfigMap\x12\x02\x0a\x00\x1a\0\"\0"), "null and what no field has are left out");
	is_int(reg_proto_event(s, bytes_cstr("{\"type\":\"ADDED\",\"object\":{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\"}}\n"), &b), 0, "an event");
	ok(b.len == sizeof(frame) - 1 && memcmp(b.data, frame, b.len) == 0, "framed: %zu", b.len);
	obuf_done(&b);
}

static void test_refused(void)
{
	static const char *const bad[] = {
		"", "{", "[]", "{\"kind\":\"Pod\"", "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":[]}",
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":1}}",
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a}}",
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"creationTimestamp\":\"now\"}}",
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"labels\":[\"a\"]}}",
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"spec\":{\"containers\":{}}}",
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"spec\":{\"hostNetwork\":\"yes\"}}",
		"{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"data\":{\"a\":\"###\"}}",
	};
	struct obuf b = OBUF_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		obuf_reset(&b);
		is_int(reg_proto_document(s, bytes_cstr(bad[i]), &b), -EINVAL, "%s", bad[i]);
	}
	is_int(reg_proto_document(s, bytes_cstr("{\"kind\":\"Cow\",\"apiVersion\":\"farm.example/v1\"}"), &b), -ENOENT, "a kind that is not ours");
	is_int(reg_proto_document(s, bytes_cstr("{\"kind\":\"PodSpec\",\"apiVersion\":\"v1\"}"), &b), -ENOENT, "a type that is no kind");
	obuf_done(&b);
}

/* ---- what is asked for ---- */

static struct accept asked(const char *header, enum accept_for what)
{
	struct accept a;

	accept_parse(bytes_cstr(header), what, &a);
	return a;
}

#define PB	"application/vnd.kubernetes.protobuf"
#define AS_TABLE ";as=Table;v=v1;g=meta.k8s.io"
#define AS_META ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io"

static void test_accept(void)
{
	struct accept a;

	ok(asked(PB, ACCEPT_OBJECTS).proto && asked(PB ",application/json", ACCEPT_OBJECTS).proto, "protobuf");
	ok(!asked("application/json," PB, ACCEPT_OBJECTS).proto, "the first of two");
	ok(asked("application/json;q=0.9," PB, ACCEPT_OBJECTS).proto && !asked(PB ";q=0.5,application/json;q=0.7", ACCEPT_OBJECTS).proto,
	   "the better of two");
	ok(asked("*/*," PB, ACCEPT_OBJECTS).proto && asked("application/*, " PB, ACCEPT_OBJECTS).proto, "what is named before stars");
	ok(!asked("*/*", ACCEPT_OBJECTS).proto && !asked("", ACCEPT_OBJECTS).proto && !asked("", ACCEPT_OBJECTS).none, "JSON for any");
	ok(asked(PB ";stream=watch", ACCEPT_OBJECTS).proto && asked(PB ";stream=film", ACCEPT_OBJECTS).none, "streams of watches");
	ok(asked(PB AS_TABLE, ACCEPT_OBJECTS).none, "no table in protobuf");
	a = asked(PB AS_TABLE ",application/json" AS_TABLE "," PB, ACCEPT_OBJECTS);
	ok(!a.proto && a.form == REG_FORM_TABLE && a.status_proto, "but in JSON; what has no form comes in protobuf");
	a = asked(PB AS_META ",application/json" AS_META ",application/json", ACCEPT_OBJECTS);
	ok(a.proto && a.form == REG_FORM_META && !a.status_proto, "metadata in protobuf, errors in JSON");
	a = asked(PB ",application/json", ACCEPT_CUSTOM);
	ok(!a.proto && !a.none && a.status_proto, "custom objects in JSON, errors in protobuf");
	a = asked(PB, ACCEPT_CUSTOM);
	ok(a.none && a.status_proto, "or not at all");
	ok(asked(PB AS_META, ACCEPT_CUSTOM).proto, "their metadata");
	ok(asked(PB ";q=0", ACCEPT_OBJECTS).none, "not at all wanted");
}

int main(void)
{
	test_every_type();
	test_bytes();
	test_refused();
	test_accept();
	return done_testing();
}
