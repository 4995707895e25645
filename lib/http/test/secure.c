/*
 * The server over TLS: who asks, both protocols, our own client, and one that floods it with resets.
 */
#include "serverkit.h"

#include "http/internal.h"
#include "http/oclient.h"
#include "pki/opki.h"

/* ---- programs that ask it ---------------------------------------------------------------------------- */

struct child {
	pid_t		pid;
	int		fd;
	struct obuf	out;
	bool		eof;
};

static bool child_done(void *arg)
{
	struct child *c = arg;
	char buf[65536];
	ssize_t n;

	while ((n = read(c->fd, buf, sizeof(buf))) > 0)
		obuf_append(&c->out, buf, (size_t)n);
	if (n == 0)
		c->eof = true;
	return c->eof;
}

/* Starts a command; its output comes into @c->out. */
__attribute__((format(printf, 2, 0)))
static bool begin_v(struct child *c, const char *fmt, va_list ap)
{
	char cmd[2048];
	int p[2];

	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	memset(c, 0, sizeof(*c));
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	c->pid = fork();
	if (c->pid == 0) {
		dup2(p[1], 1);
		signal(SIGPIPE, SIG_DFL);
		execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
		_exit(127);
	}
	close(p[1]);
	c->fd = p[0];
	return true;
}

__attribute__((format(printf, 2, 3)))
static void begin(struct child *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!begin_v(c, fmt, ap))
		otap_bail_out("pipe");
	va_end(ap);
}

/* Its end, while the loop goes on. Returns the exit code. */
static int finish(struct child *c)
{
	int st = 0;

	if (!ph_until(child_done, c))
		(void)kill(c->pid, SIGKILL);
	close(c->fd);
	waitpid(c->pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

static bool says_first(void *arg)
{
	struct child *c = arg;

	return child_done(c) || strstr(obuf_cstr(&c->out), "first\n");
}

/* Both. */
__attribute__((format(printf, 2, 3)))
static int run(struct child *c, const char *fmt, ...)
{
	va_list ap;
	bool runs;

	va_start(ap, fmt);
	runs = begin_v(c, fmt, ap);
	va_end(ap);
	return runs ? finish(c) : -1;
}

static struct otls_ctx *make_tls(void)
{
	struct opki_cert_spec ca_spec = { .cn = "ca", .use = OPKI_CERT_CA, .now = time(NULL) };
	const char *const sans[] = { "localhost", "127.0.0.1", NULL };
	const char *const orgs[] = { "system:masters", NULL };
	struct opki_cert_spec srv_spec = { .cn = "server", .sans = sans, .use = OPKI_CERT_SERVER, .now = time(NULL) };
	struct opki_cert_spec cl_spec = { .cn = "admin", .orgs = orgs, .use = OPKI_CERT_CLIENT, .now = time(NULL) };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct opki_key *ca_key = NULL, *bad_key = NULL;
	struct opki_cert *ca = NULL, *bad_ca = NULL;
	struct obuf b = OBUF_INIT;
	struct otls_ctx *tls = NULL, *first = NULL;
	char crt[128], key[128], cap[128];

	if (opki_key_new(&ca_key) || opki_cert_new(&ca_spec, ca_key, NULL, NULL, &ca) ||
	    opki_key_new(&bad_key) || opki_cert_new(&ca_spec, bad_key, NULL, NULL, &bad_ca) ||
	    opki_issue_files(dir, "srv", &srv_spec, ca, ca_key, &err) ||
	    opki_issue_files(dir, "admin", &cl_spec, ca, ca_key, &err) ||
	    opki_issue_files(dir, "bad", &cl_spec, bad_ca, bad_key, &err))
		otap_bail_out(err.msg);
	snprintf(cap, sizeof(cap), "%s/ca.crt", dir);
	opki_cert_pem(ca, &b);
	ofile_write(AT_FDCWD, cap, b.data, b.len, 0644);
	obuf_done(&b);
	snprintf(crt, sizeof(crt), "%s/srv.crt", dir);
	snprintf(key, sizeof(key), "%s/srv.key", dir);
	if (otls_server_new(&(struct otls_config){ .cert_path = crt, .key_path = key, .ca_path = cap, .h2 = 1 },
			    &first, &err) < 0)
		otap_bail_out(err.msg);
	is_int(otls_ctx_share(first, &tls), 0, "a share of it");
	ok(otls_ctx_is_server(tls), "is one like it");
	ok(otls_server_new(&(struct otls_config){ .cert_path = "/none", .key_path = key }, &(struct otls_ctx *){ NULL },
			   &err) < 0 && strstr(err.msg, "/none"), "a missing certificate is named: %s", err.msg);
	is_int(otls_reload_if_changed(tls, &err), 0, "nothing to reload");
	(void)opki_issue_files(dir, "srv", &srv_spec, ca, ca_key, &err);
	is_int(otls_reload_if_changed(first, &err), 1, "a new certificate is taken up");
	is_int(otls_reload_if_changed(first, &err), 0, "once");
	is_int(otls_reload_if_changed(tls, &err), 1, "by each share");
	otls_ctx_free(first);
	opki_key_free(ca_key);
	opki_key_free(bad_key);
	opki_cert_free(ca);
	opki_cert_free(bad_ca);
	return tls;
}

/* ---- the client -------------------------------------------------------------------------------------- */

struct answer {
	struct obuf	body;
	int		status;
	int		err;
	bool		over;
	char		why[200];
	struct ohttp_stream *s;
};

static void cl_head(void *arg, struct ohttp_creq *r, const struct ohttp_response *res)
{
	(void)r;
	((struct answer *)arg)->status = res->status;
}

static void cl_data(void *arg, struct ohttp_creq *r, const char *p, size_t len)
{
	(void)r;
	obuf_append(&((struct answer *)arg)->body, p, len);
}

static void cl_end(void *arg, struct ohttp_creq *r, int err, const char *why)
{
	struct answer *a = arg;

	(void)r;
	a->err = err;
	a->over = true;
	snprintf(a->why, sizeof(a->why), "%s", why);
}

static void cs_data(void *arg, const char *p, size_t len)
{
	obuf_append(&((struct answer *)arg)->body, p, len);
}

static void cs_closed(void *arg, int err)
{
	struct answer *a = arg;

	(void)err;
	a->s = NULL;
	a->over = true;
}

static const struct ohttp_stream_ops cs_ops = { .data = cs_data, .closed = cs_closed };

static void cl_up(void *arg, struct ohttp_creq *r, struct ohttp_stream *take_s)
{
	struct answer *a = arg;

	(void)r;
	a->s = take_s;
	ohttp_stream_set(take_s, &cs_ops, a);
	ohttp_stream_resume(take_s);
	(void)ohttp_stream_write(take_s, "ping", 4);
}

static const struct ohttp_client_ops cl_ops = { cl_head, cl_data, cl_up, cl_end };

static bool over(void *arg)
{
	return ((struct answer *)arg)->over;
}

static bool has_ping(void *arg)
{
	struct answer *a = arg;

	return a->over || strstr(obuf_cstr(&a->body), "ping");
}

static void ask(struct ohttp_client *c, struct answer *a, struct ohttp_client_request *q)
{
	struct ohttp_creq *r;

	obuf_done(&a->body);
	memset(a, 0, sizeof(*a));
	q->addr = addr;
	is_int(ohttp_client_send(c, q, &cl_ops, a, &r), 0, "client asks %s %s", q->method, q->target);
	(void)ph_until(q->upgrade ? has_ping : over, a);
}

static void test_client(struct otls_ctx *server_tls)
{
	struct ohttp_server_config cfg = { 0 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct ohttp_server_stats st;
	struct otls_ctx *tls = NULL;
	struct ohttp_client *c = NULL;
	struct answer a = { 0 };
	char crt[128], key[128], cap[128];

	start(server_tls, &cfg);
	snprintf(crt, sizeof(crt), "%s/admin.crt", dir);
	snprintf(key, sizeof(key), "%s/admin.key", dir);
	snprintf(cap, sizeof(cap), "%s/ca.crt", dir);
	is_int(otls_client_new(&(struct otls_config){ .cert_path = crt, .key_path = key, .ca_path = cap }, &tls, &err),
	       0, "client context");
	is_int(ohttp_client_new(&ph_host, tls, &c), 0, "client");
	ask(c, &a, &(struct ohttp_client_request){ .method = "GET", .target = "/who" });
	is_str(obuf_cstr(&a.body), "admin system:masters 1 ", "identity over the client");
	ask(c, &a, &(struct ohttp_client_request){ .method = "POST", .target = "/echo", .body = { "abc", 3 } });
	is_str(obuf_cstr(&a.body), "abc", "posted");
	ask(c, &a, &(struct ohttp_client_request){ .method = "GET", .target = "/pour" });
	is_int(a.body.len, 3 * 1024 * 1024, "a chunked stream");
	ohttp_server_stats(srv, &st);
	is_int(st.connections, 1, "all on one connection");
	ask(c, &a, &(struct ohttp_client_request){ .method = "GET", .target = "/up", .upgrade = true,
		.headers = (struct ohttp_header[]){ OHTTP_HEADER("Connection", "Upgrade"), OHTTP_HEADER("Upgrade", "echo") },
		.n_headers = 2 });
	is_int(a.status, 101, "upgraded");
	is_str(obuf_cstr(&a.body), "ping", "bytes through the upgraded stream");
	ohttp_stream_close(a.s);
	a.s = NULL;
	ask(c, &a, &(struct ohttp_client_request){ .method = "GET", .target = "/who", .tls_name = "wrong.example" });
	ok(a.err < 0 && strstr(a.why, "ertificate"), "wrong name is refused: %s", a.why);
	ohttp_client_free(c);
	otls_ctx_free(tls);
	obuf_done(&a.body);
	for (int i = 0; i < 20; i++)
		ph_turn(10);
	stop();
}

static void test_tls(struct otls_ctx *tls)
{
	struct ohttp_server_config cfg = { 0 };
	struct ohttp_server_stats st;
	char curl[512];
	struct child c;

	start(tls, &cfg);
	snprintf(curl, sizeof(curl), "curl -sS --max-time 40 --cacert %s/ca.crt", dir);
	for (int h2 = 0; h2 < 2; h2++) {
		const char *v = h2 ? "--http2" : "--http1.1";

		run(&c, "%s %s --cert %s/admin.crt --key %s/admin.key https://%s/who 2>&1", curl, v, dir, dir, addr);
		is_str(obuf_cstr(&c.out), "admin system:masters 1 ", "client certificate, %s", v);
		obuf_done(&c.out);
		run(&c, "%s %s https://%s/who 2>&1", curl, v, addr);
		is_str(obuf_cstr(&c.out), "  -1 ", "none, %s", v);
		obuf_done(&c.out);
		run(&c, "%s %s --cert %s/bad.crt --key %s/bad.key https://%s/who 2>&1", curl, v, dir, dir, addr);
		ok(strncmp(obuf_cstr(&c.out), "admin system:masters 0 ", 23) == 0 && c.out.len > 30,
		   "a foreign one is seen as such: %s", obuf_cstr(&c.out));
		obuf_done(&c.out);
		run(&c, "head -c 90000 /dev/zero | %s %s --data-binary @- https://%s/echo | wc -c", curl, v, addr);
		is_int(atoi(obuf_cstr(&c.out)), 90000, "body there and back, %s", v);
		obuf_done(&c.out);
		run(&c, "head -c 3000000 /dev/zero | %s %s -o /dev/null -w '%%{http_code}' --data-binary @- https://%s/echo 2>/dev/null",
		    curl, v, addr);
		is_str(obuf_cstr(&c.out), "413", "body too large, %s", v);
		obuf_done(&c.out);
		released = 0;
		run(&c, "%s %s https://%s/big | wc -c; %s %s -H 'Accept-Encoding: gzip' https://%s/big | gzip -d | wc -c; "
		    "%s %s --compressed -so /dev/null -w '%%{size_download}' https://%s/big",
		    curl, v, addr, curl, v, addr, curl, v, addr);
		ok(strncmp(obuf_cstr(&c.out), "300000\n300000\n", 14) == 0 && atoi(obuf_cstr(&c.out) + 14) < 5000,
		   "gzip, %s: %s", v, obuf_cstr(&c.out));
		is_int(released, 3, "each piece released once");
		obuf_done(&c.out);
		run(&c, "%s %s https://%s/pour | wc -c", curl, v, addr);
		is_int(atoi(obuf_cstr(&c.out)), 3 * 1024 * 1024, "stream with back-pressure, %s", v);
		obuf_done(&c.out);
		run(&c, "%s %s -I https://%s/big | grep -i content-length | tr -d '\\r'", curl, v, addr);
		ok(strcasecmp(obuf_cstr(&c.out), "content-length: 300000\n") == 0, "HEAD, %s", v);
		obuf_done(&c.out);
		n_closed = 0;
		begin(&c, "exec %s %s -N https://%s/watch 2>/dev/null", curl, v, addr);
		(void)ph_until(says_first, &c);
		(void)kill(c.pid, SIGTERM);
		(void)finish(&c);
		is_str(obuf_cstr(&c.out), "first\n", "watch, %s", v);
		obuf_done(&c.out);
		(void)ph_until(no_conns, NULL);
		is_int(n_closed, 1, "its end is told, %s", v);
	}
	run(&c, "%s --http2 https://%s/lent | tr -d a", curl, addr);
	is_str(obuf_cstr(&c.out), "b", "what is lent stays as it is until all of it is sent");
	obuf_done(&c.out);
	run(&c, "%s --tls-max 1.2 https://%s/ 2>/dev/null || echo refused", curl, addr);
	is_str(obuf_cstr(&c.out), "refused\n", "TLS 1.2 is refused");
	obuf_done(&c.out);
	if (system("command -v h2load >/dev/null") == 0) {
		run(&c, "h2load -n 5000 -c 4 -m 100 https://%s/ 2>/dev/null | grep 'status codes'", addr);
		ok(strstr(obuf_cstr(&c.out), "5000 2xx") != NULL, "h2load: %s", obuf_cstr(&c.out));
		obuf_done(&c.out);
		run(&c, "h2load -n 200 -c 2 -m 20 https://%s/big 2>/dev/null | grep 'status codes'", addr);
		ok(strstr(obuf_cstr(&c.out), "200 2xx") != NULL, "h2load big: %s", obuf_cstr(&c.out));
		obuf_done(&c.out);
	} else {
		otap_skip("no h2load", 2);
	}
	(void)ph_until(no_conns, NULL);
	ohttp_server_stats(srv, &st);
	is_int(st.active, 0, "no request is left");
	ok(st.tls_failed >= 1, "failed handshakes are counted");
	stop();
}

/* ---- many streams told at once --------------------------------------------------------------------------- */

static bool all_asked(void *arg)
{
	(void)arg;
	return n_several == 8;
}

static void test_hold(struct otls_ctx *tls)
{
	struct ohttp_server_config cfg = { 0 };
	struct ohttp_server_stats st;
	struct oconn *conn;
	struct child c;
	uint64_t sent;

	start(tls, &cfg);
	n_several = 0;
	begin(&c, "curl -sN --max-time 40 --cacert %s/ca.crt --http2 --parallel --parallel-max 8 'https://%s/several?[1-8]' 2>/dev/null", dir, addr);
	(void)ph_until(all_asked, NULL);
	ohttp_server_stats(srv, &st);
	is_int(st.open, 1, "8 streams on one connection");
	conn = several[0]->conn;
	sent = ohttp_stream_sent(conn->stream);
	ohttp_server_hold(srv);
	for (int i = 0; i < 8; i++)
		(void)ohttp_write_copy(several[i], "held\n", 5);
	is_int(ohttp_stream_sent(conn->stream) - sent, 0, "what is written waits while it is held");
	ohttp_server_release(srv);
	sent = ohttp_stream_sent(conn->stream) - sent;
	is_int(sent, 8 * (9 + 5), "then it leaves together");
	for (int i = 0; i < 8; i++)
		ohttp_end(several[i]);
	is_int(finish(&c), 0, "all is well");
	is_int(c.out.len, 40, "to each");
	obuf_done(&c.out);
	(void)ph_until(no_conns, NULL);
	stop();
}

/* ---- a flood of resets --------------------------------------------------------------------------------- */

struct flood {
	struct ohttp_stream	*s;
	uint32_t		id;
	uint32_t		left;
	uint32_t		breath_at;	/* so many left: a pause */
	uint64_t		breath_ns;	/* until then */
	bool			over;
	bool			ready;
	struct obuf		in;
};

static void frame(struct obuf *b, uint32_t len, int type, int flags, uint32_t id)
{
	const char h[9] = { (char)(len >> 16), (char)(len >> 8), (char)len, (char)type, (char)flags,
		(char)(id >> 24), (char)(id >> 16), (char)(id >> 8), (char)id };

	obuf_append(b, h, 9);
}

static void flood_more(void *arg)
{
	struct flood *f = arg;
	struct obuf b = OBUF_INIT;

	for (int i = 0; i < 200 && f->left; i++, f->left--, f->id += 2) {
		/* GET / with :authority a, and away with it */
		frame(&b, 6, 1, 0x5, f->id);
		obuf_append(&b, "\x82\x84\x87\x41\x01" "a", 6);
		frame(&b, 4, 3, 0, f->id);
		obuf_append(&b, "\0\0\0\x08", 4);
	}
	if (f->s)
		(void)ohttp_stream_write(f->s, b.data ? b.data : "", b.len);
	obuf_done(&b);
}

static void flood_ready(void *arg)
{
	struct flood *f = arg;
	struct obuf b = OBUF_INIT;

	obuf_append(&b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	frame(&b, 0, 4, 0, 0);
	(void)ohttp_stream_write(f->s, b.data, b.len);
	obuf_done(&b);
	f->ready = true;
	flood_more(f);
}

static void flood_data(void *arg, const char *p, size_t len)
{
	struct flood *f = arg;

	obuf_append(&f->in, p, len);
}

static void flood_closed(void *arg, int err)
{
	struct flood *f = arg;

	(void)err;
	f->over = true;
	f->s = NULL;
}

/* The reason that the first GOAWAY gives; -1: there is none. */
static int flood_goaway(const struct flood *f)
{
	const uint8_t *p = (const uint8_t *)f->in.data;

	for (size_t at = 0; at + 17 <= f->in.len; at += 9 + ((size_t)p[at] << 16 | (size_t)p[at + 1] << 8 | p[at + 2]))
		if (p[at + 3] == 7)
			return p[at + 16];
	return -1;
}

static const struct ohttp_stream_ops flood_ops = { .data = flood_data, .ready = flood_ready, .closed = flood_closed };

static bool flood_over(void *arg)
{
	struct flood *f = arg;

	if (f->left == f->breath_at && !f->breath_ns)
		f->breath_ns = ph_mono(NULL) + UINT64_C(300000000);
	if (f->ready && !f->over && f->left && f->breath_ns < ph_mono(NULL))
		flood_more(f);
	return f->over;
}

/* @breath_after: so many resets, and the rest a moment later. */
static void test_flood(struct otls_ctx *server_tls, uint32_t breath_after)
{
	struct ohttp_server_config cfg = { 0 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct flood f = { .id = 1, .left = 20000, .breath_at = breath_after ? 20000 - breath_after : 0 };
	struct ohttp_server_stats st;
	struct otls_ctx *tls = NULL;
	struct child c;
	char cap[128];
	int fd;

	start(server_tls, &cfg);
	snprintf(cap, sizeof(cap), "%s/ca.crt", dir);
	is_int(otls_client_new(&(struct otls_config){ .ca_path = cap, .h2 = 1 }, &tls, &err), 0, "h2 client context");
	fd = ph_dial(addr);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	is_int(ohttp_stream_new(&ph_host, fd, tls, "localhost", &flood_ops, &f, &f.s), 0, "h2 client");
	ok(ph_until(flood_over, &f), "a client that resets as fast as it can is sent away");
	ohttp_server_stats(srv, &st);
	ok(st.calmed == 1 && st.requests < 3000, "after %llu requests", (unsigned long long)st.requests);
	is_int(flood_goaway(&f), 11, "told to calm down");
	run(&c, "curl -sS --cacert %s/ca.crt --http2 https://%s/ 2>&1", dir, addr);
	is_str(obuf_cstr(&c.out), "hello\n", "others are served");
	obuf_done(&c.out);
	obuf_done(&f.in);
	ohttp_stream_abort(f.s);
	otls_ctx_free(tls);
	stop();
}

int main(void)
{
	struct otls_ctx *tls;

	world_begin();
	tls = make_tls();
	test_tls(tls);
	test_client(tls);
	test_hold(tls);
	test_flood(tls, 0);
	test_flood(tls, 800);
	otls_ctx_free(tls);
	world_end();
	return done_testing();
}
