/*
 * oyaml - YAML to JSON trees and back
 *
 * YAML 1.1 as sigs.k8s.io/yaml reads it, so that a manifest means here what it means to kubectl:
 * yes/on/true are booleans, 0o17 and 017 octal, ~ null, keys become strings, `<<` merges. The same
 * limits as upstream's decoder hold against alias bombs. JSON is valid input too.
 */
#ifndef OLIB_YAML_OYAML_H
#define OLIB_YAML_OYAML_H

#include "base/obuf.h"
#include "json/ojson.h"

#include <orlop/types.h>
#include <stdbool.h>
#include <stddef.h>

struct oyaml_error {
	size_t	line;		/* from 1; 0 unknown */
	char	msg[120];	/* "yaml: line 3: mapping key \"a\" already defined at line 2" */
};

/*
 * Iterates over the documents of a stream. The text is borrowed until oyaml_close().
 *
 *	while ((r = oyaml_next(y, &j, &err)) > 0) { use(j); ojson_unref(j); }
 */
struct oyaml;

int oyaml_open(const char *p, size_t len, struct oyaml **ret);		/* 0, -ENOMEM */
void oyaml_close(struct oyaml *y);					/* accepts NULL */

/* 1 and a document (NULL for an empty one or null), 0 at the end, -EINVAL, -ELOOP, -E2BIG, -ENOMEM. */
int oyaml_next(struct oyaml *y, struct ojson **ret, struct oyaml_error *err);

/* Exactly one document; an empty text is null. More than one: the first, as upstream. */
int oyaml_parse(const char *p, size_t len, struct ojson **ret, struct oyaml_error *err);

/* The same, but of keys that are set twice the last one holds; the first such is told in @ret_twice. */
int oyaml_parse_last(const char *p, size_t len, struct ojson **ret, struct oyaml_error *ret_twice,
		     struct oyaml_error *err);

/*
 * oyaml_write - appends a tree as YAML: block style, two blanks a level, lists not indented, keys
 * sorted, strings quoted only where they would read as something else. One trailing newline.
 */
int oyaml_write(const struct ojson *j, struct obuf *b);

#endif
