/*
 * rows.h - the Table form of objects: column definitions, cells, row conditions.
 *
 * Cells are what upstream's printers would show with -o wide; ages are computed here.
 */
#ifndef OSCHEMA_ROWS_H
#define OSCHEMA_ROWS_H

#include "schema/oschema.h"

struct ojson;
struct obuf;

/* The array [{"name":…,"type":…,"format":…,"description":…,"priority":…},…]; always a complete value. */
void oschema_columns(const struct oschema *s, const struct oschema_resource *r, struct obuf *out);

/*
 * oschema_cells - the array of cells of one object
 *
 * @obj  a tree of the object as stored or served (for events: the stored type); need not have defaults
 * @now  wall time in ns, for ages
 *
 * Writes ["web-0","1/1",…], one cell per column. Errors stick to @out.
 */
void oschema_cells(const struct oschema *s, const struct oschema_resource *r, struct ojson *obj,
		   int64_t now_ns, struct obuf *out);

/*
 * oschema_row_conditions - the array of row conditions, or nothing
 *
 * Finished pods have [{"type":"Completed","status":"True","reason":"Succeeded"}]. Returns false and
 * writes nothing if the row has none.
 */
bool oschema_row_conditions(const struct oschema *s, const struct oschema_resource *r,
			    struct ojson *obj, struct obuf *out);

#endif
