/*
 * main.c - schemac: compiles api/ *.schema into constant C tables (struct oschema).
 *
 *	schemac -o FILE.c -i INCLUDE -s SYMBOL FILE.schema…
 *
 * The order of the files does not matter. Nothing is written when there is an error.
 */
#include "schemac.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *read_file(const char *path, size_t *ret_n)
{
	struct sc_where nowhere = { NULL, 0 };
	FILE *f = fopen(path, "r");
	char *buf = NULL;
	size_t n = 0, cap = 0;

	if (f == NULL)
		sc_die(nowhere, "%s: %m", path);
	for (;;) {
		size_t got;

		if (cap - n < 65536) {
			cap += 131072;
			buf = realloc(buf, cap);
			if (buf == NULL)
				sc_die(nowhere, "out of memory");
		}
		got = fread(buf + n, 1, cap - n - 1, f);
		if (got == 0)
			break;
		n += got;
	}
	if (ferror(f))
		sc_die(nowhere, "%s: cannot read", path);
	fclose(f);
	buf[n] = '\0';
	if (strlen(buf) != n)
		sc_die((struct sc_where){ path, 1 }, "the file holds a NUL byte");
	*ret_n = n;
	return buf;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static int by_base_name(const void *a, const void *b)
{
	return strcmp(base_name(*(char *const *)a), base_name(*(char *const *)b));
}

/* A program of the build ends without tidying up: leaks are no news to a sanitizer. */
const char *__asan_default_options(void);
__attribute__((visibility("default"), used)) const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

int main(int argc, char **argv)
{
	const char *out = NULL, *include = "schema/oschema.h", *symbol = "oschema_builtin";
	struct sc sc = { 0 };
	uint8_t sum[32] = { 0 };
	int opt;

	while ((opt = getopt(argc, argv, "o:i:s:")) != -1) {
		if (opt == 'o')
			out = optarg;
		else if (opt == 'i')
			include = optarg;
		else if (opt == 's')
			symbol = optarg;
		else
			return 2;
	}
	if (out == NULL || optind == argc) {
		fprintf(stderr, "usage: %s -o FILE.c [-i INCLUDE] [-s SYMBOL] FILE.schema…\n", argv[0]);
		return 2;
	}
	/* one order whatever the shell's: the same input gives the same bytes */
	qsort(argv + optind, (size_t)(argc - optind), sizeof(char *), by_base_name);
	for (int i = optind; i < argc; i++) {
		size_t n;
		char *text = read_file(argv[i], &n);
		uint8_t both[64];

		memcpy(both, sum, 32);
		sc_sha256(text, n, both + 32);
		sc_sha256(both, 64, sum);
		sc_parse(&sc, argv[i], text);
	}
	sc.generation = (uint32_t)sum[0] << 24 | (uint32_t)sum[1] << 16 | (uint32_t)sum[2] << 8 | sum[3];
	sc_link(&sc);
	sc_emit(&sc, out, include, symbol);
	return 0;
}
