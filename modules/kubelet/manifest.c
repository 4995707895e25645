/*
 * manifest.c - a static pod's manifest becomes a pod. Pure.
 *
 * Source: pkg/kubelet/config (common.go: applyDefaults, tryDecodeSinglePod; file.go); that such a pod may not refer to
 * objects of the API is upstream's too.
 */
#include "statics.h"

#include <errno.h>
#include <string.h>

#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/osha256.h"
#include "base/otime.h"
#include "yaml/oyaml.h"

static void ref_found(void *arg, char kind, const char *name)
{
	struct obuf *why = arg;

	if (!why->len)
		obuf_printf(why, "static pods may not reference %s \"%s\"", kind == 'c' ? "configmaps" : "secrets", name);
}

static bool name_ok(const char *s)
{
	size_t n = strlen(s);
	size_t i;

	for (i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
		      ((s[i] == '-' || s[i] == '.') && i && i + 1 < n)))
			return false;
	return n && n <= 253;
}

static int containers_check(const struct ojson *spec, const char *list, struct obuf *why)
{
	OJSON_FOREACH_ELEM(i, c, ojson_get(spec, list)) {
		if (!name_ok(ojson_get_cstr(c, "name", ""))) {
			obuf_printf(why, "spec.%s[%zu].name: Required value", list, i);
			return -EINVAL;
		}
		if (!*ojson_get_cstr(c, "image", "")) {
			obuf_printf(why, "spec.%s[%zu].image: Required value", list, i);
			return -EINVAL;
		}
	}
	return 0;
}

static int check(const struct ojson *j, struct obuf *why)
{
	const struct ojson *spec = ojson_get_object(j, "spec");

	if (!ojson_is(j, OJSON_OBJECT))
		obuf_puts(why, "it is not an object");
	else if (strcmp(ojson_get_cstr(j, "kind", ""), "Pod") || strcmp(ojson_get_cstr(j, "apiVersion", ""), "v1"))
		obuf_puts(why, "it is not a Pod of v1");
	else if (!name_ok(okube_meta(j, "name")))
		obuf_puts(why, "metadata.name: Required value");
	else if (!ojson_count(ojson_get_array(spec, "containers")))
		obuf_puts(why, "spec.containers: Required value");
	else if (ojson_count(ojson_get(spec, "ephemeralContainers")))
		obuf_puts(why, "static pods may not have ephemeral containers");
	else if (*ojson_get_cstr(spec, "serviceAccountName", ""))
		obuf_puts(why, "static pods may not reference serviceaccounts");
	else if (!containers_check(spec, "initContainers", why) && !containers_check(spec, "containers", why))
		pod_refs_each(j, ref_found, why);
	return why->len ? -EINVAL : 0;
}

static void uid_make(const struct ojson *j, const char *path, const char *node_name, char out[33])
{
	unsigned char sum[OSHA256_LEN];
	struct osha256 s;
	struct obuf b = OBUF_INIT;
	int i;

	obuf_printf(&b, "host:%s file:%s ", node_name, path);
	(void)ojson_write(j, 0, &b);
	osha256_init(&s);
	osha256_add(&s, obuf_cstr(&b), b.len);
	osha256_end(&s, sum);
	obuf_done(&b);
	for (i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

static void tolerate_all(struct ojson *spec)
{
	struct ojson *t = ojson_new_object();

	(void)ojson_set_cstr(t, "effect", "NoExecute");
	(void)ojson_set_cstr(t, "operator", "Exists");
	(void)ojson_append(ojson_ensure_array(spec, "tolerations"), t);
}

int manifest_read(const char *text, size_t len, const char *path, const char *node_name, int64_t now_ns,
		  struct ojson **ret, struct obuf *why)
{
	struct oyaml_error err = { 0 };
	cleanup_ojson struct ojson *j = NULL;
	struct ojson *meta;
	struct ojson *notes;
	struct ojson *spec;
	char uid[33];
	char time[OTIME_BUF];
	char name[520];

	obuf_reset(why);
	if (oyaml_parse(text, len, &j, &err) < 0) {
		obuf_puts(why, *err.msg ? err.msg : "it cannot be read");
		return -EINVAL;
	}
	if (check(j, why))
		return -EINVAL;
	meta = ojson_ensure_object(j, "metadata");
	spec = ojson_ensure_object(j, "spec");
	notes = ojson_ensure_object(meta, "annotations");
	if (!spec || !notes)
		return -ENOMEM;
	uid_make(j, path, node_name, uid);
	ojson_del(j, "kind");
	ojson_del(j, "apiVersion");
	ojson_del(j, "status");
	snprintf(name, sizeof(name), "%s-%s", okube_meta(j, "name"), node_name);
	(void)ojson_set_cstr(meta, "name", name);
	if (!*okube_meta(j, "namespace"))
		(void)ojson_set_cstr(meta, "namespace", "default");
	if (*okube_meta(j, "uid"))
		snprintf(uid, sizeof(uid), "%s", okube_meta(j, "uid"));
	(void)ojson_set_cstr(meta, "uid", uid);
	otime_format_log(now_ns, time);
	(void)ojson_set_cstr(notes, "kubernetes.io/config.hash", uid);
	(void)ojson_set_cstr(notes, "kubernetes.io/config.seen", time);
	(void)ojson_set_cstr(notes, "kubernetes.io/config.source", "file");
	(void)ojson_set_cstr(spec, "nodeName", node_name);
	tolerate_all(spec);
	*ret = TAKE(j);
	return 0;
}
