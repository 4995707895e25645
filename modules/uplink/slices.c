/*
 * slices.c - from what this process's modules read to what is followed, one slice a resource.
 *
 * Wants of one resource that differ become the whole of it: one watch more costs the server more than
 * the objects that nobody here needed.
 */
#include "slice.h"

#include "record/orecord.h"
#include "selector/oselector.h"

#include <errno.h>
#include <string.h>

/* ---- registration --------------------------------------------------------------------------------------- */

/* What our schema says of a resource by its cache name, stored ones only. */
static const struct oschema_resource *schema_named(const struct oschema *s, const char *name)
{
	const char *dot = strchr(name, '.');
	size_t n = dot ? (size_t)(dot - name) : strlen(name);
	const char *group = dot ? dot + 1 : "";

	for (uint16_t i = 0; i < s->n_resources; i++) {
		const struct oschema_resource *r = &s->resources[i];
		const char *plural = oschema_str(s, r->plural);

		if (r->stored == i && !(r->flags & OSCHEMA_S_VIRTUAL) && strlen(plural) == n && !memcmp(plural, name, n) &&
		    !strcmp(oschema_str(s, r->group), group))
			return r;
	}
	return NULL;
}

int up_slice_register(struct up_slice *s, struct orlop_error *err)
{
	static const char *const owner[] = { "owner", NULL };
	const struct oschema *schema = s->u->schema;
	const struct oschema_resource *res = s->kind && s->kind->res ? s->kind->res : schema_named(schema, s->resource);
	const char *fields[ORECORD_FIELDS_MAX];
	struct orlop_resource_info info = { .size = sizeof(info), .name = s->resource, .indexed = owner };
	const struct up_kind *k = s->kind;

	if (res)
		orecord_describe(schema, res, s->resource, fields, &info);
	if (k) {
		info.group = k->group;
		info.version = k->version;
		info.kind = k->kind;
		info.plural = k->plural;
		info.namespaced = k->namespaced;
		info.prefix = k->prefix;
	}
	if (!info.kind)
		return 0;	/* neither the server nor we know it: its readers see nothing */
	return s->u->h->resource_register(s->u->h, &info, err);
}

/* ---- wants ---------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static char *own(const char *text)
{
	return text && text[0] ? omem_strdup(text) : NULL;
}

/* Selector texts of a want. 0 or -ENOMEM. */
static int selectors(const struct orlop_feed_want *w, struct obuf *fields, struct obuf *labels)
{
	for (uint32_t i = 0; i < w->n_matches; i++) {
		const struct orlop_feed_match *m = (const struct orlop_feed_match *)(const void *)
			((const char *)w->matches + (size_t)i * w->match_size);
		struct obuf *b = m->label ? labels : fields;

		obuf_printf(b, "%s%s=", b->len ? "," : "", m->name);
		for (const char *p = m->value; *p; p++) {
			if (!m->label && (*p == ',' || *p == '=' || *p == '\\'))
				obuf_putc(b, '\\');
			obuf_putc(b, *p);
		}
	}
	return obuf_err(fields) ? obuf_err(fields) : obuf_err(labels);
}

/* What all wants of one resource come to. */
struct desire {
	char		*ns;
	struct obuf	fields;
	struct obuf	labels;
	bool		metadata;
};

static void desire_free(void *p)
{
	struct desire *d = p;

	if (!d)
		return;
	omem_free(d->ns);
	obuf_done(&d->fields);
	obuf_done(&d->labels);
	omem_free(d);
}

static bool desire_same(const struct desire *d, const char *ns, const char *fields, const char *labels)
{
	return same_text(d->ns, ns) && !strcmp(obuf_cstr(&d->fields), fields) && !strcmp(obuf_cstr(&d->labels), labels);
}

struct gather {
	struct up	*u;
	struct omap	all;		/* resource → struct desire */
	int		failed;
};

static void want_one(struct gather *g, const char *resource, const struct orlop_feed_want *w)
{
	struct desire *old = omap_get_cstr(&g->all, resource), *d = OMEM_NEW(struct desire);

	if (d) {
		d->ns = own(w->ns);
		d->metadata = w->flags & ORLOP_WANT_METADATA;
	}
	if (!d || (w->ns && w->ns[0] && !d->ns) || selectors(w, &d->fields, &d->labels)) {
		desire_free(d);
		g->failed = -ENOMEM;
		return;
	}
	if (old) {
		if (!desire_same(d, old->ns, obuf_cstr(&old->fields), obuf_cstr(&old->labels))) {
			omem_free(old->ns);
			old->ns = NULL;
			obuf_reset(&old->fields);
			obuf_reset(&old->labels);
		}
		old->metadata = old->metadata && d->metadata;
		desire_free(d);
	} else if (omap_put_cstr(&g->all, resource, d)) {
		desire_free(d);
		g->failed = -ENOMEM;
	}
}

static void want_any(void *arg, const struct orlop_feed_want *w)
{
	struct gather *g = arg;

	if (strcmp(w->resource, "*")) {
		if (strcmp(w->resource, "resources"))	/* the core's own */
			want_one(g, w->resource, w);
		return;
	}
	OMAP_FOREACH(g->u->kinds, e) {
		struct up_kind *k = e->value;

		if (k->listable)
			want_one(g, k->name, w);
	}
}

/* ---- slices --------------------------------------------------------------------------------------------- */

static int set_slice(struct up_slice *s, const struct desire *d)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	omem_free(s->ns);
	omem_free(s->fields);
	omem_free(s->labels);
	oselector_free(s->label_sel);
	s->label_sel = NULL;
	s->ns = own(d->ns);
	s->fields = own(obuf_cstr(&d->fields));
	s->labels = own(obuf_cstr(&d->labels));
	s->metadata = d->metadata;
	if (!s->ns != !d->ns || !s->fields != !d->fields.len || !s->labels != !d->labels.len)
		return -ENOMEM;
	if (s->labels && oselector_parse(s->labels, strlen(s->labels), &s->label_sel, &err)) {
		OLOG(s->u->h, ERR, "want_damaged", "resource=%s labels=\"%s\" why=\"%s\": following all", s->resource, s->labels,
		     err.msg);
		omem_free(s->labels);
		s->labels = NULL;
	}
	orlop_error_done(&err);
	return 0;
}

/* The slice as it is desired; begun (again) if that is a change. */
static int settle(struct up *u, const char *resource, const struct desire *d)
{
	struct orlop_bytes name = { resource, strlen(resource) };
	struct up_slice *s = up_slice_find(u, name);
	struct up_kind *k = up_kind_find(u, name);
	bool again;

	if (!s && !(s = up_slice_new(u, resource)))
		return -ENOMEM;
	if (k && !k->listable)
		k = NULL;
	again = s->state == UP_IDLE || !s->kind != !k || s->metadata != d->metadata ||
		!desire_same(d, s->ns, s->fields ? s->fields : "", s->labels ? s->labels : "") ||
		(k && (!s->version || strcmp(s->version, k->version)));
	s->kind = k;
	s->wanted = true;
	if (!again)
		return 0;
	if (set_slice(s, d))
		return -ENOMEM;
	omem_free(s->version);
	s->version = k ? omem_strdup(k->version) : NULL;
	up_slice_start(s);
	return 0;
}

void up_slices_wants(struct up *u)
{
	struct gather g = { .u = u };

	if (!u->kinds || u->stopping)
		return;		/* again when the kinds are known */
	omap_init(&g.all);
	u->h->feed_want_list(u->h, want_any, &g);
	OLIST_FOREACH(l, &u->slices)
		OLIST_ENTRY(l, struct up_slice, node)->wanted = g.failed != 0;
	OMAP_FOREACH(&g.all, e)
		if (settle(u, e->key, e->value))
			g.failed = -ENOMEM;
	OLIST_FOREACH_SAFE(l, tmp, &u->slices) {
		struct up_slice *s = OLIST_ENTRY(l, struct up_slice, node);

		if (!s->wanted)
			up_slice_free(s);
	}
	omap_done_with(&g.all, desire_free);
	if (g.failed)
		u->h->timer_set(u->wants_timer, UP_NS_PER_S / 10, 0);	/* no memory: once more */
}

void up_slices_free(struct up *u)
{
	struct olist *l;

	while ((l = olist_first(&u->slices)) != NULL)
		up_slice_free(OLIST_ENTRY(l, struct up_slice, node));
}

bool up_slices_synced(const struct up *u)
{
	OLIST_FOREACH(l, &u->slices)
		if (!OLIST_ENTRY(l, struct up_slice, node)->synced)
			return false;
	return true;
}

struct up_slice *up_slice_find(struct up *u, struct orlop_bytes resource)
{
	OLIST_FOREACH(l, &u->slices) {
		struct up_slice *s = OLIST_ENTRY(l, struct up_slice, node);

		if (ostr_is(resource.p, resource.len, s->resource))
			return s;
	}
	return NULL;
}
