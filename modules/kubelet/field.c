/*
 * field.c - values of fieldRef and resourceFieldRef: what a pod may learn of itself. Pure.
 *
 * Source: pkg/fieldpath, pkg/api/v1/resource/helpers.go (ExtractContainerResourceValue).
 */
#include "kubelet.h"

#include <errno.h>
#include <string.h>

#include "quantity/oquantity.h"

/* key="value" lines, sorted, as the downward API writes labels and annotations. */
static int map_lines(const struct ojson *map, struct obuf *out)
{
	const char **keys = ojson_keys_sorted(map);
	size_t n = ojson_count(map);

	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct orlop_bytes v = ojson_get_bytes(map, keys[i]);

		obuf_printf(out, "%s%s=", i ? "\n" : "", keys[i]);
		obuf_put_quoted(out, v.p ? v.p : "", v.len);
	}
	omem_free(keys);
	return 0;
}

/* "metadata.labels['x']" → x, borrowed from @path; 0 if it has no such form. */
static size_t subscript(const char *path, const char *field, const char **ret)
{
	size_t n = strlen(field);
	size_t len = strlen(path);

	if (len < n + 5 || strncmp(path, field, n) || strncmp(path + n, "['", 2) ||
	    strcmp(path + len - 2, "']"))
		return 0;
	*ret = path + n + 2;
	return len - n - 4;
}

int field_value(const struct vol_world *w, const char *path, struct obuf *out)
{
	static const struct {
		const char *path;
		const char *at[3];
	} plain[] = {
		{ "metadata.name", { "metadata", "name", NULL } },
		{ "metadata.namespace", { "metadata", "namespace", NULL } },
		{ "metadata.uid", { "metadata", "uid", NULL } },
		{ "spec.nodeName", { "spec", "nodeName", NULL } },
		{ "spec.serviceAccountName", { "spec", "serviceAccountName", NULL } },
	};
	const struct ojson *meta = ojson_get(w->pod, "metadata");
	const char *key;
	size_t i;

	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		if (!strcmp(path, plain[i].path)) {
			obuf_puts(out, ojson_cstr(ojson_at(w->pod, plain[i].at), ""));
			return 0;
		}
	}
	if (!strcmp(path, "metadata.labels"))
		return map_lines(ojson_get(meta, "labels"), out);
	if (!strcmp(path, "metadata.annotations"))
		return map_lines(ojson_get(meta, "annotations"), out);
	if (!strcmp(path, "status.hostIP") || !strcmp(path, "status.hostIPs")) {
		obuf_puts(out, w->node_ip ? w->node_ip : "");
		return 0;
	}
	if (!strcmp(path, "status.podIP") || !strcmp(path, "status.podIPs")) {
		obuf_puts(out, w->pod_ip ? w->pod_ip : "");
		if (w->pod_ip2 && !strcmp(path, "status.podIPs"))
			obuf_printf(out, ",%s", w->pod_ip2);
		return 0;
	}
	for (i = 0; i < 2; i++) {
		size_t n = subscript(path, i ? "metadata.annotations" : "metadata.labels", &key);

		if (n) {
			struct orlop_bytes v = ojson_bytes(ojson_get_n(ojson_get(meta, i ? "annotations" : "labels"),
								       key, n));

			obuf_append(out, v.p ? v.p : "", v.len);
			return 0;
		}
	}
	return -EINVAL;
}

static const struct ojson *container_named(const struct ojson *pod, const char *name)
{
	static const char *const lists[] = { "containers", "initContainers" };
	size_t l;

	for (l = 0; l < 2; l++) {
		OJSON_FOREACH_ELEM(i, c, ojson_get(ojson_get(pod, "spec"), lists[l])) {
			if (!strcmp(ojson_get_cstr(c, "name", ""), name))
				return c;
		}
	}
	return NULL;
}

static int64_t divide_up(int64_t v, int64_t by)
{
	return by > 0 ? v / by + (v % by > 0) : v;
}

int resource_field(const struct vol_world *w, const char *container, const struct ojson *ref, struct obuf *out)
{
	const char *named = ojson_get_cstr(ref, "containerName", container);
	const struct ojson *c = container_named(w->pod, *named ? named : container);
	const char *res = ojson_get_cstr(ref, "resource", "");
	const char *dot = strchr(res, '.');
	const char *kind;
	const struct ojson *list;
	struct oquantity div;
	struct orlop_bytes d = ojson_get_bytes(ref, "divisor");
	int64_t v;
	bool limit;

	if (!c || !dot)
		return -EINVAL;
	limit = !strncmp(res, "limits.", 7);
	kind = dot + 1;
	if (!limit && strncmp(res, "requests.", 9))
		return -EINVAL;
	list = OJSON_AT(c, "resources", limit ? "limits" : "requests");
	if (!d.len || oquantity_parse(d.p, d.len, &div, NULL) || oquantity_is_zero(&div))
		oquantity_from_i64(&div, 1, OQUANTITY_DECIMAL);
	if (!strcmp(kind, "cpu")) {
		v = quantity_milli(list, "cpu", limit ? w->cpu_milli : 0);
		if (limit && !v)
			v = w->cpu_milli;
		v = divide_up(v, oquantity_milli(&div));
	} else {
		int64_t all = !strcmp(kind, "memory") ? w->memory : !strcmp(kind, "ephemeral-storage") ? w->storage : 0;

		v = quantity_i64(list, kind, limit ? all : 0);
		if (limit && !v)
			v = all;
		v = divide_up(v, oquantity_i64(&div));
	}
	obuf_put_i64(out, v);
	return 0;
}
