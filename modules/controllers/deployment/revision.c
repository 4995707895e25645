/*
 * revision.c - the annotations by which `kubectl rollout` knows revisions, and by which scaling in
 * proportion knows what the sizes were made for.
 */
#include "deploy.h"

#include <stdio.h>
#include <string.h>

#include "base/obuf.h"
#include "kube/okube.h"

#define HISTORY_MAX	2000u	/* characters of the revision history, as upstream */

int64_t annotation_i64(const struct ojson *obj, const char *key)
{
	const char *s = ojson_cstr(OJSON_AT(obj, "metadata", "annotations", key), NULL);
	int64_t v = 0;

	if (!s || !*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || v > INT64_MAX / 10 - 9)
			return -1;
		v = v * 10 + (*s - '0');
	}
	return v;
}

bool annotation_set(struct ojson *obj, const char *key, const char *value)
{
	struct ojson *list = ojson_ensure_object(ojson_ensure_object(obj, "metadata"), "annotations");

	if (ojson_string_is(ojson_get(list, key), value))
		return false;
	(void)ojson_set_cstr(list, key, value);
	return true;
}

static bool annotation_set_i64(struct ojson *obj, const char *key, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)v);
	return annotation_set(obj, key, text);
}

int64_t revision_of(const struct ojson *obj)
{
	int64_t v = annotation_i64(obj, REVISION);

	return v < 0 ? 0 : v;
}

int64_t revision_next(const struct rollout *r)
{
	int64_t most = 0;
	size_t i;

	for (i = 0; i < r->n; i++) {
		int64_t v = &r->v[i] == r->newest ? 0 : revision_of(r->v[i].obj);

		if (v > most)
			most = v;
	}
	return most + 1;
}

/* Ours, or only about the Deployment itself. */
static bool is_copied(const char *key)
{
	static const char *const not[] = { "kubectl.kubernetes.io/last-applied-configuration", REVISION,
					   REVISIONS, DESIRED, MAX_REPLICAS,
					   "deprecated.deployment.rollback.to" };
	size_t i;

	for (i = 0; i < sizeof(not) / sizeof(not[0]); i++)
		if (!strcmp(key, not[i]))
			return false;
	return true;
}

/* The set had revision @was before: it goes to the end of its history, the oldest leave if it is long. */
static void history_add(struct ojson *rs, int64_t was)
{
	const char *old = ojson_cstr(OJSON_AT(rs, "metadata", "annotations", REVISIONS), "");
	struct obuf b = OBUF_INIT;
	char text[24];
	size_t n = (size_t)snprintf(text, sizeof(text), "%lld", (long long)was);

	while (*old && strlen(old) + n + 1 > HISTORY_MAX) {
		old += strcspn(old, ",");
		old += *old == ',';
	}
	if (*old)
		obuf_printf(&b, "%s,", old);
	obuf_puts(&b, text);
	if (!obuf_err(&b))
		(void)annotation_set(rs, REVISIONS, obuf_cstr(&b));
	obuf_done(&b);
}

bool annotations_renew(const struct ojson *d, struct ojson *rs, int64_t revision)
{
	int64_t was = annotation_i64(rs, REVISION);
	bool changed = false;

	OJSON_FOREACH(it, OJSON_AT(d, "metadata", "annotations")) {
		if (is_copied(it.key))
			changed |= annotation_set(rs, it.key, ojson_cstr(it.value, ""));
	}
	/* It may have the higher one already if old sets have been deleted since. */
	if (was < revision) {
		changed |= annotation_set_i64(rs, REVISION, revision);
		if (was >= 0)
			history_add(rs, was);
	}
	return changed;
}

bool annotations_size(struct ojson *rs, const struct dspec *spec)
{
	bool changed = annotation_set_i64(rs, DESIRED, spec->replicas);

	return annotation_set_i64(rs, MAX_REPLICAS, spec->replicas + spec->surge) || changed;
}
