/*
 * claim.c - which objects a controller's object owns: adopting orphans, releasing what no longer
 * matches. Source: upstream's pkg/controller ControllerRefManager, behaviour only.
 */
#include "ctl/octl.h"

#include <errno.h>
#include <string.h>

#include "walk/owalk.h"

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

static const struct ojson *selector_of(const struct octl_claim *q)
{
	return q->selector ? q->selector : OJSON_AT(q->owner, "spec", "selector");
}

static void patch_send(struct octl_task *t, const struct octl_claim *q, const struct ojson *obj,
		       const struct ojson *patch)
{
	struct okube_req req = { .verb = "patch", .resource = q->resource,
				 .ns = text(okube_meta(obj, "namespace")),
				 .name = text(okube_meta(obj, "name")), .body = patch,
				 .content_type = OKUBE_STRATEGIC_PATCH };

	octl_send(t, &req);
}

/* The uid in the patch makes the server refuse it for another object of the same name. */
static struct ojson *patch_new(const struct ojson *obj)
{
	struct ojson *patch = ojson_new_object();
	struct ojson *meta = patch ? ojson_ensure_object(patch, "metadata") : NULL;

	if (!meta || ojson_set_cstr(meta, "uid", okube_meta(obj, "uid"))) {
		ojson_unref(patch);
		return NULL;
	}
	return patch;
}

static int adopt(struct octl_task *t, const struct octl_claim *q, const struct ojson *obj)
{
	struct ojson *patch = patch_new(obj);
	int e = patch ? okube_owner_add(patch, q->api_version, q->kind, q->owner) : -ENOMEM;

	if (!e)
		patch_send(t, q, obj, patch);
	ojson_unref(patch);
	return e;
}

static int release(struct octl_task *t, const struct octl_claim *q, const struct ojson *obj)
{
	struct ojson *patch = patch_new(obj);
	struct ojson *item = ojson_new_object();
	int e = patch && item ? 0 : -ENOMEM;

	if (!e)
		e = ojson_set_cstr(item, "$patch", "delete");
	if (!e)
		e = ojson_set_cstr(item, "uid", okube_meta(q->owner, "uid"));
	if (!e)
		e = ojson_append(ojson_ensure_array(ojson_get(patch, "metadata"), "ownerReferences"),
				 ojson_ref(item));
	if (!e)
		patch_send(t, q, obj, patch);
	ojson_unref(item);
	ojson_unref(patch);
	return e;
}

static bool has_owner(const struct orlop_object *o, const char *uid)
{
	size_t len = strlen(uid);
	uint32_t i;

	for (i = 0; i < o->n_index; i++)
		if (o->index[i].index == ORLOP_INDEX_OWNER && o->index[i].value.len == len &&
		    !memcmp(o->index[i].value.p, uid, len))
			return true;
	return false;
}

/* Objects that match, have no controller, and may be adopted: only these are parsed. */
static int orphans_adopt(struct octl_task *t, const struct octl_claim *q)
{
	const struct orlop_host *h = octl_of(t)->h;
	const struct ojson *selector = selector_of(q);
	const char *uid = okube_meta(q->owner, "uid");
	struct orlop_query query = { .size = sizeof(query), .has_ns = 1,
				     .ns = text(okube_meta(q->owner, "namespace")) };
	struct orlop_object *o;
	struct owalk w;
	int n = 0;

	OJSON_FOREACH(l, ojson_get(selector, "matchLabels")) {
		query.has_index = 1;
		query.index = ORLOP_INDEX_LABELS;
		query.index_key = (struct orlop_bytes){ l.key, l.key_len };
		query.index_value = ojson_bytes(l.value);
		break;
	}
	if (owalk_open(&w, h, q->res, &query))
		return -ENOMEM;
	while (n >= 0 && (o = owalk_next(&w))) {
		struct ojson *obj;

		if (has_owner(o, uid) || !okube_object_matches(o, selector))
			continue;
		obj = okube_parse(o);
		if (!obj)
			n = -ENOMEM;
		else if (!okube_controller_of(obj) && !okube_deleting(obj) && (!q->may || q->may(obj)))
			n = adopt(t, q, obj) ? -ENOMEM : n + 1;
		ojson_unref(obj);
	}
	owalk_close(&w);
	return n;
}

int octl_claim(struct octl_task *t, const struct octl_claim *q, struct ojson **ret)
{
	const struct ojson *selector = selector_of(q);
	const char *uid = okube_meta(q->owner, "uid");
	bool deleting = okube_deleting(q->owner);
	struct ojson *owned = octl_owned(octl_of(t), q->res, text(okube_meta(q->owner, "namespace")), uid);
	struct ojson *mine = ojson_new_array();
	int n = deleting ? 0 : orphans_adopt(t, q);

	if (!owned || !mine)
		n = -ENOMEM;
	OJSON_FOREACH_ELEM(i, obj, owned) {
		const struct ojson *ref = okube_controller_of(obj);

		if (n < 0)
			break;
		if (!ref || strcmp(ojson_get_cstr(ref, "uid", ""), uid))
			continue;
		if (okube_labels_match(selector, OJSON_AT(obj, "metadata", "labels"))) {
			if (ojson_append(mine, ojson_ref(obj)))
				n = -ENOMEM;
		} else if (!deleting && !okube_deleting(obj)) {
			n = release(t, q, obj) ? -ENOMEM : n + 1;
		}
	}
	ojson_unref(owned);
	if (n < 0) {
		ojson_unref(mine);
		return n;
	}
	*ret = mine;
	return n;
}
