/*
 * Fuzz target of requests for certificates (PKCS #10). First byte 'p': PEM text follows, otherwise DER, which is put into
 * PEM here. What is read can be asked and signed, and what is signed can be read.
 */
#include "base/obuf.h"
#include "base/oenc.h"
#include "pki/opki.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An authority, made once. */
static struct opki_key *ca_key;
static struct opki_cert *ca;

static void prepare(void)
{
	struct opki_cert_spec spec = { .cn = "ca", .use = OPKI_CERT_CA, .now = 1700000000 };

	if (ca)
		return;
	if (opki_key_new(&ca_key) || opki_cert_new(&spec, ca_key, NULL, NULL, &ca))
		abort();
}

static void sign(const struct opki_request *r)
{
	struct opki_grant g = { .not_before = 1700000000, .not_after = 1800000000,
				.key_usage = "critical,digitalSignature", .ext_key_usage = "clientAuth" };
	struct opki_cert *cert = NULL;

	if (opki_request_sign(r, &g, ca, ca_key, &cert) == 0 && !cert)
		abort();
	opki_cert_free(cert);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct opki_request *r = NULL;
	const char *const *orgs = NULL;
	struct obuf pem = OBUF_INIT;
	uint32_t n;

	if (size < 1)
		return 0;
	prepare();
	if (data[0] == 'p') {
		obuf_append(&pem, data + 1, size - 1);
	} else {
		obuf_puts(&pem, "-----BEGIN CERTIFICATE REQUEST-----\n");
		obase64_append(&pem, OBASE64_STD, data + 1, size - 1);
		obuf_puts(&pem, "\n-----END CERTIFICATE REQUEST-----\n");
	}
	if (obuf_err(&pem) == 0 && opki_request_parse(pem.data ? pem.data : "", pem.len, &r) == 0) {
		(void)strlen(opki_request_cn(r));
		n = opki_request_orgs(r, &orgs);
		for (uint32_t i = 0; i < n; i++)
			(void)strlen(orgs[i]);
		for (int k = OPKI_SAN_DNS; k <= OPKI_SAN_URI; k++)
			(void)opki_request_sans(r, k);
		sign(r);
	}
	opki_request_free(r);
	obuf_done(&pem);
	return 0;
}
