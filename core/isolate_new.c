/*
 * isolate_new.c - making and freeing an instance whose module lives in a child: its file, its parameters, how it
 * is shown.
 */
#include "isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "cache/cache.h"
#include "host.h"
#include "isolate_proxy.h"
#include "loader.h"
#include "spawn.h"
#include "work.h"

/* The instance's own health(): what was told last, and a question for next time. */
static void proxy_health(void *ctx, struct orlop_health *h)
{
	struct core_isolate *iso = ctx;

	h->ok = iso->health.ok;
	(void)snprintf(h->text, sizeof(h->text), "%s", iso->health.text);
	if (iso->state == ISO_UP && iso->desc.has & CORE_ISO_HAS_HEALTH && !iso_asked(iso, CORE_ISO_HEALTH))
		(void)iso_ask(iso, CORE_ISO_HEALTH, NULL, ISO_ASK_NS, NULL, NULL);
}

static int proxy_stats(void *ctx, char *buf, size_t size)
{
	struct core_isolate *iso = ctx;

	if (!iso->stats || !iso->stats[0])
		return -1;
	return snprintf(buf, size, "%s", iso->stats) < (int)size ? 0 : -1;
}

bool core_isolate_up(const struct core_instance *inst)
{
	return inst->iso->state == ISO_UP;
}

void core_isolate_put(const struct core_instance *inst, struct obuf *b)
{
	const struct core_isolate *iso = inst->iso;
	char rights[512];

	core_rights_print(&iso->image->info.rights, rights, sizeof(rights));
	obuf_printf(b, ",\"isolation\":\"process\",\"pid\":%d,\"restarts\":%u,\"lastExit\":", iso->pid, iso->restarts);
	obuf_put_json_cstr(b, iso->last_exit);
	obuf_puts(b, ",\"rights\":");
	obuf_put_json_cstr(b, rights);
}

static void image_done(struct core_isolate *iso)
{
	if (!iso->image)
		return;
	core_modinfo_done(&iso->image->info);
	omem_free(iso->image->path);
	omem_free(iso->image);
	iso->image = NULL;
}

/* What the file says, or @like's copy of it; nothing of it is run or mapped here. */
static int image_make(struct core_isolate *iso, const char *path, const struct core_isolate *like,
		      struct orlop_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;
	struct core_image *img = OMEM_NEW(struct core_image);
	cleanup_close int fd = -1;
	int r;

	if (!img)
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", file);
	iso->image = img;
	olist_init(&img->node);
	img->copy_fd = -1;
	img->users = 2;		/* the loader's close does not free it */
	img->path = like ? omem_strdup(path) : realpath(path, NULL);
	if (like && !img->path)
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", file);
	if (img->path)
		fd = like ? fcntl(like->so_fd, F_DUPFD_CLOEXEC, 3) : open(img->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "module file %s: %s", path, strerrordesc_np(errno));
	r = core_modinfo_read(fd, file, &img->info, err);
	if (r == 0)
		r = core_modinfo_abi_check(&img->info, file, err);
	/* Each of its processes maps this one, whatever happens to the file meanwhile. */
	if (r == 0 && !like)
		r = core_image_copy(fd, img, &iso->so_fd, err);
	if (r)
		return r;
	if (like) {
		iso->so_fd = fd;
		fd = -1;
	}
	iso->blank.magic = ORLOP_MODULE_MAGIC;
	iso->blank.size = sizeof(iso->blank);
	iso->blank.name = img->info.name;
	iso->blank.class_name = img->info.class_name;
	iso->blank.param_size = sizeof(struct orlop_param);
	img->mod = &iso->blank;
	return 0;
}

int iso_cm_copy(struct core_config_module *to, const struct core_config_module *from)
{
	to->module = omem_strdup(from->module ? from->module : "");
	to->name = omem_strdup(from->name);
	to->line = from->line;
	to->isolate = from->isolate;
	if (!to->module || (from->name && !to->name))
		return -ENOMEM;
	for (uint32_t i = 0; i < from->n_params; i++)
		if (core_config_param_copy(to, &from->params[i]))
			return -ENOMEM;
	return 0;
}

static int isolates_make(struct core *c)
{
	int r;

	if (c->isolates)
		return 0;
	c->isolates = OMEM_NEW(struct core_isolates);
	if (!c->isolates)
		return -ENOMEM;
	c->isolates->core = c;
	olist_init(&c->isolates->list);
	r = core_timer_new(c->main, NULL, iso_tick, c->isolates, &c->isolates->timer);
	if (r == 0)
		r = core_workq_new(c->workers, 2, &c->isolates->closers);
	if (r == 0)
		r = iso_resources_watch(c->isolates);
	if (r)
		core_isolates_free(c);		/* the next one makes all of it */
	return r;
}

void core_isolates_free(struct core *c)
{
	if (!c->isolates)
		return;
	core_timer_free(c->isolates->timer);
	core_cache_close(c->isolates->resources);
	if (c->isolates->closers)
		core_workq_wait(c->isolates->closers);
	core_workq_free(c->isolates->closers);
	omem_free(c->isolates);
	c->isolates = NULL;
}

static int isolate_make(struct core *c, const char *path, const struct core_isolate *like,
			const struct core_config_module *cm, struct core_instance **ret, struct orlop_error *err)
{
	struct core_isolate *iso = OMEM_NEW(struct core_isolate);
	struct core_config_module bare = { .module = cm->module, .name = cm->name, .line = cm->line };
	struct core_instance *inst;
	int r;

	if (!iso)
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", cm->module);
	olist_init(&iso->node);
	olist_init(&iso->asks);
	olist_init(&iso->leads);
	olist_init(&iso->calls);
	olist_init(&iso->reqs);
	omap_init(&iso->asked);
	omap_init(&iso->topics);
	omap_init(&iso->call_ids);
	omap_init(&iso->req_ids);
	omap_init(&iso->lent);
	iso->core = c;
	iso->so_fd = -1;
	iso->metrics_fd = -1;
	iso->crash_fd = -1;
	iso->health = (struct orlop_health){ .size = sizeof(iso->health), .ok = 1 };
	r = isolates_make(c) || iso_cm_copy(&iso->cm, cm) || core_timer_new(c->main, NULL, iso_timer_due, iso, &iso->timer) ||
		iso_feed_new(iso) ? orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", cm->module) :
		image_make(iso, path, like, err);
	if (r == 0)
		r = core_instance_new(c, iso->image, &bare, &inst, err);
	if (r) {
		core_isolate_free(iso);
		return r;
	}
	inst->iso = iso;
	inst->ctx = iso;
	inst->mod.health = proxy_health;
	inst->mod.stats = proxy_stats;
	inst->life = &core_life_isolated;
	iso->inst = inst;
	inst->ops = iso_relay_ops();
	iso->t0 = core_now_mono();
	olist_append(&c->isolates->list, &iso->node);
	iso_asks_arm(c->isolates);
	r = core_shard_open(&inst->shards[0]);
	if (r) {
		r = orlop_fail(err, -r, 0, "", "cannot open a link to the bus: %s", strerrordesc_np(-r));
	} else {
		core_link_serve(inst->shards[0].link, inst->ops, iso);
		r = iso_spawn(iso, err);
	}
	if (r) {
		(void)orlop_wrap(err, r, "module %s", inst->name);
		core_instance_free(inst);
		return r;
	}
	*ret = inst;
	return 0;
}

int core_isolate_new(struct core *c, const char *path, const struct core_config_module *cm,
		     struct core_instance **ret, struct orlop_error *err)
{
	return isolate_make(c, path, NULL, cm, ret, err);
}

int core_isolate_again(const struct core_instance *inst, const struct core_config_module *cm,
		       struct core_instance **ret, struct orlop_error *err)
{
	return isolate_make(inst->core, inst->image->path, inst->iso, cm, ret, err);
}

void core_isolate_free(struct core_isolate *iso)
{
	if (!iso)
		return;
	olist_del(&iso->node);
	if (iso->child)
		(void)core_child_kill(iso->child, SIGKILL);
	if (iso->inst) {
		iso_asks_end(iso, -ECANCELED, "is gone");
		iso_child_clear(iso);
		iso_relay_end(iso);
		iso_sockets_drop(iso);
		core_link_close(iso->inst->shards[0].link);
		iso->inst->shards[0].link = NULL;
	}
	omap_done(&iso->call_ids);
	omap_done(&iso->req_ids);
	omap_done(&iso->asked);
	iso_topics_free(iso);
	omap_done(&iso->lent);
	core_timer_free(iso->timer);
	iso_feed_stop(iso);
	core_timer_free(iso->feed_timer);
	core_iso_meter_unref(iso->meter);
	omem_free(iso->stats);
	core_iso_desc_done(&iso->desc);
	core_config_module_done(&iso->cm);
	orlop_error_done(&iso->refusal);
	if (iso->so_fd >= 0)
		(void)close(iso->so_fd);
	image_done(iso);
	omem_free(iso);
}
