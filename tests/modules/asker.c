/*
 * asker.c - asks "echo" as fast as it answers, for benchmarks of the bus: op 1 with N (1), CLIENTS (2) at a time and
 * BYTES (3) of message each, answers {"per_second","p50_us","p99_us","failed"} as TEXT (4).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

struct asker {
	const struct orlop_host *h;
};

struct round;

struct one {
	struct round	*r;
	uint64_t	t0;
};

struct round {
	struct asker	*a;
	struct orlop_call *call;
	uint64_t	n;
	uint64_t	sent;
	uint64_t	done;
	uint64_t	failed;
	uint64_t	t0;
	uint64_t	*ns;
	struct one	*ones;
	char		*body;
	size_t		len;
};

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void round_end(struct round *r)
{
	const struct orlop_host *h = r->a->h;
	double s = (double)(h->now_mono(h) - r->t0) / 1e9;
	struct orlop_msgw w;
	struct orlop_msg msg;
	char text[256];

	qsort(r->ns, r->done, sizeof(*r->ns), by_size);
	(void)snprintf(text, sizeof(text), "{\"per_second\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"failed\":%llu}", (double)r->done / s,
		       (double)r->ns[r->done / 2] / 1e3, (double)r->ns[r->done * 99 / 100] / 1e3, (unsigned long long)r->failed);
	orlop_msgw_init(&w, h);
	orlop_msgw_str(&w, 4, text);
	msg = orlop_msgw_msg(&w);
	h->call_done(r->call, 0, &msg, NULL);
	orlop_msgw_done(&w);
	free(r->ns);
	free(r->ones);
	free(r->body);
	free(r);
}

static void ask(struct one *o);

static void answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err, uint32_t flags)
{
	struct one *o = arg;
	struct round *r = o->r;

	(void)err;
	(void)flags;
	r->failed += status < 0 || msg->body.len != r->len;
	r->ns[r->done++] = r->a->h->now_mono(r->a->h) - o->t0;
	if (r->sent < r->n)
		ask(o);
	else if (r->done == r->n)
		round_end(r);
}

static void ask(struct one *o)
{
	struct round *r = o->r;
	struct orlop_send send = { .size = sizeof(send), .op = 1, .to = "echo" };

	send.msg.size = sizeof(send.msg);
	send.msg.body = (struct orlop_bytes){ r->body, r->len };
	o->t0 = r->a->h->now_mono(r->a->h);
	r->sent++;
	if (r->a->h->request(r->a->h, &send, answered, o, NULL) < 0)
		abort();
}

static int op_ask(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	uint64_t clients = orlop_msg_u64(&req->msg, 2, 1);
	struct round *r = calloc(1, sizeof(*r));

	if (!r)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	r->a = ctx;
	r->call = call;
	r->n = orlop_msg_u64(&req->msg, 1, 1000);
	r->len = (size_t)(orlop_msg_u64(&req->msg, 3, 64) + 7) / 8 * 8;
	r->ns = calloc(r->n, sizeof(*r->ns));
	r->ones = calloc(clients, sizeof(*r->ones));
	r->body = calloc(1, r->len);
	if (!r->ns || !r->ones || !r->body || !clients || clients > r->n) {
		free(r->ns);
		free(r->ones);
		free(r->body);
		free(r);
		return orlop_fail(err, EINVAL, 0, "", "wrong numbers");
	}
	if (r->len >= 8) {	/* one field of bytes over the whole length */
		const uint32_t head[2] = { 7 | ORLOP_T_BYTES << 16, (uint32_t)r->len - 8 };

		memcpy(r->body, head, sizeof(head));
	}
	r->t0 = r->a->h->now_mono(r->a->h);
	for (uint64_t i = 0; i < clients; i++) {
		r->ones[i].r = r;
		ask(&r->ones[i]);
	}
	return 0;
}

static int asker_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct asker *a = calloc(1, sizeof(*a));

	if (!a)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	a->h = h;
	*ret_ctx = a;
	return 0;
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[2];
} asker_ops = { .size = sizeof(asker_ops), .op = { NULL, op_ask } };

ORLOP_MODULE("asker", "bench", "0.1", "needs=echo\0user=test:asker", .license = "Apache-2.0", .init = asker_init, .fini = free,
	.ops = &asker_ops);
