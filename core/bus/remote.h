/*
 * remote.h - links whose two ends are in two processes: a module in a child process.
 *
 * There is one switch, in the parent. For each link the parent keeps the switch's end (and a
 * struct core_link that stands for it), the child the end on its loop; the packets between them go
 * over a nanomsg NN_BUS socket pair of its own, "ipc://", and beside it runs a *companion*: a
 * SOCK_SEQPACKET socket pair that the child inherits. What does not fit into a packet (blobs as
 * sealed memory files, descriptors) crosses there, and its end of file says that the other process
 * is gone. To a module nothing is different: bus.h holds for every link.
 *
 * The child is not trusted: README.md says what its end can say and what is made of it.
 */
#ifndef CORE_BUS_REMOTE_H
#define CORE_BUS_REMOTE_H

#include <sys/types.h>

#include "bus.h"

#ifdef __cplusplus
extern "C" {
#endif

struct core_remote;

#define CORE_REMOTE_LINKS_MAX	64u	/* of one child */

/* ---- the parent's side; all on the thread of spec->loop unless it says otherwise ------------------- */

/* The module acts for others (an API server): requests may name any identity. Else all are made in @who. */
#define CORE_REMOTE_ACTS_FOR	0x0001u

/* What one link of the child may have at once. Zero is the default for each. */
struct core_remote_limits {
	uint32_t	open_max;	/* requests open at it, 0: 1024; more: -EBUSY to who asks */
	uint32_t	asked_max;	/* requests of its own that are open, 0: 4096; more: -EBUSY to it */
	uint32_t	names_max;	/* addresses and topics it ever names, 0: 1024 */
	uint32_t	fds_max;	/* descriptors received and not yet delivered, 0: 256 */
	uint32_t	blobs_max;	/* its blobs that somebody here still holds mapped, 0: 4096 */
	uint64_t	blob_bytes_max;	/* their bytes, 0: 256 MiB; more: the message fails, -ENOBUFS */
	uint64_t	queue_bytes_max; /* waiting to be read by it, 0: 256 MiB; requests are refused from
					    half of it on (-EBUSY), beyond it the child is given up */
};

/* Zero it. Text and identity are copied. */
struct core_remote_spec {
	const char	*name;		/* of the instance, for people */
	const char	*const *link_names; /* @n_links of them; NULL: @name, or @name#0, @name#1 … */
	uint32_t	n_links;	/* one a shard, and what else is wanted (the child's core) */
	uint32_t	flags;
	struct core_loop *loop;		/* where @gone and core_link_quiesce() call back: the main loop */
	const char	*dir;		/* in it a directory (0700) is made for the sockets' names, until all
					   are connected; any length */
	const struct orlop_identity *who; /* of its requests; NULL: user is @name */
	struct core_remote_limits limits;
	/*
	 * The child is gone, or has broken the rules, or never came: @why is one line. Once, on the loop,
	 * after everything has been answered (-ECONNRESET), cancelled and closed; never after
	 * core_remote_close(). Its addresses have no link then: requests wait for the next.
	 */
	void		(*gone)(void *arg, const char *why);
	void		*arg;
};

/*
 * core_remote_open - make the parent's ends, before there is a child
 *
 * 0, -errno with a line in @err.
 */
int core_remote_open(struct core_bus *bus, const struct core_remote_spec *spec, struct core_remote **ret,
		     struct orlop_error *err);

/*
 * What the child needs for core_bus_new_remote(): this text, and these descriptors (close-on-exec
 * here: give each a number there), @i < core_remote_n_fds(). Both belong to @r; the descriptors are
 * closed by core_remote_start().
 */
const char *core_remote_endpoint(const struct core_remote *r);
uint32_t core_remote_n_fds(const struct core_remote *r);
int32_t core_remote_fd(const struct core_remote *r, uint32_t i);

/*
 * core_remote_start - the child has been started: nobody but @pid may speak on the companions
 *
 * @uid is the user it becomes; until then it may be ours. What is requested from now on reaches it
 * when it has connected. Without this call core_remote_close() undoes everything. 0, -errno.
 */
int core_remote_start(struct core_remote *r, pid_t pid, uid_t uid);

/*
 * The link for core_bus_address_set(), core_link_quiesce(), _resume(), _counts(); @i < n_links.
 * core_link_serve() and _stop() do nothing here; core_link_close() closes this one link, and the
 * others with it: use core_remote_close(). Valid until then, also when the child is gone.
 */
struct core_link *core_remote_link(struct core_remote *r, uint32_t i);

/* True from when every link is connected. Any thread. */
bool core_remote_connected(const struct core_remote *r);

/*
 * core_remote_close - the end: as core_link_close() for all its links
 *
 * The child sees the end of its companions. Accepts NULL. Let the loop turn once more before it is freed.
 */
void core_remote_close(struct core_remote *r);

/* ---- the child's side ------------------------------------------------------------------------------- */

/* Zero it. */
struct core_remote_child {
	const char	*endpoint;
	const int32_t	*take_fds;	/* numbers here, in the order of core_remote_fd() */
	uint32_t	n_fds;
	uint64_t	timeout_ns;	/* to connect, 0: 10 s */
	/*
	 * The parent is gone or has closed us: end the process. Once, on the loop of some link, or on
	 * nobody's if no link is open (then core_link_open() fails with -ECONNRESET).
	 */
	void		(*gone)(void *arg, const char *why);
	void		*arg;
};

/*
 * core_bus_new_remote - a bus whose switch is in the parent
 *
 * Connects all links and waits for that, so that rights can be given up afterwards. Then
 * core_link_open() takes the link number spec->slot, once each; every other function of bus.h works
 * on it. What is about the switch does nothing: core_bus_address_set() returns 0 (the parent gives
 * addresses), _address_ready() is false, stats and tap are the parent's, core_bus_dump() is empty.
 * Notes stay in the process: they belong to its own cache. No thread of ours but nanomsg's own.
 *
 * Takes the descriptors, also on failure. 0, -ETIMEDOUT, -ECONNRESET, -errno with a line in @err.
 */
int core_bus_new_remote(const struct core_bus_config *cfg, const struct core_remote_child *child,
			struct core_bus **ret, struct orlop_error *err);

#ifdef __cplusplus
}
#endif
#endif
