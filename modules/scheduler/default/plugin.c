/*
 * plugin.c - plugins that are modules of their own (abi/orlop/scheduler-plugin.h): found, asked, heard.
 *
 * A pod with its candidates is asked about at once at all of them; many pods may be asked about side by
 * side. When the last answer is in, what is left is filtered and scored again as things are then, and the
 * plugins' scores are added.
 */
#include "module.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>
#include <orlop/scheduler-plugin.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "cycle.h"

#define CLASS	  "scheduler-plugin/"
#define ASKS_MAX  64u
#define ANSWER_NS UINT64_C(5000000000)

struct choice {
	struct orlop_bytes name;
	int64_t		score;		/* of the plugins, weighed */
	const char	*refused;
	bool		never;
};

struct ask {
	struct olist	list;
	struct sd	*s;
	struct sd_pod	*p;		/* NULL: it changed or is gone */
	struct sd_diag	d;		/* of nodes that were refused before */
	uint32_t	pending;
	uint32_t	n;
	uint64_t	began_ns;
	bool		all;		/* every node that could do is among them */
	char		*failed;	/* what to say of a plugin that did not answer */
	struct oarena	mem;
	struct choice	v[];
};

/* One question to one plugin. */
struct question {
	struct ask	*ask;
	int64_t		weight;
	char		name[];
};

/* ---- which there are ------------------------------------------------------------------------- */

static int64_t weight_of(const char *list, struct orlop_bytes name, bool *ret_listed)
{
	int64_t all = 0, w;

	*ret_listed = false;
	while (*list) {
		size_t n = strcspn(list, " ,"), k = 0;

		while (k < n && list[k] != ':')
			k++;
		if (k == n || ostr_to_i64(list + k + 1, n - k - 1, &w))
			w = 1;
		if (k == 1 && list[0] == '*') {
			all = w;
			*ret_listed = true;
		} else if (n && ostr_eq(list, k, name.p, name.len)) {
			*ret_listed = true;
			return w;
		}
		list += n;
		list += strspn(list, " ,");
	}
	return all;
}

static void one_module(void *arg, const char *instance, const struct orlop_health *health)
{
	struct orlop_bytes name = { instance + sizeof(CLASS) - 1, 0 };
	struct sd *s = arg;
	struct sd_other *v;
	bool listed;
	int64_t w;

	if (strncmp(instance, CLASS, sizeof(CLASS) - 1) != 0)
		return;
	name.len = strlen(name.p);
	w = weight_of(s->h->param(s->h, "plugins"), name, &listed);
	if (!listed)
		return;
	for (uint32_t i = 0; i < s->n_others_loaded; i++)
		if (strcmp(s->others[i].address, instance) == 0) {
			s->others[i].seen = true;
			s->others[i].weight = w;
			return;
		}
	if (!health->ok)
		return; /* not serving yet: its first word comes when it is */
	v = omem_realloc_array(s->others, s->n_others_loaded + 1, sizeof(*v));
	if (!v)
		return;
	s->others = v;
	v += s->n_others_loaded;
	*v = (struct sd_other){ .address = omem_strdup(instance), .weight = w, .seen = true };
	if (!v->address)
		return;
	v->name = (struct orlop_bytes){ v->address + sizeof(CLASS) - 1, name.len };
	s->n_others_loaded++;
	s->plugins_changed = true;
	OLOG(s->h, INFO, "plugin_used", "name=%s weight=%lld", instance, (long long)w);
}

void sd_plugins_find(struct sd *s)
{
	uint32_t k = 0;

	if (!ORLOP_HOST_HAS(s->h, health_list) || !*s->h->param(s->h, "plugins"))
		return;
	for (uint32_t i = 0; i < s->n_others_loaded; i++)
		s->others[i].seen = false;
	s->h->health_list(s->h, one_module, s);
	for (uint32_t i = 0; i < s->n_others_loaded; i++) {
		if (s->others[i].seen) {
			s->others[k++] = s->others[i];
			continue;
		}
		OLOG(s->h, INFO, "plugin_gone", "name=%s", s->others[i].address);
		omem_free(s->others[i].address);
		s->plugins_changed = true;
	}
	s->n_others_loaded = k;
	if (s->plugins_changed) {
		s->plugins_changed = false;
		sd_queue_wake_rejected(&s->queue, SD_BIT(SD_P_OTHER), s->h->now_mono(s->h));
	}
}

static void ask_free(struct ask *a)
{
	olist_del(&a->list);
	a->s->n_asks--;
	if (a->p)
		a->p->ask = NULL;
	omem_free(a->failed);
	oarena_done(&a->mem);
	omem_free(a);
}

void sd_plugins_forget(struct sd_pod *p)
{
	if (!p->ask)
		return;
	p->ask->p = NULL;
	p->ask = NULL;
}

void sd_plugins_done(struct sd *s)
{
	while (!olist_empty(&s->asks))
		ask_free(OLIST_ENTRY(olist_first(&s->asks), struct ask, list));
	for (uint32_t i = 0; i < s->n_others_loaded; i++)
		omem_free(s->others[i].address);
	omem_free(s->others);
	s->others = NULL;
	s->n_others_loaded = 0;
}

bool sd_plugins_room(const struct sd *s)
{
	return s->n_asks < ASKS_MAX;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void verdicts_take(struct ask *a, const struct question *q, const struct orlop_msg *msg)
{
	const struct orlop_host *h = a->s->h;
	struct orlop_bytes v = orlop_msg_bytes(h, msg, ORLOP_SCHEDULER_PLUGIN_T_VERDICTS);
	uint64_t never = orlop_msg_u64(msg, ORLOP_SCHEDULER_PLUGIN_T_NEVER, 0);
	const char *reasons[ORLOP_SCHEDULER_PLUGIN_REASONS];
	uint32_t n_reasons = 0;
	struct orlop_msgr r;

	orlop_msgr_init(&r, h, msg, msg->body);
	while (n_reasons < ORLOP_SCHEDULER_PLUGIN_REASONS && orlop_msgr_next(&r))
		if (r.tag == ORLOP_SCHEDULER_PLUGIN_T_REASON) {
			const char *t = oarena_strndup(&a->mem, r.bytes.p, r.bytes.len < 200 ? r.bytes.len : 200);

			reasons[n_reasons++] = t ? t : "";
		}
	for (uint32_t i = 0; i < a->n && (size_t)i * 4 + 4 <= v.len; i++) {
		const uint8_t *b = (const uint8_t *)v.p + (size_t)i * 4;
		int32_t x = (int32_t)(b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);

		if (x < 0 && !a->v[i].refused) {
			uint32_t why = (uint32_t)(-1 - x);

			a->v[i].refused = why < n_reasons ? reasons[why] : "node(s) were refused by a plugin";
			a->v[i].never = why < 64 && (never >> why & 1);
		} else if (x > 0) {
			a->v[i].score += q->weight * (x < ORLOP_SCHEDULER_PLUGIN_SCORE_MAX
							      ? x
							      : ORLOP_SCHEDULER_PLUGIN_SCORE_MAX);
		}
	}
}

/* What is left, as things are now. */
static uint32_t left_collect(struct ask *a, struct sd_cycle *cy, int64_t *more)
{
	struct sd_cluster *c = &a->s->cluster;
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->n && n < c->cap; i++) {
		struct sd_node *node = sd_node_get(c, a->v[i].name);

		if (a->v[i].refused || !node || sd_cycle_filter(cy, node, NULL) != SD_FEASIBLE)
			continue;
		c->cand[n].node = node;
		c->cand[n].score = 0;
		more[n++] = a->v[i].score;
	}
	return n;
}

static void none_left(struct ask *a, struct sd_pod *p, uint64_t now)
{
	struct sd *s = a->s;
	uint32_t refused = 0;

	for (uint32_t i = 0; i < a->n; i++) {
		if (!a->v[i].refused)
			continue;
		refused++;
		sd_diag_text(&a->d, a->v[i].refused, 1);
		a->d.unresolvable += a->v[i].never;
	}
	if (refused < a->n || !a->all) {
		/* somebody else was faster, or not all nodes were looked at: once more, over all of them */
		p->ask_all = refused == a->n;
		(void)sd_queue_add(&s->queue, p, now);
		return;
	}
	a->d.plugins |= SD_BIT(SD_P_OTHER);
	a->d.n_nodes = s->cluster.n;
	sd_no_node(s, p, &a->d, now);
}

static void ask_end(struct ask *a)
{
	struct sd *s = a->s;
	struct sd_pod *p = a->p;
	uint64_t now = s->h->now_mono(s->h);
	struct sd_cycle *cy;
	int64_t *more;
	uint32_t n = 0;

	if (!p || s->stopping) {
		ask_free(a);
		return;
	}
	p->ask = NULL;
	a->p = NULL;
	more = omem_alloc_array(a->n, sizeof(*more));
	cy = more && !a->failed ? sd_cycle_begin(&s->cluster, p) : NULL;
	if (!cy) {
		if (a->failed) {
			s->n_errors++;
			sd_metrics_result(s, SD_ERROR, now - a->began_ns);
			sd_report_failed(s, p, "SchedulerError",
					 (struct orlop_bytes){ a->failed, strlen(a->failed) });
		}
		(void)sd_queue_retry(&s->queue, p, now);
	} else {
		struct sd_node *to = NULL;

		n = left_collect(a, cy, more);
		if (n > 1)
			sd_cycle_score(cy, s->cluster.cand, n);
		for (uint32_t i = 0; i < n; i++)
			s->cluster.cand[i].score += more[i];
		to = sd_choose(&s->cluster, s->cluster.cand, n);
		p->ask_all = false;
		if (to) {
			sd_metrics_result(s, SD_SCHEDULED, now - a->began_ns);
			sd_place_on(s, p, to->name, now);
		} else {
			none_left(a, p, now);
		}
	}
	omem_free(more);
	ask_free(a);
	sd_write_flush(s);
	sd_kick(s);
}

static void on_verdicts(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
			uint32_t flags)
{
	struct question *q = arg;
	struct ask *a = q->ask;

	if (flags & ORLOP_REPLY_MORE)
		return;
	if (status >= 0 && msg)
		verdicts_take(a, q, msg);
	else if (!a->failed)
		a->failed = omem_printf("running Filter plugin \"%s\": %s", q->name,
					err && err->msg[0] ? err->msg : "it does not answer");
	omem_free(q);
	if (--a->pending == 0)
		ask_end(a);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int question_send(struct ask *a, const struct sd_other *o, const struct orlop_msg *msg)
{
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_SCHEDULER_PLUGIN_JUDGE, .to = o->address,
				   .msg = *msg, .timeout_ns = ANSWER_NS };
	struct question *q = omem_alloc(sizeof(*q) + o->name.len + 1);
	int r;

	if (!q)
		return -ENOMEM;
	q->ask = a;
	q->weight = o->weight;
	memcpy(q->name, o->name.p, o->name.len + 1);
	a->pending++;
	r = a->s->h->request(a->s->h, &send, on_verdicts, q, NULL);
	if (r) {
		a->pending--;
		omem_free(q);
	}
	return r;
}

static int pod_put(struct sd *s, const struct sd_pod *p, const struct ask *a, struct orlop_msgw *w)
{
	struct obuf nodes = OBUF_INIT;
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	int r = s->h->snapshot_open(okube_informer_resource(s->in_pods), &snap);

	if (r)
		return r;
	o = s->h->snapshot_get(snap, p->ns, p->name);
	if (o)
		orlop_msgw_bytes(w, ORLOP_SCHEDULER_PLUGIN_T_POD, o->json.p, o->json.len);
	s->h->snapshot_close(snap);
	orlop_msgw_bytes(w, ORLOP_SCHEDULER_PLUGIN_T_NAMESPACE, p->ns.p, p->ns.len);
	orlop_msgw_bytes(w, ORLOP_SCHEDULER_PLUGIN_T_NAME, p->name.p, p->name.len);
	orlop_msgw_bytes(w, ORLOP_SCHEDULER_PLUGIN_T_PROFILE, p->profile->name.p, p->profile->name.len);
	for (uint32_t i = 0; i < a->n; i++)
		obuf_append(&nodes, a->v[i].name.p, a->v[i].name.len + 1);
	r = obuf_err(&nodes);
	if (!r)
		orlop_msgw_bytes(w, ORLOP_SCHEDULER_PLUGIN_T_NODES, nodes.data, nodes.len);
	obuf_done(&nodes);
	return r ? r : w->err;
}

bool sd_plugins_ask(struct sd *s, struct sd_pod *p, uint32_t n, const struct sd_diag *d, bool all)
{
	struct orlop_msgw w;
	struct orlop_msg msg;
	struct ask *a;
	int r = 0;

	if (!s->n_others_loaded)
		return false;
	a = omem_zalloc(sizeof(*a) + n * sizeof(a->v[0]));
	if (!a)
		return false;
	oarena_init(&a->mem, 0);
	a->s = s;
	a->d = *d;
	a->all = all;
	a->n = n;
	a->began_ns = s->h->now_mono(s->h);
	for (uint32_t i = 0; i < n; i++) {
		struct orlop_bytes name = s->cluster.cand[i].node->name;
		char *copy = oarena_strndup(&a->mem, name.p, name.len);

		if (!copy)
			r = -ENOMEM;
		a->v[i].name = (struct orlop_bytes){ copy ? copy : "", copy ? name.len : 0 };
	}
	olist_append(&s->asks, &a->list);
	s->n_asks++;
	orlop_msgw_init(&w, s->h);
	if (!r)
		r = pod_put(s, p, a, &w);
	msg = orlop_msgw_msg(&w);
	a->pending = 1; /* ours, until all are asked */
	for (uint32_t i = 0; !r && i < s->n_others_loaded; i++)
		r = question_send(a, &s->others[i], &msg);
	orlop_msgw_done(&w);
	if (r && !a->failed)
		a->failed = omem_strdup("running Filter plugin: no memory");
	a->p = p;
	p->ask = a;
	if (--a->pending == 0)
		ask_end(a);
	return true;
}
