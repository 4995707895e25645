/*
 * older.c - a module as the headers of ABI 1.0 made it: its descriptor and its ops table end earlier than
 * today's. What lies behind them is garbage that nobody may look at.
 */
#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/module.h>

#include <errno.h>
#include <stdlib.h>

#define OLD_SIZE	(offsetof(struct orlop_module, stats) + sizeof(void *))

static int op_one(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	const struct orlop_host *h = *(const struct orlop_host **)ctx;

	(void)err;
	h->call_done(call, 0, &req->msg, NULL);
	return 0;
}

static int old_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	const struct orlop_host **p = malloc(sizeof(*p));

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	*p = h;
	*ret_ctx = p;
	return 0;
}

static void old_fini(void *ctx)
{
	free(ctx);
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[2];
	void		*garbage[4];
} ops = {
	.size = offsetof(__typeof__(ops), garbage),
	.op = { NULL, op_one },
	.garbage = { (void *)1, (void *)1, (void *)1, (void *)1 },
};

__attribute__((section(".orlop.modinfo"), used, visibility("hidden")))
const char orlop_modinfo_[] = "abi=1.0\0name=older\0class=test\0version=1\0";
extern __attribute__((visibility("default"))) const struct orlop_module orlop_module;
__attribute__((visibility("default"))) const struct orlop_module orlop_module = {
	.magic = ORLOP_MODULE_MAGIC,
	.abi_major = 1,
	.abi_minor = 0,
	.size = OLD_SIZE,
	.modinfo = orlop_modinfo_,
	.name = "older",
	.class_name = "test",
	.ops = &ops,
	.init = old_init,
	.fini = old_fini,
	.draining = (uint32_t (*)(void *))1,
	.revision = (uint64_t (*)(void *))1,
	.changing = (uint32_t (*)(void *))1,
};
