/*
 * Fuzz target of oscan and ojson: whatever the bytes, no function leaves them; checker and parser
 * agree on what is JSON; what was written reads back as the same value.
 */
#include "base/ocleanup.h"
#include "json/ojson.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct orlop_bytes v, unsigned int depth)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct oscan_iter it;

	if (oscan_type(v) == OSCAN_STRING)
		(void)oscan_unquote(v, &b);
	if (depth > 200)
		return;
	for (oscan_begin(&it, v); oscan_next(&it) > 0;) {
		(void)oscan_string_is_cstr(it.key, "metadata");
		walk(it.value, depth + 1);
	}
}

static void check_round_trip(const struct ojson *j)
{
	cleanup_ojson struct ojson *again = NULL;
	cleanup_ojson struct ojson *copy = NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_obuf struct obuf b2 = OBUF_INIT;
	struct orlop_bytes v;

	if (ojson_write(j, 0, &b) < 0 || ojson_parse(b.data, b.len, &again, NULL) < 0 ||
	    !ojson_equal(j, again))
		abort();
	if (ojson_copy(j, &copy) < 0 || !ojson_equal(j, copy))
		abort();
	if (oscan_check(b.data, b.len, 128, &v, NULL) < 0 || v.len != b.len)
		abort();
	oscan_indent(v, &b2);
	obuf_reset(&b);
	if (ojson_write(j, OJSON_PRETTY, &b) < 0 || b.len != b2.len || memcmp(b.data, b2.data, b.len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = size > 0 ? (const char *)data : "";
	cleanup_ojson struct ojson *j = NULL;
	struct oscan_error e1 = { 0, "" };
	struct oscan_error e2 = { 0, "" };
	struct orlop_bytes v;
	int checked = oscan_check(p, size, OSCAN_DEPTH_MAX, &v, &e1);
	int parsed = ojson_parse(p, size, &j, &e2);

	/* only the tree has opinions on the size of numbers and on NUL in keys */
	if (checked < 0 && parsed == 0)
		abort();
	if (checked == 0 && parsed < 0 && parsed != -ERANGE && strstr(e2.msg, "contains NUL") == NULL)
		abort();
	if (checked < 0 && parsed == checked && e1.offset != e2.offset && strstr(e2.msg, "NUL") == NULL)
		abort();
	if (parsed == 0)
		check_round_trip(j);
	/* unchecked bytes, too */
	walk(checked == 0 ? v : oscan_bytes(p, size), 0);
	return 0;
}
