/*
 * container.c - one container of a pod: image → files → create → start → running → ended, again.
 *
 * `busy` is set while an answer is awaited that moves it on, and holds a reference of the pod. Every
 * step looks whether the pod is being ended meanwhile and stops there.
 */
#include "ctr.h"
#include "limits.h"
#include "resize.h"
#include "security.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>

#include "base/ohash.h"
#include "base/otime.h"

/* ---- small -------------------------------------------------------------------------------------------- */

void ctr_free(struct ctr *c)
{
	probes_stop(c);
	ctr_stop_forget(c);
	ojson_unref(c->last);
	omem_free(c->name);
	omem_free(c->id);
	omem_free(c->prev_id);
	omem_free(c->image_ref);
	ojson_unref(c->user);
	ojson_unref(c->vol_images);
	omem_free(c->image_id);
	omem_free(c->image_user);
	ojson_unref(c->given);
	omem_free(c->exit_reason);
	omem_free(c->exit_message);
	omem_free(c->reason);
	omem_free(c->message);
	omem_free(c->pull_error);
	omem_free(c);
}

/* Upstream (since 1.31) hashes what may change and means a restart: name and image. */
uint32_t ctr_spec_hash(const struct ojson *spec)
{
	struct obuf b = OBUF_INIT;
	uint32_t h;

	obuf_puts(&b, "{\"image\":");
	obuf_put_json_cstr(&b, ojson_get_cstr(spec, "image", ""));
	obuf_puts(&b, ",\"name\":");
	obuf_put_json_cstr(&b, ojson_get_cstr(spec, "name", ""));
	obuf_putc(&b, '}');
	h = ohash_fnv1a32(OHASH_FNV32_INIT, obuf_cstr(&b), b.len);
	obuf_done(&b);
	return h;
}

char *pod_log_dir(const struct pod *p)
{
	return omem_printf("%s/%s_%s_%s", p->k->log_dir, p->ns, p->name, p->uid);
}

char *ctr_log_path(const struct ctr *c, uint32_t n)
{
	const struct pod *p = c->pod;

	return omem_printf("%s/%s_%s_%s/%s/%u.log", p->k->log_dir, p->ns, p->name, p->uid, c->name, n);
}

char *ctr_term_path(const struct ctr *c, uint32_t attempt)
{
	return omem_printf("%s/pods/%s/%s.%u", c->pod->k->root, c->pod->uid, c->name, attempt);
}

bool ctr_alive(const struct ctr *c)
{
	return c->state == C_RUNNING;
}

void ctr_wait(struct ctr *c, const char *reason, const char *message)
{
	text_set(&c->reason, reason);
	text_set(&c->message, message);
}

static const char *policy(const struct ctr *c)
{
	const struct ojson *spec = ctr_spec(c);
	const char *own = c->kind == CTR_SIDECAR ? "Always" : ojson_get_cstr(spec, "restartPolicy", "");
	const char *pod = ojson_get_cstr(ojson_get(c->pod->obj, "spec"), "restartPolicy", "Always");

	if (c->kind == CTR_EPHEMERAL)
		return "Never";
	if (*own)
		return own;
	/* an init container that has ended well has done its work */
	return c->kind == CTR_INIT && !strcmp(pod, "Always") ? "OnFailure" : pod;
}

/* A rule of the container's own for this exit code: it is started again whatever its policy says. */
static bool rule_restarts(const struct ctr *c)
{
	OJSON_FOREACH_ELEM(i, r, ojson_get(ctr_spec(c), "restartPolicyRules")) {
		const struct ojson *codes = ojson_get(r, "exitCodes");
		bool in = false;

		OJSON_FOREACH_ELEM(k, v, ojson_get(codes, "values"))
			in |= ojson_i64(v, -1) == c->exit_code;
		if (codes && in == !strcmp(ojson_get_cstr(codes, "operator", ""), "In") &&
		    !strcmp(ojson_get_cstr(r, "action", ""), "Restart"))
			return true;
	}
	return false;
}

bool ctr_restarts(const struct ctr *c)
{
	const char *rp = policy(c);

	if (c->state != C_EXITED || c->stale)
		return true;
	if (rule_restarts(c))
		return true;
	if (!strcmp(rp, "Never"))
		return c->kill_why_spec && c->kind == CTR_MAIN;
	return !strcmp(rp, "Always") || c->exit_code;
}

struct ojson *ctr_terminated(const struct ctr *c)
{
	struct ojson *t = ojson_new_object();
	char id[160];
	char time[OTIME_BUF];

	if (!t)
		return NULL;
	(void)ojson_set_i64(t, "exitCode", c->exit_code);
	(void)ojson_set_cstr(t, "reason", c->exit_reason && *c->exit_reason ? c->exit_reason
			     : c->exit_code ? "Error" : "Completed");
	if (c->exit_message && *c->exit_message)
		(void)ojson_set_cstr(t, "message", c->exit_message);
	otime_format(c->started_ns, time);
	if (c->started_ns)
		(void)ojson_set_cstr(t, "startedAt", time);
	otime_format(c->finished_ns, time);
	if (c->finished_ns)
		(void)ojson_set_cstr(t, "finishedAt", time);
	snprintf(id, sizeof(id), "orlop://%s", c->id ? c->id : "");
	if (c->id)
		(void)ojson_set_cstr(t, "containerID", id);
	return t;
}

static void ignored(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct kubelet *k = arg;

	(void)res;
	(void)msg;
	if (status < 0 && !k->stopping)
		OLOG(k->h, WARN, "container_not_removed", "why=\"%s\" ignoring=1", why);
}

static void remove_id(struct pod *p, const char *id)
{
	rt_call(p->k, ORLOP_RUNTIME_REMOVE_CONTAINER, 0, rt_id("containerId", id), 0, ignored, p->k);
}

void ctr_forget_previous(struct ctr *c)
{
	remove_id(c->pod, c->prev_id);
	omem_free(c->prev_id);
	c->prev_id = NULL;
}

/* The step is over, one way or the other. */
void ctr_step_end(struct ctr *c)
{
	c->busy = false;
	pod_kick(c->pod);
	pod_unref(c->pod);
}

bool ctr_interrupted(struct ctr *c)
{
	if (!c->pod->term && !c->pod->k->stopping)
		return false;
	ctr_step_end(c);
	return true;
}

void ctr_step_fail(struct ctr *c, const char *reason, const char *message)
{
	int64_t now = kubelet_now(c->pod->k);

	pod_event(c->pod, c, "Warning", "Failed", "Error: %s", message);
	ctr_wait(c, reason, message);
	backoff_next(&c->crash, now);
	c->retry_ns = now + (int64_t)(c->crash.delay_s * NS_PER_S);
	ctr_step_end(c);
}

/* ---- the beginning ------------------------------------------------------------------------------------------ */

struct again {
	struct ctr	*c;
	struct orlop_timer *timer;
};

static void unstarted_remove(struct ctr *c);

static void unstarted_again(void *arg)
{
	struct again *a = arg;
	struct ctr *c = a->c;

	c->pod->k->h->timer_free(a->timer);
	omem_free(a);
	unstarted_remove(c);
}

static void unstarted_removed(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg,
			      const char *why)
{
	struct ctr *c = arg;
	struct kubelet *k = c->pod->k;
	struct again *a;

	(void)res;
	(void)msg;
	if (status >= 0 || status == -ENOENT || k->stopping) {
		ctr_step_end(c);
		return;
	}
	/* it may run: no other may begin */
	OLOG(k->h, WARN, "container_not_removed", "pod=%s/%s container=%s why=\"%s\" retrying=1", c->pod->ns, c->pod->name,
	     c->name, why);
	a = OMEM_NEW(struct again);
	if (!a || k->h->timer_new(k->h, unstarted_again, a, &a->timer)) {
		omem_free(a);
		ctr_step_end(c);
		return;
	}
	a->c = c;
	k->h->timer_set(a->timer, NS_PER_S, 0);
}

/* It must not live on unseen beside its successor. */
static void unstarted_remove(struct ctr *c)
{
	rt_call(c->pod->k, ORLOP_RUNTIME_REMOVE_CONTAINER, c->pod->key, rt_id("containerId", c->id), 0, unstarted_removed, c);
}

static void poststart_done(struct ctr *c, const char *why)
{
	struct pod *p = c->pod;
	int64_t grace = ojson_get_i64(ojson_get(p->obj, "spec"), "terminationGracePeriodSeconds", 30);

	c->hook = NULL;
	if (p->k->stopping || c->state != C_RUNNING)
		return;
	if (why) {
		/* what it said is for the status, which not everybody may read */
		pod_event(p, c, "Warning", "FailedPostStartHook", "PostStartHook failed");
		ctr_wait(c, "PostStartHookError", why);
		ctr_stop(c, grace, "FailedPostStartHook");
	} else {
		c->starting = false;
		probes_start(c);
	}
	pod_kick(p);
}

/* Until its hook has ended a container is not running for anybody else. */
static void poststart(struct ctr *c)
{
	if (OJSON_AT(ctr_spec(c), "lifecycle", "postStart")) {
		c->hook = hook_start(c, "postStart", 0, poststart_done);
		c->starting = c->hook != NULL;
	}
	if (!c->starting)
		probes_start(c);
}

/* 64-bit integers of CRI's JSON may be strings. */
static struct ojson *cri_number(const struct ojson *v)
{
	const char *text = ojson_cstr(v, NULL);

	return ojson_new_i64(text ? strtoll(text, NULL, 10) : ojson_i64(v, 0));
}

void ctr_user_take(struct ctr *c, const struct ojson *st)
{
	const struct ojson *from = ojson_get_object(ojson_get(st, "user"), "linux");
	struct ojson *user = from ? ojson_new_object() : NULL;
	struct ojson *to = user ? ojson_ensure_object(user, "linux") : NULL;

	if (!to) {
		ojson_unref(user);
		return;
	}
	(void)ojson_set(to, "uid", cri_number(ojson_get(from, "uid")));
	(void)ojson_set(to, "gid", cri_number(ojson_get(from, "gid")));
	OJSON_FOREACH_ELEM(i, g, ojson_get(from, "supplementalGroups"))
		(void)ojson_append(ojson_ensure_array(to, "supplementalGroups"), cri_number(g));
	ojson_unref(c->user);
	c->user = user;
}

void ctr_start_seen(struct ctr *c, const struct ojson *st)
{
	if (!c->start_unsure || c->state != C_RUNNING || c->busy || c->pod->k->stopping)
		return;
	c->start_unsure = false;
	if (!strcmp(ojson_get_cstr(st, "state", ""), "CONTAINER_CREATED")) {
		if (c->pod->term) {	/* never started: removed with the others */
			ctr_stop_forget(c);
			c->state = C_EXITED;
			c->exit_code = 137;
			c->finished_ns = c->started_ns;
			return;
		}
		ctr_start_created(c);
		return;
	}
	pod_event(c->pod, c, "Normal", "Started", "Started container %s", c->name);
	if (!strcmp(ojson_get_cstr(st, "state", ""), "CONTAINER_RUNNING")) {
		ctr_apply_status(c, st);
		if (!c->stop_sent)
			poststart(c);
	}
}

static void started(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct ctr *c = arg;
	struct pod *p = c->pod;
	char text[700];

	(void)msg;
	if (p->k->stopping) {
		ctr_step_end(c);
		return;
	}
	if (status == -ECONNRESET) {
		/* it may run: look */
		c->state = C_RUNNING;
		c->start_unsure = true;
		ctr_step_end(c);
		ctr_check(c);
		return;
	}
	if (status < 0) {
		snprintf(text, sizeof(text), "%s", why);
		c->state = C_EXITED;
		c->exit_code = 128;
		c->started_ns = 0;
		c->finished_ns = kubelet_now(p->k);
		text_set(&c->exit_reason, "StartError");
		text_set(&c->exit_message, text);
		pod_event(p, c, "Warning", "Failed", "Error: %s", text);
		ctr_wait(c, "RunContainerError", text);
		unstarted_remove(c);
		return;
	}
	pod_event(p, c, "Normal", "Started", "Started container %s", c->name);
	if (c->state != C_EXITED) {
		/* The runtime's moment if it says it, so that a restarted kubelet tells the same. */
		c->started_ns = ojson_get_i64(res, "startedAt", kubelet_now(p->k));
		ctr_user_take(c, res);
		c->state = C_RUNNING;
		poststart(c);
	}
	ctr_step_end(c);
}

void ctr_start_created(struct ctr *c)
{
	struct pod *p = c->pod;

	c->state = C_WAITING;
	c->start_unsure = false;
	c->busy = true;
	pod_ref(p);
	rt_call(p->k, ORLOP_RUNTIME_START_CONTAINER, p->key, rt_id("containerId", c->id), 0, started, c);
}

static void created(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct ctr *c = arg;
	struct pod *p = c->pod;
	const char *id = ojson_get_cstr(res, "containerId", "");

	(void)msg;
	if (status < 0 || !*id) {
		if (p->term || p->k->stopping) {
			ctr_step_end(c);
			return;
		}
		adopt_later(p->k);	/* it may be there nevertheless */
		ctr_step_fail(c, "CreateContainerError", *why ? why : "the runtime gave no id");
		return;
	}
	if (p->k->stopping) {
		ctr_step_end(c);
		return;
	}
	/* the one before becomes history, and the one before that goes */
	if (c->id) {
		ojson_unref(c->last);
		c->last = ctr_terminated(c);
		if (c->prev_id)
			remove_id(p, c->prev_id);
		omem_free(c->prev_id);
		c->prev_id = c->id;
		c->id = NULL;
		c->restarts++;
		if (!p->k->limits->dead_per_container)
			ctr_forget_previous(c);
	}
	text_set(&c->id, id);
	ojson_unref(c->user);
	c->user = NULL;
	c->state = C_WAITING;
	c->stale = false;
	c->stop_sent = false;
	c->kill_why_spec = false;
	c->start_unsure = false;
	c->attempt = c->restarts;
	c->started_ns = kubelet_now(p->k);
	c->finished_ns = 0;
	c->exit_code = 0;
	c->retry_ns = 0;
	c->ready = false;
	c->started = false;
	ctr_wait(c, NULL, NULL);
	text_set(&c->exit_reason, NULL);
	text_set(&c->exit_message, NULL);
	pod_event(p, c, "Normal", "Created", "Created container: %s", c->name);
	if (p->term) {
		/* never started: nothing to stop, removed with the others */
		c->state = C_EXITED;
		c->exit_code = 137;
		c->finished_ns = c->started_ns;
		ctr_step_end(c);
		return;
	}
	rt_call(p->k, ORLOP_RUNTIME_START_CONTAINER, p->key, rt_id("containerId", c->id), 0, started, c);
}

void ctr_create(struct ctr *c, const struct ojson *env, const struct config_mount *mounts, uint32_t n_mounts)
{
	struct pod *p = c->pod;
	struct kubelet *k = p->k;
	char *dir = pod_dir(p);
	char *logs = pod_log_dir(p);
	struct config_world w = { .pod = p->obj, .uid = p->uid, .node_name = k->node_name, .log_dir = logs,
				  .cgroup_root = k->cgroup_root, .pod_dir = dir, .cluster_dns = k->cluster_dns,
				  .cluster_domain = k->cluster_domain, .memory = node_machine(k)->memory,
				  .attempt = p->sb_attempt, .root = k->root, .userns = userns_take(p) };
	cleanup_ojson struct ojson *spec = resize_spec(c, ctr_spec(c));
	const char *target = ojson_get_cstr(spec, "targetContainerName", "");
	const struct ctr *seen = *target ? pod_ctr(p, target) : NULL;
	struct ojson *body = rt_id("podSandboxId", p->sb_id);
	struct ojson *config;

	w.target_id = seen ? seen->id : NULL;
	config = dir && logs && spec
		? config_container(&w, spec, c->image_id && *c->image_id ? c->image_id : ojson_get_cstr(spec, "image", ""),
				   env, mounts, n_mounts, c->id ? c->restarts + 1 : c->restarts,
				   ctr_spec_hash(spec))
		: NULL;

	if (spec) {
		c->hash = ctr_spec_hash(spec);
		resize_given(c, ojson_get(spec, "resources"));
	}
	if (body && config && !ojson_set(body, "config", config)) {
		(void)ojson_set(body, "sandboxConfig", config_sandbox(&w));
		rt_call(k, ORLOP_RUNTIME_CREATE_CONTAINER, p->key, body, 0, created, c);
	} else {
		ojson_unref(body);
		ctr_step_fail(c, "CreateContainerConfigError", "no memory");
	}
	omem_free(dir);
	omem_free(logs);
}

/* ---- deciding ------------------------------------------------------------------------------------------------------ */

static void spec_changed(struct ctr *c)
{
	const struct ojson *spec = ctr_spec(c);
	int64_t grace = ojson_get_i64(ojson_get(c->pod->obj, "spec"), "terminationGracePeriodSeconds", 30);

	if (!spec || ctr_spec_hash(spec) == c->hash || c->stop_sent)
		return;
	c->kill_why_spec = true;
	ctr_stop(c, grace, "Container %s definition changed, will be restarted", c->name);
}

void ctr_step(struct ctr *c)
{
	struct pod *p = c->pod;
	int64_t now = kubelet_now(p->k);
	int64_t until;
	char text[500];

	if (c->busy)
		return;
	if (c->state == C_RUNNING) {
		spec_changed(c);
		return;
	}
	if (!ctr_restarts(c))
		return;
	if (c->retry_ns > now) {
		pod_wake_at(p, c->retry_ns);
		return;
	}
	if (c->state == C_EXITED && !c->stale && !c->kill_why_spec && !c->retry_ns) {
		until = backoff_until(&c->crash, c->finished_ns, now);
		if (until) {
			char delay[OTIME_BUF];

			otime_duration_format((int64_t)(c->crash.delay_s * NS_PER_S), delay);
			snprintf(text, sizeof(text), "back-off %s restarting failed container=%s pod=%s_%s(%s)", delay, c->name,
				 p->name, p->ns, p->uid);
			if (!c->reason || strcmp(c->reason, "CrashLoopBackOff"))
				pod_event(p, c, "Warning", "BackOff",
					  "Back-off restarting failed container %s in pod %s_%s(%s)", c->name, p->name,
					  p->ns, p->uid);
			ctr_wait(c, "CrashLoopBackOff", text);
			pod_wake_at(p, until);
			return;
		}
		backoff_next(&c->crash, now);
	}
	c->retry_ns = 0;
	c->busy = true;
	pod_ref(p);
	image_ensure(c);
}
