/* Whole files and trees; see ofile.h. */
#include "base/ofile.h"

#include "base/ocleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP 16384u
#define TREE_DEPTH_MAX 512

int ofile_read(int dirfd, const char *path, size_t max_bytes, struct obuf *b)
{
	cleanup_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t start = b->len;
	struct stat st;
	size_t step = READ_STEP;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISREG(st.st_mode) && st.st_size > 0) {
		if ((uint64_t)st.st_size > max_bytes)
			return -EFBIG;
		step = (size_t)st.st_size + 1;
	}
	for (;;) {
		char *at = obuf_reserve(b, step);
		ssize_t n;

		if (at == NULL)
			return obuf_err(b);
		n = read(fd, at, step);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		obuf_advance(b, (size_t)n);
		if (b->len - start > max_bytes)
			return -EFBIG;
		step = READ_STEP;
	}
}

int ofile_write_all(int fd, const void *p, size_t len)
{
	const char *s = p;

	while (len > 0) {
		ssize_t n = write(fd, s, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s += n;
		len -= (size_t)n;
	}
	return 0;
}

static int sync_parent(int dirfd, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	if (slash == NULL || slash == path)
		(void)snprintf(dir, sizeof(dir), "%s", slash == NULL ? "." : "/");
	else
		(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);

	cleanup_close int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* some file systems refuse to sync a directory; there is nothing better to do then */
	if (fsync(fd) < 0 && errno != EINVAL)
		return -errno;
	return 0;
}

static int write_replace(int dirfd, const char *path, const void *p, size_t len, mode_t mode,
			 bool durable)
{
	char tmp[PATH_MAX];
	int r = 0;

	/* the process id keeps two processes apart; inside one, two writers of one file are a bug */
	if (snprintf(tmp, sizeof(tmp), "%s.%d.tmp", path, (int)getpid()) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	(void)unlinkat(dirfd, tmp, 0);

	cleanup_close int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
				      mode);

	if (fd < 0)
		return -errno;
	/* the mode is meant, whatever the umask */
	if (fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0)
		r = ofile_write_all(fd, p, len);
	if (r == 0 && durable && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && close(TAKE_FD(fd)) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, tmp, 0);
		return r;
	}
	return durable ? sync_parent(dirfd, path) : 0;
}

int ofile_write_atomic(int dirfd, const char *path, const void *p, size_t len, mode_t mode)
{
	return write_replace(dirfd, path, p, len, mode, true);
}

int ofile_write(int dirfd, const char *path, const void *p, size_t len, mode_t mode)
{
	return write_replace(dirfd, path, p, len, mode, false);
}

int ofile_poke(int dirfd, const char *path, const void *p, size_t len)
{
	cleanup_close int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = write(fd, p, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int ofile_mkdir_p(const char *path, mode_t mode)
{
	cleanup_free char *copy = omem_strdup(path);
	struct stat st;

	if (copy == NULL)
		return -ENOMEM;
	/* mostly its parents are there */
	if (mkdir(copy, mode) == 0)
		return 0;
	for (char *s = copy + 1; *copy != '\0'; s++) {
		char saved = *s;

		if (saved != '/' && saved != '\0')
			continue;
		*s = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST && errno != EISDIR) {
			int err = errno;

			/* a read-only or forbidden parent that exists already is no obstacle */
			if (stat(copy, &st) < 0 || !S_ISDIR(st.st_mode))
				return -err;
		}
		*s = saved;
		if (saved == '\0')
			break;
	}
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int remove_at(int dirfd, const char *name, dev_t dev, int depth);

static int remove_children(int fd, dev_t dev, int depth)
{
	cleanup_dir DIR *d = NULL;
	struct dirent *e;
	int first = 0;
	int dup_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (dup_fd < 0)
		return -errno;
	d = fdopendir(dup_fd);
	if (d == NULL) {
		int err = errno;

		(void)close(dup_fd);
		return -err;
	}
	while ((errno = 0, e = readdir(d)) != NULL) {
		int r;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		r = remove_at(fd, e->d_name, dev, depth + 1);
		/* go on, so that one stubborn file does not keep the rest */
		if (r < 0 && first == 0)
			first = r;
	}
	return first != 0 ? first : -errno;
}

static int remove_at(int dirfd, const char *name, dev_t dev, int depth)
{
	struct stat st;
	int r;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	r = -errno;

	cleanup_close int fd = openat(dirfd, name,
				      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOTDIR || errno == ELOOP ? r : -errno;
	if (depth > TREE_DEPTH_MAX)
		return -ELOOP;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (depth > 0 && st.st_dev != dev)
		return -EXDEV;
	r = remove_children(fd, st.st_dev, depth);
	if (r < 0)
		return r;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int ofile_remove_tree(int dirfd, const char *path)
{
	return remove_at(dirfd, path, 0, 0);
}
