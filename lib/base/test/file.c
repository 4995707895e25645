/* ofile: reading, atomic replacement, trees that must not be left by a symbolic link. */
#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/otap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static char dir[] = "/tmp/ofile-XXXXXX";
static char path_buf[PATH_MAX];

static const char *in_dir(const char *name)
{
	(void)snprintf(path_buf, sizeof(path_buf), "%s/%s", dir, name);
	return path_buf;
}

static void test_read_write(void)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct stat st;
	mode_t old = umask(077);

	is_int(ofile_write_atomic(AT_FDCWD, in_dir("f"), "one", 3, 0644), 0, "write");
	is_int(ofile_write_atomic(AT_FDCWD, in_dir("f"), "second", 6, 0640), 0, "replace");
	(void)umask(old);
	is_int(stat(in_dir("f"), &st), 0, "it is there");
	is_int(st.st_mode & 0777, 0640, "with the mode asked for, whatever the umask");
	is_int(ofile_read(AT_FDCWD, in_dir("f"), 100, &b), 0, "read");
	is_str(obuf_cstr(&b), "second", "the content");
	is_int(ofile_read(AT_FDCWD, in_dir("f"), 5, &b), -EFBIG, "larger than allowed");
	is_int(ofile_read(AT_FDCWD, in_dir("none"), 5, &b), -ENOENT, "absent");
	is_int(ofile_read(AT_FDCWD, dir, 5, &b), -EISDIR, "a directory");
	obuf_reset(&b);
	is_int(ofile_read(AT_FDCWD, "/proc/self/stat", 100000, &b), 0, "a file without a size");
	ok(b.len > 10, "has content");
	is_int(ofile_write_atomic(AT_FDCWD, in_dir("none/f"), "x", 1, 0600), -ENOENT, "no such folder");
	is_int(ofile_poke(AT_FDCWD, in_dir("f"), "S", 1), 0, "poke");
	is_int(ofile_poke(AT_FDCWD, in_dir("g"), "S", 1), -ENOENT, "poke creates nothing");
	obuf_reset(&b);
	(void)ofile_read(AT_FDCWD, in_dir("f"), 100, &b);
	is_str(obuf_cstr(&b), "Second", "poke overwrote without truncating");
}

static void test_trees(void)
{
	char target[PATH_MAX];
	struct stat st;

	is_int(ofile_mkdir_p(in_dir("a/b/c//d/"), 0755), 0, "mkdir -p");
	is_int(ofile_mkdir_p(in_dir("a/b"), 0755), 0, "again");
	is_int(ofile_mkdir_p(in_dir("f/x"), 0755), -ENOTDIR, "through a file");
	is_int(ofile_mkdir_p("/", 0755), 0, "the root exists");
	(void)snprintf(target, sizeof(target), "%s/keep", dir);
	(void)ofile_mkdir_p(in_dir("keep/sub"), 0755);
	(void)ofile_write(AT_FDCWD, in_dir("keep/sub/file"), "x", 1, 0600);
	is_int(symlink(target, in_dir("a/b/link")), 0, "a link out of the tree");
	is_int(ofile_remove_tree(AT_FDCWD, in_dir("a")), 0, "remove the tree");
	is_int(stat(in_dir("a"), &st), -1, "it is gone");
	is_int(stat(in_dir("keep/sub/file"), &st), 0, "what the link pointed to is not");
	is_int(symlink(target, in_dir("l")), 0, "a link as the name itself");
	is_int(ofile_remove_tree(AT_FDCWD, in_dir("l")), 0, "removes the link");
	is_int(stat(in_dir("keep/sub/file"), &st), 0, "and nothing behind it");
	is_int(ofile_remove_tree(AT_FDCWD, in_dir("none")), 0, "absent is fine");
}

int main(void)
{
	if (mkdtemp(dir) == NULL)
		otap_bail_out("mkdtemp");
	test_read_write();
	test_trees();
	is_int(ofile_remove_tree(AT_FDCWD, dir), 0, "clean up");
	is_int(access(dir, F_OK), -1, "nothing is left");
	return done_testing();
}
