/*
 * replace.c - which step of a replacement comes next. See replace.h.
 */
#include "replace.h"

#include <errno.h>
#include <string.h>

static void failed(struct core_replace *r, int status, struct orlop_error *err)
{
	if (r->status)
		return;		/* the first reason counts */
	r->status = status;
	if (err) {
		r->err = *err;
		err->causes = NULL;
	}
}

static void end(struct core_replace *r, bool lost)
{
	r->state = CORE_REPLACE_S_DONE;
	r->ops->end(r->arg, r->status, lost, &r->err);
}

static void go(struct core_replace *r, enum core_replace_state state, void (*step)(void *arg))
{
	r->state = state;
	step(r->arg);
}

/* The new one is ready; may it serve? If not it ends, and what then is decided by @r->status. */
static bool fits(struct core_replace *r)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int e = r->ops->fit(r->arg, &err);

	if (e == 0)
		return true;
	failed(r, e, &err);
	orlop_error_done(&err);
	return false;
}

static void serve(struct core_replace *r, bool back)
{
	r->ops->move(r->arg, back);
}

void core_replace_begin(struct core_replace *r)
{
	if (r->handover && !r->exclusive) {
		go(r, CORE_REPLACE_S_WAITING, r->ops->await);
		return;
	}
	r->handover = false;
	if (!r->exclusive) {
		go(r, CORE_REPLACE_S_STARTING, r->ops->start);
		return;
	}
	r->ops->hold(r->arg, true);
	go(r, CORE_REPLACE_S_STOPPING, r->ops->stop);
}

static void in_starting(struct core_replace *r, enum core_replace_event ev)
{
	if (ev == CORE_REPLACE_FAILED) {
		end(r, false);
	} else if (ev == CORE_REPLACE_READY) {
		if (!fits(r)) {
			go(r, CORE_REPLACE_S_UNDOING, r->ops->undo);
			return;
		}
		r->ops->hold(r->arg, true);
		go(r, CORE_REPLACE_S_STOPPING, r->ops->stop);
	}
}

static void in_stopping(struct core_replace *r, enum core_replace_event ev)
{
	if (ev == CORE_REPLACE_FAILED) {
		/* The new one has failed while the old one stops: as soon as that is done, the old again. */
		r->exclusive = true;
	} else if (ev == CORE_REPLACE_REFUSED) {
		r->ops->hold(r->arg, false);
		if (r->exclusive || r->handover)
			end(r, false);		/* the new one has not begun, or is gone */
		else
			go(r, CORE_REPLACE_S_UNDOING, r->ops->undo);
	} else if (ev == CORE_REPLACE_STOPPED) {
		if (r->exclusive)
			go(r, CORE_REPLACE_S_CLOSING, r->ops->close);
		else
			go(r, CORE_REPLACE_S_SETTLING, r->ops->settle);
	}
}

static void in_settling(struct core_replace *r, enum core_replace_event ev)
{
	if (ev == CORE_REPLACE_FAILED) {
		go(r, CORE_REPLACE_S_CLOSING, r->ops->close);
	} else if (ev == CORE_REPLACE_QUIET && r->handover) {
		go(r, CORE_REPLACE_S_OPENING, r->ops->start);
	} else if (ev == CORE_REPLACE_QUIET) {
		serve(r, false);
		r->ops->retire(r->arg);
		end(r, false);
	}
}

static void in_opening(struct core_replace *r, enum core_replace_event ev)
{
	if (ev == CORE_REPLACE_FAILED && r->handover) {
		go(r, CORE_REPLACE_S_CLOSING, r->ops->close);
	} else if (ev == CORE_REPLACE_FAILED) {
		go(r, CORE_REPLACE_S_REOPENING, r->ops->reopen);
	} else if (ev == CORE_REPLACE_READY) {
		if (!fits(r)) {
			r->ops->undo(r->arg);	/* its FAILED brings the old one back */
			return;
		}
		serve(r, false);
		if (r->handover)
			r->ops->retire(r->arg);
		end(r, false);
	}
}

void core_replace_event(struct core_replace *r, enum core_replace_event ev, int status,
			struct orlop_error *err)
{
	if (ev == CORE_REPLACE_FAILED || ev == CORE_REPLACE_REFUSED)
		failed(r, status ? status : -EIO, err);
	switch (r->state) {
	case CORE_REPLACE_S_WAITING:
		if (ev == CORE_REPLACE_IDLE) {
			r->ops->hold(r->arg, true);
			go(r, CORE_REPLACE_S_STOPPING, r->ops->stop);
		}
		break;
	case CORE_REPLACE_S_STARTING:
		in_starting(r, ev);
		break;
	case CORE_REPLACE_S_STOPPING:
		in_stopping(r, ev);
		break;
	case CORE_REPLACE_S_SETTLING:
		in_settling(r, ev);
		break;
	case CORE_REPLACE_S_CLOSING:
		if (ev == CORE_REPLACE_GONE && r->status)
			go(r, CORE_REPLACE_S_REOPENING, r->ops->reopen);
		else if (ev == CORE_REPLACE_GONE)
			go(r, CORE_REPLACE_S_OPENING, r->ops->start);
		else if (ev == CORE_REPLACE_FAILED)
			end(r, true);		/* it does not end, so no other can be opened */
		break;
	case CORE_REPLACE_S_OPENING:
		in_opening(r, ev);
		break;
	case CORE_REPLACE_S_REOPENING:
		if (ev == CORE_REPLACE_READY)
			serve(r, true);
		if (ev == CORE_REPLACE_READY || ev == CORE_REPLACE_FAILED)
			end(r, ev == CORE_REPLACE_FAILED);
		break;
	case CORE_REPLACE_S_UNDOING:
		if (ev == CORE_REPLACE_FAILED)
			end(r, false);
		break;
	case CORE_REPLACE_S_NEW:
	case CORE_REPLACE_S_DONE:
		break;
	}
}
