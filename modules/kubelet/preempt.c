/*
 * preempt.c - whom a critical pod takes the place of, when this node has no room for it. Pure.
 *
 * Who is guaranteed least goes first, and of those who come nearest to what is missing.
 * Source: pkg/kubelet/preemption/preemption.go.
 */
#include "admit.h"

#include <string.h>

static int64_t asks(const struct ojson *pod, const struct lack *l)
{
	bool all;

	return !strcmp(l->name, "pods") ? 1 : pod_sum(pod, "requests", l->name, l->milli, &all);
}

/* Those with @pod gone. */
static void subtract(struct lack *v, const struct ojson *pod)
{
	for (size_t i = 0; i < N_LACKS; i++)
		if (v[i].name)
			v[i].by -= asks(pod, &v[i]);
}

static bool any_left(const struct lack *v)
{
	for (size_t i = 0; i < N_LACKS; i++)
		if (v[i].name && v[i].by > 0)
			return true;
	return false;
}

static void unmet(const struct lack *v, struct obuf *err)
{
	obuf_puts(err, "no set of running pods found to reclaim resources: [");
	for (size_t i = 0; i < N_LACKS; i++)
		if (v[i].name && v[i].by > 0)
			obuf_printf(err, "(res: %s, q: %lld), ", v[i].name, (long long)v[i].by);
	obuf_putc(err, ']');
}

/* How much of each would still be missing, as a part of it, squared. */
static double distance(const struct lack *v, const struct ojson *pod)
{
	double d = 0;

	for (size_t i = 0; i < N_LACKS; i++) {
		double rest;

		if (!v[i].name || v[i].by <= 0 || v[i].by <= asks(pod, &v[i]))
			continue;
		rest = (double)(v[i].by - asks(pod, &v[i])) / (double)v[i].by;
		d += rest * rest;
	}
	return d;
}

static bool is_smaller(const struct ojson *a, const struct ojson *b)
{
	static const struct lack by[] = { { "memory", false, 0 }, { "cpu", true, 0 } };

	for (size_t i = 0; i < 2; i++)
		if (asks(a, &by[i]) != asks(b, &by[i]))
			return asks(a, &by[i]) < asks(b, &by[i]);
	return true;
}

static bool may_go(const struct ojson *pod, const struct ojson *other)
{
	const struct ojson *p = OJSON_AT(pod, "spec", "priority");
	const struct ojson *o = OJSON_AT(other, "spec", "priority");

	if (pod_is_critical(pod) && !pod_is_critical(other))
		return true;
	return p && o && ojson_i64(p, 0) > ojson_i64(o, 0);
}

/* What is missing when all of these classes go, and all that were chosen. */
static void rest(const struct admission *a, const uint8_t *chosen, int classes, struct lack *v)
{
	memcpy(v, a->lacks, sizeof(a->lacks));
	for (size_t i = 0; i < a->n_others; i++)
		if (chosen[i] || (classes >> qos_class(a->others[i]) & 1 && may_go(a->pod, a->others[i])))
			subtract(v, a->others[i]);
}

static int choose_of(const struct admission *a, enum qos class, int also, uint8_t *chosen, struct obuf *err)
{
	struct lack v[N_LACKS];

	rest(a, chosen, also, v);
	while (any_left(v)) {
		double best_d = N_LACKS + 1;
		size_t best = a->n_others;

		for (size_t i = 0; i < a->n_others; i++) {
			double d;

			if (chosen[i] || qos_class(a->others[i]) != class || !may_go(a->pod, a->others[i]))
				continue;
			d = distance(v, a->others[i]);
			if (d > best_d || (best < a->n_others && d >= best_d && !is_smaller(a->others[i], a->others[best])))
				continue;
			best_d = d;
			best = i;
		}
		if (best == a->n_others) {
			unmet(v, err);
			return -1;
		}
		chosen[best] = 1;
		subtract(v, a->others[best]);
	}
	return 0;
}

int preempt_choose(const struct admission *a, uint8_t *chosen, struct obuf *err)
{
	struct lack v[N_LACKS];

	memset(chosen, 0, a->n_others);
	rest(a, chosen, 1 << QOS_BESTEFFORT | 1 << QOS_BURSTABLE | 1 << QOS_GUARANTEED, v);
	if (any_left(v)) {
		unmet(v, err);
		return -1;
	}
	if (choose_of(a, QOS_GUARANTEED, 1 << QOS_BESTEFFORT | 1 << QOS_BURSTABLE, chosen, err) ||
	    choose_of(a, QOS_BURSTABLE, 1 << QOS_BESTEFFORT, chosen, err))
		return -1;
	return choose_of(a, QOS_BESTEFFORT, 0, chosen, err);
}
