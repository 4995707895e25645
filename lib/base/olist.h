/* olist - intrusive doubly linked list with a head node, as in the kernel. */
#ifndef OLIB_BASE_OLIST_H
#define OLIB_BASE_OLIST_H

#include <stdbool.h>
#include <stddef.h>

struct olist {
	struct olist	*next;
	struct olist	*prev;
};

#define OLIST_HEAD_INIT(name) { &(name), &(name) }

/* The struct of type @type that embeds @ptr as @member. */
#define OLIST_ENTRY(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void olist_init(struct olist *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool olist_empty(const struct olist *l)
{
	return l->next == l;
}

static inline void olist_insert(struct olist *node, struct olist *prev, struct olist *next)
{
	next->prev = node;
	node->next = next;
	node->prev = prev;
	prev->next = node;
}

static inline void olist_push(struct olist *head, struct olist *node)
{
	olist_insert(node, head, head->next);
}

static inline void olist_append(struct olist *head, struct olist *node)
{
	olist_insert(node, head->prev, head);
}

/* The node is then alone: removing twice is harmless, olist_empty(node) says "not in a list". */
static inline void olist_del(struct olist *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	olist_init(node);
}

/* First node, or NULL. */
static inline struct olist *olist_first(const struct olist *head)
{
	return head->next != head ? head->next : NULL;
}

static inline struct olist *olist_last(const struct olist *head)
{
	return head->prev != head ? head->prev : NULL;
}

/* Removes and returns the first node, or NULL. */
static inline struct olist *olist_shift(struct olist *head)
{
	struct olist *node = olist_first(head);

	if (node != NULL)
		olist_del(node);
	return node;
}

/* Moves all of @from to the end of @to; @from is empty afterwards. */
static inline void olist_splice(struct olist *to, struct olist *from)
{
	if (olist_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	olist_init(from);
}

#define OLIST_FOREACH(pos, head) \
	for (struct olist *pos = (head)->next; pos != (head); pos = pos->next)

/* @pos may be removed inside. */
#define OLIST_FOREACH_SAFE(pos, tmp, head) \
	for (struct olist *pos = (head)->next, *tmp = pos->next; pos != (head); \
	     pos = tmp, tmp = pos->next)

#endif
