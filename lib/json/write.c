/* From tree to text, in the form of Go's encoding/json. */
#include "json/ojson.h"

#include "base/ocleanup.h"
#include "json/tree.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void line(unsigned int flags, size_t depth, struct obuf *b)
{
	if ((flags & OJSON_PRETTY) == 0)
		return;
	obuf_putc(b, '\n');
	while (depth-- > 0)
		obuf_append(b, "  ", 2);
}

/*
 * As Go's encoder: shortest digits that read back as the same double, exponent form below 1e-6 and
 * from 1e21 on, e-09 written e-9.
 */
static void write_double(double d, struct obuf *b)
{
	char digits[40];
	double abs = fabs(d);
	char *e;
	int prec = 1;
	int exp;

	if (d == 0) {
		obuf_puts(b, signbit(d) ? "-0" : "0");
		return;
	}
	do {
		(void)snprintf(digits, sizeof(digits), "%.*e", prec - 1, d);
	} while (strtod(digits, NULL) != d && ++prec <= 17);
	if (abs >= 1e-6 && abs < 1e21) {
		exp = atoi(strchr(digits, 'e') + 1);
		obuf_printf(b, "%.*f", prec - 1 - exp > 0 ? prec - 1 - exp : 0, d);
		return;
	}
	e = strchr(digits, 'e');
	if (e[2] == '0' && e[1] == '-')
		memmove(e + 2, e + 3, strlen(e + 3) + 1);
	obuf_puts(b, digits);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_value(const struct ojson *j, unsigned int flags, size_t depth, struct obuf *b);

static void write_member(const char *key, const struct ojson *v, bool first, unsigned int flags,
			 size_t depth, struct obuf *b)
{
	if (!first)
		obuf_putc(b, ',');
	line(flags, depth, b);
	obuf_put_json_cstr(b, key);
	obuf_puts(b, (flags & OJSON_PRETTY) != 0 ? ": " : ":");
	write_value(v, flags, depth, b);
}

const char **ojson_keys_sorted(const struct ojson *obj)
{
	size_t n = ojson_count(obj);
	const char **keys = omem_alloc_array(n ? n : 1, sizeof(*keys));
	size_t i = 0;

	if (keys == NULL)
		return NULL;
	OJSON_FOREACH(it, obj)
		keys[i++] = it.key;
	qsort(keys, i, sizeof(*keys), by_key);
	return keys;
}

static void write_sorted(const struct ojson *j, unsigned int flags, size_t depth, struct obuf *b)
{
	cleanup_free const char **keys = ojson_keys_sorted(j);
	size_t n = ojson_count(j);

	if (keys == NULL) {
		b->err = b->err != 0 ? b->err : -ENOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++)
		write_member(keys[i], ojson_get(j, keys[i]), i == 0, flags, depth, b);
}

static void write_object(const struct ojson *j, unsigned int flags, size_t depth, struct obuf *b)
{
	bool first = true;

	if (ojson_count(j) == 0) {
		obuf_puts(b, "{}");
		return;
	}
	obuf_putc(b, '{');
	if ((flags & OJSON_SORTED) != 0) {
		write_sorted(j, flags, depth + 1, b);
	} else {
		OJSON_FOREACH(it, j) {
			write_member(it.key, it.value, first, flags, depth + 1, b);
			first = false;
		}
	}
	line(flags, depth, b);
	obuf_putc(b, '}');
}

static void write_array(const struct ojson *j, unsigned int flags, size_t depth, struct obuf *b)
{
	size_t n = ojson_count(j);

	if (n == 0) {
		obuf_puts(b, "[]");
		return;
	}
	obuf_putc(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			obuf_putc(b, ',');
		line(flags, depth + 1, b);
		write_value(ojson_index(j, i), flags, depth + 1, b);
	}
	line(flags, depth, b);
	obuf_putc(b, ']');
}

static void write_value(const struct ojson *j, unsigned int flags, size_t depth, struct obuf *b)
{
	struct orlop_bytes s;

	if (obuf_err(b) < 0)
		return;
	switch (ojson_type(j)) {
	case OJSON_NULL:
		obuf_puts(b, "null");
		break;
	case OJSON_BOOL:
		obuf_puts(b, ojson_bool(j, false) ? "true" : "false");
		break;
	case OJSON_INT:
		obuf_put_i64(b, ojson_i64(j, 0));
		break;
	case OJSON_DOUBLE:
		if (ojson_double_text(j) != NULL)
			obuf_puts(b, ojson_double_text(j));
		else
			write_double(ojson_double(j, 0), b);
		break;
	case OJSON_STRING:
		s = ojson_bytes(j);
		obuf_put_json_string(b, s.p, s.len);
		break;
	case OJSON_ARRAY:
		write_array(j, flags, depth, b);
		break;
	case OJSON_OBJECT:
		write_object(j, flags, depth, b);
		break;
	}
}

int ojson_write(const struct ojson *j, unsigned int flags, struct obuf *b)
{
	write_value(j, flags, 0, b);
	return obuf_err(b);
}

char *ojson_text(const struct ojson *j, unsigned int flags, size_t *ret_len)
{
	struct obuf b = OBUF_INIT;

	(void)ojson_write(j, flags, &b);
	return obuf_steal(&b, ret_len);
}
