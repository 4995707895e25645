/*
 * omanaged - metadata.managedFields through creates, updates and patches
 *
 * What upstream's field manager does for every write but apply: fields that a write changes or adds
 * move to the writer, fields that it removes leave everybody. Server-side apply (oapply.h) stands on
 * the same entries and sets (ofields.h).
 */
#ifndef OLIB_PATCH_OMANAGED_H
#define OLIB_PATCH_OMANAGED_H

#include "json/ojson.h"
#include "patch/ofields.h"
#include "schema/oschema.h"

#include <orlop/types.h>
#include <stdbool.h>
#include <stdint.h>

/* Update managers beyond this many are summed up as "ancient-changes". */
#define OMANAGED_UPDATERS_MAX 10

/* One entry of managedFields. Texts are NUL-terminated and live in the arena of the list. */
struct omanaged_entry {
	const char		*manager;
	const char		*api_version;
	const char		*subresource;	/* "" for the object itself */
	const char		*time;		/* as it is written, "" if there is none */
	int64_t			time_s;		/* the same in seconds since 1970, 0 if there is none */
	bool			apply;		/* operation Apply; else Update */
	const struct ofields	*fields;	/* never NULL after omanaged_update() */
};

struct omanaged {
	struct omanaged_entry	*v;
	size_t			n;
	size_t			cap;
};

/*
 * omanaged_read - entries of an array; NULL or null has none
 *
 * Returns 0, -EINVAL with upstream's sentence in @err (an entry without operation, version, …), -ENOMEM.
 */
int omanaged_read(struct oarena *a, const struct ojson *array, struct omanaged *ret,
		  struct orlop_error *err);

/* A new array in upstream's order; *ret NULL if there are no entries. */
int omanaged_write(const struct omanaged *m, struct ojson **ret);

/* `managedFields: []` or `[{}]`: the client wants them cleared. */
bool omanaged_is_reset(const struct ojson *array, bool present);

/*
 * An object in another version, with the type it has there; NULL: there is one version. Entries are
 * in the version in which their fields were written; one whose version is not served any more is
 * dropped. 0, -ENOENT (no such version), -ENOMEM, -EINVAL.
 */
typedef int (*omanaged_convert_fn)(void *arg, const struct ojson *object, const char *to,
				   struct ojson **ret, const struct oschema_type **ret_type);

/* What a write is. Everything is borrowed; zero and fill in. */
struct omanaged_write_info {
	const struct oschema		*schema;
	const struct oschema_type	*type;		/* of the whole object */
	const struct ojson		*live;		/* as stored; NULL: the object is created */
	struct ojson			*object;	/* as it will be stored: its managedFields are set */
	const struct ojson		*requested;	/* managedFields as the client sent them; NULL: as in @object */
	struct orlop_bytes		manager;	/* fieldManager, or from the user agent; "" is "unknown" */
	struct orlop_bytes		api_version;	/* of the request: "apps/v1" */
	struct orlop_bytes		subresource;	/* "" for the object itself */
	int64_t				now_ns;		/* wall time */
	const char *const		*reset;		/* dotted paths that this endpoint never owns ("status"),
							   NULL-terminated, may be NULL */
	omanaged_convert_fn		convert;
	void				*convert_arg;
};

/*
 * omanaged_update - computes the entries after a create, update or non-apply patch
 *
 * Both objects must be in the same version and defaulted. An object whose entries were cleared stays
 * without until it is applied. Writes that change nothing leave the entries as they are, times
 * included. 0 or -ENOMEM: entries that cannot be read are dropped, as upstream does.
 */
int omanaged_update(const struct omanaged_write_info *w);

/* Do two lists of entries say the same but for their times? */
bool omanaged_same_but_time(const struct ojson *a, const struct ojson *b);

/* The manager's name for a request: @field_manager, else the user agent up to the first '/'. */
struct orlop_bytes omanaged_manager(struct orlop_bytes field_manager, struct orlop_bytes user_agent);

#endif
