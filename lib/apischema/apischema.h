/*
 * apischema.h - the built-in API: constant tables made from api/ *.schema by tools/schemac.
 *
 * Link the archive `apischema` for it; only the API server module and tests do.
 */
#ifndef OAPISCHEMA_H
#define OAPISCHEMA_H

#include "schema/oschema.h"

extern const struct oschema oschema_builtin;

#endif
