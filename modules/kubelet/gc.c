/*
 * gc.c - images that nobody needs go when the disk is nearly full, the longest unused first; so do ended containers.
 *
 * An image is unused while no container of ours was made of it; when that began is remembered since this process
 * first saw it. Source: pkg/kubelet/images/image_gc_manager.go.
 */
#include "limits.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>

#define EVERY_NS	(300 * (int64_t)NS_PER_S)

struct image {
	int64_t		seen_ns;
	int64_t		used_ns;
	bool		there;		/* in the last list */
};

struct collector {
	struct kubelet	*k;
	struct omap	images;		/* id → struct image */
	bool		busy;
	int64_t		looked_ns;
	/* of the round under way */
	bool		all;
	int64_t		want;		/* bytes */
	int64_t		freed;
	struct ojson	*list;
};

static struct collector *collector(struct kubelet *k)
{
	if (!k->gc && (k->gc = OMEM_NEW(struct collector))) {
		k->gc->k = k;
		omap_init(&k->gc->images);
	}
	return k->gc;
}

/* A container that runs or is kept was made of it. */
static bool in_use(const struct kubelet *k, const struct ojson *img)
{
	const char *id = ojson_get_cstr(img, "id", "");

	OMAP_FOREACH(&k->pods, e) {
		const struct pod *p = e->value;
		uint32_t i;

		for (i = 0; i < p->n_ctrs; i++) {
			const struct ctr *c = p->ctrs[i];

			if ((!c->id && !c->busy) || p->finished)
				continue;
			if ((c->image_id && !strcmp(c->image_id, id)) || (c->image_ref && !strcmp(c->image_ref, id)))
				return true;
			OJSON_FOREACH(v, c->vol_images)
				if (ojson_string_is(v.value, id))
					return true;
			if (!c->image_id && c->busy)	/* being pulled: it may be this one */
				return true;
			OJSON_FOREACH_ELEM(n, d, ojson_get(img, "repoDigests"))
				if (c->image_ref && ojson_string_is(d, c->image_ref))
					return true;
		}
	}
	return false;
}

static int64_t size_of(const struct ojson *img)
{
	const struct ojson *s = ojson_get(img, "size");

	return ojson_string(s, NULL) ? strtoll(ojson_cstr(s, "0"), NULL, 10) : ojson_i64(s, 0);
}

static void note(struct collector *g, const struct ojson *list)
{
	int64_t now = kubelet_now(g->k);

	OMAP_FOREACH(&g->images, e)
		((struct image *)e->value)->there = false;
	OJSON_FOREACH_ELEM(i, img, list) {
		const char *id = ojson_get_cstr(img, "id", "");
		struct image *m = omap_get_cstr(&g->images, id);

		if (!m) {
			m = OMEM_NEW(struct image);
			if (!m || omap_put_cstr(&g->images, id, m)) {
				omem_free(m);
				continue;
			}
			m->seen_ns = now;
		}
		m->there = true;
		if (in_use(g->k, img))
			m->used_ns = now;
	}
}

/* The one that goes next, NULL: none may. */
static const struct ojson *oldest(struct collector *g)
{
	int64_t now = kubelet_now(g->k);
	const struct ojson *found = NULL;
	const struct image *of = NULL;

	OJSON_FOREACH_ELEM(i, img, g->list) {
		const struct image *m = omap_get_cstr(&g->images, ojson_get_cstr(img, "id", ""));

		if (!m || !m->there || ojson_get_bool(img, "pinned", false) || in_use(g->k, img) ||
		    (!g->all && now - m->seen_ns < g->k->limits->image_min_age_ns))
			continue;
		if (!of || m->used_ns < of->used_ns || (m->used_ns == of->used_ns && m->seen_ns < of->seen_ns)) {
			found = img;
			of = m;
		}
	}
	return found;
}

static void round_step(struct collector *g);

static void round_end(struct collector *g)
{
	struct kubelet *k = g->k;

	if (!g->all && g->freed < g->want && !k->stopping)
		node_event(k, "Warning", "FreeDiskSpaceFailed",
			   "Failed to garbage collect required amount of images. Attempted to free %lld bytes, but only found %lld bytes eligible to free.",
			   (long long)g->want, (long long)g->freed);
	if (g->freed)
		OLOG(k->h, INFO, "images_removed", "bytes=%lld", (long long)g->freed);
	ojson_unref(g->list);
	g->list = NULL;
	g->busy = false;
	if (g->all && !k->stopping)
		evict_look(k);
}

static void removed(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct collector *g = arg;

	(void)res;
	(void)msg;
	if (status < 0 && !g->k->stopping)
		OLOG(g->k->h, WARN, "image_not_removed", "why=\"%s\"", why);
	round_step(g);
}

static void round_step(struct collector *g)
{
	const struct ojson *img = g->k->stopping || (!g->all && g->freed >= g->want) ? NULL : oldest(g);
	const char *id = ojson_get_cstr(img, "id", "");
	struct image *m = img ? omap_get_cstr(&g->images, id) : NULL;
	struct ojson *body;

	if (!m) {
		round_end(g);
		return;
	}
	m->there = false;
	g->freed += size_of(img);
	OLOG(g->k->h, INFO, "image_removing", "image=%s bytes=%lld", id, (long long)size_of(img));
	body = ojson_new_object();
	(void)ojson_set_cstr(ojson_ensure_object(body, "image"), "image", id);
	rt_call(g->k, ORLOP_RUNTIME_IMAGE_REMOVE, 0, body, 0, removed, g);
}

static void listed(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct collector *g = arg;

	(void)msg;
	(void)why;
	if (status < 0 || g->k->stopping) {
		g->busy = false;
		return;
	}
	note(g, ojson_get(res, "images"));
	g->list = ojson_ref(ojson_get(res, "images"));
	round_step(g);
}

static void round_begin(struct collector *g, bool all, int64_t want)
{
	g->busy = true;
	g->all = all;
	g->want = want;
	g->freed = 0;
	rt_call(g->k, ORLOP_RUNTIME_IMAGE_LIST, 0, ojson_new_object(), 0, listed, g);
}

void gc_images_seen(struct kubelet *k, const struct ojson *list)
{
	struct collector *g = collector(k);

	if (g && !g->busy)
		note(g, list);
}

void gc_disk_seen(struct kubelet *k, int64_t capacity, int64_t available)
{
	struct collector *g = collector(k);
	int64_t now = kubelet_now(k);
	int64_t used = capacity > 0 ? 100 - available * 100 / capacity : 0;

	if (!g || g->busy || k->limits->image_high >= 100 || used < k->limits->image_high || capacity <= 0 ||
	    (g->looked_ns && now - g->looked_ns < EVERY_NS))
		return;
	g->looked_ns = now;
	OLOG(k->h, INFO, "disk_nearly_full", "used=%lld%% threshold=%lld%%", (long long)used,
	     (long long)k->limits->image_high);
	round_begin(g, false, capacity * (100 - k->limits->image_low) / 100 - available);
}

/* More ended containers than are to be kept: those that ended first go. */
void gc_dead_limit(struct kubelet *k)
{
	int64_t limit = k->limits->dead_all;

	while (limit >= 0) {
		struct ctr *oldest_dead = NULL;
		int64_t n = 0;

		OMAP_FOREACH(&k->pods, e) {
			struct pod *p = e->value;
			uint32_t i;

			for (i = 0; i < p->n_ctrs; i++) {
				struct ctr *c = p->ctrs[i];

				if (!c->prev_id || c->busy)
					continue;
				n++;
				/* one ended before its successor began */
				if (!oldest_dead || c->started_ns < oldest_dead->started_ns)
					oldest_dead = c;
			}
		}
		if (n <= limit)
			return;
		ctr_forget_previous(oldest_dead);
	}
}

/* Of each container that was started again, the one before. */
static void dead_remove(struct kubelet *k)
{
	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;
		uint32_t i;

		for (i = 0; i < p->n_ctrs; i++)
			if (p->ctrs[i]->prev_id && !p->ctrs[i]->busy)
				ctr_forget_previous(p->ctrs[i]);
	}
}

void gc_free_all(struct kubelet *k)
{
	struct collector *g = collector(k);

	if (!g || g->busy)
		return;
	dead_remove(k);
	round_begin(g, true, 0);
}

void gc_free(struct kubelet *k)
{
	if (!k->gc)
		return;
	OMAP_FOREACH(&k->gc->images, e)
		omem_free(e->value);
	omap_done(&k->gc->images);
	ojson_unref(k->gc->list);
	omem_free(k->gc);
	k->gc = NULL;
}
