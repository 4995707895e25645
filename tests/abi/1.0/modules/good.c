/*
 * good.c - a module that does what it should: answers now, later, from a worker; holds one of each
 * thing that a host gives and returns it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

struct good {
	const struct orlop_host *h;
	struct orlop_timer *timer;
	struct orlop_fdwatch *watch;
	int		pipe[2];
	void		*thread;
	uint64_t	answered;
};

struct later {
	struct good	*g;
	struct orlop_call *call;
	struct orlop_timer *timer;
};

/* 1: the same bytes back. */
static int op_echo(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		   struct orlop_error *err)
{
	struct good *g = ctx;

	(void)err;
	g->answered++;
	g->h->call_done(call, 0, &req->msg, NULL);
	return 0;
}

static void later_due(void *arg)
{
	struct later *l = arg;

	l->g->h->timer_free(l->timer);
	l->g->h->call_done(l->call, 0, NULL, NULL);
	free(l);
}

/* 2: an empty answer in 20 ms. */
static int op_later(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		    struct orlop_error *err)
{
	struct good *g = ctx;
	struct later *l = calloc(1, sizeof(*l));

	(void)req;
	if (!l || g->h->timer_new(g->h, later_due, l, &l->timer)) {
		free(l);
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	}
	l->g = g;
	l->call = call;
	g->h->timer_set(l->timer, 20000000, 0);
	return 0;
}

static void work_run(void *arg)
{
	struct later *l = arg;

	l->g->h->call_done(l->call, 0, NULL, NULL);
}

/* 3: answered from a worker. */
static int op_work(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		   struct orlop_error *err)
{
	struct good *g = ctx;
	struct later *l = calloc(1, sizeof(*l));

	(void)req;
	if (!l)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	l->g = g;
	l->call = call;
	if (g->h->work(g->h, 7, work_run, free, l)) {
		free(l);
		return orlop_fail(err, ENOMEM, 0, "", "no worker");
	}
	return 0;
}

/* 4: refused in words. */
static int op_refuse(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		     struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	return orlop_fail(err, ENOENT, 404, "NotFound", "thing \"x\" not found");
}

static void readable(void *arg, int32_t fd, uint32_t events)
{
	struct good *g = arg;
	char c;

	(void)events;
	if (read(fd, &c, 1) == 1)
		g->h->ready(g->h);
}

static void tick(void *arg)
{
	(void)arg;
}

static void thread_run(void *arg)
{
	struct good *g = arg;
	char c = 'r';

	/* The module is ready when its thread has said so; a write that failed once is asked again. */
	for (int i = 0; i < 3; i++)
		if (write(g->pipe[1], &c, 1) == 1)
			return;
	abort();
}

static int good_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct good *g = calloc(1, sizeof(*g));

	if (!g)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	g->h = h;
	if (pipe2(g->pipe, 02000000 | 04000) < 0) {
		free(g);
		return orlop_fail(err, errno, 0, "", "no pipe");
	}
	*ret_ctx = g;
	OLOG(h, DEBUG, "init", "text=%s number=%lld flag=%d", h->param(h, "text"),
	     (long long)h->param_int(h, "number"), h->param_bool(h, "flag"));
	return 0;
}

static int good_start(void *ctx, struct orlop_error *err)
{
	struct good *g = ctx;
	const struct orlop_host *h = g->h;

	if (h->timer_new(h, tick, g, &g->timer) ||
	    h->fd_watch(h, g->pipe[0], ORLOP_FD_READ, readable, g, &g->watch) ||
	    h->thread_start(h, "good", thread_run, g, &g->thread))
		return orlop_fail(err, ENOMEM, 0, "", "cannot start");
	h->timer_set(g->timer, 1000000, 1000000);
	return 0;
}

static int good_stop(void *ctx, struct orlop_error *err)
{
	struct good *g = ctx;

	(void)err;
	g->h->timer_free(g->timer);
	g->timer = NULL;
	g->h->fd_unwatch(g->watch);
	g->watch = NULL;
	g->h->thread_join(g->h, g->thread);
	g->thread = NULL;
	return 0;
}

static void good_fini(void *ctx)
{
	struct good *g = ctx;

	close(g->pipe[0]);
	close(g->pipe[1]);
	free(g);
}

static int good_stats(void *ctx, char *buf, size_t size)
{
	struct good *g = ctx;

	return snprintf(buf, size, "{\"answered\":%llu}", (unsigned long long)g->answered) < (int)size ? 0 : -1;
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[5];
} good_ops = { sizeof(good_ops), 0, { NULL, op_echo, op_later, op_work, op_refuse } };

static const struct orlop_param good_params[] = {
	{ "text", ORLOP_PARAM_STRING, 0, "hello", "a text" },
	{ "number", ORLOP_PARAM_INT, 0, "42", "a number" },
	{ "flag", ORLOP_PARAM_BOOL, 0, "false", "a flag" },
};

ORLOP_MODULE("good", "test", "1.2", "provides=echo,test.echo\0user=test:good\0license=Apache-2.0",
	.license = "Apache-2.0",
	.summary = "does what it should",
	.flags = ORLOP_MOD_UNLOADABLE,
	.n_params = 3,
	.params = good_params,
	.ops = &good_ops,
	.init = good_init,
	.start = good_start,
	.stop = good_stop,
	.fini = good_fini,
	.stats = good_stats);
