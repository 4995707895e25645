/* test/watchdog.c - a loop that hangs is told, with whose callback it is in, and so is its end. */
#include "kit.h"

#include <semaphore.h>
#include <stdatomic.h>

#include "log.h"
#include "watchdog.h"

static struct core *c;
static sem_t go;
static sem_t hangs;
static sem_t turns;
static const char *_Atomic hung = "loop=orlop-1 in=core ";	/* who shall; on a slow machine others may, too */
static atomic_bool told;
static char said[512];

static bool heard(void *arg, const char *module, int32_t level, const char *event, const char *text)
{
	(void)arg;
	(void)module;
	(void)level;
	if (strcmp(event, "loop_hangs") == 0) {
		if (!told && strstr(text, hung)) {
			(void)snprintf(said, sizeof(said), "%s", text);
			told = true;
		}
		(void)sem_post(&hangs);
	} else if (strcmp(event, "loop_turns") == 0) {
		(void)sem_post(&turns);
	}
	return true;
}

static void hang(void *arg)
{
	(void)arg;
	(void)sem_wait(&go);
}

static void hang_till_told(void *arg)
{
	(void)arg;
	(void)sem_wait(&hangs);
}

/* Once more if what was told was something else. */
static bool hangs_till_told(struct core_instance *inst)
{
	uint64_t end = core_now_mono() + KIT_WAIT_NS;

	while (!told && core_now_mono() < end) {
		if (core_loop_post_owned(c->main, &inst->shards[0].held, hang_till_told, NULL))
			return false;
		core_loop_turn(c->main, true);
	}
	return told;
}

int main(void)
{
	struct core_watchdog *w = NULL;
	struct core_instance *inst;
	struct core_loop *l;
	struct kit_load load;

	c = kit_core();
	core_log_set_level(c->log, ORLOP_LOG_INFO);
	core_log_sink(c->log, heard, NULL);
	c->config->hang_timeout_ns = KIT_SECOND / 5;
	(void)sem_init(&go, 0, 0);
	(void)sem_init(&hangs, 0, 0);
	(void)sem_init(&turns, 0, 0);
	if (core_loop_get(c, 1, &l) || core_watchdog_start(c, &w))
		otap_bail_out("cannot begin");
	is_int(core_loop_post(l, hang, NULL), 0, "a loop hangs");
	ok(kit_until(c->main, told), "that is told, and which: %s", said);
	(void)sem_post(&go);
	ok(kit_until(c->main, sem_trywait(&turns) == 0), "and that it is over");
	is_int(kit_load(c, "good", &load), 0, "a module");
	inst = core_instance_find(c, "test/good");
	hung = "loop=orlopd in=test/good ";
	told = false;
	ok(inst && hangs_till_told(inst), "hangs: told while it does, and who it is: %s", said);
	ok(kit_until(c->main, sem_trywait(&turns) == 0), "over, too");
	is_int(kit_unload(c, "test/good", &load), 0, "it goes");
	core_watchdog_stop(w);
	core_log_sink(c->log, NULL, NULL);
	ok(kit_end(c), "the core ends");
	core_watchdog_free(w);
	return done_testing();
}
