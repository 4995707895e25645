/*
 * main() of a fuzz target built without libFuzzer: feeds it every file of its corpus, then each of
 * them cut short and with flipped bytes, so that targets cannot rot and known crashes stay fixed.
 *
 * The corpus of <dir>/<target>.c is <dir>/corpus/<target>/ in the source tree; files named on the
 * command line are used instead. Prints TAP.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void feed(const uint8_t *data, size_t len)
{
	/* A block of exactly that size, so that reading past the end is noticed. */
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, data, len);
	(void)LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static int replay(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "re");
	uint32_t seed = 1;
	size_t len;

	if (!f)
		return -1;
	len = fread(data, 1, sizeof(data), f);
	fclose(f);
	feed(data, len);
	for (size_t cut = len, n = 0; cut > 0 && n < 64; n++) {
		cut -= 1 + (len / 64 < cut ? len / 64 : cut - 1);
		feed(data, cut);
	}
	for (int n = 0; n < 256 && len > 0; n++) {
		uint8_t old;
		size_t at;

		seed = seed * 1664525u + 1013904223u;
		at = (seed >> 8) % len;
		old = data[at];
		data[at] = (uint8_t)(seed >> 24);
		feed(data, len);
		data[at] = old;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *src = getenv("srcdir"), *slash = strrchr(argv[0], '/');
	char dir[4096], path[8192];
	struct dirent *e;
	int n = 0;
	DIR *d;

	for (int i = 1; i < argc; i++)
		printf("%s %d - %s\n", replay(argv[i]) == 0 ? "ok" : "not ok", ++n, argv[i]);
	if (argc == 1 && slash) {
		snprintf(dir, sizeof(dir), "%s/%.*s/corpus/%s", src ? src : ".", (int)(slash - argv[0]), argv[0], slash + 1);
		d = opendir(dir);
		while (d && (e = readdir(d))) {
			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
			printf("%s %d - %s\n", replay(path) == 0 ? "ok" : "not ok", ++n, e->d_name);
		}
		if (d)
			closedir(d);
	}
	feed((const uint8_t *)"", 0);
	printf("ok %d - nothing at all\n1..%d\n", n + 1, n + 1);
	return 0;
}
