/*
 * look.c - counters of one instance: what it holds, the time it took, its links, its own words.
 */
#include "look.h"

#include <stdio.h>
#include <string.h>

#include "base/obuf.h"
#include "bus/bus.h"

static void comma(struct obuf *b)
{
	if (b->len && !strchr("{[,:", b->data[b->len - 1]))
		obuf_putc(b, ',');
}

static void key(struct obuf *b, const char *name)
{
	comma(b);
	obuf_put_json_cstr(b, name);
	obuf_putc(b, ':');
}

static void num(struct obuf *b, const char *name, uint64_t v)
{
	key(b, name);
	obuf_put_u64(b, v);
}

static void text(struct obuf *b, const char *name, const char *v)
{
	key(b, name);
	obuf_put_json_cstr(b, v);
}

void core_look_held(struct obuf *b, struct core_instance *inst)
{
	struct core_link_open_counts open = { 0, 0 };

	for (uint32_t i = 0; i < inst->n_shards; i++) {
		struct core_link_open_counts one = { 0, 0 };
		const struct core_shard *s = &inst->shards[i];

		/* The first one is opened and closed by this loop, the others by their own. */
		if (i ? s->linked : s->link != NULL)
			core_link_counts(s->link, &one);
		open.calls += one.calls;
		open.requests += one.requests;
	}
	key(b, "held");
	obuf_putc(b, '{');
	for (int k = 0; k < CORE_HELD_MAX; k++) {
		uint64_t sum = k == CORE_HELD_CALL ? open.calls : k == CORE_HELD_REQUEST ? open.requests : 0;

		for (uint32_t i = 0; i < inst->n_shards; i++)
			sum += core_owner_count(&inst->shards[i].held, k);
		num(b, core_held_name(k), sum);
	}
	obuf_putc(b, '}');
}

uint64_t core_look_busy_ns(struct core_instance *inst)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < inst->n_shards; i++)
		sum += atomic_load(&inst->shards[i].held.busy_ns);
	return sum;
}

static void put_shards(struct obuf *b, struct core_instance *inst)
{
	key(b, "shards");
	obuf_putc(b, '[');
	for (uint32_t i = 0; i < inst->n_shards; i++) {
		struct core_loop *l = inst->shards[i].loop;
		struct core_owner *o = &inst->shards[i].held;

		if (!l)
			continue;
		comma(b);
		obuf_putc(b, '{');
		text(b, "loop", l->name);
		num(b, "callbacks", atomic_load(&o->n_busy));
		num(b, "busyNs", atomic_load(&o->busy_ns));
		num(b, "longestNs", atomic_load(&o->busy_max_ns));
		num(b, "loopCpuNs", core_loop_cpu_ns(l));
		num(b, "loopTurns", atomic_load(&l->turns));
		num(b, "loopPosts", atomic_load(&l->n_ran));
		num(b, "loopTimers", atomic_load(&l->n_fired));
		num(b, "loopEvents", atomic_load(&l->n_events));
		obuf_putc(b, '}');
	}
	obuf_putc(b, ']');
}

struct looked {
	struct obuf	*b;
	const struct core_instance *inst;
	uint64_t	now;
};

static bool link_of(const struct core_instance *inst, const char *link)
{
	size_t n = strlen(inst->name);

	return strncmp(link, inst->name, n) == 0 && (link[n] == '\0' || link[n] == '#');
}

static void put_link(void *arg, const struct core_link_stats *s)
{
	struct looked *k = arg;
	struct obuf *b = k->b;

	if (!link_of(k->inst, s->name))
		return;
	comma(b);
	obuf_putc(b, '{');
	text(b, "name", s->name);
	num(b, "requestsIn", s->requests_in);
	num(b, "requestsOut", s->requests_out);
	num(b, "open", s->open);
	num(b, "openPeak", s->open_peak);
	num(b, "queued", s->queued);
	num(b, "queuedPeak", s->queued_peak);
	num(b, "refused", s->refused);
	num(b, "resets", s->resets);
	num(b, "bytesIn", s->bytes_in);
	num(b, "bytesOut", s->bytes_out);
	num(b, "retransmitted", s->retransmitted);
	num(b, "p50Ns", s->p50_ns);
	num(b, "p99Ns", s->p99_ns);
	obuf_putc(b, '}');
}

void core_look_stats(struct obuf *b, struct core_instance *inst)
{
	struct looked k = { .b = b, .inst = inst };
	char own[8192];

	core_look_held(b, inst);
	put_shards(b, inst);
	key(b, "links");
	obuf_putc(b, '[');
	core_bus_stats(inst->core->bus, put_link, &k);
	obuf_putc(b, ']');
	if (inst->state == CORE_READY && inst->mod.stats &&
	    inst->mod.stats(inst->ctx, own, sizeof(own)) >= 0) {
		own[sizeof(own) - 1] = '\0';
		key(b, "module");
		obuf_puts(b, own[0] ? own : "{}");
	}
}

static void put_head(void *arg, const char *link, const struct core_bus_head *h, const char *src,
		     const char *dst)
{
	struct looked *k = arg;
	struct obuf *b = k->b;

	(void)link;
	comma(b);
	obuf_putc(b, '{');
	num(b, "agoNs", k->now > h->at_ns ? k->now - h->at_ns : 0);
	text(b, "kind", core_bus_kind_name(h->kind));
	text(b, "from", src);
	text(b, "to", dst);
	text(b, "address", core_bus_name(k->inst->core->bus, h->name));
	num(b, "op", h->op);
	key(b, "status");
	obuf_put_i64(b, h->status);
	num(b, "bytes", h->len_bytes);
	num(b, "latencyNs", h->latency_ns);
	key(b, "trace");
	obuf_printf(b, "\"%016llx\"", (unsigned long long)h->trace);
	obuf_putc(b, '}');
}

void core_look_messages(struct obuf *b, struct core_instance *inst)
{
	struct looked k = { .b = b, .inst = inst, .now = core_now_mono() };

	key(b, "messages");
	obuf_putc(b, '[');
	core_bus_recent(inst->core->bus, inst->name, put_head, &k);
	obuf_putc(b, ']');
}
