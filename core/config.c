/*
 * config.c - reading the configuration file with libconfig.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"
#include "core.h"
#include "log.h"

#define CONFIG_MAX_BYTES	(4u << 20)

static int nomem(struct orlop_error *err)
{
	return orlop_fail(err, ENOMEM, 0, "", "out of memory while reading the configuration");
}

uint64_t core_config_end_ns(const struct core_config *c)
{
	return UINT64_C(25000000000) + c->end_timeout_ns;	/* besides what it waits for requests */
}

int core_config_new(struct core_config **ret)
{
	struct core_config *c = OMEM_NEW(struct core_config);

	if (!c)
		return -ENOMEM;
	c->log_level = ORLOP_LOG_INFO;
	c->start_timeout_ns = UINT64_C(60000000000);
	c->stop_timeout_ns = UINT64_C(30000000000);
	c->hang_timeout_ns = UINT64_C(10000000000);
	c->drain_timeout_ns = UINT64_C(600000000000);
	c->end_timeout_ns = UINT64_C(20000000000);
	*ret = c;
	return 0;
}

void core_config_module_done(struct core_config_module *m)
{
	for (uint32_t i = 0; i < m->n_params; i++) {
		omem_free(m->params[i].name);
		omem_free(m->params[i].value);
		omem_free(m->params[i].file);
	}
	omem_free(m->params);
	omem_free(m->module);
	omem_free(m->name);
	memset(m, 0, sizeof(*m));
}

void core_config_free(struct core_config *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n_modules; i++)
		core_config_module_done(&c->modules[i]);
	for (uint32_t i = 0; i < c->n_levels; i++)
		omem_free(c->levels[i].module);
	omem_free(c->modules);
	omem_free(c->levels);
	omem_free(c->path);
	omem_free(c->data_dir);
	omem_free(c->module_dir);
	omem_free(c->control);
	omem_free(c->exe);
	omem_free(c);
}

int core_config_param_add(struct core_config_module *m, const char *name, const char *value,
			  uint32_t type, uint32_t line)
{
	struct core_config_param *p;

	p = omem_realloc_array(m->params, m->n_params + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	m->params = p;
	p += m->n_params;
	p->name = omem_strdup(name);
	p->value = omem_strdup(value);
	p->type = type;
	p->line = line;
	p->file = NULL;
	p->carried = false;
	if (!p->name || !p->value) {
		omem_free(p->name);
		omem_free(p->value);
		return -ENOMEM;
	}
	m->n_params++;
	return 0;
}

int core_config_param_copy(struct core_config_module *m, const struct core_config_param *from)
{
	struct core_config_param *p;

	if (core_config_param_add(m, from->name, from->value, from->type, from->line))
		return -ENOMEM;
	p = &m->params[m->n_params - 1];
	p->carried = from->carried;
	p->file = omem_strdup(from->file);
	return p->file || !from->file ? 0 : -ENOMEM;
}

/* ---- settings ------------------------------------------------------------------------------------- */

static const char *type_word(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "a number";
	case CONFIG_TYPE_FLOAT:
		return "a fraction";
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_GROUP:
		return "a group { … }";
	case CONFIG_TYPE_ARRAY:
		return "an array [ … ]";
	default:
		return "a list ( … )";
	}
}

/* The file that a setting stands in: this one, or one that it includes. */
static const char *file_of(const struct core_config *c, const config_setting_t *s)
{
	const char *file = config_setting_source_file(s);

	return file ? file : c->path;
}

/* "FILE:LINE: name: " and the rest. */
__attribute__((format(printf, 4, 5)))
static int bad(const struct core_config *c, const config_setting_t *s, struct orlop_error *err,
	       const char *fmt, ...)
{
	const char *name = config_setting_name(s);
	char what[320];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return orlop_fail(err, EINVAL, 0, "", "%s:%u: %s%s%s", file_of(c, s), config_setting_source_line(s),
			  name ? name : "", name ? ": " : "", what);
}

static int get_string(const struct core_config *c, const config_setting_t *s, char **ret,
		      struct orlop_error *err)
{
	const char *v;

	if (config_setting_type(s) != CONFIG_TYPE_STRING)
		return bad(c, s, err, "want a string in quotes, not %s", type_word(s));
	v = config_setting_get_string(s);
	if (!v || !v[0])
		return bad(c, s, err, "is empty");
	omem_free(*ret);
	*ret = omem_strdup(v);
	return *ret ? 0 : nomem(err);
}

static int get_number(const struct core_config *c, const config_setting_t *s, int64_t min, int64_t max,
		      int64_t *ret, struct orlop_error *err)
{
	int type = config_setting_type(s);

	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
		return bad(c, s, err, "want a number, not %s", type_word(s));
	*ret = config_setting_get_int64(s);
	if (*ret < min || *ret > max)
		return bad(c, s, err, "%lld is out of range, want %lld to %lld", (long long)*ret,
			   (long long)min, (long long)max);
	return 0;
}

static int get_level(const struct core_config *c, const config_setting_t *s, int32_t *ret,
		     struct orlop_error *err)
{
	const char *v = config_setting_get_string(s);

	if (!v || core_log_level_parse(v, ret))
		return bad(c, s, err, "want \"error\", \"warn\", \"info\" or \"debug\"");
	return 0;
}

static int read_param(struct core_config *c, struct core_config_module *m, const config_setting_t *s,
		      struct orlop_error *err)
{
	uint32_t type;
	char num[32];
	const char *v = num;

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		type = ORLOP_PARAM_STRING;
		v = config_setting_get_string(s);
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		type = ORLOP_PARAM_INT;
		(void)snprintf(num, sizeof(num), "%lld", (long long)config_setting_get_int64(s));
		break;
	case CONFIG_TYPE_BOOL:
		type = ORLOP_PARAM_BOOL;
		v = config_setting_get_bool(s) ? "true" : "false";
		break;
	default:
		return bad(c, s, err, "a parameter is a string, a number or true/false, not %s",
			   type_word(s));
	}
	for (uint32_t i = 0; i < m->n_params; i++)
		if (strcmp(m->params[i].name, config_setting_name(s)) == 0)
			return bad(c, s, err, "given twice");
	if (core_config_param_add(m, config_setting_name(s), v, type, config_setting_source_line(s)))
		return nomem(err);
	if (!config_setting_source_file(s))
		return 0;
	m->params[m->n_params - 1].file = omem_strdup(config_setting_source_file(s));
	return m->params[m->n_params - 1].file ? 0 : nomem(err);
}

static int read_module(struct core_config *c, const config_setting_t *s, struct core_config_module *m, bool change,
		       struct orlop_error *err)
{
	int n = config_setting_length(s);
	int r = 0;

	if (config_setting_type(s) != CONFIG_TYPE_GROUP)
		return bad(c, s, err, "an entry of modules is a group: { module = \"class/name\"; }");
	m->line = config_setting_source_line(s);
	for (int i = 0; i < n && r == 0; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		const char *name = config_setting_name(e);

		if (strcmp(name, "module") == 0) {
			r = get_string(c, e, &m->module, err);
		} else if (strcmp(name, "name") == 0) {
			r = get_string(c, e, &m->name, err);
		} else if (strcmp(name, "isolation") == 0) {
			const char *v = config_setting_get_string(e);

			if (!v || (strcmp(v, "none") != 0 && strcmp(v, "process") != 0))
				r = bad(c, e, err, "want \"none\" (in the daemon's process) or \"process\" (in one of "
					"its own)");
			else
				m->isolate = strcmp(v, "process") == 0;
			m->isolate_said = true;
		} else if (change && strcmp(name, "off") == 0) {
			if (config_setting_type(e) != CONFIG_TYPE_BOOL)
				return bad(c, e, err, "want true or false, not %s", type_word(e));
			m->off = config_setting_get_bool(e);
		} else if (strcmp(name, "params") == 0) {
			if (config_setting_type(e) != CONFIG_TYPE_GROUP)
				return bad(c, e, err, "want a group { name = value; … }, not %s",
					   type_word(e));
			for (int k = 0; k < config_setting_length(e) && r == 0; k++)
				r = read_param(c, m, config_setting_get_elem(e, (unsigned)k), err);
		} else {
			r = bad(c, e, err, "unknown setting of a module; known: module, name, params, isolation%s", change ? ", off" : "");
		}
	}
	if (r == 0 && !m->module)
		r = bad(c, s, err, "an entry of modules needs module = \"class/name\"");
	return r;
}

static int read_modules(struct core_config *c, const config_setting_t *s, bool change, struct core_config_module **ret,
			uint32_t *ret_n, struct orlop_error *err)
{
	int n = config_setting_length(s);
	int r = 0;

	if (config_setting_type(s) != CONFIG_TYPE_LIST)
		return bad(c, s, err, "want a list ( { module = …; }, … ), not %s", type_word(s));
	if (n > 1024)
		return bad(c, s, err, "%d modules, at most 1024", n);
	*ret = omem_zalloc_array((size_t)n, sizeof(**ret));
	if (!*ret)
		return nomem(err);
	for (int i = 0; i < n && r == 0; i++) {
		++*ret_n;
		r = read_module(c, config_setting_get_elem(s, (unsigned)i), &(*ret)[i], change, err);
	}
	return r;
}

static int read_levels(struct core_config *c, const config_setting_t *s, struct orlop_error *err)
{
	int n = config_setting_length(s);

	if (config_setting_type(s) != CONFIG_TYPE_LIST)
		return bad(c, s, err, "want a list ( { module = …; level = …; }, … )");
	c->levels = omem_zalloc_array((size_t)n, sizeof(*c->levels));
	if (!c->levels)
		return nomem(err);
	for (int i = 0; i < n; i++) {
		config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		config_setting_t *m = NULL;
		config_setting_t *l = NULL;

		if (config_setting_type(e) == CONFIG_TYPE_GROUP) {
			m = config_setting_get_member(e, "module");
			l = config_setting_get_member(e, "level");
		}
		if (!m || !l)
			return bad(c, e, err, "want { module = …; level = …; }");
		if (get_string(c, m, &c->levels[i].module, err))
			return -EINVAL;
		c->n_levels++;
		if (get_level(c, l, &c->levels[i].level, err))
			return -EINVAL;
	}
	return 0;
}

static int read_bus(struct core_config *c, const config_setting_t *s, struct orlop_error *err)
{
	int64_t v = 0;
	int r = 0;

	if (config_setting_type(s) != CONFIG_TYPE_GROUP)
		return bad(c, s, err, "want a group { loss_percent = 0; }");
	for (int i = 0; i < config_setting_length(s) && r == 0; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		const char *name = config_setting_name(e);
		uint32_t *to = strcmp(name, "loss_percent") == 0 ? &c->loss_percent :
			       strcmp(name, "duplicate_percent") == 0 ? &c->dup_percent :
			       strcmp(name, "reorder_percent") == 0 ? &c->reorder_percent : NULL;

		if (!to)
			return bad(c, e, err, "unknown setting of bus; known: loss_percent, "
				   "duplicate_percent, reorder_percent");
		r = get_number(c, e, 0, 90, &v, err);
		*to = (uint32_t)v;
	}
	return r;
}

static int read_setting(struct core_config *c, const config_setting_t *s, struct orlop_error *err)
{
	const char *name = config_setting_name(s);
	int64_t v = 0;
	int r;

	if (strcmp(name, "data_dir") == 0)
		return get_string(c, s, &c->data_dir, err);
	if (strcmp(name, "module_dir") == 0)
		return get_string(c, s, &c->module_dir, err);
	if (strcmp(name, "control") == 0)
		return get_string(c, s, &c->control, err);
	if (strcmp(name, "log_level") == 0)
		return get_level(c, s, &c->log_level, err);
	if (strcmp(name, "log_modules") == 0)
		return read_levels(c, s, err);
	if (strcmp(name, "bus") == 0)
		return read_bus(c, s, err);
	if (strcmp(name, "modules") == 0)
		return read_modules(c, s, false, &c->modules, &c->n_modules, err);
	if (strcmp(name, "change") == 0 || strcmp(name, "up") == 0)
		return 0;	/* read_changes(); of `orlop up` */
	if (strcmp(name, "loops") == 0) {
		r = get_number(c, s, 0, 256, &v, err);
		c->loops = (uint32_t)v;
		return r;
	}
	if (strcmp(name, "start_timeout_s") == 0) {
		r = get_number(c, s, 1, 3600, &v, err);
		c->start_timeout_ns = (uint64_t)v * UINT64_C(1000000000);
		return r;
	}
	if (strcmp(name, "hang_timeout_s") == 0) {
		r = get_number(c, s, 1, 3600, &v, err);
		c->hang_timeout_ns = (uint64_t)v * UINT64_C(1000000000);
		return r;
	}
	if (strcmp(name, "stop_timeout_s") == 0) {
		r = get_number(c, s, 1, 3600, &v, err);
		c->stop_timeout_ns = (uint64_t)v * UINT64_C(1000000000);
		return r;
	}
	if (strcmp(name, "drain_timeout_s") == 0) {
		r = get_number(c, s, 0, 86400, &v, err);
		c->drain_timeout_ns = (uint64_t)v * UINT64_C(1000000000);
		return r;
	}
	if (strcmp(name, "end_timeout_s") == 0) {
		r = get_number(c, s, 0, 3600, &v, err);
		c->end_timeout_ns = (uint64_t)v * UINT64_C(1000000000);
		return r;
	}
	return bad(c, s, err, "unknown setting; known: data_dir, module_dir, control, log_level, "
		   "log_modules, loops, start_timeout_s, stop_timeout_s, drain_timeout_s, end_timeout_s, hang_timeout_s, bus, modules, change");
}

static int read_changes(struct core_config *c, const config_t *cfg, struct orlop_error *err)
{
	const config_setting_t *s = config_lookup(cfg, "change");
	struct core_config_module *list = NULL;
	uint32_t n = 0;
	int r = s ? read_modules(c, s, true, &list, &n, err) : 0;

	if (r == 0)
		r = core_config_change(c, list, n, err);
	for (uint32_t i = 0; i < n; i++)
		core_config_module_done(&list[i]);
	omem_free(list);
	return r;
}

static int read_all(struct core_config *c, config_t *cfg, struct orlop_error *err)
{
	const config_setting_t *root = config_root_setting(cfg);
	int r;

	for (int i = 0; i < config_setting_length(root); i++) {
		r = read_setting(c, config_setting_get_elem(root, (unsigned)i), err);
		if (r)
			return r;
	}
	r = read_changes(c, cfg, err);
	if (r)
		return r;
	if (!c->data_dir)
		return orlop_fail(err, EINVAL, 0, "", "%s: data_dir is missing: add data_dir = "
				  "\"/var/lib/orlop\";", c->path);
	if (c->data_dir[0] != '/')
		return orlop_fail(err, EINVAL, 0, "", "%s: data_dir \"%s\" is not an absolute path",
				  c->path, c->data_dir);
	if (!c->control)
		c->control = omem_printf("%s/orlop.sock", c->data_dir);
	if (!c->module_dir)
		c->module_dir = omem_strdup(ORLOP_MODULE_DIR);
	return c->control && c->module_dir ? 0 : nomem(err);
}

int core_config_read(const char *path, struct core_config **ret, struct orlop_error *err)
{
	struct core_config *c = NULL;
	cleanup_obuf struct obuf text = OBUF_INIT;
	config_t cfg;
	int r;

	r = ofile_read(AT_FDCWD, path, CONFIG_MAX_BYTES, &text);
	if (r == -ENOENT)
		return orlop_fail(err, ENOENT, 0, "", "no configuration file %s: `orlop up` writes one, "
				  "or name another with -c FILE", path);
	if (r)
		return orlop_fail(err, -r, 0, "", "read configuration %s: %s", path, strerrordesc_np(-r));
	if (text.len && memchr(text.data, 0, text.len))
		return orlop_fail(err, EINVAL, 0, "", "%s: not a text file: holds a NUL byte", path);
	if (core_config_new(&c) || !(c->path = omem_strdup(path))) {
		core_config_free(c);
		return nomem(err);
	}
	config_init(&cfg);
	if (config_read_string(&cfg, obuf_cstr(&text)) != CONFIG_TRUE)
		r = orlop_fail(err, EINVAL, 0, "", "%s:%d: %s", config_error_file(&cfg) ? config_error_file(&cfg) : path,
			       config_error_line(&cfg), config_error_text(&cfg));
	else
		r = read_all(c, &cfg, err);
	config_destroy(&cfg);
	if (r) {
		core_config_free(c);
		return r;
	}
	*ret = c;
	return 0;
}
