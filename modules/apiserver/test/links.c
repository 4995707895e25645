/* Pages through …/proxy/: which of their links are changed, whole or byte by byte. */
#include "../http/links.h"

#include "base/otap.h"

#include <string.h>

#define P	"/api/v1/namespaces/n/pods/p:80/proxy"

static const struct {
	const char *what, *in, *out;
} cases[] = {
	{ "a path", "<a href=\"/x\">t</a>", "<a href=\"" P "/x\">t</a>" },
	{ "in other quotes, and in none", "<A HREF='/x'><img src=/i.png >", "<A HREF='" P "/x'><img src=" P "/i.png >" },
	{ "the root", "<base href=\"/\">", "<base href=\"" P "/\">" },
	{ "relative ones lead there already", "<a href=\"x\"><a href=\"?q\"><a href=\"#f\"><a href=\"\">", NULL },
	{ "so does what has the prefix", "<a href=\"" P "/x\">", NULL },
	{ "other machines", "<a href=\"http://example.com/x\"><a href=\"//example.com/x\"><a href=\"mailto:a@b\">", NULL },
	{ "the backend's own name goes", "<a href=\"http://10.1.2.3:80/x?y#z\"><a href=\"//10.1.2.3:80/x\">",
	  "<a href=\"" P "/x?y#z\"><a href=\"" P "/x\">" },
	{ "ours stays", "<a href=\"https://api:6443/x\">", "<a href=\"https://api:6443" P "/x\">" },
	{ "several attributes", "<form class=\"/a\" action = \"/b\" method=post><input formaction='/c' value='/d'/>",
	  "<form class=\"/a\" action = \"" P "/b\" method=post><input formaction='" P "/c' value='/d'/>" },
	{ "attributes of other elements", "<div href=\"/x\"><a title=\"/x\" name>", NULL },
	{ "a bracket in quotes ends nothing", "<a title=\">\" href=\"/x\">", "<a title=\">\" href=\"" P "/x\">" },
	{ "quotes in a name are not quotes", "<a it's href=\"/x\">'", "<a it's href=\"" P "/x\">'" },
	{ "comments", "<!-- <a href=\"/x\"> --><a href=\"/y\">", "<!-- <a href=\"/x\"> --><a href=\"" P "/y\">" },
	{ "the shortest", "<!--><a href=\"/y\">", "<!--><a href=\"" P "/y\">" },
	{ "scripts", "<script src=\"/s\">a='<a href=\"/x\">';</scripty></SCRIPT ><a href=\"/y\">",
	  "<script src=\"" P "/s\">a='<a href=\"/x\">';</scripty></SCRIPT ><a href=\"" P "/y\">" },
	{ "text with brackets", "a < b << <a href=\"/x\"> </a><!doctype html><?x?>", "a < b << <a href=\"" P "/x\"> </a><!doctype html><?x?>" },
	{ "what is not an address", "<a href=\"/a b\"><a href=\" /x\">", NULL },
	{ "a tag without an end", "<a href=\"/x\"", NULL },
	{ "no tag at all", "{\"a\":1}", NULL },
};

static void page(const char *what, const char *in, const char *want, size_t piece)
{
	struct orlop_bytes prefix = { P, strlen(P) }, host = { "api:6443", 8 };
	struct links *l = links_new(prefix, "10.1.2.3:80", host);
	struct obuf out = OBUF_INIT;

	for (size_t at = 0, n = strlen(in); at < n; at += piece)
		links_feed(l, in + at, n - at < piece ? n - at : piece, &out);
	links_end(l, &out);
	is_str(obuf_cstr(&out), want, "%s (%s)", what, piece == 1 ? "byte by byte" : "at once");
	obuf_done(&out);
	links_free(l);
}

static void long_tag(void)
{
	struct links *l = links_new((struct orlop_bytes){ P, strlen(P) }, "10.1.2.3:80", (struct orlop_bytes){ NULL, 0 });
	struct obuf in = OBUF_INIT, out = OBUF_INIT;

	obuf_puts(&in, "<a href=\"/x\" title=\"");
	for (int i = 0; i < 200000; i++)
		obuf_putc(&in, 'x');
	obuf_puts(&in, "\">");
	links_feed(l, in.data, in.len, &out);
	links_end(l, &out);
	ok(out.len == in.len && !memcmp(in.data, out.data, in.len), "a tag that is too long stays as it is");
	obuf_done(&in);
	obuf_done(&out);
	links_free(l);
}

/* What the client's path had in it does not leave the quotes. */
static void hostile_prefix(void)
{
	struct links *l = links_new((struct orlop_bytes){ "/p\"><b x='", 10 }, "b", (struct orlop_bytes){ NULL, 0 });
	struct obuf out = OBUF_INIT;

	links_feed(l, "<a href=\"/x\">", 13, &out);
	is_str(obuf_cstr(&out), "<a href=\"/p&#34;&#62;&#60;b x=&#39;/x\">", "a prefix stays in its quotes");
	obuf_done(&out);
	links_free(l);
}

int main(void)
{
	struct links *l = links_new((struct orlop_bytes){ P, strlen(P) }, "10.1.2.3:80", (struct orlop_bytes){ NULL, 0 });
	struct obuf out = OBUF_INIT;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		page(cases[i].what, cases[i].in, cases[i].out ? cases[i].out : cases[i].in, 1);
		page(cases[i].what, cases[i].in, cases[i].out ? cases[i].out : cases[i].in, 100000);
	}
	long_tag();
	hostile_prefix();
	ok(links_url(l, (struct orlop_bytes){ "/login?a=b", 10 }, &out), "a redirect leads through the proxy too");
	is_str(obuf_cstr(&out), P "/login?a=b", "it does");
	ok(!links_url(l, (struct orlop_bytes){ "http://example.com/", 19 }, &out), "one to elsewhere does not");
	obuf_done(&out);
	links_free(l);
	return done_testing();
}
