/* coded.h - a page that comes compressed, and goes on compressed in the same way, with its links changed. */
#ifndef APISERVER_CODED_H
#define APISERVER_CODED_H

#include "links.h"

struct coded;

/* Can what has this Content-Encoding be read? */
bool coded_is(struct orlop_bytes encoding);

/* NULL: no memory. */
struct coded *coded_new(struct orlop_bytes encoding);
void coded_free(struct coded *c);	/* accepts NULL */

/*
 * The page through @l, piece by piece as it comes; what there is of it so far goes to @out. 0, -ENOMEM, -EBADMSG: it is not what it says
 * it is, or not whole, -EFBIG: there is more in it than any page has.
 */
int coded_feed(struct coded *c, struct links *l, const char *p, size_t len, struct obuf *out);
int coded_end(struct coded *c, struct links *l, struct obuf *out);

#endif
