/*
 * crash.c - `orlop crash list` and `orlop crash show`: reports that orlopd left when it died (core/crash.c).
 *
 * Addresses in a report are file + offset, so that they mean something afterwards, on this machine or
 * another one with the same files: the build-id says whether they are the same. addr2line names
 * function and line if there is debug information, also in /usr/lib/debug/.build-id.
 */
#include "clean.h"
#include "cli.h"
#include "setup.h"
#include "table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

extern char **environ;

#define REPORT_MAX	(4u << 20)

static int is_report(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 4 && d->d_name[0] != '.' && (!strcmp(d->d_name + n - 4, ".new") || !strcmp(d->d_name + n - 4, ".txt"));
}

/* DIR/crash, its reports oldest first. How many, or -errno. */
static int reports(const char *dir, char **ret_dir, struct dirent ***ret, struct orlop_error *err)
{
	struct setup s = { .dir = NULL };
	int n = setup_open(dir, &s, err);

	if (n == 0) {
		*ret_dir = setup_path(&s, "crash");
		n = *ret_dir ? scandir(*ret_dir, ret, is_report, alphasort) : -1;
		if (n < 0 && errno == ENOENT)
			n = 0;
		else if (n < 0)
			n = orlop_fail(err, errno, 0, "", "%s: %s", *ret_dir ? *ret_dir : "", strerrordesc_np(errno));
	}
	setup_done(&s);
	return n;
}

static void free_list(struct dirent **list, int n)
{
	for (int i = 0; i < n; i++)
		free(list[i]);
	if (n > 0)
		free(list);
}

int cmd_crash_list(const struct command *cmd, int argc, char **argv)
{
	static const char *const columns[] = { "WHEN", "REPORT", "WHAT", NULL };
	const char *dir = NULL;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_free char *path = NULL;
	struct dirent **list = NULL;
	struct table t;
	int n = args_parse(cmd, args, argc, argv);

	if (n < 0)
		return ARGS_EXIT(n);
	n = reports(dir, &path, &list, &err);
	if (n < 0)
		return cli_fail(&err);
	if (n == 0)
		puts("no crash is known");
	table_init(&t, columns);
	for (int i = 0; i < n; i++) {
		cleanup_free char *file = omem_printf("%s/%s", path, list[i]->d_name);
		cleanup_obuf struct obuf b = OBUF_INIT;
		time_t at = (time_t)strtoll(list[i]->d_name, NULL, 10);
		struct tm tm;
		char when[32] = "";
		char text[160];

		(void)ofile_read(AT_FDCWD, file ? file : "", REPORT_MAX, &b);
		if (b.data)
			b.data[strcspn(b.data, "\n")] = '\0';
		if (localtime_r(&at, &tm))
			(void)strftime(when, sizeof(when), "%F %T", &tm);
		table_add(&t, "%s", when);
		table_add(&t, "%s", file ? file : "");
		table_add(&t, "%s", clean_text(obuf_cstr(&b), text, sizeof(text)));
	}
	if (n)
		table_print(&t, stdout);
	free_list(list, n);
	return CLI_OK;
}

/* ---- symbols -------------------------------------------------------------------------------------------- */

/* What the program says, without its last newline; false: it is not there or failed. */
static bool output_of(char *const argv[], struct obuf *out)
{
	posix_spawn_file_actions_t fa;
	char buf[4096];
	ssize_t n;
	pid_t pid;
	int status = -1;
	int p[2];

	if (pipe2(p, O_CLOEXEC))
		return false;
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_adddup2(&fa, p[1], 1);
	(void)posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ))
		pid = -1;
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)close(p[1]);
	while (pid > 0 && ((n = read(p[0], buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			obuf_append(out, buf, (size_t)n);
	(void)close(p[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	while (out->len && out->data[out->len - 1] == '\n')
		obuf_truncate(out, out->len - 1);
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The build-id that the report has for @path, "" none. */
static void reported_id(const char *report, const char *path, char out[65])
{
	out[0] = '\0';
	for (const char *p = strstr(report, "\nobject "); p; p = strstr(p + 1, "\nobject ")) {
		char id[65];
		int at = 0;

		if (sscanf(p, "\nobject %*s build-id %64s %n", id, &at) == 1 && at &&
		    !strncmp(p + at, path, strlen(path)) && p[at + (int)strlen(path)] == '\n') {
			strcpy(out, id);
			return;
		}
	}
}

/* Does the file still have that build-id? readelf says. */
static bool same_build(const char *path, const char *id)
{
	char n[] = "-n";
	char readelf[] = "readelf";
	char *argv[] = { readelf, n, (char *)(uintptr_t)path, NULL };
	cleanup_obuf struct obuf b = OBUF_INIT;

	return output_of(argv, &b) && strstr(obuf_cstr(&b), id) != NULL;
}

static void symbol(const char *path, const char *offset, const char *id, struct obuf *out)
{
	char addr2line[] = "addr2line";
	char flags[] = "-Cfpie";
	cleanup_free char *debug = strlen(id) > 2 ?
		omem_printf("/usr/lib/debug/.build-id/%.2s/%s.debug", id, id + 2) : NULL;
	const char *file = debug && access(debug, R_OK) == 0 ? debug : path;
	char *argv[] = { addr2line, flags, (char *)(uintptr_t)file, (char *)(uintptr_t)offset, NULL };

	obuf_reset(out);
	if (!output_of(argv, out) || !out->len || out->data[0] == '?')
		obuf_reset(out);
}

/* One line of the report; places get their names. */
static void show_line(const char *report, const char *line, size_t len)
{
	cleanup_obuf struct obuf text = OBUF_INIT;
	cleanup_obuf struct obuf name = OBUF_INIT;
	cleanup_free char *copy = omem_strndup(line, len);
	char *path = copy ? strchr(copy + (len > 2 ? 2 : 0), ' ') : NULL;
	char *plus = path ? strrchr(path, '+') : NULL;
	char id[65];

	clean_put(&text, line, len);
	puts(obuf_cstr(&text));
	if (len < 3 || strncmp(line, "  0x", 4) || !plus || path[1] != '/')
		return;
	path++;
	*plus = '\0';
	reported_id(report, path, id);
	if (!id[0] || !same_build(path, id)) {
		puts("      (that file is not here, or another build of it)");
		return;
	}
	symbol(path, plus + 1, id, &name);
	for (const char *p = obuf_cstr(&name); *p;) {
		size_t n = strcspn(p, "\n");

		obuf_reset(&text);
		clean_put(&text, p, n);
		printf("      %s\n", obuf_cstr(&text));
		p += n + (p[n] == '\n');
	}
}

int cmd_crash_show(const struct command *cmd, int argc, char **argv)
{
	const char *dir = NULL;
	bool all = false;
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &dir, "DIR", "of the daemon (default " ORLOP_STATE_DIR ")" },
		{ "all", ARG_FLAG, &all, NULL, "name the words of the stack too: more than was called" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_free char *path = NULL;
	cleanup_free char *file = NULL;
	struct dirent **list = NULL;
	bool words = false;
	int n = args_parse(cmd, args, argc, argv);
	int r;

	if (n < 0)
		return ARGS_EXIT(n);
	if (n == 1) {
		file = omem_strdup(argv[1]);
	} else {
		n = reports(dir, &path, &list, &err);
		if (n < 0)
			return cli_fail(&err);
		if (n > 0)
			file = omem_printf("%s/%s", path, list[n - 1]->d_name);
		free_list(list, n);
		if (n == 0) {
			cli_say("no crash is known: %s has no report", path);
			return CLI_FAILED;
		}
	}
	r = file ? ofile_read(AT_FDCWD, file, REPORT_MAX, &b) : -ENOMEM;
	if (r || strncmp(obuf_cstr(&b), "orlopd crashed: ", 16)) {
		cli_say("%s: %s", file ? file : "", r ? strerrordesc_np(-r) : "not a crash report of orlopd");
		return CLI_FAILED;
	}
	for (const char *p = obuf_cstr(&b); *p;) {
		size_t len = strcspn(p, "\n");

		if (len && p[0] != ' ')
			words = !strncmp(p, "words of the stack", 18);
		if (words && !all)
			;	/* the frames say it better */
		else
			show_line(obuf_cstr(&b), p, len);
		p += len + (p[len] == '\n');
	}
	if (!strstr(obuf_cstr(&b), "end of the report"))
		puts("(the report is not complete)");
	return CLI_OK;
}
