/*
 * isolate_up.h - what the process of an isolated module keeps: isolate_child.c.
 */
#ifndef CORE_ISOLATE_UP_H
#define CORE_ISOLATE_UP_H

#include "core.h"
#include "base/omap.h"
#include "isolate_chan.h"
#include "isolate_wire.h"
#include "modinfo.h"

struct core_up {
	struct core	*core;
	int		ctl;
	struct core_iso_chan *chan;	/* owns ctl once it is there */
	struct core_iso_spec spec;
	int		so_fd;
	int		metrics_fd;
	int		crash_fd;
	struct core_modinfo info;
	struct core_image *image;
	const char	*weak;		/* what is not enforced here */
	struct core_instance *inst;	/* once it is ready */
	bool		stopping;
	uint64_t	stop_id;
	int		exit_code;
	/* isolate_remote.c */
	pthread_mutex_t	lock;		/* guards the next three */
	struct olist	requests;	/* of the module */
	struct omap	request_ids;
	uint64_t	last_request;
	struct omap	call_ids;	/* requests to the module; main loop */
	/* isolate_resources.c; main loop */
	struct omap	resources;	/* name → what was registered, as the parent said it */
	uint64_t	resources_gen;
	/* isolate_feed.c; main loop */
	struct core_feed_in *feed_in;
	struct core_feed_out *feed_out;	/* of a module that feeds: for the parent's cache */
	uint64_t	feed_moves;
	struct orlop_timer *feed_timer;
};

struct core_iso_got;
/* isolate_topics.c */
void core_up_fill_topics(struct orlop_host *h);
void core_up_heard(struct core_up *up, struct core_iso_got *g);		/* main loop */

/* isolate_feed.c; main loop */
int core_up_feed_start(struct core_up *up);
void core_up_feed_mail(struct core_up *up, struct core_iso_in *in);
void core_up_feed_go(struct core_up *up);

void core_up_mail(struct core_up *up, struct core_iso_in *in);		/* main loop */
void core_up_resource(struct core_up *up, struct core_iso_in *in);	/* main loop */

/* isolate_ask.c; any thread. One message of what @w has (NULL: nothing), which is done with then. */
void core_up_say(struct core_up *up, uint32_t type, uint64_t id, struct orlop_msgw *w);
/* What this side or the other waits for cannot be told for want of memory: a process anew is better. Does not return. */
void core_up_no_memory(struct core_up *up) __attribute__((noreturn));
void core_up_say_status(struct core_up *up, uint32_t type, uint64_t id, int status,
			const struct orlop_error *err);
/* Asks and waits; @ret_fd: the descriptor that came, -1: none; may be NULL. */
int core_up_ask(struct core_up *up, uint32_t type, struct orlop_msgw *w, int *ret_fd, struct orlop_error *err);
/* For core_log_sink(), core_metrics_export(), core_net_borrow(). */
bool core_up_log(void *arg, const char *module, int32_t level, const char *event, const char *text);
void core_up_metric(void *arg, uint32_t word, uint32_t type, const char *name, const char *labels,
		    const char *help, const double *bounds, uint32_t n_bounds);
int core_up_borrow(void *arg, const char *addr, int *ret_fd, struct orlop_error *err);
void core_up_give_back(void *arg, const char *addr);

#endif
