/* resolve.h - what a plain YAML scalar is; private to lib/yaml. */
#ifndef OLIB_YAML_RESOLVE_H
#define OLIB_YAML_RESOLVE_H

#include "json/ojson.h"

enum oyaml_plain {
	OYAML_STRING,
	OYAML_NULL,
	OYAML_BOOL,
	OYAML_INT,
	OYAML_FLOAT,
	OYAML_NO_JSON,		/* .inf, .nan: a number that JSON does not have */
};

struct oyaml_scalar {
	enum oyaml_plain	kind;
	bool			truth;
	int64_t			i;
	double			d;
};

/* The YAML 1.1 meaning of an unquoted scalar. */
struct oyaml_scalar oyaml_resolve(const char *p, size_t len);

#endif
