/*
 * stream.c - a watch stream in pieces of any size, and the same bytes as a page of a list.
 *
 * The first byte says how the rest is cut. However it is cut, the same events come out.
 */
#include "../decode.h"

#include "base/ofuzz.h"
#include "json/oscan.h"
#include "record/orecord.h"

#include <stdlib.h>
#include <string.h>

struct seen {
	uint64_t	n;
	uint64_t	bytes;
};

static int on_event(void *arg, const struct up_event *ev)
{
	struct seen *s = arg;
	struct obuf rec = OBUF_INIT;
	struct orecord_head head;
	struct up_status st;

	if (ev->object.len < 2 || ev->object.p[0] != '{')
		abort();
	s->n++;
	s->bytes += ev->object.len;
	up_status_parse(ev->object, &st);
	(void)up_object_rev(ev->object);
	if (orecord_put_bytes(NULL, NULL, ev->object, (unsigned int)(s->n & 1), &rec, &head) == 0 &&
	    (head.rev == 0 || head.name.len == 0))
		abort();
	obuf_done(&rec);
	return 0;
}

static int run(const char *p, size_t len, size_t step, struct seen *ret)
{
	struct up_stream s = { .max = 65536 };
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	for (size_t at = 0; r == 0 && at < len; at += step)
		r = up_stream_feed(&s, p + at, len - at < step ? len - at : step, on_event, ret);
	if (r && r != -1 && !s.why && r != -12)
		abort();
	up_stream_done(&s);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 1;
	struct orlop_bytes body;
	struct up_page page;
	struct seen a, b;
	const char *why = NULL;
	struct oscan_iter it;
	int ra, rb;

	if (size < 2)
		return 0;
	size--;
	ra = run(p, size, size, &a);
	rb = run(p, size, (size_t)data[0] % 17 + 1, &b);
	/* an error may be met later in small pieces, never another one */
	if (ra == 0 && (rb != 0 || a.n != b.n || a.bytes != b.bytes))
		abort();
	body = (struct orlop_bytes){ p, size };
	if (up_page_parse(body, &page, &why) == 0) {
		for (oscan_begin(&it, page.items); oscan_next(&it) > 0;) {
			struct orecord_head head;

			(void)orecord_head(it.value, &head);
		}
	} else if (!why) {
		abort();
	}
	return 0;
}
