/* re.c - Go's regular expressions (RE2 syntax) become small programs. */
#include "crd/re.h"

#include "base/obuf.h"
#include "base/omem.h"

#include <errno.h>
#include <string.h>

#define MAX_PROGRAM	20000u
#define MAX_REPEAT	1000
#define MAX_DEPTH	200

struct parser {
	const char	*p;
	const char	*end;
	struct obuf	prog, ranges;
	int		depth;
	bool		icase, dotall, multi;
	int		err;
};

static uint32_t here(const struct parser *c)
{
	return (uint32_t)(c->prog.len / sizeof(struct re_inst));
}

static struct re_inst *at(struct parser *c, uint32_t i)
{
	return (struct re_inst *)(void *)c->prog.data + i;
}

static uint32_t emit(struct parser *c, enum re_op op, uint32_t x, uint32_t y)
{
	struct re_inst in = { .op = (uint8_t)op, .x = x, .y = y };

	if (here(c) >= MAX_PROGRAM)
		c->err = -E2BIG;
	if (!c->err)
		obuf_append(&c->prog, &in, sizeof(in));
	if (obuf_err(&c->prog))
		c->err = -ENOMEM;
	return here(c) ? here(c) - 1 : 0;
}

static uint32_t next_rune(struct parser *c)
{
	return re_rune(&c->p, c->end);
}

static void range(struct parser *c, uint32_t lo, uint32_t hi)
{
	struct re_range r = { lo, hi };

	obuf_append(&c->ranges, &r, sizeof(r));
	if (c->icase && hi < 128)
		for (uint32_t k = lo; k <= hi; k++)
			if ((k >= 'a' && k <= 'z') || (k >= 'A' && k <= 'Z')) {
				r.lo = r.hi = k ^ 0x20;
				obuf_append(&c->ranges, &r, sizeof(r));
			}
	if (obuf_err(&c->ranges))
		c->err = -ENOMEM;
	else if (c->ranges.len / sizeof(r) > MAX_PROGRAM)
		c->err = -E2BIG;
}

/* All characters but those between the sorted pairs. */
static void ranges_not(struct parser *c, const struct re_range *v, size_t n)
{
	uint32_t lo = 0;

	for (size_t i = 0; i < n; i++) {
		if (v[i].lo > lo)
			range(c, lo, v[i].lo - 1);
		lo = v[i].hi + 1;
	}
	range(c, lo, 0x10ffff);
}

/* \d \w \s and their opposites; false: it is none of them. */
static bool class(struct parser *c, char k)
{
	static const struct re_range digit[] = { { '0', '9' } };
	static const struct re_range word[] = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };
	static const struct re_range space[] = { { '\t', '\n' }, { '\f', '\r' }, { ' ', ' ' } };
	const struct re_range *v = (k | 0x20) == 'd' ? digit : (k | 0x20) == 'w' ? word : space;
	size_t n = (k | 0x20) == 'd' ? 1 : (k | 0x20) == 'w' ? 4 : 3;

	if (!strchr("dDwWsS", k))
		return false;
	if (k < 'a')
		ranges_not(c, v, n);
	for (size_t i = 0; k >= 'a' && i < n; i++)
		range(c, v[i].lo, v[i].hi);
	return true;
}

/* [:alpha:] */
static bool posix_class(struct parser *c)
{
	static const struct {
		const char	*name;
		struct re_range	v[4];
	} all[] = {
		{ "[:alpha:]", { { 'A', 'Z' }, { 'a', 'z' } } }, { "[:digit:]", { { '0', '9' } } },
		{ "[:alnum:]", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } } }, { "[:lower:]", { { 'a', 'z' } } },
		{ "[:upper:]", { { 'A', 'Z' } } }, { "[:space:]", { { '\t', '\r' }, { ' ', ' ' } } },
		{ "[:xdigit:]", { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } } }, { "[:print:]", { { ' ', '~' } } },
		{ "[:graph:]", { { '!', '~' } } }, { "[:word:]", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' }, { '_', '_' } } },
		{ "[:punct:]", { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } } },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (strncmp(c->p, all[i].name, strlen(all[i].name)) != 0)
			continue;
		for (int k = 0; k < 4 && all[i].v[k].hi; k++)
			range(c, all[i].v[k].lo, all[i].v[k].hi);
		c->p += strlen(all[i].name);
		return true;
	}
	return false;
}

static int hex(char k)
{
	if (k >= '0' && k <= '9')
		return k - '0';
	k |= 0x20;
	return k >= 'a' && k <= 'f' ? k - 'a' + 10 : -1;
}

/* The character behind a backslash. */
static uint32_t escaped(struct parser *c)
{
	static const char from[] = "nrtfva", to[] = "\n\r\t\f\v\a";
	char k = *c->p;
	const char *f = k ? strchr(from, k) : NULL;
	uint32_t v = 0;

	if (f) {
		c->p++;
		return (uint32_t)to[f - from];
	}
	if (k == 'x') {
		bool brace = c->p[1] == '{';

		c->p += 1 + brace;
		for (int i = 0; (brace ? *c->p != '}' : i < 2); i++) {
			if (hex(*c->p) < 0 || i > 6) {
				c->err = -EINVAL;
				return 0;
			}
			v = v * 16 + (uint32_t)hex(*c->p++);
		}
		c->p += brace;
		return v;
	}
	if (!k || (k >= '0' && k <= '9') || (k >= 'a' && k <= 'z') || (k >= 'A' && k <= 'Z')) {
		c->err = -EINVAL;
		return 0;
	}
	return next_rune(c);
}

static void emit_set(struct parser *c, uint32_t first, bool negated)
{
	uint32_t i = emit(c, RE_SET, first, (uint32_t)(c->ranges.len / sizeof(struct re_range)) - first);

	if (!c->err)
		at(c, i)->negated = negated;
}

static void bracket(struct parser *c)
{
	uint32_t first = (uint32_t)(c->ranges.len / sizeof(struct re_range));
	bool negated = *c->p == '^', begun = false;

	c->p += negated;
	while (!c->err && (*c->p != ']' || !begun)) {
		uint32_t lo, hi;

		begun = true;
		if (!*c->p) {
			c->err = -EINVAL;
			return;
		}
		if (c->p[0] == '[' && c->p[1] == ':' && posix_class(c))
			continue;
		if (*c->p == '\\') {
			c->p++;
			if (*c->p && class(c, *c->p)) {
				c->p++;
				continue;
			}
			lo = escaped(c);
		} else {
			lo = next_rune(c);
		}
		hi = lo;
		if (c->p[0] == '-' && c->p[1] && c->p[1] != ']') {
			c->p++;
			if (*c->p == '\\') {
				c->p++;
				hi = escaped(c);
			} else {
				hi = next_rune(c);
			}
		}
		if (hi < lo)
			c->err = -EINVAL;
		else
			range(c, lo, hi);
	}
	if (c->err)
		return;		/* the pattern may end here */
	c->p++;
	emit_set(c, first, negated);
}

static void alternatives(struct parser *c);

/* "(?i)", "(?:", "(?P<name>": true if a group was opened, false if only flags were set. */
static bool group_head(struct parser *c)
{
	bool on = true;

	if (c->p[0] != '?')
		return true;
	c->p++;
	if ((c->p[0] == 'P' && c->p[1] == '<') || c->p[0] == '<') {
		while (*c->p && *c->p != '>')
			c->p++;
		c->p += *c->p == '>';
		return true;
	}
	for (; *c->p && *c->p != ')' && *c->p != ':'; c->p++) {
		if (*c->p == '-')
			on = false;
		else if (*c->p == 'i')
			c->icase = on;
		else if (*c->p == 's')
			c->dotall = on;
		else if (*c->p == 'm')
			c->multi = on;
		else if (*c->p != 'U')
			c->err = -EINVAL;
	}
	if (!*c->p) {
		c->err = -EINVAL;
		return false;
	}
	return *c->p++ == ':';
}

/* One thing that may be repeated; false: there is none (flags). */
static bool atom(struct parser *c)
{
	uint32_t first = (uint32_t)(c->ranges.len / sizeof(struct re_range)), r;
	bool icase = c->icase, dotall = c->dotall, multi = c->multi;

	switch (*c->p++) {
	case '(':
		if (!group_head(c))
			return false;
		if (++c->depth > MAX_DEPTH)
			c->err = -E2BIG;
		if (!c->err)
			alternatives(c);
		c->depth--;
		if (*c->p != ')')
			c->err = c->err ? c->err : -EINVAL;
		else
			c->p++;
		c->icase = icase;
		c->dotall = dotall;
		c->multi = multi;
		return true;
	case '[':
		bracket(c);
		return true;
	case '.':
		emit(c, c->dotall ? RE_ANY_NL : RE_ANY, 0, 0);
		return true;
	case '^':
		emit(c, c->multi ? RE_BEGIN_LINE : RE_BEGIN, 0, 0);
		return true;
	case '$':
		emit(c, c->multi ? RE_END_LINE : RE_END, 0, 0);
		return true;
	case '*':
	case '+':
	case '?':
		c->err = -EINVAL;
		return true;
	case '\\':
		if (*c->p == 'A' || *c->p == 'z' || *c->p == 'b' || *c->p == 'B') {
			emit(c, *c->p == 'A' ? RE_BEGIN : *c->p == 'z' ? RE_END : *c->p == 'b' ? RE_WORD : RE_NOT_WORD, 0, 0);
			c->p++;
			return true;
		}
		if (*c->p && class(c, *c->p)) {
			c->p++;
			emit_set(c, first, false);
			return true;
		}
		r = escaped(c);
		break;
	default:
		c->p--;
		r = next_rune(c);
	}
	range(c, r, r);
	emit_set(c, first, false);
	return true;
}

/* "{n}", "{n,}", "{n,m}"; false: these are plain characters. */
static bool counts(struct parser *c, int *lo, int *hi)
{
	const char *p = c->p + 1;
	int v[2] = { 0, -1 };

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		v[0] = v[0] > MAX_REPEAT ? v[0] : v[0] * 10 + *p - '0';
	v[1] = v[0];
	if (*p == ',') {
		p++;
		v[1] = *p == '}' ? -1 : 0;
		for (; *p >= '0' && *p <= '9'; p++)
			v[1] = v[1] > MAX_REPEAT ? v[1] : v[1] * 10 + *p - '0';
	}
	if (*p != '}')
		return false;
	if (v[0] > MAX_REPEAT || v[1] > MAX_REPEAT || (v[1] >= 0 && v[1] < v[0]))
		c->err = -EINVAL;
	c->p = p + 1;
	*lo = v[0];
	*hi = v[1];
	return true;
}

/* Copies of a piece of program, moved to where they stand. */
static void copy(struct parser *c, const struct re_inst *v, uint32_t n, uint32_t from)
{
	uint32_t by = here(c) - from;

	for (uint32_t i = 0; i < n && !c->err; i++) {
		struct re_inst in = v[i];
		uint32_t k;

		if (in.op == RE_SPLIT || in.op == RE_JMP)
			in.x += by;
		if (in.op == RE_SPLIT)
			in.y += by;
		k = emit(c, in.op, in.x, in.y);
		if (!c->err)
			at(c, k)->negated = in.negated;
	}
}

static void repeat(struct parser *c, uint32_t from, int lo, int hi)
{
	uint32_t n = here(c) - from, k;
	struct re_inst *v;

	if (c->err)
		return;
	v = omem_alloc((n + 1) * sizeof(*v));
	if (!v) {
		c->err = -ENOMEM;
		return;
	}
	if (n)
		memcpy(v, at(c, from), n * sizeof(*v));
	obuf_truncate(&c->prog, from * sizeof(*v));
	for (int i = 0; i < lo && !c->err; i++)
		copy(c, v, n, from);
	if (hi < 0) {
		k = emit(c, RE_SPLIT, here(c) + 1, 0);
		copy(c, v, n, from);
		emit(c, RE_JMP, k, 0);
		if (!c->err)
			at(c, k)->y = here(c);
	}
	for (int i = lo; i < hi && !c->err; i++) {
		k = emit(c, RE_SPLIT, here(c) + 1, 0);
		copy(c, v, n, from);
		if (!c->err)
			at(c, k)->y = here(c);
	}
	omem_free(v);
}

static void sequence(struct parser *c)
{
	while (!c->err && *c->p && *c->p != '|' && *c->p != ')') {
		uint32_t from = here(c);
		int lo, hi;

		if (!atom(c))
			continue;
		while (!c->err) {
			if (*c->p == '*' || *c->p == '+' || *c->p == '?') {
				lo = *c->p == '+';
				hi = *c->p == '?' ? 1 : -1;
				c->p++;
			} else if (*c->p != '{' || !counts(c, &lo, &hi)) {
				break;
			}
			if (*c->p == '?')
				c->p++;		/* how greedy does not change whether */
			repeat(c, from, lo, hi);
			if (*c->p == '*' || *c->p == '+' || *c->p == '?')
				c->err = -EINVAL;
		}
	}
}

/* One branch after the other: the program so far moves to make room for the choice before it. */
static void alternatives(struct parser *c)
{
	uint32_t from = here(c), end[1];

	sequence(c);
	while (!c->err && *c->p == '|') {
		uint32_t n = here(c) - from, k;
		struct re_inst *v = omem_alloc((n + 1) * sizeof(*v));

		c->p++;
		if (!v) {
			c->err = -ENOMEM;
			return;
		}
		if (n)
			memcpy(v, at(c, from), n * sizeof(*v));
		obuf_truncate(&c->prog, from * sizeof(*v));
		k = emit(c, RE_SPLIT, from + 1, 0);
		copy(c, v, n, from);
		omem_free(v);
		end[0] = emit(c, RE_JMP, 0, 0);
		if (c->err)
			return;
		at(c, k)->y = here(c);
		sequence(c);
		if (!c->err)
			at(c, end[0])->x = here(c);
	}
}

int ocrd_re_compile(struct oarena *a, const char *pattern, const struct ocrd_re **ret)
{
	struct parser c = { .p = pattern, .end = pattern + strlen(pattern) };
	struct ocrd_re *re = NULL;

	*ret = NULL;
	alternatives(&c);
	if (!c.err && *c.p)
		c.err = -EINVAL;
	emit(&c, RE_MATCH, 0, 0);
	if (!c.err) {
		re = oarena_zalloc(a, sizeof(*re));
		if (re) {
			re->n = here(&c);
			re->prog = oarena_dup(a, c.prog.data, c.prog.len);
			re->ranges = oarena_dup(a, c.ranges.len ? c.ranges.data : "", c.ranges.len ? c.ranges.len : 1);
		}
		if (!re || !re->prog || !re->ranges)
			c.err = -ENOMEM;
	}
	obuf_done(&c.prog);
	obuf_done(&c.ranges);
	if (!c.err)
		*ret = re;
	return c.err;
}
