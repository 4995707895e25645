/* format.c - formats of strings and numbers in schemas, as upstream's strfmt knows them. */
#include "crd/ocrd.h"

#include "base/ostr.h"
#include "base/otime.h"
#include "schema/validate.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

static bool digits(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return true;
}

static bool is_date(const char *p, size_t n)
{
	static const uint8_t days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int m, d;

	if (n != 10 || p[4] != '-' || p[7] != '-' || !digits(p, 4) || !digits(p + 5, 2) || !digits(p + 8, 2))
		return false;
	m = (p[5] - '0') * 10 + p[6] - '0';
	d = (p[8] - '0') * 10 + p[9] - '0';
	return m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1];
}

static bool is_uuid(const char *p, size_t n)
{
	if (n != 36)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? p[i] != '-' : !strchr("0123456789abcdefABCDEF", p[i]))
			return false;
	}
	return true;
}

static bool is_ip(const char *p, size_t n, int family)
{
	unsigned char addr[16];
	char buf[64];

	if (n >= sizeof(buf) || memchr(p, '\0', n))
		return false;
	memcpy(buf, p, n);
	buf[n] = '\0';
	return inet_pton(family, buf, addr) == 1;
}

static bool is_cidr(const char *p, size_t n)
{
	const char *slash = memchr(p, '/', n);
	size_t left = slash ? (size_t)(slash - p) : 0, bits = n - left - 1;
	int v = 0;

	if (!slash || bits < 1 || bits > 3 || !digits(slash + 1, bits))
		return false;
	for (size_t i = 0; i < bits; i++)
		v = v * 10 + slash[1 + i] - '0';
	return (is_ip(p, left, AF_INET) && v <= 32) || (is_ip(p, left, AF_INET6) && v <= 128);
}

static bool is_base64(const char *p, size_t n)
{
	size_t pad = 0;

	if (n % 4)
		return false;
	while (pad < 2 && pad < n && p[n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < n - pad; i++)
		if (!((p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= 'a' && p[i] <= 'z') || digits(p + i, 1) || p[i] == '+' ||
		      p[i] == '/'))
			return false;
	return true;
}

bool ocrd_format(const char *format, struct orlop_bytes s)
{
	int64_t ns;

	if (!strcmp(format, "date-time") || !strcmp(format, "datetime"))
		return s.len >= 20 && otime_parse(s.p, s.len, &ns) == 0;
	if (!strcmp(format, "date"))
		return is_date(s.p, s.len);
	if (!strncmp(format, "uuid", 4))
		return is_uuid(s.p, s.len);
	if (!strcmp(format, "ipv4"))
		return is_ip(s.p, s.len, AF_INET);
	if (!strcmp(format, "ipv6"))
		return is_ip(s.p, s.len, AF_INET6);
	if (!strcmp(format, "cidr"))
		return is_cidr(s.p, s.len);
	if (!strcmp(format, "byte"))
		return is_base64(s.p, s.len);
	if (!strcmp(format, "hostname"))
		return s.len > 0 && s.len < 256 && !memchr(s.p, ' ', s.len) && !memchr(s.p, '_', s.len);
	if (!strcmp(format, "email"))
		return s.len > 2 && memchr(s.p + 1, '@', s.len - 2) && !memchr(s.p, ' ', s.len);
	return true;
}

bool ocrd_format_number(const char *format, const struct ojson *v)
{
	int64_t i;

	if (strcmp(format, "int32") != 0 || !ojson_is(v, OJSON_INT))
		return true;
	i = ojson_i64(v, 0);
	return i >= INT32_MIN && i <= INT32_MAX;
}
