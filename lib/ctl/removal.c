/* removal.c - a pod says why it goes before it is deleted. */
#include "ctl/octl.h"

#include <errno.h>

#include "base/omem.h"

struct octl_removal *octl_removal_new(struct octl_task *t, const struct ojson *pod)
{
	struct octl_removal *r = OMEM_NEW(struct octl_removal);

	if (!r)
		return NULL;
	r->t = t;
	r->uid = omem_strdup(okube_meta(pod, "uid"));
	r->ns = omem_strdup(okube_meta(pod, "namespace"));
	r->name = omem_strdup(okube_meta(pod, "name"));
	if (!r->uid || !r->ns || !r->name) {
		octl_removal_free(r);
		return NULL;
	}
	return r;
}

void octl_removal_free(struct octl_removal *r)
{
	if (!r)
		return;
	omem_free(r->uid);
	omem_free(r->ns);
	omem_free(r->name);
	omem_free(r);
}

struct ojson *octl_removal_patch(const struct octl *c, const struct ojson *pod, const char *reason, const char *message)
{
	struct ojson *patch = ojson_new_object();
	struct ojson *meta = ojson_ensure_object(patch, "metadata");
	struct ojson *list = NULL;
	int e = ojson_copy(OJSON_AT(pod, "status", "conditions"), &list);

	if (!e && !list)
		list = ojson_new_array();
	if (!meta || !list)
		e = -ENOMEM;
	if (!e)
		e = ojson_set_cstr(meta, "uid", okube_meta(pod, "uid"));
	if (!e)
		e = ojson_set_cstr(meta, "resourceVersion", okube_meta(pod, "resourceVersion"));
	if (!e && message) {
		okube_condition_set(list, "DisruptionTarget", "True", reason, message, (int64_t)c->h->now_wall(c->h), false);
		e = ojson_set(ojson_ensure_object(patch, "status"), "conditions", ojson_ref(list));
	}
	ojson_unref(list);
	if (e) {
		ojson_unref(patch);
		return NULL;
	}
	return patch;
}
