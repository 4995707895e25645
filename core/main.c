/*
 * main.c - orlopd: options, signals, loading what the configuration lists, running, ending in order.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "admin.h"
#include "base/ocleanup.h"
#include "config.h"
#include "core.h"
#include "crash.h"
#include "daemon.h"
#include "isolate.h"
#include "loader.h"
#include "log.h"
#include "watchdog.h"

#define TRIM_NS		UINT64_C(60000000000)
#define FLUSH_NS	UINT64_C(5000000000)

/* The running daemon. */
struct orlopd {
	struct core	*core;
	int		sig_fd;
	struct orlop_fdwatch *sig_watch;
	struct orlop_timer *trim;
	struct orlop_timer *flush;	/* counts of repeated log lines */
	struct orlop_timer *stop_by;
	struct core_post load;		/* load_all() */
	uint32_t	to_load;	/* modules of the configuration not ready yet */
	bool		ending;
	int		exit_code;
	int		ready_fd;	/* -1: nobody asked */
	int		parent_fd;	/* of the process that waits in the foreground; -1: none */
	int		say_fd;		/* where failures to start are said besides the log */
	const char	*notify;
	uint64_t	turns;		/* of the main loop at the last trim */
};

static void usage(FILE *f)
{
	fputs("usage: orlopd [-c FILE] [-f] [--ready-fd N] [--check-config] [--version]\n"
	      "  -c, --config FILE   the configuration (default " ORLOP_SYSCONF_DIR "/orlopd.conf)\n"
	      "  -f, --foreground    do not go to the background\n"
	      "      --ready-fd N    write READY to descriptor N when all modules are ready\n"
	      "      --check-config  read the configuration and the modules' files, say what is wrong, end\n"
	      "      --version       print the version and the ABI\n", f);
}

/* ---- ending ------------------------------------------------------------------------------------------ */

static void all_stopped(void *arg)
{
	struct orlopd *d = arg;

	core_loop_stop(d->core->main);
}

static void end_late(void *arg)
{
	struct orlopd *d = arg;

	CLOG(d->core, ERR, "stop_late", "text=\"modules did not end in %llu s; ending without them\"",
	     (unsigned long long)(core_config_end_ns(d->core->config) / 1000000000));
	core_log_flush(d->core->log);
	_exit(1);
}

static void end(void *arg, const char *reason)
{
	struct orlopd *d = arg;

	if (d->ending)
		return;
	if (reason)
		d->exit_code = 1;
	d->ending = true;
	core_log_text(d->core->log, "core", ORLOP_LOG_INFO, "stopping", reason ? reason : "as asked");
	core_daemon_notify(d->notify, "STOPPING=1\n");
	if (core_timer_new(d->core->main, NULL, end_late, d, &d->stop_by) == 0)
		core_timer_set(d->stop_by, core_config_end_ns(d->core->config), 0);
	core_loader_stop_all(d->core, all_stopped, d);
}

/* ---- loading --------------------------------------------------------------------------------------------- */

static void flush_due(void *arg)
{
	struct orlopd *d = arg;
	uint64_t at = core_log_flush_at(d->core->log);

	core_log_flush(d->core->log);
	/* Armed again only while repeats are being counted: an idle daemon sleeps. */
	core_timer_set(d->flush, at ? FLUSH_NS : 12 * FLUSH_NS, 0);
}

static void trim_due(void *arg)
{
	struct orlopd *d = arg;
	uint64_t turns = atomic_load(&d->core->main->turns);

	/* After some work there may be something to give back. */
	if (turns - d->turns > 200)
		(void)malloc_trim(0);
	d->turns = turns;
	core_timer_set(d->trim, TRIM_NS, 0);
}

static void all_ready(struct orlopd *d)
{
	CLOG(d->core, INFO, "ready", "modules=%u ms=%llu", d->core->config->n_modules,
	     (unsigned long long)((core_now_mono() - d->core->start_mono) / 1000000));
	core_daemon_ready(d->ready_fd, d->notify);
	core_daemon_ready(d->parent_fd, NULL);
	d->ready_fd = -1;
	d->parent_fd = -1;
	if (d->say_fd > 2)
		(void)close(d->say_fd);
	d->say_fd = -1;
	core_timer_set(d->trim, UINT64_C(2000000000), 0);
}

/* Why it does not start: in the log, and in one line to whoever started it. */
static void failed(struct orlopd *d, const struct orlop_error *err)
{
	if (d->core)
		core_log_text(d->core->log, "core", ORLOP_LOG_ERR, "start_failed", err->msg);
	if (d->say_fd >= 0)
		dprintf(d->say_fd, "orlopd: %s\n", err->msg);
}

static void module_loaded(void *arg, int status, struct core_instance *inst,
			  const struct orlop_error *err)
{
	struct orlopd *d = arg;

	(void)inst;
	core_crash_update(d->core);
	if (status) {
		if (!d->ending)
			failed(d, err);
		end(d, err->msg);
		return;
	}
	if (--d->to_load == 0 && !d->ending)
		all_ready(d);
}

static void load_all(void *arg)
{
	struct orlopd *d = arg;
	struct core_config *cfg = d->core->config;
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r;

	r = core_loader_plan(d->core, cfg->modules, cfg->n_modules, &err);
	d->to_load = cfg->n_modules;
	for (uint32_t i = 0; i < cfg->n_modules && r == 0; i++)
		r = core_loader_load(d->core, &cfg->modules[i], module_loaded, d, &err);
	if (r) {
		failed(d, &err);
		end(d, err.msg);
	} else if (cfg->n_modules == 0) {
		all_ready(d);
	}
}

/* ---- signals ---------------------------------------------------------------------------------------------- */

/* The configuration again: what cannot change is in the log, one line each. */
static void reload(struct orlopd *d)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf out = OBUF_INIT;

	if (core_reload(d->core, &out, &err))
		core_log_text(d->core->log, "core", ORLOP_LOG_ERR, "reload_failed", err.msg);
	else
		core_log_text(d->core->log, "core", ORLOP_LOG_INFO, "reload", obuf_cstr(&out));
	obuf_done(&out);
	orlop_error_done(&err);
}

static void signalled(void *arg, int32_t fd, uint32_t events)
{
	struct orlopd *d = arg;
	struct signalfd_siginfo si;

	(void)events;
	while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			if (d->ending) {
				core_log_flush(d->core->log);
				_exit(1);	/* asked twice: now */
			}
			end(d, NULL);
			break;
		case SIGUSR1:
			core_state_dump(d->core);
			break;
		case SIGHUP:
			reload(d);
			break;
		default:
			CLOG(d->core, INFO, "signal", "number=%u text=\"reserved, ignored\"", si.ssi_signo);
		}
	}
}

/* All signals but those of faults are blocked here, so in all threads, and read from a descriptor. */
static int signals_open(int *ret_fd)
{
	sigset_t all;
	sigset_t ours;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGHUP);
	sigaddset(&ours, SIGUSR1);
	sigaddset(&ours, SIGUSR2);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -errno;
	*ret_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? -errno : 0;
}

/* ---- main --------------------------------------------------------------------------------------------------- */

struct options {
	const char	*config;
	bool		foreground;
	bool		check;
	int		ready_fd;
};

/* 0: go on, 1: done well, 2: wrong use. */
static int options_read(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "ready-fd", required_argument, NULL, 'r' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char *rest;
	int k;

	while ((k = getopt_long(argc, argv, "c:fh", longs, NULL)) != -1) {
		switch (k) {
		case 'c':
			o->config = optarg;
			break;
		case 'f':
			o->foreground = true;
			break;
		case 'r':
			o->ready_fd = (int)strtol(optarg, &rest, 10);
			if (*rest || rest == optarg || o->ready_fd < 0 ||
			    fcntl(o->ready_fd, F_SETFD, FD_CLOEXEC) < 0) {
				fprintf(stderr, "orlopd: --ready-fd %s: no open descriptor\n", optarg);
				return 2;
			}
			break;
		case 'k':
			o->check = true;
			break;
		case 'v':
			printf("orlopd %s (module ABI %u.%u)\n", ORLOP_VERSION, ORLOP_ABI_MAJOR,
			       ORLOP_ABI_MINOR);
			return 1;
		case 'h':
			usage(stdout);
			return 1;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "orlopd: unexpected argument %s\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	return 0;
}

/* The configuration and every module's file, without running anything. */
static int check_config(struct core_config *cfg)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core *c;
	int r;

	r = core_new(cfg, &c, &err);
	if (r == 0) {
		r = core_loader_plan(c, c->config->modules, c->config->n_modules, &err);
		if (r == 0)
			printf("%s: ok, %u modules\n", c->config->path, c->config->n_modules);
		core_free(c);
	}
	if (r)
		fprintf(stderr, "orlopd: %s\n", err.msg);
	return r ? 1 : 0;
}

static int run(struct core_config *cfg, struct orlopd *d)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_free char *dir = omem_strdup(cfg->data_dir);
	struct core_watchdog *watchdog = NULL;
	int lock = -1;
	int r;

	r = dir ? core_daemon_lock(dir, &lock, &err) : -ENOMEM;
	if (r) {
		failed(d, &err);
		core_config_free(cfg);
		return 1;
	}
	core_crash_start(NULL);
	r = core_new(cfg, &d->core, &err);
	if (r) {
		failed(d, &err);
		core_daemon_unlock(dir, lock);
		return 1;
	}
	d->core->end = end;
	d->core->end_arg = d;
	core_crash_start(d->core);
	(void)core_crash_tell(d->core);
	CLOG(d->core, INFO, "starting", "version=%s abi=%u.%u pid=%ld config=%s", ORLOP_VERSION,
	     ORLOP_ABI_MAJOR, ORLOP_ABI_MINOR, (long)getpid(), d->core->config->path);
	r = core_fd_watch(d->core->main, NULL, d->sig_fd, ORLOP_FD_READ, signalled, d, &d->sig_watch);
	if (r == 0)
		r = core_timer_new(d->core->main, NULL, trim_due, d, &d->trim);
	if (r == 0)
		r = core_timer_new(d->core->main, NULL, flush_due, d, &d->flush);
	if (r)
		(void)orlop_fail(&err, -r, 0, "", "cannot start: %s", strerrordesc_np(-r));
	else
		r = core_control_start(d->core, &err);
	if (r) {
		failed(d, &err);
		d->exit_code = 1;
	} else {
		if (core_watchdog_start(d->core, &watchdog))
			CLOG(d->core, WARN, "watchdog", "text=\"no thread for it: loops that hang are not told\"");
		core_timer_set(d->flush, FLUSH_NS, 0);
		(void)core_loop_post_node(d->core->main, &d->load, load_all, d);
		core_loop_run(d->core->main);
		CLOG(d->core, INFO, "stopped", "code=%d", d->exit_code);
	}
	core_control_stop(d->core);
	core_fd_unwatch(d->sig_watch);
	core_timer_free(d->trim);
	core_timer_free(d->flush);
	core_timer_free(d->stop_by);
	core_watchdog_stop(watchdog);
	core_crash_stop();
	core_free(d->core);
	core_watchdog_free(watchdog);
	core_daemon_unlock(dir, lock);
	return d->exit_code;
}

/* stderr of a daemon in the background, unless somebody reads it already. */
static void log_to_file(const struct core_config *cfg)
{
	cleanup_free char *path = omem_printf("%s/orlopd.log", cfg->data_dir);
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	(void)dup2(fd, 2);
	if (fd != 2)
		(void)close(fd);
}

int main(int argc, char **argv)
{
	struct options o = { .config = ORLOP_SYSCONF_DIR "/orlopd.conf", .ready_fd = -1 };
	struct orlopd d = { .sig_fd = -1, .ready_fd = -1, .parent_fd = -1, .say_fd = 2 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_config *cfg;
	int r;

	/* The daemon's own: the process of an isolated module (isolate.h). */
	if (argc >= 3 && strcmp(argv[1], "--isolated") == 0)
		return core_isolate_main(atoi(argv[2]));
	r = options_read(argc, argv, &o);

	if (r)
		return r == 1 ? 0 : 2;
	r = o.foreground ? core_daemon_first() : 0;
	if (r) {
		fprintf(stderr, "orlopd: cannot start a process: %s\n", strerrordesc_np(-r));
		return 1;
	}
	if (core_config_read(o.config, &cfg, &err)) {
		fprintf(stderr, "orlopd: %s\n", err.msg);
		return 1;
	}
	/* A few arenas: threads that mostly wait need none of their own, and each keeps its waste. */
	(void)mallopt(M_ARENA_MAX, 2);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
	d.notify = getenv("NOTIFY_SOCKET");
	d.ready_fd = o.ready_fd;
	if (o.check)
		return check_config(cfg);
	if (!o.foreground) {
		r = core_daemon_background(&d.parent_fd);
		if (r < 0) {
			fprintf(stderr, "orlopd: cannot go to the background: %s\n", strerrordesc_np(-r));
			return 1;
		}
	}
	if (signals_open(&d.sig_fd)) {
		fprintf(stderr, "orlopd: cannot receive signals\n");
		return 1;
	}
	if (!o.foreground) {
		d.say_fd = fcntl(2, F_DUPFD_CLOEXEC, 3);
		log_to_file(cfg);
	}
	r = run(cfg, &d);
	(void)close(d.sig_fd);
	return r;
}
