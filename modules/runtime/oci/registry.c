/*
 * registry.c - what is to be known about registries: mirrors, insecure ones, certificates, credentials.
 * skopeo does the talking; this is what it is told.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/ofile.h"
#include "base/omem.h"

/* Host, port, path and what a mirror may have; nothing that could end a TOML string. */
static bool location_ok(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9') ||
		      strchr(".-_:/[]*", p[i])))
			return false;
	return len > 0;
}

static bool listed(const char *list, const char *p, size_t len)
{
	const char *q = list;

	while (*q) {
		size_t n;

		q += strspn(q, ", ");
		n = strcspn(q, ", ");
		if (n == len && !memcmp(p, q, len))
			return true;
		q += n;
	}
	return false;
}

/* "REGISTRY=MIRROR, …": all mirrors of @reg. */
static int mirrors_put(const char *mirrors, const char *insecure, const char *reg, size_t reg_len, struct obuf *out)
{
	const char *q = mirrors;

	while (*q) {
		const char *eq;
		size_t n;

		q += strspn(q, ", ");
		n = strcspn(q, ", ");
		eq = memchr(q, '=', n);
		if (n && (!eq || !location_ok(eq + 1, n - (size_t)(eq + 1 - q)) || !location_ok(q, (size_t)(eq - q))))
			return -EINVAL;
		if (eq && (size_t)(eq - q) == reg_len && !memcmp(q, reg, reg_len)) {
			size_t len = n - (size_t)(eq + 1 - q);

			obuf_printf(out, "[[registry.mirror]]\nlocation = \"%.*s\"\ninsecure = %s\n", (int)len, eq + 1,
				    listed(insecure, eq + 1, strcspn(eq + 1, "/, ")) ? "true" : "false");
		}
		q += n;
	}
	return 0;
}

static int registry_put(const char *mirrors, const char *insecure, const char *reg, size_t len, struct ojson *seen, struct obuf *out)
{
	OJSON_FOREACH_ELEM(i, s, seen) {
		size_t n = 0;
		const char *p = ojson_string(s, &n);

		if (p && n == len && !memcmp(p, reg, len))
			return 0;
	}
	if (!location_ok(reg, len))
		return -EINVAL;
	(void)ojson_append(seen, ojson_new_string(reg, len));
	obuf_printf(out, "[[registry]]\nprefix = \"%.*s\"\nlocation = \"%.*s\"\ninsecure = %s\n", (int)len, reg, (int)len, reg,
		    listed(insecure, reg, len) ? "true" : "false");
	return mirrors_put(mirrors, insecure, reg, len, out);
}

static int conf_make(const char *mirrors, const char *insecure, struct obuf *out)
{
	cleanup_ojson struct ojson *seen = ojson_new_array();
	const char *lists[2] = { mirrors, insecure };
	int e = seen ? 0 : -ENOMEM;
	size_t i;

	obuf_puts(out, "unqualified-search-registries = []\nshort-name-mode = \"disabled\"\n");
	for (i = 0; i < 2 && !e; i++) {
		const char *q = lists[i];

		while (*q && !e) {
			size_t n;

			q += strspn(q, ", ");
			n = strcspn(q, ", ");
			if (n)
				e = registry_put(mirrors, insecure, q, i ? n : strcspn(q, "=, "), seen, out);
			q += n;
		}
	}
	return e ? e : obuf_err(out);
}

int registry_init(struct oci *o, struct orlop_error *err)
{
	const char *mirrors = o->h->param(o->h, "mirrors");
	const char *insecure = o->h->param(o->h, "insecure_registries");
	const char *own = o->h->param(o->h, "registries_conf");
	struct obuf b = OBUF_INIT;
	int e;

	o->certs_dir = o->h->param(o->h, "certs_dir");
	if (*own) {
		if (access(own, R_OK))
			return orlop_fail(err, errno, 0, "", "registries_conf = \"%s\": cannot be read", own);
		o->registries_conf = omem_strdup(own);
		return o->registries_conf ? 0 : orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	if (!*mirrors && !*insecure)
		return 0;
	e = conf_make(mirrors, insecure, &b);
	if (e == -EINVAL) {
		obuf_done(&b);
		return orlop_fail(err, EINVAL, 0, "", "mirrors = \"%s\", insecure_registries = \"%s\": a list of REGISTRY=MIRROR, and one of registries, is expected",
				  mirrors, insecure);
	}
	o->registries_conf = path_of(o, "registries.conf");
	if (!e)
		e = o->registries_conf ? ofile_write(AT_FDCWD, o->registries_conf, b.data, b.len, 0600) : -ENOMEM;
	obuf_done(&b);
	return e ? orlop_fail(err, -e, 0, "", "cannot write registries.conf") : 0;
}

int registry_auth_write(const char *path, const char *name, const struct ojson *auth, char **ret_token)
{
	const char *user = ojson_get_cstr(auth, "username", "");
	const char *identity = ojson_get_cstr(auth, "identityToken", "");
	const char *given = ojson_get_cstr(auth, "auth", "");
	cleanup_free char *host = omem_strndup(name, strcspn(name, "/"));
	cleanup_ojson struct ojson *j = ojson_new_object();
	cleanup_free char *text = NULL;
	struct obuf plain = OBUF_INIT;
	struct obuf b64 = OBUF_INIT;
	struct ojson *one;
	size_t len = 0;
	int e = -ENOMEM;

	if (*ojson_get_cstr(auth, "registryToken", "")) {
		*ret_token = omem_strdup(ojson_get_cstr(auth, "registryToken", ""));
		return *ret_token ? 1 : -ENOMEM;
	}
	one = j && host ? ojson_ensure_object(ojson_ensure_object(j, "auths"), host) : NULL;
	if (one) {
		obuf_printf(&plain, "%s:%s", user, ojson_get_cstr(auth, "password", ""));
		if (*user)
			obase64_append(&b64, OBASE64_STD, plain.data, plain.len);
		if (*user || *given)
			(void)ojson_set_cstr(one, "auth", *user ? obuf_cstr(&b64) : given);
		if (*identity)
			(void)ojson_set_cstr(one, "identitytoken", identity);
		text = ojson_text(j, 0, &len);
	}
	if (text && !obuf_err(&plain) && !obuf_err(&b64))
		e = ofile_write(AT_FDCWD, path, text, len, 0600);
	obuf_done(&plain);
	obuf_done(&b64);
	return e;
}

static bool loopback(const char *name)
{
	return !strncmp(name, "127.", 4) || !strncmp(name, "localhost:", 10) ||
	       !strncmp(name, "localhost/", 10) || !strncmp(name, "[::1]", 5);
}

int registry_args(const struct oci *o, const char *name, char buf[4096], const char **argv)
{
	int n = 0;

	snprintf(buf, 4096, "%s/%.*s", o->certs_dir, (int)strcspn(name, "/"), name);
	if (*o->certs_dir && !access(buf, X_OK)) {
		argv[n++] = "--src-cert-dir";
		argv[n++] = buf;
	} else if (loopback(name)) {
		/* as upstream's engines: what listens on this machine need not prove who it is */
		argv[n++] = "--src-tls-verify=false";
	}
	return n;
}
