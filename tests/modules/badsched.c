/*
 * badsched.c - a scheduler as it should not be: each pod it hears of goes to n1, whoever it is for and whatever
 * n1 can take. The contract of its class must say so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <orlop/api.h>
#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

struct badsched {
	const struct orlop_host *h;
	struct orlop_resource *pods;
};

static void answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err, uint32_t flags)
{
	(void)arg;
	(void)status;
	(void)msg;
	(void)err;
	(void)flags;
}

static void bind_it(struct badsched *b, const struct orlop_object *pod)
{
	static const char body[] = "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"target\":{\"kind\":\"Node\",\"name\":\"n1\"}}";
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_API_REQUEST, .to = "api" };
	struct orlop_msgw w;

	orlop_msgw_init(&w, b->h);
	orlop_msgw_str(&w, ORLOP_API_T_VERB, "create");
	orlop_msgw_str(&w, ORLOP_API_T_RESOURCE, "pods");
	orlop_msgw_str(&w, ORLOP_API_T_SUBRESOURCE, "binding");
	orlop_msgw_bytes(&w, ORLOP_API_T_NAMESPACE, pod->ns.p, pod->ns.len);
	orlop_msgw_bytes(&w, ORLOP_API_T_NAME, pod->name.p, pod->name.len);
	orlop_msgw_bytes(&w, ORLOP_API_T_BODY, body, sizeof(body) - 1);
	send.msg = orlop_msgw_msg(&w);
	if (!w.err)
		(void)b->h->request(b->h, &send, answered, NULL, NULL);
	orlop_msgw_done(&w);
}

static void woken(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct badsched *b = arg;
	struct orlop_snapshot *snap;
	struct orlop_iter *it;
	struct orlop_query all = { .size = sizeof(all) };
	struct orlop_object *pod;

	(void)rev;
	if (b->h->snapshot_open(res, &snap))
		return;
	if (b->h->iter_open(snap, &all, &it) == 0) {
		while ((pod = b->h->iter_next(it)))
			bind_it(b, pod);
		b->h->iter_close(it);
	}
	b->h->snapshot_close(snap);
}

static int bad_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct badsched *b = calloc(1, sizeof(*b));

	if (!b)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	b->h = h;
	*ret_ctx = b;
	return 0;
}

static int bad_start(void *ctx, struct orlop_error *err)
{
	struct badsched *b = ctx;
	int r = b->h->resource_open(b->h, "pods", &b->pods, err);

	if (r < 0)
		return r;
	b->h->resource_watch(b->pods, woken, b);
	b->h->ready(b->h);
	return 0;
}

static void bad_fini(void *ctx)
{
	struct badsched *b = ctx;

	b->h->resource_close(b->pods);
	free(b);
}

ORLOP_MODULE("badsched", "scheduler", "0.1", "needs=api\0reads=pods\0user=test:badsched",
	.license = "Apache-2.0",
	.init = bad_init, .start = bad_start, .fini = bad_fini);
