/*
 * statserve.c - what the kubelet's HTTPS API says of this machine: /stats/summary, /metrics and those below it, /configz.
 *
 * Nothing is gathered before somebody asks. Source: pkg/kubelet/server/server.go.
 */
#include "server.h"
#include "stats.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include <orlop/inline/error.h>

#include "base/ostr.h"

#define PROM_TYPE	"text/plain; version=0.0.4; charset=utf-8"

enum ask_kind { ASK_SUMMARY, ASK_CADVISOR, ASK_RESOURCE };

struct ask {
	struct ohttp_req *r;		/* NULL: the client is gone */
	enum ask_kind	kind;
	bool		few;
	bool		window;
};

static void reply(struct ohttp_req *r, const char *type, struct obuf *take_b)
{
	if (obuf_err(take_b))
		server_text(r, 500, "no memory");
	else
		ohttp_reply_text(r, 200, type, obuf_cstr(take_b), take_b->len);
	obuf_done(take_b);
}

static void asker_gone(void *arg, struct ohttp_req *r)
{
	struct ask *a = arg;

	(void)r;
	a->r = NULL;
}

static void taken(void *arg, const struct stats *s)
{
	struct ask *a = arg;
	struct obuf b = OBUF_INIT;

	if (a->r && !s) {
		server_text(a->r, 503, "statistics are not there");
	} else if (a->r) {
		if (a->kind == ASK_SUMMARY)
			summary_write(s, a->few, a->window, &b);
		else if (a->kind == ASK_CADVISOR)
			prom_cadvisor(s, &b);
		else
			prom_resource(s, &b);
		reply(a->r, a->kind == ASK_SUMMARY ? "application/json" : PROM_TYPE, &b);
	}
	omem_free(a);
}

static void take(struct server *s, struct ohttp_req *r, enum ask_kind kind)
{
	struct ask *a = OMEM_NEW(struct ask);
	uint32_t what = 0;

	if (!a) {
		server_text(r, 500, "no memory");
		return;
	}
	a->r = r;
	a->kind = kind;
	a->few = kind == ASK_SUMMARY && query_flag(ohttp_query(r), "only_cpu_and_memory");
	a->window = query_flag(ohttp_query(r), "window");
	if (kind == ASK_SUMMARY)
		what = a->few ? STATS_RATE : STATS_RATE | STATS_FS | STATS_NET;
	else if (kind == ASK_CADVISOR)
		what = STATS_NET | STATS_FS;
	ohttp_on_close(r, asker_gone, a);
	stats_take(s->k, what, taken, a);
}

/* ---- /metrics ------------------------------------------------------------------------------------------------- */

static void head(struct obuf *b, const char *name, const char *type, const char *help)
{
	obuf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct obuf *b, const char *name, const char *help, uint64_t v)
{
	head(b, name, "gauge", help);
	obuf_printf(b, "%s %llu\n", name, (unsigned long long)v);
}

static void put_counts(const struct kubelet *k, struct obuf *b)
{
	uint64_t pods = 0;
	uint64_t active = 0;
	uint64_t running = 0;
	uint64_t exited = 0;
	uint64_t created = 0;

	OMAP_FOREACH(&k->pods, e) {
		const struct pod *p = e->value;
		bool some = false;
		uint32_t i;

		active += !p->finished && !p->orphan;
		for (i = 0; i < p->n_ctrs; i++) {
			const struct ctr *c = p->ctrs[i];

			some |= c->state == C_RUNNING;
			running += c->state == C_RUNNING;
			exited += c->state == C_EXITED;
			created += c->state == C_WAITING && c->id;
		}
		pods += some;
	}
	gauge(b, "kubelet_active_pods", "[ALPHA] The number of pods the kubelet considers active and which are being considered when admitting new pods.", active);
	gauge(b, "kubelet_running_pods", "[BETA] Number of pods that have a running pod sandbox", pods);
	head(b, "kubelet_running_containers", "gauge", "[BETA] Number of containers currently running");
	obuf_printf(b, "kubelet_running_containers{container_state=\"created\"} %llu\n"
		       "kubelet_running_containers{container_state=\"exited\"} %llu\n"
		       "kubelet_running_containers{container_state=\"running\"} %llu\n",
		    (unsigned long long)created, (unsigned long long)exited, (unsigned long long)running);
	head(b, "kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.");
	obuf_printf(b, "kubelet_node_name{node=\"%s\"} 1\n", k->node_name);
}

static void put_metrics(struct kubelet *k, struct ohttp_req *r)
{
	struct obuf b = OBUF_INIT;
	struct orlop_blob *blob;
	struct orlop_bytes t;

	put_counts(k, &b);
	evict_metrics(k, &b);
	head(&b, "kubernetes_build_info", "gauge",
	     "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.");
	obuf_puts(&b, "kubernetes_build_info{git_version=\"" KUBELET_VERSION "\",major=\"1\",minor=\"36\"} 1\n");
	if (ORLOP_HOST_HAS(k->h, metrics_text) && !k->h->metrics_text(k->h, &blob)) {
		t = k->h->blob_bytes(blob);
		obuf_append(&b, t.p, t.len);
		k->h->blob_unref(blob);
	}
	reply(r, PROM_TYPE, &b);
}

static void put_probed(const struct ctr *c, struct obuf *b)
{
	static const char *const types[] = { "Startup", "Readiness", "Liveness" };
	static const char *const results[] = { "failed", "successful" };
	size_t i;

	for (i = 0; i < 6; i++)
		if (c->probed[i / 2][i % 2])
			obuf_printf(b, "prober_probe_total{container=\"%s\",namespace=\"%s\",pod=\"%s\",pod_uid=\"%s\",probe_type=\"%s\",result=\"%s\"} %llu\n",
				    c->name, c->pod->ns, c->pod->name, c->pod->uid, types[i / 2], results[i % 2],
				    (unsigned long long)c->probed[i / 2][i % 2]);
}

static void put_probes(struct kubelet *k, struct ohttp_req *r)
{
	struct obuf b = OBUF_INIT;
	uint32_t i;

	head(&b, "prober_probe_total", "counter",
	     "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.");
	OMAP_FOREACH(&k->pods, e) {
		const struct pod *p = e->value;

		for (i = 0; i < p->n_ctrs; i++)
			put_probed(p->ctrs[i], &b);
	}
	reply(r, PROM_TYPE, &b);
}

/* ---- /configz -------------------------------------------------------------------------------------------------- */

static void put_config(struct kubelet *k, struct ohttp_req *r)
{
	struct ojson *j = ojson_new_object();
	struct ojson *c = j ? ojson_ensure_object(j, "kubeletconfig") : NULL;
	struct obuf b = OBUF_INIT;

	(void)ojson_set_i64(c, "port", server_port(k));
	(void)ojson_set_cstr(c, "staticPodPath", "");
	(void)ojson_set_cstr(c, "clusterDomain", k->cluster_domain);
	if (*k->cluster_dns)
		(void)ojson_append_cstr(ojson_ensure_array(c, "clusterDNS"), k->cluster_dns);
	(void)ojson_set_cstr(c, "cgroupRoot", k->cgroup_root);
	(void)ojson_set_cstr(c, "cgroupDriver", "cgroupfs");
	(void)ojson_set_bool(c, "cgroupsPerQOS", true);
	(void)ojson_set_cstr(c, "nodeStatusUpdateFrequency", "10s");
	(void)ojson_set_cstr(c, "nodeStatusReportFrequency", "5m0s");
	(void)ojson_set_i64(c, "nodeLeaseDurationSeconds", 40);
	(void)ojson_set_bool(c, "serializeImagePulls", false);
	limits_config(k, c);
	(void)ojson_set_cstr(c, "kind", "KubeletConfiguration");
	(void)ojson_set_cstr(c, "apiVersion", "kubelet.config.k8s.io/v1beta1");
	(void)ojson_write(j, 0, &b);
	ojson_unref(j);
	reply(r, "application/json", &b);
}

bool stats_serve(struct server *s, struct ohttp_req *r)
{
	struct orlop_bytes path = ohttp_path(r);

	while (path.len > 1 && path.p[path.len - 1] == '/')
		path.len--;
	if (ostr_is(path.p, path.len, "/stats/summary"))
		take(s, r, ASK_SUMMARY);
	else if (ostr_is(path.p, path.len, "/metrics/cadvisor"))
		take(s, r, ASK_CADVISOR);
	else if (ostr_is(path.p, path.len, "/metrics/resource"))
		take(s, r, ASK_RESOURCE);
	else if (ostr_is(path.p, path.len, "/metrics/probes"))
		put_probes(s->k, r);
	else if (ostr_is(path.p, path.len, "/metrics"))
		put_metrics(s->k, r);
	else if (ostr_is(path.p, path.len, "/configz"))
		put_config(s->k, r);
	else
		return false;
	return true;
}
