/*
 * wire.c - fuzz target: packets from outside, into the decoder and into both states of the repeat
 * protocol. References are cleared before: between processes there are none, and only a frame's own
 * sender may be followed (parcel.h).
 */
#include "../arq.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void deliver(void *arg, struct core_frame *f)
{
	uint64_t *next = arg;

	if (f->h.seq != ++*next || f->h.kind == 0 || f->h.kind >= CORE_W_KINDS)
		abort();
	core_frame_free(f);
}

static void out(void *arg, const void *packet, size_t len)
{
	struct core_wire_packet p;

	(void)arg;
	if (!core_wire_get_packet(packet, len, &p))
		abort();		/* what we send we must understand */
}

/* As it is: decoded only, for the protocol would follow a reference. */
static void look(const uint8_t *buf, size_t len)
{
	struct core_wire_packet p;
	struct core_wire_head h;
	uint64_t parcel;

	if (core_wire_get_packet(buf, len, &p))
		for (uint32_t i = 0; i < p.n_frames; i++)
			if (core_wire_get_frame(buf, i, &h, &parcel) && h.kind >= CORE_W_KINDS)
				abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct core_arq a;
	uint64_t next = 0;
	uint64_t now = 1;

	core_arq_init(&a, 7);
	a.arg = &next;
	a.deliver = deliver;
	a.out = out;
	for (uint32_t i = 0; i < 100; i++) {
		struct core_frame *f = core_frame_new(CORE_W_NOTE);

		if (f)
			core_arq_send(&a, f);
	}
	core_arq_flush(&a, now);
	/* Input: packets of the form u16 length, then bytes; the head's magic and epoch are made right. */
	while (size >= 2) {
		uint8_t buf[CORE_WIRE_PACKET_MAX + 16];
		size_t len = (size_t)data[0] | (size_t)data[1] << 8;
		uint32_t n;

		data += 2;
		size -= 2;
		len = len < size ? len : size;
		len = len < sizeof(buf) ? len : sizeof(buf);
		memset(buf, 0, sizeof(buf));
		memcpy(buf, data, len);
		data += len;
		size -= len;
		look(buf, len);
		n = (uint32_t)(len / CORE_WIRE_FRAME);
		core_wire_put_packet(buf, &(struct core_wire_packet){
			.epoch = 7, .n_frames = n,
			.ack = buf[16] | (uint64_t)buf[17] << 8, .sack = buf[24] | (uint64_t)buf[25] << 62,
		});
		for (uint32_t k = 0; k < n && k < CORE_WIRE_FRAMES_MAX; k++)
			memset(buf + CORE_WIRE_PACKET_HEAD + k * CORE_WIRE_FRAME + 64, 0, 16);
		core_arq_input(&a, buf, CORE_WIRE_PACKET_HEAD + (size_t)n * CORE_WIRE_FRAME);
		now += 1000000;
		core_arq_flush(&a, now);
	}
	if (a.n_window > CORE_ARQ_WINDOW)
		abort();
	core_arq_stop(&a);
	return 0;
}
