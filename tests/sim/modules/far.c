/*
 * far.c - an address that another simulated process answers: "storage", or, with FAR_API, "api".
 *
 * The second stands where uplink does on a worker, and like that describes the API's resources to the cache,
 * which is fed by the storage.
 */
#include <errno.h>

#include <orlop/inline/error.h>
#include <orlop/module.h>

#include "../far.h"
#include "base/omem.h"

#ifdef FAR_API
#define ADDRESS		"api"
#define CLASS		"uplink"
#define EXTRA		"provides=api"
#else
#define ADDRESS		"storage"
#define CLASS		"storage"
#define EXTRA		""
#endif

#define LOOK_NS		UINT64_C(100000000)

struct far_module {
	const struct orlop_host *h;
	struct orlop_timer *timer;
	bool		ready;
};

static int op_far(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct far_module *f = ctx;

	(void)err;
	return sim_far_call(f->h, ADDRESS, req, call);
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[9];
} ops = { sizeof(ops), 0, { NULL, op_far, op_far, op_far, op_far, op_far, op_far, op_far, op_far } };

#ifdef FAR_API
static void resource(void *arg, const struct orlop_resource_info *info)
{
	struct far_module *f = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;

	(void)f->h->resource_register(f->h, info, &err);
	orlop_error_done(&err);
}
#endif

static void look(void *arg)
{
	struct far_module *f = arg;

#ifdef FAR_API
	if (!sim_far_resources(resource, f)) {
		f->h->timer_set(f->timer, LOOK_NS, 0);
		return;
	}
#endif
	if (!f->ready)
		f->h->ready(f->h);
	f->ready = true;
}

static int far_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct far_module *f = OMEM_NEW(struct far_module);

	if (!f || h->timer_new(h, look, f, &f->timer)) {
		omem_free(f);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	f->h = h;
	*ret_ctx = f;
	return 0;
}

static int far_start(void *ctx, struct orlop_error *err)
{
	(void)err;
	look(ctx);
	return 0;
}

static void far_fini(void *ctx)
{
	struct far_module *f = ctx;

	f->h->timer_free(f->timer);
	omem_free(f);
}

ORLOP_MODULE("far", CLASS, "0.1", EXTRA,
	.license = "Apache-2.0",
	.summary = "answers " ADDRESS " from another simulated process",
	.ops = &ops,
	.init = far_init,
	.start = far_start,
	.fini = far_fini);
