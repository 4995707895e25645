/*
 * nn.c - the part of nanomsg that the bus uses: pairs of NN_BUS sockets inside one process.
 *
 * As the real ones: sending reports success whatever happens. What a bus loses, doubles or overtakes is
 * decided here, packet by packet, from the world's chance (struct sim_proc: loss_percent and so on).
 */
#include "inside.h"

#include <errno.h>
#include <nanomsg/nn.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"

struct packet {
	struct olist	node;
	size_t		len;
	/* bytes follow */
};

struct queue {
	struct sim_fd	*fd;
	struct queue	*peer;
	char		*url;		/* bound to, or connecting */
	bool		bound;
	struct olist	packets;
};

/* A packet that comes later than those behind it. */
struct late {
	struct sim_proc	*proc;
	uint32_t	life;
	int		fd;
	struct queue	*to;
	struct packet	*packet;
};

static struct queue *queue_of(int s)
{
	struct sim_fd *f = sim_fd_get(s);

	return f && f->kind == SIM_FD_QUEUE ? f->arg : NULL;
}

SIM_OURS int nn_socket(int domain, int protocol)
{
	struct sim_fd *f = sim_fd_new(SIM_FD_QUEUE);
	struct queue *q = OMEM_NEW(struct queue);

	(void)domain;
	(void)protocol;
	if (!q)
		sim_die("out of memory");
	q->fd = f;
	olist_init(&q->packets);
	f->arg = q;
	return f->fd;
}

SIM_OURS int nn_setsockopt(int s, int level, int option, const void *val, size_t len)
{
	(void)s;
	(void)level;
	(void)option;
	(void)val;
	(void)len;
	return 0;
}

SIM_OURS int nn_getsockopt(int s, int level, int option, void *val, size_t *len)
{
	(void)level;
	(void)option;
	memcpy(val, &s, sizeof(s));
	*len = sizeof(s);
	return 0;
}

/* The other end that waits for the same name. */
static void meet(struct queue *q)
{
	OLIST_FOREACH(n, &q->fd->proc->fds) {
		struct sim_fd *f = OLIST_ENTRY(n, struct sim_fd, node);
		struct queue *o = f->kind == SIM_FD_QUEUE ? f->arg : NULL;

		if (o && o != q && !o->peer && o->url && o->bound != q->bound && strcmp(o->url, q->url) == 0) {
			o->peer = q;
			q->peer = o;
			return;
		}
	}
}

static int attach(int s, const char *url, bool bound)
{
	struct queue *q = queue_of(s);

	if (!q) {
		errno = EBADF;
		return -1;
	}
	q->url = omem_strdup(url);
	q->bound = bound;
	if (!q->url)
		sim_die("out of memory");
	meet(q);
	return 1;
}

SIM_OURS int nn_bind(int s, const char *url)
{
	return attach(s, url, true);
}

SIM_OURS int nn_connect(int s, const char *url)
{
	return attach(s, url, false);
}

static struct packet *packet_new(const void *p, size_t len)
{
	struct packet *k = omem_alloc(sizeof(*k) + len);

	if (!k)
		sim_die("out of memory");
	k->len = len;
	memcpy(k + 1, p, len);
	return k;
}

static void arrive(struct queue *to, struct packet *k)
{
	olist_append(&to->packets, &k->node);
	sim_fd_ready(to->fd, 1);
}

static void arrive_late(void *arg)
{
	struct late *l = arg;

	/* It may have gone meanwhile, with the socket or the whole process. */
	if (l->proc->running && l->proc->life == l->life && queue_of(l->fd) == l->to)
		arrive(l->to, l->packet);
	else
		omem_free(l->packet);
	omem_free(l);
}

static void send_one(struct queue *to, const void *p, size_t len, uint32_t reorder_percent)
{
	struct packet *k = packet_new(p, len);
	struct late *l;

	if (!reorder_percent || sim_host_below(100) >= reorder_percent) {
		arrive(to, k);
		return;
	}
	l = OMEM_NEW(struct late);
	if (!l)
		sim_die("out of memory");
	l->proc = to->fd->proc;
	l->life = l->proc->life;
	l->fd = to->fd->fd;
	l->to = to;
	l->packet = k;
	sim_at(sim_w, sim_w->now + 1 + sim_host_below(4 * SIM_MS), arrive_late, l);
}

SIM_OURS int nn_send(int s, const void *p, size_t len, int flags)
{
	struct queue *q = queue_of(s);
	const struct sim_proc *m;

	(void)flags;
	if (!q) {
		errno = EBADF;
		return -1;
	}
	m = q->fd->proc;
	if (q->peer && !(m->loss_percent && sim_host_below(100) < m->loss_percent)) {
		send_one(q->peer, p, len, m->reorder_percent);
		if (m->dup_percent && sim_host_below(100) < m->dup_percent)
			send_one(q->peer, p, len, m->reorder_percent);
	}
	sim_maybe_yield();
	return (int)len;
}

SIM_OURS int nn_recv(int s, void *buf, size_t len, int flags)
{
	struct queue *q = queue_of(s);
	struct olist *n = q ? olist_shift(&q->packets) : NULL;
	struct packet *k;

	(void)flags;
	if (len != NN_MSG)
		sim_die("nn_recv() into a buffer");
	if (!n) {
		errno = q ? EAGAIN : EBADF;
		return -1;
	}
	if (olist_empty(&q->packets))
		sim_fd_ready(q->fd, 0);
	k = OLIST_ENTRY(n, struct packet, node);
	*(void **)buf = k + 1;
	return (int)k->len;
}

SIM_OURS int nn_freemsg(void *msg)
{
	omem_free((struct packet *)msg - 1);
	return 0;
}

void sim_queue_free(struct sim_fd *f)
{
	struct queue *q = f->arg;
	struct olist *n;

	if (q->peer)
		q->peer->peer = NULL;
	while ((n = olist_shift(&q->packets)) != NULL)
		omem_free(OLIST_ENTRY(n, struct packet, node));
	omem_free(q->url);
	omem_free(q);
}

SIM_OURS int nn_close(int s)
{
	struct sim_fd *f = sim_fd_get(s);

	if (!f || f->kind != SIM_FD_QUEUE) {
		errno = EBADF;
		return -1;
	}
	sim_fd_free(f);
	return 0;
}
