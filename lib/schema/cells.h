/*
 * cells.h - what a cell function gets: the object, its argument, the clock. Private to lib/schema.
 *
 * Each writes exactly one JSON value to @out.
 */
#ifndef OSCHEMA_CELLS_H
#define OSCHEMA_CELLS_H

#include "schema/hooks.h"
#include "schema/internal.h"

struct ocell {
	struct ojson	*obj;
	const char	*path;		/* argument in the schema file, "" none */
	int64_t		now_ns;
	struct obuf	*out;
	uint8_t		type;		/* oschema_column.type */
};

typedef void (*ocell_fn)(struct ocell *x);

/* Every name of OSCHEMA_CELLS is a function ocell_NAME. */
#define OCELL(name) void ocell_##name(struct ocell *x)

/* A value as it stands; absent is "". */
void ocell_value(struct ocell *x, const struct ojson *v);

/* Text made in @b, which is emptied. */
void ocell_text(struct ocell *x, struct obuf *take_b);
void ocell_cstr(struct ocell *x, const char *text);

/* Time since an RFC 3339 text in kubectl's short form; "<unknown>" if absent. Into @b. */
void ocell_since(struct ocell *x, struct orlop_bytes time, struct obuf *b);

/* Adds @text to a list joined by commas. */
void ocell_join(struct obuf *b, struct orlop_bytes text);

#define OCELL_DECL(n) OCELL(n);
OSCHEMA_CELLS(OCELL_DECL)

#endif
