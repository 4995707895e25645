/*
 * One HTTP request: who asks, what for, may they, is there room; then the registry, and its answer.
 */
#include "front.h"

#include "base/oenc.h"
#include "base/otime.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#define SWEEP_NS	(5 * APIS_NS_PER_S)
#define SWEEP_MIN_NS	(APIS_NS_PER_S / 50)

/* ---- life -------------------------------------------------------------------------------------------- */

static void uncount(struct front *f)
{
	struct ashard *sh = f->sh;

	if (f->counted == 1)
		sh->n_reads--;
	else if (f->counted == 2)
		sh->n_writes--;
	if (f->counted) {
		metrics_inflight(sh, f->counted == 2, false);
		flow_give(f, f->counted == 2);
	}
	f->counted = 0;
	olist_del(&f->link);
	f->deadline = 0;
	if (f->longrunning)
		sh->h->metric_add(f->longrunning, -1);
	f->longrunning = NULL;
	sh->n_longrunning -= f->is_longrunning;
	f->is_longrunning = false;
	if (f->stream)
		sh->n_streams--;
	f->stream = false;
}

bool front_free_if_idle(struct front *f)
{
	if (f->req || f->calling)
		return false;
	uncount(f);
	f->sh->n_fronts--;
	flow_leave(f);
	obuf_done(&f->body);
	reg_kind_release(f->rt.kind);
	oarena_done(&f->arena);
	omem_free(f);
	return true;
}

void front_done(struct front *f, int status)
{
	if (status) {
		metrics_request(f, status);
		front_log(f, status);
	}
	f->req = NULL;
	uncount(f);
	(void)front_free_if_idle(f);
}

static void on_close(void *arg, struct ohttp_req *req)
{
	struct front *f = arg;

	(void)req;
	metrics_aborted(f);
	front_done(f, 0);
}

/* The next look at deadlines: not much later than the first of them, nor much too often. */
static void sweep_at(struct ashard *sh, uint64_t deadline)
{
	uint64_t now = sh->h->now_mono(sh->h);
	uint64_t in = deadline > now ? deadline - now : 0;

	sh->h->timer_set(sh->timer, in < SWEEP_MIN_NS ? SWEEP_MIN_NS : in > SWEEP_NS ? SWEEP_NS : in, 0);
}

void front_sweep(void *arg)
{
	struct ashard *sh = arg;
	uint64_t now = sh->h->now_mono(sh->h);

	for (;;) {
		struct olist *l = olist_first(&sh->active);
		struct front *f = l ? OLIST_ENTRY(l, struct front, link) : NULL;

		if (!f)
			return;
		if (f->deadline > now)
			break;
		if (f->req)
			metrics_terminated(f, 504);
		if (f->req && f->counted == 2)
			front_error(f, 504, "Timeout", "Timeout: request did not complete within requested timeout - "
				    "context deadline exceeded");
		else if (f->req)
			front_error(f, 504, "Timeout",
				    "Timeout: request did not complete within the allotted timeout");
		else
			olist_del(&f->link);
	}
	sweep_at(sh, OLIST_ENTRY(olist_first(&sh->active), struct front, link)->deadline);
}

/*
 * By when it must be answered: what its client asks for, at most what we give it. Those that are under way are in the
 * order of their ends, which is mostly that in which they came.
 */
static void begin_deadline(struct front *f, uint64_t timeout_ns)
{
	struct ashard *sh = f->sh;
	struct olist *at = sh->active.prev;

	f->deadline = f->began + timeout_ns;
	while (at != &sh->active && OLIST_ENTRY(at, struct front, link)->deadline > f->deadline)
		at = at->prev;
	olist_insert(&f->link, at, at->next);
	if (at == &sh->active)
		sweep_at(sh, f->deadline);
}

/* ---- the way of a request ----------------------------------------------------------------------------- */

static void on_answer(void *arg, struct reg_answer *a)
{
	struct front *f = arg;

	f->calling = false;
	if (!f->req) {
		reg_answer_free(a);
		(void)front_free_if_idle(f);
		return;
	}
	front_answer(f, a);
}

static void call(struct front *f)
{
	f->calling = true;
	reg_call(f->sh->reg, &f->rq, on_answer, f);
}

static void on_body(void *arg, struct ohttp_req *req, int status, struct orlop_bytes body)
{
	struct front *f = arg;

	(void)body;
	if (status < 0) {		/* answered or ended by the server, which calls on_close() no more */
		front_done(f, status == -EMSGSIZE ? 413 : 500);
		return;
	}
	ohttp_body_take(req, &f->body);
	if (f->body_kind != BODY_JSON && f->body.len && !front_body_decode(f))
		return;
	f->rq.body = (struct orlop_bytes){ obuf_cstr(&f->body), f->body.len };
	call(f);
}

/* Fills the verb; what is no verb of the API has none, and whoever may do all may ask for it. */
static void choose_verb(struct front *f)
{
	struct orlop_bytes m = ohttp_method(f->req);
	struct reg_req *rq = &f->rq;
	bool named = f->rt.name.len > 0;
	/* one object is got, whatever the query says */
	bool watch = !named && query_true(&f->arena, ohttp_query(f->req), "watch");

	/* below watch/ everything is one, whatever the method */
	if (f->rt.watch_prefix || ((bytes_is(m, "GET") || bytes_is(m, "HEAD")) && watch))
		rq->verb = REG_WATCH;
	else if (bytes_is(m, "GET") || bytes_is(m, "HEAD"))
		rq->verb = named ? REG_GET : REG_LIST;
	else if (bytes_is(m, "POST"))
		rq->verb = REG_CREATE;
	else if (bytes_is(m, "PUT"))
		rq->verb = REG_UPDATE;
	else if (bytes_is(m, "PATCH"))
		rq->verb = REG_PATCH;
	else if (bytes_is(m, "DELETE"))
		rq->verb = named ? REG_DELETE : REG_DELETECOLLECTION;
	else
		return;
	f->verb = reg_verb_name(rq->verb);
}

/* Maybe a CustomResourceDefinition defines it. */
static void resolve(struct front *f)
{
	struct route *rt = &f->rt;

	rt->kind = reg_resolve(f->sh->reg, rt->group, rt->version, rt->resource, &rt->schema, &rt->res);
	if (rt->kind && rt->sub.len)
		rt->subres = oschema_sub_find(rt->schema, rt->res, rt->sub);
}

/* timeout=DURATION of the query; 0 or none: what we give. False: answered with 400. */
static bool timeout_read(struct front *f, uint64_t *ret_ns)
{
	struct orlop_bytes v = query_get(&f->arena, ohttp_query(f->req), "timeout");
	int64_t ns = 0;

	*ret_ns = f->sh->a->timeout_ns;
	if (!v.len)
		return true;
	if (otime_duration_parse(v.p, v.len, &ns) < 0) {
		char num[40];
		size_t n = 0;

		while (n < v.len && n < sizeof(num) && (strchr("0123456789.", v.p[n]) || (n == 0 && strchr("+-", v.p[n]))))
			n++;
		front_error(f, 400, "BadRequest", "invalid timeout specified in the request URL - time: %s duration \"%.*s\"",
			    n && n == v.len ? "missing unit in" : "invalid", OB(v));
		return false;
	}
	if (ns > 0 && (uint64_t)ns < *ret_ns)
		*ret_ns = (uint64_t)ns;
	return true;
}

bool front_admit(struct front *f, bool write)
{
	struct ashard *sh = f->sh;
	uint32_t *n = write ? &sh->n_writes : &sh->n_reads;
	/* who belongs to a level has what is kept for it, however many come that nothing limits */
	bool room = f->flow ? flow_has_room(f, write) : *n < (write ? sh->a->max_writes : sh->a->max_reads);

	if (!room && !flow_is_exempt(f)) {
		front_too_many(f, write);
		return false;
	}
	(*n)++;
	f->counted = write ? 2 : 1;
	metrics_inflight(sh, write, true);
	flow_take(f, write);
	return true;
}

/* The same with a deadline. */
static bool admit(struct front *f, bool write)
{
	uint64_t timeout_ns;

	if (!timeout_read(f, &timeout_ns) || !front_admit(f, write))
		return false;
	begin_deadline(f, timeout_ns);
	return true;
}

static void connect_begin(struct front *f)
{
	if (route_is_proxy(&f->rt))
		relay_begin(f);
	else
		proxy_begin(f);
}

static void on_admitted(void *arg, struct reg_answer *a)
{
	struct front *f = arg;

	f->calling = false;
	if (!f->req) {
		reg_answer_free(a);
		(void)front_free_if_idle(f);
	} else if (!a || a->code >= 400) {
		front_answer(f, a);
	} else {
		reg_answer_free(a);
		connect_begin(f);
	}
}

/* What is streamed; who asks may. */
static void serve_connect(struct front *f)
{
	if (!bytes_is(f->rt.sub, "log") && query_get(&f->arena, f->rq.query, "dryRun").p) {
		front_error(f, 400, "BadRequest", "dryRun is not supported");
	} else if (!bytes_is(f->rt.sub, "log") && reg_connect_asks(f->sh->reg)) {
		f->calling = true;
		reg_connect(f->sh->reg, &f->rq, f->rt.rest, on_admitted, f);
	} else {
		connect_begin(f);
	}
}

/* Upstream serves custom resources by their verbs, once there is one of that name and scope; the registry tells the rest. */
static bool custom_exists(const struct front *f)
{
	bool namespaced = f->rt.res->flags & OSCHEMA_S_NAMESPACED;

	if (f->rt.rest.len)
		return false;
	return namespaced == (f->rt.ns.len > 0) || (namespaced && (f->rq.verb == REG_LIST || f->rq.verb == REG_WATCH));
}

/* A custom resource has no such part: the registry says so, of the object and with the warnings of its version. */
static bool no_such_part(const struct front *f)
{
	return f->rt.kind && f->rt.sub.len && !f->rt.subres && f->rq.verb != REG_WATCH;
}

/* Who may do nothing learns nothing about what there is. */
static void serve_nothing(struct front *f)
{
	struct reg_attrs at = { bytes_cstr(f->verb ? f->verb : ""), f->rt.group, f->rt.version, f->rt.resource,
		f->rt.sub, f->rt.ns, f->rt.name, { NULL, 0 }, { NULL, 0 } };

	if (hook_authorize(f->sh->a, f->sh->h, &f->who, &at, NULL, 0) > 0)
		front_error(f, 404, "NotFound", "the server could not find the requested resource");
	else
		front_forbidden(f, &at);
}

static void refuse_method(struct front *f)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (!f->rt.kind) {
		front_error(f, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
	} else if (!f->rt.sub.len && !f->rt.name.len && (f->rq.verb == REG_UPDATE || f->rq.verb == REG_PATCH)) {
		if (f->rq.verb == REG_UPDATE || front_body_type(f))
			front_error(f, 400, "BadRequest", "name must be provided");
	} else {
		(void)orlop_fail(&err, ENOSYS, 405, "MethodNotAllowed", "%s is not supported on resources of kind \"%.*s.%.*s\"",
				 f->verb ? f->verb : "", OB(f->rt.resource), OB(f->rt.group));
		front_answer(f, reg_status_about(f->sh->reg, &err, f->rt.group, f->rt.resource, (struct orlop_bytes){ NULL, 0 }));
		orlop_error_done(&err);
	}
}

static void serve_resource(struct front *f)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct reg_req *rq = &f->rq;

	if (!f->rt.res || !(f->rt.kind ? custom_exists(f) : route_exists(&f->rt))) {
		serve_nothing(f);
		return;
	}
	rq->res = f->rt.res;
	rq->kind = f->rt.kind;
	rq->ns = f->rt.ns;
	rq->name = f->rt.name;
	rq->sub = f->rt.sub;
	rq->who = &f->who;
	rq->extra = f->extra;
	rq->form = f->accept.form;
	rq->proto = f->accept.proto;
	rq->query.len = ohttp_query(f->req).len;
	rq->query.p = oarena_strndup(&f->arena, ohttp_query(f->req).p, rq->query.len);
	rq->user_agent = ohttp_header(f->req, "user-agent");
	if (rq->user_agent.p)
		rq->user_agent.p = oarena_strndup(&f->arena, rq->user_agent.p, rq->user_agent.len);
	if (reg_authorize(f->sh->reg, rq, &err) < 0) {
		front_fail(f, &err);
		orlop_error_done(&err);
		return;
	}
	orlop_error_done(&err);
	if (!no_such_part(f) && !route_serves(&f->rt, ohttp_method(f->req), rq->verb)) {
		refuse_method(f);
		return;
	}
	if (route_is_connect(&f->rt)) {
		serve_connect(f);
		return;
	}
	if (f->accept.none || (rq->verb == REG_WATCH && f->accept.yaml)) {
		front_error(f, 406, "NotAcceptable", "only the following media types are accepted: %s",
			    rq->verb == REG_WATCH ? "application/json;stream=watch, " REG_PROTO_WATCH_TYPE :
			    "application/json, application/yaml, " REG_PROTO_TYPE);
		return;
	}
	if (bytes_is(f->rt.group, "metrics.k8s.io")) {
		usage_begin(f);
		return;
	}
	if (rq->verb != REG_WATCH && !admit(f, rq->verb >= REG_CREATE))
		return;
	if (rq->verb == REG_WATCH && reg_shard_watches(f->sh->reg) >= f->sh->a->max_watches &&
	    !flow_is_exempt(f)) {
		front_too_many(f, false);
		return;
	}
	if (rq->verb < REG_CREATE) {
		call(f);
		return;
	}
	if (front_body_type(f))
		ohttp_body_read(f->req, APIS_BODY_MAX, on_body, f);
}

static void serve_path(struct front *f)
{
	static const char *const methods[] = { "get", "post", "put", "patch", "delete", "options", "connect", "trace" };
	struct reg_attrs at = { .verb = { "get", 3 }, .path = f->rt.path };
	struct orlop_bytes m = ohttp_method(f->req);
	char verb[16], why[300] = "";

	snprintf(verb, sizeof(verb), "%.*s", OB(m));
	for (char *c = verb; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	if (strcmp(verb, "head") == 0)
		strcpy(verb, "get");
	/* what somebody calls a method is no name of a metric: there would be no end of them */
	f->verb = "other";
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (strcmp(verb, methods[i]) == 0)
			f->verb = methods[i];
	at.verb = bytes_cstr(verb);
	if (!hook_authorize(f->sh->a, f->sh->h, &f->who, &at, NULL, 0)) {
		(void)hook_authorize(f->sh->a, f->sh->h, &f->who, &at, why, sizeof(why));
		front_error(f, 403, "Forbidden", "forbidden: User \"%.*s\" cannot %s path \"%.*s\"%s%s", OB(f->who.user),
			    verb, OB(f->rt.path), why[0] ? ": " : "", why);
		return;
	}
	if (strcmp(verb, "get") != 0)
		front_error(f, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
	else if (!health_serve(f) && !docs_serve(f))
		front_text(f, 404, "text/plain; charset=utf-8", "404 page not found\n", 19);
}

static bool is_for_people(struct orlop_bytes agent)
{
	return agent.p && (ostr_starts(agent.p, agent.len, "curl") || ostr_starts(agent.p, agent.len, "Wget") ||
			   ostr_starts(agent.p, agent.len, "Mozilla/5.0"));
}

static void make_ids(struct front *f)
{
	struct orlop_bytes given = ohttp_header(f->req, "audit-id");
	char own[OUUID_BUF];
	uint8_t b[16];

	f->sh->h->random(f->sh->h, b, sizeof(b));
	ouuid_make(b, own);
	front_trace(f, b);
	if (given.p && given.len > 0 && given.len < sizeof(f->audit_id)) {
		memcpy(f->audit_id, given.p, given.len);
		return;
	}
	memcpy(f->audit_id, own, sizeof(own));
}

void front_begin(void *arg, struct ohttp_req *req)
{
	struct ashard *sh = arg;
	struct front *f = OMEM_NEW(struct front);
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_bytes path = ohttp_path(req);
	struct orlop_bytes pretty;
	int r;

	if (!f) {
		ohttp_abort(req);
		return;
	}
	f->sh = sh;
	f->req = req;
	olist_init(&f->link);
	oarena_init(&f->arena, 4u * 1024 * 1024);
	obuf_init(&f->body);
	f->began = sh->h->now_mono(sh->h);
	sh->n_fronts++;
	ohttp_on_close(req, on_close, f);
	make_ids(f);
	pretty = query_get(&f->arena, ohttp_query(req), "pretty");
	f->pretty = pretty.p ? !bytes_is(pretty, "false") && !bytes_is(pretty, "0")
			     : is_for_people(ohttp_header(req, "user-agent"));
	r = route_parse(sh->a->schema, &f->arena, path, &f->rt);
	if (r == 0 && f->rt.is_resource && !f->rt.res)
		resolve(f);
	accept_parse(ohttp_header(req, "accept"), bytes_is(path, "/api") || bytes_is(path, "/apis") ? ACCEPT_DISCOVERY :
		     f->rt.kind ? ACCEPT_CUSTOM :
		     f->rt.res && f->rt.res->verbs == OSCHEMA_V_CREATE ? ACCEPT_ANSWERS : ACCEPT_OBJECTS, &f->accept);
	if (r == 0 && f->rt.is_resource)
		choose_verb(f);
	if (r == 0)
		r = authn_request(f, &err);
	if (r == 0 && !err.err)
		flow_match(f);
	if (r == -EACCES || err.err)
		front_fail(f, &err);
	else if (r < 0)
		front_error(f, r == -ENOMEM ? 500 : 400, r == -ENOMEM ? "InternalError" : "BadRequest",
			    "the path of the request cannot be read");
	else if (remote_serve(f))
		;
	else if (f->rt.is_resource)
		serve_resource(f);
	else
		serve_path(f);
	orlop_error_done(&err);
}
