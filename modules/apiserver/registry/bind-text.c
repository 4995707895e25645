/*
 * bind-text.c - a pod gets its node: three places of its text change, nothing is parsed into a tree.
 *
 * A scheduler binds thousands in a second, and a tree of a pod costs some hundred allocations. Whatever
 * is unusual is left to the general way in kind-pod.c; both make the same bytes (test/bind.c).
 */
#include "bind.h"
#include "write.h"

#include "json/oscan.h"
#include "record/orecord.h"

#include <string.h>

/* A string without escapes, said for the first time. */
static bool take(struct orlop_bytes v, struct orlop_bytes *ret)
{
	return !ret->p && oscan_type(v) == OSCAN_STRING && oscan_plain(v, ret);
}

static bool take_word(struct orlop_bytes v, const char *word)
{
	return oscan_string_is_cstr(v, word);
}

static bool scan_meta(struct orlop_bytes v, struct bind_body *b)
{
	struct oscan_iter it;

	if (oscan_type(v) != OSCAN_OBJECT)
		return false;
	for (oscan_begin(&it, v); oscan_next(&it) > 0;) {
		if (!(oscan_string_is_cstr(it.key, "name") ? take(it.value, &b->name) :
		      oscan_string_is_cstr(it.key, "namespace") ? take(it.value, &b->ns) :
		      oscan_string_is_cstr(it.key, "uid") ? take(it.value, &b->uid) :
		      /* Go writes it always */
		      oscan_string_is_cstr(it.key, "creationTimestamp") && oscan_type(it.value) == OSCAN_NULL))
			return false;
	}
	return true;
}

static bool scan_target(struct orlop_bytes v, struct bind_body *b)
{
	struct oscan_iter it;

	if (oscan_type(v) != OSCAN_OBJECT)
		return false;
	for (oscan_begin(&it, v); oscan_next(&it) > 0;) {
		if (!(oscan_string_is_cstr(it.key, "name") ? take(it.value, &b->node) :
		      oscan_string_is_cstr(it.key, "kind") && take_word(it.value, "Node")))
			return false;
	}
	return true;
}

/* Does the name stand in JSON as it is? */
static bool is_plain_name(struct orlop_bytes v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!((v.p[i] >= 'a' && v.p[i] <= 'z') || (v.p[i] >= '0' && v.p[i] <= '9') || v.p[i] == '-' ||
		      v.p[i] == '.'))
			return false;
	return v.len > 0;
}

bool bind_scan(struct orlop_bytes body, struct bind_body *ret)
{
	struct orlop_bytes v, meta = RB0, target = RB0;
	struct oscan_iter it;

	memset(ret, 0, sizeof(*ret));
	if (oscan_check(body.p, body.len, OSCAN_DEPTH_MAX, &v, NULL) || oscan_type(v) != OSCAN_OBJECT)
		return false;
	for (oscan_begin(&it, v); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, "metadata") && !meta.p)
			meta = it.value;
		else if (oscan_string_is_cstr(it.key, "target") && !target.p)
			target = it.value;
		else if (!(oscan_string_is_cstr(it.key, "kind") && take_word(it.value, "Binding")) &&
			 !(oscan_string_is_cstr(it.key, "apiVersion") && take_word(it.value, "v1")))
			return false;
	}
	return meta.p && target.p && scan_meta(meta, ret) && scan_target(target, ret) && is_plain_name(ret->node);
}

/* ---- the pod ---- */

/* The parts of a pod's text that matter; all with their quotes or braces. */
struct pod_text {
	struct orlop_bytes meta;
	struct orlop_bytes spec;
	struct orlop_bytes status;
	struct orlop_bytes rev;		/* resourceVersion from its key on, with the comma behind it */
	struct orlop_bytes managed;	/* value of managedFields, or nothing */
};

static bool pod_scan(struct orlop_bytes json, struct pod_text *ret)
{
	struct oscan_iter it;

	memset(ret, 0, sizeof(*ret));
	for (oscan_begin_members(&it, json); oscan_next(&it) > 0;) {
		struct orlop_bytes *to = oscan_string_is_cstr(it.key, "metadata") ? &ret->meta :
					 oscan_string_is_cstr(it.key, "spec") ? &ret->spec :
					 oscan_string_is_cstr(it.key, "status") ? &ret->status : NULL;

		if (!to || to->p || oscan_type(it.value) != OSCAN_OBJECT)
			return false;
		*to = it.value;
	}
	return ret->meta.p && ret->spec.p && ret->status.p;
}

static bool meta_fits(struct pod_text *pod, const struct bind_body *b)
{
	struct oscan_iter it;

	for (oscan_begin(&it, pod->meta); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, "resourceVersion")) {
			if (it.value.p[it.value.len] != ',')
				return false;
			pod->rev.p = it.key.p;
			pod->rev.len = (size_t)(it.value.p + it.value.len + 1 - it.key.p);
		} else if (oscan_string_is_cstr(it.key, "managedFields")) {
			pod->managed = it.value;
		}
		if (oscan_string_is_cstr(it.key, "deletionTimestamp"))
			return false;
		if (oscan_string_is_cstr(it.key, "uid") && b->uid.len && !oscan_string_is(it.value, b->uid.p, b->uid.len))
			return false;
	}
	return pod->rev.p && (!pod->managed.p || pod->managed.p > pod->rev.p);
}

/* Where member @name of type @t goes into @v, which does not have it; offset behind the member before it. */
static bool place_of(const struct oschema *s, const char *type, const char *name, struct orlop_bytes v,
		     const char **ret_at, bool *ret_first, bool *ret_last)
{
	const struct oschema_type *t = oschema_type_find(s, type);
	const struct oschema_field *mine = t ? oschema_field_find(s, t, name, strlen(name)) : NULL;
	const char *at = v.p + 1;
	struct oscan_iter it;

	*ret_first = *ret_last = true;
	if (!mine)
		return false;
	for (oscan_begin(&it, v); oscan_next(&it) > 0;) {
		struct orlop_bytes key;
		const struct oschema_field *f;

		if (!oscan_plain(it.key, &key))
			return false;
		f = oschema_field_find(s, t, key.p, key.len);
		if (!f || f == mine)
			return false;
		/* fields of a type stand in the order in which they are written */
		if (f > mine) {
			*ret_last = false;
			break;
		}
		*ret_first = false;
		at = it.value.p + it.value.len;
	}
	*ret_at = at;
	return true;
}

/* Copies from *@from to @at, then member @name up to its colon; put_after() follows the value. */
static void put_before(struct obuf *b, const char **from, const char *at, const char *name, bool first)
{
	obuf_append(b, *from, (size_t)(at - *from));
	obuf_puts(b, first ? "\"" : ",\"");
	obuf_puts(b, name);
	obuf_puts(b, "\":");
	*from = at;
}

static void put_after(struct obuf *b, bool first, bool last)
{
	if (first && !last)
		obuf_putc(b, ',');
}

/* The condition as it becomes; false: not as the general way writes conditions. */
static bool put_condition(struct obuf *b, struct orlop_bytes was, const char *now)
{
	bool first = true, status = false, time = false;
	struct oscan_iter it;

	obuf_putc(b, '{');
	for (oscan_begin(&it, was); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, "reason") || oscan_string_is_cstr(it.key, "message"))
			continue;
		if (!first)
			obuf_putc(b, ',');
		first = false;
		obuf_append(b, it.key.p, it.key.len);
		obuf_putc(b, ':');
		if (oscan_string_is_cstr(it.key, "status")) {
			status = true;
			obuf_puts(b, "\"True\"");
		} else if (oscan_string_is_cstr(it.key, "lastTransitionTime")) {
			time = true;
			obuf_put_json_cstr(b, now);
		} else {
			obuf_append(b, it.value.p, it.value.len);
		}
	}
	obuf_putc(b, '}');
	return status && time;
}

/* status.conditions says that the pod has a node; copies from *@from on as far as that needs. */
static bool put_status(struct obuf *b, const struct oschema *s, struct orlop_bytes status, const char **from,
		       const char *now)
{
	static const char head[] = "{\"type\":\"PodScheduled\",\"status\":\"True\",\"lastProbeTime\":null,\"lastTransitionTime\":";
	struct orlop_bytes list, type, is;
	struct oscan_iter it;
	const char *at;
	bool first, last;

	if (!oscan_get(status, "conditions", &list)) {
		if (!place_of(s, "core/v1.PodStatus", "conditions", status, &at, &first, &last))
			return false;
		put_before(b, from, at, "conditions", first);
		obuf_putc(b, '[');
		obuf_puts(b, head);
		obuf_put_json_cstr(b, now);
		obuf_puts(b, "}]");
		put_after(b, first, last);
		return true;
	}
	if (oscan_type(list) != OSCAN_ARRAY)
		return false;
	for (oscan_begin(&it, list); oscan_next(&it) > 0;) {
		if (oscan_type(it.value) != OSCAN_OBJECT || !oscan_get(it.value, "type", &type))
			return false;
		if (!oscan_string_is_cstr(type, "PodScheduled"))
			continue;
		if (!oscan_get(it.value, "status", &is))
			return false;
		if (oscan_string_is_cstr(is, "True"))
			return true;
		obuf_append(b, *from, (size_t)(it.value.p - *from));
		*from = it.value.p + it.value.len;
		return put_condition(b, it.value, now);
	}
	at = list.p + list.len - 1;
	obuf_append(b, *from, (size_t)(at - *from));
	*from = at;
	if (oscan_count(list))
		obuf_putc(b, ',');
	obuf_puts(b, head);
	obuf_put_json_cstr(b, now);
	obuf_putc(b, '}');
	return true;
}

/* The bound pod's text without resourceVersion. */
static bool put_bound(struct obuf *b, struct reg_op *op, const struct bind_body *in, struct orecord_change *ret)
{
	const struct oschema *s = op->sh->rg->schema;
	struct orlop_bytes json = op->w->base_json, gates;
	const char *from = json.p, *at;
	struct pod_text pod;
	bool first, last;

	/* metadata, spec, status: in this order, as they are written */
	if (!pod_scan(json, &pod) || !meta_fits(&pod, in) || pod.meta.p > pod.spec.p || pod.spec.p > pod.status.p ||
	    oscan_get(pod.spec, "schedulingGates", &gates) ||
	    !place_of(s, "core/v1.PodSpec", "nodeName", pod.spec, &at, &first, &last))
		return false;
	obuf_append(b, from, (size_t)(pod.rev.p - from));
	from = pod.rev.p + pod.rev.len;
	put_before(b, &from, at, "nodeName", first);
	obuf_putc(b, '"');
	obuf_append(b, in->node.p, in->node.len);
	obuf_putc(b, '"');
	put_after(b, first, last);
	if (!put_status(b, s, pod.status, &from, reg_now(op)))
		return false;
	obuf_append(b, from, (size_t)(json.p + json.len - from));
	ret->rv_off = (uint32_t)(pod.rev.p - json.p);
	ret->mf_off = pod.managed.p ? (uint32_t)((size_t)(pod.managed.p - json.p) - pod.rev.len) : 0;
	ret->mf_len = (uint32_t)pod.managed.len;
	return !obuf_err(b);
}

bool bind_text(struct reg_op *op)
{
	struct write *w = op->w;
	struct orecord_change c = { .was = w->base_obj, .path = "spec.nodeName" };
	struct obuf b = OBUF_INIT;
	struct bind_body in;
	bool made = false;

	if (bind_scan(op->rq.body, &in) && put_bound(&b, op, &in, &c)) {
		c.value = in.node;
		c.json = (struct orlop_bytes){ b.data, b.len };
		made = orecord_put_changed(op->sh->rg->schema, w->k->res, &c, &w->record) == 0 &&
		       w->record.len <= (3u << 20) &&
		       reg_record_parse((struct orlop_bytes){ w->record.data, w->record.len }, w->base_rev,
					&w->stored) == 0;
	}
	obuf_done(&b);
	if (!made)
		obuf_reset(&w->record);
	return made;
}
