/*
 * storage.c - the contract of the class storage (abi/orlop/storage.h), against every implementation.
 *
 * Without arguments: against ours, as built. With arguments: MODULE.so [param=value …], for strangers'.
 * A model (an array of all versions) is told the same random transactions and must give the same
 * answers: ranges now and in the past, changes, compaction; also after closing and opening again
 * where the module keeps things.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>

#include <orlop/inline/error.h>

#include "base/ofile.h"
#include "base/otap.h"
#include "contract/storage_ask.h"

#define N_KEYS		24
#define STEPS		600

/* ---- the model ----------------------------------------------------------------------------------- */

struct mversion {
	uint64_t	rev;
	uint64_t	create;
	int		key;
	bool		deleted;
	char		value[32];
};

struct model {
	struct mversion	*v;
	size_t		n;
	uint64_t	rev;
	uint64_t	oldest;
};

static const struct mversion *model_at(const struct model *m, int key, uint64_t rev)
{
	const struct mversion *found = NULL;
	size_t i;

	for (i = 0; i < m->n; i++)
		if (m->v[i].key == key && m->v[i].rev <= rev)
			found = &m->v[i];
	return found && !found->deleted ? found : NULL;
}

static void key_name(int key, char *out)
{
	sprintf(out, "r%d/ns%d/k%02d", key % 3, key % 2, key);
}

/* Compare a full range at @rev with the model; the order of keys is checked too. */
static bool range_agrees(struct subject *s, const struct model *m, uint64_t rev)
{
	struct wait w = range(s, "a", "z", rev, 0);
	struct walk k = { w.items, w.items + w.len };
	struct orlop_storage_item it;
	char last[600] = "";
	char key[600];
	char value[256];
	char want[64];
	int n = 0;
	int i;
	bool good = w.status == 0 && w.rev == (rev ? rev : m->rev);

	while (good && item_next(&k, &it, key, value)) {
		const struct mversion *v = NULL;

		good = strcmp(last, key) < 0;
		strcpy(last, key);
		for (i = 0; i < N_KEYS && !v; i++) {
			key_name(i, want);
			if (!strcmp(want, key))
				v = model_at(m, i, rev ? rev : m->rev);
		}
		good &= v && v->rev == it.mod_rev && v->create == it.create_rev && !strcmp(v->value, value);
		n++;
	}
	for (i = 0; i < N_KEYS; i++)
		n -= model_at(m, i, rev ? rev : m->rev) != NULL;
	free(w.items);
	return good && !n;
}

/* Everything after @rev in pieces of about @limit bytes; each revision whole. */
static bool changes_agree(struct subject *s, const struct model *m, uint64_t rev, uint64_t limit)
{
	size_t at = 0;
	bool good = true;

	while (at < m->n && m->v[at].rev <= rev)
		at++;
	while (good && rev < m->rev) {
		struct wait w = changes(s, rev, limit, 0);
		struct walk k = { w.items, w.items + w.len };
		struct orlop_storage_item it;
		char key[600];
		char value[256];
		char want[64];

		good = w.status == 0 && w.rev > rev;
		while (good && item_next(&k, &it, key, value)) {
			const struct mversion *v = at < m->n ? &m->v[at++] : NULL;

			if (v)
				key_name(v->key, want);
			good = v && v->rev == it.mod_rev && !strcmp(want, key) &&
			       v->deleted == !!(it.flags & ORLOP_ITEM_DELETED) && it.mod_rev <= w.rev &&
			       (v->deleted || !strcmp(v->value, value));
		}
		/* the next entry belongs to a later revision than what this answer covers */
		if (good && at < m->n)
			good = m->v[at].rev > w.rev;
		rev = w.rev;
		free(w.items);
	}
	return good && at == m->n;
}

static bool model_step(struct subject *s, struct model *m, unsigned int *seed)
{
	struct orlop_msgw mw;
	struct wait w;
	struct mversion staged[4];
	int keys[4];
	int n = 1 + rand_r(seed) % 3;
	int n_staged = 0;
	bool holds = true;
	bool good;
	int cmp = rand_r(seed) % N_KEYS;
	char key[64];
	int i;
	int j;

	orlop_msgw_init(&mw, fakehost_host(s->fh));
	if (rand_r(seed) % 2) {
		const struct mversion *v = model_at(m, cmp, m->rev);
		uint64_t claim = rand_r(seed) % 4 ? (v ? v->rev : 0) : (uint64_t)(rand_r(seed) % 50);

		key_name(cmp, key);
		compare_put(&mw, key, claim);
		holds = claim == (v ? v->rev : 0);
	}
	if (rand_r(seed) % 5 == 0)
		orlop_msgw_u64(&mw, ORLOP_STORAGE_T_FLAGS, ORLOP_TXN_LAZY);
	for (i = 0; i < n; i++) {
		const struct mversion *v;
		bool del = rand_r(seed) % 3 == 0;
		struct mversion *st = &staged[n_staged];

		keys[i] = rand_r(seed) % N_KEYS;
		for (j = 0; j < i && keys[j] != keys[i]; j++)
			;
		if (j < i)
			continue;
		key_name(keys[i], key);
		v = model_at(m, keys[i], m->rev);
		memset(st, 0, sizeof(*st));
		snprintf(st->value, sizeof(st->value), "v%d", rand_r(seed) % 100000);
		op_put(&mw, key, del ? NULL : st->value);
		if (del && !v)
			continue;
		st->key = keys[i];
		st->deleted = del;
		st->rev = m->rev + 1;
		st->create = del ? 0 : v ? v->create : st->rev;
		if (del)
			st->value[0] = '\0';
		n_staged++;
	}
	w = ask(s, ORLOP_STORAGE_TXN, &mw);
	good = w.status == 0 && w.ok == holds;
	if (holds && n_staged) {
		m->v = realloc(m->v, (m->n + (size_t)n_staged) * sizeof(*m->v));
		memcpy(m->v + m->n, staged, (size_t)n_staged * sizeof(*m->v));
		m->n += (size_t)n_staged;
		m->rev++;
	}
	good &= w.rev == m->rev;
	free(w.items);
	return good;
}

/* Lazy writes become visible within 100 ms: a durable one brings them along. */
static void settle(struct subject *s, struct model *m)
{
	struct wait w = put(s, "zz-settle", "x");

	m->rev++;
	if (w.rev != m->rev)
		diag("settle: revision %llu, model %llu", (unsigned long long)w.rev,
		     (unsigned long long)m->rev);
	free(w.items);
	w = put(s, "zz-settle", NULL);
	m->rev++;
	free(w.items);
}

static void test_model(struct subject *s)
{
	struct model m = { 0 };
	unsigned int seed = 4711;
	struct wait w = range(s, "a", "z", 0, 0);
	uint64_t mid;
	bool good = true;
	int i;

	m.rev = w.rev;
	m.oldest = w.oldest;
	free(w.items);
	for (i = 0; i < STEPS && good; i++) {
		good = model_step(s, &m, &seed);
		if (good && i % 100 == 99) {
			settle(s, &m);
			good = range_agrees(s, &m, 0);
		}
	}
	ok(good, "%s: %d random transactions answered as the model (%d)", s->title, STEPS, i);
	ok(range_agrees(s, &m, m.rev / 2), "%s: the past at revision %llu", s->title,
	   (unsigned long long)(m.rev / 2));
	ok(range_agrees(s, &m, m.rev - 7), "%s: the past a little back", s->title);
	/* zz-settle is not in the model's journal: compare from behind the last settle only */
	mid = m.rev;
	for (i = 0; i < 60 && good; i++)
		good = model_step(s, &m, &seed);
	w = changes(s, mid, 0, 0);
	is_int(w.rev, m.rev, "%s: changes are complete up to now", s->title);
	free(w.items);
	good = true;
	{
		struct model tail = m;
		size_t from = 0;

		while (from < m.n && m.v[from].rev <= mid)
			from++;
		tail.v += from;
		tail.n -= from;
		ok(changes_agree(s, &tail, mid, 1), "%s: changes one revision at a time", s->title);
		ok(changes_agree(s, &tail, mid, 300), "%s: changes in small pieces", s->title);
	}
	w = range(s, "a", "z", m.rev + 1, 0);
	is_int(w.status, -EOVERFLOW, "%s: the future cannot be read", s->title);
	free(w.items);
	free(m.v);
}

static void test_basics(struct subject *s)
{
	struct orlop_msgw mw;
	struct wait w;
	struct wait w2;
	char big[600];
	uint64_t rev;

	w = put(s, "b/x/1", "one");
	is_int(w.status, 0, "%s: a put", s->title);
	is_int(w.ok, 1, "%s: is applied", s->title);
	rev = w.rev;
	ok(rev > 1, "%s: revisions begin above 1", s->title);
	w = put(s, "b/x/nothing", NULL);
	is_int(w.rev, rev, "%s: deleting nothing takes no revision", s->title);
	orlop_msgw_init(&mw, fakehost_host(s->fh));
	compare_put(&mw, "b/x/1", 0);
	op_put(&mw, "b/x/1", "two");
	w = ask(s, ORLOP_STORAGE_TXN, &mw);
	is_int(w.ok, 0, "%s: create of what exists fails", s->title);
	is_int(w.failed, 0, "%s: names the compare", s->title);
	ok(w.len >= sizeof(struct orlop_storage_item), "%s: and shows what is there", s->title);
	free(w.items);
	w = put(s, "", "x");
	is_int(w.status, -EINVAL, "%s: an empty key is refused", s->title);
	memset(big, 'k', sizeof(big));
	big[ORLOP_STORAGE_KEY_MAX + 1] = '\0';
	w = put(s, big, "x");
	is_int(w.status, -EINVAL, "%s: a key too long is refused", s->title);
	big[ORLOP_STORAGE_KEY_MAX] = '\0';
	w = put(s, big, "x");
	is_int(w.status, 0, "%s: the longest key is not", s->title);
	orlop_msgw_init(&mw, fakehost_host(s->fh));
	op_put(&mw, "b/same", "1");
	op_put(&mw, "b/same", "2");
	w = ask(s, ORLOP_STORAGE_TXN, &mw);
	is_int(w.status, -EINVAL, "%s: a key twice is refused", s->title);
	put(s, "b/x/2", "");
	w = range(s, "b/x/", "b/x0", 0, 0);
	is_int(w.more, 0, "%s: a range is whole", s->title);
	free(w.items);
	w = range(s, "b/x/", "b/x0", 0, 1);
	is_int(w.more, 1, "%s: a limited one says that there is more", s->title);
	free(w.items);
	/* a waiting changes call is answered by the next write, or empty when its time is over */
	w = range(s, "b/x/1", NULL, 0, 0);
	rev = w.rev;
	free(w.items);
	orlop_msgw_init(&mw, fakehost_host(s->fh));
	orlop_msgw_u64(&mw, ORLOP_STORAGE_T_REV, rev);
	orlop_msgw_u64(&mw, ORLOP_STORAGE_T_WAIT_NS, 15 * FAKEHOST_S);
	ask_start(s, &w2, ORLOP_STORAGE_CHANGES, &mw);
	fakehost_run(s->fh);
	ok(!w2.done, "%s: changes waits while there are none", s->title);
	w = put(s, "b/wake", "up");
	ask_end(s, &w2);
	is_int(w2.rev, w.rev, "%s: and is woken by a write", s->title);
	free(w2.items);
	w2 = changes(s, w.rev, 0, 50 * FAKEHOST_MS);
	is_int(w2.status, 0, "%s: it ends without one too", s->title);
	is_int(w2.rev, w.rev, "%s: at the same revision", s->title);
	is_int(w2.len, 0, "%s: empty", s->title);
	free(w2.items);
}

static void test_compact(struct subject *s)
{
	struct orlop_msgw mw;
	struct wait w;
	uint64_t old = put(s, "c/a", "1").rev;
	uint64_t now;

	put(s, "c/a", "2");
	put(s, "c/b", "1");
	put(s, "c/b", NULL);
	now = put(s, "c/c", "1").rev;
	orlop_msgw_init(&mw, fakehost_host(s->fh));
	orlop_msgw_u64(&mw, ORLOP_STORAGE_T_REV, now);
	w = ask(s, ORLOP_STORAGE_COMPACT, &mw);
	is_int(w.status, 0, "%s: compact", s->title);
	w = range(s, "c/", "c0", old, 0);
	is_int(w.status, -ESTALE, "%s: the past before is gone", s->title);
	w = changes(s, old, 0, 0);
	is_int(w.status, -ESTALE, "%s: for changes too", s->title);
	w = range(s, "c/", "c0", now, 0);
	is_int(w.status, 0, "%s: the compacted revision itself stays readable", s->title);
	is_int(w.len > 0, 1, "%s: with its keys", s->title);
	free(w.items);
	w = put(s, "c/a", "3");
	is_int(w.ok, 1, "%s: writing goes on", s->title);
	w = changes(s, now, 0, 0);
	is_int(w.rev > now, 1, "%s: and is seen", s->title);
	free(w.items);
}

static void test_reopen(struct subject *s)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	uint64_t rev = put(s, "d/kept", "yes").rev;
	struct wait w;

	is_int(fakehost_unload(s->fh, s->m, &err), 0, "%s: closes", s->title);
	is_int(fakehost_load_as(s->fh, s->mod, NULL, &s->m, &err), 0, "%s: opens again (%s)", s->title,
	       err.msg);
	w = range(s, "d/kept", NULL, 0, 0);
	is_int(w.rev, rev, "%s: at the same revision", s->title);
	ok(w.len > 0, "%s: with what was written", s->title);
	free(w.items);
	fakehost_crash(s->fh, s->m);
	is_int(fakehost_load_as(s->fh, s->mod, NULL, &s->m, &err), 0, "%s: opens after a crash (%s)",
	       s->title, err.msg);
	w = range(s, "d/kept", NULL, 0, 0);
	ok(w.status == 0 && w.rev >= rev && w.len > 0, "%s: nothing lost", s->title);
	free(w.items);
	w = put(s, "d/next", "1");
	ok(w.rev > rev, "%s: and revisions go on", s->title);
}

static void subject_run(const char *so, const char *title, bool durable, char *const *params)
{
	struct subject s = { .title = title, .durable = durable };
	struct orlop_error err = ORLOP_ERROR_INIT;
	void *dl = dlopen(so, RTLD_NOW | RTLD_LOCAL);
	int i;

	if (!dl) {
		fail("%s: %s", title, dlerror());
		return;
	}
	s.mod = dlsym(dl, "orlop_module");
	s.fh = fakehost_new();
	fakehost_real_clock(s.fh);
	for (i = 0; params && params[i]; i++) {
		char name[64];
		const char *eq = strchr(params[i], '=');

		snprintf(name, sizeof(name), "%.*s", (int)(eq - params[i]), params[i]);
		fakehost_param(s.fh, name, eq + 1);
	}
	is_int(fakehost_load_as(s.fh, s.mod, NULL, &s.m, &err), 0, "%s: loads (%s)", title, err.msg);
	if (!err.err) {
		test_model(&s);
		test_basics(&s);
		test_compact(&s);
		if (durable)
			test_reopen(&s);
		is_int(fakehost_unload(s.fh, s.m, &err), 0, "%s: unloads", title);
		is_int(fakehost_held(s.fh), 0, "%s: and leaves nothing held", title);
	}
	fakehost_free(s.fh);
}

int main(int argc, char **argv)
{
	const char *builddir = getenv("builddir");
	char dir[] = "/tmp/orlop-storage-XXXXXX";
	char so[4096];
	char path[128];
	char *params[] = { path, NULL };

	if (argc > 1) {
		subject_run(argv[1], argv[1], false, argv + 2);
		return done_testing();
	}
	if (!builddir)
		builddir = ".";
	snprintf(so, sizeof(so), "%s/modules/storage/memory.so", builddir);
	subject_run(so, "memory", false, NULL);
	if (!mkdtemp(dir))
		return 2;
	snprintf(path, sizeof(path), "path=%s/db", dir);
	snprintf(so, sizeof(so), "%s/modules/storage/lmdb.so", builddir);
	if (access(so, F_OK))
		otap_skip("lmdb is not built", 1);
	else
		subject_run(so, "lmdb", true, params);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
