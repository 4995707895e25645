/*
 * kind-service.c - Services: cluster addresses and node ports, given out in the transaction itself.
 *
 * A private key per address and port ("!ip/10.96.0.7", "!port/TCP/30080") holds the owner's key. It
 * is compared with "does not exist" and put together with the Service, and deleted with it, so no
 * address is ever given twice, by any number of API servers, and none leaks.
 */
#include "kinds.h"
#include "write.h"

#include "json/ojson.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define PORTS_MAX 20u		/* node ports of one Service: what a transaction can carry */

void service_first_ip(const struct registry *rg, char buf[16])
{
	struct in_addr a = { htonl(rg->svc_base + 1) };

	inet_ntop(AF_INET, &a, buf, 16);
}

static bool parse_ip(struct orlop_bytes s, uint32_t *ret)
{
	char buf[16];
	struct in_addr a;

	if (s.len == 0 || s.len >= sizeof(buf))
		return false;
	memcpy(buf, s.p, s.len);
	buf[s.len] = '\0';
	if (inet_pton(AF_INET, buf, &a) != 1)
		return false;
	*ret = ntohl(a.s_addr);
	return true;
}

static bool wants_ip(const struct ojson *spec)
{
	return !rb_is(ojson_get_bytes(spec, "type"), "ExternalName") &&
	       !rb_is(ojson_get_bytes(spec, "clusterIP"), "None");
}

static bool wants_ports(const struct ojson *spec)
{
	struct orlop_bytes type = ojson_get_bytes(spec, "type");

	return rb_is(type, "NodePort") ||
	       (rb_is(type, "LoadBalancer") && ojson_get_bool(spec, "allocateLoadBalancerNodePorts", true));
}

/* ---- prepare: what a client may leave out keeps its value ---- */

static int keep_ports(struct reg_op *op, struct ojson *spec, const struct ojson *was)
{
	int r = 0;

	OJSON_FOREACH_ELEM(i, p, ojson_get_array(spec, "ports")) {
		if (ojson_get_i64(p, "nodePort", 0))
			continue;
		OJSON_FOREACH_ELEM(j, q, ojson_get_array(was, "ports"))
			if (r == 0 && ojson_get_i64(p, "port", 0) == ojson_get_i64(q, "port", 0) &&
			    rb_eq(ojson_get_bytes(p, "protocol"), ojson_get_bytes(q, "protocol")) &&
			    ojson_get_i64(q, "nodePort", 0)) {
				r = ojson_set_i64(p, "nodePort", ojson_get_i64(q, "nodePort", 0));
				reg_dirty(op);
			}
	}
	return r;
}

/* Services have addresses of one family, IPv4; a headless one without a selector may name what it likes. */
static void check_families(struct reg_op *op, const struct ojson *spec)
{
	const struct ojson *list = ojson_get_array(spec, "ipFamilies");
	bool any = rb_is(ojson_get_bytes(spec, "clusterIP"), "None") && !ojson_count(ojson_get(spec, "selector"));

	if (any)
		return;
	if (rb_is(ojson_get_bytes(spec, "ipFamilyPolicy"), "RequireDualStack"))
		reg_cause(op, "FieldValueInvalid", "spec.ipFamilyPolicy",
			  "Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services");
	OJSON_FOREACH_ELEM(i, e, list) {
		const char *at = oarena_printf(&op->arena, "spec.ipFamilies[%zu]", (size_t)i);

		if (i > 0 && ojson_equal(e, ojson_index(list, 0)))
			reg_cause(op, "FieldValueDuplicate", at ? at : "", "Duplicate value: \"%.*s\"", OB(ojson_bytes(e)));
		else if (rb_is(ojson_bytes(e), "IPv6"))
			reg_cause(op, "FieldValueInvalid", at ? at : "", "Invalid value: \"IPv6\": not configured on this cluster");
	}
}

static bool is_balanced(const struct ojson *spec)
{
	return rb_is(ojson_get_bytes(spec, "type"), "LoadBalancer");
}

/* Does traffic come from outside of the cluster? */
static bool has_outside(const struct ojson *spec)
{
	struct orlop_bytes type = ojson_get_bytes(spec, "type");

	return is_balanced(spec) || rb_is(type, "NodePort") ||
	       (!rb_is(type, "ExternalName") && ojson_count(ojson_get_array(spec, "externalIPs")));
}

static bool has_health_port(const struct ojson *spec)
{
	return is_balanced(spec) && rb_is(ojson_get_bytes(spec, "externalTrafficPolicy"), "Local");
}

/* Has @spec no node port that @was did not have? */
static bool no_new_ports(const struct ojson *spec, const struct ojson *was)
{
	OJSON_FOREACH_ELEM(i, p, ojson_get_array(spec, "ports")) {
		int64_t port = ojson_get_i64(p, "nodePort", 0);
		bool found = port == 0;

		OJSON_FOREACH_ELEM(j, q, ojson_get_array(was, "ports"))
			found = found || ojson_get_i64(q, "nodePort", 0) == port;
		if (!found)
			return false;
	}
	return true;
}

static void drop_same(struct reg_op *op, struct ojson *spec, const struct ojson *was, const char *key)
{
	if (!ojson_has(spec, key) || !ojson_equal(ojson_get(spec, key), ojson_get(was, key)))
		return;
	ojson_del(spec, key);
	reg_dirty(op);
}

/*
 * What the type no longer has is given back, unless it was changed at the same time: then it is for validation to say
 * that it may not be there.
 */
static void give_back(struct reg_op *op, struct ojson *spec, const struct ojson *was)
{
	bool health = has_health_port(was) && !has_health_port(spec);

	if (wants_ports(was) && !wants_ports(spec) && no_new_ports(spec, was))
		OJSON_FOREACH_ELEM(i, p, ojson_get_array(spec, "ports"))
			if (ojson_has(p, "nodePort")) {
				ojson_del(p, "nodePort");
				reg_dirty(op);
			}
	if (has_outside(was) && !has_outside(spec))
		drop_same(op, spec, was, "externalTrafficPolicy");
	if (health)
		drop_same(op, spec, was, "healthCheckNodePort");
	if (is_balanced(was) && !is_balanced(spec)) {
		drop_same(op, spec, was, "allocateLoadBalancerNodePorts");
		drop_same(op, spec, was, "loadBalancerClass");
	}
}

static int prepare(struct reg_op *op, struct ojson *obj, struct ojson *old)
{
	struct ojson *spec = ojson_get(obj, "spec");
	const struct ojson *was = ojson_get(old, "spec");
	struct orlop_bytes ip;
	int r = 0;

	if (!ojson_is(spec, OJSON_OBJECT))
		return 0;
	if (rb_is(ojson_get_bytes(spec, "type"), "ExternalName")) {
		/* leaving the other types gives everything back */
		if (was && !rb_is(ojson_get_bytes(was, "type"), "ExternalName")) {
			ip = ojson_get_bytes(spec, "clusterIP");
			if (rb_eq(ip, ojson_get_bytes(was, "clusterIP"))) {
				ojson_del(spec, "clusterIP");
				ojson_del(spec, "clusterIPs");
			}
			ojson_del(spec, "ipFamilies");
			ojson_del(spec, "ipFamilyPolicy");
			reg_dirty(op);
			give_back(op, spec, was);
		}
		return 0;
	}
	check_families(op, spec);
	if (!ojson_get(spec, "ipFamilyPolicy")) {
		r = ojson_set_cstr(spec, "ipFamilyPolicy", "SingleStack");
		reg_dirty(op);
	}
	if (r == 0 && ojson_count(ojson_get_array(spec, "ipFamilies")) == 0) {
		struct ojson *list = ojson_ensure_array(spec, "ipFamilies");

		r = list ? ojson_append_cstr(list, "IPv4") : -ENOMEM;
		reg_dirty(op);
	}
	ip = ojson_get_bytes(spec, "clusterIP");
	if (was && ip.len == 0 && ojson_get_bytes(was, "clusterIP").len) {
		r = ojson_set(spec, "clusterIP", ojson_ref(ojson_get(was, "clusterIP")));
		if (r == 0 && ojson_get(was, "clusterIPs") && !ojson_count(ojson_get_array(spec, "clusterIPs")))
			r = ojson_set(spec, "clusterIPs", ojson_ref(ojson_get(was, "clusterIPs")));
		reg_dirty(op);
	}
	ip = ojson_get_bytes(spec, "clusterIP");
	/* Who changes only the one address means the list as well. */
	if (r == 0 && was && ip.len && !rb_eq(ip, ojson_get_bytes(was, "clusterIP")) &&
	    ojson_count(ojson_get_array(spec, "clusterIPs")) &&
	    ojson_equal(ojson_get(spec, "clusterIPs"), ojson_get(was, "clusterIPs"))) {
		struct ojson *list = NULL;

		r = ojson_copy(ojson_get(spec, "clusterIPs"), &list);
		if (r == 0)
			r = ojson_replace(list, 0, ojson_new_string(ip.p, ip.len));
		if (r == 0)
			r = ojson_set(spec, "clusterIPs", ojson_ref(list));
		ojson_unref(list);
		reg_dirty(op);
	}
	if (r == 0 && ip.len && ojson_count(ojson_get_array(spec, "clusterIPs")) == 0) {
		struct ojson *list = ojson_ensure_array(spec, "clusterIPs");

		r = list ? ojson_append(list, ojson_new_string(ip.p, ip.len)) : -ENOMEM;
		reg_dirty(op);
	}
	if (r == 0 && was && wants_ports(spec) && wants_ports(was))
		r = keep_ports(op, spec, was);
	if (r == 0 && was && has_health_port(spec) && has_health_port(was) && !ojson_get_i64(spec, "healthCheckNodePort", 0) &&
	    ojson_has(was, "healthCheckNodePort")) {
		r = ojson_set(spec, "healthCheckNodePort", ojson_ref(ojson_get(was, "healthCheckNodePort")));
		reg_dirty(op);
	}
	if (r == 0 && was)
		give_back(op, spec, was);
	return r ? reg_failed(op, r, NULL) : 0;
}

/* ---- commit ---- */

static struct orlop_bytes ip_key(struct reg_op *op, uint32_t ip)
{
	struct in_addr a = { htonl(ip) };
	char text[16];
	char *k;

	inet_ntop(AF_INET, &a, text, sizeof(text));
	k = oarena_printf(&op->arena, "!ip/%s", text);
	return k ? RB(k) : RB0;
}

static struct orlop_bytes port_key(struct reg_op *op, struct orlop_bytes proto, int64_t port)
{
	char *k = oarena_printf(&op->arena, "!port/%.*s/%lld", proto.len ? (int)proto.len : 3,
				proto.len ? proto.p : "TCP", (long long)port);

	return k ? RB(k) : RB0;
}

/* Addresses that the cache knows to be taken, as a bit map over the range. */
static int taken(struct reg_op *op, uint8_t *map, uint32_t n)
{
	const struct orlop_host *h = op->sh->h;
	struct orlop_resource *res = reg_open(op->sh, op->sh->rg->services);
	int32_t field = res ? h->resource_index(res, "spec.clusterIP") : -1;
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	struct orlop_iter *it;

	if (field < 0 || h->snapshot_open(res, &snap))
		return -ENOMEM;
	if (h->iter_open(snap, &q, &it) == 0) {
		while ((o = h->iter_next(it)) != NULL)
			for (uint32_t i = 0; i < o->n_index; i++) {
				uint32_t ip;

				if (o->index[i].index == (uint32_t)field && parse_ip(o->index[i].value, &ip) &&
				    ip - op->sh->rg->svc_base < n)
					map[(ip - op->sh->rg->svc_base) / 8] |= (uint8_t)(1 << (ip & 7));
			}
		h->iter_close(it);
	}
	h->snapshot_close(snap);
	return 0;
}

/*
 * An address to try. The lower part of the range is for those who ask for a certain one, as
 * upstream (a sixteenth of it, 16 … 256 addresses). Luck first; then a look at what is free.
 */
static int pick_ip(struct reg_op *op, uint32_t *ret)
{
	const struct registry *rg = op->sh->rg;
	uint32_t size = ~rg->svc_mask + 1, low = size / 16, rnd;
	uint8_t *map;
	int r;

	low = low < 16 ? 16 : low > 256 ? 256 : low;
	if (low >= size - 1)
		low = 2;
	op->sh->h->random(op->sh->h, &rnd, sizeof(rnd));
	if (op->w->private_tries < 4) {
		*ret = rg->svc_base + low + rnd % (size - 1 - low);
		return 0;
	}
	if (size > 65536)
		size = 65536;
	map = oarena_zalloc(&op->arena, size / 8 + 1);
	r = map ? taken(op, map, size) : -ENOMEM;
	if (r)
		return reg_failed(op, r, NULL);
	/* two who look at the same map must not choose the same address again and again */
	for (uint32_t i = 0; i < size - 2; i++) {
		uint32_t at = 1 + (i + rnd) % (size - 2);

		if (!(map[at / 8] & (1 << ((rg->svc_base + at) & 7)))) {
			*ret = rg->svc_base + at;
			return 0;
		}
	}
	return reg_internal(op, "failed to allocate a serviceIP: range is full");
}

static int set_ip(struct reg_op *op, struct ojson *spec, uint32_t ip)
{
	struct in_addr a = { htonl(ip) };
	char text[16];
	struct ojson *list = ojson_new_array();
	int r;

	inet_ntop(AF_INET, &a, text, sizeof(text));
	r = list ? ojson_append_cstr(list, text) : -ENOMEM;
	if (r) {
		ojson_unref(list);
		return r;
	}
	reg_dirty(op);
	r = ojson_set(spec, "clusterIPs", list);
	return r ? r : ojson_set_cstr(spec, "clusterIP", text);
}

static int claim_ip(struct reg_op *op, struct reg_txn *t, struct ojson *spec, bool had, uint32_t had_ip)
{
	const struct registry *rg = op->sh->rg;
	struct orlop_bytes text = ojson_get_bytes(spec, "clusterIP"), key;
	uint32_t ip = 0;
	int r;

	if (text.len == 0) {
		r = pick_ip(op, &ip);
		if (r == 0)
			r = set_ip(op, spec, ip);
		if (r)
			return op->err.err ? r : reg_failed(op, r, NULL);
	} else {
		const char *why = NULL;

		if (!parse_ip(text, &ip))
			return 0;		/* validation has said so */
		if (had && ip == had_ip)
			return 0;
		if ((ip & rg->svc_mask) != rg->svc_base || ip == rg->svc_base || ip == (rg->svc_base | ~rg->svc_mask))
			why = "the provided network does not match the current range";
		else if (op->w->last_failed && op->w->last_failed == t->n_cmp)
			why = "provided IP is already allocated";
		if (why) {
			reg_cause(op, "FieldValueInvalid", "spec.clusterIPs",
				  "Invalid value: [\"%.*s\"]: failed to allocate IP %.*s: %s", OB(text), OB(text), why);
			return reg_invalid(op, op->w->name);
		}
	}
	key = ip_key(op, ip);
	reg_txn_compare(t, key, 0);
	reg_txn_put(t, key, op->w->key);
	return 0;
}

/* The port that member @name of @p, said to be @field, wants, or any; of the protocol @proto. */
static int claim_port(struct reg_op *op, struct reg_txn *t, struct ojson *p, const char *name, struct orlop_bytes proto,
		      const char *field)
{
	const struct registry *rg = op->sh->rg;
	int64_t port = ojson_get_i64(p, name, 0);
	struct orlop_bytes key;
	int r;

	if (port == 0) {
		uint32_t rnd;

		op->sh->h->random(op->sh->h, &rnd, sizeof(rnd));
		port = rg->port_lo + rnd % (uint32_t)(rg->port_hi - rg->port_lo + 1);
		r = ojson_set_i64(p, name, port);
		if (r)
			return reg_failed(op, r, NULL);
		reg_dirty(op);
	} else {
		const char *why = NULL;

		if (port < rg->port_lo || port > rg->port_hi) {
			reg_cause(op, "FieldValueInvalid", field, "Invalid value: %lld: provided port is not in the valid range. The range of valid ports is %u-%u",
				  (long long)port, rg->port_lo, rg->port_hi);
			return reg_invalid(op, op->w->name);
		}
		if (op->w->last_failed && op->w->last_failed == t->n_cmp)
			why = "provided port is already allocated";
		if (why) {
			reg_cause(op, "FieldValueInvalid", field, "Invalid value: %lld: %s", (long long)port, why);
			return reg_invalid(op, op->w->name);
		}
	}
	key = port_key(op, proto, port);
	reg_txn_compare(t, key, 0);
	reg_txn_put(t, key, op->w->key);
	return 0;
}

static bool has_port(const struct ojson *spec, const struct ojson *like)
{
	OJSON_FOREACH_ELEM(i, p, ojson_get_array(spec, "ports"))
		if (ojson_get_i64(p, "nodePort", 0) == ojson_get_i64(like, "nodePort", 0) &&
		    rb_eq(ojson_get_bytes(p, "protocol"), ojson_get_bytes(like, "protocol")))
			return true;
	return false;
}

/* The port at which balancers ask a node whether it has pods of the Service. */
static int commit_health(struct reg_op *op, struct reg_txn *t, struct ojson *spec, const struct ojson *was)
{
	static const char name[] = "healthCheckNodePort";
	int64_t had = has_health_port(was) ? ojson_get_i64(was, name, 0) : 0;
	bool wants = has_health_port(spec);
	int r = 0;

	if (had && !(wants && ojson_get_i64(spec, name, 0) == had))
		reg_txn_delete(t, port_key(op, RB("TCP"), had));
	if (wants && !(had && ojson_get_i64(spec, name, 0) == had))
		r = claim_port(op, t, spec, name, RB("TCP"), "spec.healthCheckNodePort");
	return r;
}

static int commit(struct reg_op *op, struct reg_txn *t, struct ojson *obj, struct ojson *old)
{
	struct ojson *spec = ojson_get(obj, "spec"), *was = ojson_get(old, "spec");
	uint32_t had_ip = 0, ip;
	bool had = was && wants_ip(was) && parse_ip(ojson_get_bytes(was, "clusterIP"), &had_ip);
	size_t n = 0;
	char field[48];
	int r = 0;

	if (spec && wants_ip(spec))
		r = claim_ip(op, t, spec, had, had_ip);
	if (r == 0 && had && !(spec && wants_ip(spec) &&
			       parse_ip(ojson_get_bytes(spec, "clusterIP"), &ip) && ip == had_ip))
		reg_txn_delete(t, ip_key(op, had_ip));
	if (r == 0 && spec && wants_ports(spec))
		OJSON_FOREACH_ELEM(i, p, ojson_get_array(spec, "ports")) {
			if (ojson_get_i64(p, "nodePort", 0) && was && has_port(was, p))
				continue;
			if (r == 0 && ++n > PORTS_MAX)
				r = reg_bad_request(op, "a Service can have at most %u node ports", PORTS_MAX);
			(void)snprintf(field, sizeof(field), "spec.ports[%zu].nodePort", (size_t)i);
			if (r == 0)
				r = claim_port(op, t, p, "nodePort", ojson_get_bytes(p, "protocol"), field);
		}
	if (r == 0 && was)
		OJSON_FOREACH_ELEM(i, p, ojson_get_array(was, "ports"))
			if (ojson_get_i64(p, "nodePort", 0) && !(spec && wants_ports(spec) && has_port(spec, p)))
				reg_txn_delete(t, port_key(op, ojson_get_bytes(p, "protocol"),
							   ojson_get_i64(p, "nodePort", 0)));
	if (r == 0)
		r = commit_health(op, t, spec, was);
	return r;
}

const struct reg_behaviour kind_service = {
	.resource = "services",
	.prepare = prepare,
	.commit = commit,
};
