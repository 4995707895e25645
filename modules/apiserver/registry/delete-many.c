/*
 * delete-many.c - deletecollection: what the selectors match now is deleted one by one, several at
 * a time; the answer is the list as it was.
 */
#include "op.h"
#include "select.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>

#define AT_ONCE 16u
#define FRESH_WAIT_NS	(UINT64_C(3) * 1000000000)

struct many {
	struct reg_op	*op;
	struct orlop_iter *it;
	struct reg_select sel;
	uint64_t	n;
	uint32_t	flying;
	bool		filling;
	bool		done;
	struct reg_answer *failed;	/* first failure that is not NotFound */
};

static void more(struct many *m);

static void finish(struct many *m)
{
	struct reg_op *op = m->op;

	op->sh->h->iter_close(m->it);
	reg_select_done(&m->sel);
	if (m->failed) {
		/* the failure's own Status, copied */
		op->ans.code = m->failed->code;
		memcpy(op->ans.reason, m->failed->reason, sizeof(op->ans.reason));
		for (uint32_t i = 0; i < m->failed->n_pieces; i++)
			obuf_append(&op->out, m->failed->pieces[i].p, m->failed->pieces[i].len);
		if (op->out.len && op->out.data[op->out.len - 1] == '\n')
			obuf_truncate(&op->out, op->out.len - 1);
		reg_answer_free(m->failed);
		reg_finish_text(op, op->ans.code);
		return;
	}
	reg_list_snapshot(op);
}

static void on_deleted(void *arg, struct reg_answer *a)
{
	struct many *m = arg;

	m->flying--;
	if (a && a->code >= 400 && a->code != 404 && !m->failed) {
		m->failed = a;
		m->done = true;
	} else {
		reg_answer_free(a);
	}
	if (!m->filling)
		more(m);
}

static void more(struct many *m)
{
	struct reg_op *op = m->op;

	m->filling = true;
	while (!m->done && m->flying < AT_ONCE) {
		struct orlop_object *o = op->sh->h->iter_next(m->it);
		struct reg_req rq = op->rq;

		if (!o || (op->opt.limit && m->n == op->opt.limit)) {
			m->done = true;
			break;
		}
		if (!reg_select_match(&m->sel, o))
			continue;
		rq.verb = REG_DELETE;
		rq.form = REG_FORM_OBJECT;
		rq.collection = true;
		rq.ns = o->ns;
		rq.name = o->name;	/* the snapshot holds it until we are done */
		m->n++;
		m->flying++;
		reg_call(op->sh, &rq, on_deleted, m);
	}
	m->filling = false;
	if (m->done && m->flying == 0)
		finish(m);
}

static void begin(struct many *m)
{
	struct reg_op *op = m->op;
	struct orlop_query q = { .size = sizeof(q) };
	int r = reg_select_init(op, &m->sel);

	if (r == 0)
		r = op->sh->h->snapshot_open(reg_open(op->sh, op->k), &op->snap);
	if (r == 0) {
		reg_select_query(&m->sel, op->sh, &q);
		r = op->sh->h->iter_open(op->snap, &q, &m->it);
	}
	if (r) {
		reg_select_done(&m->sel);
		reg_finish(op, op->err.err ? r : reg_failed(op, r, NULL));
		return;
	}
	more(m);
}

static void on_fresh(void *arg, int32_t status)
{
	(void)status;	/* late: then what is known now has to do */
	begin(arg);
}

void reg_do_delete_many(struct reg_op *op)
{
	struct many *m = oarena_zalloc(&op->arena, sizeof(*m));
	struct orlop_resource *res = reg_open(op->sh, op->k);
	uint64_t after;
	int r;

	if (!m || !res) {
		reg_finish(op, -ENOMEM);
		return;
	}
	m->op = op;
	r = reg_opts_delete_body(op);
	if (r) {
		reg_finish(op, r);
		return;
	}
	after = reg_lazy_pending(op->sh, op->k);
	if (!after || op->sh->h->cache_wait(res, after, FRESH_WAIT_NS, on_fresh, m))
		begin(m);
}
