/*
 * ofile - whole files and trees
 *
 * For small files of our own (configuration, certificates, state). Nothing here follows a symbolic
 * link while deleting. All functions return 0 or -errno.
 */
#ifndef OLIB_BASE_OFILE_H
#define OLIB_BASE_OFILE_H

#include "base/obuf.h"

#include <stddef.h>
#include <sys/types.h>

/*
 * Appends the whole file to @b; dirfd may be AT_FDCWD. More than @max_bytes: -EFBIG. Works for /proc
 * and other files that do not know their size.
 */
int ofile_read(int dirfd, const char *path, size_t max_bytes, struct obuf *b);

/*
 * Replaces the file as a whole: temporary neighbour, fsync, rename, fsync of the directory. Readers
 * see the old or the new content, also after a power cut.
 */
int ofile_write_atomic(int dirfd, const char *path, const void *p, size_t len, mode_t mode);

/* The same without the syncs, for files that may be lost (/run, cgroup trees on tmpfs). */
int ofile_write(int dirfd, const char *path, const void *p, size_t len, mode_t mode);

/* One write() into an existing file, without create or truncate: /proc, /sys, cgroups. */
int ofile_poke(int dirfd, const char *path, const void *p, size_t len);

/* Writes all of it, restarting after EINTR and short writes. */
int ofile_write_all(int fd, const void *p, size_t len);

int ofile_mkdir_p(const char *path, mode_t mode);

/*
 * Removes a file or a tree; absent is fine. Never leaves the tree through a symbolic link, even one
 * placed while it runs, and does not enter other file systems: a mount found inside is -EXDEV.
 */
int ofile_remove_tree(int dirfd, const char *path);

#endif
