/*
 * limits.c - admission LimitRanger: what the LimitRanges of a namespace give to containers that ask for nothing,
 * and what they refuse.
 *
 * Source: upstream's plugin/pkg/admission/limitranger, behaviour and words.
 */
#include "admission.h"

#include "../registry/kinds.h"
#include "../registry/render.h"
#include "../registry/write.h"
#include "json/ojson.h"
#include "quantity/oquantity.h"
#include "walk/owalk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ANNOTATION "kubernetes.io/limit-ranger"

typedef int (*limit_fn)(struct reg_op *op, struct ojson *range, struct ojson *pod, void *arg);

/* Every LimitRange of the request's namespace. 0 or -errno with op->err. */
static int ranges_each(struct reg_op *op, struct ojson *pod, limit_fn fn, void *arg)
{
	const struct reg_kind *k = reg_kind_named(op->sh->rg, "limitranges");
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = op->rq.ns };
	struct orlop_resource *res = k ? reg_open(op->sh, k) : NULL;
	struct orlop_object *o;
	struct owalk w;
	int r = 0;

	if (!res || owalk_open(&w, op->sh->h, res, &q))
		return reg_failed(op, -ENOMEM, NULL);
	while (r == 0 && (o = owalk_next(&w)) != NULL) {
		struct ojson *range = NULL;

		r = render_parse(k, o->json, &range);
		if (r == 0)
			r = fn(op, range, pod, arg);
		ojson_unref(range);
	}
	owalk_close(&w);
	return r == 0 || op->err.err ? r : reg_failed(op, r, NULL);
}

/* ---- what is given ----------------------------------------------------------------------------------------- */

/* What the container's list @key lacks of @defaults; the names into @said. Returns how many, or -ENOMEM. */
static int fill(struct ojson *container, const char *key, const struct ojson *defaults, struct obuf *said)
{
	struct ojson *list = ojson_get(ojson_get(container, "resources"), key);
	int n = 0;

	OJSON_FOREACH(it, defaults) {
		if (ojson_has(list, it.key))
			continue;
		if (!list)
			list = ojson_ensure_object(ojson_ensure_object(container, "resources"), key);
		if (!list || ojson_set(list, it.key, ojson_ref(it.value)))
			return -ENOMEM;
		obuf_printf(said, "%s%s", n++ ? ", " : "", it.key);
	}
	return n;
}

static int fill_all(struct ojson *pod, const struct ojson *item, struct obuf *said)
{
	static const struct {
		const char	*list;
		const char	*what;
	} lists[] = { { "containers", "container" }, { "initContainers", "init container" } };
	static const char *const parts[][3] = { { "requests", "defaultRequest", "request" }, { "limits", "default", "limit" } };

	for (size_t l = 0; l < 2; l++) {
		OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "spec", lists[l].list)) {
			for (size_t p = 0; p < 2; p++) {
				size_t before = said->len;
				int n;

				if (before)
					obuf_puts(said, "; ");
				n = fill(c, parts[p][0], ojson_get(item, parts[p][1]), said);
				if (n < 0)
					return n;
				if (n)
					obuf_printf(said, " %s for %s %s", parts[p][2], lists[l].what,
						    ojson_get_cstr(c, "name", ""));
				else
					said->len = before;
			}
		}
	}
	return obuf_err(said);
}

static int give(struct reg_op *op, struct ojson *range, struct ojson *pod, void *arg)
{
	struct obuf said = OBUF_INIT;
	int r = 0;

	(void)op;
	OJSON_FOREACH_ELEM(i, item, OJSON_AT(range, "spec", "limits"))
		if (r == 0 && ojson_string_is(ojson_get(item, "type"), "Container"))
			r = fill_all(pod, item, &said);
	if (r == 0 && said.len) {
		struct ojson *notes = ojson_ensure_object(ojson_ensure_object(pod, "metadata"), "annotations");
		struct obuf text = OBUF_INIT;

		obuf_printf(&text, "LimitRanger plugin set: %.*s", (int)said.len, said.data);
		r = obuf_err(&text);
		if (r == 0)
			r = ojson_set_cstr(notes, ANNOTATION, obuf_cstr(&text));
		obuf_done(&text);
		*(bool *)arg = true;
	}
	obuf_done(&said);
	return r;
}

int admission_limits_give(struct reg_op *op, struct ojson *pod)
{
	bool given = false;
	int r = ranges_each(op, pod, give, &given);

	if (r == 0 && given) {
		reg_dirty(op);
		r = ojson_set_cstr(ojson_ensure_object(pod, "status"), "qosClass", pod_qos_class(pod));
		if (r)
			return reg_failed(op, r, NULL);
	}
	return r;
}

/* ---- what is refused ------------------------------------------------------------------------------------------- */

struct refusal {
	struct obuf	why;
	unsigned int	n;
};

static bool value(const struct ojson *list, const char *key, struct oquantity *ret)
{
	struct orlop_bytes v = ojson_get_bytes(list, key);

	return v.len && oquantity_parse(v.p, v.len, ret, NULL) == 0;
}

static void begin(struct refusal *f)
{
	if (f->n++)
		obuf_puts(&f->why, ", ");
}

static const char *text(const struct ojson *list, const char *key)
{
	return ojson_get_cstr(list, key, "");
}

static void least(struct refusal *f, const char *type, const char *key, const char *want, const struct oquantity *q,
		  const struct ojson *requests, const struct ojson *limits)
{
	struct oquantity r, l;
	bool has = value(requests, key, &r);
	const char *than = !has ? NULL : oquantity_cmp(&r, q) < 0 ? "request" :
			   value(limits, key, &l) && oquantity_cmp(&l, q) < 0 ? "limit" : "";

	if (than && !*than)
		return;
	begin(f);
	obuf_printf(&f->why, "minimum %s usage per %s is %s", key, type, want);
	if (!than)
		obuf_puts(&f->why, ".  No request is specified");
	else
		obuf_printf(&f->why, ", but %s is %s", than, text(strcmp(than, "limit") ? requests : limits, key));
}

static void most(struct refusal *f, const char *type, const char *key, const char *want, const struct oquantity *q,
		 const struct ojson *requests, const struct ojson *limits)
{
	struct oquantity r, l;
	bool has = value(limits, key, &l);
	const char *than = !has ? NULL : oquantity_cmp(&l, q) > 0 ? "limit" :
			   value(requests, key, &r) && oquantity_cmp(&r, q) > 0 ? "request" : "";

	if (than && !*than)
		return;
	begin(f);
	obuf_printf(&f->why, "maximum %s usage per %s is %s", key, type, want);
	if (!than)
		obuf_puts(&f->why, ".  No limit is specified");
	else
		obuf_printf(&f->why, ", but %s is %s", than, text(strcmp(than, "limit") ? requests : limits, key));
}

static void ratio(struct refusal *f, const char *type, const char *key, const char *want, const struct oquantity *q,
		  const struct ojson *requests, const struct ojson *limits)
{
	struct oquantity r, l;
	bool has_r = value(requests, key, &r) && !oquantity_is_zero(&r);
	bool has_l = value(limits, key, &l) && !oquantity_is_zero(&l);
	double is = has_r && has_l ? oquantity_double(&l) / oquantity_double(&r) : 0;

	if (has_r && has_l && is <= oquantity_double(q))
		return;
	begin(f);
	obuf_printf(&f->why, "%s max limit to request ratio per %s is %s, but ", key, type, want);
	if (has_r && has_l)
		obuf_printf(&f->why, "provided ratio is %f", is);
	else
		obuf_printf(&f->why, "no %s is specified or %s is 0", has_r ? "limit" : "request", has_r ? "limit" : "request");
}

static void judge(struct refusal *f, const struct ojson *item, const struct ojson *requests, const struct ojson *limits)
{
	static const struct {
		const char	*list;
		void		(*check)(struct refusal *f, const char *type, const char *key, const char *want,
					 const struct oquantity *q, const struct ojson *requests, const struct ojson *limits);
	} lists[] = { { "min", least }, { "max", most }, { "maxLimitRequestRatio", ratio } };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		const struct ojson *list = ojson_get(item, lists[i].list);

		OJSON_FOREACH(it, list) {
			struct oquantity q;

			if (value(list, it.key, &q))
				lists[i].check(f, text(item, "type"), it.key, text(list, it.key), &q, requests, limits);
		}
	}
}

/* A claim has requests only. */
static void judge_claim(struct refusal *f, const struct ojson *item, const struct ojson *requests)
{
	const struct ojson *list = ojson_get(item, "max");

	OJSON_FOREACH(it, ojson_get(item, "min")) {
		struct oquantity q;

		if (value(ojson_get(item, "min"), it.key, &q))
			least(f, "PersistentVolumeClaim", it.key, text(ojson_get(item, "min"), it.key), &q, requests, NULL);
	}
	OJSON_FOREACH(it, list) {
		struct oquantity q, r;
		bool has = value(requests, it.key, &r);

		if (!value(list, it.key, &q) || (has && oquantity_cmp(&r, &q) <= 0))
			continue;
		begin(f);
		obuf_printf(&f->why, "maximum %s usage per PersistentVolumeClaim is %s", it.key, text(list, it.key));
		if (has)
			obuf_printf(&f->why, ", but request is %s", text(requests, it.key));
		else
			obuf_puts(&f->why, ".  No request is specified");
	}
}

/* @sum: one more container beside those in it; or, with @instead, the larger of the two. */
static int add(struct ojson *sum, const struct ojson *list, bool instead)
{
	OJSON_FOREACH(it, list) {
		struct oquantity a, b;
		char out[OQUANTITY_BUF];
		size_t n;

		if (!value(list, it.key, &a))
			continue;
		if (value(sum, it.key, &b)) {
			if (instead)
				a = oquantity_cmp(&a, &b) > 0 ? a : b;
			else
				(void)oquantity_add(&a, &b);
		}
		n = oquantity_write(&a, out);
		if (ojson_set_string(sum, it.key, out, n))
			return -ENOMEM;
	}
	return 0;
}

/* What the whole pod asks for: its containers together, or what its start needs, if that is more. */
static int whole(const struct ojson *pod, const char *key, struct ojson **ret)
{
	const struct ojson *spec = ojson_get(pod, "spec");
	struct ojson *sum = ojson_new_object(), *beside = ojson_new_object(), *once = NULL;
	int r = sum && beside ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, c, ojson_get(spec, "containers"))
		if (r == 0)
			r = add(sum, OJSON_AT(c, "resources", key), false);
	OJSON_FOREACH_ELEM(i, c, ojson_get(spec, "initContainers"))
		if (r == 0 && ojson_string_is(ojson_get(c, "restartPolicy"), "Always"))
			r = add(sum, OJSON_AT(c, "resources", key), false);
	OJSON_FOREACH_ELEM(i, c, ojson_get(spec, "initContainers")) {
		bool stays = ojson_string_is(ojson_get(c, "restartPolicy"), "Always");

		if (r == 0 && !stays) {
			r = ojson_copy(beside, &once);
			if (r == 0)
				r = add(once, OJSON_AT(c, "resources", key), false);
			if (r == 0)
				r = add(sum, once, true);
			ojson_unref(once);
			once = NULL;
		} else if (r == 0) {
			r = add(beside, OJSON_AT(c, "resources", key), false);
		}
	}
	ojson_unref(beside);
	if (r == 0)
		*ret = sum;
	else
		ojson_unref(sum);
	return r;
}

static int judge_range(struct reg_op *op, struct ojson *range, struct ojson *pod, void *arg)
{
	static const char *const lists[] = { "containers", "initContainers" };
	struct refusal f = { .why = OBUF_INIT };
	int r = 0;

	(void)arg;
	OJSON_FOREACH_ELEM(i, item, OJSON_AT(range, "spec", "limits")) {
		struct ojson *requests = NULL, *limits = NULL;

		if (op->w->k != op->sh->rg->pods) {
			if (ojson_string_is(ojson_get(item, "type"), "PersistentVolumeClaim"))
				judge_claim(&f, item, OJSON_AT(pod, "spec", "resources", "requests"));
		} else if (ojson_string_is(ojson_get(item, "type"), "Container")) {
			for (size_t l = 0; l < 2; l++)
				OJSON_FOREACH_ELEM(k, c, OJSON_AT(pod, "spec", lists[l]))
					judge(&f, item, OJSON_AT(c, "resources", "requests"),
					      OJSON_AT(c, "resources", "limits"));
		} else if (ojson_string_is(ojson_get(item, "type"), "Pod")) {
			r = whole(pod, "requests", &requests);
			if (r == 0)
				r = whole(pod, "limits", &limits);
			if (r == 0)
				judge(&f, item, requests, limits);
			ojson_unref(requests);
			ojson_unref(limits);
		}
	}
	if (r == 0 && f.n)
		r = reg_forbidden(op, ojson_get_bytes(ojson_get(pod, "metadata"), "name"), "%s%.900s%s", f.n > 1 ? "[" : "",
				  obuf_cstr(&f.why), f.n > 1 ? "]" : "");
	obuf_done(&f.why);
	return r;
}

int admission_limits_judge(struct reg_op *op, struct ojson *pod)
{
	return ranges_each(op, pod, judge_range, NULL);
}
