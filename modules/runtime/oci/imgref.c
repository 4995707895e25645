/*
 * imgref.c - image references as the docker world writes them, made whole.
 *
 * [host[:port]/]path[:tag][@digest]: without a host docker.io, there without a path library/;
 * without tag and digest :latest. Source: distribution reference grammar.
 */
#include "oci.h"

#include <errno.h>
#include <string.h>

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' ||
	       c == '/';
}

static bool tag_ok(const char *p, size_t n)
{
	size_t i;

	if (!n || n > 128)
		return false;
	for (i = 0; i < n; i++) {
		char c = p[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_';

		if (!word && (i == 0 || (c != '.' && c != '-')))
			return false;
	}
	return true;
}

static bool digest_ok(const char *p, size_t n)
{
	return n == 71 && !memcmp(p, "sha256:", 7) && strspn(p + 7, "0123456789abcdef") == 64;
}

/* Is the part before the first '/' a host? */
static bool is_host(const char *p, size_t n)
{
	if (p[0] == '.' || p[0] == '-')
		return false;
	return memchr(p, '.', n) || memchr(p, ':', n) || (n == 9 && !memcmp(p, "localhost", 9));
}

size_t imgref_name_len(const char *ref)
{
	const char *at = strchr(ref, '@');
	size_t n = at ? (size_t)(at - ref) : strlen(ref);
	size_t i;

	for (i = n; i-- > 0 && ref[i] != '/';)
		if (ref[i] == ':')
			return i;
	return n;
}

int imgref_normalize(const char *ref, struct obuf *out)
{
	const char *slash = strchr(ref, '/');
	const char *at = strchr(ref, '@');
	size_t name_len = imgref_name_len(ref);
	size_t host_len = slash && is_host(ref, (size_t)(slash - ref)) ? (size_t)(slash - ref) : 0;
	const char *path = host_len ? slash + 1 : ref;
	size_t path_len;
	const char *tag = ref[name_len] == ':' ? ref + name_len + 1 : NULL;
	size_t tag_len = tag ? strcspn(tag, "@") : 0;
	size_t i;

	if (name_len > 255 || (size_t)(path - ref) >= name_len)
		return -EINVAL;
	path_len = name_len - (size_t)(path - ref);
	for (i = 0; i < path_len; i++)
		if (!name_char(path[i]) || (path[i] == '/' && (i == 0 || i + 1 == path_len || path[i - 1] == '/')))
			return -EINVAL;
	/* a component begins with a letter or digit: "..", as in a path, is none */
	for (i = 0; i < path_len; i++)
		if ((i == 0 || path[i - 1] == '/') && strchr("._-", path[i]))
			return -EINVAL;
	for (i = 0; i < host_len; i++)
		if (!name_char(ref[i]) && !(ref[i] >= 'A' && ref[i] <= 'Z') && ref[i] != ':' &&
		    ref[i] != '[' && ref[i] != ']')
			return -EINVAL;
	if ((tag && !tag_ok(tag, tag_len)) || (at && !digest_ok(at + 1, strlen(at + 1))))
		return -EINVAL;
	if (host_len)
		obuf_append(out, ref, host_len);
	else
		obuf_puts(out, "docker.io");
	obuf_putc(out, '/');
	if ((!host_len || (host_len == 9 && !memcmp(ref, "docker.io", 9))) && !memchr(path, '/', path_len))
		obuf_puts(out, "library/");
	obuf_append(out, path, path_len);
	if (tag) {
		obuf_putc(out, ':');
		obuf_append(out, tag, tag_len);
	} else if (!at) {
		obuf_puts(out, ":latest");
	}
	if (at)
		obuf_puts(out, at);
	return obuf_err(out);
}
