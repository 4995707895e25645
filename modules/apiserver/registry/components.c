/*
 * components.c - ComponentStatus: how scheduler, controller manager and storage are. Made when somebody asks, never stored.
 *
 * The parts are modules of this process, or others' that lead by a Lease. Source: upstream's
 * pkg/registry/core/componentstatus, which asks ports of the same machine; test: tests/api/discovery.py
 */
#include "op.h"
#include "render.h"
#include "select.h"
#include "verbs.h"

#include "base/otime.h"
#include "json/ojson.h"
#include "selector/ofield.h"
#include "selector/oselector.h"

#include <string.h>

static const struct part {
	const char	*name;
	const char	*instances;	/* how the names of its modules begin */
	const char	*lease;		/* by which others lead; NULL: who answers has one */
} parts[] = {
	{ "controller-manager", "controllers/", "kube-controller-manager" },
	{ "etcd-0", "storage", NULL },
	{ "scheduler", "scheduler", "kube-scheduler" },
};

struct looking {
	const struct part *part;
	unsigned int	n;
	char		bad[80];	/* the first that is not well, and why */
	char		why[160];
};

static void on_module(void *arg, const char *instance, const struct orlop_health *health)
{
	struct looking *l = arg;

	if (strncmp(instance, l->part->instances, strlen(l->part->instances)))
		return;
	l->n++;
	if (health->ok || l->bad[0])
		return;
	snprintf(l->bad, sizeof(l->bad), "%s", instance);
	snprintf(l->why, sizeof(l->why), "%s", health->text);
}

/* Is the Lease held, and was it renewed in its time? */
static bool is_led(struct reg_op *op, const char *name)
{
	struct orlop_object *o = reg_peek(op->sh, "leases.coordination.k8s.io", RB("kube-system"), RB(name));
	cleanup_ojson struct ojson *lease = NULL;
	struct orlop_bytes at;
	int64_t ns = 0;

	if (!o)
		return false;
	(void)ojson_parse_members(o->json, &lease, NULL);
	op->sh->h->object_unref(o);
	at = ojson_bytes(OJSON_AT(lease, "spec", "renewTime"));
	return at.p && ojson_bytes(OJSON_AT(lease, "spec", "holderIdentity")).len && !otime_parse(at.p, at.len, &ns) &&
	       ns + ojson_get_i64(ojson_get(lease, "spec"), "leaseDurationSeconds", 0) * OTIME_SECOND >=
	       (int64_t)op->sh->h->now_wall(op->sh->h);
}

/* From "metadata" on, as the cache has objects. */
static int put_part(struct reg_op *op, const struct part *part, struct obuf *b)
{
	struct looking l = { .part = part };
	struct obuf why = OBUF_INIT;
	bool ok;

	if (op->sh->h->health_list)
		op->sh->h->health_list(op->sh->h, on_module, &l);
	ok = l.n ? !l.bad[0] : !part->lease || is_led(op, part->lease);
	if (ok)
		obuf_puts(&why, "ok");
	else if (l.n)
		obuf_printf(&why, "%s: %s", l.bad, l.why);
	else
		obuf_printf(&why, "no such module in this process, and nobody renews the Lease kube-system/%s", part->lease);
	obuf_printf(b, "\"metadata\":{\"name\":\"%s\"},\"conditions\":[{\"type\":\"Healthy\",\"status\":\"%s\",\"message\":",
		    part->name, ok ? "True" : "False");
	obuf_put_json_string(b, why.data, why.len);
	obuf_puts(b, "}]");
	obuf_done(&why);
	return obuf_err(b);
}

static void get_one(struct reg_op *op)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct obuf b = OBUF_INIT;
		struct orlop_bytes json;

		if (!rb_is(op->rq.name, parts[i].name))
			continue;
		json = (struct orlop_bytes){ NULL, 0 };
		if (put_part(op, &parts[i], &b) == 0)
			json = (struct orlop_bytes){ oarena_dup(&op->arena, b.data, b.len), b.len };
		obuf_done(&b);
		if (json.p)
			reg_finish_object(op, 200, op->k, json, 0);
		else
			reg_finish(op, reg_failed(op, -ENOMEM, NULL));
		return;
	}
	/* upstream makes no NotFound of it */
	reg_finish(op, reg_fail(op, EIO, 500, "", "Component not found: %.*s", OB(op->rq.name)));
}

static bool is_wanted(const struct reg_select *s, const char *name)
{
	if (s->never || (s->name.len && !rb_is(s->name, name)) || (s->labels && !oselector_match_map(s->labels, NULL)))
		return false;
	for (size_t i = 0; s->fields && i < s->fields->n_terms; i++)
		if (s->fields->terms[i].not && rb_is(s->fields->terms[i].value, name))
			return false;
	return true;
}

static int put_items(struct reg_op *op, const struct reg_select *s, struct obuf *out)
{
	int r = 0, n = 0;

	for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct obuf b = OBUF_INIT;
		struct orlop_bytes json;

		if (!is_wanted(s, parts[i].name))
			continue;
		obuf_puts(out, n++ ? "," : "");
		r = put_part(op, &parts[i], &b);
		json = (struct orlop_bytes){ b.data, b.len };
		if (r == 0 && op->rq.form == REG_FORM_TABLE)
			r = render_row(op->k->schema, op->k, json, op->opt.include, (int64_t)op->sh->h->now_wall(op->sh->h), out);
		else if (r == 0 && op->rq.form == REG_FORM_META)
			render_partial(json, out);
		else if (r == 0)
			r = render_object(op->k->schema, op->k, json, true, out);
		obuf_done(&b);
	}
	obuf_puts(out, "]}");
	return r ? r : obuf_err(out);
}

static void list_all(struct reg_op *op)
{
	struct reg_select s;
	int r = reg_select_init(op, &s);

	if (r) {
		reg_finish(op, r);
		return;
	}
	if (op->rq.form == REG_FORM_TABLE)
		render_table_head(op->k->schema, op->k, "", true, &op->out);
	else if (op->rq.form == REG_FORM_META)
		obuf_puts(&op->out, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{},\"items\":[");
	else
		obuf_puts(&op->out, "{\"kind\":\"ComponentStatusList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
	r = put_items(op, &s, &op->out);
	reg_select_done(&s);
	if (r)
		reg_finish(op, reg_failed(op, r, NULL));
	else
		reg_finish_text(op, 200);
}

void reg_do_components(struct reg_op *op)
{
	if (op->rq.verb == REG_GET)
		get_one(op);
	else
		list_all(op);
}
