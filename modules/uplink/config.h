/*
 * config.h - where the remote API server is and who we are there: a kubeconfig, or parameters.
 */
#ifndef UP_CONFIG_H
#define UP_CONFIG_H

#include <orlop/host.h>

#include <stdbool.h>

struct up_config {
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
	char		*from;		/* file it came from, for messages */
};

/* From the parameters of @h. 0 or -errno with one line that says what to mend. */
int up_config_load(const struct orlop_host *h, struct up_config *c, struct orlop_error *err);
/* A kubeconfig's text; relative paths in it begin at @dir. */
int up_config_parse(const char *text, size_t len, const char *dir, const char *context, struct up_config *c,
		    struct orlop_error *err);
/* The token of token_path as it is now. 0 or -errno. */
int up_config_token(struct up_config *c, struct orlop_error *err);
void up_config_done(struct up_config *c);

#endif
