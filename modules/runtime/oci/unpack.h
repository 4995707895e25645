/* unpack.h - the parts of oci-unpack, the program that turns a fetched image into layer directories. */
#ifndef RUNTIME_OCI_UNPACK_H
#define RUNTIME_OCI_UNPACK_H

#include <stdint.h>

#include "base/obuf.h"
#include "json/ojson.h"

/*
 * Unpack the layer blob at @path into LAYERS/NAME (NAME: first 24 digits of @diff_id), unless it is
 * there. @digest of the blob and @diff_id of its content are verified, both "sha256:HEX". Returns 0,
 * or 1 after saying what is wrong on stderr. *ret_size grows by the bytes unpacked.
 */
int layer_unpack(const char *layers, const char *path, const char *digest, const char *diff_id,
		 uint64_t *ret_size);

/* "sha256:HEX" of a file. 0 or -errno. */
int file_digest(const char *path, char out[72]);

/* What kind of archive, and the names in it, as JSON on stdout. 0 or 1 (said on stderr). */
int archive_inspect(const char *path);

#endif
