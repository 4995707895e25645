/*
 * arq.c - the repeat protocol over a channel that loses, doubles and reorders, on a virtual clock.
 */
#include "../arq.h"

#include <string.h>

#include "../loss.h"
#include "base/otap.h"

#define HOP_NS UINT64_C(20000)
#define IN_FLIGHT 4096

struct packet {
	uint64_t	at;
	int		to;
	size_t		len;
	uint8_t		buf[CORE_WIRE_PACKET_MAX];
};

struct end {
	struct world	*w;
	int		me;
	struct core_arq	arq;
	struct core_loss loss;
	uint64_t	got;	/* values 1, 2, 3 … in order */
	uint64_t	wrong;
};

struct world {
	uint64_t	now;
	struct end	end[2];
	struct packet	*fly;
	uint32_t	n_fly;
	uint32_t	lost_full;
};

static void fly(void *arg, const void *p, size_t len)
{
	struct end *e = arg;
	struct packet *k;

	if (e->w->n_fly == IN_FLIGHT) {
		e->w->lost_full++;
		return;
	}
	k = &e->w->fly[e->w->n_fly++];
	k->at = e->w->now + HOP_NS;
	k->to = !e->me;
	k->len = len;
	memcpy(k->buf, p, len);
}

static void out(void *arg, const void *p, size_t len)
{
	struct end *e = arg;

	core_loss_pass(&e->loss, p, len, fly, e);
}

static void deliver(void *arg, struct core_frame *f)
{
	struct end *e = arg;

	if (f->h.value != ++e->got)
		e->wrong++;
	core_frame_free(f);
}

static void world_init(struct world *w, uint32_t percent, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->now = 1;
	w->fly = calloc(IN_FLIGHT, sizeof(*w->fly));
	for (int i = 0; i < 2; i++) {
		struct end *e = &w->end[i];

		e->w = w;
		e->me = i;
		core_arq_init(&e->arq, 7);
		e->arq.arg = e;
		e->arq.out = out;
		e->arq.deliver = deliver;
		e->arq.batch_max = percent ? 1 : CORE_WIRE_FRAMES_MAX;
		e->loss = (struct core_loss){
			.loss_percent = percent, .dup_percent = percent, .reorder_percent = percent,
			.random = seed * 2 + (uint64_t)i,
		};
	}
}

static void world_done(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		core_arq_stop(&w->end[i].arq);
		core_loss_done(&w->end[i].loss);
	}
	free(w->fly);
}

static void send(struct end *e, uint64_t value, struct core_parcel *parcel)
{
	struct core_frame *f = core_frame_new(CORE_W_EVENT);

	f->h.value = value;
	f->parcel = core_parcel_ref(parcel);
	core_arq_send(&e->arq, f);
}

/* One step of time; false when nothing will ever happen any more. */
static bool step(struct world *w)
{
	uint64_t next = 0;

	for (int i = 0; i < 2; i++) {
		uint64_t due = core_arq_due(&w->end[i].arq);

		if (due && (!next || due < next))
			next = due;
	}
	for (uint32_t i = 0; i < w->n_fly; i++)
		if (!next || w->fly[i].at < next)
			next = w->fly[i].at;
	if (!next)
		return false;
	if (next > w->now)
		w->now = next;
	for (uint32_t i = 0; i < w->n_fly;) {
		static struct packet k;

		if (w->fly[i].at > w->now) {
			i++;
			continue;
		}
		k = w->fly[i];
		memmove(&w->fly[i], &w->fly[i + 1], (--w->n_fly - i) * sizeof(k));
		core_arq_input(&w->end[k.to].arq, k.buf, k.len);
	}
	for (int i = 0; i < 2; i++)
		core_arq_flush(&w->end[i].arq, w->now);
	return true;
}

static void test_channel(uint32_t percent, uint64_t seed, uint64_t n)
{
	struct core_parcel *parcel;
	struct orlop_msg m = { .size = sizeof(m), .body = { "hello", 5 } };
	struct world w;
	uint64_t repeats;

	world_init(&w, percent, seed);
	(void)core_parcel_new(&m, NULL, NULL, &parcel);
	for (uint64_t i = 1; i <= n; i++) {
		send(&w.end[0], i, parcel);
		if (i % 3 == 0)
			send(&w.end[1], i / 3, parcel);
		if (i % 50 == 0)
			for (int k = 0; k < 2; k++)
				core_arq_flush(&w.end[k].arq, w.now);
	}
	core_arq_flush(&w.end[0].arq, w.now);
	core_arq_flush(&w.end[1].arq, w.now);
	while (step(&w))
		;
	repeats = w.end[0].arq.stats.retransmitted;
	is_int(w.end[1].got, n, "%u %%, seed %llu: all there", percent, (unsigned long long)seed);
	is_int(w.end[0].got, n / 3, "and back");
	is_int(w.end[0].wrong + w.end[1].wrong, 0, "in order");
	is_int(w.end[0].arq.n_window + w.end[1].arq.n_window, 0, "all acknowledged, no timer left");
	is_int(oref_count(&parcel->ref), 1, "nobody holds a reference any more");
	diag("%llu ms of virtual time, %llu repeats", (unsigned long long)(w.now / 1000000),
	     (unsigned long long)repeats);
	if (!percent)
		is_int(repeats, 0, "nothing repeated without loss");
	world_done(&w);
	core_parcel_unref(parcel);
}

static void test_stop(void)
{
	struct orlop_msg m = { .size = sizeof(m), .body = { "hello", 5 } };
	struct core_parcel *parcel;
	struct world w;

	world_init(&w, 0, 1);
	(void)core_parcel_new(&m, NULL, NULL, &parcel);
	for (uint64_t i = 1; i <= 200; i++)
		send(&w.end[0], i, parcel);
	core_arq_flush(&w.end[0].arq, w.now);
	ok(oref_count(&parcel->ref) == 201, "each frame holds its reference until it is acknowledged");
	core_arq_stop(&w.end[0].arq);
	is_int(oref_count(&parcel->ref), 1, "a stopped end holds none");
	send(&w.end[0], 1, parcel);
	is_int(oref_count(&parcel->ref), 1, "and takes none");
	world_done(&w);
	core_parcel_unref(parcel);
}

static void test_epoch(void)
{
	struct world w;
	struct packet k;

	world_init(&w, 0, 1);
	send(&w.end[0], 1, NULL);
	core_arq_flush(&w.end[0].arq, w.now);
	k = w.fly[0];
	w.end[1].arq.epoch = 8;
	core_arq_input(&w.end[1].arq, k.buf, k.len);
	is_int(w.end[1].got, 0, "a packet of another epoch is not delivered");
	is_int(w.end[1].arq.stats.rejected, 1, "but counted");
	w.end[1].arq.epoch = 7;
	core_arq_input(&w.end[1].arq, k.buf, k.len);
	core_arq_input(&w.end[1].arq, k.buf, k.len);
	is_int(w.end[1].got, 1, "of ours it is, once");
	core_arq_input(&w.end[1].arq, k.buf, k.len - 1);
	is_int(w.end[1].arq.stats.rejected, 2, "a cut packet is refused");
	world_done(&w);
}

int main(void)
{
	test_channel(0, 1, 10000);
	for (uint64_t seed = 1; seed <= 20; seed++)
		test_channel(seed % 2 ? 20 : 45, seed, 3000);
	test_stop();
	test_epoch();
	return done_testing();
}
