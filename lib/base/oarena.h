/*
 * oarena - bump allocation that dies as a whole, one per request
 *
 * Nothing is freed singly. Blocks double up to 64 KiB; larger pieces get a block of their own. An
 * arena may be given a limit, so that one request cannot take all memory.
 */
#ifndef OLIB_BASE_OARENA_H
#define OLIB_BASE_OARENA_H

#include <stdarg.h>
#include <stddef.h>

struct oarena_block;

struct oarena {
	struct oarena_block	*head;
	size_t			used_bytes;	/* handed out, for statistics and the limit */
	size_t			max_bytes;	/* 0: no limit */
};

#define OARENA_INIT { NULL, 0, 0 }

void oarena_init(struct oarena *a, size_t max_bytes);
void oarena_done(struct oarena *a);
/* Room for just @bytes at once: for what stays, whose size is known. 0 or -ENOMEM. */
int oarena_reserve(struct oarena *a, size_t bytes);

/* 16-byte aligned; NULL without memory or beyond the limit */
void *oarena_alloc(struct oarena *a, size_t size) __attribute__((malloc, warn_unused_result));
void *oarena_zalloc(struct oarena *a, size_t size) __attribute__((malloc, warn_unused_result));
void *oarena_dup(struct oarena *a, const void *p, size_t len) __attribute__((warn_unused_result));
char *oarena_strndup(struct oarena *a, const char *p, size_t len)
	__attribute__((warn_unused_result));
char *oarena_strdup(struct oarena *a, const char *cstr) __attribute__((warn_unused_result));
char *oarena_printf(struct oarena *a, const char *fmt, ...)
	__attribute__((warn_unused_result, format(printf, 2, 3)));

#endif
