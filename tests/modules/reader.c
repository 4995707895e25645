/*
 * reader.c - a module that reads a slice of one resource: for who feeds it.
 *
 * op 1: what it sees, "REVISION NAME…", as soon as that is anything. op 2: names of what has changed since it was
 * last asked (since the revision it is given, at first): "+NAME =NAME -NAME".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/host.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

struct reader {
	const struct orlop_host *h;
	struct orlop_resource *res;
	uint64_t	cursor;
};

static void answer(struct reader *d, struct orlop_call *call, const char *text)
{
	struct orlop_msgw w;
	struct orlop_msg msg;

	orlop_msgw_init(&w, d->h);
	orlop_msgw_str(&w, 1, text);
	msg = orlop_msgw_msg(&w);
	d->h->call_done(call, 0, &msg, NULL);
	orlop_msgw_done(&w);
}

static int op_see(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct reader *d = ctx;
	struct orlop_snapshot *s;
	struct orlop_object *o;
	struct orlop_iter *it;
	char text[500];
	size_t at;
	int r = d->h->snapshot_open(d->res, &s);

	(void)req;
	(void)err;
	if (r)
		return r;
	at = (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)d->h->snapshot_rev(s));
	if (d->h->iter_open(s, NULL, &it) == 0) {
		while ((o = d->h->iter_next(it)) && at < 400)
			at += (size_t)snprintf(text + at, sizeof(text) - at, " %.*s", (int)o->name.len, o->name.p);
		d->h->iter_close(it);
	}
	d->h->snapshot_close(s);
	answer(d, call, text);
	return 0;
}

static int op_changes(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct reader *d = ctx;
	struct orlop_change v[32];
	struct orlop_bytes from = orlop_msg_bytes(d->h, &req->msg, 1);
	char text[500] = "";
	size_t at = 0;
	int32_t n;

	(void)err;
	if (from.len)
		d->cursor = strtoull(from.p, NULL, 10);
	n = d->h->journal_read(d->res, &d->cursor, v, 32);
	if (n < 0)
		return n;
	for (int32_t i = 0; i < n; i++) {
		if (at < 400)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%c%.*s", at ? " " : "", " +=-"[v[i].type],
					       (int)v[i].object->name.len, v[i].object->name.p);
		d->h->object_unref(v[i].object);
		d->h->object_unref(v[i].prev);
	}
	answer(d, call, text);
	return 0;
}

static int reader_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct reader *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -12;
	d->h = h;
	r = h->resource_open(h, "things", &d->res, err);
	if (r) {
		free(d);
		return r;
	}
	*ret_ctx = d;
	return 0;
}

static int reader_start(void *ctx, struct orlop_error *err)
{
	struct reader *d = ctx;

	(void)err;
	d->h->ready(d->h);
	return 0;
}

static void reader_fini(void *ctx)
{
	struct reader *d = ctx;

	d->h->resource_close(d->res);
	free(d);
}

static const struct orlop_param reader_params[] = {
	{ "ns", ORLOP_PARAM_STRING, 0, "", "namespace that it reads; empty: all" },
};

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[3];
} ops = { sizeof(ops), 0, { NULL, op_see, op_changes } };

ORLOP_MODULE("reader", "test", "0.1", "reads=things;namespace=$ns",
	.flags = ORLOP_MOD_UNLOADABLE, .init = reader_init, .start = reader_start, .fini = reader_fini,
	.ops = (const struct orlop_ops *)(const void *)&ops, .params = reader_params, .n_params = 1);
