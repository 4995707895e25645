/*
 * steady.c - clients that write without pause and watchers that see all of it, while something is done to the
 * server: nothing may fail, nothing acknowledged may be lost, each change is seen once and in order.
 *
 *	steady PKI PORT NAMESPACE CLIENTS WATCHERS
 *
 * Each client is a thread with a connection of its own (HTTP/1.1, TLS, client certificate): it keeps
 * one ConfigMap, whose data.seq it raises by one with each PUT, and makes and deletes others beside it. Each watcher
 * follows all of them, from where it was when a server ends its watch. A connection that was closed before a request
 * was begun is opened again; anything else that is not 2xx is a failure.
 *
 * Commands on stdin, one answer line each:
 *	mark NAME	a window begins → ok
 *	more N		waits until N more requests are answered → ok
 *	end		it ends → JSON: requests, failed, the longest request and the longest time without any
 *			answer, both in ms, of this window
 *	stop		clients stop, watchers catch up, all is compared with a list → JSON; exit status 0 if
 *			nothing failed and nothing was lost
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define BODY_MAX	(8u << 20)
#define EXTRA_EVERY	4u		/* of its writes, one makes and the next deletes another object */

struct link {			/* a connection */
	SSL		*ssl;
	int		fd;
	char		buf[16384];
	size_t		at;
	size_t		len;
};

struct answer {
	int		status;
	bool		chunked;
	bool		close;
	size_t		left;
};

struct client {
	pthread_t	thread;
	uint32_t	n;
	struct link	link;
	uint64_t	acked;		/* seq of the last PUT that was answered */
	uint64_t	asked;
	uint64_t	extra_made;	/* number of the last extra object made, and deleted */
	uint64_t	extra_gone;
	char		*body;
};

struct watcher {
	pthread_t	thread;
	struct link	link;
	uint64_t	rev;
	_Atomic uint64_t *seen;		/* by client: the last seq */
	_Atomic uint64_t events;
	uint64_t	again;		/* watches begun again */
};

static struct {
	SSL_CTX		*tls;
	int		port;
	const char	*ns;
	uint32_t	n_clients;
	uint32_t	n_watchers;
	struct client	*clients;
	struct watcher	*watchers;
	uint64_t	rev;		/* where watchers begin */
	atomic_bool	stop;
	atomic_bool	watched;	/* watchers may end */
	_Atomic uint64_t requests;
	_Atomic uint64_t failed;
	_Atomic uint64_t longest;	/* ns, of the window */
	_Atomic uint64_t last;		/* when the last answer came */
	_Atomic uint64_t gap;
	_Atomic uint64_t reconnects;
	pthread_mutex_t	say;
} g = { .say = PTHREAD_MUTEX_INITIALIZER };

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void failure(const char *fmt, ...)
{
	va_list ap;

	if (atomic_fetch_add(&g.failed, 1) > 20)
		return;
	pthread_mutex_lock(&g.say);
	va_start(ap, fmt);
	fputs("steady: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	pthread_mutex_unlock(&g.say);
}

static void raise_to(_Atomic uint64_t *max, uint64_t v)
{
	uint64_t old = atomic_load(max);

	while (old < v && !atomic_compare_exchange_weak(max, &old, v))
		;
}

/* ---- connections ------------------------------------------------------------------------------------ */

static void link_close(struct link *l)
{
	if (l->ssl) {
		SSL_free(l->ssl);
		close(l->fd);
	}
	l->ssl = NULL;
	l->at = l->len = 0;
}

/* A server that is being replaced may let a connection wait, not refuse it. */
static int link_open(struct link *l)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)g.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = 30 };
	int on = 1;

	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	(void)setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	l->ssl = SSL_new(g.tls);
	if (!l->ssl || connect(l->fd, (struct sockaddr *)&to, sizeof(to)) || SSL_set_fd(l->ssl, l->fd) != 1 ||
	    SSL_connect(l->ssl) != 1) {
		int e = errno;

		failure("cannot connect: %s", strerror(e));
		SSL_free(l->ssl);
		l->ssl = NULL;
		close(l->fd);
		return -ECONNREFUSED;
	}
	l->at = l->len = 0;
	return 0;
}

/* Has the server closed it while nothing was asked? */
static bool link_stale(struct link *l)
{
	struct timeval none = { .tv_usec = 1 }, limit = { .tv_sec = 30 };
	char c;
	int r;

	if (!l->ssl || l->at < l->len)
		return !l->ssl;
	r = (int)recv(l->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	if (r < 0)
		return errno != EAGAIN;
	if (r == 0)
		return true;
	/* Session tickets, or a close notify. */
	(void)setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	r = SSL_peek(l->ssl, &c, 1);
	(void)setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return r <= 0 && SSL_get_error(l->ssl, r) != SSL_ERROR_WANT_READ;
}

static int fill(struct link *l)
{
	int r = SSL_read(l->ssl, l->buf, sizeof(l->buf));

	l->at = 0;
	l->len = r > 0 ? (size_t)r : 0;
	return r > 0 ? 0 : -ECONNRESET;
}

static int line(struct link *l, char *ret, size_t size)
{
	size_t n = 0;

	for (;;) {
		if (l->at == l->len && fill(l))
			return -ECONNRESET;
		ret[n] = l->buf[l->at++];
		if (ret[n] == '\n') {
			ret[n] = '\0';
			if (n && ret[n - 1] == '\r')
				ret[n - 1] = '\0';
			return 0;
		}
		if (++n == size)
			return -EMSGSIZE;
	}
}

static int head(struct link *l, struct answer *a)
{
	char text[8192];

	*a = (struct answer){ 0 };
	if (line(l, text, sizeof(text)))
		return -ECONNRESET;
	a->status = atoi(text + 9);
	for (;;) {
		if (line(l, text, sizeof(text)))
			return -ECONNRESET;
		if (!text[0])
			return 0;
		if (!strncasecmp(text, "content-length:", 15))
			a->left = strtoull(text + 15, NULL, 10);
		else if (!strncasecmp(text, "transfer-encoding:", 18))
			a->chunked = true;
		else if (!strncasecmp(text, "connection:", 11) && strcasestr(text, "close"))
			a->close = true;
	}
}

/* Next bytes of the body, at most @size; 0 at its end. */
static ssize_t body(struct link *l, struct answer *a, char *ret, size_t size)
{
	char text[64];
	size_t n;

	if (!a->left && a->chunked) {
		if (line(l, text, sizeof(text)) || (!text[0] && line(l, text, sizeof(text))))
			return -ECONNRESET;
		a->left = strtoull(text, NULL, 16);
		if (!a->left) {
			a->chunked = false;
			return line(l, text, sizeof(text)) ? -ECONNRESET : 0;
		}
	}
	if (!a->left)
		return 0;
	if (l->at == l->len && fill(l))
		return -ECONNRESET;
	n = l->len - l->at < a->left ? l->len - l->at : a->left;
	n = n < size ? n : size;
	memcpy(ret, l->buf + l->at, n);
	l->at += n;
	a->left -= n;
	return (ssize_t)n;
}

static int send_all(struct link *l, const char *p, size_t len)
{
	return SSL_write(l->ssl, p, (int)len) == (int)len ? 0 : -ECONNRESET;
}

/* One request and its whole answer. The status, or -errno; said. */
static int ask(struct link *l, const char *method, const char *path, const char *doc, char *ret, size_t size)
{
	struct answer a;
	char text[4096];
	size_t got = 0;
	uint64_t t0;
	ssize_t r;
	int n;

	if (link_stale(l)) {
		if (l->ssl)
			atomic_fetch_add(&g.reconnects, 1);
		link_close(l);
		if (link_open(l))
			return -ECONNREFUSED;
	}
	n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
		     "Content-Length: %zu\r\n\r\n%s", method, path, strlen(doc), doc);
	t0 = now();
	if (send_all(l, text, (size_t)n) || head(l, &a)) {
		failure("%s %s: connection lost after %.1f ms", method, path, (double)(now() - t0) / 1e6);
		link_close(l);
		return -ECONNRESET;
	}
	while ((r = body(l, &a, ret + got, size - 1 - got)) > 0)
		got += (size_t)r;
	ret[got] = '\0';
	if (r < 0) {
		failure("%s %s: half an answer", method, path);
		link_close(l);
		return -ECONNRESET;
	}
	if (a.close)
		link_close(l);
	return a.status;
}

/* ---- clients ------------------------------------------------------------------------------------------ */

static int measured(struct client *c, const char *method, const char *path, const char *doc)
{
	uint64_t t0 = now(), t1, last;
	int status = ask(&c->link, method, path, doc, c->body, 65536);

	t1 = now();
	last = atomic_exchange(&g.last, t1);
	if (last && t1 > last)
		raise_to(&g.gap, t1 - last);
	raise_to(&g.longest, t1 - t0);
	atomic_fetch_add(&g.requests, 1);
	if (status > 0 && status / 100 != 2)
		failure("%s %s: %d %.300s", method, path, status, c->body);
	return status;
}

static void *client_run(void *arg)
{
	struct client *c = arg;
	char path[256], doc[512];

	while (!atomic_load(&g.stop)) {
		if (c->asked && c->asked % EXTRA_EVERY == 0 && c->extra_made == c->extra_gone) {
			snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps", g.ns);
			snprintf(doc, sizeof(doc), "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
				 "\"x%u-%llu\"},\"data\":{\"k\":\"v\"}}", c->n, (unsigned long long)c->extra_made + 1);
			if (measured(c, "POST", path, doc) == 201)
				c->extra_made++;
		} else if (c->asked % EXTRA_EVERY == 1 && c->extra_gone < c->extra_made) {
			snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps/x%u-%llu", g.ns, c->n,
				 (unsigned long long)c->extra_made);
			if (measured(c, "DELETE", path, "") == 200)
				c->extra_gone++;
		}
		c->asked++;
		snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps/c%u", g.ns, c->n);
		snprintf(doc, sizeof(doc), "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c%u\"},"
			 "\"data\":{\"seq\":\"%llu\"}}", c->n, (unsigned long long)c->asked);
		if (measured(c, "PUT", path, doc) == 200)
			c->acked = c->asked;
	}
	link_close(&c->link);
	return NULL;
}

static void client_begin(struct client *c)
{
	char path[256], doc[512];

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps", g.ns);
	snprintf(doc, sizeof(doc), "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c%u\"},\"data\":{"
		 "\"seq\":\"0\"}}", c->n);
	if (ask(&c->link, "POST", path, doc, c->body, 65536) != 201) {
		fprintf(stderr, "steady: cannot begin: %s\n", c->body);
		exit(1);
	}
}

/* ---- watchers ------------------------------------------------------------------------------------------ */

static uint64_t number_after(const char *text, const char *mark)
{
	const char *p = strstr(text, mark);

	return p ? strtoull(p + strlen(mark), NULL, 10) : UINT64_MAX;
}

static void event(struct watcher *w, const char *text)
{
	uint64_t rev = number_after(text, "\"resourceVersion\":\"");
	uint64_t n = number_after(text, "\"metadata\":{\"name\":\"c");
	uint64_t seq = number_after(text, "\"data\":{\"seq\":\"");
	uint64_t before;

	if (!strncmp(text, "{\"type\":\"ERROR\"", 15)) {
		failure("watch from %llu: %.300s", (unsigned long long)w->rev, text);
		w->rev = 0;
		return;
	}
	if (!strncmp(text, "{\"type\":\"BOOKMARK\"", 18)) {
		if (rev < w->rev || rev == UINT64_MAX)
			failure("a bookmark goes back: %llu after %llu", (unsigned long long)rev, (unsigned long long)w->rev);
		w->rev = rev;
		return;
	}
	if (rev <= w->rev || rev == UINT64_MAX)
		failure("revision %llu after %llu", (unsigned long long)rev, (unsigned long long)w->rev);
	w->rev = rev;
	atomic_fetch_add(&w->events, 1);
	if (n >= g.n_clients || seq == UINT64_MAX || strncmp(text, "{\"type\":\"MODIFIED\"", 18))
		return;
	before = atomic_exchange(&w->seen[n], seq);
	if (seq != before + 1)
		failure("c%llu: a watcher saw %llu after %llu", (unsigned long long)n, (unsigned long long)seq,
			(unsigned long long)before);
}

static void *watcher_run(void *arg)
{
	struct watcher *w = arg;
	size_t size = 1u << 20, got = 0;
	char *buf = malloc(size);
	struct answer a;
	char text[512];
	ssize_t r;
	int n;

	w->rev = g.rev;
	while (!atomic_load(&g.watched)) {
		got = 0;
		if (link_open(&w->link))
			continue;
		n = snprintf(text, sizeof(text), "GET /api/v1/namespaces/%s/configmaps?watch=1&allowWatchBookmarks=true&"
			     "resourceVersion=%llu HTTP/1.1\r\nHost: localhost\r\n\r\n", g.ns,
			     (unsigned long long)w->rev);
		if (send_all(&w->link, text, (size_t)n) || head(&w->link, &a)) {
			failure("a watch was not answered");
			link_close(&w->link);
			continue;
		}
		if (a.status != 200)
			failure("watch from %llu: %d", (unsigned long long)w->rev, a.status);
		while ((r = body(&w->link, &a, buf + got, size - 1 - got)) > 0) {
			char *p = buf, *nl;

			got += (size_t)r;
			while ((nl = memchr(p, '\n', got - (size_t)(p - buf)))) {
				*nl = '\0';
				event(w, p);
				p = nl + 1;
			}
			got -= (size_t)(p - buf);
			memmove(buf, p, got);
		}
		if (r < 0 && !atomic_load(&g.watched))
			failure("a watch broke off at %llu", (unsigned long long)w->rev);
		w->again++;
		link_close(&w->link);
	}
	free(buf);
	return NULL;
}

/* ---- the end --------------------------------------------------------------------------------------------- */

/* What a list says against what was acknowledged. */
static uint64_t compare(void)
{
	struct link l = { 0 };
	char *list = malloc(BODY_MAX), path[256], name[64];
	uint64_t lost = 0, items = 0, want = 0;

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps", g.ns);
	if (ask(&l, "GET", path, "", list, BODY_MAX) != 200) {
		failure("the last list: %.300s", list);
		free(list);
		return UINT64_MAX;
	}
	for (const char *p = list; (p = strstr(p, "\"metadata\":{\"name\":\"")); p++)
		items++;
	for (uint32_t i = 0; i < g.n_clients; i++) {
		struct client *c = &g.clients[i];
		const char *at;
		uint64_t seq;

		snprintf(name, sizeof(name), "\"metadata\":{\"name\":\"c%u\"", i);
		at = strstr(list, name);
		seq = at ? number_after(at, "\"data\":{\"seq\":\"") : UINT64_MAX;
		/* A request that failed may have been done or not. */
		if (seq == UINT64_MAX || seq < c->acked || seq > c->asked) {
			failure("c%u: the list has %llu, acknowledged %llu", i, (unsigned long long)seq,
				(unsigned long long)c->acked);
			lost++;
		}
		snprintf(name, sizeof(name), "\"metadata\":{\"name\":\"x%u-%llu\"", i, (unsigned long long)c->extra_made);
		if (c->extra_made && (strstr(list, name) != NULL) != (c->extra_made > c->extra_gone)) {
			failure("x%u-%llu: made %d, gone %d, and the list says otherwise", i,
				(unsigned long long)c->extra_made, 1, c->extra_made == c->extra_gone);
			lost++;
		}
		want += 1 + (c->extra_made > c->extra_gone);
	}
	/* kube-root-ca.crt may stand beside them. */
	if (items != want && items != want + 1) {
		failure("%llu objects in the list, %llu wanted", (unsigned long long)items, (unsigned long long)want);
		lost++;
	}
	link_close(&l);
	free(list);
	return lost;
}

/* Until each watcher has each client's last acknowledged write; false after 30 s. */
static bool caught_up(void)
{
	uint64_t end = now() + 30000000000ull;

	for (uint32_t i = 0; i < g.n_watchers; i++)
		for (uint32_t k = 0; k < g.n_clients; k++)
			while (atomic_load(&g.watchers[i].seen[k]) < g.clients[k].acked) {
				if (now() > end) {
					failure("watcher %u has not seen c%u %llu", i, k,
						(unsigned long long)g.clients[k].acked);
					return false;
				}
				usleep(1000);
			}
	return true;
}

static int finish(void)
{
	uint64_t lost, events = 0, again = 0, writes = 0;

	atomic_store(&g.stop, true);
	for (uint32_t i = 0; i < g.n_clients; i++) {
		pthread_join(g.clients[i].thread, NULL);
		writes += g.clients[i].acked + g.clients[i].extra_made + g.clients[i].extra_gone;
	}
	lost = compare();
	if (!caught_up())
		lost++;
	atomic_store(&g.watched, true);
	for (uint32_t i = 0; i < g.n_watchers; i++)
		(void)shutdown(g.watchers[i].link.fd, SHUT_RDWR);
	for (uint32_t i = 0; i < g.n_watchers; i++) {
		pthread_join(g.watchers[i].thread, NULL);
		events += g.watchers[i].events;
		again += g.watchers[i].again;
	}
	printf("{\"acknowledged\":%llu,\"failed\":%llu,\"lost\":%llu,\"events\":%llu,\"watches_again\":%llu,\"reconnects\":%llu}\n",
	       (unsigned long long)writes, (unsigned long long)atomic_load(&g.failed), (unsigned long long)lost,
	       (unsigned long long)events, (unsigned long long)again - g.n_watchers,
	       (unsigned long long)atomic_load(&g.reconnects));
	return lost || atomic_load(&g.failed) ? 1 : 0;
}

static void credentials(const char *pki)
{
	char file[512];

	g.tls = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(g.tls, SSL_VERIFY_PEER, NULL);
	snprintf(file, sizeof(file), "%s/ca.crt", pki);
	if (SSL_CTX_load_verify_locations(g.tls, file, NULL) == 1) {
		snprintf(file, sizeof(file), "%s/admin.crt", pki);
		if (SSL_CTX_use_certificate_chain_file(g.tls, file) == 1) {
			snprintf(file, sizeof(file), "%s/admin.key", pki);
			if (SSL_CTX_use_PrivateKey_file(g.tls, file, SSL_FILETYPE_PEM) == 1)
				return;
		}
	}
	fprintf(stderr, "steady: %s: cannot be used\n", file);
	exit(1);
}

static void begin(void)
{
	pthread_attr_t attr;
	struct link l = { 0 };
	char path[256], *list = malloc(BODY_MAX);

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	g.clients = calloc(g.n_clients, sizeof(*g.clients));
	g.watchers = calloc(g.n_watchers ? g.n_watchers : 1, sizeof(*g.watchers));
	for (uint32_t i = 0; i < g.n_clients; i++) {
		g.clients[i].n = i;
		g.clients[i].body = malloc(65536);
		client_begin(&g.clients[i]);
	}
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps?limit=1", g.ns);
	if (ask(&l, "GET", path, "", list, BODY_MAX) != 200)
		exit(1);
	g.rev = number_after(list, "\"resourceVersion\":\"");
	link_close(&l);
	free(list);
	for (uint32_t i = 0; i < g.n_watchers; i++) {
		g.watchers[i].seen = calloc(g.n_clients, sizeof(*g.watchers[i].seen));
		if (pthread_create(&g.watchers[i].thread, &attr, watcher_run, &g.watchers[i]))
			exit(1);
	}
	for (uint32_t i = 0; i < g.n_clients; i++)
		if (pthread_create(&g.clients[i].thread, &attr, client_run, &g.clients[i]))
			exit(1);
	pthread_attr_destroy(&attr);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	uint64_t requests = 0, failed = 0, t0 = 0;
	char text[256], name[256] = "";

	if (argc < 6) {
		/* make bench starts every program here: this one is for the replace scripts */
		printf("# steady PKI PORT NAMESPACE CLIENTS WATCHERS\n");
		return 0;
	}
	(void)setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	g.port = atoi(argv[2]);
	g.ns = argv[3];
	g.n_clients = (uint32_t)atoi(argv[4]);
	g.n_watchers = (uint32_t)atoi(argv[5]);
	credentials(argv[1]);
	begin();
	while (fgets(text, sizeof(text), stdin)) {
		text[strcspn(text, "\n")] = '\0';
		if (!strncmp(text, "mark ", 5)) {
			snprintf(name, sizeof(name), "%s", text + 5);
			requests = atomic_load(&g.requests);
			failed = atomic_load(&g.failed);
			atomic_store(&g.longest, 0);
			atomic_store(&g.gap, 0);
			t0 = now();
			puts("ok");
		} else if (!strncmp(text, "more ", 5)) {
			uint64_t goal = atomic_load(&g.requests) + strtoull(text + 5, NULL, 10);

			while (atomic_load(&g.requests) < goal)
				usleep(1000);
			puts("ok");
		} else if (!strcmp(text, "end")) {
			uint64_t n = atomic_load(&g.requests) - requests;

			/* what is still open counts too */
			raise_to(&g.gap, now() - atomic_load(&g.last));
			printf("{\"name\":\"%s\",\"requests\":%llu,\"per_second\":%.0f,\"failed\":%llu,\"longest_ms\":%.1f,"
			       "\"gap_ms\":%.1f}\n", name, (unsigned long long)n, (double)n * 1e9 / (double)(now() - t0 + 1),
			       (unsigned long long)(atomic_load(&g.failed) - failed), (double)atomic_load(&g.longest) / 1e6,
			       (double)atomic_load(&g.gap) / 1e6);
		} else {
			break;
		}
	}
	return finish();
}
