/* hops.h - headers that a proxy does not hand on. */
#ifndef APISERVER_HOPS_H
#define APISERVER_HOPS_H

#include "http/ohttp.h"

/* What the Connection headers of one message name. */
struct hops {
	struct orlop_bytes	v[64];
	size_t			n;
};

void hops_of(const struct ohttp_header *h, size_t n, struct hops *ret);

/* Does a header of this name stay here? Connection and Upgrade do, too: who wants an upgrade says so himself. */
bool hops_keep(struct orlop_bytes name, const struct hops *hops);

#endif
