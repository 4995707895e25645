/*
 * storage_load.c - the contract of the class storage when much happens at once, values are big, the
 * space ends, and a store is copied while it is written.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ofile.h"
#include "base/otap.h"
#include "contract/storage_ask.h"

#define CLIENTS		64
#define KEYS		3000

static bool subject_open(struct subject *s, const char *path, const char *map_mb,
			 struct orlop_error *err)
{
	s->fh = fakehost_new();
	fakehost_real_clock(s->fh);
	if (path)
		fakehost_param(s->fh, "path", path);
	if (map_mb)
		fakehost_param(s->fh, "map_mb", map_mb);
	return fakehost_load_as(s->fh, s->mod, NULL, &s->m, err) == 0;
}

static void subject_close(struct subject *s)
{
	fakehost_free(s->fh);
	s->fh = NULL;
}

static void op_put_bytes(struct orlop_msgw *w, const char *key, const void *p, size_t len)
{
	uint32_t at = orlop_msgw_begin(w, ORLOP_STORAGE_T_OP);

	orlop_msgw_str(w, ORLOP_STORAGE_T_KEY, key);
	orlop_msgw_bytes(w, ORLOP_STORAGE_T_VALUE, p, len);
	orlop_msgw_end(w, at);
}

static struct wait put_bytes(struct subject *s, const char *key, const void *p, size_t len)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, fakehost_host(s->fh));
	op_put_bytes(&w, key, p, len);
	return ask(s, ORLOP_STORAGE_TXN, &w);
}

static void put_start(struct subject *s, struct wait *w, const char *key, const char *value)
{
	struct orlop_msgw mw;

	orlop_msgw_init(&mw, fakehost_host(s->fh));
	op_put(&mw, key, value);
	ask_start(s, w, ORLOP_STORAGE_TXN, &mw);
}

/* Answered at once, visible with the next commit, which is not later than 100 ms. Returns when, in ns from the first on. */
static uint64_t lazy_once(struct subject *s)
{
	uint64_t from = put(s, "l/base", "1").rev;
	uint64_t last = 0;
	uint64_t t0 = fakehost_now(s->fh);
	struct orlop_msgw mw;
	struct wait w;
	int i;
	bool rising = true;

	for (i = 0; i < 10; i++) {
		char key[16];

		snprintf(key, sizeof(key), "l/%d", i);
		orlop_msgw_init(&mw, fakehost_host(s->fh));
		op_put(&mw, key, "lazy");
		orlop_msgw_u64(&mw, ORLOP_STORAGE_T_FLAGS, ORLOP_TXN_LAZY);
		w = ask(s, ORLOP_STORAGE_TXN, &mw);
		rising &= w.ok == 1 && w.rev == from + 1 + (uint64_t)i;
		last = w.rev;
	}
	ok(rising, "%s: lazy writes are numbered in order", s->title);
	while (from < last) {
		w = changes(s, from, 0, 15 * FAKEHOST_S);
		free(w.items);
		if (w.status || w.rev == from)
			break;
		from = w.rev;
	}
	is_int(from, last, "%s: they become visible", s->title);
	return fakehost_now(s->fh) - t0;
}

/* The promise is 100 ms and a sync; a machine that stands still meanwhile has not broken it. */
static void test_lazy(struct subject *s)
{
	uint64_t end = fakehost_now(s->fh) + 20 * FAKEHOST_S;
	uint64_t took;

	do
		took = lazy_once(s);
	while (took >= 400 * FAKEHOST_MS && fakehost_now(s->fh) < end);
	ok(took < 400 * FAKEHOST_MS, "%s: soon (%llu ms)", s->title,
	   (unsigned long long)(took / FAKEHOST_MS));
}

/* Many compare with the same revision: one wins, and the others are shown by whom they lost. */
static void test_race(struct subject *s)
{
	struct wait all[CLIENTS];
	bool one = true;
	bool shown = true;
	int round;
	int i;

	for (round = 0; round < 20; round++) {
		uint64_t rev = put(s, "race/key", "start").rev;
		uint64_t won = 0;
		int winners = 0;

		for (i = 0; i < CLIENTS; i++) {
			struct orlop_msgw mw;
			char value[16];

			snprintf(value, sizeof(value), "%d", i);
			orlop_msgw_init(&mw, fakehost_host(s->fh));
			compare_put(&mw, "race/key", rev);
			op_put(&mw, "race/key", value);
			ask_start(s, &all[i], ORLOP_STORAGE_TXN, &mw);
		}
		for (i = 0; i < CLIENTS; i++) {
			ask_end(s, &all[i]);
			winners += all[i].ok == 1;
			if (all[i].ok == 1)
				won = all[i].rev;
		}
		one &= winners == 1;
		for (i = 0; i < CLIENTS; i++) {
			struct orlop_storage_item it = { 0 };

			if (all[i].len >= sizeof(it))
				memcpy(&it, all[i].items, sizeof(it));
			if (all[i].ok == 0)
				shown &= it.mod_rev == won && all[i].rev >= won;
			free(all[i].items);
		}
	}
	ok(one, "%s: of %d who compare with one revision one wins", s->title, CLIENTS);
	ok(shown, "%s: the others are shown what won", s->title);
}

/* A list in pages at the revision of its first, while writes go on: the same as without them. */
static void test_paging(struct subject *s)
{
	struct wait writers[CLIENTS];
	struct wait w;
	char key[64];
	char value[256];
	char start[64] = "p/";
	uint64_t rev = 0;
	bool good = true;
	bool more = true;
	int n = 0;
	int pages = 0;
	int i;

	for (i = 0; i < KEYS; i += CLIENTS) {
		int j;

		for (j = 0; j < CLIENTS; j++) {
			snprintf(key, sizeof(key), "p/%05d", i + j);
			put_start(s, &writers[j], key, "old");
		}
		for (j = 0; j < CLIENTS; j++)
			ask_end(s, &writers[j]);
	}
	while (more && good) {
		struct orlop_storage_item it;
		struct walk k;

		for (i = 0; i < 8; i++) {
			snprintf(key, sizeof(key), "p/%05d", (pages * 97 + i * 311) % KEYS);
			put_start(s, &writers[i], key, i == 7 ? NULL : "new");
		}
		w = range(s, start, "p0", rev, 250);
		good = w.status == 0 && (!rev || w.rev == rev);
		rev = w.rev;
		more = w.more == 1;
		k.p = w.items;
		k.end = w.items + w.len;
		while (good && item_next(&k, &it, key, value)) {
			good = it.mod_rev <= rev && strcmp(key, start) >= 0;
			snprintf(start, sizeof(start), "%.40s", key);
			/* the first page may come before or after the first writes */
			n += pages > 0 || strcmp(value, "old") == 0;
			good &= pages == 0 || strcmp(value, "old") == 0 || it.mod_rev <= rev;
		}
		strcat(start, "!");	/* next key: behind the last */
		free(w.items);
		for (i = 0; i < 8; i++)
			ask_end(s, &writers[i]);
		pages++;
	}
	ok(good, "%s: %d pages at revision %llu while writing", s->title, pages,
	   (unsigned long long)rev);
	ok(n >= KEYS - 8 && n <= KEYS + CLIENTS, "%s: all keys once (%d)", s->title, n);
}

static void test_big(struct subject *s)
{
	char *big = malloc(ORLOP_STORAGE_VALUE_MAX + 1);
	struct orlop_storage_item it = { 0 };
	struct wait w;
	int pages = 0;
	int n = 0;
	char start[32] = "v/";
	char key[600];
	char value[256];

	memset(big, 'v', ORLOP_STORAGE_VALUE_MAX + 1);
	w = put_bytes(s, "v/1", big, ORLOP_STORAGE_VALUE_MAX + 1);
	is_int(w.status, -E2BIG, "%s: a value too big is refused", s->title);
	w = put_bytes(s, "v/1", big, ORLOP_STORAGE_VALUE_MAX);
	is_int(w.status, 0, "%s: the biggest is not (%s)", s->title, w.why);
	put_bytes(s, "v/2", big, ORLOP_STORAGE_VALUE_MAX / 2);
	put_bytes(s, "v/3", big, 10000);
	for (;;) {
		struct walk k;

		w = range(s, start, "v0", 0, 0);
		k.p = w.items;
		k.end = w.items + w.len;
		pages++;
		while (w.status == 0 && item_next(&k, &it, key, value)) {
			n++;
			snprintf(start, sizeof(start), "%.10s!", key);
		}
		if (n == 1 && pages == 1 && w.len)
			ok(it.value_len == ORLOP_STORAGE_VALUE_MAX &&
			   !memcmp(w.items + sizeof(it) + it.key_len, big, it.value_len),
			   "%s: it is read back", s->title);
		free(w.items);
		if (!w.more || w.status)
			break;
	}
	ok(n == 3 && pages > 1, "%s: an answer does not grow without bound (%d keys in %d)", s->title,
	   n, pages);
	put(s, "v/1", NULL);
	put(s, "v/2", NULL);
	free(big);
}

static struct wait fd_ask(struct subject *s, uint32_t op, const char *path, int flags)
{
	struct orlop_msgw mw;
	int fd = open(path, flags | O_CLOEXEC, 0600);

	orlop_msgw_init(&mw, fakehost_host(s->fh));
	orlop_msgw_fd(&mw, fd);
	return ask(s, op, &mw);
}

/* A copy made while writes go on is one state; restored it goes on above both histories. */
static void test_snapshot(struct subject *s, const char *dir)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct subject t = { .title = s->title, .mod = s->mod };
	struct wait writers[CLIENTS];
	struct orlop_msgw mw;
	struct wait snap;
	struct wait a;
	struct wait b;
	char file[300];
	char path[300];
	char key[64];
	uint64_t rev;
	uint64_t end;
	int fd;
	int i;

	snprintf(file, sizeof(file), "%s/copy", dir);
	snprintf(path, sizeof(path), "%s/second/db", dir);
	fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	orlop_msgw_init(&mw, fakehost_host(s->fh));
	orlop_msgw_fd(&mw, fd);
	ask_start(s, &snap, ORLOP_STORAGE_SNAPSHOT, &mw);
	for (i = 0; i < CLIENTS; i++) {
		snprintf(key, sizeof(key), "s/%d", i);
		put_start(s, &writers[i], key, "while copying");
	}
	for (i = 0; i < CLIENTS; i++)
		ask_end(s, &writers[i]);
	ask_end(s, &snap);
	is_int(snap.status, 0, "%s: snapshot while writing (%s)", s->title, snap.why);
	ok(snap.rev > 1, "%s: says from which revision", s->title);
	ok(subject_open(&t, path, NULL, &err), "%s: a second store (%s)", s->title, err.msg);
	b = put(&t, "x", "1");
	a = fd_ask(&t, ORLOP_STORAGE_RESTORE, file, O_RDONLY);
	is_int(a.status, -ENOTEMPTY, "%s: restoring over data is refused (%s)", s->title, a.why);
	put(&t, "x", NULL);
	rev = range(&t, "x", NULL, 0, 0).rev;
	orlop_msgw_init(&mw, fakehost_host(t.fh));
	orlop_msgw_u64(&mw, ORLOP_STORAGE_T_REV, rev);
	ask(&t, ORLOP_STORAGE_COMPACT, &mw);
	a = fd_ask(&t, ORLOP_STORAGE_RESTORE, "/proc/self/exe", O_RDONLY);
	if (a.status == -ENOTEMPTY) {	/* compaction had not come that far */
		put(&t, "y", "1");
		put(&t, "y", NULL);
		rev = range(&t, "x", NULL, 0, 0).rev;
		orlop_msgw_init(&mw, fakehost_host(t.fh));
		orlop_msgw_u64(&mw, ORLOP_STORAGE_T_REV, rev);
		ask(&t, ORLOP_STORAGE_COMPACT, &mw);
		end = fakehost_now(t.fh) + 20 * FAKEHOST_S;
		while (a.status == -ENOTEMPTY && fakehost_now(t.fh) < end) {
			changes(&t, rev, 0, 10 * FAKEHOST_MS);
			a = fd_ask(&t, ORLOP_STORAGE_RESTORE, "/proc/self/exe", O_RDONLY);
		}
	}
	is_int(a.status, -EINVAL, "%s: restoring rubbish is refused (%s)", s->title, a.why);
	a = fd_ask(&t, ORLOP_STORAGE_RESTORE, file, O_RDONLY);
	is_int(a.status, 0, "%s: restore (%s)", s->title, a.why);
	ok(a.rev > rev && a.rev > snap.rev, "%s: goes on above both (%llu)", s->title,
	   (unsigned long long)a.rev);
	b = changes(&t, rev, 0, 0);
	is_int(b.status, -ESTALE, "%s: cursors of before are void", s->title);
	a = range(s, "p/", "p0", 0, 0);
	b = range(&t, "p/", "p0", 0, 0);
	ok(a.len > 1000 && a.len == b.len && !memcmp(a.items, b.items, a.len),
	   "%s: the keys are those of the first", s->title);
	free(a.items);
	free(b.items);
	a = put(&t, "s/after", "1");
	ok(a.status == 0 && a.rev > rev, "%s: and writing goes on", s->title);
	subject_close(&t);
}

/* Space ends: puts are refused with the reason; reads and deletes go on, then puts again. */
static void test_full(const struct subject *of, const char *dir)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct subject s = { .title = of->title, .mod = of->mod };
	struct wait writers[CLIENTS];
	char *value = malloc(100001);
	char path[256];
	char key[64];
	struct wait w;
	uint64_t held = 0;
	uint64_t end;
	bool named = true;
	int refused = 0;
	int done = 0;
	int round;
	int i;

	snprintf(path, sizeof(path), "%s/full/db", dir);
	memset(value, 'f', 100000);
	value[100000] = '\0';
	ok(subject_open(&s, path, "4", &err), "%s: a small store (%s)", s.title, err.msg);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < CLIENTS; i++) {
			snprintf(key, sizeof(key), "f/%d-%d", round, i);
			put_start(&s, &writers[i], key, value);
		}
		for (i = 0; i < CLIENTS; i++) {
			ask_end(&s, &writers[i]);
			done += writers[i].status == 0;
			refused += writers[i].status == -ENOSPC;
			if (writers[i].status)
				named &= strstr(writers[i].why, path) && strstr(writers[i].why, "full");
			else
				held = writers[i].rev;
		}
	}
	is_int(done + refused, 3 * CLIENTS, "%s: each is written or refused", s.title);
	ok(done > 20 && refused > 20, "%s: %d written, %d refused", s.title, done, refused);
	ok(named, "%s: with the file and the reason (%s)", s.title, writers[CLIENTS - 1].why);
	for (i = 0; i < 2; i++) {
		w = range(&s, "f/", "f0", 0, 0);
		is_int(w.status, 0, "%s: reading goes on", s.title);
		free(w.items);
	}
	for (round = 0; round < 3; round++)
		for (i = 0; i < CLIENTS; i++) {
			snprintf(key, sizeof(key), "f/%d-%d", round, i);
			w = put(&s, key, NULL);
			if (w.status)
				break;
		}
	is_int(w.status, 0, "%s: deleting goes on (%s)", s.title, w.why);
	ok(w.rev > held, "%s: with revisions of its own", s.title);
	/* what was deleted is history first; a refused write makes it go */
	for (end = fakehost_now(s.fh) + 20 * FAKEHOST_S; fakehost_now(s.fh) < end;) {
		w = put(&s, "f/again", value);
		if (!w.status)
			break;
		free(changes(&s, range(&s, "f/again", NULL, 0, 0).rev, 0, 20 * FAKEHOST_MS).items);
	}
	is_int(w.status, 0, "%s: then there is room again (%s)", s.title, w.why);
	subject_close(&s);
	free(value);
}

static void subject_run(struct subject *s, const char *so, const char *dir)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	void *dl = dlopen(so, RTLD_NOW | RTLD_LOCAL);
	char path[256];

	if (!dl) {
		fail("%s: %s", s->title, dlerror());
		return;
	}
	s->mod = dlsym(dl, "orlop_module");
	snprintf(path, sizeof(path), "%s/first/db", dir);
	if (!ok(subject_open(s, s->durable ? path : NULL, NULL, &err), "%s: opens (%s)", s->title,
		err.msg)) {
		subject_close(s);
		return;
	}
	test_lazy(s);
	test_race(s);
	test_paging(s);
	test_big(s);
	if (s->durable) {
		test_snapshot(s, dir);
		test_full(s, dir);
	}
	is_int(fakehost_unload(s->fh, s->m, &err), 0, "%s: unloads", s->title);
	is_int(fakehost_held(s->fh), 0, "%s: and leaves nothing held", s->title);
	subject_close(s);
}

int main(void)
{
	const char *builddir = getenv("builddir");
	struct subject memory = { .title = "memory" };
	struct subject lmdb = { .title = "lmdb", .durable = true };
	char dir[] = "/tmp/orlop-storage-XXXXXX";
	char so[4096];

	if (!builddir)
		builddir = ".";
	if (!mkdtemp(dir))
		return 2;
	snprintf(so, sizeof(so), "%s/modules/storage/memory.so", builddir);
	subject_run(&memory, so, dir);
	snprintf(so, sizeof(so), "%s/modules/storage/lmdb.so", builddir);
	if (access(so, F_OK))
		otap_skip("lmdb is not built", 1);
	else
		subject_run(&lmdb, so, dir);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
