/* Fuzz target of YAML: what was read is written and reads back as the same value. */
#include "base/ocleanup.h"
#include "yaml/oyaml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct ojson *j)
{
	cleanup_ojson struct ojson *again = NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;

	if (oyaml_write(j, &b) < 0 || oyaml_parse(b.data, b.len, &again, NULL) < 0)
		abort();
	if (!ojson_equal(j, again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = size > 0 ? (const char *)data : "";
	struct oyaml_error err;
	struct oyaml *y;
	struct ojson *j;

	if (oyaml_open(p, size, &y) < 0)
		return 0;
	while (oyaml_next(y, &j, &err) > 0) {
		check(j);
		ojson_unref(j);
	}
	oyaml_close(y);
	j = NULL;
	if (ojson_parse(p, size, &j, NULL) == 0)
		check(j);
	ojson_unref(j);
	return 0;
}
