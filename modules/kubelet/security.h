/* security.h - rights of containers (security.c, logic) and ranges of users for pods (userns.c). */
#ifndef KUBELET_SECURITY_H
#define KUBELET_SECURITY_H

#include "kubelet.h"

#define USERNS_LENGTH	65536

/* Does the pod want users of its own? */
bool security_userns(const struct ojson *pod);
/* usernsOptions of a pod whose users begin at @first of the host (-1: not known). */
void security_userns_put(const struct ojson *pod, int64_t first, struct ojson *namespace_options);
/* What the pod's root writes into a volume is root's there, and the other way round. */
void security_map_mount(const struct ojson *pod, int64_t first, struct ojson *mount);
bool security_wants_apparmor(const struct ojson *pod);
/* LinuxContainerSecurityContext without its namespaces. @root: the kubelet's, with profiles in seccomp/. */
void security_container(const struct ojson *pod, const struct ojson *spec, const char *root, struct ojson *out);
/* Against runAsNonRoot? Then why. @image_user: a name; @image_uid -1: none. */
bool security_user_refused(const struct ojson *pod, const struct ojson *spec, int64_t image_uid, const char *image_user,
			   struct obuf *out);
/* As the kernel's files are named, with dots. */
void security_sysctl_name(const char *in, char *out, size_t size);
bool security_sysctl_refused(const struct ojson *pod, const char *allowed, struct obuf *out);

/* ---- userns.c ---------------------------------------------------------------------------------- */

/* The pod's first user on the host: a range of its own, remembered in its directory. -1: none is free. */
int64_t userns_take(struct pod *p);

#endif
