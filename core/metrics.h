/*
 * metrics.h - counters, gauges and histograms of the process, as Prometheus reads them.
 *
 * A metric lives as long as the process: modules come and go, a counter never goes back. Values are
 * atomics; the lock is only for registration and for printing.
 */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdint.h>

#include <orlop/host.h>

#include "base/obuf.h"

struct core;
struct core_metrics;

int core_metrics_new(struct core_metrics **ret);
void core_metrics_free(struct core_metrics *m);

/* 0, -ENOMEM, -EINVAL (a name, label or bucket that Prometheus would refuse; another type before). */
int core_metric_new(struct core_metrics *m, uint32_t type, const char *name, const char *labels,
		    const char *help, const double *buckets, uint32_t n_buckets,
		    struct orlop_metric **ret);
/* The same for the module @who: if its predecessor had another type or buckets, its own count from now on. */
int core_metric_new_of(struct core_metrics *m, const char *who, uint32_t type, const char *name,
		       const char *labels, const char *help, const double *buckets, uint32_t n_buckets,
		       struct orlop_metric **ret);
/* Any thread. All accept NULL. */
void core_metric_add(struct orlop_metric *m, double v);
void core_metric_set(struct orlop_metric *m, double v);
void core_metric_observe(struct orlop_metric *m, double v);

/*
 * core_metrics_export - metrics made from now on keep their words where another process reads them
 *
 * @shared has @n_words zeros. @fn is called for each with the number of its first word; 64-bit words:
 * value (a double's bits; of a histogram the sum), observations, each bucket's observations.
 */
typedef void (*core_metric_export_fn)(void *arg, uint32_t word, uint32_t type, const char *name,
				const char *labels, const char *help, const double *bounds,
				uint32_t n_bounds);
void core_metrics_export(struct core_metrics *m, void *shared, uint32_t n_words, core_metric_export_fn fn,
			 void *arg);
/* The other side: @words (2 + buckets) add to @x while @owner lives. 0 or -ENOMEM. */
int core_metric_import(struct core_metrics *m, struct orlop_metric *x, const void *words, const void *owner);
/* @owner's words are about to go: what they say is kept. */
void core_metrics_forget(struct core_metrics *m, const void *owner);

void core_metrics_text(struct core_metrics *m, struct obuf *out);
/* metrics_cache.c: these and what the cache has to say. */
void core_metrics_all(struct core *c, struct obuf *out);

#endif
