/*
 * ojson - JSON as a tree, for what must be changed or looked into; a façade over json-c
 *
 * No user includes json-c or sees its types. The grammar is oscan's (strict, Go's messages), so that
 * all parts of the program accept the same texts; json-c holds the tree.
 *
 * NULL is the JSON null. Where absent and null must be told apart there is ojson_has() or
 * ojson_lookup(). Getters borrow; setters take the value they are given, also when they fail.
 * Numbers: integers that fit int64_t are integers, all others doubles that remember their text.
 * Members keep the order in which they were added.
 *
 * Threads: reference counts are not atomic. A tree, with everything it shares by ojson_ref(), belongs
 * to one thread at a time; hand bytes to others, not trees.
 */
#ifndef OLIB_JSON_OJSON_H
#define OLIB_JSON_OJSON_H

#include "base/obuf.h"
#include "json/oscan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ojson;

enum ojson_type {
	OJSON_NULL,
	OJSON_BOOL,
	OJSON_INT,
	OJSON_DOUBLE,
	OJSON_STRING,
	OJSON_ARRAY,
	OJSON_OBJECT,
};

/* ---- parse -------------------------------------------------------------------------------------- */

/*
 * Called for each repetition of a member, with its path as upstream's strict decoding words it:
 * `spec.containers[0].image`. Borrowed for the call.
 */
typedef void (*ojson_duplicate_fn)(void *arg, const char *path, size_t len);

/*
 * ojson_parse - one JSON text into a tree
 *
 * The last of duplicate members wins. Broken UTF-8 and lone surrogates become U+FFFD.
 * Returns 0 (a text `null` gives *ret NULL), -EINVAL (see @err, may be NULL), -ELOOP (deeper than 128),
 * -ERANGE (a number too large for double), -ENOMEM.
 */
int ojson_parse(const char *p, size_t len, struct ojson **ret, struct oscan_error *err);
int ojson_parse_duplicates(const char *p, size_t len, ojson_duplicate_fn fn, void *arg,
			   struct ojson **ret, struct oscan_error *err);
int ojson_parse_bytes(struct orlop_bytes text, struct ojson **ret, struct oscan_error *err);

/* An object from its members without the braces, as the cache keeps objects. */
int ojson_parse_members(struct orlop_bytes members, struct ojson **ret, struct oscan_error *err);

/* ---- life --------------------------------------------------------------------------------------- */

struct ojson *ojson_ref(struct ojson *j);
void ojson_unref(struct ojson *j);		/* accepts NULL */
static inline void ojson_cleanup(struct ojson **j)
{
	ojson_unref(*j);
}
#define cleanup_ojson __attribute__((cleanup(ojson_cleanup)))

/* A copy that shares nothing. *ret is NULL for null. 0 or -ENOMEM. */
int ojson_copy(const struct ojson *j, struct ojson **ret);

/* NULL without memory */
struct ojson *ojson_new_object(void);
struct ojson *ojson_new_array(void);
struct ojson *ojson_new_bool(bool v);
struct ojson *ojson_new_i64(int64_t v);
struct ojson *ojson_new_double(double v);	/* NULL too for infinities and NaN */
struct ojson *ojson_new_string(const char *p, size_t len);
struct ojson *ojson_new_cstr(const char *cstr);

/* ---- look --------------------------------------------------------------------------------------- */

enum ojson_type ojson_type(const struct ojson *j);
bool ojson_is(const struct ojson *j, enum ojson_type type);
const char *ojson_type_name(const struct ojson *j);	/* "object", … as messages name it */

/* Equal values: numbers by value (1 equals 1.0), objects whatever the order of members. */
bool ojson_equal(const struct ojson *a, const struct ojson *b);

/* Values of scalars, or the default if it is another type. */
bool ojson_bool(const struct ojson *j, bool def);
int64_t ojson_i64(const struct ojson *j, int64_t def);	/* also an integral double in range */
double ojson_double(const struct ojson *j, double def);
/* The bytes of a string, NUL-terminated; NULL if it is none. @ret_len may be NULL. */
const char *ojson_string(const struct ojson *j, size_t *ret_len);
const char *ojson_cstr(const struct ojson *j, const char *def);
struct orlop_bytes ojson_bytes(const struct ojson *j);	/* { NULL, 0 } if it is no string */
bool ojson_string_is(const struct ojson *j, const char *cstr);

/* Members of objects. NULL: absent, null, or @obj is no object. */
struct ojson *ojson_get(const struct ojson *obj, const char *key);
struct ojson *ojson_get_n(const struct ojson *obj, const char *key, size_t len);
bool ojson_has(const struct ojson *obj, const char *key);
/* True if the member exists; its value (NULL for null) in @ret. */
bool ojson_lookup(const struct ojson *obj, const char *key, struct ojson **ret);
bool ojson_lookup_n(const struct ojson *obj, const char *key, size_t len, struct ojson **ret);

/* Member of member of …: OJSON_AT(pod, "spec", "nodeName"). */
struct ojson *ojson_at(const struct ojson *obj, const char *const *path);
#define OJSON_AT(obj, ...) ojson_at((obj), (const char *const[]){ __VA_ARGS__, NULL })
/* The same with a dotted path; array elements by number. */
struct ojson *ojson_at_dotted(const struct ojson *j, const char *path);

/* The same two steps for scalars, with a default. */
const char *ojson_get_cstr(const struct ojson *obj, const char *key, const char *def);
struct orlop_bytes ojson_get_bytes(const struct ojson *obj, const char *key);
int64_t ojson_get_i64(const struct ojson *obj, const char *key, int64_t def);
bool ojson_get_bool(const struct ojson *obj, const char *key, bool def);
/* The member if it is an object or an array, else NULL. */
struct ojson *ojson_get_object(const struct ojson *obj, const char *key);
struct ojson *ojson_get_array(const struct ojson *obj, const char *key);

/* Members of an object, elements of an array; 0 for anything else. */
size_t ojson_count(const struct ojson *j);
/* Names of the members in byte order, ojson_count() of them, borrowed, in a new array (omem_free); NULL without memory. */
const char **ojson_keys_sorted(const struct ojson *obj);
struct ojson *ojson_index(const struct ojson *arr, size_t i);

/*
 * Iterates over members in order. The current member may be deleted or its value replaced inside,
 * nothing else; anything but an object has no members.
 *
 *	OJSON_FOREACH(it, labels)
 *		use(it.key, it.key_len, it.value);
 */
struct ojson_iter {
	const char	*key;
	size_t		key_len;
	struct ojson	*value;
	const void	*next;
	bool		started;
};

#define OJSON_ITER_INIT { NULL, 0, NULL, NULL, false }
bool ojson_next(const struct ojson *obj, struct ojson_iter *it);
#define OJSON_FOREACH(it, obj) \
	for (struct ojson_iter it = OJSON_ITER_INIT; ojson_next((obj), &it);)
#define OJSON_FOREACH_ELEM(i, elem, arr) \
	for (size_t i = 0, i##_n = ojson_count(arr); i < i##_n; i = i##_n) \
		for (struct ojson *elem; i < i##_n && ((elem = ojson_index((arr), i)), true); i++)

/* ---- change ------------------------------------------------------------------------------------- */

/*
 * ojson_set - member = value, added at the end or replaced in place
 *
 * @take_v NULL means that making the value failed, and gives -ENOMEM: the constructors can be called
 * in the argument. Use ojson_put() where NULL means null. Keys with a NUL inside: -EINVAL.
 */
int ojson_set(struct ojson *obj, const char *key, struct ojson *take_v);
int ojson_set_n(struct ojson *obj, const char *key, size_t len, struct ojson *take_v);
int ojson_put(struct ojson *obj, const char *key, struct ojson *take_v);
int ojson_put_n(struct ojson *obj, const char *key, size_t len, struct ojson *take_v);
int ojson_set_cstr(struct ojson *obj, const char *key, const char *cstr);
int ojson_set_string(struct ojson *obj, const char *key, const char *p, size_t len);
int ojson_set_i64(struct ojson *obj, const char *key, int64_t v);
int ojson_set_bool(struct ojson *obj, const char *key, bool v);
/* The object (array) at @key, made if it is absent, null or of another type; NULL without memory. */
struct ojson *ojson_ensure_object(struct ojson *obj, const char *key);
struct ojson *ojson_ensure_array(struct ojson *obj, const char *key);

void ojson_del(struct ojson *obj, const char *key);
void ojson_del_n(struct ojson *obj, const char *key, size_t len);
/* Removes the member and hands it over; NULL if it was absent or null. */
struct ojson *ojson_take(struct ojson *obj, const char *key);

/* Arrays. NULL as in ojson_set(): -ENOMEM; the _null forms store null. Beyond the end: -ERANGE. */
int ojson_append(struct ojson *arr, struct ojson *take_v);
int ojson_append_null(struct ojson *arr);
int ojson_append_cstr(struct ojson *arr, const char *cstr);
int ojson_insert(struct ojson *arr, size_t i, struct ojson *take_v);	/* NULL stores null */
int ojson_replace(struct ojson *arr, size_t i, struct ojson *take_v);	/* NULL stores null */
int ojson_remove(struct ojson *arr, size_t i);

/* ---- write -------------------------------------------------------------------------------------- */

enum {
	OJSON_SORTED	= 1,	/* members in byte order of their keys, as Go writes maps */
	OJSON_PRETTY	= 2,	/* two blanks a level, as json.MarshalIndent */
};

/*
 * ojson_write - appends the text, escaped as Go's encoding/json does (see obuf_put_json_string)
 *
 * Doubles that were parsed keep their text, others are written as Go writes float64.
 * 0, or the buffer's error.
 */
int ojson_write(const struct ojson *j, unsigned int flags, struct obuf *b);

/* The same into a fresh NUL-terminated text (omem_free); NULL without memory. */
char *ojson_text(const struct ojson *j, unsigned int flags, size_t *ret_len);

#endif
