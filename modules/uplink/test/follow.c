/* follow.c - lists and watches into the cache: pages, events, ends, lies. */
#include "server.h"

#include <errno.h>

static struct fakehost *fh;
static struct srv *s;

static void begin(const char *wants)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	char one[300];

	fh = fakehost_new();
	s = srv_new(fh, NULL);
	while (*wants) {
		snprintf(one, sizeof(one), "%.*s", (int)strcspn(wants, ","), wants);
		fakehost_want(fh, one);
		wants += strcspn(wants, ",");
		wants += *wants == ',';
	}
	(void)err;
}

static void load(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	ok(fakehost_load(fh, &orlop_module, &err) == 0, "loads %s", err.msg);
	orlop_error_done(&err);
}

/* The server's sockets are the host's. */
static void finish(void)
{
	srv_free(s);
	fakehost_free(fh);
}

static void srv_text(struct srv *srv, const char *resource, const char *text)
{
	srv_send(srv, resource, text, strlen(text));
}

static int ready(void *arg)
{
	return fakehost_is_ready(arg, NULL);
}

static void test_pages(void)
{
	char name[20];

	begin("pods");
	fakehost_param(fh, "page_size", "10");
	for (int i = 0; i < 35; i++) {
		snprintf(name, sizeof(name), "p%02d", i);
		srv_put(s, "pods", "default", name, "{\"spec\":{\"nodeName\":\"n1\"}}");
	}
	load();
	ok(fakehost_run_until(fh, ready, fh, 10 * FAKEHOST_S), "becomes ready");
	ok(srv_watched(s, "pods"), "watches");
	ok(fakehost_count(fh, "pods") == 35, "all pods are there");
	ok(srv_count(s, "limit=10") == 4, "in four pages");
	ok(srv_count(s, "watch=1&allowWatchBookmarks=true&resourceVersion=135&") == 1, "the watch begins where the list was");
	ok(srv_count(s, "GET /api/v1/nodes") == 0, "what nobody reads is not asked for");
	srv_put(s, "pods", "default", "late", "{\"spec\":{\"nodeName\":\"n2\"}}");
	ok(srv_cached(s, "pods", "default", "late", "\"nodeName\":\"n2\""), "a new one comes");
	ok(strstr(fakehost_get(fh, "pods", "default", "late"), "\"resourceVersion\":\"136\""), "with its revision");
	srv_put(s, "pods", "default", "late", "{\"spec\":{\"nodeName\":\"n3\"}}");
	ok(srv_cached(s, "pods", "default", "late", "\"nodeName\":\"n3\""), "a change comes");
	srv_del(s, "pods", "default", "late", true);
	ok(srv_cached(s, "pods", "default", "late", NULL), "a deletion comes");
	finish();
}

static void test_resume(void)
{
	begin("pods");
	srv_put(s, "pods", "default", "a", "");
	load();
	(void)srv_watched(s, "pods");
	srv_put(s, "pods", "default", "b", "");
	(void)srv_cached(s, "pods", "default", "b", "");
	srv_bookmark(s, "pods", 150);
	s->rev = 150;
	srv_put(s, "pods", "default", "c", "");
	(void)srv_cached(s, "pods", "default", "c", "");
	(void)srv_end(s, "pods", false);
	ok(srv_until(s, "watch=1&allowWatchBookmarks=true&resourceVersion=151&", 1), "after an end in order it goes on from where it was");
	(void)srv_watched(s, "pods");
	(void)srv_end(s, "pods", true);
	ok(srv_until(s, "resourceVersion=151&", 2), "after a broken connection too");
	(void)srv_watched(s, "pods");
	srv_bookmark(s, "pods", 200);
	s->rev = 200;
	/* half an event, then the end: it comes again */
	srv_text(s, "pods", "{\"type\":\"ADDED\",\"obj");
	fakehost_run(fh);
	(void)srv_end(s, "pods", true);
	ok(srv_until(s, "resourceVersion=200&", 1), "a bookmark moves it on; half an event is forgotten");
	ok(srv_count(s, "limit=") == 1, "without another list");
	finish();
}

static void test_expired(void)
{
	begin("pods");
	srv_put(s, "pods", "default", "stays", "");
	srv_put(s, "pods", "default", "goes", "");
	load();
	(void)srv_watched(s, "pods");
	(void)srv_end(s, "pods", true);
	srv_del(s, "pods", "default", "goes", false);
	srv_put(s, "pods", "default", "comes", "");
	s->compacted = s->rev;
	ok(srv_cached(s, "pods", "default", "goes", NULL), "410: listed anew, what is gone is gone");
	ok(srv_cached(s, "pods", "default", "comes", ""), "what is new is there");
	ok(srv_watched(s, "pods"), "and watched again");
	ok(fakehost_count(fh, "pods") == 2, "nothing else");
	srv_text(s, "pods", "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}}\n");
	ok(srv_until(s, "limit=", 3), "an ERROR event with 410 does the same");
	finish();
}

static int deny(struct srv *srv, struct ohttp_req *r, const char *line, struct orlop_bytes body)
{
	(void)body;
	if (!strstr(line, "/pods?") || srv->hook_n)
		return 0;
	srv_status(r, 403, "Forbidden", "pods is forbidden: User \\\"x\\\" cannot list resource");
	return 1;
}

static void test_denied(void)
{
	begin("pods,widgets.odd.example.com,gadgets.example.com,nodes");
	s->hook = deny;
	srv_put(s, "pods", "default", "a", "");
	srv_put(s, "nodes", "", "n1", "");
	srv_put(s, "widgets", "default", "w", "{\"spec\":{\"odd\":[1,2]}}");
	load();
	ok(srv_says(s, "pods is forbidden", 1), "403 is said in the server's words");
	ok(srv_watched(s, "nodes"), "others go on");
	ok(srv_cached(s, "widgets.odd.example.com", "default", "w", "\"odd\":[1,2]"), "a kind that nobody here knows is followed all the same");
	ok(srv_until(s, "/pods?limit", 3), "it is tried again");
	ok(fakehost_logged(fh, "pods is forbidden") == 1, "and said once");
	ok(fakehost_logged(fh, "resource=gadgets.example.com server=") == 1, "what the server does not serve is said once");
	s->hook_n = 1;
	ok(srv_says(s, "resource_back resource=pods", 1), "granted: that is said too");
	ok(srv_cached(s, "pods", "default", "a", ""), "and it comes");
	finish();
}

static const char *bad_page;

static int lie(struct srv *srv, struct ohttp_req *r, const char *line, struct orlop_bytes body)
{
	(void)body;
	if (!strstr(line, "/pods?") || srv->hook_n >= 2)
		return 0;
	srv->hook_n++;
	srv_reply(r, 200, bad_page);
	return 1;
}

static void test_lies(void)
{
	static const struct { const char *page, *says; } lies[] = {
		{ "<html>hello</html>", "sends a list that is no JSON" },
		{ "{\"items\":[", "sends a list that is no JSON" },
		{ "{\"items\":[]}", "sends a list without a numeric resourceVersion" },
		{ "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":4}", "sends a list whose items are none" },
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		begin("pods");
		s->hook = lie;
		bad_page = lies[i].page;
		srv_put(s, "pods", "default", "a", "");
		load();
		ok(srv_cached(s, "pods", "default", "a", ""), "%s: tried again until it is a list", lies[i].page);
		ok(fakehost_logged(fh, lies[i].says) == 1, "said once: %s", lies[i].says);
		finish();
	}
	begin("pods");
	load();
	(void)srv_watched(s, "pods");
	srv_text(s, "pods", "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"x/y\",\"resourceVersion\":\"500\"}}}\n"
		 "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"ok\",\"namespace\":\"d\",\"resourceVersion\":\"501\",\"uid\":\"u\"}}}\n");
	ok(srv_cached(s, "pods", "d", "ok", ""), "an object that is none is left out, the next is taken");
	ok(fakehost_logged(fh, "object_damaged") == 1, "said");
	srv_text(s, "pods", "garbage\n");
	ok(srv_says(s, "sends a watch event that is no JSON", 1), "garbage in a watch is said");
	ok(srv_until(s, "limit=", 2), "and what is true is listed anew");
	(void)srv_watched(s, "pods");
	s->rev = 600;
	srv_put(s, "pods", "default", "new", "");
	(void)srv_cached(s, "pods", "default", "new", "");
	srv_text(s, "pods", "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"old\",\"resourceVersion\":\"3\"}}}\n");
	ok(srv_until(s, "limit=", 3), "an event from the past: listed anew");
	finish();
}

static int slow(struct srv *srv, struct ohttp_req *r, const char *line, struct orlop_bytes body)
{
	(void)body;
	if (!strstr(line, "limit=") || srv->hook_n)
		return 0;
	srv->hook_n = 1;
	srv_status(r, 429, "TooManyRequests", "later");
	return 1;
}

static void test_busy(void)
{
	begin("pods;field=spec.nodeName=n1,nodes;metadata");
	s->hook = slow;
	srv_put(s, "pods", "default", "a", "{\"spec\":{\"nodeName\":\"n1\"}}");
	srv_put(s, "nodes", "", "n1", "");
	load();
	ok(srv_cached(s, "pods", "default", "a", ""), "429 is waited for");
	ok(srv_until(s, "/pods?limit=500&fieldSelector=spec.nodeName%3Dn1", 1), "with the selector of what is wanted");
	ok(srv_until(s, "&fieldSelector=spec.nodeName%3Dn1 ", 2), "the watch too");
	fakehost_want(fh, "pods");
	ok(srv_until(s, "/pods?limit=500 ", 1), "somebody wants all: listed anew without it");
	finish();
}

static int never(struct srv *srv, struct ohttp_req *r, const char *line, struct orlop_bytes body)
{
	(void)body;
	if (!strstr(line, "/pods?limit") || srv->hook_n++)
		return 0;
	srv->kept = r;		/* no answer, ever */
	ohttp_on_close(r, srv_gone, srv);
	return 1;
}

static void test_stalls(void)
{
	struct obuf big = OBUF_INIT;

	begin("pods");
	fakehost_param(fh, "max_object_mb", "1");
	s->hook = never;
	srv_put(s, "pods", "default", "a", "");
	load();
	ok(srv_until(s, "/pods?limit", 2), "a list that is never answered is given up and asked for again");
	ok(srv_cached(s, "pods", "default", "a", ""), "then it is there");
	(void)srv_watched(s, "pods");
	ok(srv_until(s, "watch=1", 2), "a watch without a byte is begun again");
	ok(fakehost_logged(fh, "the server has gone silent") == 1, "said");
	(void)srv_watched(s, "pods");
	obuf_puts(&big, "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"");
	while (big.len < 3 << 20)
		obuf_puts(&big, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	srv_send(s, "pods", big.data, big.len);
	ok(srv_says(s, "sends a watch event that is too large", 1), "an event without end is not swallowed");
	ok(srv_until(s, "/pods?limit", 3), "listed anew instead");
	obuf_done(&big);
	finish();
}

static void test_away(void)
{
	begin("pods");
	fakehost_param(fh, "server", "http://127.0.0.1:1");
	load();
	ok(srv_says(s, "server_lost server=127.0.0.1:1", 1), "a server that is not there is said");
	ok(!fakehost_is_ready(fh, NULL), "and waited for");
	ok(fakehost_logged(fh, "server_lost") == 1, "once");
	finish();
}

int main(void)
{
	test_pages();
	test_resume();
	test_expired();
	test_denied();
	test_lies();
	test_busy();
	test_stalls();
	test_away();
	return done_testing();
}
