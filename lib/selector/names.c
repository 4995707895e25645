/* What a label's key and value may look like, in upstream's words. */
#include "selector/oselector.h"

#include "base/ostr.h"

#include <string.h>

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9], not empty */
static bool qualified(const char *p, size_t len)
{
	if (len == 0 || !is_alnum(p[0]) || !is_alnum(p[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(p[i]) && (p[i] == '\0' || strchr("-_.", p[i]) == NULL))
			return false;
	return true;
}

static bool lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool subdomain(const char *p, size_t len)
{
	while (true) {
		const char *dot = memchr(p, '.', len);
		size_t n = dot != NULL ? (size_t)(dot - p) : len;

		if (n == 0 || !lower_alnum(p[0]) || !lower_alnum(p[n - 1]))
			return false;
		for (size_t i = 0; i < n; i++)
			if (!lower_alnum(p[i]) && p[i] != '-')
				return false;
		if (dot == NULL)
			return true;
		p += n + 1;
		len -= n + 1;
	}
}

/* Appends one sentence; always false, for returning. */
static bool say(struct obuf *why, const char *prefix, const char *text)
{
	if (why == NULL)
		return false;
	if (why->len > 0)
		obuf_puts(why, "; ");
	obuf_puts(why, prefix);
	obuf_puts(why, text);
	return false;
}

bool oselector_key_valid(const char *p, size_t len, struct obuf *why)
{
	static const char name_form[] =
		"must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
		"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
		"validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
	static const char whole_form[] =
		"a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start "
		"and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex "
		"used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS "
		"subdomain prefix and '/' (e.g. 'example.com/MyName')";
	const char *slash = len > 0 ? memchr(p, '/', len) : NULL;
	bool good = true;

	if (slash != NULL) {
		size_t n = (size_t)(slash - p);

		if (memchr(slash + 1, '/', len - n - 1) != NULL)
			return say(why, "", whole_form);
		if (n == 0)
			good = say(why, "prefix part ", "must be non-empty");
		if (n > 253)
			good = say(why, "prefix part ", "must be no more than 253 bytes");
		if (n > 0 && !subdomain(p, n))
			good = say(why, "prefix part ",
				   "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
				   "characters, '-' or '.', and must start and end with an alphanumeric "
				   "character (e.g. 'example.com', regex used for validation is "
				   "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
		p = slash + 1;
		len -= n + 1;
	}
	if (len == 0)
		good = say(why, "name part ", "must be non-empty");
	else if (len > 63)
		good = say(why, "name part ", "must be no more than 63 bytes");
	if (!qualified(p, len))
		good = say(why, "name part ", name_form);
	return good;
}

bool oselector_value_valid(const char *p, size_t len, struct obuf *why)
{
	bool good = true;

	if (len > 63)
		good = say(why, "", "must be no more than 63 bytes");
	if (len > 0 && !qualified(p, len))
		good = say(why, "",
			   "a valid label must be an empty string or consist of alphanumeric characters, '-', "
			   "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue', "
			   " or 'my_value',  or '12345', regex used for validation is "
			   "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
	return good;
}
