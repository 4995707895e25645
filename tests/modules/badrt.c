/*
 * badrt.c - a runtime as it should not be: whatever it is asked it says that all is well, and does nothing. The
 * contract of its class must say so.
 */
#include <orlop/host.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>
#include <orlop/runtime.h>

static int op_well(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	const struct orlop_host *h = ctx;
	struct orlop_msgw w;
	struct orlop_msg msg;

	(void)req;
	(void)err;
	orlop_msgw_init(&w, h);
	orlop_msgw_str(&w, ORLOP_RUNTIME_T_RESPONSE, "{\"podSandboxId\":\"p\",\"containerId\":\"c\",\"status\":{\"state\":\"CONTAINER_EXITED\"}}");
	orlop_msgw_str(&w, ORLOP_RUNTIME_T_NETNS, "/nowhere");
	msg = orlop_msgw_msg(&w);
	h->call_done(call, 0, &msg, NULL);
	orlop_msgw_done(&w);
	return 0;
}

static int bad_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	(void)err;
	*ret_ctx = (void *)h;
	return 0;
}

static const struct orlop_runtime_ops bad_ops = {
	.size = sizeof(bad_ops),
	.version = op_well, .status = op_well, .run_sandbox = op_well, .stop_sandbox = op_well, .remove_sandbox = op_well,
	.sandbox_status = op_well, .list_sandboxes = op_well, .create_container = op_well, .start_container = op_well,
	.stop_container = op_well, .remove_container = op_well, .container_status = op_well, .list_containers = op_well,
	.exec_sync = op_well, .events = op_well, .image_list = op_well, .image_status = op_well, .image_remove = op_well,
	.image_fs_info = op_well, .image_import = op_well,
};

ORLOP_MODULE("badrt", "runtime", "0.1", "user=test:badrt", .license = "Apache-2.0", .init = bad_init, .ops = &bad_ops);
