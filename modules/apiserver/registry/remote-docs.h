/* remote-docs.h - the OpenAPI documents of a group version that another server serves. */
#ifndef REG_REMOTE_DOCS_H
#define REG_REMOTE_DOCS_H

#include "remotes.h"

#include "base/obuf.h"
#include "base/omap.h"

struct remote_docs;

/* Definitions of several of them, as members with commas between them, and where in that each name's value begins. */
struct remote_names {
	struct obuf	text;
	struct omap	at;
};

/* NULL without memory. */
struct remote_docs *remote_docs_new(struct reg_shard *sh, const char *group, const char *version);
void remote_docs_free(struct remote_docs *d);	/* accepts NULL */

/* Asks for what is new, unless it is being asked for; sh->remote_generation moves if anything is. */
void remote_docs_ask(struct remote_docs *d);

/* Where its document of v3 is, as the index says; NULL: there is none. */
const char *remote_docs_v3(const struct remote_docs *d);
/* The document, if it is not the server's own but made of what it has of v2: 0, -ENOENT, -ENOMEM. */
int remote_docs_make_v3(const struct remote_docs *d, struct obuf *out);
/* remote-v3.c: of @v2, paths and definitions. 0 or -errno. */
int remote_v3_of(struct orlop_bytes v2, struct obuf *out);

/*
 * Its paths and definitions of v2, appended as members with commas between them. A definition whose name another one has in @document
 * (ours, v2, JSON) or in @definitions (other servers') is left out if it is the same, and renamed if not. 0 or -ENOMEM.
 */
int remote_docs_v2(const struct remote_docs *d, struct orlop_bytes document, struct obuf *paths, struct remote_names *definitions);

#endif
