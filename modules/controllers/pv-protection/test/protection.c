/* protection.c - volumes: bound, released, from before. */
#include <orlop/inline/error.h>

#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define VOLUMES	"persistentvolumes"

static struct fakehost *fh;
static struct fakekube *k;

static void settle(void)
{
	fakehost_advance(fh, 200 * FAKEHOST_MS);
}

static bool there(const char *name)
{
	struct ojson *o = fakekube_get(k, VOLUMES, "", name);
	bool is = o != NULL;

	ojson_unref(o);
	return is;
}

int main(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	fh = fakehost_new();
	fakehost_resource(fh, VOLUMES, 0, NULL);
	k = fakekube_new(fh);
	if (fakehost_load(fh, &orlop_module, &err))
		otap_bail_out(err.msg);
	fakekube_do(k, "create", VOLUMES, "", "v", "{\"metadata\":{\"finalizers\":[\"x/y\"]},\"status\":{\"phase\":\"Bound\"}}");
	settle();
	is_str(fakekube_at(k, VOLUMES, "", "v", "metadata.finalizers.1"), "kubernetes.io/pv-protection", "one from before gets it");
	fakekube_do(k, "delete", VOLUMES, "", "v", NULL);
	settle();
	is_str(fakekube_at(k, VOLUMES, "", "v", "metadata.finalizers.1"), "kubernetes.io/pv-protection", "bound it stays");
	fakehost_put(fh, VOLUMES, "", "v", "{\"metadata\":{\"name\":\"v\",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
		     "\"finalizers\":[\"x/y\",\"kubernetes.io/pv-protection\"]},\"status\":{\"phase\":\"Released\"}}");
	settle();
	is_str(fakekube_at(k, VOLUMES, "", "v", "metadata.finalizers.0"), "x/y", "then others' remain");
	is_str(fakekube_at(k, VOLUMES, "", "v", "metadata.finalizers.1"), "", "and ours is gone");
	fakekube_do(k, "create", VOLUMES, "", "w", "{\"metadata\":{\"finalizers\":[\"kubernetes.io/pv-protection\"]},\"status\":{\"phase\":\"Available\"}}");
	fakekube_do(k, "delete", VOLUMES, "", "w", NULL);
	settle();
	ok(!there("w"), "what is free goes");
	fakekube_free(k);
	fakehost_free(fh);
	return done_testing();
}
