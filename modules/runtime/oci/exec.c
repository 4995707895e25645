/*
 * exec.c - commands in running containers.
 *
 * `crun exec --process FILE ID` stays in the foreground as our child: its exit status is the
 * command's. Without a terminal its three pipes are handed to the caller; with one the master of the
 * command's pseudo-terminal is, which crun brings by a socket (runc stands between two terminals).
 */
#include "exec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#define SYNC_OUTPUT_MAX	(1u << 20)
#define KILLED_NS	2000000000ull	/* a runtime whose command was killed and that does not end is killed too */
#define RESULT_KEEP_NS	60000000000ull	/* an exit code nobody asks for is forgotten */

void exec_free(struct exec *x)
{
	struct oci *o = x->o;
	int i;

	for (i = 0; i < 2; i++) {
		o->h->fd_unwatch(x->watch[i]);
		if (x->out_fd[i] >= 0)
			close(x->out_fd[i]);
		obuf_done(&x->out[i]);
	}
	exec_console_close(x);
	if (x->master >= 0)
		close(x->master);
	if (x->process_file)
		(void)unlink(x->process_file);
	if (x->child)
		o->h->child_free(x->child);
	o->h->timer_free(x->timer);
	olist_del(&x->node);
	omem_free(x->process_file);
	omem_free(x->console_path);
	omem_free(x->unrun);
	omem_free(x);
}

static void wait_answer(struct exec *x)
{
	struct orlop_msgw w;
	struct orlop_msg msg;

	orlop_msgw_init(&w, x->o->h);
	orlop_msgw_u64(&w, ORLOP_RUNTIME_T_EXIT_CODE, (uint64_t)x->code);
	msg = orlop_msgw_msg(&w);
	x->o->h->call_done(x->waiter, 0, &msg, NULL);
	orlop_msgw_done(&w);
	x->waiter = NULL;
	exec_free(x);
}

static bool drain(struct exec *x, int i)
{
	char buf[8192];
	ssize_t n;

	if (x->out_fd[i] < 0)
		return false;
	while ((n = read(x->out_fd[i], buf, sizeof(buf))) > 0)
		if (x->out[i].len < SYNC_OUTPUT_MAX)
			obuf_append(&x->out[i], buf, (size_t)n);
	return n < 0 && errno == EAGAIN;
}

static void sync_answer(struct exec *x)
{
	static const char *const keys[] = { "stdout", "stderr" };
	struct ojson *out = ojson_new_object();
	struct oci *o = x->o;
	int i;

	if (x->timed_out) {
		struct orlop_error err = ORLOP_ERROR_INIT;

		orlop_fail(&err, ETIMEDOUT, 504, "DeadlineExceeded", "command timed out");
		ojson_unref(out);
		reply_error(o, x->sync_call, &err);
		exec_free(x);
		return;
	}
	for (i = 0; i < 2 && out; i++) {
		(void)drain(x, i);
		(void)ojson_set_string(out, keys[i], x->out[i].data ? x->out[i].data : "", x->out[i].len);
	}
	if (out)
		(void)ojson_set_i64(out, "exitCode", x->code);
	reply_json(o, x->sync_call, out, NULL);
	exec_free(x);
}

static void exec_ended(void *arg, int32_t code, int32_t sig)
{
	struct exec *x = arg;

	x->ended = true;
	x->code = sig ? 128 + sig : code;
	if (x->child)
		x->o->h->child_free(x->child);
	x->child = NULL;
	if (x->process_file)
		(void)unlink(x->process_file);
	if (x->tty_call)
		exec_console_ready(x, x->console, 0);	/* a short one: both are news at once */
	if (x->sync_call)
		sync_answer(x);
	else if (x->tty_call)
		exec_console_failed(x);
	else if (x->waiter)
		wait_answer(x);
	else
		x->o->h->timer_set(x->timer, RESULT_KEEP_NS, 0);
}

static int children_kill(int pid)
{
	cleanup_dir DIR *dp = NULL;
	struct dirent *d;
	char path[64];
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dp = opendir(path);
	while (dp && (d = readdir(dp))) {
		cleanup_obuf struct obuf b = OBUF_INIT;
		char file[64];
		char *end;
		char *p;
		int child;

		snprintf(file, sizeof(file), "%.16s/children", d->d_name);
		if (d->d_name[0] == '.' || ofile_read(dirfd(dp), file, 65536, &b))
			continue;
		for (p = b.len ? b.data : NULL; p && (child = (int)strtol(p, &end, 10)) > 0; p = end)
			n += !kill(child, SIGKILL);
	}
	return n;
}

/*
 * The command itself, not the OCI runtime that waits for it: that would leave it running, and later unreaped where no
 * first process does so, and then the container's own end would wait for ever.
 */
static void exec_kill(const struct exec *x)
{
	if (!children_kill(x->o->h->child_pid(x->child)))
		(void)x->o->h->child_kill(x->child, SIGKILL);
}

static void exec_timer(void *arg)
{
	struct exec *x = arg;

	if (x->ended) {
		exec_free(x);
		return;
	}
	if (x->timed_out) {
		(void)x->o->h->child_kill(x->child, SIGKILL);
		return;
	}
	x->timed_out = true;
	exec_kill(x);
	x->o->h->timer_set(x->timer, KILLED_NS, 0);
}

/* Write the process file for @cmd in container @c. */
static int process_write(struct oci *o, const struct container *c, struct exec *x,
			 const struct ojson *cmd, bool tty, const struct ojson *size, struct orlop_error *err)
{
	cleanup_free char *config = path_of(o, "containers/%s/config.json", c->id);
	cleanup_ojson struct ojson *spec = NULL;
	cleanup_ojson struct ojson *process = NULL;
	cleanup_free char *text = NULL;
	struct obuf b = OBUF_INIT;
	size_t len = 0;
	int e = config ? ofile_read(AT_FDCWD, config, 4u << 20, &b) : -ENOMEM;

	if (!e)
		e = ojson_parse(b.data, b.len, &spec, NULL);
	obuf_done(&b);
	if (!e && exec_find(c->pid, ojson_get(spec, "process"), ojson_cstr(ojson_index(cmd, 0), ""), &x->unrun, err))
		return -err->err;
	if (!e && !x->unrun)
		e = spec_exec(ojson_get(spec, "process"), cmd, tty, &process);
	if (!e && tty && size)
		e = ojson_set(process, "consoleSize", ojson_ref((struct ojson *)(uintptr_t)size));
	if (!e && !x->unrun) {
		text = ojson_text(process, 0, &len);
		e = text ? ofile_write(AT_FDCWD, x->process_file, text, len, 0600) : -ENOMEM;
	}
	return e ? orlop_fail(err, -e, 0, "", "cannot prepare a command in container %s", c->id) : 0;
}

static struct exec *exec_new(struct oci *o, const struct container *c)
{
	struct exec *x = OMEM_NEW(struct exec);

	if (!x)
		return NULL;
	x->o = o;
	x->master = -1;
	x->console = -1;
	x->out_fd[0] = -1;
	x->out_fd[1] = -1;
	id_new(o, x->id);
	olist_append(&o->execs, &x->node);
	x->process_file = path_of(o, "containers/%s/exec-%.12s.json", c->id, x->id);
	if (!x->process_file || o->h->timer_new(o->h, exec_timer, x, &x->timer)) {
		exec_free(x);
		return NULL;
	}
	return x;
}

int exec_spawn(struct exec *x, const struct container *c, bool tty, const int32_t fds[3], int dir,
	       struct orlop_error *err)
{
	struct oci *o = x->o;
	cleanup_free char *run = path_of(o, "run");
	const int32_t all[4] = { fds[0], fds[1], fds[2], dir };
	const char *argv[14];
	const char *started[RUNTIME_ARGS];
	struct orlop_spawn s = { .size = sizeof(s) };
	char console[64];
	int n = 0;

	snprintf(console, sizeof(console), "/proc/self/fd/3/tty-%.12s", x->id);
	argv[n++] = c->rt->program;
	argv[n++] = "--root";
	argv[n++] = run ? run : "";
	argv[n++] = "exec";
	if (dir >= 0) {
		argv[n++] = "--console-socket";
		argv[n++] = console;
	}
	argv[n++] = "--process";
	argv[n++] = x->process_file;
	if (tty)
		argv[n++] = "--tty";
	argv[n++] = c->id;
	argv[n] = NULL;
	s.argv = runtime_argv(o, c->rt, argv, started);
	s.fds = all;
	s.n_fds = dir >= 0 ? 4 : 3;
	s.flags = ORLOP_SPAWN_SETSID;
	return o->h->spawn(o->h, &s, exec_ended, x, &x->child, err);
}

/* The module stops: commands go with it, and whoever waits for one is told. */
void execs_end(struct oci *o)
{
	while (!olist_empty(&o->execs)) {
		struct exec *x = OLIST_ENTRY(olist_first(&o->execs), struct exec, node);

		if (x->waiter) {
			o->h->call_on_cancel(x->waiter, NULL, NULL);
			o->h->call_done(x->waiter, -ECANCELED, NULL, NULL);
		}
		if (x->sync_call)
			o->h->call_done(x->sync_call, -ECANCELED, NULL, NULL);
		if (x->tty_call)
			o->h->call_done(x->tty_call, -ECANCELED, NULL, NULL);
		if (x->child)
			exec_kill(x);
		exec_free(x);
	}
}

struct container *container_running(struct oci *o, const struct ojson *r, struct orlop_error *err)
{
	struct container *c = container_get(o, r, err);

	if (c && c->state != OCI_RUNNING) {
		orlop_fail(err, EINVAL, 0, "", "container %s is not running", c->id);
		return NULL;
	}
	return c;
}

static int pipe_pair(int fds[2], struct orlop_error *err)
{
	return pipe2(fds, O_CLOEXEC) ? orlop_fail(err, errno, 0, "", "pipe") : 0;
}

static void sync_readable(void *arg, int32_t fd, uint32_t events)
{
	struct exec *x = arg;
	int i = fd == x->out_fd[1];

	(void)events;
	if (!drain(x, i)) {
		x->o->h->fd_unwatch(x->watch[i]);
		x->watch[i] = NULL;
	}
}

/* What the kernel would not run has run and failed: says so where its stderr is, and has ended. */
static int unrun_reply(struct exec *x, const struct ojson *r, bool tty, struct orlop_call *call, struct orlop_error *err)
{
	cleanup_free char *line = omem_printf("%s\n", x->unrun);
	bool has_err = ojson_get_bool(r, "stderr", false);
	int fds[3] = { -1, -1, -1 };
	int p[2] = { -1, -1 };
	int e = !line ? orlop_fail(err, ENOMEM, 0, "", "no memory") : tty ? exec_terminal(&p[0], &p[1], err) : pipe_pair(p, err);

	if (e)
		return e;
	(void)!write(p[1], line, strlen(line));
	close(p[1]);
	for (int i = 0; !tty && i < 3; i++)
		fds[i] = i == 2 && has_err ? p[0] : open("/dev/null", O_RDWR | O_CLOEXEC);
	if (!tty && !has_err)
		close(p[0]);
	x->ended = true;
	x->code = EXEC_UNRUN;
	x->o->h->timer_set(x->timer, RESULT_KEEP_NS, 0);
	exec_reply(x, call, tty ? p : fds, tty ? 1 : 3);
	return 0;
}

OCI_OP(op_exec_sync)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct container *c;
	struct exec *x;
	int32_t fds[3] = { -1, -1, -1 };
	int64_t timeout;
	int p[2];
	int i;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	c = container_running(o, r, err);
	if (!c)
		return -err->err;
	x = exec_new(o, c);
	if (!x)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	e = process_write(o, c, x, ojson_get(r, "cmd"), false, NULL, err);
	if (!e && x->unrun) {
		x->sync_call = call;
		x->code = EXEC_UNRUN;
		obuf_append(&x->out[1], x->unrun, strlen(x->unrun));
		obuf_append(&x->out[1], "\n", 1);
		sync_answer(x);
		return 0;
	}
	for (i = 0; i < 2 && !e; i++) {
		e = pipe_pair(p, err);
		if (e)
			break;
		x->out_fd[i] = p[0];
		fds[i + 1] = p[1];
		(void)fcntl(p[0], F_SETFL, O_NONBLOCK);
		e = o->h->fd_watch(o->h, p[0], ORLOP_FD_READ, sync_readable, x, &x->watch[i]);
	}
	if (!e)
		e = exec_spawn(x, c, false, fds, -1, err);
	for (i = 1; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (e) {
		exec_free(x);
		return e;
	}
	x->sync_call = call;
	timeout = cri_i64(r, "timeout", 0);
	if (timeout > 0)
		o->h->timer_set(x->timer, (uint64_t)timeout * 1000000000ull, 0);
	return 0;
}

void exec_reply(struct exec *x, struct orlop_call *call, const int *fds, int n)
{
	struct orlop_msgw w;
	struct orlop_msg msg;
	int i;

	orlop_msgw_init(&w, x->o->h);
	orlop_msgw_str(&w, ORLOP_RUNTIME_T_EXEC_ID, x->id);
	for (i = 0; i < n; i++)
		orlop_msgw_fd(&w, fds[i]);
	msg = orlop_msgw_msg(&w);
	x->o->h->call_done(call, 0, &msg, NULL);
	orlop_msgw_done(&w);
}

static int exec_pipes(struct exec *x, const struct container *c, const struct ojson *r,
		      struct orlop_call *call, struct orlop_error *err)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	int32_t child[3] = { -1, -1, -1 };
	int ours[3] = { -1, -1, -1 };
	int p[2];
	int i;
	int e = 0;

	for (i = 0; i < 3 && !e; i++) {
		if (!ojson_get_bool(r, names[i], false))
			continue;
		e = pipe_pair(p, err);
		if (!e) {
			child[i] = p[i ? 1 : 0];
			ours[i] = p[i ? 0 : 1];
		}
	}
	if (!e)
		e = exec_spawn(x, c, false, child, -1, err);
	for (i = 0; i < 3; i++) {
		if (child[i] >= 0)
			close(child[i]);
		if (ours[i] < 0 && !e)
			ours[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (e && ours[i] >= 0)
			close(ours[i]);
	}
	if (!e)
		exec_reply(x, call, ours, 3);
	return e;
}

OCI_OP(op_exec)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct container *c;
	struct exec *x;
	bool tty;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	c = container_running(o, r, err);
	if (!c)
		return -err->err;
	if (!ojson_count(ojson_get(r, "cmd")))
		return orlop_fail(err, EINVAL, 400, "BadRequest", "you must specify at least 1 command for the container");
	tty = ojson_get_bool(r, "tty", false);
	x = exec_new(o, c);
	if (!x)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	x->rows = (uint16_t)ojson_i64(OJSON_AT(r, "consoleSize", "height"), 0);
	x->cols = (uint16_t)ojson_i64(OJSON_AT(r, "consoleSize", "width"), 0);
	e = process_write(o, c, x, ojson_get(r, "cmd"), tty, ojson_get_object(r, "consoleSize"), err);
	if (!e)
		e = x->unrun ? unrun_reply(x, r, tty, call, err)
		  : tty ? exec_tty(x, c, call, err) : exec_pipes(x, c, r, call, err);
	if (e)
		exec_free(x);
	return e;
}

static struct exec *exec_get(struct oci *o, const struct orlop_req *req, struct orlop_error *err)
{
	struct orlop_bytes id = orlop_msg_bytes(o->h, &req->msg, ORLOP_RUNTIME_T_EXEC_ID);

	OLIST_FOREACH(pos, &o->execs) {
		struct exec *x = OLIST_ENTRY(pos, struct exec, node);

		if (id.len == OCI_ID_LEN && !memcmp(id.p, x->id, OCI_ID_LEN))
			return x;
	}
	orlop_fail(err, ENOENT, 404, "NotFound", "no such command session");
	return NULL;
}

OCI_OP(op_exec_resize)
{
	struct oci *o = ctx;
	struct attach *a = attach_get(o, orlop_msg_bytes(o->h, &req->msg, ORLOP_RUNTIME_T_EXEC_ID));
	struct exec *x = a ? NULL : exec_get(o, req, err);
	struct winsize ws = {
		.ws_col = (unsigned short)orlop_msg_u64(&req->msg, ORLOP_RUNTIME_T_WIDTH, 0),
		.ws_row = (unsigned short)orlop_msg_u64(&req->msg, ORLOP_RUNTIME_T_HEIGHT, 0),
	};

	if (!x && !a)
		return -ENOENT;
	if (a)
		attach_resize(a, ws.ws_col, ws.ws_row);
	else if (x->master >= 0 && !ioctl(x->master, TIOCSWINSZ, &ws) && x->child)
		(void)o->h->child_kill(x->child, SIGWINCH);
	o->h->call_done(call, 0, NULL, NULL);
	return 0;
}

static void waiter_gone(void *arg)
{
	struct exec *x = arg;
	struct orlop_call *call = x->waiter;

	x->waiter = NULL;
	x->o->h->call_done(call, -ECANCELED, NULL, NULL);
	/* nobody wants its result: the command goes as upstream's does when the client leaves */
	if (x->child)
		(void)x->o->h->child_kill(x->child, SIGHUP);
}

OCI_OP(op_exec_wait)
{
	struct oci *o = ctx;
	struct attach *a = attach_get(o, orlop_msg_bytes(o->h, &req->msg, ORLOP_RUNTIME_T_EXEC_ID));
	struct exec *x = a ? NULL : exec_get(o, req, err);

	if (a && !attach_wait(a, call))
		return 0;
	if (!x && !a)
		return -ENOENT;
	if (a || x->waiter)
		return orlop_fail(err, EBUSY, 0, "", "somebody waits for this command already");
	x->waiter = call;
	if (x->ended) {
		wait_answer(x);
		return 0;
	}
	o->h->call_on_cancel(call, waiter_gone, x);
	return 0;
}

OCI_OP(op_reopen_log)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct container *c;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	c = container_running(o, r, err);
	if (!c)
		return -err->err;
	e = conmon_tell(o, c->id, 2, 0, 0);
	if (e)
		return orlop_fail(err, -e, 0, "", "container %s: its monitor does not listen", c->id);
	reply_json(o, call, NULL, NULL);
	return 0;
}
