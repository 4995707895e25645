/*
 * disk.c - VolumeRestrictions of disks that a pod names itself: one node has each of them for one writer, or for readers only.
 *
 * Claims are restrict.c's; here nothing is looked up, so it is part of what a pod takes from a node.
 * Source: pkg/scheduler/framework/plugins/volumerestrictions, isVolumeConflict().
 */
#include "volume.h"

#include <errno.h>
#include <string.h>

#include "base/ostr.h"
#include "json/oscan.h"
#include "parse.h"

enum { DISK_GCE, DISK_AWS, DISK_ISCSI, DISK_RBD };

static const struct {
	const char	*source;
	const char	*id;
} kinds[] = {
	[DISK_GCE] = { "gcePersistentDisk", "pdName" },
	[DISK_AWS] = { "awsElasticBlockStore", "volumeID" },
	[DISK_ISCSI] = { "iscsi", "iqn" },
	[DISK_RBD] = { "rbd", "image" },
};

static bool reads_only(struct orlop_bytes source)
{
	struct orlop_bytes v;

	return oscan_get(source, "readOnly", &v) && ostr_is(v.p, v.len, "true");
}

/* The same image is what one monitor knows by the same names: one disk for each monitor, so that any in common is seen. */
static uint32_t images_read(struct oarena *mem, struct orlop_bytes rbd, struct sd_disk *out, int *err)
{
	struct orlop_bytes list = { "[]", 2 }, pool, image, monitor;
	struct oscan_iter it;
	uint32_t n = 0;

	(void)oscan_get(rbd, "monitors", &list);
	if (!out)
		return (uint32_t)oscan_count(list);
	pool = sd_text_at(mem, rbd, "pool", err);
	image = sd_text_at(mem, rbd, "image", err);
	for (oscan_begin(&it, list); oscan_next(&it) > 0; n++) {
		char *id;

		monitor = sd_text(mem, it.value, err);
		id = oarena_alloc(mem, monitor.len + pool.len + image.len + 2);
		if (!id) {
			*err = -ENOMEM;
			return 0;
		}
		out[n] = (struct sd_disk){ .kind = DISK_RBD, .read_only = reads_only(rbd),
					   .id = { id, monitor.len + pool.len + image.len + 2 } };
		memcpy(id, monitor.p ? monitor.p : "", monitor.len);
		id[monitor.len] = '\n';
		memcpy(id + monitor.len + 1, pool.p ? pool.p : "", pool.len);
		id[monitor.len + 1 + pool.len] = '\n';
		memcpy(id + monitor.len + 2 + pool.len, image.p ? image.p : "", image.len);
	}
	return n;
}

uint32_t sd_disks_read(struct oarena *mem, struct orlop_bytes volumes, struct sd_disk *out, int *err)
{
	struct orlop_bytes source;
	struct oscan_iter it;
	uint32_t n = 0;

	for (oscan_begin(&it, volumes); volumes.p && oscan_next(&it) > 0;) {
		for (uint32_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			if (!oscan_get(it.value, kinds[k].source, &source))
				continue;
			if (k == DISK_RBD) {
				n += images_read(mem, source, out ? out + n : NULL, err);
				continue;
			}
			if (out)
				out[n] = (struct sd_disk){ .kind = k, .read_only = k != DISK_AWS && reads_only(source),
							   .id = sd_text_at(mem, source, kinds[k].id, err) };
			n++;
		}
	}
	return n;
}

static bool conflict(const struct sd_load *a, const struct sd_load *b)
{
	for (uint32_t i = 0; i < a->n_disks; i++) {
		const struct sd_disk *d = &a->disks[i];

		for (uint32_t k = 0; k < b->n_disks; k++) {
			const struct sd_disk *e = &b->disks[k];

			if (d->kind == e->kind && !(d->read_only && e->read_only) && ostr_eq(d->id.p, d->id.len, e->id.p, e->id.len))
				return true;
		}
	}
	return false;
}

bool sd_disk_taken(const struct sd_pod *p, const struct sd_node *n)
{
	if (!p->load->n_disks)
		return false;
	OLIST_FOREACH(at, &n->pods)
	{
		const struct sd_pod *q = OLIST_ENTRY(at, struct sd_pod, on_node);

		if (q != p && conflict(p->load, q->load))
			return true;
	}
	return false;
}
