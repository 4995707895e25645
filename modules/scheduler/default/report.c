/*
 * report.c - what people see of scheduling: condition PodScheduled and the Events of a pod
 *
 * The same is not said twice: the condition is compared with what the cache has, a repeated Event is
 * counted in the first one for ten minutes.
 */
#include "module.h"

#include <string.h>

#include "base/ohash.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "base/otime.h"

#define SAME_EVENT_NS (10 * OTIME_MINUTE)
#define NOTE_MAX      1024u /* bytes of an Event's message, as upstream's recorder cuts */

static uint64_t now_wall(const struct sd *s)
{
	return s->h->now_wall(s->h);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void put_message(struct obuf *b, struct orlop_bytes m)
{
	struct obuf cut = OBUF_INIT;

	if (m.len <= NOTE_MAX) {
		obuf_put_json_string(b, m.p, m.len);
		return;
	}
	obuf_append(&cut, m.p, NOTE_MAX - 4);
	obuf_puts(&cut, " ...");
	obuf_put_json_string(b, obuf_cstr(&cut), cut.len);
	obuf_done(&cut);
}

static void event_write(struct sd *s, const struct sd_pod *p, struct orlop_bytes name,
			const char *type, const char *reason, struct orlop_bytes message,
			const char *time)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "{\"kind\":\"Event\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":");
	obuf_put_json_string(&b, name.p, name.len);
	obuf_puts(&b, ",\"namespace\":");
	obuf_put_json_string(&b, p->ns.p, p->ns.len);
	obuf_puts(&b, "},\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":");
	obuf_put_json_string(&b, p->ns.p, p->ns.len);
	obuf_puts(&b, ",\"name\":");
	obuf_put_json_string(&b, p->name.p, p->name.len);
	obuf_puts(&b, ",\"uid\":");
	obuf_put_json_cstr(&b, p->uid);
	obuf_printf(&b, ",\"apiVersion\":\"v1\"},\"reason\":\"%s\",\"message\":", reason);
	put_message(&b, message);
	obuf_puts(&b, ",\"source\":{\"component\":");
	obuf_put_json_cstr(&b, s->name);
	obuf_printf(&b, "},\"firstTimestamp\":\"%s\",\"lastTimestamp\":\"%s\",\"count\":1,\"type\":\"%s\"", time,
		    time, type);
	obuf_puts(&b, ",\"reportingComponent\":");
	obuf_put_json_cstr(&b, s->name);
	obuf_puts(&b, ",\"reportingInstance\":\"\"}");
	if (!obuf_err(&b))
		(void)sd_write_other(s, SD_W_EVENT, p, name, (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
}

/* The Event's name: the pod's and the time, as upstream's; cut so that it stays a name. */
static struct orlop_bytes event_name(const struct sd_pod *p, uint64_t id, struct obuf *b)
{
	obuf_append(b, p->name.p, p->name.len < 230 ? p->name.len : 230);
	obuf_printf(b, ".%llx", (unsigned long long)id);
	return (struct orlop_bytes){ obuf_cstr(b), b->len };
}

static void event(struct sd *s, struct sd_pod *p, const char *type, const char *reason,
		  struct orlop_bytes message)
{
	uint64_t now = now_wall(s);
	uint64_t hash = ohash_fnv1a64(OHASH_FNV64_INIT, message.p, message.len);
	struct obuf name = OBUF_INIT, b = OBUF_INIT;
	char time[OTIME_BUF];

	otime_format((int64_t)now, time);
	if (p->event_said == hash && now - p->event_ns < (uint64_t)SAME_EVENT_NS) {
		obuf_printf(&b, "{\"count\":%u,\"lastTimestamp\":\"%s\"}", ++p->event_count, time);
		if (!obuf_err(&b))
			(void)sd_write_other(s, SD_W_EVENT_COUNT, p,
					     event_name(p, p->event_id, &name),
					     (struct orlop_bytes){ b.data, b.len });
	} else {
		p->event_said = hash;
		p->event_id = now;
		p->event_count = 1;
		event_write(s, p, event_name(p, now, &name), type, reason, message, time);
	}
	p->event_ns = now;
	obuf_done(&name);
	obuf_done(&b);
}

/* ---- the condition --------------------------------------------------------------------------- */

static bool string_at_is(struct orlop_bytes obj, const char *key, struct orlop_bytes text)
{
	struct orlop_bytes v;

	return oscan_get(obj, key, &v) ? oscan_string_is(v, text.p, text.len) : text.len == 0;
}

/* Condition PodScheduled of the pod as the cache has it. */
static bool condition_now(struct orlop_bytes members, struct orlop_bytes *ret)
{
	struct orlop_bytes list, type;
	struct oscan_iter it;

	if (!OSCAN_FIND_MEMBERS(members, &list, "status", "conditions"))
		return false;
	for (oscan_begin(&it, list); oscan_next(&it) > 0;)
		if (oscan_get(it.value, "type", &type) &&
		    oscan_string_is_cstr(type, "PodScheduled")) {
			*ret = it.value;
			return true;
		}
	return false;
}

static struct orlop_bytes nominated(const struct sd_pod *p)
{
	return p->nominated ? p->nominated->name : (struct orlop_bytes){ "", 0 };
}

static bool nominated_is(struct orlop_bytes members, const struct sd_pod *p)
{
	struct orlop_bytes v = { "\"\"", 2 }, n = nominated(p);

	(void)OSCAN_FIND_MEMBERS(members, &v, "status", "nominatedNodeName");
	return oscan_string_is(v, n.p, n.len);
}

static void nominated_put(struct obuf *b, const struct sd_pod *p)
{
	obuf_puts(b, "\"nominatedNodeName\":");
	if (p->nominated)
		obuf_put_json_string(b, p->nominated->name.p, p->nominated->name.len);
	else
		obuf_puts(b, "null");
}

static void condition_write(struct sd *s, const struct sd_pod *p, const struct orlop_object *o,
			    const char *reason, struct orlop_bytes message)
{
	struct orlop_bytes now = { "{}", 2 }, since, gen;
	struct orlop_bytes why = { reason, strlen(reason) };
	bool there = condition_now(o->json, &now), same_node = nominated_is(o->json, p);
	struct orlop_bytes no = { "False", 5 };
	struct obuf b = OBUF_INIT;
	char time[OTIME_BUF];

	if (same_node && there && string_at_is(now, "status", no) && string_at_is(now, "reason", why) &&
	    string_at_is(now, "message", message))
		return;
	obuf_puts(&b, "{\"metadata\":{\"uid\":");
	obuf_put_json_cstr(&b, p->uid);
	obuf_puts(
		&b,
		"},\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\",\"reason\":");
	obuf_put_json_cstr(&b, reason);
	obuf_puts(&b, ",\"message\":");
	obuf_put_json_string(&b, message.p, message.len);
	obuf_puts(&b, ",\"lastProbeTime\":null,\"lastTransitionTime\":");
	if (there && string_at_is(now, "status", no) &&
	    oscan_get(now, "lastTransitionTime", &since)) {
		obuf_append(&b, since.p, since.len);
	} else {
		otime_format((int64_t)now_wall(s), time);
		obuf_printf(&b, "\"%s\"", time);
	}
	if (OSCAN_FIND_MEMBERS(o->json, &gen, "metadata", "generation"))
		obuf_printf(&b, ",\"observedGeneration\":%lld", (long long)oscan_i64(gen, 0));
	obuf_puts(&b, "}]");
	if (!same_node) {
		obuf_putc(&b, ',');
		nominated_put(&b, p);
	}
	obuf_puts(&b, "}}");
	if (!obuf_err(&b))
		(void)sd_write_other(s, SD_W_CONDITION, p, p->name,
				     (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
}

static void condition(struct sd *s, struct sd_pod *p, const char *reason,
		      struct orlop_bytes message)
{
	uint64_t hash = ohash_fnv1a64(ohash_fnv1a64(OHASH_FNV64_INIT, reason, strlen(reason)),
				      message.p, message.len);
	struct orlop_snapshot *snap;
	struct orlop_object *o;

	hash = ohash_fnv1a64(hash, nominated(p).p, nominated(p).len);
	if (p->said == hash || s->h->snapshot_open(okube_informer_resource(s->in_pods), &snap))
		return;
	o = s->h->snapshot_get(snap, p->ns, p->name);
	if (o) {
		p->said = hash;
		condition_write(s, p, o, reason, message);
	}
	s->h->snapshot_close(snap);
}

/* ---- what is said ---------------------------------------------------------------------------- */

void sd_report_scheduled(struct sd *s, struct sd_pod *p, struct orlop_bytes node)
{
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "Successfully assigned %.*s/%.*s to %.*s", (int)p->ns.len, p->ns.p,
		    (int)p->name.len, p->name.p, (int)node.len, node.p);
	if (!obuf_err(&b))
		event(s, p, "Normal", "Scheduled", (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
}

void sd_report_failed(struct sd *s, struct sd_pod *p, const char *reason,
		      struct orlop_bytes message)
{
	condition(s, p, reason, message);
	event(s, p, "Warning", "FailedScheduling", message);
}

void sd_report_gated(struct sd *s, struct sd_pod *p)
{
	static const char text[] = "Scheduling is blocked due to non-empty scheduling gates";

	condition(s, p, "SchedulingGated", (struct orlop_bytes){ text, sizeof(text) - 1 });
}

void sd_report_preempted(struct sd *s, struct sd_pod *victim, const struct sd_pod *by,
			 struct orlop_bytes message)
{
	(void)by;
	event(s, victim, "Normal", "Preempted", message);
}

void sd_report_nominated(struct sd *s, struct sd_pod *p)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "{\"metadata\":{\"uid\":");
	obuf_put_json_cstr(&b, p->uid);
	obuf_puts(&b, "},\"status\":{");
	nominated_put(&b, p);
	obuf_puts(&b, "}}");
	if (!obuf_err(&b))
		(void)sd_write_other(s, SD_W_CONDITION, p, p->name, (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
}
