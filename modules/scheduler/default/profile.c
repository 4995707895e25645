/* profile.c - profiles from JSON, as KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) has them. */
#include "profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/ostr.h"
#include "json/oscan.h"
#include "parse.h"

#define PERCENT_POINT 10 /* a point's score is 0 … 10 */

static const struct {
	const char	*name;
	uint8_t		weight;
} plugins[SD_N_PLUGINS] = {
	[SD_P_UNSCHEDULABLE] = { "NodeUnschedulable", 0 },
	[SD_P_NODE_NAME] = { "NodeName", 0 },
	[SD_P_TAINTS] = { "TaintToleration", 3 },
	[SD_P_AFFINITY] = { "NodeAffinity", 2 },
	[SD_P_PORTS] = { "NodePorts", 0 },
	[SD_P_FIT] = { "NodeResourcesFit", 1 },
	[SD_P_RESTRICTIONS] = { "VolumeRestrictions", 0 },
	[SD_P_LIMITS] = { "NodeVolumeLimits", 0 },
	[SD_P_VOLUMES] = { "VolumeBinding", 0 },
	[SD_P_SPREAD] = { "PodTopologySpread", 2 },
	[SD_P_POD_AFFINITY] = { "InterPodAffinity", 2 },
	[SD_P_BALANCED] = { "NodeResourcesBalancedAllocation", 1 },
	[SD_P_IMAGES] = { "ImageLocality", 1 },
	[SD_P_PREEMPTION] = { "DefaultPreemption", 0 },
};

static const struct sd_profile standard = {
	.weight = { [SD_P_TAINTS] = 3, [SD_P_AFFINITY] = 2, [SD_P_FIT] = 1, [SD_P_SPREAD] = 2,
		    [SD_P_POD_AFFINITY] = 2, [SD_P_BALANCED] = 1, [SD_P_IMAGES] = 1 },
	.hard_pod_affinity = 1,
	.system_spread = true,
};

const struct sd_profile *sd_profile_default(void)
{
	return &standard;
}

enum sd_plugin sd_plugin_named(struct orlop_bytes name)
{
	for (uint32_t i = 0; i < SD_N_PLUGINS; i++)
		if (plugins[i].name && ostr_is(name.p, name.len, plugins[i].name))
			return (enum sd_plugin)i;
	return SD_N_PLUGINS;
}

const char *sd_plugin_name(enum sd_plugin p)
{
	return p < SD_N_PLUGINS && plugins[p].name ? plugins[p].name : "";
}

void sd_profile_init(struct sd_profile *p, struct orlop_bytes name)
{
	*p = standard;
	oarena_init(&p->mem, 0);
	p->name = name;
}

void sd_profile_done(struct sd_profile *p)
{
	oarena_done(&p->mem);
}

struct reader {
	struct sd_profile *p;
	char		*why;
	size_t		why_size;
	int		err;
};

static void wrong(struct reader *r, const char *what, struct orlop_bytes v)
{
	if (r->err)
		return;
	r->err = -EINVAL;
	snprintf(r->why, r->why_size, "%s: %.*s", what, (int)(v.len < 60 ? v.len : 60), v.p ? v.p : "");
}

/* ---- which plugins --------------------------------------------------------------------------- */

static void plugin_set(struct reader *r, enum sd_plugin p, bool filter, bool score, int64_t weight)
{
	if (p == SD_P_PREEMPTION) {
		r->p->no_preemption = weight < 0;
		return;
	}
	if (filter) {
		r->p->no_filter &= ~SD_BIT(p);
		if (weight < 0)
			r->p->no_filter |= SD_BIT(p);
	}
	if (score)
		r->p->weight[p] = weight < 0 ? 0 : weight ? weight : plugins[p].weight;
}

static void plugins_read(struct reader *r, struct orlop_bytes list, bool filter, bool score, bool on)
{
	struct orlop_bytes name, v;
	struct oscan_iter it;

	for (oscan_begin(&it, list); oscan_next(&it) > 0 && !r->err;) {
		int64_t weight = oscan_get(it.value, "weight", &v) ? oscan_i64(v, 0) : 0;
		enum sd_plugin p;

		if (!oscan_get(it.value, "name", &v) || !oscan_plain(v, &name)) {
			wrong(r, "a plugin without name", it.value);
			return;
		}
		if (weight < 0 || weight > 100) {
			wrong(r, "weight", it.value);
			return;
		}
		if (!on && ostr_is(name.p, name.len, "*")) {
			for (uint32_t i = SD_P_UNSCHEDULABLE; i < SD_N_PLUGINS; i++)
				plugin_set(r, (enum sd_plugin)i, filter, score, -1);
			continue;
		}
		p = sd_plugin_named(name);
		if (p == SD_N_PLUGINS) {
			wrong(r, "no such plugin", name);
			return;
		}
		plugin_set(r, p, filter, score, on ? weight : -1);
	}
}

static void points_read(struct reader *r, struct orlop_bytes plugins_json)
{
	static const struct {
		const char *at;
		bool filter, score;
	} where[] = {
		{ "multiPoint", true, true },
		{ "preFilter", true, false },
		{ "filter", true, false },
		{ "postFilter", false, false },
		{ "score", false, true },
	};
	struct orlop_bytes set, list;

	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		if (!oscan_get(plugins_json, where[i].at, &set))
			continue;
		if (oscan_get(set, "disabled", &list))
			plugins_read(r, list, where[i].filter, where[i].score, false);
		if (oscan_get(set, "enabled", &list))
			plugins_read(r, list, where[i].filter, where[i].score, true);
	}
}

/* ---- their arguments ------------------------------------------------------------------------- */

static uint32_t resources_read(struct reader *r, struct orlop_bytes list, struct sd_resource *out)
{
	struct orlop_bytes v;
	struct oscan_iter it;
	uint32_t n = 0;

	for (oscan_begin(&it, list); n < SD_RESOURCES && oscan_next(&it) > 0 && !r->err; n++) {
		out[n].name = sd_text_at(&r->p->mem, it.value, "name", &r->err);
		out[n].weight = oscan_get(it.value, "weight", &v) ? oscan_i64(v, 0) : 1;
		if (!out[n].name.len || out[n].weight < 1 || out[n].weight > 100)
			wrong(r, "a resource", it.value);
	}
	return n;
}

static void shape_read(struct reader *r, struct orlop_bytes list)
{
	struct orlop_bytes v;
	struct oscan_iter it;

	r->p->n_points = 0;
	for (oscan_begin(&it, list); r->p->n_points < SD_POINTS && oscan_next(&it) > 0;) {
		uint32_t i = r->p->n_points++;

		r->p->points[i].at = oscan_get(it.value, "utilization", &v) ? oscan_i64(v, -1) : -1;
		r->p->points[i].score = PERCENT_POINT * (oscan_get(it.value, "score", &v) ? oscan_i64(v, -1) : -1);
		if (r->p->points[i].at < 0 || r->p->points[i].at > 100 || r->p->points[i].score < 0 ||
		    r->p->points[i].score > 100 || (i && r->p->points[i].at <= r->p->points[i - 1].at))
			wrong(r, "a point of the shape", it.value);
	}
}

static void fit_read(struct reader *r, struct orlop_bytes args)
{
	struct orlop_bytes strategy, v;
	struct sd_profile *p = r->p;

	if (!oscan_get(args, "scoringStrategy", &strategy))
		return;
	if (oscan_get(strategy, "type", &v)) {
		if (oscan_string_is_cstr(v, "LeastAllocated"))
			p->strategy = SD_LEAST;
		else if (oscan_string_is_cstr(v, "MostAllocated"))
			p->strategy = SD_MOST;
		else if (oscan_string_is_cstr(v, "RequestedToCapacityRatio"))
			p->strategy = SD_RATIO;
		else
			wrong(r, "no such scoring strategy", v);
	}
	if (oscan_get(strategy, "resources", &v))
		p->n_resources = resources_read(r, v, p->resources);
	if (OSCAN_FIND(strategy, &v, "requestedToCapacityRatio", "shape"))
		shape_read(r, v);
	if (p->strategy == SD_RATIO && !p->n_points)
		wrong(r, "RequestedToCapacityRatio needs a shape", strategy);
	if (!p->n_resources && p->strategy != SD_LEAST) {
		p->resources[0] = (struct sd_resource){ { "cpu", 3 }, 1 };
		p->resources[1] = (struct sd_resource){ { "memory", 6 }, 1 };
		p->n_resources = 2;
	}
}

static void spread_read(struct reader *r, struct orlop_bytes args)
{
	struct orlop_bytes v;

	if (oscan_get(args, "defaultingType", &v))
		r->p->system_spread = !oscan_string_is_cstr(v, "List");
	if (oscan_get(args, "defaultConstraints", &v) && !r->p->system_spread)
		r->p->spread = sd_copy(&r->p->mem, v, &r->err);
}

static void args_read(struct reader *r, struct orlop_bytes list)
{
	struct orlop_bytes name, args, v;
	struct oscan_iter it;

	for (oscan_begin(&it, list); oscan_next(&it) > 0 && !r->err;) {
		if (!oscan_get(it.value, "name", &name) || !oscan_get(it.value, "args", &args))
			continue;
		if (oscan_string_is_cstr(name, "NodeResourcesFit")) {
			fit_read(r, args);
		} else if (oscan_string_is_cstr(name, "PodTopologySpread")) {
			spread_read(r, args);
		} else if (oscan_string_is_cstr(name, "InterPodAffinity")) {
			if (oscan_get(args, "hardPodAffinityWeight", &v))
				r->p->hard_pod_affinity = oscan_i64(v, 1);
			if (r->p->hard_pod_affinity < 0 || r->p->hard_pod_affinity > 100)
				wrong(r, "hardPodAffinityWeight", v);
			if (oscan_get(args, "ignorePreferredTermsOfExistingPods", &v))
				r->p->ignore_preferred = oscan_bool(v, false);
		}
	}
}

int sd_profile_read(struct sd_profile *p, struct orlop_bytes json, char *why, size_t why_size)
{
	struct reader r = { .p = p, .why = why, .why_size = why_size };
	struct orlop_bytes v;

	if (oscan_get(json, "schedulerName", &v))
		p->name = sd_text(&p->mem, v, &r.err);
	if (!p->name.len)
		wrong(&r, "a profile without schedulerName", json);
	if (oscan_get(json, "percentageOfNodesToScore", &v)) {
		int64_t n = oscan_i64(v, -1);

		if (n < 0 || n > 100)
			wrong(&r, "percentageOfNodesToScore", v);
		p->percent = (uint32_t)n;
	}
	if (oscan_get(json, "plugins", &v))
		points_read(&r, v);
	if (oscan_get(json, "pluginConfig", &v))
		args_read(&r, v);
	return r.err;
}
