/* A strict HTTP/1.1 parser. */
#include "oh1.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum { B_LENGTH, B_UNTIL_EOF, B_SIZE, B_SIZE_EXT, B_SIZE_LF, B_DATA, B_DATA_CR, B_DATA_LF, B_TRAILER,
	B_TRAILER_LINE, B_TRAILER_LF, B_END_LF };

#define MAX_SIZE_LINE	256u
#define MAX_TRAILERS	8192u
#define NO_DIGIT	255u

static bool is_token(unsigned char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static unsigned int hex(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10u;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10u;
	return NO_DIGIT;
}

size_t oh1_head_len(const char *p, size_t len, size_t *scan)
{
	size_t at = *scan > 3 ? *scan - 3 : 0;

	while (at + 4 <= len) {
		const char *cr = memchr(p + at, '\r', len - 3 - at);

		if (!cr)
			break;
		if (memcmp(cr, "\r\n\r\n", 4) == 0)
			return (size_t)(cr - p) + 4;
		at = (size_t)(cr - p) + 1;
	}
	*scan = len;
	return 0;
}

/* One line without its CRLF; p NULL if a bare CR or LF, or nothing, ends it. */
static struct orlop_bytes take_line(const char **at, const char *end)
{
	struct orlop_bytes line = { NULL, 0 };
	const char *nl = memchr(*at, '\n', (size_t)(end - *at));

	if (!nl || nl == *at || nl[-1] != '\r')
		return line;
	line.p = *at;
	line.len = (size_t)(nl - *at) - 1;
	if (memchr(line.p, '\r', line.len))
		line.p = NULL;
	*at = nl + 1;
	return line;
}

static bool name_is(const struct ohttp_header *h, const char *name)
{
	return h->name.len == strlen(name) && strncasecmp(h->name.p, name, h->name.len) == 0;
}

/* Fields common to requests and responses. 0 or a status. */
static int parse_fields(const char *at, const char *end, struct oh1_head *head)
{
	bool connection_close = false;
	bool connection_keep = false;
	bool connection_upgrade = false;
	bool has_upgrade = false;
	bool has_te = false;

	head->content_length = -1;
	while (at < end) {
		struct orlop_bytes line = take_line(&at, end);
		struct ohttp_header *h;
		size_t i = 0;

		if (!line.p)
			return 400;
		if (line.len == 0)
			break;
		if (head->n_headers == head->max_headers)
			return 431;
		h = &head->headers[head->n_headers];
		while (i < line.len && is_token((unsigned char)line.p[i]))
			i++;
		if (i == 0 || i == line.len || line.p[i] != ':')
			return 400;	/* also a folded line: it begins with a space */
		h->name.p = line.p;
		h->name.len = i++;
		while (i < line.len && (line.p[i] == ' ' || line.p[i] == '\t'))
			i++;
		while (line.len > i && (line.p[line.len - 1] == ' ' || line.p[line.len - 1] == '\t'))
			line.len--;
		h->value.p = line.p + i;
		h->value.len = line.len - i;
		for (size_t k = 0; k < h->value.len; k++) {
			unsigned char c = (unsigned char)h->value.p[k];

			if ((c < ' ' && c != '\t') || c == 0x7f)
				return 400;
		}
		head->n_headers++;

		if (name_is(h, "content-length")) {
			int64_t v = 0;

			if (h->value.len == 0 || h->value.len > 18 || head->content_length >= 0)
				return 400;
			for (size_t k = 0; k < h->value.len; k++) {
				if (h->value.p[k] < '0' || h->value.p[k] > '9')
					return 400;
				v = v * 10 + (h->value.p[k] - '0');
			}
			head->content_length = v;
		} else if (name_is(h, "transfer-encoding")) {
			if (has_te)
				return 400;
			has_te = true;
			if (h->value.len != 7 || strncasecmp(h->value.p, "chunked", 7) != 0)
				return 501;
			head->chunked = true;
		} else if (name_is(h, "connection")) {
			connection_close |= ohttp_has_token(h->value, "close");
			connection_keep |= ohttp_has_token(h->value, "keep-alive");
			connection_upgrade |= ohttp_has_token(h->value, "upgrade");
		} else if (name_is(h, "upgrade")) {
			has_upgrade = true;
		} else if (name_is(h, "expect")) {
			head->expect_continue = h->value.len == 12 &&
						strncasecmp(h->value.p, "100-continue", 12) == 0;
		}
	}
	if (has_te && (head->content_length >= 0 || head->version < 11))
		return 400;
	head->keep_alive = head->version >= 11 ? !connection_close : connection_keep && !connection_close;
	head->upgrade = connection_upgrade && has_upgrade;
	return 0;
}

static int parse_version(const char *p, size_t len)
{
	if (len != 8 || memcmp(p, "HTTP/", 5) != 0 || p[6] != '.')
		return -1;
	if (p[5] < '0' || p[5] > '9' || p[7] < '0' || p[7] > '9')
		return -1;
	if (p[5] != '1')
		return 0;
	return p[7] == '0' ? 10 : 11;
}

static int split_target(struct oh1_head *head)
{
	struct orlop_bytes t = head->target;
	const char *q;

	for (size_t i = 0; i < t.len; i++)
		if ((unsigned char)t.p[i] <= ' ' || (unsigned char)t.p[i] >= 0x7f || t.p[i] == '#')
			return 400;
	if (t.len && t.p[0] != '/' && t.p[0] != '*') {
		/* absolute-form: scheme://authority/path */
		const char *slash = memmem(t.p, t.len, "://", 3);
		const char *path;

		if (!slash)
			return 400;
		slash += 3;
		path = memchr(slash, '/', t.len - (size_t)(slash - t.p));
		if (!path)
			return 400;
		head->authority.p = slash;
		head->authority.len = (size_t)(path - slash);
		t.len -= (size_t)(path - t.p);
		t.p = path;
	}
	if (t.len == 0 || (t.p[0] == '*' && t.len != 1))
		return 400;
	q = memchr(t.p, '?', t.len);
	head->path.p = t.p;
	head->path.len = q ? (size_t)(q - t.p) : t.len;
	head->query.p = q ? q + 1 : t.p + t.len;
	head->query.len = q ? t.len - head->path.len - 1 : 0;
	return 0;
}

int oh1_parse_request(const char *p, size_t len, struct oh1_head *head)
{
	const char *at = p;
	struct orlop_bytes line = take_line(&at, p + len);
	const char *sp1;
	const char *sp2;
	size_t hosts = 0;
	int r;

	head->n_headers = 0;
	if (!line.p)
		return 400;
	sp1 = memchr(line.p, ' ', line.len);
	if (!sp1 || sp1 == line.p || sp1 - line.p > 32)
		return 400;
	for (const char *c = line.p; c < sp1; c++)
		if (!is_token((unsigned char)*c))
			return 400;
	sp2 = memchr(sp1 + 1, ' ', line.len - (size_t)(sp1 + 1 - line.p));
	if (!sp2)
		return 400;
	head->version = parse_version(sp2 + 1, (size_t)(line.p + line.len - sp2 - 1));
	if (head->version < 0)
		return 400;
	if (head->version == 0)
		return 505;
	head->method = (struct orlop_bytes){ line.p, (size_t)(sp1 - line.p) };
	head->target = (struct orlop_bytes){ sp1 + 1, (size_t)(sp2 - sp1 - 1) };
	if (head->target.len > head->max_target)
		return 414;
	head->authority = (struct orlop_bytes){ NULL, 0 };
	r = split_target(head);
	if (r == 0)
		r = parse_fields(at, p + len, head);
	if (r)
		return r;
	for (size_t i = 0; i < head->n_headers; i++) {
		if (!name_is(&head->headers[i], "host"))
			continue;
		hosts++;
		if (!head->authority.p)
			head->authority = head->headers[i].value;
	}
	if (hosts > 1 || (hosts == 0 && head->version >= 11))
		return 400;
	return 0;
}

int oh1_parse_response(const char *p, size_t len, struct oh1_head *head)
{
	const char *at = p;
	struct orlop_bytes line = take_line(&at, p + len);

	head->n_headers = 0;
	if (!line.p || line.len < 12 || line.p[8] != ' ')
		return -EPROTO;
	head->version = parse_version(line.p, 8);
	if (head->version <= 0)
		return -EPROTO;
	head->status = 0;
	for (int i = 9; i < 12; i++) {
		if (line.p[i] < '0' || line.p[i] > '9')
			return -EPROTO;
		head->status = head->status * 10 + line.p[i] - '0';
	}
	if (head->status < 100 || (line.len > 12 && line.p[12] != ' '))
		return -EPROTO;
	return parse_fields(at, p + len, head) ? -EPROTO : 0;
}

void oh1_body_init(struct oh1_body *b, const struct oh1_head *head, const char *response_to)
{
	memset(b, 0, sizeof(*b));
	b->state = B_LENGTH;
	if (response_to && (strcmp(response_to, "HEAD") == 0 || head->status < 200 ||
			    head->status == 204 || head->status == 304)) {
		b->done = true;
	} else if (head->chunked) {
		b->state = B_SIZE;
	} else if (head->content_length >= 0) {
		b->left = (uint64_t)head->content_length;
		b->done = b->left == 0;
	} else if (response_to) {
		b->state = B_UNTIL_EOF;
	} else {
		b->done = true;
	}
}

/* One byte of what surrounds the chunks. 0 or -EPROTO. */
static int frame_byte(struct oh1_body *b, unsigned char c)
{
	switch (b->state) {
	case B_SIZE:
		if (hex(c) != NO_DIGIT) {
			if (b->left >> 58 || ++b->line > 16)
				return -EPROTO;
			b->left = b->left << 4 | hex(c);
			return 0;
		}
		if (b->line == 0)
			return -EPROTO;
		b->state = B_SIZE_EXT;
		if (c == '\r')
			b->state = B_SIZE_LF;
		else if (c != ';')	/* a blank, which some take and some do not, is how requests are smuggled */
			return -EPROTO;
		return 0;
	case B_SIZE_EXT:
		if (c == '\r')
			b->state = B_SIZE_LF;
		else if (c == '\n' || ++b->line > MAX_SIZE_LINE)
			return -EPROTO;
		return 0;
	case B_SIZE_LF:
		b->line = 0;
		b->state = b->left ? B_DATA : B_TRAILER;
		return c == '\n' ? 0 : -EPROTO;
	case B_DATA_CR:
		b->state = B_DATA_LF;
		return c == '\r' ? 0 : -EPROTO;
	case B_DATA_LF:
		b->state = B_SIZE;
		return c == '\n' ? 0 : -EPROTO;
	case B_TRAILER:
		b->state = c == '\r' ? B_END_LF : B_TRAILER_LINE;
		return c == '\n' || c == ' ' || ++b->line > MAX_TRAILERS ? -EPROTO : 0;
	case B_TRAILER_LINE:
		if (c == '\r')
			b->state = B_TRAILER_LF;
		return c == '\n' || ++b->line > MAX_TRAILERS ? -EPROTO : 0;
	case B_TRAILER_LF:
		b->state = B_TRAILER;
		return c == '\n' ? 0 : -EPROTO;
	default:
		b->done = true;
		return c == '\n' ? 0 : -EPROTO;
	}
}

ssize_t oh1_body_next(struct oh1_body *b, const char *p, size_t len, struct orlop_bytes *ret_data)
{
	size_t at = 0;
	size_t n;

	ret_data->p = p;
	ret_data->len = 0;
	while (at < len && !b->done) {
		switch (b->state) {
		case B_UNTIL_EOF:
			ret_data->p = p + at;
			ret_data->len = len - at;
			return (ssize_t)len;
		case B_LENGTH:
		case B_DATA:
			n = len - at < b->left ? len - at : (size_t)b->left;
			ret_data->p = p + at;
			ret_data->len = n;
			b->left -= n;
			if (b->left == 0 && b->state == B_LENGTH)
				b->done = true;
			else if (b->left == 0)
				b->state = B_DATA_CR;
			return (ssize_t)(at + n);
		default:
			if (frame_byte(b, (unsigned char)p[at++]) < 0)
				return -EPROTO;
		}
	}
	return (ssize_t)at;
}
