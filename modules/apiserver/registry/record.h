/*
 * record.h - objects as stored bytes (orlop/record.h): keys, taking apart; lib/record makes them.
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

/* 0 or -EINVAL for bytes that are no record of a format we know. */
int reg_record_parse(struct orlop_bytes value, uint64_t rev, struct reg_stored *ret);

/* Append the served JSON (resourceVersion in place, no braces). */
void reg_stored_put(const struct reg_stored *s, struct obuf *b);


#endif
