/*
 * cells-pod.c - cells of pods, whose STATUS tells more than a phase.
 *
 * Source: what upstream's printPod shows; test: lib/apischema/test/rows.c
 */
#include "schema/cells.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/otime.h"

/* What all pod cells are made of. */
struct summary {
	char		status[160];
	int64_t		restarts;
	struct orlop_bytes last_finished;	/* latest end of an earlier run, "" none */
	int		ready;
	int		total;
};

static void set_status(struct summary *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void set_status(struct summary *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(s->status, sizeof(s->status), fmt, ap);
	va_end(ap);
}

#define TEXT(t) (int)(t).len, (t).p

static bool is_sidecar(struct ojson *spec, struct orlop_bytes name)
{
	OJSON_FOREACH_ELEM(i, c, ojson_get(spec, "initContainers")) {
		struct orlop_bytes n = oget_text(c, "name");

		if (ostr_eq(n.p, n.len, name.p, name.len))
			return oget_is(c, "restartPolicy", "Always");
	}
	return false;
}

static void note_last_finished(struct orlop_bytes *latest, struct ojson *status)
{
	struct orlop_bytes t = oget_text(OJSON_AT(status, "lastState", "terminated"), "finishedAt");

	/* same form, so that byte order is order in time */
	if (t.len > 0 && (latest->len == 0 || ostr_cmp(t.p, t.len, latest->p, latest->len) > 0))
		*latest = t;
}

static void put_terminated(struct summary *s, const char *prefix, struct ojson *t)
{
	struct orlop_bytes reason = oget_text(t, "reason");

	if (reason.len > 0)
		set_status(s, "%s%.*s", prefix, TEXT(reason));
	else if (oget_int(t, "signal") != 0)
		set_status(s, "%sSignal:%lld", prefix, (long long)oget_int(t, "signal"));
	else
		set_status(s, "%sExitCode:%lld", prefix, (long long)oget_int(t, "exitCode"));
}

static bool condition_is(struct ojson *status, const char *type, const char *value)
{
	OJSON_FOREACH_ELEM(i, c, ojson_get(status, "conditions"))
		if (oget_is(c, "type", type) && oget_is(c, "status", value))
			return true;
	return false;
}

/* Init containers in order. Returns true while the pod is initializing. */
static bool look_at_init(struct summary *s, struct ojson *spec, struct ojson *status)
{
	struct orlop_bytes sidecar_finished = { "", 0 };
	struct ojson *list = ojson_get(status, "initContainerStatuses");
	int64_t sidecar_restarts = 0;
	bool initializing = false;

	OJSON_FOREACH_ELEM(i, c, list) {
		struct ojson *state = ojson_get(c, "state"), *t = ojson_get(state, "terminated");
		struct ojson *w = ojson_get(state, "waiting");
		bool sidecar = is_sidecar(spec, oget_text(c, "name"));

		s->restarts += oget_int(c, "restartCount");
		note_last_finished(&s->last_finished, c);
		if (sidecar) {
			sidecar_restarts += oget_int(c, "restartCount");
			note_last_finished(&sidecar_finished, c);
		}
		if (initializing)
			continue;
		if (t != NULL && oget_int(t, "exitCode") == 0)
			continue;
		if (sidecar && oget_bool(c, "started")) {
			if (oget_bool(c, "ready"))
				s->ready++;
			continue;
		}
		initializing = true;
		if (t != NULL)
			put_terminated(s, "Init:", t);
		else if (w != NULL && !oget_empty(w, "reason") && !oget_is(w, "reason", "PodInitializing"))
			set_status(s, "Init:%.*s", TEXT(oget_text(w, "reason")));
		else
			set_status(s, "Init:%zu/%zu", i, oget_len(spec, "initContainers"));
	}
	if (initializing && !condition_is(status, "Initialized", "True"))
		return true;
	/* from now on only containers that go on count */
	s->restarts = sidecar_restarts;
	s->last_finished = sidecar_finished;
	return false;
}

static void look_at_containers(struct summary *s, struct ojson *status)
{
	struct ojson *list = ojson_get(status, "containerStatuses");
	bool running = false;

	for (size_t i = ojson_count(list); i-- > 0;) {
		struct ojson *c = ojson_index(list, i), *state = ojson_get(c, "state");
		struct ojson *w = ojson_get(state, "waiting"), *t = ojson_get(state, "terminated");

		s->restarts += oget_int(c, "restartCount");
		note_last_finished(&s->last_finished, c);
		if (w != NULL && !oget_empty(w, "reason")) {
			set_status(s, "%.*s", TEXT(oget_text(w, "reason")));
		} else if (t != NULL) {
			put_terminated(s, "", t);
		} else if (oget_bool(c, "ready") && ojson_has(state, "running")) {
			running = true;
			s->ready++;
		}
	}
	/* one has completed while others go on: the pod is not */
	if (strcmp(s->status, "Completed") == 0 && running)
		set_status(s, "%s", condition_is(status, "Ready", "True") ? "Running" : "NotReady");
}

static void summarize(struct ojson *pod, struct summary *s)
{
	struct ojson *spec = ojson_get(pod, "spec"), *status = ojson_get(pod, "status");
	struct orlop_bytes phase = oget_text(status, "phase"), reason = oget_text(status, "reason");

	*s = (struct summary){ .last_finished = { "", 0 } };
	s->total = (int)oget_len(spec, "containers");
	OJSON_FOREACH_ELEM(i, c, ojson_get(spec, "initContainers"))
		s->total += oget_is(c, "restartPolicy", "Always");
	set_status(s, "%.*s", TEXT(reason.len > 0 ? reason : phase));
	OJSON_FOREACH_ELEM(k, c, ojson_get(status, "conditions"))
		if (oget_is(c, "type", "PodScheduled") && oget_is(c, "reason", "SchedulingGated"))
			set_status(s, "SchedulingGated");
	if (!look_at_init(s, spec, status))
		look_at_containers(s, status);
	if (!ojson_has(ojson_get(pod, "metadata"), "deletionTimestamp"))
		return;
	if (otext_is(reason, "NodeLost"))
		set_status(s, "Unknown");
	else if (!otext_is(phase, "Succeeded") && !otext_is(phase, "Failed"))
		set_status(s, "Terminating");
}

OCELL(pod_ready)
{
	struct summary s;

	summarize(x->obj, &s);
	obuf_printf(x->out, "\"%d/%d\"", s.ready, s.total);
}

OCELL(pod_status)
{
	struct summary s;

	summarize(x->obj, &s);
	ocell_cstr(x, s.status);
}

OCELL(pod_restarts)
{
	struct obuf b = OBUF_INIT;
	struct summary s;

	summarize(x->obj, &s);
	obuf_put_i64(&b, s.restarts);
	if (s.restarts != 0 && s.last_finished.len > 0) {
		obuf_puts(&b, " (");
		ocell_since(x, s.last_finished, &b);
		obuf_puts(&b, " ago)");
	}
	ocell_text(x, &b);
}

OCELL(pod_ip)
{
	struct ojson *status = ojson_get(x->obj, "status");
	struct ojson *ip = ojson_get(ojson_index(ojson_get(status, "podIPs"), 0), "ip");

	if (ozero(ip))
		ip = ojson_get(status, "podIP");
	if (ozero(ip))
		ocell_cstr(x, "<none>");
	else
		ocell_value(x, ip);
}

OCELL(pod_gates)
{
	struct ojson *gates = OJSON_AT(x->obj, "spec", "readinessGates");
	struct ojson *status = ojson_get(x->obj, "status");
	size_t ready = 0;

	OJSON_FOREACH_ELEM(i, g, gates)
		ready += condition_is(status, ojson_get_cstr(g, "conditionType", ""), "True");
	if (ojson_count(gates) == 0)
		ocell_cstr(x, "<none>");
	else
		obuf_printf(x->out, "\"%zu/%zu\"", ready, ojson_count(gates));
}
