/*
 * exectty.c - terminals of commands: crun brings the command's own by a socket, with runc we make one and it stands
 * between the two.
 */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/omem.h"

void exec_console_close(struct exec *x)
{
	x->o->h->fd_unwatch(x->console_watch);
	x->console_watch = NULL;
	if (x->console >= 0)
		close(x->console);
	x->console = -1;
	if (x->console_path)
		(void)unlink(x->console_path);
}

void exec_console_failed(struct exec *x)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_call *call = x->tty_call;

	x->tty_call = NULL;
	orlop_fail(&err, EIO, 0, "", "the command could not be given a terminal (exit code %d)", x->code);
	reply_error(x->o, call, &err);
	exec_free(x);
}

/* Before anything is written to it. */
static void size_first(const struct exec *x)
{
	struct winsize ws = { .ws_row = x->rows, .ws_col = x->cols };

	if (x->rows && x->cols)
		(void)ioctl(x->master, TIOCSWINSZ, &ws);
}

int exec_terminal(int *ret_master, int *ret_slave, struct orlop_error *err)
{
	char name[64];
	int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int s = -1;

	if (m >= 0 && !grantpt(m) && !unlockpt(m) && !ptsname_r(m, name, sizeof(name)))
		s = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s < 0) {
		int e = orlop_fail(err, errno, 0, "", "no terminal");

		if (m >= 0)
			close(m);
		return e;
	}
	*ret_master = m;
	*ret_slave = s;
	return 0;
}

static int exec_between(struct exec *x, const struct container *c, struct orlop_call *call, struct orlop_error *err)
{
	int master = -1;
	int slave = -1;
	int32_t fds[3];
	int out;
	int e = exec_terminal(&master, &slave, err);

	if (e)
		return e;
	x->master = master;
	size_first(x);
	fds[0] = fds[1] = fds[2] = slave;
	e = exec_spawn(x, c, true, fds, -1, err);
	close(slave);
	if (e)
		return e;
	out = fcntl(master, F_DUPFD_CLOEXEC, 3);
	exec_reply(x, call, &out, 1);
	return 0;
}

/* crun has connected: the master of the command's own terminal comes with its message. */
void exec_console_ready(void *arg, int32_t fd, uint32_t events)
{
	struct exec *x = arg;
	int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	union { struct cmsghdr h; char room[CMSG_SPACE(sizeof(int))]; } ctl = { 0 };
	char text[256];
	struct iovec v = { text, sizeof(text) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl.room, .msg_controllen = sizeof(ctl.room) };
	struct orlop_call *call = x->tty_call;
	struct cmsghdr *h;
	int out;

	(void)events;
	if (conn < 0)
		return;
	/* it is sent right behind the connection; who only connects is not waited for */
	(void)setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_sec = 1 }, sizeof(struct timeval));
	h = recvmsg(conn, &m, MSG_CMSG_CLOEXEC) > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	close(conn);
	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS || h->cmsg_len < CMSG_LEN(sizeof(int)))
		return;
	memcpy(&x->master, CMSG_DATA(h), sizeof(int));
	size_first(x);
	exec_console_close(x);
	x->tty_call = NULL;
	out = fcntl(x->master, F_DUPFD_CLOEXEC, 3);
	exec_reply(x, call, &out, 1);
}

/*
 * crun 1.8 passes a change of the window's size on as a signal alone when it stands between two terminals, so it hands
 * over the command's own. runc refuses to do that for who waits for it, and does well without.
 */
static int exec_console(struct exec *x, const struct container *c, struct orlop_call *call, struct orlop_error *err)
{
	struct oci *o = x->o;
	cleanup_free char *path = path_of(o, "containers/%s", c->id);
	cleanup_close int dir = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const int32_t fds[3] = { -1, -1, -1 };
	int e;

	if (dir < 0)
		return orlop_fail(err, errno, 0, "", "no directory for a terminal");
	x->console_path = omem_printf("%s/tty-%.12s", path, x->id);
	x->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/tty-%.12s", dir, x->id);
	if (!x->console_path || x->console < 0 || bind(x->console, (struct sockaddr *)&a, sizeof(a)) || listen(x->console, 1))
		return orlop_fail(err, errno, 0, "", "no socket for a terminal");
	e = o->h->fd_watch(o->h, x->console, ORLOP_FD_READ, exec_console_ready, x, &x->console_watch);
	if (e)
		return orlop_fail(err, -e, 0, "", "no socket for a terminal");
	e = exec_spawn(x, c, true, fds, dir, err);
	if (!e)
		x->tty_call = call;
	return e;
}

int exec_tty(struct exec *x, const struct container *c, struct orlop_call *call, struct orlop_error *err)
{
	return c->rt->is_crun ? exec_console(x, c, call, err) : exec_between(x, c, call, err);
}
