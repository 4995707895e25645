/*
 * convert-old.c - what is different in versions that Kubernetes 1.25 gave up: endpoint slices and disruption budgets of
 * v1beta1 (api/old) and the stored v1.
 *
 * Source: upstream's conversions of 1.24, pkg/apis/discovery/v1beta1 and pkg/apis/policy/v1beta1.
 */
#include <errno.h>
#include <string.h>

#include "base/ocleanup.h"
#include "schema/internal.h"

#define ZONE	"topology.kubernetes.io/zone"
#define HOST	"kubernetes.io/hostname"
/* In v1beta1 an empty selector selected nothing: each version says so in a form that the other cannot mean. */
#define EMPTY	"pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"

/* ---- endpoint slices ---- */

static int endpoint_up(struct ojson *e)
{
	struct ojson *t = ojson_get_object(e, "topology");
	int r = 0;

	if (t == NULL) {
		ojson_del(e, "topology");
		return 0;
	}
	if (ojson_has(t, ZONE)) {
		r = ojson_set(e, "zone", ojson_ref(ojson_get(t, ZONE)));
		ojson_del(t, ZONE);
	}
	/* the node's own name is not said twice */
	if (r == 0 && ojson_has(e, "nodeName") && ojson_equal(ojson_get(t, HOST), ojson_get(e, "nodeName")))
		ojson_del(t, HOST);
	if (r == 0 && ojson_count(t) > 0)
		r = ojson_set(e, "deprecatedTopology", ojson_ref(t));
	ojson_del(e, "topology");
	return r;
}

static int endpoint_down(struct ojson *e)
{
	cleanup_ojson struct ojson *t = NULL;
	int r = ojson_copy(ojson_get_object(e, "deprecatedTopology"), &t);

	if (r == 0 && t == NULL)
		t = ojson_new_object();
	if (r == 0 && t == NULL)
		r = -ENOMEM;
	if (r == 0 && ojson_has(e, "zone"))
		r = ojson_set(t, ZONE, ojson_ref(ojson_get(e, "zone")));
	if (r == 0 && ojson_has(e, "nodeName") && !ojson_has(t, HOST))
		r = ojson_set(t, HOST, ojson_ref(ojson_get(e, "nodeName")));
	ojson_del(e, "zone");
	ojson_del(e, "deprecatedTopology");
	if (r == 0 && ojson_count(t) > 0)
		r = ojson_set(e, "topology", TAKE(t));
	return r;
}

static int slice(struct ojson *obj, int (*one)(struct ojson *endpoint))
{
	int r = 0;

	OJSON_FOREACH_ELEM(i, e, ojson_get_array(obj, "endpoints"))
		if (r == 0 && ojson_is(e, OJSON_OBJECT))
			r = one(e);
	return r;
}

/* ---- disruption budgets ---- */

/* No conditions at all, as opposed to no selector. */
static bool is_empty(const struct ojson *selector)
{
	return ojson_is(selector, OJSON_OBJECT) && oget_len(selector, "matchLabels") == 0 &&
	       oget_len(selector, "matchExpressions") == 0;
}

static bool is_marked(const struct ojson *selector, const char *operator)
{
	struct ojson *list = ojson_get_array(selector, "matchExpressions"), *e = ojson_index(list, 0);

	return oget_len(selector, "matchLabels") == 0 && ojson_count(list) == 1 && oget_is(e, "key", EMPTY) &&
	       oget_is(e, "operator", operator) && oget_len(e, "values") == 0;
}

static int mark(struct ojson *spec, const char *operator)
{
	cleanup_ojson struct ojson *selector = ojson_new_object(), *e = ojson_new_object();
	struct ojson *list = selector != NULL ? ojson_ensure_array(selector, "matchExpressions") : NULL;
	int r = e != NULL && list != NULL ? ojson_set_cstr(e, "key", EMPTY) : -ENOMEM;

	if (r == 0)
		r = ojson_set_cstr(e, "operator", operator);
	if (r == 0)
		r = ojson_append(list, TAKE(e));
	return r == 0 ? ojson_set(spec, "selector", TAKE(selector)) : r;
}

/* An empty selector becomes the mark with operator @empty, the mark with operator @marked an empty one. */
static int budget(struct ojson *obj, const char *empty, const char *marked)
{
	struct ojson *spec = ojson_get_object(obj, "spec"), *selector = ojson_get(spec, "selector");

	if (is_empty(selector))
		return mark(spec, empty);
	return is_marked(selector, marked) ? ojson_set(spec, "selector", ojson_new_object()) : 0;
}

/* ---- both ---- */

bool oconvert_old(const char *type, bool up, struct ojson *obj, int *ret)
{
	if (strcmp(type, "discovery/v1beta1.EndpointSlice") == 0)
		*ret = slice(obj, up ? endpoint_up : endpoint_down);
	else if (strcmp(type, "policy/v1beta1.PodDisruptionBudget") == 0)
		*ret = up ? budget(obj, "Exists", "DoesNotExist") : budget(obj, "DoesNotExist", "Exists");
	else
		return false;
	return true;
}
