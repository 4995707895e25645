/*
 * fakehost.h - the whole host table for unit tests of modules: deterministic, single-threaded.
 *
 *	struct fakehost *fh = fakehost_new();
 *	fakehost_param(fh, "resync_ms", "0");
 *	fakehost_resource(fh, "pods", 1, "spec.nodeName", "status.phase", NULL);
 *	fakehost_put(fh, "nodes", "", "n1", "{\"spec\":{}}");
 *	fakehost_serve(fh, "api", my_api, &state);
 *	ok(fakehost_load(fh, &orlop_module, &err) == 0, "loads");
 *	fakehost_put(fh, "pods", "default", "web", "{\"spec\":{}}");
 *	fakehost_run_until_idle(fh);
 *	…
 *	fakehost_free(fh);
 *
 * Nothing happens inside a host call: posts, replies, notes, work() and timers run, in order, in
 * fakehost_run() and its relatives, on the calling thread. The clock stands still but for
 * fakehost_advance() and where run_until… jumps to the next timer. Only a module that asks for
 * threads, descriptors or (real) children meets the real world: then run_until… polls for it
 * before it moves the clock.
 *
 * Out of memory and wrong use abort with a sentence. Set FAKEHOST_LOG=1 to see the log as comments.
 */
#ifndef ORLOP_FAKEHOST_H
#define ORLOP_FAKEHOST_H

#include <orlop/host.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fakehost;
struct fakehost_module;

/* ---- the world ----------------------------------------------------------------------------------- */

struct fakehost *fakehost_new(void);
/* Modules still loaded are unloaded first. Accepts NULL. Reports (as TAP comments) what was left open. */
void fakehost_free(struct fakehost *fh);

/* The table of the test itself, an instance "test" that serves nothing. */
const struct orlop_host *fakehost_host(struct fakehost *fh);

/* Seed of host->random(); the same seed, the same bytes. Default 1. */
void fakehost_seed(struct fakehost *fh, uint64_t seed);

/* ---- time ------------------------------------------------------------------------------------------ */

#define FAKEHOST_MS	UINT64_C(1000000)
#define FAKEHOST_S	UINT64_C(1000000000)

/* Mono begins at 1000 s, wall at 2026-01-01T00:00:00Z. */
uint64_t fakehost_now(struct fakehost *fh);
/* The wall clock jumps; mono does not. */
void fakehost_set_wall(struct fakehost *fh, uint64_t ns);
/* From now on mono is the real clock: for tests with sockets and children. */
void fakehost_real_clock(struct fakehost *fh);

/* Whatever can run without time passing. Returns how many callbacks ran. */
uint32_t fakehost_run(struct fakehost *fh);
/* @ns pass; timers fire in order. */
void fakehost_advance(struct fakehost *fh, uint64_t ns);
/*
 * Runs, and jumps to the next timer, until nothing is left to do: no post, and no timer within
 * 60 s from now but repeating ones (which fire while others are waited for).
 */
void fakehost_run_until_idle(struct fakehost *fh);
/*
 * Runs, jumps and (if descriptors, threads or children are there) polls until @cond(@arg) is true.
 * Gives up after @max_ns of its clock, or 30 s of real waiting: returns 0. Else 1.
 */
int fakehost_run_until(struct fakehost *fh, int (*cond)(void *arg), void *arg, uint64_t max_ns);

/* ---- modules --------------------------------------------------------------------------------------- */

/* Parameter for all modules loaded later (and the test); their own default otherwise. */
void fakehost_param(struct fakehost *fh, const char *name, const char *value);
/* The same for one that runs: validate, then apply. 0 or what validate says. */
int fakehost_param_change(struct fakehost *fh, struct fakehost_module *m, const char *name,
			  const char *value, struct orlop_error *err);
/* Shards of modules that ask for "auto" (default 1). */
void fakehost_shards(struct fakehost *fh, uint32_t n);

/*
 * init, shard_init …, start, and runs what they posted. The module serves the addresses of its
 * class, "class/name" and, on top of these, nothing. 0, or what failed and said why in @err.
 */
int fakehost_load(struct fakehost *fh, const struct orlop_module *mod, struct orlop_error *err);
/* The same with the instance in @ret and a name of its own (NULL: "class/name"). */
int fakehost_load_as(struct fakehost *fh, const struct orlop_module *mod, const char *instance,
		     struct fakehost_module **ret, struct orlop_error *err);
/* stop, shard_fini …, fini. -EBUSY and the reason if stop refuses: it stays loaded. */
int fakehost_unload(struct fakehost *fh, struct fakehost_module *m, struct orlop_error *err);
/* As unload, but without stop: what a crash would leave behind, as far as it can be imitated. */
void fakehost_crash(struct fakehost *fh, struct fakehost_module *m);
void *fakehost_ctx(struct fakehost_module *m);
const struct orlop_host *fakehost_module_host(struct fakehost_module *m, uint32_t shard);
/* Has it called ready()? fail()? (The reason, or NULL.) The first module if @m is NULL. */
int fakehost_is_ready(struct fakehost *fh, struct fakehost_module *m);
const char *fakehost_failed(struct fakehost *fh, struct fakehost_module *m);

/* ---- bus -------------------------------------------------------------------------------------------- */

/*
 * Answer requests to @address. @req is valid until fakehost_reply() or host->call_done(), which may
 * come later. Replaces who served it, NULL: nobody (requests wait for their deadline).
 */
typedef void (*fakehost_serve_fn)(void *arg, const struct orlop_req *req, struct orlop_call *call);
void fakehost_serve(struct fakehost *fh, const char *address, fakehost_serve_fn fn, void *arg);
/* call_done() for those who have no host at hand. @msg may be NULL. */
void fakehost_reply(struct orlop_call *call, int32_t status, const struct orlop_msg *msg);
/* … with a Kubernetes error. */
void fakehost_reply_error(struct orlop_call *call, int err, int http, const char *reason,
			  const char *text);

/* An answer as fakehost_call() keeps it. */
struct fakehost_reply {
	int32_t		status;
	uint32_t	n_parts;	/* emitted before: only counted */
	struct orlop_msg msg;
	struct orlop_error err;
	void		*keep;
};

/* A request by the test, run until it is answered (at most 60 s of the clock). */
struct fakehost_reply fakehost_call(struct fakehost *fh, const char *address, uint32_t op,
				    const struct orlop_msg *msg);
/* Frees what the reply holds; its descriptors are closed. */
void fakehost_reply_done(struct fakehost_reply *r);
/* The answerer vanishes: all requests under way to @address end with -ECONNRESET. */
void fakehost_reset(struct fakehost *fh, const char *address);

/* ---- cache ------------------------------------------------------------------------------------------ */

/*
 * Register a resource with field indexes (dotted paths, NULL at the end). All of them, labels,
 * owner and uid are kept as secondary indexes. fakehost_put() does it without fields.
 */
void fakehost_resource(struct fakehost *fh, const char *name, int namespaced, ...)
	__attribute__((sentinel));
/* The same with everything. */
void fakehost_resource_info(struct fakehost *fh, const struct orlop_resource_info *info);
/* Its definition goes, and whatever there was of it. */
void fakehost_resource_retire(struct fakehost *fh, const char *name);

/*
 * Create or replace an object; returns its revision. @json (NULL: "{}") is the object as the API
 * would show it; name, namespace, uid and creationTimestamp are added if metadata has none, kind,
 * apiVersion and resourceVersion are left out.
 */
uint64_t fakehost_put(struct fakehost *fh, const char *resource, const char *ns, const char *name,
		      const char *json);
uint64_t fakehost_putf(struct fakehost *fh, const char *resource, const char *ns, const char *name,
		       const char *json_fmt, ...) __attribute__((format(printf, 5, 6)));
/* The revision of the delete; 0: there was none. */
uint64_t fakehost_delete(struct fakehost *fh, const char *resource, const char *ns,
			 const char *name);
/*
 * A stored record (orlop/record.h) as the storage would feed it, for a test that plays the storage;
 * record.p NULL: the key is gone. Returns the revision.
 */
uint64_t fakehost_put_record(struct fakehost *fh, struct orlop_bytes key, struct orlop_bytes record);
/* The members of the object as the cache has them, NUL-terminated, valid until the next call; NULL. */
const char *fakehost_get(struct fakehost *fh, const char *resource, const char *ns,
			 const char *name);
uint64_t fakehost_count(struct fakehost *fh, const char *resource);
uint64_t fakehost_rev(struct fakehost *fh);
/* Several changes as one commit. */
void fakehost_batch_begin(struct fakehost *fh);
void fakehost_batch_end(struct fakehost *fh);
/* Everything is listed anew: cursors become stale, as after a lost connection. */
void fakehost_relist(struct fakehost *fh);
/*
 * For a module that feeds (host->feed_*): one more want, as a module's reads= would say it
 * ("pods;field=spec.nodeName=n1"); NULL: none but the loaded modules'. A resource that it feeds starts
 * not synced if it was empty, and fakehost_put() does nothing to it any more.
 */
void fakehost_want(struct fakehost *fh, const char *reads);
/* So many of the next notes get lost (they are repeated after 20 ms of the clock). */
void fakehost_lose_notes(struct fakehost *fh, uint32_t n);

/* ---- the API: a small one, backed by the cache ------------------------------------------------------- */

/*
 * Serves the address "api": create (generateName too), update, get and delete act on the cache,
 * status updates replace "status", binding sets spec.nodeName; patch answers the object as it is.
 * A resourceVersion that is not the present one is a Conflict. Objects with finalizers are only
 * marked. Each request is also kept, for fakehost_api_log().
 */
void fakehost_api(struct fakehost *fh);
/*
 * Called first: return 0 to let the built-in behaviour go on, 1 if @call has been (or will be)
 * answered. NULL: none.
 */
typedef int (*fakehost_api_fn)(void *arg, const struct orlop_req *req, struct orlop_call *call);
void fakehost_api_hook(struct fakehost *fh, fakehost_api_fn fn, void *arg);
/* Requests so far, "create pods default/web-x1 {body}\n…"; sub-resource as pods/status. */
const char *fakehost_api_log(struct fakehost *fh);
/* Requests whose line contains @text. */
uint32_t fakehost_api_count(struct fakehost *fh, const char *text);
void fakehost_api_clear(struct fakehost *fh);

/* ---- processes -------------------------------------------------------------------------------------- */

/*
 * Instead of starting a process call @fn (it may read and write @s->fds). It returns -errno (spawn
 * fails), 0 (the child ends with *@ret_code, *@ret_sig at once) or 1 (it lives on until
 * fakehost_child_exit()). Without it spawn() starts real processes.
 */
typedef int (*fakehost_spawn_fn)(void *arg, const struct orlop_spawn *s, int32_t pid,
				 int32_t *ret_code, int32_t *ret_sig);
void fakehost_spawn_hook(struct fakehost *fh, fakehost_spawn_fn fn, void *arg);
void fakehost_child_exit(struct fakehost *fh, int32_t pid, int32_t code, int32_t sig);
/* Signal that child_kill() sent last to a scripted child, 0: none. */
int32_t fakehost_child_signal(struct fakehost *fh, int32_t pid);

/* ---- what the module said ----------------------------------------------------------------------------- */

/* Lines "LEVEL instance event text" that contain @text (NULL: all). */
uint32_t fakehost_logged(struct fakehost *fh, const char *text);
/* Value of a metric (counter, gauge; histogram: sum), labels NULL: none. 0 if there is none. */
double fakehost_metric(struct fakehost *fh, const char *name, const char *labels);
/* Leadership is given at once; 0: nobody leads from now on, 1: everybody does again. */
void fakehost_leading(struct fakehost *fh, int leading);
/* What modules hold, or left when they were unloaded: timers, watches, requests, calls, resources, children. */
uint32_t fakehost_held(struct fakehost *fh);

#ifdef __cplusplus
}
#endif
#endif
