/* authority.c - reading the authority's files: the only thing here that touches the world. */
#include "authority.h"

#include <errno.h>

#include <orlop/inline/error.h>

int authority_load(struct authority *a, const char *cert, const char *key, struct orlop_error *err)
{
	int e;

	if (!*cert && !*key)
		return 0;
	if (!*cert || !*key)
		return orlop_fail(err, EINVAL, 0, "", "ca_file and ca_key_file belong together");
	e = opki_cert_load(cert, &a->cert, err);
	if (!e)
		e = opki_key_load(key, &a->key, err);
	if (!e && !opki_cert_matches(a->cert, a->key))
		e = orlop_fail(err, EINVAL, 0, "", "%s is not the key of %s", key, cert);
	return e;
}

void authority_done(struct authority *a)
{
	opki_cert_free(a->cert);
	opki_key_free(a->key);
	*a = (struct authority){ NULL, NULL };
}
