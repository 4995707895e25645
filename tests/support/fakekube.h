/*
 * fakekube.h - an API server for tests of controllers, in a few hundred lines over the fake host.
 *
 * Stricter than fakehost_api(): generateName, resourceVersion and preconditions, generation, status
 * and finalize subresources, merge patches (strategic ones for ownerReferences), finalizers,
 * propagation, graceful deletion of bound pods, deletecollection; the token of an account is its name.
 * No validation, no defaults, no authorization.
 *
 *	struct fakekube *k = fakekube_new(fh);
 *	…
 *	ok(fakekube_count(k, "delete pods") == 3, "three went");
 *	fakekube_free(k);		before fakehost_free()
 */
#ifndef ORLOP_FAKEKUBE_H
#define ORLOP_FAKEKUBE_H

#include "fakehost.h"
#include "json/ojson.h"

struct fakekube;

/* One request, as a hook sees it. */
struct fakekube_req {
	const char	*verb;
	const char	*resource;
	const char	*ns;
	const char	*name;
	const char	*sub;
	const struct ojson *body;
};

/* Called first. 0: go on; else the HTTP status to fail with (@ret_reason "Forbidden", …). */
typedef int (*fakekube_hook_fn)(void *arg, const struct fakekube_req *req, const char **ret_reason);

struct fakekube *fakekube_new(struct fakehost *fh);
void fakekube_free(struct fakekube *k);
void fakekube_hook(struct fakekube *k, fakekube_hook_fn fn, void *arg);

/*
 * For tests that let allocations fail: called with 1 before the server works, with 0 after it, so that
 * only the module under test is hit.
 */
void fakekube_shelter(struct fakekube *k, void (*fn)(int inside));

/* Requests so far whose line "VERB RESOURCE[/SUB] NS/NAME {body}" contains @text. */
uint32_t fakekube_count(const struct fakekube *k, const char *text);
void fakekube_forget(struct fakekube *k);
/* The lines, as TAP comments. */
void fakekube_show(const struct fakekube *k);

/* The object as a tree, NULL: not there. The caller unrefs. */
struct ojson *fakekube_get(struct fakekube *k, const char *resource, const char *ns, const char *name);
/* The value at a dotted path as text ("" if absent), valid until the next call. */
const char *fakekube_at(struct fakekube *k, const char *resource, const char *ns, const char *name,
			const char *path);
/* A request by the test itself, answered at once: HTTP status. @json NULL: no body. */
uint32_t fakekube_do(struct fakekube *k, const char *verb, const char *resource, const char *ns,
		     const char *name, const char *json);

#endif
