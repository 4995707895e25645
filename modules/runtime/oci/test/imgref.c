/* imgref.c - image references made whole, and those that are none. */
#include "../oci.h"

#include <errno.h>
#include <string.h>

#include "base/otap.h"

int main(void)
{
#define D "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	static const char *const good[][2] = {
		{ "busybox", "docker.io/library/busybox:latest" },
		{ "busybox:1.29", "docker.io/library/busybox:1.29" },
		{ "docker.io/busybox", "docker.io/library/busybox:latest" },
		{ "me/app", "docker.io/me/app:latest" },
		{ "localhost/app:x", "localhost/app:x" },
		{ "127.0.0.1:5000/a/b:v1", "127.0.0.1:5000/a/b:v1" },
		{ "reg.example:5000/a", "reg.example:5000/a:latest" },
		{ "a" D, "docker.io/library/a" D },
		{ "r.io/a:t" D, "r.io/a:t" D },
	};
	static const char *const bad[] = { "", ":", "a:", "A", "a//b", "/a", "a/", "a b", "a@sha256:12",
					   "a:b:c", "../a", "r.io/", "-a", "a:-x" };
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct obuf b = OBUF_INIT;

		is_int(imgref_normalize(good[i][0], &b), 0, "\"%s\"", good[i][0]);
		is_str(obuf_cstr(&b), good[i][1], "is %s", good[i][1]);
		obuf_done(&b);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct obuf b = OBUF_INIT;

		is_int(imgref_normalize(bad[i], &b), -EINVAL, "\"%s\" is none", bad[i]);
		obuf_done(&b);
	}
	is_int(imgref_name_len("127.0.0.1:5000/a:b"), 16, "name ends before the tag");
	is_int(imgref_name_len("127.0.0.1:5000/a"), 16, "a port is no tag");
	return done_testing();
}
