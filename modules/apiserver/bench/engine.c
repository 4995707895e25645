/*
 * engine.c - CPU time of the engine alone: creates, gets, lists, against a storage of a few lines.
 *
 * One JSON line a measurement. What the storage itself and the fake host take is included.
 */
#include "../test/rig.h"

#include <time.h>

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static uint32_t answered;
static size_t bytes;
static bool proto;

static void on_answer(void *arg, struct reg_answer *a)
{
	(void)arg;
	answered++;
	bytes += a->len;
	if (a->code >= 300)
		printf("# %u %.*s\n", a->code, (int)a->pieces[0].len, a->pieces[0].p);
	reg_answer_free(a);
}

static void report(const char *what, double us, unsigned int n)
{
	printf("{\"name\":\"registry/%s\",\"us\":%.2f,\"n\":%u}\n", what, us / n, n);
}

static void run_sub(struct rig *r, enum reg_verb verb, const char *res, const char *name, const char *sub,
		    const char *body)
{
	struct reg_req rq = { .verb = verb, .who = &rig_admin };

	rq.res = reg_resource(r->rg, rig_text(res), rig_text(""));
	rq.ns = rig_text("default");
	rq.name = rig_text(name);
	rq.sub = rig_text(sub);
	rq.body = rig_text(body);
	rq.user_agent = rig_text("bench/1");
	rq.proto = proto;
	reg_call(r->sh, &rq, on_answer, NULL);
	fakehost_run(r->fh);
}

static void run(struct rig *r, enum reg_verb verb, const char *res, const char *name, const char *body)
{
	run_sub(r, verb, res, name, "", body);
}

/* The history of the rig's storage grows and is searched linearly: forget it. */
static void forget(struct rig *r)
{
	for (size_t i = 0; i < r->n; i++) {
		omem_free(r->v[i].key);
		omem_free(r->v[i].value);
	}
	r->n = 0;
}

int main(void)
{
	struct rig *r = rig_new();
	char body[2048], name[32];
	double t, begin, binding = 0;

	rig_boot(r);
	rig_do(r, "create serviceaccounts default", "", "{\"metadata\":{\"name\":\"default\"}}");
	t = cpu_us();
	for (unsigned int i = 0; i < 5000; i++) {
		snprintf(body, sizeof(body), "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"c%u\",\"namespace\":\"default\",\"labels\":{\"app\":\"x\"}},\"data\":{\"key\":\"value %u\"}}", i, i);
		run(r, REG_CREATE, "configmaps", "", body);
		forget(r);
	}
	report("create-configmap", cpu_us() - t, 5000);
	t = cpu_us();
	for (unsigned int i = 0; i < 2000; i++) {
		snprintf(body, sizeof(body), "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p%u\",\"namespace\":\"default\",\"labels\":{\"app\":\"x\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"busybox:1\",\"command\":[\"sleep\",\"1\"],\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"64Mi\"}}}]}}", i);
		run(r, REG_CREATE, "pods", "", body);
		snprintf(name, sizeof(name), "p%u", i);
		snprintf(body, sizeof(body), "{\"kind\":\"Binding\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p%u\",\"namespace\":\"default\"},\"target\":{\"kind\":\"Node\",\"name\":\"n%u\"}}", i, i % 100);
		begin = cpu_us();
		run_sub(r, REG_CREATE, "pods", name, "binding", body);
		binding += cpu_us() - begin;
		forget(r);
	}
	report("create-pod", cpu_us() - t - binding, 2000);
	report("bind-pod", binding, 2000);
	t = cpu_us();
	for (unsigned int i = 0; i < 5000; i++) {
		snprintf(body, sizeof(body), "{\"kind\":\"Event\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p%u.1\",\"namespace\":\"default\"},\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":\"p%u\",\"uid\":\"0\",\"apiVersion\":\"v1\"},\"reason\":\"Scheduled\",\"message\":\"Successfully assigned default/p%u to n1\",\"source\":{\"component\":\"default-scheduler\"},\"firstTimestamp\":\"2026-01-01T00:00:00Z\",\"lastTimestamp\":\"2026-01-01T00:00:00Z\",\"count\":1,\"type\":\"Normal\",\"reportingComponent\":\"default-scheduler\",\"reportingInstance\":\"\"}", i, i, i);
		run(r, REG_CREATE, "events", "", body);
		forget(r);
	}
	report("create-event", cpu_us() - t, 5000);
	t = cpu_us();
	for (unsigned int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "c%u", i % 5000);
		run(r, REG_GET, "configmaps", name, "");
	}
	report("get-configmap", cpu_us() - t, 100000);
	bytes = 0;
	t = cpu_us();
	for (unsigned int i = 0; i < 200; i++)
		run(r, REG_LIST, "pods", "", "");
	report("list-2000-pods", cpu_us() - t, 200);
	printf("# %zu bytes a list, %u answers\n", bytes / 200, answered);
	bytes = 0;
	proto = true;
	t = cpu_us();
	for (unsigned int i = 0; i < 100; i++)
		run(r, REG_LIST, "pods", "", "");
	report("list-2000-pods-protobuf", cpu_us() - t, 100);
	printf("# %zu bytes a list\n", bytes / 100);
	rig_free(r);
	return 0;
}
