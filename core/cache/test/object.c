/*
 * Objects from records: what is served, what a delete leaves, and that no damaged record crashes.
 */
#define OTAP_FAULTS
#include <errno.h>

#include "base/otap.h"
#include "cache/object.h"
#include "support.h"

static int json_is(const struct core_object *o, const char *want)
{
	return o->pub.json.len == strlen(want) && memcmp(o->pub.json.p, want, strlen(want)) == 0;
}

static void test_plain(void)
{
	static const struct t_entry e[] = {
		{ 0, "app", "web" }, { 0, "tier", "" }, { 1, "", "u1" }, { 1, "", "u1" }, { 2, "", "uid" }, { 3, "", "n1" },
	};
	struct orlop_bytes rec = t_record("web", 7, e, 6);
	struct core_object *o, *gone;

	is_int(core_object_parse(t_bytes("default/web"), 7, rec, 12345, &o), 0, "parsed");
	ok(json_is(o, "\"metadata\":{\"resourceVersion\":\"12345\",\"name\":\"web\"},\"v\":7"), "served bytes");
	ok(o->pub.ns.len == 7 && o->pub.name.len == 3 && memcmp(o->pub.name.p, "web", 3) == 0, "ns and name");
	is_int(o->pub.n_index, 5, "an entry said twice counts once");
	ok(o->pub.index[1].key.len == 4 && o->pub.index[1].value.len == 0, "an empty value");
	ok(memcmp(o->pub.index[4].value.p, "n1", 2) == 0, "the last entry");
	ok(core_object_of_entry(&o->pub.index[3]) == o, "an entry knows its object");
	is_int(core_object_restamp(o, UINT64_MAX, &gone), 0, "deleted");
	ok(json_is(gone, "\"metadata\":{\"resourceVersion\":\"18446744073709551615\",\"name\":\"web\"},\"v\":7"),
	   "has the revision of the delete");
	core_object_put(o);
	ok(memcmp(gone->pub.index[4].value.p, "n1", 2) == 0 && gone->pub.name.len == 3, "and bytes of its own");
	is_int(core_object_restamp(gone, 0, &o), 0, "shorter");
	ok(json_is(o, "\"metadata\":{\"resourceVersion\":\"0\",\"name\":\"web\"},\"v\":7"), "by nineteen digits");
	core_object_put(o);
	core_object_put(gone);
	free((void *)(uintptr_t)rec.p);
}

static void test_cluster_scoped(void)
{
	struct orlop_bytes rec = t_record("n1", 1, NULL, 0);
	struct core_object *o;

	is_int(core_object_parse(t_bytes("/n1"), 0, rec, 1, &o), 0, "no namespace");
	ok(o->pub.ns.len == 0 && o->pub.name.len == 2, "is empty");
	core_object_put(o);
	free((void *)(uintptr_t)rec.p);
}

/* Each in a block of its exact size, so that a sanitizer sees the first byte too far. */
static int parse_copy(const char *p, size_t len)
{
	char *copy = malloc(len ? len : 1);
	struct core_object *o = NULL;
	int r;

	memcpy(copy, p, len);
	r = core_object_parse(t_bytes("default/web"), 7, (struct orlop_bytes){ copy, len }, 9, &o);
	free(copy);
	if (r == 0) {	/* whatever it is, it must be whole */
		uint64_t sum = 0;

		for (uint32_t i = 0; i < o->pub.n_index; i++)
			for (size_t k = 0; k < o->pub.index[i].value.len; k++)
				sum += (unsigned char)o->pub.index[i].value.p[k];
		for (size_t k = 0; k < o->pub.json.len; k++)
			sum += (unsigned char)o->pub.json.p[k];
		r = sum == UINT64_MAX ? 1 : 0;
	}
	core_object_put(o);
	return r;
}

static void test_damaged(void)
{
	static const struct t_entry e[] = { { 0, "app", "web" }, { 3, "", "n1" } };
	static const struct t_entry unsorted[] = { { 3, "", "n1" }, { 0, "app", "web" } };
	struct orlop_bytes rec = t_record("web", 7, e, 2), bad;
	struct orlop_record h;
	uint64_t seed = 1;
	int wrong = 0;
	char *copy;

	for (size_t n = 0; n < rec.len; n++)
		wrong += parse_copy(rec.p, n) != -EINVAL;
	is_int(wrong, 0, "every truncation is refused");
	bad = t_record("web", 7, unsorted, 2);
	is_int(parse_copy(bad.p, bad.len), -EINVAL, "unsorted entries");
	free((void *)(uintptr_t)bad.p);

	copy = malloc(rec.len);
	memcpy(copy, rec.p, rec.len);
	memcpy(&h, copy, sizeof(h));
	h.wrap = 1;
	memcpy(copy, &h, sizeof(h));
	is_int(parse_copy(copy, rec.len), -EINVAL, "an encrypted record");
	h.wrap = 0;
	h.rv_off = h.json_len + 1;
	memcpy(copy, &h, sizeof(h));
	is_int(parse_copy(copy, rec.len), -EINVAL, "resourceVersion beyond the end");
	h.rv_off = 12;
	h.n_index = 65535;
	memcpy(copy, &h, sizeof(h));
	is_int(parse_copy(copy, rec.len), -EINVAL, "too many entries");
	h.n_index = 2;
	h.json_len = UINT32_MAX;
	h.index_len = UINT32_MAX;
	memcpy(copy, &h, sizeof(h));
	is_int(parse_copy(copy, rec.len), -EINVAL, "lengths that overflow");
	wrong = 0;
	for (int i = 0; i < 200000; i++) {
		int n;

		memcpy(copy, rec.p, rec.len);
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		n = 1 + (int)(seed >> 60) % 3;
		for (int k = 0; k < n; k++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			copy[(seed >> 33) % rec.len] = (char)(seed >> 25);
		}
		n = parse_copy(copy, rec.len);
		wrong += n != 0 && n != -EINVAL;
	}
	is_int(wrong, 0, "200000 damaged records: an object or a refusal");
	free(copy);
	free((void *)(uintptr_t)rec.p);
}

static void test_memory(void)
{
	struct orlop_bytes rec = t_record("web", 7, NULL, 0);
	struct core_object *o = NULL, *gone = NULL;

	otap_fail_nth(1);
	is_int(core_object_parse(t_bytes("default/web"), 7, rec, 1, &o), -ENOMEM, "no memory to parse");
	otap_fail_nth(0);
	(void)core_object_parse(t_bytes("default/web"), 7, rec, 1, &o);
	otap_fail_nth(1);
	is_int(core_object_restamp(o, 2, &gone), -ENOMEM, "no memory to delete");
	otap_fail_nth(0);
	core_object_put(o);
	core_object_put(NULL);
	free((void *)(uintptr_t)rec.p);
}

int main(void)
{
	test_plain();
	test_cluster_scoped();
	test_damaged();
	test_memory();
	return done_testing();
}
