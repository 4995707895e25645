/* obackends.c - the pods behind Services. See obackends.h. Source: upstream's controllers, behaviour only. */
#include "backends/obackends.h"

#include <errno.h>
#include <string.h>

#include "base/otime.h"
#include "walk/owalk.h"

#define TRIGGER	"endpoints.kubernetes.io/last-change-trigger-time"

static struct ojson *selector_of(const struct ojson *svc)
{
	struct ojson *out = ojson_new_object();

	if (ojson_set(out, "matchLabels", ojson_ref(OJSON_AT(svc, "spec", "selector")))) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

bool obackends_is_ours(const struct ojson *svc)
{
	return ojson_count(OJSON_AT(svc, "spec", "selector")) &&
	       !ojson_string_is(OJSON_AT(svc, "spec", "type"), "ExternalName");
}

/* The Services that select this state of a pod. */
static void services_queue(struct obackends *b, const struct orlop_object *pod)
{
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = pod->ns };
	struct orlop_object *o;
	struct owalk w;

	if (owalk_open(&w, b->c.h, b->services, &q)) {
		octl_missed(&b->c);
		return;
	}
	while ((o = owalk_next(&w))) {
		struct ojson *svc = okube_parse(o);
		struct ojson *selector = svc && obackends_is_ours(svc) ? selector_of(svc) : NULL;

		if (!svc || (!selector && obackends_is_ours(svc)))
			octl_missed(&b->c);
		else if (selector && okube_object_matches(pod, selector))
			octl_add(&b->c, o->ns, o->name);
		ojson_unref(selector);
		ojson_unref(svc);
	}
	owalk_close(&w);
}

static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	services_queue(arg, o);
	if (prev)
		services_queue(arg, prev);
}

static void service_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)type;
	(void)prev;
	octl_add(arg, o->ns, o->name);
}

int obackends_follow(struct obackends *b, struct orlop_error *err)
{
	int e = octl_follow(&b->c, "services", service_changed, &b->services, err);

	return e ? e : octl_follow(&b->c, "pods", pod_changed, &b->pods, err);
}

struct ojson *obackends_pods(struct obackends *b, const struct ojson *svc)
{
	const char *ns = okube_meta(svc, "namespace");
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = { ns, strlen(ns) } };
	struct ojson *selector = selector_of(svc);
	struct ojson *out = ojson_new_array();
	struct orlop_object *o;
	struct owalk w;
	int e = selector && out ? 0 : -ENOMEM;

	OJSON_FOREACH(l, ojson_get(selector, "matchLabels")) {
		q.has_index = 1;
		q.index = ORLOP_INDEX_LABELS;
		q.index_key = (struct orlop_bytes){ l.key, l.key_len };
		q.index_value = ojson_bytes(l.value);
		break;
	}
	if (!e)
		e = owalk_open(&w, b->c.h, b->pods, &q);
	if (!e) {
		while (!e && (o = owalk_next(&w)))
			if (okube_object_matches(o, selector))
				e = ojson_append(out, okube_parse(o));
		owalk_close(&w);
	}
	ojson_unref(selector);
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

bool obackends_pod_counts(const struct ojson *pod, bool terminating)
{
	const char *phase = ojson_get_cstr(ojson_get(pod, "status"), "phase", "");

	if (!strcmp(phase, "Succeeded") || !strcmp(phase, "Failed"))
		return false;
	if (!ojson_get_cstr(ojson_get(pod, "status"), "podIP", "")[0] && !ojson_count(OJSON_AT(pod, "status", "podIPs")))
		return false;
	return terminating || !okube_deleting(pod);
}

const char *obackends_ip(const struct ojson *pod, bool v6)
{
	const char *ip;

	OJSON_FOREACH_ELEM(i, p, OJSON_AT(pod, "status", "podIPs")) {
		ip = ojson_get_cstr(p, "ip", "");
		if (*ip && (strchr(ip, ':') != NULL) == v6)
			return ip;
	}
	ip = ojson_get_cstr(ojson_get(pod, "status"), "podIP", "");
	return *ip && (strchr(ip, ':') != NULL) == v6 ? ip : NULL;
}

bool obackends_has_hostname(const struct ojson *svc, const struct ojson *pod)
{
	const struct ojson *spec = ojson_get(pod, "spec");

	return ojson_get_cstr(spec, "hostname", "")[0] &&
	       !strcmp(ojson_get_cstr(spec, "subdomain", ""), okube_meta(svc, "name"));
}

static int64_t named_port(const struct ojson *containers, const char *name, const char *protocol, bool sidecars)
{
	OJSON_FOREACH_ELEM(i, c, containers) {
		if (sidecars && strcmp(ojson_get_cstr(c, "restartPolicy", ""), "Always"))
			continue;
		OJSON_FOREACH_ELEM(j, p, ojson_get(c, "ports")) {
			if (!strcmp(ojson_get_cstr(p, "name", ""), name) &&
			    !strcmp(ojson_get_cstr(p, "protocol", "TCP"), protocol))
				return ojson_get_i64(p, "containerPort", 0);
		}
	}
	return 0;
}

/* 0: this pod has no such port. */
static int64_t port_of(const struct ojson *svc_port, const struct ojson *pod)
{
	const struct ojson *target = ojson_get(svc_port, "targetPort");
	const char *protocol = ojson_get_cstr(svc_port, "protocol", "TCP");
	const char *name = ojson_cstr(target, NULL);
	int64_t n;

	if (!name || !*name) {
		n = ojson_i64(target, 0);
		return n ? n : ojson_get_i64(svc_port, "port", 0);
	}
	n = named_port(OJSON_AT(pod, "spec", "containers"), name, protocol, false);
	return n ? n : named_port(OJSON_AT(pod, "spec", "initContainers"), name, protocol, true);
}

struct ojson *obackends_ports(const struct ojson *svc, const struct ojson *pod, bool named)
{
	struct ojson *out = ojson_new_array();
	int e = out ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, p, OJSON_AT(svc, "spec", "ports")) {
		const char *name = ojson_get_cstr(p, "name", "");
		const struct ojson *app = ojson_get(p, "appProtocol");
		int64_t n = port_of(p, pod);
		struct ojson *port;

		if (!n || e)
			continue;
		port = ojson_new_object();
		e = port ? 0 : -ENOMEM;
		if (!e && (named || *name))
			e = ojson_set_cstr(port, "name", name);
		if (!e)
			e = ojson_set_i64(port, "port", n);
		if (!e)
			e = ojson_set_cstr(port, "protocol", ojson_get_cstr(p, "protocol", "TCP"));
		if (!e && app)
			e = ojson_set_cstr(port, "appProtocol", ojson_cstr(app, ""));
		if (e)
			ojson_unref(port);
		else
			e = ojson_append(out, port);
	}
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

struct ojson *obackends_target(const struct ojson *pod)
{
	static const char *const keys[] = { "namespace", "name", "uid" };
	struct ojson *out = ojson_new_object();
	int e = ojson_set_cstr(out, "kind", "Pod");

	for (size_t i = 0; i < 3 && !e; i++)
		e = ojson_set_cstr(out, keys[i], okube_meta(pod, keys[i]));
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

bool obackends_is_headless(const struct ojson *svc)
{
	const char *ip = ojson_get_cstr(ojson_get(svc, "spec"), "clusterIP", "");

	return !*ip || !strcmp(ip, "None");
}

struct ojson *obackends_labels(const struct ojson *svc)
{
	struct ojson *out = NULL;
	const struct ojson *have = OJSON_AT(svc, "metadata", "labels");
	int e = 0;

	if (have)
		e = ojson_copy(have, &out);
	else
		out = ojson_new_object();
	if (!out || e)
		return NULL;
	ojson_del(out, "service.kubernetes.io/headless");
	if (obackends_is_headless(svc))
		e = ojson_set_cstr(out, "service.kubernetes.io/headless", "");
	if (e) {
		ojson_unref(out);
		return NULL;
	}
	return out;
}

static void earlier(const char *text, int64_t after, int64_t *best)
{
	int64_t t;

	if (*text && !otime_parse(text, strlen(text), &t) && t > after && (!*best || t < *best))
		*best = t;
}

int64_t obackends_trigger(const struct ojson *svc, const struct ojson *pods, int64_t after)
{
	int64_t best = 0;

	earlier(okube_meta(svc, "creationTimestamp"), after, &best);
	OJSON_FOREACH_ELEM(i, pod, pods) {
		earlier(ojson_get_cstr(okube_condition(pod, "Ready"), "lastTransitionTime", ""), after, &best);
		earlier(okube_meta(pod, "deletionTimestamp"), after, &best);
	}
	return best;
}

int64_t obackends_trigger_of(const struct ojson *obj)
{
	struct orlop_bytes b = ojson_get_bytes(OJSON_AT(obj, "metadata", "annotations"), TRIGGER);
	int64_t t;

	return b.len && !otime_parse(b.p, b.len, &t) ? t : 0;
}

int obackends_trigger_set(struct ojson *obj, int64_t ns)
{
	struct ojson *meta = ojson_ensure_object(obj, "metadata");
	char text[OTIME_BUF];

	if (!ns) {
		ojson_del(ojson_get(meta, "annotations"), TRIGGER);
		return 0;
	}
	otime_format_nano(ns, text);
	return ojson_set_cstr(ojson_ensure_object(meta, "annotations"), TRIGGER, text);
}
