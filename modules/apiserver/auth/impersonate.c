/*
 * Being somebody else: Impersonate-User, -Group, -Uid and -Extra-KEY, each with the verb impersonate on what it names.
 *
 * Source: upstream's impersonation filter.
 */
#include "front.h"

#include "json/ojson.h"

#include <errno.h>
#include <strings.h>

#define ACCOUNT		"system:serviceaccount:"
#define EXTRA		"impersonate-extra-"
#define GROUPS_MAX	256u

static bool is_header(const struct ohttp_header *h, const char *name)
{
	return h->name.len == strlen(name) && strncasecmp(h->name.p, name, h->name.len) == 0;
}

static bool is_extra(const struct ohttp_header *h)
{
	return h->name.len > sizeof(EXTRA) - 1 && strncasecmp(h->name.p, EXTRA, sizeof(EXTRA) - 1) == 0;
}

static int may(struct front *f, const struct reg_attrs *at, struct orlop_error *err)
{
	char reason[300] = "", where[300] = "at the cluster scope";

	if (hook_authorize(f->sh->a, f->sh->h, &f->who, at, reason, sizeof(reason)) > 0)
		return 0;
	if (at->ns.len)
		snprintf(where, sizeof(where), "in the namespace \"%.*s\"", OB(at->ns));
	return orlop_fail(err, EACCES, 403, "Forbidden",
			  "%.*s%s%.*s \"%.*s\" is forbidden: User \"%.*s\" cannot impersonate resource \"%.*s%s%.*s\" in API group \"%.*s\" %s%s%s",
			  OB(at->resource), at->group.len ? "." : "", OB(at->group), OB(at->name), OB(f->who.user),
			  OB(at->resource), at->sub.len ? "/" : "", OB(at->sub), OB(at->group), where,
			  reason[0] ? ": " : "", reason);
}

static int may_be(struct front *f, const char *group, const char *resource, struct orlop_bytes sub,
		  struct orlop_bytes name, struct orlop_error *err)
{
	struct reg_attrs at = {
		.verb = { "impersonate", 11 }, .group = bytes_cstr(group), .version = { "v1", 2 },
		.resource = bytes_cstr(resource), .sub = sub, .name = name,
	};

	return may(f, &at, err);
}

/* "system:serviceaccount:NS:NAME" taken apart. */
static bool is_account(struct orlop_bytes user, struct orlop_bytes *ret_ns, struct orlop_bytes *ret_name)
{
	const char *p, *colon;

	if (!ostr_starts(user.p, user.len, ACCOUNT))
		return false;
	p = user.p + sizeof(ACCOUNT) - 1;
	colon = memchr(p, ':', (size_t)(user.p + user.len - p));
	if (!colon || colon == p || colon + 1 == user.p + user.len || memchr(colon + 1, ':', (size_t)(user.p + user.len - colon - 1)))
		return false;
	*ret_ns = (struct orlop_bytes){ p, (size_t)(colon - p) };
	*ret_name = (struct orlop_bytes){ colon + 1, (size_t)(user.p + user.len - colon - 1) };
	return true;
}

/* The key of an extra header: lower case, escapes undone. */
static struct orlop_bytes extra_key(struct front *f, const struct ohttp_header *h)
{
	struct orlop_bytes in = { h->name.p + sizeof(EXTRA) - 1, h->name.len - (sizeof(EXTRA) - 1) };
	char *key = oarena_alloc(&f->arena, in.len + 1);
	long n;

	if (!key)
		return (struct orlop_bytes){ NULL, 0 };
	n = ohttp_unescape(in, false, key);
	if (n < 0) {
		memcpy(key, in.p, in.len);
		n = (long)in.len;
	}
	for (long i = 0; i < n; i++)
		key[i] = (char)(key[i] >= 'A' && key[i] <= 'Z' ? key[i] + 32 : key[i]);
	return (struct orlop_bytes){ key, (size_t)n };
}

static int take_extra(struct front *f, const struct ohttp_header *h, struct ojson *extra, struct orlop_error *err)
{
	struct orlop_bytes key = extra_key(f, h);
	struct ojson *l;
	int r = key.p ? may_be(f, "authentication.k8s.io", "userextras", key, h->value, err) : -ENOMEM;

	if (r < 0)
		return r;
	l = ojson_get_n(extra, key.p, key.len);
	if (!l) {
		l = ojson_new_array();
		if (!l || ojson_put_n(extra, key.p, key.len, l) < 0)
			return -ENOMEM;
		l = ojson_get_n(extra, key.p, key.len);
	}
	return ojson_append(l, ojson_new_string(h->value.p, h->value.len));
}

static int become(struct front *f, struct orlop_bytes user, struct orlop_bytes uid, struct ojson *extra,
		  struct orlop_error *err)
{
	struct orlop_bytes none = { "", 0 }, groups[GROUPS_MAX + 2], ns, name;
	bool account = is_account(user, &ns, &name), placed = false;
	const struct ohttp_header *h;
	size_t n_h = ohttp_headers(f->req, &h), n = 0;
	int r;

	if (account) {
		struct reg_attrs at = { .verb = { "impersonate", 11 }, .version = { "v1", 2 }, .ns = ns, .name = name,
					.resource = { "serviceaccounts", 15 } };

		r = may(f, &at, err);
	} else {
		r = may_be(f, "", "users", none, user, err);
	}
	for (size_t i = 0; i < n_h && r == 0; i++) {
		if (!is_header(&h[i], "impersonate-group"))
			continue;
		if (n == GROUPS_MAX)
			return orlop_fail(err, EINVAL, 400, "BadRequest", "more than %u groups to impersonate", GROUPS_MAX);
		r = may_be(f, "", "groups", none, h[i].value, err);
		placed |= bytes_is(h[i].value, "system:authenticated") || bytes_is(h[i].value, "system:unauthenticated");
		groups[n++] = h[i].value;
	}
	for (size_t i = 0; i < n_h && r == 0; i++)
		if (is_extra(&h[i]))
			r = take_extra(f, &h[i], extra, err);
	if (r == 0 && uid.len)
		r = may_be(f, "authentication.k8s.io", "uids", none, uid, err);
	if (r < 0)
		return r;
	if (account && n == 0) {
		const char *own = oarena_printf(&f->arena, "system:serviceaccounts:%.*s", OB(ns));

		if (!own)
			return -ENOMEM;
		groups[n++] = bytes_cstr("system:serviceaccounts");
		groups[n++] = bytes_cstr(own);
	}
	f->extra = NULL;
	if (ojson_count(extra)) {
		char *text = ojson_text(extra, 0, NULL);

		f->extra = text ? oarena_strdup(&f->arena, text) : NULL;
		omem_free(text);
	}
	return authn_set_who(f, user, uid, groups, n, placed ? NULL : bytes_is(user, "system:anonymous") ?
			     "system:unauthenticated" : "system:authenticated");
}

int authn_impersonate(struct front *f, struct orlop_error *err)
{
	struct orlop_bytes user = ohttp_header(f->req, "impersonate-user");
	struct orlop_bytes uid = ohttp_header(f->req, "impersonate-uid");
	const struct ohttp_header *h;
	size_t n_h;
	struct ojson *extra;
	int r;

	if (!user.len) {
		n_h = ohttp_headers(f->req, &h);
		for (size_t i = 0; i < n_h; i++)
			if (is_header(&h[i], "impersonate-group") || is_header(&h[i], "impersonate-uid") || is_extra(&h[i]))
				return orlop_fail(err, EACCES, 500, "InternalError",
						  "Internal error occurred: requested %.*s without impersonating a user",
						  OB(h[i].name));
		return 0;
	}
	extra = ojson_new_object();
	r = extra ? become(f, user, uid.p ? uid : (struct orlop_bytes){ "", 0 }, extra, err) : -ENOMEM;
	ojson_unref(extra);
	return r;
}
