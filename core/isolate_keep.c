/*
 * isolate_keep.c - watches of files (inotify) of an isolated module: this process has them too.
 *
 * The kernel lets go of one only when no other processor can still look at its marks, which takes 10 to 20 ms, and a
 * process whose last descriptors are such has not ended before that. So the end of a crashed module is told at once
 * while a worker of the parent lets go of what it watched.
 */
#include "core.h"
#include "isolate_proxy.h"
#include "isolate_up.h"
#include "work.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/omem.h"

/* ---- the parent ------------------------------------------------------------------------------------------- */

struct letting_go {
	uint32_t	n;
	int		fds[ISO_KEPT_MAX];
};

static void let_go(void *arg)
{
	struct letting_go *l = arg;

	for (uint32_t i = 0; i < l->n; i++)
		(void)close(l->fds[i]);
	omem_free(l);
}

static void hand_over(struct core_isolate *iso, const int *fds, uint32_t n)
{
	struct letting_go *l = n ? OMEM_NEW(struct letting_go) : NULL;

	if (l) {
		l->n = n;
		memcpy(l->fds, fds, n * sizeof(*fds));
	}
	if (l && core_work(iso->core->isolates->closers, iso->core->main, NULL, 0, let_go, NULL, l) == 0)
		return;
	omem_free(l);
	for (uint32_t i = 0; i < n; i++)
		(void)close(fds[i]);	/* slowly, then */
}

static bool is_watch(int fd)
{
	char path[40];
	char what[40];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, what, sizeof(what));
	return n == 18 && memcmp(what, "anon_inode:inotify", 18) == 0;
}

void iso_keep(struct core_isolate *iso, struct core_iso_in *in)
{
	uint32_t i = 0;

	while (i < iso->n_kept && iso->kept_ids[i] != in->id)
		i++;
	if (i < iso->n_kept) {
		int old = iso->kept[i];

		iso->kept_ids[i] = iso->kept_ids[--iso->n_kept];
		iso->kept[i] = iso->kept[iso->n_kept];
		hand_over(iso, &old, 1);
	}
	if (in->n_fds == 0 || iso->n_kept == ISO_KEPT_MAX || !is_watch(in->fds[0]))
		return;
	iso->kept_ids[iso->n_kept] = in->id;
	iso->kept[iso->n_kept++] = in->fds[0];
	in->fds[0] = -1;
}

void iso_keep_end(struct core_isolate *iso)
{
	hand_over(iso, iso->kept, iso->n_kept);
	iso->n_kept = 0;
}

/* ---- the child -------------------------------------------------------------------------------------------- */

static void unkept(void *arg, int32_t fd)
{
	core_up_say(arg, CORE_ISO_KEEP, (uint64_t)fd, NULL);
}

void core_up_keep(struct core_up *up, struct orlop_fdwatch *w, int32_t fd)
{
	struct orlop_msgw m;
	struct stat st;

	/* What has no type: inotify, but timers and the like too. The parent can look closer, without /proc we cannot. */
	if (fstat(fd, &st) < 0 || (st.st_mode & S_IFMT))
		return;
	core_fd_on_unwatch(w, unkept, up);
	orlop_msgw_init(&m, NULL);
	orlop_msgw_fd(&m, fd);
	core_up_say(up, CORE_ISO_KEEP, (uint64_t)fd, &m);
}
