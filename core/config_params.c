/*
 * config_params.c - a module's parameters as configured, against the table of the module: known, of the right type, complete.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "core.h"

int core_config_value(uint32_t type, const char *text, int64_t *ret_num)
{
	*ret_num = 0;
	switch (type) {
	case ORLOP_PARAM_INT:
		return ostr_to_i64(text, strlen(text), ret_num) ? -EINVAL : 0;
	case ORLOP_PARAM_BOOL:
		if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
			*ret_num = 1;
		else if (strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
			return -EINVAL;
		return 0;
	default:
		return 0;
	}
}

const char *core_config_type_word(uint32_t type)
{
	return type == ORLOP_PARAM_INT ? "a number" : type == ORLOP_PARAM_BOOL ? "true or false" :
		"a string in quotes";
}

/* Entry @i of the module's table, whose entries have the size its author knew. */
static const struct orlop_param *param_at(const struct orlop_module *mod, uint32_t i)
{
	return (const struct orlop_param *)(const void *)((const char *)mod->params +
							  (size_t)i * mod->param_size);
}

static int param_bad(const char *file, const struct core_config_module *cm, uint32_t line,
		     struct orlop_error *err, const char *what)
{
	if (line)
		return orlop_fail(err, EINVAL, 0, "", "%s:%u: module %s: %s", file, line, cm->module, what);
	return orlop_fail(err, EINVAL, 0, "", "module %s: %s", cm->module, what);
}

static int param_set(const char *file, const struct core_config_module *cm,
		     const struct orlop_param *def, struct core_param *v, struct orlop_error *err)
{
	const struct core_config_param *given = NULL;
	const char *text = def->def;
	char *copy;
	int64_t num;
	char what[256];

	for (uint32_t i = 0; i < cm->n_params; i++)
		if (strcmp(cm->params[i].name, def->name) == 0)
			given = &cm->params[i];
	v->def = def;
	if (given) {
		text = given->value;
		v->given = true;
		if (given->type && given->type != def->type) {
			(void)snprintf(what, sizeof(what), "parameter %s: want %s", def->name,
				       core_config_type_word(def->type));
			return param_bad(given->file ? given->file : file, cm, given->line, err, what);
		}
	} else if (!text && (def->flags & ORLOP_PARAM_REQUIRED)) {
		(void)snprintf(what, sizeof(what), "parameter %s is required (%s)", def->name,
			       def->help ? def->help : "");
		return param_bad(file, cm, cm->line, err, what);
	}
	if (!text)
		return 0;
	if (core_config_value(def->type, text, &num)) {
		(void)snprintf(what, sizeof(what), "parameter %s: \"%.60s\" is not %s", def->name, text,
			       core_config_type_word(def->type));
		return param_bad(given && given->file ? given->file : file, cm, given ? given->line : cm->line, err, what);
	}
	copy = omem_strdup(text);
	atomic_init(&v->num, num);
	atomic_init(&v->value, copy);
	return copy ? 0 : orlop_fail(err, ENOMEM, 0, "", "out of memory while reading the configuration");
}

/* "unknown parameter mtuu; it has: mtu, bridge" */
static void unknown_put(const struct orlop_module *mod, const char *name, char *buf, size_t size)
{
	size_t at = (size_t)snprintf(buf, size, "unknown parameter %.60s; it has%s", name, mod->n_params ? ": " : " none");

	for (uint32_t i = 0; i < mod->n_params && at < size; i++)
		at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? ", " : "", param_at(mod, i)->name);
	if (at >= size)
		memcpy(buf + size - 4, "...", 4);
}

int core_config_check(const char *file, const struct core_config_module *cm,
		      const struct orlop_module *mod, struct core_param **ret,
		      struct orlop_error *err)
{
	struct core_param *v = omem_zalloc_array(mod->n_params, sizeof(*v));
	char what[256];
	int r = 0;

	if (!v)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory while reading the configuration");
	for (uint32_t i = 0; i < mod->n_params && r == 0; i++)
		r = param_set(file, cm, param_at(mod, i), &v[i], err);
	for (uint32_t k = 0; k < cm->n_params && r == 0; k++) {
		uint32_t i;

		for (i = 0; i < mod->n_params; i++)
			if (strcmp(param_at(mod, i)->name, cm->params[k].name) == 0)
				break;
		if (i == mod->n_params && !cm->params[k].carried) {
			unknown_put(mod, cm->params[k].name, what, sizeof(what));
			r = param_bad(cm->params[k].file ? cm->params[k].file : file, cm, cm->params[k].line, err, what);
		}
	}
	if (r) {
		for (uint32_t i = 0; i < mod->n_params; i++)
			omem_free(v[i].value);
		omem_free(v);
		return r;
	}
	*ret = v;
	return 0;
}
