/*
 * evictrank.c - which pod goes first when the machine has too little, and what is said of it. Pure.
 *
 * Source: pkg/kubelet/eviction/helpers.go (rankMemoryPressure, rankDiskPressureFunc, rankPIDPressure,
 * evictionMessage), eviction_manager.go (localStorageEviction).
 */
#include "limits.h"
#include "stats.h"

#include <stdlib.h>
#include <string.h>

#include "quantity/oquantity.h"

struct rank {
	const struct stats_pod *sp;
	bool		exceeds;
	int64_t		priority;
	int64_t		over;		/* use above the request */
};

const char *signal_resource(enum signal s)
{
	return s == SIG_MEMORY ? "memory" : s == SIG_PID ? "pids"
		: s == SIG_NODEFS || s == SIG_IMAGEFS ? "ephemeral-storage" : "inodes";
}

bool pod_is_critical(const struct ojson *pod)
{
	const struct ojson *notes = OJSON_AT(pod, "metadata", "annotations");
	const char *source = ojson_get_cstr(notes, "kubernetes.io/config.source", "api");

	return strcmp(source, "api") || ojson_get(notes, "kubernetes.io/config.mirror") ||
		ojson_i64(OJSON_AT(pod, "spec", "priority"), 0) >= 2000000000;
}

static int64_t pod_request(const struct ojson *pod, const char *name)
{
	bool all;

	return pod_sum(pod, "requests", name, false, &all);
}

static int by_rank(const void *pa, const void *pb)
{
	const struct rank *a = pa;
	const struct rank *b = pb;

	if (a->exceeds != b->exceeds)
		return a->exceeds ? -1 : 1;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->over != b->over)
		return a->over > b->over ? -1 : 1;
	return strcmp(a->sp->uid, b->sp->uid);
}

static const struct ojson *object_of(const struct stats *s, const struct stats_pod *sp)
{
	const struct pod *p = pod_get(s->k, sp->uid);

	return p ? p->obj : NULL;
}

void evict_rank(const struct stats *s, enum signal why, const struct stats_pod **order)
{
	struct rank *v = omem_zalloc_array(s->n_pods ? s->n_pods : 1, sizeof(*v));
	uint32_t i;

	for (i = 0; i < s->n_pods; i++)
		order[i] = &s->pods[i];
	if (!v)
		return;
	for (i = 0; i < s->n_pods; i++) {
		const struct stats_pod *sp = &s->pods[i];
		const struct ojson *pod = object_of(s, sp);
		int64_t use;

		v[i].sp = sp;
		v[i].priority = ojson_i64(OJSON_AT(pod, "spec", "priority"), 0);
		if (why == SIG_PID) {
			v[i].over = (int64_t)sp->cg.pids;
			continue;
		}
		use = why == SIG_MEMORY ? (int64_t)sp->cg.mem_working_set
			: (int64_t)(why == SIG_NODEFS || why == SIG_IMAGEFS ? stats_pod_disk(sp) : stats_pod_inodes(sp));
		v[i].over = use - (why == SIG_NODEFS_INODES || why == SIG_IMAGEFS_INODES
				   ? 0 : pod_request(pod, signal_resource(why)));
		v[i].exceeds = v[i].over > 0;
	}
	qsort(v, s->n_pods, sizeof(*v), by_rank);
	for (i = 0; i < s->n_pods; i++)
		order[i] = v[i].sp;
	omem_free(v);
}

static void put_quantity(struct obuf *out, int64_t v, bool binary)
{
	struct oquantity q;
	char text[OQUANTITY_BUF];
	size_t n;

	oquantity_from_i64(&q, v, binary ? OQUANTITY_BINARY : OQUANTITY_DECIMAL);
	n = oquantity_write(&q, text);
	obuf_append(out, text, n);
}

static const struct ojson *container_spec(const struct ojson *pod, const char *name)
{
	static const char *const lists[] = { "containers", "initContainers" };
	size_t l;

	for (l = 0; l < 2; l++) {
		OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "spec", lists[l])) {
			if (!strcmp(ojson_get_cstr(c, "name", ""), name))
				return c;
		}
	}
	return NULL;
}

void evict_message(const struct stats_pod *sp, const struct ojson *pod, enum signal why, int64_t threshold,
		   int64_t available, struct obuf *out)
{
	const char *res = signal_resource(why);
	bool binary = why == SIG_MEMORY || why == SIG_NODEFS || why == SIG_IMAGEFS;
	uint32_t i;

	obuf_printf(out, "The node was low on resource: %s. Threshold quantity: ", res);
	put_quantity(out, threshold, binary);
	obuf_puts(out, ", available: ");
	put_quantity(out, available, binary);
	obuf_puts(out, ". ");
	for (i = 0; binary && i < sp->n_ctrs; i++) {
		const struct stats_ctr *c = &sp->ctrs[i];
		const struct ojson *spec = container_spec(pod, c->name);
		int64_t request = quantity_i64(OJSON_AT(spec, "resources", "requests"), res, 0);
		int64_t use = why == SIG_MEMORY ? (int64_t)c->cg.mem_working_set
						: (int64_t)(c->rootfs.bytes + c->logs.bytes);

		if (!spec || use <= request)
			continue;
		obuf_printf(out, "Container %s was using ", c->name);
		put_quantity(out, use, true);
		obuf_puts(out, ", request is ");
		put_quantity(out, request, true);
		obuf_printf(out, ", has larger consumption of %s. ", res);
	}
}

/* ---- limits of the pod's own ------------------------------------------------------------------------------- */

bool evict_has_limit(const struct ojson *pod)
{
	OJSON_FOREACH_ELEM(i, v, OJSON_AT(pod, "spec", "volumes"))
		if (ojson_get(ojson_get(v, "emptyDir"), "sizeLimit"))
			return true;
	OJSON_FOREACH_ELEM(k, c, OJSON_AT(pod, "spec", "containers"))
		if (ojson_get(OJSON_AT(c, "resources", "limits"), "ephemeral-storage"))
			return true;
	return false;
}

static const char *limit_text(const struct ojson *list, const char *key)
{
	return ojson_get_cstr(list, key, "0");
}

static bool empty_dirs_over(const struct stats_pod *sp, const struct ojson *pod, struct obuf *out)
{
	OJSON_FOREACH_ELEM(i, v, OJSON_AT(pod, "spec", "volumes")) {
		const struct ojson *e = ojson_get(v, "emptyDir");
		int64_t limit = quantity_i64(e, "sizeLimit", 0);
		const char *name = ojson_get_cstr(v, "name", "");
		uint32_t n;

		for (n = 0; limit > 0 && n < sp->n_vols; n++) {
			const struct stats_vol *sv = &sp->vols[n];

			if (!strcmp(sv->name, name) && (int64_t)(sv->memory ? sv->fs.used : sv->use.bytes) > limit) {
				obuf_printf(out, "Usage of EmptyDir volume \"%s\" exceeds the limit \"%s\". ", name,
					    limit_text(e, "sizeLimit"));
				return true;
			}
		}
	}
	return false;
}

bool evict_over_limit(const struct stats_pod *sp, const struct ojson *pod, struct obuf *out)
{
	int64_t total = 0;
	bool all = true;
	uint32_t i;

	if (empty_dirs_over(sp, pod, out))
		return true;
	OJSON_FOREACH_ELEM(k, c, OJSON_AT(pod, "spec", "containers")) {
		int64_t limit = quantity_i64(OJSON_AT(c, "resources", "limits"), "ephemeral-storage", 0);

		all &= limit > 0;
		total += limit;
	}
	/* a pod as a whole has a limit when each of its containers has */
	if (all && total > 0 && (int64_t)stats_pod_disk(sp) > total) {
		obuf_puts(out, "Pod ephemeral local storage usage exceeds the total limit of containers ");
		put_quantity(out, total, true);
		obuf_puts(out, ". ");
		return true;
	}
	for (i = 0; i < sp->n_ctrs; i++) {
		const struct ojson *limits = OJSON_AT(container_spec(pod, sp->ctrs[i].name), "resources", "limits");
		int64_t limit = quantity_i64(limits, "ephemeral-storage", 0);

		if (limit > 0 && (int64_t)(sp->ctrs[i].rootfs.bytes + sp->ctrs[i].logs.bytes) > limit) {
			obuf_printf(out, "Container %s exceeded its local ephemeral storage limit \"%s\". ", sp->ctrs[i].name,
				    limit_text(limits, "ephemeral-storage"));
			return true;
		}
	}
	return false;
}
