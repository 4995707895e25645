/*
 * clock.c - clocks and chance as simulated processes see them.
 *
 * A machine's monotonic clock begins somewhere when it is switched on and goes with the world's; its wall
 * clock may be wrong and jump. Outside of simulated processes the clocks are the real ones: a driver asks
 * sim_now().
 */
#include "inside.h"

#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MONO_BASE	(1000 * SIM_S)
#define WALL_BASE	(UINT64_C(1767225600) * SIM_S)		/* 2026-01-01 */

uint64_t sim_real_ns(void)
{
	struct timespec ts;

	(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SIM_S + (uint64_t)ts.tv_nsec;
}

static uint64_t clock_ns(const struct sim_proc *p, clockid_t id)
{
	switch (id) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		return (uint64_t)((int64_t)(WALL_BASE + p->w->now) + p->wall_off);
	default:
		return MONO_BASE + p->w->now - p->boot;
	}
}

SIM_OURS int clock_gettime(clockid_t id, struct timespec *ts)
{
	struct sim_proc *p = sim_proc_here();
	uint64_t ns;

	if (!p)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ns = clock_ns(p, id);
	ts->tv_sec = (time_t)(ns / SIM_S);
	ts->tv_nsec = (long)(ns % SIM_S);
	return 0;
}

SIM_OURS time_t time(time_t *ret)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (ret)
		*ret = ts.tv_sec;
	return ts.tv_sec;
}

SIM_OURS int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;

	(void)tz;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

SIM_OURS ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
	struct sim_proc *p = sim_proc_here();
	unsigned char *b = buf;

	if (!p)
		return syscall(SYS_getrandom, buf, len, flags);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = sim_next(&p->rnd);

		memcpy(b + i, &v, len - i < 8 ? len - i : 8);
	}
	return (ssize_t)len;
}

SIM_OURS int getentropy(void *buf, size_t len)
{
	return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -1;
}
