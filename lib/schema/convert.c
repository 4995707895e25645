/*
 * convert.c - versions of one stored object, and the values that field selectors compare.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "schema/decode.h"
#include "schema/internal.h"

/* Renames a member; its place changes, which decoding mends. */
static int rename_member(struct ojson *obj, const char *old, const char *name)
{
	struct ojson *v = NULL;

	if (!ojson_lookup(obj, old, &v))
		return 0;
	v = ojson_ref(v);
	ojson_del(obj, old);
	return ojson_put(obj, name, v);
}

int oschema_convert(const struct oschema *s, const struct oschema_resource *from,
		    const struct oschema_resource *to, struct ojson *obj)
{
	const struct oschema_resource *other = from->stored != oschema_resource_index(s, from) ? from : to;
	const struct oschema_type *t = oschema_type_at(s, other->type);
	int r = 0;

	if (from == to || from->type == to->type)
		return 0;
	if (strcmp(oschema_str(s, t->name), "autoscaling/v1.HorizontalPodAutoscaler") == 0)
		return other == from ? oconvert_autoscaler_up(obj) : oconvert_autoscaler_down(obj);
	if (oconvert_old(oschema_str(s, t->name), other == from, obj, &r))
		return r;
	for (unsigned int i = 0; i < t->n_fields && r == 0; i++) {
		const struct oschema_field *f = &s->fields[t->fields + i];

		if (f->stored == 0)
			continue;
		r = other == from ? rename_member(obj, oschema_field_name(s, f), oschema_str(s, f->stored)) :
		    rename_member(obj, oschema_str(s, f->stored), oschema_field_name(s, f));
	}
	return r;
}

/* The type at the end of a dotted path below @t, or NULL. */
static const struct oschema_type *path_type(const struct oschema *s, const struct oschema_type *t,
					    const char *path)
{
	while (t != NULL && *path != '\0') {
		size_t n = strcspn(path, ".");
		const struct oschema_field *f = oschema_field_find(s, t, path, n);

		t = f != NULL ? oschema_field_type(s, f) : NULL;
		path += n + (path[n] == '.');
	}
	return t;
}

/* Absent: what Go's zero value prints as; of custom resources, which are no Go types, nothing. */
static struct orlop_bytes zero_value(const struct oschema *s, const struct oschema_resource *r, const char *path)
{
	const struct oschema_type *t = r->flags & OSCHEMA_S_VERSIONED ? NULL :
				       path_type(s, oschema_type_at(s, s->resources[r->stored].type), path);

	if (t != NULL && t->kind == OSCHEMA_BOOL)
		return (struct orlop_bytes){ "false", 5 };
	if (t != NULL && (t->kind == OSCHEMA_INT32 || t->kind == OSCHEMA_INT64))
		return (struct orlop_bytes){ "0", 1 };
	return (struct orlop_bytes){ "", 0 };
}

struct orlop_bytes oschema_select_bytes(const struct oschema *s, const struct oschema_resource *r,
					unsigned int i, struct orlop_bytes object)
{
	const char *path = oschema_str(s, s->selects[r->selects + i].path);
	struct orlop_bytes v = { NULL, 0 };

	(void)oscan_find_dotted(object, path, strlen(path), &v);
	if (strcmp(path, "source.component") == 0 && v.len <= 2)
		(void)oscan_get(object, "reportingComponent", &v);
	switch (oscan_type(v)) {
	case OSCAN_STRING:
	case OSCAN_BOOL:
	case OSCAN_NUMBER:
		return v;
	default:
		return zero_value(s, r, path);
	}
}

struct orlop_bytes oschema_select_value(const struct oschema *s, const struct oschema_resource *r,
					unsigned int i, struct ojson *obj, char buf[32])
{
	const char *path = oschema_str(s, s->selects[r->selects + i].path);
	struct ojson *v = ojson_at_dotted(obj, path);

	/* An Event's source is its component, or who reported it in the newer form (upstream's ToSelectableFields). */
	if (strcmp(path, "source.component") == 0 && otext(v).len == 0)
		v = ojson_get(obj, "reportingComponent");
	switch (ojson_type(v)) {
	case OJSON_STRING:
		return otext(v);
	case OJSON_BOOL:
		return ojson_bool(v, false) ? (struct orlop_bytes){ "true", 4 } :
		       (struct orlop_bytes){ "false", 5 };
	case OJSON_INT:
		(void)snprintf(buf, 32, "%" PRId64, ojson_i64(v, 0));
		return (struct orlop_bytes){ buf, strlen(buf) };
	default:
		break;
	}
	return zero_value(s, r, path);
}
