/* world.h - nodes and pods of a small cluster for tests of the logic, made from short texts. */
#ifndef SCHEDULER_TEST_WORLD_H
#define SCHEDULER_TEST_WORLD_H

#include "base/omem.h"

#include "base/otap.h"

#include "json/oscan.h"

#include "../cycle.h"
#include "../preempt.h"

static struct sd_cluster c;

static inline struct orlop_bytes text(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

/* @labels: members of the map. */
__attribute__((unused)) static void node(const char *name, const char *labels, const char *spec, const char *cpu)
{
	char json[1024];

	(void)snprintf(json, sizeof(json),
		       "\"metadata\":{\"labels\":{\"kubernetes.io/hostname\":\"%s\"%s%s}},\"spec\":{%s},\"status\":{\"allocatable\":{"
		       "\"cpu\":\"%s\",\"memory\":\"8Gi\",\"pods\":\"110\"}}",
		       name, *labels ? "," : "", labels, spec, cpu);
	if (sd_node_set(&c, text(name), text(json)))
		otap_bail_out("node");
}

/* @spec: members of the spec beside its container, which asks for @cpu. */
__attribute__((unused)) static struct sd_pod *pod(const char *ns, const char *name, const char *labels, const char *spec,
						  const char *cpu, int32_t priority)
{
	struct sd_pod *p = OMEM_NEW(struct sd_pod);
	struct orlop_bytes list, none = { NULL, 0 };
	char json[4096], map[512];

	if (!p)
		otap_bail_out("pod");
	(void)snprintf(json, sizeof(json), "{%s%s\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"%s\"}}}]}", spec,
		       *spec ? "," : "", cpu);
	(void)snprintf(map, sizeof(map), "{%s}", labels);
	olist_init(&p->on_node);
	olist_init(&p->on_nominated);
	olist_init(&p->waiting);
	p->ns = text(ns);
	p->name = text(name);
	p->uid = omem_strdup(name);
	p->priority = priority;
	if (sd_spec_new(text(json), &p->spec) || sd_load_new(text(json), p->name, &p->load) ||
	    sd_labels_new(text(map), &p->labels) || sd_terms_new(&c, p, text(json), &p->terms))
		otap_bail_out("pod");
	if (oscan_get(text(json), "topologySpreadConstraints", &list) &&
	    sd_spreads_new(&c, p, list, none, false, &p->spreads))
		otap_bail_out("pod");
	return p;
}

__attribute__((unused)) static void pod_free(struct sd_pod *p)
{
	sd_pod_unplace(&c, p);
	sd_pod_nominate(&c, p, (struct orlop_bytes){ NULL, 0 });
	sd_spreads_free(&c, p->spreads);
	sd_terms_free(&c, p->terms);
	sd_spec_free(p->spec);
	omem_free(p->labels);
	omem_free(p->load);
	omem_free(p->uid);
	omem_free(p);
}

__attribute__((unused)) static struct sd_pod *placed(const char *ns, const char *name, const char *labels, const char *spec,
						     const char *cpu, int32_t priority, const char *on)
{
	struct sd_pod *p = pod(ns, name, labels, spec, cpu, priority);

	if (sd_pod_place(&c, p, text(on)))
		otap_bail_out("place");
	return p;
}

/* Names of the nodes that take it, with spaces between, in the order of their names. */
__attribute__((unused)) static const char *takers(const struct sd_pod *p)
{
	static char names[1024];
	struct sd_cycle *cy = sd_cycle_begin(&c, p);
	const char *v[64];
	uint32_t n = 0;

	for (uint32_t i = 0; cy && i < c.n && n < 64; i++)
		if (sd_cycle_filter(cy, c.v[i], NULL) == SD_FEASIBLE)
			v[n++] = c.v[i]->name.p;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = i + 1; k < n; k++)
			if (strcmp(v[k], v[i]) < 0) {
				const char *x = v[i];

				v[i] = v[k];
				v[k] = x;
			}
	names[0] = '\0';
	for (uint32_t i = 0; i < n; i++)
		(void)snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? " " : "", v[i]);
	return names;
}

__attribute__((unused)) static const char *says(struct sd_pod *p)
{
	static struct obuf b;
	struct sd_diag d, dry;
	struct sd_victims v;

	obuf_reset(&b);
	if (sd_decide(&c, p, &d))
		return "placed";
	if (sd_preempt(&c, p, NULL, 0, &d, &dry, &v) == 0)
		d.preempted = true;
	sd_victims_done(&v);
	sd_diag_write(&d, p, &b);
	return obuf_cstr(&b);
}

#endif
