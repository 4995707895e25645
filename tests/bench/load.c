/*
 * load.c - clients for the benchmarks of the API: HTTP/1.1 over TLS with a client certificate, all in
 * one thread, so that what is measured is the server.
 *
 *	load PKI PORT NAME get CLIENTS SECONDS PATH		as fast as answers come
 *	load PKI PORT NAME post CLIENTS SECONDS PATH BODY	%u in BODY becomes a number
 *	load PKI PORT NAME fill CLIENTS COUNT PATH BODY		so many, no matter how long; prints nothing
 *	load PKI PORT NAME watch CLIENTS COUNT PATH BODY	CLIENTS watch PATH; COUNT objects are made
 *								one by one: until each has been told
 *	load PKI PORT NAME mixed CLIENTS SECONDS PATH BODY	each client with objects of its own, one verb
 *								after the other; %u is in the name, "m-%u",
 *								%r in what an update changes
 *
 * get-proto instead of get asks for protobuf.
 *
 * PKI is the directory with ca.crt, admin.crt, admin.key. Prints one JSON line, with COMMAND from the
 * environment as the command that repeats it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "times.h"

#define MOST		2000000u
#define HEAD_MAX	16384u
#define READ_AHEAD	(128u << 10)

enum state { CONNECT, SEND, HEAD, BODY, STREAM, IDLE };

/* What a client of the mixed load does with its object, in this order. */
enum verb { CREATE, GET, UPDATE, PATCH, LIST, DELETE, N_VERBS };

static const char *const verb_names[N_VERBS] = { "create", "get", "update", "patch", "list", "delete" };

struct conn {
	SSL		*ssl;
	int		fd;
	enum state	state;
	uint32_t	want;		/* EPOLL… */
	uint64_t	t0;
	char		*out;
	size_t		out_len;
	size_t		out_at;
	char		head[HEAD_MAX];
	size_t		head_len;
	uint64_t	left;		/* of the body or the chunk */
	int		chunk;		/* 0: no chunks; 1 size line, 2 data, 3 end of data */
	char		tail[8];	/* last bytes, to find what lies across reads */
	uint32_t	events;
	enum verb	verb;		/* mixed: what it does */
	uint32_t	own;		/* … with which object */
};

static struct {
	bool		proto;		/* answers in protobuf */
	const char	*path;
	const char	*body;
	const char	*name;
	int		ep;
	int		port;
	SSL_CTX		*tls;
	uint64_t	*ns;
	uint32_t	n;
	uint32_t	next;
	uint32_t	goal;		/* requests to make; UINT32_MAX: by time */
	uint64_t	until;
	uint64_t	bytes;
	uint32_t	told;		/* watchers that have all events so far */
	uint32_t	round;
	uint64_t	round_t0;
	uint64_t	*told_ns;	/* of each watcher, each round */
	uint32_t	n_told;
	bool		watch;
	bool		mixed;
	uint64_t	*verb_ns[N_VERBS];
	uint32_t	verb_n[N_VERBS];
} g;

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "refused");
	exit(1);
}

static void want(struct conn *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (c->want == events)
		return;
	if (epoll_ctl(g.ep, c->want ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &ev))
		die("epoll");
	c->want = events;
}

/* Each %u of the body becomes @n, each %r the number of the request, so that an update changes something. */
static size_t body_make(char *to, size_t size, uint32_t n)
{
	const char *p = g.body;
	const char *u;
	size_t len = 0;

	for (; (u = strchr(p, '%')) && (u[1] == 'u' || u[1] == 'r') && len < size; p = u + 2)
		len += (size_t)snprintf(to + len, size - len, "%.*s%u", (int)(u - p), p, u[1] == 'u' ? n : g.next);
	if (len < size)
		len += (size_t)snprintf(to + len, size - len, "%s", p);
	if (len >= size)
		die("the body is too long");
	return len;
}

/* The next request of a client whose verbs take turns. */
static void verb_make(struct conn *c, char *head, size_t size, char *body, size_t body_size)
{
	static const char *const methods[N_VERBS] = { "POST", "GET", "PUT", "PATCH", "GET", "DELETE" };
	size_t len = 0;
	char name[32] = "";

	if (c->verb == CREATE)
		c->own = g.next;
	else if (c->verb == LIST)
		snprintf(name, sizeof(name), "?limit=50");
	else
		snprintf(name, sizeof(name), "/m-%u", c->own);
	if (c->verb == CREATE || c->verb == UPDATE)
		len = body_make(body, body_size, c->own);
	else if (c->verb == PATCH)
		len = (size_t)snprintf(body, body_size, "{\"metadata\":{\"labels\":{\"patched\":\"n%u\"}}}", g.next);
	snprintf(head, size, "%s %s%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/%s\r\n"
		 "Content-Length: %zu\r\n\r\n", methods[c->verb], g.path, name,
		 c->verb == PATCH ? "merge-patch+json" : "json", len);
}

static void request_make(struct conn *c, bool post)
{
	char body[16384] = "";
	char head[2048];
	size_t len = 0;

	if (g.mixed) {
		verb_make(c, head, sizeof(head), body, sizeof(body));
	} else if (post) {
		len = body_make(body, sizeof(body), g.next);
		snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n", g.path, len);
	} else {
		snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", g.path,
			 g.proto ? "Accept: application/vnd.kubernetes.protobuf\r\n" : "");
	}
	g.next++;
	free(c->out);
	c->out_len = (size_t)asprintf(&c->out, "%s%s", head, body);
	c->out_at = 0;
	c->head_len = 0;
	c->chunk = 0;
	c->state = SEND;
	c->t0 = now();
}

static struct conn *conn_new(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)g.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct conn *c = calloc(1, sizeof(*c));
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
	c->ssl = SSL_new(g.tls);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_connect_state(c->ssl);
	c->state = CONNECT;
	return c;
}

static void over(struct conn *c)
{
	uint64_t ns = now() - c->t0;

	if (g.n < MOST)
		g.ns[g.n++] = ns;
	if (g.mixed) {
		if (g.verb_n[c->verb] < MOST)
			g.verb_ns[c->verb][g.verb_n[c->verb]++] = ns;
		c->verb = (c->verb + 1) % N_VERBS;
	}
	c->state = IDLE;
}

/* An event begins with {"type": and may lie across two reads. */
static void events_count(struct conn *c, const char *p, size_t n)
{
	static const char mark[] = "{\"type\":";
	char two[32];
	const char *at;
	size_t keep = strlen(c->tail);
	size_t few = n < 15 ? n : 15;

	memcpy(two, c->tail, keep);
	memcpy(two + keep, p, few);
	for (at = two; (at = memmem(at, (size_t)(two + keep + few - at), mark, 8)); at++)
		if ((size_t)(at - two) < keep)
			c->events++;
	for (at = p; (at = memmem(at, (size_t)(p + n - at), mark, 8)); at++)
		c->events++;
	few = n < 7 ? n : 7;
	memcpy(c->tail, p + n - few, few);
	c->tail[few] = '\0';
	if (c->events >= g.round && c->t0 < g.round) {
		c->t0 = g.round;	/* of a watcher: the round it has */
		g.told++;
		g.told_ns[g.n_told++] = now() - g.round_t0;
	}
}

static void body_take(struct conn *c, const char *p, size_t n)
{
	g.bytes += n;
	while (n && (c->state == BODY || c->state == STREAM)) {
		size_t k = n;

		if (c->chunk == 1 || c->chunk == 3) {
			/* size lines, and the line ends around them */
			if (*p == '\n' && c->chunk == 3) {
				c->chunk = 1;
				c->left = 0;
			} else if (*p == '\n') {
				c->chunk = 2;
				if (!c->left) {
					over(c);
					return;
				}
			} else if (c->chunk == 1 && *p != '\r') {
				int d = *p <= '9' ? *p - '0' : (*p | 32) - 'a' + 10;

				c->left = c->left * 16 + (uint64_t)d;
			}
			p++;
			n--;
			continue;
		}
		if (k > c->left)
			k = (size_t)c->left;
		if (c->state == STREAM)
			events_count(c, p, k);
		p += k;
		n -= k;
		c->left -= k;
		if (!c->left && c->chunk)
			c->chunk = 3;
		else if (!c->left)
			over(c);
	}
}

static void head_take(struct conn *c, const char *p, size_t n)
{
	size_t had = c->head_len;
	size_t k = n < HEAD_MAX - 1 - had ? n : HEAD_MAX - 1 - had;
	char *end;
	char *h;
	int status;

	memcpy(c->head + had, p, k);
	c->head_len += k;
	c->head[c->head_len] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (!end)
		return;
	status = atoi(c->head + 9);
	if (status / 100 != 2) {
		fprintf(stderr, "load: %.400s\n", c->head);
		exit(1);
	}
	end += 4;
	k = (size_t)(end - c->head) - had;	/* of this read */
	end[-2] = '\0';
	h = strcasestr(c->head, "\r\ncontent-length:");
	c->chunk = h ? 0 : 1;
	c->left = h ? strtoull(h + 17, NULL, 10) : 0;
	c->state = g.watch && c->chunk ? STREAM : BODY;
	if (c->state == STREAM)
		c->t0 = 0;
	if (h && !c->left)
		over(c);
	else
		body_take(c, p + k, n - k);
}

/* Everything this connection can do now. */
static void conn_run(struct conn *c)
{
	static char buf[65536];
	int r;

	for (;;) {
		if (c->state == IDLE)
			return;
		if (c->state == CONNECT) {
			r = SSL_connect(c->ssl);
			if (r == 1) {
				c->state = IDLE;
				continue;
			}
		} else if (c->state == SEND) {
			r = SSL_write(c->ssl, c->out + c->out_at, (int)(c->out_len - c->out_at));
			if (r > 0) {
				c->out_at += (size_t)r;
				if (c->out_at == c->out_len)
					c->state = HEAD;
				continue;
			}
		} else {
			r = SSL_read(c->ssl, buf, sizeof(buf));
			if (r > 0) {
				if (c->state == HEAD)
					head_take(c, buf, (size_t)r);
				else
					body_take(c, buf, (size_t)r);
				continue;
			}
		}
		r = SSL_get_error(c->ssl, r);
		if (r == SSL_ERROR_WANT_READ) {
			want(c, EPOLLIN);
		} else if (r == SSL_ERROR_WANT_WRITE) {
			want(c, EPOLLOUT | EPOLLIN);
		} else {
			ERR_print_errors_fp(stderr);
			die("connection lost");
		}
		return;
	}
}

static void turn(void)
{
	struct epoll_event ev[64];
	int n = epoll_wait(g.ep, ev, 64, 30000);
	int i;

	if (n <= 0)
		die("nothing within 30 s");
	for (i = 0; i < n; i++)
		conn_run(ev[i].data.ptr);
}

static void until_state(struct conn *c, enum state state)
{
	conn_run(c);
	while (c->state != state)
		turn();
}

static void report(int clients, double seconds, const char *more)
{
	const char *command = getenv("COMMAND");

	if (!g.n)
		die("no answer");
	times_sort(g.ns, g.n);
	printf("{\"name\":\"%s\",\"clients\":%d,\"per_second\":%.0f,\"p50_us\":%.0f,\"p99_us\":%.0f,"
	       "\"n\":%u,\"bytes\":%.0f%s,\"command\":\"%s\"}\n", g.name, clients,
	       (double)g.n / seconds, (double)g.ns[g.n / 2] / 1e3,
	       (double)g.ns[g.n * 99ull / 100] / 1e3, g.n, (double)g.bytes / g.n, more,
	       command ? command : "tests/bench/load");
}

/* Of each verb by itself. */
static void verbs_text(char *to, size_t size)
{
	size_t len = (size_t)snprintf(to, size, ",\"verbs\":{");
	int v;

	for (v = 0; v < N_VERBS && len < size; v++) {
		if (!g.verb_n[v])
			die("a verb that was never answered");
		times_sort(g.verb_ns[v], g.verb_n[v]);
		len += (size_t)snprintf(to + len, size - len, "%s\"%s\":{\"p50_us\":%.0f,\"p99_us\":%.0f,\"n\":%u}", v ? "," : "",
					verb_names[v], (double)g.verb_ns[v][g.verb_n[v] / 2] / 1e3,
					(double)g.verb_ns[v][g.verb_n[v] * 99ull / 100] / 1e3, g.verb_n[v]);
	}
	if (len < size)
		snprintf(to + len, size - len, "}");
}

static void run_requests(struct conn **c, int clients, bool post, bool quiet)
{
	uint64_t t0 = now();
	uint32_t busy = 0;
	char more[1024] = "";
	double seconds;
	int i;

	for (i = 0; i < clients; i++) {
		request_make(c[i], post);
		conn_run(c[i]);
	}
	do {
		busy = 0;
		for (i = 0; i < clients; i++) {
			/* an answer may be there at once */
			while (c[i]->state == IDLE && g.next < g.goal &&
			       (now() < g.until || (g.mixed && c[i]->verb != CREATE))) {
				request_make(c[i], post);
				conn_run(c[i]);
			}
			busy += c[i]->state != IDLE;
		}
		if (busy)
			turn();
	} while (busy);
	if (quiet)
		return;
	seconds = (double)(now() - t0) / 1e9;
	if (g.mixed)
		verbs_text(more, sizeof(more));
	report(clients, seconds, more);
}

/* Each object that is made: how long until the last watcher has it. */
static void run_watch(struct conn **c, int clients, uint32_t count)
{
	struct conn *writer;
	uint64_t t0;
	uint64_t *fan = calloc(count, sizeof(*fan));
	char more[256];
	char path[1024];
	const char *plain = g.path;
	uint32_t i;
	int k;

	g.told_ns = calloc((size_t)count * (size_t)clients, sizeof(*g.told_ns));
	snprintf(path, sizeof(path), "%s%cwatch=1", plain, strchr(plain, '?') ? '&' : '?');
	g.path = path;
	g.watch = true;
	for (k = 0; k < clients; k++) {
		c[k] = conn_new();
		until_state(c[k], IDLE);
		request_make(c[k], false);
		until_state(c[k], STREAM);
	}
	g.watch = false;
	g.path = plain;
	writer = conn_new();
	until_state(writer, IDLE);
	t0 = now();
	for (i = 0; i < count; i++) {
		g.told = 0;
		g.round = i + 1;
		g.round_t0 = now();
		request_make(writer, true);
		conn_run(writer);
		while (writer->state != IDLE || g.told < (uint32_t)clients)
			turn();
		fan[i] = now() - g.round_t0;
	}
	times_sort(g.told_ns, g.n_told);
	times_sort(fan, count);
	snprintf(more, sizeof(more), ",\"events_per_second\":%.0f,\"all_told_p50_us\":%.0f,"
		 "\"all_told_p99_us\":%.0f,\"told_p50_us\":%.0f,\"told_p99_us\":%.0f",
		 (double)count * clients * 1e9 / (double)(now() - t0),
		 (double)fan[count / 2] / 1e3, (double)fan[count * 99ull / 100] / 1e3,
		 (double)g.told_ns[g.n_told / 2] / 1e3, (double)g.told_ns[g.n_told * 99ull / 100] / 1e3);
	report(clients, (double)(now() - t0) / 1e9, more);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	char file[512];
	struct conn **c;
	int clients;
	int i;

	if (argc < 8) {
		/* make bench starts every program here: this one is for api.sh */
		printf("# load PKI PORT NAME get|get-proto|post|fill|watch|mixed CLIENTS SECONDS|COUNT PATH [BODY]\n");
		return 0;
	}
	(void)setrlimit(RLIMIT_NOFILE, &files);
	g.port = atoi(argv[2]);
	g.name = argv[3];
	clients = atoi(argv[5]);
	g.path = argv[7];
	g.body = argc > 8 ? argv[8] : "{}";
	g.ep = epoll_create1(EPOLL_CLOEXEC);
	g.ns = malloc(MOST * sizeof(*g.ns));
	g.tls = SSL_CTX_new(TLS_client_method());
	snprintf(file, sizeof(file), "%s/ca.crt", argv[1]);
	if (SSL_CTX_load_verify_locations(g.tls, file, NULL) != 1)
		die(file);
	SSL_CTX_set_verify(g.tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_read_ahead(g.tls, 1);		/* several records a call: the server is to be the bottleneck */
	SSL_CTX_set_default_read_buffer_len(g.tls, READ_AHEAD);
	snprintf(file, sizeof(file), "%s/admin.crt", argv[1]);
	if (SSL_CTX_use_certificate_chain_file(g.tls, file) != 1)
		die(file);
	snprintf(file, sizeof(file), "%s/admin.key", argv[1]);
	if (SSL_CTX_use_PrivateKey_file(g.tls, file, SSL_FILETYPE_PEM) != 1)
		die(file);
	c = calloc((size_t)clients, sizeof(*c));
	/* Side by side: a server waits for a first request only so long. */
	for (i = 0; i < clients && strcmp(argv[4], "watch") != 0; i++) {
		c[i] = conn_new();
		conn_run(c[i]);
	}
	for (i = 0; i < clients; i++)
		while (c[i] && c[i]->state != IDLE)
			turn();
	g.goal = UINT32_MAX;
	g.until = UINT64_MAX;
	if (!strcmp(argv[4], "watch")) {
		run_watch(c, clients, (uint32_t)atoi(argv[6]));
		return 0;
	}
	if (!strcmp(argv[4], "fill"))
		g.goal = (uint32_t)atoi(argv[6]);
	else
		g.until = now() + (uint64_t)(atof(argv[6]) * 1e9);
	g.proto = !strcmp(argv[4], "get-proto");
	g.mixed = !strcmp(argv[4], "mixed");
	for (i = 0; i < (g.mixed ? N_VERBS : 0); i++)
		g.verb_ns[i] = malloc(MOST * sizeof(*g.verb_ns[i]));
	run_requests(c, clients, strncmp(argv[4], "get", 3) != 0, !strcmp(argv[4], "fill"));
	return 0;
}
