/*
 * limits.c - thresholds, reservations and durations, out of text. Pure.
 */
#include "limits.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "quantity/oquantity.h"

static const char *const names[N_SIGNALS] = {
	[SIG_MEMORY] = "memory.available", [SIG_NODEFS] = "nodefs.available", [SIG_NODEFS_INODES] = "nodefs.inodesFree",
	[SIG_IMAGEFS] = "imagefs.available", [SIG_IMAGEFS_INODES] = "imagefs.inodesFree", [SIG_PID] = "pid.available",
};

const char *signal_name(enum signal s)
{
	return names[s];
}

static int signal_of(const char *p, size_t n)
{
	int i;

	for (i = 0; i < N_SIGNALS; i++)
		if (strlen(names[i]) == n && !memcmp(names[i], p, n))
			return i;
	return -1;
}

/* Next "KEY OP VALUE" of a list with commas. 1, 0 at the end, -EINVAL. */
static int item_next(const char **at, char op, struct orlop_bytes *key, struct orlop_bytes *value)
{
	const char *p = *at;
	const char *mid;
	size_t n;

	while (*p == ',' || *p == ' ')
		p++;
	if (!*p)
		return 0;
	n = strcspn(p, ",");
	mid = memchr(p, op, n);
	if (!mid || mid == p || mid + 1 == p + n)
		return -EINVAL;
	*key = (struct orlop_bytes){ p, (size_t)(mid - p) };
	*value = (struct orlop_bytes){ mid + 1, (size_t)(p + n - mid - 1) };
	*at = p + n;
	return 1;
}

/* "10%" or a quantity. */
static int amount_parse(struct orlop_bytes v, double *percent, int64_t *value)
{
	struct oquantity q;
	char text[32];
	char *end;

	*percent = 0;
	*value = 0;
	if (v.len && v.p[v.len - 1] == '%' && v.len < sizeof(text)) {
		snprintf(text, sizeof(text), "%.*s", (int)v.len - 1, v.p);
		*percent = strtod(text, &end) / 100;
		return *end || end == text || *percent < 0 || *percent > 1 ? -EINVAL : 0;
	}
	if (oquantity_parse(v.p, v.len, &q, NULL) || oquantity_sign(&q) < 0)
		return -EINVAL;
	*value = oquantity_i64(&q);
	return 0;
}

static int bad(struct obuf *err, const char *what, const char *text)
{
	obuf_printf(err, "%s = \"%s\": cannot be read", what, text);
	return -EINVAL;
}

int thresholds_parse(struct limits *l, const char *text, bool soft, struct obuf *err)
{
	const char *what = soft ? "eviction_soft" : "eviction_hard";
	const char *at = text;
	struct orlop_bytes key;
	struct orlop_bytes value;
	int r;

	while ((r = item_next(&at, '<', &key, &value)) > 0) {
		struct threshold *t = &l->t[l->n];
		int sig = signal_of(key.p, key.len);
		double percent;
		int64_t v;

		if (sig < 0 || l->n == MAX_THRESHOLDS || amount_parse(value, &percent, &v))
			return bad(err, what, text);
		/* as upstream: nothing of it means that it is off */
		if (percent <= 0 && v <= 0)
			continue;
		memset(t, 0, sizeof(*t));
		t->signal = (enum signal)sig;
		t->soft = soft;
		t->percent = percent;
		t->value = v;
		l->n++;
	}
	return r ? bad(err, what, text) : 0;
}

int thresholds_grace(struct limits *l, const char *text, struct obuf *err)
{
	const char *at = text;
	struct orlop_bytes key;
	struct orlop_bytes value;
	uint32_t i;
	int r;

	while ((r = item_next(&at, '=', &key, &value)) > 0) {
		int sig = signal_of(key.p, key.len);
		char dur[32];
		int64_t ns;

		snprintf(dur, sizeof(dur), "%.*s", (int)value.len, value.p);
		if (sig < 0 || duration_parse(dur, &ns))
			return bad(err, "eviction_soft_grace_period", text);
		for (i = 0; i < l->n; i++)
			if (l->t[i].soft && l->t[i].signal == (enum signal)sig)
				l->t[i].grace_ns = ns;
	}
	if (r)
		return bad(err, "eviction_soft_grace_period", text);
	for (i = 0; i < l->n; i++) {
		if (l->t[i].soft && !l->t[i].grace_ns) {
			obuf_printf(err, "grace period must be specified for the soft eviction threshold %s",
				    names[l->t[i].signal]);
			return -EINVAL;
		}
	}
	return 0;
}

int thresholds_reclaim(struct limits *l, const char *text, struct obuf *err)
{
	const char *at = text;
	struct orlop_bytes key;
	struct orlop_bytes value;
	uint32_t i;
	int r;

	while ((r = item_next(&at, '=', &key, &value)) > 0) {
		int sig = signal_of(key.p, key.len);
		double percent;
		int64_t v;

		if (sig < 0 || amount_parse(value, &percent, &v))
			return bad(err, "eviction_minimum_reclaim", text);
		for (i = 0; i < l->n; i++) {
			if (l->t[i].signal == (enum signal)sig) {
				l->t[i].reclaim = v;
				l->t[i].reclaim_percent = percent;
			}
		}
	}
	return r ? bad(err, "eviction_minimum_reclaim", text) : 0;
}

int reserve_parse(struct reserve *r, const char *text, struct obuf *err)
{
	const char *at = text;
	struct orlop_bytes key;
	struct orlop_bytes value;
	struct oquantity q;
	int e;

	while ((e = item_next(&at, '=', &key, &value)) > 0) {
		if (oquantity_parse(value.p, value.len, &q, NULL) || oquantity_sign(&q) < 0)
			return bad(err, "reserved resources", text);
		if (key.len == 3 && !memcmp(key.p, "cpu", 3))
			r->cpu_milli += oquantity_milli(&q);
		else if (key.len == 6 && !memcmp(key.p, "memory", 6))
			r->memory += oquantity_i64(&q);
		else if (key.len == 17 && !memcmp(key.p, "ephemeral-storage", 17))
			r->storage += oquantity_i64(&q);
		else if (key.len == 3 && !memcmp(key.p, "pid", 3))
			r->pids += oquantity_i64(&q);
		else
			return bad(err, "reserved resources", text);
	}
	return e ? bad(err, "reserved resources", text) : 0;
}

int duration_parse(const char *p, int64_t *ret)
{
	double sum = 0;

	if (!*p)
		return -EINVAL;
	if (!strcmp(p, "0")) {
		*ret = 0;
		return 0;
	}
	while (*p) {
		static const struct { const char *unit; double ns; } units[] = {
			{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 },
		};
		char *end;
		double v = strtod(p, &end);
		size_t n;
		size_t i;

		if (end == p || v < 0)
			return -EINVAL;
		n = strcspn(end, "0123456789.");
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (strlen(units[i].unit) == n && !memcmp(units[i].unit, end, n))
				break;
		if (i == sizeof(units) / sizeof(units[0]))
			return -EINVAL;
		sum += v * units[i].ns;
		p = end + n;
	}
	if (sum > 9e18)
		return -EINVAL;
	*ret = (int64_t)sum;
	return 0;
}

int64_t threshold_amount(const struct threshold *t, int64_t capacity)
{
	return t->percent > 0 ? (int64_t)((double)capacity * t->percent) : t->value;
}

int64_t threshold_reclaim(const struct threshold *t, int64_t capacity)
{
	return t->reclaim_percent > 0 ? (int64_t)((double)capacity * t->reclaim_percent) : t->reclaim;
}

static int64_t less(int64_t a, int64_t b)
{
	return a > b ? a - b : 0;
}

struct reserve limits_allocatable(const struct limits *l, const struct machine *m)
{
	struct reserve a = { .cpu_milli = m->cpus * 1000, .memory = m->memory, .storage = m->storage };
	uint32_t i;

	for (i = 0; i < l->n; i++) {
		const struct threshold *t = &l->t[i];

		if (t->soft)
			continue;
		if (t->signal == SIG_MEMORY)
			a.memory = less(a.memory, threshold_amount(t, m->memory));
		else if (t->signal == SIG_NODEFS)
			a.storage = less(a.storage, threshold_amount(t, m->storage));
	}
	a.cpu_milli = less(a.cpu_milli, l->reserved.cpu_milli);
	a.memory = less(a.memory, l->reserved.memory);
	a.storage = less(a.storage, l->reserved.storage);
	return a;
}

static int percent_param(struct kubelet *k, const char *name, int64_t *ret, struct obuf *err)
{
	*ret = k->h->param_int(k->h, name);
	if (*ret >= 0 && *ret <= 100)
		return 0;
	obuf_printf(err, "%s = %lld: must be 0 to 100", name, (long long)*ret);
	return -EINVAL;
}

static int duration_param(struct kubelet *k, const char *name, int64_t *ret, struct obuf *err)
{
	return duration_parse(k->h->param(k->h, name), ret) ? bad(err, name, k->h->param(k->h, name)) : 0;
}

int limits_read(struct kubelet *k, struct limits *l, struct orlop_error *err)
{
	const struct orlop_host *h = k->h;
	struct obuf why = OBUF_INIT;
	int e;

	memset(l, 0, sizeof(*l));
	l->max_pod_grace_s = h->param_int(h, "eviction_max_pod_grace_period");
	l->max_pods = h->param_int(h, "max_pods");
	l->pod_max_pids = h->param_int(h, "pod_max_pids");
	l->dead_per_container = h->param_int(h, "maximum_dead_containers_per_container");
	l->dead_all = h->param_int(h, "maximum_dead_containers");
	e = thresholds_parse(l, h->param(h, "eviction_hard"), false, &why);
	if (!e)
		e = thresholds_parse(l, h->param(h, "eviction_soft"), true, &why);
	if (!e)
		e = thresholds_grace(l, h->param(h, "eviction_soft_grace_period"), &why);
	if (!e)
		e = thresholds_reclaim(l, h->param(h, "eviction_minimum_reclaim"), &why);
	if (!e)
		e = duration_param(k, "eviction_pressure_transition_period", &l->transition_ns, &why);
	if (!e)
		e = reserve_parse(&l->reserved, h->param(h, "kube_reserved"), &why);
	if (!e)
		e = reserve_parse(&l->reserved, h->param(h, "system_reserved"), &why);
	if (!e)
		e = percent_param(k, "image_gc_high_threshold", &l->image_high, &why);
	if (!e)
		e = percent_param(k, "image_gc_low_threshold", &l->image_low, &why);
	if (!e && l->image_low > l->image_high) {
		obuf_puts(&why, "image_gc_low_threshold is above image_gc_high_threshold");
		e = -EINVAL;
	}
	if (!e)
		e = duration_param(k, "minimum_image_ttl_duration", &l->image_min_age_ns, &why);
	if (!e)
		e = duration_param(k, "shutdown_grace_period", &l->shutdown_ns, &why);
	if (!e)
		e = duration_param(k, "shutdown_grace_period_critical_pods", &l->shutdown_critical_ns, &why);
	if (e)
		orlop_fail(err, -e, 0, "", "%s", obuf_cstr(&why));
	obuf_done(&why);
	return e;
}

void limits_config(const struct kubelet *k, struct ojson *c)
{
	static const char *const plain[][2] = {
		{ "eviction_pressure_transition_period", "evictionPressureTransitionPeriod" },
		{ "minimum_image_ttl_duration", "imageMinimumGCAge" },
		{ "shutdown_grace_period", "shutdownGracePeriod" },
		{ "shutdown_grace_period_critical_pods", "shutdownGracePeriodCriticalPods" },
	};
	const struct limits *l = k->limits;
	uint32_t i;

	for (i = 0; i < l->n; i++) {
		const struct threshold *t = &l->t[i];
		struct ojson *to = ojson_ensure_object(c, t->soft ? "evictionSoft" : "evictionHard");
		char text[32];

		if (t->percent > 0)
			snprintf(text, sizeof(text), "%g%%", t->percent * 100);
		else
			snprintf(text, sizeof(text), "%lld", (long long)t->value);
		(void)ojson_set_cstr(to, names[t->signal], text);
	}
	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		(void)ojson_set_cstr(c, plain[i][1], k->h->param(k->h, plain[i][0]));
	(void)ojson_set_i64(c, "evictionMaxPodGracePeriod", l->max_pod_grace_s);
	(void)ojson_set_i64(c, "imageGCHighThresholdPercent", l->image_high);
	(void)ojson_set_i64(c, "imageGCLowThresholdPercent", l->image_low);
	(void)ojson_set_i64(c, "maxPods", l->max_pods);
	(void)ojson_set_i64(c, "podPidsLimit", l->pod_max_pids);
}
