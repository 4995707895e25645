/*
 * host.h - the world as a module sees it: one table of functions.
 *
 * A module receives one `const struct orlop_host *` per instance and shard (init: that of shard 0)
 * and passes it back as the first argument. Unless a function says "any thread" it is called on
 * the loop of that host's shard; callbacks of one shard never overlap. Nothing blocks unless said.
 * Test for a member of a newer minor with ORLOP_HOST_HAS(). Unit tests use the fake host
 * (tests/support/fakehost.h), a simulation its own.
 *
 * Everything made through the table (timers, watches, children, requests, resources) belongs to
 * the shard; the module frees it in stop/shard_fini; what is left the core counts, logs and frees.
 */
#ifndef ORLOP_HOST_H
#define ORLOP_HOST_H

#include <orlop/cache.h>
#include <orlop/call.h>
#include <orlop/module.h>
#include <orlop/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A timer fired, a job is done, a posted function runs; a watched descriptor is ready for @events. */
typedef void (*orlop_cb)(void *arg);
typedef void (*orlop_fd_fn)(void *arg, int32_t fd, uint32_t events);
/* A connection: the callee owns @fd (non-blocking, CLOEXEC, TCP_NODELAY). @peer: "127.0.0.1:4711". */
typedef void (*orlop_accept_fn)(void *arg, int32_t fd, const char *peer);
/* connect: @fd ≥ 0 connected and ours, or -errno. */
typedef void (*orlop_connect_fn)(void *arg, int32_t fd);
/* A child ended: @code exit status if @sig == 0. */
typedef void (*orlop_exit_fn)(void *arg, int32_t code, int32_t sig);
/* lead: gained 1 with a fencing @token > 0, or lost 0. */
typedef void (*orlop_lead_fn)(void *arg, int32_t gained, uint64_t token);
/* A message to a topic; borrowed. May be lost, doubled or late. */
typedef void (*orlop_topic_fn)(void *arg, const struct orlop_msg *msg);

#define ORLOP_SPAWN_SETSID	0x0001u
#define ORLOP_SPAWN_NEWNS	0x0002u	/* own mount namespace, a slave: unmounts outside of shared mounts are followed */
#define ORLOP_SPAWN_HIDE_UNIFIED 0x0004u /* with NEWNS: /sys/fs/cgroup/unified unmounted (crun 1.8 on hybrid) */
#define ORLOP_SPAWN_DETACH	0x0008u	/* outlives the daemon: not killed at stop */

/* A child process. argv[0] is the path; @fds[i] becomes descriptor i (-1: /dev/null). */
struct orlop_spawn {
	uint32_t	size;
	uint32_t	flags;
	const char	*const *argv;
	const char	*const *env;	/* NULL: PATH only */
	const char	*cwd;		/* NULL: / */
	const int32_t	*fds;		/* borrowed; the callee duplicates */
	uint32_t	n_fds;
	uint32_t	umask;		/* 0: 022 */
	const char	*cgroup;	/* reserved: NULL */
};

/* Why a module stops. */
enum {
	ORLOP_STOP_UNLOAD	= 1,
	ORLOP_STOP_REPLACE	= 2,	/* a successor takes over: streams may be served to their end, see draining */
	ORLOP_STOP_END		= 3,	/* the daemon ends: refusing has no effect */
};

/* Metric types, as Prometheus'. */
enum {
	ORLOP_METRIC_COUNTER	= 1,
	ORLOP_METRIC_GAUGE	= 2,
	ORLOP_METRIC_HISTOGRAM	= 3,	/* buckets given at registration, values in seconds or bytes */
};

struct orlop_host {
	uint32_t	size;		/* of the table the core provides */
	uint16_t	abi_major;
	uint16_t	abi_minor;
	struct orlop_host_priv *priv;
	const char	*instance;	/* "storage/lmdb" or the name the configuration gave */
	uint32_t	shard;
	uint32_t	n_shards;

	/* ---- log, time, chance -------------------------------------------------------------- */

	/* One event, one line. @event: a word; @text: key=value pairs. Any thread. See OLOG(). */
	void		(*log)(const struct orlop_host *h, int32_t level, const char *event,
				const char *text);
	/* 1 if a line of this level would be written: for what is costly to say. Any thread. */
	int		(*log_enabled)(const struct orlop_host *h, int32_t level);
	/* Nanoseconds. mono: since some start, stops in suspend; boot: goes on. wall: since 1970. Any thread. */
	uint64_t	(*now_mono)(const struct orlop_host *h);
	uint64_t	(*now_boot)(const struct orlop_host *h);
	uint64_t	(*now_wall)(const struct orlop_host *h);
	/* Random bytes good enough for keys. Any thread. Never fails. */
	void		(*random)(const struct orlop_host *h, void *buf, size_t len);

	/* ---- loop --------------------------------------------------------------------------- */

	/* A timer, unarmed. 0 or -ENOMEM. */
	int		(*timer_new)(const struct orlop_host *h, orlop_cb cb, void *arg,
				struct orlop_timer **ret);
	/* Arm: fires once in @delay_ns, then every @repeat_ns if that is not 0. Re-arming replaces. */
	void		(*timer_set)(struct orlop_timer *t, uint64_t delay_ns, uint64_t repeat_ns);
	void		(*timer_clear)(struct orlop_timer *t);
	void		(*timer_free)(struct orlop_timer *t);	/* accepts NULL; no callback after it */

	/* Run @fn on this host's loop, after what is running now. Any thread. 0, -ENOMEM, -ECANCELED. */
	int		(*post)(const struct orlop_host *h, orlop_cb fn, void *arg);
	/*
	 * Run @fn on a worker thread (may block), then @done on this loop. Jobs with equal @key ≠ 0
	 * run one after the other in order. 0, -ENOMEM, -ECANCELED (then neither is called).
	 */
	int		(*work)(const struct orlop_host *h, uint64_t key, orlop_cb fn, orlop_cb done,
				void *arg);
	/*
	 * A thread of one's own, for a writer that must block; blocks all signals; named after the
	 * module. Join before fini. The core counts them.
	 */
	int		(*thread_start)(const struct orlop_host *h, const char *name, orlop_cb fn,
				void *arg, void **ret_thread);
	void		(*thread_join)(const struct orlop_host *h, void *thread);
	/* Host of another shard of this instance (for post()), NULL if there is none. Any thread. */
	const struct orlop_host *(*shard_host)(const struct orlop_host *h, uint32_t shard);

	/* ---- descriptors, sockets, processes ------------------------------------------------- */

	/* Watch a descriptor, level-triggered. events: ORLOP_FD_*. The fd stays the caller's. */
	int		(*fd_watch)(const struct orlop_host *h, int32_t fd, uint32_t events,
				orlop_fd_fn cb, void *arg, struct orlop_fdwatch **ret);
	void		(*fd_update)(struct orlop_fdwatch *w, uint32_t events);
	void		(*fd_unwatch)(struct orlop_fdwatch *w);	/* accepts NULL; before closing the fd */

	/*
	 * Listen on "ADDRESS:PORT", "[ADDRESS]:PORT" or "unix:PATH". The socket belongs to the host
	 * and survives replace. Connections are dealt to all shards that call it with the same
	 * @addr, in turn. Port 0: any; listener_addr tells which.
	 */
	int		(*listen)(const struct orlop_host *h, const char *addr, orlop_accept_fn cb,
				void *arg, struct orlop_listener **ret, struct orlop_error *err);
	void		(*listener_addr)(struct orlop_listener *l, char *buf, size_t size);
	void		(*listener_close)(struct orlop_listener *l);
	/* Connect to "HOST:PORT" (name looked up off the loop) or "unix:PATH". Always calls back once. */
	int		(*connect)(const struct orlop_host *h, const char *addr, uint64_t timeout_ns,
				orlop_connect_fn cb, void *arg);

	/* Start a process. 0 or -errno of fork or exec. @exit is called once on our loop. */
	int		(*spawn)(const struct orlop_host *h, const struct orlop_spawn *s,
				orlop_exit_fn exit, void *arg, struct orlop_child **ret,
				struct orlop_error *err);
	int32_t		(*child_pid)(struct orlop_child *c);
	int		(*child_kill)(struct orlop_child *c, int32_t sig);
	/* Forget it: no callback; does not kill. Valid until then, also after the exit callback. NULL is fine. */
	void		(*child_free)(struct orlop_child *c);

	/* ---- bus ------------------------------------------------------------------------------ */

	/* Blobs. new copies; take adopts malloc'ed memory. ref/unref any thread. */
	int		(*blob_new)(const struct orlop_host *h, const void *p, size_t len,
				struct orlop_blob **ret);
	int		(*blob_take)(const struct orlop_host *h, void *take_p, size_t len,
				struct orlop_blob **ret);
	struct orlop_blob *(*blob_ref)(struct orlop_blob *b);
	void		(*blob_unref)(struct orlop_blob *b);	/* accepts NULL */
	struct orlop_bytes (*blob_bytes)(const struct orlop_blob *b);

	/*
	 * Send a request. @cb is called on our loop until the one without ORLOP_REPLY_MORE, exactly
	 * once for that. @ret (may be NULL) is valid until then. 0, -ENOMEM, -E2BIG, -ECANCELED,
	 * -EACCES if it asks the API for what the modinfo does not say (asks=); in a process of its
	 * own the answer is -EACCES then.
	 * A request to an address that is not there yet waits for it until its deadline.
	 */
	int		(*request)(const struct orlop_host *h, const struct orlop_send *send,
				orlop_reply_fn cb, void *arg, struct orlop_request **ret);
	/* The answer becomes -ECANCELED (still called back, later); the answerer is told. */
	void		(*request_cancel)(struct orlop_request *r);

	/* Complete a call. Exactly once; any thread. status 0 or -errno; @err, @msg may be NULL. */
	void		(*call_done)(struct orlop_call *c, int32_t status, const struct orlop_msg *msg,
				const struct orlop_error *err);
	/* Part of an answer. 0, -EAGAIN (too much unacknowledged: wait for on_writable), -ECANCELED. Any thread. */
	int		(*call_emit)(struct orlop_call *c, const struct orlop_msg *msg);
	/* Called on our loop when the caller gave up, its deadline passed, or it vanished. */
	void		(*call_on_cancel)(struct orlop_call *c, orlop_cb cb, void *arg);
	void		(*call_on_writable)(struct orlop_call *c, orlop_cb cb, void *arg);

	/* Topics: hints, never state. */
	int		(*publish)(const struct orlop_host *h, const char *topic,
				const struct orlop_msg *msg);
	int		(*subscribe)(const struct orlop_host *h, const char *topic,
				orlop_topic_fn cb, void *arg);

	/* ---- cache: cache.h ------------------------------------------------------------------- */

	/*
	 * Open a resource for reading. A resource nobody has registered yet opens too, empty, and
	 * fills later. -EACCES if the modinfo does not declare it (reads=).
	 */
	int		(*resource_open)(const struct orlop_host *h, const char *name,
				struct orlop_resource **ret, struct orlop_error *err);
	void		(*resource_close)(struct orlop_resource *r);	/* accepts NULL */
	/* Call @cb when the resource moves (and once soon after the call). One per handle. */
	void		(*resource_watch)(struct orlop_resource *r, orlop_note_fn cb, void *arg);
	/* Revision this resource has been fed up to; 1 in @ret_synced once the first list is in. Any thread. */
	uint64_t	(*resource_rev)(struct orlop_resource *r, int32_t *ret_synced);
	/* Number of the index of a field named by the resource, or -ENOENT. Any thread. */
	int32_t		(*resource_index)(struct orlop_resource *r, const char *field);
	/* The description, valid until close; NULL before it is registered. Any thread. */
	const struct orlop_resource_info *(*resource_info)(struct orlop_resource *r);

	/*
	 * Changes after *@cursor, oldest first, at most @max; advances *@cursor. Returns how many,
	 * 0: nothing new, -ESTALE: the cursor fell out of the journal (list from a snapshot, take
	 * its revision as cursor). Never splits a revision unless one alone exceeds @max, then
	 * -EMSGSIZE. Any thread.
	 *
	 * A cursor that is older than what this process ever showed (a client's, who had it from the process
	 * before this one) may meet -EAGAIN: what happened since is being fetched, a note comes when
	 * the same cursor can be asked with again. Another negative number: the right to read was taken away.
	 */
	int32_t		(*journal_read)(struct orlop_resource *r, uint64_t *cursor,
				struct orlop_change *ret, uint32_t max);
	/* Oldest cursor that journal_read() still accepts. Any thread. */
	uint64_t	(*journal_oldest)(struct orlop_resource *r);

	/* A consistent view of now. Cheap; but what it holds cannot be freed: close it soon. Any thread. */
	int		(*snapshot_open)(struct orlop_resource *r, struct orlop_snapshot **ret);
	void		(*snapshot_close)(struct orlop_snapshot *s);	/* accepts NULL */
	uint64_t	(*snapshot_rev)(const struct orlop_snapshot *s);
	uint64_t	(*snapshot_count)(const struct orlop_snapshot *s);	/* objects in it */
	/* NULL if there is none; borrowed while the snapshot is held. Any thread. */
	struct orlop_object *(*snapshot_get)(const struct orlop_snapshot *s, struct orlop_bytes ns,
				struct orlop_bytes name);
	/* Iterate in key order (ns, name). 0 or -ENOMEM. */
	int		(*iter_open)(const struct orlop_snapshot *s, const struct orlop_query *q,
				struct orlop_iter **ret);
	struct orlop_object *(*iter_next)(struct orlop_iter *it);	/* NULL at the end; borrowed */
	void		(*iter_close)(struct orlop_iter *it);

	struct orlop_object *(*object_ref)(struct orlop_object *o);	/* any thread */
	void		(*object_unref)(struct orlop_object *o);	/* any thread; accepts NULL */

	/* Call back when this resource has been fed up to @rev: read your own writes. */
	int		(*cache_wait)(struct orlop_resource *r, uint64_t rev, uint64_t timeout_ns,
				orlop_wait_fn cb, void *arg);

	/* Register (or replace, or retire) a resource. Only modules whose modinfo says provides=api. */
	int		(*resource_register)(const struct orlop_host *h,
				const struct orlop_resource_info *info, struct orlop_error *err);
	int		(*resource_retire)(const struct orlop_host *h, const char *name);
	/* Call @fn for each registered resource. Any thread. */
	void		(*resource_list)(const struct orlop_host *h,
				void (*fn)(void *arg, const struct orlop_resource_info *info), void *arg);

	/* ---- parameters, metrics, leadership --------------------------------------------------- */

	/* Value as text (never NULL: default or ""), int, bool. Valid until the parameter changes. */
	const char	*(*param)(const struct orlop_host *h, const char *name);
	int64_t		(*param_int)(const struct orlop_host *h, const char *name);
	int		(*param_bool)(const struct orlop_host *h, const char *name);

	/*
	 * A metric; @labels is `a="b",c="d"` or NULL; @buckets n upper bounds (histogram). Same name
	 * and labels twice: the same metric. Any thread.
	 */
	int		(*metric_new)(const struct orlop_host *h, uint32_t type, const char *name,
				const char *labels, const char *help, const double *buckets,
				uint32_t n_buckets, struct orlop_metric **ret);
	void		(*metric_add)(struct orlop_metric *m, double v);	/* any thread */
	void		(*metric_set)(struct orlop_metric *m, double v);	/* gauges */
	void		(*metric_observe)(struct orlop_metric *m, double v);	/* histograms */
	/* All metrics of the process as Prometheus text, into a blob. Any thread. */
	int		(*metrics_text)(const struct orlop_host *h, struct orlop_blob **ret);

	/* Compete for a name. One process: gained at once. */
	int		(*lead)(const struct orlop_host *h, const char *name, orlop_lead_fn cb, void *arg,
				struct orlop_lead **ret);
	void		(*lead_drop)(struct orlop_lead *l);

	/* ---- life ------------------------------------------------------------------------------ */

	/* start() has done its work: requests may come, the address switches here. */
	void		(*ready)(const struct orlop_host *h);
	/* The module cannot go on: reason; the core decides (restart it, or the process). Any thread. */
	void		(*fail)(const struct orlop_host *h, const char *reason);
	/* Health of all modules: calls @fn for each. Any thread. */
	void		(*health_list)(const struct orlop_host *h,
				void (*fn)(void *arg, const char *instance,
					const struct orlop_health *health), void *arg);

	/* ---- feeding the cache: only modules whose modinfo says provides=feed ------------------ */

	/*
	 * Become the feeder of a resource. What is there from an earlier feeder stays and is readable;
	 * feed_rev() tells up to where it goes: go on from there, or list. A resource that nobody has
	 * registered may be fed, readers see it when it is. -EACCES if the modinfo does not say
	 * provides=feed, -EBUSY if another module feeds it. A resource fed by a module is not fed from
	 * storage as well.
	 */
	int		(*feed_open)(const struct orlop_host *h, const char *resource,
				struct orlop_feed **ret, struct orlop_error *err);
	/* What was not committed is dropped; what readers see stays as it is. Accepts NULL. */
	void		(*feed_close)(struct orlop_feed *f);
	/* Revision that readers see this resource fed up to; 0: nothing yet, list. Any thread. */
	uint64_t	(*feed_rev)(const struct orlop_feed *f);
	/*
	 * An object is now so, or gone. @record as in record.h; all borrowed. In revision order but in
	 * a list; what is not newer than the key's present state is ignored. Nothing is visible before
	 * feed_commit() or feed_list_end(). 0, -EINVAL (the record is damaged), -ENOMEM: nothing
	 * changed.
	 */
	int		(*feed_put)(struct orlop_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
				struct orlop_bytes record, uint64_t rev);
	int		(*feed_del)(struct orlop_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
				uint64_t rev);
	/*
	 * All of it is visible as of @rev, which is never below an earlier one; readers' revision is
	 * @rev also if nothing was put: so a bookmark is a commit. A revision must not be split over
	 * two commits. -ENOMEM: nothing became visible, call again; -EINVAL: a list is under way.
	 */
	int		(*feed_commit)(struct orlop_feed *f, uint64_t rev);
	/*
	 * A list anew: put everything there is, then feed_list_end() with the list's revision makes it
	 * visible, less what was not put. Unchanged objects stay the same. Without ORLOP_FEED_LOST
	 * readers' cursors go on and meet the differences as changes: additions and changes with the
	 * objects' revisions, deletions with that of the list. Beginning again forgets what was put.
	 * If @rev is below what readers have seen (the source was taken back) all cursors become stale.
	 */
	int		(*feed_list_begin)(struct orlop_feed *f, uint32_t flags);
	int		(*feed_list_end)(struct orlop_feed *f, uint64_t rev);	/* 0, -ENOMEM: call again */
	/*
	 * @err > 0: the resource cannot be read any more (EACCES: forbidden; ENOENT: gone): readers'
	 * journal_read and snapshot_open answer -@err and waits end with it. The next list ends that.
	 */
	void		(*feed_fail)(struct orlop_feed *f, int32_t err);
	/*
	 * feed_want_list: call @fn for each want of the modules of this process, but one's own, as they
	 * are loaded now. feed_wants: call @changed (NULL: no more) on this loop when that may have
	 * changed, and once soon after the call.
	 */
	int		(*feed_wants)(const struct orlop_host *h, orlop_cb changed, void *arg);
	void		(*feed_want_list)(const struct orlop_host *h,
				void (*fn)(void *arg, const struct orlop_feed_want *want), void *arg);

	/* In and after stop(): why (ORLOP_STOP_*); before: 0. Any thread. */
	int32_t		(*stop_reason)(const struct orlop_host *h);

	/* 1: the daemon has been told to end; this module's stop() comes when those that need it have gone. Any thread. */
	int32_t		(*ending)(const struct orlop_host *h);
};

#define ORLOP_HOST_HAS(h, m) \
	((h)->size >= offsetof(struct orlop_host, m) + sizeof((h)->m) && (h)->m != NULL)

#ifdef __cplusplus
}
#endif
#endif
