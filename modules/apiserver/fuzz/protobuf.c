/*
 * Fuzz target of the protobuf decoder: any bytes of any kind become JSON that can be parsed, or are refused.
 *
 * Input: two bytes choose the resource, the rest is the message.
 */
#include "../front.h"

#include "apischema/apischema.h"
#include "base/obuf.h"
#include "json/ojson.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct oschema_resource *res;
	struct obuf out = OBUF_INIT;
	struct ojson *j = NULL;

	if (size < 2)
		return 0;
	res = &oschema_builtin.resources[(data[0] | data[1] << 8) % oschema_builtin.n_resources];
	if (protobuf_to_json(&oschema_builtin, oschema_type_at(&oschema_builtin, res->type),
			     (struct orlop_bytes){ (const char *)data + 2, size - 2 }, &out) == 0) {
		if (ojson_parse(out.data, out.len, &j, NULL))
			abort();
		ojson_unref(j);
	}
	obuf_done(&out);
	return 0;
}
