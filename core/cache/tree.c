/* The persistent B+tree of the cache; see tree.h. */
#include "tree.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "object.h"

#define MERGE_BELOW	(TREE_CAP / 4)		/* a node this small looks for a neighbour … */
#define MERGE_MAX	(TREE_CAP * 3 / 4)	/* … if both fit and leave room to grow */

/* ---- order ------------------------------------------------------------------------------------ */

static inline int tree_bytes_cmp(struct orlop_bytes a, struct orlop_bytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int r = n ? memcmp(a.p, b.p, n) : 0;

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

static inline int item_cmp(const void *item, const struct tree_probe *p, bool secondary)
{
	const struct orlop_index_entry *e = item;
	int r;

	if (!secondary)
		return tree_bytes_cmp(core_object_key(item), p->name);
	if (e->index != p->index)
		return e->index < p->index ? -1 : 1;
	r = tree_bytes_cmp(e->key, p->key);
	if (r == 0)
		r = tree_bytes_cmp(e->value, p->value);
	if (r == 0)
		r = tree_bytes_cmp(core_object_key(core_object_of_entry(e)), p->name);
	return r;
}

struct tree_probe core_tree_probe_of(const void *item, bool secondary)
{
	const struct orlop_index_entry *e = item;
	struct tree_probe p = { .index = 0 };

	if (!secondary) {
		p.name = core_object_key(item);
		return p;
	}
	p.index = e->index;
	p.key = e->key;
	p.value = e->value;
	p.name = core_object_key(core_object_of_entry(e));
	return p;
}

/* Position of the first item ≥ @p; @ret_found if it is equal. */
static inline __attribute__((always_inline)) uint32_t
lower_bound(const struct tree_node *n, const struct tree_probe *p, bool secondary, bool *ret_found)
{
	uint32_t lo = 0, hi = n->n;

	*ret_found = false;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		int r = item_cmp(n->item[mid], p, secondary);

		if (r == 0) {
			*ret_found = true;
			return mid;
		}
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- inner nodes of primary trees ---------------------------------------------------------------- */

/* The first 8 bytes as a number that orders like them; what is missing counts as zeros. */
static uint64_t key_head(struct orlop_bytes key, size_t skip)
{
	unsigned char b[8] = { 0 };
	uint64_t h;

	if (key.len >= skip + 8)
		memcpy(b, key.p + skip, 8);
	else if (key.len > skip)
		memcpy(b, key.p + skip, key.len - skip);
	memcpy(&h, b, 8);
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap64(h) : h;
}

/* The items of an inner node have changed. */
static void heads_update(struct tree_node *n, bool secondary)
{
	struct orlop_bytes a, z;
	uint32_t skip = 0;

	if (secondary || n->n == 0)
		return;
	a = core_object_key(n->item[0]);
	z = core_object_key(n->item[n->n - 1]);
	while (skip < a.len && skip < z.len && a.p[skip] == z.p[skip])
		skip++;
	n->in->skip = skip;
	for (uint32_t i = 0; i < n->n; i++)
		n->in->head[i] = key_head(core_object_key(n->item[i]), skip);
}

/* Position of the first head ≥ @h (> @h if @h + 1 is asked for). */
static uint32_t heads_search(const struct tree_node *n, uint64_t h)
{
	uint32_t lo = 0, hi = n->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (n->in->head[mid] < h)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * The last item ≤ @p, or 0. Objects lie anywhere in memory, and each look at one is a cache miss or
 * two: heads, which lie together, mostly tell without.
 */
static uint32_t child_by_head(const struct tree_node *n, const struct tree_probe *p)
{
	size_t skip = n->in->skip;
	size_t have = p->name.len < skip ? p->name.len : skip;
	int r = have ? memcmp(p->name.p, core_object_key(n->item[0]).p, have) : 0;
	uint32_t at, end;
	uint64_t h;

	if (r)
		return r < 0 ? 0 : n->n - 1u;
	if (have < skip)
		return 0;
	h = key_head(p->name, skip);
	at = heads_search(n, h);
	end = h == UINT64_MAX ? n->n : heads_search(n, h + 1);
	while (at < end) {	/* the same heads: ask the objects */
		uint32_t mid = (at + end) / 2;

		if (item_cmp(n->item[mid], p, false) <= 0)
			at = mid + 1;
		else
			end = mid;
	}
	return at ? at - 1 : 0;
}

/* The child of an inner node that holds @p, if any does. */
static inline __attribute__((always_inline)) uint32_t
child_of(const struct tree_node *n, const struct tree_probe *p, bool secondary)
{
	bool found;
	uint32_t at;

	if (!secondary)
		return child_by_head(n, p);
	at = lower_bound(n, p, secondary, &found);
	return found || at == 0 ? at : at - 1;
}

/* Names differ at their ends. */
static uint8_t key_print(struct orlop_bytes name)
{
	uint64_t h = 0;

	if (name.len >= sizeof(h))
		memcpy(&h, name.p + name.len - sizeof(h), sizeof(h));
	else if (name.len)
		memcpy(&h, name.p, name.len);
	return (uint8_t)(h * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

static uint8_t item_print(const void *item, bool secondary)
{
	return key_print(core_object_key(secondary ? core_object_of_entry(item) : item));
}

/*
 * The objects of a leaf lie anywhere in memory, and a binary search would wait for six of them. The
 * prints lie together and tell all but one or two of them apart from what is wanted.
 */
static void *leaf_get(const struct tree_node *n, const struct tree_probe *p, bool secondary)
{
	const uint8_t *end = n->print + n->n;
	const uint8_t *at = n->print;
	uint8_t print = key_print(p->name);

	while ((at = memchr(at, print, (size_t)(end - at)))) {
		void *item = n->item[at - n->print];

		if (item_cmp(item, p, secondary) == 0)
			return item;
		at++;
	}
	return NULL;
}

static inline __attribute__((always_inline)) void *
get(const struct tree_node *n, const struct tree_probe *p, bool secondary)
{
	if (!n)
		return NULL;
	while (n->level)
		n = n->in->child[child_of(n, p, secondary)];
	return leaf_get(n, p, secondary);
}

void *core_tree_get(const struct tree_node *root, const struct tree_probe *p, bool secondary)
{
	return secondary ? get(root, p, true) : get(root, p, false);
}

/* ---- nodes ------------------------------------------------------------------------------------- */

static void spare_push(struct tree_edit *ed, struct tree_node *n)
{
	uint32_t kind = n->level != 0;

	n->next = ed->spare[kind];
	ed->spare[kind] = n;
	ed->n_spare[kind]++;
}

static struct tree_node *spare_pop(struct tree_edit *ed, uint16_t level)
{
	uint32_t kind = level != 0;
	struct tree_node *n = ed->spare[kind];

	ed->spare[kind] = n->next;
	ed->n_spare[kind]--;
	n->next = NULL;
	n->birth = ed->birth;
	n->level = level;
	n->n = 0;
	return n;
}

static int spare_fill(struct tree_edit *ed, uint32_t kind, uint32_t want)
{
	while (ed->n_spare[kind] < want) {
		struct tree_node *n = omem_alloc(sizeof(*n) + kind * sizeof(n->in[0]));

		if (!n)
			return -ENOMEM;
		n->level = (uint16_t)kind;
		spare_push(ed, n);
	}
	return 0;
}

int core_tree_reserve(struct tree_edit *ed, const struct tree_node *root)
{
	uint32_t height = root ? root->level : 0;

	/* At each level a copy, and either a new neighbour or a copy of one; and a new root. */
	if (spare_fill(ed, 0, 2))
		return -ENOMEM;
	return spare_fill(ed, 1, 2 * height + 1);
}

void core_tree_trim(struct tree_edit *ed, uint32_t keep)
{
	for (uint32_t kind = 0; kind < 2; kind++) {
		while (ed->n_spare[kind] > keep) {
			struct tree_node *n = ed->spare[kind];

			ed->spare[kind] = n->next;
			ed->n_spare[kind]--;
			omem_free(n);
		}
	}
}

/* The node is not part of the tree being made any more. */
static void node_drop(struct tree_edit *ed, struct tree_node *n)
{
	if (n->birth == ed->birth) {
		spare_push(ed, n);
		return;
	}
	n->next = ed->dead;
	ed->dead = n;
	ed->n_dead++;
}

static void slots_move(struct tree_node *to, uint32_t at, const struct tree_node *from,
		       uint32_t from_at, uint32_t n)
{
	memmove(&to->item[at], &from->item[from_at], n * sizeof(to->item[0]));
	if (to->level)
		memmove(&to->in->child[at], &from->in->child[from_at], n * sizeof(to->in->child[0]));
	else
		memmove(&to->print[at], &from->print[from_at], n);
}

static struct tree_node *node_writable(struct tree_edit *ed, struct tree_node *n)
{
	struct tree_node *copy;

	if (n->birth == ed->birth)
		return n;
	copy = spare_pop(ed, n->level);
	slots_move(copy, 0, n, 0, n->n);
	copy->n = n->n;
	if (n->level) {
		copy->in->skip = n->in->skip;
		memcpy(copy->in->head, n->in->head, n->n * sizeof(n->in->head[0]));
	}
	node_drop(ed, n);
	return copy;
}

/* @child NULL: into a leaf, with @print. */
static void slot_insert(struct tree_node *n, uint32_t at, void *item, struct tree_node *child,
			uint8_t print)
{
	slots_move(n, at + 1, n, at, n->n - at);
	n->item[at] = item;
	if (child)
		n->in->child[at] = child;
	else
		n->print[at] = print;
	n->n++;
}

static void slot_remove(struct tree_node *n, uint32_t at)
{
	slots_move(n, at, n, at + 1, n->n - at - 1);
	n->n--;
}

/*
 * Insert into a node that may be full; returns the new right neighbour or NULL. What is appended
 * goes into a node of its own, so that lists and growing names fill their nodes.
 */
static struct tree_node *slot_insert_split(struct tree_edit *ed, struct tree_node *n, uint32_t at,
					   void *item, struct tree_node *child, uint8_t print)
{
	struct tree_node *right;
	uint32_t left;

	if (n->n < TREE_CAP) {
		slot_insert(n, at, item, child, print);
		return NULL;
	}
	right = spare_pop(ed, n->level);
	left = at == TREE_CAP ? TREE_CAP : TREE_CAP / 2;
	slots_move(right, 0, n, left, TREE_CAP - left);
	right->n = (uint16_t)(TREE_CAP - left);
	n->n = (uint16_t)left;
	if (at > left || left == TREE_CAP)
		slot_insert(right, at - left, item, child, print);
	else
		slot_insert(n, at, item, child, print);
	return right;
}

/* The least item of child @at may be another object now, perhaps even of another key. */
static void least_update(struct tree_node *n, uint32_t at, bool secondary)
{
	struct tree_probe old = core_tree_probe_of(n->item[at], secondary);
	bool same = n->item[at] == n->in->child[at]->item[0] ||
		    item_cmp(n->in->child[at]->item[0], &old, secondary) == 0;

	n->item[at] = n->in->child[at]->item[0];
	if (!same)
		heads_update(n, secondary);
}

/* ---- edits ------------------------------------------------------------------------------------- */

static struct tree_node *put(struct tree_edit *ed, struct tree_node *n, const struct tree_probe *p,
			     void *item, bool secondary, void **ret_old, struct tree_node **ret_right)
{
	struct tree_node *right = NULL;
	struct tree_node *child;
	uint32_t at;
	bool found;

	n = node_writable(ed, n);
	if (n->level == 0) {
		at = lower_bound(n, p, secondary, &found);
		if (found) {
			*ret_old = n->item[at];
			n->item[at] = item;
		} else {
			*ret_right = slot_insert_split(ed, n, at, item, NULL,
						       item_print(item, secondary));
		}
		return n;
	}
	at = child_of(n, p, secondary);
	child = put(ed, n->in->child[at], p, item, secondary, ret_old, &right);
	n->in->child[at] = child;
	least_update(n, at, secondary);
	if (right) {
		*ret_right = slot_insert_split(ed, n, at + 1, right->item[0], right, 0);
		heads_update(n, secondary);
		if (*ret_right)
			heads_update(*ret_right, secondary);
	}
	return n;
}

void *core_tree_put(struct tree_edit *ed, struct tree_node **root, void *item, bool secondary)
{
	struct tree_probe p = core_tree_probe_of(item, secondary);
	struct tree_node *right = NULL;
	struct tree_node *top;
	void *old = NULL;

	if (!*root)
		*root = spare_pop(ed, 0);
	*root = put(ed, *root, &p, item, secondary, &old, &right);
	if (right) {
		top = spare_pop(ed, (uint16_t)((*root)->level + 1));
		slot_insert(top, 0, (*root)->item[0], *root, 0);
		slot_insert(top, 1, right->item[0], right, 0);
		heads_update(top, secondary);
		*root = top;
	}
	return old;
}

/* Child @at of @n became small: join it with a neighbour if both fit into one. */
static void children_merge(struct tree_edit *ed, struct tree_node *n, uint32_t at, bool secondary)
{
	uint32_t l = at ? at - 1 : 0;
	struct tree_node *left, *right;

	if (l + 1 >= n->n || n->in->child[l]->n + n->in->child[l + 1]->n > MERGE_MAX)
		return;
	left = node_writable(ed, n->in->child[l]);
	right = n->in->child[l + 1];
	slots_move(left, left->n, right, 0, right->n);
	left->n = (uint16_t)(left->n + right->n);
	if (left->level)
		heads_update(left, secondary);
	n->in->child[l] = left;
	slot_remove(n, l + 1);
	heads_update(n, secondary);
	node_drop(ed, right);
}

static struct tree_node *del(struct tree_edit *ed, struct tree_node *n, const struct tree_probe *p,
			     bool secondary)
{
	struct tree_node *child;
	uint32_t at;
	bool found;

	n = node_writable(ed, n);
	if (n->level == 0) {
		at = lower_bound(n, p, secondary, &found);
		slot_remove(n, at);
		return n;
	}
	at = child_of(n, p, secondary);
	child = del(ed, n->in->child[at], p, secondary);
	if (child->n == 0) {
		node_drop(ed, child);
		slot_remove(n, at);
		heads_update(n, secondary);
		return n;
	}
	n->in->child[at] = child;
	least_update(n, at, secondary);
	if (child->n < MERGE_BELOW)
		children_merge(ed, n, at, secondary);
	return n;
}

void *core_tree_del(struct tree_edit *ed, struct tree_node **root, const struct tree_probe *p,
		    bool secondary)
{
	void *old = core_tree_get(*root, p, secondary);
	struct tree_node *n;

	if (!old)
		return NULL;
	n = del(ed, *root, p, secondary);
	while (n->level && n->n == 1) {
		struct tree_node *only = n->in->child[0];

		node_drop(ed, n);
		n = only;
	}
	if (n->n == 0) {
		node_drop(ed, n);
		n = NULL;
	}
	*root = n;
	return old;
}

void core_tree_drop(struct tree_edit *ed, struct tree_node *n)
{
	if (!n)
		return;
	if (n->level)
		for (uint32_t i = 0; i < n->n; i++)
			core_tree_drop(ed, n->in->child[i]);
	node_drop(ed, n);
}

void core_tree_free(struct tree_node *n)
{
	if (!n)
		return;
	if (n->level)
		for (uint32_t i = 0; i < n->n; i++)
			core_tree_free(n->in->child[i]);
	omem_free(n);
}

/* ---- walking ------------------------------------------------------------------------------------ */

void core_tree_seek(struct tree_cursor *c, const struct tree_node *root, const struct tree_probe *p,
		    bool after, bool secondary)
{
	const struct tree_node *n = root;

	c->depth = 0;
	if (!n || n->n == 0)
		return;
	c->depth = (uint32_t)n->level + 1;
	for (;;) {
		uint32_t at = 0;
		bool found = false;

		if (p && n->level)
			at = child_of(n, p, secondary);
		else if (p)
			at = lower_bound(n, p, secondary, &found);
		c->node[n->level] = n;
		c->at[n->level] = (uint16_t)(at + (found && after));
		if (n->level == 0)
			return;
		n = n->in->child[at];
	}
}

bool core_tree_step(struct tree_cursor *c)
{
	uint32_t level = 1;
	const struct tree_node *n;

	while (level < c->depth && c->at[level] + 1u >= c->node[level]->n)
		level++;
	if (level >= c->depth) {
		c->depth = 0;
		return false;
	}
	c->at[level]++;
	while (level > 0) {
		n = c->node[level]->in->child[c->at[level]];
		level--;
		c->node[level] = n;
		c->at[level] = 0;
	}
	return true;
}
