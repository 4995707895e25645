/*
 * crasher.c - a module that ends badly in every way, on request: for tests of isolation. It declares no
 * rights, and tells which it has.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>

struct crasher {
	const struct orlop_host *h;
	struct orlop_metric *echoes;
	struct orlop_metric *gauge;
	struct orlop_metric *sizes;
	struct orlop_lead *lead;
	struct orlop_call *waits;	/* for leadership */
	struct orlop_listener *listener;
	struct orlop_fdwatch *watch;
	int		watch_fd;
	int		refuse;
	char		text[64];
};

/* As a fault would; sanitizers have handlers of their own, which exit. */
static void crash(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)signal(SIGSEGV, SIG_DFL);
#endif
	raise(SIGSEGV);
}

static void answer(struct crasher *c, struct orlop_call *call, const char *text)
{
	struct orlop_msgw w;
	struct orlop_msg m;

	orlop_msgw_init(&w, c->h);
	orlop_msgw_str(&w, 1, text);
	m = orlop_msgw_msg(&w);
	c->h->call_done(call, 0, &m, NULL);
	orlop_msgw_done(&w);
}

/* 1: the same bytes back. */
static int op_echo(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct crasher *c = ctx;

	(void)err;
	c->h->metric_add(c->echoes, 1);
	c->h->metric_set(c->gauge, 7);
	c->h->metric_observe(c->sizes, (double)req->msg.body.len);
	c->h->call_done(call, 0, &req->msg, NULL);
	return 0;
}

/* 2: dies of a null pointer. 3: its loop hangs. 4: exits. 5: fail(). 7: never answers. */
static int op_die(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	crash();
	return 0;
}

static int op_hang(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	for (;;)
		pause();
	return 0;
}

static int op_exit(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	_exit(3);
}

static int op_fail(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct crasher *c = ctx;

	(void)req;
	(void)call;
	(void)err;
	c->h->fail(c->h, "had enough");
	return 0;
}

static int op_never(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	(void)ctx;
	(void)req;
	(void)call;
	(void)err;
	return 0;
}

static int can(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* 6: what it may do: a letter each. */
static int op_probe(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(9) };
	char text[32] = "";
	char *p = text;
	int fd;
	pid_t pid;
	int status = 1;

	(void)req;
	(void)err;
	*p++ = can(open("/etc/shadow", O_WRONLY | O_APPEND | O_CLOEXEC)) ? 'W' : '-';
	*p++ = can(open("/etc/shadow", O_RDONLY | O_CLOEXEC)) ? 'R' : '-';
	pid = vfork();
	if (pid == 0) {
		execl("/bin/true", "/bin/true", NULL);
		_exit(1);
	}
	*p++ = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 'X' : '-';
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*p++ = fd >= 0 && (connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0 || errno == ECONNREFUSED) ? 'C' : '-';
	if (fd >= 0)
		close(fd);
	*p++ = can(open("/tmp/orlop-crasher-was-here", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) ? 'T' : '-';
	*p++ = kill(getppid(), 0) == 0 ? 'K' : '-';
	*p++ = geteuid() == 0 ? '0' : 'n';
	*p = '\0';
	answer(ctx, call, text);
	return 0;
}

static void led(void *arg, int32_t gained, uint64_t token)
{
	struct crasher *c = arg;
	struct orlop_call *call = c->waits;
	char text[32];

	(void)snprintf(text, sizeof(text), "%d %llu", gained, (unsigned long long)token);
	c->waits = NULL;
	if (call)
		answer(c, call, text);
}

/* 8: competes for a name; answers when it has it. */
static int op_lead(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct crasher *c = ctx;

	(void)req;
	c->waits = call;
	if (c->h->lead(c->h, "chief", led, c, &c->lead))
		return orlop_fail(err, ENOMEM, 0, "", "no lead");
	return 0;
}

static void accepted(void *arg, int32_t fd, const char *peer)
{
	(void)arg;
	(void)peer;
	(void)!write(fd, "hello\n", 6);
	close(fd);
}

/* 9: a line of log; 10: 10,000 of them; 11: all metrics; 12: everybody's health; 13: listen at BODY. */
static int op_log(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct crasher *c = ctx;

	(void)err;
	for (int i = 0; i < (req->op == 10 ? 10000 : 1); i++)
		OLOG(c->h, INFO, "said", "number=%d", i);
	c->h->call_done(call, 0, NULL, NULL);
	return 0;
}

static int op_metrics(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct crasher *c = ctx;
	struct orlop_blob *b;
	char *text;

	(void)req;
	if (c->h->metrics_text(c->h, &b))
		return orlop_fail(err, ENOMEM, 0, "", "no metrics");
	text = calloc(1, c->h->blob_bytes(b).len + 1);
	if (text)
		memcpy(text, c->h->blob_bytes(b).p, c->h->blob_bytes(b).len);
	answer(c, call, text ? text : "");
	free(text);
	c->h->blob_unref(b);
	return 0;
}

static void put_health(void *arg, const char *instance, const struct orlop_health *health)
{
	char *text = arg;
	size_t n = strlen(text);

	(void)snprintf(text + n, 512 - n, "%s=%d ", instance, health->ok);
}

static int op_health(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct crasher *c = ctx;
	char text[512] = "";

	(void)req;
	(void)err;
	c->h->health_list(c->h, put_health, text);
	answer(c, call, text);
	return 0;
}

static int op_listen(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct crasher *c = ctx;
	struct orlop_bytes b = orlop_msg_bytes(c->h, &req->msg, 1);
	char addr[128];
	int r;

	(void)snprintf(addr, sizeof(addr), "%.*s", (int)b.len, b.p);
	r = c->h->listen(c->h, addr, accepted, c, &c->listener, err);
	if (r == 0)
		c->h->call_done(call, 0, NULL, NULL);
	return r;
}

/* 14: writes what nobody should to each descriptor that is a socket: its core's channel is among them. */
static int op_lie(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct crasher *c = ctx;
	char rubbish[64];

	(void)err;
	(void)call;
	memset(rubbish, 'x', sizeof(rubbish));
	if (req->key == 1)	/* a head that is right, a type that is none */
		memcpy(rubbish, "IOS1\1\0\377\177\0\0\0\0\0\0\0\0\40\0\0\0\0\0\0\0", 24);
	for (int fd = 3; fd < 64; fd++)
		(void)!send(fd, rubbish, req->key == 1 ? 24 + 32 : sizeof(rubbish), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)c;
	return 0;
}

static void nothing(void *arg, int32_t fd, uint32_t events)
{
	(void)arg;
	(void)fd;
	(void)events;
}

/* 15: watches files, no longer when it is asked again. */
static int op_watch(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct crasher *c = ctx;
	int r = 0;

	(void)req;
	if (c->watch) {
		c->h->fd_unwatch(c->watch);
		c->watch = NULL;
		close(c->watch_fd);
	} else {
		c->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (c->watch_fd < 0 || c->h->fd_watch(c->h, c->watch_fd, ORLOP_FD_READ, nothing, c, &c->watch))
			r = orlop_fail(err, EIO, 0, "", "no inotify");
	}
	if (r == 0)
		c->h->call_done(call, 0, NULL, NULL);
	return r;
}

static int crasher_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct crasher *c = calloc(1, sizeof(*c));
	const char *at = h->param(h, "at");
	static const double bounds[] = { 10, 1000 };

	if (!c)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	c->h = h;
	c->refuse = h->param_bool(h, "refuse");
	if (strcmp(at, "init") == 0)
		crash();
	if (strcmp(at, "refuse") == 0) {
		free(c);
		return orlop_fail(err, EBUSY, 0, "", "not today");
	}
	(void)h->metric_new(h, ORLOP_METRIC_COUNTER, "test_echoes_total", NULL, "Echoes", NULL, 0, &c->echoes);
	(void)h->metric_new(h, ORLOP_METRIC_GAUGE, "test_gauge", "a=\"b\"", "Gauge", NULL, 0, &c->gauge);
	(void)h->metric_new(h, ORLOP_METRIC_HISTOGRAM, "test_sizes", NULL, "Sizes", bounds, 2, &c->sizes);
	if (h->param(h, "listen")[0] && h->listen(h, h->param(h, "listen"), accepted, c, &c->listener, err)) {
		free(c);
		return -EIO;
	}
	*ret_ctx = c;
	return 0;
}

static int crasher_start(void *ctx, struct orlop_error *err)
{
	struct crasher *c = ctx;

	(void)err;
	if (strcmp(c->h->param(c->h, "at"), "start") == 0)
		crash();
	if (strcmp(c->h->param(c->h, "at"), "hang") == 0)
		for (;;)
			pause();
	c->h->ready(c->h);
	return 0;
}

static int crasher_stop(void *ctx, struct orlop_error *err)
{
	struct crasher *c = ctx;

	if (c->refuse-- > 0)
		return orlop_fail(err, EBUSY, 0, "", "still busy");
	if (strcmp(c->h->param(c->h, "at"), "hang-stop") == 0)
		for (;;)
			pause();
	if (strcmp(c->h->param(c->h, "at"), "stop") == 0)
		crash();
	c->h->lead_drop(c->lead);
	c->h->listener_close(c->listener);
	c->h->fd_unwatch(c->watch);
	c->watch = NULL;
	c->lead = NULL;
	c->listener = NULL;
	return 0;
}

static void crasher_fini(void *ctx)
{
	free(ctx);
}

static int crasher_validate(void *ctx, const char *name, const char *value, struct orlop_error *err)
{
	(void)ctx;
	(void)name;
	return strcmp(value, "no") == 0 ? orlop_fail(err, EINVAL, 0, "", "text may not be no") : 0;
}

static void crasher_apply(void *ctx, const char *name, const char *value)
{
	struct crasher *c = ctx;

	(void)name;
	(void)snprintf(c->text, sizeof(c->text), "%s", value);
}

static void crasher_health(void *ctx, struct orlop_health *health)
{
	struct crasher *c = ctx;

	(void)snprintf(health->text, sizeof(health->text), "text is %s", c->h->param(c->h, "text"));
}

static int crasher_stats(void *ctx, char *buf, size_t size)
{
	struct crasher *c = ctx;

	return snprintf(buf, size, "{\"text\":\"%s\"}", c->h->param(c->h, "text"));
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[16];
} crasher_ops = { sizeof(crasher_ops), 0, { NULL, op_echo, op_die, op_hang, op_exit, op_fail, op_probe, op_never,
					    op_lead, op_log, op_log, op_metrics, op_health, op_listen, op_lie, op_watch } };

static const struct orlop_param crasher_params[] = {
	{ "at", ORLOP_PARAM_STRING, 0, "", "where to crash by itself" },
	{ "text", ORLOP_PARAM_STRING, ORLOP_PARAM_LIVE, "hello", "a text" },
	{ "refuse", ORLOP_PARAM_BOOL, 0, "false", "stop() refuses once" },
	{ "listen", ORLOP_PARAM_STRING, 0, "", "an address" },
};

#ifndef CRASHER_NAME
#define CRASHER_NAME	"crasher"
#define CRASHER_RIGHTS	""
#endif

ORLOP_MODULE(CRASHER_NAME, "test", "1.0", CRASHER_RIGHTS,
	.flags = ORLOP_MOD_UNLOADABLE,
	.summary = "ends badly, on request",
	.n_params = 4,
	.params = crasher_params,
	.ops = &crasher_ops,
	.init = crasher_init,
	.start = crasher_start,
	.stop = crasher_stop,
	.fini = crasher_fini,
	.param_validate = crasher_validate,
	.param_apply = crasher_apply,
	.health = crasher_health,
	.stats = crasher_stats);
