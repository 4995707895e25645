/*
 * Who may what: system:masters and the core itself all; then the Node rules (node.c); then roles and
 * bindings (rbac.c). Each module has what its work needs, under the name the core gives it
 * ("orlop:scheduler/default"), by a role of the bootstrap policy (policy.c).
 */
#include "front.h"
#include "rbac.h"

#include "json/ojson.h"

#include <errno.h>
#include <stdio.h>

bool in_group(const struct orlop_identity *who, const char *group)
{
	for (uint32_t i = 0; i < who->n_groups; i++)
		if (bytes_is(who->groups[i], group))
			return true;
	return false;
}

static bool is_master(const struct orlop_identity *who)
{
	return in_group(who, "system:masters") || reg_user_is_part(who->user);
}

/* The name behind "system:node:", if @who is a node; p NULL otherwise. */
static struct orlop_bytes node_of(const struct orlop_identity *who)
{
	struct orlop_bytes none = { NULL, 0 };

	if (who->user.len <= 12 || !ostr_starts(who->user.p, who->user.len, "system:node:") || !in_group(who, "system:nodes"))
		return none;
	return (struct orlop_bytes){ who->user.p + 12, who->user.len - 12 };
}

int hook_authorize(void *arg, const struct orlop_host *h, const struct orlop_identity *who,
		   const struct reg_attrs *at, char *reason, size_t reason_size)
{
	struct apis *a = arg;
	struct ashard *sh = a->shards[h->shard];
	struct orlop_bytes node = node_of(who);
	char why[400] = "";
	int ok;

	if (reason && reason_size)
		reason[0] = '\0';
	if (is_master(who))
		return 1;
	if (at->resource.len &&
	    (node.p || reg_user_is_kubelet(who->user)) && node_may(sh, node, at))
		return 1;
	rbac_sync(sh->rbac);
	ok = rbac_allows(sh->rbac, who, at, NULL, NULL, NULL);
	if (!reason || !reason_size)
		return ok;
	rbac_reason(sh->rbac, who, at, ok, why, sizeof(why));
	if (!ok && node.p && at->resource.len)
		snprintf(reason, reason_size, "no relationship found between node '%.*s' and this object%s%s", OB(node),
			 why[0] ? "\n" : "", why);
	else
		snprintf(reason, reason_size, "%s", why);
	return ok;
}

void hook_rules(void *arg, const struct orlop_host *h, const struct orlop_identity *who, struct orlop_bytes ns,
		void (*rule)(void *rarg, int path, const char *json), void *rarg)
{
	struct apis *a = arg;
	struct ashard *sh = a->shards[h->shard];

	rbac_sync(sh->rbac);
	rbac_rules(sh->rbac, who, ns, rule, rarg);
}

/* ---- may somebody give these rights away? --------------------------------------------------------------- */

/* What is missing, in upstream's form: verbs of one group, resource and name together. */
struct missing {
	struct orlop_bytes	group;
	struct orlop_bytes	resource;	/* p NULL: a path */
	struct orlop_bytes	name;
	bool			has_name;
	struct obuf		verbs;		/* "get" "list" */
	struct obuf		text;
};

static struct missing *missing_at(struct missing **all, uint32_t *n, const struct missing *like)
{
	struct missing *more;

	for (uint32_t i = 0; like->resource.p && i < *n; i++) {
		struct missing *m = &(*all)[i];

		if (m->resource.p && m->has_name == like->has_name &&
		    ostr_eq(m->group.p, m->group.len, like->group.p, like->group.len) &&
		    ostr_eq(m->resource.p, m->resource.len, like->resource.p, like->resource.len) &&
		    ostr_eq(m->name.p, m->name.len, like->name.p, like->name.len))
			return m;
	}
	more = omem_realloc_array(*all, *n + 1, sizeof(*more));
	if (!more)
		return NULL;
	*all = more;
	more[*n] = *like;
	obuf_init(&more[*n].verbs);
	obuf_init(&more[*n].text);
	return &more[(*n)++];
}

static int by_text(const void *a, const void *b)
{
	return strcmp(obuf_cstr(&((struct missing *)(uintptr_t)a)->text), obuf_cstr(&((struct missing *)(uintptr_t)b)->text));
}

static void put_missing(struct missing *m)
{
	if (m->resource.p) {
		obuf_puts(&m->text, "{APIGroups:[");
		obuf_put_quoted(&m->text, m->group.p, m->group.len);
		obuf_puts(&m->text, "], Resources:[");
		obuf_put_quoted(&m->text, m->resource.p, m->resource.len);
	} else {
		obuf_puts(&m->text, "{NonResourceURLs:[");
		obuf_put_quoted(&m->text, m->group.p, m->group.len);
	}
	if (m->has_name) {
		obuf_puts(&m->text, "], ResourceNames:[");
		obuf_put_quoted(&m->text, m->name.p, m->name.len);
	}
	obuf_printf(&m->text, "], Verbs:[%s]}", obuf_cstr(&m->verbs));
}

static bool add_verb(struct missing *m, struct orlop_bytes verb)
{
	struct obuf q = OBUF_INIT;

	if (!m)
		return false;
	obuf_put_quoted(&q, verb.p, verb.len);
	if (!m->verbs.len || !strstr(obuf_cstr(&m->verbs), obuf_cstr(&q)))
		obuf_printf(&m->verbs, "%s%s", m->verbs.len ? " " : "", obuf_cstr(&q));
	obuf_done(&q);
	return true;
}

struct cover {
	const struct rbac	*x;
	const struct orlop_identity *who;
	struct orlop_bytes	ns;
	struct missing		*all;
	uint32_t		n;
};

static struct orlop_bytes some(struct orlop_bytes b)
{
	return b.p ? b : (struct orlop_bytes){ "", 0 };
}

/* One verb on one thing. A rule covers another just as it allows a request that has its words. */
static bool cover_one(struct cover *c, struct orlop_bytes verb, struct orlop_bytes group, struct orlop_bytes resource,
		      struct orlop_bytes name, bool has_name)
{
	struct reg_attrs at = { .verb = verb, .group = group, .resource = resource, .name = name, .ns = c->ns };
	const char *slash = memchr(resource.p, '/', resource.len);
	struct missing m = { .group = group, .resource = resource, .name = name, .has_name = has_name };

	if (slash) {
		at.resource.len = (size_t)(slash - resource.p);
		at.sub = (struct orlop_bytes){ slash + 1, resource.len - at.resource.len - 1 };
	}
	if (rbac_allows(c->x, c->who, &at, NULL, NULL, NULL))
		return true;
	return add_verb(missing_at(&c->all, &c->n, &m), verb);
}

static bool cover_rule(struct cover *c, const struct ojson *rule)
{
	const struct ojson *verbs = ojson_get_array(rule, "verbs"), *names = ojson_get_array(rule, "resourceNames");
	bool good = true;

	OJSON_FOREACH_ELEM(g, group, ojson_get_array(rule, "apiGroups"))
		OJSON_FOREACH_ELEM(r, res, ojson_get_array(rule, "resources"))
			OJSON_FOREACH_ELEM(v, verb, verbs) {
				struct orlop_bytes none = { "", 0 };

				OJSON_FOREACH_ELEM(k, name, names)
					good &= cover_one(c, some(ojson_bytes(verb)), some(ojson_bytes(group)),
							  some(ojson_bytes(res)), some(ojson_bytes(name)), true);
				if (ojson_count(names) == 0)
					good &= cover_one(c, some(ojson_bytes(verb)), some(ojson_bytes(group)),
							  some(ojson_bytes(res)), none, false);
			}
	OJSON_FOREACH_ELEM(u, url, ojson_get_array(rule, "nonResourceURLs"))
		OJSON_FOREACH_ELEM(v, verb, verbs) {
			struct reg_attrs at = { .verb = some(ojson_bytes(verb)), .path = some(ojson_bytes(url)) };
			struct missing m = { .group = at.path };

			if (!rbac_allows(c->x, c->who, &at, NULL, NULL, NULL))
				good &= add_verb(missing_at(&c->all, &c->n, &m), at.verb);
		}
	return good;
}

int hook_covers(void *arg, const struct orlop_host *h, const struct orlop_identity *who, struct orlop_bytes ns,
		const struct ojson *rules, struct obuf *missing)
{
	struct apis *a = arg;
	struct ashard *sh = a->shards[h->shard];
	struct cover c = { .x = sh->rbac, .who = who, .ns = ns };
	bool good = true;
	int r;

	if (is_master(who))
		return 1;
	rbac_sync(sh->rbac);
	OJSON_FOREACH_ELEM(i, rule, rules)
		good &= cover_rule(&c, rule);
	for (uint32_t i = 0; i < c.n; i++)
		put_missing(&c.all[i]);
	if (c.n)
		qsort(c.all, c.n, sizeof(*c.all), by_text);
	for (uint32_t i = 0; i < c.n; i++) {
		obuf_puts(missing, i ? "\n" : "");
		obuf_append(missing, c.all[i].text.data, c.all[i].text.len);
		obuf_done(&c.all[i].text);
		obuf_done(&c.all[i].verbs);
	}
	r = !good ? -ENOMEM : c.n == 0;
	omem_free(c.all);
	return r;
}
