/*
 * boot-rbac.c - the roles and bindings that every cluster begins with, made and kept right at each start.
 *
 * As upstream does it: what is missing is made; of what is there, rules and subjects that are missing are
 * added, and nothing is taken away. An object whose annotation says autoupdate "false" is left alone.
 * Where none is missing nobody waits for it: they are looked at when the API server serves, some at a time.
 * The form of the policy's text is described in auth/policy.c.
 */
#include "boot-text.h"
#include "kinds.h"
#include "op.h"
#include "verbs.h"

#include "base/omap.h"
#include "json/ojson.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RBAC_GROUP	"rbac.authorization.k8s.io"
#define AUTOUPDATE	"rbac.authorization.kubernetes.io/autoupdate"
#define AGGREGATE	"rbac.authorization.k8s.io/aggregate-to-"
#define AT_ONCE		16u
#define SLICE		8u	/* compared before others have their turn */

struct boot_rbac {
	struct reg_shard *sh;
	reg_boot_fn	done;
	void		*arg;
	struct orlop_timer *timer;
	const char	*at;		/* rest of the policy */
	uint32_t	flying;
	bool		behind;		/* done() was called already */
	bool		running;
	bool		failed;
	char		what[300];
};

struct one {
	struct boot_rbac *b;
	struct ojson	*obj;
	char		*body;
	char		name[128];
};

static struct ojson *rule_of(struct orlop_bytes line)
{
	struct orlop_bytes verbs = boot_word(&line), group = boot_word(&line), things = boot_word(&line);
	struct ojson *rule = ojson_new_object();

	boot_list(rule, "verbs", verbs);
	if (rb_is(group, "url")) {
		boot_list(rule, "nonResourceURLs", things);
		return rule;
	}
	boot_list(rule, "apiGroups", group);
	boot_list(rule, "resources", things);
	boot_list(rule, "resourceNames", boot_word(&line));
	return rule;
}

static struct ojson *subject_of(struct orlop_bytes w)
{
	const char *colon = memchr(w.p, ':', w.len), *slash;
	struct ojson *s = ojson_new_object();
	struct orlop_bytes name;

	if (!s || !colon)
		return s;
	name = (struct orlop_bytes){ colon + 1, w.len - (size_t)(colon + 1 - w.p) };
	(void)ojson_set_string(s, "kind", w.p, (size_t)(colon - w.p));
	slash = w.p[0] == 'S' ? memchr(name.p, '/', name.len) : NULL;
	if (!slash) {
		(void)ojson_set_cstr(s, "apiGroup", RBAC_GROUP);
		(void)ojson_set_string(s, "name", name.p, name.len);
		return s;
	}
	(void)ojson_set_string(s, "name", slash + 1, name.len - (size_t)(slash + 1 - name.p));
	(void)ojson_set_string(s, "namespace", name.p, (size_t)(slash - name.p));
	return s;
}

static void head(struct ojson *obj, struct orlop_bytes full)
{
	const char *slash = memchr(full.p, '/', full.len);
	struct ojson *meta = ojson_ensure_object(obj, "metadata");

	if (slash) {
		(void)ojson_set_string(meta, "namespace", full.p, (size_t)(slash - full.p));
		full.len -= (size_t)(slash + 1 - full.p);
		full.p = slash + 1;
	}
	(void)ojson_set_string(meta, "name", full.p, full.len);
	(void)ojson_set_cstr(ojson_ensure_object(meta, "annotations"), AUTOUPDATE, "true");
	(void)ojson_set_cstr(ojson_ensure_object(meta, "labels"), "kubernetes.io/bootstrapping", "rbac-defaults");
}

static void aggregation(struct ojson *obj, struct orlop_bytes w)
{
	const char *eq = memchr(w.p, '=', w.len);
	struct ojson *l, *sel;
	char key[100];

	if (!eq)
		return;
	snprintf(key, sizeof(key), AGGREGATE "%.*s", (int)(w.len - (size_t)(eq + 1 - w.p)), eq + 1);
	if (w.p[0] == 't') {
		(void)ojson_set_cstr(ojson_ensure_object(ojson_get(obj, "metadata"), "labels"), key, "true");
		return;
	}
	l = ojson_ensure_array(ojson_ensure_object(obj, "aggregationRule"), "clusterRoleSelectors");
	sel = ojson_new_object();
	(void)ojson_set_cstr(ojson_ensure_object(sel, "matchLabels"), key, "true");
	(void)ojson_append(l, sel);
}

static const char *resource_of(struct orlop_bytes kind, struct orlop_bytes full)
{
	bool in_ns = memchr(full.p, '/', full.len) != NULL;

	if (rb_is(kind, "role"))
		return in_ns ? "roles." RBAC_GROUP : "clusterroles." RBAC_GROUP;
	return in_ns ? "rolebindings." RBAC_GROUP : "clusterrolebindings." RBAC_GROUP;
}

/* Is there an object of each name? */
static bool all_there(struct reg_shard *sh, const char *at)
{
	bool all = true;

	while (*at && all) {
		size_t n = strcspn(at, "\n");
		struct orlop_bytes line = { at, n }, kind, full, ns = RB0;
		const char *resource, *slash;
		struct orlop_object *o;

		at += n + (at[n] == '\n');
		if (!n || line.p[0] == '\t')
			continue;
		kind = boot_word(&line);
		full = boot_word(&line);
		resource = resource_of(kind, full);
		slash = memchr(full.p, '/', full.len);
		if (slash) {
			ns = (struct orlop_bytes){ full.p, (size_t)(slash - full.p) };
			full = (struct orlop_bytes){ slash + 1, full.len - ns.len - 1 };
		}
		o = reg_peek(sh, resource, ns, full);
		all = o != NULL;
		sh->h->object_unref(o);
	}
	return all;
}

/* The next object of the policy; NULL at its end. */
static struct ojson *next_object(struct boot_rbac *b, const char **ret_resource)
{
	struct ojson *obj = NULL;

	while (*b->at && (!obj || *b->at == '\t')) {
		size_t n = strcspn(b->at, "\n");
		struct orlop_bytes line = { b->at, n }, first, full;

		b->at += n + (b->at[n] == '\n');
		if (line.p[0] == '\t') {
			(void)ojson_append(ojson_ensure_array(obj, "rules"), rule_of(line));
			continue;
		}
		obj = ojson_new_object();
		first = boot_word(&line);
		full = boot_word(&line);
		head(obj, full);
		*ret_resource = resource_of(first, full);
		if (rb_is(first, "role")) {
			for (struct orlop_bytes w = boot_word(&line); w.len; w = boot_word(&line))
				aggregation(obj, w);
		} else {
			struct ojson *ref = subject_of(boot_word(&line));

			(void)ojson_set(obj, "roleRef", ref);
			for (struct orlop_bytes w = boot_word(&line); w.len; w = boot_word(&line))
				(void)ojson_append(ojson_ensure_array(obj, "subjects"), subject_of(w));
			return obj;
		}
	}
	return obj;
}

/* ---- what is there already ---- */

static bool has_text(const struct ojson *l, const char *text, size_t len)
{
	OJSON_FOREACH_ELEM(i, e, l) {
		struct orlop_bytes s = ojson_bytes(e);

		if (ostr_is(s.p, s.len, "*") || ostr_eq(s.p, s.len, text, len))
			return true;
	}
	return false;
}

static bool has_all(const struct ojson *l, const struct ojson *want)
{
	OJSON_FOREACH_ELEM(i, e, want) {
		struct orlop_bytes s = ojson_bytes(e);

		if (!has_text(l, s.p ? s.p : "", s.len))
			return false;
	}
	return true;
}

static bool rule_has(const struct ojson *rule, const struct ojson *want)
{
	const struct ojson *names = ojson_get(rule, "resourceNames");

	return has_all(ojson_get(rule, "verbs"), ojson_get(want, "verbs")) &&
	       has_all(ojson_get(rule, "apiGroups"), ojson_get(want, "apiGroups")) &&
	       has_all(ojson_get(rule, "resources"), ojson_get(want, "resources")) &&
	       has_all(ojson_get(rule, "nonResourceURLs"), ojson_get(want, "nonResourceURLs")) &&
	       (ojson_count(names) == 0 ||
		(ojson_has(want, "resourceNames") && has_all(names, ojson_get(want, "resourceNames"))));
}

static bool list_has(const struct ojson *l, const struct ojson *want, bool rules)
{
	OJSON_FOREACH_ELEM(i, e, l)
		if (rules ? rule_has(e, want) : ojson_equal(e, want))
			return true;
	return false;
}

/* Add to @was what is missing; true: something was. */
static bool add_missing(struct ojson *was, const struct ojson *want, const char *key)
{
	bool changed = false, rules = !strcmp(key, "rules");

	OJSON_FOREACH_ELEM(i, e, ojson_get_array(want, key)) {
		if (list_has(ojson_get_array(was, key), e, rules))
			continue;
		if (!ojson_is(ojson_get(was, key), OJSON_ARRAY))
			ojson_del(was, key);
		(void)ojson_append(ojson_ensure_array(was, key), ojson_ref(e));
		changed = true;
	}
	return changed;
}

static bool add_words(struct ojson *meta, const struct ojson *want, const char *key)
{
	bool changed = false;

	OJSON_FOREACH(it, ojson_get(want, key)) {
		struct ojson *m = ojson_ensure_object(meta, key);

		if (ojson_equal(ojson_get_n(m, it.key, it.key_len), it.value))
			continue;
		(void)ojson_put_n(m, it.key, it.key_len, ojson_ref(it.value));
		changed = true;
	}
	return changed;
}

/* NULL: it is right as it is. Otherwise what to write. */
static struct ojson *reconcile(struct ojson *was, const struct ojson *want)
{
	struct ojson *meta = ojson_get(was, "metadata");
	bool changed;

	if (ojson_string_is(ojson_get(ojson_get(meta, "annotations"), AUTOUPDATE), "false"))
		return NULL;
	if (ojson_has(want, "roleRef") && !ojson_equal(ojson_get(was, "roleRef"), ojson_get(want, "roleRef")))
		return NULL;	/* somebody's own, and it cannot be changed */
	changed = add_words(meta, ojson_get(want, "metadata"), "labels");
	changed |= add_words(meta, ojson_get(want, "metadata"), "annotations");
	if (!ojson_has(want, "aggregationRule"))
		changed |= add_missing(was, want, "rules");
	else if (!ojson_has(was, "aggregationRule"))
		changed |= ojson_set(was, "aggregationRule", ojson_ref(ojson_get(want, "aggregationRule"))) == 0;
	changed |= add_missing(was, want, "subjects");
	return changed ? was : NULL;
}

/* ---- one after the other, some at once ---- */

static void go(struct boot_rbac *b);

static void on_one(void *arg, struct reg_answer *a)
{
	struct one *one = arg;
	struct boot_rbac *b = one->b;

	if (!a || (a->code >= 400 && a->code != 409)) {
		b->failed = true;
		snprintf(b->what, sizeof(b->what), "%s: %.*s", one->name, a && a->n_pieces ? (int)a->pieces[0].len : 0,
			 a && a->n_pieces ? a->pieces[0].p : "");
	}
	reg_answer_free(a);
	omem_free(one->body);
	ojson_unref(one->obj);
	omem_free(one);
	b->flying--;
	if (!b->running)
		go(b);
}

static void make(struct boot_rbac *b, const char *resource, struct ojson *take_want)
{
	struct reg_req rq = { .verb = REG_CREATE, .judged = true };
	const struct reg_kind *k = reg_kind_named(b->sh->rg, resource);
	struct one *one = OMEM_NEW(struct one);
	struct ojson *meta = ojson_get(take_want, "metadata"), *was = NULL;
	struct orlop_object *o;

	if (!k || !one) {
		b->failed |= !one;
		omem_free(one);
		ojson_unref(take_want);
		return;
	}
	one->b = b;
	one->obj = take_want;
	rq.res = k->res;
	rq.ns = ojson_get_bytes(meta, "namespace");
	snprintf(one->name, sizeof(one->name), "%s %s", k->kind, ojson_get_cstr(meta, "name", ""));
	o = reg_peek(b->sh, resource, rq.ns, ojson_get_bytes(meta, "name"));
	if (o) {
		rq.verb = REG_UPDATE;
		rq.name = ojson_get_bytes(meta, "name");
		(void)ojson_parse_members(o->json, &was, NULL);
		b->sh->h->object_unref(o);
	}
	if (was && !reconcile(was, take_want)) {
		ojson_unref(was);
		ojson_unref(take_want);
		omem_free(one);
		return;
	}
	one->body = ojson_text(was ? was : take_want, 0, NULL);
	ojson_unref(was);
	rq.body = RB(one->body ? one->body : "");
	b->flying++;
	reg_internal_call(b->sh, &rq, on_one, one);
}

void reg_boot_rbac_free(struct boot_rbac *b)
{
	if (!b)
		return;
	b->sh->h->timer_free(b->timer);
	omem_free(b);
}

static void finished(struct boot_rbac *b)
{
	reg_boot_fn done = b->done;
	void *darg = b->arg;
	bool failed = b->failed, behind = b->behind;
	char what[300];

	memcpy(what, b->what, sizeof(what));
	if (behind && failed)
		OLOG(b->sh->h, WARN, "roles_not_updated", "reason=\"%s\" text=\"the next start tries again\"", what);
	b->sh->boot_rbac = NULL;
	reg_boot_rbac_free(b);
	if (!behind)
		done(darg, failed ? -EIO : 0, what);
}

static void go(struct boot_rbac *b)
{
	uint32_t n = 0;

	b->running = true;
	while (b->flying < AT_ONCE && *b->at && !b->failed && !(b->behind && n++ == SLICE)) {
		const char *resource = NULL;
		struct ojson *obj = next_object(b, &resource);

		if (obj)
			make(b, resource, obj);
	}
	b->running = false;
	if (b->flying == 0)
		b->sh->h->timer_set(b->timer, 0, 0);	/* not below somebody's callback */
}

static void due(void *arg)
{
	struct boot_rbac *b = arg;

	if (*b->at && !b->failed)
		go(b);
	else
		finished(b);
}

void reg_boot_rbac(struct reg_shard *sh, reg_boot_fn done, void *arg)
{
	struct boot_rbac *b = OMEM_NEW(struct boot_rbac);

	if (!b || sh->h->timer_new(sh->h, due, b, &b->timer)) {
		omem_free(b);
		done(arg, -ENOMEM, "out of memory");
		return;
	}
	b->sh = sh;
	b->done = done;
	b->arg = arg;
	b->at = sh->rg->cfg.policy ? sh->rg->cfg.policy : "";
	b->behind = all_there(sh, b->at);
	sh->boot_rbac = b;
	if (!b->behind) {
		go(b);
		return;
	}
	sh->h->timer_set(b->timer, 0, 0);
	done(arg, 0, "");
}
