/*
 * schemac.h - what the parts of the schema compiler share: the parsed form of api/ *.schema.
 *
 * A build-time program: it reads, checks, writes one C file and exits, so nothing is freed.
 * Every error is one line `file:line: what is wrong` on stderr and ends the program.
 */
#ifndef SCHEMAC_H
#define SCHEMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/hooks.h"
#include "schema/oschema.h"

struct sc_where {
	const char	*file;
	int		line;
};

/* A growing array of pointers or structs; see sc_push(). */
struct sc_vec {
	void		*v;
	size_t		n;
	size_t		cap;
};

struct sc_group {
	struct sc_where	at;
	const char	*name;
	const char	*version;
	const char	*package;
	const char	*openapi;
	long		priority;
	long		version_priority;
	bool		served;
};

/* A field or, with embeds, the place where another struct's fields appear. */
struct sc_field {
	struct sc_where	at;
	const char	*name;
	const char	*type;		/* as written, without alias and suffixes */
	const char	*alias;
	const char	*doc;
	const char	*def;
	const char	*patch_key;
	const char	*stored;
	struct sc_vec	keys;		/* const char * */
	struct sc_vec	enums;		/* const char * */
	struct sc_vec	rules;		/* struct oschema_rule, arg resolved through rule_args */
	struct sc_vec	rule_args;	/* const char * */
	uint32_t	flags;
	int		pb;
	int		pb_in;
	int		patch;
	int		list;
	bool		atomic;
	bool		embeds;
	uint16_t	type_index;	/* set by sc_link() */
};

struct sc_struct {
	struct sc_where	at;
	const char	*package;
	const char	*name;		/* "core/v1.Pod" */
	const char	*doc;
	struct sc_vec	fields;		/* struct sc_field */
	struct sc_vec	flat;		/* struct sc_field: embedded structs spliced in, by sc_link() */
	struct sc_vec	rules;
	struct sc_vec	rule_args;
	uint8_t		flags;
	uint8_t		defaulter;
	bool		flattening;	/* guards against structs that embed themselves */
	uint16_t	index;
};

struct sc_select {
	const char	*name;
	const char	*path;
};

struct sc_column {
	const char	*name;
	const char	*expr;
	const char	*doc;
	int		hook;
	int		type;
	int		format;
	int		priority;
};

struct sc_sub {
	struct sc_where	at;
	const char	*name;
	const char	*type;		/* NULL: the resource's own */
	const char	*replicas;
	const char	*current;
	const char	*selector;
	uint32_t	verbs;
	uint32_t	flags;
	uint16_t	type_index;
	const struct sc_group *group;
	const char	*kind;
};

struct sc_resource {
	struct sc_where	at;
	struct sc_group	group;		/* a copy: the array may still grow */
	const char	*plural;
	const char	*type;
	const char	*stored;
	const char	*singular;
	struct sc_vec	shorts;		/* const char * */
	struct sc_vec	categories;	/* const char * */
	struct sc_vec	subs;		/* struct sc_sub */
	struct sc_vec	selects;	/* struct sc_select */
	struct sc_vec	columns;	/* struct sc_column */
	uint32_t	flags;
	uint32_t	verbs;
	int		name_rule;
	int		grace_s;
	uint16_t	type_index;
	uint16_t	stored_index;
	const char	*kind;
	const char	*list_kind;
	char		hash[16];
};

/* A list or map type, made on first use. */
struct sc_compound {
	uint8_t		kind;
	uint16_t	elem;
	const char	*go;		/* "[]v1.Container" */
};

struct sc {
	struct sc_vec	groups;		/* struct sc_group */
	struct sc_vec	structs;	/* struct sc_struct */
	struct sc_vec	resources;	/* struct sc_resource */
	struct sc_vec	compounds;	/* struct sc_compound */
	uint32_t	generation;
};

#define SC_AT(vec, type, i) (&((type *)(vec).v)[i])

/* sc-util.c */
void sc_die(struct sc_where at, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
void *sc_push(struct sc_vec *vec, size_t elem_size);	/* a zeroed new element */
char *sc_dup(const char *p, size_t n);
char *sc_cat(const char *a, const char *b, const char *c);
void sc_sha256(const void *data, size_t n, uint8_t ret[32]);

/* parse.c: one file into @sc; @text is NUL-terminated and stays alive */
void sc_parse(struct sc *sc, const char *file, char *text);

/* link.c: names become indexes, embedded structs are spliced in, list kinds are added, all is checked */
void sc_link(struct sc *sc);
const struct sc_group *sc_group_of_package(const struct sc *sc, const char *package);
const char *sc_scalar_go(int kind);

/* emit.c: the C file on stdout-like @path */
void sc_emit(struct sc *sc, const char *path, const char *include, const char *symbol);

#endif
