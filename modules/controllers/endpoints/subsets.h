/* subsets.h - what the Endpoints of a Service should have. */
#ifndef ENDPOINTS_SUBSETS_H
#define ENDPOINTS_SUBSETS_H

#include <stdbool.h>

#include "json/ojson.h"

#define ADDRESSES_MAX	1000

/* Addresses of @pods grouped by the ports they share, at most ADDRESSES_MAX (then *ret_cut). NULL: no memory. */
struct ojson *subsets_make(const struct ojson *svc, const struct ojson *pods, bool *ret_cut);

#endif
