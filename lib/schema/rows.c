/*
 * rows.c - the Table form: columns, and one row of cells per object.
 */
#include "schema/rows.h"

#include "base/obuf.h"
#include "schema/cells.h"
#include "schema/hooks.h"

#define HOOK(n) [OSCHEMA_L_##n] = ocell_##n,
static const ocell_fn cells[OSCHEMA_L_COUNT] = { OSCHEMA_CELLS(HOOK) };

static void put_column(struct obuf *out, const char *name, const char *type, const char *format,
		       const char *doc, int priority)
{
	obuf_puts(out, "{\"name\":");
	obuf_put_json_cstr(out, name);
	obuf_printf(out, ",\"type\":\"%s\",\"format\":\"%s\",\"description\":", type, format);
	obuf_put_json_cstr(out, doc);
	obuf_printf(out, ",\"priority\":%d}", priority);
}

void oschema_columns(const struct oschema *s, const struct oschema_resource *r, struct obuf *out)
{
	static const char *const types[] = { "string", "integer", "number", "boolean", "date" };

	obuf_putc(out, '[');
	for (unsigned int i = 0; i < r->n_columns; i++) {
		const struct oschema_column *c = &s->columns[r->columns + i];

		obuf_puts(out, i > 0 ? "," : "");
		put_column(out, oschema_str(s, c->name), types[c->type], c->format == 1 ? "name" : "",
			   oschema_str(s, c->doc), c->priority);
	}
	if (r->n_columns == 0) {
		put_column(out, "Name", "string", "name", "Name must be unique within a namespace.", 0);
		obuf_putc(out, ',');
		put_column(out, "Created At", "date", "", "When the server made the object, in RFC 3339 form and UTC.",
			   0);
	}
	obuf_putc(out, ']');
}

void oschema_cells(const struct oschema *s, const struct oschema_resource *r, struct ojson *obj,
		   int64_t now_ns, struct obuf *out)
{
	obuf_putc(out, '[');
	for (unsigned int i = 0; i < r->n_columns; i++) {
		const struct oschema_column *c = &s->columns[r->columns + i];
		struct ocell x = { obj, oschema_str(s, c->expr), now_ns, out, c->type };

		obuf_puts(out, i > 0 ? "," : "");
		if (c->hook != 0)
			cells[c->hook](&x);
		else
			ocell_value(&x, ojson_at_dotted(obj, x.path));
	}
	if (r->n_columns == 0) {
		struct ocell x = { obj, "", now_ns, out, 0 };

		ocell_value(&x, OJSON_AT(obj, "metadata", "name"));
		obuf_putc(out, ',');
		ocell_value(&x, OJSON_AT(obj, "metadata", "creationTimestamp"));
	}
	obuf_putc(out, ']');
}

bool oschema_row_conditions(const struct oschema *s, const struct oschema_resource *r, struct ojson *obj,
			    struct obuf *out)
{
	const char *phase = ojson_get_cstr(ojson_get(obj, "status"), "phase", "");

	if (strcmp(oschema_str(s, r->kind), "Pod") != 0)
		return false;
	if (strcmp(phase, "Succeeded") == 0)
		obuf_puts(out, "[{\"type\":\"Completed\",\"status\":\"True\",\"reason\":\"Succeeded\",\"message\":"
			  "\"The pod has completed successfully.\"}]");
	else if (strcmp(phase, "Failed") == 0)
		obuf_puts(out, "[{\"type\":\"Completed\",\"status\":\"True\",\"reason\":\"Failed\",\"message\":"
			  "\"The pod failed.\"}]");
	else
		return false;
	return true;
}
