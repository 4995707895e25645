/* Skipping, finding and converting inside checked JSON text; see oscan.h. */
#include "json/oscan.h"

#include "base/ostr.h"
#include "base/outf8.h"

#include <errno.h>
#include <string.h>

#define NPOS SIZE_MAX

enum oscan_type oscan_type(struct orlop_bytes v)
{
	if (v.len == 0)
		return OSCAN_NONE;
	switch (v.p[0]) {
	case '{':
		return OSCAN_OBJECT;
	case '[':
		return OSCAN_ARRAY;
	case '"':
		return OSCAN_STRING;
	case 't':
	case 'f':
		return OSCAN_BOOL;
	case 'n':
		return OSCAN_NULL;
	default:
		return v.p[0] == '-' || (v.p[0] >= '0' && v.p[0] <= '9') ? OSCAN_NUMBER : OSCAN_NONE;
	}
}

/* Position behind the string whose opening quote is at @pos. */
static size_t skip_string(const char *p, size_t len, size_t pos)
{
	for (pos++; pos < len;) {
		const char *q = memchr(p + pos, '"', len - pos);
		size_t at;
		size_t back;

		if (q == NULL)
			return NPOS;
		at = (size_t)(q - p);
		for (back = at; back > pos && p[back - 1] == '\\'; back--)
			;
		/* an even number of backslashes before it: it is the closing one */
		if ((at - back) % 2 == 0)
			return at + 1;
		pos = at + 1;
	}
	return NPOS;
}

static bool scalar_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '+' || c == '-' || c == '.' ||
	       c == 'E';
}

size_t oscan_skip(const char *p, size_t len, size_t pos)
{
	size_t depth = 0;

	if (pos >= len)
		return NPOS;
	if (p[pos] == '"')
		return skip_string(p, len, pos);
	if (p[pos] != '{' && p[pos] != '[') {
		size_t i = pos;

		while (i < len && scalar_byte(p[i]))
			i++;
		return i > pos ? i : NPOS;
	}
	while (pos < len) {
		switch (p[pos]) {
		case '"':
			pos = skip_string(p, len, pos);
			if (pos == NPOS)
				return NPOS;
			continue;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (--depth == 0)
				return pos + 1;
			break;
		default:
			break;
		}
		pos++;
	}
	return NPOS;
}

void oscan_begin(struct oscan_iter *it, struct orlop_bytes v)
{
	*it = (struct oscan_iter){ .whole = v, .pos = 1, .first = true };
	it->object = oscan_type(v) == OSCAN_OBJECT;
	if (!it->object && oscan_type(v) != OSCAN_ARRAY)
		it->pos = NPOS;
}

void oscan_begin_members(struct oscan_iter *it, struct orlop_bytes members)
{
	*it = (struct oscan_iter){ .whole = members, .object = true, .bare = true, .first = true };
}

int oscan_next(struct oscan_iter *it)
{
	const char *p = it->whole.p;
	size_t len = it->whole.len;
	size_t i = it->pos;
	size_t end;

	if (i == NPOS)
		return 0;
	it->pos = NPOS;
	i = oscan_space(p, len, i);
	if (i >= len)
		return it->bare ? 0 : -EINVAL;
	if (p[i] == '}' || p[i] == ']')
		return 0;
	if (!it->first) {
		if (p[i] != ',')
			return -EINVAL;
		i = oscan_space(p, len, i + 1);
	}
	it->first = false;
	if (it->object) {
		if (i >= len || p[i] != '"')
			return -EINVAL;
		end = skip_string(p, len, i);
		if (end == NPOS)
			return -EINVAL;
		it->key = oscan_bytes(p + i, end - i);
		i = oscan_space(p, len, end);
		if (i >= len || p[i] != ':')
			return -EINVAL;
		i = oscan_space(p, len, i + 1);
	}
	end = oscan_skip(p, len, i);
	if (end == NPOS)
		return -EINVAL;
	it->value = oscan_bytes(p + i, end - i);
	it->pos = end;
	return 1;
}

bool oscan_get_n(struct orlop_bytes v, const char *key, size_t key_len, struct orlop_bytes *ret)
{
	struct oscan_iter it;

	oscan_begin(&it, v);
	if (!it.object)
		return false;
	while (oscan_next(&it) > 0) {
		if (!oscan_string_is(it.key, key, key_len))
			continue;
		*ret = it.value;
		return true;
	}
	return false;
}

bool oscan_get(struct orlop_bytes v, const char *key, struct orlop_bytes *ret)
{
	return oscan_get_n(v, key, strlen(key), ret);
}

bool oscan_index(struct orlop_bytes v, size_t i, struct orlop_bytes *ret)
{
	struct oscan_iter it;

	if (oscan_type(v) != OSCAN_ARRAY)
		return false;
	oscan_begin(&it, v);
	while (oscan_next(&it) > 0) {
		if (i-- > 0)
			continue;
		*ret = it.value;
		return true;
	}
	return false;
}

static bool step(struct orlop_bytes v, const char *key, size_t len, struct orlop_bytes *ret)
{
	uint64_t i;

	if (oscan_type(v) != OSCAN_ARRAY)
		return oscan_get_n(v, key, len, ret);
	return ostr_to_u64(key, len, &i) == 0 && i < SIZE_MAX && oscan_index(v, (size_t)i, ret);
}

bool oscan_find(struct orlop_bytes v, const char *const *path, struct orlop_bytes *ret)
{
	for (; *path != NULL; path++)
		if (!step(v, *path, strlen(*path), &v))
			return false;
	*ret = v;
	return true;
}

bool oscan_find_members(struct orlop_bytes members, const char *const *path,
			struct orlop_bytes *ret)
{
	struct oscan_iter it;

	if (*path == NULL)
		return false;
	for (oscan_begin_members(&it, members); oscan_next(&it) > 0;)
		if (oscan_string_is_cstr(it.key, *path))
			return oscan_find(it.value, path + 1, ret);
	return false;
}

bool oscan_find_dotted(struct orlop_bytes v, const char *path, size_t path_len,
		       struct orlop_bytes *ret)
{
	const char *end = path + path_len;

	while (path < end) {
		const char *dot = memchr(path, '.', (size_t)(end - path));
		const char *stop = dot != NULL ? dot : end;

		if (!step(v, path, (size_t)(stop - path), &v))
			return false;
		path = dot != NULL ? dot + 1 : end;
	}
	*ret = v;
	return true;
}

size_t oscan_count(struct orlop_bytes v)
{
	struct oscan_iter it;
	size_t n = 0;

	for (oscan_begin(&it, v); oscan_next(&it) > 0;)
		n++;
	return n;
}

bool oscan_plain(struct orlop_bytes v, struct orlop_bytes *ret)
{
	if (v.len < 2 || v.p[0] != '"' || memchr(v.p, '\\', v.len) != NULL)
		return false;
	/* broken UTF-8 would have to be replaced */
	for (size_t i = 1; i < v.len - 1; i++) {
		if ((unsigned char)v.p[i] < 0x80)
			continue;
		if (!outf8_valid(v.p + i, v.len - 1 - i))
			return false;
		break;
	}
	*ret = oscan_bytes(v.p + 1, v.len - 2);
	return true;
}

static int hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];

		if (c >= '0' && c <= '9')
			v = v * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v * 16 + (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			v = v * 16 + (c - 'A' + 10);
		else
			return -1;
	}
	return v;
}

/*
 * Next code point or run of plain bytes of string content at *@s: 1 … bytes into @out (plain runs
 * point into the text), 0 at the end, -1 if broken.
 */
static int next_piece(const char **s, const char *end, char scratch[4], const char **ret_p,
		      size_t *ret_n)
{
	const char *p = *s;
	uint32_t rune;
	int hi;
	int lo;

	if (p == end)
		return 0;
	if (*p != '\\') {
		while (p < end && *p != '\\' && (unsigned char)*p < 0x80)
			p++;
		*ret_p = *s;
		if (p == *s) {
			size_t k = outf8_decode(p, (size_t)(end - p), &rune);

			if (k == 1)
				*ret_p = "\xef\xbf\xbd";
			*ret_n = k == 1 ? 3 : k;
			*s = p + k;
			return 1;
		}
		*ret_n = (size_t)(p - *s);
		*s = p;
		return 1;
	}
	if (end - p < 2)
		return -1;
	*ret_p = scratch;
	*ret_n = 1;
	p += 2;
	*s = p;
	switch (p[-1]) {
	case 'b':
		scratch[0] = '\b';
		return 1;
	case 'f':
		scratch[0] = '\f';
		return 1;
	case 'n':
		scratch[0] = '\n';
		return 1;
	case 'r':
		scratch[0] = '\r';
		return 1;
	case 't':
		scratch[0] = '\t';
		return 1;
	case '"':
	case '\\':
	case '/':
		scratch[0] = p[-1];
		return 1;
	case 'u':
		break;
	default:
		return -1;
	}
	hi = hex4(p, end);
	if (hi < 0)
		return -1;
	p += 4;
	rune = (uint32_t)hi;
	if (hi >= 0xd800 && hi < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		lo = hex4(p + 2, end);
		if (lo >= 0xdc00 && lo < 0xe000) {
			rune = 0x10000u + ((uint32_t)(hi - 0xd800) << 10) + (uint32_t)(lo - 0xdc00);
			p += 6;
		}
	}
	*ret_n = outf8_encode(rune, scratch);
	*s = p;
	return 1;
}

int oscan_unquote(struct orlop_bytes v, struct obuf *b)
{
	const char *end;
	const char *s;
	char scratch[4];
	const char *p;
	size_t n;
	int r;

	if (v.len < 2 || v.p[0] != '"')
		return -EINVAL;
	s = v.p + 1;
	end = v.p + v.len - 1;
	while ((r = next_piece(&s, end, scratch, &p, &n)) > 0)
		obuf_append(b, p, n);
	return r < 0 ? -EINVAL : obuf_err(b);
}

bool oscan_string_is(struct orlop_bytes v, const char *want, size_t len)
{
	const char *end;
	const char *s;
	char scratch[4];
	const char *p;
	size_t n;
	int r;

	if (v.len < 2 || v.p[0] != '"')
		return false;
	s = v.p + 1;
	end = v.p + v.len - 1;
	/* nearly always there are no escapes and broken UTF-8 is not asked for */
	if (memchr(s, '\\', v.len - 2) == NULL && ostr_eq(s, v.len - 2, want, len))
		return outf8_valid(s, v.len - 2);
	while ((r = next_piece(&s, end, scratch, &p, &n)) > 0) {
		if (n > len || memcmp(p, want, n) != 0)
			return false;
		want += n;
		len -= n;
	}
	return r == 0 && len == 0;
}

bool oscan_string_is_cstr(struct orlop_bytes v, const char *cstr)
{
	return oscan_string_is(v, cstr, strlen(cstr));
}

int64_t oscan_i64(struct orlop_bytes v, int64_t def)
{
	int64_t i;

	return ostr_to_i64(v.p, v.len, &i) == 0 ? i : def;
}

bool oscan_bool(struct orlop_bytes v, bool def)
{
	return oscan_type(v) == OSCAN_BOOL ? v.p[0] == 't' : def;
}

void oscan_compact(struct orlop_bytes v, struct obuf *b)
{
	for (size_t i = 0; i < v.len;) {
		size_t end = i;

		if (v.p[i] == '"')
			end = skip_string(v.p, v.len, i);
		else
			while (end < v.len && v.p[end] != '"' && oscan_space(v.p, v.len, end) == end)
				end++;
		if (end == NPOS)
			end = v.len;
		obuf_append(b, v.p + i, end - i);
		i = oscan_space(v.p, v.len, end);
	}
}

static void line(struct obuf *b, size_t depth)
{
	obuf_putc(b, '\n');
	while (depth-- > 0)
		obuf_append(b, "  ", 2);
}

void oscan_indent(struct orlop_bytes v, struct obuf *b)
{
	size_t depth = 0;

	for (size_t i = oscan_space(v.p, v.len, 0); i < v.len;) {
		char c = v.p[i];
		size_t next = i + 1;

		if (c == '{' || c == '[') {
			size_t inner = oscan_space(v.p, v.len, next);

			obuf_putc(b, c);
			if (inner < v.len && (v.p[inner] == '}' || v.p[inner] == ']')) {
				obuf_putc(b, v.p[inner]);
				next = inner + 1;
			} else {
				line(b, ++depth);
			}
		} else if (c == '}' || c == ']') {
			line(b, depth > 0 ? --depth : 0);
			obuf_putc(b, c);
		} else if (c == ',') {
			obuf_putc(b, c);
			line(b, depth);
		} else if (c == ':') {
			obuf_append(b, ": ", 2);
		} else {
			next = oscan_skip(v.p, v.len, i);
			if (next == NPOS || next == i)
				return;
			obuf_append(b, v.p + i, next - i);
		}
		i = oscan_space(v.p, v.len, next);
	}
}
