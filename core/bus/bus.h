/*
 * bus.h - the bus: links, the switch between them, requests, topics, notes, blobs.
 *
 * Every shard of a module instance, and the core itself, owns one *link*: a pair of nanomsg NN_BUS
 * sockets, one end on the owner's loop, one at the switch, which has a thread of its own. NN_BUS
 * loses; so both ends of a link number, acknowledge and repeat what they send (arq.h), and nothing
 * but messages and hints travels here: state never depends on them.
 *
 * The switch knows every open request. It answers exactly once each, if the answerer does not:
 * -EBUSY (its queue is full), -ECONNRESET (the answerer's link closed), -ETIMEDOUT, -ECANCELED,
 * -EHOSTUNREACH. Requests to an address without a link wait ("park") until it has one.
 *
 * Threads: functions of a link are called on its loop's thread unless they say "any thread".
 */
#ifndef CORE_BUS_BUS_H
#define CORE_BUS_BUS_H

#include <orlop/call.h>
#include <orlop/host.h>

#ifdef __cplusplus
extern "C" {
#endif

struct core_bus;
struct core_link;
struct core_loop;
struct core_owner;

/* ---- the switch ------------------------------------------------------------------------------ */

/* Zero is the default for each. */
struct core_bus_config {
	uint32_t	loss_percent;	/* tests: of all frames that pass the switch, each way */
	uint32_t	dup_percent;
	uint32_t	reorder_percent;
	uint64_t	seed;		/* of the injector; 0: 1 */
	uint32_t	open_max;	/* requests open at one link, 0: 8192; more: -EBUSY */
	uint32_t	park_max;	/* requests waiting for one address, 0: 4096; more: -EBUSY */
	uint32_t	hint_max;	/* frames queued to one link before topic messages are dropped, 0: 1024 */
	/* One line for people, NULL: none. Any thread. */
	void		(*log)(void *arg, int32_t level, const char *event, const char *text);
	void		*log_arg;
};

/* 0, -ENOMEM, -errno of thread and descriptors. */
int core_bus_new(const struct core_bus_config *cfg, struct core_bus **ret);

/* All links are closed already. Accepts NULL. */
void core_bus_free(struct core_bus *bus);

/*
 * core_bus_address_set - who answers at @name from now on; NULL: nobody (requests wait)
 *
 * Any thread; in order with other calls of the same thread and with core_link_close(). Waiting
 * requests go to the new link in the order they came. Requests that the old link has already
 * been handed stay there. -ENOMEM or 0.
 */
int core_bus_address_set(struct core_bus *bus, const char *name, struct core_link *link);

/* True if a link answers at @name and is not muted. Any thread. */
bool core_bus_address_ready(struct core_bus *bus, const char *name);

/* ---- links ----------------------------------------------------------------------------------- */

#define CORE_LINK_BLOCKING	0x0001u	/* run ops by @work; equal key: the next starts when the last is done */

/* Zero it. Text is copied. */
struct core_link_spec {
	const char	*name;		/* "storage/lmdb", with "#1" for shard 1: for people */
	struct core_loop *loop;
	struct core_owner *owner;	/* counts its open calls and requests; may be NULL */
	struct core_owner *timed;	/* whose time callbacks of this link are; may be NULL */
	uint32_t	flags;
	uint32_t	concurrency;	/* with BLOCKING: ops at once, 0: 64 */
	const struct orlop_ops *ops;	/* NULL: serves nothing, requests answer -ENOTSUP */
	void		*ctx;		/* first argument of ops; see core_link_serve() */
	const struct orlop_identity *who;	/* of requests that name none; NULL: user is @name */
	/*
	 * With BLOCKING: run @fn on a worker thread, soon, in any order. 0 or -errno (the call is
	 * then answered with it). The glue keeps order and limit.
	 */
	int		(*work)(void *work_arg, orlop_cb fn, void *arg);
	void		*work_arg;
};

/* On the thread of spec->loop. 0, -ENOMEM, -errno. */
int core_link_open(struct core_bus *bus, const struct core_link_spec *spec, struct core_link **ret);

/* Set or change who serves; for links that are opened before init() has made a ctx. */
void core_link_serve(struct core_link *link, const struct orlop_ops *ops, void *ctx);

/*
 * core_link_quiesce - no new requests to this link; tell when nothing is open any more
 *
 * From this call on requests to its addresses wait for another link (or core_link_resume()). @fn is
 * called once, on the loop, when every call that was on its way to this link is done. (Requests of
 * its own may be open: a call may need them, and core_link_stop() ends them.) With @fn NULL it only
 * mutes. 0, -ENOMEM, -ECANCELED (closed).
 */
int core_link_quiesce(struct core_link *link, orlop_cb fn, void *arg);

/* Takes requests again (stop() refused). A quiesce that has not called back yet never will. */
void core_link_resume(struct core_link *link);

/*
 * core_link_stop - no more requests from this link
 *
 * Those that are open call back with -ECANCELED, later, on the loop; new ones return -ECANCELED.
 */
void core_link_stop(struct core_link *link);

/*
 * core_link_close - the end of a link
 *
 * Nothing is called back after it. Calls still open are freed (nobody may complete them any more)
 * and their callers get -ECONNRESET, "outcome unknown"; its own open requests are cancelled at
 * their answerers. Accepts NULL. The memory goes when the loop has closed its handles: let the
 * loop turn once more before it is freed.
 */
void core_link_close(struct core_link *link);

/* What is open at a link. Asks the switch and waits for it: for looking now and then. */
struct core_link_open_counts {
	uint32_t	calls;		/* received or on their way to it, not done */
	uint32_t	requests;	/* sent, not answered */
};
void core_link_counts(struct core_link *link, struct core_link_open_counts *ret);

/* ---- requests: the members of struct orlop_host, for a link ------------------------------------ */

/* Zero or an error as host.h says; a queue that is full answers -EBUSY by the callback. */
int core_link_request(struct core_link *link, const struct orlop_send *send, orlop_reply_fn cb,
		      void *arg, struct orlop_request **ret);
void core_request_cancel(struct orlop_request *r);

/*
 * For who passes parts on to somebody else: they count as consumed, and make room for more, when
 * core_request_consumed() says so, not when the callback returns. More than came is not believed.
 */
void core_request_relay(struct orlop_request *r);
void core_request_consumed(struct orlop_request *r, uint64_t parts, uint64_t bytes);
/* What a part counts for that: body and blobs, up to a limit. */
uint32_t core_msg_part_bytes(const struct orlop_msg *msg);
#define CORE_CREDIT_PARTS	8u	/* who consumes says so after so many */
#define CORE_CREDIT_BYTES	(1u << 20)

/* Exactly these are host->call_*: done and emit from any thread, the others on the loop. */
void core_call_done(struct orlop_call *c, int32_t status, const struct orlop_msg *msg,
		    const struct orlop_error *err);
int core_call_emit(struct orlop_call *c, const struct orlop_msg *msg);
void core_call_on_cancel(struct orlop_call *c, orlop_cb cb, void *arg);
void core_call_on_writable(struct orlop_call *c, orlop_cb cb, void *arg);

/* ---- topics: hints ------------------------------------------------------------------------------ */

/* Goes to every subscriber, the publisher's link included. Descriptors are refused (and closed): -EINVAL. */
int core_link_publish(struct core_link *link, const char *topic, const struct orlop_msg *msg);
int core_link_subscribe(struct core_link *link, const char *topic, orlop_topic_fn cb, void *arg);

/* ---- notes: "@topic has reached @value" ----------------------------------------------------------- */

/*
 * A note is the newest value of a topic. It reaches each subscriber, but of several that wait
 * only the newest: a subscriber that is slow costs one frame. A new subscriber hears the present value.
 */
typedef void (*core_note_fn)(void *arg, uint64_t value);

/* The number of a topic or an address, for core_bus_note(). > 0, or -ENOMEM. Any thread. */
int32_t core_bus_topic(struct core_bus *bus, const char *name);

/* Values only grow; a smaller one is ignored. Any thread, never blocks, no allocation. */
void core_bus_note(struct core_bus *bus, int32_t topic, uint64_t value);

struct core_note_sub;
int core_link_note_subscribe(struct core_link *link, int32_t topic, core_note_fn cb, void *arg,
			     struct core_note_sub **ret);
void core_note_unsubscribe(struct core_note_sub *sub);	/* accepts NULL; no callback after it */

/* ---- blobs: immutable, counted; any thread ---------------------------------------------------------- */

int core_blob_new(const void *p, size_t len, struct orlop_blob **ret);		/* copies */
int core_blob_take(void *take_p, size_t len, struct orlop_blob **ret);		/* malloc'ed */
/* Bytes that somebody else keeps; @release is called with @arg at the last unref. */
int core_blob_adopt(const void *p, size_t len, orlop_cb release, void *arg, struct orlop_blob **ret);
struct orlop_blob *core_blob_ref(struct orlop_blob *b);
void core_blob_unref(struct orlop_blob *b);					/* accepts NULL */
struct orlop_bytes core_blob_bytes(const struct orlop_blob *b);

/* ---- looking inside ------------------------------------------------------------------------------------ */

/* Counters of a link since it was opened, as the switch sees it. */
struct core_link_stats {
	const char	*name;
	uint32_t	id;
	uint32_t	muted;
	uint64_t	epoch;
	uint64_t	frames_in;	/* from the link, without repeats */
	uint64_t	frames_out;	/* to the link, without repeats */
	uint64_t	bytes_in;	/* bodies, blobs not counted */
	uint64_t	bytes_out;
	uint64_t	packets_in;
	uint64_t	packets_out;
	uint64_t	retransmitted;	/* frames repeated to the link */
	uint64_t	duplicates;	/* frames that came again from it */
	uint64_t	rejected;	/* packets or frames that made no sense, or of another epoch */
	uint64_t	injected;	/* lost, doubled or reordered on purpose */
	uint64_t	requests_in;	/* that others sent to it */
	uint64_t	requests_out;	/* that it sent */
	uint64_t	refused;	/* requests to it answered -EBUSY */
	uint64_t	resets;		/* requests to it answered -ECONNRESET */
	uint64_t	hints_dropped;
	uint64_t	notes_merged;
	uint32_t	queued;		/* frames waiting for its window now */
	uint32_t	queued_peak;
	uint32_t	open;		/* requests open at it now */
	uint32_t	open_peak;
	uint64_t	p50_ns;		/* of its answers, upper bound of a power of two; 0: none yet */
	uint64_t	p99_ns;
};

/* Calls @fn for each link, on the switch's thread, while the caller waits: @fn must not block. Any other thread. */
void core_bus_stats(struct core_bus *bus,
		    void (*fn)(void *arg, const struct core_link_stats *s), void *arg);

/* The head of a message, for the tap and the record of the last ones. */
struct core_bus_head {
	uint64_t	at_ns;		/* monotonic */
	uint64_t	corr;
	uint64_t	trace;
	uint32_t	src;		/* link */
	uint32_t	dst;		/* link; 0: none (parked, topic) */
	uint32_t	op;		/* or topic */
	int32_t		status;
	uint32_t	len_bytes;
	uint16_t	kind;		/* enum core_wire_kind */
	uint16_t	reserved0;
	uint32_t	name;		/* number of the address or topic, 0: none */
	uint64_t	latency_ns;	/* of an answer: since its request was handed over; else 0 */
};

/* The address or topic of that number, "" if there is none. Any thread. */
const char *core_bus_name(struct core_bus *bus, uint32_t number);

/* Name of a kind: "request". Never NULL. */
const char *core_bus_kind_name(uint32_t kind);

/*
 * core_bus_recent - the last messages of the links named @link or "@link#shard", oldest first
 *
 * As core_bus_stats(). Names of links that are gone are "".
 */
void core_bus_recent(struct core_bus *bus, const char *link,
		     void (*fn)(void *arg, const char *link, const struct core_bus_head *h,
				const char *src, const char *dst), void *arg);

/*
 * Called for each message that the switch passes on, on its thread; @body valid during the call
 * (len 0 if there is none). NULL ends it; after return the old one is not called any more. Any thread but the switch's.
 */
typedef void (*core_bus_tap_fn)(void *arg, const struct core_bus_head *head,
				const char *src_name, const char *dst_name, struct orlop_bytes body);
void core_bus_tap(struct core_bus *bus, core_bus_tap_fn fn, void *arg);

/*
 * The last messages from and to each link, oldest first, as text. Async-signal-safe (for crash
 * output): writes to @fd, takes no lock, may show a torn line.
 */
void core_bus_dump(struct core_bus *bus, int fd);

#ifdef __cplusplus
}
#endif
#endif
