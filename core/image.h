/*
 * image.h - mapped module files.
 */
#ifndef CORE_IMAGE_H
#define CORE_IMAGE_H

#include <orlop/module.h>

#include "base/olist.h"
#include "modinfo.h"

/* One mapped file; instances of the same file share it. */
struct core_image {
	struct olist	node;
	char		*path;		/* absolute */
	struct core_modinfo info;
	const struct orlop_module *mod;	/* in the file; not before all checks */
	void		*handle;
	int		copy_fd;	/* mapped from a private copy: its memory file; else -1 */
	uint32_t	users;
	bool		pinned;		/* never unmapped: somebody may still run in it */
};

/* All that are mapped, also those without users. Main loop only. */
struct core_images {
	struct olist	list;
	uint32_t	n_copies;
};

void core_images_init(struct core_images *all);
void core_images_done(struct core_images *all);

/*
 * core_image_info - what the file at @path says, without running any of its code
 *
 * Includes the check of the ABI. @ret is the caller's, core_modinfo_done(). 0 or -errno.
 */
int core_image_info(const char *path, struct core_modinfo *ret, struct orlop_error *err);

/* Maps the file, or finds it mapped already. The caller has one use of it. 0 or -errno. */
int core_image_open(struct core_images *all, const char *path, struct core_image **ret,
		    struct orlop_error *err);
/*
 * For a process that is given what it maps: core_image_copy() makes a sealed copy of the open file @fd
 * (@img has its path and info),
 * core_image_open_copy() maps it (in any process) as the file @path. 0 or -errno.
 */
int core_image_copy(int fd, const struct core_image *img, int *ret_fd, struct orlop_error *err);
int core_image_open_copy(struct core_images *all, int fd, const char *path, struct core_image **ret,
			 struct orlop_error *err);
/* Ends a use. Unmaps if that is safe. Accepts NULL. */
void core_image_close(struct core_images *all, struct core_image *img);

#endif
