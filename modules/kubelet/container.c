/*
 * container.c - one container of a pod: image → files → create → start → running → ended, again.
 *
 * `busy` is set while an answer is awaited that moves it on, and holds a reference of the pod. Every
 * step looks whether the pod is being ended meanwhile and stops there.
 */
#include "kubelet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/ofile.h"
#include "base/ohash.h"
#include "base/otime.h"

#define MESSAGE_MAX	4096
#define FALLBACK_MAX	2048
#define FALLBACK_LINES	80

struct subpath {
	char		*dir;
	char		*sub;
	char		*at;
};

/* What a worker makes before a container can be created. */
struct prep {
	struct ctr	*c;
	char		*log_dir;
	char		*term_log;
	char		*hosts;
	char		*hosts_text;
	char		*resolv;
	char		*resolv_text;
	struct subpath	*subs;
	uint32_t	n_subs;
	struct config_mount *mounts;
	uint32_t	n_mounts;
	struct ojson	*env;		/* loop only */
	struct obuf	err;
	int		result;
};

/* ---- small -------------------------------------------------------------------------------------------- */

void ctr_free(struct ctr *c)
{
	probes_stop(c);
	ojson_unref(c->last);
	omem_free(c->name);
	omem_free(c->id);
	omem_free(c->prev_id);
	omem_free(c->image_ref);
	omem_free(c->image_id);
	omem_free(c->exit_reason);
	omem_free(c->exit_message);
	omem_free(c->reason);
	omem_free(c->message);
	omem_free(c->pull_error);
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

	if (*own)
		return own;
	/* an init container that has ended well has done its work */
	return c->kind == CTR_INIT && !strcmp(pod, "Always") ? "OnFailure" : pod;
}

bool ctr_restarts(const struct ctr *c)
{
	const char *rp = policy(c);

	if (c->state != C_EXITED || c->stale)
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

/* The step is over, one way or the other. */
static void step_end(struct ctr *c)
{
	c->busy = false;
	pod_kick(c->pod);
	pod_unref(c->pod);
}

static bool interrupted(struct ctr *c)
{
	if (!c->pod->term && !c->pod->k->stopping)
		return false;
	step_end(c);
	return true;
}

static void step_fail(struct ctr *c, const char *reason, const char *message)
{
	int64_t now = kubelet_now(c->pod->k);

	pod_event(c->pod, c, "Warning", "Failed", "Error: %s", message);
	ctr_wait(c, reason, message);
	backoff_next(&c->crash, now);
	c->retry_ns = now + (int64_t)(c->crash.delay_s * NS_PER_S);
	step_end(c);
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

static char *term_log_path(const struct ctr *c, uint32_t attempt)
{
	return omem_printf("%s/pods/%s/containers/%s/%u", c->pod->k->root, c->pod->uid, c->name, attempt);
}

static void message_read(struct ctr *c)
{
	const struct ojson *spec = ctr_spec(c);
	char *path = term_log_path(c, c->attempt);
	struct obuf b;
	struct obuf tail = OBUF_INIT;
	int fd;

	obuf_init(&b);
	fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	omem_free(path);
	if (fd >= 0) {
		char *room = obuf_reserve(&b, MESSAGE_MAX);
		ssize_t n = room ? read(fd, room, MESSAGE_MAX) : 0;

		if (n > 0)
			obuf_advance(&b, (size_t)n);
		close(fd);
	}
	if (!b.len && c->exit_code && !strcmp(ojson_get_cstr(spec, "terminationMessagePolicy", ""), "FallbackToLogsOnError")) {
		path = ctr_log_path(c, c->attempt);
		fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
		omem_free(path);
		if (fd >= 0) {
			off_t size = lseek(fd, 0, SEEK_END);
			off_t from = size > 65536 ? size - 65536 : 0;
			char *room;
			ssize_t n;

			obuf_reset(&b);
			room = obuf_reserve(&b, (size_t)(size - from) + 1);
			n = room ? pread(fd, room, (size_t)(size - from), from) : 0;
			if (n > 0)
				logline_tail(room, (size_t)n, FALLBACK_LINES, FALLBACK_MAX, &tail);
			close(fd);
			obuf_reset(&b);
			obuf_append(&b, obuf_cstr(&tail), tail.len);
		}
	}
	obuf_done(&tail);
	text_set(&c->exit_message, b.len ? obuf_cstr(&b) : NULL);
	obuf_done(&b);
}

void ctr_apply_status(struct ctr *c, const struct ojson *st)
{
	const char *state = ojson_get_cstr(st, "state", "");
	int64_t started = ojson_get_i64(st, "startedAt", 0);

	if (started)
		c->started_ns = started;
	if (*ojson_get_cstr(st, "imageRef", ""))
		text_set(&c->image_ref, ojson_get_cstr(st, "imageRef", ""));
	if (!strcmp(state, "CONTAINER_RUNNING")) {
		c->state = C_RUNNING;
		return;
	}
	c->finished_ns = ojson_get_i64(st, "finishedAt", kubelet_now(c->pod->k));
	c->exit_code = (int32_t)ojson_get_i64(st, "exitCode", 0);
	text_set(&c->exit_reason, ojson_get_cstr(st, "reason", ""));
	if (!strcmp(state, "CONTAINER_CREATED")) {
		/* made, never started: an end that did not happen */
		c->exit_code = 128;
		text_set(&c->exit_reason, "StartError");
	}
	c->state = C_EXITED;
	c->ready = false;
	c->started = false;
	probes_stop(c);
	message_read(c);
}

static void checked(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct ctr *c = arg;
	struct pod *p = c->pod;
	const struct ojson *st = ojson_get(res, "status");
	bool again = c->check_again;

	(void)msg;
	(void)why;
	c->checking = false;
	c->check_again = false;
	if (status >= 0 && c->id && !strcmp(ojson_get_cstr(st, "id", c->id), c->id)) {
		const char *state = ojson_get_cstr(st, "state", "");

		/* what was created may be about to start: only an end is news */
		if (c->state != C_EXITED && !strcmp(state, "CONTAINER_EXITED")) {
			ctr_apply_status(c, st);
			OLOG(p->k->h, INFO, "container_ended", "pod=%s/%s container=%s exit=%d", p->ns, p->name, c->name,
			     c->exit_code);
			server_ctr_ended(p->k, c);
		}
	} else if (status == -ENOENT && c->state == C_RUNNING) {
		/* somebody removed it */
		c->state = C_EXITED;
		c->exit_code = 137;
		c->finished_ns = kubelet_now(p->k);
		c->ready = false;
		c->started = false;
		probes_stop(c);
		text_set(&c->exit_reason, "ContainerStatusUnknown");
		text_set(&c->exit_message, "The container could not be located when the pod was terminated");
		server_ctr_ended(p->k, c);
	} else if (status < 0 && status != -ENOENT && !p->k->stopping) {
		again = status != -ECANCELED;
	}
	if (again)
		ctr_check(c);
	pod_kick(p);
	pod_unref(p);
}

void ctr_check(struct ctr *c)
{
	if (c->checking) {
		c->check_again = true;
		return;
	}
	if (!c->id || c->pod->k->stopping)
		return;
	c->checking = true;
	pod_ref(c->pod);
	rt_call(c->pod->k, ORLOP_RUNTIME_CONTAINER_STATUS, 0, rt_id("containerId", c->id), 0, checked, c);
}

static void stopped(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct ctr *c = arg;

	(void)res;
	(void)msg;
	if (status < 0 && !c->pod->k->stopping) {
		OLOG(c->pod->k->h, WARN, "container_not_stopped", "pod=%s/%s container=%s why=\"%s\" retrying=1",
		     c->pod->ns, c->pod->name, c->name, why);
		c->stop_sent = false;
	}
	ctr_check(c);
	pod_unref(c->pod);
}

/* Takes @grace_s in seconds; the event says why. */
static void stop_send(struct ctr *c)
{
	struct pod *p = c->pod;
	struct ojson *body = rt_id("containerId", c->id);

	(void)ojson_set_i64(body, "timeout", c->stop_grace_s);
	pod_ref(p);
	/* no order key: it may take as long as the grace, and others must not wait for it */
	rt_call(p->k, ORLOP_RUNTIME_STOP_CONTAINER, 0, body, (uint64_t)(c->stop_grace_s + 60) * NS_PER_S, stopped, c);
}

struct hook {
	struct ctr	*c;
	int64_t		began;
};

static void hook_done(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct hook *h = arg;
	struct ctr *c = h->c;
	struct pod *p = c->pod;
	int64_t used = (kubelet_now(p->k) - h->began) / (int64_t)NS_PER_S;

	(void)msg;
	if (!p->k->stopping && (status < 0 || ojson_get_i64(res, "exitCode", 0)))
		pod_event(p, c, "Warning", "FailedPreStopHook", "PreStopHook failed%s%s", *why ? ": " : "", why);
	c->stop_grace_s = c->stop_grace_s > used + 2 ? c->stop_grace_s - used : 2;
	omem_free(h);
	if (c->state == C_RUNNING && !p->k->stopping)
		stop_send(c);
	pod_unref(p);
}

/* exec hooks; sleep is a matter of a longer grace. True: it has begun, the stop follows. */
static bool prestop(struct ctr *c)
{
	const struct ojson *hook = OJSON_AT(ctr_spec(c), "lifecycle", "preStop");
	struct ojson *cmd = OJSON_AT(hook, "exec", "command");
	struct ojson *body;
	struct hook *h;

	if (!cmd || c->stop_grace_s <= 0)
		return false;
	h = OMEM_NEW(struct hook);
	body = rt_id("containerId", c->id);
	if (!h || !body) {
		omem_free(h);
		ojson_unref(body);
		return false;
	}
	h->c = c;
	h->began = kubelet_now(c->pod->k);
	(void)ojson_set(body, "cmd", ojson_ref(cmd));
	(void)ojson_set_i64(body, "timeout", c->stop_grace_s);
	pod_ref(c->pod);
	rt_call(c->pod->k, ORLOP_RUNTIME_EXEC_SYNC, 0, body, (uint64_t)(c->stop_grace_s + 10) * NS_PER_S, hook_done, h);
	return true;
}

void ctr_stop(struct ctr *c, int64_t grace_s, const char *fmt, ...)
{
	char text[300];
	bool again = c->stop_sent;
	va_list ap;

	if (!c->id || c->state != C_RUNNING || (c->stop_sent && grace_s >= c->stop_grace_s))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->stop_sent = true;
	c->stop_grace_s = grace_s;
	probes_stop(c);
	if (!again)
		pod_event(c->pod, c, "Normal", "Killing", "%s", text);
	if (again || !prestop(c))
		stop_send(c);
}

/* ---- the beginning ------------------------------------------------------------------------------------------ */

static void prep_free(struct prep *j)
{
	uint32_t i;

	for (i = 0; i < j->n_subs; i++) {
		omem_free(j->subs[i].dir);
		omem_free(j->subs[i].sub);
		omem_free(j->subs[i].at);
	}
	for (i = 0; i < j->n_mounts; i++) {
		omem_free(j->mounts[i].container_path);
		omem_free(j->mounts[i].host_path);
	}
	omem_free(j->subs);
	omem_free(j->mounts);
	omem_free(j->log_dir);
	omem_free(j->term_log);
	omem_free(j->hosts);
	omem_free(j->hosts_text);
	omem_free(j->resolv);
	omem_free(j->resolv_text);
	ojson_unref(j->env);
	obuf_done(&j->err);
	omem_free(j);
}

static int fail_on(struct prep *j, int e, const char *path)
{
	obuf_printf(&j->err, "cannot write %s: %s", path, strerrordesc_np(-e));
	return e;
}

static int prep_files(struct prep *j)
{
	char *slash = strrchr(j->term_log, '/');
	int e = ofile_mkdir_p(j->log_dir, 0755);
	int fd;

	if (e)
		return fail_on(j, e, j->log_dir);
	*slash = '\0';
	e = ofile_mkdir_p(j->term_log, 0750);
	*slash = '/';
	if (e)
		return fail_on(j, e, j->term_log);
	fd = open(j->term_log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return fail_on(j, -errno, j->term_log);
	(void)fchmod(fd, 0666);
	close(fd);
	/* in place, for they are mounted in containers that run */
	e = ofile_write(AT_FDCWD, j->resolv, j->resolv_text, strlen(j->resolv_text), 0644);
	if (e)
		return fail_on(j, e, j->resolv);
	fd = open(j->hosts, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail_on(j, -errno, j->hosts);
	e = ofile_write_all(fd, j->hosts_text, strlen(j->hosts_text));
	if (!e && ftruncate(fd, (off_t)strlen(j->hosts_text)))
		e = -errno;
	close(fd);
	return e ? fail_on(j, e, j->hosts) : 0;
}

static void prep_work(void *arg)
{
	struct prep *j = arg;
	bool is_dir;
	uint32_t i;

	j->result = prep_files(j);
	for (i = 0; i < j->n_subs && !j->result; i++)
		j->result = subpath_mount(j->subs[i].dir, j->subs[i].sub, j->subs[i].at, &is_dir, &j->err);
}

static void unstarted_removed(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg,
			      const char *why)
{
	(void)status;
	(void)res;
	(void)msg;
	(void)why;
	step_end(arg);
}

static void started(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct ctr *c = arg;
	struct pod *p = c->pod;
	char text[700];

	(void)msg;
	if (p->k->stopping) {
		step_end(c);
		return;
	}
	if (status == -ECONNRESET) {
		/* it may run: look */
		c->state = C_RUNNING;
		step_end(c);
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
		/* it must not live on unseen beside its successor */
		rt_call(p->k, ORLOP_RUNTIME_REMOVE_CONTAINER, p->key, rt_id("containerId", c->id), 0, unstarted_removed, c);
		return;
	}
	pod_event(p, c, "Normal", "Started", "Started container %s", c->name);
	if (c->state != C_EXITED) {
		/* The runtime's moment if it says it, so that a restarted kubelet tells the same. */
		c->started_ns = ojson_get_i64(res, "startedAt", kubelet_now(p->k));
		c->state = C_RUNNING;
		probes_start(c);
	}
	step_end(c);
}

void ctr_start_created(struct ctr *c)
{
	struct pod *p = c->pod;

	c->state = C_WAITING;
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
			step_end(c);
			return;
		}
		if (status == -ECONNRESET)
			adopt_start(p->k);
		step_fail(c, "CreateContainerError", *why ? why : "the runtime gave no id");
		return;
	}
	if (p->k->stopping) {
		step_end(c);
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
	}
	text_set(&c->id, id);
	c->state = C_WAITING;
	c->stale = false;
	c->stop_sent = false;
	c->kill_why_spec = false;
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
		step_end(c);
		return;
	}
	rt_call(p->k, ORLOP_RUNTIME_START_CONTAINER, p->key, rt_id("containerId", c->id), 0, started, c);
}

static void create(struct ctr *c, struct prep *j)
{
	struct pod *p = c->pod;
	struct kubelet *k = p->k;
	char *dir = pod_dir(p);
	char *logs = pod_log_dir(p);
	struct config_world w = { .pod = p->obj, .uid = p->uid, .node_name = k->node_name, .log_dir = logs,
				  .cgroup_root = k->cgroup_root, .pod_dir = dir, .cluster_dns = k->cluster_dns,
				  .cluster_domain = k->cluster_domain, .memory = node_machine(k)->memory,
				  .attempt = p->sb_attempt };
	const struct ojson *spec = ctr_spec(c);
	struct ojson *body = rt_id("podSandboxId", p->sb_id);
	struct ojson *config = dir && logs && spec
		? config_container(&w, spec, c->image_id && *c->image_id ? c->image_id : ojson_get_cstr(spec, "image", ""),
				   j->env, j->mounts, j->n_mounts, c->id ? c->restarts + 1 : c->restarts,
				   ctr_spec_hash(spec))
		: NULL;

	if (spec)
		c->hash = ctr_spec_hash(spec);
	if (body && config && !ojson_set(body, "config", config)) {
		(void)ojson_set(body, "sandboxConfig", config_sandbox(&w));
		rt_call(k, ORLOP_RUNTIME_CREATE_CONTAINER, p->key, body, 0, created, c);
	} else {
		ojson_unref(body);
		step_fail(c, "CreateContainerConfigError", "no memory");
	}
	omem_free(dir);
	omem_free(logs);
}

static void prepared(void *arg)
{
	struct prep *j = arg;
	struct ctr *c = j->c;

	if (!interrupted(c)) {
		if (j->result)
			step_fail(c, "CreateContainerConfigError", obuf_cstr(&j->err));
		else
			create(c, j);
	}
	prep_free(j);
}

/* ---- what it is made of ----------------------------------------------------------------------------------------- */

static int mount_add(struct prep *j, const char *at, char *take_host, bool ro, const char *prop)
{
	struct config_mount *m = take_host ? omem_realloc_array(j->mounts, j->n_mounts + 1, sizeof(*m)) : NULL;

	if (!m) {
		omem_free(take_host);
		return -ENOMEM;
	}
	j->mounts = m;
	m = &m[j->n_mounts++];
	memset(m, 0, sizeof(*m));
	m->container_path = omem_strdup(at);
	m->host_path = take_host;
	m->readonly = ro;
	m->propagation = prop;
	return m->container_path ? 0 : -ENOMEM;
}

static bool sub_ok(const char *sub)
{
	const char *p = sub;

	if (*sub == '/')
		return false;
	for (;;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && !strncmp(p, "..", 2))
			return false;
		if (!p[n])
			return true;
		p += n + 1;
	}
}

static int sub_add(struct prep *j, const struct ctr *c, const char *volume, const char *dir, const char *sub,
		   size_t index, char **ret_at)
{
	struct subpath *s = omem_realloc_array(j->subs, j->n_subs + 1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	j->subs = s;
	s = &s[j->n_subs++];
	s->dir = omem_strdup(dir);
	s->sub = omem_strdup(sub);
	s->at = omem_printf("%s/pods/%s/volume-subpaths/%s/%s/%zu", c->pod->k->root, c->pod->uid, volume, c->name,
			    index);
	*ret_at = omem_strdup(s->at);
	return s->dir && s->sub && s->at && *ret_at ? 0 : -ENOMEM;
}

static int volume_mounts(struct prep *j, const struct ctr *c, const struct ojson *spec)
{
	OJSON_FOREACH_ELEM(i, m, ojson_get(spec, "volumeMounts")) {
		const char *name = ojson_get_cstr(m, "name", "");
		const char *sub = ojson_get_cstr(m, "subPath", "");
		const char *prop = ojson_get_cstr(m, "mountPropagation", "");
		const char *at = ojson_get_cstr(m, "mountPath", "");
		struct orlop_bytes expr = ojson_get_bytes(m, "subPathExpr");
		const struct ojson *vol = NULL;
		struct obuf b = OBUF_INIT;
		char *host = volume_path(c->pod, name, &vol);
		char path[4096];
		bool ro = ojson_get_bool(m, "readOnly", false);
		int e;

		if (!host) {
			obuf_printf(&j->err, "cannot find volume \"%s\" to mount into container \"%s\"", name, c->name);
			return -ENOENT;
		}
		/* those are the kubelet's to write */
		if (!ojson_get(vol, "emptyDir") && !ojson_get(vol, "hostPath"))
			ro = true;
		if (expr.len) {
			env_expand(expr.p, expr.len, j->env, &b);
			sub = obuf_cstr(&b);
		}
		if (*sub && strcmp(sub, ".")) {
			char *mounted = NULL;

			if (!sub_ok(sub)) {
				obuf_printf(&j->err, "failed to create subPath of volume \"%s\": \"%s\" must be relative without '..'",
					    name, sub);
				e = -EINVAL;
			} else {
				e = sub_add(j, c, name, host, sub, i, &mounted);
			}
			omem_free(host);
			host = mounted;
			if (e) {
				omem_free(host);
				obuf_done(&b);
				return e;
			}
		}
		obuf_done(&b);
		snprintf(path, sizeof(path), "%s%s", *at == '/' ? "" : "/", at);
		e = mount_add(j, path, host, ro, !strcmp(prop, "Bidirectional") ? "PROPAGATION_BIDIRECTIONAL"
			      : !strcmp(prop, "HostToContainer") ? "PROPAGATION_HOST_TO_CONTAINER" : NULL);
		if (e)
			return e;
	}
	return 0;
}

static bool mounted_at(const struct prep *j, const char *at)
{
	uint32_t i;

	for (i = 0; i < j->n_mounts; i++)
		if (!strcmp(j->mounts[i].container_path, at))
			return true;
	return false;
}

static char *file_text(const char *path)
{
	struct obuf b = OBUF_INIT;

	(void)ofile_read(AT_FDCWD, path, 65536, &b);
	return obuf_steal(&b, NULL);
}

static int own_files(struct prep *j, const struct ctr *c, const struct ojson *spec)
{
	struct pod *p = c->pod;
	struct config_world w = { .pod = p->obj, .uid = p->uid, .node_name = p->k->node_name,
				  .cluster_dns = p->k->cluster_dns, .cluster_domain = p->k->cluster_domain };
	uint32_t attempt = c->id ? c->restarts + 1 : c->restarts;
	const char *term = ojson_get_cstr(spec, "terminationMessagePath", "/dev/termination-log");
	char *hosts = file_text("/etc/hosts");
	char *resolv = file_text("/etc/resolv.conf");
	struct obuf b = OBUF_INIT;
	int e = 0;

	config_hosts(&w, p->ip, hosts, &b);
	j->hosts_text = obuf_steal(&b, NULL);
	config_resolv(&w, resolv, &b);
	j->resolv_text = obuf_steal(&b, NULL);
	omem_free(hosts);
	omem_free(resolv);
	j->log_dir = omem_printf("%s/%s_%s_%s/%s", p->k->log_dir, p->ns, p->name, p->uid, c->name);
	j->term_log = term_log_path(c, attempt);
	j->hosts = omem_printf("%s/pods/%s/etc-hosts", p->k->root, p->uid);
	j->resolv = omem_printf("%s/pods/%s/resolv.conf", p->k->root, p->uid);
	if (!j->hosts_text || !j->resolv_text || !j->log_dir || !j->term_log || !j->hosts || !j->resolv)
		return -ENOMEM;
	if (!mounted_at(j, "/etc/hosts"))
		e = mount_add(j, "/etc/hosts", omem_strdup(j->hosts), false, NULL);
	if (!e && !mounted_at(j, "/etc/resolv.conf"))
		e = mount_add(j, "/etc/resolv.conf", omem_strdup(j->resolv), false, NULL);
	if (!e && *term == '/' && !mounted_at(j, term))
		e = mount_add(j, term, omem_strdup(j->term_log), false, NULL);
	return e;
}

/* runAsNonRoot, as far as it can be told from outside. */
static bool user_refused(const struct ctr *c, const struct ojson *spec, char *text, size_t size)
{
	const struct ojson *sc = ojson_get(spec, "securityContext");
	const struct ojson *psc = OJSON_AT(c->pod->obj, "spec", "securityContext");
	const struct ojson *want = ojson_get(sc, "runAsNonRoot") ? ojson_get(sc, "runAsNonRoot")
								 : ojson_get(psc, "runAsNonRoot");
	const struct ojson *uid = ojson_get(sc, "runAsUser") ? ojson_get(sc, "runAsUser") : ojson_get(psc, "runAsUser");
	const char *what = NULL;

	if (!ojson_bool(want, false))
		return false;
	if (uid && !ojson_i64(uid, 0))
		what = "container's runAsUser breaks non-root policy";
	else if (!uid && c->image_user_named)
		what = "container has runAsNonRoot and image has non-numeric user, cannot verify user is non-root";
	else if (!uid && c->image_uid <= 0)
		what = "container has runAsNonRoot and image will run as root";
	if (!what)
		return false;
	snprintf(text, size, "%s (pod: \"%s_%s(%s)\", container: %s)", what, c->pod->name, c->pod->ns, c->pod->uid,
		 c->name);
	return true;
}

static struct ojson *ref_get(void *arg, char kind, const char *name)
{
	struct pod *p = arg;

	return kubelet_get(p->k, kind == 'c' ? p->k->in_configmaps : p->k->in_secrets, p->ns, name);
}

static struct ojson *services_of(struct pod *p)
{
	const struct orlop_host *h = p->k->h;
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = { p->ns, strlen(p->ns) } };
	struct ojson *list = ojson_new_array();
	struct orlop_snapshot *s;
	struct orlop_object *o;
	struct orlop_iter *it;

	if (!ojson_get_bool(ojson_get(p->obj, "spec"), "enableServiceLinks", true))
		return list;
	if (h->snapshot_open(okube_informer_resource(p->k->in_services), &s))
		return list;
	if (!h->iter_open(s, &q, &it)) {
		while ((o = h->iter_next(it)))
			(void)ojson_append(list, okube_parse(o));
		h->iter_close(it);
	}
	h->snapshot_close(s);
	return list;
}

/*
 * Where pods really reach the API: with a service proxy on this node the cluster IP, else the first
 * endpoint behind it.
 */
static void api_address(struct kubelet *k, char *host, size_t host_size, char *port, size_t port_size)
{
	struct ojson *ep = k->proxy ? NULL : kubelet_get(k, k->in_endpoints, "default", "kubernetes");
	struct ojson *svc = kubelet_get(k, k->in_services, "default", "kubernetes");
	const struct ojson *sub = ojson_index(ojson_get(ep, "subsets"), 0);
	const struct ojson *svc_port = ojson_index(OJSON_AT(svc, "spec", "ports"), 0);
	const char *ip = ojson_get_cstr(ojson_index(ojson_get(sub, "addresses"), 0), "ip", "");

	*host = '\0';
	*port = '\0';
	if (*ip) {
		snprintf(host, host_size, "%s", ip);
		snprintf(port, port_size, "%lld",
			 (long long)ojson_get_i64(ojson_index(ojson_get(sub, "ports"), 0), "port", 6443));
	} else if (svc) {
		snprintf(host, host_size, "%s", ojson_cstr(OJSON_AT(svc, "spec", "clusterIP"), ""));
		snprintf(port, port_size, "%lld", (long long)ojson_get_i64(svc_port, "port", 443));
	}
	ojson_unref(ep);
	ojson_unref(svc);
}

static int environment(struct prep *j, const struct ctr *c, const struct ojson *spec)
{
	struct pod *p = c->pod;
	const struct machine *m = node_machine(p->k);
	char host[80];
	char port[16];
	struct ojson *services = services_of(p);
	struct env_world w = {
		.base = { .arg = p, .get = ref_get, .pod = p->obj, .node_ip = node_ip(p->k), .pod_ip = p->ip,
			  .cpu_milli = m->cpus * 1000, .memory = m->memory },
		.services = services, .api_host = host, .api_port = port,
	};
	int e;

	api_address(p->k, host, sizeof(host), port, sizeof(port));
	e = env_make(&w, spec, &j->env, &j->err);
	ojson_unref(services);
	return e;
}

void image_ready(struct ctr *c)
{
	struct pod *p = c->pod;
	const struct ojson *spec = ctr_spec(c);
	struct prep *j;
	char text[500];
	int e;

	if (interrupted(c))
		return;
	j = OMEM_NEW(struct prep);
	if (!j || !spec) {
		omem_free(j);
		step_fail(c, "CreateContainerConfigError", "no memory");
		return;
	}
	j->c = c;
	if (user_refused(c, spec, text, sizeof(text))) {
		obuf_puts(&j->err, text);
		e = -EPERM;
	} else {
		e = environment(j, c, spec);
	}
	if (!e)
		e = volume_mounts(j, c, spec);
	if (!e)
		e = own_files(j, c, spec);
	if (!e)
		e = p->k->h->work(p->k->h, p->key, prep_work, prepared, j);
	if (e) {
		/* no back-off beyond this: what is missing may come, and its coming kicks */
		const char *why = j->err.len ? obuf_cstr(&j->err) : strerrordesc_np(-e);

		pod_event(p, c, "Warning", "Failed", "Error: %s", why);
		ctr_wait(c, "CreateContainerConfigError", why);
		c->retry_ns = kubelet_now(p->k) + (int64_t)(10 * NS_PER_S);
		prep_free(j);
		step_end(c);
	}
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
