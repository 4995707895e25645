/*
 * usage.c - metrics.k8s.io: what nodes and pods use now, asked of their kubelets when somebody asks us.
 *
 * Nothing is kept: a kubelet knows by itself over which time it measured, and costs nothing while nobody looks. Of the
 * kubelets that do not answer nothing is told, as upstream's metrics-server does; its answers are ours in all members.
 */
#include "front.h"

#include "base/otime.h"
#include "json/ojson.h"
#include "quantity/oquantity.h"
#include "selector/ofield.h"
#include "selector/oselector.h"
#include "walk/owalk.h"

#include <errno.h>
#include <stdio.h>

#define BODY_MAX	(16u << 20)
#define AT_ONCE		20u
#define TARGET		"/stats/summary?only_cpu_and_memory=true&window=true"

/* One kubelet to be asked. */
struct asked {
	struct usage	*u;
	char		*name;		/* of the node */
	struct ohttp_creq *creq;
	struct obuf	body;
	struct ojson	*summary;	/* NULL: no answer */
	int		status;
};

struct usage {
	struct front	*f;
	bool		of_nodes;
	struct oselector *labels;
	struct ofield_selector *fields;
	struct omap	nodes;		/* name → struct asked */
	uint32_t	next;		/* in the order of the map */
	uint32_t	open;
	bool		gone;
};

/* One row. */
struct row {
	const struct orlop_object *o;
	const struct ojson *entry;	/* of the summary: node or pod */
	int64_t		window_ns;
	int64_t		time_ns;
};

/* ---- the objects meant --------------------------------------------------------------------------------- */

struct picked {
	struct usage	*u;
	const struct orlop_object *o;
};

static struct orlop_bytes field_of(const void *arg, struct orlop_bytes field)
{
	const struct orlop_object *o = arg;

	return bytes_is(field, "metadata.name") ? o->name : o->ns;
}

static bool is_meant(const struct usage *u, const struct orlop_object *o)
{
	const struct route *rt = &u->f->rt;

	return (!rt->name.len || (o->name.len == rt->name.len && !memcmp(o->name.p, rt->name.p, rt->name.len))) &&
		(!u->labels || oselector_match_object(u->labels, o)) &&
		(!u->fields || ofield_match(u->fields, field_of, o));
}

/* Each object that is meant; false: the cache cannot be read. */
static bool each(struct usage *u, bool (*fn)(void *arg, struct orlop_object *o), void *arg)
{
	const struct orlop_host *h = u->f->sh->h;
	struct orlop_query q = { .size = sizeof(q), .has_ns = u->f->rt.ns.len > 0, .ns = u->f->rt.ns };
	struct orlop_resource *res = u->f->sh->pods;
	struct orlop_object *o;
	struct owalk w;
	bool ok;

	if (u->of_nodes && h->resource_open(h, "nodes", &res, NULL))
		return false;
	ok = !owalk_open(&w, h, res, &q);
	if (ok) {
		while (ok && (o = owalk_next(&w)))
			ok = !is_meant(u, o) || fn(arg, o);
		owalk_close(&w);
	}
	if (u->of_nodes)
		h->resource_close(res);
	return ok;
}

/* ---- the answer ---------------------------------------------------------------------------------------------- */

static void put_cpu(struct obuf *b, const struct ojson *entry)
{
	obuf_printf(b, "\"%lldn\"", (long long)ojson_i64(OJSON_AT(entry, "cpu", "usageNanoCores"), 0));
}

static void put_memory(struct obuf *b, const struct ojson *entry)
{
	int64_t v = ojson_i64(OJSON_AT(entry, "memory", "workingSetBytes"), 0);

	/* as metrics-server: in KiB if nothing is lost by it */
	if (v % 1024)
		obuf_printf(b, "\"%lld\"", (long long)v);
	else
		obuf_printf(b, "\"%lldKi\"", (long long)(v / 1024));
}

static void put_usage(struct obuf *b, const struct ojson *entry)
{
	obuf_puts(b, "\"usage\":{\"cpu\":");
	put_cpu(b, entry);
	obuf_puts(b, ",\"memory\":");
	put_memory(b, entry);
	obuf_putc(b, '}');
}

static bool has_usage(const struct ojson *entry)
{
	return OJSON_AT(entry, "cpu", "usageNanoCores") && OJSON_AT(entry, "memory", "workingSetBytes");
}

static int64_t time_of(const struct ojson *entry)
{
	struct orlop_bytes t = ojson_bytes(OJSON_AT(entry, "cpu", "time"));
	int64_t ns = 0;

	if (t.p)
		(void)otime_parse(t.p, t.len, &ns);
	return ns;
}

static void put_labels(struct obuf *b, const struct orlop_object *o)
{
	const char *sep = ",\"labels\":{";
	bool any = false;
	uint32_t i;

	for (i = 0; i < o->n_index; i++) {
		const struct orlop_index_entry *e = &o->index[i];

		if (e->index != ORLOP_INDEX_LABELS)
			continue;
		obuf_puts(b, sep);
		obuf_put_json_string(b, e->key.p, e->key.len);
		obuf_putc(b, ':');
		obuf_put_json_string(b, e->value.p, e->value.len);
		sep = ",";
		any = true;
	}
	if (any)
		obuf_putc(b, '}');
}

/* Everything of an item behind its apiVersion; without braces. */
static void put_item(struct usage *u, struct obuf *b, const struct row *r)
{
	char now[OTIME_BUF];
	char time[OTIME_BUF];
	char window[OTIME_BUF];
	bool first = true;

	otime_format((int64_t)u->f->sh->h->now_wall(u->f->sh->h), now);
	otime_format(r->time_ns, time);
	otime_duration_format(r->window_ns, window);
	obuf_puts(b, "\"metadata\":{\"name\":");
	obuf_put_json_string(b, r->o->name.p, r->o->name.len);
	if (r->o->ns.len) {
		obuf_puts(b, ",\"namespace\":");
		obuf_put_json_string(b, r->o->ns.p, r->o->ns.len);
	}
	obuf_printf(b, ",\"creationTimestamp\":\"%s\"", now);
	put_labels(b, r->o);
	obuf_printf(b, "},\"timestamp\":\"%s\",\"window\":\"%s\",", time, window);
	if (u->of_nodes) {
		put_usage(b, r->entry);
		return;
	}
	obuf_puts(b, "\"containers\":[");
	OJSON_FOREACH_ELEM(i, c, ojson_get(r->entry, "containers")) {
		if (!has_usage(c))
			continue;
		obuf_puts(b, first ? "{\"name\":" : ",{\"name\":");
		first = false;
		obuf_put_json_cstr(b, ojson_get_cstr(c, "name", ""));
		obuf_putc(b, ',');
		put_usage(b, c);
		obuf_putc(b, '}');
	}
	obuf_putc(b, ']');
}

static void put_quantity(struct obuf *b, const struct oquantity *q)
{
	char text[OQUANTITY_BUF];
	size_t n = oquantity_write(q, text);

	obuf_printf(b, "\"%.*s\"", (int)n, text);
}

static void put_cells(struct usage *u, struct obuf *b, const struct row *r)
{
	int64_t cpu = 0;
	int64_t memory = 0;
	char window[OTIME_BUF];
	struct oquantity q;

	obuf_puts(b, "{\"cells\":[");
	obuf_put_json_string(b, r->o->name.p, r->o->name.len);
	if (u->of_nodes) {
		cpu = ojson_i64(OJSON_AT(r->entry, "cpu", "usageNanoCores"), 0);
		memory = ojson_i64(OJSON_AT(r->entry, "memory", "workingSetBytes"), 0);
	} else {
		OJSON_FOREACH_ELEM(i, c, ojson_get(r->entry, "containers")) {
			cpu += ojson_i64(OJSON_AT(c, "cpu", "usageNanoCores"), 0);
			memory += ojson_i64(OJSON_AT(c, "memory", "workingSetBytes"), 0);
		}
	}
	obuf_printf(b, ",\"%lldn\",", (long long)cpu);
	oquantity_from_i64(&q, memory, OQUANTITY_BINARY);
	put_quantity(b, &q);
	otime_duration_format(r->window_ns, window);
	obuf_printf(b, ",\"%s\"],\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",", window);
	obuf_puts(b, "\"metadata\":{\"name\":");
	obuf_put_json_string(b, r->o->name.p, r->o->name.len);
	if (r->o->ns.len) {
		obuf_puts(b, ",\"namespace\":");
		obuf_put_json_string(b, r->o->ns.p, r->o->ns.len);
	}
	obuf_puts(b, "}}}");
}

static struct asked *asked_of(const struct usage *u, const struct orlop_object *pod)
{
	struct orlop_host *h = (struct orlop_host *)(uintptr_t)u->f->sh->h;
	int32_t ix = h->resource_index(u->f->sh->pods, "spec.nodeName");
	uint32_t i;

	for (i = 0; ix >= 0 && i < pod->n_index; i++)
		if (pod->index[i].index == (uint32_t)ix)
			return omap_get(&u->nodes, pod->index[i].value.p, pod->index[i].value.len);
	return NULL;
}

/* What is known of @o's use; false: nothing. */
static bool row_of(const struct usage *u, const struct orlop_object *o, struct row *r)
{
	const struct asked *a = u->of_nodes ? omap_get(&u->nodes, o->name.p, o->name.len) : asked_of(u, o);
	const struct ojson *node = a ? ojson_get(a->summary, "node") : NULL;

	memset(r, 0, sizeof(*r));
	r->o = o;
	if (!node)
		return false;
	r->time_ns = time_of(node);
	r->window_ns = ojson_i64(OJSON_AT(node, "cpu", "usageWindowNanoSeconds"), 0);
	if (u->of_nodes) {
		r->entry = node;
		return has_usage(node);
	}
	OJSON_FOREACH_ELEM(i, p, ojson_get(a->summary, "pods")) {
		const struct ojson *ref = ojson_get(p, "podRef");

		if (!ostr_is(o->name.p, o->name.len, ojson_get_cstr(ref, "name", "")) ||
		    !ostr_is(o->ns.p, o->ns.len, ojson_get_cstr(ref, "namespace", "")))
			continue;
		r->entry = p;
		OJSON_FOREACH_ELEM(k, c, ojson_get(p, "containers"))
			if (has_usage(c))
				return true;
		return false;
	}
	return false;
}

struct writing {
	struct usage	*u;
	struct obuf	*b;
	uint32_t	n;
	bool		table;
	bool		one;
};

static bool write_one(void *arg, struct orlop_object *o)
{
	struct writing *w = arg;
	struct row r;

	if (!row_of(w->u, o, &r))
		return true;
	if (w->n++)
		obuf_putc(w->b, ',');
	if (w->table) {
		put_cells(w->u, w->b, &r);
		return true;
	}
	if (!w->one)
		obuf_putc(w->b, '{');
	put_item(w->u, w->b, &r);
	if (!w->one)
		obuf_putc(w->b, '}');
	return true;
}

static void put_columns(struct obuf *b)
{
	obuf_puts(b, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{},\"columnDefinitions\":["
		     "{\"name\":\"Name\",\"type\":\"string\",\"format\":\"name\",\"description\":\"Name of the resource\",\"priority\":0},"
		     "{\"name\":\"cpu\",\"type\":\"string\",\"format\":\"quantity\",\"description\":\"\",\"priority\":0},"
		     "{\"name\":\"memory\",\"type\":\"string\",\"format\":\"quantity\",\"description\":\"\",\"priority\":0},"
		     "{\"name\":\"Window\",\"type\":\"string\",\"format\":\"duration\",\"description\":\"\",\"priority\":0}],\"rows\":[");
}

static void usage_free(struct usage *u)
{
	OMAP_FOREACH(&u->nodes, e) {
		struct asked *a = e->value;

		ohttp_creq_cancel(a->creq);
		obuf_done(&a->body);
		ojson_unref(a->summary);
		omem_free(a->name);
		omem_free(a);
	}
	omap_done(&u->nodes);
	oselector_free(u->labels);
	ofield_free(u->fields);
	omem_free(u);
}

static void answer(struct usage *u)
{
	struct front *f = u->f;
	const char *kind = u->of_nodes ? "NodeMetrics" : "PodMetrics";
	struct obuf b = OBUF_INIT;
	struct writing w = { .u = u, .b = &b, .table = f->accept.form == REG_FORM_TABLE, .one = f->rt.name.len > 0 };
	bool ok;

	if (w.table)
		put_columns(&b);
	else if (w.one)
		obuf_printf(&b, "{\"kind\":\"%s\",\"apiVersion\":\"metrics.k8s.io/v1beta1\",", kind);
	else
		obuf_printf(&b, "{\"kind\":\"%sList\",\"apiVersion\":\"metrics.k8s.io/v1beta1\",\"metadata\":{},\"items\":[", kind);
	ok = each(u, write_one, &w);
	if (w.table || !w.one)
		obuf_putc(&b, ']');
	obuf_puts(&b, "}\n");
	usage_free(u);
	if (!ok || obuf_err(&b))
		front_error(f, 500, "InternalError", "the use of resources cannot be told");
	else if (w.one && !w.n)
		front_error(f, 404, "NotFound", "%s.metrics.k8s.io \"%.*s%s%.*s\" not found",
			    f->rt.ns.len ? "podmetrics" : "nodemetrics", OB(f->rt.ns), f->rt.ns.len ? "/" : "", OB(f->rt.name));
	else
		front_document(f, obuf_cstr(&b), b.len);
	obuf_done(&b);
}

/* ---- asking kubelets --------------------------------------------------------------------------------------------- */

static void ask_next(struct usage *u);

static void on_head(void *arg, struct ohttp_creq *r, const struct ohttp_response *res)
{
	struct asked *a = arg;

	(void)r;
	a->status = res->status;
}

static void on_data(void *arg, struct ohttp_creq *r, const char *p, size_t len)
{
	struct asked *a = arg;

	(void)r;
	if (a->body.len + len <= BODY_MAX)
		obuf_append(&a->body, p, len);
	else
		a->status = 413;
}

static void on_end(void *arg, struct ohttp_creq *r, int err, const char *why)
{
	struct asked *a = arg;
	struct usage *u = a->u;

	(void)r;
	a->creq = NULL;
	u->open--;
	if (err || a->status != 200 || obuf_err(&a->body) ||
	    ojson_parse(obuf_cstr(&a->body), a->body.len, &a->summary, NULL))
		OLOG(u->f->sh->h, WARN, "usage_not_told", "node=%s status=%d why=\"%s\" ignoring=1", a->name, a->status, why);
	obuf_done(&a->body);
	obuf_init(&a->body);
	ask_next(u);
}

static const struct ohttp_client_ops ops = { .head = on_head, .data = on_data, .end = on_end };

static bool ask(struct usage *u, struct asked *a)
{
	struct front *f = u->f;
	char addr[128];
	char host[100];
	struct ohttp_client_request q = { .addr = addr, .tls_name = host, .method = "GET", .target = TARGET,
					  .timeout_ns = 10 * APIS_NS_PER_S };

	if (!f->sh->kubelet || !proxy_kubelet_addr(f->sh, a->name, addr, sizeof(addr), host, sizeof(host)))
		return false;
	return ohttp_client_send(f->sh->kubelet, &q, &ops, a, &a->creq) == 0;
}

/* Some at once; when the last one has answered, so do we. */
static void ask_next(struct usage *u)
{
	uint32_t i = 0;

	OMAP_FOREACH(&u->nodes, e) {
		if (i++ < u->next)
			continue;
		if (u->open >= AT_ONCE)
			break;
		u->next = i;
		u->open += ask(u, e->value);
	}
	if (!u->open && u->next >= omap_count(&u->nodes))
		answer(u);
}

static void on_close(void *arg, struct ohttp_req *req)
{
	struct usage *u = arg;
	struct front *f = u->f;

	(void)req;
	usage_free(u);
	f->req = NULL;
	front_done(f, 200);
}

static bool node_add(struct usage *u, const char *p, size_t len)
{
	void *old = NULL;
	struct asked *a;

	if (!len || omap_get(&u->nodes, p, len))
		return true;
	a = OMEM_NEW(struct asked);
	if (!a)
		return false;
	a->u = u;
	obuf_init(&a->body);
	a->name = omem_strndup(p, len);
	if (!a->name || omap_put(&u->nodes, p, len, a, &old)) {
		omem_free(a->name);
		omem_free(a);
		return false;
	}
	return true;
}

static bool plan_one(void *arg, struct orlop_object *o)
{
	struct usage *u = arg;
	const struct orlop_host *h = u->f->sh->h;
	int32_t ix;
	uint32_t i;

	if (u->of_nodes)
		return node_add(u, o->name.p, o->name.len);
	ix = h->resource_index(u->f->sh->pods, "spec.nodeName");
	for (i = 0; ix >= 0 && i < o->n_index; i++)
		if (o->index[i].index == (uint32_t)ix)
			return node_add(u, o->index[i].value.p, o->index[i].value.len);
	return true;
}

/* False: answered. */
static bool selectors(struct usage *u)
{
	struct front *f = u->f;
	struct orlop_bytes labels = query_get(&f->arena, ohttp_query(f->req), "labelSelector");
	struct orlop_bytes fields = query_get(&f->arena, ohttp_query(f->req), "fieldSelector");
	struct orlop_error err = ORLOP_ERROR_INIT;
	size_t i;
	int e = 0;

	if (f->rt.name.len)
		return true;
	if (labels.len)
		e = oselector_parse(labels.p, labels.len, &u->labels, &err);
	if (!e && fields.len)
		e = ofield_parse(fields.p, fields.len, &u->fields, &err);
	for (i = 0; !e && u->fields && i < u->fields->n_terms; i++)
		if (!bytes_is(u->fields->terms[i].field, "metadata.name") &&
		    !bytes_is(u->fields->terms[i].field, "metadata.namespace"))
			e = orlop_fail(&err, EINVAL, 400, "BadRequest", "field label not supported: %.*s",
				       OB(u->fields->terms[i].field));
	if (e)
		front_fail(f, &err);
	orlop_error_done(&err);
	return !e;
}

void usage_begin(struct front *f)
{
	struct usage *u = OMEM_NEW(struct usage);

	if (!u) {
		front_error(f, 500, "InternalError", "out of memory");
		return;
	}
	u->f = f;
	u->of_nodes = bytes_is(f->rt.resource, "nodes");
	omap_init(&u->nodes);
	if (!selectors(u)) {
		usage_free(u);
		return;
	}
	if (!each(u, plan_one, u)) {
		usage_free(u);
		front_error(f, 500, "InternalError", "the use of resources cannot be told");
		return;
	}
	ohttp_on_close(f->req, on_close, u);
	ask_next(u);
}
