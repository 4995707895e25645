/*
 * otime - time as text, the way Kubernetes writes it
 *
 * Wall time is nanoseconds since 1970 in UTC (int64_t, years 1678 … 2262). Nothing here reads a clock.
 */
#ifndef OLIB_BASE_OTIME_H
#define OLIB_BASE_OTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OTIME_US 1000ll
#define OTIME_MS 1000000ll
#define OTIME_SECOND 1000000000ll
#define OTIME_MINUTE (60 * OTIME_SECOND)
#define OTIME_HOUR (3600 * OTIME_SECOND)

/* Enough for each of the formats below, with NUL. */
#define OTIME_BUF 40

/* All return the length written; NUL-terminated. */
size_t otime_format(int64_t ns, char out[OTIME_BUF]);		/* 2006-01-02T15:04:05Z (metav1.Time) */
size_t otime_format_micro(int64_t ns, char out[OTIME_BUF]);	/* …05.000000Z (metav1.MicroTime) */
size_t otime_format_nano(int64_t ns, char out[OTIME_BUF]);	/* RFC3339Nano, zeros trimmed */
size_t otime_format_log(int64_t ns, char out[OTIME_BUF]);	/* …05.000000000Z, fixed width (CRI logs) */
size_t otime_format_http(int64_t ns, char out[OTIME_BUF]);	/* Mon, 02 Jan 2006 15:04:05 GMT */

/*
 * otime_parse - RFC 3339 with any fraction and offset
 *
 * Returns 0, -EINVAL (not RFC 3339), -ERANGE (a field out of range, or beyond what int64_t holds).
 */
int otime_parse(const char *p, size_t len, int64_t *ret_ns);

/* The same in seconds and nanoseconds, for the years 0 … 9999 that clients may send (Go's zero time is in year 1). */
int otime_parse_wide(const char *p, size_t len, int64_t *ret_s, int32_t *ret_ns);
/* As otime_format(), or with @micro otime_format_micro(); years 0 … 9999. */
size_t otime_format_wide(int64_t s, int32_t ns, bool micro, char out[OTIME_BUF]);
#define OTIME_WIDE_MIN	(-62167219200ll)	/* 0000-01-01T00:00:00Z in seconds */
#define OTIME_WIDE_MAX	253402300799ll		/* 9999-12-31T23:59:59Z */

/* Go's time.ParseDuration: [-+](number unit)+, units ns us µs ms s m h. 0, -EINVAL, -ERANGE. */
int otime_duration_parse(const char *p, size_t len, int64_t *ret_ns);

/* Go's Duration.String(): 1h0m0s, 1.5s, 100ms, 0s */
size_t otime_duration_format(int64_t ns, char out[OTIME_BUF]);

/* kubectl's AGE column: 5s, 2m30s, 3h, 45d, 2y35d; "<invalid>" when clearly negative */
size_t otime_duration_human(int64_t ns, char out[OTIME_BUF]);

/* Proleptic Gregorian calendar. */
struct otime_civil {
	int64_t	year;
	int	month;		/* 1 … 12 */
	int	day;		/* 1 … 31 */
	int	hour;
	int	minute;
	int	second;
	int	nsec;
	int	weekday;	/* 0 = Sunday */
};

void otime_to_civil(int64_t ns, struct otime_civil *c);
int64_t otime_days(int64_t year, int month, int day);	/* days since 1970-01-01 */

#endif
