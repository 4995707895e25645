/*
 * import.c - images from archives and layouts: handed over (a path or a descriptor), or found in a
 * folder that is looked through at start.
 *
 * Of the folder only what is new is taken: root/imported.json notes name, size, time and inode of
 * what was. What cannot be read is said and tried again at the next start.
 */
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

/* An archive that came as a descriptor: copied by a worker, for it may be a pipe. */
struct copy {
	struct oci	*o;
	struct orlop_call *call;
	int		fd;
	char		*path;
	char		*name;		/* to be given, NULL */
	int		e;
};

static void copy_free(struct copy *c)
{
	if (c->fd >= 0)
		close(c->fd);
	omem_free(c->path);
	omem_free(c->name);
	omem_free(c);
}

static void copy_work(void *arg)
{
	struct copy *c = arg;
	cleanup_close int out = open(c->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char buf[65536];
	uint64_t total = 0;
	ssize_t n = 0;

	(void)fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) & ~O_NONBLOCK);
	c->e = out < 0 ? -errno : 0;
	while (!c->e && (n = read(c->fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		c->e = n < 0 ? -errno : ofile_write_all(out, buf, (size_t)n);
		total += (uint64_t)n;
		if (!c->e && total > c->o->pull_max)
			c->e = -EFBIG;
	}
	if (c->e)
		(void)unlink(c->path);
}

static void copy_done(void *arg)
{
	struct copy *c = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (c->e) {
		orlop_fail(&err, -c->e, 0, "", "image archive cannot be kept: %s", strerrordesc_np(-c->e));
	} else {
		(void)pull_import(c->o, c->call, c->path, c->name, true, NULL, NULL, &err);
	}
	if (err.err)
		reply_error(c->o, c->call, &err);
	copy_free(c);
}

static int import_fd(struct oci *o, const struct orlop_req *req, struct orlop_bytes name, struct orlop_call *call,
		     struct orlop_error *err)
{
	struct copy *c = OMEM_NEW(struct copy);
	int e;

	if (!c)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	c->o = o;
	c->call = call;
	c->fd = fcntl(req->msg.fds[0], F_DUPFD_CLOEXEC, 3);
	c->path = path_of(o, "tmp/archive-%llu", (unsigned long long)++o->n_pulls);
	c->name = name.len ? omem_strndup(name.p, name.len) : NULL;
	e = c->fd < 0 ? -errno : !c->path || (name.len && !c->name) ? -ENOMEM : o->h->work(o->h, 0, copy_work, copy_done, c);
	if (e) {
		copy_free(c);
		return orlop_fail(err, -e, 0, "", "image archive cannot be read");
	}
	return 0;
}

OCI_OP(op_image_import)
{
	struct oci *o = ctx;
	struct orlop_bytes path = orlop_msg_bytes(o->h, &req->msg, ORLOP_RUNTIME_T_PATH);
	struct orlop_bytes name = orlop_msg_bytes(o->h, &req->msg, ORLOP_RUNTIME_T_NAME);
	cleanup_free char *path_text = NULL;
	cleanup_free char *given = NULL;

	if (!path.len && req->msg.n_fds && req->msg.fds[0] >= 0)
		return import_fd(o, req, name, call, err);
	if (!path.len || path.p[0] != '/' || memchr(path.p, ':', path.len))
		return orlop_fail(err, EINVAL, 0, "", "image import needs an absolute path without ':'");
	path_text = omem_strndup(path.p, path.len);
	given = name.len ? omem_strndup(name.p, name.len) : NULL;
	if (!path_text || (name.len && !given))
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	return pull_import(o, call, path_text, given, false, NULL, NULL, err);
}

/* ---- the folder -------------------------------------------------------------------------------- */

struct folder {
	struct oci	*o;
	char		*dir;
	struct ojson	*known;		/* name → what it was */
	struct dirent	**names;
	int		n, at;
	char		mark[128];	/* of the one at hand */
};

static void folder_free(struct folder *f)
{
	int i;

	for (i = 0; i < f->n; i++)
		free(f->names[i]);	/* scandir's */
	free(f->names);
	ojson_unref(f->known);
	omem_free(f->dir);
	omem_free(f);
}

static bool ends(const char *name, const char *with)
{
	size_t n = strlen(name);
	size_t m = strlen(with);

	return n > m && !strcmp(name + n - m, with);
}

/* An archive by its name, or a directory with a layout; what is being written (.x, x~, x.part) is neither. */
static bool wanted(const struct folder *f, const char *name, struct stat *st)
{
	static const char *const kinds[] = { ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2" };
	char path[4096];
	size_t i;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	if (name[0] == '.' || stat(path, st))
		return false;
	if (S_ISDIR(st->st_mode)) {
		snprintf(path, sizeof(path), "%s/%s/index.json", f->dir, name);
		return !access(path, R_OK);
	}
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (ends(name, kinds[i]))
			return S_ISREG(st->st_mode) && st->st_size;
	return false;
}

static void folder_next(struct folder *f);

static void folder_one_done(void *arg, int e)
{
	struct folder *f = arg;
	cleanup_free char *path = path_of(f->o, "imported.json");
	cleanup_free char *text = NULL;
	size_t len = 0;

	if (!e) {
		(void)ojson_set_cstr(f->known, f->names[f->at]->d_name, f->mark);
		text = ojson_text(f->known, 0, &len);
		if (!path || !text || ofile_write(AT_FDCWD, path, text, len, 0600))
			OLOG(f->o->h, WARN, "imported_not_noted", "name=%s ignoring=1", f->names[f->at]->d_name);
	}
	f->at++;
	if (e == -ECANCELED)
		folder_free(f);		/* the module ends */
	else
		folder_next(f);
}

static void folder_next(struct folder *f)
{
	for (; f->at < f->n; f->at++) {
		const char *name = f->names[f->at]->d_name;
		cleanup_free char *path = omem_printf("%s/%s", f->dir, name);
		struct orlop_error err = ORLOP_ERROR_INIT;
		struct stat st;

		if (!path || !wanted(f, name, &st))
			continue;
		snprintf(f->mark, sizeof(f->mark), "%lld %lld.%09ld %llu", (long long)st.st_size, (long long)st.st_mtim.tv_sec,
			 (long)st.st_mtim.tv_nsec, (unsigned long long)st.st_ino);
		if (!strcmp(ojson_get_cstr(f->known, name, ""), f->mark))
			continue;
		if (strchr(path, ':')) {
			OLOG(f->o->h, WARN, "image_import_failed", "path=%s said=\"a ':' in its name\" ignoring=1", path);
			continue;
		}
		if (!pull_import(f->o, NULL, path, NULL, false, folder_one_done, f, &err))
			return;
		OLOG(f->o->h, WARN, "image_import_failed", "path=%s said=\"%s\" ignoring=1", path, err.msg);
	}
	folder_free(f);
}

void import_dir_start(struct oci *o)
{
	const char *dir = o->h->param(o->h, "import_dir");
	cleanup_free char *noted = path_of(o, "imported.json");
	struct obuf b = OBUF_INIT;
	struct folder *f;

	if (!*dir || !noted)
		return;
	f = OMEM_NEW(struct folder);
	if (!f)
		return;
	f->o = o;
	f->dir = omem_strdup(dir);
	if (!ofile_read(AT_FDCWD, noted, 4u << 20, &b))
		(void)ojson_parse(b.data, b.len, &f->known, NULL);
	obuf_done(&b);
	if (!ojson_is(f->known, OJSON_OBJECT)) {
		ojson_unref(f->known);
		f->known = ojson_new_object();
	}
	if (!f->dir || !f->known) {
		folder_free(f);
		return;
	}
	f->n = scandir(dir, &f->names, NULL, alphasort);
	if (f->n < 0) {
		f->n = 0;
		if (errno != ENOENT)
			OLOG(o->h, WARN, "import_dir", "dir=%s errno=%d ignoring=1", dir, errno);
	}
	folder_next(f);
}
