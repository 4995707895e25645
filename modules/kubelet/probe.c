/*
 * probe.c - startup, readiness and liveness of containers: asked by command, HTTP or connection.
 *
 * Without probes, what runs is started and ready. A startup probe holds the other two back until it
 * has succeeded once. After a restart of the daemon what the API was last told of the same container
 * stands until a probe says otherwise, so that nothing flaps.
 * Source: pkg/kubelet/prober (worker.go, prober.go), pkg/probe/{http,tcp,exec}.
 */
#include "kubelet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/ostr.h"
#include "http/oclient.h"
#include "tls/otls.h"

enum { P_STARTUP, P_READINESS, P_LIVENESS, N_PROBES };

struct prober {
	struct ohttp_client *plain;
	struct ohttp_client *secure;
	struct otls_ctx	*tls;
};

struct probe {
	struct ctr	*c;
	uint32_t	refs;
	int		kind;
	struct orlop_timer *timer;
	bool		busy;
	bool		dead;
	int64_t		period_s;
	int64_t		timeout_s;
	int64_t		success_min;
	int64_t		failure_max;
	int64_t		successes;
	int64_t		failures;
	struct ohttp_creq *creq;
	int		code;		/* HTTP status, 0: none */
};

static const char *const spec_keys[N_PROBES] = { "startupProbe", "readinessProbe", "livenessProbe" };
static const char *const words[N_PROBES] = { "Startup", "Readiness", "Liveness" };

static void probe_unref(struct probe *b)
{
	if (--b->refs)
		return;
	pod_unref(b->c->pod);
	omem_free(b);
}

static void probe_free(struct probe *b)
{
	if (!b)
		return;
	b->dead = true;
	b->c->pod->k->h->timer_free(b->timer);
	b->timer = NULL;
	probe_unref(b);
}

static const struct ojson *probe_spec(const struct ctr *c, int kind)
{
	return ojson_get_object(ctr_spec(c), spec_keys[kind]);
}

void probes_stop(struct ctr *c)
{
	int i;

	for (i = 0; i < N_PROBES; i++) {
		struct probe *b = c->probes[i];

		c->probes[i] = NULL;
		probe_free(b);
	}
}

/* ---- results ------------------------------------------------------------------------------------------- */

static void begin(struct ctr *c, int kind);

static void set_ready(struct ctr *c, bool ready)
{
	if (c->ready == ready)
		return;
	c->ready = ready;
	pod_kick(c->pod);
}

static void begin_rest(struct ctr *c)
{
	c->started = true;
	if (probe_spec(c, P_READINESS))
		begin(c, P_READINESS);
	else
		set_ready(c, true);
	if (probe_spec(c, P_LIVENESS))
		begin(c, P_LIVENESS);
	pod_kick(c->pod);
}

static void kill_it(struct probe *b)
{
	struct ctr *c = b->c;
	const struct ojson *spec = probe_spec(c, b->kind);
	int64_t grace = ojson_get_i64(ojson_get(c->pod->obj, "spec"), "terminationGracePeriodSeconds", 30);
	const char *kind = b->kind == P_STARTUP ? "startup" : "liveness";

	grace = ojson_get_i64(spec, "terminationGracePeriodSeconds", grace);
	/* stops the probes, and with them this one */
	ctr_stop(c, grace < 1 ? 1 : grace, "Container %s failed %s probe, will be restarted", c->name, kind);
}

static void result(struct probe *b, bool good, const char *why)
{
	struct ctr *c = b->c;

	b->busy = false;
	if (b->dead || c->state != C_RUNNING || c->pod->k->stopping)
		return;
	if (good) {
		b->failures = 0;
		if (++b->successes < b->success_min)
			return;
		if (b->kind == P_READINESS) {
			set_ready(c, true);
		} else if (b->kind == P_STARTUP) {
			c->probes[P_STARTUP] = NULL;
			begin_rest(c);
			probe_free(b);
		}
		return;
	}
	pod_event(c->pod, c, "Warning", "Unhealthy", "%s probe failed: %s", words[b->kind], why);
	b->successes = 0;
	if (++b->failures < b->failure_max)
		return;
	if (b->kind == P_READINESS)
		set_ready(c, false);
	else
		kill_it(b);
}

/* ---- asking --------------------------------------------------------------------------------------------- */

static void exec_done(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct probe *b = arg;
	int64_t code = ojson_get_i64(res, "exitCode", 0);
	const char *out = ojson_get_cstr(res, "stdout", "");
	char text[300];

	(void)msg;
	if (status < 0)
		snprintf(text, sizeof(text), "%s", why);
	else
		snprintf(text, sizeof(text), "%s", *out ? out : ojson_get_cstr(res, "stderr", ""));
	if (status == -ETIMEDOUT)
		snprintf(text, sizeof(text), "command timed out after %llds", (long long)b->timeout_s);
	result(b, status >= 0 && !code, text);
	probe_unref(b);
}

static void exec_ask(struct probe *b, const struct ojson *action)
{
	struct ctr *c = b->c;
	struct ojson *body = rt_id("containerId", c->id);
	struct ojson *cmd = ojson_get(action, "command");

	if (cmd)
		(void)ojson_set(body, "cmd", ojson_ref(cmd));
	(void)ojson_set_i64(body, "timeout", b->timeout_s);
	b->refs++;
	rt_call(c->pod->k, ORLOP_RUNTIME_EXEC_SYNC, 0, body, (uint64_t)(b->timeout_s + 5) * NS_PER_S, exec_done, b);
}

/* A port by number or by the name of one of the container's. 0: none. */
static int64_t port_of(const struct ctr *c, const struct ojson *port)
{
	const char *name = ojson_cstr(port, NULL);
	int64_t n;

	if (!name)
		return ojson_i64(port, 0);
	if (!ostr_to_i64(name, strlen(name), &n))
		return n;
	OJSON_FOREACH_ELEM(i, p, ojson_get(ctr_spec(c), "ports")) {
		if (!strcmp(ojson_get_cstr(p, "name", ""), name))
			return ojson_get_i64(p, "containerPort", 0);
	}
	return 0;
}

static bool address_of(struct probe *b, const struct ojson *action, char *out, size_t size)
{
	const char *ip = b->c->pod->ip ? b->c->pod->ip : "";
	const char *host = ojson_get_cstr(action, "host", ip);
	int64_t port = port_of(b->c, ojson_get(action, "port"));

	if (!*host)
		host = ip;
	if (!*host || port < 1 || port > 65535)
		return false;
	snprintf(out, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, (int)port);
	return true;
}

static void tcp_done(void *arg, int32_t fd)
{
	struct probe *b = arg;
	char text[300];

	if (fd >= 0)
		close(fd);
	snprintf(text, sizeof(text), "dial tcp: %s", fd < 0 ? strerrordesc_np(-fd) : "");
	result(b, fd >= 0, text);
	probe_unref(b);
}

static void tcp_ask(struct probe *b, const char *addr)
{
	const struct orlop_host *h = b->c->pod->k->h;

	b->refs++;
	if (h->connect(h, addr, (uint64_t)b->timeout_s * NS_PER_S, tcp_done, b)) {
		b->busy = false;
		probe_unref(b);
	}
}

/* The head tells all: the rest of the answer is not waited for. */
static void http_judge(void *arg)
{
	struct probe *b = arg;
	char text[120];

	ohttp_creq_cancel(b->creq);
	b->creq = NULL;
	snprintf(text, sizeof(text), "HTTP probe failed with statuscode: %d", b->code);
	result(b, b->code >= 200 && b->code < 400, text);
	probe_unref(b);
}

static void http_head(void *arg, struct ohttp_creq *r, const struct ohttp_response *res)
{
	struct probe *b = arg;
	const struct orlop_host *h = b->c->pod->k->h;

	(void)r;
	if (b->code)
		return;
	b->code = res->status;
	(void)h->post(h, http_judge, b);
}

static void http_data(void *arg, struct ohttp_creq *r, const char *p, size_t len)
{
	(void)arg;
	(void)r;
	(void)p;
	(void)len;
}

static void http_upgraded(void *arg, struct ohttp_creq *r, struct ohttp_stream *take_s)
{
	struct probe *b = arg;

	(void)r;
	b->creq = NULL;
	ohttp_stream_abort(take_s);
}

static void http_end(void *arg, struct ohttp_creq *r, int err, const char *why)
{
	struct probe *b = arg;
	char text[300];

	(void)r;
	(void)err;
	b->creq = NULL;
	if (b->code)
		return;		/* judged already, or about to be */
	snprintf(text, sizeof(text), "Get: %s", why);
	result(b, false, text);
	probe_unref(b);
}

static const struct ohttp_client_ops http_ops = {
	.head = http_head, .data = http_data, .upgraded = http_upgraded, .end = http_end,
};

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

static void http_ask(struct probe *b, const struct ojson *action, const char *addr)
{
	struct kubelet *k = b->c->pod->k;
	struct prober *pr = prober_of(k);
	bool tls = !strcasecmp(ojson_get_cstr(action, "scheme", "HTTP"), "HTTPS");
	struct ohttp_client *client = pr ? tls ? pr->secure : pr->plain : NULL;
	const char *path = ojson_get_cstr(action, "path", "/");
	struct ohttp_header hdr[20];
	struct ohttp_client_request q = { .addr = addr, .method = "GET", .headers = hdr,
					  .timeout_ns = (uint64_t)b->timeout_s * NS_PER_S };
	bool agent = false;
	char target[2048];

	hdr[q.n_headers++] = ohttp_header_cstr("Connection", "close");
	OJSON_FOREACH_ELEM(i, h, ojson_get(action, "httpHeaders")) {
		const char *name = ojson_get_cstr(h, "name", "");

		if (!strcasecmp(name, "Host"))
			q.host = ojson_get_cstr(h, "value", "");
		else if (*name && q.n_headers < 18)
			hdr[q.n_headers++] = ohttp_header_cstr(name, ojson_get_cstr(h, "value", ""));
		agent |= !strcasecmp(name, "User-Agent");
	}
	if (!agent)
		hdr[q.n_headers++] = ohttp_header_cstr("User-Agent", "kube-probe/1.36");
	snprintf(target, sizeof(target), "%s%s", *path == '/' ? "" : "/", path);
	q.target = target;
	b->code = 0;
	b->refs++;
	if (!client || ohttp_client_send(client, &q, &http_ops, b, &b->creq)) {
		b->busy = false;
		probe_unref(b);
	}
}

static void ask(void *arg)
{
	struct probe *b = arg;
	const struct ojson *spec = probe_spec(b->c, b->kind);
	const struct ojson *a;
	char addr[300];

	if (b->busy || b->dead || !spec || !b->c->id)
		return;
	b->busy = true;
	if ((a = ojson_get(spec, "exec"))) {
		exec_ask(b, a);
		return;
	}
	a = ojson_get(spec, "httpGet");
	if (!a)
		a = ojson_get(spec, "tcpSocket");
	if (!a)
		a = ojson_get(spec, "grpc");	/* that it listens is all that is asked */
	if (!address_of(b, a, addr, sizeof(addr)))
		result(b, false, "no address or port to ask");
	else if (ojson_get(spec, "httpGet"))
		http_ask(b, a, addr);
	else
		tcp_ask(b, addr);
}

/* ---- beginning -------------------------------------------------------------------------------------------- */

static void begin(struct ctr *c, int kind)
{
	const struct ojson *spec = probe_spec(c, kind);
	const struct orlop_host *h = c->pod->k->h;
	struct probe *b;
	int64_t delay;

	if (c->probes[kind])
		return;
	b = OMEM_NEW(struct probe);
	if (!b || h->timer_new(h, ask, b, &b->timer)) {
		omem_free(b);
		return;
	}
	b->c = c;
	b->refs = 1;
	b->kind = kind;
	b->period_s = ojson_get_i64(spec, "periodSeconds", 10);
	b->timeout_s = ojson_get_i64(spec, "timeoutSeconds", 1);
	b->success_min = ojson_get_i64(spec, "successThreshold", 1);
	b->failure_max = ojson_get_i64(spec, "failureThreshold", 3);
	if (b->period_s < 1)
		b->period_s = 1;
	if (b->timeout_s < 1)
		b->timeout_s = 1;
	delay = c->started_ns + ojson_get_i64(spec, "initialDelaySeconds", 0) * (int64_t)NS_PER_S -
		kubelet_now(c->pod->k);
	pod_ref(c->pod);
	c->probes[kind] = b;
	h->timer_set(b->timer, delay > 0 ? (uint64_t)delay : 1, (uint64_t)b->period_s * NS_PER_S);
}

/* What the API was last told of this very container. */
static const struct ojson *told(const struct ctr *c)
{
	char id[160];

	snprintf(id, sizeof(id), "orlop://%s", c->id ? c->id : "");
	OJSON_FOREACH_ELEM(i, s, OJSON_AT(c->pod->obj, "status", ctr_status_list(c))) {
		if (!strcmp(ojson_get_cstr(s, "containerID", ""), id))
			return s;
	}
	return NULL;
}

void probes_start(struct ctr *c)
{
	const struct ojson *before = told(c);

	c->started = !probe_spec(c, P_STARTUP) || ojson_get_bool(before, "started", false);
	c->ready = c->started && (!probe_spec(c, P_READINESS) || ojson_get_bool(before, "ready", false));
	if (c->started)
		begin_rest(c);
	else
		begin(c, P_STARTUP);
}

void probes_metrics(const struct kubelet *k, struct obuf *out)
{
	(void)k;
	(void)out;
}
