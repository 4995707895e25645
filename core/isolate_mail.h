/*
 * isolate_mail.h - requests and answers of the bus as packets between a core and the process of an
 * isolated module.
 *
 * Fields say what is asked and for whom; behind them stand the message and small blobs as they are;
 * large blobs cross as sealed memory files, descriptors as themselves. Clocks are the machine's, so
 * deadlines cross as they are.
 */
#ifndef CORE_ISOLATE_MAIL_H
#define CORE_ISOLATE_MAIL_H

#include "isolate_chan.h"

/* What is to be sent; all borrowed. Descriptors of @msg are taken, as the bus takes them. */
struct core_iso_mail {
	uint32_t	op;		/* request */
	uint32_t	flags;		/* answer: ORLOP_REPLY_MORE */
	int32_t		status;		/* answer */
	uint64_t	deadline_ns;	/* monotonic, 0: none */
	uint64_t	key;
	uint64_t	trace;
	const char	*to;
	const struct orlop_identity *who;
	const struct orlop_error *err;
	const struct orlop_msg *msg;
	bool		hint;		/* -EAGAIN instead of waiting */
};

/*
 * 0, -EPIPE (the channel is broken), or what could not be sent and leaves it whole: -ENOMEM, -E2BIG,
 * -EMFILE, -EBADF … Any thread.
 */
int core_iso_mail_send(struct core_iso_chan *c, uint32_t type, uint64_t id, const struct core_iso_mail *m);

/* One as received: all its own. */
struct core_iso_got {
	uint64_t	id;
	struct core_iso_mail mail;	/* who, err, msg point into this struct; to may be NULL */
	struct orlop_identity who;
	struct orlop_error err;
	struct orlop_msg msg;
	struct orlop_blob *blobs[ORLOP_MSG_MAX_BLOBS];
	int32_t		fds[ORLOP_MSG_MAX_FDS];
	struct orlop_bytes *groups;
	char		*to;
	char		*data;		/* copies of fields and message */
	void		*reader;	/* whose it is meanwhile */
};

/* What a child's blobs keep mapped here, counted until the last of them is freed, whoever has it. */
struct core_iso_meter;
int core_iso_meter_new(struct core_iso_meter **ret);
void core_iso_meter_unref(struct core_iso_meter *m);	/* accepts NULL */
#define CORE_ISO_MAPPED_MAX	4096u			/* blobs */
#define CORE_ISO_MAPPED_BYTES	(UINT64_C(512) << 20)

/*
 * Takes @in's descriptors. 0, -ENOMEM, -ENOBUFS (more than @meter, if there is one, allows), -EPROTO:
 * it makes no sense, or a blob's file could still be changed.
 */
int core_iso_mail_get(struct core_iso_in *in, struct core_iso_meter *meter, struct core_iso_got **ret);
/*
 * Parts that have been consumed here: the other side hears of them now and then, so that whoever emits
 * waits for whoever reads, across processes too. Any thread, one at a time.
 */
struct core_iso_credit {
	uint32_t	parts;
	uint64_t	bytes;
};
void core_iso_consumed(struct core_iso_chan *c, uint64_t id, struct core_iso_credit *k,
		       const struct orlop_msg *part);
void core_iso_got_free(struct core_iso_got *g);		/* accepts NULL; closes descriptors not set to -1 */

#endif
