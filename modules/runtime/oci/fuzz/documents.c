/*
 * Fuzz target of what callers and images say: CRI documents and seccomp profiles to an OCI configuration that is JSON and
 * grants nothing beyond the bounding set; image references; passwd and group files of an image. First byte: which.
 */
#include "../oci.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];

static void tidy(void)
{
	(void)ofile_remove_tree(AT_FDCWD, dir);
}

static void spec(const char *text, size_t len)
{
	cleanup_ojson struct ojson *j = NULL;
	cleanup_ojson struct ojson *out = NULL;
	cleanup_free char *written = NULL;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct spec_input in = { .caps = 0xff, .cgroup_path = "/c", .hugetlb = true, .is_crun = true, .cgroup_v2 = len & 1 };
	const char *path;

	if (ojson_parse(text, len, &j, NULL))
		return;
	in.container = ojson_get(j, "container");
	in.sandbox = ojson_get(j, "sandbox");
	in.image = ojson_get(j, "image");
	in.userns = len & 2 ? "/ns/user" : NULL;
	in.userns_options = ojson_get(j, "userns");
	in.devices = ojson_get_array(j, "devices");
	in.seccomp_profile = ojson_get(j, "profile");
	in.seccomp = in.seccomp_profile ? SECCOMP_LOCAL : seccomp_kind(OJSON_AT(in.container, "linux", "securityContext"), &path);
	if (spec_make(&in, &out, &err)) {
		if (!err.err || !err.msg[0])
			abort();	/* a refusal says why */
		orlop_error_done(&err);
		return;
	}
	written = ojson_text(out, 0, NULL);
	if (!written || !ojson_get_object(out, "process"))
		abort();
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(out, "process", "capabilities", "bounding"))
		if (ojson_string_is(c, "CAP_SYS_ADMIN"))
			abort();
}

static void put(const char *name, const char *p, size_t len)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/etc/%s", dir, name);
	if (ofile_write(AT_FDCWD, path, p, len, 0600))
		abort();
}

static void users(const char *text, size_t len)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct user_found u;
	const char *half = memchr(text, '\0', len);
	char name[64];
	char etc[80];

	if (!dir[0]) {
		(void)snprintf(dir, sizeof(dir), "/tmp/orlop-fuzz.XXXXXX");
		if (!mkdtemp(dir))
			abort();
		(void)snprintf(etc, sizeof(etc), "%s/etc", dir);
		(void)mkdir(etc, 0700);
		atexit(tidy);
	}
	put("passwd", text, half ? (size_t)(half - text) : len);
	put("group", half ? half + 1 : text, half ? len - (size_t)(half + 1 - text) : 0);
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, ":\n"), text);
	if (!user_find(dir, name, NULL, &u, &err) && u.n_groups > sizeof(u.groups) / sizeof(u.groups[0]))
		abort();
	orlop_error_done(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = size ? malloc(size) : NULL;
	struct obuf name = OBUF_INIT;

	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] == 'u') {
		users(text, size - 1);
	} else if (data[0] == 'r') {
		if (!imgref_normalize(text, &name) && (!imgref_name_len(name.data) || imgref_name_len(name.data) > name.len))
			abort();
		obuf_done(&name);
	} else {
		spec(text, size - 1);
	}
	return 0;
}
