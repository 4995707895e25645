/*
 * place.h - where the parts of Orlop are: beside this program in a build tree, or installed.
 */
#ifndef CLI_PLACE_H
#define CLI_PLACE_H

#include <orlop/inline/error.h>

struct place {
	char	*orlopd;
	char	*modules;	/* directory */
	char	*unpack;	/* helper of runtime/oci */
	char	*contracts;	/* directory of programs that test a class; $ORLOP_CONTRACTS */
};

int place_find(struct place *ret, struct orlop_error *err);
void place_done(struct place *p);
/* Is there the .so of "class/name" or "class"? */
int place_has_module(const struct place *p, const char *module);
/* A program in the usual directories: its path (omem_free) or NULL. */
char *place_program(const char *name);

#endif
