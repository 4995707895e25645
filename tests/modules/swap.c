/*
 * swap.c - a module to be replaced: it says who it is, and fails or refuses where its parameters say.
 *
 * exclusive.c and poorer.c are made from it.
 */
#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#ifndef SWAP_NAME
#define SWAP_NAME	"swap"
#define SWAP_FLAGS	ORLOP_MOD_UNLOADABLE
#define SWAP_EXTRA	"provides=echo"
#endif

struct swap {
	const struct orlop_host *h;
	struct orlop_listener *listener;
	struct orlop_lead *lead;
	struct orlop_timer *ready;
	int		lock;
	int		stopped;
	int		leads;
	int		said;		/* how often the revision was asked for since stop() */
	int64_t		rev;
	int64_t		streams;
	int64_t		applied;	/* how often a parameter was applied */
};

static int fails(struct swap *s, const char *where)
{
	return strcmp(s->h->param(s->h, "fail"), where) == 0;
}

static void answer(struct swap *s, struct orlop_call *call, const char *text)
{
	struct orlop_msgw w;
	struct orlop_msg m;

	orlop_msgw_init(&w, s->h);
	orlop_msgw_str(&w, 1, text);
	m = orlop_msgw_msg(&w);
	s->h->call_done(call, 0, &m, NULL);
	orlop_msgw_done(&w);
}

/* 1: its tag. */
static int op_who(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct swap *s = ctx;

	(void)req;
	(void)err;
	answer(s, call, s->h->param(s->h, "tag"));
	return 0;
}

struct later {
	struct swap	*s;
	struct orlop_call *call;
	struct orlop_timer *timer;
};

static void later_fire(void *arg)
{
	struct later *l = arg;

	answer(l->s, l->call, l->s->h->param(l->s->h, "tag"));
	l->s->h->timer_free(l->timer);
	free(l);
}

/* 2: its tag, after delay_ms. */
static int op_later(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct swap *s = ctx;
	struct later *l = calloc(1, sizeof(*l));

	(void)req;
	(void)err;
	if (!l)
		return -ENOMEM;
	l->s = s;
	l->call = call;
	if (s->h->timer_new(s->h, later_fire, l, &l->timer)) {
		free(l);
		return -ENOMEM;
	}
	s->h->timer_set(l->timer, (uint64_t)s->h->param_int(s->h, "delay_ms") * 1000000 + 1, 0);
	return 0;
}

/* 3: one stream less. */
static int op_stream_end(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct swap *s = ctx;

	(void)req;
	(void)err;
	s->streams--;
	answer(s, call, "");
	return 0;
}

/* 4: writes: the revision grows. */
static int op_write(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct swap *s = ctx;

	(void)req;
	(void)err;
	s->rev++;
	answer(s, call, "");
	return 0;
}

static void nothing(void *arg)
{
	(void)arg;
}

/* 5: a job that hangs as long as somebody else holds the lock's file by fcntl(2), of which nobody waits for the end. */
static void hang(void *arg)
{
	struct swap *s = arg;
	struct flock fl = { .l_type = F_WRLCK };

	while (fcntl(s->lock, F_OFD_SETLKW, &fl) < 0 && errno == EINTR)
		;
}

static int op_hang(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct swap *s = ctx;
	int r = s->h->work(s->h, 0, hang, nothing, s);

	(void)req;
	(void)err;
	if (r)
		return r;
	answer(s, call, "");
	return 0;
}

static void accepted(void *arg, int32_t fd, const char *peer)
{
	struct swap *s = arg;
	const char *tag = s->h->param(s->h, "tag");

	(void)peer;
	(void)!write(fd, tag, strlen(tag));
	close(fd);
}

static void led(void *arg, int32_t gained, uint64_t token)
{
	struct swap *s = arg;

	(void)token;
	s->leads = gained;
}

/* 6: "leads", or not. */
static int op_leads(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct swap *s = ctx;

	(void)req;
	(void)err;
	answer(s, call, s->leads ? "leads" : "waits");
	return 0;
}

/* The lock is the proof that two are never open. The revision is what the file holds. */
static int lock_take(struct swap *s, struct orlop_error *err)
{
	const char *path = s->h->param(s->h, "lock");
	char buf[32] = "";

	s->lock = -1;
	if (!path[0])
		return 0;
	s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock < 0)
		return orlop_fail(err, errno, 0, "", "open %s", path);
	if (flock(s->lock, LOCK_EX | LOCK_NB))
		return orlop_fail(err, EBUSY, 0, "", "%s is in use", path);
	if (pread(s->lock, buf, sizeof(buf) - 1, 0) > 0)
		s->rev = atoll(buf);
	return 0;
}

static void lock_drop(struct swap *s)
{
	char buf[32];
	int n = snprintf(buf, sizeof(buf), "%lld\n", (long long)s->rev);

	if (s->lock < 0)
		return;
	(void)!pwrite(s->lock, buf, (size_t)n, 0);
	close(s->lock);
}

static int swap_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct swap *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	s->h = h;
	s->rev = h->param_int(h, "revision");
	s->streams = h->param_int(h, "streams");
	r = lock_take(s, err);
	if (r == 0 && fails(s, "init"))
		r = orlop_fail(err, EIO, 0, "", "init fails on purpose");
	if (r) {
		lock_drop(s);
		free(s);
		return r;
	}
	*ret_ctx = s;
	return 0;
}

static void ready(void *arg)
{
	struct swap *s = arg;

	s->h->ready(s->h);
	/* Ready, and then it is not after all. */
	if (fails(s, "late"))
		s->h->fail(s->h, "fails when it was ready");
}

static int swap_start(void *ctx, struct orlop_error *err)
{
	struct swap *s = ctx;
	const char *addr = s->h->param(s->h, "listen");

	if (fails(s, "start"))
		return orlop_fail(err, EIO, 0, "", "start fails on purpose");
	if (addr[0] && s->h->listen(s->h, addr, accepted, s, &s->listener, err))
		return -EIO;
	if (s->h->lead(s->h, "test/swap", led, s, &s->lead))
		return -ENOMEM;
	if (fails(s, "never"))
		return 0;
	if (s->h->timer_new(s->h, ready, s, &s->ready))
		return -ENOMEM;
	s->h->timer_set(s->ready, 1000000, 0);
	return 0;
}

static int swap_stop(void *ctx, struct orlop_error *err)
{
	struct swap *s = ctx;

	if (fails(s, "stop"))
		return orlop_fail(err, EBUSY, 0, "", "three pods are running");
	s->stopped = 1;
	s->h->listener_close(s->listener);
	s->listener = NULL;
	s->h->lead_drop(s->lead);
	s->lead = NULL;
	return 0;
}

static void swap_fini(void *ctx)
{
	struct swap *s = ctx;

	s->h->timer_free(s->ready);
	s->h->listener_close(s->listener);
	s->h->lead_drop(s->lead);
	lock_drop(s);
	free(s);
}

static uint32_t swap_draining(void *ctx)
{
	struct swap *s = ctx;

	return s->streams > 0 ? (uint32_t)s->streams : 0;
}

static uint64_t swap_revision(void *ctx)
{
	struct swap *s = ctx;

	/* What was on its way when it was stopped is written too. */
	if (s->stopped && s->said++ && fails(s, "after"))
		return (uint64_t)s->rev + 1;
	return (uint64_t)s->rev;
}

static int swap_validate(void *ctx, const char *name, const char *value, struct orlop_error *err)
{
	(void)ctx;
	if (strcmp(name, "delay_ms") == 0 && atoll(value) > 10000)
		return orlop_fail(err, ERANGE, 0, "", "%s is more than ten seconds", value);
	if (strcmp(name, "tag") == 0 && !value[0])
		return -EINVAL;		/* no reason given */
	return 0;
}

static void swap_apply(void *ctx, const char *name, const char *value)
{
	struct swap *s = ctx;

	(void)name;
	(void)value;
	s->applied++;
}

static int swap_stats(void *ctx, char *buf, size_t size)
{
	struct swap *s = ctx;

	return snprintf(buf, size, "{\"applied\":%lld}", (long long)s->applied);
}

static const struct orlop_param params[] = {
	{ "tag", ORLOP_PARAM_STRING, ORLOP_PARAM_LIVE, "first", "what it says of itself" },
	{ "delay_ms", ORLOP_PARAM_INT, ORLOP_PARAM_LIVE, "0", "how late op 2 answers, ms" },
	{ "calm", ORLOP_PARAM_BOOL, ORLOP_PARAM_LIVE, "false", "nothing" },
	{ "fail", ORLOP_PARAM_STRING, 0, "", "init, start, never, late, stop: where it fails; after: it writes once more after stop()" },
	{ "lock", ORLOP_PARAM_STRING, 0, "", "a file that only one may hold" },
	{ "listen", ORLOP_PARAM_STRING, 0, "", "an address" },
	{ "revision", ORLOP_PARAM_INT, 0, "0", "how far its data is" },
	{ "streams", ORLOP_PARAM_INT, 0, "0", "streams that outlive stop" },
};

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[7];
} ops = {
	.size = sizeof(ops),
	.op = { NULL, op_who, op_later, op_stream_end, op_write, op_hang, op_leads },
};

ORLOP_MODULE(SWAP_NAME, "test", "1.0", SWAP_EXTRA,
	.summary = "to be replaced",
	.flags = SWAP_FLAGS,
	.ops = &ops,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.init = swap_init,
	.start = swap_start,
	.stop = swap_stop,
	.fini = swap_fini,
	.param_validate = swap_validate,
	.param_apply = swap_apply,
	.stats = swap_stats,
	.draining = swap_draining,
	.revision = swap_revision);
