/*
 * image.c - a container's image: is it here, shall it be pulled, may it be used.
 *
 * Source: pkg/kubelet/images/image_manager.go (EnsureImageExists) with its reasons and sentences.
 */
#include "kubelet.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>

#include "base/oenc.h"
#include "base/otime.h"

#define PULL_TIMEOUT	(3600 * NS_PER_S)

static bool mounts(const struct ctr *c, const char *volume)
{
	OJSON_FOREACH_ELEM(i, m, ojson_get(ctr_spec(c), "volumeMounts"))
		if (!strcmp(ojson_get_cstr(m, "name", ""), volume))
			return true;
	return false;
}

/* The volume of the pod that is an image and the @n-th of those that the container mounts, from 1; NULL: no more. */
static const struct ojson *volume_at(const struct ctr *c, uint32_t n)
{
	OJSON_FOREACH_ELEM(i, v, OJSON_AT(c->pod->obj, "spec", "volumes"))
		if (ojson_get(v, "image") && mounts(c, ojson_get_cstr(v, "name", "")) && --n == 0)
			return v;
	return NULL;
}

static const char *image_of(const struct ctr *c)
{
	if (c->image_at)
		return ojson_cstr(OJSON_AT(volume_at(c, c->image_at), "image", "reference"), "");
	return ojson_get_cstr(ctr_spec(c), "image", "");
}

/* Whom events are about. */
static struct ctr *about(struct ctr *c)
{
	return c->image_at ? NULL : c;
}

/* The default depends on the tag; the API server fills it in, this is for those that did not. */
static const char *policy_of(const struct ctr *c)
{
	const char *image = image_of(c);
	const char *slash = strrchr(image, '/');
	const char *colon = strchr(slash ? slash : image, ':');
	const char *policy = c->image_at ? ojson_cstr(OJSON_AT(volume_at(c, c->image_at), "image", "pullPolicy"), "")
					 : ojson_get_cstr(ctr_spec(c), "imagePullPolicy", "");

	if (*policy)
		return policy;
	return strchr(image, '@') || (colon && strcmp(colon, ":latest")) ? "IfNotPresent" : "Always";
}

static void give_up(struct ctr *c, const char *reason, const char *message)
{
	ctr_wait(c, reason, message);
	c->image_at = 0;
	c->busy = false;
	pod_kick(c->pod);
	pod_unref(c->pod);
}

static void image_taken(struct ctr *c, const struct ojson *image)
{
	const struct ojson *digests = ojson_get(image, "repoDigests");
	const char *uid = ojson_cstr(OJSON_AT(image, "uid", "value"), NULL);
	struct ojson *n = OJSON_AT(image, "uid", "value");

	c->image_size = (uint64_t)ojson_get_i64(image, "size", 0);
	if (c->image_at) {
		if (!c->vol_images)
			c->vol_images = ojson_new_object();
		(void)ojson_set_cstr(c->vol_images, ojson_get_cstr(volume_at(c, c->image_at), "name", ""),
				     ojson_get_cstr(image, "id", ""));
		return;
	}
	text_set(&c->image_id, ojson_get_cstr(image, "id", ""));
	text_set(&c->image_ref, ojson_count(digests) ? ojson_cstr(ojson_index(digests, 0), "")
						      : ojson_get_cstr(image, "id", ""));
	c->image_uid = uid ? strtoll(uid, NULL, 10) : n ? ojson_i64(n, -1) : -1;
	text_set(&c->image_user, *ojson_get_cstr(image, "username", "") ? ojson_get_cstr(image, "username", "") : NULL);
}

static void look(struct ctr *c);

/* Its own image is here, or one of a volume: the next, until all are. */
static void go_on(struct ctr *c)
{
	c->pull_failed_ns = 0;
	c->pull.delay_s = 0;
	text_set(&c->pull_error, NULL);
	c->image_at++;
	if (volume_at(c, c->image_at)) {
		look(c);
		return;
	}
	c->image_at = 0;
	image_ready(c);
}

static void pulled_status(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg,
			  const char *why)
{
	struct ctr *c = arg;
	const struct ojson *image = ojson_get(res, "image");
	char took[OTIME_BUF];

	(void)msg;
	if (status < 0 || !image) {
		c->retry_ns = kubelet_now(c->pod->k) + (int64_t)NS_PER_S;
		give_up(c, "ErrImagePull", *why ? why : "the image is gone again");
		return;
	}
	image_taken(c, image);
	otime_duration_format((kubelet_now(c->pod->k) - c->pull_began_ns) / OTIME_MS * OTIME_MS, took);
	pod_event(c->pod, about(c), "Normal", "Pulled",
		  "Successfully pulled image \"%s\" in %s (%s including waiting). Image size: %llu bytes.", image_of(c),
		  took, took, (unsigned long long)c->image_size);
	go_on(c);
}

static void status_ask(struct ctr *c, rt_fn fn)
{
	struct ojson *body = ojson_new_object();

	(void)ojson_set(body, "image", rt_id("image", image_of(c)));
	rt_call(c->pod->k, ORLOP_RUNTIME_IMAGE_STATUS, 0, body, 0, fn, c);
}

static void pulled(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct ctr *c = arg;
	struct pod *p = c->pod;
	int64_t now = kubelet_now(p->k);

	(void)res;
	(void)msg;
	if (status >= 0) {
		status_ask(c, pulled_status);
		return;
	}
	if (p->term || p->k->stopping) {
		give_up(c, c->reason, c->message);
		return;
	}
	backoff_next(&c->pull, now);
	c->pull_failed_ns = now;
	text_set(&c->pull_error, why);
	pod_event(p, about(c), "Warning", "Failed", "Failed to pull image \"%s\": %s", image_of(c), why);
	pod_event(p, about(c), "Warning", "Failed", "Error: ErrImagePull");
	give_up(c, "ErrImagePull", why);
}

/* ---- credentials --------------------------------------------------------------------------------------- */

static size_t registry_of(const char *image, char *buf, size_t size)
{
	size_t n = strcspn(image, "/");

	if (!image[n] || (!memchr(image, '.', n) && !memchr(image, ':', n) && strncmp(image, "localhost", n)))
		return (size_t)snprintf(buf, size, "docker.io");
	return (size_t)snprintf(buf, size, "%.*s", (int)n, image);
}

static bool registry_match(const char *key, const char *registry)
{
	size_t n;

	if (!strncmp(key, "https://", 8))
		key += 8;
	else if (!strncmp(key, "http://", 7))
		key += 7;
	n = strcspn(key, "/");
	if (!strcmp(registry, "docker.io") && (!strncmp(key, "index.docker.io", n) || !strncmp(key, "docker.io", n)))
		return true;
	return strlen(registry) == n && !strncmp(key, registry, n);
}

static struct ojson *auth_in(const struct ojson *secret, const char *registry)
{
	struct orlop_bytes b = ojson_get_bytes(ojson_get(secret, "data"), ".dockerconfigjson");
	cleanup_ojson struct ojson *conf = NULL;
	struct ojson *found = NULL;
	char *raw = b.len ? omem_alloc(OBASE64_DECODED(b.len) + 1) : NULL;
	long n = raw ? obase64_decode(OBASE64_STD, b.p, b.len, raw, NULL) : -1;

	if (n > 0 && !ojson_parse(raw, (size_t)n, &conf, NULL)) {
		OJSON_FOREACH(it, ojson_get(conf, "auths")) {
			if (!found && registry_match(it.key, registry))
				found = ojson_ref(it.value);
		}
	}
	if (raw)
		omem_free_secret(raw, OBASE64_DECODED(b.len));
	return found;
}

static struct ojson *auth_find(struct pod *p, const char *image)
{
	char registry[256];
	struct ojson *auth = NULL;

	registry_of(image, registry, sizeof(registry));
	OJSON_FOREACH_ELEM(i, ref, OJSON_AT(p->obj, "spec", "imagePullSecrets")) {
		struct ojson *s = auth ? NULL : kubelet_get(p->k, p->k->in_secrets, p->ns,
							    ojson_get_cstr(ref, "name", ""));

		if (s)
			auth = auth_in(s, registry);
		ojson_unref(s);
	}
	return auth;
}

/* ---- deciding --------------------------------------------------------------------------------------------- */

static void pull(struct ctr *c)
{
	struct pod *p = c->pod;
	struct ojson *body = ojson_new_object();
	struct ojson *auth = auth_find(p, image_of(c));

	(void)ojson_set(body, "image", rt_id("image", image_of(c)));
	if (auth)
		(void)ojson_set(body, "auth", auth);
	c->pull_began_ns = kubelet_now(p->k);
	pod_event(p, about(c), "Normal", "Pulling", "Pulling image \"%s\"", image_of(c));
	rt_call(p->k, ORLOP_RUNTIME_IMAGE_PULL, 0, body, PULL_TIMEOUT, pulled, c);
}

static void looked(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct ctr *c = arg;
	struct pod *p = c->pod;
	const struct ojson *image = ojson_get(res, "image");
	const char *policy;
	char text[700];
	int64_t until;

	(void)msg;
	if (p->term || p->k->stopping) {
		give_up(c, c->reason, c->message);
		return;
	}
	if (status < 0) {
		c->retry_ns = kubelet_now(p->k) + (int64_t)NS_PER_S;
		snprintf(text, sizeof(text), "Failed to inspect image \"%s\": %s", image_of(c), why);
		pod_event(p, about(c), "Warning", status == -EINVAL ? "InspectFailed" : "Failed", "%s", text);
		give_up(c, status == -EINVAL ? "InvalidImageName" : "ImageInspectError", text);
		return;
	}
	policy = policy_of(c);
	if (image && strcmp(policy, "Always")) {
		image_taken(c, image);
		pod_event(p, about(c), "Normal", "Pulled",
			  "Container image \"%s\" already present on machine and can be accessed by the pod", image_of(c));
		go_on(c);
		return;
	}
	if (!strcmp(policy, "Never")) {
		snprintf(text, sizeof(text), "Container image \"%s\" is not present with pull policy of Never",
			 image_of(c));
		pod_event(p, about(c), "Warning", "ErrImageNeverPull", "%s", text);
		pod_event(p, about(c), "Warning", "Failed", "Error: ErrImageNeverPull");
		c->retry_ns = kubelet_now(p->k) + (int64_t)(10 * NS_PER_S);
		give_up(c, "ErrImageNeverPull", text);
		return;
	}
	until = c->pull_failed_ns ? backoff_until(&c->pull, c->pull_failed_ns, kubelet_now(p->k)) : 0;
	if (until) {
		snprintf(text, sizeof(text), "Back-off pulling image \"%s\"", image_of(c));
		pod_event(p, about(c), "Normal", "BackOff", "%s", text);
		pod_event(p, about(c), "Warning", "Failed", "Error: ImagePullBackOff");
		snprintf(text, sizeof(text), "Back-off pulling image \"%s\": ErrImagePull: %s", image_of(c),
			 c->pull_error ? c->pull_error : "");
		c->retry_ns = until;
		give_up(c, "ImagePullBackOff", text);
		return;
	}
	pull(c);
}

static void look(struct ctr *c)
{
	status_ask(c, looked);
}

void image_ensure(struct ctr *c)
{
	const char *image = ojson_get_cstr(ctr_spec(c), "image", "");
	char text[500];

	c->image_at = 0;

	if (!*image || strpbrk(image, " \t\n") || strstr(image, "://")) {
		snprintf(text, sizeof(text), "Failed to apply default image tag \"%s\": couldn't parse image name \"%s\": invalid reference format",
			 image, image);
		pod_event(c->pod, c, "Warning", "InspectFailed", "%s", text);
		pod_event(c->pod, c, "Warning", "Failed", "Error: InvalidImageName");
		c->retry_ns = kubelet_now(c->pod->k) + (int64_t)(60 * NS_PER_S);
		give_up(c, "InvalidImageName", text);
		return;
	}
	look(c);
}
