/*
 * coded.c - pages in gzip or deflate on their way through …/proxy/: inflated, their links changed, deflated again.
 *
 * Whatever comes, no more of it is in memory than comes at once, 16 KiB of what it becomes, and that deflated.
 * Source: upstream's apimachinery/pkg/util/proxy/transport.go, behaviour only. "deflate" is raw there; with the frame that it should have
 * it is taken as well.
 */
#include "coded.h"

#include "base/omem.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define PIECE		(16u * 1024)
#define PAGE_MAX	(64u << 20)	/* inflated, with the links as they become: the loop waits while it is made */
#define GZIP		(15 + 16)

struct coded {
	z_stream	in, out;
	struct obuf	page;		/* a piece of it, changed */
	size_t		total;
	int		bits;		/* of the window, and which frame; 0: not known before the first byte */
	bool		begun, ended;
};

static bool is(struct orlop_bytes b, const char *cstr)
{
	return b.len == strlen(cstr) && !strncasecmp(b.p, cstr, b.len);
}

bool coded_is(struct orlop_bytes encoding)
{
	return is(encoding, "gzip") || is(encoding, "deflate");
}

static void *z_alloc(void *arg, unsigned int n, unsigned int size)
{
	(void)arg;
	return omem_alloc_array(n, size);
}

static void z_free(void *arg, void *p)
{
	(void)arg;
	omem_free(p);
}

struct coded *coded_new(struct orlop_bytes encoding)
{
	struct coded *c = OMEM_NEW(struct coded);

	if (!c)
		return NULL;
	obuf_init(&c->page);
	c->bits = is(encoding, "gzip") ? GZIP : 0;
	return c;
}

void coded_free(struct coded *c)
{
	if (!c)
		return;
	if (c->begun) {
		inflateEnd(&c->in);
		deflateEnd(&c->out);
	}
	obuf_done(&c->page);
	omem_free(c);
}

static int begin(struct coded *c, unsigned char first)
{
	if (!c->bits)
		c->bits = (first & 0x0f) == Z_DEFLATED && first >> 4 <= 7 ? 15 : -15;
	c->in.zalloc = c->out.zalloc = z_alloc;
	c->in.zfree = c->out.zfree = z_free;
	if (inflateInit2(&c->in, c->bits) != Z_OK)
		return -ENOMEM;
	if (deflateInit2(&c->out, 1, Z_DEFLATED, c->bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		inflateEnd(&c->in);
		return -ENOMEM;
	}
	c->begun = true;
	return 0;
}

static int put(struct coded *c, const char *p, size_t len, int flush, struct obuf *out)
{
	char piece[PIECE];

	c->out.next_in = (Bytef *)(uintptr_t)p;
	c->out.avail_in = (uInt)len;
	do {
		c->out.next_out = (Bytef *)piece;
		c->out.avail_out = sizeof(piece);
		if (deflate(&c->out, flush) == Z_STREAM_ERROR)
			return -ENOMEM;
		obuf_append(out, piece, sizeof(piece) - c->out.avail_out);
	} while (c->out.avail_out == 0);
	return obuf_err(out);
}

/* What has been inflated, through the links. */
static int change(struct coded *c, struct links *l, const char *p, size_t len, struct obuf *out)
{
	int r;

	c->total += len;
	if (c->total > PAGE_MAX)
		return -EFBIG;
	obuf_reset(&c->page);
	links_feed(l, p, len, &c->page);
	c->total += c->page.len > len ? c->page.len - len : 0;	/* many short links become long ones */
	r = c->total > PAGE_MAX ? -EFBIG : obuf_err(&c->page);
	return r ? r : put(c, c->page.data, c->page.len, Z_NO_FLUSH, out);
}

int coded_feed(struct coded *c, struct links *l, const char *p, size_t len, struct obuf *out)
{
	char piece[PIECE];
	int r = 0;

	if (!len)
		return 0;
	if (len > UINT_MAX / 2)
		return -EFBIG;
	if (!c->begun)
		r = begin(c, (unsigned char)*p);
	if (r)
		return r;
	c->in.next_in = (Bytef *)(uintptr_t)p;
	c->in.avail_in = (uInt)len;
	do {
		int z;

		if (c->ended && c->in.avail_in) {	/* gzip: one may follow another */
			if (c->bits != GZIP || inflateReset(&c->in) != Z_OK)
				return -EBADMSG;
			c->ended = false;
		}
		c->in.next_out = (Bytef *)piece;
		c->in.avail_out = sizeof(piece);
		z = inflate(&c->in, Z_NO_FLUSH);
		if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
			return z == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
		c->ended = z == Z_STREAM_END;
		r = change(c, l, piece, sizeof(piece) - c->in.avail_out, out);
	} while (r == 0 && (c->in.avail_in || c->in.avail_out == 0) && !(c->ended && !c->in.avail_in));
	return r ? r : put(c, NULL, 0, Z_SYNC_FLUSH, out);
}

int coded_end(struct coded *c, struct links *l, struct obuf *out)
{
	int r;

	if (!c->begun)
		return 0;	/* nothing came: nothing goes */
	if (!c->ended)
		return -EBADMSG;
	obuf_reset(&c->page);
	links_end(l, &c->page);
	r = obuf_err(&c->page);
	return r ? r : put(c, c->page.data, c->page.len, Z_FINISH, out);
}
