/*
 * inside.h - what the files of the simulation host share. Nobody else includes it.
 */
#ifndef TESTS_SIM_INSIDE_H
#define TESTS_SIM_INSIDE_H

#include <pthread.h>
#include <stdio.h>
#include <ucontext.h>

#include "base/olist.h"
#include "sim.h"

/* For what takes the place of a function of a library: the dynamic linker must see it. */
#define SIM_OURS __attribute__((visibility("default")))

#define SIM_NEVER UINT64_MAX

/* ---- threads (thread.c) --------------------------------------------------------------------------- */

enum sim_thread_state {
	SIM_THREAD_READY,
	SIM_THREAD_BLOCKED,
	SIM_THREAD_DONE,
};

/* A thread of a simulated process: a coroutine. */
struct sim_thread {
	struct olist	node;		/* proc->threads */
	struct olist	ready;		/* world's or proc's list of those that can run */
	struct sim_proc	*proc;
	uint32_t	id;		/* in the world, never reused */
	enum sim_thread_state state;
	char		name[16];
	ucontext_t	uc;
	void		*stack;
	void		*(*fn)(void *arg);
	void		*arg;
	void		*ret;
	const void	*wait_on;	/* BLOCKED: what for (an address), NULL: only for time */
	uint64_t	wait_seq;	/* of this waiting: the time-out of an earlier one is stale */
	bool		timed_out;
	uint32_t	locks;		/* held */
	int		saved_errno;
};

/* The thread that runs, NULL: the driver. */
struct sim_thread *sim_thread_here(void);
/* In @p; ready to run. NULL: no memory. */
struct sim_thread *sim_thread_new(struct sim_proc *p, const char *name, void *(*fn)(void *), void *arg);
/* Runs it until it blocks, ends or yields. By the driver. */
void sim_thread_run(struct sim_thread *t);
/* All of a process that is dead. */
void sim_threads_drop(struct sim_proc *p);
/* By a thread: let others run. */
void sim_yield(void);
/* By a thread: the same, sometimes, if it holds no lock: where another thread may come between. */
void sim_maybe_yield(void);
/* By a thread: until woken by @on or @until (world's time; SIM_NEVER). False: time is up. */
bool sim_block(const void *on, uint64_t until_ns);
/* Wakes those of the process that wait for @on; @all or the one that waits longest. */
void sim_wake(struct sim_proc *p, const void *on, bool all);
void sim_thread_wake(struct sim_thread *t, bool timed_out);

/* ---- the world (world.c) ---------------------------------------------------------------------------- */

struct sim_event {
	uint64_t	at;
	uint64_t	seq;
	void		(*fn)(void *arg);
	void		*arg;
	struct sim_thread *thread;	/* fn NULL: its time-out; by id, as it may be gone */
	uint32_t	thread_id;
	uint64_t	wait_seq;
};

struct sim_hook {
	void		(*fn)(void *arg);
	void		*arg;
};

struct sim {
	struct sim_config cfg;
	char		*module_dir;
	char		*sim_dir;
	char		dir[64];	/* of all machines */
	int		dir_fd;		/* locked while it is used */
	char		pki[80];
	uint64_t	now;
	uint64_t	steps;
	uint64_t	seq;
	uint64_t	hash;
	uint64_t	rnd_driver;	/* two sources, so that the driver's choices do not move with the host's */
	uint64_t	rnd_host;
	uint32_t	preempt;	/* per mille, at places where that is interesting */
	uint32_t	jitter;		/* per mille of timers that are late */
	uint32_t	next_thread;
	struct olist	ready;		/* threads */
	uint32_t	n_ready;
	struct olist	procs;
	struct sim_event *heap;
	uint32_t	n_heap;
	uint32_t	cap_heap;
	struct sim_hook	*hooks;
	uint32_t	n_hooks;
	struct sim_net	net;
	struct olist	calls;
	uint32_t	n_calls;
	uint64_t	next_call;
	struct olist	cuts;
	char		**lines;	/* ring */
	uint32_t	n_lines;	/* ever */
	char		*failure;
	bool		ending;
};

extern struct sim *sim_w;	/* the one of this process */

uint64_t sim_next(uint64_t *state);
uint64_t sim_host_below(uint64_t n);
bool sim_host_chance(uint32_t per_mille);
void sim_at(struct sim *w, uint64_t at, void (*fn)(void *arg), void *arg);
void sim_at_thread(struct sim *w, uint64_t at, struct sim_thread *t);
void sim_mix(struct sim *w, uint64_t v);
void sim_mix_bytes(struct sim *w, const void *p, size_t len);
/* A line "time process/thread …" for the trace; hashed. */
void sim_say(struct sim_proc *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
uint64_t sim_real_ns(void);

/* ---- processes (proc.c) -------------------------------------------------------------------------------- */

struct sim_proc {
	struct olist	node;		/* world->procs */
	struct sim	*w;
	uint32_t	n;		/* number */
	char		*name;
	char		dir[160];
	struct sim_module *modules;	/* copies */
	uint32_t	n_modules;
	uint32_t	loops;
	uint32_t	loss_percent;
	uint32_t	dup_percent;
	uint32_t	reorder_percent;
	uint32_t	cpus;
	uint64_t	memory_bytes;
	char		*storage_at;
	char		*api_at;
	uint32_t	life;
	bool		running;
	bool		loaded;		/* every module has been asked for, and none has failed */
	uint32_t	loading;
	struct core	*core;
	struct olist	threads;
	struct olist	held;		/* threads that could run if it did not pause */
	uint64_t	paused_until;
	uint64_t	slow_ns;
	uint64_t	boot;		/* world's time at which the machine was switched on */
	int64_t		wall_off;
	uint64_t	rnd;		/* what its getrandom() gives */
	struct sim_disk	disk;
	struct olist	fds;		/* struct sim_fd */
	void		*user[8];
};

void sim_proc_free(struct sim_proc *p);
void sim_proc_gone(struct sim_proc *p);		/* its memory is lost: threads, descriptors */
char *sim_module_path(struct sim *w, const char *module);

/* ---- descriptors (fd.c), queues (nn.c), loops (uv.c), files (disk.c), network (net.c) ------------------- */

#define SIM_FD_FIRST	4096	/* above all real ones of ours */
#define SIM_FD_MAX	65536

struct sim_fd;
struct sim_watch;

/* A watch of a descriptor by somebody who waits. */
struct sim_watch {
	struct olist	of_fd;
	struct olist	pending;	/* in the waiter's list while it is ready */
	struct sim_fd	*fd;
	uint32_t	events;		/* 1 read, 2 write */
	uint32_t	ready;
	struct olist	*queue;		/* of the waiter: where pending goes */
	const void	*waiter;	/* woken */
	void		*arg;
};

enum sim_fd_kind {
	SIM_FD_EVENT,		/* eventfd */
	SIM_FD_EPOLL,
	SIM_FD_SOCKET,
	SIM_FD_QUEUE,		/* of nn.c */
	SIM_FD_OTHER,		/* never ready: inotify and the like */
};

struct sim_fd {
	struct olist	node;		/* proc->fds */
	struct sim_proc	*proc;
	int		fd;
	enum sim_fd_kind kind;
	uint32_t	ready;		/* 1 read, 2 write */
	struct olist	watches;
	uint64_t	count;		/* eventfd */
	struct olist	entries;	/* epoll: struct sim_watch.arg… in fd.c */
	struct olist	queue;		/* epoll: pending watches */
	void		*arg;		/* nn.c */
	unsigned char	addr[128];	/* socket: bound to */
	uint32_t	addr_len;
};

struct sim_fd *sim_fd_new(enum sim_fd_kind kind);
struct sim_fd *sim_fd_get(int fd);	/* NULL: a real one */
void sim_fd_ready(struct sim_fd *f, uint32_t ready);
void sim_fd_free(struct sim_fd *f);
void sim_watch_add(struct sim_watch *w, struct sim_fd *f, uint32_t events, struct olist *queue, const void *waiter);
void sim_watch_del(struct sim_watch *w);
/* Whatever is still ready is pending again (level-triggered). */
void sim_watch_again(struct sim_watch *w);

void sim_queue_free(struct sim_fd *f);

/* disk.c */
void sim_disk_dead(struct sim_proc *p);		/* the process is: close what it had open */
void sim_disk_power(struct sim_proc *p);	/* the machine's power is cut */
void sim_disk_free(struct sim_proc *p);

/* machine.c: what a file of the machine's holds, as an open descriptor; -1: none of ours. */
int sim_machine_open(struct sim_proc *p, const char *path);

/* pki.c: 0 or not. */
int sim_pki_write(const char *dir);

/* net.c */
void sim_net_dead(struct sim_proc *p, bool power);
void sim_net_free(struct sim *w);

#endif
