/*
 * remote.c - requests to group versions that another server serves (an APIService with a service): who may ask is decided
 * here, as for any path or resource; then the request goes there as it is, with who asks in X-Remote headers.
 *
 * Source: upstream's kube-aggregator, pkg/apiserver/handler_proxy.go, behaviour only; test: tests/api/aggregator.py
 */
#include "front.h"

#include "json/ojson.h"

/* "/apis/GROUP/VERSION" of a path. */
static bool group_version(struct front *f, struct orlop_bytes *group, struct orlop_bytes *version)
{
	struct orlop_bytes p = f->rt.path;
	const char *slash;

	if (f->rt.is_resource) {
		*group = f->rt.group;
		*version = f->rt.version;
		return !f->rt.res && group->len > 0;
	}
	if (!ostr_starts(p.p, p.len, "/apis/"))
		return false;
	p.p += 6;
	p.len -= 6;
	slash = memchr(p.p, '/', p.len);
	if (!slash)
		return false;
	*group = (struct orlop_bytes){ p.p, (size_t)(slash - p.p) };
	*version = (struct orlop_bytes){ slash + 1, p.len - group->len - 1 };
	slash = memchr(version->p, '/', version->len);
	if (slash)
		version->len = (size_t)(slash - version->p);
	return group->len > 0 && version->len > 0;
}

/* Does each part of the path mean the same to whoever reads it? Ours may be decided by it and the other's found by it. */
static bool is_plain(struct front *f)
{
	struct orlop_bytes p = ohttp_path(f->req);

	for (size_t at = 1; at <= p.len;) {
		const char *slash = at < p.len ? memchr(p.p + at, '/', p.len - at) : NULL;
		size_t end = slash ? (size_t)(slash - p.p) : p.len;
		char *text = oarena_alloc(&f->arena, end - at + 1);
		long n = text ? ohttp_unescape((struct orlop_bytes){ p.p + at, end - at }, false, text) : -1;
		struct orlop_bytes part = { text, n > 0 ? (size_t)n : 0 };

		if (n < 0 || (n == 0 && end < p.len) || bytes_is(part, ".") || bytes_is(part, "..") ||
		    (n > 0 && (memchr(text, '/', part.len) || memchr(text, '\\', part.len) || memchr(text, '\0', part.len))))
			return false;
		at = end + 1;
	}
	return true;
}

/* False: answered with 403. */
static bool may(struct front *f)
{
	struct orlop_bytes m = ohttp_method(f->req);
	struct reg_attrs at = { .group = f->rt.group, .version = f->rt.version, .resource = f->rt.resource, .sub = f->rt.sub,
				.ns = f->rt.ns, .name = f->rt.name };
	char verb[16];
	bool many = f->rt.is_resource && f->verb && (f->rq.verb == REG_LIST || f->rq.verb == REG_WATCH);

	if (!f->rt.is_resource) {
		at = (struct reg_attrs){ .path = f->rt.path };
		snprintf(verb, sizeof(verb), "%.*s", OB(m));
		for (char *c = verb; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		f->verb = "other";
	} else {
		snprintf(verb, sizeof(verb), "%s", f->verb ? f->verb : "");
	}
	at.verb = bytes_cstr(verb);	/* none for what is no verb of the API: whoever may do all may do that */
	if (!f->verb)
		f->verb = "other";
	if (many)
		reg_query_narrow(&f->arena, ohttp_query(f->req), &at);
	if (hook_authorize(f->sh->a, f->sh->h, &f->who, &at, NULL, 0) > 0)
		return true;
	if (f->rt.is_resource)
		front_forbidden(f, &at);
	else
		front_error(f, 403, "Forbidden", "forbidden: User \"%.*s\" cannot %s path \"%.*s\"", OB(f->who.user), verb, OB(at.path));
	return false;
}

/* A key of extra as the name of a header: what may not stand in one is written in hexadecimal. */
static const char *extra_name(struct front *f, const char *key)
{
	struct obuf b = OBUF_INIT;
	const char *text;

	obuf_puts(&b, "X-Remote-Extra-");
	for (; *key; key++) {
		unsigned char c = (unsigned char)*key;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$&'*+-.^_`|~", c)))
			obuf_append(&b, key, 1);
		else
			obuf_printf(&b, "%%%02X", c);
	}
	text = obuf_err(&b) ? NULL : oarena_strndup(&f->arena, obuf_cstr(&b), b.len);
	obuf_done(&b);
	return text;
}

struct headers {
	struct ohttp_header *v;
	size_t		n;
	bool		full;
};

static void put(struct front *f, struct headers *h, const char *name, struct orlop_bytes value)
{
	const char *p = oarena_strndup(&f->arena, value.p ? value.p : "", value.len);

	if (!name || !p || h->n == RELAY_MORE || memchr(p, '\n', value.len) || memchr(p, '\r', value.len))
		h->full = true;
	else
		h->v[h->n++] = (struct ohttp_header){ bytes_cstr(name), { p, value.len } };
}

/* Who asks. Half of it would be somebody else: all or nothing. */
static bool who_headers(struct front *f, struct headers *h)
{
	struct ojson *extra = NULL;

	h->v = oarena_alloc(&f->arena, RELAY_MORE * sizeof(*h->v));
	if (!h->v)
		return false;
	put(f, h, "X-Remote-User", f->who.user);
	if (f->who.uid.len)
		put(f, h, "X-Remote-Uid", f->who.uid);
	for (uint32_t i = 0; i < f->who.n_groups; i++)
		put(f, h, "X-Remote-Group", f->who.groups[i]);
	if (f->extra && ojson_parse(f->extra, strlen(f->extra), &extra, NULL) < 0)
		h->full = true;
	OJSON_FOREACH(it, extra)
		OJSON_FOREACH_ELEM(i, e, it.value)
			put(f, h, extra_name(f, it.key), ojson_bytes(e));
	ojson_unref(extra);
	return !h->full;
}

static const char *target_of(struct front *f)
{
	struct orlop_bytes q = ohttp_query(f->req), path = ohttp_path(f->req);

	return oarena_printf(&f->arena, "%.*s%s%.*s", OB(path), q.len ? "?" : "", OB(q));
}

/* @r and @why: of reg_remote_find(). Who asks may. */
static void hand_on(struct front *f, int r, struct reg_remote *take_to, const char *why)
{
	struct headers h = { NULL, 0, false };
	const char *target = target_of(f);

	if (r < 0) {
		OLOG(f->sh->h, DEBUG, "remote_unavailable", "path=%.*s why=\"%s\"", OB(f->rt.path), why);
		front_error(f, 503, "ServiceUnavailable", "service unavailable");
	} else if (!target || !who_headers(f, &h)) {
		reg_remote_release(take_to->client);
		front_error(f, 500, "InternalError", "the request cannot be handed on: who asks cannot be told");
	} else {
		bool lasts = (f->rt.is_resource && f->rq.verb == REG_WATCH) || ohttp_wants_upgrade(f->req, "");
		bool write = f->rt.is_resource ? f->rq.verb >= REG_CREATE : !bytes_is(ohttp_method(f->req), "GET");

		if (lasts)
			metrics_longrunning(f);
		if (lasts || front_admit(f, write))
			relay_remote(f, take_to, target, h.v, h.n);
		else
			reg_remote_release(take_to->client);
	}
}

static bool refuse_path(struct front *f, struct reg_remote *take_to)
{
	if (is_plain(f))
		return false;
	reg_remote_release(take_to->client);
	front_error(f, 400, "BadRequest", "the path of the request cannot be handed on: it has empty parts, dots or slashes in escapes");
	return true;
}

bool remote_serve(struct front *f)
{
	struct orlop_bytes group, version;
	struct reg_remote to = { .addr = NULL };
	const char *why = "";
	int r;

	if (!group_version(f, &group, &version))
		return false;
	r = reg_remote_find(f->sh->reg, group, version, &f->arena, &to, &why);
	if (r == 0)
		return false;
	if (refuse_path(f, &to))
		return true;
	if (may(f))
		hand_on(f, r, &to, why);
	else
		reg_remote_release(to.client);
	return true;
}

bool remote_document(struct front *f, struct orlop_bytes gv)
{
	const char *slash = gv.len > 5 && !memcmp(gv.p, "apis/", 5) ? memchr(gv.p + 5, '/', gv.len - 5) : NULL;
	struct orlop_bytes group = { gv.p + 5, slash ? (size_t)(slash - gv.p) - 5 : 0 };
	struct orlop_bytes version = { slash ? slash + 1 : "", slash ? gv.len - group.len - 6 : 0 };
	struct reg_remote to = { .addr = NULL };
	const char *why = "";
	int r;

	if (!version.len || memchr(version.p, '/', version.len))
		return false;
	r = reg_remote_find(f->sh->reg, group, version, &f->arena, &to, &why);
	if (r == 0)
		return false;
	if (!refuse_path(f, &to))
		hand_on(f, r, &to, why);
	return true;
}
