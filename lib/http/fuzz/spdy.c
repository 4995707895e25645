/* Fuzz: bytes of a SPDY client. */
#include "http/ospdy.h"

static int on_send(void *arg, const char *p, size_t len)
{
	(void)arg;
	(void)p;
	(void)len;
	return 0;
}

static int on_open(void *arg, struct ospdy_stream *st, const struct ohttp_header *hdr, size_t n)
{
	(void)arg;
	(void)hdr;
	return n == 3 ? -1 : (int)(ospdy_stream_id(st) & 0);
}

static void on_data(void *arg, struct ospdy_stream *st, const char *p, size_t len, bool fin)
{
	(void)arg;
	(void)ospdy_write(st, p, len, fin);
}

static void on_reset(void *arg, struct ospdy_stream *st)
{
	(void)arg;
	(void)st;
}

static void on_ended(void *arg, int err)
{
	(void)arg;
	(void)err;
}

static const struct ospdy_ops ops = { on_send, on_open, on_data, on_reset, on_ended };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ospdy *s;

	if (ospdy_new(&ops, NULL, &s) == 0) {
		(void)ospdy_feed(s, (const char *)data, size);
		ospdy_free(s);
	}
	return 0;
}
