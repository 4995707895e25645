/* test/faults.c - every allocation of a load, a request and an unload fails once: an error, no crash. */
#include "kit.h"
#include "replace.h"

static _Thread_local long fault_at;

/* On this thread only: what the others do meanwhile is no part of it. */
bool omem_fault(size_t size)
{
	(void)size;
	return fault_at != 0 && --fault_at == 0;
}

int main(void)
{
	struct core *c = kit_core();
	struct kit_load l;
	struct kit_reply r;
	int refused = 0;
	int silent = 0;
	int stuck = 0;
	long n;
	struct core_config_module cm = { .module = NULL };
	char path[512];

	cm.module = kit_module("caller", path, sizeof(path));
	if (kit_load(c, "good", &l))
		otap_bail_out("good does not load");
	/* Only what happens on this thread up to the answer. */
	for (n = 1; n < 400; n++) {
		struct orlop_error err = ORLOP_ERROR_INIT;
		int e;

		memset(&l, 0, sizeof(l));
		fault_at = n;
		e = core_loader_load(c, &cm, kit_loaded, &l, &err);
		fault_at = 0;
		if (e) {
			refused++;
			silent += !err.msg[0];
			continue;
		}
		break;
	}
	ok(refused > 10, "%d allocations of a load are refused", refused);
	is_int(silent, 0, "each in words");
	stuck += !kit_until(c->main, l.done);
	is_int(l.status, 0, "then it loads");
	is_int(kit_ask(c, "test/caller", 1, "x", &r), 0, "and answers");
	/* The same for a replacement: the one that runs is not touched. */
	refused = 0;
	cm.module = NULL;
	for (n = 1; n < 400; n++) {
		struct orlop_error err = ORLOP_ERROR_INIT;
		int e;

		memset(&l, 0, sizeof(l));
		fault_at = n;
		e = core_loader_replace(c, "test/caller", &cm, kit_loaded, &l, &err);
		fault_at = 0;
		if (e) {
			refused++;
			silent += !err.msg[0];
			continue;
		}
		stuck += !kit_until(c->main, l.done);
		refused += l.status != 0;
		silent += l.status && !l.msg[0];
		if (kit_ask(c, "test/caller", 1, "x", &r))
			stuck++;
		if (l.status == 0)
			break;
	}
	ok(refused > 10, "%d allocations of a replacement are refused", refused);
	is_int(silent, 0, "each in words");
	is_int(l.status, 0, "then it is replaced %s", l.msg);
	is_int(stuck, 0, "and it answered all the time");
	is_int(kit_unload(c, "test/caller", &l), 0, "and unloads %s", l.msg);
	is_int(stuck, 0, "nothing hangs");
	ok(kit_end(c), "the core ends");
	return done_testing();
}
