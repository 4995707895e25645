/*
 * bridge.c - the class cni by a Linux bridge: the module and its ops.
 *
 * Ops run on workers and take one lock: each is a handful of netlink messages.
 */
#include "bridge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/omem.h"

/* What add, del and check are asked for; copied, NUL-terminated. */
struct attach_req {
	char		id[LEASE_ID_MAX];
	char		netns[4096];
	char		ifname[IFNAMSIZ];
};

static int copy(char *out, size_t size, struct orlop_bytes b)
{
	if (b.len >= size || (b.len && memchr(b.p, 0, b.len)))
		return -EINVAL;
	if (b.len)
		memcpy(out, b.p, b.len);
	out[b.len] = '\0';
	return 0;
}

static int attach_parse(const struct bridge *b, const struct orlop_req *req, struct attach_req *a,
			bool need_netns, struct orlop_error *err)
{
	struct orlop_bytes ifname = orlop_msg_bytes(b->h, &req->msg, ORLOP_CNI_T_IFNAME);

	if (copy(a->id, sizeof(a->id), orlop_msg_bytes(b->h, &req->msg, ORLOP_CNI_T_CONTAINER_ID)) ||
	    !lease_id_ok(a->id))
		return orlop_fail(err, EINVAL, 0, "", "cni: CONTAINER_ID is missing or not a name");
	if (copy(a->netns, sizeof(a->netns), orlop_msg_bytes(b->h, &req->msg, ORLOP_CNI_T_NETNS)) ||
	    (need_netns && a->netns[0] != '/'))
		return orlop_fail(err, EINVAL, 0, "", "cni: NETNS of %s is not an absolute path", a->id);
	if (!ifname.len)
		ifname = OBYTES("eth0");
	if (copy(a->ifname, sizeof(a->ifname), ifname) || strchr(a->ifname, '/'))
		return orlop_fail(err, EINVAL, 0, "", "cni: IFNAME of %s is not a link name", a->id);
	return 0;
}

/* The address of @host in either family with its prefix length: "10.244.0.7/24". */
static void text_addr(const struct bridge *b, uint32_t host, bool six, bool prefix, char out[INET6_ADDRSTRLEN + 4])
{
	struct in_addr a4 = lease_addr(&b->leases, host);
	struct in6_addr a6 = lease_addr6(&b->leases, host);

	inet_ntop(six ? AF_INET6 : AF_INET, six ? (void *)&a6 : (void *)&a4, out, INET6_ADDRSTRLEN);
	if (prefix)
		snprintf(out + strlen(out), 5, "/%u", six ? b->leases.prefix6 : b->leases.prefix4);
}

/* Families in the order in which the subnets were given. */
static bool has_family(const struct bridge *b, int nth, bool *ret_six)
{
	*ret_six = (nth == 0) == b->leases.first6;
	return *ret_six ? b->leases.prefix6 : b->leases.prefix4;
}

static void answer(struct bridge *b, struct orlop_call *call, const struct obuf *json)
{
	struct orlop_msgw w;
	struct orlop_msg msg;

	orlop_msgw_init(&w, b->h);
	orlop_msgw_bytes(&w, ORLOP_CNI_T_RESULT, json->data, json->len);
	msg = orlop_msgw_msg(&w);
	b->h->call_done(call, w.err, w.err ? NULL : &msg, NULL);
	orlop_msgw_done(&w);
}

/* A CNI 1.0 result of an attached pod. */
static void result_put(const struct bridge *b, const struct lease *l, const struct attach_req *a,
		       struct obuf *out)
{
	char addr[INET6_ADDRSTRLEN + 4];
	char gw[INET6_ADDRSTRLEN + 4];
	const char *comma = "";
	char veth[16];
	uint8_t mac[6];
	bool six;

	veth_name(l->id, veth);
	pod_mac(&b->leases, l->host, mac);
	obuf_printf(out, "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"%s\"},{\"name\":\"%s\"},"
		    "{\"name\":\"%s\",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"sandbox\":",
		    b->name, veth, a->ifname, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	obuf_put_json_cstr(out, a->netns);
	obuf_puts(out, "}],\"ips\":[");
	for (int i = 0; i < 2; i++) {
		if (!has_family(b, i, &six))
			continue;
		text_addr(b, l->host, six, true, addr);
		text_addr(b, 1, six, false, gw);
		obuf_printf(out, "%s{\"address\":\"%s\",\"gateway\":\"%s\",\"interface\":2}", comma, addr, gw);
		comma = ",";
	}
	obuf_puts(out, "],\"routes\":[");
	comma = "";
	for (int i = 0; i < 2; i++) {
		if (!has_family(b, i, &six))
			continue;
		text_addr(b, 1, six, false, gw);
		obuf_printf(out, "%s{\"dst\":\"%s\",\"gw\":\"%s\"}", comma, six ? "::/0" : "0.0.0.0/0", gw);
		comma = ",";
	}
	obuf_puts(out, "],\"dns\":{}}");
}

/* A port of this machine is one pod's. Who is gone has none: a machine that was started again, say. */
static int ports_free(struct bridge *b, const struct lease *self, const struct lease_want *want, struct orlop_error *err)
{
	const struct lease_port *port;
	struct lease *other;
	char text[80];

	while ((other = lease_conflict(&b->leases, self, want, &port))) {
		if (other->want.netns && !netns_lives(other->want.netns) && !lease_end(b, other))
			continue;
		lease_port_text(port, text, sizeof(text));
		return orlop_fail(err, EADDRINUSE, 0, "", "host port %s is in use by pod %s", text,
				  other->want.pod ? other->want.pod : other->id);
	}
	return 0;
}

static int lease_make(struct bridge *b, const char *id, struct lease **ret, struct orlop_error *err)
{
	int e = lease_take(&b->leases, id, ret);

	if (e == -EADDRNOTAVAIL && leases_reap(b))
		e = lease_take(&b->leases, id, ret);
	if (e == -EADDRNOTAVAIL)
		return orlop_fail(err, EADDRNOTAVAIL, 0, "", "bridge %s: all %u pod addresses are in use", b->name,
				  b->leases.n_hosts - 1);
	return e ? orlop_fail(err, -e, 0, "", "bridge %s: no lease for %s", b->name, id) : 0;
}

/* Lock held. @want is given to the lease, or left. */
static int add_locked(struct bridge *b, const struct attach_req *a, struct lease_want *want, struct obuf *out,
		      struct orlop_error *err)
{
	struct lease *l = lease_find(&b->leases, a->id);
	int e;

	b->torn_down = false;
	if (l && !pod_check(b, l, a->netns, a->ifname, NULL)) {
		result_put(b, l, a, out);
		return 0;
	}
	e = ports_free(b, l, want, err);
	if (!e && !l)
		e = lease_make(b, a->id, &l, err);
	else if (!e)
		rules_del(b, l);
	if (e)
		return e;
	want_done(&l->want);
	l->want = *want;
	memset(want, 0, sizeof(*want));
	e = lease_write(b, l, err);
	if (!e)
		e = pod_attach(b, l, err);
	if (e) {
		(void)lease_end(b, l);
		return e;
	}
	result_put(b, l, a, out);
	return 0;
}

static int op_add(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct bridge *b = ctx;
	struct lease_want want = { .pod = NULL };
	struct attach_req a;
	struct obuf out;
	int e = attach_parse(b, req, &a, true, err);

	if (!e)
		e = want_read(orlop_msg_bytes(b->h, &req->msg, ORLOP_CNI_T_ARGS), &want, err);
	if (!e) {
		strcpy(want.ifname, a.ifname);
		want.netns = omem_strdup(a.netns);
		e = want.netns ? 0 : orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	if (e) {
		want_done(&want);
		return e;
	}
	obuf_init(&out);
	pthread_mutex_lock(&b->lock);
	e = add_locked(b, &a, &want, &out, err);
	pthread_mutex_unlock(&b->lock);
	want_done(&want);
	if (!e && (e = obuf_err(&out)))
		orlop_fail(err, -e, 0, "", "no memory for a result");
	if (!e)
		answer(b, call, &out);
	obuf_done(&out);
	return e;
}

/* A pod to be detached: of the worker that waits for it. */
struct going {
	struct going	*next;
	const char	*id;
	int		result;
	bool		done;
};

#define GOING_MAX	64u

/* All of @list: those who came while others were detached go together. */
static void going_detach(struct bridge *b, struct going *list)
{
	const char *ids[GOING_MAX];
	struct going *g;
	uint32_t n = 0;

	pthread_mutex_lock(&b->lock);
	for (g = list; g && n < GOING_MAX; g = g->next)
		ids[n++] = g->id;
	if (n > 1)
		pods_unlink(b, ids, n);
	for (g = list; g; g = g->next) {
		struct lease *l = lease_find(&b->leases, g->id);

		g->result = l ? lease_end(b, l) : pod_detach(b, g->id);
	}
	pthread_mutex_unlock(&b->lock);
}

static int detach(struct bridge *b, const char *id)
{
	struct going me = { .id = id };
	struct going *list;

	pthread_mutex_lock(&b->going_lock);
	me.next = b->going;
	b->going = &me;
	while (b->detaching && !me.done)
		pthread_cond_wait(&b->gone, &b->going_lock);
	if (!me.done) {
		b->detaching = true;
		list = b->going;
		b->going = NULL;
		pthread_mutex_unlock(&b->going_lock);
		going_detach(b, list);
		pthread_mutex_lock(&b->going_lock);
		/* its owner may be gone as soon as it is done */
		for (struct going *next; list; list = next) {
			next = list->next;
			list->done = true;
		}
		b->detaching = false;
		pthread_cond_broadcast(&b->gone);
	}
	pthread_mutex_unlock(&b->going_lock);
	return me.result;
}

static int op_del(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct bridge *b = ctx;
	struct attach_req a;
	int e = attach_parse(b, req, &a, false, err);

	if (e)
		return e;
	e = detach(b, a.id);
	if (e)
		return orlop_fail(err, -e, 0, "", "cannot remove the link of %s", a.id);
	b->h->call_done(call, 0, NULL, NULL);
	return 0;
}

static int op_check(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		    struct orlop_error *err)
{
	struct bridge *b = ctx;
	struct attach_req a;
	struct lease *l;
	int e = attach_parse(b, req, &a, true, err);

	if (e)
		return e;
	pthread_mutex_lock(&b->lock);
	l = lease_find(&b->leases, a.id);
	e = l ? pod_check(b, l, a.netns, a.ifname, err)
	      : orlop_fail(err, ENOENT, 0, "", "%s has no address", a.id);
	pthread_mutex_unlock(&b->lock);
	if (!e)
		b->h->call_done(call, 0, NULL, NULL);
	return e;
}

static int op_gc(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		 struct orlop_error *err)
{
	struct bridge *b = ctx;
	struct orlop_msgr r;
	struct lease *l;
	struct lease *next;
	char id[LEASE_ID_MAX];
	uint32_t n = 0;

	(void)err;
	pthread_mutex_lock(&b->lock);
	for (l = b->leases.first; l; l = l->next)
		l->seen = false;
	orlop_msgr_init(&r, b->h, &req->msg, req->msg.body);
	while (orlop_msgr_next(&r)) {
		if (r.tag != ORLOP_CNI_T_KEEP || r.type != ORLOP_T_BYTES || copy(id, sizeof(id), r.bytes))
			continue;
		l = lease_find(&b->leases, id);
		if (l)
			l->seen = true;
	}
	for (l = b->leases.first; l; l = next) {
		next = l->next;
		if (!l->seen && !lease_end(b, l))
			n++;
	}
	pthread_mutex_unlock(&b->lock);
	if (n)
		OLOG(b->h, INFO, "leases_collected", "bridge=%s n=%u", b->name, n);
	b->h->call_done(call, 0, NULL, NULL);
	return 0;
}

static void status_put(struct bridge *b, const struct orlop_error *why, struct obuf *out)
{
	char net[INET6_ADDRSTRLEN + 4];
	char gw[INET6_ADDRSTRLEN + 4];
	const char *comma = "";
	bool six;

	has_family(b, 0, &six);
	text_addr(b, 0, six, true, net);
	text_addr(b, 1, six, false, gw);
	obuf_printf(out, "{\"ready\":%s,\"message\":", b->index > 0 ? "true" : "false");
	obuf_put_json_cstr(out, b->index > 0 ? "" : why->msg[0] ? why->msg : "the bridge is gone");
	obuf_printf(out, ",\"gateway\":\"%s\",\"podCIDR\":\"%s\",\"podCIDRs\":[", gw, net);
	for (int i = 0; i < 2; i++) {
		if (!has_family(b, i, &six))
			continue;
		text_addr(b, 0, six, true, net);
		obuf_printf(out, "%s\"%s\"", comma, net);
		comma = ",";
	}
	obuf_printf(out, "],\"bridge\":\"%s\",\"mtu\":%u,\"leases\":%u}", b->name, b->mtu, b->leases.n);
}

static int op_status(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		     struct orlop_error *err)
{
	struct bridge *b = ctx;
	struct orlop_error why = ORLOP_ERROR_INIT;
	struct obuf out;
	int e;

	(void)req;
	obuf_init(&out);
	pthread_mutex_lock(&b->lock);
	/* asked now and then: what cannot be heard, like rules that were removed, is made again here */
	if (b->torn_down)
		b->index = onl_link_index(b->nl, b->name);
	else
		(void)bridge_ensure(b, &why);
	status_put(b, &why, &out);
	pthread_mutex_unlock(&b->lock);
	orlop_error_done(&why);
	e = obuf_err(&out);
	if (!e)
		answer(b, call, &out);
	obuf_done(&out);
	return e ? orlop_fail(err, -e, 0, "", "no memory for a result") : 0;
}

static int op_teardown(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		       struct orlop_error *err)
{
	struct bridge *b = ctx;
	int e;

	(void)req;
	pthread_mutex_lock(&b->lock);
	if (b->leases.n)
		e = orlop_fail(err, EBUSY, 0, "", "bridge %s: %u pods are attached", b->name,
			       b->leases.n);
	else if ((e = bridge_remove(b)))
		orlop_fail(err, -e, 0, "", "cannot remove bridge %s", b->name);
	else
		(void)rmdir(b->dir);
	b->torn_down = b->torn_down || !e;
	pthread_mutex_unlock(&b->lock);
	if (!e)
		b->h->call_done(call, 0, NULL, NULL);
	return e;
}

static void bridge_fini(void *ctx)
{
	struct bridge *b = ctx;

	onl_close(b->nl);
	leases_done(&b->leases);
	pthread_mutex_destroy(&b->lock);
	pthread_mutex_destroy(&b->going_lock);
	pthread_cond_destroy(&b->gone);
	omem_free(b);
}

static int bridge_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct bridge *b = OMEM_NEW(struct bridge);
	int e;

	if (!b)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	b->h = h;
	b->name = h->param(h, "bridge");
	b->dir = h->param(h, "leases");
	b->mtu = (uint32_t)h->param_int(h, "mtu");
	b->masquerade = h->param_bool(h, "masquerade");
	snprintf(b->table, sizeof(b->table), "orlop-%s", b->name);
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->going_lock, NULL);
	pthread_cond_init(&b->gone, NULL);
	if (!*b->name || strlen(b->name) >= IFNAMSIZ || strchr(b->name, '/'))
		e = orlop_fail(err, EINVAL, 0, "", "bridge = \"%s\": not a link name", b->name);
	else if ((e = leases_init(&b->leases, h->param(h, "subnet"))))
		orlop_fail(err, -e, 0, "",
			   "subnet = \"%s\": want an IPv4 network of /8 to /30 like 10.244.0.0/24, an IPv6 network of /16 to /126 "
			   "like fd00:10:244::/64, or both with a comma",
			   h->param(h, "subnet"));
	else if ((e = onl_open(ONL_ROUTE, &b->nl)))
		orlop_fail(err, -e, 0, "", "netlink socket");
	else
		e = leases_load(b, err);
	if (!e) {
		/* what runs decides: a machine that was started again has none of these */
		(void)leases_reap(b);
		e = bridge_ensure(b, err);
	}
	/* the leases as they are now, whatever the rules were */
	if (!e)
		e = rules_ensure(b, true, err);
	if (e) {
		bridge_fini(b);
		return e;
	}
	*ret_ctx = b;
	return 0;
}

static int bridge_start(void *ctx, struct orlop_error *err)
{
	struct bridge *b = ctx;
	int e = mend_start(b, err);

	if (e) {
		mend_stop(b);
		return e;
	}
	b->h->ready(b->h);
	return 0;
}

static int bridge_stop(void *ctx, struct orlop_error *err)
{
	(void)err;
	mend_stop(ctx);
	return 0;
}

static void bridge_health(void *ctx, struct orlop_health *health)
{
	struct bridge *b = ctx;

	pthread_mutex_lock(&b->lock);
	health->ok = b->index > 0;
	snprintf(health->text, sizeof(health->text), "bridge %s, %u pods", b->name, b->leases.n);
	pthread_mutex_unlock(&b->lock);
}

static const struct orlop_param bridge_params[] = {
	{ "bridge", ORLOP_PARAM_STRING, 0, "orlop0", "name of the bridge link" },
	{ "subnet", ORLOP_PARAM_STRING, 0, "10.244.0.0/24", "addresses of this machine's pods: IPv4, IPv6, or both with a comma" },
	{ "leases", ORLOP_PARAM_STRING, ORLOP_PARAM_REQUIRED, NULL, "directory of address leases" },
	{ "mtu", ORLOP_PARAM_INT, 0, "0", "of bridge and pods in bytes, 0: that of the default route" },
	{ "masquerade", ORLOP_PARAM_BOOL, 0, "true", "hide pods behind the node when they leave the subnet" },
};

static const struct orlop_cni_ops bridge_ops = {
	.size = sizeof(bridge_ops),
	.add = op_add,
	.del = op_del,
	.check = op_check,
	.gc = op_gc,
	.status = op_status,
	.teardown = op_teardown,
};

/* Network namespaces come by path, from wherever the runtime pins them. */
ORLOP_MODULE("bridge", "cni", "0.1", "caps=net_admin,net_raw,sys_admin\0files=*\0net=inet,netlink",
	.license = "Apache-2.0",
	.summary = "pods on a Linux bridge, set up by netlink",
	.flags = ORLOP_MOD_BLOCKING | ORLOP_MOD_HANDOVER,	/* leases are read at the start */
	.concurrency = 64,	/* they wait for one lock; but only who is here goes with the others (detach()) */
	.n_params = sizeof(bridge_params) / sizeof(bridge_params[0]),
	.params = bridge_params,
	.ops = &bridge_ops,
	.init = bridge_init,
	.start = bridge_start,
	.stop = bridge_stop,
	.fini = bridge_fini,
	.health = bridge_health);
