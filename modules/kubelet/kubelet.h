/*
 * kubelet.h - what the files of the kubelet share.
 *
 * One loop, no lock. A pod is a small state machine: what the API wants and what is known of the
 * machine are both in struct pod; pod_sync() compares them and starts what is missing; each answer
 * changes what is known and calls pod_kick(). Nothing polls: runtime events, the cache and timers
 * wake. Whoever calls back later holds a reference of the pod.
 */
#ifndef KUBELET_KUBELET_H
#define KUBELET_KUBELET_H

#include <stdio.h>
#include <stdlib.h>

#include <orlop/cni.h>
#include <orlop/host.h>
#include <orlop/runtime.h>

#include "base/obuf.h"
#include "base/olist.h"
#include "base/omap.h"
#include "base/omem.h"
#include "json/ojson.h"
#include "kube/okube.h"
#include "volplan.h"

#define KUBELET_VERSION		"v1.36.0-orlop." ORLOP_VERSION
#define NS_PER_S		1000000000ull

/* ---- backoff.c (logic) ---------------------------------------------------------------------- */

#define BACKOFF_MIN_S		10u
#define BACKOFF_MAX_S		300u

/*
 * Upstream's flowcontrol.Backoff: the first failure is tried again at once, then 10 s, 20 s … 5 min
 * after it; a quiet time of twice the maximum forgets.
 */
struct backoff {
	uint32_t	delay_s;	/* 0: none yet */
	int64_t		updated_ns;	/* wall */
};

/* Time (wall ns) until which an attempt must wait after a failure at @failed_ns; 0: may go on. */
int64_t backoff_until(const struct backoff *b, int64_t failed_ns, int64_t now_ns);
/* An attempt is made: the next wait is longer. */
void backoff_next(struct backoff *b, int64_t now_ns);

/* ---- pods -------------------------------------------------------------------------------------- */

enum ctr_kind { CTR_INIT, CTR_SIDECAR, CTR_MAIN, CTR_EPHEMERAL };

enum ctr_state {
	C_WAITING,		/* nothing has been made yet; why: reason */
	C_RUNNING,
	C_EXITED,		/* with a reason: waits to be started again */
};

/* How far a stop has come (ctrstop.c). */
enum stop_step { STOP_NONE, STOP_HOOK, STOP_TURN, STOP_SENT };

struct probe;
struct hook;

struct ctr {
	struct pod	*pod;
	char		*name;
	enum ctr_kind	kind;
	enum ctr_state	state;
	bool		busy;		/* an answer is awaited that will move it on */
	bool		stale;		/* init: of an earlier sandbox, to be run again */
	bool		checking;	/* container_status under way */
	bool		check_again;
	bool		stop_sent;
	bool		kill_why_spec;	/* stopped because its spec changed or a probe failed */
	enum stop_step	stop_step;
	int64_t		stop_grace_s;	/* as last asked for */
	int64_t		stop_until_ns;	/* wall: the grace is over */
	bool		stop_short;	/* asked for once more, with less of it */
	bool		start_unsure;	/* asked to begin, and no answer: the next look says whether it did */
	bool		starting;	/* runs, but its postStart hook has not ended (or has failed) */
	struct hook	*hook;		/* postStart or preStop */
	struct orlop_timer *hook_timer;
	char		*id;		/* runtime's; of the running or last container */
	char		*prev_id;	/* ended before that one: for logs --previous */
	char		*image_ref;	/* imageID of status */
	struct ojson	*user;		/* status' user, of the running or last container; NULL: not told */
	char		*image_id;	/* what create is given */
	uint32_t	image_at;	/* which is being looked for: 0 its own, n its n-th image volume */
	struct ojson	*vol_images;	/* volume → id of the image that it is */
	uint32_t	hash;
	uint32_t	restarts;
	uint32_t	attempt;	/* number in names of containers and logs */
	int64_t		started_ns;
	int64_t		finished_ns;
	int32_t		exit_code;
	char		*exit_reason;
	char		*exit_message;
	struct ojson	*last;		/* state.terminated of the container before, or NULL */
	char		*reason;	/* waiting */
	char		*message;
	struct backoff	crash;
	struct backoff	pull;
	int64_t		pull_failed_ns;
	char		*pull_error;
	int64_t		retry_ns;	/* wall: not before; 0 */
	int64_t		image_uid;	/* -1: not a number or not known */
	char		*image_user;	/* NULL: it has none, or a number */
	int64_t		pull_began_ns;
	uint64_t	image_size;
	bool		ready;
	bool		started;
	struct probe	*probes[3];	/* startup, readiness, liveness */
	struct ojson	*given;		/* resources it was given last; NULL: not known (resize.c) */
	uint64_t	probed[3][2];	/* how often each failed, succeeded */
};

/* A change of running containers' resources. */
enum resize_state { RESIZE_NONE, RESIZE_DEFERRED, RESIZE_INFEASIBLE, RESIZE_GOING, RESIZE_ERROR };
enum sb_state { SB_NONE, SB_MAKING, SB_ATTACHING, SB_READY, SB_GONE };
enum vol_state { VOL_NONE, VOL_TOKENS, VOL_WRITING, VOL_READY };

/* What the end of a pod consists of: bits. */
enum td_task { TD_NET = 1, TD_STOP = 2, TD_CTRS = 4, TD_SANDBOX = 8, TD_FILES = 16, TD_API = 32 };

/* A projected service account token. */
struct token {
	struct olist	node;
	char		*key;		/* volume/index */
	char		*value;
	int64_t		expires_ns;
	int64_t		refresh_ns;
	bool		asking;
};

struct pod {
	struct kubelet	*k;
	uint32_t	refs;
	char		*uid;
	char		*ns;
	char		*name;
	struct ojson	*obj;		/* as the API has it; replaced as a whole */
	uint64_t	key;		/* order key of runtime calls */
	bool		kicked;
	bool		gone;		/* not in the API any more */
	bool		done;		/* nothing is left */
	bool		orphan;		/* found running, never seen in the API */
	bool		is_static;	/* of a manifest on this machine; gone: the manifest is */
	bool		again;		/* its manifest has come back while it ends */
	bool		mirror_busy;	/* its mirror is being created */
	char		*mirror_uid;	/* NULL: there is none */
	int64_t		mirror_retry_ns;

	enum sb_state	sb;
	char		*sb_id;
	char		*netns;
	uint32_t	sb_attempt;
	char		*ip;
	char		*ip2;		/* of the other family, NULL: none */
	uint32_t	sb_failures;
	int64_t		sb_retry_ns;

	enum vol_state	vol;
	bool		vol_again;	/* something it is made of has changed */
	char		*vol_error;	/* of the last try, also told by an event */
	int64_t		vol_retry_ns;
	uint32_t	vol_failures;
	struct olist	tokens;
	struct omap	refs_map;	/* "c/NAME", "s/NAME": ConfigMaps and Secrets it uses */

	struct ctr	**ctrs;		/* in the spec's order: init, main, ephemeral */
	uint32_t	n_ctrs;

	bool		term;		/* being ended */
	bool		finished;	/* phase Succeeded or Failed: will not run again */
	char		*fail_reason;	/* evicted, DeadlineExceeded … */
	char		*fail_message;
	int64_t		fail_grace;	/* for its containers then; 0: its own */
	int64_t		userns;		/* first of its users on the host; 0: not asked yet, -1: none (userns.c) */
	bool		cg_ready;	/* its cgroup (qos.c) */
	bool		cg_busy;
	bool		cg_failed;
	int64_t		cg_retry_ns;
	bool		cg_wide;	/* without limits for a moment */
	enum resize_state resize;
	char		*resize_why;
	int64_t		resize_retry_ns;
	int64_t		resize_generation;
	uint32_t	resize_busy;
	bool		admitted;	/* it may begin here (refuse.c) */
	bool		preempting;	/* it may when those whose place it takes have ended */
	bool		rejected;	/* it may not: nothing of it ever was */
	bool		disruption;	/* the condition DisruptionTarget tells of it */
	uint8_t		td_done;	/* enum td_task */
	uint8_t		td_busy;
	struct olist	turn;		/* in the kubelet's turns: it waits (turn.c) */
	bool		turn_called;	/* it is next */
	int64_t		turn_ns;	/* wall: it waits since then; 0 */
	uint32_t	td_left;	/* containers being removed */
	int64_t		td_retry_ns;	/* wall: something failed, not before; 0 */
	bool		final_sent;

	int64_t		start_ns;
	struct ojson	*sent;		/* status the API is known to have */
	int64_t		detail_ns;	/* wall: since then there is something to be told that can wait; 0 */
	bool		sending;
	bool		marked;		/* somebody else said that it is not ready */
	bool		send_again;
	uint32_t	send_failures;
	struct orlop_timer *timer;
	int64_t		wake_ns;	/* wall: earliest time that this sync wants */
};

struct server;
struct prober;
struct node;
struct statics;
struct rotator;
struct limits;
struct evictor;
struct collector;
struct stats_memory;

struct kubelet {
	const struct orlop_host *h;
	const char	*node_name;
	const char	*root;
	const char	*log_dir;
	const char	*cgroup_root;
	const char	*cluster_dns;
	const char	*cluster_domain;
	bool		proxy;
	struct omap	pods;		/* uid → struct pod */
	struct okube_informer *in_pods;
	bool		dns_told;	/* that there is no cluster DNS */
	struct okube_informer *in_services;
	struct okube_informer *in_classes;	/* RuntimeClasses */
	struct okube_informer *in_endpoints;
	struct okube_informer *in_configmaps;
	struct okube_informer *in_secrets;
	struct okube_informer *in_nodes;
	struct okube_recorder *events;
	int32_t		idx_node;
	bool		running;	/* pods are being synced: machine and runtime are known */
	bool		adopted;
	bool		stopping;
	bool		relisting;
	bool		relist_again;
	uint32_t	adopt_left;
	bool		ending;		/* sessions end, too: nobody takes over */
	uint32_t	n_changing;	/* requests under way that make or remove something */
	uint32_t	n_crowding;	/* those of them that pods wait for (turn.c) */
	int64_t		answered_ns;	/* wall: when one of them was answered last */
	struct olist	turns;		/* pods that wait until there are fewer */
	struct orlop_request *poll;
	struct orlop_timer *poll_timer;
	struct orlop_timer *adopt_timer;
	struct orlop_timer *missed;	/* something was not taken in: all pods again */
	uint64_t	cursor;
	struct node	*node;
	struct server	*server;
	struct prober	*prober;
	struct statics	*statics;	/* NULL: no folder is set */
	struct rotator	*rotator;
	struct limits	*limits;
	bool		shutting_down;	/* the machine is: nothing begins any more */
	struct olist	end_waits;	/* for its pods' end then: shutdown.c */
	bool		cgroups_per_qos;
	bool		qos_made;	/* the cgroups of the classes (qos.c) */
	bool		qos_busy;
	bool		qos_again;
	int64_t		qos_shares;	/* of the burstable pods */
	struct evictor	*evictor;
	struct collector *gc;
	struct stats_memory *stats;	/* NULL: nobody has asked yet */
	struct omap	unknown;	/* sandbox id → uid: found, not yet claimed by a pod */
};

/* ---- kubelet.c ------------------------------------------------------------------------------------ */

int64_t kubelet_now(const struct kubelet *k);		/* wall, ns */
/* A pod could not be taken in (no memory): all are looked at once more, soon. */
void kubelet_missed(struct kubelet *k);
/* Everything is known that a pod needs: begin. */
void kubelet_maybe_run(struct kubelet *k);
/* Object of an informer's resource as a tree, NULL if there is none. */
struct ojson *kubelet_get(struct kubelet *k, struct okube_informer *in, const char *ns, const char *name);

/* ---- pod.c ------------------------------------------------------------------------------------------ */

struct pod *pod_get(struct kubelet *k, const char *uid);
struct pod *pod_by_name(struct kubelet *k, struct orlop_bytes ns, struct orlop_bytes name);
/* The API has it (also: changed it). */
void pod_update(struct kubelet *k, const struct orlop_object *o);
/* A manifest of this machine says so. */
void pod_static(struct kubelet *k, struct ojson *take_obj);
/* A pod of which only traces on this machine are known. */
struct pod *pod_orphan(struct kubelet *k, const char *uid, const char *ns, const char *name);
void pod_kick(struct pod *p);
void pod_ref(struct pod *p);
void pod_unref(struct pod *p);
/* Nothing is left of it. */
void pod_forget(struct pod *p);
void pod_free(struct pod *p);
/* Sync again at @at_ns (wall) at the latest. */
void pod_wake_at(struct pod *p, int64_t at_ns);
struct ctr *pod_ctr(struct pod *p, const char *name);
/* One more. NULL: no memory. */
struct ctr *ctr_add(struct pod *p, const char *name, enum ctr_kind kind);
/* "containers", "containerStatuses" … where it stands in spec and status. */
const char *ctr_list(const struct ctr *c);
const char *ctr_status_list(const struct ctr *c);
/* The container's part of the spec. */
struct ojson *ctr_spec(const struct ctr *c);
void text_set(char **p, const char *value);	/* value NULL: none */
void pod_event(struct pod *p, const struct ctr *c, const char *type, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* ---- rt.c: requests to runtime and cni --------------------------------------------------------------- */

/* Called exactly once. @res: the RESPONSE, borrowed, NULL if status < 0. @why: for people, never NULL. */
typedef void (*rt_fn)(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg,
		      const char *why);
/* @take_body may be NULL. @timeout_ns 0: 2 min. If it cannot be sent, @fn comes from the loop. */
void rt_call(struct kubelet *k, uint32_t op, uint64_t key, struct ojson *take_body, uint64_t timeout_ns,
	     rt_fn fn, void *arg);
void cni_call(struct kubelet *k, uint32_t op, uint64_t key, const char *id, const char *netns,
	      struct ojson *take_args, rt_fn fn, void *arg);
void cni_gc(struct kubelet *k);
/* {"KEY": value}, for the many requests that are just an id. */
struct ojson *rt_id(const char *key, const char *value);
/* Runtime events begin (and go on for life). */
void rt_events_start(struct kubelet *k);
void rt_events_stop(struct kubelet *k);

/* ---- turn.c ---------------------------------------------------------------------------------------------- */

/* May it begin something? False: it will be kicked when it may. */
bool turn_is(struct pod *p);
/* It does not wait any more. */
void turn_forget(struct pod *p);
/* There may be room for the next. */
void turn_next(struct kubelet *k);
/* Pods are being begun. */
bool turn_busy(void *arg);

/* ---- adopt.c ------------------------------------------------------------------------------------------ */

/* Compare everything the runtime has with what is known; the first time: take over what runs. */
void adopt_start(struct kubelet *k);
/* In a while: something may be left behind. */
void adopt_later(struct kubelet *k);
/* The cache is complete: what no pod claims is ended. */
void adopt_cleanup(struct kubelet *k);

/* ---- container.c, image.c ------------------------------------------------------------------------------ */

/* Move it towards running (or leave it ended, as its policy says). */
void ctr_step(struct ctr *c);
/* Taken over between create and start: go on with start. */
void ctr_start_created(struct ctr *c);
/* It may have ended: ask. */
void ctr_check(struct ctr *c);
/* status' user from what the runtime said of its container, if it did. */
void ctr_user_take(struct ctr *c, const struct ojson *st);
void ctr_stop(struct ctr *c, int64_t grace_s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Somebody has ended: may it go now? */
void ctr_stop_turn(struct ctr *c);
void ctr_free(struct ctr *c);
bool ctr_alive(const struct ctr *c);
/* Shall an ended container be started again? */
bool ctr_restarts(const struct ctr *c);
void ctr_wait(struct ctr *c, const char *reason, const char *message);
/* state.terminated of its end */
struct ojson *ctr_terminated(const struct ctr *c);
uint32_t ctr_spec_hash(const struct ojson *spec);
/* What the runtime says of an ended or running container (status of CRI). */
void ctr_apply_status(struct ctr *c, const struct ojson *st);
/* No answer came when it was started: @st says what became of it. */
void ctr_start_seen(struct ctr *c, const struct ojson *st);
/* The ended one before the present one goes. */
void ctr_forget_previous(struct ctr *c);
/* The log file of attempt @n. Caller frees. */
char *ctr_log_path(const struct ctr *c, uint32_t n);
char *pod_log_dir(const struct pod *p);
/* Next: image_ready() or image_failed(). */
void image_ensure(struct ctr *c);
void image_ready(struct ctr *c);

/* ---- sandbox.c ------------------------------------------------------------------------------------------- */

void sandbox_sync(struct pod *p);
/* A sandbox that was found running: ask cni for its address. */
void sandbox_attach(struct pod *p);

/* ---- term.c ---------------------------------------------------------------------------------------------- */

void term_sync(struct pod *p);
/* Its containers have ended for good: the network goes, logs stay. */
void finished_sync(struct pod *p);

/* ---- volume.c ------------------------------------------------------------------------------------------- */

void volumes_sync(struct pod *p);
/* Directory (or host path) of a volume by name, with *@ret_spec; NULL: none of that name. Caller frees. */
char *volume_path(const struct pod *p, const char *name, const struct ojson **ret_spec);
void tokens_free(struct pod *p);
char *pod_dir(const struct pod *p);

/* ---- sweep.c ------------------------------------------------------------------------------------------------- */

/* What is left of pods that nobody knows goes. */
void sweep_start(struct kubelet *k);

/* ---- env.c, field.c (logic) --------------------------------------------------------------------------------- */

struct env_world {
	struct vol_world base;
	const struct ojson *services;	/* array of Services of the namespace */
	const char	*api_host;	/* KUBERNETES_SERVICE_HOST, NULL: none known */
	const char	*api_port;
	const char	*host_ips;
};

/* Array of {"key","value"}. 0, -ENOENT or -EINVAL with the reason in @err. */
int env_make(const struct env_world *w, const struct ojson *container, struct ojson **ret, struct obuf *err);
/* $(VAR), $$ as upstream's expansion.Expand. */
void env_expand(const char *in, size_t len, const struct ojson *env, struct obuf *out);
/* Value of a fieldRef into @out. 0 or -EINVAL. */
int field_value(const struct vol_world *w, const char *path, struct obuf *out);
int resource_field(const struct vol_world *w, const char *container, const struct ojson *ref, struct obuf *out);

/* ---- resource.c (logic) --------------------------------------------------------------------------------------- */

enum qos { QOS_GUARANTEED, QOS_BURSTABLE, QOS_BESTEFFORT };
enum qos qos_class(const struct ojson *pod);
const char *qos_name(enum qos q);
/* "/kubepods/burstable/podUID" */
void cgroup_parent(const char *root, const struct ojson *pod, const char *uid, struct obuf *out);
/* CRI linux.resources of a container. */
struct ojson *resources_linux(const struct ojson *pod, const struct ojson *container, int64_t memory_capacity);
int64_t quantity_milli(const struct ojson *list, const char *name, int64_t def);
int64_t quantity_i64(const struct ojson *list, const char *name, int64_t def);
/*
 * A pod's "requests" or "limits" of a resource, in thousandths if @milli: its containers together, or what the largest
 * init container needs beside the sidecars before it. *@ret_all: each of them says so.
 */
int64_t pod_sum(const struct ojson *pod, const char *list, const char *name, bool milli, bool *ret_all);

/* ---- config.c (logic) ------------------------------------------------------------------------------------------ */

struct config_world {
	const struct ojson *pod;
	const char	*target_id;	/* of an ephemeral container: whose processes it sees; NULL */
	const char	*uid;
	const char	*node_name;
	const char	*log_dir;	/* of the pod */
	const char	*cgroup_root;
	const char	*pod_dir;
	const char	*cluster_dns;
	const char	*cluster_domain;
	int64_t		memory;
	uint32_t	attempt;
	const char	*root;		/* the kubelet's */
	int64_t		userns;		/* the pod's first user on the host, -1: the host's users */
};

/* PodSandboxConfig */
struct ojson *config_sandbox(const struct config_world *w);
struct config_mount {
	char		*container_path;
	char		*host_path;
	bool		readonly;
	bool		recursive_ro;
	const char	*propagation;
	char		*image;		/* id of an image instead of host_path; NULL */
	char		*image_sub;	/* and where in it; NULL */
};
/* ContainerConfig. @env from env_make(). */
struct ojson *config_container(const struct config_world *w, const struct ojson *spec, const char *image,
			       const struct ojson *env, const struct config_mount *mounts, uint32_t n_mounts,
			       uint32_t attempt, uint32_t hash);
void config_hostname(const struct config_world *w, struct obuf *out);
/* Contents of the pod's own files. */
/* @ip2 may be NULL. */
void config_hosts(const struct config_world *w, const char *ip, const char *ip2, const char *host_file, struct obuf *out);
void config_resolv(const struct config_world *w, const char *host_file, struct obuf *out);

/* ---- status.c (logic), report.c ----------------------------------------------------------------------------------- */

struct status_input {
	int64_t		now_ns;
	const char	*host_ip;
	bool		final;		/* the pod is ended: what has not run will not */
};
/* The whole status as upstream's kubelet would report it; conditions keep their transition times. */
struct ojson *status_make(const struct pod *p, const struct status_input *in);
/* Would the pod with these containers be finished? */
const char *status_phase(const struct pod *p, bool final);
void report_sync(struct pod *p);
/* Before @p->obj becomes @obj. */
void report_seen(struct pod *p, const struct ojson *obj);

/* ---- machine.c (worker), node.c -------------------------------------------------------------------------------------- */

struct machine {
	char		machine_id[40];
	char		system_uuid[40];
	char		boot_id[40];
	char		kernel[80];
	char		os_image[128];
	char		arch[16];
	char		node_ip[64];
	char		hostname[80];
	int64_t		cpus;
	int64_t		memory;
	int64_t		storage;	/* bytes of the file system of root */
	int64_t		swap;
};
void machine_read(const char *root, const char *node_ip, struct machine *m);

int node_init(struct kubelet *k);
int node_start(struct kubelet *k, struct orlop_error *err);
void node_stop(struct kubelet *k);
/* Our own Node was changed by somebody: told again what is so. An okube_change_fn, @arg the kubelet. */
void node_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev);
void node_free(struct kubelet *k);
const char *node_ip(const struct kubelet *k);
const struct machine *node_machine(const struct kubelet *k);
bool node_known(const struct kubelet *k);
bool node_ready(const struct kubelet *k);

/* ---- logline.c (logic) ---------------------------------------------------------------------------------------------------- */

/* One line of a log in CRI's format: TIME STREAM TAGS TEXT. */
struct logline {
	const char	*time;
	size_t		time_len;
	int64_t		ns;
	bool		err;		/* stderr */
	bool		partial;	/* goes on in the next line */
	const char	*p;
	size_t		len;
};
/* @len without the newline. False: not in this format. */
bool logline_parse(const char *line, size_t len, struct logline *ret);
/* Text of the last lines (at most @lines, @bytes) of a log's end in @p. */
void logline_tail(const char *p, size_t len, uint32_t lines, size_t bytes, struct obuf *out);

/* ---- rotate.c ----------------------------------------------------------------------------------------------------------- */

int rotate_init(struct kubelet *k, struct orlop_error *err);
/* Something runs: its log will be looked at. */
void rotate_wake(struct kubelet *k);
void rotate_stop(struct kubelet *k);
void rotate_free(struct kubelet *k);

/* ---- probe.c -------------------------------------------------------------------------------------------------------------- */

/* The container runs: begin its probes. Sets ready and started of those that have none. */
void probes_start(struct ctr *c);
void probes_stop(struct ctr *c);
/* It is being stopped: readiness is still asked for, nothing kills it any more. */
void probes_spare(struct ctr *c);
void prober_free(struct kubelet *k);

/* ---- server.c, logs.c, exec.c ------------------------------------------------------------------------------------------ */

int server_start(struct kubelet *k, struct orlop_error *err);
void server_stop(struct kubelet *k);
/* A successor listens: what is under way here is served to its end. server_left: how much that is. */
void server_drain(struct kubelet *k);
uint32_t server_left(const struct kubelet *k);
uint32_t server_port(const struct kubelet *k);
/* A container has ended: who follows its log reads to the end and goes. */
void server_ctr_ended(struct kubelet *k, const struct ctr *c);

#endif
