/*
 * oci.h - the runtime module for OCI runtimes: what its files share.
 *
 * Containers are held by conmon, one process each, which outlives the daemon; crun or runc start
 * them. Everything that must survive a restart is under `root`; on disk what a reboot leaves, too:
 *   kept/{sandboxes,containers}/ID.json   what is remembered of each (state.c)
 *   rw/ID/{upper,work}                    a container's writable layer
 *   exits/ID                              exit code, written by conmon when the container ends
 *   images/…                              image.c
 * and in memory (tmpfs) what ends with the machine:
 *   sandboxes/ID/ns/{net,ipc,uts}, shm    pinned by bind mounts
 *   containers/ID/                        the bundle: config.json, rootfs (overlay), pid, conmon.pid, ctl …
 *   run/ID                                of the OCI runtime
 * The module runs on one loop; what may block (mounts, files, unpacking) goes to workers, which see
 * only copies; programs are started by the host.
 */
#ifndef RUNTIME_OCI_OCI_H
#define RUNTIME_OCI_OCI_H

#include <orlop/host.h>
#include <orlop/runtime.h>

#include "base/obuf.h"
#include "base/olist.h"
#include "base/omap.h"
#include "json/ojson.h"
#include "spec.h"

#define OCI_ID_LEN	64

enum oci_cgroups {
	OCI_CGROUPS_V1,		/* v1 controllers (also hybrid: v2 mounted beside) */
	OCI_CGROUPS_V2,
};

enum oci_state {
	OCI_CREATED,
	OCI_RUNNING,
	OCI_EXITED,
};

/* The last reading of a cgroup's processor time, for "how much now". */
struct rate {
	uint64_t	at;
	uint64_t	cpu_ns;
	uint64_t	nano_cores;
};

/* An OCI runtime. */
struct handler {
	struct olist	node;
	char		*name;		/* as a RuntimeClass has it; "" */
	char		*program;	/* path of crun, runc or one that is called like them */
	bool		is_crun;
};

struct sandbox {
	char		id[OCI_ID_LEN + 1];
	struct ojson	*config;	/* CRI PodSandboxConfig */
	const struct handler *rt;
	uint64_t	created_ns;
	bool		ready;
	bool		host_net;
	bool		host_ipc;
	bool		own_pid;	/* a PID namespace for the whole pod, held by: */
	int		pause_pid;
	uint64_t	pause_start;
	bool		userns;		/* ns/user is there */
	bool		busy;		/* being made: not listed */
	struct rate	rate;
};

/* A stop that waits for its container to end. */
struct stop_wait {
	struct olist	node;
	struct orlop_call *call;	/* to answer; or */
	orlop_cb	then;		/* to call */
	void		*arg;
	struct orlop_timer *timer;
	struct container *c;
};

struct container {
	char		id[OCI_ID_LEN + 1];
	char		sandbox[OCI_ID_LEN + 1];
	struct ojson	*config;	/* CRI ContainerConfig */
	const struct handler *rt;	/* its sandbox's */
	struct ojson	*user;		/* CRI ContainerUser: who its first process is; NULL: not known */
	char		*image_id;	/* sha256:… */
	char		*image_ref;
	char		*log_path;	/* absolute, "" none */
	char		*start_error;	/* the OCI runtime refused it: said when it is started; NULL */
	bool		unrun;		/* started, and the kernel does not run its program: it ends with EXEC_UNRUN */
	bool		unseen;		/* nobody saw how it ended */
	enum oci_state	state;
	int		pid;
	uint64_t	pid_start;	/* of /proc/PID/stat, against reuse */
	uint64_t	created_ns;
	uint64_t	started_ns;
	uint64_t	finished_ns;
	int		exit_code;
	bool		oom;
	bool		busy;		/* being made or removed */
	struct olist	waits;		/* stop_wait */
	struct oci	*o;
	int		mon_fd;		/* pidfd of its conmon, 0: none */
	struct orlop_fdwatch *mon_watch;
	struct rate	rate;
	uint64_t	layer_at;	/* when the writable layer was measured */
	uint64_t	layer_bytes;
	uint64_t	layer_inodes;
};

struct image {
	char		id[72];		/* "sha256:" + 64 hex: digest of the config */
	struct ojson	*config;	/* OCI image config */
	struct ojson	*tags;		/* array of normalized names */
	struct ojson	*digests;	/* array of NAME@sha256:… */
	struct ojson	*layers;	/* array of layer directory names, lowest first */
	struct ojson	*blobs;		/* array of {digest, size}: what they were fetched as; NULL: unknown */
	uint64_t	size;
};

struct oci {
	const struct orlop_host *h;
	char		*root;
	const char	*conmon;
	const char	*skopeo;
	const char	*unpack;	/* our helper programs */
	char		*pause;
	const char	*seccomp_dir;	/* where local profiles with relative names are */
	bool		hugetlb;	/* a cgroup controller for huge pages is there */
	int64_t		oom_min;
	struct olist	handlers;	/* struct handler */
	const struct handler *handler;	/* the nameless one, first of them */
	enum oci_cgroups cgroups;
	bool		hybrid;
	int		shelter;	/* mount namespace in which the unified cgroups are not, -1: none */
	uint64_t	shelter_sum;
	bool		shelter_sealed;	/* the runtime is read-only in there */
	bool		sheltering;	/* one is being made */
	uint64_t	caps;		/* bounding set */
	bool		warming;	/* cgroup_warm */
	struct omap	sandboxes;	/* id → struct sandbox */
	struct omap	containers;	/* id → struct container */
	struct omap	images;		/* id → struct image */
	/* events.c */
	int		exit_fd;	/* inotify */
	int		exit_wd;
	struct orlop_fdwatch *exit_watch;
	struct event	*events;	/* ring */
	uint64_t	first_event;	/* number of our first one */
	uint64_t	next_event;
	struct olist	pollers;
	/* exec.c, attach.c */
	struct olist	execs;
	struct olist	attaches;
	struct orlop_timer *orphan_timer;
	uint32_t	orphan_looks;
	struct ojson	*orphan_parents;	/* cgroups above those of orphans */
	uint64_t	n_pulls;
	uint32_t	n_pulling;	/* images that are being fetched or imported */
	bool		gc_wanted;	/* layers_gc when none is */
	struct olist	pulls;
	struct olist	procs;		/* programs that run for us: proc.c */
	char		*registries_conf;	/* for skopeo; NULL: the machine's */
	const char	*certs_dir;
	uint64_t	pull_stall_ns;
	uint64_t	pull_max;	/* bytes */
	struct ojson	*pinned;	/* names of images that are never removed to make room */
	struct omap	changing;	/* calls that make, start or remove something: by their pointers */
};

/* ---- proc.c: programs ------------------------------------------------------------------------- */

/* @out: what it printed (stdout and stderr together, at most 1 MiB), borrowed. */
typedef void (*proc_fn)(void *arg, int32_t code, int32_t sig, const struct obuf *out);
/* In its environment where it is read-only, so that it need not copy itself first. */
#define RUNTIME_SEALED	"_LIBCONTAINER_CLONED_BINARY=1"
/* What conmon or the OCI runtime is started with: @argv, after what hides the unified cgroups where that is needed. */
#define RUNTIME_ARGS	48
const char *const *runtime_argv(const struct oci *o, const struct handler *rt, const char *const *argv, const char *buf[RUNTIME_ARGS]);
/* Flag beside ORLOP_SPAWN_…: after what hides them. */
#define PROC_HIDES	0x80000000u
/*
 * On a worker: run to its end (killed after a minute), in @shelter if that is none of -1, else it hides by itself.
 * @dir NULL: where we are. @env NULL: PATH only. @fds (NULL: none) become descriptors 3 and up; @out (or NULL): what it printed. 0, -EIO with @err: it failed; other -errno: it did not run.
 */
int proc_here(const struct oci *o, const struct handler *rt, int shelter, const char *dir, const char *const *argv, const char *const *env, const int *fds, uint32_t n_fds, struct obuf *out,
	      struct orlop_error *err);
/* Run to its end with output captured. 0 (then @fn is called once) or -errno with @err. */
int proc_run(struct oci *o, const char *const *argv, uint32_t flags, proc_fn fn, void *arg,
	     struct orlop_error *err);
/* The same, and a handle that is good until @fn is called: proc_kill ends it. */
struct proc;
int proc_start(struct oci *o, const char *const *argv, uint32_t flags, proc_fn fn, void *arg, struct proc **ret,
	       struct orlop_error *err);
void proc_kill(struct proc *p);
/* At the end of the module: they run on or not, nobody is told any more. */
void procs_forget(struct oci *o);
/* First line of @out, for messages. */
void proc_first_line(const struct obuf *out, char *buf, size_t size);

/* events.c: whoever waits for events is answered */
void pollers_wake(void *arg);

/* ---- reply.c: CRI documents in and out ------------------------------------------------------- */

/* Does the filter of a CRI list request, if it has one, take what @summary describes? */
bool filter_takes(const struct ojson *req, const struct ojson *summary);
int req_parse(struct oci *o, const struct orlop_req *req, struct ojson **ret, struct orlop_error *err);
/* Takes @take_j (may be NULL: {}), answers with it as RESPONSE; @netns may be NULL. */
void reply_json(struct oci *o, struct orlop_call *call, struct ojson *take_j, const char *netns);
/*
 * Answers a list request: under @key, @summary of each of @m that the filter takes, or NULL where it is not shown. 0 or
 * -errno: nothing is answered.
 */
int reply_list(struct oci *o, const struct orlop_req *req, struct orlop_call *call, struct omap *m, const char *key,
	       struct ojson *(*summary)(const void *at), struct orlop_error *err);
void reply_error(struct oci *o, struct orlop_call *call, struct orlop_error *err);
/* Unique prefix or full id → the thing, NULL with @err NotFound. */
struct sandbox *sandbox_get(struct oci *o, const struct ojson *req, struct orlop_error *err);
struct container *container_get(struct oci *o, const struct ojson *req, struct orlop_error *err);
void id_new(struct oci *o, char out[OCI_ID_LEN + 1]);
char *path_of(struct oci *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- handler.c ---------------------------------------------------------------------------------- */

bool program_find(const char *name, char *out, size_t size);
/* From the parameters; the nameless one is o->handler then. */
int handlers_read(struct oci *o, struct orlop_error *err);
void handlers_done(struct oci *o);
const struct handler *handler_find(const struct oci *o, const char *name);	/* NULL: there is none */
/* The same for what was made with it; the nameless one if it is not configured any more. */
const struct handler *handler_known(const struct oci *o, const char *name, const char *id);
uint32_t handler_flags(const struct oci *o, const struct handler *h);	/* to spawn conmon and the runtime */
void handlers_tell(const struct oci *o, struct ojson *out);		/* runtimeHandlers of a StatusResponse */

/* ---- state.c ---------------------------------------------------------------------------------- */

int state_load(struct oci *o, struct orlop_error *err);
int sandbox_save(struct oci *o, const struct sandbox *s);
int container_save(struct oci *o, const struct container *c);
/* The same where the change has happened anyway: a failure is logged, a restart would find the state before. */
void container_note(struct oci *o, const struct container *c);
/* That it was started, and when. */
void container_note_start(struct oci *o, const struct container *c);
void sandbox_free(struct sandbox *s);
void container_free(struct container *c);
uint64_t pid_start_time(int pid);	/* 0: no such process */

/* ---- container.c, stop.c ---------------------------------------------------------------------- */

/* It has ended: exit file read, state saved, waiters answered, event told. */
void container_ended(struct oci *o, struct container *c);
void container_check_exit(struct oci *o, struct container *c);
void stop_answer_all(struct oci *o, struct container *c);
/* The module ends: nobody waits for it here any more. */
void stop_forget(struct oci *o, struct container *c);
/* Kill a container that runs; @then once it has ended. 0 or -ENOMEM. */
int container_kill(struct oci *o, struct container *c, orlop_cb then, void *arg);
/* The kernel does not run its program: what waits for the start in its place ends, and it with EXEC_UNRUN. */
void container_unrun(struct container *c);
/* It has ended, and no exit file says how. */
void container_ended_unseen(struct oci *o, struct container *c);
/* Delete a container in any state; @then when it is gone. 0, or -errno (and @then is not called). */
int container_remove(struct oci *o, struct container *c, orlop_cb then, void *arg,
		     struct orlop_error *err);
struct ojson *container_summary(const struct container *c);
struct ojson *sandbox_summary(const struct sandbox *s);
void pause_kill(int pid, uint64_t start);
/* Where its cgroup is, from the root of each hierarchy. */
char *container_cgroup(struct oci *o, const struct container *c);
/* The container a request names, if it runs. */
struct container *container_running(struct oci *o, const struct ojson *r, struct orlop_error *err);

/* ---- monitor.c -------------------------------------------------------------------------------------- */

/* Watch the conmon of a container that has not ended; if it is gone already, so is the container. */
void monitor_watch(struct oci *o, struct container *c);
void monitor_forget(struct oci *o, struct container *c);
/* It was there and is no more. */
bool monitor_dead(struct oci *o, const struct container *c);
/* Nobody makes its container any more, and it sleeps as it did when it was last asked; @seen, 0 at first, is this function's. */
bool monitor_stuck(struct oci *o, const struct container *c, uint64_t *seen);

/* ---- user.c ------------------------------------------------------------------------------------- */

struct user_found {
	uint32_t	uid;
	uint32_t	gid;
	uint32_t	groups[64];
	uint32_t	n_groups;
	char		home[256];
};
/* @image_user: "name[:group]" of the image; @sc: CRI security context. Blocks (worker). */
int user_find(const char *rootfs, const char *image_user, const struct ojson *sc,
	      struct user_found *ret, struct orlop_error *err);
/* CRI ContainerUser: the first group is among the supplemental ones, as containerd tells it. NULL: no memory. */
struct ojson *user_json(const struct user_found *u);

/* ---- execfind.c ------------------------------------------------------------------------------------ */

#define EXEC_UNRUN	255

/*
 * Is there such a program where process @pid of a container has its root? 0, or -errno with @err in upstream's words.
 * *@ret_unrun: there is, and the kernel would not run it: what it is to say on its stderr (else untouched).
 */
int exec_find(int pid, const struct ojson *process, const char *name, char **ret_unrun, struct orlop_error *err);
/* exec: "NAME": … for an errno. */
void exec_words(const char *name, int e, char *buf, size_t size);

/* ---- devices.c, security.c (workers) -------------------------------------------------------------- */

/* CRI's devices (all of the machine for a privileged container) as OCI linux.devices, each with "access". */
int devices_find(const struct ojson *container, struct ojson **ret, struct orlop_error *err);
int seccomp_read(const struct oci *o, const char *path, struct ojson **ret, struct orlop_error *err);
int apparmor_choose(const struct ojson *sc, char *ret, size_t size, struct orlop_error *err);
int64_t oom_lowest(uint64_t caps);

/* ---- rootfs.c (workers) -------------------------------------------------------------------------- */

/*
 * Overlay of @layers (under root/l) at DIR/rootfs, written to RW/upper. @userns (NULL: none): a file that pins a user
 * namespace, whose root is @uid, @gid of the machine; the layers' owners are mapped into it.
 */
int rootfs_mount(const char *root, const char *dir, const char *rw, const struct ojson *layers, const char *userns, uint32_t uid, uint32_t gid,
		 struct orlop_error *err);
void rootfs_unmount(const char *dir);
/* Layers in root/l that have nothing but what is mounted on: /proc, /sys, /dev; and with them /etc/hosts, /etc/resolv.conf. */
#define POINTS		".points"
#define POINTS_ETC	".points-etc"
int points_make(const char *root, struct orlop_error *err);
/* The @n layers with their owners mapped into @userns, at DIR/low/I, until an overlay is made of them. An image without any has an empty one. */
int layers_map(const char *root, const char *dir, const struct ojson *layers, const char *userns, size_t n, struct orlop_error *err);
void layers_unmap(const char *dir, size_t n);
/* Pin new namespaces as DIR/ns/{net,ipc,uts} with this host name. net only if @net. */
int ns_pin(const char *dir, const char *hostname, bool net, bool ipc, struct orlop_error *err);
void ns_unpin(const char *dir);
/* A tmpfs that a pod's containers share as /dev/shm, at DIR/shm. */
int shm_mount(const char *dir, uint32_t uid, uint32_t gid, struct orlop_error *err);

/* ---- shelter.c ---------------------------------------------------------------------------------- */

/* Make one, or another that has today's mounts; o->shelter changes when it is there. */
void shelter_renew(struct oci *o);
void shelter_drop(struct oci *o);
/* A descriptor of the caller's for what @rt is to run in, or -1; is its program read-only in there? */
int shelter_use(const struct oci *o, const struct handler *rt, bool *sealed);
/* On workers. Of all mounts that a shelter does not get to see by itself. */
int shelter_sum(uint64_t *ret);
/* This thread goes there, and back: -ENOTRECOVERABLE if it cannot. */
int shelter_enter(int fd, int *home);
int shelter_leave(int home);

/* ---- cgroup.c ------------------------------------------------------------------------------------- */

void cgroup_detect(struct oci *o);
/* A file of a cgroup; @controller counts on v1 only. */
void cgroup_file(const struct oci *o, const char *controller, const char *cgroup, const char *file, char *buf, size_t size);
int cgroup_read(const struct oci *o, const char *controller, const char *cgroup, const char *file, struct obuf *out);
int cgroup_write(const struct oci *o, const char *controller, const char *cgroup, const char *file, const char *text);
/* Somebody is about to move a process into a cgroup: make that quick. */
void cgroup_warm(struct oci *o);
/* Remove a cgroup and what is below it in all hierarchies. 0, or -EBUSY: processes are in there. */
int cgroup_remove(const struct oci *o, const char *path);
/* Kill what is in a cgroup (worker). */
void cgroup_kill(const struct oci *o, const char *cgroup);

/* ---- image.c, pull.c, imgref.c --------------------------------------------------------------------- */

int images_load(struct oci *o, struct orlop_error *err);
void image_free(struct image *img);
/* By id, id prefix (≥ 12), tag or digest. NULL if there is none. */
struct image *image_find(struct oci *o, const char *ref);
int image_save(struct oci *o, const struct image *img);
/* "busybox" → "docker.io/library/busybox:latest". 0 or -EINVAL. */
int imgref_normalize(const char *ref, struct obuf *out);
/* Name without tag and digest, of a normalized reference. */
size_t imgref_name_len(const char *normalized);

/* ---- imagevol.c ------------------------------------------------------------------------------------- */

/* For each mount of a ContainerConfig the layers of its image; an empty list for other mounts. */
int imagevols_layers(struct oci *o, const struct ojson *config, struct ojson **ret, struct orlop_error *err);
/* Does one of its mounts use the image? */
bool imagevols_use(struct oci *o, const struct ojson *config, const struct image *img);
/* Mounts them below DIR (worker), for @userns as rootfs_mount(); the mounts of @container become ordinary ones of host paths. */
int imagevols_mount(const char *root, const char *dir, const struct ojson *layers, const char *userns, struct ojson *container,
		    struct orlop_error *err);
void imagevols_unmount(const char *dir);

/* Remove layers no image has any more, and what was left half unpacked; not while images are fetched. */
void layers_gc(struct oci *o);
/* An image that was unpacked (what oci-unpack said), known as @name from now on. */
int image_register(struct oci *o, const struct ojson *said, const char *name, struct image **ret);

/* ---- registry.c ------------------------------------------------------------------------------------- */

/* registries.conf for skopeo from our parameters, in root/. */
int registry_init(struct oci *o, struct orlop_error *err);
/* Credentials of a CRI AuthConfig as a file for skopeo at @path, for the registry of @name. 0, 1 (a token: @ret_token), -errno. */
int registry_auth_write(const char *path, const char *name, const struct ojson *auth, char **ret_token);
/* Arguments for skopeo about the registry of @name: at most REGISTRY_ARGS, borrowed from @o and @buf. Returns how many. */
#define REGISTRY_ARGS	6
int registry_args(const struct oci *o, const char *name, char buf[4096], const char **argv);

/* ---- import.c --------------------------------------------------------------------------------------- */

/* Images of the folder that is looked through at start. */
void import_dir_start(struct oci *o);

/* ---- pull.c ----------------------------------------------------------------------------------------- */

struct pull;
void pulls_end(struct oci *o);
void pulls_forget(struct oci *o);
/* An archive or layout at @path; @given: a name for it, NULL: its own. @call (or NULL) is answered, @done (or NULL) called. */
int pull_import(struct oci *o, struct orlop_call *call, const char *path, const char *given, bool take_path,
		void (*done)(void *arg, int e), void *arg, struct orlop_error *err);

/* ---- events.c -------------------------------------------------------------------------------------- */

int events_init(struct oci *o, struct orlop_error *err);
void events_done(struct oci *o);
void event_add(struct oci *o, const char *type, const char *container, const char *sandbox);

/* ---- orphan.c --------------------------------------------------------------------------------------- */

/* Delete what a daemon that died while making containers has left in the OCI runtime. */
void orphans_start(struct oci *o);
/* A container that is no more had this cgroup: the pod's, above it, may be left. Before orphans_start. */
void orphan_cgroup(struct oci *o, const char *cgroup);
/* Ends what was begun to make a container that is not to be: its monitor, `create`, a first process that waits. On a worker. */
void orphan_kill(const struct oci *o, const char *id);
void orphans_stop(struct oci *o);

/* ---- exec.c ----------------------------------------------------------------------------------------- */

void execs_end(struct oci *o);

/* ---- attach.c --------------------------------------------------------------------------------------- */

struct attach;
struct attach *attach_get(struct oci *o, struct orlop_bytes id);
void attach_resize(struct attach *a, unsigned int width, unsigned int height);
/* Answer @call when the session is over. 0 or -EBUSY. */
int attach_wait(struct attach *a, struct orlop_call *call);
void attaches_end(struct oci *o);
/* A line to a container's monitor: 1 height width, 2 0 0 (open the log anew). */
int conmon_tell(struct oci *o, const char *id, int what, unsigned int a, unsigned int b);

/* ---- ops ----------------------------------------------------------------------------------------- */

#define OCI_OP(name) \
	int name(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)

/* Delete what a former daemon had put away. */
void trash_start(struct oci *o);

OCI_OP(op_run_sandbox);
OCI_OP(op_stop_sandbox);
OCI_OP(op_remove_sandbox);
OCI_OP(op_sandbox_status);
OCI_OP(op_list_sandboxes);
OCI_OP(op_create_container);
OCI_OP(op_start_container);
OCI_OP(op_stop_container);
OCI_OP(op_remove_container);
OCI_OP(op_container_status);
OCI_OP(op_list_containers);
OCI_OP(op_update_resources);
OCI_OP(op_reopen_log);
OCI_OP(op_exec_sync);
OCI_OP(op_exec);
OCI_OP(op_exec_resize);
OCI_OP(op_exec_wait);
OCI_OP(op_attach);
OCI_OP(op_port_forward);
OCI_OP(op_container_stats);
OCI_OP(op_sandbox_stats);
OCI_OP(op_events);
OCI_OP(op_image_list);
OCI_OP(op_image_status);
OCI_OP(op_image_pull);
OCI_OP(op_image_remove);
OCI_OP(op_image_fs_info);
OCI_OP(op_image_import);

#endif
