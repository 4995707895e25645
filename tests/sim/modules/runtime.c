/*
 * runtime.c - a runtime that keeps its containers in the simulated machine (../cluster/machine.h).
 *
 * Each operation takes a while, and may fail before or after it has done its work. What it did stays when
 * orlopd dies in between, as it would with a real engine.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>
#include <orlop/runtime.h>

#include "../cluster/machine.h"
#include "base/olist.h"
#include "base/omem.h"
#include "json/ojson.h"

struct runtime {
	const struct orlop_host *h;
	struct machine	*m;
	struct olist	ops;		/* struct op, under way */
	struct orlop_timer *timer;
};

/* A request that takes a while. */
struct op {
	struct olist	node;
	struct runtime	*r;
	struct orlop_call *call;
	uint32_t	op;
	uint64_t	due;		/* sim_now() */
	bool		done;		/* its work; only the answer is missing */
	bool		fails;
	bool		gone;		/* the caller no longer wants it */
	struct ojson	*req;
	struct ojson	*res;
	char		netns[80];
	uint64_t	cursor;		/* events */
	int		err;
	const char	*why;
};

static void look(struct runtime *r);

static uint64_t now_of(const struct runtime *r)
{
	return sim_now(r->m->w);
}

/* ---- answers -------------------------------------------------------------------------------------------- */

static void op_free(struct op *o)
{
	olist_del(&o->node);
	ojson_unref(o->req);
	ojson_unref(o->res);
	omem_free(o);
}

static const char *op_name(uint32_t op)
{
	static const char *const names[] = {
		[ORLOP_RUNTIME_RUN_SANDBOX] = "run_sandbox", [ORLOP_RUNTIME_STOP_SANDBOX] = "stop_sandbox",
		[ORLOP_RUNTIME_REMOVE_SANDBOX] = "remove_sandbox", [ORLOP_RUNTIME_CREATE_CONTAINER] = "create_container",
		[ORLOP_RUNTIME_START_CONTAINER] = "start_container", [ORLOP_RUNTIME_STOP_CONTAINER] = "stop_container",
		[ORLOP_RUNTIME_REMOVE_CONTAINER] = "remove_container", [ORLOP_RUNTIME_IMAGE_PULL] = "image_pull",
	};

	return op < sizeof(names) / sizeof(names[0]) ? names[op] : NULL;
}

/* What changes something is in the trace. */
static void say(const struct op *o, const char *how)
{
	const char *id = ojson_get_cstr(o->req, "containerId", ojson_get_cstr(o->req, "podSandboxId", ""));

	if (op_name(o->op))
		sim_trace(o->r->m->w, "%s: %s %s %s", sim_proc_name(o->r->m->p), op_name(o->op),
			  *id ? id : ojson_cstr(OJSON_AT(o->req, "config", "metadata", "name"), ""), how);
}

static void answer(struct op *o)
{
	const struct orlop_host *h = o->r->h;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_call *call = o->call;
	struct orlop_msgw w;
	struct orlop_msg m;
	size_t len = 2;
	char *text;
	int e;

	say(o, o->err ? "fails" : o->res && ojson_get(o->res, "podSandboxId") ? ojson_get_cstr(o->res, "podSandboxId", "")
				: o->res && ojson_get(o->res, "containerId") ? ojson_get_cstr(o->res, "containerId", "") : "is done");
	if (o->err) {
		e = orlop_fail(&err, o->err, o->err == ENOENT ? 404 : 0, "", "%s", o->why);
		op_free(o);
		h->call_done(call, e, NULL, &err);
		return;
	}
	text = o->res ? ojson_text(o->res, 0, &len) : omem_strdup("{}");
	orlop_msgw_init(&w, h);
	orlop_msgw_bytes(&w, ORLOP_RUNTIME_T_RESPONSE, text, len);
	if (o->netns[0])
		orlop_msgw_str(&w, ORLOP_RUNTIME_T_NETNS, o->netns);
	m = orlop_msgw_msg(&w);
	op_free(o);
	h->call_done(call, w.err, w.err ? NULL : &m, NULL);
	orlop_msgw_done(&w);
	omem_free(text);
}

/* ---- what is there ---------------------------------------------------------------------------------------- */

static struct ojson *tree(const char *text)
{
	struct ojson *j = NULL;

	(void)ojson_parse(text, strlen(text), &j, NULL);
	return j;
}

static struct ojson *container_doc(const struct runtime *r, const struct container *c)
{
	static const char *const states[] = { "CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED" };
	enum container_state state = machine_container_state(r->m, c);
	struct ojson *j = ojson_new_object();

	(void)ojson_set_cstr(j, "id", c->id);
	(void)ojson_set_cstr(j, "podSandboxId", c->sandbox);
	(void)ojson_set_cstr(j, "state", states[state]);
	(void)ojson_set_cstr(j, "imageRef", c->image);
	(void)ojson_set_cstr(j, "imageId", c->image);
	(void)ojson_set(j, "metadata", tree(c->metadata));
	(void)ojson_set(j, "labels", tree(c->labels));
	(void)ojson_set(j, "annotations", tree(c->annotations));
	(void)ojson_set_i64(j, "startedAt", c->started_wall);
	if (state == CONTAINER_EXITED) {
		(void)ojson_set_i64(j, "finishedAt", c->started_wall + (int64_t)(c->end_at - c->started_at));
		(void)ojson_set_i64(j, "exitCode", c->exit_code);
		(void)ojson_set_cstr(j, "reason", c->exit_code ? "Error" : "Completed");
	}
	return j;
}

static struct ojson *sandbox_doc(const struct sandbox *s)
{
	struct ojson *j = ojson_new_object();

	(void)ojson_set_cstr(j, "id", s->id);
	(void)ojson_set_cstr(j, "state", s->ready ? "SANDBOX_READY" : "SANDBOX_NOTREADY");
	(void)ojson_set(j, "metadata", tree(s->metadata));
	(void)ojson_set(j, "labels", tree(s->labels));
	return j;
}

/* ---- doing -------------------------------------------------------------------------------------------------- */

static const char *part(struct ojson *j, char **ret)
{
	*ret = j ? ojson_text(j, 0, NULL) : omem_strdup("{}");
	return *ret;
}

static void run_sandbox(struct op *o)
{
	struct ojson *conf = ojson_get(o->req, "config");
	char *meta;
	char *labels;
	struct sandbox *s = machine_sandbox_new(o->r->m, ojson_cstr(OJSON_AT(conf, "metadata", "uid"), ""),
						part(ojson_get(conf, "metadata"), &meta),
						part(ojson_get(conf, "labels"), &labels));

	omem_free(meta);
	omem_free(labels);
	(void)ojson_set_cstr(o->res, "podSandboxId", s->id);
	snprintf(o->netns, sizeof(o->netns), "/run/netns/%s", s->id);
}

static void create_container(struct op *o, struct sandbox *s)
{
	struct ojson *conf = ojson_get(o->req, "config");
	struct container *c;
	char *text;

	if (!s || !s->ready) {
		o->err = ENOENT;
		o->why = "the sandbox is not there";
		return;
	}
	c = machine_container_new(o->r->m, s, ojson_cstr(OJSON_AT(conf, "metadata", "name"), ""),
				  ojson_cstr(OJSON_AT(conf, "image", "image"), ""));
	c->metadata = strdup(part(ojson_get(conf, "metadata"), &text));
	omem_free(text);
	c->labels = strdup(part(ojson_get(conf, "labels"), &text));
	omem_free(text);
	c->annotations = strdup(part(ojson_get(conf, "annotations"), &text));
	omem_free(text);
	(void)ojson_set_cstr(o->res, "containerId", c->id);
}

static void list(struct op *o)
{
	struct ojson *out;
	struct container *c;
	struct sandbox *s;
	struct image *i;

	switch (o->op) {
	case ORLOP_RUNTIME_LIST_SANDBOXES:
		out = ojson_ensure_array(o->res, "items");
		for (s = o->r->m->sandboxes; s; s = s->next)
			(void)ojson_append(out, sandbox_doc(s));
		break;
	case ORLOP_RUNTIME_LIST_CONTAINERS:
		out = ojson_ensure_array(o->res, "containers");
		for (c = o->r->m->containers; c; c = c->next)
			(void)ojson_append(out, container_doc(o->r, c));
		break;
	default:
		out = ojson_ensure_array(o->res, "images");
		for (i = o->r->m->images; i; i = i->next) {
			struct ojson *j = ojson_new_object();

			(void)ojson_set_cstr(j, "id", i->name);
			(void)ojson_append_cstr(ojson_ensure_array(j, "repoTags"), i->name);
			(void)ojson_set_i64(j, "size", 1000);
			(void)ojson_append(out, j);
		}
	}
}

static void not_found(struct op *o, const char *why)
{
	o->err = ENOENT;
	o->why = why;
}

/* The work of the operation. */
static void act(struct op *o)
{
	struct machine *m = o->r->m;
	struct sandbox *s = machine_sandbox(m, ojson_get_cstr(o->req, "podSandboxId", ""));
	struct container *c = machine_container(m, ojson_get_cstr(o->req, "containerId", ""));
	const char *image = ojson_cstr(OJSON_AT(o->req, "image", "image"), "");
	struct ojson *j;

	o->done = true;
	switch (o->op) {
	case ORLOP_RUNTIME_VERSION:
		(void)ojson_set_cstr(o->res, "runtimeName", "sim");
		(void)ojson_set_cstr(o->res, "runtimeVersion", "1");
		break;
	case ORLOP_RUNTIME_STATUS:
		j = ojson_new_object();
		(void)ojson_set_cstr(j, "type", "RuntimeReady");
		(void)ojson_set_bool(j, "status", true);
		(void)ojson_append(ojson_ensure_array(ojson_ensure_object(o->res, "status"), "conditions"), j);
		break;
	case ORLOP_RUNTIME_RUN_SANDBOX:
		run_sandbox(o);
		break;
	case ORLOP_RUNTIME_STOP_SANDBOX:
		if (s)
			machine_sandbox_stop(m, s);
		break;
	case ORLOP_RUNTIME_REMOVE_SANDBOX:
		if (s)
			machine_sandbox_remove(m, s);
		break;
	case ORLOP_RUNTIME_SANDBOX_STATUS:
		if (!s) {
			not_found(o, "no such sandbox");
			break;
		}
		(void)ojson_set(o->res, "status", sandbox_doc(s));
		snprintf(o->netns, sizeof(o->netns), "/run/netns/%s", s->id);
		break;
	case ORLOP_RUNTIME_LIST_SANDBOXES:
	case ORLOP_RUNTIME_LIST_CONTAINERS:
	case ORLOP_RUNTIME_IMAGE_LIST:
		list(o);
		break;
	case ORLOP_RUNTIME_CREATE_CONTAINER:
		create_container(o, s);
		break;
	case ORLOP_RUNTIME_START_CONTAINER:
		if (c)
			machine_container_start(m, c, (int64_t)o->r->h->now_wall(o->r->h));
		else
			not_found(o, "no such container");
		break;
	case ORLOP_RUNTIME_STOP_CONTAINER:
		break;		/* by stop_begin(); the answer comes when it has ended */
	case ORLOP_RUNTIME_REMOVE_CONTAINER:
		if (c)
			machine_container_remove(m, c);
		break;
	case ORLOP_RUNTIME_CONTAINER_STATUS:
		if (c)
			(void)ojson_set(o->res, "status", container_doc(o->r, c));
		else
			not_found(o, "no such container");
		break;
	case ORLOP_RUNTIME_IMAGE_STATUS:
		if (!machine_has_image(m, image))
			break;
		j = ojson_ensure_object(o->res, "image");
		(void)ojson_set_cstr(j, "id", image);
		(void)ojson_append_cstr(ojson_ensure_array(j, "repoDigests"), image);
		(void)ojson_set_i64(j, "size", 1000);
		break;
	case ORLOP_RUNTIME_IMAGE_PULL:
		if (!strncmp(image, "missing", 7)) {
			not_found(o, "no such image in the registry");
			break;
		}
		machine_image_add(m, image);
		(void)ojson_set_cstr(o->res, "imageRef", image);
		break;
	default:
		break;
	}
}

/* ---- events ------------------------------------------------------------------------------------------------- */

/* True: answered. */
static bool events_answer(struct op *o)
{
	const struct orlop_host *h = o->r->h;
	struct machine *m = o->r->m;
	struct orlop_call *call = o->call;
	struct ojson *out;
	struct orlop_msgw w;
	struct orlop_msg msg;
	uint64_t i;
	size_t len;
	char *text;

	if (o->cursor > m->seq && o->due > now_of(o->r))
		return false;
	out = ojson_new_array();
	for (i = o->cursor; i <= m->seq; i++) {
		const struct machine_event *e = &m->events[i % MACHINE_EVENTS];
		struct ojson *j = ojson_new_object();

		(void)ojson_set_cstr(j, "containerId", e->container);
		(void)ojson_set_cstr(j, "type", "CONTAINER_STOPPED_EVENT");
		(void)ojson_append(out, j);
	}
	text = ojson_text(out, 0, &len);
	orlop_msgw_init(&w, h);
	orlop_msgw_u64(&w, ORLOP_RUNTIME_T_CURSOR, m->seq + 1);
	if (m->seq - o->cursor + 1 < MACHINE_EVENTS && !sim_chance(m->w, m->op_fail))
		orlop_msgw_bytes(&w, ORLOP_RUNTIME_T_EVENTS, text, len);
	else
		orlop_msgw_u64(&w, ORLOP_RUNTIME_T_RELIST, 1);
	msg = orlop_msgw_msg(&w);
	op_free(o);
	h->call_done(call, w.err, w.err ? NULL : &msg, NULL);
	orlop_msgw_done(&w);
	omem_free(text);
	ojson_unref(out);
	return true;
}

/* ---- time ------------------------------------------------------------------------------------------------------ */

static void op_go(struct op *o)
{
	if (!o->done && !o->fails)
		act(o);
	else if (!o->done && !o->err) {
		o->err = EIO;
		o->why = "simulated failure";
	}
	answer(o);
}

/* Whatever is due; then the timer for the next. */
static void look(struct runtime *r)
{
	uint64_t next = machine_look(r->m);
	bool again = true;

	while (again) {
		again = false;
		OLIST_FOREACH_SAFE(at, tmp, &r->ops) {
			struct op *o = OLIST_ENTRY(at, struct op, node);

			if (o->op == ORLOP_RUNTIME_EVENTS) {
				if (events_answer(o))
					again = true;
			} else if (o->due <= now_of(r)) {
				op_go(o);
				again = true;
			}
			if (again)
				break;	/* the list may have changed */
		}
	}
	OLIST_FOREACH(at, &r->ops) {
		const struct op *o = OLIST_ENTRY(at, struct op, node);

		if (o->due < next)
			next = o->due;
	}
	if (next != UINT64_MAX)
		r->h->timer_set(r->timer, next > now_of(r) ? next - now_of(r) : 1, 0);
}

static void tick(void *arg)
{
	look(arg);
}

static void cancelled(void *arg)
{
	struct op *o = arg;

	o->due = now_of(o->r);
	o->r->h->timer_set(o->r->timer, 1, 0);
}

/* How long an operation takes: ns. */
static uint64_t takes(struct runtime *r, uint32_t op)
{
	struct machine *m = r->m;

	if (op == ORLOP_RUNTIME_IMAGE_PULL)
		return sim_between(m->w, 50, sim_chance(m->w, m->slow * 5) ? 20000 : 1000) * SIM_MS;
	if (sim_chance(m->w, m->slow))
		return sim_between(m->w, 100, 5000) * SIM_MS;
	return sim_between(m->w, 100, 30000) * 1000;
}

/* A container that is asked to stop ends in its own time, at the latest when its grace is over. */
static uint64_t stop_begin(struct op *o)
{
	struct machine *m = o->r->m;
	struct container *c = machine_container(m, ojson_get_cstr(o->req, "containerId", ""));
	uint64_t grace = (uint64_t)ojson_get_i64(o->req, "timeout", 0) * 1000;
	uint64_t ms;

	if (!c || machine_container_state(m, c) != CONTAINER_RUNNING)
		return SIM_MS;
	if (m->on_stop)
		m->on_stop(m->on_stop_arg, c);
	ms = sim_chance(m->w, 100) ? grace : sim_between(m->w, 0, grace < 500 ? grace : 500);
	machine_container_end(m, c, ms * SIM_MS, ms == grace ? 137 : 143);
	return (ms + 1) * SIM_MS;
}

static int begin(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct runtime *r = ctx;
	struct orlop_bytes text = orlop_msg_bytes(r->h, &req->msg, ORLOP_RUNTIME_T_REQUEST);
	struct op *o = OMEM_NEW(struct op);

	if (!o)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	o->r = r;
	o->call = call;
	o->op = req->op;
	o->res = ojson_new_object();
	if (text.len)
		(void)ojson_parse(text.p, text.len, &o->req, NULL);
	olist_append(&r->ops, &o->node);
	if (req->op == ORLOP_RUNTIME_EVENTS) {
		o->cursor = orlop_msg_u64(&req->msg, ORLOP_RUNTIME_T_CURSOR, 0);
		if (!o->cursor)
			o->cursor = r->m->seq + 1;
		o->due = now_of(r) + orlop_msg_u64(&req->msg, ORLOP_RUNTIME_T_WAIT_NS, 0);
	} else if (req->op == ORLOP_RUNTIME_STOP_CONTAINER) {
		o->due = now_of(r) + stop_begin(o);
		o->done = true;
	} else {
		o->due = now_of(r) + takes(r, req->op);
		o->fails = req->op != ORLOP_RUNTIME_CONTAINER_STATUS && sim_chance(r->m->w, r->m->op_fail);
		if (o->fails && sim_chance(r->m->w, 500)) {	/* it works, and says that it did not */
			act(o);
			o->err = EIO;
			o->why = "simulated failure";
		} else if (!o->fails && sim_chance(r->m->w, 500)) {
			act(o);
		}
	}
	r->h->call_on_cancel(call, cancelled, o);
	r->h->timer_set(r->timer, 1, 0);
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static int runtime_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct runtime *r = OMEM_NEW(struct runtime);

	if (!r)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	r->h = h;
	r->m = machine_here();
	olist_init(&r->ops);
	if (!r->m || h->timer_new(h, tick, r, &r->timer)) {
		omem_free(r);
		return orlop_fail(err, EINVAL, 0, "", "only on a simulated machine");
	}
	*ret_ctx = r;
	return 0;
}

static int runtime_start(void *ctx, struct orlop_error *err)
{
	struct runtime *r = ctx;

	(void)err;
	r->h->ready(r->h);
	look(r);
	return 0;
}

/* What is under way is finished at once. */
static int runtime_stop(void *ctx, struct orlop_error *err)
{
	struct runtime *r = ctx;

	(void)err;
	OLIST_FOREACH(at, &r->ops)
		OLIST_ENTRY(at, struct op, node)->due = 0;
	look(r);
	return 0;
}

static void runtime_fini(void *ctx)
{
	struct runtime *r = ctx;

	while (!olist_empty(&r->ops))
		op_free(OLIST_ENTRY(olist_first(&r->ops), struct op, node));
	r->h->timer_free(r->timer);
	omem_free(r);
}

static const struct orlop_runtime_ops ops = {
	.size = sizeof(ops),
	.version = begin, .status = begin, .run_sandbox = begin, .stop_sandbox = begin, .remove_sandbox = begin,
	.sandbox_status = begin, .list_sandboxes = begin, .create_container = begin, .start_container = begin,
	.stop_container = begin, .remove_container = begin, .container_status = begin, .list_containers = begin,
	.events = begin, .image_list = begin, .image_status = begin, .image_pull = begin,
};

ORLOP_MODULE("sim", "runtime", "0.1", "",
	.license = "Apache-2.0",
	.summary = "containers of a simulated machine",
	.ops = &ops,
	.init = runtime_init,
	.start = runtime_start,
	.stop = runtime_stop,
	.fini = runtime_fini);
