/*
 * certs.c - keys and certificates of a cluster, in DIR/pki, and the administrator's kubeconfig.
 *
 * Each is kept as long as it fits: signed by our CA, belonging to its key, good for another month,
 * for all the names it needs. A machine that changes its name or address gets new ones by itself.
 */
#include "up.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "kubeconfig/okubeconfig.h"
#include "pki/opki.h"

#define RENEW_S		(30 * 86400)	/* before its end */
#define SANS_MAX	16

struct authority {
	const char	*dir;
	struct opki_key	*key;
	struct opki_cert *cert;
	int64_t		now;
	int		made;
};

DEFINE_CLEANUP(free_key, struct opki_key *, opki_key_free)
DEFINE_CLEANUP(free_cert, struct opki_cert *, opki_cert_free)
#define cleanup_key __attribute__((cleanup(free_key)))
#define cleanup_cert __attribute__((cleanup(free_cert)))

/* Is what is there still good? */
static bool fits(const struct authority *a, const char *name, const struct opki_cert_spec *spec)
{
	cleanup_free char *crt_path = omem_printf("%s/%s.crt", a->dir, name);
	cleanup_free char *key_path = omem_printf("%s/%s.key", a->dir, name);
	cleanup_cert struct opki_cert *crt = NULL;
	cleanup_key struct opki_key *key = NULL;

	if (!crt_path || !key_path || opki_cert_load(crt_path, &crt, NULL) || opki_key_load(key_path, &key, NULL))
		return false;
	if (!opki_cert_matches(crt, key) || opki_cert_not_after(crt) < a->now + RENEW_S)
		return false;
	if (a->cert && !opki_cert_signed_by(crt, a->cert))
		return false;
	for (size_t i = 0; spec->sans && spec->sans[i]; i++)
		if (!opki_cert_has_san(crt, spec->sans[i]))
			return false;
	return true;
}

static int ensure(struct authority *a, const char *name, struct opki_cert_spec *spec, struct orlop_error *err)
{
	spec->now = a->now;
	if (fits(a, name, spec))
		return 0;
	a->made++;
	return opki_issue_files(a->dir, name, spec, a->cert, a->key, err);
}

/* @from: the directory it is in, NULL: our own, where it is made if there is none. */
static int authority_open(struct authority *a, const char *from, struct orlop_error *err)
{
	struct opki_cert_spec spec = { .cn = "orlop-ca", .use = OPKI_CERT_CA };
	cleanup_free char *crt = omem_printf("%s/ca.crt", from ? from : a->dir);
	cleanup_free char *key = omem_printf("%s/ca.key", from ? from : a->dir);
	int r = crt && key ? 0 : orlop_fail(err, ENOMEM, 0, "", "out of memory");

	/*
	 * An authority that is there is never replaced silently: everybody who trusts this cluster
	 * would stop doing so.
	 */
	if (r == 0 && !from && access(crt, F_OK) && access(key, F_OK)) {
		r = ensure(a, "ca", &spec, err);
	}
	if (r == 0)
		r = opki_key_load(key, &a->key, err);
	if (r == 0)
		r = opki_cert_load(crt, &a->cert, err);
	if (r == 0 && !opki_cert_matches(a->cert, a->key))
		r = orlop_fail(err, EINVAL, 0, "", "%s and %s do not belong together; restore the right one", crt, key);
	return r;
}

/* The key that signs tokens of service accounts. */
static int signer(struct authority *a, struct orlop_error *err)
{
	cleanup_free char *path = omem_printf("%s/sa.key", a->dir);
	cleanup_free char *pub = omem_printf("%s/sa.pub", a->dir);
	cleanup_key struct opki_key *key = NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;
	int r = path && pub ? 0 : -ENOMEM;

	if (r == 0 && access(path, F_OK) == 0)
		return opki_key_load(path, &key, err);
	a->made++;
	if (r == 0)
		r = opki_key_new(&key);
	if (r == 0)
		r = opki_key_pem(key, &b);
	if (r == 0)
		r = ofile_write_atomic(AT_FDCWD, path, b.data, b.len, 0600);
	if (b.data)
		explicit_bzero(b.data, b.len);
	obuf_reset(&b);
	if (r == 0)
		r = opki_key_public_pem(key, &b);
	if (r == 0)
		r = ofile_write_atomic(AT_FDCWD, pub, b.data, b.len, 0644);
	return r ? orlop_fail(err, -r, 0, "", "%s: %s", path, strerrordesc_np(-r)) : 0;
}

static int kubeconfig(const struct setup *s, const struct authority *a, struct orlop_error *err)
{
	static const char *const files[] = { "ca.crt", "admin.crt", "admin.key" };
	struct obuf pem[3] = { OBUF_INIT, OBUF_INIT, OBUF_INIT };
	cleanup_free char *path = setup_path(s, "admin.kubeconfig");
	cleanup_free char *server = omem_printf("https://127.0.0.1:%lld", (long long)s->port);
	cleanup_obuf struct obuf out = OBUF_INIT;
	int r = path && server ? 0 : -ENOMEM;

	for (size_t i = 0; i < 3 && r == 0; i++) {
		cleanup_free char *from = omem_printf("%s/%s", a->dir, files[i]);

		r = from ? ofile_read(AT_FDCWD, from, 65536, &pem[i]) : -ENOMEM;
	}
	if (r == 0) {
		struct opki_kubeconfig k = {
			.user = "kubernetes-admin",
			.server = server,
			.ca_pem = { pem[0].data, pem[0].len },
			.cert_pem = { pem[1].data, pem[1].len },
			.key_pem = { pem[2].data, pem[2].len },
		};

		r = opki_kubeconfig(&k, &out);
	}
	if (r == 0)
		r = ofile_write_atomic(AT_FDCWD, path, out.data, out.len, 0600);
	if (pem[2].data)
		explicit_bzero(pem[2].data, pem[2].len);
	for (size_t i = 0; i < 3; i++)
		obuf_done(&pem[i]);
	return r ? orlop_fail(err, -r, 0, "", "%s: %s", path, strerrordesc_np(-r)) : 0;
}

static void san(const char **list, const char *name)
{
	size_t n = 0;

	for (; list[n]; n++)
		if (!strcmp(list[n], name))
			return;
	if (n + 1 < SANS_MAX)
		list[n] = name;
}

/*
 * As whom the API server asks servers of other groups. An authority of its own: whoever it has signed is believed who he says
 * somebody else is, so it must never sign a client.
 */
static int front_proxy(struct authority *a, struct orlop_error *err)
{
	struct opki_cert_spec ca = { .cn = "front-proxy-ca", .use = OPKI_CERT_CA };
	struct opki_cert_spec client = { .cn = "front-proxy-client", .use = OPKI_CERT_CLIENT };
	cleanup_free char *crt = omem_printf("%s/front-proxy-ca.crt", a->dir);
	cleanup_free char *key = omem_printf("%s/front-proxy-ca.key", a->dir);
	struct authority own = { .dir = a->dir, .now = a->now };
	int r = crt && key ? 0 : orlop_fail(err, ENOMEM, 0, "", "out of memory");

	if (r == 0 && access(crt, F_OK) && access(key, F_OK))
		r = ensure(&own, "front-proxy-ca", &ca, err);
	if (r == 0)
		r = opki_key_load(key, &own.key, err);
	if (r == 0)
		r = opki_cert_load(crt, &own.cert, err);
	if (r == 0)
		r = ensure(&own, "front-proxy-client", &client, err);
	a->made += own.made;
	opki_cert_free(own.cert);
	opki_key_free(own.key);
	return r;
}

int certs_make(const struct setup *s, int *ret_made, struct orlop_error *err)
{
	static const char *const masters[] = { "system:masters", NULL };
	static const char *const nodes[] = { "system:nodes", NULL };
	cleanup_free char *dir = setup_path(s, "pki");
	cleanup_free char *node_user = omem_printf("system:node:%s", s->node_name);
	struct authority a = { .dir = dir, .now = (int64_t)time(NULL) };
	const char *server_sans[SANS_MAX] = { "kubernetes", "kubernetes.default", "kubernetes.default.svc",
					      "kubernetes.default.svc.cluster.local", "localhost", "127.0.0.1" };
	const char *node_sans[SANS_MAX] = { "localhost", "127.0.0.1" };
	struct opki_cert_spec server = { .cn = "kube-apiserver", .sans = server_sans, .use = OPKI_CERT_SERVER };
	struct opki_cert_spec admin = { .cn = "kubernetes-admin", .orgs = masters, .use = OPKI_CERT_CLIENT };
	struct opki_cert_spec to_kubelet = { .cn = "kube-apiserver-kubelet-client", .use = OPKI_CERT_CLIENT };
	struct opki_cert_spec kubelet = { .cn = node_user, .orgs = nodes, .sans = node_sans,
					  .use = OPKI_CERT_SERVER | OPKI_CERT_CLIENT };
	char service[INET_ADDRSTRLEN] = "";
	char gateway[INET_ADDRSTRLEN] = "";
	struct nets nets;
	struct utsname u;
	uint32_t net;
	uint32_t prefix;
	int r = dir && node_user ? ofile_mkdir_p(dir, 0700) : -ENOMEM;

	if (r)
		return orlop_fail(err, -r, 0, "", "%s/pki: %s", s->dir, strerrordesc_np(-r));
	/* The first address of the Services is the API's; that of the pods' network its bridge. */
	if (cidr_parse(s->service_cidr, &net, &prefix) == 0)
		(void)inet_ntop(AF_INET, &(struct in_addr){ htonl(net + 1) }, service, sizeof(service));
	if (nets_parse(s->pod_cidr, &nets) == 0 && nets.prefix4)
		(void)inet_ntop(AF_INET, &(struct in_addr){ htonl(nets.net4 + 1) }, gateway, sizeof(gateway));
	if (uname(&u) == 0 && u.nodename[0])
		san(server_sans, u.nodename);
	san(server_sans, s->node_name);
	san(server_sans, s->node_ip);
	if (service[0])
		san(server_sans, service);
	if (gateway[0])
		san(server_sans, gateway);
	san(node_sans, s->node_name);
	san(node_sans, s->node_ip);
	r = authority_open(&a, NULL, err);
	if (r == 0)
		r = ensure(&a, "apiserver", &server, err);
	if (r == 0)
		r = ensure(&a, "admin", &admin, err);
	if (r == 0)
		r = ensure(&a, "apiserver-kubelet-client", &to_kubelet, err);
	if (r == 0)
		r = ensure(&a, "kubelet", &kubelet, err);
	if (r == 0)
		r = front_proxy(&a, err);
	if (r == 0)
		r = signer(&a, err);
	if (r == 0)
		r = kubeconfig(s, &a, err);
	opki_cert_free(a.cert);
	opki_key_free(a.key);
	*ret_made = a.made;
	return r;
}

/* ---- joined ----------------------------------------------------------------------------------- */

/* The authority that the kubeconfig names: who may ask this node's API, and what pods are told to trust. */
static int cluster_authority(const struct setup *s, const char *dir, struct orlop_error *err)
{
	cleanup_free char *path = omem_printf("%s/cluster-ca.crt", dir);
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct okubeconfig k = { .addr = NULL };
	int r = path ? okubeconfig_load(s->join, NULL, &k, err) : orlop_fail(err, ENOMEM, 0, "", "out of memory");

	if (r == 0 && k.ca_pem)
		obuf_puts(&b, k.ca_pem);
	else if (r == 0 && k.ca_path)
		r = ofile_read(AT_FDCWD, k.ca_path, 1 << 20, &b);
	if (r == 0)
		r = obuf_err(&b);
	if (r == 0)
		r = ofile_write_atomic(AT_FDCWD, path, b.data ? b.data : "", b.len, 0644);
	okubeconfig_done(&k);
	return r && (!err || !err->err) ? orlop_fail(err, -r, 0, "", "%s: %s", path, strerrordesc_np(-r)) : r;
}

int certs_join(const struct setup *s, const char *pki, struct orlop_error *err)
{
	static const char *const nodes[] = { "system:nodes", NULL };
	cleanup_free char *dir = setup_path(s, "pki");
	cleanup_free char *node_user = omem_printf("system:node:%s", s->node_name);
	struct authority a = { .dir = dir, .now = (int64_t)time(NULL) };
	const char *sans[SANS_MAX] = { "localhost", "127.0.0.1" };
	struct opki_cert_spec kubelet = { .cn = node_user, .orgs = nodes, .sans = sans, .now = a.now,
					  .use = OPKI_CERT_SERVER | OPKI_CERT_CLIENT };
	int r = dir && node_user ? ofile_mkdir_p(dir, 0700) : -ENOMEM;

	if (r)
		return orlop_fail(err, -r, 0, "", "%s/pki: %s", s->dir, strerrordesc_np(-r));
	san(sans, s->node_name);
	san(sans, s->node_ip);
	r = cluster_authority(s, dir, err);
	/* Whoever signed what is there, as long as nobody names another authority. */
	if (r == 0 && !conf_without(s, "kubelet") && (pki || !fits(&a, "kubelet", &kubelet))) {
		r = authority_open(&a, pki, err);
		if (r == 0)
			r = ensure(&a, "kubelet", &kubelet, err);
	}
	opki_cert_free(a.cert);
	opki_key_free(a.key);
	return r;
}
