/* resize.h - resources of running containers changed (resize.c). */
#ifndef KUBELET_RESIZE_H
#define KUBELET_RESIZE_H

#include "kubelet.h"

/* Looks whether a container shall have other resources than it was given. */
void resize_sync(struct pod *p);
/* It was made with these. */
void resize_given(struct ctr *c, const struct ojson *resources);
/* The container's spec with what it may have now. Caller unrefs; NULL: no memory. */
struct ojson *resize_spec(const struct ctr *c, const struct ojson *spec);
/* Conditions of the pod; one that is over is taken out of the patched list. */
void resize_conditions(const struct pod *p, struct ojson *list, const char *now);
/* Members of a container's status. */
void resize_status(const struct ctr *c, struct ojson *status);

#endif
