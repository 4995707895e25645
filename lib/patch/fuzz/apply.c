/*
 * Fuzz target of server-side apply and FieldsV1: the input is JSON texts on lines: the live object
 * with its managedFields, then configurations that two managers apply in turn. Nothing may crash or
 * leak; entries that come out can be read again, and applying the same once more changes nothing.
 */
#include "base/ocleanup.h"
#include "patch/oapply.h"
#include "../test/toy.h"

#include <errno.h>
#include <orlop/inline/error.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ojson *next(const char **p, const char *end)
{
	const char *newline = *p < end ? memchr(*p, '\n', (size_t)(end - *p)) : NULL;
	const char *stop = newline != NULL ? newline : end;
	struct ojson *j = NULL;

	if (*p < end)
		(void)ojson_parse(*p, (size_t)(stop - *p), &j, NULL);
	*p = newline != NULL ? newline + 1 : end;
	return j;
}

/* 0 and the object as it would be stored in *live, replaced. */
static int apply(const struct oschema_type *type, struct ojson **live, const struct ojson *config, bool other,
		 bool force)
{
	static const char *const reset[] = { "status", NULL };
	cleanup_oarena struct oarena a = OARENA_INIT;
	struct oapply_info in = {
		.schema = &toy, .type = type, .live = *live, .config = config, .force = force,
		.manager = { other ? "other" : "kubectl", other ? 5 : 7 }, .api_version = { "apps/v1", 7 },
		.now_ns = 1700000000000000000, .reset = reset,
	};
	struct oapply_result out;
	struct omanaged m;
	struct ojson *meta;
	struct ojson *stored = NULL;
	int r = oapply(&a, &in, &out);

	if (r == -ENOMEM)
		abort();
	if (r == -EEXIST && (force || out.n_conflicts == 0 || out.message == NULL))
		abort();
	if (r < 0)
		return r;
	if (omanaged_read(&a, out.managed, &m, NULL) < 0 || ojson_copy(out.object, &stored) < 0)
		abort();
	ojson_unref(out.object);
	ojson_unref(*live);
	*live = stored;
	meta = ojson_get_object(stored, "metadata");
	if (meta == NULL || out.managed == NULL) {
		ojson_unref(out.managed);
		return 0;
	}
	return ojson_set(meta, "managedFields", out.managed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct oschema_type *type;
	const char *p = size > 0 ? (const char *)data : "";
	const char *end = p + size;
	cleanup_ojson struct ojson *live = NULL;

	if (type == NULL)
		type = toy_make();
	live = next(&p, end);
	if (live != NULL && !ojson_is(live, OJSON_OBJECT))
		return 0;
	for (int i = 0; i < 6 && p < end; i++) {
		cleanup_ojson struct ojson *config = next(&p, end);

		if (!ojson_is(config, OJSON_OBJECT))
			continue;
		if (apply(type, &live, config, i % 2, false) == -EEXIST &&
		    apply(type, &live, config, i % 2, true) == -EEXIST)
			abort();
	}
	return 0;
}
