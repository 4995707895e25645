/* kind-claim.c - PersistentVolumeClaims: where their data comes from, told in two fields that say the same. */
#include "kinds.h"
#include "write.h"

#include "json/ojson.h"

#include <errno.h>

#define SNAPSHOTS "snapshot.storage.k8s.io"

/* What the older of the two fields may name; anything else there is left out without a word. */
static bool is_old_source(const struct ojson *from)
{
	struct orlop_bytes group = ojson_get_bytes(from, "apiGroup"), kind = ojson_get_bytes(from, "kind");

	return group.len ? rb_is(group, SNAPSHOTS) && rb_is(kind, "VolumeSnapshot") : rb_is(kind, "PersistentVolumeClaim");
}

/* spec.@to says what spec.@from says. */
static int copy_source(struct ojson *spec, const char *to, const char *from)
{
	struct ojson *copy = NULL;
	int r = ojson_copy(ojson_get(spec, from), &copy);

	if (r == 0) {
		ojson_del(copy, "namespace");
		r = ojson_set(spec, to, copy);
	}
	return r;
}

static int prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	struct ojson *spec = ojson_get(obj, "spec");
	const struct ojson *was = ojson_get(old, "spec");
	int r = 0;

	if (!ojson_is(spec, OJSON_OBJECT))
		return 0;
	if (ojson_has(spec, "dataSource") && !is_old_source(ojson_get(spec, "dataSource")) && !ojson_has(was, "dataSource") &&
	    !ojson_has(was, "dataSourceRef")) {
		ojson_del(spec, "dataSource");
		reg_dirty(op);
	}
	if (ojson_has(spec, "dataSource") && !ojson_has(spec, "dataSourceRef")) {
		r = copy_source(spec, "dataSourceRef", "dataSource");
		reg_dirty(op);
	} else if (ojson_has(spec, "dataSourceRef") && !ojson_has(spec, "dataSource") &&
		   !ojson_get_bytes(ojson_get(spec, "dataSourceRef"), "namespace").len) {
		r = copy_source(spec, "dataSource", "dataSourceRef");
		reg_dirty(op);
	}
	return r ? reg_failed(op, r, NULL) : 0;
}

const struct reg_behaviour kind_claim = {
	.resource = "persistentvolumeclaims",
	.prepare = prepare,
};
