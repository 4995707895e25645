/*
 * okubeconfig - a kubeconfig: where an API server is, and who we are there
 */
#ifndef OLIB_KUBECONFIG_OKUBECONFIG_H
#define OLIB_KUBECONFIG_OKUBECONFIG_H

#include <orlop/types.h>

#include <stdbool.h>
#include <stddef.h>

struct okubeconfig {
	char		*addr;		/* "10.0.0.1:6443" */
	char		*host;		/* the same as the Host header has it */
	char		*base;		/* path before /api, "" in general */
	char		*tls_name;	/* name in the server's certificate, NULL: that of addr */
	bool		tls;
	bool		insecure;
	char		*ca_path;	/* or */
	char		*ca_pem;
	char		*cert_path;	/* and key_path, or */
	char		*key_path;
	char		*cert_pem;	/* and key_pem */
	char		*key_pem;
	char		*token;		/* or */
	char		*token_path;
	char		*basic;		/* base64 of user:password */
	char		*as;		/* impersonated always */
};

/*
 * A kubeconfig's text into @c, which is zero; relative paths in it begin at @dir (NULL: stay so). @context
 * NULL or "": the current one. 0 or -errno with one line that says what to mend; okubeconfig_done() in any case.
 */
int okubeconfig_parse(const char *text, size_t len, const char *dir, const char *context, struct okubeconfig *c,
		      struct orlop_error *err);
int okubeconfig_load(const char *path, const char *context, struct okubeconfig *c, struct orlop_error *err);
/* Another server: "https://HOST[:PORT][/BASE]". */
int okubeconfig_server(struct okubeconfig *c, const char *url, struct orlop_error *err);
/* The token of token_path as it is now; nothing if there is none. 0 or -errno. */
int okubeconfig_token(struct okubeconfig *c, struct orlop_error *err);
void okubeconfig_done(struct okubeconfig *c);

#endif
