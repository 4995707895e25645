/*
 * links.c - links in pages that come through …/proxy/, made such that they lead there again.
 *
 * A page of a backend names its parts by paths of its own: "/style.css". Before those the path of the proxy is put, in the
 * attributes of HTML that are addresses; all else of the page stays as it was sent. A page is read as it comes, tag by tag;
 * no more than one tag is kept, and of one that is too long nothing is changed. Compressed ones pass coded.c on their way.
 * Source: upstream's apimachinery/pkg/util/proxy/transport.go, behaviour only.
 */
#include "links.h"

#include "base/omem.h"
#include "base/ostr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TAG_MAX		(64u * 1024)

enum state { TEXT, OPEN, MARK, TAG, COMMENT, RAW };

struct links {
	char		*prefix, *backend, *host;
	struct obuf	tag;		/* what is kept: from "<" on */
	enum state	state;
	char		quote;		/* TAG: inside a value in quotes; 0: not */
	bool		equals;		/* TAG: a value may begin */
	unsigned int	dashes;		/* COMMENT: before this byte */
	char		raw[16];	/* RAW: "</script" */
	size_t		matched;	/* so much of it */
	bool		failed;		/* no memory */
};

static const struct {
	const char *element;
	const char *attributes[4];
} with_links[] = {
	{ "a", { "href" } }, { "applet", { "codebase" } }, { "area", { "href" } }, { "audio", { "src" } },
	{ "base", { "href" } }, { "blockquote", { "cite" } }, { "body", { "background" } }, { "button", { "formaction" } },
	{ "command", { "icon" } }, { "del", { "cite" } }, { "embed", { "src" } }, { "form", { "action" } },
	{ "frame", { "longdesc", "src" } }, { "head", { "profile" } }, { "html", { "manifest" } },
	{ "iframe", { "longdesc", "src" } }, { "img", { "longdesc", "src", "usemap" } },
	{ "input", { "src", "usemap", "formaction" } }, { "ins", { "cite" } }, { "link", { "href" } },
	{ "object", { "classid", "codebase", "data", "usemap" } }, { "q", { "cite" } }, { "script", { "src" } },
	{ "source", { "src" } }, { "video", { "poster", "src" } },
};

/* What stands in these is no HTML. */
static const char *const raw_elements[] = {
	"iframe", "noembed", "noframes", "plaintext", "script", "style", "textarea", "title", "xmp",
};

struct links *links_new(struct orlop_bytes prefix, const char *backend, struct orlop_bytes host)
{
	struct links *l = OMEM_NEW(struct links);

	if (!l)
		return NULL;
	l->prefix = omem_strndup(prefix.p ? prefix.p : "", prefix.len);
	l->backend = omem_strdup(backend);
	l->host = omem_strndup(host.p ? host.p : "", host.len);
	if (!l->prefix || !l->backend || !l->host) {
		links_free(l);
		return NULL;
	}
	return l;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	omem_free(l->prefix);
	omem_free(l->backend);
	omem_free(l->host);
	obuf_done(&l->tag);
	omem_free(l);
}

/* ---- addresses ---------------------------------------------------------------------------------------------- */

/* The length of "http://host" or "//host"; 0: there is no host. */
static size_t host_of(struct orlop_bytes url, struct orlop_bytes *ret)
{
	size_t at = 0, end;

	if (url.len > 7 && !strncasecmp(url.p, "http://", 7))
		at = 7;
	else if (url.len > 8 && !strncasecmp(url.p, "https://", 8))
		at = 8;
	else if (url.len > 2 && url.p[0] == '/' && url.p[1] == '/')
		at = 2;
	if (!at)
		return 0;
	for (end = at; end < url.len && !strchr("/?#", url.p[end]); end++)
		;
	*ret = (struct orlop_bytes){ url.p + at, end - at };
	return end;
}

static bool is(struct orlop_bytes b, const char *cstr)
{
	return *cstr && b.len == strlen(cstr) && !strncasecmp(b.p, cstr, b.len);
}

/* In a page, an address goes on in its quotes. */
static void put(struct obuf *out, const char *p, size_t len, bool html)
{
	for (size_t i = 0; i < len; i++) {
		char c = p[i];

		if (!html || !strchr("&<>\"'`", c))
			obuf_putc(out, c);
		else
			obuf_printf(out, "&#%d;", c);
	}
}

static bool rewrite(const struct links *l, struct orlop_bytes url, bool html, struct obuf *out)
{
	struct orlop_bytes host, path;
	size_t n = host_of(url, &host), keep = 0, prefix = strlen(l->prefix);

	for (size_t i = 0; i < url.len; i++)
		if ((unsigned char)url.p[i] <= ' ' || url.p[i] == 0x7f)
			return false;
	/* the client's own name for us stays before the path, the backend's does not: we alone reach it */
	if (n && is(host, l->host))
		keep = n;
	else if (n && !is(host, l->backend))
		return false;
	path = (struct orlop_bytes){ url.p + n, url.len - n };
	if (!path.len || path.p[0] != '/')
		return false;
	if (path.len >= prefix && !memcmp(path.p, l->prefix, prefix)) {
		if (keep == n)
			return false;
		prefix = 0;
	}
	obuf_append(out, url.p, keep);
	put(out, l->prefix, prefix, html);
	obuf_append(out, path.p, path.len);
	return true;
}

bool links_url(const struct links *l, struct orlop_bytes url, struct obuf *out)
{
	return rewrite(l, url, false, out);
}

/* ---- a whole tag -------------------------------------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static bool has_link(struct orlop_bytes element, struct orlop_bytes name)
{
	for (size_t i = 0; i < sizeof(with_links) / sizeof(with_links[0]); i++) {
		if (!is(element, with_links[i].element))
			continue;
		for (size_t k = 0; k < 4 && with_links[i].attributes[k]; k++)
			if (is(name, with_links[i].attributes[k]))
				return true;
	}
	return false;
}

static size_t skip(const char *p, size_t at, size_t end, bool slashes)
{
	while (at < end && (is_space(p[at]) || (slashes && p[at] == '/')))
		at++;
	return at;
}

/* From @at to the first byte that is a space or one of @stop. */
static struct orlop_bytes word(const char *p, size_t *at, size_t end, const char *stop)
{
	size_t from = *at;

	while (*at < end && !is_space(p[*at]) && !strchr(stop, p[*at]))
		(*at)++;
	return (struct orlop_bytes){ p + from, *at - from };
}

static struct orlop_bytes value_of(const char *p, size_t *at, size_t end)
{
	struct orlop_bytes v;
	const char *close;

	if (*at < end && (p[*at] == '"' || p[*at] == '\'')) {
		close = memchr(p + *at + 1, p[*at], end - *at - 1);
		v.p = p + *at + 1;
		v.len = (size_t)((close ? close : p + end) - v.p);
		*at += v.len + (close ? 2 : 1);
		return v;
	}
	return word(p, at, end, ">");
}

/* The kept tag goes out, its addresses changed. The element's name is returned. */
static struct orlop_bytes tag_put(struct links *l, struct obuf *out)
{
	const char *p = l->tag.data;
	size_t end = l->tag.len - 1, at = 1, done = 0;	/* the end is ">" */
	struct orlop_bytes element = word(p, &at, end, "/>"), name, value;

	for (at = skip(p, at, end, true); at < end; at = skip(p, at, end, true)) {
		size_t was = at;

		/* an "=" in front is part of the name */
		at++;
		name = word(p, &at, end, "=/>");
		name.len += (size_t)(name.p - (p + was));
		name.p = p + was;
		at = skip(p, at, end, false);
		if (at >= end || p[at] != '=')
			continue;
		at = skip(p, at + 1, end, false);
		value = value_of(p, &at, end);
		if (!has_link(element, name))
			continue;
		obuf_append(out, p + done, (size_t)(value.p - p) - done);
		done = (size_t)(value.p - p);
		if (rewrite(l, value, true, out))
			done += value.len;
	}
	obuf_append(out, p + done, l->tag.len - done);
	return element;
}

static void tag_end(struct links *l, struct obuf *out)
{
	struct orlop_bytes element;

	l->state = TEXT;
	if (l->failed)
		return;
	element = tag_put(l, out);
	for (size_t i = 0; i < sizeof(raw_elements) / sizeof(raw_elements[0]); i++) {
		if (!is(element, raw_elements[i]))
			continue;
		l->state = RAW;
		l->matched = 0;
		snprintf(l->raw, sizeof(l->raw), "</%s", raw_elements[i]);
	}
	obuf_reset(&l->tag);
}

/* ---- byte by byte --------------------------------------------------------------------------------------------- */

/* It is no tag with addresses: out with it, as it is. */
static void give_up(struct links *l, enum state next, struct obuf *out)
{
	obuf_append(out, l->tag.data, l->tag.len);
	obuf_reset(&l->tag);
	l->state = next;
}

static void keep(struct links *l, char c, struct obuf *out)
{
	obuf_putc(&l->tag, c);
	l->failed = l->failed || obuf_err(&l->tag);
	if (l->tag.len > TAG_MAX)
		give_up(l, TEXT, out);
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void in_tag(struct links *l, char c, struct obuf *out)
{
	bool over = !l->quote && c == '>';

	if (l->quote) {
		if (c == l->quote)
			l->quote = 0;
	} else if (l->equals && (c == '"' || c == '\'')) {
		l->quote = c;
	}
	l->equals = !l->quote && (c == '=' || (l->equals && is_space(c)));
	keep(l, c, out);
	if (over && l->state == TAG)
		tag_end(l, out);
}

static void in_raw(struct links *l, char c, struct obuf *out)
{
	obuf_putc(out, c);
	if (!l->raw[l->matched] && (is_space(c) || c == '/' || c == '>'))
		l->state = TEXT;
	else if (l->raw[l->matched] && (c == l->raw[l->matched] || (is_letter(c) && (c | 0x20) == l->raw[l->matched])))
		l->matched++;
	else
		l->matched = c == '<' ? 1 : 0;
}

static void in_comment(struct links *l, char c, struct obuf *out)
{
	obuf_putc(out, c);
	if (c == '>' && l->dashes >= 2)
		l->state = TEXT;
	l->dashes = c == '-' ? l->dashes + (l->dashes < 2) : 0;
}

static void step(struct links *l, char c, struct obuf *out)
{
	switch (l->state) {
	case TEXT:
		if (c == '<') {
			l->state = OPEN;
			keep(l, c, out);
		} else {
			obuf_putc(out, c);
		}
		break;
	case OPEN:
		if (c == '<') {
			give_up(l, OPEN, out);
			keep(l, c, out);
			break;
		}
		keep(l, c, out);
		l->quote = 0;
		l->equals = false;
		if (is_letter(c))
			l->state = TAG;
		else if (c == '!')
			l->state = MARK;
		else
			give_up(l, TEXT, out);
		break;
	case MARK:
		keep(l, c, out);
		if (c != '-')
			give_up(l, TEXT, out);
		else if (l->tag.len == 4)
			give_up(l, COMMENT, out);
		l->dashes = 2;
		break;
	case TAG:
		in_tag(l, c, out);
		break;
	case COMMENT:
		in_comment(l, c, out);
		break;
	case RAW:
		in_raw(l, c, out);
		break;
	}
}

void links_feed(struct links *l, const char *p, size_t len, struct obuf *out)
{
	for (size_t i = 0; i < len; i++)
		step(l, p[i], out);
	if (l->failed && !out->err)
		out->err = -ENOMEM;
}

void links_end(struct links *l, struct obuf *out)
{
	give_up(l, TEXT, out);
}
