/*
 * outq - bytes that wait to be sent: a list of pieces, owned by copy or by reference
 *
 * Small text is gathered into blocks; big pieces stay where they are and are released when the last
 * byte is out. A piece may be cut and moved from one queue to another (HTTP/2 frames).
 */
#ifndef OLIB_HTTP_OUTQ_H
#define OLIB_HTTP_OUTQ_H

#include "http/ostream.h"

#include <orlop/types.h>

#include <sys/uio.h>

struct onode {
	struct onode	*next;
	const char	*p;
	size_t		len;
	const struct orlop_bytes *more;	/* what follows p, not ours */
	size_t		n_more;
	void		(*release)(void *arg);
	void		*arg;
	size_t		cap;		/* of buf */
	size_t		used;		/* of buf, as long as this is the tail */
	char		buf[];
};

struct outq {
	struct onode	*head;
	struct onode	*tail;
	size_t		bytes;
};

/* Copies. 0 or -ENOMEM (nothing queued). */
int outq_copy(struct outq *q, const void *p, size_t len);
/* By reference; released on failure too, and never before the pieces queued earlier are out. */
int outq_ref(struct outq *q, const struct ohttp_piece *piece);
/* The same for many at once, in one node: @v too stays where it is until the release. */
int outq_spans(struct outq *q, const struct orlop_bytes *v, size_t n, void (*release)(void *arg), void *arg);
/* Forgets @n bytes at the head. */
void outq_drop(struct outq *q, size_t n);
/* Moves @n bytes (≤ bytes) from the head of @from to the end of @to. 0 or -ENOMEM (nothing moved …). */
int outq_move(struct outq *to, struct outq *from, size_t n);
/* The same with copies of ours: what was @from's is released now, so nothing of it may be in @to by reference. */
int outq_move_copy(struct outq *to, struct outq *from, size_t n);
/* Moves everything: @from is empty then. */
void outq_splice(struct outq *to, struct outq *from);
/*
 * Gives up the rest of @from, parts of which may be in @to already: its pieces are released when @to
 * has got past those.
 */
void outq_retire(struct outq *to, struct outq *from);
void outq_done(struct outq *q);
/* Fills @iov, returns how many. */
int outq_iov(const struct outq *q, struct iovec *iov, int max);
/* Copies up to @size bytes of the head into @buf; returns how many. */
size_t outq_peek(const struct outq *q, char *buf, size_t size);

#endif
