/*
 * turn.c - of many pods that begin at once, few do at a time.
 *
 * What runtime and cni are asked for waits for the kernel more than it computes, so that several should be under way at
 * once; but if all are, all are ready when the last is. Who has begun goes on, and who is next begins when there is
 * room: half of them are ready in half the time, and the last no later.
 *
 * It is no lock: where nothing has been answered for a second, or one has waited for ten, something hangs, and the
 * others go on.
 */
#include "kubelet.h"

#define STALL_NS	(int64_t)NS_PER_S
#define WAIT_NS		(int64_t)(10 * NS_PER_S)
#define ROOM_MIN	8u
#define ROOM_MAX	32u

static bool has_room(const struct kubelet *k)
{
	uint32_t room = 4 * (uint32_t)node_machine(k)->cpus;

	room = room < ROOM_MIN ? ROOM_MIN : room < ROOM_MAX ? room : ROOM_MAX;
	return k->n_crowding < room;
}

static bool is_past(int64_t since, int64_t now, int64_t limit)
{
	return now < since || now >= since + limit;	/* a clock that jumps lets through */
}

bool turn_is(struct pod *p)
{
	struct kubelet *k = p->k;
	int64_t now = kubelet_now(k);
	bool called = p->turn_called;

	if ((has_room(k) && (called || olist_empty(&k->turns))) ||
	    (p->turn_ns && (is_past(p->turn_ns, now, WAIT_NS) ||
			    (is_past(p->turn_ns, now, STALL_NS) && is_past(k->answered_ns, now, STALL_NS))))) {
		turn_forget(p);
		return true;
	}
	if (!p->turn_ns)
		p->turn_ns = now;
	if (called)
		olist_push(&k->turns, &p->turn);
	else if (olist_empty(&p->turn))
		olist_append(&k->turns, &p->turn);
	p->turn_called = false;
	pod_wake_at(p, now + STALL_NS);
	return false;
}

void turn_forget(struct pod *p)
{
	olist_del(&p->turn);
	p->turn_called = false;
	p->turn_ns = 0;
}

void turn_next(struct kubelet *k)
{
	struct olist *n = k->stopping || !has_room(k) ? NULL : olist_shift(&k->turns);
	struct pod *p;

	if (!n)
		return;
	p = OLIST_ENTRY(n, struct pod, turn);
	p->turn_called = true;
	pod_kick(p);
}

bool turn_busy(void *arg)
{
	const struct kubelet *k = arg;

	return k->n_crowding || !olist_empty(&k->turns);
}
