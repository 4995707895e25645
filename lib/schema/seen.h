/* seen.h - values that have come before, so that a long list costs its length and not its square. */
#ifndef OLIB_SCHEMA_SEEN_H
#define OLIB_SCHEMA_SEEN_H

#include "base/obuf.h"
#include "base/omap.h"
#include "json/ojson.h"

struct oseen {
	struct omap	keys;
	struct obuf	text;
	bool		*lost;
};

/* *@lost is set when there is no memory for it: what was asked of it after that means nothing. */
void oseen_init(struct oseen *s, bool *lost);
void oseen_done(struct oseen *s);

/* Has this pair come before? It has from now on. */
bool oseen(struct oseen *s, const struct ojson *a, const struct ojson *b);
/* Has this one, with nothing beside it? */
bool oseen_has(struct oseen *s, const struct ojson *a);

#define cleanup_oseen __attribute__((cleanup(oseen_done)))

#endif
