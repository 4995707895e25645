/* Label and field selectors: grammar, error texts, matching, objects. */
#include "base/ocleanup.h"
#include "base/ostr.h"
#include "base/otap.h"
#include "selector/ofield.h"
#include "selector/oselector.h"

#include <errno.h>
#include <orlop/inline/error.h>

static void parses(const char *text, const char *want)
{
	cleanup_oselector struct oselector *s = NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (!ok(oselector_parse(text, strlen(text), &s, &err) == 0, "parse: %s", text)) {
		diag("%s", err.msg);
		return;
	}
	oselector_write(s, &b);
	is_str(obuf_cstr(&b), want, "canonical form of: %s", text);
}

static void fails(const char *text, const char *want)
{
	cleanup_oselector struct oselector *s = NULL;
	struct orlop_error err = ORLOP_ERROR_INIT;

	is_int(oselector_parse(text, strlen(text), &s, &err), -EINVAL, "refuse: %s", text);
	ok(strncmp(err.msg, want, strlen(want)) == 0, "saying: %s", want);
	if (strncmp(err.msg, want, strlen(want)) != 0)
		diag("got %s", err.msg);
	is_int(err.http, 400, "with 400");
}

static void matches(const char *selector, const char *labels, bool want)
{
	cleanup_oselector struct oselector *s = NULL;
	cleanup_ojson struct ojson *j = NULL;
	struct orlop_bytes text = { labels, strlen(labels) };

	(void)oselector_parse(selector, strlen(selector), &s, NULL);
	(void)ojson_parse(labels, strlen(labels), &j, NULL);
	ok(s != NULL && oselector_match_map(s, j) == want, "%s %s %s", selector,
	   want ? "matches" : "does not match", labels);
	ok(s != NULL && oselector_match_bytes(s, text) == want, "also in bytes");
}

static void test_text(void)
{
	parses("", "");
	parses("  ", "");
	parses("x=a,y=b,z=c", "x=a,y=b,z=c");
	parses("z=c, x=a", "x=a,z=c");
	parses("x!=a,y=b", "x!=a,y=b");
	parses("x==a", "x==a");
	parses("x=", "x=");
	parses("x= ", "x=");
	parses("x,!y", "x,!y");
	parses("x in (b,a,b)", "x in (a,b)");
	parses("x notin (a)", "x notin (a)");
	parses("x in (,a)", "x in (,a)");
	parses("x in (a,)", "x in (,a)");
	parses("x>1,z<5", "x>1,z<5");
	parses("in in (in,notin)", "in in (in,notin)");
	parses("a.b/c=d_e", "a.b/c=d_e");
	parses("!x,y=1", "!x,y=1");
	parses("x=a,x!=b", "x=a,x!=b");
}

static void test_errors(void)
{
	fails(",", "found ',', expected: !, identifier, or 'end of string'");
	fails("x=a||y=b", "unable to parse requirement: values[0][x]: Invalid value: \"a||y\"");
	fails("x==a==b", "found '==', expected: ',' or 'end of string'");
	fails("x,", "found '', expected: identifier after ','");
	fails("!x=a", "found '=', expected: ',' or 'end of string'");
	fails("x<a", "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' "
		     "operators, the value must be an integer");
	fails("x in a", "unable to parse requirement: found 'a' expected: '('");
	fails("x in (a", "unable to parse requirement: found '', expected: ',' or ')'");
	fails("x in ()", "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' "
			 "operators, values set can't be empty");
	fails("x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt");
	fails("!", "unable to parse requirement: found '', expected: identifier");
	fails("a/b/c=d", "unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a qualified name");
	fails("-a=b", "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist");
	fails("a=-b", "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must");
}

static void test_match(void)
{
	matches("", "{}", true);
	matches("x=a", "{\"x\":\"a\"}", true);
	matches("x=a", "{\"x\":\"b\"}", false);
	matches("x=a", "{}", false);
	matches("x=", "{\"x\":\"\"}", true);
	matches("x!=a", "{}", true);
	matches("x!=a", "{\"x\":\"a\"}", false);
	matches("x in (a,b)", "{\"x\":\"b\",\"y\":\"c\"}", true);
	matches("x notin (a,b)", "{\"x\":\"b\"}", false);
	matches("x notin (a,b)", "{}", true);
	matches("x", "{\"x\":\"\"}", true);
	matches("!x", "{\"x\":\"\"}", false);
	matches("x>5", "{\"x\":\"6\"}", true);
	matches("x>5", "{\"x\":\"5\"}", false);
	matches("x<5", "{\"x\":\"-1\"}", true);
	matches("x<5", "{\"x\":\"a\"}", false);
	matches("x<5", "{}", false);
	matches("x=a,y=b", "{\"x\":\"a\",\"y\":\"b\"}", true);
	matches("x=a,y=b", "{\"x\":\"a\"}", false);
}

static void from_object(const char *json, const char *want)
{
	cleanup_oselector struct oselector *s = NULL;
	cleanup_ojson struct ojson *j = NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;

	(void)ojson_parse(json, strlen(json), &j, NULL);
	if (!ok(oselector_from_json(j, &s, NULL) == 0, "object %s", json))
		return;
	oselector_write(s, &b);
	is_str(obuf_cstr(&b), want, "as text");
}

static void test_objects(void)
{
	cleanup_oselector struct oselector *none = NULL;
	cleanup_oselector struct oselector *all = NULL;
	cleanup_oselector struct oselector *map = NULL;
	cleanup_oselector struct oselector *s = NULL;
	cleanup_ojson struct ojson *bad = NULL;
	cleanup_ojson struct ojson *empty = ojson_new_object();
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_index_entry index[] = {
		{ 0, 0, { "app", 3 }, { "web", 3 } },
		{ 0, 0, { "tier", 4 }, { "front", 5 } },
		{ 2, 0, { "", 0 }, { "uid", 3 } },
	};
	struct orlop_object o = { .size = sizeof(o), .n_index = 3, .index = index };

	from_object("{\"matchLabels\":{\"b\":\"2\",\"a\":\"1\"},\"matchExpressions\":["
		    "{\"key\":\"c\",\"operator\":\"In\",\"values\":[\"y\",\"x\"]},"
		    "{\"key\":\"d\",\"operator\":\"Exists\"},{\"key\":\"e\",\"operator\":\"DoesNotExist\"},"
		    "{\"key\":\"f\",\"operator\":\"NotIn\",\"values\":[\"z\"]}]}",
		    "a=1,b=2,c in (x,y),d,!e,f notin (z)");
	is_int(oselector_from_json(NULL, &none, NULL), 0, "no selector");
	ok(!oselector_match_map(none, empty), "selects nothing");
	is_int(oselector_from_json(empty, &all, NULL), 0, "an empty selector");
	ok(oselector_match_map(all, empty) && oselector_is_everything(all), "selects everything");
	(void)ojson_parse("{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Gt\",\"values\":[\"1\"]}]}", 65,
			  &bad, NULL);
	is_int(oselector_from_json(bad, &s, &err), -EINVAL, "Gt is for texts only");
	is_str(err.msg, "\"Gt\" is not a valid label selector operator", "its message");
	ojson_unref(TAKE(bad));
	(void)ojson_parse("{\"app\":\"web\"}", 13, &bad, NULL);
	is_int(oselector_from_map(bad, &map, NULL), 0, "from a plain map");
	ok(oselector_match_object(map, &o), "matches the index of a cached object");
	(void)oselector_parse("tier notin (back),app,!uid", 26, &s, NULL);
	ok(oselector_match_object(s, &o), "also with several requirements");
	index[1].value = (struct orlop_bytes){ "back", 4 };
	ok(!oselector_match_object(s, &o), "and not");
}

static struct orlop_bytes field_of(const void *arg, struct orlop_bytes field)
{
	const char *const *kv = arg;

	for (; kv[0] != NULL; kv += 2)
		if (ostr_is(field.p, field.len, kv[0]))
			return (struct orlop_bytes){ kv[1], strlen(kv[1]) };
	return (struct orlop_bytes){ "", 0 };
}

static void field(const char *text, const char *want, bool match)
{
	static const char *const object[] = { "metadata.name", "a", "spec.x", "b,c=\\", NULL };
	cleanup_ofield struct ofield_selector *s = NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;

	if (!ok(ofield_parse(text, strlen(text), &s, NULL) == 0, "fields: %s", text))
		return;
	ofield_write(s, &b);
	is_str(obuf_cstr(&b), want, "canonical form");
	is_int(ofield_match(s, field_of, object), match, "match");
}

static void field_fails(const char *text, const char *want)
{
	struct ofield_selector *s = NULL;
	struct orlop_error err = ORLOP_ERROR_INIT;

	is_int(ofield_parse(text, strlen(text), &s, &err), -EINVAL, "refuse fields: %s", text);
	is_str(err.msg, want, "message");
}

/* Many keys in the worst order, and a set of many values: found one by one they would take minutes. */
static void test_long(void)
{
	cleanup_oselector struct oselector *s = NULL, *set = NULL;
	cleanup_ojson struct ojson *map = NULL, *list = NULL;
	cleanup_obuf struct obuf b = OBUF_INIT, c = OBUF_INIT;
	struct orlop_error err = ORLOP_ERROR_INIT;
	bool sorted = true;
	unsigned int n = 100000, n_keys = 40000;

	obuf_putc(&b, '{');
	obuf_puts(&c, "{\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"NotIn\",\"values\":[");
	for (unsigned int i = n; i-- > 0;) {
		if (i < n_keys)
			obuf_printf(&b, "\"k%06u\":\"v\"%s", i, i ? "," : "}");
		obuf_printf(&c, "\"v%06u\"%s", i, i ? "," : "]}]}");
	}
	(void)ojson_parse(b.data, b.len, &map, NULL);
	(void)ojson_parse(c.data, c.len, &list, NULL);
	is_int(oselector_from_map(map, &s, &err), 0, "a selector of %u keys %s", n_keys, err.msg);
	for (size_t i = 1; s && i < s->n_reqs; i++)
		sorted = sorted && ostr_cmp(s->reqs[i - 1].key.p, s->reqs[i - 1].key.len, s->reqs[i].key.p, s->reqs[i].key.len) < 0;
	ok(s && s->n_reqs == n_keys && sorted, "is sorted");
	ok(s && oselector_match_map(s, map), "and matches what it was made of");
	is_int(oselector_from_json(list, &set, &err), 0, "a set of many values %s", err.msg);
	for (unsigned int i = 0; set && i < 10 * n; i++) {
		char labels[40];
		int len = snprintf(labels, sizeof(labels), "{\"k\":\"v%06u\"}", i);

		sorted = sorted && oselector_match_bytes(set, (struct orlop_bytes){ labels, (size_t)len }) == (i >= n);
	}
	ok(sorted, "is looked through for each of a million objects");
}

int main(void)
{
	cleanup_ofield struct ofield_selector *s = NULL;
	struct orlop_bytes v;

	test_text();
	test_errors();
	test_match();
	test_objects();
	test_long();
	field("", "", true);
	field("metadata.name=a", "metadata.name=a", true);
	field("metadata.name==b", "metadata.name=b", false);
	field("metadata.name!=b,absent=", "absent=,metadata.name!=b", true);
	field("spec.x=b\\,c\\=\\\\", "spec.x=b\\,c\\=\\\\", true);
	field(",,metadata.name=a,", "metadata.name=a", true);
	field_fails("x", "invalid selector: 'x'; can't understand 'x'");
	field_fails("x=a=b", "invalid field selector: unescaped character in value: 61");
	field_fails("x=\\a", "invalid field selector: invalid escape sequence: \\a");
	field_fails("x=a\\", "invalid field selector: invalid escape sequence: \\");
	(void)ofield_parse("a!=1,metadata.name=n", 20, &s, NULL);
	ok(ofield_requires(s, "metadata.name", &v) && ostr_is(v.p, v.len, "n"), "a required value");
	ok(!ofield_requires(s, "a", &v), "is not a forbidden one");
	return done_testing();
}
