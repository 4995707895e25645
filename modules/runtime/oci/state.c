/*
 * state.c - what is remembered on disk about sandboxes and containers, and finding it again.
 *
 * State files are written as a whole and renamed; when a container was started is a second line, added
 * to its file. After a restart the truth is: exit file there → exited; process of the noted start time
 * there → running; otherwise → exited with 255 and the reason Unknown, as containerd says of containers
 * whose end nobody saw.
 */
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

uint64_t pid_start_time(int pid)
{
	char path[48];
	struct obuf b;
	uint64_t start = 0;
	char *p;
	int i;

	if (pid <= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	obuf_init(&b);
	if (!ofile_read(AT_FDCWD, path, 4096, &b) && (p = strrchr(b.data, ')'))) {
		/* state is field 3, starttime field 22; a zombie has ended */
		if (p[1] && p[2] != 'Z' && p[2] != 'X') {
			for (i = 2; p && i < 22; i++)
				p = strchr(p + 1, ' ');
			if (p)
				start = strtoull(p + 1, NULL, 10);
		}
	}
	obuf_done(&b);
	return start;
}

void sandbox_free(struct sandbox *s)
{
	if (!s)
		return;
	ojson_unref(s->config);
	omem_free(s);
}

void container_free(struct container *c)
{
	if (!c)
		return;
	ojson_unref(c->config);
	ojson_unref(c->user);
	omem_free(c->image_id);
	omem_free(c->image_ref);
	omem_free(c->log_path);
	omem_free(c->start_error);
	omem_free(c);
}

static int save(struct oci *o, const char *kind, const char *id, struct ojson *take_j)
{
	cleanup_free char *path = path_of(o, "kept/%s/%s.json", kind, id);
	cleanup_free char *text = NULL;
	size_t len = 0;

	if (take_j)
		text = ojson_text(take_j, 0, &len);
	ojson_unref(take_j);
	if (!path || !text)
		return -ENOMEM;
	return ofile_write(AT_FDCWD, path, text, len, 0600);
}

int sandbox_save(struct oci *o, const struct sandbox *s)
{
	struct ojson *j = ojson_new_object();

	if (!j)
		return -ENOMEM;
	(void)ojson_set(j, "config", ojson_ref(s->config));
	(void)ojson_set_i64(j, "createdAt", (int64_t)s->created_ns);
	(void)ojson_set_bool(j, "ready", s->ready);
	(void)ojson_set_bool(j, "hostNetwork", s->host_net);
	(void)ojson_set_bool(j, "hostIPC", s->host_ipc);
	if (s->own_pid) {
		(void)ojson_set_i64(j, "pausePid", s->pause_pid);
		(void)ojson_set_i64(j, "pauseStart", (int64_t)s->pause_start);
	}
	(void)ojson_set_bool(j, "userns", s->userns);
	(void)ojson_set_cstr(j, "handler", s->rt->name);
	return save(o, "sandboxes", s->id, j);
}

int container_save(struct oci *o, const struct container *c)
{
	struct ojson *j = ojson_new_object();

	if (!j)
		return -ENOMEM;
	(void)ojson_set_cstr(j, "sandbox", c->sandbox);
	(void)ojson_set(j, "config", ojson_ref(c->config));
	(void)ojson_set_cstr(j, "imageId", c->image_id);
	(void)ojson_set_cstr(j, "imageRef", c->image_ref);
	(void)ojson_set_cstr(j, "logPath", c->log_path);
	(void)ojson_set_i64(j, "state", c->state);
	(void)ojson_set_i64(j, "pid", c->pid);
	(void)ojson_set_i64(j, "pidStart", (int64_t)c->pid_start);
	(void)ojson_set_i64(j, "createdAt", (int64_t)c->created_ns);
	(void)ojson_set_i64(j, "startedAt", (int64_t)c->started_ns);
	(void)ojson_set_i64(j, "finishedAt", (int64_t)c->finished_ns);
	(void)ojson_set_i64(j, "exitCode", c->exit_code);
	(void)ojson_set_bool(j, "oom", c->oom);
	if (c->unseen)
		(void)ojson_set_bool(j, "unseen", true);
	(void)ojson_set_cstr(j, "handler", c->rt->name);
	if (c->user)
		(void)ojson_set(j, "user", ojson_ref(c->user));
	if (c->start_error)
		(void)ojson_set_cstr(j, "startError", c->start_error);
	return save(o, "containers", c->id, j);
}

void container_note(struct oci *o, const struct container *c)
{
	int e = container_save(o, c);

	if (e)
		OLOG(o->h, WARN, "state_not_written", "container=%s err=%d ignoring=1", c->id, e);
}

void container_note_start(struct oci *o, const struct container *c)
{
	cleanup_free char *path = path_of(o, "kept/containers/%s.json", c->id);
	cleanup_close int fd = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
	char text[32];
	int n = snprintf(text, sizeof(text), "\n%llu\n", (unsigned long long)c->started_ns);

	if (fd < 0 || write(fd, text, (size_t)n) != n)
		container_note(o, c);
}

/*
 * Nobody noted the start, for we died meanwhile: by starting a container the OCI runtime takes its FIFO away, and of that
 * the time is left. 0: it waits for its start, or the machine was started anew.
 */
static uint64_t start_seen(struct oci *o, const struct container *c)
{
	cleanup_free char *dir = path_of(o, "run/%s", c->id);
	cleanup_free char *fifo = path_of(o, "run/%s/exec.fifo", c->id);
	struct stat st;
	uint64_t at;

	if (!dir || !fifo || !access(fifo, F_OK) || stat(dir, &st))
		return 0;
	at = (uint64_t)st.st_mtim.tv_sec * 1000000000ull + (uint64_t)st.st_mtim.tv_nsec;
	return at > c->created_ns ? at : c->created_ns;
}

static void start_load(struct oci *o, struct container *c)
{
	cleanup_free char *dir = path_of(o, "containers/%s", c->id);

	if (c->state != OCI_CREATED || c->start_error || !dir)
		return;
	if (c->started_ns)
		;	/* noted */
	else if (access(dir, F_OK))
		c->started_ns = c->created_ns;	/* the machine went before the note was on disk */
	else
		c->started_ns = start_seen(o, c);
	if (c->started_ns)
		c->state = OCI_RUNNING;
}

/* @ret may be set on failure too. */
static int load_json(int dirfd, const char *name, struct ojson **ret)
{
	struct obuf b;
	int e;

	const char *line = NULL;
	char *end;
	uint64_t started;

	obuf_init(&b);
	e = ofile_read(dirfd, name, 4u << 20, &b);
	if (!e) {
		line = b.len ? memchr(b.data, '\n', b.len) : NULL;
		e = ojson_parse(b.data, line ? (size_t)(line - b.data) : b.len, ret, NULL);
	}
	if (!e && !ojson_get_object(*ret, "config"))
		e = -EINVAL;
	/* container_note_start(); half a line is none */
	started = !e && line ? strtoull(line + 1, &end, 10) : 0;
	if (started && *end == '\n')
		(void)ojson_set_i64(*ret, "startedAt", (int64_t)started);	/* else start_seen() */
	obuf_done(&b);
	return e;
}

static int sandbox_load(struct oci *o, const char *id, const struct ojson *j)
{
	struct sandbox *s = OMEM_NEW(struct sandbox);
	struct stat st;
	cleanup_free char *pin = path_of(o, ojson_get_bool(j, "hostNetwork", false) ? "sandboxes/%s/ns/uts" : "sandboxes/%s/ns/net", id);
	cleanup_free char *dir = path_of(o, "sandboxes/%s", id);
	struct stat st_dir;

	if (!s || !pin || !dir) {
		omem_free(s);
		return -ENOMEM;
	}
	snprintf(s->id, sizeof(s->id), "%s", id);
	s->config = ojson_ref(ojson_get(j, "config"));
	s->rt = handler_known(o, ojson_get_cstr(j, "handler", ""), id);
	s->created_ns = (uint64_t)ojson_get_i64(j, "createdAt", 0);
	s->ready = ojson_get_bool(j, "ready", false);
	s->host_net = ojson_get_bool(j, "hostNetwork", false);
	s->host_ipc = ojson_get_bool(j, "hostIPC", false);
	s->userns = ojson_get_bool(j, "userns", false);
	s->own_pid = ojson_get(j, "pausePid") != NULL;
	s->pause_pid = (int)ojson_get_i64(j, "pausePid", 0);
	s->pause_start = (uint64_t)ojson_get_i64(j, "pauseStart", 0);
	if (s->own_pid && (!s->pause_start || pid_start_time(s->pause_pid) != s->pause_start))
		s->ready = false;
	/* after a reboot the pins are not there, or plain files: the sandbox is gone; one of the host's network has that of its name */
	if (s->ready && (stat(pin, &st) || stat(dir, &st_dir) || st.st_dev == st_dir.st_dev))
		s->ready = false;
	if (omap_put_cstr(&o->sandboxes, s->id, s)) {
		sandbox_free(s);
		return -ENOMEM;
	}
	return 0;
}

/*
 * Does the process still wait for its start? Until then it is the OCI runtime, called with the
 * container's id (crun) or as "init" (runc); from then on it is the container's own program.
 */
static bool waits_for_start(int pid, const char *id)
{
	char path[64];
	struct obuf b = OBUF_INIT;
	bool waits = true;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	if (!ofile_read(AT_FDCWD, path, 1u << 20, &b) && b.len) {
		const char *base = strrchr(b.data, '/');
		size_t n = strlen(b.data);

		waits = memmem(b.data, b.len, id, strlen(id)) ||
			(!strcmp(base ? base + 1 : b.data, "runc") && b.len > n + 5 && !strcmp(b.data + n + 1, "init"));
	}
	obuf_done(&b);
	return waits;
}

static int container_load(struct oci *o, const char *id, const struct ojson *j)
{
	struct container *c = OMEM_NEW(struct container);

	if (!c)
		return -ENOMEM;
	olist_init(&c->waits);
	snprintf(c->id, sizeof(c->id), "%s", id);
	snprintf(c->sandbox, sizeof(c->sandbox), "%s", ojson_get_cstr(j, "sandbox", ""));
	c->config = ojson_ref(ojson_get(j, "config"));
	c->rt = handler_known(o, ojson_get_cstr(j, "handler", ""), id);
	c->user = ojson_ref(ojson_get(j, "user"));
	c->image_id = omem_strdup(ojson_get_cstr(j, "imageId", ""));
	c->image_ref = omem_strdup(ojson_get_cstr(j, "imageRef", ""));
	c->log_path = omem_strdup(ojson_get_cstr(j, "logPath", ""));
	c->state = (enum oci_state)ojson_get_i64(j, "state", OCI_EXITED);
	c->pid = (int)ojson_get_i64(j, "pid", 0);
	c->pid_start = (uint64_t)ojson_get_i64(j, "pidStart", 0);
	c->created_ns = (uint64_t)ojson_get_i64(j, "createdAt", 0);
	c->started_ns = (uint64_t)ojson_get_i64(j, "startedAt", 0);
	c->finished_ns = (uint64_t)ojson_get_i64(j, "finishedAt", 0);
	c->exit_code = (int)ojson_get_i64(j, "exitCode", 0);
	c->oom = ojson_get_bool(j, "oom", false);
	c->unseen = ojson_get_bool(j, "unseen", false);
	if (ojson_get(j, "startError"))
		c->start_error = omem_strdup(ojson_get_cstr(j, "startError", ""));
	if (!c->image_id || !c->image_ref || !c->log_path || omap_put_cstr(&o->containers, c->id, c)) {
		container_free(c);
		return -ENOMEM;
	}
	start_load(o, c);
	if (c->state != OCI_EXITED)
		container_check_exit(o, c);
	if (c->state != OCI_EXITED && !c->start_error && pid_start_time(c->pid) != c->pid_start)
		container_ended_unseen(o, c);
	/* it was started, and where is not seen */
	if (c->state == OCI_CREATED && !c->start_error && !waits_for_start(c->pid, c->id)) {
		c->state = OCI_RUNNING;
		c->started_ns = c->created_ns;
	}
	return 0;
}

/* An id with @after behind it. */
static bool id_ok(const char *name, const char *after)
{
	return strspn(name, "0123456789abcdef") == OCI_ID_LEN && !strcmp(name + OCI_ID_LEN, after);
}

/* Where it was to be, as its configuration says: the OCI runtime may be making that just now, and find its bundle gone. */
static void leftover_cgroup(struct oci *o, const char *dir)
{
	cleanup_free char *path = omem_printf("%s/config.json", dir);
	cleanup_ojson struct ojson *j = NULL;
	struct obuf b = OBUF_INIT;

	if (path && !ofile_read(AT_FDCWD, path, 4u << 20, &b) && !ojson_parse(b.data, b.len, &j, NULL))
		orphan_cgroup(o, ojson_cstr(OJSON_AT(j, "linux", "cgroupsPath"), ""));
	obuf_done(&b);
}

/* The first process of a sandbox that never was: by the number its starter noted, if it still is one of those. */
static void leftover_pause(const char *dir)
{
	char path[4096];
	struct obuf b = OBUF_INIT;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/pause.pid", dir);
	if (!ofile_read(AT_FDCWD, path, 32, &b))
		pid = atoi(obuf_cstr(&b));
	if (pid > 1) {
		snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
		obuf_reset(&b);
		if (!ofile_read(AT_FDCWD, path, 8192, &b) && b.len && memmem(b.data, b.len, dir, strlen(dir)))
			(void)kill(pid, SIGKILL);
	}
	obuf_done(&b);
}

/* A directory of which no state is kept was cut off while being made: nothing runs from it. */
static void leftover_remove(struct oci *o, const char *kind, const char *id)
{
	cleanup_free char *dir = path_of(o, "%s/%s", kind, id);

	if (!dir)
		return;
	OLOG(o->h, INFO, "leftover_removed", "dir=%s", dir);
	if (!strcmp(kind, "containers")) {
		orphan_kill(o, id);
		leftover_cgroup(o, dir);
		rootfs_unmount(dir);
	} else if (!strcmp(kind, "sandboxes")) {
		leftover_pause(dir);
		ns_unpin(dir);
	}
	(void)ofile_remove_tree(AT_FDCWD, dir);
}

static int dir_open(struct oci *o, const char *name, DIR **ret, struct orlop_error *err)
{
	cleanup_free char *dir = path_of(o, "%s", name);
	int e = dir ? ofile_mkdir_p(dir, 0711) : -ENOMEM;

	if (e)
		return orlop_fail(err, -e, 0, "", "cannot make %s/%s", o->root, name);
	*ret = opendir(dir);
	return *ret ? 0 : orlop_fail(err, errno, 0, "", "cannot read %s: %s", dir, strerrordesc_np(errno));
}

static int load_kept(struct oci *o, const char *name, int (*load)(struct oci *o, const char *id, const struct ojson *j),
		     struct orlop_error *err)
{
	cleanup_dir DIR *dp = NULL;
	struct dirent *d;
	int e = dir_open(o, name, &dp, err);

	while (!e && (d = readdir(dp))) {
		cleanup_ojson struct ojson *j = NULL;
		char id[OCI_ID_LEN + 1];
		int r;

		if (!id_ok(d->d_name, ".json"))
			continue;
		snprintf(id, sizeof(id), "%.*s", OCI_ID_LEN, d->d_name);
		r = load_json(dirfd(dp), d->d_name, &j);
		/* not damaged, and what it is about may run */
		if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
			e = orlop_fail(err, -r, 0, "", "cannot read %s/%s: %s", name, d->d_name, strerrordesc_np(-r));
		else if (r)
			(void)unlinkat(dirfd(dp), d->d_name, 0);
		else if (load(o, id, j))
			e = orlop_fail(err, ENOMEM, 0, "", "cannot load %s/%s", name, d->d_name);
	}
	return e;
}

/* What @known has no state of. */
static int leftovers_remove(struct oci *o, const char *kind, const struct omap *known, struct orlop_error *err)
{
	cleanup_dir DIR *dp = NULL;
	struct dirent *d;
	int e = dir_open(o, kind, &dp, err);

	while (!e && (d = readdir(dp)))
		if (id_ok(d->d_name, "") && !omap_get_cstr(known, d->d_name))
			leftover_remove(o, kind, d->d_name);
	return e;
}

int state_load(struct oci *o, struct orlop_error *err)
{
	int e = load_kept(o, "kept/sandboxes", sandbox_load, err);

	if (!e)
		e = load_kept(o, "kept/containers", container_load, err);
	if (!e)
		e = leftovers_remove(o, "sandboxes", &o->sandboxes, err);
	if (!e)
		e = leftovers_remove(o, "containers", &o->containers, err);
	return e ? e : leftovers_remove(o, "rw", &o->containers, err);
}
