/*
 * oh1 - a strict HTTP/1.1 parser: heads and bodies, no input or output of its own
 *
 * What two parsers could read differently is refused: bare LF, folded headers, space before a
 * colon, Content-Length beside Transfer-Encoding, doubled lengths, unknown transfer codings.
 * Source: RFC 9112; what is refused: its section 11.
 */
#ifndef OLIB_HTTP_OH1_H
#define OLIB_HTTP_OH1_H

#include "http/ohttp.h"

#include <sys/types.h>

struct oh1_head {
	int			version;	/* 10 or 11 */
	int			status;		/* responses */
	struct orlop_bytes	method;
	struct orlop_bytes	target;
	struct orlop_bytes	path;
	struct orlop_bytes	query;
	struct orlop_bytes	authority;
	struct ohttp_header	*headers;	/* the caller's array */
	size_t			n_headers;
	size_t			max_headers;
	size_t			max_target;
	int64_t			content_length;	/* -1: none */
	bool			chunked;
	bool			keep_alive;
	bool			expect_continue;
	bool			upgrade;	/* Connection: upgrade and an Upgrade header */
};

struct oh1_body {
	uint64_t	left;		/* of the length or the chunk */
	uint32_t	line;		/* bytes of the current size line or of all trailers */
	uint8_t		state;
	bool		done;
};

/* Bytes of the head with its empty line, 0 if it is not complete. *@scan remembers; begin with 0. */
size_t oh1_head_len(const char *p, size_t len, size_t *scan);
/* 0, or the HTTP status to answer with: 400, 414, 431, 501, 505. Everything points into @p. */
int oh1_parse_request(const char *p, size_t len, struct oh1_head *head);
/* 0 or -EPROTO */
int oh1_parse_response(const char *p, size_t len, struct oh1_head *head);
/* @response_to: NULL for a request's body, else the method that was asked. */
void oh1_body_init(struct oh1_body *b, const struct oh1_head *head, const char *response_to);
/*
 * Next stretch of body in @p: *@ret_data (into @p, may be empty). Returns the bytes used up or -EPROTO.
 * @b->done: the body ends there. A body that ends with the connection is never done.
 */
ssize_t oh1_body_next(struct oh1_body *b, const char *p, size_t len, struct orlop_bytes *ret_data);

#endif
