/*
 * omem - every allocation of lib/ and the modules goes through here
 *
 * The functions are malloc and friends with two additions: a size of 0 is valid and yields a pointer
 * that can be freed, and a program may define omem_fault() to make the n-th allocation fail.
 * Nothing else defines it, so that in modules the weak reference is NULL and costs one predicted
 * branch; there is no writable state here.
 */
#ifndef OLIB_BASE_OMEM_H
#define OLIB_BASE_OMEM_H

#include <stdbool.h>
#include <stddef.h>

/* Defined by test programs only (otap.h: OTAP_FAULTS). True: this allocation fails. */
extern bool omem_fault(size_t size) __attribute__((weak));

void *omem_alloc(size_t size) __attribute__((malloc, warn_unused_result));
void *omem_zalloc(size_t size) __attribute__((malloc, warn_unused_result));

/* n * size with overflow check, not zeroed / zeroed */
void *omem_alloc_array(size_t n, size_t size) __attribute__((malloc, warn_unused_result));
void *omem_zalloc_array(size_t n, size_t size) __attribute__((malloc, warn_unused_result));

/* On failure the old block stays valid, as with realloc(). */
void *omem_realloc(void *p, size_t size) __attribute__((warn_unused_result));
void *omem_realloc_array(void *p, size_t n, size_t size) __attribute__((warn_unused_result));

/* NULL in, NULL out. */
char *omem_strdup(const char *cstr) __attribute__((malloc, warn_unused_result));

/* Exactly @len bytes and a NUL (unlike strndup it does not stop at a NUL inside). */
char *omem_strndup(const char *p, size_t len) __attribute__((malloc, warn_unused_result));
void *omem_dup(const void *p, size_t len) __attribute__((malloc, warn_unused_result));

/* printf into a fresh string; NULL without memory */
char *omem_printf(const char *fmt, ...)
	__attribute__((malloc, warn_unused_result, format(printf, 1, 2)));

/* Accepts NULL, preserves errno. */
void omem_free(void *p);

/* Overwrites secrets before freeing; the compiler may not drop the store. */
void omem_free_secret(void *p, size_t len);

#define OMEM_NEW(type) ((type *)omem_zalloc(sizeof(type)))

#endif
