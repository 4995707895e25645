/*
 * world.c - the world: its clock, what happens next, chance, the trace.
 *
 * A step is one turn of one thread or one event (a time-out, a packet that was late, a request that arrives,
 * something of the driver). Which of those that are due comes next is chance; when none is, time goes on to
 * the first that will be.
 */
#include "inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ofile.h"
#include "base/omem.h"

#define STEP_NS		2000u	/* what a step takes: so that nothing can go on for ever at one moment */
#define KEEP_LINES	60u

struct sim *sim_w;

struct sim *sim_world(void)
{
	return sim_w;
}

void sim_die(const char *fmt, ...)
{
	va_list ap;

	fputs("sim: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (sim_w)
		fprintf(stderr, " (seed %llu, step %llu)", (unsigned long long)sim_w->cfg.seed,
			(unsigned long long)sim_w->steps);
	fputc('\n', stderr);
	abort();
}

/* ---- chance ------------------------------------------------------------------------------------------ */

/* splitmix64 */
uint64_t sim_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t sim_host_below(uint64_t n)
{
	return n ? sim_next(&sim_w->rnd_host) % n : 0;
}

bool sim_host_chance(uint32_t per_mille)
{
	return sim_host_below(1000) < per_mille;
}

uint64_t sim_random(struct sim *w)
{
	return sim_next(&w->rnd_driver);
}

uint64_t sim_below(struct sim *w, uint64_t n)
{
	return n ? sim_random(w) % n : 0;
}

uint64_t sim_between(struct sim *w, uint64_t lo, uint64_t hi)
{
	return lo + sim_below(w, hi - lo + 1);
}

bool sim_chance(struct sim *w, uint32_t per_mille)
{
	return sim_below(w, 1000) < per_mille;
}

/* ---- trace -------------------------------------------------------------------------------------------- */

void sim_mix(struct sim *w, uint64_t v)
{
	w->hash = (w->hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	w->hash ^= w->hash >> 29;
}

void sim_mix_bytes(struct sim *w, const void *p, size_t len)
{
	const unsigned char *b = p;
	uint64_t v;

	for (; len >= 8; b += 8, len -= 8) {
		memcpy(&v, b, 8);
		sim_mix(w, v);
	}
	v = len;
	memcpy(&v, b, len);
	sim_mix(w, v ^ (uint64_t)len << 56);
}

__attribute__((format(printf, 3, 0)))
static void say(struct sim *w, struct sim_proc *p, const char *fmt, va_list ap)
{
	struct sim_thread *t = sim_thread_here();
	char **line = &w->lines[w->n_lines++ % w->cfg.keep_lines];
	char buf[1024];
	int n;

	n = snprintf(buf, sizeof(buf), "%12.6f %-8s ", (double)w->now / 1e9, p ? p->name : "-");
	if (p && t && t->proc == p)
		n += snprintf(buf + n, sizeof(buf) - (size_t)n, "%-8s ", t->name);
	(void)vsnprintf(buf + n, sizeof(buf) - (size_t)n, fmt, ap);
	/* The directory has another name in each run: in the trace it has none. */
	for (char *at = buf; w->dir[0] && (at = strstr(at, w->dir)) != NULL; at += 4) {
		memcpy(at, "/sim", 4);
		memmove(at + 4, at + strlen(w->dir), strlen(at + strlen(w->dir)) + 1);
	}
	sim_mix_bytes(w, buf, strlen(buf));
	if (w->cfg.trace)
		printf("%s\n", buf);
	omem_free(*line);
	*line = omem_strdup(buf);
}

void sim_say(struct sim_proc *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(p->w, p, fmt, ap);
	va_end(ap);
}

void sim_trace(struct sim *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(w, sim_proc_here(), fmt, ap);
	va_end(ap);
}

void sim_last(const struct sim *w, void (*fn)(void *arg, const char *line), void *arg)
{
	uint32_t i = w->n_lines > w->cfg.keep_lines ? w->n_lines - w->cfg.keep_lines : 0;

	for (; i < w->n_lines; i++)
		if (w->lines[i % w->cfg.keep_lines])
			fn(arg, w->lines[i % w->cfg.keep_lines]);
}

void sim_fail(struct sim *w, const char *what, const char *fmt, ...)
{
	char text[1500];
	va_list ap;

	if (w->failure)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sim_trace(w, "FAILED %s: %s", what, text);
	w->failure = omem_printf("%s: %s", what, text);
}

const char *sim_failure(const struct sim *w)
{
	return w->failure;
}

/* ---- events ---------------------------------------------------------------------------------------------- */

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void heap_push(struct sim *w, struct sim_event e)
{
	uint32_t i = w->n_heap++;

	if (i == w->cap_heap) {
		w->cap_heap = w->cap_heap ? w->cap_heap * 2 : 256;
		w->heap = omem_realloc_array(w->heap, w->cap_heap, sizeof(struct sim_event));
		if (!w->heap)
			sim_die("out of memory");
	}
	for (; i && earlier(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

static struct sim_event heap_pop(struct sim *w)
{
	struct sim_event first = w->heap[0];
	struct sim_event e = w->heap[--w->n_heap];
	uint32_t i = 0;

	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c + 1 < w->n_heap && earlier(&w->heap[c + 1], &w->heap[c]))
			c++;
		if (c >= w->n_heap || !earlier(&w->heap[c], &e))
			break;
		w->heap[i] = w->heap[c];
		i = c;
	}
	w->heap[i] = e;
	return first;
}

void sim_at(struct sim *w, uint64_t at, void (*fn)(void *arg), void *arg)
{
	heap_push(w, (struct sim_event){ .at = at, .seq = ++w->seq, .fn = fn, .arg = arg });
}

void sim_at_thread(struct sim *w, uint64_t at, struct sim_thread *t)
{
	heap_push(w, (struct sim_event){ .at = at, .seq = ++w->seq, .thread = t, .thread_id = t->id,
					 .wait_seq = t->wait_seq, .arg = t->proc });
}

uint64_t sim_after(struct sim *w, uint64_t delay_ns, void (*fn)(void *arg), void *arg)
{
	sim_at(w, w->now + delay_ns, fn, arg);
	return w->seq;
}

static void nothing(void *arg)
{
	(void)arg;
}

void sim_cancel(struct sim *w, uint64_t timer)
{
	for (uint32_t i = 0; i < w->n_heap; i++)
		if (w->heap[i].seq == timer && w->heap[i].fn)
			w->heap[i].fn = nothing;
}

void sim_on_step(struct sim *w, void (*fn)(void *arg), void *arg)
{
	w->hooks = omem_realloc_array(w->hooks, w->n_hooks + 1, sizeof(*w->hooks));
	if (!w->hooks)
		sim_die("out of memory");
	w->hooks[w->n_hooks++] = (struct sim_hook){ fn, arg };
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

/* Is the thread of a time-out still there, and still at that waiting? */
static bool timeout_valid(const struct sim_event *e)
{
	struct sim_proc *p = e->arg;

	OLIST_FOREACH(n, &p->threads) {
		const struct sim_thread *t = OLIST_ENTRY(n, struct sim_thread, node);

		if (t == e->thread)
			return t->id == e->thread_id && t->wait_seq == e->wait_seq &&
				t->state == SIM_THREAD_BLOCKED;
	}
	return false;
}

/* Time-outs are no steps: the thread becomes ready. False: there was nothing to do. */
static bool event_run(struct sim *w, const struct sim_event *e)
{
	if (e->fn) {
		sim_mix(w, e->seq);
		e->fn(e->arg);
		return e->fn != nothing;
	}
	if (timeout_valid(e))
		sim_thread_wake(e->thread, true);
	return false;
}

static void thread_step(struct sim *w)
{
	uint64_t i = sim_host_below(w->n_ready);
	struct olist *n = olist_first(&w->ready);
	struct sim_thread *t;

	for (; i; i--)
		n = n->next;
	t = OLIST_ENTRY(n, struct sim_thread, ready);
	w->n_ready--;
	sim_mix(w, w->now ^ (uint64_t)t->id << 40);
	if (w->cfg.trace > 1)
		printf("%12.6f %-8s %-8s .\n", (double)w->now / 1e9, t->proc->name, t->name);
	w->now += STEP_NS;
	sim_thread_run(t);
	if (t->proc->slow_ns && t->proc->paused_until < w->now + t->proc->slow_ns)
		sim_pause(t->proc, t->proc->slow_ns);
}

int sim_step(struct sim *w)
{
	bool did = false;

	if (w->failure)
		return -1;
	while (!did) {
		/* What is due wakes; then one of all that can go on. */
		while (!did && w->n_heap && w->heap[0].at <= w->now) {
			struct sim_event e = heap_pop(w);

			did = event_run(w, &e);
		}
		if (did)
			break;
		if (w->n_ready) {
			thread_step(w);
			did = true;
		} else if (w->n_heap) {
			w->now = w->heap[0].at;
		} else {
			return 0;
		}
	}
	w->steps++;
	for (uint32_t i = 0; i < w->n_hooks && !w->failure; i++)
		w->hooks[i].fn(w->hooks[i].arg);
	return w->failure ? -1 : 1;
}

int sim_run(struct sim *w, bool (*done)(void *arg), void *arg, uint64_t until_ns, uint64_t max_steps)
{
	uint64_t last = max_steps ? w->steps + max_steps : UINT64_MAX;

	if (!until_ns)
		until_ns = UINT64_MAX;
	while (w->steps < last && w->now < until_ns) {
		int r;

		if (done && done(arg))
			return 1;
		/* Nothing before the time: do not go beyond it. */
		if (!w->n_ready && (!w->n_heap || w->heap[0].at > until_ns)) {
			if (until_ns != UINT64_MAX)
				w->now = until_ns;
			return 0;
		}
		r = sim_step(w);
		if (r <= 0)
			return r;
	}
	return done && done(arg) ? 1 : 0;
}

uint64_t sim_seed(const struct sim *w)
{
	return w->cfg.seed;
}

uint64_t sim_now(const struct sim *w)
{
	return w->now;
}

uint64_t sim_steps(const struct sim *w)
{
	return w->steps;
}

uint64_t sim_hash(const struct sim *w)
{
	return w->hash;
}

struct sim_net *sim_net(struct sim *w)
{
	return &w->net;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static char *below(const char *given, const char *rest)
{
	const char *build = getenv("builddir");

	return given ? omem_strdup(given) : omem_printf("%s/%s", build ? build : ".", rest);
}

/*
 * The directory @path, locked as long as it is open: -EWOULDBLOCK if another has it and not @wait, -ENOENT if it
 * is gone. A process number says nothing of other PID namespaces.
 */
static int dir_lock(const char *path, bool wait)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)))
		r = -errno;
	else if (fstat(fd, &st) || !st.st_nlink)
		r = -ENOENT;
	if (!r)
		return fd;
	close(fd);
	return r;
}

/* Directories of worlds whose process has died without sim_free(): a run that was killed leaves its own. */
static void sweep(const char *top)
{
	DIR *d = opendir(top);
	struct dirent *e;
	char path[300];
	int fd;

	while (d && (e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, "orlop-sim-", 10))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", top, e->d_name);
		fd = dir_lock(path, false);
		if (fd < 0)
			continue;
		(void)ofile_remove_tree(AT_FDCWD, path);
		close(fd);
	}
	if (d)
		(void)closedir(d);
}

/* A directory of its own, that no other sweeps away. */
static int dir_make(struct sim *w, const char *top)
{
	do {
		/* Always of the same length, as messages hold it. */
		(void)snprintf(w->dir, sizeof(w->dir), "%s/orlop-sim-%07d-XXXXXX", top, (int)getpid());
		if (!mkdtemp(w->dir)) {
			w->dir[0] = '\0';
			return -errno;
		}
		w->dir_fd = dir_lock(w->dir, true);
	} while (w->dir_fd == -ENOENT);	/* swept before it was locked */
	return w->dir_fd < 0 ? w->dir_fd : 0;
}

int sim_new(const struct sim_config *cfg, struct sim **ret)
{
	struct sim *w = OMEM_NEW(struct sim);
	uint64_t s = cfg->seed;
	/* In memory if there is such a place: nothing of it shall wait for a disk. */
	const char *top = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	int r;

	if (!w || sim_w)
		return w ? -EBUSY : -ENOMEM;
	sim_w = w;
	w->cfg = *cfg;
	if (!w->cfg.keep_lines)
		w->cfg.keep_lines = KEEP_LINES;
	w->lines = omem_zalloc_array(w->cfg.keep_lines, sizeof(char *));
	w->module_dir = below(cfg->module_dir, "modules");
	w->sim_dir = below(cfg->sim_dir, "tests/sim/modules");
	w->rnd_driver = sim_next(&s);
	w->rnd_host = sim_next(&s);
	w->hash = cfg->seed;
	w->dir_fd = -1;
	w->next_thread = 0;
	olist_init(&w->ready);
	olist_init(&w->procs);
	olist_init(&w->calls);
	olist_init(&w->cuts);
	w->net.delay_min_ns = 100000;
	w->net.delay_max_ns = SIM_MS;
	/* Some runs change threads at every chance, most now and then or only where they wait. */
	w->preempt = (uint32_t[]){ 0, 5, 20, 100 }[sim_host_below(4)];
	w->jitter = (uint32_t[]){ 0, 20, 200 }[sim_host_below(3)];
	sweep(top);
	r = dir_make(w, top);
	if (r) {
		sim_free(w);
		return r;
	}
	(void)snprintf(w->pki, sizeof(w->pki), "%s/pki", w->dir);
	if (sim_pki_write(w->pki))
		sim_die("cannot write %s", w->pki);
	*ret = w;
	return 0;
}

void sim_free(struct sim *w)
{
	if (!w)
		return;
	w->ending = true;
	while (!olist_empty(&w->procs))
		sim_proc_free(OLIST_ENTRY(olist_last(&w->procs), struct sim_proc, node));
	sim_net_free(w);
	if (w->dir[0])
		(void)ofile_remove_tree(AT_FDCWD, w->dir);
	if (w->dir_fd >= 0)
		close(w->dir_fd);
	for (uint32_t i = 0; i < w->cfg.keep_lines; i++)
		omem_free(w->lines[i]);
	omem_free(w->lines);
	omem_free(w->heap);
	omem_free(w->hooks);
	omem_free(w->module_dir);
	omem_free(w->sim_dir);
	omem_free(w->failure);
	sim_w = NULL;
	omem_free(w);
}
