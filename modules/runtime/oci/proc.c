/* proc.c - running a program to its end with its output captured. */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/omem.h"

#define OUTPUT_MAX	(1u << 20)

struct proc {
	struct olist	node;		/* oci's procs */
	struct oci	*o;
	struct orlop_child *child;
	struct orlop_fdwatch *watch;
	int		fd;
	struct obuf	out;
	proc_fn		fn;
	void		*arg;
};

/* Read what is there; what is beyond the bound is read and dropped. */
static bool proc_drain(struct proc *p)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(p->fd, buf, sizeof(buf))) > 0)
		if (p->out.len < OUTPUT_MAX)
			obuf_append(&p->out, buf, (size_t)n);
	return n < 0 && errno == EAGAIN;
}

static void proc_readable(void *arg, int32_t fd, uint32_t events)
{
	struct proc *p = arg;

	(void)fd;
	(void)events;
	if (!proc_drain(p)) {
		p->o->h->fd_unwatch(p->watch);
		p->watch = NULL;
	}
}

static void proc_exited(void *arg, int32_t code, int32_t sig)
{
	struct proc *p = arg;

	olist_del(&p->node);
	(void)proc_drain(p);
	p->o->h->fd_unwatch(p->watch);
	close(p->fd);
	p->o->h->child_free(p->child);
	p->fn(p->arg, code, sig, &p->out);
	obuf_done(&p->out);
	omem_free(p);
}

int proc_run(struct oci *o, const char *const *argv, uint32_t flags, proc_fn fn, void *arg,
	     struct orlop_error *err)
{
	return proc_start(o, argv, flags, fn, arg, NULL, err);
}

void proc_kill(struct proc *p)
{
	(void)p->o->h->child_kill(p->child, SIGKILL);
}

void procs_forget(struct oci *o)
{
	while (!olist_empty(&o->procs)) {
		struct proc *p = OLIST_ENTRY(olist_first(&o->procs), struct proc, node);

		olist_del(&p->node);
		o->h->fd_unwatch(p->watch);
		close(p->fd);
		o->h->child_free(p->child);
		obuf_done(&p->out);
		omem_free(p);
	}
}

int proc_start(struct oci *o, const char *const *argv, uint32_t flags, proc_fn fn, void *arg, struct proc **ret,
	       struct orlop_error *err)
{
	struct proc *p = OMEM_NEW(struct proc);
	struct orlop_spawn s = { .size = sizeof(s) };
	int32_t fds[3];
	int pipefd[2];
	int e;

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	if (pipe2(pipefd, O_CLOEXEC | O_NONBLOCK)) {
		e = errno;
		omem_free(p);
		return orlop_fail(err, e, 0, "", "pipe for %s", argv[0]);
	}
	(void)fcntl(pipefd[1], F_SETFL, 0);	/* programs expect to block */
	p->o = o;
	p->fd = pipefd[0];
	p->fn = fn;
	p->arg = arg;
	obuf_init(&p->out);
	fds[0] = -1;
	fds[1] = pipefd[1];
	fds[2] = pipefd[1];
	s.argv = argv;
	s.fds = fds;
	s.n_fds = 3;
	s.flags = flags;
	e = o->h->spawn(o->h, &s, proc_exited, p, &p->child, err);
	close(pipefd[1]);
	if (!e && (e = o->h->fd_watch(o->h, p->fd, ORLOP_FD_READ, proc_readable, p, &p->watch)))
		p->watch = NULL;	/* the output is read at the end: enough for what we run */
	if (p->child) {
		olist_append(&o->procs, &p->node);
		if (ret)
			*ret = p;
		return 0;
	}
	close(p->fd);
	omem_free(p);
	return e;
}

void proc_first_line(const struct obuf *out, char *buf, size_t size)
{
	size_t n = 0;
	const char *p = out->data;

	while (p && n < out->len && n + 1 < size && p[n] != '\n') {
		buf[n] = p[n] >= ' ' || p[n] < 0 ? p[n] : ' ';
		n++;
	}
	buf[n] = '\0';
}
