/*
 * api.c - the address "api" on a machine without one: requests become HTTPS requests.
 *
 * A request that never left is sent again until its deadline; so is a read whose answer got lost. A write
 * whose answer got lost is "outcome unknown" (-ECONNRESET): never repeated. 429 and Retry-After are
 * waited for. The answer to a write waits until this process sees it (wait.c).
 */
#include "up.h"

#include "apimsg/oapimsg.h"
#include "base/ocleanup.h"
#include "json/oscan.h"
#include "record/orecord.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAUSES_MAX	10u		/* 429s of one request */
#define TRY_NS		(60 * UP_NS_PER_S)
#define WAITING_MAX	20000u

struct up_op;

/* One request of a call; a batch has several. */
struct up_part {
	struct up_op	*op;
	struct olist	node;		/* u->waiting, u->active, or none */
	uint32_t	n;
	const char	*method;
	struct oapi_request q;		/* borrowed from the call */
	struct up_call	*call;
	struct orlop_timer *timer;	/* a pause */
	unsigned int	tries;
	unsigned int	calmed;
	bool		write;
	bool		paused;
	bool		ended;
};

struct up_op {
	struct up	*u;
	const struct orlop_req *req;
	struct orlop_call *call;
	bool		batch;
	bool		cancelled;
	uint32_t	n;
	uint32_t	left;
	int		unknown;	/* -errno of a request alone: its answer is that */
	struct oapi_answer *answers;
	struct up_part	part[];
};

static const struct {
	const char	*verb;
	const char	*method;
	bool		write;
} verbs[] = {
	{ "get", "GET", false }, { "list", "GET", false }, { "create", "POST", true }, { "update", "PUT", true },
	{ "patch", "PATCH", true }, { "delete", "DELETE", true }, { "deletecollection", "DELETE", true },
};

static void pump(struct up *u);

/* ---- ends ----------------------------------------------------------------------------------------------- */

static void op_unref(struct up_op *o)
{
	const struct orlop_host *h = o->u->h;

	if (--o->left)
		return;
	if (o->unknown && !o->batch) {
		struct orlop_error err = ORLOP_ERROR_INIT;

		orlop_fail(&err, -o->unknown, 0, "", o->unknown == -ECONNRESET ?
			   "the connection to the API server was lost: the outcome is unknown" :
			   o->unknown == -ETIMEDOUT ? "no answer of the API server in time" : "not sent to the API server");
		h->blob_unref(o->answers[0].body);
		h->call_done(o->call, o->unknown, NULL, &err);
		orlop_error_done(&err);
	} else {
		oapi_done(h, o->call, o->batch, o->answers, o->n);
	}
	omem_free(o);
}

static void part_end(struct up_part *p)
{
	struct up *u = p->op->u;

	if (p->ended)
		return;
	p->ended = true;
	olist_del(&p->node);
	u->h->timer_free(p->timer);
	p->timer = NULL;
	u->n_done++;
	op_unref(p->op);
}

/* A Status of our own making. */
static void answer_status(struct up_part *p, uint32_t code, const char *reason, const char *text)
{
	struct oapi_answer *a = &p->op->answers[p->n];
	struct obuf b = OBUF_INIT;
	size_t len;
	char *s;

	a->code = code;
	snprintf(a->reason, sizeof(a->reason), "%s", reason);
	obuf_puts(&b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":");
	obuf_put_json_cstr(&b, text);
	obuf_printf(&b, ",\"reason\":\"%s\",\"code\":%u}\n", reason, code);
	s = obuf_steal(&b, &len);
	if (s && p->op->u->h->blob_take(p->op->u->h, s, len, &a->body))
		a->body = NULL;
}

/* Nothing came back: what the caller may believe. */
static void part_lost(struct up_part *p, int err, const char *why)
{
	struct up *u = p->op->u;

	if (err == -ECONNRESET)
		u->n_unknown++;
	p->op->unknown = err;
	answer_status(p, err == -ETIMEDOUT ? 504 : err == -ECONNRESET ? 500 : 503,
		      err == -ETIMEDOUT ? "Timeout" : err == -ECONNRESET ? "InternalError" : "ServiceUnavailable", why);
	part_end(p);
}

/* ---- answers -------------------------------------------------------------------------------------------- */

static void on_seen(void *arg, uint64_t rev)
{
	struct up_part *p = arg;

	p->op->answers[p->n].rev = rev;
	part_end(p);
}

static struct orlop_bytes text_at(struct orlop_bytes v, const char *a, const char *b)
{
	const char *const path[] = { a, b, NULL };
	struct orlop_bytes t = { NULL, 0 }, out;

	if (!oscan_find(v, path, &t) || oscan_type(t) != OSCAN_STRING || !oscan_plain(t, &out))
		return (struct orlop_bytes){ NULL, 0 };
	return out;
}

/* A write has been done: wait until it is seen here. */
static void part_wait(struct up_part *p, struct orlop_bytes body)
{
	struct up *u = p->op->u;
	struct up_kind *k = up_kind_find(u, p->q.resource);
	struct up_await w = { .resource = p->q.resource, .ns = p->q.ns, .name = p->q.name, .object = body };
	struct orlop_bytes kind = { "\"\"", 2 };
	struct orecord_head head = { .rev = 0 };
	bool is_status;

	(void)oscan_get(body, "kind", &kind);
	is_status = oscan_string_is_cstr(kind, "Status");
	if (!is_status && orecord_head(body, &head) == 0) {
		w.name = head.name;
		w.ns = head.ns;
	}
	if (!strcmp(p->method, "DELETE") && p->q.name.len && !head.deleting) {
		w.uid = is_status ? text_at(body, "details", "uid") : head.uid;
		up_await(u, &w, on_seen, p);
	} else if (ostr_is(p->q.sub.p, p->q.sub.len, "binding")) {
		w.bound = true;
		up_await(u, &w, on_seen, p);
	} else if (head.rev && k && (oscan_string_is_cstr(kind, k->kind) || oscan_string_is_cstr(kind, "Scale"))) {
		w.rev = head.rev;
		up_await(u, &w, on_seen, p);
	} else {
		on_seen(p, head.rev);
	}
}

/* After @ns, back into the line. */
static void part_pause(struct up_part *p, uint64_t ns)
{
	struct up *u = p->op->u;
	uint64_t now = u->h->now_mono(u->h), end = p->op->req->deadline_ns;

	if (p->op->cancelled || u->stopping || (end && now + ns >= end)) {
		part_lost(p, p->op->cancelled || u->stopping ? -ECANCELED : -ETIMEDOUT, "the API server cannot be reached");
		return;
	}
	if (!p->timer) {
		part_lost(p, -ENOMEM, "no memory");
		return;
	}
	p->paused = true;
	olist_append(&u->waiting, &p->node);
	u->n_waiting++;
	u->h->timer_set(p->timer, ns, 0);
}

static void on_timer(void *arg)
{
	struct up_part *p = arg;

	p->paused = false;
	pump(p->op->u);
}

static void on_answer(void *arg, const struct up_answer *a)
{
	struct up_part *p = arg;
	struct up *u = p->op->u;
	struct oapi_answer *to = &p->op->answers[p->n];
	bool again = a->err && (!a->sent || !p->write) && a->err != -EMSGSIZE && a->err != -ENOMEM;
	struct up_status st;
	char text[400];

	p->call = NULL;
	olist_del(&p->node);
	u->n_active--;
	if (again || (!a->err && a->retry_after_s && p->calmed < PAUSES_MAX &&
		      (a->status == 429 || (!p->write && a->status >= 500)))) {
		uint64_t ns = a->err ? up_backoff(u->h, p->tries++) : a->retry_after_s * UP_NS_PER_S;

		p->calmed += !a->err;
		part_pause(p, ns);
	} else if (a->err) {
		part_lost(p, a->err == -ETIMEDOUT || a->err == -ENOMEM || a->err == -EMSGSIZE ? a->err : -ECONNRESET, a->why);
	} else {
		to->code = (uint32_t)a->status;
		if (oscan_check(a->body.p ? a->body.p : "", a->body.len, OSCAN_DEPTH_MAX, NULL, NULL)) {
			/* not the API: a proxy in between, or a server that breaks off */
			answer_status(p, a->status >= 400 ? (uint32_t)a->status : 502, "InternalError",
				      up_explain(u->remote, a, text, sizeof(text)));
			part_end(p);
		} else if (u->h->blob_new(u->h, a->body.p, a->body.len, &to->body)) {
			to->body = NULL;
			part_lost(p, -ENOMEM, "no memory");
		} else if (a->status >= 400) {
			up_status_parse(a->body, &st);
			memcpy(to->reason, st.reason, sizeof(to->reason));
			part_end(p);
		} else if (p->write) {
			part_wait(p, a->body);
		} else {
			part_end(p);
		}
	}
	pump(u);
}

/* ---- requests ------------------------------------------------------------------------------------------- */

/* Is there a parameter of this name in the query? */
static bool has_param(struct orlop_bytes q, const char *name)
{
	size_t n = strlen(name), at = 0;

	while (at < q.len) {
		const char *amp = memchr(q.p + at, '&', q.len - at);

		if (q.len - at > n && memcmp(q.p + at, name, n) == 0 && q.p[at + n] == '=')
			return true;
		if (!amp)
			return false;
		at = (size_t)(amp - q.p) + 1;
	}
	return false;
}

static void put_target(struct up_part *p, const struct up_kind *k, struct obuf *b)
{
	struct orlop_bytes m = p->q.manager.len ? p->q.manager : p->op->req->who->user;
	char sep = '?';

	up_path(b, k, p->q.version, p->q.ns);
	if (p->q.name.len) {
		obuf_putc(b, '/');
		up_put_escaped(b, p->q.name.p, p->q.name.len);
	}
	if (p->q.sub.len) {
		obuf_putc(b, '/');
		up_put_escaped(b, p->q.sub.p, p->q.sub.len);
	}
	if (p->q.query.len) {
		obuf_putc(b, sep);
		obuf_append(b, p->q.query.p, p->q.query.len);
		sep = '&';
	}
	if (p->write && m.len && p->method[0] != 'D' && !has_param(p->q.query, "fieldManager")) {
		obuf_printf(b, "%cfieldManager=", sep);
		up_put_escaped(b, m.p, m.len < 128 ? m.len : 128);
	}
}

/* Whom to act as: a module's own user, if that is one that an API server can know. */
static const struct orlop_identity *as(const struct up_part *p)
{
	const struct orlop_identity *who = p->op->req->who;

	return p->op->u->impersonate && who->user.len && !ostr_starts(who->user.p, who->user.len, "orlop:") ? who : NULL;
}

static void part_send(struct up_part *p)
{
	struct up *u = p->op->u;
	const struct up_kind *k = up_kind_want(u, p->q.resource);
	uint64_t end = p->op->req->deadline_ns, now = u->h->now_mono(u->h);
	struct up_request q = { .method = p->method, .body = p->q.body, .as = as(p), .timeout_ns = TRY_NS };
	cleanup_free char *type = NULL;
	struct obuf b = OBUF_INIT;
	char text[200];
	int r;

	if (!k) {
		snprintf(text, sizeof(text), "the server could not find the requested resource: \"%.*s\"", OB(p->q.resource));
		answer_status(p, 404, "NotFound", text);
		part_end(p);
		return;
	}
	if (end && end <= now) {
		part_lost(p, -ETIMEDOUT, "the API server cannot be reached");
		return;
	}
	if (end && end - now < q.timeout_ns)
		q.timeout_ns = end - now;
	put_target(p, k, &b);
	if (p->q.content_type.len)
		type = omem_strndup(p->q.content_type.p, p->q.content_type.len);
	q.content_type = type;
	q.target = obuf_cstr(&b);
	r = obuf_err(&b) || (p->q.content_type.len && !type) ? -ENOMEM : up_remote_send(u->remote, &q, on_answer, p, &p->call);
	obuf_done(&b);
	if (r == -EINVAL) {
		answer_status(p, 400, "BadRequest", "a name or option that cannot stand in a request");
		part_end(p);
	} else if (r) {
		part_lost(p, r, "no memory");
	} else {
		olist_append(&u->active, &p->node);
		u->n_active++;
	}
}

/* Whoever waits and may go, in order. */
static void pump(struct up *u)
{
	struct olist *at;

	if (!u->disco_at || u->stopping)
		return;
	for (at = u->waiting.next; at != &u->waiting && u->n_active < u->max_requests;) {
		struct up_part *p = OLIST_ENTRY(at, struct up_part, node);

		at = at->next;
		if (p->paused)
			continue;
		olist_del(&p->node);
		u->n_waiting--;
		part_send(p);
		at = u->waiting.next;	/* what was next may have gone meanwhile */
	}
}

void up_api_go(struct up *u)
{
	pump(u);
}

/* The caller gave up: what waits ends now, what is under way when it ends. */
static void on_cancel(void *arg)
{
	struct up_op *o = arg;

	o->cancelled = true;
	o->left++;
	for (uint32_t i = 0; i < o->n; i++) {
		struct up_part *p = &o->part[i];

		if (p->ended || p->call || olist_empty(&p->node))
			continue;
		olist_del(&p->node);
		o->u->n_waiting--;
		part_lost(p, -ECANCELED, "cancelled");
	}
	op_unref(o);
}

static void part_begin(struct up_part *p)
{
	struct up *u = p->op->u;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (ostr_is(p->q.verb.p, p->q.verb.len, verbs[i].verb)) {
			p->method = verbs[i].method;
			p->write = verbs[i].write;
		}
	if (!p->method) {
		char text[100];

		snprintf(text, sizeof(text), "unknown verb \"%.*s\"", OB(p->q.verb));
		answer_status(p, 400, "BadRequest", text);
		part_end(p);
	} else if (u->stopping || u->n_waiting >= WAITING_MAX || u->h->timer_new(u->h, on_timer, p, &p->timer)) {
		part_lost(p, u->stopping ? -ECANCELED : -ENOMEM, "too much is waiting for the API server");
	} else {
		olist_append(&u->waiting, &p->node);
		u->n_waiting++;
	}
}

int up_api_call(struct up *u, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct oapi_iter it = { 0 };
	bool batch;
	uint32_t n = oapi_count(u->h, req, &batch);
	struct up_op *o = omem_zalloc(sizeof(*o) + n * (sizeof(o->part[0]) + sizeof(o->answers[0])));

	if (!o)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	o->u = u;
	o->req = req;
	o->call = call;
	o->batch = batch;
	o->n = n;
	o->answers = (struct oapi_answer *)(void *)&o->part[n];
	o->left = n + 1;
	for (uint32_t i = 0; i < n; i++) {
		struct up_part *p = &o->part[i];

		p->op = o;
		p->n = i;
		olist_init(&p->node);
		(void)oapi_next(u->h, req, &it, &p->q);
		part_begin(p);
	}
	u->h->call_on_cancel(call, on_cancel, o);
	op_unref(o);
	pump(u);
	return 0;
}

void up_api_free(struct up *u)
{
	struct olist *l;

	while ((l = olist_shift(&u->waiting)) != NULL)
		part_lost(OLIST_ENTRY(l, struct up_part, node), -ECANCELED, "stopping");
	u->n_waiting = 0;
	while ((l = olist_shift(&u->active)) != NULL) {
		struct up_part *p = OLIST_ENTRY(l, struct up_part, node);

		up_remote_cancel(p->call);
		p->call = NULL;
		u->n_active--;
		part_lost(p, p->write ? -ECONNRESET : -ECANCELED, "stopping");
	}
}
