/*
 * sandbox.c - pod sandboxes: pinned namespaces and the pod's cgroup; no process.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

/* The first process of a shared PID namespace: with it ends whatever is left in there. */
void pause_kill(int pid, uint64_t start)
{
	if (start && pid_start_time(pid) == start)
		(void)kill(pid, SIGKILL);
}

/* One run, stop or remove on its way through a worker. */
struct sandbox_job {
	struct oci	*o;
	struct sandbox	*s;
	struct orlop_call *call;
	char		*dir;
	char		*kept;
	char		*hostname;
	char		*cgroup;
	bool		net;
	bool		ipc;
	bool		own_pid;
	char		*maps[2];	/* user namespace: "INSIDE OUTSIDE LENGTH,…" of uids and gids */
	uint32_t	uid, gid;	/* its root on the machine */
	int		pause_pid;
	uint64_t	pause_start;
	struct orlop_error err;
	int		result;
};

static void job_free(struct sandbox_job *j)
{
	omem_free(j->dir);
	omem_free(j->kept);
	omem_free(j->hostname);
	omem_free(j->cgroup);
	omem_free(j->maps[0]);
	omem_free(j->maps[1]);
	omem_free(j);
}

static const struct ojson *userns_of(const struct ojson *config)
{
	const struct ojson *u = OJSON_AT(config, "linux", "securityContext", "namespaceOptions", "usernsOptions");

	return u && !strcmp(ojson_get_cstr(u, "mode", "POD"), "POD") && ojson_count(ojson_get(u, "uids")) ? u : NULL;
}

/* CRI's list of ranges as /proc's. @ret_root: what 0 is on the machine. */
static char *map_text(const struct ojson *list, uint32_t *ret_root)
{
	struct obuf b = OBUF_INIT;

	OJSON_FOREACH_ELEM(i, m, list) {
		int64_t inside = ojson_get_i64(m, "containerId", 0);

		if (!inside)
			*ret_root = (uint32_t)ojson_get_i64(m, "hostId", 0);
		obuf_printf(&b, "%s%lld %lld %lld", i ? "," : "", (long long)inside, (long long)ojson_get_i64(m, "hostId", 0),
			    (long long)ojson_get_i64(m, "length", 0));
	}
	if (!obuf_err(&b))
		return obuf_steal(&b, NULL);
	obuf_done(&b);
	return NULL;
}

static bool ns_is_node(const struct ojson *config, const char *which)
{
	const struct ojson *sc = OJSON_AT(config, "linux", "securityContext", "namespaceOptions");

	return !strcmp(ojson_get_cstr(sc, which, "POD"), "NODE");
}

static struct sandbox_job *job_new(struct oci *o, struct sandbox *s, struct orlop_call *call)
{
	struct sandbox_job *j = OMEM_NEW(struct sandbox_job);

	if (!j)
		return NULL;
	j->o = o;
	j->s = s;
	j->call = call;
	j->err.size = sizeof(j->err);
	j->net = !s->host_net;
	j->ipc = !s->host_ipc;
	j->dir = path_of(o, "sandboxes/%s", s->id);
	j->kept = path_of(o, "kept/sandboxes/%s.json", s->id);
	j->hostname = omem_strdup(ojson_get_cstr(s->config, "hostname", ""));
	j->cgroup = omem_strdup(ojson_cstr(OJSON_AT(s->config, "linux", "cgroupParent"), ""));
	j->own_pid = s->own_pid;
	j->pause_pid = s->pause_pid;
	j->pause_start = s->pause_start;
	if (s->userns) {
		j->maps[0] = map_text(ojson_get(userns_of(s->config), "uids"), &j->uid);
		j->maps[1] = map_text(ojson_get(userns_of(s->config), "gids"), &j->gid);
	}
	if ((s->userns && (!j->maps[0] || !j->maps[1])) || !j->dir || !j->kept || !j->hostname || !j->cgroup) {
		job_free(j);
		return NULL;
	}
	return j;
}

static char *netns_path(struct oci *o, const struct sandbox *s)
{
	return s->host_net ? NULL : path_of(o, "sandboxes/%s/ns/net", s->id);
}

static void run_work(void *arg)
{
	struct sandbox_job *j = arg;
	int e = ofile_mkdir_p(j->dir, 0711);

	if (e) {
		j->result = orlop_fail(&j->err, -e, 0, "", "cannot make %s", j->dir);
		return;
	}
	if (j->ipc)
		j->result = shm_mount(j->dir, j->uid, j->gid, &j->err);
	if (!j->result && j->maps[0]) {
		cleanup_free char *ns = omem_printf("%s/ns", j->dir);

		e = ns ? ofile_mkdir_p(ns, 0700) : -ENOMEM;
		if (e)
			j->result = orlop_fail(&j->err, -e, 0, "", "cannot make %s/ns", j->dir);
	} else if (!j->result) {
		j->result = ns_pin(j->dir, *j->hostname ? j->hostname : "localhost", j->net, j->ipc, &j->err);
	}
}

static void wipe_work(void *arg)
{
	struct sandbox_job *j = arg;

	pause_kill(j->pause_pid, j->pause_start);
	ns_unpin(j->dir);
	(void)ofile_remove_tree(AT_FDCWD, j->dir);
	(void)unlink(j->kept);
}

static void run_fail(void *arg)
{
	struct sandbox_job *j = arg;
	struct oci *o = j->o;

	omap_del(&o->sandboxes, j->s->id, strlen(j->s->id));
	sandbox_free(j->s);
	reply_error(o, j->call, &j->err);
	job_free(j);
}

/* Everything is there, or j->result says why not. */
static void run_finish(struct sandbox_job *j)
{
	struct oci *o = j->o;
	struct sandbox *s = j->s;
	struct ojson *out;
	cleanup_free char *netns = NULL;

	if (!j->result) {
		s->busy = false;
		s->ready = true;
		s->pause_pid = j->pause_pid;
		s->pause_start = j->pause_start;
		j->result = sandbox_save(o, s);
		if (j->result)
			orlop_fail(&j->err, -j->result, 0, "", "cannot write the state of sandbox %s", s->id);
	}
	if (j->result) {
		s->busy = true;
		if (o->h->work(o->h, 0, wipe_work, run_fail, j)) {
			wipe_work(j);
			run_fail(j);
		}
		return;
	}
	netns = netns_path(o, s);
	out = ojson_new_object();
	if (out)
		(void)ojson_set_cstr(out, "podSandboxId", s->id);
	reply_json(o, j->call, out, netns);
	job_free(j);
}

static void pause_said(void *arg, int32_t code, int32_t sig, const struct obuf *out)
{
	struct sandbox_job *j = arg;
	char line[300];

	proc_first_line(out, line, sizeof(line));
	j->pause_pid = code || sig ? 0 : atoi(line);
	j->pause_start = pid_start_time(j->pause_pid);
	if (!j->pause_start)
		j->result = orlop_fail(&j->err, EIO, 0, "", "no first process for sandbox %s: %s", j->s->id, line);
	run_finish(j);
}

/* Namespaces are there: the first process of the shared PID namespace, if there is to be one. */
static void run_pause(struct sandbox_job *j)
{
	const char *argv[] = { j->o->pause, "hold", j->dir, NULL };

	if (!j->result && j->own_pid) {
		j->result = proc_run(j->o, argv, ORLOP_SPAWN_DETACH, pause_said, j, &j->err);
		if (!j->result)
			return;
	}
	run_finish(j);
}

static void pin_said(void *arg, int32_t code, int32_t sig, const struct obuf *out)
{
	struct sandbox_job *j = arg;
	char line[300];

	if (code || sig) {
		proc_first_line(out, line, sizeof(line));
		j->result = orlop_fail(&j->err, EIO, 0, "", "user namespace for sandbox %s: %s", j->s->id, line);
	}
	run_pause(j);
}

static void run_done(void *arg)
{
	struct sandbox_job *j = arg;
	char kinds[4] = "t";
	const char *argv[] = { j->o->pause, "pin", j->dir, *j->hostname ? j->hostname : "localhost", kinds, j->maps[0], j->maps[1], NULL };

	if (j->net)
		strcat(kinds, "n");
	if (j->ipc)
		strcat(kinds, "i");
	if (!j->result && j->maps[0]) {
		j->result = proc_run(j->o, argv, 0, pin_said, j, &j->err);
		if (!j->result)
			return;
	}
	run_pause(j);
}

OCI_OP(op_run_sandbox)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct ojson *config;
	struct sandbox_job *j;
	struct sandbox *s;
	const struct handler *rt;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	config = ojson_get_object(r, "config");
	if (!config || !*ojson_cstr(OJSON_AT(config, "metadata", "uid"), ""))
		return orlop_fail(err, EINVAL, 0, "", "sandbox: config.metadata.uid is required");
	rt = handler_find(o, ojson_get_cstr(r, "runtimeHandler", ""));
	if (!rt)	/* containerd's words */
		return orlop_fail(err, EINVAL, 0, "", "failed to get sandbox runtime: no runtime for \"%s\" is configured",
				  ojson_get_cstr(r, "runtimeHandler", ""));
	s = OMEM_NEW(struct sandbox);
	if (!s)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	s->rt = rt;
	id_new(o, s->id);
	s->config = ojson_ref(config);
	s->created_ns = o->h->now_wall(o->h);
	s->host_net = ns_is_node(config, "network");
	s->host_ipc = ns_is_node(config, "ipc");
	s->own_pid = !strcmp(ojson_cstr(OJSON_AT(config, "linux", "securityContext", "namespaceOptions", "pid"), "CONTAINER"), "POD");
	s->userns = userns_of(config) != NULL;
	s->busy = true;
	j = job_new(o, s, call);
	e = j ? omap_put_cstr(&o->sandboxes, s->id, s) : -ENOMEM;
	if (!e) {
		cgroup_warm(o);
		e = o->h->work(o->h, 0, run_work, run_done, j);
		if (e)
			omap_del(&o->sandboxes, s->id, strlen(s->id));
	}
	if (e) {
		if (j)
			job_free(j);
		sandbox_free(s);
		return orlop_fail(err, -e, 0, "", "sandbox could not be made");
	}
	return 0;
}

static void stop_work(void *arg)
{
	struct sandbox_job *j = arg;

	pause_kill(j->pause_pid, j->pause_start);
	ns_unpin(j->dir);
	(void)cgroup_remove(j->o, j->cgroup);
}

static void stop_done(void *arg)
{
	struct sandbox_job *j = arg;
	struct sandbox *s = j->s;

	s->busy = false;
	s->ready = false;	/* whoever reads its state finds no pins */
	reply_json(j->o, j->call, NULL, NULL);
	job_free(j);
}

static void remove_work(void *arg)
{
	struct sandbox_job *j = arg;

	stop_work(j);
	j->result = ofile_remove_tree(AT_FDCWD, j->dir);
	if (!j->result || j->result == -ENOENT)
		j->result = unlink(j->kept) && errno != ENOENT ? -errno : 0;
}

static void remove_done(void *arg)
{
	struct sandbox_job *j = arg;
	struct oci *o = j->o;

	if (j->result && j->result != -ENOENT) {
		j->s->busy = false;
		orlop_fail(&j->err, -j->result, 0, "", "cannot remove %s", j->dir);
		reply_error(o, j->call, &j->err);
	} else {
		omap_del(&o->sandboxes, j->s->id, strlen(j->s->id));
		sandbox_free(j->s);
		reply_json(o, j->call, NULL, NULL);
	}
	job_free(j);
}

static int job_start(struct oci *o, struct sandbox *s, struct orlop_call *call, orlop_cb work,
		     orlop_cb done, struct orlop_error *err)
{
	struct sandbox_job *j = job_new(o, s, call);
	int e = j ? o->h->work(o->h, 0, work, done, j) : -ENOMEM;

	if (e) {
		if (j)
			job_free(j);
		return orlop_fail(err, -e, 0, "", "sandbox %s: no worker", s->id);
	}
	s->busy = true;
	return 0;
}

/* A sandbox whose containers must end (or go) before it does. */
struct clearing {
	struct oci	*o;
	struct orlop_call *call;
	char		id[OCI_ID_LEN + 1];
	uint32_t	left;
	bool		remove;
	struct orlop_error err;
};

/* Containers are out of the way: the sandbox itself. */
static void cleared(void *arg)
{
	struct clearing *k = arg;
	struct oci *o = k->o;
	struct sandbox *s;

	if (--k->left)
		return;
	s = omap_get_cstr(&o->sandboxes, k->id);
	if (!s) {
		reply_json(o, k->call, NULL, NULL);
	} else {
		s->busy = false;
		if (k->err.err || job_start(o, s, k->call, k->remove ? remove_work : stop_work,
					    k->remove ? remove_done : stop_done, &k->err))
			reply_error(o, k->call, &k->err);
	}
	omem_free(k);
}

/* CRI: what still runs in a sandbox is ended by force; what is in one that is removed goes too. */
static int sandbox_clear(struct oci *o, struct sandbox *s, struct orlop_call *call, bool remove,
			 struct orlop_error *err)
{
	struct clearing *k = OMEM_NEW(struct clearing);

	if (!k)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	k->o = o;
	k->call = call;
	k->remove = remove;
	k->left = 1;
	k->err.size = sizeof(k->err);
	memcpy(k->id, s->id, sizeof(k->id));
	s->busy = true;
	OMAP_FOREACH(&o->containers, e) {
		struct container *c = e->value;
		int r;

		if (strcmp(c->sandbox, s->id) || (!remove && c->state == OCI_EXITED))
			continue;
		k->left++;
		r = remove ? container_remove(o, c, cleared, k, &k->err) : container_kill(o, c, cleared, k);
		if (r) {
			k->left--;
			if (!k->err.err)
				orlop_fail(&k->err, -r, 0, "", "container %s cannot be ended", c->id);
		}
	}
	cleared(k);
	return 0;
}

OCI_OP(op_stop_sandbox)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct sandbox *s;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	s = sandbox_get(o, r, NULL);
	if (!s || !s->ready) {	/* CRI: stopping what is stopped or gone is no error */
		reply_json(o, call, NULL, NULL);
		return 0;
	}
	return sandbox_clear(o, s, call, false, err);
}

OCI_OP(op_remove_sandbox)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct sandbox *s;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	s = sandbox_get(o, r, NULL);
	if (!s) {
		reply_json(o, call, NULL, NULL);
		return 0;
	}
	return sandbox_clear(o, s, call, true, err);
}

struct ojson *sandbox_summary(const struct sandbox *s)
{
	static const char *const keys[] = { "metadata", "labels", "annotations" };
	struct ojson *j = ojson_new_object();
	size_t i;

	if (!j)
		return NULL;
	(void)ojson_set_cstr(j, "id", s->id);
	(void)ojson_set_cstr(j, "state", s->ready ? "SANDBOX_READY" : "SANDBOX_NOTREADY");
	(void)ojson_set_i64(j, "createdAt", (int64_t)s->created_ns);
	(void)ojson_set_cstr(j, "runtimeHandler", s->rt->name);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (ojson_get(s->config, keys[i]))
			(void)ojson_set(j, keys[i], ojson_ref(ojson_get(s->config, keys[i])));
	return j;
}

OCI_OP(op_sandbox_status)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	cleanup_free char *netns = NULL;
	struct ojson *out;
	struct sandbox *s;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	s = sandbox_get(o, r, err);
	if (!s)
		return -ENOENT;
	netns = netns_path(o, s);
	out = ojson_new_object();
	if (out) {
		struct ojson *sum = sandbox_summary(s);
		struct ojson *opts = OJSON_AT(s->config, "linux", "securityContext", "namespaceOptions");

		if (sum && opts)
			(void)ojson_set(ojson_ensure_object(ojson_ensure_object(sum, "linux"), "namespaces"), "options", ojson_ref(opts));
		(void)ojson_set(out, "status", sum);
	}
	reply_json(o, call, out, netns);
	return 0;
}

/* NULL: something is being done with it. */
static struct ojson *shown(const void *at)
{
	const struct sandbox *s = at;

	return s->busy ? NULL : sandbox_summary(s);
}

OCI_OP(op_list_sandboxes)
{
	struct oci *o = ctx;

	return reply_list(o, req, call, &o->sandboxes, "items", shown, err);
}
