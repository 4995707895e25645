/*
 * sim.h - a whole cluster in one process, on one clock, from one seed.
 *
 *	struct sim *w;
 *	struct sim_proc *p;
 *	sim_new(&(struct sim_config){ .seed = 7, .module_dir = "…/modules" }, &w);
 *	p = sim_proc_add(w, &(struct sim_proc_spec){ .name = "cp", .modules = list, .n_modules = 3 });
 *	sim_on_step(w, my_invariant, NULL);
 *	while (sim_step(w) > 0)
 *		;
 *	sim_free(w);
 *
 * What is simulated is the machine below the core: the real core (loader, bus, cache, feeder) and the
 * real modules run; libuv, nanomsg, threads, clocks, chance, sockets and the disk below them are of
 * tests/sim/ (README.md). A thread runs until it would block; that is one step. Nothing runs beside it,
 * so whoever drives the world may look at everything between two steps.
 *
 * A driver is the code that calls these functions: workload, faults, invariants. It runs outside of all
 * simulated processes. Its functions never block; what takes time calls back, as a step of its own.
 * Callbacks may call everything here but sim_step(), sim_run() and sim_free().
 *
 * Chance: use sim_below() and its relatives, never anything else; the same seed gives the same run.
 */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <orlop/host.h>

struct sim;
struct sim_proc;
struct core;

#define SIM_MS	UINT64_C(1000000)
#define SIM_S	UINT64_C(1000000000)

/* ---- the world ----------------------------------------------------------------------------------- */

/* Zero is the default for each. One world at a time in a process. */
struct sim_config {
	uint64_t	seed;
	const char	*module_dir;	/* default: $builddir/modules */
	const char	*sim_dir;	/* modules that only the simulation has; default: $builddir/tests/sim/modules */
	uint32_t	trace;		/* 0: only the hash and the last lines; 1: print; 2: print every step, too */
	uint32_t	keep_lines;	/* of the trace, for a failure; 0: 60 */
};

/* 0 or -errno. */
int sim_new(const struct sim_config *cfg, struct sim **ret);
void sim_free(struct sim *w);		/* accepts NULL */
struct sim *sim_world(void);		/* the one of this process: for simulated modules */

/* One event: 1 done, 0 nothing can ever happen any more, -1 the run has failed. */
int sim_step(struct sim *w);
/*
 * Steps until @done (may be NULL) says true, virtual time @until_ns has come (0: never), or @max_steps more
 * are done (0: any number). 1: @done, 0: time or steps are over, -1: failed.
 */
int sim_run(struct sim *w, bool (*done)(void *arg), void *arg, uint64_t until_ns, uint64_t max_steps);

uint64_t sim_seed(const struct sim *w);
uint64_t sim_now(const struct sim *w);		/* virtual ns since the world began */
uint64_t sim_steps(const struct sim *w);
uint64_t sim_hash(const struct sim *w);		/* of the trace so far */

/* After every step, in order of registration. */
void sim_on_step(struct sim *w, void (*fn)(void *arg), void *arg);
/* An event of the driver, @delay_ns from now. Returns a number for sim_cancel(). */
uint64_t sim_after(struct sim *w, uint64_t delay_ns, void (*fn)(void *arg), void *arg);
void sim_cancel(struct sim *w, uint64_t timer);

/* The run has failed: the first one counts. @what: name of the invariant. */
void sim_fail(struct sim *w, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *sim_failure(const struct sim *w);	/* "name: text", NULL: none */
/* A line in the trace. */
void sim_trace(struct sim *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The last lines, oldest first. */
void sim_last(const struct sim *w, void (*fn)(void *arg, const char *line), void *arg);

/* ---- chance: of the driver, apart from what the host draws itself ----------------------------------- */

uint64_t sim_random(struct sim *w);
uint64_t sim_below(struct sim *w, uint64_t n);			/* 0 … n-1 */
uint64_t sim_between(struct sim *w, uint64_t lo, uint64_t hi);	/* both included */
bool sim_chance(struct sim *w, uint32_t per_mille);

/* ---- processes ---------------------------------------------------------------------------------------- */

/*
 * @module as in a configuration ("storage/lmdb", "apiserver"), or "sim:NAME" for sim_dir/NAME.so.
 * @params "a=1;b=text": parameters. "$dir" in it is the machine's directory, which survives crashes;
 * "$pki" the directory with ca.crt, server.crt, server.key, sa.key.
 */
struct sim_module {
	const char	*module;
	const char	*name;		/* instance; NULL: as the core does */
	const char	*params;	/* NULL: none */
};

/* One simulated process on a machine of its own. Texts are copied. */
struct sim_proc_spec {
	const char	*name;
	const struct sim_module *modules;
	uint32_t	n_modules;
	uint32_t	loops;		/* most loops, 0: 1 */
	uint32_t	loss_percent;	/* of its bus */
	uint32_t	dup_percent;
	uint32_t	reorder_percent;
	uint32_t	cpus;		/* what the machine looks like; 0: 4 */
	uint64_t	memory_bytes;	/* 0: 8 GiB */
	/* Addresses that are answered by another process over the network. */
	const char	*storage_at;	/* name of a process, NULL: a module here */
	const char	*api_at;
};

/* Starts with the next steps. NULL: no memory. Lives as long as the world. */
struct sim_proc *sim_proc_add(struct sim *w, const struct sim_proc_spec *spec);
struct sim_proc *sim_proc_find(struct sim *w, const char *name);
struct sim_proc *sim_proc_next(struct sim *w, struct sim_proc *prev);	/* NULL: the first */
struct sim_proc *sim_proc_here(void);		/* whose thread runs now, NULL: the driver's */
const char *sim_proc_name(const struct sim_proc *p);

bool sim_running(const struct sim_proc *p);	/* it has a process (perhaps paused) */
bool sim_ready(const struct sim_proc *p);	/* all its modules are loaded and ready */
uint32_t sim_life(const struct sim_proc *p);	/* how often it was started */

/* Gone at once, as by SIGKILL: its memory is lost, what it wrote to files is not. */
void sim_crash(struct sim_proc *p);
/* The machine's power fails: what was not synced is lost, or not, or in parts. */
void sim_power_off(struct sim_proc *p);
void sim_start(struct sim_proc *p);		/* again, after one of the three */
/* An orderly end (SIGTERM); running until then. */
void sim_stop(struct sim_proc *p);
/* No thread of it runs for so long; then it goes on. */
void sim_pause(struct sim_proc *p, uint64_t ns);
/* Its wall clock goes forward or back. */
void sim_wall_jump(struct sim_proc *p, int64_t ns);
/* Every step of it takes so long (0: none): a machine that is too slow. */
void sim_slow(struct sim_proc *p, uint64_t ns);

/* The loader's functions, by their names; @fn at their end (0 or -errno, and what was said). */
typedef void (*sim_done_fn)(void *arg, int32_t status, const char *msg);
int sim_load(struct sim_proc *p, const struct sim_module *m, sim_done_fn fn, void *arg);
int sim_unload(struct sim_proc *p, const char *name, sim_done_fn fn, void *arg);
int sim_replace(struct sim_proc *p, const char *name, sim_done_fn fn, void *arg);

/* Any pointer of the driver's, by a number of its own (0 … 7). Survives crashes. */
void sim_proc_set(struct sim_proc *p, uint32_t slot, void *ptr);
void *sim_proc_get(const struct sim_proc *p, uint32_t slot);

/*
 * Looking inside. The core, and the table of an instance "sim" in it that may read every resource: open
 * resources with it, take snapshots, read journals. Both NULL unless sim_running(); handles die with a crash
 * (compare sim_life()).
 */
struct core *sim_core(const struct sim_proc *p);
const struct orlop_host *sim_host(const struct sim_proc *p);
/* Directory of the machine's files. */
const char *sim_dir(const struct sim_proc *p);

/* ---- disk -------------------------------------------------------------------------------------------------- */

/* Of the files below the machine's directory. */
struct sim_disk {
	uint32_t	sync_us_min;	/* how long fdatasync takes */
	uint32_t	sync_us_max;
	uint32_t	write_fail;	/* per mille of writes that fail with EIO */
	uint32_t	sync_fail;	/* per mille of syncs that fail with EIO */
	bool		full;		/* writes that need room fail with ENOSPC */
	bool		lies;		/* syncs are said to be done and are not: to see that tests notice */
};
struct sim_disk *sim_disk(struct sim_proc *p);		/* to be changed at any time */

/* ---- network ------------------------------------------------------------------------------------------------ */

struct sim_net {
	uint64_t	delay_min_ns;	/* one way; default 100 µs … 1 ms */
	uint64_t	delay_max_ns;
	uint32_t	reset;		/* per mille of messages that end the connection they travel on:
					   requests open on it answer -ECONNRESET, outcome unknown */
};
struct sim_net *sim_net(struct sim *w);
/* Between two machines nothing passes (or does again). @b NULL: all others and the clients. */
void sim_cut(struct sim *w, struct sim_proc *a, struct sim_proc *b, bool cut);
bool sim_is_cut(struct sim *w, struct sim_proc *a, struct sim_proc *b);

/* ---- clients ------------------------------------------------------------------------------------------------- */

/*
 * The answer to a call. @status as of a request on the bus (host.h): 0, or -errno, -ECONNRESET and
 * -ETIMEDOUT: outcome unknown. @msg is valid during the call, may be NULL.
 */
typedef void (*sim_reply_fn)(void *arg, int32_t status, const struct orlop_msg *msg,
			     const struct orlop_error *err);
/*
 * A request over the network to an address of @p, from outside or (@from) another machine. Always calls back
 * once, later. @timeout_ns 0: 30 s. @user NULL: "system:admin" of system:masters.
 */
void sim_call(struct sim *w, struct sim_proc *from, struct sim_proc *p, const char *to, uint32_t op,
	      const struct orlop_msg *msg, const char *user, uint64_t timeout_ns, sim_reply_fn fn, void *arg);

/* A request to the API. Absent texts NULL. */
struct sim_request {
	const char	*verb;		/* as api.h: get list create update patch delete deletecollection */
	const char	*resource;
	const char	*ns;
	const char	*name;
	const char	*subresource;
	const char	*body;
	const char	*content_type;
	const char	*query;
	const char	*user;		/* NULL: the administrator */
	uint64_t	timeout_ns;
};
/*
 * @status 0: the API answered with @code and @body (not NUL-terminated), @rev of what was written; otherwise as
 * above, and @code is 0.
 */
typedef void (*sim_answer_fn)(void *arg, int32_t status, uint32_t code, struct orlop_bytes body,
			      uint64_t rev);
void sim_api(struct sim *w, struct sim_proc *p, const struct sim_request *r, sim_answer_fn fn, void *arg);

#endif
