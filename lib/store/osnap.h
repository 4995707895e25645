/*
 * osnap - snapshots as files: the format of abi/orlop/storage.h, written and read as a stream.
 */
#ifndef OLIB_STORE_OSNAP_H
#define OLIB_STORE_OSNAP_H

#include <stdbool.h>

#include <orlop/inline/error.h>
#include <orlop/storage.h>

#include "base/obuf.h"
#include "base/osha256.h"

/* ---- writing: errors stick and are told by the end ------------------------------------------------- */

struct osnap_writer {
	int		fd;		/* borrowed; -1: everything stays in @buf */
	struct obuf	buf;
	struct osha256	sha;
	uint64_t	bytes;		/* so far */
	uint64_t	items;
	int		err;
};

void osnap_writer_init(struct osnap_writer *w, int fd, uint64_t rev, uint64_t taken_ns, const char *writer);
void osnap_writer_done(struct osnap_writer *w);
/* In the order of keys. */
void osnap_add(struct osnap_writer *w, uint64_t mod_rev, uint64_t create_rev, struct orlop_bytes key,
	       struct orlop_bytes value);
/* The end of the file, written and (a regular file) synced. 0 or -errno: then it is not a snapshot. */
int osnap_end(struct osnap_writer *w);

/* ---- reading ------------------------------------------------------------------------------------------- */

struct osnap_reader {
	int		fd;		/* borrowed */
	struct obuf	buf;
	size_t		at;		/* of the next byte in @buf */
	struct osha256	sha;
	struct orlop_snapshot_head head;
	uint64_t	bytes;		/* before the next item */
	uint64_t	items;
	bool		ended;
	unsigned char	sum[OSHA256_LEN];	/* valid once it has ended */
	char		last_key[ORLOP_STORAGE_KEY_MAX];
	uint32_t	last_len;
};

/* The head. 0, -EINVAL (not a snapshot), -ENOTSUP (a newer format), -EBADMSG (cut off), -errno. */
int osnap_reader_init(struct osnap_reader *r, int fd, struct orlop_error *err);
void osnap_reader_done(struct osnap_reader *r);

/*
 * osnap_next - one item; key and value are valid until the next call
 *
 * 1, or 0 at the end (everything is checked then: order, counts, checksum), -EBADMSG (damaged, said
 * in @err), -errno. What was read is not to be trusted before the end.
 */
int osnap_next(struct osnap_reader *r, struct orlop_storage_item *ret, struct orlop_bytes *ret_key,
	       struct orlop_bytes *ret_value, struct orlop_error *err);

#endif
