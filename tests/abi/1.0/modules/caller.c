/*
 * caller.c - needs "echo"; hands what it is asked on to it, and its answer back. Four shards if there
 * are as many loops: each counts itself in and out.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/module.h>

struct caller {
	const struct orlop_host *h;
	_Atomic int	shards;
};

struct asked {
	struct caller	*c;
	struct orlop_call *call;
};

static void replied(void *arg, int32_t status, const struct orlop_msg *msg,
		    const struct orlop_error *err, uint32_t flags)
{
	struct asked *a = arg;

	(void)flags;
	a->c->h->call_done(a->call, status, msg, err);
	free(a);
}

/* 1: what "echo" says. */
static int op_ask(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct caller *c = ctx;
	struct asked *a = calloc(1, sizeof(*a));
	struct orlop_send send = { .size = sizeof(send), .op = 1, .to = "echo", .msg = req->msg,
				   .trace = req->trace, .who = req->who };

	if (!a)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	a->c = c;
	a->call = call;
	if (c->h->request(c->h, &send, replied, a, NULL)) {
		free(a);
		return orlop_fail(err, EIO, 0, "", "cannot ask");
	}
	return 0;
}

static int caller_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct caller *c = calloc(1, sizeof(*c));

	if (!c)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	c->h = h;
	*ret_ctx = c;
	return 0;
}

static int caller_shard_init(void *ctx, uint32_t shard, const struct orlop_host *h, void **ret_shard,
			     struct orlop_error *err)
{
	struct caller *c = ctx;

	if (h->shard != shard || h->shard_host(h, 0) != c->h)
		return orlop_fail(err, EINVAL, 0, "", "shard %u has a wrong host", shard);
	*ret_shard = c;
	atomic_fetch_add(&c->shards, 1);
	return 0;
}

static int caller_start(void *ctx, struct orlop_error *err)
{
	struct caller *c = ctx;

	if (atomic_load(&c->shards) != (int)c->h->n_shards)
		return orlop_fail(err, EINVAL, 0, "", "start before all shards");
	c->h->ready(c->h);
	return 0;
}

static void caller_shard_fini(void *ctx, void *shard)
{
	struct caller *c = ctx;

	if (shard == c)
		atomic_fetch_sub(&c->shards, 1);
}

static void caller_fini(void *ctx)
{
	struct caller *c = ctx;

	if (atomic_load(&c->shards) != 0)
		abort();
	free(c);
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[2];
} caller_ops = { sizeof(caller_ops), 0, { NULL, op_ask } };

ORLOP_MODULE("caller", "test", "1.0", "needs=echo",
	.flags = ORLOP_MOD_UNLOADABLE,
	.shards = 4,
	.ops = &caller_ops,
	.init = caller_init,
	.shard_init = caller_shard_init,
	.start = caller_start,
	.shard_fini = caller_shard_fini,
	.fini = caller_fini);
