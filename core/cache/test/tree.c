/*
 * The tree against a model: random changes in batches of random size, secondary indexes, and
 * snapshots held for random times that must stay what they were; every node is reclaimed in the end.
 */
#include <errno.h>

#include "base/otap.h"
#include "cache/object.h"
#include "support.h"

#define N_KEYS	900
#define N_HELD	24

static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

struct model {
	int		v[N_KEYS];	/* -1: absent */
	uint64_t	rev[N_KEYS];
};

static char keys[N_KEYS][48];
static int order[N_KEYS];

static int by_key(const void *a, const void *b)
{
	return strcmp(keys[*(const int *)a], keys[*(const int *)b]);
}

/* Objects say their value modulo 7 as a label, modulo 3 as a field, and twice an owner. */
static int model_put(struct core_cache *c, int i, int v, uint64_t rev)
{
	char l[8], f[8];
	struct t_entry e[] = {
		{ 0, "app", "x" }, { 0, "tier", l }, { 1, "", "owner-a" }, { 1, "", "owner-a" }, { 3, "", f },
	};

	snprintf(l, sizeof(l), "%d", v % 7);
	snprintf(f, sizeof(f), "%d", v % 3);
	return t_put_entries(c, keys[i], v, rev, e, 5);
}

static const char *key_of(const struct orlop_object *o, char *buf)
{
	snprintf(buf, 64, "pods/%.*s/%.*s", (int)o->ns.len, o->ns.p, (int)o->name.len, o->name.p);
	return buf;
}

static int value_of(const struct orlop_object *o)
{
	char buf[700];

	snprintf(buf, sizeof(buf), "%.*s", (int)o->json.len, o->json.p);
	return atoi(strrchr(buf, ':') + 1);
}

/* Walks with a query and counts disagreements with the model. */
static int check_query(const struct orlop_snapshot *s, const struct model *m, const char *ns,
		       int index, const char *key, const char *value, int after)
{
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_iter *it = NULL;
	struct orlop_object *o;
	char buf[64], after_key[48];
	int bad = 0, at = 0;

	if (ns) {
		q.has_ns = 1;
		q.ns = t_bytes(ns);
	}
	if (index >= 0) {
		q.has_index = 1;
		q.index = (uint32_t)index;
		q.index_key = t_bytes(key);
		q.index_value = t_bytes(value);
	}
	if (after >= 0) {
		char *slash;

		snprintf(after_key, sizeof(after_key), "%s", keys[after] + 5);
		slash = strchr(after_key, '/');
		*slash = '\0';
		q.after_ns = t_bytes(after_key);
		q.after_name = t_bytes(slash + 1);
	}
	if (core_cache_iter_open(s, &q, &it))
		return 1;
	for (;;) {
		o = core_cache_iter_next(it);
		for (; at < N_KEYS; at++) {
			int i = order[at];
			size_t n = ns ? strlen(ns) : 0;

			if (m->v[i] < 0 || (after >= 0 && strcmp(keys[i], keys[after]) <= 0))
				continue;
			if (ns && (strncmp(keys[i] + 5, ns, n) != 0 || keys[i][5 + n] != '/'))
				continue;
			if (index == 0 && strcmp(key, "tier") == 0 && m->v[i] % 7 != atoi(value))
				continue;
			if (index == 3 && m->v[i] % 3 != atoi(value))
				continue;
			break;
		}
		if (!o || at == N_KEYS)
			break;
		bad += strcmp(key_of(o, buf), keys[order[at]]) != 0;
		bad += o->rev != m->rev[order[at]] || value_of(o) != m->v[order[at]];
		at++;
	}
	bad += o != NULL || at != N_KEYS;
	core_cache_iter_close(it);
	return bad;
}

static int check(const struct orlop_snapshot *s, const struct model *m)
{
	uint64_t count = 0;
	int bad = 0;
	char value[8];

	for (int i = 0; i < N_KEYS; i++) {
		char ns[48];
		char *slash;
		struct orlop_object *o;

		snprintf(ns, sizeof(ns), "%s", keys[i] + 5);
		slash = strchr(ns, '/');
		*slash = '\0';
		o = core_cache_snapshot_get(s, t_bytes(ns), t_bytes(slash + 1));
		bad += (o != NULL) != (m->v[i] >= 0);
		if (o)
			bad += o->rev != m->rev[i];
		count += m->v[i] >= 0;
	}
	bad += core_cache_snapshot_count(s) != count;
	bad += check_query(s, m, NULL, -1, NULL, NULL, -1);
	bad += check_query(s, m, "ns-1", -1, NULL, NULL, (int)rnd(N_KEYS));
	bad += check_query(s, m, "", -1, NULL, NULL, -1);
	bad += check_query(s, m, NULL, -1, NULL, NULL, (int)rnd(N_KEYS));
	snprintf(value, sizeof(value), "%u", rnd(7));
	bad += check_query(s, m, NULL, 0, "tier", value, -1);
	bad += check_query(s, m, "ns", 0, "tier", value, (int)rnd(N_KEYS));
	snprintf(value, sizeof(value), "%u", rnd(3));
	bad += check_query(s, m, "ns-1", 3, "", value, -1);
	bad += check_query(s, m, NULL, 1, "", "owner-a", (int)rnd(N_KEYS));
	return bad;
}

static uint64_t generations, nodes_objects;

static void look(void *arg, const struct core_cache_stat *s)
{
	(void)arg;
	if (strcmp(s->name, "pods") == 0) {
		generations = s->generations;
		nodes_objects = s->objects;
	}
}

/* What came and went between a held snapshot and now is freed although the snapshot is held. */
static void test_exact(void)
{
	struct t_loop loop;
	struct core_cache *c = t_cache(&loop, 0);
	struct orlop_resource *r = t_open(c, &loop, "pods");
	struct orlop_snapshot *old = NULL, *s;
	struct orlop_object *o[3];
	uint64_t rev = 10;

	(void)t_register(c, "pods", NULL, NULL);
	t_fed(c, rev);
	for (int i = 0; i < 3; i++) {
		(void)t_change(c, "pods/a/x", i, ++rev);
		(void)core_cache_snapshot_open(r, &s);
		o[i] = core_cache_object_ref(core_cache_snapshot_get(s, t_bytes("a"), t_bytes("x")));
		if (i == 0)
			old = s;
		else
			core_cache_snapshot_close(s);
	}
	t_fed(c, ++rev);	/* empties journal and cache */
	t_advance(&loop, loop.now + 1000000);
	is_int(oref_count(&core_object_of(o[0])->ref), 2, "a held snapshot keeps its object");
	is_int(oref_count(&core_object_of(o[1])->ref), 1, "and none that it does not have");
	is_int(oref_count(&core_object_of(o[2])->ref), 1, "nor that came later");
	core_cache_snapshot_close(old);
	t_advance(&loop, loop.now + 1000000);
	is_int(oref_count(&core_object_of(o[0])->ref), 1, "until it is closed");
	for (int i = 0; i < 3; i++)
		core_cache_object_unref(o[i]);
	core_cache_close(r);
	core_cache_free(c);
}

#define N_BIG 20000

/* All of a snapshot is in order and found by its key; @there says what must be in it. */
static int check_big(struct orlop_resource *r, const char *there, int others)
{
	struct orlop_snapshot *s;
	struct orlop_object *o;
	struct orlop_iter *it;
	char last[64] = "", key[64];
	int bad = 0, n = 0;

	(void)core_cache_snapshot_open(r, &s);
	(void)core_cache_iter_open(s, NULL, &it);
	for (; (o = core_cache_iter_next(it)); n++) {
		bad += strcmp(last, key_of(o, key)) >= 0;
		strcpy(last, key);
	}
	core_cache_iter_close(it);
	for (int i = 0; i < N_BIG; i++) {
		snprintf(key, sizeof(key), "a-name-with-a-long-beginning-%d", i);
		bad += (core_cache_snapshot_get(s, t_bytes(i % 2 ? "ns" : "ns2"), t_bytes(key)) != NULL) != there[i];
		n -= there[i];
	}
	core_cache_snapshot_close(s);
	return bad + (n != others);
}

/* Three levels: inner nodes split, merge, and tell long names apart. */
static void test_big(void)
{
	static char there[N_BIG];
	static int shuffled[N_BIG];
	struct t_loop loop;
	struct core_cache *c = t_cache(&loop, 0);
	struct orlop_resource *r = t_open(c, &loop, "pods");
	uint64_t rev = 10;
	int bad = 0;

	(void)t_register(c, "pods", NULL, NULL);
	t_fed(c, rev);
	for (int i = 0; i < N_BIG; i++)
		shuffled[i] = i;
	for (int round = 0; round < 4; round++) {
		for (int i = N_BIG - 1; i > 0; i--) {
			int k = (int)rnd((uint32_t)i + 1), t = shuffled[i];

			shuffled[i] = shuffled[k];
			shuffled[k] = t;
		}
		for (int i = 0; i < N_BIG - 100; i++) {
			int k = shuffled[i];
			char key[64];

			if (i % 500 == 0)
				core_cache_begin(c);
			snprintf(key, sizeof(key), "pods/%s/a-name-with-a-long-beginning-%d", k % 2 ? "ns" : "ns2", k);
			bad += (round % 2 ? core_cache_del(c, t_bytes(key), ++rev) : t_put(c, key, i, ++rev)) != 0;
			there[k] = round % 2 == 0;
			if (i % 500 == 499 || i == N_BIG - 101)
				bad += core_cache_commit(c, rev) != 0;
		}
		bad += check_big(r, there, 0);
		if (round == 0) {	/* a first key that shares nothing with the others, for a while */
			bad += t_change(c, "pods/a/first", 1, ++rev) + check_big(r, there, 1);
			bad += t_change(c, "pods/a/first", -1, ++rev) + check_big(r, there, 0);
		}
	}
	is_int(bad, 0, "a big tree grows and shrinks");
	core_cache_close(r);
	core_cache_free(c);
}

int main(void)
{
	static const char *const fields[] = { "spec.x", NULL };
	static const char *const some[] = { "labels", "owner", NULL };
	static const char *const all[] = { "labels", "owner", "spec.x", NULL };
	static struct model now, held_model[N_HELD];
	struct orlop_snapshot *held[N_HELD] = { NULL };
	struct orlop_resource *r;
	struct t_loop loop;
	struct core_cache *c = t_cache(&loop, 0);
	uint64_t rev = 10;
	int bad = 0, checks = 0, wrong = 0;

	seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 0) : 42;
	for (int i = 0; i < N_KEYS; i++) {
		static const char *const ns[] = { "ns", "ns-1", "ns.2", "", "a" };

		snprintf(keys[i], sizeof(keys[i]), "pods/%s/%s%d", ns[i % 5], i % 2 ? "web-" : "w", i * 7919 % 1000);
		now.v[i] = -1;
		order[i] = i;
	}
	qsort(order, N_KEYS, sizeof(order[0]), by_key);
	is_int(t_register(c, "pods", fields, some), 0, "registered");
	t_fed(c, rev);
	r = t_open(c, &loop, "pods");
	for (int step = 0; step < 1500; step++) {
		uint32_t n = rnd(4) ? 1 + rnd(3) : 1 + rnd(400);
		uint32_t keep = step / 300 % 2 ? 70 : 25;	/* grow and shrink in turns */
		uint32_t h = rnd(N_HELD);

		core_cache_begin(c);
		while (n--) {
			int i = (int)rnd(N_KEYS);

			rev++;
			if (rnd(100) < keep) {
				wrong += core_cache_del(c, t_bytes(keys[i]), rev) != 0;
				now.v[i] = -1;
			} else {
				now.v[i] = (int)rnd(100000);
				now.rev[i] = rev;
				wrong += model_put(c, i, now.v[i], rev) != 0;
			}
		}
		wrong += core_cache_commit(c, rev) != 0;
		if (step % 250 == 100)	/* indexes come and go while snapshots are held */
			wrong += t_register(c, "pods", fields, step % 500 == 100 ? all : some) != 0;
		if (held[h]) {
			bad += check(held[h], &held_model[h]);
			checks++;
			core_cache_snapshot_close(held[h]);
			held[h] = NULL;
		} else {
			wrong += core_cache_snapshot_open(r, &held[h]) != 0;
			held_model[h] = now;
			wrong += core_cache_snapshot_rev(held[h]) != rev;
		}
		t_advance(&loop, loop.now + 1000000);
	}
	is_int(wrong, 0, "no call failed");
	is_int(bad, 0, "%d held snapshots are what they were", checks);
	for (int h = 0; h < N_HELD; h++) {
		if (held[h])
			bad += check(held[h], &held_model[h]);
		core_cache_snapshot_close(held[h]);
	}
	is_int(bad, 0, "so are those held to the end");
	t_advance(&loop, loop.now + 1000000000);
	core_cache_stats(c, look, NULL);
	is_int(generations, 1, "all old generations are reclaimed");
	core_cache_begin(c);
	for (int i = 0; i < N_KEYS; i++)
		(void)core_cache_del(c, t_bytes(keys[i]), rev + 1);
	is_int(core_cache_commit(c, rev + 1), 0, "all deleted");
	core_cache_stats(c, look, NULL);
	is_int(nodes_objects, 0, "nothing is left");
	core_cache_close(r);
	core_cache_free(c);
	test_exact();
	test_big();
	return done_testing();
}
