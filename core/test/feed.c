/* test/feed.c - the feed members of the host table: rights, what is wanted, what others then read. */
#include <orlop/cache.h>
#include <orlop/record.h>

#include "cache/cache.h"
#include "kit.h"

static struct core *c;
static const struct orlop_host *h;

/* The wants as "things/a things/b", and how often it was said that they changed. */
static char wanted[256];
static int n_changed;

static void want_seen(void *arg, const struct orlop_feed_want *w)
{
	size_t at = strlen(wanted);

	(void)arg;
	(void)snprintf(wanted + at, sizeof(wanted) - at, "%s%s/%s", at ? " " : "", w->resource, w->ns ? w->ns : "*");
}

static const char *wants(void)
{
	wanted[0] = '\0';
	h->feed_want_list(h, want_seen, NULL);
	return wanted;
}

static void changed(void *arg)
{
	(void)arg;
	n_changed++;
}

static int feed_put(struct orlop_feed *f, const char *name, uint64_t rev)
{
	char buf[256];
	int n = snprintf(buf + sizeof(struct orlop_record), sizeof(buf) - sizeof(struct orlop_record),
			 "\"metadata\":{\"name\":\"%s\"}", name);
	struct orlop_record rec = {
		.magic = ORLOP_RECORD_MAGIC, .header_len = sizeof(rec), .format = 1, .rv_off = 12,
		.json_len = (uint32_t)n,
	};

	memcpy(buf, &rec, sizeof(rec));
	return h->feed_put(f, (struct orlop_bytes){ "a", 1 }, (struct orlop_bytes){ name, strlen(name) },
			   (struct orlop_bytes){ buf, sizeof(rec) + (size_t)n }, rev);
}

static void test_rights(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_feed *f;

	is_int(h->feed_open(h, "things", &f, &err), -EACCES, "who does not say provides=feed may not feed");
	diag("%s", err.msg);
	h->feed_close(NULL);
}

static void test_wants(void)
{
	struct kit_load l;
	int before;

	is_int(h->feed_wants(h, changed, NULL), 0, "to be told what is wanted");
	ok(kit_until(c->main, n_changed == 1), "is told once at first");
	is_str(wants(), "", "nothing");
	is_int(kit_load_as(c, "reader", "r1", "ns", "a", &l), 0, "a module that reads");
	ok(kit_until(c->main, n_changed == 2), "is told");
	is_str(wants(), "things/a", "its slice, with the parameter's value");
	is_int(kit_load_as(c, "reader", "r2", "ns", "a", &l), 0, "another one of the same");
	is_int(kit_load_as(c, "reader", "r3", "ns", "b", &l), 0, "and one of another slice");
	ok(kit_until(c->main, n_changed == 3), "is told only of what is new");
	is_str(wants(), "things/a things/b", "two slices");
	is_int(kit_load_as(c, "reader", "r4", NULL, NULL, &l), 0, "one that reads all");
	ok(kit_until(c->main, n_changed == 4), "is told");
	is_str(wants(), "things/*", "which contains the others");
	is_int(kit_unload(c, "r4", &l), 0, "it goes");
	ok(kit_until(c->main, n_changed == 5), "is told");
	is_str(wants(), "things/a things/b", "two again");
	is_int(h->feed_wants(h, NULL, NULL), 0, "no more of that");
	before = n_changed;
	is_int(kit_unload(c, "r1", &l) + kit_unload(c, "r2", &l) + kit_unload(c, "r3", &l), 0, "all go");
	is_int(n_changed, before, "nobody is told");
}

static void test_feed(void)
{
	struct orlop_resource_info info = {
		.size = sizeof(info), .name = "things", .plural = "things", .version = "v1", .kind = "Thing",
	};
	struct orlop_error err = ORLOP_ERROR_INIT;
	char *provides[] = { (char *)(uintptr_t)"feed", NULL };
	struct orlop_resource *res;
	struct orlop_feed *f, *g;
	struct orlop_snapshot *s = NULL;
	int32_t synced = 0;

	c->self->provides = provides;
	is_int(h->feed_open(h, "things", &f, &err), 0, "who says so may %s", err.msg);
	is_int(h->feed_open(h, "things", &g, &err), -EBUSY, "but not twice");
	is_int(core_owner_count(&c->self->shards[0].held, CORE_HELD_FEED), 1, "it is counted");
	(void)core_cache_register(c->cache, &info, NULL);
	is_int(core_cache_open(c->cache, "things", c->main, "test", &res, NULL), 0, "a reader");
	is_int(h->feed_list_begin(f, 0) + feed_put(f, "x", 7) + feed_put(f, "y", 8) + h->feed_list_end(f, 10), 0, "a list");
	is_int(core_cache_rev(res, &synced), 10, "is read");
	ok(synced && core_cache_snapshot_open(res, &s) == 0 && core_cache_snapshot_count(s) == 2, "whole");
	core_cache_snapshot_close(s);
	is_int(h->feed_del(f, (struct orlop_bytes){ "a", 1 }, (struct orlop_bytes){ "x", 1 }, 12) + h->feed_commit(f, 12), 0,
	       "a deletion");
	is_int(h->feed_rev(f), 12, "and the feed knows how far it is");
	h->feed_fail(f, EACCES);
	is_int(core_cache_snapshot_open(res, &s), -EACCES, "revoked");
	h->feed_close(f);
	is_int(core_owner_count(&c->self->shards[0].held, CORE_HELD_FEED), 0, "nothing is held");
	core_cache_close(res);
	c->self->provides = NULL;
}

int main(void)
{
	c = kit_core();
	h = &c->self->shards[0].host;
	test_rights();
	test_wants();
	test_feed();
	core_free(c);
	return done_testing();
}
