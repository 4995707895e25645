/* What a peer's certificate says, copied out of OpenSSL into one block. */
#include "internal.h"

#include "base/omem.h"

#include <openssl/x509.h>
#include <string.h>

#define UID_OID "1.3.6.1.4.1.57683.2"
#define MAX_ORGS 256

static size_t put(char **at, struct orlop_bytes *b, const ASN1_STRING *s)
{
	unsigned char *utf8 = NULL;
	int n = s ? ASN1_STRING_to_UTF8(&utf8, s) : -1;

	if (n < 0)
		return 0;
	if (at) {
		memcpy(*at, utf8, (size_t)n);
		b->p = *at;
		b->len = (size_t)n;
		*at += n;
	}
	OPENSSL_free(utf8);
	return (size_t)n;
}

/* One walk counts (@p NULL), the next one fills. */
static size_t walk(X509_NAME *name, struct otls_peer *p, struct orlop_bytes *orgs, char *at, size_t *n_orgs)
{
	int n = X509_NAME_entry_count(name);
	size_t bytes = 0;
	char oid[64];

	*n_orgs = 0;
	for (int i = 0; i < n; i++) {
		X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
		ASN1_OBJECT *o = X509_NAME_ENTRY_get_object(e);
		ASN1_STRING *s = X509_NAME_ENTRY_get_data(e);
		char **to = p ? &at : NULL;

		switch (OBJ_obj2nid(o)) {
		case NID_commonName:
			bytes += put(to, p ? &p->cn : NULL, s);
			break;
		case NID_organizationName:
			if (*n_orgs == MAX_ORGS)
				break;
			bytes += put(to, p ? &orgs[*n_orgs] : NULL, s);
			(*n_orgs)++;
			break;
		default:
			if (OBJ_obj2txt(oid, sizeof(oid), o, 1) > 0 && strcmp(oid, UID_OID) == 0)
				bytes += put(to, p ? &p->uid : NULL, s);
		}
	}
	return bytes;
}

struct otls_peer *otls_peer_make(SSL *ssl)
{
	X509 *x = SSL_get1_peer_certificate(ssl);
	struct orlop_bytes *orgs;
	struct otls_peer *p;
	X509_NAME *name;
	struct tm tm;
	unsigned int len = 0;
	size_t n;
	size_t bytes;
	long v;

	if (!x)
		return NULL;
	name = X509_get_subject_name(x);
	bytes = walk(name, NULL, NULL, NULL, &n);
	p = omem_zalloc(sizeof(*p) + n * sizeof(*orgs) + bytes + 1);
	if (!p) {
		X509_free(x);
		return NULL;
	}
	orgs = (struct orlop_bytes *)(p + 1);
	(void)walk(name, p, orgs, (char *)(orgs + n), &n);
	p->orgs = orgs;
	p->n_orgs = n;
	v = SSL_get_verify_result(ssl);
	p->verified = v == X509_V_OK;
	p->error = p->verified ? "" : X509_verify_cert_error_string(v);
	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1)
		p->not_after = timegm(&tm);
	(void)X509_digest(x, EVP_sha256(), p->sha256, &len);
	X509_free(x);
	return p;
}
