/*
 * isolate_serve.c - what a child says, and what is made of it. It is not trusted: what it names is
 * checked, what it may have is counted, and it never makes anybody wait.
 */
#include "isolate_proxy.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/omem.h"
#include "host.h"
#include "host_cache.h"
#include "loader.h"
#include "log.h"
#include "metrics.h"
#include "net.h"

#define LINES_PER_S	500u
#define LEADS_MAX	64u
#define BOUNDS_MAX	256u

void iso_health_told(struct core_isolate *iso, const struct orlop_msg *m)
{
	iso->health.ok = orlop_msg_u64(m, CORE_ISO_T_OK, 0) != 0;
	core_iso_text(m, CORE_ISO_T_TEXT, iso->health.text, sizeof(iso->health.text));
	iso->rev = orlop_msg_u64(m, CORE_ISO_T_REV, iso->rev);
	iso->draining = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_DRAINING, 0);
	iso->changing = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_CHANGING, 0);
	iso->finishing = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_FINISHING, 0);
}

/* ---- what it is --------------------------------------------------------------------------------------- */

static void on_describe(struct core_isolate *iso, struct core_iso_in *in)
{
	struct core_instance *inst = iso->inst;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_iso_desc d;
	char weak[100];
	int r;

	if (iso->state != ISO_MAPPING)
		return;
	r = core_iso_get_desc(&in->msg, &d);
	if (r) {
		(void)orlop_fail(&err, -r, 0, "", "its process describes it in words that make no sense");
		iso_refused(iso, r, &err);
		return;
	}
	core_iso_text(&in->msg, CORE_ISO_T_REASON, weak, sizeof(weak));
	if (weak[0] && !iso->was_up)
		CLOG(iso->core, WARN, "module_rights", "name=%s text=\"not enforced here: %s\"", inst->name, weak);
	if (!iso->described) {
		/* What the next child says may differ (another file); the first is what was checked and shown. */
		core_params_free(inst);
		iso->desc = d;
		iso->described = true;
		inst->mod.flags = d.mod.flags;
		inst->mod.license = iso->desc.license;
		inst->mod.summary = iso->desc.summary;
		inst->mod.params = iso->desc.params;
		inst->mod.n_params = d.mod.n_params;
		inst->mod.param_size = sizeof(struct orlop_param);
		r = core_config_check(iso->core->config->path ? iso->core->config->path : "", &iso->cm, &inst->mod,
				      &inst->params, &err);
		if (r) {
			inst->mod.n_params = 0;
			iso_refused(iso, r, &err);
			orlop_error_done(&err);
			return;
		}
	} else {
		core_iso_desc_done(&d);
	}
	/* Parameters are known now, and with them what it reads. */
	core_host_wants_kick(iso->core);
	iso_mapped(iso);
}

/* ---- log and metrics -------------------------------------------------------------------------------------- */

static void on_log(struct core_isolate *iso, struct core_iso_in *in)
{
	uint64_t now = core_now_mono();
	uint64_t level = orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, ORLOP_LOG_INFO);
	cleanup_free char *text = core_iso_str(&in->msg, CORE_ISO_T_TEXT);
	char who[200];
	char name[160];
	char event[64];

	if (now - iso->lines_at > UINT64_C(1000000000)) {
		if (iso->lines_lost)
			CLOG(iso->core, WARN, "log_lost", "name=%s lines=%llu", iso->inst->name,
			     (unsigned long long)iso->lines_lost);
		iso->lines_at = now;
		iso->lines = iso->lines_lost = 0;
	}
	if (++iso->lines > LINES_PER_S) {
		iso->lines_lost++;
		return;
	}
	core_iso_text(&in->msg, CORE_ISO_T_NAME, name, sizeof(name));
	core_iso_text(&in->msg, CORE_ISO_T_EVENT, event, sizeof(event));
	/* Its own name is its own; the parts of its core are told apart from ours. */
	if (strcmp(name, iso->inst->name) == 0)
		(void)snprintf(who, sizeof(who), "%s", name);
	else
		(void)snprintf(who, sizeof(who), "%s:%s", iso->inst->name, name);
	core_log_write(iso->core->log, who, (int32_t)(level <= ORLOP_LOG_DEBUG ? level : ORLOP_LOG_DEBUG), event,
		       text ? text : "");
}

static void on_metric(struct core_isolate *iso, struct core_iso_in *in)
{
	cleanup_free char *name = core_iso_str(&in->msg, CORE_ISO_T_NAME);
	cleanup_free char *labels = core_iso_str(&in->msg, CORE_ISO_T_LABELS);
	cleanup_free char *help = core_iso_str(&in->msg, CORE_ISO_T_TEXT);
	cleanup_free double *bounds = omem_alloc_array(BOUNDS_MAX, sizeof(double));
	uint64_t slot = orlop_msg_u64(&in->msg, CORE_ISO_T_SLOT, ISO_WORDS);
	uint64_t type = orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0);
	struct orlop_metric *m;
	struct orlop_msgr r;
	uint32_t n = 0;

	orlop_msgr_init(&r, NULL, NULL, in->msg.body);
	while (bounds && orlop_msgr_next(&r))
		if (r.tag == CORE_ISO_T_BOUND && r.type == ORLOP_T_U64 && n < BOUNDS_MAX)
			memcpy(&bounds[n++], &r.u64, sizeof(double));
	/* Its words are handed out in order: a slot twice would count twice. */
	if (!name || !labels || !bounds || slot < iso->words_used || slot + 2 + n > ISO_WORDS || type > UINT32_MAX)
		return;
	iso->words_used = (uint32_t)slot + 2 + n;
	if (core_metric_new(iso->core->metrics, (uint32_t)type, name, labels, help, bounds, n, &m) == 0)
		(void)core_metric_import(iso->core->metrics, m, (const uint64_t *)iso->words + slot, iso);
}

/* ---- leadership ----------------------------------------------------------------------------------------------- */

static void lead_told(void *arg, int32_t gained, uint64_t token)
{
	struct iso_lead *l = arg;
	struct orlop_msgw w;

	if (!l->iso->chan)
		return;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, l->id);
	orlop_msgw_u64(&w, CORE_ISO_T_REV, gained ? token : 0);
	iso_say(l->iso, CORE_ISO_LED, &w);
	orlop_msgw_done(&w);
}

static void lead_free(struct iso_lead *l)
{
	const struct orlop_host *h = &l->iso->inst->shards[0].host;

	olist_del(&l->node);
	l->iso->n_leads--;
	h->lead_drop(l->lead);
	omem_free(l);
}

static void on_lead(struct core_isolate *iso, struct core_iso_in *in)
{
	const struct orlop_host *h = &iso->inst->shards[0].host;
	cleanup_free char *name = core_iso_str(&in->msg, CORE_ISO_T_NAME);
	struct iso_lead *l = OMEM_NEW(struct iso_lead);
	int r = l && name ? 0 : -ENOMEM;

	if (iso->n_leads >= LEADS_MAX) {
		omem_free(l);
		return;		/* it waits for ever, as if another had it */
	}
	if (r == 0) {
		l->iso = iso;
		l->id = orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0);
		r = h->lead(h, name, lead_told, l, &l->lead);
	}
	if (r) {
		omem_free(l);
		if (r == -ENOMEM)
			iso_lost(iso, "no memory for what it wants to lead");
		return;
	}
	olist_append(&iso->leads, &l->node);
	iso->n_leads++;
}

static void on_lead_drop(struct core_isolate *iso, uint64_t id)
{
	OLIST_FOREACH_SAFE(n, tmp, &iso->leads)
		if (OLIST_ENTRY(n, struct iso_lead, node)->id == id)
			lead_free(OLIST_ENTRY(n, struct iso_lead, node));
}

void iso_leads_drop(struct core_isolate *iso)
{
	struct olist *n;

	while ((n = olist_first(&iso->leads)))
		lead_free(OLIST_ENTRY(n, struct iso_lead, node));
}

/* ---- questions of the child ---------------------------------------------------------------------------------------- */

static void answer(int fd, int status, const struct orlop_error *err, int take_fd)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	core_iso_put_status(&w, status, err);
	if (status == 0 && take_fd >= 0)
		orlop_msgw_fd(&w, take_fd);
	core_iso_answer(fd, &w);
	orlop_msgw_done(&w);
	if (take_fd >= 0)
		(void)close(take_fd);
}

/* Long answers go as memory files. */
static void answer_text(int fd, const struct obuf *b)
{
	int mem = obuf_err(b) ? -1 : memfd_create("orlop-answer", MFD_CLOEXEC);
	size_t at = 0;

	while (mem >= 0 && at < b->len) {
		ssize_t n = write(mem, b->data + at, b->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			(void)close(mem);
			mem = -1;
			break;
		}
		at += (size_t)n;
	}
	answer(fd, mem < 0 ? -ENOMEM : 0, NULL, mem);
}

static void ask_listen(struct core_isolate *iso, struct core_iso_in *in)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_free char *addr = core_iso_str(&in->msg, CORE_ISO_T_NAME);
	uint32_t net = iso->image->info.rights.net;
	bool un;
	int fd = -1;
	int r;

	if (!addr) {
		answer(in->fds[0], -EPROTO, NULL, -1);
		return;
	}
	un = strncmp(addr, "unix:", 5) == 0;
	if (!(net & CORE_NET_ALL) && !(net & (un ? CORE_NET_UNIX : CORE_NET_INET)))
		r = orlop_fail(&err, EACCES, 0, "", "listen on %s: the module's modinfo does not say net=%s", addr,
			       un ? "unix" : "inet");
	else
		r = core_net_lend(iso->core->net, iso->inst->name, addr, &fd, &err);
	/* The child before it had the socket already: once is enough. */
	if (r == 0 && omap_add(&iso->lent, addr, strlen(addr), iso))
		core_net_lent_back(iso->core->net, iso->inst->name, addr);
	answer(in->fds[0], r, &err, fd);
	orlop_error_done(&err);
}

static void on_unlisten(struct core_isolate *iso, struct core_iso_in *in)
{
	cleanup_free char *addr = core_iso_str(&in->msg, CORE_ISO_T_NAME);

	if (addr && omap_del(&iso->lent, addr, strlen(addr)))
		core_net_lent_back(iso->core->net, iso->inst->name, addr);
}

void iso_sockets_drop(struct core_isolate *iso)
{
	OMAP_FOREACH(&iso->lent, e)
		core_net_lent_back(iso->core->net, iso->inst->name, e->key);
	omap_clear(&iso->lent);
}

static void ask_metrics(struct core_isolate *iso, struct core_iso_in *in)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	core_metrics_all(iso->core, &b);
	answer_text(in->fds[0], &b);
}

static void put_one(void *arg, const char *instance, const struct orlop_health *health)
{
	struct core_iso_health h;

	memset(&h, 0, sizeof(h));
	(void)snprintf(h.name, sizeof(h.name), "%s", instance);
	(void)snprintf(h.text, sizeof(h.text), "%s", health->text);
	h.ok = health->ok;
	obuf_append(arg, &h, sizeof(h));
}

static void ask_health(struct core_isolate *iso, struct core_iso_in *in)
{
	const struct orlop_host *h = &iso->inst->shards[0].host;
	cleanup_obuf struct obuf b = OBUF_INIT;

	h->health_list(h, put_one, &b);
	answer_text(in->fds[0], &b);
}

static void ask_register(struct core_isolate *iso, struct core_iso_in *in)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r;

	iso_ask_register(iso, in, &err, &r);
	answer(in->fds[0], r, &err, -1);
	orlop_error_done(&err);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------- */

static void on_reply(struct core_isolate *iso, struct core_iso_in *in)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct iso_ask *a = NULL;
	cleanup_free char *text = NULL;
	int status;

	OLIST_FOREACH(n, &iso->asks)
		if (OLIST_ENTRY(n, struct iso_ask, node)->id == in->id) {
			a = OLIST_ENTRY(n, struct iso_ask, node);
			break;
		}
	if (!a)
		return;		/* too late, or never asked */
	olist_del(&a->node);
	status = a->type == CORE_ISO_HEALTH ? 0 : core_iso_status(&in->msg, &err);
	if (a->type == CORE_ISO_HEALTH || a->type == CORE_ISO_STOP)
		iso_health_told(iso, &in->msg);
	text = core_iso_str(&in->msg, CORE_ISO_T_TEXT);
	if (a->type == CORE_ISO_STATS && text) {
		omem_free(iso->stats);
		iso->stats = omem_strdup(text);
	}
	if (a->fn)
		a->fn(a->arg, status, text ? text : "", &err);
	omem_free(a);
	orlop_error_done(&err);
}

static void on_failed(struct core_isolate *iso, struct core_iso_in *in)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = core_iso_status(&in->msg, &err);

	iso_refused(iso, r ? r : -EIO, &err);
	orlop_error_done(&err);
}

void iso_message(void *arg, struct core_iso_in *in)
{
	struct core_isolate *iso = arg;
	bool asks = in->type >= CORE_ISO_ASK_LISTEN;

	if (asks && in->n_fds != 1) {
		iso_lost(iso, "it broke the rules of its control channel");
		return;
	}
	switch (in->type) {
	case CORE_ISO_DESCRIBE:
		on_describe(iso, in);
		break;
	case CORE_ISO_READY:
		iso_health_told(iso, &in->msg);
		iso_ready(iso);
		break;
	case CORE_ISO_FAILED:
		on_failed(iso, in);
		break;
	case CORE_ISO_REPLY:
		on_reply(iso, in);
		break;
	case CORE_ISO_LOG:
		on_log(iso, in);
		break;
	case CORE_ISO_METRIC:
		on_metric(iso, in);
		break;
	case CORE_ISO_LEAD:
		on_lead(iso, in);
		break;
	case CORE_ISO_LEAD_DROP:
		on_lead_drop(iso, orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0));
		break;
	case CORE_ISO_UNLISTEN:
		on_unlisten(iso, in);
		break;
	case CORE_ISO_ASK_LISTEN:
		ask_listen(iso, in);
		break;
	case CORE_ISO_ASK_REGISTER:
	case CORE_ISO_ASK_RETIRE:
		ask_register(iso, in);
		break;
	case CORE_ISO_REQUEST:
	case CORE_ISO_CANCEL:
	case CORE_ISO_ANSWER:
	case CORE_ISO_CREDIT:
	case CORE_ISO_PUBLISH:
	case CORE_ISO_SUBSCRIBE:
		iso_mail(iso, in);
		break;
	case CORE_ISO_LAST:
		iso->rev = orlop_msg_u64(&in->msg, CORE_ISO_T_REV, iso->rev);
		/* A successor that has less has lost something. */
		if (iso->inst->rep)
			core_replacing_revision(iso->inst, iso->rev);
		break;
	case CORE_ISO_KEEP:
		iso_keep(iso, in);
		break;
	case CORE_ISO_FEED:
	case CORE_ISO_FED:
	case CORE_ISO_PAST:
		iso_feed_mail(iso, in);
		break;
	case CORE_ISO_ASK_METRICS:
		ask_metrics(iso, in);
		break;
	case CORE_ISO_ASK_HEALTH:
		ask_health(iso, in);
		break;
	default:
		iso_lost(iso, "it broke the rules of its control channel");
	}
}
