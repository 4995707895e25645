/*
 * down.c - `orlop down`: the daemon ends in order; with --shutdown its pods before it, with --wipe everything else too.
 */
#include "cli.h"
#include "daemon.h"
#include "down.h"
#include "proc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/ocleanup.h"

#define STOP_MS		45000		/* an orderly end, if the daemon does not say how long one may take there */
#define LATE_MS		15000		/* and before it is called overdue */

/* The daemon's process by a descriptor, if it is one; -ESRCH. */
static int daemon_open(pid_t pid)
{
	char comm[32] = "";
	int fd = proc_open(pid, 0);

	if (fd < 0)
		return fd;
	if (proc_comm(pid, comm, sizeof(comm)) || strcmp(comm, "orlopd")) {
		(void)close(fd);
		return -ESRCH;
	}
	return fd;
}

struct how {
	bool	wipe;
	bool	shutdown;
	int64_t	grace_s;	/* wipe */
};

/* For an orderly end by the daemon's own clock: what its configuration gives to requests under way, and the rest. */
static int64_t end_ms(struct ctl *c)
{
	cleanup_ojson struct ojson *j = NULL;

	return ctl_json(c, ORLOP_ADMIN_STATUS, NULL, &j, NULL) ? STOP_MS : ojson_get_i64(j, "endMs", STOP_MS);
}

/* It runs: asked by its socket, else by signal, and waited for. *@ret_ended: its pods have ended, as @how asks. */
static int stop(const struct setup *s, pid_t pid, const struct how *how, bool *ret_ended, struct orlop_error *err)
{
	struct orlop_error why = ORLOP_ERROR_INIT;
	struct obuf answer = OBUF_INIT;
	struct ctl c = { .fd = -1 };
	cleanup_close int fd = daemon_open(pid);
	int64_t wait_ms = STOP_MS;
	int r = 0;

	if (fd < 0)
		return fd == -ESRCH ? 0 : orlop_fail(err, -fd, 0, "", "process %ld: %s", (long)pid, strerrordesc_np(-fd));
	if (ctl_open(s->control, &c, NULL) == 0) {
		*ret_ended = how->shutdown && !drain_shutdown(&c, &why);
		if (how->shutdown && !*ret_ended)
			cli_say("ending pods: %s; going on", why.msg);
		if (how->wipe)
			drain(s, &c, how->grace_s);
		wait_ms = end_ms(&c);
		r = ctl_call(&c, ORLOP_ADMIN_STOP, NULL, &answer, NULL);
	} else {
		r = -ECONNREFUSED;
	}
	ctl_close(&c);
	obuf_done(&answer);
	if (r)
		(void)proc_signal(fd, SIGTERM);
	r = proc_wait(fd, wait_ms + LATE_MS);
	if (r == -ETIMEDOUT) {
		cli_say("orlopd (pid %ld) did not end in %lld s; killing it", (long)pid, (long long)(wait_ms + LATE_MS) / 1000);
		(void)proc_signal(fd, SIGKILL);
		r = proc_wait(fd, 5000);
	}
	return r ? orlop_fail(err, -r, 0, "", "orlopd (pid %ld) does not end", (long)pid) : 0;
}

static int wipe_dir(const struct setup *s, struct orlop_error *err)
{
	cleanup_close int lock = -1;
	int r;

	if (access(s->dir, F_OK))
		return 0;
	if (!wipe_is_ours(s))
		return orlop_fail(err, EINVAL, 0, "", "%s is not a data directory of orlop; nothing was removed", s->dir);
	r = daemon_lock(s, &lock, err);
	return r ? r : wipe(s, err);
}

static int down(struct setup *s, const struct how *how, struct orlop_error *err)
{
	pid_t pid = daemon_pid(s);
	bool there = access(s->dir, F_OK) == 0, ended = false;
	int r;

	if (pid < 0)
		return orlop_fail(err, -pid, 0, "", "%s/lock: %s", s->dir, strerrordesc_np(-pid));
	r = pid ? stop(s, pid, how, &ended, err) : 0;
	if (r == 0 && how->wipe)
		r = wipe_dir(s, err);
	if (r)
		return r;
	if (how->wipe)
		printf("%s\n", there ? "orlop is gone from this machine: processes, links, mounts, cgroups, data" :
		       "nothing to remove");
	else if (ended)
		printf("the pods of this machine have ended, and orlopd\n");
	else if (pid)
		printf("orlopd is stopped; containers go on until orlop up or orlop down --wipe\n");
	else
		printf("orlopd was not running on %s\n", s->dir);
	return 0;
}

int cmd_down(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	struct how how = { .grace_s = 5 };
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "wipe", ARG_FLAG, &how.wipe, NULL, "end its pods too and remove all it made, data included" },
		{ "shutdown", ARG_FLAG, &how.shutdown, NULL, "the machine goes down: end its pods in order first" },
		{ "grace", ARG_NUMBER, &how.grace_s, "SECONDS", "with --wipe: for containers to end by themselves (default 5)" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct setup s = { .dir = NULL };
	int n = args_parse(cmd, args, argc, argv);
	int r;

	if (n < 0)
		return ARGS_EXIT(n);
	if (geteuid() != 0) {
		cli_say("down needs root; try sudo orlop down");
		return CLI_FAILED;
	}
	r = setup_open(dir, &s, &err);
	if (r == -EINVAL && how.wipe && s.dir)
		r = 0;		/* a broken setup.json: its defaults are what it was made with */
	if (r == 0)
		r = down(&s, &how, &err);
	setup_done(&s);
	return r ? cli_fail(&err) : CLI_OK;
}
