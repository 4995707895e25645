/*
 * cluster.h - what the files of the simulated cluster share: its processes, its history, its accounts.
 *
 * One struct cluster a world. Its parts: truth.c reads the storage's own history, which everything else is
 * measured against; watch.c compares every cache with it; ledger.c accounts for what clients asked for;
 * pods.c, rollout.c, objects.c hold what must be true of the objects; load.c and faults.c make things happen;
 * settle.c waits for what must come of it; cluster.c puts it together.
 */
#ifndef SIM_CLUSTER_CLUSTER_H
#define SIM_CLUSTER_CLUSTER_H

#include "../sim.h"
#include "base/omap.h"
#include "json/ojson.h"
#include "machine.h"

#define CLUSTER_PROCS	16u

struct truth;
struct watch;

enum role {
	ROLE_STORE	= 1,
	ROLE_API	= 2,
	ROLE_CONTROL	= 4,	/* scheduler and controllers */
	ROLE_NODE	= 8,
};

struct member {
	struct cluster	*c;
	struct sim_proc	*p;
	uint32_t	role;
	struct machine	*m;		/* of nodes */
	struct watch	*watch;
	char		name[16];
	bool		dead;		/* for good */
	bool		down;		/* comes back */
	uint64_t	back;		/* sim_after() of its return */
	uint32_t	power_cuts;
	uint32_t	power_due;	/* so many cuts are decided and still to come */
};

/* One version of one object, as the storage has it. */
struct version {
	uint64_t	rev;
	uint64_t	at;		/* sim_now() when we learned of it */
	struct version	*prev;		/* of the same key, NULL: it was not there */
	struct ojson	*obj;		/* NULL: deleted */
	const char	*key;		/* shared by all of a key */
	const char	*resource;	/* shared */
	const char	*ns;
	const char	*name;
	char		*raw;		/* of ConfigMaps: the record, as it is stored */
	size_t		raw_len;
};

/* A kind of fault or disturbance may be switched off by a seed: what is left is easier to understand. */
enum flavour {
	FLAVOUR_ANY,		/* a bit of everything */
	FLAVOUR_CALM,		/* nothing goes wrong: checks are at their strictest */
	FLAVOUR_POWER,		/* the storage's power, again and again */
	FLAVOUR_NODES,		/* nodes that are away for long, die, are tainted */
	FLAVOUR_BEHIND,		/* who is cut off finds history compacted */
	FLAVOUR_REPLACE,	/* modules are replaced, and nothing else is wrong */
	N_DRAWN_FLAVOURS,
	FLAVOUR_RUNTIME = N_DRAWN_FLAVOURS,	/* the runtime fails often, daemons crash; only if asked for */
	N_FLAVOURS,
};

struct knobs {
	uint32_t	flavour;
	uint32_t	n_nodes;
	uint32_t	n_apis;
	uint32_t	faults_s;	/* mean time between two of them */
	uint32_t	ops_ms;		/* mean time between two requests of the clients */
	uint32_t	storm_ms;	/* how long the storm lasts */
	bool		separate;	/* storage, API and controllers in processes of their own */
	bool		power;
	bool		crash;
	bool		cut;
	bool		pause;
	bool		replace;
	bool		jump;
	bool		disk;
	bool		kill_node;
	bool		compact;
	bool		tight;		/* nodes with little room */
	uint32_t	loss;
};

struct cluster {
	struct sim	*w;
	struct knobs	k;
	struct member	members[CLUSTER_PROCS];
	uint32_t	n_members;
	struct member	*store;
	struct truth	*truth;
	struct load	*load;
	struct ledger	*ledger;
	struct faults	*faults;
	struct omap	released;	/* objects.c */
	uint64_t	murky_until;	/* until then decisions may be made on what was true a while ago */
	uint32_t	cut_on_ack;	/* so many acknowledgements from now the storage's power goes; 0: not */
	bool		up;		/* the API answers, nodes are there */
	bool		storm;		/* things happen; afterwards they only settle */
	bool		settled;
	bool		ending;
	uint64_t	n_requests;
	uint64_t	n_faults;
	uint64_t	n_hard;		/* of them: such that a request may fail because of them */
	uint64_t	n_versions;
	uint64_t	n_changes;	/* seen by watchers */
	char		unsettled[600];	/* what is still missing */
};

/* ---- truth.c -------------------------------------------------------------------------------------------- */

void truth_start(struct cluster *c);
void truth_free(struct cluster *c);
/* Revision up to which history is known. */
uint64_t truth_rev(const struct cluster *c);
/* Newest version of a key; NULL: never seen. An object that is gone has obj NULL. */
const struct version *truth_get(const struct cluster *c, const char *resource, const char *ns, const char *name);
/* All versions by number in the order of revisions: 0 … truth_count()-1. */
uint32_t truth_count(const struct cluster *c);
const struct version *truth_at(const struct cluster *c, uint32_t i);
/* First index whose revision is ≥ @rev. */
uint32_t truth_find(const struct cluster *c, uint64_t rev);
/* Newest versions of all keys of @resource that are there. */
void truth_each(const struct cluster *c, const char *resource, void (*fn)(void *arg, const struct version *v), void *arg);
/* Those that are gone too: the newest version has no object. */
void truth_each_ever(const struct cluster *c, const char *resource, void (*fn)(void *arg, const struct version *v), void *arg);
/* An object that is there, by uid (NULL: none). */
const struct version *truth_uid(const struct cluster *c, const char *uid);
/* Was the uid ever there? */
bool truth_knew_uid(const struct cluster *c, const char *uid);
/* The storage was restarted: everything we knew must still be there. */
void truth_doubt(struct cluster *c);

/* ---- watch.c -------------------------------------------------------------------------------------------- */

void watch_step(struct member *m);
void watch_free(struct member *m);
/* Compare the whole cache with the truth now. */
bool watch_complete(struct member *m);

/* ---- ledger.c ------------------------------------------------------------------------------------------- */

typedef void (*ledger_fn)(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev);

void ledger_start(struct cluster *c);
void ledger_free(struct cluster *c);
/*
 * Sends a request of a client to the API of @m (NULL: any). @body is taken; metadata.annotations["sim/op"] is
 * set in it (verbs create, update, patch of resources but pods), so that its effect can be found again.
 */
void ledger_send(struct cluster *c, struct member *m, const char *verb, const char *resource, const char *ns,
		 const char *name, const char *sub, const char *type, struct ojson *take_body, ledger_fn fn, void *arg);
void ledger_version(struct cluster *c, const struct version *v);
void ledger_end(struct cluster *c);

/* ---- what must be true of the objects: called for each version ------------------------------------------- */

void pods_version(struct cluster *c, const struct version *v);
void pods_stopped(void *arg, const struct container *ct);	/* a container is asked to stop */
void rollout_version(struct cluster *c, const struct version *v);
void objects_version(struct cluster *c, const struct version *v);
/* May the finalizer of this object be taken away? Said by the load before it asks for it. */
void objects_release(struct cluster *c, const char *ns, const char *name);
void objects_end(struct cluster *c);

/* ---- load.c, faults.c, settle.c ---------------------------------------------------------------------------- */

void load_start(struct cluster *c);
void load_stop(struct cluster *c);
/* Some writes of the kind that is acknowledged before it is on disk. */
void load_burst(struct cluster *c);
/* What the clients counted, against what is there. */
void load_end(struct cluster *c);
void load_free(struct cluster *c);
/* Taints, cordons and the like of the load are taken back. */
bool load_calm(struct cluster *c);

void faults_start(struct cluster *c);
void faults_stop(struct cluster *c);
void faults_free(struct cluster *c);
/* A client was told that its write is done. */
void faults_acknowledged(struct cluster *c);
/* Whoever ended by itself starts again, as a service manager would have it. */
void faults_watch(struct cluster *c);
/* Everything that is down and not dead comes back, everything that is cut is mended. */
void faults_mend(struct cluster *c);

/* Is everything as it should be? Else c->unsettled says what is not. */
bool settle_look(struct cluster *c);

/* ---- small things ----------------------------------------------------------------------------------------------- */

struct ojson *cj(const char *fmt, ...) __attribute__((format(printf, 1, 2)));	/* JSON from a format */
/* The text at a path of names; "" if there is none. */
const char *cj_text(const struct ojson *j, const char *dotted);
int64_t cj_int(const struct ojson *j, const char *dotted, int64_t def);
bool cj_condition(const struct ojson *j, const char *type, const char *status);
/* Was something out of reach within the last WINDOW_NS? Then what was decided may rest on an old state. */
#define WINDOW_NS	(20 * SIM_S)
bool cluster_murky(const struct cluster *c);
bool version_alive(const struct version *v);	/* there, and not marked for deletion */
const char *version_uid(const struct version *v);
int64_t milli_cpu(const char *text);
/* A host table by which messages can be read; NULL: nothing runs. */
const struct orlop_host *cluster_reader(struct cluster *c);
struct member *cluster_api(struct cluster *c);	/* one of those that answer, by chance */

#endif
