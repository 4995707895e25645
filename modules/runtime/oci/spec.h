/*
 * spec.h - from a CRI container to the configuration of an OCI runtime: pure, no system behind it.
 */
#ifndef RUNTIME_OCI_SPEC_H
#define RUNTIME_OCI_SPEC_H

#include <stdint.h>
#include <stdlib.h>

#include <orlop/types.h>

#include "base/obuf.h"
#include "json/ojson.h"

/* A 64-bit integer of CRI's JSON: a number, or text as proto3 writes it. */
static inline int64_t cri_int(const struct ojson *j, int64_t def)
{
	const char *text = ojson_is(j, OJSON_STRING) ? ojson_cstr(j, "") : NULL;
	char *end = NULL;
	long long v = text ? strtoll(text, &end, 10) : 0;

	return !text ? ojson_i64(j, def) : end != text && !*end ? v : def;
}

static inline int64_t cri_i64(const struct ojson *j, const char *key, int64_t def)
{
	return ojson_get(j, key) ? cri_int(ojson_get(j, key), def) : def;
}

enum seccomp_kind {
	SECCOMP_NONE,
	SECCOMP_DEFAULT,
	SECCOMP_LOCAL,
};

struct spec_input {
	const struct ojson *image;	/* OCI image config */
	const struct ojson *container;	/* CRI ContainerConfig */
	const struct ojson *sandbox;	/* CRI PodSandboxConfig */
	const char	*netns;		/* NULL: the host's */
	const char	*ipcns;
	const char	*utsns;
	const char	*pidns;		/* to be joined; NULL: one of its own, or the host's as CRI says */
	const char	*userns;	/* to be joined; NULL: the host's */
	const struct ojson *userns_options;	/* CRI UserNamespace, with userns */
	const char	*cgroup_path;
	const char	*shm_path;	/* host directory for /dev/shm, NULL: a tmpfs of its own */
	uint64_t	caps;		/* what may be granted at all */
	bool		cgroup_v2;
	bool		hugetlb;	/* is there a controller for huge pages? */
	bool		is_crun;
	int64_t		oom_min;	/* lowest oomScoreAdj that we may give */
	uint32_t	uid;		/* from user.c */
	uint32_t	gid;
	const uint32_t	*groups;
	uint32_t	n_groups;
	const char	*home;		/* for HOME, NULL: / */
	const struct ojson *devices;	/* OCI linux.devices of the devices asked for, NULL: none */
	enum seccomp_kind seccomp;
	const struct ojson *seccomp_profile;	/* SECCOMP_LOCAL */
	const char	*apparmor;	/* name of a loaded profile, NULL: none */
};

/* The OCI runtime configuration. 0 or -errno with @err (no command, bad mounts). */
int spec_make(const struct spec_input *in, struct ojson **ret, struct orlop_error *err);
/* Process part for an exec in a container whose config.json has @process. */
int spec_exec(const struct ojson *process, const struct ojson *cmd, bool tty, struct ojson **ret);

/* spec-linux.c: mounts, namespaces, resources, paths. */
int spec_mounts(const struct spec_input *in, bool privileged, struct ojson *spec, struct orlop_error *err);
void spec_linux(const struct spec_input *in, const struct ojson *sc, bool privileged, struct ojson *spec);

/* What CRI's security context @sc asks for, with the file of a local profile. */
enum seccomp_kind seccomp_kind(const struct ojson *sc, const char **ret_path);
/* linux.seccomp for a process with capabilities @caps (names). *ret NULL: none. @local: the profile's JSON. */
int seccomp_make(enum seccomp_kind kind, const struct ojson *local, const struct ojson *caps, struct ojson **ret,
		 struct orlop_error *err);

#endif
