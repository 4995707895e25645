/*
 * server.c - the kubelet's HTTPS API: what is where. Who may: serverauth.c.
 *
 * Source: pkg/kubelet/server/server.go (paths and answers).
 */
#include "server.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ostr.h"
#include "tls/otls.h"

void server_text(struct ohttp_req *r, int status, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	ohttp_reply_text(r, status, "text/plain; charset=utf-8", text, (size_t)n);
}

/* ---- query ---------------------------------------------------------------------------------------------- */

char *query_next(struct orlop_bytes q, const char *key, size_t *at)
{
	size_t n = strlen(key);

	while (q.p && *at < q.len) {
		const char *p = q.p + *at;
		const char *amp = memchr(p, '&', q.len - *at);
		size_t len = amp ? (size_t)(amp - p) : q.len - *at;

		*at += len + 1;
		if (len > n && p[n] == '=' && !memcmp(p, key, n)) {
			struct orlop_bytes v = { p + n + 1, len - n - 1 };
			char *out = omem_alloc(v.len + 1);
			long got = out ? ohttp_unescape(v, true, out) : -1;

			if (got < 0) {
				omem_free(out);
				return NULL;
			}
			out[got] = '\0';
			return out;
		}
	}
	return NULL;
}

char *query_value(struct orlop_bytes q, const char *key)
{
	size_t at = 0;

	return query_next(q, key, &at);
}

bool query_flag(struct orlop_bytes q, const char *key)
{
	char *v = query_value(q, key);
	bool on = v && (!strcmp(v, "1") || !strcmp(v, "true"));

	omem_free(v);
	return on;
}

/* ---- what ------------------------------------------------------------------------------------------------- */

static void put_pods(struct server *s, struct ohttp_req *r, bool running)
{
	struct obuf b = OBUF_INIT;
	const char *sep = "";

	obuf_puts(&b, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
	OMAP_FOREACH(&s->k->pods, e) {
		const struct pod *p = e->value;
		uint32_t n = 0;
		uint32_t i;

		for (i = 0; i < p->n_ctrs; i++)
			n += p->ctrs[i]->state == C_RUNNING;
		if (!p->obj || (running && !n))
			continue;
		obuf_puts(&b, sep);
		(void)ojson_write(p->obj, 0, &b);
		sep = ",";
	}
	obuf_puts(&b, "]}\n");
	if (obuf_err(&b))
		server_text(r, 500, "no memory");
	else
		ohttp_reply_text(r, 200, "application/json", b.data, b.len);
	obuf_done(&b);
}

/* The next segment of a path, unescaped; false: none or broken. */
static bool segment(struct orlop_bytes path, size_t *at, char *out, size_t size)
{
	size_t end = *at;
	long n;

	while (end < path.len && path.p[end] != '/')
		end++;
	if (end == *at || end - *at >= size)
		return false;
	n = ohttp_unescape((struct orlop_bytes){ path.p + *at, end - *at }, false, out);
	*at = end < path.len ? end + 1 : end;
	if (n <= 0)
		return false;
	out[n] = '\0';
	return true;
}

enum what { W_LOGS, W_EXEC, W_ATTACH, W_PORT };

/* /containerLogs/NS/POD/C, /exec/NS/POD[/UID]/C … */
static void serve_pod(struct server *s, struct ohttp_req *r, size_t at, enum what what)
{
	struct orlop_bytes path = ohttp_path(r);
	char part[4][260];
	struct pod *p;
	struct ctr *c;
	int n = 0;

	while (n < 4 && segment(path, &at, part[n], sizeof(part[0])))
		n++;
	if (n < 2 || (n < 3 && what != W_PORT)) {
		server_text(r, 404, "404 page not found\n");
		return;
	}
	p = pod_by_name(s->k, (struct orlop_bytes){ part[0], strlen(part[0]) },
			(struct orlop_bytes){ part[1], strlen(part[1]) });
	if (!p && s->k->stopping) {
		/* a kept connection, and the pod came after us: whoever asks once more finds our successor */
		ohttp_abort(r);
		return;
	}
	if (!p || p->orphan) {
		server_text(r, 404, "pod \"%s\" does not exist in namespace \"%s\"", part[1], part[0]);
		return;
	}
	if (what == W_PORT) {
		forward_serve(s, r, p);
		return;
	}
	c = pod_ctr(p, part[n - 1]);
	if (!c) {
		server_text(r, what == W_LOGS ? 404 : 404, "container %s not found in pod %s_%s", part[n - 1], p->name,
			    p->ns);
		return;
	}
	if (what == W_LOGS)
		logs_serve(s, r, p, c);
	else
		exec_serve(s, r, p, c, what == W_ATTACH);
}

static void serve(struct server *s, struct ohttp_req *r)
{
	static const struct { const char *prefix; enum what what; } pods[] = {
		{ "/containerLogs/", W_LOGS }, { "/exec/", W_EXEC }, { "/attach/", W_ATTACH },
		{ "/portForward/", W_PORT },
	};
	struct orlop_bytes path = ohttp_path(r);
	size_t i;

	if (ostr_is(path.p, path.len, "/healthz") || ostr_is(path.p, path.len, "/healthz/ping")) {
		server_text(r, 200, "ok");
		return;
	}
	if (stats_serve(s, r))
		return;
	if (ostr_is(path.p, path.len, "/pods") || ostr_is(path.p, path.len, "/pods/")) {
		put_pods(s, r, false);
		return;
	}
	if (ostr_is(path.p, path.len, "/runningpods/") || ostr_is(path.p, path.len, "/runningpods")) {
		put_pods(s, r, true);
		return;
	}
	for (i = 0; i < sizeof(pods) / sizeof(pods[0]); i++) {
		if (ostr_starts(path.p, path.len, pods[i].prefix)) {
			serve_pod(s, r, strlen(pods[i].prefix), pods[i].what);
			return;
		}
	}
	server_text(r, 404, "404 page not found\n");
}

static void on_request(void *arg, struct ohttp_req *r)
{
	server_authorize(arg, r, serve);
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

int server_start(struct kubelet *k, struct orlop_error *err)
{
	const struct orlop_host *h = k->h;
	const char *ca = h->param(h, "client_ca");
	struct otls_config tls = { .cert_path = h->param(h, "tls_cert"), .key_path = h->param(h, "tls_key"),
				   .ca_path = *ca ? ca : NULL };
	struct ohttp_server_config cfg = { .h = h, .listen = h->param(h, "listen"), .on_request = on_request,
					   .max_connections = 1000 };
	struct server *s;
	char addr[80];
	const char *colon;
	int e;

	if (!*tls.cert_path) {
		OLOG(h, WARN, "no_https", "tls_cert is not set: logs and exec cannot be asked for");
		return 0;
	}
	s = OMEM_NEW(struct server);
	if (!s)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	s->k = k;
	omap_init(&s->verdicts);
	olist_init(&s->follows);
	olist_init(&s->sessions);
	olist_init(&s->forwards);
	k->server = s;
	e = otls_server_new(&tls, &s->tls, err);
	if (e)
		return e;
	cfg.tls = s->tls;
	cfg.arg = s;
	e = ohttp_server_new(&cfg, &s->http, err);
	if (e)
		return e;
	ohttp_server_addr(s->http, addr, sizeof(addr));
	colon = strrchr(addr, ':');
	s->port = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : 10250;
	OLOG(h, INFO, "listening", "addr=%s", addr);
	return 0;
}

void server_stop(struct kubelet *k)
{
	struct server *s = k->server;

	if (!s)
		return;
	k->ending = true;
	logs_stop(s);
	exec_stop(s);
	forward_stop(s);
	k->h->timer_free(s->ask);
	ohttp_server_free(s->http);
	otls_ctx_free(s->tls);
	server_auth_free(s);
	omem_free(s);
	k->server = NULL;
}

void server_drain(struct kubelet *k)
{
	if (!k->server)
		return;
	ohttp_server_drain(k->server->http, NULL, NULL);
	logs_drain(k->server);
}

uint32_t server_left(const struct kubelet *k)
{
	struct ohttp_server_stats st = { 0 };

	if (!k->server)
		return 0;
	ohttp_server_stats(k->server->http, &st);
	return (uint32_t)st.open + exec_count(k->server) + forward_count(k->server) + logs_count(k->server);
}

uint32_t server_port(const struct kubelet *k)
{
	return k->server ? k->server->port : 10250;
}

void server_ctr_ended(struct kubelet *k, const struct ctr *c)
{
	if (k->server)
		logs_ctr_ended(k->server, c);
}
