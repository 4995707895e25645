/*
 * wire.h - what travels over a link: packets of frames, little endian.
 *
 * A packet is one nanomsg message: a head with the acknowledgement of the other direction, then as
 * many frames as were ready. All frames have one size. A message's body, identity, blobs and
 * descriptors are not in the frame: in one process they travel as a counted reference (parcel.h),
 * which the receiver may follow only for a frame that it accepts for the first time, because just
 * then the sender is known to hold it still (arq.c).
 *
 *	packet	u32 magic	"OBP1"
 *		u16 frames	0: an acknowledgement alone
 *		u16 reserved	0
 *		u64 epoch	of the link: packets of an earlier life are thrown away
 *		u64 ack		next sequence number the sender of this packet expects
 *		u64 sack	bit i: ack + 1 + i has come
 *	frame	u16 kind	enum core_wire_kind
 *		u16 flags
 *		u32 src		link; set by the switch, whatever the sender says
 *		u32 dst		request: number of the address; reply, emit: link; topics: 0
 *		u32 op		operation of the class, or number of the topic
 *		i32 status	reply: 0 or -errno; cancel: why
 *		u32 len		bytes of the body, for counters
 *		u64 seq		per link and direction, from 1
 *		u64 corr	request: src << 40 | counter; the same in all that belongs to it
 *		u64 trace
 *		u64 deadline	monotonic ns, 0: none
 *		u64 value	request: order key; credit: parts consumed; note: the value
 *		u64 parcel	reference, 0: none
 */
#ifndef CORE_BUS_WIRE_H
#define CORE_BUS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum core_wire_kind {
	CORE_W_REQUEST	= 1,	/* caller → switch → answerer */
	CORE_W_REPLY	= 2,	/* answerer or switch → caller: the last of a request */
	CORE_W_EMIT	= 3,	/* answerer → caller: a part */
	CORE_W_CREDIT	= 4,	/* caller → answerer: parts consumed */
	CORE_W_CANCEL	= 5,	/* caller → switch (answers) → answerer */
	CORE_W_PUBLISH	= 6,	/* publisher → switch */
	CORE_W_EVENT	= 7,	/* switch → subscriber */
	CORE_W_NOTE	= 8,	/* switch → subscriber */
	CORE_W_SUBSCRIBE = 9,	/* link → switch */
	CORE_W_UNSUBSCRIBE = 10,
	CORE_W_QUIESCE	= 11,	/* link → switch, muted: answer when nothing is open */
	CORE_W_QUIESCED	= 12,	/* switch → link */
	CORE_W_KINDS,
};

#define CORE_WIRE_MAGIC		0x3150424fu	/* "OBP1" */
#define CORE_WIRE_PACKET_HEAD	32u
#define CORE_WIRE_FRAME		80u
#define CORE_WIRE_FRAMES_MAX	64u
#define CORE_WIRE_PACKET_MAX	(CORE_WIRE_PACKET_HEAD + CORE_WIRE_FRAMES_MAX * CORE_WIRE_FRAME)

#define CORE_WIRE_CORR_BITS	40u	/* of the counter in a corr */

struct core_wire_packet {
	uint64_t	epoch;
	uint64_t	ack;
	uint64_t	sack;
	uint32_t	n_frames;
};

struct core_wire_head {
	uint16_t	kind;
	uint16_t	flags;
	uint32_t	src;
	uint32_t	dst;
	uint32_t	op;
	int32_t		status;
	uint32_t	len;
	uint64_t	seq;
	uint64_t	corr;
	uint64_t	trace;
	uint64_t	deadline;
	uint64_t	value;
};

void core_wire_put_packet(uint8_t *buf, const struct core_wire_packet *p);
void core_wire_put_frame(uint8_t *buf, const struct core_wire_head *h, uint64_t parcel);

/* False: not a packet (wrong magic, reserved bits, a length that does not fit its frames). */
bool core_wire_get_packet(const void *buf, size_t len, struct core_wire_packet *ret);

/* Frame @i of a packet that core_wire_get_packet() took. False: no such kind, or no sequence number. */
bool core_wire_get_frame(const void *buf, uint32_t i, struct core_wire_head *ret, uint64_t *ret_parcel);

#endif
