/* store-time.c - how often the storage is asked for what, and how long it takes: under the names of upstream's storage. */
#include "store.h"

#include <stdio.h>
#include <string.h>

#define MOST	400u	/* pairs of a resource and an operation: somebody may define many resources */

struct store_metrics {
	struct orlop_metric *requests;
	struct orlop_metric *errors;	/* NULL: none yet */
	struct orlop_metric *seconds;
};

static const double buckets[] = { 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60 };

/* "operation="create",group="apps",resource="deployments"" is its key too. */
static struct store_metrics *find(struct reg_shard *sh, const char *labels, size_t len)
{
	const struct orlop_host *h = sh->h;
	struct store_metrics *m = omap_get(&sh->store_metrics, labels, len);

	if (m || omap_count(&sh->store_metrics) >= MOST)
		return m;
	m = OMEM_NEW(struct store_metrics);
	if (!m || h->metric_new(h, ORLOP_METRIC_COUNTER, "etcd_requests_total", labels, "Requests to the storage.", NULL, 0, &m->requests) ||
	    h->metric_new(h, ORLOP_METRIC_HISTOGRAM, "etcd_request_duration_seconds", labels, "Time that the storage took.", buckets,
			  sizeof(buckets) / sizeof(buckets[0]), &m->seconds) ||
	    omap_put(&sh->store_metrics, labels, len, m, NULL)) {
		omem_free(m);
		return NULL;
	}
	return m;
}

void store_timed(struct reg_op *op, const char *operation, uint64_t began, bool failed)
{
	struct reg_shard *sh = op->sh;
	const struct orlop_host *h = sh->h;
	struct store_metrics *m;
	char labels[300];
	int n;

	if (!h->metric_new || !op->k)
		return;
	n = snprintf(labels, sizeof(labels), "operation=\"%s\",group=\"%s\",resource=\"%s\"", operation, op->k->group, op->k->plural);
	m = n < (int)sizeof(labels) ? find(sh, labels, (size_t)n) : NULL;
	if (!m)
		return;
	h->metric_add(m->requests, 1);
	h->metric_observe(m->seconds, (double)(h->now_mono(h) - began) / 1e9);
	if (failed && !m->errors)
		(void)h->metric_new(h, ORLOP_METRIC_COUNTER, "etcd_request_errors_total", labels, "Requests to the storage that failed.",
				    NULL, 0, &m->errors);
	if (failed && m->errors)
		h->metric_add(m->errors, 1);
}
