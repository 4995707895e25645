/*
 * loss.c - the loss injector of the switch.
 */
#include "loss.h"

#include <stdbool.h>

#include "base/omem.h"

/* splitmix64: small, seedable, good enough to choose victims. */
static uint64_t random_next(struct core_loss *l)
{
	uint64_t z = l->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static bool chance(struct core_loss *l, uint32_t percent)
{
	bool yes = percent > 0 && random_next(l) % 100 < percent;

	l->injected += yes;
	return yes;
}

static void held_release(struct core_loss *l, core_loss_fn fn, void *arg)
{
	void *p = l->held;
	size_t len = l->held_len;

	l->held = NULL;
	fn(arg, p, len);
	omem_free(p);
}

void core_loss_pass(struct core_loss *l, const void *packet, size_t len, core_loss_fn fn, void *arg)
{
	if (!(l->loss_percent | l->dup_percent | l->reorder_percent)) {
		fn(arg, packet, len);
		return;
	}
	if (chance(l, l->loss_percent))
		return;
	if (!l->held && chance(l, l->reorder_percent) && (l->held = omem_dup(packet, len)) != NULL) {
		l->held_len = len;
		l->held_for = 1 + (uint32_t)(random_next(l) % 5);
		return;
	}
	fn(arg, packet, len);
	if (chance(l, l->dup_percent))
		fn(arg, packet, len);
	if (l->held && --l->held_for == 0)
		held_release(l, fn, arg);
}

void core_loss_done(struct core_loss *l)
{
	omem_free(l->held);
	l->held = NULL;
}
