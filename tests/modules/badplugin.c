/*
 * badplugin.c - a scheduler plugin as it should not be: refuses for reasons that it does not give, finds nodes better
 * than best, says of more nodes than it was asked about, changes its mind, and writes. The contract must say so.
 */
#include <errno.h>
#include <stdlib.h>

#include <orlop/api.h>
#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>
#include <orlop/scheduler-plugin.h>

struct bad {
	const struct orlop_host *h;
	uint32_t	asked;
};

static void answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err, uint32_t flags)
{
	(void)arg;
	(void)status;
	(void)msg;
	(void)err;
	(void)flags;
}

static int op_judge(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	static const char body[] = "{\"metadata\":{\"labels\":{\"seen\":\"yes\"}}}";
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_API_REQUEST, .to = "api" };
	struct bad *b = ctx;
	struct orlop_msgw w;
	struct orlop_msg m;
	uint8_t v[64] = { 101, 0, 0, 0, 0xfb, 0xff, 0xff, 0xff };

	(void)req;
	(void)err;
	v[8] = (uint8_t)b->asked++;
	orlop_msgw_init(&w, b->h);
	orlop_msgw_str(&w, ORLOP_API_T_VERB, "patch");
	orlop_msgw_str(&w, ORLOP_API_T_RESOURCE, "nodes");
	orlop_msgw_str(&w, ORLOP_API_T_NAME, "n1");
	orlop_msgw_str(&w, ORLOP_API_T_BODY, body);
	send.msg = orlop_msgw_msg(&w);
	if (!w.err)
		(void)b->h->request(b->h, &send, answered, NULL, NULL);
	orlop_msgw_done(&w);
	orlop_msgw_init(&w, b->h);
	orlop_msgw_bytes(&w, ORLOP_SCHEDULER_PLUGIN_T_VERDICTS, v, sizeof(v));
	orlop_msgw_u64(&w, ORLOP_SCHEDULER_PLUGIN_T_NEVER, 4);
	m = orlop_msgw_msg(&w);
	b->h->call_done(call, 0, &m, NULL);
	orlop_msgw_done(&w);
	return 0;
}

static int bad_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct bad *b = calloc(1, sizeof(*b));

	if (!b)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	b->h = h;
	*ret_ctx = b;
	return 0;
}

static int bad_start(void *ctx, struct orlop_error *err)
{
	struct bad *b = ctx;

	(void)err;
	b->h->ready(b->h);
	return 0;
}

static int bad_stop(void *ctx, struct orlop_error *err)
{
	(void)ctx;
	(void)err;
	return 0;
}

static void bad_fini(void *ctx)
{
	free(ctx);
}

static const struct orlop_scheduler_plugin_ops ops = {
	.size = sizeof(ops),
	.judge = op_judge,
};

ORLOP_MODULE("bad", "scheduler-plugin", "0.1", "license=Apache-2.0\0needs=api\0user=system:kube-scheduler",
	.summary = "breaks its contract",
	.license = "Apache-2.0",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &ops,
	.init = bad_init, .start = bad_start, .stop = bad_stop, .fini = bad_fini);
