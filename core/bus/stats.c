/*
 * stats.c - looking into the bus: counters per link, the tap, the last messages for crash output.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hub.h"

const char *core_bus_kind_name(uint32_t kind)
{
	static const char *const names[CORE_W_KINDS] = {
		[CORE_W_REQUEST] = "request", [CORE_W_REPLY] = "reply", [CORE_W_EMIT] = "emit",
		[CORE_W_CREDIT] = "credit", [CORE_W_CANCEL] = "cancel", [CORE_W_PUBLISH] = "publish",
		[CORE_W_EVENT] = "event", [CORE_W_NOTE] = "note", [CORE_W_SUBSCRIBE] = "subscribe",
		[CORE_W_UNSUBSCRIBE] = "unsubscribe", [CORE_W_QUIESCE] = "quiesce",
		[CORE_W_QUIESCED] = "quiesced",
	};

	return kind < CORE_W_KINDS && names[kind] ? names[kind] : "?";
}

const char *core_bus_name(struct core_bus *bus, uint32_t number)
{
	const struct core_name *n = number ? core_name_get(bus, number) : NULL;

	return n ? n->name : "";
}

/* Upper bound of the power of two below which @permille of the answers were given. */
static uint64_t quantile_ns(const struct core_port *p, uint64_t permille)
{
	uint64_t total = 0;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < 64; i++)
		total += p->latency[i];
	for (uint32_t i = 0; i < 63 && total > 0; i++) {
		sum += p->latency[i];
		if (sum * 1000 >= total * permille)
			return UINT64_C(2) << i;
	}
	return 0;
}

struct cmd_stats {
	struct core_cmd	cmd;
	void		(*fn)(void *arg, const struct core_link_stats *s);
	void		*arg;
};

static void stats_run(struct core_bus *bus, struct core_cmd *cmd)
{
	struct cmd_stats *c = (struct cmd_stats *)(void *)cmd;

	OLIST_FOREACH(node, &bus->ports) {
		struct core_port *p = OLIST_ENTRY(node, struct core_port, node);
		const struct core_arq_stats *a = &p->arq.stats;
		struct core_link_stats s = {
			.name = p->name, .id = p->id, .epoch = p->epoch, .muted = p->muted,
			.frames_in = a->frames_in, .frames_out = a->frames_out,
			.bytes_in = a->bytes_in, .bytes_out = a->bytes_out,
			.packets_in = a->packets_in, .packets_out = a->packets_out,
			.retransmitted = a->retransmitted, .duplicates = a->duplicates,
			.rejected = a->rejected,
			.injected = p->loss_in.injected + p->loss_out.injected,
			.requests_in = p->requests_in, .requests_out = p->requests_out,
			.refused = p->refused, .resets = p->resets,
			.hints_dropped = p->hints_dropped, .notes_merged = p->notes_merged,
			.queued = p->arq.n_queue, .queued_peak = p->arq.queue_peak,
			.open = p->n_open, .open_peak = p->open_peak,
			.p50_ns = quantile_ns(p, 500), .p99_ns = quantile_ns(p, 990),
		};

		c->fn(c->arg, &s);
	}
}

void core_bus_stats(struct core_bus *bus, void (*fn)(void *arg, const struct core_link_stats *s), void *arg)
{
	struct cmd_stats c = { .cmd.fn = stats_run, .fn = fn, .arg = arg };

	core_hub_run(bus, &c.cmd);
}

struct cmd_recent {
	struct core_cmd	cmd;
	const char	*link;
	void		(*fn)(void *arg, const char *link, const struct core_bus_head *h,
			      const char *src, const char *dst);
	void		*arg;
};

static const char *port_name(struct core_bus *bus, uint32_t id)
{
	OLIST_FOREACH(node, &bus->ports) {
		struct core_port *p = OLIST_ENTRY(node, struct core_port, node);

		if (p->id == id)
			return p->name;
	}
	return "";
}

static void recent_run(struct core_bus *bus, struct core_cmd *cmd)
{
	struct cmd_recent *c = (struct cmd_recent *)(void *)cmd;
	size_t n = strlen(c->link);

	OLIST_FOREACH(node, &bus->ports) {
		struct core_port *p = OLIST_ENTRY(node, struct core_port, node);
		uint32_t k = p->n_recent > CORE_HUB_RECENT ? p->n_recent - CORE_HUB_RECENT : 0;

		if (strncmp(p->name, c->link, n) || (p->name[n] && p->name[n] != '#'))
			continue;
		for (; k < p->n_recent; k++) {
			const struct core_bus_head *h = &p->recent[k % CORE_HUB_RECENT];

			c->fn(c->arg, p->name, h, port_name(bus, h->src), port_name(bus, h->dst));
		}
	}
}

void core_bus_recent(struct core_bus *bus, const char *link,
		     void (*fn)(void *arg, const char *link, const struct core_bus_head *h,
				const char *src, const char *dst), void *arg)
{
	struct cmd_recent c = { .cmd.fn = recent_run, .link = link, .fn = fn, .arg = arg };

	core_hub_run(bus, &c.cmd);
}

struct cmd_tap {
	struct core_cmd	cmd;
	core_bus_tap_fn	fn;
	void		*arg;
};

static void tap_run(struct core_bus *bus, struct core_cmd *cmd)
{
	struct cmd_tap *c = (struct cmd_tap *)(void *)cmd;

	bus->tap = c->fn;
	bus->tap_arg = c->arg;
}

void core_bus_tap(struct core_bus *bus, core_bus_tap_fn fn, void *arg)
{
	struct cmd_tap c = { .cmd.fn = tap_run, .fn = fn, .arg = arg };

	core_hub_run(bus, &c.cmd);
}

/* ---- crash output: no lock, no allocation, no stdio ------------------------------------------------- */

struct line {
	char	buf[256];
	size_t	len;
};

static void line_str(struct line *l, const char *cstr)
{
	while (*cstr && l->len < sizeof(l->buf) - 1)
		l->buf[l->len++] = *cstr++;
}

static void line_u64(struct line *l, uint64_t v)
{
	char digits[24];
	uint32_t n = sizeof(digits) - 1;

	digits[n] = '\0';
	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	line_str(l, digits + n);
}

static void line_field(struct line *l, const char *name, uint64_t v)
{
	line_str(l, name);
	line_u64(l, v);
}

static void head_dump(struct core_bus *bus, int fd, const char *name, const struct core_bus_head *h)
{
	struct line l = { .len = 0 };

	line_str(&l, "bus ");
	line_str(&l, name);
	line_str(&l, " ");
	line_str(&l, core_bus_kind_name(h->kind));
	line_field(&l, " src=", h->src);
	line_field(&l, " dst=", h->dst);
	if (h->name) {
		line_str(&l, " address=");
		line_str(&l, core_bus_name(bus, h->name));
	}
	line_field(&l, " op=", h->op);
	line_str(&l, h->status < 0 ? " status=-" : " status=");
	line_u64(&l, h->status < 0 ? (uint64_t)-(int64_t)h->status : (uint64_t)h->status);
	line_field(&l, " len=", h->len_bytes);
	line_field(&l, " corr=", h->corr & ((UINT64_C(1) << CORE_WIRE_CORR_BITS) - 1));
	line_field(&l, " at_ns=", h->at_ns);
	l.buf[l.len++] = '\n';
	(void)!write(fd, l.buf, l.len);
}

void core_bus_dump(struct core_bus *bus, int fd)
{
	for (uint32_t i = 0; i < CORE_HUB_PORTS_SHOWN; i++) {
		struct core_port *p = atomic_load_explicit(&bus->shown[i], memory_order_acquire);
		uint32_t n = p ? p->n_recent : 0;

		for (uint32_t k = n > CORE_HUB_RECENT ? n - CORE_HUB_RECENT : 0; k < n; k++)
			head_dump(bus, fd, p->name, &p->recent[k % CORE_HUB_RECENT]);
	}
}
