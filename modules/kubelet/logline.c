/* logline.c - lines of CRI logs: "2016-10-06T00:17:09.669794202Z stdout F text". Pure. */
#include "kubelet.h"

#include <string.h>

#include "base/ostr.h"
#include "base/otime.h"

bool logline_parse(const char *line, size_t len, struct logline *ret)
{
	const char *end = line + len;
	const char *sp = memchr(line, ' ', len);
	const char *tags;

	if (!sp || otime_parse(line, (size_t)(sp - line), &ret->ns))
		return false;
	ret->time = line;
	ret->time_len = (size_t)(sp - line);
	if (end - sp < 8 || (memcmp(sp, " stdout ", 8) && memcmp(sp, " stderr ", 8)))
		return false;
	ret->err = sp[4] == 'e';
	tags = sp + 8;
	sp = memchr(tags, ' ', (size_t)(end - tags));
	if (!sp)
		sp = end;
	/* tags are separated by ':'; the first says whether the line is complete */
	ret->partial = sp > tags && *tags == 'P';
	if (!ret->partial && (sp == tags || *tags != 'F'))
		return false;
	ret->p = sp < end ? sp + 1 : end;
	ret->len = (size_t)(end - ret->p);
	return true;
}

void logline_tail(const char *p, size_t len, uint32_t lines, size_t bytes, struct obuf *out)
{
	size_t at = len;
	struct logline l;
	size_t end;

	/* back by lines */
	if (at && p[at - 1] == '\n')
		at--;
	while (at && lines) {
		at--;
		if (p[at] == '\n' && --lines == 0) {
			at++;
			break;
		}
	}
	for (; at < len; at = end + 1) {
		const char *nl = memchr(p + at, '\n', len - at);

		end = nl ? (size_t)(nl - p) : len;
		if (!logline_parse(p + at, end - at, &l))
			continue;
		obuf_append(out, l.p, l.len);
		if (!l.partial)
			obuf_putc(out, '\n');
	}
	if (out->len > bytes)
		obuf_splice(out, 0, out->len - bytes, "", 0);
}
