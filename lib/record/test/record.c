/*
 * record.c - records made of trees and of bytes: the same index, the same object, resourceVersion in place.
 */
#include "apischema/apischema.h"
#include "base/ocleanup.h"
#include "base/otap.h"
#include "json/ojson.h"
#include "record/orecord.h"
#include "schema/decode.h"

#include <errno.h>

static const struct oschema *const s = &oschema_builtin;

static struct orlop_bytes B(const char *t)
{
	return (struct orlop_bytes){ t, strlen(t) };
}

static const struct oschema_resource *resource(const char *group, const char *version, const char *plural)
{
	return oschema_resource_find(s, B(group), B(version), B(plural));
}

/* The index entries as text, "number key=value;". */
static void index_text(const struct obuf *rec, struct obuf *out)
{
	struct orlop_record h;
	const char *p;

	memcpy(&h, rec->data, sizeof(h));
	p = rec->data + h.header_len;
	for (uint16_t i = 0; i < h.n_index; i++) {
		uint16_t n[2];
		uint32_t len;

		memcpy(n, p, 4);
		memcpy(&len, p + 4, 4);
		p += 8;
		obuf_printf(out, "%u %.*s=%.*s;", n[0], n[1], p, (int)len, p + n[1]);
		p += n[1] + len;
	}
	ok(p == rec->data + h.header_len + h.index_len, "the index has the length that the head says");
}

/* The object as it is served, with its resourceVersion. */
static void served(const struct obuf *rec, const char *rv, struct obuf *out)
{
	struct orlop_record h;
	const char *json;

	memcpy(&h, rec->data, sizeof(h));
	json = rec->data + h.header_len + h.index_len;
	obuf_append(out, json, h.rv_off);
	obuf_printf(out, "\"resourceVersion\":\"%s\",", rv);
	obuf_append(out, json + h.rv_off, h.json_len - h.rv_off);
	ok(rec->len == h.header_len + h.index_len + h.json_len, "the record ends with the object");
}

static void is_both(const char *group, const char *version, const char *plural, const char *type, const char *json)
{
	const struct oschema_resource *r = resource(group, version, plural);
	cleanup_obuf struct obuf tree = OBUF_INIT, bytes = OBUF_INIT, it = OBUF_INIT, ib = OBUF_INIT;
	cleanup_obuf struct obuf st = OBUF_INIT, sb = OBUF_INIT, text = OBUF_INIT, wire = OBUF_INIT;
	cleanup_ojson struct ojson *in = NULL, *obj = NULL;
	struct orlop_error err = { .size = sizeof(err) };
	struct orecord_head head;
	size_t at;
	uint32_t rv;

	ok(ojson_parse(json, strlen(json), &in, NULL) == 0, "%s: test text", plural);
	ok(oschema_decode(s, oschema_type_find(s, type), in, 0, NULL, &obj, &err) == 0, "%s: decoded", plural);
	ojson_del(obj, "kind");
	ojson_del(obj, "apiVersion");
	(void)ojson_write(obj, 0, &text);
	ok(orecord_put(s, r, obj, (struct orlop_bytes){ text.data, text.len }, (struct orlop_bytes){ NULL, 0 }, &tree,
		       &at, &rv) == 0, "%s: a record of the tree", plural);
	served(&tree, "4711", &st);
	/* what another server would send of it */
	obuf_printf(&wire, "{\"kind\":\"X\",\"apiVersion\":\"v1\",%.*s}", (int)st.len, st.data);
	ok(orecord_put_bytes(s, r, (struct orlop_bytes){ wire.data, wire.len }, 0, &bytes, &head) == 0,
	   "%s: a record of the bytes", plural);
	ok(head.rev == 4711, "%s: its revision", plural);
	served(&bytes, "4711", &sb);
	is_str(obuf_cstr(&sb), obuf_cstr(&st), "%s: the same object", plural);
	index_text(&tree, &it);
	index_text(&bytes, &ib);
	is_str(obuf_cstr(&ib), obuf_cstr(&it), "%s: the same index", plural);
}

static void is_served(const char *in, unsigned int flags, const char *want, const char *what)
{
	cleanup_obuf struct obuf rec = OBUF_INIT, out = OBUF_INIT;
	struct orecord_head head;

	ok(orecord_put_bytes(NULL, NULL, B(in), flags, &rec, &head) == 0, "%s: taken", what);
	if (rec.len)
		served(&rec, "7", &out);
	is_str(obuf_cstr(&out), want, "%s", what);
}

static void refuses(const char *in, const char *what)
{
	cleanup_obuf struct obuf rec = OBUF_INIT;
	struct orecord_head head;

	ok(orecord_put_bytes(NULL, NULL, B(in), 0, &rec, &head) == -EINVAL, "refused: %s", what);
}

int main(void)
{
	is_both("", "v1", "pods", "core/v1.Pod",
		"{\"metadata\":{\"name\":\"a\",\"namespace\":\"d\",\"uid\":\"u-1\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\","
		"\"labels\":{\"b\":\"2\",\"a\":\"1\",\"x/y\":\"\"},\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"N\",\"name\":\"n\",\"uid\":\"o2\"},"
		"{\"apiVersion\":\"v1\",\"kind\":\"N\",\"name\":\"n\",\"uid\":\"o1\"}]},"
		"\"spec\":{\"nodeName\":\"n1\",\"hostNetwork\":true,\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\"}}");
	is_both("", "v1", "nodes", "core/v1.Node",
		"{\"metadata\":{\"name\":\"n\",\"uid\":\"u\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},\"spec\":{\"unschedulable\":true}}");
	is_both("", "v1", "events", "core/v1.Event",
		"{\"metadata\":{\"name\":\"e\",\"namespace\":\"d\",\"uid\":\"u\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},"
		"\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"a \\\"b\\\"\",\"uid\":\"p\"},\"reportingComponent\":\"me\",\"type\":\"Normal\"}");
	is_both("apps", "v1", "replicasets", "apps/v1.ReplicaSet",
		"{\"metadata\":{\"name\":\"r\",\"namespace\":\"d\",\"uid\":\"u\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},\"status\":{\"replicas\":3}}");

	is_served("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\",\"labels\":{}}}", 0,
		  "\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\",\"labels\":{}}", "metadata alone");
	is_served("{\"spec\":{\"a\":[1]},\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"a\"},\"kind\":\"K\"}", 0,
		  "\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"a\"},\"spec\":{\"a\":[1]}", "another order");
	is_served("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\",\"creationTimestamp\":null,\"managedFields\":[{\"a\":1}]},\"data\":{}}",
		  ORECORD_DROP_MANAGED,
		  "\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\",\"creationTimestamp\":null},\"data\":{}", "managedFields dropped");

	refuses("[]", "no object");
	refuses("{}", "no metadata");
	refuses("{\"metadata\":null}", "metadata null");
	refuses("{\"metadata\":{\"name\":\"a\"}}", "no resourceVersion");
	refuses("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"x\"}}", "a resourceVersion that is no number");
	refuses("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":7}}", "a resourceVersion that is no text");
	refuses("{\"metadata\":{\"name\":\"a/b\",\"resourceVersion\":\"7\"}}", "a name that would be another key");
	refuses("{\"metadata\":{\"name\":\"\",\"resourceVersion\":\"7\"}}", "no name");
	refuses("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\",\"labels\":{\"a\":1}}}", "a label that is no text");
	return done_testing();
}
