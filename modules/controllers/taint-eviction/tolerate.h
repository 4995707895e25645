/* tolerate.h - how long a pod may stay on a node with taints. */
#ifndef TAINT_TOLERATE_H
#define TAINT_TOLERATE_H

#include "json/ojson.h"

#include <stdbool.h>
#include <stdint.h>

#define STAY_FOREVER	INT64_MAX

/* Does one toleration of @list tolerate @taint? *ret_s: for how many seconds, STAY_FOREVER: always. */
bool tolerated(const struct ojson *list, const struct ojson *taint, int64_t *ret_s);

#endif
