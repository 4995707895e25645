/*
 * kit.h - for tests of the core: turning loops until something is true, a core of one's own.
 */
#ifndef CORE_TEST_KIT_H
#define CORE_TEST_KIT_H

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/ofile.h"
#include "base/omem.h"
#include "base/otap.h"
#include "bus/bus.h"
#include "config.h"
#include "core.h"
#include "isolate_proxy.h"
#include "loader.h"
#include "log.h"

#define KIT_UNUSED __attribute__((unused))
#define KIT_SECOND UINT64_C(1000000000)

static void kit_nothing(void *arg)
{
	(void)arg;
}

/*
 * How long a test waits for what should be at once, less than the runner gives it: a machine may stand still for seconds,
 * and a test that hangs should say where.
 */
#define KIT_WAIT_NS	(40 * KIT_SECOND)
#define KIT_ASK_NS	(30 * KIT_SECOND)	/* a request; then its own end tells why */
#define KIT_START_NS	(20 * KIT_SECOND)	/* a module, to start, to stop or to turn its loops */

/* Turns @l until @cond; false after 40 s. A timer wakes it now and then, for what other threads do. */
#define kit_until(l, cond) (__extension__({ \
	uint64_t kit_end_ = core_now_mono() + KIT_WAIT_NS; \
	struct orlop_timer *kit_t_; \
	bool kit_ok_; \
	if (core_timer_new((l), NULL, kit_nothing, NULL, &kit_t_)) \
		otap_bail_out("no timer"); \
	core_timer_set(kit_t_, 1000000, 1000000); \
	while (!(kit_ok_ = (cond)) && core_now_mono() < kit_end_) \
		core_loop_turn((l), true); \
	core_timer_free(kit_t_); \
	kit_ok_; }))

/* What the libraries open once and keep, before descriptors are counted. */
static KIT_UNUSED void kit_settle(void)
{
	struct core_loop *l;

	/* With a thread: a sanitizer starts one of its own with the first. */
	if (core_loop_new(0, "settle", &l) == 0) {
		(void)core_loop_start(l);
		core_loop_free(l);
	}
}

static KIT_UNUSED int kit_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -1;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static KIT_UNUSED int kit_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = -2;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Waits until no more than @n are left: pthread_join() may return before the kernel has taken a thread out of /proc. */
static KIT_UNUSED bool kit_threads_end(int n)
{
	uint64_t end = core_now_mono() + KIT_WAIT_NS;

	while (kit_threads() > n && core_now_mono() < end)
		(void)usleep(1000);
	return kit_threads() <= n;
}

static KIT_UNUSED char *kit_module(const char *name, char *buf, size_t size)
{
	const char *dir = getenv("builddir");

	(void)snprintf(buf, size, "%s/tests/modules/%s.so", dir ? dir : ".", name);
	return buf;
}

static KIT_UNUSED struct core *kit_core(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_config *cfg;
	struct core *c;

	if (core_config_new(&cfg))
		otap_bail_out("no configuration");
	cfg->loops = 2;
	/* KIT_LOSS=20: the same tests over a bus that loses, doubles and reorders. */
	if (getenv("KIT_LOSS")) {
		cfg->loss_percent = (uint32_t)strtoul(getenv("KIT_LOSS"), NULL, 10);
		cfg->dup_percent = cfg->loss_percent / 2;
		cfg->reorder_percent = cfg->loss_percent / 2;
	}
	cfg->log_level = getenv("KIT_DEBUG") ? ORLOP_LOG_DEBUG : 0;
	cfg->start_timeout_ns = KIT_START_NS;
	if (core_new(cfg, &c, &err)) {
		diag("%s", err.msg);
		otap_bail_out("no core");
	}
	return c;
}

/* The end of a load or unload. */
struct kit_load {
	int		done;
	int		status;
	struct core_instance *inst;
	char		msg[512];
};

static KIT_UNUSED void kit_loaded(void *arg, int status, struct core_instance *inst,
				  const struct orlop_error *err)
{
	struct kit_load *l = arg;

	l->done++;
	l->status = status;
	l->inst = inst;
	(void)snprintf(l->msg, sizeof(l->msg), "%s", err ? err->msg : "");
}

/* Loads tests/modules/@name.so as instance @as, with one parameter unless @key is NULL; waits. */
static KIT_UNUSED int kit_load_as(struct core *c, const char *name, const char *as, const char *key,
				  const char *value, struct kit_load *l)
{
	struct core_config_module cm = { .module = NULL };
	struct orlop_error err = ORLOP_ERROR_INIT;
	char path[512];
	int r;

	memset(l, 0, sizeof(*l));
	cm.module = omem_strdup(strchr(name, '/') ? name : kit_module(name, path, sizeof(path)));
	cm.name = omem_strdup(as);
	if (key)
		(void)core_config_param_add(&cm, key, value, 0, 0);
	r = core_loader_load(c, &cm, kit_loaded, l, &err);
	core_config_module_done(&cm);
	if (r) {
		kit_loaded(l, r, NULL, &err);
		return r;
	}
	if (!kit_until(c->main, l->done))
		return -ETIMEDOUT;
	return l->status;
}

static KIT_UNUSED int kit_load(struct core *c, const char *name, struct kit_load *l)
{
	return kit_load_as(c, name, NULL, NULL, NULL, l);
}

static KIT_UNUSED int kit_unload(struct core *c, const char *name, struct kit_load *l)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r;

	memset(l, 0, sizeof(*l));
	r = core_loader_unload(c, name, kit_loaded, l, &err);
	if (r) {
		kit_loaded(l, r, NULL, &err);
		return r;
	}
	if (!kit_until(c->main, l->done))
		return -ETIMEDOUT;
	return l->status;
}

/* The instance that is starting and is not ready yet; NULL: none. */
static KIT_UNUSED struct core_instance *kit_starting(struct core *c)
{
	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

		if (inst->state == CORE_STARTING)
			return inst;
	}
	return NULL;
}

/* Its time is over, or begins anew. */
static KIT_UNUSED void kit_starting_left(struct core *c, uint64_t ns)
{
	core_timer_set(kit_starting(c)->job->deadline, ns, 0);
}

/* One request from the core's own link; the answer's first bytes field is in text. */
struct kit_reply {
	int		done;
	int		status;
	char		text[512];
};

static KIT_UNUSED void kit_replied(void *arg, int32_t status, const struct orlop_msg *msg,
				   const struct orlop_error *err, uint32_t flags)
{
	struct kit_reply *r = arg;
	struct orlop_msgr rd;

	(void)flags;
	r->done++;
	r->status = status;
	if (status < 0) {
		(void)snprintf(r->text, sizeof(r->text), "%s", err ? err->msg : "");
		return;
	}
	if (!msg)
		return;
	orlop_msgr_init(&rd, NULL, NULL, msg->body);
	if (orlop_msgr_next(&rd) && rd.type == ORLOP_T_BYTES)
		(void)snprintf(r->text, sizeof(r->text), "%.*s", (int)rd.bytes.len, rd.bytes.p);
}

static KIT_UNUSED int kit_ask(struct core *c, const char *to, uint32_t op, const char *text,
			      struct kit_reply *r)
{
	struct orlop_msgw w;
	struct orlop_send send = { .size = sizeof(send), .op = op, .to = to,
				   .timeout_ns = KIT_ASK_NS };

	memset(r, 0, sizeof(*r));
	orlop_msgw_init(&w, NULL);
	if (text)
		orlop_msgw_str(&w, 1, text);
	send.msg = orlop_msgw_msg(&w);
	r->status = core_link_request(c->self->shards[0].link, &send, kit_replied, r, NULL);
	orlop_msgw_done(&w);
	if (r->status)
		return r->status;
	if (!kit_until(c->main, r->done))
		return -ETIME;
	return r->status;
}

/* A new connection to the control socket; it does not block. */
static KIT_UNUSED int kit_dial(const struct core *c)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", c->config->control);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)))
		otap_bail_out("cannot connect");
	return fd;
}

/* The daemon that was built, for children. */
static KIT_UNUSED void kit_orlopd(char exe[PATH_MAX])
{
	const char *dir = getenv("builddir");
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/orlopd", dir ? dir : ".");
	if (!realpath(path, exe))
		otap_bail_out("no orlopd");
}

/* A core that can have isolated modules: children are @exe, their sockets in @dir. */
static KIT_UNUSED struct core *kit_iso_core(const char *dir, const char *exe)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_config *cfg;
	struct core *core;

	if (core_config_new(&cfg))
		otap_bail_out("no configuration");
	cfg->loops = 2;
	cfg->log_level = getenv("KIT_DEBUG") ? ORLOP_LOG_DEBUG : 0;
	cfg->start_timeout_ns = KIT_START_NS;
	cfg->stop_timeout_ns = KIT_START_NS;
	cfg->hang_timeout_ns = KIT_START_NS;
	cfg->data_dir = omem_strdup(dir);
	cfg->exe = omem_strdup(exe);
	if (core_new(cfg, &core, &err)) {
		diag("%s", err.msg);
		otap_bail_out("no core");
	}
	return core;
}

/* From now on a process that says nothing for so long hangs. As long as none shall, one that only stands still is not taken for it. */
static KIT_UNUSED void kit_hang_after(struct core *c, uint64_t ns)
{
	c->config->hang_timeout_ns = ns;
	c->isolates->look_ns = core_now_mono();
	c->isolates->armed_ns = 0;
	iso_asks_arm(c->isolates);
}

static KIT_UNUSED void kit_stopped(void *arg)
{
	*(int *)arg = 1;
}

static KIT_UNUSED bool kit_end(struct core *c)
{
	int stopped = 0;
	bool good;

	core_loader_stop_all(c, kit_stopped, &stopped);
	good = kit_until(c->main, stopped);
	core_free(c);
	return good;
}

#endif
