/* test/host.c - members of the host table that no other test uses, called as a module would. */
#include <orlop/admin.h>
#include <orlop/cache.h>

#define OTAP_FAULTS
#include "kit.h"

static struct core *c;
static const struct orlop_host *h;
static char why_ended[400];

static void on_end(void *arg, const char *reason)
{
	(void)arg;
	(void)snprintf(why_ended, sizeof(why_ended), "%s", reason);
}

static void test_small(void)
{
	struct orlop_blob *b;
	char a[32] = "";
	char z[32] = "";

	is_int(h->size, sizeof(struct orlop_host), "the table has its size");
	is_int(h->abi_minor, ORLOP_ABI_MINOR, "and the ABI's minor");
	is_str(h->instance, "core", "the instance's name");
	ok(h->now_mono(h) && h->now_boot(h) >= h->now_mono(h) - KIT_SECOND, "clocks");
	ok(h->now_wall(h) > UINT64_C(1700000000) * KIT_SECOND, "the wall clock");
	h->random(h, a, sizeof(a));
	h->random(h, z, sizeof(z));
	ok(memcmp(a, z, sizeof(a)) != 0, "random bytes differ");
	is_str(h->param(h, "none"), "", "a parameter that is not there");
	is_int(h->param_int(h, "none"), 0, "as a number");
	ok(h->shard_host(h, 0) == h && h->shard_host(h, 1) == NULL, "shards");
	is_int(h->metrics_text(h, &b), 0, "metrics");
	ok(h->blob_bytes(b).len > 0, "as a blob");
	h->blob_unref(b);
	h->blob_unref(NULL);
}

/* ---- threads, work ------------------------------------------------------------------------------ */

static void store(void *arg)
{
	atomic_store((_Atomic int *)arg, 1);
}

static void test_threads(void)
{
	_Atomic int ran = 0;
	_Atomic int worked = 0;
	void *t = NULL;

	is_int(h->thread_start(h, "mine", store, &ran, &t), 0, "a thread");
	is_int(core_owner_count(&c->self->shards[0].held, CORE_HELD_THREAD), 1, "is counted");
	h->thread_join(h, t);
	is_int(atomic_load(&ran), 1, "it ran");
	is_int(core_owner_count(&c->self->shards[0].held, CORE_HELD_THREAD), 0, "joined");
	is_int(h->work(h, 1, store, kit_nothing, (void *)&worked), 0, "a job");
	ok(kit_until(c->main, atomic_load(&worked) &&
		     core_owner_count(&c->self->shards[0].held, CORE_HELD_WORK) == 0), "is done");
}

/* ---- leadership ----------------------------------------------------------------------------------- */

struct led {
	int		gained;
	uint64_t	token;
};

static void led(void *arg, int32_t gained, uint64_t token)
{
	struct led *l = arg;

	l->gained += gained;
	l->token = token;
}

static void test_lead(void)
{
	struct led a = { .gained = 0 };
	struct led b = { .gained = 0 };
	struct led x = { .gained = 0 };
	struct orlop_lead *la;
	struct orlop_lead *lb;
	struct orlop_lead *lx;

	is_int(h->lead(h, "scheduler", led, &a, &la), 0, "ask for a name");
	is_int(a.gained, 0, "the answer comes later");
	is_int(h->lead(h, "scheduler", led, &b, &lb), 0, "somebody else asks too");
	is_int(h->lead(h, "other", led, &x, &lx), 0, "another name");
	ok(kit_until(c->main, a.gained && x.gained), "the first has it, and the other name its own");
	is_int(b.gained, 0, "the second waits");
	otap_fail_nth(1);
	h->lead_drop(la);
	otap_fail_nth(0);
	ok(kit_until(c->main, b.gained), "until the first drops it, also when there is no memory");
	ok(a.token > 0 && b.token > a.token, "the token grows");
	h->lead_drop(lb);
	h->lead_drop(lx);
	/* Dropped before the answer: no callback. */
	memset(&a, 0, sizeof(a));
	(void)h->lead(h, "scheduler", led, &a, &la);
	h->lead_drop(la);
	core_loop_turn(c->main, false);
	is_int(a.gained, 0, "a name dropped at once is never gained");
}

/* ---- topics, cache, health ---------------------------------------------------------------------------- */

static void heard(void *arg, const struct orlop_msg *msg)
{
	(void)msg;
	(*(int *)arg)++;
}

static void one_health(void *arg, const char *instance, const struct orlop_health *health)
{
	int *n = arg;

	if (strcmp(instance, "test/good") == 0 && health->ok)
		(*n)++;
}

static void health_elsewhere(void *arg)
{
	h->health_list(h, one_health, arg);
}

static void test_rest(void)
{
	struct orlop_msg m = { .size = sizeof(m) };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_resource_info info = { .size = sizeof(info), .name = "things" };
	struct orlop_resource *r;
	struct kit_load l;
	int n = 0;
	int health = 0;
	int there = 0;
	void *t;

	(void)h->subscribe(h, "t", heard, &n);
	/* A hint may be lost: say it until it is heard. */
	ok(kit_until(c->main, (h->publish(h, "t", &m), n > 0)), "a topic");

	is_int(h->resource_open(h, "pods", &r, &err), -EACCES, "a resource that reads= does not name");
	is_str(err.msg, "module core may not read pods: its modinfo does not say reads=pods", "says so");
	is_int(h->resource_register(h, &info, &err), -EACCES, "only who provides api may register");
	is_int(h->resource_open(h, "resources", &r, &err), 0, "the list of resources is open to all");
	is_int(core_owner_count(&c->self->shards[0].held, CORE_HELD_RESOURCE), 1, "and counted");
	h->resource_close(r);
	is_int(core_owner_count(&c->self->shards[0].held, CORE_HELD_RESOURCE), 0, "closed");

	(void)kit_load(c, "good", &l);
	c->end = on_end;
	otap_fail_nth(1);
	core_loader_failed(l.inst, "the disk is gone");
	core_loader_failed(l.inst, "and the rest");
	otap_fail_nth(0);
	ok(kit_until(c->main, why_ended[0]), "a module that cannot go on ends the daemon, also when there is no memory");
	is_str(why_ended, "module test/good failed: the disk is gone", "with the first reason");
	c->end = NULL;
	h->health_list(h, one_health, &health);
	is_int(health, 1, "health of a module");
	(void)h->thread_start(h, "health", health_elsewhere, &there, &t);
	h->thread_join(h, t);
	is_int(there, 1, "also asked from another thread");
	(void)kit_unload(c, "test/good", &l);
}

int main(void)
{
	c = kit_core();
	h = &c->self->shards[0].host;
	test_small();
	test_threads();
	test_lead();
	test_rest();
	ok(kit_end(c), "the core ends");
	return done_testing();
}
