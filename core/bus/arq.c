/*
 * arq.c - numbering, acknowledging, repeating. Pure: no clock, no socket.
 */
#include "arq.h"

#include <string.h>

#include "base/omem.h"

/* A frame counts as lost when one sent this many transmissions later has come: tolerates reordering. */
#define LOST_AFTER 3

struct core_frame *core_frame_new(uint32_t kind)
{
	struct core_frame *f = omem_zalloc(sizeof(*f));

	if (f) {
		olist_init(&f->node);
		f->h.kind = (uint16_t)kind;
	}
	return f;
}

void core_frame_free(struct core_frame *f)
{
	if (!f)
		return;
	if (f->back)
		*f->back = NULL;
	core_parcel_unref(f->parcel);
	omem_free(f);
}

static uint32_t slot_of(uint64_t seq)
{
	return (uint32_t)(seq % CORE_ARQ_WINDOW);
}

static uint64_t bit_of(uint32_t i)
{
	return UINT64_C(1) << i;
}

void core_arq_init(struct core_arq *a, uint64_t epoch)
{
	memset(a, 0, sizeof(*a));
	a->epoch = epoch;
	a->batch_max = CORE_WIRE_FRAMES_MAX;
	olist_init(&a->queue);
	a->snd_una = 1;
	a->snd_next = 1;
	a->rcv_next = 1;
}

void core_arq_stop(struct core_arq *a)
{
	struct olist *n;

	a->stopped = true;
	while ((n = olist_shift(&a->queue)) != NULL)
		core_frame_free(OLIST_ENTRY(n, struct core_frame, node));
	a->n_queue = 0;
	for (uint32_t i = 0; i < CORE_ARQ_WINDOW; i++) {
		core_frame_free(a->window[i]);
		a->window[i] = NULL;
		core_frame_free(a->ahead[i]);
		a->ahead[i] = NULL;
	}
	a->n_window = 0;
	a->rto_due = 0;
	a->ack_due = 0;
}

void core_arq_send(struct core_arq *a, struct core_frame *take_f)
{
	if (a->stopped) {
		core_frame_free(take_f);
		return;
	}
	olist_append(&a->queue, &take_f->node);
	a->n_queue++;
	if (a->n_queue > a->queue_peak)
		a->queue_peak = a->n_queue;
}

void core_arq_unqueue(struct core_arq *a, struct core_frame *f)
{
	olist_del(&f->node);
	a->n_queue--;
	if (f->back)
		*f->back = NULL;
	f->back = NULL;
}

uint32_t core_arq_pending(const struct core_arq *a, uint32_t kind)
{
	uint32_t n = 0;

	OLIST_FOREACH(node, &a->queue)
		n += OLIST_ENTRY(node, struct core_frame, node)->h.kind == kind;
	for (uint32_t i = 0; i < CORE_ARQ_WINDOW; i++)
		n += a->window[i] && a->window[i]->h.kind == kind;
	return n;
}

uint64_t core_arq_due(const struct core_arq *a)
{
	if (!a->rto_due || (a->ack_due && a->ack_due < a->rto_due))
		return a->ack_due;
	return a->rto_due;
}

/* ---- receiving ---------------------------------------------------------------------------------- */

/* Returns true if the frame was not acknowledged before. */
static bool slot_acked(struct core_arq *a, uint64_t seq)
{
	uint32_t i = slot_of(seq);
	struct core_frame *f = a->window[i];

	if (!f)
		return false;
	if (f->order > a->order_seen)
		a->order_seen = f->order;
	a->window[i] = NULL;
	a->lost &= ~bit_of(i);
	a->n_window--;
	core_frame_free(f);
	return true;
}

/* Whoever acknowledges a frame has taken its own reference of the parcel: ours can go. */
static void ack_input(struct core_arq *a, uint64_t ack, uint64_t sack)
{
	bool progress = false;

	if (ack > a->snd_next) {
		a->stats.rejected++;
		return;
	}
	if (ack < a->snd_una)
		return;			/* an old packet, overtaken */
	for (; a->snd_una < ack; a->snd_una++)
		progress |= slot_acked(a, a->snd_una);
	for (uint32_t i = 0; sack != 0 && i < CORE_ARQ_WINDOW; i++, sack >>= 1)
		if ((sack & 1) && ack + 1 + i < a->snd_next)
			progress |= slot_acked(a, ack + 1 + i);
	if (a->n_window > 0 && a->order_seen > LOST_AFTER)
		for (uint64_t seq = a->snd_una; seq < a->snd_next; seq++) {
			struct core_frame *f = a->window[slot_of(seq)];

			if (f && f->order + LOST_AFTER <= a->order_seen)
				a->lost |= bit_of(slot_of(seq));
		}
	if (progress) {
		a->backoff = 0;
		a->rto_due = 0;		/* armed anew by flush if something is left */
	}
}

static void deliver_one(struct core_arq *a, struct core_frame *f)
{
	/* Before the call: what it sends acknowledges this frame. */
	a->rcv_next++;
	a->sack >>= 1;
	a->stats.frames_in++;
	a->stats.bytes_in += f->h.len;
	a->deliver(a->arg, f);
}

static void frame_input(struct core_arq *a, const struct core_wire_head *h, uint64_t parcel)
{
	struct core_frame *f;

	a->unacked++;
	if (h->seq < a->rcv_next || a->ahead[slot_of(h->seq)]) {
		/* Ours was lost on the way, or theirs was slow: say again how far we are. */
		if (h->seq < a->rcv_next + CORE_ARQ_WINDOW) {
			a->stats.duplicates++;
			a->ack_now = true;
			return;
		}
	}
	if (h->seq >= a->rcv_next + CORE_ARQ_WINDOW) {
		a->stats.rejected++;
		return;
	}
	f = core_frame_new(h->kind);
	if (!f)
		return;			/* as if it were lost: it comes again */
	f->h = *h;
	/* The first time that we take it: the sender still holds its reference (see parcel.h). */
	f->parcel = core_parcel_ref((struct core_parcel *)(uintptr_t)parcel);
	if (h->seq > a->rcv_next) {
		a->ahead[slot_of(h->seq)] = f;
		a->sack |= bit_of((uint32_t)(h->seq - a->rcv_next - 1));
		a->ack_now = true;
		return;
	}
	for (;;) {
		deliver_one(a, f);
		if (a->stopped)
			return;
		f = a->ahead[slot_of(a->rcv_next)];
		if (!f)
			return;
		a->ahead[slot_of(a->rcv_next)] = NULL;
	}
}

void core_arq_input(struct core_arq *a, const void *packet, size_t len)
{
	struct core_wire_packet p;

	if (a->stopped)
		return;
	if (!core_wire_get_packet(packet, len, &p) || p.epoch != a->epoch) {
		a->stats.rejected++;
		return;
	}
	a->stats.packets_in++;
	ack_input(a, p.ack, p.sack);
	for (uint32_t i = 0; i < p.n_frames && !a->stopped; i++) {
		struct core_wire_head h;
		uint64_t parcel;

		if (core_wire_get_frame(packet, i, &h, &parcel))
			frame_input(a, &h, parcel);
		else
			a->stats.rejected++;
	}
}

/* ---- sending ------------------------------------------------------------------------------------ */

/* Numbers the next frame of the queue; NULL if there is none or the window is full. */
static struct core_frame *window_next(struct core_arq *a)
{
	struct core_frame *f;

	if (olist_empty(&a->queue) || a->snd_next - a->snd_una >= CORE_ARQ_WINDOW)
		return NULL;
	f = OLIST_ENTRY(olist_first(&a->queue), struct core_frame, node);
	core_arq_unqueue(a, f);
	f->h.seq = a->snd_next++;
	a->window[slot_of(f->h.seq)] = f;
	a->n_window++;
	a->stats.frames_out++;
	a->stats.bytes_out += f->h.len;
	return f;
}

/* The next frame to put into a packet: first what is missing over there, then what is new. */
static struct core_frame *frame_next(struct core_arq *a)
{
	uint64_t seq;

	if (!a->lost)
		return window_next(a);
	for (seq = a->snd_una; seq < a->snd_next; seq++)
		if (a->lost & bit_of(slot_of(seq)))
			break;
	a->lost &= ~bit_of(slot_of(seq));
	a->stats.retransmitted++;
	return a->window[slot_of(seq)];
}

static void packet_out(struct core_arq *a, uint8_t *buf, uint32_t n)
{
	struct core_wire_packet p = {
		.epoch = a->epoch, .ack = a->rcv_next, .sack = a->sack, .n_frames = n,
	};

	core_wire_put_packet(buf, &p);
	a->unacked = 0;
	a->ack_now = false;
	a->ack_due = 0;
	a->stats.packets_out++;
	a->out(a->arg, buf, CORE_WIRE_PACKET_HEAD + (size_t)n * CORE_WIRE_FRAME);
}

/* The probe: the oldest frame once more. Its acknowledgement tells what else is missing. */
static void rto_check(struct core_arq *a, uint64_t now_ns)
{
	uint64_t seq;

	if (!a->rto_due || now_ns < a->rto_due)
		return;
	a->rto_due = 0;
	if (a->n_window == 0)
		return;
	for (seq = a->snd_una; !a->window[slot_of(seq)];)
		seq++;
	a->lost |= bit_of(slot_of(seq));
	if (CORE_ARQ_RTO_NS << a->backoff < CORE_ARQ_RTO_MAX_NS)
		a->backoff++;
}

void core_arq_flush(struct core_arq *a, uint64_t now_ns)
{
	uint8_t buf[CORE_WIRE_PACKET_MAX];
	uint32_t n;

	if (a->stopped)
		return;
	rto_check(a, now_ns);
	do {
		struct core_frame *f;

		for (n = 0; n < a->batch_max && (f = frame_next(a)) != NULL; n++) {
			f->order = ++a->order;
			core_wire_put_frame(buf + CORE_WIRE_PACKET_HEAD + (size_t)n * CORE_WIRE_FRAME,
					    &f->h, (uint64_t)(uintptr_t)f->parcel);
		}
		if (n > 0)
			packet_out(a, buf, n);
	} while (n == a->batch_max);
	if (a->ack_now || a->unacked >= CORE_ARQ_ACK_EVERY)
		packet_out(a, buf, 0);
	if (a->unacked > 0 && !a->ack_due)
		a->ack_due = now_ns + CORE_ARQ_ACK_NS;
	else if (a->ack_due && now_ns >= a->ack_due)
		packet_out(a, buf, 0);
	if (a->n_window > 0 && !a->rto_due) {
		uint64_t rto = CORE_ARQ_RTO_NS << a->backoff;

		a->rto_due = now_ns + (rto < CORE_ARQ_RTO_MAX_NS ? rto : CORE_ARQ_RTO_MAX_NS);
	}
}
