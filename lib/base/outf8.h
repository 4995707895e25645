/* outf8 - decoding, encoding and validation of UTF-8 with Go's rules for broken input. */
#ifndef OLIB_BASE_OUTF8_H
#define OLIB_BASE_OUTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTF8_INVALID 0xfffdu

/*
 * outf8_decode - the code point at @p
 *
 * Returns the bytes it takes (0 only if @n is 0). Broken input: 1 byte and OUTF8_INVALID; the real
 * U+FFFD takes 3 bytes. Surrogates and overlong forms are broken.
 */
size_t outf8_decode(const char *p, size_t n, uint32_t *ret_rune);

/* Writes at most 4 bytes, returns how many. Surrogates and > 0x10ffff give U+FFFD. */
size_t outf8_encode(uint32_t rune, char out[4]);

bool outf8_valid(const char *p, size_t n);

#endif
