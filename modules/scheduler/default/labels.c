/* labels.c - label maps and the expressions of selectors over them. */
#include "sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"

static int label_cmp(const void *a, const void *b)
{
	const struct sd_label *x = a, *y = b;

	return ostr_cmp(x->key.p, x->key.len, y->key.p, y->key.len);
}

/* A string's content to *@at, at most its length in the text; not a string: nothing. */
static int keep(struct orlop_bytes v, char **at, struct orlop_bytes *ret)
{
	struct orlop_bytes t = { "", 0 };
	struct obuf b = OBUF_INIT;

	if (oscan_type(v) == OSCAN_STRING && !oscan_plain(v, &t)) {
		if (oscan_unquote(v, &b) == -ENOMEM)
			return -ENOMEM;
		t = (struct orlop_bytes){ obuf_cstr(&b), b.len < 3 * v.len ? b.len : 3 * v.len };
	}
	if (t.len)
		memcpy(*at, t.p, t.len);
	*ret = (struct orlop_bytes){ *at, t.len };
	*at += t.len;
	obuf_done(&b);
	return 0;
}

int sd_labels_new(struct orlop_bytes map, struct sd_labels **ret)
{
	size_t n = oscan_type(map) == OSCAN_OBJECT ? oscan_count(map) : 0;
	struct oscan_iter it;
	struct sd_labels *l;
	char *at;

	*ret = NULL;
	if (!n)
		return 0;
	/* a broken byte becomes three (U+FFFD) */
	l = omem_alloc(sizeof(*l) + n * sizeof(l->v[0]) + 3 * map.len);
	if (!l)
		return -ENOMEM;
	l->n = 0;
	at = (char *)&l->v[n];
	for (oscan_begin(&it, map); l->n < n && oscan_next(&it) > 0; l->n++)
		if (keep(it.key, &at, &l->v[l->n].key) || keep(it.value, &at, &l->v[l->n].value)) {
			omem_free(l);
			return -ENOMEM;
		}
	qsort(l->v, l->n, sizeof(l->v[0]), label_cmp);
	*ret = l;
	return 0;
}

const struct sd_label *sd_label_find(const struct sd_label *v, uint32_t n, struct orlop_bytes key)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int d = ostr_cmp(v[mid].key.p, v[mid].key.len, key.p, key.len);

		if (d == 0)
			return &v[mid];
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool sd_expr_matches(const struct sd_expr *e, const struct orlop_bytes *value)
{
	int64_t v;

	switch (e->op) {
	case SD_IN:
	case SD_NOT_IN:
		for (uint32_t i = 0; value && i < e->n; i++)
			if (ostr_eq(e->values[i].p, e->values[i].len, value->p, value->len))
				return e->op == SD_IN;
		return e->op == SD_NOT_IN;
	case SD_EXISTS:
		return value != NULL;
	case SD_NOT_EXISTS:
		return value == NULL;
	case SD_GT:
	case SD_LT:
		if (!value || ostr_to_i64(value->p, value->len, &v))
			return false;
		return e->op == SD_GT ? v > e->number : v < e->number;
	case SD_OP_BAD:
		break;
	}
	return false;
}
