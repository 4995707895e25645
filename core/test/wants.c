/* reads= taken apart, and lists of wants. */
#include "wants.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "base/otap.h"

static const char *param(void *arg, const char *name)
{
	if (strcmp(name, "node_name") == 0)
		return arg;
	return strcmp(name, "ns") == 0 ? "prod" : NULL;
}

static struct core_want *want(const char *text, const char *node)
{
	struct core_want *w = NULL;

	if (core_want_parse(text, param, (void *)(uintptr_t)node, &w, NULL))
		return NULL;
	return w;
}

static void refused(const char *text)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_want *w;

	ok(core_want_parse(text, NULL, NULL, &w, &err) == -EINVAL, "%s: %s", text, err.msg);
}

static bool contains(const char *a, const char *b)
{
	struct core_want *x = want(a, "n1"), *y = want(b, "n1");
	bool r = core_want_contains(&x->pub, &y->pub);

	omem_free(x);
	omem_free(y);
	return r;
}

static void parsing(void)
{
	struct core_want *w = want("pods;field=spec.nodeName=$node;label=app.kubernetes.io/name=web;metadata", "n1");

	ok(w && strcmp(w->pub.resource, "pods") == 0 && w->pub.flags == ORLOP_WANT_METADATA && !w->pub.ns &&
	   w->pub.n_matches == 2, "all options");
	is_str(w->pub.matches[0].name, "spec.nodeName", "a field");
	is_str(w->pub.matches[0].value, "n1", "with the parameter's value");
	ok(w->pub.matches[1].label && strcmp(w->pub.matches[1].value, "web") == 0, "a label");
	omem_free(w);
	w = want("pods;field=spec.nodeName=$node", "");
	ok(w->pub.n_matches == 1 && strcmp(w->pub.matches[0].value, "$node") != 0, "no node name: the host's");
	omem_free(w);
	w = want("secrets;namespace=$ns;field=type=$none", "n1");
	is_str(w->pub.ns, "prod", "a namespace by parameter");
	is_int(w->pub.n_matches, 0, "an empty parameter is no condition");
	omem_free(w);
	w = want("*", "n1");
	is_str(w->pub.resource, "*", "all of them");
	omem_free(w);
	refused("");
	refused("pods;");
	refused("pods;metadata=1");
	refused("pods;field");
	refused("pods;field=a");
	refused("pods;namespace=");
	refused("pods;namespace=a;namespace=b");
	refused("pods;colour=blue");
	refused("a/b");
}

static void sets(void)
{
	struct core_wants a = { NULL }, b = { NULL };

	ok(contains("pods", "pods;namespace=a") && !contains("pods;namespace=a", "pods"), "a namespace is less");
	ok(contains("pods", "pods;metadata") && !contains("pods;metadata", "pods"), "metadata is less");
	ok(contains("*", "pods") && !contains("pods", "*") && !contains("*;metadata", "pods"), "all is more");
	ok(contains("pods;field=a=1", "pods;label=x=y;field=a=1") && !contains("pods;field=a=1", "pods;label=a=1"),
	   "more conditions are less");
	core_wants_add(&a, want("pods;namespace=a", ""));
	core_wants_add(&a, want("pods;namespace=b", ""));
	core_wants_add(&a, want("nodes", ""));
	core_wants_add(&a, want("nodes;metadata", ""));
	core_wants_add(&b, want("nodes", ""));
	core_wants_add(&b, want("pods;namespace=b", ""));
	ok(!core_wants_equal(&a, &b) && !core_wants_equal(&b, &a), "two sets differ");
	core_wants_add(&b, want("pods;namespace=a", ""));
	ok(core_wants_equal(&a, &b), "and are the same in another order");
	core_wants_add(&a, want("pods", ""));
	ok(strcmp(a.first->pub.resource, "nodes") == 0 && a.first->next && !a.first->next->next, "the wider one replaces");
	core_wants_done(&a);
	core_wants_done(&b);
}

int main(void)
{
	parsing();
	sets();
	return done_testing();
}
