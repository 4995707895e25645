/*
 * stats.c - a taking: what there is to look at, the look, the disks as the runtime knows them, the rates.
 */
#include "stats.h"

#include <errno.h>
#include <string.h>

#define FRESH_NS	(int64_t)(1 * NS_PER_S)		/* a shorter window says little */
#define GOOD_NS		(int64_t)(5 * NS_PER_S)
#define ROLL_NS		(int64_t)(15 * NS_PER_S)
#define OLD_NS		(int64_t)(120 * NS_PER_S)	/* a longer one is not about now */

/* CPU times of an earlier look: cgroup → nanoseconds. */
struct look {
	int64_t		at_ns;
	struct omap	cpu;
};

/* Kept between takings. */
struct stats_memory {
	struct look	looks[2];	/* the older one, the newer one */
	int64_t		began_ns;
	struct olist	takings;	/* that wait for their second look */
};

struct taking {
	struct olist	link;
	struct stats	s;
	struct kubelet	*k;
	stats_fn	fn;
	void		*arg;
	struct orlop_timer *timer;
	uint32_t	what;
	bool		first;		/* a look of which only CPU times are of use */
};

/* ---- the list ------------------------------------------------------------------------------------------ */

static void taking_free(struct taking *t)
{
	struct stats *s = &t->s;
	uint32_t i;
	uint32_t j;

	for (i = 0; i < s->n_pods; i++) {
		struct stats_pod *p = &s->pods[i];

		for (j = 0; j < p->n_ctrs; j++) {
			omem_free(p->ctrs[j].name);
			omem_free(p->ctrs[j].id);
			omem_free(p->ctrs[j].image);
			omem_free(p->ctrs[j].cgroup);
			omem_free(p->ctrs[j].log_dir);
		}
		for (j = 0; j < p->n_vols; j++) {
			omem_free(p->vols[j].name);
			omem_free(p->vols[j].dir);
		}
		omem_free(p->ctrs);
		omem_free(p->vols);
		omem_free(p->uid);
		omem_free(p->ns);
		omem_free(p->name);
		omem_free(p->cgroup);
		omem_free(p->pod_dir);
	}
	omem_free(s->pods);
	omem_free(s->root);
	omem_free(s->pods_cgroup);
	omem_free(s->image_dir);
	if (t->timer)
		t->k->h->timer_free(t->timer);
	olist_del(&t->link);
	omem_free(t);
}

static bool put_ctr(struct stats_pod *sp, const struct ctr *c)
{
	struct stats_ctr *sc = &sp->ctrs[sp->n_ctrs++];
	char *logs = pod_log_dir(c->pod);

	sc->name = omem_strdup(c->name);
	sc->id = omem_strdup(c->id);
	sc->image = omem_strdup(ojson_get_cstr(ctr_spec(c), "image", ""));
	sc->cgroup = omem_printf("%s/%s", sp->cgroup, c->id);
	sc->log_dir = omem_printf("%s/%s", logs ? logs : "", c->name);
	sc->started_ns = c->started_ns;
	omem_free(logs);
	return sc->name && sc->id && sc->image && sc->cgroup && sc->log_dir;
}

static bool put_vol(struct stats_pod *sp, const struct pod *p, const struct ojson *vol)
{
	struct stats_vol *v = &sp->vols[sp->n_vols];
	const char *plugin = volume_plugin(vol);
	const struct ojson *empty = ojson_get(vol, "emptyDir");

	if (!plugin)
		return true;
	sp->n_vols++;
	v->name = omem_strdup(ojson_get_cstr(vol, "name", ""));
	v->dir = omem_printf("%s/pods/%s/volumes/%s/%s", p->k->root, p->uid, plugin, ojson_get_cstr(vol, "name", ""));
	v->empty_dir = empty != NULL;
	v->memory = empty && !strcmp(ojson_get_cstr(empty, "medium", ""), "Memory");
	return v->name && v->dir;
}

static bool put_pod(struct stats *s, struct stats_pod *sp, const struct pod *p)
{
	const struct ojson *vols = OJSON_AT(p->obj, "spec", "volumes");
	struct obuf b = OBUF_INIT;
	uint32_t i;
	bool ok;

	cgroup_parent(s->k->cgroup_root, p->obj, p->uid, &b);
	sp->cgroup = obuf_steal(&b, NULL);
	sp->uid = omem_strdup(p->uid);
	sp->ns = omem_strdup(p->ns);
	sp->name = omem_strdup(p->name);
	sp->pod_dir = pod_dir(p);
	sp->started_ns = p->start_ns;
	sp->host_network = ojson_get_bool(ojson_get(p->obj, "spec"), "hostNetwork", false);
	sp->ctrs = omem_zalloc_array(p->n_ctrs ? p->n_ctrs : 1, sizeof(*sp->ctrs));
	sp->vols = omem_zalloc_array(ojson_count(vols) + 1, sizeof(*sp->vols));
	ok = sp->cgroup && sp->uid && sp->ns && sp->name && sp->pod_dir && sp->ctrs && sp->vols;
	for (i = 0; ok && i < p->n_ctrs; i++)
		if (p->ctrs[i]->state == C_RUNNING && p->ctrs[i]->id)
			ok = put_ctr(sp, p->ctrs[i]);
	OJSON_FOREACH_ELEM(n, v, ok && s->what & STATS_FS ? vols : NULL)
		ok = ok && put_vol(sp, p, v);
	return ok;
}

static bool put_all(struct stats *s)
{
	struct kubelet *k = s->k;
	const char *cg = k->cgroup_root;

	s->pods = omem_zalloc_array(omap_count(&k->pods) + 1, sizeof(*s->pods));
	s->root = omem_strdup(k->root);
	s->pods_cgroup = omem_printf("/%s", *cg == '/' ? cg + 1 : cg);
	s->image_dir = omem_strdup(node_image_dir(k));
	s->self_ns = k->stats->began_ns;
	s->swap_total = (uint64_t)node_machine(k)->swap;
	if (!s->pods || !s->root || !s->pods_cgroup || !s->image_dir)
		return false;
	OMAP_FOREACH(&k->pods, e) {
		const struct pod *p = e->value;

		if (p->orphan || !p->obj || !p->sb_id || p->finished || (p->td_done & TD_NET))
			continue;
		if (!put_pod(s, &s->pods[s->n_pods++], p))
			return false;
	}
	return true;
}

/* ---- rates ---------------------------------------------------------------------------------------------- */

static void look_free(struct look *l)
{
	OMAP_FOREACH(&l->cpu, e)
		omem_free(e->value);
	omap_done(&l->cpu);
	omap_init(&l->cpu);
	l->at_ns = 0;
}

static void look_put(struct look *l, const char *key, const struct cg_stat *c)
{
	uint64_t *v = c->ok ? OMEM_NEW(uint64_t) : NULL;

	if (!v)
		return;
	*v = c->cpu_ns;
	if (omap_put_cstr(&l->cpu, key, v))
		omem_free(v);
}

/* This look becomes the newer one, the newer one the older. */
static void remember(struct stats_memory *m, const struct stats *s)
{
	uint32_t i;
	uint32_t j;

	look_free(&m->looks[0]);
	m->looks[0] = m->looks[1];
	omap_init(&m->looks[1].cpu);
	m->looks[1].at_ns = s->node.time_ns;
	look_put(&m->looks[1], "/", &s->node);
	look_put(&m->looks[1], "self", &s->self);
	look_put(&m->looks[1], s->pods_cgroup, &s->all_pods);
	for (i = 0; i < s->n_pods; i++) {
		look_put(&m->looks[1], s->pods[i].cgroup, &s->pods[i].cg);
		for (j = 0; j < s->pods[i].n_ctrs; j++)
			look_put(&m->looks[1], s->pods[i].ctrs[j].cgroup, &s->pods[i].ctrs[j].cg);
	}
}

/* The earlier look to compare with; NULL: none that is any good. */
static const struct look *base_of(const struct stats_memory *m, int64_t now)
{
	const struct look *newer = &m->looks[1];
	const struct look *older = &m->looks[0];

	if (newer->at_ns && now - newer->at_ns >= GOOD_NS && now - newer->at_ns <= OLD_NS)
		return newer;
	if (older->at_ns && now - older->at_ns >= FRESH_NS && now - older->at_ns <= OLD_NS)
		return older;
	if (newer->at_ns && now - newer->at_ns >= FRESH_NS && now - newer->at_ns <= OLD_NS)
		return newer;
	return NULL;
}

static bool rate(const struct look *base, const char *key, const struct cg_stat *c, int64_t started_ns, uint64_t *ret)
{
	const uint64_t *then = base ? omap_get_cstr(&base->cpu, key) : NULL;
	int64_t from = then ? base->at_ns : started_ns;
	uint64_t cpu = then ? *then : 0;

	/* what is younger than the earlier look began with nothing */
	if (!c->ok || !base || (!then && started_ns < base->at_ns) || c->time_ns - from < FRESH_NS / 2 || c->cpu_ns < cpu)
		return false;
	*ret = (uint64_t)((double)(c->cpu_ns - cpu) * 1e9 / (double)(c->time_ns - from));
	return true;
}

static void rates(struct stats *s, const struct look *base)
{
	uint32_t i;
	uint32_t j;

	s->window_ns = base ? s->node.time_ns - base->at_ns : 0;
	s->node_rated = rate(base, "/", &s->node, s->boot_ns, &s->node_nano_cores);
	s->all_pods_rated = rate(base, s->pods_cgroup, &s->all_pods, s->boot_ns, &s->all_pods_nano_cores);
	s->self_rated = rate(base, "self", &s->self, s->self_ns, &s->self_nano_cores);
	for (i = 0; i < s->n_pods; i++) {
		struct stats_pod *p = &s->pods[i];

		p->rated = rate(base, p->cgroup, &p->cg, p->started_ns, &p->nano_cores);
		for (j = 0; j < p->n_ctrs; j++)
			p->ctrs[j].rated = rate(base, p->ctrs[j].cgroup, &p->ctrs[j].cg, p->ctrs[j].started_ns,
						&p->ctrs[j].nano_cores);
	}
}

/* ---- the taking -------------------------------------------------------------------------------------------- */

static void taking_end(struct taking *t, bool ok)
{
	t->fn(t->arg, ok ? &t->s : NULL);
	taking_free(t);
}

static void read_work(void *arg)
{
	struct taking *t = arg;

	stats_read(&t->s);
}

static void runtime_stats(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct taking *t = arg;
	uint32_t i;
	uint32_t j;

	(void)msg;
	(void)why;
	OJSON_FOREACH_ELEM(n, e, status >= 0 ? ojson_get(res, "stats") : NULL) {
		const char *id = ojson_cstr(OJSON_AT(e, "attributes", "id"), "");
		const struct ojson *layer = ojson_get(e, "writableLayer");

		for (i = 0; i < t->s.n_pods; i++)
			for (j = 0; j < t->s.pods[i].n_ctrs; j++) {
				struct stats_ctr *c = &t->s.pods[i].ctrs[j];

				if (strcmp(c->id, id))
					continue;
				c->rootfs.bytes = (uint64_t)ojson_i64(OJSON_AT(layer, "usedBytes", "value"), 0);
				c->rootfs.inodes = (uint64_t)ojson_i64(OJSON_AT(layer, "inodesUsed", "value"), 0);
			}
	}
	taking_end(t, true);
}

static void read_again(void *arg);

static void read_done(void *arg)
{
	struct taking *t = arg;
	struct kubelet *k = t->k;
	struct stats_memory *m = k->stats;
	const struct look *base;

	if (k->stopping) {
		taking_end(t, false);
		return;
	}
	if (t->first) {
		t->first = false;
		t->s.what = t->what;
		remember(m, &t->s);
		if (k->h->timer_new(k->h, read_again, t, &t->timer)) {
			taking_end(t, false);
			return;
		}
		olist_append(&m->takings, &t->link);
		k->h->timer_set(t->timer, NS_PER_S + NS_PER_S / 20, 0);
		return;
	}
	base = base_of(m, t->s.node.time_ns);
	rates(&t->s, base);
	if (!m->looks[1].at_ns || t->s.node.time_ns - m->looks[1].at_ns >= ROLL_NS)
		remember(m, &t->s);
	if (t->s.what & STATS_FS)
		rt_call(k, ORLOP_RUNTIME_CONTAINER_STATS, 0, ojson_new_object(), 10 * NS_PER_S, runtime_stats, t);
	else
		taking_end(t, true);
}

static void read_begin(struct taking *t)
{
	if (t->k->h->work(t->k->h, 0, read_work, read_done, t))
		taking_end(t, false);
}

static void read_again(void *arg)
{
	struct taking *t = arg;

	olist_del(&t->link);
	olist_init(&t->link);
	if (t->k->stopping)
		taking_end(t, false);
	else
		read_begin(t);
}

void stats_take(struct kubelet *k, uint32_t what, stats_fn fn, void *arg)
{
	struct taking *t = OMEM_NEW(struct taking);

	if (!k->stats && (k->stats = OMEM_NEW(struct stats_memory))) {
		omap_init(&k->stats->looks[0].cpu);
		omap_init(&k->stats->looks[1].cpu);
		k->stats->began_ns = kubelet_now(k);
		olist_init(&k->stats->takings);
	}
	if (!t || !k->stats || !node_known(k)) {
		omem_free(t);
		fn(arg, NULL);
		return;
	}
	olist_init(&t->link);
	t->k = k;
	t->fn = fn;
	t->arg = arg;
	t->what = what;
	t->s.k = k;
	t->s.what = what;
	if (!put_all(&t->s)) {
		taking_end(t, false);
		return;
	}
	t->first = what & STATS_RATE && !base_of(k->stats, kubelet_now(k));
	if (t->first)
		t->s.what = 0;
	read_begin(t);
}

void stats_stop(struct kubelet *k)
{
	struct olist *n;

	while (k->stats && (n = olist_first(&k->stats->takings)))
		taking_end(OLIST_ENTRY(n, struct taking, link), false);
}

void stats_free(struct kubelet *k)
{
	if (!k->stats)
		return;
	look_free(&k->stats->looks[0]);
	look_free(&k->stats->looks[1]);
	omap_done(&k->stats->looks[0].cpu);
	omap_done(&k->stats->looks[1].cpu);
	omem_free(k->stats);
	k->stats = NULL;
}

uint64_t stats_pod_disk(const struct stats_pod *p)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		sum += p->ctrs[i].rootfs.bytes + p->ctrs[i].logs.bytes;
	for (i = 0; i < p->n_vols; i++)
		sum += p->vols[i].memory ? 0 : p->vols[i].use.bytes;
	return sum;
}

uint64_t stats_pod_inodes(const struct stats_pod *p)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		sum += p->ctrs[i].rootfs.inodes + p->ctrs[i].logs.inodes;
	for (i = 0; i < p->n_vols; i++)
		sum += p->vols[i].memory ? 0 : p->vols[i].use.inodes;
	return sum;
}
