/* subpath.c - sub-paths stay inside their volume, whatever is done to it at the same moment. */
#include "../kubelet.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ofile.h"
#include "base/otap.h"

#define ROUNDS	300

static char dir[64];
static char at[200];
static atomic_bool over;

static const char *in(const char *name)
{
	static _Thread_local char path[8][256];
	static _Thread_local int n;
	char *p = path[n++ % 8];

	snprintf(p, 256, "%s/%s", dir, name);
	return p;
}

static int try(const char *sub, bool *is_dir)
{
	struct obuf why = OBUF_INIT;
	int e = subpath_mount(in("vol"), sub, at, is_dir, &why);

	obuf_done(&why);
	return e;
}

static ino_t inode(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_ino;
}

static void *swap(void *arg)
{
	int i;

	(void)arg;
	while (!atomic_load(&over)) {
		(void)!rename(in("vol/race"), in("vol/aside"));
		(void)!symlink(in("out"), in("vol/race"));
		(void)!unlink(in("vol/race"));
		(void)!rename(in("vol/aside"), in("vol/race"));
		for (i = 0; i < 200; i++)
			sched_yield();
	}
	return NULL;
}

static void plain(void)
{
	bool is_dir = false;

	is_int(try("a/b/c", &is_dir), 0, "directories that are not there are made");
	ok(is_dir && inode(at) == inode(in("vol/a/b/c")), "and mounted");
	is_int(try("a/b/c", &is_dir), 0, "once more: the same");
	is_int(try("file", &is_dir), 0, "another one of the same name takes its place");
	ok(!is_dir && inode(at) == inode(in("vol/file")), "a file");
	is_int(try("to-a/b", &is_dir), 0, "over a link that stays inside");
	ok(is_dir && inode(at) == inode(in("vol/a/b")), "to where it leads");
	(void)umount2(at, MNT_DETACH);
}

static void refused(void)
{
	static const char *const bad[] = { "absolute", "absolute/s", "up", "up/s", "a/../../out", "proc", "/etc" };
	bool is_dir;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(try(bad[i], &is_dir) < 0 && !vol_is_mount(at), "%s leads out and is refused", bad[i]);
	ok(try("up/made", &is_dir) < 0 && !inode(in("made")) && !inode(in("out/made")), "nothing is made outside");
}

static void raced(void)
{
	ino_t out = inode(in("out/s"));
	uint32_t mounted = 0;
	uint32_t wrong = 0;
	pthread_t t;
	bool is_dir;
	int i;

	if (pthread_create(&t, NULL, swap, NULL))
		otap_bail_out("no thread");
	for (i = 0; i < ROUNDS; i++) {
		if (try("race/s", &is_dir))
			continue;
		mounted++;
		wrong += inode(at) == out;
		(void)umount2(at, MNT_DETACH);
	}
	atomic_store(&over, true);
	pthread_join(t, NULL);
	is_int(wrong, 0, "a directory swapped for a link %d times: never what is outside", ROUNDS);
	diag("%u of %d were mounted", mounted, ROUNDS);
}

int main(void)
{
	snprintf(dir, sizeof(dir), "/tmp/orlop-subpath.XXXXXX");
	if (geteuid() || unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return otap_skip_all("needs to mount");
	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	snprintf(at, sizeof(at), "%s/kubelet/pods/u/volume-subpaths/v/c/0", dir);
	(void)ofile_mkdir_p(in("vol/a"), 0755);
	(void)ofile_mkdir_p(in("vol/race/s"), 0755);
	(void)ofile_mkdir_p(in("out/s"), 0755);
	(void)ofile_write(AT_FDCWD, in("vol/file"), "x", 1, 0644);
	(void)!symlink(in("out"), in("vol/absolute"));
	(void)!symlink("../out", in("vol/up"));
	(void)!symlink("/proc/self/root", in("vol/proc"));
	(void)!symlink("a", in("vol/to-a"));
	plain();
	refused();
	raced();
	(void)umount2(in("kubelet"), MNT_DETACH);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
