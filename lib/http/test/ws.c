/* WebSocket frames from clients, good and bad. */
#include "http/ows.h"

#include "base/obuf.h"
#include "base/otap.h"

#include <errno.h>

struct seen {
	struct obuf	text;
	int		closed;
	int		n;
};

static void on_message(void *arg, int type, const char *p, size_t len)
{
	struct seen *s = arg;

	s->n++;
	obuf_printf(&s->text, "%d:", type);
	obuf_append(&s->text, p, len);
	obuf_putc(&s->text, '|');
}

static void on_closed(void *arg, int code)
{
	((struct seen *)arg)->closed = code;
}

static const struct ows_ops ops = { .message = on_message, .closed = on_closed };

/* A frame as clients send it. */
static void frame(struct obuf *b, int first, const char *p, size_t len, bool masked)
{
	static const unsigned char mask[4] = { 0x11, 0x22, 0x33, 0x44 };

	obuf_putc(b, (char)first);
	if (len < 126) {
		obuf_putc(b, (char)(len | (masked ? 0x80 : 0)));
	} else {
		obuf_putc(b, (char)(126 | (masked ? 0x80 : 0)));
		obuf_putc(b, (char)(len >> 8));
		obuf_putc(b, (char)len);
	}
	if (masked)
		obuf_append(b, mask, 4);
	for (size_t i = 0; i < len; i++)
		obuf_putc(b, (char)((unsigned char)p[i] ^ (masked ? mask[i & 3] : 0)));
}

static void test_cuts(void)
{
	struct obuf b = OBUF_INIT;
	char big[300];
	bool same = true;

	memset(big, 'x', sizeof(big));
	frame(&b, 0x82, "one", 3, true);
	frame(&b, 0x01, "tw", 2, true);
	frame(&b, 0x89, "ping", 4, true);
	frame(&b, 0x80, "o", 1, true);
	frame(&b, 0x82, big, sizeof(big), true);
	frame(&b, 0x82, "", 0, true);
	frame(&b, 0x88, "\x03\xe8", 2, true);
	for (size_t cut = 1; cut < b.len; cut++) {
		struct seen s = { .closed = 0 };
		struct ows *w;

		if (ows_new_for_test(1000, &ops, &s, &w) < 0)
			otap_bail_out("no memory");
		(void)ows_feed(w, b.data, cut);
		if (!s.closed)
			(void)ows_feed(w, b.data + cut, b.len - cut);
		same = same && s.n == 4 && s.closed == 1000 &&
		       strncmp(obuf_cstr(&s.text), "2:one|1:two|2:xxx", 17) == 0;
		obuf_done(&s.text);
	}
	ok(same, "messages come alike wherever the bytes are cut");
	obuf_done(&b);
}

static void bad(const char *name, int code, void (*make)(struct obuf *b))
{
	struct seen s = { .closed = 0 };
	struct obuf b = OBUF_INIT;
	struct ows *w;

	make(&b);
	if (ows_new_for_test(1000, &ops, &s, &w) < 0)
		otap_bail_out("no memory");
	is_int(ows_feed(w, b.data, b.len), -EPROTO, "%s", name);
	is_int(s.closed, code, "… with %d", code);
	obuf_done(&b);
	obuf_done(&s.text);
}

static void unmasked(struct obuf *b) { frame(b, 0x82, "a", 1, false); }
static void reserved(struct obuf *b) { frame(b, 0xc2, "a", 1, true); }
static void opcode(struct obuf *b) { frame(b, 0x83, "a", 1, true); }
static void orphan(struct obuf *b) { frame(b, 0x80, "a", 1, true); }
static void interleaved(struct obuf *b) { frame(b, 0x02, "a", 1, true); frame(b, 0x82, "b", 1, true); }
static void half_ping(struct obuf *b) { frame(b, 0x09, "a", 1, true); }

static void long_ping(struct obuf *b)
{
	char p[126] = "";

	frame(b, 0x89, p, sizeof(p), true);
}

static void huge(struct obuf *b)
{
	obuf_append(b, "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" "mask", 14);
}

static void sum(struct obuf *b)
{
	char p[600] = "";

	frame(b, 0x02, p, sizeof(p), true);
	frame(b, 0x80, p, sizeof(p), true);
}

int main(void)
{
	test_cuts();
	bad("unmasked", 1002, unmasked);
	bad("reserved bits", 1002, reserved);
	bad("unknown opcode", 1002, opcode);
	bad("continuation of nothing", 1002, orphan);
	bad("message inside a message", 1002, interleaved);
	bad("fragmented ping", 1002, half_ping);
	bad("long ping", 1002, long_ping);
	bad("huge length", 1009, huge);
	bad("huge in parts", 1009, sum);
	return done_testing();
}
