/*
 * change.c - change = ( … ) of the configuration: parameters over those of a listed module, modules more or less. So
 * what somebody wants otherwise is a few lines in a file of their own, whoever made the list.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"

/* By the instance's name if it has one, else by what it is. */
static struct core_config_module *listed(struct core_config *c, const struct core_config_module *ch)
{
	const char *want = ch->name ? ch->name : ch->module;

	for (uint32_t i = 0; i < c->n_modules; i++) {
		struct core_config_module *m = &c->modules[i];

		if (!strcmp(m->name ? m->name : m->module, want))
			return m;
	}
	return NULL;
}

static int param_change(struct core_config_module *m, const struct core_config_param *p)
{
	struct core_config_param *to;
	uint32_t i;

	for (i = 0; i < m->n_params && strcmp(m->params[i].name, p->name); i++)
		;
	if (i == m->n_params)
		return core_config_param_copy(m, p);
	to = &m->params[i];
	omem_free(to->value);
	omem_free(to->file);
	to->value = omem_strdup(p->value);
	to->file = omem_strdup(p->file);
	to->type = p->type;
	to->line = p->line;
	return to->value && (to->file || !p->file) ? 0 : -ENOMEM;
}

static int module_change(struct core_config_module *m, const struct core_config_module *ch)
{
	int r = 0;

	if (ch->isolate_said)
		m->isolate = ch->isolate;
	for (uint32_t i = 0; i < ch->n_params && r == 0; i++)
		r = param_change(m, &ch->params[i]);
	return r;
}

static struct core_config_module *module_add(struct core_config *c, const struct core_config_module *ch)
{
	struct core_config_module *m = omem_realloc_array(c->modules, c->n_modules + 1, sizeof(*m));

	if (!m)
		return NULL;
	c->modules = m;
	m += c->n_modules;
	memset(m, 0, sizeof(*m));
	m->line = ch->line;
	m->module = omem_strdup(ch->module);
	m->name = omem_strdup(ch->name);
	c->n_modules++;		/* also half made: it is freed with the others */
	return m->module && (m->name || !ch->name) ? m : NULL;
}

static void module_remove(struct core_config *c, struct core_config_module *m)
{
	core_config_module_done(m);
	c->n_modules--;
	memmove(m, m + 1, (size_t)(c->modules + c->n_modules - m) * sizeof(*m));
}

int core_config_change(struct core_config *c, const struct core_config_module *changes, uint32_t n, struct orlop_error *err)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct core_config_module *ch = &changes[i];
		struct core_config_module *m = listed(c, ch);

		if (ch->off) {
			if (m)
				module_remove(c, m);
			continue;
		}
		if (!m)
			m = module_add(c, ch);
		if (!m || module_change(m, ch))
			return orlop_fail(err, ENOMEM, 0, "", "out of memory while reading the configuration");
	}
	return 0;
}
