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

struct core_metrics;

int core_metrics_new(struct core_metrics **ret);
void core_metrics_free(struct core_metrics *m);

/* 0, -ENOMEM, -EINVAL (a name, label or bucket that Prometheus would refuse; another type before). */
int core_metric_new(struct core_metrics *m, uint32_t type, const char *name, const char *labels,
		    const char *help, const double *buckets, uint32_t n_buckets,
		    struct orlop_metric **ret);
/* Any thread. All accept NULL. */
void core_metric_add(struct orlop_metric *m, double v);
void core_metric_set(struct orlop_metric *m, double v);
void core_metric_observe(struct orlop_metric *m, double v);

void core_metrics_text(struct core_metrics *m, struct obuf *out);

#endif
