/*
 * remote.h - HTTPS requests to the API server: identity, time limits, whole answers or streams.
 *
 * Knows nothing of Kubernetes but the Status that a failed answer carries. Whether the server is there is
 * said once when it goes and once when it is back, however many requests notice.
 */
#ifndef UP_REMOTE_H
#define UP_REMOTE_H

#include "config.h"

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/obuf.h"
#include "base/olist.h"

struct up_remote;
struct up_call;

struct up_remote_stats {
	uint64_t	requests;
	uint64_t	failures;	/* without an answer */
	uint64_t	bytes_in;
	uint32_t	active;
};

/* What became of a request. Borrowed for the call. */
struct up_answer {
	int		err;		/* 0: the server answered; else -errno */
	bool		sent;		/* err: it may have been done */
	int		status;		/* HTTP; also with err if the head was in */
	uint32_t	retry_after_s;	/* 0: not said */
	const char	*why;		/* err: for people */
	struct orlop_bytes body;	/* of a stream: only that of an error */
};

typedef void (*up_answer_fn)(void *arg, const struct up_answer *a);
/* A stream's bytes. Return -errno to end it: then the answer comes with that. */
typedef int (*up_data_fn)(void *arg, const char *p, size_t len);

struct up_request {
	const char	*method;
	const char	*target;	/* path and query, behind the base */
	const char	*accept;	/* NULL: application/json */
	const char	*content_type;	/* NULL: application/json if there is a body */
	struct orlop_bytes body;
	const struct orlop_identity *as;	/* impersonated; NULL: nobody */
	uint64_t	timeout_ns;	/* until the answer is complete; streams: until its end. 0: 60 s */
	uint64_t	idle_ns;	/* streams: without a byte; 0: no limit */
	size_t		max_body;	/* 0: 64 MiB */
	up_data_fn	data;		/* NULL: collect */
};

int up_remote_new(const struct orlop_host *h, struct up_config *take_c, struct up_remote **ret,
		  struct orlop_error *err);
void up_remote_free(struct up_remote *r);	/* no callbacks any more */

/* 0, then @fn once, later; or -ENOMEM, -EINVAL. */
int up_remote_send(struct up_remote *r, const struct up_request *q, up_answer_fn fn, void *arg,
		   struct up_call **ret);
void up_remote_cancel(struct up_call *c);	/* no callback; accepts NULL */
void up_remote_pause(struct up_call *c, bool on);	/* of a stream */

const char *up_remote_addr(const struct up_remote *r);
bool up_remote_down(const struct up_remote *r);
void up_remote_stats(const struct up_remote *r, struct up_remote_stats *ret);

/* Certificates, token: read again what has changed on disk. */
void up_remote_reload(struct up_remote *r);

/*
 * What a failed answer means and what to mend, one line into @buf: "403 Forbidden: pods is forbidden: …
 * (grant list and watch to the user of KUBECONFIG)".
 */
const char *up_explain(const struct up_remote *r, const struct up_answer *a, char *buf, size_t size);

/* Delay before try number @n (from 0): 100 ms doubled up to 30 s, half of it by chance. */
uint64_t up_backoff(const struct orlop_host *h, unsigned int n);

#endif
