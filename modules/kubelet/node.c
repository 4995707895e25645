/*
 * node.c - the Node object of this machine and its Lease.
 *
 * The Node is created (or brought up to date) as soon as machine, runtime and network are known;
 * then its status is patched when something changes and every five minutes, and the Lease every ten
 * seconds: the only thing here that wakes by the clock.
 * Source: pkg/kubelet/nodestatus/setters.go, kubelet_node_status.go.
 */
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#include "base/ofile.h"
#include "base/otime.h"

#define STATUS_NS	(300 * (int64_t)NS_PER_S)

static void node_sync(struct node *n);

const char *node_ip(const struct kubelet *k)
{
	return k->node ? k->node->m.node_ip : "";
}

const struct machine *node_machine(const struct kubelet *k)
{
	return &k->node->m;
}

bool node_known(const struct kubelet *k)
{
	return k->node && k->node->known;
}

bool node_ready(const struct kubelet *k)
{
	return k->node && k->node->told_ready;
}

const char *node_image_dir(const struct kubelet *k)
{
	return k->node && k->node->image_dir ? k->node->image_dir : "";
}

bool node_has_userns(const struct kubelet *k)
{
	return k->node && ojson_bool(OJSON_AT(ojson_index(k->node->handlers, 0), "features", "userNamespaces"), false);
}

void node_tell(struct kubelet *k)
{
	if (!k->node)
		return;
	k->node->status_ns = 0;
	node_sync(k->node);
}

void node_event(struct kubelet *k, const char *type, const char *reason, const char *fmt, ...)
{
	struct ojson *obj = ojson_new_object();
	struct ojson *meta = obj ? ojson_ensure_object(obj, "metadata") : NULL;
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* upstream's node events carry the name as uid; kubectl describe finds both */
	(void)ojson_set_cstr(meta, "name", k->node_name);
	(void)ojson_set_cstr(meta, "uid", k->node_name);
	okube_event(k->events, "v1", "Node", obj, NULL, type, reason, "%s", text);
	ojson_unref(obj);
}

/* ---- telling the API ---------------------------------------------------------------------------------- */

static void again_later(struct node *n)
{
	n->failures = n->failures < 6 ? n->failures + 1 : 6;
	n->k->h->timer_set(n->retry, (50ull << n->failures) * 1000000ull, 0);
}

/* Events of what the conditions say, as they change; of a node that was found, not what it said before. */
static void status_told(struct node *n)
{
	static const struct {
		const char	*type;
		const char	*there;
		const char	*none;
	} all[] = {
		{ "MemoryPressure", "NodeHasInsufficientMemory", "NodeHasSufficientMemory" },
		{ "DiskPressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure" },
		{ "PIDPressure", "NodeHasInsufficientPID", "NodeHasSufficientPID" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		bool there = !strcmp(ojson_get_cstr(node_sent_condition(n, all[i].type), "status", ""), "True");
		int8_t now = there ? 2 : 1;
		const char *reason = there ? all[i].there : all[i].none;

		if (n->told_pressure[i] != now && (n->told_pressure[i] || n->fresh || there))
			node_event(n->k, "Normal", reason, "Node %s status is now: %s", n->k->node_name, reason);
		n->told_pressure[i] = now;
	}
}

static void status_answer(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct node *n = arg;
	bool ready;

	(void)rev;
	n->busy = false;
	if (n->k->stopping)
		return;
	if (status || code >= 300) {
		OLOG(n->k->h, WARN, "node_status", "code=%u why=\"%s\" retrying=1", code,
		     status ? strerrordesc_np(-status) : ojson_get_cstr(body, "message", ""));
		if (code == 404)
			n->created = false;
		ojson_unref(n->sent);
		n->sent = NULL;
		again_later(n);
		return;
	}
	n->failures = 0;
	status_told(n);
	ready = !strcmp(ojson_get_cstr(node_sent_condition(n, "Ready"), "status", ""), "True");
	if (ready != n->told_ready) {
		n->told_ready = ready;
		OLOG(n->k->h, INFO, ready ? "node_ready" : "node_not_ready", "node=%s", n->k->node_name);
		node_event(n->k, "Normal", ready ? "NodeReady" : "NodeNotReady", "Node %s status is now: %s",
			   n->k->node_name, ready ? "NodeReady" : "NodeNotReady");
		/* pods that were marked not ready with the node */
		if (ready)
			OMAP_FOREACH(&n->k->pods, e)
				pod_kick(e->value);
	}
	node_sync(n);
}

static void status_send(struct node *n)
{
	struct ojson *patch = ojson_new_object();
	struct ojson *st = node_status(n);

	if (!patch || !st) {
		ojson_unref(patch);
		ojson_unref(st);
		again_later(n);
		return;
	}
	ojson_unref(n->sent);
	n->sent = ojson_ref(ojson_get(st, "conditions"));
	n->status_ns = kubelet_now(n->k);
	(void)ojson_set(patch, "status", st);
	n->busy = true;
	if (okube_patch(n->k->h, "nodes", (struct orlop_bytes){ "", 0 }, node_name_bytes(n->k), "status",
			OKUBE_STRATEGIC_PATCH, patch, status_answer, n)) {
		n->busy = false;
		again_later(n);
	}
	ojson_unref(patch);
}

static void labelled(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct node *n = arg;
	const char *boot;

	(void)rev;
	n->busy = false;
	if (n->k->stopping)
		return;
	if (status || code >= 300) {
		again_later(n);
		return;
	}
	n->created = true;
	text_set(&n->uid, okube_meta(body, "uid"));
	boot = ojson_cstr(OJSON_AT(body, "status", "nodeInfo", "bootID"), "");
	if (*boot && n->m.boot_id[0] && strcmp(boot, n->m.boot_id))
		node_event(n->k, "Warning", "Rebooted", "Node %s has been rebooted, boot id: %s", n->k->node_name, n->m.boot_id);
	/* transition times go on where the last life left them */
	if (!n->sent) {
		struct ojson *copy = NULL;

		if (!ojson_copy(OJSON_AT(body, "status", "conditions"), &copy))
			n->sent = copy;
	}
	n->status_ns = 0;
	node_sync(n);
}

static void created(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct node *n = arg;
	struct ojson *patch;

	n->busy = false;
	if (n->k->stopping)
		return;
	if (!status && code == 409) {
		patch = ojson_new_object();
		node_labels(n, ojson_ensure_object(ojson_ensure_object(patch, "metadata"), "labels"));
		n->busy = true;
		if (okube_patch(n->k->h, "nodes", (struct orlop_bytes){ "", 0 }, node_name_bytes(n->k), NULL,
				OKUBE_MERGE_PATCH, patch, labelled, n)) {
			n->busy = false;
			again_later(n);
		}
		ojson_unref(patch);
		return;
	}
	if (status || code >= 300) {
		OLOG(n->k->h, WARN, "node_not_registered", "code=%u why=\"%s\" retrying=1", code,
		     status ? strerrordesc_np(-status) : ojson_get_cstr(body, "message", ""));
		again_later(n);
		return;
	}
	n->fresh = true;
	OLOG(n->k->h, INFO, "node_registered", "node=%s ip=%s", n->k->node_name, n->m.node_ip);
	labelled(n, 0, code, body, rev);
}

static void create(struct node *n)
{
	struct ojson *obj = ojson_new_object();
	struct ojson *meta = obj ? ojson_ensure_object(obj, "metadata") : NULL;

	(void)ojson_set_cstr(obj, "kind", "Node");
	(void)ojson_set_cstr(obj, "apiVersion", "v1");
	(void)ojson_set_cstr(meta, "name", n->k->node_name);
	node_labels(n, ojson_ensure_object(meta, "labels"));
	(void)ojson_set_cstr(ojson_ensure_object(meta, "annotations"),
			     "volumes.kubernetes.io/controller-managed-attach-detach", "true");
	if (ojson_count(n->cidrs)) {
		struct ojson *spec = ojson_ensure_object(obj, "spec");

		(void)ojson_set_cstr(spec, "podCIDR", ojson_cstr(ojson_index(n->cidrs, 0), ""));
		(void)ojson_set(spec, "podCIDRs", ojson_ref(n->cidrs));
	}
	(void)ojson_set(obj, "status", node_status(n));
	n->busy = true;
	if (okube_create(n->k->h, "nodes", (struct orlop_bytes){ "", 0 }, obj, created, n)) {
		n->busy = false;
		again_later(n);
	}
	ojson_unref(obj);
}

/* ---- what it is made of ------------------------------------------------------------------------------------ */

static void images_got(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct node *n = arg;
	struct ojson *list = ojson_new_array();

	(void)msg;
	(void)why;
	OJSON_FOREACH_ELEM(i, img, status >= 0 ? ojson_get(res, "images") : NULL) {
		struct ojson *e = i < 50 ? ojson_new_object() : NULL;
		struct ojson *names = e ? ojson_ensure_array(e, "names") : NULL;
		struct ojson *size = ojson_get(img, "size");

		if (!names)
			break;
		OJSON_FOREACH_ELEM(k, d, ojson_get(img, "repoDigests"))
			(void)ojson_append(names, ojson_ref(d));
		OJSON_FOREACH_ELEM(m, t, ojson_get(img, "repoTags"))
			(void)ojson_append(names, ojson_ref(t));
		(void)ojson_set_i64(e, "sizeBytes", ojson_string(size, NULL) ? strtoll(ojson_cstr(size, "0"), NULL, 10)
									      : ojson_i64(size, 0));
		(void)ojson_append(list, e);
	}
	if (status >= 0 && !n->k->stopping)
		gc_images_seen(n->k, ojson_get(res, "images"));
	if (status < 0 || n->k->stopping || ojson_equal(list, n->images)) {
		ojson_unref(list);
		return;
	}
	ojson_unref(n->images);
	n->images = list;
	/* told with the next status: nobody waits for it */
}

static void cni_got(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct node *n = arg;
	cleanup_ojson struct ojson *result = NULL;
	struct orlop_bytes text = orlop_msg_bytes(n->k->h, status >= 0 ? msg : NULL, ORLOP_CNI_T_RESULT);
	char reason[700];
	bool ok;

	(void)res;
	n->asking = false;
	if (n->k->stopping)
		return;
	if (text.len)
		(void)ojson_parse(text.p, text.len, &result, NULL);
	ok = status >= 0 && ojson_get_bool(result, "ready", true);
	if (ojson_get_array(result, "podCIDRs")) {
		ojson_unref(n->cidrs);
		n->cidrs = ojson_ref(ojson_get(result, "podCIDRs"));
	}
	if (!ok) {
		snprintf(reason, sizeof(reason), "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: %s",
			 status < 0 ? why : ojson_get_cstr(result, "message", "not ready"));
		text_set(&n->why_not, reason);
		n->k->h->timer_set(n->retry, NS_PER_S, 0);
	}
	if (ok != n->network_ok) {
		n->network_ok = ok;
		n->status_ns = 0;
	}
	node_sync(n);
}

static void runtime_got(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct node *n = arg;
	bool ok = status >= 0;
	char reason[700];

	(void)msg;
	if (n->k->stopping)
		return;
	if (ok) {
		ojson_unref(n->handlers);
		n->handlers = ojson_ref(ojson_get(res, "runtimeHandlers"));
		n->strict_groups = ojson_bool(OJSON_AT(res, "features", "supplementalGroupsPolicy"), false);
	}
	snprintf(reason, sizeof(reason), "container runtime is down: %s", why);
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(res, "status", "conditions")) {
		if (!strcmp(ojson_get_cstr(c, "type", ""), "RuntimeReady") && !ojson_get_bool(c, "status", false)) {
			ok = false;
			snprintf(reason, sizeof(reason), "container runtime is down: %s",
				 ojson_get_cstr(c, "message", "not ready"));
		}
	}
	if (ok != n->runtime_ok) {
		n->runtime_ok = ok;
		n->status_ns = 0;
	}
	if (!ok)
		text_set(&n->why_not, reason);
	cni_call(n->k, ORLOP_CNI_STATUS, 0, NULL, NULL, NULL, cni_got, n);
}

static void version_got(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct node *n = arg;
	const char *v = ojson_get_cstr(res, "runtimeVersion", "");
	const char *name = ojson_get_cstr(res, "runtimeName", "");
	char text[120];

	(void)msg;
	(void)why;
	if (status < 0 || n->k->stopping)
		return;
	/* ours is orlop://VERSION, a strange engine's keeps its name */
	snprintf(text, sizeof(text), "%s://%s", strncmp(name, "orlop", 5) && *name ? name : "orlop", v);
	text_set(&n->runtime_version, text);
}

static void fs_got(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct node *n = arg;
	const struct ojson *fs = ojson_index(ojson_get(res, "imageFilesystems"), 0);
	const char *dir = ojson_cstr(OJSON_AT(fs, "fsId", "mountpoint"), "");

	(void)msg;
	(void)why;
	if (status >= 0 && *dir && !n->k->stopping)
		text_set(&n->image_dir, dir);
}

static void look(struct node *n)
{
	if (n->asking)
		return;
	n->asking = true;
	if (!n->runtime_version)
		rt_call(n->k, ORLOP_RUNTIME_VERSION, 0, NULL, 0, version_got, n);
	if (!n->image_dir)
		rt_call(n->k, ORLOP_RUNTIME_IMAGE_FS_INFO, 0, NULL, 0, fs_got, n);
	rt_call(n->k, ORLOP_RUNTIME_STATUS, 0, NULL, 10 * NS_PER_S, runtime_got, n);
	rt_call(n->k, ORLOP_RUNTIME_IMAGE_LIST, 0, NULL, 0, images_got, n);
}

static void node_sync(struct node *n)
{
	if (n->busy || !n->known || n->k->stopping)
		return;
	/* one look first, so that the first status says Ready; what takes longer is told later */
	if (n->asking && !(n->runtime_ok && n->network_ok) && !n->created)
		return;
	if (!n->created) {
		create(n);
		return;
	}
	if (!n->status_ns || kubelet_now(n->k) - n->status_ns >= STATUS_NS)
		status_send(n);
}

/* Who heard nothing of us for long says so in our conditions; who took us out wants us to register. */
void node_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct kubelet *k = arg;
	struct node *n = k->node;
	struct ojson *obj;

	(void)prev;
	if (o->name.len != strlen(k->node_name) || memcmp(o->name.p, k->node_name, o->name.len) || !n->created)
		return;
	if (type == ORLOP_CHANGE_DELETED) {
		n->created = false;
		node_sync(n);
		return;
	}
	obj = okube_parse(o);
	if (obj && ojson_get_bool(ojson_get(obj, "spec"), "unschedulable", false) != n->told_unschedulable) {
		n->told_unschedulable = !n->told_unschedulable;
		node_event(k, "Normal", n->told_unschedulable ? "NodeNotSchedulable" : "NodeSchedulable",
			   "Node %s status is now: %s", k->node_name,
			   n->told_unschedulable ? "NodeNotSchedulable" : "NodeSchedulable");
	}
	if (obj && n->sent && strcmp(ojson_get_cstr(okube_condition(obj, "Ready"), "status", ""),
				     ojson_get_cstr(node_sent_condition(n, "Ready"), "status", ""))) {
		n->status_ns = 0;
		node_sync(n);
	}
	ojson_unref(obj);
}

static void tick(void *arg)
{
	struct node *n = arg;

	lease_send(n);
	if (!n->status_ns || kubelet_now(n->k) - n->status_ns >= STATUS_NS - (int64_t)LEASE_NS || !node_is_ready(n))
		look(n);
	evict_look(n->k);
	node_sync(n);
}

static void retry(void *arg)
{
	struct node *n = arg;

	if (!node_is_ready(n))
		look(n);
	node_sync(n);
}

struct read_job {
	struct node	*n;
	struct machine	m;
	const char	*ip;
};

static void read_work(void *arg)
{
	struct read_job *j = arg;

	machine_read(j->n->k->root, j->ip, &j->m);
}

static void read_done(void *arg)
{
	struct read_job *j = arg;
	struct node *n = j->n;

	n->m = j->m;
	n->known = true;
	omem_free(j);
	if (n->k->stopping)
		return;
	kubelet_maybe_run(n->k);
	node_sync(n);
	n->k->h->timer_set(n->timer, 1, LEASE_NS);
}

int node_start(struct kubelet *k, struct orlop_error *err)
{
	struct node *n = k->node;
	struct read_job *j = OMEM_NEW(struct read_job);
	int e;

	if (!j)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	j->n = n;
	j->ip = k->h->param(k->h, "node_ip");
	e = k->h->timer_new(k->h, tick, n, &n->timer);
	if (!e)
		e = k->h->timer_new(k->h, retry, n, &n->retry);
	if (!e)
		e = k->h->work(k->h, 0, read_work, read_done, j);
	if (e) {
		omem_free(j);
		return orlop_fail(err, -e, 0, "", "the node cannot be described");
	}
	look(n);
	node_event(n->k, "Normal", "Starting", "Starting kubelet.");
	return 0;
}

void node_stop(struct kubelet *k)
{
	if (!k->node)
		return;
	k->h->timer_free(k->node->timer);
	k->h->timer_free(k->node->retry);
	k->node->timer = NULL;
	k->node->retry = NULL;
}

void node_free(struct kubelet *k)
{
	struct node *n = k->node;

	if (!n)
		return;
	ojson_unref(n->images);
	ojson_unref(n->handlers);
	ojson_unref(n->cidrs);
	ojson_unref(n->sent);
	omem_free(n->why_not);
	omem_free(n->runtime_version);
	omem_free(n->image_dir);
	omem_free(n->uid);
	omem_free(n);
	k->node = NULL;
}

int node_init(struct kubelet *k)
{
	k->node = OMEM_NEW(struct node);
	if (!k->node)
		return -ENOMEM;
	k->node->k = k;
	return 0;
}
