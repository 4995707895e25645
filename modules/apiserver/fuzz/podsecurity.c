/*
 * Fuzz target of PodSecurity. Input: a line that becomes the labels of a namespace, a line that is the metadata of a pod, and the
 * rest, its spec (all JSON). Every request gets one answer that is JSON; what is refused is refused in words, and nothing is
 * left.
 */
#include "../test/rig.h"

#include "json/oscan.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig *rig;
static uint32_t runs;

static void prepare(void)
{
	if (rig && runs++ < 500)
		return;
	if (rig)
		rig_free(rig);
	rig = rig_new();
	runs = 0;
	rig_boot(rig);
	rig_do(rig, "create serviceaccounts default", "", "{\"metadata\":{\"name\":\"default\"}}");
}

/* Up to the end of the line, if that is JSON. */
static struct ojson *next(const char **p, const char *end, bool line)
{
	const char *nl = line ? memchr(*p, '\n', (size_t)(end - *p)) : NULL, *stop = nl ? nl : end;
	struct ojson *j = NULL;

	(void)ojson_parse(*p, (size_t)(stop - *p), &j, NULL);
	*p = nl ? nl + 1 : end;
	return j;
}

static uint32_t ask(const char *what, const char *query, struct ojson *take_meta, struct ojson *take_spec, const char *name)
{
	struct ojson *obj = ojson_new_object(), *meta = ojson_is(take_meta, OJSON_OBJECT) ? take_meta : ojson_new_object();
	struct orlop_bytes doc;
	char *text;

	if (meta != take_meta)
		ojson_unref(take_meta);
	if (!obj || !meta || ojson_set_cstr(meta, "name", name) || ojson_set(obj, "metadata", meta) ||
	    ojson_put(obj, "spec", take_spec))
		abort();
	text = ojson_text(obj, 0, NULL);
	ojson_unref(obj);
	rig_do(rig, what, query, text);
	omem_free(text);
	if (rig->code < 200 || rig->code > 599 || oscan_check(rig->body, strlen(rig->body), 128, &doc, NULL))
		fprintf(stderr, "%s: %u %s\n", what, rig->code, rig->body), abort();
	if (reg_shard_busy(rig->sh))
		fprintf(stderr, "%s: busy\n", what), abort();
	return rig->code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *end = p + size;
	struct ojson *labels, *meta, *spec, *ns_meta = ojson_new_object();

	if (!ns_meta)
		return 0;
	prepare();
	labels = next(&p, end, true);
	meta = next(&p, end, true);
	spec = next(&p, end, false);
	if (ojson_put(ns_meta, "labels", labels))
		abort();
	(void)ask("update namespaces - default", "", ns_meta, NULL, "default");
	if (ask("create pods default", "dryRun=All", ojson_ref(meta), ojson_ref(spec), "a") == 403 &&
	    !strstr(rig->body, "is forbidden: "))
		abort();
	ojson_unref(meta);
	ojson_unref(spec);
	return 0;
}
