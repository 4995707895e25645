/*
 * decode.h - what a server sends, taken apart by scanning: watch streams, pages of lists. Pure.
 *
 * Nothing is trusted: every text is checked as JSON before it is looked into, sizes have limits, and
 * whatever is not as the API says ends the stream with a sentence.
 */
#ifndef UP_DECODE_H
#define UP_DECODE_H

#include <orlop/types.h>

#include "base/obuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum up_event_type {
	UP_ADDED = 1,
	UP_MODIFIED,
	UP_DELETED,
	UP_BOOKMARK,
	UP_ERROR,
};

struct up_event {
	enum up_event_type type;
	struct orlop_bytes object;	/* checked JSON object */
};

/* A watch stream being received. Zero it but for max. */
struct up_stream {
	struct obuf	rest;		/* an event that has not come to its end */
	size_t		max;		/* bytes of one event */
	size_t		scanned;	/* of rest: there is no line end before */
	const char	*why;		/* what was wrong */
};

/* 0, or -errno: stop. */
typedef int (*up_event_fn)(void *arg, const struct up_event *ev);

/*
 * up_stream_feed - take bytes; @fn for each complete event, in order
 *
 * Events are lines. Returns 0; what @fn returned; -EPROTO (no event, s->why), -EMSGSIZE, -ENOMEM.
 */
int up_stream_feed(struct up_stream *s, const char *p, size_t len, up_event_fn fn, void *arg);
/* Is the beginning of an event waiting for its end? */
bool up_stream_partial(const struct up_stream *s);
void up_stream_done(struct up_stream *s);

/* A page of a list. Texts borrowed from the body. */
struct up_page {
	uint64_t	rev;
	struct orlop_bytes next;	/* metadata.continue, a plain text; empty: the last page */
	struct orlop_bytes items;	/* array, or empty */
};

/* 0, -EPROTO with a sentence in @why. */
int up_page_parse(struct orlop_bytes body, struct up_page *ret, const char **why);

/* resourceVersion of an object's metadata as number; 0: none. */
uint64_t up_object_rev(struct orlop_bytes object);

/* A Status. Zero if it is none. */
struct up_status {
	int		code;
	uint32_t	retry_after_s;
	char		reason[32];
	char		message[200];
};

void up_status_parse(struct orlop_bytes body, struct up_status *ret);

/* Append text percent-encoded for a path element or query value. */
void up_put_escaped(struct obuf *b, const char *p, size_t len);

#endif
