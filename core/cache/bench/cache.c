/*
 * The cache in numbers, as one line of JSON: feed, single changes, get, iteration, memory per object.
 *
 *	core/cache/bench/cache [OBJECTS]
 */
#include <malloc.h>
#include <time.h>

#include "cache/test/support.h"

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t clock_ns(void *ctx)
{
	(void)ctx;
	return (uint64_t)(now_s() * 1e9);
}

static int no_post(void *ctx, void *loop, void (*fn)(void *), void *arg)
{
	(void)ctx;
	(void)loop;
	(void)fn;
	(void)arg;
	return -1;
}

static void no_kick(void *ctx, uint64_t delay_ns)
{
	(void)ctx;
	(void)delay_ns;
}

static uint64_t seed = 1;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

/* A ConfigMap as clients make them: 200 bytes of data, managedFields, a uid. */
static struct orlop_bytes record(int i)
{
	static const char uid[] = "0f5a3c1e-7d2b-4c6f-9e8a-000000000000";
	struct orlop_record rec = { .magic = ORLOP_RECORD_MAGIC, .header_len = sizeof(rec), .format = 1,
				    .n_index = 1, .index_len = 8 + 36, .rv_off = 40 };
	static char buf[2048];
	uint16_t h[2] = { 2, 0 };
	uint32_t len = 36;
	char *p = buf + sizeof(rec);

	memcpy(p, h, 4);
	memcpy(p + 4, &len, 4);
	memcpy(p + 8, uid, 36);
	p += 44;
	rec.json_len = (uint32_t)snprintf(p, 1900,
		"\"metadata\":{\"name\":\"cm-%06d\",\"namespace\":\"default\",\"uid\":\"%s\","
		"\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"managedFields\":[{\"manager\":\"kubectl-create\","
		"\"operation\":\"Update\",\"apiVersion\":\"v1\",\"time\":\"2026-01-01T00:00:00Z\",\"fieldsType\":"
		"\"FieldsV1\",\"fieldsV1\":{\"f:data\":{\".\":{},\"f:key\":{}}}}]},\"data\":{\"key\":\"%0180d\"}",
		i, uid, i);
	memcpy(buf, &rec, sizeof(rec));
	return (struct orlop_bytes){ buf, sizeof(rec) + rec.index_len + rec.json_len };
}

static size_t used(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

int main(int argc, char **argv)
{
	static const char *const uid_index[] = { "uid", NULL };
	struct core_cache_hooks hooks = { .now = clock_ns, .post = no_post, .kick = no_kick };
	int n = argc > 1 ? atoi(argv[1]) : 100000;
	double t, feed, small, single, get, iter, journal, snap;
	struct orlop_resource_info info = { .size = sizeof(info), .name = "configmaps", .indexed = uid_index };
	struct orlop_change v[256];
	struct orlop_resource *r;
	struct orlop_snapshot *s;
	struct orlop_object *o;
	struct orlop_iter *it;
	struct core_cache *c;
	size_t before, bytes = 0;
	uint64_t rev = 10, cursor, sum = 0;
	double mem, over, over_max;
	char key[64];
	int32_t got;
	long k;

	if (core_cache_new(&hooks, &c) || core_cache_register(c, &info, NULL) ||
	    core_cache_open(c, "configmaps", NULL, "bench", &r, NULL))
		return 1;
	(void)t_register(c, "small", NULL, NULL);
	t_fed(c, rev);

	/* small objects of a resource without indexes, in random order, 256 a commit */
	t = now_s();
	for (int i = 0; i < n;) {
		struct orlop_bytes rec = t_record("x", 1, NULL, 0);

		core_cache_begin(c);
		for (int b = 0; b < 256; b++, i++) {
			snprintf(key, sizeof(key), "small/ns-%u/obj-%u", rnd(20), rnd(1000000));
			(void)core_cache_put(c, t_bytes(key), rec, ++rev);
		}
		(void)core_cache_commit(c, rev);
		free((void *)(uintptr_t)rec.p);
	}
	small = n / (now_s() - t);

	before = used();
	t = now_s();
	for (int i = 0; i < n;) {
		core_cache_begin(c);
		core_cache_list_begin(c);	/* as the first list: no journal */
		for (int b = 0; b < n; b++, i++) {
			struct orlop_bytes rec = record(i);

			snprintf(key, sizeof(key), "configmaps/default/cm-%06d", i);
			(void)core_cache_put(c, t_bytes(key), rec, ++rev);
		}
		(void)core_cache_commit(c, rev);
	}
	feed = n / (now_s() - t);
	mem = (double)(used() - before) / n;

	(void)core_cache_snapshot_open(r, &s);
	t = now_s();
	for (k = 0; k < 20; k++) {
		(void)core_cache_iter_open(s, NULL, &it);
		while ((o = core_cache_iter_next(it)))
			sum += (uint64_t)(uintptr_t)o;
		core_cache_iter_close(it);
	}
	iter = 20.0 * n / (now_s() - t);
	(void)core_cache_iter_open(s, NULL, &it);
	while ((o = core_cache_iter_next(it)))
		bytes += o->json.len;
	core_cache_iter_close(it);
	over = mem - (double)bytes / n;
	over_max = (double)bytes / n * 0.2 + 200;

	t = now_s();
	for (k = 0; k < 1000000; k++) {
		snprintf(key, sizeof(key), "cm-%06u", rnd((uint32_t)n));
		sum += (uint64_t)(uintptr_t)core_cache_snapshot_get(s, t_bytes("default"), t_bytes(key));
	}
	get = (now_s() - t) * 1000;
	t = now_s();
	for (k = 0; k < 1000000; k++) {
		snprintf(key, sizeof(key), "cm-%06u", rnd((uint32_t)n));
		sum += (uint64_t)strlen(key);
	}
	get -= (now_s() - t) * 1000;	/* of making the key */
	core_cache_snapshot_close(s);

	t = now_s();
	for (k = 0; k < 1000000; k++) {
		(void)core_cache_snapshot_open(r, &s);
		core_cache_snapshot_close(s);
	}
	snap = (now_s() - t) * 1000;

	/* one change a commit, as a quiet cluster does; a reader follows */
	cursor = core_cache_rev(r, NULL);
	t = now_s();
	for (k = 0; k < 100000; k++) {
		int i = (int)rnd((uint32_t)n);

		snprintf(key, sizeof(key), "configmaps/default/cm-%06d", i);
		core_cache_begin(c);
		(void)core_cache_put(c, t_bytes(key), record(i), ++rev);
		(void)core_cache_commit(c, rev);
	}
	single = (double)k / (now_s() - t);
	cursor = core_cache_journal_oldest(r);
	t = now_s();
	k = 0;
	while ((got = core_cache_journal_read(r, &cursor, v, 256)) > 0) {
		for (int i = 0; i < got; i++) {
			core_cache_object_unref(v[i].object);
			core_cache_object_unref(v[i].prev);
		}
		k += got;
	}
	journal = (double)k / (now_s() - t);
	core_cache_close(r);
	core_cache_free(c);
	printf("{\"bench\":\"cache\",\"command\":\"core/cache/bench/cache %d\",\"objects\":%d,"
	       "\"feed_small_per_s\":%.0f,\"feed_configmap_per_s\":%.0f,\"commits_of_one_per_s\":%.0f,"
	       "\"get_ns\":%.0f,\"snapshot_ns\":%.0f,\"iterate_per_s\":%.0f,\"journal_read_per_s\":%.0f,"
	       "\"object_bytes\":%.0f,\"object_overhead_bytes\":%.0f,\"overhead_goal_bytes\":%.0f,\"sum\":%d}\n",
	       n, n, small, feed, single, get, snap, iter, journal, (double)bytes / n, over, over_max, (int)(sum & 1));
	return 0;
}
