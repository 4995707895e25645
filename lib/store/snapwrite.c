/* snapwrite.c - a snapshot as a file, item by item; see osnap.h. */
#include "store/osnap.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ofile.h"

#define CHUNK	(1u << 20)

static void flush(struct osnap_writer *w)
{
	if (!w->err)
		w->err = obuf_err(&w->buf);
	if (!w->err && w->fd >= 0 && w->buf.len) {
		w->err = ofile_write_all(w->fd, w->buf.data, w->buf.len);
		obuf_reset(&w->buf);
	}
}

static void put(struct osnap_writer *w, const void *p, size_t len)
{
	if (w->err || !len)
		return;
	osha256_add(&w->sha, p, len);
	obuf_append(&w->buf, p, len);
	w->bytes += len;
	if (w->fd >= 0 && w->buf.len >= CHUNK)
		flush(w);
}

static void put_item(struct osnap_writer *w, const struct orlop_storage_item *item, struct orlop_bytes key,
		     struct orlop_bytes value)
{
	static const char zeros[8] = "";
	size_t len = sizeof(*item) + key.len + value.len;

	put(w, item, sizeof(*item));
	put(w, key.p, key.len);
	put(w, value.p, value.len);
	put(w, zeros, (8 - len % 8) % 8);
}

void osnap_writer_init(struct osnap_writer *w, int fd, uint64_t rev, uint64_t taken_ns, const char *writer)
{
	struct orlop_snapshot_head head = { .format = ORLOP_SNAPSHOT_FORMAT, .header_len = sizeof(head),
					    .rev = rev, .taken_ns = taken_ns };

	memset(w, 0, sizeof(*w));
	w->fd = fd;
	osha256_init(&w->sha);
	memcpy(head.magic, ORLOP_SNAPSHOT_MAGIC, sizeof(head.magic));
	(void)strncpy(head.writer, writer, sizeof(head.writer) - 1);
	put(w, &head, sizeof(head));
}

void osnap_writer_done(struct osnap_writer *w)
{
	obuf_done(&w->buf);
}

void osnap_add(struct osnap_writer *w, uint64_t mod_rev, uint64_t create_rev, struct orlop_bytes key,
	       struct orlop_bytes value)
{
	const struct orlop_storage_item item = { .mod_rev = mod_rev, .create_rev = create_rev,
						 .key_len = (uint32_t)key.len, .value_len = (uint32_t)value.len };

	put_item(w, &item, key, value);
	w->items++;
}

int osnap_end(struct osnap_writer *w)
{
	const struct orlop_storage_item item = { .mod_rev = w->items, .create_rev = w->bytes,
						 .flags = ORLOP_ITEM_END, .value_len = OSHA256_LEN };
	unsigned char sum[OSHA256_LEN];
	struct stat st;

	put(w, &item, sizeof(item));
	osha256_end(&w->sha, sum);
	if (!w->err) {
		obuf_append(&w->buf, sum, sizeof(sum));
		w->bytes += sizeof(sum);
	}
	flush(w);
	if (!w->err && w->fd >= 0 && !fstat(w->fd, &st) && S_ISREG(st.st_mode) && fsync(w->fd))
		w->err = -errno;
	return w->err;
}
