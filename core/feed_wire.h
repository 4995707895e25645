/*
 * feed_wire.h - one process's cache, as far as another wants it: what goes between feed_out.h and feed_in.h.
 *
 * A stream of bytes, cut anywhere into packets: frames of a head and what it says. Both ends are the same
 * program on the same machine. A resource is named once (OPEN) and has a number from then on; what
 * stands between two COMMITs, or LIST and END, becomes visible at once.
 *
 *	OPEN  LIST PUT… END  (PUT|DEL)… COMMIT  (PUT|DEL)… COMMIT …
 *	PAST  (PUT|DEL)…  PAST_END	between any of these groups: what happened before the LIST, for who asked
 */
#ifndef CORE_FEED_WIRE_H
#define CORE_FEED_WIRE_H

#include <stdint.h>

#include <orlop/storage.h>

enum core_feed_type {
	CORE_FEED_OPEN = 1,	/* @res is what follows; the next number each time */
	CORE_FEED_LIST,		/* all there is follows */
	CORE_FEED_PUT,		/* an object as of @rev: core_feed_key, namespace, name, record */
	CORE_FEED_DEL,		/* it is gone as of @rev: core_feed_key, namespace, name */
	CORE_FEED_END,		/* of the list, as of @rev */
	CORE_FEED_COMMIT,	/* up to @rev */
	CORE_FEED_FAIL,		/* readers get errno @rev; 0: no longer */
	CORE_FEED_PROGRESS,	/* all that are JOINT and whole are as of @rev */
	CORE_FEED_PAST,		/* what happened after @rev follows, oldest first; 0: it is not known, nothing follows */
	CORE_FEED_PAST_END,
};

#define CORE_FEED_F_LOST	0x01u	/* LIST: what happened before it is not known */
#define CORE_FEED_F_ASK	0x02u	/* LIST: what happened before can be asked for */
#define CORE_FEED_F_JOINT	0x04u	/* LIST: PROGRESS is about it */
/* PUT, DEL: of the past. Behind core_feed_key stands the revision of the change (u64), 0: so it was when that begins. */
#define CORE_FEED_F_PAST	0x08u

struct core_feed_frame {
	uint32_t	len;	/* of all of it */
	uint8_t		type;
	uint8_t		flags;
	uint16_t	res;
	uint64_t	rev;
};

struct core_feed_key {
	uint16_t	ns_len;
	uint16_t	name_len;
	uint32_t	reserved0;
};

#define CORE_FEED_RES_MAX	16384u
/* One object: no value of storage is a quarter of it. What the other side may make us keep, too. */
#define CORE_FEED_FRAME_MAX	(4 * ORLOP_STORAGE_VALUE_MAX)
/* So much may be under way; how much has arrived is told in quarters of it. */
#define CORE_FEED_WINDOW	(UINT32_C(512) << 10)
#define CORE_FEED_PACKET	(UINT32_C(64) << 10)

#endif
