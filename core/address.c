/*
 * address.c - which instance answers at which address.
 *
 * An instance wants its own name, class/name, its class and what its modinfo provides. The first that
 * is ready gets an address; when it goes the next that wants it, or nobody: then requests wait.
 */
#include "loader.h"

#include <errno.h>
#include <string.h>

#include "bus/bus.h"

#define WANTED_MAX	80u	/* 3 and LIST_MAX of the modinfo */

static uint32_t wanted(const struct core_instance *inst, const char *v[WANTED_MAX])
{
	uint32_t n = 0;

	v[n++] = inst->name;
	v[n++] = inst->class_slash;
	v[n++] = inst->class_name;
	for (char **p = inst->provides; p && *p && n < WANTED_MAX; p++)
		v[n++] = *p;
	return n;
}

bool core_address_wanted(const struct core_instance *inst, const char *address)
{
	const char *v[WANTED_MAX];
	uint32_t n = wanted(inst, v);

	for (uint32_t i = 0; i < n; i++)
		if (strcmp(v[i], address) == 0)
			return true;
	return false;
}

static int address_give(struct core *c, const char *address, struct core_instance *to)
{
	int r = omap_put_cstr(&c->loader->addresses, address, to);

	if (r == 0)
		r = core_bus_address_set(c->bus, address, to->shards[0].link);
	return r;
}

int core_address_take(struct core_instance *inst)
{
	const char *v[WANTED_MAX];
	uint32_t n = wanted(inst, v);
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++)
		if (!core_loader_answerer(inst->core, v[i]) || core_loader_answerer(inst->core, v[i]) == inst)
			r = address_give(inst->core, v[i], inst);
	return r;
}

/* Somebody who is ready and wants it, but for @not. */
static struct core_instance *heir_of(struct core *c, const char *address, const struct core_instance *not)
{
	OLIST_FOREACH(node, &c->instances) {
		struct core_instance *other = OLIST_ENTRY(node, struct core_instance, node);

		if (other != not && other->state == CORE_READY && !other->retired &&
		    core_address_wanted(other, address))
			return other;
	}
	return NULL;
}

void core_address_drop(struct core_instance *inst)
{
	struct core *c = inst->core;
	const char *v[WANTED_MAX];
	uint32_t n = wanted(inst, v);

	for (uint32_t i = 0; i < n; i++) {
		struct core_instance *heir;

		if (core_loader_answerer(c, v[i]) != inst)
			continue;
		heir = heir_of(c, v[i], inst);
		(void)omap_del(&c->loader->addresses, v[i], strlen(v[i]));
		if (heir)
			(void)address_give(c, v[i], heir);
		else
			(void)core_bus_address_set(c->bus, v[i], NULL);
	}
}

/* One address of @from. */
static void address_pass(struct core_instance *from, struct core_instance *to, const char *address, bool serve)
{
	struct core *c = from->core;
	struct core_instance *other;

	if (core_address_wanted(to, address)) {
		/* The name is in the map already: putting it again needs no memory. */
		(void)omap_put_cstr(&c->loader->addresses, address, to);
		if (serve)
			(void)core_bus_address_set(c->bus, address, to->shards[0].link);
		return;
	}
	other = heir_of(c, address, from);
	if (other) {
		(void)address_give(c, address, other);
		return;
	}
	(void)omap_del(&c->loader->addresses, address, strlen(address));
	(void)core_bus_address_set(c->bus, address, NULL);
}

void core_address_move(struct core_instance *from, struct core_instance *to, bool serve)
{
	const char *v[WANTED_MAX];
	uint32_t n = wanted(from, v);

	for (uint32_t i = 0; i < n; i++)
		if (core_loader_answerer(from->core, v[i]) == from)
			address_pass(from, to, v[i], serve);
}

struct core_instance *core_loader_answerer(struct core *c, const char *address)
{
	return omap_get_cstr(&c->loader->addresses, address);
}
