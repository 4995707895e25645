/*
 * rbac-index.c - roles and bindings from the cache into numbers, one change at a time.
 */
#include "rbac.h"

#include "base/omem.h"
#include "base/ostr.h"
#include "json/ojson.h"
#include "walk/owalk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[RBAC_N_RESOURCES] = {
	"roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io",
	"rolebindings.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io",
};

/* ---- strings ---- */

uint32_t rbac_number(const struct rbac *x, const char *p, size_t len)
{
	return (uint32_t)(uintptr_t)omap_get(&x->numbers, p, len);
}

/* A number with one more reference; 0 without memory. */
static uint32_t number_ref(struct rbac *x, const char *p, size_t len)
{
	uint32_t n = rbac_number(x, p, len);
	struct omap_entry *e;

	if (n) {
		x->strings[n].refs++;
		return n;
	}
	for (n = x->free_string; n < x->n_strings && x->strings[n].p; n++)
		;
	if (n == x->cap_strings) {
		uint32_t cap = x->cap_strings * 2;
		struct rbac_string *more = omem_realloc(x->strings, cap * sizeof(*more));

		if (!more)
			return 0;
		x->strings = more;
		x->cap_strings = cap;
	}
	if (omap_put(&x->numbers, p, len, (void *)(uintptr_t)n, NULL))
		return 0;
	e = omap_find(&x->numbers, p, len);
	x->strings[n] = (struct rbac_string){ .p = e->key, .len = (uint32_t)len, .refs = 1 };
	x->free_string = n + 1;
	if (n >= x->n_strings)
		x->n_strings = n + 1;
	return n;
}

static void number_unref(struct rbac *x, uint32_t n)
{
	struct rbac_string *s = &x->strings[n];

	if (!n || --s->refs)
		return;
	(void)omap_del(&x->numbers, s->p, s->len);
	s->p = NULL;
	if (n < x->free_string)
		x->free_string = n;
}

/* ---- roles ---- */

static void role_clear(struct rbac *x, struct rbac_role *role)
{
	for (uint32_t at = 0; at < role->n_words;) {
		uint32_t n = 0;

		for (unsigned int i = 0; i < RBAC_N_PARTS; i++)
			n += role->code[at + i];
		for (uint32_t i = 0; i < n; i++)
			number_unref(x, role->code[at + RBAC_N_PARTS + i]);
		at += RBAC_N_PARTS + n;
	}
	omem_free(role->code);
	role->code = NULL;
	role->n_words = 0;
	role->there = false;
}

static void role_drop_unused(struct rbac *x, struct rbac_role *role)
{
	if (role->there || role->n_bound)
		return;
	(void)omap_del(&x->roles, role->key, strlen(role->key));
	omem_free(role->key);
	omem_free(role);
}

static struct rbac_role *role_get(struct rbac *x, const char *key)
{
	struct rbac_role *role = omap_get_cstr(&x->roles, key);

	if (role)
		return role;
	role = OMEM_NEW(struct rbac_role);
	if (role)
		role->key = omem_strdup(key);
	if (!role || !role->key || omap_put_cstr(&x->roles, key, role)) {
		if (role)
			omem_free(role->key);
		omem_free(role);
		return NULL;
	}
	return role;
}

static int role_compile(struct rbac *x, struct rbac_role *role, const struct ojson *rules)
{
	static const char *const parts[RBAC_N_PARTS] = { "verbs", "apiGroups", "resources", "resourceNames",
							 "nonResourceURLs" };
	uint32_t n = 0, at = 0;
	uint32_t *code;

	OJSON_FOREACH_ELEM(i, rule, rules) {
		n += RBAC_N_PARTS;
		for (unsigned int k = 0; k < RBAC_N_PARTS; k++)
			n += (uint32_t)ojson_count(ojson_get_array(rule, parts[k]));
	}
	if (n == 0)
		return 0;
	code = omem_zalloc_array(n, sizeof(*code));
	if (!code)
		return -ENOMEM;
	OJSON_FOREACH_ELEM(i, rule, rules) {
		uint32_t head = at;

		at += RBAC_N_PARTS;
		for (unsigned int k = 0; k < RBAC_N_PARTS; k++) {
			OJSON_FOREACH_ELEM(m, e, ojson_get_array(rule, parts[k])) {
				struct orlop_bytes s = ojson_bytes(e);

				code[at++] = number_ref(x, s.p ? s.p : "", s.len);
				code[head + k]++;
			}
		}
	}
	role->code = code;
	role->n_words = n;
	return 0;
}

static int role_put(struct rbac *x, const char *key, const struct ojson *obj)
{
	struct rbac_role *role = role_get(x, key);
	int r;

	if (!role)
		return -ENOMEM;
	role_clear(x, role);
	if (!obj) {
		role_drop_unused(x, role);
		return 0;
	}
	r = role_compile(x, role, ojson_get_array(obj, "rules"));
	role->there = true;
	return r;
}

/* ---- bindings ---- */

static void subject_leave(struct rbac *x, struct rbac_subject *s, const struct rbac_binding *b)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->b[i] != b)
			continue;
		memmove(&s->b[i], &s->b[i + 1], (s->n - i - 1) * sizeof(*s->b));
		s->n--;
		break;
	}
	if (s->n)
		return;
	(void)omap_del(&x->who[s->kind], s->name, strlen(s->name));
	omem_free(s->name);
	omem_free(s->b);
	omem_free(s);
}

static struct rbac_subject *subject_join(struct rbac *x, unsigned int kind, const char *name, struct rbac_binding *b)
{
	struct rbac_subject *s = omap_get_cstr(&x->who[kind], name);

	if (!s) {
		s = OMEM_NEW(struct rbac_subject);
		if (!s)
			return NULL;
		s->kind = (uint8_t)kind;
		s->name = omem_strdup(name);
		if (!s->name || omap_put_cstr(&x->who[kind], name, s)) {
			omem_free(s->name);
			omem_free(s);
			return NULL;
		}
	}
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 1;
		struct rbac_binding **more = omem_realloc(s->b, cap * sizeof(*more));

		if (!more) {
			if (!s->n)
				subject_leave(x, s, NULL);
			return NULL;
		}
		s->b = more;
		s->cap = cap;
	}
	s->b[s->n++] = b;
	return s;
}

static void binding_drop(struct rbac *x, struct rbac_binding *b)
{
	for (uint32_t i = 0; i < b->n_subjects; i++)
		subject_leave(x, b->subjects[i], b);
	if (b->role) {
		b->role->n_bound--;
		role_drop_unused(x, b->role);
	}
	number_unref(x, b->ns);
	omem_free(b->subjects);
	omem_free(b->key);
	omem_free(b);
}

static int binding_fill(struct rbac *x, struct rbac_binding *b, struct orlop_bytes ns, const struct ojson *obj)
{
	static const char *const kinds[RBAC_N_WHO] = { "User", "Group", "ServiceAccount" };
	const struct ojson *ref = ojson_get(obj, "roleRef"), *list = ojson_get_array(obj, "subjects");
	bool local = ojson_string_is(ojson_get(ref, "kind"), "Role");
	char text[1100];

	snprintf(text, sizeof(text), "%.*s/%s", local ? (int)ns.len : 0, ns.p ? ns.p : "", ojson_get_cstr(ref, "name", ""));
	b->role = role_get(x, text);
	b->subjects = omem_zalloc_array(ojson_count(list) + 1, sizeof(*b->subjects));
	if (!b->role || !b->subjects)
		return -ENOMEM;
	b->role->n_bound++;
	if (ns.len && (b->ns = number_ref(x, ns.p, ns.len)) == 0)
		return -ENOMEM;
	OJSON_FOREACH_ELEM(i, e, list) {
		const char *name = ojson_get_cstr(e, "name", "");
		const char *where = ojson_get_cstr(e, "namespace", "");
		struct rbac_subject *s;
		unsigned int k = 0;

		while (k < RBAC_N_WHO && !ojson_string_is(ojson_get(e, "kind"), kinds[k]))
			k++;
		if (k == RBAC_N_WHO)
			continue;
		if (k == RBAC_ACCOUNT && !where[0])	/* the binding's own */
			snprintf(text, sizeof(text), "%.*s:%s", OB(ns), name);
		else if (k == RBAC_ACCOUNT)
			snprintf(text, sizeof(text), "%s:%s", where, name);
		else if (strlen(name) < sizeof(text))
			strcpy(text, name);
		else
			continue;
		s = subject_join(x, k, text, b);
		if (!s)
			return -ENOMEM;
		b->subjects[b->n_subjects++] = s;
	}
	return 0;
}

static int binding_put(struct rbac *x, const char *key, struct orlop_bytes ns, const struct ojson *obj)
{
	struct rbac_binding *b = omap_del(&x->bindings, key, strlen(key));
	int r;

	if (b)
		binding_drop(x, b);
	if (!obj)
		return 0;
	b = OMEM_NEW(struct rbac_binding);
	if (!b)
		return -ENOMEM;
	b->key = omem_strdup(key);
	r = b->key ? binding_fill(x, b, ns, obj) : -ENOMEM;
	if (r == 0)
		r = omap_put_cstr(&x->bindings, key, b);
	if (r)
		binding_drop(x, b);	/* a right too little, never one too much */
	return r;
}

/* ---- the cache ---- */

int rbac_put(struct rbac *x, unsigned int resource, struct orlop_bytes ns, struct orlop_bytes name,
	     struct orlop_bytes json)
{
	bool role = resource == RBAC_ROLES || resource == RBAC_CLUSTER_ROLES;
	struct ojson *obj = NULL;
	char key[1100];
	int r = 0;

	if ((size_t)snprintf(key, sizeof(key), "%.*s/%.*s", OB(ns), OB(name)) >= sizeof(key))
		return -EINVAL;
	if (json.p)
		r = ojson_parse_members(json, &obj, NULL);
	if (r == 0)
		r = role ? role_put(x, key, obj) : binding_put(x, key, ns, obj);
	ojson_unref(obj);
	return r;
}

/* Everything of a resource anew. */
static void forget(struct rbac *x, unsigned int resource)
{
	bool role = resource == RBAC_ROLES || resource == RBAC_CLUSTER_ROLES;
	struct omap *m = role ? &x->roles : &x->bindings;

	for (uint32_t i = 0; i < m->n_entries; i++) {
		struct omap_entry *e = &m->entries[i];
		bool wide = e->key && e->key[0] == '/';

		if (!e->key || wide != (resource == RBAC_CLUSTER_ROLES || resource == RBAC_CLUSTER_BINDINGS))
			continue;
		if (role) {
			struct rbac_role *gone = e->value;

			role_clear(x, gone);
			role_drop_unused(x, gone);
		} else {
			struct rbac_binding *gone = e->value;

			(void)omap_del(m, gone->key, strlen(gone->key));
			binding_drop(x, gone);
		}
	}
}

static void relist(struct rbac *x, unsigned int i)
{
	struct orlop_object *o;
	struct owalk w;

	forget(x, i);
	x->listed[i] = false;
	if (owalk_open(&w, x->h, x->res[i], NULL))
		return;
	while ((o = owalk_next(&w)) != NULL)
		(void)rbac_put(x, i, o->ns, o->name, o->json);
	x->cursor[i] = x->h->snapshot_rev(w.snap);
	x->listed[i] = true;
	owalk_close(&w);
}

static void catch_up(struct rbac *x, unsigned int i)
{
	struct orlop_change c[32];
	int32_t n = 0;

	while (x->listed[i] && (n = x->h->journal_read(x->res[i], &x->cursor[i], c, 32)) > 0) {
		for (int32_t k = 0; k < n; k++) {
			const struct orlop_object *o = c[k].object ? c[k].object : c[k].prev;
			struct orlop_bytes gone = { NULL, 0 };

			if (o)
				(void)rbac_put(x, i, o->ns, o->name, c[k].type == ORLOP_CHANGE_DELETED ? gone : o->json);
			x->h->object_unref(c[k].object);
			x->h->object_unref(c[k].prev);
		}
	}
	if (n < 0 || !x->listed[i])
		relist(x, i);
}

void rbac_sync(struct rbac *x)
{
	for (unsigned int i = 0; i < RBAC_N_RESOURCES; i++) {
		uint64_t rev = x->res[i] ? x->h->resource_rev(x->res[i], NULL) : 0;

		if (rev == x->seen[i])
			continue;
		catch_up(x, i);
		x->seen[i] = rev;
	}
}

int rbac_new(const struct orlop_host *h, struct rbac **ret)
{
	struct rbac *x = OMEM_NEW(struct rbac);

	if (!x)
		return -ENOMEM;
	x->h = h;
	omap_init(&x->numbers);
	omap_init(&x->roles);
	omap_init(&x->bindings);
	for (unsigned int i = 0; i < RBAC_N_WHO; i++)
		omap_init(&x->who[i]);
	x->cap_strings = 64;
	x->strings = omem_zalloc_array(x->cap_strings, sizeof(*x->strings));
	x->n_strings = x->free_string = 1;
	if (!x->strings || number_ref(x, "*", 1) != RBAC_STAR) {
		rbac_free(x);
		return -ENOMEM;
	}
	/* what cannot be opened stays empty: nobody gets a right from it */
	for (unsigned int i = 0; h && i < RBAC_N_RESOURCES; i++)
		(void)h->resource_open(h, names[i], &x->res[i], NULL);
	*ret = x;
	return 0;
}

void rbac_free(struct rbac *x)
{
	if (!x)
		return;
	for (unsigned int i = RBAC_N_RESOURCES; i-- > 0;) {
		forget(x, i);
		if (x->res[i])
			x->h->resource_close(x->res[i]);
	}
	forget(x, RBAC_ROLES);		/* those that bindings held */
	forget(x, RBAC_CLUSTER_ROLES);
	omap_done(&x->roles);
	omap_done(&x->bindings);
	for (unsigned int i = 0; i < RBAC_N_WHO; i++)
		omap_done(&x->who[i]);
	omap_done(&x->numbers);
	omem_free(x->strings);
	omem_free(x);
}
