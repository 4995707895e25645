/*
 * From YAML to trees: libyaml's events, our composition.
 *
 * Anchors are kept as finished trees and copied where they are used, since a tree has one owner.
 * Copying is what an alias bomb is after, so it is counted: as in go-yaml, the nodes that come from
 * aliases may only be a share of all, which shrinks as the document grows. Texts are copied too, which
 * go-yaml does not do: so their bytes are counted as well.
 */
#include "yaml/oyaml.h"

#include "base/ocleanup.h"
#include "base/ostr.h"
#include "yaml/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX OSCAN_DEPTH_MAX
#define ALIAS_FREE 100u			/* go-yaml looks at the share only beyond this many nodes */
#define NODES_LOW 400000.0
#define NODES_HIGH 4000000.0
#define ALIAS_BYTES_MAX (16u << 20)	/* of texts that come from aliases */

struct anchor {
	struct ojson	*tree;
	size_t		nodes;
	size_t		bytes;		/* of texts and keys */
	bool		open;		/* still being read: an alias to it would be a cycle */
};

struct oyaml {
	yaml_parser_t		parser;
	struct omap		anchors;	/* of the current document: struct anchor */
	size_t			nodes;		/* all made for the current document */
	size_t			alias_nodes;	/* of them, by aliases */
	size_t			alias_bytes;
	unsigned int		depth;
	bool			started;
	bool			ended;
	struct oyaml_error	*err;
	struct oyaml_error	*twice;		/* NULL: a key that is set twice is an error */
};

__attribute__((format(printf, 3, 0)))
static void tell(struct oyaml_error *err, size_t line, const char *fmt, va_list ap)
{
	int n;

	err->line = line;
	n = snprintf(err->msg, sizeof(err->msg), line > 0 ? "yaml: line %zu: " : "yaml: ", line);
	(void)vsnprintf(err->msg + n, sizeof(err->msg) - (size_t)n, fmt, ap);
}

__attribute__((format(printf, 3, 4)))
static int fail(struct oyaml *y, size_t line, const char *fmt, ...)
{
	va_list ap;

	if (y->err == NULL)
		return -EINVAL;
	va_start(ap, fmt);
	tell(y->err, line, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* A key is there a second time: an error, or something to tell. */
__attribute__((format(printf, 3, 4)))
static int doubled(struct oyaml *y, size_t line, const char *fmt, ...)
{
	struct oyaml_error *e = y->twice != NULL ? y->twice : y->err;
	va_list ap;

	if (e != NULL && (y->twice == NULL || e->msg[0] == '\0')) {
		va_start(ap, fmt);
		tell(e, line, fmt, ap);
		va_end(ap);
	}
	return y->twice != NULL ? 0 : -EINVAL;
}

static void anchor_free(void *p)
{
	struct anchor *a = p;

	ojson_unref(a->tree);
	omem_free(a);
}

int oyaml_open(const char *p, size_t len, struct oyaml **ret)
{
	struct oyaml *y = OMEM_NEW(struct oyaml);

	if (y == NULL)
		return -ENOMEM;
	if (!yaml_parser_initialize(&y->parser)) {
		omem_free(y);
		return -ENOMEM;
	}
	yaml_parser_set_input_string(&y->parser, (const unsigned char *)p, len);
	omap_init(&y->anchors);
	*ret = y;
	return 0;
}

void oyaml_close(struct oyaml *y)
{
	if (y == NULL)
		return;
	omap_done_with(&y->anchors, anchor_free);
	yaml_parser_delete(&y->parser);
	omem_free(y);
}

static void event_cleanup(yaml_event_t *e)
{
	yaml_event_delete(e);
}
#define cleanup_event __attribute__((cleanup(event_cleanup)))

static size_t line_of(const yaml_event_t *e)
{
	return e->start_mark.line + 1;
}

static int next_event(struct oyaml *y, yaml_event_t *e)
{
	const yaml_parser_t *p = &y->parser;
	size_t line;

	memset(e, 0, sizeof(*e));
	if (yaml_parser_parse(&y->parser, e))
		return 0;
	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (p->error == YAML_READER_ERROR)
		return fail(y, 0, "%s", p->problem != NULL ? p->problem : "cannot be read");
	/* go-yaml's way of counting: from 1 only what the scanner says, and the first line has no number */
	line = p->problem_mark.line;
	if (line > 0 && p->error == YAML_SCANNER_ERROR)
		line++;
	else if (line == 0)
		line = p->context_mark.line;
	return fail(y, line, "%s", p->problem != NULL ? p->problem : "is broken");
}

/* The share of nodes that aliases may make, by how many there are. */
static bool too_many_aliases(const struct oyaml *y)
{
	double all = (double)y->nodes;
	double share = 0.99;

	if (y->alias_bytes > ALIAS_BYTES_MAX)
		return true;
	if (y->alias_nodes <= ALIAS_FREE || y->nodes <= 1000)
		return false;
	if (all >= NODES_HIGH)
		share = 0.10;
	else if (all > NODES_LOW)
		share = 0.99 - 0.89 * (all - NODES_LOW) / (NODES_HIGH - NODES_LOW);
	return (double)y->alias_nodes / all > share;
}

static void count(const struct ojson *j, struct anchor *a)
{
	a->nodes++;
	a->bytes += ojson_bytes(j).len;
	OJSON_FOREACH(it, j) {
		a->bytes += it.key_len;
		count(it.value, a);
	}
	for (size_t i = 0; ojson_is(j, OJSON_ARRAY) && i < ojson_count(j); i++)
		count(ojson_index(j, i), a);
}

static int remember(struct oyaml *y, const yaml_char_t *name, struct ojson *tree, bool open)
{
	struct anchor *a;
	void *old = NULL;

	if (name == NULL)
		return 0;
	a = OMEM_NEW(struct anchor);
	if (a == NULL)
		return -ENOMEM;
	a->open = open;
	a->tree = ojson_ref(tree);
	if (!open)
		count(tree, a);
	if (omap_put(&y->anchors, name, strlen((const char *)name), a, &old) < 0) {
		anchor_free(a);
		return -ENOMEM;
	}
	if (old != NULL)
		anchor_free(old);
	return 0;
}

static int depth_of(const struct ojson *j)
{
	int deepest = 0;

	OJSON_FOREACH(it, j) {
		int d = depth_of(it.value);

		deepest = d > deepest ? d : deepest;
	}
	for (size_t i = 0; ojson_is(j, OJSON_ARRAY) && i < ojson_count(j); i++) {
		int d = depth_of(ojson_index(j, i));

		deepest = d > deepest ? d : deepest;
	}
	return ojson_is(j, OJSON_OBJECT) || ojson_is(j, OJSON_ARRAY) ? deepest + 1 : 0;
}

static int use_alias(struct oyaml *y, const yaml_event_t *e, struct ojson **ret)
{
	const char *name = (const char *)e->data.alias.anchor;
	const struct anchor *a = omap_get(&y->anchors, name, strlen(name));

	if (a == NULL)
		return fail(y, 0, "unknown anchor '%.40s' referenced", name);
	if (a->open)
		return fail(y, 0, "anchor '%.40s' value contains itself", name);
	y->nodes += a->nodes;
	y->alias_nodes += a->nodes;
	y->alias_bytes += a->bytes;
	if (too_many_aliases(y)) {
		(void)fail(y, 0, "document contains excessive aliasing");
		return -E2BIG;
	}
	return ojson_copy(a->tree, ret);
}

static bool is_tag(const yaml_char_t *tag, const char *name)
{
	static const char prefix[] = "tag:yaml.org,2002:";

	return tag != NULL && strncmp((const char *)tag, prefix, sizeof(prefix) - 1) == 0 &&
	       strcmp((const char *)tag + sizeof(prefix) - 1, name) == 0;
}

static int scalar(struct oyaml *y, const yaml_event_t *e, struct ojson **ret)
{
	const char *p = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length;
	struct oyaml_scalar s = { .kind = OYAML_STRING };
	const yaml_char_t *tag = e->data.scalar.tag;
	bool typed = is_tag(tag, "int") || is_tag(tag, "float") || is_tag(tag, "bool") || is_tag(tag, "null");

	if (is_tag(tag, "binary"))
		return fail(y, line_of(e), "!!binary is not supported");
	if (typed || (tag == NULL && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE))
		s = oyaml_resolve(p, len);
	if (is_tag(tag, "float") && s.kind == OYAML_INT) {
		s.kind = OYAML_FLOAT;
		s.d = (double)s.i;
	}
	switch (s.kind) {
	case OYAML_NULL:
		*ret = NULL;
		return 0;
	case OYAML_BOOL:
		*ret = ojson_new_bool(s.truth);
		break;
	case OYAML_INT:
		*ret = ojson_new_i64(s.i);
		break;
	case OYAML_FLOAT:
		*ret = ojson_new_double(s.d);
		break;
	case OYAML_NO_JSON:
		return fail(y, line_of(e), "%.40s has no value in JSON", p);
	case OYAML_STRING:
		*ret = ojson_new_string(p, len);
		break;
	}
	return *ret != NULL ? 0 : -ENOMEM;
}

static int node(struct oyaml *y, const yaml_event_t *e, struct ojson **ret);

static int sequence(struct oyaml *y, struct ojson **ret)
{
	cleanup_ojson struct ojson *arr = ojson_new_array();

	if (arr == NULL)
		return -ENOMEM;
	for (;;) {
		cleanup_event yaml_event_t e;
		struct ojson *v = NULL;
		int r = next_event(y, &e);

		if (r < 0)
			return r;
		if (e.type == YAML_SEQUENCE_END_EVENT)
			break;
		r = node(y, &e, &v);
		if (r == 0)
			r = v != NULL ? ojson_append(arr, v) : ojson_append_null(arr);
		if (r < 0)
			return r;
	}
	*ret = TAKE(arr);
	return 0;
}

/* `<<: *base` or `<<: [*a, *b]`: members that the mapping does not have itself; earlier ones win. */
static int merge_into(struct oyaml *y, struct ojson *obj, const struct ojson *from, size_t line)
{
	struct ojson *v;
	int r;

	if (ojson_is(from, OJSON_ARRAY)) {
		OJSON_FOREACH_ELEM(i, e, from) {
			if (!ojson_is(e, OJSON_OBJECT))
				return fail(y, line, "map merge requires map or sequence of maps as the value");
			r = merge_into(y, obj, e, line);
			if (r < 0)
				return r;
		}
		return 0;
	}
	if (!ojson_is(from, OJSON_OBJECT))
		return fail(y, line, "map merge requires map or sequence of maps as the value");
	OJSON_FOREACH(it, from) {
		if (ojson_has(obj, it.key))
			continue;
		r = ojson_copy(it.value, &v);
		if (r == 0)
			r = ojson_put(obj, it.key, v);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A key as JSON text: strings as they are, numbers and booleans as Go prints them. */
static int key_text(struct oyaml *y, const yaml_event_t *e, struct obuf *b)
{
	cleanup_ojson struct ojson *k = NULL;
	struct orlop_bytes s;
	int r = node(y, e, &k);

	if (r < 0)
		return r;
	s = ojson_bytes(k);
	if (s.p != NULL)
		obuf_append(b, s.p, s.len);
	else if (k == NULL || ojson_is(k, OJSON_OBJECT) || ojson_is(k, OJSON_ARRAY))
		return fail(y, line_of(e), "unsupported map key of type: %s", ojson_type_name(k));
	else
		(void)ojson_write(k, 0, b);
	/* so that an empty key is a text too */
	obuf_append(b, "", 0);
	return obuf_err(b);
}

static bool is_merge_key(const yaml_event_t *e)
{
	return e->type == YAML_SCALAR_EVENT && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       ostr_is((const char *)e->data.scalar.value, e->data.scalar.length, "<<") &&
	       (e->data.scalar.tag == NULL || is_tag(e->data.scalar.tag, "merge"));
}

/* One key with its value. */
static int member(struct oyaml *y, const yaml_event_t *e, struct ojson *obj, struct ojson **merges)
{
	cleanup_event yaml_event_t value = { 0 };
	cleanup_obuf struct obuf key = OBUF_INIT;
	bool merge = is_merge_key(e);
	struct ojson *v = NULL;
	int r = merge ? 0 : key_text(y, e, &key);

	if (r == 0)
		r = next_event(y, &value);
	if (r < 0)
		return r;
	/* before the value is read, so that the complaint comes with the right line */
	if (!merge && ojson_lookup_n(obj, obuf_cstr(&key), key.len, NULL))
		r = doubled(y, line_of(e), "key \"%.60s\" already set in map", obuf_cstr(&key));
	if (r < 0)
		return r;
	r = node(y, &value, &v);
	if (r < 0)
		return r;
	if (!merge) {
		r = ojson_put_n(obj, obuf_cstr(&key), key.len, v);
		return r == -EINVAL ? fail(y, line_of(e), "a key contains NUL") : r;
	}
	if (*merges == NULL)
		*merges = ojson_new_array();
	if (*merges == NULL) {
		ojson_unref(v);
		return -ENOMEM;
	}
	return v != NULL ? ojson_append(*merges, v) : ojson_append_null(*merges);
}

static int mapping(struct oyaml *y, size_t line, struct ojson **ret)
{
	cleanup_ojson struct ojson *obj = ojson_new_object();
	cleanup_ojson struct ojson *merges = NULL;
	int r = 0;

	if (obj == NULL)
		return -ENOMEM;
	for (;;) {
		cleanup_event yaml_event_t e;

		r = next_event(y, &e);
		if (r < 0)
			return r;
		if (e.type == YAML_MAPPING_END_EVENT)
			break;
		r = member(y, &e, obj, &merges);
		if (r < 0)
			return r;
	}
	OJSON_FOREACH_ELEM(i, m, merges) {
		r = merge_into(y, obj, m, line);
		if (r < 0)
			return r;
	}
	*ret = TAKE(obj);
	return 0;
}

/* A sequence or mapping that may be anchored. */
static int collection(struct oyaml *y, const yaml_event_t *e, struct ojson **ret)
{
	bool map = e->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *name = map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor;
	int r;

	if (y->depth == DEPTH_MAX) {
		(void)fail(y, line_of(e), "exceeded max depth of %u", DEPTH_MAX);
		return -ELOOP;
	}
	r = remember(y, name, NULL, true);
	if (r < 0)
		return r;
	y->depth++;
	r = map ? mapping(y, line_of(e), ret) : sequence(y, ret);
	y->depth--;
	if (r == 0)
		r = remember(y, name, *ret, false);
	if (r < 0) {
		ojson_unref(*ret);
		*ret = NULL;
	}
	return r;
}

static int node(struct oyaml *y, const yaml_event_t *e, struct ojson **ret)
{
	int r;

	*ret = NULL;
	y->nodes++;
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		r = use_alias(y, e, ret);
		if (r == 0 && y->depth + (unsigned int)depth_of(*ret) > DEPTH_MAX) {
			(void)fail(y, line_of(e), "exceeded max depth of %u", DEPTH_MAX);
			r = -ELOOP;
		}
		break;
	case YAML_SCALAR_EVENT:
		r = scalar(y, e, ret);
		if (r == 0)
			r = remember(y, e->data.scalar.anchor, *ret, false);
		break;
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return collection(y, e, ret);
	default:
		return fail(y, line_of(e), "unexpected end of document");
	}
	if (r < 0) {
		ojson_unref(*ret);
		*ret = NULL;
	}
	return r;
}

/* 1 before a document, 0 at the end of the stream. */
static int find_document(struct oyaml *y)
{
	while (!y->ended) {
		cleanup_event yaml_event_t e;
		int r = next_event(y, &e);

		if (r < 0)
			return r;
		if (e.type == YAML_DOCUMENT_START_EVENT)
			return 1;
		y->ended = e.type == YAML_STREAM_END_EVENT || e.type == YAML_NO_EVENT;
	}
	return 0;
}

int oyaml_next(struct oyaml *y, struct ojson **ret, struct oyaml_error *err)
{
	cleanup_ojson struct ojson *j = NULL;
	int r;

	y->err = err;
	if (err != NULL)
		*err = (struct oyaml_error){ 0, "" };
	omap_done_with(&y->anchors, anchor_free);
	y->nodes = 0;
	y->alias_nodes = 0;
	y->alias_bytes = 0;
	r = find_document(y);
	if (r > 0) {
		cleanup_event yaml_event_t e;

		r = next_event(y, &e);
		if (r == 0)
			r = node(y, &e, &j);
		if (r == 0)
			r = 1;
	}
	/* after an error the parser has no way on */
	y->ended = y->ended || r < 0;
	if (r > 0)
		*ret = TAKE(j);
	return r;
}

int oyaml_parse_last(const char *p, size_t len, struct ojson **ret, struct oyaml_error *ret_twice,
		     struct oyaml_error *err)
{
	struct oyaml *y;
	int r = oyaml_open(p, len, &y);

	if (r < 0)
		return r;
	if (ret_twice != NULL)
		*ret_twice = (struct oyaml_error){ 0, "" };
	y->twice = ret_twice;
	r = oyaml_next(y, ret, err);
	if (r == 0)
		*ret = NULL;
	oyaml_close(y);
	return r < 0 ? r : 0;
}

int oyaml_parse(const char *p, size_t len, struct ojson **ret, struct oyaml_error *err)
{
	return oyaml_parse_last(p, len, ret, NULL, err);
}
