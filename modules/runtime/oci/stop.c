/*
 * stop.c - ends of containers: asked for, and noticed.
 *
 * Stop sends the image's stop signal (or SIGTERM) to the container's first process, waits for its
 * exit file, and kills after the grace. It signals by pid, checked by start time, so that nothing
 * else with the same number is hit.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

static int container_signal(const struct container *c, int sig)
{
	if (!c->pid_start || pid_start_time(c->pid) != c->pid_start)
		return -ESRCH;
	return kill(c->pid, sig) ? -errno : 0;
}

/* Names as images write them: "SIGQUIT", "QUIT" or a number. */
static int signal_number(const char *name)
{
	static const struct { const char *name; int sig; } table[] = {
		{ "HUP", SIGHUP }, { "INT", SIGINT }, { "QUIT", SIGQUIT }, { "ABRT", SIGABRT },
		{ "KILL", SIGKILL }, { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "ALRM", SIGALRM },
		{ "TERM", SIGTERM }, { "CONT", SIGCONT }, { "STOP", SIGSTOP }, { "WINCH", SIGWINCH },
		{ "PWR", SIGPWR },
	};
	size_t i;
	int n;

	if (!name || !*name)
		return SIGTERM;
	n = atoi(name);
	if (n > 0 && n < 65)
		return n;
	if (!strncmp(name, "SIG", 3))
		name += 3;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(table[i].name, name))
			return table[i].sig;
	if (!strncmp(name, "RTMIN+", 6))
		return SIGRTMIN + atoi(name + 6);
	return SIGTERM;
}

static void wait_free(struct oci *o, struct stop_wait *w)
{
	o->h->timer_free(w->timer);
	olist_del(&w->node);
	omem_free(w);
}

void stop_forget(struct oci *o, struct container *c)
{
	while (!olist_empty(&c->waits))
		wait_free(o, OLIST_ENTRY(olist_first(&c->waits), struct stop_wait, node));
}

void stop_answer_all(struct oci *o, struct container *c)
{
	while (!olist_empty(&c->waits)) {
		struct stop_wait *w = OLIST_ENTRY(olist_first(&c->waits), struct stop_wait, node);
		struct stop_wait was = *w;

		wait_free(o, w);
		if (was.call)
			reply_json(o, was.call, NULL, NULL);
		else
			was.then(was.arg);
	}
}


/* The grace is over. */
static void stop_kill(void *arg)
{
	struct stop_wait *w = arg;

	(void)container_signal(w->c, SIGKILL);
}

struct rest {
	struct oci	*o;
	char		*cgroup;
};

static void rest_work(void *arg)
{
	struct rest *r = arg;

	cgroup_kill(r->o, r->cgroup);
}

static void rest_done(void *arg)
{
	struct rest *r = arg;

	omem_free(r->cgroup);
	omem_free(r);
}

/* A container without a PID namespace of its own ends with its first process; the kernel ends only that. */
static void kill_rest(struct oci *o, const struct container *c)
{
	const char *pid = ojson_cstr(OJSON_AT(c->config, "linux", "securityContext", "namespaceOptions", "pid"), "CONTAINER");
	struct rest *r = strcmp(pid, "CONTAINER") != 0 ? OMEM_NEW(struct rest) : NULL;

	if (!r)
		return;
	r->o = o;
	r->cgroup = container_cgroup(o, c);
	if (!r->cgroup || o->h->work(o->h, 0, rest_work, rest_done, r))
		rest_done(r);
}

/* @filed: by its exit file, which says the same when we are asked after a restart. */
static void ended(struct oci *o, struct container *c, bool filed)
{
	cleanup_free char *oom = path_of(o, "rw/%s/oom", c->id);
	cleanup_free char *before = path_of(o, "containers/%s/persist/oom", c->id);	/* of a monitor that an older module started */

	monitor_forget(o, c);
	c->state = OCI_EXITED;
	if (!c->finished_ns)
		c->finished_ns = o->h->now_wall(o->h);
	c->oom = (oom && !access(oom, F_OK)) || (before && !access(before, F_OK));
	if ((!filed || c->oom) && container_save(o, c))
		OLOG(o->h, WARN, "state_not_saved", "container=%s", c->id);
	event_add(o, "CONTAINER_STOPPED_EVENT", c->id, c->sandbox);
	kill_rest(o, c);
	stop_answer_all(o, c);
}

void container_ended(struct oci *o, struct container *c)
{
	ended(o, c, false);
}

void container_check_exit(struct oci *o, struct container *c)
{
	cleanup_free char *path = path_of(o, "exits/%s", c->id);
	struct obuf b = OBUF_INIT;
	struct stat st;

	if (!path || c->state == OCI_EXITED)
		return;
	if (!ofile_read(AT_FDCWD, path, 64, &b) && b.len) {
		c->exit_code = c->unrun ? EXEC_UNRUN : atoi(obuf_cstr(&b));
		if (!stat(path, &st))
			c->finished_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000ull +
					 (uint64_t)st.st_mtim.tv_nsec;
		if (!c->started_ns && c->state == OCI_RUNNING)
			c->started_ns = c->created_ns;
		if (c->finished_ns && c->finished_ns < c->started_ns)
			c->started_ns = c->finished_ns;	/* the clock of files is coarser */
		ended(o, c, !c->unrun);
	}
	obuf_done(&b);
}

static int stop_signal_of(struct oci *o, const struct container *c)
{
	const struct image *img = image_find(o, c->image_id);
	const char *asked = ojson_get_cstr(c->config, "stopSignal", "");

	if (*asked)
		return signal_number(asked);
	return signal_number(img ? ojson_cstr(OJSON_AT(img->config, "config", "StopSignal"), NULL) : NULL);
}

static struct stop_wait *wait_new(struct oci *o, struct container *c)
{
	struct stop_wait *w = OMEM_NEW(struct stop_wait);

	if (!w || o->h->timer_new(o->h, stop_kill, w, &w->timer)) {
		omem_free(w);
		return NULL;
	}
	w->c = c;
	olist_append(&c->waits, &w->node);
	return w;
}

/* As containerd says of one whose end it did not see. */
void container_ended_unseen(struct oci *o, struct container *c)
{
	c->exit_code = 255;
	c->unseen = true;
	container_ended(o, c);
}

/* No process: its exit file is there, or will never come (conmon was killed). */
static void ended_unseen(struct oci *o, struct container *c)
{
	container_check_exit(o, c);
	if (c->state != OCI_EXITED)
		container_ended_unseen(o, c);
}

void container_unrun(struct container *c)
{
	c->unrun = true;
	(void)container_signal(c, SIGKILL);
}

int container_kill(struct oci *o, struct container *c, orlop_cb then, void *arg)
{
	struct stop_wait *w = wait_new(o, c);

	if (!w)
		return -ENOMEM;
	w->then = then;
	w->arg = arg;
	if (container_signal(c, SIGKILL) == -ESRCH)
		ended_unseen(o, c);
	return 0;
}

OCI_OP(op_stop_container)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct container *c;
	struct stop_wait *w;
	int64_t timeout;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	c = container_get(o, r, NULL);
	if (!c || c->state == OCI_EXITED) {	/* CRI: idempotent */
		reply_json(o, call, NULL, NULL);
		return 0;
	}
	timeout = cri_i64(r, "timeout", 0);
	w = wait_new(o, c);
	if (!w)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	w->call = call;
	e = container_signal(c, timeout > 0 && c->state == OCI_RUNNING ? stop_signal_of(o, c) : SIGKILL);
	if (timeout > 0)
		o->h->timer_set(w->timer, (uint64_t)timeout * 1000000000ull, 0);
	if (e == -ESRCH)
		ended_unseen(o, c);
	return 0;
}
