/* ojson: parsing into a tree, looking, changing, writing, failed allocations. */
#define OTAP_FAULTS
#include "base/ocleanup.h"
#include "base/otap.h"
#include "json/ojson.h"

#include <errno.h>

static struct ojson *parsed(const char *text)
{
	struct ojson *j = NULL;
	struct oscan_error e;

	if (ojson_parse(text, strlen(text), &j, &e) < 0)
		diag("%s at %zu of %s", e.msg, e.offset, text);
	return j;
}

static void is_json(const struct ojson *j, const char *want, const char *name)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	is_int(ojson_write(j, 0, &b), 0, "write: %s", name);
	is_str(obuf_cstr(&b), want, "%s", name);
}

static void round_trip(const char *text, const char *want)
{
	cleanup_ojson struct ojson *j = parsed(text);

	is_json(j, want, text);
}

static void test_round_trips(void)
{
	round_trip("{\"b\":1,\"a\":[true,null,\"x/y\"]}", "{\"b\":1,\"a\":[true,null,\"x/y\"]}");
	round_trip("[9223372036854775807,-9223372036854775808]",
		   "[9223372036854775807,-9223372036854775808]");
	round_trip("[1.0,1e3,0.10,18446744073709551616]", "[1.0,1e3,0.10,18446744073709551616]");
	round_trip("\"<&>\\u00e9\\u0000\"", "\"\\u003c\\u0026\\u003e\xc3\xa9\\u0000\"");
	round_trip("\"\\ud800\xff\"", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
	round_trip("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}");
	round_trip("null", "null");
}

static void test_doubles(void)
{
	static const struct {
		double		d;
		const char	*want;
	} cases[] = {
		{ 0.1, "0.1" }, { 1, "1" }, { 100, "100" }, { 1e20, "100000000000000000000" },
		{ 1e21, "1e+21" }, { 1e-6, "0.000001" }, { 1e-7, "1e-7" }, { 1.5e-10, "1.5e-10" },
		{ -2.5, "-2.5" }, { 1.0 / 3, "0.3333333333333333" }, { 0, "0" }, { 1e300, "1e+300" },
		{ 123456789.125, "123456789.125" }, { 5e-324, "5e-324" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_ojson struct ojson *j = ojson_new_double(cases[i].d);

		is_json(j, cases[i].want, "a double as Go writes it");
	}
	ok(ojson_new_double(1e308 * 10) == NULL, "infinity is no JSON");
}

static void note_duplicate(void *arg, const char *path, size_t len)
{
	obuf_append(arg, path, len);
	obuf_putc(arg, ' ');
}

static void test_duplicates(void)
{
	static const char text[] =
		"{\"a\":1,\"spec\":{\"list\":[{\"x\":1},{\"x\":1,\"y\":{},\"x\":2}],\"b\":1,\"b\":2},\"a\":2}";
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_ojson struct ojson *j = NULL;

	is_int(ojson_parse_duplicates(text, sizeof(text) - 1, note_duplicate, &b, &j, NULL), 0,
	       "duplicates are no error");
	is_str(obuf_cstr(&b), "spec.list[1].x spec.b a ", "but reported with their paths");
	is_json(j, "{\"a\":2,\"spec\":{\"list\":[{\"x\":1},{\"x\":2,\"y\":{}}],\"b\":2}}", "the last wins");
}

static void test_errors(void)
{
	struct ojson *j = NULL;
	struct oscan_error e;
	char deep[300];

	is_int(ojson_parse("[1e999]", 7, &j, &e), -ERANGE, "a number beyond double");
	is_int(e.offset, 1, "its offset");
	is_int(ojson_parse("{\"a\\u0000b\":1}", 14, &j, &e), -EINVAL, "NUL in a key");
	memset(deep, '[', 129);
	is_int(ojson_parse(deep, 129, &j, &e), -ELOOP, "too deep");
	ok(j == NULL, "nothing is handed out");
}

static void test_look(void)
{
	cleanup_ojson struct ojson *j = parsed("{\"metadata\":{\"name\":\"n\",\"labels\":{\"a\":\"b\"}},"
					       "\"spec\":{\"replicas\":3,\"f\":2.0,\"g\":2.5,\"on\":true,"
					       "\"none\":null,\"list\":[{\"x\":1},5]}}");
	struct ojson *v = j;
	size_t len;

	is_str(ojson_cstr(OJSON_AT(j, "metadata", "name"), ""), "n", "by path");
	is_int(ojson_i64(ojson_at_dotted(j, "spec.list.0.x"), 0), 1, "by dotted path");
	ok(ojson_at_dotted(j, "spec.list.7.x") == NULL, "beyond the array");
	is_int(ojson_get_i64(ojson_get(j, "spec"), "replicas", 0), 3, "integer");
	is_int(ojson_get_i64(ojson_get(j, "spec"), "f", 0), 2, "an integral double");
	is_int(ojson_get_i64(ojson_get(j, "spec"), "g", -1), -1, "not a fraction");
	ok(ojson_get_bool(ojson_get(j, "spec"), "on", false), "bool");
	ok(ojson_has(ojson_get(j, "spec"), "none") && ojson_get(ojson_get(j, "spec"), "none") == NULL,
	   "null is there but NULL");
	ok(ojson_lookup(ojson_get(j, "spec"), "none", &v) && v == NULL, "lookup tells it");
	ok(!ojson_lookup(ojson_get(j, "spec"), "nope", &v), "from absent");
	is_str(ojson_get_cstr(j, "spec", "def"), "def", "another type gives the default");
	ok(ojson_string(ojson_at_dotted(j, "metadata.labels.a"), &len) != NULL && len == 1, "length");
	ok(ojson_get_n(ojson_get(j, "metadata"), "nameX", 4) != NULL, "key by length");
	is_int(ojson_count(ojson_at_dotted(j, "spec.list")), 2, "count of an array");
	is_int(ojson_count(NULL), 0, "nothing in null");
	is_str(ojson_type_name(ojson_get(j, "spec")), "object", "type name");
}

static void test_change(void)
{
	cleanup_ojson struct ojson *j = ojson_new_object();
	cleanup_ojson struct ojson *taken = NULL;
	struct ojson *list;
	char long_key[400];

	is_int(ojson_set_cstr(j, "a", "x"), 0, "set");
	is_int(ojson_set_i64(j, "b", 2), 0, "set");
	is_int(ojson_set_bool(j, "c", true), 0, "set");
	is_int(ojson_put(j, "d", NULL), 0, "put null");
	is_int(ojson_set(j, "e", NULL), -ENOMEM, "set of nothing is an error");
	is_json(j, "{\"a\":\"x\",\"b\":2,\"c\":true,\"d\":null}", "members in order");
	is_int(ojson_set_i64(j, "a", 1), 0, "replace");
	is_json(j, "{\"a\":1,\"b\":2,\"c\":true,\"d\":null}", "in place");
	OJSON_FOREACH(it, j)
		if (it.key[0] != 'b')
			ojson_del(j, it.key);
	is_json(j, "{\"b\":2}", "deleted while iterating");
	list = ojson_ensure_array(ojson_ensure_object(j, "o"), "l");
	ok(list != NULL && ojson_ensure_array(ojson_ensure_object(j, "o"), "l") == list, "ensure");
	for (int i = 0; i < 9; i++)
		(void)ojson_append(list, ojson_new_i64(i));
	is_int(ojson_insert(list, 0, ojson_new_cstr("first")), 0, "insert");
	is_int(ojson_insert(list, 10, ojson_new_cstr("last")), 0, "insert at the end");
	is_int(ojson_insert(list, 12, ojson_new_cstr("no")), -ERANGE, "insert beyond");
	is_int(ojson_remove(list, 5), 0, "remove");
	is_int(ojson_remove(list, 10), -ERANGE, "remove beyond");
	is_int(ojson_replace(list, 1, NULL), 0, "replace by null");
	is_json(list, "[\"first\",null,1,2,3,5,6,7,8,\"last\"]", "the list");
	taken = ojson_take(j, "o");
	is_json(j, "{\"b\":2}", "taken out");
	is_int(ojson_count(ojson_get(taken, "l")), 10, "and alive");
	memset(long_key, 'k', sizeof(long_key));
	is_int(ojson_set_n(j, long_key, sizeof(long_key), ojson_new_i64(1)), 0, "a long key");
	is_int(ojson_i64(ojson_get_n(j, long_key, sizeof(long_key)), 0), 1, "is found");
	ojson_del_n(j, long_key, sizeof(long_key));
	is_int(ojson_count(j), 1, "and deleted");
	is_int(ojson_set_n(j, "a\0b", 3, ojson_new_i64(1)), -EINVAL, "NUL in a key");
}

static void test_equal(void)
{
	static const struct {
		const char	*a;
		const char	*b;
		bool		same;
	} cases[] = {
		{ "{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1}", true }, { "1", "1.0", true },
		{ "1", "1.5", false }, { "[1,2]", "[2,1]", false }, { "{\"a\":null}", "{}", false },
		{ "{\"a\":null}", "{\"b\":null}", false }, { "\"a\"", "\"a\\u0000\"", false },
		{ "null", "false", false }, { "9007199254740993", "9007199254740992", false },
		{ "\"\"", "\"\"", true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_ojson struct ojson *a = parsed(cases[i].a);
		cleanup_ojson struct ojson *b = parsed(cases[i].b);

		ok(ojson_equal(a, b) == cases[i].same && ojson_equal(b, a) == cases[i].same, "%s %s %s",
		   cases[i].a, cases[i].same ? "equals" : "differs from", cases[i].b);
	}
}

static void test_write(void)
{
	cleanup_ojson struct ojson *j = parsed("{\"b\":[],\"a\":{\"d\":1,\"c\":[{}]}}");
	cleanup_free char *text = ojson_text(j, OJSON_SORTED | OJSON_PRETTY, NULL);
	cleanup_obuf struct obuf small;

	is_str(text, "{\n  \"a\": {\n    \"c\": [\n      {}\n    ],\n    \"d\": 1\n  },\n  \"b\": []\n}",
	       "sorted and indented");
	obuf_init_max(&small, 5);
	is_int(ojson_write(j, 0, &small), -EFBIG, "a limit stops it");
}

static void test_faults(void)
{
	static const char text[] = "{\"a\":[1,2.5,\"x\",{\"b\":true}],\"c\":\"\\u0041\"}";
	bool good = true;
	int n;

	for (n = 1; good; n++) {
		cleanup_ojson struct ojson *j = NULL;
		cleanup_ojson struct ojson *copy = NULL;
		int r;

		otap_fail_nth(n);
		r = ojson_parse(text, sizeof(text) - 1, &j, NULL);
		if (r == 0)
			r = ojson_copy(j, &copy);
		otap_fail_nth(0);
		if (!otap_faulted())
			break;
		good = r == -ENOMEM;
	}
	ok(good && n > 10, "each of %d failed allocations is -ENOMEM", n - 1);
}

int main(void)
{
	test_round_trips();
	test_doubles();
	test_duplicates();
	test_errors();
	test_look();
	test_change();
	test_equal();
	test_write();
	test_faults();
	return done_testing();
}
