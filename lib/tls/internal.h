/* What the files of lib/tls share. */
#ifndef OLIB_TLS_INTERNAL_H
#define OLIB_TLS_INTERNAL_H

#include "tls/otls.h"

#include <openssl/ssl.h>

struct otls_ctx {
	SSL_CTX		*ssl;
	int		server;
	char		*cert_path;
	char		*key_path;
	char		*ca_path;
	char		*ca_pem;
	size_t		ca_pem_len;
	char		*cert_pem;
	size_t		cert_pem_len;
	char		*key_pem;
	size_t		key_pem_len;
	uint16_t	min_version;
	uint8_t		h2;
	uint8_t		insecure;
	int64_t		stamp[3];	/* mtime in ns of cert, key, ca */
};

/* The certificate that @ssl's peer showed, or NULL. Freed by omem_free(). */
struct otls_peer *otls_peer_make(SSL *ssl);

#endif
