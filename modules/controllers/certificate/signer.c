/*
 * signer.c - what the signers kubernetes.io/kube-apiserver-client, kube-apiserver-client-kubelet and kubelet-serving ask of a
 * request. Pure.
 *
 * Source: upstream's pkg/controller/certificates/signer and pkg/apis/certificates/helpers.go, behaviour only.
 */
#include "authority.h"

#include <stdio.h>
#include <string.h>

#define PREFIX		"kubernetes.io/"
#define SHORTEST_S	600

static const char *const signers[] = { PREFIX "kube-apiserver-client", PREFIX "kube-apiserver-client-kubelet", PREFIX "kubelet-serving" };

bool signer_is_ours(const char *signer)
{
	for (size_t i = 0; i < sizeof(signers) / sizeof(*signers); i++)
		if (!strcmp(signer, signers[i]))
			return true;
	return false;
}

static bool has(const struct ojson *usages, const char *what)
{
	OJSON_FOREACH_ELEM(i, u, usages)
		if (ojson_string_is(u, what))
			return true;
	return false;
}

/* Exactly these: digital signature, @auth, and key encipherment for those whose keys are RSA. */
static bool are(const struct ojson *usages, const char *auth)
{
	size_t n = ojson_count(usages);

	return has(usages, "digital signature") && has(usages, auth) && (n == 2 || (n == 3 && has(usages, "key encipherment")));
}

static const char *usages_differ(const char *auth, char *buf, size_t size)
{
	snprintf(buf, size, "usages did not match [digital signature key encipherment %s]", auth);
	return buf;
}

static const char *not_a_node(const struct opki_request *q)
{
	const char *const *orgs;

	if (opki_request_orgs(q, &orgs) != 1 || strcmp(orgs[0], "system:nodes") != 0)
		return "subject organization is not system:nodes";
	return NULL;
}

static const char *kubelet_client(const struct opki_request *q, const struct ojson *usages, char *buf, size_t size)
{
	const char *why = not_a_node(q);

	if (why)
		return why;
	if (opki_request_sans(q, OPKI_SAN_DNS))
		return "DNS subjectAltNames are not allowed";
	if (opki_request_sans(q, OPKI_SAN_EMAIL))
		return "Email subjectAltNames are not allowed";
	if (opki_request_sans(q, OPKI_SAN_IP))
		return "IP subjectAltNames are not allowed";
	if (opki_request_sans(q, OPKI_SAN_URI))
		return "URI subjectAltNames are not allowed";
	if (strncmp(opki_request_cn(q), "system:node:", 12) != 0)
		return "subject common name does not begin with system:node:";
	return are(usages, "client auth") ? NULL : usages_differ("client auth", buf, size);
}

static const char *kubelet_serving(const struct opki_request *q, const struct ojson *usages, char *buf, size_t size)
{
	const char *why = not_a_node(q);

	if (why)
		return why;
	if (!opki_request_sans(q, OPKI_SAN_DNS) && !opki_request_sans(q, OPKI_SAN_IP))
		return "DNS or IP subjectAltName is required";
	if (opki_request_sans(q, OPKI_SAN_EMAIL))
		return "Email subjectAltNames are not allowed";
	if (opki_request_sans(q, OPKI_SAN_URI))
		return "URI subjectAltNames are not allowed";
	if (!are(usages, "server auth"))
		return usages_differ("server auth", buf, size);
	return strncmp(opki_request_cn(q), "system:node:", 12) != 0 ? "subject common name does not begin with system:node:" : NULL;
}

const char *signer_refuses(const char *signer, const struct opki_request *q, const struct ojson *usages, char *buf, size_t size)
{
	if (!strcmp(signer, signers[1]))
		return kubelet_client(q, usages, buf, size);
	if (!strcmp(signer, signers[2]))
		return kubelet_serving(q, usages, buf, size);
	OJSON_FOREACH_ELEM(i, u, usages)
		if (!ojson_string_is(u, "digital signature") && !ojson_string_is(u, "key encipherment") && !ojson_string_is(u, "client auth"))
			return "invalid usages for client certificate";
	return has(usages, "client auth") ? NULL : "invalid usages for client certificate";
}

bool signer_is_kubelet_client(const char *signer, const struct opki_request *q, const struct ojson *usages)
{
	char why[80];

	return !strcmp(signer, signers[1]) && !kubelet_client(q, usages, why, sizeof(why));
}

int64_t signer_seconds(int64_t asked, int64_t most)
{
	return asked <= 0 || asked > most ? most : asked < SHORTEST_S ? SHORTEST_S : asked;
}

static void put(struct obuf *b, const char *word)
{
	obuf_printf(b, "%s%s", b->len ? "," : "", word);
}

void signer_usages(const struct ojson *usages, struct obuf *key, struct obuf *ext)
{
	put(key, "critical");
	if (has(usages, "digital signature"))
		put(key, "digitalSignature");
	if (has(usages, "key encipherment"))
		put(key, "keyEncipherment");
	if (has(usages, "client auth"))
		put(ext, "clientAuth");
	if (has(usages, "server auth"))
		put(ext, "serverAuth");
	if (key->len == strlen("critical"))
		obuf_reset(key);
}
