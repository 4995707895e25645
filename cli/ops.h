/*
 * ops.h - what the ops of a class are called.
 */
#ifndef CLI_OPS_H
#define CLI_OPS_H

#include <stddef.h>
#include <stdint.h>

/* The op's name at an address, "op7" if it is not known (then in @buf). */
const char *op_text(const char *address, uint32_t op, char *buf, size_t size);
/* A number, or the name of an op at @address (NULL: at any). 0 or -1. */
int op_parse(const char *address, const char *text, uint32_t *ret);

#endif
