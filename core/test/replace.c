/* test/replace.c - replacing modules that run, while they are asked; live parameters. */
#include <fcntl.h>
#include <sys/socket.h>

#include "kit.h"
#include "admin.h"
#include "net.h"
#include "replace.h"

static struct core *c;
static char dir[64];

/* Begins; the end is told to @l. */
static int replace_begin(const char *name, const char *file, const char *const *kv, struct kit_load *l)
{
	struct core_config_module cm = { .line = 0 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	char path[512];
	int r;

	memset(l, 0, sizeof(*l));
	if (file)
		cm.module = omem_strdup(strchr(file, '/') ? file : kit_module(file, path, sizeof(path)));
	for (; kv && kv[0]; kv += 2)
		(void)core_config_param_add(&cm, kv[0], kv[1], 0, 0);
	r = core_loader_replace(c, name, &cm, kit_loaded, l, &err);
	core_config_module_done(&cm);
	if (r)
		kit_loaded(l, r, NULL, &err);
	return r;
}

static int replace_as(const char *name, const char *file, const char *const *kv, struct kit_load *l)
{
	int r = replace_begin(name, file, kv, l);

	if (r)
		return r;
	if (!kit_until(c->main, l->done))
		return -ETIMEDOUT;
	return l->status;
}

static int load_with(const char *name, const char *const *kv, struct kit_load *l)
{
	struct core_config_module cm = { .line = 0 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	char path[512];
	int r;

	memset(l, 0, sizeof(*l));
	cm.module = omem_strdup(strchr(name, '/') ? name : kit_module(name, path, sizeof(path)));
	for (; kv && kv[0]; kv += 2)
		(void)core_config_param_add(&cm, kv[0], kv[1], 0, 0);
	r = core_loader_load(c, &cm, kit_loaded, l, &err);
	core_config_module_done(&cm);
	if (r)
		kit_loaded(l, r, NULL, &err);
	else
		(void)kit_until(c->main, l->done);
	return l->status;
}

static int set(const char *name, const char *const *kv, char msg[512])
{
	struct core_config_module cm = { .line = 0 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	uint32_t changed = 0;
	int r;

	for (; kv && kv[0]; kv += 2)
		(void)core_config_param_add(&cm, kv[0], kv[1], 0, 0);
	r = core_loader_set(c, name, &cm, &changed, &err);
	core_config_module_done(&cm);
	(void)snprintf(msg, 512, "%s", err.msg);
	return r ? r : (int)changed;
}

static const char *who(const char *to)
{
	static __thread char text[512];
	struct kit_reply r;

	if (kit_ask(c, to, 1, NULL, &r))
		return "(no answer)";
	(void)snprintf(text, sizeof(text), "%s", r.text);
	return text;
}

/* How many of that name there are. */
static int count(const char *name)
{
	int n = 0;

	OLIST_FOREACH(k, &c->instances)
		n += strcmp(OLIST_ENTRY(k, struct core_instance, node)->name, name) == 0;
	return n;
}

#define KV(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- plain ------------------------------------------------------------------------------------------- */

static void test_plain(void)
{
	struct core_instance *first;
	struct kit_load l;
	struct kit_reply r;

	is_int(load_with("swap", KV("delay_ms", "7"), &l), 0, "a module %s", l.msg);
	first = l.inst;
	is_str(who("echo"), "first", "serves");
	is_int(replace_as("test/swap", NULL, KV("tag", "second"), &l), 0, "is replaced by itself %s", l.msg);
	ok(l.inst && l.inst != first && l.inst->state == CORE_READY, "by another instance");
	is_str(who("echo"), "second", "which serves at what it provides");
	is_str(who("test/swap"), "second", "at its name");
	is_str(who("test"), "second", "at its class");
	is_int(l.inst->params[1].num, 7, "a parameter carries over");
	is_int(kit_ask(c, "echo", 6, NULL, &r), 0, "asked");
	is_str(r.text, "leads", "it leads, as the old one has dropped it");
	ok(kit_until(c->main, count("test/swap") == 1), "the old one goes");
	ok(core_instance_find(c, "test/swap") == l.inst, "the name means the new one");
	is_int(replace_as("test/swap", NULL, NULL, &l), 0, "once more");
	is_str(who("echo"), "second", "with all parameters");
	is_int(kit_load(c, "swap", &l), -EEXIST, "a second of the name is refused as ever");
	is_int(kit_ask(c, "echo", 99, NULL, &r), -ENOTSUP, "an op it does not have");
	(void)kit_until(c->main, count("test/swap") == 1);
	is_int(kit_unload(c, "test/swap", &l), 0, "unloads %s", l.msg);
	ok(core_loader_answerer(c, "echo") == NULL, "and leaves no address");
}

/* ---- what can be wrong -------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *data, size_t len)
{
	if (ofile_write(AT_FDCWD, path, data, len, 0755))
		otap_bail_out("cannot write");
}

static void test_wrong(void)
{
	static const char *const where[] = { "init", "start" };
	static const char *const says[] = { "module test/swap: init fails on purpose",
					    "module test/swap: start fails on purpose" };
	struct core_instance *inst;
	struct kit_load l;
	char path[512];
	char want[100];

	(void)load_with("swap", NULL, &l);
	inst = l.inst;
	is_int(replace_as("nobody", NULL, NULL, &l), -ENOENT, "a name that is not loaded");
	is_str(l.msg, "no module nobody is loaded; `orlop module list` shows those that are", "says what to do");
	is_int(replace_as("core", NULL, NULL, &l), -EINVAL, "the core");
	is_int(replace_as("test/swap", "/nowhere/x.so", NULL, &l), -ENOENT, "a file that is not there: %s", l.msg);
	(void)snprintf(path, sizeof(path), "%s/garbage.so", dir);
	write_file(path, "nothing good\n", 13);
	is_int(replace_as("test/swap", path, NULL, &l), -ENOEXEC, "garbage: %s", l.msg);
	(void)snprintf(path, sizeof(path), "%s/modules/cni/bridge.so", getenv("builddir") ? getenv("builddir") : ".");
	if (access(path, R_OK) == 0) {
		is_int(replace_as("test/swap", path, NULL, &l), -EINVAL, "one of another class");
		ok(strstr(l.msg, "module test/swap is of class test, ") && strstr(l.msg, "of class cni: only one of the same class"),
		   "says so before all else: %s", l.msg);
	}
	is_int(replace_as("test/swap", "abinew", NULL, &l), -ENOEXEC, "a newer ABI: %s", l.msg);
	is_int(replace_as("test/swap", "magic", NULL, &l), -ENOEXEC, "a wrong magic: %s", l.msg);
	is_int(replace_as("test/swap", NULL, KV("nonsense", "1"), &l), -EINVAL, "an unknown parameter");
	ok(strstr(l.msg, "unknown parameter nonsense"), "is named: %s", l.msg);
	is_int(replace_as("test/swap", NULL, KV("delay_ms", "soon"), &l), -EINVAL, "a wrong value");
	ok(strstr(l.msg, "parameter delay_ms: \"soon\" is not a number"), "is named: %s", l.msg);
	for (int i = 0; i < 2; i++) {
		ok(replace_as("test/swap", NULL, KV("fail", where[i], "tag", "bad"), &l) < 0, "the new one fails in %s", where[i]);
		is_str(l.msg, says[i], "with its words");
	}
	c->config->start_timeout_ns = KIT_SECOND / 10;
	is_int(replace_as("test/swap", NULL, KV("fail", "never"), &l), -ETIMEDOUT, "the new one is never ready");
	ok(strstr(l.msg, "is not ready after"), "says so: %s", l.msg);
	c->config->start_timeout_ns = KIT_START_NS;
	ok(core_instance_find(c, "test/swap") == inst && inst->state == CORE_READY, "after all that the old one is there");
	is_str(who("echo"), "first", "and serves");
	is_int(count("test/swap"), 1, "alone");
	/* By then the old one has been stopped. */
	is_int(replace_as("test/swap", NULL, KV("fail", "late", "tag", "bad"), &l), -EIO, "the new one fails when it was ready");
	is_str(l.msg, "module test/swap: fails when it was ready", "with its words");
	is_str(who("echo"), "first", "the old one serves again");
	is_int(count("test/swap"), 1, "alone");

	(void)kit_load(c, "caller", &l);
	is_int(replace_as("test/swap", "poorer", NULL, &l), -EINVAL, "one that does not provide what others need");
	(void)snprintf(want, sizeof(want), "module test/caller needs \"echo\", which test/swap provides and ");
	is_int(strncmp(l.msg, want, strlen(want)), 0, "says who needs what: %s", l.msg);
	is_int(replace_as("test/swap", NULL, KV("tag", "other"), &l), 0, "what is needed can be replaced %s", l.msg);
	ok(core_instance_find(c, "test/caller")->state == CORE_READY, "and who needs it does not notice");
	is_int(replace_as("test/caller", NULL, NULL, &l), 0, "who needs can be replaced, too %s", l.msg);
	(void)kit_until(c->main, count("test/caller") == 1);
	(void)kit_unload(c, "test/caller", &l);
	is_int(replace_as("test/swap", "poorer", NULL, &l), 0, "nobody needs it: then it may be poorer %s", l.msg);
	ok(core_loader_answerer(c, "echo") == NULL, "and the address is nobody's");
	is_int(replace_as("test/swap", "cycle1", NULL, &l), -ENOENT, "one whose needs are not there: %s", l.msg);
	(void)kit_until(c->main, count("test/swap") == 1);
	(void)kit_unload(c, "test/swap", &l);
}

static void test_refused(void)
{
	struct kit_load l;

	(void)load_with("swap", KV("fail", "stop"), &l);
	is_int(replace_as("test/swap", NULL, KV("fail", "", "tag", "new"), &l), -EBUSY, "the old one refuses");
	is_str(l.msg, "module test/swap refuses to stop: three pods are running", "with its reason");
	is_str(who("echo"), "first", "and serves on");
	is_int(count("test/swap"), 1, "the new one is gone");
	is_int(kit_unload(c, "test/swap", &l), -EBUSY, "it refuses to be unloaded");
	is_str(who("echo"), "first", "and serves on");
	(void)kit_until(c->main, true);
}

static void test_revision(void)
{
	struct kit_load l;
	struct kit_reply r;

	(void)load_with("swap", KV("revision", "10"), &l);
	(void)kit_ask(c, "echo", 4, NULL, &r);
	is_int(replace_as("test/swap", NULL, NULL, &l), -ESTALE, "one that is behind does not take over");
	ok(strstr(l.msg, "the data of the new one is at revision 10, that of the running one at 11"), "says by how much: "
	   "%s", l.msg);
	is_str(who("echo"), "first", "the old one serves");
	is_int(replace_as("test/swap", NULL, KV("revision", "11"), &l), 0, "one that is not, does %s", l.msg);
	(void)kit_until(c->main, count("test/swap") == 1);
	(void)kit_unload(c, "test/swap", &l);
}

/* ---- exclusive ------------------------------------------------------------------------------------------ */

static void test_exclusive(void)
{
	struct kit_load l;
	struct kit_reply r;
	char lock[100];

	(void)snprintf(lock, sizeof(lock), "%s/lock", dir);
	is_int(load_with("exclusive", KV("lock", lock), &l), 0, "one that may be there only once %s", l.msg);
	for (int i = 0; i < 5; i++)
		(void)kit_ask(c, "vault", 4, NULL, &r);
	is_int(replace_as("test/exclusive", NULL, KV("tag", "second"), &l), 0, "is replaced %s", l.msg);
	is_str(who("vault"), "second", "the new one serves");
	is_int(l.inst->mod.revision(l.inst->ctx), 5, "and has the data of the old one");
	is_int(count("test/exclusive"), 1, "which was gone before");
	is_int(replace_as("test/exclusive", NULL, KV("fail", "init", "tag", "third"), &l), -EIO, "a new one that fails");
	is_str(l.msg, "module test/exclusive: init fails on purpose", "says why");
	is_str(who("vault"), "second", "the old one serves again");
	ok(core_loader_answerer(c, "vault") == core_instance_find(c, "test/exclusive"), "at its address");
	is_int(core_instance_find(c, "test/exclusive")->mod.revision(core_instance_find(c, "test/exclusive")->ctx), 5,
	       "with its data");
	is_int(replace_as("test/exclusive", NULL, KV("lock", "", "revision", "1"), &l), -ESTALE, "other data: %s", l.msg);
	is_str(who("vault"), "second", "the old one serves again");
	is_int(replace_begin("test/exclusive", NULL, KV("fail", "never"), &l), 0, "one that is never ready %s", l.msg);
	ok(kit_until(c->main, kit_starting(c)), "begins");
	kit_starting_left(c, 1);	/* not the old one's, when it is opened again */
	ok(kit_until(c->main, l.done), "and its time is over");
	is_int(l.status, -ETIMEDOUT, "which is told: %s", l.msg);
	is_str(who("vault"), "second", "the old one serves again");
	is_int(replace_as("test/exclusive", NULL, KV("fail", "stop"), &l), 0, "one that refuses to stop %s", l.msg);
	is_int(replace_as("test/exclusive", NULL, KV("fail", ""), &l), -EBUSY, "is not replaced: %s", l.msg);
	is_str(who("vault"), "second", "and serves on");
}

/* ---- handing over --------------------------------------------------------------------------------------- */

static void test_handover(void)
{
	struct core_instance *old;
	struct kit_load l;

	is_int(load_with("handover", KV("streams", "1"), &l), 0, "one that hands over %s", l.msg);
	old = l.inst;
	is_int(replace_as("test/handover", NULL, KV("streams", "0", "tag", "second"), &l), 0, "is replaced %s", l.msg);
	is_str(who("baton"), "second", "the new one serves");
	ok(old->retired, "the old one goes on with its stream");
	old->job->drain_until = 0;
	ok(kit_until(c->main, count("test/handover") == 1), "until its time is over");
	is_int(replace_as("test/handover", NULL, KV("fail", "init", "tag", "third"), &l), -EIO, "a new one that fails: %s",
	       l.msg);
	is_str(who("baton"), "second", "the old one serves, anew");
	is_int(count("test/handover"), 1, "alone");
	is_int(replace_as("test/handover", NULL, KV("fail", "stop"), &l), 0, "one that will refuse %s", l.msg);
	is_int(replace_as("test/handover", NULL, KV("fail", ""), &l), -EBUSY, "refuses: %s", l.msg);
	is_str(who("baton"), "second", "and serves on");
	core_instance_find(c, "test/handover")->mod.stop = NULL;
	(void)kit_until(c->main, count("test/handover") == 1);
	(void)kit_unload(c, "test/handover", &l);
}

/* ---- under load ------------------------------------------------------------------------------------------ */

struct asker {
	struct kit_reply r;
	uint64_t	sent;
	uint64_t	longest;
	uint32_t	answered;
	uint32_t	failed;
	const char	*to;
	uint32_t	op;
	bool		stop;
	bool		out;
};

static void asker_send(struct asker *a);

static void asker_replied(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
			  uint32_t flags)
{
	struct asker *a = arg;
	uint64_t took = core_now_mono() - a->sent;

	(void)msg;
	(void)err;
	(void)flags;
	a->out = false;
	a->answered++;
	a->failed += status != 0;
	if (status)
		printf("# %s op %u: %d\n", a->to, a->op, status);
	if (took > a->longest)
		a->longest = took;
	asker_send(a);
}

static void asker_send(struct asker *a)
{
	struct orlop_send send = { .size = sizeof(send), .op = a->op, .to = a->to, .timeout_ns = KIT_ASK_NS };

	if (a->stop)
		return;
	a->sent = core_now_mono();
	a->out = core_link_request(c->self->shards[0].link, &send, asker_replied, a, NULL) == 0;
}

static bool askers_out(const struct asker *v, int n)
{
	for (int i = 0; i < n; i++)
		if (v[i].out)
			return true;
	return false;
}

/* @times replacements of @name, while 20 ask it. */
static void under_load(const char *name, const char *address, uint32_t op, int times)
{
	struct asker v[20];
	struct kit_load l;
	uint32_t answered = 0;
	uint32_t failed = 0;
	uint64_t longest = 0;
	int bad = 0;

	memset(v, 0, sizeof(v));
	for (int i = 0; i < 20; i++) {
		v[i].to = address;
		v[i].op = op;
		asker_send(&v[i]);
	}
	for (int i = 0; i < times; i++) {
		bad += replace_as(name, NULL, NULL, &l) != 0;
		if (l.status)
			printf("# %s\n", l.msg);
	}
	for (int i = 0; i < 20; i++)
		v[i].stop = true;
	ok(kit_until(c->main, !askers_out(v, 20)), "%s: every request is answered", name);
	for (int i = 0; i < 20; i++) {
		answered += v[i].answered;
		failed += v[i].failed;
		if (v[i].longest > longest)
			longest = v[i].longest;
	}
	is_int(bad, 0, "%d times replaced", times);
	is_int(failed, 0, "no request of %u fails", answered);
	printf("# %s: longest wait %llu us\n", name, (unsigned long long)(longest / 1000));
	ok(kit_until(c->main, count(name) == 1), "one is left");
}

static void test_load(void)
{
	struct kit_load l;
	char lock[100];

	(void)load_with("swap", KV("delay_ms", "1"), &l);
	under_load("test/swap", "echo", 1, 50);
	under_load("test/swap", "echo", 2, 50);
	(void)kit_unload(c, "test/swap", &l);
	(void)snprintf(lock, sizeof(lock), "%s/lock2", dir);
	(void)load_with("exclusive", KV("lock", lock, "delay_ms", "1"), &l);
	under_load("test/exclusive", "vault", 4, 50);
	under_load("test/exclusive", "vault", 2, 20);
	(void)kit_unload(c, "test/exclusive", &l);
	(void)load_with("handover", KV("delay_ms", "1"), &l);
	under_load("test/handover", "baton", 2, 4);
	(void)kit_unload(c, "test/handover", &l);
}

/* ---- connections ------------------------------------------------------------------------------------------ */

struct conn {
	int		done;
	char		text[16];
	struct orlop_fdwatch *w;
	int		fd;
};

static void conn_read(void *arg, int32_t fd, uint32_t events)
{
	struct conn *k = arg;
	ssize_t n = read(fd, k->text, sizeof(k->text) - 1);

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	k->done = n > 0 ? 1 : -1;
	core_fd_unwatch(k->w);
	k->w = NULL;
	close(fd);
}

static void conn_open(void *arg, int32_t fd)
{
	struct conn *k = arg;

	k->fd = fd;
	if (fd < 0 || core_fd_watch(c->main, NULL, fd, ORLOP_FD_READ, conn_read, k, &k->w))
		k->done = -1;
}

static void test_sockets(void)
{
	enum { N = 200 };
	struct conn *v = omem_zalloc_array(N, sizeof(*v));
	struct kit_load l;
	char addr[100];
	int done = 0;
	int good = 0;
	int next = 0;

	(void)snprintf(addr, sizeof(addr), "unix:%s/s", dir);
	is_int(load_with("swap", KV("listen", addr), &l), 0, "one that listens %s", l.msg);
	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < N / 10; k++, next++)
			if (core_net_connect(c->net, c->main, NULL, addr, KIT_ASK_NS, conn_open, &v[next]))
				v[next].done = -1;
		is_int(replace_as("test/swap", NULL, NULL, &l), 0, "replaced while connections come %s", l.msg);
	}
	ok(kit_until(c->main, (done = 0, ({ for (int i = 0; i < N; i++) done += v[i].done != 0; }), done == N)),
	   "all connections end");
	for (int i = 0; i < N; i++)
		good += v[i].done == 1;
	is_int(good, N, "each was served by one or the other");
	(void)kit_until(c->main, count("test/swap") == 1);
	(void)kit_unload(c, "test/swap", &l);
	omem_free(v);
}

/* ---- streams ---------------------------------------------------------------------------------------------- */

static void test_streams(void)
{
	struct core_instance *old;
	struct kit_load l;

	(void)load_with("swap", KV("streams", "2"), &l);
	old = l.inst;
	is_int(replace_as("test/swap", NULL, KV("streams", "0", "tag", "second"), &l), 0, "one with streams is replaced");
	is_str(who("echo"), "second", "the new one serves");
	ok(old->retired && old->state == CORE_STOPPING, "the old one is still there");
	is_str(old->why, "2 streams are still served", "and says why");
	is_int(count("test/swap"), 2, "side by side");
	is_int(kit_unload(c, "test/swap", &l), 0, "the new one can be unloaded");
	is_int(count("test/swap"), 1, "the old one still serves its streams");
	is_int(load_with("swap", NULL, &l), 0, "and another be loaded %s", l.msg);
	c->config->drain_timeout_ns = 0;
	old->job->drain_until = 0;
	ok(kit_until(c->main, count("test/swap") == 1), "when their time is over it goes");
	(void)kit_unload(c, "test/swap", &l);
	c->config->drain_timeout_ns = KIT_START_NS;
}

/* ---- one that does not end ---------------------------------------------------------------------------------- */

static void test_stuck(void)
{
	struct core_instance *inst;
	struct kit_load l;
	struct kit_reply r;
	struct flock fl = { .l_type = F_WRLCK };
	char lock[100];
	int fd;

	(void)snprintf(lock, sizeof(lock), "%s/stuck", dir);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	is_int(fcntl(fd, F_OFD_SETLK, &fl), 0, "what a job will wait for");
	(void)load_with("swap", KV("lock", lock), &l);
	is_int(kit_ask(c, "echo", 5, NULL, &r), 0, "a job hangs");
	c->config->stop_timeout_ns = KIT_SECOND / 5;
	is_int(kit_unload(c, "test/swap", &l), -ETIMEDOUT, "one whose job hangs does not unload");
	is_str(l.msg, "module test/swap does not finish: 1 job and 0 posts still run after 0 s; it stays until it has: "
	       "then unload it once more", "says what is left");
	inst = core_instance_find(c, "test/swap");
	ok(inst && inst->state == CORE_FAILED, "it is there, as failed");
	is_int(replace_as("test/swap", NULL, NULL, &l), -EBUSY, "it cannot be replaced: %s", l.msg);
	c->config->stop_timeout_ns = KIT_START_NS;
	(void)close(fd);
	ok(kit_until(c->main, core_owner_count(&inst->shards[0].held, CORE_HELD_WORK) == 0), "its job ends after all");
	is_int(kit_unload(c, "test/swap", &l), 0, "then it unloads %s", l.msg);
}

/* ---- parameters -------------------------------------------------------------------------------------------- */

static void test_set(void)
{
	struct kit_load l;
	char msg[512];
	char own[64];

	(void)load_with("swap", NULL, &l);
	is_int(set("test/swap", KV("tag", "changed", "delay_ms", "5"), msg), 2, "two parameters at once %s", msg);
	is_str(who("echo"), "changed", "param() says the new value");
	is_int(l.inst->params[1].num, 5, "and its number");
	is_int(set("test/swap", KV("tag", "changed"), msg), 0, "the same value again changes nothing %s", msg);
	(void)l.inst->mod.stats(l.inst->ctx, own, sizeof(own));
	is_str(own, "{\"applied\":2}", "the module was told of each change");
	is_int(set("nobody", KV("tag", "x"), msg), -ENOENT, "a module that is not there: %s", msg);
	is_int(set("test/swap", KV("colour", "x"), msg), -ENOENT, "a parameter that is not there");
	is_str(msg, "module test/swap has no parameter colour; `orlop module info test/swap` shows those it has",
	       "says what to do");
	is_int(set("test/swap", KV("tag", "x", "fail", "stop"), msg), -EPERM, "one that is not live");
	is_str(msg, "module test/swap: parameter fail does not change while it runs; use `orlop module replace test/swap "
	       "fail=stop`", "says what to do");
	is_int(set("test/swap", KV("tag", "x", "delay_ms", "much"), msg), -EINVAL, "a wrong type");
	is_str(msg, "module test/swap: parameter delay_ms: \"much\" is not a number", "in one line");
	is_int(set("test/swap", KV("calm", "perhaps"), msg), -EINVAL, "a wrong bool");
	is_str(msg, "module test/swap: parameter calm: \"perhaps\" is not true or false", "in one line");
	is_int(set("test/swap", KV("tag", "x", "delay_ms", "10001"), msg), -ERANGE, "one that the module refuses");
	is_str(msg, "module test/swap: parameter delay_ms: 10001 is more than ten seconds", "with its reason");
	is_int(set("test/swap", KV("tag", ""), msg), -EINVAL, "one that it refuses without a reason");
	is_str(msg, "module test/swap: parameter tag: the module refuses it without a reason", "is refused in words");
	is_int(set("test/swap", NULL, msg), -EINVAL, "nothing to set: %s", msg);
	is_str(who("echo"), "changed", "none of these has changed anything");
	is_int(replace_as("test/swap", NULL, NULL, &l), 0, "replaced %s", l.msg);
	is_str(who("echo"), "changed", "a changed value carries over");
	(void)kit_until(c->main, count("test/swap") == 1);
	(void)kit_unload(c, "test/swap", &l);
}

/* ---- the configuration again ------------------------------------------------------------------------------- */

static int reload(const char *text, struct obuf *out, char msg[512])
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	char path[512];
	struct obuf b = OBUF_INIT;
	int r;

	kit_module("swap", path, sizeof(path));
	obuf_printf(&b, "data_dir = \"/d\";\nmodules = (\n{ module = \"%s\";\nparams = { %s }; } );\n", path, text);
	write_file(c->config->path, b.data, b.len);
	obuf_done(&b);
	obuf_reset(out);
	r = core_reload(c, out, &err);
	(void)snprintf(msg, 512, "%s", err.msg);
	return r;
}

static void test_reload(void)
{
	struct obuf out = OBUF_INIT;
	struct kit_load l;
	char msg[512];

	c->config->path = omem_printf("%s/orlopd.conf", dir);
	c->config->data_dir = omem_strdup("/d");
	(void)load_with("swap", KV("delay_ms", "7"), &l);
	is_int(reload("delay_ms = 7;", &out, msg), 0, "the same file %s", msg);
	is_int(reload("delay_ms = 8; fail = \"stop\";", &out, msg), 0, "a changed one %s", msg);
	ok(strstr(obuf_cstr(&out), "\"changed\":[\"module test/swap: delay_ms=8\"]"), "what is live changes: %s",
	   obuf_cstr(&out));
	ok(strstr(obuf_cstr(&out), "parameter fail is \\\"\\\", the file says \\\"stop\\\": `orlop module replace "
		  "test/swap fail=stop`"), "what is not is named");
	is_int(l.inst->params[1].num, 8, "param() says so");
	is_int(reload("delay_ms = 9; tag = 5;", &out, msg), -EINVAL, "a mistake");
	ok(strstr(msg, "nothing is changed: ") && strstr(msg, ":4: ") && strstr(msg, "parameter tag: want a string"),
	   "is said with its line: %s", msg);
	is_int(reload("delay_ms = 99999;", &out, msg), -ERANGE, "what the module refuses: %s", msg);
	is_int(reload("delay_ms = ;", &out, msg), -EINVAL, "rubbish: %s", msg);
	is_int(l.inst->params[1].num, 8, "has changed nothing");
	is_int(reload("", &out, msg), 0, "without it %s", msg);
	is_int(l.inst->params[1].num, 0, "the default is back");
	(void)kit_unload(c, "test/swap", &l);
	is_int(reload("", &out, msg), 0, "what does not run");
	ok(strstr(obuf_cstr(&out), "does not run: `orlop module load"), "is named: %s", obuf_cstr(&out));
	obuf_done(&out);
}

/* ---- older and newer ----------------------------------------------------------------------------------------- */

static void test_sizes(void)
{
	struct kit_load l;
	struct kit_reply r;
	char msg[512];

	is_int(kit_load(c, "older", &l), 0, "a shorter descriptor loads %s", l.msg);
	is_int(kit_ask(c, "test/older", 1, "x", &r), 0, "its op works");
	is_int(kit_ask(c, "test/older", 2, "x", &r), -ENOTSUP, "behind its table is nothing");
	is_int(replace_as("test/older", NULL, NULL, &l), 0, "nothing behind its descriptor is called %s", l.msg);
	(void)kit_until(c->main, count("test/older") == 1);
	is_int(kit_unload(c, "test/older", &l), 0, "it unloads");
	is_int(kit_load(c, "longer", &l), 0, "a longer one loads, too %s", l.msg);
	is_str(who("test/longer"), "first 22 1", "all its parameters are found");
	is_int(set("test/longer", KV("one", "second"), msg), 1, "set %s", msg);
	is_int(replace_as("test/longer", NULL, KV("two", "23"), &l), 0, "replaced %s", l.msg);
	is_str(who("test/longer"), "second 23 1", "carried over");
	(void)kit_until(c->main, count("test/longer") == 1);
	is_int(kit_unload(c, "test/longer", &l), 0, "and unloads");
}

/* ---- the end ------------------------------------------------------------------------------------------------ */

static long rss_kb(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long rss = 0;

	if (f) {
		if (fscanf(f, "%*d %ld", &rss) != 1)
			rss = 0;
		fclose(f);
	}
	return rss * (sysconf(_SC_PAGESIZE) / 1024);
}

static int maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	int n = 0;
	int ch;

	while (f && (ch = getc(f)) != EOF)
		n += ch == '\n';
	if (f)
		fclose(f);
	return n;
}

static void test_many(void)
{
	struct kit_load l;
	int fds = 0;
	int threads = 0;
	int n_maps = 0;
	long rss = 0;
	int bad = 0;

	for (int i = 0; i < 1000; i++) {
		bad += kit_load(c, "swap", &l) != 0;
		bad += strcmp(who("echo"), "first") != 0;
		if (i % 4 == 0) {
			bad += replace_as("test/swap", NULL, NULL, &l) != 0;
			bad += !kit_until(c->main, count("test/swap") == 1);
		}
		bad += kit_unload(c, "test/swap", &l) != 0;
		if (i == 300) {
			fds = kit_fds();
			threads = kit_threads();
			n_maps = maps();
			rss = rss_kb();
		}
	}
	is_int(bad, 0, "1,000 times loaded, used, unloaded, 250 times replaced between");
	ok(kit_until(c->main, kit_fds() <= fds), "no descriptor is left (%d, %d)", kit_fds(), fds);
	ok(kit_threads_end(threads), "no thread is left");
	ok(maps() <= n_maps + 8, "no mapping is left (%d, %d)", maps(), n_maps);
	printf("# memory: %ld kB, %ld kB\n", rss_kb(), rss);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	otap_skip("memory: a sanitizer keeps what is freed", 1);
#else
	ok(rss_kb() <= rss + 512, "no memory is left (%ld kB, %ld kB)", rss_kb(), rss);
#endif
}

/* The end of the daemon in the middle of a replacement. */
static void test_stop_all(void)
{
	struct core_config_module cm = { .line = 0 };
	struct kit_load l;
	struct kit_load rep = { .done = 0 };
	struct kit_load hand = { .done = 0 };
	char lock[100];

	(void)snprintf(lock, sizeof(lock), "%s/lock3", dir);
	(void)load_with("handover", NULL, &l);
	(void)load_with("exclusive", KV("lock", lock), &l);
	(void)load_with("swap", KV("streams", "3"), &l);
	is_int(replace_as("test/swap", NULL, NULL, &l), 0, "one is draining %s", l.msg);
	memset(&rep, 0, sizeof(rep));
	is_int(core_loader_replace(c, "test/exclusive", &cm, kit_loaded, &rep, NULL), 0, "one is being replaced");
	memset(&l, 0, sizeof(l));
	is_int(core_loader_replace(c, "test/swap", &cm, kit_loaded, &l, NULL), 0, "and another");
	is_int(core_loader_replace(c, "test/handover", &cm, kit_loaded, &hand, NULL), 0, "and one that waits for a moment to hand over");
	ok(kit_end(c), "the core ends");
	ok(rep.done == 1 && l.done == 1 && hand.done == 1, "and all heard how it ended (%s) (%s) (%s)", rep.msg, l.msg, hand.msg);
}

int main(void)
{
	char tmp[] = "/tmp/orlop-replace-XXXXXX";
	struct kit_load l;
	int fds;

	if (!mkdtemp(tmp))
		otap_bail_out("no directory");
	(void)snprintf(dir, sizeof(dir), "%s", tmp);
	kit_settle();
	fds = kit_fds();
	c = kit_core();
	test_plain();
	test_wrong();
	test_refused();
	/* It refuses for good. */
	(void)core_loader_replace;
	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

		if (strcmp(inst->name, "test/swap") == 0)
			inst->mod.stop = NULL;
	}
	is_int(kit_unload(c, "test/swap", &l), 0, "without its stop it goes");
	test_revision();
	test_exclusive();
	core_instance_find(c, "test/exclusive")->mod.stop = NULL;
	(void)kit_unload(c, "test/exclusive", &l);
	test_handover();
	test_load();
	test_sockets();
	test_streams();
	test_stuck();
	test_set();
	test_reload();
	test_sizes();
	test_many();
	test_stop_all();
	ok(kit_fds() <= fds + 2, "no descriptor is left (%d, %d)", kit_fds(), fds);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
