/*
 * faults.c - what goes wrong: processes die, power is cut, machines stall, lines are cut, clocks jump, disks
 * fill, modules are replaced while they work, a node never comes back.
 *
 * Each fault ends by itself. c->murky_until says how long decisions may rest on an old state because of it.
 */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/msg.h>
#include <orlop/storage.h>

struct faults {
	struct cluster	*c;
	bool		stopped;
	bool		node_died;
};

static uint64_t between_ms(struct cluster *c, uint64_t lo, uint64_t hi)
{
	return sim_between(c->w, lo, hi) * SIM_MS;
}

static void murky(struct cluster *c, uint64_t for_ns)
{
	uint64_t until = sim_now(c->w) + for_ns + WINDOW_NS;

	if (until > c->murky_until)
		c->murky_until = until;
}

static struct member *any(struct cluster *c)
{
	struct member *m = &c->members[sim_below(c->w, c->n_members)];

	return m->dead || m->down || !sim_running(m->p) ? NULL : m;
}

/* ---- processes that end ---------------------------------------------------------------------------------------- */

static void back(void *arg)
{
	struct member *m = arg;

	m->back = 0;
	if (m->dead)
		return;
	if (sim_running(m->p)) {	/* it was asked to end, and takes its time */
		m->back = sim_after(m->c->w, 500 * SIM_MS, back, m);
		return;
	}
	m->down = false;
	sim_trace(m->c->w, "fault: %s starts again", m->name);
	sim_start(m->p);
	murky(m->c, 5 * SIM_S);
	if (m == m->c->store)
		truth_doubt(m->c);
}

static void down(struct member *m, uint64_t for_ns)
{
	m->down = true;
	murky(m->c, for_ns);
	m->back = sim_after(m->c->w, for_ns, back, m);
}

static void crash(struct member *m)
{
	sim_trace(m->c->w, "fault: %s crashes", m->name);
	sim_crash(m->p);
	down(m, between_ms(m->c, 50, 15000));
}

static void power_now(void *arg)
{
	struct member *m = arg;

	m->power_due--;
	if (m->role & ROLE_STORE)
		m->c->cut_on_ack = 0;
	if (m->dead || m->down || !sim_running(m->p))
		return;
	sim_trace(m->c->w, "fault: power of %s", m->name);
	sim_power_off(m->p);
	m->power_cuts++;
	if (m->m)
		machine_power_off(m->m);
	down(m, between_ms(m->c, 500, m->role & ROLE_NODE ? 150000 : 20000));
}

static void power_in(struct member *m, uint64_t ns)
{
	m->power_due++;
	(void)sim_after(m->c->w, ns, power_now, m);
}

/* The storage's power goes while writes are on their way that need not be on disk yet. */
static void power_off(struct member *m)
{
	uint64_t ms = 0;

	if (m->role & ROLE_STORE) {
		load_burst(m->c);
		m->c->cut_on_ack = (uint32_t)sim_between(m->c->w, 1, 4);
		ms = sim_between(m->c->w, 5, 90);
	}
	power_in(m, ms * SIM_MS);
}

void faults_acknowledged(struct cluster *c)
{
	if (c->cut_on_ack && !--c->cut_on_ack)
		power_in(c->store, 0);
}

static void up_again(void *arg)
{
	struct member *m = arg;

	m->back = 0;
	if (!m->dead && !m->down && !sim_running(m->p))
		sim_start(m->p);
}

void faults_watch(struct cluster *c)
{
	uint32_t i;

	for (i = 0; i < c->n_members; i++) {
		struct member *m = &c->members[i];

		if (m->dead || m->down || m->back || sim_running(m->p))
			continue;
		sim_trace(c->w, "%s has ended by itself", m->name);
		murky(c, 5 * SIM_S);
		c->n_hard++;
		if (m == c->store)
			truth_doubt(c);
		m->back = sim_after(c->w, SIM_S, up_again, m);
	}
}

static void end(struct member *m)
{
	sim_trace(m->c->w, "fault: %s is ended", m->name);
	sim_stop(m->p);
	down(m, between_ms(m->c, 2000, 10000));
}

/*
 * For ever. Somebody deletes its Node, before or after its pods have been evicted, and looks much later whether that was heard:
 * as long as it is there nobody may say that its pods have ended.
 */
static void node_delete(void *arg)
{
	struct member *m = arg;
	const struct version *v = truth_get(m->c, "nodes", "", m->name);

	if (!v || !v->obj)
		return;
	ledger_send(m->c, NULL, "delete", "nodes", NULL, m->name, NULL, NULL, NULL, NULL, NULL);
	(void)sim_after(m->c->w, 300 * SIM_S, node_delete, m);
}

static void kill_node(struct faults *f, struct member *m)
{
	if (f->node_died || !(m->role == ROLE_NODE))
		return;
	f->node_died = true;
	m->dead = true;
	m->power_cuts++;
	sim_trace(f->c->w, "fault: %s dies for good", m->name);
	sim_power_off(m->p);
	machine_power_off(m->m);
	murky(f->c, 10 * SIM_S);
	(void)sim_after(f->c->w, between_ms(f->c, 5000, 500000), node_delete, m);
}

/* ---- the others --------------------------------------------------------------------------------------------------- */

static void stall(struct member *m)
{
	uint64_t ns = between_ms(m->c, 50, 8000);

	sim_trace(m->c->w, "fault: %s stalls", m->name);
	sim_pause(m->p, ns);
	murky(m->c, ns);
}

static void speed_back(void *arg)
{
	struct member *m = arg;

	sim_slow(m->p, 0);
}

static void slow(struct member *m)
{
	uint64_t ns = between_ms(m->c, 1000, 10000);

	sim_trace(m->c->w, "fault: %s is slow", m->name);
	sim_slow(m->p, sim_between(m->c->w, 50, 2000) * 1000);
	(void)sim_after(m->c->w, ns, speed_back, m);
	murky(m->c, ns);
}

struct line {
	struct cluster	*c;
	struct member	*a;
	struct member	*b;
};

static void line_back(void *arg)
{
	struct line *l = arg;

	sim_cut(l->c->w, l->a->p, l->b ? l->b->p : NULL, false);
	sim_trace(l->c->w, "fault: line of %s is back", l->a->name);
	free(l);
}

static void cut(struct member *m)
{
	struct line *l = calloc(1, sizeof(*l));
	struct member *b = any(m->c);
	uint64_t ns = between_ms(m->c, 200, sim_chance(m->c->w, 200) ? 90000 : 10000);

	if (!l)
		abort();
	if (m->c->n_members < 2) {
		free(l);
		return;
	}
	l->c = m->c;
	l->a = m;
	l->b = b == m || sim_chance(m->c->w, 300) ? NULL : b;
	sim_trace(m->c->w, "fault: line between %s and %s", m->name, l->b ? l->b->name : "all");
	sim_cut(m->c->w, l->a->p, l->b ? l->b->p : NULL, true);
	(void)sim_after(m->c->w, ns, line_back, l);
	murky(m->c, ns);
}

static void disk_back(void *arg)
{
	struct member *m = arg;
	struct sim_disk *d = sim_disk(m->p);

	d->full = false;
	d->write_fail = 0;
	d->sync_fail = 0;
}

static void disk(struct member *m)
{
	struct sim_disk *d = sim_disk(m->p);

	sim_trace(m->c->w, "fault: disk of %s", m->name);
	if (sim_chance(m->c->w, 500)) {
		d->full = true;
	} else {
		d->sync_us_min = 5000;
		d->sync_us_max = 200000;
	}
	(void)sim_after(m->c->w, between_ms(m->c, 500, 5000), disk_back, m);
	murky(m->c, 5 * SIM_S);
}

static void replaced(void *arg, int32_t status, const char *msg)
{
	struct member *m = arg;

	sim_trace(m->c->w, "replace on %s: %d %s", m->name, status, msg ? msg : "");
}

static void replace(struct member *m)
{
	static const char *const control[] = {
		"scheduler/default", "controllers/replicaset", "controllers/deployment", "controllers/namespace",
		"controllers/garbage-collector", "controllers/node-lifecycle", "controllers/taint-eviction",
		"controllers/pod-garbage-collector", "controllers/serviceaccount",
	};
	const char *what = NULL;

	if (m->role & ROLE_CONTROL && (!(m->role & ROLE_API) || sim_chance(m->c->w, 600)))
		what = control[sim_below(m->c->w, sizeof(control) / sizeof(control[0]))];
	else if (m->role & ROLE_API && (!(m->role & ROLE_STORE) || sim_chance(m->c->w, 500)))
		what = "apiserver";
	else if (m->role & ROLE_STORE)
		what = "storage/lmdb";
	else if (m->role & ROLE_NODE)
		what = "kubelet";
	if (!what || !sim_ready(m->p))
		return;
	sim_trace(m->c->w, "fault: %s on %s is replaced", what, m->name);
	if (sim_replace(m->p, what, replaced, m) == 0)
		murky(m->c, 3 * SIM_S);
}

static void jump(struct member *m)
{
	int64_t ns = (int64_t)between_ms(m->c, 1, 60000);

	if (sim_chance(m->c->w, 500))
		ns = -ns;
	sim_trace(m->c->w, "fault: clock of %s by %lld ms", m->name, (long long)(ns / (int64_t)SIM_MS));
	sim_wall_jump(m->p, ns);
	murky(m->c, 60 * SIM_S);
}

static void compacted(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err)
{
	(void)arg;
	(void)status;
	(void)msg;
	(void)err;
}

static void compact_now(void *arg)
{
	struct cluster *c = arg;
	struct orlop_msgw w;
	struct orlop_msg m;

	sim_trace(c->w, "fault: history is compacted");
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, truth_rev(c));
	m = orlop_msgw_msg(&w);
	sim_call(c->w, NULL, c->store->p, "storage", ORLOP_STORAGE_COMPACT, &m, NULL, 0, compacted, c);
	orlop_msgw_done(&w);
}

/* History is thrown away up to where we have read it: somebody who was cut off until then must list again. */
static void compact(struct cluster *c)
{
	struct member *m = any(c);
	struct line *l;
	uint64_t ns = between_ms(c, 500, 8000);

	if (m && m != c->store && c->k.cut) {
		l = calloc(1, sizeof(*l));
		if (!l)
			abort();
		l->c = c;
		l->a = m;
		sim_trace(c->w, "fault: line between %s and all, history is compacted meanwhile", m->name);
		sim_cut(c->w, m->p, NULL, true);
		(void)sim_after(c->w, ns, line_back, l);
		murky(c, ns);
	}
	(void)sim_after(c->w, ns - 100 * SIM_MS, compact_now, c);
}

/* What a flavour is about comes often. */
static uint64_t kind_of_fault(struct cluster *c, struct member **m)
{
	uint32_t i;

	switch (c->k.flavour) {
	case FLAVOUR_POWER:
		if (!c->store->down && sim_running(c->store->p))
			*m = c->store;
		return 3;
	case FLAVOUR_NODES:
		for (i = 0; i < 8 && (!*m || !((*m)->role & ROLE_NODE)); i++)
			*m = any(c);
		if (*m && !((*m)->role & ROLE_NODE))
			*m = NULL;
		return sim_chance(c->w, 300) ? 10 : 3;
	case FLAVOUR_BEHIND:
		return sim_chance(c->w, 300) ? 8 : 12;
	case FLAVOUR_REPLACE:
		return 9;
	case FLAVOUR_RUNTIME:
		for (i = 0; i < 8 && (!*m || !((*m)->role & ROLE_NODE)); i++)
			*m = any(c);
		if (*m && !((*m)->role & ROLE_NODE))
			*m = NULL;
		return sim_chance(c->w, 200) ? 3 : 0;
	default:
		return sim_below(c->w, 13);
	}
}

static void strike(void *arg)
{
	struct faults *f = arg;
	struct cluster *c = f->c;
	const struct knobs *k = &c->k;
	struct member *m = any(c);
	uint64_t what;

	if (f->stopped)
		return;
	c->n_faults++;
	what = kind_of_fault(c, &m);
	if (!m)
		what = 99;
	if (what != 9)
		c->n_hard++;
	switch (what) {
	case 12:
		if (k->compact)
			compact(c);
		break;
	case 0:
	case 1:
	case 2:
		if (k->crash)
			crash(m);
		break;
	case 3:
	case 4:
		if (k->power)
			power_off(m);
		break;
	case 5:
		if (k->crash)
			end(m);
		break;
	case 6:
		if (k->pause)
			stall(m);
		break;
	case 7:
		if (k->pause)
			slow(m);
		break;
	case 8:
		if (k->cut)
			cut(m);
		break;
	case 9:
		if (k->replace)
			replace(m);
		break;
	case 10:
		if (k->disk && m == c->store)
			disk(m);
		else if (k->kill_node)
			kill_node(f, m);
		break;
	case 11:
		if (k->jump)
			jump(m);
		break;
	default:
		break;
	}
	(void)sim_after(c->w, between_ms(c, 10, 2000 * (uint64_t)k->faults_s), strike, f);
}

void faults_start(struct cluster *c)
{
	struct faults *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->c = c;
	c->faults = f;
	if (c->k.faults_s)
		strike(f);
}

void faults_stop(struct cluster *c)
{
	c->faults->stopped = true;
}

void faults_mend(struct cluster *c)
{
	uint32_t i;
	uint32_t j;

	for (i = 0; i < c->n_members; i++) {
		struct member *m = &c->members[i];

		sim_cut(c->w, m->p, NULL, false);
		for (j = 0; j < i; j++)
			sim_cut(c->w, m->p, c->members[j].p, false);
		disk_back(m);
		sim_slow(m->p, 0);
		if (m->m) {
			m->m->op_fail = 0;
			m->m->crash = 0;
			m->m->slow = 0;
		}
	}
	sim_net(c->w)->reset = 0;
}

void faults_free(struct cluster *c)
{
	free(c->faults);
	c->faults = NULL;
}
