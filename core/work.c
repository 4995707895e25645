/*
 * work.c - the pool of workers.
 *
 * One lock for all: jobs are long (they block), the bookkeeping is short. A queue with ready jobs
 * and room below its limit is on the pool's list; workers take one job of the first queue and move
 * the queue to the end, so that no consumer starves another. Jobs of one key form a strand: only its
 * first job is ready, the next becomes ready when that one has run.
 */
#include "work.h"

#include <errno.h>
#include <time.h>

#include "base/omem.h"

#define WORK_STACK_BYTES	(512u << 10)	/* address space; what is not touched costs nothing */
#define WORK_IDLE_S		10
#define STRAND_BUCKETS		64u

struct job {
	struct olist	node;		/* queue->ready or strand->waiting */
	struct core_workq *q;
	struct strand	*strand;	/* NULL: key 0 */
	struct core_loop *loop;
	struct core_owner *owner;
	orlop_cb	fn;
	orlop_cb	done;
	void		*arg;
	struct core_post post;
};

struct strand {
	struct strand	*next;		/* in its bucket */
	uint64_t	key;
	struct olist	waiting;	/* behind the one that is ready or running */
};

struct core_workq {
	struct olist	node;		/* workers->queues if on it */
	struct core_workers *w;
	uint32_t	limit;
	uint32_t	running;
	uint32_t	pending;	/* queued and running, not counting done() */
	struct olist	ready;
	struct strand	*strands[STRAND_BUCKETS];
};

struct worker {
	struct olist	node;		/* threads or finished */
	struct core_workers *w;
	pthread_t	thread;
};

struct core_workers {
	pthread_mutex_t	lock;
	pthread_cond_t	wake;
	pthread_cond_t	empty;		/* a queue is */
	struct olist	queues;		/* with a ready job and room */
	struct olist	threads;	/* running */
	struct olist	finished;	/* ended by themselves, to be joined */
	uint32_t	n_threads;
	uint32_t	n_idle;
	uint32_t	max;
	bool		stop;
};

int core_workers_new(uint32_t max_threads, struct core_workers **ret)
{
	struct core_workers *w = OMEM_NEW(struct core_workers);
	pthread_condattr_t attr;

	if (!w)
		return -ENOMEM;
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->wake, &attr);
	(void)pthread_cond_init(&w->empty, NULL);
	(void)pthread_condattr_destroy(&attr);
	olist_init(&w->queues);
	olist_init(&w->threads);
	olist_init(&w->finished);
	w->max = max_threads;
	*ret = w;
	return 0;
}

/* Joins the threads on @list; the lock is not held. */
static void workers_join(struct olist *list)
{
	struct olist *n;

	while ((n = olist_shift(list))) {
		struct worker *t = OLIST_ENTRY(n, struct worker, node);

		pthread_join(t->thread, NULL);
		omem_free(t);
	}
}

void core_workers_free(struct core_workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->wake);
	while (w->n_threads)
		pthread_cond_wait(&w->wake, &w->lock);
	pthread_mutex_unlock(&w->lock);
	workers_join(&w->finished);
	pthread_cond_destroy(&w->wake);
	pthread_cond_destroy(&w->empty);
	pthread_mutex_destroy(&w->lock);
	omem_free(w);
}

uint32_t core_workers_threads(struct core_workers *w)
{
	uint32_t n;

	pthread_mutex_lock(&w->lock);
	n = w->n_threads;
	pthread_mutex_unlock(&w->lock);
	return n;
}

int core_workq_new(struct core_workers *w, uint32_t limit, struct core_workq **ret)
{
	struct core_workq *q = OMEM_NEW(struct core_workq);

	if (!q)
		return -ENOMEM;
	q->w = w;
	q->limit = limit ? limit : 1;
	olist_init(&q->node);
	olist_init(&q->ready);
	*ret = q;
	return 0;
}

void core_workq_free(struct core_workq *q)
{
	if (!q)
		return;
	/* Empty by contract, but the last job's worker may still be leaving job_finish(). */
	pthread_mutex_lock(&q->w->lock);
	olist_del(&q->node);
	pthread_mutex_unlock(&q->w->lock);
	omem_free(q);
}

void core_workq_wait(struct core_workq *q)
{
	pthread_mutex_lock(&q->w->lock);
	while (q->pending)
		pthread_cond_wait(&q->w->empty, &q->w->lock);
	pthread_mutex_unlock(&q->w->lock);
}

uint32_t core_workq_pending(struct core_workq *q)
{
	uint32_t n;

	pthread_mutex_lock(&q->w->lock);
	n = q->pending;
	pthread_mutex_unlock(&q->w->lock);
	return n;
}

static struct strand **strand_slot(struct core_workq *q, uint64_t key)
{
	struct strand **s = &q->strands[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 58];

	while (*s && (*s)->key != key)
		s = &(*s)->next;
	return s;
}

/* Puts the queue on or off the pool's list as it should be; wakes a worker for it. */
static void queue_offer(struct core_workq *q)
{
	bool want = !olist_empty(&q->ready) && q->running < q->limit;

	if (want && olist_empty(&q->node))
		olist_append(&q->w->queues, &q->node);
	else if (!want)
		olist_del(&q->node);
}

/* The job has run: its strand goes on. Called with the lock held; frees nothing of @j. */
static void job_finish(struct job *j)
{
	struct core_workq *q = j->q;
	struct strand *s = j->strand;

	q->running--;
	if (--q->pending == 0)
		pthread_cond_broadcast(&q->w->empty);
	if (s) {
		struct olist *n = olist_shift(&s->waiting);

		if (n) {
			olist_append(&q->ready, n);
		} else {
			*strand_slot(q, s->key) = s->next;
			omem_free(s);
		}
	}
	queue_offer(q);
}

static void job_done(void *arg)
{
	struct job *j = arg;

	if (j->done)
		j->done(j->arg);
	core_owner_dec(j->owner, CORE_HELD_WORK);
	omem_free(j);
}

static void worker_main(void *arg)
{
	struct worker *me = arg;
	struct core_workers *w = me->w;
	struct timespec until;
	bool idle = false;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct olist *n = olist_shift(&w->queues);
		struct core_workq *q;
		struct job *j;

		if (!n) {
			int r;

			if (w->stop)
				break;
			if (!idle) {
				(void)clock_gettime(CLOCK_MONOTONIC, &until);
				until.tv_sec += WORK_IDLE_S;
				idle = true;
			}
			w->n_idle++;
			r = pthread_cond_timedwait(&w->wake, &w->lock, &until);
			w->n_idle--;
			if (r == ETIMEDOUT && olist_empty(&w->queues))
				break;
			continue;
		}
		idle = false;
		q = OLIST_ENTRY(n, struct core_workq, node);
		j = OLIST_ENTRY(olist_shift(&q->ready), struct job, node);
		q->running++;
		queue_offer(q);
		if (!olist_empty(&w->queues) && w->n_idle)
			pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);

		j->fn(j->arg);

		pthread_mutex_lock(&w->lock);
		job_finish(j);
		/* From here on the queue may be freed by whoever learns of the job's end. */
		pthread_mutex_unlock(&w->lock);
		if (core_loop_post_node(j->loop, &j->post, job_done, j)) {
			/* The loop is closed: the count must go down, the answer is lost with the loop. */
			core_owner_dec(j->owner, CORE_HELD_WORK);
			omem_free(j);
		}
		pthread_mutex_lock(&w->lock);
	}
	olist_del(&me->node);
	olist_append(&w->finished, &me->node);
	w->n_threads--;
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

/* Starts a thread if one is needed and allowed. Lock held; failing is fine if any thread runs. */
static int worker_add(struct core_workers *w)
{
	struct worker *t;
	int r;

	if (w->n_idle || w->n_threads >= w->max)
		return 0;
	t = OMEM_NEW(struct worker);
	if (!t)
		return w->n_threads ? 0 : -ENOMEM;
	t->w = w;
	olist_append(&w->threads, &t->node);
	w->n_threads++;
	r = core_thread_start("orlop-work", WORK_STACK_BYTES, worker_main, t, &t->thread);
	if (r) {
		olist_del(&t->node);
		w->n_threads--;
		omem_free(t);
		return w->n_threads ? 0 : r;
	}
	return 0;
}

int core_work(struct core_workq *q, struct core_loop *l, struct core_owner *o, uint64_t key,
	      orlop_cb fn, orlop_cb done, void *arg)
{
	struct core_workers *w = q->w;
	struct job *j = OMEM_NEW(struct job);
	struct olist finished;
	struct strand **s;
	int r = 0;

	if (!j)
		return -ENOMEM;
	j->q = q;
	j->loop = l;
	j->owner = o;
	j->fn = fn;
	j->done = done;
	j->arg = arg;
	olist_init(&finished);
	pthread_mutex_lock(&w->lock);
	olist_splice(&finished, &w->finished);
	r = worker_add(w);
	if (r)
		goto out;
	if (key) {
		s = strand_slot(q, key);
		if (*s) {
			olist_append(&(*s)->waiting, &j->node);
			j->strand = *s;
			goto queued;
		}
		*s = OMEM_NEW(struct strand);
		if (!*s) {
			r = -ENOMEM;
			goto out;
		}
		(*s)->key = key;
		olist_init(&(*s)->waiting);
		j->strand = *s;
	}
	olist_append(&q->ready, &j->node);
	queue_offer(q);
	pthread_cond_signal(&w->wake);
queued:
	q->pending++;
	core_owner_inc(o, CORE_HELD_WORK);
out:
	pthread_mutex_unlock(&w->lock);
	workers_join(&finished);
	if (r)
		omem_free(j);
	return r;
}
