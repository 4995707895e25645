/* abinew.c - built for an ABI that does not exist yet; must be refused before any of it runs. */
#include <stdlib.h>

#include <orlop/host.h>
#include <orlop/module.h>

#undef ORLOP_ABI_MINOR
#define ORLOP_ABI_MINOR 999

/* Runs inside dlopen(): if this is reached the loader has come too far. */
__attribute__((constructor))
static void too_far(void)
{
	abort();
}

static int abinew_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	(void)h;
	(void)err;
	*ret_ctx = NULL;
	return 0;
}

ORLOP_MODULE("abinew", "test", "0.4", "", .init = abinew_init);
