/*
 * param.c - parameters that change while their module runs.
 *
 * All are looked at before one is changed: known, live, of the right type, and the module has no
 * objection. A reader of another thread may still hold the old text, so it is kept with the instance.
 */
#include "loader.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "config.h"
#include "log.h"

struct core_param_old {
	struct core_param_old *next;
	char		*text;
};

/* One parameter as it will be. */
struct change {
	struct core_param *p;
	char		*text;
	int64_t		num;
	struct core_param_old *old;	/* where the old text goes: there is memory for it */
};

void core_params_free(struct core_instance *inst)
{
	struct core_param_old *o;

	for (uint32_t i = 0; inst->params && i < inst->mod.n_params; i++)
		omem_free(inst->params[i].value);
	omem_free(inst->params);
	inst->params = NULL;
	while ((o = inst->old_values)) {
		inst->old_values = o->next;
		omem_free(o->text);
		omem_free(o);
	}
}

static struct core_param *param_of(const struct core_instance *inst, const char *name)
{
	for (uint32_t i = 0; i < inst->mod.n_params; i++)
		if (strcmp(inst->params[i].def->name, name) == 0)
			return &inst->params[i];
	return NULL;
}

static int refuse(const struct core_instance *inst, const char *name, int r, struct orlop_error *err)
{
	if (!err || !err->err)
		(void)orlop_fail(err, -r, 0, "", "the module refuses it without a reason");
	return orlop_wrap(err, r, "module %s: parameter %s", inst->name, name);
}

/* One of them: may it be? */
static int change_check(struct core_instance *inst, const struct core_config_param *given, struct change *ch,
			struct orlop_error *err)
{
	const char *name = given->name;
	const struct orlop_param *def;
	int r;

	ch->p = param_of(inst, name);
	if (!ch->p)
		return orlop_fail(err, ENOENT, 404, "NotFound", "module %s has no parameter %.80s; `orlop module "
				  "info %s` shows those it has", inst->name, name, inst->name);
	def = ch->p->def;
	if (!(def->flags & ORLOP_PARAM_LIVE))
		return orlop_fail(err, EPERM, 409, "Conflict", "module %s: parameter %s does not change while it "
				  "runs; use `orlop module replace %s %s=%.60s`", inst->name, name, inst->name,
				  name, given->value);
	if (core_config_value(def->type, given->value, &ch->num))
		return orlop_fail(err, EINVAL, 400, "BadRequest", "module %s: parameter %s: \"%.60s\" is not %s",
				  inst->name, name, given->value, core_config_type_word(def->type));
	if (inst->mod.param_validate) {
		r = inst->mod.param_validate(inst->ctx, name, given->value, err);
		if (r < 0)
			return refuse(inst, name, r, err);
	}
	ch->text = omem_strdup(given->value);
	ch->old = OMEM_NEW(struct core_param_old);
	if (!ch->text || !ch->old)
		return orlop_fail(err, ENOMEM, 0, "", "module %s: parameter %s: out of memory", inst->name, name);
	return 0;
}

static bool change_apply(struct core_instance *inst, struct change *ch)
{
	char *before = ch->p->value;
	bool same = before && strcmp(before, ch->text) == 0;

	ch->p->given = true;
	if (same) {
		omem_free(ch->text);
		omem_free(ch->old);
		return false;
	}
	ch->old->text = before;
	ch->old->next = inst->old_values;
	inst->old_values = ch->old;
	atomic_store(&ch->p->num, ch->num);
	atomic_store(&ch->p->value, ch->text);
	if (inst->mod.param_apply)
		inst->mod.param_apply(inst->ctx, ch->p->def->name, ch->text);
	CLOG(inst->core, INFO, "param_set", "name=%s param=%s value=\"%s\"", inst->name, ch->p->def->name, ch->text);
	return true;
}

static int params_set(struct core *c, const char *name, const struct core_config_module *cm, bool apply,
		      uint32_t *ret_changed, struct orlop_error *err)
{
	struct core_instance *inst = core_instance_find(c, name);
	struct change *v;
	uint32_t changed = 0;
	int r = 0;

	if (!inst || !inst->image)
		return orlop_fail(err, ENOENT, 404, "NotFound", "no module %s is loaded; `orlop module list` shows "
				  "those that are", name);
	if (inst->state != CORE_READY)
		return orlop_fail(err, EBUSY, 409, "Conflict", "module %s is %s; set parameters when it is ready",
				  inst->name, core_state_name(inst->state));
	if (!cm->n_params)
		return orlop_fail(err, EINVAL, 400, "BadRequest", "no parameter is given: want NAME=VALUE");
	v = omem_zalloc_array(cm->n_params, sizeof(*v));
	if (!v)
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", name);
	for (uint32_t i = 0; i < cm->n_params && r == 0; i++)
		r = change_check(inst, &cm->params[i], &v[i], err);
	for (uint32_t i = 0; i < cm->n_params; i++) {
		if (r == 0 && apply) {
			changed += change_apply(inst, &v[i]);
		} else {
			omem_free(v[i].text);
			omem_free(v[i].old);
		}
	}
	omem_free(v);
	if (ret_changed)
		*ret_changed = changed;
	return r;
}

int core_loader_set(struct core *c, const char *name, const struct core_config_module *cm,
		    uint32_t *ret_changed, struct orlop_error *err)
{
	return params_set(c, name, cm, true, ret_changed, err);
}

int core_loader_set_check(struct core *c, const char *name, const struct core_config_module *cm,
			  struct orlop_error *err)
{
	return params_set(c, name, cm, false, NULL, err);
}
