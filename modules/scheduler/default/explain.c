/* explain.c - op explain: which nodes would take a pod, and why the others will not. */
#include "module.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/scheduler.h>

#include "base/omem.h"
#include "json/oscan.h"

/* As if the pod were not placed yet: its own node and what it takes there do not count. */
static int explain_object(struct sd *s, const struct orlop_object *o, struct obuf *ret)
{
	struct sd_pod *known = sd_pod_find(s, o->ns, o->name);
	struct orlop_bytes labels = { NULL, 0 };
	struct sd_pod p = { .ns = o->ns, .name = o->name };
	struct sd_node *on = known ? known->node : NULL;
	struct orlop_bytes node = { NULL, 0 };
	struct orlop_bytes spec = { "{}", 2 };
	char *name = NULL;
	int r;

	(void)OSCAN_FIND_MEMBERS(o->json, &spec, "spec");
	r = sd_spec_new(spec, &p.spec);
	if (r)
		return r;
	p.profile = &s->profiles[0];
	r = sd_load_new(spec, p.name, &p.load);
	(void)OSCAN_FIND_MEMBERS(o->json, &labels, "metadata", "labels");
	if (!r)
		r = sd_labels_new(labels, &p.labels);
	if (!r)
		r = sd_terms_new(&s->cluster, &p, spec, &p.terms);
	if (!r)
		r = sd_spreads_of(s, &p, spec, o, &p.spreads);
	if (!r && on) {
		name = omem_strndup(on->name.p, on->name.len);
		node = (struct orlop_bytes){ name, on->name.len };
		if (name)
			sd_pod_unplace(&s->cluster, known);
	}
	if (!r) {
		p.spec->node_name.len = 0;
		sd_explain(&s->cluster, &p, ret);
		r = obuf_err(ret);
	}
	if (name && sd_pod_place(&s->cluster, known, node))
		okube_informer_relist(s->in_pods);
	omem_free(name);
	sd_spreads_free(&s->cluster, p.spreads);
	sd_terms_free(&s->cluster, p.terms);
	omem_free(p.labels);
	omem_free(p.load);
	sd_spec_free(p.spec);
	return r;
}

int sd_op_explain(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		      struct orlop_error *err)
{
	struct sd *s = ctx;
	struct orlop_bytes ns = orlop_msg_bytes(s->h, &req->msg, ORLOP_SCHEDULER_T_POD_NS);
	struct orlop_bytes name = orlop_msg_bytes(s->h, &req->msg, ORLOP_SCHEDULER_T_POD_NAME);
	struct obuf text = OBUF_INIT;
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	struct orlop_msgw w;
	struct orlop_msg m;
	int r = s->h->snapshot_open(okube_informer_resource(s->in_pods), &snap);

	if (r)
		return orlop_fail(err, -r, 0, "", "reading pods");
	o = s->h->snapshot_get(snap, ns, name);
	r = o ? explain_object(s, o, &text) : -ENOENT;
	s->h->snapshot_close(snap);
	if (r) {
		obuf_done(&text);
		return r == -ENOENT
			       ? orlop_fail(err, ENOENT, 404, "NotFound", "pods \"%.*s\" not found",
					    (int)name.len, name.p ? name.p : "")
			       : orlop_fail(err, -r, 0, "", "no memory");
	}
	orlop_msgw_init(&w, s->h);
	orlop_msgw_bytes(&w, ORLOP_SCHEDULER_T_RESULT, text.data, text.len);
	m = orlop_msgw_msg(&w);
	s->h->call_done(call, w.err, w.err ? NULL : &m, NULL);
	orlop_msgw_done(&w);
	obuf_done(&text);
	return 0;
}
