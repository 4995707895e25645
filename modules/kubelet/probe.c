/* probe.c - probes of containers. Without any, what runs is started and ready. */
#include "kubelet.h"

void probes_start(struct ctr *c)
{
	c->started = true;
	c->ready = true;
}

void probes_stop(struct ctr *c)
{
	(void)c;
}
