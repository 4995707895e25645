/*
 * A server on real sockets for tests: what it answers, how it is started.
 */
#ifndef OLIB_HTTP_TEST_SERVERKIT_H
#define OLIB_HTTP_TEST_SERVERKIT_H

#include "http/ohttp.h"

#include "base/obuf.h"
#include "base/ofile.h"
#include "base/omem.h"
#include "base/otap.h"
#include "pollhost.h"
#include "tls/otls.h"

static char dir[] = "/tmp/orlop-http-XXXXXX";
static char addr[64];
static struct ohttp_server *srv;
static int n_closed;
static int n_streams;
static struct ohttp_req *stream_req;

/* ---- the handler --------------------------------------------------------------------------------- */

static bool is(struct orlop_bytes b, const char *s)
{
	return b.len == strlen(s) && memcmp(b.p, s, b.len) == 0;
}

static void text(struct ohttp_req *r, int status, const char *s)
{
	ohttp_reply_text(r, status, "text/plain", s, strlen(s));
}

static void echo_body(void *arg, struct ohttp_req *r, int status, struct orlop_bytes body)
{
	(void)arg;
	if (status == 0)
		ohttp_reply_text(r, 200, "application/octet-stream", body.p, body.len);
}

static void on_close(void *arg, struct ohttp_req *r)
{
	(void)arg;
	if (stream_req == r)
		stream_req = NULL;
	n_closed++;
}

static void more(void *arg, struct ohttp_req *r);

/* 3 MB in pieces, never more than 64 KB waiting. */
static void pour(struct ohttp_req *r)
{
	static char block[8192];
	size_t left = (size_t)(uintptr_t)ohttp_user(r);

	memset(block, 'x', sizeof(block));
	while (left && ohttp_queued(r) < 65536) {
		(void)ohttp_write_copy(r, block, sizeof(block));
		left -= sizeof(block);
	}
	ohttp_set_user(r, (void *)(uintptr_t)left);
	if (left)
		ohttp_on_writable(r, 16384, more, NULL);
	else
		ohttp_end(r);
}

static void more(void *arg, struct ohttp_req *r)
{
	(void)arg;
	pour(r);
}

static struct ohttp_stream *up;

static void up_data(void *arg, const char *p, size_t len)
{
	(void)arg;
	(void)ohttp_stream_write(up, p, len);
}

static void up_eof(void *arg)
{
	(void)arg;
	ohttp_stream_shutdown(up);
}

static void up_closed(void *arg, int err)
{
	(void)arg;
	(void)err;
	up = NULL;
}

static const struct ohttp_stream_ops up_ops = { .data = up_data, .eof = up_eof, .closed = up_closed };

static int released;

static void release(void *arg)
{
	(void)arg;
	released++;
}

static void spoil(void *arg)
{
	memset(arg, 'z', 2 * 16384 + 100);
}

static struct ohttp_req *several[8];
static uint32_t n_several;

static void on_request(void *arg, struct ohttp_req *r)
{
	static char big[300000];
	struct orlop_bytes path = ohttp_path(r);
	struct ohttp_header type = OHTTP_HEADER("Content-Type", "text/plain");

	(void)arg;
	ohttp_on_close(r, on_close, NULL);
	if (is(path, "/who")) {
		const struct otls_peer *p = ohttp_peer(r);
		char buf[256];

		snprintf(buf, sizeof(buf), "%.*s %.*s %d %s", p ? (int)p->cn.len : 0, p ? p->cn.p : "",
			 p && p->n_orgs ? (int)p->orgs[0].len : 0, p && p->n_orgs ? p->orgs[0].p : "",
			 p ? p->verified : -1, p ? p->error : "");
		text(r, 200, buf);
	} else if (is(path, "/echo")) {
		ohttp_body_read(r, 100000, echo_body, NULL);
	} else if (is(path, "/big")) {
		struct ohttp_piece piece = { big, sizeof(big), release, NULL };

		memset(big, 'a', sizeof(big));
		ohttp_reply_gzip(r, 200, &type, 1, &piece, 1, 128 * 1024);
	} else if (is(path, "/pour")) {
		ohttp_set_user(r, (void *)(uintptr_t)(3 * 1024 * 1024));
		ohttp_reply_start(r, 200, &type, 1);
		pour(r);
	} else if (is(path, "/watch")) {
		n_streams++;
		stream_req = r;
		ohttp_reply_start(r, 200, &type, 1);
		(void)ohttp_write_copy(r, "first\n", 6);
	} else if (is(path, "/lent")) {
		/* The last piece's release stands for the first too, most of which is in frames before. */
		static char lent[2 * 16384 + 100];
		struct ohttp_piece v[2] = { { lent, sizeof(lent), NULL, NULL }, { "b", 1, spoil, lent } };

		memset(lent, 'a', sizeof(lent));
		ohttp_reply_start(r, 200, &type, 1);
		(void)ohttp_write(r, v, 2);
		ohttp_end(r);
	} else if (is(path, "/several")) {
		ohttp_reply_start(r, 200, &type, 1);
		several[n_several++ % 8] = r;
	} else if (is(path, "/up")) {
		if (ohttp_upgrade(r, "echo", NULL, 0, &up_ops, NULL, &up) < 0)
			text(r, 400, "no upgrade");
	} else if (is(path, "/split")) {
		struct ohttp_header split = OHTTP_HEADER("X", "a\r\nEvil: b\0c");
		struct ohttp_piece piece = { "", 0, NULL, NULL };

		ohttp_reply(r, 200, &split, 1, &piece, 1);
	} else if (is(path, "/hang")) {
		/* answered never */
	} else {
		text(r, 200, "hello\n");
	}
}

/* ---- helpers --------------------------------------------------------------------------------------- */

static bool no_conns(void *arg)
{
	struct ohttp_server_stats st;

	(void)arg;
	ohttp_server_stats(srv, &st);
	return st.open == 0;
}

static void start(struct otls_ctx *tls, struct ohttp_server_config *cfg)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	cfg->h = &ph_host;
	cfg->listen = "127.0.0.1:0";
	cfg->tls = tls;
	cfg->on_request = on_request;
	if (ohttp_server_new(cfg, &srv, &err) < 0)
		otap_bail_out(err.msg);
	ohttp_server_addr(srv, addr, sizeof(addr));
}

static void stop(void)
{
	ohttp_server_free(srv);
	srv = NULL;
	ph_reap();
}

/* Once, at the beginning and at the end. */
static void world_begin(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		otap_bail_out("mkdtemp");
}

static void world_end(void)
{
	(void)ofile_remove_tree(AT_FDCWD, dir);
	for (int i = 0; i < 3; i++)
		ph_turn(0);
	ph_reap();
}

#endif
