/* kubeconfig.c - kubeconfigs: where to, as whom, and one sentence for each that is not well. */
#include "kubeconfig/okubeconfig.h"

#include <orlop/inline/error.h>

#include "base/otap.h"

#include <errno.h>
#include <string.h>

#define HEAD "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}, {name: d, context: {cluster: l, user: v}}]\n"

static int parse(const char *text, const char *context, struct okubeconfig *c, struct orlop_error *err)
{
	memset(c, 0, sizeof(*c));
	return okubeconfig_parse(text, strlen(text), "/dir", context, c, err);
}

static void refuses(const char *text, const char *context, const char *want, const char *what)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct okubeconfig c;
	int r = parse(text, context, &c, &err);

	ok(r < 0 && strstr(err.msg, want) && !strchr(err.msg, '\n'), "%s: %s", what, r < 0 ? err.msg : "taken");
	okubeconfig_done(&c);
}

int main(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct okubeconfig c;

	ok(parse(HEAD "clusters: [{name: k, cluster: {server: 'https://10.0.0.1:6443', certificate-authority: ca.crt}}]\n"
		 "users: [{name: u, user: {client-certificate: /a/b.crt, client-key: b.key}}]\n", "", &c, &err) == 0, "files");
	is_str(c.addr, "10.0.0.1:6443", "the address");
	is_str(c.base, "", "no base");
	is_str(c.ca_path, "/dir/ca.crt", "relative to the file");
	is_str(c.cert_path, "/a/b.crt", "an absolute path");
	is_str(c.key_path, "/dir/b.key", "the key");
	ok(c.tls && !c.insecure && !c.token, "TLS, checked");
	okubeconfig_done(&c);

	ok(parse(HEAD "clusters: [{name: l, cluster: {server: 'https://[::1]:8443/k8s/clusters/x/', certificate-authority-data: Q0E=, tls-server-name: api}}]\n"
		 "users: [{name: v, user: {token: abc, as: jane}}]\n", "d", &c, &err) == 0, "another context");
	is_str(c.addr, "[::1]:8443", "an IPv6 address");
	is_str(c.base, "/k8s/clusters/x", "a base path");
	is_str(c.ca_pem, "CA", "the authority as data");
	is_str(c.token, "abc", "a token");
	is_str(c.tls_name, "api", "another name");
	is_str(c.as, "jane", "acts as somebody");
	okubeconfig_done(&c);

	ok(parse(HEAD "clusters: [{name: k, cluster: {server: 'https://api.example.com', insecure-skip-tls-verify: true}}]\n"
		 "users: [{name: u, user: {username: a, password: b}}]\n", "", &c, &err) == 0, "user and password");
	is_str(c.addr, "api.example.com:443", "the usual port");
	is_str(c.basic, "YTpi", "as a header has them");
	ok(c.insecure, "insecure as it says");
	okubeconfig_done(&c);

	ok(parse("{\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\"}}],"
		 "\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":\"http://localhost:8080\"}}]}", "", &c, &err) == 0, "JSON, plain, nobody");
	ok(!c.tls, "no TLS");
	okubeconfig_done(&c);

	refuses("a: [", "", "not a kubeconfig", "broken YAML");
	refuses("", "", "not a kubeconfig", "an empty file");
	refuses("current-context: x\n", "", "no context \"x\"", "a context that is not there");
	refuses(HEAD, "", "names a cluster that is not there", "a cluster that is not there");
	refuses(HEAD "clusters: [{name: k, cluster: {server: 'ftp://x'}}]\n", "", "want https://HOST:PORT", "another scheme");
	refuses(HEAD "clusters: [{name: k, cluster: {server: 'https://'}}]\n", "", "want https://HOST:PORT", "no host");
	refuses(HEAD "clusters: [{name: k, cluster: {server: 'https://a'}}]\n", "", "no certificate-authority", "no authority");
	refuses(HEAD "clusters: [{name: k, cluster: {server: 'https://a', certificate-authority-data: '!!'}}]\n", "", "not base64", "broken data");
	refuses(HEAD "clusters: [{name: k, cluster: {server: 'https://a', proxy-url: 'http://p', certificate-authority: x}}]\n", "", "proxy-url", "a proxy");
	refuses(HEAD "clusters: [{name: k, cluster: {server: 'http://a'}}]\nusers: [{name: u, user: {exec: {command: x}}}]\n", "", "starts a program", "exec");
	refuses(HEAD "clusters: [{name: k, cluster: {server: 'http://a'}}]\nusers: [{name: u, user: {client-certificate: x}}]\n", "", "without its key", "half a certificate");
	refuses(HEAD "clusters: [{name: k, cluster: {server: 'http://a'}}]\nusers: [{name: u, user: {token: \"a\\nb\"}}]\n", "", "control characters", "a token that would be two headers");
	orlop_error_done(&err);
	return done_testing();
}
