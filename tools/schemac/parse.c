/*
 * parse.c - reads one schema file (syntax: api/README.md) into the parsed form.
 */
#include "schemac.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SC_MAX_TOKENS 64

/* One line, cut into words. Quoted parts keep their quotes; doc is what follows " -- ". */
struct line {
	struct sc_where	at;
	char		*tok[SC_MAX_TOKENS];
	int		n;
	char		*doc;
	bool		indented;
};

struct parser {
	struct sc	*sc;
	struct line	l;
	size_t		group;		/* index + 1 of the file's group */
	size_t		in_struct;	/* index + 1 while its fields are read */
	size_t		in_resource;
};

static void line_split(struct line *l, char *p)
{
	l->n = 0;
	l->doc = NULL;
	l->indented = *p == '\t' || *p == ' ';
	for (;;) {
		while (*p == ' ' || *p == '\t' || *p == '\r')
			p++;
		if (*p == '\0' || *p == '#')
			return;
		if (p[0] == '-' && p[1] == '-' && p[2] == ' ') {
			l->doc = p + 3;
			return;
		}
		if (l->n == SC_MAX_TOKENS)
			sc_die(l->at, "more than %d words", SC_MAX_TOKENS);
		l->tok[l->n++] = p;
		for (bool quoted = false; *p != '\0' && (quoted || !isspace((unsigned char)*p)); p++) {
			if (*p == '"')
				quoted = !quoted;
			if (p[1] == '\0' && quoted)
				sc_die(l->at, "quote is not closed");
		}
		if (*p != '\0')
			*p++ = '\0';
	}
}

/* "text" without its quotes; other words as they are. */
static char *unquoted(char *s)
{
	size_t n = strlen(s);

	if (n >= 2 && s[0] == '"' && s[n - 1] == '"')
		return sc_dup(s + 1, n - 2);
	return s;
}

static long number(struct sc_where at, const char *s)
{
	char *end;
	long v = strtol(s, &end, 10);

	if (end == s || *end != '\0')
		sc_die(at, "\"%s\" is not a number", s);
	return v;
}

/* The value of "key=value" if @tok has that key, else NULL. */
static char *value_of(char *tok, const char *key)
{
	size_t n = strlen(key);

	return strncmp(tok, key, n) == 0 && tok[n] == '=' ? tok + n + 1 : NULL;
}

static void split_into(struct sc_vec *vec, char *s, char sep)
{
	while (s != NULL) {
		char *next = strchr(s, sep);

		if (next != NULL)
			*next++ = '\0';
		*(const char **)sc_push(vec, sizeof(char *)) = unquoted(s);
		s = next;
	}
}

#define HOOK_NAME(n) #n,
static const char *const defaulters[] = { "", OSCHEMA_DEFAULTERS(HOOK_NAME) NULL };
static const char *const checks[] = { "", OSCHEMA_CHECKS(HOOK_NAME) NULL };
static const char *const cells[] = { "", OSCHEMA_CELLS(HOOK_NAME) NULL };
#define FMT_NAME(id, name) name,
static const char *const formats[] = { "", OSCHEMA_FORMATS(FMT_NAME) NULL };

static int name_number(struct sc_where at, const char *const *list, const char *name, const char *what)
{
	for (int i = 1; list[i] != NULL; i++)
		if (strcmp(list[i], name) == 0)
			return i;
	sc_die(at, "no %s is called \"%s\"", what, name);
}

/* ---- rules ---- */

static void rule_add(struct sc_vec *rules, struct sc_vec *args, int op, int64_t lo, int64_t hi,
		     const char *arg)
{
	struct oschema_rule *r = sc_push(rules, sizeof(*r));

	r->op = (uint8_t)op;
	r->lo = lo;
	r->hi = hi;
	*(const char **)sc_push(args, sizeof(char *)) = arg;
}

/* A rule of a field, or false if @tok is no rule. */
static bool rule_parse(struct sc_where at, struct sc_field *f, char *tok)
{
	struct sc_vec *r = &f->rules, *a = &f->rule_args;
	char *v;

	if (strcmp(tok, "required") == 0) {
		rule_add(r, a, OSCHEMA_R_REQUIRED, 0, 0, "");
	} else if ((v = value_of(tok, "required")) != NULL) {
		rule_add(r, a, OSCHEMA_R_REQUIRED, 0, 0, unquoted(v));
	} else if ((v = value_of(tok, "min")) != NULL) {
		rule_add(r, a, OSCHEMA_R_MIN, number(at, v), 0, "");
	} else if ((v = value_of(tok, "greater")) != NULL) {
		rule_add(r, a, OSCHEMA_R_GREATER, number(at, v), 0, "");
	} else if ((v = value_of(tok, "range")) != NULL) {
		char *dots = strstr(v, "..");

		if (dots == NULL)
			sc_die(at, "range=%s: want LOW..HIGH", v);
		*dots = '\0';
		rule_add(r, a, OSCHEMA_R_RANGE, number(at, v), number(at, dots + 2), "");
	} else if ((v = value_of(tok, "format")) != NULL) {
		rule_add(r, a, OSCHEMA_R_FORMAT, name_number(at, formats, v, "format"), 0, "");
	} else if ((v = value_of(tok, "keyformat")) != NULL) {
		rule_add(r, a, OSCHEMA_R_KEYFORMAT, name_number(at, formats, v, "format"), 0, "");
	} else if ((v = value_of(tok, "maxlen")) != NULL) {
		rule_add(r, a, OSCHEMA_R_MAXLEN, number(at, v), 0, "");
	} else if ((v = value_of(tok, "maxitems")) != NULL) {
		rule_add(r, a, OSCHEMA_R_MAXITEMS, number(at, v), 0, "");
	} else if (strcmp(tok, "unique") == 0) {
		rule_add(r, a, OSCHEMA_R_UNIQUE, 0, 0, "");
	} else if ((v = value_of(tok, "unique")) != NULL) {
		rule_add(r, a, OSCHEMA_R_UNIQUE, 0, 0, v);
	} else if (strcmp(tok, "immutable") == 0) {
		rule_add(r, a, OSCHEMA_R_IMMUTABLE, 0, 0, "");
		f->flags |= OSCHEMA_F_IMMUTABLE;
	} else if (strcmp(tok, "setonce") == 0) {
		rule_add(r, a, OSCHEMA_R_SETONCE, 0, 0, "");
		f->flags |= OSCHEMA_F_IMMUTABLE;
	} else if ((v = value_of(tok, "check")) != NULL) {
		rule_add(r, a, OSCHEMA_R_CHECK, name_number(at, checks, v, "check"), 0, "");
	} else {
		return false;
	}
	return true;
}

/* ---- lines ---- */

/* GROUP[/VERSION] */
static void priority_parse(struct sc_where at, struct sc_group *g, char *v)
{
	char *slash = strchr(v, '/');

	g->version_priority = 15;
	if (slash != NULL) {
		*slash = '\0';
		g->version_priority = number(at, slash + 1);
	}
	g->priority = number(at, v);
}

static void group_line(struct parser *ps)
{
	struct line *l = &ps->l;
	struct sc_group *g;

	if (ps->group != 0)
		sc_die(l->at, "a file describes one group");
	if (l->n < 3)
		sc_die(l->at, "want: group NAME VERSION package=… openapi=… priority=…");
	g = sc_push(&ps->sc->groups, sizeof(*g));
	ps->group = ps->sc->groups.n;
	g->at = l->at;
	g->name = unquoted(l->tok[1]);
	g->version = l->tok[2];
	for (int i = 3; i < l->n; i++) {
		char *v;

		if ((v = value_of(l->tok[i], "package")) != NULL)
			g->package = v;
		else if ((v = value_of(l->tok[i], "openapi")) != NULL)
			g->openapi = v;
		else if ((v = value_of(l->tok[i], "priority")) != NULL)
			priority_parse(l->at, g, v);
		else
			sc_die(l->at, "unknown word \"%s\"", l->tok[i]);
	}
	if (g->package == NULL || g->openapi == NULL)
		sc_die(l->at, "a group needs package= and openapi=");
}

static const struct sc_group *file_group(struct parser *ps)
{
	if (ps->group == 0)
		sc_die(ps->l.at, "the file must begin with a group line");
	return SC_AT(ps->sc->groups, struct sc_group, ps->group - 1);
}

static void struct_line(struct parser *ps, bool object)
{
	struct line *l = &ps->l;
	const struct sc_group *g = file_group(ps);
	struct sc_struct *s;

	if (l->n < 2)
		sc_die(l->at, "a %s needs a name", l->tok[0]);
	s = sc_push(&ps->sc->structs, sizeof(*s));
	ps->in_struct = ps->sc->structs.n;
	s->at = l->at;
	s->package = g->package;
	s->name = sc_cat(g->package, ".", l->tok[1]);
	s->doc = l->doc;
	s->flags = object ? OSCHEMA_T_OBJECT : 0;
	for (int i = 2; i < l->n; i++) {
		char *v;

		if (strcmp(l->tok[i], "atomic") == 0)
			s->flags |= OSCHEMA_T_ATOMIC;
		else if (strcmp(l->tok[i], "union") == 0)
			s->flags |= OSCHEMA_T_UNION;
		else if ((v = value_of(l->tok[i], "defaults")) != NULL)
			s->defaulter = (uint8_t)name_number(l->at, defaulters, v, "defaults hook");
		else if ((v = value_of(l->tok[i], "check")) != NULL)
			rule_add(&s->rules, &s->rule_args, OSCHEMA_R_CHECK,
				 name_number(l->at, checks, v, "check"), 0, "");
		else
			sc_die(l->at, "unknown word \"%s\"", l->tok[i]);
	}
}

static void patch_parse(struct sc_where at, struct sc_field *f, char *v)
{
	char *open = strchr(v, '(');

	if (open != NULL) {
		char *close = strchr(open, ')');

		if (close == NULL || close[1] != '\0')
			sc_die(at, "patch=%s: want patch=merge(KEY)", v);
		*close = '\0';
		*open = '\0';
		f->patch_key = open + 1;
	}
	while (v != NULL) {
		char *next = strchr(v, ',');

		if (next != NULL)
			*next++ = '\0';
		if (strcmp(v, "merge") == 0)
			f->patch |= OSCHEMA_PATCH_MERGE;
		else if (strcmp(v, "replace") == 0)
			f->patch |= OSCHEMA_PATCH_REPLACE;
		else if (strcmp(v, "retainKeys") == 0)
			f->patch |= OSCHEMA_PATCH_RETAINKEYS;
		else
			sc_die(at, "unknown patch strategy \"%s\"", v);
		v = next;
	}
}

static void list_parse(struct sc_where at, struct sc_field *f, char *v)
{
	char *open = strchr(v, '(');

	if (strcmp(v, "set") == 0) {
		f->list = OSCHEMA_LIST_SET;
	} else if (strncmp(v, "map(", 4) == 0 && open[strlen(open) - 1] == ')') {
		open[strlen(open) - 1] = '\0';
		f->list = OSCHEMA_LIST_MAP;
		split_into(&f->keys, open + 1, ',');
	} else {
		sc_die(at, "list=%s: want list=set or list=map(KEY,…)", v);
	}
}

/* TYPE[:Alias][*][!] */
static void type_parse(struct sc_field *f, char *t)
{
	char *colon;
	size_t n = strlen(t);

	f->flags |= OSCHEMA_F_OMITEMPTY;
	if (n > 0 && t[n - 1] == '!') {
		f->flags &= ~(uint32_t)OSCHEMA_F_OMITEMPTY;
		t[--n] = '\0';
	}
	if (n > 0 && t[n - 1] == '*') {
		f->flags |= OSCHEMA_F_PTR;
		t[--n] = '\0';
	}
	colon = strchr(t, ':');
	if (colon != NULL) {
		*colon = '\0';
		f->alias = colon + 1;
	}
	f->type = t;
}

static void field_line(struct parser *ps)
{
	struct line *l = &ps->l;
	struct sc_struct *s = SC_AT(ps->sc->structs, struct sc_struct, ps->in_struct - 1);
	struct sc_field *f;

	if (l->tok[0][0] == '+') {
		if (l->n != 2)
			sc_die(l->at, "want: +NUMBER TYPE");
		f = sc_push(&s->fields, sizeof(*f));
		f->at = l->at;
		f->embeds = true;
		f->pb = (int)number(l->at, l->tok[0] + 1);
		f->type = l->tok[1];
		return;
	}
	if (l->tok[0][0] != '@' || l->n < 3)
		sc_die(l->at, "want: @NUMBER NAME TYPE …");
	f = sc_push(&s->fields, sizeof(*f));
	f->at = l->at;
	f->pb = (int)number(l->at, l->tok[0] + 1);
	f->name = l->tok[1];
	f->doc = l->doc;
	type_parse(f, l->tok[2]);
	for (int i = 3; i < l->n; i++) {
		char *t = l->tok[i], *v;

		if (strcmp(t, "req") == 0) {
			f->flags |= OSCHEMA_F_REQUIRED;
		} else if (strcmp(t, "deprecated") == 0) {
			f->flags |= OSCHEMA_F_DEPRECATED;
		} else if (strcmp(t, "omitzero") == 0) {
			f->flags |= OSCHEMA_F_OMITZERO;
		} else if (strcmp(t, "atomic") == 0) {
			f->atomic = true;
		} else if ((v = value_of(t, "enum")) != NULL) {
			f->flags |= OSCHEMA_F_CLOSED;
			split_into(&f->enums, v, '|');
		} else if ((v = value_of(t, "known")) != NULL) {
			split_into(&f->enums, v, '|');
		} else if ((v = value_of(t, "patch")) != NULL) {
			patch_parse(l->at, f, v);
		} else if ((v = value_of(t, "list")) != NULL) {
			list_parse(l->at, f, v);
		} else if ((v = value_of(t, "default")) != NULL) {
			f->flags |= OSCHEMA_F_HAS_DEFAULT;
			f->def = v;
		} else if ((v = value_of(t, "stored")) != NULL) {
			f->stored = v;
		} else if (!rule_parse(l->at, f, t)) {
			sc_die(l->at, "unknown word \"%s\"", t);
		}
	}
}

/* ---- resources ---- */

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

static void resource_line(struct parser *ps)
{
	struct line *l = &ps->l;
	const struct sc_group *g = file_group(ps);
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
		if ((v = value_of(l->tok[i], "stored")) == NULL)
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
		else if ((v = value_of(t, "replicas")) != NULL)
			s->replicas = v;
		else if ((v = value_of(t, "current")) != NULL)
			s->current = v;
		else if ((v = value_of(t, "selector")) != NULL)
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
	c->name = unquoted(l->tok[1]);
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
		c->hook = name_number(l->at, cells, e + 3, "cell");
	} else {
		c->expr = e;
	}
}

static void resource_attr(struct parser *ps)
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
		r->name_rule = name_number(l->at, formats, l->tok[1], "format");
	} else if (strcmp(w, "grace") == 0 && l->n == 2) {
		r->grace_s = (int)number(l->at, l->tok[1]);
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

void sc_parse(struct sc *sc, const char *file, char *text)
{
	struct parser ps = { .sc = sc };

	ps.l.at.file = file;
	while (text != NULL) {
		char *next = strchr(text, '\n');

		if (next != NULL)
			*next++ = '\0';
		ps.l.at.line++;
		line_split(&ps.l, text);
		text = next;
		if (ps.l.n == 0)
			continue;
		if (!ps.l.indented) {
			const char *w = ps.l.tok[0];

			ps.in_struct = 0;
			ps.in_resource = 0;
			if (strcmp(w, "group") == 0)
				group_line(&ps);
			else if (strcmp(w, "struct") == 0 || strcmp(w, "object") == 0)
				struct_line(&ps, w[0] == 'o');
			else if (strcmp(w, "resource") == 0)
				resource_line(&ps);
			else
				sc_die(ps.l.at, "unknown line \"%s\": want group, struct, object or resource", w);
		} else if (ps.in_struct != 0) {
			field_line(&ps);
		} else if (ps.in_resource != 0) {
			resource_attr(&ps);
		} else {
			sc_die(ps.l.at, "an indented line belongs to no struct and no resource");
		}
	}
}
