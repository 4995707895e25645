/*
 * remote-docs.c - OpenAPI of aggregated servers: where their document of v3 is, which is theirs to give (http/remote.c), and what
 * of their v2 goes into ours: the paths of their group version, and the definitions that these need.
 *
 * Source: upstream's kube-aggregator, pkg/controllers/openapi and openapiv3, and kube-openapi's aggregator, behaviour only;
 * test: tests/api/aggregator.py
 */
#include "remote-docs.h"
#include "op.h"

#include "base/ocleanup.h"
#include "base/ohash.h"
#include "json/ojson.h"
#include "json/oscan.h"

#include <errno.h>
#include <string.h>

#define ANSWER_NS	(UINT64_C(10) * 1000000000)
#define ANSWER_MAX	(8u << 20)
#define KEPT_MAX	(3u << 20)	/* of v2, of one group version */
#define NAME_MAX_LEN	256u
#define PATH_MAX_LEN	1000u
#define REFS		"#/definitions/"
#define REFS_LEN	14u
#define PARAMS		"#/parameters/"
#define PARAMS_LEN	13u

struct remote_docs {
	struct reg_shard *sh;
	char		*group;
	char		*version;
	char		*v3;		/* its address in the index */
	char		*made;		/* that of what we make of its v2, if it knows nothing of v3 */
	bool		old;		/* it does not */
	char		*v2;		/* {"paths":{…},"definitions":{…},"info":{…}}, only what is ours to show */
	size_t		v2_len;
	char		*etags[2];	/* of what was last read: the index of v3, v2 */
	/* being asked */
	int		which;		/* 0: the index of v3; 1: v2 */
	struct ohttp_creq *creq;
	struct remote_client *client;
	struct obuf	body;
	char		*etag;
	uint64_t	began;
	int		status;
};

struct remote_docs *remote_docs_new(struct reg_shard *sh, const char *group, const char *version)
{
	struct remote_docs *d = OMEM_NEW(struct remote_docs);

	if (!d)
		return NULL;
	d->sh = sh;
	obuf_init(&d->body);
	d->group = omem_strdup(group);
	d->version = omem_strdup(version);
	if (d->group && d->version)
		return d;
	remote_docs_free(d);
	return NULL;
}

static void asked_end(struct remote_docs *d)
{
	d->creq = NULL;
	reg_remote_release(d->client);
	d->client = NULL;
	obuf_done(&d->body);
	obuf_init(&d->body);
	omem_free(d->etag);
	d->etag = NULL;
}

void remote_docs_free(struct remote_docs *d)
{
	if (!d)
		return;
	ohttp_creq_cancel(d->creq);
	asked_end(d);
	omem_free(d->group);
	omem_free(d->version);
	omem_free(d->v3);
	omem_free(d->made);
	omem_free(d->v2);
	omem_free(d->etags[0]);
	omem_free(d->etags[1]);
	omem_free(d);
}

const char *remote_docs_v3(const struct remote_docs *d)
{
	return d->v3 ? d->v3 : d->made;
}

int remote_docs_make_v3(const struct remote_docs *d, struct obuf *out)
{
	return d->made && !d->v3 ? remote_v3_of((struct orlop_bytes){ d->v2, d->v2_len }, out) : -ENOENT;
}

/* ---- what of it is kept ------------------------------------------------------------------------------------------- */

/* The address of its document, if it is below /openapi/v3/ and plain: it stands in our index. 0 or -ENOMEM. */
static int keep_v3(struct remote_docs *d, const struct ojson *index)
{
	char key[600], want[640];
	const char *url;
	char *text;
	bool plain;

	snprintf(key, sizeof(key), "apis/%s/%s", d->group, d->version);
	snprintf(want, sizeof(want), "/openapi/v3/%s", key);
	url = ojson_get_cstr(ojson_get(ojson_get(index, "paths"), key), "serverRelativeURL", "");
	plain = !strncmp(url, want, strlen(want)) && (!url[strlen(want)] || url[strlen(want)] == '?') && strlen(url) < 1000;
	for (const char *p = url; *p; p++)
		plain = plain && *p > ' ' && *p < 0x7f && *p != '"' && *p != '\\';
	if (plain ? d->v3 && !strcmp(d->v3, url) : !d->v3)
		return 0;
	text = plain ? omem_strdup(url) : NULL;
	if (plain && !text)
		return -ENOMEM;
	omem_free(d->v3);
	d->v3 = text;
	d->sh->remote_generation++;
	return 0;
}

/* Names stand in protobuf as they are, and in JSON. */
static bool is_name(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f || strchr("\"\\/", p[i]))
			return false;
	return n > 0 && n < NAME_MAX_LEN;
}

/* So do paths. */
static bool is_path(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f || p[i] == '"' || p[i] == '\\')
			return false;
	return n < PATH_MAX_LEN;
}

/* The definition that @v, a value of "$ref", names; len 0: none. */
static struct orlop_bytes referred(const struct ojson *v)
{
	struct orlop_bytes t = ojson_bytes(v);

	if (!ojson_is(v, OJSON_STRING) || t.len <= REFS_LEN || memcmp(t.p, REFS, REFS_LEN) != 0)
		return RB0;
	return (struct orlop_bytes){ t.p + REFS_LEN, t.len - REFS_LEN };
}

/* Puts the definitions that @v names into @kept; what these name is still @todo. How deep text is nested bounds the parser. */
static int need(struct ojson *v, const struct ojson *all, struct ojson *kept, struct ojson *todo)
{
	int r = 0;

	if (ojson_is(v, OJSON_ARRAY))
		OJSON_FOREACH_ELEM(i, e, v)
			if (r == 0)
				r = need(e, all, kept, todo);
	OJSON_FOREACH(it, ojson_is(v, OJSON_OBJECT) ? v : NULL) {
		struct orlop_bytes name = strcmp(it.key, "$ref") == 0 ? referred(it.value) : RB0;
		struct ojson *def = name.len ? ojson_get_n(all, name.p, name.len) : NULL;

		if (r == 0 && def && is_name(name.p, name.len) && !ojson_get_n(kept, name.p, name.len)) {
			r = ojson_put_n(kept, name.p, name.len, ojson_ref(def));
			if (r == 0)
				r = ojson_append(todo, ojson_ref(def));
		} else if (r == 0 && !name.len) {
			r = need(it.value, all, kept, todo);
		}
	}
	return r;
}

/* In the parameters of a path or of what is done there, what "#/parameters/…" names: one by one, since there is no such list in ours. */
static int put_parameters(struct ojson *at, const struct ojson *all)
{
	struct ojson *list = ojson_get_array(at, "parameters");
	int r = 0;

	OJSON_FOREACH_ELEM(i, p, list) {
		struct orlop_bytes t = ojson_get_bytes(p, "$ref");
		struct ojson *named = t.len > PARAMS_LEN && !memcmp(t.p, PARAMS, PARAMS_LEN) ?
				      ojson_get_n(all, t.p + PARAMS_LEN, t.len - PARAMS_LEN) : NULL;

		if (r == 0 && named)
			r = ojson_replace(list, i, ojson_ref(named));
	}
	return r;
}

/* The same for all of a path. */
static int put_parameters_of(struct ojson *path, const struct ojson *all)
{
	int r = put_parameters(path, all);

	OJSON_FOREACH(it, path)
		if (r == 0 && ojson_is(it.value, OJSON_OBJECT))
			r = put_parameters(it.value, all);
	return r;
}

/* Into @out what of @doc is the group version's. */
static int filter_v2(struct remote_docs *d, const struct ojson *doc, struct obuf *out)
{
	cleanup_ojson struct ojson *paths = ojson_new_object(), *kept = ojson_new_object(), *todo = ojson_new_array();
	const struct ojson *all = ojson_get_object(doc, "definitions"), *parameters = ojson_get_object(doc, "parameters");
	const struct ojson *info = ojson_get_object(doc, "info");
	char prefix[600];
	size_t n = (size_t)snprintf(prefix, sizeof(prefix), "/apis/%s/%s/", d->group, d->version);
	int r = paths && kept && todo ? 0 : -ENOMEM;

	OJSON_FOREACH(it, ojson_get_object(doc, "paths"))
		if (r == 0 && it.key_len >= n && !memcmp(it.key, prefix, n) && ojson_is(it.value, OJSON_OBJECT) &&
		    is_path(it.key, it.key_len)) {
			r = ojson_put_n(paths, it.key, it.key_len, ojson_ref(it.value));
			if (r == 0)
				r = put_parameters_of(it.value, parameters);
			if (r == 0)
				r = need(it.value, all, kept, todo);
		}
	for (size_t i = 0; r == 0 && i < ojson_count(todo); i++)
		r = need(ojson_index(todo, i), all, kept, todo);
	if (r)
		return r;
	obuf_puts(out, "{\"paths\":");
	r = ojson_write(paths, 0, out);
	obuf_puts(out, ",\"definitions\":");
	if (r == 0)
		r = ojson_write(kept, 0, out);
	if (r == 0 && info) {
		obuf_puts(out, ",\"info\":");
		r = ojson_write(info, 0, out);
	}
	obuf_puts(out, "}");
	return r ? r : obuf_err(out);
}

/* 0 or -ENOMEM: what was kept stays. */
static int keep_v2(struct remote_docs *d, const struct ojson *doc)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	size_t len = 0;
	char *text = NULL;
	int r = doc ? filter_v2(d, doc, &b) : 0;

	if (r == -ENOMEM)
		return r;
	if (doc && r == 0 && b.len <= KEPT_MAX) {
		text = obuf_steal(&b, &len);
		if (!text)
			return -ENOMEM;
	}
	if (text ? d->v2 && d->v2_len == len && !memcmp(d->v2, text, len) : !d->v2) {
		omem_free(text);
		return 0;
	}
	omem_free(d->v2);
	d->v2 = text;
	d->v2_len = len;
	d->sh->remote_generation++;
	return 0;
}

/* Where what is made of its v2 is, as long as something is; its hash is that of v2. 0 or -ENOMEM. */
static int keep_made(struct remote_docs *d)
{
	char url[700];
	bool makes = d->old && d->v2;
	char *text;

	snprintf(url, sizeof(url), "/openapi/v3/apis/%s/%s?hash=%016llX", d->group, d->version,
		 makes ? (unsigned long long)ohash_fnv1a64(OHASH_FNV64_INIT, d->v2, d->v2_len) : 0);
	if (makes ? d->made && !strcmp(d->made, url) : !d->made)
		return 0;
	text = makes ? omem_strdup(url) : NULL;
	if (makes && !text)
		return -ENOMEM;
	omem_free(d->made);
	d->made = text;
	d->sh->remote_generation++;
	return 0;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static void ask(struct remote_docs *d);

static void on_head(void *arg, struct ohttp_creq *q, const struct ohttp_response *res)
{
	struct orlop_bytes etag = ohttp_response_header(res, "etag");
	struct remote_docs *d = arg;

	(void)q;
	d->status = res->status;
	if (etag.len && etag.len < 200)
		d->etag = omem_strndup(etag.p, etag.len);
}

static void on_data(void *arg, struct ohttp_creq *q, const char *p, size_t len)
{
	struct remote_docs *d = arg;

	(void)q;
	if (d->body.len + len > ANSWER_MAX)
		d->status = 413;
	else
		obuf_append(&d->body, p, len);
}

/* What a server that is not there had stays as it was; one that has no document has none. */
static void on_end(void *arg, struct ohttp_creq *q, int err, const char *why)
{
	cleanup_ojson struct ojson *doc = NULL;
	struct remote_docs *d = arg;
	int which = d->which, r;

	(void)q;
	(void)why;
	if (!err && (d->status == 200 || (d->status >= 400 && d->status < 500))) {
		if (d->status == 200 &&
		    (obuf_err(&d->body) || ojson_parse(d->body.data ? d->body.data : "", d->body.len, &doc, NULL)))
			doc = NULL;
		r = which ? keep_v2(d, doc) : keep_v3(d, doc);
		if (!which)
			d->old = d->status == 404;
		if (r == 0)
			r = keep_made(d);
		/* without memory it is asked for again, as it is now */
		omem_free(d->etags[which]);
		d->etags[which] = r == 0 && doc ? TAKE(d->etag) : NULL;
	}
	asked_end(d);
	if (which == 0 && !err) {
		d->which = 1;
		ask(d);
	}
}

static const struct ohttp_client_ops ops = { .head = on_head, .data = on_data, .end = on_end };

static void ask(struct remote_docs *d)
{
	static const char *const targets[] = { "/openapi/v3", "/openapi/v2" };
	struct ohttp_header hdr[5] = {
		{ { "Accept", 6 }, { "application/json", 16 } },
		{ { "User-Agent", 10 }, { "kube-aggregator", 15 } },
		{ { "X-Remote-User", 13 }, { "system:aggregator", 17 } },
	};
	struct ohttp_client_request q = { .method = "GET", .target = targets[d->which], .headers = hdr, .n_headers = 3, .timeout_ns = ANSWER_NS };
	struct reg_remote to = { .addr = NULL };
	struct oarena mem;
	const char *why;

	oarena_init(&mem, 0);
	if (reg_remote_find(d->sh, RB(d->group), RB(d->version), &mem, &to, &why) == 1) {
		if (d->etags[d->which])
			hdr[q.n_headers++] = ohttp_header_cstr("If-None-Match", d->etags[d->which]);
		q.addr = to.addr;
		q.tls_name = q.host = to.name;
		d->client = to.client;
		d->status = 0;
		d->began = d->sh->h->now_mono(d->sh->h);
		if (ohttp_client_send(to.http, &q, &ops, d, &d->creq) < 0)
			asked_end(d);
	}
	oarena_done(&mem);
}

void remote_docs_ask(struct remote_docs *d)
{
	/* the time of a request ends with the head of its answer */
	if (d->creq && d->sh->h->now_mono(d->sh->h) - d->began > 2 * ANSWER_NS) {
		ohttp_creq_cancel(d->creq);
		asked_end(d);
	}
	if (d->creq)
		return;
	d->which = 0;
	ask(d);
}

/* ---- into our document -------------------------------------------------------------------------------------------- */

/* Definitions that are in our document already. */
struct taken {
	const struct ojson *ours;	/* by their names, or NULL */
	const struct remote_names *theirs;	/* of other servers, or NULL */
};

/* Is there a definition of that name already, and is it the same? @text: @v, written. */
static bool is_taken(const struct taken *t, const char *name, const struct ojson *v, struct orlop_bytes text, bool *ret_same)
{
	const struct ojson *our = t->ours ? ojson_get(t->ours, name) : NULL;
	size_t at = !our && t->theirs ? (size_t)(uintptr_t)omap_get_cstr(&t->theirs->at, name) : 0;

	if (our)
		*ret_same = ojson_equal(our, v);
	else if (at)
		*ret_same = t->theirs->text.len - at >= text.len && !memcmp(t->theirs->text.data + at, text.p, text.len);
	return our || at;
}

/*
 * Names for those whose names are taken by others: into @names, by what they are called now (@as, or as they stand). What is there
 * already as it is goes into @same.
 */
static int choose_names(const struct ojson *defs, const struct ojson *as, const struct taken *t, struct ojson *names, struct ojson *same)
{
	int r = 0;

	OJSON_FOREACH(it, defs) {
		const char *is = ojson_get_cstr(as, it.key, it.key);
		cleanup_obuf struct obuf text = OBUF_INIT;
		bool equal = false, taken = true;
		char name[NAME_MAX_LEN + 16];

		if (r == 0)
			r = ojson_write(it.value, 0, &text);
		for (unsigned int i = 1; r == 0 && i < 100 && taken && !equal; i++) {
			snprintf(name, sizeof(name), i == 1 ? "%s" : "%s_v%u", is, i);
			taken = is_taken(t, name, it.value, (struct orlop_bytes){ obuf_cstr(&text), text.len }, &equal) ||
				(i > 1 && ojson_has(defs, name));
		}
		if (r == 0 && strcmp(name, is) != 0)
			r = ojson_set_cstr(names, is, name);
		if (r == 0 && taken && equal)
			r = ojson_set_bool(same, it.key, true);
	}
	return r;
}

/* In @v, what is in @names is called as it says there. */
static int rename_refs(struct ojson *v, const struct ojson *names)
{
	int r = 0;

	if (ojson_is(v, OJSON_ARRAY))
		OJSON_FOREACH_ELEM(i, e, v)
			if (r == 0)
				r = rename_refs(e, names);
	OJSON_FOREACH(it, ojson_is(v, OJSON_OBJECT) ? v : NULL) {
		struct orlop_bytes name = strcmp(it.key, "$ref") == 0 ? referred(it.value) : RB0;
		const struct ojson *to = name.len ? ojson_get_n(names, name.p, name.len) : NULL;
		char text[NAME_MAX_LEN + 40];

		if (r == 0 && !name.len)
			r = rename_refs(it.value, names);
		if (r || !to)
			continue;
		snprintf(text, sizeof(text), REFS "%s", ojson_cstr(to, ""));
		r = ojson_set_cstr(v, "$ref", text);
		break;		/* a reference has nothing beside it */
	}
	return r;
}

static int put_member(struct obuf *out, const char *key, const struct ojson *v)
{
	if (out->len)
		obuf_putc(out, ',');
	obuf_printf(out, "\"%s\":", key);
	return ojson_write(v, 0, out);
}

static int put_definition(struct remote_names *to, const char *name, const struct ojson *v)
{
	/* behind the name, its quotes and the colon; a comma if it is not the first */
	size_t at = to->text.len + (to->text.len > 0) + strlen(name) + 3;
	int r = put_member(&to->text, name, v);

	return r ? r : omap_put_cstr(&to->at, name, (void *)(uintptr_t)at);
}

/* Those of @defs that @ours has, too: the rest of a large document is not made a tree. */
static int ours_of(const struct ojson *defs, struct orlop_bytes document, struct ojson *ours)
{
	struct orlop_bytes map;
	struct oscan_iter it;
	int r = 0;

	if (!oscan_get(document, "definitions", &map))
		return 0;
	for (oscan_begin(&it, map); r == 0 && oscan_next(&it) > 0;) {
		struct ojson *v = NULL;

		if (it.key.len < 2 || !ojson_get_n(defs, it.key.p + 1, it.key.len - 2))
			continue;
		r = ojson_parse_bytes(it.value, &v, NULL);
		if (r == 0)
			r = ojson_put_n(ours, it.key.p + 1, it.key.len - 2, v);
	}
	return r == -ENOMEM ? r : 0;
}

int remote_docs_v2(const struct remote_docs *d, struct orlop_bytes document, struct obuf *paths, struct remote_names *definitions)
{
	cleanup_ojson struct ojson *doc = NULL, *ours = ojson_new_object(), *same = ojson_new_object();
	cleanup_ojson struct ojson *first = ojson_new_object(), *second = ojson_new_object();
	const struct taken by_us = { .ours = ours }, by_them = { .theirs = definitions };
	struct ojson *defs;
	int r = ours && same && first && second ? 0 : -ENOMEM;

	if (!d->v2)
		return r;
	if (r == 0)
		r = ojson_parse(d->v2, d->v2_len, &doc, NULL);
	defs = ojson_get(doc, "definitions");
	/* beside ours; then, with those names, beside other servers', which may have renamed the same */
	if (r == 0)
		r = ours_of(defs, document, ours);
	if (r == 0)
		r = choose_names(defs, NULL, &by_us, first, same);
	if (r == 0)
		r = rename_refs(doc, first);
	if (r == 0)
		r = choose_names(defs, first, &by_them, second, same);
	if (r == 0)
		r = rename_refs(doc, second);
	OJSON_FOREACH(it, ojson_get(doc, "paths"))
		if (r == 0)
			r = put_member(paths, it.key, it.value);
	OJSON_FOREACH(it, defs) {
		const char *name = ojson_get_cstr(first, it.key, it.key);

		if (r == 0 && !ojson_has(same, it.key))
			r = put_definition(definitions, ojson_get_cstr(second, name, name), it.value);
	}
	return r;
}
