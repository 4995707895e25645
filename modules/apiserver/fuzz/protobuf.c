/*
 * Fuzz target of protobuf both ways: any bytes of any kind become JSON that can be parsed, or are refused; what was
 * read is written again, and that says the same. Any text at all is written or refused.
 *
 * Input: two bytes choose the resource, the rest is the message, or a text if it begins like one.
 */
#include "../front.h"
#include "../registry/proto.h"

#include "apischema/apischema.h"
#include "base/obuf.h"
#include "json/ojson.h"
#include "json/oscan.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct oschema *const s = &oschema_builtin;

static void again(const struct oschema_type *t, const struct obuf *json)
{
	struct obuf raw = OBUF_INIT, wire = OBUF_INIT, back = OBUF_INIT;
	struct orlop_bytes kind, av, v;
	struct orlop_bytes doc = { json->data, json->len };
	bool got_kind, got_version;
	char k[100], a[100];

	if (reg_proto_members(s, t, (struct orlop_bytes){ json->data + 1, json->len - 2 }, 2, &raw))
		abort();
	/* The envelope once more, if it had none or one that can be written as text. */
	got_kind = oscan_get(doc, "kind", &v) && oscan_plain(v, &kind);
	got_version = oscan_get(doc, "apiVersion", &v) && oscan_plain(v, &av);
	if (got_kind && got_version && kind.len < 100 && av.len < 100) {
		snprintf(k, sizeof(k), "%.*s", (int)kind.len, kind.p);
		snprintf(a, sizeof(a), "%.*s", (int)av.len, av.p);
		if (strlen(k) == kind.len && strlen(a) == av.len)
			reg_proto_head(a, k, 0, &wire);
	} else if (!oscan_get(doc, "kind", &v) && !oscan_get(doc, "apiVersion", &v)) {
		obuf_append(&wire, "k8s", 4);
	}
	if (wire.len) {
		obuf_append(&wire, raw.data, raw.len);
		if (protobuf_to_json(s, t, (struct orlop_bytes){ wire.data, wire.len }, &back) ||
		    back.len != json->len || memcmp(back.data, json->data, back.len) != 0)
			abort();
	}
	obuf_done(&raw);
	obuf_done(&wire);
	obuf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct oschema_resource *res;
	const struct oschema_type *t;
	struct obuf out = OBUF_INIT;
	struct ojson *j = NULL;

	if (size < 2)
		return 0;
	res = &s->resources[(data[0] | data[1] << 8) % s->n_resources];
	t = oschema_type_at(s, res->type);
	data += 2;
	size -= 2;
	if (size && (data[0] == '{' || data[0] == '"')) {
		struct orlop_bytes text = { (const char *)data, size };

		(void)reg_proto_document(s, text, &out);
		obuf_reset(&out);
		(void)reg_proto_event(s, text, &out);
		obuf_reset(&out);
		(void)reg_proto_members(s, t, text, 1, &out);
	} else if (protobuf_to_json(s, t, (struct orlop_bytes){ (const char *)data, size }, &out) == 0) {
		if (ojson_parse(out.data, out.len, &j, NULL))
			abort();
		/* Bytes that are no UTF-8 have been replaced by now, and stay what they are. */
		obuf_reset(&out);
		if (ojson_write(j, 0, &out) == 0)
			again(t, &out);
		ojson_unref(j);
	}
	obuf_done(&out);
	return 0;
}
