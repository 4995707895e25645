/*
 * api.h - the address "api": the Kubernetes API as a bus request.
 *
 * Served by the class apiserver (or uplink, on a worker). Same answers as over HTTP. Every module
 * acts as a user of its own (modinfo user=); authorization, admission and validation apply.
 */
#ifndef ORLOP_API_H
#define ORLOP_API_H

#include <orlop/call.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orlop_api_ops {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	reserved_op0;
	orlop_op_fn	request;	/* 1 */
	orlop_op_fn	batch;		/* 2 */
	orlop_op_fn	lead;		/* 3, at the address "lead" */
};

enum {
	ORLOP_API_REQUEST	= 1,
	ORLOP_API_BATCH		= 2,
	ORLOP_API_LEAD		= 3,
};

/*
 * request: VERB, RESOURCE ("pods", "deployments.apps"; other than the storage version: VERSION),
 * NAMESPACE, NAME, SUBRESOURCE, BODY, CONTENT_TYPE (absent: application/json; patches as over
 * HTTP), QUERY (URL-encoded options: "dryRun=All&labelSelector=a%3Db"), FIELD_MANAGER (absent: the
 * instance name).
 * VERB: get list create update patch delete deletecollection (watch: use the cache).
 * Answer: status 0 whenever the API answered; CODE (HTTP status), BODY (object, list or Status as
 * JSON), REV (resourceVersion of the written object, 0: none; use with cache_wait).
 * In the reply to a failed request BODY is a metav1.Status; REASON repeats its reason.
 *
 * batch: REQUEST (message, repeated) → ANSWER (message, repeated, same order). Requests are
 * independent of each other and share one commit where the storage can.
 *
 * lead: NAME → compete for a name among processes, for host->lead(). Answered by who has provides=lead; where
 * nobody does, names are competed for inside of one process. TOKEN in an emitted part: gained, with a fencing
 * token that only grows; the final answer: lost, or never gained. Cancelling the request gives it back.
 */
#define ORLOP_API_T_VERB		1	/* bytes */
#define ORLOP_API_T_RESOURCE		2	/* bytes */
#define ORLOP_API_T_NAMESPACE		3	/* bytes */
#define ORLOP_API_T_NAME		4	/* bytes */
#define ORLOP_API_T_SUBRESOURCE		5	/* bytes */
#define ORLOP_API_T_BODY		6	/* bytes */
#define ORLOP_API_T_CONTENT_TYPE	7	/* bytes */
#define ORLOP_API_T_QUERY		8	/* bytes */
#define ORLOP_API_T_FIELD_MANAGER	9	/* bytes */
#define ORLOP_API_T_VERSION		10	/* bytes */
#define ORLOP_API_T_CODE		11
#define ORLOP_API_T_REV			12
#define ORLOP_API_T_REASON		13	/* bytes */
#define ORLOP_API_T_REQUEST		14	/* message */
#define ORLOP_API_T_ANSWER		15	/* message */
#define ORLOP_API_T_TOKEN		16

#ifdef __cplusplus
}
#endif
#endif
