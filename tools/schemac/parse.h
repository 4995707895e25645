/*
 * parse.h - what the readers of schema lines share.
 */
#ifndef SCHEMAC_PARSE_H
#define SCHEMAC_PARSE_H

#include "schemac.h"

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

/* "text" without its quotes; other words as they are. */
char *sc_unquoted(char *s);
long sc_number(struct sc_where at, const char *s);
/* The value of "key=value" if @tok has that key, else NULL. */
char *sc_value_of(char *tok, const char *key);
/* Place of @name in @list, which ends with NULL; the first is nobody's. @what: for the message. */
int sc_name_number(struct sc_where at, const char *const *list, const char *name, const char *what);
int sc_format_number(struct sc_where at, const char *name);
const struct sc_group *sc_file_group(struct parser *ps);

/* resource.c: the line that begins one, and those in it */
void sc_resource_line(struct parser *ps);
void sc_resource_attr(struct parser *ps);

#endif
