/*
 * Fuzz target of image unpacking: any bytes as the only layer of an image. It is unpacked or refused; what stands beside
 * the directory of layers never changes, and nothing is left of a layer that was refused.
 */
#include "../unpack.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];

static int del(const char *path, const struct stat *st, int what, struct FTW *at)
{
	(void)st;
	(void)at;
	if (what == FTW_DP)
		(void)chmod(path, 0700);
	return remove(path);
}

static void tidy(void)
{
	(void)nftw(dir, del, 32, FTW_DEPTH | FTW_PHYS);
}

static void prepare(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/orlop-fuzz.XXXXXX");
	if (!mkdtemp(dir) || !freopen("/dev/null", "w", stderr))
		abort();
	atexit(tidy);
}

static void put(const char *path, const void *p, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, p, len) != (ssize_t)len)
		abort();
	close(fd);
}

/* Entries of a directory, without dots. */
static int count(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	if (!d)
		abort();
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char sentinel[] = "untouched";
	char blob[128], layers[128], beside[128], digest[72], got[sizeof(sentinel)] = "";
	struct stat st;
	uint64_t bytes = 0;
	int fd, r;

	if (!dir[0])
		prepare();
	(void)snprintf(blob, sizeof(blob), "%s/blob", dir);
	(void)snprintf(layers, sizeof(layers), "%s/layers", dir);
	(void)snprintf(beside, sizeof(beside), "%s/beside", dir);
	put(blob, data, size);
	put(beside, sentinel, sizeof(sentinel));
	if (mkdir(layers, 0700) || file_digest(blob, digest))
		abort();
	/* Right for what is not compressed; the rest is refused after it was unpacked. */
	r = layer_unpack(layers, blob, digest, digest, &bytes);
	if (r == 0 ? count(layers) != 1 : count(layers) != 0)
		abort();
	(void)archive_inspect(blob);
	fd = open(beside, O_RDONLY | O_NOFOLLOW);
	if (fd < 0 || read(fd, got, sizeof(got)) != sizeof(got) || memcmp(got, sentinel, sizeof(got)) ||
	    fstat(fd, &st) || (st.st_mode & 07777) != 0600 || st.st_nlink != 1 || count(dir) != 3)
		abort();
	close(fd);
	(void)nftw(layers, del, 32, FTW_DEPTH | FTW_PHYS);
	return 0;
}
