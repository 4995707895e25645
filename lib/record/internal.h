/* What the files of lib/record share. */
#ifndef OLIB_RECORD_INTERNAL_H
#define OLIB_RECORD_INTERNAL_H

#include "record/orecord.h"

struct orecord_pair {
	struct orlop_bytes key;
	struct orlop_bytes value;
};

void orecord_put_entry(struct obuf *b, uint16_t index, struct orlop_bytes key, struct orlop_bytes val);
/* Sorts @v; returns @n. */
int orecord_put_sorted(struct obuf *b, uint16_t index, struct orecord_pair *v, size_t n);

/* Is the field indexed (and not found by the key)? */
bool orecord_is_field(const struct oschema *s, const struct oschema_select *sel);

/* Does this member of ObjectMeta stand before resourceVersion? @key with its quotes. */
bool orecord_before_rv(struct orlop_bytes key);

#endif
