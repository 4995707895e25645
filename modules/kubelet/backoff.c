/*
 * backoff.c - how long to wait before trying again. Pure.
 *
 * Source: client-go util/flowcontrol/backoff.go (Next, IsInBackOffSince) with 10 s and 5 min.
 */
#include "kubelet.h"

static bool expired(const struct backoff *b, int64_t at)
{
	return at - b->updated_ns > (int64_t)(2 * BACKOFF_MAX_S * NS_PER_S);
}

int64_t backoff_until(const struct backoff *b, int64_t failed_ns, int64_t now_ns)
{
	int64_t until = failed_ns + (int64_t)(b->delay_s * NS_PER_S);

	if (!b->delay_s || expired(b, failed_ns) || now_ns >= until)
		return 0;
	return until;
}

void backoff_next(struct backoff *b, int64_t now_ns)
{
	if (!b->delay_s || expired(b, now_ns))
		b->delay_s = BACKOFF_MIN_S;
	else if (b->delay_s < BACKOFF_MAX_S)
		b->delay_s = b->delay_s * 2 > BACKOFF_MAX_S ? BACKOFF_MAX_S : b->delay_s * 2;
	b->updated_ns = now_ns;
}
