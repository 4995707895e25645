/*
 * host.h - filling the host table of a shard, and the tables' parts by subject.
 */
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include "core.h"

/* All of a shard's host table. */
void core_host_fill(struct core_shard *s);
/* Its parts. */
void core_host_fill_bus(struct orlop_host *h);
void core_host_fill_cache(struct orlop_host *h);
void core_host_fill_lead(struct orlop_host *h);

/* The parent says: lead number @id has @token, 0: lost. In the process of an isolated module. */
void core_lead_told(struct core *c, uint64_t id, uint64_t token);

/* Frees what a shard left in a part; returns how many. On the shard's loop. */
uint32_t core_host_cache_reclaim(struct core_shard *s);
uint32_t core_host_lead_reclaim(struct core_shard *s);

/* The cache, its hooks and the feeder: made and ended with the core. */
int core_host_cache_new(struct core *c);
void core_host_cache_stop(struct core *c);	/* no feeding any more; main loop runs still */
void core_host_cache_free(struct core *c);

#endif
