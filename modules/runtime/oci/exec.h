/* exec.h - what exec.c and exectty.c share: one command in a container. */
#ifndef OCI_EXEC_H
#define OCI_EXEC_H

#include "oci.h"

struct exec {
	struct olist	node;
	struct oci	*o;
	char		id[OCI_ID_LEN + 1];
	char		*process_file;
	struct orlop_child *child;
	int		master;		/* of the terminal, -1 */
	uint16_t	rows;		/* its size at first; 0: not told */
	uint16_t	cols;
	int		console;	/* where crun brings it, -1 */
	struct orlop_fdwatch *console_watch;
	char		*console_path;
	struct orlop_call *tty_call;	/* waits for that */
	char		*unrun;		/* what it says instead of being run; NULL */
	bool		ended;
	int		code;
	struct orlop_call *waiter;
	struct orlop_timer *timer;	/* forgets the result; exec_sync: its time limit */
	/* exec_sync */
	struct orlop_call *sync_call;
	int		out_fd[2];
	struct orlop_fdwatch *watch[2];
	struct obuf	out[2];
	bool		timed_out;
};

void exec_free(struct exec *x);
/* @dir: the container's directory, in which a terminal is asked for; -1: @fds are what the command gets. */
int exec_spawn(struct exec *x, const struct container *c, bool tty, const int32_t fds[3], int dir,
	       struct orlop_error *err);
/* The answer to op_exec, with descriptors, which are taken. */
void exec_reply(struct exec *x, struct orlop_call *call, const int *fds, int n);

/* ---- exectty.c --------------------------------------------------------------------------------- */

int exec_terminal(int *ret_master, int *ret_slave, struct orlop_error *err);
/* With a terminal. The answer comes now, or when crun has brought it. 0 or -errno with @err. */
int exec_tty(struct exec *x, const struct container *c, struct orlop_call *call, struct orlop_error *err);
/* crun has connected; also called when the command has ended, for both may be news at once. */
void exec_console_ready(void *arg, int32_t fd, uint32_t events);
/* It ended and brought no terminal: the call is answered, @x is gone. */
void exec_console_failed(struct exec *x);
void exec_console_close(struct exec *x);

#endif
