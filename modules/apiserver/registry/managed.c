/*
 * managed.c - metadata.managedFields of the object about to be written (lib/patch does the work).
 *
 * The entries leave the tree and are kept as text: the record has them as metadata's last member,
 * where they can be found without parsing. They are made as soon as the client's object is decoded:
 * what admission and the kind's own rules add after that belongs to nobody, as upstream has it.
 */
#include "managed.h"
#include "write.h"

#include "json/ojson.h"
#include "patch/omanaged.h"
#include "schema/decode.h"

#include <errno.h>
#include <string.h>

const struct reg_kind *managed_kind(const struct reg_op *op)
{
	return op->k->stored == op->w->k ? op->k : op->w->k;
}

/* Paths that an endpoint never owns, as upstream's strategies list them (GetResetFields). */
const char *const *managed_reset(const struct reg_op *op)
{
	static const char *const none[] = { NULL };
	static const char *const main_reset[] = { "status", NULL };
	static const char *const status_reset[] = { "spec", NULL };
	static const struct {
		const char *resource;
		const char *const paths[4];
	} status_of[] = {
		{ "deployments.apps", { "spec", "metadata.labels", NULL } },
		{ "pods", { "spec", "metadata.deletionTimestamp", "metadata.ownerReferences", NULL } },
		{ "volumeattachments.storage.k8s.io", { "spec", "metadata", NULL } },
		{ "flowschemas.flowcontrol.apiserver.k8s.io", { "spec", "metadata", NULL } },
		{ "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", { "spec", "metadata", NULL } },
	};
	const struct write *w = op->w;

	if (!(w->k->res->flags & OSCHEMA_S_STATUS))
		return none;
	if (op->rq.sub.len == 0)
		return main_reset;
	if (!rb_is(op->rq.sub, "status"))
		return none;
	for (size_t i = 0; i < sizeof(status_of) / sizeof(*status_of); i++)
		if (!strcmp(w->k->name, status_of[i].resource))
			return status_of[i].paths;
	return status_reset;
}

struct orlop_bytes managed_subresource(const struct reg_op *op)
{
	return op->k->stored == op->w->k ? op->rq.sub : RB0;
}

struct orlop_bytes managed_writer(const struct reg_op *op)
{
	struct orlop_bytes m = omanaged_manager(op->opt.manager.len ? op->opt.manager : op->rq.manager,
						op->rq.user_agent);

	return m.len ? m : RB("unknown");
}

/* The kind of @w's objects in version @api_version, or NULL. */
static const struct reg_kind *kind_at(const struct reg_op *op, struct orlop_bytes api_version)
{
	const struct reg_kind *kinds = op->w->k->kinds;

	if (rb_is(api_version, op->w->k->api_version))
		return op->w->k;
	for (uint16_t i = 0; i < op->w->k->schema->n_resources; i++)
		if (kinds[i].stored == op->w->k && rb_is(api_version, kinds[i].api_version))
			return &kinds[i];
	return NULL;
}

int managed_convert(void *arg, const struct ojson *object, const char *to, struct ojson **ret,
		    const struct oschema_type **ret_type)
{
	const struct reg_op *op = arg;
	const struct oschema *s = op->k->schema;
	const struct reg_kind *from = kind_at(op, ojson_get_bytes(object, "apiVersion"));
	const struct reg_kind *as = kind_at(op, RB(to));
	struct ojson *tree = NULL;
	int r;

	if (!from || !as)
		return -ENOENT;
	r = ojson_copy(object, &tree);
	/* all versions know the stored one */
	if (r == 0 && from != op->w->k)
		r = oschema_convert(s, from->res, op->w->k->res, tree);
	if (r == 0 && as != op->w->k)
		r = oschema_convert(s, op->w->k->res, as->res, tree);
	if (r == 0)
		r = ojson_set_cstr(tree, "apiVersion", as->api_version);
	if (r) {
		ojson_unref(tree);
		return r;
	}
	*ret = tree;
	*ret_type = oschema_type_at(s, as->res->type);
	return 0;
}

int managed_set(struct reg_op *op, const struct ojson *entries)
{
	struct write *w = op->w;

	w->managed_done = true;
	obuf_reset(&w->managed);
	return ojson_count(entries) ? ojson_write(entries, 0, &w->managed) : 0;
}

/* omanaged_update() over both objects in the version of the request, which is not the stored one. */
static int update_converted(struct reg_op *op, struct omanaged_write_info *info, struct ojson **ret)
{
	struct ojson *old = NULL, *obj = NULL;
	const struct oschema_type *t;
	int r = managed_convert(op, info->object, op->k->api_version, &obj, &t);

	if (r == 0 && info->live)
		r = managed_convert(op, info->live, op->k->api_version, &old, &t);
	if (r == 0) {
		info->live = old;
		info->object = obj;
		r = omanaged_update(info);
	}
	if (r == 0)
		*ret = ojson_ref(OJSON_AT(obj, "metadata", "managedFields"));
	ojson_unref(old);
	ojson_unref(obj);
	return r;
}

int managed_update(struct reg_op *op)
{
	struct write *w = op->w;
	const struct reg_kind *k = managed_kind(op);
	struct ojson *meta = ojson_get(w->obj, "metadata"), *entries = NULL;
	struct omanaged_write_info info = {
		.schema = op->k->schema,
		.type = oschema_type_at(op->k->schema, k->res->type),
		.live = w->old,
		.object = w->obj,
		.requested = w->mf_requested,
		.manager = managed_writer(op),
		.api_version = RB(k->api_version),
		.subresource = managed_subresource(op),
		.now_ns = (int64_t)op->sh->h->now_wall(op->sh->h),
		.reset = managed_reset(op),
		.convert = managed_convert,
		.convert_arg = op,
	};
	int r = 0;

	if (!w->no_managed && k != w->k) {
		r = update_converted(op, &info, &entries);
	} else {
		if (!w->no_managed)
			r = omanaged_update(&info);
		entries = ojson_ref(ojson_get(meta, "managedFields"));
	}
	if (r == 0)
		r = managed_set(op, entries);
	ojson_unref(entries);
	ojson_del(meta, "managedFields");
	return r ? reg_failed(op, r, NULL) : 0;
}
