/*
 * hookpost.c - one question over HTTPS to where a clientConfig says: webhooks of admission and of conversion.
 *
 * No redirect is followed; the answer's size and time are bounded, and so is how many questions are under way.
 */
#include "hookpost.h"

#include "base/oenc.h"
#include "http/oclient.h"
#include "json/ojson.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CALLS_MAX	256u		/* under way in a shard */
#define ANSWER_MAX	(3u << 20)

struct hook_post {
	struct reg_shard *sh;
	struct hook_client *client;
	struct ohttp_creq *creq;
	struct orlop_timer *timer;
	struct oarena	arena;
	struct obuf	body;
	const char	*url;		/* as messages name it */
	const char	*addr;		/* where that is */
	hook_posted_fn	done;
	void		*arg;
	size_t		max;
	int		status;
	bool		too_long;
};

void hook_uid(struct reg_shard *sh, char uid[OUUID_BUF])
{
	unsigned char random[16];

	sh->h->random(sh->h, random, sizeof(random));
	ouuid_make(random, uid);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void post_free(struct hook_post *a)
{
	if (a->client)
		a->client->calls--;
	if (a->timer)
		a->sh->h->timer_free(a->timer);
	a->sh->hook_calls--;
	obuf_done(&a->body);
	oarena_done(&a->arena);
	omem_free(a);
}

static void post_end(struct hook_post *a, const char *why)
{
	a->done(a->arg, (struct orlop_bytes){ a->body.data, why ? 0 : a->body.len }, why);
	post_free(a);
}

static void failed(struct hook_post *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void failed(struct hook_post *a, const char *fmt, ...)
{
	char why[700];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	post_end(a, why);
}

void hook_post_cancel(struct hook_post *a)
{
	if (!a)
		return;
	ohttp_creq_cancel(a->creq);
	post_free(a);
}

static void on_head(void *arg, struct ohttp_creq *r, const struct ohttp_response *res)
{
	struct hook_post *a = arg;

	(void)r;
	a->status = res->status;
}

static void on_data(void *arg, struct ohttp_creq *r, const char *p, size_t len)
{
	struct hook_post *a = arg;

	(void)r;
	if (a->body.len + len > a->max)
		a->too_long = true;	/* the rest is not kept */
	else
		obuf_append(&a->body, p, len);
}

/* Go's words for a connection that did not come about; NULL: something else happened. */
static const char *refused(int err)
{
	return err == -ECONNREFUSED ? "connection refused" : err == -EHOSTUNREACH ? "no route to host" :
	       err == -ENETUNREACH ? "network is unreachable" : NULL;
}

static void on_end(void *arg, struct ohttp_creq *r, int err, const char *why)
{
	struct hook_post *a = arg;

	(void)r;
	a->creq = NULL;
	if (err && refused(err))
		failed(a, "Post \"%s\": dial tcp %s: connect: %s", a->url, a->addr, refused(err));
	else if (err)
		failed(a, "Post \"%s\": %s", a->url, why);
	else if (a->too_long || obuf_err(&a->body))
		failed(a, "the answer is longer than %zu bytes", a->max);
	else if (a->status == 404)
		failed(a, "the server could not find the requested resource");
	else if (a->status >= 300 && a->status < 400)
		failed(a, "the server redirects (%d), which is not followed", a->status);
	else if (a->status != 200)
		failed(a, "an error on the server (\"%.200s\") has prevented the request from succeeding",
		       obuf_cstr(&a->body));
	else
		post_end(a, NULL);
}

static const struct ohttp_client_ops post_ops = { .head = on_head, .data = on_data, .end = on_end };

static void on_timer(void *arg)
{
	struct hook_post *a = arg;

	ohttp_creq_cancel(a->creq);
	a->creq = NULL;
	failed(a, "Post \"%s\": context deadline exceeded", a->url);
}

/* NULL, or why it cannot be asked. */
static const char *ask(struct hook_post *a, const struct ojson *cc, const struct hook_question *hq)
{
	const struct ohttp_header headers[] = {
		{ { "Content-Type", 12 }, { "application/json", 16 } }, { { "Accept", 6 }, { "application/json", 16 } },
		{ { "User-Agent", 10 }, RB(hq->agent) },
	};
	struct ohttp_client_request q = { .method = "POST", .has_body = true };
	const struct ojson *ref = ojson_get(cc, "service");
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct hook_place p = { .addr = NULL };
	const char *wrong, *said = NULL;
	int r;

	if (a->sh->hook_calls > CALLS_MAX)
		return "too many calls of webhooks are under way";
	wrong = hook_place(a->sh, &a->arena, cc, &p);
	if (wrong && !ref)
		return wrong;
	a->addr = p.addr;
	q.target = oarena_printf(&a->arena, "%s?timeout=%llds", p.path, (long long)hq->seconds);
	a->url = oarena_printf(&a->arena, "https://%s%s", p.host, q.target ? q.target : "");
	if (ref && a->url)
		a->url = oarena_printf(&a->arena, "https://%s:%lld%s", p.host, (long long)ojson_get_i64(ref, "port", 443),
				       q.target ? q.target : "");
	if (wrong)
		return oarena_printf(&a->arena, "Post \"%s\": %s", a->url ? a->url : "", wrong) ?: wrong;
	a->client = hook_client_of(a->sh, ojson_get_cstr(cc, "caBundle", ""), &err);
	if (a->client)
		a->client->calls++;
	if (err.err)
		said = oarena_strdup(&a->arena, err.msg);
	orlop_error_done(&err);
	if (!a->client || !q.target || !a->url || a->sh->h->timer_new(a->sh->h, on_timer, a, &a->timer))
		return said ? said : "out of memory";
	q.addr = p.addr;
	q.tls_name = p.name;
	q.host = p.host;
	q.headers = headers;
	q.n_headers = sizeof(headers) / sizeof(headers[0]);
	q.body = hq->body;
	q.timeout_ns = (uint64_t)(hq->seconds + 1) * UINT64_C(1000000000);
	a->sh->h->timer_set(a->timer, (uint64_t)hq->seconds * UINT64_C(1000000000), 0);
	r = ohttp_client_send(a->client->http, &q, &post_ops, a, &a->creq);
	if (r)
		said = oarena_printf(&a->arena, "Post \"%s\": %s", a->url, strerrordesc_np(-r));
	return r ? said ? said : "out of memory" : NULL;
}

struct hook_post *hook_post(struct reg_shard *sh, const struct ojson *client_config, const struct hook_question *q,
			    hook_posted_fn done, void *arg)
{
	struct hook_post *a;
	const char *wrong = NULL;

	if (sh->rg->cfg.hooks.webhook) {
		struct obuf answer = OBUF_INIT;

		if (sh->rg->cfg.hooks.webhook(sh->rg->cfg.hooks.arg, q->body, &answer, &wrong) == 0)
			wrong = NULL;
		done(arg, (struct orlop_bytes){ answer.data, answer.len }, wrong);
		obuf_done(&answer);
		return NULL;
	}
	a = OMEM_NEW(struct hook_post);
	if (!a) {
		done(arg, RB0, "out of memory");
		return NULL;
	}
	oarena_init(&a->arena, 0);
	a->sh = sh;
	a->done = done;
	a->arg = arg;
	a->max = q->answer_max ? q->answer_max : ANSWER_MAX;
	sh->hook_calls++;
	wrong = ask(a, client_config, q);
	if (!wrong)
		return a;
	post_end(a, wrong);
	return NULL;
}
