/*
 * crash-tell.c - reports of crashes before: each is told once, the last ones stay in DATA/crash.
 */
#include "crash.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/obuf.h"
#include "base/ofile.h"
#include "config.h"
#include "log.h"

#define KEPT		10u		/* reports in DATA/crash */

static int is_report(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 4 && d->d_name[0] != '.' &&
	       (!strcmp(d->d_name + n - 4, ".new") || !strcmp(d->d_name + n - 4, ".txt"));
}

/* Tells one report and gives it the name of one that was told. */
static bool report_tell(struct core *c, int dir, const char *dir_name, const char *name)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	size_t n = strlen(name);
	char told[256];
	char line[200];

	if (strcmp(name + n - 4, ".new") || n >= sizeof(told))
		return false;
	(void)snprintf(told, sizeof(told), "%.*s.txt", (int)(n - 4), name);
	if (renameat(dir, name, dir, told))
		return false;
	(void)ofile_read(dir, told, 1u << 20, &b);
	(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(obuf_cstr(&b), "\n"), obuf_cstr(&b));
	CLOG(c, WARN, "previous_crash", "report=%s/%s text=\"%s\"", dir_name, told, line);
	return true;
}

int core_crash_tell(struct core *c)
{
	cleanup_free char *name = c->config->data_dir ? omem_printf("%s/crash", c->config->data_dir) : NULL;
	struct dirent **list;
	int told = 0;
	int dir;
	int n;

	dir = name ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (dir < 0)
		return 0;
	n = scandirat(dir, ".", &list, is_report, alphasort);
	for (int i = 0; i < n; i++) {
		told += report_tell(c, dir, name, list[i]->d_name);
		/* names begin with the time: the last ones stay */
		if (i < n - (int)KEPT && !strstr(list[i]->d_name, ".new"))
			(void)unlinkat(dir, list[i]->d_name, 0);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	(void)close(dir);
	return told;
}
