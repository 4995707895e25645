/*
 * defaults.c - defaults that depend on other fields; the plain ones stand in api/ *.schema.
 *
 * Each hook gets the typed tree of one struct whose parts have their defaults already.
 * Source: the facts of upstream's versioned defaulting, k8s.io/kubernetes/pkg/apis/(*)/v1/defaults.go.
 */
#include <errno.h>
#include <string.h>

#include "base/ocleanup.h"
#include "base/oenc.h"
#include "schema/hooks.h"
#include "schema/decode.h"
#include "schema/defaults-kinds.h"
#include "schema/internal.h"

/* Sets a text member if it is absent or empty. 1 set, 0 was there, -ENOMEM. */
static int text_default(struct ojson *o, const char *key, const char *value)
{
	int r;

	if (!oget_empty(o, key))
		return 0;
	r = ojson_set_cstr(o, key, value);
	return r == 0 ? 1 : r;
}

/* ---- pods ---- */

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* One part of a repository's name: lower case, and single separators inside ("." "_" "__", any number of "-"). */
static bool is_name_part(const char *p, size_t n)
{
	if (n == 0 || !name_char(p[0]) || !name_char(p[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (!name_char(p[i + k]))
			k++;
		for (size_t j = 0; j < k; j++)
			if (p[i + j] != p[i] || strchr(k == 1 ? "._-" : k == 2 ? "_-" : "-", p[i]) == NULL || p[i] == '\0')
				return false;
		i += k;
	}
	return true;
}

/* Might this be the name of an image? What is none has no tag, either. */
static bool is_image(struct orlop_bytes image)
{
	const char *slash = memchr(image.p, '/', image.len), *end;
	bool registry = ostr_starts(image.p, image.len, "localhost/");
	size_t at = 0, n;

	/* a registry has a dot, a port or a capital in its name, or is this machine */
	for (const char *p = image.p; slash != NULL && p < slash; p++)
		registry = registry || *p == '.' || *p == ':' || (*p >= 'A' && *p <= 'Z');
	if (registry)
		at = (size_t)(slash - image.p) + 1;
	for (end = image.p + at; end < image.p + image.len && *end != ':'; end++)
		;
	if ((size_t)(end - image.p) - at > 255)
		return false;
	while (at <= (size_t)(end - image.p)) {
		const char *next = memchr(image.p + at, '/', (size_t)(end - image.p) - at);

		n = next != NULL ? (size_t)(next - image.p) - at : (size_t)(end - image.p) - at;
		if (!is_name_part(image.p + at, n))
			return false;
		at += n + 1;
	}
	n = (size_t)(image.p + image.len - end);
	for (size_t i = 1; i < n; i++)
		if (!name_char(end[i]) && !(end[i] >= 'A' && end[i] <= 'Z') && end[i] != '_' && (i == 1 || strchr(".-", end[i]) == NULL))
			return false;
	return n != 1 && n <= 129;
}

/* ALGORITHM:HEX */
static bool is_digest(const char *p, size_t n)
{
	const char *colon = memchr(p, ':', n);
	size_t hex = colon != NULL ? n - (size_t)(colon + 1 - p) : 0;

	for (size_t i = 0; i < hex; i++)
		if (!(colon[1 + i] >= '0' && colon[1 + i] <= '9') && !(colon[1 + i] >= 'a' && colon[1 + i] <= 'f'))
			return false;
	return colon != p && hex >= 32 && (!ostr_starts(p, n, "sha256:") || hex == 64);
}

/* "Always" for the tag latest, also when it is only meant, which it is not beside a digest; "IfNotPresent" for others. */
static const char *pull_policy_of(struct orlop_bytes image)
{
	const char *slash = NULL, *colon = NULL, *digest = memchr(image.p, '@', image.len);

	if (digest != NULL && !is_digest(digest + 1, image.len - (size_t)(digest + 1 - image.p)))
		return "IfNotPresent";
	if (digest != NULL)
		image.len = (size_t)(digest - image.p);
	if (!is_image(image))
		return "IfNotPresent";
	for (size_t i = 0; i < image.len; i++) {
		if (image.p[i] == '/')
			slash = image.p + i;
		if (image.p[i] == ':')
			colon = image.p + i;
	}
	if (colon == NULL || (slash != NULL && colon < slash))
		return digest != NULL ? "IfNotPresent" : "Always";	/* no tag; the colon is a registry's port */
	return ostr_is(colon + 1, image.len - (size_t)(colon + 1 - image.p), "latest") ? "Always" :
	       "IfNotPresent";
}

static int defaults_container(const struct oschema *s, struct ojson *o)
{
	(void)s;
	return text_default(o, "imagePullPolicy", pull_policy_of(oget_text(o, "image")));
}

static int defaults_image_volume(const struct oschema *s, struct ojson *o)
{
	(void)s;
	return text_default(o, "pullPolicy", pull_policy_of(oget_text(o, "reference")));
}

/* A volume that names no source is an emptyDir. */
static int defaults_volume(const struct oschema *s, struct ojson *o)
{
	int r;

	(void)s;
	if (ojson_count(o) > (ojson_has(o, "name") ? 1 : 0))
		return 0;
	r = ojson_set(o, "emptyDir", ojson_new_object());
	return r == 0 ? 1 : r;
}

static int defaults_pod_spec(const struct oschema *s, struct ojson *o)
{
	struct orlop_bytes account = oget_text(o, "serviceAccountName");
	int r;

	(void)s;
	if (oget_int(o, "terminationGracePeriodSeconds") < 0) {
		r = ojson_set_i64(o, "terminationGracePeriodSeconds", 1);
		if (r != 0)
			return r;
	}
	/* serviceAccount is the old name: taken if the new one is empty, always written as its copy */
	if (account.len == 0) {
		account = oget_text(o, "serviceAccount");
		if (account.len == 0)
			return 0;
		r = ojson_set_string(o, "serviceAccountName", account.p, account.len);
		return r == 0 ? 1 : r;
	}
	r = ojson_set_string(o, "serviceAccount", account.p, account.len);
	return r == 0 ? 1 : r;
}

/* What the map @key lacks of @more. 1 set, 0 was there, -ENOMEM. */
static int map_fill(struct ojson *o, const char *key, const struct ojson *more)
{
	struct ojson *have = ojson_get(o, key);
	cleanup_ojson struct ojson *merged = NULL;
	bool missing = false;
	int r = 0;

	OJSON_FOREACH(it, more)
		missing = missing || !ojson_has(have, it.key);
	if (!missing)
		return 0;
	/* both maps are sorted by key: merge them, what is there wins */
	merged = ojson_new_object();
	if (merged == NULL)
		return -ENOMEM;
	struct ojson_iter a = OJSON_ITER_INIT, b = OJSON_ITER_INIT;
	bool more_a = ojson_next(have, &a), more_b = ojson_next(more, &b);

	while ((more_a || more_b) && r == 0) {
		int d = !more_a ? 1 : !more_b ? -1 : ostr_cmp(a.key, a.key_len, b.key, b.key_len);
		struct ojson_iter *take = d <= 0 ? &a : &b;

		r = ojson_put_n(merged, take->key, take->key_len, ojson_ref(take->value));
		if (d <= 0)
			more_a = ojson_next(have, &a);
		if (d >= 0)
			more_b = ojson_next(more, &b);
	}
	if (r == 0)
		r = ojson_set(o, key, TAKE(merged));
	return r == 0 ? 1 : r;
}

/* Requests that are not given are the limits. Only for real pods, never in templates. */
static int requests_from_limits(struct ojson *container)
{
	struct ojson *res = ojson_get(container, "resources");
	int r = map_fill(res, "requests", ojson_get(res, "limits"));	/* after limits, where it belongs */

	return r < 0 ? r : 0;
}

/* The limit is the most there may be, the request the limit, or the least. */
static int defaults_limit_range_item(const struct oschema *s, struct ojson *o)
{
	int a, b = 0, c = 0;

	(void)s;
	if (!oget_is(o, "type", "Container"))
		return 0;
	a = map_fill(o, "default", ojson_get(o, "max"));
	if (a >= 0)
		b = map_fill(o, "defaultRequest", ojson_get(o, "default"));
	if (a >= 0 && b >= 0)
		c = map_fill(o, "defaultRequest", ojson_get(o, "min"));
	return a < 0 ? a : b < 0 ? b : c < 0 ? c : a || b || c;
}

static int resize_policy(struct ojson *container)
{
	static const char *const names[] = { "cpu", "memory" };
	struct ojson *res = ojson_get(container, "resources");
	int added = 0;

	for (int i = 0; i < 2; i++) {
		struct ojson *list = ojson_get(container, "resizePolicy"), *policy;
		bool known = false;
		int r;

		if (!ojson_has(ojson_get(res, "requests"), names[i]) &&
		    !ojson_has(ojson_get(res, "limits"), names[i]))
			continue;
		OJSON_FOREACH_ELEM(k, e, list)
			known = known || oget_is(e, "resourceName", names[i]);
		if (known)
			continue;
		list = ojson_ensure_array(container, "resizePolicy");
		policy = ojson_new_object();
		if (list == NULL || policy == NULL) {
			ojson_unref(policy);
			return -ENOMEM;
		}
		r = ojson_set_cstr(policy, "resourceName", names[i]);
		if (r == 0)
			r = ojson_set_cstr(policy, "restartPolicy", "NotRequired");
		if (r != 0) {
			ojson_unref(policy);
			return r;
		}
		r = ojson_append(list, policy);
		if (r != 0)
			return r;
		added = 1;
	}
	return added;
}

/* With the host's network a port is the host's. */
static int host_ports(const struct oschema *s, struct ojson *container)
{
	const struct oschema_type *t = oschema_type_find(s, "core/v1.ContainerPort");

	OJSON_FOREACH_ELEM(i, port, ojson_get(container, "ports")) {
		int r = 0;

		if (oget_int(port, "hostPort") == 0 && oget_int(port, "containerPort") != 0)
			r = ojson_set_i64(port, "hostPort", oget_int(port, "containerPort"));
		if (r == 0 && t != NULL)
			r = oschema_restore_order(s, t, port);
		if (r != 0)
			return r;
	}
	return 0;
}

static int defaults_pod(const struct oschema *s, struct ojson *o)
{
	static const char *const lists[] = { "containers", "initContainers" };
	const struct oschema_type *ct = oschema_type_find(s, "core/v1.Container");
	const struct oschema_type *st = oschema_type_find(s, "core/v1.PodSpec");
	struct ojson *spec = ojson_get(o, "spec");
	int r = 0;

	if (!ojson_is(spec, OJSON_OBJECT) || ct == NULL || st == NULL)
		return 0;
	for (int l = 0; l < 2; l++) {
		OJSON_FOREACH_ELEM(i, c, ojson_get(spec, lists[l])) {
			r = requests_from_limits(c);
			if (r == 0 && oget_bool(spec, "hostNetwork"))
				r = host_ports(s, c);
			if (r == 0 && l == 0)
				r = resize_policy(c);
			if (r > 0)
				r = oschema_restore_order(s, ct, c);
			if (r != 0)
				return r;
		}
	}
	if (!ojson_has(spec, "enableServiceLinks")) {
		r = ojson_set_bool(spec, "enableServiceLinks", true);
		if (r == 0)
			r = oschema_restore_order(s, st, spec);
	}
	return r;
}

/* ---- services ---- */

static int session_affinity(const struct oschema *s, struct ojson *o)
{
	struct ojson *config, *client;
	int r;

	(void)s;
	if (oget_is(o, "sessionAffinity", "None")) {
		ojson_del(o, "sessionAffinityConfig");
		return 0;
	}
	if (!oget_is(o, "sessionAffinity", "ClientIP"))
		return 0;
	config = ojson_ensure_object(o, "sessionAffinityConfig");
	client = config != NULL ? ojson_ensure_object(config, "clientIP") : NULL;
	if (client == NULL)
		return -ENOMEM;
	if (ojson_has(client, "timeoutSeconds"))
		return 0;
	r = ojson_set_i64(client, "timeoutSeconds", 10800);
	return r == 0 ? 1 : r;
}

static int service_ports(const struct oschema *s, struct ojson *o)
{
	OJSON_FOREACH_ELEM(i, port, ojson_get(o, "ports")) {
		struct ojson *target = ojson_get(port, "targetPort");
		int r = 0;

		(void)s;
		/* targetPort is always written, so it is only replaced and stays in its place */
		if (ozero(target))
			r = ojson_set_i64(port, "targetPort", oget_int(port, "port"));
		if (r != 0)
			return r;
	}
	return 0;
}

/* Two addresses or families mean dual stack; dual stack with one family gets the other. */
static int ip_families(struct ojson *o)
{
	size_t n = oget_len(o, "ipFamilies");
	int r = 0;

	if (!ojson_has(o, "ipFamilyPolicy") && (oget_len(o, "clusterIPs") == 2 || n == 2))
		r = ojson_set_cstr(o, "ipFamilyPolicy", "RequireDualStack");
	if (r == 0 && oget_is(o, "ipFamilyPolicy", "RequireDualStack") && n == 1) {
		struct ojson *list = ojson_get(o, "ipFamilies");
		bool v4 = ojson_string_is(ojson_index(list, 0), "IPv4");

		r = ojson_append_cstr(list, v4 ? "IPv6" : "IPv4");
	}
	return r;
}

static int defaults_service_spec(const struct oschema *s, struct ojson *o)
{
	struct orlop_bytes type = oget_text(o, "type");
	bool lb = otext_is(type, "LoadBalancer"), external = otext_is(type, "ExternalName");
	int r;

	r = session_affinity(s, o);
	if (r >= 0)
		r = service_ports(s, o);
	if (r >= 0 && (lb || otext_is(type, "NodePort") ||
		       (otext_is(type, "ClusterIP") && oget_len(o, "externalIPs") > 0)))
		r = text_default(o, "externalTrafficPolicy", "Cluster");
	if (r >= 0 && !external && !ojson_has(o, "internalTrafficPolicy"))
		r = ojson_set_cstr(o, "internalTrafficPolicy", "Cluster");
	if (r >= 0 && lb && !ojson_has(o, "allocateLoadBalancerNodePorts"))
		r = ojson_set_bool(o, "allocateLoadBalancerNodePorts", true);
	if (r >= 0 && !external)
		r = ip_families(o);
	return r < 0 ? r : 1;
}

/* ---- others ---- */

/* stringData is for writing only: its values go into data. */
static int defaults_secret(const struct oschema *s, struct ojson *o)
{
	cleanup_ojson struct ojson *in = ojson_take(o, "stringData");
	const struct oschema_type *t = oschema_type_find(s, "core/v1.Secret");
	struct ojson *data;
	struct ojson *sorted = NULL;
	cleanup_ojson struct ojson *holder = NULL;
	int r = 0;

	if (ojson_count(in) == 0 || t == NULL)
		return 0;
	data = ojson_ensure_object(o, "data");
	if (data == NULL)
		return -ENOMEM;
	OJSON_FOREACH(it, in) {
		struct orlop_bytes v = otext(it.value);
		struct obuf b = OBUF_INIT;

		obase64_append(&b, OBASE64_STD, v.p, v.len);
		r = obuf_err(&b);
		if (r == 0)
			r = ojson_set_string(data, it.key, obuf_cstr(&b), b.len);
		obuf_done(&b);
		if (r != 0)
			return r;
	}
	/* the map's order is restored by decoding it once more */
	holder = ojson_new_object();
	if (holder == NULL)
		return -ENOMEM;
	r = ojson_put(holder, "data", ojson_ref(data));
	if (r == 0)
		r = oschema_decode(s, t, holder, 0, NULL, &sorted, NULL);
	if (r == 0)
		r = ojson_put(o, "data", ojson_ref(ojson_get(sorted, "data")));
	ojson_unref(sorted);
	return r == 0 ? 1 : r;
}

static int defaults_namespace(const struct oschema *s, struct ojson *o)
{
	static const char label[] = "kubernetes.io/metadata.name";
	struct ojson *meta = ojson_get(o, "metadata"), *labels;
	const struct oschema_type *t = oschema_type_find(s, "meta/v1.ObjectMeta");
	struct orlop_bytes name = oget_text(meta, "name");
	struct ojson *sorted = NULL;
	int r;

	if (name.len == 0 || t == NULL)
		return 0;
	labels = ojson_get(meta, "labels");
	if (ostr_eq(oget_text(labels, label).p, oget_text(labels, label).len, name.p, name.len))
		return 0;
	labels = ojson_ensure_object(meta, "labels");
	if (labels == NULL)
		return -ENOMEM;
	r = ojson_set_string(labels, label, name.p, name.len);
	if (r == 0)
		r = oschema_decode(s, t, meta, 0, NULL, &sorted, NULL);
	return r == 0 ? ojson_put(o, "metadata", sorted) : r;
}

/* Either of the two names says it; the list begins with the one. */
static int defaults_node_spec(const struct oschema *s, struct ojson *o)
{
	struct orlop_bytes one = oget_text(o, "podCIDR");
	struct ojson *list, *first = ojson_index(ojson_get(o, "podCIDRs"), 0);
	int r;

	(void)s;
	if (one.len == 0 && first == NULL)
		return 0;
	if (first != NULL) {
		if (one.len == 0) {
			r = ojson_set(o, "podCIDR", ojson_ref(first));
			return r == 0 ? 1 : r;
		}
		if (ojson_equal(first, ojson_get(o, "podCIDR")))
			return 0;
		ojson_del(o, "podCIDRs");	/* the older field is right */
	}
	list = ojson_ensure_array(o, "podCIDRs");
	r = list != NULL ? ojson_append(list, ojson_ref(ojson_get(o, "podCIDR"))) : -ENOMEM;
	return r == 0 ? 1 : r;
}

/* The same of a pod's addresses. */
static int defaults_pod_status(const struct oschema *s, struct ojson *o)
{
	struct ojson *list, *is = ojson_get(o, "podIP"), *first = ojson_get(ojson_index(ojson_get(o, "podIPs"), 0), "ip"), *e;
	int r;

	(void)s;
	if (otext(is).len == 0 && otext(first).len > 0) {
		r = ojson_set(o, "podIP", ojson_ref(first));
		return r == 0 ? 1 : r;
	}
	if (otext(is).len == 0 || ojson_equal(is, first))
		return 0;
	ojson_del(o, "podIPs");
	list = ojson_ensure_array(o, "podIPs");
	e = list != NULL ? ojson_new_object() : NULL;
	if (e == NULL)
		return -ENOMEM;
	r = ojson_set(e, "ip", ojson_ref(is));
	if (r != 0) {
		ojson_unref(e);
		return r;
	}
	r = ojson_append(list, e);
	return r == 0 ? 1 : r;
}

static int defaults_node_status(const struct oschema *s, struct ojson *o)
{
	struct ojson *capacity = ojson_get(o, "capacity"), *copy = NULL;
	int r;

	(void)s;
	if (capacity == NULL || ojson_has(o, "allocatable"))
		return 0;
	r = ojson_copy(capacity, &copy);
	if (r == 0)
		r = ojson_set(o, "allocatable", copy);
	return r == 0 ? 1 : r;
}

static int defaults_deployment_strategy(const struct oschema *s, struct ojson *o)
{
	static const char *const keys[] = { "maxUnavailable", "maxSurge" };
	struct ojson *rolling, *old = ojson_get(o, "rollingUpdate");
	int r = 0;

	(void)s;
	if (!oget_is(o, "type", "RollingUpdate") ||
	    (ojson_has(old, keys[0]) && ojson_has(old, keys[1])))
		return 0;
	rolling = ojson_new_object();
	if (rolling == NULL)
		return -ENOMEM;
	for (int i = 0; i < 2 && r == 0; i++)
		r = ojson_has(old, keys[i]) ? ojson_put(rolling, keys[i], ojson_ref(ojson_get(old, keys[i]))) :
		    ojson_set_cstr(rolling, keys[i], "25%");
	if (r != 0) {
		ojson_unref(rolling);
		return r;
	}
	r = ojson_set(o, "rollingUpdate", rolling);
	return r == 0 ? 1 : r;
}

static struct ojson *template_labels(struct ojson *spec)
{
	return OJSON_AT(spec, "template", "metadata", "labels");
}

static int defaults_replication_controller_spec(const struct oschema *s, struct ojson *o)
{
	struct ojson *labels = template_labels(o), *copy = NULL;
	int r;

	(void)s;
	if (oget_len(o, "selector") != 0 || ojson_count(labels) == 0)
		return 0;
	r = ojson_copy(labels, &copy);
	if (r == 0)
		r = ojson_set(o, "selector", copy);
	return r == 0 ? 1 : r;
}

static int defaults_replication_controller(const struct oschema *s, struct ojson *o)
{
	struct ojson *labels = template_labels(ojson_get(o, "spec")), *copy = NULL;
	struct ojson *meta = ojson_get(o, "metadata");
	const struct oschema_type *t = oschema_type_find(s, "meta/v1.ObjectMeta");
	int r;

	if (oget_len(meta, "labels") != 0 || ojson_count(labels) == 0 || t == NULL)
		return 0;
	r = ojson_copy(labels, &copy);
	if (r == 0)
		r = ojson_set(meta, "labels", copy);
	return r == 0 ? oschema_restore_order(s, t, meta) : r;
}

#define HOOK(n) [OSCHEMA_D_##n] = defaults_##n,
static const odefaults_fn hooks[OSCHEMA_D_COUNT] = { OSCHEMA_DEFAULTERS(HOOK) };

odefaults_fn odefaults_hook(unsigned int number)
{
	return hooks[number];
}
