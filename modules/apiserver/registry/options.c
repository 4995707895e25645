/* options.c - what a query string (and DELETE's body) asks for, and whether it may. */
#include "options.h"
#include "op.h"

#include "base/outf8.h"
#include "json/oscan.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* As upstream's conversion of a query: all but two words are yes, none is, too. */
static bool is_yes(struct orlop_bytes v)
{
	return !rb_is(v, "0") && !(v.len == 5 && strncasecmp(v.p, "false", 5) == 0);
}

const char *reg_quoted(struct oarena *a, struct orlop_bytes v)
{
	struct obuf b = OBUF_INIT;
	const char *text;

	obuf_put_quoted(&b, v.p, v.len);
	text = obuf_err(&b) ? NULL : oarena_strndup(a, obuf_cstr(&b), b.len);
	obuf_done(&b);
	return text ? text : "\"\"";
}

static int number(struct reg_op *op, struct orlop_bytes v, int64_t *ret)
{
	int r = ostr_to_i64(v.p, v.len, ret);

	return r ? reg_bad_request(op, "strconv.ParseInt: parsing %s: %s", reg_quoted(&op->arena, v),
				   r == -ERANGE ? "value out of range" : "invalid syntax") : 0;
}

static const char *options_kind(enum reg_verb verb)
{
	switch (verb) {
	case REG_CREATE:
		return "CreateOptions.meta.k8s.io";
	case REG_UPDATE:
		return "UpdateOptions.meta.k8s.io";
	case REG_PATCH:
		return "PatchOptions.meta.k8s.io";
	case REG_DELETE:
	case REG_DELETECOLLECTION:
		return "DeleteOptions.meta.k8s.io";
	default:
		return "ListOptions.meta.k8s.io";
	}
}

static bool is_delete(enum reg_verb v)
{
	return v == REG_DELETE || v == REG_DELETECOLLECTION;
}

/* Options by the type that has them. */
enum {
	OF_ALL	= 1,	/* of the answer, whatever is asked */
	OF_GET	= 2,
	OF_LIST	= 4,
	OF_WRITE = 8,
	OF_PATCH = 16,
	OF_DELETE = 32,
};

enum option {
	PRETTY, INCLUDE, RV, RV_MATCH, LABELS, FIELDS, CONTINUE, LIMIT, TIMEOUT, BOOKMARKS, INITIAL,
	DRY_RUN, MANAGER, VALIDATION, FORCE, GRACE, ORPHAN, PROPAGATION, UID, N_OPTIONS,
};

static const struct {
	const char	*name;
	unsigned int	of;
} options[N_OPTIONS] = {
	[PRETTY]	= { "pretty", OF_ALL },
	[INCLUDE]	= { "includeObject", OF_ALL },
	[RV]		= { "resourceVersion", OF_GET | OF_LIST | OF_DELETE },
	[RV_MATCH]	= { "resourceVersionMatch", OF_LIST },
	[LABELS]	= { "labelSelector", OF_LIST },
	[FIELDS]	= { "fieldSelector", OF_LIST },
	[CONTINUE]	= { "continue", OF_LIST },
	[LIMIT]		= { "limit", OF_LIST },
	[TIMEOUT]	= { "timeoutSeconds", OF_LIST },
	[BOOKMARKS]	= { "allowWatchBookmarks", OF_LIST },
	[INITIAL]	= { "sendInitialEvents", OF_LIST },
	[DRY_RUN]	= { "dryRun", OF_WRITE | OF_DELETE },
	[MANAGER]	= { "fieldManager", OF_WRITE },
	[VALIDATION]	= { "fieldValidation", OF_WRITE },
	[FORCE]		= { "force", OF_PATCH },
	[GRACE]		= { "gracePeriodSeconds", OF_DELETE },
	[ORPHAN]	= { "orphanDependents", OF_DELETE },
	[PROPAGATION]	= { "propagationPolicy", OF_DELETE },
	[UID]		= { "uid", OF_DELETE },
};

/* What a query may be about. Of a body the query says nothing about how to delete. */
static unsigned int asked_of(const struct reg_op *op)
{
	unsigned int of_delete = op->rq.body.len ? 0 : OF_DELETE;

	switch (op->rq.verb) {
	case REG_GET:
		return OF_ALL | OF_GET;
	case REG_LIST:
	case REG_WATCH:
		return OF_ALL | OF_LIST;
	case REG_DELETE:
		return OF_ALL | of_delete;
	case REG_DELETECOLLECTION:
		return OF_ALL | OF_LIST | of_delete;
	case REG_PATCH:
		return OF_ALL | OF_WRITE | OF_PATCH;
	default:
		return OF_ALL | OF_WRITE;
	}
}

/* What was said, as it was said, until all of it is known. */
struct said {
	uint32_t	seen;		/* bits of enum option: the first of each counts, but for dryRun */
	struct orlop_bytes match;
	struct orlop_bytes policy;
	struct orlop_bytes validation;
	struct obuf	dry_run;	/* elements of a JSON array */
	bool		dry_run_odd;
};

static bool has(const struct said *s, enum option o)
{
	return s->seen >> o & 1;
}

static int take_version(struct reg_op *op, struct orlop_bytes v)
{
	struct reg_opts *o = &op->opt;
	int r;

	if (op->rq.verb == REG_DELETE) {
		o->pre_rv = v;
		return 0;
	}
	o->rv = v;
	o->has_rv = v.len > 0;
	r = o->has_rv ? ostr_to_u64(v.p, v.len, &o->rv_n) : 0;
	return r ? reg_bad_request(op, "invalid resource version: resourceVersion: Invalid value: %s: strconv.ParseUint: parsing %s: %s",
				   reg_quoted(&op->arena, v), reg_quoted(&op->arena, v), r == -ERANGE ? "value out of range" : "invalid syntax") : 0;
}

static int take_include(struct reg_op *op, struct orlop_bytes v)
{
	if (op->rq.form != REG_FORM_TABLE)
		return 0;
	if (v.len == 0 || rb_is(v, "Metadata"))
		op->opt.include = REG_INCLUDE_METADATA;
	else if (rb_is(v, "None"))
		op->opt.include = REG_INCLUDE_NONE;
	else if (rb_is(v, "Object"))
		op->opt.include = REG_INCLUDE_OBJECT;
	else
		return reg_bad_request(op, "unrecognized includeObject value: %s", reg_quoted(&op->arena, v));
	return 0;
}

static int take(struct reg_op *op, struct said *s, enum option which, struct orlop_bytes v)
{
	struct reg_opts *o = &op->opt;
	int64_t n = 0;
	int r = 0;

	switch (which) {
	case PRETTY:
		o->pretty = is_yes(v);
		break;
	case INCLUDE:
		return take_include(op, v);
	case RV:
		return take_version(op, v);
	case RV_MATCH:
		s->match = v;
		break;
	case LABELS:
		o->labels = v;
		break;
	case FIELDS:		/* the first, as authorization sees it */
		o->fields = v;
		break;
	case CONTINUE:
		o->cont = v;
		break;
	case LIMIT:
		r = number(op, v, &n);
		o->limit = n > 0 ? (uint64_t)n : 0;
		break;
	case TIMEOUT:
		r = number(op, v, &n);
		o->timeout_s = n > 0 ? (uint64_t)n : 0;
		break;
	case BOOKMARKS:
		o->bookmarks = is_yes(v);
		break;
	case INITIAL:
		o->initial = is_yes(v);
		o->has_initial = true;
		break;
	case DRY_RUN:
		obuf_printf(&s->dry_run, "%s%s", s->dry_run.len ? "," : "", reg_quoted(&op->arena, v));
		s->dry_run_odd = s->dry_run_odd || !rb_is(v, "All");
		o->dry_run = true;
		break;
	case MANAGER:
		o->manager = v;
		break;
	case VALIDATION:
		s->validation = v;
		break;
	case FORCE:
		o->force = is_yes(v);
		o->has_force = true;
		break;
	case GRACE:
		o->has_grace = true;
		return number(op, v, &o->grace_s);
	case ORPHAN:
		o->orphan = is_yes(v);
		o->has_orphan = true;
		break;
	case PROPAGATION:
		s->policy = v;
		break;
	case UID:
		o->pre_uid = v;
		break;
	case N_OPTIONS:
		break;
	}
	return r;
}

static int one_option(struct reg_op *op, struct said *s, struct orlop_bytes k, struct orlop_bytes v)
{
	unsigned int of = asked_of(op);

	for (unsigned int i = 0; i < N_OPTIONS; i++) {
		if (!rb_is(k, options[i].name))
			continue;
		if (!(options[i].of & of) || (has(s, i) && i != DRY_RUN))
			return 0;
		s->seen |= UINT32_C(1) << i;
		return take(op, s, i, v);
	}
	return 0;
}

/* ---- what may be asked --------------------------------------------------------------------------------------------- */

/* Go's unicode.IsPrint, but for letters that nobody has been given. */
static bool is_printable(uint32_t c)
{
	static const uint32_t not[][2] = { { 0, 0x1f }, { 0x7f, 0xa0 }, { 0xad, 0xad }, { 0x61c, 0x61c }, { 0x1680, 0x1680 }, { 0x180e, 0x180e },
		{ 0x2000, 0x200f }, { 0x2028, 0x202f }, { 0x205f, 0x206f }, { 0x3000, 0x3000 }, { 0xd800, 0xf8ff }, { 0xfeff, 0xfeff },
		{ 0xfff0, 0xfffb }, { 0xe0000, 0xe00ff }, { 0xe01f0, 0x10ffff } };

	for (size_t i = 0; i < sizeof(not) / sizeof(not[0]); i++)
		if (c >= not[i][0] && c <= not[i][1])
			return false;
	return true;
}

#define MANAGER_MAX	128u

static void check_manager(struct reg_op *op)
{
	struct orlop_bytes m = op->opt.manager;
	const char *text = NULL;

	if (m.len > MANAGER_MAX)
		reg_cause(op, "FieldValueTooLong", "fieldManager", "Too long: may not be more than %u bytes", MANAGER_MAX);
	/* each finding has all of it in it: of what is too long anyway not every character is told */
	for (size_t i = 0, n; i < m.len && i <= MANAGER_MAX; i += n) {
		uint32_t c;

		n = outf8_decode(m.p + i, m.len - i, &c);
		if (is_printable(c))
			continue;
		text = text ? text : reg_quoted(&op->arena, m);
		reg_cause(op, "FieldValueInvalid", "fieldManager", "Invalid value: %s: invalid character U+%04X (at position %zu)", text, c, i);
	}
}

static void check_dry_run(struct reg_op *op, const struct said *s)
{
	if (s->dry_run_odd)
		reg_cause(op, "FieldValueNotSupported", "dryRun", "Unsupported value: [%s]: supported values: \"All\"", obuf_cstr(&s->dry_run));
}

static void check_validation(struct reg_op *op, struct orlop_bytes v)
{
	if (rb_is(v, "Strict"))
		op->opt.strictness = REG_VALIDATE_STRICT;
	else if (rb_is(v, "Ignore"))
		op->opt.strictness = REG_VALIDATE_IGNORE;
	else if (v.len && !rb_is(v, "Warn"))
		reg_cause(op, "FieldValueNotSupported", "fieldValidation",
			  "Unsupported value: %s: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"", reg_quoted(&op->arena, v));
}

static void check_write(struct reg_op *op, const struct said *s)
{
	bool apply = op->rq.verb == REG_PATCH && op->rq.patch == REG_PATCH_APPLY;

	if (!apply && op->opt.has_force)
		reg_cause(op, "FieldValueForbidden", "force", "Forbidden: may not be specified for non-apply patch");
	if (apply && op->opt.manager.len == 0 && op->rq.manager.len == 0)
		reg_cause(op, "FieldValueRequired", "fieldManager", "Required value: is required for apply patch");
	check_manager(op);
	check_dry_run(op, s);
	check_validation(op, s->validation);
}

static enum reg_match match_of(struct orlop_bytes v)
{
	return rb_is(v, "Exact") ? REG_MATCH_EXACT : rb_is(v, "NotOlderThan") ? REG_MATCH_NOT_OLDER : REG_MATCH_NONE;
}

static void check_list(struct reg_op *op, const struct said *s)
{
	struct reg_opts *o = &op->opt;

	o->match = match_of(s->match);
	if (s->match.len && !o->rv.len)
		reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
			  "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
	if (s->match.len && o->cont.len)
		reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
			  "Forbidden: resourceVersionMatch is forbidden when continue is provided");
	if (s->match.len && o->match == REG_MATCH_NONE)
		reg_cause(op, "FieldValueNotSupported", "resourceVersionMatch",
			  "Unsupported value: %s: supported values: \"Exact\", \"NotOlderThan\", \"\"", reg_quoted(&op->arena, s->match));
	if (o->match == REG_MATCH_EXACT && rb_is(o->rv, "0"))
		reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
			  "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
	if (o->has_initial)
		reg_cause(op, "FieldValueForbidden", "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list");
}

static void check_watch(struct reg_op *op, const struct said *s)
{
	struct reg_opts *o = &op->opt;

	o->match = match_of(s->match);
	if (o->has_initial && o->match != REG_MATCH_NOT_OLDER)
		reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
			  "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
	if (s->match.len && !o->has_initial)
		reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
			  "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
	if (s->match.len && o->match != REG_MATCH_NOT_OLDER)
		reg_cause(op, "FieldValueNotSupported", "resourceVersionMatch",
			  "Unsupported value: %s: supported values: \"NotOlderThan\"", reg_quoted(&op->arena, s->match));
	if (s->match.len && o->cont.len)
		reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
			  "Forbidden: resourceVersionMatch is forbidden when continue is provided");
}

static void check_delete(struct reg_op *op, const struct said *s)
{
	struct reg_opts *o = &op->opt;
	bool policy = has(s, PROPAGATION);

	if (rb_is(s->policy, "Orphan"))
		o->propagation = REG_PROPAGATE_ORPHAN;
	else if (rb_is(s->policy, "Background"))
		o->propagation = REG_PROPAGATE_BACKGROUND;
	else if (rb_is(s->policy, "Foreground"))
		o->propagation = REG_PROPAGATE_FOREGROUND;
	if (o->has_orphan && policy)
		reg_cause(op, "FieldValueInvalid", "propagationPolicy",
			  "Invalid value: %s: orphanDependents and deletionPropagation cannot be both set", reg_quoted(&op->arena, s->policy));
	else if (o->has_orphan)
		o->propagation = o->orphan ? REG_PROPAGATE_ORPHAN : REG_PROPAGATE_BACKGROUND;
	if (policy && o->propagation == REG_PROPAGATE_DEFAULT)
		reg_cause(op, "FieldValueNotSupported", "propagationPolicy",
			  "Unsupported value: %s: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
			  reg_quoted(&op->arena, s->policy));
	check_dry_run(op, s);
	/* legacy: a negative grace means 1 second, as upstream's pod strategy has it */
	if (o->has_grace && o->grace_s < 0)
		o->grace_s = 1;
}

static int check(struct reg_op *op, const struct said *s)
{
	int r = 0;

	switch (op->rq.verb) {
	case REG_LIST:
	case REG_DELETECOLLECTION:
		check_list(op, s);
		r = reg_invalid_as(op, options_kind(REG_LIST), RB0);
		break;
	case REG_WATCH:
		check_watch(op, s);
		break;
	case REG_CREATE:
	case REG_UPDATE:
	case REG_PATCH:
		check_write(op, s);
		break;
	default:
		break;
	}
	if (r == 0 && is_delete(op->rq.verb) && !op->rq.body.len)
		check_delete(op, s);
	return r ? r : reg_invalid_as(op, options_kind(op->rq.verb), RB0);
}

int reg_opts_parse(struct reg_op *op)
{
	struct orlop_bytes rest = op->rq.query, k, v;
	struct said s = { .dry_run = OBUF_INIT };
	int r;

	while ((r = reg_query_next(&op->arena, &rest, &k, &v)) > 0) {
		r = one_option(op, &s, k, v);
		if (r)
			break;
	}
	if (r < 0 && !op->err.err)
		r = reg_failed(op, r, NULL);
	if (r == 0)
		r = check(op, &s);
	obuf_done(&s.dry_run);
	return r;
}

/* ---- metav1.DeleteOptions as a body ---- */

/* The text of @v, empty if it is none: 0 or -ENOMEM. What cannot be read must not pass for what was not said. */
static int text_of(struct reg_op *op, struct orlop_bytes v, struct orlop_bytes *ret)
{
	struct obuf b = OBUF_INIT;

	*ret = RB0;
	if (oscan_type(v) != OSCAN_STRING || oscan_plain(v, ret))
		return 0;
	if (oscan_unquote(v, &b) == 0 && !obuf_err(&b))
		*ret = (struct orlop_bytes){ oarena_dup(&op->arena, obuf_cstr(&b), b.len), b.len };
	obuf_done(&b);
	if (ret->p)
		return 0;
	*ret = RB0;
	return reg_failed(op, -ENOMEM, NULL);
}

/* What Go calls a value that is of another type than it should be. */
static const char *go_type(struct reg_op *op, struct orlop_bytes v)
{
	switch (oscan_type(v)) {
	case OSCAN_STRING:
		return "string";
	case OSCAN_NUMBER:
		return memchr(v.p, '.', v.len) ? oarena_printf(&op->arena, "number %.*s", OB(v)) : "number";
	case OSCAN_BOOL:
		return "bool";
	case OSCAN_ARRAY:
		return "array";
	case OSCAN_OBJECT:
		return "object";
	default:
		return "value";
	}
}

/* 0 if it is of the type that it should be. */
static int is_of(struct reg_op *op, struct orlop_bytes v, enum oscan_type type, const char *field, const char *go)
{
	const char *dot = strrchr(field, '.');

	if ((int)oscan_type(v) == (int)type)
		return 0;
	return reg_bad_request(op, "json: cannot unmarshal %s into Go struct field %s.%s of type %s", go_type(op, v),
			       dot ? "Preconditions" : "DeleteOptions", field, go);
}

static int body_dry_run(struct reg_op *op, struct said *s, struct orlop_bytes v)
{
	struct oscan_iter it;
	int r = is_of(op, v, OSCAN_ARRAY, "dryRun", "[]string");

	for (oscan_begin(&it, v); r == 0 && oscan_next(&it) > 0;) {
		struct orlop_bytes text;

		r = is_of(op, it.value, OSCAN_STRING, "dryRun", "string");
		if (r == 0)
			r = text_of(op, it.value, &text);
		if (r == 0)
			r = take(op, s, DRY_RUN, text);
	}
	return r;
}

static int body_preconditions(struct reg_op *op, struct orlop_bytes v)
{
	struct oscan_iter it;
	int r = is_of(op, v, OSCAN_OBJECT, "preconditions", "v1.Preconditions");

	for (oscan_begin(&it, v); r == 0 && oscan_next(&it) > 0;) {
		struct orlop_bytes k;
		bool uid;

		r = text_of(op, it.key, &k);
		uid = rb_is(k, "uid");
		if (r || oscan_type(it.value) == OSCAN_NULL || (!uid && !rb_is(k, "resourceVersion")))
			continue;
		r = uid ? is_of(op, it.value, OSCAN_STRING, "preconditions.uid", "types.UID")
			: is_of(op, it.value, OSCAN_STRING, "preconditions.resourceVersion", "string");
		if (r == 0)
			r = text_of(op, it.value, uid ? &op->opt.pre_uid : &op->opt.pre_rv);
	}
	return r;
}

static int body_member(struct reg_op *op, struct said *s, struct orlop_bytes k, struct orlop_bytes v)
{
	struct reg_opts *o = &op->opt;
	int r = 0;

	if (oscan_type(v) == OSCAN_NULL)
		return 0;
	if (rb_is(k, "kind")) {
		struct orlop_bytes kind;

		r = text_of(op, v, &kind);
		if (r == 0 && kind.len && !rb_is(kind, "DeleteOptions") && !rb_is(kind, "DeleteOptionsList"))
			return reg_bad_request(op, "decoded object cannot be converted to DeleteOptions");
	} else if (rb_is(k, "gracePeriodSeconds")) {
		r = is_of(op, v, OSCAN_NUMBER, "gracePeriodSeconds", "int64");
		if (r == 0 && ostr_to_i64(v.p, v.len, &o->grace_s))
			r = reg_bad_request(op, "json: cannot unmarshal number %.*s into Go struct field DeleteOptions.gracePeriodSeconds of type int64", OB(v));
		o->has_grace = true;
	} else if (rb_is(k, "orphanDependents")) {
		r = is_of(op, v, OSCAN_BOOL, "orphanDependents", "bool");
		o->orphan = oscan_bool(v, false);
		o->has_orphan = true;
	} else if (rb_is(k, "propagationPolicy")) {
		r = is_of(op, v, OSCAN_STRING, "propagationPolicy", "v1.DeletionPropagation");
		if (r == 0)
			r = text_of(op, v, &s->policy);
		s->seen |= UINT32_C(1) << PROPAGATION;
	} else if (rb_is(k, "dryRun")) {
		r = body_dry_run(op, s, v);
	} else if (rb_is(k, "preconditions")) {
		r = body_preconditions(op, v);
	}
	return r;
}

/* @v: an object. */
static int body_members(struct reg_op *op, struct orlop_bytes v)
{
	struct said s = { .dry_run = OBUF_INIT };
	struct oscan_iter it;
	int r = 0;

	for (oscan_begin(&it, v); r == 0 && oscan_next(&it) > 0;) {
		struct orlop_bytes k;

		r = text_of(op, it.key, &k);
		if (r == 0)
			r = body_member(op, &s, k, it.value);
	}
	if (r == 0) {
		check_delete(op, &s);
		r = reg_invalid_as(op, options_kind(REG_DELETE), RB0);
	}
	obuf_done(&s.dry_run);
	return r;
}

int reg_opts_delete_body(struct reg_op *op)
{
	struct orlop_bytes v;
	struct oscan_error e;

	if (!op->rq.body.len)
		return 0;
	if (oscan_check(op->rq.body.p, op->rq.body.len, OSCAN_DEPTH_MAX, &v, &e))
		return reg_bad_request(op, "couldn't get version/kind; json parse error: %s", e.msg);
	if (oscan_type(v) == OSCAN_NULL)
		return 0;
	if (oscan_type(v) != OSCAN_OBJECT)
		return reg_bad_request(op, "couldn't get version/kind; json parse error: json: cannot unmarshal %s into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }",
				       go_type(op, v));
	return body_members(op, v);
}
