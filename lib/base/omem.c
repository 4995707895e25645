/* Allocation with a fault hook for tests; see omem.h. */
#include "base/omem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool fault(size_t size)
{
	return __builtin_expect(omem_fault != NULL, 0) && omem_fault(size);
}

void *omem_alloc(size_t size)
{
	if (fault(size))
		return NULL;
	return malloc(size ? size : 1);
}

void *omem_zalloc(size_t size)
{
	if (fault(size))
		return NULL;
	return calloc(1, size ? size : 1);
}

void *omem_alloc_array(size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return omem_alloc(total);
}

void *omem_zalloc_array(size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return omem_zalloc(total);
}

void *omem_realloc(void *p, size_t size)
{
	if (fault(size))
		return NULL;
	return realloc(p, size ? size : 1);
}

void *omem_realloc_array(void *p, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return omem_realloc(p, total);
}

char *omem_strndup(const char *p, size_t len)
{
	char *s;

	if (len == SIZE_MAX)
		return NULL;
	s = omem_alloc(len + 1);
	if (s == NULL)
		return NULL;
	if (len > 0)
		memcpy(s, p, len);
	s[len] = '\0';
	return s;
}

char *omem_strdup(const char *cstr)
{
	return cstr != NULL ? omem_strndup(cstr, strlen(cstr)) : NULL;
}

void *omem_dup(const void *p, size_t len)
{
	void *d = omem_alloc(len);

	if (d != NULL && len > 0)
		memcpy(d, p, len);
	return d;
}

char *omem_printf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	s = omem_alloc((size_t)n + 1);
	if (s == NULL)
		return NULL;
	va_start(ap, fmt);
	(void)vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

void omem_free(void *p)
{
	int saved = errno;

	free(p);
	errno = saved;
}

void omem_free_secret(void *p, size_t len)
{
	if (p != NULL)
		explicit_bzero(p, len);
	omem_free(p);
}
