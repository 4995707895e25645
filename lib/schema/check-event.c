/*
 * check-event.c - what an Event must satisfy: little by the core API, more by events.k8s.io. It is looked at as it is stored.
 *
 * Source: the facts of upstream's validation, k8s.io/kubernetes/pkg/apis/core/validation/events.go
 */
#include <stdio.h>
#include <string.h>

#include "schema/check.h"

static void check_event_size(struct ocheck *c, const struct opath *at, struct ojson *v, const char *key, size_t max)
{
	struct opath p = opath_child(at, key);
	char why[60];

	(void)snprintf(why, sizeof(why), "can have at most %zu characters", max);
	if (oget_text(v, key).len > max)
		ocheck_invalid_text(c, &p, (struct orlop_bytes){ "", 0 }, why);
}

static void check_event_series(struct ocheck *c, const struct opath *at, struct ojson *series)
{
	struct opath np = opath_child(at, "series.count"), tp = opath_child(at, "series.lastObservedTime");

	if (series == NULL)
		return;
	if (ojson_get_i64(series, "count", 0) < 2)
		ocheck_invalid_text(c, &np, (struct orlop_bytes){ "", 0 }, "should be at least 2");
	if (ojson_get(series, "lastObservedTime") == NULL)
		ocheck_required(c, &tp, "");
}

/* What has come by events.k8s.io says all of the new fields, and none of the old. */
static void check_event_new(struct ocheck *c, const struct opath *at, struct ojson *v)
{
	static const char *const unset[] = { "firstTimestamp", "lastTimestamp", "count", "source" };
	struct opath tp = opath_child(at, "eventTime"), yp = opath_child(at, "type");
	char why[1100];

	check_event_series(c, at, ojson_get(v, "series"));
	if (ojson_get(v, "eventTime") == NULL)
		ocheck_required(c, &tp, "");
	(void)snprintf(why, sizeof(why), "has invalid value: %.1000s", ojson_get_cstr(v, "type", ""));
	if (!oget_is(v, "type", "Normal") && !oget_is(v, "type", "Warning"))
		ocheck_invalid_text(c, &yp, (struct orlop_bytes){ "", 0 }, why);
	for (size_t i = 0; i < sizeof(unset) / sizeof(unset[0]); i++) {
		struct opath p = opath_child(at, unset[i]);

		if (!ozero(ojson_get(v, unset[i])))
			ocheck_invalid_text(c, &p, (struct orlop_bytes){ "", 0 }, "needs to be unset");
	}
}

/* By it nothing is changed but how often it happened. */
static void check_event_change(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)
{
	static const char *const fixed[] = {
		"involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type", "eventTime",
		"action", "related", "reportingComponent", "reportingInstance",
	};

	if (!ojson_equal(ojson_get(v, "series"), ojson_get(old, "series")))
		check_event_series(c, at, ojson_get(v, "series"));
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		struct opath p = opath_child(at, i == 11 ? "reportingController" : fixed[i]);

		if (!ojson_equal(ojson_get(v, fixed[i]), ojson_get(old, fixed[i])))
			ocheck_invalid(c, &p, ojson_get(v, fixed[i]), "field is immutable");
	}
}

/* The name of a field depends on which of the two event APIs was used. */
OCHECK(event)
{
	bool newer = c->w->group != NULL && strcmp(c->w->group, "events.k8s.io") == 0;
	struct opath p = opath_child(at, "involvedObject"), nsp = opath_child(&p, "namespace");
	struct opath rp = opath_child(at, newer ? "reportingController" : "reportingComponent");
	bool timed = ojson_get(v, "eventTime") != NULL;
	struct orlop_bytes ns = oget_text(OJSON_AT(v, "metadata"), "namespace");
	struct orlop_bytes in = oget_text(ojson_get(v, "involvedObject"), "namespace");

	if (in.len > 0 ? !timed && !ostr_eq(ns.p, ns.len, in.p, in.len) :
	    !otext_is(ns, "default") && !(timed && otext_is(ns, "kube-system")) && ns.len > 0)
		ocheck_invalid_text(c, &nsp, in, "does not match event.namespace");
	if (timed) {
		if (oget_empty(v, "reportingComponent"))
			ocheck_required(c, &rp, "");
		ocheck_format(c, &rp, ojson_get(v, "reportingComponent"), OSCHEMA_FMT_QUALIFIED_NAME);
		if (oget_empty(v, "reportingInstance"))
			ocheck_required_at(c, at, "reportingInstance", "");
		check_event_size(c, at, v, "reportingInstance", 128);
		if (oget_empty(v, "action"))
			ocheck_required_at(c, at, "action", "");
		check_event_size(c, at, v, "action", 128);
		if (oget_empty(v, "reason"))
			ocheck_required_at(c, at, "reason", "");
		check_event_size(c, at, v, "reason", 128);
		check_event_size(c, at, v, "message", 1024);
	}
	if (newer && old == NULL)
		check_event_new(c, at, v);
	else if (newer)
		check_event_change(c, at, v, old);
}
