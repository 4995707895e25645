/*
 * clean.h - text from elsewhere on the way to a terminal: nothing in it moves the cursor or changes colours.
 */
#ifndef CLI_CLEAN_H
#define CLI_CLEAN_H

#include <stddef.h>

#include "base/obuf.h"

/* Appends @p with control characters (C0, DEL, C1) and bytes that are not UTF-8 as \xNN. */
void clean_put(struct obuf *b, const char *p, size_t len);
/* The same into a buffer, cut off to fit; returns @buf. */
const char *clean_text(const char *cstr, char *buf, size_t size);

#endif
