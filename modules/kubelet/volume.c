/*
 * volume.c - a pod's volumes: when to make and when to renew them; its tokens.
 *
 * The plan (volplan.c) is made of the cache at one moment and carried out by a worker
 * (volwrite.c). It is made again when a ConfigMap or Secret of the pod changes, when the pod's own
 * labels or annotations do, and when a token has lived four fifths of its life.
 */
#include "kubelet.h"
#include "limits.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>

#include "base/ohash.h"
#include "base/ostr.h"
#include "base/otime.h"

struct vol_job {
	struct pod	*p;
	struct vol_plan	*v;
	uint32_t	n;
	uint32_t	failed;		/* index + 1 */
	struct obuf	err;
};

char *pod_dir(const struct pod *p)
{
	return omem_printf("%s/pods/%s", p->k->root, p->uid);
}

char *volume_path(const struct pod *p, const char *name, const struct ojson **ret_spec)
{
	OJSON_FOREACH_ELEM(i, v, OJSON_AT(p->obj, "spec", "volumes")) {
		const char *plugin;

		if (strcmp(ojson_get_cstr(v, "name", ""), name))
			continue;
		*ret_spec = v;
		if (ojson_get(v, "hostPath"))
			return omem_strdup(ojson_cstr(OJSON_AT(v, "hostPath", "path"), ""));
		plugin = volume_plugin(v);
		return plugin ? omem_printf("%s/pods/%s/volumes/%s/%s", p->k->root, p->uid, plugin, name) : NULL;
	}
	return NULL;
}

/* ---- tokens ---------------------------------------------------------------------------------------- */

static struct token *token_find(struct pod *p, const char *key)
{
	OLIST_FOREACH(pos, &p->tokens) {
		struct token *t = OLIST_ENTRY(pos, struct token, node);

		if (!strcmp(t->key, key))
			return t;
	}
	return NULL;
}

void tokens_free(struct pod *p)
{
	struct olist *n;

	while ((n = olist_shift(&p->tokens))) {
		struct token *t = OLIST_ENTRY(n, struct token, node);

		omem_free(t->key);
		if (t->value)
			omem_free_secret(t->value, strlen(t->value));
		omem_free(t);
	}
}

static const char *token_value(void *arg, const char *volume, size_t source)
{
	struct pod *p = arg;
	char key[320];
	struct token *t;

	snprintf(key, sizeof(key), "%s/%zu", volume, source);
	t = token_find(p, key);
	return t ? t->value : NULL;
}

struct token_ask {
	struct pod	*p;
	char		key[320];
	char		volume[256];
};

static void vol_failed(struct pod *p, const char *volume, const char *text)
{
	char msg[700];

	snprintf(msg, sizeof(msg), "MountVolume.SetUp failed for volume \"%s\" : %s", volume, text);
	pod_event(p, NULL, "Warning", "FailedMount", "%s", msg);
	text_set(&p->vol_error, msg);
	p->vol_failures = p->vol_failures < 8 ? p->vol_failures + 1 : 8;
	/* upstream's exponential back-off of volume operations: 0.5 s … 2 min 2 s */
	p->vol_retry_ns = kubelet_now(p->k) + (int64_t)((NS_PER_S / 2) << (p->vol_failures - 1));
	if (p->vol != VOL_READY)
		p->vol = VOL_NONE;
	else
		p->vol_again = true;
}

static void token_answer(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct token_ask *a = arg;
	struct pod *p = a->p;
	struct token *t = token_find(p, a->key);
	struct orlop_bytes when = ojson_bytes(OJSON_AT(body, "status", "expirationTimestamp"));
	const char *value = ojson_cstr(OJSON_AT(body, "status", "token"), NULL);
	int64_t now = kubelet_now(p->k);
	char text[400];

	(void)rev;
	if (t)
		t->asking = false;
	if (t && !status && code < 300 && value && !otime_parse(when.p, when.len, &t->expires_ns)) {
		int64_t life = t->expires_ns - now;
		int64_t day = 24 * OTIME_HOUR;

		text_set(&t->value, value);
		t->refresh_ns = now + (life / 5 * 4 < day ? life / 5 * 4 : day);
		p->vol_again = p->vol == VOL_READY || p->vol == VOL_WRITING;
		if (p->vol == VOL_TOKENS)
			p->vol = VOL_NONE;
	} else if (t) {
		snprintf(text, sizeof(text), "failed to fetch token: %s",
			 status ? "the API did not answer" : ojson_get_cstr(body, "message", "no reason given"));
		vol_failed(p, a->volume, text);
		t->refresh_ns = p->vol_retry_ns;
	}
	omem_free(a);
	pod_kick(p);
	pod_unref(p);
}

static void token_ask(struct pod *p, struct token *t, const char *volume, const struct ojson *src)
{
	const char *sa = ojson_get_cstr(ojson_get(p->obj, "spec"), "serviceAccountName", "default");
	struct token_ask *a = OMEM_NEW(struct token_ask);
	struct ojson *body = ojson_new_object();
	struct ojson *spec = body ? ojson_ensure_object(body, "spec") : NULL;
	struct ojson *ref = spec ? ojson_ensure_object(spec, "boundObjectRef") : NULL;
	const char *aud = ojson_get_cstr(src, "audience", "");
	struct okube_req r = { .verb = "create", .resource = "serviceaccounts", .sub = "token", .body = body };

	if (!a || !ref) {
		omem_free(a);
		ojson_unref(body);
		return;
	}
	a->p = p;
	snprintf(a->key, sizeof(a->key), "%s", t->key);
	snprintf(a->volume, sizeof(a->volume), "%s", volume);
	(void)ojson_set_cstr(body, "kind", "TokenRequest");
	(void)ojson_set_cstr(body, "apiVersion", "authentication.k8s.io/v1");
	if (*aud)
		(void)ojson_append_cstr(ojson_ensure_array(spec, "audiences"), aud);
	(void)ojson_set_i64(spec, "expirationSeconds", ojson_get_i64(src, "expirationSeconds", 3600));
	(void)ojson_set_cstr(ref, "kind", "Pod");
	(void)ojson_set_cstr(ref, "apiVersion", "v1");
	(void)ojson_set_cstr(ref, "name", p->name);
	(void)ojson_set_cstr(ref, "uid", p->uid);
	r.ns = (struct orlop_bytes){ p->ns, strlen(p->ns) };
	r.name = (struct orlop_bytes){ sa, strlen(sa) };
	t->asking = true;
	pod_ref(p);
	if (okube_call(p->k->h, &r, token_answer, a)) {
		t->asking = false;
		t->refresh_ns = kubelet_now(p->k) + (int64_t)NS_PER_S;
		omem_free(a);
		pod_unref(p);
	}
	ojson_unref(body);
}

/* Ask for what is missing or due. False: some value is still missing. */
static bool tokens_sync(struct pod *p)
{
	int64_t now = kubelet_now(p->k);
	bool all = true;

	OJSON_FOREACH_ELEM(i, v, OJSON_AT(p->obj, "spec", "volumes")) {
		OJSON_FOREACH_ELEM(k, s, OJSON_AT(v, "projected", "sources")) {
			const struct ojson *src = ojson_get(s, "serviceAccountToken");
			char key[320];
			struct token *t;

			if (!src)
				continue;
			snprintf(key, sizeof(key), "%s/%zu", ojson_get_cstr(v, "name", ""), k);
			t = token_find(p, key);
			if (!t) {
				t = OMEM_NEW(struct token);
				if (!t || !(t->key = omem_strdup(key))) {
					omem_free(t);
					return false;
				}
				olist_append(&p->tokens, &t->node);
			}
			if (!t->asking && now >= t->refresh_ns)
				token_ask(p, t, ojson_get_cstr(v, "name", ""), src);
			if (!t->value)
				all = false;
			else if (!t->asking)
				pod_wake_at(p, t->refresh_ns);
		}
	}
	return all;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

static struct ojson *object_get(void *arg, char kind, const char *name)
{
	struct pod *p = arg;

	return kubelet_get(p->k, kind == 'c' ? p->k->in_configmaps : p->k->in_secrets, p->ns, name);
}

static void vol_work(void *arg)
{
	struct vol_job *j = arg;
	uint32_t i;

	for (i = 0; i < j->n && !j->failed; i++)
		if (volume_write(&j->v[i], &j->err))
			j->failed = i + 1;
}

static void vol_done(void *arg)
{
	struct vol_job *j = arg;
	struct pod *p = j->p;

	if (j->failed) {
		vol_failed(p, j->v[j->failed - 1].name, obuf_cstr(&j->err));
	} else {
		p->vol = VOL_READY;
		p->vol_failures = 0;
		text_set(&p->vol_error, NULL);
	}
	volumes_plan_free(j->v, j->n);
	obuf_done(&j->err);
	omem_free(j);
	pod_kick(p);
	pod_unref(p);
}

static void vol_write(struct pod *p)
{
	const struct reserve a = limits_allocatable(p->k->limits, node_machine(p->k));
	char *dir = pod_dir(p);
	struct vol_world w = { .arg = p, .get = object_get, .token = token_value, .pod = p->obj, .pods_dir = dir,
			       .node_ip = node_ip(p->k), .pod_ip = p->ip, .pod_ip2 = p->ip2, .cpu_milli = a.cpu_milli,
			       .memory = a.memory, .storage = a.storage };
	struct vol_job *j = OMEM_NEW(struct vol_job);
	const char *name = "";
	int e;

	p->vol_again = false;
	if (!j || !dir) {
		omem_free(j);
		omem_free(dir);
		return;
	}
	e = volumes_plan(&w, &j->v, &j->n, &j->err, &name);
	omem_free(dir);
	if (e) {
		vol_failed(p, name, obuf_cstr(&j->err));
		obuf_done(&j->err);
		omem_free(j);
		return;
	}
	j->p = p;
	pod_ref(p);
	if (p->vol != VOL_READY)
		p->vol = VOL_WRITING;
	/* one at a time for a pod */
	e = p->k->h->work(p->k->h, ohash_fnv1a64(OHASH_FNV64_INIT, p->uid, strlen(p->uid)) | 1, vol_work, vol_done, j);
	if (e) {
		j->failed = j->n ? 1 : 0;
		vol_done(j);
	}
}

void volumes_sync(struct pod *p)
{
	int64_t now = kubelet_now(p->k);
	bool tokens = tokens_sync(p);

	if (p->vol == VOL_WRITING || (p->vol == VOL_READY && !p->vol_again))
		return;
	if (p->vol_retry_ns > now) {
		pod_wake_at(p, p->vol_retry_ns);
		return;
	}
	if (!tokens) {
		p->vol = VOL_TOKENS;
		return;
	}
	if (!p->k->in_configmaps || !okube_informer_synced(p->k->in_configmaps) ||
	    !okube_informer_synced(p->k->in_secrets))
		return;		/* its resync kicks */
	vol_write(p);
	if (p->vol_retry_ns > now)
		pod_wake_at(p, p->vol_retry_ns);
}
