/*
 * oquota - what an object costs of a ResourceQuota
 *
 * Lists of resources are JSON objects of quantities, as in the API: {"pods":"1","requests.cpu":"500m"}.
 * Resources of the API have their names of the cache: "pods", "deployments.apps". Source: upstream's
 * pkg/quota/v1 (evaluators), behaviour and words.
 */
#ifndef OLIB_QUOTA_OQUOTA_H
#define OLIB_QUOTA_OQUOTA_H

#include <orlop/types.h>

#include "base/obuf.h"
#include "json/ojson.h"

#include <stdbool.h>
#include <stdint.h>

/* Does an object of @resource cost something called @name ("requests.cpu", "count/deployments.apps")? */
bool oquota_counts(const char *resource, struct orlop_bytes name);

/*
 * oquota_resource - the resource whose objects cost @name
 *
 * Written to @buf ("pods" for "limits.cpu"); NULL if there can be none or it does not fit.
 */
const char *oquota_resource(struct orlop_bytes name, char *buf, size_t size);

/* Do all scopes of @spec (a quota's spec) hold for the object? */
bool oquota_in_scope(const struct ojson *spec, const char *resource, const struct ojson *obj);

/* What @obj costs, a new list. @now_ns: pods that were to be gone by then cost nothing but themselves. */
int oquota_usage(const char *resource, const struct ojson *obj, int64_t now_ns, struct ojson **ret);

/*
 * What of @hard the containers of a pod must say and do not: "must specify limits.cpu for: a,b", appended to @why;
 * nothing if all is there.
 */
void oquota_missing(const char *resource, const struct ojson *hard, const struct ojson *obj, struct obuf *why);

/* ---- lists ---- */

/* @sum += @list, or -=. 0, -ENOMEM, -ERANGE. */
int oquota_add(struct ojson *sum, const struct ojson *list);
int oquota_sub(struct ojson *sum, const struct ojson *list);
/* The same quantities under the same names? */
bool oquota_equal(const struct ojson *a, const struct ojson *b);
/* A new list: what of @list is named in @mask. */
struct ojson *oquota_mask(const struct ojson *list, const struct ojson *mask);
/* Without what is zero. */
void oquota_drop_zeros(struct ojson *list);
/* A new list: what of @list is more than @hard's, NULL without memory. */
struct ojson *oquota_beyond(const struct ojson *list, const struct ojson *hard);
/* "limits.cpu=1,pods=2" by name; those of @only. */
void oquota_print(const struct ojson *list, const struct ojson *only, struct obuf *b);
/* "limits.cpu,pods": the names alone */
void oquota_print_names(const struct ojson *list, struct obuf *b);

/* pod.c */
int oquota_pod_usage(const struct ojson *pod, int64_t now_ns, struct ojson *sum);
int oquota_container_usage(const struct ojson *requests, const struct ojson *limits, struct ojson *sum);
bool oquota_pod_in_scope(const char *scope, const char *operator, const struct ojson *values, const struct ojson *pod);

#endif
