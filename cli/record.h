/*
 * record.h - is a stored object what it should be? See abi/orlop/record.h for what that is.
 */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include <orlop/types.h>

typedef void (*record_found_fn)(void *arg, struct orlop_bytes key, const char *text);

struct record_uid {
	char		text[64];
	size_t		len;
};

/* Calls @fn for each thing that is wrong; gives the object's uid. */
void record_check(struct orlop_bytes key, struct orlop_bytes value, struct record_uid *ret, record_found_fn fn,
		  void *arg);

#endif
