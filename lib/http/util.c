/* Words of HTTP: status texts, token lists, percent escapes. */
#include "ohttp.h"

#include "base/oenc.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

const char *ohttp_status_text(int status)
{
	switch (status) {
	case 100: return "Continue";
	case 101: return "Switching Protocols";
	case 200: return "OK";
	case 201: return "Created";
	case 202: return "Accepted";
	case 204: return "No Content";
	case 206: return "Partial Content";
	case 301: return "Moved Permanently";
	case 302: return "Found";
	case 304: return "Not Modified";
	case 307: return "Temporary Redirect";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 406: return "Not Acceptable";
	case 408: return "Request Timeout";
	case 409: return "Conflict";
	case 410: return "Gone";
	case 412: return "Precondition Failed";
	case 413: return "Request Entity Too Large";
	case 414: return "Request URI Too Long";
	case 415: return "Unsupported Media Type";
	case 422: return "Unprocessable Entity";
	case 426: return "Upgrade Required";
	case 429: return "Too Many Requests";
	case 431: return "Request Header Fields Too Large";
	case 500: return "Internal Server Error";
	case 501: return "Not Implemented";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	case 504: return "Gateway Timeout";
	case 505: return "HTTP Version Not Supported";
	default: return "Status";
	}
}

static bool __attribute__((nonnull)) refuses(const char *p, size_t len)
{
	return memmem(p, len, "q=0", 3) && !memmem(p, len, "q=0.", 4);
}

bool ohttp_has_token(struct orlop_bytes list, const char *token)
{
	size_t len = strlen(token);
	size_t at = 0;

	if (list.len == 0)
		return false;
	while (at < list.len) {
		size_t end;
		size_t stop;

		while (at < list.len && (list.p[at] == ' ' || list.p[at] == '\t' || list.p[at] == ','))
			at++;
		end = at;
		while (end < list.len && list.p[end] != ',')
			end++;
		stop = at;
		while (stop < end && list.p[stop] != ';')
			stop++;
		/* "gzip;q=0" says no */
		if (stop < end && refuses(list.p + stop, end - stop)) {
			at = end;
			continue;
		}
		while (stop > at && (list.p[stop - 1] == ' ' || list.p[stop - 1] == '\t'))
			stop--;
		if (stop - at == len && strncasecmp(list.p + at, token, len) == 0)
			return true;
		at = end;
	}
	return false;
}

long ohttp_unescape(struct orlop_bytes in, bool plus, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		char c = in.p[i];

		if (c == '%') {
			int hi = i + 2 < in.len ? ohex_digit(in.p[i + 1]) : -1;
			int lo = i + 2 < in.len ? ohex_digit(in.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return -EINVAL;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		out[n++] = c;
	}
	return (long)n;
}
