/*
 * render.h - one cached object in the form a client asked for: another version, Table, metadata.
 *
 * Plain objects of the stored version are never rendered: their bytes are sent as they are.
 */
#ifndef REG_RENDER_H
#define REG_RENDER_H

#include "op.h"

/* Is it enough to send prefix, json and the closing brace? */
static inline bool render_plain(const struct reg_kind *k, enum reg_form form)
{
	return form == REG_FORM_OBJECT && k->stored == k && !k->reread;
}

/* "metadata":{…} → {…}; p NULL if there is none. */
struct orlop_bytes render_metadata(struct orlop_bytes json);

/* The object in the version of @k, from its stored form. 0, -ENOMEM, -EINVAL. */
int render_tree(const struct oschema *s, const struct reg_kind *k, struct orlop_bytes json, struct ojson **ret);

/*
 * Append the object as @k serves it with braces, kind and apiVersion (@item: an item of a built-in
 * list, without them). @json from "metadata" on. 0, -ENOMEM, -EINVAL.
 */
int render_object(const struct oschema *s, const struct reg_kind *k, struct orlop_bytes json,
		  bool item, struct obuf *b);

/* Append one row of a Table. */
int render_row(const struct oschema *s, const struct reg_kind *k, struct orlop_bytes json,
	       enum reg_include include, int64_t now_ns, struct obuf *b);

/* Append `{"kind":"PartialObjectMetadata",…,"metadata":{…}}`. */
void render_partial(struct orlop_bytes json, struct obuf *b);

/* Append a Table's beginning up to and with `"rows":[`; close with "]}". @columns false: none. */
void render_table_head(const struct oschema *s, const struct reg_kind *k, const char *list_meta,
		       bool columns, struct obuf *b);

/* A complete document of one object in any form, without newline. */
int render_one(struct reg_shard *sh, const struct reg_kind *k, enum reg_form form,
	       enum reg_include include, struct orlop_bytes json, uint64_t rev, bool columns,
	       struct obuf *b);

/* Parse "metadata": … into a tree (braces are put around it); with kind and apiVersion if @k. */
int render_parse(const struct reg_kind *k, struct orlop_bytes json, struct ojson **ret);

#endif
