/* Server-side apply: tables of who applies what to what, and what comes out. */
#define OTAP_FAULTS
#include "base/ocleanup.h"
#include "base/otap.h"
#include "patch/oapply.h"
#include "toy.h"

#include <errno.h>

static const struct oschema_type *type;

/* Tests read better with ' for "; \" inside keys are written ^. */
static struct ojson *parsed(const char *text)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct ojson *j = NULL;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '^')
			obuf_putc(&b, '\\');
		obuf_putc(&b, *p == '\'' || *p == '^' ? '"' : *p);
	}
	if (ojson_parse(obuf_cstr(&b), b.len, &j, NULL) < 0)
		otap_bail_out(text);
	return j;
}

#define LIVE(fields, rest) \
	"{'metadata':{'name':'n','managedFields':[" fields "]}" rest "}"
#define ENTRY(who, op, set) \
	"{'manager':'" who "','operation':'" op "','apiVersion':'v1','time':'2020-01-01T00:00:00Z'," \
	"'fieldsType':'FieldsV1','fieldsV1':" set "}"
#define SPEC(set) "{'f:spec':" set "}"
#define NAMED(n, set) "'k:{^name^:^" n "^}':" set

static const struct row {
	const char	*name;
	const char	*live;		/* NULL: none */
	const char	*manager;
	bool		force;
	const char	*config;
	int		r;
	const char	*want;		/* the object without metadata, or the message */
	const char	*entries;	/* "manager:op:set " each, in order; NULL: not looked at */
} rows[] = {
	{ "a creation", NULL, "a", false, "{'metadata':{'name':'n'},'spec':{'replicas':2}}", 0,
	  "{'spec':{'selector':null,'template':{'containers':null},'strategy':{},'replicas':2},'status':{}}",
	  "a:Apply:{'f:spec':{'f:replicas':{}}} " },
	{ "a value of one's own changes", LIVE(ENTRY("a", "Apply", SPEC("{'f:replicas':{}}")), ",'spec':{'replicas':2}"), "a",
	  false, "{'spec':{'replicas':3}}", 0, "{'spec':{'replicas':3}}", "a:Apply:{'f:spec':{'f:replicas':{}}} " },
	{ "given up, it goes", LIVE(ENTRY("a", "Apply", SPEC("{'f:replicas':{},'f:strategy':{'f:type':{}}}")),
				   ",'spec':{'replicas':2,'strategy':{'type':'x'}}"), "a",
	  false, "{'spec':{'replicas':2}}", 0, "{'spec':{'replicas':2}}", "a:Apply:{'f:spec':{'f:replicas':{}}} " },
	{ "unless another owns it", LIVE(ENTRY("a", "Apply", SPEC("{'f:replicas':{}}")) "," ENTRY("u", "Update", SPEC("{'f:replicas':{}}")),
					",'spec':{'replicas':2}"), "a",
	  false, "{}", 0, "{'spec':{'replicas':2}}", "u:Update:{'f:spec':{'f:replicas':{}}} " },
	{ "with a struct that was his goes what nobody owns", LIVE(ENTRY("a", "Apply", SPEC("{'f:replicas':{}}")), ",'spec':{'replicas':2,'strategy':{'type':'x'}}"),
	  "a", false, "{}", 0, "{}", NULL },
	{ "a conflict", LIVE(ENTRY("u", "Update", SPEC("{'f:replicas':{}}")), ",'spec':{'replicas':2}"), "a", false,
	  "{'spec':{'replicas':3}}", -EEXIST, "Apply failed with 1 conflict: conflict with \"u\" using v1: .spec.replicas", NULL },
	{ "no conflict over the same value", LIVE(ENTRY("u", "Update", SPEC("{'f:replicas':{}}")), ",'spec':{'replicas':2}"), "a",
	  false, "{'spec':{'replicas':2}}", 0, "{'spec':{'replicas':2}}",
	  "a:Apply:{'f:spec':{'f:replicas':{}}} u:Update:{'f:spec':{'f:replicas':{}}} " },
	{ "forced", LIVE(ENTRY("u", "Update", SPEC("{'f:replicas':{}}")), ",'spec':{'replicas':2}"), "a", true,
	  "{'spec':{'replicas':3}}", 0, "{'spec':{'replicas':3}}", "a:Apply:{'f:spec':{'f:replicas':{}}} " },
	{ "several conflicts, by manager", LIVE(ENTRY("z", "Apply", SPEC("{'f:replicas':{}}")) "," ENTRY("b", "Update", SPEC("{'f:replicas':{},'f:strategy':{'f:type':{}}}")),
						",'spec':{'replicas':2,'strategy':{'type':'x'}}"), "a", false,
	  "{'spec':{'replicas':3,'strategy':{'type':'y'}}}", -EEXIST,
	  "Apply failed with 3 conflicts: conflicts with \"b\" using v1:\n- .spec.replicas\n- .spec.strategy.type\nconflicts with \"z\":\n- .spec.replicas", NULL },
	{ "untracked objects have an owner first", "{'metadata':{'name':'n'},'spec':{'replicas':2}}", "a", false,
	  "{'spec':{'replicas':3}}", -EEXIST,
	  "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .spec.replicas", NULL },
	{ "lists by key: elements join", LIVE(ENTRY("u", "Update", SPEC("{'f:template':{'f:containers':{" NAMED("x", "{'.':{},'f:name':{}}") "}}}")),
					     ",'spec':{'template':{'containers':[{'name':'x','image':'i'}]}}"), "a", false,
	  "{'spec':{'template':{'containers':[{'name':'y'}]}}}", 0,
	  "{'spec':{'template':{'containers':[{'name':'x','image':'i'},{'name':'y'}]}}}", NULL },
	{ "in the order of the configuration where it says", LIVE("", ",'spec':{'template':{'containers':[{'name':'a'},{'name':'b'},{'name':'c'}]}}"),
	  "a", false, "{'spec':{'template':{'containers':[{'name':'c'},{'name':'n'},{'name':'a'}]}}}", 0,
	  "{'spec':{'template':{'containers':[{'name':'b'},{'name':'c'},{'name':'n'},{'name':'a'}]}}}", NULL },
	{ "an element given up goes", LIVE(ENTRY("a", "Apply", SPEC("{'f:template':{'f:containers':{" NAMED("x", "{'.':{},'f:name':{}}") ","
							      NAMED("y", "{'.':{},'f:name':{}}") "}}}")),
					  ",'spec':{'template':{'containers':[{'name':'x'},{'name':'y'}]}}"), "a", false,
	  "{'spec':{'template':{'containers':[{'name':'y'}]}}}", 0, "{'spec':{'template':{'containers':[{'name':'y'}]}}}", NULL },
	{ "but not what another put into it", LIVE(ENTRY("a", "Apply", SPEC("{'f:template':{'f:containers':{" NAMED("x", "{'.':{},'f:name':{}}") "}}}")) ","
						  ENTRY("u", "Update", SPEC("{'f:template':{'f:containers':{" NAMED("x", "{'f:image':{}}") "}}}")),
						  ",'spec':{'template':{'containers':[{'name':'x','image':'i'}]}}"), "a", false,
	  "{}", 0, "{'spec':{'template':{'containers':null}}}", NULL },
	{ "keys with defaults", LIVE("", ",'spec':{'template':{'containers':[{'name':'x','ports':[{'containerPort':80,'protocol':'TCP'}]}]}}"),
	  "a", false, "{'spec':{'template':{'containers':[{'name':'x','ports':[{'containerPort':80,'name':'w'}]}]}}}", 0,
	  "{'spec':{'template':{'containers':[{'name':'x','ports':[{'containerPort':80,'protocol':'TCP','name':'w'}]}]}}}", NULL },
	{ "an atomic list", LIVE(ENTRY("u", "Update", SPEC("{'f:template':{'f:tolerations':{}}}")),
				",'spec':{'template':{'containers':null,'tolerations':[{'name':'t','value':'1'}]}}"), "a", false,
	  "{'spec':{'template':{'tolerations':[]}}}", -EEXIST,
	  "Apply failed with 1 conflict: conflict with \"u\" using v1: .spec.template.tolerations", NULL },
	{ "doubles in the live list stay", LIVE("", ",'spec':{'template':{'containers':[{'name':'x','image':'1'},{'name':'x','image':'2'}]}}"),
	  "a", false, "{'spec':{'template':{'containers':[{'name':'y'}]}}}", 0,
	  "{'spec':{'template':{'containers':[{'name':'x','image':'1'},{'name':'x','image':'2'},{'name':'y'}]}}}", NULL },
	{ "doubles in the configuration", NULL, "a", false, "{'spec':{'template':{'containers':[{'name':'y'},{'name':'y'}]}}}", -EINVAL,
	  ".spec.template.containers: duplicate entries for key [name=\"y\"]", NULL },
	{ "unknown fields", NULL, "a", false, "{'spec':{'template':{'foo':1}},'bar':2}", -EINVAL,
	  "errors:\n  .spec.template.foo: field not declared in schema\n  .bar: field not declared in schema", NULL },
	{ "wrong types", NULL, "a", false, "{'spec':{'replicas':'x'},'metadata':{'labels':{'a':1}}}", -EINVAL,
	  "errors:\n  .spec.replicas: expected numeric (int or float), got string\n"
	  "  .metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}", NULL },
	{ "entries that cannot be read", LIVE("{'manager':'x','operation':'Bend'}", ""), "a", false, "{}", -EINVAL,
	  "failed to decode managed fields: operation must be `Apply` or `Update`", NULL },
	{ "status is not the main endpoint's", LIVE("", ",'status':{'phase':'x'}"), "a", false, "{'status':{'phase':'y'},'spec':{'replicas':1}}", 0,
	  "{'status':{'phase':'y'},'spec':{'replicas':1}}", "a:Apply:{'f:spec':{'f:replicas':{}}} " },
	{ "kubectl comes from client-side apply",
	  "{'metadata':{'name':'n','annotations':{'kubectl.kubernetes.io/last-applied-configuration':"
	  "'{^apiVersion^:^v1^,^spec^:{^replicas^:2}}'},'managedFields':["
	  ENTRY("kubectl-client-side-apply", "Update", SPEC("{'f:replicas':{}}")) "]},'spec':{'replicas':2}}",
	  "kubectl", false, "{'spec':{'replicas':3}}", 0, "{'spec':{'replicas':3}}", NULL },
	{ "others do not",
	  "{'metadata':{'name':'n','annotations':{'kubectl.kubernetes.io/last-applied-configuration':"
	  "'{^apiVersion^:^v1^,^spec^:{^replicas^:2}}'},'managedFields':["
	  ENTRY("kubectl-client-side-apply", "Update", SPEC("{'f:replicas':{}}")) "]},'spec':{'replicas':2}}",
	  "other", false, "{'spec':{'replicas':3}}", -EEXIST,
	  "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: .spec.replicas", NULL },
};

static int apply(struct oarena *a, const struct row *row, const struct ojson *live, const struct ojson *config,
		 struct oapply_result *res)
{
	static const char *const reset[] = { "status", NULL };
	struct oapply_info in = {
		.schema = &toy, .type = type, .live = live, .config = config, .force = row->force,
		.manager = { row->manager, strlen(row->manager) }, .api_version = { "v1", 2 },
		.now_ns = 1700000000000000000, .reset = reset,
	};

	return oapply(a, &in, res);
}

static void is_entries(const struct ojson *managed, const char *want, const char *name)
{
	cleanup_obuf struct obuf got = OBUF_INIT;
	cleanup_obuf struct obuf w = OBUF_INIT;

	for (; *want != '\0'; want++)
		obuf_putc(&w, *want == '\'' ? '"' : *want);
	OJSON_FOREACH_ELEM(i, e, managed) {
		obuf_printf(&got, "%s:%s:", ojson_get_cstr(e, "manager", ""), ojson_get_cstr(e, "operation", ""));
		(void)ojson_write(ojson_get(e, "fieldsV1"), 0, &got);
		obuf_putc(&got, ' ');
	}
	is_str(obuf_cstr(&got), obuf_cstr(&w), "%s: owners", name);
}

static void test_row(const struct row *row)
{
	cleanup_oarena struct oarena a = OARENA_INIT;
	cleanup_ojson struct ojson *live = row->live != NULL ? parsed(row->live) : NULL;
	cleanup_ojson struct ojson *config = parsed(row->config);
	cleanup_ojson struct ojson *want = row->r == 0 ? parsed(row->want) : NULL;
	cleanup_ojson struct ojson *copy = NULL;
	struct oapply_result res;
	int r = apply(&a, row, live, config, &res);

	is_int(r, row->r, "%s", row->name);
	if (r < 0) {
		is_str(res.message, row->want, "%s: the message", row->name);
		return;
	}
	(void)ojson_copy(res.object, &copy);
	ojson_del(copy, "metadata");
	if (!ok(ojson_equal(copy, want), "%s: the object", row->name)) {
		cleanup_free char *text = ojson_text(copy, 0, NULL);

		otap_diag("%s", text);
	}
	if (row->entries != NULL)
		is_entries(res.managed, row->entries, row->name);
	ojson_unref(res.object);
	ojson_unref(res.managed);
}

/* The same once more is no change, and the time of the entry stays. */
static void test_again(void)
{
	cleanup_oarena struct oarena a = OARENA_INIT;
	cleanup_ojson struct ojson *live = parsed(LIVE(ENTRY("a", "Apply", SPEC("{'f:replicas':{}}")), ",'spec':{'replicas':2}"));
	cleanup_ojson struct ojson *config = parsed("{'spec':{'replicas':2}}");
	struct oapply_result res;

	is_int(apply(&a, &(struct row){ .manager = "a" }, live, config, &res), 0, "the same again");
	ok(res.unchanged, "changes nothing");
	is_str(ojson_get_cstr(ojson_index(res.managed, 0), "time", ""), "2020-01-01T00:00:00Z", "not even the time");
	ojson_unref(res.object);
	ojson_unref(res.managed);
}

/* Without memory at any point: an error, no leak, no crash. */
static void test_faults(void)
{
	cleanup_ojson struct ojson *live = parsed(rows[13].live);
	cleanup_ojson struct ojson *config = parsed("{'spec':{'replicas':3,'template':{'containers':[{'name':'y'}]}}}");
	bool good = true;
	int n;

	for (n = 1; good; n++) {
		cleanup_oarena struct oarena a = OARENA_INIT;
		struct oapply_result res;
		int r;

		otap_fail_nth(n);
		r = apply(&a, &rows[1], live, config, &res);
		otap_fail_nth(0);
		ojson_unref(res.object);
		ojson_unref(res.managed);
		if (!otap_faulted())
			break;
		good = r == -ENOMEM;
		if (!good)
			otap_diag("allocation %d: %d", n, r);
	}
	ok(good && n > 30, "each of %d failed allocations is -ENOMEM", n - 1);
}

int main(void)
{
	type = toy_make();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		test_row(&rows[i]);
	test_again();
	test_faults();
	return done_testing();
}
