/*
 * orphan.c - what the OCI runtime still holds and we have no container for.
 *
 * A daemon killed in the middle of `create` leaves a monitor and a first process that waits for a
 * start which never comes. They are deleted when we begin, and once more a little later, for a
 * `create` may still have been running when we looked first.
 */
#include "oci.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/omem.h"

#define AGAIN_NS	5000000000ull

struct orphan {
	struct oci	*o;
	char		id[OCI_ID_LEN + 1];
};

static void orphan_deleted(void *arg, int32_t code, int32_t sig, const struct obuf *out)
{
	struct orphan *p = arg;
	struct oci *o = p->o;
	cleanup_free char *exit_file = path_of(o, "exits/%s", p->id);
	char line[300];

	if (code || sig) {
		proc_first_line(out, line, sizeof(line));
		OLOG(o->h, WARN, "orphan_not_deleted", "container=%s said=\"%s\" ignoring=1", p->id, line);
	} else {
		OLOG(o->h, INFO, "orphan_deleted", "container=%s", p->id);
	}
	if (exit_file)
		(void)unlink(exit_file);
	omem_free(p);
}

static void orphan_delete(struct oci *o, const char *id)
{
	cleanup_free char *run = path_of(o, "run");
	struct orphan *p = OMEM_NEW(struct orphan);
	const char *argv[] = { o->runtime, "--root", run, "delete", "--force", NULL, NULL };

	if (!run || !p) {
		omem_free(p);
		return;
	}
	p->o = o;
	memcpy(p->id, id, OCI_ID_LEN);
	argv[5] = p->id;
	if (proc_run(o, argv, o->spawn_flags, orphan_deleted, p, NULL))
		omem_free(p);
}

static void orphans_look(void *arg)
{
	struct oci *o = arg;
	cleanup_free char *run = path_of(o, "run");
	cleanup_dir DIR *dp = run ? opendir(run) : NULL;
	struct dirent *d;

	while (dp && (d = readdir(dp)))
		if (strlen(d->d_name) == OCI_ID_LEN && strspn(d->d_name, "0123456789abcdef") == OCI_ID_LEN &&
		    !omap_get_cstr(&o->containers, d->d_name))
			orphan_delete(o, d->d_name);
}

void orphans_start(struct oci *o)
{
	orphans_look(o);
	if (!o->h->timer_new(o->h, orphans_look, o, &o->orphan_timer))
		o->h->timer_set(o->orphan_timer, AGAIN_NS, 0);
}

void orphans_stop(struct oci *o)
{
	o->h->timer_free(o->orphan_timer);
	o->orphan_timer = NULL;
}
