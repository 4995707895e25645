/* What the files of lib/pki share. */
#ifndef OLIB_PKI_INTERNAL_H
#define OLIB_PKI_INTERNAL_H

#include "pki/opki.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

struct opki_key {
	EVP_PKEY	*pkey;
	bool		is_private;
};

struct opki_cert {
	X509		*x;
};

/* Appends the content of a memory BIO and frees it. 0 or -ENOMEM. */
int opki_take_bio(BIO *bio, struct obuf *out);
/* No passphrase is ever asked for. */
int opki_no_password(char *buf, int size, int rw, void *arg);

#endif
