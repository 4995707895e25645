/*
 * hookpost.h - one POST to a webhook, as a clientConfig says where; of admission and of conversion.
 */
#ifndef ADMISSION_HOOKPOST_H
#define ADMISSION_HOOKPOST_H

#include "../registry/op.h"

#include "base/oenc.h"
#include "http/oclient.h"

struct hook_post;

struct hook_question {
	struct orlop_bytes body;	/* JSON, copied */
	const char	*agent;		/* User-Agent */
	int64_t		seconds;	/* to answer in */
	size_t		answer_max;	/* bytes; 0: 3 MiB */
};

/* @why NULL: the body of a 200. Otherwise why there is none: "Post …: …", "service … not found". Borrowed. */
typedef void (*hook_posted_fn)(void *arg, struct orlop_bytes body, const char *why);

/*
 * hook_post - ask; @done is called once, maybe before this returns (then it returns NULL)
 *
 * @client_config  url or service, and caBundle; looked at only now
 */
struct hook_post *hook_post(struct reg_shard *sh, const struct ojson *client_config, const struct hook_question *q,
			    hook_posted_fn done, void *arg);
/* @done is not called any more. Accepts NULL. */
void hook_post_cancel(struct hook_post *p);

/* A uid for a question. */
void hook_uid(struct reg_shard *sh, char uid[OUUID_BUF]);

/* ---- hookplace.c ---- */

/* Connections to webhooks whose certificates the same authority has signed. */
struct hook_client {
	struct olist	link;
	char		*ca;		/* base64 as configured; "" the system's */
	struct otls_ctx	*tls;
	struct ohttp_client *http;
	uint32_t	calls;
};

#define HOOK_OTHERS	4u

/* Where one is asked; texts in the arena. */
struct hook_place {
	const char	*addr;		/* HOST:PORT to connect to; of a Service, any of its endpoints */
	const char	*others[HOOK_OTHERS];	/* the next of them */
	uint32_t	n_others;
	const char	*name;		/* in the certificate */
	const char	*host;		/* of the URL */
	const char	*path;
};

struct hook_client *hook_client_of(struct reg_shard *sh, const char *ca, struct orlop_error *err);
/* NULL, or why there is none. */
const char *hook_place(struct reg_shard *sh, struct oarena *arena, const struct ojson *client_config, struct hook_place *p);
/* Appends what the base64 text says. 0, -EINVAL, -ENOMEM. */
int hook_base64(struct obuf *b, const char *p, size_t len);

#endif
