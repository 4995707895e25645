/*
 * parse.c - reads one schema file (syntax: api/README.md) into the parsed form; resources are resource.c's.
 */
#include "parse.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

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

char *sc_unquoted(char *s)
{
	size_t n = strlen(s);

	if (n >= 2 && s[0] == '"' && s[n - 1] == '"')
		return sc_dup(s + 1, n - 2);
	return s;
}

long sc_number(struct sc_where at, const char *s)
{
	char *end;
	long v = strtol(s, &end, 10);

	if (end == s || *end != '\0')
		sc_die(at, "\"%s\" is not a number", s);
	return v;
}

char *sc_value_of(char *tok, const char *key)
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
		*(const char **)sc_push(vec, sizeof(char *)) = sc_unquoted(s);
		s = next;
	}
}

#define HOOK_NAME(n) #n,
static const char *const defaulters[] = { "", OSCHEMA_DEFAULTERS(HOOK_NAME) NULL };
static const char *const checks[] = { "", OSCHEMA_CHECKS(HOOK_NAME) NULL };
#define FMT_NAME(id, name) name,
static const char *const formats[] = { "", OSCHEMA_FORMATS(FMT_NAME) NULL };

int sc_name_number(struct sc_where at, const char *const *list, const char *name, const char *what)
{
	for (int i = 1; list[i] != NULL; i++)
		if (strcmp(list[i], name) == 0)
			return i;
	sc_die(at, "no %s is called \"%s\"", what, name);
}

int sc_format_number(struct sc_where at, const char *name)
{
	return sc_name_number(at, formats, name, "format");
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
	} else if ((v = sc_value_of(tok, "required")) != NULL) {
		rule_add(r, a, OSCHEMA_R_REQUIRED, 0, 0, sc_unquoted(v));
	} else if ((v = sc_value_of(tok, "min")) != NULL) {
		rule_add(r, a, OSCHEMA_R_MIN, sc_number(at, v), 0, "");
	} else if ((v = sc_value_of(tok, "greater")) != NULL) {
		rule_add(r, a, OSCHEMA_R_GREATER, sc_number(at, v), 0, "");
	} else if ((v = sc_value_of(tok, "range")) != NULL) {
		char *dots = strstr(v, "..");

		if (dots == NULL)
			sc_die(at, "range=%s: want LOW..HIGH", v);
		*dots = '\0';
		rule_add(r, a, OSCHEMA_R_RANGE, sc_number(at, v), sc_number(at, dots + 2), "");
	} else if ((v = sc_value_of(tok, "format")) != NULL) {
		rule_add(r, a, OSCHEMA_R_FORMAT, sc_format_number(at, v), 0, "");
	} else if ((v = sc_value_of(tok, "keyformat")) != NULL) {
		rule_add(r, a, OSCHEMA_R_KEYFORMAT, sc_format_number(at, v), 0, "");
	} else if ((v = sc_value_of(tok, "maxlen")) != NULL) {
		rule_add(r, a, OSCHEMA_R_MAXLEN, sc_number(at, v), 0, "");
	} else if ((v = sc_value_of(tok, "maxitems")) != NULL) {
		rule_add(r, a, OSCHEMA_R_MAXITEMS, sc_number(at, v), 0, "");
	} else if (strcmp(tok, "unique") == 0) {
		rule_add(r, a, OSCHEMA_R_UNIQUE, 0, 0, "");
	} else if ((v = sc_value_of(tok, "unique")) != NULL) {
		rule_add(r, a, OSCHEMA_R_UNIQUE, 0, 0, v);
	} else if (strcmp(tok, "immutable") == 0) {
		rule_add(r, a, OSCHEMA_R_IMMUTABLE, 0, 0, "");
		f->flags |= OSCHEMA_F_IMMUTABLE;
	} else if (strcmp(tok, "setonce") == 0) {
		rule_add(r, a, OSCHEMA_R_SETONCE, 0, 0, "");
		f->flags |= OSCHEMA_F_IMMUTABLE;
	} else if ((v = sc_value_of(tok, "check")) != NULL) {
		rule_add(r, a, OSCHEMA_R_CHECK, sc_name_number(at, checks, v, "check"), 0, "");
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
		g->version_priority = sc_number(at, slash + 1);
	}
	g->priority = sc_number(at, v);
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
	g->name = sc_unquoted(l->tok[1]);
	g->version = l->tok[2];
	for (int i = 3; i < l->n; i++) {
		char *v;

		if ((v = sc_value_of(l->tok[i], "package")) != NULL)
			g->package = v;
		else if ((v = sc_value_of(l->tok[i], "openapi")) != NULL)
			g->openapi = v;
		else if ((v = sc_value_of(l->tok[i], "priority")) != NULL)
			priority_parse(l->at, g, v);
		else
			sc_die(l->at, "unknown word \"%s\"", l->tok[i]);
	}
	if (g->package == NULL || g->openapi == NULL)
		sc_die(l->at, "a group needs package= and openapi=");
}

const struct sc_group *sc_file_group(struct parser *ps)
{
	if (ps->group == 0)
		sc_die(ps->l.at, "the file must begin with a group line");
	return SC_AT(ps->sc->groups, struct sc_group, ps->group - 1);
}

static void struct_line(struct parser *ps, bool object)
{
	struct line *l = &ps->l;
	const struct sc_group *g = sc_file_group(ps);
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
		else if ((v = sc_value_of(l->tok[i], "defaults")) != NULL)
			s->defaulter = (uint8_t)sc_name_number(l->at, defaulters, v, "defaults hook");
		else if ((v = sc_value_of(l->tok[i], "check")) != NULL)
			rule_add(&s->rules, &s->rule_args, OSCHEMA_R_CHECK,
				 sc_name_number(l->at, checks, v, "check"), 0, "");
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
		f->pb = (int)sc_number(l->at, l->tok[0] + 1);
		f->type = l->tok[1];
		return;
	}
	if (l->tok[0][0] != '@' || l->n < 3)
		sc_die(l->at, "want: @NUMBER NAME TYPE …");
	f = sc_push(&s->fields, sizeof(*f));
	f->at = l->at;
	f->pb = (int)sc_number(l->at, l->tok[0] + 1);
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
		} else if (strcmp(t, "notnull") == 0) {
			f->flags |= OSCHEMA_F_NOTNULL;
		} else if (strcmp(t, "atomic") == 0) {
			f->atomic = true;
		} else if ((v = sc_value_of(t, "enum")) != NULL) {
			f->flags |= OSCHEMA_F_CLOSED;
			split_into(&f->enums, v, '|');
		} else if ((v = sc_value_of(t, "known")) != NULL) {
			split_into(&f->enums, v, '|');
		} else if ((v = sc_value_of(t, "patch")) != NULL) {
			patch_parse(l->at, f, v);
		} else if ((v = sc_value_of(t, "list")) != NULL) {
			list_parse(l->at, f, v);
		} else if ((v = sc_value_of(t, "default")) != NULL) {
			f->flags |= OSCHEMA_F_HAS_DEFAULT;
			f->def = v;
		} else if ((v = sc_value_of(t, "stored")) != NULL) {
			f->stored = v;
		} else if (!rule_parse(l->at, f, t)) {
			sc_die(l->at, "unknown word \"%s\"", t);
		}
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
				sc_resource_line(&ps);
			else
				sc_die(ps.l.at, "unknown line \"%s\": want group, struct, object or resource", w);
		} else if (ps.in_struct != 0) {
			field_line(&ps);
		} else if (ps.in_resource != 0) {
			sc_resource_attr(&ps);
		} else {
			sc_die(ps.l.at, "an indented line belongs to no struct and no resource");
		}
	}
}
