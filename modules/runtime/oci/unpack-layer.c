/*
 * unpack-layer.c - one layer: verified, unpacked in a chroot of its own, renamed into place.
 *
 * The content is hostile: the child that writes has the new directory as its root, so no path and no
 * link leads out; libarchive refuses ".." and links that it would have to follow. Whiteouts become
 * what overlayfs wants: a character device 0/0, or trusted.overlay.opaque on the directory.
 * Sources: OCI image-spec layer.md; kernel Documentation/filesystems/overlayfs.rst.
 */
#include "unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/ofile.h"

#define BLOCK		65536
#define ENTRIES_MAX	2000000u	/* of one layer */
/* What a layer may grow to: zeroes shrink to a thousandth, programs to a third. */
#define GROW_FREE	(4ull << 30)
#define GROW_FACTOR	100u

/* The blob as libarchive reads it, hashed on the way. */
struct source {
	int		fd;
	EVP_MD_CTX	*md;
	char		buf[BLOCK];
};

static void digest_text(EVP_MD_CTX *md, char out[72])
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	EVP_DigestFinal_ex(md, raw, &n);
	memcpy(out, "sha256:", 7);
	ohex_encode(raw, 32, out + 7);
	out[71] = '\0';
}

int file_digest(const char *path, char out[72])
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	char buf[BLOCK];
	ssize_t n = -1;

	if (fd >= 0 && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL)) {
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			EVP_DigestUpdate(md, buf, (size_t)n);
		digest_text(md, out);
	}
	EVP_MD_CTX_free(md);
	return fd < 0 || n < 0 ? -(errno ? errno : EIO) : 0;
}

static int whiteout(const char *path, const char *base)
{
	char dir[4096];
	char target[4096];
	size_t n = (size_t)(base - path);

	if (n >= sizeof(dir) || n + strlen(base) >= sizeof(target))
		return -ENAMETOOLONG;
	memcpy(dir, path, n);
	dir[n] = '\0';
	if (!strcmp(base, ".wh..wh..opq")) {
		/* it may come before its directory */
		if (n && ofile_mkdir_p(dir, 0755))
			return -errno;
		return setxattr(n ? dir : ".", "trusted.overlay.opaque", "y", 1, 0) ? -errno : 0;
	}
	if (n && ofile_mkdir_p(dir, 0755))
		return -errno;
	snprintf(target, sizeof(target), "%s%s", dir, base + 4);
	if (!base[4] || strchr(base + 4, '/'))
		return -EINVAL;
	(void)ofile_remove_tree(AT_FDCWD, target);
	return mknod(target, S_IFCHR | 0600, makedev(0, 0)) ? -errno : 0;
}

static int copy_data(struct archive *in, struct archive *out)
{
	const void *p;
	size_t n;
	la_int64_t off;
	int r;

	while ((r = archive_read_data_block(in, &p, &n, &off)) == ARCHIVE_OK)
		if (archive_write_data_block(out, p, n, off) < ARCHIVE_OK)
			return ARCHIVE_FATAL;
	return r == ARCHIVE_EOF ? ARCHIVE_OK : r;
}

static int say(const char *what, const char *path, const char *why)
{
	fprintf(stderr, "layer: %s \"%s\": %s\n", what, path ? path : "", why ? why : "unknown");
	return 1;
}

/* Names are taken relative to the root: leading slashes and "./" go. */
static const char *relative(const char *path)
{
	while (*path == '/' || (path[0] == '.' && path[1] == '/'))
		path++;
	return path;
}

static int entries_write(struct archive *in, struct archive *out)
{
	struct archive_entry *e;
	uint32_t n = 0;
	int r;

	while ((r = archive_read_next_header(in, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		const char *raw = archive_entry_pathname(e);
		char path[4096];
		const char *base;
		const char *link;

		if (!raw || strlen(raw) >= sizeof(path))
			return say("entry", raw, "name missing or too long");
		if (++n > ENTRIES_MAX)
			return say("entry", raw, "more entries than a layer may have");
		strcpy(path, relative(raw));
		if (!*path || !strcmp(path, "."))
			continue;
		base = strrchr(path, '/');
		base = base ? base + 1 : path;
		if (!strncmp(base, ".wh.", 4)) {
			r = whiteout(path, base);
			if (r)
				return say("whiteout", path, strerrordesc_np(-r));
			continue;
		}
		archive_entry_set_pathname(e, path);
		link = archive_entry_hardlink(e);
		if (link) {
			char to[4096];

			snprintf(to, sizeof(to), "%s", relative(link));
			archive_entry_set_hardlink(e, to);
		}
		if (archive_write_header(out, e) < ARCHIVE_WARN)
			return say("entry", path, archive_error_string(out));
		if (archive_entry_size(e) > 0 && !link && copy_data(in, out) < ARCHIVE_WARN)
			return say("content of", path,
				   archive_error_string(out) ? archive_error_string(out)
							     : archive_error_string(in));
		if (archive_write_finish_entry(out) < ARCHIVE_WARN)
			return say("entry", path, archive_error_string(out));
	}
	return r == ARCHIVE_EOF ? 0 : say("archive", "", archive_error_string(in));
}

/* The child: the plain tar comes in by @fd; its root is the new directory. */
static int child_unpack(const char *dir, int fd)
{
	struct archive *in = archive_read_new();
	struct archive *out = archive_write_disk_new();
	int r;

	if (chroot(dir) || chdir("/"))
		return say("chroot", dir, strerrordesc_np(errno));
	umask(0);
	archive_read_support_format_tar(in);
	archive_read_support_format_empty(in);
	archive_write_disk_set_options(out, ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM |
				       ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_XATTR |
				       ARCHIVE_EXTRACT_UNLINK | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
				       ARCHIVE_EXTRACT_SECURE_SYMLINKS);
	r = archive_read_open_fd(in, fd, BLOCK) == ARCHIVE_OK
		? entries_write(in, out) : say("archive", "", archive_error_string(in));
	archive_read_free(in);
	if (archive_write_free(out) != ARCHIVE_OK && !r)
		r = say("archive", "", "cannot be finished");
	return r;
}

static la_ssize_t source_read(struct archive *a, void *arg, const void **ret)
{
	struct source *s = arg;
	ssize_t n = read(s->fd, s->buf, sizeof(s->buf));

	(void)a;
	if (n > 0)
		EVP_DigestUpdate(s->md, s->buf, (size_t)n);
	*ret = s->buf;
	return n;
}

/* Blob → (gzip, zstd, none) → plain bytes: hashed, and written to @to. */
static int decompress(struct source *s, int to, EVP_MD_CTX *plain, uint64_t *ret_size)
{
	struct archive *in = archive_read_new();
	struct archive_entry *e;
	char buf[BLOCK];
	la_ssize_t n = -1;
	struct stat st;
	uint64_t bound;

	bound = GROW_FREE + GROW_FACTOR * (fstat(s->fd, &st) ? 0 : (uint64_t)st.st_size);
	archive_read_support_filter_all(in);
	archive_read_support_format_raw(in);
	archive_read_support_format_empty(in);
	if (archive_read_open2(in, s, NULL, source_read, NULL, NULL) == ARCHIVE_OK) {
		int r = archive_read_next_header(in, &e);

		if (r == ARCHIVE_EOF)
			n = 0;
		else if (r == ARCHIVE_OK || r == ARCHIVE_WARN)
			while ((n = archive_read_data(in, buf, sizeof(buf))) > 0) {
				EVP_DigestUpdate(plain, buf, (size_t)n);
				*ret_size += (uint64_t)n;
				if (*ret_size > bound) {
					say("blob", "", "its content is more than 4 GiB and a hundred times its size");
					n = -2;
					break;
				}
				if (ofile_write_all(to, buf, (size_t)n)) {
					n = 0;	/* the child has said why */
					break;
				}
			}
	}
	if (n == -1 || n < -2)
		say("blob", "", archive_error_string(in));
	archive_read_free(in);
	/* what follows the archive belongs to the blob's digest too */
	while (n >= 0 && source_read(NULL, s, (const void *[]){ NULL }) > 0)
		;
	return n < 0;
}

static int layer_stream(const char *dir, struct source *s, const char *digest, const char *diff_id,
			uint64_t *ret_size)
{
	EVP_MD_CTX *plain = EVP_MD_CTX_new();
	char have[72];
	int pipefd[2];
	int status = 1;
	int r;
	pid_t pid;

	if (!plain || !EVP_DigestInit_ex(plain, EVP_sha256(), NULL) || pipe2(pipefd, O_CLOEXEC))
		return say("pipe", "", strerrordesc_np(errno));
	fflush(NULL);
	pid = fork();	/* this program has one thread */
	if (!pid) {
		close(pipefd[1]);
		_exit(child_unpack(dir, pipefd[0]));
	}
	close(pipefd[0]);
	r = pid < 0 ? say("fork", "", strerrordesc_np(errno)) : decompress(s, pipefd[1], plain, ret_size);
	close(pipefd[1]);
	if (pid > 0 && (waitpid(pid, &status, 0) != pid || status))
		r = 1;
	digest_text(s->md, have);
	if (!r && strcmp(have, digest))
		r = say("digest of blob", have, digest);
	digest_text(plain, have);
	EVP_MD_CTX_free(plain);
	if (!r && *diff_id && strcmp(have, diff_id)) {
		fprintf(stderr, "layer: content has digest %s, the image says %s\n", have, diff_id);
		r = 1;
	}
	return r;
}

int layer_unpack(const char *layers, const char *path, const char *digest, const char *diff_id,
		 uint64_t *ret_size)
{
	struct source s = { .fd = -1 };
	char tmp[4096];
	char dir[4096];
	int r;

	snprintf(dir, sizeof(dir), "%s/%.24s", layers, diff_id + 7);
	if (!access(dir, F_OK))
		return 0;
	snprintf(tmp, sizeof(tmp), "%s/tmp-%d-%.24s", layers, (int)getpid(), diff_id + 7);
	if (mkdir(tmp, 0755))
		return say("mkdir", tmp, strerrordesc_np(errno));
	s.fd = open(path, O_RDONLY | O_CLOEXEC);
	s.md = EVP_MD_CTX_new();
	if (s.fd < 0 || !s.md || !EVP_DigestInit_ex(s.md, EVP_sha256(), NULL))
		r = say("open", path, strerrordesc_np(errno));
	else
		r = layer_stream(tmp, &s, digest, diff_id, ret_size);
	EVP_MD_CTX_free(s.md);
	if (s.fd >= 0)
		close(s.fd);
	if (!r && rename(tmp, dir) && errno != EEXIST && errno != ENOTEMPTY)
		r = say("rename", dir, strerrordesc_np(errno));
	(void)ofile_remove_tree(AT_FDCWD, tmp);
	return r;
}
