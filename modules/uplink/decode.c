/* decode.c - watch streams and list pages by the offset scanner; no trees. */
#include "decode.h"

#include "base/ostr.h"
#include "json/oscan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* ---- events --------------------------------------------------------------------------------------------- */

static const struct {
	const char	*word;
	enum up_event_type type;
} types[] = {
	{ "ADDED", UP_ADDED }, { "MODIFIED", UP_MODIFIED }, { "DELETED", UP_DELETED },
	{ "BOOKMARK", UP_BOOKMARK }, { "ERROR", UP_ERROR },
};

/* One checked value that is an event. */
static int take_event(struct up_stream *s, struct orlop_bytes v, up_event_fn fn, void *arg)
{
	struct orlop_bytes type = { NULL, 0 };
	struct up_event ev = { .type = 0 };

	(void)oscan_get(v, "type", &type);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (oscan_type(type) == OSCAN_STRING && oscan_string_is_cstr(type, types[i].word))
			ev.type = types[i].type;
	if (!ev.type || !oscan_get(v, "object", &ev.object) || oscan_type(ev.object) != OSCAN_OBJECT) {
		s->why = "sends something that is no watch event";
		return -EPROTO;
	}
	return fn(arg, &ev);
}

/* One line: an event, or several without a line end between them. */
static int take_line(struct up_stream *s, const char *p, size_t len, up_event_fn fn, void *arg)
{
	size_t at = 0;
	int r = 0;

	while (r == 0) {
		struct orlop_bytes v;

		while (at < len && is_space(p[at]))
			at++;
		if (at == len)
			return 0;
		if (oscan_check_value(p, len, &at, OSCAN_DEPTH_MAX, &v, NULL)) {
			s->why = "sends a watch event that is no JSON";
			return -EPROTO;
		}
		r = v.len > s->max ? -EMSGSIZE : take_event(s, v, fn, arg);
	}
	return r;
}

/* Complete lines, each by itself: what is an event does not depend on how the bytes came. */
static int take_lines(struct up_stream *s, const char *p, size_t len, up_event_fn fn, void *arg)
{
	int r = 0;

	while (r == 0 && len) {
		const char *nl = memchr(p, '\n', len);
		size_t n = nl ? (size_t)(nl + 1 - p) : len;

		r = take_line(s, p, n, fn, arg);
		p += n;
		len -= n;
	}
	return r;
}

int up_stream_feed(struct up_stream *s, const char *p, size_t len, up_event_fn fn, void *arg)
{
	const char *nl = len ? memrchr(p, '\n', len) : NULL;
	size_t whole = nl ? (size_t)(nl + 1 - p) : 0;
	int r = 0;

	/* What waits becomes whole by the first line end, the others are taken where they are. */
	if (s->rest.len && whole) {
		const char *first = memchr(p, '\n', whole);
		size_t n = (size_t)(first + 1 - p);

		obuf_append(&s->rest, p, n);
		if (obuf_err(&s->rest))
			return -ENOMEM;
		r = s->rest.len > s->max ? -EMSGSIZE : take_lines(s, s->rest.data, s->rest.len, fn, arg);
		obuf_reset(&s->rest);
		p += n;
		len -= n;
		whole -= n;
	}
	if (r == 0 && whole)
		r = take_lines(s, p, whole, fn, arg);
	if (r == 0 && len > whole) {
		if (s->rest.len + (len - whole) > s->max) {
			r = -EMSGSIZE;
		} else {
			obuf_append(&s->rest, p + whole, len - whole);
			r = obuf_err(&s->rest);
		}
	} else if (s->rest.len == 0 && s->rest.cap > 65536) {
		obuf_done(&s->rest);	/* a large event came; the next will not be so */
	}
	if (r == -EMSGSIZE)
		s->why = "sends a watch event that is too large";
	return r;
}

bool up_stream_partial(const struct up_stream *s)
{
	return s->rest.len > 0;
}

void up_stream_done(struct up_stream *s)
{
	obuf_done(&s->rest);
}

/* ---- lists ---------------------------------------------------------------------------------------------- */

static uint64_t rev_of(struct orlop_bytes meta)
{
	struct orlop_bytes v, text;
	uint64_t rev;

	if (!oscan_get(meta, "resourceVersion", &v) || oscan_type(v) != OSCAN_STRING || !oscan_plain(v, &text) ||
	    ostr_to_u64(text.p, text.len, &rev))
		return 0;
	return rev;
}

uint64_t up_object_rev(struct orlop_bytes object)
{
	struct orlop_bytes meta;

	return oscan_get(object, "metadata", &meta) ? rev_of(meta) : 0;
}

int up_page_parse(struct orlop_bytes body, struct up_page *ret, const char **why)
{
	struct orlop_bytes v, meta, next;

	memset(ret, 0, sizeof(*ret));
	if (oscan_check(body.p ? body.p : "", body.len, OSCAN_DEPTH_MAX, &v, NULL) || oscan_type(v) != OSCAN_OBJECT) {
		*why = "sends a list that is no JSON";
		return -EPROTO;
	}
	if (!oscan_get(v, "metadata", &meta) || (ret->rev = rev_of(meta)) == 0) {
		*why = "sends a list without a numeric resourceVersion";
		return -EPROTO;
	}
	if (oscan_get(meta, "continue", &next) && oscan_type(next) == OSCAN_STRING && !oscan_plain(next, &ret->next)) {
		*why = "sends a continue token that cannot be read";
		return -EPROTO;
	}
	if (oscan_get(v, "items", &ret->items) && oscan_type(ret->items) != OSCAN_ARRAY) {
		if (oscan_type(ret->items) != OSCAN_NULL) {
			*why = "sends a list whose items are none";
			return -EPROTO;
		}
		ret->items = (struct orlop_bytes){ NULL, 0 };
	}
	return 0;
}

/* ---- statuses, URLs ------------------------------------------------------------------------------------- */

static void text_of(struct orlop_bytes obj, const char *key, char *to, size_t size)
{
	struct obuf b = OBUF_INIT;
	struct orlop_bytes v;

	to[0] = '\0';
	if (oscan_get(obj, key, &v) && oscan_type(v) == OSCAN_STRING && oscan_unquote(v, &b) == 0)
		snprintf(to, size, "%s", obuf_cstr(&b));
	obuf_done(&b);
}

void up_status_parse(struct orlop_bytes body, struct up_status *ret)
{
	struct orlop_bytes v, n;

	memset(ret, 0, sizeof(*ret));
	if (oscan_check(body.p ? body.p : "", body.len, OSCAN_DEPTH_MAX, &v, NULL) || oscan_type(v) != OSCAN_OBJECT)
		return;
	if (!oscan_get(v, "kind", &n) || !oscan_string_is_cstr(n, "Status"))
		return;
	if (oscan_get(v, "code", &n)) {
		int64_t code = oscan_i64(n, 0);

		ret->code = code > 0 && code < 1000 ? (int)code : 0;
	}
	if (OSCAN_FIND(v, &n, "details", "retryAfterSeconds")) {
		int64_t s = oscan_i64(n, 0);

		ret->retry_after_s = s > 0 && s <= 3600 ? (uint32_t)s : 0;
	}
	text_of(v, "reason", ret->reason, sizeof(ret->reason));
	text_of(v, "message", ret->message, sizeof(ret->message));
}

void up_put_escaped(struct obuf *b, const char *p, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
		    c == '_' || c == '~') {
			obuf_putc(b, (char)c);
		} else {
			obuf_putc(b, '%');
			obuf_putc(b, hex[c >> 4]);
			obuf_putc(b, hex[c & 15]);
		}
	}
}
