/* JSON Patch, RFC 6902, with the error texts of the library that kube-apiserver uses. */
#include "patch/opatch.h"

#include "base/ocleanup.h"
#include "base/ostr.h"

#include <errno.h>
#include <orlop/inline/error.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 120
#define NODES_MAX 1000000u	/* that all operations of a patch may look through */

struct op {
	const char		*name;
	struct orlop_bytes	path;
	struct orlop_bytes	from;
	struct ojson		*value;
};

struct state {
	struct ojson		**doc;
	size_t			copied_bytes;
	size_t			nodes;
	struct orlop_error	*err;
};

/*
 * Upstream hides the reason behind a general sentence; the reason itself goes into a cause, where
 * kubectl shows it.
 */
static int not_applicable(struct state *s, const char *why, struct orlop_bytes path,
			  const char *tail)
{
	char text[TEXT_MAX * 2];

	(void)snprintf(text, sizeof(text), "%s%.*s%s", why,
		       (int)(path.len < TEXT_MAX ? path.len : TEXT_MAX), path.p != NULL ? path.p : "",
		       tail);
	orlop_error_cause(s->err, "UnexpectedServerResponse", text, "");
	return orlop_fail(s->err, EINVAL, 422, "Invalid",
			  "the server rejected our request due to an error in our request");
}

/*
 * One reference token of a JSON pointer, unescaped into @b: *p moves behind it. The pointer is known
 * to begin with '/'.
 */
static int next_token(const char **p, const char *end, struct obuf *b)
{
	obuf_reset(b);
	for ((*p)++; *p < end && **p != '/'; (*p)++) {
		if (**p == '~' && *p + 1 < end && ((*p)[1] == '0' || (*p)[1] == '1')) {
			(*p)++;
			obuf_putc(b, **p == '0' ? '~' : '/');
		} else {
			obuf_putc(b, **p);
		}
	}
	obuf_append(b, "", 0);
	return obuf_err(b);
}

/*
 * Index of an array from its token: *ret in 0 … n - 1, or also n with @add ("-" is n). Negative
 * numbers count from the end.
 */
static int array_index(const struct obuf *token, size_t n, bool add, size_t *ret)
{
	int64_t limit = (int64_t)n + (add ? 1 : 0);
	int64_t i;

	if (add && ostr_is(obuf_cstr(token), token->len, "-")) {
		*ret = n;
		return 0;
	}
	if (ostr_to_i64(obuf_cstr(token), token->len, &i) < 0)
		return -EINVAL;
	if (i < 0)
		i += limit;
	if (i < 0 || i >= limit)
		return -ERANGE;
	*ret = (size_t)i;
	return 0;
}

/* Child of @j by token: true, and its value (NULL for null) in @ret. */
static bool child(struct ojson *j, const struct obuf *token, struct ojson **ret)
{
	size_t i;

	if (ojson_is(j, OJSON_OBJECT))
		return ojson_lookup_n(j, obuf_cstr(token), token->len, ret);
	if (!ojson_is(j, OJSON_ARRAY) || array_index(token, ojson_count(j), false, &i) < 0)
		return false;
	*ret = ojson_index(j, i);
	return true;
}

/*
 * Walks to the container of what @path names and leaves the last token in @token. NULL: there is
 * no such container.
 */
static struct ojson *container(struct state *s, struct orlop_bytes path, struct obuf *token)
{
	const char *p = path.p;
	const char *end = path.p + path.len;
	struct ojson *j = *s->doc;

	if (path.len == 0 || *p != '/')
		return NULL;
	while (next_token(&p, end, token) == 0) {
		if (p == end)
			return ojson_is(j, OJSON_OBJECT) || ojson_is(j, OJSON_ARRAY) ? j : NULL;
		if (!child(j, token, &j))
			return NULL;
	}
	return NULL;
}

/* The value at @path; false if there is none. */
static bool find(struct state *s, struct orlop_bytes path, struct ojson **ret)
{
	cleanup_obuf struct obuf token = OBUF_INIT;
	struct ojson *j;

	if (path.len == 0) {
		*ret = *s->doc;
		return true;
	}
	j = container(s, path, &token);
	return j != NULL && child(j, &token, ret);
}

static int memory(struct state *s)
{
	return orlop_fail(s->err, ENOMEM, 500, "InternalError", "out of memory");
}

/* Levels of @j, or more than @limit if that is exceeded; counts the nodes it sees. */
static unsigned int depth_of(struct state *s, const struct ojson *j, unsigned int limit)
{
	unsigned int deepest = 0;
	unsigned int d;

	if (++s->nodes > NODES_MAX)
		return limit + 1;
	if (!ojson_is(j, OJSON_OBJECT) && !ojson_is(j, OJSON_ARRAY))
		return 0;
	if (limit == 0)
		return 1;
	OJSON_FOREACH(it, j) {
		d = depth_of(s, it.value, limit - 1);
		deepest = d > deepest ? d : deepest;
	}
	OJSON_FOREACH_ELEM(i, e, ojson_is(j, OJSON_ARRAY) ? j : NULL) {
		d = depth_of(s, e, limit - 1);
		deepest = d > deepest ? d : deepest;
	}
	return deepest + 1;
}

/*
 * Would @value fit at @path? Moves can stack without making the patch long; trees are freed
 * recursively, so they stay as deep as a text may be.
 */
static int check_depth(struct state *s, struct orlop_bytes path, const struct ojson *value)
{
	unsigned int at = 0;

	for (size_t i = 0; i < path.len && at <= OSCAN_DEPTH_MAX; i++)
		at += path.p[i] == '/';
	if (at <= OSCAN_DEPTH_MAX && depth_of(s, value, OSCAN_DEPTH_MAX - at) <= OSCAN_DEPTH_MAX - at)
		return 0;
	return not_applicable(s, s->nodes > NODES_MAX ? "the patch moves too much: " :
							"exceeded max depth: ", path, "");
}

/* Also the second half of move and copy: @name is the operation for the message. */
static int do_add(struct state *s, const char *name, struct orlop_bytes path,
		  struct ojson *take_value)
{
	cleanup_obuf struct obuf token = OBUF_INIT;
	cleanup_ojson struct ojson *value = take_value;
	struct ojson *j;
	char why[64];
	size_t i;
	int r;

	(void)snprintf(why, sizeof(why), "%s operation does not apply: doc is missing path: \"", name);
	r = check_depth(s, path, value);
	if (r < 0)
		return r;
	if (path.len == 0) {
		ojson_unref(*s->doc);
		*s->doc = TAKE(value);
		return 0;
	}
	j = container(s, path, &token);
	if (obuf_err(&token) < 0)
		return memory(s);
	if (j == NULL)
		return not_applicable(s, why, path, "\": missing value");
	if (ojson_is(j, OJSON_OBJECT)) {
		r = ojson_put_n(j, obuf_cstr(&token), token.len, TAKE(value));
		return r == -ENOMEM ? memory(s) : r < 0 ? not_applicable(s, why, path, "\"") : 0;
	}
	r = array_index(&token, ojson_count(j), true, &i);
	if (r < 0)
		return not_applicable(s, "error in add for path: '", path,
				      r == -ERANGE ? "': Unable to access invalid index: invalid index referenced" :
						     "': value was not a proper array index");
	return ojson_insert(j, i, TAKE(value)) < 0 ? memory(s) : 0;
}

static int do_remove(struct state *s, const char *name, struct orlop_bytes path)
{
	cleanup_obuf struct obuf token = OBUF_INIT;
	struct ojson *j = container(s, path, &token);
	struct ojson *old;
	char why[64];
	size_t i;

	(void)snprintf(why, sizeof(why), "%s operation does not apply: doc is missing path: \"", name);
	if (obuf_err(&token) < 0)
		return memory(s);
	if (j == NULL)
		return not_applicable(s, why, path, "\": missing value");
	if (!child(j, &token, &old))
		return not_applicable(s, "error in remove for path: '", path,
				      "': Unable to remove nonexistent key: missing value");
	if (ojson_is(j, OJSON_OBJECT)) {
		ojson_del_n(j, obuf_cstr(&token), token.len);
		return 0;
	}
	(void)array_index(&token, ojson_count(j), false, &i);
	return ojson_remove(j, i);
}

static int do_replace(struct state *s, const struct op *op)
{
	cleanup_obuf struct obuf token = OBUF_INIT;
	cleanup_ojson struct ojson *value = NULL;
	struct ojson *j;
	struct ojson *old;
	size_t i;
	int r;

	if (ojson_copy(op->value, &value) < 0)
		return memory(s);
	if (op->path.len == 0)
		return do_add(s, "replace", op->path, TAKE(value));
	r = check_depth(s, op->path, value);
	if (r < 0)
		return r;
	j = container(s, op->path, &token);
	if (obuf_err(&token) < 0)
		return memory(s);
	if (j == NULL)
		return not_applicable(s, "replace operation does not apply: doc is missing path: ", op->path,
				      ": missing value");
	if (!child(j, &token, &old))
		return not_applicable(s, "replace operation does not apply: doc is missing key: ", op->path,
				      ": missing value");
	if (ojson_is(j, OJSON_OBJECT))
		return ojson_put_n(j, obuf_cstr(&token), token.len, TAKE(value)) < 0 ? memory(s) : 0;
	(void)array_index(&token, ojson_count(j), false, &i);
	return ojson_replace(j, i, TAKE(value));
}

static bool is_prefix(struct orlop_bytes a, struct orlop_bytes b)
{
	return b.len > a.len && memcmp(a.p, b.p, a.len) == 0 && b.p[a.len] == '/';
}

static int do_move(struct state *s, const struct op *op)
{
	cleanup_ojson struct ojson *value = NULL;
	struct ojson *v;
	int r;

	if (!find(s, op->from, &v) || op->from.len == 0)
		return not_applicable(s, "error in move for path: '", op->from, "': missing value");
	if (is_prefix(op->from, op->path))
		return not_applicable(s, "error in move for path: '", op->path, "': moves into itself");
	value = ojson_ref(v);
	r = do_remove(s, "move", op->from);
	return r < 0 ? r : do_add(s, "move", op->path, TAKE(value));
}

static int do_copy(struct state *s, const struct op *op)
{
	cleanup_ojson struct ojson *value = NULL;
	cleanup_obuf struct obuf text = OBUF_INIT;
	struct ojson *v;

	if (!find(s, op->from, &v))
		return not_applicable(s, "error in copy for from: '", op->from, "': missing value");
	obuf_init_max(&text, OPATCH_JSON_COPY_MAX - s->copied_bytes);
	if (ojson_write(v, 0, &text) == -EFBIG) {
		char why[160];

		(void)snprintf(why, sizeof(why),
			       "Unable to complete the copy, the accumulated size increase of copy exceeds "
			       "the limit %u", OPATCH_JSON_COPY_MAX);
		return not_applicable(s, why, (struct orlop_bytes){ NULL, 0 }, "");
	}
	s->copied_bytes += text.len;
	if (obuf_err(&text) < 0 || ojson_copy(v, &value) < 0)
		return memory(s);
	return do_add(s, "copy", op->path, TAKE(value));
}

static int do_test(struct state *s, const struct op *op)
{
	struct ojson *v = NULL;

	/* an absent value passes as null, as upstream's library has it */
	if (find(s, op->path, &v) ? ojson_equal(v, op->value) : op->value == NULL)
		return 0;
	return not_applicable(s, "testing value ", op->path, " failed: test failed");
}

/* One operation's members; what is missing is told as the library tells it. */
static int read_op(struct state *s, const struct ojson *j, struct op *op)
{
	static const struct orlop_bytes none = { NULL, 0 };
	bool has_value = ojson_lookup(j, "value", &op->value);
	bool needs_from;

	op->name = ojson_get_cstr(j, "op", "unknown");
	op->path = ojson_get_bytes(j, "path");
	op->from = ojson_get_bytes(j, "from");
	needs_from = strcmp(op->name, "move") == 0 || strcmp(op->name, "copy") == 0;
	if (op->path.p == NULL)
		return not_applicable(s, op->name, none,
				      " operation failed to decode path: missing value");
	if (needs_from && op->from.p == NULL)
		return not_applicable(s, op->name, none,
				      " operation failed to decode from: missing value");
	if (!has_value && (strcmp(op->name, "add") == 0 || strcmp(op->name, "replace") == 0))
		return not_applicable(s, op->name, none, " operation has no value: missing value");
	return 0;
}

static int apply_op(struct state *s, const struct ojson *j)
{
	cleanup_ojson struct ojson *value = NULL;
	struct op op = { 0 };
	int r = read_op(s, j, &op);

	if (r < 0)
		return r;
	if (strcmp(op.name, "add") == 0) {
		if (ojson_copy(op.value, &value) < 0)
			return memory(s);
		return do_add(s, "add", op.path, TAKE(value));
	}
	if (strcmp(op.name, "remove") == 0)
		return do_remove(s, "remove", op.path);
	if (strcmp(op.name, "replace") == 0)
		return do_replace(s, &op);
	if (strcmp(op.name, "move") == 0)
		return do_move(s, &op);
	if (strcmp(op.name, "copy") == 0)
		return do_copy(s, &op);
	if (strcmp(op.name, "test") == 0)
		return do_test(s, &op);
	return not_applicable(s, "Unexpected kind: ", (struct orlop_bytes){ op.name, strlen(op.name) }, "");
}

int opatch_json(struct ojson **doc, const struct ojson *patch, struct orlop_error *err)
{
	struct state s = { .doc = doc, .err = err };
	size_t n = ojson_count(patch);
	int r = 0;

	if (!ojson_is(patch, OJSON_ARRAY))
		return orlop_fail(err, EINVAL, 400, "BadRequest",
				  "error decoding patch: json: cannot unmarshal %s into Go value of type "
				  "jsonpatch.Patch", ojson_type_name(patch));
	if (n > OPATCH_JSON_OPS_MAX)
		return orlop_fail(err, EFBIG, 413, "RequestEntityTooLarge",
				  "Request entity too large: The allowed maximum operations in a JSON patch is "
				  "%u, got %zu", OPATCH_JSON_OPS_MAX, n);
	for (size_t i = 0; i < n; i++)
		if (!ojson_is(ojson_index(patch, i), OJSON_OBJECT))
			return orlop_fail(err, EINVAL, 400, "BadRequest",
					  "error decoding patch: json: cannot unmarshal %s into Go value of type "
					  "jsonpatch.Operation", ojson_type_name(ojson_index(patch, i)));
	for (size_t i = 0; i < n && r == 0; i++)
		r = apply_op(&s, ojson_index(patch, i));
	return r;
}
