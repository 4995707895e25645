/* hookcount.c - how often admission webhooks are asked, how long they take, what they say: under upstream's names. */
#include "hook.h"

#include <stdio.h>

#define MOST	400u	/* different labels: whoever configures webhooks may call them anything */

static const double buckets[] = { 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25 };

/* A value of a label: quotes and the like are none of a webhook's name, but nobody shall make labels of them. */
static const char *word(const char *s, char *buf, size_t size)
{
	size_t n = 0;

	for (; *s && n + 1 < size; s++)
		buf[n++] = *s == '"' || *s == '\\' || (unsigned char)*s < ' ' ? '_' : *s;
	buf[n] = '\0';
	return buf;
}

/* Only so many of them. */
static bool known(struct reg_shard *sh, const char *labels)
{
	if (omap_has(&sh->hook_labels, labels, strlen(labels)))
		return true;
	return omap_count(&sh->hook_labels) < MOST && omap_put(&sh->hook_labels, labels, strlen(labels), NULL, NULL) == 0;
}

static void count(struct reg_shard *sh, const char *name, const char *labels, const char *help)
{
	struct orlop_metric *m;

	if (known(sh, labels) && sh->h->metric_new(sh->h, ORLOP_METRIC_COUNTER, name, labels, help, NULL, 0, &m) == 0)
		sh->h->metric_add(m, 1);
}

void hook_counted(const struct hook_run *run, const struct hook *k, const char *operation, uint64_t began, bool unasked)
{
	struct reg_shard *sh = run->op->sh;
	const struct orlop_host *h = sh->h;
	const char *type = run->mutating ? "admit" : "validating";
	char labels[400], name[160];
	struct orlop_metric *m;

	if (!h->metric_new)
		return;
	(void)word(k->name, name, sizeof(name));
	snprintf(labels, sizeof(labels), "name=\"%s\",operation=\"%s\",rejected=\"%s\",type=\"%s\"", name, operation,
		 k->r ? "true" : "false", type);
	if (known(sh, labels) &&
	    h->metric_new(h, ORLOP_METRIC_HISTOGRAM, "apiserver_admission_webhook_admission_duration_seconds", labels,
			  "Time that a webhook took.", buckets, sizeof(buckets) / sizeof(buckets[0]), &m) == 0)
		h->metric_observe(m, (double)(h->now_mono(h) - began) / 1e9);
	snprintf(labels, sizeof(labels), "code=\"%d\",name=\"%s\",operation=\"%s\",rejected=\"%s\",type=\"%s\"", k->r ? k->http : 200, name,
		 operation, k->r ? "true" : "false", type);
	count(sh, "apiserver_admission_webhook_request_total", labels, "Questions to webhooks.");
	if (k->r) {
		snprintf(labels, sizeof(labels), "error_type=\"%s\",name=\"%s\",operation=\"%s\",rejection_code=\"%d\",type=\"%s\"",
			 unasked ? "calling_webhook_error" : "no_error", name, operation, unasked ? 0 : k->http, type);
		count(sh, "apiserver_admission_webhook_rejection_count", labels, "Requests that a webhook has refused, or that failed with it.");
	} else if (unasked) {
		snprintf(labels, sizeof(labels), "name=\"%s\",type=\"%s\"", name, type);
		count(sh, "apiserver_admission_webhook_fail_open_count", labels, "Requests that went on though a webhook could not be asked.");
	}
}
