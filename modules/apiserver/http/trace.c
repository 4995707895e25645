/*
 * trace.c - one request's number on its way: from the client's `traceparent` (W3C Trace Context), or new,
 * to every request on the bus that is made because of it, to the kubelet, and back in the answer.
 *
 * On the bus a trace has 64 bits: the last 16 digits of the 32. Who sends none finds the same 16 digits
 * at the end of the answer's Audit-Id, without the hyphen.
 */
#include <string.h>

#include "../front.h"

/* @n lower-case hexadecimal digits. */
static bool hex(const char *p, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			v = v << 4 | (uint64_t)(p[i] - '0');
		else if (p[i] >= 'a' && p[i] <= 'f')
			v = v << 4 | (uint64_t)(p[i] - 'a' + 10);
		else
			return false;
	}
	*ret = v;
	return true;
}

static void put_hex(char to[16], uint64_t v)
{
	for (size_t i = 16; i-- > 0; v >>= 4)
		to[i] = "0123456789abcdef"[v & 15];
}

/* "00-<32>-<16>-<2>"; later versions may have more behind that. */
static bool parse(struct orlop_bytes v, uint64_t *ret_high, uint64_t *ret_low)
{
	uint64_t version;
	uint64_t parent;
	uint64_t flags;

	if (!v.p || v.len < 55 || v.p[2] != '-' || v.p[35] != '-' || v.p[52] != '-')
		return false;
	if (!hex(v.p, 2, &version) || version == 0xff || (version == 0 && v.len != 55) ||
	    (v.len > 55 && v.p[55] != '-'))
		return false;
	if (!hex(v.p + 3, 16, ret_high) || !hex(v.p + 19, 16, ret_low) || !hex(v.p + 36, 16, &parent) ||
	    !hex(v.p + 53, 2, &flags))
		return false;
	return parent != 0 && (*ret_high || *ret_low);
}

void front_trace(struct front *f, const uint8_t random[16])
{
	uint64_t high = 0;
	uint64_t low = 0;
	uint64_t span = 0;

	if (!parse(ohttp_header(f->req, "traceparent"), &high, &low))
		for (size_t i = 0; i < 8; i++) {
			high = high << 8 | random[i];
			low = low << 8 | random[8 + i];
		}
	/* The bus takes 0 for "none": then the other half. */
	f->rq.trace = low ? low : high ? high : 1;
	for (size_t i = 0; i < 8; i++)
		span = span << 8 | random[i];
	memcpy(f->traceparent, "00-", 3);
	put_hex(f->traceparent + 3, high);
	put_hex(f->traceparent + 19, low);
	f->traceparent[35] = '-';
	put_hex(f->traceparent + 36, span ? span : 1);
	memcpy(f->traceparent + 52, "-01", 4);
}
