/*
 * machine.h - what outlives orlopd on a simulated node: sandboxes, containers, images, addresses.
 *
 * It belongs to the driver. The simulated runtime and network (tests/sim/modules/) act on that of the
 * process they run in; a crash of orlopd leaves it as it is, a power cut ends the containers. Nothing here
 * has a timer: when a container ends by itself is drawn when it starts, and whoever looks later finds it
 * ended. What must never happen to pods on a node is noticed here (sim_fail).
 */
#ifndef SIM_CLUSTER_MACHINE_H
#define SIM_CLUSTER_MACHINE_H

#include "../sim.h"

#define MACHINE_SLOT	0u	/* of sim_proc_get() */
#define MACHINE_ID	48u

enum container_state {
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_EXITED,
};

struct sandbox {
	struct sandbox	*next;
	char		id[MACHINE_ID];
	char		uid[MACHINE_ID];	/* of the pod */
	char		*metadata;		/* JSON, as it was asked for */
	char		*labels;
	bool		ready;
	char		ip[20];			/* "": not attached */
};

struct container {
	struct container *next;
	char		id[MACHINE_ID];
	char		sandbox[MACHINE_ID];
	char		uid[MACHINE_ID];
	char		name[64];
	char		image[128];
	char		*metadata;
	char		*labels;
	char		*annotations;
	bool		started;
	bool		told;		/* its end is in the events */
	uint64_t	end_at;		/* sim_now(); UINT64_MAX: never by itself */
	int32_t		exit_code;
	int64_t		started_wall;
	uint64_t	started_at;
};

struct image {
	struct image	*next;
	char		name[128];
};

struct machine_event {
	uint64_t	seq;
	char		container[MACHINE_ID];
};

#define MACHINE_EVENTS	64u

struct machine {
	struct sim	*w;
	struct sim_proc	*p;
	struct sandbox	*sandboxes;
	struct container *containers;
	struct image	*images;
	uint32_t	ids;
	uint64_t	seq;			/* of the last event */
	struct machine_event events[MACHINE_EVENTS];	/* ring */
	/* chances, per mille; zero while the cluster settles */
	uint32_t	op_fail;
	uint32_t	crash;			/* of containers that would run for ever */
	uint32_t	slow;			/* of operations that take seconds */
	void		(*on_stop)(void *arg, const struct container *c);	/* asked to stop */
	void		*on_stop_arg;
};

/* For @p, in its slot. */
struct machine *machine_new(struct sim *w, struct sim_proc *p);
void machine_free(struct machine *m);
/* That of the process whose thread runs. */
struct machine *machine_here(void);
/* The power was cut: nothing runs, nothing is attached any more. Images stay. */
void machine_power_off(struct machine *m);

struct sandbox *machine_sandbox_new(struct machine *m, const char *uid, const char *metadata, const char *labels);
struct sandbox *machine_sandbox(const struct machine *m, const char *id);
void machine_sandbox_stop(struct machine *m, struct sandbox *s);
void machine_sandbox_remove(struct machine *m, struct sandbox *s);
struct container *machine_container_new(struct machine *m, const struct sandbox *s, const char *name,
					const char *image);
struct container *machine_container(const struct machine *m, const char *id);
void machine_container_start(struct machine *m, struct container *c, int64_t wall_ns);
/* It ends @delay_ns from now if it runs and does not end earlier. */
void machine_container_end(struct machine *m, struct container *c, uint64_t delay_ns, int32_t code);
void machine_container_remove(struct machine *m, struct container *c);
enum container_state machine_container_state(const struct machine *m, const struct container *c);
bool machine_has_image(const struct machine *m, const char *name);
void machine_image_add(struct machine *m, const char *name);
/* Address of a sandbox; checked: nobody else who runs has it. */
void machine_attach(struct machine *m, struct sandbox *s, const char *ip);
void machine_detach(struct machine *m, struct sandbox *s);
/* Ends that have come are put into the events. When will the next one? UINT64_MAX: none is known. */
uint64_t machine_look(struct machine *m);
/* Containers that run and belong to pod @uid. */
uint32_t machine_running(const struct machine *m, const char *uid);

#endif
