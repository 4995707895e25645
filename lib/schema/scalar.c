/*
 * scalar.c - checks single values as Go's decoders do and brings them into canonical form.
 */
#include "schema/scalar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/otime.h"
#include "quantity/oquantity.h"
#include "schema/internal.h"

static int share(struct ojson *in, struct ojson **ret)
{
	*ret = ojson_ref(in);
	return 0;
}

static int text(const char *p, size_t n, struct ojson *in, struct ojson **ret)
{
	struct orlop_bytes was = otext(in);

	if (ojson_is(in, OJSON_STRING) && ostr_eq(was.p, was.len, p, n))
		return share(in, ret);
	*ret = ojson_new_string(p, n);
	return *ret != NULL ? 0 : -ENOMEM;
}

static int decode_int(unsigned int kind, struct ojson *in, struct ojson **ret)
{
	int64_t v;

	if (!ojson_is(in, OJSON_INT))
		return -EINVAL;
	v = ojson_i64(in, 0);
	if (kind != OSCHEMA_INT64 && (v < INT32_MIN || v > INT32_MAX))
		return -EINVAL;
	return share(in, ret);
}

static int decode_bytes(struct ojson *in, struct ojson **ret, char *why, size_t why_size)
{
	struct orlop_bytes b = otext(in);
	cleanup_free char *raw = NULL;
	cleanup_free char *again = NULL;
	size_t at = 0;
	long n;

	if (!ojson_is(in, OJSON_STRING))
		return -EINVAL;
	n = obase64_decode(OBASE64_STD, b.p, b.len, NULL, &at);
	if (n < 0) {
		(void)snprintf(why, why_size, "illegal base64 data at input byte %zu", at);
		return -EINVAL;
	}
	/* line breaks and stray bits beside the padding are not canonical */
	if (memchr(b.p, '\n', b.len) == NULL && memchr(b.p, '\r', b.len) == NULL &&
	    (b.len == 0 || b.p[b.len - 1] != '='))
		return share(in, ret);
	raw = omem_alloc(OBASE64_DECODED(b.len));
	again = omem_alloc(OBASE64_ENCODED((size_t)n));
	if (raw == NULL || again == NULL)
		return -ENOMEM;
	(void)obase64_decode(OBASE64_STD, b.p, b.len, raw, NULL);
	n = (long)obase64_encode(OBASE64_STD, raw, (size_t)n, again);
	return text(again, (size_t)n, in, ret);
}

int oscalar_quantity(bool milli, struct ojson *in, struct ojson **ret, char *why, size_t why_size)
{
	char canonical[OQUANTITY_BUF];
	const char *sentence = "";
	struct oquantity q;
	struct orlop_bytes b = otext(in);
	struct obuf number = OBUF_INIT;
	int r;

	if (!ojson_is(in, OJSON_STRING)) {
		(void)ojson_write(in, 0, &number);
		if (obuf_err(&number) != 0) {
			obuf_done(&number);
			return -ENOMEM;
		}
		b.p = obuf_cstr(&number);
		b.len = number.len;
	}
	r = oquantity_parse(b.p, b.len, &q, &sentence);
	obuf_done(&number);
	if (r != 0) {
		(void)snprintf(why, why_size, "%s", r == -ERANGE ? "quantity is out of range" : sentence);
		return -EINVAL;
	}
	if (milli)
		(void)oquantity_round_up(&q, -3);
	return text(canonical, oquantity_write(&q, canonical), in, ret);
}

/*
 * The sentence of time.Parse: the first element of the layout that the text does not have. Only
 * called for texts that otime_parse() has refused.
 */
static void time_why(const char *p, size_t n, bool micro, char *why, size_t why_size)
{
	static const struct {
		const char *name;
		int digits;
	} elems[] = {
		{ "2006", 4 }, { "-", 0 }, { "01", 2 }, { "-", 0 }, { "02", 2 }, { "T", 0 },
		{ "15", 2 }, { ":", 0 }, { "04", 2 }, { ":", 0 }, { "05", 2 },
	};
	const char *layout = micro ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00";
	const char *missing = "Z07:00";
	size_t at = 0;

	for (size_t i = 0; i < sizeof(elems) / sizeof(elems[0]); i++) {
		size_t want = elems[i].digits != 0 ? (size_t)elems[i].digits : 1, k = 0;

		while (k < want && at + k < n && (elems[i].digits != 0 ?
						  p[at + k] >= '0' && p[at + k] <= '9' :
						  p[at + k] == elems[i].name[0]))
			k++;
		if (k < want) {
			missing = elems[i].name;
			break;
		}
		at += want;
	}
	(void)snprintf(why, why_size, "parsing time \"%.*s\" as \"%s\": cannot parse \"%.*s\" as \"%s\"",
		       (int)(n < 64 ? n : 64), p, layout, (int)(n - at < 64 ? n - at : 64), p + at, missing);
}

static int decode_time(bool micro, struct ojson *in, struct ojson **ret, char *why, size_t why_size)
{
	struct orlop_bytes b = otext(in);
	char canonical[OTIME_BUF];
	int64_t sec;
	int32_t ns;
	int r;

	if (!ojson_is(in, OJSON_STRING))
		return -EINVAL;
	r = otime_parse_wide(b.p, b.len, &sec, &ns);
	if (r == -ERANGE)
		(void)snprintf(why, why_size, "parsing time \"%.*s\": out of range",
			       (int)(b.len < 64 ? b.len : 64), b.p);
	else if (r != 0)
		time_why(b.p, b.len, micro, why, why_size);
	if (r != 0)
		return -EINVAL;
	return text(canonical, otime_format_wide(sec, ns, micro, canonical), in, ret);
}

static int decode_duration(struct ojson *in, struct ojson **ret, char *why, size_t why_size)
{
	struct orlop_bytes b = otext(in);
	char canonical[OTIME_BUF];
	int64_t ns;

	if (!ojson_is(in, OJSON_STRING))
		return -EINVAL;
	if (otime_duration_parse(b.p, b.len, &ns) != 0) {
		(void)snprintf(why, why_size, "time: invalid duration \"%.*s\"",
			       (int)(b.len < 64 ? b.len : 64), b.p);
		return -EINVAL;
	}
	return text(canonical, otime_duration_format(ns, canonical), in, ret);
}

int oscalar_decode(unsigned int kind, struct ojson *in, struct ojson **ret, char *why, size_t why_size)
{
	*why = '\0';
	switch (kind) {
	case OSCHEMA_STRING:
		return ojson_is(in, OJSON_STRING) ? share(in, ret) : -EINVAL;
	case OSCHEMA_INT32:
	case OSCHEMA_INT64:
		return decode_int(kind, in, ret);
	case OSCHEMA_BOOL:
		return ojson_is(in, OJSON_BOOL) ? share(in, ret) : -EINVAL;
	case OSCHEMA_DOUBLE:
		return ojson_is(in, OJSON_INT) || ojson_is(in, OJSON_DOUBLE) ? share(in, ret) : -EINVAL;
	case OSCHEMA_BYTES:
		return decode_bytes(in, ret, why, why_size);
	case OSCHEMA_QUANTITY:
		return oscalar_quantity(false, in, ret, why, why_size);
	case OSCHEMA_INT_OR_STRING:
		return ojson_is(in, OJSON_STRING) ? share(in, ret) : decode_int(OSCHEMA_INT32, in, ret);
	case OSCHEMA_TIME:
		return decode_time(false, in, ret, why, why_size);
	case OSCHEMA_MICROTIME:
		return decode_time(true, in, ret, why, why_size);
	case OSCHEMA_DURATION:
		return decode_duration(in, ret, why, why_size);
	default:
		return share(in, ret);
	}
}
