/*
 * orecord - objects as stored bytes (orlop/record.h): keys, index entries, descriptions
 *
 * Whoever puts objects into the cache makes its records here, so that all index alike: the API
 * server's registry from the tree it has just validated, uplink from the bytes of another server's
 * answer.
 */
#ifndef OLIB_RECORD_ORECORD_H
#define OLIB_RECORD_ORECORD_H

#include <orlop/cache.h>
#include <orlop/record.h>

#include "base/obuf.h"
#include "schema/oschema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ojson;

#define ORECORD_FIELDS_MAX 64u

/* Number of the index entry, the last one, that holds the version of a record of OSCHEMA_S_VERSIONED. */
#define ORECORD_VERSION 0xffffu

/* Append "deployments.apps/default/web". */
void orecord_key(struct obuf *b, const char *resource, struct orlop_bytes ns, struct orlop_bytes name);

/*
 * orecord_describe - what the cache is told about a resource of the schema
 *
 * @name    its name there, "deployments.apps"; borrowed by @ret
 * @fields  room for the names of its field indexes; borrowed by @ret
 *
 * Everything but prefix, journal_bytes and journal_ns is filled in.
 */
void orecord_describe(const struct oschema *s, const struct oschema_resource *r, const char *name,
		      const char *fields[ORECORD_FIELDS_MAX], struct orlop_resource_info *ret);

/*
 * orecord_put - append the record of @obj, a typed tree, to @b
 *
 * @json  the object's canonical text, "{" "metadata": … "}" without apiVersion, kind and
 *        resourceVersion; its braces are not stored
 * @mf    text of managedFields that goes in as metadata's last member, empty: none
 *
 * @ret_json, @ret_rv_off say where the JSON lies in @b (offsets, since @b may move).
 * 0, -ENOMEM, -EINVAL (no metadata, or none of its members may follow resourceVersion).
 */
int orecord_put(const struct oschema *s, const struct oschema_resource *r, struct ojson *obj,
		struct orlop_bytes json, struct orlop_bytes mf, struct obuf *b, size_t *ret_json,
		uint32_t *ret_rv_off);

/* What orecord_put_bytes() found in the object; borrowed from its bytes. */
struct orecord_head {
	struct orlop_bytes ns;
	struct orlop_bytes name;
	struct orlop_bytes uid;
	uint64_t	rev;		/* resourceVersion */
	bool		deleting;	/* has a deletionTimestamp */
};

enum {
	ORECORD_DROP_MANAGED = 1,	/* leave managedFields out */
};

/*
 * orecord_put_bytes - append the record of an object as another API server sent it
 *
 * @s, @r    its description; both NULL: of a kind we do not know, so without field indexes
 * @object   one checked JSON object with metadata.name and a numeric metadata.resourceVersion;
 *           kind and apiVersion may be there or not, members may have any order
 *
 * 0, -ENOMEM, -EINVAL (no such object). What failed has appended nothing that counts: truncate @b.
 */
int orecord_put_bytes(const struct oschema *s, const struct oschema_resource *r,
		      struct orlop_bytes object, unsigned int flags, struct obuf *b,
		      struct orecord_head *ret);

/* A record made from a cached object's: what it says stays but for one field and the text. */
struct orecord_change {
	const struct orlop_object *was;
	const char	*path;		/* "spec.nodeName" */
	struct orlop_bytes value;	/* what it is now */
	struct orlop_bytes json;	/* from "metadata": on, without resourceVersion */
	uint32_t	rv_off;		/* in @json: where that goes */
	uint32_t	mf_off;		/* in @json: value of managedFields, 0: none */
	uint32_t	mf_len;
};

/*
 * orecord_put_changed - append that record to @b
 *
 * For changes of nothing else that is indexed: labels, owners, other fields. 0, -ENOMEM, -EINVAL (the object
 * was indexed by other fields than @r has now, or @path is none).
 */
int orecord_put_changed(const struct oschema *s, const struct oschema_resource *r,
			const struct orecord_change *c, struct obuf *b);

/* Only the head of an object; 0 or -EINVAL. */
int orecord_head(struct orlop_bytes object, struct orecord_head *ret);

#endif
