/*
 * server.h - a small API server of the tests' own, over lib/http on the fake host's loop.
 *
 * Objects are trees in a list; each write counts the revision up and goes to the watches. What a test
 * wants otherwise it says by a hook that sees each request first.
 */
#ifndef UP_TEST_SERVER_H
#define UP_TEST_SERVER_H

#include <orlop/inline/error.h>

#include "base/obuf.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "base/otap.h"
#include "fakehost.h"
#include "http/ohttp.h"
#include "json/ojson.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SRV_OBJECTS	256u
#define SRV_WATCHES	16u

extern const struct orlop_module orlop_module;

/* An allocation that a test lets fail is to be the module's, not this server's. */
#ifdef OTAP_FAULTS
#define SRV_CALM	long srv_fault = otap_fault_at; otap_fault_at = 0
#define SRV_GO		otap_fault_at = srv_fault
#else
#define SRV_CALM	(void)0
#define SRV_GO		(void)0
#endif

struct srv;
/* 1: answered (or kept); 0: the server goes on. @line "GET /api/v1/pods?limit=500". */
typedef int (*srv_hook_fn)(struct srv *s, struct ohttp_req *r, const char *line, struct orlop_bytes body);

struct srv_object {
	char		resource[64];
	struct ojson	*o;		/* NULL: free */
};

struct srv {
	struct fakehost	*fh;
	struct ohttp_server *http;
	char		addr[64];
	struct obuf	log;
	uint64_t	rev;
	uint64_t	compacted;	/* watches from before are 410 */
	struct srv_object objects[SRV_OBJECTS];
	struct {
		struct ohttp_req *r;
		char	resource[64];
	}		watches[SRV_WATCHES];
	srv_hook_fn	hook;
	int		hook_n;		/* for the hook */
	struct ohttp_req *kept;		/* by the hook */
	bool		bare_lists;	/* no limit, no pages */
};

static const struct {
	const char	*path;
	const char	*resource;
	const char	*kind;
	const char	*api_version;
} srv_kinds[] = {
	{ "/api/v1/", "pods", "Pod", "v1" },
	{ "/api/v1/", "nodes", "Node", "v1" },
	{ "/api/v1/", "configmaps", "ConfigMap", "v1" },
	{ "/apis/apps/v1/", "deployments", "Deployment", "apps/v1" },
	{ "/apis/odd.example.com/v1/", "widgets", "Widget", "odd.example.com/v1" },
	{ "/apis/coordination.k8s.io/v1/", "leases", "Lease", "coordination.k8s.io/v1" },
};

static OTAP_UNUSED int srv_kind(const char *resource)
{
	for (size_t i = 0; i < sizeof(srv_kinds) / sizeof(srv_kinds[0]); i++)
		if (!strcmp(srv_kinds[i].resource, resource))
			return (int)i;
	return -1;
}

static void srv_reply(struct ohttp_req *r, int status, const char *text)
{
	ohttp_reply_text(r, status, "application/json", text, strlen(text));
}

static OTAP_UNUSED void srv_status(struct ohttp_req *r, int code, const char *reason, const char *message)
{
	char text[400];

	snprintf(text, sizeof(text), "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
		 "\"message\":\"%s\",\"reason\":\"%s\",\"code\":%d}\n", message, reason, code);
	srv_reply(r, code, text);
}

/* ---- objects -------------------------------------------------------------------------------------------- */

static struct srv_object *srv_find(struct srv *s, const char *resource, const char *ns, const char *name)
{
	for (unsigned int i = 0; i < SRV_OBJECTS; i++) {
		const struct ojson *meta = ojson_get(s->objects[i].o, "metadata");

		if (s->objects[i].o && !strcmp(s->objects[i].resource, resource) &&
		    !strcmp(ojson_get_cstr(meta, "namespace", ""), ns) && !strcmp(ojson_get_cstr(meta, "name", ""), name))
			return &s->objects[i];
	}
	return NULL;
}

static void srv_send(struct srv *s, const char *resource, const char *p, size_t len)
{
	for (unsigned int i = 0; i < SRV_WATCHES; i++)
		if (s->watches[i].r && !strcmp(s->watches[i].resource, resource))
			(void)ohttp_write_copy(s->watches[i].r, p, len);
}

static void srv_event(struct srv *s, const char *resource, const char *type, const struct ojson *o)
{
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "{\"type\":\"%s\",\"object\":", type);
	(void)ojson_write(o, 0, &b);
	obuf_puts(&b, "}\n");
	srv_send(s, resource, b.data, b.len);
	obuf_done(&b);
}

static void srv_rev(struct srv *s, struct ojson *o)
{
	char rev[24];

	snprintf(rev, sizeof(rev), "%llu", (unsigned long long)++s->rev);
	(void)ojson_set_cstr(ojson_ensure_object(o, "metadata"), "resourceVersion", rev);
}

/* Takes @o; metadata is completed. Returns it. */
static struct ojson *srv_store(struct srv *s, const char *resource, const char *ns, const char *name, struct ojson *take_o,
			       bool tell)
{
	struct srv_object *at = srv_find(s, resource, ns, name);
	struct ojson *meta = ojson_ensure_object(take_o, "metadata");
	bool fresh = !at;
	char uid[100];
	int k = srv_kind(resource);

	snprintf(uid, sizeof(uid), "uid-%s", name);
	(void)ojson_set_cstr(take_o, "kind", srv_kinds[k].kind);
	(void)ojson_set_cstr(take_o, "apiVersion", srv_kinds[k].api_version);
	(void)ojson_set_cstr(meta, "name", name);
	if (ns[0])
		(void)ojson_set_cstr(meta, "namespace", ns);
	(void)ojson_set_cstr(meta, "uid", uid);
	srv_rev(s, take_o);
	(void)ojson_set_cstr(meta, "creationTimestamp", "2026-01-01T00:00:00Z");
	for (unsigned int i = 0; !at && i < SRV_OBJECTS; i++)
		if (!s->objects[i].o)
			at = &s->objects[i];
	if (!at)
		abort();
	ojson_unref(at->o);
	snprintf(at->resource, sizeof(at->resource), "%s", resource);
	at->o = take_o;
	if (tell)
		srv_event(s, resource, fresh ? "ADDED" : "MODIFIED", take_o);
	return take_o;
}

/* @json the members besides metadata ("" none, or an object). Returns the revision. */
static OTAP_UNUSED uint64_t srv_put(struct srv *s, const char *resource, const char *ns, const char *name, const char *json)
{
	struct ojson *o = NULL;
	SRV_CALM;

	if (ojson_parse(json[0] ? json : "{}", strlen(json[0] ? json : "{}"), &o, NULL))
		abort();
	srv_store(s, resource, ns, name, o, true);
	SRV_GO;
	return s->rev;
}

static OTAP_UNUSED void srv_del(struct srv *s, const char *resource, const char *ns, const char *name, bool tell)
{
	struct srv_object *at = srv_find(s, resource, ns, name);

	if (!at)
		return;
	srv_rev(s, at->o);
	if (tell)
		srv_event(s, resource, "DELETED", at->o);
	ojson_unref(at->o);
	at->o = NULL;
}

static OTAP_UNUSED void srv_bookmark(struct srv *s, const char *resource, uint64_t rev)
{
	char text[200];
	int k = srv_kind(resource);

	snprintf(text, sizeof(text), "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":"
		 "{\"resourceVersion\":\"%llu\",\"creationTimestamp\":null}}}\n", srv_kinds[k].kind, srv_kinds[k].api_version,
		 (unsigned long long)rev);
	srv_send(s, resource, text, strlen(text));
}

/* ---- requests ------------------------------------------------------------------------------------------- */

static void srv_gone(void *arg, struct ohttp_req *r)
{
	struct srv *s = arg;

	for (unsigned int i = 0; i < SRV_WATCHES; i++)
		if (s->watches[i].r == r)
			s->watches[i].r = NULL;
	if (s->kept == r)
		s->kept = NULL;
}

/* Watches of a resource (NULL: all) end: in order, or broken off. Returns how many. */
static OTAP_UNUSED int srv_end(struct srv *s, const char *resource, bool broken)
{
	int n = 0;

	for (unsigned int i = 0; i < SRV_WATCHES; i++) {
		struct ohttp_req *r = s->watches[i].r;

		if (!r || (resource && strcmp(s->watches[i].resource, resource)))
			continue;
		s->watches[i].r = NULL;
		if (broken)
			ohttp_abort(r);
		else
			ohttp_end(r);
		n++;
	}
	return n;
}

static OTAP_UNUSED int srv_watching(struct srv *s, const char *resource)
{
	int n = 0;

	for (unsigned int i = 0; i < SRV_WATCHES; i++)
		n += s->watches[i].r && (!resource || !strcmp(s->watches[i].resource, resource));
	return n;
}

static uint64_t srv_param(const char *line, const char *name)
{
	char key[40];
	const char *p;

	snprintf(key, sizeof(key), "%s=", name);
	p = strstr(line, key);
	return p ? strtoull(p + strlen(key), NULL, 10) : 0;
}

/* What has changed since: of the history only its end, which is enough here. */
static void srv_missed(struct srv *s, unsigned int w, uint64_t since)
{
	for (unsigned int i = 0; i < SRV_OBJECTS; i++) {
		const char *rev = ojson_get_cstr(ojson_get(s->objects[i].o, "metadata"), "resourceVersion", "0");
		struct obuf b = OBUF_INIT;

		if (!s->objects[i].o || strcmp(s->objects[i].resource, s->watches[w].resource) || strtoull(rev, NULL, 10) <= since)
			continue;
		obuf_puts(&b, "{\"type\":\"MODIFIED\",\"object\":");
		(void)ojson_write(s->objects[i].o, 0, &b);
		obuf_puts(&b, "}\n");
		(void)ohttp_write_copy(s->watches[w].r, b.data, b.len);
		obuf_done(&b);
	}
}

static void srv_watch(struct srv *s, struct ohttp_req *r, const char *resource, const char *line)
{
	struct ohttp_header h = ohttp_header_cstr("Content-Type", "application/json");

	if (srv_param(line, "resourceVersion") < s->compacted) {
		srv_status(r, 410, "Expired", "too old resource version");
		return;
	}
	for (unsigned int i = 0; i < SRV_WATCHES; i++)
		if (!s->watches[i].r) {
			s->watches[i].r = r;
			snprintf(s->watches[i].resource, sizeof(s->watches[i].resource), "%s", resource);
			ohttp_on_close(r, srv_gone, s);
			ohttp_reply_start(r, 200, &h, 1);
			srv_missed(s, i, srv_param(line, "resourceVersion"));
			return;
		}
	abort();
}

static void srv_list(struct srv *s, struct ohttp_req *r, const char *resource, const char *line)
{
	uint64_t limit = s->bare_lists ? 0 : srv_param(line, "limit"), from = srv_param(line, "continue");
	struct obuf b = OBUF_INIT, items = OBUF_INIT;
	uint64_t n = 0, at = 0;
	bool more = false;

	for (unsigned int i = 0; i < SRV_OBJECTS; i++) {
		if (!s->objects[i].o || strcmp(s->objects[i].resource, resource) || at++ < from)
			continue;
		if (limit && n == limit) {
			more = true;
			break;
		}
		if (n++)
			obuf_putc(&items, ',');
		(void)ojson_write(s->objects[i].o, 0, &items);
	}
	obuf_printf(&b, "{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"%llu\"",
		    (unsigned long long)s->rev);
	if (more)
		obuf_printf(&b, ",\"continue\":\"%llu\"", (unsigned long long)(from + n));
	obuf_printf(&b, "},\"items\":[%s]}\n", obuf_cstr(&items));
	srv_reply(r, 200, b.data);
	obuf_done(&b);
	obuf_done(&items);
}

static void srv_object_text(struct ohttp_req *r, int code, const struct ojson *o)
{
	char *t = ojson_text(o, 0, NULL);

	srv_reply(r, code, t);
	omem_free(t);
}

static void srv_write(struct srv *s, struct ohttp_req *r, const char *method, const char *resource, const char *ns,
		      const char *name, const char *sub, struct orlop_bytes body)
{
	struct srv_object *at = srv_find(s, resource, ns, name);
	struct ojson *o = NULL;
	const char *rv;

	if (!strcmp(method, "GET")) {
		if (at)
			srv_object_text(r, 200, at->o);
		else
			srv_status(r, 404, "NotFound", "not found");
		return;
	}
	if (!strcmp(method, "DELETE")) {
		char text[400];

		if (!at) {
			srv_status(r, 404, "NotFound", "not found");
			return;
		}
		snprintf(text, sizeof(text), "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\","
			 "\"details\":{\"name\":\"%s\",\"uid\":\"uid-%s\"}}\n", name, name);
		srv_del(s, resource, ns, name, true);
		srv_reply(r, 200, text);
		return;
	}
	if (ojson_parse(body.p ? body.p : "", body.len, &o, NULL) || !ojson_is(o, OJSON_OBJECT)) {
		ojson_unref(o);
		srv_status(r, 400, "BadRequest", "no object");
		return;
	}
	if (!strcmp(sub, "binding")) {
		char text[200];

		ojson_unref(o);
		if (at) {
			(void)ojson_set_cstr(ojson_ensure_object(at->o, "spec"), "nodeName", "n1");
			srv_rev(s, at->o);
			srv_event(s, resource, "MODIFIED", at->o);
		}
		snprintf(text, sizeof(text), "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\",\"code\":201}\n");
		srv_reply(r, 201, text);
		return;
	}
	if (!strcmp(method, "POST")) {
		name = ojson_get_cstr(ojson_get(o, "metadata"), "name", "made");
		at = srv_find(s, resource, ns, name);
		if (at) {
			ojson_unref(o);
			srv_status(r, 409, "AlreadyExists", "it is there");
			return;
		}
	} else if (!at) {
		ojson_unref(o);
		srv_status(r, 404, "NotFound", "not found");
		return;
	}
	rv = ojson_get_cstr(ojson_get(o, "metadata"), "resourceVersion", "");
	if (at && rv[0] && strcmp(rv, ojson_get_cstr(ojson_get(at->o, "metadata"), "resourceVersion", ""))) {
		ojson_unref(o);
		srv_status(r, 409, "Conflict", "the object has been modified");
		return;
	}
	srv_object_text(r, at ? 200 : 201, srv_store(s, resource, ns, name, o, true));
}

static const char srv_groups[] =
	"{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":["
	"{\"name\":\"apps\",\"versions\":[{\"groupVersion\":\"apps/v1\",\"version\":\"v1\"}],\"preferredVersion\":{\"groupVersion\":\"apps/v1\",\"version\":\"v1\"}},"
	"{\"name\":\"odd.example.com\",\"versions\":[{\"groupVersion\":\"odd.example.com/v1\",\"version\":\"v1\"}],\"preferredVersion\":{\"version\":\"v1\"}},"
	"{\"name\":\"coordination.k8s.io\",\"versions\":[{\"groupVersion\":\"coordination.k8s.io/v1\",\"version\":\"v1\"}],\"preferredVersion\":{\"version\":\"v1\"}}]}";

#define SRV_RES(n, ns, k) "{\"name\":\"" n "\",\"singularName\":\"\",\"namespaced\":" ns ",\"kind\":\"" k \
	"\",\"verbs\":[\"create\",\"delete\",\"get\",\"list\",\"patch\",\"update\",\"watch\"]}"

static int srv_discovery(struct ohttp_req *r, const char *path)
{
	static const struct { const char *path, *text; } docs[] = {
		{ "/apis", srv_groups },
		{ "/api/v1", "{\"kind\":\"APIResourceList\",\"groupVersion\":\"v1\",\"resources\":[" SRV_RES("pods", "true", "Pod") ","
		  SRV_RES("pods/status", "true", "Pod") "," SRV_RES("nodes", "false", "Node") ","
		  SRV_RES("configmaps", "true", "ConfigMap") ",{\"name\":\"bindings\",\"namespaced\":true,\"kind\":\"Binding\",\"verbs\":[\"create\"]}]}" },
		{ "/apis/apps/v1", "{\"groupVersion\":\"apps/v1\",\"resources\":[" SRV_RES("deployments", "true", "Deployment") "]}" },
		{ "/apis/odd.example.com/v1", "{\"groupVersion\":\"odd.example.com/v1\",\"resources\":[" SRV_RES("widgets", "true", "Widget") "]}" },
		{ "/apis/coordination.k8s.io/v1", "{\"groupVersion\":\"coordination.k8s.io/v1\",\"resources\":[" SRV_RES("leases", "true", "Lease") "]}" },
	};

	for (size_t i = 0; i < sizeof(docs) / sizeof(docs[0]); i++)
		if (!strcmp(path, docs[i].path)) {
			srv_reply(r, 200, docs[i].text);
			return 1;
		}
	return 0;
}

/* [namespaces/NS/]RESOURCE[/NAME[/SUB]] behind a kind's path */
static int srv_route(struct srv *s, struct ohttp_req *r, const char *method, const char *path, const char *line,
		     struct orlop_bytes body)
{
	char part[5][80] = { "" }, *ns = part[4];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(srv_kinds) / sizeof(srv_kinds[0]); i++) {
		const char *p = path, *resource = srv_kinds[i].resource;

		if (strncmp(p, srv_kinds[i].path, strlen(srv_kinds[i].path)))
			continue;
		p += strlen(srv_kinds[i].path);
		n = 0;
		memset(part, 0, sizeof(part));
		if (!strncmp(p, "namespaces/", 11)) {
			p += 11;
			snprintf(ns, sizeof(part[4]), "%.*s", (int)strcspn(p, "/"), p);
			p += strcspn(p, "/");
			p += *p == '/';
		}
		while (*p && n < 3) {
			snprintf(part[n++], sizeof(part[0]), "%.*s", (int)strcspn(p, "/"), p);
			p += strcspn(p, "/");
			p += *p == '/';
		}
		if (n == 0 || strcmp(part[0], resource))
			continue;
		if (n == 1 && !strcmp(method, "GET") && strstr(line, "watch=1"))
			srv_watch(s, r, resource, line);
		else if (n == 1 && !strcmp(method, "GET"))
			srv_list(s, r, resource, line);
		else
			srv_write(s, r, method, resource, ns, part[1], part[2], body);
		return 1;
	}
	return 0;
}

static void srv_body(void *arg, struct ohttp_req *r, int status, struct orlop_bytes body)
{
	struct srv *s = arg;
	struct orlop_bytes m = ohttp_method(r), p = ohttp_path(r), q = ohttp_query(r);
	char line[1024], method[16], path[512];
	SRV_CALM;

	if (status) {
		SRV_GO;
		return;
	}
	snprintf(method, sizeof(method), "%.*s", (int)m.len, m.p);
	snprintf(path, sizeof(path), "%.*s", (int)p.len, p.p);
	snprintf(line, sizeof(line), "%s %s%s%.*s", method, path, q.len ? "?" : "", (int)q.len, q.p);
	obuf_printf(&s->log, "%s %.*s\n", line, (int)body.len, body.p ? body.p : "");
	if (!(s->hook && s->hook(s, r, line, body)) && !srv_discovery(r, path) && !srv_route(s, r, method, path, line, body))
		srv_status(r, 404, "NotFound", "the server could not find the requested resource");
	SRV_GO;
}

static void srv_request(void *arg, struct ohttp_req *r)
{
	ohttp_body_read(r, 1 << 20, srv_body, arg);
}

/* Requests so far that contain @text. */
static OTAP_UNUSED uint32_t srv_count(const struct srv *s, const char *text)
{
	const char *p = obuf_cstr(&s->log);
	uint32_t n = 0;

	for (; (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

static OTAP_UNUSED struct srv *srv_new(struct fakehost *fh, struct otls_ctx *tls)
{
	struct srv *s = OMEM_NEW(struct srv);
	struct ohttp_server_config cfg = { .h = fakehost_host(fh), .listen = "127.0.0.1:0", .tls = tls,
					   .on_request = srv_request, .arg = s };
	struct orlop_error err = ORLOP_ERROR_INIT;
	char url[100];

	s->fh = fh;
	s->rev = 100;
	if (ohttp_server_new(&cfg, &s->http, &err)) {
		printf("Bail out! %s\n", err.msg);
		exit(1);
	}
	ohttp_server_addr(s->http, s->addr, sizeof(s->addr));
	snprintf(url, sizeof(url), "%s://%s", tls ? "https" : "http", s->addr);
	fakehost_param(fh, "server", url);
	return s;
}

static OTAP_UNUSED void srv_free(struct srv *s)
{
	ohttp_server_free(s->http);
	for (unsigned int i = 0; i < SRV_OBJECTS; i++)
		ojson_unref(s->objects[i].o);
	obuf_done(&s->log);
	omem_free(s);
}

/* ---- waiting -------------------------------------------------------------------------------------------- */

/* A text occurs in the log of requests @want times or more. */
struct srv_seen {
	struct srv	*s;
	const char	*text;
	uint32_t	want;
};

static int srv_seen_cond(void *arg)
{
	const struct srv_seen *w = arg;

	return srv_count(w->s, w->text) >= w->want;
}

static OTAP_UNUSED bool srv_until(struct srv *s, const char *text, uint32_t want)
{
	struct srv_seen w = { s, text, want };

	return fakehost_run_until(s->fh, srv_seen_cond, &w, 400 * FAKEHOST_S);
}

struct srv_cache {
	struct srv	*s;
	const char	*resource, *ns, *name, *text;	/* text NULL: gone */
};

static int srv_cache_cond(void *arg)
{
	const struct srv_cache *w = arg;
	const char *has = fakehost_get(w->s->fh, w->resource, w->ns, w->name);

	return w->text ? has && strstr(has, w->text) : !has;
}

/* The module's cache has the object with @text in it (NULL: has it no more). */
static OTAP_UNUSED bool srv_cached(struct srv *s, const char *resource, const char *ns, const char *name, const char *text)
{
	struct srv_cache w = { s, resource, ns, name, text };

	return fakehost_run_until(s->fh, srv_cache_cond, &w, 400 * FAKEHOST_S);
}

struct srv_logged {
	struct fakehost	*fh;
	const char	*text;
	uint32_t	want;
};

static int srv_logged_cond(void *arg)
{
	const struct srv_logged *w = arg;

	return fakehost_logged(w->fh, w->text) >= w->want;
}

static OTAP_UNUSED bool srv_says(struct srv *s, const char *text, uint32_t want)
{
	struct srv_logged w = { s->fh, text, want };

	return fakehost_run_until(s->fh, srv_logged_cond, &w, 400 * FAKEHOST_S);
}

static OTAP_UNUSED int srv_watch_cond(void *arg)
{
	const struct srv_cache *w = arg;

	return srv_watching(w->s, w->resource) > 0;
}

static OTAP_UNUSED bool srv_watched(struct srv *s, const char *resource)
{
	struct srv_cache w = { s, resource, NULL, NULL, NULL };

	return fakehost_run_until(s->fh, srv_watch_cond, &w, 400 * FAKEHOST_S);
}

#endif
