/*
 * check-condition.c - the conditions of a status, where upstream looks at them.
 *
 * Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation, ValidateConditions.
 */
#include <string.h>

#include "schema/check.h"

#define REASON_RE "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
#define REASON_MSG "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric " \
	"characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  " \
	"or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '" REASON_RE "')"
#define REASON_MAX	1024
#define MESSAGE_MAX	32768

static bool letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool word(char c)
{
	return letter(c) || (c >= '0' && c <= '9') || c == '_';
}

static bool is_reason(struct orlop_bytes t)
{
	for (size_t i = 0; i < t.len; i++)
		if (!word(t.p[i]) && t.p[i] != ',' && t.p[i] != ':')
			return false;
	return t.len > 0 && letter(t.p[0]) && word(t.p[t.len - 1]);
}

static void check_one(struct ocheck *c, const struct opath *p, struct ojson *v)
{
	static const char *const statuses[] = { "False", "True", "Unknown" };
	struct opath tp = opath_child(p, "type"), sp = opath_child(p, "status"), rp = opath_child(p, "reason");
	struct opath mp = opath_child(p, "message");
	struct orlop_bytes reason = oget_text(v, "reason");

	ocheck_format_text(c, &tp, oget_text(v, "type"), OSCHEMA_FMT_QUALIFIED_NAME);
	if (!oget_is(v, "status", statuses[0]) && !oget_is(v, "status", statuses[1]) && !oget_is(v, "status", statuses[2]))
		ocheck_not_supported(c, &sp, ojson_get(v, "status"), statuses, 3);
	if (oget_int(v, "observedGeneration") < 0)
		ocheck_invalid_at(c, p, v, "observedGeneration", "must be greater than or equal to zero");
	if (ozero(ojson_get(v, "lastTransitionTime")))
		ocheck_required_at(c, p, "lastTransitionTime", "must be set");
	if (reason.len == 0)
		ocheck_required(c, &rp, "must be set");
	else if (!is_reason(reason))
		ocheck_invalid_text(c, &rp, reason, REASON_MSG);
	if (reason.len > REASON_MAX)
		ocheck_too_long(c, &rp, REASON_MAX);
	if (oget_text(v, "message").len > MESSAGE_MAX)
		ocheck_too_long(c, &mp, MESSAGE_MAX);
}

OCHECK(conditions)
{
	(void)old;
	OJSON_FOREACH_ELEM(i, e, v) {
		struct opath p = opath_index(at, i);

		check_one(c, &p, e);
	}
}
