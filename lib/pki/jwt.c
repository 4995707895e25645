/* Tokens: JSON Web Signatures with ES256 and RS256 (RFC 7515, 7518). */
#include "internal.h"

#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/omem.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#define MAX_TOKEN	(64u * 1024)
#define MAX_SIG		1024u

static int sign(const struct opki_key *k, const void *p, size_t len, unsigned char *sig, size_t *sig_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
		 EVP_DigestSign(ctx, sig, sig_len, p, len) == 1;

	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok ? 0 : -EINVAL;
}

/* DER SEQUENCE{r,s} ↔ 64 bytes r|s. */
static int to_raw(const unsigned char *der, size_t len, unsigned char raw[64])
{
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)len);
	int ok = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), raw, 32) == 32 &&
		 BN_bn2binpad(ECDSA_SIG_get0_s(s), raw + 32, 32) == 32;

	ECDSA_SIG_free(s);
	return ok ? 0 : -EINVAL;
}

static int from_raw(const unsigned char raw[64], unsigned char *der, size_t *len)
{
	ECDSA_SIG *s = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, 32, NULL);
	BIGNUM *v = BN_bin2bn(raw + 32, 32, NULL);
	int n = -1;

	if (s && r && v && ECDSA_SIG_set0(s, r, v) == 1) {
		r = NULL;
		v = NULL;
		n = i2d_ECDSA_SIG(s, NULL);
		if (n > 0 && (size_t)n <= *len)
			n = i2d_ECDSA_SIG(s, &der);
		else
			n = -1;
	}
	BN_free(r);
	BN_free(v);
	ECDSA_SIG_free(s);
	if (n <= 0)
		return -EINVAL;
	*len = (size_t)n;
	return 0;
}

int opki_jwt_sign(const struct opki_key *k, const char *claims, size_t len, struct obuf *out)
{
	bool ec = EVP_PKEY_is_a(k->pkey, "EC");
	unsigned char sig[MAX_SIG];
	size_t sig_len = sizeof(sig);
	size_t start = out->len;
	char head[160];
	char kid[64];
	int n;
	int r;

	if (!k->is_private || opki_key_id(k, kid) < 0)
		return -EINVAL;
	n = snprintf(head, sizeof(head), "{\"alg\":\"%s\",\"kid\":\"%s\"}", ec ? "ES256" : "RS256", kid);
	obase64_append(out, OBASE64_RAWURL, head, (size_t)n);
	obuf_putc(out, '.');
	obase64_append(out, OBASE64_RAWURL, claims, len);
	if (obuf_err(out))
		return -ENOMEM;
	r = sign(k, out->data + start, out->len - start, sig, &sig_len);
	if (r == 0 && ec) {
		unsigned char raw[64];

		r = to_raw(sig, sig_len, raw);
		memcpy(sig, raw, 64);
		sig_len = 64;
	}
	if (r < 0) {
		obuf_truncate(out, start);
		return r;
	}
	obuf_putc(out, '.');
	obase64_append(out, OBASE64_RAWURL, sig, sig_len);
	return obuf_err(out);
}

static bool verify(const struct opki_key *k, const char *p, size_t len, const unsigned char *sig, size_t sig_len,
		   bool want_ec)
{
	unsigned char der[128];
	size_t der_len = sizeof(der);
	EVP_MD_CTX *ctx;
	bool ok;

	if (want_ec != (EVP_PKEY_is_a(k->pkey, "EC") == 1))
		return false;
	if (want_ec) {
		if (sig_len != 64 || from_raw(sig, der, &der_len) < 0)
			return false;
		sig = der;
		sig_len = der_len;
	}
	ctx = EVP_MD_CTX_new();
	ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
	     EVP_DigestVerify(ctx, sig, sig_len, (const unsigned char *)p, len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

/* Is "alg":"X" in this small header? Spaces as JSON allows; that is all a header needs to tell us. */
static bool header_alg(const char *p, size_t len, const char *alg)
{
	const char *at = memmem(p, len, "\"alg\"", 5);
	const char *end = p + len;
	size_t n = strlen(alg);

	if (!at)
		return false;
	at += 5;
	while (at < end && (*at == ' ' || *at == ':'))
		at++;
	return (size_t)(end - at) >= n + 2 && at[0] == '"' && memcmp(at + 1, alg, n) == 0 && at[n + 1] == '"';
}

int opki_jwt_verify(const struct opki_key *const *keys, size_t n, const char *token, size_t len,
		    struct obuf *ret_claims)
{
	const char *dot1 = memchr(token, '.', len);
	const char *dot2 = dot1 ? memchr(dot1 + 1, '.', len - (size_t)(dot1 + 1 - token)) : NULL;
	unsigned char sig[MAX_SIG];
	char head[512];
	long head_len;
	long sig_len;
	long claims_len;
	size_t sig_text;
	bool ec;
	char *to;

	if (len > MAX_TOKEN || !dot2)
		return -EBADMSG;
	sig_text = len - (size_t)(dot2 + 1 - token);
	if ((size_t)(dot1 - token) > 600 || sig_text > MAX_SIG || OBASE64_DECODED(sig_text) > sizeof(sig) ||
	    OBASE64_DECODED((size_t)(dot1 - token)) > sizeof(head))
		return -EBADMSG;
	head_len = obase64_decode(OBASE64_RAWURL, token, (size_t)(dot1 - token), head, NULL);
	sig_len = obase64_decode(OBASE64_RAWURL, dot2 + 1, sig_text, sig, NULL);
	claims_len = obase64_decode(OBASE64_RAWURL, dot1 + 1, (size_t)(dot2 - dot1 - 1), NULL, NULL);
	if (head_len < 0 || sig_len < 0 || claims_len < 2)
		return -EBADMSG;
	ec = header_alg(head, (size_t)head_len, "ES256");
	if (!ec && !header_alg(head, (size_t)head_len, "RS256"))
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		if (!verify(keys[i], token, (size_t)(dot2 - token), sig, (size_t)sig_len, ec))
			continue;
		to = obuf_reserve(ret_claims, OBASE64_DECODED((size_t)(dot2 - dot1 - 1)) + 1);
		if (!to)
			return -ENOMEM;
		claims_len = obase64_decode(OBASE64_RAWURL, dot1 + 1, (size_t)(dot2 - dot1 - 1), to, NULL);
		obuf_advance(ret_claims, (size_t)claims_len);
		return obuf_err(ret_claims);
	}
	return -EACCES;
}
