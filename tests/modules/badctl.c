/*
 * badctl.c - a controller as it should not be: it does not ask who leads, does not look at what is there, and
 * makes a pod whenever it is woken. The contract of its class must say so.
 */
#include <errno.h>
#include <stdlib.h>

#include <orlop/api.h>
#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

struct badctl {
	const struct orlop_host *h;
	struct orlop_resource *sets;
};

static void answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err, uint32_t flags)
{
	(void)arg;
	(void)status;
	(void)msg;
	(void)err;
	(void)flags;
}

static void woken(void *arg, struct orlop_resource *res, uint64_t rev)
{
	static const char pod[] = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"generateName\":\"bad-\",\"namespace\":\"default\"}}";
	struct badctl *b = arg;
	struct orlop_msgw w;
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_API_REQUEST, .to = "api" };

	(void)res;
	(void)rev;
	orlop_msgw_init(&w, b->h);
	orlop_msgw_str(&w, ORLOP_API_T_VERB, "create");
	orlop_msgw_str(&w, ORLOP_API_T_RESOURCE, "pods");
	orlop_msgw_str(&w, ORLOP_API_T_NAMESPACE, "default");
	orlop_msgw_bytes(&w, ORLOP_API_T_BODY, pod, sizeof(pod) - 1);
	send.msg = orlop_msgw_msg(&w);
	if (!w.err)
		(void)b->h->request(b->h, &send, answered, NULL, NULL);
	orlop_msgw_done(&w);
}

static int bad_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct badctl *b = calloc(1, sizeof(*b));

	if (!b)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	b->h = h;
	*ret_ctx = b;
	return 0;
}

static int bad_start(void *ctx, struct orlop_error *err)
{
	struct badctl *b = ctx;
	int r = b->h->resource_open(b->h, "replicasets.apps", &b->sets, err);

	if (r < 0)
		return r;
	b->h->resource_watch(b->sets, woken, b);
	b->h->ready(b->h);
	return 0;
}

static void bad_fini(void *ctx)
{
	free(ctx);		/* and leaves its handle */
}

ORLOP_MODULE("badctl", "controllers", "0.1", "needs=api\0reads=replicasets.apps\0user=test:badctl",
	.license = "Apache-2.0",
	.init = bad_init, .start = bad_start, .fini = bad_fini);
