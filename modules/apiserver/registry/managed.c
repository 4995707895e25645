/*
 * managed.c - metadata.managedFields of the object about to be written (lib/patch does the work).
 *
 * The entries leave the tree and are kept as text: the record has them as metadata's last member,
 * where they can be found without parsing.
 */
#include "write.h"

#include "json/ojson.h"
#include "patch/omanaged.h"

#include <errno.h>
#include <string.h>

int managed_update(struct reg_op *op)
{
	static const char *const main_reset[] = { "status", NULL };
	static const char *const status_reset[] = { "spec", NULL };
	struct write *w = op->w;
	struct ojson *meta = ojson_get(w->obj, "metadata"), *mf;
	struct omanaged_write_info info = {
		.schema = op->sh->rg->schema,
		.type = oschema_type_at(op->sh->rg->schema, w->k->res->type),
		.live = w->old,
		.object = w->obj,
		.requested = w->mf_requested,
		.manager = omanaged_manager(op->opt.manager.len ? op->opt.manager : op->rq.manager,
					    op->rq.user_agent),
		.api_version = RB(w->k->api_version),
		.subresource = op->k == w->k ? op->rq.sub : RB0,
		.now_ns = (int64_t)op->sh->h->now_wall(op->sh->h),
	};
	int r = 0;

	if (w->k->res->flags & OSCHEMA_S_STATUS) {
		if (op->rq.sub.len == 0)
			info.reset = main_reset;
		else if (rb_is(op->rq.sub, "status"))
			info.reset = status_reset;
	}
	if (!w->no_managed && w->action != WRITE_REMOVE)
		r = omanaged_update(&info);
	mf = ojson_get(meta, "managedFields");
	if (r == 0 && ojson_count(mf))
		r = ojson_write(mf, 0, &w->managed);
	return r ? reg_failed(op, r, NULL) : 0;
}
