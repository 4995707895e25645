/*
 * remotes.h - group versions that other servers serve: an APIService with a service. Who they are, whether they are there,
 * what they have, and connections to them.
 *
 * Each shard looks for itself; shard 0 writes what it finds into the APIService's status.
 */
#ifndef REG_REMOTES_H
#define REG_REMOTES_H

#include "registry.h"

#include "base/oarena.h"
#include "http/oclient.h"

struct reg_remotes;
struct remote_client;
struct ocrd_merge;

/* How long one endpoint may take to be connected with if there are others; a lost packet or two are sent again by then. */
#define REG_REMOTE_CONNECT_NS	(UINT64_C(3500) * 1000000)

/* Where to ask. Texts in the caller's arena; the client is held until reg_remote_release(). */
struct reg_remote {
	const char	*addr;		/* of an endpoint */
	const char	*const *others;	/* more of them, for when nobody is at that one */
	uint32_t	n_others;
	const char	*name;		/* in its certificate, and Host */
	struct ohttp_client *http;
	struct remote_client *client;
};

/*
 * reg_remote_find - 1: somebody else serves this group version, @ret says where; 0: nobody else does;
 * -ENOENT, -ENOMEM: somebody should, but @why
 */
int reg_remote_find(struct reg_shard *sh, struct orlop_bytes group, struct orlop_bytes version, struct oarena *a,
		    struct reg_remote *ret, const char **why);
void reg_remote_release(struct remote_client *c);

/* From now on it looks whenever an APIService changes, and now and then. */
int reg_remotes_start(struct reg_shard *sh);
void reg_remotes_free(struct reg_remotes *r);	/* accepts NULL */
/* What they have, into documents of discovery. */
void reg_remotes_merge(struct reg_shard *sh, struct ocrd_merge *m);

/* Where the OpenAPI v3 document of a group version is; "": another server has it, but no document. NULL: it is nobody's. */
const char *reg_remotes_openapi_v3(struct reg_shard *sh, const char *group, const char *version);
/* That document, if we make it: the server has one of v2 only. 0, -ENOENT, -errno. */
int reg_remotes_make_v3(struct reg_shard *sh, struct orlop_bytes group, struct orlop_bytes version, struct obuf *out);
bool reg_remotes_have_docs(struct reg_shard *sh);
/* What they add to @document, ours of v2 in JSON: members for its paths and its definitions. 0 or -ENOMEM. */
int reg_remotes_openapi_v2(struct reg_shard *sh, struct orlop_bytes document, struct obuf *paths, struct obuf *definitions);

#endif
