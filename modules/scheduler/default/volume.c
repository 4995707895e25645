/*
 * volume.c - VolumeBinding and VolumeZone: do the claims of a pod allow a node?
 *
 * Source: pkg/scheduler/framework/plugins/volumebinding and volumezone.
 */
#include "volume.h"

#include <string.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"
#include "parse.h"

void sd_claims_free(struct sd_claims *c)
{
	if (!c)
		return;
	oarena_done(&c->mem);
	omem_free(c);
}

/* A label of a volume may name several zones, "a__b". */
static void zone_read(struct oarena *mem, struct orlop_bytes key, struct orlop_bytes value, struct sd_expr *e,
		      int *err)
{
	uint32_t n = 1;

	for (size_t i = 0; i + 1 < value.len; i++)
		n += value.p[i] == '_' && value.p[i + 1] == '_';
	e->op = SD_IN;
	e->key = key;
	e->values = sd_array(mem, n, sizeof(*e->values), err);
	for (size_t at = 0; e->values && e->n < n;) {
		const char *end = memmem(value.p + at, value.len - at, "__", 2);
		size_t len = end ? (size_t)(end - value.p) - at : value.len - at;

		e->values[e->n++] = (struct orlop_bytes){ value.p + at, len };
		at += len + 2;
		if (!end)
			break;
	}
}

static bool is_zone(struct orlop_bytes key)
{
	static const char *const keys[] = { "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
					    "failure-domain.beta.kubernetes.io/zone",
					    "failure-domain.beta.kubernetes.io/region" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (ostr_is(key.p, key.len, keys[i]))
			return true;
	return false;
}

int sd_volume_read(struct oarena *mem, struct orlop_bytes name, struct orlop_bytes members, struct sd_volume *ret)
{
	struct orlop_bytes v;
	struct oscan_iter it;
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	ret->name = sd_copy(mem, name, &err);
	if (OSCAN_FIND_MEMBERS(members, &v, "spec", "nodeAffinity", "required", "nodeSelectorTerms")) {
		ret->has_terms = true;
		ret->terms = sd_array(mem, oscan_count(v), sizeof(*ret->terms), &err);
		for (oscan_begin(&it, v); ret->terms && oscan_next(&it) > 0;)
			sd_term_read(mem, it.value, &ret->terms[ret->n_terms++], &err);
	}
	if (OSCAN_FIND_MEMBERS(members, &v, "metadata", "labels")) {
		ret->zones = sd_array(mem, oscan_count(v), sizeof(*ret->zones), &err);
		for (oscan_begin(&it, v); ret->zones && oscan_next(&it) > 0;) {
			struct orlop_bytes key = sd_text(mem, it.key, &err);

			if (is_zone(key))
				zone_read(mem, key, sd_text(mem, it.value, &err), &ret->zones[ret->n_zones++], &err);
		}
	}
	return err;
}

int sd_topologies_read(struct oarena *mem, struct orlop_bytes list, struct sd_claim *ret)
{
	struct oscan_iter it, jt;
	int err = 0;

	ret->n_topologies = 0;
	ret->topologies = sd_array(mem, oscan_count(list), sizeof(*ret->topologies), &err);
	for (oscan_begin(&it, list); ret->topologies && oscan_next(&it) > 0;) {
		struct sd_term *t = &ret->topologies[ret->n_topologies++];
		struct orlop_bytes exprs, values;

		if (!oscan_get(it.value, "matchLabelExpressions", &exprs))
			continue;
		t->exprs = sd_array(mem, oscan_count(exprs), sizeof(*t->exprs), &err);
		for (oscan_begin(&jt, exprs); t->exprs && oscan_next(&jt) > 0;) {
			struct sd_expr *e = &t->exprs[t->n_exprs++];
			struct oscan_iter kt;

			e->op = SD_IN;
			e->key = sd_text_at(mem, jt.value, "key", &err);
			if (!oscan_get(jt.value, "values", &values))
				continue;
			e->values = sd_array(mem, oscan_count(values), sizeof(*e->values), &err);
			for (oscan_begin(&kt, values); e->values && oscan_next(&kt) > 0;)
				e->values[e->n++] = sd_text(mem, kt.value, &err);
		}
	}
	return err;
}

static bool any_term(const struct sd_term *v, uint32_t count, const struct sd_node *n)
{
	for (uint32_t i = 0; i < count; i++)
		if (sd_term_matches(&v[i], n))
			return true;
	return false;
}

static bool reaches(const struct sd_volume *v, const struct sd_node *n)
{
	return !v->has_terms || any_term(v->terms, v->n_terms, n);
}

/* A node that says nothing about zones is in all of them. */
static bool in_zone(const struct sd_volume *v, const struct sd_node *n)
{
	bool any = false;

	for (uint32_t i = 0; i < n->n_labels && !any; i++)
		any = is_zone(n->labels[i].key);
	for (uint32_t i = 0; any && i < v->n_zones; i++) {
		const struct sd_label *l = sd_label_find(n->labels, n->n_labels, v->zones[i].key);

		if (!sd_expr_matches(&v->zones[i], l ? &l->value : NULL))
			return false;
	}
	return true;
}

const struct sd_volume *sd_claim_volume(const struct sd_claim *k, const struct sd_node *n)
{
	for (uint32_t i = 0; i < k->n; i++)
		if (reaches(&k->v[i], n))
			return &k->v[i];
	return NULL;
}

const char *sd_claims_refuse(const struct sd_claims *c, const struct sd_node *n)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->v[i].bound && !reaches(c->v[i].v, n))
			return "node(s) didn't match PersistentVolume's node affinity";
	for (uint32_t i = 0; i < c->n; i++) {
		const struct sd_claim *k = &c->v[i];

		if (k->bound || sd_claim_volume(k, n))
			continue;
		if (!k->provision || (k->n_topologies && !any_term(k->topologies, k->n_topologies, n)))
			return "node(s) didn't find available persistent volumes to bind";
	}
	for (uint32_t i = 0; i < c->n; i++)
		if (c->v[i].bound && !in_zone(c->v[i].v, n))
			return "node(s) had no available volume zone";
	return NULL;
}
