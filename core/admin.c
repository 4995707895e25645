/*
 * admin.c - what the core answers at its own address: abi/orlop/admin.h.
 *
 * All ops run on the main loop. JSON is written by hand: it is a handful of lines, and the core links
 * no JSON library.
 */
#include "admin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <orlop/admin.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "admin_in.h"
#include "asks.h"
#include "base/ocleanup.h"
#include "bus/bus.h"
#include "cache/cache.h"
#include "config.h"
#include "isolate.h"
#include "loader.h"
#include "log.h"
#include "look.h"
#include "metrics.h"
#include "work.h"

/* ---- JSON --------------------------------------------------------------------------------------- */

static void put_key(struct obuf *b, const char *key)
{
	if (b->len && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[')
		obuf_putc(b, ',');
	obuf_put_json_cstr(b, key);
	obuf_putc(b, ':');
}

static void put_text(struct obuf *b, const char *key, const char *v)
{
	put_key(b, key);
	obuf_put_json_cstr(b, v ? v : "");
}

static void put_num(struct obuf *b, const char *key, uint64_t v)
{
	put_key(b, key);
	obuf_put_u64(b, v);
}

static void put_list(struct obuf *b, const char *key, char **list)
{
	put_key(b, key);
	obuf_putc(b, '[');
	for (char **p = list; p && *p; p++) {
		if (p != list)
			obuf_putc(b, ',');
		obuf_put_json_cstr(b, *p);
	}
	obuf_putc(b, ']');
}

void admin_put_module_head(struct obuf *b, struct core_instance *inst)
{
	struct orlop_health health = inst->health;
	char waits[160];

	core_loader_waits(inst, waits, sizeof(waits));
	if (inst->state == CORE_READY)
		core_instance_health(inst, &health);
	put_text(b, "name", inst->name);
	put_text(b, "module", inst->class_slash);
	put_text(b, "class", inst->class_name);
	put_text(b, "version", inst->image->info.version);
	put_text(b, "state", inst->retired ? "draining" : inst->iso && inst->state == CORE_READY &&
		 !core_isolate_up(inst) ? "restarting" : core_state_name(inst->state));
	put_num(b, "sinceMs", (core_now_mono() - inst->since_ns) / 1000000);
	if (inst->stall_ns)
		put_num(b, "stallUs", inst->stall_ns / 1000);
	put_key(b, "healthy");
	obuf_puts(b, inst->state == CORE_READY && health.ok ? "true" : "false");
	put_text(b, "text", inst->state == CORE_FAILED || inst->retired ? inst->why : waits[0] ? waits : health.text);
	if (inst->iso)
		core_isolate_put(inst, b);
}

static void put_modules(struct obuf *b, struct core *c)
{
	bool first = true;

	obuf_putc(b, '[');
	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

		if (!inst->image)
			continue;
		obuf_puts(b, first ? "{" : ",{");
		first = false;
		admin_put_module_head(b, inst);
		put_text(b, "buildId", inst->image->info.build_id);
		put_key(b, "abi");
		obuf_printf(b, "\"%u.%u\"", inst->image->info.abi_major, inst->image->info.abi_minor);
		put_num(b, "shards", inst->n_shards);
		core_look_held(b, inst);
		put_num(b, "busyNs", core_look_busy_ns(inst));
		obuf_putc(b, '}');
	}
	obuf_putc(b, ']');
}

/* ---- answering ------------------------------------------------------------------------------------- */

/* Answers with one bytes field; takes what is in @b. */
void admin_answer(struct core *c, struct orlop_call *call, uint32_t tag, struct obuf *b)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_msgw w;
	struct orlop_msg m;

	orlop_msgw_init(&w, &c->self->shards[0].host);
	orlop_msgw_bytes(&w, tag, obuf_cstr(b), b->len);
	if (obuf_err(b) || w.err) {
		core_call_done(call, -ENOMEM, NULL, (orlop_fail(&err, ENOMEM, 0, "", "out of memory"), &err));
	} else {
		m = orlop_msgw_msg(&w);
		core_call_done(call, 0, &m, NULL);
	}
	orlop_msgw_done(&w);
	obuf_done(b);
}

/* A bytes field as C string. 0, -EINVAL (missing, too long, holds a NUL). */
int admin_get_text(struct core *c, const struct orlop_req *req, uint32_t tag, const char *what,
		   char *buf, size_t size, struct orlop_error *err)
{
	struct orlop_bytes v = orlop_msg_bytes(&c->self->shards[0].host, &req->msg, tag);

	if (!v.p || v.len == 0)
		return orlop_fail(err, EINVAL, 400, "BadRequest", "%s is missing", what);
	if (v.len >= size || memchr(v.p, 0, v.len))
		return orlop_fail(err, EINVAL, 400, "BadRequest", "%s is not valid", what);
	memcpy(buf, v.p, v.len);
	buf[v.len] = '\0';
	return 0;
}

int admin_get_instance(struct core *c, const struct orlop_req *req, struct core_instance **ret,
		       struct orlop_error *err)
{
	char name[256];
	int r = admin_get_text(c, req, ORLOP_ADMIN_T_NAME, "the module's name", name, sizeof(name), err);

	if (r)
		return r;
	*ret = core_instance_find(c, name);
	if (!*ret || !(*ret)->image)
		return orlop_fail(err, ENOENT, 404, "NotFound", "no module %s is loaded; `orlop module list` "
				  "shows those that are", name);
	return 0;
}

/* ---- ops ---------------------------------------------------------------------------------------------- */

struct pending *admin_pending_new(struct core *c, struct orlop_call *call)
{
	struct pending *p = OMEM_NEW(struct pending);

	if (p) {
		p->core = c;
		p->call = call;
	}
	return p;
}

/* Modules in other processes are asked before @answer_now tells of them. */
static int answer_fresh(struct core *c, struct orlop_call *call, orlop_cb answer_now, struct orlop_error *err)
{
	struct pending *p = admin_pending_new(c, call);

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (!c->isolates || core_isolate_refresh(c, answer_now, p))
		answer_now(p);
	return 0;
}

static void status_now(void *arg)
{
	struct pending *p = arg;
	struct core *c = p->core;
	struct obuf b = OBUF_INIT;
	bool ready = true;

	obuf_putc(&b, '{');
	put_text(&b, "version", ORLOP_VERSION);
	put_key(&b, "abi");
	obuf_printf(&b, "\"%u.%u\"", ORLOP_ABI_MAJOR, ORLOP_ABI_MINOR);
	put_num(&b, "pid", (uint64_t)getpid());
	put_num(&b, "uptimeMs", (core_now_mono() - c->start_mono) / 1000000);
	put_text(&b, "dataDir", c->config->data_dir);
	put_text(&b, "config", c->config->path);
	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

		/* Of two with one name, the one that serves counts. */
		ready = ready && (inst->state == CORE_READY || inst->retired || inst->arriving);
	}
	put_key(&b, "ready");
	obuf_puts(&b, ready ? "true" : "false");
	put_num(&b, "loops", c->n_loops);
	put_num(&b, "workers", core_workers_threads(c->workers));
	put_num(&b, "revision", core_cache_applied(c->cache));
	put_num(&b, "endMs", core_config_end_ns(c->config) / 1000000);
	put_key(&b, "modules");
	put_modules(&b, c);
	obuf_putc(&b, '}');
	admin_answer(c, p->call, ORLOP_ADMIN_T_JSON, &b);
	omem_free(p);
}

static int op_status(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		     struct orlop_error *err)
{
	(void)req;
	return answer_fresh(ctx, call, status_now, err);
}

static void list_now(void *arg)
{
	struct pending *p = arg;
	struct obuf b = OBUF_INIT;

	put_modules(&b, p->core);
	admin_answer(p->core, p->call, ORLOP_ADMIN_T_JSON, &b);
	omem_free(p);
}

static int op_list(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		   struct orlop_error *err)
{
	(void)req;
	return answer_fresh(ctx, call, list_now, err);
}

static void put_params(struct obuf *b, struct core_instance *inst)
{
	static const char *const types[] = { "", "string", "int", "bool" };

	put_key(b, "parameters");
	obuf_putc(b, '[');
	for (uint32_t i = 0; i < inst->mod.n_params; i++) {
		const struct orlop_param *d = inst->params[i].def;

		obuf_puts(b, i ? ",{" : "{");
		put_text(b, "name", d->name);
		put_text(b, "type", d->type <= ORLOP_PARAM_BOOL ? types[d->type] : "");
		put_text(b, "value", inst->params[i].value);
		put_text(b, "default", d->def);
		put_key(b, "live");
		obuf_puts(b, d->flags & ORLOP_PARAM_LIVE ? "true" : "false");
		put_text(b, "help", d->help);
		obuf_putc(b, '}');
	}
	obuf_putc(b, ']');
}

static int op_info(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		   struct orlop_error *err)
{
	struct core_instance *inst;
	struct obuf b = OBUF_INIT;
	int r = admin_get_instance(ctx, req, &inst, err);

	if (r)
		return r;
	obuf_putc(&b, '{');
	admin_put_module_head(&b, inst);
	put_text(&b, "summary", inst->mod.summary);
	put_text(&b, "license", inst->image->info.license);
	put_text(&b, "path", inst->image->path);
	put_text(&b, "buildId", inst->image->info.build_id);
	put_key(&b, "abi");
	obuf_printf(&b, "\"%u.%u\"", inst->image->info.abi_major, inst->image->info.abi_minor);
	put_text(&b, "user", inst->user);
	put_num(&b, "shards", inst->n_shards);
	put_list(&b, "provides", inst->provides);
	put_list(&b, "needs", inst->needs);
	put_list(&b, "reads", inst->reads);
	if (inst->asks) {
		put_key(&b, "asks");
		core_asks_put(inst->asks, &b);
	}
	put_params(&b, inst);
	core_look_held(&b, inst);
	obuf_putc(&b, '}');
	admin_answer(ctx, call, ORLOP_ADMIN_T_JSON, &b);
	return 0;
}

static void stats_answer(struct core *c, struct orlop_call *call, struct core_instance *inst)
{
	struct obuf b = OBUF_INIT;

	obuf_putc(&b, '{');
	put_text(&b, "name", inst->name);
	put_text(&b, "state", core_state_name(inst->state));
	put_num(&b, "sinceMs", (core_now_mono() - inst->since_ns) / 1000000);
	core_look_stats(&b, inst);
	obuf_putc(&b, '}');
	admin_answer(c, call, ORLOP_ADMIN_T_JSON, &b);
}

/* A module in another process has told, or has not. */
static void stats_told(void *arg, int status, const char *text, const struct orlop_error *err)
{
	struct pending *p = arg;
	struct core_instance *inst = core_instance_find(p->core, p->name);

	(void)text;
	if (inst && inst->image)
		stats_answer(p->core, p->call, inst);
	else
		core_call_done(p->call, status ? status : -ENOENT, NULL, err);
	omem_free(p);
}

static int op_stats(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		    struct orlop_error *err)
{
	struct core_instance *inst;
	struct pending *p = NULL;
	int r = admin_get_instance(ctx, req, &inst, err);

	if (r)
		return r;
	if (inst->iso && (p = admin_pending_new(ctx, call)) != NULL) {
		(void)snprintf(p->name, sizeof(p->name), "%s", inst->name);
		if (core_isolate_stats(inst, stats_told, p) == 0)
			return 0;
		omem_free(p);
	}
	stats_answer(ctx, call, inst);
	return 0;
}

/* "debug" and so on: what the module logs from now on; "default": what all do. */
static int level_set(struct core *c, const struct orlop_req *req, struct core_instance *inst,
		     struct orlop_error *err)
{
	char word[16];
	int32_t level = 0;
	int r;

	if (!orlop_msg_bytes(&c->self->shards[0].host, &req->msg, ORLOP_ADMIN_T_LEVEL).p)
		return 0;
	r = admin_get_text(c, req, ORLOP_ADMIN_T_LEVEL, "the level", word, sizeof(word), err);
	if (r)
		return r;
	if (strcmp(word, "default") && core_log_level_parse(word, &level))
		return orlop_fail(err, EINVAL, 400, "BadRequest", "there is no log level %s: want error, warn, "
				  "info, debug or default", word);
	if (core_log_set_module(c->log, inst->name, level))
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (inst->iso)
		core_isolate_level(inst, level);
	CLOG(c, INFO, "log_level", "module=%s level=%s", inst->name, word);
	return 0;
}

static int op_debug(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		    struct orlop_error *err)
{
	static const char *const levels[] = { "error", "warn", "info", "debug" };
	struct core *c = ctx;
	struct core_instance *inst;
	struct obuf b = OBUF_INIT;
	const char *level = "none";
	int r = admin_get_instance(c, req, &inst, err);

	if (r == 0)
		r = level_set(c, req, inst, err);
	if (r)
		return r;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		int32_t n;

		if (core_log_level_parse(levels[i], &n) == 0 && core_log_enabled(c->log, inst->name, n))
			level = levels[i];
	}
	obuf_putc(&b, '{');
	put_text(&b, "name", inst->name);
	put_text(&b, "version", inst->image->info.version);
	put_text(&b, "state", core_state_name(inst->state));
	put_num(&b, "sinceMs", (core_now_mono() - inst->since_ns) / 1000000);
	put_text(&b, "path", inst->image->path);
	put_text(&b, "buildId", inst->image->info.build_id);
	put_text(&b, "logLevel", level);
	put_params(&b, inst);
	core_look_stats(&b, inst);
	core_look_messages(&b, inst);
	obuf_putc(&b, '}');
	admin_answer(c, call, ORLOP_ADMIN_T_JSON, &b);
	return 0;
}

static void put_link(void *arg, const struct core_link_stats *s)
{
	struct obuf *b = arg;

	obuf_puts(b, b->data[b->len - 1] == '[' ? "{" : ",{");
	put_text(b, "name", s->name);
	put_num(b, "framesIn", s->frames_in);
	put_num(b, "framesOut", s->frames_out);
	put_num(b, "bytesIn", s->bytes_in);
	put_num(b, "bytesOut", s->bytes_out);
	put_num(b, "packetsIn", s->packets_in);
	put_num(b, "packetsOut", s->packets_out);
	put_num(b, "retransmitted", s->retransmitted);
	put_num(b, "duplicates", s->duplicates);
	put_num(b, "rejected", s->rejected);
	put_num(b, "injected", s->injected);
	put_num(b, "requestsIn", s->requests_in);
	put_num(b, "requestsOut", s->requests_out);
	put_num(b, "refused", s->refused);
	put_num(b, "resets", s->resets);
	put_num(b, "hintsDropped", s->hints_dropped);
	put_num(b, "notesMerged", s->notes_merged);
	put_num(b, "queued", s->queued);
	put_num(b, "queuedPeak", s->queued_peak);
	put_num(b, "open", s->open);
	put_num(b, "openPeak", s->open_peak);
	put_num(b, "p50Ns", s->p50_ns);
	put_num(b, "p99Ns", s->p99_ns);
	obuf_putc(b, '}');
}

static int op_bus(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct core *c = ctx;
	struct obuf b = OBUF_INIT;

	(void)req;
	(void)err;
	obuf_putc(&b, '[');
	core_bus_stats(c->bus, put_link, &b);
	obuf_putc(&b, ']');
	admin_answer(c, call, ORLOP_ADMIN_T_JSON, &b);
	return 0;
}

static int op_metrics(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		      struct orlop_error *err)
{
	struct core *c = ctx;
	struct obuf b = OBUF_INIT;

	(void)req;
	(void)err;
	core_metrics_all(c, &b);
	admin_answer(c, call, ORLOP_ADMIN_T_TEXT, &b);
	return 0;
}

/* After the answer has left: a stop at once would cut it off. */
static void stop_later(void *arg)
{
	struct core *c = arg;

	if (c->end)
		c->end(c->end_arg, NULL);
}

static int op_stop(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		   struct orlop_error *err)
{
	struct core *c = ctx;

	(void)req;
	(void)err;
	core_call_done(call, 0, NULL, NULL);
	(void)core_loop_post_node(c->main, &c->end_post, stop_later, c);
	return 0;
}

static void forwarded(void *arg, int32_t status, const struct orlop_msg *msg,
		      const struct orlop_error *err, uint32_t flags)
{
	struct pending *p = arg;
	struct obuf b = OBUF_INIT;

	if (flags & ORLOP_REPLY_MORE)
		return;		/* parts of a streamed answer have no place here */
	if (status < 0) {
		core_call_done(p->call, status, NULL, err);
	} else {
		core_msg_flatten(&p->core->self->shards[0].host, msg, &b);
		admin_answer(p->core, p->call, ORLOP_ADMIN_T_BODY, &b);
	}
	omem_free(p);
}

static int op_forward(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		      struct orlop_error *err)
{
	struct core *c = ctx;
	const struct orlop_host *h = &c->self->shards[0].host;
	struct orlop_send send = { .size = sizeof(send), .trace = req->trace, .who = req->who };
	int32_t fds[ORLOP_MSG_MAX_FDS];
	struct pending *p;
	char to[256];
	int r = admin_get_text(c, req, ORLOP_ADMIN_T_TO, "the address", to, sizeof(to), err);

	if (r)
		return r;
	p = admin_pending_new(c, call);
	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	send.to = to;
	send.op = (uint32_t)orlop_msg_u64(&req->msg, ORLOP_ADMIN_T_OP, 0);
	send.msg.size = sizeof(send.msg);
	send.msg.body = orlop_msg_bytes(h, &req->msg, ORLOP_ADMIN_T_BODY);
	for (; send.msg.n_fds < req->msg.n_fds && send.msg.n_fds < ORLOP_MSG_MAX_FDS; send.msg.n_fds++) {
		fds[send.msg.n_fds] = req->msg.fds[send.msg.n_fds];
		req->msg.fds[send.msg.n_fds] = -1;
	}
	send.msg.fds = fds;
	if (req->deadline_ns) {
		uint64_t now = core_now_mono();

		send.timeout_ns = req->deadline_ns > now ? req->deadline_ns - now : 1;
	}
	r = core_link_request(c->self->shards[0].link, &send, forwarded, p, NULL);
	if (r) {
		omem_free(p);
		return orlop_fail(err, -r, 0, "", "forward to %s: %s", to, strerrordesc_np(-r));
	}
	return 0;
}

/* ---- the table -------------------------------------------------------------------------------------------- */

const struct orlop_ops *core_admin_ops(void)
{
	static const struct {
		uint32_t	size;
		uint32_t	reserved0;
		orlop_op_fn	op[ORLOP_ADMIN_RELOAD + 1];
	} ops = {
		.size = sizeof(ops),
		.op = {
			[ORLOP_ADMIN_STATUS] = op_status,
			[ORLOP_ADMIN_MODULE_LIST] = op_list,
			[ORLOP_ADMIN_MODULE_INFO] = op_info,
			[ORLOP_ADMIN_MODULE_LOAD] = admin_op_load,
			[ORLOP_ADMIN_MODULE_UNLOAD] = admin_op_unload,
			[ORLOP_ADMIN_MODULE_STATS] = op_stats,
			[ORLOP_ADMIN_BUS_STATS] = op_bus,
			[ORLOP_ADMIN_METRICS] = op_metrics,
			[ORLOP_ADMIN_STOP] = op_stop,
			[ORLOP_ADMIN_FORWARD] = op_forward,
			[ORLOP_ADMIN_MODULE_DEBUG] = op_debug,
			[ORLOP_ADMIN_MODULE_REPLACE] = admin_op_replace,
			[ORLOP_ADMIN_MODULE_SET] = admin_op_set,
			[ORLOP_ADMIN_RELOAD] = admin_op_reload,
		},
	};

	return (const struct orlop_ops *)(const void *)&ops;
}

void core_state_dump(struct core *c)
{
	CLOG(c, INFO, "state", "pid=%d uptime_ms=%llu loops=%u workers=%u revision=%llu", (int)getpid(),
	     (unsigned long long)((core_now_mono() - c->start_mono) / 1000000), c->n_loops,
	     core_workers_threads(c->workers), (unsigned long long)core_cache_applied(c->cache));
	for (uint32_t i = 0; i < c->n_loops; i++) {
		struct core_loop *l = c->loops[i];

		CLOG(c, INFO, "state_loop", "name=%s turns=%llu posts=%llu timers=%llu events=%llu", l->name,
		     (unsigned long long)atomic_load(&l->turns), (unsigned long long)atomic_load(&l->n_ran),
		     (unsigned long long)atomic_load(&l->n_fired),
		     (unsigned long long)atomic_load(&l->n_events));
	}
	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);
		cleanup_obuf struct obuf b = OBUF_INIT;

		core_look_held(&b, inst);
		CLOG(c, INFO, "state_module", "name=%s state=%s shards=%u %s", inst->name,
		     core_state_name(inst->state), inst->n_shards, obuf_cstr(&b));
	}
}
