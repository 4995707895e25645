/*
 * user.c - as whom a container runs: numbers from names, looked up in its own root filesystem.
 *
 * The files belong to the image: they are opened with RESOLVE_IN_ROOT, so that a link out of the
 * image leads nowhere, and read up to a bound.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"

#define FILE_MAX	(1u << 20)

static int read_in_root(int root, const char *path, struct obuf *out)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	cleanup_close int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	char buf[4096];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0 && out->len < FILE_MAX)
		obuf_append(out, buf, (size_t)n);
	obuf_putc(out, '\n');
	return n < 0 ? -errno : obuf_err(out);
}

/* Field @i of a colon-separated line that ends at a newline. */
static struct orlop_bytes field(const char *line, unsigned int i)
{
	const char *p = line;
	size_t n;

	while (i--) {
		n = strcspn(p, ":\n");
		if (p[n] != ':')
			return (struct orlop_bytes){ p, 0 };
		p += n + 1;
	}
	return (struct orlop_bytes){ p, strcspn(p, ":\n") };
}

static bool number(struct orlop_bytes b, uint32_t *ret)
{
	char text[16];
	char *end;
	unsigned long long v;

	if (!b.len || b.len >= sizeof(text))
		return false;
	memcpy(text, b.p, b.len);
	text[b.len] = '\0';
	v = strtoull(text, &end, 10);
	if (*end || text[0] == '-' || v > UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool equals(struct orlop_bytes a, const char *p, size_t len)
{
	return a.len == len && !memcmp(a.p, p, len);
}

/* The line whose field 0 is @name, or whose field 2 is @id. */
static const char *line_find(const struct obuf *file, const char *name, size_t len, const uint32_t *id)
{
	const char *p = file->data;

	while (p && *p) {
		uint32_t n;

		if (name ? equals(field(p, 0), name, len)
			 : number(field(p, 2), &n) && n == *id)
			return p;
		p += strcspn(p, "\n");
		if (*p)
			p++;
	}
	return NULL;
}

static void add_group(struct user_found *u, uint32_t gid)
{
	uint32_t i;

	for (i = 0; i < u->n_groups; i++)
		if (u->groups[i] == gid)
			return;
	if (u->n_groups < sizeof(u->groups) / sizeof(u->groups[0]))
		u->groups[u->n_groups++] = gid;
}

static int gid_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Groups whose member list names the user. */
static void member_groups(const struct obuf *groups, struct orlop_bytes name, struct user_found *u)
{
	const char *p = groups->data;

	while (name.len && p && *p) {
		struct orlop_bytes list = field(p, 3);
		const char *q = list.p;
		uint32_t gid;

		while (q < list.p + list.len) {
			size_t n = strcspn(q, ",:\n");

			if (equals(name, q, n) && number(field(p, 2), &gid))
				add_group(u, gid);
			q += n + 1;
		}
		p += strcspn(p, "\n");
		if (*p)
			p++;
	}
}

static int user_resolve(const struct obuf *passwd, const struct obuf *groups, const char *user,
			const struct ojson *sc, struct user_found *u, struct orlop_error *err)
{
	size_t len = strcspn(user, ":");
	const char *group = user[len] == ':' ? user + len + 1 : "";
	const struct ojson *run_uid = OJSON_AT(sc, "runAsUser", "value");
	const struct ojson *run_gid = OJSON_AT(sc, "runAsGroup", "value");
	const char *line = NULL;
	const char *p;

	if (run_uid)
		u->uid = (uint32_t)cri_int(run_uid, 0);
	else if (len && !number((struct orlop_bytes){ user, len }, &u->uid)) {
		line = line_find(passwd, user, len, NULL);
		if (!line || !number(field(line, 2), &u->uid))
			return orlop_fail(err, ENOENT, 0, "", "unable to find user %.*s: no matching entries in passwd file",
					  (int)len, user);
	}
	if (!line)
		line = line_find(passwd, NULL, 0, &u->uid);
	if (line) {
		struct orlop_bytes home = field(line, 5);

		(void)number(field(line, 3), &u->gid);
		if (home.len && home.len < sizeof(u->home))
			memcpy(u->home, home.p, home.len);
	}
	if (run_gid) {
		u->gid = (uint32_t)cri_int(run_gid, 0);
	} else if (*group && !run_uid && !number((struct orlop_bytes){ group, strlen(group) }, &u->gid)) {
		p = line_find(groups, group, strlen(group), NULL);
		if (!p || !number(field(p, 2), &u->gid))
			return orlop_fail(err, ENOENT, 0, "", "unable to find group %s: no matching entries in group file",
					  group);
	}
	if (line && strcmp(ojson_get_cstr(sc, "supplementalGroupsPolicy", ""), "Strict") != 0)
		member_groups(groups, field(line, 0), u);
	return 0;
}

int user_find(const char *rootfs, const char *image_user, const struct ojson *sc,
	      struct user_found *ret, struct orlop_error *err)
{
	cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *name = ojson_get_cstr(sc, "runAsUsername", NULL);
	struct obuf passwd = OBUF_INIT;
	struct obuf groups = OBUF_INIT;
	int e;

	memset(ret, 0, sizeof(*ret));
	if (root < 0)
		return orlop_fail(err, errno, 0, "", "open %s: %s", rootfs, strerrordesc_np(errno));
	(void)read_in_root(root, "etc/passwd", &passwd);
	(void)read_in_root(root, "etc/group", &groups);
	e = user_resolve(&passwd, &groups, name ? name : image_user ? image_user : "", sc, ret, err);
	OJSON_FOREACH_ELEM(i, g, ojson_get(sc, "supplementalGroups"))
		add_group(ret, (uint32_t)cri_int(g, 0));
	obuf_done(&passwd);
	obuf_done(&groups);
	return e;
}

struct ojson *user_json(const struct user_found *u)
{
	struct ojson *j = ojson_new_object();
	struct ojson *l = j ? ojson_ensure_object(j, "linux") : NULL;
	struct user_found all = *u;
	struct ojson *list;

	if (!l) {
		ojson_unref(j);
		return NULL;
	}
	add_group(&all, u->gid);
	qsort(all.groups, all.n_groups, sizeof(all.groups[0]), gid_cmp);
	(void)ojson_set_i64(l, "uid", u->uid);
	(void)ojson_set_i64(l, "gid", u->gid);
	list = ojson_ensure_array(l, "supplementalGroups");
	for (uint32_t i = 0; i < all.n_groups; i++)
		(void)ojson_append(list, ojson_new_i64(all.groups[i]));
	return j;
}
