/*
 * offline.h - the storage of a data directory without its daemon: a process of its own that has only
 * the storage module. What it may die of (a damaged file) does not hurt anybody else.
 */
#ifndef CLI_OFFLINE_H
#define CLI_OFFLINE_H

#include "ctl.h"
#include "place.h"
#include "setup.h"

#include <sys/types.h>

/* What the configuration says of the storage. */
struct store {
	char		*module;	/* "storage/lmdb" */
	char		*path;		/* of its file, NULL: it has none */
	int64_t		map_mb;		/* 0: not said */
};

/* -ENOENT: there is no configuration, or no storage in it. */
int store_find(const struct setup *s, struct store *ret, struct orlop_error *err);
/* Where `orlop up` will look for it in a data directory in which nothing is yet; its directory is made. */
int store_new(const struct setup *s, struct store *ret, struct orlop_error *err);
void store_done(struct store *st);

struct offline {
	char		*dir;		/* of this process, removed at the end */
	pid_t		pid;		/* 0: it has ended */
	struct ctl	c;
	struct setup	s;
};

/* @path instead of what the configuration says, NULL: that. */
int offline_open(const struct store *st, const char *path, bool read_only, struct offline *ret,
		 struct orlop_error *err);
/* Ends it; the signal that it died of before, or 0. Accepts one that was not opened. */
int offline_close(struct offline *o);

#endif
