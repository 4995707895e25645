/* list.c - arithmetic over lists of resources. */
#include "oquota.h"

#include "quantity/oquantity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool value(const struct ojson *list, const char *key, struct oquantity *ret)
{
	struct orlop_bytes v = ojson_get_bytes(list, key);

	return v.len && oquantity_parse(v.p, v.len, ret, NULL) == 0;
}

static int put(struct ojson *list, const char *key, const struct oquantity *q)
{
	char out[OQUANTITY_BUF];
	size_t n = oquantity_write(q, out);

	return ojson_set_string(list, key, out, n);
}

static int combine(struct ojson *sum, const struct ojson *list, bool minus)
{
	int r = 0;

	OJSON_FOREACH(it, list) {
		struct oquantity a, b;

		if (r || !value(list, it.key, &b))
			continue;
		if (!value(sum, it.key, &a)) {
			a = b;
			if (minus)
				oquantity_neg(&a);
		} else {
			r = minus ? oquantity_sub(&a, &b) : oquantity_add(&a, &b);
		}
		if (r == 0)
			r = put(sum, it.key, &a);
	}
	return r;
}

int oquota_add(struct ojson *sum, const struct ojson *list)
{
	return combine(sum, list, false);
}

int oquota_sub(struct ojson *sum, const struct ojson *list)
{
	return combine(sum, list, true);
}

bool oquota_equal(const struct ojson *a, const struct ojson *b)
{
	struct oquantity x, y;

	if (ojson_count(a) != ojson_count(b))
		return false;
	OJSON_FOREACH(it, a)
		if (!value(a, it.key, &x) || !value(b, it.key, &y) || oquantity_cmp(&x, &y))
			return false;
	return true;
}

struct ojson *oquota_mask(const struct ojson *list, const struct ojson *mask)
{
	struct ojson *out = ojson_new_object();

	OJSON_FOREACH(it, list)
		if (out && ojson_has(mask, it.key) && ojson_set(out, it.key, ojson_ref(it.value))) {
			ojson_unref(out);
			out = NULL;
		}
	return out;
}

void oquota_drop_zeros(struct ojson *list)
{
	struct oquantity q;

	OJSON_FOREACH(it, list)
		if (value(list, it.key, &q) && oquantity_is_zero(&q))
			ojson_del(list, it.key);
}

struct ojson *oquota_beyond(const struct ojson *list, const struct ojson *hard)
{
	struct ojson *out = ojson_new_object();
	struct oquantity a, b;

	OJSON_FOREACH(it, list)
		if (out && value(list, it.key, &a) && value(hard, it.key, &b) && oquantity_cmp(&a, &b) > 0 &&
		    ojson_set(out, it.key, ojson_ref(it.value))) {
			ojson_unref(out);
			out = NULL;
		}
	return out;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print(const struct ojson *list, const struct ojson *only, bool values, struct obuf *b)
{
	const char *names[256];
	size_t n = 0;

	OJSON_FOREACH(it, list)
		if (n < 256 && (!only || ojson_has(only, it.key)))
			names[n++] = it.key;
	qsort(names, n, sizeof(names[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		obuf_printf(b, "%s%s", i ? "," : "", names[i]);
		if (values)
			obuf_printf(b, "=%s", ojson_get_cstr(list, names[i], ""));
	}
}

void oquota_print(const struct ojson *list, const struct ojson *only, struct obuf *b)
{
	print(list, only, true, b);
}

void oquota_print_names(const struct ojson *list, struct obuf *b)
{
	print(list, NULL, false, b);
}
