/* obuf, oarena, outf8: appending, sticky errors, JSON escapes, limits, failed allocations. */
#define OTAP_FAULTS
#include "base/oarena.h"
#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/otap.h"
#include "base/outf8.h"

#include <errno.h>
#include <stdint.h>

static void test_append(void)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	char *s;
	size_t len;

	is_str(obuf_cstr(&b), "", "an empty buffer is an empty string");
	obuf_puts(&b, "a");
	obuf_putc(&b, 'b');
	obuf_append(&b, "cd", 2);
	obuf_put_i64(&b, INT64_MIN);
	obuf_putc(&b, ' ');
	obuf_put_u64(&b, UINT64_MAX);
	obuf_printf(&b, " %d %s", 7, "x");
	is_str(b.data, "abcd-9223372036854775808 18446744073709551615 7 x", "all appends");
	obuf_truncate(&b, 4);
	obuf_printf(&b, "%0200d", 1);
	is_int(b.len, 204, "a long printf grows the buffer");
	obuf_truncate(&b, 4);
	obuf_splice(&b, 1, 2, "XYZ", 3);
	is_str(b.data, "aXYZd", "splice that grows");
	obuf_splice(&b, 1, 3, NULL, 0);
	is_str(b.data, "ad", "splice that shrinks");
	s = obuf_steal(&b, &len);
	is_mem(s, len, "ad", 2, "steal hands over the content");
	is_int(b.len, 0, "and leaves an empty buffer");
	omem_free(s);
	s = obuf_steal(&b, &len);
	is_mem(s, len, "", 0, "stealing an empty buffer gives an empty string");
	omem_free(s);
}

static void test_errors(void)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_obuf struct obuf small;

	obuf_puts(&b, "kept");
	otap_fail_nth(1);
	obuf_printf(&b, "%0500d", 1);
	otap_fail_nth(0);
	is_int(obuf_err(&b), -ENOMEM, "a failed allocation sticks");
	obuf_puts(&b, "more");
	is_str(b.data, "kept", "later appends do nothing");
	ok(obuf_steal(&b, NULL) == NULL, "steal reports it");

	obuf_init_max(&small, 4);
	obuf_puts(&small, "1234");
	is_int(obuf_err(&small), 0, "up to the limit");
	obuf_printf(&small, "%d", 5);
	is_int(obuf_err(&small), -EFBIG, "beyond the limit");
	obuf_reset(&small);
	obuf_printf(&small, "%s", "12345");
	is_int(obuf_err(&small), -EFBIG, "printf obeys the limit too");
}

static void json(const char *in, size_t n, const char *want, const char *name)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	obuf_put_json_string(&b, in, n);
	is_str(obuf_cstr(&b), want, "JSON string: %s", name);
}

static void test_json(void)
{
	cleanup_obuf struct obuf q = OBUF_INIT;

	json("", 0, "\"\"", "empty");
	json("a/b\"\\", 5, "\"a/b\\\"\\\\\"", "slash stays, quote and backslash escaped");
	json("\b\f\n\r\t\x01\x7f", 7, "\"\\b\\f\\n\\r\\t\\u0001\x7f\"", "control characters");
	json("a\0b", 3, "\"a\\u0000b\"", "NUL inside");
	json("<a>&", 4, "\"\\u003ca\\u003e\\u0026\"", "HTML characters as Go escapes them");
	json("\xe2\x80\xa8\xe2\x80\xa9\xc3\xa9", 8, "\"\\u2028\\u2029\xc3\xa9\"", "line separators");
	json("\xff" "a\xc3", 3, "\"\\ufffda\\ufffd\"", "broken UTF-8");
	json("\xef\xbf\xbd", 3, "\"\xef\xbf\xbd\"", "a real U+FFFD stays");
	obuf_put_quoted(&q, "a\"\n\x01\xff\xc3\xa9", 7);
	is_str(obuf_cstr(&q), "\"a\\\"\\n\\x01\\xff\xc3\xa9\"", "Go's %%q");
}

static void test_utf8(void)
{
	char out[4];
	uint32_t r;

	is_int(outf8_encode(0x1f600, out), 4, "four bytes");
	is_int(outf8_decode(out, 4, &r), 4, "decoded");
	is_int(r, 0x1f600, "to the same");
	ok(!outf8_valid("\xed\xa0\x80", 3), "a surrogate is broken");
	ok(!outf8_valid("\xc0\x80", 2), "overlong is broken");
	ok(!outf8_valid("\xf4\x90\x80\x80", 4), "above U+10FFFF is broken");
	ok(outf8_valid("\xf4\x8f\xbf\xbf" "a", 5), "U+10FFFF is fine");
}

static void test_arena(void)
{
	cleanup_oarena struct oarena a = OARENA_INIT;
	cleanup_oarena struct oarena limited;
	bool aligned = true;
	bool kept = true;
	char *first = oarena_strdup(&a, "first");

	for (size_t i = 1; i < 3000; i++) {
		char *p = oarena_alloc(&a, i);

		aligned = aligned && p != NULL && (uintptr_t)p % 16 == 0;
		if (p != NULL)
			memset(p, 0xee, i);
	}
	kept = strcmp(first, "first") == 0;
	ok(aligned, "pieces are aligned");
	ok(kept, "pieces do not overlap");
	ok(oarena_alloc(&a, 1 << 20) != NULL, "a big piece");
	is_str(oarena_printf(&a, "%s-%d", "x", 3), "x-3", "printf");
	oarena_init(&limited, 100);
	ok(oarena_alloc(&limited, 80) != NULL, "below the limit");
	ok(oarena_alloc(&limited, 80) == NULL, "beyond the limit");
	ok(oarena_alloc(&limited, SIZE_MAX) == NULL, "absurd size");
}

int main(void)
{
	test_append();
	test_errors();
	test_json();
	test_utf8();
	test_arena();
	return done_testing();
}
