/* Keys, certificates, tokens, kubeconfig. */
#include "pki/opki.h"

#include "base/ofile.h"
#include "base/omem.h"
#include "base/otap.h"

#include <orlop/inline/error.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

int main(void)
{
	const char *const orgs[] = { "system:masters", "b", NULL };
	const char *const sans[] = { "localhost", "127.0.0.1", "::1", NULL };
	struct opki_cert_spec ca_spec = { .cn = "orlop-ca", .use = OPKI_CERT_CA, .now = time(NULL) };
	struct opki_cert_spec spec = { .cn = "kubernetes", .orgs = orgs, .sans = sans,
		.use = OPKI_CERT_SERVER | OPKI_CERT_CLIENT, .days = 10, .now = time(NULL) };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct opki_key *ca_key = NULL, *key = NULL, *rsa = NULL, *pub = NULL, *other = NULL;
	struct opki_cert *ca = NULL, *crt = NULL;
	const struct opki_key *keys[2];
	struct obuf b = OBUF_INIT, claims = OBUF_INIT, tok = OBUF_INIT;
	char dir[] = "/tmp/orlop-pki-XXXXXX";
	static const char text[] = "{\"sub\":\"system:serviceaccount:default:default\"}";
	struct stat st;
	char path[128];

	is_int(opki_key_new(&ca_key), 0, "a key");
	is_int(opki_cert_new(&ca_spec, ca_key, NULL, NULL, &ca), 0, "a CA");
	ok(mkdtemp(dir) != NULL, "directory");
	is_int(opki_issue_files(dir, "api", &spec, ca, ca_key, &err), 0, "files are written %s", err.msg);
	snprintf(path, sizeof(path), "%s/api.key", dir);
	is_int(stat(path, &st), 0, "key file");
	is_int(st.st_mode & 0777, 0600, "its mode");
	is_int(opki_key_load(path, &key, &err), 0, "loads");
	snprintf(path, sizeof(path), "%s/api.crt", dir);
	is_int(opki_cert_load(path, &crt, &err), 0, "certificate loads");
	is_int(opki_cert_signed_by(crt, ca), 1, "signed by the CA");
	is_int(opki_cert_signed_by(ca, crt), 0, "not the other way round");
	is_int(opki_cert_matches(crt, key), 1, "key fits");
	is_int(opki_cert_matches(crt, ca_key), 0, "another does not");
	is_int(opki_cert_has_san(crt, "127.0.0.1"), 1, "IP name");
	is_int(opki_cert_has_san(crt, "::1"), 1, "IPv6 name");
	is_int(opki_cert_has_san(crt, "localhost"), 1, "DNS name");
	is_int(opki_cert_has_san(crt, "10.0.0.1"), 0, "another name");
	ok(opki_cert_not_after(crt) > time(NULL) + 9 * 86400, "valid for ten days");
	is_int(opki_cert_load("/nonexistent", &crt, &err), -ENOENT, "missing file");
	ok(strstr(err.msg, "/nonexistent") != NULL, "names the file: %s", err.msg);

	is_int(opki_jwt_sign(key, text, sizeof(text) - 1, &tok), 0, "token");
	keys[0] = ca_key;
	keys[1] = key;
	is_int(opki_jwt_verify(keys, 2, tok.data, tok.len, &claims), 0, "verifies");
	is_str(obuf_cstr(&claims), text, "claims");
	is_int(opki_jwt_verify(keys, 1, tok.data, tok.len, &claims), -EACCES, "not with another key");
	tok.data[tok.len / 2] ^= 1;
	ok(opki_jwt_verify(keys, 2, tok.data, tok.len, &claims) < 0, "not when changed");
	is_int(opki_jwt_verify(keys, 2, "a.b.c", 5, &claims), -EBADMSG, "rubbish");
	is_int(opki_jwt_verify(keys, 2, "", 0, &claims), -EBADMSG, "nothing");
	/* {"alg":"none"} with an empty signature */
	is_int(opki_jwt_verify(keys, 2, "eyJhbGciOiJub25lIn0.e30.", 24, &claims), -EBADMSG, "alg none");

	is_int(opki_key_new_rsa(2048, &rsa), 0, "RSA key");
	obuf_reset(&tok);
	obuf_reset(&claims);
	is_int(opki_jwt_sign(rsa, text, sizeof(text) - 1, &tok), 0, "RS256");
	is_int(opki_key_public_pem(rsa, &b), 0, "public PEM");
	is_int(opki_key_parse(b.data, b.len, &pub), 0, "parses");
	keys[0] = pub;
	is_int(opki_jwt_verify(keys, 2, tok.data, tok.len, &claims), 0, "public key verifies");
	is_int(opki_jwt_sign(pub, text, sizeof(text) - 1, &tok), -EINVAL, "a public key signs nothing");
	obuf_reset(&b);
	is_int(opki_key_jwk(key, &b), 0, "jwk");
	ok(strstr(obuf_cstr(&b), "\"x\":\"") && strstr(obuf_cstr(&b), "\"y\":\""), "%s", obuf_cstr(&b));
	is_int(opki_key_parse("x", 1, &other), -EINVAL, "no key");

	obuf_reset(&b);
	is_int(opki_kubeconfig(&(struct opki_kubeconfig){ .user = "admin", .server = "https://127.0.0.1:6443",
		.ca_pem = { "CA", 2 }, .token = { "tok", 3 } }, &b), 0, "kubeconfig");
	ok(strstr(obuf_cstr(&b), "certificate-authority-data: Q0E=") != NULL, "CA inside");

	(void)ofile_remove_tree(AT_FDCWD, dir);
	obuf_done(&b);
	obuf_done(&tok);
	obuf_done(&claims);
	opki_key_free(ca_key);
	opki_key_free(key);
	opki_key_free(rsa);
	opki_key_free(pub);
	opki_cert_free(ca);
	opki_cert_free(crt);
	orlop_error_done(&err);
	return done_testing();
}
