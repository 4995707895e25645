/*
 * Logs, exec, attach and port-forward: asked of the kubelet of the pod's node, by HTTPS with our
 * client certificate. Answers are streamed through; an upgrade joins the two connections and we
 * only copy bytes, so SPDY and WebSocket are the kubelet's affair. Only logs over a WebSocket are framed
 * here, for the kubelet knows them as a plain answer.
 */
#include "front.h"

#include "base/oenc.h"
#include "http/ows.h"
#include "json/ojson.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#define QUEUE_HIGH	(256u * 1024)
#define QUEUE_LOW	(32u * 1024)
#define REFUSAL_MAX	4096u

struct proxy {
	struct front		*f;
	struct ohttp_creq	*creq;
	bool			started;
	bool			paused;
	int			refused;	/* the kubelet's status, if it gives no log; why comes into the front's body */
	struct ohttp_header	*up_hdr;	/* of the kubelet's 101, in the front's arena */
	size_t			n_up_hdr;
	const char		*protocol;
	/* Logs over a WebSocket: the request is over, the front gone; we live in ashard.ws_logs. */
	struct ows		*ws;
	bool			base64;
	struct olist		link;
};

static void ws_log_free(struct proxy *p)
{
	ohttp_creq_cancel(p->creq);
	ows_close(p->ws, 1001, "");
	olist_del(&p->link);
	omem_free(p);
}

void proxy_abort_all(struct ashard *sh)
{
	struct olist *l;

	while ((l = olist_first(&sh->ws_logs)) != NULL)
		ws_log_free(OLIST_ENTRY(l, struct proxy, link));
	joined_abort_all(sh);
}

/* The front and the proxy go together. */
static void proxy_free(struct proxy *p, int status)
{
	struct front *f = p->f;

	omem_free(p);
	front_done(f, status);
}

static void on_close(void *arg, struct ohttp_req *req)
{
	struct proxy *p = arg;

	(void)req;
	ohttp_creq_cancel(p->creq);
	p->creq = NULL;
	p->f->req = NULL;
	proxy_free(p, 200);
}

static void on_writable(void *arg, struct ohttp_req *req)
{
	struct proxy *p = arg;

	(void)req;
	if (p->paused && p->creq) {
		p->paused = false;
		ohttp_creq_resume(p->creq);
	}
}

/* ---- logs over a WebSocket --------------------------------------------------------------------------------- */

static void ws_message(void *arg, int type, const char *p, size_t len)
{
	(void)arg;
	(void)type;
	(void)p;
	(void)len;
}

static void ws_drained(void *arg)
{
	struct proxy *p = arg;

	if (p->paused && p->creq) {
		p->paused = false;
		ohttp_creq_resume(p->creq);
	}
}

static void ws_closed(void *arg, int code)
{
	struct proxy *p = arg;

	(void)code;
	p->ws = NULL;
	ws_log_free(p);
}

static const struct ows_ops log_ws_ops = { .message = ws_message, .drained = ws_drained, .closed = ws_closed };

/* As upstream's stream reader: bytes in binary messages, or in base64 in text ones. */
static int ws_log_begin(struct proxy *p)
{
	static const char *const offers[] = { "binary.k8s.io", "base64.binary.k8s.io", NULL };
	const char *protocol = ows_protocol(p->f->req, offers);
	struct front *f = p->f;
	int e;

	p->base64 = protocol && protocol == offers[1];
	e = ows_accept(f->req, protocol, 0, &log_ws_ops, p, &p->ws);
	if (e)
		return e;
	olist_append(&f->sh->ws_logs, &p->link);
	f->req = NULL;
	p->f = NULL;
	front_done(f, 101);
	return 0;
}

static void ws_log_data(struct proxy *p, const char *data, size_t len)
{
	struct orlop_bytes v = { data, len };
	struct obuf b = OBUF_INIT;
	int e = 0;

	if (p->base64) {
		obase64_append(&b, OBASE64_STD, data, len);
		e = obuf_err(&b);
		v = (struct orlop_bytes){ obuf_cstr(&b), b.len };
	}
	if (!e)
		e = ows_send(p->ws, p->base64 ? OWS_TEXT : OWS_BINARY, &v, 1);
	obuf_done(&b);
	if (e < 0) {
		ws_log_free(p);		/* a log with a hole is none */
		return;
	}
	if (ows_queued(p->ws) > QUEUE_HIGH) {
		p->paused = true;
		ohttp_creq_pause(p->creq);
	}
}

static bool goes_through(const struct ohttp_header *h)
{
	static const char *const names[] = { "x-stream-protocol-version", "x-accepted-stream-protocol-versions",
		"sec-websocket-accept", "sec-websocket-protocol", NULL };

	for (const char *const *n = names; *n; n++)
		if (h->name.len == strlen(*n) && strncasecmp(h->name.p, *n, h->name.len) == 0)
			return true;
	return false;
}

static void on_head(void *arg, struct ohttp_creq *r, const struct ohttp_response *res)
{
	struct proxy *p = arg;
	struct front *f = p->f;
	struct ohttp_header hdr[14];
	struct orlop_bytes type = ohttp_response_header(res, "content-type");
	size_t n;

	(void)r;
	if (res->status == 101) {
		struct orlop_bytes up = ohttp_response_header(res, "upgrade");

		p->protocol = oarena_strndup(&f->arena, up.p ? up.p : "", up.len);
		p->up_hdr = oarena_alloc(&f->arena, sizeof(*p->up_hdr) * 8);
		for (size_t i = 0; p->up_hdr && i < res->n_headers && p->n_up_hdr < 8; i++) {
			struct ohttp_header *h = &p->up_hdr[p->n_up_hdr];

			if (!goes_through(&res->headers[i]))
				continue;
			h->name.len = res->headers[i].name.len;
			h->value.len = res->headers[i].value.len;
			h->name.p = oarena_strndup(&f->arena, res->headers[i].name.p, h->name.len);
			h->value.p = oarena_strndup(&f->arena, res->headers[i].value.p, h->value.len);
			if (h->name.p && h->value.p)
				p->n_up_hdr++;
		}
		return;
	}
	if (res->status == 200 && bytes_is(f->rt.sub, "log") && ows_wanted(f->req) && !ws_log_begin(p))
		return;
	if ((res->status < 200 || res->status > 206) && bytes_is(f->rt.sub, "log")) {
		p->refused = res->status;
		return;
	}
	n = front_headers(f, hdr, NULL);
	if (type.p)
		hdr[n++] = (struct ohttp_header){ { "Content-Type", 12 }, type };
	p->started = true;
	ohttp_on_writable(f->req, QUEUE_LOW, on_writable, p);
	ohttp_reply_start(f->req, res->status, hdr, n);
}

static void on_data(void *arg, struct ohttp_creq *r, const char *data, size_t len)
{
	struct proxy *p = arg;

	if (p->ws) {
		ws_log_data(p, data, len);
		return;
	}
	if (p->refused) {
		if (p->f->body.len + len <= REFUSAL_MAX)
			obuf_append(&p->f->body, data, len);
		return;
	}
	if (ohttp_write_copy(p->f->req, data, len) < 0)
		return;
	if (p->creq && ohttp_queued(p->f->req) > QUEUE_HIGH) {
		p->paused = true;
		ohttp_creq_pause(r);
	}
}

static void on_upgraded(void *arg, struct ohttp_creq *r, struct ohttp_stream *take_s)
{
	struct proxy *p = arg;
	struct front *f = p->f;

	(void)r;
	p->creq = NULL;
	if (joined_begin(f, p->protocol, p->up_hdr, p->n_up_hdr, take_s, true) < 0) {
		omem_free(p);
		front_error(f, 400, "BadRequest", "the request must be an upgrade over HTTP/1.1");
		return;
	}
	proxy_free(p, 101);
}

/* As upstream's check of a kubelet's answer. */
static void refuse(struct front *f, int status)
{
	struct obuf *b = &f->body;

	while (b->len && (b->data[b->len - 1] == '\n' || b->data[b->len - 1] == '\r'))
		b->len--;
	if (status == 400)
		front_error(f, 400, "BadRequest", "%.*s", (int)b->len, b->data ? b->data : "");
	else if (status == 404)
		front_error(f, 404, "NotFound", "the server could not find the requested resource ( pods/log %.*s)",
			    OB(f->rt.name));
	else
		front_error(f, status, "InternalError", "Internal error occurred: %.*s", (int)b->len,
			    b->data ? b->data : "");
}

static void on_end(void *arg, struct ohttp_creq *r, int err, const char *why)
{
	struct proxy *p = arg;
	struct front *f = p->f;

	(void)r;
	p->creq = NULL;
	if (p->ws) {
		ows_close(p->ws, err ? 1011 : 1000, "");
		p->ws = NULL;
		ws_log_free(p);
		return;
	}
	if (p->refused) {
		int status = p->refused;

		omem_free(p);
		refuse(f, status);
		return;
	}
	if (!p->started) {
		omem_free(p);
		OLOG(f->sh->h, WARN, "kubelet_unreachable", "why=\"%s\"", why);
		front_error(f, err == -ETIMEDOUT ? 504 : 502, err == -ETIMEDOUT ? "Timeout" : "InternalError",
			    "error dialing backend: %s", why);
		return;
	}
	if (err)
		ohttp_abort(f->req);
	else
		ohttp_end(f->req);
	f->req = NULL;
	proxy_free(p, 200);
}

static const struct ohttp_client_ops client_ops = {
	.head = on_head,
	.data = on_data,
	.upgraded = on_upgraded,
	.end = on_end,
};

/* ---- whom to ask, and what ------------------------------------------------------------------------------ */

bool proxy_kubelet_addr(struct ashard *sh, const char *node, char *buf, size_t size, char *host, size_t host_size)
{
	struct orlop_object *o = reg_peek(sh->reg, "nodes", (struct orlop_bytes){ "", 0 }, bytes_cstr(node));
	struct ojson *j = NULL;
	const char *ip = NULL;
	int64_t port;

	if (!o)
		return false;
	if (ojson_parse_members(o->json, &j, NULL) == 0) {
		OJSON_FOREACH_ELEM(i, a, OJSON_AT(j, "status", "addresses")) {
			const char *type = ojson_get_cstr(a, "type", "");

			if (strcmp(type, "InternalIP") == 0 || (!ip && strcmp(type, "Hostname") == 0))
				ip = ojson_get_cstr(a, "address", NULL);
			if (strcmp(type, "InternalIP") == 0)
				break;
		}
		port = ojson_i64(OJSON_AT(j, "status", "daemonEndpoints", "kubeletEndpoint", "Port"), 10250);
		if (port == sh->a->own_ports[0] || port == sh->a->own_ports[1])
			ip = NULL;	/* that is us: we do not ask ourselves as somebody who may all */
		if (ip) {
			snprintf(host, host_size, "%s", ip);
			snprintf(buf, size, strchr(ip, ':') ? "[%s]:%d" : "%s:%d", ip, (int)port);
		}
	}
	ojson_unref(j);
	sh->h->object_unref(o);
	return ip != NULL;
}

/* The container that is meant, in the arena; NULL: answered. */
static const char *pick_container(struct front *f, struct ojson *pod)
{
	struct orlop_bytes want = query_get(&f->arena, ohttp_query(f->req), "container");
	static const char *const lists[] = { "containers", "initContainers", "ephemeralContainers" };
	struct ojson *list = OJSON_AT(pod, "spec", "containers");
	struct obuf names = OBUF_INIT;

	if (!want.len) {
		if (ojson_count(list) == 1)
			return oarena_strdup(&f->arena, ojson_get_cstr(ojson_index(list, 0), "name", ""));
		OJSON_FOREACH_ELEM(i, c, list)
			obuf_printf(&names, "%s%s", i ? " " : "", ojson_get_cstr(c, "name", ""));
		front_error(f, 400, "BadRequest",
			    "a container name must be specified for pod %.*s, choose one of: [%s]", OB(f->rt.name),
			    obuf_cstr(&names));
		obuf_done(&names);
		return NULL;
	}
	for (size_t k = 0; k < 3; k++)
		OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "spec", lists[k]))
			if (bytes_is(want, ojson_get_cstr(c, "name", "")))
				return want.p;
	front_error(f, 400, "BadRequest", "container %.*s is not valid for pod %.*s", OB(want), OB(f->rt.name));
	return NULL;
}

void front_put_escaped(struct obuf *b, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    (c && strchr("-_.~", c)))
			obuf_putc(b, (char)c);
		else
			obuf_printf(b, "%%%02X", c);
	}
}

/* Path and query on the kubelet. @container is NULL for port-forward. */
static void put_target(struct front *f, const char *container, struct obuf *b)
{
	struct orlop_bytes q = ohttp_query(f->req);
	const char *sep = "?";

	obuf_puts(b, bytes_is(f->rt.sub, "log") ? "/containerLogs/" : bytes_is(f->rt.sub, "portforward") ?
		     "/portForward/" : bytes_is(f->rt.sub, "attach") ? "/attach/" : "/exec/");
	front_put_escaped(b, f->rt.ns.p, f->rt.ns.len);
	obuf_putc(b, '/');
	front_put_escaped(b, f->rt.name.p, f->rt.name.len);
	if (container) {
		obuf_putc(b, '/');
		front_put_escaped(b, container, strlen(container));
	}
	if (bytes_is(f->rt.sub, "portforward")) {
		for (size_t at = 0; at < q.len;) {
			const char *amp = memchr(q.p + at, '&', q.len - at);
			size_t end = amp ? (size_t)(amp - q.p) : q.len;

			if (ostr_starts(q.p + at, end - at, "ports=")) {
				obuf_printf(b, "%sport=%.*s", sep, (int)(end - at - 6), q.p + at + 6);
				sep = "&";
			}
			at = end + 1;
		}
		return;
	}
	if (bytes_is(f->rt.sub, "log")) {
		podopts_put_log(f, b);
		return;
	}
	static const char *const flags[][2] = { { "stdin", "input=1" }, { "stdout", "output=1" },
		{ "stderr", "error=1" }, { "tty", "tty=1" } };

	for (size_t i = 0; i < 4; i++)
		if (query_true(&f->arena, q, flags[i][0])) {
			obuf_printf(b, "%s%s", sep, flags[i][1]);
			sep = "&";
		}
	for (size_t at = 0; at < q.len;) {
		const char *amp = memchr(q.p + at, '&', q.len - at);
		size_t end = amp ? (size_t)(amp - q.p) : q.len;

		if (ostr_starts(q.p + at, end - at, "command=")) {
			obuf_puts(b, sep);
			obuf_append(b, q.p + at, end - at);
			sep = "&";
		}
		at = end + 1;
	}
}

static size_t upgrade_headers(struct front *f, struct ohttp_header *hdr, size_t max)
{
	const struct ohttp_header *h;
	size_t n = ohttp_headers(f->req, &h);
	size_t k = 0;

	for (size_t i = 0; i < n && k < max; i++) {
		static const char *const names[] = { "connection", "upgrade", "x-stream-protocol-version",
			"sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", NULL };

		for (const char *const *name = names; *name; name++)
			if (h[i].name.len == strlen(*name) && strncasecmp(h[i].name.p, *name, h[i].name.len) == 0)
				hdr[k++] = h[i];
		if (k == max)
			break;
	}
	return k;
}

static void ask(struct front *f, const char *addr, const char *host, const char *container)
{
	bool log = bytes_is(f->rt.sub, "log");
	struct ohttp_header hdr[32];
	struct ohttp_client_request q = {
		.addr = addr,
		.tls_name = host,
		.method = log || bytes_is(ohttp_method(f->req), "GET") ? "GET" : "POST",
		.headers = hdr,
		.upgrade = !log,
	};
	struct obuf target = OBUF_INIT;
	struct proxy *p;
	int r;

	p = OMEM_NEW(struct proxy);
	put_target(f, container, &target);
	if (!p || obuf_err(&target)) {
		omem_free(p);
		obuf_done(&target);
		front_error(f, 500, "InternalError", "out of memory");
		return;
	}
	p->f = f;
	q.target = obuf_cstr(&target);
	q.n_headers = log ? 0 : upgrade_headers(f, hdr, 31);
	hdr[q.n_headers++] = ohttp_header_cstr("Traceparent", f->traceparent);
	ohttp_on_close(f->req, on_close, p);
	r = ohttp_client_send(f->sh->kubelet, &q, &client_ops, p, &p->creq);
	obuf_done(&target);
	if (r < 0) {
		omem_free(p);
		front_error(f, 500, "InternalError", "the kubelet cannot be asked: %s", strerrordesc_np(-r));
	}
}

/* To kubelets: those that are being made, and those that are joined. */
static uint32_t streams_open(const struct ashard *sh)
{
	uint32_t n = sh->n_streams;

	OLIST_FOREACH(l, &sh->joined)
		n++;
	OLIST_FOREACH(l, &sh->ws_logs)
		n++;
	return n;
}

/* Who comes by the GET of a WebSocket must be one who may POST, since 1.35. False: answered with 403. */
static bool may_create(struct front *f)
{
	struct reg_attrs at = { { "create", 6 }, f->rt.group, f->rt.version, f->rt.resource,
		f->rt.sub, f->rt.ns, f->rt.name, { NULL, 0 }, { NULL, 0 } };
	char why[300] = "";

	if (f->rq.verb == REG_CREATE || hook_authorize(f->sh->a, f->sh->h, &f->who, &at, why, sizeof(why)) > 0)
		return true;
	front_error(f, 403, "Forbidden", "%.*s \"%.*s\" is forbidden: %s", OB(f->rt.resource), OB(f->rt.name), why);
	return false;
}

void proxy_begin(struct front *f)
{
	struct ashard *sh = f->sh;
	struct orlop_object *o;
	struct ojson *pod = NULL;
	const char *node;
	const char *container = NULL;
	char addr[128];
	char host[100];
	bool log = bytes_is(f->rt.sub, "log");

	if (log ? !podopts_log(f) : bytes_is(f->rt.sub, "portforward") && !podopts_ports(f))
		return;
	if (!log && !may_create(f))
		return;
	if (streams_open(sh) >= sh->a->max_streams && !in_group(&f->who, "system:masters")) {
		front_too_many(f, false);
		return;
	}
	f->stream = true;
	sh->n_streams++;
	metrics_longrunning(f);
	o = reg_peek(sh->reg, "pods", f->rt.ns, f->rt.name);
	if (!o || ojson_parse_members(o->json, &pod, NULL) < 0) {
		if (o)
			sh->h->object_unref(o);
		front_not_found(f, f->rt.name);
		return;
	}
	sh->h->object_unref(o);
	node = ojson_cstr(OJSON_AT(pod, "spec", "nodeName"), "");
	if (!bytes_is(f->rt.sub, "portforward") && (container = pick_container(f, pod)) == NULL)
		node = "";	/* answered */
	else if (!node[0] && log)
		front_text(f, 204, NULL, "", 0);	/* no log yet, as upstream */
	else if (!node[0])
		front_error(f, 400, "BadRequest", "pod %.*s does not have a host assigned", OB(f->rt.name));
	else if (!log && !ohttp_wants_upgrade(f->req, ""))
		front_error(f, 400, "BadRequest", "Upgrade request required");
	else if (!sh->kubelet)
		front_error(f, 503, "ServiceUnavailable", "this API server has no certificate for kubelets");
	else if (!proxy_kubelet_addr(sh, node, addr, sizeof(addr), host, sizeof(host)))
		front_error(f, 500, "InternalError", "no address is known of node %s", node);
	else
		ask(f, addr, host, container);
	ojson_unref(pod);
}
