/*
 * shelter.c - one mount namespace in which conmon and crun find no unified cgroups.
 *
 * A namespace of its own for each is a copy of all mounts, an unmount and at its end one more, each with
 * an RCU grace period for everybody: of 30 containers made at once each waited for all. And each conmon
 * would keep all mounts of that moment. The namespace is a slave of ours: what is mounted below
 * shared mounts (the root filesystems are, root_share()) comes and goes in there by itself. Of what is not,
 * shelter_sum() is a sum: where it has changed there will be another shelter, and until then oci-pause hides.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/ohash.h"
#include "base/omem.h"

struct shelter_job {
	struct oci	*o;
	int		fd;
	int		err;
	uint64_t	sum;
	bool		sealed;
};

static bool line_shared(const char *line, size_t n)
{
	const char *dash = memmem(line, n, " - ", 3);
	const char *shared = memmem(line, n, " shared:", 8);

	return shared && dash && shared < dash;
}

/* Bit @id of a set that grows; ids are small numbers, used again. */
static bool bit(const struct obuf *set, unsigned long id)
{
	return id / 8 < set->len && (((const unsigned char *)set->data)[id / 8] >> (id % 8)) & 1;
}

static void bit_set(struct obuf *set, unsigned long id)
{
	while (set->len <= id / 8 && id < (1u << 24) && !obuf_err(set))
		obuf_putc(set, '\0');
	if (id / 8 < set->len)
		set->data[id / 8] = (char)(set->data[id / 8] | 1 << (id % 8));
}

int shelter_sum(uint64_t *ret)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_obuf struct obuf shared = OBUF_INIT;
	uint64_t sum = 0;
	const char *p;
	size_t n;
	int round;
	int e = ofile_read(AT_FDCWD, "/proc/thread-self/mountinfo", 16u << 20, &b);

	/* "ID PARENT …": first who is shared, then who is on one that is not */
	for (round = 0; round < 2 && !e; round++) {
		for (p = obuf_cstr(&b); *p; p += n + (p[n] == '\n')) {
			char *end;
			unsigned long id = strtoul(p, &end, 10);

			n = strcspn(p, "\n");
			if (!round && line_shared(p, n))
				bit_set(&shared, id);
			if (round && !bit(&shared, strtoul(end, NULL, 10)))
				sum ^= ohash_fnv1a64(OHASH_FNV64_INIT, p, n);
		}
		e = obuf_err(&shared);
	}
	*ret = sum;
	return e;
}

int shelter_enter(int fd, int *home)
{
	*home = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (*home < 0)
		return -errno;
	/* a thread that shares its working directory with others may not */
	if (unshare(CLONE_FS) || setns(fd, CLONE_NEWNS)) {
		int e = errno;

		close(*home);
		return -e;
	}
	return 0;
}

int shelter_leave(int home)
{
	int e = setns(home, CLONE_NEWNS) ? -ENOTRECOVERABLE : 0;

	close(home);
	return e;
}

/*
 * crun copies itself or mounts itself read-only each time, lest a container writes to its program; here it
 * is read-only for all of them, and told so.
 */
static bool runtime_seal(const char *path)
{
	return !mount(path, path, NULL, MS_BIND, NULL) && !mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
}

static void make_work(void *arg)
{
	struct shelter_job *j = arg;
	cleanup_close int home = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);

	/* the sum of before: what is mounted meanwhile makes it wrong, not what is in there */
	j->err = home < 0 ? -errno : shelter_sum(&j->sum);
	if (j->err)
		return;
	if (unshare(CLONE_NEWNS)) {
		j->err = -errno;
		return;
	}
	if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) ||
	    (umount2("/sys/fs/cgroup/unified", MNT_DETACH) && errno != EINVAL && errno != ENOENT))
		j->err = -errno;
	j->sealed = !j->err && runtime_seal(j->o->handler->program);
	j->fd = j->err ? -1 : open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (!j->err && j->fd < 0)
		j->err = -errno;
	if (setns(home, CLONE_NEWNS))
		j->err = -ENOTRECOVERABLE;
}

static void make_done(void *arg)
{
	struct shelter_job *j = arg;
	struct oci *o = j->o;

	o->sheltering = false;
	if (j->err) {
		OLOG(o->h, WARN, "no_shelter", "errno=%d using=own", -j->err);
		if (j->fd >= 0)
			close(j->fd);
	} else {
		shelter_drop(o);
		o->shelter = j->fd;
		o->shelter_sum = j->sum;
		o->shelter_sealed = j->sealed;
	}
	omem_free(j);
}

void shelter_renew(struct oci *o)
{
	struct shelter_job *j = o->hybrid && !o->sheltering ? OMEM_NEW(struct shelter_job) : NULL;

	if (!j)
		return;
	j->o = o;
	j->fd = -1;
	if (o->h->work(o->h, 0, make_work, make_done, j))
		omem_free(j);
	else
		o->sheltering = true;
}

int shelter_use(const struct oci *o, const struct handler *rt, bool *sealed)
{
	bool wanted = o->shelter >= 0 && handler_flags(o, rt);

	*sealed = wanted && o->shelter_sealed && rt == o->handler;
	return wanted ? fcntl(o->shelter, F_DUPFD_CLOEXEC, 3) : -1;
}

void shelter_drop(struct oci *o)
{
	if (o->shelter >= 0)
		close(o->shelter);
	o->shelter = -1;
}
