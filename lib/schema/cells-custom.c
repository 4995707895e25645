/* cells-custom.c - cells of custom objects: the value that a JSON path finds, by the column's type. */
#include "schema/cells.h"

#include "base/ocleanup.h"

#include <stdlib.h>

/* A step of a path at @p: what comes behind it, or NULL if it is none. @key: [p, len) unescaped into buf. */
static const char *name_step(const char *p, char *buf, size_t size, size_t *ret_len)
{
	size_t n = 0;

	while (*p != '\0' && *p != '.' && *p != '[') {
		if (*p == '\\' && p[1] != '\0')
			p++;
		if (n + 1 >= size)
			return NULL;
		buf[n++] = *p++;
	}
	buf[n] = '\0';
	*ret_len = n;
	return p;
}

/* "?(@.type=='Ready')": the first element whose member is that text. */
static struct ojson *filtered(const struct ojson *list, const char *p, const char *end)
{
	const char *eq = memmem(p, (size_t)(end - p), "==", 2);
	const char *v, *stop;
	char path[128];
	size_t n;

	if (eq == NULL || strncmp(p, "?(@.", 4) != 0)
		return NULL;
	n = (size_t)(eq - p - 4);
	while (n > 0 && p[4 + n - 1] == ' ')
		n--;
	if (n >= sizeof(path))
		return NULL;
	memcpy(path, p + 4, n);
	path[n] = '\0';
	for (v = eq + 2; v < end && *v == ' ';)
		v++;
	stop = end - 1;		/* the closing parenthesis */
	while (stop > v && (stop[-1] == ' '))
		stop--;
	if (stop - v >= 2 && (*v == '"' || *v == '\'')) {
		v++;
		stop--;
	}
	OJSON_FOREACH_ELEM(i, e, list) {
		struct orlop_bytes t = otext(ojson_at_dotted(e, path));

		if (t.len == (size_t)(stop - v) && memcmp(t.p, v, t.len) == 0)
			return e;
	}
	return NULL;
}

static const char *bracket_end(const char *p)
{
	char quote = '\0';

	for (; *p != '\0'; p++) {
		if (quote != '\0')
			quote = *p == quote ? '\0' : quote;
		else if (*p == '"' || *p == '\'')
			quote = *p;
		else if (*p == ']')
			return p;
	}
	return NULL;
}

static struct ojson *find(struct ojson *v, const char *p)
{
	char key[256];
	size_t n;

	while (v != NULL && *p != '\0') {
		if (*p == '[') {
			const char *end = bracket_end(p + 1);

			if (end == NULL)
				return NULL;
			p++;
			if (*p == '?')
				v = filtered(v, p, end);
			else if (*p == '\'' || *p == '"')
				v = ojson_get_n(v, p + 1, (size_t)(end - p - 2));
			else
				v = ojson_index(v, *p == '*' ? 0 : (size_t)strtoul(p, NULL, 10));
			p = end + 1;
			continue;
		}
		p += *p == '.';
		p = name_step(p, key, sizeof(key), &n);
		if (p == NULL)
			return NULL;
		if (n > 0)
			v = ojson_get_n(v, key, n);
	}
	return v;
}

OCELL(custom)
{
	struct ojson *v = find(x->obj, x->path);
	struct obuf b = OBUF_INIT;

	if (v == NULL) {
		obuf_puts(x->out, "null");
		return;
	}
	switch (x->type) {
	case 0:		/* text, whatever it is */
		if (ojson_is(v, OJSON_STRING)) {
			ocell_value(x, v);
		} else {
			(void)ojson_write(v, 0, &b);
			ocell_text(x, &b);
		}
		return;
	case 1:
		if (ojson_is(v, OJSON_INT))
			ocell_value(x, v);
		else if (ojson_is(v, OJSON_DOUBLE))
			obuf_put_i64(x->out, (int64_t)ojson_double(v, 0));
		else
			obuf_puts(x->out, "null");
		return;
	case 4:
		if (ojson_is(v, OJSON_STRING)) {
			ocell_since(x, otext(v), &b);
			ocell_text(x, &b);
		} else {
			obuf_puts(x->out, "null");
		}
		return;
	default:
		if (x->type == 2 ? ojson_is(v, OJSON_INT) || ojson_is(v, OJSON_DOUBLE) : ojson_is(v, OJSON_BOOL))
			ocell_value(x, v);
		else
			obuf_puts(x->out, "null");
	}
}
