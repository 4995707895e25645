/* create.h - a container that is being made: create.c, and conmon.c in the middle of it. */
#ifndef OCI_CREATE_H
#define OCI_CREATE_H

#include "oci.h"

/* A container on its way into being. Texts are copies for the worker. */
struct create_job {
	struct oci	*o;
	struct container *c;
	struct orlop_call *call;
	char		*dir;		/* the bundle */
	char		*rw;		/* its writable layer */
	char		*container;	/* JSON */
	char		*sandbox;	/* JSON */
	char		*image;		/* JSON of the image config */
	char		*layers;	/* JSON array */
	char		*volumes;	/* JSON array: layers of images that are mounted */
	char		*ns_dir;	/* of the sandbox */
	bool		net;
	bool		ipc;
	char		*cgroup;
	char		id[OCI_ID_LEN + 1];
	const struct handler *rt;
	char		*log;
	bool		tty;
	bool		in;
	bool		leave_in;
	char		*pidns;		/* to be joined, NULL: none */
	bool		userns;
	uint32_t	root_uid, root_gid;	/* what 0 is on the machine */
	uint64_t	caps;
	struct user_found user;
	struct orlop_error err;
	int		result;
	/* conmon */
	int		sync_fd;
	struct orlop_fdwatch *sync_watch;
	struct orlop_timer *timer;	/* is conmon there? */
	uint64_t	slept;		/* monitor_stuck() */
	bool		started;
	int		shelter;	/* our own descriptor */
	uint64_t	shelter_sum;
	bool		sealed;
	struct obuf	sync;
};

/* conmon has made the container, or the OCI runtime does not want it: state and answer. Takes the job. */
void create_finish(struct create_job *j);
/* It came to nothing: clean up, then answer with j->err. Takes the job. */
void create_fail(struct create_job *j);

/* On the worker: 0, or -errno with j->err. */
int conmon_start(struct create_job *j);
/* It is on its way, or says already what has become of it. So. */
int conmon_watch(struct create_job *j);

#endif
