/*
 * otls - TLS over a non-blocking socket, by OpenSSL, with settings per context only
 *
 * No global initialization, engine or configuration file is touched, so several modules of one
 * process use the shared libssl side by side. A context belongs to one loop (shard); it remembers
 * the files it was made of and takes changed ones up by otls_reload_if_changed().
 */
#ifndef OLIB_TLS_OTLS_H
#define OLIB_TLS_OTLS_H

#include <orlop/types.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct otls_ctx;
struct otls;

/* Zero it first. All text copied. Paths name PEM files. */
struct otls_config {
	const char	*cert_path;	/* server: required. client: optional, with key_path */
	const char	*key_path;
	const char	*ca_path;	/* server: who may have signed clients, NULL: clients are not asked */
	struct orlop_bytes ca_pem;	/* instead of ca_path */
	struct orlop_bytes cert_pem;	/* instead of cert_path and key_path: never reloaded */
	struct orlop_bytes key_pem;
	uint16_t	min_version;	/* 12 or 13; 0: 13 */
	uint8_t		h2;		/* server: offer "h2" besides "http/1.1"; client: ask for "h2" alone */
	uint8_t		insecure;	/* client: do not verify (never by default) */
};

/* The certificate a peer showed. */
struct otls_peer {
	int		verified;	/* 1: signed by our CA, valid now, meant for this side */
	const char	*error;		/* why not, "" if verified */
	struct orlop_bytes cn;		/* common name */
	struct orlop_bytes uid;		/* RDN 1.3.6.1.4.1.57683.2, as Kubernetes takes a user's uid */
	const struct orlop_bytes *orgs;	/* each O, in order */
	size_t		n_orgs;
	int64_t		not_after;	/* seconds since 1970 */
	unsigned char	sha256[32];	/* of the certificate */
};

int otls_server_new(const struct otls_config *cfg, struct otls_ctx **ret, struct orlop_error *err);
int otls_client_new(const struct otls_config *cfg, struct otls_ctx **ret, struct orlop_error *err);
/*
 * Another one of the same settings that shares what was made of the files, until either takes up changed ones: for another
 * thread's connections. Making it anew costs a millisecond. 0 or -ENOMEM.
 */
int otls_ctx_share(const struct otls_ctx *from, struct otls_ctx **ret);
void otls_ctx_free(struct otls_ctx *c);		/* connections keep what they need; accepts NULL */
int otls_ctx_is_server(const struct otls_ctx *c);

/* Read the files again if their times changed. 1 changed, 0 not; -errno: the old ones stay in use. */
int otls_reload_if_changed(struct otls_ctx *c, struct orlop_error *err);

/* A connection. @name: clients only, DNS name or IP address the certificate must carry. */
int otls_new(struct otls_ctx *c, int fd, const char *name, struct otls **ret);
void otls_free(struct otls *t);			/* does not close the fd; accepts NULL */

/*
 * Each returns > 0 (bytes; 1 for handshake and shutdown), 0 at the end of the peer's data, or
 * -EAGAIN (then otls_wants() is ORLOP_FD_READ or _WRITE), or another -errno with otls_error().
 */
ssize_t otls_handshake(struct otls *t);
ssize_t otls_read(struct otls *t, void *buf, size_t size);
/* A repeat after -EAGAIN must begin with the same bytes and be no shorter. */
ssize_t otls_write(struct otls *t, const void *p, size_t len);
ssize_t otls_shutdown(struct otls *t);
int otls_wants(const struct otls *t);
int otls_pending(const struct otls *t);		/* decrypted bytes that wait inside */
const char *otls_error(const struct otls *t);

const struct otls_peer *otls_peer(const struct otls *t);	/* after the handshake; may be NULL */
const char *otls_alpn(const struct otls *t);

#endif
