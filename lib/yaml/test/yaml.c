/* YAML: types, anchors, merges, duplicates, streams, limits, and the text that comes out. */
#include "base/ocleanup.h"
#include "base/otap.h"
#include "yaml/oyaml.h"

#include <errno.h>

static void reads(const char *yaml, const char *json)
{
	cleanup_ojson struct ojson *j = NULL;
	cleanup_free char *text = NULL;
	struct oyaml_error err;

	if (!ok(oyaml_parse(yaml, strlen(yaml), &j, &err) == 0, "parse")) {
		diag("%s in %s", err.msg, yaml);
		return;
	}
	text = ojson_text(j, 0, NULL);
	is_str(text, json, "as JSON: %s", json);
}

static void fails(const char *yaml, int want, const char *msg)
{
	cleanup_ojson struct ojson *j = NULL;
	struct oyaml_error err;

	is_int(oyaml_parse(yaml, strlen(yaml), &j, &err), want, "refuse");
	is_str(err.msg, msg, "saying: %s", msg);
}

static void test_scalars(void)
{
	reads("[true, yes, On, FALSE, no, off, y, n]", "[true,true,true,false,false,false,\"y\",\"n\"]");
	reads("[~, null, '', Null, \"null\"]", "[null,null,\"\",null,\"null\"]");
	reads("[1, -5, +7, 0x1F, 017, 0o17, 0b101, 1_000]", "[1,-5,7,31,15,15,5,1000]");
	reads("[1.5, .5, 1e3, 1.0, -2.5e-3, 12e03]", "[1.5,0.5,1000,1,-0.0025,12000]");
	reads("[08, 1.2.3, 1h, 0x, '1', \"1\", !!str 1]", "[8,\"1.2.3\",\"1h\",\"0x\",\"1\",\"1\",\"1\"]");
	reads("[9223372036854775807, 9223372036854775808]", "[9223372036854775807,9223372036854775808]");
	reads("2020-01-01", "\"2020-01-01\"");
	reads("a: 1.10\nb: 0.5\n", "{\"a\":1.1,\"b\":0.5}");
	reads("cpu: 500m\nmemory: 1Gi\nmode: 0644\n", "{\"cpu\":\"500m\",\"memory\":\"1Gi\",\"mode\":420}");
	reads("k: !!float 1\n", "{\"k\":1}");
	reads("", "null");
	reads("# only a comment\n", "null");
	reads("{\"a\": [1, \"x\\u00e9\"]}", "{\"a\":[1,\"x\xc3\xa9\"]}");
	fails("a: .inf\n", -EINVAL, "yaml: line 1: .inf has no value in JSON");
}

static void test_maps(void)
{
	reads("1: a\ntrue: b\n2.5: c\n", "{\"1\":\"a\",\"true\":\"b\",\"2.5\":\"c\"}");
	reads("a: |\n  x\n  y\nb: >\n  p\n  q\n", "{\"a\":\"x\\ny\\n\",\"b\":\"p q\\n\"}");
	reads("a: &x {b: 1}\nc: *x\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1}}");
	reads("a: &x {b: 1, c: 2}\nd:\n  c: 3\n  <<: *x\n", "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"c\":3,\"b\":1}}");
	reads("d:\n  <<: [{a: 1}, {a: 2, b: 3}]\n", "{\"d\":{\"a\":1,\"b\":3}}");
	fails("a: 1\nb: 2\na: 3\n", -EINVAL, "yaml: line 3: key \"a\" already set in map");
	fails("a: 1\n\"a\": 3\n", -EINVAL, "yaml: line 2: key \"a\" already set in map");
	fails("{a: 1}: x\n", -EINVAL, "yaml: line 1: unsupported map key of type: object");
	fails("a: *nope\n", -EINVAL, "yaml: unknown anchor 'nope' referenced");
	fails("a: &x [*x]\n", -EINVAL, "yaml: anchor 'x' value contains itself");
	fails("<<: 1\n", -EINVAL, "yaml: line 1: map merge requires map or sequence of maps as the value");
	fails("a: b: c\n", -EINVAL, "yaml: mapping values are not allowed in this context");
	fails("a:\n\t- x\n", -EINVAL, "yaml: line 2: found character that cannot start any token");
}

static void test_limits(void)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_ojson struct ojson *j = NULL;
	struct oyaml_error err;

	obuf_puts(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 12; i++) {
		obuf_printf(&b, "a%d: &a%d [", i, i);
		for (int k = 0; k < 9; k++)
			obuf_printf(&b, "%s*a%d", k > 0 ? "," : "", i - 1);
		obuf_puts(&b, "]\n");
	}
	is_int(oyaml_parse(b.data, b.len, &j, &err), -E2BIG, "an alias bomb");
	is_str(err.msg, "yaml: document contains excessive aliasing", "is recognized");
	obuf_reset(&b);
	for (int i = 0; i < 200; i++)
		obuf_putc(&b, '[');
	is_int(oyaml_parse(b.data, b.len, &j, &err), -ELOOP, "too deep");
	obuf_reset(&b);
	obuf_puts(&b, "a: &a ");
	for (int i = 0; i < 100000; i++)
		obuf_putc(&b, 'x');
	for (int i = 0; i < 200; i++)
		obuf_printf(&b, "\nk%d: *a", i);
	is_int(oyaml_parse(b.data, b.len, &j, &err), -E2BIG, "few aliases, of a long text");
	is_str(err.msg, "yaml: document contains excessive aliasing", "are one too");
	obuf_reset(&b);
	obuf_puts(&b, "base: &b {a: 1, c: 2}\nitems:\n");
	for (int i = 0; i < 200; i++)
		obuf_puts(&b, "- *b\n");
	is_int(oyaml_parse(b.data, b.len, &j, &err), 0, "many aliases to small things are fine");
}

static void test_stream(void)
{
	static const char text[] = "a: 1\n---\nb: 2\n---\n# nothing\n---\n- c\n...\n";
	static const char *const want[] = { "{\"a\":1}", "{\"b\":2}", "null", "[\"c\"]" };
	struct oyaml_error err;
	struct oyaml *y;
	struct ojson *j;
	int n = 0;

	is_int(oyaml_open(text, sizeof(text) - 1, &y), 0, "open");
	while (oyaml_next(y, &j, &err) > 0) {
		cleanup_free char *got = ojson_text(j, 0, NULL);

		is_str(got, n < 4 ? want[n] : "too many", "document %d", n);
		ojson_unref(j);
		n++;
	}
	is_int(n, 4, "documents");
	is_int(oyaml_next(y, &j, &err), 0, "and no more");
	oyaml_close(y);
	is_int(oyaml_open("a: 1\n---\n[", 10, &y), 0, "open a broken one");
	is_int(oyaml_next(y, &j, &err), 1, "the first is good");
	ojson_unref(j);
	is_int(oyaml_next(y, &j, &err), -EINVAL, "the second is not");
	is_int(oyaml_next(y, &j, &err), 0, "then it ends");
	oyaml_close(y);
}

static void writes(const char *json, const char *want)
{
	cleanup_ojson struct ojson *j = NULL;
	cleanup_ojson struct ojson *again = NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;

	(void)ojson_parse(json, strlen(json), &j, NULL);
	is_int(oyaml_write(j, &b), 0, "write");
	is_str(obuf_cstr(&b), want, "%s", json);
	ok(oyaml_parse(b.data, b.len, &again, NULL) == 0 && ojson_equal(j, again), "reads back");
}

static void test_write(void)
{
	writes("{\"b\":1,\"a\":\"x\"}", "a: x\nb: 1\n");
	writes("{\"a\":{\"b\":[1,{\"c\":2,\"d\":[3]},[4,5]],\"e\":{},\"f\":[]}}",
	       "a:\n  b:\n  - 1\n  - c: 2\n    d:\n    - 3\n  - - 4\n    - 5\n  e: {}\n  f: []\n");
	writes("[\"true\",\"1\",\"null\",\"\",\"y\",\"a: b\",\"- x\",\"-x\",\"# c\",\" s\",\"2020-01-01\",\"1:30\"]",
	       "- \"true\"\n- \"1\"\n- \"null\"\n- \"\"\n- \"y\"\n- 'a: b'\n- '- x'\n- -x\n- '# c'\n- ' s'\n"
	       "- \"2020-01-01\"\n- \"1:30\"\n");
	writes("{\"a\":\"x\\ny\\n\",\"b\":\"x\\ny\",\"c\":\"x\\n\\n\"}", "a: |\n  x\n  y\nb: |-\n  x\n  y\nc: |+\n  x\n\n");
	writes("{\"a\":\"t\\u0001\",\"b\":null,\"c\":1.5,\"d\":false}", "a: \"t\\x01\"\nb: null\nc: 1.5\nd: false\n");
	writes("{\"nginx.conf\":\"a {\\n\\tb;\\n}\\n\"}", "nginx.conf: |\n  a {\n  \tb;\n  }\n");
	writes("\"plain\"", "plain\n");
	writes("[]", "[]\n");
	writes("{\"true\":1,\"x y\":2,\"\":3}", "\"\": 3\n\"true\": 1\nx y: 2\n");
	writes("\"a\\nb\"", "|-\n  a\n  b\n");
}

int main(void)
{
	test_scalars();
	test_maps();
	test_limits();
	test_stream();
	test_write();
	return done_testing();
}
