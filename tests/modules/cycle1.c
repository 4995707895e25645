/* cycle1.c - one of two modules that need each other. */
#include <orlop/host.h>
#include <orlop/module.h>

static int init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	(void)h;
	(void)err;
	*ret_ctx = (void *)0;
	return 0;
}

ORLOP_MODULE("cycle1", "test", "1.0", "needs=cyc2\0provides=cyc1", .init = init);
