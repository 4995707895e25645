/*
 * image.c - dlopen with its traps.
 *
 * What is mapped from a file changes with the file: one that is overwritten or cut under a running module
 * ends the process with SIGBUS. And dlopen() takes a name it has seen, or a file of the same device and
 * inode, for the one it has mapped, even if the content has changed. So what is mapped is a copy of our
 * own, a sealed memory file that nobody can write, under a name that was never used before. It is called
 * like the file, so /proc/PID/maps says /memfd:/usr/lib/…/lmdb.so, and debuggers find it by descriptor.
 * (Sanitizers want the file itself, or their reports have no names.)
 *
 * Unmapping is as dangerous: it happens only to modules that say it is safe, need nothing but the C
 * library, and have no user left.
 */
#include "image.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__SANITIZE_UNDEFINED__)
#define KEEP_MAPPED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(undefined_behavior_sanitizer)
#define KEEP_MAPPED 1
#endif
#endif
#ifndef KEEP_MAPPED
#define KEEP_MAPPED 0	/* 1: stacks of a sanitizer's report must keep their names */
#endif

/* What every descriptor and parameter has: those of 0.1. Later ones only grow. */
#define DESCRIPTOR_MIN	(offsetof(struct orlop_module, stats) + sizeof(((struct orlop_module *)0)->stats))
#define DESCRIPTOR_MAX	65536u
#define PARAM_MIN	(offsetof(struct orlop_param, help) + sizeof(((struct orlop_param *)0)->help))
#define PARAMS_MAX	1024u

void core_images_init(struct core_images *all)
{
	olist_init(&all->list);
	all->n_copies = 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int file_open(const char *path, int *ret_fd, struct core_modinfo *info, struct orlop_error *err)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd < 0 && errno == ENOENT)
		return orlop_fail(err, ENOENT, 0, "", "no module file %s: name a module as class/name, or by the path "
				  "of its .so", path);
	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "module file %s: %s", path, strerrordesc_np(errno));
	r = core_modinfo_read(fd, base_name(path), info, err);
	if (r)
		return r;
	r = core_modinfo_abi_check(info, base_name(path), err);
	if (r) {
		core_modinfo_done(info);
		return r;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int core_image_info(const char *path, struct core_modinfo *ret, struct orlop_error *err)
{
	int fd;
	int r = file_open(path, &fd, ret, err);

	if (r == 0)
		(void)close(fd);
	return r;
}

/* The file's content in a sealed memory file of the same name. */
static int file_copy(int fd, const struct core_image *img, int *ret_fd, struct orlop_error *err)
{
	const char *file = base_name(img->path);
	const char *name = strlen(img->path) < 240 ? img->path : file;
	cleanup_close int mem = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	off_t off = 0;

	if (mem < 0)
		return orlop_fail(err, errno, 0, "", "%s: cannot make a private copy: %s", file, strerrordesc_np(errno));
	while (off < img->info.size) {
		ssize_t n = sendfile(mem, fd, &off, (size_t)(img->info.size - off));

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return orlop_fail(err, errno, 0, "", "%s: cannot make a private copy: %s", file,
					  strerrordesc_np(errno));
		if (n == 0)
			return orlop_fail(err, EAGAIN, 0, "", "%s: became shorter while it was read; rename a complete "
					  "file into place, and try again", file);
	}
	(void)fcntl(mem, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	*ret_fd = TAKE_FD(mem);
	return 0;
}

/* Is the copy what was looked at, all of one piece? */
static int copy_check(int fd, const struct core_image *img, struct orlop_error *err)
{
	const char *file = base_name(img->path);
	struct core_modinfo again;
	bool same;
	int r = core_modinfo_read(fd, file, &again, err);

	if (r)
		return r;
	same = again.len == img->info.len && memcmp(again.text, img->info.text, again.len) == 0 &&
		strcmp(again.build_id, img->info.build_id) == 0;
	core_modinfo_done(&again);
	return same ? 0 : orlop_fail(err, EAGAIN, 0, "", "%s: changed while it was read; rename a complete file into "
				     "place, and try again", file);
}

/* Every segment must lie in the file: dlopen() maps what the headers say, and touches it. */
static int segments_check(int fd, const struct core_image *img, struct orlop_error *err)
{
	const char *file = base_name(img->path);
	uint64_t size = (uint64_t)img->info.size;
	ElfW(Ehdr) h;

	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || h.e_phentsize != sizeof(ElfW(Phdr)) || !h.e_phnum)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: damaged: no program headers", file);
	for (uint32_t i = 0; i < h.e_phnum; i++) {
		ElfW(Phdr) p;

		if (pread(fd, &p, sizeof(p), (off_t)(h.e_phoff + i * sizeof(p))) != (ssize_t)sizeof(p))
			return orlop_fail(err, ENOEXEC, 0, "", "%s: damaged: program header %u of %u is not in the file",
					  file, i, h.e_phnum);
		if (p.p_offset > size || p.p_filesz > size - p.p_offset || (p.p_type == PT_LOAD && p.p_filesz > p.p_memsz))
			return orlop_fail(err, ENOEXEC, 0, "", "%s: damaged: a segment of %llu bytes at %llu, the file has "
					  "%llu", file, (unsigned long long)p.p_filesz,
					  (unsigned long long)p.p_offset, (unsigned long long)size);
	}
	return 0;
}

/*
 * A path of descriptor @fd that dlopen() has never seen, although descriptor numbers return: the
 * number @n in slashes and dots, which a path may hold in plenty. With our pid, not "self": a debugger
 * opens it, too.
 */
static void copy_path(int fd, uint32_t n, char *buf, size_t size)
{
	char *p = buf + snprintf(buf, size, "/proc/%d/fd", (int)getpid());

	for (int i = 0; i < 20; i++, n >>= 1) {
		*p++ = '/';
		if (n & 1)
			*p++ = '.';
		else
			*p++ = '/';
	}
	(void)snprintf(p, size - (size_t)(p - buf), "/%d", fd);
}

/* What the code says must be what the file said. */
static int image_check(struct core_image *img, struct orlop_error *err)
{
	const char *file = base_name(img->path);
	const struct orlop_module *m = dlsym(img->handle, "orlop_module");

	if (!m)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: exports no orlop_module: use ORLOP_MODULE()",
				  file);
	if (m->magic != ORLOP_MODULE_MAGIC)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: descriptor begins with 0x%016llx, want 0x%016llx",
				  file, (unsigned long long)m->magic,
				  (unsigned long long)ORLOP_MODULE_MAGIC);
	if (m->size < DESCRIPTOR_MIN || m->size > DESCRIPTOR_MAX)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: descriptor says it has %u bytes, want %zu to %u",
				  file, m->size, DESCRIPTOR_MIN, DESCRIPTOR_MAX);
	if (m->abi_major != img->info.abi_major)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: descriptor is of ABI %u.%u, the file says %u.%u",
				  file, m->abi_major, m->abi_minor, img->info.abi_major,
				  img->info.abi_minor);
	if (!m->modinfo || !m->name || !m->class_name ||
	    strcmp(m->name, img->info.name) != 0 || strcmp(m->class_name, img->info.class_name) != 0)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: descriptor and .orlop.modinfo name different "
				  "modules", file);
	if (memcmp(m->modinfo, img->info.text, strnlen(img->info.text, img->info.len)) != 0)
		return orlop_fail(err, EAGAIN, 0, "", "%s: the file changed while it was loaded", file);
	if (!m->init)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: has no init function", file);
	if (m->n_params > PARAMS_MAX || (m->n_params && (!m->params ||
	    m->param_size < PARAM_MIN || m->param_size > 4096)))
		return orlop_fail(err, ENOEXEC, 0, "", "%s: parameter table of %u entries of %u bytes", file,
				  m->n_params, m->param_size);
	if (m->ops && ((const uint32_t *)m->ops)[0] > 65536)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: ops table says it has %u bytes", file,
				  ((const uint32_t *)m->ops)[0]);
	img->mod = m;
	return 0;
}

static void image_free(struct core_image *img)
{
	olist_del(&img->node);
	if (img->handle)
		(void)dlclose(img->handle);
	if (img->copy_fd >= 0)
		(void)close(img->copy_fd);
	core_modinfo_done(&img->info);
	omem_free(img->path);
	omem_free(img);
}

static bool same_file(const struct core_modinfo *a, const struct core_modinfo *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns &&
		a->len == b->len && memcmp(a->text, b->text, a->len) == 0 &&
		strcmp(a->build_id, b->build_id) == 0;
}

/* Maps @img, whose path and info are set. */
static int image_map(struct core_images *all, struct core_image *img, int fd, bool copy,
		     struct orlop_error *err)
{
	char path[128];
	const char *name = img->path;
	int r = segments_check(fd, img, err);

	if (r == 0 && copy) {
		r = file_copy(fd, img, &img->copy_fd, err);
		if (r == 0)
			r = copy_check(img->copy_fd, img, err);
		if (r == 0)
			r = segments_check(img->copy_fd, img, err);
		if (r == 0)
			copy_path(img->copy_fd, ++all->n_copies, path, sizeof(path));
		name = path;
	}
	if (r)
		return r;
	img->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!img->handle)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: %s", base_name(img->path), dlerror());
	return image_check(img, err);
}

int core_image_open(struct core_images *all, const char *path, struct core_image **ret,
		    struct orlop_error *err)
{
	struct core_image *img = OMEM_NEW(struct core_image);
	cleanup_close int fd = -1;
	bool copy = !KEEP_MAPPED;
	int r = -ENOMEM;

	if (!img)
		return orlop_fail(err, ENOMEM, 0, "", "module file %s: out of memory", path);
	olist_init(&img->node);
	img->copy_fd = -1;
	img->users = 1;
	img->path = realpath(path, NULL);
	if (!img->path && errno == ENOENT)
		r = orlop_fail(err, ENOENT, 0, "", "no module file %s: name a module as class/name, or by the path of "
			       "its .so", path);
	else if (!img->path)
		r = orlop_fail(err, errno, 0, "", "module file %s: %s", path, strerrordesc_np(errno));
	if (!img->path)
		goto fail;
	r = file_open(img->path, &fd, &img->info, err);
	if (r)
		goto fail;
	OLIST_FOREACH(n, &all->list) {
		struct core_image *other = OLIST_ENTRY(n, struct core_image, node);

		if (same_file(&other->info, &img->info)) {
			image_free(img);
			other->users++;
			*ret = other;
			return 0;
		}
		if (strcmp(other->path, img->path) == 0 ||
		    (other->info.dev == img->info.dev && other->info.ino == img->info.ino))
			copy = true;
	}
	r = image_map(all, img, fd, copy, err);
	if (r)
		goto fail;
	olist_append(&all->list, &img->node);
	*ret = img;
	return 0;
fail:
	image_free(img);
	return r;
}

int core_image_copy(int fd, const struct core_image *img, int *ret_fd, struct orlop_error *err)
{
	int r = segments_check(fd, img, err);

	if (r == 0)
		r = file_copy(fd, img, ret_fd, err);
	return r ? r : copy_check(*ret_fd, img, err);
}

int core_image_open_copy(struct core_images *all, int fd, const char *path, struct core_image **ret,
			 struct orlop_error *err)
{
	struct core_image *img = OMEM_NEW(struct core_image);
	char name[128];
	int r;

	if (!img)
		return orlop_fail(err, ENOMEM, 0, "", "module file %s: out of memory", path);
	olist_init(&img->node);
	img->users = 1;
	img->copy_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	img->path = omem_strdup(path);
	if (img->copy_fd < 0 || !img->path)
		r = orlop_fail(err, ENOMEM, 0, "", "module file %s: out of memory", path);
	else
		r = core_modinfo_read(fd, base_name(path), &img->info, err);
	if (r == 0)
		r = core_modinfo_abi_check(&img->info, base_name(path), err);
	if (r == 0)
		r = segments_check(fd, img, err);
	if (r == 0) {
		copy_path(img->copy_fd, ++all->n_copies, name, sizeof(name));
		img->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
		r = img->handle ? image_check(img, err) :
			orlop_fail(err, ENOEXEC, 0, "", "%s: %s", base_name(path), dlerror());
	}
	if (r) {
		image_free(img);
		return r;
	}
	olist_append(&all->list, &img->node);
	*ret = img;
	return 0;
}

void core_image_close(struct core_images *all, struct core_image *img)
{
	(void)all;
	if (!img || --img->users > 0)
		return;
	if (KEEP_MAPPED || img->pinned || !img->info.plain_libs ||
	    !(img->mod->flags & ORLOP_MOD_UNLOADABLE)) {
		/* It stays mapped and listed: the next load of the same file uses it again. */
		if (img->copy_fd >= 0)
			(void)close(img->copy_fd);
		img->copy_fd = -1;
		return;
	}
	image_free(img);
}

void core_images_done(struct core_images *all)
{
	struct olist *n;

	/* At the end of the process nothing is unmapped: threads' destructors may still come. */
	while ((n = olist_shift(&all->list))) {
		struct core_image *img = OLIST_ENTRY(n, struct core_image, node);

		img->handle = NULL;
		image_free(img);
	}
}
