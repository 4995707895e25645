/*
 * replace.h - replacing a module that runs.
 *
 * Two parts. struct core_replace decides: which step comes next, and what a failure means. It knows
 * neither instances nor threads; it is told what happened and asks for the next step (core_replace_ops).
 * The other part, core_loader_replace(), does the steps with instances of any kind (life.h).
 *
 *	plain:	start new → hold old → stop old → its calls are done, or 20 ms → move → old ends by itself
 *	exclusive (never two on the same data):
 *		hold old → stop old → close old → start new → move
 *	handover (the new one reads at its start what the old one has left):
 *		a good moment → hold old → stop old → it changes nothing any more → start new → move →
 *		old ends by itself
 *
 * Held: requests to its addresses wait at the switch, connections in the backlog. Whatever fails before
 * `move` leaves the old one serving; if it is closed already, a fresh instance of its file is opened.
 */
#ifndef CORE_REPLACE_H
#define CORE_REPLACE_H

#include "loader.h"

enum core_replace_event {
	CORE_REPLACE_READY,	/* start, reopen: it is ready to serve */
	CORE_REPLACE_FAILED,	/* start, reopen, undo: it is not there any more; close: it does not end */
	CORE_REPLACE_STOPPED,	/* stop: done */
	CORE_REPLACE_REFUSED,	/* stop: it goes on as before */
	CORE_REPLACE_QUIET,	/* settle: every call is done, or the time for that is over */
	CORE_REPLACE_GONE,	/* close */
	CORE_REPLACE_IDLE,	/* await: it changes nothing now, or there is no good moment */
};

enum core_replace_state {
	CORE_REPLACE_S_NEW,
	CORE_REPLACE_S_WAITING,		/* handover: the old one serves */
	CORE_REPLACE_S_STARTING,	/* plain: the old one serves */
	CORE_REPLACE_S_STOPPING,	/* held */
	CORE_REPLACE_S_SETTLING,	/* plain, handover; held: the old one finishes what it does */
	CORE_REPLACE_S_CLOSING,		/* held: the old one ends before another is opened */
	CORE_REPLACE_S_OPENING,		/* exclusive, handover; held: the new one starts */
	CORE_REPLACE_S_REOPENING,	/* held: the old one again */
	CORE_REPLACE_S_UNDOING,		/* the new one ends */
	CORE_REPLACE_S_DONE,
};

/* What is asked for; each is answered by core_replace_event(), now or later. */
struct core_replace_ops {
	void	(*await)(void *arg);			/* old → IDLE */
	void	(*start)(void *arg);			/* new → READY, FAILED */
	/* May the new one serve? 0, or -errno with @err (its data is behind the old one's). */
	int	(*fit)(void *arg, struct orlop_error *err);
	void	(*hold)(void *arg, bool on);		/* the old one's requests and connections */
	void	(*stop)(void *arg);			/* old → STOPPED, REFUSED */
	void	(*settle)(void *arg);			/* old → QUIET */
	void	(*close)(void *arg);			/* old, to its end → GONE */
	void	(*undo)(void *arg);			/* new → FAILED */
	void	(*reopen)(void *arg);			/* old again → READY, FAILED */
	void	(*move)(void *arg, bool back);		/* the new (back: the reopened) one serves from now on */
	void	(*retire)(void *arg);			/* old: to its end, nobody waits for that */
	/* All is said; @status 0, or -errno: the old one serves, or, if @lost, nobody. May free all. */
	void	(*end)(void *arg, int status, bool lost, struct orlop_error *err);
};

struct core_replace {
	const struct core_replace_ops *ops;
	void		*arg;
	bool		exclusive;
	bool		handover;
	enum core_replace_state state;
	int		status;		/* why it has failed */
	struct orlop_error err;
};

void core_replace_begin(struct core_replace *r);
/* @status, @err: with FAILED and REFUSED; causes are taken. */
void core_replace_event(struct core_replace *r, enum core_replace_event ev, int status,
			struct orlop_error *err);

/* ---- replace_check.c ---- */

/* What the new instance is made from: its file and parameters; name as the old one's if that is configured. @ret: also of a failure. */
int core_replace_config(const struct core_instance *old, const struct core_config_module *cm, struct core_config_module *ret);
int core_replace_may(struct core *c, const char *name, struct core_instance **ret, struct orlop_error *err);
/* Before anything of it is looked at: is it of the class? A new file of the old name is read here, too. */
int core_replace_check_file(struct core_instance *old, const char *module, struct orlop_error *err);
/* May @new stand where @old does? */
int core_replace_check_pair(struct core_instance *old, struct core_instance *new, struct orlop_error *err);

/* ---- replacing.c ---- */

/*
 * core_loader_replace - a new instance takes the place of one that is ready
 *
 * @cm: module (a file or class/name; NULL: the file of the old one), parameters; those it does not
 * name carry over. @fn as of core_loader_load(): status 0 and the new instance once it serves (the old one
 * may still finish what it has), or why not. 0, or -errno with @err if it does not even begin.
 */
int core_loader_replace(struct core *c, const char *name, const struct core_config_module *cm,
			core_loaded_fn fn, void *arg, struct orlop_error *err);

#endif
