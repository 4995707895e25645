/*
 * oscan - JSON as bytes: check it, skip through it, find parts of it; no tree, no allocation
 *
 * Objects live as byte ranges. oscan_check() is strict and words its errors as Go's encoding/json
 * does (clients see them in 400 answers). The other functions expect bytes that passed it once;
 * with anything else they return -EINVAL or nonsense, but never leave the range. A value's range
 * has no white space around it.
 */
#ifndef OLIB_JSON_OSCAN_H
#define OLIB_JSON_OSCAN_H

#include "base/obuf.h"

#include <orlop/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OSCAN_DEPTH_MAX 128u

struct oscan_error {
	size_t	offset;		/* of the offending byte; the length if the text ends too early */
	char	msg[80];	/* "invalid character '}' looking for beginning of value" */
};

enum oscan_type {
	OSCAN_NONE,		/* not JSON, or nothing there */
	OSCAN_NULL,
	OSCAN_BOOL,
	OSCAN_NUMBER,
	OSCAN_STRING,
	OSCAN_ARRAY,
	OSCAN_OBJECT,
};

static inline struct orlop_bytes oscan_bytes(const char *p, size_t len)
{
	return (struct orlop_bytes){ p, len };
}

/* The type, from the first byte. */
enum oscan_type oscan_type(struct orlop_bytes v);

/*
 * oscan_check - is this one JSON value with nothing but white space around it?
 *
 * Returns 0 and the value's range in @ret (may be NULL); -EINVAL, or -ELOOP if nested deeper than
 * @max_depth, and the place in @err (may be NULL). Invalid UTF-8 inside strings is accepted, as Go does.
 */
int oscan_check(const char *p, size_t len, unsigned int max_depth, struct orlop_bytes *ret,
		struct oscan_error *err);

/*
 * oscan_check_value - the same for the value that begins at or after p[*pos]
 *
 * *pos moves behind it; whatever follows is not looked at. For streams of documents.
 */
int oscan_check_value(const char *p, size_t len, size_t *pos, unsigned int max_depth,
		      struct orlop_bytes *ret, struct oscan_error *err);

/* Strict check of the string whose opening quote is p[*pos]; says whether it contains escapes. */
int oscan_check_string(const char *p, size_t len, size_t *pos, bool *ret_escaped,
		       struct oscan_error *err);

/* Fills @err with "invalid character 'c' <context>" for p[at]; returns -EINVAL. */
int oscan_fail(const char *p, size_t len, size_t at, const char *context, struct oscan_error *err);

/* Strict check of the number at p[*pos]; @ret_integer: neither fraction nor exponent. */
int oscan_check_number(const char *p, size_t len, size_t *pos, bool *ret_integer,
		       struct oscan_error *err);

/* Strict check of true, false or null at p[*pos]. */
int oscan_check_literal(const char *p, size_t len, size_t *pos, struct oscan_error *err);

static inline size_t oscan_space(const char *p, size_t len, size_t pos)
{
	while (pos < len && (p[pos] == ' ' || p[pos] == '\n' || p[pos] == '\t' || p[pos] == '\r'))
		pos++;
	return pos;
}

/* Fast skip of a checked value at p[pos] (no space before it): position behind it, or SIZE_MAX. */
size_t oscan_skip(const char *p, size_t len, size_t pos);

/*
 * Walks over the members of an object or the elements of an array.
 *
 *	struct oscan_iter it;
 *	for (oscan_begin(&it, value); oscan_next(&it) > 0;)
 *		use(it.key, it.value);
 */
struct oscan_iter {
	struct orlop_bytes	whole;
	size_t			pos;
	struct orlop_bytes	key;	/* objects: with its quotes, as it stands in the text */
	struct orlop_bytes	value;
	bool			object;
	bool			bare;	/* members without braces */
	bool			first;
};

void oscan_begin(struct oscan_iter *it, struct orlop_bytes v);

/* The same over members without the braces around them, as the cache keeps objects. */
void oscan_begin_members(struct oscan_iter *it, struct orlop_bytes members);

/* 1, 0 at the end, -EINVAL. A value that is neither object nor array is empty. */
int oscan_next(struct oscan_iter *it);

/*
 * oscan_get - member of an object; oscan_find - member of member of …, keys from @path to NULL
 *
 * An element of @path that is a decimal number also indexes an array. The last of duplicates is not
 * looked for: the first wins (stored objects have none). False: not there; @ret is then untouched.
 */
bool oscan_get(struct orlop_bytes v, const char *key, struct orlop_bytes *ret);
bool oscan_get_n(struct orlop_bytes v, const char *key, size_t key_len, struct orlop_bytes *ret);
bool oscan_find(struct orlop_bytes v, const char *const *path, struct orlop_bytes *ret);
/* The same where @members has no braces around it. */
bool oscan_find_members(struct orlop_bytes members, const char *const *path,
			struct orlop_bytes *ret);
#define OSCAN_FIND_MEMBERS(v, ret, ...) \
	oscan_find_members((v), (const char *const[]){ __VA_ARGS__, NULL }, (ret))
#define OSCAN_FIND(v, ret, ...) \
	oscan_find((v), (const char *const[]){ __VA_ARGS__, NULL }, (ret))

/* A dotted path as field selectors have it, "spec.nodeName". */
bool oscan_find_dotted(struct orlop_bytes v, const char *path, size_t path_len,
		       struct orlop_bytes *ret);

bool oscan_index(struct orlop_bytes v, size_t i, struct orlop_bytes *ret);

/* Members or elements. */
size_t oscan_count(struct orlop_bytes v);

/* Does the JSON string (quotes included) mean these bytes? */
bool oscan_string_is(struct orlop_bytes v, const char *p, size_t len);
bool oscan_string_is_cstr(struct orlop_bytes v, const char *cstr);

/* The content without copying, if it needs no unescaping; else false (then use oscan_unquote). */
bool oscan_plain(struct orlop_bytes v, struct orlop_bytes *ret);

/*
 * oscan_unquote - appends the content of a JSON string
 *
 * Lone surrogates and broken UTF-8 become U+FFFD, as in Go. 0, -EINVAL (no string), -ENOMEM.
 */
int oscan_unquote(struct orlop_bytes v, struct obuf *b);

/* Values, or @def if it is something else. */
int64_t oscan_i64(struct orlop_bytes v, int64_t def);
bool oscan_bool(struct orlop_bytes v, bool def);

/* Appends the value without white space between tokens. */
void oscan_compact(struct orlop_bytes v, struct obuf *b);

/* Appends the value with line breaks and two blanks per level, as Go's MarshalIndent. */
void oscan_indent(struct orlop_bytes v, struct obuf *b);

#endif
