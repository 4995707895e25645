/* static.c - static pods: manifests whole and broken, their mirrors, their end. */
#include "kit.h"

#include <sys/stat.h>

#include "statics.h"

static void test_manifest(void)
{
	static const struct { const char *text; const char *why; } bad[] = {
		{ "", "not an object" },
		{ "apiVersion: v1\nkind: Pod\nmetadata:\n  name: half\nspec:\n  conta", "spec" },
		{ "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"", "yaml" },
		{ "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", "not a Pod" },
		{ "apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\nspec: {containers: [{name: a, image: i}]}\n", "metadata.name" },
		{ "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a}]}\n", "spec.containers[0].image" },
		{ "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: i, envFrom: [{secretRef: {name: s}}]}]}\n",
		  "may not reference secrets" },
		{ "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {serviceAccountName: x, containers: [{name: a, image: i}]}\n",
		  "may not reference serviceaccounts" },
	};
	const char *good = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n";
	struct ojson *one = NULL;
	struct ojson *two = NULL;
	struct obuf why = OBUF_INIT;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ojson *j = NULL;

		obuf_reset(&why);
		ok(manifest_read(bad[i].text, strlen(bad[i].text), "/m/f", "n1", 1, &j, &why) == -EINVAL && !j, "refused: %s", bad[i].why);
		ok(strstr(obuf_cstr(&why), bad[i].why) != NULL, "and why: %s", obuf_cstr(&why));
	}
	is_int(manifest_read(good, strlen(good), "/m/f", "n1", 1, &one, &why), 0, "a whole one");
	is_str(okube_meta(one, "name"), "a-n1", "named after its node");
	is_str(okube_meta(one, "namespace"), "default", "in a namespace");
	is_str(ojson_cstr(OJSON_AT(one, "spec", "nodeName"), ""), "n1", "bound");
	is_str(ojson_cstr(OJSON_AT(one, "metadata", "annotations", "kubernetes.io/config.source"), ""), "file", "of a file");
	is_int(manifest_read(good, strlen(good), "/m/f", "n1", 2, &two, &why), 0, "read again");
	is_str(okube_meta(two, "uid"), okube_meta(one, "uid"), "it is the same pod");
	ojson_unref(two);
	is_int(manifest_read(good, strlen(good), "/m/g", "n1", 2, &two, &why), 0, "of another file");
	ok(strcmp(okube_meta(two, "uid"), okube_meta(one, "uid")) != 0, "it is another");
	ojson_unref(one);
	ojson_unref(two);
	obuf_done(&why);
}

static void test_mirror(void)
{
	static const char text[] = "apiVersion: v1\nkind: Pod\nmetadata: {name: s}\nspec: {containers: [{name: c, image: i}]}\n";
	char dir[120];
	char path[140];

	kit_begin();
	snprintf(dir, sizeof(dir), "%s/manifests", kit.dir);
	snprintf(path, sizeof(path), "%s/s.yaml", dir);
	(void)mkdir(dir, 0755);
	(void)ofile_write(AT_FDCWD, path, text, strlen(text), 0644);
	fakehost_param(kit.fh, "static_pods", dir);
	kit_load();
	kit_run(3000);
	is_int(kit_count("create c"), 1, "a static pod runs");
	is_str(kit_get("s-n1", "metadata.ownerReferences.0.kind"), "Node", "its mirror belongs to the node");
	is_str(kit_get("s-n1", "status.phase"), "Running", "and has its status");
	fakehost_delete(kit.fh, "pods", "default", "s-n1");
	kit_run(3000);
	is_str(kit_get("s-n1", "status.phase"), "Running", "deleted, the mirror comes again");
	is_int(kit_count("create c"), 1, "and the pod knows nothing of it");
	fakehost_crash(kit.fh, kit.m);
	kit.poller = NULL;
	kit_load();
	kit_run(3000);
	is_int(kit_count("create c"), 1, "a restarted kubelet finds it running");
	fakehost_crash(kit.fh, kit.m);
	kit.poller = NULL;
	(void)unlink(path);
	kit_load();
	kit_run(5000);
	is_int(kit_count("stop c"), 1, "without its manifest it ends");
	ok(fakehost_get(kit.fh, "pods", "default", "s-n1") == NULL, "and the mirror goes");
	kit_end();
}

int main(void)
{
	test_manifest();
	test_mirror();
	return done_testing();
}
