/* streamer.c - a module that answers with as many parts as it is let: for tests of back-pressure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

struct streamer {
	const struct orlop_host *h;
	uint64_t	heard;
};

struct stream {
	const struct orlop_host *h;
	struct orlop_call *call;
	struct orlop_blob *blob;	/* of each part, or NULL */
	uint64_t	n;
	uint64_t	next;
};

static void stream_run(void *arg)
{
	struct stream *s = arg;
	int r = 0;

	while (s->next < s->n) {
		struct orlop_msg m = { .size = sizeof(m), .body = { (const char *)&s->next, sizeof(s->next) },
				       .n_blobs = s->blob ? 1 : 0, .blobs = &s->blob };

		r = s->h->call_emit(s->call, &m);
		if (r == -EAGAIN)
			return;		/* on_writable */
		if (r)
			break;
		s->next++;
	}
	s->h->call_done(s->call, r, NULL, NULL);
	s->h->blob_unref(s->blob);
	free(s);
}

/* 1: u64 parts, u64 bytes of a blob with each. */
static int op_stream(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	const struct orlop_host *h = ((struct streamer *)ctx)->h;
	struct stream *s = calloc(1, sizeof(*s));
	uint64_t v[2];

	if (!s || req->msg.body.len != sizeof(v)) {
		free(s);
		return orlop_fail(err, EINVAL, 0, "", "two numbers");
	}
	memcpy(v, req->msg.body.p, sizeof(v));
	s->h = h;
	s->call = call;
	s->n = v[0];
	if (v[1]) {
		void *p = calloc(1, v[1]);

		if (!p || h->blob_take(h, p, v[1], &s->blob)) {
			free(s);
			return orlop_fail(err, ENOMEM, 0, "", "no blob");
		}
	}
	h->call_on_writable(call, stream_run, s);
	stream_run(s);
	return 0;
}

static int streamer_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct streamer *s = calloc(1, sizeof(*s));

	if (!s)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	s->h = h;
	*ret_ctx = s;
	return 0;
}

static void streamer_fini(void *ctx)
{
	free(ctx);
}

static void heard(void *arg, const struct orlop_msg *msg)
{
	struct streamer *s = arg;

	s->heard += msg->body.len == 4 && memcmp(msg->body.p, "news", 4) == 0;
}

/* 2: publishes. */
static int op_publish(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct streamer *s = ctx;

	(void)req;
	(void)err;
	s->h->call_done(call, s->h->publish(s->h, "streamer/news",
					    &(struct orlop_msg){ .size = sizeof(struct orlop_msg), .body = { "news", 4 } }),
			NULL, NULL);
	return 0;
}

/* 3: how often it has heard of it, as status. */
static int op_heard(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct streamer *s = ctx;

	(void)req;
	(void)err;
	s->h->call_done(call, (int32_t)s->heard, NULL, NULL);
	return 0;
}

static int streamer_start(void *ctx, struct orlop_error *err)
{
	struct streamer *s = ctx;
	int r = s->h->subscribe(s->h, "streamer/news", heard, s);

	if (r)
		return orlop_fail(err, -r, 0, "", "cannot subscribe");
	s->h->ready(s->h);
	return 0;
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[4];
} streamer_ops = { sizeof(streamer_ops), 0, { NULL, op_stream, op_publish, op_heard } };

ORLOP_MODULE("streamer", "test", "1.0", "",
	.flags = ORLOP_MOD_UNLOADABLE,
	.summary = "answers in parts",
	.init = streamer_init,
	.start = streamer_start,
	.fini = streamer_fini,
	.ops = &streamer_ops);
