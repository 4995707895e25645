/*
 * image.c - the images of this machine: what they are called, what they are made of.
 *
 *   images/HEX.json   one image: config, tags, digests, layers (directory names), size
 *   l/NAME            an unpacked layer; NAME is the first 24 hex digits of its diffID
 *   l/empty           for images without layers
 *   l/.points…        below all of them: what is mounted on (rootfs.c)
 */
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

void image_free(struct image *img)
{
	if (!img)
		return;
	ojson_unref(img->config);
	ojson_unref(img->tags);
	ojson_unref(img->digests);
	ojson_unref(img->layers);
	ojson_unref(img->blobs);
	omem_free(img);
}

static bool list_has(const struct ojson *list, const char *text)
{
	OJSON_FOREACH_ELEM(i, e, list) {
		if (ojson_string_is(e, text))
			return true;
	}
	return false;
}

struct image *image_find(struct oci *o, const char *ref)
{
	struct obuf name = OBUF_INIT;
	struct image *found = omap_get_cstr(&o->images, ref);
	size_t len = strlen(ref);

	if (found || !len)
		return found;
	if (len >= 12 && len <= 64 && strspn(ref, "0123456789abcdef") == len) {
		OMAP_FOREACH(&o->images, e)
			if (!strncmp(e->key + 7, ref, len))
				return e->value;
	}
	if (!imgref_normalize(ref, &name)) {
		OMAP_FOREACH(&o->images, e) {
			struct image *img = e->value;

			if (list_has(img->tags, name.data) || list_has(img->digests, name.data)) {
				found = img;
				break;
			}
		}
	}
	obuf_done(&name);
	return found;
}

int image_save(struct oci *o, const struct image *img)
{
	cleanup_free char *path = path_of(o, "images/%s.json", img->id + 7);
	cleanup_free char *text = NULL;
	struct ojson *j = ojson_new_object();
	size_t len = 0;

	if (j) {
		(void)ojson_set_cstr(j, "id", img->id);
		(void)ojson_set(j, "config", ojson_ref(img->config));
		(void)ojson_set(j, "tags", ojson_ref(img->tags));
		(void)ojson_set(j, "digests", ojson_ref(img->digests));
		(void)ojson_set(j, "layers", ojson_ref(img->layers));
		if (img->blobs)
			(void)ojson_set(j, "blobs", ojson_ref(img->blobs));
		(void)ojson_set_i64(j, "size", (int64_t)img->size);
		text = ojson_text(j, 0, &len);
		ojson_unref(j);
	}
	if (!path || !text)
		return -ENOMEM;
	return ofile_write_atomic(AT_FDCWD, path, text, len, 0600);
}

/* Take @tag from whoever has it, give it to @img. */
static int name_give(struct oci *o, struct image *img, const char *list_key, const char *text)
{
	struct ojson *mine = *list_key == 't' ? img->tags : img->digests;

	OMAP_FOREACH(&o->images, e) {
		struct image *other = e->value;
		struct ojson *list = *list_key == 't' ? other->tags : other->digests;
		size_t i;
		int r;

		for (i = 0; i < ojson_count(list); i++) {
			if (!ojson_string_is(ojson_index(list, i), text))
				continue;
			if (other == img)
				return 0;
			(void)ojson_remove(list, i);
			r = image_save(o, other);
			if (r)	/* after a restart the name would be that one's again, or nobody's */
				OLOG(o->h, WARN, "image_not_saved", "image=%s name=%s err=%d ignoring=1", other->id, text, r);
			break;
		}
	}
	return ojson_append_cstr(mine, text);
}

/* What oci-unpack printed becomes an image (a new one, or names for one that is there). */
int image_register(struct oci *o, const struct ojson *said, const char *name, struct image **ret)
{
	const char *id = ojson_get_cstr(said, "id", "");
	struct image *img = omap_get_cstr(&o->images, id);
	struct obuf digest = OBUF_INIT;
	size_t name_len = imgref_name_len(name);
	int e = 0;

	if (!img) {
		img = OMEM_NEW(struct image);
		if (!img)
			return -ENOMEM;
		snprintf(img->id, sizeof(img->id), "%s", id);
		img->config = ojson_ref(ojson_get(said, "config"));
		img->layers = ojson_ref(ojson_get(said, "layers"));
		img->blobs = ojson_ref(ojson_get_array(said, "blobs"));
		img->tags = ojson_new_array();
		img->digests = ojson_new_array();
		img->size = (uint64_t)ojson_get_i64(said, "size", 0);
		if (strlen(id) != 71 || !img->config || !img->layers || !img->tags || !img->digests ||
		    omap_put_cstr(&o->images, img->id, img)) {
			image_free(img);
			return -EINVAL;
		}
	}
	obuf_append(&digest, name, name_len);
	obuf_printf(&digest, "@%s", ojson_get_cstr(said, "digest", ""));
	e = obuf_err(&digest);
	if (!e && name[name_len] == ':' && !strchr(name, '@'))
		e = name_give(o, img, "tags", name);
	if (!e)
		e = name_give(o, img, "digests", digest.data);
	obuf_done(&digest);
	if (!e)
		e = image_save(o, img);
	*ret = img;
	return e;
}

static int image_load(struct oci *o, int dirfd, const char *name)
{
	cleanup_ojson struct ojson *j = NULL;
	struct obuf b = OBUF_INIT;
	struct image *img;
	int e = ofile_read(dirfd, name, 4u << 20, &b);

	if (!e)
		e = ojson_parse(b.data, b.len, &j, NULL);
	obuf_done(&b);
	if (e || strlen(ojson_get_cstr(j, "id", "")) != 71 || !ojson_get_array(j, "layers"))
		return e ? e : -EINVAL;
	img = OMEM_NEW(struct image);
	if (!img)
		return -ENOMEM;
	snprintf(img->id, sizeof(img->id), "%s", ojson_get_cstr(j, "id", ""));
	img->config = ojson_ref(ojson_get(j, "config"));
	img->tags = ojson_ref(ojson_ensure_array(j, "tags"));
	img->blobs = ojson_ref(ojson_get_array(j, "blobs"));
	img->digests = ojson_ref(ojson_ensure_array(j, "digests"));
	img->layers = ojson_ref(ojson_get(j, "layers"));
	img->size = (uint64_t)ojson_get_i64(j, "size", 0);
	if (omap_put_cstr(&o->images, img->id, img)) {
		image_free(img);
		return -ENOMEM;
	}
	return 0;
}

int images_load(struct oci *o, struct orlop_error *err)
{
	cleanup_free char *dir = path_of(o, "images");
	cleanup_free char *empty = path_of(o, "l/empty");
	cleanup_free char *tmp = path_of(o, "tmp");
	cleanup_dir DIR *dp = NULL;
	struct dirent *d;
	int e;

	if (!dir || !empty || !tmp)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	/* what a pull left when it was cut off */
	(void)ofile_remove_tree(AT_FDCWD, tmp);
	e = ofile_mkdir_p(dir, 0700);
	if (!e)
		e = ofile_mkdir_p(empty, 0755);
	if (!e)
		e = ofile_mkdir_p(tmp, 0700);
	if (e)
		return orlop_fail(err, -e, 0, "", "cannot make directories under %s", o->root);
	e = points_make(o->root, err);
	if (e)
		return e;
	dp = opendir(dir);
	while (dp && (d = readdir(dp))) {
		size_t len = strlen(d->d_name);

		if (len != 69 || strcmp(d->d_name + 64, ".json"))
			continue;
		e = image_load(o, dirfd(dp), d->d_name);
		if (e)
			OLOG(o->h, WARN, "image_ignored", "file=%s/%s errno=%d", dir, d->d_name, -e);
	}
	return 0;
}

static struct ojson *image_json(const struct oci *o, const struct image *img)
{
	struct ojson *j = ojson_new_object();
	const char *user;
	size_t len;

	if (!j)
		return NULL;
	user = ojson_cstr(OJSON_AT(img->config, "config", "User"), "");
	len = strcspn(user, ":");
	(void)ojson_set_cstr(j, "id", img->id);
	(void)ojson_set(j, "repoTags", ojson_ref(img->tags));
	(void)ojson_set(j, "repoDigests", ojson_ref(img->digests));
	(void)ojson_set_i64(j, "size", (int64_t)img->size);
	OJSON_FOREACH_ELEM(i, t, img->tags)
		if (list_has(o->pinned, ojson_cstr(t, "")))
			(void)ojson_set_bool(j, "pinned", true);
	if (len && strspn(user, "0123456789") == len) {
		struct ojson *uid = ojson_ensure_object(j, "uid");
		struct obuf b = OBUF_INIT;

		obuf_append(&b, user, len);
		(void)ojson_set_cstr(uid, "value", obuf_cstr(&b));
		obuf_done(&b);
	} else if (len) {
		(void)ojson_set_string(j, "username", user, len);
	}
	return j;
}

OCI_OP(op_image_list)
{
	struct oci *o = ctx;
	struct ojson *out = ojson_new_object();
	struct ojson *list = out ? ojson_ensure_array(out, "images") : NULL;

	(void)req;
	if (!list) {
		ojson_unref(out);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	OMAP_FOREACH(&o->images, e)
		(void)ojson_append(list, image_json(o, e->value));
	reply_json(o, call, out, NULL);
	return 0;
}

OCI_OP(op_image_status)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct ojson *out;
	struct obuf name = OBUF_INIT;
	struct image *img;
	const char *ref;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	ref = ojson_cstr(OJSON_AT(r, "image", "image"), "");
	img = image_find(o, ref);
	e = img ? 0 : imgref_normalize(ref, &name);
	obuf_done(&name);
	if (e == -EINVAL)
		return orlop_fail(err, EINVAL, 0, "InvalidImageName", "couldn't parse image name \"%s\": invalid reference format",
				  ref);
	out = ojson_new_object();
	if (out && img)
		(void)ojson_set(out, "image", image_json(o, img));
	if (out && img && ojson_get_bool(r, "verbose", false)) {
		/* as containerd: the image's own configuration */
		(void)ojson_set(ojson_ensure_object(out, "info"), "imageSpec", ojson_ref(img->config));
		(void)ojson_set(ojson_ensure_object(out, "info"), "layers", ojson_ref(img->layers));
	}
	reply_json(o, call, out, NULL);	/* CRI: absent image, empty answer */
	return 0;
}

static bool layer_used(struct oci *o, const char *layer, const struct image *but)
{
	OMAP_FOREACH(&o->images, e) {
		const struct image *img = e->value;

		if (img != but && list_has(img->layers, layer))
			return true;
	}
	return false;
}

static bool image_used(struct oci *o, const struct image *img)
{
	OMAP_FOREACH(&o->containers, e) {
		const struct container *c = e->value;

		if (!strcmp(c->image_id, img->id) || imagevols_use(o, c->config, img))
			return true;
	}
	return false;
}

/* Directories to delete, on a worker. */
struct delete_job {
	struct oci	*o;
	struct orlop_call *call;
	struct ojson	*paths;		/* only the worker touches it */
};

static void delete_work(void *arg)
{
	struct delete_job *j = arg;

	OJSON_FOREACH_ELEM(i, p, j->paths)
		(void)ofile_remove_tree(AT_FDCWD, ojson_cstr(p, ""));
}

static void delete_done(void *arg)
{
	struct delete_job *j = arg;

	ojson_unref(j->paths);
	reply_json(j->o, j->call, NULL, NULL);
	omem_free(j);
}

static void gc_work(void *arg)
{
	delete_work(arg);
}

static void gc_done(void *arg)
{
	struct delete_job *j = arg;

	ojson_unref(j->paths);
	omem_free(j);
}

void layers_gc(struct oci *o)
{
	cleanup_free char *dir = path_of(o, "l");
	cleanup_dir DIR *dp = dir && !o->n_pulling ? opendir(dir) : NULL;
	struct delete_job *j = OMEM_NEW(struct delete_job);
	struct dirent *d;

	o->gc_wanted = !dp;
	if (j)
		j->paths = ojson_new_array();
	while (dp && j && j->paths && (d = readdir(dp))) {
		cleanup_free char *path = NULL;
		cleanup_free char *away = NULL;

		if (d->d_name[0] == '.' || !strcmp(d->d_name, "empty") || layer_used(o, d->d_name, NULL))
			continue;
		/* away at once: a fetch that begins now must not take it for one that is there */
		path = path_of(o, "l/%s", d->d_name);
		away = path_of(o, "trash/layer-%s", d->d_name);
		if (path && away)
			(void)ojson_append_cstr(j->paths, rename(path, away) ? path : away);
	}
	if (j && ojson_count(j->paths))
		OLOG(o->h, INFO, "layers_removed", "n=%zu", ojson_count(j->paths));
	if (j && (!ojson_count(j->paths) || o->h->work(o->h, 1, gc_work, gc_done, j)))
		gc_done(j);
}

/* Of several names one goes, the image stays. True if that was it. */
static bool name_remove(struct oci *o, struct image *img, const char *ref)
{
	struct obuf name = OBUF_INIT;
	bool done = false;
	size_t i;

	if (ojson_count(img->tags) > 1 && !imgref_normalize(ref, &name)) {
		for (i = 0; i < ojson_count(img->tags) && !done; i++)
			if (ojson_string_is(ojson_index(img->tags, i), name.data))
				done = !ojson_remove(img->tags, i) && !image_save(o, img);
	}
	obuf_done(&name);
	return done;
}

OCI_OP(op_image_remove)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	cleanup_free char *file = NULL;
	struct delete_job *j;
	struct image *img;
	const char *ref;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	ref = ojson_cstr(OJSON_AT(r, "image", "image"), "");
	img = image_find(o, ref);
	if (!img || name_remove(o, img, ref)) {
		reply_json(o, call, NULL, NULL);
		return 0;
	}
	if (image_used(o, img))
		return orlop_fail(err, EBUSY, 409, "Conflict", "image \"%s\" is in use by a container", ref);
	j = OMEM_NEW(struct delete_job);
	file = path_of(o, "images/%s.json", img->id + 7);
	if (!j || !file || !(j->paths = ojson_new_array())) {
		omem_free(j);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	j->o = o;
	j->call = call;
	(void)unlink(file);
	o->gc_wanted = o->n_pulling;	/* what is fetched now may count on its layers */
	OJSON_FOREACH_ELEM(i, l, o->n_pulling ? NULL : img->layers) {
		const char *name = ojson_cstr(l, "");
		cleanup_free char *dir = path_of(o, "l/%s", name);
		cleanup_free char *away = path_of(o, "trash/layer-%s", name);

		if (dir && away && !layer_used(o, name, img))
			(void)ojson_append_cstr(j->paths, rename(dir, away) ? dir : away);
	}
	omap_del(&o->images, img->id, strlen(img->id));
	image_free(img);
	if (o->h->work(o->h, 1, delete_work, delete_done, j)) {
		delete_work(j);
		delete_done(j);
	}
	return 0;
}

OCI_OP(op_image_fs_info)
{
	struct oci *o = ctx;
	struct ojson *out = ojson_new_object();
	struct ojson *list = out ? ojson_ensure_array(out, "imageFilesystems") : NULL;
	struct ojson *fs = ojson_new_object();
	uint64_t used = 0;
	struct statvfs vfs;

	(void)req;
	if (!list || !fs) {
		ojson_unref(out);
		ojson_unref(fs);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	OMAP_FOREACH(&o->images, e)
		used += ((const struct image *)e->value)->size;
	(void)ojson_set_i64(fs, "timestamp", (int64_t)o->h->now_wall(o->h));
	(void)ojson_set_cstr(ojson_ensure_object(fs, "fsId"), "mountpoint", o->root);
	(void)ojson_set_i64(ojson_ensure_object(fs, "usedBytes"), "value", (int64_t)used);
	if (!statvfs(o->root, &vfs))
		(void)ojson_set_i64(ojson_ensure_object(fs, "inodesUsed"), "value", (int64_t)(vfs.f_files - vfs.f_ffree));
	(void)ojson_append(list, fs);
	/* images and writable layers are on the same filesystem */
	(void)ojson_append(ojson_ensure_array(out, "containerFilesystems"), ojson_ref(fs));
	reply_json(o, call, out, NULL);
	return 0;
}
