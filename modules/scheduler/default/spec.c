/* spec.c - a pending pod's wishes from its JSON: selectors, affinity, tolerations, images, gates. */
#include "sched.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"
#include "parse.h"

#define WEIGHT_MAX 100 /* as validation has it */

struct orlop_bytes sd_text(struct oarena *mem, struct orlop_bytes v, int *err)
{
	struct orlop_bytes t = { "", 0 };
	struct obuf b = OBUF_INIT;
	char *p;

	if (oscan_type(v) != OSCAN_STRING)
		return t;
	if (!oscan_plain(v, &t)) {
		if (oscan_unquote(v, &b) == -ENOMEM)
			*err = -ENOMEM;
		t = (struct orlop_bytes){ obuf_cstr(&b), b.len };
	}
	p = oarena_strndup(mem, t.p ? t.p : "", t.len);
	obuf_done(&b);
	if (!p) {
		*err = -ENOMEM;
		return (struct orlop_bytes){ "", 0 };
	}
	return (struct orlop_bytes){ p, t.len };
}

struct orlop_bytes sd_text_at(struct oarena *mem, struct orlop_bytes obj, const char *key, int *err)
{
	struct orlop_bytes v = { "", 0 };

	if (!oscan_get(obj, key, &v))
		return v;
	return sd_text(mem, v, err);
}

static enum sd_op op_of(struct orlop_bytes v)
{
	static const char *const names[] = { "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt" };

	for (uint32_t i = 0; i < SD_OP_BAD; i++)
		if (oscan_string_is_cstr(v, names[i]))
			return (enum sd_op)i;
	return SD_OP_BAD;
}

struct orlop_bytes sd_copy(struct oarena *mem, struct orlop_bytes v, int *err)
{
	char *p = oarena_strndup(mem, v.len ? v.p : "", v.len);

	if (!p)
		*err = -ENOMEM;
	return (struct orlop_bytes){ p ? p : "", p ? v.len : 0 };
}

void *sd_array(struct oarena *mem, size_t n, size_t size, int *err)
{
	void *p = n ? oarena_zalloc(mem, n * size) : NULL;

	if (n && !p)
		*err = -ENOMEM;
	return p;
}

static void expr_read(struct oarena *mem, struct orlop_bytes v, struct sd_expr *e, int *err)
{
	struct orlop_bytes list = { NULL, 0 }, op = { NULL, 0 };
	struct oscan_iter it;

	e->key = sd_text_at(mem, v, "key", err);
	e->op = oscan_get(v, "operator", &op) ? op_of(op) : SD_OP_BAD;
	if (!oscan_get(v, "values", &list) || oscan_type(list) != OSCAN_ARRAY)
		list = (struct orlop_bytes){ "[]", 2 };
	e->values = sd_array(mem, oscan_count(list), sizeof(*e->values), err);
	for (oscan_begin(&it, list); e->values && oscan_next(&it) > 0;)
		e->values[e->n++] = sd_text(mem, it.value, err);
	if ((e->op == SD_GT || e->op == SD_LT) &&
	    (e->n != 1 || ostr_to_i64(e->values[0].p, e->values[0].len, &e->number)))
		e->op = SD_OP_BAD;
}

struct sd_expr *sd_exprs_read(struct oarena *mem, struct orlop_bytes term, const char *key,
			      uint32_t *n, int *err)
{
	struct orlop_bytes list;
	struct oscan_iter it;
	struct sd_expr *v;

	*n = 0;
	if (!oscan_get(term, key, &list) || oscan_type(list) != OSCAN_ARRAY)
		return NULL;
	v = sd_array(mem, oscan_count(list), sizeof(*v), err);
	for (oscan_begin(&it, list); v && oscan_next(&it) > 0;)
		expr_read(mem, it.value, &v[(*n)++], err);
	return v;
}

struct sd_expr *sd_selector_read(struct oarena *mem, struct orlop_bytes selector, uint32_t *n, int *err)
{
	struct orlop_bytes labels = { NULL, 0 };
	uint32_t n_exprs = 0;
	struct sd_expr *more = sd_exprs_read(mem, selector, "matchExpressions", &n_exprs, err);
	struct oscan_iter it;
	struct sd_expr *v;
	size_t n_labels;

	*n = 0;
	if (!oscan_get(selector, "matchLabels", &labels) || oscan_type(labels) != OSCAN_OBJECT)
		labels = (struct orlop_bytes){ "{}", 2 };
	n_labels = oscan_count(labels);
	v = sd_array(mem, n_labels + n_exprs, sizeof(*v), err);
	if (!v)
		return NULL;
	for (oscan_begin(&it, labels); *n < n_labels && oscan_next(&it) > 0;) {
		struct sd_expr *e = &v[*n];

		e->op = SD_IN;
		e->key = sd_text(mem, it.key, err);
		e->values = sd_array(mem, 1, sizeof(*e->values), err);
		if (!e->values)
			return v;
		e->values[0] = sd_text(mem, it.value, err);
		e->n = 1;
		*n += 1;
	}
	if (n_exprs)
		memcpy(v + *n, more, n_exprs * sizeof(*v));
	*n += n_exprs;
	return v;
}

void sd_term_read(struct oarena *mem, struct orlop_bytes v, struct sd_term *t, int *err)
{
	t->exprs = sd_exprs_read(mem, v, "matchExpressions", &t->n_exprs, err);
	t->fields = sd_exprs_read(mem, v, "matchFields", &t->n_fields, err);
}

static void affinity_read(struct sd_spec *s, struct orlop_bytes affinity, int *err)
{
	struct orlop_bytes list, v;
	struct oscan_iter it;

	if (OSCAN_FIND(affinity, &v, "nodeAffinity",
		       "requiredDuringSchedulingIgnoredDuringExecution") &&
	    oscan_type(v) == OSCAN_OBJECT) {
		s->has_required = true;
		s->n_required = 0;
		if (oscan_get(v, "nodeSelectorTerms", &list) && oscan_type(list) == OSCAN_ARRAY) {
			s->required = sd_array(&s->mem, oscan_count(list), sizeof(*s->required), err);
			for (oscan_begin(&it, list); s->required && oscan_next(&it) > 0;)
				sd_term_read(&s->mem, it.value, &s->required[s->n_required++], err);
		}
	}
	if (OSCAN_FIND(affinity, &list, "nodeAffinity",
		       "preferredDuringSchedulingIgnoredDuringExecution") &&
	    oscan_type(list) == OSCAN_ARRAY) {
		s->n_preferred = 0;
		s->preferred = sd_array(&s->mem, oscan_count(list), sizeof(*s->preferred), err);
		for (oscan_begin(&it, list); s->preferred && oscan_next(&it) > 0;) {
			struct sd_term *t = &s->preferred[s->n_preferred++];

			if (oscan_get(it.value, "weight", &v))
				t->weight = oscan_i64(v, 0);
			if (t->weight < 0 || t->weight > WEIGHT_MAX)
				t->weight = t->weight < 0 ? 0 : WEIGHT_MAX;
			if (oscan_get(it.value, "preference", &v))
				sd_term_read(&s->mem, v, t, err);
		}
	}
}

static enum sd_effect effect_of(struct orlop_bytes obj)
{
	struct orlop_bytes v;

	if (!oscan_get(obj, "effect", &v) || oscan_string_is_cstr(v, ""))
		return SD_EFFECT_ANY;
	if (oscan_string_is_cstr(v, "NoSchedule"))
		return SD_NO_SCHEDULE;
	return oscan_string_is_cstr(v, "NoExecute") ? SD_NO_EXECUTE : SD_PREFER_NO_SCHEDULE;
}

static void tolerations_read(struct sd_spec *s, struct orlop_bytes list, int *err)
{
	struct oscan_iter it;

	s->n_tolerations = 0;
	s->tolerations = sd_array(&s->mem, oscan_count(list), sizeof(*s->tolerations), err);
	for (oscan_begin(&it, list); s->tolerations && oscan_next(&it) > 0;) {
		struct sd_toleration *t = &s->tolerations[s->n_tolerations++];
		struct orlop_bytes v;

		t->key = sd_text_at(&s->mem, it.value, "key", err);
		t->value = sd_text_at(&s->mem, it.value, "value", err);
		t->effect = effect_of(it.value);
		t->exists = oscan_get(it.value, "operator", &v) &&
			    oscan_string_is_cstr(v, "Exists");
	}
}

static void selector_read(struct sd_spec *s, struct orlop_bytes map, int *err)
{
	struct oscan_iter it;

	s->n_selector = 0;
	s->selector = sd_array(&s->mem, oscan_count(map), sizeof(*s->selector), err);
	for (oscan_begin(&it, map); s->selector && oscan_next(&it) > 0;) {
		struct sd_label *l = &s->selector[s->n_selector++];

		l->key = sd_text(&s->mem, it.key, err);
		l->value = sd_text(&s->mem, it.value, err);
	}
}

/* As nodes list them: "nginx" is "nginx:latest", what has a tag or a digest stays. */
static struct orlop_bytes image_name(struct oarena *mem, struct orlop_bytes name, int *err)
{
	const char *slash = name.len ? memrchr(name.p, '/', name.len) : NULL;
	const char *from = slash ? slash : name.p;
	char *p;

	if (memchr(from, ':', (size_t)(name.p + name.len - from)))
		return name;
	p = oarena_printf(mem, "%.*s:latest", (int)name.len, name.p);
	if (!p) {
		*err = -ENOMEM;
		return name;
	}
	return (struct orlop_bytes){ p, name.len + 7 };
}

static void images_read(struct sd_spec *s, struct orlop_bytes containers, int *err)
{
	struct oscan_iter it;

	s->n_images = 0;
	s->images = sd_array(&s->mem, oscan_count(containers), sizeof(*s->images), err);
	for (oscan_begin(&it, containers); s->images && oscan_next(&it) > 0;) {
		struct orlop_bytes name = sd_text_at(&s->mem, it.value, "image", err);

		if (name.len)
			s->images[s->n_images++] = image_name(&s->mem, name, err);
	}
}

/* The nodes that metadata.name in every required term leaves, as upstream's PreFilter has them. */
static void only_read(struct sd_spec *s, int *err)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_required; i++) {
		uint32_t here = 0;

		for (uint32_t f = 0; f < s->required[i].n_fields; f++)
			if (s->required[i].fields[f].op == SD_IN)
				here += s->required[i].fields[f].n;
		if (!here)
			return;
		n += here;
	}
	if (!n)
		return;
	s->only_names = sd_array(&s->mem, n, sizeof(*s->only_names), err);
	if (!s->only_names)
		return;
	s->only = true;
	for (uint32_t i = 0; i < s->n_required; i++) {
		/* one expression is enough: the filter looks at all of them */
		for (uint32_t f = 0; f < s->required[i].n_fields; f++) {
			const struct sd_expr *e = &s->required[i].fields[f];

			if (e->op != SD_IN)
				continue;
			for (uint32_t k = 0; k < e->n; k++) {
				bool seen = false;

				for (uint32_t o = 0; o < s->n_only; o++)
					seen |= ostr_eq(s->only_names[o].p, s->only_names[o].len,
							e->values[k].p, e->values[k].len);
				if (!seen)
					s->only_names[s->n_only++] = e->values[k];
			}
			break;
		}
	}
}

int sd_spec_new(struct orlop_bytes spec, struct sd_spec **ret)
{
	struct sd_spec *s = OMEM_NEW(struct sd_spec);
	struct oscan_iter it;
	int err = 0;

	/* a member that stands twice is read twice: the last one counts */
	if (!s)
		return -ENOMEM;
	oarena_init(&s->mem, 0);
	for (oscan_begin(&it, spec); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, "containers"))
			images_read(s, it.value, &err);
		else if (oscan_string_is_cstr(it.key, "tolerations"))
			tolerations_read(s, it.value, &err);
		else if (oscan_string_is_cstr(it.key, "nodeSelector"))
			selector_read(s, it.value, &err);
		else if (oscan_string_is_cstr(it.key, "affinity"))
			affinity_read(s, it.value, &err);
		else if (oscan_string_is_cstr(it.key, "nodeName"))
			s->node_name = sd_text(&s->mem, it.value, &err);
		else if (oscan_string_is_cstr(it.key, "schedulingGates"))
			s->n_gates = (uint32_t)oscan_count(it.value);
		else if (oscan_string_is_cstr(it.key, "preemptionPolicy"))
			s->preempt_never = oscan_string_is_cstr(it.value, "Never");
	}
	only_read(s, &err);
	if (err) {
		sd_spec_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void sd_spec_free(struct sd_spec *s)
{
	if (!s)
		return;
	oarena_done(&s->mem);
	omem_free(s);
}
