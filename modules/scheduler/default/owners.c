/*
 * owners.c - the spread constraints of a pod: its own, or the profile's over the pods that its Services and
 * its owner select.
 *
 * Source: pkg/scheduler/framework/plugins/helper/spread.go, DefaultSelector.
 */
#include "module.h"

#include <errno.h>
#include <string.h>

#include "base/ostr.h"
#include "json/oscan.h"

static const char system_spread[] =
	"[{\"maxSkew\":3,\"topologyKey\":\"kubernetes.io/hostname\",\"whenUnsatisfiable\":\"ScheduleAnyway\"},"
	"{\"maxSkew\":5,\"topologyKey\":\"topology.kubernetes.io/zone\",\"whenUnsatisfiable\":\"ScheduleAnyway\"}]";

static const struct {
	const char *resource;
	const char *kind;
	const char *group;
	bool plain;	/* its selector is a map, not a LabelSelector */
} owners[SD_OWNERS] = {
	[SD_OWNER_SERVICE] = { "services", "", "", true },
	{ "replicationcontrollers", "ReplicationController", "v1", true },
	{ "replicasets.apps", "ReplicaSet", "apps/", false },
	{ "statefulsets.apps", "StatefulSet", "apps/", false },
};

int sd_owners_open(struct sd *s, struct orlop_error *err)
{
	for (uint32_t i = 0; i < SD_OWNERS; i++) {
		int r = s->h->resource_open(s->h, owners[i].resource, &s->owners[i], err);

		if (r)
			return r;
	}
	return 0;
}

void sd_owners_close(struct sd *s)
{
	for (uint32_t i = 0; i < SD_OWNERS; i++) {
		s->h->resource_close(s->owners[i]);
		s->owners[i] = NULL;
	}
}

static void members_put(struct obuf *b, struct orlop_bytes map, bool *any)
{
	struct oscan_iter it;

	for (oscan_begin(&it, map); oscan_next(&it) > 0;) {
		obuf_puts(b, *any ? "," : "");
		obuf_append(b, it.key.p, it.key.len);
		obuf_putc(b, ':');
		obuf_append(b, it.value.p, it.value.len);
		*any = true;
	}
}

static bool map_selects(struct orlop_bytes map, const struct sd_pod *p)
{
	struct oscan_iter it;
	bool any = false;

	for (oscan_begin(&it, map); oscan_next(&it) > 0; any = true) {
		struct orlop_bytes key;
		const struct sd_label *l = p->labels && oscan_plain(it.key, &key)
						   ? sd_label_find(p->labels->v, p->labels->n, key)
						   : NULL;

		if (!l || !oscan_string_is(it.value, l->value.p, l->value.len))
			return false;
	}
	return any;
}

static int services_put(struct sd *s, const struct sd_pod *p, struct obuf *b, bool *any)
{
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = p->ns };
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	struct orlop_bytes v;
	struct orlop_iter *it;
	int r = s->h->snapshot_open(s->owners[SD_OWNER_SERVICE], &snap);

	if (r)
		return r == -ENOMEM ? r : 0;
	r = s->h->iter_open(snap, &q, &it);
	if (!r) {
		while ((o = s->h->iter_next(it)))
			if (OSCAN_FIND_MEMBERS(o->json, &v, "spec", "selector") && map_selects(v, p))
				members_put(b, v, any);
		s->h->iter_close(it);
	}
	s->h->snapshot_close(snap);
	return r;
}

/* The owner that is controller. */
static bool controller_of(struct orlop_bytes members, struct orlop_bytes *ret)
{
	struct orlop_bytes list, v;
	struct oscan_iter it;

	if (!OSCAN_FIND_MEMBERS(members, &list, "metadata", "ownerReferences"))
		return false;
	for (oscan_begin(&it, list); oscan_next(&it) > 0;)
		if (oscan_get(it.value, "controller", &v) && oscan_bool(v, false)) {
			*ret = it.value;
			return true;
		}
	return false;
}

static void owner_put(struct sd *s, const struct sd_pod *p, struct orlop_bytes members, struct obuf *labels,
		      bool *any, struct obuf *exprs)
{
	struct orlop_bytes owner, kind, group, name, v, w;
	struct orlop_snapshot *snap;
	struct orlop_object *o;

	if (!controller_of(members, &owner) || !oscan_get(owner, "kind", &kind) ||
	    !oscan_get(owner, "apiVersion", &group) || !oscan_plain(group, &group) ||
	    !oscan_get(owner, "name", &name) || !oscan_plain(name, &name))
		return;
	for (uint32_t i = SD_OWNER_SERVICE + 1; i < SD_OWNERS; i++) {
		if (!oscan_string_is_cstr(kind, owners[i].kind) || !ostr_starts(group.p, group.len, owners[i].group) ||
		    s->h->snapshot_open(s->owners[i], &snap))
			continue;
		o = s->h->snapshot_get(snap, p->ns, name);
		if (o && OSCAN_FIND_MEMBERS(o->json, &v, "spec", "selector")) {
			if (owners[i].plain)
				members_put(labels, v, any);
			else if (oscan_get(v, "matchLabels", &w))
				members_put(labels, w, any);
			if (!owners[i].plain && oscan_get(v, "matchExpressions", &w))
				obuf_append(exprs, w.p, w.len);
		}
		s->h->snapshot_close(snap);
	}
}

static int by_default(struct sd *s, const struct sd_pod *p, const struct orlop_object *o,
		      struct orlop_bytes list, struct sd_spreads **ret)
{
	struct obuf b = OBUF_INIT, exprs = OBUF_INIT;
	bool any = false;
	int r;

	obuf_puts(&b, "{\"matchLabels\":{");
	r = services_put(s, p, &b, &any);
	owner_put(s, p, o->json, &b, &any, &exprs);
	obuf_puts(&b, "},\"matchExpressions\":");
	obuf_puts(&b, exprs.len ? obuf_cstr(&exprs) : "[]");
	obuf_putc(&b, '}');
	if (!r)
		r = obuf_err(&b) ? obuf_err(&b) : obuf_err(&exprs);
	if (!r && (any || exprs.len > 2))
		r = sd_spreads_new(&s->cluster, p, list, (struct orlop_bytes){ b.data, b.len },
				   p->profile->system_spread, ret);
	obuf_done(&b);
	obuf_done(&exprs);
	return r;
}

int sd_spreads_of(struct sd *s, const struct sd_pod *p, struct orlop_bytes spec, const struct orlop_object *o,
		  struct sd_spreads **ret)
{
	const struct sd_profile *f = p->profile;
	struct orlop_bytes none = { NULL, 0 }, list;

	*ret = NULL;
	if (f->no_filter & SD_BIT(SD_P_SPREAD) && !f->weight[SD_P_SPREAD])
		return 0;
	if (oscan_get(spec, "topologySpreadConstraints", &list) && oscan_count(list))
		return sd_spreads_new(&s->cluster, p, list, none, false, ret);
	list = f->system_spread ? (struct orlop_bytes){ system_spread, sizeof(system_spread) - 1 } : f->spread;
	return list.len ? by_default(s, p, o, list, ret) : 0;
}
