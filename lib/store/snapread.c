/* snapread.c - reading a snapshot: nothing in it is believed before its end; see osnap.h. */
#include "store/osnap.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "store/ostore.h"

#define CHUNK	(256u << 10)

/* At least @len bytes in the buffer. 1, 0 (the file ends before), -errno. */
static int need(struct osnap_reader *r, size_t len)
{
	if (r->buf.len - r->at >= len)
		return 1;
	obuf_splice(&r->buf, 0, r->at, NULL, 0);
	r->at = 0;
	while (r->buf.len < len) {
		size_t more = len - r->buf.len > CHUNK ? len - r->buf.len : CHUNK;
		char *room = obuf_reserve(&r->buf, more);
		ssize_t n = room ? read(r->fd, room, more) : -1;

		if (!room)
			return -ENOMEM;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		obuf_advance(&r->buf, (size_t)n);
	}
	return 1;
}

static int failed(int e, struct orlop_error *err)
{
	if (e < 0)
		return orlop_fail(err, -e, 0, "", "the snapshot cannot be read: %s", strerrordesc_np(-e));
	return orlop_fail(err, EBADMSG, 0, "", "the snapshot is cut off: make it anew");
}

static int damaged(const struct osnap_reader *r, const char *what, struct orlop_error *err)
{
	return orlop_fail(err, EBADMSG, 0, "", "the snapshot is damaged at byte %llu: %s",
			  (unsigned long long)r->bytes, what);
}

static void take(struct osnap_reader *r, size_t len)
{
	osha256_add(&r->sha, r->buf.data + r->at, len);
	r->at += len;
	r->bytes += len;
}

int osnap_reader_init(struct osnap_reader *r, int fd, struct orlop_error *err)
{
	int e;

	memset(r, 0, sizeof(*r));
	r->fd = fd;
	osha256_init(&r->sha);
	e = need(r, sizeof(r->head));
	if (e < 0)
		return failed(e, err);
	if (r->buf.len < sizeof(r->head.magic) || memcmp(r->buf.data, ORLOP_SNAPSHOT_MAGIC, sizeof(r->head.magic)))
		return orlop_fail(err, EINVAL, 0, "", "not a snapshot of orlop");
	if (e == 0)
		return failed(0, err);
	memcpy(&r->head, r->buf.data, sizeof(r->head));
	r->head.writer[sizeof(r->head.writer) - 1] = '\0';
	if (r->head.format != ORLOP_SNAPSHOT_FORMAT)
		return orlop_fail(err, ENOTSUP, 0, "", "snapshot format %u, this orlop reads %u; use a newer one",
				  r->head.format, ORLOP_SNAPSHOT_FORMAT);
	if (r->head.header_len < sizeof(r->head) || r->head.header_len > 4096)
		return damaged(r, "its head", err);
	e = need(r, r->head.header_len);
	if (e <= 0)
		return failed(e, err);
	take(r, r->head.header_len);
	return 0;
}

void osnap_reader_done(struct osnap_reader *r)
{
	obuf_done(&r->buf);
}

static int the_end(struct osnap_reader *r, const struct orlop_storage_item *item, struct orlop_error *err)
{
	struct osha256 sha;
	int e;

	if (item->key_len || item->value_len != OSHA256_LEN || item->mod_rev != r->items ||
	    item->create_rev != r->bytes)
		return damaged(r, "its end does not fit what is before it", err);
	e = need(r, sizeof(*item) + OSHA256_LEN);
	if (e <= 0)
		return failed(e, err);
	take(r, sizeof(*item));
	sha = r->sha;
	osha256_end(&sha, r->sum);
	if (memcmp(r->sum, r->buf.data + r->at, OSHA256_LEN))
		return damaged(r, "the checksum is another", err);
	r->at += OSHA256_LEN;
	e = need(r, 1);
	if (e < 0)
		return failed(e, err);
	if (e > 0)
		return damaged(r, "something follows its end", err);
	r->ended = true;
	return 0;
}

int osnap_next(struct osnap_reader *r, struct orlop_storage_item *ret, struct orlop_bytes *ret_key,
	       struct orlop_bytes *ret_value, struct orlop_error *err)
{
	struct orlop_storage_item item;
	size_t len;
	int e;

	if (r->ended)
		return 0;
	e = need(r, sizeof(item));
	if (e <= 0)
		return failed(e, err);
	memcpy(&item, r->buf.data + r->at, sizeof(item));
	if (item.flags == ORLOP_ITEM_END)
		return the_end(r, &item, err);
	if (item.flags || item.key_len == 0 || item.key_len > ORLOP_STORAGE_KEY_MAX ||
	    item.value_len > ORLOP_STORAGE_VALUE_MAX)
		return damaged(r, "an item that cannot be", err);
	len = (sizeof(item) + item.key_len + (size_t)item.value_len + 7) & ~(size_t)7;
	e = need(r, len);
	if (e <= 0)
		return failed(e, err);
	ret_key->p = r->buf.data + r->at + sizeof(item);
	ret_key->len = item.key_len;
	ret_value->p = ret_key->p + item.key_len;
	ret_value->len = item.value_len;
	if (r->items && ostore_key_cmp((struct orlop_bytes){ r->last_key, r->last_len }, *ret_key) >= 0)
		return damaged(r, "keys out of order", err);
	if (item.mod_rev == 0 || item.mod_rev > r->head.rev || item.create_rev == 0 || item.create_rev > item.mod_rev)
		return damaged(r, "a revision that cannot be", err);
	memcpy(r->last_key, ret_key->p, item.key_len);
	r->last_len = item.key_len;
	*ret = item;
	take(r, len);
	r->items++;
	return 1;
}
