/*
 * obackends - the pods behind Services: which, on what ports, and who must look when one changes.
 *
 * What the controllers of Endpoints and of EndpointSlices share.
 */
#ifndef OLIB_BACKENDS_OBACKENDS_H
#define OLIB_BACKENDS_OBACKENDS_H

#include "ctl/octl.h"

/* A controller whose keys are Services; first member of its context. */
struct obackends {
	struct octl	c;
	struct orlop_resource *services;
	struct orlop_resource *pods;
};

/* After octl_init(): follow services and pods. */
int obackends_follow(struct obackends *b, struct orlop_error *err);
/* A Service without a selector, or an ExternalName, is not ours to fill. */
bool obackends_is_ours(const struct ojson *svc);
/* The pods that its selector selects, as trees in a new array; NULL without memory. */
struct ojson *obackends_pods(struct obackends *b, const struct ojson *svc);
/* Has an address, has not ended, and does not end unless @terminating allows it. */
bool obackends_pod_counts(const struct ojson *pod, bool terminating);
/* The pod's address of a family, or NULL. */
const char *obackends_ip(const struct ojson *pod, bool v6);
/* Is it known by its hostname within this Service? */
bool obackends_has_hostname(const struct ojson *svc, const struct ojson *pod);
/*
 * The Service's ports as this pod has them, a new array of {name, port, protocol, appProtocol}; those
 * that it lacks are missing. @named: an empty name is written.
 */
struct ojson *obackends_ports(const struct ojson *svc, const struct ojson *pod, bool named);
/* {kind, namespace, name, uid} */
struct ojson *obackends_target(const struct ojson *pod);
/* Is there an address of its own? */
bool obackends_is_headless(const struct ojson *svc);
/* The Service's labels (new), plus the label that headless ones have. */
struct ojson *obackends_labels(const struct ojson *svc);
/*
 * What made it change: the earliest of the Service's making and its pods' becoming ready or not that is
 * later than @after (of the objects as they are; 0: none); 0 if nothing is.
 */
int64_t obackends_trigger(const struct ojson *svc, const struct ojson *pods, int64_t after);
/* The annotation that says so, read and written. */
int64_t obackends_trigger_of(const struct ojson *obj);
int obackends_trigger_set(struct ojson *obj, int64_t ns);

#endif
