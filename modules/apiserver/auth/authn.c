/*
 * Who is asking: client certificate, bearer token (service account or static), or nobody known.
 *
 * The signature of a service account's token is checked once and remembered; that its account and
 * what it is bound to are still there is looked at each time.
 */
#include "front.h"

#include "base/ofile.h"
#include "base/ohash.h"
#include "json/ojson.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>

#define CACHE_SLOTS	128u
#define TOKEN_MAX	8192u

/* What a service account's token says. */
struct claims {
	struct oarena		arena;
	char			*token;		/* key of the slot */
	size_t			token_len;
	int64_t			exp;
	int64_t			nbf;
	struct orlop_bytes	user;
	struct orlop_bytes	ns;
	struct orlop_bytes	sa;
	struct orlop_bytes	sa_uid;
	struct orlop_bytes	pod;
	struct orlop_bytes	pod_uid;
	struct orlop_bytes	node;
	struct orlop_bytes	node_uid;
	struct orlop_bytes	secret;
	struct orlop_bytes	secret_uid;
	struct orlop_bytes	jti;
	struct orlop_bytes	aud[16];
	uint32_t		n_aud;
};

struct token_cache {
	struct claims	*slots[CACHE_SLOTS];
};

static void claims_free(struct claims *c)
{
	if (!c)
		return;
	oarena_done(&c->arena);
	omem_free(c);
}

void authn_shard_free(struct ashard *sh)
{
	for (uint32_t i = 0; sh->tokens && i < CACHE_SLOTS; i++)
		claims_free(sh->tokens->slots[i]);
	omem_free(sh->tokens);
	sh->tokens = NULL;
}

static struct orlop_bytes keep(struct oarena *a, const struct ojson *j)
{
	struct orlop_bytes b = ojson_bytes(j);

	if (b.p)
		b.p = oarena_strndup(a, b.p, b.len);
	return b.p ? b : (struct orlop_bytes){ "", 0 };
}

/* Checks the signature and reads the claims. NULL: no token of ours. */
static struct claims *claims_read(struct apis *a, struct orlop_bytes token)
{
	const struct opki_key *key = a->sa_key;
	struct obuf text = OBUF_INIT;
	struct ojson *j = NULL;
	struct ojson *k8s;
	struct ojson *aud;
	struct claims *c = NULL;

	if (!key || token.len > TOKEN_MAX || opki_jwt_verify(&key, 1, token.p, token.len, &text) < 0 ||
	    ojson_parse(obuf_cstr(&text), text.len, &j, NULL) < 0 ||
	    !ojson_string_is(ojson_get(j, "iss"), a->issuer))
		goto out;
	c = OMEM_NEW(struct claims);
	if (!c)
		goto out;
	oarena_init(&c->arena, 64 * 1024);
	c->token = oarena_dup(&c->arena, token.p, token.len);
	c->token_len = token.len;
	c->exp = ojson_get_i64(j, "exp", 0);
	c->nbf = ojson_get_i64(j, "nbf", 0);
	c->user = keep(&c->arena, ojson_get(j, "sub"));
	c->jti = keep(&c->arena, ojson_get(j, "jti"));
	k8s = ojson_get(j, "kubernetes.io");
	c->ns = keep(&c->arena, ojson_get(k8s, "namespace"));
	c->sa = keep(&c->arena, OJSON_AT(k8s, "serviceaccount", "name"));
	c->sa_uid = keep(&c->arena, OJSON_AT(k8s, "serviceaccount", "uid"));
	c->pod = keep(&c->arena, OJSON_AT(k8s, "pod", "name"));
	c->pod_uid = keep(&c->arena, OJSON_AT(k8s, "pod", "uid"));
	c->node = keep(&c->arena, OJSON_AT(k8s, "node", "name"));
	c->node_uid = keep(&c->arena, OJSON_AT(k8s, "node", "uid"));
	c->secret = keep(&c->arena, OJSON_AT(k8s, "secret", "name"));
	c->secret_uid = keep(&c->arena, OJSON_AT(k8s, "secret", "uid"));
	aud = ojson_get(j, "aud");
	if (ojson_is(aud, OJSON_STRING))
		c->aud[c->n_aud++] = keep(&c->arena, aud);
	OJSON_FOREACH_ELEM(i, e, aud)
		if (c->n_aud < 16)
			c->aud[c->n_aud++] = keep(&c->arena, e);
	if (!c->token || !c->ns.len || !c->sa.len || !ostr_starts(c->user.p, c->user.len, "system:serviceaccount:")) {
		claims_free(c);
		c = NULL;
	}
out:
	ojson_unref(j);
	obuf_done(&text);
	return c;
}

static struct claims *claims_get(struct ashard *sh, struct orlop_bytes token)
{
	struct claims **slot;
	struct claims *c;

	if (!sh->tokens)
		sh->tokens = OMEM_NEW(struct token_cache);
	if (!sh->tokens)
		return NULL;
	slot = &sh->tokens->slots[ohash_bytes(0x6f726c6f70, token.p, token.len) % CACHE_SLOTS];
	if (*slot && ostr_eq((*slot)->token, (*slot)->token_len, token.p, token.len))
		return *slot;
	c = claims_read(sh->a, token);
	if (!c)
		return NULL;
	claims_free(*slot);
	*slot = c;
	return c;
}

/* Is the object there, with this uid (empty: any)? */
static bool still_there(struct ashard *sh, const char *resource, struct orlop_bytes ns, struct orlop_bytes name,
			struct orlop_bytes uid)
{
	struct orlop_object *o = reg_peek(sh->reg, resource, ns, name);
	bool good = false;

	if (!o)
		return false;
	good = uid.len == 0;
	for (uint32_t i = 0; !good && i < o->n_index; i++)
		good = o->index[i].index == ORLOP_INDEX_UID &&
		       ostr_eq(o->index[i].value.p, o->index[i].value.len, uid.p, uid.len);
	sh->h->object_unref(o);
	return good;
}

/* NULL: valid now, or why not. */
static const char *claims_refused(struct ashard *sh, const struct claims *c, const struct orlop_bytes *aud,
				  uint32_t n_aud)
{
	int64_t now = (int64_t)(sh->h->now_wall(sh->h) / APIS_NS_PER_S);
	bool match = false;

	if (c->exp <= now)
		return "service account token has expired";
	if (c->nbf > now + 10)
		return "service account token is not valid yet";
	for (uint32_t i = 0; i < n_aud; i++)
		for (uint32_t k = 0; k < c->n_aud; k++)
			match |= ostr_eq(aud[i].p, aud[i].len, c->aud[k].p, c->aud[k].len);
	if (!match)
		return "token audiences do not match";
	if (!still_there(sh, "serviceaccounts", c->ns, c->sa, c->sa_uid))
		return "service account has been deleted";
	if (c->pod.len && !still_there(sh, "pods", c->ns, c->pod, c->pod_uid))
		return "service account token has been invalidated: its pod is gone";
	if (c->secret.len && !still_there(sh, "secrets", c->ns, c->secret, c->secret_uid))
		return "service account token has been invalidated: its secret is gone";
	if (!c->pod.len && c->node.len &&
	    !still_there(sh, "nodes", (struct orlop_bytes){ "", 0 }, c->node, c->node_uid))
		return "service account token has been invalidated: its node is gone";
	return NULL;
}

/* ---- identities ----------------------------------------------------------------------------------------- */

int authn_set_who(struct front *f, struct orlop_bytes user, struct orlop_bytes uid, const struct orlop_bytes *groups,
		  size_t n, const char *last)
{
	struct orlop_bytes *g = oarena_alloc(&f->arena, (n + 1) * sizeof(*g));

	if (!g)
		return -ENOMEM;
	f->who.size = sizeof(f->who);
	f->who.user.p = oarena_strndup(&f->arena, user.p, user.len);
	f->who.user.len = user.len;
	f->who.uid.p = oarena_strndup(&f->arena, uid.p ? uid.p : "", uid.len);
	f->who.uid.len = uid.len;
	for (size_t i = 0; i < n; i++) {
		g[i].p = oarena_strndup(&f->arena, groups[i].p, groups[i].len);
		g[i].len = groups[i].len;
		if (!g[i].p)
			return -ENOMEM;
	}
	if (last)
		g[n++] = bytes_cstr(last);
	f->who.groups = g;
	f->who.n_groups = (uint32_t)n;
	return f->who.user.p && f->who.uid.p ? 0 : -ENOMEM;
}

static int unauthorized(struct front *f, struct orlop_error *err, const char *why)
{
	if (f->sh->h->log)
		OLOG(f->sh->h, INFO, "unauthorized", "peer=%s why=\"%s\"", ohttp_peer_addr(f->req), why);
	return orlop_fail(err, EACCES, 401, "Unauthorized", "Unauthorized");
}

static void put_extra(struct obuf *b, const char **sep, const char *key, const char *prefix, struct orlop_bytes v)
{
	if (!v.len)
		return;
	obuf_printf(b, "%s\"authentication.kubernetes.io/%s\":[\"%s%.*s\"]", *sep, key, prefix, OB(v));
	*sep = ",";
}

static void put_extras(struct obuf *b, const struct claims *c)
{
	const char *sep = "";

	obuf_putc(b, '{');
	put_extra(b, &sep, "credential-id", "JTI=", c->jti);
	put_extra(b, &sep, "node-name", "", c->node);
	put_extra(b, &sep, "node-uid", "", c->node_uid);
	put_extra(b, &sep, "pod-name", "", c->pod);
	put_extra(b, &sep, "pod-uid", "", c->pod_uid);
	obuf_putc(b, '}');
}

static int by_claims(struct front *f, const struct claims *c)
{
	struct orlop_bytes groups[2] = { bytes_cstr("system:serviceaccounts") };
	char *ns = oarena_printf(&f->arena, "system:serviceaccounts:%.*s", OB(c->ns));

	if (!ns)
		return -ENOMEM;
	if (bytes_is(f->rt.resource, "selfsubjectreviews") || bytes_is(f->rt.resource, "certificatesigningrequests") ||
	    !f->rt.res) {		/* maybe another server's: it is told */
		struct obuf b = OBUF_INIT;

		put_extras(&b, c);
		f->extra = oarena_strndup(&f->arena, obuf_cstr(&b), b.len);
		obuf_done(&b);
	}
	groups[1] = bytes_cstr(ns);
	return authn_set_who(f, c->user, c->sa_uid, groups, 2, "system:authenticated");
}

static int known(struct front *f, struct orlop_error *err)
{
	const struct otls_peer *peer = ohttp_peer(f->req);
	struct orlop_bytes auth = ohttp_header(f->req, "authorization");
	struct orlop_bytes token = { NULL, 0 };
	struct orlop_bytes issuer = bytes_cstr(f->sh->a->issuer);
	const struct static_token *st;
	const struct claims *c;
	const char *why;

	if (peer && peer->verified && peer->cn.len)
		return authn_set_who(f, peer->cn, peer->uid, peer->orgs, peer->n_orgs, "system:authenticated");
	if (auth.len > 7 && strncasecmp(auth.p, "bearer ", 7) == 0)
		token = (struct orlop_bytes){ auth.p + 7, auth.len - 7 };
	if (!token.len) {
		if (peer)
			return unauthorized(f, err, peer->error[0] ? peer->error : "certificate without common name");
		if (auth.len)
			return unauthorized(f, err, "unknown kind of credentials");
		return authn_set_who(f, bytes_cstr("system:anonymous"), (struct orlop_bytes){ "", 0 }, NULL, 0,
			       "system:unauthenticated");
	}
	st = omap_get(&f->sh->a->tokens, token.p, token.len);
	if (!st)
		st = authn_bootstrap(f->sh, &f->arena, token);
	if (st)
		return authn_set_who(f, st->user, st->uid, st->groups, st->n_groups, "system:authenticated");
	c = claims_get(f->sh, token);
	if (!c)
		return unauthorized(f, err, "invalid bearer token");
	why = claims_refused(f->sh, c, &issuer, 1);
	if (why)
		return unauthorized(f, err, why);
	return by_claims(f, c);
}

/* The core names its modules so, and their names alone mean rights: nobody from outside is one of them. */
static bool is_module(const struct orlop_identity *who)
{
	bool is = who->user.len && ostr_starts(who->user.p, who->user.len, "orlop:");

	for (uint32_t i = 0; i < who->n_groups; i++)
		is = is || (who->groups[i].len && ostr_starts(who->groups[i].p, who->groups[i].len, "orlop:"));
	return is;
}

int authn_request(struct front *f, struct orlop_error *err)
{
	int r = known(f, err);

	if (r == 0)
		r = authn_impersonate(f, err);
	if (r == 0 && (is_module(&f->who) || reg_user_is_part(f->who.user)))
		r = unauthorized(f, err, "a name of the system's own parts, which do not come this way");
	return r;
}

/* ---- the static token file: token,user,uid,"group,group" -------------------------------------------------- */

static struct orlop_bytes field(const char **at, const char *end)
{
	struct orlop_bytes b = { *at, 0 };
	const char *stop;

	if (*at < end && **at == '"') {
		stop = memchr(*at + 1, '"', (size_t)(end - *at - 1));
		b.p = *at + 1;
		b.len = (size_t)((stop ? stop : end) - b.p);
		*at = stop ? stop + 1 : end;
	} else {
		stop = memchr(*at, ',', (size_t)(end - *at));
		b.len = (size_t)((stop ? stop : end) - b.p);
		*at += b.len;
	}
	if (*at < end && **at == ',')
		(*at)++;
	return b;
}

static int add_token(struct apis *a, struct orlop_bytes token, struct orlop_bytes user, struct orlop_bytes uid,
		     struct orlop_bytes groups)
{
	struct static_token *t = oarena_zalloc(&a->arena, sizeof(*t));
	const char *at = groups.p;
	const char *end = groups.p + groups.len;
	uint32_t max = 1;

	for (size_t i = 0; i < groups.len; i++)
		max += groups.p[i] == ',';
	if (!t || (t->groups = oarena_alloc(&a->arena, max * sizeof(*t->groups))) == NULL)
		return -ENOMEM;
	t->user = (struct orlop_bytes){ oarena_strndup(&a->arena, user.p, user.len), user.len };
	t->uid = (struct orlop_bytes){ oarena_strndup(&a->arena, uid.p, uid.len), uid.len };
	while (at < end) {
		struct orlop_bytes g = field(&at, end);

		if (g.len)
			t->groups[t->n_groups++] =
				(struct orlop_bytes){ oarena_strndup(&a->arena, g.p, g.len), g.len };
	}
	return omap_put(&a->tokens, token.p, token.len, t, NULL);
}

int authn_load_tokens(struct apis *a, const char *path, struct orlop_error *err)
{
	struct obuf b = OBUF_INIT;
	const char *at;
	const char *end;
	int line = 0;
	int r;

	if (!path[0])
		return 0;
	r = ofile_read(AT_FDCWD, path, 1024 * 1024, &b);
	if (r < 0) {
		obuf_done(&b);
		return orlop_fail(err, -r, 0, "", "cannot read the token file %s: %s", path, strerrordesc_np(-r));
	}
	at = obuf_cstr(&b);
	end = at + b.len;
	while (at < end && r == 0) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		const char *stop = nl ? nl : end;
		const char *p = at;
		struct orlop_bytes token = field(&p, stop);
		struct orlop_bytes user = field(&p, stop);
		struct orlop_bytes uid = field(&p, stop);

		line++;
		if (token.len && token.p[0] != '#') {
			if (!user.len)
				r = orlop_fail(err, EINVAL, 0, "", "%s line %d: no user name behind the token", path, line);
			else
				r = add_token(a, token, user, uid, field(&p, stop));
		}
		at = nl ? nl + 1 : end;
	}
	if (b.data)
		memset(b.data, 0, b.len);
	obuf_done(&b);
	return r;
}

/* ---- what the registry asks ------------------------------------------------------------------------------- */

int hook_sign(void *arg, const char *claims, size_t len, char **ret_jwt)
{
	struct apis *a = arg;
	struct obuf b = OBUF_INIT;
	int r = a->sa_key ? opki_jwt_sign(a->sa_key, claims, len, &b) : -ENOTSUP;

	if (r < 0) {
		obuf_done(&b);
		return r;
	}
	*ret_jwt = obuf_steal(&b, NULL);
	return *ret_jwt ? 0 : -ENOMEM;
}

int hook_authenticate(void *arg, const struct orlop_host *h, struct orlop_bytes token,
		      const struct orlop_bytes *audiences, uint32_t n_audiences, char **ret_user_info,
		      char **ret_audiences, char *why, size_t why_size)
{
	struct apis *a = arg;
	struct ashard *sh = a->shards[h->shard];
	struct orlop_bytes issuer = bytes_cstr(a->issuer);
	struct oarena arena;
	const struct static_token *st = omap_get(&a->tokens, token.p, token.len);
	const struct claims *c;
	const char *bad;
	struct obuf b = OBUF_INIT;
	struct obuf auds = OBUF_INIT;
	const char *sep = "";

	oarena_init(&arena, 64 * 1024);
	if (!st)
		st = authn_bootstrap(sh, &arena, token);
	c = st ? NULL : claims_get(sh, token);
	bad = st || c ? NULL : "invalid bearer token";
	if (n_audiences == 0) {
		audiences = &issuer;
		n_audiences = 1;
	}
	if (c)
		bad = claims_refused(sh, c, audiences, n_audiences);
	if (st) {		/* these are for us, and for nobody else */
		bool ours = false;

		for (uint32_t i = 0; i < n_audiences; i++)
			ours |= bytes_is(audiences[i], a->issuer);
		bad = ours ? NULL : "";
	}
	if (bad) {
		snprintf(why, why_size, "%s", bad);
		oarena_done(&arena);
		return -EACCES;
	}
	obuf_puts(&b, "{\"username\":");
	obuf_put_json_string(&b, st ? st->user.p : c->user.p, st ? st->user.len : c->user.len);
	obuf_puts(&b, ",\"uid\":");
	obuf_put_json_string(&b, st ? st->uid.p : c->sa_uid.p, st ? st->uid.len : c->sa_uid.len);
	obuf_puts(&b, ",\"groups\":[");
	if (st) {
		for (uint32_t i = 0; i < st->n_groups; i++) {
			obuf_put_json_string(&b, st->groups[i].p, st->groups[i].len);
			obuf_putc(&b, ',');
		}
	} else {
		obuf_printf(&b, "\"system:serviceaccounts\",\"system:serviceaccounts:%.*s\",", OB(c->ns));
	}
	obuf_puts(&b, "\"system:authenticated\"]");
	if (c) {
		obuf_puts(&b, ",\"extra\":");
		put_extras(&b, c);
	}
	obuf_putc(&b, '}');
	obuf_putc(&auds, '[');
	sep = "";
	for (uint32_t i = 0; i < n_audiences; i++) {
		bool match = st != NULL && bytes_is(audiences[i], a->issuer);

		for (uint32_t k = 0; c && k < c->n_aud; k++)
			match |= ostr_eq(audiences[i].p, audiences[i].len, c->aud[k].p, c->aud[k].len);
		if (!match)
			continue;
		obuf_puts(&auds, sep);
		obuf_put_json_string(&auds, audiences[i].p, audiences[i].len);
		sep = ",";
	}
	obuf_putc(&auds, ']');
	oarena_done(&arena);
	*ret_user_info = obuf_steal(&b, NULL);
	*ret_audiences = obuf_steal(&auds, NULL);
	if (*ret_user_info && *ret_audiences)
		return 0;
	omem_free(*ret_user_info);
	omem_free(*ret_audiences);
	return -ENOMEM;
}
