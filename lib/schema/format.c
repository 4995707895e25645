/*
 * format.c - the formats of names and other texts, with upstream's sentence for each violation.
 *
 * Source: k8s.io/apimachinery/pkg/util/validation and k8s.io/kubernetes/pkg/apis/core/validation.
 */
#include <arpa/inet.h>
#include <string.h>

#include "schema/internal.h"
#include "schema/validate.h"

#define LABEL_RE "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define QUALIFIED_RE "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
#define QUALIFIED_MSG "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " \
	"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '" \
	QUALIFIED_RE "')"
#define SUBDOMAIN_MSG "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', " \
	"and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '" \
	LABEL_RE "(\\." LABEL_RE ")*')"
#define LABEL_MSG "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start " \
	"and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '" LABEL_RE "')"
#define LABEL1035_MSG "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic " \
	"character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation " \
	"is '[a-z]([-a-z0-9]*[a-z0-9])?')"
#define LABEL_VALUE_MSG "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must " \
	"start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for " \
	"validation is '(" QUALIFIED_RE ")?')"
#define CONFIG_KEY_MSG "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or " \
	"'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
#define HEADER_MSG "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for " \
	"validation is '[-A-Za-z0-9]+')"
#define SYSCTL_MSG "must have at most 253 characters and match regex " \
	"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"

static bool lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool alnum(char c)
{
	return lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool dns_label(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!lower_alnum(p[i]) && p[i] != '-')
			return false;
	return n > 0 && p[0] != '-' && p[n - 1] != '-';
}

/* Labels joined by dots. */
static bool dns_subdomain(const char *p, size_t n)
{
	for (;;) {
		const char *dot = memchr(p, '.', n);
		size_t len = dot != NULL ? (size_t)(dot - p) : n;

		if (!dns_label(p, len))
			return false;
		if (dot == NULL)
			return true;
		p += len + 1;
		n -= len + 1;
	}
}

/* ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9] */
static bool qualified_part(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!alnum(p[i]) && p[i] != '-' && p[i] != '_' && p[i] != '.')
			return false;
	return n > 0 && alnum(p[0]) && alnum(p[n - 1]);
}

/* What is wrong with a text: upstream tells of everything at once, most formats have one thing only. */
struct wrong {
	const char	**v;
	size_t		n;
};

static void add(struct wrong *w, bool is, const char *why)
{
	if (is && w->n < OSCHEMA_FORMAT_WHYS)
		w->v[w->n++] = why;
}

static void check_label(struct wrong *w, const char *p, size_t n)
{
	add(w, n > 63, "must be no more than 63 characters");
	add(w, !dns_label(p, n), LABEL_MSG);
}

static void check_subdomain(struct wrong *w, const char *p, size_t n)
{
	add(w, n > 253, "must be no more than 253 characters");
	add(w, !dns_subdomain(p, n), SUBDOMAIN_MSG);
}

static void check_label1035(struct wrong *w, const char *p, size_t n)
{
	add(w, n > 63, "must be no more than 63 characters");
	add(w, !dns_label(p, n) || p[0] < 'a', LABEL1035_MSG);
}

static void check_qualified(struct wrong *w, const char *p, size_t n)
{
	const char *slash = memchr(p, '/', n);

	if (slash != NULL) {
		size_t len = (size_t)(slash - p);

		if (memchr(slash + 1, '/', n - len - 1) != NULL) {
			add(w, true, "a qualified name " QUALIFIED_MSG
			    " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
			return;
		}
		add(w, len == 0, "prefix part must be non-empty");
		add(w, len > 253, "prefix part must be no more than 253 characters");
		add(w, len > 0 && !dns_subdomain(p, len), "prefix part " SUBDOMAIN_MSG);
		p = slash + 1;
		n -= len + 1;
	}
	add(w, n == 0, "name part must be non-empty");
	add(w, n > 63, "name part must be no more than 63 characters");
	add(w, !qualified_part(p, n), "name part " QUALIFIED_MSG);
}

static void check_label_value(struct wrong *w, const char *p, size_t n)
{
	add(w, n > 63, "must be no more than 63 characters");
	add(w, n > 0 && !qualified_part(p, n), LABEL_VALUE_MSG);
}

static void check_port_name(struct wrong *w, const char *p, size_t n)
{
	bool letter = false, odd = n == 0, twice = false;

	for (size_t i = 0; i < n; i++) {
		odd = odd || (!lower_alnum(p[i]) && p[i] != '-');
		letter = letter || (p[i] >= 'a' && p[i] <= 'z');
		twice = twice || (i > 0 && p[i] == '-' && p[i - 1] == '-');
	}
	add(w, n > 15, "must be no more than 15 characters");
	add(w, odd, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
	add(w, !letter, "must contain at least one letter (a-z)");
	add(w, twice, "must not contain consecutive hyphens");
	add(w, n > 0 && (p[0] == '-' || p[n - 1] == '-'), "must not begin or end with a hyphen");
}

static void check_config_key(struct wrong *w, const char *p, size_t n)
{
	bool odd = n == 0;

	for (size_t i = 0; i < n; i++)
		odd = odd || (!alnum(p[i]) && p[i] != '-' && p[i] != '_' && p[i] != '.');
	add(w, n > 253, "must be no more than 253 characters");
	add(w, odd, CONFIG_KEY_MSG);
	if (ostr_is(p, n, ".") || ostr_is(p, n, ".."))
		add(w, true, n == 1 ? "must not be '.'" : "must not be '..'");
	else
		add(w, ostr_starts(p, n, ".."), "must not start with '..'");
}

static void check_path_segment(struct wrong *w, const char *p, size_t n)
{
	if (ostr_is(p, n, ".") || ostr_is(p, n, "..")) {
		add(w, true, n == 1 ? "may not be '.'" : "may not be '..'");
		return;
	}
	add(w, memchr(p, '/', n) != NULL, "may not contain '/'");
	add(w, memchr(p, '%', n) != NULL, "may not contain '%'");
}

/* 4 or 6 with the address in @ret, or 0. */
static int parse_ip(const char *p, size_t n, unsigned char ret[16])
{
	char text[INET6_ADDRSTRLEN + 1];

	if (n >= sizeof(text) || memchr(p, '\0', n) != NULL)
		return 0;
	memcpy(text, p, n);
	text[n] = '\0';
	if (inet_pton(AF_INET, text, ret) == 1)
		return 4;
	return inet_pton(AF_INET6, text, ret) == 1 ? 6 : 0;
}

static const char *check_ip(const char *p, size_t n)
{
	unsigned char a[16];

	return parse_ip(p, n, a) != 0 ? NULL :
	       "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
}

static const char *check_endpoint_ip(const char *p, size_t n)
{
	static const unsigned char zero[16];
	unsigned char a[16];
	int family = parse_ip(p, n, a);
	bool v4 = family == 4;

	if (family == 0)
		return check_ip(p, n);
	if (memcmp(a, zero, v4 ? 4 : 16) == 0)
		return v4 ? "may not be unspecified (0.0.0.0)" : "may not be unspecified (::)";
	if (v4 ? a[0] == 127 : (memcmp(a, zero, 15) == 0 && a[15] == 1))
		return "may not be in the loopback range (127.0.0.0/8, ::1/128)";
	if (v4 ? (a[0] == 169 && a[1] == 254) : (a[0] == 0xfe && (a[1] & 0xc0) == 0x80))
		return "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
	if (v4 ? (a[0] == 224 && a[1] == 0 && a[2] == 0) : (a[0] == 0xff && (a[1] & 0x0f) == 0x02))
		return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
	return NULL;
}

static const char *check_cidr(const char *p, size_t n)
{
	static const char bad[] = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
	const char *slash = memchr(p, '/', n);
	unsigned char a[16];
	uint64_t bits;
	int family;

	if (slash == NULL)
		return bad;
	family = parse_ip(p, (size_t)(slash - p), a);
	if (family == 0 || ostr_to_u64(slash + 1, n - (size_t)(slash + 1 - p), &bits) != 0)
		return bad;
	return bits <= (family == 4 ? 32u : 128u) ? NULL : bad;
}

static const char *check_env_name(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < 0x20 || p[i] > 0x7e || p[i] == '=')
			return "a valid environment variable name must consist only of printable ASCII characters "
			       "other than '='";
	return n > 0 ? NULL : "environment variable name must be non-empty";
}

static const char *check_header_name(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!alnum(p[i]) && p[i] != '-')
			return HEADER_MSG;
	return n > 0 ? NULL : HEADER_MSG;
}

static const char *check_sysctl(const char *p, size_t n)
{
	size_t start = 0;

	if (n > 253)
		return SYSCTL_MSG;
	for (size_t i = 0; i <= n; i++) {
		if (i < n && p[i] != '.' && p[i] != '/') {
			if (!lower_alnum(p[i]) && p[i] != '-' && p[i] != '_')
				return SYSCTL_MSG;
			continue;
		}
		if (i == start || !lower_alnum(p[start]) || !lower_alnum(p[i - 1]))
			return SYSCTL_MSG;
		start = i + 1;
	}
	return NULL;
}

/* Has the path an element ".."? */
static bool has_backstep(const char *p, size_t n)
{
	size_t start = 0;

	for (size_t i = 0; i <= n; i++) {
		if (i < n && p[i] != '/')
			continue;
		if (i - start == 2 && p[start] == '.' && p[start + 1] == '.')
			return true;
		start = i + 1;
	}
	return false;
}

static void check_local_path(struct wrong *w, const char *p, size_t n)
{
	add(w, n > 0 && p[0] == '/', "must be a relative path");
	add(w, has_backstep(p, n), "must not contain '..'");
}

size_t oschema_format_whys(unsigned int fmt, const char *p, size_t n, const char *ret[OSCHEMA_FORMAT_WHYS])
{
	struct wrong w = { ret, 0 };
	const char *one = NULL;

	switch (fmt) {
	case OSCHEMA_FMT_DNS1123_LABEL:
		check_label(&w, p, n);
		break;
	case OSCHEMA_FMT_DNS1123_SUBDOMAIN:
	case OSCHEMA_FMT_CSI_DRIVER:
		check_subdomain(&w, p, n);
		break;
	case OSCHEMA_FMT_DNS1035_LABEL:
		check_label1035(&w, p, n);
		break;
	case OSCHEMA_FMT_QUALIFIED_NAME:
		check_qualified(&w, p, n);
		break;
	case OSCHEMA_FMT_LABEL_VALUE:
		check_label_value(&w, p, n);
		break;
	case OSCHEMA_FMT_PORT_NAME:
	case OSCHEMA_FMT_PORT:
		check_port_name(&w, p, n);
		break;
	case OSCHEMA_FMT_CONFIG_KEY:
		check_config_key(&w, p, n);
		break;
	case OSCHEMA_FMT_PATH_SEGMENT:
		check_path_segment(&w, p, n);
		break;
	case OSCHEMA_FMT_IP:
		one = check_ip(p, n);
		break;
	case OSCHEMA_FMT_ENDPOINT_IP:
		one = check_endpoint_ip(p, n);
		break;
	case OSCHEMA_FMT_CIDR:
		one = check_cidr(p, n);
		break;
	case OSCHEMA_FMT_ENV_NAME:
		one = check_env_name(p, n);
		break;
	case OSCHEMA_FMT_HEADER_NAME:
		one = check_header_name(p, n);
		break;
	case OSCHEMA_FMT_SYSCTL:
		one = check_sysctl(p, n);
		break;
	case OSCHEMA_FMT_LOCAL_PATH:
		check_local_path(&w, p, n);
		break;
	case OSCHEMA_FMT_NO_BACKSTEPS:
		one = has_backstep(p, n) ? "must not contain '..'" : NULL;
		break;
	default:
		break;
	}
	add(&w, one != NULL, one);
	return w.n;
}

const char *oschema_format_check(unsigned int fmt, const char *p, size_t n)
{
	const char *whys[OSCHEMA_FORMAT_WHYS];

	return oschema_format_whys(fmt, p, n, whys) > 0 ? whys[0] : NULL;
}

size_t oschema_format_whys_prefix(unsigned int fmt, const char *p, size_t n, const char *ret[OSCHEMA_FORMAT_WHYS])
{
	struct wrong w = { ret, 0 };
	char text[256];

	if (fmt == OSCHEMA_FMT_PATH_SEGMENT) {
		add(&w, memchr(p, '/', n) != NULL, "may not contain '/'");
		add(&w, memchr(p, '%', n) != NULL, "may not contain '%'");
		return w.n;
	}
	/* what follows a trailing "-" will be a letter or a digit */
	if (n == 0 || p[n - 1] != '-' || n >= sizeof(text))
		return oschema_format_whys(fmt, p, n, ret);
	memcpy(text, p, n);
	text[n - 1] = 'a';
	return oschema_format_whys(fmt, text, n, ret);
}
