/* What `up` writes down: key and certificate as files, and kubeconfigs. */
#include "internal.h"

#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/ofile.h"
#include "base/omem.h"

#include <orlop/inline/error.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int opki_issue_files(const char *dir, const char *name, const struct opki_cert_spec *spec,
		     const struct opki_cert *ca, const struct opki_key *ca_key, struct orlop_error *err)
{
	cleanup_free char *key_path = omem_printf("%s/%s.key", dir, name);
	cleanup_free char *crt_path = omem_printf("%s/%s.crt", dir, name);
	struct opki_key *key = NULL;
	struct opki_cert *crt = NULL;
	struct obuf b = OBUF_INIT;
	int r = key_path && crt_path ? 0 : -ENOMEM;

	if (r == 0)
		r = opki_key_new(&key);
	if (r == 0)
		r = opki_cert_new(spec, key, ca, ca_key, &crt);
	if (r == 0)
		r = opki_key_pem(key, &b);
	if (r < 0) {
		r = orlop_fail(err, -r, 0, "", "cannot make the certificate %s: %s", name, strerrordesc_np(-r));
		goto out;
	}
	r = ofile_write_atomic(AT_FDCWD, key_path, b.data, b.len, 0600);
	memset(b.data, 0, b.len);
	obuf_reset(&b);
	if (r == 0)
		r = opki_cert_pem(crt, &b);
	if (r == 0)
		r = ofile_write_atomic(AT_FDCWD, crt_path, b.data, b.len, 0644);
	if (r < 0)
		r = orlop_fail(err, -r, 0, "", "cannot write %s: %s", crt_path, strerrordesc_np(-r));
out:
	obuf_done(&b);
	opki_cert_free(crt);
	opki_key_free(key);
	return r;
}

static void put_b64(struct obuf *b, const char *key, struct orlop_bytes v)
{
	obuf_printf(b, "    %s: ", key);
	obase64_append(b, OBASE64_STD, v.p, v.len);
	obuf_putc(b, '\n');
}

int opki_kubeconfig(const struct opki_kubeconfig *k, struct obuf *out)
{
	const char *cluster = k->cluster ? k->cluster : "orlop";

	obuf_printf(out,
		    "apiVersion: v1\nkind: Config\n"
		    "clusters:\n- name: %s\n  cluster:\n    server: %s\n", cluster, k->server);
	if (k->ca_pem.len)
		put_b64(out, "certificate-authority-data", k->ca_pem);
	obuf_printf(out,
		    "contexts:\n- name: %s\n  context:\n    cluster: %s\n    user: %s\n"
		    "current-context: %s\npreferences: {}\nusers:\n- name: %s\n  user:\n",
		    cluster, cluster, k->user, cluster, k->user);
	if (k->cert_pem.len) {
		put_b64(out, "client-certificate-data", k->cert_pem);
		put_b64(out, "client-key-data", k->key_pem);
	} else {
		obuf_printf(out, "    token: %.*s\n", (int)k->token.len, k->token.p ? k->token.p : "");
	}
	return obuf_err(out);
}
