/*
 * numbers.c - how many pods each ReplicaSet of a Deployment shall have. Nothing but arithmetic: a
 * step never goes below replicas − maxUnavailable available pods nor above replicas + maxSurge pods.
 */
#include "deploy.h"

#include <stdlib.h>
#include <string.h>

#include "kube/okube.h"

/* An int or a percentage of @total, rounded up or down. */
static int64_t int_or_percent(const struct ojson *v, int64_t total, bool up)
{
	const char *s = ojson_cstr(v, NULL);
	int64_t n = 0;

	if (!s)
		return ojson_i64(v, 0);
	for (; *s >= '0' && *s <= '9' && n < 1000000; s++)
		n = n * 10 + (*s - '0');
	return up ? (n * total + 99) / 100 : n * total / 100;
}

void dspec_read(const struct ojson *d, struct dspec *ret)
{
	const struct ojson *spec = ojson_get(d, "spec");
	const struct ojson *strategy = ojson_get(spec, "strategy");
	const struct ojson *rolling = ojson_get(strategy, "rollingUpdate");

	memset(ret, 0, sizeof(*ret));
	ret->replicas = ojson_get_i64(spec, "replicas", 1);
	ret->min_ready_s = ojson_get_i64(spec, "minReadySeconds", 0);
	ret->deadline_s = ojson_get_i64(spec, "progressDeadlineSeconds", NO_LIMIT);
	ret->history = ojson_get_i64(spec, "revisionHistoryLimit", NO_LIMIT);
	ret->paused = ojson_get_bool(spec, "paused", false);
	ret->rolling = strcmp(ojson_get_cstr(strategy, "type", "RollingUpdate"), "Recreate") != 0;
	if (!ret->rolling)
		return;
	ret->surge = int_or_percent(ojson_get(rolling, "maxSurge"), ret->replicas, true);
	ret->unavailable = int_or_percent(ojson_get(rolling, "maxUnavailable"), ret->replicas, false);
	if (!ret->surge && !ret->unavailable)
		ret->unavailable = 1;	/* both may round to 0; then nothing could ever move */
	if (ret->unavailable > ret->replicas)
		ret->unavailable = ret->replicas;
}

void rset_read(const struct ojson *rs, struct rset *ret)
{
	const struct ojson *status = ojson_get(rs, "status");

	memset(ret, 0, sizeof(*ret));
	ret->obj = rs;
	ret->had = ojson_get_i64(ojson_get(rs, "spec"), "replicas", 1);
	ret->want = ret->had;
	ret->actual = ojson_get_i64(status, "replicas", 0);
	ret->ready = ojson_get_i64(status, "readyReplicas", 0);
	ret->available = ojson_get_i64(status, "availableReplicas", 0);
	ret->terminating = ojson_get_i64(status, "terminatingReplicas", 0);
}

int64_t rset_available(const struct rset *s)
{
	return s->available < s->want ? s->available : s->want;
}

int64_t rollout_pods(const struct rollout *r, bool old_only)
{
	int64_t n = 0;
	size_t i;

	for (i = 0; i < r->n; i++)
		if (!old_only || &r->v[i] != r->newest)
			n += r->v[i].want;
	return n;
}

int64_t rollout_new_replicas(const struct rollout *r, int64_t have)
{
	int64_t others = rollout_pods(r, true);
	int64_t more;

	if (!r->spec.rolling)
		return r->spec.replicas;
	more = r->spec.replicas + r->spec.surge - others - have;
	if (more <= 0)
		return have;
	if (more > r->spec.replicas - have)
		more = r->spec.replicas - have;
	return have + more;
}

/* ---- scaling ---------------------------------------------------------------------------------------- */

bool rollout_is_scaling(const struct rollout *r)
{
	size_t i;

	for (i = 0; i < r->n; i++) {
		int64_t desired = annotation_i64(r->v[i].obj, DESIRED);

		if (r->v[i].had > 0 && desired >= 0 && desired != r->spec.replicas)
			return true;
	}
	return false;
}

static void size_set(struct rset *s, int64_t want)
{
	s->want = want < 0 ? 0 : want;
	s->annotate = true;
}

/* The one active set, or the newest of all if none is; NULL: several are active. */
static struct rset *active_or_latest(const struct rollout *r)
{
	struct rset *one = NULL;
	size_t i;

	for (i = 0; i < r->n; i++) {
		if (!r->v[i].had)
			continue;
		if (one)
			return NULL;
		one = &r->v[i];
	}
	if (one)
		return one;
	return r->newest ? r->newest : &r->v[r->n - 1];
}

static bool is_saturated(const struct rollout *r)
{
	const struct rset *s = r->newest;

	return s && s->had == r->spec.replicas && annotation_i64(s->obj, DESIRED) == r->spec.replicas &&
	       s->available == r->spec.replicas;
}

/* What @s gains or loses if its share of the pods stays what it was. */
static int64_t share(const struct rollout *r, const struct rset *s)
{
	int64_t before = annotation_i64(s->obj, MAX_REPLICAS);
	int64_t after = r->spec.replicas + r->spec.surge;

	if (!r->spec.replicas)
		return -s->had;
	if (before <= 0)
		before = ojson_get_i64(ojson_get(r->d, "status"), "replicas", 0);
	if (before <= 0)
		return 0;
	return (2 * s->had * after + before) / (2 * before) - s->had;	/* rounded to the nearest */
}

/* Larger sets first; of equal ones the newer when pods are added, the older when they go. */
static int by_size_newer(const void *a, const void *b)
{
	const struct rset *x = *(struct rset *const *)a;
	const struct rset *y = *(struct rset *const *)b;

	return x->had != y->had ? (x->had > y->had ? -1 : 1) : (x > y ? -1 : x < y);
}

static int by_size_older(const void *a, const void *b)
{
	const struct rset *x = *(struct rset *const *)a;
	const struct rset *y = *(struct rset *const *)b;

	return x->had != y->had ? (x->had > y->had ? -1 : 1) : (x < y ? -1 : x > y);
}

static void scale_in_proportion(struct rollout *r, struct rset **active, size_t n)
{
	int64_t allowed = r->spec.replicas > 0 ? r->spec.replicas + r->spec.surge : 0;
	int64_t to_add = allowed - rollout_pods(r, false);
	int64_t added = 0;
	size_t i;

	qsort(active, n, sizeof(*active), to_add > 0 ? by_size_newer : by_size_older);
	for (i = 0; i < n; i++) {
		int64_t part = to_add ? share(r, active[i]) : 0;
		int64_t left = to_add - added;

		if ((to_add > 0 && part > left) || (to_add < 0 && part < left))
			part = left;
		size_set(active[i], active[i]->had + part);
		added += part;
	}
	if (n && to_add)
		size_set(active[0], active[0]->want + to_add - added);
}

void rollout_scale(struct rollout *r)
{
	struct rset *active[256];
	struct rset *one;
	size_t n = 0;
	size_t i;

	if (!r->n)
		return;
	one = active_or_latest(r);
	if (one) {
		size_set(one, r->spec.replicas);
		return;
	}
	for (i = 0; i < r->n && n < sizeof(active) / sizeof(active[0]); i++)
		if (r->v[i].had)
			active[n++] = &r->v[i];
	if (is_saturated(r)) {
		for (i = 0; i < n; i++)
			if (active[i] != r->newest)
				size_set(active[i], 0);
	} else if (r->spec.rolling) {
		scale_in_proportion(r, active, n);
	}
}

/* ---- rolling update ----------------------------------------------------------------------------------- */

bool rollout_grow_new(struct rollout *r)
{
	struct rset *s = r->newest;
	int64_t want;

	if (s->had == r->spec.replicas)
		return false;
	want = s->had > r->spec.replicas ? r->spec.replicas : rollout_new_replicas(r, s->had);
	if (want == s->had)
		return false;
	size_set(s, want);
	return true;
}

/* Pods that serve nobody go first: they cost no availability. Returns how many of @most went. */
static int64_t unhealthy_drop(struct rollout *r, int64_t most)
{
	int64_t done = 0;
	size_t i;

	for (i = 0; i < r->n && done < most; i++) {
		struct rset *s = &r->v[i];
		int64_t bad = s->want - rset_available(s);

		if (s == r->newest || bad <= 0)
			continue;
		if (bad > most - done)
			bad = most - done;
		size_set(s, s->want - bad);
		done += bad;
	}
	return done;
}

bool rollout_shrink_old(struct rollout *r)
{
	int64_t least = r->spec.replicas - r->spec.unavailable;
	int64_t spare;
	int64_t available = 0;
	int64_t done;
	size_t i;

	if (!rollout_pods(r, true))
		return false;
	spare = rollout_pods(r, false) - least - (r->newest->want - rset_available(r->newest));
	if (spare <= 0)
		return false;
	done = unhealthy_drop(r, spare);
	for (i = 0; i < r->n; i++)
		available += rset_available(&r->v[i]);
	for (i = 0; i < r->n && available > least; i++) {
		struct rset *s = &r->v[i];
		int64_t go = available - least;

		if (s == r->newest || !s->want)
			continue;
		if (go > s->want)
			go = s->want;
		size_set(s, s->want - go);
		available -= go;
		done += go;
	}
	return done > 0;
}

bool rollout_drop_old(struct rollout *r)
{
	bool any = false;
	size_t i;

	for (i = 0; i < r->n; i++) {
		if (&r->v[i] == r->newest || !r->v[i].want)
			continue;
		size_set(&r->v[i], 0);
		any = true;
	}
	return any;
}

bool rollout_complete(const struct rollout *r, const struct ojson *status)
{
	return ojson_get_i64(status, "updatedReplicas", 0) == r->spec.replicas &&
	       ojson_get_i64(status, "replicas", 0) == r->spec.replicas &&
	       ojson_get_i64(status, "availableReplicas", 0) == r->spec.replicas &&
	       ojson_get_i64(status, "observedGeneration", 0) >=
		       ojson_get_i64(ojson_get(r->d, "metadata"), "generation", 0);
}
