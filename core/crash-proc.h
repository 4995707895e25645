/*
 * crash-proc.h - what a dying process can still find out about itself: maps, words of its memory.
 * Only core/crash.c includes it. All of it async-signal-safe: system calls and memory given by the caller.
 */
#ifndef CORE_CRASH_PROC_H
#define CORE_CRASH_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRASH_MAPS_BYTES	(512u << 10)
#define CRASH_RANGES_MAX	512u

/* A mapped file's code. */
struct crash_range {
	uintptr_t	start;
	uintptr_t	end;
	uintptr_t	base;		/* where the file begins: what addresses in it count from */
	const char	*path;		/* in the text of the maps */
	uint32_t	path_len;
};

struct crash_maps {
	uint32_t	n;
	struct crash_range range[CRASH_RANGES_MAX];
	char		text[CRASH_MAPS_BYTES];
};

void crash_maps_read(struct crash_maps *m);
/* The code that @addr lies in, or NULL. */
const struct crash_range *crash_maps_find(const struct crash_maps *m, uintptr_t addr);
/* False if there is no such memory. */
bool crash_peek(uintptr_t addr, void *buf, size_t len);
/* The build-id of the file mapped at @base, hex; "none" if it has none. */
void crash_build_id(uintptr_t base, char out[65]);

#endif
