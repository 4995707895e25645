/*
 * isolate_question.c - what the core asks of its isolated modules: health, statistics, parameters; and whether
 * their loops turn at all.
 */
#include "isolate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/omem.h"
#include "bus/bus.h"
#include "host.h"
#include "isolate_proxy.h"
#include "loader.h"
#include "log.h"

#define IDLE_TIMES	3u	/* the hang timeout: so often a process that nobody asks anything is asked whether it lives */

/* ---- questions, and their end ---------------------------------------------------------------------------- */

void iso_asks_arm(struct core_isolates *all)
{
	uint64_t now = core_now_mono();
	uint64_t at = olist_empty(&all->list) ? 0 : all->look_ns;

	OLIST_FOREACH(n, &all->list) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_isolate, node);

		OLIST_FOREACH(k, &iso->asks) {
			struct iso_ask *a = OLIST_ENTRY(k, struct iso_ask, node);

			if (!at || a->until_ns < at)
				at = a->until_ns;
		}
	}
	if (!at || (all->armed_ns && all->armed_ns <= at))
		return;
	all->armed_ns = at;
	core_timer_set(all->timer, at > now ? at - now : 0, 0);
}

int iso_ask(struct core_isolate *iso, uint32_t type, const struct orlop_msgw *w, uint64_t timeout_ns,
	    core_isolate_fn fn, void *arg)
{
	struct iso_ask *a;
	int r;

	if (!iso->chan)
		return -ENOTCONN;
	a = OMEM_NEW(struct iso_ask);
	if (!a)
		return -ENOMEM;
	a->id = ++iso->last_id;
	a->type = type;
	a->fn = fn;
	a->arg = arg;
	a->until_ns = core_now_mono() + timeout_ns;
	r = core_iso_send(iso->chan, type, a->id, w, 0);
	if (r) {
		omem_free(a);
		return r;
	}
	olist_append(&iso->asks, &a->node);
	iso_asks_arm(iso->core->isolates);
	return 0;
}

void iso_asks_end(struct core_isolate *iso, int status, const char *why)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct olist *n;

	while ((n = olist_shift(&iso->asks))) {
		struct iso_ask *a = OLIST_ENTRY(n, struct iso_ask, node);

		(void)orlop_fail(&err, -status, 0, "", "module %s: %s", iso->inst->name, why);
		if (a->fn)
			a->fn(a->arg, status, "", &err);
		omem_free(a);
	}
}

/* ---- what is asked ------------------------------------------------------------------------------------------ */

int core_isolate_stats(struct core_instance *inst, core_isolate_fn fn, void *arg)
{
	struct core_isolate *iso = inst->iso;

	if (iso->state != ISO_UP || !(iso->desc.has & CORE_ISO_HAS_STATS))
		return -ENOTCONN;
	return iso_ask(iso, CORE_ISO_STATS, NULL, ISO_ASK_NS, fn, arg);
}

/* A change that the child has taken on, to be taken on by the next child too. */
struct param_change {
	struct core_isolate *iso;
	struct core_config_module cm;
	core_isolate_fn	fn;
	void		*arg;
};

static void change_free(struct param_change *p)
{
	core_config_module_done(&p->cm);
	omem_free(p);
}

/* Into what the next child gets. */
static void change_keep(struct core_config_module *cm, const struct core_config_param *new)
{
	for (uint32_t i = 0; i < cm->n_params; i++)
		if (strcmp(cm->params[i].name, new->name) == 0) {
			char *copy = omem_strdup(new->value);

			if (copy) {
				omem_free(cm->params[i].value);
				cm->params[i].value = copy;
				cm->params[i].type = 0;
			}
			return;
		}
	(void)core_config_param_add(cm, new->name, new->value, 0, 0);
}

static void set_answered(void *arg, int status, const char *text, const struct orlop_error *err)
{
	struct param_change *p = arg;
	uint32_t changed = 0;
	char count[16];

	for (uint32_t i = 0; status == 0 && i < p->cm.n_params; i++)
		change_keep(&p->iso->cm, &p->cm.params[i]);
	/* What is shown here. */
	if (status == 0)
		(void)core_loader_set(p->iso->core, p->iso->inst->name, &p->cm, &changed, NULL);
	else if (!p->fn)
		core_log_text(p->iso->core->log, p->iso->inst->name, ORLOP_LOG_ERR, "param_refused", err->msg);
	if (changed)
		iso_feed_wants(p->iso);
	(void)snprintf(count, sizeof(count), "%u", changed);
	if (p->fn)
		p->fn(p->arg, status, status ? text : count, err);
	change_free(p);
}

int core_isolate_set(struct core_instance *inst, const struct core_config_module *cm, core_isolate_fn fn,
		     void *arg, struct orlop_error *err)
{
	struct core_isolate *iso = inst->iso;
	struct param_change *p;
	struct orlop_msgw w;
	int r = core_loader_set_check(iso->core, inst->name, cm, err);

	if (r)
		return r;
	if (iso->state != ISO_UP)
		return orlop_fail(err, EAGAIN, 0, "", "module %s is %s", inst->name, iso->health.text);
	p = OMEM_NEW(struct param_change);
	if (!p || iso_cm_copy(&p->cm, cm)) {
		if (p)
			change_free(p);
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", inst->name);
	}
	p->iso = iso;
	p->fn = fn;
	p->arg = arg;
	orlop_msgw_init(&w, NULL);
	core_iso_put_params(&w, cm);
	r = iso_ask(iso, CORE_ISO_SET, &w, ISO_ASK_NS, set_answered, p);
	orlop_msgw_done(&w);
	if (r) {
		change_free(p);
		return orlop_fail(err, -r, 0, "", "module %s: %s", inst->name, strerrordesc_np(-r));
	}
	return 0;
}

void core_isolate_level(struct core_instance *inst, int32_t level)
{
	struct core_isolate *iso = inst->iso;
	struct orlop_msgw w;

	iso->level = level;
	if (!iso->chan)
		return;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, (uint64_t)(level ? level : core_log_level(iso->core->log, inst->name)));
	(void)core_iso_send(iso->chan, CORE_ISO_LEVEL, 0, &w, 0);
	orlop_msgw_done(&w);
}

void core_isolate_ending(struct core *c)
{
	OLIST_FOREACH(n, &c->instances) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_instance, node)->iso;

		if (iso && iso->chan)
			(void)core_iso_send(iso->chan, CORE_ISO_ENDING, 0, NULL, 0);
	}
}

/* One refresh of many. */
struct refresh {
	struct core	*core;
	uint32_t	open;
	orlop_cb	fn;
	void		*arg;
};

static void refresh_one(void *arg, int status, const char *text, const struct orlop_error *err)
{
	struct refresh *r = arg;

	(void)status;
	(void)text;
	(void)err;
	if (--r->open)
		return;
	r->fn(r->arg);
	omem_free(r);
}

static void refresh_none(void *arg)
{
	refresh_one(arg, 0, "", NULL);
}

int core_isolate_refresh(struct core *c, orlop_cb fn, void *arg)
{
	struct refresh *r = OMEM_NEW(struct refresh);
	int e;

	if (!r)
		return -ENOMEM;
	r->core = c;
	r->fn = fn;
	r->arg = arg;
	r->open = 1;
	OLIST_FOREACH(n, &c->isolates->list) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_isolate, node);

		if (iso->state == ISO_UP && iso_ask(iso, CORE_ISO_HEALTH, NULL, ISO_HEALTH_NS, refresh_one, r) == 0)
			r->open++;
	}
	/* Called back later in any case. */
	e = core_loop_post(c->main, refresh_none, r);
	if (e)
		refresh_none(r);
	return 0;
}

/* ---- is it alive? ------------------------------------------------------------------------------------------------ */

/* In stop() or on its way out, it has stop_timeout_s, which others look after. */
static bool ends(const struct core_isolate *iso)
{
	return iso->stop_asked || (iso->closing && !iso->quieting);
}

static void ping_answered(void *arg, int status, const char *text, const struct orlop_error *err)
{
	struct core_isolate *iso = arg;

	(void)text;
	(void)err;
	if (status == 0) {
		iso->requests_pinged = iso->requests_asked;
		iso->heard_ns = core_now_mono();
	} else if (status == -ETIMEDOUT && !ends(iso)) {
		iso_lost(iso, iso->open ? "hangs: its loops did not turn while requests were open" :
			 "hangs: its loops do not turn");
	}
}

bool iso_asked(struct core_isolate *iso, uint32_t type)
{
	OLIST_FOREACH(n, &iso->asks)
		if (OLIST_ENTRY(n, struct iso_ask, node)->type == type)
			return true;
	return false;
}

/*
 * Asks a child whether its loops turn: soon while something waits for it that has come since it last said so, else
 * seldom, so that an idle machine sleeps. All are asked in the same turn of the loop.
 */
static void alive_look(struct core_isolate *iso, uint64_t now)
{
	uint64_t heard = iso->heard_ns > iso->up_ns ? iso->heard_ns : iso->up_ns;
	bool seldom = now - heard >= IDLE_TIMES * iso->core->config->hang_timeout_ns;

	if (iso->state != ISO_UP || ends(iso) || iso_asked(iso, CORE_ISO_PING))
		return;
	if (!seldom && (iso->open == 0 || iso->got == iso->requests_pinged))
		return;
	iso->requests_asked = iso->got;
	(void)iso_ask(iso, CORE_ISO_PING, NULL, iso->core->config->hang_timeout_ns, ping_answered, iso);
}

/* On the switch's thread, while the main loop waits: what is open at whose links. */
static void link_seen(void *arg, const struct core_link_stats *s)
{
	struct core_isolates *all = arg;

	OLIST_FOREACH(n, &all->list) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_isolate, node);
		size_t len = strlen(iso->inst->name);

		if (strncmp(s->name, iso->inst->name, len) == 0 && (!s->name[len] || s->name[len] == '#')) {
			iso->open += s->open;
			iso->got += s->requests_in;
		}
	}
}

/* One that is started anew has nobody who waits for it with patience of his own: the loader has for the first. */
static void start_look(struct core_isolate *iso, uint64_t now)
{
	uint64_t most = iso->core->config->start_timeout_ns;
	char why[80];

	if (!iso->was_up || !iso->child || iso->closing || iso->state == ISO_UP || now - iso->spawned_ns < most)
		return;
	(void)snprintf(why, sizeof(why), "is not ready after %llu s", (unsigned long long)(most / UINT64_C(1000000000)));
	iso_lost(iso, why);
}

/* @late: we were away ourselves; who has become ready meanwhile has not been heard yet. */
static void alive_look_all(struct core_isolates *all, bool late)
{
	uint64_t now = core_now_mono();

	OLIST_FOREACH(n, &all->list) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_isolate, node);

		iso->open = 0;
		iso->got = 0;
	}
	core_bus_stats(all->core->bus, link_seen, all);
	OLIST_FOREACH(n, &all->list) {
		alive_look(OLIST_ENTRY(n, struct core_isolate, node), now);
		if (!late)
			start_look(OLIST_ENTRY(n, struct core_isolate, node), now);
	}
}

/* The timer of all: overdue answers, and whether who has work is alive. */
void iso_tick(void *arg)
{
	struct core_isolates *all = arg;
	uint64_t now = core_now_mono();
	uint64_t wait = all->core->config->hang_timeout_ns / 4;
	/* We were away ourselves (stopped, starved): what came meanwhile is not read yet. */
	bool late = all->armed_ns && now - all->armed_ns > wait;
	struct orlop_error err = ORLOP_ERROR_INIT;

	all->armed_ns = 0;
	OLIST_FOREACH_SAFE(n, tmp, &all->list) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_isolate, node);

		OLIST_FOREACH_SAFE(k, next, &iso->asks) {
			struct iso_ask *a = OLIST_ENTRY(k, struct iso_ask, node);

			if (late && a->type == CORE_ISO_PING && a->until_ns < now + wait)
				a->until_ns = now + wait;
			if (a->until_ns > now)
				continue;
			olist_del(&a->node);
			(void)orlop_fail(&err, ETIMEDOUT, 0, "", "module %s does not answer", iso->inst->name);
			if (a->fn)
				a->fn(a->arg, -ETIMEDOUT, "", &err);
			omem_free(a);
			break;		/* the callback may have changed the list; the next turn goes on */
		}
	}
	if (now >= all->look_ns) {
		alive_look_all(all, late);
		all->look_ns = now + wait;
	}
	iso_asks_arm(all);
}
