/*
 * work.h - blocking work: a pool of threads that start when needed and end when idle.
 *
 * A pool is shared by all; a queue bounds how many jobs of one consumer run at once and keeps jobs of
 * equal key ≠ 0 in order. fn runs on a worker, then done (may be NULL) on the given loop.
 */
#ifndef CORE_WORK_H
#define CORE_WORK_H

#include "loop.h"

struct core_workers;
struct core_workq;

int core_workers_new(uint32_t max_threads, struct core_workers **ret);
void core_workers_free(struct core_workers *w);		/* all queues are free; joins all threads */
uint32_t core_workers_threads(struct core_workers *w);	/* alive now */

int core_workq_new(struct core_workers *w, uint32_t limit, struct core_workq **ret);
void core_workq_free(struct core_workq *q);		/* empty; accepts NULL */
uint32_t core_workq_pending(struct core_workq *q);	/* queued and running */
void core_workq_wait(struct core_workq *q);		/* until all of them have run; what is to be done then may not be yet */

/* Any thread. @o (may be NULL) counts it until done has returned. 0, -ENOMEM, then neither is called. */
int core_work(struct core_workq *q, struct core_loop *l, struct core_owner *o, uint64_t key,
	      orlop_cb fn, orlop_cb done, void *arg);

#endif
