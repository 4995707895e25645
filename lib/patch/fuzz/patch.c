/*
 * Fuzz target of patches and managedFields: the input is two JSON texts with a newline between,
 * document and patch. Nothing may crash or leak; what comes out can be written and read again; a
 * managed object's entries can be read again.
 */
#include "base/ocleanup.h"
#include "patch/omanaged.h"
#include "patch/opatch.h"
#include "../test/toy.h"

#include <orlop/inline/error.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct ojson *j)
{
	cleanup_ojson struct ojson *again = NULL;
	size_t len;
	cleanup_free char *text = ojson_text(j, 0, &len);

	if (text == NULL || ojson_parse(text, len, &again, NULL) < 0 || !ojson_equal(j, again))
		abort();
}

static void manage(const struct oschema_type *type, struct ojson *live, struct ojson *object)
{
	static const char *const reset[] = { "status", NULL };
	struct omanaged_write_info w = {
		.schema = &toy, .type = type, .live = live, .object = object, .manager = { "m", 1 },
		.api_version = { "v1", 2 }, .now_ns = 1700000000000000000, .reset = reset,
	};
	cleanup_oarena struct oarena a = OARENA_INIT;
	struct omanaged m;

	if (!ojson_is(object, OJSON_OBJECT))
		return;
	if (omanaged_update(&w) < 0)
		abort();
	if (omanaged_read(&a, OJSON_AT(object, "metadata", "managedFields"), &m, NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct oschema_type *type;
	const char *p = size > 0 ? (const char *)data : "";
	const char *newline = size > 0 ? memchr(p, '\n', size) : NULL;
	cleanup_ojson struct ojson *doc = NULL;
	cleanup_ojson struct ojson *patch = NULL;

	if (type == NULL)
		type = toy_make();
	if (newline == NULL || ojson_parse(p, (size_t)(newline - p), &doc, NULL) < 0 ||
	    ojson_parse(newline + 1, size - (size_t)(newline - p) - 1, &patch, NULL) < 0)
		return 0;
	for (int kind = 0; kind < 3; kind++) {
		cleanup_ojson struct ojson *j = NULL;
		struct orlop_error err = ORLOP_ERROR_INIT;

		if (ojson_copy(doc, &j) < 0)
			abort();
		if (kind == 0)
			(void)opatch_json(&j, patch, &err);
		else if (kind == 1)
			(void)opatch_merge(&j, patch, &err);
		else
			(void)opatch_strategic(&j, patch, &toy, type, &err);
		check_text(j);
		manage(type, doc, j);
		check_text(j);
		orlop_error_done(&err);
	}
	manage(type, NULL, doc);
	return 0;
}
