/*
 * admin_change.c - of what the core answers at its own address: modules loaded, replaced, changed, unloaded.
 */
#include "admin.h"

#include <errno.h>
#include <string.h>

#include <orlop/admin.h>
#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "admin_in.h"
#include "base/ocleanup.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "config.h"
#include "crash.h"
#include "isolate.h"
#include "loader.h"
#include "replace.h"

static void load_done(void *arg, int status, struct core_instance *inst, const struct orlop_error *err)
{
	struct pending *p = arg;
	struct obuf b = OBUF_INIT;

	core_crash_update(p->core);
	if (status) {
		core_call_done(p->call, status, NULL, err);
	} else {
		obuf_putc(&b, '{');
		if (inst)
			admin_put_module_head(&b, inst);
		obuf_putc(&b, '}');
		admin_answer(p->core, p->call, ORLOP_ADMIN_T_JSON, &b);
	}
	omem_free(p);
}

/* Who asked has hung up, or waits no longer: nobody would know that it is there. */
static void load_given_up(void *arg)
{
	struct pending *p = arg;

	core_loader_give_up(p->core, load_done, p);
}

/* "k=v" into the configuration of a module; "name=" and others alike are parameters. */
static int load_param(struct core_config_module *cm, struct orlop_bytes kv, struct orlop_error *err)
{
	cleanup_free char *text = omem_strndup(kv.p, kv.len);
	char *eq = text ? strchr(text, '=') : NULL;

	if (!text)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (!eq || eq == text || strlen(text) != kv.len)
		return orlop_fail(err, EINVAL, 400, "BadRequest", "parameter \"%.80s\": want NAME=VALUE", text);
	*eq = '\0';
	for (uint32_t i = 0; i < cm->n_params; i++)
		if (strcmp(cm->params[i].name, text) == 0)
			return orlop_fail(err, EINVAL, 400, "BadRequest", "parameter %.80s is given twice; give it once", text);
	if (core_config_param_add(cm, text, eq + 1, 0, 0))
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	return 0;
}

/* The parameters of a request into @cm. */
static int get_params(struct core *c, const struct orlop_req *req, struct core_config_module *cm,
		      struct orlop_error *err)
{
	struct orlop_msgr r;
	int e = 0;

	orlop_msgr_init(&r, &c->self->shards[0].host, &req->msg, req->msg.body);
	while (e == 0 && orlop_msgr_next(&r))
		if (r.tag == ORLOP_ADMIN_T_PARAM && r.type == ORLOP_T_BYTES)
			e = load_param(cm, r.bytes, err);
	return e;
}

/* "none" or "process", if the request says so. */
static int get_isolation(struct core *c, const struct orlop_req *req, struct core_config_module *cm,
			 struct orlop_error *err)
{
	char word[16];
	int r;

	if (!orlop_msg_bytes(&c->self->shards[0].host, &req->msg, ORLOP_ADMIN_T_ISOLATION).p)
		return 0;
	r = admin_get_text(c, req, ORLOP_ADMIN_T_ISOLATION, "isolation", word, sizeof(word), err);
	if (r)
		return r;
	cm->isolate_given = true;
	cm->isolate = strcmp(word, "process") == 0;
	if (!cm->isolate && strcmp(word, "none") != 0)
		return orlop_fail(err, EINVAL, 400, "BadRequest", "isolation %s: want none or process", word);
	return 0;
}

int admin_op_load(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		  struct orlop_error *err)
{
	struct core *c = ctx;
	struct core_config_module cm = { .module = NULL };
	struct pending *p;
	char name[4096];
	int e = admin_get_text(c, req, ORLOP_ADMIN_T_NAME, "the module's name", name, sizeof(name), err);

	if (e)
		return e;
	p = admin_pending_new(c, call);
	cm.module = omem_strdup(name);
	if (!p || !cm.module)
		e = orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (e == 0)
		e = get_params(c, req, &cm, err);
	if (e == 0)
		e = get_isolation(c, req, &cm, err);
	if (e == 0)
		e = core_loader_plan(c, &cm, 1, err);
	if (e == 0) {
		core_call_on_cancel(call, load_given_up, p);	/* before: it may be done at once, and with it the call */
		e = core_loader_load(c, &cm, load_done, p, err);
	}
	core_config_module_done(&cm);
	if (e)
		omem_free(p);
	return e;
}

int admin_op_replace(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		     struct orlop_error *err)
{
	struct core *c = ctx;
	struct core_config_module cm = { .module = NULL };
	struct pending *p = NULL;
	char name[256];
	char file[4096];
	int e = admin_get_text(c, req, ORLOP_ADMIN_T_NAME, "the module's name", name, sizeof(name), err);

	if (e == 0 && orlop_msg_bytes(&c->self->shards[0].host, &req->msg, ORLOP_ADMIN_T_FILE).len) {
		e = admin_get_text(c, req, ORLOP_ADMIN_T_FILE, "the module's file", file, sizeof(file), err);
		if (e == 0 && !(cm.module = omem_strdup(file)))
			e = orlop_fail(err, ENOMEM, 0, "", "out of memory");
	}
	if (e == 0)
		e = get_params(c, req, &cm, err);
	if (e == 0)
		e = get_isolation(c, req, &cm, err);
	if (e == 0 && !(p = admin_pending_new(c, call)))
		e = orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (e == 0) {
		core_call_on_cancel(call, load_given_up, p);	/* before: one that refuses to stop ends it at once */
		e = core_loader_replace(c, name, &cm, load_done, p, err);
	}
	core_config_module_done(&cm);
	if (e)
		omem_free(p);
	return e;
}

static void set_told(void *arg, int status, const char *text, const struct orlop_error *err)
{
	struct pending *p = arg;
	struct obuf b = OBUF_INIT;

	if (status) {
		core_call_done(p->call, status, NULL, err);
	} else {
		obuf_printf(&b, "{\"changed\":%s}", text);
		admin_answer(p->core, p->call, ORLOP_ADMIN_T_JSON, &b);
	}
	omem_free(p);
}

/* Of a module in another process. */
static int set_there(struct core *c, struct core_instance *inst, const struct core_config_module *cm,
		     struct orlop_call *call, struct orlop_error *err)
{
	struct pending *p = admin_pending_new(c, call);
	int e;

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	e = core_isolate_set(inst, cm, set_told, p, err);
	if (e)
		omem_free(p);
	return e;
}

int admin_op_set(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		 struct orlop_error *err)
{
	struct core *c = ctx;
	struct core_config_module cm = { .module = NULL };
	struct core_instance *inst;
	struct obuf b = OBUF_INIT;
	uint32_t changed = 0;
	char name[256];
	int e = admin_get_text(c, req, ORLOP_ADMIN_T_NAME, "the module's name", name, sizeof(name), err);

	if (e == 0)
		e = get_params(c, req, &cm, err);
	inst = e == 0 ? core_instance_find(c, name) : NULL;
	if (inst && inst->iso) {
		e = set_there(c, inst, &cm, call, err);
		core_config_module_done(&cm);
		return e;
	}
	if (e == 0)
		e = core_loader_set(c, name, &cm, &changed, err);
	core_config_module_done(&cm);
	if (e)
		return e;
	obuf_printf(&b, "{\"changed\":%u}", changed);
	admin_answer(c, call, ORLOP_ADMIN_T_JSON, &b);
	return 0;
}

int admin_op_reload(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		    struct orlop_error *err)
{
	struct obuf b = OBUF_INIT;
	int e = core_reload(ctx, &b, err);

	(void)req;
	if (e) {
		obuf_done(&b);
		return e;
	}
	admin_answer(ctx, call, ORLOP_ADMIN_T_JSON, &b);
	return 0;
}

int admin_op_unload(void *ctx, const struct orlop_req *req, struct orlop_call *call,
		    struct orlop_error *err)
{
	struct core_instance *inst;
	struct pending *p;
	int r = admin_get_instance(ctx, req, &inst, err);

	if (r)
		return r;
	p = admin_pending_new(ctx, call);
	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	r = core_loader_unload(ctx, inst->name, load_done, p, err);
	if (r)
		omem_free(p);
	return r;
}
