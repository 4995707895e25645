/*
 * reload.c - the configuration file again, while the daemon runs.
 *
 * What may change then is changed: log levels, time limits, live parameters. What may not is named, with
 * what to do about it. First everything is looked at, so that a mistake leaves all as it was.
 */
#include "admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"
#include "config.h"
#include "isolate.h"
#include "loader.h"
#include "log.h"

struct reload {
	struct core	*core;
	struct core_config *cfg;	/* as read now */
	struct obuf	changed;	/* JSON strings */
	struct obuf	left;
	uint32_t	n_changed;
	uint32_t	n_left;
};

__attribute__((format(printf, 3, 4)))
static void say(struct obuf *list, uint32_t *n, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if ((*n)++)
		obuf_putc(list, ',');
	obuf_put_json_cstr(list, text);
}

/* ---- modules ------------------------------------------------------------------------------------------ */

/* The instance that an entry of the file is, NULL: it does not run. */
static struct core_instance *instance_of(struct core *c, const struct core_config_module *cm)
{
	struct core_instance *found = NULL;
	char *path;
	char *real;

	if (cm->name || !strstr(cm->module, ".so")) {
		found = core_instance_find(c, cm->name ? cm->name : cm->module);
		return found && found->image ? found : NULL;
	}
	if (core_loader_path(c, cm->module, &path, NULL))
		return NULL;
	real = realpath(path, NULL);
	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

		if (real && inst->image && !inst->retired && !inst->arriving && strcmp(inst->image->path, real) == 0)
			found = inst;
	}
	free(real);
	omem_free(path);
	return found;
}

static const char *value_of(const struct core_config_module *cm, const struct orlop_param *def)
{
	for (uint32_t i = 0; i < cm->n_params; i++)
		if (strcmp(cm->params[i].name, def->name) == 0)
			return cm->params[i].value;
	return def->def;
}

/* What differs: live parameters into @set, others are named. */
static int module_diff(struct reload *r, struct core_instance *inst, const struct core_config_module *cm,
		       struct core_config_module *set)
{
	for (uint32_t i = 0; i < inst->mod.n_params; i++) {
		const struct core_param *p = &inst->params[i];
		const char *want = value_of(cm, p->def);
		const char *have = p->value;

		if (strcmp(want ? want : "", have ? have : "") == 0)
			continue;
		if (!(p->def->flags & ORLOP_PARAM_LIVE))
			say(&r->left, &r->n_left, "module %s: parameter %s is \"%s\", the file says \"%s\": `orlop module "
			    "replace %s %s=%s`", inst->name, p->def->name, have ? have : "", want ? want : "",
			    inst->name, p->def->name, want ? want : "");
		else if (core_config_param_add(set, p->def->name, want ? want : "", 0, 0))
			return -ENOMEM;
	}
	return 0;
}

/* One entry of the file; changes something only with @apply. */
static int module_reload(struct reload *r, const struct core_config_module *cm, bool apply, struct orlop_error *err)
{
	struct core_instance *inst = instance_of(r->core, cm);
	struct core_config_module set = { .line = 0 };
	struct core_param *values = NULL;
	int e;

	if (!inst) {
		say(&r->left, &r->n_left, "module %s does not run: `orlop module load %s`", cm->name ? cm->name : cm->module,
		    cm->module);
		return 0;
	}
	/* Unknown names and wrong types, with the line of the file. */
	e = core_config_check(r->cfg->path, cm, &inst->mod, &values, err);
	for (uint32_t i = 0; values && i < inst->mod.n_params; i++)
		omem_free(values[i].value);
	omem_free(values);
	if (e == 0 && module_diff(r, inst, cm, &set))
		e = orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (e == 0 && set.n_params)
		e = !apply ? core_loader_set_check(r->core, inst->name, &set, err) :
			/* In another process the module has its say later: what it refuses it logs. */
			inst->iso ? core_isolate_set(inst, &set, NULL, NULL, err) :
			core_loader_set(r->core, inst->name, &set, NULL, err);
	for (uint32_t i = 0; e == 0 && i < set.n_params; i++)
		say(&r->changed, &r->n_changed, "module %s: %s=%s", inst->name, set.params[i].name, set.params[i].value);
	core_config_module_done(&set);
	return e;
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

static void text_diff(struct reload *r, const char *what, const char *have, const char *want)
{
	if (strcmp(have ? have : "", want ? want : "") != 0)
		say(&r->left, &r->n_left, "%s is \"%s\", the file says \"%s\": restart the daemon", what, have ? have : "",
		    want ? want : "");
}

static void limit_diff(struct reload *r, const char *what, uint64_t *have, uint64_t want)
{
	if (*have == want)
		return;
	*have = want;
	say(&r->changed, &r->n_changed, "%s = %llu", what, (unsigned long long)(want / 1000000000));
}

static int32_t level_of(const struct core_config *c, const char *module)
{
	for (uint32_t i = 0; i < c->n_levels; i++)
		if (strcmp(c->levels[i].module, module) == 0)
			return c->levels[i].level;
	return 0;
}

static void levels_apply(struct reload *r)
{
	struct core *c = r->core;
	struct core_config *old = c->config;
	struct core_config *new = r->cfg;
	struct core_config_level *levels = old->levels;
	uint32_t n = old->n_levels;

	if (old->log_level != new->log_level) {
		core_log_set_level(c->log, new->log_level);
		old->log_level = new->log_level;
		say(&r->changed, &r->n_changed, "log_level");
	}
	for (uint32_t i = 0; i < old->n_levels; i++)
		if (level_of(new, old->levels[i].module) == 0) {
			(void)core_log_set_module(c->log, old->levels[i].module, 0);
			say(&r->changed, &r->n_changed, "log level of %s", old->levels[i].module);
		}
	for (uint32_t i = 0; i < new->n_levels; i++)
		if (level_of(old, new->levels[i].module) != new->levels[i].level) {
			(void)core_log_set_module(c->log, new->levels[i].module, new->levels[i].level);
			say(&r->changed, &r->n_changed, "log level of %s", new->levels[i].module);
		}
	/* The next reading compares with these. */
	old->levels = new->levels;
	old->n_levels = new->n_levels;
	new->levels = levels;
	new->n_levels = n;
}

static void core_diff(struct reload *r)
{
	struct core_config *old = r->core->config;
	struct core_config *new = r->cfg;

	levels_apply(r);
	limit_diff(r, "start_timeout_s", &old->start_timeout_ns, new->start_timeout_ns);
	limit_diff(r, "stop_timeout_s", &old->stop_timeout_ns, new->stop_timeout_ns);
	limit_diff(r, "drain_timeout_s", &old->drain_timeout_ns, new->drain_timeout_ns);
	limit_diff(r, "end_timeout_s", &old->end_timeout_ns, new->end_timeout_ns);
	text_diff(r, "data_dir", old->data_dir, new->data_dir);
	text_diff(r, "control", old->control, new->control);
	text_diff(r, "module_dir", old->module_dir, new->module_dir);
	if (old->loops != new->loops)
		say(&r->left, &r->n_left, "loops is %u, the file says %u: restart the daemon", old->loops, new->loops);
}

/* Modules that run and are not in the file. */
static void others(struct reload *r)
{
	OLIST_FOREACH(n, &r->core->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);
		bool listed = !inst->image || inst->retired || inst->arriving;

		for (uint32_t i = 0; i < r->cfg->n_modules && !listed; i++)
			listed = instance_of(r->core, &r->cfg->modules[i]) == inst;
		if (!listed)
			say(&r->left, &r->n_left, "module %s runs, the file does not list it: `orlop module unload %s`",
			    inst->name, inst->name);
	}
}

static int modules_all(struct reload *r, bool apply, struct orlop_error *err)
{
	int e = 0;

	obuf_reset(&r->changed);
	obuf_reset(&r->left);
	r->n_changed = 0;
	r->n_left = 0;
	for (uint32_t i = 0; i < r->cfg->n_modules && e == 0; i++)
		e = module_reload(r, &r->cfg->modules[i], apply, err);
	return e;
}

int core_reload(struct core *c, struct obuf *out, struct orlop_error *err)
{
	struct reload r = { .core = c };
	int e;

	if (!c->config->path)
		return orlop_fail(err, ENOENT, 0, "", "the daemon has no configuration file");
	e = core_config_read(c->config->path, &r.cfg, err);
	if (e)
		return orlop_wrap(err, e, "nothing is changed");
	obuf_init(&r.changed);
	obuf_init(&r.left);
	e = modules_all(&r, false, err);
	if (e == 0)
		e = modules_all(&r, true, err);
	if (e == 0) {
		core_diff(&r);
		others(&r);
		obuf_printf(out, "{\"changed\":[%s],\"notChanged\":[%s]}", obuf_cstr(&r.changed), obuf_cstr(&r.left));
		CLOG(c, INFO, "reloaded", "changed=%u not_changed=%u", r.n_changed, r.n_left);
	} else {
		(void)orlop_wrap(err, e, "nothing is changed");
	}
	obuf_done(&r.changed);
	obuf_done(&r.left);
	core_config_free(r.cfg);
	return e;
}
