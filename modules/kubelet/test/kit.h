/*
 * kit.h - a kubelet on the fake host: a runtime and a network of a few lines that remember what they
 * were asked, and do what the test says. Included once by each test program.
 */
#ifndef TEST_KIT_H
#define TEST_KIT_H

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/ofile.h"
#include "base/otap.h"
#include "fakehost.h"
#include "kubelet.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define KIT_UNUSED __attribute__((unused))
#define KIT_MAX 64

extern const struct orlop_module orlop_module;

struct kit_ctr {
	char		id[80];
	char		name[64];
	char		sandbox[80];
	struct ojson	*config;
	int		state;		/* 0 created, 1 running, 2 exited, 3 removed */
	int		exit_code;
	int64_t		started;
	int64_t		finished;
};

struct kit_sb {
	char		id[80];
	struct ojson	*config;
	bool		ready;
	bool		removed;
};

struct kit_event {
	char		container[80];
	const char	*type;
};

struct kit {
	struct fakehost	*fh;
	struct fakehost_module *m;
	char		dir[64];
	struct kit_ctr	c[KIT_MAX];
	int		n_c;
	struct kit_sb	s[KIT_MAX];
	int		n_s;
	struct kit_event ev[1024];
	uint64_t	n_ev;
	struct orlop_call *poller;
	uint64_t	poll_cursor;
	char		ops[65536];	/* "run_sandbox web\n…" */
	bool		image_there;
	const char	*pull_error;
	const char	*create_error;
	const char	*cni_error;
	const char	*cni_del_error;
	const char	*sandbox_error;
	bool		hold;		/* sandboxes are made when the test says so */
	struct orlop_call *held[KIT_MAX];
	struct ojson	*held_out[KIT_MAX];
	int		n_held;
	int		n_let_go;
	int		start_lost;	/* no answer to the next start: 1 it had not begun, 2 it had */
	bool		slow_stop;	/* containers do not end when asked */
	struct orlop_call *stops[KIT_MAX];
	int		n_stops;
	int		stop_timeout;
	int		probe_exit;	/* of commands */
	int		n_execs;
};

static struct kit kit;

static void kit_log(const char *op, const char *what)
{
	size_t n = strlen(kit.ops);

	snprintf(kit.ops + n, sizeof(kit.ops) - n, "%s %s\n", op, what);
}

static KIT_UNUSED int kit_count(const char *text)
{
	const char *p = kit.ops;
	int n = 0;

	while ((p = strstr(p, text))) {
		n++;
		p += strlen(text);
	}
	return n;
}

static void kit_reply(struct orlop_call *call, struct ojson *take_j, const char *netns)
{
	const struct orlop_host *h = fakehost_host(kit.fh);
	struct orlop_msgw w;
	struct orlop_msg m;
	size_t len = 2;
	char *text = take_j ? ojson_text(take_j, 0, &len) : omem_strdup("{}");

	orlop_msgw_init(&w, h);
	orlop_msgw_bytes(&w, ORLOP_RUNTIME_T_RESPONSE, text, len);
	if (netns)
		orlop_msgw_str(&w, ORLOP_RUNTIME_T_NETNS, netns);
	m = orlop_msgw_msg(&w);
	fakehost_reply(call, 0, &m);
	orlop_msgw_done(&w);
	omem_free(text);
	ojson_unref(take_j);
}

static void kit_poll_answer(void)
{
	const struct orlop_host *h = fakehost_host(kit.fh);
	struct orlop_call *call = kit.poller;
	struct ojson *list;
	struct orlop_msgw w;
	struct orlop_msg m;
	uint64_t i;
	char *text;
	size_t len;

	if (!call)
		return;
	kit.poller = NULL;
	list = ojson_new_array();
	for (i = kit.poll_cursor; i < kit.n_ev + 1; i++) {
		struct ojson *e = ojson_new_object();

		(void)ojson_set_cstr(e, "containerId", kit.ev[i - 1].container);
		(void)ojson_set_cstr(e, "type", kit.ev[i - 1].type);
		(void)ojson_append(list, e);
	}
	text = ojson_text(list, 0, &len);
	orlop_msgw_init(&w, h);
	orlop_msgw_u64(&w, ORLOP_RUNTIME_T_CURSOR, kit.n_ev + 1);
	orlop_msgw_bytes(&w, ORLOP_RUNTIME_T_EVENTS, text, len);
	m = orlop_msgw_msg(&w);
	fakehost_reply(call, 0, &m);
	orlop_msgw_done(&w);
	omem_free(text);
	ojson_unref(list);
}

static void kit_event(const struct kit_ctr *c, const char *type)
{
	struct kit_event *e = &kit.ev[kit.n_ev++];

	snprintf(e->container, sizeof(e->container), "%s", c->id);
	e->type = type;
	kit_poll_answer();
}

/* The newest container of this name, NULL: none. */
static KIT_UNUSED struct kit_ctr *kit_ctr(const char *name)
{
	int i;

	for (i = kit.n_c - 1; i >= 0; i--)
		if (!strcmp(kit.c[i].name, name) && kit.c[i].state < 3)
			return &kit.c[i];
	return NULL;
}

static struct kit_ctr *kit_by_id(const char *id)
{
	int i;

	for (i = 0; i < kit.n_c; i++)
		if (!strcmp(kit.c[i].id, id) && kit.c[i].state < 3)
			return &kit.c[i];
	return NULL;
}

/* It ends. */
static KIT_UNUSED void kit_exit(struct kit_ctr *c, int code)
{
	c->state = 2;
	c->exit_code = code;
	c->finished = (int64_t)fakehost_host(kit.fh)->now_wall(fakehost_host(kit.fh));
	kit_event(c, "CONTAINER_STOPPED_EVENT");
}

/* With 64-bit integers as CRI's JSON may have them. */
static struct ojson *kit_user(void)
{
	static const char text[] = "{\"linux\":{\"uid\":\"7\",\"gid\":8,\"supplementalGroups\":[\"8\",\"9\"]}}";
	struct ojson *j = NULL;

	(void)ojson_parse(text, sizeof(text) - 1, &j, NULL);
	return j;
}

static struct ojson *kit_summary(const struct kit_ctr *c)
{
	static const char *const states[] = { "CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED" };
	struct ojson *j = ojson_new_object();

	(void)ojson_set_cstr(j, "id", c->id);
	(void)ojson_set_cstr(j, "podSandboxId", c->sandbox);
	(void)ojson_set_cstr(j, "state", states[c->state]);
	(void)ojson_set_cstr(j, "imageRef", "hello@sha256:1");
	(void)ojson_set_cstr(j, "imageId", "sha256:1");
	(void)ojson_set(j, "metadata", ojson_ref(ojson_get(c->config, "metadata")));
	(void)ojson_set(j, "labels", ojson_ref(ojson_get(c->config, "labels")));
	(void)ojson_set(j, "annotations", ojson_ref(ojson_get(c->config, "annotations")));
	(void)ojson_set_i64(j, "startedAt", c->started);
	(void)ojson_set_i64(j, "finishedAt", c->finished);
	(void)ojson_set_i64(j, "exitCode", c->exit_code);
	(void)ojson_set(j, "user", kit_user());
	return j;
}

static void kit_create(const struct ojson *r, struct orlop_call *call)
{
	struct kit_ctr *c = &kit.c[kit.n_c];
	struct ojson *out;

	if (kit.create_error) {
		fakehost_reply_error(call, EIO, 0, "", kit.create_error);
		return;
	}
	memset(c, 0, sizeof(*c));
	snprintf(c->id, sizeof(c->id), "c%d", ++kit.n_c);
	snprintf(c->sandbox, sizeof(c->sandbox), "%s", ojson_get_cstr(r, "podSandboxId", ""));
	c->config = ojson_ref(ojson_get(r, "config"));
	snprintf(c->name, sizeof(c->name), "%s", ojson_cstr(OJSON_AT(c->config, "metadata", "name"), ""));
	kit_log("create", c->name);
	out = ojson_new_object();
	(void)ojson_set_cstr(out, "containerId", c->id);
	kit_reply(call, out, NULL);
}

static void kit_runtime(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	const struct orlop_host *h = fakehost_host(kit.fh);
	struct orlop_bytes text = orlop_msg_bytes(h, &req->msg, ORLOP_RUNTIME_T_REQUEST);
	struct ojson *r = NULL;
	struct ojson *out = ojson_new_object();
	struct ojson *list;
	struct kit_ctr *c;
	int i;

	(void)arg;
	if (text.len)
		(void)ojson_parse(text.p, text.len, &r, NULL);
	c = kit_by_id(ojson_get_cstr(r, "containerId", ""));
	switch (req->op) {
	case ORLOP_RUNTIME_EVENTS:
		ojson_unref(out);
		kit.poll_cursor = orlop_msg_u64(&req->msg, ORLOP_RUNTIME_T_CURSOR, 0);
		if (!kit.poll_cursor)
			kit.poll_cursor = kit.n_ev + 1;
		kit.poller = call;
		if (kit.poll_cursor <= kit.n_ev)
			kit_poll_answer();
		break;
	case ORLOP_RUNTIME_IMAGE_STATUS:
		if (kit.image_there) {
			struct ojson *img = ojson_ensure_object(out, "image");

			(void)ojson_set_cstr(img, "id", "sha256:1");
			(void)ojson_append_cstr(ojson_ensure_array(img, "repoDigests"), "hello@sha256:1");
			(void)ojson_set_i64(img, "size", 1000);
		}
		kit_reply(call, out, NULL);
		break;
	case ORLOP_RUNTIME_IMAGE_PULL:
		ojson_unref(out);
		kit_log("pull", ojson_cstr(OJSON_AT(r, "image", "image"), ""));
		if (kit.pull_error) {
			fakehost_reply_error(call, ENOENT, 0, "", kit.pull_error);
		} else {
			kit.image_there = true;
			kit_reply(call, NULL, NULL);
		}
		break;
	case ORLOP_RUNTIME_RUN_SANDBOX:
		kit_log("handler", ojson_get_cstr(r, "runtimeHandler", ""));
		if (kit.sandbox_error) {
			ojson_unref(out);
			fakehost_reply_error(call, EINVAL, 0, "", kit.sandbox_error);
			break;
		}
		snprintf(kit.s[kit.n_s].id, sizeof(kit.s[0].id), "s%d", kit.n_s + 1);
		kit.s[kit.n_s].config = ojson_ref(ojson_get(r, "config"));
		kit.s[kit.n_s].ready = true;
		(void)ojson_set_cstr(out, "podSandboxId", kit.s[kit.n_s].id);
		kit_log("run_sandbox", ojson_cstr(OJSON_AT(r, "config", "metadata", "name"), ""));
		kit.n_s++;
		if (kit.hold) {
			kit.held_out[kit.n_held] = out;
			kit.held[kit.n_held++] = call;
			break;
		}
		kit_reply(call, out, "/run/netns/x");
		break;
	case ORLOP_RUNTIME_SANDBOX_STATUS:
		(void)ojson_set_cstr(ojson_ensure_object(out, "status"), "state", "SANDBOX_READY");
		kit_reply(call, out, "/run/netns/x");
		break;
	case ORLOP_RUNTIME_STOP_SANDBOX:
	case ORLOP_RUNTIME_REMOVE_SANDBOX:
		for (i = 0; i < kit.n_s; i++) {
			if (strcmp(kit.s[i].id, ojson_get_cstr(r, "podSandboxId", "")))
				continue;
			kit.s[i].ready = false;
			kit.s[i].removed |= req->op == ORLOP_RUNTIME_REMOVE_SANDBOX;
		}
		kit_log(req->op == ORLOP_RUNTIME_STOP_SANDBOX ? "stop_sandbox" : "remove_sandbox",
			ojson_get_cstr(r, "podSandboxId", ""));
		kit_reply(call, out, NULL);
		break;
	case ORLOP_RUNTIME_LIST_SANDBOXES:
		list = ojson_ensure_array(out, "items");
		for (i = 0; i < kit.n_s; i++) {
			struct ojson *j;

			if (kit.s[i].removed)
				continue;
			j = ojson_new_object();
			(void)ojson_set_cstr(j, "id", kit.s[i].id);
			(void)ojson_set_cstr(j, "state", kit.s[i].ready ? "SANDBOX_READY" : "SANDBOX_NOTREADY");
			(void)ojson_set(j, "metadata", ojson_ref(ojson_get(kit.s[i].config, "metadata")));
			(void)ojson_set(j, "labels", ojson_ref(ojson_get(kit.s[i].config, "labels")));
			(void)ojson_append(list, j);
		}
		kit_reply(call, out, NULL);
		break;
	case ORLOP_RUNTIME_LIST_CONTAINERS:
		list = ojson_ensure_array(out, "containers");
		for (i = 0; i < kit.n_c; i++)
			if (kit.c[i].state < 3)
				(void)ojson_append(list, kit_summary(&kit.c[i]));
		kit_reply(call, out, NULL);
		break;
	case ORLOP_RUNTIME_CREATE_CONTAINER:
		ojson_unref(out);
		kit_create(r, call);
		break;
	case ORLOP_RUNTIME_START_CONTAINER:
		kit_log("start", c ? c->name : "?");
		if (kit.start_lost != 1) {
			c->state = 1;
			c->started = (int64_t)h->now_wall(h);
		}
		if (kit.start_lost) {
			kit.start_lost = 0;
			ojson_unref(out);
			fakehost_reply_error(call, ECONNRESET, 0, "", "outcome unknown");
			break;
		}
		(void)ojson_set(out, "user", kit_user());
		kit_reply(call, out, NULL);
		break;
	case ORLOP_RUNTIME_STOP_CONTAINER:
		kit_log("stop", c ? c->name : "?");
		kit.stop_timeout = (int)ojson_get_i64(r, "timeout", 0);
		if (c && kit.slow_stop) {
			ojson_unref(out);
			kit.stops[kit.n_stops++] = call;
			break;
		}
		if (c && c->state == 1)
			kit_exit(c, 143);
		kit_reply(call, out, NULL);
		break;
	case ORLOP_RUNTIME_REMOVE_CONTAINER:
		kit_log("remove", c ? c->name : "?");
		if (c)
			c->state = 3;
		kit_reply(call, out, NULL);
		break;
	case ORLOP_RUNTIME_CONTAINER_STATUS:
		if (!c) {
			ojson_unref(out);
			fakehost_reply_error(call, ENOENT, 404, "NotFound", "no such container");
			break;
		}
		(void)ojson_set(out, "status", kit_summary(c));
		kit_reply(call, out, NULL);
		break;
	case ORLOP_RUNTIME_EXEC_SYNC:
		kit.n_execs++;
		kit_log("exec", ojson_cstr(ojson_index(ojson_get(r, "cmd"), 0), ""));
		(void)ojson_set_i64(out, "exitCode", kit.probe_exit);
		(void)ojson_set_cstr(out, "stdout", "said");
		kit_reply(call, out, NULL);
		break;
	default:
		kit_reply(call, out, NULL);
		break;
	}
	ojson_unref(r);
}

/* One sandbox that is held is made. */
static KIT_UNUSED void kit_let_go(void)
{
	int i = kit.n_let_go++;

	kit_reply(kit.held[i], kit.held_out[i], "/run/netns/x");
}

static void kit_cni(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	const struct orlop_host *h = fakehost_host(kit.fh);
	struct orlop_bytes id = orlop_msg_bytes(h, &req->msg, ORLOP_CNI_T_CONTAINER_ID);
	static const char *const names[] = { "", "add", "del", "check", "gc", "status", "teardown" };
	char text[200] = "{\"ready\":true}";
	char what[100];
	struct orlop_msgw w;
	struct orlop_msg m;

	(void)arg;
	snprintf(what, sizeof(what), "%.*s", (int)id.len, id.p ? id.p : "");
	kit_log(names[req->op], what);
	if (req->op == ORLOP_CNI_ADD && kit.cni_error) {
		fakehost_reply_error(call, EIO, 0, "", kit.cni_error);
		return;
	}
	if (req->op == ORLOP_CNI_DEL && kit.cni_del_error) {
		fakehost_reply_error(call, EIO, 0, "", kit.cni_del_error);
		return;
	}
	if (req->op == ORLOP_CNI_ADD)
		snprintf(text, sizeof(text), "{\"ips\":[{\"address\":\"10.0.0.%d/24\"}]}", atoi(what + 1) + 1);
	orlop_msgw_init(&w, h);
	orlop_msgw_str(&w, ORLOP_CNI_T_RESULT, text);
	m = orlop_msgw_msg(&w);
	fakehost_reply(call, 0, &m);
	orlop_msgw_done(&w);
}

static KIT_UNUSED void kit_load(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (fakehost_load_as(kit.fh, &orlop_module, NULL, &kit.m, &err))
		otap_bail_out(err.msg);
	fakehost_advance(kit.fh, 10 * FAKEHOST_MS);
}

static KIT_UNUSED void kit_begin(void)
{
	static char path[4][100];

	memset(&kit, 0, sizeof(kit));
	kit.image_there = true;
	snprintf(kit.dir, sizeof(kit.dir), "/tmp/kubelet-test-XXXXXX");
	if (!mkdtemp(kit.dir))
		otap_bail_out("no directory for the test");
	snprintf(path[0], sizeof(path[0]), "%s/root", kit.dir);
	snprintf(path[1], sizeof(path[1]), "%s/logs", kit.dir);
	kit.fh = fakehost_new();
	fakehost_param(kit.fh, "node_name", "n1");
	fakehost_param(kit.fh, "node_ip", "192.0.2.1");
	fakehost_param(kit.fh, "root", path[0]);
	fakehost_param(kit.fh, "cgroups_per_qos", "false");
	fakehost_param(kit.fh, "log_dir", path[1]);
	fakehost_param(kit.fh, "eviction_hard", "");	/* how full this machine's disk is does not matter */
	fakehost_resource(kit.fh, "pods", 1, "spec.nodeName", "status.phase", NULL);
	fakehost_resource(kit.fh, "services", 1, NULL);
	fakehost_resource(kit.fh, "runtimeclasses.node.k8s.io", 0, NULL);
	fakehost_resource(kit.fh, "endpoints", 1, NULL);
	fakehost_resource(kit.fh, "configmaps", 1, NULL);
	fakehost_resource(kit.fh, "secrets", 1, NULL);
	fakehost_resource(kit.fh, "nodes", 0, NULL);
	fakehost_resource(kit.fh, "leases.coordination.k8s.io", 1, NULL);
	fakehost_resource(kit.fh, "events", 1, NULL);
	fakehost_api(kit.fh);
	fakehost_serve(kit.fh, "runtime", kit_runtime, NULL);
	fakehost_serve(kit.fh, "cni", kit_cni, NULL);
}

static KIT_UNUSED void kit_end(void)
{
	int i;

	fakehost_free(kit.fh);
	for (i = 0; i < kit.n_c; i++)
		ojson_unref(kit.c[i].config);
	for (i = 0; i < kit.n_s; i++)
		ojson_unref(kit.s[i].config);
	(void)ofile_remove_tree(AT_FDCWD, kit.dir);
}

/* The pod as the API has it. */
static KIT_UNUSED struct ojson *kit_pod(const char *name)
{
	const char *members = fakehost_get(kit.fh, "pods", "default", name);
	struct ojson *j = NULL;

	if (members)
		(void)ojson_parse_members((struct orlop_bytes){ members, strlen(members) }, &j, NULL);
	return j;
}

/* Value at a dotted path of the pod, as text; valid until the next call. */
static KIT_UNUSED const char *kit_get(const char *name, const char *path)
{
	static char out[2048];
	struct ojson *pod = kit_pod(name);
	struct ojson *v = ojson_at_dotted(pod, path);
	char *text;

	snprintf(out, sizeof(out), "(none)");
	if (v && ojson_is(v, OJSON_STRING)) {
		snprintf(out, sizeof(out), "%s", ojson_cstr(v, ""));
	} else if (v) {
		text = ojson_text(v, 0, NULL);
		snprintf(out, sizeof(out), "%s", text ? text : "");
		omem_free(text);
	}
	ojson_unref(pod);
	return out;
}

/* Condition's status. */
static KIT_UNUSED const char *kit_condition(const char *name, const char *type)
{
	static char out[64];
	struct ojson *pod = kit_pod(name);

	snprintf(out, sizeof(out), "%s", ojson_get_cstr(okube_condition(pod, type), "status", "(none)"));
	ojson_unref(pod);
	return out;
}

static KIT_UNUSED void kit_run(uint64_t ms)
{
	fakehost_advance(kit.fh, ms * FAKEHOST_MS);
}

#define KIT_POD(spec) "{\"metadata\":{\"labels\":{\"app\":\"x\"}},\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"Always\"," spec "}}"

#endif
