/* Content negotiation, and JSON for people. Pure. */
#include "front.h"

#include <strings.h>

/* "key=value" of a media type's parameters. */
static struct orlop_bytes param(struct orlop_bytes range, const char *key)
{
	size_t len = strlen(key);
	size_t at = 0;

	while (at < range.len) {
		const char *semi = memchr(range.p + at, ';', range.len - at);
		size_t end = semi ? (size_t)(semi - range.p) : range.len;
		size_t from = at;
		size_t to = end;

		while (from < to && (range.p[from] == ' ' || range.p[from] == '\t'))
			from++;
		while (to > from && (range.p[to - 1] == ' ' || range.p[to - 1] == '\t'))
			to--;
		if (to - from > len && range.p[from + len] == '=' &&
		    strncasecmp(range.p + from, key, len) == 0)
			return (struct orlop_bytes){ range.p + from + len + 1, to - from - len - 1 };
		at = end + 1;
	}
	return (struct orlop_bytes){ NULL, 0 };
}

static bool type_is(struct orlop_bytes range, const char *type)
{
	size_t len = strlen(type);

	return range.len >= len && strncasecmp(range.p, type, len) == 0 &&
	       (range.len == len || range.p[len] == ';' || range.p[len] == ' ');
}

/* Can we give this one? Fills @ret if so. */
static bool take(struct orlop_bytes range, enum accept_for what, struct accept *ret)
{
	struct orlop_bytes as = param(range, "as");
	struct orlop_bytes g = param(range, "g");
	struct orlop_bytes v = param(range, "v");
	struct orlop_bytes stream = param(range, "stream");
	struct accept a = { .form = REG_FORM_OBJECT };

	if (type_is(range, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf") ||
	    type_is(range, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")) {
		a.openapi_proto = true;
		*ret = a;
		return true;
	}
	if (stream.p && !bytes_is(stream, "watch"))
		return false;
	if (type_is(range, "application/yaml"))
		a.yaml = true;
	else if (type_is(range, REG_PROTO_TYPE))
		a.proto = true;
	else if (!type_is(range, "application/json") && !type_is(range, "*/*") &&
		 !type_is(range, "application/*") && !type_is(range, "text/*"))
		return false;
	if (as.p) {
		if (bytes_is(as, "Table") && what != ACCEPT_ANSWERS && bytes_is(g, "meta.k8s.io") && bytes_is(v, "v1") && !a.proto)
			a.form = REG_FORM_TABLE;
		else if ((bytes_is(as, "PartialObjectMetadata") || bytes_is(as, "PartialObjectMetadataList")) &&
			 bytes_is(g, "meta.k8s.io") && bytes_is(v, "v1"))
			a.form = REG_FORM_META;
		else if (what == ACCEPT_DISCOVERY && bytes_is(as, "APIGroupDiscoveryList") && bytes_is(v, "v2") &&
			 bytes_is(g, "apidiscovery.k8s.io") && !a.proto)
			a.aggregated = true;
		else
			return false;
	} else if (a.proto && what == ACCEPT_CUSTOM) {
		return false;
	}
	*ret = a;
	return true;
}

/* Quality in thousandths. */
static int quality(struct orlop_bytes range)
{
	struct orlop_bytes q = param(range, "q");
	int v = 0;
	int scale = 1000;

	if (!q.p || !q.len)
		return 1000;
	if (q.p[0] == '1')
		return 1000;
	for (size_t i = 2; i < q.len && i < 5 && q.p[i] >= '0' && q.p[i] <= '9'; i++) {
		scale /= 10;
		v += (q.p[i] - '0') * scale;
	}
	return v;
}

/* Of the same quality, what is named wins over what is meant by a star. */
static int rank(struct orlop_bytes range)
{
	int q = quality(range);

	if (type_is(range, "*/*"))
		return q * 4;
	return q ? q * 4 + (memmem(range.p, range.len, "/*", 2) ? 1 : 2) : 0;
}

void accept_parse(struct orlop_bytes header, enum accept_for what, struct accept *ret)
{
	bool status_proto = false;
	int best_status = 0;
	int best = 0;
	size_t at = 0;

	memset(ret, 0, sizeof(*ret));
	ret->form = REG_FORM_OBJECT;
	if (!header.p || header.len == 0)
		return;
	while (at < header.len) {
		const char *comma = memchr(header.p + at, ',', header.len - at);
		size_t end = comma ? (size_t)(comma - header.p) : header.len;
		struct orlop_bytes range;
		struct accept a;
		int q;

		while (at < end && (header.p[at] == ' ' || header.p[at] == '\t'))
			at++;
		range = (struct orlop_bytes){ header.p + at, end - at };
		at = end + 1;
		q = rank(range);
		if (q > best && take(range, what, &a)) {
			best = q;
			*ret = a;
		}
		if (q > best_status && !param(range, "as").p && take(range, ACCEPT_OBJECTS, &a)) {
			best_status = q;
			status_proto = a.proto;
		}
	}
	ret->none = best == 0;
	ret->status_proto = status_proto;
}

/* ---- indentation ------------------------------------------------------------------------------------- */

static void newline(struct obuf *out, int depth)
{
	obuf_putc(out, '\n');
	for (int i = 0; i < depth; i++)
		obuf_append(out, "  ", 2);
}

void json_indent(const struct orlop_bytes *v, size_t n, struct obuf *out)
{
	bool string = false;
	bool escape = false;
	bool open = false;	/* a bracket whose first element has not come yet */
	int depth = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < v[i].len; k++) {
			char c = v[i].p[k];

			if (string) {
				obuf_putc(out, c);
				if (escape)
					escape = false;
				else if (c == '\\')
					escape = true;
				else if (c == '"')
					string = false;
				continue;
			}
			if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
				continue;
			if (open && c != '}' && c != ']') {
				newline(out, depth);
				open = false;
			}
			switch (c) {
			case '"':
				string = true;
				obuf_putc(out, c);
				break;
			case '{':
			case '[':
				obuf_putc(out, c);
				depth++;
				open = true;
				break;
			case '}':
			case ']':
				depth--;
				if (!open)
					newline(out, depth);
				open = false;
				obuf_putc(out, c);
				break;
			case ',':
				obuf_putc(out, c);
				newline(out, depth);
				break;
			case ':':
				obuf_append(out, ": ", 2);
				break;
			default:
				obuf_putc(out, c);
			}
		}
	}
	obuf_putc(out, '\n');
}
