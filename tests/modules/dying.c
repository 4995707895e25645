/*
 * dying.c - dies in the way that is asked for: each op another one. For tests of crash reports and
 * of isolation.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/module.h>

struct dying {
	const struct orlop_host *h;
	pthread_mutex_t	lock;
};

/* A name to look for in a symbolized report. */
__attribute__((noinline)) static int dying_writes_null(volatile int *p)
{
	*p = 7;
	return *p;
}

/* 1: a write to address 0. */
static int op_segv(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	return dying_writes_null(NULL);
}

/* 2 */
static int op_abort(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	abort();
}

__attribute__((noinline)) static int dying_digs(volatile char *above, uint64_t depth)
{
	volatile char frame[512];

	frame[0] = above ? *above : 0;
	return depth == 0 ? 0 : dying_digs(frame, depth - 1) + frame[0];
}

/* 3: no stack is left. */
static int op_stack(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	return dying_digs(NULL, UINT64_MAX);
}

/* 4: a call of address 0. */
static int op_jump(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	int (*volatile nowhere)(void) = NULL;

	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	return nowhere() + 1;
}

static void work(void *arg)
{
	(void)arg;
	(void)dying_writes_null(NULL);
}

/* 5: on a worker thread. */
static int op_work(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct dying *c = ctx;

	(void)req;
	(void)call;
	return c->h->work(c->h, 0, work, NULL, c) ? orlop_fail(err, ENOMEM, 0, "", "no worker") : 0;
}

/* 6: while it holds a lock, with a heap that is broken. */
static int op_locked(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct dying *c = ctx;
	char *volatile p = malloc(64);
	char *volatile q = malloc(64);

	(void)req;
	(void)call;
	(void)err;
	pthread_mutex_lock(&c->lock);
	if (p)
		memset(p - 16, 0x55, 96);
	free(p);
	free(q);
	abort();	/* if the library has not noticed */
}

/* 7: behind the end of a file. */
static int op_bus(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	int fd = (int)memfd_create("short", MFD_CLOEXEC);
	volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	return p == MAP_FAILED ? -1 : p[0];
}

static void *both(void *arg)
{
	pthread_barrier_wait(arg);
	(void)dying_writes_null(NULL);
	return NULL;
}

/* 8: in two threads at once. */
static int op_two(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	pthread_barrier_t barrier;
	pthread_t t;

	(void)ctx;
	(void)req;
	(void)call;
	if (pthread_barrier_init(&barrier, NULL, 2) || pthread_create(&t, NULL, both, &barrier))
		return orlop_fail(err, EAGAIN, 0, "", "no thread");
	both(&barrier);
	return 0;
}

static int dying_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct dying *c = calloc(1, sizeof(*c));

	if (!c)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	c->h = h;
	pthread_mutex_init(&c->lock, NULL);
	*ret_ctx = c;
	return 0;
}

static int dying_start(void *ctx, struct orlop_error *err)
{
	struct dying *c = ctx;

	(void)err;
	c->h->ready(c->h);
	return 0;
}

static int dying_stop(void *ctx, struct orlop_error *err)
{
	(void)ctx;
	(void)err;
	return 0;
}

static void dying_fini(void *ctx)
{
	free(ctx);
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[9];
} dying_ops = { sizeof(dying_ops), 0, { NULL, op_segv, op_abort, op_stack, op_jump, op_work, op_locked, op_bus, op_two } };

ORLOP_MODULE("dying", "test", "0.1", "provides=crash",
	.license = "Apache-2.0",
	.summary = "dies as it is asked to",
	.ops = &dying_ops,
	.init = dying_init,
	.start = dying_start,
	.stop = dying_stop,
	.fini = dying_fini);
