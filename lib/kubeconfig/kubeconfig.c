/*
 * kubeconfig.c - reading a kubeconfig: server, authority, credentials.
 *
 * Credentials that need a program (exec, auth-provider) are refused by name: a daemon starts none
 * that a file tells it to.
 */
#include "kubeconfig/okubeconfig.h"

#include <orlop/inline/error.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/ofile.h"
#include "base/omem.h"
#include "json/ojson.h"
#include "yaml/oyaml.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#define FILE_MAX	(4u << 20)

static int no_memory(struct orlop_error *err)
{
	return orlop_fail(err, ENOMEM, 0, "", "no memory");
}

/* "https://HOST[:PORT][/BASE]" */
static int set_server(struct okubeconfig *c, const char *url, struct orlop_error *err)
{
	const char *p, *slash, *port;
	size_t n;

	if (strncasecmp(url, "https://", 8) == 0)
		c->tls = true;
	else if (strncasecmp(url, "http://", 7) != 0)
		return orlop_fail(err, EINVAL, 0, "", "server \"%.100s\": want https://HOST:PORT", url);
	p = url + (c->tls ? 8 : 7);
	slash = p + strcspn(p, "/");
	n = (size_t)(slash - p);
	if (n == 0 || memchr(p, '@', n) || memchr(p, '?', n) || memchr(p, ' ', n))
		return orlop_fail(err, EINVAL, 0, "", "server \"%.100s\": want https://HOST:PORT", url);
	port = memrchr(p, ':', n);
	if (port && memchr(port, ']', n - (size_t)(port - p)))
		port = NULL;		/* inside [::1] */
	c->host = omem_strndup(p, n);
	c->addr = port ? omem_strndup(p, n) : omem_printf("%.*s:%s", (int)n, p, c->tls ? "443" : "80");
	n = strlen(slash);
	while (n && slash[n - 1] == '/')
		n--;
	c->base = omem_strndup(slash, n);
	return c->host && c->addr && c->base ? 0 : no_memory(err);
}

int okubeconfig_server(struct okubeconfig *c, const char *url, struct orlop_error *err)
{
	omem_free(c->host);
	omem_free(c->addr);
	omem_free(c->base);
	c->host = c->addr = c->base = NULL;
	c->tls = false;
	return set_server(c, url, err);
}

/* The entry of this name in a list of { name, KIND: {…} }. */
static const struct ojson *named(const struct ojson *doc, const char *list, const char *kind, const char *name)
{
	OJSON_FOREACH_ELEM(i, e, ojson_get_array(doc, list))
		if (ojson_string_is(ojson_get(e, "name"), name))
			return ojson_get(e, kind);
	return NULL;
}

static int take_path(const struct ojson *o, const char *key, const char *dir, char **ret)
{
	const char *v = ojson_get_cstr(o, key, "");

	if (!v[0])
		return 0;
	*ret = v[0] == '/' || !dir ? omem_strdup(v) : omem_printf("%s/%s", dir, v);
	return *ret ? 0 : -ENOMEM;
}

static int take_text(const struct ojson *o, const char *key, char **ret)
{
	const char *v = ojson_get_cstr(o, key, "");

	if (!v[0])
		return 0;
	*ret = omem_strdup(v);
	return *ret ? 0 : -ENOMEM;
}

static int take_data(const struct ojson *o, const char *key, char **ret, struct orlop_error *err)
{
	struct orlop_bytes v = ojson_get_bytes(o, key);
	char *out;
	long n;

	if (v.len == 0)
		return 0;
	out = omem_alloc(OBASE64_DECODED(v.len) + 1);
	if (!out)
		return no_memory(err);
	n = obase64_decode(OBASE64_STD, v.p, v.len, out, NULL);
	if (n < 0) {
		omem_free(out);
		return orlop_fail(err, EINVAL, 0, "", "%s is not base64", key);
	}
	out[n] = '\0';
	*ret = out;
	return 0;
}

static int take_cluster(const struct ojson *cl, const char *dir, struct okubeconfig *c, struct orlop_error *err)
{
	const char *proxy = ojson_get_cstr(cl, "proxy-url", "");
	int r;

	if (proxy[0])
		return orlop_fail(err, ENOTSUP, 0, "", "proxy-url is not supported; give a server that can be reached directly");
	r = set_server(c, ojson_get_cstr(cl, "server", ""), err);
	if (r == 0)
		r = take_data(cl, "certificate-authority-data", &c->ca_pem, err);
	if (r)
		return r;
	if (!c->ca_pem && take_path(cl, "certificate-authority", dir, &c->ca_path))
		return no_memory(err);
	c->insecure = ojson_get_bool(cl, "insecure-skip-tls-verify", false);
	if (take_text(cl, "tls-server-name", &c->tls_name))
		return no_memory(err);
	if (c->tls && !c->insecure && !c->ca_pem && !c->ca_path)
		return orlop_fail(err, EINVAL, 0, "", "the cluster has no certificate-authority; add it (or its -data)");
	return 0;
}

static int take_basic(const struct ojson *user, struct okubeconfig *c)
{
	const char *name = ojson_get_cstr(user, "username", "");
	cleanup_obuf struct obuf b = OBUF_INIT;
	char *out;

	if (!name[0])
		return 0;
	obuf_printf(&b, "%s:%s", name, ojson_get_cstr(user, "password", ""));
	out = omem_alloc(OBASE64_ENCODED(b.len));
	if (!out || obuf_err(&b)) {
		omem_free(out);
		return -ENOMEM;
	}
	(void)obase64_encode(OBASE64_STD, b.data, b.len, out);
	c->basic = out;
	return 0;
}

static int take_user(const struct ojson *u, const char *dir, struct okubeconfig *c, struct orlop_error *err)
{
	static const char *const programs[] = { "exec", "auth-provider" };
	int r;

	for (size_t i = 0; i < 2; i++)
		if (ojson_has(u, programs[i]))
			return orlop_fail(err, ENOTSUP, 0, "", "the user's \"%s\" starts a program, which a daemon does not; "
					  "use a client certificate, a token or a tokenFile", programs[i]);
	r = take_data(u, "client-certificate-data", &c->cert_pem, err);
	if (r == 0)
		r = take_data(u, "client-key-data", &c->key_pem, err);
	if (r)
		return r;
	if ((!c->cert_pem && take_path(u, "client-certificate", dir, &c->cert_path)) ||
	    (!c->key_pem && take_path(u, "client-key", dir, &c->key_path)) ||
	    take_path(u, "tokenFile", dir, &c->token_path) || take_text(u, "token", &c->token) ||
	    take_text(u, "as", &c->as) || take_basic(u, c))
		return no_memory(err);
	if (!c->cert_pem != !c->key_pem || !c->cert_path != !c->key_path)
		return orlop_fail(err, EINVAL, 0, "", "the user has a client certificate without its key or the other way "
				  "round; both as files or both as -data");
	return 0;
}

static bool clean(const char *t)
{
	for (; t && *t; t++)
		if ((unsigned char)*t < ' ' || *t == 127)
			return false;
	return true;
}

int okubeconfig_parse(const char *text, size_t len, const char *dir, const char *context, struct okubeconfig *c,
		    struct orlop_error *err)
{
	const struct ojson *ctx, *cluster, *user;
	struct oyaml_error where = { 0 };
	struct ojson *doc = NULL;
	const char *name;
	int r = oyaml_parse(text, len, &doc, &where);

	if (r || !ojson_is(doc, OJSON_OBJECT)) {
		ojson_unref(doc);
		return r == -ENOMEM ? no_memory(err) :
		       orlop_fail(err, EINVAL, 0, "", "not a kubeconfig: %s", r ? where.msg : "no mapping");
	}
	name = context && context[0] ? context : ojson_get_cstr(doc, "current-context", "");
	ctx = named(doc, "contexts", "context", name);
	cluster = named(doc, "clusters", "cluster", ojson_get_cstr(ctx, "cluster", ""));
	user = named(doc, "users", "user", ojson_get_cstr(ctx, "user", ""));
	if (!ctx)
		r = orlop_fail(err, ENOENT, 0, "", "no context \"%.60s\"; set current-context", name);
	else if (!cluster)
		r = orlop_fail(err, ENOENT, 0, "", "context \"%.60s\" names a cluster that is not there", name);
	else
		r = take_cluster(cluster, dir, c, err);
	if (r == 0 && user)
		r = take_user(user, dir, c, err);
	ojson_unref(doc);
	if (r == 0 && (!clean(c->token) || !clean(c->as)))
		r = orlop_fail(err, EINVAL, 0, "", "token or user name with control characters");
	return r;
}

int okubeconfig_load(const char *path, const char *context, struct okubeconfig *c, struct orlop_error *err)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = slash ? omem_strndup(path, (size_t)(slash - path)) : NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;
	int r = ofile_read(AT_FDCWD, path, FILE_MAX, &b);

	if (slash && !dir)
		return no_memory(err);
	if (r)
		return orlop_fail(err, -r, 0, "", "kubeconfig %s: %s", path, strerrordesc_np(-r));
	r = okubeconfig_parse(obuf_cstr(&b), b.len, dir, context, c, err);
	if (b.data)
		explicit_bzero(b.data, b.len);
	return r ? orlop_wrap(err, r, "kubeconfig %s", path) : 0;
}

int okubeconfig_token(struct okubeconfig *c, struct orlop_error *err)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	char *t;
	int r;

	if (!c->token_path)
		return 0;
	r = ofile_read(AT_FDCWD, c->token_path, 65536, &b);
	if (r)
		return orlop_fail(err, -r, 0, "", "token %s: %s", c->token_path, strerrordesc_np(-r));
	while (b.len && isspace((unsigned char)b.data[b.len - 1]))
		obuf_truncate(&b, b.len - 1);
	if (b.len == 0 || !clean(b.data))
		return orlop_fail(err, EINVAL, 0, "", "token %s: empty, or more than one line", c->token_path);
	t = omem_strndup(b.data, b.len);
	if (!t)
		return no_memory(err);
	omem_free(c->token);
	c->token = t;
	return 0;
}

void okubeconfig_done(struct okubeconfig *c)
{
	char *secret[] = { c->key_pem, c->token, c->basic };

	for (size_t i = 0; i < sizeof(secret) / sizeof(*secret); i++)
		if (secret[i])
			omem_free_secret(secret[i], strlen(secret[i]));
	omem_free(c->addr);
	omem_free(c->host);
	omem_free(c->base);
	omem_free(c->tls_name);
	omem_free(c->ca_path);
	omem_free(c->ca_pem);
	omem_free(c->cert_path);
	omem_free(c->key_path);
	omem_free(c->cert_pem);
	omem_free(c->token_path);
	omem_free(c->as);
	memset(c, 0, sizeof(*c));
}
