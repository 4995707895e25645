/*
 * tree.h - a persistent B+tree: each edit leaves the earlier tree as it was.
 *
 * A tree is a root pointer; NULL is empty. Nodes made by the edit under way (birth = its number)
 * are changed in place, older ones are copied first and the old one is noted as dead: no newer
 * tree has it. Readers need nothing but a root that is kept from being reclaimed (generation.c).
 *
 * Items are struct core_object (primary: by "ns/name") or struct orlop_index_entry (secondary: by
 * index, key, value, then the object's key). An inner node repeats the least item of each child,
 * which the copying of the path keeps exact: separators need no memory or lifetime of their own.
 */
#ifndef CORE_CACHE_TREE_H
#define CORE_CACHE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include <orlop/cache.h>

#define TREE_CAP	64	/* items in a node */
#define TREE_DEPTH	14	/* levels: nodes but the edges hold at least 16 */

struct tree_node;

/* What inner nodes have besides. */
struct tree_branch {
	uint32_t	skip;		/* bytes that the keys of all items begin with; primary trees */
	uint64_t	head[TREE_CAP];	/* the 8 bytes behind them, as a big-endian number */
	struct tree_node *child[TREE_CAP];
};

struct tree_node {
	struct tree_node *next;		/* in a list of dead or spare nodes: writers only */
	uint32_t	birth;
	uint16_t	level;		/* 0: leaf */
	uint16_t	n;
	uint8_t		print[TREE_CAP]; /* leaf: a byte of a hash of each key, see leaf_get() */
	void		*item[TREE_CAP];
	struct tree_branch in[];	/* one if level > 0 */
};

/* What the writer keeps over all its trees. */
struct tree_edit {
	uint32_t	birth;		/* number of the generation being made */
	uint32_t	n_spare[2];	/* leaves, inner nodes */
	struct tree_node *spare[2];
	struct tree_node *dead;		/* the caller takes them over */
	uint32_t	n_dead;
};

/* Where to look. Secondary trees: has_index, then all members; primary: name only. */
struct tree_probe {
	uint32_t	index;
	struct orlop_bytes key;
	struct orlop_bytes value;
	struct orlop_bytes name;	/* "ns/name", or a prefix of it */
};

struct tree_cursor {
	const struct tree_node *node[TREE_DEPTH];
	uint16_t	at[TREE_DEPTH];	/* position of the next item, in leaf node[0] */
	uint32_t	depth;		/* levels in use; 0: at the end */
};

/* NULL if there is none. */
void *core_tree_get(const struct tree_node *root, const struct tree_probe *p, bool secondary);

/* Room for one put or del of this tree. -ENOMEM, else that one cannot fail. */
int core_tree_reserve(struct tree_edit *ed, const struct tree_node *root);
/* Insert or replace; returns what was replaced, or NULL. After core_tree_reserve(). */
void *core_tree_put(struct tree_edit *ed, struct tree_node **root, void *item, bool secondary);
/* Remove what is there; NULL: there was none. After core_tree_reserve(). */
void *core_tree_del(struct tree_edit *ed, struct tree_node **root, const struct tree_probe *p,
		    bool secondary);
/* Drop a whole tree from the generation being made. */
void core_tree_drop(struct tree_edit *ed, struct tree_node *root);
/* Free what is spare but for @keep of each kind. */
void core_tree_trim(struct tree_edit *ed, uint32_t keep);
/* Frees all nodes of a tree that shares none with another; items are untouched. */
void core_tree_free(struct tree_node *root);

/* Stand before the first item ≥ @p (> @p with @after). @p NULL: the first. */
void core_tree_seek(struct tree_cursor *c, const struct tree_node *root, const struct tree_probe *p,
		    bool after, bool secondary);
/* The next leaf, when this one is used up. */
bool core_tree_step(struct tree_cursor *c);

static inline void *core_tree_next(struct tree_cursor *c)
{
	if (__builtin_expect(c->depth == 0, 0))
		return NULL;
	if (__builtin_expect(c->at[0] >= c->node[0]->n, 0) && !core_tree_step(c))
		return NULL;
	return c->node[0]->item[c->at[0]++];
}

/* The probe that finds @item. */
struct tree_probe core_tree_probe_of(const void *item, bool secondary);

#endif
