/* JSON Patch and JSON Merge Patch: the RFCs' examples, limits, codes. */
#include "base/ocleanup.h"
#include "base/otap.h"
#include "patch/opatch.h"

#include <errno.h>
#include <orlop/inline/error.h>

static struct ojson *parsed(const char *text)
{
	struct ojson *j = NULL;

	if (ojson_parse(text, strlen(text), &j, NULL) < 0)
		otap_bail_out(text);
	return j;
}

static void is_json(const struct ojson *got, const char *want, const char *name)
{
	cleanup_ojson struct ojson *w = parsed(want);
	cleanup_free char *text = ojson_text(got, 0, NULL);

	if (!ok(ojson_equal(got, w), "%s", name))
		diag("got %s, want %s", text, want);
}

static void patches(const char *doc, const char *patch, const char *want)
{
	cleanup_ojson struct ojson *d = parsed(doc);
	cleanup_ojson struct ojson *p = parsed(patch);
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (opatch_json(&d, p, &err) < 0)
		diag("%s: %s", err.msg, err.causes != NULL ? err.causes->v[0].message : "");
	is_json(d, want, patch);
	orlop_error_done(&err);
}

static void fails(const char *doc, const char *patch, int http, const char *why)
{
	cleanup_ojson struct ojson *d = parsed(doc);
	cleanup_ojson struct ojson *p = parsed(patch);
	struct orlop_error err = ORLOP_ERROR_INIT;

	is_int(opatch_json(&d, p, &err), -EINVAL, "refuse %s", patch);
	is_int(err.http, http, "with %d", http);
	is_str(err.causes != NULL ? err.causes->v[0].message : err.msg, why, "because");
	orlop_error_done(&err);
}

static void test_rfc6902(void)
{
	patches("{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
		"{\"baz\":\"qux\",\"foo\":\"bar\"}");
	patches("{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
		"{\"foo\":[\"bar\",\"qux\",\"baz\"]}");
	patches("{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
		"{\"foo\":\"bar\"}");
	patches("{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
		"{\"foo\":[\"bar\",\"baz\"]}");
	patches("{\"baz\":\"qux\"}", "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
		"{\"baz\":\"boo\"}");
	patches("{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
		"[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
		"{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}");
	patches("{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
		"[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
		"{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}");
	patches("{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
		"[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},"
		"{\"op\":\"test\",\"path\":\"/foo/1\",\"value\":2}]",
		"{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}");
	patches("{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"grandchild\":{}}}]",
		"{\"foo\":\"bar\",\"child\":{\"grandchild\":{}}}");
	patches("{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10},"
		"{\"op\":\"remove\",\"path\":\"/~1\"}]", "{\"~1\":10}");
	patches("{\"foo\":[\"bar\"]}", "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\",\"def\"]}]",
		"{\"foo\":[\"bar\",[\"abc\",\"def\"]]}");
	patches("{\"a\":{\"b\":1}}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"},"
		"{\"op\":\"replace\",\"path\":\"/c/b\",\"value\":2}]", "{\"a\":{\"b\":1},\"c\":{\"b\":2}}");
	patches("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null}");
	patches("{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}");
	patches("{\"a\":[1,2,3]}", "[{\"op\":\"remove\",\"path\":\"/a/-1\"}]", "{\"a\":[1,2]}");
	patches("{\"\":{\"\":1}}", "[{\"op\":\"replace\",\"path\":\"//\",\"value\":2}]", "{\"\":{\"\":2}}");
	patches("{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/b\",\"value\":null}]", "{\"a\":1}");
	patches("{}", "[]", "{}");
}

static void test_errors(void)
{
	fails("{}", "{}", 400, "error decoding patch: json: cannot unmarshal object into Go value of type "
	      "jsonpatch.Patch");
	fails("{}", "[1]", 400, "error decoding patch: json: cannot unmarshal number into Go value of type "
	      "jsonpatch.Operation");
	fails("{}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1}]", 422, "testing value /a failed: test failed");
	fails("{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", 422,
	      "error in remove for path: '/a': Unable to remove nonexistent key: missing value");
	fails("{}", "[{\"op\":\"remove\",\"path\":\"/a/b\"}]", 422,
	      "remove operation does not apply: doc is missing path: \"/a/b\": missing value");
	fails("{}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":1}]", 422,
	      "replace operation does not apply: doc is missing key: /a: missing value");
	fails("{}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]", 422,
	      "add operation does not apply: doc is missing path: \"/a/b\": missing value");
	fails("{\"a\":[]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":1}]", 422,
	      "error in add for path: '/a/1': Unable to access invalid index: invalid index referenced");
	fails("{\"a\":[]}", "[{\"op\":\"add\",\"path\":\"/a/x\",\"value\":1}]", 422,
	      "error in add for path: '/a/x': value was not a proper array index");
	fails("{\"a\":1}", "[{\"op\":\"flip\",\"path\":\"/a\"}]", 422, "Unexpected kind: flip");
	fails("{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/a\"}]", 422,
	      "error in move for path: '/b': missing value");
	fails("{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", 422,
	      "error in move for path: '/a/b': moves into itself");
	fails("{\"a\":{}}", "[{\"op\":\"add\",\"path\":\"/b\"}]", 422, "add operation has no value: missing value");
}

static void test_limits(void)
{
	cleanup_ojson struct ojson *d = parsed("{\"a\":\"0123456789\"}");
	cleanup_ojson struct ojson *p = ojson_new_array();
	cleanup_ojson struct ojson *copies = ojson_new_array();
	struct orlop_error err = ORLOP_ERROR_INIT;

	for (size_t i = 0; i <= OPATCH_JSON_OPS_MAX; i++)
		(void)ojson_append(p, parsed("{\"op\":\"test\",\"path\":\"/a\",\"value\":\"0123456789\"}"));
	is_int(opatch_json(&d, p, &err), -EFBIG, "too many operations");
	is_int(err.http, 413, "are 413");
	(void)ojson_remove(p, 0);
	is_int(opatch_json(&d, p, &err), 0, "as many as allowed");
	/* each copy doubles the document */
	for (int i = 0; i < 40; i++) {
		(void)ojson_append(copies, parsed("{\"op\":\"copy\",\"from\":\"\",\"path\":\"/b\"}"));
		(void)ojson_append(copies, parsed("{\"op\":\"copy\",\"from\":\"\",\"path\":\"/c\"}"));
	}
	is_int(opatch_json(&d, copies, &err), -EINVAL, "copies that double a document end");
	ok(err.causes != NULL && strstr(err.causes->v[0].message, "exceeding") == NULL &&
	   strstr(err.causes->v[0].message, "exceeds the limit 3145728") != NULL, "at the limit");
	orlop_error_done(&err);
}

/* Moves could pile up a tree that is deeper than any text may be. */
static void test_depth(void)
{
	cleanup_ojson struct ojson *d = ojson_new_object();
	cleanup_ojson struct ojson *p = ojson_new_array();
	cleanup_obuf struct obuf deep = OBUF_INIT;
	cleanup_obuf struct obuf path = OBUF_INIT;
	struct orlop_error err = ORLOP_ERROR_INIT;

	for (int i = 0; i < 100; i++) {
		obuf_puts(&deep, "{\"x\":");
		obuf_puts(&path, "/x");
	}
	obuf_puts(&deep, "{}");
	for (int i = 0; i < 100; i++)
		obuf_putc(&deep, '}');
	for (int i = 0; i < 2; i++) {
		struct ojson *op = parsed("{\"op\":\"add\",\"path\":\"/k\"}");

		(void)ojson_set(op, "path", ojson_new_cstr(i == 0 ? "/a" : "/b"));
		(void)ojson_set(op, "value", parsed(obuf_cstr(&deep)));
		(void)ojson_append(p, op);
	}
	obuf_splice(&path, 0, 0, "/a", 2);
	obuf_puts(&path, "/y");
	{
		struct ojson *op = parsed("{\"op\":\"move\",\"from\":\"/b\"}");

		(void)ojson_set_cstr(op, "path", obuf_cstr(&path));
		(void)ojson_append(p, op);
	}
	is_int(opatch_json(&d, p, &err), -EINVAL, "moves cannot make a tree too deep");
	ok(err.causes != NULL && strncmp(err.causes->v[0].message, "exceeded max depth", 18) == 0, "because");
	orlop_error_done(&err);
}

static void merges(const char *doc, const char *patch, const char *want)
{
	cleanup_ojson struct ojson *d = parsed(doc);
	cleanup_ojson struct ojson *p = parsed(patch);

	is_int(opatch_merge(&d, p, NULL), 0, "merge %s", patch);
	is_json(d, want, "result");
}

static void test_rfc7386(void)
{
	cleanup_ojson struct ojson *d = parsed("{}");
	cleanup_ojson struct ojson *list = parsed("[1]");
	struct orlop_error err = ORLOP_ERROR_INIT;

	merges("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	merges("{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}");
	merges("{\"a\":\"b\"}", "{\"a\":null}", "{}");
	merges("{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}");
	merges("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	merges("{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}");
	merges("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}");
	merges("{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}");
	merges("{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}");
	merges("[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}");
	merges("{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}");
	merges("{\"a\":\"foo\"}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}");
	is_int(opatch_merge(&d, list, &err), -EINVAL, "a patch that is no object");
	is_int(err.http, 400, "is 400");
}

int main(void)
{
	test_rfc6902();
	test_errors();
	test_limits();
	test_depth();
	test_rfc7386();
	return done_testing();
}
