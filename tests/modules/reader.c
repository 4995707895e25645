/* reader.c - a module that reads a slice of one resource and does nothing else: for who feeds it. */
#include <orlop/host.h>
#include <orlop/module.h>

static int reader_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	(void)err;
	*ret_ctx = (void *)(uintptr_t)h;
	return 0;
}

static int reader_start(void *ctx, struct orlop_error *err)
{
	const struct orlop_host *h = ctx;

	(void)err;
	h->ready(h);
	return 0;
}

static const struct orlop_param reader_params[] = {
	{ "ns", ORLOP_PARAM_STRING, 0, "", "namespace that it reads; empty: all" },
};

ORLOP_MODULE("reader", "test", "0.1", "reads=things;namespace=$ns",
	.flags = ORLOP_MOD_UNLOADABLE, .init = reader_init, .start = reader_start,
	.params = reader_params, .n_params = 1);
