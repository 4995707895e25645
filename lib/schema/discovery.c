/*
 * discovery.c - the legacy and the aggregated discovery documents, from the tables.
 */
#include "schema/discovery.h"

#include "base/obuf.h"

static const char *const verb_names[] = {
	"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"
};

/* Of a CustomResourceDefinition: its rows have no type. Upstream lists these verbs and parts in an order of their own. */
static bool is_custom(const struct oschema_resource *r)
{
	return r->type == 0;
}

static void put_verbs(struct obuf *out, const struct oschema_resource *r, unsigned int verbs)
{
	bool first = true;

	if (is_custom(r) && verbs == 0xff) {
		obuf_puts(out, "\"verbs\":[\"delete\",\"deletecollection\",\"get\",\"list\",\"patch\",\"create\","
			  "\"update\",\"watch\"]");
		return;
	}
	obuf_puts(out, "\"verbs\":[");
	for (unsigned int i = 0; i < 8; i++) {
		if ((verbs & 1u << i) == 0)
			continue;
		obuf_printf(out, "%s\"%s\"", first ? "" : ",", verb_names[i]);
		first = false;
	}
	obuf_putc(out, ']');
}

/* ,"shortNames":["po"] if there are any */
static void put_strs(const struct oschema *s, struct obuf *out, const char *key, uint16_t first, unsigned int n)
{
	if (n == 0)
		return;
	obuf_printf(out, ",\"%s\":[", key);
	for (unsigned int i = 0; i < n; i++) {
		obuf_puts(out, i > 0 ? "," : "");
		obuf_put_json_cstr(out, oschema_strs(s, first, i));
	}
	obuf_putc(out, ']');
}

static bool in_group(const struct oschema *s, const struct oschema_resource *r, const struct oschema_group *g)
{
	return strcmp(oschema_str(s, r->group), oschema_str(s, g->name)) == 0 &&
	       strcmp(oschema_str(s, r->version), oschema_str(s, g->version)) == 0;
}

/* The @i-th subresource by name: there are few, and files need not have them in order. */
static const struct oschema_sub *sub_in_order(const struct oschema *s, const struct oschema_resource *r,
					      unsigned int i)
{
	for (unsigned int k = 0; k < r->n_subs && !is_custom(r); k++) {
		const struct oschema_sub *x = &s->subs[r->subs + k];
		unsigned int before = 0;

		for (unsigned int m = 0; m < r->n_subs; m++)
			before += strcmp(oschema_str(s, s->subs[r->subs + m].name), oschema_str(s, x->name)) < 0;
		if (before == i)
			return x;
	}
	return &s->subs[r->subs + (is_custom(r) ? i : 0)];
}

static bool sub_is_foreign(const struct oschema *s, const struct oschema_resource *r,
			   const struct oschema_sub *sub)
{
	return strcmp(oschema_str(s, sub->group), oschema_str(s, r->group)) != 0 ||
	       strcmp(oschema_str(s, sub->version), oschema_str(s, r->version)) != 0;
}

/* ---- legacy ---- */

void oschema_api_versions(const struct oschema *s, const char *server, struct obuf *out)
{
	(void)s;
	obuf_puts(out, "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":"
		  "[{\"clientCIDR\":\"0.0.0.0/0\",\"serverAddress\":");
	obuf_put_json_cstr(out, server);
	obuf_puts(out, "}]}\n");
}

static bool same_group(const struct oschema *s, const struct oschema_group *a, const struct oschema_group *b)
{
	return strcmp(oschema_str(s, a->name), oschema_str(s, b->name)) == 0;
}

/* Rows of groups are versions: is this the first served one of its group? */
static bool is_first(const struct oschema *s, const struct oschema_group *g)
{
	if (!g->served)
		return false;
	for (const struct oschema_group *o = s->groups; o < g; o++)
		if (o->served && same_group(s, o, g))
			return false;
	return true;
}

static void put_version(const struct oschema *s, const struct oschema_group *g, struct obuf *out)
{
	obuf_printf(out, "{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}", oschema_str(s, g->name),
		    oschema_str(s, g->version), oschema_str(s, g->version));
}

/* The inside of an APIGroup: "name":…,"versions":…,"preferredVersion":… */
static void put_group(const struct oschema *s, const struct oschema_group *g, struct obuf *out)
{
	obuf_printf(out, "\"name\":\"%s\",\"versions\":[", oschema_str(s, g->name));
	for (const struct oschema_group *o = g; o < s->groups + s->n_groups; o++) {
		if (!o->served || !same_group(s, o, g))
			continue;
		obuf_puts(out, o == g ? "" : ",");
		put_version(s, o, out);
	}
	obuf_puts(out, "],\"preferredVersion\":");
	put_version(s, g, out);
}

void oschema_api_groups(const struct oschema *s, struct obuf *out)
{
	bool first = true;

	obuf_puts(out, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
	for (unsigned int i = 0; i < s->n_groups; i++) {
		const struct oschema_group *g = &s->groups[i];

		if (!is_first(s, g) || *oschema_str(s, g->name) == '\0')
			continue;
		obuf_puts(out, first ? "{" : ",{");
		put_group(s, g, out);
		obuf_putc(out, '}');
		first = false;
	}
	obuf_puts(out, "]}\n");
}

void oschema_api_group(const struct oschema *s, const struct oschema_group *g, struct obuf *out)
{
	obuf_puts(out, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",");
	put_group(s, g, out);
	obuf_puts(out, "}\n");
}

static void put_resource(const struct oschema *s, const struct oschema_resource *r, struct obuf *out)
{
	const char *plural = oschema_str(s, r->plural);
	const char *namespaced = (r->flags & OSCHEMA_S_NAMESPACED) != 0 ? "true" : "false";

	obuf_printf(out, "{\"name\":\"%s\",\"singularName\":\"%s\",\"namespaced\":%s,\"kind\":\"%s\",", plural,
		    oschema_str(s, r->singular), namespaced, oschema_str(s, r->kind));
	put_verbs(out, r, r->verbs);
	put_strs(s, out, "shortNames", r->shorts, r->n_short);
	put_strs(s, out, "categories", r->categories, r->n_categories);
	if (r->hash[0] != '\0')
		obuf_printf(out, ",\"storageVersionHash\":\"%s\"", r->hash);
	obuf_putc(out, '}');
	for (unsigned int i = 0; i < r->n_subs; i++) {
		const struct oschema_sub *sub = sub_in_order(s, r, i);

		obuf_printf(out, ",{\"name\":\"%s/%s\",\"singularName\":\"\",\"namespaced\":%s,", plural,
			    oschema_str(s, sub->name), namespaced);
		if (sub_is_foreign(s, r, sub))
			obuf_printf(out, "\"group\":\"%s\",\"version\":\"%s\",", oschema_str(s, sub->group),
				    oschema_str(s, sub->version));
		obuf_printf(out, "\"kind\":\"%s\",", oschema_str(s, sub->kind));
		put_verbs(out, r, sub->verbs);
		obuf_putc(out, '}');
	}
}

void oschema_api_resources(const struct oschema *s, const struct oschema_group *g, struct obuf *out)
{
	const char *name = oschema_str(s, g->name);
	bool core = *name == '\0', first = true;

	obuf_printf(out, "{\"kind\":\"APIResourceList\",%s\"groupVersion\":\"%s%s%s\",\"resources\":[",
		    core ? "" : "\"apiVersion\":\"v1\",", name, core ? "" : "/", oschema_str(s, g->version));
	for (unsigned int i = 0; i < s->n_resources; i++) {
		if (!in_group(s, &s->resources[i], g))
			continue;
		obuf_puts(out, first ? "" : ",");
		put_resource(s, &s->resources[i], out);
		first = false;
	}
	obuf_puts(out, "]}\n");
}

/* ---- aggregated ---- */

static void put_discovered(const struct oschema *s, const struct oschema_resource *r, struct obuf *out)
{
	obuf_printf(out, "{\"resource\":\"%s\",\"responseKind\":{\"group\":\"\",\"version\":\"\",\"kind\":\"%s\"},"
		    "\"scope\":\"%s\",\"singularResource\":\"%s\",", oschema_str(s, r->plural),
		    oschema_str(s, r->kind), (r->flags & OSCHEMA_S_NAMESPACED) != 0 ? "Namespaced" : "Cluster",
		    oschema_str(s, r->singular));
	put_verbs(out, r, r->verbs);
	put_strs(s, out, "shortNames", r->shorts, r->n_short);
	put_strs(s, out, "categories", r->categories, r->n_categories);
	for (unsigned int i = 0; i < r->n_subs; i++) {
		const struct oschema_sub *sub = sub_in_order(s, r, i);
		bool foreign = sub_is_foreign(s, r, sub);

		obuf_puts(out, i == 0 ? ",\"subresources\":[" : ",");
		obuf_printf(out, "{\"subresource\":\"%s\",\"responseKind\":{\"group\":\"%s\",\"version\":\"%s\","
			    "\"kind\":\"%s\"},", oschema_str(s, sub->name),
			    foreign ? oschema_str(s, sub->group) : "", foreign ? oschema_str(s, sub->version) : "",
			    oschema_str(s, sub->kind));
		put_verbs(out, r, sub->verbs);
		obuf_puts(out, i + 1u == r->n_subs ? "}]" : "}");
	}
	obuf_putc(out, '}');
}

/* {"version":…,"resources":[…],"freshness":"Current"} */
static void put_discovered_version(const struct oschema *s, const struct oschema_group *g, struct obuf *out)
{
	bool first = true;

	obuf_printf(out, "{\"version\":\"%s\",\"resources\":[", oschema_str(s, g->version));
	for (unsigned int k = 0; k < s->n_resources; k++) {
		if (!in_group(s, &s->resources[k], g))
			continue;
		obuf_puts(out, first ? "" : ",");
		put_discovered(s, &s->resources[k], out);
		first = false;
	}
	obuf_printf(out, "],\"freshness\":\"%s\"}", g->served == OSCHEMA_SERVED_STALE ? "Stale" : "Current");
}

void oschema_api_discovery(const struct oschema *s, bool core, struct obuf *out)
{
	const struct oschema_group *end = s->groups + s->n_groups;
	bool first = true;

	obuf_puts(out, "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/v2\","
		  "\"metadata\":{},\"items\":[");
	for (const struct oschema_group *g = s->groups; g < end; g++) {
		if (!is_first(s, g) || (*oschema_str(s, g->name) == '\0') != core)
			continue;
		obuf_puts(out, first ? "{\"metadata\":{" : ",{\"metadata\":{");
		if (!core)
			obuf_printf(out, "\"name\":\"%s\"", oschema_str(s, g->name));
		obuf_puts(out, "},\"versions\":[");
		for (const struct oschema_group *o = g; o < end; o++) {
			if (!o->served || !same_group(s, o, g))
				continue;
			obuf_puts(out, o == g ? "" : ",");
			put_discovered_version(s, o, out);
		}
		obuf_puts(out, "]}");
		first = false;
	}
	obuf_puts(out, "]}\n");
}
