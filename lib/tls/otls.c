/* One connection: OpenSSL's calls with errno for answers. */
#include "internal.h"

#include "base/omem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

struct otls {
	SSL			*ssl;
	struct otls_peer	*peer;
	int			wants;
	uint8_t			server;
	uint8_t			done;		/* handshake */
	uint8_t			broken;		/* no shutdown any more */
	char			alpn[16];
	char			error[128];
};

int otls_new(struct otls_ctx *c, int fd, const char *name, struct otls **ret)
{
	struct otls *t = OMEM_NEW(struct otls);
	struct in6_addr addr;

	if (!t)
		return -ENOMEM;
	t->server = (uint8_t)c->server;
	t->wants = c->server ? ORLOP_FD_READ : ORLOP_FD_WRITE;
	t->ssl = SSL_new(c->ssl);
	if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1)
		goto fail;
	if (c->server) {
		SSL_set_accept_state(t->ssl);
	} else {
		static const unsigned char h1[] = "\x08http/1.1";
		static const unsigned char h2[] = "\x02h2";

		SSL_set_connect_state(t->ssl);
		(void)SSL_set_alpn_protos(t->ssl, c->h2 ? h2 : h1, c->h2 ? sizeof(h2) - 1 : sizeof(h1) - 1);
		if (name && name[0] && (inet_pton(AF_INET, name, &addr) == 1 ||
					inet_pton(AF_INET6, name, &addr) == 1)) {
			if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), name) != 1)
				goto fail;
		} else if (name && name[0]) {
			if (SSL_set1_host(t->ssl, name) != 1 ||
			    SSL_set_tlsext_host_name(t->ssl, name) != 1)
				goto fail;
		}
	}
	*ret = t;
	return 0;
fail:
	ERR_clear_error();
	otls_free(t);
	return -ENOMEM;
}

void otls_free(struct otls *t)
{
	int saved = errno;

	if (!t)
		return;
	SSL_free(t->ssl);
	ERR_clear_error();
	omem_free(t->peer);
	omem_free(t);
	errno = saved;
}

static ssize_t result(struct otls *t, int r)
{
	int saved = errno;
	int e = SSL_get_error(t->ssl, r);
	unsigned long code;

	switch (e) {
	case SSL_ERROR_WANT_READ:
		t->wants = ORLOP_FD_READ;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		t->wants = ORLOP_FD_WRITE;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		t->broken = 1;
		ERR_clear_error();
		if (saved == 0 || saved == EAGAIN)
			saved = ECONNRESET;
		snprintf(t->error, sizeof(t->error), "%s", strerrordesc_np(saved));
		return -saved;
	default:
		t->broken = 1;
		code = ERR_get_error();
		ERR_clear_error();
		if (code && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
			snprintf(t->error, sizeof(t->error), "certificate of the other side: %s",
				 X509_verify_cert_error_string(SSL_get_verify_result(t->ssl)));
		else
			snprintf(t->error, sizeof(t->error), "TLS: %s",
				 code && ERR_reason_error_string(code) ? ERR_reason_error_string(code)
								       : "protocol error");
		return -EPROTO;
	}
}

ssize_t otls_handshake(struct otls *t)
{
	const unsigned char *p = NULL;
	unsigned int n = 0;
	int r;

	if (t->done)
		return 1;
	ERR_clear_error();
	errno = 0;
	r = SSL_do_handshake(t->ssl);
	if (r != 1) {
		ssize_t e = result(t, r);

		return e == 0 ? -ECONNRESET : e;
	}
	t->done = 1;
	SSL_get0_alpn_selected(t->ssl, &p, &n);
	if (n < sizeof(t->alpn)) {
		memcpy(t->alpn, p ? (const char *)p : "", n);
		t->alpn[n] = '\0';
	}
	t->peer = otls_peer_make(t->ssl);
	return 1;
}

ssize_t otls_read(struct otls *t, void *buf, size_t size)
{
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_read(t->ssl, buf, size > 65536 ? 65536 : (int)size);
	return r > 0 ? r : result(t, r);
}

ssize_t otls_write(struct otls *t, const void *p, size_t len)
{
	ssize_t e;
	int r;

	if (len == 0)
		return 0;
	ERR_clear_error();
	errno = 0;
	r = SSL_write(t->ssl, p, len > (1u << 30) ? 1 << 30 : (int)len);
	if (r > 0)
		return r;
	e = result(t, r);
	return e == 0 ? -EPIPE : e;
}

ssize_t otls_shutdown(struct otls *t)
{
	int r;

	if (t->broken || !t->done)
		return 1;
	ERR_clear_error();
	errno = 0;
	r = SSL_shutdown(t->ssl);
	if (r >= 0)		/* 0: ours is sent, theirs not seen: enough */
		return 1;
	return result(t, r) == -EAGAIN ? -EAGAIN : 1;
}

int otls_wants(const struct otls *t)
{
	return t->wants;
}

int otls_pending(const struct otls *t)
{
	return SSL_pending(t->ssl);
}

const char *otls_error(const struct otls *t)
{
	return t->error;
}

const struct otls_peer *otls_peer(const struct otls *t)
{
	return t->peer;
}

const char *otls_alpn(const struct otls *t)
{
	return t->alpn;
}
