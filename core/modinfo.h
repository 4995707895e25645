/*
 * modinfo.h - what a module's file says about itself, read without running any of its code.
 */
#ifndef CORE_MODINFO_H
#define CORE_MODINFO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <orlop/types.h>

#include "rights.h"

#define CORE_MODINFO_MAX_BYTES	65536u		/* of the section */
#define CORE_MODULE_MAX_BYTES	(512u << 20)	/* of the file */

struct core_modinfo {
	char		*text;		/* the section, NUL-terminated strings; all below point into it */
	uint32_t	len;
	uint16_t	abi_major;
	uint16_t	abi_minor;
	const char	*name;
	const char	*class_name;
	const char	*version;	/* "" if absent */
	const char	*license;
	const char	*user;		/* NULL: none */
	char		**provides;	/* NULL-terminated, never NULL */
	char		**needs;
	char		**reads;
	char		**asks;		/* NULL: it does not say */
	struct core_rights rights;	/* in a process of its own */
	char		build_id[65];	/* hex, "" if there is none */
	bool		plain_libs;	/* needs nothing but the C library: may be unmapped */
	/* which file it was */
	dev_t		dev;
	ino_t		ino;
	off_t		size;
	int64_t		mtime_ns;
};

/*
 * core_modinfo_read - from an open file
 *
 * @file is its name for messages ("spread.so: …"). 0, or -ENOEXEC (not a module, damaged, another
 * machine), -E2BIG, -errno; one line in @err that names the numbers. Never trusts the file.
 */
int core_modinfo_read(int fd, const char *file, struct core_modinfo *ret, struct orlop_error *err);
/* The same from memory: for tests and fuzzing. */
int core_modinfo_parse(const void *p, size_t len, const char *file, struct core_modinfo *ret,
		       struct orlop_error *err);
void core_modinfo_done(struct core_modinfo *m);

/* Does this core provide the ABI it was built for? 0 or -ENOEXEC with the numbers. */
int core_modinfo_abi_check(const struct core_modinfo *m, const char *file, struct orlop_error *err);

#endif
