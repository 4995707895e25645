/* Bytes that wait to be sent. */
#include "outq.h"

#include "base/omem.h"

#include <errno.h>
#include <string.h>

#define BLOCK 16384
#define FIRST_BLOCK 256		/* most text between two pieces is a few words */
#define SMALL 192		/* copying costs less than a node */

static void node_free(struct onode *n)
{
	if (n->release)
		n->release(n->arg);
	omem_free(n);
}

static struct onode *node_new(struct outq *q, size_t cap)
{
	struct onode *n = omem_alloc(sizeof(*n) + cap);

	if (!n)
		return NULL;
	memset(n, 0, sizeof(*n));
	n->cap = cap;
	n->p = n->buf;
	if (q->tail)
		q->tail->next = n;
	else
		q->head = n;
	q->tail = n;
	return n;
}

int outq_copy(struct outq *q, const void *p, size_t len)
{
	struct onode *n = q->tail;

	if (len == 0)
		return 0;
	if (!n || n->cap - n->used < len || n->cap == 0) {
		size_t cap = n && n->cap ? n->cap * 2 : FIRST_BLOCK;

		if (cap > BLOCK)
			cap = BLOCK;
		n = node_new(q, len > cap ? len : cap);
		if (!n)
			return -ENOMEM;
	}
	memcpy(n->buf + n->used, p, len);
	n->used += len;
	n->len += len;
	q->bytes += len;
	return 0;
}

int outq_ref(struct outq *q, const struct ohttp_piece *piece)
{
	struct onode *n;

	/* With a release it stays a node: it may stand for all pieces before it as well. */
	if (piece->len <= SMALL && !piece->release)
		return outq_copy(q, piece->p, piece->len);
	n = node_new(q, 0);
	if (!n) {
		if (piece->release)
			piece->release(piece->arg);
		return -ENOMEM;
	}
	n->p = piece->p;
	n->len = piece->len;
	n->release = piece->release;
	n->arg = piece->arg;
	q->bytes += n->len;
	return 0;
}

/* The next bytes of a node whose first are out; false: there are none. */
static bool node_next(struct onode *d)
{
	if (!d->n_more)
		return false;
	d->p = d->more->p;
	d->len = d->more->len;
	d->more++;
	d->n_more--;
	return true;
}

int outq_spans(struct outq *q, const struct orlop_bytes *v, size_t n, void (*release)(void *arg), void *arg)
{
	struct onode *d = node_new(q, 0);

	if (!d) {
		if (release)
			release(arg);
		return -ENOMEM;
	}
	d->p = NULL;
	d->more = v;
	d->n_more = n;
	d->release = release;
	d->arg = arg;
	for (size_t i = 0; i < n; i++)
		q->bytes += v[i].len;
	while (d->len == 0 && node_next(d))
		;
	return 0;
}

void outq_drop(struct outq *q, size_t n)
{
	q->bytes -= n;
	while (q->head && n >= q->head->len) {
		struct onode *d = q->head;

		n -= d->len;
		if (node_next(d))
			continue;
		q->head = d->next;
		if (!q->head)
			q->tail = NULL;
		node_free(d);
	}
	if (n) {
		q->head->p += n;
		q->head->len -= n;
	}
}

static void append(struct outq *q, struct onode *n)
{
	n->next = NULL;
	if (q->tail)
		q->tail->next = n;
	else
		q->head = n;
	q->tail = n;
	q->bytes += n->len;
}

/* The bytes before the last of a node that has several, as far as they fit in *@n, are a node of @to. */
static int move_spans(struct outq *to, struct outq *from, struct onode *d, size_t *n)
{
	struct onode *part = node_new(to, 0);
	size_t len = 0;

	if (!part)
		return -ENOMEM;
	part->p = d->p;
	part->len = d->len;
	part->more = d->more;
	do {
		len += d->len;
		(void)node_next(d);
	} while (d->n_more && d->len <= *n - len);
	part->n_more = (size_t)(d->more - part->more) - 1;
	to->bytes += len;
	from->bytes -= len;
	*n -= len;
	return 0;
}

int outq_move(struct outq *to, struct outq *from, size_t n)
{
	while (n && from->head) {
		struct onode *d = from->head;

		if (d->n_more && d->len <= n) {
			if (move_spans(to, from, d, &n) < 0)
				return -ENOMEM;
			continue;
		}
		if (d->len <= n) {
			from->head = d->next;
			if (!from->head)
				from->tail = NULL;
			from->bytes -= d->len;
			n -= d->len;
			append(to, d);
			continue;
		}
		if (n <= SMALL || d->cap) {
			/* Text of ours: the block stays behind, so what is sent must be a copy. */
			if (outq_copy(to, d->p, n) < 0)
				return -ENOMEM;
		} else {
			/* The piece stays with the rest, which is sent after this part. */
			struct onode *part = node_new(to, 0);

			if (!part)
				return -ENOMEM;
			part->p = d->p;
			part->len = n;
			to->bytes += n;
		}
		d->p += n;
		d->len -= n;
		from->bytes -= n;
		n = 0;
	}
	return 0;
}

int outq_move_copy(struct outq *to, struct outq *from, size_t n)
{
	while (n) {
		size_t k = from->head->len < n ? from->head->len : n;

		if (outq_copy(to, from->head->p, k) < 0)
			return -ENOMEM;
		outq_drop(from, k);
		n -= k;
	}
	return 0;
}

void outq_splice(struct outq *to, struct outq *from)
{
	if (!from->head)
		return;
	if (to->tail)
		to->tail->next = from->head;
	else
		to->head = from->head;
	to->tail = from->tail;
	to->bytes += from->bytes;
	memset(from, 0, sizeof(*from));
}

void outq_retire(struct outq *to, struct outq *from)
{
	for (struct onode *d = from->head; d; d = d->next) {
		d->len = 0;
		d->n_more = 0;
		d->cap = 0;	/* nothing is appended to it any more */
	}
	from->bytes = 0;
	outq_splice(to, from);
}

void outq_done(struct outq *q)
{
	while (q->head) {
		struct onode *d = q->head;

		q->head = d->next;
		node_free(d);
	}
	memset(q, 0, sizeof(*q));
}

int outq_iov(const struct outq *q, struct iovec *iov, int max)
{
	int n = 0;

	for (const struct onode *d = q->head; d && n < max; d = d->next) {
		if (d->len) {
			iov[n].iov_base = (void *)(uintptr_t)d->p;
			iov[n++].iov_len = d->len;
		}
		for (size_t i = 0; i < d->n_more && n < max; i++) {
			if (!d->more[i].len)
				continue;
			iov[n].iov_base = (void *)(uintptr_t)d->more[i].p;
			iov[n++].iov_len = d->more[i].len;
		}
	}
	return n;
}

static size_t peek(char *buf, size_t size, const char *p, size_t len)
{
	size_t n = len < size ? len : size;

	if (n)
		memcpy(buf, p, n);
	return n;
}

size_t outq_peek(const struct outq *q, char *buf, size_t size)
{
	size_t at = 0;

	for (const struct onode *d = q->head; d && at < size; d = d->next) {
		at += peek(buf + at, size - at, d->p, d->len);
		for (size_t i = 0; i < d->n_more && at < size; i++)
			at += peek(buf + at, size - at, d->more[i].p, d->more[i].len);
	}
	return at;
}
