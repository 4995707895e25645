/* Requests for certificates (PKCS #10): read, looked into, and answered with a certificate. */
#include "internal.h"

#include "base/omem.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#define NAMES_MAX 1000u

struct opki_request {
	X509_REQ	*req;
	GENERAL_NAMES	*sans;		/* NULL: none */
	char		*cn;
	char		**orgs;
	uint32_t	n_orgs;
};

void opki_request_free(struct opki_request *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < r->n_orgs; i++)
		omem_free(r->orgs[i]);
	omem_free(r->orgs);
	omem_free(r->cn);
	GENERAL_NAMES_free(r->sans);
	X509_REQ_free(r->req);
	omem_free(r);
}

/* One entry of the subject as text; NULL: it is none, or there is a NUL in it. */
static char *entry_text(X509_NAME_ENTRY *e)
{
	unsigned char *u = NULL;
	int n = ASN1_STRING_to_UTF8(&u, X509_NAME_ENTRY_get_data(e));
	char *s = n >= 0 && !memchr(u, '\0', (size_t)n) ? omem_strndup((const char *)u, (size_t)n) : NULL;

	OPENSSL_free(u);
	return s;
}

static int read_subject(struct opki_request *r)
{
	X509_NAME *name = X509_REQ_get_subject_name(r->req);
	int n = X509_NAME_entry_count(name);

	if (n > (int)NAMES_MAX)
		return -E2BIG;
	r->orgs = omem_zalloc_array((size_t)n + 1, sizeof(*r->orgs));
	for (int i = 0; r->orgs && i < n; i++) {
		X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
		int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));

		if (nid == NID_organizationName) {
			r->orgs[r->n_orgs] = entry_text(e);
			if (!r->orgs[r->n_orgs++])
				return -EINVAL;
		} else if (nid == NID_commonName) {
			omem_free(r->cn);	/* the last one counts, as with Go */
			r->cn = entry_text(e);
			if (!r->cn)
				return -EINVAL;
		}
	}
	if (!r->cn)
		r->cn = omem_strdup("");
	return r->orgs && r->cn ? 0 : -ENOMEM;
}

static int read_sans(struct opki_request *r)
{
	STACK_OF(X509_EXTENSION) *ext = X509_REQ_get_extensions(r->req);
	int crit = -1;

	r->sans = X509V3_get_d2i(ext, NID_subject_alt_name, &crit, NULL);
	sk_X509_EXTENSION_pop_free(ext, X509_EXTENSION_free);
	if (!r->sans && crit != -1)
		return -EINVAL;		/* twice, or broken */
	return r->sans && sk_GENERAL_NAME_num(r->sans) > (int)NAMES_MAX ? -E2BIG : 0;
}

int opki_request_parse(const char *pem, size_t len, struct opki_request **ret)
{
	static const char head[] = "-----BEGIN CERTIFICATE REQUEST-----";
	struct opki_request *r;
	BIO *bio;
	int e;

	if (len > 1024 * 1024 || !memmem(pem, len, head, sizeof(head) - 1))
		return -EINVAL;
	r = OMEM_NEW(struct opki_request);
	bio = BIO_new_mem_buf(pem, (int)len);
	if (r && bio)
		r->req = PEM_read_bio_X509_REQ(bio, NULL, opki_no_password, NULL);
	BIO_free(bio);
	e = !r ? -ENOMEM : !r->req ? -EINVAL : 0;
	if (e == 0)
		e = read_subject(r);
	if (e == 0)
		e = read_sans(r);
	ERR_clear_error();
	if (e) {
		opki_request_free(r);
		return e;
	}
	*ret = r;
	return 0;
}

const char *opki_request_cn(const struct opki_request *r)
{
	return r->cn;
}

uint32_t opki_request_orgs(const struct opki_request *r, const char *const **ret)
{
	*ret = (const char *const *)r->orgs;
	return r->n_orgs;
}

uint32_t opki_request_sans(const struct opki_request *r, int kind)
{
	uint32_t n = 0;

	for (int i = 0; r->sans && i < sk_GENERAL_NAME_num(r->sans); i++) {
		int type = sk_GENERAL_NAME_value(r->sans, i)->type;
		int is = type == GEN_DNS ? OPKI_SAN_DNS : type == GEN_IPADD ? OPKI_SAN_IP :
			 type == GEN_EMAIL ? OPKI_SAN_EMAIL : type == GEN_URI ? OPKI_SAN_URI : 0;

		n += is == kind;
	}
	return n;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static int add(X509 *x, X509 *ca, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	int ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, ca, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok ? 0 : -EINVAL;
}

/* What of the request's names goes into a certificate: DNS names, addresses, mail, URIs; nothing else. */
static int copy_sans(X509 *x, const struct opki_request *r)
{
	GENERAL_NAMES *out = GENERAL_NAMES_new();
	int e = out ? 0 : -ENOMEM;

	for (int i = 0; e == 0 && r->sans && i < sk_GENERAL_NAME_num(r->sans); i++) {
		GENERAL_NAME *g = sk_GENERAL_NAME_value(r->sans, i), *copy;

		if (g->type != GEN_DNS && g->type != GEN_IPADD && g->type != GEN_EMAIL && g->type != GEN_URI)
			continue;
		copy = GENERAL_NAME_dup(g);
		if (!copy || !sk_GENERAL_NAME_push(out, copy)) {
			GENERAL_NAME_free(copy);
			e = -ENOMEM;
		}
	}
	if (e == 0 && sk_GENERAL_NAME_num(out) && X509_add1_ext_i2d(x, NID_subject_alt_name, out, 0, X509V3_ADD_DEFAULT) != 1)
		e = -EINVAL;
	GENERAL_NAMES_free(out);
	return e;
}

static int set_serial(X509 *x)
{
	unsigned char b[16];
	BIGNUM *bn;
	int ok;

	if (RAND_bytes(b, sizeof(b)) != 1)
		return -EIO;
	b[0] = (unsigned char)((b[0] & 0x3f) | 0x40);
	bn = BN_bin2bn(b, sizeof(b), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
	BN_free(bn);
	return ok ? 0 : -ENOMEM;
}

static int fill(X509 *x, X509 *ca, const struct opki_request *r, const struct opki_grant *g)
{
	EVP_PKEY *key = X509_REQ_get0_pubkey(r->req);
	int e;

	if (!key || X509_REQ_verify(r->req, key) != 1)
		return -EBADMSG;
	if (X509_set_version(x, X509_VERSION_3) != 1 || X509_set_pubkey(x, key) != 1 ||
	    X509_set_subject_name(x, X509_REQ_get_subject_name(r->req)) != 1 ||
	    X509_set_issuer_name(x, X509_get_subject_name(ca)) != 1 ||
	    !ASN1_TIME_set(X509_getm_notBefore(x), g->not_before) || !ASN1_TIME_set(X509_getm_notAfter(x), g->not_after))
		return -EINVAL;
	e = set_serial(x);
	if (e == 0)
		e = add(x, ca, NID_basic_constraints, "critical,CA:FALSE");
	if (e == 0 && g->key_usage[0])
		e = add(x, ca, NID_key_usage, g->key_usage);
	if (e == 0 && g->ext_key_usage[0])
		e = add(x, ca, NID_ext_key_usage, g->ext_key_usage);
	if (e == 0)
		e = add(x, ca, NID_authority_key_identifier, "keyid");
	return e ? e : copy_sans(x, r);
}

int opki_request_sign(const struct opki_request *r, const struct opki_grant *g, const struct opki_cert *ca,
		      const struct opki_key *ca_key, struct opki_cert **ret)
{
	struct opki_cert *c = OMEM_NEW(struct opki_cert);
	int e = -ENOMEM;

	if (!c)
		return -ENOMEM;
	c->x = X509_new();
	if (c->x)
		e = fill(c->x, ca->x, r, g);
	if (e == 0 && X509_sign(c->x, ca_key->pkey, EVP_sha256()) <= 0)
		e = -EINVAL;
	ERR_clear_error();
	if (e) {
		opki_cert_free(c);
		return e;
	}
	*ret = c;
	return 0;
}
