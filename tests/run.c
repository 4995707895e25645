/*
 * The test runner: runs TAP programs and scripts, a few at a time, and tells what failed.
 *
 * Every test gets its own process group and a keeper process that adopts whatever the test leaves
 * behind (daemons included), so that nothing outlives it, whatever happened. Output goes to a log
 * file and is shown only if the test failed.
 *
 *	run [-j jobs] [-n name] [-t seconds] [-v] test...
 *
 * A script may say in its first lines "# run: timeout=SECONDS alone". Of several at a time those that run alone
 * come last.
 * Exit status: 0 all passed, 1 something failed, 2 wrong use. TEST_TIMEOUT_FACTOR stretches timeouts.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct test {
	const char	*path;
	const char	*label;
	char		log[PATH_MAX];
	pid_t		keeper;
	int		timeout_s;
	bool		alone;
	double		started, took_s;
	int		passed, failed, skipped;
	char		why[160];	/* why the test as a whole failed, or is skipped */
};

enum { EXIT_TIMEOUT = 124, EXIT_NO_EXEC = 126 };

static int n_jobs = 2, default_timeout_s = 120, timeout_factor = 1;
static bool verbose;
static const char *run_name = "tests";
static char log_dir[PATH_MAX / 2];
static volatile sig_atomic_t interrupted;

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void on_signal(int sig)
{
	interrupted = sig;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* ---- the keeper: one per test, in its own process ---------------------------------------------- */

/* Kills every descendant that is left and reaps it. Being their subreaper, we are the parent of each
 * orphan sooner or later; one that will not die (in the kernel) is given up after two seconds. */
static void kill_descendants(pid_t group)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };

	kill(-group, SIGKILL);
	for (int round = 0; round < 100; round++) {
		char path[64], line[8192];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
		f = fopen(path, "re");
		if (f && fgets(line, sizeof(line), f)) {
			char *p = line, *end;
			long pid;

			while ((pid = strtol(p, &end, 10)) > 0 && end != p) {
				kill((pid_t)pid, SIGKILL);
				p = end;
			}
		}
		if (f)
			fclose(f);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			return;
		nanosleep(&pause, NULL);
	}
}

static void keeper(const struct test *t)
{
	struct timespec limit = { .tv_sec = t->timeout_s };
	double end = now_s() + t->timeout_s;
	bool timed_out = false;
	int status = 0, log, null;
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGINT, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);

	log = open(t->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (log < 0 || null < 0)
		_exit(2);
	pid = fork();
	if (pid == 0) {
		const char *argv[] = { t->path, NULL };

		setpgid(0, 0);
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		dup2(null, 0);
		dup2(log, 1);
		dup2(log, 2);
		execv(t->path, (char **)argv);
		fprintf(stderr, "exec %s: %s\n", t->path, strerror(errno));
		_exit(EXIT_NO_EXEC);
	}
	if (pid < 0)
		_exit(2);
	setpgid(pid, pid);

	for (;;) {
		pid_t got;
		int st;

		while ((got = waitpid(-1, &st, WNOHANG)) > 0)
			if (got == pid) {
				status = st;
				goto ended;
			}
		if (now_s() >= end) {
			timed_out = true;
			/* SIGABRT first: a core file or a sanitizer's report says where it hung. */
			kill(-pid, SIGABRT);
			limit.tv_sec = 2;
			sigtimedwait(&set, NULL, &limit);
			goto ended;
		}
		limit.tv_sec = 1;
		if (sigtimedwait(&set, NULL, &limit) == SIGTERM) {
			status = SIGTERM;
			goto ended;
		}
	}
ended:
	kill_descendants(pid);
	if (timed_out)
		_exit(EXIT_TIMEOUT);
	if (WIFSIGNALED(status)) {
		signal(WTERMSIG(status), SIG_DFL);
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		raise(WTERMSIG(status));
		_exit(128 + WTERMSIG(status));
	}
	_exit(WEXITSTATUS(status));
}

/* ---- reading what a test says --------------------------------------------------------------------- */

static bool directive(const char *line, const char *word)
{
	const char *hash = strstr(line, " # ");

	return hash && strncasecmp(hash + 3, word, strlen(word)) == 0;
}

static void fail_whole(struct test *t, const char *why)
{
	if (t->why[0] == 0)
		snprintf(t->why, sizeof(t->why), "%s", why);
	t->failed++;
}

static void judge(struct test *t, int status)
{
	int plan = -1, points = 0;
	char *line = NULL, text[160];
	size_t cap = 0;
	bool bail = false;
	FILE *f = fopen(t->log, "re");

	t->took_s = now_s() - t->started;
	while (f && getline(&line, &cap, f) >= 0) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "not ok", 6) == 0 && !isalnum((unsigned char)line[6])) {
			points++;
			if (directive(line, "TODO"))
				t->skipped++;
			else
				t->failed++;
		} else if (strncmp(line, "ok", 2) == 0 && (line[2] == ' ' || line[2] == 0)) {
			points++;
			if (directive(line, "SKIP"))
				t->skipped++;
			else
				t->passed++;
		} else if (strncmp(line, "1..", 3) == 0 && isdigit((unsigned char)line[3]) && plan < 0) {
			plan = atoi(line + 3);
			if (plan == 0) {
				const char *why = strchr(line, '#');

				snprintf(t->why, sizeof(t->why), "%.150s", why ? why + 2 : "SKIP");
				t->skipped++;
			}
		} else if (strncmp(line, "Bail out!", 9) == 0) {
			bail = true;
			fail_whole(t, line);
		}
	}
	free(line);
	if (f)
		fclose(f);

	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_TIMEOUT) {
		snprintf(text, sizeof(text), "no end after %d s", t->timeout_s);
		fail_whole(t, text);
	} else if (WIFSIGNALED(status)) {
		snprintf(text, sizeof(text), "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
		fail_whole(t, text);
	} else if (plan < 0 && !bail) {
		fail_whole(t, "no plan (1..N) in its output");
	} else if (plan > 0 && plan != points && !bail) {
		snprintf(text, sizeof(text), "planned %d, reported %d", plan, points);
		fail_whole(t, text);
	} else if (WEXITSTATUS(status) != 0 && t->failed == 0) {
		snprintf(text, sizeof(text), "exit status %d", WEXITSTATUS(status));
		fail_whole(t, text);
	}
}

static void show_log(const struct test *t)
{
	char buf[4096];
	FILE *f = fopen(t->log, "re");
	struct stat st;
	const long most = 256 * 1024;

	if (!f)
		return;
	if (fstat(fileno(f), &st) == 0 && st.st_size > most) {
		printf("    … the last %ld KB of %s:\n", most / 1024, t->log);
		(void)fseek(f, -most, SEEK_END);
	}
	while (fgets(buf, sizeof(buf), f))
		printf("    %s", buf);
	fclose(f);
}

static void report(const struct test *t)
{
	bool bad = t->failed > 0;

	printf("%s  %-52s", bad ? "FAIL" : t->passed == 0 && t->skipped ? "skip" : "ok  ", t->label);
	printf(" %4d", t->passed);
	if (t->failed)
		printf(", %d failed", t->failed);
	if (t->skipped)
		printf(", %d skipped", t->skipped);
	printf(" (%.1f s)%s%s\n", t->took_s, t->why[0] ? ": " : "", t->why);
	if (bad || verbose)
		show_log(t);
	fflush(stdout);
}

/* ---- running all ------------------------------------------------------------------------------------ */

static void read_needs(struct test *t)
{
	char line[512];
	FILE *f = fopen(t->path, "re");

	t->timeout_s = default_timeout_s;
	for (int i = 0; f && i < 15 && fgets(line, sizeof(line), f); i++) {
		const char *p = strstr(line, "# run:"), *s;

		if (!p)
			continue;
		s = strstr(p, "timeout=");
		if (s)
			t->timeout_s = atoi(s + 8);
		t->alone = strstr(p, "alone") != NULL;
		break;
	}
	if (f)
		fclose(f);
	t->timeout_s *= timeout_factor;
}

static void start(struct test *t)
{
	t->started = now_s();
	fflush(stdout);
	t->keeper = fork();
	if (t->keeper < 0)
		die("fork");
	if (t->keeper == 0)
		keeper(t);
}

static void setup(struct test *t, char *path)
{
	const char *src = getenv("srcdir");
	size_t n = src ? strlen(src) : 0;
	char *p;

	t->path = path;
	t->label = n && strncmp(path, src, n) == 0 && path[n] == '/' ? path + n + 1 : path;
	while (strncmp(t->label, "../", 3) == 0)
		t->label += 3;
	snprintf(t->log, sizeof(t->log), "%s/", log_dir);
	p = t->log + strlen(t->log);
	snprintf(p, sizeof(t->log) - (size_t)(p - t->log), "%s.log", t->label);
	for (; *p; p++)
		if (*p == '/')
			*p = '-';
	read_needs(t);
}

/* So that nobody waits for one to end, or to begin, beside whom nothing may run. */
static void alone_last(struct test *tests, int n)
{
	struct test *sorted = calloc((size_t)n + 1, sizeof(*sorted));
	int k = 0;

	if (!sorted)
		die("calloc");
	for (int alone = 0; alone < 2; alone++)
		for (int i = 0; i < n; i++)
			if (tests[i].alone == (alone == 1))
				sorted[k++] = tests[i];
	memcpy(tests, sorted, (size_t)n * sizeof(*sorted));
	free(sorted);
}

static void write_totals(int passed, int failed, int skipped)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.totals", log_dir, run_name);
	f = fopen(path, "we");
	if (!f || fprintf(f, "%d %d %d\n", passed, failed, skipped) < 0 || fclose(f) != 0)
		die(path);
}

int main(int argc, char **argv)
{
	int opt, n, passed = 0, failed = 0, skipped = 0, running = 0, next = 0;
	const char *factor = getenv("TEST_TIMEOUT_FACTOR");
	struct sigaction sa = { .sa_handler = on_signal };
	double began = now_s();
	struct test *tests;
	bool alone = false;

	while ((opt = getopt(argc, argv, "j:n:t:v")) >= 0) {
		if (opt == 'j')
			n_jobs = atoi(optarg) > 0 ? atoi(optarg) : 1;
		else if (opt == 'n')
			run_name = optarg;
		else if (opt == 't')
			default_timeout_s = atoi(optarg);
		else if (opt == 'v')
			verbose = true;
		else
			return fprintf(stderr, "usage: run [-j jobs] [-n name] [-t seconds] [-v] test...\n"), 2;
	}
	if (factor && atoi(factor) > 0)
		timeout_factor = atoi(factor);
	snprintf(log_dir, sizeof(log_dir), "%s/tests/log", getenv("builddir") ? getenv("builddir") : ".");
	if (mkdir(log_dir, 0755) < 0 && errno != EEXIST)
		die(log_dir);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);

	n = argc - optind;
	tests = calloc((size_t)n + 1, sizeof(*tests));
	if (!tests)
		die("calloc");
	for (int i = 0; i < n; i++)
		setup(&tests[i], argv[optind + i]);
	if (n_jobs > 1)
		alone_last(tests, n);

	while ((next < n && !interrupted) || running) {
		int status;
		pid_t pid;

		while (next < n && !interrupted && running < n_jobs && !alone && !(tests[next].alone && running)) {
			alone = tests[next].alone;
			start(&tests[next++]);
			running++;
		}
		pid = waitpid(-1, &status, 0);
		if (pid < 0) {
			if (errno != EINTR)
				die("waitpid");
			for (int i = 0; i < next; i++)
				if (tests[i].keeper > 0)
					kill(tests[i].keeper, SIGTERM);
			continue;
		}
		for (int i = 0; i < next; i++) {
			struct test *t = &tests[i];

			if (t->keeper != pid)
				continue;
			t->keeper = 0;
			running--;
			alone = false;
			judge(t, status);
			report(t);
			passed += t->passed;
			failed += t->failed;
			skipped += t->skipped;
		}
	}

	if (interrupted)
		failed++;
	for (int i = 0, said = 0; i < n; i++)
		if (tests[i].failed)
			printf("%s%s", said++ ? " " : "failed: ", tests[i].label);
	if (failed)
		printf("%s\n", interrupted ? " interrupted" : "");
	write_totals(passed, failed, skipped);
	printf("%s: %d passed, %d failed", run_name, passed, failed);
	if (skipped)
		printf(", %d skipped", skipped);
	printf(" in %.1f s\n", now_s() - began);
	free(tests);
	return failed ? 1 : 0;
}
