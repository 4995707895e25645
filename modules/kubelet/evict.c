/*
 * evict.c - when the machine has too little memory, disk or process numbers left: what is not needed goes, then pods.
 *
 * One look in ten seconds with the node's lease; more only while something is short. A pod that uses more of the disk
 * than it may is ended too; its disks are only walked if there is such a pod.
 * Source: pkg/kubelet/eviction/eviction_manager.go (synchronize).
 */
#include "limits.h"
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <orlop/inline/log.h>

#include "base/ofile.h"

#define AGAIN_NS	(NS_PER_S)

struct seen {
	bool		ok;
	int64_t		available;
	int64_t		capacity;
};

struct evictor {
	bool		looking;
	bool		freed;		/* what nobody needs is gone already */
	bool		met[MAX_THRESHOLDS];
	int64_t		since_ns[MAX_THRESHOLDS];	/* 0: not below */
	int64_t		pressed_ns[N_PRESSURES];	/* last time, 0: never */
	bool		pressure[N_PRESSURES];
	struct seen	seen[N_SIGNALS];
	uint64_t	evictions[N_SIGNALS];
	uint64_t	storage_evictions;
	char		*last;		/* uid of the pod that was last ended */
	int64_t		last_ns;
	struct orlop_timer *timer;
};

struct look {
	struct kubelet	*k;
	char		*root;
	char		*image_dir;
	struct seen	seen[N_SIGNALS];
};

bool evict_pressure(const struct kubelet *k, enum pressure p)
{
	return k->evictor && k->evictor->pressure[p];
}

void pod_fail(struct pod *p, const char *reason, const char *message, int64_t grace_s, bool disruption)
{
	if (p->fail_reason || p->finished)
		return;
	text_set(&p->fail_reason, reason);
	text_set(&p->fail_message, message);
	p->fail_grace = grace_s < 1 ? 1 : grace_s;
	p->disruption = disruption;
	pod_kick(p);
}

/* ---- acting ------------------------------------------------------------------------------------------------- */

static const struct threshold *worst(const struct kubelet *k, int64_t now)
{
	const struct evictor *e = k->evictor;
	const struct threshold *found = NULL;
	uint32_t i;

	/* memory before all, as upstream */
	for (i = 0; i < k->limits->n; i++) {
		const struct threshold *t = &k->limits->t[i];

		if (!e->met[i] || now - e->since_ns[i] < t->grace_ns)
			continue;
		if (!found || (t->signal == SIG_MEMORY && found->signal != SIG_MEMORY) ||
		    (t->signal == found->signal && found->soft && !t->soft))
			found = t;
	}
	return found;
}

static void evict_one(struct kubelet *k, struct pod *p, const struct threshold *t, const char *message)
{
	const struct ojson *spec = ojson_get(p->obj, "spec");
	int64_t grace = 0;

	if (t && t->soft) {
		grace = ojson_get_i64(spec, "terminationGracePeriodSeconds", 30);
		grace = grace < k->limits->max_pod_grace_s ? grace : k->limits->max_pod_grace_s;
	}
	OLOG(k->h, WARN, "evicted", "pod=%s/%s why=\"%s\"", p->ns, p->name, message);
	pod_event(p, NULL, "Warning", "Evicted", "%s", message);
	pod_fail(p, "Evicted", message, grace, true);
}

static void ranked(void *arg, const struct stats *s)
{
	struct kubelet *k = arg;
	struct evictor *e = k->evictor;
	const struct stats_pod **order;
	const struct threshold *t;
	uint32_t i;

	if (!e || k->stopping) {
		return;
	}
	e->looking = false;
	t = worst(k, kubelet_now(k));
	order = s && t ? omem_zalloc_array(s->n_pods ? s->n_pods : 1, sizeof(*order)) : NULL;
	if (!order)
		return;
	evict_rank(s, t->signal, order);
	for (i = 0; i < s->n_pods; i++) {
		struct pod *p = pod_get(k, order[i]->uid);
		struct obuf text = OBUF_INIT;

		if (!p || p->term || p->fail_reason || pod_is_critical(p->obj))
			continue;
		evict_message(order[i], p->obj, t->signal, threshold_amount(t, e->seen[t->signal].capacity),
			      e->seen[t->signal].available, &text);
		e->evictions[t->signal]++;
		text_set(&e->last, p->uid);
		e->last_ns = kubelet_now(k);
		evict_one(k, p, t, obuf_cstr(&text));
		obuf_done(&text);
		k->h->timer_set(e->timer, AGAIN_NS, 0);
		break;
	}
	if (i == s->n_pods)
		OLOG(k->h, WARN, "nothing_to_evict", "signal=%s", signal_name(t->signal));
	omem_free(order);
}

/* The one that was told to go before may still be going. */
static bool last_is_going(const struct kubelet *k, int64_t now)
{
	const struct evictor *e = k->evictor;
	const struct pod *p = e->last ? pod_get((struct kubelet *)(uintptr_t)k, e->last) : NULL;

	return p && !p->finished && !p->done && now - e->last_ns < (int64_t)(30 * NS_PER_S);
}

static void act(struct kubelet *k)
{
	struct evictor *e = k->evictor;
	int64_t now = kubelet_now(k);
	const struct threshold *t = worst(k, now);

	if (!t) {
		e->freed = false;
		return;
	}
	if (last_is_going(k, now)) {
		k->h->timer_set(e->timer, AGAIN_NS, 0);
		return;
	}
	if (!e->freed) {
		OLOG(k->h, WARN, "eviction_threshold", "signal=%s available=%lld", signal_name(t->signal),
		     (long long)e->seen[t->signal].available);
		node_event(k, "Warning", "EvictionThresholdMet", "Attempting to reclaim %s", signal_resource(t->signal));
		e->freed = true;
		if (t->signal != SIG_MEMORY && t->signal != SIG_PID) {
			k->h->timer_set(e->timer, AGAIN_NS, 0);
			gc_free_all(k);
			return;
		}
	}
	e->looking = true;
	stats_take(k, t->signal == SIG_MEMORY || t->signal == SIG_PID ? 0 : STATS_FS, ranked, k);
}

/* ---- pods above their own limits -------------------------------------------------------------------------------- */

static void walked(void *arg, const struct stats *s)
{
	struct kubelet *k = arg;
	uint32_t i;

	if (!k->evictor || k->stopping)
		return;
	k->evictor->looking = false;
	for (i = 0; s && i < s->n_pods; i++) {
		struct pod *p = pod_get(k, s->pods[i].uid);
		struct obuf text = OBUF_INIT;

		if (p && !p->term && !p->fail_reason && !pod_is_critical(p->obj) &&
		    evict_over_limit(&s->pods[i], p->obj, &text)) {
			k->evictor->storage_evictions++;
			evict_one(k, p, NULL, obuf_cstr(&text));
		}
		obuf_done(&text);
	}
	act(k);
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

static void set_fs(struct seen *s, struct seen *inodes, const char *path)
{
	struct cg_fs fs;

	fs_stat(path, &fs);
	*s = (struct seen){ fs.ok, (int64_t)fs.available, (int64_t)fs.capacity };
	*inodes = (struct seen){ fs.ok && fs.inodes, (int64_t)fs.inodes_free, (int64_t)fs.inodes };
}

static void look_work(void *arg)
{
	struct look *l = arg;
	struct cg_stat node;
	struct obuf b = OBUF_INIT;
	const char *slash;
	int64_t max = 0;

	cgroup_stat("/", &node);
	if (node.ok && node.mem_limit != INT64_MAX)
		l->seen[SIG_MEMORY] = (struct seen){ true, node.mem_limit - (int64_t)node.mem_working_set, node.mem_limit };
	set_fs(&l->seen[SIG_NODEFS], &l->seen[SIG_NODEFS_INODES], l->root);
	set_fs(&l->seen[SIG_IMAGEFS], &l->seen[SIG_IMAGEFS_INODES], l->image_dir);
	if (!ofile_read(AT_FDCWD, "/proc/sys/kernel/pid_max", 64, &b))
		max = strtoll(obuf_cstr(&b), NULL, 10);
	obuf_reset(&b);
	if (max && !ofile_read(AT_FDCWD, "/proc/loadavg", 256, &b) && (slash = strchr(obuf_cstr(&b), '/')))
		l->seen[SIG_PID] = (struct seen){ true, max - strtoll(slash + 1, NULL, 10), max };
	obuf_done(&b);
}

static enum pressure pressure_of(enum signal s)
{
	return s == SIG_MEMORY ? PRESSURE_MEMORY : s == SIG_PID ? PRESSURE_PID : PRESSURE_DISK;
}

/* Which thresholds are crossed, since when; which conditions that makes. */
static void judge(struct kubelet *k)
{
	struct evictor *e = k->evictor;
	int64_t now = kubelet_now(k);
	bool before[N_PRESSURES];
	uint32_t i;

	memcpy(before, e->pressure, sizeof(before));
	for (i = 0; i < k->limits->n; i++) {
		const struct threshold *t = &k->limits->t[i];
		const struct seen *s = &e->seen[t->signal];
		int64_t amount = threshold_amount(t, s->capacity);

		if (!s->ok)
			continue;
		/* who was below must come up by more than to the threshold */
		e->met[i] = s->available < amount + (e->met[i] ? threshold_reclaim(t, s->capacity) : 0);
		if (!e->met[i])
			e->since_ns[i] = 0;
		else if (!e->since_ns[i])
			e->since_ns[i] = now;
		if (e->met[i])
			e->pressed_ns[pressure_of(t->signal)] = now;
	}
	for (i = 0; i < N_PRESSURES; i++)
		e->pressure[i] = e->pressed_ns[i] && now - e->pressed_ns[i] < (k->limits->transition_ns ? k->limits->transition_ns : 1);
	if (memcmp(before, e->pressure, sizeof(before)))
		node_tell(k);
}

/* A pod that may use only so much of the disk. */
static bool any_limit(const struct kubelet *k)
{
	OMAP_FOREACH(&k->pods, e) {
		const struct pod *p = e->value;

		if (p->obj && !p->finished && !p->term && p->sb == SB_READY && evict_has_limit(p->obj))
			return true;
	}
	return false;
}

static void look_done(void *arg)
{
	struct look *l = arg;
	struct kubelet *k = l->k;
	struct evictor *e = k->evictor;

	if (e && !k->stopping) {
		memcpy(e->seen, l->seen, sizeof(e->seen));
		e->looking = false;
		judge(k);
		gc_disk_seen(k, e->seen[SIG_IMAGEFS].capacity, e->seen[SIG_IMAGEFS].available);
		if (any_limit(k)) {
			e->looking = true;
			stats_take(k, STATS_FS, walked, k);
		} else {
			act(k);
		}
	}
	omem_free(l->root);
	omem_free(l->image_dir);
	omem_free(l);
}

static void look_timer(void *arg)
{
	evict_look(arg);
}

void evict_look(struct kubelet *k)
{
	struct evictor *e = k->evictor;
	const char *image = node_image_dir(k);
	struct look *l;

	gc_dead_limit(k);
	if (!e || e->looking || k->stopping || (!k->limits->n && !any_limit(k)))
		return;
	l = OMEM_NEW(struct look);
	if (!l)
		return;
	l->k = k;
	l->root = omem_strdup(k->root);
	l->image_dir = omem_strdup(*image ? image : k->root);
	e->looking = true;
	if (!l->root || !l->image_dir || k->h->work(k->h, 0, look_work, look_done, l)) {
		e->looking = false;
		omem_free(l->root);
		omem_free(l->image_dir);
		omem_free(l);
	}
}

void evict_metrics(const struct kubelet *k, struct obuf *b)
{
	int i;

	obuf_puts(b, "# HELP kubelet_evictions [ALPHA] Cumulative number of pod evictions by eviction signal\n"
		     "# TYPE kubelet_evictions counter\n");
	for (i = 0; k->evictor && i < N_SIGNALS; i++)
		if (k->evictor->evictions[i])
			obuf_printf(b, "kubelet_evictions{eviction_signal=\"%s\"} %llu\n", signal_name((enum signal)i),
				    (unsigned long long)k->evictor->evictions[i]);
	if (k->evictor && k->evictor->storage_evictions)
		obuf_printf(b, "kubelet_evictions{eviction_signal=\"ephemeralstorage\"} %llu\n",
			    (unsigned long long)k->evictor->storage_evictions);
}

int evict_init(struct kubelet *k)
{
	k->evictor = OMEM_NEW(struct evictor);
	if (!k->evictor)
		return -ENOMEM;
	return k->h->timer_new(k->h, look_timer, k, &k->evictor->timer);
}

void evict_stop(struct kubelet *k)
{
	if (!k->evictor || !k->evictor->timer)
		return;
	k->h->timer_free(k->evictor->timer);
	k->evictor->timer = NULL;
}

void evict_free(struct kubelet *k)
{
	if (!k->evictor)
		return;
	omem_free(k->evictor->last);
	omem_free(k->evictor);
	k->evictor = NULL;
}
