/* subsets.c - addresses of pods, grouped by the ports they share, ready ones and others apart. */
#include "subsets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backends/obackends.h"
#include "base/omem.h"

static struct ojson *address_of(const struct ojson *svc, const struct ojson *pod, const char *ip)
{
	const char *node = ojson_get_cstr(ojson_get(pod, "spec"), "nodeName", "");
	struct ojson *a = ojson_new_object();
	int e = ojson_set_cstr(a, "ip", ip);

	if (!e && obackends_has_hostname(svc, pod))
		e = ojson_set_cstr(a, "hostname", ojson_get_cstr(ojson_get(pod, "spec"), "hostname", ""));
	if (!e && *node)
		e = ojson_set_cstr(a, "nodeName", node);
	if (!e)
		e = ojson_set(a, "targetRef", obackends_target(pod));
	if (e) {
		ojson_unref(a);
		return NULL;
	}
	return a;
}

/* The subset with these ports, made if there is none. */
static struct ojson *subset_for(struct ojson *subsets, struct ojson *ports)
{
	struct ojson *s;

	OJSON_FOREACH_ELEM(i, have, subsets) {
		const struct ojson *p = ojson_get(have, "ports");

		if ((!p && !ojson_count(ports)) || (p && ojson_equal(p, ports)))
			return have;
	}
	s = ojson_new_object();
	if (!s || ojson_append(subsets, ojson_ref(s))) {
		ojson_unref(s);
		return NULL;
	}
	ojson_unref(s);
	return !ojson_count(ports) || !ojson_set(s, "ports", ojson_ref(ports)) ? s : NULL;
}

static int by_ip(const void *a, const void *b)
{
	struct ojson *const *x = a;
	struct ojson *const *y = b;
	int d = strcmp(ojson_get_cstr(*x, "ip", ""), ojson_get_cstr(*y, "ip", ""));

	return d ? d : strcmp(ojson_get_cstr(ojson_get(*x, "targetRef"), "uid", ""),
			      ojson_get_cstr(ojson_get(*y, "targetRef"), "uid", ""));
}

static int by_size(const void *a, const void *b)
{
	struct ojson *const *x = a;
	struct ojson *const *y = b;
	char *s = ojson_text(ojson_get(*x, "ports"), 0, NULL);
	char *t = ojson_text(ojson_get(*y, "ports"), 0, NULL);
	int d = strcmp(s ? s : "", t ? t : "");

	omem_free(s);
	omem_free(t);
	return d;
}

/* A new array with the elements in order, at most *left of them; NULL without memory. */
static struct ojson *sorted(const struct ojson *list, int (*cmp)(const void *, const void *), size_t *left)
{
	size_t n = ojson_count(list);
	struct ojson **v = omem_zalloc_array(n + 1, sizeof(*v));
	struct ojson *out = ojson_new_array();
	int e = v && out ? 0 : -ENOMEM;

	if (!e) {
		for (size_t i = 0; i < n; i++)
			v[i] = ojson_index(list, i);
		qsort(v, n, sizeof(struct ojson *), cmp);
		for (size_t i = 0; i < n && *left && !e; i++, --*left)
			e = ojson_append(out, ojson_ref(v[i]));
	}
	omem_free(v);
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

static int list_finish(struct ojson *subset, const char *key, size_t *left)
{
	struct ojson *list = ojson_get(subset, key);
	int e;

	if (!list)
		return 0;
	e = ojson_set(subset, key, sorted(list, by_ip, left));
	if (!e && !ojson_count(ojson_get(subset, key)))
		ojson_del(subset, key);
	return e;
}

/* Ready addresses go before the others when there are too many. */
static struct ojson *subsets_finish(struct ojson *subsets)
{
	size_t left = ADDRESSES_MAX, all = SIZE_MAX;
	struct ojson *order = sorted(subsets, by_size, &all);
	struct ojson *out = ojson_new_array();
	int e = order && out ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, s, order) {
		if (!e)
			e = list_finish(s, "addresses", &left);
	}
	OJSON_FOREACH_ELEM(i, s, order) {
		if (!e)
			e = list_finish(s, "notReadyAddresses", &left);
		if (!e && (ojson_has(s, "addresses") || ojson_has(s, "notReadyAddresses")))
			e = ojson_append(out, ojson_ref(s));
	}
	ojson_unref(order);
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

struct ojson *subsets_make(const struct ojson *svc, const struct ojson *pods, bool *ret_cut)
{
	bool all = ojson_get_bool(ojson_get(svc, "spec"), "publishNotReadyAddresses", false);
	bool v6 = ojson_string_is(ojson_index(OJSON_AT(svc, "spec", "ipFamilies"), 0), "IPv6");
	bool portless = !ojson_count(OJSON_AT(svc, "spec", "ports"));
	struct ojson *subsets = ojson_new_array(), *out = NULL;
	size_t n = 0;
	int e = subsets ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, pod, pods) {
		const char *ip = obackends_ip(pod, v6);
		struct ojson *ports, *subset;

		if (e || !ip || !obackends_pod_counts(pod, all) || (portless && !obackends_is_headless(svc)))
			continue;
		ports = obackends_ports(svc, pod, false);
		if (ports && !portless && !ojson_count(ports)) {
			ojson_unref(ports);
			continue;
		}
		subset = ports ? subset_for(subsets, ports) : NULL;
		e = subset ? ojson_append(ojson_ensure_array(subset, all || okube_pod_ready(pod, NULL) ? "addresses" :
												  "notReadyAddresses"),
					  address_of(svc, pod, ip)) : -ENOMEM;
		ojson_unref(ports);
		n++;
	}
	*ret_cut = n > ADDRESSES_MAX;
	if (!e)
		out = subsets_finish(subsets);
	ojson_unref(subsets);
	return out;
}
