/*
 * create.c - a container comes into being.
 *
 * worker (overlay, user, config.json) → conmon (conmon.c), which runs `crun create` and reports the pid → state on disk →
 * answer.
 */
#include "create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#define POINTS_BELOW	32u		/* an image of many layers has no room for one more in a mount's options */

static void create_free(struct create_job *j)
{
	if (j->sync_watch)
		j->o->h->fd_unwatch(j->sync_watch);
	j->o->h->timer_free(j->timer);
	if (j->sync_fd >= 0)
		close(j->sync_fd);
	if (j->shelter >= 0)
		close(j->shelter);
	obuf_done(&j->sync);
	omem_free(j->dir);
	omem_free(j->rw);
	omem_free(j->container);
	omem_free(j->sandbox);
	omem_free(j->image);
	omem_free(j->layers);
	omem_free(j->volumes);
	omem_free(j->ns_dir);
	omem_free(j->cgroup);
	omem_free(j->pidns);
	omem_free(j->log);
	omem_free(j);
}

static void wipe_work(void *arg)
{
	struct create_job *j = arg;
	cleanup_free char *run = path_of(j->o, "run/%s", j->id);
	cleanup_free char *exit_file = path_of(j->o, "exits/%s", j->id);

	if (j->started) {
		(void)cgroup_remove(j->o, j->cgroup);
		if (run)
			(void)ofile_remove_tree(AT_FDCWD, run);
		if (exit_file)
			(void)unlink(exit_file);
	}
	rootfs_unmount(j->dir);
	(void)ofile_remove_tree(AT_FDCWD, j->dir);
	(void)ofile_remove_tree(AT_FDCWD, j->rw);
}

static void wipe_done(void *arg)
{
	struct create_job *j = arg;
	struct oci *o = j->o;

	omap_del(&o->containers, j->c->id, strlen(j->c->id));
	container_free(j->c);
	reply_error(o, j->call, &j->err);
	create_free(j);
}

static void create_wipe(struct create_job *j)
{
	if (j->o->h->work(j->o->h, 0, wipe_work, wipe_done, j)) {
		wipe_work(j);
		wipe_done(j);
	}
}

static void create_deleted(void *arg, int32_t code, int32_t sig, const struct obuf *out)
{
	(void)code;
	(void)sig;
	(void)out;
	create_wipe(arg);
}

/*
 * conmon may be gone and `create` go on without it: what that makes after a `delete` nobody would find. So it ends first;
 * killed in the middle it leaves a first process that waits, and has not noted yet where.
 */
static void begun_work(void *arg)
{
	struct create_job *j = arg;

	orphan_kill(j->o, j->id);
	cgroup_kill(j->o, j->cgroup);
}

static void begun_ended(void *arg)
{
	struct create_job *j = arg;
	cleanup_free char *run = path_of(j->o, "run");
	const char *argv[] = { j->c->rt->program, "--root", run, "delete", "--force", j->c->id, NULL };

	if (!run || proc_run(j->o, argv, handler_flags(j->o, j->c->rt), create_deleted, j, NULL))
		create_wipe(j);
}

/* What conmon had begun the OCI runtime takes back. */
void create_fail(struct create_job *j)
{
	j->c->busy = true;	/* nobody else's until it is gone */
	if (j->sync_watch)
		j->o->h->fd_unwatch(j->sync_watch);
	j->sync_watch = NULL;
	j->o->h->timer_free(j->timer);
	j->timer = NULL;
	if (!j->started || j->o->h->work(j->o->h, 0, begun_work, begun_ended, j))
		create_wipe(j);
}

static int parse_text(const char *text, struct ojson **ret)
{
	return text ? ojson_parse(text, strlen(text), ret, NULL) : -ENOMEM;
}

static int config_write(struct create_job *j, const struct ojson *image, const struct ojson *container,
			const struct ojson *sandbox)
{
	char rootfs[4096];
	char paths[5][4096];
	char apparmor[256];
	const struct ojson *sc = OJSON_AT(container, "linux", "securityContext");
	const char *profile_path;
	cleanup_ojson struct ojson *devices = NULL;
	cleanup_ojson struct ojson *profile = NULL;
	struct user_found *user = &j->user;
	struct spec_input in = { .image = image, .container = container, .sandbox = sandbox };
	cleanup_ojson struct ojson *spec = NULL;
	cleanup_free char *text = NULL;
	size_t len;
	int e;

	snprintf(rootfs, sizeof(rootfs), "%s/rootfs", j->dir);
	e = user_find(rootfs, ojson_cstr(OJSON_AT(image, "config", "User"), ""), sc, user, &j->err);
	if (!e)
		e = devices_find(container, &devices, &j->err);
	if (!e)
		e = apparmor_choose(sc, apparmor, sizeof(apparmor), &j->err);
	in.seccomp = seccomp_kind(sc, &profile_path);
	if (!e && in.seccomp == SECCOMP_LOCAL)
		e = seccomp_read(j->o, profile_path, &profile, &j->err);
	if (e)
		return e;
	in.seccomp_profile = profile;
	in.devices = devices;
	in.apparmor = *apparmor ? apparmor : NULL;
	in.hugetlb = j->o->hugetlb;
	in.is_crun = j->c->rt->is_crun;
	in.oom_min = j->o->oom_min;
	snprintf(paths[0], sizeof(paths[0]), "%s/ns/net", j->ns_dir);
	snprintf(paths[1], sizeof(paths[1]), "%s/ns/ipc", j->ns_dir);
	snprintf(paths[2], sizeof(paths[2]), "%s/ns/uts", j->ns_dir);
	in.netns = j->net ? paths[0] : NULL;
	in.ipcns = j->ipc ? paths[1] : NULL;
	in.utsns = paths[2];
	in.pidns = j->pidns;
	snprintf(paths[3], sizeof(paths[3]), "%s/ns/user", j->ns_dir);
	in.userns = j->userns ? paths[3] : NULL;
	in.userns_options = OJSON_AT(sandbox, "linux", "securityContext", "namespaceOptions", "usernsOptions");
	snprintf(paths[4], sizeof(paths[4]), "%s/shm", j->ns_dir);
	in.shm_path = !j->ipc ? "/dev/shm" : paths[4];
	in.cgroup_path = j->cgroup;
	in.cgroup_v2 = j->o->cgroups == OCI_CGROUPS_V2;
	in.caps = j->caps;
	in.uid = user->uid;
	in.gid = user->gid;
	in.groups = user->groups;
	in.n_groups = user->n_groups;
	in.home = user->home;
	e = spec_make(&in, &spec, &j->err);
	if (e)
		return e;
	text = ojson_text(spec, 0, &len);
	snprintf(rootfs, sizeof(rootfs), "%s/config.json", j->dir);
	e = text ? ofile_write(AT_FDCWD, rootfs, text, len, 0600) : -ENOMEM;
	return e ? orlop_fail(&j->err, -e, 0, "", "cannot write %s", rootfs) : 0;
}

static bool is_mounted(const struct ojson *container, const char *at)
{
	OJSON_FOREACH_ELEM(i, m, ojson_get(container, "mounts"))
		if (!strcmp(ojson_get_cstr(m, "containerPath", ""), at))
			return true;
	return false;
}

/* Below the image's layers what will be mounted on, so that it need not be made in each container's own. */
static int points_add(struct ojson **layers, const struct ojson *container)
{
	bool etc = is_mounted(container, "/etc/hosts") && is_mounted(container, "/etc/resolv.conf");
	struct ojson *list;
	int e;

	if (ojson_count(*layers) >= POINTS_BELOW)
		return 0;
	list = ojson_new_array();
	if (!list)
		return -ENOMEM;
	e = ojson_append_cstr(list, etc ? POINTS_ETC : POINTS);
	OJSON_FOREACH_ELEM(i, l, *layers)
		e = e ? e : ojson_append(list, ojson_ref(l));
	ojson_unref(*layers);
	*layers = list;
	return e;
}

static void create_work(void *arg)
{
	struct create_job *j = arg;
	cleanup_ojson struct ojson *image = NULL;
	cleanup_ojson struct ojson *layers = NULL;
	cleanup_ojson struct ojson *container = NULL;
	cleanup_ojson struct ojson *sandbox = NULL;
	cleanup_ojson struct ojson *volumes = NULL;
	cleanup_free char *ns = NULL;
	uint64_t sum;
	int e = ofile_mkdir_p(j->dir, 0711);

	if (!e)
		e = ofile_mkdir_p(j->rw, 0711);
	if (!e)
		e = parse_text(j->image, &image);
	if (!e)
		e = parse_text(j->layers, &layers);
	if (!e)
		e = parse_text(j->container, &container);
	if (!e)
		e = parse_text(j->sandbox, &sandbox);
	if (!e)
		e = parse_text(j->volumes, &volumes);
	if (!e)
		e = points_add(&layers, container);
	if (e) {
		j->result = orlop_fail(&j->err, -e, 0, "", "cannot prepare %s", j->dir);
		return;
	}
	ns = j->userns ? omem_printf("%s/ns/user", j->ns_dir) : NULL;
	if (j->userns && !ns)
		j->result = orlop_fail(&j->err, ENOMEM, 0, "", "no memory");
	else
		j->result = rootfs_mount(j->o->root, j->dir, j->rw, layers, ns, j->root_uid, j->root_gid, &j->err);
	if (!j->result)
		j->result = imagevols_mount(j->o->root, j->dir, volumes, ns, container, &j->err);
	if (!j->result)
		j->result = config_write(j, image, container, sandbox);
	/* what it mounts into the container must be what we see */
	if (!j->result && j->shelter >= 0 && (shelter_sum(&sum) || sum != j->shelter_sum)) {
		close(j->shelter);
		j->shelter = -1;
	}
	if (!j->result)
		j->result = conmon_start(j);
}

void create_finish(struct create_job *j)
{
	struct oci *o = j->o;
	struct container *c = j->c;
	struct ojson *out;
	int e;

	c->busy = false;
	c->state = OCI_CREATED;
	c->pid_start = c->pid ? pid_start_time(c->pid) : 0;
	c->user = user_json(&j->user);
	e = container_save(o, c);
	if (e) {
		orlop_fail(&j->err, -e, 0, "", "cannot write the state of container %s", c->id);
		create_fail(j);
		return;
	}
	event_add(o, "CONTAINER_CREATED_EVENT", c->id, c->sandbox);
	if (!c->start_error)
		monitor_watch(o, c);
	out = ojson_new_object();
	if (out)
		(void)ojson_set_cstr(out, "containerId", c->id);
	reply_json(o, j->call, out, NULL);
	create_free(j);
}

static void create_prepared(void *arg)
{
	struct create_job *j = arg;

	if (j->shelter < 0 && handler_flags(j->o, j->rt))
		shelter_renew(j->o);
	if (!j->result)
		j->result = conmon_watch(j);
	if (j->result)
		create_fail(j);
}

static char *text_of(const struct ojson *j)
{
	return j ? ojson_text(j, 0, NULL) : omem_strdup("{}");
}

static uint32_t root_of(const struct ojson *ranges)
{
	OJSON_FOREACH_ELEM(i, m, ranges)
		if (!ojson_get_i64(m, "containerId", 0))
			return (uint32_t)ojson_get_i64(m, "hostId", 0);
	return 0;
}

/* The PID namespace to be joined: the pod's, another container's; *ret NULL: one of its own. false with @err. */
static bool pidns_choose(struct oci *o, const struct container *c, const struct sandbox *s, char **ret, struct orlop_error *err)
{
	const struct ojson *opts = OJSON_AT(c->config, "linux", "securityContext", "namespaceOptions");
	const char *mode = ojson_get_cstr(opts, "pid", "CONTAINER");
	const struct container *target = NULL;
	int pid = 0;

	if (!strcmp(mode, "POD") && s->own_pid)
		pid = s->pause_pid;
	if (!strcmp(mode, "TARGET")) {
		target = omap_get_cstr(&o->containers, ojson_get_cstr(opts, "targetId", ""));
		if (!target || strcmp(target->sandbox, s->id) != 0 || target->state != OCI_RUNNING) {
			orlop_fail(err, EINVAL, 0, "", "target container \"%s\" is not running in this pod", ojson_get_cstr(opts, "targetId", ""));
			return false;
		}
		pid = target->pid;
	}
	*ret = pid ? omem_printf("/proc/%d/ns/pid", pid) : NULL;
	if (pid && !*ret)
		orlop_fail(err, ENOMEM, 0, "", "no memory");
	return !pid || *ret;
}

static struct create_job *create_new(struct oci *o, struct container *c, const struct sandbox *s,
				     const struct image *img, struct orlop_error *err)
{
	struct create_job *j = OMEM_NEW(struct create_job);
	cleanup_ojson struct ojson *volumes = NULL;

	if (!j)
		return NULL;
	j->o = o;
	j->c = c;
	j->sync_fd = -1;
	j->rt = c->rt;
	j->shelter = shelter_use(o, c->rt, &j->sealed);
	j->shelter_sum = o->shelter_sum;
	j->err.size = sizeof(j->err);
	j->net = !s->host_net;
	j->ipc = !s->host_ipc;
	j->caps = o->caps;
	j->dir = path_of(o, "containers/%s", c->id);
	j->rw = path_of(o, "rw/%s", c->id);
	j->ns_dir = path_of(o, "sandboxes/%s", s->id);
	j->cgroup = container_cgroup(o, c);
	memcpy(j->id, c->id, sizeof(j->id));
	j->log = omem_strdup(c->log_path);
	j->tty = ojson_get_bool(c->config, "tty", false);
	j->in = ojson_get_bool(c->config, "stdin", false);
	j->leave_in = !ojson_get_bool(c->config, "stdinOnce", false);
	j->userns = s->userns;
	if (s->userns) {
		const struct ojson *u = OJSON_AT(s->config, "linux", "securityContext", "namespaceOptions", "usernsOptions");

		j->root_uid = root_of(ojson_get(u, "uids"));
		j->root_gid = root_of(ojson_get(u, "gids"));
	}
	if (!pidns_choose(o, c, s, &j->pidns, err)) {
		create_free(j);
		return NULL;
	}
	if (imagevols_layers(o, c->config, &volumes, err)) {
		create_free(j);
		return NULL;
	}
	j->volumes = ojson_text(volumes, 0, NULL);
	j->container = text_of(c->config);
	j->sandbox = text_of(s->config);
	j->image = text_of(img->config);
	j->layers = ojson_text(img->layers, 0, NULL);
	if (!j->dir || !j->rw || !j->ns_dir || !j->cgroup || !j->log || !j->container || !j->sandbox || !j->image ||
	    !j->layers || !j->volumes) {
		create_free(j);
		return NULL;
	}
	return j;
}

static struct container *container_new(struct oci *o, const struct sandbox *s, struct ojson *config,
				       const struct image *img)
{
	struct container *c = OMEM_NEW(struct container);
	const char *dir = ojson_get_cstr(s->config, "logDirectory", "");
	const char *log = ojson_get_cstr(config, "logPath", "");

	if (!c)
		return NULL;
	olist_init(&c->waits);
	id_new(o, c->id);
	memcpy(c->sandbox, s->id, sizeof(c->sandbox));
	c->rt = s->rt;
	c->config = ojson_ref(config);
	c->created_ns = o->h->now_wall(o->h);
	c->busy = true;
	c->image_id = omem_strdup(img->id);
	c->image_ref = omem_strdup(ojson_count(img->digests) ? ojson_cstr(ojson_index(img->digests, 0), "")
							      : img->id);
	c->log_path = *dir && *log ? omem_printf("%s/%s", dir, log) : omem_strdup("");
	if (!c->image_id || !c->image_ref || !c->log_path) {
		container_free(c);
		return NULL;
	}
	return c;
}

OCI_OP(op_create_container)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct create_job *j;
	struct container *c;
	struct sandbox *s;
	struct image *img;
	struct ojson *config;
	const char *ref;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	s = sandbox_get(o, r, err);
	if (!s)
		return -ENOENT;
	if (!s->ready)
		return orlop_fail(err, EINVAL, 0, "", "sandbox %s is not ready", s->id);
	config = ojson_get_object(r, "config");
	ref = ojson_cstr(OJSON_AT(config, "image", "image"), "");
	img = image_find(o, ref);
	if (!img)
		return orlop_fail(err, ENOENT, 404, "NotFound", "image \"%s\" not found", ref);
	c = container_new(o, s, config, img);
	j = c ? create_new(o, c, s, img, err) : NULL;
	e = j ? omap_put_cstr(&o->containers, c->id, c) : -ENOMEM;
	if (!e) {
		j->call = call;
		cgroup_warm(o);
		e = o->h->work(o->h, 0, create_work, create_prepared, j);
		if (e)
			omap_del(&o->containers, c->id, strlen(c->id));
	}
	if (e) {
		if (j)
			create_free(j);
		container_free(c);
		return err->err ? -err->err : orlop_fail(err, -e, 0, "", "container could not be made");
	}
	return 0;
}
