/* test/isolate_hang.c - processes of isolated modules that say nothing, at every time, and what cannot be said to them. */
#define OTAP_FAULTS
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "isolate.h"
#include "isolate_proxy.h"
#include "kit.h"
#include "log.h"

static struct core *c;
static char dir[64];
static char exe[PATH_MAX];

static struct core_instance *load(const char *at)
{
	struct core_config_module cm = { .isolate = true };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct kit_load l = { 0 };
	char path[512];

	cm.module = omem_strdup(kit_module("crasher", path, sizeof(path)));
	(void)core_config_param_add(&cm, "at", at, 0, 0);
	if (core_loader_load(c, &cm, kit_loaded, &l, &err) || !kit_until(c->main, l.done) || l.status)
		otap_bail_out("it does not load");
	core_config_module_done(&cm);
	return l.inst;
}

/* The process of @iso hangs as it is now: for its parent it is as if a callback did not return. */
static uint32_t stop(struct core_isolate *iso)
{
	siginfo_t si;

	(void)kill(iso->pid, SIGSTOP);
	/* Each of its threads stops in its own time. */
	(void)waitid(P_PID, (id_t)iso->pid, &si, WSTOPPED | WNOWAIT | __WALL);
	return iso->restarts;
}

static void test_idle(struct core_instance *inst)
{
	uint32_t before = stop(inst->iso);

	kit_hang_after(c, KIT_SECOND / 2);
	ok(kit_until(c->main, inst->iso->restarts > before), "one that hangs while nobody asks it anything is found");
	kit_hang_after(c, KIT_START_NS);
	is_str(inst->iso->last_exit, "hangs: its loops do not turn", "the reason");
	ok(kit_until(c->main, core_isolate_up(inst)), "and is back");
}

static void test_start(struct core_instance *inst)
{
	uint32_t before = inst->iso->restarts;

	inst->iso->backoff_ns = 0;
	(void)kill(inst->iso->pid, SIGKILL);
	ok(kit_until(c->main, inst->iso->restarts > before && inst->iso->pid), "down, and the next is on its way");
	before = stop(inst->iso);
	c->config->start_timeout_ns = KIT_SECOND;
	kit_hang_after(c, KIT_SECOND / 2);
	ok(kit_until(c->main, inst->iso->restarts > before), "one that does not become ready is ended");
	is_str(inst->iso->last_exit, "is not ready after 1 s", "the reason");
	c->config->start_timeout_ns = KIT_START_NS;
	kit_hang_after(c, KIT_START_NS);
	ok(kit_until(c->main, core_isolate_up(inst)), "and the one after it serves");
}

/* What must be said cannot be: its socket is full, and there is no memory to keep it for later. */
static void test_no_memory(struct core_instance *inst)
{
	uint32_t before = stop(inst->iso);

	inst->iso->backoff_ns = 0;
	while (core_iso_send(inst->iso->chan, CORE_ISO_LEVEL, 0, NULL, CORE_ISO_DROP) == 0)
		;
	otap_fail_nth(1);
	inst->life->hold(inst, false);
	otap_fail_nth(0);
	ok(otap_faulted(), "no memory for what it must know");
	ok(kit_until(c->main, inst->iso->restarts > before && core_isolate_up(inst)), "it starts anew");
	is_str(inst->iso->last_exit, "no memory to talk to it", "the reason");
}

/* Nothing can be sent to it any more, and it has not ended yet: what comes then has never left. */
static void test_never_sent(struct core_instance *inst)
{
	uint32_t before = stop(inst->iso);
	struct kit_reply r;

	inst->iso->backoff_ns = 0;
	while (core_iso_send(inst->iso->chan, CORE_ISO_LEVEL, 0, NULL, 0) == 0)
		;
	is_int(kit_ask(c, "test/crasher", 1, "x", &r), 0, "what was never sent is answered by the next %s", r.text);
	ok(inst->iso->restarts > before, "which is there");
}

static char ended[256];

static bool heard(void *arg, const char *module, int32_t level, const char *event, const char *text)
{
	(void)arg;
	(void)module;
	(void)level;
	if (strcmp(event, "module_end") == 0 || strcmp(event, "module_crashed") == 0)
		(void)snprintf(ended, sizeof(ended), "%s %s", event, text);
	return true;
}

/* stop() has a time of its own, which may be longer. */
static void test_stop(void)
{
	struct core_instance *inst = load("hang-stop");
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct kit_load l = { .done = 0 };

	core_log_set_level(c->log, ORLOP_LOG_INFO);
	core_log_sink(c->log, heard, NULL);
	c->config->stop_timeout_ns = 2 * KIT_SECOND;
	is_int(core_loader_unload(c, "test/crasher", kit_loaded, &l, &err), 0, "one that is long in stop() is to go %s",
	       err.msg);
	ok(kit_until(c->main, l.done || inst->iso->stop_asked), "and is asked to stop");
	kit_hang_after(c, KIT_SECOND / 5);
	ok(kit_until(c->main, l.done) && l.status == 0, "it goes %s", l.msg);
	is_str(ended, "module_end name=test/crasher reason=\"stop() hangs\"", "when that time is over");
	core_log_sink(c->log, NULL, NULL);
}

int main(void)
{
	struct core_instance *inst;
	struct kit_reply r;
	struct kit_load l;

#ifdef __SANITIZE_THREAD__
	/* It takes the child of clone(CLONE_VM | CLONE_VFORK) for the thread that waits for it. */
	return otap_skip_all("the thread sanitizer does not know of processes that share memory");
#endif
	(void)snprintf(dir, sizeof(dir), "/tmp/orlop-isolate-XXXXXX");
	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	kit_orlopd(exe);
	c = kit_iso_core(dir, exe);
	inst = load("");
	test_idle(inst);
	test_start(inst);
	test_no_memory(inst);
	test_never_sent(inst);
	is_int(kit_ask(c, "test/crasher", 1, "x", &r), 0, "after all that it answers");
	is_int(kit_unload(c, "test/crasher", &l), 0, "and goes %s", l.msg);
	test_stop();
	ok(kit_end(c), "the core ends");
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
