/*
 * cells-kinds.c - cells of jobs, storage, quotas, ingresses and certificates.
 *
 * Source of what each shows: the facts of upstream's printers, k8s.io/kubernetes/pkg/printers/internalversion.
 */
#include "schema/cells.h"

#include <string.h>

#include "base/ocleanup.h"
#include "base/otime.h"

static const char none[] = "<none>", unset[] = "<unset>";

/* ---- cells for any kind ---- */

static void text_or(struct ocell *x, struct obuf *b, const char *fallback)
{
	if (b->len == 0)
		obuf_puts(b, fallback);
	ocell_text(x, b);
}

OCELL(flag)
{
	obuf_puts(x->out, ojson_bool(ojson_at_dotted(x->obj, x->path), false) ? "true" : "false");
}

OCELL(true_false)
{
	struct ojson *v = ojson_at_dotted(x->obj, x->path);

	ocell_cstr(x, v == NULL ? unset : ojson_bool(v, false) ? "True" : "False");
}

OCELL(or_unset)
{
	struct ojson *v = ojson_at_dotted(x->obj, x->path);

	if (v == NULL)
		ocell_cstr(x, unset);
	else
		ocell_value(x, v);
}

static void join(struct ocell *x, const char *fallback)
{
	struct obuf b = OBUF_INIT;

	OJSON_FOREACH_ELEM(i, e, ojson_at_dotted(x->obj, x->path))
		ocell_join(&b, otext(e));
	text_or(x, &b, fallback);
}

OCELL(list)
{
	join(x, "");
}

OCELL(list_or_none)
{
	join(x, none);
}

OCELL(since_or_none)
{
	struct orlop_bytes t = otext(ojson_at_dotted(x->obj, x->path));
	struct obuf b = OBUF_INIT;

	if (t.len > 0)
		ocell_since(x, t, &b);
	text_or(x, &b, none);
}

OCELL(seconds_or_none)
{
	struct ojson *v = ojson_at_dotted(x->obj, x->path);
	struct obuf b = OBUF_INIT;
	char text[OTIME_BUF];

	if (v != NULL)
		obuf_append(&b, text, otime_duration_human(ojson_i64(v, 0) * OTIME_SECOND, text));
	text_or(x, &b, none);
}

/* Is condition @type of the object True? */
static bool condition(struct ocell *x, const char *type)
{
	OJSON_FOREACH_ELEM(i, e, OJSON_AT(x->obj, "status", "conditions"))
		if (oget_is(e, "type", type) && oget_is(e, "status", "True"))
			return true;
	return false;
}

static bool ending(struct ocell *x)
{
	return ojson_has(ojson_get(x->obj, "metadata"), "deletionTimestamp");
}

/* ---- jobs ---- */

OCELL(job_status)
{
	ocell_cstr(x, condition(x, "Complete")	    ? "Complete" :
		      condition(x, "Failed")	    ? "Failed" :
		      ending(x)			    ? "Terminating" :
		      condition(x, "Suspended")	    ? "Suspended" :
		      condition(x, "FailureTarget") ? "FailureTarget" :
						      "Running");
}

OCELL(job_completions)
{
	struct ojson *spec = ojson_get(x->obj, "spec");
	int64_t done = oget_int(ojson_get(x->obj, "status"), "succeeded"), parallel = oget_int(spec, "parallelism");
	struct obuf b = OBUF_INIT;

	if (ojson_has(spec, "completions"))
		obuf_printf(&b, "%lld/%lld", (long long)done, (long long)oget_int(spec, "completions"));
	else if (parallel > 1)
		obuf_printf(&b, "%lld/1 of %lld", (long long)done, (long long)parallel);
	else
		obuf_printf(&b, "%lld/1", (long long)done);
	ocell_text(x, &b);
}

OCELL(job_duration)
{
	struct ojson *status = ojson_get(x->obj, "status");
	struct orlop_bytes from = oget_text(status, "startTime"), to = oget_text(status, "completionTime");
	struct obuf b = OBUF_INIT;
	char text[OTIME_BUF];
	int64_t start, end = x->now_ns;

	if (from.len > 0 && otime_parse(from.p, from.len, &start) == 0) {
		if (to.len > 0)
			(void)otime_parse(to.p, to.len, &end);
		obuf_append(&b, text, otime_duration_human(end - start, text));
	}
	ocell_text(x, &b);
}

/* ---- storage ---- */

OCELL(phase)
{
	if (ending(x))
		ocell_cstr(x, "Terminating");
	else
		ocell_value(x, OJSON_AT(x->obj, "status", "phase"));
}

static void put_modes(struct ocell *x, const struct ojson *list)
{
	static const char *const names[][2] = {
		{ "ReadWriteOnce", "RWO" }, { "ReadOnlyMany", "ROX" }, { "ReadWriteMany", "RWX" },
		{ "ReadWriteOncePod", "RWOP" },
	};
	struct obuf b = OBUF_INIT;

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		bool has = false;

		OJSON_FOREACH_ELEM(i, e, list)
			has = has || ojson_string_is(e, names[n][0]);
		if (has)
			ocell_join(&b, (struct orlop_bytes){ names[n][1], strlen(names[n][1]) });
	}
	ocell_text(x, &b);
}

OCELL(access_modes)
{
	put_modes(x, ojson_at_dotted(x->obj, x->path));
}

static bool bound(struct ocell *x)
{
	return !oget_empty(ojson_get(x->obj, "spec"), "volumeName");
}

OCELL(claim_modes)
{
	put_modes(x, bound(x) ? OJSON_AT(x->obj, "status", "accessModes") : NULL);
}

OCELL(claim_capacity)
{
	ocell_value(x, bound(x) ? OJSON_AT(x->obj, "status", "capacity", "storage") : NULL);
}

OCELL(claim_ref)
{
	struct ojson *ref = OJSON_AT(x->obj, "spec", "claimRef");
	struct obuf b = OBUF_INIT;

	if (ref != NULL)
		obuf_printf(&b, "%s/%s", ojson_get_cstr(ref, "namespace", ""), ojson_get_cstr(ref, "name", ""));
	ocell_text(x, &b);
}

/* The annotation of old wins. */
OCELL(storage_class)
{
	struct ojson *old = OJSON_AT(x->obj, "metadata", "annotations", "volume.beta.kubernetes.io/storage-class");

	ocell_value(x, old != NULL ? old : OJSON_AT(x->obj, "spec", "storageClassName"));
}

OCELL(default_name)
{
	static const char *const marks[] = {
		"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class",
	};
	struct ojson *meta = ojson_get(x->obj, "metadata");
	struct obuf b = OBUF_INIT;
	bool is = false;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		is = is || oget_is(ojson_get(meta, "annotations"), marks[i], "true");
	obuf_printf(&b, "%s%s", ojson_get_cstr(meta, "name", ""), is ? " (default)" : "");
	ocell_text(x, &b);
}

OCELL(token_requests)
{
	struct ojson *list = OJSON_AT(x->obj, "spec", "tokenRequests");
	struct obuf b = OBUF_INIT;

	if (list == NULL)
		obuf_puts(&b, unset);
	OJSON_FOREACH_ELEM(i, e, list)
		ocell_join(&b, oget_text(e, "audience"));
	ocell_text(x, &b);
}

/* ---- quotas ---- */

static void quota(struct ocell *x, bool limits)
{
	struct ojson *used = OJSON_AT(x->obj, "status", "used");
	struct obuf b = OBUF_INIT;

	/* stored maps are sorted */
	OJSON_FOREACH(it, OJSON_AT(x->obj, "status", "hard")) {
		if ((strncmp(it.key, "limits.", 7) == 0) != limits)
			continue;
		obuf_printf(&b, "%s%s: %s/%s", b.len > 0 ? ", " : "", it.key,
			    ojson_cstr(ojson_get_n(used, it.key, it.key_len), "0"), ojson_cstr(it.value, ""));
	}
	ocell_text(x, &b);
}

OCELL(quota_requests)
{
	quota(x, false);
}

OCELL(quota_limits)
{
	quota(x, true);
}

/* ---- networking ---- */

OCELL(ingress_hosts)
{
	struct obuf b = OBUF_INIT;
	size_t n = 0;

	OJSON_FOREACH_ELEM(i, r, OJSON_AT(x->obj, "spec", "rules")) {
		if (oget_empty(r, "host"))
			continue;
		if (n++ < 3)
			ocell_join(&b, oget_text(r, "host"));
	}
	if (n > 3)
		obuf_printf(&b, " + %zu more...", n - 3);
	text_or(x, &b, "*");
}

OCELL(ingress_address)
{
	struct ojson *list = OJSON_AT(x->obj, "status", "loadBalancer", "ingress");
	struct orlop_bytes last = { "", 0 };
	struct obuf b = OBUF_INIT;

	/* the next larger text each time: sorted and once each, of a handful */
	for (;;) {
		struct orlop_bytes next = { NULL, 0 };

		OJSON_FOREACH_ELEM(i, e, list) {
			struct orlop_bytes t = oget_empty(e, "ip") ? oget_text(e, "hostname") : oget_text(e, "ip");

			if (ostr_cmp(t.p, t.len, last.p, last.len) > 0 &&
			    (next.p == NULL || ostr_cmp(t.p, t.len, next.p, next.len) < 0))
				next = t;
		}
		if (next.p == NULL)
			break;
		ocell_join(&b, next);
		last = next;
	}
	ocell_text(x, &b);
}

OCELL(ingress_ports)
{
	ocell_cstr(x, oget_len(ojson_get(x->obj, "spec"), "tls") > 0 ? "80, 443" : "80");
}

OCELL(ingress_parameters)
{
	struct ojson *p = OJSON_AT(x->obj, "spec", "parameters");
	const char *group = ojson_get_cstr(p, "apiGroup", "");
	struct obuf b = OBUF_INIT;

	if (p != NULL)
		obuf_printf(&b, "%s%s%s/%s", ojson_get_cstr(p, "kind", ""), *group != '\0' ? "." : "", group,
			    ojson_get_cstr(p, "name", ""));
	text_or(x, &b, none);
}

OCELL(parent_ref)
{
	struct ojson *p = OJSON_AT(x->obj, "spec", "parentRef");
	const char *group = ojson_get_cstr(p, "group", ""), *ns = ojson_get_cstr(p, "namespace", "");
	struct obuf b = OBUF_INIT;

	if (p != NULL)
		obuf_printf(&b, "%s%s%s%s%s/%s", ojson_get_cstr(p, "resource", ""), *group != '\0' ? "." : "", group,
			    *ns != '\0' ? "/" : "", ns, ojson_get_cstr(p, "name", ""));
	for (size_t i = 0; i < b.len; i++)
		if (b.data[i] >= 'A' && b.data[i] <= 'Z')
			b.data[i] = (char)(b.data[i] + ('a' - 'A'));
	text_or(x, &b, none);
}

/* ---- certificates, flow control ---- */

OCELL(csr_condition)
{
	bool issued = !oget_empty(ojson_get(x->obj, "status"), "certificate");
	bool denied = condition(x, "Denied"), approved = condition(x, "Approved"), failed = condition(x, "Failed");
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, denied ? "Denied" : approved ? "Approved" : failed ? "" : "Pending");
	if (failed)
		obuf_puts(&b, b.len > 0 ? ",Failed" : "Failed");
	if (issued)
		obuf_puts(&b, ",Issued");
	ocell_text(x, &b);
}

OCELL(missing_level)
{
	const char *dangling = "?";

	OJSON_FOREACH_ELEM(i, e, OJSON_AT(x->obj, "status", "conditions"))
		if (oget_is(e, "type", "Dangling"))
			dangling = ojson_get_cstr(e, "status", "?");
	ocell_cstr(x, dangling);
}

/* ---- devices ---- */

OCELL(claim_state)
{
	struct ojson *meta = ojson_get(x->obj, "metadata"), *status = ojson_get(x->obj, "status");
	bool given = ojson_has(status, "allocation");
	struct obuf b = OBUF_INIT;

	if (ojson_has(meta, "deletionTimestamp"))
		obuf_puts(&b, "deleted,");
	obuf_puts(&b, given ? "allocated" : "pending");
	if (given && oget_len(status, "reservedFor") > 0)
		obuf_puts(&b, ",reserved");
	ocell_text(x, &b);
}

/* ---- who serves what, and how the parts are ---- */

OCELL(api_service)
{
	struct ojson *service = OJSON_AT(x->obj, "spec", "service");
	struct obuf b = OBUF_INIT;

	if (service == NULL)
		obuf_puts(&b, "Local");
	else
		obuf_printf(&b, "%s/%s", ojson_get_cstr(service, "namespace", ""), ojson_get_cstr(service, "name", ""));
	ocell_text(x, &b);
}

OCELL(available)
{
	struct obuf b = OBUF_INIT;

	OJSON_FOREACH_ELEM(i, e, OJSON_AT(x->obj, "status", "conditions")) {
		if (!oget_is(e, "type", "Available") || b.len > 0)
			continue;
		obuf_puts(&b, ojson_get_cstr(e, "status", ""));
		if (!oget_is(e, "status", "True") && !oget_empty(e, "reason"))
			obuf_printf(&b, " (%s)", ojson_get_cstr(e, "reason", ""));
	}
	text_or(x, &b, "Unknown");
}

/* Of a ComponentStatus: a member of the condition Healthy; its status in a word. */
OCELL(healthy)
{
	const char *text = strcmp(x->path, "status") == 0 ? "Unknown" : "";

	OJSON_FOREACH_ELEM(i, e, ojson_get(x->obj, "conditions")) {
		if (!oget_is(e, "type", "Healthy"))
			continue;
		if (strcmp(x->path, "status") != 0)
			text = ojson_get_cstr(e, x->path, "");
		else
			text = oget_is(e, "status", "True") ? "Healthy" : "Unhealthy";
	}
	ocell_cstr(x, text);
}

/* ---- autoscalers ---- */

OCELL(text_or_unset)
{
	struct ojson *v = ojson_at_dotted(x->obj, x->path);
	struct obuf b = OBUF_INIT;

	if (v != NULL)
		obuf_put_i64(&b, ojson_i64(v, 0));
	text_or(x, &b, unset);
}

OCELL(scale_target)
{
	struct ojson *ref = OJSON_AT(x->obj, "spec", "scaleTargetRef");
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "%s/%s", ojson_get_cstr(ref, "kind", ""), ojson_get_cstr(ref, "name", ""));
	ocell_text(x, &b);
}

/* A target or what is measured: a quantity, or a share of what is asked for. */
static void put_metric(const struct ojson *value, struct obuf *b)
{
	if (ojson_has(value, "averageValue"))
		obuf_puts(b, ojson_get_cstr(value, "averageValue", ""));
	else if (ojson_has(value, "averageUtilization"))
		obuf_printf(b, "%lld%%", (long long)oget_int(value, "averageUtilization"));
	else if (ojson_has(value, "value"))
		obuf_puts(b, ojson_get_cstr(value, "value", ""));
	else
		obuf_puts(b, "<unknown>");
}

OCELL(scale_metrics)
{
	static const char *const members[] = { "containerResource", "external", "object", "pods", "resource" };
	struct ojson *specs = OJSON_AT(x->obj, "spec", "metrics"), *now = OJSON_AT(x->obj, "status", "currentMetrics");
	struct obuf b = OBUF_INIT;

	OJSON_FOREACH_ELEM(i, m, specs) {
		if (i >= 2)
			break;
		obuf_puts(&b, i > 0 ? ", " : "");
		for (size_t k = 0; k < sizeof(members) / sizeof(members[0]); k++) {
			struct ojson *source = ojson_get(m, members[k]);

			if (source == NULL)
				continue;
			if (ojson_has(source, "name"))
				obuf_printf(&b, "%s: ", ojson_get_cstr(source, "name", ""));
			put_metric(ojson_get(ojson_get(ojson_index(now, i), members[k]), "current"), &b);
			obuf_putc(&b, '/');
			put_metric(ojson_get(source, "target"), &b);
		}
	}
	if (ojson_count(specs) > 2)
		obuf_printf(&b, " + %zu more...", ojson_count(specs) - 2);
	text_or(x, &b, none);
}
