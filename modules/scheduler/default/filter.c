/* filter.c - may this pod run on that node? Upstream's default filters, in upstream's order. */
#include "cycle.h"

#include <string.h>

#include "base/ostr.h"

static bool eq(struct orlop_bytes a, struct orlop_bytes b)
{
	return ostr_eq(a.p, a.len, b.p, b.len);
}

/* ---- taints ---------------------------------------------------------------------------------- */

bool sd_tolerates(const struct sd_toleration *t, uint32_t n, const struct sd_taint *taint)
{
	for (uint32_t i = 0; i < n; i++) {
		if (t[i].effect != SD_EFFECT_ANY && t[i].effect != taint->effect)
			continue;
		if (t[i].key.len ? !eq(t[i].key, taint->key) : !t[i].exists)
			continue;
		if (t[i].exists || eq(t[i].value, taint->value))
			return true;
	}
	return false;
}

bool sd_node_tolerated(const struct sd_spec *s, const struct sd_node *n)
{
	for (uint32_t i = 0; i < n->n_taints; i++)
		if (n->taints[i].effect != SD_PREFER_NO_SCHEDULE &&
		    !sd_tolerates(s->tolerations, s->n_tolerations, &n->taints[i]))
			return false;
	return true;
}

static bool tolerates_cordon(const struct sd_spec *s)
{
	static const char key[] = "node.kubernetes.io/unschedulable";
	const struct sd_taint cordon = { { key, sizeof(key) - 1 }, { "", 0 }, SD_NO_SCHEDULE };

	return sd_tolerates(s->tolerations, s->n_tolerations, &cordon);
}

/* ---- affinity -------------------------------------------------------------------------------- */

bool sd_term_matches(const struct sd_term *t, const struct sd_node *n)
{
	if (!t->n_exprs && !t->n_fields)
		return false;
	for (uint32_t i = 0; i < t->n_exprs; i++) {
		const struct sd_label *l = sd_label_find(n->labels, n->n_labels, t->exprs[i].key);

		if (!sd_expr_matches(&t->exprs[i], l ? &l->value : NULL))
			return false;
	}
	for (uint32_t i = 0; i < t->n_fields; i++)
		if (!ostr_is(t->fields[i].key.p, t->fields[i].key.len, "metadata.name") ||
		    !sd_expr_matches(&t->fields[i], &n->name))
			return false;
	return true;
}

bool sd_node_wanted(const struct sd_spec *s, const struct sd_node *n)
{
	for (uint32_t i = 0; i < s->n_selector; i++) {
		const struct sd_label *l = sd_label_find(n->labels, n->n_labels, s->selector[i].key);

		if (!l || !eq(l->value, s->selector[i].value))
			return false;
	}
	if (!s->has_required)
		return true;
	for (uint32_t i = 0; i < s->n_required; i++)
		if (sd_term_matches(&s->required[i], n))
			return true;
	return false;
}

/* ---- ports ----------------------------------------------------------------------------------- */

static bool ports_clash(const struct sd_load *a, const struct sd_load *b)
{
	for (uint32_t i = 0; i < a->n_ports; i++)
		for (uint32_t k = 0; k < b->n_ports; k++)
			if (a->ports[i].port == b->ports[k].port &&
			    a->ports[i].proto == b->ports[k].proto &&
			    (!a->ports[i].ip.len || !b->ports[k].ip.len ||
			     eq(a->ports[i].ip, b->ports[k].ip)))
				return true;
	return false;
}

static bool ports_free(const struct sd_load *l, const struct sd_node *n)
{
	if (!n->n_ports)
		return true;
	OLIST_FOREACH(at, &n->pods)
	{
		const struct sd_pod *p = OLIST_ENTRY(at, struct sd_pod, on_node);

		if (p->load->n_ports && p->load != l && ports_clash(l, p->load))
			return false;
	}
	return true;
}

/* ---- resources ------------------------------------------------------------------------------- */

static void short_of(struct sd_why *w, uint32_t what, int64_t ask, int64_t alloc)
{
	w->fit |= what;
	if (ask > alloc)
		w->unresolvable = true;
}

static const struct sd_ext *ext_find(const struct sd_node *n, struct orlop_bytes name)
{
	for (uint32_t i = 0; i < n->n_ext; i++)
		if (eq(n->ext[i].name, name))
			return &n->ext[i];
	return NULL;
}

/* A pod that asks for nothing of a kind fits even where more than all of it is taken. */
static bool fits(const struct sd_load *l, const struct sd_node *n, struct sd_why *w)
{
	w->fit = 0;
	w->ext = 0;
	if (n->n_pods + 1 > n->alloc_pods)
		w->fit |= SD_FIT_PODS;
	if (l->cpu_milli > 0 && l->cpu_milli > n->alloc_cpu_milli - n->used_cpu_milli)
		short_of(w, SD_FIT_CPU, l->cpu_milli, n->alloc_cpu_milli);
	if (l->memory > 0 && l->memory > n->alloc_memory - n->used_memory)
		short_of(w, SD_FIT_MEMORY, l->memory, n->alloc_memory);
	if (l->ephemeral > 0 && l->ephemeral > n->alloc_ephemeral - n->used_ephemeral)
		short_of(w, SD_FIT_EPHEMERAL, l->ephemeral, n->alloc_ephemeral);
	for (uint32_t i = 0; i < l->n_ext; i++) {
		const struct sd_ext *e = ext_find(n, l->ext[i].name);
		int64_t alloc = e ? e->alloc : 0, used = e ? e->used : 0;

		if (l->ext[i].v > alloc - used) {
			w->ext |= UINT64_C(1) << (i < 63 ? i : 63);
			if (l->ext[i].v > alloc)
				w->unresolvable = true;
		}
	}
	return !w->fit && !w->ext;
}

/* ---- all ------------------------------------------------------------------------------------- */

enum sd_plugin sd_filter(const struct sd_pod *p, const struct sd_node *n, struct sd_why *why)
{
	const struct sd_spec *s = p->spec;
	uint64_t off = p->profile ? p->profile->no_filter : 0;
	struct sd_why none;

	if (!why)
		why = &none;
	why->unresolvable = true;
	if (n->unschedulable && !(off & SD_BIT(SD_P_UNSCHEDULABLE)) && !tolerates_cordon(s))
		return why->plugin = SD_P_UNSCHEDULABLE;
	if (s->node_name.len && !(off & SD_BIT(SD_P_NODE_NAME)) && !eq(s->node_name, n->name))
		return why->plugin = SD_P_NODE_NAME;
	if (n->n_hard && !(off & SD_BIT(SD_P_TAINTS)) && !sd_node_tolerated(s, n))
		return why->plugin = SD_P_TAINTS;
	if ((s->n_selector || s->has_required) && !(off & SD_BIT(SD_P_AFFINITY)) &&
	    !sd_node_wanted(s, n))
		return why->plugin = SD_P_AFFINITY;
	why->unresolvable = false;
	if (p->load->n_ports && !(off & SD_BIT(SD_P_PORTS)) && !ports_free(p->load, n))
		return why->plugin = SD_P_PORTS;
	if (!(off & SD_BIT(SD_P_FIT)) && !fits(p->load, n, why))
		return why->plugin = SD_P_FIT;
	return why->plugin = SD_FEASIBLE;
}
