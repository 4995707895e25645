/* Private and public keys. */
#include "internal.h"

#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/ofile.h"
#include "base/omem.h"

#include <orlop/inline/error.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

int opki_no_password(char *buf, int size, int rw, void *arg)
{
	(void)buf;
	(void)size;
	(void)rw;
	(void)arg;
	return -1;
}

int opki_take_bio(BIO *bio, struct obuf *out)
{
	char *p = NULL;
	long n = BIO_get_mem_data(bio, &p);

	if (n > 0)
		obuf_append(out, p, (size_t)n);
	if (p && n > 0)
		OPENSSL_cleanse(p, (size_t)n);
	BIO_free(bio);
	return obuf_err(out);
}

static int wrap(EVP_PKEY *pkey, bool is_private, struct opki_key **ret)
{
	struct opki_key *k;

	if (!pkey) {
		ERR_clear_error();
		return -ENOMEM;
	}
	k = OMEM_NEW(struct opki_key);
	if (!k) {
		EVP_PKEY_free(pkey);
		return -ENOMEM;
	}
	k->pkey = pkey;
	k->is_private = is_private;
	*ret = k;
	return 0;
}

int opki_key_new(struct opki_key **ret)
{
	return wrap(EVP_EC_gen("P-256"), true, ret);
}

int opki_key_new_rsa(unsigned int bits, struct opki_key **ret)
{
	return wrap(EVP_RSA_gen(bits), true, ret);
}

int opki_key_parse(const char *pem, size_t len, struct opki_key **ret)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	EVP_PKEY *k;
	bool is_private = true;

	if (!bio)
		return -ENOMEM;
	k = PEM_read_bio_PrivateKey(bio, NULL, opki_no_password, NULL);
	BIO_free(bio);
	if (!k) {
		is_private = false;
		bio = BIO_new_mem_buf(pem, (int)len);
		if (bio)
			k = PEM_read_bio_PUBKEY(bio, NULL, opki_no_password, NULL);
		BIO_free(bio);
	}
	ERR_clear_error();
	if (!k)
		return -EINVAL;
	return wrap(k, is_private, ret);
}

int opki_key_load(const char *path, struct opki_key **ret, struct orlop_error *err)
{
	struct obuf b = OBUF_INIT;
	int r = ofile_read(AT_FDCWD, path, 65536, &b);

	if (r < 0)
		r = orlop_fail(err, -r, 0, "", "cannot read %s: %s", path, strerrordesc_np(-r));
	else if ((r = opki_key_parse(obuf_cstr(&b), b.len, ret)) < 0)
		r = orlop_fail(err, -r, 0, "", "%s holds no key in PEM form", path);
	if (b.data)
		OPENSSL_cleanse(b.data, b.len);
	obuf_done(&b);
	return r;
}

int opki_key_pem(const struct opki_key *k, struct obuf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) != 1) {
		BIO_free(bio);
		ERR_clear_error();
		return -EINVAL;
	}
	return opki_take_bio(bio, out);
}

int opki_key_public_pem(const struct opki_key *k, struct obuf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_PUBKEY(bio, k->pkey) != 1) {
		BIO_free(bio);
		ERR_clear_error();
		return -EINVAL;
	}
	return opki_take_bio(bio, out);
}

void opki_key_free(struct opki_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	omem_free(k);
}

int opki_key_id(const struct opki_key *k, char out[64])
{
	unsigned char *der = NULL;
	unsigned char sha[32];
	int n = i2d_PUBKEY(k->pkey, &der);
	unsigned int len;
	int ok;

	if (n <= 0)
		return -EINVAL;
	ok = EVP_Digest(der, (size_t)n, sha, &len, EVP_sha256(), NULL);
	OPENSSL_free(der);
	if (!ok)
		return -EINVAL;
	(void)obase64_encode(OBASE64_RAWURL, sha, sizeof(sha), out);
	return 0;
}

static void put_number(const struct opki_key *k, const char *param, const char *name, int pad, struct obuf *out)
{
	unsigned char buf[1024];
	BIGNUM *bn = NULL;
	int n;

	if (EVP_PKEY_get_bn_param(k->pkey, param, &bn) != 1)
		return;
	n = pad ? pad : BN_num_bytes(bn);
	if (n <= (int)sizeof(buf) && BN_bn2binpad(bn, buf, n) == n) {
		obuf_printf(out, ",\"%s\":\"", name);
		obase64_append(out, OBASE64_RAWURL, buf, (size_t)n);
		obuf_putc(out, '"');
	}
	BN_free(bn);
}

int opki_key_jwk(const struct opki_key *k, struct obuf *out)
{
	char kid[64];

	if (opki_key_id(k, kid) < 0)
		return -EINVAL;
	if (EVP_PKEY_is_a(k->pkey, "EC")) {
		obuf_printf(out, "{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"%s\",\"crv\":\"P-256\",\"alg\":\"ES256\"", kid);
		put_number(k, OSSL_PKEY_PARAM_EC_PUB_X, "x", 32, out);
		put_number(k, OSSL_PKEY_PARAM_EC_PUB_Y, "y", 32, out);
	} else {
		obuf_printf(out, "{\"use\":\"sig\",\"kty\":\"RSA\",\"kid\":\"%s\",\"alg\":\"RS256\"", kid);
		put_number(k, OSSL_PKEY_PARAM_RSA_N, "n", 0, out);
		put_number(k, OSSL_PKEY_PARAM_RSA_E, "e", 0, out);
	}
	obuf_putc(out, '}');
	ERR_clear_error();
	return obuf_err(out);
}
