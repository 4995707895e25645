/* metrics.c - what is counted, under upstream's names (pkg/scheduler/metrics). */
#include "module.h"

#include <stdio.h>

static const double seconds[] = { 0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064,
				  0.128,   0.256,   0.512,  1.024,  2.048, 4.096, 8.192, 16.384 };
static const double long_seconds[] = { 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24,
				       20.48, 40.96, 81.92, 163.84, 327.68, 655.36, 1310.72 };
static const double tries[] = { 1, 2, 4, 8, 16 };
static const double victims[] = { 1, 2, 4, 8, 16, 32, 64 };

#define N(v) (sizeof(v) / sizeof((v)[0]))

void sd_metrics_make(struct sd *s)
{
	static const char *const queues[4] = { "queue=\"active\"", "queue=\"backoff\"",
					       "queue=\"unschedulable\"", "queue=\"gated\"" };
	static const char *const results[SD_RESULTS] = { "scheduled", "unschedulable", "error" };
	static const char *const kept[3] = { "type=\"nodes\"", "type=\"pods\"", "type=\"assumed_pods\"" };
	const struct orlop_host *h = s->h;
	char labels[200];

	for (int i = 0; i < SD_RESULTS; i++) {
		(void)snprintf(labels, sizeof(labels), "profile=\"%.100s\",result=\"%s\"", s->name, results[i]);
		(void)h->metric_new(h, ORLOP_METRIC_COUNTER, "scheduler_schedule_attempts_total", labels,
				    "Attempts to schedule pods, by result.", NULL, 0, &s->m.attempts[i]);
		(void)h->metric_new(h, ORLOP_METRIC_HISTOGRAM, "scheduler_scheduling_attempt_duration_seconds", labels,
				    "Seconds that an attempt took, without the binding.", seconds, N(seconds),
				    &s->m.duration[i]);
	}
	(void)h->metric_new(h, ORLOP_METRIC_HISTOGRAM, "scheduler_scheduling_algorithm_duration_seconds", NULL,
			    "Seconds that the choice of a node took.", seconds, N(seconds), &s->m.algorithm);
	for (int i = 0; i < 4; i++)
		(void)h->metric_new(h, ORLOP_METRIC_GAUGE, "scheduler_pending_pods", queues[i],
				    "Pods that wait, by queue.", NULL, 0, &s->m.pending[i]);
	(void)h->metric_new(h, ORLOP_METRIC_HISTOGRAM, "scheduler_pod_scheduling_attempts", NULL,
			    "Attempts until a pod was scheduled.", tries, N(tries), &s->m.tries);
	(void)h->metric_new(h, ORLOP_METRIC_HISTOGRAM, "scheduler_pod_scheduling_sli_duration_seconds", NULL,
			    "Seconds from a pod's first queueing to its binding.", long_seconds, N(long_seconds),
			    &s->m.sli);
	(void)h->metric_new(h, ORLOP_METRIC_COUNTER, "scheduler_preemption_attempts_total", NULL,
			    "Pods for which others were told to go.", NULL, 0, &s->m.preemptions);
	(void)h->metric_new(h, ORLOP_METRIC_HISTOGRAM, "scheduler_preemption_victims", NULL,
			    "Pods that were told to go for one.", victims, N(victims), &s->m.victims);
	for (int i = 0; i < 3; i++)
		(void)h->metric_new(h, ORLOP_METRIC_GAUGE, "scheduler_cache_size", kept[i],
				    "Nodes and pods that the scheduler knows.", NULL, 0, &s->m.cache[i]);
}

void sd_metrics_result(struct sd *s, int result, uint64_t took_ns)
{
	if (result != SD_SCHEDULED) /* that is counted when it is bound */
		s->h->metric_add(s->m.attempts[result], 1);
	s->h->metric_observe(s->m.duration[result], (double)took_ns / 1e9);
	s->h->metric_observe(s->m.algorithm, (double)took_ns / 1e9);
}

void sd_metrics_bound(struct sd *s, const struct sd_pod *p)
{
	uint64_t now = s->h->now_mono(s->h);

	s->h->metric_add(s->m.attempts[SD_SCHEDULED], 1);
	s->h->metric_observe(s->m.tries, p->attempts);
	if (p->first_ns && now > p->first_ns)
		s->h->metric_observe(s->m.sli, (double)(now - p->first_ns) / 1e9);
}

void sd_metrics_gauges(struct sd *s)
{
	s->h->metric_set(s->m.pending[0], s->queue.active.n);
	s->h->metric_set(s->m.pending[1], s->queue.backoff.n);
	s->h->metric_set(s->m.pending[2], s->queue.n_unschedulable);
	s->h->metric_set(s->m.pending[3], s->queue.n_gated);
	s->h->metric_set(s->m.cache[0], s->cluster.n);
	s->h->metric_set(s->m.cache[1], omap_count(&s->pods));
	s->h->metric_set(s->m.cache[2], s->n_urgent + s->n_batches);
}
