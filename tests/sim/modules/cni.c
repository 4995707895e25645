/*
 * cni.c - the network of a simulated machine: cni/bridge's own bookkeeping of addresses, without links.
 *
 * Who has which address is part of the machine, and so outlives orlopd, as cni/bridge's files do.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#include <orlop/cni.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "../../../modules/cni/bridge/lease.h"
#include "../cluster/machine.h"
#include "base/omem.h"

struct cni {
	const struct orlop_host *h;
	struct machine	*m;
	struct leases	l;
};

/* The machine keeps who has which address; leases of an earlier life are taken from it. */
static void leases_read(struct cni *c)
{
	struct sandbox *s;

	for (s = c->m->sandboxes; s; s = s->next) {
		struct lease *l;
		struct in_addr a;

		if (s->ip[0] && inet_pton(AF_INET, s->ip, &a) == 1)
			(void)lease_adopt(&c->l, s->id, ntohl(a.s_addr) - c->l.net4, &l);
	}
}

static void text_of(struct cni *c, const struct orlop_req *req, uint32_t tag, char *out, size_t size)
{
	struct orlop_bytes b = orlop_msg_bytes(c->h, &req->msg, tag);

	snprintf(out, size, "%.*s", (int)b.len, b.p ? b.p : "");
}

static void result(struct cni *c, struct orlop_call *call, const char *json)
{
	struct orlop_msgw w;
	struct orlop_msg m;

	orlop_msgw_init(&w, c->h);
	orlop_msgw_str(&w, ORLOP_CNI_T_RESULT, json);
	m = orlop_msgw_msg(&w);
	c->h->call_done(call, w.err, w.err ? NULL : &m, NULL);
	orlop_msgw_done(&w);
}

static int fails(struct cni *c, struct orlop_error *err)
{
	return sim_chance(c->m->w, c->m->op_fail) ? orlop_fail(err, EIO, 0, "", "simulated failure") : 0;
}

static int cni_add(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct cni *c = ctx;
	char id[MACHINE_ID];
	char text[160];
	struct sandbox *s;
	struct lease *l;
	struct in_addr a;
	int e = fails(c, err);

	if (e)
		return e;
	text_of(c, req, ORLOP_CNI_T_CONTAINER_ID, id, sizeof(id));
	s = machine_sandbox(c->m, id);
	if (!s || !s->ready)
		return orlop_fail(err, ENOENT, 0, "", "no network namespace %s", id);
	l = lease_find(&c->l, id);
	if (!l) {
		e = lease_take(&c->l, id, &l);
		if (e)
			return orlop_fail(err, -e, 0, "", "no address for %s", id);
	}
	a = lease_addr(&c->l, l->host);
	if (inet_ntop(AF_INET, &a, text, 20))
		machine_attach(c->m, s, text);
	snprintf(text, sizeof(text), "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"%s/24\"}]}", s->ip);
	e = fails(c, err);	/* done, and said not to be */
	if (e)
		return e;
	result(c, call, text);
	return 0;
}

static void drop(struct cni *c, const char *id)
{
	struct lease *l = lease_find(&c->l, id);
	struct sandbox *s = machine_sandbox(c->m, id);

	if (l)
		lease_drop(&c->l, l);
	if (s && s->ip[0])
		machine_detach(c->m, s);
}

static int cni_del(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct cni *c = ctx;
	char id[MACHINE_ID];
	int e = fails(c, err);

	if (e)
		return e;
	text_of(c, req, ORLOP_CNI_T_CONTAINER_ID, id, sizeof(id));
	drop(c, id);
	result(c, call, "{}");
	return 0;
}

static int cni_check(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct cni *c = ctx;
	char id[MACHINE_ID];
	struct sandbox *s;

	text_of(c, req, ORLOP_CNI_T_CONTAINER_ID, id, sizeof(id));
	s = machine_sandbox(c->m, id);
	if (!s || !s->ip[0])
		return orlop_fail(err, ENOENT, 0, "", "%s is not attached", id);
	result(c, call, "{}");
	return 0;
}

static bool kept(struct cni *c, const struct orlop_req *req, const char *id)
{
	struct orlop_msgr r;

	orlop_msgr_init(&r, c->h, &req->msg, req->msg.body);
	while (orlop_msgr_next(&r))
		if (r.tag == ORLOP_CNI_T_KEEP && r.bytes.len == strlen(id) && !memcmp(r.bytes.p, id, r.bytes.len))
			return true;
	return false;
}

static int cni_gc(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct cni *c = ctx;
	struct lease *l = c->l.first;

	(void)err;
	while (l) {
		struct lease *next = l->next;

		if (!kept(c, req, l->id)) {
			char id[LEASE_ID_MAX];

			memcpy(id, l->id, sizeof(id));
			drop(c, id);
		}
		l = next;
	}
	result(c, call, "{}");
	return 0;
}

static int cni_status(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)req;
	(void)err;
	result(ctx, call, "{\"ready\":true}");
	return 0;
}

static int cni_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct cni *c = OMEM_NEW(struct cni);
	int e;

	if (!c)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	c->h = h;
	c->m = machine_here();
	e = c->m ? leases_init(&c->l, h->param(h, "subnet")) : -EINVAL;
	if (e) {
		omem_free(c);
		return orlop_fail(err, -e, 0, "", "subnet = \"%s\": cannot be used", h->param(h, "subnet"));
	}
	leases_read(c);
	*ret_ctx = c;
	return 0;
}

static int cni_start(void *ctx, struct orlop_error *err)
{
	struct cni *c = ctx;

	(void)err;
	c->h->ready(c->h);
	return 0;
}

static void cni_fini(void *ctx)
{
	struct cni *c = ctx;

	leases_done(&c->l);
	omem_free(c);
}

static const struct orlop_param params[] = {
	{ .name = "subnet", .type = ORLOP_PARAM_STRING, .def = "10.0.0.0/26", .help = "addresses of pods" },
};

static const struct orlop_cni_ops ops = {
	.size = sizeof(ops),
	.add = cni_add, .del = cni_del, .check = cni_check, .gc = cni_gc, .status = cni_status,
};

ORLOP_MODULE("sim", "cni", "0.1", "",
	.license = "Apache-2.0",
	.summary = "addresses of a simulated machine",
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.ops = &ops,
	.init = cni_init,
	.start = cni_start,
	.fini = cni_fini);
