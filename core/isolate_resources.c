/*
 * isolate_resources.c - which resources there are: the parent's list, in the caches of its children; and
 * the API server in a child that makes it.
 */
#include "isolate_proxy.h"
#include "isolate_up.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/omem.h"
#include "cache/cache.h"
#include "log.h"

#define FIELDS_MAX	256u

/* ---- as a message --------------------------------------------------------------------------------------- */

static void put_cstr(struct orlop_msgw *w, uint32_t tag, const char *cstr)
{
	if (cstr)
		orlop_msgw_str(w, tag, cstr);
}

static void put_info(struct orlop_msgw *w, const struct orlop_resource_info *i)
{
	put_cstr(w, CORE_ISO_T_NAME, i->name);
	put_cstr(w, CORE_ISO_T_LABELS, i->group);
	put_cstr(w, CORE_ISO_T_TEXT, i->version);
	put_cstr(w, CORE_ISO_T_EVENT, i->kind);
	put_cstr(w, CORE_ISO_T_VALUE, i->plural);
	put_cstr(w, CORE_ISO_T_REASON, i->prefix);
	orlop_msgw_u64(w, CORE_ISO_T_FLAGS, i->namespaced);
	orlop_msgw_u64(w, CORE_ISO_T_REV, i->schema_gen);
	orlop_msgw_u64(w, CORE_ISO_T_JOURNAL_BYTES, i->journal_bytes);
	orlop_msgw_u64(w, CORE_ISO_T_JOURNAL_NS, i->journal_ns);
	for (uint32_t k = 0; k < i->n_fields; k++)
		put_cstr(w, CORE_ISO_T_FIELD, i->fields[k]);
	for (const char *const *k = i->indexed; k && *k; k++)
		put_cstr(w, CORE_ISO_T_INDEXED, *k);
}

/* One that was read: all its own. */
struct info {
	struct orlop_resource_info pub;
	char		*text[6];
	const char	*fields[FIELDS_MAX];
	const char	*indexed[FIELDS_MAX + 1];
	uint32_t	n_indexed;
};

static void info_free(struct info *i)
{
	if (!i)
		return;
	for (size_t k = 0; k < sizeof(i->text) / sizeof(i->text[0]); k++)
		omem_free(i->text[k]);
	for (uint32_t k = 0; k < i->pub.n_fields; k++)
		omem_free((char *)(uintptr_t)i->fields[k]);
	for (uint32_t k = 0; k < i->n_indexed; k++)
		omem_free((char *)(uintptr_t)i->indexed[k]);
	omem_free(i);
}

static struct info *info_read(const struct orlop_msg *m)
{
	static const uint32_t tags[6] = { CORE_ISO_T_NAME, CORE_ISO_T_LABELS, CORE_ISO_T_TEXT, CORE_ISO_T_EVENT,
					  CORE_ISO_T_VALUE, CORE_ISO_T_REASON };
	struct info *i = OMEM_NEW(struct info);
	struct orlop_msgr r;

	if (!i)
		return NULL;
	for (size_t k = 0; k < 6; k++)
		i->text[k] = core_iso_str(m, tags[k]);
	orlop_msgr_init(&r, NULL, NULL, m->body);
	while (orlop_msgr_next(&r)) {
		bool field = r.tag == CORE_ISO_T_FIELD;
		uint32_t *n = field ? &i->pub.n_fields : &i->n_indexed;

		if ((!field && r.tag != CORE_ISO_T_INDEXED) || r.type != ORLOP_T_BYTES || *n == FIELDS_MAX ||
		    memchr(r.bytes.p, 0, r.bytes.len))
			continue;
		(field ? i->fields : i->indexed)[*n] = omem_strndup(r.bytes.p, r.bytes.len);
		if ((field ? i->fields : i->indexed)[*n])
			++*n;
	}
	if (!i->text[0]) {
		info_free(i);
		return NULL;
	}
	i->pub.size = sizeof(i->pub);
	i->pub.name = i->text[0];
	i->pub.group = i->text[1] ? i->text[1] : "";
	i->pub.version = i->text[2];
	i->pub.kind = i->text[3];
	i->pub.plural = i->text[4];
	i->pub.prefix = i->text[5];
	i->pub.namespaced = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_FLAGS, 0);
	i->pub.schema_gen = (uint32_t)orlop_msg_u64(m, CORE_ISO_T_REV, 0);
	i->pub.journal_bytes = orlop_msg_u64(m, CORE_ISO_T_JOURNAL_BYTES, 0);
	i->pub.journal_ns = orlop_msg_u64(m, CORE_ISO_T_JOURNAL_NS, 0);
	i->pub.fields = i->fields;
	i->pub.indexed = i->n_indexed ? i->indexed : NULL;
	return i;
}

/* ---- the parent ---------------------------------------------------------------------------------------------- */

static void send_one(void *arg, const struct orlop_resource_info *info)
{
	struct core_isolate *iso = arg;
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	put_info(&w, info);
	iso_say(iso, CORE_ISO_RESOURCE, &w);
	orlop_msgw_done(&w);
}

void iso_resources_send(struct core_isolate *iso)
{
	struct orlop_msgw w;

	if (!iso->chan || iso->state < ISO_STARTING)
		return;
	core_cache_list(iso->core->cache, send_one, iso);
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, CORE_ISO_T_NUM, 1);
	iso_say(iso, CORE_ISO_RESOURCE, &w);
	orlop_msgw_done(&w);
}

static void resources_moved(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct core_isolates *all = arg;

	(void)res;
	(void)rev;
	OLIST_FOREACH(n, &all->list)
		iso_resources_send(OLIST_ENTRY(n, struct core_isolate, node));
}

int iso_resources_watch(struct core_isolates *all)
{
	int r = core_cache_open(all->core->cache, "resources", all->core->main, "core", &all->resources, NULL);

	if (r == 0)
		core_cache_watch(all->resources, resources_moved, all);
	return r;
}

void iso_ask_register(struct core_isolate *iso, struct core_iso_in *in, struct orlop_error *err, int *ret)
{
	struct info *i;

	*ret = -EACCES;
	for (char **p = iso->inst->provides; p && *p; p++)
		if (strcmp(*p, "api") == 0)
			*ret = 0;
	if (*ret) {
		(void)orlop_fail(err, EACCES, 403, "Forbidden", "module %s may not register resources: its modinfo "
				 "does not say provides=api", iso->inst->name);
		return;
	}
	i = info_read(&in->msg);
	if (!i)
		*ret = orlop_fail(err, EPROTO, 0, "", "a resource that makes no sense");
	else if (in->type == CORE_ISO_ASK_RETIRE)
		*ret = core_cache_retire(iso->core->cache, i->pub.name);
	else
		*ret = core_cache_register(iso->core->cache, &i->pub, err);
	info_free(i);
}

/* ---- the child ------------------------------------------------------------------------------------------------- */

/* What was said of a resource: to know it again. */
struct known {
	uint64_t	gen;
	size_t		len;
	char		said[];
};

static struct known *known_new(struct orlop_bytes said, uint64_t gen)
{
	struct known *k = omem_alloc(sizeof(*k) + said.len);

	if (k) {
		k->gen = gen;
		k->len = said.len;
		memcpy(k->said, said.p, said.len);
	}
	return k;
}

/* The list is complete: what was not on it is no more. */
static void list_end(struct core_up *up)
{
	uint64_t gen = up->resources_gen++;

	OMAP_FOREACH(&up->resources, e) {
		struct known *k = e->value;

		if (k->gen == gen)
			continue;
		(void)core_cache_retire(up->core->cache, e->key);
		omem_free(omap_del(&up->resources, e->key, e->key_len));
	}
}

void core_up_resource(struct core_up *up, struct core_iso_in *in)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_bytes said = in->msg.body;
	struct info *i;
	struct known *k;
	void *old = NULL;

	if (orlop_msg_u64(&in->msg, CORE_ISO_T_NUM, 0)) {
		list_end(up);
		return;
	}
	i = info_read(&in->msg);
	if (!i)
		return;
	k = omap_get_cstr(&up->resources, i->pub.name);
	if (k && k->len == said.len && memcmp(k->said, said.p, said.len) == 0) {
		k->gen = up->resources_gen;
		info_free(i);
		return;
	}
	k = known_new(said, up->resources_gen);
	if (k && omap_put(&up->resources, i->pub.name, strlen(i->pub.name), k, &old) == 0)
		omem_free(old);
	else
		omem_free(k);
	if (core_cache_register(up->core->cache, &i->pub, &err))
		core_log_text(up->core->log, "core", ORLOP_LOG_ERR, "resource", err.msg);
	orlop_error_done(&err);
	info_free(i);
}

int core_up_register(struct core_up *up, const struct orlop_resource_info *info, struct orlop_error *err)
{
	struct orlop_msgw w;
	int r;

	/* The parent's list was here first: one that comes back after a crash need not ask fifty times. */
	if (core_cache_is_registered(up->core->cache, info))
		return 0;
	orlop_msgw_init(&w, NULL);
	put_info(&w, info);
	r = core_up_ask(up, CORE_ISO_ASK_REGISTER, &w, NULL, err);
	orlop_msgw_done(&w);
	/* At once here, too: who registers goes on to read. The parent's list says the same again. */
	return r ? r : core_cache_register(up->core->cache, info, err);
}

int core_up_retire(struct core_up *up, const char *name)
{
	struct orlop_msgw w;
	int r;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, CORE_ISO_T_NAME, name);
	r = core_up_ask(up, CORE_ISO_ASK_RETIRE, &w, NULL, NULL);
	orlop_msgw_done(&w);
	return r ? r : core_cache_retire(up->core->cache, name);
}
