/* decode.c - watch streams cut anywhere, list pages, statuses; what is none of them. */
#include "../decode.h"

#include "base/otap.h"

#include <errno.h>
#include <string.h>

static struct orlop_bytes text_of(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

struct seen {
	char		text[1000];
	int		fail_at;
	int		n;
};

static int on_event(void *arg, const struct up_event *ev)
{
	struct seen *s = arg;
	size_t n = strlen(s->text);

	snprintf(s->text + n, sizeof(s->text) - n, "%d%.*s;", ev->type, (int)ev->object.len, ev->object.p);
	return ++s->n == s->fail_at ? -ESTALE : 0;
}

static int feed(const char *p, size_t len, size_t step, size_t max, struct seen *seen, bool *ret_partial, const char **ret_why)
{
	struct up_stream s = { .max = max };
	int r = 0;

	for (size_t at = 0; r == 0 && at < len; at += step)
		r = up_stream_feed(&s, p + at, len - at < step ? len - at : step, on_event, seen);
	*ret_partial = up_stream_partial(&s);
	*ret_why = s.why;
	up_stream_done(&s);
	return r;
}

static void is_stream(const char *in, int want, const char *events, bool partial, const char *what)
{
	size_t len = strlen(in);
	unsigned int bad = 0;

	for (size_t step = 1; step <= len; step++) {
		struct seen seen = { .n = 0 };
		const char *why;
		bool part;
		int r = feed(in, len, step, 1000, &seen, &part, &why);

		bad += r != want || strcmp(seen.text, events) || (r == 0 && part != partial) || (r && !why);
		if (bad == 1) {
			otap_diag("step %zu: %d \"%s\"", step, r, seen.text);
			break;
		}
	}
	ok(bad == 0, "%s: however it is cut", what);
}

static void is_page(const char *body, int want, uint64_t rev, const char *next, const char *items, const char *what)
{
	struct up_page p;
	const char *why = NULL;
	int r = up_page_parse((struct orlop_bytes){ body, strlen(body) }, &p, &why);

	ok(r == want && (r == 0 || why), "%s: %s", what, r ? why : "taken");
	if (r)
		return;
	ok(p.rev == rev && p.next.len == strlen(next) && !memcmp(p.next.p ? p.next.p : "", next, p.next.len) &&
	   p.items.len == strlen(items) && !memcmp(p.items.p ? p.items.p : "", items, p.items.len), "%s: its parts", what);
}

int main(void)
{
	struct seen seen = { .fail_at = 2 };
	struct obuf b = OBUF_INIT;
	struct up_status st;
	const char *why;
	char big[300];
	bool part;

	is_stream("{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n{\"object\":{},\"type\":\"DELETED\"}\n", 0, "1{\"a\":1};3{};", false, "two events");
	is_stream("{\"type\":\"BOOKMARK\",\"object\":{}}\r\n\n\n", 0, "4{};", false, "empty lines");
	is_stream("{\"type\":\"ERROR\",\"object\":{}} {\"type\":\"MODIFIED\",\"object\":{}}\n", 0, "5{};2{};", false, "two on a line");
	is_stream("{\"type\":\"ADDED\",\"object\":{}}\n{\"type\":\"AD", 0, "1{};", true, "half an event");
	is_stream("{\"type\":\"ADDED\",\"object\":{\"a\":\"\\\"\\n}\"}}\n", 0, "1{\"a\":\"\\\"\\n}\"};", false, "escapes");
	is_stream("{\"type\":\"ADDED\",\n\"object\":{}}\n", -EPROTO, "", false, "an event on two lines");
	is_stream("hello\n", -EPROTO, "", false, "no JSON");
	is_stream("{\"type\":\"ADDED\",\"object\":{}}\n<html>\n", -EPROTO, "1{};", false, "a page instead");
	is_stream("[]\n", -EPROTO, "", false, "no object");
	is_stream("{\"type\":\"ADDED\"}\n", -EPROTO, "", false, "no object in it");
	is_stream("{\"type\":\"ADDED\",\"object\":[]}\n", -EPROTO, "", false, "an object that is none");
	is_stream("{\"type\":\"PATCHED\",\"object\":{}}\n", -EPROTO, "", false, "an unknown type");
	is_stream("{\"type\":1,\"object\":{}}\n", -EPROTO, "", false, "a type that is no text");
	is_stream("{\"type\":\"ADDED\",\"object\":{\"a\":}}\n", -EPROTO, "", false, "broken inside");

	memset(big, 'x', sizeof(big));
	memcpy(big, "{\"type\":\"", 9);
	ok(feed(big, sizeof(big), 7, 200, &seen, &part, &why) == -EMSGSIZE && why, "an event without end: %s", why);
	memset(&seen, 0, sizeof(seen));
	seen.fail_at = 1;
	ok(feed("{\"type\":\"ADDED\",\"object\":{}}\n{\"type\":\"ADDED\",\"object\":{}}\n", 58, 58, 999, &seen, &part, &why) == -ESTALE &&
	   seen.n == 1, "the taker ends it");

	is_page("{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[1]}", 0, 7, "", "[1]", "a list");
	is_page("{\"items\":null,\"metadata\":{\"continue\":\"abc\",\"resourceVersion\":\"18446744073709551615\"}}", 0, UINT64_MAX, "abc", "", "null items");
	is_page("{\"metadata\":{\"resourceVersion\":\"7\"}}", 0, 7, "", "", "no items");
	is_page("{\"metadata\":{\"resourceVersion\":\"\"},\"items\":[]}", -EPROTO, 0, "", "", "an empty revision");
	is_page("{\"metadata\":{\"resourceVersion\":\"-1\"},\"items\":[]}", -EPROTO, 0, "", "", "a negative revision");
	is_page("{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":{}}", -EPROTO, 0, "", "", "items that are none");
	is_page("{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[", -EPROTO, 0, "", "", "half a list");
	is_page("", -EPROTO, 0, "", "", "nothing");
	is_page("[]", -EPROTO, 0, "", "", "no object");

	up_status_parse(text_of("{\"kind\":\"Status\",\"code\":429,\"reason\":\"TooManyRequests\",\"message\":\"a \\\"b\\\"\",\"details\":{\"retryAfterSeconds\":3}}"), &st);
	ok(st.code == 429 && st.retry_after_s == 3 && !strcmp(st.reason, "TooManyRequests") && !strcmp(st.message, "a \"b\""), "a Status");
	up_status_parse(text_of("{\"kind\":\"Pod\",\"code\":429}"), &st);
	ok(st.code == 0, "not a Status");
	up_status_parse(text_of("{\"kind\":\"Status\",\"code\":99999999999,\"details\":{\"retryAfterSeconds\":-5}}"), &st);
	ok(st.code == 0 && st.retry_after_s == 0, "a Status with absurd numbers");

	up_put_escaped(&b, "a b/c=d,e\xc3\xa4~", 12);
	is_str(obuf_cstr(&b), "a%20b%2Fc%3Dd%2Ce%C3%A4~", "percent encoding");
	obuf_done(&b);
	return done_testing();
}
