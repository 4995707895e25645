/*
 * isolate_proxy.h - the inside of an instance whose module lives in a child: isolate.c,
 * isolate_new.c, isolate_question.c, isolate_serve.c and others. Main loop only.
 */
#ifndef CORE_ISOLATE_PROXY_H
#define CORE_ISOLATE_PROXY_H

#include "config.h"
#include "base/omap.h"
#include "image.h"
#include "isolate.h"
#include "isolate_chan.h"
#include "isolate_mail.h"
#include "isolate_wire.h"
#include "rights.h"

enum iso_state {
	ISO_NONE,		/* no child */
	ISO_MAPPING,		/* the child maps the file */
	ISO_MAPPED,		/* and has described it; waits for INIT */
	ISO_STARTING,		/* init, start */
	ISO_UP,
	ISO_WAITING,		/* no child; another will be started */
};

/* A question to the child that is open. */
struct iso_ask {
	struct olist	node;
	uint64_t	id;
	uint64_t	until_ns;
	uint32_t	type;
	core_isolate_fn	fn;		/* may be NULL */
	void		*arg;
};

struct iso_lead {
	struct olist	node;
	struct core_isolate *iso;
	uint64_t	id;
	struct orlop_lead *lead;
};

#define ISO_KEPT_MAX	8u	/* watches of files; of more the kernel lets go while it ends */

struct core_isolate {
	struct olist	node;		/* core->isolates */
	struct core	*core;
	struct core_instance *inst;
	struct core_image *image;	/* what the file says; nothing is mapped here */
	struct orlop_module blank;	/* the image's descriptor until the child tells its own */
	struct core_iso_desc desc;
	bool		described;
	struct core_config_module cm;	/* as configured, with what was changed since */
	int		so_fd;
	uint32_t	n_shards;	/* 0: as its descriptor says */

	enum iso_state	state;
	struct orlop_child *child;
	int32_t		pid;
	struct core_iso_chan *chan;
	int		metrics_fd;
	int		crash_fd;	/* its last words */
	uint64_t	kept_ids[ISO_KEPT_MAX];	/* isolate_keep.c */
	int		kept[ISO_KEPT_MAX];
	uint32_t	n_kept;
	void		*words;		/* of its metrics, mapped read-only */
	uint32_t	words_used;
	bool		go;		/* life->start() was called */
	bool		was_up;		/* it has been ready once */
	bool		closing;	/* life->close() was called */
	bool		quieting;	/* and waits until every call it has is answered */
	bool		stop_asked;	/* the answer to STOP is awaited by the loader */
	bool		ended_by_us;	/* its end is no crash */
	int		refused;	/* it cannot start: -errno, with */
	struct orlop_error refusal;
	struct core_post end;

	struct olist	asks;
	uint64_t	last_id;
	struct olist	calls;		/* isolate_relay.c: requests to the child */
	struct omap	call_ids;
	struct olist	reqs;		/* requests of the child */
	struct omap	req_ids;
	struct omap	topics;		/* name → struct iso_topic, by all its children */
	struct omap	asked;		/* addresses, by all its children */
	struct core_iso_meter *meter;	/* of its blobs; made with the first message */
	bool		held;		/* life->hold(): it gets none for now */
	struct olist	leads;
	uint32_t	n_leads;
	struct omap	lent;		/* addresses of sockets that it has, or will ask for again */
	struct core_feed_out *feed_out;	/* of its cache; NULL: it reads nothing, or feeds itself */
	struct core_feed_in *feed_in;	/* of ours, by one that feeds */
	uint64_t	feed_moves;	/* of our cache, when it was last sent what is new */
	struct orlop_timer *feed_timer;
	bool		feed_unsure;	/* what it reads could not be worked out: no memory */
	struct orlop_health health;	/* as last told */
	char		*stats;		/* as last told */
	uint64_t	rev;
	uint32_t	draining;
	uint32_t	changing;
	uint32_t	finishing;
	int32_t		level;		/* of its log; 0: not set */

	struct orlop_timer *timer;	/* the next start, or the end of patience */
	uint64_t	t0;		/* of this start, or of the crash before it */
	uint64_t	spawned_ns;	/* when this child was started */
	uint64_t	up_ns;		/* since when it is up */
	uint64_t	backoff_ns;
	uint32_t	restarts;
	char		why[512];	/* first reason that was told of the end under way */
	char		last_exit[512];
	uint64_t	open;		/* requests at it, when we last looked */
	uint64_t	got;		/* it ever got */
	uint64_t	requests_pinged; /* requests it had got when it last answered a ping */
	uint64_t	requests_asked;
	uint64_t	heard_ns;	/* when it last answered a ping */
	uint64_t	lines;		/* of log in this second */
	uint64_t	lines_at;
	uint64_t	lines_lost;
};

/* All of a core. */
struct core_isolates {
	struct core	*core;
	struct olist	list;
	struct orlop_timer *timer;
	uint64_t	armed_ns;	/* 0: not */
	uint64_t	look_ns;	/* when to look who is alive */
	struct orlop_resource *resources;
	struct core_workq *closers;	/* isolate_keep.c */
};

#define ISO_WORDS	32768u		/* of metrics: 256 KiB, sparse */

/* isolate.c */
int iso_spawn(struct core_isolate *iso, struct orlop_error *err);
void iso_child_clear(struct core_isolate *iso);	/* what belonged to the child is given back */
void iso_timer_due(void *arg);
void iso_mapped(struct core_isolate *iso);		/* DESCRIBE was understood */
void iso_ready(struct core_isolate *iso);
/* The channel or the bus have ended, or it said that it cannot go on: the child's end follows. */
void iso_lost(struct core_isolate *iso, const char *why);
/* Says what it cannot do without: for want of memory it is ended instead, and the next one is told anew. */
void iso_say(struct core_isolate *iso, uint32_t type, const struct orlop_msgw *w);
void iso_refused(struct core_isolate *iso, int status, struct orlop_error *err);	/* FAILED before READY */

/* isolate_new.c */
int iso_cm_copy(struct core_config_module *to, const struct core_config_module *from);

/* isolate_question.c */
#define ISO_ASK_NS	UINT64_C(5000000000)
#define ISO_HEALTH_NS	UINT64_C(250000000)
/* Asks; @fn once, later; -errno in it if the child is gone by then. 0, -ENOTCONN, -ENOMEM. */
int iso_ask(struct core_isolate *iso, uint32_t type, const struct orlop_msgw *w, uint64_t timeout_ns,
	    core_isolate_fn fn, void *arg);
bool iso_asked(struct core_isolate *iso, uint32_t type);	/* is a question of the kind open? */
void iso_asks_end(struct core_isolate *iso, int status, const char *why);
void iso_asks_arm(struct core_isolates *all);
void iso_tick(void *arg);

/* isolate_relay.c: requests to and from the child. */
const struct orlop_ops *iso_relay_ops(void);
void iso_mail(struct core_isolate *iso, struct core_iso_in *in);
void iso_relay_down(struct core_isolate *iso);
void iso_relay_up(struct core_isolate *iso);
void iso_relay_end(struct core_isolate *iso);

/* isolate_topics.c */
void iso_topic_subscribe(struct core_isolate *iso, const struct core_iso_got *g);
void iso_topic_publish(struct core_isolate *iso, struct core_iso_got *g);
void iso_topics_free(struct core_isolate *iso);

/* isolate_resources.c */
int iso_resources_watch(struct core_isolates *all);
void iso_resources_send(struct core_isolate *iso);
void iso_ask_register(struct core_isolate *iso, struct core_iso_in *in, struct orlop_error *err, int *ret);

/* isolate_feed.c: its cache, or ours. */
int iso_feed_new(struct core_isolate *iso);
void iso_feed_start(struct core_isolate *iso);		/* its process is about to start the module */
void iso_feed_stop(struct core_isolate *iso);		/* and has ended */
void iso_feed_go(struct core_isolate *iso);		/* what is new, if there may be anything */
void iso_feed_wants(struct core_isolate *iso);		/* what it reads may have changed */
void iso_feed_wants_tell(struct core_isolate *iso);	/* what others read may have; to one that feeds */
void iso_feed_mail(struct core_isolate *iso, struct core_iso_in *in);

/* isolate_keep.c: KEEP; and the child has ended. */
void iso_keep(struct core_isolate *iso, struct core_iso_in *in);
void iso_keep_end(struct core_isolate *iso);

/* isolate_serve.c: what the child says. */
void iso_message(void *arg, struct core_iso_in *in);
void iso_leads_drop(struct core_isolate *iso);
void iso_sockets_drop(struct core_isolate *iso);
void iso_health_told(struct core_isolate *iso, const struct orlop_msg *m);

#endif
