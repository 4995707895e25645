/* Two streams copied into each other, with back-pressure, until both have ended. */
#include "ostream.h"

#include "base/omem.h"

#include <errno.h>

#define HIGH_WATER (256u * 1024)

struct side {
	struct ohttp_splice	*sp;
	struct ohttp_stream	*s;		/* NULL: gone */
};

struct ohttp_splice {
	struct side	a;
	struct side	b;
	orlop_cb	done;
	void		*arg;
};

static struct side *other(struct side *x)
{
	return x == &x->sp->a ? &x->sp->b : &x->sp->a;
}

static void on_data(void *arg, const char *p, size_t len)
{
	struct side *x = arg;
	struct side *y = other(x);

	if (!y->s)
		return;
	if (ohttp_stream_write(y->s, p, len) == 0 && ohttp_stream_queued(y->s) > HIGH_WATER)
		ohttp_stream_pause(x->s);
}

static void on_drained(void *arg)
{
	struct side *y = other(arg);

	if (y->s)
		ohttp_stream_resume(y->s);
}

static void on_eof(void *arg)
{
	struct side *y = other(arg);

	if (y->s)
		ohttp_stream_shutdown(y->s);
}

static void on_closed(void *arg, int err)
{
	struct side *x = arg;
	struct side *y = other(x);
	struct ohttp_splice *sp = x->sp;

	(void)err;
	x->s = NULL;
	if (y->s)
		ohttp_stream_close(y->s);	/* what it has still to send goes out by itself */
	if (sp->done)
		sp->done(sp->arg);
	omem_free(sp);
}

static const struct ohttp_stream_ops splice_ops = {
	.data = on_data,
	.eof = on_eof,
	.drained = on_drained,
	.closed = on_closed,
};

int ohttp_stream_splice(struct ohttp_stream *take_a, struct ohttp_stream *take_b, orlop_cb done,
			void *arg, struct ohttp_splice **ret)
{
	struct ohttp_splice *sp = OMEM_NEW(struct ohttp_splice);

	if (!sp) {
		ohttp_stream_close(take_a);
		ohttp_stream_close(take_b);
		return -ENOMEM;
	}
	sp->a = (struct side){ sp, take_a };
	sp->b = (struct side){ sp, take_b };
	sp->done = done;
	sp->arg = arg;
	ohttp_stream_set(take_a, &splice_ops, &sp->a);
	ohttp_stream_set(take_b, &splice_ops, &sp->b);
	ohttp_stream_resume(take_a);
	ohttp_stream_resume(take_b);
	if (ret)
		*ret = sp;
	return 0;
}

void ohttp_splice_abort(struct ohttp_splice *sp)
{
	if (!sp)
		return;
	ohttp_stream_abort(sp->a.s);
	ohttp_stream_abort(sp->b.s);
	omem_free(sp);
}
