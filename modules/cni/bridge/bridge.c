/*
 * bridge.c - the class cni by a Linux bridge: the module, its ops, and the leases on disk.
 *
 * A pod's address is a lease: a file named after the sandbox in the leases directory, written
 * before the link is made and removed after it is gone, so that whatever is cut off in between is
 * found again by gc. Ops run on workers and take one lock: each is a handful of netlink messages.
 */
#include "bridge.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ofile.h"
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

static void lease_path(const struct bridge *b, const char *id, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", b->dir, id);
}

static int lease_write(const struct bridge *b, const struct lease *l, struct orlop_error *err)
{
	char path[4096 + LEASE_ID_MAX];
	char text[16];
	int n = snprintf(text, sizeof(text), "%u\n", l->host);
	int e;

	lease_path(b, l->id, path, sizeof(path));
	e = ofile_write(AT_FDCWD, path, text, (size_t)n, 0600);
	return e ? orlop_fail(err, -e, 0, "", "cannot write %s", path) : 0;
}

static void lease_end(struct bridge *b, struct lease *l)
{
	char path[4096 + LEASE_ID_MAX];

	lease_path(b, l->id, path, sizeof(path));
	(void)unlink(path);
	lease_drop(&b->leases, l);
}

/* The leases of an earlier life. A file that makes no sense is removed and said. */
static int leases_load(struct bridge *b, struct orlop_error *err)
{
	struct dirent *d;
	DIR *dir;
	int e = ofile_mkdir_p(b->dir, 0700);

	if (e)
		return orlop_fail(err, -e, 0, "", "cannot make %s", b->dir);
	dir = opendir(b->dir);
	if (!dir)
		return orlop_fail(err, errno, 0, "", "cannot read %s", b->dir);
	while ((d = readdir(dir))) {
		struct obuf text;
		char *end;
		unsigned long host;

		if (d->d_name[0] == '.')
			continue;
		obuf_init(&text);
		e = ofile_read(dirfd(dir), d->d_name, 32, &text);
		host = e ? 0 : strtoul(obuf_cstr(&text), &end, 10);
		if (!e)
			e = *end != '\n' ? -EINVAL
					 : lease_adopt(&b->leases, d->d_name, (uint32_t)host, NULL);
		obuf_done(&text);
		if (e == -ENOMEM)
			break;
		if (e) {
			OLOG(b->h, WARN, "lease_ignored", "file=%s/%s errno=%d", b->dir, d->d_name, -e);
			(void)unlinkat(dirfd(dir), d->d_name, 0);
		}
		e = 0;
	}
	closedir(dir);
	return e ? orlop_fail(err, -e, 0, "", "no memory for leases") : 0;
}

static void text_addr(const struct bridge *b, uint32_t host, char out[INET_ADDRSTRLEN])
{
	struct in_addr a = lease_addr(&b->leases, host);

	inet_ntop(AF_INET, &a, out, INET_ADDRSTRLEN);
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
	char addr[INET_ADDRSTRLEN];
	char gw[INET_ADDRSTRLEN];
	char veth[16];
	uint8_t mac[6];

	text_addr(b, l->host, addr);
	text_addr(b, 1, gw);
	veth_name(l->id, veth);
	pod_mac(lease_addr(&b->leases, l->host), mac);
	obuf_printf(out, "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"%s\"},{\"name\":\"%s\"},"
		    "{\"name\":\"%s\",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"sandbox\":",
		    b->name, veth, a->ifname, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	obuf_put_json_cstr(out, a->netns);
	obuf_printf(out, "}],\"ips\":[{\"address\":\"%s/%u\",\"gateway\":\"%s\",\"interface\":2}],"
		    "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"%s\"}],\"dns\":{}}",
		    addr, b->leases.prefix, gw, gw);
}

/* Lock held. */
static int add_locked(struct bridge *b, const struct attach_req *a, struct obuf *out,
		      struct orlop_error *err)
{
	struct lease *l = lease_find(&b->leases, a->id);
	int e;

	if (l && !pod_check(b, l, a->netns, a->ifname, NULL)) {
		result_put(b, l, a, out);
		return 0;
	}
	if (!l) {
		e = lease_take(&b->leases, a->id, &l);
		if (e == -EADDRNOTAVAIL)
			return orlop_fail(err, EADDRNOTAVAIL, 0, "",
					  "bridge %s: all %u pod addresses are in use", b->name,
					  b->leases.n_hosts - 1);
		if (e)
			return orlop_fail(err, -e, 0, "", "bridge %s: no lease for %s", b->name, a->id);
		e = lease_write(b, l, err);
		if (e) {
			lease_drop(&b->leases, l);
			return e;
		}
	}
	e = pod_attach(b, l, a->netns, a->ifname, err);
	if (e) {
		lease_end(b, l);
		return e;
	}
	result_put(b, l, a, out);
	return 0;
}

static int op_add(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct bridge *b = ctx;
	struct attach_req a;
	struct obuf out;
	int e = attach_parse(b, req, &a, true, err);

	if (e)
		return e;
	obuf_init(&out);
	pthread_mutex_lock(&b->lock);
	e = add_locked(b, &a, &out, err);
	pthread_mutex_unlock(&b->lock);
	if (!e && (e = obuf_err(&out)))
		orlop_fail(err, -e, 0, "", "no memory for a result");
	if (!e)
		answer(b, call, &out);
	obuf_done(&out);
	return e;
}

static int op_del(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct bridge *b = ctx;
	struct attach_req a;
	struct lease *l;
	int e = attach_parse(b, req, &a, false, err);

	if (e)
		return e;
	pthread_mutex_lock(&b->lock);
	e = pod_detach(b, a.id);
	l = lease_find(&b->leases, a.id);
	if (!e && l)
		lease_end(b, l);
	pthread_mutex_unlock(&b->lock);
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
		if (l->seen || pod_detach(b, l->id))
			continue;
		lease_end(b, l);
		n++;
	}
	pthread_mutex_unlock(&b->lock);
	if (n)
		OLOG(b->h, INFO, "leases_collected", "bridge=%s n=%u", b->name, n);
	b->h->call_done(call, 0, NULL, NULL);
	return 0;
}

static int op_status(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		     struct orlop_error *err)
{
	struct bridge *b = ctx;
	char net[INET_ADDRSTRLEN];
	char gw[INET_ADDRSTRLEN];
	struct obuf out;
	int e;

	(void)req;
	obuf_init(&out);
	pthread_mutex_lock(&b->lock);
	text_addr(b, 0, net);
	text_addr(b, 1, gw);
	b->index = onl_link_index(b->nl, b->name);
	obuf_printf(&out, "{\"ready\":%s,\"message\":\"%s\",\"gateway\":\"%s\",\"podCIDR\":\"%s/%u\","
		    "\"bridge\":\"%s\",\"leases\":%u}",
		    b->index > 0 ? "true" : "false", b->index > 0 ? "" : "the bridge is gone", gw, net,
		    b->leases.prefix, b->name, b->leases.n);
	pthread_mutex_unlock(&b->lock);
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
	pthread_mutex_init(&b->lock, NULL);
	if (!*b->name || strlen(b->name) >= IFNAMSIZ || strchr(b->name, '/'))
		e = orlop_fail(err, EINVAL, 0, "", "bridge = \"%s\": not a link name", b->name);
	else if ((e = leases_init(&b->leases, h->param(h, "subnet"))))
		orlop_fail(err, -e, 0, "",
			   "subnet = \"%s\": not an IPv4 network of /8 to /30 like 10.244.0.0/24",
			   h->param(h, "subnet"));
	else if ((e = onl_open(ONL_ROUTE, &b->nl)))
		orlop_fail(err, -e, 0, "", "netlink socket");
	else
		e = leases_load(b, err);
	if (!e)
		e = bridge_ensure(b, err);
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

	(void)err;
	b->h->ready(b->h);
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
	{ "subnet", ORLOP_PARAM_STRING, 0, "10.244.0.0/24", "addresses of this machine's pods" },
	{ "leases", ORLOP_PARAM_STRING, ORLOP_PARAM_REQUIRED, NULL, "directory of address leases" },
	{ "mtu", ORLOP_PARAM_INT, 0, "0", "of bridge and pods in bytes, 0: the kernel's default" },
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
	.concurrency = 4,
	.n_params = sizeof(bridge_params) / sizeof(bridge_params[0]),
	.params = bridge_params,
	.ops = &bridge_ops,
	.init = bridge_init,
	.start = bridge_start,
	.fini = bridge_fini,
	.health = bridge_health);
