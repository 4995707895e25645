/*
 * proto-wire.h - the bytes of protobuf. A message's length stands before it and is known behind it: one byte is left for
 * it, and long messages move up by what is missing.
 */
#ifndef REG_PROTO_WIRE_H
#define REG_PROTO_WIRE_H

#include "base/obuf.h"

#include <string.h>

/* Room for @n bytes and the NUL that obuf wants behind them; most often it is there. */
static inline char *room(struct obuf *b, size_t n)
{
	return b->err == 0 && b->cap - b->len > n ? b->data + b->len : obuf_reserve(b, n);
}

static inline void put_varint(struct obuf *b, uint64_t v)
{
	char *at = room(b, 10);
	size_t n = 0;

	if (!at)
		return;
	for (; v >= 0x80; v >>= 7)
		at[n++] = (char)(v | 0x80);
	at[n++] = (char)v;
	at[n] = '\0';
	b->len += n;
}

static inline void put_tag(struct obuf *b, unsigned int num, unsigned int wire)
{
	put_varint(b, (uint64_t)num << 3 | wire);
}

static inline size_t begin(struct obuf *b, unsigned int num)
{
	put_tag(b, num, 2);
	put_varint(b, 0);
	return b->len;
}

/* What has been appended since begin() gets its length. */
static inline void end(struct obuf *b, size_t from)
{
	size_t len = b->len - from;
	size_t more = 0;
	char *at;

	if (b->err)
		return;
	for (size_t v = len >> 7; v; v >>= 7)
		more++;
	if (more) {
		if (!obuf_reserve(b, more))
			return;
		memmove(b->data + from + more, b->data + from, len);
		obuf_advance(b, more);
	}
	at = b->data + from - 1;
	for (; len >= 0x80; len >>= 7)
		*at++ = (char)(len | 0x80);
	*at = (char)len;
}

#endif
