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

int main(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct fakehost *fh = fakehost_new();
	struct fakekube *k = fakekube_new(fh);
	char dir[] = "/tmp/serviceaccount-XXXXXX";
	char path[64];
	FILE *f;

	if (!mkdtemp(dir))
		return otap_skip_all("no temporary directory");
	snprintf(path, sizeof(path), "%s/ca.crt", dir);
	fakehost_resource(fh, "namespaces", 0, NULL);
	fakehost_resource(fh, "serviceaccounts", 1, NULL);
	fakehost_resource(fh, "configmaps", 1, NULL);

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
	is_int(fakehost_load(fh, &orlop_module, &err), 0, "loads: %s", err.msg);
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
