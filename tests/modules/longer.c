/*
 * longer.c - a module of later headers that asks for no more than this core provides: its descriptor, its
 * ops table and the entries of its parameter table are longer than ours.
 */
#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct long_param {
	struct orlop_param p;
	const char	*later;
	uint64_t	later2;
};

struct long_module {
	struct orlop_module m;
	void		(*later[8])(void);
};

static const struct long_param params[] = {
	{ { "one", ORLOP_PARAM_STRING, ORLOP_PARAM_LIVE, "first", "a text" }, "x", 1 },
	{ { "two", ORLOP_PARAM_INT, 0, "22", "a number" }, "y", 2 },
	{ { "three", ORLOP_PARAM_BOOL, 0, "true", "yes or no" }, "z", 3 },
};

/* 1: all its parameters. */
static int op_one(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	const struct orlop_host *h = *(const struct orlop_host **)ctx;
	struct orlop_msgw w;
	struct orlop_msg m;
	char text[100];

	(void)req;
	(void)err;
	snprintf(text, sizeof(text), "%s %lld %d", h->param(h, "one"), (long long)h->param_int(h, "two"),
		 h->param_bool(h, "three"));
	orlop_msgw_init(&w, h);
	orlop_msgw_str(&w, 1, text);
	m = orlop_msgw_msg(&w);
	h->call_done(call, 0, &m, NULL);
	orlop_msgw_done(&w);
	return 0;
}

static int long_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	const struct orlop_host **p = malloc(sizeof(*p));

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	*p = h;
	*ret_ctx = p;
	return 0;
}

static void long_fini(void *ctx)
{
	free(ctx);
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[64];
} ops = {
	.size = sizeof(ops),
	.op = { [1] = op_one },
};

__attribute__((section(".orlop.modinfo"), used, visibility("hidden")))
const char orlop_modinfo_[] = "abi=1.0\0name=longer\0class=test\0version=1\0later=something\0";
extern __attribute__((visibility("default"))) const struct long_module orlop_module;
__attribute__((visibility("default"))) const struct long_module orlop_module = {
	.m = {
		.magic = ORLOP_MODULE_MAGIC,
		.abi_major = 1,
		.abi_minor = 99,
		.size = sizeof(struct long_module),
		.modinfo = orlop_modinfo_,
		.name = "longer",
		.class_name = "test",
		.param_size = sizeof(struct long_param),
		.n_params = 3,
		.params = &params[0].p,
		.ops = &ops,
		.init = long_init,
		.fini = long_fini,
	},
	.later = { (void (*)(void))1 },
};
