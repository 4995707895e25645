/* oenc, ohash, ostr: known vectors. */
#include "base/oenc.h"
#include "base/ohash.h"
#include "base/ostr.h"
#include "base/otap.h"

#include <errno.h>

static void test_base64(void)
{
	static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
	static const char *const std[] = {
		"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy",
	};
	char out[64];
	size_t at = 0;
	long n;

	for (size_t i = 0; i < 7; i++) {
		obase64_encode(OBASE64_STD, plain[i], strlen(plain[i]), out);
		is_str(out, std[i], "base64 of \"%s\"", plain[i]);
		n = obase64_decode(OBASE64_STD, std[i], strlen(std[i]), out, NULL);
		is_mem(out, (size_t)n, plain[i], strlen(plain[i]), "and back");
	}
	obase64_encode(OBASE64_RAWURL, "\xfb\xff\xfe", 2, out);
	is_str(out, "-_8", "URL alphabet without padding");
	n = obase64_decode(OBASE64_RAWURL, "-_8", 3, out, NULL);
	is_mem(out, (size_t)n, "\xfb\xff", 2, "and back");
	is_int(obase64_decode(OBASE64_STD, "Zm9v\r\nZg==\n", 11, out, NULL), 4, "newlines are skipped");
	is_int(obase64_decode(OBASE64_STD, "Zg=", 3, out, &at), -EINVAL, "half a padding");
	is_int(obase64_decode(OBASE64_STD, "Zg", 2, out, &at), -EINVAL, "no padding");
	is_int(obase64_decode(OBASE64_STD, "Z", 1, out, &at), -EINVAL, "one character");
	is_int(obase64_decode(OBASE64_STD, "Zm9vZ!==", 8, out, &at), -EINVAL, "foreign character");
	is_int(at, 5, "its offset");
	is_int(obase64_decode(OBASE64_STD, "Zg==Zg==", 8, out, &at), -EINVAL, "text after the padding");
	is_int(obase64_decode(OBASE64_RAWURL, "Zg==", 4, out, &at), -EINVAL, "padding in raw form");
	is_int(obase64_decode(OBASE64_STD, "-_8=", 4, out, &at), -EINVAL, "URL letters in std form");
}

static void test_hex_and_names(void)
{
	char out[32];

	ohex_encode("\x00\xab\x7f", 3, out);
	is_str(out, "00ab7f", "hex");
	is_int(ohex_decode("00AB7f", 6, out, sizeof(out)), 3, "hex back, any case");
	is_mem(out, 3, "\x00\xab\x7f", 3, "the bytes");
	is_int(ohex_decode("0", 1, out, sizeof(out)), -EINVAL, "odd length");
	is_int(ohex_decode("0g", 2, out, sizeof(out)), -EINVAL, "bad digit");
	is_int(ohex_decode("0000", 4, out, 1), -ENOSPC, "no room");
	osafe_encode("0123456789abcdef", 16, out);
	is_int(strlen(out), 16, "safe encoding keeps the length");
	osafe_encode("1a", 2, out);
	out[2] = '\0';
	/* '1' = 49 % 27 = 22 → '5' … position 22 of the alphabet; 'a' = 97 % 27 = 16 */
	is_int(out[0], OSAFE_ALPHABET[22], "digit");
	is_int(out[1], OSAFE_ALPHABET[16], "letter");
	osafe_suffix(0, 5, out);
	is_str(out, "bbbbb", "suffix of zero");
	osafe_suffix(UINT64_MAX, 13, out);
	is_int(strspn(out, OSAFE_ALPHABET), 13, "suffix stays in the alphabet");
}

static void test_hash(void)
{
	is_int(ohash_fnv1a32(OHASH_FNV32_INIT, "foobar", 6), 0xbf9cf968u, "FNV-1a 32");
	ok(ohash_fnv1a64(OHASH_FNV64_INIT, "foobar", 6) == 0x85944171f73967e8ull, "FNV-1a 64");
	is_int(ohash_fnv32(OHASH_FNV32_INIT, "foobar", 6), 0x31f0b262u, "FNV-1 32");
	ok(ohash_bytes(1, "abc", 3) != ohash_bytes(2, "abc", 3), "the seed matters");
	ok(ohash_bytes(1, "abc", 3) != ohash_bytes(1, "abc\0", 4), "the length matters");
	ok(ohash_bytes(1, "0123456789abcdef0", 17) != ohash_bytes(1, "0123456789abcdef1", 17), "the tail");
}

static void test_str(void)
{
	int64_t i;
	uint64_t u;

	is_int(ostr_to_i64("-9223372036854775808", 20, &i), 0, "smallest");
	is_int(i, INT64_MIN, "its value");
	is_int(ostr_to_i64("9223372036854775808", 19, &i), -ERANGE, "one too many");
	is_int(ostr_to_i64("", 0, &i), -EINVAL, "empty");
	is_int(ostr_to_i64("-", 1, &i), -EINVAL, "sign only");
	is_int(ostr_to_i64(" 1", 2, &i), -EINVAL, "space");
	is_int(ostr_to_u64("18446744073709551615", 20, &u), 0, "largest unsigned");
	ok(u == UINT64_MAX, "its value");
	is_int(ostr_to_u64("18446744073709551616", 20, &u), -ERANGE, "one more");
	ok(ostr_cmp("a", 1, "ab", 2) < 0, "shorter first");
	ok(ostr_cmp("b", 1, "ab", 2) > 0, "byte order");
	is_int(ostr_cmp("", 0, "", 0), 0, "empty equals empty");
	ok(ostr_starts("abc", 3, "ab") && !ostr_starts("a", 1, "ab"), "prefix");
	{
		unsigned char r[16];
		char text[OUUID_BUF];

		memset(r, 0xff, sizeof(r));
		ouuid_make(r, text);
		ok(!strcmp(text, "ffffffff-ffff-4fff-bfff-ffffffffffff"), "a UUID");
	}
	ok(ostr_ends("abc", 3, "bc") && !ostr_ends("c", 1, "bc"), "suffix");
}

int main(void)
{
	test_base64();
	test_hex_and_names();
	test_hash();
	test_str();
	return done_testing();
}
