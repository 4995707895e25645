/*
 * record.h - objects as stored bytes (orlop/record.h): building, taking apart, keys.
 */
#ifndef REG_RECORD_H
#define REG_RECORD_H

#include <orlop/record.h>

#include "op.h"

/* A stored record taken apart; all borrowed from its bytes. */
struct reg_stored {
	uint64_t	rev;
	struct orlop_bytes json;	/* without resourceVersion */
	uint32_t	rv_off;
	struct orlop_bytes index;	/* packed entries */
	uint32_t	n_index;
};

/* "deployments.apps/default/web" in the arena; p NULL without memory. */
struct orlop_bytes reg_key(struct oarena *a, const struct reg_kind *k, struct orlop_bytes ns,
			   struct orlop_bytes name);

/*
 * reg_record_put - append the record of @obj to @b
 *
 * @json  the object's canonical text, "{" "metadata": … "}" without apiVersion, kind and
 *        resourceVersion; its braces are not stored
 * @mf    text of managedFields that goes in as metadata's last member, empty: none
 *
 * @ret_json, @ret_rv_off say where the JSON lies in @b (offsets, since @b may move).
 * 0, -ENOMEM, -EINVAL (no metadata, or none of its members may follow resourceVersion).
 */
int reg_record_put(const struct reg_shard *sh, const struct reg_kind *k, struct ojson *obj,
		   struct orlop_bytes json, struct orlop_bytes mf, struct obuf *b,
		   size_t *ret_json, uint32_t *ret_rv_off);

/* 0 or -EINVAL for bytes that are no record of a format we know. */
int reg_record_parse(struct orlop_bytes value, uint64_t rev, struct reg_stored *ret);

/* Append the served JSON (resourceVersion in place, no braces). */
void reg_stored_put(const struct reg_stored *s, struct obuf *b);


#endif
