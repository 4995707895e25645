/* test/isolate.c - modules in processes of their own: what works, what a crash does, what they may. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <orlop/record.h>

#include "isolate.h"
#include "cache/cache.h"
#include "replace.h"
#include "isolate_proxy.h"
#include "work.h"
#include "kit.h"
#include "metrics.h"
#include "net.h"

static struct core *c;
static char dir[64];
static char exe[PATH_MAX];

static int load_given(const char *name, const char *as, const struct core_config_param *p, struct kit_load *l)
{
	struct core_config_module cm = { .isolate = true };
	struct orlop_error err = ORLOP_ERROR_INIT;
	char path[512];
	int r;

	memset(l, 0, sizeof(*l));
	cm.module = omem_strdup(kit_module(name, path, sizeof(path)));
	cm.name = omem_strdup(as);
	if (p)
		(void)core_config_param_copy(&cm, p);
	r = core_loader_load(c, &cm, kit_loaded, l, &err);
	core_config_module_done(&cm);
	if (r)
		kit_loaded(l, r, NULL, &err);
	else if (!kit_until(c->main, l->done))
		return -ETIMEDOUT;
	return l->status;
}

/* As kit_load_as(), in a process of its own. */
static int load(const char *name, const char *as, const char *key, const char *value, struct kit_load *l)
{
	struct core_config_param p = { .name = (char *)(uintptr_t)key, .value = (char *)(uintptr_t)value };

	return load_given(name, as, key ? &p : NULL, l);
}

/* A request that is not waited for. */
static void ask(const char *to, uint32_t op, struct kit_reply *r)
{
	struct orlop_send send = { .size = sizeof(send), .op = op, .to = to, .timeout_ns = KIT_ASK_NS };

	memset(r, 0, sizeof(*r));
	send.msg.size = sizeof(send.msg);
	if (core_link_request(c->self->shards[0].link, &send, kit_replied, r, NULL))
		r->done = -1;
}

struct told {
	int		done;
	int		status;
	char		text[600];
};

static void told(void *arg, int status, const char *text, const struct orlop_error *err)
{
	struct told *t = arg;

	t->done++;
	t->status = status;
	(void)snprintf(t->text, sizeof(t->text), "%s", status ? err->msg : text);
}

static void refreshed(void *arg)
{
	*(int *)arg = 1;
}

static int set(const char *name, const char *key, const char *value, struct told *t)
{
	struct core_config_module cm = { .module = NULL };
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r;

	memset(t, 0, sizeof(*t));
	(void)core_config_param_add(&cm, key, value, 0, 0);
	r = core_isolate_set(core_instance_find(c, name), &cm, told, t, &err);
	core_config_module_done(&cm);
	if (r) {
		told(t, r, "", &err);
		return r;
	}
	return kit_until(c->main, t->done) ? t->status : -ETIMEDOUT;
}

/* What @inst says of its health. Who does not answer soon is not waited for, and is asked again. */
static bool says(struct core_instance *inst, struct orlop_health *h, const char *text)
{
	uint64_t end = core_now_mono() + KIT_WAIT_NS;

	do {
		int done = 0;

		if (core_isolate_refresh(c, refreshed, &done) || !kit_until(c->main, done))
			return false;
		core_instance_health(inst, h);
	} while (strcmp(h->text, text) != 0 && core_now_mono() < end);
	return strcmp(h->text, text) == 0;
}

static bool metric_is(const char *line)
{
	struct obuf b = OBUF_INIT;
	bool found;

	core_metrics_text(c->metrics, &b);
	found = strstr(obuf_cstr(&b), line) != NULL;
	obuf_done(&b);
	return found;
}

static void test_good(void)
{
	struct kit_load l;
	struct kit_reply r;
	struct told t = { .done = 0 };
	struct orlop_health h;
	struct obuf b = OBUF_INIT;

	is_int(load("crasher", NULL, NULL, NULL, &l), 0, "a module loads into a process of its own %s", l.msg);
	if (l.status)
		return;
	ok(l.inst->state == CORE_READY && core_isolate_up(l.inst), "and is ready");
	ok(l.inst->iso->pid > 0 && l.inst->iso->pid != getpid(), "which has another pid");
	is_str(l.inst->mod.summary, "ends badly, on request", "what only its code knows is known here");
	is_int(kit_ask(c, "test/crasher", 1, "ping", &r), 0, "it answers %s", r.text);
	is_str(r.text, "ping", "what was asked");
	is_int(kit_ask(c, "test", 1, "ping", &r), 0, "at its class too");
	is_int(kit_ask(c, "test/crasher", 99, NULL, &r), -ENOTSUP, "an op it does not have");
	is_int(kit_ask(c, "test/crasher", 6, NULL, &r), 0, "it tells what it may");
	is_str(r.text, geteuid() ? "------n" : "------n", "nothing: it declares nothing");

	is_int(core_isolate_stats(l.inst, told, &t), 0, "its statistics");
	ok(kit_until(c->main, t.done), "come");
	is_str(t.text, "{\"text\":\"hello\"}", "as it says");
	is_int(set("test/crasher", "text", "new", &t), 0, "a live parameter %s", t.text);
	is_int(core_isolate_stats(l.inst, told, memset(&t, 0, sizeof(t))), 0, "is");
	ok(kit_until(c->main, t.done) && strcmp(t.text, "{\"text\":\"new\"}") == 0, "changed there: %s", t.text);
	is_str(l.inst->params[1].value, "new", "and here");
	is_int(set("test/crasher", "text", "no", &t), -EINVAL, "the module may object");
	ok(strstr(t.text, "text may not be no"), "in words: %s", t.text);
	is_int(set("test/crasher", "at", "x", &t), -EPERM, "one that is not live: %s", t.text);
	ok(says(l.inst, &h, "text is new"), "health is asked, and told by itself: %s", h.text);
	core_isolate_put(l.inst, &b);
	ok(strstr(obuf_cstr(&b), "\"isolation\":\"process\"") && strstr(obuf_cstr(&b), "caps=none files=none"),
	   "what people see: %s", obuf_cstr(&b));
	obuf_done(&b);

	ok(metric_is("test_echoes_total 2\n"), "its metrics are ours");
	ok(metric_is("test_gauge{a=\"b\"} 7\n"), "a gauge");
	ok(metric_is("test_sizes_bucket{le=\"1000\"} 2\n") && metric_is("test_sizes_count 2\n"), "a histogram");
	is_int(kit_ask(c, "test/crasher", 11, NULL, &r), 0, "it sees ours");
	ok(strstr(r.text, "test_echoes_total 2"), "with its own among them");
	is_int(kit_ask(c, "test/crasher", 12, NULL, &r), 0, "it sees everybody's health");
	is_str(r.text, "test/crasher=1 ", "its own");
	is_int(kit_ask(c, "test/crasher", 8, NULL, &r), 0, "it can lead");
	ok(strncmp(r.text, "1 ", 2) == 0 && strlen(r.text) > 10, "with a token: %s", r.text);
	is_int(kit_ask(c, "test/crasher", 13, "127.0.0.1:0", &r), -EACCES, "it may not listen");
	ok(strstr(r.text, "modinfo does not say net=inet"), "and hears why: %s", r.text);
	is_int(kit_ask(c, "test/crasher", 10, NULL, &r), 0, "ten thousand lines do no harm");
	is_int(kit_unload(c, "test/crasher", &l), 0, "it goes %s", l.msg);
	ok(metric_is("test_echoes_total 2\n"), "what it counted stays");
}

/* How long from the end of one child until the next answers. */
static double again_ms(const char *to, uint32_t how, int32_t want, const char *name)
{
	struct core_instance *inst = core_instance_find(c, to);
	struct kit_reply dead;
	struct kit_reply r;
	int32_t pid = inst->iso->pid;
	uint64_t t0 = core_now_mono();
	double ms;

	if (how)
		ask(to, how, &dead);
	else
		kill(pid, SIGKILL);
	/* The first may have been taken along, no other. */
	if (kit_ask(c, to, 1, "again", &r) == -ECONNRESET)
		(void)kit_ask(c, to, 1, "again", &r);
	ms = (double)(core_now_mono() - t0) / 1e6;
	is_int(r.status, 0, "%s: answered by the next: %s", name, r.text);
	ok(inst->iso->pid != pid, "%s: which is another", name);
	if (how) {
		ok(kit_until(c->main, dead.done), "%s: who asked for it", name);
		is_int(dead.status, want, "%s: hears that the outcome is unknown", name);
	}
	return ms;
}

/* The report of a process that may write no file. */
static void crash_report(void)
{
#ifdef __SANITIZE_ADDRESS__
	otap_skip("a sanitizer has reports of its own", 1);
#else
	char path[96];
	struct obuf b = OBUF_INIT;
	struct dirent *e;
	DIR *d;
	bool found = false;

	(void)snprintf(path, sizeof(path), "%s/crash", dir);
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.') {
			obuf_reset(&b);
			(void)ofile_read(dirfd(d), e->d_name, 1 << 20, &b);
			found = found || (strstr(obuf_cstr(&b), "module one") && strstr(obuf_cstr(&b), "end of the report"));
		}
	if (d)
		closedir(d);
	ok(found, "a crash report, though it may write no file");
	obuf_done(&b);
#endif
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static bool closed(uint32_t want, int fds)
{
	return core_instance_find(c, "one")->iso->n_kept == want && !core_workq_pending(c->isolates->closers) &&
		(!fds || open_fds() == fds);
}

/* What it watches of files is kept here while it lives, so that its end does not wait for the kernel's. */
static void test_watches(void)
{
	struct kit_reply r;
	struct kit_load l;
	int before;

	is_int(load("crasher", "one", NULL, NULL, &l), 0, "one");
	is_int(kit_ask(c, "one", 1, "x", &r), 0, "answers");
	ok(kit_until(c->main, closed(0, 0)), "it watches nothing");
	before = open_fds();
	is_int(kit_ask(c, "one", 15, NULL, &r), 0, "it watches files %s", r.text);
	ok(kit_until(c->main, closed(1, before + 1)), "that is kept");
	is_int(kit_ask(c, "one", 15, NULL, &r), 0, "no longer");
	ok(kit_until(c->main, closed(0, before)), "nor is it");
	is_int(kit_ask(c, "one", 15, NULL, &r), 0, "again");
	ok(kit_until(c->main, closed(1, before + 1)), "kept");
	(void)again_ms("one", 0, 0, "kill -9");
	ok(kit_until(c->main, closed(0, before)), "let go");
	is_int(kit_ask(c, "one", 15, NULL, &r), 0, "the next watches");
	is_int(kit_unload(c, "one", &l), 0, "and is unloaded");
	ok(kit_until(c->main, !core_workq_pending(c->isolates->closers) && open_fds() < before), "nothing stays");
}

static void test_crashes(void)
{
	struct kit_load l;
	struct kit_reply open[3];
	struct core_instance *inst;
	double ms;

	is_int(load("crasher", "one", NULL, NULL, &l), 0, "one");
	is_int(load("crasher", "two", NULL, NULL, &l), 0, "two");
	inst = core_instance_find(c, "one");
	if (!inst)
		return;
	for (int i = 0; i < 3; i++)
		ask("one", 7, &open[i]);
	ms = again_ms("one", 2, -ECONNRESET, "a null pointer");
	diag("%.1f ms from the crash to the next answer", ms);
	for (int i = 0; i < 3; i++)
		ok(kit_until(c->main, open[i].done) && open[i].status == -ECONNRESET, "what was open is told");
	ok(strstr(inst->iso->last_exit, "signal 11"), "the reason is kept: %s", inst->iso->last_exit);
	is_int(inst->iso->restarts, 1, "counted");
	crash_report();
	inst->iso->backoff_ns = 0;
	ms = again_ms("one", 4, -ECONNRESET, "exit");
	is_str(inst->iso->last_exit, "exit code 3", "the reason");
	inst->iso->backoff_ns = 0;
	ms = again_ms("one", 5, -ECONNRESET, "fail()");
	ok(strstr(inst->iso->last_exit, "had enough"), "the reason: %s", inst->iso->last_exit);
	inst->iso->backoff_ns = 0;
	ms = again_ms("one", 0, 0, "kill -9");
	diag("%.1f ms from kill -9 to the next answer", ms);
	inst->iso->backoff_ns = 0;
	ms = again_ms("one", 14, -ECONNRESET, "rubbish on its channel");
	ok(strstr(inst->iso->last_exit, "control channel"), "the reason: %s", inst->iso->last_exit);
	inst->iso->backoff_ns = 0;
	kit_hang_after(c, 2 * KIT_SECOND);
	ms = again_ms("one", 3, -ECONNRESET, "a hang");
	kit_hang_after(c, KIT_START_NS);
	ok(strstr(inst->iso->last_exit, "hangs"), "the reason: %s (%.0f ms)", inst->iso->last_exit, ms);
	ok(inst->iso->backoff_ns > 0, "the next start would wait");
	is_int(core_instance_find(c, "two")->iso->restarts, 0, "the other noticed nothing");
	for (int i = 0; i < 5; i++) {
		struct kit_reply r;

		inst->iso->backoff_ns = 0;
		kill(inst->iso->pid, SIGKILL);
		(void)kit_until(c->main, !core_isolate_up(inst));
		is_int(kit_ask(c, "one", 1, "x", &r), 0, "asked between two: it waits, and is answered");
	}
	/* Between two children. */
	inst->iso->backoff_ns = 10 * KIT_SECOND;
	kill(inst->iso->pid, SIGKILL);
	ok(kit_until(c->main, !core_isolate_up(inst)), "down");
	ok(!inst->iso->health.ok && strstr(inst->iso->health.text, "restarting"), "people see it: %s",
	   inst->iso->health.text);
	is_int(kit_unload(c, "one", &l), 0, "unloaded while down");
	is_int(kit_unload(c, "two", &l), 0, "unloaded while up");
}

static void test_refusals(void)
{
	struct core_config_param p = { .name = (char *)(uintptr_t)"nummer", .value = (char *)(uintptr_t)"1", .line = 7 };
	struct kit_load l;
	struct kit_reply r;

	is_int(load("crasher", NULL, "at", "init", &l), -EIO, "a crash in init");
	ok(strstr(l.msg, "its process ended: killed by signal 11"), "is told: %s", l.msg);
	is_int(load("crasher", NULL, "at", "start", &l), -EIO, "a crash in start: %s", l.msg);
	is_int(load("crasher", NULL, "at", "refuse", &l), -EBUSY, "a refusal");
	ok(strstr(l.msg, "not today"), "in its words: %s", l.msg);
	is_int(load("crasher", NULL, "nummer", "1", &l), -EINVAL, "an unknown parameter");
	ok(strstr(l.msg, "unknown parameter nummer"), "says which: %s", l.msg);
	p.file = (char *)(uintptr_t)"/etc/some.conf";
	is_int(load_given("crasher", NULL, &p, &l), -EINVAL, "one out of another file");
	ok(strstr(l.msg, "/etc/some.conf:7: "), "says which: %s", l.msg);
	p.carried = true;
	is_int(load_given("crasher", NULL, &p, &l), 0, "one of the module before it, which is not known any more %s", l.msg);
	is_int(kit_unload(c, "test/crasher", &l), 0, "unloaded");
	is_int(load("badinit", NULL, NULL, NULL, &l), -EINVAL, "a missing one: %s", l.msg);
	is_int(load("abinew", NULL, NULL, NULL, &l), -ENOEXEC, "a newer ABI: %s", l.msg);
	is_int(load("nothing", NULL, NULL, NULL, &l), -ENOENT, "no file: %s", l.msg);
	is_int(load("magic", NULL, NULL, NULL, &l), -ENOEXEC, "a wrong magic: %s", l.msg);
	c->config->start_timeout_ns = 2 * KIT_SECOND;
	is_int(load("crasher", NULL, "at", "hang", &l), -ETIMEDOUT, "a start that hangs: %s", l.msg);
	c->config->start_timeout_ns = KIT_START_NS;
	ok(!core_instance_find(c, "test/crasher"), "none of them is left");
	is_int(load("crasher", NULL, "refuse", "true", &l), 0, "one that refuses to stop");
	is_int(kit_unload(c, "test/crasher", &l), -EBUSY, "refuses");
	ok(strstr(l.msg, "still busy"), "in its words: %s", l.msg);
	is_int(kit_ask(c, "test/crasher", 1, "x", &r), 0, "and serves on");
	is_int(kit_unload(c, "test/crasher", &l), 0, "the second time it goes");
	is_int(load("crasher", NULL, "at", "hang-stop", &l), 0, "one that hangs in stop");
	c->config->stop_timeout_ns = KIT_SECOND;
	is_int(kit_unload(c, "test/crasher", &l), 0, "goes as well %s", l.msg);
	c->config->stop_timeout_ns = KIT_START_NS;
	is_int(load("crasher", NULL, "at", "stop", &l), 0, "one that crashes in stop");
	is_int(kit_unload(c, "test/crasher", &l), 0, "goes as well %s", l.msg);
}

static int connect_to(const char *path, char *buf, size_t size)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ssize_t n = -1;

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	ok(kit_until(c->main, (n = read(fd, buf, size - 1)) > 0), "a connection is served");
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return 0;
}

/* A listening socket is the parent's: it outlives the child. */
static void test_listen(void)
{
	struct kit_load l;
	struct core_instance *inst;
	char addr[96];
	char buf[32];

	(void)snprintf(addr, sizeof(addr), "unix:%s/sock", dir);
	is_int(load("listener", NULL, "listen", addr, &l), 0, "one that listens %s", l.msg);
	inst = core_instance_find(c, "test/listener");
	if (!inst)
		return;
	is_int(connect_to(addr + 5, buf, sizeof(buf)), 0, "connect");
	is_str(buf, "hello\n", "and hear");
	inst->iso->backoff_ns = KIT_SECOND / 5;
	kill(inst->iso->pid, SIGKILL);
	ok(kit_until(c->main, !core_isolate_up(inst)), "down");
	is_int(connect_to(addr + 5, buf, sizeof(buf)), 0, "connect while nobody is there");
	is_str(buf, "hello\n", "the next child serves it");
	is_int(kit_unload(c, "test/listener", &l), 0, "it goes");
	core_loop_turn(c->main, false);
	ok(access(addr + 5, F_OK) < 0, "and its socket with it");
}

/* The file is overwritten in place: the next process runs the same code as the one before. */
static void test_swapped(void)
{
	struct core_config_module cm = { .isolate = true };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf b = OBUF_INIT;
	struct kit_load l = { .done = 0 };
	struct kit_reply r;
	char path[96];
	char from[512];

	(void)snprintf(path, sizeof(path), "%s/m.so", dir);
	if (ofile_read(AT_FDCWD, kit_module("crasher", from, sizeof(from)), 64 << 20, &b) ||
	    ofile_write(AT_FDCWD, path, b.data, b.len, 0755))
		otap_bail_out("cannot copy a module");
	obuf_done(&b);
	cm.module = omem_strdup(path);
	is_int(core_loader_load(c, &cm, kit_loaded, &l, &err), 0, "a file of its own");
	core_config_module_done(&cm);
	ok(kit_until(c->main, l.done) && l.status == 0, "loads %s", l.msg);
	if (l.status)
		return;
	is_int(ofile_write(AT_FDCWD, path, "rubbish", 7, 0755), 0, "the file is overwritten");
	kill(l.inst->iso->pid, SIGKILL);
	ok(kit_until(c->main, !core_isolate_up(l.inst)), "its process dies");
	is_int(kit_ask(c, "test/crasher", 1, "x", &r), 0, "the next runs what the first ran %s", r.text);
	is_int(kit_unload(c, "test/crasher", &l), 0, "it goes");
}

/* Leadership goes with the process. */
static void test_lead(void)
{
	struct kit_load l;
	struct kit_reply first;
	struct kit_reply second;
	unsigned long long a = 0;
	unsigned long long b = 0;

	(void)load("crasher", "one", NULL, NULL, &l);
	(void)load("crasher", "two", NULL, NULL, &l);
	if (l.status)
		return;
	is_int(kit_ask(c, "one", 8, NULL, &first), 0, "one leads");
	ask("two", 8, &second);
	ok(!second.done, "two waits");
	kill(core_instance_find(c, "one")->iso->pid, SIGKILL);
	ok(kit_until(c->main, second.done), "until one is dead");
	(void)sscanf(first.text, "1 %llu", &a);
	(void)sscanf(second.text, "1 %llu", &b);
	ok(a > 0 && b > a, "its token is higher: %llu %llu", a, b);
	ok(kit_until(c->main, core_isolate_up(core_instance_find(c, "one"))), "one is back");
	is_int(kit_unload(c, "one", &l), 0, "one goes");
	is_int(kit_unload(c, "two", &l), 0, "two goes");
}

/* Nothing is left of a parent that is killed. */
static void test_parent_dies(void)
{
	int fds[2];
	int32_t child = 0;
	uint64_t end;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		otap_bail_out("no pipe");
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct kit_load l;

		c = kit_iso_core(dir, exe);
		(void)load("crasher", NULL, NULL, NULL, &l);
		child = l.inst ? l.inst->iso->pid : -1;
		(void)!write(fds[1], &child, sizeof(child));
		pause();
		_exit(0);
	}
	ok(read(fds[0], &child, sizeof(child)) == sizeof(child) && child > 0, "a parent and its child");
	kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	end = core_now_mono() + KIT_WAIT_NS;
	while (child > 0 && kill(child, 0) == 0 && core_now_mono() < end) {
		char path[64];
		char state = ' ';
		FILE *f;

		/* An orphan may stay as a zombie for a while: whoever adopts it decides. */
		(void)snprintf(path, sizeof(path), "/proc/%d/stat", child);
		f = fopen(path, "re");
		if (f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state == 'Z')
			child = 0;
		if (f)
			(void)fclose(f);
		(void)usleep(10000);
	}
	ok(child <= 0 || kill(child, 0) < 0, "the child dies with its parent");
	close(fds[0]);
	close(fds[1]);
}

/* ---- what it reads ------------------------------------------------------------------------------------- */

/* One change in the cache of this process, as if it came from storage. @v < 0: a deletion. */
static void thing(const char *key, int v, uint64_t rev)
{
	struct orlop_bytes k = { key, strlen(key) };
	char buf[256];
	struct orlop_record rec = { .magic = ORLOP_RECORD_MAGIC, .header_len = sizeof(rec), .format = 1, .rv_off = 12 };
	int n = snprintf(buf + sizeof(rec), sizeof(buf) - sizeof(rec), "\"metadata\":{\"name\":\"%s\"},\"v\":%d",
			 strrchr(key, '/') + 1, v);

	rec.json_len = (uint32_t)n;
	memcpy(buf, &rec, sizeof(rec));
	core_cache_begin(c->cache);
	if (v < 0)
		(void)core_cache_del(c->cache, k, rev);
	else
		(void)core_cache_put(c->cache, k, (struct orlop_bytes){ buf, sizeof(rec) + (size_t)n }, rev);
	(void)core_cache_commit(c->cache, rev);
}

/* Until @to says @text: what is read in another process comes a moment later. */
static bool sees(const char *to, const char *text)
{
	struct kit_reply r = { .text = "" };
	uint64_t end = core_now_mono() + KIT_WAIT_NS;

	while (core_now_mono() < end)
		if (kit_ask(c, to, 1, NULL, &r) == 0 && strcmp(r.text, text) == 0)
			return true;
	diag("%s sees \"%s\", not \"%s\"", to, r.text, text);
	return false;
}

static void test_reads(void)
{
	struct orlop_resource_info info = {
		.size = sizeof(info), .name = "things", .plural = "things", .version = "v1", .kind = "Thing",
	};
	struct core_instance *inst;
	struct kit_reply r;
	struct kit_load l;
	uint64_t end;

	is_int(load("reader", "all", NULL, NULL, &l), 0, "one that reads %s", l.msg);
	is_int(load("reader", "one", "ns", "a", &l), 0, "one that reads a namespace %s", l.msg);
	ok(sees("all", "0"), "nothing is fed");
	core_cache_begin(c->cache);
	core_cache_list_begin(c->cache);
	(void)core_cache_list_end(c->cache);
	(void)core_cache_commit(c->cache, 10);
	thing("things/a/x", 1, 11);
	thing("things/b/y", 1, 12);
	(void)core_cache_register(c->cache, &info, NULL);
	ok(sees("all", "12 x y"), "what is in the daemon's cache is read in its process");
	ok(sees("one", "12 x"), "by the other only what it says that it reads");
	thing("things/b/z", 1, 13);
	thing("things/a/x", 2, 14);
	thing("others/a/x", 2, 15);
	ok(sees("all", "15 x y z") && sees("one", "15 x"), "changes, up to the same revision");
	is_int(kit_ask(c, "one", 2, "12", &r), 0, "its journal");
	is_str(r.text, "=x", "has what is about it");
	inst = core_instance_find(c, "all");
	kill(inst->iso->pid, SIGKILL);
	ok(kit_until(c->main, !core_isolate_up(inst)), "its process dies");
	thing("things/b/y", -1, 16);
	ok(sees("all", "16 x z"), "the next one reads all");
	for (end = core_now_mono() + KIT_WAIT_NS; core_now_mono() < end;)
		if (kit_ask(c, "all", 2, "12", &r) != -EAGAIN)
			break;
	is_int(r.status, 0, "and what happened before, which it asks for");
	is_str(r.text, "+z =x -y", "each once");
	is_int(kit_ask(c, "all", 2, "13", &r), 0, "once for all");
	is_str(r.text, "=x -y", "who comes later");
	for (end = core_now_mono() + KIT_WAIT_NS; core_now_mono() < end;)
		if (kit_ask(c, "all", 2, "9", &r) != -EAGAIN)
			break;
	is_int(r.status, -ESTALE, "but not what the daemon does not know any more");
	for (uint64_t rev = 17; rev < 3000; rev++)
		thing(rev % 2 ? "things/a/w" : "things/b/w", (int)rev, rev);
	ok(sees("all", "2999 w x w z") && sees("one", "2999 w x"), "a few thousand changes");
	is_int(kit_unload(c, "all", &l) + kit_unload(c, "one", &l), 0, "they go");
	(void)core_cache_retire(c->cache, "things");
}

/* What it wrote after stop() counts: a successor without that is refused. */
static void test_last_words(void)
{
	struct core_config_module cm = { .isolate = true };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct kit_load l;

	is_int(load("exclusive", NULL, "fail", "after", &l), 0, "one that writes once more after stop() %s", l.msg);
	(void)core_config_param_add(&cm, "fail", "", 0, 0);
	memset(&l, 0, sizeof(l));
	is_int(core_loader_replace(c, "test/exclusive", &cm, kit_loaded, &l, &err), 0, "it is replaced");
	core_config_module_done(&cm);
	ok(kit_until(c->main, l.done), "that ends");
	is_int(l.status, -ESTALE, "by one that does not have it: %s", l.msg);
	is_int(kit_unload(c, "test/exclusive", &l), 0, "the old one serves again, and goes %s", l.msg);
}

int main(void)
{
	int fds;

#ifdef __SANITIZE_THREAD__
	/* It takes the child of clone(CLONE_VM | CLONE_VFORK) for the thread that waits for it. */
	return otap_skip_all("the thread sanitizer does not know of processes that share memory");
#endif
	(void)snprintf(dir, sizeof(dir), "/tmp/orlop-isolate-XXXXXX");
	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	kit_orlopd(exe);
	test_parent_dies();
	kit_settle();
	fds = kit_fds();
	c = kit_iso_core(dir, exe);
	test_good();
	test_crashes();
	test_watches();
	test_refusals();
	test_listen();
	test_lead();
	test_swapped();
	test_last_words();
	test_reads();
	ok(kit_end(c), "the core ends");
	is_int(kit_fds(), fds, "no descriptor is left");
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
