/*
 * oapimsg - the messages of the address "api" (orlop/api.h), for whoever answers there
 *
 * A call carries one request or a batch; each request becomes a struct oapi_request, each answer a
 * struct oapi_answer, and when all are there one message goes back.
 */
#ifndef OLIB_APIMSG_OAPIMSG_H
#define OLIB_APIMSG_OAPIMSG_H

#include <orlop/api.h>
#include <orlop/host.h>

#include <stdbool.h>
#include <stdint.h>

/* The fields of a request; all borrowed from the call. */
struct oapi_request {
	struct orlop_bytes verb;
	struct orlop_bytes resource;
	struct orlop_bytes version;
	struct orlop_bytes ns;
	struct orlop_bytes name;
	struct orlop_bytes sub;
	struct orlop_bytes body;
	struct orlop_bytes content_type;
	struct orlop_bytes query;
	struct orlop_bytes manager;
};

struct oapi_answer {
	uint32_t	code;
	uint64_t	rev;
	char		reason[32];
	struct orlop_blob *body;	/* owned; NULL: none */
};

/*
 * How many requests @req carries; whether they are a batch. An empty batch has none.
 * Requests are numbered from 0 in the order in which oapi_next() gives them.
 */
uint32_t oapi_count(const struct orlop_host *h, const struct orlop_req *req, bool *ret_batch);

/* Walks over them: zero @it first. 1: one is in @ret, 0: no more. */
struct oapi_iter {
	struct {
		const char	*p;	/* where the rest begins */
		bool		begun;
	} at;
};

int oapi_next(const struct orlop_host *h, const struct orlop_req *req, struct oapi_iter *it,
	      struct oapi_request *ret);

/*
 * oapi_done - answer @call with all answers, release their bodies
 *
 * All share one message of 64 KB and 64 blobs: a body is inline if everybody's share allows, else
 * a blob; in a very large batch of large objects it may be missing, code and revision never.
 */
void oapi_done(const struct orlop_host *h, struct orlop_call *call, bool batch,
	       struct oapi_answer *answers, uint32_t n);

#endif
