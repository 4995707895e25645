/*
 * memory.h - what the files of storage/memory share.
 */
#ifndef STORAGE_MEMORY_MEMORY_H
#define STORAGE_MEMORY_MEMORY_H

#include "store/ostore.h"

struct key;

struct version {
	uint64_t	rev;
	uint64_t	create_rev;	/* 0: a deletion */
	struct key	*key;
	struct version	*older;
	size_t		len;
	char		value[];
};

struct key {
	struct version	*newest;
	uint32_t	len;
	char		text[];
};

struct memory {
	const struct orlop_host *h;
	struct key	**keys;		/* sorted */
	size_t		n_keys;
	size_t		cap_keys;
	struct version	**log;		/* by revision; what is older than `oldest` is dropped */
	size_t		n_log;
	size_t		cap_log;
	uint64_t	rev;
	uint64_t	oldest;		/* reading below this is ESTALE */
	uint64_t	bytes;
	uint64_t	writes;
	struct ostore_waiters *waiters;
};

/* memory.c */
const struct version *memory_at(const struct key *k, uint64_t rev);	/* NULL: not there */
struct key *memory_key_get(struct memory *m, struct orlop_bytes want);	/* find or insert; NULL without memory */
void memory_keys_free(struct memory *m);
void memory_numbers(struct memory *m, struct orlop_call *call);		/* answers REV and OLDEST */

/* snapshot.c */
int memory_snapshot(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);
int memory_restore(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err);

#endif
