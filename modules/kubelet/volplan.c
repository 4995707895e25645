/*
 * volplan.c - what a pod's volumes shall contain: directories and files with bytes. Pure.
 *
 * Source: pkg/volume/{configmap,secret,downwardapi,projected,emptydir,hostpath}.
 */
#include "kubelet.h"

#include <errno.h>
#include <string.h>

#include "base/oenc.h"

#define TOTAL_MAX	(16u << 20)	/* bytes of files of one volume: objects are 1 MiB each at most */

const char *volume_plugin(const struct ojson *vol)
{
	static const char *const names[][2] = {
		{ "emptyDir", "kubernetes.io~empty-dir" }, { "configMap", "kubernetes.io~configmap" },
		{ "secret", "kubernetes.io~secret" }, { "downwardAPI", "kubernetes.io~downward-api" },
		{ "projected", "kubernetes.io~projected" },
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (ojson_has(vol, names[i][0]))
			return names[i][1];
	return NULL;
}

void volumes_plan_free(struct vol_plan *v, uint32_t n)
{
	uint32_t i;
	uint32_t f;

	for (i = 0; v && i < n; i++) {
		omem_free(v[i].name);
		omem_free(v[i].dir);
		omem_free(v[i].host_type);
		for (f = 0; f < v[i].n_files; f++) {
			omem_free(v[i].files[f].path);
			omem_free_secret(v[i].files[f].data, v[i].files[f].len);
		}
		omem_free(v[i].files);
	}
	omem_free(v);
}

/* Relative, and no step upwards. */
static bool path_ok(const char *p)
{
	if (!*p || *p == '/')
		return false;
	for (;;) {
		size_t n = strcspn(p, "/");

		if (!n || (n == 1 && *p == '.') || (n == 2 && p[0] == '.' && p[1] == '.') || (n >= 2 && !strncmp(p, "..", 2)))
			return false;
		if (!p[n])
			return true;
		p += n + 1;
	}
}

static int file_add(struct vol_plan *v, const char *path, const char *data, size_t len, int64_t mode, struct obuf *err)
{
	struct vol_file *f;
	size_t total = len;
	uint32_t i;

	if (!path_ok(path)) {
		obuf_printf(err, "invalid path \"%s\": must be relative and must not contain '..'", path);
		return -EINVAL;
	}
	for (i = 0; i < v->n_files; i++) {
		total += v->files[i].len;
		if (!strcmp(v->files[i].path, path))
			break;
	}
	if (total > TOTAL_MAX) {
		obuf_puts(err, "contents are larger than 16 MiB");
		return -EFBIG;
	}
	if (i == v->n_files) {
		f = omem_realloc_array(v->files, v->n_files + 1, sizeof(*f));
		if (!f)
			return -ENOMEM;
		v->files = f;
		memset(&f[i], 0, sizeof(f[i]));
		v->n_files++;
		f[i].path = omem_strdup(path);
	}
	f = &v->files[i];
	omem_free(f->data);
	f->data = omem_strndup(data ? data : "", len);
	f->len = len;
	f->mode = (uint32_t)mode & 0777;
	f->uid = -1;
	return f->path && f->data ? 0 : -ENOMEM;
}

static int bytes_add(struct vol_plan *v, const char *path, struct orlop_bytes b, bool base64, int64_t mode,
		     struct obuf *err)
{
	char *raw;
	long n;
	int e;

	if (!base64)
		return file_add(v, path, b.p, b.len, mode, err);
	raw = omem_alloc(OBASE64_DECODED(b.len) + 1);
	n = raw ? obase64_decode(OBASE64_STD, b.p, b.len, raw, NULL) : -1;
	e = n < 0 ? -EINVAL : file_add(v, path, raw, (size_t)n, mode, err);
	omem_free(raw);
	return e;
}

/* All keys of @map, as the items (if any) say. */
static int map_add(struct vol_plan *v, const struct ojson *obj, const char *map, bool base64,
		   const struct ojson *src, int64_t mode, struct obuf *err)
{
	if (ojson_count(ojson_get(src, "items")))
		return 0;
	OJSON_FOREACH(it, ojson_get(obj, map)) {
		int e = bytes_add(v, it.key, ojson_bytes(it.value), base64, mode, err);

		if (e)
			return e;
	}
	return 0;
}

static int object_add(const struct vol_world *w, struct vol_plan *v, char kind, const char *name,
		      const struct ojson *src, int64_t mode, struct obuf *err)
{
	bool optional = ojson_get_bool(src, "optional", false);
	struct ojson *obj = w->get(w->arg, kind, name);
	bool secret = kind == 's';
	int e;

	if (!obj) {
		if (optional)
			return 0;
		obuf_printf(err, "%s \"%s\" not found", secret ? "secret" : "configmap", name);
		return -ENOENT;
	}
	e = map_add(v, obj, "data", secret, src, mode, err);
	if (!e && !secret)
		e = map_add(v, obj, "binaryData", true, src, mode, err);
	OJSON_FOREACH_ELEM(i, item, ojson_get(src, "items")) {
		const char *key = ojson_get_cstr(item, "key", "");
		int64_t m = ojson_get_i64(item, "mode", mode);
		struct orlop_bytes b = ojson_get_bytes(ojson_get(obj, "data"), key);
		bool base64 = secret;

		if (e)
			break;
		if (!b.p && !secret) {
			b = ojson_get_bytes(ojson_get(obj, "binaryData"), key);
			base64 = true;
		}
		if (b.p) {
			e = bytes_add(v, ojson_get_cstr(item, "path", ""), b, base64, m, err);
		} else if (!optional) {
			obuf_printf(err, secret ? "references non-existent secret key: %s"
						: "configmap references non-existent config key: %s", key);
			e = -ENOENT;
		}
	}
	ojson_unref(obj);
	return e;
}

static int downward_add(const struct vol_world *w, struct vol_plan *v, const struct ojson *src, int64_t mode,
			struct obuf *err)
{
	OJSON_FOREACH_ELEM(i, item, ojson_get(src, "items")) {
		const struct ojson *ref = ojson_get(item, "fieldRef");
		struct obuf b = OBUF_INIT;
		int e;

		if (ref) {
			e = field_value(w, ojson_get_cstr(ref, "fieldPath", ""), &b);
		} else {
			ref = ojson_get(item, "resourceFieldRef");
			e = resource_field(w, ojson_get_cstr(ref, "containerName", ""), ref, &b);
		}
		if (e)
			obuf_printf(err, "unsupported field of item %s", ojson_get_cstr(item, "path", ""));
		else
			e = file_add(v, ojson_get_cstr(item, "path", ""), obuf_cstr(&b), b.len,
				     ojson_get_i64(item, "mode", mode), err);
		obuf_done(&b);
		if (e)
			return e;
	}
	return 0;
}

/* The user of all containers, -1 if they are not the same or not told. */
static int64_t fs_user(const struct ojson *pod)
{
	static const char *const lists[] = { "initContainers", "containers" };
	const struct ojson *psc = OJSON_AT(pod, "spec", "securityContext");
	int64_t found = -1;
	size_t l;

	for (l = 0; l < 2; l++) {
		OJSON_FOREACH_ELEM(i, c, OJSON_AT(pod, "spec", lists[l])) {
			const struct ojson *v = ojson_get(ojson_get(c, "securityContext"), "runAsUser");
			int64_t uid = ojson_i64(v ? v : ojson_get(psc, "runAsUser"), -1);

			if (uid < 0 || (found >= 0 && found != uid))
				return -1;
			found = uid;
		}
	}
	return found;
}

/* Who runs as one user, or shares by group, keeps the token from others. */
static int token_add(const struct vol_world *w, struct vol_plan *v, const char *path, const char *token, int64_t mode,
		     struct obuf *err)
{
	int64_t uid = fs_user(w->pod);
	uint32_t i;
	int e = file_add(v, path, token, strlen(token), uid >= 0 || v->fs_group >= 0 ? 0600 : mode, err);

	for (i = 0; !e && i < v->n_files; i++)
		if (!strcmp(v->files[i].path, path))
			v->files[i].uid = uid;
	return e;
}

static int projected_add(const struct vol_world *w, struct vol_plan *v, const struct ojson *src, struct obuf *err)
{
	int64_t mode = ojson_get_i64(src, "defaultMode", 0644);
	int e = 0;

	OJSON_FOREACH_ELEM(i, s, ojson_get(src, "sources")) {
		const struct ojson *p;

		if (e)
			break;
		if ((p = ojson_get(s, "configMap"))) {
			e = object_add(w, v, 'c', ojson_get_cstr(p, "name", ""), p, mode, err);
		} else if ((p = ojson_get(s, "secret"))) {
			e = object_add(w, v, 's', ojson_get_cstr(p, "name", ""), p, mode, err);
		} else if ((p = ojson_get(s, "downwardAPI"))) {
			e = downward_add(w, v, p, mode, err);
		} else if ((p = ojson_get(s, "serviceAccountToken"))) {
			const char *t = w->token(w->arg, v->name, i);

			if (!t) {
				obuf_puts(err, "the service account token is not there yet");
				e = -EAGAIN;
			} else {
				e = token_add(w, v, ojson_get_cstr(p, "path", ""), t, mode, err);
			}
		} else {
			obuf_puts(err, "source of a kind that is not supported here");
			e = -ENOTSUP;
		}
	}
	return e;
}

/* An emptyDir in memory: the node's, less if the pod has less, less if its own limit is less. */
static int64_t memory_size(const struct vol_world *w, const struct ojson *dir)
{
	int64_t limit = quantity_i64(dir, "sizeLimit", 0);
	int64_t size = w->memory;
	int64_t sum = 0;

	OJSON_FOREACH_ELEM(i, c, OJSON_AT(w->pod, "spec", "containers")) {
		int64_t v = quantity_i64(OJSON_AT(c, "resources", "limits"), "memory", 0);

		if (v <= 0) {
			sum = 0;
			break;
		}
		sum += v;
	}
	if (sum > 0 && (sum < size || !size))
		size = sum;
	return limit > 0 && (limit < size || !size) ? limit : size;
}

static int volume_plan(const struct vol_world *w, const struct ojson *vol, struct vol_plan *v, struct obuf *err)
{
	const char *plugin = volume_plugin(vol);
	const struct ojson *s;

	v->name = omem_strdup(ojson_get_cstr(vol, "name", ""));
	v->fs_group = ojson_i64(OJSON_AT(w->pod, "spec", "securityContext", "fsGroup"), -1);
	if ((s = ojson_get(vol, "hostPath"))) {
		v->kind = VK_HOSTPATH;
		v->dir = omem_strdup(ojson_get_cstr(s, "path", ""));
		v->host_type = omem_strdup(ojson_get_cstr(s, "type", ""));
		return v->dir && v->name && v->host_type ? 0 : -ENOMEM;
	}
	if (!plugin) {
		obuf_puts(err, "volumes of this kind are not supported by this node");
		return -ENOTSUP;
	}
	v->dir = omem_printf("%s/volumes/%s/%s", w->pods_dir, plugin, v->name ? v->name : "");
	if (!v->dir || !v->name)
		return -ENOMEM;
	if (ojson_has(vol, "emptyDir")) {
		s = ojson_get(vol, "emptyDir");
		v->kind = VK_EMPTYDIR;
		v->memory = !strcmp(ojson_get_cstr(s, "medium", ""), "Memory");
		v->size_limit = v->memory ? memory_size(w, s) : quantity_i64(s, "sizeLimit", 0);
		if (!v->memory && *ojson_get_cstr(s, "medium", "")) {
			obuf_printf(err, "unknown storage medium \"%s\"", ojson_get_cstr(s, "medium", ""));
			return -EINVAL;
		}
		return 0;
	}
	v->kind = VK_FILES;
	if ((s = ojson_get(vol, "configMap")))
		return object_add(w, v, 'c', ojson_get_cstr(s, "name", ""), s, ojson_get_i64(s, "defaultMode", 0644),
				  err);
	if ((s = ojson_get(vol, "secret")))
		return object_add(w, v, 's', ojson_get_cstr(s, "secretName", ""), s,
				  ojson_get_i64(s, "defaultMode", 0644), err);
	if ((s = ojson_get(vol, "downwardAPI")))
		return downward_add(w, v, s, ojson_get_i64(s, "defaultMode", 0644), err);
	return projected_add(w, v, ojson_get(vol, "projected"), err);
}

int volumes_plan(const struct vol_world *w, struct vol_plan **ret, uint32_t *ret_n, struct obuf *err,
		 const char **ret_name)
{
	const struct ojson *list = OJSON_AT(w->pod, "spec", "volumes");
	uint32_t n = (uint32_t)ojson_count(list);
	struct vol_plan *v = omem_zalloc_array(n ? n : 1, sizeof(*v));
	uint32_t used = 0;

	if (!v)
		return -ENOMEM;
	OJSON_FOREACH_ELEM(i, vol, list) {
		int e = ojson_get(vol, "image") ? 0 : volume_plan(w, vol, &v[used], err);	/* images are the runtime's */

		used += !ojson_get(vol, "image");
		if (e) {
			*ret_name = ojson_get_cstr(vol, "name", "");
			volumes_plan_free(v, n);
			return e;
		}
	}
	*ret = v;
	*ret_n = used;
	return 0;
}

static void ref_one(const struct ojson *ref, const char *key, char kind,
		    void (*fn)(void *arg, char kind, const char *name), void *arg)
{
	const char *name = ojson_get_cstr(ref, key, "");

	if (*name)
		fn(arg, kind, name);
}

void pod_refs_each(const struct ojson *pod, void (*fn)(void *arg, char kind, const char *name), void *arg)
{
	static const char *const lists[] = { "containers", "initContainers" };
	const struct ojson *spec = ojson_get(pod, "spec");
	size_t l;

	for (l = 0; l < 2; l++) {
		OJSON_FOREACH_ELEM(i, c, ojson_get(spec, lists[l])) {
			OJSON_FOREACH_ELEM(k, e, ojson_get(c, "env")) {
				ref_one(OJSON_AT(e, "valueFrom", "configMapKeyRef"), "name", 'c', fn, arg);
				ref_one(OJSON_AT(e, "valueFrom", "secretKeyRef"), "name", 's', fn, arg);
			}
			OJSON_FOREACH_ELEM(m, e, ojson_get(c, "envFrom")) {
				ref_one(ojson_get(e, "configMapRef"), "name", 'c', fn, arg);
				ref_one(ojson_get(e, "secretRef"), "name", 's', fn, arg);
			}
		}
	}
	OJSON_FOREACH_ELEM(i, p, ojson_get(spec, "imagePullSecrets"))
		ref_one(p, "name", 's', fn, arg);
	OJSON_FOREACH_ELEM(k, v, ojson_get(spec, "volumes")) {
		ref_one(ojson_get(v, "configMap"), "name", 'c', fn, arg);
		ref_one(ojson_get(v, "secret"), "secretName", 's', fn, arg);
		OJSON_FOREACH_ELEM(m, s, OJSON_AT(v, "projected", "sources")) {
			ref_one(ojson_get(s, "configMap"), "name", 'c', fn, arg);
			ref_one(ojson_get(s, "secret"), "name", 's', fn, arg);
		}
	}
}
