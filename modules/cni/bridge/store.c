/*
 * store.c - leases on disk: a file named after the sandbox, written before the link is made and removed after it is
 * gone, so that whatever is cut off in between is found again.
 */
#include "bridge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#define LEASE_BYTES_MAX	(256u << 10)

static void lease_path(const struct bridge *b, const char *id, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", b->dir, id);
}

int lease_write(const struct bridge *b, const struct lease *l, struct orlop_error *err)
{
	char path[4096 + LEASE_ID_MAX];
	cleanup_obuf struct obuf text = OBUF_INIT;
	int e;

	lease_path(b, l->id, path, sizeof(path));
	lease_text(l, &text);
	e = obuf_err(&text);
	if (!e)
		/* not synced: what a power cut takes is of a machine that is no more */
		e = ofile_write(AT_FDCWD, path, text.data, text.len, 0600);
	return e ? orlop_fail(err, -e, 0, "", "cannot write %s: %s", path, strerrordesc_np(-e)) : 0;
}

int lease_end(struct bridge *b, struct lease *l)
{
	char path[4096 + LEASE_ID_MAX];
	int e = pod_detach(b, l->id);

	if (e)
		return e;
	rules_del(b, l);
	lease_path(b, l->id, path, sizeof(path));
	(void)unlink(path);
	lease_drop(&b->leases, l);
	return 0;
}

uint32_t leases_reap(struct bridge *b)
{
	struct lease *next;
	uint32_t n = 0;

	for (struct lease *l = b->leases.first; l; l = next) {
		next = l->next;
		if (l->want.netns && !netns_lives(l->want.netns) && !lease_end(b, l))
			n++;
	}
	if (n)
		OLOG(b->h, INFO, "leases_reaped", "bridge=%s n=%u text=\"their network namespaces are gone\"", b->name, n);
	return n;
}

static int load_one(struct bridge *b, int dirfd, const char *name)
{
	cleanup_obuf struct obuf text = OBUF_INIT;
	struct lease_want want;
	struct lease *l;
	uint32_t host;
	int e = ofile_read(dirfd, name, LEASE_BYTES_MAX, &text);

	if (e)
		return e;
	e = lease_parse(obuf_cstr(&text), &host, &want);
	if (e)
		return e;
	e = lease_adopt(&b->leases, name, host, &l);
	if (e)
		want_done(&want);
	else
		l->want = want;
	return e;
}

/* The leases of an earlier life. A file that makes no sense is removed and said. */
int leases_load(struct bridge *b, struct orlop_error *err)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *d;
	int e = ofile_mkdir_p(b->dir, 0700);

	if (e)
		return orlop_fail(err, -e, 0, "", "cannot make %s: %s", b->dir, strerrordesc_np(-e));
	dir = opendir(b->dir);
	if (!dir)
		return orlop_fail(err, errno, 0, "", "cannot read %s: %s", b->dir, strerrordesc_np(errno));
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.') {
			/* of a write that was cut off */
			if (strlen(d->d_name) > 2)
				(void)unlinkat(dirfd(dir), d->d_name, 0);
			continue;
		}
		e = load_one(b, dirfd(dir), d->d_name);
		if (e == -ENOMEM)
			return orlop_fail(err, ENOMEM, 0, "", "no memory for leases");
		if (e) {
			OLOG(b->h, WARN, "lease_ignored", "file=%s/%s errno=%d", b->dir, d->d_name, -e);
			(void)unlinkat(dirfd(dir), d->d_name, 0);
		}
	}
	return 0;
}
