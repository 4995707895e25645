/*
 * delete-many.c - deletecollection: what the selectors match now is deleted one by one, several at
 * a time; the answer is the list as it was.
 */
#include "convert.h"
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
	int		err;		/* or our own */
	/* of which only their conversion tells whether they are selected; then those that are */
	struct reg_convert *convert;
	struct orlop_object **late;
	uint32_t	n_late;
	uint32_t	at_late;
	bool		asking;
};

static void more(struct many *m);

static void finish(struct many *m)
{
	struct reg_op *op = m->op;

	op->sh->h->iter_close(m->it);
	reg_select_done(&m->sel);
	omem_free(m->late);
	if (m->err) {
		reg_answer_free(m->failed);
		reg_finish(op, op->err.err ? m->err : reg_failed(op, m->err, NULL));
		return;
	}
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

static void on_converted(void *arg, const char *why)
{
	struct many *m = arg;
	int r = why ? convert_failed(m->op, why) : 0;
	uint32_t n = 0;

	for (uint32_t i = 0; r == 0 && i < m->n_late; i++) {
		struct obuf b = OBUF_INIT;

		r = convert_put(m->convert, i, &b);
		if (r == 0 && reg_select_served(&m->sel, (struct orlop_bytes){ b.data, b.len }))
			m->late[n++] = m->late[i];
		obuf_done(&b);
	}
	convert_free(m->convert);
	m->convert = NULL;
	m->n_late = n;
	m->asking = false;
	if (r) {
		m->err = r;
		m->done = true;
	}
	if (!m->filling)
		more(m);
}

static int late_add(struct many *m, struct orlop_object *o)
{
	if (!m->late)
		m->late = omem_alloc_array(CONVERT_AT_ONCE, sizeof(struct orlop_object *));
	if (!m->convert) {
		m->n_late = m->at_late = 0;
		m->convert = convert_new(m->op->k);
	}
	if (!m->late || !m->convert)
		return -ENOMEM;
	m->late[m->n_late++] = o;
	return convert_add(m->convert, o->json, convert_version(o));
}

/* Look for what is selected: 1 and the object, 0: no more, or not yet (m->asking), -errno. */
static int next(struct many *m, struct orlop_object **ret)
{
	struct orlop_object *o;
	int r;

	while (!m->done) {
		if (m->at_late < m->n_late) {
			*ret = m->late[m->at_late++];
			return 1;
		}
		while ((o = m->op->sh->h->iter_next(m->it)) != NULL) {
			r = reg_select_match(&m->sel, o);
			if (r == REG_SELECT_CONVERTED || (r > 0 && m->convert))
				r = late_add(m, o);
			if (r == 1)
				*ret = o;
			if (r)
				return r;
			if (m->convert && m->n_late == CONVERT_AT_ONCE)
				break;
		}
		if (!m->convert)
			return 0;
		m->asking = true;
		convert_start(m->convert, on_converted, m);
		if (m->asking)
			return 0;
	}
	return 0;
}

static void more(struct many *m)
{
	struct reg_op *op = m->op;

	m->filling = true;
	while (!m->done && !m->asking && m->flying < AT_ONCE) {
		struct orlop_object *o = NULL;
		struct reg_req rq = op->rq;
		int r = op->opt.limit && m->n == op->opt.limit ? 0 : next(m, &o);

		if (m->asking)
			break;
		if (r <= 0) {
			m->done = true;
			if (r)
				m->err = r;
			break;
		}
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
	if (m->done && !m->asking && m->flying == 0)
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
