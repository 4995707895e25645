/*
 * From trees to YAML, in the form of sigs.k8s.io/yaml: block style, sorted keys, sequences at the
 * indentation of their key, long texts as literal blocks.
 */
#include "yaml/oyaml.h"

#include "base/ocleanup.h"
#include "base/ostr.h"
#include "base/outf8.h"
#include "yaml/resolve.h"

#include <errno.h>
#include <string.h>

static void indent(struct obuf *b, size_t depth)
{
	while (depth-- > 0)
		obuf_append(b, "  ", 2);
}

/* Words that YAML 1.1 readers other than ours take for booleans. */
static bool old_bool(const char *p, size_t len)
{
	return len == 1 && memchr("yYnN", p[0], 4) != NULL;
}

/* Digits, '-', ':' and such only: may be a date or a base 60 number to somebody. */
static bool looks_like_date(const char *p, size_t len)
{
	bool digit = false;

	for (size_t i = 0; i < len; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			digit = true;
		else if (p[i] == '\0' || strchr("-:.+TtZz _", p[i]) == NULL)
			return false;
	}
	return digit;
}

/* What a YAML reader accepts as it is. */
static bool is_printable(uint32_t rune)
{
	if (rune < 0x80)
		return rune >= 0x20 && rune < 0x7f;
	return rune >= 0xa0 && rune != 0x2028 && rune != 0x2029 && rune != 0xfeff && rune != 0xfffe &&
	       rune != 0xffff;
}

/* May the text stand without quotes and mean itself? */
static bool is_plain(const char *p, size_t len)
{
	if (len == 0 || oyaml_resolve(p, len).kind != OYAML_STRING || old_bool(p, len) ||
	    looks_like_date(p, len) || strchr("-?:,[]{}#&*!|>'\"%@`=< ", p[0]) != NULL ||
	    p[len - 1] == ' ' || p[len - 1] == ':' || ostr_starts(p, len, "...") || ostr_starts(p, len, "---")) {
		/* a dash is fine when something other than a blank follows */
		if (!(len > 1 && (p[0] == '-' || p[0] == '?' || p[0] == ':') && p[1] != ' ' &&
		      p[len - 1] != ' ' && p[len - 1] != ':' && oyaml_resolve(p, len).kind == OYAML_STRING &&
		      !looks_like_date(p, len) && !ostr_starts(p, len, "---")))
			return false;
	}
	if (!outf8_valid(p, len))
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)p[i];
		uint32_t rune;

		if (c < 0x20 || c == 0x7f)
			return false;
		if (c == '#' && p[i - 1] == ' ')
			return false;
		if (c == ':' && i + 1 < len && p[i + 1] == ' ')
			return false;
		if (c < 0x80)
			continue;
		i += outf8_decode(p + i, len - i, &rune) - 1;
		if (!is_printable(rune))
			return false;
	}
	return true;
}

/* Can it be a literal block (|)? Several lines, printable, no blank that would be lost. */
static bool is_block(const char *p, size_t len)
{
	if (len == 0 || memchr(p, '\n', len) == NULL || p[0] == ' ' || p[0] == '\n' || p[0] == '\t' ||
	    !outf8_valid(p, len))
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)p[i];
		uint32_t rune;

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			return false;
		if (c == ' ' && (i + 1 == len || p[i + 1] == '\n'))
			return false;
		if (c < 0x80)
			continue;
		i += outf8_decode(p + i, len - i, &rune) - 1;
		if (!is_printable(rune))
			return false;
	}
	return true;
}

static void write_block(const char *p, size_t len, size_t depth, struct obuf *b)
{
	size_t newlines = 0;
	const char *end = p + len;

	while (newlines < len && p[len - 1 - newlines] == '\n')
		newlines++;
	obuf_puts(b, newlines == 0 ? "|-" : newlines == 1 ? "|" : "|+");
	while (p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((stop != NULL ? stop : end) - p);

		obuf_putc(b, '\n');
		if (n > 0) {
			indent(b, depth);
			obuf_append(b, p, n);
		}
		p += n + (stop != NULL);
	}
}

static void write_quoted(const char *p, size_t len, struct obuf *b)
{
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char to[] = "\"\\bfnrt";

	obuf_putc(b, '"');
	for (size_t i = 0; i < len;) {
		uint32_t rune;
		size_t n = outf8_decode(p + i, len - i, &rune);
		const char *at = rune != 0 && rune < 0x80 ? strchr(from, (int)rune) : NULL;

		if (at != NULL)
			obuf_printf(b, "\\%c", to[at - from]);
		else if (rune == OUTF8_INVALID && n == 1)
			obuf_puts(b, "\xef\xbf\xbd");
		else if (is_printable(rune))
			obuf_append(b, p + i, n);
		else
			obuf_printf(b, rune < 0x100 ? "\\x%02x" : "\\u%04x", rune);
		i += n;
	}
	obuf_putc(b, '"');
}

static void write_string(const char *p, size_t len, size_t depth, struct obuf *b)
{
	bool single = memchr(p, '\'', len) == NULL && outf8_valid(p, len);

	if (is_plain(p, len)) {
		obuf_append(b, p, len);
		return;
	}
	if (is_block(p, len)) {
		write_block(p, len, depth > 0 ? depth : 1, b);
		return;
	}
	/* "true" reads better than 'true', as upstream has it; 'a: b' the other way round */
	for (size_t i = 0; single && i < len; i++)
		single = (unsigned char)p[i] >= 0x20 && (unsigned char)p[i] < 0x7f;
	if (single && len > 0 && oyaml_resolve(p, len).kind == OYAML_STRING && !old_bool(p, len) &&
	    !looks_like_date(p, len)) {
		obuf_putc(b, '\'');
		obuf_append(b, p, len);
		obuf_putc(b, '\'');
		return;
	}
	write_quoted(p, len, b);
}

static void write_node(const struct ojson *j, size_t depth, bool in_seq, struct obuf *b);

/* The value of a key or a dash: on the same line or below it. */
static void write_value(const struct ojson *v, size_t depth, struct obuf *b)
{
	bool map = ojson_is(v, OJSON_OBJECT) && ojson_count(v) > 0;
	bool seq = ojson_is(v, OJSON_ARRAY) && ojson_count(v) > 0;

	if (map || seq) {
		obuf_putc(b, '\n');
		write_node(v, map ? depth + 1 : depth, false, b);
		return;
	}
	obuf_putc(b, ' ');
	write_node(v, depth + 1, false, b);
	obuf_putc(b, '\n');
}

static void write_map(const struct ojson *j, size_t depth, bool in_seq, struct obuf *b)
{
	cleanup_free const char **keys = ojson_keys_sorted(j);
	size_t n = ojson_count(j);

	if (keys == NULL) {
		b->err = b->err != 0 ? b->err : -ENOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(keys[i]);

		if (i > 0 || !in_seq)
			indent(b, depth);
		if (is_plain(keys[i], len))
			obuf_append(b, keys[i], len);
		else
			write_quoted(keys[i], len, b);
		obuf_putc(b, ':');
		write_value(ojson_get(j, keys[i]), depth, b);
	}
}

static void write_seq(const struct ojson *j, size_t depth, bool in_seq, struct obuf *b)
{
	OJSON_FOREACH_ELEM(i, e, j) {
		bool map = ojson_is(e, OJSON_OBJECT) && ojson_count(e) > 0;
		bool seq = ojson_is(e, OJSON_ARRAY) && ojson_count(e) > 0;

		if (i > 0 || !in_seq)
			indent(b, depth);
		obuf_puts(b, "- ");
		write_node(e, depth + 1, true, b);
		if (!map && !seq)
			obuf_putc(b, '\n');
	}
}

/* Collections end with a newline, scalars do not. @in_seq: the first line is already indented. */
static void write_node(const struct ojson *j, size_t depth, bool in_seq, struct obuf *b)
{
	struct orlop_bytes s = ojson_bytes(j);

	if (obuf_err(b) < 0)
		return;
	if (s.p != NULL)
		write_string(s.p, s.len, depth, b);
	else if (ojson_is(j, OJSON_OBJECT) && ojson_count(j) > 0)
		write_map(j, depth, in_seq, b);
	else if (ojson_is(j, OJSON_ARRAY) && ojson_count(j) > 0)
		write_seq(j, depth, in_seq, b);
	else
		(void)ojson_write(j, 0, b);
}

int oyaml_write(const struct ojson *j, struct obuf *b)
{
	write_node(j, 0, false, b);
	/* collections end their own lines */
	if (ojson_count(j) == 0)
		obuf_putc(b, '\n');
	return obuf_err(b);
}
