/*
 * Fuzz target of the engine: any request gets exactly one answer that is JSON, and nothing is left.
 *
 * Input: a byte each for verb, patch, form, resource and subresource, then lines: namespace, name,
 * query; the rest is the body.
 */
#include "../test/rig.h"

#include "json/oscan.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig *rig;
static uint32_t runs;

static void prepare(void)
{
	if (rig && runs++ < 500)
		return;
	if (rig)
		rig_free(rig);
	rig = rig_new();
	runs = 0;
	rig_boot(rig);
	rig_do(rig, "create serviceaccounts default", "", "{\"metadata\":{\"name\":\"default\"}}");
	rig_do(rig, "create configmaps default", "", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}");
	rig_do(rig, "create pods default", "", "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
	rig_do(rig, "create services default", "", "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"ports\":[{\"port\":80}]}}");
	rig_do(rig, "create deployments.apps default", "", "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}");
}

static struct orlop_bytes line(const char **p, const char *end)
{
	const char *nl = memchr(*p, '\n', (size_t)(end - *p));
	struct orlop_bytes l = { *p, (size_t)((nl ? nl : end) - *p) };

	*p = nl ? nl + 1 : end;
	return l;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const subs[] = { "", "", "", "status", "scale", "binding", "eviction", "token",
					    "finalize", "resize", "ephemeralcontainers", "log" };
	struct reg_req rq = { .who = &rig_admin };
	const char *p = (const char *)data + 5, *end = (const char *)data + size;
	struct orlop_bytes doc;

	if (size < 8)
		return 0;
	prepare();
	rq.verb = (enum reg_verb)(1 + data[0] % 8);
	rq.patch = rq.verb == REG_PATCH ? (enum reg_patch)(data[1] % 5) : REG_PATCH_NONE;
	rq.form = (enum reg_form)(data[2] % 3);
	rq.res = &oschema_builtin.resources[data[3] % oschema_builtin.n_resources];
	rq.sub = rig_text(subs[data[4] % (sizeof(subs) / sizeof(*subs))]);
	rq.ns = line(&p, end);
	rq.name = line(&p, end);
	rq.query = line(&p, end);
	rq.body = (struct orlop_bytes){ p, (size_t)(end - p) };
	/* the front gives no path without a name where the verb needs one */
	if ((rq.verb == REG_GET || (rq.verb >= REG_UPDATE && rq.verb <= REG_DELETE)) && rq.name.len == 0)
		return 0;
	if (!(rq.res->flags & OSCHEMA_S_NAMESPACED))
		rq.ns.len = 0;
	rig->answered = 0;
	reg_call(rig->sh, &rq, rig_answered, rig);
	if (!fakehost_run_until(rig->fh, rig_is_answered, rig, 60 * FAKEHOST_S))
		abort();
	if (rig->watch) {
		struct reg_event ev;

		while (reg_watch_next(rig->watch, &ev) > 0)
			reg_event_done(rig->watch, &ev);
		reg_watch_free(rig->watch);
		rig->watch = NULL;
	} else if (oscan_check(rig->body, strlen(rig->body), 128, &doc, NULL)) {
		abort();
	}
	if (rig->code < 200 || rig->code > 599)
		abort();
	if (reg_shard_busy(rig->sh))
		abort();
	return 0;
}
