/* list-stored.c - LIST from the storage, at a revision that the cache has no more. */
#include "convert.h"
#include "list.h"
#include "record.h"
#include "store.h"

#include <orlop/inline/msg.h>

#include <errno.h>
#include <string.h>

static void range_more(struct reg_list *l);

/* "resource/ns/name" → ns, name */
static bool key_split(const struct reg_kind *k, struct orlop_bytes key, struct orlop_bytes *ns,
		      struct orlop_bytes *name)
{
	size_t n = strlen(k->stored->name) + 1;
	const char *slash = key.len > n ? memchr(key.p + n, '/', key.len - n) : NULL;

	if (!slash)
		return false;
	*ns = (struct orlop_bytes){ key.p + n, (size_t)(slash - key.p) - n };
	*name = (struct orlop_bytes){ slash + 1, key.len - n - ns->len - 1 };
	return true;
}

static void too_old(struct reg_list *l)
{
	struct reg_op *op = l->op;
	struct orlop_bytes ns, name;

	if (!l->consistent) {
		reg_list_fail(l, reg_expired(op, "The resourceVersion for the provided list is too old."));
		return;
	}
	reg_list_start(l, &ns, &name);
	op->list_continue = reg_list_token_make(op, -1, ns, name);
	reg_list_fail(l, reg_expired(op, "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list."));
}

/* Its items are made. */
static void on_page(struct reg_list *l, int r)
{
	if (r == 0 && l->page_more && !l->more) {
		range_more(l);
		return;
	}
	if (r == 0 && l->more)
		r = reg_list_token_set(l);
	if (r) {
		reg_list_fail(l, r);
		return;
	}
	l->op->pieces = NULL;
	reg_list_finish_made(l);
}

static int names_keep(struct reg_list *l, struct orlop_bytes *ns, struct orlop_bytes *name)
{
	ns->p = oarena_dup(&l->op->arena, ns->len ? ns->p : "", ns->len);
	name->p = oarena_dup(&l->op->arena, name->p, name->len);
	return ns->p && name->p ? 0 : -ENOMEM;
}

static void on_range(struct reg_op *op, int r, const struct orlop_msg *msg)
{
	struct reg_list *l = op->pieces;
	struct orlop_bytes items, ns, name, last = RB0;
	struct store_item it;
	bool more, late = reg_late_is(l);

	if (r == -ESTALE) {
		too_old(l);
		return;
	}
	if (r == -EOVERFLOW) {
		reg_list_fail(l, reg_too_large_rv(op, l->rev, op->sh->h->resource_rev(reg_open(op->sh, op->k), NULL)));
		return;
	}
	if (r) {
		reg_list_fail(l, r);
		return;
	}
	items = orlop_msg_bytes(op->sh->h, msg, ORLOP_STORAGE_T_ITEMS);
	more = orlop_msg_u64(msg, ORLOP_STORAGE_T_MORE, 0) != 0;
	while (r == 0 && store_next(&items, &it)) {
		struct reg_stored st;
		struct obuf json = OBUF_INIT;
		struct orlop_bytes version;

		last = it.key;
		if (!key_split(op->k, it.key, &ns, &name) ||
		    reg_record_parse(it.value, it.head.mod_rev, &st))
			continue;
		r = reg_select_stored(&l->sel, ns, name, &st);
		if (r <= 0)
			continue;
		if (!late && l->limit && l->n == l->limit) {
			l->more = true;
			r = 0;
			break;
		}
		version = convert_version_stored(&st);
		reg_stored_put(&st, &json);
		r = obuf_err(&json);
		if (r == 0)
			r = names_keep(l, &ns, &name);
		if (r == 0)
			r = late ? reg_late_add(l, ns, name, (struct orlop_bytes){ json.data, json.len }, version) :
				   reg_list_put_stored(l, (struct orlop_bytes){ json.data, json.len }, version);
		obuf_done(&json);
		if (late)
			continue;
		l->n++;
		l->last_ns = ns;
		l->last_name = name;
	}
	if (r) {
		reg_list_fail(l, r);
		return;
	}
	l->page_more = more && !l->more && last.len;
	if (l->page_more) {
		/* go on behind the last key: its successor is the key and a NUL */
		char *from = oarena_alloc(&op->arena, last.len + 1);

		if (!from) {
			reg_list_fail(l, -ENOMEM);
			return;
		}
		memcpy(from, last.p, last.len);
		from[last.len] = '\0';
		l->range_from = (struct orlop_bytes){ from, last.len + 1 };
	}
	if (late && l->n_convert)
		reg_late_go(l, on_page);
	else
		on_page(l, 0);
}

static void range_more(struct reg_list *l)
{
	uint64_t limit = l->limit && reg_select_all(&l->sel) ? l->limit - l->n + 1 : 0;

	store_range(l->op, l->range_from, l->range_end, l->rev, limit, on_range);
}

void reg_list_stored(struct reg_list *l)
{
	struct reg_op *op = l->op;
	const char *res = op->k->stored->name;
	struct orlop_bytes ns, name;
	char *from, *end;

	reg_list_start(l, &ns, &name);
	end = l->sel.ns.len ? oarena_printf(&op->arena, "%s/%.*s0", res, OB(l->sel.ns)) :
	      oarena_printf(&op->arena, "%s0", res);		/* '0' follows '/' */
	if (l->start.len) {
		from = oarena_printf(&op->arena, "%s/%.*s/%.*s", res, OB(ns), OB(name));
		l->range_from = from ? (struct orlop_bytes){ from, strlen(from) + 1 } : RB0;
	} else {
		from = l->sel.ns.len ? oarena_printf(&op->arena, "%s/%.*s/", res, OB(l->sel.ns)) :
		       oarena_printf(&op->arena, "%s/", res);
		l->range_from = from ? RB(from) : RB0;
	}
	if (!from || !end) {
		reg_list_fail(l, -ENOMEM);
		return;
	}
	l->range_end = RB(end);
	op->pieces = l;		/* found again in on_range; in the arena, not to be freed */
	range_more(l);
}
