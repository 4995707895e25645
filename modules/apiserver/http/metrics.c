/*
 * What is counted, under upstream's names and labels. Each shard finds the metrics of a kind of request by one look-up
 * and no text; the numbers themselves are the process's. How many objects there are is told when somebody asks.
 */
#include "front.h"

#include <stdio.h>

#define MOST		600	/* kinds of requests: somebody may define many resources */

struct code_metric {
	uint16_t		code;
	struct orlop_metric	*total;
};

/* All requests of the same verb to the same resource. Watches: events too. */
struct req_metrics {
	char			labels[260];
	struct orlop_metric	*duration;
	struct orlop_metric	*sli;
	struct orlop_metric	*sizes;
	struct orlop_metric	*longrunning;
	struct orlop_metric	*events;
	struct orlop_metric	*event_sizes;
	struct code_metric	codes[8];
};

struct key {
	const void	*res;
	const void	*sub;
	uint8_t		verb;
	uint8_t		scope;
	uint8_t		dry_run;
	char		custom[150];	/* group/version/resource: tables of definitions come and go */
};

static const double duration_buckets[] = { 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15,
	20, 30, 45, 60 };
static const double size_buckets[] = { 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000 };
static const double event_buckets[] = { 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072 };

#define N(a)	(uint32_t)(sizeof(a) / sizeof((a)[0]))

static struct orlop_metric *counter(struct ashard *sh, const char *name, const char *labels, const char *help)
{
	struct orlop_metric *m = NULL;

	if (sh->h->metric_new)
		(void)sh->h->metric_new(sh->h, ORLOP_METRIC_COUNTER, name, labels, help, NULL, 0, &m);
	return m;
}

static struct orlop_metric *gauge(struct ashard *sh, const char *name, const char *labels, const char *help)
{
	struct orlop_metric *m = NULL;

	if (sh->h->metric_new)
		(void)sh->h->metric_new(sh->h, ORLOP_METRIC_GAUGE, name, labels, help, NULL, 0, &m);
	return m;
}

static struct orlop_metric *histogram(struct ashard *sh, const char *name, const char *labels, const char *help,
				      const double *buckets, uint32_t n)
{
	struct orlop_metric *m = NULL;

	if (sh->h->metric_new)
		(void)sh->h->metric_new(sh->h, ORLOP_METRIC_HISTOGRAM, name, labels, help, buckets, n, &m);
	return m;
}

void metrics_begin(struct ashard *sh)
{
	sh->inflight[0] = gauge(sh, "apiserver_current_inflight_requests", "request_kind=\"readOnly\"", "Requests being answered.");
	sh->inflight[1] = gauge(sh, "apiserver_current_inflight_requests", "request_kind=\"mutating\"", "Requests being answered.");
}

void metrics_inflight(struct ashard *sh, bool write, bool begins)
{
	const struct orlop_host *h = sh->h;

	if (sh->inflight[write])
		h->metric_add(sh->inflight[write], begins ? 1 : -1);
}

/* ---- which ---------------------------------------------------------------------------------------------- */

enum { V_GET, V_LIST, V_WATCH, V_POST, V_PUT, V_PATCH, V_APPLY, V_DELETE, V_DELETECOLLECTION, V_CONNECT, V_OTHER };

static const char *const verbs[] = { "GET", "LIST", "WATCH", "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION",
	"CONNECT", "OTHER" };
static const char *const scopes[] = { "", "cluster", "namespace", "resource" };

static uint8_t verb_of(const struct front *f)
{
	static const struct {
		const char	*word;
		uint8_t		verb;
	} words[] = { { "get", V_GET }, { "list", V_LIST }, { "watch", V_WATCH }, { "create", V_POST }, { "post", V_POST },
		{ "update", V_PUT }, { "put", V_PUT }, { "patch", V_PATCH }, { "delete", V_DELETE },
		{ "deletecollection", V_DELETECOLLECTION } };

	if (f->rt.subres && f->rt.subres->flags & OSCHEMA_SUB_CONNECT && !bytes_is(f->rt.sub, "log"))
		return V_CONNECT;
	for (size_t i = 0; f->verb && i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(f->verb, words[i].word))
			return words[i].verb == V_PATCH && f->rq.patch == REG_PATCH_APPLY ? V_APPLY : words[i].verb;
	return V_OTHER;
}

static uint8_t scope_of(const struct front *f, uint8_t verb)
{
	if (f->rt.name.len || (f->rt.res && verb == V_POST))
		return 3;
	return f->rt.ns.len ? 2 : f->rt.res ? 1 : 0;
}

static struct req_metrics *find(struct front *f)
{
	struct ashard *sh = f->sh;
	const struct oschema *s = f->rt.schema;
	const struct oschema_resource *res = f->rt.res;
	const struct orlop_bytes q = f->rq.query;
	const char *group = res ? oschema_str(s, res->group) : "";
	const char *version = res ? oschema_str(s, res->version) : "";
	const char *plural = res ? oschema_str(s, res->plural) : "";
	size_t len = offsetof(struct key, custom);
	struct req_metrics *m;
	struct key key;

	memset(&key, 0, len);
	if (f->rt.kind) {
		int n = snprintf(key.custom, sizeof(key.custom), "%s/%s/%s/%.*s", group, version, plural, OB(f->rt.sub));

		len += n < (int)sizeof(key.custom) ? (size_t)n : sizeof(key.custom);
	} else {
		key.res = res;
		key.sub = f->rt.subres;
	}
	key.verb = verb_of(f);
	key.scope = scope_of(f, key.verb);
	key.dry_run = q.len && memmem(q.p, q.len, "dryRun=All", 10) != NULL;
	m = omap_get(&sh->metrics, &key, len);
	if (m || omap_count(&sh->metrics) >= MOST || !sh->h->metric_new)
		return m;
	m = OMEM_NEW(struct req_metrics);
	if (!m)
		return NULL;
	snprintf(m->labels, sizeof(m->labels),
		 "component=\"apiserver\",%sgroup=\"%s\",resource=\"%s\",scope=\"%s\",subresource=\"%s\",verb=\"%s\",version=\"%s\"",
		 key.dry_run ? "dry_run=\"All\"," : "dry_run=\"\",", group, plural, scopes[key.scope],
		 f->rt.subres ? oschema_str(s, f->rt.subres->name) : "", verbs[key.verb], version);
	if (omap_put(&sh->metrics, &key, len, m, NULL) < 0) {
		omem_free(m);
		return NULL;
	}
	return m;
}

/* The labels without dry_run, which stands second. */
static const char *without_dry_run(const struct req_metrics *m, char *buf, size_t size)
{
	const char *from = strstr(m->labels, "dry_run=");
	const char *to = from ? strchr(from, ',') : NULL;

	snprintf(buf, size, "%.*s%s", to ? (int)(from - m->labels) : 0, m->labels, to ? to + 1 : m->labels);
	return buf;
}

/* ---- counting --------------------------------------------------------------------------------------------- */

static void count_code(struct ashard *sh, struct req_metrics *m, int status)
{
	struct code_metric *c = m->codes;
	struct code_metric *end = c + sizeof(m->codes) / sizeof(m->codes[0]);
	struct orlop_metric *total;
	char labels[300];

	while (c < end && c->code && c->code != status)
		c++;
	if (c < end && c->code) {
		sh->h->metric_add(c->total, 1);
		return;
	}
	snprintf(labels, sizeof(labels), "code=\"%d\",%s", status, m->labels);
	total = counter(sh, "apiserver_request_total", labels, "Requests answered.");
	if (!total)
		return;
	if (c < end)
		*c = (struct code_metric){ (uint16_t)status, total };
	sh->h->metric_add(total, 1);
}

void metrics_request(struct front *f, int status)
{
	struct ashard *sh = f->sh;
	struct req_metrics *m = find(f);
	double s = (double)(sh->h->now_mono(sh->h) - f->began) / 1e9;
	char buf[300];

	if (!m)
		return;
	count_code(sh, m, status);
	if (!m->duration)
		m->duration = histogram(sh, "apiserver_request_duration_seconds", m->labels, "Time to answer.", duration_buckets,
					N(duration_buckets));
	if (m->duration)
		sh->h->metric_observe(m->duration, s);
	/* What runs for long on purpose is no indicator. */
	if (!f->longrunning && verb_of(f) != V_CONNECT && verb_of(f) != V_WATCH) {
		if (!m->sli)
			m->sli = histogram(sh, "apiserver_request_sli_duration_seconds", without_dry_run(m, buf, sizeof(buf)),
					   "Time to answer, without what runs for long.", duration_buckets + 2, N(duration_buckets) - 2);
		if (m->sli)
			sh->h->metric_observe(m->sli, s);
	}
	if (f->sent && (f->rq.verb == REG_GET || f->rq.verb == REG_LIST)) {
		if (!m->sizes)
			m->sizes = histogram(sh, "apiserver_response_sizes", without_dry_run(m, buf, sizeof(buf)),
					     "Bytes of answers to reads.", size_buckets, N(size_buckets));
		if (m->sizes)
			sh->h->metric_observe(m->sizes, (double)f->sent);
	}
}

static void count_rare(struct front *f, const char *name, const char *help, int code)
{
	struct req_metrics *m = find(f);
	struct orlop_metric *c;
	char buf[300], labels[330];

	if (!m)
		return;
	without_dry_run(m, buf, sizeof(buf));
	if (code)
		snprintf(labels, sizeof(labels), "code=\"%d\",%s", code, buf);
	else		/* upstream's have no component either */
		snprintf(labels, sizeof(labels), "%s", strchr(buf, ',') ? strchr(buf, ',') + 1 : buf);
	c = counter(f->sh, name, labels, help);
	if (c)
		f->sh->h->metric_add(c, 1);
}

void metrics_terminated(struct front *f, int status)
{
	count_rare(f, "apiserver_request_terminations_total", "Requests that were ended to protect the server.", status);
}

void metrics_aborted(struct front *f)
{
	count_rare(f, "apiserver_request_aborts_total", "Requests whose client left before the answer.", 0);
}

void metrics_dropped(struct front *f, bool write)
{
	struct orlop_metric *c = counter(f->sh, "apiserver_dropped_requests_total",
					 write ? "request_kind=\"mutating\"" : "request_kind=\"readOnly\"",
					 "Requests refused with 429.");

	if (c)
		f->sh->h->metric_add(c, 1);
	flow_refused(f);
	metrics_terminated(f, 429);
}

void metrics_longrunning(struct front *f)
{
	struct req_metrics *m = find(f);
	char buf[300];

	f->sh->n_longrunning += !f->is_longrunning;
	f->is_longrunning = true;
	if (!m || f->longrunning)
		return;
	if (!m->longrunning)
		m->longrunning = gauge(f->sh, "apiserver_longrunning_requests", without_dry_run(m, buf, sizeof(buf)),
				       "Watches and streams that are open.");
	f->longrunning = m->longrunning;
	if (f->longrunning)
		f->sh->h->metric_add(f->longrunning, 1);
}

void metrics_watch(struct front *f, struct orlop_metric **ret_events, struct orlop_metric **ret_sizes)
{
	struct req_metrics *m = find(f);

	*ret_events = *ret_sizes = NULL;
	if (!m || !f->rt.res)
		return;
	if (!m->events) {
		char labels[240];

		snprintf(labels, sizeof(labels), "group=\"%s\",version=\"%s\",resource=\"%s\"", oschema_str(f->rt.schema, f->rt.res->group),
			 oschema_str(f->rt.schema, f->rt.res->version), oschema_str(f->rt.schema, f->rt.res->plural));
		m->events = counter(f->sh, "apiserver_watch_events_total", labels, "Events sent to watches.");
		m->event_sizes = histogram(f->sh, "apiserver_watch_events_sizes", labels, "Bytes of events.", event_buckets,
					   N(event_buckets));
	}
	*ret_events = m->events;
	*ret_sizes = m->event_sizes;
}

void metrics_done(struct ashard *sh)
{
	omap_done_with(&sh->metrics, omem_free);
}

/* ---- told when asked ---------------------------------------------------------------------------------------- */

struct objects {
	struct obuf	*by_name;
	struct obuf	*by_group;
};

static void one_resource(void *arg, const char *group, const char *plural, uint64_t n)
{
	struct objects *o = arg;

	obuf_printf(o->by_name, "apiserver_storage_objects{resource=\"%s%s%s\"} %llu\n", plural, group[0] ? "." : "", group,
		    (unsigned long long)n);
	obuf_printf(o->by_group, "apiserver_resource_objects{group=\"%s\",resource=\"%s\"} %llu\n", group, plural,
		    (unsigned long long)n);
}

void metrics_serve(struct front *f)
{
	const struct orlop_host *h = f->sh->h;
	struct obuf out = OBUF_INIT, by_group = OBUF_INIT;
	struct objects o = { &out, &by_group };
	struct orlop_blob *blob;
	struct orlop_bytes b;

	if (!h->metrics_text || h->metrics_text(h, &blob) < 0) {
		front_error(f, 500, "InternalError", "metrics cannot be read");
		return;
	}
	b = h->blob_bytes(blob);
	obuf_append(&out, b.p, b.len);
	h->blob_unref(blob);
	obuf_puts(&out, "# HELP kubernetes_build_info What this is.\n# TYPE kubernetes_build_info gauge\n"
			"kubernetes_build_info{build_date=\"\",compiler=\"gcc\",git_commit=\"\",git_tree_state=\"clean\","
			"git_version=\"" APIS_VERSION "+orlop\",go_version=\"\",major=\"1\",minor=\"36\",platform=\"linux\"} 1\n");
	flow_metrics(f->sh, &out);
	obuf_puts(&out, "# HELP apiserver_storage_objects Stored objects.\n# TYPE apiserver_storage_objects gauge\n");
	obuf_puts(&by_group, "# HELP apiserver_resource_objects Stored objects.\n# TYPE apiserver_resource_objects gauge\n");
	reg_count_objects(f->sh->reg, one_resource, &o);
	obuf_append(&out, by_group.data, by_group.len);
	if (obuf_err(&out) || obuf_err(&by_group))
		front_error(f, 500, "InternalError", "out of memory");
	else
		front_text(f, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
	obuf_done(&by_group);
	obuf_done(&out);
}
