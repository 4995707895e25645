/* fake.h - what the files of the fake host share; tests use fakehost.h. */
#ifndef ORLOP_FAKE_H
#define ORLOP_FAKE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/olist.h"
#include "fakehost.h"

struct core_cache;

/* One shard of one instance: what its host table's priv points to. */
struct orlop_host_priv {
	struct fakehost	*fh;
	struct fakehost_module *m;
	void		*mod_shard;
	bool		inited;
	struct orlop_host host;
};

struct fakehost_module {
	struct olist	node;
	struct fakehost	*fh;
	const struct orlop_module *mod;
	char		*name;
	char		*class_name;	/* NULL: the test */
	char		*class_slash;
	void		*ctx;
	const struct orlop_ops *ops;
	uint32_t	n_ops;
	struct orlop_host_priv *shards;
	uint32_t	n_shards;
	struct orlop_identity who;
	char		*user;
	bool		ready;
	bool		stopping;	/* no new requests */
	char		*failed;
};

struct fake_post {
	struct olist	node;
	struct fakehost_module *m;	/* dropped with it; NULL: nobody's */
	void		(*fn)(void *arg);
	void		*arg;
};

struct orlop_timer {
	struct olist	node;
	struct orlop_host_priv *priv;	/* NULL: ours */
	struct fakehost	*fh;
	orlop_cb	cb;
	void		*arg;
	bool		armed;
	uint64_t	due;
	uint64_t	repeat;
	uint64_t	seq;
};

struct fakehost {
	pthread_mutex_t	lock;		/* posts, logs: other threads may come */
	struct olist	posts;
	int		wake_fd;
	pthread_t	self;

	uint32_t	left;		/* by modules that were unloaded */
	struct olist	timers;
	uint64_t	seq;
	uint64_t	now;
	uint64_t	wall_off;
	bool		real;
	uint64_t	random;

	struct olist	modules;
	struct fakehost_module *test;
	uint32_t	auto_shards;
	struct olist	params;
	struct olist	lines;		/* logged */
	struct olist	metrics;
	struct olist	leads;
	bool		leading;
	uint32_t	n_threads;

	/* fakenet.c */
	struct olist	watches;
	struct olist	listeners;
	struct olist	children;
	fakehost_spawn_fn spawn_fn;
	void		*spawn_arg;
	int32_t		next_pid;

	/* fakebus.c */
	struct olist	servers;
	struct olist	requests;
	struct olist	calls;
	struct olist	subs;
	uint64_t	trace;

	/* fakecache.c */
	struct core_cache *cache;
	struct orlop_timer *tick;
	struct olist	handles;
	uint64_t	rev;
	uint32_t	batch;
	uint32_t	lose_notes;
	uint64_t	uids;
	char		*got;

	/* fakefeed.c */
	struct olist	feeds;
	struct olist	feed_watches;
	struct olist	want_texts;

	/* fakeapi.c */
	struct olist	api_log;
	char		*api_text;
	fakehost_api_fn	api_fn;
	void		*api_arg;
};

/* A named thing in a list: parameters, lines. */
struct fake_pair {
	struct olist	node;
	char		*name;
	char		*value;
};

__attribute__((noreturn, format(printf, 1, 2))) void fake_die(const char *fmt, ...);
void *fake_alloc(size_t size);		/* zeroed, never NULL */
char *fake_strdup(const char *s);
char *fake_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline struct orlop_host_priv *fake_priv(const struct orlop_host *h)
{
	return h->priv;
}

/* Any thread. */
void fake_post(struct fakehost *fh, struct fakehost_module *m, void (*fn)(void *), void *arg);
struct orlop_timer *fake_timer(struct fakehost *fh, struct orlop_host_priv *priv, orlop_cb cb,
			       void *arg);
/* Polls descriptors once for at most @timeout_ms; number of callbacks run. */
uint32_t fake_net_poll(struct fakehost *fh, int timeout_ms);
/* May something come from outside? */
bool fake_net_busy(struct fakehost *fh);
/* @m NULL: the fake host's own. */
struct orlop_fdwatch *fake_net_watch(struct fakehost *fh, struct fakehost_module *m, int32_t fd, uint32_t events, orlop_fd_fn cb,
				     void *arg);
void fake_net_unwatch(struct orlop_fdwatch *w);

/* Each part fills its members of the table, and lets go of what a module (NULL: all) left. */
void fake_loop_init(struct fakehost *fh);
void fake_loop_fill(struct orlop_host *h);
uint32_t fake_timers_drop(struct fakehost *fh, const struct fakehost_module *m);
void fake_posts_drop(struct fakehost *fh, const struct fakehost_module *m);
void fake_loop_done(struct fakehost *fh);
void fake_log_fill(struct orlop_host *h);
uint32_t fake_leads_drop(struct fakehost *fh, const struct fakehost_module *m);
void fake_log_done(struct fakehost *fh);
void fake_net_fill(struct orlop_host *h);
uint32_t fake_net_drop(struct fakehost *fh, struct fakehost_module *m);
void fake_spawn_fill(struct orlop_host *h);
uint32_t fake_spawn_drop(struct fakehost *fh, struct fakehost_module *m);
void fake_bus_fill(struct orlop_host *h);
uint32_t fake_bus_drop(struct fakehost *fh, struct fakehost_module *m);
void fake_bus_arrived(struct fakehost *fh);	/* somebody new serves: deliver what waited */
void fake_bus_done(struct fakehost *fh);
void fake_cache_init(struct fakehost *fh);
void fake_cache_fill(struct orlop_host *h);
uint32_t fake_cache_drop(struct fakehost *fh, struct fakehost_module *m);
uint32_t fake_bus_held(struct fakehost *fh, struct fakehost_module *m);
uint32_t fake_cache_held(struct fakehost *fh, struct fakehost_module *m);
uint32_t fake_net_held(struct fakehost *fh, struct fakehost_module *m);
uint32_t fake_spawn_held(struct fakehost *fh, struct fakehost_module *m);
void fake_cache_done(struct fakehost *fh);
void fake_feed_init(struct fakehost *fh);
void fake_feed_fill(struct orlop_host *h);
uint32_t fake_feed_drop(struct fakehost *fh, struct fakehost_module *m);
uint32_t fake_feed_held(struct fakehost *fh, struct fakehost_module *m);
void fake_feed_done(struct fakehost *fh);
void fake_feed_changed(struct fakehost *fh);	/* a module came or went: wants may differ */
void fake_api_done(struct fakehost *fh);

#endif
