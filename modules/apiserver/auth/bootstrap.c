/*
 * Bootstrap tokens: "ID.SECRET", good while Secret kube-system/bootstrap-token-ID says so.
 *
 * Source: upstream's bootstrap token authenticator.
 */
#include "front.h"

#include "base/oenc.h"
#include "base/otime.h"
#include "json/ojson.h"

#define ID_LEN		6u
#define SECRET_LEN	16u
#define GROUP		"system:bootstrappers"
#define GROUPS_MAX	32u

static bool plain(const char *p, size_t n, const char *more)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || (more[0] && strchr(more, p[i]))))
			return false;
	return true;
}

/* A value of the Secret's data, decoded into the arena; empty if it is not there. */
static struct orlop_bytes value(struct oarena *a, const struct ojson *secret, const char *key)
{
	struct orlop_bytes in = ojson_get_bytes(ojson_get(secret, "data"), key), none = { "", 0 };
	char *out = in.len ? oarena_alloc(a, OBASE64_DECODED(in.len) + 1) : NULL;
	long n = out ? obase64_decode(OBASE64_STD, in.p, in.len, out, NULL) : -1;

	return n < 0 ? none : (struct orlop_bytes){ out, (size_t)n };
}

/* Takes as long for any text of this length. */
static bool same_secret(struct orlop_bytes a, const char *b)
{
	unsigned int diff = a.len != SECRET_LEN;

	for (size_t i = 0; i < SECRET_LEN && a.len == SECRET_LEN; i++)
		diff |= (unsigned int)(unsigned char)(a.p[i] ^ b[i]);
	return diff == 0;
}

static bool is_group(struct orlop_bytes g)
{
	size_t n = sizeof(GROUP);	/* with the colon behind it */

	return g.len > n && g.len <= n + 256 && ostr_starts(g.p, g.len, GROUP ":") && plain(g.p + n, g.len - n, ":-") &&
	       plain(g.p + g.len - 1, 1, "");
}

static bool groups(struct oarena *a, struct orlop_bytes list, struct static_token *t)
{
	struct orlop_bytes *g = oarena_alloc(a, GROUPS_MAX * sizeof(*g));

	if (!g)
		return false;
	t->groups = g;
	g[t->n_groups++] = bytes_cstr(GROUP);
	while (list.len) {
		const char *comma = memchr(list.p, ',', list.len);
		struct orlop_bytes one = { list.p, comma ? (size_t)(comma - list.p) : list.len };

		if (!is_group(one) || t->n_groups == GROUPS_MAX)
			return false;
		g[t->n_groups++] = one;
		list.len -= one.len + (comma != NULL);
		list.p += one.len + (comma != NULL);
	}
	return true;
}

static bool good(struct ashard *sh, struct oarena *a, const struct ojson *secret, struct orlop_bytes token,
		 struct static_token *t)
{
	struct orlop_bytes id = value(a, secret, "token-id"), until = value(a, secret, "expiration");
	int64_t end;

	if (!ojson_string_is(ojson_get(secret, "type"), "bootstrap.kubernetes.io/token") ||
	    ojson_has(ojson_get(secret, "metadata"), "deletionTimestamp") ||
	    !same_secret(value(a, secret, "token-secret"), token.p + ID_LEN + 1) ||
	    !ostr_eq(id.p, id.len, token.p, ID_LEN) || !bytes_is(value(a, secret, "usage-bootstrap-authentication"), "true"))
		return false;
	if (until.len && (otime_parse(until.p, until.len, &end) < 0 || end <= (int64_t)sh->h->now_wall(sh->h)))
		return false;
	t->user.p = oarena_printf(a, "system:bootstrap:%.*s", (int)ID_LEN, token.p);
	t->user.len = t->user.p ? strlen(t->user.p) : 0;
	t->uid = (struct orlop_bytes){ "", 0 };
	return t->user.p && groups(a, value(a, secret, "auth-extra-groups"), t);
}

const struct static_token *authn_bootstrap(struct ashard *sh, struct oarena *a, struct orlop_bytes token)
{
	struct static_token *t;
	struct ojson *secret = NULL;
	struct orlop_object *o;
	char name[32];
	bool is = false;

	if (token.len != ID_LEN + 1 + SECRET_LEN || token.p[ID_LEN] != '.' || !plain(token.p, ID_LEN, "") ||
	    !plain(token.p + ID_LEN + 1, SECRET_LEN, ""))
		return NULL;
	snprintf(name, sizeof(name), "bootstrap-token-%.*s", (int)ID_LEN, token.p);
	o = reg_peek(sh->reg, "secrets", bytes_cstr("kube-system"), bytes_cstr(name));
	if (!o)
		return NULL;
	t = oarena_zalloc(a, sizeof(*t));
	if (t && ojson_parse_members(o->json, &secret, NULL) == 0)
		is = good(sh, a, secret, token, t);
	ojson_unref(secret);
	sh->h->object_unref(o);
	return is ? t : NULL;
}
