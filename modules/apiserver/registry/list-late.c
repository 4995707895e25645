/*
 * list-late.c - LIST by fields that only a webhook's conversion tells: objects are converted by the hundred, then selected.
 */
#include "convert.h"
#include "list.h"

#include <errno.h>

struct reg_late {
	struct orlop_bytes ns;
	struct orlop_bytes name;
};

void reg_late_done(struct reg_list *l)
{
	if (l->it)
		l->op->sh->h->iter_close(l->it);
	omem_free(l->late);
	l->it = NULL;
	l->late = NULL;
}

int reg_late_add(struct reg_list *l, struct orlop_bytes ns, struct orlop_bytes name, struct orlop_bytes json,
		 struct orlop_bytes version)
{
	int r;

	if (!l->convert)
		l->convert = convert_new(l->op->k);
	if (l->n_convert == l->cap_late) {
		size_t cap = l->cap_late ? l->cap_late * 2 : 32;
		struct reg_late *v = omem_realloc_array(l->late, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->late = v;
		l->cap_late = cap;
	}
	r = l->convert ? convert_add(l->convert, json, version) : -ENOMEM;
	if (r == 0)
		l->late[l->n_convert++] = (struct reg_late){ ns, name };
	return r;
}

/* The @i-th, if it is selected. */
static int take(struct reg_list *l, size_t i)
{
	struct obuf b = OBUF_INIT;
	int r = convert_put(l->convert, i, &b);

	if (r == 0 && reg_select_served(&l->sel, (struct orlop_bytes){ b.data, b.len })) {
		if (l->limit && l->n == l->limit) {
			l->more = true;
		} else {
			r = reg_list_put_item(l, (struct orlop_bytes){ b.data, b.len });
			l->n++;
			l->last_ns = l->late[i].ns;
			l->last_name = l->late[i].name;
		}
	}
	obuf_done(&b);
	return r;
}

static void on_converted(void *arg, const char *why)
{
	struct reg_list *l = arg;
	int r = why ? convert_failed(l->op, why) : 0;

	for (size_t i = 0; r == 0 && !l->more && i < l->n_convert; i++)
		r = take(l, i);
	convert_free(l->convert);
	l->convert = NULL;
	l->n_convert = 0;
	l->late_done(l, r);
}

void reg_late_go(struct reg_list *l, void (*done)(struct reg_list *l, int r))
{
	l->late_done = done;
	convert_start(l->convert, on_converted, l);
}

/* ---- from the cache ---- */

static void cached_go(struct reg_list *l);

static void on_cached(struct reg_list *l, int r)
{
	l->late_err = r;
	if (l->late_busy)
		l->late_busy = false;	/* cached_go() goes on */
	else
		cached_go(l);
}

static int gather(struct reg_list *l)
{
	const struct orlop_host *h = l->op->sh->h;
	struct orlop_object *o;
	int r = 0;

	while (r == 0 && !l->more && l->n_convert < CONVERT_AT_ONCE && (o = l->one ? l->one : l->it ? h->iter_next(l->it) : NULL)) {
		l->one = NULL;
		r = reg_select_match(&l->sel, o);
		if (r > 0)
			r = reg_late_add(l, o->ns, o->name, o->json, convert_version(o));
	}
	return r;
}

static void cached_go(struct reg_list *l)
{
	int r;

	do {
		r = l->late_err;
		if (r == 0)
			r = gather(l);
		if (r || !l->n_convert)
			break;
		l->late_busy = true;
		reg_late_go(l, on_cached);
		if (l->late_busy) {
			l->late_busy = false;
			return;
		}
	} while (true);
	if (r == 0 && l->more)
		r = reg_list_token_set(l);
	if (r)
		reg_list_fail(l, r);
	else
		reg_list_finish_made(l);
}

void reg_late_cached(struct reg_list *l, struct orlop_object *one, struct orlop_iter *take_it)
{
	l->one = one;
	l->it = take_it;
	cached_go(l);
}
