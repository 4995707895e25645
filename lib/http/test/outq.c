/* The queue: whatever is cut out of it, in whichever way, is what was put in, and is let go once and last. */
#include "http/outq.h"

#include "base/obuf.h"
#include "base/otap.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS	300
#define PARTS	60

static unsigned int seed = 1;

static size_t chance(size_t n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % n;
}

static void count(void *arg)
{
	++*(int *)arg;
}

/* Empty parts too, some of them at both ends. */
static size_t fill(struct orlop_bytes *v, const char *text)
{
	size_t at = 0;

	for (size_t i = 0; i < PARTS; i++) {
		size_t n = chance(4) == 0 ? 0 : chance(5) == 0 ? chance(900) : chance(9);

		v[i] = (struct orlop_bytes){ n ? text + at : NULL, n };
		at += n;
	}
	return at;
}

static bool iov_is(const struct outq *q, const char *want, size_t len)
{
	struct iovec iov[8];
	size_t at = 0;
	int n = outq_iov(q, iov, 8);

	for (int i = 0; i < n; i++) {
		if (!iov[i].iov_len || iov[i].iov_len > len - at || memcmp(iov[i].iov_base, want + at, iov[i].iov_len) != 0)
			return false;
		at += iov[i].iov_len;
	}
	return n == 8 || at == len;
}

/* Takes all of @q in pieces of any size; they are @want. */
static bool drained(struct outq *q, const char *want, size_t len)
{
	char buf[700];

	while (len) {
		size_t n = outq_peek(q, buf, 1 + chance(sizeof(buf)));

		if (!n || n > len || memcmp(buf, want, n) != 0 || q->bytes != len || !iov_is(q, want, len))
			return false;
		n = 1 + chance(n);
		outq_drop(q, n);
		want += n;
		len -= n;
	}
	outq_drop(q, 0);
	return q->bytes == 0 && !q->head;
}

static void test_drop(const char *text)
{
	struct orlop_bytes v[PARTS];
	bool same = true;
	bool once = true;

	for (int i = 0; i < ROUNDS; i++) {
		struct outq q = { NULL, NULL, 0 };
		struct obuf want = OBUF_INIT;
		size_t len = fill(v, text);
		int released = 0;

		outq_copy(&q, "head", 4);
		outq_spans(&q, v, PARTS, count, &released);
		outq_copy(&q, "tail", 4);
		obuf_append(&want, "head", 4);
		obuf_append(&want, text, len);
		obuf_append(&want, "tail", 4);
		same &= drained(&q, want.data, want.len);
		once &= released == 1;
		outq_done(&q);
		obuf_done(&want);
	}
	ok(same, "many parts come out as they went in");
	ok(once, "what they live in is let go once");
}

static void test_move(const char *text)
{
	struct orlop_bytes v[PARTS];
	bool same = true;
	bool late = true;

	for (int i = 0; i < ROUNDS; i++) {
		struct outq from = { NULL, NULL, 0 };
		struct outq to = { NULL, NULL, 0 };
		struct obuf want = OBUF_INIT;
		size_t len = fill(v, text);
		int released = 0;

		outq_spans(&from, v, PARTS, count, &released);
		for (size_t at = 0; at < len;) {
			size_t n = 1 + chance(len - at < 400 ? len - at : 400);

			outq_copy(&to, "frame", 5);
			obuf_append(&want, "frame", 5);
			same &= outq_move(&to, &from, n) == 0;
			obuf_append(&want, text + at, n);
			at += n;
			late &= released == 0;
			same &= from.bytes == len - at && to.bytes == want.len;
		}
		outq_splice(&to, &from);
		same &= drained(&to, want.data, want.len);
		late &= released == 1;
		outq_done(&from);
		outq_done(&to);
		obuf_done(&want);
	}
	ok(same, "cut into frames they are the same");
	ok(late, "what they live in is let go after the last frame");
}

static void test_move_copy(const char *text)
{
	struct orlop_bytes v[PARTS];
	bool same = true;
	bool once = true;

	for (int i = 0; i < ROUNDS; i++) {
		struct outq from = { NULL, NULL, 0 };
		struct outq to = { NULL, NULL, 0 };
		size_t len = fill(v, text);
		size_t some = chance(len + 1);
		int released = 0;

		outq_spans(&from, v, PARTS, count, &released);
		outq_ref(&from, &(struct ohttp_piece){ NULL, 0, count, &released });
		same &= outq_move_copy(&to, &from, some) == 0 && to.bytes == some && from.bytes == len - some;
		same &= outq_move_copy(&to, &from, len - some) == 0;
		once &= (len == some || released == 2) && released <= 2;
		outq_done(&from);
		same &= drained(&to, text, len);
		outq_done(&to);
	}
	ok(same, "copies are the same");
	ok(once, "and let what they were copied from go at once");
}

static void test_retire(const char *text)
{
	struct orlop_bytes v[3] = { { text, 100 }, { text + 100, 100 }, { text + 200, 100 } };
	struct outq from = { NULL, NULL, 0 };
	struct outq to = { NULL, NULL, 0 };
	int released = 0;

	outq_spans(&from, v, 3, count, &released);
	outq_move(&to, &from, 150);
	outq_retire(&to, &from);
	is_int(to.bytes, 150, "the rest of what is given up is not sent");
	is_int(released, 0, "its memory stays while a part of it waits");
	ok(drained(&to, text, 150), "that part is sent");
	is_int(released, 1, "then it goes");
	outq_spans(&to, v, 3, count, &released);
	outq_done(&to);
	is_int(released, 2, "it goes too if nothing of it was sent");
}

int main(void)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	char *text = malloc(PARTS * 1000);

	plan(11);
	for (size_t i = 0; i < PARTS * 1000; i++)
		text[i] = letters[(i * 7 + i / 37) % (sizeof(letters) - 1)];
	test_drop(text);
	test_move(text);
	test_move_copy(text);
	test_retire(text);
	free(text);
	return done_testing();
}
