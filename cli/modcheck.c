/*
 * modcheck.c - `orlop module check`: is this file a module that one would want to load?
 *
 * What the file shows by itself; whether an orlopd of this version takes it; whether it starts and ends in one that is
 * made for that and thrown away; and, if asked, whether it keeps the contract of its class.
 */
#include "cli.h"
#include "elffile.h"
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

extern char **environ;

#define START_MS	15000
#define END_MS		15000

struct check {
	const char	*file;		/* absolute */
	char		**params;
	int		n_params;
	struct elffile	elf;
	struct place	place;
	char		dir[64];
	int		wrong;
	int		doubtful;
};

__attribute__((format(printf, 3, 4))) static void say(struct check *c, int *count, const char *fmt, ...)
{
	va_list ap;

	printf("%-9s ", !count ? "ok" : count == &c->wrong ? "wrong" : "doubtful");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	(void)fflush(stdout);
	if (count)
		++*count;
}

#define fine(c, ...) say(c, NULL, __VA_ARGS__)
#define wrong(c, ...) say(c, &(c)->wrong, __VA_ARGS__)
#define doubtful(c, ...) say(c, &(c)->doubtful, __VA_ARGS__)

/* ---- the file --------------------------------------------------------------------------------------- */

static void check_exports(struct check *c)
{
	const char *end = c->elf.exports.data + c->elf.exports.len;
	bool module = false;
	int others = 0;

	for (const char *p = c->elf.exports.data; p && p < end; p += strlen(p) + 1) {
		if (strcmp(p, "orlop_module") == 0)
			module = true;
		else if (others++ < 5)
			wrong(c, "exports %s; a module exports orlop_module and nothing else: build it with -fvisibility=hidden", p);
	}
	if (others > 5)
		wrong(c, "and %d more", others - 5);
	if (!module)
		wrong(c, "exports no orlop_module: use ORLOP_MODULE()");
	else if (!others)
		fine(c, "exports orlop_module and nothing else");
}

static void check_libraries(struct check *c)
{
	static const char *const cores[] = { "libnanomsg", "libuv", "libconfig" };
	const char *end = c->elf.needed.data + c->elf.needed.len;
	int n = 0;

	for (const char *p = c->elf.needed.data; p && p < end; p += strlen(p) + 1) {
		if (strncmp(p, "libc.", 5) != 0 && strncmp(p, "ld-linux", 8) != 0 && strncmp(p, "libm.", 5) != 0)
			n++;
		for (size_t i = 0; i < sizeof(cores) / sizeof(cores[0]); i++)
			if (strncmp(p, cores[i], strlen(cores[i])) == 0)
				wrong(c, "is linked with %s, which belongs to the core: everything comes through the host table", p);
	}
	if (n)
		fine(c, "needs %d librar%s beside the C library, so it stays mapped when it is unloaded", n, n == 1 ? "y" : "ies");
	else
		fine(c, "needs nothing but the C library");
}

static void check_file(struct check *c)
{
	fine(c, "%s/%s %s, built for ABI %s", elffile_modinfo(&c->elf, "class"), elffile_modinfo(&c->elf, "name"),
	     elffile_modinfo(&c->elf, "version"), elffile_modinfo(&c->elf, "abi"));
	check_exports(c);
	check_libraries(c);
	if (c->elf.writable_bytes)
		wrong(c, "has %llu bytes of writable static data: two instances in one process would share them; keep state in the context",
		      (unsigned long long)c->elf.writable_bytes);
	else
		fine(c, "has no writable static data");
	if (!*elffile_modinfo(&c->elf, "license"))
		doubtful(c, "names no license (\"license=…\")");
	if (!*elffile_modinfo(&c->elf, "user") && *elffile_modinfo(&c->elf, "reads"))
		doubtful(c, "reads resources and names no user (\"user=…\"): it acts as its own name");
	if (c->elf.exec_stack)
		wrong(c, "wants an executable stack: link with -Wl,-z,noexecstack");
	if (c->elf.rpath)
		doubtful(c, "has a search path for libraries of its own (rpath)");
	if (!c->elf.bind_now || !c->elf.relro)
		doubtful(c, "is not linked with -Wl,-z,relro,-z,now: a missing symbol is found when it is called");
	if (!c->elf.build_id)
		doubtful(c, "has no build-id: crash reports cannot name its lines");
}

/* ---- in a daemon ---------------------------------------------------------------------------------------- */

static int configure(struct check *c, struct orlop_error *err)
{
	cleanup_free char *path = omem_printf("%s/orlopd.conf", c->dir);
	struct obuf b = OBUF_INIT;
	int r;

	obuf_printf(&b, "data_dir = \"%s/d\";\nmodules = ( { module = \"%s\"; params = {", c->dir, c->file);
	for (int i = 0; i < c->n_params; i++) {
		const char *eq = strchr(c->params[i], '=');
		bool plain;

		if (!eq) {
			obuf_done(&b);
			return orlop_fail(err, EINVAL, 0, "", "%s: want NAME=VALUE", c->params[i]);
		}
		plain = strcmp(eq, "=true") == 0 || strcmp(eq, "=false") == 0 || (eq[1] && strspn(eq + 1, "-0123456789") == strlen(eq + 1));
		obuf_printf(&b, plain ? " %.*s = %s;" : " %.*s = \"%s\";", (int)(eq - c->params[i]), c->params[i], eq + 1);
	}
	obuf_puts(&b, " }; } );\n");
	r = b.err || !path ? -ENOMEM : ofile_write(AT_FDCWD, path, b.data, b.len, 0600);
	obuf_done(&b);
	return r ? orlop_fail(err, -r, 0, "", "%s: %s", c->dir, strerrordesc_np(-r)) : 0;
}

/* Starts orlopd with its words in DIR/log; *ret_ready is readable when it is ready or has ended. */
static pid_t daemon_try(struct check *c, const char *option, int *ret_ready)
{
	cleanup_free char *conf = omem_printf("%s/orlopd.conf", c->dir);
	cleanup_free char *log = omem_printf("%s/log", c->dir);
	char *argv[] = { c->place.orlopd, (char *)"-f", (char *)"-c", conf, (char *)option, (char *)"3", NULL };
	posix_spawn_file_actions_t fa;
	int p[2];
	pid_t pid;

	if (!conf || !log || pipe2(p, O_CLOEXEC))
		return -1;
	if (strcmp(option, "--ready-fd") != 0)
		argv[5] = NULL;
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_addopen(&fa, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	(void)posix_spawn_file_actions_adddup2(&fa, p[1], 3);
	if (posix_spawn(&pid, argv[0], &fa, NULL, argv, environ))
		pid = -1;
	(void)posix_spawn_file_actions_destroy(&fa);
	close(p[1]);
	*ret_ready = p[0];
	return pid;
}

/* The last line of the log that is not one of the log's own; "" if there is none. */
static void last_words(const struct check *c, char *ret, size_t size)
{
	cleanup_free char *log = omem_printf("%s/log", c->dir);
	struct obuf b = OBUF_INIT;

	ret[0] = '\0';
	if (log && ofile_read(AT_FDCWD, log, 1 << 20, &b) == 0)
		for (char *save = NULL, *l = strtok_r(b.data, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
			if (strncmp(l, "time=", 5) != 0)
				(void)snprintf(ret, size, "%s", strncmp(l, "orlopd: ", 8) == 0 ? l + 8 : l);
	obuf_done(&b);
}

static bool log_has(const struct check *c, const char *word, char *ret, size_t size)
{
	cleanup_free char *log = omem_printf("%s/log", c->dir);
	struct obuf b = OBUF_INIT;
	bool has = false;

	if (log && ofile_read(AT_FDCWD, log, 1 << 20, &b) == 0)
		for (char *save = NULL, *l = strtok_r(b.data, "\n", &save); l && !has; l = strtok_r(NULL, "\n", &save)) {
			const char *at = strstr(l, word);

			has = at != NULL;
			if (has)
				(void)snprintf(ret, size, "%s", at + strlen(word));
		}
	obuf_done(&b);
	return has;
}

/* Waits for the end; -1: it did not come and was made. */
static int ended(pid_t pid, int ready)
{
	struct pollfd p = { .fd = ready, .events = POLLIN };
	char sink[64];
	int status = -1, waited = 0;

	/* Its end of the pipe closes with it. */
	while (waited < END_MS && (poll(&p, 1, 100) == 0 || read(ready, sink, sizeof(sink)) > 0))
		waited += 100;
	if (waited >= END_MS)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return waited >= END_MS ? -1 : status;
}

static void check_start(struct check *c)
{
	const char *needs = elffile_modinfo(&c->elf, "needs");
	struct pollfd p = { .events = POLLIN };
	char why[512], word[8] = "";
	int status;
	pid_t pid = daemon_try(c, "--check-config", &p.fd);

	if (pid < 0) {
		doubtful(c, "%s does not start: %s", c->place.orlopd, strerrordesc_np(errno));
		return;
	}
	status = ended(pid, p.fd);
	close(p.fd);
	last_words(c, why, sizeof(why));
	if (*needs && strstr(why, "no module of the list provides it")) {
		fine(c, "is not started here, it needs %s; orlop module check --contract tries it", needs);
		return;
	}
	if (status != 0) {
		wrong(c, "%s", why);
		return;
	}
	fine(c, "this version takes it, with these parameters");
	pid = daemon_try(c, "--ready-fd", &p.fd);
	if (pid < 0)
		return;
	if (poll(&p, 1, START_MS) <= 0 || read(p.fd, word, 5) != 5 || strcmp(word, "READY") != 0) {
		(void)kill(pid, SIGTERM);
		status = ended(pid, p.fd);
		last_words(c, why, sizeof(why));
		wrong(c, "does not start: %s%s", why, WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "");
	} else {
		fine(c, "starts");
		(void)kill(pid, SIGTERM);
		status = ended(pid, p.fd);
		if (status == -1)
			wrong(c, "does not end within %d s", END_MS / 1000);
		else if (status)
			wrong(c, "does not end in order: %s", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "see its log");
		else if (log_has(c, "event=module_left ", why, sizeof(why)))
			wrong(c, "leaves things behind when it ends: %s", why);
		else
			fine(c, "ends, and leaves nothing behind");
	}
	close(p.fd);
}

/* ---- its contract ------------------------------------------------------------------------------------------ */

static void check_contract(struct check *c, const char *scenario)
{
	const char *class_name = elffile_modinfo(&c->elf, "class");
	cleanup_free char *program = omem_printf("%s/%s", c->place.contracts, class_name);
	cleanup_free char *script = omem_printf("%s/%s.py", c->place.contracts, class_name);
	char *argv[64];
	int n = 0, status = -1;
	pid_t pid;

	if (!program || !script)
		return;
	if (access(program, X_OK) != 0 && access(script, X_OK) != 0) {
		doubtful(c, "there is no contract of the class %s in %s", class_name, c->place.contracts);
		return;
	}
	if (strcmp(class_name, "controllers") == 0 && !scenario) {
		wrong(c, "the contract of a controller needs --scenario FILE: what is there, and what must come of it (orlop-module(8))");
		return;
	}
	argv[n++] = access(program, X_OK) == 0 ? program : script;
	argv[n++] = (char *)c->file;
	if (scenario)
		argv[n++] = (char *)scenario;
	for (int i = 0; i < c->n_params && n < 63; i++)
		argv[n++] = c->params[i];
	argv[n] = NULL;
	(void)setenv("ORLOPD", c->place.orlopd, 1);
	(void)setenv("ORLOP_MODULES", c->place.modules, 1);
	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ)) {
		wrong(c, "%s does not start: %s", argv[0], strerrordesc_np(errno));
		return;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		wrong(c, "breaks the contract of the class %s: see above", class_name);
	else
		fine(c, "keeps the contract of the class %s", class_name);
}

int cmd_module_check(const struct command *cmd, int argc, char **argv)
{
	bool contract = false;
	const char *scenario = NULL;
	const struct arg args[] = {
		{ "contract", ARG_FLAG, &contract, NULL, "run the contract of its class too" },
		{ "scenario", ARG_TEXT, &scenario, "FILE", "for the contract of a controller: what is there, what must come of it" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct check c = { .dir = "/tmp/orlop-check.XXXXXX" };
	cleanup_free char *file = NULL;
	int n = args_parse(cmd, args, argc, argv);
	int r;

	if (n < 0)
		return ARGS_EXIT(n);
	file = realpath(argv[1], NULL);
	c.file = file ? file : argv[1];
	c.params = argv + 2;
	c.n_params = n - 1;
	r = elffile_open(c.file, &c.elf, &err);
	if (r == 0 && !c.elf.modinfo)
		r = orlop_fail(&err, ENOEXEC, 0, "", "%s: no module: it has no section .orlop.modinfo (ORLOP_MODULE() makes it)", c.file);
	if (r == 0)
		r = place_find(&c.place, &err);
	if (r == 0 && !mkdtemp(c.dir))
		r = orlop_fail(&err, errno, 0, "", "%s: %s", c.dir, strerrordesc_np(errno));
	if (r == 0) {
		r = configure(&c, &err);
		if (r == 0) {
			check_file(&c);
			check_start(&c);
			if (contract)
				check_contract(&c, scenario);
		}
		(void)ofile_remove_tree(AT_FDCWD, c.dir);
	}
	place_done(&c.place);
	elffile_done(&c.elf);
	if (r)
		return cli_fail(&err);
	printf("%s: %d wrong, %d doubtful\n", argv[1], c.wrong, c.doubtful);
	return c.wrong ? CLI_FAILED : CLI_OK;
}
