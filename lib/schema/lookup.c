/*
 * lookup.c - finding types, fields, resources in the tables: binary search, nothing allocated.
 */
#include "schema/oschema.h"

#include <stdio.h>

/* strcmp order between a NUL-terminated text and (p, len). */
static int text_cmp(const char *cstr, const char *p, size_t len)
{
	int d = len ? strncmp(cstr, p, len) : 0;

	return d != 0 ? d : cstr[len] != '\0';
}

const struct oschema_field *oschema_field_find(const struct oschema *s, const struct oschema_type *t,
					       const char *name, size_t len)
{
	unsigned int lo = t->fields, hi = (unsigned int)t->fields + t->n_fields;

	if (t->kind != OSCHEMA_STRUCT || memchr(name, '\0', len) != NULL)
		return NULL;
	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		const struct oschema_field *f = &s->fields[s->by_name[mid]];
		size_t n = f->name_len < len ? f->name_len : len;
		int d = memcmp(s->pool + f->name, name, n);

		if (d == 0)
			d = f->name_len < len ? -1 : f->name_len > len;
		if (d == 0)
			return f;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct oschema_type *oschema_type_find(const struct oschema *s, const char *name)
{
	unsigned int lo = 0, hi = s->n_type_names;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		const struct oschema_type *t = &s->types[s->type_names[mid]];
		int d = strcmp(s->pool + t->name, name);

		if (d == 0)
			return t;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* @name: what of it is compared with @want after group and version, an offset into the pool. */
static int resource_cmp(const struct oschema *s, const struct oschema_resource *r, struct orlop_bytes group,
			struct orlop_bytes version, uint32_t name, struct orlop_bytes want)
{
	int d = text_cmp(s->pool + r->group, group.p, group.len);

	if (d == 0)
		d = text_cmp(s->pool + r->version, version.p, version.len);
	return d ? d : text_cmp(s->pool + name, want.p, want.len);
}

const struct oschema_resource *oschema_resource_find(const struct oschema *s, struct orlop_bytes group,
						     struct orlop_bytes version,
						     struct orlop_bytes plural)
{
	unsigned int lo = 0, hi = s->n_resources;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		const struct oschema_resource *r = &s->resources[mid];
		int d = resource_cmp(s, r, group, version, r->plural, plural);

		if (d == 0)
			return r;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct oschema_resource *oschema_kind_find(const struct oschema *s, struct orlop_bytes group,
						 struct orlop_bytes version, struct orlop_bytes kind)
{
	unsigned int lo = 0, hi = s->n_resources;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		const struct oschema_resource *r = &s->resources[s->kinds[mid]];
		int d = resource_cmp(s, r, group, version, r->kind, kind);

		if (d == 0)
			return r;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct oschema_sub *oschema_sub_find(const struct oschema *s, const struct oschema_resource *r,
					   struct orlop_bytes name)
{
	for (unsigned int i = 0; i < r->n_subs; i++) {
		const struct oschema_sub *sub = &s->subs[r->subs + i];

		if (text_cmp(s->pool + sub->name, name.p, name.len) == 0)
			return sub;
	}
	return NULL;
}

const char *oschema_select_find(const struct oschema *s, const struct oschema_resource *r,
				struct orlop_bytes name)
{
	for (unsigned int i = 0; i < r->n_selects; i++) {
		const struct oschema_select *f = &s->selects[r->selects + i];

		if (text_cmp(s->pool + f->name, name.p, name.len) == 0)
			return s->pool + f->path;
	}
	return NULL;
}

const struct oschema_group *oschema_group_find(const struct oschema *s, struct orlop_bytes name)
{
	for (unsigned int i = 0; i < s->n_groups; i++)
		if (text_cmp(s->pool + s->groups[i].name, name.p, name.len) == 0)
			return &s->groups[i];
	return NULL;
}

const struct oschema_group *oschema_group_version_find(const struct oschema *s, struct orlop_bytes name,
							struct orlop_bytes version)
{
	for (unsigned int i = 0; i < s->n_groups; i++)
		if (text_cmp(s->pool + s->groups[i].name, name.p, name.len) == 0 &&
		    text_cmp(s->pool + s->groups[i].version, version.p, version.len) == 0)
			return &s->groups[i];
	return NULL;
}

const char *oschema_api_version(const struct oschema *s, const struct oschema_resource *r, char *buf,
				size_t n)
{
	const char *g = s->pool + r->group;

	(void)snprintf(buf, n, "%s%s%s", g, *g != '\0' ? "/" : "", s->pool + r->version);
	return buf;
}
