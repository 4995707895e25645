/*
 * asks.h - what a module may ask the address "api" for, as its modinfo's asks= says it (orlop/module.h).
 *
 * Less than its user may: the user is one of the API's, often one of upstream with upstream's roles, which
 * are made for upstream's component. A module without asks= may what its user may.
 */
#ifndef CORE_ASKS_H
#define CORE_ASKS_H

#include <stdbool.h>
#include <stdint.h>

#include <orlop/call.h>

#include "base/obuf.h"

struct core_asks;

/*
 * core_asks_parse - each of @list is "RESOURCE[/SUBRESOURCE];VERB[;VERB…]", RESOURCE "*" for all
 *
 * The text is copied. 0, -EINVAL, -ENOMEM with a line that quotes the entry.
 */
int core_asks_parse(char *const *list, struct core_asks **ret, struct orlop_error *err);
void core_asks_free(struct core_asks *a);

/*
 * core_asks_may - may it send this request or batch (orlop/api.h)?
 *
 * 0, counted, or -EACCES with a line about the first thing that it may not. A batch is refused as a whole.
 * @module is its name. Any thread.
 */
int core_asks_may(struct core_asks *a, const char *module, uint32_t op, const struct orlop_msg *msg,
		  struct orlop_error *err);

/* {"pods;create":12,…}: how often each was asked for. */
void core_asks_put(const struct core_asks *a, struct obuf *b);

#endif
