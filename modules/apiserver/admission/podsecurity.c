/*
 * podsecurity.c - admission PodSecurity: what the labels of a namespace ask of its pods.
 *
 * "enforce" refuses pods, "warn" tells whoever makes them or what makes them; "audit" goes into the request log. A
 * namespace that asks for more than before is told which of its pods fall short. Users, namespaces and RuntimeClasses
 * that parameters name are let be.
 *
 * Source: upstream's k8s.io/pod-security-admission, behaviour and words.
 */
#include "admission.h"
#include "podsecurity.h"

#include "../registry/render.h"
#include "../registry/write.h"
#include "json/ojson.h"
#include "walk/owalk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL		"pod-security.kubernetes.io/"
#define CHECKED_MAX	3000u	/* pods of a namespace that are looked at */
#define WORDS_MAX	64u	/* different findings that are told */

enum mode { ENFORCE, AUDIT, WARN, N_MODES };

static const char *const mode_names[N_MODES] = { "enforce", "audit", "warn" };

static int parse_level(const char *text, enum psa_level *ret)
{
	static const char *const levels[] = { "privileged", "baseline", "restricted" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(levels[i], text)) {
			*ret = (enum psa_level)i;
			return 0;
		}
	return -EINVAL;
}

/* latest, or v1.x without needless zeros */
static int parse_version(const char *text, int *ret)
{
	const char *p = text + 3;
	size_t n;

	*ret = -1;
	if (!strcmp(text, "latest"))
		return 0;
	if (strncmp(text, "v1.", 3))
		return -EINVAL;
	n = strspn(p, "0123456789");
	if (n == 0 || n > 6 || p[n] || (n > 1 && *p == '0'))
		return -EINVAL;
	*ret = atoi(p);
	return 0;
}

/* What cannot be read is taken for the strictest where it refuses, for nothing where it only tells. @op: as causes. */
static unsigned int policies_of(struct reg_op *op, const struct ojson *labels, struct psa_policy ret[N_MODES])
{
	unsigned int wrong = 0;

	for (int m = 0; m < N_MODES; m++) {
		char key[64], field[120];
		const char *v;

		ret[m] = (struct psa_policy){ PSA_PRIVILEGED, -1 };
		(void)snprintf(key, sizeof(key), LABEL "%s", mode_names[m]);
		(void)snprintf(field, sizeof(field), "metadata.labels[%s]", key);
		v = ojson_get_cstr(labels, key, NULL);
		if (v && parse_level(v, &ret[m].level)) {
			ret[m].level = m == ENFORCE ? PSA_RESTRICTED : PSA_PRIVILEGED;
			wrong++;
			if (op)
				reg_cause(op, "FieldValueInvalid", field,
					  "Invalid value: \"%s\": must be one of privileged, baseline, restricted", v);
		}
		(void)snprintf(key, sizeof(key), LABEL "%s-version", mode_names[m]);
		(void)snprintf(field, sizeof(field), "metadata.labels[%s]", key);
		v = ojson_get_cstr(labels, key, NULL);
		if (v && parse_version(v, &ret[m].minor)) {
			wrong++;
			if (op)
				reg_cause(op, "FieldValueInvalid", field, "Invalid value: \"%s\": must be \"latest\" or \"v1.x\"", v);
		}
	}
	return wrong;
}

/* ---- who is let be ---------------------------------------------------------------------------------------------- */

/* Names with commas between them, and spaces around. */
static bool is_named(const char *list, struct orlop_bytes name)
{
	while (name.len && *list) {
		size_t n = strcspn(list, ","), from = strspn(list, " \t"), to = n;

		while (to > from && (list[to - 1] == ' ' || list[to - 1] == '\t'))
			to--;
		if (to > from && to - from == name.len && !memcmp(list + from, name.p, name.len))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

/* Why pods of this request are let be, as upstream calls it; NULL: they are not. */
static const char *exemption(struct reg_op *op, const struct ojson *spec)
{
	const struct reg_exempt *x = &op->sh->rg->cfg.exempt;

	if (is_named(x->namespaces, op->w->ns))
		return "namespace";
	if (is_named(x->users, op->rq.who->user))
		return "user";
	return is_named(x->runtime_classes, ojson_get_bytes(spec, "runtimeClassName")) ? "runtimeClass" : NULL;
}

/* Labels of a namespace that is let be do nothing: whoever sets them is told. */
static void tell_ignored(struct reg_op *op, const struct psa_policy p[N_MODES])
{
	struct obuf b = OBUF_INIT;
	char policy[40];

	for (int m = 0; m < N_MODES; m++)
		if (p[m].level != PSA_PRIVILEGED)
			obuf_printf(&b, "%s%s=%s", b.len ? ", " : "", mode_names[m], psa_policy_text(&p[m], policy));
	if (b.len)
		reg_warn(op, "namespace \"%.*s\" is exempt from Pod Security, and the policy (%s) will be ignored", OB(op->w->name),
			 obuf_cstr(&b));
	obuf_done(&b);
}

/* ---- pods, and what makes them -------------------------------------------------------------------------------- */

/* The template that pods are made from. */
static const struct ojson *template_of(const struct reg_kind *k, const struct ojson *obj)
{
	static const char *const plain[] = { "replicationcontrollers", "replicasets.apps", "deployments.apps", "statefulsets.apps",
					     "daemonsets.apps", "jobs.batch" };

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (!strcmp(k->name, plain[i]))
			return OJSON_AT(obj, "spec", "template");
	if (!strcmp(k->name, "podtemplates"))
		return ojson_get(obj, "template");
	if (!strcmp(k->name, "cronjobs.batch"))
		return OJSON_AT(obj, "spec", "jobTemplate", "spec", "template");
	return NULL;
}

static const struct ojson *named(const struct ojson *list, const struct ojson *like)
{
	struct orlop_bytes name = ojson_get_bytes(like, "name");

	OJSON_FOREACH_ELEM(i, c, list)
		if (rb_eq(ojson_get_bytes(c, "name"), name))
			return c;
	return NULL;
}

/* Does an update touch what the rules look at, of what can change in a pod? */
static bool is_significant(const struct ojson *pod, const struct ojson *old)
{
	static const char *const lists[] = { "containers", "initContainers", "ephemeralContainers" };
	const struct ojson *notes = OJSON_AT(pod, "metadata", "annotations"), *was = OJSON_AT(old, "metadata", "annotations");

	OJSON_FOREACH(it, notes)
		if (strstr(it.key, "seccomp.security.alpha.kubernetes.io/") && !ojson_equal(it.value, ojson_get(was, it.key)))
			return true;
	OJSON_FOREACH(it, was)
		if (strstr(it.key, "seccomp.security.alpha.kubernetes.io/") && !ojson_has(notes, it.key))
			return true;
	for (size_t l = 0; l < 3; l++) {
		const struct ojson *is = OJSON_AT(pod, "spec", lists[l]), *had = OJSON_AT(old, "spec", lists[l]);

		if (l < 2 && ojson_count(is) != ojson_count(had))
			return true;
		OJSON_FOREACH_ELEM(i, c, is) {
			const struct ojson *o = l < 2 ? ojson_index(had, i) : named(had, c);

			if (!o || !rb_eq(ojson_get_bytes(c, "image"), ojson_get_bytes(o, "image")))
				return true;
		}
	}
	return false;
}

/* @from: the pod or the template. */
static int judge(struct reg_op *op, const struct psa_policy p[N_MODES], const struct ojson *from, bool enforce)
{
	const struct ojson *meta = ojson_get(from, "metadata"), *spec = ojson_get(from, "spec");
	struct obuf found = OBUF_INIT;
	char policy[40];
	int r = 0;

	if (enforce)
		reg_note(op, LABEL "enforce-policy", "%s", psa_policy_text(&p[ENFORCE], policy));
	if (!psa_evaluate(&p[AUDIT], meta, spec, &found, NULL))
		reg_note(op, LABEL "audit-violations", "would violate PodSecurity \"%s\": %s", psa_policy_text(&p[AUDIT], policy),
			 obuf_cstr(&found));
	obuf_reset(&found);
	if (enforce && !psa_evaluate(&p[ENFORCE], meta, spec, &found, NULL))
		r = reg_forbidden(op, op->w->name, "violates PodSecurity \"%s\": %s", psa_policy_text(&p[ENFORCE], policy),
				  obuf_cstr(&found));
	obuf_reset(&found);
	if (r == 0 && !psa_evaluate(&p[WARN], meta, spec, &found, NULL))
		reg_warn(op, "would violate PodSecurity \"%s\": %s", psa_policy_text(&p[WARN], policy), obuf_cstr(&found));
	obuf_done(&found);
	return r;
}

/* ---- namespaces ------------------------------------------------------------------------------------------------- */

struct finding {
	char		*why;
	char		*pod;		/* the first one by name */
	unsigned int	n;
};

struct findings {
	struct finding	v[WORDS_MAX];
	unsigned int	n;
	unsigned int	checked;
	uint64_t	total;
};

static void finding_add(struct findings *f, const char *why, struct orlop_bytes pod)
{
	for (unsigned int i = 0; i < f->n; i++)
		if (!strcmp(f->v[i].why, why)) {
			f->v[i].n++;
			return;		/* the iterator goes by name: the first is the first */
		}
	if (f->n == WORDS_MAX)
		return;
	f->v[f->n] = (struct finding){ .why = omem_strdup(why), .pod = omem_strndup(pod.p, pod.len), .n = 1 };
	if (f->v[f->n].why && f->v[f->n].pod) {
		f->n++;
	} else {
		omem_free(f->v[f->n].why);
		omem_free(f->v[f->n].pod);
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void findings_tell(struct reg_op *op, struct findings *f, struct orlop_bytes ns, const struct psa_policy *p)
{
	const char *lines[WORDS_MAX];
	char policy[40];

	if (f->checked < f->total)
		reg_warn(op, "new PodSecurity enforce level only checked against the first %u of %llu existing pods", f->checked,
			 (unsigned long long)f->total);
	if (f->n)
		reg_warn(op, "existing pods in namespace \"%.*s\" violate the new PodSecurity enforce level \"%s\"", OB(ns),
			 psa_policy_text(p, policy));
	for (unsigned int i = 0; i < f->n; i++) {
		struct finding *x = &f->v[i];
		const char *line = x->n == 1 ? oarena_printf(&op->arena, "%s: %s", x->pod, x->why) :
				   x->n == 2 ? oarena_printf(&op->arena, "%s (and 1 other pod): %s", x->pod, x->why) :
				   oarena_printf(&op->arena, "%s (and %u other pods): %s", x->pod, x->n - 1, x->why);

		lines[i] = line ? line : "";
		omem_free(x->why);
		omem_free(x->pod);
	}
	qsort(lines, f->n, sizeof(lines[0]), by_text);
	for (unsigned int i = 0; i < f->n; i++)
		reg_warn(op, "%s", lines[i]);
}

static int existing_pods(struct reg_op *op, struct orlop_bytes ns, const struct psa_policy *p)
{
	const struct reg_kind *k = op->sh->rg->pods;
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = ns };
	struct orlop_resource *res = reg_open(op->sh, k);
	struct findings *f = OMEM_NEW(struct findings);
	struct orlop_object *o;
	struct owalk w;
	int r = f && res ? owalk_open(&w, op->sh->h, res, &q) : -ENOMEM;

	if (r) {
		omem_free(f);
		return reg_failed(op, r, NULL);
	}
	while (r == 0 && (o = owalk_next(&w)) != NULL) {
		struct obuf why = OBUF_INIT;
		struct ojson *pod = NULL;

		f->total++;
		if (f->checked < CHECKED_MAX) {
			f->checked++;
			r = render_parse(k, o->json, &pod);
			if (r == 0 && !psa_evaluate(p, ojson_get(pod, "metadata"), ojson_get(pod, "spec"), NULL, &why))
				finding_add(f, obuf_cstr(&why), o->name);
		}
		obuf_done(&why);
		ojson_unref(pod);
	}
	owalk_close(&w);
	findings_tell(op, f, ns, p);
	omem_free(f);
	return r ? reg_failed(op, r, NULL) : 0;
}

static bool same_labels(const struct ojson *a, const struct ojson *b)
{
	for (int m = 0; m < N_MODES * 2; m++) {
		char key[64];

		(void)snprintf(key, sizeof(key), LABEL "%s%s", mode_names[m / 2], m % 2 ? "-version" : "");
		if (strcmp(ojson_get_cstr(a, key, ""), ojson_get_cstr(b, key, "")))
			return false;
	}
	return true;
}

static int judge_namespace(struct reg_op *op, const struct ojson *ns, const struct ojson *old)
{
	const struct ojson *labels = OJSON_AT(ns, "metadata", "labels"), *before = OJSON_AT(old, "metadata", "labels");
	struct psa_policy is[N_MODES], was[N_MODES];
	unsigned int wrong;

	if (op->rq.sub.len || (old && same_labels(labels, before)))
		return 0;
	wrong = policies_of(op, labels, is);
	if (wrong)
		return reg_invalid_as(op, op->w->k->gk, op->w->name);
	if (!old) {
		if (is_named(op->sh->rg->cfg.exempt.namespaces, op->w->name))
			tell_ignored(op, is);
		return 0;
	}
	(void)policies_of(NULL, before, was);
	if (is[ENFORCE].level == PSA_PRIVILEGED ||
	    (is[ENFORCE].minor == was[ENFORCE].minor && is[ENFORCE].level <= was[ENFORCE].level))
		return 0;
	if (is_named(op->sh->rg->cfg.exempt.namespaces, op->w->name)) {
		tell_ignored(op, is);
		return 0;
	}
	return existing_pods(op, op->w->name, &is[ENFORCE]);
}

int admission_pod_security(struct reg_op *op, const struct ojson *obj, const struct ojson *old)
{
	const struct reg_kind *k = op->w->k;
	bool pods = k == op->sh->rg->pods;
	const struct ojson *from = pods ? obj : template_of(k, obj);
	struct psa_policy p[N_MODES];
	const char *exempt;
	struct ojson *ns = NULL;
	int r;

	if (k == op->sh->rg->namespaces)
		return judge_namespace(op, obj, old);
	if (!from)
		return 0;
	if (pods ? rb_is(op->rq.sub, "status") || rb_is(op->rq.sub, "binding") || (old && !is_significant(obj, old)) :
		   op->rq.sub.len > 0)
		return 0;
	exempt = exemption(op, ojson_get(from, "spec"));
	if (exempt) {
		reg_note(op, LABEL "exempt", "%s", exempt);
		return 0;
	}
	r = admission_lookup(op, op->sh->rg->namespaces, RB0, op->w->ns, &ns);
	if (r || !ns)
		return r;
	(void)policies_of(NULL, OJSON_AT(ns, "metadata", "labels"), p);
	if ((pods && p[ENFORCE].level) || p[WARN].level || p[AUDIT].level)
		r = judge(op, p, from, pods);
	ojson_unref(ns);
	return r;
}
