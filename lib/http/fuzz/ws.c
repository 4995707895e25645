/* Fuzz: bytes of a WebSocket client. */
#include "http/ows.h"

static void on_message(void *arg, int type, const char *p, size_t len)
{
	(void)arg;
	(void)type;
	(void)p;
	(void)len;
}

static void on_closed(void *arg, int code)
{
	*(int *)arg = code;
}

static const struct ows_ops ops = { .message = on_message, .closed = on_closed };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int closed = 0;
	struct ows *w;

	if (ows_new_for_test(4096, &ops, &closed, &w) < 0)
		return 0;
	(void)ows_feed(w, (const char *)data, size);
	if (!closed)
		ows_close(w, 1000, "");
	return 0;
}
