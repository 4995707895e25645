/*
 * check-podchange.c - what of a pod may change, and by which of its subresources; what its status may say.
 *
 * Source: the facts of upstream's validation, k8s.io/kubernetes/pkg/apis/core/validation.
 */
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "schema/check.h"
#include "schema/seen.h"

/* Are the lists equal but for some members of their elements? */
static bool lists_equal_but(struct ojson *a, struct ojson *b, const char *const *skip)
{
	if (ojson_count(a) != ojson_count(b))
		return false;
	OJSON_FOREACH_ELEM(i, e, a)
		if (!ocheck_equal_but(e, ojson_index(b, i), skip))
			return false;
	return true;
}

static void check_deadline(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	struct ojson *is = ojson_get(v, "activeDeadlineSeconds"), *was = ojson_get(old, "activeDeadlineSeconds");

	if (was == NULL || ojson_equal(is, was))
		return;
	if (is == NULL)
		ocheck_invalid_at(c, at, v, "activeDeadlineSeconds",
				  "must not update from a positive integer to nil value");
	else if (ojson_i64(is, 0) > ojson_i64(was, 0))
		ocheck_invalid_at(c, at, v, "activeDeadlineSeconds",
				  "must be less than or equal to previous value");
}

/* A toleration but for its seconds; NULL: no memory. */
static struct ojson *without_seconds(const struct ojson *toleration)
{
	struct ojson *copy = NULL;

	if (ojson_copy(toleration, &copy))
		return NULL;
	ojson_del(copy, "tolerationSeconds");
	return copy;
}

/* Tolerations may be added, and given other seconds. */
static void check_toleration_change(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	static const char *const skip[] = { "tolerationSeconds", NULL };
	cleanup_oseen struct oseen all;

	oseen_init(&all, &c->lost);
	OJSON_FOREACH_ELEM(n, is, ojson_get(v, "tolerations")) {
		cleanup_ojson struct ojson *k = without_seconds(is);

		if (k)
			(void)oseen(&all, k, NULL);
	}
	OJSON_FOREACH_ELEM(i, was, ojson_get(old, "tolerations")) {
		cleanup_ojson struct ojson *k = without_seconds(was);
		bool kept = k && oseen_has(&all, k);

		/* written otherwise it may be the same */
		OJSON_FOREACH_ELEM(j, is, kept ? NULL : ojson_get(v, "tolerations"))
			kept = kept || ocheck_equal_but(was, is, skip);
		if (!kept) {
			ocheck_forbidden_at(c, at, "tolerations",
					    "existing toleration can not be modified except its tolerationSeconds");
			return;
		}
	}
}

static void check_main_update(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	static const char *const image[] = { "image", NULL };
	static const char *const may[] = { "containers", "initContainers", "activeDeadlineSeconds", "tolerations",
					   "terminationGracePeriodSeconds", "schedulingGates", NULL };
	static const char *const gated[] = { "containers", "initContainers", "activeDeadlineSeconds", "tolerations",
					     "terminationGracePeriodSeconds", "schedulingGates", "nodeSelector",
					     "affinity", "topologySpreadConstraints", NULL };
	int64_t is = oget_int(v, "terminationGracePeriodSeconds");
	int64_t was = oget_int(old, "terminationGracePeriodSeconds");
	bool has_gates = oget_len(old, "schedulingGates") > 0;
	cleanup_oseen struct oseen gates;

	oseen_init(&gates, &c->lost);
	if (oget_len(v, "containers") != oget_len(old, "containers")) {
		ocheck_forbidden_at(c, at, "containers", "pod updates may not add or remove containers");
		return;
	}
	if (oget_len(v, "initContainers") != oget_len(old, "initContainers")) {
		ocheck_forbidden_at(c, at, "initContainers", "pod updates may not add or remove containers");
		return;
	}
	check_deadline(c, at, v, old);
	check_toleration_change(c, at, v, old);
	OJSON_FOREACH_ELEM(k, o, ojson_get(old, "schedulingGates"))
		(void)oseen(&gates, ojson_get(o, "name"), NULL);
	OJSON_FOREACH_ELEM(i, g, ojson_get(v, "schedulingGates")) {
		char text[400];

		if (oseen_has(&gates, ojson_get(g, "name")))
			continue;
		(void)snprintf(text, sizeof(text), "only deletion is allowed, but found new scheduling gate '%s'",
			       ojson_get_cstr(g, "name", ""));
		ocheck_forbidden_at(c, at, "schedulingGates", text);
	}
	if (!ocheck_equal_but(v, old, has_gates ? gated : may) ||
	    !lists_equal_but(ojson_get(v, "containers"), ojson_get(old, "containers"), image) ||
	    !lists_equal_but(ojson_get(v, "initContainers"), ojson_get(old, "initContainers"), image) ||
	    (is != was && !(was < 0 && is == 1)))
		ocheck_forbidden(c, at, "pod updates may not change fields other than `spec.containers[*].image`,"
				 "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
				 "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
				 "set to 1 if it was previously negative)");
}

static void check_ephemeral_update(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	static const char *const skip[] = { "ephemeralContainers", NULL };
	struct ojson *is = ojson_get(v, "ephemeralContainers");
	cleanup_oseen struct oseen all, names;

	oseen_init(&all, &c->lost);
	oseen_init(&names, &c->lost);
	OJSON_FOREACH_ELEM(k, e, is) {
		(void)oseen(&all, e, NULL);
		(void)oseen(&names, ojson_get(e, "name"), NULL);
	}
	if (!ocheck_equal_but(v, old, skip))
		ocheck_forbidden(c, at, "only spec.ephemeralContainers may be changed through ephemeralcontainers");
	OJSON_FOREACH_ELEM(i, was, ojson_get(old, "ephemeralContainers")) {
		bool there = oseen_has(&names, ojson_get(was, "name"));
		char text[400];

		if (there && oseen_has(&all, was))
			continue;
		(void)snprintf(text, sizeof(text), "existing ephemeral containers \"%s\" may not be %s\n",
			       ojson_get_cstr(was, "name", ""), there ? "changed" : "removed");
		ocheck_forbidden_at(c, at, "ephemeralContainers", text);
	}
}

static void check_resize(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	static const char *const skip[] = { "containers", "initContainers", "resources", NULL };
	static const char *const sized[] = { "resources", "resizePolicy", NULL };

	if (!ocheck_equal_but(v, old, skip) ||
	    !lists_equal_but(ojson_get(v, "containers"), ojson_get(old, "containers"), sized) ||
	    !lists_equal_but(ojson_get(v, "initContainers"), ojson_get(old, "initContainers"), sized))
		ocheck_forbidden(c, at, "only cpu and memory resources are mutable");
}

/* Upstream finds conditions in the metadata. Its own need not look like the others. */
static void check_conditions(struct ocheck *c, struct ojson *list)
{
	struct opath mp = opath_child(NULL, "metadata"), cp = opath_child(&mp, "conditions");

	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(&cp, i), tp = opath_child(&p, "Type");

		if (!oget_is(e, "type", "PodScheduled") && !oget_is(e, "type", "Ready") && !oget_is(e, "type", "Initialized"))
			ocheck_format_text(c, &tp, oget_text(e, "type"), OSCHEMA_FMT_QUALIFIED_NAME);
	}
}

/* Valid ones, one of a family, none twice. */
static void check_pod_ips(struct ocheck *c, const struct opath *at, struct ojson *list)
{
	struct opath lp = opath_child(at, "podIPs");
	size_t of_family[2] = { 0, 0 }, n = ojson_count(list);
	cleanup_oseen struct oseen before;

	oseen_init(&before, &c->lost);
	OJSON_FOREACH_ELEM(i, e, list) {
		struct opath p = opath_index(&lp, i);
		struct orlop_bytes ip = oget_text(e, "ip");

		ocheck_format_text(c, &p, ip, OSCHEMA_FMT_IP);
		of_family[memchr(ip.p, ':', ip.len) != NULL]++;
	}
	if (n > 1 && (of_family[0] != 1 || of_family[1] != 1))
		ocheck_invalid(c, &lp, list, "may specify no more than one IP for each IP family");
	OJSON_FOREACH_ELEM(j, e, n > 1 ? list : NULL) {
		struct opath p = opath_index(&lp, j);

		if (oseen(&before, ojson_get(e, "ip"), NULL))
			ocheck_duplicate(c, &p, e);
	}
}

OCHECK(pod)
{
	struct opath spec = opath_child(at, "spec");
	struct ojson *is = ojson_get(v, "spec"), *was = ojson_get(old, "spec");

	if (!c->update)
		return;
	if (otext_is(c->w->sub, "status")) {
		struct opath status = opath_child(at, "status"), name = opath_child(&status, "nominatedNodeName");
		struct ojson *n = OJSON_AT(v, "status", "nominatedNodeName");

		if (otext(n).len > 0 && !ojson_equal(n, OJSON_AT(old, "status", "nominatedNodeName")))
			ocheck_format(c, &name, n, OSCHEMA_FMT_DNS1123_SUBDOMAIN);
		check_conditions(c, OJSON_AT(v, "status", "conditions"));
		check_pod_ips(c, &status, OJSON_AT(v, "status", "podIPs"));
		return;
	}
	if (otext_is(c->w->sub, "ephemeralcontainers"))
		check_ephemeral_update(c, &spec, is, was);
	else if (otext_is(c->w->sub, "resize"))
		check_resize(c, &spec, is, was);
	else if (c->w->sub.len == 0)
		check_main_update(c, &spec, is, was);
}
