/* Parsing, arithmetic and canonical text of quantities; see oquantity.h. */
#include "quantity/oquantity.h"

#include "base/ostr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BASE 1000000000u
#define DIGITS_MAX ((OQUANTITY_LIMBS - 1) * 9)

static const char why_format[] = "quantities must match the regular expression "
	"'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
static const char why_suffix[] = "unable to parse quantity's suffix";

/* ---- magnitudes ----------------------------------------------------------------------------- */

static bool mag_is_zero(const uint32_t *a)
{
	for (int i = 0; i < OQUANTITY_LIMBS; i++)
		if (a[i] != 0)
			return false;
	return true;
}

static int mag_cmp(const uint32_t *a, const uint32_t *b)
{
	for (int i = OQUANTITY_LIMBS - 1; i >= 0; i--)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

/* a += b; false on overflow */
static bool mag_add(uint32_t *a, const uint32_t *b)
{
	uint32_t carry = 0;

	for (int i = 0; i < OQUANTITY_LIMBS; i++) {
		uint32_t v = a[i] + b[i] + carry;

		carry = v >= BASE;
		a[i] = carry ? v - BASE : v;
	}
	return carry == 0;
}

/* a -= b, a ≥ b */
static void mag_sub(uint32_t *a, const uint32_t *b)
{
	uint32_t borrow = 0;

	for (int i = 0; i < OQUANTITY_LIMBS; i++) {
		uint32_t need = b[i] + borrow;

		borrow = a[i] < need;
		a[i] = borrow ? a[i] + BASE - need : a[i] - need;
	}
}

/* a = a * m + add, m, add < 2^32; false on overflow */
static bool mag_mul(uint32_t *a, uint32_t m, uint32_t add)
{
	uint64_t carry = add;

	for (int i = 0; i < OQUANTITY_LIMBS; i++) {
		carry += (uint64_t)a[i] * m;
		a[i] = (uint32_t)(carry % BASE);
		carry /= BASE;
	}
	return carry == 0;
}

/* a /= d; the remainder */
static uint32_t mag_div(uint32_t *a, uint32_t d)
{
	uint64_t rem = 0;

	for (int i = OQUANTITY_LIMBS - 1; i >= 0; i--) {
		rem = rem * BASE + a[i];
		a[i] = (uint32_t)(rem / d);
		rem %= d;
	}
	return (uint32_t)rem;
}

/* In units of 10^-9: the smallest step up; false on overflow. */
static bool mag_inc(uint32_t *a)
{
	return mag_mul(a, 1, 1);
}

static bool mag_from_u64(uint32_t *a, uint64_t v)
{
	memset(a, 0, OQUANTITY_LIMBS * sizeof(*a));
	for (int i = 1; i < OQUANTITY_LIMBS && v != 0; i++) {
		a[i] = (uint32_t)(v % BASE);
		v /= BASE;
	}
	return v == 0;
}

/* ---- parse ------------------------------------------------------------------------------------ */

struct parts {
	bool		negative;
	const char	*num;		/* without leading zeros */
	size_t		num_len;
	const char	*denom;
	size_t		denom_len;
	const char	*suffix;
	size_t		suffix_len;
};

static size_t digits(const char *p, size_t len, size_t i)
{
	while (i < len && p[i] >= '0' && p[i] <= '9')
		i++;
	return i;
}

/* As upstream's parseQuantityString, with what it lets through: "+", ".", "k" are zero. */
static int split(const char *p, size_t len, struct parts *t)
{
	size_t i = 0;
	size_t start;

	if (len == 0)
		return -EINVAL;
	if (p[0] == '-' || p[0] == '+')
		t->negative = p[i++] == '-';
	while (i < len && p[i] == '0')
		i++;
	start = i;
	i = digits(p, len, i);
	t->num = p + start;
	t->num_len = i - start;
	t->denom = p + i;
	if (i < len && p[i] == '.') {
		start = ++i;
		i = digits(p, len, i);
		t->denom = p + start;
		t->denom_len = i - start;
	}
	t->suffix = p + i;
	t->suffix_len = len - i;
	while (i < len && p[i] != '\0' && strchr("eEinumkKMGTP", p[i]) != NULL)
		i++;
	if (i == len)
		return 0;
	if (p[i] == '-' || p[i] == '+')
		i++;
	return digits(p, len, i) == len ? 0 : -EINVAL;
}

/* Power of ten, or of two for the binary family. */
static int interpret(const char *s, size_t len, int64_t *ret_exp, enum oquantity_format *ret_format)
{
	static const char order[] = "kMGTPE";
	static const char small[] = "mun";
	const char *at;

	*ret_format = OQUANTITY_DECIMAL;
	*ret_exp = 0;
	if (len == 0)
		return 0;
	if (len == 1) {
		if ((at = strchr(order, s[0])) != NULL) {
			*ret_exp = 3 * (at - order + 1);
			return 0;
		}
		if ((at = strchr(small, s[0])) != NULL) {
			*ret_exp = -3 * (at - small + 1);
			return 0;
		}
		return -EINVAL;
	}
	if (len == 2 && s[1] == 'i' && (s[0] == 'K' || (s[0] != 'k' && strchr(order, s[0]) != NULL))) {
		*ret_format = OQUANTITY_BINARY;
		*ret_exp = s[0] == 'K' ? 10 : 10 * (strchr(order, s[0]) - order + 1);
		return 0;
	}
	if (s[0] != 'e' && s[0] != 'E')
		return -EINVAL;
	*ret_format = OQUANTITY_EXPONENT;
	return ostr_to_i64(s + 1, len - 1, ret_exp) == 0 ? 0 : -EINVAL;
}

/*
 * The decimal digits of @t times 10^exp into units of 10^-9; @ret_lost: something other than zero
 * lies beyond the last place.
 */
static int put_digits(const struct parts *t, int64_t exp, uint32_t *a, bool *ret_lost)
{
	bool zero = true;
	int64_t place = exp + (int64_t)t->num_len;	/* 10^place is just above the next digit */

	memset(a, 0, OQUANTITY_LIMBS * sizeof(*a));
	*ret_lost = false;
	for (size_t i = 0; i < t->num_len + t->denom_len; i++) {
		char c = i < t->num_len ? t->num[i] : t->denom[i - t->num_len];
		int64_t at = place - (int64_t)i - 1;

		zero = zero && c == '0';
		if (zero)
			continue;
		if (at < -9) {
			*ret_lost = *ret_lost || c != '0';
			continue;
		}
		if (at >= DIGITS_MAX && c != '0')
			return -ERANGE;
		if (c != '0') {
			static const uint32_t pow10[] = { 1, 10, 100, 1000, 10000, 100000, 1000000,
							  10000000, 100000000 };

			a[(at + 9) / 9] += (uint32_t)(c - '0') * pow10[(at + 9) % 9];
		}
	}
	return 0;
}

/*
 * The same times 2^exp. Decimals beyond nano come into sight by the multiplication, so the nine
 * after those are multiplied apart and added.
 */
static int scale_binary(const struct parts *t, int64_t exp, uint32_t *a, bool *ret_lost)
{
	uint32_t b[OQUANTITY_LIMBS];
	struct parts beyond = { .denom = t->denom + 9, .num = t->num };
	int r = put_digits(t, 0, a, ret_lost);

	if (r < 0)
		return r;
	if (t->denom_len > 9)
		beyond.denom_len = t->denom_len - 9;
	if (beyond.denom_len == 0)
		beyond.denom = t->denom;
	(void)put_digits(&beyond, 0, b, ret_lost);
	for (; exp > 0; exp -= 10)
		if (!mag_mul(a, 1024, 0) || !mag_mul(b, 1024, 0))
			return -ERANGE;
	*ret_lost = mag_div(b, BASE) != 0 || *ret_lost;
	return mag_add(a, b) ? 0 : -ERANGE;
}

int oquantity_parse(const char *p, size_t len, struct oquantity *ret, const char **ret_why)
{
	static const uint32_t cap[OQUANTITY_LIMBS] = { 0, 854775807, 223372036, 9, 0 };
	static const uint32_t one[OQUANTITY_LIMBS] = { 0, 1, 0, 0, 0 };
	struct parts t = { 0 };
	struct oquantity q = OQUANTITY_ZERO;
	enum oquantity_format format;
	int64_t exp;
	bool lost;
	int r;

	if (ret_why != NULL)
		*ret_why = why_format;
	if (split(p, len, &t) < 0)
		return -EINVAL;
	if (interpret(t.suffix, t.suffix_len, &exp, &format) < 0) {
		if (ret_why != NULL)
			*ret_why = why_suffix;
		return -EINVAL;
	}
	/* far beyond either end the digits alone decide; this keeps the sums small */
	if (format != OQUANTITY_BINARY && exp > 1000)
		exp = 1000;
	if (format != OQUANTITY_BINARY && exp < -1000000)
		exp = -1000000;
	r = format == OQUANTITY_BINARY ? scale_binary(&t, exp, q.limb, &lost) :
					 put_digits(&t, exp, q.limb, &lost);
	if (r == -ERANGE && format == OQUANTITY_BINARY) {
		memcpy(q.limb, cap, sizeof(cap));
		lost = false;
		r = 0;
	}
	if (r == 0 && lost && !mag_inc(q.limb))
		r = -ERANGE;
	if (r < 0) {
		if (ret_why != NULL)
			*ret_why = "quantity is too large";
		return r;
	}
	if (format == OQUANTITY_BINARY && mag_cmp(q.limb, cap) > 0)
		memcpy(q.limb, cap, sizeof(cap));
	/* upstream: this avoids rounding, and hopefully confusion, too */
	if (format == OQUANTITY_BINARY && mag_cmp(q.limb, one) < 0 && !mag_is_zero(q.limb))
		format = OQUANTITY_DECIMAL;
	q.format = (uint8_t)format;
	q.negative = t.negative && !mag_is_zero(q.limb);
	*ret = q;
	return 0;
}

/* ---- write ------------------------------------------------------------------------------------ */

static size_t put_mag(const uint32_t *a, int top, char *out)
{
	size_t n;

	while (top > 0 && a[top] == 0)
		top--;
	n = (size_t)sprintf(out, "%u", a[top]);
	while (top-- > 0)
		n += (size_t)sprintf(out + n, "%09u", a[top]);
	return n;
}

/* Can it be written in whole Ki and more? Then writes it. */
static size_t write_binary(const struct oquantity *q, char *out)
{
	uint32_t a[OQUANTITY_LIMBS];
	uint32_t next[OQUANTITY_LIMBS];
	size_t n;
	int power = 0;

	/* below 1024 and with a fraction the decimal form says more */
	if (q->limb[0] != 0 || (q->limb[1] < 1024 && q->limb[2] == 0 && q->limb[3] == 0 && q->limb[4] == 0))
		return 0;
	memcpy(a, q->limb + 1, (OQUANTITY_LIMBS - 1) * sizeof(a[0]));
	a[OQUANTITY_LIMBS - 1] = 0;
	for (; power < 6; power++) {
		memcpy(next, a, sizeof(a));
		if (mag_div(next, 1024) != 0)
			break;
		memcpy(a, next, sizeof(a));
	}
	n = put_mag(a, OQUANTITY_LIMBS - 1, out);
	if (power > 0) {
		out[n++] = "KMGTPE"[power - 1];
		out[n++] = 'i';
	}
	out[n] = '\0';
	return n;
}

size_t oquantity_write(const struct oquantity *q, char out[OQUANTITY_BUF])
{
	static const char suffixes[] = "num\0kMGTPE";
	uint32_t a[OQUANTITY_LIMBS];
	uint32_t next[OQUANTITY_LIMBS];
	size_t n = 0;
	size_t k;
	int exp = -9;

	if (mag_is_zero(q->limb))
		return (size_t)sprintf(out, "0");
	if (q->negative)
		out[n++] = '-';
	if (q->format == OQUANTITY_BINARY) {
		k = write_binary(q, out + n);
		if (k > 0)
			return n + k;
	}
	memcpy(a, q->limb, sizeof(a));
	while (exp < 18 || q->format == OQUANTITY_EXPONENT) {
		memcpy(next, a, sizeof(a));
		if (mag_div(next, 1000) != 0)
			break;
		memcpy(a, next, sizeof(a));
		exp += 3;
	}
	n += put_mag(a, OQUANTITY_LIMBS - 1, out + n);
	if (exp == 0) {
		out[n] = '\0';
		return n;
	}
	if (q->format == OQUANTITY_EXPONENT)
		return n + (size_t)sprintf(out + n, "e%d", exp);
	out[n++] = suffixes[(exp + 9) / 3];
	out[n] = '\0';
	return n;
}

/* ---- arithmetic ------------------------------------------------------------------------------- */

void oquantity_from_i64(struct oquantity *q, int64_t v, enum oquantity_format format)
{
	*q = (struct oquantity)OQUANTITY_ZERO;
	(void)mag_from_u64(q->limb, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
	q->negative = v < 0;
	q->format = (uint8_t)format;
}

void oquantity_from_milli(struct oquantity *q, int64_t milli, enum oquantity_format format)
{
	uint64_t v = milli < 0 ? 0 - (uint64_t)milli : (uint64_t)milli;

	oquantity_from_i64(q, 0, format);
	(void)mag_from_u64(q->limb, v / 1000);
	q->limb[0] = (uint32_t)(v % 1000) * 1000000;
	q->negative = milli < 0;
}

bool oquantity_is_zero(const struct oquantity *q)
{
	return mag_is_zero(q->limb);
}

int oquantity_sign(const struct oquantity *q)
{
	return mag_is_zero(q->limb) ? 0 : q->negative ? -1 : 1;
}

int oquantity_cmp(const struct oquantity *a, const struct oquantity *b)
{
	if (a->negative != b->negative)
		return a->negative ? -1 : 1;
	return a->negative ? mag_cmp(b->limb, a->limb) : mag_cmp(a->limb, b->limb);
}

int oquantity_add(struct oquantity *a, const struct oquantity *b)
{
	struct oquantity q = *a;

	if (oquantity_is_zero(a))
		q.format = b->format;
	if (q.negative == b->negative) {
		if (!mag_add(q.limb, b->limb))
			return -ERANGE;
	} else if (mag_cmp(q.limb, b->limb) >= 0) {
		mag_sub(q.limb, b->limb);
	} else {
		memcpy(q.limb, b->limb, sizeof(q.limb));
		mag_sub(q.limb, a->limb);
		q.negative = b->negative;
	}
	if (mag_is_zero(q.limb))
		q.negative = 0;
	*a = q;
	return 0;
}

int oquantity_sub(struct oquantity *a, const struct oquantity *b)
{
	struct oquantity q = *b;

	oquantity_neg(&q);
	return oquantity_add(a, &q);
}

void oquantity_neg(struct oquantity *q)
{
	q->negative = !q->negative && !mag_is_zero(q->limb);
}

/* |q| in units of 10^-9 divided by @unit, rounded up, with q's sign, saturating */
static int64_t scaled(const struct oquantity *q, uint32_t unit)
{
	uint64_t limit = (uint64_t)INT64_MAX + q->negative;
	uint32_t a[OQUANTITY_LIMBS];
	uint64_t v = 0;

	memcpy(a, q->limb, sizeof(a));
	if (mag_div(a, unit) != 0)
		(void)mag_inc(a);
	for (int i = OQUANTITY_LIMBS - 1; i >= 0; i--) {
		if (__builtin_mul_overflow(v, (uint64_t)BASE, &v) ||
		    __builtin_add_overflow(v, (uint64_t)a[i], &v) || v > limit) {
			v = limit;
			break;
		}
	}
	return q->negative ? (int64_t)(0 - v) : (int64_t)v;
}

int64_t oquantity_i64(const struct oquantity *q)
{
	return scaled(q, BASE);
}

int64_t oquantity_milli(const struct oquantity *q)
{
	return scaled(q, 1000000);
}

double oquantity_double(const struct oquantity *q)
{
	double d = 0;

	for (int i = OQUANTITY_LIMBS - 1; i >= 1; i--)
		d = d * BASE + q->limb[i];
	d += (double)q->limb[0] / BASE;
	return q->negative ? -d : d;
}

bool oquantity_round_up(struct oquantity *q, int scale)
{
	static const uint32_t unit[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000,
					 1000000000 };
	uint32_t u = unit[scale < -9 ? 0 : scale > 0 ? 9 : scale + 9];
	uint32_t rest = q->limb[0] % u;
	uint32_t step[OQUANTITY_LIMBS] = { 0 };

	if (rest == 0)
		return true;
	step[u == BASE ? 1 : 0] = u == BASE ? 1 : u;
	q->limb[0] -= rest;
	(void)mag_add(q->limb, step);
	return false;
}
