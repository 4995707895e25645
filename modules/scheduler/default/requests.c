/* requests.c - what a pod asks of a node, counted as upstream's PodRequests does. */
#include "sched.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"
#include "parse.h"
#include "quantity/oquantity.h"

#define NZ_CPU_MILLI 100
#define NZ_MEMORY    (INT64_C(200) << 20)

enum { CPU, MEMORY, EPHEMERAL, NZ_CPU, NZ_MEM, N_FIXED };

/* A list of resources while it is added up. Extended ones keep the order of first mention. */
struct sum {
	int64_t v[N_FIXED];
	uint32_t n;
	uint32_t cap;
	struct sd_amount *ext;
	struct oarena *mem;
	int err;
};

static int64_t add_sat(int64_t a, int64_t b)
{
	return a > SD_AMOUNT_MAX - b ? SD_AMOUNT_MAX : a + b;
}

/* The forms that nearly all quantities have: digits, then m, nothing, or Ki … Ti. */
static bool quantity_simple(struct orlop_bytes v, bool milli, int64_t *ret)
{
	int64_t n = 0, unit;
	size_t i = 0;

	while (i < v.len && i < 12 && v.p[i] >= '0' && v.p[i] <= '9')
		n = n * 10 + (v.p[i++] - '0');
	if (i == 0)
		return false;
	if (i == v.len) {
		*ret = milli ? n * 1000 : n;
		return true;
	}
	if (v.len == i + 1 && v.p[i] == 'm') {
		*ret = milli ? n : (n + 999) / 1000;
		return true;
	}
	if (milli || i > 5 || v.len != i + 2 || v.p[i + 1] != 'i')
		return false;
	switch (v.p[i]) {
	case 'K':
		unit = INT64_C(1) << 10;
		break;
	case 'M':
		unit = INT64_C(1) << 20;
		break;
	case 'G':
		unit = INT64_C(1) << 30;
		break;
	case 'T':
		unit = INT64_C(1) << 40;
		break;
	default:
		return false;
	}
	*ret = n * unit;
	return true;
}

static int64_t quantity(struct orlop_bytes v, bool milli)
{
	struct orlop_bytes text = v;
	struct oquantity q;
	int64_t r;

	if (oscan_type(v) == OSCAN_STRING && !oscan_plain(v, &text))
		return 0;
	if (quantity_simple(text, milli, &r))
		return r > SD_AMOUNT_MAX ? SD_AMOUNT_MAX : r;
	if (oquantity_parse(text.p, text.len, &q, NULL))
		return 0;
	r = milli ? oquantity_milli(&q) : oquantity_i64(&q);
	return r < 0 ? 0 : r > SD_AMOUNT_MAX ? SD_AMOUNT_MAX : r;
}

int64_t sd_quantity_milli(struct orlop_bytes v)
{
	return quantity(v, true);
}

int64_t sd_quantity(struct orlop_bytes v)
{
	return quantity(v, false);
}

static struct sd_amount *sum_ext(struct sum *s, struct orlop_bytes name)
{
	struct sd_amount *v;

	for (uint32_t i = 0; i < s->n; i++)
		if (ostr_eq(s->ext[i].name.p, s->ext[i].name.len, name.p, name.len))
			return &s->ext[i];
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 4;

		v = oarena_alloc(s->mem, cap * sizeof(*v));
		if (!v) {
			s->err = -ENOMEM;
			return NULL;
		}
		if (s->n)
			memcpy(v, s->ext, s->n * sizeof(*v));
		s->ext = v;
		s->cap = cap;
	}
	s->ext[s->n] = (struct sd_amount){ name, 0 };
	return &s->ext[s->n++];
}

static bool is_scalar(struct orlop_bytes name)
{
	return memchr(name.p, '/', name.len) || ostr_starts(name.p, name.len, "hugepages-") ||
	       ostr_starts(name.p, name.len, "attachable-volumes-");
}

/* A ResourceList into @s, which is empty; @nz: defaults for what is missing, for scores. */
static void sum_read(struct sum *s, struct orlop_bytes list, bool nz)
{
	bool has_cpu = false, has_memory = false;
	struct oscan_iter it;

	for (oscan_begin(&it, list); list.p && oscan_next(&it) > 0;) {
		struct orlop_bytes name;
		struct sd_amount *a;

		if (!oscan_plain(it.key, &name))
			continue;
		if (ostr_is(name.p, name.len, "cpu")) {
			has_cpu = true;
			s->v[CPU] = s->v[NZ_CPU] = quantity(it.value, true);
		} else if (ostr_is(name.p, name.len, "memory")) {
			has_memory = true;
			s->v[MEMORY] = s->v[NZ_MEM] = quantity(it.value, false);
		} else if (ostr_is(name.p, name.len, "ephemeral-storage")) {
			s->v[EPHEMERAL] = quantity(it.value, false);
		} else if (is_scalar(name) && (a = sum_ext(s, name))) {
			a->v = quantity(it.value, false);
		}
	}
	if (nz && !has_cpu)
		s->v[NZ_CPU] = NZ_CPU_MILLI;
	if (nz && !has_memory)
		s->v[NZ_MEM] = NZ_MEMORY;
}

static void sum_add(struct sum *to, const struct sum *s)
{
	for (int i = 0; i < N_FIXED; i++)
		to->v[i] = add_sat(to->v[i], s->v[i]);
	for (uint32_t i = 0; i < s->n; i++) {
		struct sd_amount *a = sum_ext(to, s->ext[i].name);

		if (a)
			a->v = add_sat(a->v, s->ext[i].v);
	}
	if (s->err)
		to->err = s->err;
}

static void sum_max(struct sum *to, const struct sum *s)
{
	for (int i = 0; i < N_FIXED; i++)
		if (s->v[i] > to->v[i])
			to->v[i] = s->v[i];
	for (uint32_t i = 0; i < s->n; i++) {
		struct sd_amount *a = sum_ext(to, s->ext[i].name);

		if (a && s->ext[i].v > a->v)
			a->v = s->ext[i].v;
	}
	if (s->err)
		to->err = s->err;
}

static void sum_containers(struct orlop_bytes list, struct sum *to)
{
	struct oscan_iter it;

	for (oscan_begin(&it, list); list.p && oscan_next(&it) > 0;) {
		struct orlop_bytes req = { NULL, 0 };
		struct sum one = { .mem = to->mem };

		(void)OSCAN_FIND(it.value, &req, "resources", "requests");
		sum_read(&one, req, true);
		sum_add(to, &one);
	}
}

static void sum_init_containers(struct orlop_bytes list, struct sum *to)
{
	struct sum most = { .mem = to->mem };
	struct sum sidecars = { .mem = to->mem };
	struct oscan_iter it;

	for (oscan_begin(&it, list); list.p && oscan_next(&it) > 0;) {
		struct orlop_bytes req = { NULL, 0 }, policy;
		struct sum one = { .mem = to->mem };

		(void)OSCAN_FIND(it.value, &req, "resources", "requests");
		sum_read(&one, req, true);
		if (oscan_get(it.value, "restartPolicy", &policy) &&
		    oscan_string_is_cstr(policy, "Always")) {
			sum_add(to, &one);
			sum_add(&sidecars, &one);
			sum_max(&most, &sidecars);
		} else {
			sum_add(&one, &sidecars);
			sum_max(&most, &one);
		}
	}
	sum_max(to, &most);
}

/* What the pod as a whole asks for takes the place of its containers' sum. */
static void sum_pod_level(struct orlop_bytes list, struct sum *to)
{
	struct sum pod = { .mem = to->mem };
	struct orlop_bytes v;

	sum_read(&pod, list, false);
	if (oscan_get(list, "cpu", &v)) {
		to->v[CPU] = pod.v[CPU];
		to->v[NZ_CPU] = pod.v[CPU];
	}
	if (oscan_get(list, "memory", &v)) {
		to->v[MEMORY] = pod.v[MEMORY];
		to->v[NZ_MEM] = pod.v[MEMORY];
	}
	for (uint32_t i = 0; i < pod.n; i++) {
		struct sd_amount *a = sum_ext(to, pod.ext[i].name);

		if (a)
			a->v = pod.ext[i].v;
	}
	if (pod.err)
		to->err = pod.err;
}

/* ---- host ports ------------------------------------------------------------------------------ */

static uint32_t port_proto(struct orlop_bytes port)
{
	struct orlop_bytes v;

	if (!oscan_get(port, "protocol", &v) || oscan_string_is_cstr(v, "TCP"))
		return 0;
	return oscan_string_is_cstr(v, "UDP") ? 1 : oscan_string_is_cstr(v, "SCTP") ? 2 : 3;
}

/* Host ports of all containers of @list: written to @out if it is not NULL; their number. */
static uint32_t ports_of(struct orlop_bytes list, bool sidecars_only, struct sd_port *out)
{
	struct oscan_iter it, jt;
	uint32_t n = 0;

	for (oscan_begin(&it, list); list.p && oscan_next(&it) > 0;) {
		struct orlop_bytes ports, v;

		if (sidecars_only && !(oscan_get(it.value, "restartPolicy", &v) &&
				       oscan_string_is_cstr(v, "Always")))
			continue;
		if (!oscan_get(it.value, "ports", &ports))
			continue;
		for (oscan_begin(&jt, ports); oscan_next(&jt) > 0;) {
			int64_t port = oscan_get(jt.value, "hostPort", &v) ? oscan_i64(v, 0) : 0;
			struct orlop_bytes ip = { "", 0 };

			if (port <= 0 || port > 65535)
				continue;
			if (out) {
				if (oscan_get(jt.value, "hostIP", &v))
					(void)oscan_plain(v, &ip);
				if (ostr_is(ip.p, ip.len, "0.0.0.0"))
					ip.len = 0;
				out[n] = (struct sd_port){ (uint32_t)port, port_proto(jt.value),
							   ip };
			}
			n++;
		}
	}
	return n;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static char *text_keep(char **at, struct orlop_bytes *b)
{
	char *p = *at;

	if (b->len)
		memcpy(p, b->p, b->len);
	b->p = p;
	*at += b->len;
	return p;
}

/* As the controller that makes it calls it: "POD-VOLUME". */
static struct orlop_bytes claim_name(struct sum *s, struct orlop_bytes pod, struct orlop_bytes volume)
{
	struct orlop_bytes name = { "", 0 };
	char *p = oarena_alloc(s->mem, pod.len + volume.len + 1);

	if (!p) {
		s->err = -ENOMEM;
		return name;
	}
	memcpy(p, pod.p ? pod.p : "", pod.len);
	p[pod.len] = '-';
	memcpy(p + pod.len + 1, volume.p ? volume.p : "", volume.len);
	return (struct orlop_bytes){ p, pod.len + 1 + volume.len };
}

/* The claims among the volumes: written to @out if it is not NULL; their number. */
static uint32_t claims_of(struct sum *s, struct orlop_bytes pod, struct orlop_bytes volumes, struct sd_use *out)
{
	struct orlop_bytes v, claim;
	struct oscan_iter it;
	uint32_t n = 0;

	for (oscan_begin(&it, volumes); volumes.p && oscan_next(&it) > 0;) {
		if (OSCAN_FIND(it.value, &v, "persistentVolumeClaim", "claimName")) {
			if (out)
				out[n] = (struct sd_use){ .name = sd_text(s->mem, v, &s->err) };
			n++;
		} else if (oscan_get(it.value, "ephemeral", &claim)) {
			if (out)
				out[n] = (struct sd_use){ .name = claim_name(s, pod, sd_text_at(s->mem, it.value, "name", &s->err)),
							  .ephemeral = true };
			n++;
		}
	}
	return n;
}

static int load_pack(struct sum *s, struct orlop_bytes pod, struct orlop_bytes containers, struct orlop_bytes inits,
		     struct orlop_bytes volumes, struct sd_load **ret)
{
	uint32_t n_ports = ports_of(containers, false, NULL), n_side = ports_of(inits, true, NULL);
	uint32_t n_claims = claims_of(s, pod, volumes, NULL), n_disks = sd_disks_read(s->mem, volumes, NULL, &s->err);
	size_t size = sizeof(struct sd_load) + s->n * sizeof(struct sd_amount) +
		      ((size_t)n_ports + n_side) * sizeof(struct sd_port) + n_claims * sizeof(struct sd_use) + n_disks * sizeof(struct sd_disk);
	struct sd_use *claims = NULL;
	struct sd_disk *disks = NULL;
	struct sd_port *scratch = NULL;
	struct sd_load *l;
	char *text;

	if (n_ports + n_side) {
		scratch = oarena_alloc(s->mem, ((size_t)n_ports + n_side) * sizeof(*scratch));
		if (!scratch)
			return -ENOMEM;
		(void)ports_of(containers, false, scratch);
		(void)ports_of(inits, true, scratch + n_ports);
		n_ports += n_side;
	}
	if (n_claims) {
		claims = oarena_alloc(s->mem, n_claims * sizeof(*claims));
		if (!claims)
			return -ENOMEM;
		(void)claims_of(s, pod, volumes, claims);
	}
	if (n_disks) {
		disks = oarena_alloc(s->mem, n_disks * sizeof(*disks));
		if (!disks)
			return -ENOMEM;
		(void)sd_disks_read(s->mem, volumes, disks, &s->err);
	}
	if (s->err)
		return s->err;
	for (uint32_t i = 0; i < s->n; i++)
		size += s->ext[i].name.len;
	for (uint32_t i = 0; i < n_claims; i++)
		size += claims[i].name.len;
	for (uint32_t i = 0; i < n_disks; i++)
		size += disks[i].id.len;
	for (uint32_t i = 0; i < n_ports; i++)
		size += scratch[i].ip.len;
	l = omem_zalloc(size);
	if (!l)
		return -ENOMEM;
	l->cpu_milli = s->v[CPU];
	l->memory = s->v[MEMORY];
	l->ephemeral = s->v[EPHEMERAL];
	l->nz_cpu_milli = s->v[NZ_CPU];
	l->nz_memory = s->v[NZ_MEM];
	l->ext = (struct sd_amount *)(void *)(l + 1);
	l->ports = (struct sd_port *)(void *)(l->ext + s->n);
	l->claims = (struct sd_use *)(void *)(l->ports + n_ports);
	l->disks = (struct sd_disk *)(void *)(l->claims + n_claims);
	text = (char *)(l->disks + n_disks);
	for (uint32_t i = 0; i < s->n; i++) {
		if (!s->ext[i].v)
			continue;
		l->ext[l->n_ext] = s->ext[i];
		text_keep(&text, &l->ext[l->n_ext++].name);
	}
	for (uint32_t i = 0; i < n_ports; i++) {
		l->ports[i] = scratch[i];
		text_keep(&text, &l->ports[i].ip);
	}
	l->n_ports = n_ports;
	for (uint32_t i = 0; i < n_claims; i++) {
		l->claims[i] = claims[i];
		text_keep(&text, &l->claims[i].name);
	}
	l->n_claims = n_claims;
	for (uint32_t i = 0; i < n_disks; i++) {
		l->disks[i] = disks[i];
		text_keep(&text, &l->disks[i].id);
	}
	l->n_disks = n_disks;
	*ret = l;
	return 0;
}

int sd_load_new(struct orlop_bytes spec, struct orlop_bytes name, struct sd_load **ret)
{
	struct orlop_bytes containers = { NULL, 0 }, inits = { NULL, 0 };
	struct orlop_bytes overhead = { NULL, 0 }, whole = { NULL, 0 }, volumes = { NULL, 0 };
	struct oarena mem = OARENA_INIT;
	struct sum all = { .mem = &mem };
	struct oscan_iter it;
	int r;

	for (oscan_begin(&it, spec); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, "containers"))
			containers = it.value;
		else if (oscan_string_is_cstr(it.key, "initContainers"))
			inits = it.value;
		else if (oscan_string_is_cstr(it.key, "volumes"))
			volumes = it.value;
		else if (oscan_string_is_cstr(it.key, "overhead"))
			overhead = it.value;
		else if (oscan_string_is_cstr(it.key, "resources"))
			(void)oscan_get(it.value, "requests", &whole);
	}
	sum_containers(containers, &all);
	sum_init_containers(inits, &all);
	if (whole.p)
		sum_pod_level(whole, &all);
	if (overhead.p) {
		struct sum over = { .mem = &mem };

		sum_read(&over, overhead, false);
		sum_add(&all, &over);
	}
	r = all.err ? all.err : load_pack(&all, name, containers, inits, volumes, ret);
	oarena_done(&mem);
	return r;
}
