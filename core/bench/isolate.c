/*
 * isolate.c - what a process of its own costs a module, and how long a crash is.
 *
 * Prints one JSON line: requests to a module in the daemon's process and in its own, one at a time and
 * 256 open; the time from kill -9 until the next answer (median and longest of 20); memory of a process.
 */
#include <limits.h>
#include <signal.h>

#include "../isolate_proxy.h"
#include "../test/kit.h"

#define IDLE	5000u
#define PIPED	50000u
#define OPEN	256u
#define CRASHES	20u

struct run {
	struct core	*c;
	const char	*to;
	uint32_t	n;
	uint32_t	sent;
	uint32_t	got;
	uint32_t	failed;
	uint32_t	open;
	uint64_t	at;
	uint32_t	*ns;
};

static void fill(struct run *r);

static void answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		     uint32_t flags)
{
	struct run *r = arg;

	(void)msg;
	(void)err;
	(void)flags;
	r->failed += status != 0;
	if (r->ns)
		r->ns[r->got] = (uint32_t)(core_now_mono() - r->at);
	r->got++;
	fill(r);
}

static void fill(struct run *r)
{
	static const char body[256];

	while (r->sent < r->n && r->sent - r->got < r->open) {
		struct orlop_send s = { .size = sizeof(s), .op = 1, .to = r->to };
		struct orlop_msgw w;

		orlop_msgw_init(&w, NULL);
		orlop_msgw_bytes(&w, 1, body, sizeof(body));
		s.msg = orlop_msgw_msg(&w);
		r->sent++;
		r->at = core_now_mono();
		if (core_link_request(r->c->self->shards[0].link, &s, answered, r, NULL))
			exit(1);
		orlop_msgw_done(&w);
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void measure(struct core *c, const char *to, const char *what)
{
	struct run r = { .c = c, .to = to, .n = IDLE, .open = 1 };
	uint64_t t0;

	r.ns = calloc(IDLE, sizeof(*r.ns));
	fill(&r);
	if (!kit_until(c->main, r.got == r.n))
		exit(1);
	qsort(r.ns, IDLE, sizeof(*r.ns), by_value);
	printf("\"%s_p50_us\":%.1f,\"%s_p99_us\":%.1f,", what, r.ns[IDLE / 2] / 1e3, what, r.ns[IDLE * 99 / 100] / 1e3);
	free(r.ns);
	r = (struct run){ .c = c, .to = to, .n = PIPED, .open = OPEN };
	t0 = core_now_mono();
	fill(&r);
	if (!kit_until(c->main, r.got == r.n) || r.failed)
		exit(1);
	printf("\"%s_per_s\":%.0f,", what, PIPED / ((double)(core_now_mono() - t0) / 1e9));
}

static struct core_instance *load(struct core *c, const char *as, bool isolate)
{
	struct core_config_module cm = { .isolate = isolate };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct kit_load l = { .done = 0 };
	char path[512];

	cm.module = omem_strdup(kit_module("crasher", path, sizeof(path)));
	cm.name = omem_strdup(as);
	if (core_loader_load(c, &cm, kit_loaded, &l, &err) || !kit_until(c->main, l.done) || l.status) {
		fprintf(stderr, "%s %s\n", err.msg, l.msg);
		exit(1);
	}
	core_config_module_done(&cm);
	return l.inst;
}

static void crashes(struct core *c, struct core_instance *inst)
{
	uint32_t us[CRASHES];

	for (uint32_t i = 0; i < CRASHES; i++) {
		struct run r = { .c = c, .to = inst->name, .n = 1, .open = 1 };
		uint64_t t0 = core_now_mono();

		inst->iso->backoff_ns = 0;
		kill(inst->iso->pid, SIGKILL);
		do {
			r.sent = r.got = r.failed = 0;
			fill(&r);
			if (!kit_until(c->main, r.got == 1))
				exit(1);
		} while (r.failed);
		us[i] = (uint32_t)((core_now_mono() - t0) / 1000);
	}
	qsort(us, CRASHES, sizeof(us[0]), by_value);
	printf("\"crash_to_service_ms\":%.1f,\"crash_to_service_max_ms\":%.1f,", us[CRASHES / 2] / 1e3,
	       us[CRASHES - 1] / 1e3);
}

static long pss_kb(int32_t pid)
{
	char path[64];
	char line[128];
	long kb = -1;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Pss: %ld", &kb) == 1)
			break;
	if (f)
		(void)fclose(f);
	return kb;
}

int main(void)
{
	const char *build = getenv("builddir");
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_config *cfg;
	struct core_instance *inst;
	struct core *c;
	char exe[PATH_MAX];
	char real[PATH_MAX];

	(void)snprintf(exe, sizeof(exe), "%s/orlopd", build ? build : ".");
	if (!realpath(exe, real) || core_config_new(&cfg))
		return 1;
	cfg->loops = 2;
	cfg->log_level = 0;
	cfg->data_dir = omem_strdup("/tmp");
	cfg->exe = omem_strdup(real);
	if (core_new(cfg, &c, &err))
		return 1;
	printf("{\"bench\":\"isolate\",\"command\":\"core/bench/isolate\",\"body_bytes\":256,");
	(void)load(c, "here", false);
	inst = load(c, "there", true);
	measure(c, "here", "in_process");
	measure(c, "there", "isolated");
	crashes(c, inst);
	printf("\"pss_kb\":%ld}\n", pss_kb(inst->iso->pid));
	return kit_end(c) ? 0 : 1;
}
