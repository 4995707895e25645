/*
 * hook.c - lifecycle handlers of a container: exec, httpGet, sleep.
 *
 * Source: pkg/kubelet/lifecycle/handlers.go; that an HTTP status does not matter is upstream's, and so is that
 * tcpSocket cannot be run.
 */
#include "ask.h"
#include "ctr.h"

#include <errno.h>
#include <string.h>

#define FOREVER_S	86400

struct hook {
	struct ctr	*c;
	struct ojson	*handler;
	hook_fn		fn;		/* NULL: nobody wants to know any more */
	struct http_ask	*http;
	struct orlop_timer *timer;
	bool		asked;		/* the runtime will answer */
	bool		posted;
};

static void hook_free(struct hook *h)
{
	struct pod *p = h->c->pod;

	if (h->asked || h->posted)
		return;
	p->k->h->timer_free(h->timer);
	http_ask_cancel(h->http);
	ojson_unref(h->handler);
	omem_free(h);
	pod_unref(p);
}

void hook_cancel(struct hook *h)
{
	if (!h)
		return;
	h->fn = NULL;
	hook_free(h);
}

static void done(struct hook *h, const char *why)
{
	hook_fn fn = h->fn;

	h->fn = NULL;
	h->http = NULL;
	if (fn)
		fn(h->c, why);
	hook_free(h);
}

/* "Exec lifecycle hook ([a b]) for Container "c" in Pod "p_ns(uid)" failed - error: …" */
static void say(const struct hook *h, struct obuf *b, const char *kind)
{
	const struct ctr *c = h->c;

	obuf_printf(b, "%s lifecycle hook (", kind);
	if (ojson_get(h->handler, "httpGet")) {
		obuf_puts(b, ojson_cstr(OJSON_AT(h->handler, "httpGet", "path"), "/"));
	} else {
		obuf_putc(b, '[');
		OJSON_FOREACH_ELEM(i, w, OJSON_AT(h->handler, "exec", "command"))
			obuf_printf(b, "%s%s", i ? " " : "", ojson_cstr(w, ""));
		obuf_putc(b, ']');
	}
	obuf_printf(b, ") for Container \"%s\" in Pod \"%s_%s(%s)\" failed - error: ", c->name, c->pod->name, c->pod->ns,
		    c->pod->uid);
}

static void exec_done(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct hook *h = arg;
	int64_t code = ojson_get_i64(res, "exitCode", 0);
	struct obuf b = OBUF_INIT;

	(void)msg;
	h->asked = false;
	if (status >= 0 && !code) {
		done(h, NULL);
		return;
	}
	say(h, &b, "Exec");
	if (status < 0) {
		obuf_puts(&b, why);
	} else {
		obuf_puts(&b, "command '");
		OJSON_FOREACH_ELEM(i, w, OJSON_AT(h->handler, "exec", "command"))
			obuf_printf(&b, "%s%s", i ? " " : "", ojson_cstr(w, ""));
		obuf_printf(&b, "' exited with %lld: %.512s, message: ", (long long)code, ojson_get_cstr(res, "stderr", ""));
		obuf_put_json_cstr(&b, ojson_get_cstr(res, "stdout", ""));
	}
	done(h, obuf_cstr(&b));
	obuf_done(&b);
}

static void http_done(void *arg, const struct http_answer *a)
{
	struct hook *h = arg;
	struct obuf b = OBUF_INIT;

	h->http = NULL;
	if (a->status) {
		done(h, NULL);
		return;
	}
	say(h, &b, "HTTP");
	obuf_puts(&b, a->why);
	done(h, obuf_cstr(&b));
	obuf_done(&b);
}

static void slept(void *arg)
{
	done(arg, NULL);
}

static void cannot_posted(void *arg)
{
	struct hook *h = arg;

	h->posted = false;
	done(h, "Cannot run handler");
}

static bool begin(struct hook *h, int64_t timeout_s)
{
	struct kubelet *k = h->c->pod->k;
	struct ojson *cmd = OJSON_AT(h->handler, "exec", "command");
	const struct ojson *http = ojson_get(h->handler, "httpGet");
	const struct ojson *sleep = ojson_get(h->handler, "sleep");
	char addr[300];

	if (cmd) {
		struct ojson *body = rt_id("containerId", h->c->id);

		(void)ojson_set(body, "cmd", ojson_ref(cmd));
		(void)ojson_set_i64(body, "timeout", timeout_s);
		h->asked = true;
		rt_call(k, ORLOP_RUNTIME_EXEC_SYNC, 0, body, (uint64_t)(timeout_s + 10) * NS_PER_S, exec_done, h);
		return true;
	}
	if (http && ask_address(h->c, http, addr, sizeof(addr))) {
		h->http = http_ask(k, http, addr, "kube-lifecycle/1.36", (uint64_t)timeout_s * NS_PER_S, http_done, h);
		return h->http != NULL;
	}
	if (sleep) {
		int64_t s = ojson_get_i64(sleep, "seconds", 0);

		if (k->h->timer_new(k->h, slept, h, &h->timer))
			return false;
		k->h->timer_set(h->timer, s > 0 ? (uint64_t)s * NS_PER_S : 1, 0);
		return true;
	}
	h->posted = !k->h->post(k->h, cannot_posted, h);
	return h->posted;
}

struct hook *hook_start(struct ctr *c, const char *which, int64_t timeout_s, hook_fn fn)
{
	struct ojson *handler = OJSON_AT(ctr_spec(c), "lifecycle", which);
	struct hook *h = handler ? OMEM_NEW(struct hook) : NULL;

	if (!h)
		return NULL;
	h->c = c;
	h->fn = fn;
	h->handler = ojson_ref(handler);
	pod_ref(c->pod);
	if (begin(h, timeout_s > 0 ? timeout_s : FOREVER_S))
		return h;
	h->fn = NULL;
	hook_free(h);
	return NULL;
}
