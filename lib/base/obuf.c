/* Growable byte buffer with sticky errors; see obuf.h. */
#include "base/obuf.h"

#include "base/omem.h"
#include "base/outf8.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char hex[] = "0123456789abcdef";

void obuf_init(struct obuf *b)
{
	*b = (struct obuf)OBUF_INIT;
}

void obuf_init_max(struct obuf *b, size_t max_bytes)
{
	obuf_init(b);
	b->max = max_bytes;
}

void obuf_done(struct obuf *b)
{
	if (b == NULL)
		return;
	omem_free(b->data);
	obuf_init_max(b, b->max);
}

void obuf_reset(struct obuf *b)
{
	b->len = 0;
	b->err = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

void obuf_truncate(struct obuf *b, size_t len)
{
	if (len >= b->len)
		return;
	b->len = len;
	b->data[len] = '\0';
}

int obuf_err(const struct obuf *b)
{
	return b->err;
}

static bool grow(struct obuf *b, size_t n)
{
	size_t need;
	size_t cap;
	char *data;

	if (b->err != 0)
		return false;
	if (__builtin_add_overflow(b->len, n, &need) || need == SIZE_MAX ||
	    (b->max != 0 && need > b->max)) {
		b->err = -EFBIG;
		return false;
	}
	need++;
	if (need <= b->cap)
		return true;
	cap = b->cap < 32 ? 64 : b->cap + b->cap / 2;
	if (cap < need)
		cap = need;
	data = omem_realloc(b->data, cap);
	if (data == NULL) {
		b->err = -ENOMEM;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

char *obuf_reserve(struct obuf *b, size_t n)
{
	return grow(b, n) ? b->data + b->len : NULL;
}

void obuf_advance(struct obuf *b, size_t n)
{
	b->len += n;
	b->data[b->len] = '\0';
}

void obuf_append(struct obuf *b, const void *p, size_t n)
{
	if (!grow(b, n))
		return;
	if (n > 0)
		memcpy(b->data + b->len, p, n);
	obuf_advance(b, n);
}

void obuf_puts(struct obuf *b, const char *cstr)
{
	obuf_append(b, cstr, strlen(cstr));
}

void obuf_putc(struct obuf *b, char c)
{
	if (!grow(b, 1))
		return;
	b->data[b->len] = c;
	obuf_advance(b, 1);
}

void obuf_put_u64(struct obuf *b, uint64_t v)
{
	char tmp[20];
	size_t i = sizeof(tmp);

	do {
		tmp[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	obuf_append(b, tmp + i, sizeof(tmp) - i);
}

void obuf_put_i64(struct obuf *b, int64_t v)
{
	if (v < 0)
		obuf_putc(b, '-');
	obuf_put_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void obuf_vprintf(struct obuf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *at;
	int n;

	if (!grow(b, 32))
		return;
	va_copy(again, ap);
	n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
	if (n < 0) {
		b->err = -EINVAL;
	} else if ((size_t)n < b->cap - b->len && (b->max == 0 || b->len + (size_t)n <= b->max)) {
		b->len += (size_t)n;
	} else {
		b->data[b->len] = '\0';
		at = obuf_reserve(b, (size_t)n);
		if (at != NULL) {
			(void)vsnprintf(at, (size_t)n + 1, fmt, again);
			b->len += (size_t)n;
		}
	}
	va_end(again);
}

void obuf_printf(struct obuf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	obuf_vprintf(b, fmt, ap);
	va_end(ap);
}

void obuf_splice(struct obuf *b, size_t off, size_t del, const void *p, size_t n)
{
	if (off > b->len || del > b->len - off) {
		b->err = b->err ? b->err : -EINVAL;
		return;
	}
	if (n > del && !grow(b, n - del))
		return;
	if (b->data == NULL)
		return;
	memmove(b->data + off + n, b->data + off + del, b->len - off - del);
	if (n > 0)
		memcpy(b->data + off, p, n);
	b->len = b->len - del + n;
	b->data[b->len] = '\0';
}

/* Bytes that go into a JSON string as they are. */
static bool json_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static void put_json_ascii(struct obuf *b, unsigned char c)
{
	char esc[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char to[] = "\"\\bfnrt";
	const char *at = c != 0 ? strchr(from, c) : NULL;

	if (at != NULL) {
		esc[1] = to[at - from];
		obuf_append(b, esc, 2);
	} else {
		obuf_append(b, esc, sizeof(esc));
	}
}

void obuf_put_json_string(struct obuf *b, const char *p, size_t n)
{
	size_t i = 0;
	size_t start = 0;

	if (!grow(b, n + 2 < n ? n : n + 2))
		return;
	obuf_putc(b, '"');
	while (i < n) {
		unsigned char c = (unsigned char)p[i];
		uint32_t rune;
		size_t size;

		if (json_plain(c)) {
			i++;
			continue;
		}
		if (c < 0x80) {
			obuf_append(b, p + start, i - start);
			put_json_ascii(b, c);
			start = ++i;
			continue;
		}
		size = outf8_decode(p + i, n - i, &rune);
		if (rune == OUTF8_INVALID && size == 1) {
			obuf_append(b, p + start, i - start);
			obuf_append(b, "\\ufffd", 6);
			start = i + 1;
		} else if (rune == 0x2028 || rune == 0x2029) {
			obuf_append(b, p + start, i - start);
			obuf_append(b, rune == 0x2028 ? "\\u2028" : "\\u2029", 6);
			start = i + size;
		}
		i += size;
	}
	obuf_append(b, p + start, n - start);
	obuf_putc(b, '"');
}

void obuf_put_json_cstr(struct obuf *b, const char *cstr)
{
	obuf_put_json_string(b, cstr, strlen(cstr));
}

void obuf_put_quoted(struct obuf *b, const char *p, size_t n)
{
	static const char from[] = "\"\\\a\b\f\n\r\t\v";
	static const char to[] = "\"\\abfnrtv";
	size_t i = 0;

	obuf_putc(b, '"');
	while (i < n) {
		unsigned char c = (unsigned char)p[i];
		const char *at = c != 0 ? strchr(from, c) : NULL;
		uint32_t rune;
		size_t size;

		if (at != NULL && c < 0x80) {
			obuf_putc(b, '\\');
			obuf_putc(b, to[at - from]);
			i++;
			continue;
		}
		size = outf8_decode(p + i, n - i, &rune);
		if (c < 0x20 || c == 0x7f || (rune == OUTF8_INVALID && size == 1)) {
			char esc[4] = { '\\', 'x', hex[c >> 4], hex[c & 15] };

			obuf_append(b, esc, sizeof(esc));
		} else {
			obuf_append(b, p + i, size);
		}
		i += size;
	}
	obuf_putc(b, '"');
}

char *obuf_steal(struct obuf *b, size_t *ret_len)
{
	char *data;
	size_t len;

	if (!grow(b, 0)) {
		obuf_done(b);
		return NULL;
	}
	data = b->data;
	len = b->len;
	data[len] = '\0';
	b->data = NULL;
	obuf_done(b);
	if (ret_len != NULL)
		*ret_len = len;
	return data;
}

const char *obuf_cstr(const struct obuf *b)
{
	return b->data != NULL ? b->data : "";
}
