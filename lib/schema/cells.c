/*
 * cells.c - cells of all kinds but pods: ages, lists, selectors, nodes, services, events.
 *
 * Source of what each shows: the facts of upstream's printers, k8s.io/kubernetes/pkg/printers/internalversion.
 */
#include "schema/cells.h"

#include <stdlib.h>

#include "base/ocleanup.h"
#include "base/otime.h"

static const char none[] = "<none>", unknown[] = "<unknown>";

/* ---- parts ---- */

void ocell_value(struct ocell *x, const struct ojson *v)
{
	if (v == NULL)
		obuf_puts(x->out, "\"\"");
	else
		(void)ojson_write(v, 0, x->out);
}

void ocell_text(struct ocell *x, struct obuf *take_b)
{
	if (obuf_err(take_b) != 0)
		x->out->err = x->out->err != 0 ? x->out->err : obuf_err(take_b);
	obuf_put_json_string(x->out, obuf_cstr(take_b), take_b->len);
	obuf_done(take_b);
}

void ocell_cstr(struct ocell *x, const char *text)
{
	obuf_put_json_cstr(x->out, text);
}

void ocell_since(struct ocell *x, struct orlop_bytes time, struct obuf *b)
{
	char text[OTIME_BUF];
	int64_t ns;

	if (time.len == 0 || otime_parse(time.p, time.len, &ns) != 0) {
		obuf_puts(b, unknown);
		return;
	}
	obuf_append(b, text, otime_duration_human(x->now_ns - ns, text));
}

void ocell_join(struct obuf *b, struct orlop_bytes text)
{
	if (b->len > 0)
		obuf_putc(b, ',');
	obuf_append(b, text.p, text.len);
}

static void put_bytes(struct obuf *b, struct orlop_bytes t)
{
	obuf_append(b, t.p, t.len);
}

/* k=v,k=v in order of the keys (stored maps are sorted). */
static void put_map(struct obuf *b, struct ojson *map)
{
	OJSON_FOREACH(it, map) {
		if (b->len > 0)
			obuf_putc(b, ',');
		obuf_append(b, it.key, it.key_len);
		obuf_putc(b, '=');
		put_bytes(b, otext(it.value));
	}
}

static void text_or(struct ocell *x, struct obuf *b, const char *fallback)
{
	if (b->len == 0)
		obuf_puts(b, fallback);
	ocell_text(x, b);
}

/* ---- cells for any kind ---- */

OCELL(age)
{
	struct obuf b = OBUF_INIT;

	ocell_since(x, oget_text(ojson_get(x->obj, "metadata"), "creationTimestamp"), &b);
	ocell_text(x, &b);
}

OCELL(int)
{
	obuf_put_i64(x->out, ojson_i64(ojson_at_dotted(x->obj, x->path), 0));
}

OCELL(count)
{
	struct ojson *v = ojson_at_dotted(x->obj, x->path);

	obuf_printf(x->out, "%zu", ojson_is(v, OJSON_ARRAY) || ojson_is(v, OJSON_OBJECT) ? ojson_count(v) : 0);
}

OCELL(data_count)
{
	obuf_printf(x->out, "%zu", oget_len(x->obj, "data") + oget_len(x->obj, "binaryData"));
}

static void value_or(struct ocell *x, const char *fallback)
{
	struct ojson *v = ojson_at_dotted(x->obj, x->path);

	if (ozero(v))
		ocell_cstr(x, fallback);
	else
		ocell_value(x, v);
}

OCELL(or_none)
{
	value_or(x, none);
}

/* A number or percentage; zero is not absent. */
OCELL(or_na)
{
	struct ojson *v = ojson_at_dotted(x->obj, x->path);

	if (ojson_is(v, OJSON_STRING))
		ocell_value(x, v);
	else if (v)
		obuf_printf(x->out, "\"%lld\"", (long long)ojson_i64(v, 0));
	else
		ocell_cstr(x, "N/A");
}

OCELL(or_unknown)
{
	value_or(x, unknown);
}

OCELL(map)
{
	struct obuf b = OBUF_INIT;

	put_map(&b, ojson_at_dotted(x->obj, x->path));
	text_or(x, &b, none);
}

OCELL(selector)
{
	struct ojson *sel = ojson_at_dotted(x->obj, x->path);
	struct obuf b = OBUF_INIT;

	put_map(&b, ojson_get(sel, "matchLabels"));
	OJSON_FOREACH_ELEM(i, e, ojson_get(sel, "matchExpressions")) {
		struct orlop_bytes op = oget_text(e, "operator");
		bool in = otext_is(op, "In"), notin = otext_is(op, "NotIn");
		struct obuf values = OBUF_INIT;

		if (b.len > 0)
			obuf_putc(&b, ',');
		if (otext_is(op, "DoesNotExist"))
			obuf_putc(&b, '!');
		put_bytes(&b, oget_text(e, "key"));
		if (!in && !notin)
			continue;
		OJSON_FOREACH_ELEM(k, v, ojson_get(e, "values"))
			ocell_join(&values, otext(v));
		obuf_printf(&b, " %s (%s)", in ? "in" : "notin", obuf_cstr(&values));
		obuf_done(&values);
	}
	text_or(x, &b, none);
}

static void of_containers(struct ocell *x, const char *key)
{
	struct ojson *template = ojson_at_dotted(x->obj, x->path);
	struct obuf b = OBUF_INIT;

	OJSON_FOREACH_ELEM(i, c, OJSON_AT(template, "spec", "containers"))
		ocell_join(&b, oget_text(c, key));
	ocell_text(x, &b);
}

OCELL(containers)
{
	of_containers(x, "name");
}

OCELL(images)
{
	of_containers(x, "image");
}

OCELL(ready_of_replicas)
{
	obuf_printf(x->out, "\"%lld/%lld\"", (long long)oget_int(ojson_get(x->obj, "status"), "readyReplicas"),
		    (long long)oget_int(ojson_get(x->obj, "spec"), "replicas"));
}

/* kind.group/name of the controlling owner */
OCELL(controller)
{
	struct obuf b = OBUF_INIT;

	OJSON_FOREACH_ELEM(i, o, OJSON_AT(x->obj, "metadata", "ownerReferences")) {
		struct orlop_bytes kind = oget_text(o, "kind"), version = oget_text(o, "apiVersion");
		const char *slash = memchr(version.p, '/', version.len);

		if (!oget_bool(o, "controller") || b.len > 0)
			continue;
		for (size_t k = 0; k < kind.len; k++)
			obuf_putc(&b, (char)(kind.p[k] >= 'A' && kind.p[k] <= 'Z' ? kind.p[k] + 32 : kind.p[k]));
		if (slash != NULL)
			obuf_printf(&b, ".%.*s", (int)(slash - version.p), version.p);
		obuf_putc(&b, '/');
		put_bytes(&b, oget_text(o, "name"));
	}
	text_or(x, &b, none);
}

/* ---- nodes ---- */

OCELL(node_status)
{
	struct obuf b = OBUF_INIT;

	OJSON_FOREACH_ELEM(i, c, OJSON_AT(x->obj, "status", "conditions"))
		if (oget_is(c, "type", "Ready"))
			obuf_puts(&b, oget_is(c, "status", "True") ? "Ready" : "NotReady");
	if (b.len == 0)
		obuf_puts(&b, "Unknown");
	if (oget_bool(ojson_get(x->obj, "spec"), "unschedulable"))
		obuf_puts(&b, ",SchedulingDisabled");
	ocell_text(x, &b);
}

static int bytes_cmp(const void *a, const void *b)
{
	const struct orlop_bytes *x = a, *y = b;

	return ostr_cmp(x->p, x->len, y->p, y->len);
}

/* Sorted and without repetition, joined by commas. */
static void put_sorted(struct obuf *b, struct orlop_bytes *v, size_t n)
{
	qsort(v, n, sizeof(*v), bytes_cmp);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || bytes_cmp(&v[i], &v[i - 1]) != 0)
			ocell_join(b, v[i]);
}

OCELL(node_roles)
{
	static const char prefix[] = "node-role.kubernetes.io/";
	struct orlop_bytes roles[32];
	struct obuf b = OBUF_INIT;
	size_t n = 0;

	OJSON_FOREACH(it, OJSON_AT(x->obj, "metadata", "labels")) {
		struct orlop_bytes role = { NULL, 0 };

		if (ostr_starts(it.key, it.key_len, prefix))
			role = (struct orlop_bytes){ it.key + strlen(prefix), it.key_len - strlen(prefix) };
		else if (ostr_is(it.key, it.key_len, "kubernetes.io/role"))
			role = otext(it.value);
		if (role.len > 0 && n < sizeof(roles) / sizeof(roles[0]))
			roles[n++] = role;
	}
	put_sorted(&b, roles, n);
	text_or(x, &b, none);
}

static void node_address(struct ocell *x, const char *type)
{
	OJSON_FOREACH_ELEM(i, a, OJSON_AT(x->obj, "status", "addresses")) {
		if (oget_is(a, "type", type)) {
			ocell_value(x, ojson_get(a, "address"));
			return;
		}
	}
	ocell_cstr(x, none);
}

OCELL(node_internal_ip)
{
	node_address(x, "InternalIP");
}

OCELL(node_external_ip)
{
	node_address(x, "ExternalIP");
}

/* ---- services, endpoints ---- */

OCELL(service_cluster_ip)
{
	struct ojson *spec = ojson_get(x->obj, "spec");
	struct orlop_bytes ip = otext(ojson_index(ojson_get(spec, "clusterIPs"), 0));
	struct obuf b = OBUF_INIT;

	put_bytes(&b, ip.len > 0 ? ip : oget_text(spec, "clusterIP"));
	text_or(x, &b, none);
}

OCELL(service_external_ip)
{
	struct ojson *spec = ojson_get(x->obj, "spec");
	struct orlop_bytes type = oget_text(spec, "type"), found[64];
	struct obuf b = OBUF_INIT;
	bool lb = otext_is(type, "LoadBalancer");
	size_t n = 0;

	if (otext_is(type, "ExternalName")) {
		ocell_value(x, ojson_get(spec, "externalName"));
		return;
	}
	if (!lb && !otext_is(type, "ClusterIP") && !otext_is(type, "NodePort")) {
		ocell_cstr(x, unknown);
		return;
	}
	OJSON_FOREACH_ELEM(i, e, lb ? OJSON_AT(x->obj, "status", "loadBalancer", "ingress") : NULL) {
		struct orlop_bytes ip = oget_text(e, "ip");

		if (ip.len == 0)
			ip = oget_text(e, "hostname");
		if (ip.len > 0 && n < sizeof(found) / sizeof(found[0]))
			found[n++] = ip;
	}
	put_sorted(&b, found, n);
	OJSON_FOREACH_ELEM(k, e, ojson_get(spec, "externalIPs"))
		ocell_join(&b, otext(e));
	text_or(x, &b, lb ? "<pending>" : none);
}

OCELL(service_ports)
{
	struct obuf b = OBUF_INIT;

	OJSON_FOREACH_ELEM(i, p, OJSON_AT(x->obj, "spec", "ports")) {
		obuf_printf(&b, "%s%lld", b.len > 0 ? "," : "", (long long)oget_int(p, "port"));
		if (oget_int(p, "nodePort") > 0)
			obuf_printf(&b, ":%lld", (long long)oget_int(p, "nodePort"));
		obuf_putc(&b, '/');
		put_bytes(&b, oget_text(p, "protocol"));
	}
	text_or(x, &b, none);
}

/* Counts items and writes the first three; the rest become "+ N more...". */
struct first_three {
	struct obuf	b;
	size_t		n;
};

static void three_more(struct first_three *l)
{
	if (l->n > 3)
		obuf_printf(&l->b, " + %zu more...", l->n - 3);
}

/* May the next item be written? Also writes the comma. */
static bool three_next(struct first_three *l)
{
	if (++l->n > 3)
		return false;
	obuf_puts(&l->b, l->n > 1 ? "," : "");
	return true;
}

OCELL(endpoints)
{
	struct first_three l = { OBUF_INIT, 0 };

	OJSON_FOREACH_ELEM(i, s, ojson_get(x->obj, "subsets")) {
		struct ojson *ports = ojson_get(s, "ports"), *addresses = ojson_get(s, "addresses");
		size_t n_ports = ojson_count(ports);

		for (size_t p = 0; p < (n_ports > 0 ? n_ports : 1); p++) {
			OJSON_FOREACH_ELEM(k, a, addresses) {
				struct orlop_bytes ip = oget_text(a, "ip");
				bool v6 = memchr(ip.p, ':', ip.len) != NULL;

				if (!three_next(&l))
					continue;
				if (n_ports == 0)
					put_bytes(&l.b, ip);
				else
					obuf_printf(&l.b, v6 ? "[%.*s]:%lld" : "%.*s:%lld", (int)ip.len, ip.p,
						    (long long)oget_int(ojson_index(ports, p), "port"));
			}
		}
	}
	three_more(&l);
	text_or(x, &l.b, none);
}

OCELL(slice_ports)
{
	struct first_three l = { OBUF_INIT, 0 };

	OJSON_FOREACH_ELEM(i, p, ojson_get(x->obj, "ports")) {
		if (!three_next(&l))
			continue;
		if (ojson_has(p, "port"))
			obuf_put_i64(&l.b, oget_int(p, "port"));
		else if (!oget_empty(p, "name"))
			put_bytes(&l.b, oget_text(p, "name"));
		else
			obuf_putc(&l.b, '*');
	}
	three_more(&l);
	text_or(x, &l.b, "<unset>");
}

OCELL(slice_endpoints)
{
	struct first_three l = { OBUF_INIT, 0 };

	OJSON_FOREACH_ELEM(i, e, ojson_get(x->obj, "endpoints"))
		OJSON_FOREACH_ELEM(k, a, ojson_get(e, "addresses"))
			if (three_next(&l))
				put_bytes(&l.b, otext(a));
	three_more(&l);
	text_or(x, &l.b, "<unset>");
}

/* ---- events ---- */

static struct orlop_bytes first_seen(struct ojson *e)
{
	struct orlop_bytes t = oget_text(e, "firstTimestamp");

	return t.len > 0 ? t : oget_text(e, "eventTime");
}

OCELL(event_first_seen)
{
	struct obuf b = OBUF_INIT;

	ocell_since(x, first_seen(x->obj), &b);
	ocell_text(x, &b);
}

OCELL(event_last_seen)
{
	struct orlop_bytes t = oget_text(ojson_get(x->obj, "series"), "lastObservedTime");
	struct obuf b = OBUF_INIT;

	if (t.len == 0)
		t = oget_text(x->obj, "lastTimestamp");
	ocell_since(x, t.len > 0 ? t : first_seen(x->obj), &b);
	ocell_text(x, &b);
}

OCELL(event_object)
{
	struct ojson *o = ojson_get(x->obj, "involvedObject");
	struct orlop_bytes kind = oget_text(o, "kind"), name = oget_text(o, "name");
	struct obuf b = OBUF_INIT;

	for (size_t i = 0; i < kind.len; i++)
		obuf_putc(&b, (char)(kind.p[i] >= 'A' && kind.p[i] <= 'Z' ? kind.p[i] + 32 : kind.p[i]));
	if (name.len > 0) {
		obuf_putc(&b, '/');
		put_bytes(&b, name);
	}
	ocell_text(x, &b);
}

OCELL(event_source)
{
	struct ojson *source = ojson_get(x->obj, "source");
	struct orlop_bytes component = oget_text(source, "component"), host = oget_text(source, "host");
	struct obuf b = OBUF_INIT;

	if (component.len == 0)
		component = oget_text(x->obj, "reportingComponent");
	if (host.len == 0)
		host = oget_text(x->obj, "reportingInstance");
	put_bytes(&b, component);
	if (host.len > 0) {
		obuf_puts(&b, ", ");
		put_bytes(&b, host);
	}
	ocell_text(x, &b);
}

OCELL(event_message)
{
	struct orlop_bytes t = oget_text(x->obj, "message");

	while (t.len > 0 && (unsigned char)t.p[t.len - 1] <= ' ')
		t.len--;
	while (t.len > 0 && (unsigned char)t.p[0] <= ' ') {
		t.p++;
		t.len--;
	}
	obuf_put_json_string(x->out, t.p, t.len);
}

OCELL(event_count)
{
	struct ojson *series = ojson_get(x->obj, "series");
	int64_t n = series != NULL ? oget_int(series, "count") : oget_int(x->obj, "count");

	obuf_put_i64(x->out, n > 0 ? n : 1);
}
