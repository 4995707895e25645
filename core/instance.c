/*
 * instance.c - struct core_instance: made from an image and its configuration, and freed.
 */
#include "loader.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "asks.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "config.h"
#include "host.h"
#include "isolate.h"
#include "life.h"
#include "work.h"

#define WORK_LIMIT	64u	/* jobs of host->work() at once; ops have a limit of their own */

static char **list_copy(char *const *list)
{
	size_t n = 0;
	char **v;

	while (list && list[n])
		n++;
	v = omem_zalloc_array(n + 1, sizeof(*v));
	for (size_t i = 0; v && i < n; i++) {
		v[i] = omem_strdup(list[i]);
		if (!v[i]) {
			while (i-- > 0)
				omem_free(v[i]);
			omem_free(v);
			return NULL;
		}
	}
	return v;
}

static void list_free(char **list)
{
	for (char **p = list; p && *p; p++)
		omem_free(*p);
	omem_free(list);
}

/* The text the module will see: name, class, user, addresses. */
static int instance_names(struct core_instance *inst, const struct core_modinfo *info,
			  const struct core_config_module *cm)
{
	inst->class_name = omem_strdup(info->class_name);
	/* A class of one: "apiserver", not "apiserver/apiserver". */
	inst->class_slash = strcmp(info->class_name, info->name) == 0 ? omem_strdup(info->name) :
		omem_printf("%s/%s", info->class_name, info->name);
	if (!inst->class_name || !inst->class_slash)
		return -ENOMEM;
	inst->name = omem_strdup(cm->name ? cm->name : inst->class_slash);
	inst->user = info->user && info->user[0] ? omem_strdup(info->user) :
		omem_printf("orlop:%s", inst->class_slash);
	inst->provides = list_copy(info->provides);
	inst->needs = list_copy(info->needs);
	inst->reads = list_copy(info->reads);
	if (!inst->name || !inst->user || !inst->provides || !inst->needs || !inst->reads ||
	    (info->asks && core_asks_parse(info->asks, &inst->asks, NULL)))
		return -ENOMEM;
	inst->who.size = sizeof(inst->who);
	inst->who.user.p = inst->user;
	inst->who.user.len = strlen(inst->user);
	return 0;
}

static int instance_shards(struct core_instance *inst, uint32_t n)
{
	struct core *c = inst->core;
	int r;

	if (n == ORLOP_SHARDS_AUTO || n > c->max_loops)
		n = c->max_loops;
	if (n == 0)
		n = 1;
	inst->shards = omem_zalloc_array(n, sizeof(*inst->shards));
	if (!inst->shards)
		return -ENOMEM;
	inst->n_shards = n;
	for (uint32_t i = 0; i < n; i++) {
		struct core_shard *s = &inst->shards[i];

		s->inst = inst;
		s->n = i;
		s->priv.shard = s;
		core_owner_init(&s->held);
		r = core_loop_get(c, i, &s->loop);
		if (r)
			return r;
		core_host_fill(s);
	}
	return 0;
}

int core_instance_new(struct core *c, struct core_image *img, const struct core_config_module *cm,
		      struct core_instance **ret, struct orlop_error *err)
{
	struct core_instance *inst = OMEM_NEW(struct core_instance);
	const struct orlop_module *m = img->mod;
	int r;

	if (!inst)
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", cm->module);
	olist_init(&inst->node);
	inst->core = c;
	inst->life = &core_life_local;
	inst->number = ++c->next_number;
	/* An older descriptor is shorter: what it does not have stays zero. */
	memcpy(&inst->mod, m, m->size < sizeof(inst->mod) ? m->size : sizeof(inst->mod));
	inst->ops = m->ops;
	if (inst->ops && inst->ops->size > sizeof(struct orlop_ops))
		inst->n_ops = (inst->ops->size - (uint32_t)sizeof(struct orlop_ops)) /
			(uint32_t)sizeof(orlop_op_fn);
	r = instance_names(inst, &img->info, cm);
	if (r == 0)
		r = core_workq_new(c->workers, WORK_LIMIT, &inst->work);
	if (r == 0)
		r = core_workq_new(c->workers, m->concurrency ? m->concurrency : 64, &inst->ops_work);
	if (r == 0)
		r = instance_shards(inst, m->shards);
	if (r)
		r = orlop_fail(err, -r, 0, "", "module %s: %s", cm->module, strerrordesc_np(-r));
	else
		r = core_config_check(c->config && c->config->path ? c->config->path : "", cm, &inst->mod,
				      &inst->params, err);
	if (r) {
		core_instance_free(inst);
		return r;
	}
	inst->image = img;
	inst->since_ns = core_now_mono();
	*ret = inst;
	return 0;
}

void core_instance_free(struct core_instance *inst)
{
	if (!inst)
		return;
	core_isolate_free(inst->iso);
	core_params_free(inst);
	core_workq_free(inst->work);
	core_workq_free(inst->ops_work);
	omem_free(inst->shards);
	omem_free(inst->name);
	omem_free(inst->class_name);
	omem_free(inst->class_slash);
	omem_free(inst->user);
	list_free(inst->provides);
	list_free(inst->needs);
	list_free(inst->reads);
	core_asks_free(inst->asks);
	omem_free(inst);
}

/* The bus runs blocking ops by this; it keeps their order and number itself. */
static int ops_work(void *arg, orlop_cb fn, void *fn_arg)
{
	struct core_shard *s = arg;

	return core_work(s->inst->ops_work, s->loop, &s->held, 0, fn, NULL, fn_arg);
}

int core_shard_open(struct core_shard *s)
{
	struct core_instance *inst = s->inst;
	struct core_link_spec spec = {
		.loop = s->loop,
		.timed = &s->held,
		.who = &inst->who,
		.concurrency = inst->mod.concurrency,
		.work = ops_work,
		.work_arg = s,
	};
	char name[160];

	if (inst->n_shards > 1)
		(void)snprintf(name, sizeof(name), "%s#%u", inst->name, s->n);
	else
		(void)snprintf(name, sizeof(name), "%s", inst->name);
	spec.name = name;
	if (inst->mod.flags & ORLOP_MOD_BLOCKING)
		spec.flags |= CORE_LINK_BLOCKING;
	return core_link_open(inst->core->bus, &spec, &s->link);
}
