/*
 * zone.c - how fast nodes may lose their pods. Pure.
 *
 * One node each so often; slower or not at all when many are silent at once; none if all are, for
 * then it is rather us who are cut off. Upstream has this per zone, we have one.
 * Source: pkg/controller/nodelifecycle ComputeZoneState, handleDisruption, setLimiterInZone.
 */
#include "nodelife.h"

enum nl_zone_state nl_zone_state(const struct nl_zone *z)
{
	uint64_t all = (uint64_t)z->n_ready + z->n_silent;

	if (!z->n_ready && z->n_silent)
		return NL_ZONE_FULL;
	if (z->n_silent > 2 && z->n_silent * UINT64_C(100) >= z->unhealthy_percent * all)
		return NL_ZONE_PARTIAL;
	return NL_ZONE_NORMAL;
}

uint64_t nl_zone_admit(struct nl_zone *z, uint64_t now_ns)
{
	enum nl_zone_state state = nl_zone_state(z);
	uint64_t interval = state == NL_ZONE_NORMAL ? z->interval_ns : z->slow_interval_ns;

	if (state == NL_ZONE_FULL || (state == NL_ZONE_PARTIAL && z->n_ready + z->n_silent <= z->large))
		return UINT64_C(5000000000);	/* whoever comes back changes the state, and is told of */
	if (now_ns < z->next_ns)
		return z->next_ns - now_ns;
	z->next_ns = now_ns + interval;
	return 0;
}
