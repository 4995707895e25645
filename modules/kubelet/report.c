/*
 * report.c - telling the API what has become of a pod: only what changed, one patch at a time.
 *
 * What nobody waits for (that its containers are being made, an id, an address before anything runs, that a new generation
 * was seen) goes with the next news if there is any soon: a pod that begins and ends quickly is told of twice, not six times.
 */
#include "kubelet.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>

#include "base/ostr.h"

/* As long as upstream may take to notice that a sandbox is there. */
#define DETAIL_NS	(int64_t)NS_PER_S
/* Most pods run by then: that they are begun need not be told of them. */
#define BEGIN_NS	(int64_t)(NS_PER_S / 4)

static void answered(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct pod *p = arg;

	(void)rev;
	p->sending = false;
	if (p->k->stopping || p->done) {
		pod_unref(p);
		return;
	}
	if (!status && code < 300) {
		p->send_failures = 0;
	} else if (!status && (code == 404 || !strcmp(okube_reason(body), "NotFound"))) {
		/* deleted meanwhile; the cache will say so */
		p->send_failures = 0;
	} else {
		OLOG(p->k->h, WARN, "status_not_written", "pod=%s/%s code=%u why=\"%s\" retrying=1", p->ns, p->name, code,
		     status ? strerrordesc_np(-status) : ojson_get_cstr(body, "message", ""));
		ojson_unref(p->sent);
		p->sent = NULL;
		p->send_failures = p->send_failures < 6 ? p->send_failures + 1 : 6;
		p->k->h->timer_set(p->timer, (100ull << p->send_failures) * 1000000ull, 0);
		pod_unref(p);
		return;
	}
	pod_kick(p);
	pod_unref(p);
}

/* Is everything in @want already so in @have? Lists by value, conditions by type. */
static bool covered(const struct ojson *want, const struct ojson *have)
{
	OJSON_FOREACH(it, want) {
		const struct ojson *h = ojson_get_n(have, it.key, it.key_len);

		if (ostr_is(it.key, it.key_len, "conditions")) {
			OJSON_FOREACH_ELEM(i, c, it.value) {
				bool found = false;

				OJSON_FOREACH_ELEM(k, o, h) {
					if (strcmp(ojson_get_cstr(o, "type", ""), ojson_get_cstr(c, "type", "")))
						continue;
					found = covered(c, o);
				}
				if (!found)
					return false;
			}
		} else if (!it.value ? h != NULL : ojson_is(it.value, OJSON_OBJECT) ? !covered(it.value, h)
				     : !ojson_equal(it.value, h)) {
			return false;
		}
	}
	return true;
}

/*
 * The API writes empty objects away and fills in defaults, so that a status read back is compared
 * member by member; one that we have sent ourselves is simply compared.
 */
static bool list_covered(const struct ojson *want, const struct ojson *have)
{
	size_t n = ojson_count(want);

	if (n != ojson_count(have))
		return false;
	OJSON_FOREACH_ELEM(i, w, want) {
		if (!covered(w, ojson_index(have, i)))
			return false;
	}
	return true;
}

static bool says_ready(const struct ojson *st)
{
	OJSON_FOREACH_ELEM(i, c, ojson_get(st, "conditions")) {
		if (ojson_string_is(ojson_get(c, "type"), "Ready"))
			return ojson_string_is(ojson_get(c, "status"), "True");
	}
	return false;
}

/* With its node, a pod is marked not ready by the control plane: @obj is how it is now. */
void report_seen(struct pod *p, const struct ojson *obj)
{
	if (p->sent && says_ready(p->sent) && okube_pod_ready(p->obj, NULL) && !okube_pod_ready(obj, NULL))
		p->marked = true;
}

static bool known(const struct pod *p, const struct ojson *st)
{
	const struct ojson *have = ojson_get(p->obj, "status");

	if (p->sent)
		return covered(p->sent, st) && covered(st, p->sent);
	OJSON_FOREACH(it, st) {
		const struct ojson *h = ojson_get_n(have, it.key, it.key_len);

		if (ostr_ends(it.key, it.key_len, "Statuses") ? !list_covered(it.value, h)
		    : ostr_is(it.key, it.key_len, "conditions") ? false
		    : !ojson_equal(it.value, h))
			return false;
	}
	OJSON_FOREACH_ELEM(i, c, ojson_get(st, "conditions")) {
		if (!covered(c, okube_condition(p->obj, ojson_get_cstr(c, "type", ""))))
			return false;
	}
	return true;
}

/* Members that may wait for something better to say. */
static bool is_detail(const char *key, size_t n)
{
	static const char *const keys[] = { "observedGeneration", "podIP", "podIPs", "containerID", "imageID", "user" };
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (ostr_is(key, n, keys[i]))
			return true;
	return false;
}

/* Nothing but details differs. */
static bool same_news(const struct ojson *a, const struct ojson *b)
{
	if (ojson_is(a, OJSON_ARRAY) && ojson_is(b, OJSON_ARRAY)) {
		if (ojson_count(a) != ojson_count(b))
			return false;
		OJSON_FOREACH_ELEM(i, v, a) {
			if (!same_news(v, ojson_index(b, i)))
				return false;
		}
		return true;
	}
	if (!a || !b)
		return a == b;	/* null takes away what may be there; it says no more than nothing */
	if (!ojson_is(a, OJSON_OBJECT) || !ojson_is(b, OJSON_OBJECT))
		return ojson_equal(a, b);
	if (ojson_string_is(ojson_get(a, "type"), "PodReadyToStartContainers") &&
	    ojson_string_is(ojson_get(b, "type"), "PodReadyToStartContainers"))
		return true;
	OJSON_FOREACH(it, a) {
		if (!is_detail(it.key, it.key_len) && !same_news(it.value, ojson_get_n(b, it.key, it.key_len)))
			return false;
	}
	OJSON_FOREACH(at, b) {
		if (!is_detail(at.key, at.key_len) && at.value && !ojson_get_n(a, at.key, at.key_len))
			return false;
	}
	return true;
}

/* Nothing was told of it yet, and there is nothing to tell but that its containers are being made. */
static bool is_beginning(const struct pod *p, const struct ojson *st)
{
	static const char *const lists[] = { "initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses" };
	size_t i;

	if (p->sent || ojson_get(ojson_get(p->obj, "status"), "startTime") || !ojson_string_is(ojson_get(st, "phase"), "Pending") ||
	    ojson_get(st, "reason") || ojson_get(st, "message"))
		return false;
	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		OJSON_FOREACH_ELEM(k, c, ojson_get(st, lists[i])) {
			const struct ojson *w = OJSON_AT(c, "state", "waiting");

			if (!w || ojson_get(w, "message") || (!ojson_string_is(ojson_get(w, "reason"), "ContainerCreating") &&
							      !ojson_string_is(ojson_get(w, "reason"), "PodInitializing")))
				return false;
		}
	}
	return true;
}

/* True: @st says nothing that cannot wait a moment. The last status does not wait. */
static bool can_wait(struct pod *p, const struct ojson *st, const struct status_input *in)
{
	bool first = is_beginning(p, st);
	int64_t until;

	if (in->final || !(first || (p->sent && same_news(p->sent, st))))
		return false;
	if (!p->detail_ns || p->detail_ns > in->now_ns)
		p->detail_ns = in->now_ns;
	until = p->detail_ns + (first ? BEGIN_NS : DETAIL_NS);
	if (until <= in->now_ns)
		return false;
	pod_wake_at(p, until);
	return true;
}

void report_sync(struct pod *p)
{
	struct kubelet *k = p->k;
	struct status_input in = { .now_ns = kubelet_now(k), .host_ip = node_ip(k) };
	struct orlop_bytes ns = { p->ns, strlen(p->ns) };
	struct orlop_bytes name = { p->name, strlen(p->name) };
	struct ojson *patch;
	struct ojson *st;
	uint32_t i;

	if (p->is_static && !p->mirror_uid)
		return;
	if (p->orphan || p->gone || p->sending || !p->ctrs || ((p->td_done | p->td_busy) & TD_API))
		return;
	/* just taken over: its address is being asked for, and nothing else may have changed */
	if (!p->sent && p->sb == SB_ATTACHING)
		return;
	in.final = p->term;
	for (i = 0; i < p->n_ctrs; i++)
		in.final &= p->ctrs[i]->state != C_RUNNING && !p->ctrs[i]->busy;
	st = status_make(p, &in);
	if (!st)
		return;
	if (p->marked && node_ready(k)) {	/* told again */
		p->marked = false;
		ojson_unref(p->sent);
		p->sent = NULL;
	}
	if (known(p, st)) {
		if (!p->sent)
			p->sent = st;
		else
			ojson_unref(st);
		p->detail_ns = 0;
		return;
	}
	if (can_wait(p, st, &in)) {
		ojson_unref(st);
		return;
	}
	p->detail_ns = 0;
	patch = ojson_new_object();
	(void)ojson_set_cstr(ojson_ensure_object(patch, "metadata"), "uid", p->is_static ? p->mirror_uid : p->uid);
	(void)ojson_set(patch, "status", ojson_ref(st));
	ojson_unref(p->sent);
	p->sent = st;
	p->sending = true;
	pod_ref(p);
	if (okube_patch(k->h, "pods", ns, name, "status", OKUBE_STRATEGIC_PATCH, patch, answered, p)) {
		p->sending = false;
		ojson_unref(p->sent);
		p->sent = NULL;
		pod_unref(p);
	}
	ojson_unref(patch);
}
