/* object.c - looking at objects: owners, labels, conditions, readiness of pods. */
#include "kube/okube.h"

#include <string.h>

#include "base/otime.h"

struct ojson *okube_parse(const struct orlop_object *o)
{
	struct ojson *j = NULL;

	if (!o || ojson_parse_members(o->json, &j, NULL))
		return NULL;
	return j;
}

const char *okube_meta(const struct ojson *obj, const char *key)
{
	return ojson_get_cstr(ojson_get(obj, "metadata"), key, "");
}

bool okube_deleting(const struct ojson *obj)
{
	return ojson_get(ojson_get(obj, "metadata"), "deletionTimestamp") != NULL;
}

const struct ojson *okube_controller_of(const struct ojson *obj)
{
	OJSON_FOREACH_ELEM(i, o, OJSON_AT(obj, "metadata", "ownerReferences")) {
		if (ojson_get_bool(o, "controller", false))
			return o;
	}
	return NULL;
}

struct orlop_bytes okube_index(const struct orlop_object *o, int32_t index)
{
	uint32_t i;

	for (i = 0; i < o->n_index; i++)
		if ((int32_t)o->index[i].index == index)
			return o->index[i].value;
	return (struct orlop_bytes){ NULL, 0 };
}

struct orlop_bytes okube_uid(const struct orlop_object *o)
{
	return okube_index(o, ORLOP_INDEX_UID);
}

int okube_owner_add(struct ojson *obj, const char *api_version, const char *kind,
		    const struct ojson *owner)
{
	struct ojson *list = ojson_ensure_array(ojson_ensure_object(obj, "metadata"), "ownerReferences");
	struct ojson *r = ojson_new_object();
	int e = ojson_set_cstr(r, "apiVersion", api_version);

	if (!e)
		e = ojson_set_cstr(r, "kind", kind);
	if (!e)
		e = ojson_set_cstr(r, "name", okube_meta(owner, "name"));
	if (!e)
		e = ojson_set_cstr(r, "uid", okube_meta(owner, "uid"));
	if (!e)
		e = ojson_set_bool(r, "controller", true);
	if (!e)
		e = ojson_set_bool(r, "blockOwnerDeletion", true);
	if (e) {
		ojson_unref(r);
		return e;
	}
	return ojson_append(list, r);
}

static bool in_values(const struct ojson *values, const struct ojson *v)
{
	OJSON_FOREACH_ELEM(i, e, values) {
		if (ojson_equal(e, v))
			return true;
	}
	return false;
}

static bool expression_match(const struct ojson *e, const struct ojson *labels)
{
	const struct ojson *v = ojson_get(labels, ojson_get_cstr(e, "key", ""));
	const char *op = ojson_get_cstr(e, "operator", "");
	const struct ojson *values = ojson_get(e, "values");

	if (!strcmp(op, "In"))
		return v && in_values(values, v);
	if (!strcmp(op, "NotIn"))
		return !v || !in_values(values, v);
	if (!strcmp(op, "Exists"))
		return v != NULL;
	if (!strcmp(op, "DoesNotExist"))
		return !v;
	return false;
}

bool okube_labels_match(const struct ojson *sel, const struct ojson *labels)
{
	OJSON_FOREACH(it, ojson_get(sel, "matchLabels")) {
		const struct ojson *v = ojson_get_n(labels, it.key, it.key_len);

		if (!v || !ojson_equal(v, it.value))
			return false;
	}
	OJSON_FOREACH_ELEM(i, e, ojson_get(sel, "matchExpressions")) {
		if (!expression_match(e, labels))
			return false;
	}
	return true;
}

static struct orlop_bytes label_of(const struct orlop_object *o, const char *key, size_t len)
{
	uint32_t i;

	for (i = 0; i < o->n_index; i++)
		if (o->index[i].index == ORLOP_INDEX_LABELS && o->index[i].key.len == len &&
		    !memcmp(o->index[i].key.p, key, len))
			return o->index[i].value;
	return (struct orlop_bytes){ NULL, 0 };
}

static bool text_in(const struct ojson *values, struct orlop_bytes v)
{
	OJSON_FOREACH_ELEM(i, e, values) {
		struct orlop_bytes b = ojson_bytes(e);

		if (b.p && b.len == v.len && !memcmp(b.p, v.p, v.len))
			return true;
	}
	return false;
}

bool okube_object_matches(const struct orlop_object *o, const struct ojson *sel)
{
	OJSON_FOREACH(it, ojson_get(sel, "matchLabels")) {
		struct orlop_bytes have = label_of(o, it.key, it.key_len);
		struct orlop_bytes want = ojson_bytes(it.value);

		if (!have.p || have.len != want.len || memcmp(have.p, want.p, want.len))
			return false;
	}
	OJSON_FOREACH_ELEM(i, e, ojson_get(sel, "matchExpressions")) {
		const char *key = ojson_get_cstr(e, "key", "");
		const char *op = ojson_get_cstr(e, "operator", "");
		struct orlop_bytes have = label_of(o, key, strlen(key));
		bool in = have.p && text_in(ojson_get(e, "values"), have);

		if ((!strcmp(op, "In") && !in) || (!strcmp(op, "NotIn") && in) ||
		    (!strcmp(op, "Exists") && !have.p) || (!strcmp(op, "DoesNotExist") && have.p))
			return false;
	}
	return true;
}

static struct ojson *condition_in(const struct ojson *list, const char *type)
{
	OJSON_FOREACH_ELEM(i, c, list) {
		if (!strcmp(ojson_get_cstr(c, "type", ""), type))
			return c;
	}
	return NULL;
}

struct ojson *okube_condition(const struct ojson *obj, const char *type)
{
	return condition_in(OJSON_AT(obj, "status", "conditions"), type);
}

bool okube_condition_set(struct ojson *conditions, const char *type, const char *status,
			 const char *reason, const char *message, int64_t now_ns, bool with_update)
{
	struct ojson *c = condition_in(conditions, type);
	char now[OTIME_BUF];
	bool moved;

	otime_format(now_ns, now);
	if (!c) {
		c = ojson_new_object();
		if (!c)
			return false;
		(void)ojson_set_cstr(c, "type", type);
		(void)ojson_append(conditions, c);
	}
	moved = strcmp(ojson_get_cstr(c, "status", ""), status);
	if (!moved && !strcmp(ojson_get_cstr(c, "reason", ""), reason ? reason : "") &&
	    !strcmp(ojson_get_cstr(c, "message", ""), message ? message : ""))
		return false;
	(void)ojson_set_cstr(c, "status", status);
	if (moved)
		(void)ojson_set_cstr(c, "lastTransitionTime", now);
	if (with_update)
		(void)ojson_set_cstr(c, "lastUpdateTime", now);
	if (reason && *reason)
		(void)ojson_set_cstr(c, "reason", reason);
	else
		ojson_del(c, "reason");
	if (message && *message)
		(void)ojson_set_cstr(c, "message", message);
	else
		ojson_del(c, "message");
	return true;
}

static int64_t time_of(const struct ojson *j)
{
	struct orlop_bytes b = ojson_bytes(j);
	int64_t ns = 0;

	if (!b.p || otime_parse(b.p, b.len, &ns))
		return 0;
	return ns;
}

bool okube_pod_ready(const struct ojson *pod, int64_t *ret_since_ns)
{
	const struct ojson *c = okube_condition(pod, "Ready");

	if (ret_since_ns)
		*ret_since_ns = time_of(ojson_get(c, "lastTransitionTime"));
	return !strcmp(ojson_get_cstr(c, "status", ""), "True");
}

bool okube_pod_available(const struct ojson *pod, int64_t min_ready_s, int64_t now_ns,
			 int64_t *ret_wait_ns)
{
	int64_t since;

	if (ret_wait_ns)
		*ret_wait_ns = 0;
	if (!okube_pod_ready(pod, &since))
		return false;
	if (!min_ready_s || since + min_ready_s * OTIME_SECOND <= now_ns)
		return true;
	if (ret_wait_ns)
		*ret_wait_ns = since + min_ready_s * OTIME_SECOND - now_ns;
	return false;
}

bool okube_pod_active(const struct ojson *pod)
{
	const char *phase = ojson_get_cstr(ojson_get(pod, "status"), "phase", "");

	return strcmp(phase, "Succeeded") && strcmp(phase, "Failed") && !okube_deleting(pod);
}

static int phase_rank(const struct ojson *pod)
{
	const char *phase = ojson_get_cstr(ojson_get(pod, "status"), "phase", "");

	return !strcmp(phase, "Pending") ? 0 : !strcmp(phase, "Running") ? 2 : 1;
}

static int64_t restarts(const struct ojson *pod)
{
	int64_t most = 0;

	OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "status", "containerStatuses")) {
		int64_t n = ojson_get_i64(c, "restartCount", 0);

		if (n > most)
			most = n;
	}
	return most;
}

static int64_t deletion_cost(const struct ojson *pod)
{
	const char *text = ojson_cstr(OJSON_AT(pod, "metadata", "annotations",
					       "controller.kubernetes.io/pod-deletion-cost"), "0");
	int64_t v = 0;
	bool neg = *text == '-';

	for (text += neg; *text >= '0' && *text <= '9'; text++)
		v = v * 10 + (*text - '0');
	return neg ? -v : v;
}

static int three(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

/* Source: pkg/controller ActivePodsWithRanks: unassigned, pending, not ready, cheaper, younger, … first. */
int okube_pod_rank(const struct ojson *a, int64_t near_a, const struct ojson *b, int64_t near_b)
{
	bool na = *ojson_get_cstr(ojson_get(a, "spec"), "nodeName", "") != '\0';
	bool nb = *ojson_get_cstr(ojson_get(b, "spec"), "nodeName", "") != '\0';
	int64_t sa;
	int64_t sb;
	bool ra = okube_pod_ready(a, &sa);
	bool rb = okube_pod_ready(b, &sb);
	int c = three(na, nb);

	if (!c)
		c = three(phase_rank(a), phase_rank(b));
	if (!c)
		c = three(ra, rb);
	if (!c)
		c = three(deletion_cost(a), deletion_cost(b));
	if (!c)
		c = three(near_b, near_a);	/* doubled up ones first */
	if (!c && ra)
		c = three(sb, sa);	/* ready for the shorter time first */
	if (!c)
		c = three(restarts(b), restarts(a));
	if (!c)
		c = three(time_of(OJSON_AT(b, "metadata", "creationTimestamp")),
			  time_of(OJSON_AT(a, "metadata", "creationTimestamp")));
	return c ? c : strcmp(okube_meta(a, "name"), okube_meta(b, "name"));
}
