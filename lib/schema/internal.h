/*
 * internal.h - what the files of this folder share: paths into objects, a few words for trees.
 */
#ifndef OSCHEMA_INTERNAL_H
#define OSCHEMA_INTERNAL_H

#include "base/obuf.h"
#include "base/ostr.h"
#include "json/ojson.h"
#include "schema/oschema.h"

/* A place in an object: a list on the C stack, from the leaf upwards. NULL is the root. */
struct opath {
	const struct opath *up;
	const char	*name;		/* member or map key; NULL: an element */
	size_t		len;
	size_t		index;
	bool		key;		/* name is the key of a map */
	const struct oschema_type *owner;	/* decoding: the struct whose field this is */
};

static inline struct opath opath_child(const struct opath *up, const char *name)
{
	return (struct opath){ .up = up, .name = name, .len = strlen(name) };
}

static inline struct opath opath_key(const struct opath *up, const char *key)
{
	return (struct opath){ .up = up, .name = key, .len = strlen(key), .key = true };
}

static inline struct opath opath_index(const struct opath *up, size_t i)
{
	return (struct opath){ .up = up, .index = i };
}

/* "spec.containers[0].resources.limits[cpu]", as field.Path prints it. */
void opath_put(const struct opath *p, struct obuf *out);

/* Text of a string value, of a member; empty if it is none. */
static inline struct orlop_bytes otext(const struct ojson *o)
{
	struct orlop_bytes b = { "", 0 };
	const char *p = ojson_string(o, &b.len);

	if (p != NULL)
		b.p = p;
	return b;
}

static inline struct orlop_bytes oget_text(const struct ojson *o, const char *key)
{
	return otext(ojson_get(o, key));
}

static inline bool otext_is(struct orlop_bytes t, const char *cstr)
{
	return ostr_is(t.p, t.len, cstr);
}

static inline bool oget_is(const struct ojson *o, const char *key, const char *cstr)
{
	return otext_is(oget_text(o, key), cstr);
}

static inline bool oget_empty(const struct ojson *o, const char *key)
{
	return oget_text(o, key).len == 0;
}

static inline int64_t oget_int(const struct ojson *o, const char *key)
{
	return ojson_get_i64(o, key, 0);
}

static inline bool oget_bool(const struct ojson *o, const char *key)
{
	return ojson_get_bool(o, key, false);
}

/* Elements of a list, members of a map; 0 if absent. */
static inline size_t oget_len(const struct ojson *o, const char *key)
{
	struct ojson *v = ojson_get(o, key);

	return ojson_is(v, OJSON_ARRAY) || ojson_is(v, OJSON_OBJECT) ? ojson_count(v) : 0;
}

/* Is the value what Go calls the zero value of its type? NULL is. */
bool ozero(const struct ojson *v);

/* Brings the members of a struct of type @t into the order of its fields. 0 or -ENOMEM. */
int oschema_restore_order(const struct oschema *s, const struct oschema_type *t, struct ojson *obj);

/*
 * What a defaults hook did: 0 nothing added, 1 members were added (the caller restores the order),
 * -ENOMEM. @obj is the typed tree of one struct, its parts already have their defaults.
 */
typedef int (*odefaults_fn)(const struct oschema *s, struct ojson *obj);
odefaults_fn odefaults_hook(unsigned int number);

/* convert-hpa.c: HorizontalPodAutoscaler v1 → v2, and back; in place. */
int oconvert_autoscaler_up(struct ojson *obj);
int oconvert_autoscaler_down(struct ojson *obj);

/* convert-old.c: the types of api/old, from the version of @type (up) or to it; in place. False: nothing special. */
bool oconvert_old(const char *type, bool up, struct ojson *obj, int *ret);

#endif
