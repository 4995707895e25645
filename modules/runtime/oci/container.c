/*
 * container.c - starting, removing and telling of containers (making them: create.c).
 *
 * start: `crun start`. The end comes as a file in exits/ (events.c). remove: worker (cgroups, unmount,
 * put into trash/) → answer → delete; by `crun delete --force` first when something still runs.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#define TRASH_KEY	UINT64_C(0x7472617368)	/* one worker at a time deletes */

char *container_cgroup(struct oci *o, const struct container *c)
{
	const struct sandbox *s = omap_get_cstr(&o->sandboxes, c->sandbox);
	const char *parent = s ? ojson_cstr(OJSON_AT(s->config, "linux", "cgroupParent"), "") : "";

	return omem_printf("%s%s/%s", *parent == '/' ? "" : "/", *parent ? parent : "orlop", c->id);
}

/* A short program run about one container, then an answer. */
struct run_job {
	struct oci	*o;
	struct orlop_call *call;	/* to answer; or */
	orlop_cb	then;		/* to call */
	void		*arg;
	char		id[OCI_ID_LEN + 1];
	char		*dir;
	char		*exit_file;
	char		*cgroup;	/* remove */
	char		*rw;
	char		*kept;
	char		*trash;
	const struct handler *rt;
	bool		by_runtime;	/* remove: the OCI runtime has to */
	int		result;
	int		pid;		/* start */
	char		*log;
	char		*unrun;		/* its program is not for this machine: what it says */
	int		shelter;
	bool		sealed;
	struct orlop_error err;
};

static void run_job_free(struct run_job *j)
{
	if (j->shelter >= 0)
		close(j->shelter);
	omem_free(j->dir);
	omem_free(j->exit_file);
	omem_free(j->cgroup);
	omem_free(j->rw);
	omem_free(j->kept);
	omem_free(j->trash);
	omem_free(j->log);
	omem_free(j->unrun);
	omem_free(j);
}

static struct run_job *run_job_new(struct oci *o, const struct container *c, struct orlop_call *call)
{
	struct run_job *j = OMEM_NEW(struct run_job);

	if (!j)
		return NULL;
	j->o = o;
	j->call = call;
	j->rt = c->rt;
	j->shelter = -1;
	j->err.size = sizeof(j->err);
	memcpy(j->id, c->id, sizeof(j->id));
	j->dir = path_of(o, "containers/%s", c->id);
	j->exit_file = path_of(o, "exits/%s", c->id);
	if (!j->dir || !j->exit_file) {
		run_job_free(j);
		return NULL;
	}
	return j;
}

static int runtime_delete(struct oci *o, const struct handler *rt, const char *id, proc_fn fn, void *arg, struct orlop_error *err)
{
	cleanup_free char *run = path_of(o, "run");
	const char *argv[] = { rt->program, "--root", run, "delete", "--force", id, NULL };

	if (!run)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	return proc_run(o, argv, handler_flags(o, rt), fn, arg, err);
}

/* A line of its log as its monitor would have written it. */
static void unrun_log(const struct run_job *j, bool tty)
{
	cleanup_close int fd = open(j->log, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	cleanup_free char *line = NULL;
	struct timespec now;
	struct tm tm;
	char at[32];

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (fd < 0 || !gmtime_r(&now.tv_sec, &tm) || !strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &tm))
		return;
	line = omem_printf("%s.%09ldZ %s F %s\n", at, now.tv_nsec, tty ? "stdout" : "stderr", j->unrun);
	if (line)
		(void)!write(fd, line, strlen(line));
}

/* Its first process waits for the start, and sees its root with all that is mounted there. */
static bool unrun_look(struct run_job *j)
{
	cleanup_free char *path = omem_printf("%s/config.json", j->dir);
	cleanup_ojson struct ojson *spec = NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;
	const struct ojson *process;

	if (!path || ofile_read(AT_FDCWD, path, 4u << 20, &b) || ojson_parse(b.data, b.len, &spec, NULL))
		return false;
	process = ojson_get(spec, "process");
	if (exec_find(j->pid, process, ojson_cstr(ojson_index(ojson_get(process, "args"), 0), ""), &j->unrun, NULL) || !j->unrun)
		return false;
	unrun_log(j, ojson_get_bool(process, "terminal", false));
	return true;
}

static void start_work(void *arg)
{
	struct run_job *j = arg;
	cleanup_free char *run = path_of(j->o, "run");
	const char *argv[] = { j->rt->program, "--root", run, "start", j->id, NULL };
	const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				    j->sealed && j->shelter >= 0 ? RUNTIME_SEALED : NULL, NULL };
	struct obuf out = OBUF_INIT;

	if (unrun_look(j))
		return;
	j->result = run ? proc_here(j->o, j->rt, j->shelter, NULL, argv, env, NULL, 0, &out, &j->err) : orlop_fail(&j->err, ENOMEM, 0, "", "no memory");
	obuf_done(&out);
}

static void started(void *arg)
{
	struct run_job *j = arg;
	struct oci *o = j->o;
	struct container *c = omap_get_cstr(&o->containers, j->id);
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (!c) {
		orlop_fail(&err, ENOENT, 404, "NotFound", "container \"%s\" not found", j->id);
	} else if (j->result) {
		c->busy = false;
		orlop_fail(&err, EIO, 0, "", "failed to start container: %s: %s",
			   j->rt->is_crun ? "crun" : "runc", j->err.msg);
	} else {
		c->busy = false;
		if (c->state == OCI_CREATED)	/* it may have ended already */
			c->state = OCI_RUNNING;
		c->started_ns = o->h->now_wall(o->h);
		/* Its end is known already, by the file's time: it did not begin after that. */
		if (c->finished_ns && c->finished_ns < c->started_ns)
			c->started_ns = c->finished_ns;
		container_note_start(o, c);
		event_add(o, "CONTAINER_STARTED_EVENT", c->id, c->sandbox);
		if (j->unrun)
			container_unrun(c);
	}
	if (c)
		container_check_exit(o, c);
	if (c && c->state != OCI_EXITED && !c->mon_fd)
		monitor_watch(o, c);	/* its monitor went while it was being started */
	if (err.err) {
		reply_error(o, j->call, &err);
	} else {
		/* CRI's answer is empty; when it started is what the kubelet would have to ask next. */
		struct ojson *said = ojson_new_object();

		if (said)
			(void)ojson_set_i64(said, "startedAt", (int64_t)c->started_ns);
		if (said && c->user)
			(void)ojson_set(said, "user", ojson_ref(c->user));
		reply_json(o, j->call, said, NULL);
	}
	run_job_free(j);
}

OCI_OP(op_start_container)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct container *c;
	struct run_job *j;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	c = container_get(o, r, err);
	if (!c)
		return -ENOENT;
	if (c->state != OCI_CREATED || c->busy)
		return orlop_fail(err, EINVAL, 0, "", "container %s is not in state created", c->id);
	if (c->start_error) {
		/* as containerd: what the OCI runtime refuses has been started and has ended at once */
		c->started_ns = o->h->now_wall(o->h);
		c->exit_code = 128;
		container_ended(o, c);
		return orlop_fail(err, EIO, 0, "", "%s", c->start_error);
	}
	j = run_job_new(o, c, call);
	if (!j)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	j->shelter = shelter_use(o, c->rt, &j->sealed);
	j->pid = c->pid;
	j->log = omem_strdup(c->log_path);
	if (!j->log || o->h->work(o->h, 0, start_work, started, j)) {
		run_job_free(j);
		return orlop_fail(err, ENOMEM, 0, "", "no worker");
	}
	c->busy = true;
	return 0;
}

/*
 * What a container has, taken away: its mount and what is in memory, and by renames what it has on disk, which is
 * deleted when nobody waits for it any more (or at the next start).
 */
static void into_layer(const struct run_job *j, const char *path, const char *name)
{
	cleanup_free char *to = omem_printf("%s/%s", j->rw, name);

	if (!to || rename(path, to))
		(void)unlink(path);
}

static void remove_work(void *arg)
{
	struct run_job *j = arg;

	rootfs_unmount(j->dir);
	(void)ofile_remove_tree(AT_FDCWD, j->dir);
	into_layer(j, j->exit_file, "exit");
	into_layer(j, j->kept, "state.json");
	if (rename(j->rw, j->trash))
		(void)ofile_remove_tree(AT_FDCWD, j->rw);
}

static void left_trash_work(void *arg)
{
	char *dir = arg;

	(void)ofile_remove_tree(AT_FDCWD, dir);
	(void)ofile_mkdir_p(dir, 0711);
}

static void left_trash_done(void *arg)
{
	omem_free(arg);
}

void trash_start(struct oci *o)
{
	char *dir = path_of(o, "trash");

	if (dir && o->h->work(o->h, TRASH_KEY, left_trash_work, left_trash_done, dir))
		omem_free(dir);
}

static void trash_work(void *arg)
{
	struct run_job *j = arg;

	(void)ofile_remove_tree(AT_FDCWD, j->trash);
}

static void trash_done(void *arg)
{
	run_job_free(arg);
}

static void remove_done(void *arg)
{
	struct run_job *j = arg;
	struct oci *o = j->o;
	struct container *c = omap_del(&o->containers, j->id, strlen(j->id));

	if (c) {
		monitor_forget(o, c);
		event_add(o, "CONTAINER_DELETED_EVENT", c->id, c->sandbox);
		stop_answer_all(o, c);
		container_free(c);
	}
	if (j->call)
		reply_json(o, j->call, NULL, NULL);
	else
		j->then(j->arg);
	if (o->h->work(o->h, TRASH_KEY, trash_work, trash_done, j))
		run_job_free(j);
}

static void deleted(void *arg, int32_t code, int32_t sig, const struct obuf *out)
{
	struct run_job *j = arg;
	char line[400];

	if (code || sig) {
		/* --force also removes what is not there; whatever it says, our files go */
		proc_first_line(out, line, sizeof(line));
		OLOG(j->o->h, WARN, "runtime_delete", "container=%s said=\"%s\" ignoring=1", j->id, line);
	}
	if (j->o->h->work(j->o->h, 0, remove_work, remove_done, j)) {
		remove_work(j);
		remove_done(j);
	}
}

/*
 * The way of most: it has ended, nothing runs in its cgroup. Then the OCI runtime's part is a
 * directory in run/ and empty cgroups, and need not be a process that removes them.
 */
static void ended_work(void *arg)
{
	struct run_job *j = arg;
	cleanup_free char *run = path_of(j->o, "run/%s", j->id);
	int e = cgroup_remove(j->o, j->cgroup);

	if (!e && run)
		e = ofile_remove_tree(AT_FDCWD, run);
	j->by_runtime = !run || (e && e != -ENOENT);
	if (!j->by_runtime)
		remove_work(j);
}

static void ended_done(void *arg)
{
	struct run_job *j = arg;

	if (!j->by_runtime) {
		remove_done(j);
	} else if (runtime_delete(j->o, j->rt, j->id, deleted, j, &j->err)) {
		OLOG(j->o->h, WARN, "runtime_delete", "container=%s said=\"%s\" ignoring=1", j->id, j->err.msg);
		remove_work(j);
		remove_done(j);
	}
}

static int remove_start(struct oci *o, struct container *c, struct orlop_call *call, orlop_cb then,
			void *arg, struct orlop_error *err)
{
	struct run_job *j;
	int e;

	if (c->busy)
		return orlop_fail(err, EBUSY, 0, "", "container %s is being changed", c->id);
	j = run_job_new(o, c, call);
	if (!j)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	j->then = then;
	j->arg = arg;
	j->err.size = sizeof(j->err);
	j->cgroup = container_cgroup(o, c);
	j->rw = path_of(o, "rw/%s", c->id);
	j->kept = path_of(o, "kept/containers/%s.json", c->id);
	j->trash = path_of(o, "trash/%s", c->id);
	if (!j->cgroup || !j->rw || !j->kept || !j->trash)
		e = orlop_fail(err, ENOMEM, 0, "", "no memory");
	else if (c->state != OCI_EXITED)
		e = runtime_delete(o, c->rt, c->id, deleted, j, err);
	else
		e = o->h->work(o->h, 0, ended_work, ended_done, j);
	if (e)
		run_job_free(j);
	else
		c->busy = true;
	return e;
}

int container_remove(struct oci *o, struct container *c, orlop_cb then, void *arg,
		     struct orlop_error *err)
{
	return remove_start(o, c, NULL, then, arg, err);
}

OCI_OP(op_remove_container)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct container *c;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	c = container_get(o, r, NULL);
	if (!c) {	/* CRI: removing what is gone is no error */
		reply_json(o, call, NULL, NULL);
		return 0;
	}
	return remove_start(o, c, call, NULL, NULL, err);
}

static const char *state_name(const struct container *c)
{
	return c->state == OCI_CREATED ? "CONTAINER_CREATED"
	     : c->state == OCI_RUNNING ? "CONTAINER_RUNNING" : "CONTAINER_EXITED";
}

struct ojson *container_summary(const struct container *c)
{
	static const char *const keys[] = { "metadata", "image", "labels", "annotations" };
	struct ojson *j = ojson_new_object();
	size_t i;

	if (!j)
		return NULL;
	(void)ojson_set_cstr(j, "id", c->id);
	(void)ojson_set_cstr(j, "podSandboxId", c->sandbox);
	(void)ojson_set_cstr(j, "state", state_name(c));
	(void)ojson_set_cstr(j, "imageRef", c->image_ref);
	(void)ojson_set_cstr(j, "imageId", c->image_id);
	(void)ojson_set_i64(j, "createdAt", (int64_t)c->created_ns);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (ojson_get(c->config, keys[i]))
			(void)ojson_set(j, keys[i], ojson_ref(ojson_get(c->config, keys[i])));
	return j;
}

OCI_OP(op_container_status)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct container *c;
	struct ojson *out;
	struct ojson *st;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	c = container_get(o, r, err);
	if (!c)
		return -ENOENT;
	st = container_summary(c);
	out = ojson_new_object();
	if (!st || !out) {
		ojson_unref(st);
		ojson_unref(out);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	(void)ojson_set_i64(st, "startedAt", (int64_t)c->started_ns);
	(void)ojson_set_i64(st, "finishedAt", (int64_t)c->finished_ns);
	(void)ojson_set_i64(st, "exitCode", c->exit_code);
	if (c->state == OCI_EXITED)
		(void)ojson_set_cstr(st, "reason", c->start_error ? "StartError" : c->oom ? "OOMKilled"
				     : c->unseen ? "Unknown" : c->exit_code ? "Error" : "Completed");
	if (c->state == OCI_EXITED && c->start_error)
		(void)ojson_set_cstr(st, "message", c->start_error);
	if (c->user)
		(void)ojson_set(st, "user", ojson_ref(c->user));
	(void)ojson_set_cstr(st, "logPath", c->log_path);
	(void)ojson_set_i64(st, "pid", c->pid);
	if (ojson_get(c->config, "mounts"))
		(void)ojson_set(st, "mounts", ojson_ref(ojson_get(c->config, "mounts")));
	if (OJSON_AT(c->config, "linux", "resources"))
		(void)ojson_set(ojson_ensure_object(st, "resources"), "linux", ojson_ref(OJSON_AT(c->config, "linux", "resources")));
	(void)ojson_set(out, "status", st);
	reply_json(o, call, out, NULL);
	return 0;
}

/* NULL: it is none yet. */
static struct ojson *shown(const void *at)
{
	const struct container *c = at;

	return !c->busy || c->started_ns || c->state == OCI_EXITED ? container_summary(c) : NULL;
}

OCI_OP(op_list_containers)
{
	struct oci *o = ctx;

	return reply_list(o, req, call, &o->containers, "containers", shown, err);
}
