/* spec.c - what CRI asks for, in the OCI configuration: users, capabilities, mounts, namespaces, seccomp. */
#include "../spec.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/otap.h"

static struct ojson *parse(const char *text)
{
	struct ojson *j = NULL;

	ok(!ojson_parse(text, strlen(text), &j, NULL), "a document of the test");
	return j;
}

static struct ojson *made(const char *container, struct spec_input in, struct orlop_error *err)
{
	struct ojson *c = parse(container);
	struct ojson *image = parse("{\"config\":{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"],\"Env\":[\"A=1\",\"PATH=/p\"],\"WorkingDir\":\"/w\"}}");
	struct ojson *out = NULL;

	in.container = c;
	in.image = image;
	in.cgroup_path = "/pods/x";
	if (!in.caps)
		in.caps = ~0ull >> 23;
	(void)spec_make(&in, &out, err);
	ojson_unref(c);
	ojson_unref(image);
	return out;
}

static bool has(const struct ojson *list, const char *text)
{
	OJSON_FOREACH_ELEM(i, e, list)
		if (ojson_string_is(e, text))
			return true;
	return false;
}

static const struct ojson *mount_at(const struct ojson *spec, const char *path)
{
	OJSON_FOREACH_ELEM(i, m, ojson_get(spec, "mounts"))
		if (!strcmp(ojson_get_cstr(m, "destination", ""), path))
			return m;
	return NULL;
}

static const struct ojson *rule_of(const struct ojson *seccomp, const char *name)
{
	OJSON_FOREACH_ELEM(i, r, ojson_get(seccomp, "syscalls"))
		if (has(ojson_get(r, "names"), name))
			return r;
	return NULL;
}

static void process(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct ojson *s = made("{\"args\":[\"x\"],\"envs\":[{\"key\":\"A\",\"value\":\"2\"}]}", (struct spec_input){ .home = "/h" }, &err);
	const struct ojson *p = ojson_get(s, "process");

	is_str(ojson_cstr(ojson_index(ojson_get(p, "args"), 1), ""), "x", "arguments replace the image's command");
	ok(has(ojson_get(p, "env"), "A=2") && !has(ojson_get(p, "env"), "A=1") && has(ojson_get(p, "env"), "HOME=/h"), "environment");
	is_str(ojson_get_cstr(p, "cwd", ""), "/w", "directory");
	is_int((int)ojson_count(OJSON_AT(p, "capabilities", "bounding")), 14, "fourteen capabilities");
	ok(!OJSON_AT(s, "linux", "seccomp"), "no filter unless asked for");
	ojson_unref(s);
	s = made("{\"linux\":{\"securityContext\":{\"capabilities\":{\"addCapabilities\":[\"SYS_TIME\",\"CAP_CHOWN\"],\"dropCapabilities\":[\"ALL\"],"
		 "\"addAmbientCapabilities\":[\"SYS_TIME\"]}}}}", (struct spec_input){ .uid = 5 }, &err);
	p = OJSON_AT(s, "process", "capabilities");
	is_int((int)ojson_count(ojson_get(p, "bounding")), 2, "all dropped, two added");
	ok(ojson_count(ojson_get(p, "effective")) == 1 && has(ojson_get(p, "ambient"), "CAP_SYS_TIME"), "a user begins with its ambient ones");
	ojson_unref(s);
	s = made("{\"linux\":{\"resources\":{\"oomScoreAdj\":\"-900\",\"memoryLimitInBytes\":\"1048576\"}}}", (struct spec_input){ .oom_min = -5 }, &err);
	is_int((int)ojson_get_i64(ojson_get(s, "process"), "oomScoreAdj", 0), -5, "not below what may be given");
	is_int((int)ojson_get_i64(OJSON_AT(s, "linux", "resources", "memory"), "limit", 0), 1048576, "integers written as text");
	ojson_unref(s);
}

static void linux_part(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct ojson *s = made("{\"mounts\":[{\"containerPath\":\"/v\",\"hostPath\":\"/h\",\"readonly\":true,\"propagation\":\"PROPAGATION_BIDIRECTIONAL\"}]}",
			       (struct spec_input){ .netns = "/n", .pidns = "/p", .shm_path = "/shm" }, &err);
	const struct ojson *m = mount_at(s, "/v");

	ok(has(ojson_get(m, "options"), "ro") && has(ojson_get(m, "options"), "rshared"), "a mount");
	is_str(ojson_get_cstr(mount_at(s, "/dev/shm"), "source", ""), "/shm", "the pod's shared memory");
	ok(has(OJSON_AT(s, "linux", "maskedPaths"), "/proc/kcore") && has(OJSON_AT(s, "linux", "readonlyPaths"), "/proc/sys"), "hidden paths");
	ojson_unref(s);
	s = made("{\"linux\":{\"securityContext\":{\"maskedPaths\":[],\"readonlyPaths\":[]}}}", (struct spec_input){ 0 }, &err);
	ok(!ojson_count(OJSON_AT(s, "linux", "maskedPaths")) && !ojson_count(OJSON_AT(s, "linux", "readonlyPaths")), "none when unmasked");
	ojson_unref(s);
	s = made("{\"mounts\":[{\"containerPath\":\"v\",\"hostPath\":\"/h\"}]}", (struct spec_input){ 0 }, &err);
	ok(!s && err.err == EINVAL, "a relative path is refused: %s", err.msg);
}

static void seccomp(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct ojson *s = made("{}", (struct spec_input){ .seccomp = SECCOMP_DEFAULT }, &err);
	const struct ojson *f = OJSON_AT(s, "linux", "seccomp");

	is_str(ojson_get_cstr(f, "defaultAction", ""), "SCMP_ACT_ERRNO", "what is not named is refused");
	ok(rule_of(f, "read") && rule_of(f, "openat2") && rule_of(f, "chroot"), "what programs need is named");
	ok(!rule_of(f, "mount") && !rule_of(f, "keyctl") && !rule_of(f, "bpf") && !rule_of(f, "io_uring_setup"), "what acts on the machine is not");
	is_int((int)ojson_get_i64(rule_of(f, "clone3"), "errnoRet", 0), ENOSYS, "clone3 is not there");
	ok(ojson_count(ojson_get(rule_of(f, "clone"), "args")) == 1, "clone without namespaces");
	ojson_unref(s);
	s = made("{\"linux\":{\"securityContext\":{\"capabilities\":{\"addCapabilities\":[\"SYS_ADMIN\"]}}}}", (struct spec_input){ .seccomp = SECCOMP_DEFAULT }, &err);
	f = OJSON_AT(s, "linux", "seccomp");
	ok(rule_of(f, "mount") && !ojson_count(ojson_get(rule_of(f, "clone"), "args")) && !ojson_get(rule_of(f, "clone3"), "errnoRet"), "with CAP_SYS_ADMIN they are");
	ojson_unref(s);
	s = made("{\"linux\":{\"securityContext\":{\"privileged\":true}}}", (struct spec_input){ .seccomp = SECCOMP_DEFAULT }, &err);
	ok(!OJSON_AT(s, "linux", "seccomp"), "a privileged one has no filter");
	ojson_unref(s);
}

int main(void)
{
	process();
	linux_part();
	seccomp();
	return done_testing();
}
