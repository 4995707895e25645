/* SPDY/3.1 as a client like kubectl's speaks it. */
#include "http/ospdy.h"
#include "spdydict.h"

#include "base/obuf.h"
#include "base/otap.h"

#include <errno.h>
#include <zlib.h>

struct peer {
	struct ospdy	*s;
	z_stream	z;		/* our header compression */
	struct obuf	sent;		/* by the server */
	struct obuf	log;
	struct ospdy_stream *st[8];
	int		n;
	int		ended;
	bool		refuse;
};

static int on_send(void *arg, const char *p, size_t len)
{
	struct peer *c = arg;

	obuf_append(&c->sent, p, len);
	return 0;
}

static int on_open(void *arg, struct ospdy_stream *st, const struct ohttp_header *hdr, size_t n)
{
	struct peer *c = arg;

	for (size_t i = 0; i < n; i++)
		obuf_printf(&c->log, "%.*s=%.*s;", (int)hdr[i].name.len, hdr[i].name.p, (int)hdr[i].value.len,
			    hdr[i].value.p);
	if (c->refuse)
		return -1;
	c->st[c->n++ & 7] = st;
	return 0;
}

static void on_data(void *arg, struct ospdy_stream *st, const char *p, size_t len, bool fin)
{
	struct peer *c = arg;

	(void)st;
	obuf_printf(&c->log, "%.*s%s", (int)len, p, fin ? "!" : "");
}

static void on_reset(void *arg, struct ospdy_stream *st)
{
	struct peer *c = arg;

	obuf_printf(&c->log, "reset %u;", ospdy_stream_id(st));
}

static void on_ended(void *arg, int err)
{
	((struct peer *)arg)->ended = err;
}

static const struct ospdy_ops ops = { on_send, on_open, on_data, on_reset, on_ended };

static void put32(struct obuf *b, uint32_t v)
{
	const char p[4] = { (char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v };

	obuf_append(b, p, 4);
}

static void syn_stream(struct peer *c, uint32_t id, const char *name, const char *value, struct obuf *out)
{
	struct obuf h = OBUF_INIT;
	unsigned char z[512];

	put32(&h, 1);
	put32(&h, (uint32_t)strlen(name));
	obuf_puts(&h, name);
	put32(&h, (uint32_t)strlen(value));
	obuf_puts(&h, value);
	c->z.next_in = (Bytef *)h.data;
	c->z.avail_in = (uInt)h.len;
	c->z.next_out = z;
	c->z.avail_out = sizeof(z);
	(void)deflate(&c->z, Z_SYNC_FLUSH);
	put32(out, 0x80030001);
	put32(out, (uint32_t)(10 + sizeof(z) - c->z.avail_out));
	put32(out, id);
	put32(out, 0);
	obuf_append(out, "\0\0", 2);
	obuf_append(out, z, sizeof(z) - c->z.avail_out);
	obuf_done(&h);
}

static void peer_init(struct peer *c)
{
	memset(c, 0, sizeof(*c));
	(void)deflateInit(&c->z, 9);
	(void)deflateSetDictionary(&c->z, spdy_dict, SPDY_DICT_LEN);
	if (ospdy_new(&ops, c, &c->s) < 0)
		otap_bail_out("no memory");
}

static void peer_done(struct peer *c)
{
	ospdy_free(c->s);
	deflateEnd(&c->z);
	obuf_done(&c->sent);
	obuf_done(&c->log);
}

static void conversation(struct peer *c, struct obuf *b)
{
	syn_stream(c, 1, "streamtype", "error", b);
	syn_stream(c, 3, "streamtype", "stdin", b);
	put32(b, 3);
	put32(b, 5);
	obuf_puts(b, "hello");
	put32(b, 0x80030006);
	put32(b, 4);
	put32(b, 1);
	put32(b, 3);
	put32(b, 0x01000000);
	put32(b, 0x80030009);	/* WINDOW_UPDATE: ignored */
	put32(b, 8);
	put32(b, 3);
	put32(b, 100);
	put32(b, 0x80030003);
	put32(b, 8);
	put32(b, 1);
	put32(b, 5);
}

int main(void)
{
	static const char want[] = "streamtype=error;streamtype=stdin;hello!reset 1;";
	bool same = true;
	struct peer c;
	struct obuf b = OBUF_INIT;
	uint32_t seed = 1;

	is_int(adler32(adler32(0, NULL, 0), spdy_dict, SPDY_DICT_LEN), 0xe3c6a7c2, "the dictionary");
	for (size_t cut = 1; cut < 200; cut++) {
		peer_init(&c);
		obuf_reset(&b);
		conversation(&c, &b);
		if (cut < b.len) {
			same = same && ospdy_feed(c.s, b.data, cut) == 0 &&
			       ospdy_feed(c.s, b.data + cut, b.len - cut) == 0;
			same = same && strcmp(obuf_cstr(&c.log), want) == 0;
		}
		peer_done(&c);
	}
	ok(same, "a conversation goes alike wherever it is cut");

	peer_init(&c);
	obuf_reset(&b);
	syn_stream(&c, 1, "streamtype", "stdout", &b);
	(void)ospdy_feed(c.s, b.data, b.len);
	ok(c.sent.len > 12 && memcmp(c.sent.data, "\x80\x03\x00\x02", 4) == 0, "SYN_REPLY");
	ok(ospdy_stream_header(c.st[0], "streamType").len == 6, "its header is kept");
	obuf_reset(&c.sent);
	is_int(ospdy_write(c.st[0], "out", 3, true), 0, "write");
	is_mem(c.sent.data, c.sent.len, "\0\0\0\1\1\0\0\3out", 11, "as a frame with FIN");
	is_int(ospdy_write(c.st[0], "x", 1, false), -EPIPE, "nothing after FIN");
	c.refuse = true;
	obuf_reset(&b);
	obuf_reset(&c.sent);
	syn_stream(&c, 3, "streamtype", "x", &b);
	(void)ospdy_feed(c.s, b.data, b.len);
	ok(c.sent.len == 16 && memcmp(c.sent.data, "\x80\x03\x00\x03", 4) == 0, "a refused stream is reset");
	obuf_reset(&b);
	syn_stream(&c, 2, "a", "b", &b);
	is_int(ospdy_feed(c.s, b.data, b.len), -EPROTO, "even ids are not the client's");
	is_int(c.ended, -EPROTO, "the session ends");
	peer_done(&c);

	peer_init(&c);
	is_int(ospdy_feed(c.s, "\x80\x02\0\1\0\0\0\0", 8), -EPROTO, "SPDY/2");
	peer_done(&c);
	peer_init(&c);
	is_int(ospdy_feed(c.s, "\x80\x03\0\1\0\xff\xff\xff", 8), -EPROTO, "a huge control frame");
	peer_done(&c);

	/* Broken in any way it must only end. */
	for (int round = 0; round < 3000; round++) {
		peer_init(&c);
		obuf_reset(&b);
		conversation(&c, &b);
		for (int k = 0; k < 4; k++) {
			seed = seed * 1103515245u + 12345u;
			b.data[(seed >> 8) % b.len] ^= (char)(1u << ((seed >> 4) & 7));
		}
		(void)ospdy_feed(c.s, b.data, b.len);
		peer_done(&c);
	}
	pass("three thousand broken conversations");
	obuf_done(&b);
	return done_testing();
}
