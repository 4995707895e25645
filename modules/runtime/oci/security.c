/*
 * security.c - files behind a security context: seccomp profiles, loaded AppArmor profiles, how low
 * oom_score_adj may go. Runs on workers.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

#define PROFILE_MAX		(4u << 20)
#define CAP_SYS_RESOURCE_BIT	24

/* The folder of the configuration is where relative names are looked up; absolute ones are the kubelet's own. */
int seccomp_read(const struct oci *o, const char *path, struct ojson **ret, struct orlop_error *err)
{
	struct obuf b = OBUF_INIT;
	char full[4096];
	int e;

	if (!*path || strstr(path, ".."))
		return orlop_fail(err, EINVAL, 0, "", "seccomp profile \"%s\": no path of a profile", path);
	snprintf(full, sizeof(full), "%s%s%s", *path == '/' ? "" : o->seccomp_dir, *path == '/' ? "" : "/", path);
	e = ofile_read(AT_FDCWD, full, PROFILE_MAX, &b);
	if (e)
		orlop_fail(err, -e, 0, "", "cannot load seccomp profile \"%s\": %s", full, strerrordesc_np(-e));
	else if ((e = ojson_parse(b.data, b.len, ret, NULL)) || !ojson_is(*ret, OJSON_OBJECT))
		e = orlop_fail(err, EINVAL, 0, "", "cannot load seccomp profile \"%s\": decoding seccomp profile failed", full);
	obuf_done(&b);
	return e;
}

static bool apparmor_enabled(void)
{
	struct obuf b = OBUF_INIT;
	bool on = !ofile_read(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, &b) && b.len && b.data[0] == 'Y';

	obuf_done(&b);
	return on;
}

static bool apparmor_loaded(const char *name)
{
	struct obuf b = OBUF_INIT;
	size_t len = strlen(name);
	bool found = false;
	const char *p;

	if (!ofile_read(AT_FDCWD, "/sys/kernel/security/apparmor/profiles", PROFILE_MAX, &b))
		for (p = b.data; p && *p && !found; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
			found = !strncmp(p, name, len) && !strncmp(p + len, " (", 2);
	obuf_done(&b);
	return found;
}

/* Name of the profile to run under ("" none) in @ret. */
int apparmor_choose(const struct ojson *sc, char *ret, size_t size, struct orlop_error *err)
{
	const char *type = ojson_cstr(OJSON_AT(sc, "apparmor", "profileType"), "");
	const char *ref = ojson_cstr(OJSON_AT(sc, "apparmor", "localhostRef"), "");
	const char *old = ojson_get_cstr(sc, "apparmorProfile", "");

	*ret = '\0';
	if (!*type && !strncmp(old, "localhost/", 10)) {
		type = "Localhost";
		ref = old;
	}
	if (!strncmp(ref, "localhost/", 10))
		ref += 10;
	if (!strcmp(type, "Localhost")) {
		if (!apparmor_enabled())
			return orlop_fail(err, ENOTSUP, 0, "", "apparmor is not supported");
		if (!apparmor_loaded(ref))
			return orlop_fail(err, ENOENT, 0, "", "apparmor profile not found %s", ref);
		snprintf(ret, size, "%s", ref);
	} else if (strcmp(type, "Unconfined") != 0 && strcmp(old, "unconfined") != 0 && apparmor_enabled() &&
		   apparmor_loaded("orlop-default")) {
		snprintf(ret, size, "orlop-default");	/* the machine's owner has loaded it */
	}
	return 0;
}

int64_t oom_lowest(uint64_t caps)
{
	struct obuf b = OBUF_INIT;
	int64_t own = -1000;

	if (!(caps & (1ull << CAP_SYS_RESOURCE_BIT)) && !ofile_read(AT_FDCWD, "/proc/self/oom_score_adj", 16, &b) && b.len)
		own = strtoll(obuf_cstr(&b), NULL, 10);
	obuf_done(&b);
	return own;
}
