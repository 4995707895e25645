/*
 * What the server says about itself: discovery, OpenAPI, version, metrics, the keys of its tokens.
 *
 * Documents are made from the schema when they are first asked for, kept while they are in use, and
 * dropped by docs_drop() when nobody has asked for a while.
 */
#include "front.h"

#include "base/ocleanup.h"
#include "base/ohash.h"
#include "base/otime.h"
#include "schema/discovery.h"
#include "schema/openapi.h"

#include <errno.h>
#include <stdio.h>

struct doc {
	char		*p;
	size_t		len;
	uint32_t	refs;	/* the table's and those of answers on their way */
	char		etag[20];	/* of what it says, in quotes */
};

static void doc_unref(void *arg)
{
	struct doc *d = arg;

	if (--d->refs)
		return;
	omem_free(d->p);
	omem_free(d);
}

void docs_drop(struct ashard *sh)
{
	omap_done_with(&sh->docs, doc_unref);
	omap_init(&sh->docs);
}

static struct doc *doc_get(struct ashard *sh, const char *key)
{
	sh->docs_used = sh->h->now_mono(sh->h);
	return omap_get_cstr(&sh->docs, key);
}

/* Consumes the buffer. NULL without memory. */
static struct doc *doc_put(struct ashard *sh, const char *key, struct obuf *b)
{
	struct doc *d = OMEM_NEW(struct doc);
	void *old = NULL;

	if (d)
		d->p = obuf_steal(b, &d->len);
	if (!d || !d->p || omap_put(&sh->docs, key, strlen(key), d, &old) < 0) {
		if (d)
			omem_free(d->p);
		omem_free(d);
		obuf_done(b);
		return NULL;
	}
	if (old)
		doc_unref(old);
	d->refs = 1;
	snprintf(d->etag, sizeof(d->etag), "\"%016llX\"",
		 (unsigned long long)ohash_fnv1a64(OHASH_FNV64_INIT, d->p, d->len));
	return d;
}

static const char *in_a_year(struct front *f)
{
	const struct orlop_host *h = f->sh->h;
	char *buf = oarena_alloc(&f->arena, OTIME_BUF);

	if (!buf)
		return "0";
	otime_format_http((int64_t)h->now_wall(h) + 365 * 86400 * INT64_C(1000000000), buf);
	return buf;
}

/* The same in protobuf, kept beside it; NULL: it cannot be. */
static struct doc *doc_proto(struct front *f, const char *key, const struct doc *d)
{
	char *name = oarena_printf(&f->arena, "pb:%s", key);
	struct doc *p = name ? doc_get(f->sh, name) : NULL;
	struct obuf b = OBUF_INIT;

	if (p || !name)
		return p;
	if (reg_proto_document(f->sh->a->schema, (struct orlop_bytes){ d->p, d->len }, &b) < 0) {
		obuf_done(&b);
		return NULL;
	}
	return doc_put(f->sh, name, &b);
}

/* @for_good: the address has the hash of the document in it, which may be kept without asking again. */
static void send_doc(struct front *f, struct doc *d, const char *type, bool with_etag, bool for_good)
{
	struct ohttp_header hdr[16];
	struct ohttp_piece piece;
	size_t n;

	if (!d) {
		front_error(f, 500, "InternalError", "out of memory");
		return;
	}
	n = front_headers(f, hdr, type);
	if (for_good) {
		for (size_t i = 0; i < n; i++)
			if (bytes_is(hdr[i].name, "Cache-Control"))
				hdr[i] = ohttp_header_cstr("Cache-Control", "public, immutable");
		hdr[n++] = ohttp_header_cstr("Expires", in_a_year(f));
	}
	if (with_etag) {
		hdr[n++] = ohttp_header_cstr("Etag", d->etag);
		hdr[n++] = ohttp_header_cstr("Vary", "Accept");
	}
	if (with_etag && bytes_is(ohttp_header(f->req, "if-none-match"), d->etag)) {
		ohttp_reply(f->req, 304, hdr, n, NULL, 0);
		front_done(f, 304);
		return;
	}
	d->refs++;
	piece = (struct ohttp_piece){ d->p, d->len, doc_unref, d };
	ohttp_reply_gzip(f->req, 200, hdr, n, &piece, 1, APIS_GZIP_MIN);
	front_done(f, 200);
}

static bool serve_discovery_of(struct front *f, struct orlop_bytes path, const struct oschema *s);

/* Documents that were made before a definition changed go; what is missing is made of all there is now. */
static bool serve_discovery(struct front *f, struct orlop_bytes path)
{
	const struct oschema *s = NULL;
	struct reg_served *served;
	char key[200];
	bool r;

	if (reg_served_changed(f->sh->reg))
		docs_drop(f->sh);
	snprintf(key, sizeof(key), "%s%.*s", f->accept.aggregated ? "agg:" : "", OB(path));
	if (doc_get(f->sh, key))
		return serve_discovery_of(f, path, f->sh->a->schema);
	served = reg_served_new(f->sh->reg, &s);
	r = serve_discovery_of(f, path, served ? s : f->sh->a->schema);
	reg_served_free(served);
	return r;
}

static bool serve_discovery_of(struct front *f, struct orlop_bytes path, const struct oschema *s)
{
	bool core = bytes_is(path, "/api");
	bool agg = f->accept.aggregated && (core || bytes_is(path, "/apis"));
	const struct oschema_group *g = NULL;
	struct obuf b = OBUF_INIT;
	struct doc *d;
	char key[200];

	if (path.len > 180)
		return false;
	snprintf(key, sizeof(key), "%s%.*s", agg ? "agg:" : "", OB(path));
	d = doc_get(f->sh, key);
	if (!d) {
		if (agg) {
			oschema_api_discovery(s, core, &b);
		} else if (core) {
			struct orlop_bytes host = ohttp_authority(f->req);
			char *addr = oarena_strndup(&f->arena, host.p ? host.p : "", host.len);

			oschema_api_versions(s, addr ? addr : "", &b);
		} else if (bytes_is(path, "/apis")) {
			oschema_api_groups(s, &b);
		} else {
			/* /api/v1, /apis/GROUP, /apis/GROUP/VERSION */
			struct orlop_bytes rest = { path.p, path.len };
			struct orlop_bytes name = { "", 0 };
			struct orlop_bytes version;
			const char *slash;

			if (ostr_starts(path.p, path.len, "/apis/")) {
				rest.p += 6;
				rest.len -= 6;
				slash = memchr(rest.p, '/', rest.len);
				name.p = rest.p;
				name.len = slash ? (size_t)(slash - rest.p) : rest.len;
				version = (struct orlop_bytes){ slash ? slash + 1 : "",
					slash ? rest.len - name.len - 1 : 0 };
				if (!name.len)
					return false;
			} else if (ostr_starts(path.p, path.len, "/api/")) {
				version = (struct orlop_bytes){ rest.p + 5, rest.len - 5 };
			} else {
				return false;
			}
			g = version.len ? oschema_group_version_find(s, name, version) : oschema_group_find(s, name);
			if (!g || !g->served) {
				front_error(f, 404, "NotFound", "the server could not find the requested resource");
				return true;
			}
			if (version.len)
				oschema_api_resources(s, g, &b);
			else
				oschema_api_group(s, g, &b);
		}
		/* /api names the address the client used: not to be kept for others. */
		d = doc_put(f->sh, core && !agg ? "last:/api" : key, &b);
	}
	if (d && f->accept.proto && !agg && !core) {
		struct doc *p = doc_proto(f, key, d);

		if (p) {
			send_doc(f, p, REG_PROTO_TYPE, false, false);
			return true;
		}
	}
	send_doc(f, d, agg ? OSCHEMA_DISCOVERY_TYPE : "application/json", agg, false);
	return true;
}

/* Changes with any of the documents: the tables they are made of, and the program that makes them. */
static const char *v3_hash(struct front *f)
{
	char *s = oarena_printf(&f->arena, "%08X%08X", f->sh->a->schema->generation,
				ohash_fnv1a32(OHASH_FNV32_INIT, ORLOP_VERSION, sizeof(ORLOP_VERSION) - 1));

	return s ? s : "0";
}

/* A hash of before: the same document by its present one. */
static void send_elsewhere(struct front *f, struct orlop_bytes path, const char *hash)
{
	struct ohttp_header hdr[14];
	char *to = oarena_printf(&f->arena, "%.*s?hash=%s", OB(path), hash);
	size_t n = front_headers(f, hdr, NULL);

	if (!to) {
		front_error(f, 500, "InternalError", "out of memory");
		return;
	}
	hdr[n++] = ohttp_header_cstr("Location", to);
	ohttp_reply(f->req, 301, hdr, n, NULL, 0);
	front_done(f, 301);
}

/* The document of a group version that definitions make. */
static bool serve_custom(struct front *f, struct orlop_bytes path, struct orlop_bytes gv)
{
	const char *slash = gv.len > 5 ? memchr(gv.p + 5, '/', gv.len - 5) : NULL;
	struct obuf b = OBUF_INIT;
	struct doc *d;
	char key[200];

	if (!slash || !ostr_starts(gv.p, gv.len, "apis/"))
		return false;
	snprintf(key, sizeof(key), "%.*s", OB(path));
	d = doc_get(f->sh, key);
	if (!d) {
		struct orlop_bytes group = { gv.p + 5, (size_t)(slash - gv.p - 5) };
		struct orlop_bytes version = { slash + 1, (size_t)(gv.p + gv.len - slash - 1) };

		if (reg_custom_openapi(f->sh->reg, group, version, APIS_VERSION, &b)) {
			obuf_done(&b);
			return false;
		}
		d = doc_put(f->sh, key, &b);
	}
	send_doc(f, d, "application/json", true, false);
	return true;
}

/* The document of a group version of which another server has one of v2 only. */
static bool serve_made(struct front *f, struct orlop_bytes path, struct orlop_bytes gv, struct orlop_bytes hash)
{
	const char *slash = gv.len > 5 ? memchr(gv.p + 5, '/', gv.len - 5) : NULL;
	char *key = oarena_printf(&f->arena, "made:%.*s", OB(path));
	struct obuf b = OBUF_INIT;
	const char *url, *now;
	char *group, *version;
	struct doc *d;

	if (!slash || !key || !ostr_starts(gv.p, gv.len, "apis/"))
		return false;
	group = oarena_strndup(&f->arena, gv.p + 5, (size_t)(slash - gv.p - 5));
	version = oarena_strndup(&f->arena, slash + 1, (size_t)(gv.p + gv.len - slash - 1));
	if (!group || !version)
		return false;
	d = doc_get(f->sh, key);
	if (!d) {
		if (reg_remotes_make_v3(f->sh->reg, bytes_cstr(group), bytes_cstr(version), &b)) {
			obuf_done(&b);
			return false;
		}
		d = doc_put(f->sh, key, &b);
	}
	url = reg_remotes_openapi_v3(f->sh->reg, group, version);
	now = url ? strstr(url, "?hash=") : NULL;
	if (now && hash.len && !bytes_is(hash, now + 6))
		send_elsewhere(f, path, now + 6);
	else
		send_doc(f, d, "application/json", true, hash.len > 0);
	return true;
}

static void join(struct obuf *to, const struct obuf *more)
{
	if (to->len && more->len)
		obuf_putc(to, ',');
	obuf_append(to, more->data, more->len);
}

/* What other servers have goes in, too. */
static int add_remotes(struct front *f, struct obuf *paths, struct obuf *definitions)
{
	struct oschema_more more = { { paths->data, paths->len }, { definitions->data, definitions->len } };
	cleanup_obuf struct obuf document = OBUF_INIT;
	cleanup_obuf struct obuf their_paths = OBUF_INIT;
	cleanup_obuf struct obuf theirs = OBUF_INIT;
	int r;

	if (!reg_remotes_have_docs(f->sh->reg))
		return 0;
	oschema_openapi_v2(f->sh->a->schema, NULL, APIS_VERSION, &more, &document);
	r = obuf_err(&document) ? -ENOMEM :
	    reg_remotes_openapi_v2(f->sh->reg, (struct orlop_bytes){ document.data, document.len }, &their_paths, &theirs);
	join(paths, &their_paths);
	join(definitions, &theirs);
	return r ? r : obuf_err(paths) || obuf_err(definitions) ? -ENOMEM : 0;
}

/* OpenAPI v2: one document, with what definitions make, and other servers have. */
static struct doc *doc_v2(struct front *f, bool proto)
{
	cleanup_obuf struct obuf paths = OBUF_INIT;
	cleanup_obuf struct obuf definitions = OBUF_INIT;
	struct oschema_more more;
	struct obuf b = OBUF_INIT;

	if (reg_custom_openapi_v2(f->sh->reg, APIS_VERSION, &paths, &definitions) || add_remotes(f, &paths, &definitions))
		return NULL;
	more.paths = (struct orlop_bytes){ paths.data, paths.len };
	more.definitions = (struct orlop_bytes){ definitions.data, definitions.len };
	if (proto)
		oschema_openapi_v2_proto(f->sh->a->schema, APIS_VERSION, &more, &b);
	else
		oschema_openapi_v2(f->sh->a->schema, NULL, APIS_VERSION, &more, &b);
	return doc_put(f->sh, proto ? "v2p" : "v2", &b);
}

static const char *elsewhere(void *arg, const char *group, const char *version)
{
	return reg_remotes_openapi_v3(arg, group, version);
}

static bool serve_openapi(struct front *f, struct orlop_bytes path)
{
	const struct oschema *s = f->sh->a->schema;
	struct obuf b = OBUF_INIT;
	struct doc *d;

	if (reg_served_changed(f->sh->reg))
		docs_drop(f->sh);
	if (bytes_is(path, "/openapi/v2")) {
		bool proto = f->accept.openapi_proto;

		d = doc_get(f->sh, proto ? "v2p" : "v2");
		if (!d)
			d = doc_v2(f, proto);
		send_doc(f, d, proto ? OSCHEMA_OPENAPI_V2_PROTO_TYPE : "application/json", true, false);
		return true;
	}
	if (bytes_is(path, "/openapi/v3")) {
		d = doc_get(f->sh, "v3");
		if (!d) {
			struct reg_served *served = reg_served_new(f->sh->reg, &s);

			oschema_openapi_v3_index(s, v3_hash(f), elsewhere, f->sh->reg, &b);
			reg_served_free(served);
			d = doc_put(f->sh, "v3", &b);
		}
		send_doc(f, d, "application/json", true, false);
		return true;
	}
	if (ostr_starts(path.p, path.len, "/openapi/v3/")) {
		const struct oschema_group *g = NULL;
		struct orlop_bytes name = { "", 0 };
		struct orlop_bytes gv = { path.p + 12, path.len - 12 };
		struct orlop_bytes hash = query_get(&f->arena, ohttp_query(f->req), "hash");
		char key[200];

		if (ostr_starts(gv.p, gv.len, "apis/")) {
			const char *slash = memchr(gv.p + 5, '/', gv.len - 5);

			name.p = gv.p + 5;
			name.len = slash ? (size_t)(slash - name.p) : gv.len - 5;
			if (name.len && slash)
				g = oschema_group_version_find(s, name, (struct orlop_bytes){ slash + 1,
					(size_t)(gv.p + gv.len - slash - 1) });
		} else if (bytes_is(gv, "api/v1")) {
			g = oschema_group_find(s, name);
		}
		if (path.len > 180)
			return false;
		if (!g)
			return serve_made(f, path, gv, hash) || remote_document(f, gv) || serve_custom(f, path, gv);
		if (hash.len && !bytes_is(hash, v3_hash(f))) {
			send_elsewhere(f, path, v3_hash(f));
			return true;
		}
		snprintf(key, sizeof(key), "%.*s", OB(path));
		d = doc_get(f->sh, key);
		if (!d) {
			oschema_openapi_v3(s, g, APIS_VERSION, &b);
			d = doc_put(f->sh, key, &b);
		}
		send_doc(f, d, "application/json", true, hash.len > 0);
		return true;
	}
	return false;
}

static void serve_version(struct front *f)
{
	static const char text[] =
		"{\n  \"major\": \"1\",\n  \"minor\": \"36\",\n  \"emulationMajor\": \"1\",\n  \"emulationMinor\": \"36\",\n"
		"  \"minCompatibilityMajor\": \"1\",\n  \"minCompatibilityMinor\": \"35\",\n"
		"  \"gitVersion\": \"" APIS_VERSION "+orlop\",\n  \"gitCommit\": \"\",\n  \"gitTreeState\": \"clean\",\n"
		"  \"buildDate\": \"1970-01-01T00:00:00Z\",\n  \"goVersion\": \"\",\n  \"compiler\": \"" "gcc" "\",\n"
#if defined(__aarch64__)
		"  \"platform\": \"linux/arm64\"\n}";
#else
		"  \"platform\": \"linux/amd64\"\n}";
#endif

	front_text(f, 200, "application/json", text, sizeof(text) - 1);
}

static void serve_keys(struct front *f)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "{\"keys\":[");
	if (f->sh->a->sa_key)
		(void)opki_key_jwk(f->sh->a->sa_key, &b);
	obuf_puts(&b, "]}");
	front_text(f, 200, "application/jwk-set+json", obuf_cstr(&b), b.len);
	obuf_done(&b);
}

static void serve_issuer(struct front *f)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "{\"issuer\":");
	obuf_put_json_cstr(&b, f->sh->a->issuer);
	obuf_puts(&b, ",\"jwks_uri\":\"https://");
	obuf_append(&b, ohttp_authority(f->req).p ? ohttp_authority(f->req).p : "", ohttp_authority(f->req).len);
	obuf_puts(&b, "/openid/v1/jwks\",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":"
		      "[\"public\"],\"id_token_signing_alg_values_supported\":[\"ES256\",\"RS256\"]}");
	front_text(f, 200, "application/json", obuf_cstr(&b), b.len);
	obuf_done(&b);
}

static void serve_root(struct front *f)
{
	const struct oschema *s = f->sh->a->schema;
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "{\n  \"paths\": [\n    \"/.well-known/openid-configuration\",\n    \"/api\",\n    \"/api/v1\",\n"
		      "    \"/apis\",\n    \"/apis/\"");
	for (uint16_t i = 0; i < s->n_groups; i++) {
		const char *name = oschema_str(s, s->groups[i].name);

		if (!s->groups[i].served || !name[0])
			continue;
		if (i == 0 || strcmp(name, oschema_str(s, s->groups[i - 1].name)))
			obuf_printf(&b, ",\n    \"/apis/%s\"", name);
		obuf_printf(&b, ",\n    \"/apis/%s/%s\"", name, oschema_str(s, s->groups[i].version));
	}
	obuf_puts(&b, ",\n    \"/healthz\",\n    \"/livez\",\n    \"/metrics\",\n    \"/openapi/v2\",\n"
		      "    \"/openapi/v3\",\n    \"/openid/v1/jwks\",\n    \"/readyz\",\n    \"/version\"\n  ]\n}");
	front_text(f, 200, "application/json", obuf_cstr(&b), b.len);
	obuf_done(&b);
}

bool docs_serve(struct front *f)
{
	struct orlop_bytes path = f->rt.path;

	while (path.len > 1 && path.p[path.len - 1] == '/')
		path.len--;
	if (bytes_is(path, "/"))
		serve_root(f);
	else if (bytes_is(path, "/version"))
		serve_version(f);
	else if (bytes_is(path, "/metrics"))
		metrics_serve(f);
	else if (bytes_is(path, "/openid/v1/jwks"))
		serve_keys(f);
	else if (bytes_is(path, "/.well-known/openid-configuration"))
		serve_issuer(f);
	else if (ostr_starts(path.p, path.len, "/openapi"))
		return serve_openapi(f, path);
	else
		return serve_discovery(f, path);
	return true;
}
