/*
 * isolate_weak.c - stands in for bus/remote.h until the bus has links to other processes: isolated
 * modules are refused in one line then.
 */
#include <errno.h>

#include <orlop/inline/error.h>

#include "bus/remote.h"

#define WEAK __attribute__((weak))

WEAK int core_remote_open(struct core_bus *bus, const struct core_remote_spec *spec, struct core_remote **ret,
			  struct orlop_error *err)
{
	(void)bus;
	(void)spec;
	(void)ret;
	return orlop_fail(err, ENOTSUP, 0, "", "this build has no links to other processes");
}

WEAK const char *core_remote_endpoint(const struct core_remote *r)
{
	(void)r;
	return "";
}

WEAK uint32_t core_remote_n_fds(const struct core_remote *r)
{
	(void)r;
	return 0;
}

WEAK int32_t core_remote_fd(const struct core_remote *r, uint32_t i)
{
	(void)r;
	(void)i;
	return -1;
}

WEAK int core_remote_start(struct core_remote *r, pid_t pid, uid_t uid)
{
	(void)r;
	(void)pid;
	(void)uid;
	return -ENOTSUP;
}

WEAK struct core_link *core_remote_link(struct core_remote *r, uint32_t i)
{
	(void)r;
	(void)i;
	return NULL;
}

WEAK void core_remote_close(struct core_remote *r)
{
	(void)r;
}

WEAK int core_bus_new_remote(const struct core_bus_config *cfg, const struct core_remote_child *child,
			     struct core_bus **ret, struct orlop_error *err)
{
	(void)cfg;
	(void)child;
	(void)ret;
	return orlop_fail(err, ENOTSUP, 0, "", "this build has no links to other processes");
}
