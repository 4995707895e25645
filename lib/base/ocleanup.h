/*
 * ocleanup - locals that clean up after themselves
 *
 *	cleanup_free char *name = NULL;		omem_free()
 *	cleanup_close int fd = -1;		close(), errno kept
 *	return TAKE(name);			hands over, leaves NULL
 *
 * The headers in abi/orlop/inline/ define the same few words for third-party modules; whichever
 * comes first wins and both mean the same.
 */
#ifndef OLIB_BASE_OCLEANUP_H
#define OLIB_BASE_OCLEANUP_H

#include "base/oarena.h"
#include "base/obuf.h"
#include "base/omap.h"
#include "base/omem.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#ifndef TAKE
#define TAKE(p) (__extension__({ __typeof__(p) take_tmp_ = (p); (p) = NULL; take_tmp_; }))
#endif

#ifndef TAKE_FD
#define TAKE_FD(fd) (__extension__({ int take_tmp_ = (fd); (fd) = -1; take_tmp_; }))
#endif

/* Defines the function behind a cleanup_* word for a pointer type: NULL is skipped. */
#ifndef DEFINE_CLEANUP
#define DEFINE_CLEANUP(name, type, free_fn) \
	static inline void name(type *p) \
	{ \
		if (*p) \
			free_fn(*p); \
	}
#endif

static inline void ocleanup_free(void *p)
{
	omem_free(*(void **)p);
}

static inline void ocleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void ocleanup_dir(DIR **d)
{
	int saved = errno;

	if (*d != NULL)
		(void)closedir(*d);
	errno = saved;
}

static inline void ocleanup_file(FILE **f)
{
	int saved = errno;

	if (*f != NULL)
		(void)fclose(*f);
	errno = saved;
}

#ifndef cleanup_free
#define cleanup_free __attribute__((cleanup(ocleanup_free)))
#endif
#ifndef cleanup_close
#define cleanup_close __attribute__((cleanup(ocleanup_close)))
#endif
#ifndef cleanup_dir
#define cleanup_dir __attribute__((cleanup(ocleanup_dir)))
#endif
#ifndef cleanup_file
#define cleanup_file __attribute__((cleanup(ocleanup_file)))
#endif
#ifndef cleanup_obuf
#define cleanup_obuf __attribute__((cleanup(obuf_done)))
#endif
#ifndef cleanup_oarena
#define cleanup_oarena __attribute__((cleanup(oarena_done)))
#endif
#ifndef cleanup_omap
#define cleanup_omap __attribute__((cleanup(omap_done)))
#endif

#endif
