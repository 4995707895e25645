/* protection.c - claims: used by a volume, by an ephemeral one, by a pod without a node, by nobody. */
#include <stdio.h>

#include <orlop/inline/error.h>

#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define CLAIMS	"persistentvolumeclaims"

static struct fakehost *fh;
static struct fakekube *k;

static void settle(void)
{
	fakehost_advance(fh, 200 * FAKEHOST_MS);
}

static bool there(const char *name)
{
	struct ojson *o = fakekube_get(k, CLAIMS, "default", name);
	bool is = o != NULL;

	ojson_unref(o);
	return is;
}

static void claim(const char *name, const char *more)
{
	char t[400];

	(void)snprintf(t, sizeof(t), "{\"metadata\":{\"name\":\"%s\"%s,\"finalizers\":[\"kubernetes.io/pvc-protection\"]}}", name, more);
	fakekube_do(k, "create", CLAIMS, "default", name, t);
}

static void pod(const char *name, const char *node, const char *volume)
{
	fakehost_putf(fh, "pods", "default", name, "{\"metadata\":{\"namespace\":\"default\",\"name\":\"%s\",\"uid\":\"u-%s\"},\"spec\":{"
		      "%s\"volumes\":[{\"name\":\"v\",%s}]}}", name, name, node, volume);
	settle();
}

/* A claim and a pod: does the claim stay while the pod is there? */
static void expect(const char *what, const char *name, const char *owner, const char *node, const char *volume, bool stays)
{
	claim(name, owner);
	pod("p", node, volume);
	fakekube_do(k, "delete", CLAIMS, "default", name, NULL);
	settle();
	ok(there(name) == stays, "%s", what);
	fakekube_do(k, "delete", "pods", "default", "p", "{\"gracePeriodSeconds\":0}");
	settle();
	ok(!there(name), "%s: it goes when the pod has gone", what);
}

int main(void)
{
	static const char node[] = "\"nodeName\":\"n\",", other[] = "\"persistentVolumeClaim\":{\"claimName\":\"other\"}";
	static const char own[] = ",\"ownerReferences\":[{\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"u-p\",\"controller\":true}]";
	struct orlop_error err = ORLOP_ERROR_INIT;

	fh = fakehost_new();
	fakehost_resource(fh, CLAIMS, 1, NULL);
	fakehost_resource(fh, "pods", 1, NULL);
	k = fakekube_new(fh);
	if (fakehost_load(fh, &orlop_module, &err))
		otap_bail_out(err.msg);
	expect("a claim that is used", "c", "", node, "\"persistentVolumeClaim\":{\"claimName\":\"c\"}", true);
	expect("by a pod without a node", "c", "", "", "\"persistentVolumeClaim\":{\"claimName\":\"c\"}", false);
	expect("one that is not", "c", "", node, other, false);
	expect("made for the pod", "p-v", own, node, "\"ephemeral\":{}", true);
	expect("of that name only", "p-v", "", node, "\"ephemeral\":{}", false);
	fakekube_do(k, "create", CLAIMS, "default", "old", "{\"metadata\":{\"name\":\"old\"}}");
	settle();
	is_str(fakekube_at(k, CLAIMS, "default", "old", "metadata.finalizers.0"), "kubernetes.io/pvc-protection", "one from before gets it");
	fakekube_free(k);
	fakehost_free(fh);
	return done_testing();
}
