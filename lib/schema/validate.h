/*
 * validate.h - is a typed tree (decode.h) a valid object, and a valid change of another?
 *
 * Findings are upstream's: field path, reason and wording. What is checked stands in
 * api/ *.schema as rules and in check-*.c as functions; metadata is checked for every kind.
 */
#ifndef OSCHEMA_VALIDATE_H
#define OSCHEMA_VALIDATE_H

#include "schema/oschema.h"

struct ojson;
struct obuf;

struct oschema_write {
	struct ojson *obj;	/* typed tree with defaults; metadata filled by the registry:
					   name, namespace (and generated name), uid, creationTimestamp */
	struct ojson *old;	/* typed tree as stored; NULL: create */
	struct orlop_bytes sub;		/* subresource of the request, "" none: "status", "ephemeralcontainers",
					   "resize", "finalize" relax or replace the rules for changes */
	const char *group;		/* of the request, if it spoke of the object as another group has it; or NULL */
};

/*
 * oschema_validate - all findings about one write of resource @r
 *
 * Returns 0, or -EINVAL with @err = 422 Invalid, @err->causes one per finding (reason, message,
 * field) and @err->msg the text of Status.message, cut to its size: oschema_invalid_message() makes
 * it in full from the causes. -ENOMEM.
 * Not checked here, since it needs other objects: whether names that are referred to exist,
 * addresses and ports are free, the caller may do this.
 */
int oschema_validate(const struct oschema *s, const struct oschema_resource *r,
		     const struct oschema_write *w, struct orlop_error *err);

/*
 * oschema_validate_body - the same for the body of a subresource that has a type of its own
 * (Binding, Scale, TokenRequest, Eviction); the message speaks of @sub's kind and @name.
 */
int oschema_validate_body(const struct oschema *s, const struct oschema_sub *sub, struct ojson *body,
			  struct orlop_error *err);

/* `Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be …`, brackets if several. */
int oschema_invalid_message(const char *kind, const char *group, const char *name,
			    const struct orlop_causes *causes, struct obuf *out);

/* What is said of an expression of CEL that is kept though nobody evaluates it: a warning. @path is where, @what what it is. */
void oschema_not_evaluated(char *buf, size_t size, const char *path, const char *what, const char *text);

/*
 * oschema_format_check - does text have format @fmt (enum oschema_format)?
 *
 * Returns NULL if so, else upstream's sentence about what is wanted (the first if there are several).
 */
const char *oschema_format_check(unsigned int fmt, const char *p, size_t n);

/* All of them: how many there are. */
#define OSCHEMA_FORMAT_WHYS 6
size_t oschema_format_whys(unsigned int fmt, const char *p, size_t n, const char *ret[OSCHEMA_FORMAT_WHYS]);

/* metadata.generateName: as the name rule, with a trailing "-" allowed. */
size_t oschema_format_whys_prefix(unsigned int fmt, const char *p, size_t n, const char *ret[OSCHEMA_FORMAT_WHYS]);

/*
 * oschema_spec_changed - does this change count for metadata.generation?
 *
 * Compares everything but metadata and status (and annotations where the kind says so). False
 * for kinds without generation.
 */
bool oschema_spec_changed(const struct oschema *s, const struct oschema_resource *r,
			  const struct ojson *old, const struct ojson *obj);

#endif
