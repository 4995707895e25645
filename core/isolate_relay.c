/*
 * isolate_relay.c - the parent's end of an isolated module's bus: requests to it go to its child,
 * requests of the child go on as those of its instance.
 *
 * The instance has a link like any other, so addresses, order, limits, deadlines, cancelling and
 * replacing are the bus's own. A request is at the child at most once: when the child dies all that it
 * had is answered -ECONNRESET, "outcome unknown"; what had not left yet waits for the next child.
 */
#include "isolate_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "asks.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "cache/cache.h"
#include "host.h"
#include "isolate_mail.h"
#include "loader.h"
#include "log.h"

#define OPS_MAX		128u
#define REQUESTS_MAX	8192u	/* of one child */
#define EMITS_MAX	64u	/* parts that wait for a slow caller; who keeps to the credits has 32 */
#define NAMES_MAX	1024u	/* addresses that one module may ever ask: the bus keeps names for good */
#define NAME_LEN	255u

/* A request that the child is to answer. */
struct iso_call {
	struct olist	node;		/* iso->calls */
	struct core_isolate *iso;
	uint64_t	id;
	struct orlop_call *call;
	struct olist	parts;		/* emitted, for a caller that is slow; then the end */
	uint32_t	n_parts;
	struct core_iso_credit credit;
	bool		sent;
	struct core_iso_got *copy;	/* not sent: what is to be */
};

struct part {
	struct olist	node;
	struct core_iso_got *got;
};

/* A request of the child. */
struct iso_req {
	struct olist	node;		/* iso->reqs */
	struct core_isolate *iso;	/* NULL: the child that asked is gone */
	uint64_t	id;
	struct orlop_request *req;
};

/* ---- to the child ------------------------------------------------------------------------------------- */

static void parts_free(struct iso_call *k)
{
	struct olist *n;

	while ((n = olist_shift(&k->parts))) {
		struct part *p = OLIST_ENTRY(n, struct part, node);

		core_iso_got_free(p->got);
		omem_free(p);
	}
	k->n_parts = 0;
}

/* Answers, if there is somebody, and forgets. */
static void call_end(struct iso_call *k, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err)
{
	struct orlop_call *call = k->call;

	(void)omap_del(&k->iso->call_ids, &k->id, sizeof(k->id));
	olist_del(&k->node);
	parts_free(k);
	core_iso_got_free(k->copy);
	omem_free(k);
	core_call_done(call, status, msg, err);
}

static void call_cancelled(void *arg)
{
	struct iso_call *k = arg;

	if (k->sent && k->iso->chan)
		(void)core_iso_send(k->iso->chan, CORE_ISO_CANCEL, k->id, NULL, 0);
	else if (!k->sent)
		call_end(k, -ECANCELED, NULL, NULL);
}

static void call_writable(void *arg);

/* The bus closes what it is given even if it has no room: it gets descriptors of its own. */
static int part_emit(struct iso_call *k, const struct core_iso_got *g)
{
	struct orlop_msg m = { .size = sizeof(m) };
	int32_t fds[ORLOP_MSG_MAX_FDS];

	if (g->mail.msg)
		m = g->msg;
	m.fds = fds;
	for (uint32_t i = 0; i < m.n_fds; i++)
		fds[i] = g->fds[i] >= 0 ? fcntl(g->fds[i], F_DUPFD_CLOEXEC, 3) : -1;
	return core_call_emit(k->call, &m);
}

/* Passes on what waits, as far as the caller takes it. */
static void parts_flush(struct iso_call *k)
{
	struct olist *n;

	while ((n = olist_first(&k->parts))) {
		struct part *p = OLIST_ENTRY(n, struct part, node);
		struct core_iso_got *g = p->got;

		if (g->mail.flags & ORLOP_REPLY_MORE) {
			int r = part_emit(k, g);

			if (r == -EAGAIN) {
				core_call_on_writable(k->call, call_writable, k);
				return;
			}
			core_iso_consumed(k->iso->chan, k->id, &k->credit, g->mail.msg);
		} else {
			olist_del(n);
			omem_free(p);
			call_end(k, g->mail.status, g->mail.status < 0 ? NULL : g->mail.msg, g->mail.err);
			if (g->mail.status >= 0)
				g->msg.n_fds = 0;	/* taken */
			core_iso_got_free(g);
			return;
		}
		olist_del(n);
		k->n_parts--;
		core_iso_got_free(g);
		omem_free(p);
	}
}

static void call_writable(void *arg)
{
	parts_flush(arg);
}

static int request_send(struct core_isolate *iso, uint64_t id, const struct core_iso_mail *m)
{
	return core_iso_mail_send(iso->chan, CORE_ISO_REQUEST, id, m);
}

static struct orlop_bytes text_keep(char **at, struct orlop_bytes b)
{
	struct orlop_bytes kept = { *at, b.len };

	if (b.len)
		memcpy(*at, b.p, b.len);
	*at += b.len;
	return kept;
}

/* All of a request that must wait for the next child. */
static int request_keep(const struct core_iso_mail *m, struct core_iso_got **ret)
{
	struct core_iso_got *g = OMEM_NEW(struct core_iso_got);
	size_t len = m->msg->body.len + m->who->user.len + m->who->uid.len;
	char *at;

	for (uint32_t i = 0; i < m->who->n_groups; i++)
		len += m->who->groups[i].len;
	if (g) {
		g->data = omem_alloc(len + 1);
		g->groups = omem_zalloc_array(m->who->n_groups + 1, sizeof(*g->groups));
	}
	if (!g || !g->data || !g->groups) {
		core_iso_got_free(g);
		return -ENOMEM;
	}
	at = g->data;
	g->mail = *m;
	g->msg = *m->msg;
	g->mail.msg = &g->msg;
	g->msg.body = text_keep(&at, m->msg->body);
	g->mail.who = &g->who;
	g->who.size = sizeof(g->who);
	g->who.user = text_keep(&at, m->who->user);
	g->who.uid = text_keep(&at, m->who->uid);
	g->who.n_groups = m->who->n_groups;
	g->who.groups = g->groups;
	for (uint32_t i = 0; i < m->who->n_groups; i++)
		g->groups[i] = text_keep(&at, m->who->groups[i]);
	g->msg.blobs = g->blobs;
	g->msg.fds = g->fds;
	for (uint32_t i = 0; i < m->msg->n_blobs; i++)
		g->blobs[i] = core_blob_ref(m->msg->blobs[i]);
	for (uint32_t i = 0; i < m->msg->n_fds; i++) {
		g->fds[i] = m->msg->fds[i];
		m->msg->fds[i] = -1;
	}
	*ret = g;
	return 0;
}

/* Every op of the instance: the child's module has it or has not. */
static int relay_op(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct core_isolate *iso = ctx;
	struct core_iso_mail m = { .op = req->op, .deadline_ns = req->deadline_ns, .key = req->key,
				   .trace = req->trace, .who = req->who, .msg = &req->msg };
	struct iso_call *k = OMEM_NEW(struct iso_call);
	int r;

	if (!k)
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", iso->inst->name);
	k->iso = iso;
	k->id = ++iso->last_id;
	k->call = call;
	olist_init(&k->parts);
	r = omap_put(&iso->call_ids, &k->id, sizeof(k->id), k, NULL);
	if (r == 0 && iso->state == ISO_UP) {
		r = request_send(iso, k->id, &m);
		/* The bus does not close what we have sent. */
		for (uint32_t i = 0; i < req->msg.n_fds; i++)
			req->msg.fds[i] = -1;
		/* Its end has not been told yet: this has not left, and waits for the next. Descriptors are gone, though. */
		if (r == -EPIPE)
			r = req->msg.n_fds ? -ECONNRESET : request_keep(&m, &k->copy);
		k->sent = !k->copy;
	} else if (r == 0) {
		r = request_keep(&m, &k->copy);
	}
	if (r) {
		(void)omap_del(&iso->call_ids, &k->id, sizeof(k->id));
		omem_free(k);
		return orlop_fail(err, -r, 0, "", "module %s: %s", iso->inst->name, strerrordesc_np(-r));
	}
	olist_append(&iso->calls, &k->node);
	core_call_on_cancel(call, call_cancelled, k);
	return 0;
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[OPS_MAX];
} relay_ops = { sizeof(relay_ops), 0, { [1 ... OPS_MAX - 1] = relay_op } };

/* Ends it for who asked; the child may still be at it. */
static void call_drop(struct iso_call *k, int r)
{
	(void)core_iso_send(k->iso->chan, CORE_ISO_CANCEL, k->id, NULL, 0);
	call_end(k, r, NULL, NULL);
}

static void on_answer(struct core_isolate *iso, struct core_iso_got *take_got)
{
	struct iso_call *k = omap_get(&iso->call_ids, &take_got->id, sizeof(take_got->id));
	struct part *p = k ? OMEM_NEW(struct part) : NULL;

	if (!p || k->n_parts >= EMITS_MAX) {
		omem_free(p);
		core_iso_got_free(take_got);
		if (k)
			call_drop(k, -ENOBUFS);
		return;
	}
	p->got = take_got;
	olist_append(&k->parts, &p->node);
	if (k->n_parts++ == 0)
		parts_flush(k);
}

/* ---- from the child ---------------------------------------------------------------------------------------- */

static bool acts_for_others(const struct core_instance *inst)
{
	for (char **p = inst->provides; p && *p; p++)
		if (strcmp(*p, "api") == 0)
			return true;
	return false;
}

static void refuse(struct core_isolate *iso, uint64_t id, int r, const char *why)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_iso_mail m = { .status = r, .err = &err };

	(void)orlop_fail(&err, -r, 0, "", "%s", why);
	/* It must not wait for ever for what was never sent. */
	if (core_iso_mail_send(iso->chan, CORE_ISO_ANSWER, id, &m) == -ENOMEM)
		iso_lost(iso, "no memory to answer it");
}

static void req_answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
			 uint32_t flags)
{
	struct iso_req *q = arg;
	struct core_isolate *iso = q->iso;
	struct core_iso_mail m = { .status = status, .flags = flags, .err = err, .msg = msg };
	bool done = !(flags & ORLOP_REPLY_MORE);
	int r = 0;

	if (iso && iso->chan) {
		/* What the answer speaks of is read there before it. */
		iso_feed_go(iso);
		r = core_iso_mail_send(iso->chan, CORE_ISO_ANSWER, q->id, &m);
		for (uint32_t i = 0; msg && i < msg->n_fds; i++)
			msg->fds[i] = -1;	/* sent, and closed here */
		if (r && r != -EPIPE)
			refuse(iso, q->id, r, "the answer cannot be passed on to its process");
	}
	if (iso && (done || (r && r != -EPIPE))) {
		(void)omap_del(&iso->req_ids, &q->id, sizeof(q->id));
		olist_del(&q->node);
		q->iso = NULL;
	}
	if (done)
		omem_free(q);
	else if (iso && !q->iso)
		core_request_cancel(q->req);
}

/* "storage" is for those who say that they need it. */
static bool may_ask(const struct core_isolate *iso, const struct core_iso_got *g)
{
	if (strncmp(g->to, "storage", 7) != 0 || (g->to[7] != '\0' && g->to[7] != '/'))
		return true;
	for (char **p = iso->inst->needs; p && *p; p++)
		if (strncmp(*p, "storage", 7) == 0)
			return true;
	return false;
}

static bool is_name(const char *name, const char *to)
{
	size_t n = name ? strlen(name) : 0;

	return n && strncmp(to, name, n) == 0 && (to[n] == '\0' || to[n] == '/');
}

/* Does the API answer there, under whatever name? */
static bool is_api(struct core *c, const char *to)
{
	bool is = is_name("api", to) || is_name("apiserver", to) || is_name("uplink", to);

	OLIST_FOREACH(n, &c->instances) {
		const struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

		if (is || !acts_for_others(inst))
			continue;
		is = is_name(inst->name, to) || is_name(inst->class_name, to) || is_name(inst->class_slash, to);
		for (char **p = inst->provides; !is && *p; p++)
			is = is_name(*p, to);
	}
	return is;
}

static bool name_allowed(struct core_isolate *iso, const char *to)
{
	if (omap_has(&iso->asked, to, strlen(to)))
		return true;
	return strlen(to) <= NAME_LEN && omap_count(&iso->asked) < NAMES_MAX &&
		omap_add(&iso->asked, to, strlen(to), iso) == 0;
}

static void on_request(struct core_isolate *iso, struct core_iso_got *g)
{
	struct orlop_send send = { .size = sizeof(send), .op = g->mail.op, .to = g->to, .key = g->mail.key,
				   .trace = g->mail.trace, .timeout_ns = UINT64_MAX };
	const struct orlop_msg none = { .size = sizeof(none) };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct iso_req *q;
	int r;

	if (!g->to || omap_has(&iso->req_ids, &g->id, sizeof(g->id))) {
		iso_lost(iso, "it broke the rules of its control channel");
		return;
	}
	if (!name_allowed(iso, g->to)) {
		refuse(iso, g->id, -ENOSPC, "it has asked at too many addresses, or at one that is too long");
		return;
	}
	if (!may_ask(iso, g)) {
		refuse(iso, g->id, -EACCES, "its modinfo does not say needs=storage");
		return;
	}
	if (iso->inst->asks && is_api(iso->inst->core, g->to) &&
	    core_asks_may(iso->inst->asks, iso->inst->name, g->mail.op, g->mail.msg ? &g->msg : &none, &err)) {
		CLOG(iso->inst->core, WARN, "module_forbidden", "why=\"%s\"", err.msg);
		refuse(iso, g->id, -EACCES, err.msg);
		return;
	}
	if (omap_count(&iso->req_ids) >= REQUESTS_MAX) {
		refuse(iso, g->id, -EBUSY, "too many requests are open");
		return;
	}
	q = OMEM_NEW(struct iso_req);
	if (!q || omap_put(&iso->req_ids, &g->id, sizeof(g->id), q, NULL)) {
		omem_free(q);
		refuse(iso, g->id, -ENOMEM, "out of memory");
		return;
	}
	q->iso = iso;
	q->id = g->id;
	olist_append(&iso->reqs, &q->node);
	if (g->mail.msg)
		send.msg = g->msg;
	send.msg.size = sizeof(send.msg);
	send.who = acts_for_others(iso->inst) ? g->mail.who : NULL;
	if (g->mail.deadline_ns) {
		uint64_t now = core_now_mono();

		send.timeout_ns = g->mail.deadline_ns > now ? g->mail.deadline_ns - now : 1;
	}
	r = core_link_request(iso->inst->shards[0].link, &send, req_answered, q, &q->req);
	g->msg.n_fds = 0;	/* taken */
	if (r) {
		(void)omap_del(&iso->req_ids, &q->id, sizeof(q->id));
		olist_del(&q->node);
		omem_free(q);
		refuse(iso, g->id, r, strerrordesc_np(-r));
	} else {
		core_request_relay(q->req);
	}
}

/* One that cannot be taken ends what it belongs to, and nothing else. */
static void mail_too_much(struct core_isolate *iso, struct core_iso_in *in, int r)
{
	struct iso_call *k;

	if (in->type == CORE_ISO_REQUEST) {
		refuse(iso, in->id, r, r == -ENOBUFS ? "more of its blobs are held here than it may have" :
		       "out of memory");
		return;
	}
	k = in->type == CORE_ISO_ANSWER ? omap_get(&iso->call_ids, &in->id, sizeof(in->id)) : NULL;
	if (k && k->sent)
		call_drop(k, r);
}

void iso_mail(struct core_isolate *iso, struct core_iso_in *in)
{
	struct core_iso_got *g;
	struct iso_req *q;
	int r;

	if (in->type == CORE_ISO_CANCEL || in->type == CORE_ISO_CREDIT) {
		q = omap_get(&iso->req_ids, &in->id, sizeof(in->id));
		if (q && in->type == CORE_ISO_CANCEL)
			core_request_cancel(q->req);
		else if (q)
			core_request_consumed(q->req, orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0),
					      orlop_msg_u64(&in->msg, CORE_ISO_T_REV, 0));
		return;
	}
	r = iso->meter ? 0 : core_iso_meter_new(&iso->meter);
	if (r == 0)
		r = core_iso_mail_get(in, iso->meter, &g);
	if (r == -ENOMEM || r == -ENOBUFS) {
		mail_too_much(iso, in, r);
		return;
	}
	if (r) {
		iso_lost(iso, "it broke the rules of its control channel");
		return;
	}
	if (in->type == CORE_ISO_ANSWER) {
		on_answer(iso, g);
		return;
	}
	if (in->type == CORE_ISO_PUBLISH)
		iso_topic_publish(iso, g);
	else if (in->type == CORE_ISO_SUBSCRIBE)
		iso_topic_subscribe(iso, g);
	else
		on_request(iso, g);
	core_iso_got_free(g);
}

/* ---- between children ------------------------------------------------------------------------------------------ */

/* The child is gone: what it had is told, what it asked is given up. */
void iso_relay_down(struct core_isolate *iso)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	(void)orlop_fail(&err, ECONNRESET, 0, "", "module %s: %s: outcome unknown", iso->inst->name,
			 iso->last_exit[0] ? iso->last_exit : "its process has ended");
	OLIST_FOREACH_SAFE(n, tmp, &iso->calls) {
		struct iso_call *k = OLIST_ENTRY(n, struct iso_call, node);

		if (k->sent)
			call_end(k, -ECONNRESET, NULL, &err);
	}
	OLIST_FOREACH_SAFE(n, tmp, &iso->reqs) {
		struct iso_req *q = OLIST_ENTRY(n, struct iso_req, node);

		(void)omap_del(&iso->req_ids, &q->id, sizeof(q->id));
		olist_del(&q->node);
		q->iso = NULL;
		core_request_cancel(q->req);
	}
}

/* The next child is up: what waited goes to it. */
void iso_relay_up(struct core_isolate *iso)
{
	OLIST_FOREACH_SAFE(n, tmp, &iso->calls) {
		struct iso_call *k = OLIST_ENTRY(n, struct iso_call, node);
		int r;

		if (k->sent)
			continue;
		r = request_send(iso, k->id, &k->copy->mail);
		if (r == -EPIPE && !k->copy->msg.n_fds)
			continue;
		if (r == -EPIPE)
			r = -ECONNRESET;
		k->copy->msg.n_fds = 0;
		core_iso_got_free(k->copy);
		k->copy = NULL;
		k->sent = true;
		if (r)
			call_end(k, r, NULL, NULL);
	}
}

/* Nobody will answer any more. */
void iso_relay_end(struct core_isolate *iso)
{
	struct olist *n;

	iso_relay_down(iso);
	while ((n = olist_first(&iso->calls)))
		call_end(OLIST_ENTRY(n, struct iso_call, node), -ECONNRESET, NULL, NULL);
}

const struct orlop_ops *iso_relay_ops(void)
{
	return (const struct orlop_ops *)(const void *)&relay_ops;
}
