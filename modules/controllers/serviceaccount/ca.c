/* ca.c - reading the certificate authority's file: the only thing here that touches the world. */
#include "ca.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/obuf.h"
#include "base/ofile.h"
#include "base/omem.h"

#define CA_MAX	(256u << 10)	/* a ConfigMap may not be larger than 1 MiB */

int ca_read(const char *path, char **ret_text, struct orlop_error *err)
{
	struct obuf b = OBUF_INIT;
	char *text;
	int e = ofile_read(AT_FDCWD, path, CA_MAX, &b);

	if (e) {
		obuf_done(&b);
		return orlop_fail(err, -e, 0, "", "cannot read ca_file \"%s\"", path);
	}
	if (!strstr(obuf_cstr(&b), "-----BEGIN CERTIFICATE-----")) {
		obuf_done(&b);
		return orlop_fail(err, EINVAL, 0, "", "ca_file \"%s\" holds no certificate in PEM", path);
	}
	text = obuf_steal(&b, NULL);
	if (!text)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	*ret_text = text;
	return 0;
}
