/* oscan: the grammar with Go's messages, skipping, finding, strings. */
#include "base/ocleanup.h"
#include "base/otap.h"
#include "json/ojson.h"
#include "json/oscan.h"

#include <errno.h>

static void good(const char *text)
{
	struct orlop_bytes v;

	is_int(oscan_check(text, strlen(text), 128, &v, NULL), 0, "valid: %s", text);
	is_int(oscan_skip(v.p, v.len, 0), v.len, "the fast skip agrees");
}

/* Both the checker and the parser must say the same. */
static void bad(const char *text, const char *msg, size_t offset)
{
	struct oscan_error e;
	struct ojson *j = NULL;

	is_int(oscan_check(text, strlen(text), 128, NULL, &e), -EINVAL, "invalid: %s", text);
	is_str(e.msg, msg, "its message");
	is_int(e.offset, offset, "its offset");
	is_int(ojson_parse(text, strlen(text), &j, &e), -EINVAL, "the parser refuses it too");
	is_str(e.msg, msg, "with the same message");
	is_int(e.offset, offset, "and offset");
}

static void test_grammar(void)
{
	char deep[300];
	struct oscan_error e;

	good("{}");
	good(" [1, -0, 0.5, 1e9, 1E+2, \"a\\u00e9\\/\", true, false, null, {\"a\":[]}] ");
	good("\"\\\"\\\\\"");
	bad("", "unexpected end of JSON input", 0);
	bad("{", "unexpected end of JSON input", 1);
	bad("{\"a\"", "unexpected end of JSON input", 4);
	bad("\"a", "unexpected end of JSON input", 2);
	bad("{a:1}", "invalid character 'a' looking for beginning of object key string", 1);
	bad("{\"a\" 1}", "invalid character '1' after object key", 5);
	bad("{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair", 7);
	bad("{\"a\":1,}", "invalid character '}' looking for beginning of object key string", 7);
	bad("[1,]", "invalid character ']' looking for beginning of value", 3);
	bad("[1 2]", "invalid character '2' after array element", 3);
	bad("{} x", "invalid character 'x' after top-level value", 3);
	bad("tru", "unexpected end of JSON input", 3);
	bad("trux", "invalid character 'x' in literal true (expecting 'e')", 3);
	bad("01", "invalid character '1' after top-level value", 1);
	bad("1.", "unexpected end of JSON input", 2);
	bad("1.x", "invalid character 'x' after decimal point in numeric literal", 2);
	bad("1e", "unexpected end of JSON input", 2);
	bad("[1e]", "invalid character ']' in exponent of numeric literal", 3);
	bad("-", "unexpected end of JSON input", 1);
	bad("-a", "invalid character 'a' in numeric literal", 1);
	bad("+1", "invalid character '+' looking for beginning of value", 0);
	bad("'a'", "invalid character '\\'' looking for beginning of value", 0);
	bad("\"\\x\"", "invalid character 'x' in string escape code", 2);
	bad("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape", 5);
	bad("\"a\nb\"", "invalid character '\\n' in string literal", 2);
	bad("\xc3\xa9", "invalid character '\xc3\x83' looking for beginning of value", 0);
	bad("<html>", "invalid character '<' looking for beginning of value", 0);
	bad("NaN", "invalid character 'N' looking for beginning of value", 0);

	memset(deep, '[', 128);
	memset(deep + 128, ']', 128);
	deep[256] = '\0';
	good(deep);
	memset(deep, '[', 129);
	is_int(oscan_check(deep, 256, 128, NULL, &e), -ELOOP, "129 levels are too deep");
	is_int(oscan_check("[[1]]", 5, 1, NULL, &e), -ELOOP, "a smaller limit");
}

static void test_find(void)
{
	static const char text[] =
		"{ \"metadata\" : {\"name\":\"x\\u0061\",\"labels\":{\"a.b\":\"c\"}},"
		"\"spec\":{\"list\":[10,{\"k\":true},\"s\"],\"n\":-7}}";
	struct orlop_bytes doc = { text, sizeof(text) - 1 };
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct orlop_bytes v;
	struct oscan_iter it;
	size_t n = 0;

	ok(OSCAN_FIND(doc, &v, "metadata", "name"), "find by path");
	is_mem(v.p, v.len, "\"x\\u0061\"", 9, "its range");
	ok(oscan_string_is_cstr(v, "xa") && !oscan_string_is_cstr(v, "x") &&
	   !oscan_string_is_cstr(v, "xab"), "comparison sees through escapes");
	ok(!oscan_plain(v, &v), "not plain");
	is_int(oscan_unquote(v, &b), 0, "unquote");
	is_str(obuf_cstr(&b), "xa", "content");
	ok(OSCAN_FIND(doc, &v, "spec", "list", "1", "k") && oscan_bool(v, false), "through an array");
	ok(oscan_find_dotted(doc, "spec.n", 6, &v), "dotted path");
	is_int(oscan_i64(v, 0), -7, "integer");
	ok(!OSCAN_FIND(doc, &v, "spec", "list", "3"), "beyond the end");
	ok(!OSCAN_FIND(doc, &v, "spec", "n", "x"), "through a number");
	ok(OSCAN_FIND(doc, &v, "metadata", "labels", "a.b") && oscan_plain(v, &v), "plain string");
	is_mem(v.p, v.len, "c", 1, "its content");
	for (oscan_begin(&it, doc); oscan_next(&it) > 0;)
		n++;
	is_int(n, 2, "members");
	ok(OSCAN_FIND(doc, &v, "spec", "list"), "the list");
	is_int(oscan_count(v), 3, "elements");
	obuf_reset(&b);
	oscan_compact(doc, &b);
	ok(strstr(b.data, "{\"metadata\":{") == b.data, "compact");
	obuf_reset(&b);
	oscan_indent(oscan_bytes("{\"a\":[],\"b\":[1,{}],\"c\":{\"d\":\"x, y\"}}", 37), &b);
	is_str(obuf_cstr(&b), "{\n  \"a\": [],\n  \"b\": [\n    1,\n    {}\n  ],\n  \"c\": {\n    \"d\": \"x, y\"\n  }\n}",
	       "indented as Go does");
}

static void test_members(void)
{
	struct orlop_bytes members = { "\"metadata\":{\"name\":\"n\"},\"spec\":{\"x\":[7]}", 40 };
	cleanup_ojson struct ojson *j = NULL;
	struct orlop_bytes v;
	struct oscan_iter it;
	int n = 0;

	for (oscan_begin_members(&it, members); oscan_next(&it) > 0;)
		n++;
	is_int(n, 2, "members without braces");
	ok(OSCAN_FIND_MEMBERS(members, &v, "spec", "x", "0") && oscan_i64(v, 0) == 7, "find in them");
	ok(!OSCAN_FIND_MEMBERS(members, &v, "status"), "not there");
	is_int(ojson_parse_members(members, &j, NULL), 0, "as a tree");
	is_str(ojson_cstr(OJSON_AT(j, "metadata", "name"), ""), "n", "its content");
}

static void unquoted(const char *text, const char *want)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	is_int(oscan_unquote(oscan_bytes(text, strlen(text)), &b), 0, "unquote %s", text);
	is_str(obuf_cstr(&b), want, "content");
	ok(oscan_string_is_cstr(oscan_bytes(text, strlen(text)), want), "comparison agrees");
}

int main(void)
{
	test_grammar();
	test_find();
	test_members();
	unquoted("\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80");
	unquoted("\"\\ud83dx\"", "\xef\xbf\xbdx");
	unquoted("\"\\ud83d\\u0041\"", "\xef\xbf\xbd" "A");
	unquoted("\"\\udc00\"", "\xef\xbf\xbd");
	unquoted("\"\xff\xc3\xa9\"", "\xef\xbf\xbd\xc3\xa9");
	unquoted("\"\\b\\f\\n\\r\\t\\/\\\\\\\"\"", "\b\f\n\r\t/\\\"");
	return done_testing();
}
