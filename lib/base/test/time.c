/* otime: formats, parsing, durations, ages. */
#include "base/otap.h"
#include "base/otime.h"

#include <errno.h>

static void age(int64_t secs, const char *want)
{
	char out[OTIME_BUF];

	otime_duration_human(secs * OTIME_SECOND, out);
	is_str(out, want, "age of %lld s", (long long)secs);
}

static void parse(const char *text, int want, int64_t want_ns)
{
	int64_t ns = 0;

	is_int(otime_parse(text, strlen(text), &ns), want, "parse %s", text);
	if (want == 0)
		is_int(ns, want_ns, "value of %s", text);
}

static void duration(const char *text, int want, int64_t want_ns, const char *back)
{
	char out[OTIME_BUF];
	int64_t ns = 0;

	is_int(otime_duration_parse(text, strlen(text), &ns), want, "duration %s", text);
	if (want != 0)
		return;
	is_int(ns, want_ns, "value of %s", text);
	otime_duration_format(ns, out);
	is_str(out, back, "%s written again", text);
}

int main(void)
{
	const int64_t t = 1136214245 * OTIME_SECOND;	/* 2006-01-02T15:04:05Z */
	char out[OTIME_BUF];
	bool good = true;

	otime_format(t, out);
	is_str(out, "2006-01-02T15:04:05Z", "RFC 3339");
	otime_format_micro(t + 1500, out);
	is_str(out, "2006-01-02T15:04:05.000001Z", "microseconds, cut not rounded");
	otime_format_nano(t + 120000000, out);
	is_str(out, "2006-01-02T15:04:05.12Z", "nanoseconds trimmed");
	otime_format_nano(t, out);
	is_str(out, "2006-01-02T15:04:05Z", "no fraction at all");
	otime_format_log(t + 1, out);
	is_str(out, "2006-01-02T15:04:05.000000001Z", "log form");
	otime_format_http(t, out);
	is_str(out, "Mon, 02 Jan 2006 15:04:05 GMT", "HTTP form");
	otime_format(-1, out);
	is_str(out, "1969-12-31T23:59:59Z", "before 1970");

	parse("2006-01-02T15:04:05Z", 0, t);
	parse("2006-01-02T17:04:05.5+02:00", 0, t + 500000000);
	parse("2006-01-02T14:34:05-00:30", 0, t);
	parse("2024-02-29T00:00:00Z", 0, 1709164800 * OTIME_SECOND);
	parse("2023-02-29T00:00:00Z", -ERANGE, 0);
	parse("2006-01-02T24:00:00Z", -ERANGE, 0);
	parse("2006-13-02T00:00:00Z", -ERANGE, 0);
	parse("9999-01-02T00:00:00Z", -ERANGE, 0);
	parse("2006-01-02 15:04:05Z", -EINVAL, 0);
	parse("2006-01-02T15:04:05", -EINVAL, 0);
	parse("2006-01-02T15:04:05.Z", -EINVAL, 0);
	parse("2006-01-02T15:04:05Zx", -EINVAL, 0);
	parse("", -EINVAL, 0);

	for (int64_t d = -100000; d < 100000 && good; d += 7) {
		struct otime_civil c;

		otime_to_civil(d * 86400 * OTIME_SECOND + OTIME_HOUR, &c);
		good = otime_days(c.year, c.month, c.day) == d && c.hour == 1;
	}
	ok(good, "days ↔ civil over five centuries");

	duration("0", 0, 0, "0s");
	duration("1h", 0, OTIME_HOUR, "1h0m0s");
	duration("1h30m", 0, 90 * OTIME_MINUTE, "1h30m0s");
	duration("-1.5h", 0, -90 * OTIME_MINUTE, "-1h30m0s");
	duration("100ms", 0, 100 * OTIME_MS, "100ms");
	duration("1.5s", 0, 1500 * OTIME_MS, "1.5s");
	duration(".5us", 0, 500, "500ns");
	duration("1500us", 0, 1500000, "1.5ms");
	duration("2\xc2\xb5s", 0, 2000, "2\xc2\xb5s");
	duration("9223372036854775807ns", 0, INT64_MAX, "2562047h47m16.854775807s");
	duration("-9223372036854775808ns", 0, INT64_MIN, "-2562047h47m16.854775808s");
	duration("9223372036854775808ns", -ERANGE, 0, NULL);
	duration("1", -EINVAL, 0, NULL);
	duration("1x", -EINVAL, 0, NULL);
	duration("", -EINVAL, 0, NULL);
	duration(".s", -EINVAL, 0, NULL);
	duration("1h ", -EINVAL, 0, NULL);

	age(-2, "<invalid>");
	age(-1, "0s");
	age(5, "5s");
	age(119, "119s");
	age(120, "2m");
	age(150, "2m30s");
	age(600, "10m");
	age(179 * 60, "179m");
	age(3 * 3600, "3h");
	age(3 * 3600 + 300, "3h5m");
	age(8 * 3600 + 300, "8h");
	age(47 * 3600, "47h");
	age(50 * 3600, "2d2h");
	age(45 * 86400, "45d");
	age(800 * 86400, "2y70d");
	age(3000 * 86400LL, "8y");
	return done_testing();
}
