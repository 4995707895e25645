/*
 * template.c - which ReplicaSet is the one of the present template, and how a new one is made.
 *
 * Two templates are the same if they are equal without the label pod-template-hash; the server has
 * filled in the same defaults in both. The hash only names: it need not be upstream's.
 */
#include "deploy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/oenc.h"
#include "base/ohash.h"
#include "base/omem.h"
#include "kube/okube.h"

static void drop_empty(struct ojson *obj, const char *key)
{
	if (ojson_has(obj, key) && !ojson_count(ojson_get(obj, key)))
		ojson_del(obj, key);
}

struct ojson *template_plain(const struct ojson *obj)
{
	struct ojson *t = NULL;
	struct ojson *meta;

	if (ojson_copy(OJSON_AT(obj, "spec", "template"), &t))
		return NULL;
	if (!t)
		return ojson_new_object();
	meta = ojson_get_object(t, "metadata");
	if (meta) {
		ojson_del(ojson_get_object(meta, "labels"), HASH_LABEL);
		ojson_del(meta, "creationTimestamp");
		drop_empty(meta, "labels");
		drop_empty(meta, "annotations");
	}
	drop_empty(t, "metadata");
	return t;
}

bool template_is(const struct ojson *plain, const struct ojson *rs)
{
	struct ojson *t = template_plain(rs);
	bool same = t && ojson_equal(plain, t);

	ojson_unref(t);
	return same;
}

int template_hash(const struct ojson *plain, const struct ojson *collision_count, char *out)
{
	size_t len;
	char *text = ojson_text(plain, OJSON_SORTED, &len);
	char number[16];
	uint32_t hash;
	int n;

	if (!text)
		return -ENOMEM;
	hash = ohash_fnv1a32(OHASH_FNV32_INIT, text, len);
	omem_free(text);
	if (collision_count) {
		uint32_t c = (uint32_t)ojson_i64(collision_count, 0);
		unsigned char le[4] = { c & 0xff, c >> 8 & 0xff, c >> 16 & 0xff, c >> 24 };

		hash = ohash_fnv1a32(hash, le, sizeof(le));
	}
	n = snprintf(number, sizeof(number), "%u", hash);
	osafe_encode(number, (size_t)n, out);
	return 0;
}

static int set_copy(struct ojson *to, const char *key, const struct ojson *v)
{
	struct ojson *copy = NULL;
	int e = v ? ojson_copy(v, &copy) : 0;

	return e || !v ? e : ojson_set(to, key, copy);
}

struct ojson *replicaset_new(const struct ojson *d, const struct dspec *spec, int64_t replicas,
			     int64_t revision)
{
	struct ojson *plain = template_plain(d);
	struct ojson *rs = ojson_new_object();
	struct ojson *meta;
	struct ojson *rspec;
	struct ojson *labels;
	char name[254];
	char hash[11];
	int e = plain && rs ? template_hash(plain, OJSON_AT(d, "status", "collisionCount"), hash) : -ENOMEM;

	if (e)
		goto out;
	meta = ojson_ensure_object(rs, "metadata");
	rspec = ojson_ensure_object(rs, "spec");
	labels = ojson_ensure_object(ojson_ensure_object(plain, "metadata"), "labels");
	snprintf(name, sizeof(name), "%.242s-%s", okube_meta(d, "name"), hash);
	e = ojson_set_cstr(labels, HASH_LABEL, hash);
	if (!e)
		e = ojson_set_cstr(rs, "kind", "ReplicaSet");
	if (!e)
		e = ojson_set_cstr(rs, "apiVersion", "apps/v1");
	if (!e)
		e = ojson_set_cstr(meta, "name", name);
	if (!e)
		e = ojson_set_cstr(meta, "namespace", okube_meta(d, "namespace"));
	if (!e)
		e = set_copy(meta, "labels", labels);
	if (!e)
		e = ojson_set_i64(rspec, "replicas", replicas);
	if (!e && spec->min_ready_s)
		e = ojson_set_i64(rspec, "minReadySeconds", spec->min_ready_s);
	if (!e)
		e = set_copy(rspec, "selector", OJSON_AT(d, "spec", "selector"));
	if (!e)
		e = ojson_set_cstr(ojson_ensure_object(ojson_ensure_object(rspec, "selector"), "matchLabels"),
				   HASH_LABEL, hash);
	if (!e)
		e = ojson_set(rspec, "template", ojson_ref(plain));
	if (!e)
		e = okube_owner_add(rs, "apps/v1", "Deployment", d);
	if (!e) {
		(void)annotations_renew(d, rs, revision);
		(void)annotations_size(rs, spec);
	}
out:
	ojson_unref(plain);
	if (e) {
		ojson_unref(rs);
		return NULL;
	}
	return rs;
}
