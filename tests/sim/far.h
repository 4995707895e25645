/*
 * far.h - what modules/far.c needs of the network. Only modules of the simulation include it.
 */
#ifndef TESTS_SIM_FAR_H
#define TESTS_SIM_FAR_H

#include <stdbool.h>

#include <orlop/host.h>

/* Answers @call by the same request to @address of the process that the configuration names. 0 or -errno. */
int sim_far_call(const struct orlop_host *h, const char *address, const struct orlop_req *req,
		 struct orlop_call *call);
/* The resources registered at the API that this process uses. */
bool sim_far_resources(void (*fn)(void *arg, const struct orlop_resource_info *info), void *arg);

#endif
