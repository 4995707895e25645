/*
 * reserve - a scheduler plugin in one page: nodes that are reserved for a namespace by their label
 * example.org/reserved-for take only its pods, and its pods prefer them.
 *
 *	kubectl label node n1 example.org/reserved-for=payments
 *	orlop module load ./reserve.so          from now on the scheduler asks
 *
 * It looks labels up in the cache, whose index has them, so nothing is parsed and nothing is kept.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/scheduler-plugin.h>
#include <orlop/module.h>

static const char label[] = "example.org/reserved-for";

struct reserve {
	const struct orlop_host *h;
	struct orlop_resource *nodes;
	struct orlop_snapshot *now;	/* during a call */
};

static int same(struct orlop_bytes a, struct orlop_bytes b)
{
	return a.len == b.len && (!a.len || memcmp(a.p, b.p, a.len) == 0);
}

/* For whom the node is reserved; empty: nobody. */
static struct orlop_bytes owner(const struct reserve *r, struct orlop_bytes node)
{
	struct orlop_bytes none = { "", 0 }, key = { label, sizeof(label) - 1 };
	const struct orlop_object *o = r->h->snapshot_get(r->now, none, node);

	for (uint32_t i = 0; o && i < o->n_index && o->index[i].index == ORLOP_INDEX_LABELS; i++)
		if (same(o->index[i].key, key))
			return o->index[i].value;
	return none;
}

static int32_t judge(void *ctx, const struct orlop_pod *pod, struct orlop_bytes node, const char **why)
{
	struct orlop_bytes who = owner(ctx, node);

	if (!who.len)
		return 0;
	if (same(who, pod->ns))
		return ORLOP_SCHEDULER_PLUGIN_SCORE_MAX;
	*why = "node(s) were reserved for another namespace";
	return ORLOP_NEVER;
}

static int op_judge(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct reserve *r = ctx;
	int e = r->h->snapshot_open(r->nodes, &r->now);

	if (e)
		return orlop_fail(err, -e, 0, "", "reading nodes");
	e = orlop_judge(r->h, req, call, err, judge, r);
	r->h->snapshot_close(r->now);
	return e;
}

static int reserve_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct reserve *r = calloc(1, sizeof(*r));

	if (!r)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	r->h = h;
	*ret_ctx = r;
	return 0;
}

static int reserve_start(void *ctx, struct orlop_error *err)
{
	struct reserve *r = ctx;
	int e = r->h->resource_open(r->h, "nodes", &r->nodes, err);

	if (!e)
		r->h->ready(r->h);
	return e;
}

static int reserve_stop(void *ctx, struct orlop_error *err)
{
	struct reserve *r = ctx;

	(void)err;
	r->h->resource_close(r->nodes);
	r->nodes = NULL;
	return 0;
}

static void reserve_fini(void *ctx)
{
	free(ctx);
}

static void reserve_health(void *ctx, struct orlop_health *health)
{
	health->ok = ((struct reserve *)ctx)->nodes != NULL;
}

static const struct orlop_scheduler_plugin_ops ops = {
	.size = sizeof(ops),
	.judge = op_judge,
};

ORLOP_MODULE("reserve", "scheduler-plugin", "0.1", "license=Apache-2.0\0reads=nodes\0user=system:kube-scheduler",
	.summary = "nodes reserved for a namespace",
	.license = "Apache-2.0",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &ops,
	.init = reserve_init, .start = reserve_start, .stop = reserve_stop, .fini = reserve_fini,
	.health = reserve_health);
