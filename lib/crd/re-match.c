/* re-match.c - does a text match? The program of a pattern, run over it. */
#include "crd/re.h"

#include "base/omem.h"

#include <errno.h>

struct threads {
	uint32_t	*v;		/* places, each once */
	uint32_t	n;
	uint32_t	*in;		/* place → index in v, to be verified there */
};

struct run {
	const struct ocrd_re *re;
	const char	*begin, *end;
	uint32_t	*stack;
};

static bool is_word(const struct run *r, const char *p)
{
	return p >= r->begin && p < r->end &&
	       ((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || *p == '_');
}

static bool holds_at(const struct run *r, uint8_t op, const char *p)
{
	switch (op) {
	case RE_BEGIN:
		return p == r->begin;
	case RE_END:
		return p == r->end;
	case RE_BEGIN_LINE:
		return p == r->begin || p[-1] == '\n';
	case RE_END_LINE:
		return p == r->end || *p == '\n';
	default:
		return (is_word(r, p - 1) != is_word(r, p)) == (op == RE_WORD);
	}
}

/* Everything that is reached from @i without a character. */
static void follow(const struct run *r, struct threads *t, uint32_t i, const char *p)
{
	uint32_t n = 0;

	r->stack[n++] = i;
	while (n) {
		const struct re_inst *in;

		i = r->stack[--n];
		if (t->in[i] < t->n && t->v[t->in[i]] == i)
			continue;
		t->in[i] = t->n;
		t->v[t->n++] = i;
		in = &r->re->prog[i];
		if (in->op == RE_SPLIT) {
			r->stack[n++] = in->y;
			r->stack[n++] = in->x;
		} else if (in->op == RE_JMP) {
			r->stack[n++] = in->x;
		} else if (in->op >= RE_BEGIN && in->op <= RE_NOT_WORD && holds_at(r, in->op, p)) {
			r->stack[n++] = i + 1;
		}
	}
}

static bool takes(const struct ocrd_re *re, const struct re_inst *in, uint32_t ch)
{
	bool found = false;

	if (in->op == RE_ANY)
		return ch != '\n';
	if (in->op == RE_ANY_NL)
		return true;
	if (in->op != RE_SET)
		return false;
	for (uint32_t i = 0; i < in->y && !found; i++)
		found = ch >= re->ranges[in->x + i].lo && ch <= re->ranges[in->x + i].hi;
	return found != in->negated;
}

static bool matched(const struct ocrd_re *re, const struct threads *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (re->prog[t->v[i]].op == RE_MATCH)
			return true;
	return false;
}

bool ocrd_re_search(const struct ocrd_re *re, struct orlop_bytes text)
{
	uint64_t steps = UINT64_MAX;

	return ocrd_re_match(re, text, &steps) != 0;
}

/* False: none are left. */
static bool spend(uint64_t *steps, uint64_t n)
{
	*steps -= n < *steps ? n : *steps;
	return *steps != 0;
}

int ocrd_re_match(const struct ocrd_re *re, struct orlop_bytes text, uint64_t *steps)
{
	uint32_t *mem = omem_zalloc_array(re->n * 6u + 6, sizeof(*mem)), n = re->n + 1;
	struct threads now = { mem, 0, mem ? mem + n : NULL }, next = { mem ? mem + 2 * n : NULL, 0, mem ? mem + 3 * n : NULL };
	struct run r = { re, text.p ? text.p : "", text.p ? text.p + text.len : "", mem ? mem + 4 * n : NULL };
	const char *p = r.begin;
	bool good, left = spend(steps, re->n / 4 + 1);

	if (!mem)
		return 1;
	follow(&r, &now, 0, p);
	good = matched(re, &now);
	while (!good && left && p < r.end) {
		const char *q = p;
		uint32_t ch = re_rune(&q, r.end);
		struct threads swap;

		next.n = 0;
		for (uint32_t i = 0; i < now.n && left; i++) {
			const struct re_inst *in = &re->prog[now.v[i]];

			left = spend(steps, in->op == RE_SET ? 1 + in->y / 8 : 1);
			if (takes(re, in, ch))
				follow(&r, &next, now.v[i] + 1, q);
		}
		p = q;
		follow(&r, &next, 0, p);
		good = matched(re, &next);
		swap = now;
		now = next;
		next = swap;
	}
	omem_free(mem);
	return good ? 1 : left ? 0 : -E2BIG;
}
