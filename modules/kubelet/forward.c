/*
 * forward.c - /portForward: a client's connections go to ports of a pod.
 *
 * The runtime gives a socket that is connected inside the pod's network namespace; http/oforward.h copies.
 * Source: pkg/kubelet/server.go (getPortForward), k8s.io/kubelet/pkg/cri/streaming/portforward.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>

#include <orlop/inline/msg.h>

#include "http/oforward.h"

struct forward {
	struct olist	node;
	struct server	*s;
	struct kubelet	*k;
	struct pod	*p;
	struct oforward	*f;		/* NULL: the client is gone */
	struct olist	dials;
	uint32_t	refs;
};

/* One connection that is being made. */
struct dial {
	struct olist	node;
	struct forward	*x;
	struct oforward_conn *c;	/* NULL: nobody waits for it any more */
	uint16_t	port;
};

static void forward_unref(struct forward *x)
{
	if (--x->refs)
		return;
	pod_unref(x->p);
	omem_free(x);
}

static void forward_end(struct forward *x)
{
	OLIST_FOREACH(pos, &x->dials)
		OLIST_ENTRY(pos, struct dial, node)->c = NULL;
	x->f = NULL;
	olist_del(&x->node);
	forward_unref(x);
}

static void refuse(const struct dial *d, const char *why)
{
	char text[600];

	snprintf(text, sizeof(text), "error forwarding port %u to pod %s, uid %s: %s", d->port,
		 d->x->p->sb_id ? d->x->p->sb_id : "", d->x->p->uid, why);
	oforward_failed(d->c, text);
}

static void dialled(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct dial *d = arg;
	struct forward *x = d->x;
	int fd = status >= 0 && msg && msg->n_fds ? msg->fds[0] : -1;

	(void)res;
	olist_del(&d->node);
	if (!d->c) {
		/* whoever asked has left: the socket is closed by the one who brought it */
	} else if (fd >= 0) {
		msg->fds[0] = -1;
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		oforward_connected(d->c, fd);
	} else {
		refuse(d, *why ? why : "the runtime gave no connection");
	}
	omem_free(d);
	forward_unref(x);
}

static void on_dial(void *arg, struct oforward_conn *c, uint16_t port)
{
	struct forward *x = arg;
	struct dial *d = OMEM_NEW(struct dial);
	bool p_gone = !x->p->sb_id;
	struct ojson *body = !p_gone ? rt_id("podSandboxId", x->p->sb_id) : NULL;

	if (!d || !body) {
		oforward_failed(c, p_gone ? "the pod has no sandbox" : "no memory");
		omem_free(d);
		ojson_unref(body);
		return;
	}
	d->x = x;
	d->c = c;
	d->port = port;
	olist_append(&x->dials, &d->node);
	(void)ojson_append(ojson_ensure_array(body, "port"), ojson_new_i64(port));
	x->refs++;
	rt_call(x->k, ORLOP_RUNTIME_PORT_FORWARD, 0, body, 0, dialled, d);
}

static void on_forget(void *arg, struct oforward_conn *c)
{
	struct forward *x = arg;

	OLIST_FOREACH(pos, &x->dials) {
		struct dial *d = OLIST_ENTRY(pos, struct dial, node);

		if (d->c == c)
			d->c = NULL;
	}
}

static void on_closed(void *arg)
{
	forward_end(arg);
}

static const struct oforward_ops forward_ops = { .dial = on_dial, .forget = on_forget, .closed = on_closed };

void forward_serve(struct server *s, struct ohttp_req *r, struct pod *p)
{
	struct forward *x;
	int e;

	if (p->sb != SB_READY || !p->sb_id) {
		server_text(r, 500, "unable to do port forwarding: pod \"%s\" has no sandbox that is ready", p->name);
		return;
	}
	x = OMEM_NEW(struct forward);
	if (!x) {
		server_text(r, 500, "no memory");
		return;
	}
	x->s = s;
	x->k = s->k;
	x->p = p;
	x->refs = 1;
	olist_init(&x->dials);
	pod_ref(p);
	olist_append(&s->forwards, &x->node);
	e = oforward_accept(s->k->h, r, &forward_ops, x, &x->f);
	if (e == -ENOMEM)
		server_text(r, 500, "no memory");
	if (e < 0)
		forward_end(x);
}

uint32_t forward_count(const struct server *s)
{
	uint32_t n = 0;

	OLIST_FOREACH(l, &s->forwards)
		n++;
	return n;
}

void forward_stop(struct server *s)
{
	while (!olist_empty(&s->forwards)) {
		struct forward *x = OLIST_ENTRY(olist_first(&s->forwards), struct forward, node);

		oforward_abort(x->f);
		forward_end(x);
	}
}
