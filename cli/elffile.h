/*
 * elffile.h - what a shared object shows without being loaded: exports, libraries, writable data, modinfo.
 */
#ifndef CLI_ELFFILE_H
#define CLI_ELFFILE_H

#include <stdbool.h>
#include <stdint.h>

#include <orlop/inline/error.h>

#include "base/obuf.h"

struct elffile {
	char		*map;		/* the file */
	size_t		size;
	const char	*modinfo;	/* section .orlop.modinfo; NULL: none */
	size_t		modinfo_len;
	uint64_t	writable_bytes;	/* of .data and .bss: state that instances would share */
	bool		bind_now;
	bool		relro;
	bool		exec_stack;
	bool		rpath;
	bool		build_id;
	struct obuf	needed;		/* names of libraries, each with a NUL */
	struct obuf	exports;	/* defined and visible symbols, each with a NUL */
};

/* 0, or -ENOEXEC with what is wrong; the file is never trusted. elffile_done() in any case. */
int elffile_open(const char *path, struct elffile *ret, struct orlop_error *err);
void elffile_done(struct elffile *e);
/* The value of a modinfo key, "" if there is none; borrowed. */
const char *elffile_modinfo(const struct elffile *e, const char *key);

#endif
