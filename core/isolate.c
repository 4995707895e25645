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
#include "crash.h"
#include "isolate_proxy.h"
#include "loader.h"
#include "log.h"
#include "metrics.h"
#include "spawn.h"

#define SECOND		UINT64_C(1000000000)
#define BACKOFF_MIN_NS	UINT64_C(10000000)
#define BACKOFF_MAX_NS	(30 * SECOND)
#define WELL_NS		(60 * SECOND)	/* up for so long: the next crash is a first one again */
#define CALLS_NS	(10 * SECOND)	/* for calls to be answered before it is told to end */
#define CLOSE_NS	(5 * SECOND)	/* to exit when it has drained; then it is killed */
#define CTL_FD		3
#define LAST_WORDS_MAX	(256u << 10)
#define SOCKET_BYTES	(1 << 20)

/* ---- the end of a child -------------------------------------------------------------------------------- */

/* Gives back what belonged to the child; the link stays, without anybody behind it, until the next. */
void iso_child_clear(struct core_isolate *iso)
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
	iso_keep_end(iso);
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

void iso_timer_due(void *arg)
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
		iso_timer_due(iso);
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

/* What it wrote when it died. */
static void last_words(struct core_isolate *iso)
{
	cleanup_free char *text = omem_alloc(LAST_WORDS_MAX);
	ssize_t n = text && iso->crash_fd >= 0 ? pread(iso->crash_fd, text, LAST_WORDS_MAX, 0) : -1;

	if (n > 0)
		core_crash_keep(iso->core, iso->inst->name, iso->pid, text, (size_t)n);
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
	iso_child_clear(iso);
	iso->state = ISO_NONE;
	iso_relay_down(iso);
	if (iso->closing) {
		if (crashed && !iso->ended_by_us)
			CLOG(iso->core, WARN, "module_end", "name=%s reason=\"%s\"", inst->name, iso->last_exit);
		iso_asks_end(iso, -ECONNRESET, iso->last_exit);
		iso_gone(iso);
		return;
	}
	if (was == ISO_UP || iso->was_up) {
		/* stop() is moot: there is nothing left that could refuse. */
		bool stop = iso->stop_asked;

		iso->stop_asked = false;
		iso_asks_end(iso, -ECONNRESET, iso->last_exit);
		restart_plan(iso);
		if (stop) {
			core_timer_clear(iso->timer);
			iso->state = ISO_NONE;
			core_life_stopped(inst, 0, NULL);
		}
		return;
	}
	/* It never was. */
	iso_asks_end(iso, -ECONNRESET, iso->last_exit);
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

void iso_say(struct core_isolate *iso, uint32_t type, const struct orlop_msgw *w)
{
	if (iso->chan && core_iso_send(iso->chan, type, 0, w, 0) == -ENOMEM)
		iso_lost(iso, "no memory to talk to it");
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
int iso_spawn(struct core_isolate *iso, struct orlop_error *err)
{
	int sv[2] = { -1, -1 };
	int r;

	iso->ended_by_us = false;
	iso->why[0] = '\0';
	iso->spawned_ns = core_now_mono();
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
		iso_child_clear(iso);
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
	iso_say(iso, CORE_ISO_INIT, NULL);
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
	if (!iso_asked(iso, CORE_ISO_HEALTH))
		(void)iso_ask(iso, CORE_ISO_HEALTH, NULL, ISO_HEALTH_NS, NULL, NULL);
	return iso->draining;
}

static uint32_t life_finishing(struct core_instance *inst)
{
	struct core_isolate *iso = inst->iso;

	if (iso->state != ISO_UP || !(iso->desc.has & CORE_ISO_HAS_FINISHING))
		return 0;
	if (!iso_asked(iso, CORE_ISO_HEALTH))
		(void)iso_ask(iso, CORE_ISO_HEALTH, NULL, ISO_HEALTH_NS, NULL, NULL);
	return iso->finishing;
}

static uint32_t life_changing(struct core_instance *inst)
{
	struct core_isolate *iso = inst->iso;

	if (iso->state != ISO_UP)
		return 0;
	if (!iso_asked(iso, CORE_ISO_HEALTH))
		(void)iso_ask(iso, CORE_ISO_HEALTH, NULL, ISO_HEALTH_NS, NULL, NULL);
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
	iso_say(iso, CORE_ISO_HOLD, &w);
	orlop_msgw_done(&w);
}

const struct core_life core_life_isolated = {
	.start = life_start,
	.stop = life_stop,
	.draining = life_draining,
	.finishing = life_finishing,
	.changing = life_changing,
	.revision = life_revision,
	.close = life_close,
	.hold = life_hold,
};
