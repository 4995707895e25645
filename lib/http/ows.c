/* The server side of WebSocket, RFC 6455. */
#include "ows.h"

#include "base/obuf.h"
#include "base/oenc.h"
#include "base/omem.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

#define MAX_MESSAGE	(1024u * 1024)

enum { OP_CONT = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

struct ows {
	struct ohttp_stream	*stream;	/* NULL in tests of the parser */
	const struct ows_ops	*ops;
	void			*arg;
	struct obuf		msg;		/* the message so far */
	size_t			max_bytes;
	uint64_t		left;		/* payload of the frame still to come */
	uint8_t			head[14];
	uint8_t			head_len;
	uint8_t			mask[4];
	uint8_t			opcode;		/* of the frame */
	uint8_t			type;		/* of the message, 0: none begun */
	bool			fin;
	uint32_t		at;		/* position in the mask */
	uint8_t			ctl[125];	/* payload of a control frame */
	uint8_t			ctl_len;
	bool			in_payload;
	bool			over;		/* closed() was called or the user closed */
	unsigned int		busy;
};

static void ws_free(struct ows *w)
{
	obuf_done(&w->msg);
	omem_free(w);
}

static void put_frame_head(struct obuf *b, int opcode, size_t len)
{
	obuf_putc(b, (char)(0x80 | opcode));
	if (len < 126) {
		obuf_putc(b, (char)len);
	} else if (len < 65536) {
		obuf_putc(b, 126);
		obuf_putc(b, (char)(len >> 8));
		obuf_putc(b, (char)len);
	} else {
		obuf_putc(b, 127);
		for (int i = 56; i >= 0; i -= 8)
			obuf_putc(b, (char)((uint64_t)len >> i));
	}
}

static int send_frame(struct ows *w, int opcode, const struct orlop_bytes *v, size_t n)
{
	struct obuf b = OBUF_INIT;
	size_t len = 0;
	int r;

	if (!w->stream)
		return 0;
	for (size_t i = 0; i < n; i++)
		len += v[i].len;
	put_frame_head(&b, opcode, len);
	for (size_t i = 0; i < n; i++)
		obuf_append(&b, v[i].p, v[i].len);
	r = obuf_err(&b) ? -ENOMEM : ohttp_stream_write(w->stream, b.data, b.len);
	obuf_done(&b);
	return r;
}

static void send_close(struct ows *w, int code, const char *reason)
{
	char two[2] = { (char)(code >> 8), (char)code };
	struct orlop_bytes v[2] = { { two, 2 }, { reason, strnlen(reason, 100) } };

	(void)send_frame(w, OP_CLOSE, v, code ? 2 : 0);
}

/* It ended from the other side, or because of what came from there. */
static void end(struct ows *w, int code)
{
	if (w->over)
		return;
	w->over = true;
	ohttp_stream_close(w->stream);
	w->stream = NULL;
	w->ops->closed(w->arg, code);
}

static int protocol_error(struct ows *w, int code, const char *why)
{
	send_close(w, code, why);
	end(w, code);
	return -EPROTO;
}

static int frame_begin(struct ows *w)
{
	uint8_t len7 = w->head[1] & 0x7f;
	size_t at = 2;
	bool control;

	w->fin = w->head[0] & 0x80;
	w->opcode = w->head[0] & 0x0f;
	control = w->opcode >= 8;
	w->left = len7;
	if (len7 >= 126) {
		size_t n = len7 == 126 ? 2 : 8;

		w->left = 0;
		for (size_t i = 0; i < n; i++)
			w->left = w->left << 8 | w->head[at++];
	}
	memcpy(w->mask, w->head + at, 4);
	w->at = 0;
	w->ctl_len = 0;
	w->head_len = 0;
	w->in_payload = true;
	if (w->head[0] & 0x70)
		return protocol_error(w, 1002, "reserved bits are set");
	if (control && (!w->fin || w->left > 125))
		return protocol_error(w, 1002, "control frame too long or in parts");
	if (w->opcode > OP_PONG || (w->opcode > OP_BINARY && w->opcode < OP_CLOSE))
		return protocol_error(w, 1002, "unknown opcode");
	if (!control && (w->opcode == OP_CONT) != (w->type != 0))
		return protocol_error(w, 1002, "fragments out of order");
	if (!control && w->opcode != OP_CONT)
		w->type = w->opcode;
	if (!control && (w->left > w->max_bytes || w->msg.len + w->left > w->max_bytes))
		return protocol_error(w, 1009, "message too big");
	return 0;
}

static int frame_end(struct ows *w)
{
	struct orlop_bytes v = { (const char *)w->ctl, w->ctl_len };
	int code;

	w->in_payload = false;
	switch (w->opcode) {
	case OP_PING:
		(void)send_frame(w, OP_PONG, &v, 1);
		return 0;
	case OP_PONG:
		return 0;
	case OP_CLOSE:
		code = w->ctl_len >= 2 ? w->ctl[0] << 8 | w->ctl[1] : 1005;
		if (w->ctl_len == 1 || (w->ctl_len >= 2 && (code < 1000 || code > 4999 ||
							    (code >= 1004 && code <= 1006) || code == 1015)))
			return protocol_error(w, 1002, "no such close code");
		send_close(w, w->ctl_len >= 2 ? code : 0, "");
		end(w, code);
		return 0;
	default:
		if (!w->fin)
			return 0;
		if (obuf_err(&w->msg))
			return protocol_error(w, 1011, "out of memory");
		code = w->type;
		w->type = 0;
		w->ops->message(w->arg, code, obuf_cstr(&w->msg), w->msg.len);
		if (w->msg.cap > 65536)
			obuf_done(&w->msg);
		else
			obuf_reset(&w->msg);
		return 0;
	}
}

static int feed(struct ows *w, const char *p, size_t len)
{
	size_t at = 0;
	int r;

	while (at < len && !w->over) {
		size_t n;

		if (!w->in_payload) {
			size_t need = 2;

			w->head[w->head_len++] = (uint8_t)p[at++];
			if (w->head_len >= 2) {
				uint8_t len7 = w->head[1] & 0x7f;

				if (!(w->head[1] & 0x80))
					return protocol_error(w, 1002, "frames of clients must be masked");
				need = 6u + (len7 == 126 ? 2u : len7 == 127 ? 8u : 0u);
			}
			if (w->head_len < need)
				continue;
			r = frame_begin(w);
			if (r < 0)
				return r;
		}
		n = len - at < w->left ? len - at : (size_t)w->left;
		if (w->opcode >= 8) {
			for (size_t i = 0; i < n; i++)
				w->ctl[w->ctl_len++] = (uint8_t)p[at + i] ^ w->mask[w->at++ & 3];
		} else if (n) {
			char *to = obuf_reserve(&w->msg, n);

			for (size_t i = 0; to && i < n; i++)
				to[i] = (char)((uint8_t)p[at + i] ^ w->mask[w->at++ & 3]);
			if (to)
				obuf_advance(&w->msg, n);
		}
		at += n;
		w->left -= n;
		if (w->left == 0) {
			r = frame_end(w);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int ows_feed(struct ows *w, const char *p, size_t len)
{
	int r;

	w->busy++;
	r = feed(w, p, len);
	w->busy--;
	if (w->over && w->busy == 0)
		ws_free(w);
	return r;
}

static void on_data(void *arg, const char *p, size_t len)
{
	(void)ows_feed(arg, p, len);
}

static void on_drained(void *arg)
{
	struct ows *w = arg;

	if (w->ops->drained)
		w->ops->drained(w->arg);
}

static void on_closed(void *arg, int err)
{
	struct ows *w = arg;

	(void)err;
	w->stream = NULL;
	w->busy++;
	end(w, 1006);
	w->busy--;
	ws_free(w);
}

static const struct ohttp_stream_ops stream_ops = {
	.data = on_data,
	.drained = on_drained,
	.closed = on_closed,
};

/* ---- handshake -------------------------------------------------------------------------------------- */

bool ows_wanted(const struct ohttp_req *r)
{
	struct orlop_bytes m = ohttp_method(r);

	return m.len == 3 && memcmp(m.p, "GET", 3) == 0 && ohttp_wants_upgrade(r, "websocket") &&
	       ohttp_header(r, "sec-websocket-key").len == 24 &&
	       ohttp_has_token(ohttp_header(r, "sec-websocket-version"), "13");
}

const char *ows_protocol(const struct ohttp_req *r, const char *const *offers)
{
	const struct ohttp_header *h;
	size_t n = ohttp_headers(r, &h);

	for (; *offers; offers++)
		for (size_t i = 0; i < n; i++)
			if (h[i].name.len == 22 && strncasecmp(h[i].name.p, "sec-websocket-protocol", 22) == 0 &&
			    ohttp_has_token(h[i].value, *offers))
				return *offers;
	return NULL;
}

static void accept_key(struct orlop_bytes key, char out[32])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char text[24 + sizeof(guid)];
	unsigned char sha[SHA_DIGEST_LENGTH];

	memcpy(text, key.p, 24);
	memcpy(text + 24, guid, sizeof(guid) - 1);
	SHA1(text, 24 + sizeof(guid) - 1, sha);
	(void)obase64_encode(OBASE64_STD, sha, sizeof(sha), out);
}

int ows_accept(struct ohttp_req *r, const char *protocol, size_t max_bytes, const struct ows_ops *ops,
	       void *arg, struct ows **ret)
{
	struct ohttp_header hdr[2];
	char key[32];
	struct ows *w;
	int e;

	if (!ows_wanted(r))
		return -EPROTO;
	w = OMEM_NEW(struct ows);
	if (!w)
		return -ENOMEM;
	w->ops = ops;
	w->arg = arg;
	w->max_bytes = max_bytes ? max_bytes : MAX_MESSAGE;
	accept_key(ohttp_header(r, "sec-websocket-key"), key);
	hdr[0] = ohttp_header_cstr("Sec-WebSocket-Accept", key);
	if (protocol)
		hdr[1] = ohttp_header_cstr("Sec-WebSocket-Protocol", protocol);
	e = ohttp_upgrade(r, "websocket", hdr, protocol ? 2 : 1, &stream_ops, w, &w->stream);
	if (!e)
		ohttp_stream_mind_peer(w->stream);
	if (e < 0) {
		omem_free(w);
		return e;
	}
	*ret = w;
	return 0;
}

int ows_send(struct ows *w, int type, const struct orlop_bytes *v, size_t n)
{
	return w->stream ? send_frame(w, type, v, n) : -EPIPE;
}

void ows_ping(struct ows *w)
{
	if (w->stream)
		(void)send_frame(w, 9, NULL, 0);
}

size_t ows_queued(const struct ows *w)
{
	return w->stream ? ohttp_stream_queued(w->stream) : 0;
}

void ows_pause(struct ows *w)
{
	if (w->stream)
		ohttp_stream_pause(w->stream);
}

void ows_resume(struct ows *w)
{
	if (w->stream)
		ohttp_stream_resume(w->stream);
}

void ows_close(struct ows *w, int code, const char *reason)
{
	if (!w || w->over)
		return;
	send_close(w, code, reason ? reason : "");
	w->over = true;
	ohttp_stream_close(w->stream);
	w->stream = NULL;
	if (w->busy == 0)
		ws_free(w);
}

int ows_new_for_test(size_t max_bytes, const struct ows_ops *ops, void *arg, struct ows **ret)
{
	struct ows *w = OMEM_NEW(struct ows);

	if (!w)
		return -ENOMEM;
	w->ops = ops;
	w->arg = arg;
	w->max_bytes = max_bytes;
	*ret = w;
	return 0;
}
