/*
 * tokens.c - Secrets that hold the token of a ServiceAccount.
 *
 * Who makes a Secret of type kubernetes.io/service-account-token with the annotation
 * kubernetes.io/service-account.name gets a token in it, the authority's certificate and the namespace; it goes
 * with its account. The token is asked for as anybody would (TokenRequest), bound to the Secret, for as long as
 * tokens may live: this module holds no key.
 *
 * With token_secrets=true every account has such a Secret and names it in its list, as before Kubernetes 1.24, for
 * old clients that wait for it. Its name follows from the account's uid: it is made once, whoever makes it.
 * Source: upstream's pkg/controller/serviceaccount/tokens_controller.go, behaviour only.
 */
#include "tokens.h"

#include "base/oenc.h"
#include "base/ohash.h"
#include "base/omem.h"
#include "walk/owalk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TYPE		"kubernetes.io/service-account-token"
#define A_NAME		"kubernetes.io/service-account.name"
#define A_UID		"kubernetes.io/service-account.uid"
#define LIFE_S		(1ll << 32)	/* the longest that a token may be asked for */
#define ACCOUNT_KEY	"account:"	/* no object's name has a colon */

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

static const char *annotation(const struct ojson *obj, const char *key)
{
	return ojson_cstr(OJSON_AT(obj, "metadata", "annotations", key), "");
}

/* "default-token-x7k2p". */
static void secret_name(const struct ojson *account, char *to, size_t size)
{
	const char *uid = okube_meta(account, "uid");
	char tail[6];

	osafe_suffix(ohash_fnv1a64(OHASH_FNV64_INIT, uid, strlen(uid)), 5, tail);
	snprintf(to, size, "%.240s-token-%s", okube_meta(account, "name"), tail);
}

/* ---- a Secret gets what it is for ------------------------------------------------------------------- */

struct fill {
	struct tokens	*k;
	struct octl_task *t;
	struct ojson	*secret;
	struct ojson	*account;
};

static void fill_end(struct fill *f, bool failed)
{
	struct octl_task *t = f->t;

	ojson_unref(f->secret);
	ojson_unref(f->account);
	omem_free(f);
	octl_release(t, failed);
}

static int fill_patch(const struct fill *f, const char *token, struct ojson *patch)
{
	struct ojson *meta = ojson_ensure_object(patch, "metadata");
	struct ojson *data = ojson_ensure_object(patch, "stringData");
	int e = ojson_set_cstr(meta, "resourceVersion", okube_meta(f->secret, "resourceVersion"));

	if (!e)
		e = ojson_set_cstr(ojson_ensure_object(meta, "annotations"), A_UID, okube_meta(f->account, "uid"));
	if (!e)
		e = ojson_set_cstr(data, "token", token);
	if (!e)
		e = ojson_set_cstr(data, "namespace", okube_meta(f->secret, "namespace"));
	if (!e && f->k->ca)
		e = ojson_set_cstr(data, "ca.crt", f->k->ca);
	return e;
}

static void token_came(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct fill *f = arg;
	const char *token = status < 0 || code >= 300 ? "" :
			    ojson_get_cstr(ojson_get(body, "status"), "token", "");
	struct ojson *patch;

	(void)rev;
	if (*token) {
		patch = ojson_new_object();
		if (fill_patch(f, token, patch) ||
		    okube_patch(f->k->c->h, "secrets", text(okube_meta(f->secret, "namespace")),
				text(okube_meta(f->secret, "name")), NULL, OKUBE_MERGE_PATCH, patch, octl_answer, f->t)) {
			fill_end(f, true);
		} else {
			octl_hold(f->t);
			fill_end(f, false);
		}
		ojson_unref(patch);
	} else {
		fill_end(f, true);
	}
}

static int token_ask(struct fill *f)
{
	struct ojson *body = ojson_new_object();
	struct ojson *spec = ojson_ensure_object(body, "spec");
	struct ojson *ref = ojson_ensure_object(spec, "boundObjectRef");
	struct okube_req req = { .verb = "create", .resource = "serviceaccounts", .sub = "token",
				 .ns = text(okube_meta(f->account, "namespace")),
				 .name = text(okube_meta(f->account, "name")), .body = body };
	int e = ojson_set_i64(spec, "expirationSeconds", LIFE_S);

	if (!e)
		e = ojson_set_cstr(ref, "kind", "Secret");
	if (!e)
		e = ojson_set_cstr(ref, "apiVersion", "v1");
	if (!e)
		e = ojson_set_cstr(ref, "name", okube_meta(f->secret, "name"));
	if (!e)
		e = ojson_set_cstr(ref, "uid", okube_meta(f->secret, "uid"));
	if (!e)
		e = ojson_set_cstr(body, "kind", "TokenRequest");
	if (!e)
		e = ojson_set_cstr(body, "apiVersion", "authentication.k8s.io/v1");
	if (!e)
		e = okube_call(f->k->c->h, &req, token_came, f);
	ojson_unref(body);
	return e;
}

static bool is_filled(const struct tokens *k, const struct ojson *secret)
{
	const struct ojson *data = ojson_get(secret, "data");

	return ojson_has(data, "token") && ojson_has(data, "namespace") && (!k->ca || ojson_has(data, "ca.crt")) &&
	       *annotation(secret, A_UID);
}

/* The account is asked for at the API itself: this cache may be behind. */
static void account_came(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct fill *f = arg;
	const char *uid = annotation(f->secret, A_UID);
	bool gone = status >= 0 && code == 404;

	(void)rev;
	if (!gone && (status < 0 || code != 200)) {
		fill_end(f, true);
		return;
	}
	if (gone || (*uid && strcmp(uid, okube_meta(body, "uid")))) {
		octl_hold(f->t);
		if (okube_delete(f->k->c->h, "secrets", text(okube_meta(f->secret, "namespace")),
				 text(okube_meta(f->secret, "name")), text(okube_meta(f->secret, "uid")), NULL, -1,
				 octl_answer, f->t))
			octl_release(f->t, true);
		fill_end(f, false);
		return;
	}
	if (ojson_copy(body, &f->account) || token_ask(f))
		fill_end(f, true);
}

/* The account's list names the Secret that was made for it, once there is a token in it. */
static int account_names(struct tokens *k, struct octl_task *t, struct ojson *account, const char *name)
{
	struct ojson *list = ojson_ensure_array(account, "secrets");
	struct ojson *one;
	int e;

	for (size_t i = 0; i < ojson_count(list); i++)
		if (!strcmp(ojson_get_cstr(ojson_index(list, i), "name", ""), name))
			return 0;
	one = ojson_new_object();
	e = ojson_set_cstr(one, "name", name);
	if (e)
		ojson_unref(one);
	else
		e = ojson_append(list, one);
	if (e)
		return e;
	ojson_del(ojson_get(account, "metadata"), "managedFields");
	(void)ojson_set_cstr(account, "kind", "ServiceAccount");
	(void)ojson_set_cstr(account, "apiVersion", "v1");
	octl_hold(t);
	if (okube_update(k->c->h, "serviceaccounts", NULL, account, octl_answer, t))
		octl_release(t, true);
	return 0;
}

static int secret_sync(struct tokens *k, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct ojson *secret = NULL, *account;
	const char *owner, *uid;
	struct fill *f;
	char made[256];
	int e = okube_find(k->c->h, k->secrets, ns, name, &secret);

	if (e)
		return e == -ENOENT ? 0 : e;
	owner = annotation(secret, A_NAME);
	if (!ojson_string_is(ojson_get(secret, "type"), TYPE) || !*owner || okube_deleting(secret)) {
		ojson_unref(secret);
		return 0;
	}
	account = okube_get(k->c->h, k->accounts, ns, text(owner));
	uid = annotation(secret, A_UID);
	if (account && is_filled(k, secret) && !strcmp(uid, okube_meta(account, "uid"))) {
		secret_name(account, made, sizeof(made));
		if (k->make && name.len == strlen(made) && !memcmp(name.p, made, name.len) && !okube_deleting(account))
			e = account_names(k, t, account, made);
		ojson_unref(account);
		ojson_unref(secret);
		return e;
	}
	ojson_unref(account);
	f = OMEM_NEW(struct fill);
	if (!f) {
		ojson_unref(secret);
		return -ENOMEM;
	}
	*f = (struct fill){ .k = k, .t = t, .secret = secret };
	octl_hold(t);
	if (okube_call(k->c->h, &(struct okube_req){ .verb = "get", .resource = "serviceaccounts", .ns = ns,
						     .name = text(owner) }, account_came, f))
		fill_end(f, true);
	return 0;
}

/* ---- an account gets a Secret ------------------------------------------------------------------------ */

static void made_answer(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	/* 409: somebody else made it. 403, 404: the namespace ends; the account goes too. */
	octl_answer(arg, status, status >= 0 && (code == 409 || code == 404 || code == 403) ? 200 : code, body, rev);
}

static int secret_make(struct tokens *k, struct octl_task *t, const struct ojson *account, const char *name)
{
	struct ojson *body = ojson_new_object();
	struct ojson *meta = ojson_ensure_object(body, "metadata");
	struct ojson *notes = ojson_ensure_object(meta, "annotations");
	int e = ojson_set_cstr(body, "kind", "Secret");

	if (!e)
		e = ojson_set_cstr(body, "apiVersion", "v1");
	if (!e)
		e = ojson_set_cstr(body, "type", TYPE);
	if (!e)
		e = ojson_set_cstr(meta, "name", name);
	if (!e)
		e = ojson_set_cstr(meta, "namespace", okube_meta(account, "namespace"));
	if (!e)
		e = ojson_set_cstr(notes, A_NAME, okube_meta(account, "name"));
	if (!e)
		e = ojson_set_cstr(notes, A_UID, okube_meta(account, "uid"));
	if (!e) {
		octl_hold(t);
		if (okube_create(k->c->h, "secrets", text(okube_meta(account, "namespace")), body, made_answer, t))
			octl_release(t, true);
	}
	ojson_unref(body);
	return e;
}

static int account_sync(struct tokens *k, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct ojson *account = NULL, *secret;
	char made[256];
	int e = okube_find(k->c->h, k->accounts, ns, name, &account);

	if (e)
		return e == -ENOENT ? 0 : e;
	if (k->make && !okube_deleting(account)) {
		secret_name(account, made, sizeof(made));
		secret = okube_get(k->c->h, k->secrets, ns, text(made));
		if (!secret)
			e = secret_make(k, t, account, made);
		else if (is_filled(k, secret))
			e = account_names(k, t, account, made);
		ojson_unref(secret);
	}
	ojson_unref(account);
	return e;
}

/* ---- keys ---------------------------------------------------------------------------------------------- */

bool tokens_is_key(struct orlop_bytes ns)
{
	return ns.len > 0;
}

int tokens_sync(struct tokens *k, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	size_t n = strlen(ACCOUNT_KEY);

	if (name.len > n && !memcmp(name.p, ACCOUNT_KEY, n))
		return account_sync(k, t, ns, (struct orlop_bytes){ name.p + n, name.len - n });
	return secret_sync(k, t, ns, name);
}

static void account_queue(struct tokens *k, struct orlop_bytes ns, struct orlop_bytes account)
{
	char key[300];
	int n = snprintf(key, sizeof(key), ACCOUNT_KEY "%.*s", (int)account.len, account.p);

	if (n > 0 && (size_t)n < sizeof(key))
		octl_add(k->c, ns, (struct orlop_bytes){ key, (size_t)n });
}

static bool has(const struct orlop_object *o, const char *what)
{
	return memmem(o->json.p, o->json.len, what, strlen(what)) != NULL;
}

/* Few Secrets are of this type: the others are not parsed. */
void tokens_secret_changed(struct tokens *k, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct ojson *gone;

	(void)prev;
	if (!has(o, TYPE))
		return;
	if (type != ORLOP_CHANGE_DELETED) {
		octl_add(k->c, o->ns, o->name);
		return;
	}
	gone = k->make ? okube_parse(o) : NULL;
	if (gone && *annotation(gone, A_NAME))
		account_queue(k, o->ns, text(annotation(gone, A_NAME)));
	ojson_unref(gone);
}

/* An account that went takes its Secrets along; one that came again under its name must have others. */
static void secrets_queue(struct tokens *k, struct orlop_bytes ns, struct orlop_bytes account)
{
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = ns };
	struct orlop_object *o;
	struct ojson *secret;
	const char *owner;
	struct owalk w;

	if (owalk_open(&w, k->c->h, k->secrets, &q)) {
		octl_missed(k->c);
		return;
	}
	while ((o = owalk_next(&w))) {
		secret = has(o, TYPE) ? okube_parse(o) : NULL;
		owner = annotation(secret, A_NAME);
		if (strlen(owner) == account.len && !memcmp(owner, account.p, account.len))
			octl_add(k->c, o->ns, o->name);
		ojson_unref(secret);
	}
	owalk_close(&w);
}

void tokens_account_changed(struct tokens *k, uint32_t type, struct orlop_object *o)
{
	if (type == ORLOP_CHANGE_DELETED)
		secrets_queue(k, o->ns, o->name);
	else if (k->make)
		account_queue(k, o->ns, o->name);
}

void tokens_make(struct tokens *k, bool make)
{
	if (make && !k->make)
		octl_missed(k->c);
	k->make = make;
}
