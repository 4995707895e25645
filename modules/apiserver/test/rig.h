/*
 * rig.h - the engine under test: a fake host, a storage of a few lines, requests as one line of text.
 *
 *	struct rig *r = rig_new();
 *	rig_do(r, "create configmaps default", "", "{…}");
 *	ok(r->code == 201, …); strstr(r->body, …)
 *
 * Included once by each test program.
 */
#ifndef TEST_RIG_H
#define TEST_RIG_H

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/storage.h>

#include "apischema/apischema.h"
#include "base/obuf.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "fakehost.h"
#include "json/ojson.h"
#include "registry/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RIG_UNUSED __attribute__((unused))

/* Every version of every key, oldest first. */
struct rig_version {
	uint64_t	rev;
	char		*key;
	size_t		key_len;
	char		*value;		/* NULL: deleted */
	size_t		value_len;
};

struct rig {
	struct fakehost	*fh;
	struct registry	*rg;
	struct reg_shard *sh;
	struct rig_version *v;
	size_t		n;
	size_t		cap;
	uint64_t	oldest;		/* revisions below are compacted */
	uint32_t	txns;
	/* called before the next transaction: somebody else writes first */
	void		(*race)(struct rig *r);
	int		fail_txn;	/* errno of the next transaction */
	int		lag;		/* lazy transactions reach the cache 50 ms late */
	int		lagging;
	struct orlop_timer *lag_timer;
	/* last answer */
	uint32_t	code;
	uint64_t	rev;
	char		*body;
	char		warnings[2048];
	struct reg_watch *watch;
	int		answered;
	bool		proto;		/* the request under way wants protobuf */
};

/* ---- storage ---- */

static const struct rig_version *rig_at(const struct rig *r, struct orlop_bytes key, uint64_t rev)
{
	for (size_t i = r->n; i-- > 0;)
		if (r->v[i].rev <= rev && ostr_eq(r->v[i].key, r->v[i].key_len, key.p, key.len))
			return &r->v[i];
	return NULL;
}

static void rig_keep(struct rig *r, struct orlop_bytes key, struct orlop_bytes value, uint64_t rev)
{
	struct rig_version *v;

	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 64;
		r->v = realloc(r->v, r->cap * sizeof(*r->v));
	}
	v = &r->v[r->n++];
	v->rev = rev;
	v->key = omem_strndup(key.p, key.len);
	v->key_len = key.len;
	v->value = value.p ? omem_strndup(value.p, value.len) : NULL;
	v->value_len = value.len;
}

static void rig_item(struct obuf *b, const struct rig_version *v)
{
	struct orlop_storage_item it = {
		.mod_rev = v->rev, .create_rev = v->rev, .key_len = (uint32_t)v->key_len,
		.value_len = (uint32_t)v->value_len,
	};

	obuf_append(b, &it, sizeof(it));
	obuf_append(b, v->key, v->key_len);
	obuf_append(b, v->value, v->value_len);
	while (b->len % 8)
		obuf_putc(b, '\0');
}

static void rig_caught_up(void *arg)
{
	struct rig *r = arg;

	fakehost_batch_end(r->fh);
	r->lagging = 0;
}

static void rig_fall_behind(struct rig *r)
{
	const struct orlop_host *h = fakehost_host(r->fh);

	if (!r->lag_timer && h->timer_new(h, rig_caught_up, r, &r->lag_timer))
		abort();
	fakehost_batch_begin(r->fh);
	r->lagging = 1;
	h->timer_set(r->lag_timer, 50 * FAKEHOST_MS, 0);
}

static void rig_txn(struct rig *r, const struct orlop_req *req, struct orlop_call *call)
{
	const struct orlop_host *h = fakehost_host(r->fh);
	struct orlop_msgr m;
	struct orlop_msgw w;
	struct orlop_msg out;
	uint32_t n = 0;
	uint64_t rev = 0, flags = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_FLAGS, 0);
	struct obuf items = OBUF_INIT;
	struct orlop_bytes fed = { NULL, 0 }, fed_value = { NULL, 0 };

	if (r->race) {
		void (*race)(struct rig *) = r->race;

		r->race = NULL;
		race(r);
	}
	r->txns++;
	if (r->fail_txn) {
		fakehost_reply_error(call, r->fail_txn, 0, "", "the disk is gone");
		r->fail_txn = 0;
		return;
	}
	orlop_msgw_init(&w, h);
	orlop_msgr_init(&m, h, &req->msg, req->msg.body);
	while (orlop_msgr_next(&m)) {
		struct orlop_msg part = { .size = sizeof(part), .body = m.bytes, .blobs = req->msg.blobs,
					  .n_blobs = req->msg.n_blobs };
		struct orlop_bytes key;
		const struct rig_version *v;

		if (m.tag != ORLOP_STORAGE_T_COMPARE)
			continue;
		key = orlop_msg_bytes(h, &part, ORLOP_STORAGE_T_KEY);
		v = rig_at(r, key, UINT64_MAX);
		if ((v && v->value ? v->rev : 0) != orlop_msg_u64(&part, ORLOP_STORAGE_T_MOD_REV, 0)) {
			orlop_msgw_u64(&w, ORLOP_STORAGE_T_OK, 0);
			orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, fakehost_rev(r->fh));
			orlop_msgw_u64(&w, ORLOP_STORAGE_T_FAILED, n);
			if (v && v->value) {
				rig_item(&items, v);
				orlop_msgw_bytes(&w, ORLOP_STORAGE_T_ITEMS, items.data, items.len);
			}
			goto out;
		}
		n++;
	}
	/* the key that is fed first: it makes the revision */
	orlop_msgr_init(&m, h, &req->msg, req->msg.body);
	while (orlop_msgr_next(&m)) {
		struct orlop_msg part = { .size = sizeof(part), .body = m.bytes, .blobs = req->msg.blobs,
					  .n_blobs = req->msg.n_blobs };
		struct orlop_bytes key;

		if (m.tag != ORLOP_STORAGE_T_OP)
			continue;
		key = orlop_msg_bytes(h, &part, ORLOP_STORAGE_T_KEY);
		if (key.len && key.p[0] != '!') {
			fed = key;
			fed_value = orlop_msg_bytes(h, &part, ORLOP_STORAGE_T_VALUE);
		}
	}
	if ((flags & ORLOP_TXN_LAZY) && r->lag && !r->lagging)
		rig_fall_behind(r);
	rev = fed.p ? fakehost_put_record(r->fh, fed, fed_value) : fakehost_rev(r->fh);
	orlop_msgr_init(&m, h, &req->msg, req->msg.body);
	while (orlop_msgr_next(&m)) {
		struct orlop_msg part = { .size = sizeof(part), .body = m.bytes, .blobs = req->msg.blobs,
					  .n_blobs = req->msg.n_blobs };

		if (m.tag == ORLOP_STORAGE_T_OP)
			rig_keep(r, orlop_msg_bytes(h, &part, ORLOP_STORAGE_T_KEY),
				 orlop_msg_bytes(h, &part, ORLOP_STORAGE_T_VALUE), rev);
	}
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_OK, 1);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, rev);
out:
	out = orlop_msgw_msg(&w);
	fakehost_reply(call, 0, &out);
	orlop_msgw_done(&w);
	obuf_done(&items);
}

static int rig_key_cmp(const void *a, const void *b)
{
	const struct rig_version *const *x = a, *const *y = b;

	return ostr_cmp((*x)->key, (*x)->key_len, (*y)->key, (*y)->key_len);
}

static void rig_range(struct rig *r, const struct orlop_req *req, struct orlop_call *call)
{
	const struct orlop_host *h = fakehost_host(r->fh);
	struct orlop_bytes start = orlop_msg_bytes(h, &req->msg, ORLOP_STORAGE_T_START);
	struct orlop_bytes end = orlop_msg_bytes(h, &req->msg, ORLOP_STORAGE_T_END);
	uint64_t rev = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_REV, 0);
	uint64_t limit = orlop_msg_u64(&req->msg, ORLOP_STORAGE_T_LIMIT, 0);
	const struct rig_version **v = calloc(r->n + 1, sizeof(*v));
	struct obuf items = OBUF_INIT;
	struct orlop_msgw w;
	struct orlop_msg out;
	size_t n = 0, sent = 0;

	if (rev && rev < r->oldest) {
		fakehost_reply_error(call, ESTALE, 410, "Expired", "compacted");
		free(v);
		return;
	}
	if (rev > fakehost_rev(r->fh)) {
		fakehost_reply_error(call, EOVERFLOW, 0, "", "future");
		free(v);
		return;
	}
	if (!rev)
		rev = fakehost_rev(r->fh);
	for (size_t i = 0; i < r->n; i++) {
		struct orlop_bytes key = { r->v[i].key, r->v[i].key_len };

		if (rig_at(r, key, rev) != &r->v[i] || !r->v[i].value)
			continue;
		if (end.p ? ostr_cmp(key.p, key.len, start.p, start.len) < 0 ||
			    (end.len && ostr_cmp(key.p, key.len, end.p, end.len) >= 0)
			  : !ostr_eq(key.p, key.len, start.p, start.len))
			continue;
		v[n++] = &r->v[i];
	}
	qsort(v, n, sizeof(*v), rig_key_cmp);
	for (; sent < n && (!limit || sent < limit) && sent < 3; sent++)	/* small answers: MORE is used */
		rig_item(&items, v[sent]);
	orlop_msgw_init(&w, h);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, rev);
	orlop_msgw_bytes(&w, ORLOP_STORAGE_T_ITEMS, items.data ? items.data : "", items.len);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_MORE, sent < n);
	out = orlop_msgw_msg(&w);
	fakehost_reply(call, 0, &out);
	orlop_msgw_done(&w);
	obuf_done(&items);
	free(v);
}

/* What is not the engine's own memory must not fail. */
#ifdef OTAP_FAULTS
#define RIG_FAULTS_OFF long rig_faults = otap_fault_at; otap_fault_at = 0
#define RIG_FAULTS_ON otap_fault_at = rig_faults
#else
#define RIG_FAULTS_OFF (void)0
#define RIG_FAULTS_ON (void)0
#endif

static void rig_serve(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	struct rig *r = arg;

	RIG_FAULTS_OFF;
	if (req->op == ORLOP_STORAGE_TXN)
		rig_txn(r, req, call);
	else if (req->op == ORLOP_STORAGE_RANGE)
		rig_range(r, req, call);
	else
		fakehost_reply_error(call, ENOTSUP, 0, "", "not in this storage");
	RIG_FAULTS_ON;
}

/* ---- requests ---- */

static void rig_answered(void *arg, struct reg_answer *a)
{
	struct rig *r = arg;
	struct obuf b = OBUF_INIT;

	bool lost = a && r->proto && reg_answer_proto(a) < 0;

	RIG_FAULTS_OFF;
	r->answered = 1;
	r->code = lost ? 500 : a ? a->code : 0;
	r->rev = a ? a->rev : 0;
	r->warnings[0] = '\0';
	for (uint32_t i = 0; a && i < a->n_pieces; i++)
		obuf_append(&b, a->pieces[i].p, a->pieces[i].len);
	for (uint32_t i = 0; a && i < a->n_warnings; i++)
		snprintf(r->warnings + strlen(r->warnings), sizeof(r->warnings) - strlen(r->warnings), "%s\n",
			 a->warnings[i]);
	if (a && b.len != a->len)
		r->code = 9999;		/* the sum is wrong */
	free(r->body);
	r->body = obuf_steal(&b, NULL);
	obuf_done(&b);
	if (a && a->watch) {
		r->watch = a->watch;
		a->watch = NULL;
	}
	reg_answer_free(a);
	RIG_FAULTS_ON;
}

static int rig_is_answered(void *arg)
{
	return ((struct rig *)arg)->answered;
}

static struct orlop_bytes rig_text(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

/*
 * @what: "VERB RESOURCE[.GROUP][@VERSION] [NAMESPACE|-] [NAME|-] [SUB]"; verbs as in the API, plus
 * json-patch, merge-patch, strategic-patch; "table:" or "meta:" before the verb asks for that form,
 * "proto:" before that for protobuf.
 */
static void rig_request(struct rig *r, const char *what, const char *query, const char *body,
			const struct orlop_identity *who)
{
	static const char *const verbs[] = { "", "get", "list", "watch", "create", "update", "patch",
					     "delete", "deletecollection" };
	char verb[64] = "", res[128] = "", ns[300] = "", name[300] = "", sub[64] = "", *v = verb, *at;
	struct reg_req rq = { .who = who };

	sscanf(what, "%63s %127s %299s %299s %63s", verb, res, ns, name, sub);
	r->proto = rq.proto = !strncmp(v, "proto:", 6);
	if (rq.proto)
		v += 6;
	if (!strncmp(v, "table:", 6)) {
		rq.form = REG_FORM_TABLE;
		v += 6;
	} else if (!strncmp(v, "meta:", 5)) {
		rq.form = REG_FORM_META;
		v += 5;
	}
	if (!strcmp(v, "json-patch"))
		rq.patch = REG_PATCH_JSON;
	else if (!strcmp(v, "merge-patch"))
		rq.patch = REG_PATCH_MERGE;
	else if (!strcmp(v, "strategic-patch"))
		rq.patch = REG_PATCH_STRATEGIC;
	if (rq.patch)
		rq.verb = REG_PATCH;
	for (size_t i = 1; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (!strcmp(v, verbs[i]))
			rq.verb = (enum reg_verb)i;
	at = strchr(res, '@');
	if (at)
		*at++ = '\0';
	rq.res = reg_resource(r->rg, rig_text(res), rig_text(at ? at : ""));
	if (!rq.res || !rq.verb) {
		printf("Bail out! no such request: %s\n", what);
		exit(1);
	}
	rq.ns = rig_text(strcmp(ns, "-") ? ns : "");
	rq.name = rig_text(strcmp(name, "-") ? name : "");
	rq.sub = rig_text(sub);
	rq.query = rig_text(query ? query : "");
	rq.body = rig_text(body ? body : "");
	rq.user_agent = rig_text("kubectl/v1.36.0 (linux/amd64)");
	r->answered = 0;
	reg_call(r->sh, &rq, rig_answered, r);
	if (!fakehost_run_until(r->fh, rig_is_answered, r, 30 * FAKEHOST_S)) {
		printf("Bail out! not answered: %s\n", what);
		exit(1);
	}
}

static const struct orlop_bytes rig_groups[] = { { "system:masters", 14 }, { "system:authenticated", 20 } };
static const struct orlop_identity rig_admin = {
	.size = sizeof(rig_admin), .n_groups = 2, .user = { "admin", 5 }, .groups = rig_groups,
};

static RIG_UNUSED uint32_t rig_do(struct rig *r, const char *what, const char *query, const char *body)
{
	rig_request(r, what, query, body, &rig_admin);
	return r->code;
}

/* A member of the last answer by dotted path, as text; NULL: absent. Valid until the next call. */
static RIG_UNUSED const char *rig_at_path(struct rig *r, const char *path)
{
	static char buf[4096];
	struct ojson *j = NULL, *v;
	char *t;

	if (!r->body || ojson_parse(r->body, strlen(r->body), &j, NULL))
		return "(not JSON)";
	v = ojson_at_dotted(j, path);
	if (!v) {
		ojson_unref(j);
		return NULL;
	}
	t = ojson_text(v, 0, NULL);
	snprintf(buf, sizeof(buf), "%s", ojson_is(v, OJSON_STRING) ? ojson_cstr(v, "") : t);
	omem_free(t);
	ojson_unref(j);
	return buf;
}

/* ---- life ---- */

static struct rig *rig_new_with(const struct reg_config *over)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct reg_config cfg = { .schema = &oschema_builtin, .advertise_addr = "192.0.2.1",
				  .advertise_port = 6443 };
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (over) {
		cfg = *over;
		cfg.schema = &oschema_builtin;
	}
	r->fh = fakehost_new();
	fakehost_serve(r->fh, "storage", rig_serve, r);
	if (registry_new(&cfg, &r->rg, &err) || registry_register(r->rg, fakehost_host(r->fh), &err) ||
	    reg_shard_new(r->rg, fakehost_host(r->fh), &r->sh, &err)) {
		printf("Bail out! %s\n", err.msg);
		exit(1);
	}
	return r;
}

static RIG_UNUSED struct rig *rig_new(void)
{
	return rig_new_with(NULL);
}

static void rig_booted(void *arg, int32_t status, const char *what)
{
	struct rig *r = arg;

	r->answered = 1;
	r->code = (uint32_t)-status;
	if (status)
		printf("# bootstrap: %s\n", what);
}

static RIG_UNUSED int rig_boot(struct rig *r)
{
	r->answered = 0;
	reg_bootstrap(r->sh, rig_booted, r);
	return fakehost_run_until(r->fh, rig_is_answered, r, 30 * FAKEHOST_S) ? -(int)r->code : -1;
}

static RIG_UNUSED void rig_free(struct rig *r)
{
	reg_watch_free(r->watch);
	reg_shard_free(r->sh);
	registry_free(r->rg);
	if (r->lag_timer)
		fakehost_host(r->fh)->timer_free(r->lag_timer);
	fakehost_free(r->fh);
	for (size_t i = 0; i < r->n; i++) {
		omem_free(r->v[i].key);
		omem_free(r->v[i].value);
	}
	free(r->v);
	omem_free(r->body);
	free(r);
}

#endif
