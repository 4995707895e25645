/* test/feed_chance.c - a cache out of another one: by chance, each change once and in order. */
#include "feed_pipe.h"

static uint64_t rnd_state;

static unsigned rnd(unsigned n)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (unsigned)(rnd_state >> 20) % n;
}

struct watcher {
	struct orlop_resource *r;
	uint64_t	cursor;
	char		*said;
	size_t		len;
	bool		stale;
};

static void watch(struct watcher *w, const char *ns)
{
	struct orlop_change v[8];
	int32_t n;

	if (!rev_of(w->r))
		return;
	while ((n = core_cache_journal_read(w->r, &w->cursor, v, 8)) > 0)
		for (int32_t i = 0; i < n; i++) {
			const struct orlop_object *o = v[i].object;

			if (!ns || (o->ns.len == 1 && o->ns.p[0] == ns[0]))
				w->len += (size_t)sprintf(w->said + w->len, "%c%.*s@%llu:%u ", " +=-"[v[i].type], (int)o->name.len,
							  o->name.p, (unsigned long long)v[i].rev, (unsigned)o->json.len);
			core_cache_object_unref(v[i].object);
			core_cache_object_unref(v[i].prev);
		}
	if (n < 0 && n != -EAGAIN)
		w->stale = true;
}

/* Two watchers, one at each cache, from the same revision on: they are told the same. */
static bool chance(uint64_t seed)
{
	const char *ns = seed % 3 == 0 ? "e" : NULL;
	struct watcher wa = { .said = malloc(1 << 20) }, wb = { .said = malloc(1 << 20) };
	uint64_t rev = 10;
	bool good;

	rnd_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	begin(ns ? "pods;namespace=e,nodes" : "*");
	t_fed(P.a, rev);
	wa.r = t_open(P.a, &P.la, "pods");
	wb.r = t_open(P.b, &P.lb, "pods");
	wa.cursor = wb.cursor = rev;
	wa.said[0] = wb.said[0] = '\0';
	for (int i = 0; i < 400; i++) {
		char key[32];

		switch (rnd(8)) {
		case 0:
		case 1:
		case 2:
			core_cache_begin(P.a);
			rev++;
			for (unsigned k = 0; k <= rnd(4); k++) {
				snprintf(key, sizeof(key), rnd(5) ? "pods/%c/p%u" : "nodes/%c/n%u", "de"[rnd(2)], rnd(9));
				if (rnd(4))
					(void)t_put(P.a, key, (int)rnd(100000), rev);
				else
					(void)core_cache_del(P.a, t_bytes(key), rev);
			}
			(void)core_cache_commit(P.a, rev + (rnd(3) ? 0 : rnd(3)));
			rev = core_cache_applied(P.a);
			break;
		case 3:
			core_feed_out_go(P.out);
			break;
		case 4:
			(void)deliver(1);
			break;
		case 5:
			(void)acked();
			break;
		case 6:
			watch(&wa, ns);
			watch(&wb, NULL);
			break;
		default:
			if (rnd(3))
				(void)asked();
			if (rnd(20) == 0) {
				/* Its process dies; who read there goes on with the cursor he has. */
				pipe_end();
				core_cache_close(wb.r);
				(void)t_run(&P.lb);
				core_cache_free(P.b);
				P.b = t_cache(&P.lb, 0);
				t_register(P.b, "pods", fields, NULL);
				wb.r = t_open(P.b, &P.lb, "pods");
				out_begin(ns ? "pods;namespace=e,nodes" : "*");
				in_begin();
			}
		}
		if (rev_of(wb.r) > rev_of(wa.r))
			P.broken++;
	}
	watch(&wa, ns);
	for (int i = 0; i < 3; i++) {
		settle();
		watch(&wb, NULL);
	}
	good = !P.broken && !wa.stale && !wb.stale && strcmp(wa.said, wb.said) == 0 && rev_of(wb.r) == rev;
	if (!good)
		diag("seed %llu broken=%d stale=%d,%d rev=%llu of %llu\n%s\n%s", (unsigned long long)seed, P.broken, wa.stale,
		     wb.stale, (unsigned long long)rev_of(wb.r), (unsigned long long)rev, wa.said, wb.said);
	core_cache_close(wa.r);
	core_cache_close(wb.r);
	free(wa.said);
	free(wb.said);
	end();
	return good;
}

static void test_chance(void)
{
	uint64_t n = getenv("SEEDS") ? strtoull(getenv("SEEDS"), NULL, 10) : 300;
	uint64_t bad = 0;

	for (uint64_t i = 1; i <= n && !bad; i++)
		bad = chance(i) ? 0 : i;
	is_int((int)bad, 0, "%llu histories: every change once and in order, the revision at the end", (unsigned long long)n);
}

int main(void)
{
	test_chance();
	return done_testing();
}
