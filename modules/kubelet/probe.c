/*
 * probe.c - startup, readiness and liveness of containers: asked by command, HTTP or connection.
 *
 * Without probes, what runs is started and ready. A startup probe holds the other two back until it
 * has succeeded once. After a restart of the daemon what the API was last told of the same container
 * stands until a probe says otherwise, so that nothing flaps.
 * Source: pkg/kubelet/prober (worker.go, prober.go), pkg/probe/{http,tcp,exec}.
 */
#include "ask.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/ostr.h"

#define OUTPUT_MAX	10240u

enum { P_STARTUP, P_READINESS, P_LIVENESS, N_PROBES };

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
	struct http_ask	*http;
	struct grpc_ask	*grpc;
	char		addr[300];	/* of a tcpSocket */
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
	if (b->http || b->grpc) {
		http_ask_cancel(b->http);
		grpc_ask_cancel(b->grpc);
		b->http = NULL;
		b->grpc = NULL;
		probe_unref(b);
	}
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

void probes_spare(struct ctr *c)
{
	int i;

	for (i = 0; i < N_PROBES; i++) {
		struct probe *b = i == P_READINESS ? NULL : c->probes[i];

		if (b) {
			c->probes[i] = NULL;
			probe_free(b);
		}
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
	c->probed[b->kind][good]++;
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
	struct ctr *c = b->c;
	int64_t code = ojson_get_i64(res, "exitCode", 0);
	const char *out = ojson_get_cstr(res, "stdout", "");
	const char *err = ojson_get_cstr(res, "stderr", "");
	struct obuf text = OBUF_INIT;

	(void)msg;
	if (status == -ETIMEDOUT) {
		obuf_puts(&text, "command \"");
		OJSON_FOREACH_ELEM(i, w, OJSON_AT(probe_spec(c, b->kind), "exec", "command"))
			obuf_printf(&text, "%s%s", i ? " " : "", ojson_cstr(w, ""));
		obuf_printf(&text, "\" timed out after %llds", (long long)b->timeout_s);
	} else if (status < 0) {
		/* it was not asked: neither good nor bad */
		b->busy = false;
		if (!b->dead && c->state == C_RUNNING && !c->pod->k->stopping && !c->stop_sent)
			pod_event(c->pod, c, "Warning", "Unhealthy", "%s probe errored and resulted in unknown state: rpc error: code = Unknown desc = %s",
				  words[b->kind], why);
		probe_unref(b);
		return;
	} else {
		obuf_append(&text, out, strnlen(out, OUTPUT_MAX));
		obuf_append(&text, err, strnlen(err, OUTPUT_MAX - text.len));
	}
	result(b, status >= 0 && !code, obuf_cstr(&text));
	obuf_done(&text);
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

static void tcp_done(void *arg, int32_t fd)
{
	struct probe *b = arg;
	char text[500];

	if (fd >= 0)
		close(fd);
	snprintf(text, sizeof(text), "dial tcp %s: %s", b->addr, fd == -ETIMEDOUT ? "i/o timeout"
		 : fd == -ECONNREFUSED ? "connect: connection refused" : fd == -EHOSTUNREACH ? "connect: no route to host"
		 : fd < 0 ? strerrordesc_np(-fd) : "");
	result(b, fd >= 0, text);
	probe_unref(b);
}

static void tcp_ask(struct probe *b, const char *addr)
{
	const struct orlop_host *h = b->c->pod->k->h;

	snprintf(b->addr, sizeof(b->addr), "%s", addr);
	b->refs++;
	if (h->connect(h, addr, (uint64_t)b->timeout_s * NS_PER_S, tcp_done, b)) {
		b->busy = false;
		probe_unref(b);
	}
}

static void http_done(void *arg, const struct http_answer *r)
{
	struct probe *b = arg;
	char text[700];

	b->http = NULL;
	if (!r->status)
		snprintf(text, sizeof(text), "%s", r->why);
	else
		snprintf(text, sizeof(text), "HTTP probe failed with statuscode: %d", r->status);
	if (r->elsewhere && !b->dead)
		pod_event(b->c->pod, b->c, "Warning", "ProbeWarning", "%s probe warning: Probe terminated redirects, Response body: %.*s",
			  words[b->kind], (int)(r->body.len > 512 ? 512 : r->body.len), r->body.p);
	result(b, r->status >= 200 && r->status < 400, text);
	probe_unref(b);
}

static void http_begin(struct probe *b, const struct ojson *action, const char *addr)
{
	b->refs++;
	b->http = http_ask(b->c->pod->k, action, addr, "kube-probe/1.36", (uint64_t)b->timeout_s * NS_PER_S, http_done, b);
	if (!b->http) {
		result(b, false, "the request could not be sent");
		probe_unref(b);
	}
}

static void grpc_done(void *arg, const char *why)
{
	struct probe *b = arg;

	b->grpc = NULL;
	result(b, !why, why ? why : "");
	probe_unref(b);
}

static void grpc_begin(struct probe *b, const struct ojson *action, const char *addr)
{
	b->refs++;
	b->grpc = grpc_ask(b->c->pod->k->h, addr, ojson_get_cstr(action, "service", ""), b->timeout_s, grpc_done, b);
	if (!b->grpc) {
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
		a = ojson_get(spec, "grpc");
	if (!ask_address(b->c, a, addr, sizeof(addr)))
		result(b, false, "no address or port to ask");
	else if (ojson_get(spec, "httpGet"))
		http_begin(b, a, addr);
	else if (ojson_get(spec, "grpc"))
		grpc_begin(b, a, addr);
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

	rotate_wake(c->pod->k);
	c->started = !probe_spec(c, P_STARTUP) || ojson_get_bool(before, "started", false);
	c->ready = c->started && (!probe_spec(c, P_READINESS) || ojson_get_bool(before, "ready", false));
	if (c->started)
		begin_rest(c);
	else
		begin(c, P_STARTUP);
}
