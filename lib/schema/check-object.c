/*
 * check-object.c - what whole objects of the other kinds must satisfy.
 */
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/omem.h"
#include "json/oscan.h"
#include "quantity/oquantity.h"
#include "schema/check.h"
#include "schema/seen.h"

#define DATA_MAX (1024 * 1024)

/* ---- workloads ---- */

static const char *const always_only[] = { "Always" };

static bool selector_empty(struct ojson *selector)
{
	return oget_len(selector, "matchLabels") == 0 && oget_len(selector, "matchExpressions") == 0;
}

/* Template against selector, and what a controlled pod may not be. */
static void check_workload(struct ocheck *c, const struct opath *at, struct ojson *spec, bool selected)
{
	struct opath tp = opath_child(at, "template"), sp = opath_child(&tp, "spec");
	struct opath rp = opath_child(&sp, "restartPolicy"), mp = opath_child(&tp, "metadata");
	struct ojson *template = ojson_get(spec, "template"), *pod = ojson_get(template, "spec");
	char text[120];

	if (!selected)
		ocheck_invalid_at(c, &mp, ojson_get(template, "metadata"), "labels",
				  "`selector` does not match template `labels`");
	if (!oget_is(pod, "restartPolicy", "Always") && !oget_empty(pod, "restartPolicy"))
		ocheck_not_supported(c, &rp, ojson_get(pod, "restartPolicy"), always_only, 1);
	/* a Deployment's template is looked at as that of its ReplicaSet */
	(void)snprintf(text, sizeof(text), "activeDeadlineSeconds in %s is not Supported",
		       strcmp(c->kind, "Deployment") == 0 ? "ReplicaSet" : c->kind);
	if (ojson_has(pod, "activeDeadlineSeconds"))
		ocheck_forbidden_at(c, &sp, "activeDeadlineSeconds", text);
}

void ocheck_workload(struct ocheck *c, const struct opath *at, struct ojson *spec, const char *if_empty)
{
	struct ojson *selector = ojson_get(spec, "selector");
	bool empty = selector_empty(selector);

	if (selector != NULL && empty)
		ocheck_invalid_at(c, at, spec, "selector", if_empty);
	if (c->bad_selector && strcmp(c->kind, "DaemonSet") != 0) {
		ocheck_invalid_at(c, at, spec, "selector", strcmp(c->kind, "StatefulSet") == 0 ? "" : "invalid label selector");
		return;
	}
	/* no selector selects nothing, not even the template */
	check_workload(c, at, spec, c->bad_selector || (selector != NULL && (empty ||
		       ocheck_selects(selector, OJSON_AT(spec, "template", "metadata", "labels")))));
}

/* An integer ≥ 0 or a percentage. Returns what 100 replicas would give, -1 if invalid. */
int64_t ocheck_int_or_percent(struct ocheck *c, const struct opath *at, struct ojson *v)
{
	struct orlop_bytes t = otext(v);
	uint64_t n = 0;

	if (ojson_is(v, OJSON_INT)) {
		if (ojson_i64(v, 0) < 0) {
			ocheck_invalid(c, at, v, "must be greater than or equal to 0");
			return -1;
		}
		return ojson_i64(v, 0);
	}
	if (!ojson_is(v, OJSON_STRING))
		return 0;
	if (t.len < 2 || t.p[t.len - 1] != '%' || ostr_to_u64(t.p, t.len - 1, &n) != 0) {
		ocheck_invalid(c, at, v, "a valid percent string must be a numeric string followed by an ending '%' "
			       "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')");
		return -1;
	}
	return n > INT32_MAX ? INT32_MAX : (int64_t)n;
}

static void check_strategy(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	static const char *const types[] = { "Recreate", "RollingUpdate" };
	struct opath sp = opath_child(at, "strategy"), rp = opath_child(&sp, "rollingUpdate");
	struct opath up = opath_child(&rp, "maxUnavailable"), gp = opath_child(&rp, "maxSurge");
	struct ojson *s = ojson_get(spec, "strategy"), *r = ojson_get(s, "rollingUpdate");
	struct ojson *u = ojson_get(r, "maxUnavailable");
	int64_t unavailable, surge;

	if (!oget_is(s, "type", "Recreate") && !oget_is(s, "type", "RollingUpdate")) {
		ocheck_not_supported(c, &sp, s, types, 2);
		return;
	}
	if (oget_is(s, "type", "Recreate") && r != NULL)
		ocheck_forbidden(c, &rp, "may not be specified when strategy `type` is 'Recreate'");
	if (!oget_is(s, "type", "RollingUpdate") || r == NULL)
		return;
	unavailable = ocheck_int_or_percent(c, &up, u);
	surge = ocheck_int_or_percent(c, &gp, ojson_get(r, "maxSurge"));
	if (unavailable == 0 && surge == 0)
		ocheck_invalid(c, &up, u, "may not be 0 when `maxSurge` is 0");
	if (ojson_is(u, OJSON_STRING) && unavailable > 100)
		ocheck_invalid(c, &up, u, "must not be greater than 100%");
}

/* The counts of a status against each other: @parts are of its replicas, and what is available is ready. */
void ocheck_counts(struct ocheck *c, const struct opath *at, struct ojson *status, const char *const *parts)
{
	struct opath p = opath_child(at, "status");
	int64_t all = oget_int(status, "replicas");

	for (size_t i = 0; parts[i] != NULL; i++) {
		struct opath kp = opath_child(&p, parts[i]);
		int64_t n = oget_int(status, parts[i]);
		cleanup_ojson struct ojson *v = ojson_new_i64(n);

		if (n > all)
			ocheck_invalid(c, &kp, v, "cannot be greater than status.replicas");
		if (strcmp(parts[i], "availableReplicas") == 0 && n > oget_int(status, "readyReplicas"))
			ocheck_invalid(c, &kp, v, "cannot be greater than readyReplicas");
	}
}

static const char *const replica_parts[] = { "fullyLabeledReplicas", "readyReplicas", "availableReplicas", NULL };

OCHECK(deployment)
{
	static const char *const parts[] = { "updatedReplicas", "readyReplicas", "availableReplicas", NULL };
	struct ojson *spec = ojson_get(v, "spec");
	struct opath p = opath_child(at, "spec");
	struct ojson *deadline = ojson_get(spec, "progressDeadlineSeconds");

	(void)old;
	if (otext_is(c->w->sub, "status")) {
		ocheck_counts(c, at, ojson_get(v, "status"), parts);
		return;
	}
	if (!ojson_is(ojson_get(spec, "selector"), OJSON_OBJECT))
		ocheck_required_at(c, &p, "selector", "");
	ocheck_workload(c, &p, spec, "empty selector is invalid for deployment");
	check_strategy(c, &p, spec);
	if (deadline != NULL &&
	    ojson_i64(deadline, 0) <= oget_int(spec, "minReadySeconds"))
		ocheck_invalid_at(c, &p, spec, "progressDeadlineSeconds", "must be greater than minReadySeconds");
}

OCHECK(disruption_budget)
{
	struct ojson *spec = ojson_get(v, "spec");
	struct ojson *least = ojson_get(spec, "minAvailable"), *most = ojson_get(spec, "maxUnavailable");
	struct opath p = opath_child(at, "spec");
	struct opath lp = opath_child(&p, "minAvailable"), mp = opath_child(&p, "maxUnavailable");

	(void)old;
	if (otext_is(c->w->sub, "status"))
		return;
	if (least && most)
		ocheck_invalid(c, &p, spec, "minAvailable and maxUnavailable cannot be both set");
	if (least && ocheck_int_or_percent(c, &lp, least) > 100 && ojson_is(least, OJSON_STRING))
		ocheck_invalid(c, &lp, least, "must not be greater than 100%");
	if (most && ocheck_int_or_percent(c, &mp, most) > 100 && ojson_is(most, OJSON_STRING))
		ocheck_invalid(c, &mp, most, "must not be greater than 100%");
}

OCHECK(replicaset)
{
	struct opath p = opath_child(at, "spec");

	(void)old;
	if (otext_is(c->w->sub, "status")) {
		ocheck_counts(c, at, ojson_get(v, "status"), replica_parts);
		return;
	}
	if (!ojson_is(ojson_get(ojson_get(v, "spec"), "selector"), OJSON_OBJECT))
		ocheck_required_at(c, &p, "selector", "");
	ocheck_workload(c, &p, ojson_get(v, "spec"), "empty selector is invalid for deployment");
}

OCHECK(replication_controller)
{
	struct opath p = opath_child(at, "spec");
	struct ojson *spec = ojson_get(v, "spec"), *selector = ojson_get(spec, "selector");
	bool selected = true;

	(void)old;
	if (otext_is(c->w->sub, "status")) {
		ocheck_counts(c, at, ojson_get(v, "status"), replica_parts);
		return;
	}
	if (ojson_count(selector) == 0)
		ocheck_required_at(c, &p, "selector", "");
	if (!ojson_has(spec, "template")) {
		ocheck_required_at(c, &p, "template", "");
		return;
	}
	OJSON_FOREACH(it, selector)
		selected = selected && ojson_equal(it.value, ojson_get_n(OJSON_AT(spec, "template", "metadata",
									      "labels"), it.key, it.key_len));
	check_workload(c, &p, spec, selected);
}

/* ---- services and endpoints ---- */

static void check_service_ports(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	struct ojson *ports = ojson_get(spec, "ports");
	struct opath pp = opath_child(at, "ports");
	struct orlop_bytes type = oget_text(spec, "type");
	bool external = otext_is(type, "ExternalName");
	cleanup_oseen struct oseen names, pairs, nodes;
	char text[80];

	oseen_init(&names, &c->lost);
	oseen_init(&pairs, &c->lost);
	oseen_init(&nodes, &c->lost);
	if (ojson_count(ports) == 0 && !external && !oget_is(spec, "clusterIP", "None"))
		ocheck_required(c, &pp, "");
	OJSON_FOREACH_ELEM(i, e, ports) {
		struct opath p = opath_index(&pp, i), np = opath_child(&p, "name"), nodep = opath_child(&p, "nodePort");
		bool same_name = oseen(&names, ojson_get(e, "name"), NULL);
		bool same_port = oseen(&pairs, ojson_get(e, "protocol"), ojson_get(e, "port"));
		bool same_node = oget_int(e, "nodePort") != 0 && oseen(&nodes, ojson_get(e, "protocol"), ojson_get(e, "nodePort"));

		if (oget_empty(e, "name")) {
			if (ojson_count(ports) > 1)
				ocheck_required(c, &np, "");
		} else {
			ocheck_format(c, &np, ojson_get(e, "name"), OSCHEMA_FMT_DNS1123_LABEL);
			if (same_name)
				ocheck_duplicate(c, &np, ojson_get(e, "name"));
		}
		if (same_port)
			ocheck_duplicate(c, &p, e);
		if (same_node)
			ocheck_duplicate(c, &nodep, ojson_get(e, "nodePort"));
		if (oget_int(e, "nodePort") != 0 && (external || otext_is(type, "ClusterIP"))) {
			(void)snprintf(text, sizeof(text), "may not be used when `type` is '%s'",
				       external ? "ExternalName" : "ClusterIP");
			ocheck_forbidden(c, &nodep, text);
		}
	}
}

static void check_cluster_ips(struct ocheck *c, const struct opath *at, struct ojson *spec, struct ojson *old)
{
	struct opath lp = opath_child(at, "clusterIPs"), first = opath_index(&lp, 0);
	struct ojson *ips = ojson_get(spec, "clusterIPs"), *was = ojson_get(old, "clusterIPs");
	struct orlop_bytes ip = oget_text(spec, "clusterIP"), type = oget_text(spec, "type");
	bool external = otext_is(type, "ExternalName");
	uint32_t before = c->found;
	size_t family[2] = { 0, 0 };
	char text[80];

	if (external) {
		if (ip.len > 0 || ojson_count(ips) > 0)
			ocheck_forbidden(c, &lp, "may not be set when `type` is 'ExternalName'");
		return;
	}
	if (ip.len == 0 && ojson_count(ips) > 0)
		ocheck_invalid(c, &lp, ips, "must be empty when `clusterIP` is not specified");
	else if (ojson_count(ips) > 0 && !ojson_equal(ojson_index(ips, 0), ojson_get(spec, "clusterIP")))
		ocheck_invalid(c, &lp, ips, "first value must match `clusterIP`");
	if (ojson_count(ips) > 2)
		ocheck_invalid(c, &lp, ips, "may only hold up to 2 values");
	OJSON_FOREACH_ELEM(i, e, ips) {
		struct opath p = opath_index(&lp, i);

		family[memchr(otext(e).p, ':', otext(e).len) != NULL]++;
		if (!ojson_string_is(e, "None"))
			ocheck_format(c, &p, e, OSCHEMA_FMT_IP);
		else if (i == 0 && ojson_count(ips) > 1)
			ocheck_invalid(c, &lp, ips, "'None' must be the first and only value");
	}
	if (c->found == before && family[0] + family[1] == 2 && family[0] != 1)
		ocheck_invalid(c, &lp, ips, "may specify no more than one IP for each IP family");
	if (ojson_count(ips) == 0 && ip.len > 0 && !otext_is(ip, "None"))
		ocheck_format(c, &first, ojson_get(spec, "clusterIP"), OSCHEMA_FMT_IP);
	if (otext_is(ip, "None") && (otext_is(type, "LoadBalancer") || otext_is(type, "NodePort"))) {
		(void)snprintf(text, sizeof(text), "may not be set to 'None' for %.*s services", (int)type.len, type.p);
		ocheck_invalid(c, &first, ojson_get(spec, "clusterIP"), text);
	}
	/* the primary address stays for life, unless the old or new service needs none */
	if (!c->update || oget_is(old, "type", "ExternalName") || ojson_count(was) == 0)
		return;
	if (ip.len == 0)
		ocheck_invalid(c, &first, ips, "primary clusterIP can not be unset");
	else if (!ojson_equal(ojson_get(spec, "clusterIP"), ojson_index(was, 0)))
		ocheck_invalid(c, &first, ips, "may not change once set");
}

static void check_service_types(struct ocheck *c, const struct opath *at, struct ojson *spec)
{
	static const char *const lb_only[] = { "loadBalancerSourceRanges", "allocateLoadBalancerNodePorts",
					       "loadBalancerClass" };
	struct orlop_bytes type = oget_text(spec, "type"), name = oget_text(spec, "externalName");
	struct opath np = opath_child(at, "externalName"), ep = opath_child(at, "externalIPs");
	struct opath rp = opath_child(at, "loadBalancerSourceRanges");
	bool lb = otext_is(type, "LoadBalancer"), local = oget_is(spec, "externalTrafficPolicy", "Local");

	if (otext_is(type, "ExternalName")) {
		const char *why = name.len == 0 ? NULL :
			oschema_format_check(OSCHEMA_FMT_DNS1123_SUBDOMAIN, name.p,
					     name.len - (name.p[name.len - 1] == '.'));

		if (name.len == 0)
			ocheck_required(c, &np, "");
		else if (why != NULL)
			ocheck_invalid(c, &np, ojson_get(spec, "externalName"), why);
	}
	OJSON_FOREACH_ELEM(i, e, ojson_get(spec, "externalIPs")) {
		struct opath p = opath_index(&ep, i);

		ocheck_format(c, &p, e, OSCHEMA_FMT_ENDPOINT_IP);
	}
	for (size_t k = 0; k < 3 && !lb; k++)
		if (ojson_has(spec, lb_only[k]))
			ocheck_forbidden_at(c, at, lb_only[k], "may only be used when `type` is 'LoadBalancer'");
	OJSON_FOREACH_ELEM(j, r, ojson_get(spec, "loadBalancerSourceRanges")) {
		struct orlop_bytes t = otext(r);

		if (lb && oschema_format_check(OSCHEMA_FMT_CIDR, t.p, t.len) != NULL)
			ocheck_invalid(c, &rp, r, "must be a list of IP ranges. For example, "
				       "10.240.0.0/24,10.250.0.0/24 ");
	}
	if (ojson_has(spec, "externalTrafficPolicy") && !lb && !otext_is(type, "NodePort") &&
	    oget_len(spec, "externalIPs") == 0)
		ocheck_invalid_at(c, at, spec, "externalTrafficPolicy",
				  "may only be set for externally-accessible services");
	if (oget_int(spec, "healthCheckNodePort") < 0)
		ocheck_invalid_at(c, at, spec, "healthCheckNodePort", "HealthCheckNodePort must be not less than 0");
	if (oget_int(spec, "healthCheckNodePort") != 0 && !(lb && local))
		ocheck_invalid_at(c, at, spec, "healthCheckNodePort", "may only be set when `type` is 'LoadBalancer' "
				  "and `externalTrafficPolicy` is 'Local'");
}

static bool has_health_port(struct ojson *spec)
{
	return oget_is(spec, "type", "LoadBalancer") && oget_is(spec, "externalTrafficPolicy", "Local");
}

OCHECK(affinity_timeout)
{
	(void)old;
	if (v != NULL && (ojson_i64(v, 0) <= 0 || ojson_i64(v, 0) > 86400))
		ocheck_invalid(c, at, v, "must be greater than 0 and less than 86400");
}

OCHECK(service)
{
	static const char key[] = "healthCheckNodePort";
	struct opath p = opath_child(at, "spec"), tp = opath_child(at, "status");
	struct ojson *spec = ojson_get(v, "spec");

	if (otext_is(c->w->sub, "status")) {
		ocheck_balancer(c, &tp, ojson_get(v, "status"));
		return;
	}
	check_service_ports(c, &p, spec);
	check_cluster_ips(c, &p, spec, ojson_get(old, "spec"));
	check_service_types(c, &p, spec);
	if (old != NULL && has_health_port(spec) && has_health_port(ojson_get(old, "spec")) &&
	    !ojson_equal(ojson_get(spec, key), OJSON_AT(old, "spec", key)))
		ocheck_forbidden_at(c, &p, key, "field is immutable");
}

/* Whether it is an address and whether it is a special one are two questions to upstream; what is none is told twice. */
static void check_no_address(struct ocheck *c, const struct opath *at, const char *key, struct ojson *subset)
{
	struct opath lp = opath_child(at, key);

	OJSON_FOREACH_ELEM(i, e, ojson_get(subset, key)) {
		struct opath p = opath_index(&lp, i);
		struct orlop_bytes ip = oget_text(e, "ip");

		if (oschema_format_check(OSCHEMA_FMT_IP, ip.p, ip.len) != NULL)
			ocheck_invalid_at(c, &p, e, "ip", "must be a valid IP address");
	}
}

OCHECK(endpoint_subset)
{
	struct ojson *ports = ojson_get(v, "ports");
	struct opath pp = opath_child(at, "ports");

	(void)old;
	if (oget_len(v, "addresses") == 0 && oget_len(v, "notReadyAddresses") == 0)
		ocheck_required(c, at, "must specify `addresses` or `notReadyAddresses`");
	check_no_address(c, at, "addresses", v);
	check_no_address(c, at, "notReadyAddresses", v);
	OJSON_FOREACH_ELEM(i, e, ports) {
		struct opath p = opath_index(&pp, i), np = opath_child(&p, "name");

		if (oget_empty(e, "name") && ojson_count(ports) > 1)
			ocheck_required(c, &np, "");
		else if (!oget_empty(e, "name"))
			ocheck_format(c, &np, ojson_get(e, "name"), OSCHEMA_FMT_DNS1123_LABEL);
	}
}

OCHECK(endpoint_slice)
{
	struct opath ep = opath_child(at, "endpoints"), pp = opath_child(at, "ports");
	struct orlop_bytes type = oget_text(v, "addressType");
	bool v4 = otext_is(type, "IPv4"), v6 = otext_is(type, "IPv6");
	struct ojson *ports = ojson_get(v, "ports");
	cleanup_oseen struct oseen names;

	(void)old;
	oseen_init(&names, &c->lost);
	OJSON_FOREACH_ELEM(i, e, ojson_get(v, "endpoints")) {
		struct opath p = opath_index(&ep, i), ap = opath_child(&p, "addresses");

		OJSON_FOREACH_ELEM(k, a, ojson_get(e, "addresses")) {
			struct opath kp = opath_index(&ap, k);
			struct orlop_bytes t = otext(a);
			bool colon = memchr(t.p, ':', t.len) != NULL;

			if ((v4 || v6) && (oschema_format_check(OSCHEMA_FMT_IP, t.p, t.len) != NULL || colon != v6))
				ocheck_invalid(c, &kp, a, v4 ? "must be a valid IPv4 address" :
					       "must be a valid IPv6 address");
			else if (v4 || v6)
				ocheck_format(c, &kp, a, OSCHEMA_FMT_ENDPOINT_IP);
			else
				ocheck_format(c, &kp, a, OSCHEMA_FMT_DNS1123_SUBDOMAIN);
		}
	}
	OJSON_FOREACH_ELEM(j, e, ports) {
		struct opath p = opath_index(&pp, j), np = opath_child(&p, "name"), op = opath_child(&p, "appProtocol");

		if (!oget_empty(e, "name"))
			ocheck_format(c, &np, ojson_get(e, "name"), OSCHEMA_FMT_DNS1123_LABEL);
		ocheck_format(c, &op, ojson_get(e, "appProtocol"), OSCHEMA_FMT_QUALIFIED_NAME);
		if (oseen(&names, ojson_get(e, "name"), NULL))
			ocheck_duplicate(c, &np, ojson_get(e, "name"));
	}
}

/* ---- configuration ---- */

/* With immutable set, @keys may not change and immutable stays. */
static void check_frozen(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old,
			 const char *const *keys)
{
	static const char why[] = "field is immutable when `immutable` is set";

	if (!c->update || !oget_bool(old, "immutable"))
		return;
	if (!oget_bool(v, "immutable"))
		ocheck_forbidden_at(c, at, "immutable", why);
	for (size_t i = 0; keys[i] != NULL; i++)
		if (!ojson_equal(ojson_get(v, keys[i]), ojson_get(old, keys[i])))
			ocheck_forbidden_at(c, at, keys[i], why);
}

OCHECK(config_map)
{
	static const char *const keys[] = { "data", "binaryData", NULL };
	struct opath dp = opath_child(at, "data");
	struct ojson *data = ojson_get(v, "data"), *binary = ojson_get(v, "binaryData");
	struct opath whole = opath_child(at, "");
	size_t total = 0;

	OJSON_FOREACH(it, data) {
		struct opath p = opath_key(&dp, it.key);

		total += otext(it.value).len;
		if (ojson_has(binary, it.key))
			ocheck_invalid_text(c, &p, (struct orlop_bytes){ it.key, it.key_len },
					    "duplicate of key present in binaryData");
	}
	OJSON_FOREACH(b, binary)
		total += ocheck_raw_len(b.value);
	if (total > DATA_MAX)
		ocheck_too_long(c, &whole, DATA_MAX);
	check_frozen(c, at, v, old, keys);
}

static void require_keys(struct ocheck *c, const struct opath *data, struct ojson *values, const char *a,
			 const char *b)
{
	struct opath pa = opath_key(data, a), pb = opath_key(data, b != NULL ? b : "");

	if (!ojson_has(values, a))
		ocheck_required(c, &pa, "");
	if (b != NULL && !ojson_has(values, b))
		ocheck_required(c, &pb, "");
}

static void check_docker_config(struct ocheck *c, const struct opath *data, struct ojson *values, const char *key)
{
	static const struct orlop_bytes redacted = { "<secret contents redacted>", 26 };
	struct opath p = opath_key(data, key);
	struct orlop_bytes b64 = oget_text(values, key);
	cleanup_free char *raw = NULL;
	struct oscan_error why;
	struct orlop_bytes v;
	long n = 0;

	if (!ojson_has(values, key)) {
		ocheck_required(c, &p, "");
		return;
	}
	raw = omem_alloc(OBASE64_DECODED(b64.len) + 1);
	if (raw != NULL)
		n = obase64_decode(OBASE64_STD, b64.p, b64.len, raw, NULL);
	if (raw == NULL || n < 0)
		return;			/* the field's format said so; or nobody can look */
	if (n == 0)
		ocheck_invalid_text(c, &p, redacted, "unexpected end of JSON input");
	else if (oscan_check(raw, (size_t)n, 64, &v, &why))
		ocheck_invalid_text(c, &p, redacted, why.msg);
}

OCHECK(secret)
{
	static const char *const keys[] = { "data", NULL };
	struct opath data = opath_child(at, "data"), whole = data, meta = opath_child(at, "metadata");
	struct opath notes = opath_child(&meta, "annotations");
	struct ojson *values = ojson_get(v, "data");
	struct orlop_bytes type = oget_text(v, "type");
	size_t total = 0;

	OJSON_FOREACH(it, values)
		total += ocheck_raw_len(it.value);
	if (total > DATA_MAX)
		ocheck_too_long(c, &whole, DATA_MAX);
	if (otext_is(type, "kubernetes.io/service-account-token")) {
		struct opath p = opath_key(&notes, "kubernetes.io/service-account.name");

		if (oget_empty(OJSON_AT(v, "metadata", "annotations"), "kubernetes.io/service-account.name"))
			ocheck_required(c, &p, "");
	} else if (otext_is(type, "kubernetes.io/dockerconfigjson")) {
		check_docker_config(c, &data, values, ".dockerconfigjson");
	} else if (otext_is(type, "kubernetes.io/dockercfg")) {
		check_docker_config(c, &data, values, ".dockercfg");
	} else if (otext_is(type, "kubernetes.io/tls")) {
		require_keys(c, &data, values, "tls.crt", "tls.key");
	} else if (otext_is(type, "kubernetes.io/ssh-auth")) {
		require_keys(c, &data, values, "ssh-privatekey", NULL);
	} else if (otext_is(type, "kubernetes.io/basic-auth") && !ojson_has(values, "username") &&
		   !ojson_has(values, "password")) {
		require_keys(c, &data, values, "username", "password");
	}
	if (c->update && !ojson_equal(ojson_get(v, "type"), ojson_get(old, "type")))
		ocheck_invalid_at(c, at, v, "type", "field is immutable");
	check_frozen(c, at, v, old, keys);
}

/* ---- reviews ---- */

OCHECK(binding)
{
	static const char *const kinds[] = { "Node", "<empty>" };
	struct opath p = opath_child(at, "target"), kp = opath_child(&p, "kind");
	struct ojson *target = ojson_get(v, "target");

	(void)old;
	if (!oget_empty(target, "kind") && !oget_is(target, "kind", "Node"))
		ocheck_not_supported(c, &kp, ojson_get(target, "kind"), kinds, 2);
	if (oget_empty(target, "name"))
		ocheck_required_at(c, &p, "name", "");
}

OCHECK(access_review)
{
	struct opath p = opath_child(at, "spec");
	struct ojson *spec = ojson_get(v, "spec");
	bool resource = ojson_has(spec, "resourceAttributes"), path = ojson_has(spec, "nonResourceAttributes");

	(void)old;
	if (resource && path)
		ocheck_invalid_at(c, &p, spec, "nonResourceAttributes",
				  "cannot be specified in combination with resourceAttributes");
	if (!resource && !path)
		ocheck_invalid_at(c, &p, spec, "resourceAttributes",
				  "exactly one of nonResourceAttributes or resourceAttributes must be specified");
	if (strcmp(c->kind, "SelfSubjectAccessReview") != 0 && oget_empty(spec, "user") &&
	    oget_len(spec, "groups") == 0)
		ocheck_invalid_text(c, &(struct opath){ .up = &p, .name = "user", .len = 4 },
				    (struct orlop_bytes){ "", 0 }, "at least one of user or group must be specified");
}
