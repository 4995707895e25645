/*
 * types.h - the plain types that every other header of the ABI speaks in.
 *
 * Part of the Orlop module ABI. Includes only <stddef.h>, <stdint.h>, <stdbool.h>; compiles alone
 * as C11 and as C++. Change list: abi/orlop/module.h.
 */
#ifndef ORLOP_TYPES_H
#define ORLOP_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Text or bytes owned by somebody else: @len bytes at @p, not NUL-terminated, may hold NUL. */
struct orlop_bytes {
	const char	*p;
	size_t		len;
};

/* Opaque things of the host. Each belongs to the module instance (and shard) that made it. */
struct orlop_host;		/* the world, as one shard of one module instance sees it: host.h */
struct orlop_host_priv;		/* the core's own side of it */
struct orlop_timer;
struct orlop_fdwatch;
struct orlop_listener;
struct orlop_child;
struct orlop_request;		/* a request we sent, until its answer is handled */
struct orlop_call;		/* a request we received, until it is done: call.h */
struct orlop_blob;		/* immutable, reference-counted bytes: call.h */
struct orlop_resource;		/* an open resource of the cache: cache.h */
struct orlop_snapshot;
struct orlop_iter;
struct orlop_feed;		/* one resource that this module feeds: host.h */
struct orlop_metric;
struct orlop_lead;

/* One cause of a failed validation, as metav1.StatusCause. */
struct orlop_cause {
	char		*reason;	/* "FieldValueInvalid", … */
	char		*message;
	char		*field;		/* "spec.containers[0].name" */
};

/* A list of causes; made by orlop_error_cause() (inline/error.h), freed by orlop_error_done(). */
struct orlop_causes {
	uint32_t	n;
	uint32_t	cap;
	struct orlop_cause *v;
};

/*
 * What a user may see of a failure. The caller zeroes it and sets size (ORLOP_ERROR_INIT); it is
 * untouched on success. The buffers are fixed because the error path must not allocate; causes
 * are the one exception and may be missing.
 * Source: metav1.Status, Kubernetes API conventions, "Response Status Kind".
 */
struct orlop_error {
	uint32_t	size;
	int32_t		err;		/* errno, > 0; 0: no error */
	uint16_t	http;		/* status code; 0: derived from err */
	uint16_t	reserved0;
	char		reason[32];	/* metav1.StatusReason: "Conflict", "Invalid", … */
	char		msg[512];	/* for people: names the object and the field */
	struct orlop_causes *causes;	/* per-field causes, or NULL */
};

/* Identity a request is made for. All text borrowed; groups is an array of @n_groups. */
struct orlop_identity {
	uint32_t	size;
	uint32_t	n_groups;
	struct orlop_bytes user;
	struct orlop_bytes uid;
	const struct orlop_bytes *groups;
};

/* Log levels: by who must act. */
enum {
	ORLOP_LOG_ERR	= 3,		/* somebody, today */
	ORLOP_LOG_WARN	= 4,		/* degraded, going on */
	ORLOP_LOG_INFO	= 6,		/* state changes */
	ORLOP_LOG_DEBUG	= 7,
};

/* Descriptor readiness, as poll(2) means it. */
enum {
	ORLOP_FD_READ	= 1,
	ORLOP_FD_WRITE	= 2,
	ORLOP_FD_HUP	= 4,		/* reported only; read or write tells what happened */
};

#ifdef __cplusplus
}
#endif
#endif
