/* The server side of SPDY/3.1. Source: SPDY Protocol Draft 3.1. */
#include "ospdy.h"
#include "spdydict.h"

#include "base/obuf.h"
#include "base/olist.h"
#include "base/omem.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define VERSION		3
#define MAX_CONTROL	(64u * 1024)
#define MAX_HEADERS	(64u * 1024)	/* decompressed */
#define MAX_PAIRS	64u
#define MAX_STREAMS	1024u
#define DATA_MAX	(32u * 1024)	/* of one frame: the peer's buffers are small */

enum { SYN_STREAM = 1, SYN_REPLY, RST_STREAM, SETTINGS, PING = 6, GOAWAY, HEADERS, WINDOW_UPDATE };
enum { RST_PROTOCOL = 1, RST_INVALID = 2, RST_REFUSED = 3, RST_CANCEL = 5 };

struct ospdy_stream {
	struct olist		link;
	struct ospdy		*s;
	uint32_t		id;
	void			*user;
	struct ohttp_header	*headers;
	size_t			n_headers;
	struct obuf		text;		/* what the headers point into */
	bool			in_fin;
	bool			out_fin;
};

struct ospdy {
	const struct ospdy_ops	*ops;
	void			*arg;
	struct olist		streams;
	uint32_t		n_streams;
	uint32_t		last_id;
	z_stream		in;
	z_stream		out;
	unsigned char		head[8];
	uint32_t		head_len;
	uint32_t		left;		/* payload bytes of the frame to come */
	struct obuf		ctl;		/* payload of a control frame */
	bool			in_frame;
	bool			ended;
};

static uint32_t get32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

static void stream_free(struct ospdy_stream *st)
{
	olist_del(&st->link);
	st->s->n_streams--;
	obuf_done(&st->text);
	omem_free(st->headers);
	omem_free(st);
}

static int end(struct ospdy *s, int err)
{
	if (s->ended)
		return err;
	s->ended = true;
	s->ops->ended(s->arg, err);
	return err;
}

static struct ospdy_stream *find(struct ospdy *s, uint32_t id)
{
	OLIST_FOREACH(l, &s->streams)
		if (OLIST_ENTRY(l, struct ospdy_stream, link)->id == id)
			return OLIST_ENTRY(l, struct ospdy_stream, link);
	return NULL;
}

static int send_control(struct ospdy *s, int type, const uint32_t *v, size_t n, const void *p, size_t len)
{
	unsigned char head[16];

	put32(head, 0x80000000u | VERSION << 16 | (uint32_t)type);
	put32(head + 4, (uint32_t)(n * 4 + len));
	for (size_t i = 0; i < n; i++)
		put32(head + 8 + 4 * i, v[i]);
	if (s->ops->send(s->arg, (const char *)head, 8 + n * 4) < 0 ||
	    (len && s->ops->send(s->arg, p, len) < 0))
		return -EPIPE;
	return 0;
}

static int send_rst(struct ospdy *s, uint32_t id, uint32_t status)
{
	uint32_t v[2] = { id, status };

	return send_control(s, RST_STREAM, v, 2, NULL, 0);
}

static int send_reply(struct ospdy *s, uint32_t id)
{
	unsigned char none[4] = { 0, 0, 0, 0 };	/* no headers */
	unsigned char out[128];

	s->out.next_in = none;
	s->out.avail_in = sizeof(none);
	s->out.next_out = out;
	s->out.avail_out = sizeof(out);
	if (deflate(&s->out, Z_SYNC_FLUSH) != Z_OK || s->out.avail_in)
		return -ENOMEM;
	return send_control(s, SYN_REPLY, &id, 1, out, sizeof(out) - s->out.avail_out);
}

/* Decompresses a header block; every block must be read, or the next ones are lost. */
static int inflate_block(struct ospdy *s, const unsigned char *p, size_t len, struct obuf *out)
{
	s->in.next_in = (Bytef *)(uintptr_t)p;
	s->in.avail_in = (uInt)len;
	do {
		char *to = obuf_reserve(out, 2048);
		int r;

		if (!to)
			return -ENOMEM;
		s->in.next_out = (Bytef *)to;
		s->in.avail_out = 2048;
		r = inflate(&s->in, Z_SYNC_FLUSH);
		if (r == Z_NEED_DICT) {
			if (inflateSetDictionary(&s->in, spdy_dict, SPDY_DICT_LEN) != Z_OK)
				return -EPROTO;
			r = inflate(&s->in, Z_SYNC_FLUSH);
		}
		obuf_advance(out, 2048 - s->in.avail_out);
		if (r == Z_BUF_ERROR && s->in.avail_in == 0)
			break;
		if (r != Z_OK && r != Z_STREAM_END)
			return -EPROTO;
		if (out->len > MAX_HEADERS)
			return -EPROTO;
	} while (s->in.avail_in || s->in.avail_out == 0);
	return obuf_err(out) ? -ENOMEM : 0;
}

static int index_headers(struct ospdy_stream *st)
{
	const unsigned char *p = (const unsigned char *)st->text.data;
	const unsigned char *e = p + st->text.len;
	uint32_t n;

	if (e - p < 4)
		return -EPROTO;
	n = get32(p);
	p += 4;
	if (n > MAX_PAIRS)
		return -EPROTO;
	st->headers = omem_zalloc_array(n ? n : 1, sizeof(*st->headers));
	if (!st->headers)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct orlop_bytes *b[2] = { &st->headers[i].name, &st->headers[i].value };

		for (int k = 0; k < 2; k++) {
			uint32_t len;

			if (e - p < 4)
				return -EPROTO;
			len = get32(p);
			p += 4;
			if (len > (size_t)(e - p))
				return -EPROTO;
			b[k]->p = (const char *)p;
			b[k]->len = len;
			p += len;
		}
	}
	st->n_headers = n;
	return 0;
}

static int on_syn_stream(struct ospdy *s, uint8_t flags, const unsigned char *p, size_t len)
{
	struct ospdy_stream *st;
	int r;

	if (len < 10)
		return -EPROTO;
	st = OMEM_NEW(struct ospdy_stream);
	if (!st)
		return -ENOMEM;
	st->s = s;
	st->id = get32(p) & 0x7fffffff;
	olist_append(&s->streams, &st->link);
	s->n_streams++;
	obuf_init(&st->text);
	r = inflate_block(s, p + 10, len - 10, &st->text);
	if (r == 0)
		r = index_headers(st);
	if (r == 0 && (st->id <= s->last_id || !(st->id & 1)))
		r = -EPROTO;
	if (r < 0) {
		stream_free(st);
		return r;
	}
	s->last_id = st->id;
	st->in_fin = flags & 1;
	st->out_fin = flags & 2;
	if (s->n_streams > MAX_STREAMS || s->ops->open(s->arg, st, st->headers, st->n_headers) != 0) {
		r = send_rst(s, st->id, RST_REFUSED);
		stream_free(st);
		return r;
	}
	if (s->ended)
		return 0;
	r = send_reply(s, st->id);
	if (r == 0 && st->in_fin)
		s->ops->data(s->arg, st, "", 0, true);
	return r;
}

static int on_control(struct ospdy *s)
{
	const unsigned char *p = (const unsigned char *)obuf_cstr(&s->ctl);
	size_t len = s->ctl.len;
	uint32_t type = get32(s->head) & 0xffff;
	struct ospdy_stream *st;
	struct obuf drop = OBUF_INIT;
	uint32_t id;
	int r = 0;

	if ((get32(s->head) >> 16 & 0x7fff) != VERSION)
		return -EPROTO;
	switch (type) {
	case SYN_STREAM:
		return on_syn_stream(s, s->head[4], p, len);
	case RST_STREAM:
		if (len != 8)
			return -EPROTO;
		st = find(s, get32(p) & 0x7fffffff);
		if (st) {
			s->ops->reset(s->arg, st);
			stream_free(st);
		}
		return 0;
	case PING:
		if (len != 4)
			return -EPROTO;
		id = get32(p);
		return id & 1 ? send_control(s, PING, &id, 1, NULL, 0) : 0;
	case GOAWAY:
		return 0;	/* no new streams will come; those that are open go on */
	case HEADERS:
	case SYN_REPLY:
		if (len < 4)
			return -EPROTO;
		r = inflate_block(s, p + 4, len - 4, &drop);
		obuf_done(&drop);
		return r;
	default:
		return 0;
	}
}

static int on_data(struct ospdy *s, const char *p, size_t len)
{
	uint32_t id = get32(s->head) & 0x7fffffff;
	struct ospdy_stream *st = find(s, id);
	bool fin = s->left == len && s->head[4] & 1;

	if (!st)
		return 0;		/* reset by us a moment ago */
	if (st->in_fin)
		return send_rst(s, id, RST_PROTOCOL);
	st->in_fin = fin;
	if (len || fin)
		s->ops->data(s->arg, st, p, len, fin);
	return 0;
}

int ospdy_feed(struct ospdy *s, const char *p, size_t len)
{
	int r = 0;

	while ((len || (s->in_frame && s->left == 0)) && !s->ended) {
		size_t n;

		if (!s->in_frame) {
			s->head[s->head_len++] = (unsigned char)*p++;
			len--;
			if (s->head_len < 8)
				continue;
			s->head_len = 0;
			s->in_frame = true;
			s->left = get32(s->head + 4) & 0xffffff;
			if (s->head[0] & 0x80 && s->left > MAX_CONTROL)
				return end(s, -EPROTO);
		}
		n = len < s->left ? len : s->left;
		if (s->head[0] & 0x80)
			obuf_append(&s->ctl, p, n);
		else if (n || s->left == 0)
			r = on_data(s, p, n);
		p += n;
		len -= n;
		s->left -= (uint32_t)n;
		if (s->left == 0) {
			s->in_frame = false;
			if (s->head[0] & 0x80) {
				r = obuf_err(&s->ctl) ? -ENOMEM : on_control(s);
				obuf_done(&s->ctl);
			}
		}
		if (r < 0)
			return end(s, r);
	}
	return 0;
}

/* ---- outside ------------------------------------------------------------------------------------------ */

int ospdy_new(const struct ospdy_ops *ops, void *arg, struct ospdy **ret)
{
	struct ospdy *s = OMEM_NEW(struct ospdy);

	if (!s)
		return -ENOMEM;
	s->ops = ops;
	s->arg = arg;
	olist_init(&s->streams);
	if (inflateInit(&s->in) != Z_OK) {
		omem_free(s);
		return -ENOMEM;
	}
	/* A small window is enough for headers of a few bytes. */
	if (deflateInit2(&s->out, 1, Z_DEFLATED, 11, 1, Z_DEFAULT_STRATEGY) != Z_OK) {
		inflateEnd(&s->in);
		omem_free(s);
		return -ENOMEM;
	}
	(void)deflateSetDictionary(&s->out, spdy_dict, SPDY_DICT_LEN);
	*ret = s;
	return 0;
}

void ospdy_free(struct ospdy *s)
{
	struct olist *l;

	if (!s)
		return;
	while ((l = olist_first(&s->streams)) != NULL)
		stream_free(OLIST_ENTRY(l, struct ospdy_stream, link));
	inflateEnd(&s->in);
	deflateEnd(&s->out);
	obuf_done(&s->ctl);
	omem_free(s);
}

void ospdy_stream_set_user(struct ospdy_stream *st, void *user)
{
	st->user = user;
}

void *ospdy_stream_user(const struct ospdy_stream *st)
{
	return st->user;
}

uint32_t ospdy_stream_id(const struct ospdy_stream *st)
{
	return st->id;
}

struct orlop_bytes ospdy_stream_header(const struct ospdy_stream *st, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < st->n_headers; i++)
		if (st->headers[i].name.len == len &&
		    strncasecmp(st->headers[i].name.p, name, len) == 0)
			return st->headers[i].value;
	return (struct orlop_bytes){ NULL, 0 };
}

int ospdy_write(struct ospdy_stream *st, const void *p, size_t len, bool fin)
{
	const char *at = p;

	if (st->out_fin || st->s->ended)
		return -EPIPE;
	do {
		size_t n = len < DATA_MAX ? len : DATA_MAX;
		unsigned char head[8];

		put32(head, st->id);
		put32(head + 4, (uint32_t)n | (fin && n == len ? 1u << 24 : 0));
		if (n || fin) {
			if (st->s->ops->send(st->s->arg, (const char *)head, 8) < 0 ||
			    (n && st->s->ops->send(st->s->arg, at, n) < 0))
				return -EPIPE;
		}
		at += n;
		len -= n;
	} while (len);
	st->out_fin = fin;
	return 0;
}

void ospdy_done(struct ospdy_stream *st)
{
	stream_free(st);
}

void ospdy_reset(struct ospdy_stream *st)
{
	if (!st->s->ended)
		(void)send_rst(st->s, st->id, RST_CANCEL);
	stream_free(st);
}

void ospdy_ping(struct ospdy *s)
{
	uint32_t id = 2;

	(void)send_control(s, PING, &id, 1, NULL, 0);
}

void ospdy_goaway(struct ospdy *s)
{
	uint32_t v[2] = { s->last_id, 0 };

	(void)send_control(s, GOAWAY, v, 2, NULL, 0);
}
