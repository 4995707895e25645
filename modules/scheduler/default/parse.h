/* parse.h - what the readers of JSON here share: text and selectors into an arena. Errors go to *@err. */
#ifndef SCHEDULER_DEFAULT_PARSE_H
#define SCHEDULER_DEFAULT_PARSE_H

#include "sched.h"

/* The content of a JSON string, copied; empty for anything else. */
struct orlop_bytes sd_text(struct oarena *mem, struct orlop_bytes v, int *err);
struct orlop_bytes sd_text_at(struct oarena *mem, struct orlop_bytes obj, const char *key, int *err);
/* Bytes as they are, copied. */
struct orlop_bytes sd_copy(struct oarena *mem, struct orlop_bytes v, int *err);
/* @n zeroed elements; NULL if n is 0 or there is no memory. */
void *sd_array(struct oarena *mem, size_t n, size_t size, int *err);
/* The list of expressions under @key. */
struct sd_expr *sd_exprs_read(struct oarena *mem, struct orlop_bytes term, const char *key, uint32_t *n,
			      int *err);
/* A NodeSelectorTerm. */
void sd_term_read(struct oarena *mem, struct orlop_bytes v, struct sd_term *t, int *err);
/* A LabelSelector: matchLabels and matchExpressions. */
struct sd_expr *sd_selector_read(struct oarena *mem, struct orlop_bytes selector, uint32_t *n, int *err);

#endif
