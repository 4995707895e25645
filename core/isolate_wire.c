/*
 * isolate_wire.c - packets between a core and the process of an isolated module: reading and writing.
 * Pure; test/fuzz: fuzz/isolate.c.
 */
#include "isolate_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "config.h"
#include "wants.h"

#define MATCHES_MAX	16u
#define LOOPS_MAX	256u

int core_iso_read(const void *p, size_t len, struct core_iso_in *ret)
{
	struct core_iso_head h;

	if (len < sizeof(h))
		return -EPROTO;
	memcpy(&h, p, sizeof(h));
	if (h.magic != CORE_ISO_MAGIC || h.version != CORE_ISO_VERSION || h.len > CORE_ISO_BODY_MAX ||
	    h.len != len - sizeof(h) || h.fields_len > h.len || h.fields_len > ORLOP_MSG_MAX)
		return -EPROTO;
	memset(&ret->msg, 0, sizeof(ret->msg));
	ret->type = h.type;
	ret->id = h.id;
	ret->msg.size = sizeof(ret->msg);
	ret->msg.body.p = (const char *)p + sizeof(h);
	ret->msg.body.len = h.fields_len;
	ret->raw.p = ret->msg.body.p + h.fields_len;
	ret->raw.len = h.len - h.fields_len;
	return 0;
}

/* ---- fields --------------------------------------------------------------------------------------- */

static struct orlop_bytes field(const struct orlop_msg *m, uint32_t tag)
{
	return orlop_msg_bytes(NULL, m, tag);
}

char *core_iso_str(const struct orlop_msg *m, uint32_t tag)
{
	struct orlop_bytes b = field(m, tag);

	if (!b.p || memchr(b.p, 0, b.len))
		return NULL;
	return omem_strndup(b.p, b.len);
}

void core_iso_text(const struct orlop_msg *m, uint32_t tag, char *buf, size_t size)
{
	struct orlop_bytes b = field(m, tag);
	size_t n = b.p && b.len < size ? b.len : b.p ? size - 1 : 0;

	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)b.p[i] < 0x20 || b.p[i] == 0x7f ? '?' : b.p[i];
	buf[n] = '\0';
}

int core_iso_status(const struct orlop_msg *m, struct orlop_error *err)
{
	uint64_t num = orlop_msg_u64(m, CORE_ISO_T_NUM, 0);
	uint64_t http = orlop_msg_u64(m, CORE_ISO_T_HTTP, 0);
	char reason[32];
	char text[512];

	if (num == 0)
		return 0;
	core_iso_text(m, CORE_ISO_T_REASON, reason, sizeof(reason));
	core_iso_text(m, CORE_ISO_T_TEXT, text, sizeof(text));
	return orlop_fail(err, num < 4096 ? (int)num : EPROTO, (uint16_t)(http < 600 ? http : 0), reason, "%s",
			  text[0] ? text : "no reason given");
}

void core_iso_put_status(struct orlop_msgw *w, int status, const struct orlop_error *err)
{
	if (!status)
		return;
	orlop_msgw_u64(w, CORE_ISO_T_NUM, (uint64_t)-status);
	if (!err)
		return;
	orlop_msgw_u64(w, CORE_ISO_T_HTTP, err->http);
	orlop_msgw_str(w, CORE_ISO_T_REASON, err->reason);
	orlop_msgw_str(w, CORE_ISO_T_TEXT, err->msg);
}

static void put_str(struct orlop_msgw *w, uint32_t tag, const char *cstr)
{
	if (cstr)
		orlop_msgw_str(w, tag, cstr);
}

/* A field that may be absent; false: there, but no text, or no memory. */
static bool get_str(const struct orlop_msg *m, uint32_t tag, char **ret)
{
	*ret = core_iso_str(m, tag);
	return *ret || !field(m, tag).p;
}

/* A nested message as one of its own. */
static struct orlop_msg nested(struct orlop_bytes b)
{
	struct orlop_msg m;

	memset(&m, 0, sizeof(m));
	m.size = sizeof(m);
	m.body = b;
	return m;
}

/* ---- SPEC ------------------------------------------------------------------------------------------- */

void core_iso_put_params(struct orlop_msgw *w, const struct core_config_module *cm)
{
	for (uint32_t i = 0; i < cm->n_params; i++) {
		const struct core_config_param *p = &cm->params[i];
		uint32_t at = orlop_msgw_begin(w, CORE_ISO_T_PARAM);

		orlop_msgw_str(w, CORE_ISO_T_NAME, p->name);
		orlop_msgw_str(w, CORE_ISO_T_VALUE, p->value);
		orlop_msgw_u64(w, CORE_ISO_T_NUM, p->type);
		orlop_msgw_u64(w, CORE_ISO_T_LINE, p->line);
		orlop_msgw_u64(w, CORE_ISO_T_FLAGS, p->carried);
		orlop_msgw_end(w, at);
	}
}

void core_iso_put_spec(struct orlop_msgw *w, const struct core_iso_spec *s)
{
	put_str(w, CORE_ISO_T_PATH, s->path);
	put_str(w, CORE_ISO_T_INSTANCE, s->instance);
	put_str(w, CORE_ISO_T_CONFIG, s->config);
	put_str(w, CORE_ISO_T_DATA_DIR, s->data_dir);
	orlop_msgw_u64(w, CORE_ISO_T_SHARDS, s->n_shards);
	orlop_msgw_u64(w, CORE_ISO_T_LINE, s->line);
	orlop_msgw_u64(w, CORE_ISO_T_LOOPS, s->loops);
	orlop_msgw_u64(w, CORE_ISO_T_LEVEL, (uint64_t)s->level);
	orlop_msgw_u64(w, CORE_ISO_T_LOSS, s->loss_percent);
	if (s->module)
		core_iso_put_params(w, s->module);
}

static int spec_param(struct core_config_module *cm, struct orlop_bytes body)
{
	struct orlop_msg m = nested(body);
	char *name = core_iso_str(&m, CORE_ISO_T_NAME);
	char *value = core_iso_str(&m, CORE_ISO_T_VALUE);
	uint64_t type = orlop_msg_u64(&m, CORE_ISO_T_NUM, 0);
	int r = -EPROTO;

	if (name && value && type <= ORLOP_PARAM_BOOL && cm->n_params < CORE_ISO_PARAMS_MAX)
		r = core_config_param_add(cm, name, value, (uint32_t)type,
					  (uint32_t)orlop_msg_u64(&m, CORE_ISO_T_LINE, 0));
	if (r == 0)
		cm->params[cm->n_params - 1].carried = orlop_msg_u64(&m, CORE_ISO_T_FLAGS, 0) != 0;
	omem_free(name);
	omem_free(value);
	return r;
}

int core_iso_get_params(const struct orlop_msg *m, struct core_config_module *cm)
{
	struct orlop_msgr r;
	int e = 0;

	orlop_msgr_init(&r, NULL, NULL, m->body);
	while (e == 0 && orlop_msgr_next(&r))
		if (r.tag == CORE_ISO_T_PARAM && r.type == ORLOP_T_MSG)
			e = spec_param(cm, r.bytes);
	return e;
}

int core_iso_get_spec(const struct orlop_msg *m, struct core_iso_spec *ret)
{
	struct core_iso_spec s = { .module = OMEM_NEW(struct core_config_module) };
	int e = 0;

	if (!s.module)
		return -ENOMEM;
	s.path = core_iso_str(m, CORE_ISO_T_PATH);
	s.data_dir = core_iso_str(m, CORE_ISO_T_DATA_DIR);
	if (!s.path || !s.data_dir || !get_str(m, CORE_ISO_T_INSTANCE, &s.instance) ||
	    !get_str(m, CORE_ISO_T_CONFIG, &s.config))
		e = -EPROTO;
	s.line = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_LINE, 0);
	s.loops = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_LOOPS, 0);
	s.level = (int32_t)orlop_msg_u64(m, CORE_ISO_T_LEVEL, ORLOP_LOG_INFO);
	s.loss_percent = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_LOSS, 0);
	s.n_shards = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_SHARDS, 0);
	if (s.loops > LOOPS_MAX || s.loss_percent > 90)
		e = -EPROTO;
	if (e == 0)
		e = core_iso_get_params(m, s.module);
	if (e == 0) {
		s.module->module = omem_strdup(s.path);
		s.module->name = omem_strdup(s.instance);
		s.module->line = s.line;
		if (!s.module->module || (s.instance && !s.module->name))
			e = -ENOMEM;
	}
	if (e) {
		core_iso_spec_done(&s);
		return e;
	}
	*ret = s;
	return 0;
}

void core_iso_spec_done(struct core_iso_spec *s)
{
	if (s->module) {
		core_config_module_done(s->module);
		omem_free(s->module);
	}
	omem_free(s->path);
	omem_free(s->instance);
	omem_free(s->config);
	omem_free(s->data_dir);
	memset(s, 0, sizeof(*s));
}

/* ---- WANTS ------------------------------------------------------------------------------------------- */

void core_iso_put_wants(struct orlop_msgw *w, const struct core_wants *wants)
{
	for (const struct core_want *x = wants->first; x; x = x->next) {
		uint32_t at = orlop_msgw_begin(w, CORE_ISO_T_WANT);

		orlop_msgw_str(w, CORE_ISO_T_NAME, x->pub.resource);
		put_str(w, CORE_ISO_T_VALUE, x->pub.ns);
		orlop_msgw_u64(w, CORE_ISO_T_FLAGS, x->pub.flags);
		for (uint32_t i = 0; i < x->pub.n_matches; i++) {
			uint32_t in = orlop_msgw_begin(w, CORE_ISO_T_MATCH);

			orlop_msgw_u64(w, CORE_ISO_T_NUM, x->pub.matches[i].label);
			orlop_msgw_str(w, CORE_ISO_T_NAME, x->pub.matches[i].name);
			orlop_msgw_str(w, CORE_ISO_T_VALUE, x->pub.matches[i].value);
			orlop_msgw_end(w, in);
		}
		orlop_msgw_end(w, at);
	}
}

static int get_match(struct orlop_bytes body, struct orlop_feed_match *ret)
{
	struct orlop_msg m = nested(body);
	char *name = core_iso_str(&m, CORE_ISO_T_NAME);
	char *value = core_iso_str(&m, CORE_ISO_T_VALUE);

	if (!name || !value) {
		omem_free(name);
		omem_free(value);
		return -EPROTO;
	}
	ret->size = sizeof(*ret);
	ret->label = orlop_msg_u64(&m, CORE_ISO_T_NUM, 0) != 0;
	ret->name = name;
	ret->value = value;
	return 0;
}

static int get_want(struct orlop_bytes body, struct core_wants *to)
{
	struct orlop_feed_match matches[MATCHES_MAX];
	struct orlop_feed_want pub = { .size = sizeof(pub), .match_size = sizeof(matches[0]), .matches = matches };
	struct orlop_msg m = nested(body);
	char *resource = core_iso_str(&m, CORE_ISO_T_NAME);
	struct core_want *copy;
	struct orlop_msgr r;
	char *ns = NULL;
	int e = resource && get_str(&m, CORE_ISO_T_VALUE, &ns) ? 0 : -EPROTO;

	pub.resource = resource;
	pub.ns = ns;
	pub.flags = (uint32_t)orlop_msg_u64(&m, CORE_ISO_T_FLAGS, 0);
	orlop_msgr_init(&r, NULL, NULL, body);
	while (e == 0 && orlop_msgr_next(&r)) {
		if (r.tag != CORE_ISO_T_MATCH || r.type != ORLOP_T_MSG)
			continue;
		e = pub.n_matches < MATCHES_MAX ? get_match(r.bytes, &matches[pub.n_matches]) : -EPROTO;
		pub.n_matches += e == 0;
	}
	if (e == 0)
		e = core_want_copy(&pub, &copy);
	if (e == 0)
		core_wants_add(to, copy);
	for (uint32_t i = 0; i < pub.n_matches; i++) {
		omem_free((char *)(uintptr_t)matches[i].name);
		omem_free((char *)(uintptr_t)matches[i].value);
	}
	omem_free(ns);
	omem_free(resource);
	return e;
}

int core_iso_get_wants(const struct orlop_msg *m, struct core_wants *ret)
{
	struct orlop_msgr r;
	int e = 0;

	orlop_msgr_init(&r, NULL, NULL, m->body);
	while (e == 0 && orlop_msgr_next(&r))
		if (r.tag == CORE_ISO_T_WANT && r.type == ORLOP_T_MSG)
			e = get_want(r.bytes, ret);
	return e;
}

/* ---- DESCRIBE ----------------------------------------------------------------------------------------- */

void core_iso_put_desc(struct orlop_msgw *w, const struct orlop_module *mod)
{
	uint32_t has = (mod->ops ? CORE_ISO_HAS_OPS : 0) |
		(mod->param_validate || mod->param_apply ? CORE_ISO_HAS_PARAMS : 0) |
		(mod->health ? CORE_ISO_HAS_HEALTH : 0) | (mod->stats ? CORE_ISO_HAS_STATS : 0) |
		(mod->stop ? CORE_ISO_HAS_STOP : 0) | (mod->draining ? CORE_ISO_HAS_DRAINING : 0) |
		(mod->finishing ? CORE_ISO_HAS_FINISHING : 0);

	orlop_msgw_u64(w, CORE_ISO_T_FLAGS, mod->flags);
	orlop_msgw_u64(w, CORE_ISO_T_SHARDS, mod->shards);
	orlop_msgw_u64(w, CORE_ISO_T_CONCURRENCY, mod->concurrency);
	orlop_msgw_u64(w, CORE_ISO_T_HAS, has);
	put_str(w, CORE_ISO_T_LICENSE, mod->license);
	put_str(w, CORE_ISO_T_TEXT, mod->summary);
	for (uint32_t i = 0; i < mod->n_params; i++) {
		const struct orlop_param *p = (const struct orlop_param *)(const void *)
			((const char *)mod->params + (size_t)i * mod->param_size);
		uint32_t at = orlop_msgw_begin(w, CORE_ISO_T_PARAM);

		orlop_msgw_str(w, CORE_ISO_T_NAME, p->name ? p->name : "");
		orlop_msgw_u64(w, CORE_ISO_T_NUM, p->type);
		orlop_msgw_u64(w, CORE_ISO_T_REV, p->flags);
		put_str(w, CORE_ISO_T_VALUE, p->def);
		put_str(w, CORE_ISO_T_TEXT, p->help);
		orlop_msgw_end(w, at);
	}
}

static int desc_param(struct core_iso_desc *d, struct orlop_bytes body)
{
	struct orlop_msg m = nested(body);
	struct orlop_param *p;
	char *name;
	char *def;
	char *help;

	if (d->mod.n_params == CORE_ISO_PARAMS_MAX)
		return -EPROTO;
	p = omem_realloc_array(d->params, d->mod.n_params + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	d->params = p;
	p += d->mod.n_params++;
	memset(p, 0, sizeof(*p));
	name = core_iso_str(&m, CORE_ISO_T_NAME);
	p->name = name;
	if (!get_str(&m, CORE_ISO_T_VALUE, &def))
		return -EPROTO;
	p->def = def;
	if (!get_str(&m, CORE_ISO_T_TEXT, &help))
		return -EPROTO;
	p->help = help;
	p->type = (uint32_t)orlop_msg_u64(&m, CORE_ISO_T_NUM, 0);
	p->flags = (uint32_t)orlop_msg_u64(&m, CORE_ISO_T_REV, 0);
	return name && name[0] && p->type >= ORLOP_PARAM_STRING && p->type <= ORLOP_PARAM_BOOL ? 0 : -EPROTO;
}

int core_iso_get_desc(const struct orlop_msg *m, struct core_iso_desc *ret)
{
	struct core_iso_desc d;
	struct orlop_msgr r;
	int e = 0;

	memset(&d, 0, sizeof(d));
	d.mod.size = sizeof(d.mod);
	d.mod.param_size = sizeof(struct orlop_param);
	d.mod.flags = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_FLAGS, 0);
	d.mod.shards = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_SHARDS, 0);
	d.mod.concurrency = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_CONCURRENCY, 0);
	d.has = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_HAS, 0);
	if (!get_str(m, CORE_ISO_T_LICENSE, &d.license) || !get_str(m, CORE_ISO_T_TEXT, &d.summary))
		e = -EPROTO;
	orlop_msgr_init(&r, NULL, NULL, m->body);
	while (e == 0 && orlop_msgr_next(&r))
		if (r.tag == CORE_ISO_T_PARAM && r.type == ORLOP_T_MSG)
			e = desc_param(&d, r.bytes);
	if (e) {
		core_iso_desc_done(&d);
		return e;
	}
	d.mod.params = d.params;
	d.mod.license = d.license;
	d.mod.summary = d.summary;
	*ret = d;
	return 0;
}

void core_iso_desc_done(struct core_iso_desc *d)
{
	for (uint32_t i = 0; d->params && i < d->mod.n_params; i++) {
		/* Made by us; the table is const for who reads it. */
		omem_free((char *)(uintptr_t)d->params[i].name);
		omem_free((char *)(uintptr_t)d->params[i].def);
		omem_free((char *)(uintptr_t)d->params[i].help);
	}
	omem_free(d->params);
	omem_free(d->license);
	omem_free(d->summary);
	memset(d, 0, sizeof(*d));
}
