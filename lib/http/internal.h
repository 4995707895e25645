/* What the files of lib/http share: server, connection, request. */
#ifndef OLIB_HTTP_INTERNAL_H
#define OLIB_HTTP_INTERNAL_H

#include "base/obuf.h"
#include "base/olist.h"
#include "http/ohttp.h"
#include "http/oh1.h"
#include "http/outq.h"

#define ORESP_HIGH	(256u * 1024)	/* bytes waiting on a connection before nothing more is begun */

struct nghttp2_session;

enum obody_state {
	OBODY_WAIT,		/* nobody has asked yet */
	OBODY_COLLECT,
	OBODY_STREAM,
	OBODY_DISCARD,
	OBODY_DONE,		/* all of it is here or given out */
};

struct ohttp_req {
	struct oconn		*conn;
	struct olist		link;		/* conn->reqs */
	struct orlop_bytes	method;
	struct orlop_bytes	path;
	struct orlop_bytes	query;
	struct orlop_bytes	authority;
	struct ohttp_header	*headers;
	size_t			n_headers;
	int			version;
	enum obody_state	body_state;
	struct obuf		body;
	size_t			body_max;
	ohttp_body_fn		body_cb;
	ohttp_chunk_fn		chunk_cb;
	void			*body_arg;
	void			(*close_cb)(void *arg, struct ohttp_req *r);
	void			*close_arg;
	void			(*writable_cb)(void *arg, struct ohttp_req *r);
	void			*writable_arg;
	size_t			writable_low;
	void			*user;
	bool			head_done;	/* h2: all headers are here, on_request was called */
	bool			remote_done;	/* the body has been received as a whole */
	bool			expect_continue;
	bool			wants_upgrade;
	bool			is_head;
	bool			no_body;	/* of the answer: HEAD, 204, 304 */
	bool			started;	/* the answer's head is out */
	bool			chunked;
	bool			answered;	/* the user has let go */
	bool			high;
	/* HTTP/2 */
	int32_t			stream_id;
	uint64_t		deadline;	/* of head or body */
	struct outq		out;
	bool			deferred;
	bool			lent;		/* HTTP/2: the connection has pieces whose release is still in `out` */
	bool			too_big;
	size_t			unconsumed;	/* bytes of the window held back in OBODY_WAIT */
	size_t			head_bytes;
	size_t			discarded;
	struct obuf		hdr_text;
	char			*block;		/* HTTP/1.1: the head's text */
};

struct oconn {
	struct ohttp_server	*srv;
	struct olist		link;
	struct olist		due;		/* srv->due: what it has waits until nothing is held */
	struct ohttp_stream	*stream;	/* NULL: upgraded away, or gone */
	struct olist		reqs;
	struct obuf		in;		/* HTTP/1.1: what could not be used yet */
	size_t			scan;
	struct oh1_body		h1body;
	struct nghttp2_session	*h2;
	uint64_t		deadline;	/* mono ns, 0: none */
	uint64_t		drain_at;	/* draining: when its turn to go comes */
	uint64_t		goaway_at;	/* HTTP/2, draining: when streams are refused; 0: not told yet */
	uint64_t		progress;	/* bytes sent when last looked at */
	uint64_t		progress_ns;	/* … and when that was */
	uint64_t		bucket_ns;	/* floods: when tokens were last given */
	int32_t			reset_tokens;
	int32_t			ping_tokens;
	uint32_t		n_reqs;
	uint32_t		busy;		/* depth of our callbacks: freed only when 0 */
	bool			tls_wait;	/* handshake not done */
	bool			closing;	/* no further requests */
	bool			dead;		/* free it when nobody is inside */
	bool			saw_eof;
	bool			upgraded;
	bool			writable_due;
	bool			is_due;		/* it is in srv->due */
	bool			in_flush;
	bool			blocked;	/* HTTP/2: frames wait for room on the socket */
	bool			running;	/* HTTP/1.1: the loop over the input is on the stack */
	bool			in_head;	/* HTTP/1.1: part of a head is here, its time is running */
	bool			keep_10;	/* an HTTP/1.0 client that wants the connection kept */
	char			peer[64];
};

struct ohttp_server {
	struct ohttp_server_config	cfg;
	struct orlop_listener		*listener;
	struct orlop_timer		*timer;
	uint64_t			armed;		/* when it fires, 0: not armed */
	struct olist			conns;
	struct olist			streams;	/* those that somebody took over, and those closing, too */
	struct ohttp_server_stats	stats;
	bool				draining;
	bool				ending;		/* draining, and nobody takes over */
	orlop_cb			drained;
	void				*drained_arg;
	uint32_t			busy;
	uint32_t			held;		/* depth of ohttp_server_hold() */
	struct olist			due;		/* connections to flush then */
	uint64_t			date_s;		/* second that date[] shows */
	char				date[40];
};

/* ostream.c: for those who fill the queue themselves */
struct outq *ohttp_stream_outq(struct ohttp_stream *s);
void ohttp_stream_push(struct ohttp_stream *s);
/* Breaks it: closed() comes from the loop. */
void ohttp_stream_fail(struct ohttp_stream *s, int err);
/* In a list while it lives; and its end: whoever still closes has done so now, others go on alone. */
void ohttp_stream_join(struct ohttp_stream *s, struct olist *all);
void ohttp_streams_leave(struct olist *all);
uint32_t ohttp_streams_unsent(struct olist *all);	/* closed by their users, with bytes still to be sent */
uint64_t ohttp_stream_sent(const struct ohttp_stream *s);

/* server.c */
uint64_t oconn_now(const struct oconn *c);
void oconn_deadline(struct oconn *c, uint64_t at);	/* 0: none */
void oconn_enter(struct oconn *c);
void oconn_leave(struct oconn *c);		/* may free it */
void oconn_idle(struct oconn *c);		/* no request is left: close it if draining, else wait */
void oconn_kill(struct oconn *c, bool gently);	/* ends the connection; its requests get on_close */
const char *oserver_date(struct ohttp_server *s);

/* req.c */
struct ohttp_req *oreq_new(struct oconn *c);
void oreq_free(struct ohttp_req *r);
void oreq_lost(struct ohttp_req *r);		/* on_close if the user has not let go */
/* Body arrives: @r may be answered by it. */
void oreq_body_data(struct ohttp_req *r, const char *p, size_t len);
void oreq_body_end(struct ohttp_req *r);
void oreq_writable(struct ohttp_req *r);	/* calls writable_cb if the queue has fallen */

/* h1.c */
void oh1_data(struct oconn *c, const char *p, size_t len);
void oh1_kick(struct oconn *c);			/* go on with what waits */
void oh1_head(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n, int64_t length);
void oh1_write(struct ohttp_req *r, const struct ohttp_piece *v, size_t n);
void oh1_write_spans(struct ohttp_req *r, const struct orlop_bytes *v, size_t n, void (*release)(void *arg), void *arg);
void oh1_end(struct ohttp_req *r);
void oh1_continue(struct ohttp_req *r);

/* h2.c */
int oh2_start(struct oconn *c);
void oh2_data(struct oconn *c, const char *p, size_t len);
void oh2_flush(struct oconn *c);
void oh2_head(struct ohttp_req *r, int status, const struct ohttp_header *hdr, size_t n, int64_t length);
void oh2_write(struct ohttp_req *r, const struct ohttp_piece *v, size_t n);
void oh2_write_spans(struct ohttp_req *r, const struct orlop_bytes *v, size_t n, void (*release)(void *arg), void *arg);
void oh2_end(struct ohttp_req *r);
void oh2_abort(struct ohttp_req *r);
void oh2_body_wanted(struct ohttp_req *r);
void oh2_goaway(struct oconn *c);
void oh2_notice(struct oconn *c);		/* GOAWAY that refuses nothing yet */
void oh2_free(struct oconn *c);

#endif
