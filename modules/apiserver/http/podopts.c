/*
 * podopts.c - what may be asked of a pod's logs and ports, before anybody is asked.
 *
 * Source: upstream's PodLogOptions and PodPortForwardOptions: conversion and validation, and the log's location; test: tests/api/options.py
 */
#include "front.h"

#include "registry/options.h"

#include "base/otime.h"

#include <errno.h>
#include <stdio.h>

struct log_options {
	bool	has_tail;
	bool	has_since;
	bool	has_limit;
	int64_t	tail;
	int64_t	since;
	int64_t	limit;
	struct orlop_bytes time;
};

/* False: answered with 400. */
static bool take_number(struct front *f, const char *key, bool *has, int64_t *ret)
{
	struct orlop_bytes v = query_get(&f->arena, ohttp_query(f->req), key);
	int r = v.p ? ostr_to_i64(v.p, v.len, ret) : 0;

	*has = v.p != NULL;
	if (r)
		front_error(f, 400, "BadRequest", "strconv.ParseInt: parsing %s: %s", reg_quoted(&f->arena, v),
			    r == -ERANGE ? "value out of range" : "invalid syntax");
	return r == 0;
}

static bool take(struct front *f, struct log_options *o)
{
	int64_t ns;

	if (!take_number(f, "sinceSeconds", &o->has_since, &o->since))
		return false;
	o->time = query_get(&f->arena, ohttp_query(f->req), "sinceTime");
	if (o->time.len && otime_parse(o->time.p, o->time.len, &ns)) {
		front_error(f, 400, "BadRequest", "parsing time %s as \"2006-01-02T15:04:05Z07:00\": cannot parse %s as \"2006\"",
			    reg_quoted(&f->arena, o->time), reg_quoted(&f->arena, o->time));
		return false;
	}
	return take_number(f, "tailLines", &o->has_tail, &o->tail) && take_number(f, "limitBytes", &o->has_limit, &o->limit);
}

static void find(struct orlop_error *err, struct obuf *all, const char *reason, const char *field, const char *text)
{
	orlop_error_cause(err, reason, text, field);
	obuf_printf(all, "%s%s: %s", all->len ? ", " : "", field, text);
}

static void find_number(struct orlop_error *err, struct obuf *all, const char *field, int64_t v, const char *must)
{
	char text[100];

	snprintf(text, sizeof(text), "Invalid value: %lld: must be %s 0", (long long)v, must);
	find(err, all, "FieldValueInvalid", field, text);
}

bool podopts_log(struct front *f)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf all = OBUF_INIT;
	struct log_options o = { .tail = 0 };
	unsigned int n;

	if (!take(f, &o))
		return false;
	if (o.has_tail && o.tail < 0)
		find_number(&err, &all, "tailLines", o.tail, "greater than or equal to");
	if (o.has_limit && o.limit < 1)
		find_number(&err, &all, "limitBytes", o.limit, "greater than");
	if (o.has_since && o.time.len)
		find(&err, &all, "FieldValueForbidden", "[]", "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified");
	else if (o.has_since && o.since < 1)
		find_number(&err, &all, "sinceSeconds", o.since, "greater than");
	n = err.causes ? err.causes->n : 0;
	if (n) {
		(void)orlop_fail(&err, EINVAL, 422, "Invalid", "PodLogOptions \"%.*s\" is invalid: %s%s%s", OB(f->rt.name),
				 n > 1 ? "[" : "", obuf_cstr(&all), n > 1 ? "]" : "");
		front_answer(f, reg_status_about(f->sh->reg, &err, bytes_cstr(""), bytes_cstr("PodLogOptions"), f->rt.name));
	}
	orlop_error_done(&err);
	obuf_done(&all);
	return n == 0;
}

void podopts_put_log(struct front *f, struct obuf *b)
{
	static const char *const flags[] = { "follow", "previous", "timestamps" };
	static const char *const values[] = { "sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream" };
	const char *sep = "?";

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (query_true(&f->arena, ohttp_query(f->req), flags[i])) {
			obuf_printf(b, "%s%s=true", sep, flags[i]);
			sep = "&";
		}
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct orlop_bytes v = query_get(&f->arena, ohttp_query(f->req), values[i]);

		if (!v.len)
			continue;
		obuf_printf(b, "%s%s=", sep, values[i]);
		front_put_escaped(b, v.p, v.len);
		sep = "&";
	}
}

/* Each "ports" may be several, with commas between. */
bool podopts_ports(struct front *f)
{
	struct orlop_bytes q = ohttp_query(f->req), k, v;
	int r;

	while ((r = reg_query_next(&f->arena, &q, &k, &v)) > 0) {
		for (size_t at = 0; bytes_is(k, "ports") && at <= v.len;) {
			const char *comma = at < v.len ? memchr(v.p + at, ',', v.len - at) : NULL;
			struct orlop_bytes one = { v.p + at, comma ? (size_t)(comma - v.p) - at : v.len - at };
			uint64_t n = 0;

			r = ostr_to_u64(one.p, one.len, &n);
			if (r == 0 && n > UINT16_MAX)
				r = -ERANGE;
			if (r) {
				front_error(f, 400, "BadRequest", "cannot convert to []int32: strconv.ParseUint: parsing %s: %s",
					    reg_quoted(&f->arena, one), r == -ERANGE ? "value out of range" : "invalid syntax");
				return false;
			}
			at += one.len + 1;
		}
	}
	return true;
}
