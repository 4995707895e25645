/* remote.c - requests by lib/http, each with the credentials of the configuration. */
#include "remote.h"

#include "base/ocleanup.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "http/oclient.h"
#include "json/oscan.h"
#include "tls/otls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECOND		UINT64_C(1000000000)
#define HEAD_NS		(30 * SECOND)
#define BODY_MAX	((size_t)64 << 20)
#define ERROR_MAX	((size_t)1 << 20)
#define HEADERS_MAX	40u
#define KEEP_MAX	16u
#define KEEP_NS		(90 * SECOND)

struct up_remote {
	const struct orlop_host *h;
	struct up_config cfg;
	struct otls_ctx	*tls;
	struct ohttp_client *http;
	struct olist	calls;
	uint64_t	down_since;	/* 0: the last request was answered */
	uint64_t	down_n;
	char		down_why[200];
	struct up_remote_stats stats;
};

struct up_call {
	struct up_remote *r;
	struct olist	node;
	struct ohttp_creq *req;
	struct orlop_timer *timer;
	up_answer_fn	fn;
	up_data_fn	data;
	void		*arg;
	uint64_t	deadline;
	uint64_t	idle_ns;
	uint64_t	last;		/* byte */
	size_t		max_body;
	int		status;
	uint32_t	retry_after_s;
	struct obuf	body;
};

uint64_t up_backoff(const struct orlop_host *h, unsigned int n)
{
	uint64_t ns = SECOND / 10 << (n < 9 ? n : 9), by;

	if (ns > 30 * SECOND)
		ns = 30 * SECOND;
	h->random(h, &by, sizeof(by));
	return ns / 2 + by % (ns / 2);
}

/* ---- is it there? --------------------------------------------------------------------------------------- */

static void note_failure(struct up_remote *r, const char *why)
{
	r->stats.failures++;
	r->down_n++;
	if (r->down_since && strcmp(r->down_why, why) == 0)
		return;
	if (!r->down_since)
		r->down_since = r->h->now_mono(r->h);
	snprintf(r->down_why, sizeof(r->down_why), "%s", why);
	OLOG(r->h, WARN, "server_lost", "server=%s why=\"%s\": trying again, with pauses up to 30 s", r->cfg.k.addr, why);
}

static void note_answer(struct up_remote *r)
{
	if (!r->down_since)
		return;
	OLOG(r->h, INFO, "server_back", "server=%s after_ms=%llu failed=%llu", r->cfg.k.addr,
	     (unsigned long long)((r->h->now_mono(r->h) - r->down_since) / 1000000), (unsigned long long)r->down_n);
	r->down_since = 0;
	r->down_n = 0;
}

/* ---- answers -------------------------------------------------------------------------------------------- */

static void call_free(struct up_call *c)
{
	olist_del(&c->node);
	c->r->stats.active--;
	c->r->h->timer_free(c->timer);
	obuf_done(&c->body);
	omem_free(c);
}

static void call_end(struct up_call *c, int err, bool sent, const char *why)
{
	struct up_answer a = {
		.err = err, .sent = sent, .status = c->status, .retry_after_s = c->retry_after_s, .why = why,
		.body = { c->body.data, c->body.len },
	};
	char text[200];

	c->req = NULL;
	if (err && c->status == 0 && err != -ECANCELED) {
		const char *hint = strstr(why, "certificate") ? c->r->cfg.k.insecure ? "" :
				   " (does certificate-authority fit this server?)" : "";

		snprintf(text, sizeof(text), "%s%s", why, hint);
		a.why = text;
		note_failure(c->r, text);
	}
	if (c->fn)
		c->fn(c->arg, &a);
	call_free(c);
}

static void on_head(void *arg, struct ohttp_creq *req, const struct ohttp_response *res)
{
	struct up_call *c = arg;
	struct orlop_bytes after = ohttp_response_header(res, "Retry-After");
	uint64_t s;

	(void)req;
	c->status = res->status;
	if (after.len && ostr_to_u64(after.p, after.len, &s) == 0)
		c->retry_after_s = s > 3600 ? 3600 : (uint32_t)s;
	note_answer(c->r);
}

/* Ends it from inside one of the client's callbacks or a timer. */
static void call_break(struct up_call *c, int err, const char *why)
{
	struct ohttp_creq *req = c->req;
	bool sent = req && ohttp_creq_sent(req);

	c->req = NULL;
	ohttp_creq_cancel(req);
	call_end(c, err, sent, why);
}

static void on_data(void *arg, struct ohttp_creq *req, const char *p, size_t len)
{
	struct up_call *c = arg;
	int r;

	(void)req;
	c->last = c->r->h->now_mono(c->r->h);
	c->r->stats.bytes_in += len;
	if (c->data && c->status == 200) {
		r = c->data(c->arg, p, len);
		if (r < 0)
			call_break(c, r, "broken off");
		return;
	}
	if (c->body.len + len > (c->data ? ERROR_MAX : c->max_body)) {
		call_break(c, -EMSGSIZE, "the answer is too large");
		return;
	}
	obuf_append(&c->body, p, len);
	if (obuf_err(&c->body))
		call_break(c, -ENOMEM, "no memory for the answer");
}

static void on_end(void *arg, struct ohttp_creq *req, int err, const char *why)
{
	struct up_call *c = arg;

	call_end(c, err, ohttp_creq_sent(req), why);
}

static const struct ohttp_client_ops client_ops = { .head = on_head, .data = on_data, .end = on_end };

static void arm(struct up_call *c)
{
	uint64_t now = c->r->h->now_mono(c->r->h), at = c->deadline;

	if (c->idle_ns && c->last + c->idle_ns < at)
		at = c->last + c->idle_ns;
	c->r->h->timer_set(c->timer, at > now ? at - now : 1, 0);
}

static void on_timer(void *arg)
{
	struct up_call *c = arg;
	uint64_t now = c->r->h->now_mono(c->r->h);

	if (now >= c->deadline)
		call_break(c, -ETIMEDOUT, c->data ? "the watch did not end by itself" : "no complete answer in time");
	else if (c->idle_ns && now >= c->last + c->idle_ns)
		call_break(c, -ETIMEDOUT, "the server has gone silent");
	else
		arm(c);
}

/* ---- requests ------------------------------------------------------------------------------------------- */

struct head {
	struct ohttp_header v[HEADERS_MAX];
	size_t		n;
	struct obuf	text[2];	/* values that were made */
};

static void put(struct head *h, const char *name, const char *value, size_t len)
{
	if (h->n < HEADERS_MAX) {
		h->v[h->n].name = (struct orlop_bytes){ name, strlen(name) };
		h->v[h->n++].value = (struct orlop_bytes){ value, len };
	}
}

static void put_identity(struct head *h, const struct okubeconfig *c, const struct orlop_identity *as)
{
	if (c->token) {
		obuf_printf(&h->text[0], "Bearer %s", c->token);
		put(h, "Authorization", obuf_cstr(&h->text[0]), h->text[0].len);
	} else if (c->basic) {
		obuf_printf(&h->text[0], "Basic %s", c->basic);
		put(h, "Authorization", obuf_cstr(&h->text[0]), h->text[0].len);
	}
	if (as) {
		put(h, "Impersonate-User", as->user.p, as->user.len);
		for (uint32_t i = 0; i < as->n_groups && i < HEADERS_MAX / 2; i++)
			put(h, "Impersonate-Group", as->groups[i].p, as->groups[i].len);
	} else if (c->as) {
		put(h, "Impersonate-User", c->as, strlen(c->as));
	}
}

int up_remote_send(struct up_remote *r, const struct up_request *q, up_answer_fn fn, void *arg,
		   struct up_call **ret)
{
	cleanup_free char *target = omem_printf("%s%s", r->cfg.k.base, q->target);
	struct up_call *c = OMEM_NEW(struct up_call);
	struct head head = { .n = 0 };
	struct ohttp_client_request hq = {
		.addr = r->cfg.k.addr, .tls_name = r->cfg.k.tls_name, .method = q->method, .target = target,
		.host = r->cfg.k.host, .body = q->body, .has_body = strcmp(q->method, "GET") != 0,
		.timeout_ns = q->timeout_ns && q->timeout_ns < HEAD_NS ? q->timeout_ns : q->data ? HEAD_NS :
			      q->timeout_ns ? q->timeout_ns : 60 * SECOND,
	};
	int e;

	if (!c || !target || r->h->timer_new(r->h, on_timer, c, &c->timer)) {
		omem_free(c);
		return -ENOMEM;
	}
	put(&head, "User-Agent", "orlop/" ORLOP_VERSION " uplink", sizeof("orlop/" ORLOP_VERSION " uplink") - 1);
	put(&head, "Accept", q->accept ? q->accept : "application/json", strlen(q->accept ? q->accept : "application/json"));
	if (q->body.len) {
		const char *type = q->content_type ? q->content_type : "application/json";

		put(&head, "Content-Type", type, strlen(type));
	}
	put_identity(&head, &r->cfg.k, q->as);
	hq.headers = head.v;
	hq.n_headers = head.n;
	c->r = r;
	c->fn = fn;
	c->arg = arg;
	c->data = q->data;
	c->idle_ns = q->idle_ns;
	c->max_body = q->max_body ? q->max_body : BODY_MAX;
	c->last = r->h->now_mono(r->h);
	c->deadline = c->last + (q->timeout_ns ? q->timeout_ns : 60 * SECOND);
	olist_append(&r->calls, &c->node);
	r->stats.active++;
	r->stats.requests++;
	e = obuf_err(&head.text[0]) ? -ENOMEM : ohttp_client_send(r->http, &hq, &client_ops, c, &c->req);
	if (head.text[0].data)
		explicit_bzero(head.text[0].data, head.text[0].len);
	obuf_done(&head.text[0]);
	if (e) {
		call_free(c);
		return e;
	}
	arm(c);
	if (ret)
		*ret = c;
	return 0;
}

void up_remote_cancel(struct up_call *c)
{
	struct ohttp_creq *req;

	if (!c)
		return;
	req = c->req;
	c->req = NULL;
	ohttp_creq_cancel(req);
	call_free(c);
}

void up_remote_pause(struct up_call *c, bool on)
{
	if (!c || !c->req)
		return;
	if (on)
		ohttp_creq_pause(c->req);
	else
		ohttp_creq_resume(c->req);
}

/* ---- words ---------------------------------------------------------------------------------------------- */

/* Status.message, or the first line of what else was said. */
static void said(struct orlop_bytes body, char *buf, size_t size)
{
	struct orlop_bytes v;
	cleanup_obuf struct obuf b = OBUF_INIT;
	size_t n = 0;

	if (oscan_check(body.p ? body.p : "", body.len, OSCAN_DEPTH_MAX, NULL, NULL) == 0 &&
	    oscan_get(body, "message", &v) && oscan_unquote(v, &b) == 0)
		body = (struct orlop_bytes){ b.data, b.len };
	while (n < body.len && n < size - 1 && body.p[n] != '\n' && body.p[n] != '\r') {
		buf[n] = (unsigned char)body.p[n] < ' ' || body.p[n] == '"' ? '\'' : body.p[n];
		n++;
	}
	buf[n] = '\0';
}

const char *up_explain(const struct up_remote *r, const struct up_answer *a, char *buf, size_t size)
{
	char text[300];
	const char *mend = "";

	if (a->err) {
		snprintf(buf, size, "%s", a->why);
		return buf;
	}
	said(a->body, text, sizeof(text));
	if (a->status == 401)
		mend = r->cfg.k.token_path ? " (the token is refused: renew token_file)" :
		       " (the credentials are refused: renew those in the kubeconfig)";
	else if (a->status == 403)
		mend = " (grant it to this user on the server)";
	else if (a->status == 404)
		mend = " (the server does not serve it)";
	else if (a->status == 429)
		mend = " (the server is busy)";
	snprintf(buf, size, "%d %s%s%s%s", a->status, ohttp_status_text(a->status), text[0] ? ": " : "", text, mend);
	return buf;
}

/* ---- life ----------------------------------------------------------------------------------------------- */

void up_remote_reload(struct up_remote *r)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int e = r->tls ? otls_reload_if_changed(r->tls, &err) : 0;

	if (e > 0)
		OLOG(r->h, INFO, "certificates_reloaded", "from=\"%s\"", r->cfg.from);
	else if (e < 0)
		OLOG(r->h, WARN, "certificates_kept", "why=\"%s\"", err.msg);
	if (okubeconfig_token(&r->cfg.k, &err))
		OLOG(r->h, WARN, "token_kept", "why=\"%s\"", err.msg);
	orlop_error_done(&err);
}

static struct orlop_bytes text_of(const char *cstr)
{
	return (struct orlop_bytes){ cstr, cstr ? strlen(cstr) : 0 };
}

int up_remote_new(const struct orlop_host *h, struct up_config *take_c, struct up_remote **ret,
		  struct orlop_error *err)
{
	struct up_remote *r = OMEM_NEW(struct up_remote);
	struct otls_config t = {
		.ca_path = take_c->k.ca_pem ? NULL : take_c->k.ca_path, .ca_pem = text_of(take_c->k.ca_pem),
		.cert_path = take_c->k.cert_pem ? NULL : take_c->k.cert_path,
		.key_path = take_c->k.cert_pem ? NULL : take_c->k.key_path,
		.cert_pem = text_of(take_c->k.cert_pem), .key_pem = text_of(take_c->k.cert_pem ? take_c->k.key_pem : NULL),
		.min_version = 12, .insecure = take_c->k.insecure,
	};
	int e = 0;

	if (!r) {
		up_config_done(take_c);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	r->h = h;
	r->cfg = *take_c;
	memset(take_c, 0, sizeof(*take_c));
	olist_init(&r->calls);
	if (r->cfg.k.tls) {
		e = otls_client_new(&t, &r->tls, err);
		if (e)
			(void)orlop_wrap(err, e, "%s", r->cfg.from);
	} else if (r->cfg.k.token || r->cfg.k.basic) {
		OLOG(h, WARN, "plain_http", "server=%s: tokens travel readable; use https", r->cfg.k.addr);
	}
	if (r->cfg.k.tls && r->cfg.k.insecure)
		OLOG(h, WARN, "insecure", "server=%s: its certificate is not checked; remove insecure-skip-tls-verify from %s",
		     r->cfg.k.addr, r->cfg.from);
	if (e == 0 && ohttp_client_new(h, r->tls, &r->http))
		e = orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (e) {
		up_remote_free(r);
		return e;
	}
	ohttp_client_keep(r->http, KEEP_MAX, KEEP_NS);
	*ret = r;
	return 0;
}

void up_remote_free(struct up_remote *r)
{
	struct olist *l;

	if (!r)
		return;
	while ((l = olist_first(&r->calls)) != NULL)
		up_remote_cancel(OLIST_ENTRY(l, struct up_call, node));
	ohttp_client_free(r->http);
	otls_ctx_free(r->tls);
	up_config_done(&r->cfg);
	omem_free(r);
}

const char *up_remote_addr(const struct up_remote *r)
{
	return r->cfg.k.addr;
}

bool up_remote_down(const struct up_remote *r)
{
	return r->down_since != 0;
}

void up_remote_stats(const struct up_remote *r, struct up_remote_stats *ret)
{
	*ret = r->stats;
}
