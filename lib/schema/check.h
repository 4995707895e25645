/*
 * check.h - what a check function has: the write, the place, and ways to report. Private to lib/schema.
 *
 * A check gets the value of the struct or field it stands at (NULL if absent) and the value there
 * before (NULL on create, inside lists, and if it was absent), and reports every finding.
 */
#ifndef OSCHEMA_CHECK_H
#define OSCHEMA_CHECK_H

#include "schema/hooks.h"
#include "schema/internal.h"
#include "schema/validate.h"

struct ocheck {
	const struct oschema *s;
	const struct oschema_write *w;
	struct orlop_error *err;
	const char	*kind;		/* of the object: "Pod" */
	uint32_t	found;
	size_t		said;		/* bytes of what was found */
	bool		update;
	bool		lost;		/* there was no memory to find something */
	bool		in_pod;		/* the object is a Pod, not something with a template */
	bool		bad_selector;	/* spec.selector is no selector: upstream does not look at the template then */
};

typedef void (*ocheck_fn)(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old);

/* Findings, as k8s.io/apimachinery/pkg/util/validation/field words them. @detail may be "". */
void ocheck_required(struct ocheck *c, const struct opath *at, const char *detail);
void ocheck_forbidden(struct ocheck *c, const struct opath *at, const char *detail);
void ocheck_invalid(struct ocheck *c, const struct opath *at, const struct ojson *v, const char *detail);
void ocheck_invalid_text(struct ocheck *c, const struct opath *at, struct orlop_bytes v, const char *detail);
/* without the value */
void ocheck_invalid_bare(struct ocheck *c, const struct opath *at, const char *detail);
void ocheck_duplicate(struct ocheck *c, const struct opath *at, const struct ojson *v);
void ocheck_duplicate_why(struct ocheck *c, const struct opath *at, const struct ojson *v, const char *detail);
void ocheck_duplicate_text(struct ocheck *c, const struct opath *at, const char *text);
void ocheck_not_found(struct ocheck *c, const struct opath *at, const struct ojson *v);
void ocheck_not_supported(struct ocheck *c, const struct opath *at, const struct ojson *v,
			  const char *const *values, size_t n);
void ocheck_too_long(struct ocheck *c, const struct opath *at, int64_t max);
void ocheck_too_many(struct ocheck *c, const struct opath *at, size_t n, int64_t max);

/* The same one member deeper: ocheck_required(c, at + key, …). */
void ocheck_required_at(struct ocheck *c, const struct opath *at, const char *key, const char *detail);
void ocheck_forbidden_at(struct ocheck *c, const struct opath *at, const char *key, const char *detail);
/* Invalid member of @obj: its value is looked up. */
void ocheck_invalid_at(struct ocheck *c, const struct opath *at, struct ojson *obj, const char *key,
		       const char *detail);

/* Reports if @v, a string, does not have the format. Absent: nothing. */
void ocheck_format(struct ocheck *c, const struct opath *at, const struct ojson *v, unsigned int fmt);
void ocheck_format_text(struct ocheck *c, const struct opath *at, struct orlop_bytes v, unsigned int fmt);

/* Parts that several checks use (check-common.c). */
void ocheck_labels(struct ocheck *c, const struct opath *at, struct ojson *labels);
void ocheck_annotations(struct ocheck *c, const struct opath *at, struct ojson *annotations);
void ocheck_meta(struct ocheck *c, const struct oschema_resource *r, struct ojson *obj, struct ojson *old);
bool ocheck_selects(struct ojson *selector, struct ojson *labels);	/* LabelSelector on a map */

/* Has something been found there, or below? */
bool ocheck_found_in(const struct ocheck *c, const struct opath *at);

/* Parts of workloads (check-object.c): selector and template of @spec; an integer ≥ 0 or a percentage, of 100. */
void ocheck_workload(struct ocheck *c, const struct opath *at, struct ojson *spec, const char *if_empty);
void ocheck_counts(struct ocheck *c, const struct opath *at, struct ojson *status, const char *const *parts);
int64_t ocheck_int_or_percent(struct ocheck *c, const struct opath *at, struct ojson *v);

/* Rules of a Job for the failure and success of its pods (check-job.c). */
void ocheck_job_policies(struct ocheck *c, const struct opath *at, struct ojson *spec);
/* A field of the pod, or a resource of a container, that a variable or a file shows (check-downward.c). */
void ocheck_field_ref(struct ocheck *c, const struct opath *at, struct ojson *ref, bool file);
void ocheck_resource_ref(struct ocheck *c, const struct opath *at, struct ojson *ref, bool file);
/* Rules between the parts of a pod (check-podrules.c). */
void ocheck_pod_rules(struct ocheck *c, const struct opath *at, struct ojson *spec);

/* The name that an iSCSI volume has for its initiator: that of @named and the portal (check-volume.c). */
void ocheck_iscsi_name(struct ocheck *c, const struct opath *at, struct ojson *named, struct ojson *iscsi);

/* The name of a CSI driver (check-storage.c). */
void ocheck_csi_driver(struct ocheck *c, const struct opath *at, struct orlop_bytes name);

/* loadBalancer.ingress of a status (check-network.c). */
void ocheck_balancer(struct ocheck *c, const struct opath *at, struct ojson *status);

/* The name of a resource, of one of a container's, of one that a quota counts (check-resource.c). */
bool ocheck_resource_name(struct ocheck *c, const struct opath *at, struct orlop_bytes name);
void ocheck_container_resource(struct ocheck *c, const struct opath *at, struct orlop_bytes name);
void ocheck_quota_resource(struct ocheck *c, const struct opath *at, struct orlop_bytes name);
bool ocheck_is_quota_resource(struct orlop_bytes name);
bool ocheck_is_whole_resource(struct orlop_bytes name);		/* counted in whole */
void ocheck_resource_list(struct ocheck *c, const struct opath *at, struct ojson *list);

/* Are two structs equal but for the members named in @skip (NULL-terminated)? */
bool ocheck_equal_but(const struct ojson *a, const struct ojson *b, const char *const *skip);

/* A quantity in text; false if it is none. */
struct oquantity;
bool ocheck_quantity(const struct ojson *v, struct oquantity *ret);

/* Base64 text's length when decoded. */
size_t ocheck_raw_len(const struct ojson *v);

ocheck_fn ocheck_hook(unsigned int number);

/*
 * Structs that take one of several sources: which, in the order in which upstream looks for them, NULL at the end. It looks
 * at the first that is there, and at no other.
 */
extern const char *const ocheck_volume_types[];		/* of a pod */
extern const char *const ocheck_volume_sources[];	/* of a PersistentVolume */
extern const char *const ocheck_handlers[];		/* of a probe, of a container's lifecycle */

/* Every name of OSCHEMA_CHECKS is a function ocheck_do_NAME. */
#define OCHECK(name) \
	void ocheck_do_##name(struct ocheck *c, const struct opath *at, struct ojson *v, struct ojson *old)

#define OCHECK_DECL(name) OCHECK(name);
OSCHEMA_CHECKS(OCHECK_DECL)

#endif
