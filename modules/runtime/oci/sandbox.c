/*
 * sandbox.c - pod sandboxes: pinned namespaces and the pod's cgroup; no process.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

/* One run, stop or remove on its way through a worker. */
struct sandbox_job {
	struct oci	*o;
	struct sandbox	*s;
	struct orlop_call *call;
	char		*dir;
	char		*hostname;
	char		*cgroup;
	bool		net;
	bool		ipc;
	struct orlop_error err;
	int		result;
};

static void job_free(struct sandbox_job *j)
{
	omem_free(j->dir);
	omem_free(j->hostname);
	omem_free(j->cgroup);
	omem_free(j);
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
	j->hostname = omem_strdup(ojson_get_cstr(s->config, "hostname", ""));
	j->cgroup = omem_strdup(ojson_cstr(OJSON_AT(s->config, "linux", "cgroupParent"), ""));
	if (!j->dir || !j->hostname || !j->cgroup) {
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
	j->result = ns_pin(j->dir, *j->hostname ? j->hostname : "localhost", j->net, j->ipc, &j->err);
	if (j->result)
		(void)ofile_remove_tree(AT_FDCWD, j->dir);
}

static void run_done(void *arg)
{
	struct sandbox_job *j = arg;
	struct oci *o = j->o;
	struct sandbox *s = j->s;
	struct ojson *out;
	cleanup_free char *netns = NULL;

	s->busy = false;
	if (!j->result) {
		s->ready = true;
		j->result = sandbox_save(o, s);
		if (j->result) {
			orlop_fail(&j->err, -j->result, 0, "", "cannot write the state of sandbox %s", s->id);
			ns_unpin(j->dir);
			(void)ofile_remove_tree(AT_FDCWD, j->dir);
		}
	}
	if (j->result) {
		omap_del(&o->sandboxes, s->id, strlen(s->id));
		sandbox_free(s);
		reply_error(o, j->call, &j->err);
	} else {
		netns = netns_path(o, s);
		out = ojson_new_object();
		if (out)
			(void)ojson_set_cstr(out, "podSandboxId", s->id);
		reply_json(o, j->call, out, netns);
	}
	job_free(j);
}

OCI_OP(op_run_sandbox)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct ojson *config;
	struct sandbox_job *j;
	struct sandbox *s;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	config = ojson_get_object(r, "config");
	if (!config || !*ojson_cstr(OJSON_AT(config, "metadata", "uid"), ""))
		return orlop_fail(err, EINVAL, 0, "", "sandbox: config.metadata.uid is required");
	s = OMEM_NEW(struct sandbox);
	if (!s)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	id_new(o, s->id);
	s->config = ojson_ref(config);
	s->created_ns = o->h->now_wall(o->h);
	s->host_net = ns_is_node(config, "network");
	s->host_ipc = ns_is_node(config, "ipc");
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

	ns_unpin(j->dir);
	(void)cgroup_remove(j->o, j->cgroup);
}

static void stop_done(void *arg)
{
	struct sandbox_job *j = arg;
	struct sandbox *s = j->s;

	s->busy = false;
	s->ready = false;
	j->result = sandbox_save(j->o, s);
	if (j->result) {
		orlop_fail(&j->err, -j->result, 0, "", "cannot write the state of sandbox %s", s->id);
		reply_error(j->o, j->call, &j->err);
	} else {
		reply_json(j->o, j->call, NULL, NULL);
	}
	job_free(j);
}

static void remove_work(void *arg)
{
	struct sandbox_job *j = arg;

	stop_work(j);
	j->result = ofile_remove_tree(AT_FDCWD, j->dir);
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
	if (out)
		(void)ojson_set(out, "status", sandbox_summary(s));
	reply_json(o, call, out, netns);
	return 0;
}

OCI_OP(op_list_sandboxes)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct ojson *out;
	struct ojson *items;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	out = ojson_new_object();
	items = out ? ojson_ensure_array(out, "items") : NULL;
	if (!items) {
		ojson_unref(out);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	OMAP_FOREACH(&o->sandboxes, at) {
		const struct sandbox *s = at->value;
		struct ojson *j = s->busy ? NULL : sandbox_summary(s);

		if (j && filter_takes(r, j))
			(void)ojson_append(items, j);
		else
			ojson_unref(j);
	}
	reply_json(o, call, out, NULL);
	return 0;
}
