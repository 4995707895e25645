/*
 * attach.c - joining a caller to a container's own process: its output from now on, its input.
 *
 * conmon listens on the seqpacket socket DIR/attach: what comes from it is one byte that says which
 * stream (2, 3) and then bytes of it; what is sent to it is input. The caller gets sockets: with a
 * terminal one for both ways, else one per stream, so that its leaving is seen even while nothing is
 * written. A caller that does not read stops only its own session: conmon drops who is too slow.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/ocleanup.h"
#include "base/omem.h"

#define PACKET_MAX	8192
#define RESIZE_NS	30000000ull
#define IN		0
#define OUT		1
#define ERR		2

struct attach {
	struct olist	node;
	struct oci	*o;
	char		id[OCI_ID_LEN + 1];
	char		container[OCI_ID_LEN + 1];
	bool		tty;
	int		sock;			/* conmon's */
	struct orlop_fdwatch *sock_watch;
	int		end[3];			/* our ends: stdin, stdout, stderr; tty: [OUT] is both */
	struct orlop_fdwatch *watch[3];
	char		to_out[PACKET_MAX];	/* what end[to] did not take yet */
	size_t		out_len, out_off;
	int		to;
	char		to_in[PACKET_MAX];	/* what conmon did not take yet */
	size_t		in_len;
	bool		in_over;
	struct orlop_call *waiter;
	struct orlop_timer *timer;
	bool		resizing;		/* told conmon a moment ago */
	unsigned int	width, height;		/* to be told next, 0: nothing */
};

static void on_sock(void *arg, int32_t fd, uint32_t events);
static void on_end(void *arg, int32_t fd, uint32_t events);
static void resize_due(void *arg);

static void end_close(struct attach *a, int i)
{
	a->o->h->fd_unwatch(a->watch[i]);
	a->watch[i] = NULL;
	if (a->end[i] >= 0)
		close(a->end[i]);
	a->end[i] = -1;
}

static void attach_free(struct attach *a)
{
	int i;

	if (a->waiter) {
		const struct container *c = omap_get_cstr(&a->o->containers, a->container);
		struct orlop_msgw w;
		struct orlop_msg msg;

		a->o->h->call_on_cancel(a->waiter, NULL, NULL);
		orlop_msgw_init(&w, a->o->h);
		orlop_msgw_u64(&w, ORLOP_RUNTIME_T_EXIT_CODE, c ? (uint64_t)c->exit_code : 0);
		msg = orlop_msgw_msg(&w);
		a->o->h->call_done(a->waiter, 0, &msg, NULL);
		orlop_msgw_done(&w);
	}
	for (i = 0; i < 3; i++)
		end_close(a, i);
	a->o->h->timer_free(a->timer);
	a->o->h->fd_unwatch(a->sock_watch);
	if (a->sock >= 0)
		close(a->sock);
	olist_del(&a->node);
	omem_free(a);
}

/* Which descriptors are to wake us: reading one side stops while the other has not taken what there is. */
static void watches_set(struct attach *a)
{
	uint32_t out_read = a->tty && !a->in_len && !a->in_over ? ORLOP_FD_READ : 0;
	int i;

	a->o->h->fd_update(a->sock_watch, (a->out_len ? 0 : ORLOP_FD_READ) | (a->in_len ? ORLOP_FD_WRITE : 0));
	for (i = 0; i < 3; i++) {
		uint32_t want = i == IN ? (a->in_len ? 0 : ORLOP_FD_READ) : a->tty ? out_read : ORLOP_FD_READ;

		if (i != IN && a->out_len && a->to == i)
			want |= ORLOP_FD_WRITE;
		if (a->watch[i])
			a->o->h->fd_update(a->watch[i], want);
	}
}

/* false: nobody reads that stream any more. */
static bool out_flush(struct attach *a)
{
	ssize_t n;

	while (a->out_len) {
		n = send(a->end[a->to], a->to_out + a->out_off, a->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			a->out_len = 0;
			return false;
		}
		a->out_off += (size_t)n;
		a->out_len -= (size_t)n;
	}
	return true;
}

static void in_flush(struct attach *a)
{
	if (a->in_len && (send(a->sock, a->to_in, a->in_len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno != EAGAIN))
		a->in_len = 0;
	if (!a->in_len && a->in_over)
		(void)shutdown(a->sock, SHUT_WR);
}

/* Nobody there for any stream: the session is over. */
static bool deserted(const struct attach *a)
{
	return a->end[IN] < 0 && a->end[OUT] < 0 && a->end[ERR] < 0;
}

static void on_sock(void *arg, int32_t fd, uint32_t events)
{
	struct attach *a = arg;
	struct iovec iov[2];
	char kind = 0;
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = 1;
	int budget = 32;

	(void)events;
	in_flush(a);
	while (!a->out_len && budget--) {
		iov[0] = (struct iovec){ &kind, 1 };
		iov[1] = (struct iovec){ a->to_out, sizeof(a->to_out) };
		n = recvmsg(fd, &m, MSG_DONTWAIT);
		if (n <= 0)
			break;
		a->to = kind == 3 ? ERR : OUT;
		a->out_off = 0;
		a->out_len = a->end[a->to] >= 0 ? (size_t)n - 1 : 0;
		if (!out_flush(a))
			end_close(a, a->to);
	}
	if (!n || (n < 0 && errno != EAGAIN && errno != EINTR) || deserted(a))
		attach_free(a);
	else
		watches_set(a);
}

/* Input, or the caller leaves a stream, or takes again what it did not. */
static void on_end(void *arg, int32_t fd, uint32_t events)
{
	struct attach *a = arg;
	int i = fd == a->end[IN] ? IN : fd == a->end[OUT] ? OUT : ERR;
	char drop[512];
	ssize_t n = -1;

	if ((events & ORLOP_FD_WRITE) && a->out_len && a->to == i && !out_flush(a)) {
		end_close(a, i);
	} else if (i == IN || a->tty) {
		errno = EAGAIN;
		if (!a->in_len && !a->in_over)
			n = recv(fd, a->to_in, sizeof(a->to_in), MSG_DONTWAIT);
		if (n > 0) {
			a->in_len = (size_t)n;
		} else if (!n) {
			a->in_over = true;
			if (i == IN)
				end_close(a, IN);
		} else if (errno != EAGAIN && errno != EINTR) {
			end_close(a, i);
		}
		in_flush(a);
	} else {
		n = recv(fd, drop, sizeof(drop), MSG_DONTWAIT);
		if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
			end_close(a, i);
	}
	if (deserted(a) || (a->tty && a->end[OUT] < 0))
		attach_free(a);
	else
		watches_set(a);
}

static int conmon_connect(struct oci *o, const char *id, struct orlop_error *err)
{
	cleanup_free char *dir = path_of(o, "containers/%s", id);
	cleanup_close int dirfd = dir ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* the directory's own name may be too long for an address */
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/attach", dirfd);
	if (fd < 0 || dirfd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int e = errno;

		if (fd >= 0)
			close(fd);
		return orlop_fail(err, e, 0, "", "container %s: its monitor does not listen", id);
	}
	return fd;
}

/* Our end of stream @i, the caller's to @ret; -1 and /dev/null for one that is not wanted. */
static int end_open(struct attach *a, int i, bool wanted, int *ret)
{
	int sv[2];

	if (!wanted) {
		*ret = open("/dev/null", O_RDWR | O_CLOEXEC);
		return *ret < 0 ? -errno : 0;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return -errno;
	a->end[i] = sv[0];
	*ret = sv[1];
	return a->o->h->fd_watch(a->o->h, sv[0], ORLOP_FD_READ, on_end, a, &a->watch[i]);
}

OCI_OP(op_attach)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct container *c;
	struct attach *a;
	struct orlop_msgw w;
	struct orlop_msg msg;
	int theirs[3] = { -1, -1, -1 };
	int n = 0;
	int i;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	c = container_running(o, r, err);
	if (!c)
		return -err->err;
	a = OMEM_NEW(struct attach);
	if (!a)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	a->o = o;
	id_new(o, a->id);
	memcpy(a->container, c->id, sizeof(a->container));
	a->end[0] = a->end[1] = a->end[2] = -1;
	olist_append(&o->attaches, &a->node);
	(void)o->h->timer_new(o->h, resize_due, a, &a->timer);	/* without it sizes may be lost, no more */
	/* what the container was made with counts, whatever is asked for */
	a->tty = ojson_get_bool(c->config, "tty", false);
	a->sock = conmon_connect(o, c->id, err);
	e = a->sock < 0 ? a->sock : o->h->fd_watch(o->h, a->sock, ORLOP_FD_READ, on_sock, a, &a->sock_watch);
	if (a->tty && ojson_get_bool(r, "tty", true)) {
		e = e ? e : end_open(a, OUT, true, &theirs[n++]);
	} else {
		a->tty = false;
		for (i = 0; i < 3 && !e; i++)
			e = end_open(a, i, ojson_get_bool(r, names[i], false), &theirs[n++]);
	}
	if (e) {
		for (i = 0; i < n; i++)
			if (theirs[i] >= 0)
				close(theirs[i]);
		attach_free(a);
		return err && err->err ? e : orlop_fail(err, -e, 0, "", "cannot attach to container %s", c->id);
	}
	orlop_msgw_init(&w, o->h);
	orlop_msgw_str(&w, ORLOP_RUNTIME_T_EXEC_ID, a->id);
	for (i = 0; i < n; i++)
		orlop_msgw_fd(&w, theirs[i]);
	msg = orlop_msgw_msg(&w);
	o->h->call_done(call, 0, &msg, NULL);
	orlop_msgw_done(&w);
	return 0;
}

struct attach *attach_get(struct oci *o, struct orlop_bytes id)
{
	OLIST_FOREACH(pos, &o->attaches) {
		struct attach *a = OLIST_ENTRY(pos, struct attach, node);

		if (id.len == OCI_ID_LEN && !memcmp(id.p, a->id, OCI_ID_LEN))
			return a;
	}
	return NULL;
}

/* conmon's control fifo: "1 HEIGHT WIDTH" sets the window, "2 0 0" opens the log anew. */
int conmon_tell(struct oci *o, const char *id, int what, unsigned int a, unsigned int b)
{
	cleanup_free char *ctl = path_of(o, "containers/%s/ctl", id);
	cleanup_close int fd = ctl ? open(ctl, O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;
	char line[48];
	int n = snprintf(line, sizeof(line), "%d %u %u\n", what, a, b);

	if (fd < 0)
		return -errno;
	return write(fd, line, (size_t)n) == n ? 0 : -EIO;
}

/* conmon 2.1 heeds only the first of two lines that it reads at once: they go one after the other. */
static void resize_due(void *arg)
{
	struct attach *a = arg;

	a->resizing = false;
	if (a->width)
		attach_resize(a, a->width, a->height);
}

void attach_resize(struct attach *a, unsigned int width, unsigned int height)
{
	a->width = width;
	a->height = height;
	if (a->resizing)
		return;
	(void)conmon_tell(a->o, a->container, 1, height, width);
	a->width = 0;
	a->resizing = a->timer != NULL;
	if (a->timer)
		a->o->h->timer_set(a->timer, RESIZE_NS, 0);
}

static void waiter_left(void *arg)
{
	struct attach *a = arg;
	struct orlop_call *call = a->waiter;

	a->waiter = NULL;
	a->o->h->call_done(call, -ECANCELED, NULL, NULL);
}

int attach_wait(struct attach *a, struct orlop_call *call)
{
	if (a->waiter)
		return -EBUSY;
	a->waiter = call;
	a->o->h->call_on_cancel(call, waiter_left, a);
	return 0;
}

void attaches_end(struct oci *o)
{
	while (!olist_empty(&o->attaches))
		attach_free(OLIST_ENTRY(olist_first(&o->attaches), struct attach, node));
}
