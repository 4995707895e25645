/*
 * replace_check.c - may this module be replaced, by what is named, and with which parameters? Before anything of it is done.
 */
#include "replace.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "config.h"
#include "life.h"

/* The parameters of @inst that are not defaults, but for those that @cm has already. */
static int params_carry(const struct core_instance *inst, struct core_config_module *cm)
{
	uint32_t given = cm->n_params;

	for (uint32_t i = 0; i < inst->mod.n_params; i++) {
		const struct core_param *p = &inst->params[i];
		bool have = !p->given || !p->value;

		for (uint32_t k = 0; k < given; k++)
			have = have || strcmp(cm->params[k].name, p->def->name) == 0;
		if (have)
			continue;
		if (core_config_param_add(cm, p->def->name, p->value, 0, 0))
			return -ENOMEM;
		cm->params[cm->n_params - 1].carried = true;
	}
	return 0;
}

int core_replace_config(const struct core_instance *old, const struct core_config_module *cm, struct core_config_module *ret)
{
	*ret = (struct core_config_module){ .line = 0 };
	ret->module = omem_strdup(cm && cm->module ? cm->module : old->image->path);
	if (strcmp(old->name, old->class_slash) != 0)
		ret->name = omem_strdup(old->name);
	if (!ret->module || (strcmp(old->name, old->class_slash) != 0 && !ret->name))
		return -ENOMEM;
	for (uint32_t i = 0; cm && i < cm->n_params; i++)
		if (core_config_param_copy(ret, &cm->params[i]))
			return -ENOMEM;
	ret->isolate = cm && cm->isolate_given ? cm->isolate : old->iso != NULL;
	return params_carry(old, ret);
}

int core_replace_may(struct core *c, const char *name, struct core_instance **ret, struct orlop_error *err)
{
	struct core_instance *old = core_instance_find(c, name);

	if (!old)
		return orlop_fail(err, ENOENT, 404, "NotFound", "no module %s is loaded; `orlop module list` shows "
				  "those that are", name);
	if (!old->image)
		return orlop_fail(err, EINVAL, 0, "", "%s is the core itself", name);
	if (c->loader->stopping)
		return orlop_fail(err, ECANCELED, 0, "", "module %s: the daemon is stopping", name);
	if (old->rep)
		return orlop_fail(err, EBUSY, 409, "Conflict", "module %s is being replaced already; wait until that "
				  "is over", old->name);
	if (old->state != CORE_READY || old->job)
		return orlop_fail(err, EBUSY, 409, "Conflict", "module %s is %s; only one that is ready can be replaced",
				  old->name, core_state_name(old->state));
	*ret = old;
	return 0;
}

int core_replace_check_file(struct core_instance *old, const char *module, struct orlop_error *err)
{
	struct core_modinfo info;
	char *path;
	int r = core_loader_path(old->core, module, &path, err);

	if (r)
		return r;
	r = core_image_info(path, &info, err);
	if (r == 0) {
		if (strcmp(info.class_name, old->class_name) != 0)
			r = orlop_fail(err, EINVAL, 400, "BadRequest", "module %s is of class %s, %s of class %s: only "
				       "one of the same class can take its place", old->name, old->class_name, path,
				       info.class_name);
		core_modinfo_done(&info);
	}
	omem_free(path);
	return r;
}

int core_replace_check_pair(struct core_instance *old, struct core_instance *new, struct orlop_error *err)
{
	struct core *c = old->core;
	struct core_instance *other;
	const char *need = "";

	other = core_unload_dependent(old, new, &need);
	if (other)
		return orlop_fail(err, EINVAL, 409, "Conflict", "module %s needs \"%s\", which %s provides and %s does "
				  "not; replace or unload %s first", other->name, need, old->name, new->image->path,
				  other->name);
	for (char **p = new->needs; p && *p; p++) {
		other = core_loader_answerer(c, *p);
		if (strcmp(*p, "core") != 0 && (!other || other == old))
			return orlop_fail(err, ENOENT, 409, "Conflict", "%s needs \"%s\", and no module that runs "
					  "provides it; load that first", new->image->path, *p);
	}
	other = core_instance_find(c, new->name);
	if (other && other != old && strcmp(other->name, new->name) == 0)
		return orlop_fail(err, EEXIST, 409, "AlreadyExists", "module %s is loaded already", new->name);
	return 0;
}
