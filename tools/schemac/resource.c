/*
 * resource.c - the lines of a resource: names, verbs, flags, subresources, selectors, columns.
 */
#include "parse.h"

#include <string.h>

#define HOOK_NAME(n) #n,
static const char *const cells[] = { "", OSCHEMA_CELLS(HOOK_NAME) NULL };

static const char *const verb_names[] = {
	"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch", NULL
};

static int verb_bit(const char *s)
{
	for (int i = 0; verb_names[i] != NULL; i++)
		if (strcmp(verb_names[i], s) == 0)
			return 1 << i;
	return 0;
}

static const struct {
	const char	*name;
	uint32_t	bit;
} resource_flags[] = {
	{ "put-creates", OSCHEMA_S_PUT_CREATES }, { "unconditional", OSCHEMA_S_UNCONDITIONAL },
	{ "generation", OSCHEMA_S_GENERATION }, { "status", OSCHEMA_S_STATUS },
	{ "virtual", OSCHEMA_S_VIRTUAL }, { "orphan", OSCHEMA_S_ORPHAN },
	{ "no-gc", OSCHEMA_S_NO_GC }, { "deleted-body", OSCHEMA_S_DELETED_BODY },
	{ "generation-meta", OSCHEMA_S_GENERATION_META }, { "lazy", OSCHEMA_S_LAZY },
	{ "status-at-birth", OSCHEMA_S_STATUS_AT_BIRTH },
};

void sc_resource_line(struct parser *ps)
{
	struct line *l = &ps->l;
	const struct sc_group *g = sc_file_group(ps);
	struct sc_resource *r;
	char *v;

	if (l->n < 3)
		sc_die(l->at, "want: resource PLURAL TYPE");
	r = sc_push(&ps->sc->resources, sizeof(*r));
	ps->in_resource = ps->sc->resources.n;
	r->at = l->at;
	r->group = *g;
	r->plural = l->tok[1];
	r->type = strchr(l->tok[2], '/') != NULL ? l->tok[2] : sc_cat(g->package, ".", l->tok[2]);
	r->kind = strchr(r->type, '.') + 1;
	r->flags = OSCHEMA_S_NAMESPACED;
	r->verbs = 0xff;
	r->name_rule = OSCHEMA_FMT_DNS1123_SUBDOMAIN;
	r->grace_s = -1;
	for (int i = 3; i < l->n; i++) {
		if ((v = sc_value_of(l->tok[i], "stored")) == NULL)
			sc_die(l->at, "unknown word \"%s\"", l->tok[i]);
		r->stored = v;
	}
}

static void sub_line(struct parser *ps, struct sc_resource *r)
{
	struct line *l = &ps->l;
	struct sc_sub *s;

	if (l->n < 3)
		sc_die(l->at, "want: sub NAME [TYPE] VERB…");
	s = sc_push(&r->subs, sizeof(*s));
	s->at = l->at;
	s->name = l->tok[1];
	for (int i = 2; i < l->n; i++) {
		char *t = l->tok[i], *v;
		int bit = verb_bit(t);

		if (bit != 0)
			s->verbs |= (uint32_t)bit;
		else if (strcmp(t, "connect") == 0)
			s->flags |= OSCHEMA_SUB_CONNECT;
		else if ((v = sc_value_of(t, "replicas")) != NULL)
			s->replicas = v;
		else if ((v = sc_value_of(t, "current")) != NULL)
			s->current = v;
		else if ((v = sc_value_of(t, "selector")) != NULL)
			s->selector = v;
		else if (i == 2)
			s->type = strchr(t, '/') != NULL ? t : sc_cat(r->group.package, ".", t);
		else
			sc_die(l->at, "unknown word \"%s\"", t);
	}
}

static void column_line(struct parser *ps, struct sc_resource *r)
{
	static const char *const types[] = { "string", "integer", "number", "boolean", "date" };
	struct line *l = &ps->l;
	struct sc_column *c;
	char *t, *slash, *e;
	int i = 3;

	if (l->n < 4)
		sc_die(l->at, "want: column NAME TYPE [wide] PATH|fn:CELL[(PATH)]");
	c = sc_push(&r->columns, sizeof(*c));
	c->name = sc_unquoted(l->tok[1]);
	c->doc = l->doc;
	t = l->tok[2];
	slash = strchr(t, '/');
	if (slash != NULL) {
		*slash++ = '\0';
		if (strcmp(slash, "name") != 0)
			sc_die(l->at, "unknown column format \"%s\"", slash);
		c->format = 1;
	}
	c->type = -1;
	for (int k = 0; k < 5; k++)
		if (strcmp(types[k], t) == 0)
			c->type = k;
	if (c->type < 0)
		sc_die(l->at, "unknown column type \"%s\"", t);
	if (strcmp(l->tok[i], "wide") == 0) {
		c->priority = 1;
		i++;
	}
	if (i != l->n - 1)
		sc_die(l->at, "a column has one value");
	e = l->tok[i];
	if (strncmp(e, "fn:", 3) == 0) {
		char *open = strchr(e, '(');

		c->expr = "";
		if (open != NULL) {
			if (open[strlen(open) - 1] != ')')
				sc_die(l->at, "\")\" is missing in \"%s\"", e);
			open[strlen(open) - 1] = '\0';
			*open = '\0';
			c->expr = open + 1;
		}
		c->hook = sc_name_number(l->at, cells, e + 3, "cell");
	} else {
		c->expr = e;
	}
}

void sc_resource_attr(struct parser *ps)
{
	struct line *l = &ps->l;
	struct sc_resource *r = SC_AT(ps->sc->resources, struct sc_resource, ps->in_resource - 1);
	const char *w = l->tok[0];

	if (strcmp(w, "name") == 0) {
		if (l->n < 2)
			sc_die(l->at, "want: name SINGULAR [SHORT…]");
		r->singular = l->tok[1];
		for (int i = 2; i < l->n; i++)
			*(const char **)sc_push(&r->shorts, sizeof(char *)) = l->tok[i];
	} else if (strcmp(w, "categories") == 0) {
		for (int i = 1; i < l->n; i++)
			*(const char **)sc_push(&r->categories, sizeof(char *)) = l->tok[i];
	} else if (strcmp(w, "cluster") == 0) {
		r->flags &= ~(uint32_t)OSCHEMA_S_NAMESPACED;
	} else if (strcmp(w, "verbs") == 0) {
		r->verbs = 0;
		for (int i = 1; i < l->n; i++) {
			int bit = verb_bit(l->tok[i]);

			if (bit == 0)
				sc_die(l->at, "unknown verb \"%s\"", l->tok[i]);
			r->verbs |= (uint32_t)bit;
		}
	} else if (strcmp(w, "flags") == 0) {
		for (int i = 1; i < l->n; i++) {
			uint32_t bit = 0;

			for (size_t k = 0; k < sizeof(resource_flags) / sizeof(resource_flags[0]); k++)
				if (strcmp(resource_flags[k].name, l->tok[i]) == 0)
					bit = resource_flags[k].bit;
			if (bit == 0)
				sc_die(l->at, "unknown flag \"%s\"", l->tok[i]);
			r->flags |= bit;
		}
	} else if (strcmp(w, "names") == 0 && l->n == 2) {
		r->name_rule = sc_format_number(l->at, l->tok[1]);
	} else if (strcmp(w, "grace") == 0 && l->n == 2) {
		r->grace_s = (int)sc_number(l->at, l->tok[1]);
	} else if (strcmp(w, "sub") == 0) {
		sub_line(ps, r);
	} else if (strcmp(w, "select") == 0) {
		for (int i = 1; i < l->n; i++) {
			struct sc_select *s = sc_push(&r->selects, sizeof(*s));
			char *eq = strchr(l->tok[i], '=');

			s->name = l->tok[i];
			s->path = l->tok[i];
			if (eq != NULL) {
				*eq = '\0';
				s->path = eq + 1;
			}
		}
	} else if (strcmp(w, "column") == 0) {
		column_line(ps, r);
	} else {
		sc_die(l->at, "unknown line \"%s\" in a resource", w);
	}
}
