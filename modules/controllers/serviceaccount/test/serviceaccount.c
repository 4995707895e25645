/* serviceaccount.c - the default account and the authority's certificate, kept in every namespace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/otap.h"
#include "fakehost.h"
#include "fakekube.h"

extern const struct orlop_module orlop_module;

#define PEM "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

static int ending(void *arg, const struct fakekube_req *req, const char **ret_reason)
{
	(void)arg;
	*ret_reason = "NamespaceTerminating";
	return !strcmp(req->verb, "create") && !strcmp(req->ns, "late") ? 403 : 0;
}

/* Secrets that ask for a token, and one for each account where that is wanted. */
static void tokens(struct fakehost *fh, struct fakekube *k, struct fakehost_module *m)
{
	static const char secret[] = "{\"type\":\"kubernetes.io/service-account-token\",\"metadata\":{\"annotations\":"
		"{\"kubernetes.io/service-account.name\":\"%s\"}}}";
	struct orlop_error err = ORLOP_ERROR_INIT;
	char body[200];

	is_int(fakekube_count(k, "secrets"), 0, "no Secret unless it is wanted");
	snprintf(body, sizeof(body), secret, "default");
	(void)fakekube_do(k, "create", "secrets", "new", "mine", body);
	(void)fakekube_do(k, "create", "secrets", "new", "other", "{\"type\":\"Opaque\"}");
	fakehost_advance(fh, FAKEHOST_S);
	is_str(fakekube_at(k, "secrets", "new", "mine", "stringData.token"), "default", "a token for who asks");
	is_str(fakekube_at(k, "secrets", "new", "mine", "stringData.namespace"), "new", "its namespace");
	is_str(fakekube_at(k, "secrets", "new", "other", "stringData"), "", "nothing for others");
	snprintf(body, sizeof(body), secret, "nobody");
	(void)fakekube_do(k, "create", "secrets", "new", "lost", body);
	fakehost_advance(fh, FAKEHOST_S);
	ok(!fakehost_get(fh, "secrets", "new", "lost"), "none without an account");

	/* As the API would have stored it. */
	(void)fakekube_do(k, "patch", "secrets", "new", "mine", "{\"data\":{\"token\":\"dA==\",\"namespace\":\"bg==\",\"ca.crt\":\"Yw==\"}}");
	fakehost_advance(fh, FAKEHOST_S);
	fakekube_forget(k);
	fakehost_advance(fh, 60 * FAKEHOST_S);
	is_int(fakekube_count(k, ""), 0, "a full one is left alone");
	(void)fakekube_do(k, "delete", "serviceaccounts", "new", "default", NULL);
	fakehost_advance(fh, FAKEHOST_S);
	ok(!fakehost_get(fh, "secrets", "new", "mine"), "it goes with its account");
	ok(fakehost_get(fh, "secrets", "new", "other") != NULL, "others stay");

	is_int(fakehost_param_change(fh, m, "token_secrets", "true", &err), 0, "token_secrets: %s", err.msg);
	fakehost_advance(fh, 2 * FAKEHOST_S);
	ok(fakekube_count(k, "create secrets new/") == 1, "a Secret for the account");
	ok(fakekube_count(k, "create serviceaccounts/token new/default") >= 1, "with a token");
}

int main(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct fakehost *fh = fakehost_new();
	struct fakekube *k = fakekube_new(fh);
	char dir[] = "/tmp/serviceaccount-XXXXXX";
	struct fakehost_module *m = NULL;
	char path[64];
	FILE *f;

	if (!mkdtemp(dir))
		return otap_skip_all("no temporary directory");
	snprintf(path, sizeof(path), "%s/ca.crt", dir);
	fakehost_resource(fh, "namespaces", 0, NULL);
	fakehost_resource(fh, "serviceaccounts", 1, NULL);
	fakehost_resource(fh, "configmaps", 1, NULL);
	fakehost_resource(fh, "secrets", 1, NULL);

	fakehost_param(fh, "ca_file", path);
	ok(fakehost_load(fh, &orlop_module, &err) != 0 && strstr(err.msg, path), "a missing file is named");
	f = fopen(path, "w");
	fputs("no certificate", f);
	fclose(f);
	ok(fakehost_load(fh, &orlop_module, &err) != 0 && strstr(err.msg, "holds no certificate"),
	   "a file without certificate is refused");
	f = fopen(path, "w");
	fputs(PEM, f);
	fclose(f);
	(void)fakekube_do(k, "create", "namespaces", "", "early", "{\"status\":{\"phase\":\"Active\"}}");
	is_int(fakehost_load_as(fh, &orlop_module, NULL, &m, &err), 0, "loads: %s", err.msg);
	fakehost_advance(fh, FAKEHOST_S);
	ok(fakehost_get(fh, "serviceaccounts", "early", "default") != NULL, "an account at start");
	is_str(fakekube_at(k, "configmaps", "early", "kube-root-ca.crt", "data"),
	       "{\"ca.crt\":\"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n\"}",
	       "and the certificate");

	(void)fakekube_do(k, "create", "namespaces", "", "new", "{\"status\":{\"phase\":\"Active\"}}");
	fakehost_advance(fh, FAKEHOST_S);
	ok(fakehost_get(fh, "serviceaccounts", "new", "default") != NULL, "in a new namespace too");
	ok(fakehost_get(fh, "configmaps", "new", "kube-root-ca.crt") != NULL, "both");
	(void)fakekube_do(k, "delete", "serviceaccounts", "new", "default", NULL);
	(void)fakekube_do(k, "delete", "configmaps", "new", "kube-root-ca.crt", NULL);
	fakehost_advance(fh, FAKEHOST_S);
	ok(fakehost_get(fh, "serviceaccounts", "new", "default") != NULL, "a deleted account comes back");
	ok(fakehost_get(fh, "configmaps", "new", "kube-root-ca.crt") != NULL, "and the certificate");
	(void)fakekube_do(k, "patch", "configmaps", "new", "kube-root-ca.crt",
			  "{\"data\":{\"ca.crt\":\"evil\",\"more\":\"x\"},\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
	fakehost_advance(fh, FAKEHOST_S);
	is_str(fakekube_at(k, "configmaps", "new", "kube-root-ca.crt", "data"),
	       "{\"ca.crt\":\"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n\"}",
	       "a changed one is put right");
	is_str(fakekube_at(k, "configmaps", "new", "kube-root-ca.crt", "metadata.labels.a"), "b", "labels stay");

	tokens(fh, k, m);
	fakekube_hook(k, ending, NULL);
	(void)fakekube_do(k, "create", "namespaces", "", "gone", "{\"metadata\":{\"deletionTimestamp\":"
			  "\"2026-01-01T00:00:00Z\"},\"status\":{\"phase\":\"Terminating\"}}");
	fakehost_put(fh, "namespaces", "", "late", "{\"status\":{\"phase\":\"Active\"}}");
	fakekube_forget(k);
	fakehost_advance(fh, 60 * FAKEHOST_S);
	ok(!fakehost_get(fh, "serviceaccounts", "gone", "default"), "nothing for one that ends");
	/* The answer may be that of a server that is behind: it is asked again, ever more rarely. */
	ok(fakekube_count(k, "create") <= 2 * 14, "ever more rarely for one that has just begun to end");
	fakekube_free(k);
	fakehost_free(fh);
	(void)unlink(path);
	(void)rmdir(dir);
	return done_testing();
}
