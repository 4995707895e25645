/*
 * rollout.c - a Deployment's controller keeps within maxUnavailable and maxSurge.
 *
 * Judged at each change of a ReplicaSet's spec.replicas, leniently where the controller cannot know better: a
 * pod counts as available if it was ready at any time within the last WINDOW_NS, and of the Deployment's
 * versions in that time the mildest counts. What a ReplicaSet holds of pods that are not available may be
 * cut at any time. While something is out of reach nothing is judged.
 */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The controller reads what a ReplicaSet's status says, which is behind the pods. So there are two counts, each wrong
 * on the side that blames nobody: what may be lost is what has been ready for KNOWN_NS without a break (a shorter time
 * blames a cut that was decided before the status said so), what stays is what was ready at any time in WINDOW_NS (in a
 * shorter one a status whose writing failed and was repeated may not have come through). Both are about pods, never
 * about bounds: these are the Deployment's own to the last pod.
 */
#define KNOWN_NS	SIM_S

struct bounds {
	int64_t		min_available;
	int64_t		max_total;
	bool		judged;
};

/* An int or percentage of spec.strategy.rollingUpdate. */
static int64_t scaled(const struct ojson *d, const char *key, int64_t replicas, bool up)
{
	const struct ojson *v = OJSON_AT(d, "spec", "strategy", "rollingUpdate", key);
	int64_t pct;

	if (!ojson_is(v, OJSON_STRING))
		return ojson_i64(v, 0);
	pct = strtoll(ojson_cstr(v, "0"), NULL, 10);
	return (pct * replicas + (up ? 99 : 0)) / 100;
}

static struct bounds bounds_of(struct cluster *c, const struct version *d)
{
	struct bounds b = { INT64_MAX, 0, true };
	int64_t replicas = -1;

	for (; d; d = d->prev) {
		int64_t n;
		int64_t surge;
		int64_t gone;

		/* with minReadySeconds being ready is not enough, and how long it was is not judged here */
		if (!d->obj || !version_alive(d) || cj_int(d->obj, "spec.minReadySeconds", 0) ||
		    strcmp(cj_text(d->obj, "spec.strategy.type"), "RollingUpdate")) {
			b.judged = false;
			break;
		}
		n = cj_int(d->obj, "spec.replicas", 1);
		/* being scaled, sets lose their share whatever is available, as upstream's do */
		b.judged &= replicas < 0 || replicas == n;
		replicas = n;
		surge = scaled(d->obj, "maxSurge", n, true);
		gone = scaled(d->obj, "maxUnavailable", n, false);
		if (!surge && !gone)
			gone = 1;
		if (n - gone < b.min_available)
			b.min_available = n - gone;
		if (n + surge > b.max_total)
			b.max_total = n + surge;
		if (d->at + WINDOW_NS < sim_now(c->w))
			break;
	}
	return b;
}

static const char *controller(const struct version *v)
{
	OJSON_FOREACH_ELEM(i, o, OJSON_AT(v->obj, "metadata", "ownerReferences")) {
		if (ojson_get_bool(o, "controller", false))
			return ojson_get_cstr(o, "uid", "");
	}
	return "";
}

struct survey {
	struct cluster	*c;
	const char	*owner;
	int64_t		lately;		/* ready at some time within WINDOW_NS */
	int64_t		held;		/* ready for KNOWN_NS and not being deleted: the controller knows */
};

static bool is_ready(const struct version *v)
{
	return v->obj && cj_condition(v->obj, "Ready", "True");
}

static bool is_held(const struct version *v, uint64_t now)
{
	const struct version *at = v;

	if (ojson_get(ojson_get(v->obj, "metadata"), "deletionTimestamp"))
		return false;
	while (at && is_ready(at) && at->at + KNOWN_NS > now)
		at = at->prev;
	return at && is_ready(at);
}

static void ready_count(void *arg, const struct version *v)
{
	struct survey *s = arg;
	uint64_t now = sim_now(s->c->w);
	const struct version *had = v->obj ? v : v->prev;
	const struct version *at;

	if (!had || !had->obj || strcmp(controller(had), s->owner))
		return;
	s->held += v->obj && is_held(v, now);
	for (at = v; at && !is_ready(at); at = at->prev) {
		if (at->at + WINDOW_NS < now)
			return;
	}
	s->lately += at != NULL;
}

struct sets {
	struct cluster	*c;
	const char	*owner;
	const struct version *changed;
	int64_t		before;		/* available that the sets hold */
	int64_t		after;
	int64_t		total;
};

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void set_count(void *arg, const struct version *v)
{
	struct sets *s = arg;
	struct survey ready = { .c = s->c, .owner = version_uid(v) };
	int64_t n = cj_int(v->obj, "spec.replicas", 1);

	if (strcmp(controller(v), s->owner))
		return;
	truth_each_ever(s->c, "pods", ready_count, &ready);
	s->total += n;
	s->after += least(n, ready.lately);
	if (v != s->changed)
		s->before += least(n, ready.lately);
	else
		s->before += least(cj_int(v->prev->obj, "spec.replicas", 1), ready.held);
}

void rollout_version(struct cluster *c, const struct version *v)
{
	struct sets s = { .c = c };
	const struct version *d;
	struct bounds b;
	int64_t was;
	int64_t is;

	if (strcmp(v->resource, "replicasets.apps") || !v->obj || cluster_murky(c))
		return;
	was = v->prev ? cj_int(v->prev->obj, "spec.replicas", 1) : 0;
	is = cj_int(v->obj, "spec.replicas", 1);
	if (was == is)
		return;
	s.owner = controller(v);
	d = *s.owner ? truth_uid(c, s.owner) : NULL;
	if (!d)
		return;
	b = bounds_of(c, d);
	if (!b.judged)
		return;
	if (v->prev)
		s.changed = v;
	truth_each(c, "replicasets.apps", set_count, &s);
	if (is < was && s.after < b.min_available && s.after < s.before)
		sim_fail(c->w, "below-availability", "%s goes from %lld to %lld at %llu: %lld of at least %lld stay available",
			 v->key, (long long)was, (long long)is, (unsigned long long)v->rev, (long long)s.after,
			 (long long)b.min_available);
	if (is > was && s.total > b.max_total)
		sim_fail(c->w, "too-many-replicas", "%s goes from %lld to %lld at %llu: %lld in all, at most %lld may be",
			 v->key, (long long)was, (long long)is, (unsigned long long)v->rev, (long long)s.total,
			 (long long)b.max_total);
}
