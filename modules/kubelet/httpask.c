/*
 * httpask.c - an HTTP question of a probe or a hook.
 *
 * The head of an answer tells all, so the rest is not waited for; but of a redirect to another host, which is not
 * followed, the beginning of the body is shown to people.
 * Source: pkg/probe/http (request.go, http.go), pkg/kubelet/lifecycle/handlers.go.
 */
#include "ask.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include <orlop/inline/log.h>

#include "base/ostr.h"
#include "http/oclient.h"
#include "tls/otls.h"

#define REDIRECTS_MAX	10
#define BODY_MAX	10240u
#define HEADERS_MAX	24u

struct prober {
	struct ohttp_client *plain;
	struct ohttp_client *secure;
	struct otls_ctx	*tls;
};

struct http_ask {
	struct kubelet	*k;
	struct ojson	*action;
	const char	*agent;
	http_answer_fn	fn;
	void		*arg;
	char		*addr;
	char		*target;
	bool		tls;
	uint64_t	until_ns;	/* monotonic */
	struct ohttp_creq *creq;
	uint32_t	redirects;
	int		status;
	char		*location;
	struct obuf	body;
	struct orlop_timer *timer;	/* for a body that does not end */
	bool		posted;
	bool		canceled;
};

bool ask_address(const struct ctr *c, const struct ojson *action, char *out, size_t size)
{
	const char *ip = c->pod->ip ? c->pod->ip : "";
	const char *host = ojson_get_cstr(action, "host", ip);
	const struct ojson *port = ojson_get(action, "port");
	const char *name = ojson_cstr(port, NULL);
	int64_t n = name ? 0 : ojson_i64(port, 0);

	if (name && ostr_to_i64(name, strlen(name), &n)) {
		OJSON_FOREACH_ELEM(i, p, ojson_get(ctr_spec(c), "ports")) {
			if (!strcmp(ojson_get_cstr(p, "name", ""), name))
				n = ojson_get_i64(p, "containerPort", 0);
		}
	}
	if (!*host)
		host = ip;
	if (!*host || n < 1 || n > 65535)
		return false;
	snprintf(out, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, (int)n);
	return true;
}

static struct prober *prober_of(struct kubelet *k)
{
	struct otls_config cfg = { .insecure = 1, .min_version = 12 };	/* as upstream: nobody checks probes' certificates */
	struct prober *pr = k->prober;

	if (pr)
		return pr;
	pr = OMEM_NEW(struct prober);
	if (!pr)
		return NULL;
	k->prober = pr;
	if (ohttp_client_new(k->h, NULL, &pr->plain) || otls_client_new(&cfg, &pr->tls, NULL) ||
	    ohttp_client_new(k->h, pr->tls, &pr->secure))
		OLOG(k->h, WARN, "no_http_probes", "why=\"no client\"");
	return pr;
}

void prober_free(struct kubelet *k)
{
	struct prober *pr = k->prober;

	if (!pr)
		return;
	k->prober = NULL;
	ohttp_client_free(pr->plain);
	ohttp_client_free(pr->secure);
	otls_ctx_free(pr->tls);
	omem_free(pr);
}

static void ask_free(struct http_ask *a)
{
	a->k->h->timer_free(a->timer);
	ojson_unref(a->action);
	obuf_done(&a->body);
	omem_free(a->addr);
	omem_free(a->target);
	omem_free(a->location);
	omem_free(a);
}

void http_ask_cancel(struct http_ask *a)
{
	if (!a)
		return;
	a->canceled = true;
	ohttp_creq_cancel(a->creq);
	a->creq = NULL;
	if (!a->posted)
		ask_free(a);
}

static void answer(struct http_ask *a, const char *why, bool elsewhere)
{
	struct http_answer r = { .status = a->status, .elsewhere = elsewhere, .why = why,
				 .body = { obuf_cstr(&a->body), a->body.len } };

	a->fn(a->arg, &r);
	ask_free(a);
}

static int send_it(struct http_ask *a);

/* "https://host:port/path" or "/path" taken apart. False: to another host. */
static bool redirect_take(struct http_ask *a)
{
	const char *p = a->location;
	bool tls = a->tls;
	size_t n;
	const char *host_end;

	if (!strncasecmp(p, "http://", 7) || !strncasecmp(p, "https://", 8)) {
		tls = p[4] == 's' || p[4] == 'S';
		p += tls ? 8 : 7;
	} else if (!strncmp(p, "//", 2)) {
		p += 2;
	} else {
		char *t = *p == '/' ? omem_strdup(p) : omem_printf("%.*s/%s", (int)(strrchr(a->target, '/') - a->target),
								   a->target, p);

		omem_free(a->target);
		a->target = t;
		return true;
	}
	n = strcspn(p, "/?#");
	host_end = memchr(p, ':', n);
	if ((size_t)((host_end ? host_end : p + n) - p) != strcspn(a->addr, ":") ||
	    strncasecmp(p, a->addr, strcspn(a->addr, ":")))
		return false;
	omem_free(a->addr);
	omem_free(a->target);
	a->addr = host_end ? omem_strndup(p, n) : omem_printf("%.*s:%d", (int)n, p, tls ? 443 : 80);
	a->target = omem_printf("%s%.*s", p[n] == '/' ? "" : "/", (int)strcspn(p + n, "#"), p + n);
	a->tls = tls;
	return true;
}

/* The head is here, and what is to be read of the body. */
static void judge(void *arg)
{
	struct http_ask *a = arg;

	a->posted = false;
	if (a->canceled) {
		ask_free(a);
		return;
	}
	a->k->h->timer_free(a->timer);
	a->timer = NULL;
	ohttp_creq_cancel(a->creq);
	a->creq = NULL;
	if (!a->location) {
		answer(a, NULL, false);
		return;
	}
	if (++a->redirects >= REDIRECTS_MAX) {
		a->status = 0;
		answer(a, "stopped after 10 redirects", false);
		return;
	}
	if (!redirect_take(a)) {
		answer(a, NULL, true);
		return;
	}
	omem_free(a->location);
	a->location = NULL;
	a->status = 0;
	obuf_reset(&a->body);
	if (!a->addr || !a->target || send_it(a))
		answer(a, "no memory", false);
}

static void judge_soon(struct http_ask *a)
{
	if (a->posted)
		return;
	a->posted = true;
	if (a->k->h->post(a->k->h, judge, a))
		a->posted = false;
}

static void late(void *arg)
{
	judge_soon(arg);
}

static void on_head(void *arg, struct ohttp_creq *r, const struct ohttp_response *res)
{
	struct http_ask *a = arg;
	struct orlop_bytes to = ohttp_response_header(res, "location");

	(void)r;
	a->status = res->status;
	if (to.len && (res->status == 301 || res->status == 302 || res->status == 303 || res->status == 307 ||
		       res->status == 308)) {
		uint64_t now = a->k->h->now_mono(a->k->h);

		a->location = omem_strndup(to.p, to.len);
		/* its body is shown if it leads elsewhere */
		if (a->location && !a->k->h->timer_new(a->k->h, late, a, &a->timer)) {
			a->k->h->timer_set(a->timer, a->until_ns > now ? a->until_ns - now : 1, 0);
			return;
		}
	}
	judge_soon(a);
}

static void on_data(void *arg, struct ohttp_creq *r, const char *p, size_t len)
{
	struct http_ask *a = arg;
	size_t room = BODY_MAX - a->body.len;

	(void)r;
	if (a->posted || !a->location)
		return;
	obuf_append(&a->body, p, len < room ? len : room);
	if (a->body.len >= BODY_MAX)
		judge_soon(a);
}

static void on_upgraded(void *arg, struct ohttp_creq *r, struct ohttp_stream *take_s)
{
	struct http_ask *a = arg;

	(void)r;
	a->creq = NULL;
	ohttp_stream_abort(take_s);
	judge_soon(a);
}

/* As Go's http.Client words it. */
static const char *reason(const struct http_ask *a, int err, const char *why, char *text, size_t size)
{
	if (err == -ETIMEDOUT)
		return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
	if (err == -ECONNREFUSED)
		snprintf(text, size, "dial tcp %s: connect: connection refused", a->addr);
	else if (err == -EHOSTUNREACH)
		snprintf(text, size, "dial tcp %s: connect: no route to host", a->addr);
	else if (err == -ENETUNREACH)
		snprintf(text, size, "dial tcp %s: connect: network is unreachable", a->addr);
	else
		snprintf(text, size, "%s", why);
	return text;
}

static void on_end(void *arg, struct ohttp_creq *r, int err, const char *why)
{
	struct http_ask *a = arg;
	char words[300];
	char text[700];

	(void)r;
	a->creq = NULL;
	if (a->posted)
		return;
	if (a->status) {
		judge_soon(a);
		return;
	}
	snprintf(text, sizeof(text), "Get \"%s://%s%s\": %s", a->tls ? "https" : "http", a->addr, a->target,
		 reason(a, err, why, words, sizeof(words)));
	answer(a, text, false);
}

static const struct ohttp_client_ops ops = {
	.head = on_head, .data = on_data, .upgraded = on_upgraded, .end = on_end,
};

static int send_it(struct http_ask *a)
{
	struct prober *pr = prober_of(a->k);
	struct ohttp_client *client = pr ? a->tls ? pr->secure : pr->plain : NULL;
	struct ohttp_header hdr[HEADERS_MAX];
	uint64_t now = a->k->h->now_mono(a->k->h);
	struct ohttp_client_request q = { .addr = a->addr, .method = "GET", .target = a->target, .headers = hdr,
					  .timeout_ns = a->until_ns > now ? a->until_ns - now : 1 };
	bool agent = false;
	bool accept = false;

	hdr[q.n_headers++] = ohttp_header_cstr("Connection", "close");
	OJSON_FOREACH_ELEM(i, h, ojson_get(a->action, "httpHeaders")) {
		const char *name = ojson_get_cstr(h, "name", "");

		if (!strcasecmp(name, "Host"))
			q.host = ojson_get_cstr(h, "value", "");
		else if (*name && q.n_headers < HEADERS_MAX - 2)
			hdr[q.n_headers++] = ohttp_header_cstr(name, ojson_get_cstr(h, "value", ""));
		agent |= !strcasecmp(name, "User-Agent");
		accept |= !strcasecmp(name, "Accept");
	}
	if (!agent)
		hdr[q.n_headers++] = ohttp_header_cstr("User-Agent", a->agent);
	if (!accept)
		hdr[q.n_headers++] = ohttp_header_cstr("Accept", "*/*");
	return client ? ohttp_client_send(client, &q, &ops, a, &a->creq) : -ENOMEM;
}

struct http_ask *http_ask(struct kubelet *k, const struct ojson *action, const char *addr, const char *agent,
			  uint64_t timeout_ns, http_answer_fn fn, void *arg)
{
	const char *path = ojson_get_cstr(action, "path", "/");
	struct http_ask *a = OMEM_NEW(struct http_ask);

	if (!a)
		return NULL;
	a->k = k;
	a->action = ojson_ref((struct ojson *)(uintptr_t)action);
	a->agent = agent;
	a->fn = fn;
	a->arg = arg;
	a->tls = !strcasecmp(ojson_get_cstr(action, "scheme", "HTTP"), "HTTPS");
	a->until_ns = k->h->now_mono(k->h) + timeout_ns;
	a->addr = omem_strdup(addr);
	a->target = omem_printf("%s%s", *path == '/' ? "" : "/", path);
	if (!a->addr || !a->target || send_it(a)) {
		ask_free(a);
		return NULL;
	}
	return a;
}
