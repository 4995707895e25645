/*
 * isolate_child.c - the process of an isolated module: main, and its side of the control channel.
 *
 * Order matters: what to be is read first; then rights that belong to threads are given up; then the
 * core is made, with its threads, and connected to the parent; then user and system calls; only then
 * is the module's file mapped. Its code never runs with more than it declares.
 */
#include "isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "config.h"
#include "crash.h"
#include "host.h"
#include "image.h"
#include "isolate_chan.h"
#include "loader.h"
#include "log.h"
#include "metrics.h"
#include "net-types.h"
#include "net.h"
#include "rights.h"
#include "isolate_up.h"

#define SPEC_MS		10000
#define METRICS_MAX	(64u << 20)

/* It cannot be what it should. */
static int give_up(struct core_up *up, int status, struct orlop_error *err)
{
	core_up_say_status(up, CORE_ISO_FAILED, 0, status, err);
	return 1;
}

/* ---- what the parent says ----------------------------------------------------------------------------------- */

static void put_health(struct core_up *up, struct orlop_msgw *w)
{
	struct orlop_health h = { .size = sizeof(h), .ok = 1 };
	struct core_instance *inst = up->inst;

	orlop_msgw_init(w, NULL);
	if (!inst)
		return;
	core_instance_health(inst, &h);
	orlop_msgw_u64(w, CORE_ISO_T_OK, h.ok != 0);
	orlop_msgw_str(w, CORE_ISO_T_TEXT, h.text);
	if (inst->life->revision)
		orlop_msgw_u64(w, CORE_ISO_T_REV, inst->life->revision(inst));
	if (inst->life->changing)
		orlop_msgw_u64(w, CORE_ISO_T_CHANGING, inst->life->changing(inst));
	if (inst->life->draining)
		orlop_msgw_u64(w, CORE_ISO_T_DRAINING, inst->life->draining(inst));
	if (!up->stopping || atomic_load(&inst->stop_reason) == ORLOP_STOP_REPLACE)
		return;
	/* Asked again and again until all is answered: sockets that nobody listens on any more go meanwhile. */
	core_net_release(up->core->net, inst->name);
	if (inst->life->finishing)
		orlop_msgw_u64(w, CORE_ISO_T_FINISHING, inst->life->finishing(inst));
}

static void say_ready(struct core_up *up, struct core_instance *inst)
{
	struct orlop_msgw w;

	up->inst = inst;
	put_health(up, &w);
	core_up_say(up, CORE_ISO_READY, 0, &w);
}


static void loaded(void *arg, int status, struct core_instance *inst, const struct orlop_error *err)
{
	struct core_up *up = arg;

	core_crash_update(up->core);
	if (status == 0) {
		say_ready(up, inst);
		return;
	}
	core_up_say_status(up, CORE_ISO_FAILED, 0, status, err);
	up->exit_code = 1;
	core_loop_stop(up->core->main);
}

/* What it needs is ready: the parent has seen to it. */
static void on_init(struct core_up *up)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r;

	r = core_up_feed_start(up);
	if (r) {
		(void)orlop_fail(&err, -r, 0, "", "feed: %s", strerrordesc_np(-r));
		loaded(up, r, NULL, &err);
		return;
	}
	r = core_loader_load(up->core, up->spec.module, loaded, up, &err);

	if (r)
		loaded(up, r, NULL, &err);
	orlop_error_done(&err);
}

static void on_set(struct core_up *up, struct core_iso_in *in)
{
	struct core_config_module cm = { .module = NULL };
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = up->inst ? core_iso_get_params(&in->msg, &cm) : -EAGAIN;

	if (r == 0)
		r = core_loader_set(up->core, up->inst->name, &cm, NULL, &err);
	core_config_module_done(&cm);
	core_up_say_status(up, CORE_ISO_REPLY, in->id, r, &err);
	orlop_error_done(&err);
}

static void on_stats(struct core_up *up, uint64_t id)
{
	cleanup_free char *text = omem_alloc(CORE_ISO_BODY_MAX / 2);
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	if (text && up->inst && up->inst->mod.stats &&
	    up->inst->mod.stats(up->inst->ctx, text, CORE_ISO_BODY_MAX / 2) >= 0) {
		text[CORE_ISO_BODY_MAX / 2 - 1] = '\0';
		orlop_msgw_str(&w, CORE_ISO_T_TEXT, text);
	}
	core_up_say(up, CORE_ISO_REPLY, id, &w);
}

/* A ping goes through every loop, one after the other. */
struct ping {
	struct core_up	*up;
	uint64_t	id;
	uint32_t	loop;
};

static void ping_step(void *arg)
{
	struct ping *p = arg;
	struct core *c = p->up->core;

	if (++p->loop < c->n_loops && core_loop_post(c->loops[p->loop], ping_step, p) == 0)
		return;
	core_up_say(p->up, CORE_ISO_REPLY, p->id, NULL);
	omem_free(p);
}

static void on_ping(struct core_up *up, uint64_t id)
{
	struct ping *p = OMEM_NEW(struct ping);

	if (!p) {
		core_up_say(up, CORE_ISO_REPLY, id, NULL);
		return;
	}
	p->up = up;
	p->id = id;
	ping_step(p);
}

/* life.h: stop() was well. True: the rest waits for END. */
bool core_up_stopped(struct core_up *up)
{
	struct orlop_msgw w;

	if (!up->stop_id)
		return false;
	put_health(up, &w);
	core_up_say(up, CORE_ISO_REPLY, up->stop_id, &w);
	up->stop_id = 0;
	return true;
}

/* It refuses to stop (and goes on), or has ended: nothing is freed that the kernel frees as well. */
static void ended(void *arg, int status, struct core_instance *inst, const struct orlop_error *err)
{
	struct core_up *up = arg;

	if (status && inst && up->stop_id) {
		core_up_say_status(up, CORE_ISO_REPLY, up->stop_id, status, err);
		up->stop_id = 0;
		up->stopping = false;
		return;
	}
	core_log_flush(up->core->log);
	up->exit_code = status ? 1 : 0;
	core_loop_stop(up->core->main);
}

static void on_stop(struct core_up *up, struct core_iso_in *in)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int32_t reason;
	int r = 0;

	up->stop_id = in->id;
	if (!up->inst || up->inst->state != CORE_READY || up->stopping) {
		(void)core_up_stopped(up);
		return;
	}
	reason = (int32_t)orlop_msg_u64(&in->msg, CORE_ISO_T_FLAGS, 0);
	r = core_unload_job(up->inst, reason == ORLOP_STOP_REPLACE ? CORE_STOP_REPLACE : CORE_STOP_UNLOAD, ended,
			    up, &err);
	if (r) {
		core_up_say_status(up, CORE_ISO_REPLY, in->id, r, &err);
		up->stop_id = 0;
	} else {
		up->stopping = true;
		atomic_store(&up->inst->stop_reason, reason);
		up->inst->job->forced = orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0) != 0;
		up->inst->life->stop(up->inst, up->inst->job->forced);
	}
	orlop_error_done(&err);
}

static void on_end(struct core_up *up)
{
	if (!up->inst || !up->stopping) {
		core_loop_stop(up->core->main);
		return;
	}
	core_unload_close(up->inst);
}

static void on_message(void *arg, struct core_iso_in *in)
{
	struct core_up *up = arg;
	struct orlop_msgw w;

	switch (in->type) {
	case CORE_ISO_INIT:
		on_init(up);
		break;
	case CORE_ISO_STOP:
		on_stop(up, in);
		break;
	case CORE_ISO_END:
		on_end(up);
		break;
	case CORE_ISO_REQUEST:
	case CORE_ISO_CANCEL:
	case CORE_ISO_ANSWER:
	case CORE_ISO_CREDIT:
	case CORE_ISO_PUBLISH:
		core_up_mail(up, in);
		break;
	case CORE_ISO_RESOURCE:
		core_up_resource(up, in);
		break;
	case CORE_ISO_FEED:
	case CORE_ISO_FED:
	case CORE_ISO_WANTS:
		core_up_feed_mail(up, in);
		break;
	case CORE_ISO_SET:
		on_set(up, in);
		break;
	case CORE_ISO_HEALTH:
		put_health(up, &w);
		core_up_say(up, CORE_ISO_REPLY, in->id, &w);
		break;
	case CORE_ISO_STATS:
		on_stats(up, in->id);
		break;
	case CORE_ISO_PING:
		on_ping(up, in->id);
		break;
	case CORE_ISO_LED:
		core_lead_told(up->core, orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0),
			       orlop_msg_u64(&in->msg, CORE_ISO_T_REV, 0));
		break;
	case CORE_ISO_LEVEL:
		core_log_set_level(up->core->log, (int32_t)orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0));
		break;
	case CORE_ISO_ENDING:
		atomic_store(&up->core->ending, true);
		break;
	case CORE_ISO_HOLD:
		for (uint32_t i = 0; up->inst && i < up->inst->n_shards; i++)
			core_net_hold(up->core->net, &up->inst->shards[i].held,
				      orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0) != 0);
		break;
	default:
		break;		/* a newer parent knows more */
	}
}

/* The parent is gone, and we with it. */
static void parent_gone(void *arg, int status)
{
	(void)arg;
	(void)status;
	_exit(0);
}

/* ---- becoming ------------------------------------------------------------------------------------------------- */

/* The value that the configuration gives; the table with its defaults is in the file, which is not mapped yet. */
static const char *given_param(void *arg, const char *name, uint32_t len)
{
	struct core_up *up = arg;

	for (uint32_t i = 0; i < up->spec.module->n_params; i++) {
		const struct core_config_param *p = &up->spec.module->params[i];

		if (strlen(p->name) == len && memcmp(p->name, name, len) == 0)
			return p->value;
	}
	return len == 8 && memcmp(name, "data_dir", 8) == 0 ? up->spec.data_dir : NULL;
}

/* SPEC, with descriptors: the module's file, the metrics' words, a file for last words. */
static int read_spec(struct core_up *up, struct orlop_error *err)
{
	cleanup_free char *buf = omem_alloc(CORE_ISO_BUF);
	struct core_iso_in in = { .n_fds = 0 };
	int r = buf ? core_iso_recv(up->ctl, SPEC_MS, buf, CORE_ISO_BUF, &in) : -ENOMEM;

	if (r)
		return orlop_fail(err, -r, 0, "", "no word from the parent: %s", strerrordesc_np(-r));
	if (in.type != CORE_ISO_SPEC || in.n_fds < 3)
		return orlop_fail(err, EPROTO, 0, "", "the parent's first word is not understood");
	up->so_fd = in.fds[0];
	up->metrics_fd = in.fds[1];
	up->crash_fd = in.fds[2];
	r = core_iso_get_spec(&in.msg, &up->spec);
	if (r)
		return orlop_fail(err, -r, 0, "", "the parent's first word is not understood");
	return 0;
}

static int rights_read(struct core_up *up, struct orlop_error *err)
{
	int r = core_modinfo_read(up->so_fd, up->spec.path, &up->info, err);

	return r ? r : core_modinfo_abi_check(&up->info, up->spec.path, err);
}

static int enter(struct core_up *up, struct orlop_error *err)
{
	const char *const extra[] = { up->spec.path, NULL };
	struct core_rights_world w = { .param = given_param, .arg = up, .extra = extra };

	core_rights_user(&up->info.rights);
	return core_rights_enter(&up->info.rights, &w, &up->weak, err);
}

static int config_make(struct core_up *up, struct core_config **ret)
{
	struct core_config *cfg;

	if (core_config_new(&cfg))
		return -ENOMEM;
	cfg->up = up;
	cfg->log_level = up->spec.level;
	cfg->loops = up->spec.loops;
	cfg->data_dir = omem_strdup(up->spec.data_dir);
	cfg->path = omem_strdup(up->spec.config);
	/* The parent decides when it has taken too long. */
	cfg->start_timeout_ns = UINT64_C(3600000000000);
	*ret = cfg;
	return 0;
}

/* fail() of the module, or what would end a daemon. */
static void failed(void *arg, const char *reason)
{
	struct core_up *up = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;

	(void)orlop_fail(&err, EIO, 0, "", "%s", reason ? reason : "asked to end");
	core_up_say_status(up, CORE_ISO_FAILED, 0, -EIO, &err);
	core_log_flush(up->core->log);
	_exit(1);
}

int core_up_image(struct core_up *up, struct core_image **ret)
{
	up->image->users++;
	*ret = up->image;
	return 0;
}

/* The module's file is mapped, none of its functions has run. */
static int describe(struct core_up *up, struct orlop_error *err)
{
	struct orlop_module own = { .size = 0 };
	struct orlop_msgw w;
	int r = core_image_open_copy(&up->core->loader->images, up->so_fd, up->spec.path, &up->image, err);

	if (r)
		return r;
	orlop_msgw_init(&w, NULL);
	/* An older descriptor is shorter: what it does not have stays zero. */
	memcpy(&own, up->image->mod, up->image->mod->size < sizeof(own) ? up->image->mod->size : sizeof(own));
	core_iso_put_desc(&w, &own);
	if (up->weak)
		orlop_msgw_str(&w, CORE_ISO_T_REASON, up->weak);
	if (w.err) {
		r = orlop_fail(err, -w.err, 0, "", "%s: parameters take more than %u bytes to describe",
			       up->spec.path, CORE_ISO_BODY_MAX);
		orlop_msgw_done(&w);
		return r;
	}
	core_up_say(up, CORE_ISO_DESCRIBE, 0, &w);
	return 0;
}

static int become(struct core_up *up, struct orlop_error *err)
{
	struct core_config *cfg;
	struct stat st;
	void *words;
	int r;

	r = config_make(up, &cfg);
	if (r)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	r = core_new(cfg, &up->core, err);
	if (r)
		return r;
	core_log_sink(up->core->log, core_up_log, up);
	up->core->end = failed;
	up->core->end_arg = up;
	core_net_borrow(up->core->net, core_up_borrow, core_up_give_back, up);
	core_crash_start(up->core);
	core_crash_report_to(up->crash_fd);
	r = core_rights_leave(&up->info.rights, err);
	if (r)
		return r;
	r = core_iso_chan_new(up->core->main, up->ctl, on_message, parent_gone, up, &up->chan);
	if (r)
		return orlop_fail(err, -r, 0, "", "control channel: %s", strerrordesc_np(-r));
	words = fstat(up->metrics_fd, &st) == 0 && st.st_size >= 4096 && st.st_size <= (off_t)METRICS_MAX ?
		mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, up->metrics_fd, 0) :
		MAP_FAILED;
	if (words != MAP_FAILED)
		core_metrics_export(up->core->metrics, words, (uint32_t)(st.st_size / 8), core_up_metric, up);
	(void)close(up->metrics_fd);
	return describe(up, err);
}

/* Everything but what a fault raises is blocked: the parent says what to do, the terminal does not. */
static void signals_block(void)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	sigset_t all;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&all, faults[i]);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

int core_isolate_main(int fd)
{
	struct core_up *up = OMEM_NEW(struct core_up);
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r;

	(void)mallopt(M_ARENA_MAX, 1);
	(void)mallopt(M_TRIM_THRESHOLD, 128 << 10);
	if (!up || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		fprintf(stderr, "orlopd: --isolated is for the daemon itself\n");
		omem_free(up);
		return 2;
	}
	up->ctl = fd;
	(void)pthread_mutex_init(&up->lock, NULL);
	olist_init(&up->requests);
	omap_init(&up->request_ids);
	omap_init(&up->call_ids);
	omap_init(&up->resources);
	up->resources_gen = 1;
	signals_block();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	r = read_spec(up, &err);
	if (r == 0) {
		const char *slash = strrchr(up->spec.path, '/');
		char name[16];

		(void)snprintf(name, sizeof(name), "orlop:%s", slash ? slash + 1 : up->spec.path);
		(void)prctl(PR_SET_NAME, name, 0, 0, 0);
		r = rights_read(up, &err);
	}
	if (r == 0)
		r = enter(up, &err);
	if (r == 0)
		r = become(up, &err);
	/* Changing the user has undone it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (r)
		return give_up(up, r, &err);
	core_loop_run(up->core->main);
	core_log_flush(up->core->log);
	return up->exit_code;
}
