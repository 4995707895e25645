/* cycle2.c - one of two modules that need each other. */
#include <orlop/host.h>
#include <orlop/module.h>

static int init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	(void)h;
	(void)err;
	*ret_ctx = (void *)0;
	return 0;
}

ORLOP_MODULE("cycle2", "test", "1.0", "needs=cyc1\0provides=cyc2", .init = init);
