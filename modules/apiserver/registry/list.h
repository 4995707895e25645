/* list.h - a list on its way: what the files list*.c share. */
#ifndef REG_LIST_H
#define REG_LIST_H

#include "convert.h"
#include "op.h"
#include "select.h"

struct reg_late;

/* One list on its way. */
struct reg_list {
	struct reg_op	*op;
	struct reg_select sel;
	uint64_t	rev;		/* of the list, 0: now */
	struct orlop_bytes start;	/* "ns/name" of the last item seen, empty: from the beginning */
	uint64_t	limit;
	bool		exact;		/* at rev and no other */
	bool		consistent;	/* continue token with a revision */
	/* result */
	uint64_t	n;
	uint64_t	remaining;
	bool		has_remaining;
	bool		more;
	struct orlop_bytes last_ns;
	struct orlop_bytes last_name;
	/* from the storage: rows or items are made at once */
	struct obuf	items;
	struct reg_convert *convert;	/* or when they are converted: this one and all after it */
	size_t		n_convert;
	/* selected when they are converted, round by round (list-late.c) */
	struct reg_late	*late;		/* whose they are */
	size_t		cap_late;
	void		(*late_done)(struct reg_list *l, int r);
	bool		late_busy;
	int		late_err;
	struct orlop_iter *it;
	struct orlop_object *one;
	bool		page_more;	/* the storage has more */
	struct orlop_bytes range_from;
	struct orlop_bytes range_end;
	const char	*token;
	char		*mark;
	const struct oschema_type *partial;	/* protobuf: of metadata alone */
};

/* ---- list.c ---- */

/* An item of bytes as they are served. */
int reg_list_put_item(struct reg_list *l, struct orlop_bytes json);
/* An item of stored bytes in @version. */
int reg_list_put_stored(struct reg_list *l, struct orlop_bytes json, struct orlop_bytes version);
/* All items are in, but those that are still to be converted: the answer. */
void reg_list_finish_made(struct reg_list *l);
void reg_list_fail(struct reg_list *l, int r);

/* ---- list-stored.c ---- */

/* From the storage, at l->rev. */
void reg_list_stored(struct reg_list *l);

/* ---- list-late.c ---- */

static inline bool reg_late_is(const struct reg_list *l)
{
	return l->sel.custom && convert_hooked(l->sel.k);
}

/* What a round converts: copied, but for the names. */
int reg_late_add(struct reg_list *l, struct orlop_bytes ns, struct orlop_bytes name, struct orlop_bytes json,
		 struct orlop_bytes version);
/* Those of them that are selected become items; @done is called, maybe at once. */
void reg_late_go(struct reg_list *l, void (*done)(struct reg_list *l, int r));
/* All of it from the cache: @one (borrowed, or NULL), or what @take_it finds. */
void reg_late_cached(struct reg_list *l, struct orlop_object *one, struct orlop_iter *take_it);
void reg_late_done(struct reg_list *l);

/* ---- list-token.c ---- */

/* In the arena; NULL: no memory. @rev -1: goes on at whatever revision there is then. */
const char *reg_list_token_make(struct reg_op *op, int64_t rev, struct orlop_bytes ns, struct orlop_bytes name);
/* Where the next page begins. 0 or -ENOMEM: a page without its token would pass for the end. */
int reg_list_token_set(struct reg_list *l);
/* That of the request, into l->start and the revision. */
int reg_list_token_parse(struct reg_list *l);
/* What l->start says. */
void reg_list_start(const struct reg_list *l, struct orlop_bytes *ns, struct orlop_bytes *name);

#endif
