/*
 * ocrd.h - what a CustomResourceDefinition means: tables of its resources, and its schemas as programs.
 *
 * A schema is compiled into nodes that hold only what decides about objects (no texts for people).
 * A whole definition becomes one struct ocrd with a struct oschema of its own, so that whoever works
 * by tables (server-side apply, selectors, tables, discovery) treats custom objects as all others.
 * Nothing of it changes after it was made.
 */
#ifndef OLIB_CRD_OCRD_H
#define OLIB_CRD_OCRD_H

#include "base/oarena.h"
#include "base/obuf.h"
#include "base/omap.h"
#include "json/ojson.h"
#include "schema/decode.h"
#include "schema/oschema.h"

#include <stdbool.h>
#include <stdint.h>

enum ocrd_type {
	OCRD_ANY, OCRD_OBJECT, OCRD_ARRAY, OCRD_STRING, OCRD_INTEGER, OCRD_NUMBER, OCRD_BOOLEAN,
};

enum {
	OCRD_NULLABLE		= 1,
	OCRD_PRESERVE		= 2,	/* x-kubernetes-preserve-unknown-fields */
	OCRD_EMBEDDED		= 4,	/* x-kubernetes-embedded-resource */
	OCRD_INT_OR_STRING	= 8,
	OCRD_ANY_EXTRA		= 16,	/* additionalProperties: true */
	OCRD_MAP_ATOMIC		= 32,	/* x-kubernetes-map-type: atomic */
	OCRD_HAS_DEFAULTS	= 64,	/* here or below */
	OCRD_LIST_SET		= 128,
	OCRD_LIST_MAP		= 256,
	OCRD_HAS_RULES		= 512,	/* CEL rules, here or below: not evaluated */
};

struct ocrd_node;
struct ocrd_re;

struct ocrd_prop {
	const char	*name;
	const struct ocrd_node *node;
};

#define OCRD_NO_COUNT	INT64_MIN

/* Numbers that are not given: NaN, OCRD_NO_COUNT. */
struct ocrd_rules {
	double		min, max, multiple;
	int64_t		min_len, max_len, min_items, max_items, min_props, max_props;
	bool		excl_min, excl_max;
	const char	*pattern;
	const struct ocrd_re *re;	/* NULL: a pattern that we cannot read holds always */
	const char	*format;
	const char	*const *enums;	/* JSON texts, plain */
	uint32_t	n_enums;
	uint32_t	n_required;
	const char	*const *required;
	const struct ocrd_node *const *all_of, *const *any_of, *const *one_of;
	const struct ocrd_node *not_of;
	uint16_t	n_all, n_any, n_one;
};

struct ocrd_node {
	uint8_t		type;
	uint8_t		n_keys;
	uint16_t	flags;
	uint32_t	n_props;
	const struct ocrd_prop *props;		/* sorted by name */
	const struct ocrd_node *items;
	const struct ocrd_node *extra;		/* additionalProperties as a schema */
	const char	*const *keys;		/* of a LIST_MAP */
	const char	*def;			/* default, JSON text */
	const struct ocrd_rules *rules;		/* NULL: none */
};

/* node.c: compile a schema into @a. 0, -ENOMEM, -E2BIG (too deep). */
int ocrd_compile(struct oarena *a, const struct ojson *schema, const struct ocrd_node **ret);
const struct ocrd_node *ocrd_prop(const struct ocrd_node *n, const char *name, size_t len);

/*
 * ocrd_take - a new tree of @in as @n has it: unknown members dropped (and told to @unknown unless
 * NULL), nulls that may not be dropped, defaults filled in, members sorted. @path is its name in
 * messages, "" at the root, whose apiVersion, kind and metadata are kept as they are.
 */
int ocrd_take(const struct ocrd_node *n, const struct ojson *in, bool root, const char *path,
	      struct oschema_texts *unknown, struct ojson **ret);
/* The same of a whole object, silently and without defaults. */
int ocrd_prune(const struct ocrd_node *n, const struct ojson *in, struct ojson **ret);

/* A finding: reason "FieldValueInvalid" …, field path, message without the path. */
typedef void (*ocrd_report_fn)(void *arg, const char *reason, const char *field, const char *message);

/* Everything wrong with @v; what is as it was in @old (NULL: nothing was) is not looked at again. */
int ocrd_check(const struct ocrd_node *n, const struct ojson *v, const struct ojson *old,
	       ocrd_report_fn fn, void *arg);

/* format.c: does text have the format? Unknown formats: yes. */
bool ocrd_format(const char *format, struct orlop_bytes text);
bool ocrd_format_number(const char *format, const struct ojson *v);

/* re.c: Go's regular expressions (RE2 syntax), matched in linear time. */
int ocrd_re_compile(struct oarena *a, const char *pattern, const struct ocrd_re **ret);
bool ocrd_re_search(const struct ocrd_re *re, struct orlop_bytes text);
/*
 * The same within *@steps, from which is taken what it costs: at most the states of the pattern for each character.
 * 1: matches, 0: does not, -E2BIG: nobody knows, none are left.
 */
int ocrd_re_match(const struct ocrd_re *re, struct orlop_bytes text, uint64_t *steps);

/* ---- a whole definition ---- */

struct ocrd_version {
	const char	*name;
	const struct ocrd_node *root;
	const char	*warning;	/* of a deprecated version; NULL */
	const char	*scale_spec;	/* ".spec.replicas", NULL: no scale */
	bool		served;
	bool		storage;
	bool		status;
};

struct ocrd {
	struct oschema	schema;		/* resources: the versions that are served, and the stored one */
	struct oarena	arena;
	struct ocrd_version *versions;	/* parallel to schema.resources */
	const char	*webhook;	/* spec.conversion of strategy Webhook as JSON text; NULL: None */
};

/* @builtin lends the types of metadata and Scale; @crd is the definition as stored. @docs: with what OpenAPI needs. */
int ocrd_new(const struct oschema *builtin, const struct ojson *crd, bool docs, struct ocrd **ret);
void ocrd_free(struct ocrd *o);		/* accepts NULL */
size_t ocrd_bytes(const struct ocrd *o);	/* memory that it takes */

/*
 * merge.c: everything that is served, for discovery: resources and groups of @builtin and of definitions
 * that were added; their types are not in it. The set lives as long as the struct.
 */
struct ocrd_merge;
struct ocrd_merge *ocrd_merge_new(const struct oschema *builtin);
void ocrd_merge_add(struct ocrd_merge *m, const struct ojson *crd);
/* A group version that another server has: @list is its APIResourceList (NULL: nobody knows). @fresh: it is there now. */
void ocrd_merge_list(struct ocrd_merge *m, const char *group, const char *version, uint16_t group_priority,
		     uint16_t version_priority, const struct ojson *list, bool fresh);
const struct oschema *ocrd_merge_end(struct ocrd_merge *m);	/* NULL: no memory */
void ocrd_merge_free(struct ocrd_merge *m);

/*
 * openapi.c: an OpenAPI v3 document of what definitions serve in one group version. Zero it, add them one by
 * one (0, -ENOENT: not served, -ENOMEM), end it into a buffer. @server is the server's version. With @v2: paths and
 * schemas to be added to the one document of v2; end it with no buffer.
 */
struct ocrd_doc {
	bool		v2;
	struct obuf	paths;
	struct obuf	schemas;
	struct omap	seen;		/* schemas that are in it */
};

int ocrd_doc_add(struct ocrd_doc *d, const struct oschema *builtin, const struct ojson *crd, const char *version,
		 const char *server);
void ocrd_doc_end(struct ocrd_doc *d, const char *server, struct obuf *out);	/* nothing if nothing was added */
void ocrd_schema_v2(struct ojson *schema);	/* openapi-v2.c: a schema without what OpenAPI v2 cannot say */

/*
 * define.c: is the definition itself valid (upstream's ValidateCustomResourceDefinition)? @old NULL: create.
 * Findings beyond the type's own rules; warnings (CEL rules that are not evaluated) through @warn.
 */
int ocrd_validate(const struct ojson *crd, const struct ojson *old, ocrd_report_fn fn,
		  void (*warn)(void *arg, const char *text), void *arg);

/* The same of what a write of its status alone may change. */
void ocrd_validate_status(const struct ojson *crd, ocrd_report_fn fn, void *arg);

/* structural.c: findings about the schema of a version at @path; @status: the objects have a subresource for it. */
void ocrd_structural(const struct ojson *schema, const char *path, bool status, ocrd_report_fn fn,
		     void (*warn)(void *arg, const char *text), void *arg);

#endif
