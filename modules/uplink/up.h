/*
 * up.h - uplink inside: the module, the kinds of the server, the slices that are followed.
 */
#ifndef UP_H
#define UP_H

#include <orlop/api.h>
#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "decode.h"
#include "remote.h"

#include "base/obuf.h"
#include "base/olist.h"
#include "base/omap.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "schema/oschema.h"

#define UP_NS_PER_S	UINT64_C(1000000000)

struct up_disco;
struct up_slice;
struct up_leases;

/* A resource that the server serves. Lives until the next discovery. */
struct up_kind {
	char		*name;		/* "deployments.apps" */
	char		*group;
	char		*version;
	char		*plural;
	char		*kind;
	char		*prefix;	/* `"kind":"Pod","apiVersion":"v1",` */
	const struct oschema_resource *res;	/* what we know of it, NULL: nothing */
	uint32_t	rank;		/* of the version: less is better */
	bool		namespaced;
	bool		listable;	/* has list and watch */
};

struct up {
	const struct orlop_host *h;
	const struct oschema *schema;
	struct up_remote *remote;
	struct orlop_timer *chores;
	struct orlop_timer *start_timer;
	struct orlop_timer *wants_timer;

	/* discover.c */
	struct omap	*kinds;		/* name → struct up_kind; NULL before the first discovery. A map does not move */
	struct up_disco	*disco;		/* under way */
	struct orlop_timer *disco_timer;
	uint64_t	disco_at;	/* when the last one was complete, mono; 0: never */
	unsigned int	disco_fails;

	/* slices.c, follow.c */
	struct olist	slices;
	uint32_t	listing;	/* lists under way */
	struct obuf	record;		/* scratch */

	/* api.c */
	struct olist	active;		/* of struct up_part */
	struct olist	waiting;	/* for their turn or their pause */
	uint32_t	n_active;
	uint32_t	n_waiting;
	uint64_t	n_done;
	uint64_t	n_unknown;

	struct up_leases *leases;

	uint32_t	max_requests;
	uint32_t	page_size;
	size_t		max_object;
	bool		impersonate;
	bool		keep_managed;
	bool		is_ready;	/* told the core so */
	bool		connected;	/* the server has answered */
	bool		stopping;
};

/* ---- discover.c: what the server has ---- */

/* Ask now; ends in up_discovered() each time it succeeded. */
void up_discover(struct up *u);
void up_discover_done(struct up *u);
/* By "deployments.apps", NULL: not served. */
struct up_kind *up_kind_find(struct up *u, struct orlop_bytes name);
/* The same, and look at the server again if it is not known and the last look was a while ago. */
struct up_kind *up_kind_want(struct up *u, struct orlop_bytes name);
/* Append "/apis/apps/v1" … with namespace; @version empty: the kind's. */
void up_path(struct obuf *b, const struct up_kind *k, struct orlop_bytes version, struct orlop_bytes ns);

/* uplink.c: the kinds are known, for the first time or anew. */
void up_discovered(struct up *u);

/* ---- slices.c: what is wanted of the cache ---- */

void up_slices_wants(struct up *u);	/* wants or kinds have changed */
void up_slices_free(struct up *u);
bool up_slices_synced(const struct up *u);
struct up_slice *up_slice_find(struct up *u, struct orlop_bytes resource);

/* ---- wait.c: read your own writes ---- */

/* What an answer waits for. Borrowed. */
struct up_await {
	struct orlop_bytes resource;
	struct orlop_bytes ns;
	struct orlop_bytes name;
	struct orlop_bytes uid;		/* of what is gone; empty: any */
	uint64_t	rev;		/* until this process sees this revision of it; 0: */
	bool		bound;		/* a pod has a node, else: it is gone */
	struct orlop_bytes object;	/* its bytes: what is not in the slice is not waited for */
};

/* At once if nobody here follows the resource; after a few seconds in any case. @rev: what is seen. */
typedef void (*up_seen_fn)(void *arg, uint64_t rev);
void up_await(struct up *u, const struct up_await *a, up_seen_fn fn, void *arg);

/* ---- api.c: writing ---- */

int up_api_call(struct up *u, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
void up_api_free(struct up *u);		/* what is under way is answered: cancelled, or outcome unknown */
void up_api_go(struct up *u);		/* kinds are known now: what waited for that */

/* ---- lease.c: leadership ---- */

int up_lease_call(struct up *u, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
void up_leases_free(struct up *u);
int up_leases_stats(const struct up *u, char *buf, size_t size);

#endif
