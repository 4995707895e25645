/* bind.c - bindings made in the pod's bytes are what trees make of them, to the last byte of the record. */
#include "base/otap.h"
#include "registry/bind.h"
#include "rig.h"

/* The last record of @key with its uid blanked: that one is random. */
static char *record_of(struct rig *r, const char *key, const char *uid, size_t *ret_len)
{
	const struct rig_version *v = rig_at(r, rig_text(key), UINT64_MAX);
	char *p, *at;

	if (!v || !v->value)
		return NULL;
	p = omem_strndup(v->value, v->value_len);
	while ((at = memmem(p, v->value_len, uid, strlen(uid))))
		memset(at, '-', strlen(uid));
	*ret_len = v->value_len;
	return p;
}

/* Creates @pod, changes it by @status, binds it by @body. */
static char *bound(struct rig *r, const char *pod, const char *status, const char *meta, const char *body,
		   size_t *ret_len)
{
	char uid[64];
	char *p;

	if (rig_do(r, "create pods default", "", pod) != 201)
		diag("%s", r->body);
	snprintf(uid, sizeof(uid), "%s", rig_at_path(r, "metadata.uid"));
	if (status && rig_do(r, "merge-patch pods default p status", "", status) != 200)
		diag("%s", r->body);
	if (meta && rig_do(r, "merge-patch pods default p", "", meta) != 200)
		diag("%s", r->body);
	if (rig_do(r, "create pods default p binding", "", body) != 201)
		diag("%s", r->body);
	p = record_of(r, "pods/default/p", uid, ret_len);
	rig_do(r, "delete pods default p", "gracePeriodSeconds=0", "");
	return p;
}

#define HEAD "{\"metadata\":{\"name\":\"p\",\"labels\":{\"b\":\"2\",\"a\":\"1\"}},\"spec\":{\"automountServiceAccountToken\":false,"
#define CONTAINERS "\"containers\":[{\"name\":\"c\",\"image\":\"b\",\"env\":[{\"name\":\"E\",\"value\":\"\\\"}]nodeName\\\\\"}]}]}}"
#define SCHEDULED(v) "{\"type\":\"PodScheduled\",\"status\":\"" v "\",\"reason\":\"Unschedulable\",\"message\":\"0/3 nodes \\\"are\\\"\",\"lastTransitionTime\":\"2025-01-01T00:00:00Z\"}"
#define READY "{\"type\":\"Ready\",\"status\":\"False\"}"

static void test_same(struct rig *r)
{
	static const char plain[] = "{\"kind\":\"Binding\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\",\"namespace\":\"default\"},\"target\":{\"kind\":\"Node\",\"name\":\"n1\"}}";
	static const char escaped[] = "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\",\"name\":\"n\\u0031\"}}";
	static const struct {
		const char *what;
		const char *pod;
		const char *status;
		const char *meta;
	} v[] = {
		{ "a plain pod", HEAD CONTAINERS, NULL, NULL },
		{ "one with members on both sides", HEAD "\"hostname\":\"h\",\"hostNetwork\":false,\"nodeSelector\":{\"a\":\"b\"},\"schedulerName\":\"s\"," CONTAINERS, NULL, NULL },
		{ "with priority and tolerations", HEAD "\"priorityClassName\":\"system-node-critical\",\"tolerations\":[{\"operator\":\"Exists\"}]," CONTAINERS, NULL, NULL },
		{ "found unschedulable before", HEAD CONTAINERS, "{\"status\":{\"conditions\":[" SCHEDULED("False") "]}}", NULL },
		{ "between other conditions", HEAD CONTAINERS, "{\"status\":{\"conditions\":[" READY "," SCHEDULED("False") ",{\"type\":\"x.y/z\",\"status\":\"True\"}]}}", NULL },
		{ "other conditions only", HEAD CONTAINERS, "{\"status\":{\"conditions\":[" READY "]}}", NULL },
		{ "said to be scheduled already", HEAD CONTAINERS, "{\"status\":{\"conditions\":[" SCHEDULED("True") "]}}", NULL },
		{ "nominated", HEAD CONTAINERS, "{\"status\":{\"nominatedNodeName\":\"n7\",\"message\":\"m\"}}", NULL },
		{ "with owners and annotations", HEAD CONTAINERS, NULL, "{\"metadata\":{\"annotations\":{\"x\":\"<&>\\u00e9\\n\"},\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"X\",\"name\":\"x\",\"uid\":\"u2\"},{\"apiVersion\":\"v1\",\"kind\":\"X\",\"name\":\"x\",\"uid\":\"u1\"}]}}" },
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		size_t n_text = 0, n_tree = 0;
		char *text = bound(r, v[i].pod, v[i].status, v[i].meta, plain, &n_text);
		char *tree = bound(r, v[i].pod, v[i].status, v[i].meta, escaped, &n_tree);

		ok(text && tree && n_text == n_tree && !memcmp(text, tree, n_text), "%s", v[i].what);
		if (text && tree && (n_text != n_tree || memcmp(text, tree, n_text) != 0)) {
			diag("bytes %zu: %.*s", n_text, (int)(n_text - 48), text + 48);
			diag("tree  %zu: %.*s", n_tree, (int)(n_tree - 48), tree + 48);
		}
		ok(text && memmem(text, n_text, "\"nodeName\":\"n1\"", 15), "bound");
		omem_free(text);
		omem_free(tree);
	}
}

/* Somebody else's write of the pod: what this is, NULL: the same again. */
static struct orlop_bytes theirs;

static void somebody_writes(struct rig *r)
{
	const struct rig_version *v = rig_at(r, rig_text("pods/default/p"), UINT64_MAX);
	struct orlop_bytes key = { "pods/default/p", 14 };
	struct orlop_bytes value = theirs.p ? theirs : (struct orlop_bytes){ v->value, v->value_len };

	rig_keep(r, key, value, fakehost_put_record(r->fh, key, value));
}

static void test_race(struct rig *r)
{
	static const char first[] = "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\",\"name\":\"n1\"}}";
	static const char body[] = "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\",\"name\":\"n2\"}}";
	size_t n = 0;
	char *p = bound(r, HEAD CONTAINERS, NULL, NULL, first, &n);

	rig_do(r, "create pods default", "", HEAD CONTAINERS);
	r->race = somebody_writes;
	is_int(rig_do(r, "create pods default p binding", "", body), 201, "bound after a lost race");
	rig_do(r, "get pods default p", "", "");
	is_str(rig_at_path(r, "spec.nodeName"), "n2", "the node");
	is_int(rig_do(r, "create pods default p binding", "", body), 409, "no second time");
	ok(strstr(r->body, "already assigned to node \\\"n2\\\"") != NULL, "says why");
	rig_do(r, "delete pods default p", "gracePeriodSeconds=0", "");

	rig_do(r, "create pods default", "", HEAD CONTAINERS);
	theirs = (struct orlop_bytes){ p, n };
	r->race = somebody_writes;
	is_int(rig_do(r, "create pods default p binding", "", body), 409, "another was faster");
	ok(strstr(r->body, "already assigned to node \\\"n1\\\"") != NULL, "says who");
	rig_do(r, "get pods default p", "", "");
	is_str(rig_at_path(r, "spec.nodeName"), "n1", "and that holds");
	rig_do(r, "delete pods default p", "gracePeriodSeconds=0", "");
	omem_free(p);
}

static void test_refused(struct rig *r)
{
	rig_do(r, "create pods default", "", HEAD "\"schedulingGates\":[{\"name\":\"a/b\"}]," CONTAINERS);
	is_int(rig_do(r, "create pods default p binding", "", "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}"), 422, "a gate");
	is_int(rig_do(r, "create pods default p binding", "", "{\"metadata\":{\"name\":\"p\",\"uid\":\"other\"},\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}"), 409, "another pod's uid");
	is_int(rig_do(r, "create pods default p binding", "", "{\"metadata\":{\"name\":\"q\"},\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}"), 400, "another name");
	is_int(rig_do(r, "create pods default p binding", "", "{\"metadata\":{\"name\":\"p\",\"namespace\":\"x\"},\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}"), 400, "another namespace");
	is_int(rig_do(r, "create pods default q binding", "", "{\"metadata\":{\"name\":\"q\"},\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}"), 404, "no such pod");
	rig_do(r, "delete pods default p", "gracePeriodSeconds=0", "");
	rig_do(r, "create pods default", "", HEAD CONTAINERS);
	is_int(rig_do(r, "create pods default p binding", "dryRun=All", "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}"), 201, "a dry run");
	rig_do(r, "get pods default p", "", "");
	is_str(rig_at_path(r, "spec.nodeName"), NULL, "binds nothing");
}

static void test_scan(void)
{
	static const char *const plain[] = {
		"{\"metadata\":{\"name\":\"p\"},\"target\":{\"name\":\"n\"}}",
		" {\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"creationTimestamp\":null,\"uid\":\"u\"},\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}\n",
	};
	static const char *const other[] = {
		"", "[]", "{", "{}", "{\"metadata\":{},\"target\":{}}", "{\"metadata\":{},\"target\":{\"name\":1}}",
		"{\"metadata\":{},\"target\":{\"name\":\"\"}}", "{\"metadata\":{},\"target\":{\"name\":\"a\\\"b\"}}",
		"{\"metadata\":{},\"target\":{\"name\":\"A_b\"}}", "{\"metadata\":{},\"target\":{\"name\":\"a\",\"name\":\"b\"}}",
		"{\"metadata\":{},\"metadata\":{},\"target\":{\"name\":\"a\"}}",
		"{\"metadata\":{\"annotations\":{}},\"target\":{\"name\":\"a\"}}",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"target\":{\"name\":\"a\"}}",
		"{\"metadata\":{},\"target\":{\"name\":\"a\",\"kind\":\"Pod\"}}", "{\"metadata\":{},\"target\":{\"name\":\"a\"}} x",
		"{\"metadata\":null,\"target\":{\"name\":\"a\"}}", "{\"kind\":\"Pod\",\"metadata\":{},\"target\":{\"name\":\"a\"}}",
	};
	struct bind_body b;

	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		ok(bind_scan(rig_text(plain[i]), &b) && ostr_is(b.node.p, b.node.len, "n"), "plain: %s", plain[i]);
	for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++)
		ok(!bind_scan(rig_text(other[i]), &b), "not plain: %s", other[i]);
}

int main(void)
{
	struct rig *r = rig_new();

	is_int(rig_boot(r), 0, "bootstrap");
	rig_do(r, "create serviceaccounts default", "", "{\"metadata\":{\"name\":\"default\"}}");
	test_scan();
	test_same(r);
	test_race(r);
	test_refused(r);
	rig_free(r);
	return done_testing();
}
