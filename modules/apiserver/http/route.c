/* Paths and queries of the API, taken apart. Pure. */
#include "front.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define MAX_SEGMENTS 32

static int split(struct oarena *a, struct orlop_bytes path, struct orlop_bytes *seg, size_t *ret_n)
{
	size_t at = 0;
	size_t n = 0;

	while (at < path.len) {
		struct orlop_bytes s;
		size_t end;
		long len;
		char *out;

		while (at < path.len && path.p[at] == '/')
			at++;
		end = at;
		while (end < path.len && path.p[end] != '/')
			end++;
		if (end == at)
			break;
		if (n == MAX_SEGMENTS)
			return -E2BIG;
		s = (struct orlop_bytes){ path.p + at, end - at };
		out = oarena_alloc(a, s.len + 1);
		if (!out)
			return -ENOMEM;
		len = ohttp_unescape(s, false, out);
		if (len < 0 || memchr(out, '\0', (size_t)len))
			return -EINVAL;
		out[len] = '\0';
		seg[n++] = (struct orlop_bytes){ out, (size_t)len };
		at = end;
	}
	*ret_n = n;
	return 0;
}

static bool is_ns_sub(struct orlop_bytes s)
{
	return bytes_is(s, "status") || bytes_is(s, "finalize");
}

int route_parse(const struct oschema *s, struct oarena *a, struct orlop_bytes path, struct route *rt)
{
	struct orlop_bytes seg[MAX_SEGMENTS];
	size_t n = 0;
	size_t i;
	int r = split(a, path, seg, &n);

	memset(rt, 0, sizeof(*rt));
	if (r < 0)
		return r;
	rt->path.p = oarena_strndup(a, path.p, path.len);
	rt->path.len = path.len;
	if (!rt->path.p)
		return -ENOMEM;
	if (n >= 3 && bytes_is(seg[0], "api")) {
		rt->group = (struct orlop_bytes){ "", 0 };
		rt->version = seg[1];
		i = 2;
	} else if (n >= 4 && bytes_is(seg[0], "apis")) {
		rt->group = seg[1];
		rt->version = seg[2];
		i = 3;
	} else {
		return 0;
	}
	if (bytes_is(seg[i], "watch") && i + 1 < n) {
		rt->watch_prefix = true;
		i++;
	}
	rt->is_resource = true;
	if (bytes_is(seg[i], "namespaces") && i + 2 < n && !(is_ns_sub(seg[i + 2]) && i + 3 == n)) {
		rt->ns = seg[i + 1];
		i += 2;
	}
	rt->resource = seg[i++];
	if (i < n)
		rt->name = seg[i++];
	if (i < n)
		rt->sub = seg[i++];
	if (i < n) {
		/* The rest as it was sent: what is proxied keeps its escapes. */
		const char *end = path.p + path.len;
		const char *p = end;
		size_t left = n - i;

		while (p > path.p && p[-1] == '/')
			p--;
		while (left) {
			while (p > path.p && p[-1] != '/')
				p--;
			if (--left)
				while (p > path.p && p[-1] == '/')
					p--;
		}
		rt->rest.p = oarena_strndup(a, p, (size_t)(end - p));
		rt->rest.len = (size_t)(end - p);
		if (!rt->rest.p)
			return -ENOMEM;
	}
	rt->schema = s;
	rt->res = oschema_resource_find(s, rt->group, rt->version, rt->resource);
	if (rt->res && rt->sub.len)
		rt->subres = oschema_sub_find(s, rt->res, rt->sub);
	return 0;
}

bool route_is_connect(const struct route *rt)
{
	return rt->subres && rt->subres->flags & OSCHEMA_SUB_CONNECT;
}

bool route_is_proxy(const struct route *rt)
{
	return route_is_connect(rt) && bytes_is(rt->sub, "proxy");
}

/* Upstream's router knows the paths that follow from what a resource can do. */
bool route_exists(const struct route *rt)
{
	const struct oschema_resource *res = rt->res;
	bool namespaced = res->flags & OSCHEMA_S_NAMESPACED;
	bool everywhere = namespaced && !rt->ns.len;		/* in all namespaces things are listed and no more */

	if (rt->ns.len && !namespaced)
		return false;
	if (rt->sub.len)
		return rt->subres && !everywhere && !rt->watch_prefix && (!rt->rest.len || route_is_proxy(rt));
	if (rt->watch_prefix)
		return res->verbs & OSCHEMA_V_WATCH && !(rt->name.len && everywhere);
	if (rt->name.len)
		return !everywhere && res->verbs & (OSCHEMA_V_GET | OSCHEMA_V_UPDATE | OSCHEMA_V_PATCH | OSCHEMA_V_DELETE);
	return res->verbs & (everywhere ? OSCHEMA_V_LIST : OSCHEMA_V_LIST | OSCHEMA_V_CREATE | OSCHEMA_V_DELETECOLLECTION);
}

bool route_serves(const struct route *rt, struct orlop_bytes method, enum reg_verb verb)
{
	static const uint8_t bit[] = {
		[REG_GET] = OSCHEMA_V_GET, [REG_LIST] = OSCHEMA_V_LIST, [REG_WATCH] = OSCHEMA_V_WATCH,
		[REG_CREATE] = OSCHEMA_V_CREATE, [REG_UPDATE] = OSCHEMA_V_UPDATE, [REG_PATCH] = OSCHEMA_V_PATCH,
		[REG_DELETE] = OSCHEMA_V_DELETE, [REG_DELETECOLLECTION] = OSCHEMA_V_DELETECOLLECTION,
	};
	bool head = bytes_is(method, "HEAD");

	if (route_is_proxy(rt))
		return verb || bytes_is(method, "OPTIONS");
	/* what is custom knows verbs and not methods */
	if (head && (!rt->kind || verb == REG_WATCH))
		return false;
	if (rt->sub.len)
		return rt->subres && rt->subres->verbs & bit[verb];
	if (verb == REG_WATCH)
		return bytes_is(method, "GET") && rt->res->verbs & OSCHEMA_V_WATCH;
	if (verb == REG_CREATE ? rt->name.len > 0 : (verb == REG_UPDATE || verb == REG_PATCH) && !rt->name.len)
		return false;
	if (rt->res->flags & OSCHEMA_S_NAMESPACED && !rt->ns.len && verb != REG_LIST)
		return false;
	return rt->res->verbs & bit[verb];
}

/* Is @k, as it was sent, this key? */
static bool is_key(struct orlop_bytes k, const char *key, size_t len)
{
	char text[100];
	long n;

	if (k.len == len)
		return memcmp(k.p, key, len) == 0;
	if (k.len < len || k.len > sizeof(text) || !memchr(k.p, '%', k.len))
		return false;
	n = ohttp_unescape(k, true, text);
	return n >= 0 && (size_t)n == len && memcmp(text, key, len) == 0;
}

/* The first of that name. As Go reads a query: a pair that has a semicolon or a broken escape is not there. */
struct orlop_bytes query_get(struct oarena *a, struct orlop_bytes q, const char *key)
{
	struct orlop_bytes none = { NULL, 0 };
	size_t len = strlen(key);
	size_t end;

	for (size_t at = 0; at < q.len; at = end + 1) {
		const char *amp = memchr(q.p + at, '&', q.len - at), *eq;
		struct orlop_bytes k = { q.p + at, 0 }, v = { NULL, 0 };
		char *out;
		long n;

		end = amp ? (size_t)(amp - q.p) : q.len;
		k.len = end - at;
		eq = k.len ? memchr(k.p, '=', k.len) : NULL;
		if (!k.len || memchr(k.p, ';', k.len))
			continue;
		v.p = eq ? eq + 1 : k.p + k.len;
		v.len = (size_t)(q.p + end - v.p);
		k.len = eq ? (size_t)(eq - k.p) : k.len;
		if (!is_key(k, key, len))
			continue;
		out = oarena_alloc(a, v.len + 1);
		if (!out)
			return none;
		n = ohttp_unescape(v, true, out);
		if (n < 0)
			continue;
		out[n] = '\0';
		return (struct orlop_bytes){ out, (size_t)n };
	}
	return none;
}

/* As upstream's conversion of a query value to bool: present, and neither "false", however that is written, nor "0". */
bool query_true(struct oarena *a, struct orlop_bytes q, const char *key)
{
	struct orlop_bytes v = query_get(a, q, key);

	return v.p && !bytes_is(v, "0") && (v.len != 5 || strncasecmp(v.p, "false", 5) != 0);
}
