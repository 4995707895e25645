/*
 * v3.c - what a document of OpenAPI v2 of another server may make of itself in v3.
 */
#include "base/otap.h"
#include "registry/remote-docs.h"

#include <errno.h>

/* An operation with @types media types and @answers answers. */
static int made(unsigned int types, unsigned int answers, struct obuf *out)
{
	struct obuf v2 = OBUF_INIT;
	int r;

	obuf_puts(&v2, "{\"paths\":{\"/apis/g/v1/x\":{\"get\":{\"produces\":[");
	for (unsigned int i = 0; i < types; i++)
		obuf_printf(&v2, "%s\"application/%u\"", i ? "," : "", i);
	obuf_puts(&v2, "],\"responses\":{");
	for (unsigned int i = 0; i < answers; i++)
		obuf_printf(&v2, "%s\"%u\":{\"description\":\"d\",\"schema\":{\"$ref\":\"#/definitions/X\"}}", i ? "," : "", i);
	obuf_puts(&v2, "}}}}}");
	r = remote_v3_of((struct orlop_bytes){ v2.data, v2.len }, out);
	obuf_done(&v2);
	return r;
}

int main(void)
{
	struct obuf out = OBUF_INIT;

	is_int(made(2, 1, &out), 0, "a document");
	ok(strstr(obuf_cstr(&out), "\"0\":{\"description\":\"d\",\"content\":{\"application/0\":{\"schema\":{\"$ref\":\"#/components/schemas/X\"}},"
		  "\"application/1\":{\"schema\":{\"$ref\":\"#/components/schemas/X\"}}}}") != NULL, "each answer in each type: %s", obuf_cstr(&out));
	obuf_truncate(&out, 0);
	is_int(made(16, 1000, &out), 0, "a large one");
	is_int(made(17, 1, &out), -E2BIG, "more types than anybody has");
	is_int(made(16, 4000, &out), -E2BIG, "more answers in types than there is room for");
	obuf_done(&out);
	return done_testing();
}
