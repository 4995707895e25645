/* Contexts: files in, SSL_CTX out; taking up changed files. */
#include "internal.h"

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#include <orlop/inline/error.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#define MAX_PEM (1024 * 1024)

static int ssl_fail(struct orlop_error *err, const char *what, const char *path)
{
	unsigned long e = ERR_get_error();
	const char *why = e ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return orlop_fail(err, EINVAL, 0, "", "%s %s: %s", what, path, why ? why : "not usable");
}

static int64_t stamp_of(const char *path)
{
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return 0;
	return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec + (int64_t)st.st_ino;
}

static int read_pem(const char *path, struct obuf *b, struct orlop_error *err)
{
	int r = ofile_read(AT_FDCWD, path, MAX_PEM, b);

	if (r < 0)
		return orlop_fail(err, -r, 0, "", "cannot read %s: %s", path, strerrordesc_np(-r));
	return 0;
}

/* No passphrase is ever asked for. */
static int no_password(char *buf, int size, int rw, void *arg)
{
	(void)buf;
	(void)size;
	(void)rw;
	(void)arg;
	return -1;
}

/* From the file, or the text that was given instead. */
static int get_pem(const char *path, const char *text, size_t len, struct obuf *b, struct orlop_error *err)
{
	if (path)
		return read_pem(path, b, err);
	obuf_append(b, text, len);
	return obuf_err(b);
}

static int use_cert(struct otls_ctx *c, SSL_CTX *ssl, struct orlop_error *err)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	const char *path = c->cert_path ? c->cert_path : "(given text)";
	BIO *bio;
	X509 *x;
	int ok;
	int r = get_pem(c->cert_path, c->cert_pem, c->cert_pem_len, &b, err);

	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(b.data ? b.data : "", (int)b.len);
	if (!bio)
		return -ENOMEM;
	x = PEM_read_bio_X509(bio, NULL, no_password, NULL);
	ok = x && SSL_CTX_use_certificate(ssl, x) == 1;
	X509_free(x);
	while (ok) {
		X509 *chain = PEM_read_bio_X509(bio, NULL, no_password, NULL);

		if (!chain) {
			ERR_clear_error();
			break;
		}
		if (SSL_CTX_add0_chain_cert(ssl, chain) != 1) {
			X509_free(chain);
			ok = 0;
		}
	}
	BIO_free(bio);
	return ok ? 0 : ssl_fail(err, "certificate", path);
}

static int use_key(struct otls_ctx *c, SSL_CTX *ssl, struct orlop_error *err)
{
	struct obuf b = OBUF_INIT;
	const char *path = c->key_path ? c->key_path : "(given text)";
	EVP_PKEY *k = NULL;
	BIO *bio;
	int r = get_pem(c->key_path, c->key_pem, c->key_pem_len, &b, err);

	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(b.data ? b.data : "", (int)b.len);
	if (bio)
		k = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	if (!k || SSL_CTX_use_PrivateKey(ssl, k) != 1 || SSL_CTX_check_private_key(ssl) != 1)
		r = ssl_fail(err, "key", path);
	EVP_PKEY_free(k);
	BIO_free(bio);
	if (b.data)
		OPENSSL_cleanse(b.data, b.len);
	obuf_done(&b);
	return r;
}

static int use_ca(struct otls_ctx *c, SSL_CTX *ssl, struct orlop_error *err)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	const char *name = c->ca_path ? c->ca_path : "(given text)";
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	BIO *bio;
	int n = 0;
	int r;

	r = get_pem(c->ca_path, c->ca_pem, c->ca_pem_len, &b, err);
	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(b.data ? b.data : "", (int)b.len);
	if (!bio)
		return -ENOMEM;
	for (;;) {
		X509 *x = PEM_read_bio_X509(bio, NULL, no_password, NULL);

		if (!x)
			break;
		/* What the library notes of it on first use it notes now: threads share it. */
		(void)X509_check_purpose(x, -1, 0);
		if (X509_STORE_add_cert(store, x) == 1)
			n++;
		if (c->server)
			(void)SSL_CTX_add_client_CA(ssl, x);
		X509_free(x);
	}
	BIO_free(bio);
	if (n == 0)
		return ssl_fail(err, "CA certificates", name);
	ERR_clear_error();
	return 0;
}

/* @arg: the settings may be gone before a connection; not NULL: h2 is offered, too. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
		       const unsigned char *in, unsigned int inlen, void *arg)
{
	static const unsigned char both[] = "\x02h2\x08http/1.1";
	const unsigned char *offer = arg ? both : both + 3;
	unsigned int len = arg ? sizeof(both) - 1 : sizeof(both) - 4;
	unsigned char *p;

	(void)ssl;
	if (SSL_select_next_proto(&p, outlen, offer, len, in, inlen) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = p;
	return SSL_TLSEXT_ERR_OK;
}

/* A bad client certificate is no reason to hang up: the answer is 401, which people understand. */
static int accept_and_remember(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static int build(struct otls_ctx *c, SSL_CTX **ret, struct orlop_error *err)
{
	SSL_CTX *ssl = SSL_CTX_new(c->server ? TLS_server_method() : TLS_client_method());
	int64_t stamp[3] = { stamp_of(c->cert_path), stamp_of(c->key_path), stamp_of(c->ca_path) };
	int r = 0;

	if (!ssl)
		return orlop_fail(err, ENOMEM, 0, "", "no memory for TLS");
	SSL_CTX_set_min_proto_version(ssl, c->min_version == 12 ? TLS1_2_VERSION : TLS1_3_VERSION);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				 SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ssl, 0);
	SSL_CTX_set_default_passwd_cb(ssl, no_password);
	if (c->cert_path || c->cert_pem)
		r = use_cert(c, ssl, err);
	if (r == 0 && (c->cert_path || c->cert_pem))
		r = use_key(c, ssl, err);
	if (r == 0 && (c->ca_path || c->ca_pem))
		r = use_ca(c, ssl, err);
	if (r == 0 && c->server) {
		SSL_CTX_set_alpn_select_cb(ssl, select_alpn, c->h2 ? ssl : NULL);
		if (c->ca_path || c->ca_pem)
			SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, accept_and_remember);
	} else if (r == 0) {
		SSL_CTX_set_verify(ssl, c->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	}
	if (r < 0) {
		SSL_CTX_free(ssl);
		return r;
	}
	memcpy(c->stamp, stamp, sizeof(stamp));
	*ret = ssl;
	return 0;
}

static char *text_dup(struct orlop_bytes t, size_t *ret_len)
{
	*ret_len = t.len;
	return t.p ? omem_strndup(t.p, t.len) : NULL;
}

static int ctx_new(const struct otls_config *cfg, int server, struct otls_ctx **ret, struct orlop_error *err)
{
	struct otls_ctx *c = OMEM_NEW(struct otls_ctx);
	int r = -ENOMEM;

	if (!c)
		return orlop_fail(err, ENOMEM, 0, "", "no memory for TLS");
	c->server = server;
	c->min_version = cfg->min_version;
	c->h2 = cfg->h2;
	c->insecure = cfg->insecure;
	c->cert_path = omem_strdup(cfg->cert_path);
	c->key_path = omem_strdup(cfg->key_path);
	c->ca_path = omem_strdup(cfg->ca_path);
	c->ca_pem = text_dup(cfg->ca_pem, &c->ca_pem_len);
	c->cert_pem = text_dup(cfg->cert_pem, &c->cert_pem_len);
	c->key_pem = text_dup(cfg->key_pem, &c->key_pem_len);
	if ((cfg->cert_path && !c->cert_path) || (cfg->key_path && !c->key_path) ||
	    (cfg->ca_path && !c->ca_path) || (cfg->ca_pem.p && !c->ca_pem) ||
	    (cfg->cert_pem.p && !c->cert_pem) || (cfg->key_pem.p && !c->key_pem))
		r = orlop_fail(err, ENOMEM, 0, "", "no memory for TLS");
	else if ((server && !c->cert_path && !c->cert_pem) || !c->cert_path != !c->key_path ||
		 !c->cert_pem != !c->key_pem)
		r = orlop_fail(err, EINVAL, 0, "", "a TLS certificate and its key must both be given");
	else
		r = build(c, &c->ssl, err);
	if (r < 0) {
		otls_ctx_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int otls_server_new(const struct otls_config *cfg, struct otls_ctx **ret, struct orlop_error *err)
{
	return ctx_new(cfg, 1, ret, err);
}

int otls_client_new(const struct otls_config *cfg, struct otls_ctx **ret, struct orlop_error *err)
{
	return ctx_new(cfg, 0, ret, err);
}

int otls_ctx_share(const struct otls_ctx *from, struct otls_ctx **ret)
{
	struct otls_ctx *c = OMEM_NEW(struct otls_ctx);

	if (!c)
		return -ENOMEM;
	*c = *from;
	if (!SSL_CTX_up_ref(from->ssl))
		c->ssl = NULL;
	c->cert_path = omem_strdup(from->cert_path);
	c->key_path = omem_strdup(from->key_path);
	c->ca_path = omem_strdup(from->ca_path);
	c->ca_pem = from->ca_pem ? omem_strndup(from->ca_pem, from->ca_pem_len) : NULL;
	c->cert_pem = from->cert_pem ? omem_strndup(from->cert_pem, from->cert_pem_len) : NULL;
	c->key_pem = from->key_pem ? omem_strndup(from->key_pem, from->key_pem_len) : NULL;
	if (!c->ssl || !c->cert_path != !from->cert_path || !c->key_path != !from->key_path ||
	    !c->ca_path != !from->ca_path || !c->ca_pem != !from->ca_pem || !c->cert_pem != !from->cert_pem ||
	    !c->key_pem != !from->key_pem) {
		otls_ctx_free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

int otls_ctx_is_server(const struct otls_ctx *c)
{
	return c->server;
}

int otls_reload_if_changed(struct otls_ctx *c, struct orlop_error *err)
{
	SSL_CTX *ssl;
	int r;

	if (c->stamp[0] == stamp_of(c->cert_path) && c->stamp[1] == stamp_of(c->key_path) &&
	    c->stamp[2] == stamp_of(c->ca_path))
		return 0;
	r = build(c, &ssl, err);
	if (r < 0)
		return r;
	SSL_CTX_free(c->ssl);		/* connections hold references of their own */
	c->ssl = ssl;
	return 1;
}

void otls_ctx_free(struct otls_ctx *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ssl);
	omem_free(c->cert_path);
	omem_free(c->key_path);
	omem_free(c->ca_path);
	omem_free(c->ca_pem);
	omem_free(c->cert_pem);
	if (c->key_pem)
		omem_free_secret(c->key_pem, c->key_pem_len);
	omem_free(c);
}
