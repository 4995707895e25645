/*
 * piper.c - asks the runtime for streams (exec, attach, a port) and uses them for a test: gives them input, and answers
 * with what they said. Descriptors do not come by the control socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/module.h>
#include <orlop/runtime.h>

enum { T_OP = 1, T_REQUEST, T_INPUT, T_UNTIL, T_OUT, T_ERR, T_FDS, T_KEEP };

#define SAID_MAX 65536u

struct piper {
	const struct orlop_host *h;
};

struct end {
	struct pipe	*p;
	int		fd;
	struct orlop_fdwatch *watch;
	char		*said;
	size_t		len;
};

/* One session: [0] what was said on stdout, the terminal or the port, [1] on stderr. */
struct pipe {
	const struct orlop_host *h;
	struct orlop_call *call;
	char		*input;
	size_t		input_len;
	char		*until;		/* said: enough, we leave; "": until it ends */
	uint64_t	n_fds;
	bool		keep_in;	/* input does not end */
	int		in;
	struct end	end[2];
};

static void end_close(struct end *e)
{
	e->p->h->fd_unwatch(e->watch);
	e->watch = NULL;
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
}

static void pipe_free(struct pipe *p)
{
	for (int i = 0; i < 2; i++) {
		end_close(&p->end[i]);
		free(p->end[i].said);
	}
	if (p->in >= 0)
		close(p->in);
	free(p->input);
	free(p->until);
	free(p);
}

static void answer(struct pipe *p)
{
	struct orlop_msgw w;
	struct orlop_msg m;

	orlop_msgw_init(&w, p->h);
	for (uint16_t i = 0; i < 2; i++)
		orlop_msgw_bytes(&w, (uint16_t)(T_OUT + i), p->end[i].said ? p->end[i].said : "", p->end[i].len);
	orlop_msgw_u64(&w, T_FDS, p->n_fds);
	m = orlop_msgw_msg(&w);
	p->h->call_done(p->call, w.err, w.err ? NULL : &m, NULL);
	orlop_msgw_done(&w);
	pipe_free(p);
}

static void readable(void *arg, int32_t fd, uint32_t events)
{
	struct end *e = arg;
	struct pipe *p = e->p;
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && e->len + (size_t)n < SAID_MAX) {
		char *more = realloc(e->said, e->len + (size_t)n + 1);

		if (more) {
			e->said = more;
			memcpy(more + e->len, buf, (size_t)n);
			e->len += (size_t)n;
			more[e->len] = '\0';
		}
		if (!*p->until || !e->said || !memmem(e->said, e->len, p->until, strlen(p->until)))
			return;
		answer(p);
		return;
	}
	end_close(e);
	if (p->end[0].fd < 0 && p->end[1].fd < 0)
		answer(p);
}

static int take(const struct orlop_msg *msg, uint32_t i)
{
	int fd = i < msg->n_fds ? msg->fds[i] : -1;

	if (fd >= 0)
		msg->fds[i] = -1;
	return fd;
}

static void watch(struct end *e, struct pipe *p, int fd)
{
	e->fd = fd;
	if (fd < 0)
		return;
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (p->h->fd_watch(p->h, fd, ORLOP_FD_READ, readable, e, &e->watch))
		end_close(e);
}

/* Small enough for any buffer. */
static void give(struct pipe *p, int fd)
{
	if (p->input_len && write(fd, p->input, p->input_len) != (ssize_t)p->input_len)
		p->n_fds = 99;
}

static void begun(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err, uint32_t flags)
{
	struct pipe *p = arg;

	if (flags & ORLOP_REPLY_MORE)
		return;
	if (status < 0) {
		p->h->call_done(p->call, status, NULL, err);
		pipe_free(p);
		return;
	}
	p->n_fds = msg->n_fds;
	if (msg->n_fds == 1) {		/* both ways */
		watch(&p->end[0], p, take(msg, 0));
		give(p, p->end[0].fd);
		if (!p->keep_in)
			(void)shutdown(p->end[0].fd, SHUT_WR);
	} else {
		p->in = take(msg, 0);
		watch(&p->end[0], p, take(msg, 1));
		watch(&p->end[1], p, take(msg, 2));
		if (p->in >= 0)
			give(p, p->in);
		if (p->in >= 0 && !p->keep_in) {
			close(p->in);
			p->in = -1;
		}
	}
	if (p->end[0].fd < 0 && p->end[1].fd < 0)
		answer(p);
}

/* 1: OP and REQUEST for the runtime, INPUT, UNTIL, KEEP. */
static int op_pipe(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	const struct orlop_host *h = ((struct piper *)ctx)->h;
	struct orlop_bytes doc = orlop_msg_bytes(h, &req->msg, T_REQUEST), input = orlop_msg_bytes(h, &req->msg, T_INPUT);
	struct orlop_bytes until = orlop_msg_bytes(h, &req->msg, T_UNTIL);
	struct orlop_send send = { .size = sizeof(send), .op = (uint32_t)orlop_msg_u64(&req->msg, T_OP, 0), .to = "runtime",
				   .timeout_ns = UINT64_C(60000000000) };
	struct pipe *p = calloc(1, sizeof(*p));
	struct orlop_msgw w;
	int r;

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	p->h = h;
	p->call = call;
	p->in = -1;
	p->end[0] = (struct end){ .p = p, .fd = -1 };
	p->end[1] = (struct end){ .p = p, .fd = -1 };
	p->input = strndup(input.p ? input.p : "", input.len);
	p->input_len = input.len;
	p->until = strndup(until.p ? until.p : "", until.len);
	p->keep_in = orlop_msg_u64(&req->msg, T_KEEP, 0) != 0;
	orlop_msgw_init(&w, h);
	orlop_msgw_bytes(&w, ORLOP_RUNTIME_T_REQUEST, doc.p, doc.len);
	send.msg = orlop_msgw_msg(&w);
	r = !p->input || !p->until || w.err ? -ENOMEM : h->request(h, &send, begun, p, NULL);
	orlop_msgw_done(&w);
	if (r) {
		pipe_free(p);
		return orlop_fail(err, -r, 0, "", "no memory");
	}
	return 0;
}

static int piper_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct piper *p = calloc(1, sizeof(*p));

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	p->h = h;
	*ret_ctx = p;
	return 0;
}

static void piper_fini(void *ctx)
{
	free(ctx);
}

static int piper_start(void *ctx, struct orlop_error *err)
{
	struct piper *p = ctx;

	(void)err;
	p->h->ready(p->h);
	return 0;
}

static const struct {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	op[2];
} piper_ops = { sizeof(piper_ops), 0, { NULL, op_pipe } };

ORLOP_MODULE("piper", "test", "1.0", "needs=runtime",
	.flags = ORLOP_MOD_UNLOADABLE,
	.summary = "uses a runtime's streams",
	.init = piper_init,
	.start = piper_start,
	.fini = piper_fini,
	.ops = &piper_ops);
