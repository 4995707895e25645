/* Bump allocation for one request; see oarena.h. */
#include "base/oarena.h"

#include "base/omem.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ARENA_ALIGN 16u
#define ARENA_FIRST 1024u
#define ARENA_LARGEST 65536u

struct oarena_block {
	struct oarena_block	*next;
	size_t			size;		/* of data[] */
	size_t			used;
	char			data[] __attribute__((aligned(16)));
};

void oarena_init(struct oarena *a, size_t max_bytes)
{
	*a = (struct oarena)OARENA_INIT;
	a->max_bytes = max_bytes;
}

void oarena_done(struct oarena *a)
{
	struct oarena_block *b;

	if (a == NULL)
		return;
	while ((b = a->head) != NULL) {
		a->head = b->next;
		omem_free(b);
	}
	a->used_bytes = 0;
}

static struct oarena_block *block_add(struct oarena *a, size_t size)
{
	size_t want = a->head != NULL ? a->head->size * 2 : ARENA_FIRST;
	struct oarena_block *b;

	if (want > ARENA_LARGEST)
		want = ARENA_LARGEST;
	if (want < size)
		want = size;
	b = omem_alloc(sizeof(*b) + want);
	if (b == NULL)
		return NULL;
	b->size = want;
	b->used = 0;
	if (a->head != NULL && size > ARENA_LARGEST / 4) {
		/* a big piece: keep filling the current block afterwards */
		b->next = a->head->next;
		a->head->next = b;
	} else {
		b->next = a->head;
		a->head = b;
	}
	return b;
}

int oarena_reserve(struct oarena *a, size_t bytes)
{
	struct oarena_block *b = omem_alloc(sizeof(*b) + bytes);

	if (b == NULL)
		return -ENOMEM;
	b->size = bytes;
	b->used = 0;
	b->next = a->head;
	a->head = b;
	return 0;
}

void *oarena_alloc(struct oarena *a, size_t size)
{
	struct oarena_block *b = a->head;
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = size == 0 ? ARENA_ALIGN : (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	if (a->max_bytes != 0 && (size > a->max_bytes || a->used_bytes > a->max_bytes - size))
		return NULL;
	if (b == NULL || b->size - b->used < size) {
		b = block_add(a, size);
		if (b == NULL)
			return NULL;
	}
	p = b->data + b->used;
	b->used += size;
	a->used_bytes += size;
	return p;
}

void *oarena_zalloc(struct oarena *a, size_t size)
{
	void *p = oarena_alloc(a, size);

	return p != NULL ? memset(p, 0, size) : NULL;
}

void *oarena_dup(struct oarena *a, const void *p, size_t len)
{
	void *d = oarena_alloc(a, len);

	if (d != NULL && len > 0)
		memcpy(d, p, len);
	return d;
}

char *oarena_strndup(struct oarena *a, const char *p, size_t len)
{
	char *s = len < SIZE_MAX ? oarena_alloc(a, len + 1) : NULL;

	if (s == NULL)
		return NULL;
	if (len > 0)
		memcpy(s, p, len);
	s[len] = '\0';
	return s;
}

char *oarena_strdup(struct oarena *a, const char *cstr)
{
	return oarena_strndup(a, cstr, strlen(cstr));
}

char *oarena_printf(struct oarena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	s = oarena_alloc(a, (size_t)n + 1);
	if (s == NULL)
		return NULL;
	va_start(ap, fmt);
	(void)vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}
