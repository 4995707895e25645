/*
 * Fuzz target of tokens. First byte 's': claims follow, which are signed here: the token is valid, says just that, and with a
 * byte changed it is not. 'e': the lines that follow become its parts, none of them signed. Otherwise the rest is a token.
 */
#include "base/obuf.h"
#include "base/oenc.h"
#include "pki/opki.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct opki_key *key;

static void must(int x)
{
	if (!x)
		abort();
}

static void signed_by_us(const char *p, size_t len)
{
	const struct opki_key *keys[] = { key };
	struct obuf token = OBUF_INIT, claims = OBUF_INIT;
	size_t at = len ? (unsigned char)p[0] : 0;

	must(opki_jwt_sign(key, p, len, &token) == 0);
	if (opki_jwt_verify(keys, 1, token.data, token.len, &claims) == 0)
		must(claims.len == len && (len == 0 || memcmp(claims.data, p, len) == 0));
	else
		must(len < 2 || len > 40000);
	/* not the last one, which may hold bits that mean nothing */
	at = at * (token.len - 2) / 255;
	token.data[at] = token.data[at] == 'A' ? 'B' : 'A';
	obuf_reset(&claims);
	must(opki_jwt_verify(keys, 1, token.data, token.len, &claims) != 0);
	obuf_done(&claims);
	obuf_done(&token);
}

/* "HEADER.CLAIMS.SIGNATURE" of the text between dots. */
static void encoded(const char *p, size_t len)
{
	const struct opki_key *keys[] = { key };
	struct obuf token = OBUF_INIT, claims = OBUF_INIT;
	const char *end = p + len;
	bool first = true;

	while (p <= end) {
		const char *dot = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL, *stop = dot ? dot : end;

		if (!first)
			obuf_putc(&token, '.');
		first = false;
		obase64_append(&token, OBASE64_RAWURL, p, (size_t)(stop - p));
		p = stop + 1;
	}
	must(opki_jwt_verify(keys, 1, token.data ? token.data : "", token.len, &claims) != 0);
	obuf_done(&claims);
	obuf_done(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 1;
	struct obuf claims = OBUF_INIT;

	if (size < 1)
		return 0;
	if (!key && opki_key_new(&key))
		abort();
	if (data[0] == 's') {
		signed_by_us(p, size - 1);
	} else if (data[0] == 'e') {
		encoded(p, size - 1);
	} else {
		const struct opki_key *keys[] = { key };

		(void)opki_jwt_verify(keys, 1, p, size - 1, &claims);
		obuf_done(&claims);
	}
	return 0;
}
