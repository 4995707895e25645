/* test/process.c - child processes. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kit.h"
#include "spawn.h"

struct ended {
	int		n;
	int		code;
	int		sig;
};

static void on_exit_of(void *arg, int32_t code, int32_t sig)
{
	struct ended *e = arg;

	e->n++;
	e->code = code;
	e->sig = sig;
}

/* Runs `sh -c @script` to its end with stdout in @out. */
static struct ended sh(struct core_loop *l, const char *script, uint32_t flags, const char *cwd,
		       const char *const *env, char *out, size_t size)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct ended e = { .n = 0 };
	int p[2];
	int fds[3];
	struct orlop_spawn s = { .size = sizeof(s), .flags = flags, .argv = argv, .env = env, .cwd = cwd,
				 .fds = fds, .n_fds = 3 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	ssize_t n;

	if (pipe2(p, O_CLOEXEC))
		otap_bail_out("no pipe");
	fds[0] = -1;
	fds[1] = p[1];
	fds[2] = 2;
	if (core_spawn(l, NULL, &s, on_exit_of, &e, NULL, &err)) {
		diag("%s", err.msg);
		e.code = -1;
	} else if (!kit_until(l, e.n)) {
		e.code = -2;
	}
	close(p[1]);
	n = read(p[0], out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	close(p[0]);
	return e;
}

static void test_fails(struct core_loop *l)
{
	const char *const none[] = { "/nonexistent/program", NULL };
	const char *const lost[] = { "no-such-program-anywhere", NULL };
	const char *const dir[] = { "/bin/true", NULL };
	struct orlop_spawn s = { .size = sizeof(s), .argv = none };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct ended e = { .n = 0 };
	int pipefd[2];
	int bad[1] = { 987 };

	(void)!pipe2(pipefd, O_CLOEXEC);
	is_int(core_spawn(l, NULL, &s, on_exit_of, &e, NULL, &err), -ENOENT, "no such file");
	is_str(err.msg, "spawn /nonexistent/program: exec: No such file or directory", "says which");
	s.argv = lost;
	is_int(core_spawn(l, NULL, &s, on_exit_of, &e, NULL, &err), -ENOENT, "no such program");
	is_str(err.msg, "spawn no-such-program-anywhere: program not found", "says which");
	s.argv = dir;
	s.cwd = "/nonexistent";
	is_int(core_spawn(l, NULL, &s, on_exit_of, &e, NULL, &err), -ENOENT, "no such directory");
	is_str(err.msg, "spawn /bin/true: chdir: No such file or directory", "says which step");
	s.cwd = NULL;
	s.fds = bad;
	s.n_fds = 1;
	is_int(core_spawn(l, NULL, &s, on_exit_of, &e, NULL, &err), -EBADF, "a descriptor that is not open");
	core_loop_turn(l, false);
	is_int(e.n, 0, "what did not start does not end");
	is_int(waitpid(-1, NULL, WNOHANG), -1, "no zombie is left");
	close(pipefd[0]);
	close(pipefd[1]);
}

static void test_kill(struct core_loop *l)
{
	const char *const argv[] = { "/bin/sleep", "1000", NULL };
	struct orlop_spawn s = { .size = sizeof(s), .argv = argv };
	struct core_owner o;
	struct ended e = { .n = 0 };
	struct orlop_child *c;
	pid_t pid;

	core_owner_init(&o);
	is_int(core_spawn(l, &o, &s, on_exit_of, &e, &c, NULL), 0, "sleep starts");
	ok(core_child_pid(c) > 0, "it has a pid");
	is_int(core_child_kill(c, SIGTERM), 0, "kill");
	ok(kit_until(l, e.n), "it ends");
	is_int(e.sig, SIGTERM, "by that signal");
	is_int(core_child_kill(c, SIGTERM), -ESRCH, "killing it again finds nothing");
	is_int(core_owner_count(&o, CORE_HELD_CHILD), 1, "held until it is freed");
	core_child_free(c);
	is_int(core_owner_count(&o, CORE_HELD_CHILD), 0, "then not");

	memset(&e, 0, sizeof(e));
	(void)core_spawn(l, &o, &s, on_exit_of, &e, &c, NULL);
	pid = core_child_pid(c);
	is_int(core_spawn_reclaim(&o), 1, "what an owner leaves is reclaimed");
	ok(kit_until(l, kill(pid, 0) < 0 && errno == ESRCH), "and killed and reaped");
	is_int(e.n, 0, "without a callback");
	core_child_free(NULL);
}

int main(void)
{
	const char *const env[] = { "A=b c", NULL };
	struct core_loop *l;
	char out[512];
	struct ended e;
	int fds;

	if (core_loop_new(0, "main", &l))
		otap_bail_out("no loop");
	core_loop_turn(l, false);
	fds = kit_fds();
	e = sh(l, "echo hello; exit 7", 0, NULL, NULL, out, sizeof(out));
	is_int(e.code, 7, "exit status");
	is_int(e.sig, 0, "no signal");
	is_str(out, "hello\n", "output");
	(void)sh(l, "pwd; echo $A; umask; cat; echo .", 0, "/usr", env, out, sizeof(out));
	is_str(out, "/usr\nb c\n0022\n.\n", "directory, environment, umask, empty input");
	(void)sh(l, "echo $PATH", 0, NULL, NULL, out, sizeof(out));
	ok(strstr(out, "/usr/bin") != NULL, "PATH by default");
	e = sh(l, "kill -9 $$", 0, NULL, NULL, out, sizeof(out));
	is_int(e.sig, SIGKILL, "ended by a signal");
	(void)sh(l, "ls /proc/self/fd | wc -l", 0, NULL, NULL, out, sizeof(out));
	is_str(out, "4\n", "no descriptor of ours goes along");
	(void)sh(l, "ps -o sid= -p $$ | tr -d ' '; echo $$", ORLOP_SPAWN_SETSID, NULL, NULL, out, sizeof(out));
	ok(out[0] && strtol(out, NULL, 10) == strtol(strchr(out, '\n') + 1, NULL, 10), "a session of its own");
	(void)sh(l, "grep -E 'Sig(Blk|Ign)' /proc/self/status", 0, NULL, NULL, out, sizeof(out));
	ok(strstr(out, "SigBlk:\t0000000000000000") && strstr(out, "SigIgn:\t0000000000000000"),
	   "no signal is blocked or ignored");
	if (geteuid() == 0) {
		char here[64];
		ssize_t n = readlink("/proc/self/ns/mnt", here, sizeof(here) - 1);

		here[n > 0 ? n : 0] = '\0';
		e = sh(l, "readlink /proc/self/ns/mnt; test ! -e /sys/fs/cgroup/unified/cgroup.procs",
		       ORLOP_SPAWN_NEWNS | ORLOP_SPAWN_HIDE_UNIFIED, NULL, NULL, out, sizeof(out));
		ok(out[0] && strncmp(out, here, strlen(here)) != 0, "a mount namespace of its own");
		is_int(e.code, 0, "without the unified hierarchy");
	} else {
		otap_skip("not root", 2);
	}
	test_fails(l);
	test_kill(l);
	is_int(kit_fds(), fds, "no descriptor is left");
	core_loop_free(l);
	return done_testing();
}
