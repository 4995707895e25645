/*
 * preempting.c - doing what preempt.c found: victims are told why and deleted, the preemptor gets the
 * node nominated, and waits for it like any other pod that found no room.
 */
#include "module.h"

#include <string.h>

#include <orlop/inline/log.h>

#include "base/omem.h"
#include "base/otime.h"
#include "preempt.h"

/* All budgets as they are now; kept until one of them changes. */
static struct sd_budget *budgets(struct sd *s, uint32_t *ret_n)
{
	int32_t synced;
	uint64_t rev = s->h->resource_rev(s->budgets, &synced), n;
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	struct orlop_iter *it;

	*ret_n = s->n_budgets;
	if (s->budgets_rev && s->budgets_rev == rev)
		return s->budget_v;
	oarena_done(&s->budget_mem);
	oarena_init(&s->budget_mem, 0);
	s->budget_v = NULL;
	s->n_budgets = 0;
	s->budgets_rev = 0;
	*ret_n = 0;
	if (s->h->snapshot_open(s->budgets, &snap))
		return NULL;
	n = s->h->snapshot_count(snap);
	s->budget_v = n ? oarena_zalloc(&s->budget_mem, n * sizeof(*s->budget_v)) : NULL;
	if (s->budget_v && s->h->iter_open(snap, &q, &it) == 0) {
		while (s->n_budgets < n && (o = s->h->iter_next(it)))
			if (sd_budget_read(&s->budget_mem, o->ns, o->json, &s->budget_v[s->n_budgets]) == 0)
				s->n_budgets++;
		s->h->iter_close(it);
		s->budgets_rev = rev;
	}
	s->h->snapshot_close(snap);
	*ret_n = s->n_budgets;
	return s->budget_v;
}

void sd_preempting_done(struct sd *s)
{
	oarena_done(&s->budget_mem);
	s->budget_v = NULL;
	s->n_budgets = 0;
	s->budgets_rev = 0;
}

static void victim_go(struct sd *s, struct sd_pod *victim, const struct sd_pod *by, struct orlop_bytes node)
{
	struct obuf b = OBUF_INIT;
	char time[OTIME_BUF];

	otime_format((int64_t)s->h->now_wall(s->h), time);
	obuf_puts(&b, "{\"metadata\":{\"uid\":");
	obuf_put_json_cstr(&b, victim->uid);
	obuf_puts(&b, "},\"status\":{\"conditions\":[{\"type\":\"DisruptionTarget\",\"status\":\"True\",\"reason\":"
		      "\"PreemptionByScheduler\",\"message\":");
	{
		struct obuf text = OBUF_INIT;

		obuf_append(&text, by->profile->name.p, by->profile->name.len);
		obuf_puts(&text, ": preempting to accommodate a higher priority pod");
		obuf_put_json_string(&b, obuf_cstr(&text), text.len);
		obuf_done(&text);
	}
	obuf_printf(&b, ",\"lastProbeTime\":null,\"lastTransitionTime\":\"%s\"}]}}", time);
	if (!obuf_err(&b))
		(void)sd_write_other(s, SD_W_CONDITION, victim, victim->name, (struct orlop_bytes){ b.data, b.len });
	obuf_reset(&b);
	obuf_puts(&b, "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"uid\":");
	obuf_put_json_cstr(&b, victim->uid);
	obuf_puts(&b, "}}");
	if (!obuf_err(&b))
		(void)sd_write_other(s, SD_W_DELETE, victim, victim->name, (struct orlop_bytes){ b.data, b.len });
	obuf_reset(&b);
	obuf_printf(&b, "Preempted by pod %s on node %.*s", by->uid, (int)node.len, node.p);
	if (!obuf_err(&b))
		sd_report_preempted(s, victim, by, (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
}

/* Those of less importance that wait for the same node look for another one. */
static void nominations_take(struct sd *s, struct sd_node *n, const struct sd_pod *p)
{
	OLIST_FOREACH_SAFE(at, next, &n->nominated)
	{
		struct sd_pod *q = OLIST_ENTRY(at, struct sd_pod, on_nominated);

		if (q == p || q->priority >= p->priority)
			continue;
		sd_pod_nominate(&s->cluster, q, (struct orlop_bytes){ NULL, 0 });
		sd_report_nominated(s, q);
		sd_queue_wake(&s->queue, q, s->h->now_mono(s->h));
	}
}

void sd_preempting(struct sd *s, struct sd_pod *p, struct sd_diag *d, struct sd_diag *dry)
{
	struct sd_victims v;
	struct sd_budget *list;
	uint32_t n;
	struct orlop_bytes node;

	if (p->profile->no_preemption || !d->n_nodes || d->pre)
		return;
	list = budgets(s, &n);
	if (sd_preempt(&s->cluster, p, list, n, d, dry, &v)) {
		sd_victims_done(&v);
		/* a nomination that came to nothing is given back */
		if (p->nominated && !d->not_eligible) {
			sd_pod_nominate(&s->cluster, p, (struct orlop_bytes){ NULL, 0 });
			p->said = 0;
		}
		return;
	}
	s->h->metric_add(s->m.preemptions, 1);
	s->h->metric_observe(s->m.victims, v.n);
	node = v.node->name;
	OLOG(s->h, INFO, "preempting", "pod=%.*s/%.*s node=%.*s victims=%u", (int)p->ns.len, p->ns.p, (int)p->name.len,
	     p->name.p, (int)node.len, node.p, v.n);
	for (uint32_t i = 0; i < v.n; i++)
		if (!v.v[i]->deleting)
			victim_go(s, v.v[i], p, node);
	nominations_take(s, v.node, p);
	sd_pod_nominate(&s->cluster, p, node);
	d->preempted = true;
	sd_victims_done(&v);
}
