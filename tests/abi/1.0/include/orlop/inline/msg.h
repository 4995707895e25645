/*
 * inline/msg.h - writing and reading messages (call.h). Compiled into the module: API, not ABI.
 *
 * Writing: struct orlop_msgw w; orlop_msgw_init(&w); orlop_msgw_u64/bytes/…; send orlop_msgw_msg(&w);
 * orlop_msgw_done(&w). Failures stick: check w.err once at the end (-ENOMEM, -E2BIG).
 * Reading: orlop_msg_u64(msg, tag, default), orlop_msg_bytes(msg, tag); iterate with orlop_msgr.
 * Everything read is borrowed from the message. Hostile input only yields missing fields.
 */
#ifndef ORLOP_INLINE_MSG_H
#define ORLOP_INLINE_MSG_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/host.h>

#define ORLOP_MSG_INLINE_MAX	8192u	/* longer bytes become blobs when a host is given */

/* A message being written. Starts in @small; an error sticks and is told by the last call. */
struct orlop_msgw {
	char		*buf;
	uint32_t	len;
	uint32_t	cap;
	int		err;
	uint32_t	n_blobs;
	uint32_t	n_fds;
	const struct orlop_host *h;
	struct orlop_blob *blobs[ORLOP_MSG_MAX_BLOBS];
	int32_t		fds[ORLOP_MSG_MAX_FDS];
	char		small[512];
};

/* @h may be NULL: then nothing becomes a blob. */
__attribute__((unused))
static inline void orlop_msgw_init(struct orlop_msgw *w, const struct orlop_host *h)
{
	w->buf = w->small;
	w->len = 0;
	w->cap = sizeof(w->small);
	w->err = 0;
	w->n_blobs = 0;
	w->n_fds = 0;
	w->h = h;
}

/* Frees the buffer and drops our blob references; descriptors are not closed (sending took them). */
__attribute__((unused))
static inline void orlop_msgw_done(struct orlop_msgw *w)
{
	uint32_t i;

	for (i = 0; i < w->n_blobs; i++)
		w->h->blob_unref(w->blobs[i]);
	w->n_blobs = 0;
	if (w->buf != w->small)
		free(w->buf);
	w->buf = w->small;
	w->len = 0;
}

/* Room for one field of @len bytes behind its header; NULL and w->err once it is too much. */
__attribute__((unused))
static inline char *orlop_msgw_room(struct orlop_msgw *w, uint32_t tag, uint32_t type, size_t len)
{
	size_t need = 8 + ((len + 7) & ~(size_t)7);
	uint32_t h[2];
	char *p;

	if (w->err)
		return NULL;
	if (need > ORLOP_MSG_MAX || w->len + need > ORLOP_MSG_MAX) {
		w->err = -E2BIG;
		return NULL;
	}
	if (w->len + need > w->cap) {
		uint32_t cap = w->cap * 2;

		while (cap < w->len + need)
			cap *= 2;
		p = (char *)(w->buf == w->small ? malloc(cap) : realloc(w->buf, cap));
		if (!p) {
			w->err = -ENOMEM;
			return NULL;
		}
		if (w->buf == w->small)
			memcpy(p, w->small, w->len);
		w->buf = p;
		w->cap = cap;
	}
	p = w->buf + w->len;
	h[0] = (tag & 0xffff) | (type << 16);
	h[1] = (uint32_t)len;
	memcpy(p, h, 8);
	memset(p + need - 8, 0, len ? 8 : 0);
	w->len += (uint32_t)need;
	if (!len)
		return p + 8;
	memcpy(p, h, 8);
	return p + 8;
}

/* Append a number. */
__attribute__((unused))
static inline void orlop_msgw_u64(struct orlop_msgw *w, uint32_t tag, uint64_t v)
{
	char *p = orlop_msgw_room(w, tag, ORLOP_T_U64, 8);

	if (p)
		memcpy(p, &v, 8);
}

/* Takes a reference of its own of @b. */
__attribute__((unused))
static inline void orlop_msgw_blob(struct orlop_msgw *w, uint32_t tag, struct orlop_blob *b)
{
	uint64_t i = w->n_blobs;
	char *p;

	if (w->n_blobs == ORLOP_MSG_MAX_BLOBS || !w->h) {
		w->err = -E2BIG;
		return;
	}
	p = orlop_msgw_room(w, tag, ORLOP_T_BLOB, 8);
	if (!p)
		return;
	memcpy(p, &i, 8);
	w->blobs[w->n_blobs++] = w->h->blob_ref(b);
}

/* Append bytes, copied; long ones become a blob if a host was given. */
__attribute__((unused))
static inline void orlop_msgw_bytes(struct orlop_msgw *w, uint32_t tag, const void *p, size_t len)
{
	char *q;

	if (w->h && len > ORLOP_MSG_INLINE_MAX && w->n_blobs < ORLOP_MSG_MAX_BLOBS) {
		struct orlop_blob *b;

		if (w->h->blob_new(w->h, p, len, &b)) {
			w->err = -ENOMEM;
			return;
		}
		orlop_msgw_blob(w, tag, b);
		w->h->blob_unref(b);
		return;
	}
	q = orlop_msgw_room(w, tag, ORLOP_T_BYTES, len);
	if (q && len)
		memcpy(q, p, len);
}

/* Append a NUL-terminated string, without its NUL. */
__attribute__((unused))
static inline void orlop_msgw_str(struct orlop_msgw *w, uint32_t tag, const char *cstr)
{
	orlop_msgw_bytes(w, tag, cstr, strlen(cstr));
}

/* A nested message: begin returns a mark, end closes it. Blobs of the inside are the outer's. */
__attribute__((unused))
static inline uint32_t orlop_msgw_begin(struct orlop_msgw *w, uint32_t tag)
{
	uint32_t at = w->len;

	orlop_msgw_room(w, tag, ORLOP_T_MSG, 0);
	return at;
}

/* Close what orlop_msgw_begin() returned @mark for. */
__attribute__((unused))
static inline void orlop_msgw_end(struct orlop_msgw *w, uint32_t mark)
{
	uint32_t len;

	if (w->err)
		return;
	len = w->len - mark - 8;
	memcpy(w->buf + mark + 4, &len, 4);
}

/* The descriptor is handed over when the message is sent. */
__attribute__((unused))
static inline void orlop_msgw_fd(struct orlop_msgw *w, int32_t fd)
{
	if (w->n_fds == ORLOP_MSG_MAX_FDS)
		w->err = -E2BIG;
	else
		w->fds[w->n_fds++] = fd;
}

/* Borrowed from @w. */
__attribute__((unused))
static inline struct orlop_msg orlop_msgw_msg(struct orlop_msgw *w)
{
	struct orlop_msg m;

	memset(&m, 0, sizeof(m));
	m.size = sizeof(m);
	m.body.p = w->buf;
	m.body.len = w->len;
	m.blobs = w->blobs;
	m.n_blobs = w->n_blobs;
	m.fds = w->fds;
	m.n_fds = w->n_fds;
	return m;
}

/* Reading: one field at a time. */
struct orlop_msgr {
	const struct orlop_host *h;
	const struct orlop_msg *m;	/* for blobs */
	const char	*p;
	const char	*end;
	uint32_t	tag;
	uint32_t	type;
	uint64_t	u64;		/* of a u64 field */
	struct orlop_bytes bytes;	/* of bytes, message or blob */
	struct orlop_blob *blob;	/* of a blob field, borrowed */
};

/* Read the fields of @body, which belongs to @m; both are borrowed. @h may be NULL: then blobs stay unread. */
__attribute__((unused))
static inline void orlop_msgr_init(struct orlop_msgr *r, const struct orlop_host *h,
				   const struct orlop_msg *m, struct orlop_bytes body)
{
	memset(r, 0, sizeof(*r));
	r->h = h;
	r->m = m;
	r->p = body.p;
	r->end = body.p ? body.p + body.len : NULL;
}

/* 1: a field is in r, 0: the end (or rubbish). */
__attribute__((unused))
static inline int orlop_msgr_next(struct orlop_msgr *r)
{
	uint32_t h[2];
	size_t pad;

	for (;;) {
		if (!r->p || (size_t)(r->end - r->p) < 8)
			return 0;
		memcpy(h, r->p, 8);
		r->tag = h[0] & 0xffff;
		r->type = h[0] >> 16;
		pad = ((size_t)h[1] + 7) & ~(size_t)7;
		if ((size_t)(r->end - r->p) - 8 < pad)
			return 0;
		r->bytes.p = r->p + 8;
		r->bytes.len = h[1];
		r->blob = NULL;
		r->u64 = 0;
		r->p += 8 + pad;
		if (r->type == ORLOP_T_U64 || r->type == ORLOP_T_BLOB) {
			if (h[1] != 8)
				continue;
			memcpy(&r->u64, r->bytes.p, 8);
		}
		if (r->type == ORLOP_T_BLOB) {
			if (!r->m || r->u64 >= r->m->n_blobs)
				continue;
			r->blob = r->m->blobs[r->u64];
			r->bytes = r->h->blob_bytes(r->blob);
			r->type = ORLOP_T_BYTES;
		}
		return 1;
	}
}

/* The number in field @tag, or @def if there is none. */
__attribute__((unused))
static inline uint64_t orlop_msg_u64(const struct orlop_msg *m, uint32_t tag, uint64_t def)
{
	struct orlop_msgr r;

	if (!m)
		return def;
	orlop_msgr_init(&r, NULL, NULL, m->body);
	while (orlop_msgr_next(&r))
		if (r.tag == tag && r.type == ORLOP_T_U64)
			return r.u64;
	return def;
}

/* Bytes of a field, blobs included; p is NULL if there is none (present and empty: not NULL). */
__attribute__((unused))
static inline struct orlop_bytes orlop_msg_bytes(const struct orlop_host *h, const struct orlop_msg *m,
						 uint32_t tag)
{
	struct orlop_bytes none = { NULL, 0 };
	struct orlop_msgr r;

	if (!m)
		return none;
	orlop_msgr_init(&r, h, m, m->body);
	while (orlop_msgr_next(&r))
		if (r.tag == tag && (r.type == ORLOP_T_BYTES || r.type == ORLOP_T_MSG))
			return r.bytes;
	return none;
}

#endif
