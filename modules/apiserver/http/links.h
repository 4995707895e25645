/* links.h - links in pages that come through …/proxy/, made such that they lead there again. */
#ifndef APISERVER_LINKS_H
#define APISERVER_LINKS_H

#include <orlop/types.h>

#include "base/obuf.h"

#include <stdbool.h>

struct links;

/*
 * @prefix: what of the client's path stands before the backend's ("/api/v1/namespaces/n/pods/p/proxy"); @backend: its address as
 * ADDRESS:PORT; @host: what the client calls this server. All are copied. NULL: no memory.
 */
struct links *links_new(struct orlop_bytes prefix, const char *backend, struct orlop_bytes host);
void links_free(struct links *l);	/* accepts NULL */

/* HTML, piece by piece as it comes; behind the last, links_end() gives what was kept back. */
void links_feed(struct links *l, const char *p, size_t len, struct obuf *out);
void links_end(struct links *l, struct obuf *out);

/* One address by itself, as in Location, appended to @out. False: it stays as it is. */
bool links_url(const struct links *l, struct orlop_bytes url, struct obuf *out);

#endif
