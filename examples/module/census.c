/*
 * census - a whole module in one page: counts the objects of one resource and logs the number
 * when it changes. It shows the one pattern every consumer of the cache follows: a note only wakes,
 * the journal tells what happened, and who fell behind starts again from a snapshot.
 */
#include <errno.h>
#include <stdlib.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/module.h>

struct census {
	const struct orlop_host *h;
	struct orlop_resource *res;
	uint64_t cursor;
	int64_t count;
};

/* Begin again from all there is: the count and the revision to go on from. */
static void census_take(struct census *c)
{
	struct orlop_snapshot *snap;

	if (c->h->snapshot_open(c->res, &snap) < 0)
		return;
	c->count = (int64_t)c->h->snapshot_count(snap);
	c->cursor = c->h->snapshot_rev(snap);
	c->h->snapshot_close(snap);
}

/* The resource moved. Maybe much, maybe not at all, maybe we are told twice: the journal knows. */
static void census_note(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct census *c = arg;
	struct orlop_change changes[64];
	int64_t before = c->count;
	int32_t n;

	(void)rev;
	while ((n = c->h->journal_read(res, &c->cursor, changes, 64)) > 0)
		for (int32_t i = 0; i < n; i++) {
			c->count += changes[i].type == ORLOP_CHANGE_ADDED;
			c->count -= changes[i].type == ORLOP_CHANGE_DELETED;
			c->h->object_unref(changes[i].object);
			c->h->object_unref(changes[i].prev);
		}
	if (n < 0)
		census_take(c);
	if (c->count != before)
		OLOG(c->h, INFO, "census", "resource=%s count=%lld", c->h->param(c->h, "resource"),
		     (long long)c->count);
}

static int census_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct census *c = calloc(1, sizeof(*c));

	if (!c)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	c->h = h;
	*ret_ctx = c;
	return 0;
}

static int census_start(void *ctx, struct orlop_error *err)
{
	struct census *c = ctx;
	int r = c->h->resource_open(c->h, c->h->param(c->h, "resource"), &c->res, err);

	if (r < 0)
		return r;
	census_take(c);
	c->h->resource_watch(c->res, census_note, c);
	c->h->ready(c->h);
	return 0;
}

static int census_stop(void *ctx, struct orlop_error *err)
{
	struct census *c = ctx;

	(void)err;
	c->h->resource_close(c->res);
	c->res = NULL;
	return 0;
}

static void census_fini(void *ctx)
{
	free(ctx);
}

static const struct orlop_param params[] = {
	{ .name = "resource", .type = ORLOP_PARAM_STRING, .def = "pods", .help = "what to count" },
};

ORLOP_MODULE("census", "controllers", "0.1",
	"license=Apache-2.0\0reads=*\0asks=\0user=system:serviceaccount:kube-system:census",
	.summary = "counts objects",
	.license = "Apache-2.0",
	.flags = ORLOP_MOD_UNLOADABLE,
	.n_params = 1, .params = params,
	.init = census_init, .start = census_start, .stop = census_stop, .fini = census_fini);
