/* tables.h - a struct oschema while it is being made. Private to lib/crd. */
#ifndef OLIB_CRD_TABLES_H
#define OLIB_CRD_TABLES_H

#include "crd/ocrd.h"

#include "base/obuf.h"

/* Every array is an obuf of its elements until the end; an error sticks to it. */
struct otables {
	const struct oschema *from;	/* whose types are lent */
	uint16_t	*seen;		/* index there → index here, 0: not yet */
	struct obuf	pool, types, fields, by_name, rules, strs, resources, subs, selects, columns, groups;
	uint16_t	any;		/* type of values without a schema, granular as they are */
	bool		docs;		/* for OpenAPI: with lists and what operations need */
};

uint32_t otables_text(struct otables *t, const char *cstr);
uint16_t otables_strs(struct otables *t, const char *const *v, unsigned int n);
unsigned int otables_count(const struct obuf *b, size_t size);

/* types.c */
int otypes_begin(struct otables *t);
int otypes_lend(struct otables *t, const char *name, uint16_t *ret);	/* "meta/v1.ObjectMeta" and what it needs */
/* The list kind of type @item. */
int otypes_list(struct otables *t, const char *name, uint16_t item);
int otypes_object(struct otables *t, const struct ocrd_node *root, const char *name, uint16_t *ret);

#endif
