/*
 * oci.c - the class runtime by OCI runtimes: the module, its parameters, its start and end.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

OCI_OP(op_version);
OCI_OP(op_status);

OCI_OP(op_version)
{
	struct oci *o = ctx;
	struct ojson *out = ojson_new_object();

	(void)req;
	(void)err;
	if (out) {
		(void)ojson_set_cstr(out, "version", "0.1.0");
		(void)ojson_set_cstr(out, "runtimeName", "orlop-oci");
		(void)ojson_set_cstr(out, "runtimeVersion", ORLOP_VERSION);
		(void)ojson_set_cstr(out, "runtimeApiVersion", "v1");
	}
	reply_json(o, call, out, NULL);
	return 0;
}

/* @why: NULL if it is as it should be */
static void condition_add(struct ojson *list, const char *type, const char *reason, const char *why)
{
	struct ojson *c = ojson_new_object();

	if (!c)
		return;
	(void)ojson_set_cstr(c, "type", type);
	(void)ojson_set_bool(c, "status", !why);
	if (why) {
		(void)ojson_set_cstr(c, "reason", reason);
		(void)ojson_set_cstr(c, "message", why);
	}
	(void)ojson_append(list, c);
}

OCI_OP(op_status)
{
	struct oci *o = ctx;
	char path[4096];
	struct ojson *out = ojson_new_object();
	struct ojson *list = out ? ojson_ensure_array(ojson_ensure_object(out, "status"), "conditions") : NULL;

	(void)req;
	(void)err;
	if (list) {
		/* init found runtime and monitor; an upgrade may have taken them away. Networks are the class cni's. */
		const char *gone = !program_find(o->conmon, path, sizeof(path)) ? o->conmon : access(o->handler->program, X_OK) ? o->handler->program : NULL;
		cleanup_free char *why = gone ? omem_printf("%s is not installed any more", gone) : NULL;

		condition_add(list, "RuntimeReady", "ProgramMissing", why);
		handlers_tell(o, out);
		(void)ojson_set_bool(ojson_ensure_object(out, "features"), "supplementalGroupsPolicy", true);
		(void)ojson_set_cstr(ojson_ensure_object(out, "info"), "runtime", o->handler->program);
		(void)ojson_set_cstr(ojson_ensure_object(out, "info"), "cgroups",
				     o->cgroups == OCI_CGROUPS_V2 ? "v2" : o->hybrid ? "hybrid" : "v1");
	}
	reply_json(o, call, out, NULL);
	return 0;
}

static int programs_find(struct oci *o, struct orlop_error *err)
{
	char path[4096];
	int e = handlers_read(o, err);

	if (e)
		return e;
	if (!program_find(o->conmon, path, sizeof(path)))
		return orlop_fail(err, ENOENT, 0, "", "%s is not installed; install conmon", o->conmon);
	if (access(o->unpack, X_OK))
		return orlop_fail(err, errno, 0, "", "unpack = \"%s\": no such program", o->unpack);
	return 0;
}

/*
 * root becomes a mount point of its own with shared propagation: containers' monitors live in slave
 * mount namespaces, and what we unmount must go there too, or it would stay for their lifetime.
 */
static int root_share(struct oci *o, struct orlop_error *err)
{
	struct stat a;
	struct stat b;
	char parent[4096];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", o->root);
	slash = strrchr(parent, '/');
	if (slash && slash != parent)
		*slash = '\0';
	if (stat(o->root, &a) || stat(parent, &b))
		return orlop_fail(err, errno, 0, "", "cannot stat %s: %s", o->root, strerrordesc_np(errno));
	/* a bind of itself has the same device: ask for the mount by changing it */
	if (mount(NULL, o->root, NULL, MS_SHARED, NULL)) {
		if (mount(o->root, o->root, NULL, MS_BIND, NULL) ||
		    mount(NULL, o->root, NULL, MS_SHARED, NULL))
			return orlop_fail(err, errno, 0, "", "cannot make %s a shared mount: %s", o->root, strerrordesc_np(errno));
	}
	return 0;
}

static bool dir_empty(const char *path)
{
	cleanup_dir DIR *dp = opendir(path);
	struct dirent *d = NULL;

	while (dp && (d = readdir(dp)) && (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")))
		;
	return dp && !d;
}

/*
 * What ends with the machine is kept in memory: of the 40 files and directories that a container has
 * 15 have to be on disk. Where no tmpfs can be mounted it is on disk, too.
 */
static void memory_mount(struct oci *o)
{
	static const char *const dirs[] = { "run", "sandboxes", "containers" };
	size_t i;

	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		cleanup_free char *dir = path_of(o, "%s", dirs[i]);
		struct stat top;
		struct stat st;

		if (dir && !stat(o->root, &top) && !stat(dir, &st) && st.st_dev == top.st_dev && dir_empty(dir) &&
		    mount("orlop", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0711"))
			OLOG(o->h, WARN, "no_tmpfs", "dir=%s errno=%d using=disk", dir, errno);
	}
}

static uint64_t bounding_caps(void)
{
	struct obuf b = OBUF_INIT;
	const char *p;
	uint64_t caps = 0;

	if (!ofile_read(AT_FDCWD, "/proc/self/status", 65536, &b) && (p = strstr(obuf_cstr(&b), "\nCapBnd:")))
		caps = strtoull(p + 8, NULL, 16);
	obuf_done(&b);
	return caps;
}

static void oci_fini(void *ctx)
{
	struct oci *o = ctx;

	execs_end(o);
	attaches_end(o);
	procs_forget(o);
	pulls_forget(o);
	orphans_stop(o);
	events_done(o);
	OMAP_FOREACH(&o->sandboxes, s)
		sandbox_free(s->value);
	OMAP_FOREACH(&o->containers, c) {
		monitor_forget(o, c->value);
		stop_forget(o, c->value);
		container_free(c->value);
	}
	OMAP_FOREACH(&o->images, i)
		image_free(i->value);
	omap_done(&o->sandboxes);
	omap_done(&o->containers);
	omap_done(&o->images);
	omap_done(&o->changing);
	omem_free(o->root);
	handlers_done(o);
	omem_free(o->pause);
	shelter_drop(o);
	omem_free(o->registries_conf);
	ojson_unref(o->pinned);
	ojson_unref(o->orphan_parents);
	omem_free(o);
}

static int dirs_make(struct oci *o, struct orlop_error *err)
{
	static const char *const dirs[] = { "exits", "l", "trash", "rw", "kept", "kept/sandboxes", "kept/containers", "run", "sandboxes", "containers" };
	size_t i;
	int e = ofile_mkdir_p(o->root, 0711);

	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !e; i++) {
		cleanup_free char *dir = path_of(o, "%s", dirs[i]);

		e = dir ? ofile_mkdir_p(dir, 0711) : -ENOMEM;
	}
	return e ? orlop_fail(err, -e, 0, "", "cannot make directories under %s", o->root) : 0;
}

static int params_read(struct oci *o, struct orlop_error *err)
{
	int64_t stall = strtoll(o->h->param(o->h, "pull_timeout"), NULL, 10);
	int64_t mib = strtoll(o->h->param(o->h, "max_image_mib"), NULL, 10);
	const char *q = o->h->param(o->h, "pinned_images");

	if (stall < 1 || stall > 86400 || mib < 1 || mib > (1 << 24))
		return orlop_fail(err, EINVAL, 0, "", "pull_timeout = %lld, max_image_mib = %lld: 1 to 86400 seconds, 1 to 16777216 MiB",
				  (long long)stall, (long long)mib);
	o->pull_stall_ns = (uint64_t)stall * 1000000000ull;
	o->pull_max = (uint64_t)mib << 20;
	o->pinned = ojson_new_array();
	while (o->pinned && *q) {
		struct obuf name = OBUF_INIT;
		cleanup_free char *one = NULL;
		size_t n;

		q += strspn(q, ", ");
		n = strcspn(q, ", ");
		one = omem_strndup(q, n);
		if (n && one && imgref_normalize(one, &name)) {
			obuf_done(&name);
			return orlop_fail(err, EINVAL, 0, "", "pinned_images: \"%s\" is no image name", one);
		}
		if (n && one)
			(void)ojson_append_cstr(o->pinned, name.data);
		obuf_done(&name);
		q += n;
	}
	return o->pinned ? 0 : orlop_fail(err, ENOMEM, 0, "", "no memory");
}

static int oci_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct oci *o = OMEM_NEW(struct oci);
	int e;

	if (!o)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	o->h = h;
	o->exit_fd = -1;
	olist_init(&o->handlers);
	o->shelter = -1;
	olist_init(&o->pollers);
	olist_init(&o->execs);
	olist_init(&o->attaches);
	olist_init(&o->pulls);
	olist_init(&o->procs);
	omap_init(&o->sandboxes);
	omap_init(&o->containers);
	omap_init(&o->images);
	omap_init(&o->changing);
	o->root = omem_strdup(h->param(h, "root"));
	o->conmon = h->param(h, "conmon");
	o->skopeo = h->param(h, "skopeo");
	o->unpack = h->param(h, "unpack");
	o->pause = omem_printf("%.*s/oci-pause", (int)(strrchr(o->unpack, '/') ? strrchr(o->unpack, '/') - o->unpack : 0), o->unpack);
	o->seccomp_dir = h->param(h, "seccomp_dir");
	o->caps = bounding_caps();
	o->oom_min = oom_lowest(o->caps);
	e = o->root && o->pause && o->root[0] == '/' ? 0
		: orlop_fail(err, EINVAL, 0, "", "root = \"%s\": not an absolute path", h->param(h, "root"));
	if (!e)
		e = programs_find(o, err);
	if (!e)
		e = dirs_make(o, err);
	if (!e)
		e = root_share(o, err);
	if (!e)
		memory_mount(o);
	if (e) {
		oci_fini(o);
		return e;
	}
	cgroup_detect(o);
	e = registry_init(o, err);
	if (!e)
		e = params_read(o, err);
	if (!e)
		e = events_init(o, err);
	if (!e)
		e = images_load(o, err);
	if (!e)
		e = state_load(o, err);
	if (e) {
		oci_fini(o);
		return e;
	}
	*ret_ctx = o;
	return 0;
}

static int oci_stop(void *ctx, struct orlop_error *err)
{
	struct oci *o = ctx;
	bool replaced = ORLOP_HOST_HAS(o->h, stop_reason) && o->h->stop_reason(o->h) == ORLOP_STOP_REPLACE;

	/* Its successor would begin by removing what is not complete. */
	if (replaced && o->n_pulling)
		return orlop_fail(err, EBUSY, 0, "", "an image is being fetched; try again when it is there");
	pollers_wake(o);
	/* Sessions of exec end with whoever began them: now, or as our successor works beside us. */
	if (!replaced) {
		execs_end(o);
		attaches_end(o);
		pulls_end(o);
	}
	return 0;
}

/* What a successor would find half done. Stops that wait for their grace are no such thing: both see the end. */
static uint32_t oci_changing(void *ctx)
{
	struct oci *o = ctx;

	return omap_count(&o->changing);
}

static uint32_t oci_draining(void *ctx)
{
	struct oci *o = ctx;
	uint32_t n = 0;

	OLIST_FOREACH(l, &o->execs)
		n++;
	OLIST_FOREACH(a, &o->attaches)
		n++;
	OMAP_FOREACH(&o->containers, e)
		OLIST_FOREACH(l, &((struct container *)e->value)->waits)
			n++;
	return n;
}

/* An op that changes something: counted until it is answered. */
static int change(struct oci *o, orlop_op_fn op, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	int r = omap_put(&o->changing, &call, sizeof(call), o, NULL);

	if (r)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	r = op(o, req, call, err);
	if (r < 0)
		(void)omap_del(&o->changing, &call, sizeof(call));
	return r;
}

#define CHANGES(name) \
	static int change_##name(void *ctx, const struct orlop_req *req, struct orlop_call *call, \
				 struct orlop_error *err) \
	{ \
		return change(ctx, op_##name, req, call, err); \
	}

CHANGES(run_sandbox)
CHANGES(stop_sandbox)
CHANGES(remove_sandbox)
CHANGES(create_container)
CHANGES(start_container)
CHANGES(remove_container)

static int oci_start(void *ctx, struct orlop_error *err)
{
	struct oci *o = ctx;

	(void)err;
	/* what ended between loading and watching */
	OMAP_FOREACH(&o->containers, e) {
		struct container *c = e->value;

		container_check_exit(o, c);
		if (c->state != OCI_EXITED && !c->start_error)
			monitor_watch(o, c);
	}
	shelter_renew(o);
	orphans_start(o);
	trash_start(o);
	layers_gc(o);
	import_dir_start(o);
	OLOG(o->h, INFO, "runtime", "program=%s sandboxes=%u containers=%u images=%u", o->handler->program,
	     omap_count(&o->sandboxes), omap_count(&o->containers), omap_count(&o->images));
	o->h->ready(o->h);
	return 0;
}

static void oci_health(void *ctx, struct orlop_health *health)
{
	struct oci *o = ctx;

	health->ok = 1;
	snprintf(health->text, sizeof(health->text), "%u containers, %u images",
		 omap_count(&o->containers), omap_count(&o->images));
}

static const struct orlop_param oci_params[] = {
	{ "root", ORLOP_PARAM_STRING, ORLOP_PARAM_REQUIRED, NULL, "directory of containers and images" },
	{ "runtime", ORLOP_PARAM_STRING, 0, "", "crun, runc or a path; empty: crun if it is there, else runc" },
	{ "handlers", ORLOP_PARAM_STRING, 0, "", "list of NAME=PROGRAM: OCI runtimes that RuntimeClasses ask for by handler" },
	{ "conmon", ORLOP_PARAM_STRING, 0, "conmon", "the container monitor" },
	{ "skopeo", ORLOP_PARAM_STRING, 0, "skopeo", "the image fetcher" },
	{ "unpack", ORLOP_PARAM_STRING, ORLOP_PARAM_REQUIRED, NULL, "path of oci-unpack, installed with orlop; oci-pause is beside it" },
	{ "mirrors", ORLOP_PARAM_STRING, 0, "", "list of REGISTRY=MIRROR, asked before the registry itself" },
	{ "insecure_registries", ORLOP_PARAM_STRING, 0, "", "list of registries and mirrors without (good) TLS" },
	{ "registries_conf", ORLOP_PARAM_STRING, 0, "", "a registries.conf of one's own instead of these two" },
	{ "certs_dir", ORLOP_PARAM_STRING, 0, "/etc/docker/certs.d", "folder of HOST[:PORT]/*.crt: authorities of registries" },
	{ "pull_timeout", ORLOP_PARAM_INT, 0, "60", "seconds without a byte after which a fetch is given up" },
	{ "max_image_mib", ORLOP_PARAM_INT, 0, "32768", "largest image that is fetched, MiB compressed" },
	{ "pinned_images", ORLOP_PARAM_STRING, 0, "", "list of images that are kept when room is made" },
	{ "import_dir", ORLOP_PARAM_STRING, 0, "", "folder of archives and layouts, imported at start when new" },
	{ "seccomp_dir", ORLOP_PARAM_STRING, 0, "/var/lib/kubelet/seccomp", "folder of seccomp profiles that are named relatively" },
};

static const struct orlop_runtime_ops oci_ops = {
	.size = sizeof(oci_ops),
	.version = op_version,
	.status = op_status,
	.run_sandbox = change_run_sandbox,
	.stop_sandbox = change_stop_sandbox,
	.remove_sandbox = change_remove_sandbox,
	.sandbox_status = op_sandbox_status,
	.list_sandboxes = op_list_sandboxes,
	.create_container = change_create_container,
	.start_container = change_start_container,
	.stop_container = op_stop_container,
	.remove_container = change_remove_container,
	.container_status = op_container_status,
	.list_containers = op_list_containers,
	.update_resources = op_update_resources,
	.reopen_log = op_reopen_log,
	.exec_sync = op_exec_sync,
	.exec = op_exec,
	.attach = op_attach,
	.port_forward = op_port_forward,
	.container_stats = op_container_stats,
	.exec_resize = op_exec_resize,
	.exec_wait = op_exec_wait,
	.events = op_events,
	.image_list = op_image_list,
	.image_status = op_image_status,
	.image_pull = op_image_pull,
	.image_remove = op_image_remove,
	.image_fs_info = op_image_fs_info,
	.image_import = op_image_import,
	.sandbox_stats = op_sandbox_stats,
};

/* What it starts inherits what it has: everything, or containers would lack it. */
ORLOP_MODULE("oci", "runtime", "0.1", "caps=*\0files=*\0net=*\0exec=yes",
	.license = "Apache-2.0",
	.summary = "containers by crun or runc under conmon, images by skopeo",
	.flags = ORLOP_MOD_HANDOVER,
	.n_params = sizeof(oci_params) / sizeof(oci_params[0]),
	.params = oci_params,
	.ops = &oci_ops,
	.init = oci_init,
	.start = oci_start,
	.stop = oci_stop,
	.fini = oci_fini,
	.health = oci_health,
	.draining = oci_draining,
	.changing = oci_changing);
