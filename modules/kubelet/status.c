/*
 * status.c - a pod's status as upstream's kubelet reports it. Pure: what is known of the pod in,
 * JSON out.
 *
 * Source: pkg/kubelet/kubelet_pods.go (getPhase, convertStatusToAPIStatus),
 * pkg/kubelet/status/generate.go (conditions).
 */
#include "admit.h"
#include "resize.h"

#include <string.h>

#include "base/otime.h"

#define MESSAGES_MAX	(12u * 1024)

static bool initialized(const struct pod *p)
{
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++) {
		const struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_INIT && (c->state != C_EXITED || c->exit_code || c->stale))
			return false;
		if (c->kind == CTR_SIDECAR && !(c->state == C_RUNNING && c->started) && c->state != C_EXITED)
			return false;
	}
	return true;
}

static bool any_main_begun(const struct pod *p)
{
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->kind == CTR_MAIN && p->ctrs[i]->id)
			return true;
	return false;
}

/* Failed by our own decision; told when nothing of it runs any more. */
static bool failed_now(const struct pod *p)
{
	uint32_t i;

	for (i = 0; p->fail_reason && i < p->n_ctrs; i++)
		if (p->ctrs[i]->state == C_RUNNING)
			return false;
	return p->fail_reason != NULL;
}

const char *status_phase(const struct pod *p, bool final)
{
	uint32_t running = 0;
	uint32_t waiting = 0;
	uint32_t stopped = 0;
	uint32_t succeeded = 0;
	bool init_pending = false;
	bool init_failed = false;
	uint32_t i;

	if (failed_now(p))
		return "Failed";
	for (i = 0; i < p->n_ctrs; i++) {
		const struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_INIT) {
			if (c->state == C_EXITED && !c->exit_code && !c->stale)
				continue;
			if (c->state == C_EXITED && !c->reason && !c->busy && !ctr_restarts(c))
				init_failed = true;
			init_pending = true;
		} else if (c->kind == CTR_SIDECAR) {
			if (!(c->state == C_RUNNING && c->started) && c->state != C_EXITED)
				init_pending = true;
		} else if (c->kind == CTR_EPHEMERAL) {
			continue;
		} else if (c->state == C_RUNNING && !c->starting) {
			running++;
		} else if (c->state == C_EXITED) {
			stopped++;
			succeeded += !c->exit_code;
		} else {
			waiting++;
		}
	}
	if (init_failed)
		return "Failed";
	if (final && !running) {
		if (stopped && stopped == succeeded && !waiting && !init_pending)
			return "Succeeded";
		return "Failed";
	}
	if (init_pending && !any_main_begun(p))
		return "Pending";
	if (waiting)
		return "Pending";
	if (running)
		return "Running";
	if (stopped) {
		for (i = 0; i < p->n_ctrs; i++)
			if (p->ctrs[i]->kind == CTR_MAIN && (p->ctrs[i]->busy || ctr_restarts(p->ctrs[i])))
				return "Running";
		return stopped == succeeded ? "Succeeded" : "Failed";
	}
	return "Pending";
}

/* ---- containers ------------------------------------------------------------------------------------------- */

static struct ojson *waiting(const char *reason, const char *message)
{
	struct ojson *w = ojson_new_object();

	(void)ojson_set_cstr(w, "reason", reason);
	if (message && *message)
		(void)ojson_set_cstr(w, "message", message);
	return w;
}

/* How it ended, as the API was told in an earlier life of ours; its container is removed already. */
static struct ojson *told_end(const struct pod *p, const struct ctr *c)
{
	OJSON_FOREACH_ELEM(i, s, OJSON_AT(p->obj, "status", ctr_status_list(c))) {
		if (!strcmp(ojson_get_cstr(s, "name", ""), c->name))
			return ojson_get(ojson_get(s, "state"), "terminated") ? s : NULL;
	}
	return NULL;
}

/* Every handler of the runtime mounts read-only recursively where it can; with propagation it cannot be asked for. */
static bool recursively(const struct ojson *mount)
{
	const char *how = ojson_get_cstr(mount, "recursiveReadOnly", "");
	const char *prop = ojson_get_cstr(mount, "mountPropagation", "");

	return !strcmp(how, "Enabled") || (!strcmp(how, "IfPossible") && (!*prop || !strcmp(prop, "None")));
}

/* As the spec has them: the runtime knows no names of volumes. */
static void volume_mounts(const struct ojson *spec, struct ojson *s)
{
	OJSON_FOREACH_ELEM(i, m, ojson_get(spec, "volumeMounts")) {
		struct ojson *v = ojson_new_object();

		if (!v)
			return;
		(void)ojson_set_cstr(v, "name", ojson_get_cstr(m, "name", ""));
		(void)ojson_set_cstr(v, "mountPath", ojson_get_cstr(m, "mountPath", ""));
		if (ojson_get_bool(m, "readOnly", false)) {
			(void)ojson_set_bool(v, "readOnly", true);
			(void)ojson_set_cstr(v, "recursiveReadOnly", recursively(m) ? "Enabled" : "Disabled");
		}
		(void)ojson_append(ojson_ensure_array(s, "volumeMounts"), v);
	}
}

static struct ojson *container_status(const struct pod *p, const struct ctr *c, const struct status_input *in)
{
	const struct ojson *spec = ctr_spec(c);
	struct ojson *s = ojson_new_object();
	struct ojson *state = s ? ojson_ensure_object(s, "state") : NULL;
	struct ojson *last = s ? ojson_ensure_object(s, "lastState") : NULL;
	char time[OTIME_BUF];
	char id[160];
	bool has_init = p->n_ctrs && p->ctrs[0]->kind != CTR_MAIN;
	bool again = c->state == C_EXITED && c->reason && ctr_restarts(c);
	bool shows_waiting = c->state == C_WAITING || again || (c->state == C_RUNNING && c->starting);

	if (!state || !last) {
		ojson_unref(s);
		return NULL;
	}
	if (in->final && !c->id && told_end(p, c)) {
		ojson_unref(s);
		return ojson_ref(told_end(p, c));
	}
	(void)ojson_set_cstr(s, "name", c->name);
	if (c->state == C_RUNNING && !c->starting) {
		otime_format(c->started_ns, time);
		(void)ojson_set_cstr(ojson_ensure_object(state, "running"), "startedAt", time);
	} else if (shows_waiting && !in->final) {
		const char *reason = c->reason ? c->reason
			: has_init ? "PodInitializing" : "ContainerCreating";

		(void)ojson_set(state, "waiting", waiting(reason, c->message));
	} else if (c->state == C_EXITED) {
		(void)ojson_set(state, "terminated", ctr_terminated(c));
	} else {
		/* the pod has ended before it could run */
		struct ojson *t = ojson_ensure_object(state, "terminated");

		(void)ojson_set_i64(t, "exitCode", 137);
		(void)ojson_set_cstr(t, "reason", "ContainerStatusUnknown");
		(void)ojson_set_cstr(t, "message", "The container could not be located when the pod was terminated");
	}
	if (again && !in->final)
		(void)ojson_set(last, "terminated", ctr_terminated(c));
	else if (c->last)
		(void)ojson_set(last, "terminated", ojson_ref(c->last));
	(void)ojson_set_bool(s, "ready", c->kind == CTR_INIT ? c->state == C_EXITED && !c->exit_code && !c->stale
							      : c->state == C_RUNNING && c->ready);
	(void)ojson_set_i64(s, "restartCount", c->restarts);
	(void)ojson_set_cstr(s, "image", ojson_get_cstr(spec, "image", ""));
	(void)ojson_set_cstr(s, "imageID", c->id && c->image_ref ? c->image_ref : "");
	snprintf(id, sizeof(id), "orlop://%s", c->id ? c->id : "");
	if (c->id)
		(void)ojson_set_cstr(s, "containerID", id);
	resize_status(c, s);
	volume_mounts(spec, s);
	if (c->id && c->user)
		(void)ojson_set(s, "user", ojson_ref(c->user));
	(void)ojson_set_bool(s, "started", c->state == C_RUNNING && c->started);
	return s;
}

/* ---- conditions --------------------------------------------------------------------------------------------- */

static int64_t generation(const struct pod *p)
{
	return ojson_get_i64(ojson_get(p->obj, "metadata"), "generation", 0);
}

static const struct ojson *condition_of(const struct ojson *list, const char *type)
{
	OJSON_FOREACH_ELEM(i, c, list) {
		if (!strcmp(ojson_get_cstr(c, "type", ""), type))
			return c;
	}
	return NULL;
}

/* May the API have this member? What was sent last may not be in the cache yet. */
static bool had(const struct pod *p, const char *type, const struct ojson *old, const char *key)
{
	return ojson_get(old, key) || ojson_get(okube_condition(p->obj, type), key);
}

static void condition(const struct pod *p, struct ojson *list, const char *type, bool good, const char *reason,
		      const char *message, int64_t now)
{
	const struct ojson *old = condition_of(ojson_get(p->sent, "conditions"), type);
	const char *status = good ? "True" : "False";
	struct ojson *c = ojson_new_object();
	char time[OTIME_BUF];

	if (!c)
		return;
	if (!old)
		old = okube_condition(p->obj, type);
	otime_format(now, time);
	(void)ojson_set_cstr(c, "type", type);
	if (generation(p))
		(void)ojson_set_i64(c, "observedGeneration", generation(p));
	(void)ojson_set_cstr(c, "status", status);
	(void)ojson_put(c, "lastProbeTime", NULL);
	if (old && !strcmp(ojson_get_cstr(old, "status", ""), status) &&
	    *ojson_get_cstr(old, "lastTransitionTime", ""))
		(void)ojson_set_cstr(c, "lastTransitionTime", ojson_get_cstr(old, "lastTransitionTime", time));
	else
		(void)ojson_set_cstr(c, "lastTransitionTime", time);
	/* null takes an old one away in a patch */
	if (reason)
		(void)ojson_set_cstr(c, "reason", reason);
	else if (had(p, type, old, "reason"))
		(void)ojson_put(c, "reason", NULL);
	if (message)
		(void)ojson_set_cstr(c, "message", message);
	else if (had(p, type, old, "message"))
		(void)ojson_put(c, "message", NULL);
	(void)ojson_append(list, c);
}

static void names_add(struct obuf *b, const char *name)
{
	obuf_printf(b, "%s%s", b->len ? " " : "", name);
}

/* Readiness gates: conditions that others set. */
static bool gates_open(const struct pod *p, struct obuf *why)
{
	OJSON_FOREACH_ELEM(i, g, OJSON_AT(p->obj, "spec", "readinessGates")) {
		const char *type = ojson_get_cstr(g, "conditionType", "");
		const struct ojson *c = okube_condition(p->obj, type);

		if (!c || strcmp(ojson_get_cstr(c, "status", ""), "True"))
			obuf_printf(why, "%s%s \"%s\"%s", why->len ? ", " : "",
				    c ? "the status of pod readiness gate" : "corresponding condition of pod readiness gate",
				    type, c ? " is not \"True\", but False" : " does not exist.");
	}
	return !why->len;
}

static void conditions(const struct pod *p, struct ojson *list, const char *phase, const struct status_input *in)
{
	bool done = !strcmp(phase, "Succeeded");
	bool failed = !strcmp(phase, "Failed");
	bool init = initialized(p) || any_main_begun(p);
	struct obuf unready = OBUF_INIT;
	struct obuf uninit = OBUF_INIT;
	struct obuf gates = OBUF_INIT;
	char text[1200];
	char now[OTIME_BUF];
	const char *reason = NULL;
	const char *message = NULL;
	bool ready;
	bool open;
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++) {
		const struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_INIT) {
			if (!(c->state == C_EXITED && !c->exit_code && !c->stale))
				names_add(&uninit, c->name);
			continue;
		}
		if (c->kind == CTR_EPHEMERAL)
			continue;
		if (c->kind == CTR_SIDECAR && !(c->state == C_RUNNING && c->started))
			names_add(&uninit, c->name);
		if (!(c->state == C_RUNNING && c->ready))
			names_add(&unready, c->name);
	}
	/* the sandbox of one that has ended goes next, and is not worth a status of its own */
	condition(p, list, "PodReadyToStartContainers", p->sb == SB_READY && !p->td_done && !p->td_busy && !in->final, NULL, NULL, in->now_ns);
	if (done) {
		condition(p, list, "Initialized", true, "PodCompleted", NULL, in->now_ns);
	} else if (init || !uninit.len) {
		condition(p, list, "Initialized", true, NULL, NULL, in->now_ns);
	} else {
		snprintf(text, sizeof(text), "containers with incomplete status: [%s]", obuf_cstr(&uninit));
		condition(p, list, "Initialized", false, "ContainersNotInitialized", text, in->now_ns);
	}
	ready = !unready.len && p->n_ctrs && !done && !failed;
	if (done) {
		reason = "PodCompleted";
	} else if (failed) {
		reason = "PodFailed";
	} else if (unready.len) {
		reason = "ContainersNotReady";
		snprintf(text, sizeof(text), "containers with unready status: [%s]", obuf_cstr(&unready));
		message = text;
	}
	open = gates_open(p, &gates);
	if (ready && !open)
		condition(p, list, "Ready", false, "ReadinessGatesNotReady", obuf_cstr(&gates), in->now_ns);
	else
		condition(p, list, "Ready", ready, reason, message, in->now_ns);
	condition(p, list, "ContainersReady", ready, reason, message, in->now_ns);
	condition(p, list, "PodScheduled", true, NULL, NULL, in->now_ns);
	otime_format(in->now_ns, now);
	resize_conditions(p, list, now);
	if (p->disruption)
		condition(p, list, "DisruptionTarget", true, "TerminationByKubelet",
			  strcmp(p->fail_reason ? p->fail_reason : "", PREEMPTED) ? p->fail_message : PREEMPTED_CONDITION, in->now_ns);
	obuf_done(&unready);
	obuf_done(&uninit);
	obuf_done(&gates);
}

/* @ip2: of the other family, or NULL. */
static void ip_list(struct ojson *st, const char *one, const char *many, const char *ip, const char *ip2, bool replace)
{
	struct ojson *list;
	struct ojson *e;

	if (!ip || !*ip)
		return;
	(void)ojson_set_cstr(st, one, ip);
	list = ojson_ensure_array(st, many);
	e = ojson_new_object();
	(void)ojson_set_cstr(e, "ip", ip);
	(void)ojson_append(list, e);
	if (ip2) {
		e = ojson_new_object();
		(void)ojson_set_cstr(e, "ip", ip2);
		(void)ojson_append(list, e);
	}
	if (replace) {
		e = ojson_new_object();
		(void)ojson_set_cstr(e, "$patch", "replace");
		(void)ojson_append(list, e);
	}
}

static bool is_alive(const struct pod *p)
{
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->state == C_RUNNING || p->ctrs[i]->busy)
			return true;
	return false;
}

/* All last words of a pod together have a limit, as upstream's status manager keeps it. */
static void shorten(struct ojson *list, size_t max)
{
	static const char *const states[] = { "state", "lastState" };

	OJSON_FOREACH_ELEM(i, s, list) {
		size_t k;

		for (k = 0; k < 2; k++) {
			struct ojson *t = OJSON_AT(s, states[k], "terminated");
			struct orlop_bytes b = ojson_get_bytes(t, "message");

			while (b.len > max && max && ((unsigned char)b.p[max] & 0xc0) == 0x80)
				max--;
			if (b.len > max)
				(void)ojson_set(t, "message", ojson_new_string(b.p, max));
		}
	}
}

struct ojson *status_make(const struct pod *p, const struct status_input *in)
{
	static const char *const lists[] = { "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses" };
	const struct ojson *now = ojson_get(p->obj, "status");
	struct ojson *st = ojson_new_object();
	const char *phase = status_phase(p, in->final);
	const char *had = ojson_get_cstr(now, "phase", "");
	const char *had_ip = ojson_get_cstr(now, "podIP", "");
	char time[OTIME_BUF];
	uint32_t i;

	if (!st)
		return NULL;
	/* what has finished stays finished; and nothing has while something of it runs */
	if (!strcmp(had, "Succeeded") || !strcmp(had, "Failed"))
		phase = had;
	else if ((!strcmp(phase, "Succeeded") || !strcmp(phase, "Failed")) && is_alive(p))
		phase = *had ? had : "Pending";
	if (generation(p))
		(void)ojson_set_i64(st, "observedGeneration", generation(p));
	(void)ojson_set_cstr(st, "phase", phase);
	conditions(p, ojson_ensure_array(st, "conditions"), phase, in);
	if (failed_now(p)) {
		(void)ojson_set_cstr(st, "reason", p->fail_reason);
		(void)ojson_set_cstr(st, "message", p->fail_message ? p->fail_message : "");
	}
	if (p->rejected) {
		ojson_del(st, "conditions");
		otime_format(p->start_ns, time);
		(void)ojson_set_cstr(st, "startTime", time);
		(void)ojson_set_cstr(st, "qosClass", qos_name(qos_class(p->obj)));
		return st;
	}
	ip_list(st, "hostIP", "hostIPs", in->host_ip, NULL, false);
	ip_list(st, "podIP", "podIPs", p->ip, p->ip2,
		p->ip && *had_ip && (strcmp(had_ip, p->ip) || ojson_count(ojson_get(now, "podIPs")) != (p->ip2 ? 2 : 1)));
	otime_format(p->start_ns, time);
	if (p->start_ns)
		(void)ojson_set_cstr(st, "startTime", time);
	(void)ojson_ensure_array(st, "containerStatuses");
	for (i = 0; i < p->n_ctrs; i++)
		(void)ojson_append(ojson_ensure_array(st, ctr_status_list(p->ctrs[i])),
				   container_status(p, p->ctrs[i], in));
	for (i = 0; i < 3; i++)
		shorten(ojson_get(st, lists[i]), p->n_ctrs ? MESSAGES_MAX / p->n_ctrs : MESSAGES_MAX);
	(void)ojson_set_cstr(st, "qosClass", qos_name(qos_class(p->obj)));
	return st;
}
