/* finalizer.c - one finalizer of an object, put on or taken off. */
#include "ctl/octl.h"

#include <errno.h>
#include <string.h>

static bool is_text(const struct ojson *v, const char *cstr)
{
	return ojson_string_is(v, cstr);
}

bool octl_finalizer_has(const struct ojson *obj, const char *name)
{
	OJSON_FOREACH_ELEM(i, f, OJSON_AT(obj, "metadata", "finalizers"))
		if (is_text(f, name))
			return true;
	return false;
}

int octl_finalizer_set(struct octl_task *t, const char *resource, const char *kind, struct ojson *obj, const char *name, bool on)
{
	struct ojson *meta = ojson_get(obj, "metadata"), *list = ojson_new_array();
	int r = list ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, f, ojson_get(meta, "finalizers"))
		if (r == 0 && !is_text(f, name))
			r = ojson_append(list, ojson_ref(f));
	if (r == 0 && on)
		r = ojson_append_cstr(list, name);
	ojson_del(meta, "managedFields");
	if (r == 0 && ojson_count(list)) {
		r = ojson_set(meta, "finalizers", list);
		list = NULL;
	} else {
		ojson_del(meta, "finalizers");
	}
	ojson_unref(list);
	if (r == 0)
		r = ojson_set_cstr(obj, "kind", kind);
	if (r == 0)
		r = ojson_set_cstr(obj, "apiVersion", "v1");
	if (r)
		return r;
	octl_hold(t);
	r = okube_update(octl_of(t)->h, resource, NULL, obj, octl_answer, t);
	if (r)
		octl_release(t, true);
	return r;
}
