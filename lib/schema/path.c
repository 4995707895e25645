/*
 * path.c - places in objects as text, and small questions about values.
 */
#include "schema/internal.h"

void opath_put(const struct opath *p, struct obuf *out)
{
	const struct opath *at[128];
	size_t n = 0;

	for (; p != NULL && n < sizeof(at) / sizeof(at[0]); p = p->up)
		at[n++] = p;
	for (size_t i = n; i-- > 0;) {
		if (at[i]->name == NULL) {
			obuf_printf(out, "[%zu]", at[i]->index);
		} else if (at[i]->key) {
			obuf_putc(out, '[');
			obuf_append(out, at[i]->name, at[i]->len);
			obuf_putc(out, ']');
		} else {
			if (i + 1 != n)
				obuf_putc(out, '.');
			obuf_append(out, at[i]->name, at[i]->len);
		}
	}
}

bool ozero(const struct ojson *v)
{
	switch (ojson_type(v)) {
	case OJSON_NULL:
		return true;
	case OJSON_BOOL:
		return !ojson_bool(v, false);
	case OJSON_INT:
		return ojson_i64(v, 0) == 0;
	case OJSON_DOUBLE:
		return ojson_double(v, 0) == 0;
	case OJSON_STRING:
		return otext(v).len == 0;
	default:
		return ojson_count(v) == 0;
	}
}
