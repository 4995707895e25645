/*
 * check-node.c - what a Node must satisfy: its taints, what may change, what it says of itself.
 */
#include <string.h>

#include "quantity/oquantity.h"
#include "schema/check.h"
#include "schema/seen.h"

/* Upstream finds taints in the metadata, where they once were. */
static void check_taints(struct ocheck *c, const struct opath *at, struct ojson *taints)
{
	static const char *const effects[] = { "NoSchedule", "PreferNoSchedule", "NoExecute" };
	struct opath mp = opath_child(at, "metadata"), tp = opath_child(&mp, "taints");
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, t, taints) {
		struct opath ip = opath_index(&tp, i), kp = opath_child(&ip, "key"), vp = opath_child(&ip, "value");
		struct opath ep = opath_child(&ip, "effect");

		ocheck_format_text(c, &kp, oget_text(t, "key"), OSCHEMA_FMT_QUALIFIED_NAME);
		ocheck_format_text(c, &vp, oget_text(t, "value"), OSCHEMA_FMT_LABEL_VALUE);
		if (oget_empty(t, "effect"))
			ocheck_required(c, &ep, "");
		else if (!oget_is(t, "effect", effects[0]) && !oget_is(t, "effect", effects[1]) &&
			 !oget_is(t, "effect", effects[2]))
			ocheck_not_supported(c, &ep, ojson_get(t, "effect"), effects, 3);
		if (oseen(&before, ojson_get(t, "key"), ojson_get(t, "effect")))
			ocheck_duplicate_why(c, &ip, t, "taints must be unique by key and effect pair");
	}
}

/* Are the specs equal but for @may, and for addresses and a provider that were not there? */
static bool same_node(struct ojson *spec, struct ojson *was, const char *const *may)
{
	const char *skip[8] = { NULL };
	size_t n = 0;

	for (; may[n] != NULL; n++)
		skip[n] = may[n];
	if (oget_empty(was, "providerID"))
		skip[n++] = "providerID";
	if (oget_len(was, "podCIDRs") == 0) {
		skip[n++] = "podCIDRs";
		skip[n++] = "podCIDR";
	}
	return ocheck_equal_but(spec, was, skip);
}

static void check_amounts(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	OJSON_FOREACH(it, list) {
		struct opath p = opath_child(at, it.key);
		struct oquantity q;

		if (!ocheck_quantity(it.value, &q))
			continue;
		if (oquantity_sign(&q) < 0)
			ocheck_invalid(c, &p, it.value, "must be greater than or equal to 0");
		if (ocheck_is_whole_resource((struct orlop_bytes){ it.key, it.key_len }) && oquantity_milli(&q) % 1000 != 0)
			ocheck_invalid(c, &p, it.value, "must be an integer");
	}
}

static void check_status(struct ocheck *c, const struct opath *at, struct ojson *status)
{
	cleanup_oseen struct oseen before;
	struct opath p = opath_child(at, "status"), cp = opath_child(&p, "capacity"), ap = opath_child(&p, "allocatable");

	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, e, ojson_get(status, "addresses")) {
		struct opath lp = opath_child(&p, "addresses"), ip = opath_index(&lp, i);

		if (oseen(&before, ojson_get(e, "type"), ojson_get(e, "address")))
			ocheck_duplicate(c, &ip, e);
	}
	check_amounts(c, &cp, ojson_get(status, "capacity"));
	check_amounts(c, &ap, ojson_get(status, "allocatable"));
}

OCHECK(node)
{
	static const char *const may[] = { "taints", "unschedulable", "configSource", NULL };
	struct opath whole = opath_child(NULL, "[]");	/* how upstream writes the path of nothing */
	struct opath p = opath_child(at, "spec"), cp = opath_child(&p, "podCIDRs");
	struct ojson *spec = ojson_get(v, "spec"), *was = ojson_get(old, "spec");
	size_t of_family[2] = { 0, 0 };

	if (!c->update || otext_is(c->w->sub, "status"))
		check_status(c, at, ojson_get(v, "status"));
	if (otext_is(c->w->sub, "status"))
		return;
	check_taints(c, at, ojson_get(spec, "taints"));
	OJSON_FOREACH_ELEM(i, e, ojson_get(spec, "podCIDRs")) {
		struct opath ip = opath_index(&cp, i);

		if (oschema_format_check(OSCHEMA_FMT_CIDR, otext(e).p, otext(e).len) != NULL)
			ocheck_invalid(c, &ip, ojson_get(spec, "podCIDRs"), "must be valid CIDR");
		else
			of_family[memchr(otext(e).p, ':', otext(e).len) != NULL]++;
	}
	if (of_family[0] > 1 || of_family[1] > 1)
		ocheck_invalid(c, &cp, ojson_get(spec, "podCIDRs"), "may specify no more than one CIDR for each IP family");
	if (!c->update)
		return;
	if (!oget_empty(was, "providerID") && !ojson_equal(ojson_get(spec, "providerID"), ojson_get(was, "providerID")))
		ocheck_forbidden_at(c, &p, "providerID",
				    "node updates may not change providerID except from \"\" to valid");
	if (oget_len(was, "podCIDRs") > 0 && !ojson_equal(ojson_get(spec, "podCIDRs"), ojson_get(was, "podCIDRs")))
		ocheck_forbidden_at(c, &p, "podCIDRs",
				    "node updates may not change podCIDR except from \"\" to valid");
	if (!same_node(spec, was, may))
		ocheck_forbidden(c, &whole, "node updates may only change labels, taints, or capacity (or configSource, "
				 "if the DynamicKubeletConfig feature gate is enabled)");
}
