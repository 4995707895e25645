/* The server side of kubectl exec and attach. */
#include "oremote.h"
#include "ospdy.h"
#include "ows.h"

#include "base/obuf.h"
#include "base/oenc.h"
#include "base/omem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CH_STDIN, CH_STDOUT, CH_STDERR, CH_ERROR, CH_RESIZE, N_CH, CH_CLOSE = 255 };

#define RESIZE_MAX	256u

struct oremote {
	const struct oremote_ops	*ops;
	void				*arg;
	uint32_t			streams;
	struct ohttp_stream		*conn;		/* SPDY */
	struct ospdy			*spdy;
	struct ospdy_stream		*st[N_CH];
	struct ows			*ws;
	struct obuf			resize;		/* part of a JSON object */
	unsigned int			busy;
	bool				base64;		/* WebSocket: text messages for old browsers */
	bool				status;		/* v4 and later: a Status; before: plain text */
	bool				started;
	bool				input_ended;
	bool				over;
};

static void remote_free(struct oremote *m)
{
	if (m->busy)
		return;
	ospdy_free(m->spdy);
	obuf_done(&m->resize);
	omem_free(m);
}

static uint32_t wanted(const struct oremote *m)
{
	uint32_t ch = 1u << CH_ERROR;

	if (m->streams & OREMOTE_STDIN)
		ch |= 1u << CH_STDIN;
	if (m->streams & OREMOTE_STDOUT)
		ch |= 1u << CH_STDOUT;
	if (m->streams & OREMOTE_STDERR && !(m->streams & OREMOTE_TTY))
		ch |= 1u << CH_STDERR;
	return ch;	/* resize may come or not: old clients have none */
}

static void gone(struct oremote *m)
{
	if (m->over)
		return;
	m->over = true;
	m->ops->closed(m->arg);
}

static unsigned int number(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	unsigned long v;

	if (!at)
		return 0;
	at += strlen(key);
	while (*at == '"' || *at == ':' || *at == ' ')
		at++;
	v = strtoul(at, NULL, 10);
	return v > 65535 ? 65535 : (unsigned int)v;
}

/* {"Width":80,"Height":24}, one after the other, cut anywhere. */
static void on_resize(struct oremote *m, const char *p, size_t len)
{
	for (size_t i = 0; i < len && !m->over; i++) {
		if (m->resize.len < RESIZE_MAX)
			obuf_putc(&m->resize, p[i]);
		if (p[i] != '}')
			continue;
		if (m->ops->resize)
			m->ops->resize(m->arg, number(obuf_cstr(&m->resize), "\"Width\""),
				       number(obuf_cstr(&m->resize), "\"Height\""));
		obuf_reset(&m->resize);
	}
}

static void on_input(struct oremote *m, int ch, const char *p, size_t len, bool end)
{
	if (m->over)
		return;
	if (ch == CH_RESIZE) {
		on_resize(m, p, len);
		return;
	}
	if (ch != CH_STDIN || !(m->streams & OREMOTE_STDIN) || m->input_ended)
		return;
	if (len)
		m->ops->input(m->arg, p, len);
	if (end && !m->over) {
		m->input_ended = true;
		m->ops->input_end(m->arg);
	}
}

/* ---- SPDY ---------------------------------------------------------------------------------------------- */

static int spdy_send(void *arg, const char *p, size_t len)
{
	struct oremote *m = arg;

	return m->conn ? ohttp_stream_write(m->conn, p, len) : -EPIPE;
}

static int spdy_open(void *arg, struct ospdy_stream *st, const struct ohttp_header *hdr, size_t n)
{
	static const char *const names[N_CH] = { "stdin", "stdout", "stderr", "error", "resize" };
	struct orlop_bytes type = ospdy_stream_header(st, "streamtype");
	struct oremote *m = arg;

	(void)hdr;
	(void)n;
	for (int i = 0; i < N_CH; i++) {
		if (!type.p || type.len != strlen(names[i]) || memcmp(type.p, names[i], type.len) != 0)
			continue;
		if (m->st[i])
			return -EEXIST;
		m->st[i] = st;
		ospdy_stream_set_user(st, (void *)(uintptr_t)(i + 1));
		return 0;
	}
	return -EINVAL;
}

/* Not from spdy_open(): the stream's SYN_REPLY must be out before its first data. */
static void start_if_complete(struct oremote *m)
{
	uint32_t want = wanted(m);
	uint32_t have = 0;

	if (m->started || m->over)
		return;
	for (int i = 0; i < N_CH; i++)
		have |= m->st[i] ? 1u << i : 0;
	if ((have & want) != want)
		return;
	m->started = true;
	m->ops->start(m->arg);
}

static void spdy_data(void *arg, struct ospdy_stream *st, const char *p, size_t len, bool fin)
{
	start_if_complete(arg);
	on_input(arg, (int)(uintptr_t)ospdy_stream_user(st) - 1, p, len, fin);
}

static void spdy_reset(void *arg, struct ospdy_stream *st)
{
	struct oremote *m = arg;
	int ch = (int)(uintptr_t)ospdy_stream_user(st) - 1;

	m->st[ch] = NULL;
	if (ch == CH_STDIN)
		on_input(m, CH_STDIN, "", 0, true);
}

static void spdy_ended(void *arg, int err)
{
	struct oremote *m = arg;

	(void)err;
	ohttp_stream_close(m->conn);
	m->conn = NULL;
	gone(m);
}

static const struct ospdy_ops spdy_ops = { spdy_send, spdy_open, spdy_data, spdy_reset, spdy_ended };

static void conn_data(void *arg, const char *p, size_t len)
{
	struct oremote *m = arg;

	m->busy++;
	(void)ospdy_feed(m->spdy, p, len);
	start_if_complete(m);
	m->busy--;
	if (m->over)
		remote_free(m);
}

static void conn_drained(void *arg)
{
	struct oremote *m = arg;

	if (!m->over && m->ops->writable)
		m->ops->writable(m->arg);
}

static void conn_closed(void *arg, int err)
{
	struct oremote *m = arg;

	(void)err;
	m->conn = NULL;
	m->busy++;
	gone(m);
	m->busy--;
	remote_free(m);
}

static const struct ohttp_stream_ops conn_ops = { .data = conn_data, .drained = conn_drained, .closed = conn_closed };

static int accept_spdy(struct ohttp_req *r, struct oremote *m)
{
	static const char *const known[] = { "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io",
		"channel.k8s.io", NULL };
	struct ohttp_header out = { { "X-Stream-Protocol-Version", 25 }, { NULL, 0 } };
	const struct ohttp_header *h;
	size_t n = ohttp_headers(r, &h);
	bool any = false;
	int e;

	for (const char *const *k = known; *k && !out.value.p; k++)
		for (size_t i = 0; i < n && !out.value.p; i++) {
			if (h[i].name.len != 25 || strncasecmp(h[i].name.p, "x-stream-protocol-version", 25) != 0)
				continue;
			any = true;
			if (ohttp_has_token(h[i].value, *k)) {
				out.value = (struct orlop_bytes){ *k, strlen(*k) };
				m->status = k == known;
			}
		}
	if (any && !out.value.p) {
		struct ohttp_header refuse = OHTTP_HEADER("X-Accepted-Stream-Protocol-Versions", "v4.channel.k8s.io");

		ohttp_reply(r, 403, &refuse, 1, NULL, 0);
		return -EPROTO;
	}
	if (ospdy_new(&spdy_ops, m, &m->spdy) < 0)
		return -ENOMEM;
	e = ohttp_upgrade(r, "SPDY/3.1", &out, out.value.p ? 1 : 0, &conn_ops, m, &m->conn);
	if (!e)
		ohttp_stream_mind_peer(m->conn);
	return e;
}

/* ---- WebSocket -------------------------------------------------------------------------------------------- */

static void ws_message(void *arg, int type, const char *p, size_t len)
{
	struct oremote *m = arg;
	unsigned char ch = len ? (unsigned char)(p[0] - (m->base64 ? '0' : 0)) : CH_ERROR;
	char *raw = m->base64 && len ? omem_alloc(OBASE64_DECODED(len) + 1) : NULL;
	long n = raw ? obase64_decode(OBASE64_STD, p + 1, len - 1, raw, NULL) : -1;

	(void)type;
	m->busy++;
	if (m->base64 && n < 0 && len) {
		/* part of what was typed would be missing */
		ows_close(m->ws, raw ? 1007 : 1011, "");
		m->ws = NULL;
		gone(m);
	} else if (m->base64) {
		if (ch == CH_STDIN || ch == CH_RESIZE)
			on_input(m, ch, raw, (size_t)n, false);
	} else if (ch == CH_CLOSE && len == 2 && p[1] == CH_STDIN) {
		on_input(m, CH_STDIN, "", 0, true);
	} else if (ch == CH_STDIN || ch == CH_RESIZE) {
		on_input(m, ch, p + 1, len - 1, false);
	}
	omem_free(raw);
	m->busy--;
	if (m->over)
		remote_free(m);
}

static void ws_closed(void *arg, int code)
{
	struct oremote *m = arg;

	(void)code;
	m->ws = NULL;
	m->busy++;
	gone(m);
	m->busy--;
	remote_free(m);
}

static const struct ows_ops ws_ops = { .message = ws_message, .drained = conn_drained, .closed = ws_closed };

static int ws_channel(struct oremote *m, unsigned char ch, const void *p, size_t len)
{
	struct orlop_bytes v[2] = { { (const char *)&ch, 1 }, { p, len } };
	char *text;
	int e;

	if (!m->ws)
		return -EPIPE;
	if (!m->base64)
		return ows_send(m->ws, OWS_BINARY, v, 2);
	text = omem_alloc(OBASE64_ENCODED(len) + 1);
	if (!text)
		return -ENOMEM;
	ch = (unsigned char)(ch + '0');
	v[1] = (struct orlop_bytes){ text, obase64_encode(OBASE64_STD, p, len, text) };
	e = ows_send(m->ws, OWS_TEXT, v, 2);
	omem_free(text);
	return e;
}

static int accept_ws(struct ohttp_req *r, struct oremote *m)
{
	static const char *const known[] = { "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
		"channel.k8s.io", "base64.channel.k8s.io", NULL };
	const char *protocol = ows_protocol(r, known);
	int e;

	/* who names none speaks the first version */
	if (!protocol && ohttp_header(r, "sec-websocket-protocol").p) {
		ohttp_reply_text(r, 403, "text/plain", "no protocol in common", 21);
		return -EPROTO;
	}
	m->status = protocol && protocol[0] == 'v';
	m->base64 = protocol && strstr(protocol, "base64") != NULL;
	e = ows_accept(r, protocol, 0, &ws_ops, m, &m->ws);
	if (e < 0)
		return e;
	/* An empty message tells the client that we are there. */
	(void)ws_channel(m, m->streams & OREMOTE_STDOUT ? CH_STDOUT : CH_ERROR, "", 0);
	return 0;
}

/* ---- outside ------------------------------------------------------------------------------------------------ */

int oremote_accept(struct ohttp_req *r, uint32_t streams, const struct oremote_ops *ops, void *arg,
		   struct oremote **ret)
{
	bool ws = ows_wanted(r);
	struct oremote *m;
	int e;

	if (!ws && !ohttp_wants_upgrade(r, "SPDY/3.1")) {
		ohttp_reply_text(r, 400, "text/plain", "Upgrade request required", 24);
		return -EPROTO;
	}
	m = OMEM_NEW(struct oremote);
	if (!m)
		return -ENOMEM;
	m->ops = ops;
	m->arg = arg;
	m->streams = streams;
	obuf_init(&m->resize);
	e = ws ? accept_ws(r, m) : accept_spdy(r, m);
	if (e < 0) {
		remote_free(m);
		return e;
	}
	m->started = ws;
	*ret = m;
	return ws;
}

int oremote_write(struct oremote *m, uint32_t stream, const void *p, size_t len)
{
	int ch = stream == OREMOTE_STDERR ? CH_STDERR : CH_STDOUT;

	if (m->over || len == 0)
		return m->over ? -EPIPE : 0;
	if (m->ws)
		return ws_channel(m, (unsigned char)ch, p, len);
	return m->st[ch] ? ospdy_write(m->st[ch], p, len, false) : 0;
}

size_t oremote_queued(const struct oremote *m)
{
	return m->ws ? ows_queued(m->ws) : m->conn ? ohttp_stream_queued(m->conn) : 0;
}

void oremote_pause(struct oremote *m)
{
	if (m->ws)
		ows_pause(m->ws);
	else if (m->conn)
		ohttp_stream_pause(m->conn);
}

void oremote_ping(struct oremote *m)
{
	if (m->ws)
		ows_ping(m->ws);
	else if (m->conn)
		ospdy_ping(m->spdy);
}

void oremote_resume(struct oremote *m)
{
	if (m->ws)
		ows_resume(m->ws);
	else if (m->conn)
		ohttp_stream_resume(m->conn);
}

static void put_status(const struct oremote *m, int code, const char *why, struct obuf *b)
{
	if (!m->status) {
		if (code > 0)
			obuf_printf(b, "command terminated with non-zero exit code: %d", code);
		else if (code < 0)
			obuf_puts(b, why ? why : "");
		return;
	}
	if (code == 0) {
		obuf_puts(b, "{\"metadata\":{},\"status\":\"Success\"}");
	} else if (code > 0) {
		obuf_printf(b, "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"command terminated with non-zero exit code: "
			    "exit code %d\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\","
			    "\"message\":\"%d\"}]}}", code, code);
	} else {
		char *message = omem_printf("Internal error occurred: %s", why ? why : "");

		obuf_puts(b, "{\"metadata\":{},\"status\":\"Failure\",\"message\":");
		obuf_put_json_cstr(b, message ? message : "");
		omem_free(message);
		obuf_puts(b, ",\"reason\":\"InternalError\",\"details\":{\"causes\":[{\"message\":");
		obuf_put_json_cstr(b, why ? why : "");
		obuf_puts(b, "}]},\"code\":500}");
	}
}

void oremote_exit(struct oremote *m, int code, const char *why)
{
	struct obuf b = OBUF_INIT;

	if (m->over)
		return;
	m->over = true;
	put_status(m, code, why, &b);
	if (m->ws) {
		(void)ws_channel(m, CH_ERROR, obuf_cstr(&b), b.len);
		ows_close(m->ws, 1000, "");
		m->ws = NULL;
	} else if (m->conn) {
		if (m->st[CH_ERROR])
			(void)ospdy_write(m->st[CH_ERROR], obuf_cstr(&b), b.len, true);
		for (int i = CH_STDOUT; i <= CH_STDERR; i++)
			if (m->st[i])
				(void)ospdy_write(m->st[i], "", 0, true);
		ospdy_goaway(m->spdy);
		ohttp_stream_close(m->conn);
		m->conn = NULL;
	}
	obuf_done(&b);
	remote_free(m);
}

void oremote_abort(struct oremote *m)
{
	if (!m)
		return;
	m->over = true;
	if (m->ws)
		ows_close(m->ws, 1011, "");
	else
		ohttp_stream_abort(m->conn);
	m->ws = NULL;
	m->conn = NULL;
	remote_free(m);
}
