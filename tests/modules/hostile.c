/*
 * hostile.c - does what modules should not, by the parameter `way` at its start and stop, and by op:
 * each has one end that is written down, and a test (tests/faults/hostile.py).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

struct hostile {
	const struct orlop_host *h;
	volatile int	spins;
	uint64_t	posts;
	uint64_t	asked;
	uint64_t	answered;
	uint64_t	refused;
};

static int way(const struct hostile *m, const char *what)
{
	return strcmp(m->h->param(m->h, "way"), what) == 0;
}

/* For ever, at full speed: nobody of this loop gets a turn. */
static void hang(struct hostile *m)
{
	for (;;)
		m->spins++;
}

static void nothing(void *arg)
{
	(void)arg;
}

static void fd_nothing(void *arg, int32_t fd, uint32_t events)
{
	(void)arg;
	(void)fd;
	(void)events;
}

/* 1: memory, descriptors, timers and watches that nobody will give back. */
static int op_leak(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct hostile *m = ctx;
	struct orlop_fdwatch *w;
	struct orlop_timer *t;
	char *p = malloc(65536);
	int fd[2];

	(void)req;
	if (p)
		memset(p, 1, 65536);
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) || m->h->timer_new(m->h, nothing, m, &t) ||
	    m->h->fd_watch(m->h, fd[0], ORLOP_FD_READ, fd_nothing, m, &w))
		return orlop_fail(err, EMFILE, 0, "", "no more");
	m->h->timer_set(t, 1000000, 1000000);
	m->h->call_done(call, 0, NULL, NULL);
	return 0;
}

/* 2: answers the same call twice. */
static int op_twice(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct hostile *m = ctx;

	(void)req;
	(void)err;
	m->h->call_done(call, 0, NULL, NULL);
	m->h->call_done(call, 0, NULL, NULL);
	return 0;
}

/* 3: never answers. */
static int op_never(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	return 0;
}

static void flooded(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err, uint32_t flags)
{
	struct hostile *m = arg;

	(void)msg;
	(void)err;
	(void)flags;
	if (status == 0)
		m->answered++;
	else
		m->refused++;
}

/* 4: a hundred thousand requests at once. */
static int op_flood(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct hostile *m = ctx;
	struct orlop_send send = { .size = sizeof(send), .op = 2, .to = "echo", .msg.size = sizeof(send.msg) };

	(void)req;
	(void)err;
	for (int i = 0; i < 100000; i++) {
		m->asked++;
		if (m->h->request(m->h, &send, flooded, m, NULL))
			m->refused++;
	}
	m->h->call_done(call, 0, NULL, NULL);
	return 0;
}

static void post_again(void *arg)
{
	struct hostile *m = arg;

	m->posts++;
	(void)m->h->post(m->h, post_again, m);
}

/* 5: posts itself for ever. */
static int op_post(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct hostile *m = ctx;

	(void)req;
	(void)err;
	for (int i = 0; i < 100; i++)
		(void)m->h->post(m->h, post_again, m);
	m->h->call_done(call, 0, NULL, NULL);
	return 0;
}

/* 6: an answer whose fields say that they are longer than it is, and an error without an end. */
static int op_lie(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct hostile *m = ctx;
	uint64_t what = orlop_msg_u64(&req->msg, 1, 0);
	uint32_t body[8] = { 1 | ORLOP_T_BYTES << 16, 0xfffffff0u, 2 | ORLOP_T_BLOB << 16, 8, 0xffffffffu, 0xffffffffu,
			     3 | ORLOP_T_MSG << 16, 0x7fffffffu };
	struct orlop_msg msg = { .size = sizeof(msg), .body = { (const char *)body, sizeof(body) } };
	struct orlop_error lie = ORLOP_ERROR_INIT;

	(void)err;
	if (what == 1) {
		memset(lie.msg, 'x', sizeof(lie.msg));
		memset(lie.reason, 'y', sizeof(lie.reason));
		lie.err = 123456;
		lie.http = 65535;
		m->h->call_done(call, -EIO, NULL, &lie);
	} else if (what == 2) {
		static const char big[ORLOP_MSG_MAX + 4096];

		msg.body.p = big;
		msg.body.len = sizeof(big);
		m->h->call_done(call, 0, &msg, NULL);
	} else {
		m->h->call_done(call, 12345, &msg, NULL);
	}
	return 0;
}

/* 7: hangs. */
static int op_hang(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)req;
	(void)call;
	(void)err;
	hang(ctx);
	return 0;
}

/* 8: returns an error that is none, and has answered before. */
static int op_both(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	return -99999;
}

static int hostile_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct hostile *m = calloc(1, sizeof(*m));

	if (!m)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	m->h = h;
	if (way(m, "hang-init"))
		hang(m);
	if (way(m, "crash-init"))
		abort();
	*ret_ctx = m;
	return 0;
}

static int hostile_start(void *ctx, struct orlop_error *err)
{
	struct hostile *m = ctx;

	(void)err;
	if (way(m, "hang-start"))
		hang(m);
	if (way(m, "never-ready"))
		return 0;
	m->h->ready(m->h);
	if (way(m, "ready-often"))
		for (int i = 0; i < 1000; i++)
			m->h->ready(m->h);
	return 0;
}

static int hostile_stop(void *ctx, struct orlop_error *err)
{
	struct hostile *m = ctx;

	if (way(m, "hang-stop"))
		hang(m);
	if (way(m, "refuse"))
		return orlop_fail(err, EBUSY, 0, "", "never");
	return 0;
}

static void hostile_fini(void *ctx)
{
	free(ctx);
}

static void hostile_health(void *ctx, struct orlop_health *health)
{
	struct hostile *m = ctx;

	health->ok = 77;
	if (way(m, "long-health"))
		memset(health->text, 'z', sizeof(health->text));
}

static int hostile_stats(void *ctx, char *buf, size_t size)
{
	struct hostile *m = ctx;

	if (way(m, "bad-stats")) {
		memset(buf, '{', size);		/* no JSON, no end */
		return 0;
	}
	return snprintf(buf, size, "{\"asked\":%llu,\"answered\":%llu,\"refused\":%llu,\"posts\":%llu}",
			(unsigned long long)m->asked, (unsigned long long)m->answered, (unsigned long long)m->refused,
			(unsigned long long)m->posts);
}

static const struct orlop_param hostile_params[] = {
	{ "way", ORLOP_PARAM_STRING, 0, "", "what it does wrong" },
};

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[9];
} hostile_ops = { sizeof(hostile_ops), 0, { NULL, op_leak, op_twice, op_never, op_flood, op_post, op_lie, op_hang, op_both } };

ORLOP_MODULE("hostile", "test", "0.1", "provides=hostile",
	.license = "Apache-2.0",
	.summary = "does what modules should not",
	.n_params = 1,
	.params = hostile_params,
	.ops = &hostile_ops,
	.init = hostile_init,
	.start = hostile_start,
	.stop = hostile_stop,
	.fini = hostile_fini,
	.health = hostile_health,
	.stats = hostile_stats);
