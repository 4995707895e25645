/*
 * otap - unit tests that print TAP, for test programs only
 *
 * One test program is one .c file; the counters are static in it, lib/ itself holds no state.
 *
 *	int main(void)
 *	{
 *		ok(1 + 1 == 2, "addition");
 *		is_int(7, 7, "seven %s", "again");
 *		is_str("a", "a", "text");
 *		return done_testing();
 *	}
 *
 * #define OTAP_FAULTS before including it: otap_fail_nth(n) lets the n-th allocation from now fail
 * (1 is the next), otap_fail_nth(0) none; otap_faulted() says whether it happened.
 */
#ifndef OLIB_BASE_OTAP_H
#define OLIB_BASE_OTAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OTAP_UNUSED __attribute__((unused))

static struct {
	int	plan;
	int	run;
	int	failed;
} otap_state OTAP_UNUSED;

static OTAP_UNUSED void otap_plan(int n)
{
	otap_state.plan = n;
	printf("1..%d\n", n);
}

static OTAP_UNUSED void otap_diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static OTAP_UNUSED void otap_diag(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static OTAP_UNUSED bool otap_ok(bool good, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static OTAP_UNUSED bool otap_ok(bool good, const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	char name[512];

	va_start(ap, fmt);
	(void)vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	for (char *s = name; *s != '\0'; s++)
		if (*s == '\n' || *s == '#')
			*s = ' ';
	printf("%sok %d - %s\n", good ? "" : "not ", ++otap_state.run, name);
	if (!good) {
		otap_state.failed++;
		otap_diag("failed at %s:%d", file, line);
	}
	(void)fflush(stdout);
	return good;
}

static OTAP_UNUSED bool otap_is_str(const char *got, const char *want, const char *file, int line,
				    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static OTAP_UNUSED bool otap_is_str(const char *got, const char *want, const char *file, int line,
				    const char *fmt, ...)
{
	bool same = got == want || (got != NULL && want != NULL && strcmp(got, want) == 0);
	char name[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	if (!otap_ok(same, file, line, "%s", name))
		printf("# got  %s\n# want %s\n", got != NULL ? got : "(null)",
		       want != NULL ? want : "(null)");
	return same;
}

#define plan(n) otap_plan(n)
#define diag(...) otap_diag(__VA_ARGS__)
/* The condition is evaluated first: what it writes may be in the name. */
#define ok(cond, ...) (__extension__({ \
	bool otap_good_ = (cond); \
	otap_ok(otap_good_, __FILE__, __LINE__, __VA_ARGS__); }))
#define pass(...) otap_ok(true, __FILE__, __LINE__, __VA_ARGS__)
#define fail(...) otap_ok(false, __FILE__, __LINE__, __VA_ARGS__)

#define is_int(got, want, ...) (__extension__({ \
	long long got_ = (long long)(got); \
	long long want_ = (long long)(want); \
	if (!ok(got_ == want_, __VA_ARGS__)) \
		otap_diag("got %lld, want %lld", got_, want_); \
	got_ == want_; }))

#define is_str(got, want, ...) (__extension__({ \
	const char *otap_got_ = (got); \
	const char *otap_want_ = (want); \
	otap_is_str(otap_got_, otap_want_, __FILE__, __LINE__, __VA_ARGS__); }))

#define is_mem(got, got_len, want, want_len, ...) (__extension__({ \
	const char *got_ = (const char *)(got); \
	size_t gl_ = (got_len), wl_ = (want_len); \
	const char *want_ = (const char *)(want); \
	bool same_ = gl_ == wl_ && (gl_ == 0 || memcmp(got_, want_, gl_) == 0); \
	if (!ok(same_, __VA_ARGS__)) \
		otap_diag("got  %.*s\n# want %.*s", (int)gl_, got_, (int)wl_, want_); \
	same_; }))

static OTAP_UNUSED void otap_skip(const char *why, int n)
{
	for (int i = 0; i < n; i++)
		printf("ok %d # SKIP %s\n", ++otap_state.run, why);
}

/* The whole program is skipped: return its value from main(). */
static OTAP_UNUSED int otap_skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	return 0;
}

static OTAP_UNUSED void otap_bail_out(const char *why)
{
	printf("Bail out! %s\n", why);
	(void)fflush(stdout);
	exit(255);
}

static OTAP_UNUSED int done_testing(void)
{
	if (otap_state.plan == 0)
		printf("1..%d\n", otap_state.run);
	else if (otap_state.plan != otap_state.run)
		otap_diag("planned %d tests but ran %d", otap_state.plan, otap_state.run);
	if (otap_state.failed > 0)
		otap_diag("%d of %d failed", otap_state.failed, otap_state.run);
	(void)fflush(stdout);
	return otap_state.failed > 0 || (otap_state.plan != 0 && otap_state.plan != otap_state.run);
}

#ifdef OTAP_FAULTS
#include <stdatomic.h>

/* Other threads allocate, too. */
static _Atomic long otap_fault_at;
static atomic_bool otap_fault_hit;

/* weak as in omem.h, which may be included later */
bool omem_fault(size_t size) __attribute__((weak));
bool omem_fault(size_t size)
{
	(void)size;
	if (otap_fault_at == 0 || atomic_fetch_sub(&otap_fault_at, 1) != 1)
		return false;
	otap_fault_hit = true;
	return true;
}

static OTAP_UNUSED void otap_fail_nth(long n)
{
	otap_fault_at = n;
	if (n > 0)
		otap_fault_hit = false;
}

static OTAP_UNUSED bool otap_faulted(void)
{
	return otap_fault_hit;
}

/* Between (1) and (0) nothing fails, and no allocation counts. */
static OTAP_UNUSED void otap_fault_shelter(int inside)
{
	static long kept;

	if (inside) {
		kept = otap_fault_at;
		otap_fault_at = 0;
	} else {
		otap_fault_at = kept;
	}
}
#endif

#endif
