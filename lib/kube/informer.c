/* informer.c - following one resource of the cache by its journal, from a snapshot where that fails. */
#include "kube/okube.h"

#include <errno.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "walk/owalk.h"

#define BATCH	128u

struct okube_informer {
	const struct orlop_host *h;
	struct orlop_resource *res;
	okube_change_fn	fn;
	orlop_cb	resync;
	void		*arg;
	uint64_t	cursor;
	bool		listed;
	bool		synced;
};

/* Everything there is, as ADDED; the cursor is the snapshot's revision. */
static int list_all(struct okube_informer *in)
{
	const struct orlop_host *h = in->h;
	struct orlop_object *o;
	struct owalk w;
	int e = owalk_open(&w, h, in->res, NULL);

	if (e)
		return e;
	in->cursor = h->snapshot_rev(w.snap);
	while ((o = owalk_next(&w)))
		in->fn(in->arg, ORLOP_CHANGE_ADDED, o, NULL);
	owalk_close(&w);
	return 0;
}

static void catch_up(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct okube_informer *in = arg;
	const struct orlop_host *h = in->h;
	struct orlop_change ch[BATCH];
	bool relisted = false;
	int32_t synced = 0;
	int32_t n = 0;
	int32_t i;

	(void)rev;
	(void)h->resource_rev(res, &synced);
	if (!synced)
		return;
	if (!in->listed) {
		if (list_all(in))
			return;
		in->listed = true;
		relisted = true;
	}
	for (;;) {
		n = h->journal_read(res, &in->cursor, ch, BATCH);
		if (n == -ESTALE || n == -EMSGSIZE) {
			if (list_all(in))
				return;
			relisted = true;
			continue;
		}
		if (n <= 0)
			break;
		for (i = 0; i < n; i++) {
			in->fn(in->arg, ch[i].type, ch[i].object, ch[i].prev);
			h->object_unref(ch[i].object);
			h->object_unref(ch[i].prev);
		}
	}
	in->synced = true;
	if (relisted && in->resync)
		in->resync(in->arg);
}

int okube_informer_new(const struct orlop_host *h, const char *resource, okube_change_fn fn,
		       orlop_cb resync, void *arg, struct okube_informer **ret, struct orlop_error *err)
{
	struct okube_informer *in = OMEM_NEW(struct okube_informer);
	int e;

	if (!in)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	in->h = h;
	in->fn = fn;
	in->resync = resync;
	in->arg = arg;
	e = h->resource_open(h, resource, &in->res, err);
	if (e) {
		omem_free(in);
		return e;
	}
	h->resource_watch(in->res, catch_up, in);
	*ret = in;
	return 0;
}

void okube_informer_free(struct okube_informer *in)
{
	if (!in)
		return;
	in->h->resource_close(in->res);
	omem_free(in);
}

void okube_informer_relist(struct okube_informer *in)
{
	in->listed = false;
	catch_up(in, in->res, 0);
}

struct orlop_resource *okube_informer_resource(struct okube_informer *in)
{
	return in->res;
}

bool okube_informer_synced(const struct okube_informer *in)
{
	return in->synced;
}

int okube_find(const struct orlop_host *h, struct orlop_resource *r, struct orlop_bytes ns,
	       struct orlop_bytes name, struct ojson **ret)
{
	struct orlop_snapshot *s;
	struct orlop_object *o;
	struct ojson *j;

	if (h->snapshot_open(r, &s))
		return -ENOMEM;
	o = h->snapshot_get(s, ns, name);
	j = okube_parse(o);
	h->snapshot_close(s);
	if (!j)
		return o ? -ENOMEM : -ENOENT;
	*ret = j;
	return 0;
}

struct ojson *okube_get(const struct orlop_host *h, struct orlop_resource *r, struct orlop_bytes ns,
			struct orlop_bytes name)
{
	struct ojson *j = NULL;

	return okube_find(h, r, ns, name, &j) ? NULL : j;
}
