/* managedFields: sets, what an object sets, what a write takes, order, clearing, summing up. */
#define OTAP_FAULTS
#include "base/ocleanup.h"
#include "base/otap.h"
#include "base/otime.h"
#include "patch/ofields.h"
#include "patch/omanaged.h"
#include "toy.h"

#include <errno.h>
#include <orlop/inline/error.h>

static const struct oschema_type *type;

/* Tests read better with ' for "; \" inside keys are written ^. */
static char *unquoted(const char *text)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	for (; *text != '\0'; text++) {
		if (*text == '\'')
			obuf_putc(&b, '"');
		else if (*text == '^')
			obuf_puts(&b, "\\\"");
		else
			obuf_putc(&b, *text);
	}
	return obuf_steal(&b, NULL);
}

static struct ojson *parsed(const char *text)
{
	cleanup_free char *copy = unquoted(text);
	struct ojson *j = NULL;

	if (copy == NULL || ojson_parse(copy, strlen(copy), &j, NULL) < 0)
		otap_bail_out(text);
	return j;
}

static const struct ofields *set(struct oarena *a, const char *text)
{
	cleanup_ojson struct ojson *j = parsed(text);
	const struct ofields *s = NULL;

	if (ofields_parse(a, j, &s) < 0)
		otap_bail_out(text);
	return s;
}

static void is_set(const struct ofields *s, const char *want, const char *name)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_free char *w = unquoted(want);

	ofields_write(s, &b);
	is_str(obuf_cstr(&b), w, "%s", name);
}

static int put_path(void *arg, const char *path, size_t len)
{
	obuf_append(arg, path, len);
	obuf_putc(arg, ' ');
	return 0;
}

static void test_sets(void)
{
	cleanup_oarena struct oarena a = OARENA_INIT;
	cleanup_obuf struct obuf paths = OBUF_INIT;
	const struct ofields *x = set(&a, "{'f:a':{'.':{},'f:b':{}},'f:c':{}}");
	const struct ofields *y = set(&a, "{'f:a':{'f:b':{},'f:d':{}},'f:e':{}}");
	const struct ofields *r;

	(void)ofields_union(&a, x, y, &r);
	is_set(r, "{'f:a':{'.':{},'f:b':{},'f:d':{}},'f:c':{},'f:e':{}}", "union");
	(void)ofields_intersection(&a, x, y, &r);
	is_set(r, "{'f:a':{'f:b':{}}}", "intersection");
	(void)ofields_difference(&a, x, y, &r);
	is_set(r, "{'f:a':{},'f:c':{}}", "difference");
	(void)ofields_difference(&a, y, x, &r);
	is_set(r, "{'f:a':{'f:d':{}},'f:e':{}}", "the other way");
	(void)ofields_difference(&a, x, set(&a, "{'f:a':{}}"), &r);
	is_set(r, "{'f:a':{'f:b':{}},'f:c':{}}", "a member goes, what is below stays");
	(void)ofields_difference_recursive(&a, x, set(&a, "{'f:a':{}}"), &r);
	is_set(r, "{'f:c':{}}", "recursively, it goes too");
	(void)ofields_difference(&a, x, x, &r);
	ok(ofields_is_empty(r), "nothing is left of a set without itself");
	is_set(r, "{}", "the empty set");
	ok(ofields_equal(x, set(&a, "{'f:c':{},'f:a':{'f:b':{},'.':{}}}")), "order of members does not matter");
	ok(!ofields_equal(x, y), "different sets");
	(void)ofields_leaves(&a, x, &r);
	is_set(r, "{'f:a':{'f:b':{}},'f:c':{}}", "leaves");
	r = set(&a, "{'v:2':{},'v:10':{},'i:1':{},'k:{^name^:^b^}':{},'k:{^name^:^a^}':{},'f:z':{},'v:^x^':{},"
		    "'k:{ ^z^ : 1, ^a^ : true }':{}}");
	is_set(r, "{'f:z':{},'k:{^a^:true,^z^:1}':{},'k:{^name^:^a^}':{},'k:{^name^:^b^}':{},'v:2':{},'v:10':{},"
	       "'v:^x^':{},'i:1':{}}", "order of path elements, normalized");
	(void)ofields_each(set(&a, "{'f:s':{'f:c':{'k:{^n^:^x^,^p^:80}':{'.':{},'f:i':{}}},'v:^a^':{},'i:3':{}}}"),
			   put_path, &paths);
	is_str(obuf_cstr(&paths), ".s.c[n=\"x\",p=80] .s.c[n=\"x\",p=80].i .s[=\"a\"] .s[3] ", "as conflicts print");
	(void)ofields_from_paths(&a, (const char *const[]){ "status", "metadata.name", "metadata", NULL }, &r);
	is_set(r, "{'f:metadata':{'.':{},'f:name':{}},'f:status':{}}", "from dotted paths");
}

static void bad_set(const char *text)
{
	cleanup_oarena struct oarena a = OARENA_INIT;
	cleanup_ojson struct ojson *j = parsed(text);
	const struct ofields *s;

	is_int(ofields_parse(&a, j, &s), -EINVAL, "no set: %s", text);
}

static const char full[] =
	"{'apiVersion':'apps/v1','kind':'Toy','metadata':{'name':'n','labels':{'a':'1'},'finalizers':['f'],"
	"'ownerReferences':[{'uid':'u','name':'o'}]},'spec':{'replicas':2,'selector':{'matchLabels':{'a':'1'}},"
	"'template':{'containers':[{'name':'c','image':'i','args':['x'],'ports':[{'containerPort':80}],"
	"'resources':{}}],'nodeSelector':{'n':'1'}},'strategy':{'rollingUpdate':{'maxSurge':1}}},'status':{}}";

static void test_object(void)
{
	cleanup_oarena struct oarena a = OARENA_INIT;
	cleanup_ojson struct ojson *j = parsed(full);
	cleanup_ojson struct ojson *zero = NULL;
	cleanup_free char *text = NULL;
	cleanup_free char *want = unquoted("{'metadata':{},'spec':{'selector':null,'template':{'containers':null},"
					   "'strategy':{}},'status':{}}");
	const struct ofields *s;

	is_int(ofields_from_object(&a, &toy, type, j, &s), 0, "set of an object");
	is_set(s, "{'f:apiVersion':{},'f:kind':{},'f:metadata':{'f:finalizers':{'v:^f^':{}},'f:labels':{'f:a':{}},"
	       "'f:name':{},'f:ownerReferences':{'k:{^uid^:^u^}':{}}},'f:spec':{'f:replicas':{},'f:selector':{},"
	       "'f:strategy':{'f:rollingUpdate':{'f:maxSurge':{}}},'f:template':{'f:containers':{'k:{^name^:^c^}':"
	       "{'.':{},'f:args':{},'f:image':{},'f:name':{},'f:ports':{'k:{^containerPort^:80,^protocol^:^TCP^}':"
	       "{'.':{},'f:containerPort':{}}},'f:resources':{}}},'f:nodeSelector':{}}},'f:status':{}}",
	       "by the rules of apply");
	is_int(ofields_zero(&toy, type, &zero), 0, "the empty struct");
	text = ojson_text(zero, 0, NULL);
	is_str(text, want, "as Go writes it");
}

#define T0 1700000000ll

/* One write: @live NULL creates. The new object is returned. */
static struct ojson *written(const struct ojson *live, const char *object, const char *manager,
			     const char *sub, int64_t time_s)
{
	static const char *const status_only[] = { "spec", NULL };
	static const char *const no_status[] = { "status", NULL };
	struct ojson *j = parsed(object);
	struct omanaged_write_info w = {
		.schema = &toy, .type = type, .live = live, .object = j,
		.manager = { manager, strlen(manager) }, .api_version = { "apps/v1", 7 },
		.subresource = { sub, strlen(sub) }, .now_ns = time_s * OTIME_SECOND,
		.reset = sub[0] != '\0' ? status_only : no_status,
	};

	if (live != NULL && !ojson_has(ojson_get(j, "metadata"), "managedFields"))
		(void)ojson_put(ojson_get(j, "metadata"), "managedFields", NULL);
	is_int(omanaged_update(&w), 0, "write by %s%s%s", manager, sub[0] != '\0' ? "/" : "", sub);
	return j;
}

static void is_managed(const struct ojson *j, const char *want, const char *name)
{
	cleanup_free char *text = ojson_text(OJSON_AT(j, "metadata", "managedFields"), 0, NULL);
	cleanup_free char *w = unquoted(want);

	is_str(text, w, "%s", name);
}

#define ENTRY(manager, time, fields) \
	"{'manager':'" manager "','operation':'Update','apiVersion':'apps/v1','time':'2023-11-14T22:13:" time \
	"Z','fieldsType':'FieldsV1','fieldsV1':" fields "}"
#define ENTRY_STATUS(manager, time, fields) \
	"{'manager':'" manager "','operation':'Update','apiVersion':'apps/v1','time':'2023-11-14T22:13:" time \
	"Z','fieldsType':'FieldsV1','fieldsV1':" fields ",'subresource':'status'}"

static void test_create(void)
{
	cleanup_ojson struct ojson *j = written(NULL, full, "kubectl-create", "", T0);
	cleanup_ojson struct ojson *config =
		written(NULL, "{'apiVersion':'v1','kind':'Toy','metadata':{'name':'c'},'data':{'k':'v'}}", "m", "", T0);

	is_managed(j, "[" ENTRY("kubectl-create", "20",
		"{'f:metadata':{'f:finalizers':{'.':{},'v:^f^':{}},'f:labels':{'.':{},'f:a':{}},"
		"'f:ownerReferences':{'.':{},'k:{^uid^:^u^}':{}}},'f:spec':{'f:replicas':{},'f:selector':{},"
		"'f:strategy':{'f:rollingUpdate':{'.':{},'f:maxSurge':{}}},'f:template':{'f:containers':"
		"{'k:{^name^:^c^}':{'.':{},'f:args':{},'f:image':{},'f:name':{},'f:ports':{'.':{},"
		"'k:{^containerPort^:80,^protocol^:^TCP^}':{'.':{},'f:containerPort':{}}},'f:resources':{}}},"
		"'f:nodeSelector':{}}}}") "]", "a create owns what it sets");
	is_managed(config, "[" ENTRY("m", "20", "{'f:data':{'.':{},'f:k':{}}}") "]", "a map that was not there");
}

static void test_update(void)
{
	cleanup_ojson struct ojson *a =
		written(NULL, "{'metadata':{'name':'n'},'data':{'x':'1','y':'2'},'status':{}}", "one", "", T0);
	cleanup_ojson struct ojson *b =
		written(a, "{'metadata':{'name':'n'},'data':{'x':'1','y':'3','z':'4'},'status':{}}", "two", "", T0 + 1);
	cleanup_ojson struct ojson *same =
		written(b, "{'metadata':{'name':'n'},'data':{'x':'1','y':'3','z':'4'},'status':{}}", "three", "", T0 + 2);
	cleanup_ojson struct ojson *c =
		written(b, "{'metadata':{'name':'n'},'data':{'y':'3','z':'4'},'status':{}}", "two", "", T0 + 2);
	cleanup_ojson struct ojson *d =
		written(c, "{'metadata':{'name':'n'},'data':{'y':'3','z':'4'},'status':{'phase':'ok',"
			"'conditions':[{'type':'R','status':'T'}]}}", "kubelet", "status", T0 + 3);
	cleanup_ojson struct ojson *e =
		written(d, "{'metadata':{'name':'n'},'data':{'y':'3','z':'4'},'status':{'phase':'no',"
			"'conditions':[{'type':'R','status':'T'}]}}", "one", "", T0 + 4);
	cleanup_ojson struct ojson *f =
		written(d, "{'metadata':{'name':'n'},'status':{}}", "one", "", T0 + 5);

	is_managed(b, "[" ENTRY("one", "20", "{'f:data':{'.':{},'f:x':{}}}") ","
		   ENTRY("two", "21", "{'f:data':{'f:y':{},'f:z':{}}}") "]", "what is changed moves");
	ok(ojson_equal(OJSON_AT(b, "metadata", "managedFields"), OJSON_AT(same, "metadata", "managedFields")),
	   "a write that changes nothing leaves the entries");
	is_managed(c, "[" ENTRY("one", "20", "{'f:data':{}}") ","
		   ENTRY("two", "21", "{'f:data':{'f:y':{},'f:z':{}}}") "]", "what is removed leaves everybody");
	is_managed(d, "[" ENTRY("one", "20", "{'f:data':{}}") ","
		   ENTRY("two", "21", "{'f:data':{'f:y':{},'f:z':{}}}") ","
		   ENTRY_STATUS("kubelet", "23", "{'f:status':{'f:conditions':{'.':{},'k:{^type^:^R^}':{'.':{},"
				"'f:status':{},'f:type':{}}},'f:phase':{}}}") "]", "status has an entry of its own");
	ok(ojson_equal(OJSON_AT(d, "metadata", "managedFields"), OJSON_AT(e, "metadata", "managedFields")),
	   "the main endpoint never owns status");
	is_managed(f, "[" ENTRY_STATUS("kubelet", "23", "{'f:status':{'f:conditions':{'.':{},'k:{^type^:^R^}':{'.':{},"
				       "'f:status':{},'f:type':{}}},'f:phase':{}}}") "]",
		   "entries that own nothing go, status removed by the main endpoint does not count");
}

static void test_client(void)
{
	cleanup_ojson struct ojson *a = written(NULL, "{'metadata':{'name':'n'},'data':{'x':'1'}}", "one", "", T0);
	cleanup_ojson struct ojson *cleared =
		written(a, "{'metadata':{'name':'n','managedFields':[{}]},'data':{'x':'2'}}", "two", "", T0 + 1);
	cleanup_ojson struct ojson *after =
		written(cleared, "{'metadata':{'name':'n'},'data':{'x':'3'}}", "two", "", T0 + 2);
	cleanup_ojson struct ojson *empty =
		written(a, "{'metadata':{'name':'n','managedFields':[]},'data':{'x':'1'}}", "two", "", T0 + 1);
	cleanup_ojson struct ojson *own =
		written(a, "{'metadata':{'name':'n','managedFields':[" ENTRY("zed", "00", "{'f:data':{'f:x':{}}}")
			"]},'data':{'x':'1'}}", "two", "", T0 + 1);
	cleanup_ojson struct ojson *broken =
		written(a, "{'metadata':{'name':'n','managedFields':[{'operation':'Dance'}]},'data':{'x':'1'}}", "two",
			"", T0 + 1);
	cleanup_ojson struct ojson *sub =
		written(a, "{'metadata':{'name':'n','managedFields':[{}]},'data':{'x':'1'}}", "two", "status", T0 + 1);
	cleanup_ojson struct ojson *nobody = written(NULL, "{'metadata':{'name':'n'},'data':{'x':'1'}}", "", "", T0);

	is_managed(cleared, "null", "[{}] clears");
	is_managed(after, "null", "and what was cleared stays so");
	is_managed(empty, "null", "so does []");
	is_managed(own, "[" ENTRY("zed", "00", "{'f:data':{'f:x':{}}}") "]", "a client may set entries");
	is_managed(broken, "[" ENTRY("one", "20", "{'f:data':{'.':{},'f:x':{}}}") "]",
		   "entries that make no sense are ignored");
	is_managed(sub, "[" ENTRY("one", "20", "{'f:data':{'.':{},'f:x':{}}}") "]", "not through a subresource");
	is_str(ojson_cstr(ojson_at_dotted(nobody, "metadata.managedFields.0.manager"), ""), "unknown", "no name");
}

static void test_cap(void)
{
	cleanup_ojson struct ojson *j = written(NULL, "{'metadata':{'name':'n'},'data':{'k0':'v'}}", "m00", "", T0);
	const struct ojson *list;

	for (int i = 1; i < 14; i++) {
		char object[400];
		char manager[16];
		size_t n = (size_t)snprintf(object, sizeof(object), "{'metadata':{'name':'n'},'data':{'k0':'v'");
		struct ojson *next;

		for (int k = 1; k <= i; k++)
			n += (size_t)snprintf(object + n, sizeof(object) - n, ",'k%d':'v'", k);
		(void)snprintf(object + n, sizeof(object) - n, "}}");
		(void)snprintf(manager, sizeof(manager), "m%02d", i);
		next = written(j, object, manager, "", T0 + i);
		ojson_unref(j);
		j = next;
	}
	list = OJSON_AT(j, "metadata", "managedFields");
	is_int(ojson_count(list), OMANAGED_UPDATERS_MAX, "at most ten updaters");
	is_str(ojson_get_cstr(ojson_index(list, 0), "manager", ""), "ancient-changes", "the oldest are one");
	is_str(ojson_get_cstr(ojson_index(list, 0), "time", ""), "2023-11-14T22:13:24Z", "with the latest time");
	is_int(ojson_count(ojson_at_dotted(ojson_index(list, 0), "fieldsV1.f:data")), 6, "and all their fields");
}

static void test_versions_and_lists(void)
{
	cleanup_ojson struct ojson *a =
		written(NULL, "{'metadata':{'name':'n'},'spec':{'template':{'containers':[{'name':'c','image':'1',"
			"'ports':[{'containerPort':53,'protocol':'UDP'},{'containerPort':53,'protocol':'TCP'}]}]}}}",
			"one", "", T0);
	cleanup_ojson struct ojson *b =
		written(a, "{'metadata':{'name':'n'},'spec':{'template':{'containers':[{'name':'c','image':'2',"
			"'ports':[{'containerPort':53,'protocol':'TCP','name':'dns'}]},{'name':'d'}]}}}", "two", "", T0 + 1);

	is_managed(b, "[" ENTRY("one", "20", "{'f:spec':{'f:template':{'f:containers':{'k:{^name^:^c^}':{'.':{},"
		"'f:name':{},'f:ports':{'.':{},'k:{^containerPort^:53,^protocol^:^TCP^}':{'.':{},"
		"'f:containerPort':{},'f:protocol':{}}}}}}}}") "," ENTRY("two", "21",
		"{'f:spec':{'f:template':{'f:containers':{'k:{^name^:^c^}':{'f:image':{},'f:ports':"
		"{'k:{^containerPort^:53,^protocol^:^TCP^}':{'f:name':{}}}},'k:{^name^:^d^}':{'.':{},'f:name':{}}}}}}") "]",
		"elements of lists change hands one by one");
}

static void test_faults(void)
{
	bool good = true;
	int n;

	for (n = 1; good; n++) {
		cleanup_ojson struct ojson *j = parsed(full);
		struct omanaged_write_info w = {
			.schema = &toy, .type = type, .object = j, .manager = { "m", 1 },
			.api_version = { "v1", 2 }, .now_ns = 1,
		};
		int r;

		otap_fail_nth(n);
		r = omanaged_update(&w);
		otap_fail_nth(0);
		if (!otap_faulted())
			break;
		good = r == -ENOMEM;
	}
	ok(good && n > 100, "each of %d failed allocations is -ENOMEM", n - 1);
}

static void test_manager(void)
{
	struct orlop_bytes none = { NULL, 0 };
	struct orlop_bytes agent = { "kubectl/v1.36.0 (linux/amd64)", 29 };
	struct orlop_bytes given = { "mine", 4 };
	struct orlop_bytes m = omanaged_manager(none, agent);

	is_mem(m.p, m.len, "kubectl", 7, "from the user agent");
	m = omanaged_manager(given, agent);
	is_mem(m.p, m.len, "mine", 4, "as given");
	m = omanaged_manager(none, none);
	is_int(m.len, 0, "neither");
}

int main(void)
{
	type = toy_make();
	test_sets();
	bad_set("{'x:a':{}}");
	bad_set("{'f:a':1}");
	bad_set("{'k:[]':{}}");
	bad_set("{'v:x':{}}");
	bad_set("{'i:x':{}}");
	bad_set("{'f':{}}");
	test_object();
	test_create();
	test_update();
	test_client();
	test_cap();
	test_versions_and_lists();
	test_faults();
	test_manager();
	return done_testing();
}
