/* oquantity: parsing, canonical text, arithmetic; examples as upstream's tests have them. */
#include "base/otap.h"
#include "quantity/oquantity.h"

#include <errno.h>
#include <stdint.h>

static struct oquantity q(const char *text)
{
	struct oquantity v = OQUANTITY_ZERO;

	if (oquantity_parse(text, strlen(text), &v, NULL) < 0)
		fail("%s does not parse", text);
	return v;
}

static void canonical(const char *text, const char *want)
{
	char out[OQUANTITY_BUF];
	struct oquantity v = q(text);
	struct oquantity again;
	size_t n = oquantity_write(&v, out);

	is_str(out, want, "%s is %s", text, want);
	is_int(n, strlen(out), "its length");
	again = q(out);
	is_int(oquantity_cmp(&v, &again), 0, "and reads back as the same");
}

static void bad(const char *text, const char *want)
{
	struct oquantity v;
	const char *why = NULL;

	is_int(oquantity_parse(text, strlen(text), &v, &why), -EINVAL, "\"%s\" is refused", text);
	ok(why != NULL && strncmp(why, want, strlen(want)) == 0, "with: %s", want);
}

static void values(const char *text, int64_t whole, int64_t milli)
{
	struct oquantity v = q(text);

	is_int(oquantity_i64(&v), whole, "%s in units", text);
	is_int(oquantity_milli(&v), milli, "%s in thousandths", text);
}

static void sum(const char *a, const char *b, const char *plus, const char *minus)
{
	struct oquantity x = q(a);
	struct oquantity y = q(a);
	struct oquantity z = q(b);
	char out[OQUANTITY_BUF];

	is_int(oquantity_add(&x, &z), 0, "%s + %s", a, b);
	oquantity_write(&x, out);
	is_str(out, plus, "is %s", plus);
	is_int(oquantity_sub(&y, &z), 0, "%s - %s", a, b);
	oquantity_write(&y, out);
	is_str(out, minus, "is %s", minus);
}

static void test_canonical(void)
{
	canonical("0", "0");
	canonical("0.5", "500m");
	canonical("1024Mi", "1Gi");
	canonical("1.5Gi", "1536Mi");
	canonical("1000m", "1");
	canonical("1e3", "1e3");
	canonical("1E3", "1e3");
	canonical("1000e3", "1e6");
	canonical("1.5e3", "1500");
	canonical("100e-3", "100e-3");
	canonical("0.1", "100m");
	canonical("1000", "1k");
	canonical("1500", "1500");
	canonical("100k", "100k");
	canonical("1000000k", "1G");
	canonical("12", "12");
	canonical("012", "12");
	canonical("+12", "12");
	canonical("-12m", "-12m");
	canonical("-0", "0");
	canonical("0Ki", "0");
	canonical("0.0", "0");
	canonical("512Ki", "512Ki");
	canonical("1023Ki", "1023Ki");
	canonical("1Ki", "1Ki");
	canonical("0.5Ki", "512");
	canonical("1000Ki", "1000Ki");
	canonical("0.001Ki", "1024m");
	canonical("0.0001Ki", "102400u");
	canonical("1.1Ki", "1126400m");
	canonical("8Ei", "9223372036854775807");
	canonical("-8Ei", "-9223372036854775807");
	canonical("7Ei", "7Ei");
	canonical("1E", "1E");
	canonical("1000E", "1000E");
	canonical("100000000000000000000", "100E");
	canonical("9223372036854775807", "9223372036854775807");
	canonical("9223372036854775808", "9223372036854775808");
	canonical("1.23456789012345678", "1234567891n");
	canonical("0.0000000001", "1n");
	canonical("-0.0000000001", "-1n");
	canonical("1n", "1n");
	canonical("0.1n", "1n");
	canonical("1000n", "1u");
	canonical("3.01e-7", "301e-9");
	canonical("1.G", "1G");
	canonical(".5", "500m");
	canonical("1e30", "1e30");
	canonical("1e-40", "1e-9");
	canonical("1234567890123456789012345678901234m", "1234567890123456789012345678901234m");
	canonical("0.00000000000000000001Gi", "1n");
	canonical("1.0000000000931322574615478515625Gi", "1073741824100m");
}

static void test_bad(void)
{
	static const char format[] = "quantities must match the regular expression";
	static const char suffix[] = "unable to parse quantity's suffix";

	bad("", format);
	bad(" 1", format);
	bad("1 ", format);
	bad("1.1.M", format);
	bad("1+1.0M", format);
	bad("0.1mi", suffix);
	bad("0.1am", format);
	bad("aoeu", format);
	bad(".5i", suffix);
	bad("1i", suffix);
	bad("-3.01i", suffix);
	bad("-3.01e-", suffix);
	bad("1ki", suffix);
	bad("1K", suffix);
	bad("1mm", suffix);
	bad("1e9999999999999999999999", suffix);
	bad("0x10", format);
}

static void test_limits(void)
{
	struct oquantity v;

	is_int(oquantity_parse("1e36", 4, &v, NULL), -ERANGE, "10^36 is too large");
	is_int(oquantity_parse("1e9000000", 9, &v, NULL), -ERANGE, "far too large");
	is_int(oquantity_parse("0e9000000", 9, &v, NULL), 0, "zero is zero");
	ok(oquantity_is_zero(&v), "whatever the exponent");
	v = q("999999999999999999999999999999999999");
	is_int(oquantity_add(&v, &v), -ERANGE, "a sum beyond the limit");
	values("100E", INT64_MAX, INT64_MAX);
	values("-100E", INT64_MIN, INT64_MIN);
	values("-9223372036854775808", INT64_MIN, INT64_MIN);
}

static void test_round_up(void)
{
	struct oquantity v = q("0.0001");
	char out[OQUANTITY_BUF];

	ok(!oquantity_round_up(&v, -3), "precision is lost");
	oquantity_write(&v, out);
	is_str(out, "1m", "rounded up to milli");
	v = q("-1.5");
	ok(!oquantity_round_up(&v, 0), "precision is lost");
	oquantity_write(&v, out);
	is_str(out, "-2", "away from zero");
	v = q("999999999.9999");
	ok(!oquantity_round_up(&v, -3), "precision is lost");
	oquantity_write(&v, out);
	is_str(out, "1G", "with carry");
	v = q("1024Mi");
	ok(oquantity_round_up(&v, -3), "nothing to lose");
}

int main(void)
{
	struct oquantity a = q("1Gi");
	struct oquantity b = q("1G");
	struct oquantity c = q("1024Mi");
	struct oquantity n = q("-1");
	struct oquantity m;
	char out[OQUANTITY_BUF];

	test_canonical();
	test_bad();
	test_limits();
	test_round_up();
	values("1", 1, 1000);
	values("1500m", 2, 1500);
	values("-1500m", -2, -1500);
	values("1n", 1, 1);
	values("1Ki", 1024, 1024000);
	values("0.1Ki", 103, 102400);
	ok(oquantity_cmp(&a, &b) > 0 && oquantity_cmp(&b, &a) < 0, "Gi is more than G");
	is_int(oquantity_cmp(&a, &c), 0, "1024Mi equals 1Gi");
	ok(oquantity_cmp(&n, &a) < 0 && oquantity_sign(&n) == -1, "negative is less");
	sum("1", "500m", "1500m", "500m");
	sum("1Gi", "1Mi", "1025Mi", "1023Mi");
	sum("1Gi", "1", "1073741825", "1073741823");
	sum("1", "2", "3", "-1");
	sum("-1", "1", "0", "-2");
	sum("0", "1Gi", "1Gi", "-1Gi");
	sum("100m", "1Ki", "1024100m", "-1023900m");
	oquantity_from_milli(&m, -1500, OQUANTITY_DECIMAL);
	oquantity_write(&m, out);
	is_str(out, "-1500m", "from thousandths");
	oquantity_from_i64(&m, INT64_MIN, OQUANTITY_DECIMAL);
	is_int(oquantity_i64(&m), INT64_MIN, "from the smallest integer");
	ok(oquantity_double(&a) == 1073741824.0, "as double");
	return done_testing();
}
