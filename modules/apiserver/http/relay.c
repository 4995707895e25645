/*
 * relay.c - any HTTP request, on behalf of the client, to somebody else: whom backend.c (pods, Services, nodes) or remote.c (other
 * API servers) has found.
 *
 * What comes back is handed through as it is, but for links in pages and in redirects, which lead here again (links.c).
 * Source: upstream's apimachinery, util/proxy, behaviour only.
 */
#include "front.h"
#include "coded.h"
#include "hops.h"
#include "links.h"

#include "base/ocleanup.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#define QUEUE_HIGH	(256u * 1024)
#define QUEUE_LOW	(32u * 1024)
#define MAX_HEADERS	256	/* as many as the server takes */
#define HEAD_NS		(3600 * APIS_NS_PER_S)	/* as long as the client waits */

struct relay {
	struct front		*f;
	struct ohttp_creq	*creq;
	struct ohttp_client	*client;
	const char		*addr;		/* these in the front's arena */
	const char		*target;
	const char		*name;		/* in its certificate, and Host; NULL: addr */
	const struct ohttp_header *more;	/* of ours */
	size_t			n_more;
	const char *const	*others;	/* addresses at which the same is, if nobody is at this one */
	uint32_t		n_others;
	struct remote_client	*remote;	/* held */
	const char		*protocol;
	struct ohttp_header	*up_hdr;
	size_t			n_up_hdr;
	struct links		*links;		/* of a page; NULL: it is none */
	struct coded		*coded;		/* of one that comes compressed */
	bool			upgrade;
	bool			started;
	bool			broken;		/* a part could not be handed on */
	bool			paused;
	bool			barred;		/* it would lead the client elsewhere */
};

static void relay_free(struct relay *r)
{
	reg_remote_release(r->remote);
	links_free(r->links);
	coded_free(r->coded);
	omem_free(r);
}

static void relay_end(struct relay *r, int status)
{
	struct front *f = r->f;

	relay_free(r);
	front_done(f, status);
}

static void on_close(void *arg, struct ohttp_req *req)
{
	struct relay *r = arg;

	(void)req;
	ohttp_creq_cancel(r->creq);
	r->f->req = NULL;
	relay_end(r, 200);
}

static void on_writable(void *arg, struct ohttp_req *req)
{
	struct relay *r = arg;

	(void)req;
	if (r->paused && r->creq) {
		r->paused = false;
		ohttp_creq_resume(r->creq);
	}
}

/* ---- the answer ------------------------------------------------------------------------------------------- */

static void keep_upgrade(struct relay *r, const struct ohttp_response *res)
{
	struct orlop_bytes up = ohttp_response_header(res, "upgrade");
	struct oarena *a = &r->f->arena;

	r->protocol = oarena_strndup(a, up.p ? up.p : "", up.len);
	r->up_hdr = oarena_alloc(a, sizeof(*r->up_hdr) * MAX_HEADERS);
	for (size_t i = 0; r->up_hdr && i < res->n_headers && r->n_up_hdr < MAX_HEADERS; i++) {
		struct ohttp_header h = res->headers[i];

		if (hops_keep(h.name, res->headers, res->n_headers))
			continue;
		h.name.p = oarena_strndup(a, h.name.p, h.name.len);
		h.value.p = oarena_strndup(a, h.value.p, h.value.len);
		if (h.name.p && h.value.p)
			r->up_hdr[r->n_up_hdr++] = h;
	}
}

/* What of the client's path stands before the backend's. */
static struct orlop_bytes prefix_of(const struct relay *r)
{
	struct orlop_bytes path = ohttp_path(r->f->req);
	size_t n = strcspn(r->target, "?");

	if (path.len > n && !memcmp(path.p + path.len - n, r->target, n))
		path.len -= n;
	return path;
}

/* Is the answer a page that can be read? */
static bool is_page(const struct relay *r, const struct ohttp_response *res)
{
	struct orlop_bytes type = ohttp_response_header(res, "content-type"), coded = ohttp_response_header(res, "content-encoding");
	const char *end = type.len ? memchr(type.p, ';', type.len) : NULL;

	if (end)
		type.len = (size_t)(end - type.p);
	while (type.len && type.p[type.len - 1] == ' ')
		type.len--;
	return type.len == 9 && !strncasecmp(type.p, "text/html", 9) &&
	       (!coded.len || bytes_is(coded, "identity") || (coded_is(coded) && res->status != 206)) &&
	       !bytes_is(ohttp_method(r->f->req), "HEAD");
}

/* Where a redirect leads, through here. */
static void put_location(struct relay *r, struct ohttp_header *h)
{
	cleanup_obuf struct obuf to = OBUF_INIT;
	const char *text;

	if (!r->links || !links_url(r->links, h->value, &to) || obuf_err(&to))
		return;
	text = oarena_strndup(&r->f->arena, to.data, to.len);
	if (text)
		h->value = (struct orlop_bytes){ text, to.len };
}

static void on_head(void *arg, struct ohttp_creq *q, const struct ohttp_response *res)
{
	bool redirect = ohttp_response_header(res, "location").p != NULL;
	struct ohttp_header hdr[MAX_HEADERS + 12];
	struct relay *r = arg;
	size_t n;

	(void)q;
	if (res->status == 101) {
		keep_upgrade(r, res);
		return;
	}
	if (r->remote && redirect && res->status >= 300 && res->status < 400) {
		r->barred = true;
		return;
	}
	n = front_headers(r->f, hdr, NULL);
	for (size_t i = 0; i < n; i++)		/* what the backend says of it counts */
		if (ohttp_response_header(res, hdr[i].name.p).p)
			hdr[i--] = hdr[--n];
	if (!r->remote && (redirect || is_page(r, res)))	/* another API server has our paths */
		r->links = links_new(prefix_of(r), r->addr, ohttp_authority(r->f->req));
	for (size_t i = 0; i < res->n_headers && n < MAX_HEADERS + 12; i++) {
		if (hops_keep(res->headers[i].name, res->headers, res->n_headers))
			continue;
		hdr[n] = res->headers[i];
		if (hdr[n].name.len == 8 && !strncasecmp(hdr[n].name.p, "location", 8))
			put_location(r, &hdr[n]);
		n++;
	}
	if (redirect) {
		links_free(r->links);
		r->links = NULL;
	}
	if (r->links && coded_is(ohttp_response_header(res, "content-encoding"))) {
		r->coded = coded_new(ohttp_response_header(res, "content-encoding"));
		r->broken = !r->coded;
	}
	r->started = true;
	ohttp_on_writable(r->f->req, QUEUE_LOW, on_writable, r);
	ohttp_reply_start(r->f->req, res->status, hdr, n);
}

static void on_data(void *arg, struct ohttp_creq *q, const char *data, size_t len)
{
	cleanup_obuf struct obuf page = OBUF_INIT;
	struct relay *r = arg;

	if (r->broken || r->barred)
		return;
	if (r->links) {
		if (r->coded)
			r->broken = coded_feed(r->coded, r->links, data, len, &page) < 0;
		else
			links_feed(r->links, data, len, &page);
		r->broken = r->broken || obuf_err(&page);
		if (r->broken)
			return;
		data = page.data;
		len = page.len;
	}
	if (len && ohttp_write_copy(r->f->req, data, len) < 0)
		return;
	if (r->creq && ohttp_queued(r->f->req) > QUEUE_HIGH) {
		r->paused = true;
		ohttp_creq_pause(q);
	}
}

static void on_upgraded(void *arg, struct ohttp_creq *q, struct ohttp_stream *take_s)
{
	struct relay *r = arg;
	struct front *f = r->f;

	(void)q;
	r->creq = NULL;
	if (joined_begin(f, r->protocol, r->up_hdr, r->n_up_hdr, take_s, false) < 0) {
		relay_free(r);
		front_error(f, 400, "BadRequest", "the request must be an upgrade over HTTP/1.1");
		return;
	}
	relay_end(r, 101);
}

/* Whoever serves a group of the API may not send its clients, and what they show of themselves, to others (CVE-2022-3172). */
static void bar(struct relay *r)
{
	static const char why[] = "the backend attempted to redirect this request, which is not permitted";

	front_text(r->f, 502, "text/plain; charset=utf-8", why, sizeof(why) - 1);
	relay_free(r);
}

static void relay_send(struct relay *r, struct orlop_bytes body);

static void on_end(void *arg, struct ohttp_creq *q, int err, const char *why)
{
	cleanup_obuf struct obuf rest = OBUF_INIT;
	struct relay *r = arg;
	struct front *f = r->f;

	r->creq = NULL;
	if (r->barred) {
		bar(r);
		return;
	}
	if (!r->started && r->n_others && !ohttp_creq_sent(q)) {	/* nobody has seen it */
		r->addr = *r->others++;
		r->n_others--;
		relay_send(r, (struct orlop_bytes){ f->body.data, f->body.len });
		return;
	}
	if (!r->started) {
		const char *what = err == -ECONNREFUSED ? "connect: connection refused" :
				   err == -EHOSTUNREACH ? "connect: no route to host" :
				   err == -ETIMEDOUT ? "i/o timeout" : NULL;

		if (what)
			front_error(f, 503, "ServiceUnavailable", "error trying to reach service: dial tcp %s: %s", r->addr,
				    what);
		else
			front_error(f, 503, "ServiceUnavailable", "error trying to reach service: %s", why);
		relay_free(r);
		return;
	}
	if (!err && !r->broken && r->links) {
		if (r->coded)
			r->broken = coded_end(r->coded, r->links, &rest) < 0;
		else
			links_end(r->links, &rest);
		if (rest.len && !r->broken)
			(void)ohttp_write_copy(f->req, rest.data, rest.len);
	}
	if (err || r->broken)
		ohttp_abort(f->req);
	else
		ohttp_end(f->req);
	f->req = NULL;
	relay_end(r, 200);
}

static const struct ohttp_client_ops client_ops = {
	.head = on_head,
	.data = on_data,
	.upgraded = on_upgraded,
	.end = on_end,
};

/* ---- the question ------------------------------------------------------------------------------------------- */

static void relay_send(struct relay *r, struct orlop_bytes body)
{
	struct front *f = r->f;
	struct orlop_bytes m = ohttp_method(f->req);
	struct ohttp_header hdr[MAX_HEADERS + 5 + RELAY_MORE];
	const struct ohttp_header *h;
	size_t n = ohttp_headers(f->req, &h);
	struct orlop_bytes protocol = ohttp_header(f->req, "upgrade");
	struct ohttp_client_request q = {
		.addr = r->addr,
		.method = oarena_strndup(&f->arena, m.p, m.len),
		.target = r->target,
		.tls_name = r->name,
		.host = r->name,
		.headers = hdr,
		.body = body,
		.has_body = ohttp_header(f->req, "content-length").p != NULL,
		.upgrade = r->upgrade,
		.timeout_ns = r->remote && !f->is_longrunning ? f->sh->a->timeout_ns : HEAD_NS,
		.connect_ns = r->n_others ? REG_REMOTE_CONNECT_NS : 0,
	};
	char from[64];
	int e;

	for (size_t i = 0; i < n && q.n_headers < MAX_HEADERS; i++)
		if (!hops_keep(h[i].name, h, n))
			hdr[q.n_headers++] = h[i];
	if (r->upgrade) {
		hdr[q.n_headers++] = ohttp_header_cstr("Connection", "Upgrade");
		hdr[q.n_headers++] = (struct ohttp_header){ { "Upgrade", 7 }, protocol };
	}
	snprintf(from, sizeof(from), "%s", ohttp_peer_addr(f->req));
	if (strrchr(from, ':'))
		*strrchr(from, ':') = '\0';
	hdr[q.n_headers++] = ohttp_header_cstr("X-Forwarded-For", from);
	hdr[q.n_headers++] = ohttp_header_cstr("Traceparent", f->traceparent);
	for (size_t i = 0; i < r->n_more; i++)
		hdr[q.n_headers++] = r->more[i];
	ohttp_on_close(f->req, on_close, r);
	e = q.method ? ohttp_client_send(r->client, &q, &client_ops, r, &r->creq) : -ENOMEM;
	if (e < 0) {
		relay_free(r);
		front_error(f, e == -EINVAL ? 400 : 500, e == -EINVAL ? "BadRequest" : "InternalError",
			    "the request cannot be handed on: %s", strerrordesc_np(-e));
	}
}

static void on_body(void *arg, struct ohttp_req *req, int status, struct orlop_bytes body)
{
	struct relay *r = arg;

	if (status < 0) {		/* answered or ended by the server */
		struct front *f = r->f;

		relay_free(r);
		front_done(f, status == -EMSGSIZE ? 413 : 500);
		return;
	}
	if (r->n_others) {		/* maybe it is sent twice */
		ohttp_body_take(req, &r->f->body);
		body = (struct orlop_bytes){ r->f->body.data, r->f->body.len };
	}
	relay_send(r, body);
}

/* The path behind ".../proxy" as it was sent, and the query. NULL: no memory. */
static const char *target_of(struct front *f)
{
	struct orlop_bytes q = ohttp_query(f->req), path = ohttp_path(f->req);
	bool slash = path.len && path.p[path.len - 1] == '/' && f->rt.rest.len &&
		     f->rt.rest.p[f->rt.rest.len - 1] != '/';

	return oarena_printf(&f->arena, "/%.*s%s%s%.*s", OB(f->rt.rest), slash ? "/" : "", q.len ? "?" : "", OB(q));
}

/* With the body, if there is one. */
static void relay_begin_with(struct relay *r)
{
	if (r->upgrade) {
		relay_send(r, (struct orlop_bytes){ "", 0 });
		return;
	}
	ohttp_on_close(r->f->req, on_close, r);	/* while the body comes, too */
	ohttp_body_read(r->f->req, APIS_BODY_MAX, on_body, r);
}

void relay_to(struct front *f, struct ohttp_client *client, const char *addr)
{
	struct relay *r = OMEM_NEW(struct relay);
	const char *target = target_of(f);
	const char *to = oarena_strdup(&f->arena, addr);

	if (!r || !client || !target || !to) {
		omem_free(r);
		front_error(f, 500, "InternalError", "out of memory");
		return;
	}
	*r = (struct relay){ .f = f, .client = client, .addr = to, .target = target,
			     .upgrade = ohttp_wants_upgrade(f->req, "") };
	relay_begin_with(r);
}

void relay_remote(struct front *f, const struct reg_remote *take_to, const char *target, const struct ohttp_header *more, size_t n)
{
	struct relay *r = OMEM_NEW(struct relay);

	if (!r || n > RELAY_MORE) {
		reg_remote_release(take_to->client);
		omem_free(r);
		front_error(f, 500, "InternalError", "out of memory");
		return;
	}
	*r = (struct relay){ .f = f, .client = take_to->http, .remote = take_to->client, .addr = take_to->addr, .name = take_to->name,
			     .others = take_to->others, .n_others = take_to->n_others, .target = target, .more = more, .n_more = n, .upgrade = ohttp_wants_upgrade(f->req, "") };
	relay_begin_with(r);
}
