/*
 * fakeapi.c - a small API server for the fake host: what controllers, scheduler and kubelet write
 * goes into the cache at once. No validation, no defaults, no admission: see fakehost_api().
 */
#include "fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/api.h>
#include <orlop/inline/msg.h>

#include "base/obuf.h"
#include "json/oscan.h"

/* One request, and its answer. */
struct fake_api {
	struct fakehost	*fh;
	char		*verb;
	char		*resource;
	char		*ns;
	char		*name;
	char		*sub;
	struct orlop_bytes body;
	int		code;
	const char	*reason;
	uint64_t	rev;
	struct obuf	out;
};

static const char none[] = "";

static struct orlop_bytes text(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

static char *bytes_dup(struct orlop_bytes b)
{
	return fake_printf("%.*s", (int)b.len, b.p ? b.p : none);
}

/* The string at a path of an object, "" if there is none. The caller frees. */
static char *string_at(struct orlop_bytes obj, const char *a, const char *b)
{
	struct obuf buf = OBUF_INIT;
	struct orlop_bytes v;
	char *s;

	if (oscan_find(obj, (const char *const[]){ a, b, NULL }, &v))
		(void)oscan_unquote(v, &buf);
	s = fake_strdup(obuf_cstr(&buf));
	obuf_done(&buf);
	return s;
}

/* The present object with braces, or NULL. The caller frees. */
static char *object_now(struct fake_api *a)
{
	const char *members = fakehost_get(a->fh, a->resource, a->ns, a->name);

	return members ? fake_printf("{%s}", members) : NULL;
}

static void answer_error(struct fake_api *a, int code, const char *reason, const char *msg)
{
	a->code = code;
	a->reason = reason;
	obuf_printf(&a->out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
		    "\"message\":\"%s \\\"%s\\\" %s\",\"reason\":\"%s\",\"code\":%d}", a->resource, a->name,
		    msg, reason, code);
}

/* ---- changing JSON as bytes --------------------------------------------------------------------------- */

static void member_start(struct obuf *b, bool *first, struct orlop_bytes key)
{
	obuf_puts(b, *first ? "" : ",");
	*first = false;
	obuf_append(b, key.p, key.len);
	obuf_putc(b, ':');
}

static bool member_get(struct orlop_bytes obj, struct orlop_bytes quoted, struct orlop_bytes *ret)
{
	return oscan_get_n(obj, quoted.p + 1, quoted.len - 2, ret);
}

/* RFC 7386, into @b. */
static void merge(struct orlop_bytes to, struct orlop_bytes patch, struct obuf *b)
{
	struct oscan_iter it;
	struct orlop_bytes v;
	bool first = true;

	if (oscan_type(patch) != OSCAN_OBJECT) {
		oscan_compact(patch, b);
		return;
	}
	if (oscan_type(to) != OSCAN_OBJECT)
		to = text("{}");
	obuf_putc(b, '{');
	for (oscan_begin(&it, to); oscan_next(&it) > 0;) {
		bool patched = member_get(patch, it.key, &v);

		if (patched && oscan_type(v) == OSCAN_NULL)
			continue;
		member_start(b, &first, it.key);
		if (patched)
			merge(it.value, v, b);
		else
			oscan_compact(it.value, b);
	}
	for (oscan_begin(&it, patch); oscan_next(&it) > 0;) {
		if (member_get(to, it.key, &v) || oscan_type(it.value) == OSCAN_NULL)
			continue;
		member_start(b, &first, it.key);
		merge(text("{}"), it.value, b);
	}
	obuf_putc(b, '}');
}

/* @obj with member @name taken from @from (left out if it has none there). */
static void replace_member(struct orlop_bytes obj, const char *name, struct orlop_bytes from,
			   struct obuf *b)
{
	struct orlop_bytes v;
	struct oscan_iter it;
	bool first = true;

	obuf_putc(b, '{');
	for (oscan_begin(&it, obj); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, name))
			continue;
		member_start(b, &first, it.key);
		oscan_compact(it.value, b);
	}
	if (oscan_get(from, name, &v)) {
		obuf_printf(b, "%s\"%s\":", first ? "" : ",", name);
		oscan_compact(v, b);
	}
	obuf_putc(b, '}');
}

/* ---- verbs ---------------------------------------------------------------------------------------------- */

static void answer_object(struct fake_api *a, int code)
{
	char *now = object_now(a);

	a->code = code;
	obuf_puts(&a->out, now ? now : "{}");
	free(now);
}

static void store(struct fake_api *a, const char *json, int code)
{
	a->rev = fakehost_put(a->fh, a->resource, a->ns, a->name, json);
	answer_object(a, code);
}

/* True: the request's resourceVersion, if it has one, is not the present one. */
static bool is_conflict(struct fake_api *a, struct orlop_bytes now)
{
	char *want = string_at(a->body, "metadata", "resourceVersion");
	char *have = string_at(now, "metadata", "resourceVersion");
	bool bad = *want && strcmp(want, have) != 0;

	free(want);
	free(have);
	if (bad)
		answer_error(a, 409, "Conflict", "has been modified");
	return bad;
}

static void api_create(struct fake_api *a)
{
	char *now, *json;

	if (!*a->name) {
		free(a->name);
		a->name = string_at(a->body, "metadata", "name");
	}
	if (!*a->ns) {
		free(a->ns);
		a->ns = string_at(a->body, "metadata", "namespace");
	}
	if (!*a->name) {
		char *prefix = string_at(a->body, "metadata", "generateName");

		free(a->name);
		a->name = fake_printf("%s%05llu", prefix, (unsigned long long)++a->fh->uids);
		free(prefix);
	}
	now = object_now(a);
	if (now) {
		answer_error(a, 409, "AlreadyExists", "already exists");
		free(now);
		return;
	}
	json = bytes_dup(a->body);
	store(a, json, 201);
	free(json);
}

/* The object stays until its finalizers are gone. */
static void store_or_delete(struct fake_api *a, struct orlop_bytes json)
{
	struct orlop_bytes v;
	char *copy;

	if (OSCAN_FIND(json, &v, "metadata", "deletionTimestamp") &&
	    !(OSCAN_FIND(json, &v, "metadata", "finalizers") && oscan_count(v))) {
		a->rev = fakehost_delete(a->fh, a->resource, a->ns, a->name);
		a->code = 200;
		obuf_append(&a->out, json.p, json.len);
		return;
	}
	copy = bytes_dup(json);
	store(a, copy, 200);
	free(copy);
}

static void api_update(struct fake_api *a, struct orlop_bytes now)
{
	struct obuf b = OBUF_INIT;

	if (is_conflict(a, now))
		return;
	if (strcmp(a->sub, "status") == 0)
		replace_member(now, "status", a->body, &b);
	else
		replace_member(a->body, "status", now, &b);
	store_or_delete(a, (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
}

static void api_patch(struct fake_api *a, struct orlop_bytes now)
{
	struct obuf b = OBUF_INIT;

	if (is_conflict(a, now))
		return;
	if (oscan_type(a->body) == OSCAN_OBJECT) {
		merge(now, a->body, &b);
		store_or_delete(a, (struct orlop_bytes){ b.data, b.len });
	} else {
		answer_object(a, 200);
	}
	obuf_done(&b);
}

static void api_delete(struct fake_api *a, struct orlop_bytes now)
{
	struct orlop_bytes v;

	if (OSCAN_FIND(now, &v, "metadata", "finalizers") && oscan_count(v)) {
		a->body = text("{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}");
		api_patch(a, now);
		return;
	}
	a->rev = fakehost_delete(a->fh, a->resource, a->ns, a->name);
	a->code = 200;
	obuf_append(&a->out, now.p, now.len);
}

static void api_bind(struct fake_api *a, struct orlop_bytes now)
{
	char *node = string_at(a->body, "target", "name");
	char *patch = fake_printf("{\"spec\":{\"nodeName\":\"%s\"}}", node);
	char *bound = string_at(now, "spec", "nodeName");

	if (*bound) {
		answer_error(a, 409, "Conflict", "is already assigned to a node");
	} else {
		a->body = text(patch);
		api_patch(a, now);
		a->code = 201;
	}
	free(bound);
	free(node);
	free(patch);
}

static void api_list(struct fake_api *a)
{
	const struct orlop_host *h = fakehost_host(a->fh);
	struct orlop_query q = { .size = sizeof(q), .has_ns = *a->ns != '\0', .ns = text(a->ns) };
	struct orlop_resource *res;
	struct orlop_snapshot *s;
	struct orlop_object *o;
	struct orlop_iter *it;
	const char *sep = "";

	if (h->resource_open(h, a->resource, &res, NULL) || h->snapshot_open(res, &s) ||
	    h->iter_open(s, &q, &it))
		fake_die("list of %s", a->resource);
	a->code = 200;
	obuf_printf(&a->out, "{\"metadata\":{\"resourceVersion\":\"%llu\"},\"items\":[",
		    (unsigned long long)h->snapshot_rev(s));
	for (; (o = h->iter_next(it)); sep = ",")
		obuf_printf(&a->out, "%s{%.*s}", sep, (int)o->json.len, o->json.p);
	obuf_puts(&a->out, "]}");
	h->iter_close(it);
	h->snapshot_close(s);
	h->resource_close(res);
}

static void api_run(struct fake_api *a)
{
	char *now;

	if (strcmp(a->verb, "create") == 0 && !*a->sub) {
		api_create(a);
		return;
	}
	if (strcmp(a->verb, "list") == 0) {
		api_list(a);
		return;
	}
	now = object_now(a);
	if (!now)
		answer_error(a, 404, "NotFound", "not found");
	else if (strcmp(a->verb, "get") == 0)
		answer_object(a, 200);
	else if (strcmp(a->verb, "update") == 0)
		api_update(a, text(now));
	else if (strcmp(a->verb, "patch") == 0)
		api_patch(a, text(now));
	else if (strcmp(a->verb, "delete") == 0)
		api_delete(a, text(now));
	else if (strcmp(a->verb, "create") == 0 && strcmp(a->sub, "binding") == 0)
		api_bind(a, text(now));
	else
		answer_error(a, 405, "MethodNotAllowed", "does not know this verb");
	free(now);
}

/* ---- requests -------------------------------------------------------------------------------------------- */

static void api_note(struct fake_api *a)
{
	struct fake_pair *line = fake_alloc(sizeof(*line));

	line->name = fake_printf("%s %s%s%s %s/%s %.*s", a->verb, a->resource, *a->sub ? "/" : "", a->sub,
				 a->ns, a->name, (int)a->body.len, a->body.p ? a->body.p : none);
	olist_append(&a->fh->api_log, &line->node);
}

static void api_read(struct fake_api *a, const struct orlop_host *h, const struct orlop_msg *outer,
		     struct orlop_bytes body)
{
	struct orlop_bytes v[8];
	struct orlop_msgr r;

	memset(v, 0, sizeof(v));
	orlop_msgr_init(&r, h, outer, body);
	while (orlop_msgr_next(&r))
		if (r.type == ORLOP_T_BYTES && r.tag < 8)
			v[r.tag] = r.bytes;
	a->verb = bytes_dup(v[ORLOP_API_T_VERB]);
	a->resource = bytes_dup(v[ORLOP_API_T_RESOURCE]);
	a->ns = bytes_dup(v[ORLOP_API_T_NAMESPACE]);
	a->name = bytes_dup(v[ORLOP_API_T_NAME]);
	a->sub = bytes_dup(v[ORLOP_API_T_SUBRESOURCE]);
	a->body = v[ORLOP_API_T_BODY];
}

static void api_done(struct fake_api *a, struct orlop_msgw *w)
{
	if (w) {
		orlop_msgw_u64(w, ORLOP_API_T_CODE, (uint64_t)a->code);
		orlop_msgw_bytes(w, ORLOP_API_T_BODY, obuf_cstr(&a->out), a->out.len);
		orlop_msgw_u64(w, ORLOP_API_T_REV, a->rev);
		if (a->reason)
			orlop_msgw_str(w, ORLOP_API_T_REASON, a->reason);
	}
	free(a->verb);
	free(a->resource);
	free(a->ns);
	free(a->name);
	free(a->sub);
	obuf_done(&a->out);
}

/* One request of a call: noted, then (@w) carried out. */
static void api_one(struct fakehost *fh, const struct orlop_msg *outer, struct orlop_bytes body,
		    struct orlop_msgw *w)
{
	struct fake_api a = { .fh = fh, .code = 200 };

	api_read(&a, fakehost_host(fh), outer, body);
	if (w)
		api_run(&a);
	else
		api_note(&a);
	api_done(&a, w);
}

static void api_request(struct fakehost *fh, const struct orlop_req *req, struct orlop_msgw *w)
{
	struct orlop_msgr r;

	if (req->op == ORLOP_API_REQUEST) {
		api_one(fh, &req->msg, req->msg.body, w);
		return;
	}
	orlop_msgr_init(&r, fakehost_host(fh), &req->msg, req->msg.body);
	while (orlop_msgr_next(&r)) {
		uint32_t mark = 0;

		if (r.tag != ORLOP_API_T_REQUEST || r.type != ORLOP_T_MSG)
			continue;
		if (w)
			mark = orlop_msgw_begin(w, ORLOP_API_T_ANSWER);
		api_one(fh, &req->msg, r.bytes, w);
		if (w)
			orlop_msgw_end(w, mark);
	}
}

static void api_serve(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	struct fakehost *fh = arg;
	struct orlop_msgw w;
	struct orlop_msg m;

	if (req->op != ORLOP_API_REQUEST && req->op != ORLOP_API_BATCH) {
		fakehost_reply(call, -ENOTSUP, NULL);
		return;
	}
	api_request(fh, req, NULL);
	if (fh->api_fn && fh->api_fn(fh->api_arg, req, call))
		return;
	orlop_msgw_init(&w, fakehost_host(fh));
	api_request(fh, req, &w);
	m = orlop_msgw_msg(&w);
	fakehost_reply(call, w.err, w.err ? NULL : &m);
	orlop_msgw_done(&w);
}

void fakehost_api(struct fakehost *fh)
{
	fakehost_serve(fh, "api", api_serve, fh);
}

void fakehost_api_hook(struct fakehost *fh, fakehost_api_fn fn, void *arg)
{
	fh->api_fn = fn;
	fh->api_arg = arg;
	fakehost_api(fh);
}

/* ---- the log ------------------------------------------------------------------------------------------------ */

const char *fakehost_api_log(struct fakehost *fh)
{
	struct obuf b = OBUF_INIT;

	OLIST_FOREACH(at, &fh->api_log) {
		obuf_puts(&b, OLIST_ENTRY(at, struct fake_pair, node)->name);
		obuf_putc(&b, '\n');
	}
	free(fh->api_text);
	fh->api_text = fake_strdup(obuf_cstr(&b));
	obuf_done(&b);
	return fh->api_text;
}

uint32_t fakehost_api_count(struct fakehost *fh, const char *part)
{
	uint32_t n = 0;

	OLIST_FOREACH(at, &fh->api_log)
		n += strstr(OLIST_ENTRY(at, struct fake_pair, node)->name, part) != NULL;
	return n;
}

void fakehost_api_clear(struct fakehost *fh)
{
	struct olist *at;

	while ((at = olist_shift(&fh->api_log))) {
		struct fake_pair *p = OLIST_ENTRY(at, struct fake_pair, node);

		free(p->name);
		free(p);
	}
}

void fake_api_done(struct fakehost *fh)
{
	fakehost_api_clear(fh);
	free(fh->api_text);
}
