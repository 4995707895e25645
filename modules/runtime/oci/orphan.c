/*
 * orphan.c - what the OCI runtime still holds and we have no container for, and what a `create` that came to nothing left.
 *
 * A daemon killed in the middle of `create` leaves a monitor and a first process that waits for a
 * start which never comes. They are deleted when we begin, and a few times more a little later, for a
 * `create` may still have been running when we looked first.
 */
#include "oci.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#define AGAIN_NS	5000000000ull
#define LOOKS		4

#define KILL_ROUNDS	50
#define KILL_WAIT_MS	200	/* what does not end of SIGKILL waits for a disk: the next round, or nobody */

struct orphan {
	struct oci	*o;
	char		id[OCI_ID_LEN + 1];
};

/* Is it of this container, and of ours: others may run one of the same id elsewhere. */
static bool bears_id(const struct oci *o, int proc, const char *pid, const char *id)
{
	struct obuf b = OBUF_INIT;
	char path[32];
	bool does;

	snprintf(path, sizeof(path), "%.16s/cmdline", pid);
	does = !ofile_read(proc, path, 65536, &b) && b.len && memmem(b.data, b.len, id, OCI_ID_LEN) &&
	       memmem(b.data, b.len, o->root, strlen(o->root));
	obuf_done(&b);
	return does;
}

/* By descriptor: whoever has the number after it is another's. False: it was none. */
static bool kill_one(const struct oci *o, int proc, const char *pid, const char *id)
{
	cleanup_close int fd = (int)syscall(SYS_pidfd_open, atoi(pid), 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0 || !bears_id(o, proc, pid, id) || syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0))
		return false;
	(void)poll(&p, 1, KILL_WAIT_MS);
	return true;
}

void orphan_kill(const struct oci *o, const char *id)
{
	cleanup_dir DIR *dp = opendir("/proc");
	struct dirent *d;
	bool found = dp != NULL;
	int round;

	/* what was just being forked is seen by the next round */
	for (round = 0; found && round < KILL_ROUNDS; round++) {
		found = false;
		rewinddir(dp);
		while ((d = readdir(dp))) {
			int pid = atoi(d->d_name);

			if (pid > 1 && pid != getpid() && bears_id(o, dirfd(dp), d->d_name, id))
				found |= kill_one(o, dirfd(dp), d->d_name, id);
		}
	}
}

static void orphan_deleted(void *arg, int32_t code, int32_t sig, const struct obuf *out)
{
	struct orphan *p = arg;
	struct oci *o = p->o;
	cleanup_free char *exit_file = path_of(o, "exits/%s", p->id);
	char line[300];

	if (code || sig) {
		proc_first_line(out, line, sizeof(line));
		OLOG(o->h, WARN, "orphan_not_deleted", "container=%s said=\"%s\" ignoring=1", p->id, line);
	} else {
		OLOG(o->h, INFO, "orphan_deleted", "container=%s", p->id);
	}
	if (exit_file)
		(void)unlink(exit_file);
	omem_free(p);
}

/*
 * The pod's cgroup was removed with its sandbox, and made again by the `create` that went on. crun
 * notes the path; it is removed at the last look, maybe of our successor, unless a sandbox has it.
 */
static void parents_save(struct oci *o)
{
	cleanup_free char *path = path_of(o, "orphans.json");
	cleanup_free char *text = NULL;
	size_t len = 0;

	if (path && o->orphan_parents && (text = ojson_text(o->orphan_parents, 0, &len)))
		(void)ofile_write(AT_FDCWD, path, text, len, 0600);
	else if (path)
		(void)unlink(path);
}

static void parent_add(struct oci *o, const char *parent)
{
	if (!o->orphan_parents)
		o->orphan_parents = ojson_new_array();
	if (o->orphan_parents)
		(void)ojson_append_cstr(o->orphan_parents, parent);
}

static void parents_load(struct oci *o)
{
	cleanup_free char *path = path_of(o, "orphans.json");
	cleanup_ojson struct ojson *j = NULL;
	struct obuf b = OBUF_INIT;

	if (path && !ofile_read(AT_FDCWD, path, 1u << 20, &b))
		(void)ojson_parse(b.data, b.len, &j, NULL);
	OJSON_FOREACH_ELEM(i, p, ojson_is(j, OJSON_ARRAY) ? j : NULL)
		parent_add(o, ojson_cstr(p, ""));
	obuf_done(&b);
}

void orphan_cgroup(struct oci *o, const char *cgroup)
{
	const char *slash = strrchr(cgroup, '/');
	cleanup_free char *parent = slash > cgroup ? omem_strndup(cgroup, (size_t)(slash - cgroup)) : NULL;

	if (parent)
		parent_add(o, parent);
}

static void parent_note(struct oci *o, const char *id)
{
	cleanup_free char *path = path_of(o, "run/%s/status", id);
	cleanup_ojson struct ojson *j = NULL;
	struct obuf b = OBUF_INIT;

	if (path && !ofile_read(AT_FDCWD, path, 1u << 20, &b) && !ojson_parse(b.data, b.len, &j, NULL)) {
		orphan_cgroup(o, ojson_get_cstr(j, "cgroup-path", ""));
		parents_save(o);
	}
	obuf_done(&b);
}

static void parents_remove(struct oci *o)
{
	OJSON_FOREACH_ELEM(i, p, o->orphan_parents) {
		bool used = false;

		OMAP_FOREACH(&o->sandboxes, at) {
			const struct sandbox *s = at->value;
			const char *mine = ojson_cstr(OJSON_AT(s->config, "linux", "cgroupParent"), "");

			used = used || !strcmp(mine + strspn(mine, "/"), ojson_cstr(p, "") + strspn(ojson_cstr(p, ""), "/"));
		}
		if (!used)
			(void)cgroup_remove(o, ojson_cstr(p, ""));
	}
	ojson_unref(o->orphan_parents);
	o->orphan_parents = NULL;
	parents_save(o);
}

/* Whose container: runc and its like keep state.json, crun a file status. */
static const struct handler *orphan_handler(struct oci *o, const char *id)
{
	cleanup_free char *path = path_of(o, "run/%s/state.json", id);
	bool other = path && !access(path, F_OK);

	OLIST_FOREACH(at, &o->handlers) {
		const struct handler *h = OLIST_ENTRY(at, struct handler, node);

		if (h->is_crun != other)
			return h;
	}
	return o->handler;
}

static void orphan_work(void *arg)
{
	struct orphan *p = arg;

	orphan_kill(p->o, p->id);
}

static void orphan_killed(void *arg)
{
	struct orphan *p = arg;
	struct oci *o = p->o;
	const struct handler *rt = orphan_handler(o, p->id);
	cleanup_free char *run = path_of(o, "run");
	const char *argv[] = { rt->program, "--root", run, "delete", "--force", p->id, NULL };

	if (!run || proc_run(o, argv, handler_flags(o, rt), orphan_deleted, p, NULL))
		omem_free(p);
}

static void orphan_delete(struct oci *o, const char *id)
{
	struct orphan *p = OMEM_NEW(struct orphan);

	if (!p)
		return;
	parent_note(o, id);
	p->o = o;
	memcpy(p->id, id, OCI_ID_LEN);
	if (o->h->work(o->h, 0, orphan_work, orphan_killed, p))
		omem_free(p);
}

/* Exit files of containers that nobody knows: their monitors wrote them after we had cleaned up. */
static void exits_look(struct oci *o)
{
	cleanup_free char *dir = path_of(o, "exits");
	cleanup_dir DIR *dp = dir ? opendir(dir) : NULL;
	time_t now = (time_t)(o->h->now_wall(o->h) / 1000000000u);
	struct dirent *d;
	struct stat st;

	while (dp && (d = readdir(dp)))
		if (d->d_name[0] != '.' && !omap_get_cstr(&o->containers, d->d_name) &&
		    !fstatat(dirfd(dp), d->d_name, &st, AT_SYMLINK_NOFOLLOW) && (st.st_mtime + 4 < now || st.st_mtime > now + 60))
			(void)unlinkat(dirfd(dp), d->d_name, 0);
}

/*
 * Is it just being made, by a `create` that goes on without us? To delete it then is to take away its directory, and
 * what `create` makes afterwards nobody finds any more. The next look will.
 */
static bool orphan_unfinished(struct oci *o, int dir, const char *id)
{
	time_t now = (time_t)(o->h->now_wall(o->h) / 1000000000u);
	char path[OCI_ID_LEN + 16];
	struct stat st;

	snprintf(path, sizeof(path), "%.*s/status", OCI_ID_LEN, id);
	if (!faccessat(dir, path, F_OK, 0))
		return false;
	snprintf(path, sizeof(path), "%.*s/state.json", OCI_ID_LEN, id);
	if (!faccessat(dir, path, F_OK, 0) || fstatat(dir, id, &st, AT_SYMLINK_NOFOLLOW))
		return false;
	return st.st_mtime + 3 >= now && st.st_mtime <= now + 1;
}

static void orphans_look(void *arg)
{
	struct oci *o = arg;
	cleanup_free char *run = path_of(o, "run");
	cleanup_dir DIR *dp = run ? opendir(run) : NULL;
	struct dirent *d;

	while (dp && (d = readdir(dp)))
		if (strlen(d->d_name) == OCI_ID_LEN && strspn(d->d_name, "0123456789abcdef") == OCI_ID_LEN &&
		    !omap_get_cstr(&o->containers, d->d_name) && !orphan_unfinished(o, dirfd(dp), d->d_name))
			orphan_delete(o, d->d_name);
	exits_look(o);
	if (++o->orphan_looks >= LOOKS && o->orphan_timer) {
		o->h->timer_clear(o->orphan_timer);
		parents_remove(o);
	}
}

void orphans_start(struct oci *o)
{
	parents_load(o);
	parents_save(o);	/* with what state.c has noted */
	orphans_look(o);
	if (!o->h->timer_new(o->h, orphans_look, o, &o->orphan_timer))
		o->h->timer_set(o->orphan_timer, AGAIN_NS, AGAIN_NS);
}

void orphans_stop(struct oci *o)
{
	o->h->timer_free(o->orphan_timer);
	o->orphan_timer = NULL;
}
