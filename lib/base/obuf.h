/*
 * obuf - growable byte buffer whose errors stick
 *
 * Writers append without looking at each result and ask obuf_err() once at the end: after the first
 * failure every further append is a no-op. The content is always followed by a NUL that is not
 * counted, so text can be handed to functions that want a C string.
 */
#ifndef OLIB_BASE_OBUF_H
#define OLIB_BASE_OBUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct obuf {
	char	*data;		/* NULL until the first append */
	size_t	len;
	size_t	cap;		/* allocated bytes, including the one for the NUL */
	size_t	max;		/* upper bound of len, 0 = none; beyond it -EFBIG */
	int	err;		/* first error, -errno */
};

#define OBUF_INIT { NULL, 0, 0, 0, 0 }

void obuf_init(struct obuf *b);
void obuf_init_max(struct obuf *b, size_t max_bytes);
void obuf_done(struct obuf *b);

/* Empties, forgets the error, keeps the memory. */
void obuf_reset(struct obuf *b);

/* Cuts back to @len (≤ current length). */
void obuf_truncate(struct obuf *b, size_t len);

/* 0, or the sticky error: -ENOMEM, -EFBIG */
int obuf_err(const struct obuf *b);

/* Makes room for @n more bytes and returns where they go, or NULL; obuf_advance() counts them. */
char *obuf_reserve(struct obuf *b, size_t n);
void obuf_advance(struct obuf *b, size_t n);

void obuf_append(struct obuf *b, const void *p, size_t n);
void obuf_puts(struct obuf *b, const char *cstr);
void obuf_putc(struct obuf *b, char c);
void obuf_put_i64(struct obuf *b, int64_t v);
void obuf_put_u64(struct obuf *b, uint64_t v);
void obuf_printf(struct obuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void obuf_vprintf(struct obuf *b, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

/* Replaces @del bytes at @off by @n bytes of @p. */
void obuf_splice(struct obuf *b, size_t off, size_t del, const void *p, size_t n);

/*
 * obuf_put_json_string - a JSON string with quotes, escaped as Go's encoding/json does
 *
 * <, > and & become \u003c, \u003e, \u0026, U+2028/9 are escaped, invalid UTF-8 becomes \ufffd:
 * the bytes that kube-apiserver would send.
 */
void obuf_put_json_string(struct obuf *b, const char *p, size_t n);
void obuf_put_json_cstr(struct obuf *b, const char *cstr);

/* Go's %q: a quoted string for messages (\n, \", \x00 …), non-ASCII printed as it is. */
void obuf_put_quoted(struct obuf *b, const char *p, size_t n);

/*
 * obuf_steal - the content as a NUL-terminated block that the caller frees with omem_free()
 *
 * Returns NULL if an error stuck (the buffer is then emptied too) or if there is no memory for the
 * one byte of an empty buffer. @ret_len may be NULL.
 */
char *obuf_steal(struct obuf *b, size_t *ret_len);

/* Content as C string, "" if empty. */
const char *obuf_cstr(const struct obuf *b);

#endif
