/* test/net.c - listening and connecting. */
#define OTAP_FAULTS
#include "net.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include "kit.h"
#include "work.h"

struct side {
	struct core_loop *loop;
	_Atomic int	n;
	_Atomic int	wrong;
	int		fd;
	char		peer[128];
};

static void accepted(void *arg, int32_t fd, const char *peer)
{
	struct side *s = arg;

	if (!core_loop_here(s->loop))
		s->wrong++;
	(void)snprintf(s->peer, sizeof(s->peer), "%s", peer);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	s->n++;
}

static void connected(void *arg, int32_t fd)
{
	struct side *s = arg;

	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	s->n++;
}

static void side_done(struct side *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

struct listen_on {
	struct core_net	*net;
	struct core_loop *loop;
	struct side	*side;
	struct orlop_listener *l;
	_Atomic int	done;
};

static void listen_there(void *arg)
{
	struct listen_on *x = arg;

	if (core_net_listen(x->net, x->loop, NULL, "m", "127.0.0.1:0", accepted, x->side, &x->l, NULL))
		abort();
	x->done = 1;
}

static void close_there(void *arg)
{
	struct listen_on *x = arg;

	core_net_listener_close(x->l);
	x->done = 2;
}

/* An allocation fails on this loop while one begins to listen: it is refused, or listens all the same. */
static void test_no_memory(struct core_net *net, struct core_loop *l)
{
	int refused = 0;
	int deaf = 0;
	int hit = 0;
	int n;

	for (n = 1; n < 100; n++) {
		struct side a = { .loop = l, .fd = -1 };
		struct side c = { .loop = l, .fd = -1 };
		struct orlop_error err = ORLOP_ERROR_INIT;
		struct orlop_listener *la;
		char addr[128];
		int r;

		otap_fail_nth(n);
		r = core_net_listen(net, l, NULL, "hungry", "127.0.0.1:0", accepted, &a, &la, &err);
		if (r == 0)
			core_loop_turn(l, false);	/* it is watched from here on */
		otap_fail_nth(0);
		hit += otap_faulted();
		refused += r != 0;
		if (r == 0) {
			core_net_listener_addr(la, addr, sizeof(addr));
			if (core_net_connect(net, l, NULL, addr, KIT_ASK_NS, connected, &c))
				abort();
			deaf += !kit_until(l, a.n == 1);
			(void)kit_until(l, c.n == 1);
			core_net_listener_close(la);
			core_net_release(net, "hungry");	/* the next has a socket of its own */
			core_loop_turn(l, false);
		}
		side_done(&a);
		side_done(&c);
		if (!otap_faulted())
			break;
	}
	is_int(deaf, 0, "who was told that it listens is heard, whatever allocation failed");
	ok(hit > refused + 2 && refused > 0, "%d failed, %d times it was refused", hit, refused);
}

static void test_tcp(struct core_net *net, struct core_loop *l, struct core_loop *other)
{
	struct side a = { .loop = l, .fd = -1 };
	struct side b = { .loop = other, .fd = -1 };
	struct side c = { .loop = l, .fd = -1 };
	struct listen_on x = { .net = net, .loop = other, .side = &b };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_listener *la;
	struct orlop_listener *lb;
	struct core_owner o;
	char addr[128];
	char addr2[128];
	int n;

	core_owner_init(&o);
	is_int(core_net_listen(net, l, &o, "m", "127.0.0.1:0", accepted, &a, &la, &err), 0, "listen on any port");
	core_net_listener_addr(la, addr, sizeof(addr));
	ok(strncmp(addr, "127.0.0.1:", 10) == 0 && strcmp(addr + 10, "0") != 0, "it is %s", addr);
	(void)core_loop_post(other, listen_there, &x);
	ok(kit_until(l, x.done == 1), "another loop listens on the same address");
	core_net_listener_addr(x.l, addr2, sizeof(addr2));
	is_str(addr2, addr, "it is the same socket");
	for (n = 0; n < 10; n++) {
		(void)core_net_connect(net, l, &o, addr, KIT_ASK_NS, connected, &c);
		if (!kit_until(l, c.n == n + 1 && a.n + b.n == n + 1))
			break;
	}
	is_int(n, 10, "ten connections are made");
	ok(a.n == 5 && b.n == 5, "dealt in turn");
	is_int(a.wrong + b.wrong, 0, "each on its listener's loop");
	ok(strncmp(a.peer, "127.0.0.1:", 10) == 0, "the peer is %s", a.peer);
	is_int(core_owner_count(&o, CORE_HELD_CONNECT), 0, "no connect is under way");

	is_int(core_net_listen(net, l, NULL, "other", addr, accepted, &a, &lb, &err), -EADDRINUSE,
	       "another instance cannot have the port");
	ok(strstr(err.msg, addr) && strstr(err.msg, "in use"), "and is told so: %s", err.msg);

	/* The socket survives its listeners: what connects meanwhile waits in the backlog. */
	core_net_listener_close(la);
	(void)core_loop_post(other, close_there, &x);
	ok(kit_until(l, x.done == 2), "both stop listening");
	side_done(&c);
	n = c.n;
	(void)core_net_connect(net, l, NULL, addr, KIT_ASK_NS, connected, &c);
	ok(kit_until(l, c.n == n + 1) && c.fd >= 0, "a connection is still taken");
	n = a.n;
	is_int(core_net_listen(net, l, &o, "m", "127.0.0.1:0", accepted, &a, &la, &err), 0, "listen again");
	ok(kit_until(l, a.n == n + 1), "and the new listener gets it");
	core_net_listener_addr(la, addr2, sizeof(addr2));
	is_str(addr2, addr, "on the same port");
	is_int(core_net_reclaim(&o), 1, "a forgotten listener is closed");
	core_net_release(net, "m");
	side_done(&c);
	n = c.n;
	/* Closed by a post to this loop, which the wait below runs. */
	core_loop_turn(l, false);
	(void)core_net_connect(net, l, NULL, addr, KIT_ASK_NS, connected, &c);
	ok(kit_until(l, c.n == n + 1), "connect calls back");
	is_int(c.fd, -ECONNREFUSED, "released: refused");
	side_done(&a);
	side_done(&b);
}

static void test_names(struct core_net *net, struct core_loop *l)
{
	struct side s = { .loop = l, .fd = -1 };
	struct side c = { .loop = l, .fd = -1 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_listener *ln;
	struct core_owner o;
	char addr[128];
	char by_name[64];

	core_owner_init(&o);
	(void)core_net_listen(net, l, NULL, "n", "127.0.0.1:0", accepted, &s, &ln, &err);
	core_net_listener_addr(ln, addr, sizeof(addr));
	(void)snprintf(by_name, sizeof(by_name), "localhost%s", strchr(addr, ':'));
	is_int(core_net_connect(net, l, NULL, by_name, KIT_ASK_NS, connected, &c), 0, "connect by name");
	ok(kit_until(l, c.n == 1), "calls back");
	ok(c.fd >= 0, "connected (%d)", c.fd);
	side_done(&c);
	is_int(core_net_connect(net, l, NULL, "no port", KIT_SECOND, connected, &c), -EINVAL, "no address");
	is_int(core_net_connect(net, l, NULL, "a:b:c", KIT_SECOND, connected, &c), -EINVAL, "no address");
	is_int(core_net_connect(net, l, NULL, "host:70000", KIT_SECOND, connected, &c), -EINVAL, "no port");
	is_int(core_net_listen(net, l, NULL, "n", "localhost:1", accepted, &s, &ln, &err), -EINVAL,
	       "listening wants a numeric address");
	/* A backlog that is never taken from, then full: connect must time out or be cancelled. */
	(void)core_net_connect(net, l, &o, "192.0.2.1:9", 3600 * KIT_SECOND, connected, &c);
	core_loop_turn(l, false);
	c.n = 0;
	c.fd = -1;
	if (core_owner_count(&o, CORE_HELD_CONNECT)) {
		is_int(core_net_cancel_connects(&o), 1, "a connect is cancelled");
		is_int(c.fd, -ECANCELED, "and called back");
	} else {
		otap_skip("no route to wait on", 2);
	}
	c.fd = -1;
	core_net_listener_close(ln);
	core_net_release(net, "n");
	core_loop_turn(l, false);
	side_done(&s);
}

static void test_unix(struct core_net *net, struct core_loop *l)
{
	char dir[] = "/tmp/orlop-net-XXXXXX";
	char addr[80];
	char path[64];
	struct side s = { .loop = l, .fd = -1 };
	struct side c = { .loop = l, .fd = -1 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_listener *ln = NULL;
	struct stat st;
	FILE *f;
	int fd = -1;

	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	(void)snprintf(addr, sizeof(addr), "unix:%s", path);
	is_int(core_net_bind(addr, &fd, &err), 0, "a unix socket");
	close(fd);
	is_int(core_net_listen(net, l, NULL, "u", addr, accepted, &s, &ln, &err), 0,
	       "a stale socket file is replaced");
	is_int(core_net_bind(addr, &fd, &err), -EADDRINUSE, "one that is served is not");
	(void)core_net_connect(net, l, NULL, addr, KIT_ASK_NS, connected, &c);
	ok(kit_until(l, c.n == 1 && s.n == 2), "connect to it, behind the probe");
	ok(c.fd >= 0, "connected");
	core_net_listener_close(ln);
	core_net_release(net, "u");
	core_loop_turn(l, false);
	ok(stat(path, &st) < 0, "its file goes with it");
	side_done(&c);
	(void)core_net_connect(net, l, NULL, addr, KIT_ASK_NS, connected, &c);
	ok(kit_until(l, c.n == 2), "connect calls back");
	is_int(c.fd, -ENOENT, "there is nothing");
	f = fopen(path, "w");
	if (f)
		fclose(f);
	is_int(core_net_bind(addr, &fd, &err), -EEXIST, "another file is not replaced");
	side_done(&s);
	(void)ofile_remove_tree(-100, dir);
}

int main(void)
{
	struct core_workers *w = NULL;
	struct core_loop *l = NULL;
	struct core_loop *other = NULL;
	struct core_net *net = NULL;
	int fds;

	kit_settle();
	fds = kit_fds();
	if (core_loop_new(0, "main", &l) || core_loop_new(1, "other", &other) || core_loop_start(other) ||
	    core_workers_new(8, &w) || core_net_new(l, w, &net))
		otap_bail_out("no loops");
	core_loop_turn(l, false);
	test_tcp(net, l, other);
	test_no_memory(net, l);
	test_names(net, l);
	test_unix(net, l);
	core_net_free(net);
	core_workers_free(w);
	core_loop_free(other);
	core_loop_free(l);
	is_int(kit_fds(), fds, "no descriptor is left");
	return done_testing();
}
