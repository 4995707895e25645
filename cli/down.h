/*
 * down.h - the steps of `orlop down`.
 */
#ifndef CLI_DOWN_H
#define CLI_DOWN_H

#include "ctl.h"
#include "setup.h"

/*
 * drain.c: with the daemon's help. The kubelet goes first, so that nothing is started again; then
 * containers are asked to end and get @grace_s for it; sandboxes, their links, the bridge.
 * Failures are said and skipped: wipe() is thorough.
 */
void drain(const struct setup *s, struct ctl *c, int64_t grace_s);

/*
 * The machine goes down: the kubelet is told, ends its pods in order, and the API knows of it when this returns. There is no
 * limit but theirs: whoever has less time ends this process.
 */
int drain_shutdown(struct ctl *c, struct orlop_error *err);

/*
 * wipe.c: without any daemon, by what is on disk and in the kernel. Ends every process that belongs
 * to the data directory, unmounts what is below it, removes its links, packet rules, cgroups, and
 * the directory itself. Repeating it is safe.
 */
int wipe(const struct setup *s, struct orlop_error *err);
/* Does it look like a data directory of ours? 1 or 0. */
int wipe_is_ours(const struct setup *s);

#endif
