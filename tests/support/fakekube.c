/* fakekube.c - an API server for tests of controllers. See fakekube.h. */
#include "fakekube.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/api.h>
#include <orlop/inline/msg.h>

#include "base/omem.h"
#include "base/otime.h"
#include "fake.h"

struct fakekube {
	struct fakehost	*fh;
	struct olist	lines;
	fakekube_hook_fn hook;
	void		*hook_arg;
	void		(*shelter)(int inside);
	uint32_t	names;
	char		*text;
};

/* A request in hand. */
struct kreq {
	struct fakekube	*k;
	char		verb[32];
	char		res[128];
	char		ns[256];
	char		name[256];
	char		sub[64];
	bool		strategic;
	struct ojson	*body;
	uint32_t	code;
	uint64_t	rev;
	struct ojson	*out;
};

static struct ojson *object_get(struct fakekube *k, const char *res, const char *ns, const char *name)
{
	const char *members = fakehost_get(k->fh, res, ns, name);
	struct ojson *j = NULL;

	if (members && ojson_parse_members((struct orlop_bytes){ members, strlen(members) }, &j, NULL))
		fake_die("fakekube: cannot parse %s %s/%s", res, ns, name);
	return j;
}

static void object_put(struct kreq *q, const struct ojson *obj, uint32_t code)
{
	char *text = ojson_text(obj, 0, NULL);

	q->rev = fakehost_put(q->k->fh, q->res, q->ns, q->name, text);
	omem_free(text);
	q->code = code;
	q->out = object_get(q->k, q->res, q->ns, q->name);
}

static void refuse(struct kreq *q, uint32_t code, const char *reason)
{
	struct ojson *s = ojson_new_object();
	char text[700];

	snprintf(text, sizeof(text), "%s \"%s\": %s", q->res, q->name, reason);
	(void)ojson_set_cstr(s, "kind", "Status");
	(void)ojson_set_cstr(s, "reason", reason);
	(void)ojson_set_cstr(s, "message", text);
	(void)ojson_set_i64(s, "code", code);
	if (!strcmp(reason, "NamespaceTerminating")) {
		struct ojson *cause = ojson_new_object();

		(void)ojson_set_cstr(cause, "reason", reason);
		(void)ojson_append(ojson_ensure_array(ojson_ensure_object(s, "details"), "causes"), cause);
	}
	ojson_unref(q->out);
	q->out = s;
	q->code = code;
}

static struct ojson *meta(struct ojson *obj)
{
	return ojson_ensure_object(obj, "metadata");
}

/* ---- patches ------------------------------------------------------------------------------------------- */

static struct ojson *refs_merge(const struct ojson *have, const struct ojson *patch)
{
	struct ojson *out = ojson_new_array();

	OJSON_FOREACH_ELEM(i, h, have) {
		bool gone = false;

		OJSON_FOREACH_ELEM(j, p, patch)
			gone |= ojson_equal(ojson_get(h, "uid"), ojson_get(p, "uid"));
		if (!gone)
			(void)ojson_append(out, ojson_ref(h));
	}
	OJSON_FOREACH_ELEM(i, p, patch)
		if (!ojson_get(p, "$patch"))
			(void)ojson_append(out, ojson_ref(p));
	return out;
}

static void merge(struct ojson *obj, const struct ojson *patch, bool strategic)
{
	OJSON_FOREACH(it, patch) {
		struct ojson *copy = NULL;

		if (!it.value) {
			ojson_del(obj, it.key);
		} else if (strategic && !strcmp(it.key, "ownerReferences")) {
			(void)ojson_set(obj, it.key, refs_merge(ojson_get(obj, it.key), it.value));
		} else if (ojson_is(it.value, OJSON_OBJECT)) {
			merge(ojson_ensure_object(obj, it.key), it.value, strategic);
		} else {
			(void)ojson_copy(it.value, &copy);
			(void)ojson_put(obj, it.key, copy);
		}
	}
}

/* ---- writes ---------------------------------------------------------------------------------------------- */

/* Marked, and nothing holds it any more. */
static bool goes_now(const struct kreq *q, struct ojson *obj)
{
	if (!ojson_get(meta(obj), "deletionTimestamp") || ojson_count(ojson_get(meta(obj), "finalizers")))
		return false;
	if (!strcmp(q->res, "namespaces"))
		return !ojson_count(OJSON_AT(obj, "spec", "finalizers"));
	return ojson_get_i64(meta(obj), "deletionGracePeriodSeconds", 0) == 0;
}

static void object_store(struct kreq *q, const struct ojson *now, struct ojson *obj)
{
	if (ojson_equal(now, obj) && !goes_now(q, obj)) {	/* nothing changes: no new revision */
		q->code = 200;
		q->out = ojson_ref(obj);
		return;
	}
	if (goes_now(q, obj)) {
		q->rev = fakehost_delete(q->k->fh, q->res, q->ns, q->name);
		q->code = 200;
		q->out = ojson_ref(obj);
	} else {
		object_put(q, obj, 200);
	}
}

static bool has_member(const struct ojson *j, const char *key)
{
	return ojson_get(j, key) != NULL;
}

static void create(struct kreq *q)
{
	const struct ojson *m = ojson_get(q->body, "metadata");
	struct ojson *now;

	if (!strcmp(q->sub, "token")) {
		(void)ojson_set_cstr(ojson_ensure_object(q->body, "status"), "token", q->name);
		q->code = 201;
		q->out = ojson_ref(q->body);
		return;
	}
	if (!*q->name)
		snprintf(q->name, sizeof(q->name), "%s", ojson_get_cstr(m, "name", ""));
	if (!*q->name)
		snprintf(q->name, sizeof(q->name), "%.240s%05u", ojson_get_cstr(m, "generateName", ""),
			 ++q->k->names);
	now = object_get(q->k, q->res, q->ns, q->name);
	if (now) {
		refuse(q, 409, "AlreadyExists");
	} else {
		(void)ojson_set_i64(meta(q->body), "generation", 1);
		object_put(q, q->body, 201);
	}
	ojson_unref(now);
}

static void member_from(struct ojson *to, const char *key, const struct ojson *from)
{
	struct ojson *copy = NULL;

	(void)ojson_copy(ojson_get(from, key), &copy);
	if (copy)
		(void)ojson_set(to, key, copy);
	else
		ojson_del(to, key);
}

/* @want: the whole object as the client wants it. */
static void write(struct kreq *q, const struct ojson *now, struct ojson *want)
{
	const char *rv = ojson_get_cstr(ojson_get(want, "metadata"), "resourceVersion", "");
	const char *uid = ojson_get_cstr(ojson_get(want, "metadata"), "uid", "");
	struct ojson *obj = NULL;

	if ((*rv && !ojson_string_is(OJSON_AT(now, "metadata", "resourceVersion"), rv)) ||
	    (*uid && !ojson_string_is(OJSON_AT(now, "metadata", "uid"), uid))) {
		refuse(q, 409, "Conflict");
		return;
	}
	if (!strcmp(q->sub, "status")) {
		(void)ojson_copy(now, &obj);
		member_from(obj, "status", want);
		if (has_member(ojson_get(want, "metadata"), "annotations"))
			member_from(meta(obj), "annotations", ojson_get(want, "metadata"));
	} else if (!strcmp(q->sub, "finalize")) {
		(void)ojson_copy(now, &obj);
		member_from(ojson_ensure_object(obj, "spec"), "finalizers", ojson_get(want, "spec"));
	} else {
		(void)ojson_copy(want, &obj);
		member_from(obj, "status", now);
		member_from(meta(obj), "uid", ojson_get(now, "metadata"));
		member_from(meta(obj), "creationTimestamp", ojson_get(now, "metadata"));
		if (!ojson_equal(ojson_get(obj, "spec"), ojson_get(now, "spec")))
			(void)ojson_set_i64(meta(obj), "generation",
					    ojson_get_i64(ojson_get(now, "metadata"), "generation", 1) + 1);
	}
	object_store(q, now, obj);
	ojson_unref(obj);
}

static void patch(struct kreq *q, const struct ojson *now)
{
	struct ojson *want = NULL;

	(void)ojson_copy(now, &want);
	merge(want, q->body, q->strategic);
	write(q, now, want);
	ojson_unref(want);
}

/* ---- deletion ---------------------------------------------------------------------------------------------- */

static bool precondition_fails(const struct kreq *q, const struct ojson *now, const char *key)
{
	const char *want = ojson_get_cstr(ojson_get(q->body, "preconditions"), key, "");

	return *want && !ojson_string_is(ojson_get(ojson_get(now, "metadata"), key), want);
}

static void finalizer_set(struct ojson *obj, const char *name, bool on)
{
	struct ojson *list = ojson_ensure_array(meta(obj), "finalizers");
	size_t i;

	for (i = 0; i < ojson_count(list); i++)
		if (ojson_string_is(ojson_index(list, i), name)) {
			if (!on)
				(void)ojson_remove(list, i);
			return;
		}
	if (on)
		(void)ojson_append_cstr(list, name);
}

static void delete(struct kreq *q, const struct ojson *now)
{
	const char *policy = ojson_get_cstr(q->body, "propagationPolicy", "");
	bool bound = !strcmp(q->res, "pods") && OJSON_AT(now, "spec", "nodeName");
	int64_t grace = ojson_get_i64(q->body, "gracePeriodSeconds", bound ? 30 : 0);
	struct ojson *obj = NULL;
	char time[OTIME_BUF];

	if (precondition_fails(q, now, "uid") || precondition_fails(q, now, "resourceVersion")) {
		refuse(q, 409, "Conflict");
		return;
	}
	(void)ojson_copy(now, &obj);
	if (*policy && strcmp(q->res, "namespaces")) {
		finalizer_set(obj, "foregroundDeletion", !strcmp(policy, "Foreground"));
		finalizer_set(obj, "orphan", !strcmp(policy, "Orphan"));
	}
	if (!ojson_get(meta(obj), "deletionTimestamp")) {
		const struct orlop_host *h = fakehost_host(q->k->fh);

		otime_format((int64_t)h->now_wall(h), time);
		(void)ojson_set_cstr(meta(obj), "deletionTimestamp", time);
		(void)ojson_set_i64(meta(obj), "deletionGracePeriodSeconds", grace);
	} else if (grace < ojson_get_i64(meta(obj), "deletionGracePeriodSeconds", 0)) {
		(void)ojson_set_i64(meta(obj), "deletionGracePeriodSeconds", grace);
	}
	if (!strcmp(q->res, "namespaces"))
		(void)ojson_set_cstr(ojson_ensure_object(obj, "status"), "phase", "Terminating");
	object_store(q, now, obj);
	ojson_unref(obj);
}

static void delete_collection(struct kreq *q)
{
	const struct orlop_host *h = fakehost_host(q->k->fh);
	struct orlop_query query = { .size = sizeof(query), .has_ns = 1, .ns = { q->ns, strlen(q->ns) } };
	struct orlop_resource *res;
	struct orlop_snapshot *s;
	struct orlop_object *o;
	struct orlop_iter *it;

	if (h->resource_open(h, q->res, &res, NULL) || h->snapshot_open(res, &s) ||
	    h->iter_open(s, &query, &it))
		fake_die("fakekube: deletecollection of %s", q->res);
	while ((o = h->iter_next(it))) {
		struct kreq one = *q;
		struct ojson *now;

		snprintf(one.name, sizeof(one.name), "%.*s", (int)o->name.len, o->name.p);
		now = object_get(q->k, one.res, one.ns, one.name);
		one.out = NULL;
		delete(&one, now);
		ojson_unref(now);
		ojson_unref(one.out);
	}
	h->iter_close(it);
	h->snapshot_close(s);
	h->resource_close(res);
	q->code = 200;
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

static void note(struct kreq *q)
{
	struct fake_pair *line = fake_alloc(sizeof(*line));
	char *body = q->body ? ojson_text(q->body, 0, NULL) : NULL;

	line->name = fake_printf("%s %s%s%s %s/%s %s", q->verb, q->res, *q->sub ? "/" : "", q->sub, q->ns, q->name,
				 body ? body : "");
	omem_free(body);
	olist_append(&q->k->lines, &line->node);
}

static void run(struct kreq *q)
{
	struct fakekube_req r = { q->verb, q->res, q->ns, q->name, q->sub, q->body };
	const char *reason = "Forbidden";
	struct ojson *now;
	int code;

	note(q);
	code = q->k->hook ? q->k->hook(q->k->hook_arg, &r, &reason) : 0;
	if (code) {
		refuse(q, (uint32_t)code, reason);
		return;
	}
	if (!strcmp(q->verb, "create")) {
		create(q);
		return;
	}
	if (!strcmp(q->verb, "deletecollection")) {
		delete_collection(q);
		return;
	}
	now = object_get(q->k, q->res, q->ns, q->name);
	if (!now) {
		refuse(q, 404, "NotFound");
	} else if (!strcmp(q->verb, "get")) {
		q->code = 200;
		q->out = ojson_ref(now);
	} else if (!strcmp(q->verb, "update")) {
		write(q, now, q->body);
	} else if (!strcmp(q->verb, "patch")) {
		patch(q, now);
	} else if (!strcmp(q->verb, "delete")) {
		delete(q, now);
	} else {
		refuse(q, 405, "MethodNotAllowed");
	}
	ojson_unref(now);
}

static void copy(char *to, size_t size, struct orlop_bytes b)
{
	snprintf(to, size, "%.*s", (int)b.len, b.p ? b.p : "");
}

static void answer(struct fakekube *k, const struct orlop_req *req, struct orlop_call *call)
{
	const struct orlop_host *h = fakehost_host(k->fh);
	struct kreq q = { .k = k };
	struct orlop_bytes body = orlop_msg_bytes(h, &req->msg, ORLOP_API_T_BODY);
	struct orlop_bytes type = orlop_msg_bytes(h, &req->msg, ORLOP_API_T_CONTENT_TYPE);
	struct orlop_msgw w;
	struct orlop_msg m;
	char *text;

	copy(q.verb, sizeof(q.verb), orlop_msg_bytes(h, &req->msg, ORLOP_API_T_VERB));
	copy(q.res, sizeof(q.res), orlop_msg_bytes(h, &req->msg, ORLOP_API_T_RESOURCE));
	copy(q.ns, sizeof(q.ns), orlop_msg_bytes(h, &req->msg, ORLOP_API_T_NAMESPACE));
	copy(q.name, sizeof(q.name), orlop_msg_bytes(h, &req->msg, ORLOP_API_T_NAME));
	copy(q.sub, sizeof(q.sub), orlop_msg_bytes(h, &req->msg, ORLOP_API_T_SUBRESOURCE));
	q.strategic = type.len && memmem(type.p, type.len, "strategic", 9);
	if (body.len && ojson_parse(body.p, body.len, &q.body, NULL))
		fake_die("fakekube: %s %s: the body is no JSON", q.verb, q.res);
	run(&q);
	text = ojson_text(q.out, 0, NULL);
	orlop_msgw_init(&w, h);
	orlop_msgw_u64(&w, ORLOP_API_T_CODE, q.code);
	orlop_msgw_u64(&w, ORLOP_API_T_REV, q.rev);
	orlop_msgw_bytes(&w, ORLOP_API_T_BODY, text, strlen(text));
	m = orlop_msgw_msg(&w);
	fakehost_reply(call, w.err, w.err ? NULL : &m);
	orlop_msgw_done(&w);
	omem_free(text);
	ojson_unref(q.out);
	ojson_unref(q.body);
}

static void serve(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	struct fakekube *k = arg;

	if (k->shelter)
		k->shelter(1);
	answer(k, req, call);
	if (k->shelter)
		k->shelter(0);
}

/* ---- for the test ----------------------------------------------------------------------------------------------- */

struct fakekube *fakekube_new(struct fakehost *fh)
{
	struct fakekube *k = fake_alloc(sizeof(*k));

	k->fh = fh;
	olist_init(&k->lines);
	fakehost_serve(fh, "api", serve, k);
	return k;
}

void fakekube_forget(struct fakekube *k)
{
	struct olist *at;

	while ((at = olist_shift(&k->lines))) {
		struct fake_pair *p = OLIST_ENTRY(at, struct fake_pair, node);

		free(p->name);
		free(p);
	}
}

void fakekube_free(struct fakekube *k)
{
	fakehost_serve(k->fh, "api", NULL, NULL);
	fakekube_forget(k);
	free(k->text);
	free(k);
}

void fakekube_hook(struct fakekube *k, fakekube_hook_fn fn, void *arg)
{
	k->hook = fn;
	k->hook_arg = arg;
}

void fakekube_shelter(struct fakekube *k, void (*fn)(int inside))
{
	k->shelter = fn;
}

uint32_t fakekube_count(const struct fakekube *k, const char *text)
{
	uint32_t n = 0;

	OLIST_FOREACH(at, &k->lines)
		n += strstr(OLIST_ENTRY(at, struct fake_pair, node)->name, text) != NULL;
	return n;
}

void fakekube_show(const struct fakekube *k)
{
	OLIST_FOREACH(at, &k->lines)
		printf("# %s\n", OLIST_ENTRY(at, struct fake_pair, node)->name);
}

struct ojson *fakekube_get(struct fakekube *k, const char *resource, const char *ns, const char *name)
{
	return object_get(k, resource, ns, name);
}

const char *fakekube_at(struct fakekube *k, const char *resource, const char *ns, const char *name,
			const char *path)
{
	struct ojson *obj = object_get(k, resource, ns, name);
	struct ojson *v = ojson_at_dotted(obj, path);
	char *text = v ? ojson_text(v, 0, NULL) : NULL;

	free(k->text);
	k->text = fake_strdup(ojson_is(v, OJSON_STRING) ? ojson_cstr(v, "") : text ? text : "");
	omem_free(text);
	ojson_unref(obj);
	return k->text;
}

uint32_t fakekube_do(struct fakekube *k, const char *verb, const char *resource, const char *ns,
		     const char *name, const char *json)
{
	struct kreq q = { .k = k };
	char *slash;

	snprintf(q.verb, sizeof(q.verb), "%s", verb);
	snprintf(q.res, sizeof(q.res), "%s", resource);
	slash = strchr(q.res, '/');
	if (slash) {
		*slash = '\0';
		snprintf(q.sub, sizeof(q.sub), "%s", slash + 1);
	}
	snprintf(q.ns, sizeof(q.ns), "%s", ns);
	snprintf(q.name, sizeof(q.name), "%s", name);
	if (json && ojson_parse(json, strlen(json), &q.body, NULL))
		fake_die("fakekube: the test's body is no JSON: %s", json);
	run(&q);
	ojson_unref(q.out);
	ojson_unref(q.body);
	return q.code;
}
