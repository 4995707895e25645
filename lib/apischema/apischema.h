/*
 * apischema.h - the built-in API: constant tables made from api/ *.schema by tools/schemac.
 *
 * oschema_old is all of it and the versions of api/old, which Kubernetes no longer serves. It costs nothing where it is
 * not used: constant data that nobody reads is in no memory.
 *
 * Link the archive `apischema` for it; only the API server module and tests do.
 */
#ifndef OAPISCHEMA_H
#define OAPISCHEMA_H

#include "schema/oschema.h"

extern const struct oschema oschema_builtin;
extern const struct oschema oschema_old;

#endif
