/* options.c - what a query string (and DELETE's body) asks for, and whether it may. */
#include "options.h"
#include "op.h"

#include "json/oscan.h"

#include <errno.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct orlop_bytes reg_url_decode(struct oarena *a, struct orlop_bytes s)
{
	struct orlop_bytes out = { NULL, 0 };
	char *p = oarena_alloc(a, s.len + 1);
	size_t n = 0;

	if (!p)
		return out;
	for (size_t i = 0; i < s.len; i++) {
		int hi, lo;

		if (s.p[i] == '+') {
			p[n++] = ' ';
		} else if (s.p[i] == '%' && i + 2 < s.len && (hi = hex_digit(s.p[i + 1])) >= 0 &&
			   (lo = hex_digit(s.p[i + 2])) >= 0) {
			p[n++] = (char)(hi << 4 | lo);
			i += 2;
		} else {
			p[n++] = s.p[i];
		}
	}
	p[n] = '\0';
	out.p = p;
	out.len = n;
	return out;
}

/* strconv.ParseBool, as the query conversion uses it: absent value and "1" are true. */
static int parse_bool(struct orlop_bytes v, bool *ret)
{
	static const char *const yes[] = { "", "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		if (rb_is(v, yes[i])) {
			*ret = true;
			return 0;
		}
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (rb_is(v, no[i])) {
			*ret = false;
			return 0;
		}
	return -EINVAL;
}

static const char *options_kind(const struct reg_op *op)
{
	switch (op->rq.verb) {
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

static bool is_write(enum reg_verb v)
{
	return v >= REG_CREATE;
}

static int set_propagation(struct reg_op *op, struct orlop_bytes v)
{
	if (v.len == 0)
		return 0;
	if (rb_is(v, "Orphan"))
		op->opt.propagation = REG_PROPAGATE_ORPHAN;
	else if (rb_is(v, "Background"))
		op->opt.propagation = REG_PROPAGATE_BACKGROUND;
	else if (rb_is(v, "Foreground"))
		op->opt.propagation = REG_PROPAGATE_FOREGROUND;
	else
		reg_cause(op, "FieldValueNotSupported", "propagationPolicy",
			  "Unsupported value: \"%.*s\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
			  OB(v));
	return 0;
}

static int one_option(struct reg_op *op, struct orlop_bytes k, struct orlop_bytes v)
{
	struct reg_opts *o = &op->opt;
	bool on;

	if (rb_is(k, "labelSelector")) {
		o->labels = o->labels.p ? o->labels : v;
	} else if (rb_is(k, "fieldSelector")) {		/* the first, as authorization sees it */
		o->fields = o->fields.p ? o->fields : v;
	} else if (rb_is(k, "continue")) {
		o->cont = v;
	} else if (rb_is(k, "resourceVersion")) {
		o->rv = v;
		o->has_rv = v.len > 0;
		if (o->has_rv && ostr_to_u64(v.p, v.len, &o->rv_n))
			return reg_bad_request(op, "invalid resource version: strconv.ParseUint: parsing \"%.*s\": invalid syntax",
					       OB(v));
	} else if (rb_is(k, "resourceVersionMatch")) {
		if (rb_is(v, "Exact"))
			o->match = REG_MATCH_EXACT;
		else if (rb_is(v, "NotOlderThan"))
			o->match = REG_MATCH_NOT_OLDER;
		else if (v.len)
			reg_cause(op, "FieldValueNotSupported", "resourceVersionMatch",
				  "Unsupported value: \"%.*s\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
				  OB(v));
	} else if (rb_is(k, "limit")) {
		int64_t n;

		if (v.len && ostr_to_i64(v.p, v.len, &n))
			return reg_bad_request(op, "strconv.ParseInt: parsing \"%.*s\": invalid syntax", OB(v));
		o->limit = v.len && n > 0 ? (uint64_t)n : 0;
	} else if (rb_is(k, "timeoutSeconds")) {
		int64_t n;

		if (v.len && ostr_to_i64(v.p, v.len, &n))
			return reg_bad_request(op, "strconv.ParseInt: parsing \"%.*s\": invalid syntax", OB(v));
		o->timeout_s = v.len && n > 0 ? (uint64_t)n : 0;
	} else if (rb_is(k, "allowWatchBookmarks")) {
		if (parse_bool(v, &o->bookmarks))
			return reg_bad_request(op, "strconv.ParseBool: parsing \"%.*s\": invalid syntax", OB(v));
	} else if (rb_is(k, "sendInitialEvents")) {
		if (parse_bool(v, &o->initial))
			return reg_bad_request(op, "strconv.ParseBool: parsing \"%.*s\": invalid syntax", OB(v));
		o->has_initial = true;
	} else if (rb_is(k, "includeObject")) {
		if (v.len == 0 || rb_is(v, "Metadata"))
			o->include = REG_INCLUDE_METADATA;
		else if (rb_is(v, "None"))
			o->include = REG_INCLUDE_NONE;
		else if (rb_is(v, "Object"))
			o->include = REG_INCLUDE_OBJECT;
		else
			return reg_bad_request(op, "unrecognized includeObject value: \"%.*s\"", OB(v));
	} else if (rb_is(k, "pretty")) {
		o->pretty = !parse_bool(v, &on) && on;
	} else if (rb_is(k, "dryRun") && is_write(op->rq.verb)) {
		if (!rb_is(v, "All"))
			reg_cause(op, "FieldValueNotSupported", "dryRun",
				  "Unsupported value: [\"%.*s\"]: supported values: \"All\"", OB(v));
		o->dry_run = true;
	} else if (rb_is(k, "force")) {
		if (parse_bool(v, &o->force))
			return reg_bad_request(op, "strconv.ParseBool: parsing \"%.*s\": invalid syntax", OB(v));
		o->has_force = true;
	} else if (rb_is(k, "fieldManager")) {
		o->manager = v;
	} else if (rb_is(k, "fieldValidation")) {
		if (rb_is(v, "Strict"))
			o->strictness = REG_VALIDATE_STRICT;
		else if (rb_is(v, "Ignore"))
			o->strictness = REG_VALIDATE_IGNORE;
		else if (v.len && !rb_is(v, "Warn"))
			reg_cause(op, "FieldValueNotSupported", "fieldValidation",
				  "Unsupported value: \"%.*s\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
				  OB(v));
	} else if (rb_is(k, "gracePeriodSeconds")) {
		if (v.len && ostr_to_i64(v.p, v.len, &o->grace_s))
			return reg_bad_request(op, "strconv.ParseInt: parsing \"%.*s\": invalid syntax", OB(v));
		o->has_grace = v.len > 0;
	} else if (rb_is(k, "orphanDependents")) {
		if (parse_bool(v, &o->orphan))
			return reg_bad_request(op, "strconv.ParseBool: parsing \"%.*s\": invalid syntax", OB(v));
		o->has_orphan = true;
	} else if (rb_is(k, "propagationPolicy")) {
		return set_propagation(op, v);
	}
	return 0;
}

static void check_manager(struct reg_op *op)
{
	struct orlop_bytes m = op->opt.manager;

	if (m.len > 128) {
		reg_cause(op, "FieldValueTooLong", "fieldManager",
			  "Too long: may not be more than 128 bytes");
		return;
	}
	for (size_t i = 0; i < m.len; i++)
		if ((unsigned char)m.p[i] < 0x20 || m.p[i] == 0x7f) {
			reg_cause(op, "FieldValueInvalid", "fieldManager",
				  "Invalid value: \"%.*s\": should only contain printable characters",
				  OB(m));
			return;
		}
}

static void check_list(struct reg_op *op)
{
	const struct reg_opts *o = &op->opt;

	if (o->has_initial)
		reg_cause(op, "FieldValueForbidden", "sendInitialEvents",
			  "Forbidden: sendInitialEvents is forbidden for list");
	if (o->match == REG_MATCH_NONE)
		return;
	if (o->cont.len)
		reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
			  "Forbidden: resourceVersionMatch is forbidden when continue is provided");
	if (!o->has_rv)
		reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
			  "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
	if (o->match == REG_MATCH_EXACT && rb_is(o->rv, "0"))
		reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
			  "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
}

static void check_watch(struct reg_op *op)
{
	const struct reg_opts *o = &op->opt;

	if (o->has_initial && o->match != REG_MATCH_NOT_OLDER)
		reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
			  "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
	if (o->match != REG_MATCH_NONE) {
		if (!o->has_initial)
			reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
				  "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
		if (o->match != REG_MATCH_NOT_OLDER)
			reg_cause(op, "FieldValueNotSupported", "resourceVersionMatch",
				  "Unsupported value: \"Exact\": supported values: \"NotOlderThan\"");
		if (o->cont.len)
			reg_cause(op, "FieldValueForbidden", "resourceVersionMatch",
				  "Forbidden: resourceVersionMatch is forbidden when continue is provided");
	}
}

static void check_delete(struct reg_op *op)
{
	struct reg_opts *o = &op->opt;

	if (o->has_orphan && o->propagation != REG_PROPAGATE_DEFAULT)
		reg_cause(op, "FieldValueInvalid", "propagationPolicy",
			  "Invalid value: \"%s\": orphanDependents and deletionPropagation cannot be both set",
			  o->propagation == REG_PROPAGATE_ORPHAN ? "Orphan" :
			  o->propagation == REG_PROPAGATE_FOREGROUND ? "Foreground" : "Background");
	else if (o->has_orphan)
		o->propagation = o->orphan ? REG_PROPAGATE_ORPHAN : REG_PROPAGATE_BACKGROUND;
	/* legacy: a negative grace means 1 second, as upstream's pod strategy has it */
	if (o->has_grace && o->grace_s < 0)
		o->grace_s = 1;
}

/* Go, and with it other servers of the API, does not see a pair with a semicolon or a broken escape in it. */
static bool is_seen(struct orlop_bytes pair)
{
	for (size_t i = 0; i < pair.len; i++)
		if (pair.p[i] == ';' ||
		    (pair.p[i] == '%' && (i + 2 >= pair.len || hex_digit(pair.p[i + 1]) < 0 || hex_digit(pair.p[i + 2]) < 0)))
			return false;
	return true;
}

/* The next pair of a query, decoded, and what is behind it: 1, 0 at the end, -ENOMEM. */
static int next_option(struct oarena *a, struct orlop_bytes *rest, struct orlop_bytes *k, struct orlop_bytes *v)
{
	while (rest->len) {
		const char *amp = memchr(rest->p, '&', rest->len);
		struct orlop_bytes pair = { rest->p, amp ? (size_t)(amp - rest->p) : rest->len };
		const char *eq = pair.len ? memchr(pair.p, '=', pair.len) : NULL;
		size_t at = eq ? (size_t)(eq - pair.p) : pair.len;

		rest->p += pair.len + (amp != NULL);
		rest->len -= pair.len + (amp != NULL);
		if (!is_seen(pair))
			continue;
		*k = reg_url_decode(a, (struct orlop_bytes){ pair.p, at });
		*v = (struct orlop_bytes){ "", 0 };
		if (eq)
			*v = reg_url_decode(a, (struct orlop_bytes){ eq + 1, pair.len - at - 1 });
		return k->p && v->p ? 1 : -ENOMEM;
	}
	return 0;
}

struct orlop_bytes reg_query_fields(struct oarena *a, struct orlop_bytes query)
{
	struct orlop_bytes k, v;

	while (next_option(a, &query, &k, &v) > 0)
		if (rb_is(k, "fieldSelector"))
			return v;
	return RB0;
}

int reg_opts_parse(struct reg_op *op)
{
	struct orlop_bytes rest = op->rq.query, k, v;
	int r;

	while ((r = next_option(&op->arena, &rest, &k, &v)) > 0) {
		r = one_option(op, k, v);
		if (r)
			return r;
	}
	if (r)
		return reg_failed(op, r, NULL);

	switch (op->rq.verb) {
	case REG_LIST:
	case REG_DELETECOLLECTION:
		check_list(op);
		break;
	case REG_WATCH:
		check_watch(op);
		break;
	case REG_PATCH:
		if (op->rq.patch != REG_PATCH_APPLY && op->opt.has_force)
			reg_cause(op, "FieldValueForbidden", "force",
				  "Forbidden: may not be specified for non-apply patch");
		if (op->rq.patch == REG_PATCH_APPLY && op->opt.manager.len == 0 && op->rq.manager.len == 0)
			reg_cause(op, "FieldValueRequired", "fieldManager",
				  "Required value: is required for apply patch");
		break;
	default:
		break;
	}
	if (is_write(op->rq.verb))
		check_manager(op);
	/* DELETE is checked with its body */
	if (op->rq.verb == REG_DELETE)
		return 0;
	return reg_invalid_as(op, options_kind(op), RB0);
}

/* ---- metav1.DeleteOptions as a body ---- */

static struct orlop_bytes text_of(struct reg_op *op, struct orlop_bytes v)
{
	struct orlop_bytes plain;
	struct obuf b = OBUF_INIT;
	struct orlop_bytes out = { NULL, 0 };

	if (oscan_type(v) != OSCAN_STRING)
		return out;
	if (oscan_plain(v, &plain))
		return (struct orlop_bytes){ plain.p, plain.len };
	if (oscan_unquote(v, &b) == 0) {
		out.p = oarena_dup(&op->arena, obuf_cstr(&b), b.len);
		out.len = out.p ? b.len : 0;
	}
	obuf_done(&b);
	return out;
}

static int body_member(struct reg_op *op, struct orlop_bytes k, struct orlop_bytes v)
{
	struct reg_opts *o = &op->opt;
	struct orlop_bytes part;

	if (oscan_type(v) == OSCAN_NULL)
		return 0;
	if (rb_is(k, "kind")) {
		struct orlop_bytes kind = text_of(op, v);

		if (kind.len && !rb_is(kind, "DeleteOptions") && !rb_is(kind, "DeleteOptionsList"))
			return reg_bad_request(op, "decoded object cannot be converted to DeleteOptions");
	} else if (rb_is(k, "gracePeriodSeconds")) {
		if (oscan_type(v) != OSCAN_NUMBER || ostr_to_i64(v.p, v.len, &o->grace_s))
			return reg_bad_request(op, "json: cannot unmarshal %s into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
					       oscan_type(v) == OSCAN_STRING ? "string" : "value");
		o->has_grace = true;
	} else if (rb_is(k, "orphanDependents")) {
		if (oscan_type(v) != OSCAN_BOOL)
			return reg_bad_request(op, "json: cannot unmarshal value into Go struct field DeleteOptions.orphanDependents of type bool");
		o->orphan = oscan_bool(v, false);
		o->has_orphan = true;
	} else if (rb_is(k, "propagationPolicy")) {
		return set_propagation(op, text_of(op, v));
	} else if (rb_is(k, "dryRun")) {
		struct oscan_iter it;

		for (oscan_begin(&it, v); oscan_next(&it) > 0;) {
			if (!rb_is(text_of(op, it.value), "All"))
				reg_cause(op, "FieldValueNotSupported", "dryRun",
					  "Unsupported value: %.*s: supported values: \"All\"",
					  (int)v.len, v.p);
			o->dry_run = true;
		}
	} else if (rb_is(k, "preconditions")) {
		if (oscan_get(v, "uid", &part))
			o->pre_uid = text_of(op, part);
		if (oscan_get(v, "resourceVersion", &part))
			o->pre_rv = text_of(op, part);
	}
	return 0;
}

int reg_opts_delete_body(struct reg_op *op)
{
	struct orlop_bytes v;
	struct oscan_error e;
	struct oscan_iter it;
	int r;

	if (op->rq.body.len) {
		if (oscan_check(op->rq.body.p, op->rq.body.len, OSCAN_DEPTH_MAX, &v, &e))
			return reg_bad_request(op, "couldn't get version/kind; json parse error: %s", e.msg);
		if (oscan_type(v) != OSCAN_OBJECT)
			return reg_bad_request(op, "couldn't get version/kind; json parse error: json: cannot unmarshal value into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }");
		for (oscan_begin(&it, v); oscan_next(&it) > 0;) {
			struct orlop_bytes k;

			if (!oscan_plain(it.key, &k))
				continue;
			r = body_member(op, (struct orlop_bytes){ k.p, k.len }, it.value);
			if (r)
				return r;
		}
	}
	check_delete(op);
	return reg_invalid_as(op, "DeleteOptions.meta.k8s.io", RB0);
}
