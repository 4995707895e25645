/* test/load.c - loading and unloading modules, good and bad. */
#include <fcntl.h>
#include <sys/stat.h>

#include "kit.h"

static struct core *c;

static void test_good(void)
{
	struct kit_load l;
	struct kit_reply r;

	is_int(kit_load(c, "good", &l), 0, "a good module loads %s", l.msg);
	ok(l.inst && l.inst->state == CORE_READY, "and is ready");
	is_str(l.inst->name, "test/good", "its name is class/name");
	is_str(l.inst->user, "test:good", "its user is from the file");
	is_int(kit_ask(c, "test/good", 1, "ping", &r), 0, "it answers at class/name");
	is_str(r.text, "ping", "what was asked");
	is_int(kit_ask(c, "test", 1, "a", &r), 0, "at its class");
	is_int(kit_ask(c, "echo", 1, "b", &r), 0, "at what it provides");
	is_int(kit_ask(c, "echo", 2, NULL, &r), 0, "later");
	is_int(kit_ask(c, "echo", 3, NULL, &r), 0, "from a worker");
	is_int(kit_ask(c, "echo", 4, NULL, &r), -ENOENT, "with an error");
	is_str(r.text, "thing \"x\" not found", "in words");
	is_int(kit_ask(c, "echo", 99, NULL, &r), -ENOTSUP, "an op it does not have");

	is_int(kit_load(c, "good", &l), -EEXIST, "the same name again is refused");
	is_str(l.msg, "module test/good is loaded already; give this one another name", "with what to do");
	is_int(kit_load_as(c, "good", "second", "number", "7", &l), 0, "under another name it loads");
	is_int(kit_ask(c, "second", 1, "s", &r), 0, "and answers there");
	ok(core_loader_answerer(c, "echo") != l.inst, "the first keeps the shared address");
	is_int(kit_unload(c, "test/good", &l), 0, "the first goes");
	is_int(kit_ask(c, "echo", 1, "t", &r), 0, "the second inherits the address");
	is_int(kit_unload(c, "second", &l), 0, "the second goes");
	ok(core_loader_answerer(c, "echo") == NULL, "nobody answers");
	is_int(kit_unload(c, "second", &l), -ENOENT, "it is not there any more");
}

static void test_params(void)
{
	struct kit_load l;

	is_int(kit_load_as(c, "good", NULL, "number", "x", &l), -EINVAL, "a wrong value");
	ok(strstr(l.msg, "parameter number: \"x\" is not a number"), "says which: %s", l.msg);
	is_int(kit_load_as(c, "good", NULL, "nummer", "1", &l), -EINVAL, "an unknown parameter");
	ok(strstr(l.msg, "unknown parameter nummer"), "says which: %s", l.msg);
	is_int(kit_load(c, "badinit", &l), -EINVAL, "a missing one");
	ok(strstr(l.msg, "parameter at is required (where to fail)"), "says which: %s", l.msg);
}

static void test_needs(void)
{
	struct core_config_module list[2];
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct kit_load l;
	struct kit_load caller = { .done = 0 };
	struct kit_reply r;
	char path[512];
	char path2[512];

	memset(list, 0, sizeof(list));
	list[0].module = kit_module("caller", path, sizeof(path));
	is_int(core_loader_plan(c, list, 1, &err), -ENOENT, "needs what nobody provides");
	ok(strstr(err.msg, "module test/caller needs \"echo\", and no module of the list provides it"),
	   "says so: %s", err.msg);
	list[0].module = kit_module("cycle1", path, sizeof(path));
	list[1].module = kit_module("cycle2", path2, sizeof(path2));
	is_int(core_loader_plan(c, list, 2, &err), -ELOOP, "a cycle");
	ok(strstr(err.msg, "test/cycle1") && strstr(err.msg, "test/cycle2"), "names its members: %s", err.msg);
	list[1].module = list[0].module;
	is_int(core_loader_plan(c, list, 2, &err), -EEXIST, "the same twice");

	/* The one that needs comes first, and waits. */
	list[0].module = kit_module("caller", path, sizeof(path));
	is_int(core_loader_load(c, &list[0], kit_loaded, &caller, &err), 0, "caller before what it needs");
	is_int(kit_load(c, "good", &l), 0, "what it needs");
	ok(kit_until(c->main, caller.done), "caller follows");
	is_int(caller.status, 0, "and is ready %s", caller.msg);
	is_int(caller.inst->n_shards, 2, "with as many shards as there are loops");
	is_int(kit_ask(c, "test/caller", 1, "through", &r), 0, "a module asks a module");
	is_str(r.text, "through", "and hands the answer on");
	is_int(kit_unload(c, "test/good", &l), -EBUSY, "what is needed stays");
	is_str(l.msg, "module test/good is needed by test/caller; unload that first", "and says by whom");
	is_int(kit_unload(c, "test/caller", &l), 0, "caller goes");
	is_int(kit_unload(c, "test/good", &l), 0, "then the other");
}

static void test_files(void)
{
	struct kit_load l;
	char want[160];
	char dir[] = "/tmp/orlop-load-XXXXXX";
	char path[64];
	int fd;

	is_int(kit_load(c, "abinew", &l), -ENOEXEC, "a newer ABI is refused before it runs");
	(void)snprintf(want, sizeof(want), "abinew.so: built for ABI %d.999, this core provides %d.%d; upgrade orlop or use a "
		       "abinew older than 0.4", ORLOP_ABI_MAJOR, ORLOP_ABI_MAJOR, ORLOP_ABI_MINOR);
	is_str(l.msg, want, "with the numbers");
	is_int(kit_load(c, "magic", &l), -ENOEXEC, "a wrong magic");
	is_str(l.msg, "magic.so: descriptor begins with 0x0000000000001234, want 0x31706f6c726f2e1a",
	       "with the numbers");
	is_int(kit_load(c, "liar", &l), -ENOEXEC, "a descriptor that lies about its size");
	ok(strstr(l.msg, "1000000 bytes"), "with the numbers: %s", l.msg);
	is_int(kit_load(c, "nothing", &l), -ENOENT, "no file");
	is_int(kit_load(c, "/bin/true", &l), -ENOEXEC, "a program: %s", l.msg);
	is_int(kit_load(c, "/etc/passwd", &l), -ENOEXEC, "a text: %s", l.msg);
	is_int(kit_load(c, "/dev/zero", &l), -ENOEXEC, "a device: %s", l.msg);
	is_int(kit_load(c, "/tmp", &l), -ENOEXEC, "a directory: %s", l.msg);
	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	(void)snprintf(path, sizeof(path), "%s/huge.so", dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd >= 0 && ftruncate(fd, (off_t)1 << 40) == 0)
		is_int(kit_load(c, path, &l), -E2BIG, "a terabyte: %s", l.msg);
	else
		otap_skip("no sparse file", 1);
	if (fd >= 0)
		close(fd);
	(void)ofile_remove_tree(AT_FDCWD, dir);
}

static void copy_file(const char *from, const char *to)
{
	struct obuf b = OBUF_INIT;
	char tmp[512];

	(void)snprintf(tmp, sizeof(tmp), "%s.new", to);
	if (ofile_read(AT_FDCWD, from, 64 << 20, &b) ||
	    ofile_write(AT_FDCWD, tmp, b.data, b.len, 0755) || rename(tmp, to))
		otap_bail_out("cannot copy a module");
	obuf_done(&b);
}

/* A file replaced under its name is not taken for the old one. */
static void test_replaced(void)
{
	char dir[] = "/tmp/orlop-load-XXXXXX";
	char path[64];
	char from[512];
	struct kit_load l;
	struct kit_reply r;

	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	(void)snprintf(path, sizeof(path), "%s/m.so", dir);
	copy_file(kit_module("good", from, sizeof(from)), path);
	is_int(kit_load_as(c, path, "one", NULL, NULL, &l), 0, "the first file");
	copy_file(kit_module("caller", from, sizeof(from)), path);
	is_int(kit_load_as(c, path, "two", NULL, NULL, &l), 0, "another file of the same name %s", l.msg);
	is_str(l.inst->mod.name, "caller", "is the new one");
	is_int(kit_ask(c, "two", 1, "x", &r), 0, "it works");
	copy_file(kit_module("good", from, sizeof(from)), path);
	is_int(kit_load_as(c, path, "three", NULL, NULL, &l), 0, "and a third");
	is_str(l.inst->mod.name, "good", "is the third");
	is_int(kit_unload(c, "two", &l), 0, "unload");
	is_int(kit_unload(c, "one", &l), 0, "unload");
	is_int(kit_ask(c, "three", 1, "x", &r), 0, "the third works on");
	is_int(kit_unload(c, "three", &l), 0, "unload");
	(void)ofile_remove_tree(AT_FDCWD, dir);
}

/* Not under sanitizers, see below. */
__attribute__((unused))
static void overwrite(const char *path, const char *data, size_t len, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0755);

	if (fd < 0 || ofile_write_all(fd, data, len))
		otap_bail_out("cannot overwrite a module");
	close(fd);
}

/* A file that is written to, cut or deleted under a running module never harms it. */
static void test_swapped(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	char dir[] = "/tmp/orlop-load-XXXXXX";
	char garbage[65536];
	char path[64];
	char from[512];
	char line[512];
	struct obuf b = OBUF_INIT;
	struct kit_load l;
	struct kit_reply r;
	bool named = false;
	FILE *f;

	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	(void)snprintf(path, sizeof(path), "%s/m.so", dir);
	memset(garbage, 0xcc, sizeof(garbage));
	copy_file(kit_module("good", from, sizeof(from)), path);
	if (ofile_read(AT_FDCWD, from, 64 << 20, &b))
		otap_bail_out("cannot read a module");
	is_int(kit_load_as(c, path, "one", NULL, NULL, &l), 0, "a file %s", l.msg);
	f = fopen("/proc/self/maps", "re");
	while (f && fgets(line, sizeof(line), f))
		named = named || (strstr(line, path) && strstr(line, "/memfd:"));
	if (f)
		fclose(f);
	ok(named, "the map says which file it was");
	overwrite(path, garbage, sizeof(garbage) < b.len ? sizeof(garbage) : b.len, 0);
	for (int i = 1; i <= 3; i++)
		is_int(kit_ask(c, "one", (uint32_t)i, "x", &r), 0, "overwritten with garbage: op %d still works", i);
	is_int(kit_load_as(c, path, "two", NULL, NULL, &l), -ENOEXEC, "the file is no module now");
	is_str(l.msg, "m.so: not a module: no ELF file; name the .so that was built", "says so");
	overwrite(path, "", 0, O_TRUNC);
	is_int(kit_ask(c, "one", 3, "x", &r), 0, "cut to nothing: it works");
	is_int(kit_load_as(c, path, "two", NULL, NULL, &l), -ENOEXEC, "the file is empty now");
	is_str(l.msg, "m.so: not a module: 0 bytes are no ELF file; name the .so that was built", "says so");
	overwrite(path, b.data, b.len / 2, O_TRUNC);
	is_int(kit_load_as(c, path, "two", NULL, NULL, &l), -ENOEXEC, "half a file");
	ok(strstr(l.msg, "m.so: truncated: needs "), "says so: %s", l.msg);
	(void)unlink(path);
	is_int(kit_ask(c, "one", 1, "x", &r), 0, "deleted: it works");
	is_int(kit_load_as(c, path, "two", NULL, NULL, &l), -ENOENT, "the file is gone: %s", l.msg);
	overwrite(path, b.data, b.len, O_CREAT | O_TRUNC);
	(void)chmod(path, 0755);
	is_int(kit_load_as(c, path, "two", NULL, NULL, &l), 0, "written in place anew, it loads %s", l.msg);
	is_int(kit_ask(c, "two", 1, "x", &r), 0, "and works beside the first");
	is_int(kit_ask(c, "one", 2, "x", &r), 0, "which works on");
	(void)kit_unload(c, "one", &l);
	(void)kit_unload(c, "two", &l);
	obuf_done(&b);
	(void)ofile_remove_tree(AT_FDCWD, dir);
#endif
}

static void test_bad(void)
{
	static const char *const where[] = { "init", "shard", "start", "fail" };
	static const char *const says[] = { "module test/badinit: cannot open the thing",
					    "module test/badinit: shard 1 fails on purpose",
					    "module test/badinit: start fails on purpose",
					    "module test/badinit: the disk is gone" };
	struct kit_load l;

	for (int i = 0; i < 4; i++) {
		ok(kit_load_as(c, "badinit", NULL, "at", where[i], &l) < 0, "fails in %s", where[i]);
		is_str(l.msg, says[i], "with its words");
		ok(core_instance_find(c, "test/badinit") == NULL, "nothing is left of it");
	}
	c->config->start_timeout_ns = KIT_SECOND / 10;
	is_int(kit_load_as(c, "badinit", NULL, "at", "ready", &l), -ETIMEDOUT, "is never ready");
	ok(strstr(l.msg, "is not ready after"), "says so: %s", l.msg);
	c->config->start_timeout_ns = KIT_START_NS;
	is_int(kit_load_as(c, "badinit", NULL, "at", "stop", &l), 0, "loads");
	is_int(kit_unload(c, "test/badinit", &l), -EBUSY, "refuses to stop");
	is_str(l.msg, "module test/badinit refuses to stop: three pods are running", "with a reason");
	ok(core_instance_find(c, "test/badinit")->state == CORE_READY, "and goes on");
	is_int(kit_unload(c, "test/badinit", &l), 0, "the second time it stops");
	is_int(kit_load_as(c, "badinit", NULL, "at", "leak", &l), 0, "one that leaks loads");
	is_int(core_owner_count(&l.inst->shards[0].held, CORE_HELD_TIMER), 1, "its timer is counted");
	is_int(kit_unload(c, "test/badinit", &l), 0, "and unloads: what it left is freed");
}

/* Requests under way while the module goes: each gets an answer or waits for the next. */
static void test_busy(void)
{
	struct kit_load l;
	struct kit_reply r[50];
	struct orlop_send send = { .size = sizeof(send), .op = 2, .to = "echo",
				   .timeout_ns = KIT_ASK_NS };
	int done = 0;
	int good = 0;

	(void)kit_load(c, "good", &l);
	memset(r, 0, sizeof(r));
	for (int i = 0; i < 50; i++) {
		if (i == 25) {
			memset(&l, 0, sizeof(l));
			/* Those before have reached the module. */
			core_loop_turn(c->main, true);
			(void)core_loader_unload(c, "test/good", kit_loaded, &l, NULL);
		}
		(void)core_link_request(c->self->shards[0].link, &send, kit_replied, &r[i], NULL);
	}
	ok(kit_until(c->main, l.done), "unloads while it is asked");
	is_int(l.status, 0, "in order %s", l.msg);
	is_int(kit_load(c, "good", &l), 0, "its successor comes %s", l.msg);
	ok(kit_until(c->main, (done = 0, ({ for (int i = 0; i < 50; i++) done += r[i].done; }), done == 50)),
	   "all are answered, late ones by the successor");
	for (int i = 0; i < 50; i++)
		if (r[i].status)
			printf("# request %d: %d\n", i, r[i].status);
		else
			good++;
	is_int(good, 50, "and well");
	(void)kit_unload(c, "test/good", &l);
}

static void test_many(void)
{
	struct kit_load l;
	struct kit_reply r;
	int fds = 0;
	int threads = 0;
	int bad = 0;

	for (int i = 0; i < 200; i++) {
		bad += kit_load(c, "good", &l) != 0;
		bad += kit_ask(c, "echo", 1, "x", &r) != 0;
		bad += kit_unload(c, "test/good", &l) != 0;
		if (i == 5) {
			fds = kit_fds();
			threads = kit_threads();
		}
	}
	is_int(bad, 0, "200 times loaded, used, unloaded");
	ok(kit_until(c->main, kit_fds() <= fds), "no descriptor is left (%d, %d)", kit_fds(), fds);
	ok(kit_threads_end(threads), "no thread is left");
}

int main(void)
{
	int fds;
	int threads;

	kit_settle();
	fds = kit_fds();
	threads = kit_threads();
	c = kit_core();
	test_good();
	test_params();
	test_needs();
	test_files();
	test_replaced();
	test_swapped();
	test_bad();
	test_busy();
	test_many();
	ok(kit_end(c), "the core ends");
	ok(kit_fds() <= fds + 2, "and leaves no descriptor (%d, %d)", kit_fds(), fds);
	ok(kit_threads_end(threads), "and no thread");
	return done_testing();
}
