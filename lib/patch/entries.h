/* entries.h - what updates and applies have in common: entries, and comparisons version by version. */
#ifndef OLIB_PATCH_ENTRIES_H
#define OLIB_PATCH_ENTRIES_H

#include "patch/omanaged.h"
#include "patch/place.h"

struct omanaged_entry *entry_add(struct oarena *a, struct omanaged *m);
void entry_remove(struct omanaged *m, size_t i);

/* Fields that say what an object is, not what somebody wants, taken away from *set. */
int entry_strip(struct oarena *a, const struct ofields **set);

/* The time of a write. */
int entry_stamp(struct oarena *a, struct omanaged_entry *e, int64_t now_ns);

/* Two objects as each version sees them and their difference; each is made once. */
struct version {
	const char			*name;
	const struct oschema_type	*type;
	struct ojson			*old;
	struct ojson			*new;
	int				state;		/* 0 made, else the error: -ENOENT not served */
	struct ofields_diff		diff;
};

struct versions {
	const struct walk		*w;
	const struct oschema_type	*type;		/* in the version of the request */
	const char			*name;
	const struct ojson		*old;
	const struct ojson		*new;
	const struct ofields		*reset;
	omanaged_convert_fn		convert;
	void				*convert_arg;
	struct version			*v;
	size_t				n;
};

/* The difference in version @name. 0, -ENOENT, -ENOMEM, -EINVAL. */
int versions_diff(struct versions *vs, const char *name, const struct ofields_diff **ret);
void versions_done(struct versions *vs);

/* @object, in the request's version, in version @name. *ret is a reference. As omanaged_convert_fn. */
int versions_convert(const struct versions *vs, const struct ojson *object, const char *name,
		     struct ojson **ret, const struct oschema_type **ret_type);

#endif
