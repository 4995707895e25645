/* authority.h - the cluster's authority and its key, and the signers that speak for it. */
#ifndef CERTIFICATE_AUTHORITY_H
#define CERTIFICATE_AUTHORITY_H

#include <orlop/types.h>

#include "json/ojson.h"
#include "pki/opki.h"

struct authority {
	struct opki_cert *cert;		/* NULL: nothing is signed */
	struct opki_key	*key;
};

/* Both files, or nothing if both names are empty. */
int authority_load(struct authority *a, const char *cert, const char *key, struct orlop_error *err);
void authority_done(struct authority *a);

/*
 * signer.c: what upstream's signers ask of a request. NULL: it may be signed; why not otherwise (static text, or in @buf).
 * @usages: spec.usages.
 */
const char *signer_refuses(const char *signer, const struct opki_request *q, const struct ojson *usages, char *buf, size_t size);
/* Is it one of the signers here? */
bool signer_is_ours(const char *signer);
/* Is it a request for the certificate by which a kubelet is known to the API server? */
bool signer_is_kubelet_client(const char *signer, const struct opki_request *q, const struct ojson *usages);
/* Seconds that are given to a request for @asked (0: not said) of at most @most. */
int64_t signer_seconds(int64_t asked, int64_t most);
/* The usages as OpenSSL's configuration has them, appended. */
void signer_usages(const struct ojson *usages, struct obuf *key, struct obuf *ext);

#endif
