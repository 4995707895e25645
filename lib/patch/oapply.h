/*
 * oapply - server-side apply: what a manager wants, merged into what is there
 *
 * What a configuration sets becomes its manager's; what the manager set before and does not set any
 * more goes, unless somebody else owns it; what it changes of others' is a conflict, or theirs no
 * longer if it is forced. The rules are those of structured-merge-diff and of upstream's field
 * manager around it.
 */
#ifndef OLIB_PATCH_OAPPLY_H
#define OLIB_PATCH_OAPPLY_H

#include "base/oarena.h"
#include "json/ojson.h"
#include "patch/omanaged.h"
#include "schema/oschema.h"

#include <orlop/types.h>
#include <stdbool.h>
#include <stdint.h>

/* Everything is borrowed; zero and fill in. */
struct oapply_info {
	const struct oschema		*schema;
	const struct oschema_type	*type;
	const struct ojson		*live;		/* as stored, in the request's version; NULL: none */
	const struct ojson		*config;	/* an object: what the manager wants */
	struct orlop_bytes		manager;
	struct orlop_bytes		api_version;	/* of the request */
	struct orlop_bytes		subresource;	/* "" for the object itself */
	int64_t				now_ns;		/* wall time */
	bool				force;
	const char *const		*reset;		/* as in omanaged_write_info */
	omanaged_convert_fn		convert;
	void				*convert_arg;
};

struct oapply_conflict {
	const char	*message;	/* `conflict with "kubectl" using apps/v1` */
	const char	*field;		/* `.spec.replicas` */
};

/* Texts live in the arena; the trees are the caller's. */
struct oapply_result {
	struct ojson		*object;	/* merged, without managedFields; may share with live and config */
	struct ojson		*managed;	/* entries, NULL: none */
	bool			unchanged;	/* the configuration changes nothing of the object */
	const char		*message;	/* of -EEXIST and -EINVAL */
	struct oapply_conflict	*conflicts;
	size_t			n_conflicts;
};

/*
 * oapply - merge and account
 *
 * Returns 0, -EEXIST with the conflicts and upstream's message, -EINVAL with a message (the
 * configuration is not of the type, the entries of @live cannot be read), -ENOMEM. @config's kind,
 * name and so on are the caller's to check.
 */
int oapply(struct oarena *a, const struct oapply_info *in, struct oapply_result *ret);

#endif
