/*
 * up.h - the steps of `orlop up`.
 */
#ifndef CLI_UP_H
#define CLI_UP_H

#include "place.h"
#include "setup.h"

/* preflight.c: what must hold before anything is changed; the first that does not, in one line. */
int preflight(const struct setup *s, const struct place *p, struct orlop_error *err);
/* Is this TCP port free on this machine? 1, 0. */
int port_free(int64_t port);
/* A free port, for tests and machines where the usual one is taken; 0 or -errno. */
int port_choose(int64_t *ret);

/* certs.c: what is missing, foreign or near its end is made anew; *ret_made: how many. */
int certs_make(const struct setup *s, int *ret_made, struct orlop_error *err);
/* The same for who joins: the node's own, signed by the authority in the directory @pki (NULL: one of our own). */
int certs_join(const struct setup *s, const char *pki, struct orlop_error *err);

/* conf.c: DIR/orlop.conf. What is not in this build is left out and said. */
int conf_write(const struct setup *s, const struct place *p, struct orlop_error *err);
/* Is the module left out: by --without, or because no role asks for it? */
int conf_without(const struct setup *s, const char *module);
/* Does --isolate name modules that there are? 0 or -EINVAL. */
int conf_check(const struct setup *s, struct orlop_error *err);

/* The file to be taken: @file, else the one of last time, else the machine's. */
int settings_find(struct setup *s, const char *file, struct orlop_error *err);
/* What it says, over what was written down. */
int settings_apply(struct setup *s, struct orlop_error *err);

#endif
