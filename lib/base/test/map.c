/* omap and olist: order, deletion, growth, failed allocations. */
#define OTAP_FAULTS
#include "base/ocleanup.h"
#include "base/olist.h"
#include "base/omap.h"
#include "base/oref.h"
#include "base/otap.h"

#include <errno.h>

struct item {
	int		n;
	struct olist	node;
};

static void test_map(void)
{
	cleanup_omap struct omap m = OMAP_INIT;
	int values[2000];
	char key[16];
	int next = 0;
	bool good = true;
	void *old = NULL;

	ok(omap_get_cstr(&m, "x") == NULL, "an empty map has nothing");
	ok(omap_del(&m, "x", 1) == NULL, "nor anything to delete");
	for (int i = 0; i < 2000; i++) {
		values[i] = i;
		(void)snprintf(key, sizeof(key), "k%d", i);
		good = good && omap_put_cstr(&m, key, &values[i]) == 0;
	}
	ok(good, "2000 keys");
	for (int i = 0; i < 2000; i += 2) {
		(void)snprintf(key, sizeof(key), "k%d", i);
		good = good && omap_del(&m, key, strlen(key)) == &values[i];
	}
	ok(good, "half of them deleted");
	is_int(omap_count(&m), 1000, "count");
	next = 1;
	OMAP_FOREACH(&m, e) {
		good = good && *(int *)e->value == next;
		next += 2;
	}
	ok(good && next == 2001, "iteration in order of insertion");
	is_int(omap_add(&m, "k1", 2, NULL), -EEXIST, "add does not replace");
	is_int(omap_put(&m, "k1", 2, &values[0], &old), 0, "put does");
	ok(old == &values[1], "and tells the old value");
	for (int round = 0; round < 10000; round++) {
		(void)snprintf(key, sizeof(key), "r%d", round);
		good = good && omap_put_cstr(&m, key, &m) == 0;
		good = good && omap_del(&m, key, strlen(key)) == &m;
	}
	ok(good && m.n_slots <= 4096, "insert and delete in a loop does not grow it");
	ok(omap_put(&m, "a\0b", 3, &m, NULL) == 0 && !omap_has(&m, "a", 1) && omap_has(&m, "a\0b", 3),
	   "keys are bytes");
	ok(omap_put(&m, "", 0, &m, NULL) == 0 && omap_has(&m, "", 0), "the empty key");
}

static void test_map_faults(void)
{
	bool good = true;

	for (int n = 1; n < 12; n++) {
		cleanup_omap struct omap m = OMAP_INIT;
		char key = 'a';
		int failures = 0;

		otap_fail_nth(n);
		for (; key < 'q'; key++)
			failures += omap_put(&m, &key, 1, &m, NULL) == -ENOMEM;
		good = good && failures == otap_faulted() && omap_count(&m) == 16u - (unsigned)failures;
		otap_fail_nth(0);
	}
	ok(good, "each failed allocation costs exactly that insertion");
}

static void test_list(void)
{
	struct olist head;
	struct olist other;
	struct item items[4];
	int sum = 0;

	olist_init(&head);
	olist_init(&other);
	for (int i = 0; i < 4; i++) {
		items[i].n = i;
		olist_append(i < 3 ? &head : &other, &items[i].node);
	}
	olist_splice(&head, &other);
	ok(olist_empty(&other), "splice empties the source");
	OLIST_FOREACH(pos, &head)
		sum = sum * 10 + OLIST_ENTRY(pos, struct item, node)->n;
	is_int(sum, 123, "order");
	OLIST_FOREACH_SAFE(pos, tmp, &head)
		if (OLIST_ENTRY(pos, struct item, node)->n % 2 == 0)
			olist_del(pos);
	is_int(OLIST_ENTRY(olist_first(&head), struct item, node)->n, 1, "first after deletion");
	olist_del(&items[0].node);
	pass("deleting twice is harmless");
	ok(olist_shift(&head) == &items[1].node && olist_shift(&head) == &items[3].node &&
	   olist_shift(&head) == NULL, "shift until empty");
}

static void test_ref(void)
{
	struct oref r;

	oref_init(&r);
	oref_get(&r);
	ok(!oref_put(&r), "not the last reference");
	ok(oref_put(&r), "the last one");
}

int main(void)
{
	test_map();
	test_map_faults();
	test_list();
	test_ref();
	return done_testing();
}
