/*
 * blob.c - immutable, reference-counted bytes: copied in, taken over, or kept by somebody else.
 */
#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "base/oref.h"
#include "bus.h"

struct orlop_blob {
	struct oref	ref;
	uint32_t	magic;
	struct orlop_bytes bytes;
	orlop_cb	release;	/* with @arg; NULL: the bytes are behind the head */
	void		*arg;
};

#define BLOB_MAGIC 0x626f6c62u	/* "blob" */

static void blob_init(struct orlop_blob *b, const void *p, size_t len, orlop_cb release, void *arg)
{
	oref_init(&b->ref);
	b->magic = BLOB_MAGIC;
	b->bytes.p = p;
	b->bytes.len = len;
	b->release = release;
	b->arg = arg;
}

int core_blob_new(const void *p, size_t len, struct orlop_blob **ret)
{
	struct orlop_blob *b;

	if (len > SIZE_MAX - sizeof(*b) || !(b = omem_alloc(sizeof(*b) + len)))
		return -ENOMEM;
	if (len > 0)
		memcpy(b + 1, p, len);
	blob_init(b, b + 1, len, NULL, NULL);
	*ret = b;
	return 0;
}

int core_blob_adopt(const void *p, size_t len, orlop_cb release, void *arg, struct orlop_blob **ret)
{
	struct orlop_blob *b = omem_alloc(sizeof(*b));

	if (!b)
		return -ENOMEM;
	blob_init(b, p ? p : "", len, release, arg);
	*ret = b;
	return 0;
}

int core_blob_take(void *take_p, size_t len, struct orlop_blob **ret)
{
	int r = core_blob_adopt(take_p, len, omem_free, take_p, ret);

	if (r)
		omem_free(take_p);
	return r;
}

struct orlop_blob *core_blob_ref(struct orlop_blob *b)
{
	oref_get(&b->ref);
	return b;
}

void core_blob_unref(struct orlop_blob *b)
{
	if (!b || !oref_put(&b->ref))
		return;
	b->magic = 0;
	if (b->release)
		b->release(b->arg);
	omem_free(b);
}

struct orlop_bytes core_blob_bytes(const struct orlop_blob *b)
{
	return b->bytes;
}
