/*
 * opki - keys, certificates, tokens: what a cluster needs to trust itself
 *
 * Keys are ECDSA P-256 (RSA 2048 can be read). Everything is PEM text in buffers or in files; files
 * with keys are written 0600, as a whole.
 */
#ifndef OLIB_PKI_OPKI_H
#define OLIB_PKI_OPKI_H

#include "base/obuf.h"

#include <orlop/types.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct opki_key;		/* a private or public key */
struct opki_cert;

/* ---- keys ------------------------------------------------------------------------------------ */

int opki_key_new(struct opki_key **ret);			/* ECDSA P-256 */
int opki_key_new_rsa(unsigned int bits, struct opki_key **ret);
int opki_key_parse(const char *pem, size_t len, struct opki_key **ret);	/* private or public */
int opki_key_load(const char *path, struct opki_key **ret, struct orlop_error *err);
int opki_key_pem(const struct opki_key *k, struct obuf *out);		/* private, PKCS#8 */
int opki_key_public_pem(const struct opki_key *k, struct obuf *out);
void opki_key_free(struct opki_key *k);
/* JWK of the public part ({"kty":…,"kid":…}), and its key id: base64url of SHA-256 of the DER. */
int opki_key_jwk(const struct opki_key *k, struct obuf *out);
int opki_key_id(const struct opki_key *k, char out[64]);

/* ---- certificates ---------------------------------------------------------------------------- */

#define OPKI_CERT_CA		0x1u
#define OPKI_CERT_SERVER	0x2u
#define OPKI_CERT_CLIENT	0x4u

struct opki_cert_spec {
	const char	*cn;
	const char	*const *orgs;	/* NULL-terminated, may be NULL */
	const char	*const *sans;	/* DNS names and IP addresses, NULL-terminated, may be NULL */
	uint32_t	use;		/* OPKI_CERT_* */
	uint32_t	days;		/* 0: CA 3650, others 365 */
	int64_t		now;		/* seconds since 1970; valid from 5 minutes before */
};

/* @ca NULL: signed by itself. */
int opki_cert_new(const struct opki_cert_spec *spec, const struct opki_key *key, const struct opki_cert *ca,
		  const struct opki_key *ca_key, struct opki_cert **ret);
int opki_cert_parse(const char *pem, size_t len, struct opki_cert **ret);
int opki_cert_load(const char *path, struct opki_cert **ret, struct orlop_error *err);
int opki_cert_pem(const struct opki_cert *c, struct obuf *out);
void opki_cert_free(struct opki_cert *c);
int64_t opki_cert_not_after(const struct opki_cert *c);		/* seconds since 1970 */
int opki_cert_signed_by(const struct opki_cert *c, const struct opki_cert *ca);	/* 1 or 0 */
int opki_cert_matches(const struct opki_cert *c, const struct opki_key *k);	/* 1 or 0 */
int opki_cert_has_san(const struct opki_cert *c, const char *name);		/* 1 or 0 */

/* ---- requests for certificates (PKCS #10) ----------------------------------------------------- */

struct opki_request;

enum { OPKI_SAN_DNS = 1, OPKI_SAN_IP, OPKI_SAN_EMAIL, OPKI_SAN_URI };

/* The first request in PEM text. 0, -EINVAL: there is none that can be read, -E2BIG, -ENOMEM. */
int opki_request_parse(const char *pem, size_t len, struct opki_request **ret);
void opki_request_free(struct opki_request *r);		/* accepts NULL */
const char *opki_request_cn(const struct opki_request *r);	/* "" without one */
uint32_t opki_request_orgs(const struct opki_request *r, const char *const **ret);	/* how many */
uint32_t opki_request_sans(const struct opki_request *r, int kind);	/* how many of OPKI_SAN_* */

/* What a certificate is good for, and when (seconds since 1970). Usages as OpenSSL's configuration names them. */
struct opki_grant {
	int64_t		not_before;
	int64_t		not_after;
	const char	*key_usage;	/* "critical,digitalSignature,keyEncipherment"; "" none */
	const char	*ext_key_usage;	/* "clientAuth"; "" none */
};

/*
 * A certificate with the subject, key and names of the request, never one of an authority; its other extensions are not
 * looked at. -EBADMSG: who asks does not have the key.
 */
int opki_request_sign(const struct opki_request *r, const struct opki_grant *g, const struct opki_cert *ca,
		      const struct opki_key *ca_key, struct opki_cert **ret);

/* Makes key and certificate and writes DIR/NAME.key (0600) and DIR/NAME.crt (0644). */
int opki_issue_files(const char *dir, const char *name, const struct opki_cert_spec *spec,
		     const struct opki_cert *ca, const struct opki_key *ca_key, struct orlop_error *err);

/* ---- tokens (JWT) ---------------------------------------------------------------------------- */

/* header.claims.signature of the JSON object @claims; ES256 or RS256 by the key. */
int opki_jwt_sign(const struct opki_key *k, const char *claims, size_t len, struct obuf *out);
/*
 * Verify a token against @n keys and append the claims (JSON) to @ret_claims. Looks at alg, kid and
 * the signature only: times and audience are the caller's. 0, -EBADMSG (no JWT), -EACCES (no key fits).
 */
int opki_jwt_verify(const struct opki_key *const *keys, size_t n, const char *token, size_t len,
		    struct obuf *ret_claims);

/* ---- kubeconfig ------------------------------------------------------------------------------ */

struct opki_kubeconfig {
	const char		*cluster;	/* NULL: "orlop" */
	const char		*user;
	const char		*server;	/* "https://127.0.0.1:6443" */
	struct orlop_bytes	ca_pem;
	struct orlop_bytes	cert_pem;	/* with key_pem, or token */
	struct orlop_bytes	key_pem;
	struct orlop_bytes	token;
};

int opki_kubeconfig(const struct opki_kubeconfig *k, struct obuf *out);

#endif
