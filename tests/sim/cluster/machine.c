/* machine.c - what outlives orlopd on a simulated node. See machine.h. */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *s)
{
	char *p = strdup(s ? s : "{}");

	if (!p)
		abort();
	return p;
}

struct machine *machine_new(struct sim *w, struct sim_proc *p)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		abort();
	m->w = w;
	m->p = p;
	sim_proc_set(p, MACHINE_SLOT, m);
	return m;
}

static void container_free(struct container *c)
{
	free(c->metadata);
	free(c->labels);
	free(c->annotations);
	free(c);
}

static void sandbox_free(struct sandbox *s)
{
	free(s->metadata);
	free(s->labels);
	free(s);
}

void machine_free(struct machine *m)
{
	while (m->containers) {
		struct container *c = m->containers;

		m->containers = c->next;
		container_free(c);
	}
	while (m->sandboxes) {
		struct sandbox *s = m->sandboxes;

		m->sandboxes = s->next;
		sandbox_free(s);
	}
	while (m->images) {
		struct image *i = m->images;

		m->images = i->next;
		free(i);
	}
	free(m);
}

struct machine *machine_here(void)
{
	return sim_proc_here() ? sim_proc_get(sim_proc_here(), MACHINE_SLOT) : NULL;
}

void machine_power_off(struct machine *m)
{
	struct container *c;
	struct sandbox *s;

	for (c = m->containers; c; c = c->next)
		if (c->started && c->end_at > sim_now(m->w)) {
			c->end_at = sim_now(m->w);
			c->exit_code = 255;
		}
	for (s = m->sandboxes; s; s = s->next) {
		s->ready = false;
		s->ip[0] = '\0';
	}
}

/* ---- sandboxes ---------------------------------------------------------------------------------------- */

struct sandbox *machine_sandbox(const struct machine *m, const char *id)
{
	struct sandbox *s = m->sandboxes;

	while (s && strcmp(s->id, id))
		s = s->next;
	return s;
}

struct sandbox *machine_sandbox_new(struct machine *m, const char *uid, const char *metadata, const char *labels)
{
	struct sandbox *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	snprintf(s->id, sizeof(s->id), "%s-s%u", sim_proc_name(m->p), ++m->ids);
	snprintf(s->uid, sizeof(s->uid), "%s", uid);
	s->metadata = copy(metadata);
	s->labels = copy(labels);
	s->ready = true;
	s->next = m->sandboxes;
	m->sandboxes = s;
	return s;
}

void machine_sandbox_stop(struct machine *m, struct sandbox *s)
{
	struct container *c;

	s->ready = false;
	for (c = m->containers; c; c = c->next)
		if (!strcmp(c->sandbox, s->id))
			machine_container_end(m, c, 0, 137);
}

void machine_sandbox_remove(struct machine *m, struct sandbox *s)
{
	struct container *c;
	struct sandbox **at = &m->sandboxes;

	machine_sandbox_stop(m, s);
	for (c = m->containers; c;) {
		struct container *next = c->next;

		if (!strcmp(c->sandbox, s->id))
			machine_container_remove(m, c);
		c = next;
	}
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	sandbox_free(s);
}

/* ---- containers ---------------------------------------------------------------------------------------- */

struct container *machine_container(const struct machine *m, const char *id)
{
	struct container *c = m->containers;

	while (c && strcmp(c->id, id))
		c = c->next;
	return c;
}

enum container_state machine_container_state(const struct machine *m, const struct container *c)
{
	if (!c->started)
		return CONTAINER_CREATED;
	return c->end_at > sim_now(m->w) ? CONTAINER_RUNNING : CONTAINER_EXITED;
}

struct container *machine_container_new(struct machine *m, const struct sandbox *s, const char *name,
					const char *image)
{
	struct container *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	snprintf(c->id, sizeof(c->id), "%s-c%u", sim_proc_name(m->p), ++m->ids);
	snprintf(c->sandbox, sizeof(c->sandbox), "%s", s->id);
	snprintf(c->uid, sizeof(c->uid), "%s", s->uid);
	snprintf(c->name, sizeof(c->name), "%s", name);
	snprintf(c->image, sizeof(c->image), "%s", image);
	c->end_at = UINT64_MAX;
	c->next = m->containers;
	m->containers = c;
	return c;
}

void machine_container_start(struct machine *m, struct container *c, int64_t wall_ns)
{
	const struct container *o;

	if (c->started)
		return;
	for (o = m->containers; o; o = o->next)
		if (o != c && !strcmp(o->uid, c->uid) && !strcmp(o->name, c->name) &&
		    machine_container_state(m, o) == CONTAINER_RUNNING)
			sim_fail(m->w, "two-containers", "%s: %s is started while %s of the same pod runs", sim_proc_name(m->p),
				 c->id, o->id);
	c->started = true;
	c->started_wall = wall_ns;
	c->started_at = sim_now(m->w);
	if (!strncmp(c->image, "crash", 5) || sim_chance(m->w, m->crash)) {
		c->end_at = sim_now(m->w) + sim_between(m->w, 1, 20000) * SIM_MS;
		c->exit_code = (int32_t)sim_between(m->w, 1, 3);
	}
}

void machine_container_end(struct machine *m, struct container *c, uint64_t delay_ns, int32_t code)
{
	uint64_t at = sim_now(m->w) + delay_ns;

	if (machine_container_state(m, c) != CONTAINER_RUNNING || c->end_at <= at)
		return;
	c->end_at = at;
	c->exit_code = code;
}

void machine_container_remove(struct machine *m, struct container *c)
{
	struct container **at = &m->containers;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	container_free(c);
}

uint32_t machine_running(const struct machine *m, const char *uid)
{
	const struct container *c;
	uint32_t n = 0;

	for (c = m->containers; c; c = c->next)
		n += !strcmp(c->uid, uid) && machine_container_state(m, c) == CONTAINER_RUNNING;
	return n;
}

uint64_t machine_look(struct machine *m)
{
	struct container *c;
	uint64_t next = UINT64_MAX;

	for (c = m->containers; c; c = c->next) {
		if (!c->started || c->told)
			continue;
		if (c->end_at <= sim_now(m->w)) {
			struct machine_event *e = &m->events[++m->seq % MACHINE_EVENTS];

			c->told = true;
			e->seq = m->seq;
			memcpy(e->container, c->id, sizeof(e->container));
		} else if (c->end_at < next) {
			next = c->end_at;
		}
	}
	return next;
}

/* ---- images, addresses -------------------------------------------------------------------------------------- */

bool machine_has_image(const struct machine *m, const char *name)
{
	const struct image *i = m->images;

	while (i && strcmp(i->name, name))
		i = i->next;
	return i != NULL;
}

void machine_image_add(struct machine *m, const char *name)
{
	struct image *i;

	if (machine_has_image(m, name))
		return;
	i = calloc(1, sizeof(*i));
	if (!i)
		abort();
	snprintf(i->name, sizeof(i->name), "%s", name);
	i->next = m->images;
	m->images = i;
}

void machine_attach(struct machine *m, struct sandbox *s, const char *ip)
{
	const struct sandbox *o;

	for (o = m->sandboxes; o; o = o->next)
		if (o != s && !strcmp(o->ip, ip))
			sim_fail(m->w, "address-twice", "%s: %s is given to %s and %s", sim_proc_name(m->p), ip, o->id, s->id);
	snprintf(s->ip, sizeof(s->ip), "%s", ip);
}

void machine_detach(struct machine *m, struct sandbox *s)
{
	const struct container *c;

	for (c = m->containers; c; c = c->next)
		if (!strcmp(c->sandbox, s->id) && machine_container_state(m, c) == CONTAINER_RUNNING)
			sim_fail(m->w, "detached-too-early", "%s: the address %s of %s is given back while %s runs",
				 sim_proc_name(m->p), s->ip, s->id, c->id);
	s->ip[0] = '\0';
}
