/*
 * remotes.c - looking after the servers of other group versions: is one there, and what has it?
 *
 * Built-in groups are never anybody else's. Source: upstream's kube-aggregator, its availability and discovery controllers;
 * test: tests/api/aggregator.py
 */
#include "remotes.h"
#include "remote-clients.h"
#include "remote-docs.h"
#include "custom.h"
#include "kinds.h"
#include "render.h"
#include "../admission/hookpost.h"

#include "base/oenc.h"
#include "base/otime.h"
#include "json/ojson.h"
#include "walk/owalk.h"

#include <errno.h>
#include <string.h>

#define API_SERVICES	"apiservices.apiregistration.k8s.io"
#define AGAIN_NS	(UINT64_C(30) * 1000000000)
#define SOON_NS		UINT64_C(1000000)
#define ANSWER_NS	(UINT64_C(5) * 1000000000)
#define ANSWER_MAX	(3u << 20)
#define RESOURCES_MAX	2000u		/* of one group version */

/* One registered group version. */
struct known {
	struct reg_remotes *r;
	char		*name;		/* "v1.example.com" */
	char		*group;
	char		*version;
	struct ojson	*list;		/* APIResourceList, as it was last given; NULL: never */
	uint16_t	group_priority;
	uint16_t	version_priority;
	struct ojson	*spec;		/* of the APIService when it was last asked */
	struct remote_docs *docs;
	bool		ok;
	bool		seen;
	bool		due;		/* to be asked again: it changed meanwhile */
	/* being asked */
	struct ohttp_creq *creq;
	struct reg_remote to;		/* its texts in mem */
	struct oarena	mem;
	struct obuf	body;
	uint64_t	began;
	int		status;
};

struct reg_remotes {
	struct reg_shard *sh;
	const struct reg_kind *k;
	struct orlop_resource *res;
	struct orlop_resource *endpoints;
	struct orlop_timer *timer;
	bool		armed;
	struct olist	clients;
	struct omap	known;
};

/* ---- where ------------------------------------------------------------------------------------------------------ */

static bool is_builtin(const struct reg_shard *sh, struct orlop_bytes group)
{
	return !group.len || oschema_group_find(sh->rg->schema, group);
}

static const char *place(struct reg_remotes *r, const struct ojson *spec, struct oarena *a, struct reg_remote *ret)
{
	struct hook_place p = { .addr = NULL };
	const char *why = hook_place(r->sh, a, spec, &p);

	if (why)
		return why;
	ret->addr = p.addr;
	ret->others = p.n_others ? oarena_dup(a, p.others, sizeof(p.others)) : NULL;
	ret->n_others = ret->others ? p.n_others : 0;
	ret->name = p.name;
	ret->client = remote_client_get(r->sh, &r->clients, spec);
	ret->http = ret->client ? ret->client->http : NULL;
	return ret->client ? NULL : "its certificate authority cannot be used";
}

int reg_remote_find(struct reg_shard *sh, struct orlop_bytes group, struct orlop_bytes version, struct oarena *a,
		    struct reg_remote *ret, const char **why)
{
	struct reg_remotes *r = sh->remotes;
	struct orlop_object *o = NULL;
	struct ojson *obj = NULL;
	char name[600];
	int n = snprintf(name, sizeof(name), "%.*s.%.*s", OB(version), OB(group));

	if (!r || n < 0 || (size_t)n >= sizeof(name) || is_builtin(sh, group) || reg_find(sh, r->k, RB0, RB(name), &o) || !o)
		return 0;
	n = memmem(o->json.p, o->json.len, "\"service\":{", 11) ? render_parse(r->k, o->json, &obj) : 0;
	sh->h->object_unref(o);
	if (n || !obj)
		return n ? -ENOMEM : 0;
	n = 0;
	if (ojson_has(ojson_get(obj, "spec"), "service")) {
		*why = place(r, ojson_get(obj, "spec"), a, ret);
		n = *why ? -ENOENT : 1;
	}
	ojson_unref(obj);
	return n;
}

/* ---- what was found ----------------------------------------------------------------------------------------------- */

static void on_status(void *arg, struct reg_answer *ans)
{
	(void)arg;	/* if somebody was faster, it is looked at again */
	reg_answer_free(ans);
}

/* The condition Available, if it is another than before. */
static void tell(struct reg_remotes *r, struct known *x, bool ok, const char *reason, const char *message)
{
	struct reg_req rq = { .verb = REG_PATCH, .patch = REG_PATCH_MERGE, .res = r->k->res, .name = RB(x->name), .sub = RB("status"), .judged = true };
	struct orlop_object *o = NULL;
	struct ojson *obj = NULL;
	const struct ojson *was;
	struct obuf b = OBUF_INIT;
	char now[OTIME_BUF];

	if (r->sh->h->shard || reg_find(r->sh, r->k, RB0, RB(x->name), &o) || !o)
		return;
	if (render_parse(r->k, o->json, &obj))
		obj = NULL;
	r->sh->h->object_unref(o);
	was = ojson_index(ojson_get_array(ojson_get(obj, "status"), "conditions"), 0);
	otime_format((int64_t)r->sh->h->now_wall(r->sh->h), now);
	if (ojson_string_is(ojson_get(was, "status"), ok ? "True" : "False")) {
		const char *since = ojson_get_cstr(was, "lastTransitionTime", now);

		if (since != now)
			snprintf(now, sizeof(now), "%s", since);
		if (ojson_string_is(ojson_get(was, "reason"), reason) && ojson_string_is(ojson_get(was, "message"), message)) {
			ojson_unref(obj);
			return;
		}
	}
	obuf_printf(&b, "{\"status\":{\"conditions\":[{\"type\":\"Available\",\"status\":\"%s\",\"lastTransitionTime\":\"%s\",\"reason\":\"%s\",\"message\":",
		    ok ? "True" : "False", now, reason);
	obuf_put_json_cstr(&b, message);
	obuf_puts(&b, "}]}}");
	rq.body = (struct orlop_bytes){ b.data, b.len };
	if (obuf_err(&b) == 0)
		reg_internal_call(r->sh, &rq, on_status, r);
	obuf_done(&b);
	ojson_unref(obj);
}

static void failed(struct known *x, const char *reason, const char *message)
{
	if (x->ok)
		x->r->sh->remote_generation++;
	x->ok = false;
	tell(x->r, x, false, reason, message);
}

static void succeeded(struct known *x, struct ojson *take_list)
{
	if (!x->ok || !ojson_equal(x->list, take_list))
		x->r->sh->remote_generation++;
	ojson_unref(x->list);
	x->list = take_list;
	x->ok = true;
	tell(x->r, x, true, "Passed", "all checks passed");
	remote_docs_ask(x->docs);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static void on_head(void *arg, struct ohttp_creq *q, const struct ohttp_response *res)
{
	struct known *x = arg;

	(void)q;
	x->status = res->status;
}

static void on_data(void *arg, struct ohttp_creq *q, const char *p, size_t len)
{
	struct known *x = arg;

	(void)q;
	if (x->body.len + len > ANSWER_MAX)
		x->status = 413;
	else
		obuf_append(&x->body, p, len);
}

static void asked_end(struct known *x)
{
	x->creq = NULL;
	reg_remote_release(x->to.client);
	x->to = (struct reg_remote){ .addr = NULL };
	oarena_done(&x->mem);
	oarena_init(&x->mem, 0);
	obuf_done(&x->body);
	obuf_init(&x->body);
}

static int send_it(struct known *x);
static void ask(struct known *x, const struct ojson *spec);

static void on_end(void *arg, struct ohttp_creq *q, int err, const char *why)
{
	struct known *x = arg;
	struct ojson *list = NULL;
	char gv[560], text[700];

	if (err && x->to.n_others && !ohttp_creq_sent(q)) {	/* nobody at that endpoint: the next */
		x->to.addr = *x->to.others++;
		x->to.n_others--;
		x->began = x->r->sh->h->now_mono(x->r->sh->h);
		if (send_it(x) == 0)
			return;
	}
	snprintf(gv, sizeof(gv), "%s/%s", x->group, x->version);
	if (err)
		snprintf(text, sizeof(text), "failing or missing response from https://%s/apis/%s: %s", x->name, gv, why);
	else if (x->status != 200)
		snprintf(text, sizeof(text), "failing or missing response from https://%s/apis/%s: bad status from it: %d", x->name, gv, x->status);
	else if (obuf_err(&x->body) || ojson_parse(x->body.data ? x->body.data : "", x->body.len, &list, NULL) ||
		 !ojson_string_is(ojson_get(list, "groupVersion"), gv) || ojson_count(ojson_get_array(list, "resources")) > RESOURCES_MAX)
		snprintf(text, sizeof(text), "failing or missing response from https://%s/apis/%s: it is no list of resources", x->name, gv);
	else
		text[0] = '\0';
	asked_end(x);
	if (text[0] == '\0') {
		succeeded(x, list);
	} else {
		ojson_unref(list);
		failed(x, "FailedDiscoveryCheck", text);
	}
	if (x->due)
		ask(x, x->spec);
}

static const struct ohttp_client_ops ops = { .head = on_head, .data = on_data, .end = on_end };

static int send_it(struct known *x)
{
	static const struct ohttp_header hdr[] = {
		{ { "Accept", 6 }, { "application/json", 16 } },
		{ { "User-Agent", 10 }, { "kube-aggregator", 15 } },
		{ { "X-Remote-User", 13 }, { "system:kube-aggregator", 22 } },
		{ { "X-Remote-Group", 14 }, { "system:masters", 14 } },
	};
	struct ohttp_client_request q = { .method = "GET", .headers = hdr, .n_headers = sizeof(hdr) / sizeof(hdr[0]), .timeout_ns = ANSWER_NS };

	q.addr = x->to.addr;
	q.connect_ns = x->to.n_others ? REG_REMOTE_CONNECT_NS : 0;
	q.tls_name = q.host = x->to.name;
	q.target = oarena_printf(&x->mem, "/apis/%s/%s", x->group, x->version);
	x->status = 0;
	return q.target ? ohttp_client_send(x->to.http, &q, &ops, x, &x->creq) : -ENOMEM;
}

static void ask(struct known *x, const struct ojson *spec)
{
	const char *why;

	x->due = false;
	why = place(x->r, spec, &x->mem, &x->to);

	if (why) {
		failed(x, strstr(why, "not found") ? "ServiceNotFound" : strstr(why, "has no port") ? "ServicePortError" :
		       strstr(why, "endpoints") ? "MissingEndpoints" : "FailedDiscoveryCheck", why);
		asked_end(x);
		return;
	}
	x->began = x->r->sh->h->now_mono(x->r->sh->h);
	if (send_it(x) < 0) {
		asked_end(x);
		failed(x, "FailedDiscoveryCheck", "it cannot be asked");
	}
}

/* ---- which there are ---------------------------------------------------------------------------------------------- */

static void known_free(struct known *x)
{
	ohttp_creq_cancel(x->creq);
	asked_end(x);
	remote_docs_free(x->docs);
	ojson_unref(x->list);
	ojson_unref(x->spec);
	omem_free(x->name);
	omem_free(x->group);
	omem_free(x->version);
	omem_free(x);
}

static struct known *known_new(struct reg_remotes *r, struct orlop_bytes name, const struct ojson *spec)
{
	struct known *x = OMEM_NEW(struct known);

	if (!x)
		return NULL;
	x->r = r;
	obuf_init(&x->body);
	oarena_init(&x->mem, 0);
	x->name = omem_strndup(name.p, name.len);
	x->group = omem_strdup(ojson_get_cstr(spec, "group", ""));
	x->version = omem_strdup(ojson_get_cstr(spec, "version", ""));
	x->docs = x->group && x->version ? remote_docs_new(r->sh, x->group, x->version) : NULL;
	if (!x->name || !x->docs || omap_put(&r->known, name.p, name.len, x, NULL) < 0) {
		known_free(x);
		return NULL;
	}
	r->sh->remote_generation++;
	return x;
}

/* @again: also those of which nothing is new. */
static void look_at(struct reg_remotes *r, struct orlop_object *o, bool again)
{
	cleanup_ojson struct ojson *obj = NULL;
	struct ojson *spec;
	struct known *x;

	if (!memmem(o->json.p, o->json.len, "\"service\":{", 11) || render_parse(r->k, o->json, &obj))
		return;
	spec = ojson_get(obj, "spec");
	if (!ojson_has(spec, "service") || is_builtin(r->sh, ojson_get_bytes(spec, "group")))
		return;
	x = omap_get(&r->known, o->name.p, o->name.len);
	if (!x && !(x = known_new(r, o->name, spec)))
		return;
	x->seen = true;
	x->group_priority = (uint16_t)ojson_get_i64(spec, "groupPriorityMinimum", 0);
	x->version_priority = (uint16_t)ojson_get_i64(spec, "versionPriority", 0);
	/* the time of a request ends with the head of its answer */
	if (x->creq && again && r->sh->h->now_mono(r->sh->h) - x->began > 2 * ANSWER_NS) {
		ohttp_creq_cancel(x->creq);
		asked_end(x);
		failed(x, "FailedDiscoveryCheck", "no whole answer in time");
	}
	/* our own writes of its status are no news */
	if (again ? x->creq != NULL : x->spec && ojson_equal(x->spec, spec))
		return;
	ojson_unref(x->spec);
	x->spec = ojson_ref(spec);
	if (x->creq)
		x->due = true;
	else
		ask(x, spec);
}

static void forget_others(struct reg_remotes *r)
{
	OMAP_FOREACH(&r->known, e) {
		struct known *x = e->value;

		if (!x->seen) {
			(void)omap_del(&r->known, x->name, strlen(x->name));
			known_free(x);
			r->sh->remote_generation++;
		} else {
			x->seen = false;
		}
	}
}

static void walk(struct reg_remotes *r, bool again)
{
	struct orlop_object *o;
	struct owalk w;

	if (owalk_open(&w, r->sh->h, r->res, NULL))
		return;
	while ((o = owalk_next(&w)))
		look_at(r, o, again);
	forget_others(r);
	owalk_close(&w);
}

/* The next look at all of them; notes do not put it off. */
static void arm(struct reg_remotes *r, uint64_t after_ns)
{
	if (r->armed && after_ns > SOON_NS)
		return;
	r->armed = true;
	r->sh->h->timer_set(r->timer, after_ns, 0);
}

static void on_timer(void *arg)
{
	struct reg_remotes *r = arg;

	r->armed = false;
	remote_clients_reload(&r->clients);
	walk(r, true);
	if (omap_count(&r->known))
		arm(r, AGAIN_NS);
}

static void on_note(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct reg_remotes *r = arg;

	(void)res;
	(void)rev;
	walk(r, false);
	if (omap_count(&r->known))
		arm(r, AGAIN_NS);
}

/* Whoever was not there may be there now. */
static void on_endpoints(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct reg_remotes *r = arg;

	(void)res;
	(void)rev;
	OMAP_FOREACH(&r->known, e)
		if (!((struct known *)e->value)->ok)
			arm(r, SOON_NS);
}

int reg_remotes_start(struct reg_shard *sh)
{
	const struct reg_kind *k = reg_kind_named(sh->rg, API_SERVICES);
	struct reg_remotes *r;

	if (sh->remotes || !k)
		return 0;
	r = OMEM_NEW(struct reg_remotes);
	if (!r)
		return -ENOMEM;
	r->sh = sh;
	r->k = k;
	olist_init(&r->clients);
	omap_init(&r->known);
	if (sh->h->timer_new(sh->h, on_timer, r, &r->timer) || sh->h->resource_open(sh->h, API_SERVICES, &r->res, NULL) ||
	    sh->h->resource_open(sh->h, "endpoints", &r->endpoints, NULL)) {
		reg_remotes_free(r);
		return -ENOMEM;
	}
	sh->remotes = r;
	sh->h->resource_watch(r->res, on_note, r);
	sh->h->resource_watch(r->endpoints, on_endpoints, r);
	arm(r, SOON_NS);
	return 0;
}

void reg_remotes_free(struct reg_remotes *r)
{
	if (!r)
		return;
	OMAP_FOREACH(&r->known, e)
		known_free(e->value);
	omap_done(&r->known);
	remote_clients_done(&r->clients);
	if (r->timer)
		r->sh->h->timer_free(r->timer);
	if (r->res)
		r->sh->h->resource_close(r->res);
	if (r->endpoints)
		r->sh->h->resource_close(r->endpoints);
	omem_free(r);
}

void reg_remotes_merge(struct reg_shard *sh, struct ocrd_merge *m)
{
	if (!sh->remotes)
		return;
	OMAP_FOREACH(&sh->remotes->known, e) {
		struct known *x = e->value;

		ocrd_merge_list(m, x->group, x->version, x->group_priority, x->version_priority, x->list, x->ok);
	}
}

static struct known *known_of(struct reg_shard *sh, struct orlop_bytes group, struct orlop_bytes version)
{
	char name[600];
	int n = snprintf(name, sizeof(name), "%.*s.%.*s", OB(version), OB(group));

	return sh->remotes && n > 0 && (size_t)n < sizeof(name) ? omap_get(&sh->remotes->known, name, (size_t)n) : NULL;
}

int reg_remotes_make_v3(struct reg_shard *sh, struct orlop_bytes group, struct orlop_bytes version, struct obuf *out)
{
	struct known *x = known_of(sh, group, version);

	return x ? remote_docs_make_v3(x->docs, out) : -ENOENT;
}

const char *reg_remotes_openapi_v3(struct reg_shard *sh, const char *group, const char *version)
{
	struct known *x = known_of(sh, RB(group), RB(version));
	const char *url = x ? remote_docs_v3(x->docs) : NULL;

	return x ? url ? url : "" : NULL;
}

bool reg_remotes_have_docs(struct reg_shard *sh)
{
	return sh->remotes && omap_count(&sh->remotes->known) > 0;
}

int reg_remotes_openapi_v2(struct reg_shard *sh, struct orlop_bytes document, struct obuf *paths, struct obuf *definitions)
{
	struct remote_names theirs = { OBUF_INIT, OMAP_INIT };
	int r = 0;

	if (sh->remotes)
		OMAP_FOREACH(&sh->remotes->known, e)
			if (r == 0)
				r = remote_docs_v2(((struct known *)e->value)->docs, document, paths, &theirs);
	obuf_append(definitions, theirs.text.data, theirs.text.len);
	r = r ? r : obuf_err(&theirs.text) || obuf_err(paths) || obuf_err(definitions) ? -ENOMEM : 0;
	obuf_done(&theirs.text);
	omap_done(&theirs.at);
	return r;
}
