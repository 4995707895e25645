/*
 * badcni.c - a network as it should not be: every pod gets the same address and no link, what is not there cannot be
 * removed, check is always content. The contract of its class must say so.
 */
#include <errno.h>

#include <orlop/cni.h>
#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

static int op_add(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	const struct orlop_host *h = ctx;
	struct orlop_msgw w;
	struct orlop_msg msg;

	(void)req;
	(void)err;
	orlop_msgw_init(&w, h);
	orlop_msgw_str(&w, ORLOP_CNI_T_RESULT, "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.9.9.9/24\"}]}");
	msg = orlop_msgw_msg(&w);
	h->call_done(call, 0, &msg, NULL);
	orlop_msgw_done(&w);
	return 0;
}

static int op_del(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	return orlop_fail(err, ENOENT, 0, "", "not there");
}

static int op_well(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	const struct orlop_host *h = ctx;

	(void)req;
	(void)err;
	h->call_done(call, 0, NULL, NULL);
	return 0;
}

static int bad_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	(void)err;
	*ret_ctx = (void *)h;
	return 0;
}

static const struct orlop_cni_ops bad_ops = {
	.size = sizeof(bad_ops),
	.add = op_add, .del = op_del, .check = op_well, .gc = op_well, .status = op_well, .teardown = op_well,
};

ORLOP_MODULE("badcni", "cni", "0.1", "user=test:badcni", .license = "Apache-2.0", .init = bad_init, .ops = &bad_ops);
