/*
 * isolate.c - an instance whose module lives in a child: starting it, its steps, its end and the next.
 *
 * One child at a time. Whatever goes wrong with it (a signal, an exit, fail(), a broken channel, a loop
 * that hangs while something waits for it) ends the same way: it is killed if it is not dead, its end
 * is told by its pidfd, everything of it is given back, and another is started: at once the first
 * time, then ever later. Its addresses stay; requests wait for the next child.
 */
#include "isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "cache/cache.h"
#include "crash.h"
#include "host.h"
#include "isolate_proxy.h"
#include "loader.h"
#include "log.h"
#include "metrics.h"
#include "net.h"
#include "spawn.h"

#define SECOND		UINT64_C(1000000000)
#define BACKOFF_MIN_NS	UINT64_C(10000000)
#define BACKOFF_MAX_NS	(30 * SECOND)
#define WELL_NS		(60 * SECOND)	/* up for so long: the next crash is a first one again */
#define CALLS_NS	(10 * SECOND)	/* for calls to be answered before it is told to end */
#define CLOSE_NS	(5 * SECOND)	/* to exit when it has drained; then it is killed */
#define HEALTH_NS	(SECOND / 4)
#define ASK_NS		(5 * SECOND)
#define CTL_FD		3
#define LAST_WORDS_MAX	(256u << 10)
#define SOCKET_BYTES	(1 << 20)

static int iso_spawn(struct core_isolate *iso, struct orlop_error *err);

/* ---- the end of a child -------------------------------------------------------------------------------- */

static void asks_end(struct core_isolate *iso, int status, const char *why)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct olist *n;

	while ((n = olist_shift(&iso->asks))) {
		struct iso_ask *a = OLIST_ENTRY(n, struct iso_ask, node);

		(void)orlop_fail(&err, -status, 0, "", "module %s: %s", iso->inst->name, why);
		if (a->fn)
			a->fn(a->arg, status, "", &err);
		omem_free(a);
	}
}

/* Gives back what belonged to the child; the link stays, without anybody behind it, until the next. */
static void child_clear(struct core_isolate *iso)
{
	core_iso_chan_free(iso->chan);
	iso->chan = NULL;
	core_child_free(iso->child);
	iso->child = NULL;
	iso->pid = 0;
	core_metrics_forget(iso->core->metrics, iso);
	if (iso->words)
		(void)munmap(iso->words, ISO_WORDS * 8);
	iso->words = NULL;
	iso->words_used = 0;
	if (iso->metrics_fd >= 0)
		(void)close(iso->metrics_fd);
	iso->metrics_fd = -1;
	if (iso->crash_fd >= 0)
		(void)close(iso->crash_fd);
	iso->crash_fd = -1;
	iso_leads_drop(iso);
	iso_feed_stop(iso);
}

/* Everything is over: the loader frees the instance, and with it us. */
static void iso_gone(struct core_isolate *iso)
{
	struct core_shard *s = &iso->inst->shards[0];

	core_timer_clear(iso->timer);
	iso_relay_end(iso);
	iso_sockets_drop(iso);
	iso->state = ISO_NONE;
	core_link_close(s->link);
	s->link = NULL;
	core_life_gone(iso->inst);
}

static void gone_posted(void *arg)
{
	iso_gone(arg);
}

static void close_end(struct core_isolate *iso);

static void timer_due(void *arg)
{
	struct core_isolate *iso = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (iso->quieting) {
		CLOG(iso->core, WARN, "module_calls", "name=%s text=\"not answered; their callers get outcome unknown\"",
		     iso->inst->name);
		close_end(iso);
		return;
	}
	if (iso->child) {
		/* It was to end, and has not. */
		iso_lost(iso, "did not end in time");
		return;
	}
	if (iso->state != ISO_WAITING)
		return;
	if (iso_spawn(iso, &err)) {
		core_log_text(iso->core->log, iso->inst->name, ORLOP_LOG_ERR, "restart_failed", err.msg);
		core_timer_set(iso->timer, iso->backoff_ns ? iso->backoff_ns : BACKOFF_MIN_NS, 0);
	}
	orlop_error_done(&err);
}

/* Was up and is not: the next one, later the more often it happens. */
static void restart_plan(struct core_isolate *iso)
{
	uint64_t now = core_now_mono();
	uint64_t delay;

	if (iso->up_ns && now - iso->up_ns >= WELL_NS)
		iso->backoff_ns = 0;
	delay = iso->backoff_ns;
	iso->backoff_ns = delay ? delay * 2 : BACKOFF_MIN_NS;
	if (iso->backoff_ns > BACKOFF_MAX_NS)
		iso->backoff_ns = BACKOFF_MAX_NS;
	iso->restarts++;
	iso->up_ns = 0;
	iso->t0 = now;
	iso->state = ISO_WAITING;
	/* Requests wait at the switch. */
	if (!iso->held && iso->inst->state == CORE_READY && !iso->inst->job)
		(void)core_link_quiesce(iso->inst->shards[0].link, NULL, NULL);
	iso->health.ok = 0;
	(void)snprintf(iso->health.text, sizeof(iso->health.text), "restarting: %.100s", iso->last_exit);
	CLOG(iso->core, ERR, "module_crashed", "name=%s reason=\"%s\" restarts=%u next_ms=%llu",
	     iso->inst->name, iso->last_exit, iso->restarts, (unsigned long long)(delay / 1000000));
	if (delay)
		core_timer_set(iso->timer, delay, 0);
	else
		timer_due(iso);
}

static void say_exit(struct core_isolate *iso, int32_t code, int32_t sig)
{
	char own[64];

	if (sig)
		(void)snprintf(own, sizeof(own), "killed by signal %d (%s)", sig, strsignal(sig) ? strsignal(sig) : "?");
	else
		(void)snprintf(own, sizeof(own), "exit code %d", code);
	/* What it said itself is better than how it went; we killed it for a reason, too. */
	if (iso->why[0] && (sig == 0 || sig == SIGKILL))
		(void)snprintf(iso->last_exit, sizeof(iso->last_exit), "%s", iso->why);
	else
		(void)snprintf(iso->last_exit, sizeof(iso->last_exit), "%s", own);
	iso->why[0] = '\0';
}

/* Where a core dump is, if there may be one. */
static void dump_hint(struct core_isolate *iso, int32_t sig)
{
	struct rlimit lim;
	char pattern[128] = "";
	int fd;

	if ((sig != SIGSEGV && sig != SIGBUS && sig != SIGABRT && sig != SIGFPE && sig != SIGILL) ||
	    getrlimit(RLIMIT_CORE, &lim) < 0 || lim.rlim_cur == 0)
		return;
	fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = read(fd, pattern, sizeof(pattern) - 1);

		pattern[n > 0 ? n - 1 : 0] = '\0';
		(void)close(fd);
	}
	CLOG(iso->core, INFO, "core_dump", "name=%s pid=%d core_pattern=\"%s\"", iso->inst->name, iso->pid,
	     pattern);
}

/* What it wrote when it died, as a file beside those of the daemon. */
static void last_words(struct core_isolate *iso)
{
	const char *dir = iso->core->config->data_dir;
	cleanup_free char *text = omem_alloc(LAST_WORDS_MAX);
	cleanup_free char *path = dir ? omem_printf("%s/crash/%llu-%d.new", dir,
						    (unsigned long long)(core_now_wall() / SECOND), iso->pid) : NULL;
	cleanup_free char *folder = dir ? omem_printf("%s/crash", dir) : NULL;
	ssize_t n = text && iso->crash_fd >= 0 ? pread(iso->crash_fd, text, LAST_WORDS_MAX, 0) : -1;

	if (n <= 0 || !path || !folder)
		return;
	(void)ofile_mkdir_p(folder, 0700);
	if (ofile_write(AT_FDCWD, path, text, (size_t)n, 0600) == 0)
		(void)core_crash_tell(iso->core);
}

static void child_exited(void *arg, int32_t code, int32_t sig)
{
	struct core_isolate *iso = arg;
	struct core_instance *inst = iso->inst;
	struct orlop_error err = ORLOP_ERROR_INIT;
	bool crashed = sig || code || !iso->closing;
	enum iso_state was = iso->state;

	say_exit(iso, code, sig);
	if (crashed && !iso->ended_by_us)
		dump_hint(iso, sig);
	if (sig)
		last_words(iso);
	core_timer_clear(iso->timer);
	iso->quieting = false;
	child_clear(iso);
	iso->state = ISO_NONE;
	iso_relay_down(iso);
	if (iso->closing) {
		if (crashed && !iso->ended_by_us)
			CLOG(iso->core, WARN, "module_end", "name=%s reason=\"%s\"", inst->name, iso->last_exit);
		asks_end(iso, -ECONNRESET, iso->last_exit);
		iso_gone(iso);
		return;
	}
	if (was == ISO_UP || iso->was_up) {
		/* stop() is moot: there is nothing left that could refuse. */
		bool stop = iso->stop_asked;

		iso->stop_asked = false;
		asks_end(iso, -ECONNRESET, iso->last_exit);
		restart_plan(iso);
		if (stop) {
			core_timer_clear(iso->timer);
			iso->state = ISO_NONE;
			core_life_stopped(inst, 0, NULL);
		}
		return;
	}
	/* It never was. */
	asks_end(iso, -ECONNRESET, iso->last_exit);
	(void)orlop_fail(&err, EIO, 0, "", "its process ended: %s", iso->last_exit);
	iso_refused(iso, -EIO, &err);
	orlop_error_done(&err);
}

void iso_lost(struct core_isolate *iso, const char *why)
{
	if (!iso->why[0])
		(void)snprintf(iso->why, sizeof(iso->why), "%s", why);
	if (iso->child)
		(void)core_child_kill(iso->child, SIGKILL);
}

void iso_refused(struct core_isolate *iso, int status, struct orlop_error *err)
{
	if (iso->was_up) {
		iso_lost(iso, err->msg);
		return;
	}
	/* The loader may not have begun: then its start() hears it. */
	if (!iso->refused) {
		iso->refused = status;
		iso->refusal = *err;
		err->causes = NULL;
	}
	if (iso->go)
		core_life_failed(iso->inst, iso->refused, &iso->refusal);
}

static void chan_ended(void *arg, int status)
{
	char why[80];

	if (status)
		(void)snprintf(why, sizeof(why), "its control channel broke: %s", strerrordesc_np(-status));
	else
		(void)snprintf(why, sizeof(why), "it closed its control channel");
	/* An end of file comes with an exit: that has the better reason. */
	if (status)
		iso_lost(arg, why);
	else
		(void)core_child_kill(((struct core_isolate *)arg)->child, SIGKILL);
}

/* ---- the beginning of a child ----------------------------------------------------------------------------- */

static int spec_send(struct core_isolate *iso)
{
	struct core_iso_spec s = {
		.path = iso->image->path,
		.instance = iso->inst->name,
		.config = iso->core->config->path,
		.data_dir = iso->core->config->data_dir ? iso->core->config->data_dir : (char *)(uintptr_t)"/",
		.n_shards = iso->n_shards,
		.line = iso->cm.line,
		.loops = iso->core->max_loops,
		.level = iso->level ? iso->level : core_log_level(iso->core->log, iso->inst->name),
		.loss_percent = iso->core->config->loss_percent,
		.module = &iso->cm,
	};
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, NULL);
	core_iso_put_spec(&w, &s);
	orlop_msgw_fd(&w, iso->so_fd);
	orlop_msgw_fd(&w, iso->metrics_fd);
	orlop_msgw_fd(&w, iso->crash_fd);
	r = core_iso_send(iso->chan, CORE_ISO_SPEC, 0, &w, 0);
	orlop_msgw_done(&w);
	return r;
}

static int words_make(struct core_isolate *iso)
{
	void *p;

	iso->crash_fd = memfd_create("orlop-crash", MFD_CLOEXEC);
	if (iso->crash_fd < 0)
		return -errno;
	iso->metrics_fd = memfd_create("orlop-metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (iso->metrics_fd < 0 || ftruncate(iso->metrics_fd, ISO_WORDS * 8) < 0)
		return -errno;
	/* It may not be cut short under us. */
	if (fcntl(iso->metrics_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	p = mmap(NULL, ISO_WORDS * 8, PROT_READ, MAP_SHARED, iso->metrics_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	iso->words = p;
	return 0;
}

static int child_start(struct core_isolate *iso, int ctl, struct orlop_error *err)
{
	const char *exe = iso->core->config->exe ? iso->core->config->exe : "/proc/self/exe";
	const char *const argv[] = { exe, "--isolated", "3", iso->inst->name, NULL };
	const int32_t fds[CTL_FD + 1] = { -1, -1, 2, ctl };
	struct orlop_spawn s = { .size = sizeof(s), .argv = argv, .fds = fds, .n_fds = CTL_FD + 1 };
	int r = core_spawn(iso->core->main, NULL, &s, child_exited, iso, &iso->child, err);

	if (r == 0)
		iso->pid = core_child_pid(iso->child);
	return r;
}

/* A child that maps the file. What it then says decides. */
static int iso_spawn(struct core_isolate *iso, struct orlop_error *err)
{
	int sv[2] = { -1, -1 };
	int r;

	iso->ended_by_us = false;
	iso->why[0] = '\0';
	iso->requests_pinged = iso->requests_asked = 0;
	r = words_make(iso);
	if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		r = -errno;
	if (r)
		r = orlop_fail(err, -r, 0, "", "prepare its process: %s", strerrordesc_np(-r));
	else
		r = child_start(iso, sv[1], err);
	for (int i = 0; r == 0 && i < 2; i++)
		(void)setsockopt(sv[i], SOL_SOCKET, SO_SNDBUFFORCE, &(int){ SOCKET_BYTES }, sizeof(int));
	if (r == 0) {
		r = core_iso_chan_new(iso->core->main, sv[0], iso_message, chan_ended, iso, &iso->chan);
		sv[0] = -1;
		if (r == 0)
			r = spec_send(iso);
		if (r)
			(void)orlop_fail(err, -r, 0, "", "talk to its process: %s", strerrordesc_np(-r));
	}
	if (sv[0] >= 0)
		(void)close(sv[0]);
	if (sv[1] >= 0)
		(void)close(sv[1]);
	if (r) {
		if (iso->child)
			(void)core_child_kill(iso->child, SIGKILL);
		child_clear(iso);
		return r;
	}
	iso->state = ISO_MAPPING;
	return 0;
}

/* ---- on the way up ------------------------------------------------------------------------------------------ */

static void init_send(struct core_isolate *iso)
{
	iso->state = ISO_STARTING;
	iso_resources_send(iso);
	iso_feed_start(iso);
	(void)core_iso_send(iso->chan, CORE_ISO_INIT, 0, NULL, 0);
}

void iso_mapped(struct core_isolate *iso)
{
	if (iso->state != ISO_MAPPING)
		return;
	iso->state = ISO_MAPPED;
	if (iso->go || iso->was_up)
		init_send(iso);
}

void iso_ready(struct core_isolate *iso)
{
	struct core_instance *inst = iso->inst;
	bool again = iso->was_up;

	if (iso->state != ISO_STARTING)
		return;
	iso->state = ISO_UP;
	iso->was_up = true;
	iso->up_ns = core_now_mono();
	iso_relay_up(iso);
	if (!again) {
		inst->job->started = true;
		core_loader_ready(inst);
		return;
	}
	if (!iso->held && inst->state == CORE_READY && !inst->job)
		core_link_resume(inst->shards[0].link);
	CLOG(iso->core, INFO, "module_restarted", "name=%s pid=%d restarts=%u ms=%llu", inst->name, iso->pid,
	     iso->restarts, (unsigned long long)((iso->up_ns - iso->t0) / 1000000));
}

/* ---- questions ------------------------------------------------------------------------------------------------- */

static void asks_arm(struct core_isolates *all);

int iso_ask(struct core_isolate *iso, uint32_t type, const struct orlop_msgw *w, uint64_t timeout_ns,
	    core_isolate_fn fn, void *arg)
{
	struct iso_ask *a;
	int r;

	if (!iso->chan)
		return -ENOTCONN;
	a = OMEM_NEW(struct iso_ask);
	if (!a)
		return -ENOMEM;
	a->id = ++iso->last_id;
	a->type = type;
	a->fn = fn;
	a->arg = arg;
	a->until_ns = core_now_mono() + timeout_ns;
	r = core_iso_send(iso->chan, type, a->id, w, 0);
	if (r) {
		omem_free(a);
		return r;
	}
	olist_append(&iso->asks, &a->node);
	asks_arm(iso->core->isolates);
	return 0;
}

int core_isolate_stats(struct core_instance *inst, core_isolate_fn fn, void *arg)
{
	struct core_isolate *iso = inst->iso;

	if (iso->state != ISO_UP || !(iso->desc.has & CORE_ISO_HAS_STATS))
		return -ENOTCONN;
	return iso_ask(iso, CORE_ISO_STATS, NULL, ASK_NS, fn, arg);
}

static int cm_copy(struct core_config_module *to, const struct core_config_module *from)
{
	to->module = omem_strdup(from->module ? from->module : "");
	to->name = omem_strdup(from->name);
	to->line = from->line;
	to->isolate = from->isolate;
	if (!to->module || (from->name && !to->name))
		return -ENOMEM;
	for (uint32_t i = 0; i < from->n_params; i++)
		if (core_config_param_add(to, from->params[i].name, from->params[i].value, from->params[i].type,
					  from->params[i].line))
			return -ENOMEM;
	return 0;
}

/* A change that the child has taken on, to be taken on by the next child too. */
struct param_change {
	struct core_isolate *iso;
	struct core_config_module cm;
	core_isolate_fn	fn;
	void		*arg;
};

static void change_free(struct param_change *p)
{
	core_config_module_done(&p->cm);
	omem_free(p);
}

/* Into what the next child gets. */
static void change_keep(struct core_config_module *cm, const struct core_config_param *new)
{
	for (uint32_t i = 0; i < cm->n_params; i++)
		if (strcmp(cm->params[i].name, new->name) == 0) {
			char *copy = omem_strdup(new->value);

			if (copy) {
				omem_free(cm->params[i].value);
				cm->params[i].value = copy;
				cm->params[i].type = 0;
			}
			return;
		}
	(void)core_config_param_add(cm, new->name, new->value, 0, 0);
}

static void set_answered(void *arg, int status, const char *text, const struct orlop_error *err)
{
	struct param_change *p = arg;
	uint32_t changed = 0;
	char count[16];

	for (uint32_t i = 0; status == 0 && i < p->cm.n_params; i++)
		change_keep(&p->iso->cm, &p->cm.params[i]);
	/* What is shown here. */
	if (status == 0)
		(void)core_loader_set(p->iso->core, p->iso->inst->name, &p->cm, &changed, NULL);
	else if (!p->fn)
		core_log_text(p->iso->core->log, p->iso->inst->name, ORLOP_LOG_ERR, "param_refused", err->msg);
	if (changed)
		iso_feed_wants(p->iso);
	(void)snprintf(count, sizeof(count), "%u", changed);
	if (p->fn)
		p->fn(p->arg, status, status ? text : count, err);
	change_free(p);
}

int core_isolate_set(struct core_instance *inst, const struct core_config_module *cm, core_isolate_fn fn,
		     void *arg, struct orlop_error *err)
{
	struct core_isolate *iso = inst->iso;
	struct param_change *p;
	struct orlop_msgw w;
	int r = core_loader_set_check(iso->core, inst->name, cm, err);

	if (r)
		return r;
	if (iso->state != ISO_UP)
		return orlop_fail(err, EAGAIN, 0, "", "module %s is %s", inst->name, iso->health.text);
	p = OMEM_NEW(struct param_change);
	if (!p || cm_copy(&p->cm, cm)) {
		if (p)
			change_free(p);
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", inst->name);
	}
	p->iso = iso;
	p->fn = fn;
	p->arg = arg;
	orlop_msgw_init(&w, NULL);
	core_iso_put_params(&w, cm);
	r = iso_ask(iso, CORE_ISO_SET, &w, ASK_NS, set_answered, p);
	orlop_msgw_done(&w);
	if (r) {
		change_free(p);
		return orlop_fail(err, -r, 0, "", "module %s: %s", inst->name, strerrordesc_np(-r));
	}
	return 0;
}

void core_isolate_level(struct core_instance *inst, int32_t level)
{
	struct core_isolate *iso = inst->iso;
	struct orlop_msgw w;

	iso->level = level;
	if (!iso->chan)
		return;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, (uint64_t)(level ? level : core_log_level(iso->core->log, inst->name)));
	(void)core_iso_send(iso->chan, CORE_ISO_LEVEL, 0, &w, 0);
	orlop_msgw_done(&w);
}

/* One refresh of many. */
struct refresh {
	struct core	*core;
	uint32_t	open;
	orlop_cb	fn;
	void		*arg;
};

static void refresh_one(void *arg, int status, const char *text, const struct orlop_error *err)
{
	struct refresh *r = arg;

	(void)status;
	(void)text;
	(void)err;
	if (--r->open)
		return;
	r->fn(r->arg);
	omem_free(r);
}

static void refresh_none(void *arg)
{
	refresh_one(arg, 0, "", NULL);
}

int core_isolate_refresh(struct core *c, orlop_cb fn, void *arg)
{
	struct refresh *r = OMEM_NEW(struct refresh);
	int e;

	if (!r)
		return -ENOMEM;
	r->core = c;
	r->fn = fn;
	r->arg = arg;
	r->open = 1;
	OLIST_FOREACH(n, &c->isolates->list) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_isolate, node);

		if (iso->state == ISO_UP && iso_ask(iso, CORE_ISO_HEALTH, NULL, HEALTH_NS, refresh_one, r) == 0)
			r->open++;
	}
	/* Called back later in any case. */
	e = core_loop_post(c->main, refresh_none, r);
	if (e)
		refresh_none(r);
	return 0;
}

/* ---- is it alive? ------------------------------------------------------------------------------------------------ */

static void ping_answered(void *arg, int status, const char *text, const struct orlop_error *err)
{
	struct core_isolate *iso = arg;

	(void)text;
	(void)err;
	if (status == 0)
		iso->requests_pinged = iso->requests_asked;
	else if (status == -ETIMEDOUT)
		iso_lost(iso, "hangs: its loops did not turn while requests were open");
}

static bool asked(struct core_isolate *iso, uint32_t type)
{
	OLIST_FOREACH(n, &iso->asks)
		if (OLIST_ENTRY(n, struct iso_ask, node)->type == type)
			return true;
	return false;
}

/*
 * Asks a child whether its loops turn, but only while something waits for it that has come since it
 * last said so: one that has nothing to do is left alone.
 */
static void alive_look(struct core_isolate *iso)
{
	if (iso->state != ISO_UP || asked(iso, CORE_ISO_PING) || iso->open == 0 || iso->got == iso->requests_pinged)
		return;
	iso->requests_asked = iso->got;
	(void)iso_ask(iso, CORE_ISO_PING, NULL, iso->core->config->hang_timeout_ns, ping_answered, iso);
}

/* On the switch's thread, while the main loop waits: what is open at whose links. */
static void link_seen(void *arg, const struct core_link_stats *s)
{
	struct core_isolates *all = arg;

	OLIST_FOREACH(n, &all->list) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_isolate, node);
		size_t len = strlen(iso->inst->name);

		if (strncmp(s->name, iso->inst->name, len) == 0 && (!s->name[len] || s->name[len] == '#')) {
			iso->open += s->open;
			iso->got += s->requests_in;
		}
	}
}

static void alive_look_all(struct core_isolates *all)
{
	OLIST_FOREACH(n, &all->list) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_isolate, node);

		iso->open = 0;
		iso->got = 0;
	}
	core_bus_stats(all->core->bus, link_seen, all);
	OLIST_FOREACH(n, &all->list)
		alive_look(OLIST_ENTRY(n, struct core_isolate, node));
}

/* The timer of all: overdue answers, and whether who has work is alive. */
static void isolates_tick(void *arg)
{
	struct core_isolates *all = arg;
	uint64_t now = core_now_mono();
	struct orlop_error err = ORLOP_ERROR_INIT;

	all->armed_ns = 0;
	OLIST_FOREACH_SAFE(n, tmp, &all->list) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_isolate, node);

		OLIST_FOREACH_SAFE(k, next, &iso->asks) {
			struct iso_ask *a = OLIST_ENTRY(k, struct iso_ask, node);

			if (a->until_ns > now)
				continue;
			olist_del(&a->node);
			(void)orlop_fail(&err, ETIMEDOUT, 0, "", "module %s does not answer", iso->inst->name);
			if (a->fn)
				a->fn(a->arg, -ETIMEDOUT, "", &err);
			omem_free(a);
			break;		/* the callback may have changed the list; the next turn goes on */
		}
	}
	if (now >= all->look_ns) {
		alive_look_all(all);
		all->look_ns = now + all->core->config->hang_timeout_ns / 4;
	}
	asks_arm(all);
}

static void asks_arm(struct core_isolates *all)
{
	uint64_t now = core_now_mono();
	uint64_t at = olist_empty(&all->list) ? 0 : all->look_ns;

	OLIST_FOREACH(n, &all->list) {
		struct core_isolate *iso = OLIST_ENTRY(n, struct core_isolate, node);

		OLIST_FOREACH(k, &iso->asks) {
			struct iso_ask *a = OLIST_ENTRY(k, struct iso_ask, node);

			if (!at || a->until_ns < at)
				at = a->until_ns;
		}
	}
	if (!at || (all->armed_ns && all->armed_ns <= at))
		return;
	all->armed_ns = at;
	core_timer_set(all->timer, at > now ? at - now : 0, 0);
}

/* ---- its steps: life.h ---------------------------------------------------------------------------------------------- */

static void life_start(struct core_instance *inst)
{
	struct core_isolate *iso = inst->iso;

	iso->go = true;
	if (iso->refused)
		core_life_failed(inst, iso->refused, &iso->refusal);
	else if (iso->state == ISO_MAPPED)
		init_send(iso);
}

static void stop_answered(void *arg, int status, const char *text, const struct orlop_error *err)
{
	struct core_isolate *iso = arg;
	struct orlop_error e = ORLOP_ERROR_INIT;

	(void)text;
	if (!iso->stop_asked)
		return;
	iso->stop_asked = false;
	/* It hangs in stop(): a process can be ended all the same. */
	if (status == -ETIMEDOUT) {
		iso_lost(iso, "stop() hangs");
		status = 0;
	}
	if (status) {
		e = *err;
		e.causes = NULL;
	}
	core_life_stopped(iso->inst, status, &e);
}

static void life_stop(struct core_instance *inst, bool forced)
{
	struct core_isolate *iso = inst->iso;
	struct orlop_msgw w;
	int r = 0;

	if (iso->state != ISO_UP && iso->state != ISO_STARTING) {
		/* Between two children, or before there was one: nothing to stop. */
		core_timer_clear(iso->timer);
		core_life_stopped(inst, 0, NULL);
		return;
	}
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, forced);
	orlop_msgw_u64(&w, CORE_ISO_T_FLAGS, (uint64_t)atomic_load(&inst->stop_reason));
	iso->stop_asked = true;
	r = iso_ask(iso, CORE_ISO_STOP, &w, iso->core->config->stop_timeout_ns, stop_answered, iso);
	orlop_msgw_done(&w);
	if (r) {
		iso->stop_asked = false;
		core_life_stopped(inst, 0, NULL);
	}
}

/* Both: what it said last, and a question for next time. */
static uint32_t life_draining(struct core_instance *inst)
{
	struct core_isolate *iso = inst->iso;

	if (iso->state != ISO_UP || !(iso->desc.has & CORE_ISO_HAS_DRAINING))
		return 0;
	if (!asked(iso, CORE_ISO_HEALTH))
		(void)iso_ask(iso, CORE_ISO_HEALTH, NULL, HEALTH_NS, NULL, NULL);
	return iso->draining;
}

static uint32_t life_changing(struct core_instance *inst)
{
	struct core_isolate *iso = inst->iso;

	if (iso->state != ISO_UP)
		return 0;
	if (!asked(iso, CORE_ISO_HEALTH))
		(void)iso_ask(iso, CORE_ISO_HEALTH, NULL, HEALTH_NS, NULL, NULL);
	return iso->changing;
}

static uint64_t life_revision(struct core_instance *inst)
{
	return inst->iso->rev;
}

static void close_end(struct core_isolate *iso)
{
	iso->quieting = false;
	if (iso->state == ISO_UP && core_iso_send(iso->chan, CORE_ISO_END, 0, NULL, 0) == 0) {
		core_timer_set(iso->timer, iso->core->config->stop_timeout_ns + CLOSE_NS, 0);
		return;
	}
	iso->ended_by_us = true;
	if (iso->child)
		(void)core_child_kill(iso->child, SIGKILL);
}

static void close_quiet(void *arg)
{
	struct core_isolate *iso = arg;

	if (iso->quieting)
		close_end(iso);
}

/*
 * What was asked of it is on its way to its process, or waits there for its bus: it is told to end when all of that
 * is answered, because what it finds afterwards has nobody any more.
 */
static void life_close(struct core_instance *inst)
{
	struct core_isolate *iso = inst->iso;

	iso->closing = true;
	core_timer_clear(iso->timer);
	if (!iso->child) {
		/* Not from inside of who called: it may go on with the instance. */
		(void)core_loop_post_node(iso->core->main, &iso->end, gone_posted, iso);
		return;
	}
	if (iso->state == ISO_UP && core_link_quiesce(inst->shards[0].link, close_quiet, iso) == 0) {
		iso->quieting = true;
		core_timer_set(iso->timer, CALLS_NS, 0);
		return;
	}
	close_end(iso);
}

static void life_hold(struct core_instance *inst, bool on)
{
	struct core_isolate *iso = inst->iso;
	struct orlop_msgw w;

	iso->held = on;
	/* Its process may have come back meanwhile. */
	if (!on && iso->state == ISO_WAITING)
		(void)core_link_quiesce(inst->shards[0].link, NULL, NULL);
	if (!iso->chan)
		return;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, on);
	(void)core_iso_send(iso->chan, CORE_ISO_HOLD, 0, &w, 0);
	orlop_msgw_done(&w);
}

const struct core_life core_life_isolated = {
	.start = life_start,
	.stop = life_stop,
	.draining = life_draining,
	.changing = life_changing,
	.revision = life_revision,
	.close = life_close,
	.hold = life_hold,
};

/* ---- making and freeing ------------------------------------------------------------------------------------------------ */

/* The instance's own health(): what was told last, and a question for next time. */
static void proxy_health(void *ctx, struct orlop_health *h)
{
	struct core_isolate *iso = ctx;

	h->ok = iso->health.ok;
	(void)snprintf(h->text, sizeof(h->text), "%s", iso->health.text);
	if (iso->state == ISO_UP && iso->desc.has & CORE_ISO_HAS_HEALTH && !asked(iso, CORE_ISO_HEALTH))
		(void)iso_ask(iso, CORE_ISO_HEALTH, NULL, ASK_NS, NULL, NULL);
}

static int proxy_stats(void *ctx, char *buf, size_t size)
{
	struct core_isolate *iso = ctx;

	if (!iso->stats || !iso->stats[0])
		return -1;
	return snprintf(buf, size, "%s", iso->stats) < (int)size ? 0 : -1;
}

bool core_isolate_up(const struct core_instance *inst)
{
	return inst->iso->state == ISO_UP;
}

void core_isolate_put(const struct core_instance *inst, struct obuf *b)
{
	const struct core_isolate *iso = inst->iso;
	char rights[512];

	core_rights_print(&iso->image->info.rights, rights, sizeof(rights));
	obuf_printf(b, ",\"isolation\":\"process\",\"pid\":%d,\"restarts\":%u,\"lastExit\":", iso->pid, iso->restarts);
	obuf_put_json_cstr(b, iso->last_exit);
	obuf_puts(b, ",\"rights\":");
	obuf_put_json_cstr(b, rights);
}

static void image_done(struct core_isolate *iso)
{
	if (!iso->image)
		return;
	core_modinfo_done(&iso->image->info);
	omem_free(iso->image->path);
	omem_free(iso->image);
	iso->image = NULL;
}

/* What the file says, or @like's copy of it; nothing of it is run or mapped here. */
static int image_make(struct core_isolate *iso, const char *path, const struct core_isolate *like,
		      struct orlop_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;
	struct core_image *img = OMEM_NEW(struct core_image);
	cleanup_close int fd = -1;
	int r;

	if (!img)
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", file);
	iso->image = img;
	olist_init(&img->node);
	img->copy_fd = -1;
	img->users = 2;		/* the loader's close does not free it */
	img->path = like ? omem_strdup(path) : realpath(path, NULL);
	if (img->path)
		fd = like ? fcntl(like->so_fd, F_DUPFD_CLOEXEC, 3) : open(img->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "module file %s: %s", path, strerrordesc_np(errno));
	r = core_modinfo_read(fd, file, &img->info, err);
	if (r == 0)
		r = core_modinfo_abi_check(&img->info, file, err);
	/* Each of its processes maps this one, whatever happens to the file meanwhile. */
	if (r == 0 && !like)
		r = core_image_copy(fd, img, &iso->so_fd, err);
	if (r)
		return r;
	if (like) {
		iso->so_fd = fd;
		fd = -1;
	}
	iso->blank.magic = ORLOP_MODULE_MAGIC;
	iso->blank.size = sizeof(iso->blank);
	iso->blank.name = img->info.name;
	iso->blank.class_name = img->info.class_name;
	iso->blank.param_size = sizeof(struct orlop_param);
	img->mod = &iso->blank;
	return 0;
}

static int isolates_make(struct core *c)
{
	int r;

	if (c->isolates)
		return 0;
	c->isolates = OMEM_NEW(struct core_isolates);
	if (!c->isolates)
		return -ENOMEM;
	c->isolates->core = c;
	olist_init(&c->isolates->list);
	r = core_timer_new(c->main, NULL, isolates_tick, c->isolates, &c->isolates->timer);
	return r ? r : iso_resources_watch(c->isolates);
}

void core_isolates_free(struct core *c)
{
	if (!c->isolates)
		return;
	core_timer_free(c->isolates->timer);
	core_cache_close(c->isolates->resources);
	omem_free(c->isolates);
	c->isolates = NULL;
}

static int isolate_make(struct core *c, const char *path, const struct core_isolate *like,
			const struct core_config_module *cm, struct core_instance **ret, struct orlop_error *err)
{
	struct core_isolate *iso = OMEM_NEW(struct core_isolate);
	struct core_config_module bare = { .module = cm->module, .name = cm->name, .line = cm->line };
	struct core_instance *inst;
	int r;

	if (!iso)
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", cm->module);
	olist_init(&iso->node);
	olist_init(&iso->asks);
	olist_init(&iso->leads);
	olist_init(&iso->calls);
	olist_init(&iso->reqs);
	omap_init(&iso->asked);
	omap_init(&iso->topics);
	omap_init(&iso->call_ids);
	omap_init(&iso->req_ids);
	omap_init(&iso->lent);
	iso->core = c;
	iso->so_fd = -1;
	iso->metrics_fd = -1;
	iso->crash_fd = -1;
	iso->health = (struct orlop_health){ .size = sizeof(iso->health), .ok = 1 };
	r = isolates_make(c) || cm_copy(&iso->cm, cm) || core_timer_new(c->main, NULL, timer_due, iso, &iso->timer) ||
		iso_feed_new(iso) ? orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", cm->module) :
		image_make(iso, path, like, err);
	if (r == 0)
		r = core_instance_new(c, iso->image, &bare, &inst, err);
	if (r) {
		core_isolate_free(iso);
		return r;
	}
	inst->iso = iso;
	inst->ctx = iso;
	inst->mod.health = proxy_health;
	inst->mod.stats = proxy_stats;
	inst->life = &core_life_isolated;
	iso->inst = inst;
	inst->ops = iso_relay_ops();
	iso->t0 = core_now_mono();
	olist_append(&c->isolates->list, &iso->node);
	asks_arm(c->isolates);
	r = core_shard_open(&inst->shards[0]);
	if (r) {
		r = orlop_fail(err, -r, 0, "", "cannot open a link to the bus: %s", strerrordesc_np(-r));
	} else {
		core_link_serve(inst->shards[0].link, inst->ops, iso);
		r = iso_spawn(iso, err);
	}
	if (r) {
		(void)orlop_wrap(err, r, "module %s", inst->name);
		core_instance_free(inst);
		return r;
	}
	*ret = inst;
	return 0;
}

int core_isolate_new(struct core *c, const char *path, const struct core_config_module *cm,
		     struct core_instance **ret, struct orlop_error *err)
{
	return isolate_make(c, path, NULL, cm, ret, err);
}

int core_isolate_again(const struct core_instance *inst, const struct core_config_module *cm,
		       struct core_instance **ret, struct orlop_error *err)
{
	return isolate_make(inst->core, inst->image->path, inst->iso, cm, ret, err);
}

void core_isolate_free(struct core_isolate *iso)
{
	if (!iso)
		return;
	olist_del(&iso->node);
	if (iso->child)
		(void)core_child_kill(iso->child, SIGKILL);
	if (iso->inst) {
		asks_end(iso, -ECANCELED, "is gone");
		child_clear(iso);
		iso_relay_end(iso);
		iso_sockets_drop(iso);
		core_link_close(iso->inst->shards[0].link);
		iso->inst->shards[0].link = NULL;
	}
	omap_done(&iso->call_ids);
	omap_done(&iso->req_ids);
	omap_done(&iso->asked);
	iso_topics_free(iso);
	omap_done(&iso->lent);
	core_timer_free(iso->timer);
	iso_feed_stop(iso);
	core_timer_free(iso->feed_timer);
	core_iso_meter_unref(iso->meter);
	omem_free(iso->stats);
	core_iso_desc_done(&iso->desc);
	core_config_module_done(&iso->cm);
	orlop_error_done(&iso->refusal);
	if (iso->so_fd >= 0)
		(void)close(iso->so_fd);
	image_done(iso);
	omem_free(iso);
}
