/* Times and durations as text; see otime.h. */
#include "base/otime.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Floor division, so that times before 1970 keep fields in range. */
static int64_t div_floor(int64_t a, int64_t b, int64_t *rem)
{
	int64_t q = a / b;
	int64_t r = a % b;

	if (r < 0) {
		r += b;
		q--;
	}
	*rem = r;
	return q;
}

/* Days from civil and back: eras of 400 years that begin on 1 March. */
int64_t otime_days(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t yoe;
	int64_t era = div_floor(y, 400, &yoe);
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void otime_to_civil(int64_t ns, struct otime_civil *c)
{
	int64_t nsec;
	int64_t secs;
	int64_t days;
	int64_t doe;
	int64_t era;
	int64_t wd;
	int64_t yoe;
	int64_t doy;
	int64_t mp;

	days = div_floor(div_floor(ns, OTIME_SECOND, &nsec), 86400, &secs);
	(void)div_floor(days + 4, 7, &wd);
	era = div_floor(days + 719468, 146097, &doe);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	c->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	c->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	c->year = yoe + era * 400 + (c->month <= 2);
	c->hour = (int)(secs / 3600);
	c->minute = (int)(secs / 60 % 60);
	c->second = (int)(secs % 60);
	c->nsec = (int)nsec;
	c->weekday = (int)wd;
}

static size_t format_fraction(int64_t ns, int digits, bool trim, char out[OTIME_BUF])
{
	struct otime_civil c;
	char frac[10];
	int n;

	otime_to_civil(ns, &c);
	n = snprintf(out, OTIME_BUF, "%04d-%02d-%02dT%02d:%02d:%02d", (int)c.year, c.month, c.day,
		     c.hour, c.minute, c.second);
	(void)snprintf(frac, sizeof(frac), "%09d", c.nsec);
	if (trim)
		while (digits > 0 && frac[digits - 1] == '0')
			digits--;
	if (digits > 0)
		n += snprintf(out + n, OTIME_BUF - (size_t)n, ".%.*s", digits, frac);
	out[n++] = 'Z';
	out[n] = '\0';
	return (size_t)n;
}

size_t otime_format(int64_t ns, char out[OTIME_BUF])
{
	return format_fraction(ns, 0, false, out);
}

size_t otime_format_micro(int64_t ns, char out[OTIME_BUF])
{
	return format_fraction(ns, 6, false, out);
}

size_t otime_format_wide(int64_t s, int32_t ns, bool micro, char out[OTIME_BUF])
{
	/* The calendar repeats every 400 years: into 1970 … 2369 less one round, and the year back. */
	const int64_t round = INT64_C(146097) * 86400;
	int64_t within;
	int64_t rounds = div_floor(s, round, &within);
	char year[24];
	size_t n;

	if (within > 8000000000) {	/* beyond what nanoseconds hold */
		within -= round;
		rounds++;
	}
	n = format_fraction(within * OTIME_SECOND + ns, micro ? 6 : 0, false, out);
	(void)snprintf(year, sizeof(year), "%04d",
		       (int)((out[0] - '0') * 1000 + (out[1] - '0') * 100 + (out[2] - '0') * 10 + (out[3] - '0') +
			     400 * rounds));
	memcpy(out, year, 4);
	return n;
}

size_t otime_format_nano(int64_t ns, char out[OTIME_BUF])
{
	return format_fraction(ns, 9, true, out);
}

size_t otime_format_log(int64_t ns, char out[OTIME_BUF])
{
	return format_fraction(ns, 9, false, out);
}

size_t otime_format_http(int64_t ns, char out[OTIME_BUF])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct otime_civil c;

	otime_to_civil(ns, &c);
	return (size_t)snprintf(out, OTIME_BUF, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
				days + 3 * c.weekday, c.day, months + 3 * (c.month - 1),
				(int)c.year, c.hour, c.minute, c.second);
}

static bool digits(const char *p, size_t n, int *ret)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (p[i] - '0');
	}
	*ret = v;
	return true;
}

static int month_days(int year, int month)
{
	static const char len[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return len[month - 1] + (month == 2 && leap);
}

/* Z or ±hh:mm at *@p up to @end; seconds east of UTC. */
static int parse_offset(const char *p, const char *end, int *ret_secs)
{
	int hh;
	int mm;

	if (end - p == 1 && *p == 'Z') {
		*ret_secs = 0;
		return 0;
	}
	if (end - p != 6 || (*p != '+' && *p != '-') || p[3] != ':' || !digits(p + 1, 2, &hh) ||
	    !digits(p + 4, 2, &mm))
		return -EINVAL;
	if (hh > 24 || mm > 60)
		return -ERANGE;
	*ret_secs = (hh * 3600 + mm * 60) * (*p == '-' ? -1 : 1);
	return 0;
}

int otime_parse_wide(const char *p, size_t len, int64_t *ret_s, int32_t *ret_ns)
{
	const char *end = p + len;
	int y, mo, d, h, mi, s;
	int nsec = 0;
	int offset;
	int64_t secs;
	int r;

	if (len < 20 || p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':')
		return -EINVAL;
	if (!digits(p, 4, &y) || !digits(p + 5, 2, &mo) || !digits(p + 8, 2, &d) ||
	    !digits(p + 11, 2, &h) || !digits(p + 14, 2, &mi) || !digits(p + 17, 2, &s))
		return -EINVAL;
	p += 19;
	if (*p == '.' || *p == ',') {
		int scale = 100000000;

		p++;
		if (p == end || *p < '0' || *p > '9')
			return -EINVAL;
		for (; p < end && *p >= '0' && *p <= '9'; p++) {
			nsec += (*p - '0') * scale;
			scale /= 10;
		}
	}
	r = parse_offset(p, end, &offset);
	if (r < 0)
		return r;
	if (mo < 1 || mo > 12 || d < 1 || d > month_days(y, mo) || h > 23 || mi > 59 || s > 59)
		return -ERANGE;
	secs = otime_days(y, mo, d) * 86400 + h * 3600 + mi * 60 + s - offset;
	if (secs < OTIME_WIDE_MIN || secs > OTIME_WIDE_MAX)
		return -ERANGE;
	*ret_s = secs;
	*ret_ns = nsec;
	return 0;
}

int otime_parse(const char *p, size_t len, int64_t *ret_ns)
{
	int64_t secs = 0;
	int32_t nsec = 0;
	int64_t ns;
	int r = otime_parse_wide(p, len, &secs, &nsec);

	if (r < 0)
		return r;
	if (__builtin_mul_overflow(secs, OTIME_SECOND, &ns) || __builtin_add_overflow(ns, nsec, &ns))
		return -ERANGE;
	*ret_ns = ns;
	return 0;
}

/* Unit at *@p; 0 if none. */
static uint64_t duration_unit(const char **p, const char *end)
{
	static const struct {
		char		name[4];
		uint64_t	ns;
	} units[] = {
		{ "ns", 1 }, { "us", 1000 }, { "\xc2\xb5s", 1000 }, { "\xce\xbcs", 1000 },
		{ "ms", 1000000 }, { "s", OTIME_SECOND }, { "m", OTIME_MINUTE }, { "h", OTIME_HOUR },
	};
	size_t n = 0;

	while (*p + n < end && (*p)[n] != '.' && ((*p)[n] < '0' || (*p)[n] > '9'))
		n++;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strlen(units[i].name) == n && memcmp(units[i].name, *p, n) == 0) {
			*p += n;
			return units[i].ns;
		}
	}
	return 0;
}

int otime_duration_parse(const char *p, size_t len, int64_t *ret_ns)
{
	const char *end = p + len;
	const uint64_t limit = 1ull << 63;
	uint64_t total = 0;
	bool neg = false;

	if (p < end && (*p == '-' || *p == '+'))
		neg = *p++ == '-';
	if (end - p == 1 && *p == '0') {
		*ret_ns = 0;
		return 0;
	}
	if (p == end)
		return -EINVAL;
	while (p < end) {
		const char *start = p;
		uint64_t whole = 0;
		uint64_t frac = 0;
		uint64_t scale = 1;
		uint64_t unit;
		bool any;

		for (; p < end && *p >= '0' && *p <= '9'; p++)
			if (__builtin_mul_overflow(whole, 10u, &whole) ||
			    __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole) || whole > limit)
				return -ERANGE;
		any = p > start;
		if (p < end && *p == '.') {
			p++;
			for (; p < end && *p >= '0' && *p <= '9'; p++) {
				any = true;
				if (scale < 1000000000000000ull) {
					frac = frac * 10 + (uint64_t)(*p - '0');
					scale *= 10;
				}
			}
		}
		if (!any)
			return -EINVAL;
		unit = duration_unit(&p, end);
		if (unit == 0)
			return -EINVAL;
		if (__builtin_mul_overflow(whole, unit, &whole) || whole > limit)
			return -ERANGE;
		/* double is exact enough: Go does the same */
		whole += (uint64_t)((double)frac * ((double)unit / (double)scale));
		if (__builtin_add_overflow(total, whole, &total) || total > limit)
			return -ERANGE;
	}
	if (!neg && total > INT64_MAX)
		return -ERANGE;
	*ret_ns = neg ? (int64_t)(0 - total) : (int64_t)total;
	return 0;
}

/* v / 10^prec with trailing zeros of the fraction dropped */
static size_t put_fraction(char *out, uint64_t v, int prec, const char *unit)
{
	uint64_t pow = 1;
	uint64_t frac;
	size_t n;

	for (int i = 0; i < prec; i++)
		pow *= 10;
	frac = v % pow;
	n = (size_t)sprintf(out, "%llu", (unsigned long long)(v / pow));
	if (frac != 0) {
		out[n++] = '.';
		for (; frac != 0; frac %= pow) {
			pow /= 10;
			out[n++] = (char)('0' + frac / pow);
		}
	}
	return n + (size_t)sprintf(out + n, "%s", unit);
}

size_t otime_duration_format(int64_t ns, char out[OTIME_BUF])
{
	uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t mins = u / OTIME_MINUTE;
	size_t n = 0;

	if (ns < 0)
		out[n++] = '-';
	if (u == 0)
		return (size_t)sprintf(out, "0s");
	if (u < OTIME_SECOND) {
		if (u < OTIME_US)
			return n + (size_t)sprintf(out + n, "%lluns", (unsigned long long)u);
		if (u < OTIME_MS)
			return n + put_fraction(out + n, u, 3, "\xc2\xb5s");
		return n + put_fraction(out + n, u, 6, "ms");
	}
	if (mins >= 60)
		n += (size_t)sprintf(out + n, "%lluh", (unsigned long long)(mins / 60));
	if (mins > 0)
		n += (size_t)sprintf(out + n, "%llum", (unsigned long long)(mins % 60));
	return n + put_fraction(out + n, u % OTIME_MINUTE, 9, "s");
}

/* "<a><ua>" or "<a><ua><b><ub>", the second only if b != 0 */
static size_t put_two(char *out, int64_t a, char ua, int64_t b, char ub)
{
	if (b == 0)
		return (size_t)sprintf(out, "%lld%c", (long long)a, ua);
	return (size_t)sprintf(out, "%lld%c%lld%c", (long long)a, ua, (long long)b, ub);
}

size_t otime_duration_human(int64_t ns, char out[OTIME_BUF])
{
	int64_t s = ns / OTIME_SECOND;
	int64_t m = s / 60;
	int64_t h = m / 60;

	/* a little skew between clocks is not worth a complaint */
	if (s < -1)
		return (size_t)sprintf(out, "<invalid>");
	if (s < 0)
		return (size_t)sprintf(out, "0s");
	if (s < 120)
		return (size_t)sprintf(out, "%llds", (long long)s);
	if (m < 10)
		return put_two(out, m, 'm', s % 60, 's');
	if (m < 180)
		return (size_t)sprintf(out, "%lldm", (long long)m);
	if (h < 8)
		return put_two(out, h, 'h', m % 60, 'm');
	if (h < 48)
		return (size_t)sprintf(out, "%lldh", (long long)h);
	if (h < 24 * 8)
		return put_two(out, h / 24, 'd', h % 24, 'h');
	if (h < 24 * 365 * 2)
		return (size_t)sprintf(out, "%lldd", (long long)(h / 24));
	if (h < 24 * 365 * 8)
		return put_two(out, h / 24 / 365, 'y', h / 24 % 365, 'd');
	return (size_t)sprintf(out, "%lldy", (long long)(h / 24 / 365));
}
