/* Strategic merge patch: strategies, merge keys, every directive, order, codes. */
#include "base/ocleanup.h"
#include "base/otap.h"
#include "patch/opatch.h"
#include "toy.h"

#include <errno.h>
#include <orlop/inline/error.h>

static const struct oschema_type *type;

/* Tests read better with ' for ". */
static struct ojson *parsed(const char *text)
{
	cleanup_free char *copy = omem_strdup(text);
	struct ojson *j = NULL;

	for (char *s = copy; s != NULL && *s != '\0'; s++)
		if (*s == '\'')
			*s = '"';
	if (copy == NULL || ojson_parse(copy, strlen(copy), &j, NULL) < 0)
		otap_bail_out(text);
	return j;
}

static void patches(const char *name, const char *doc, const char *patch, const char *want)
{
	cleanup_ojson struct ojson *d = parsed(doc);
	cleanup_ojson struct ojson *p = parsed(patch);
	cleanup_ojson struct ojson *w = parsed(want);
	cleanup_free char *text = NULL;
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (opatch_strategic(&d, p, &toy, type, &err) < 0)
		diag("%s", err.msg);
	text = ojson_text(d, 0, NULL);
	if (!ok(ojson_equal(d, w), "%s", name))
		diag("got %s, want %s", text, want);
}

static void fails(const char *name, const char *doc, const char *patch, int http, const char *why)
{
	cleanup_ojson struct ojson *d = parsed(doc);
	cleanup_ojson struct ojson *p = parsed(patch);
	struct orlop_error err = ORLOP_ERROR_INIT;

	is_int(opatch_strategic(&d, p, &toy, type, &err), -EINVAL, "refuse: %s", name);
	is_int(err.http, http, "with %d", http);
	is_str(err.msg, why, "because");
}

static void test_maps(void)
{
	patches("maps merge", "{'metadata':{'labels':{'a':'1','b':'2'}}}",
		"{'metadata':{'labels':{'b':'3','c':'4'}}}",
		"{'metadata':{'labels':{'a':'1','b':'3','c':'4'}}}");
	patches("null deletes", "{'metadata':{'labels':{'a':'1','b':'2'}},'spec':{'replicas':1}}",
		"{'metadata':{'labels':{'a':null}},'spec':{'replicas':null}}",
		"{'metadata':{'labels':{'b':'2'}},'spec':{}}");
	patches("null of nothing", "{}", "{'spec':{'replicas':null,'strategy':{'type':null}}}",
		"{'spec':{'strategy':{}}}");
	patches("$patch: replace replaces a map", "{'data':{'a':'1','b':'2'}}",
		"{'data':{'$patch':'replace','c':'3'}}", "{'data':{'c':'3'}}");
	patches("$patch: delete empties a map", "{'data':{'a':'1','b':'2'}}",
		"{'data':{'$patch':'delete'}}", "{'data':{}}");
	patches("$patch: replace at the top", "{'data':{'a':'1'},'spec':{}}",
		"{'$patch':'replace','data':{'b':'2'}}", "{'data':{'b':'2'}}");
	patches("another type replaces", "{'data':'x'}", "{'data':{'a':'1'}}", "{'data':{'a':'1'}}");
	patches("retainKeys drops the other members",
		"{'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}}",
		"{'spec':{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}}",
		"{'spec':{'strategy':{'type':'Recreate'}}}");
	patches("retainKeys inside a list element",
		"{'spec':{'template':{'volumes':[{'name':'v','emptyDir':{}}]}}}",
		"{'spec':{'template':{'volumes':[{'$retainKeys':['name','hostPath'],'name':'v',"
		"'hostPath':{'path':'/x'}}]}}}",
		"{'spec':{'template':{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}}}");
	fails("retainKeys that misses a member of the patch", "{'spec':{}}",
	      "{'spec':{'$retainKeys':['replicas'],'strategy':{}}}", 400, "invalid patch format of retainKeys");
	fails("retainKeys that is no list", "{'spec':{}}", "{'spec':{'$retainKeys':'x'}}", 400,
	      "invalid patch format of retainKeys");
	fails("unknown directive", "{'data':{}}", "{'data':{'$patch':'mangle'}}", 422,
	      "unknown patch type: mangle in map: map[$patch:mangle]");
	fails("no object", "{}", "[]", 400,
	      "error decoding patch: json: cannot unmarshal array into Go value of type "
	      "map[string]interface {}");
}

#define C(list) "{'spec':{'template':{'containers':" list "}}}"

static void test_lists(void)
{
	patches("merge by key", C("[{'name':'a','image':'1'},{'name':'b','image':'2'}]"),
		C("[{'name':'b','image':'3'}]"), C("[{'name':'a','image':'1'},{'name':'b','image':'3'}]"));
	patches("a new element is appended", C("[{'name':'a'}]"), C("[{'name':'c','image':'9'}]"),
		C("[{'name':'c','image':'9'},{'name':'a'}]"));
	patches("nested lists merge by their own keys",
		C("[{'name':'a','env':[{'name':'X','value':'1'}],'args':['-v']}]"),
		C("[{'name':'a','env':[{'name':'Y','value':'2'}],'args':['-q']}]"),
		C("[{'name':'a','env':[{'name':'Y','value':'2'},{'name':'X','value':'1'}],'args':['-q']}]"));
	patches("integers as keys", C("[{'name':'a','ports':[{'containerPort':80},{'containerPort':81}]}]"),
		C("[{'name':'a','ports':[{'containerPort':81,'name':'x'}]}]"),
		C("[{'name':'a','ports':[{'containerPort':80},{'containerPort':81,'name':'x'}]}]"));
	patches("$patch: delete removes an element", C("[{'name':'a'},{'name':'b'},{'name':'c'}]"),
		C("[{'name':'b','$patch':'delete'}]"), C("[{'name':'a'},{'name':'c'}]"));
	patches("deleting what is not there", C("[{'name':'a'}]"), C("[{'name':'x','$patch':'delete'}]"),
		C("[{'name':'a'}]"));
	patches("$patch: replace replaces the list", C("[{'name':'a'},{'name':'b'}]"),
		C("[{'name':'z'},{'$patch':'replace'}]"), C("[{'name':'z'}]"));
	patches("$patch: replace in an element", C("[{'name':'a','image':'1','args':['x']}]"),
		C("[{'name':'a','$patch':'replace'}]"), C("[]"));
	patches("lists without strategy are replaced", "{'spec':{'template':{'tolerations':[{'name':'a'}]}}}",
		"{'spec':{'template':{'tolerations':[{'name':'b'}]}}}",
		"{'spec':{'template':{'tolerations':[{'name':'b'}]}}}");
	patches("directives mean nothing in new values", "{}",
		C("[{'name':'a','$patch':'delete'},{'name':'b','image':null,'$retainKeys':['name']}]"),
		C("[{'name':'b'}]"));
	patches("doubles of a key: the first is changed",
		C("[{'name':'a','ports':[{'containerPort':53,'protocol':'TCP'},"
		  "{'containerPort':53,'protocol':'UDP'}]}]"),
		C("[{'name':'a','ports':[{'containerPort':53,'name':'dns'}]}]"),
		C("[{'name':'a','ports':[{'containerPort':53,'protocol':'TCP','name':'dns'},"
		  "{'containerPort':53,'protocol':'UDP'}]}]"));
	fails("an element without its key", C("[{'name':'a'}]"), C("[{'image':'1'}]"), 422,
	      "map: map[image:1] does not contain declared merge key: name");
	fails("elements of another kind", C("[{'name':'a'}]"), C("['a']"), 422,
	      "list element types are not identical");
	fails("merge of lists", C("[{'name':'a'}]"), C("[{'name':'a','$patch':'merge'}]"), 422,
	      "merging lists cannot yet be specified in the patch");
	fails("unknown directive in an element", C("[{'name':'a'}]"), C("[{'name':'a','$patch':'x'}]"), 422,
	      "unknown patch type: x in map: map[$patch:x name:a]");
}

#define F(list) "{'metadata':{'finalizers':" list "}}"

static void test_scalars(void)
{
	patches("sets of scalars unite", F("['a','b']"), F("['b','c']"), F("['a','b','c']"));
	patches("delete from a set", F("['a','b','c']"),
		"{'metadata':{'$deleteFromPrimitiveList/finalizers':['a','x']}}", F("['b','c']"));
	patches("delete and add", F("['a','b']"),
		"{'metadata':{'$deleteFromPrimitiveList/finalizers':['a'],'finalizers':['c']}}", F("['c','b']"));
	patches("delete from nothing", "{'metadata':{}}",
		"{'metadata':{'$deleteFromPrimitiveList/finalizers':['a']}}", "{'metadata':{}}");
	fails("no list", F("['a']"), "{'metadata':{'$deleteFromPrimitiveList/finalizers':'a'}}", 400,
	      "invalid patch format of primitive list");
}

#define ORDER(order, list) \
	"{'spec':{'template':{'$setElementOrder/containers':" order ",'containers':" list "}}}"
#define ORDER_ONLY(order) "{'spec':{'template':{'$setElementOrder/containers':" order "}}}"

static void test_order(void)
{
	patches("order alone", C("[{'name':'a'},{'name':'b'},{'name':'c'}]"),
		ORDER_ONLY("[{'name':'c'},{'name':'b'},{'name':'a'}]"),
		C("[{'name':'c'},{'name':'b'},{'name':'a'}]"));
	patches("order with a change", C("[{'name':'a'},{'name':'b'}]"),
		ORDER("[{'name':'n'},{'name':'b'},{'name':'a'}]", "[{'name':'n','image':'1'}]"),
		C("[{'name':'n','image':'1'},{'name':'b'},{'name':'a'}]"));
	patches("what only the server has keeps its place", C("[{'name':'s'},{'name':'a'},{'name':'b'}]"),
		ORDER_ONLY("[{'name':'b'},{'name':'a'}]"), C("[{'name':'s'},{'name':'b'},{'name':'a'}]"));
	patches("and between", C("[{'name':'a'},{'name':'s'},{'name':'b'}]"),
		ORDER_ONLY("[{'name':'a'},{'name':'b'}]"), C("[{'name':'a'},{'name':'s'},{'name':'b'}]"));
	patches("deletion with order", C("[{'name':'a'},{'name':'b'},{'name':'c'}]"),
		ORDER("[{'name':'c'},{'name':'a'}]", "[{'name':'b','$patch':'delete'}]"),
		C("[{'name':'c'},{'name':'a'}]"));
	patches("order of a new list", "{'spec':{'template':{}}}",
		ORDER("[{'name':'a'},{'name':'b'}]", "[{'name':'a'},{'name':'b'}]"),
		C("[{'name':'a'},{'name':'b'}]"));
	patches("order of nothing", "{'spec':{'template':{}}}", ORDER_ONLY("[{'name':'a'}]"),
		"{'spec':{'template':{}}}");
	patches("order of scalars", F("['a','b','c']"),
		"{'metadata':{'$setElementOrder/finalizers':['c','d','a'],'finalizers':['d']}}",
		F("['b','c','d','a']"));
	fails("patch against its order", C("[{'name':'a'},{'name':'b'}]"),
	      ORDER("[{'name':'a'},{'name':'b'}]", "[{'name':'b'},{'name':'a'}]"), 422,
	      "The order in patch list doesn't match $setElementOrder list");
	fails("order that is no list", C("[]"), ORDER_ONLY("'a'"), 400,
	      "invalid patch format of setElementOrder list");
}

/* What `kubectl apply` sends when a field leaves the manifest. */
static void test_kubectl(void)
{
	patches("kubectl set image",
		"{'apiVersion':'v1','kind':'Toy','metadata':{'name':'web'},'spec':{'replicas':2,'template':"
		"{'containers':[{'name':'web','image':'nginx:1','resources':{}}]}}}",
		"{'spec':{'template':{'$setElementOrder/containers':[{'name':'web'}],"
		"'containers':[{'name':'web','image':'nginx:2'}]}}}",
		"{'apiVersion':'v1','kind':'Toy','metadata':{'name':'web'},'spec':{'replicas':2,'template':"
		"{'containers':[{'name':'web','image':'nginx:2','resources':{}}]}}}");
	patches("fields nobody knows merge as maps and replace as lists",
		"{'x':{'a':1,'l':[1,2]}}", "{'x':{'b':2,'l':[3]}}", "{'x':{'a':1,'b':2,'l':[3]}}");
}

int main(void)
{
	type = toy_make();
	test_maps();
	test_lists();
	test_scalars();
	test_order();
	test_kubectl();
	return done_testing();
}
