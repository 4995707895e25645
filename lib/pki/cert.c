/* Certificates: made, read, looked into. */
#include "internal.h"

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#include <orlop/inline/error.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#define DAY 86400

static int add_ext(X509 *x, const X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	int ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, (X509 *)(uintptr_t)issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok ? 0 : -EINVAL;
}

static int add_sans(X509 *x, const char *const *sans)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	int r = names ? 0 : -ENOMEM;

	for (; r == 0 && *sans; sans++) {
		GENERAL_NAME *g = GENERAL_NAME_new();
		ASN1_OCTET_STRING *ip = a2i_IPADDRESS(*sans);
		ASN1_IA5STRING *dns = ip ? NULL : ASN1_IA5STRING_new();

		if (!g || (!ip && (!dns || !ASN1_STRING_set(dns, *sans, -1)))) {
			r = -ENOMEM;
			GENERAL_NAME_free(g);
			ASN1_OCTET_STRING_free(ip);
			ASN1_IA5STRING_free(dns);
			break;
		}
		if (ip)
			GENERAL_NAME_set0_value(g, GEN_IPADD, ip);
		else
			GENERAL_NAME_set0_value(g, GEN_DNS, dns);
		if (!sk_GENERAL_NAME_push(names, g)) {
			GENERAL_NAME_free(g);
			r = -ENOMEM;
		}
	}
	if (r == 0 && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1)
		r = -EINVAL;
	GENERAL_NAMES_free(names);
	ERR_clear_error();	/* a2i_IPADDRESS complains of names */
	return r;
}

static int set_name(X509 *x, const struct opki_cert_spec *spec)
{
	X509_NAME *n = X509_get_subject_name(x);

	for (const char *const *o = spec->orgs; o && *o; o++)
		if (X509_NAME_add_entry_by_NID(n, NID_organizationName, MBSTRING_UTF8,
					       (const unsigned char *)*o, -1, -1, 0) != 1)
			return -EINVAL;
	if (X509_NAME_add_entry_by_NID(n, NID_commonName, MBSTRING_UTF8,
				       (const unsigned char *)spec->cn, -1, -1, 0) != 1)
		return -EINVAL;
	return 0;
}

static int set_serial(X509 *x)
{
	unsigned char b[16];
	BIGNUM *bn;
	int ok;

	if (RAND_bytes(b, sizeof(b)) != 1)
		return -EIO;
	b[0] &= 0x7f;
	b[0] |= 0x40;
	bn = BN_bin2bn(b, sizeof(b), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
	BN_free(bn);
	return ok ? 0 : -ENOMEM;
}

static int fill(X509 *x, const struct opki_cert_spec *spec, const struct opki_key *key, X509 *issuer)
{
	bool ca = spec->use & OPKI_CERT_CA;
	uint32_t days = spec->days ? spec->days : ca ? 3650 : 365;
	char usage[64] = "";
	int r;

	if (X509_set_version(x, X509_VERSION_3) != 1 || X509_set_pubkey(x, key->pkey) != 1 ||
	    !ASN1_TIME_set(X509_getm_notBefore(x), spec->now - 300) ||
	    !ASN1_TIME_set(X509_getm_notAfter(x), spec->now + (int64_t)days * DAY))
		return -EINVAL;
	r = set_serial(x);
	if (r == 0)
		r = set_name(x, spec);
	if (r == 0 && X509_set_issuer_name(x, X509_get_subject_name(issuer)) != 1)
		r = -EINVAL;
	if (r == 0)
		r = add_ext(x, issuer, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	if (r == 0)
		r = add_ext(x, issuer, NID_key_usage,
			    ca ? "critical,digitalSignature,keyCertSign,cRLSign" : "critical,digitalSignature");
	if (spec->use & OPKI_CERT_SERVER)
		strcat(usage, "serverAuth");
	if (spec->use & OPKI_CERT_CLIENT)
		strcat(usage, usage[0] ? ",clientAuth" : "clientAuth");
	if (r == 0 && usage[0])
		r = add_ext(x, issuer, NID_ext_key_usage, usage);
	if (r == 0)
		r = add_ext(x, issuer, NID_subject_key_identifier, "hash");
	if (r == 0 && issuer != x)
		r = add_ext(x, issuer, NID_authority_key_identifier, "keyid");
	if (r == 0 && spec->sans && spec->sans[0])
		r = add_sans(x, spec->sans);
	return r;
}

int opki_cert_new(const struct opki_cert_spec *spec, const struct opki_key *key, const struct opki_cert *ca,
		  const struct opki_key *ca_key, struct opki_cert **ret)
{
	struct opki_cert *c = OMEM_NEW(struct opki_cert);
	int r = -ENOMEM;

	if (!c)
		return -ENOMEM;
	c->x = X509_new();
	if (c->x)
		r = fill(c->x, spec, key, ca ? ca->x : c->x);
	if (r == 0 && X509_sign(c->x, ca ? ca_key->pkey : key->pkey, EVP_sha256()) <= 0)
		r = -EINVAL;
	ERR_clear_error();
	if (r < 0) {
		opki_cert_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int opki_cert_parse(const char *pem, size_t len, struct opki_cert **ret)
{
	struct opki_cert *c = OMEM_NEW(struct opki_cert);
	BIO *bio = BIO_new_mem_buf(pem, (int)len);

	if (c && bio)
		c->x = PEM_read_bio_X509(bio, NULL, opki_no_password, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (!c || !c->x) {
		opki_cert_free(c);
		return c ? -EINVAL : -ENOMEM;
	}
	*ret = c;
	return 0;
}

int opki_cert_load(const char *path, struct opki_cert **ret, struct orlop_error *err)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	int r = ofile_read(AT_FDCWD, path, 1024 * 1024, &b);

	if (r < 0)
		return orlop_fail(err, -r, 0, "", "cannot read %s: %s", path, strerrordesc_np(-r));
	r = opki_cert_parse(obuf_cstr(&b), b.len, ret);
	if (r < 0)
		return orlop_fail(err, -r, 0, "", "%s holds no certificate in PEM form", path);
	return 0;
}

int opki_cert_pem(const struct opki_cert *c, struct obuf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_X509(bio, c->x) != 1) {
		BIO_free(bio);
		ERR_clear_error();
		return -EINVAL;
	}
	return opki_take_bio(bio, out);
}

void opki_cert_free(struct opki_cert *c)
{
	if (!c)
		return;
	X509_free(c->x);
	omem_free(c);
}

int64_t opki_cert_not_after(const struct opki_cert *c)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(c->x), &tm) != 1)
		return 0;
	return timegm(&tm);
}

int opki_cert_signed_by(const struct opki_cert *c, const struct opki_cert *ca)
{
	EVP_PKEY *k = X509_get0_pubkey(ca->x);
	int ok = k && X509_verify(c->x, k) == 1 &&
		 X509_NAME_cmp(X509_get_issuer_name(c->x), X509_get_subject_name(ca->x)) == 0;

	ERR_clear_error();
	return ok;
}

int opki_cert_matches(const struct opki_cert *c, const struct opki_key *k)
{
	int ok = EVP_PKEY_eq(X509_get0_pubkey(c->x), k->pkey) == 1;

	ERR_clear_error();
	return ok;
}

int opki_cert_has_san(const struct opki_cert *c, const char *name)
{
	return X509_check_ip_asc(c->x, name, 0) == 1 ||
	       X509_check_host(c->x, name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
}
