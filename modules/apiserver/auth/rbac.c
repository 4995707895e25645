/*
 * rbac.c - what roles and bindings allow. Source: upstream's RBAC authorizer, rule for rule and word for word.
 */
#include "rbac.h"

#include "base/ostr.h"

#include <stdio.h>
#include <string.h>

#define ACCOUNT		"system:serviceaccount:"
#define MODULE		"orlop:"

/* The strings of a request as numbers; 0 matches nothing. */
struct asked {
	const struct rbac *x;
	struct orlop_bytes path;
	uint32_t	verb;
	uint32_t	group;
	uint32_t	resource;	/* "pods", "pods/log" */
	uint32_t	any_sub;	/* "*" "/log" */
	uint32_t	name;
	uint32_t	ns;
	bool		is_path;
};

static uint32_t joined(const struct rbac *x, const char *a, size_t a_len, struct orlop_bytes sub)
{
	char text[512];

	if (a_len + 1 + sub.len > sizeof(text))
		return 0;
	memcpy(text, a, a_len);
	text[a_len] = '/';
	memcpy(text + a_len + 1, sub.p, sub.len);
	return rbac_number(x, text, a_len + 1 + sub.len);
}

static uint32_t number(const struct rbac *x, struct orlop_bytes b)
{
	return rbac_number(x, b.p ? b.p : "", b.len);
}

static void ask(struct asked *q, const struct rbac *x, const struct reg_attrs *at)
{
	*q = (struct asked){ .x = x, .path = at->path, .verb = number(x, at->verb), .is_path = !at->resource.len };
	if (q->is_path)
		return;
	q->group = number(x, at->group);
	q->resource = at->sub.len ? joined(x, at->resource.p, at->resource.len, at->sub) : number(x, at->resource);
	q->any_sub = at->sub.len ? joined(x, "*", 1, at->sub) : 0;
	q->name = at->name.len ? number(x, at->name) : 0;
	q->ns = at->ns.len ? number(x, at->ns) : 0;
}

static bool among(const uint32_t *v, uint32_t n, uint32_t a, uint32_t b)
{
	for (uint32_t i = 0; i < n; i++)
		if (v[i] == RBAC_STAR || (a && v[i] == a) || (b && v[i] == b))
			return true;
	return false;
}

static bool named(const uint32_t *v, uint32_t n, uint32_t name)
{
	for (uint32_t i = 0; i < n; i++)
		if (name && v[i] == name)
			return true;
	return n == 0;
}

static bool path_among(const struct rbac *x, const uint32_t *v, uint32_t n, struct orlop_bytes path)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct rbac_string *s = &x->strings[v[i]];
		uint32_t len = s->len;

		if (len == path.len && memcmp(s->p, path.p, len) == 0)
			return true;
		if (!len || s->p[len - 1] != '*')
			continue;
		while (len && s->p[len - 1] == '*')
			len--;
		if (path.len >= len && memcmp(s->p, path.p, len) == 0)
			return true;
	}
	return false;
}

static bool role_allows(const struct rbac_role *role, const struct asked *q)
{
	for (uint32_t at = 0; at < role->n_words;) {
		const uint32_t *n = &role->code[at], *v = n + RBAC_N_PARTS;
		const uint32_t *g = v + n[RBAC_VERBS], *r = g + n[RBAC_GROUPS], *m = r + n[RBAC_RESOURCES];
		const uint32_t *u = m + n[RBAC_NAMES];

		at += (uint32_t)(u + n[RBAC_URLS] - n);
		if (!among(v, n[RBAC_VERBS], q->verb, 0))
			continue;
		if (q->is_path ? path_among(q->x, u, n[RBAC_URLS], q->path)
			       : among(g, n[RBAC_GROUPS], q->group, 0) &&
				 among(r, n[RBAC_RESOURCES], q->resource, q->any_sub) && named(m, n[RBAC_NAMES], q->name))
			return true;
	}
	return false;
}

/* ---- whose bindings ---- */

/*
 * Who somebody is, one subject after the other: the user, the service account that the user is, the
 * class of modules ("orlop:controllers/gc" is of Group orlop:controllers), and the groups.
 */
static const struct rbac_subject *subject_at(const struct rbac *x, const struct orlop_identity *who, uint32_t i)
{
	struct orlop_bytes user = who->user, part = user;
	const char *slash;

	switch (i) {
	case 0:
		return user.len ? omap_get(&x->who[RBAC_USER], user.p, user.len) : NULL;
	case 1:
		if (!user.len || !ostr_starts(user.p, user.len, ACCOUNT))
			return NULL;
		part = (struct orlop_bytes){ user.p + sizeof(ACCOUNT) - 1, user.len - (sizeof(ACCOUNT) - 1) };
		return omap_get(&x->who[RBAC_ACCOUNT], part.p, part.len);
	case 2:
		if (!user.len || !ostr_starts(user.p, user.len, MODULE))
			return NULL;
		slash = memchr(user.p, '/', user.len);
		return omap_get(&x->who[RBAC_GROUP], user.p, slash ? (size_t)(slash - user.p) : user.len);
	default:
		part = who->groups[i - 3];
		return part.len ? omap_get(&x->who[RBAC_GROUP], part.p, part.len) : NULL;
	}
}

int rbac_allows(const struct rbac *x, const struct orlop_identity *who, const struct reg_attrs *at,
		const struct rbac_binding **ret_by, const struct rbac_subject **ret_subject, uint32_t *ret_missing)
{
	uint32_t missing = 0;
	struct asked q;

	ask(&q, x, at);
	for (uint32_t i = 0; i < who->n_groups + 3; i++) {
		const struct rbac_subject *s = subject_at(x, who, i);

		for (uint32_t k = 0; s && k < s->n; k++) {
			const struct rbac_binding *b = s->b[k];

			if (b->ns && (b->ns != q.ns || q.is_path))
				continue;
			missing += !b->role->there;
			if (!role_allows(b->role, &q))
				continue;
			if (ret_by)
				*ret_by = b;
			if (ret_subject)
				*ret_subject = s;
			return 1;
		}
	}
	if (ret_missing)
		*ret_missing = missing;
	return 0;
}

/* ---- words ---- */

static void put_role(struct obuf *b, const struct rbac_role *role, bool quoted_only)
{
	const char *name = strchr(role->key, '/') + 1;

	if (!quoted_only)
		obuf_puts(b, role->key[0] == '/' ? "clusterrole.rbac.authorization.k8s.io " : "role.rbac.authorization.k8s.io ");
	obuf_put_quoted(b, name, strlen(name));
}

/* "a", or "[a, b]" of several, each once, as Go prints an aggregate of errors. */
static void put_missing(const struct rbac *x, const struct orlop_identity *who, const struct reg_attrs *at, struct obuf *out)
{
	uint32_t ns = at->ns.len ? number(x, at->ns) : 0, n = 0;
	struct obuf all = OBUF_INIT, one = OBUF_INIT;

	for (uint32_t i = 0; i < who->n_groups + 3; i++) {
		const struct rbac_subject *s = subject_at(x, who, i);

		for (uint32_t k = 0; s && k < s->n; k++) {
			const struct rbac_binding *b = s->b[k];

			if ((b->ns && b->ns != ns) || b->role->there)
				continue;
			obuf_reset(&one);
			put_role(&one, b->role, false);
			obuf_puts(&one, " not found");
			if (all.len && strstr(obuf_cstr(&all), obuf_cstr(&one)))
				continue;
			obuf_puts(&all, n++ ? ", " : "");
			obuf_append(&all, one.data, one.len);
		}
	}
	if (n)
		obuf_printf(out, n > 1 ? "RBAC: [%s]" : "RBAC: %s", obuf_cstr(&all));
	obuf_done(&all);
	obuf_done(&one);
}

static void put_by(const struct rbac_binding *by, const struct rbac_subject *s, struct obuf *b)
{
	static const char *const kinds[RBAC_N_WHO] = { "User", "Group", "ServiceAccount" };
	const char *slash = strchr(by->key, '/');

	obuf_printf(b, "RBAC: allowed by %s ", by->ns ? "RoleBinding" : "ClusterRoleBinding");
	if (by->ns)
		obuf_printf(b, "\"%s/%.*s\"", slash + 1, (int)(slash - by->key), by->key);
	else
		obuf_put_quoted(b, slash + 1, strlen(slash + 1));
	obuf_printf(b, " of %s ", by->role->key[0] == '/' ? "ClusterRole" : "Role");
	put_role(b, by->role, true);
	obuf_printf(b, " to %s ", kinds[s->kind]);
	slash = s->kind == RBAC_ACCOUNT ? strchr(s->name, ':') : NULL;
	if (slash)
		obuf_printf(b, "\"%s/%.*s\"", slash + 1, (int)(slash - s->name), s->name);
	else
		obuf_put_quoted(b, s->name, strlen(s->name));
}

void rbac_reason(const struct rbac *x, const struct orlop_identity *who, const struct reg_attrs *at, int allowed,
		 char *buf, size_t size)
{
	const struct rbac_binding *by = NULL;
	const struct rbac_subject *s = NULL;
	struct obuf b = OBUF_INIT;
	uint32_t missing = 0;

	if (!rbac_allows(x, who, at, &by, &s, &missing) && missing && !allowed)
		put_missing(x, who, at, &b);
	else if (by && s && allowed)
		put_by(by, s, &b);
	snprintf(buf, size, "%s", obuf_cstr(&b));
	obuf_done(&b);
}

/* ---- lists of rules ---- */

static void put_part(const struct rbac *x, struct obuf *b, const char *key, const uint32_t *v, uint32_t n)
{
	if (!n)
		return;
	obuf_printf(b, "%s\"%s\":[", b->len > 1 ? "," : "", key);
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			obuf_putc(b, ',');
		obuf_put_json_string(b, x->strings[v[i]].p, x->strings[v[i]].len);
	}
	obuf_putc(b, ']');
}

static void put_rules(const struct rbac *x, const struct rbac_role *role, bool urls, struct obuf *b,
		      void (*rule)(void *rarg, int path, const char *json), void *rarg)
{
	static const char *const keys[] = { "verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs" };

	for (uint32_t at = 0; at < role->n_words;) {
		const uint32_t *n = &role->code[at], *v = n + RBAC_N_PARTS;
		bool path = n[RBAC_URLS] > 0;

		obuf_reset(b);
		obuf_putc(b, '{');
		for (unsigned int k = 0; k < RBAC_N_PARTS; k++) {
			put_part(x, b, keys[k], v, n[k]);
			v += n[k];
		}
		obuf_putc(b, '}');
		if (!path || urls)
			rule(rarg, path, obuf_cstr(b));
		at += (uint32_t)(v - n);
	}
}

void rbac_rules(const struct rbac *x, const struct orlop_identity *who, struct orlop_bytes ns,
		void (*rule)(void *rarg, int path, const char *json), void *rarg)
{
	uint32_t in = ns.len ? number(x, ns) : 0;
	struct obuf b = OBUF_INIT;

	for (int narrow = 0; narrow < 2; narrow++) {
		for (uint32_t i = 0; i < who->n_groups + 3; i++) {
			const struct rbac_subject *s = subject_at(x, who, i);

			for (uint32_t k = 0; s && k < s->n; k++)
				if (s->b[k]->ns == (narrow ? in : 0) && (!narrow || in))
					put_rules(x, s->b[k]->role, !narrow, &b, rule, rarg);
		}
	}
	obuf_done(&b);
}
