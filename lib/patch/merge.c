/* JSON Merge Patch, RFC 7386. */
#include "patch/opatch.h"

#include "base/ocleanup.h"

#include <errno.h>
#include <orlop/inline/error.h>

/* Merges @patch, an object, into the object @target. */
static int merge_object(struct ojson *target, const struct ojson *patch)
{
	int r = 0;

	OJSON_FOREACH(it, patch) {
		cleanup_ojson struct ojson *value = NULL;
		struct ojson *old;

		if (it.value == NULL) {
			ojson_del(target, it.key);
			continue;
		}
		if (!ojson_is(it.value, OJSON_OBJECT)) {
			r = ojson_copy(it.value, &value);
			if (r == 0)
				r = ojson_set(target, it.key, TAKE(value));
		} else {
			/* nulls inside a new object mean nothing: merging into {} drops them */
			old = ojson_ensure_object(target, it.key);
			r = old != NULL ? merge_object(old, it.value) : -ENOMEM;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int opatch_merge(struct ojson **doc, const struct ojson *patch, struct orlop_error *err)
{
	int r;

	if (!ojson_is(patch, OJSON_OBJECT))
		return orlop_fail(err, EINVAL, 400, "BadRequest",
				  "error decoding patch: json: cannot unmarshal %s into Go value of type "
				  "map[string]interface {}", ojson_type_name(patch));
	if (!ojson_is(*doc, OJSON_OBJECT)) {
		ojson_unref(*doc);
		*doc = ojson_new_object();
	}
	r = *doc != NULL ? merge_object(*doc, patch) : -ENOMEM;
	if (r < 0)
		return orlop_fail(err, -r, 500, "InternalError", "applying the patch: out of memory");
	return 0;
}
