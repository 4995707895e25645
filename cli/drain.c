/*
 * drain.c - the pods of this node go, with the daemon's help: through the classes' own contracts,
 * so that it works whichever runtime and network module is loaded. Or they end, because the machine goes down.
 */
#include "down.h"

#include "cli.h"

#include <orlop/cni.h>
#include <orlop/kubelet.h>
#include <orlop/runtime.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/ocleanup.h"

#define ASK_NS		UINT64_C(10000000000)	/* then again: another instance may have taken over */
#define SIDE_BY_SIDE	32		/* stops under way at once */

static void complain(const char *what, const struct orlop_error *err)
{
	cli_say("%s: %s; going on", what, err->msg);
}

/* An instance of class @class_name, its name into @buf; 0 or -ENOENT. */
static int instance_of(struct ctl *c, const char *class_name, char *buf, size_t size)
{
	cleanup_ojson struct ojson *list = NULL;
	int r = ctl_json(c, ORLOP_ADMIN_MODULE_LIST, NULL, &list, NULL);

	if (r)
		return r;
	OJSON_FOREACH_ELEM(i, m, list) {
		if (strcmp(ojson_get_cstr(m, "class", ""), class_name))
			continue;
		snprintf(buf, size, "%s", ojson_get_cstr(m, "name", ""));
		return 0;
	}
	return -ENOENT;
}

static void unload_kubelet(struct ctl *c)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf answer = OBUF_INIT;
	struct orlop_msgw w;
	char name[256];

	while (instance_of(c, "kubelet", name, sizeof(name)) == 0) {
		int r;

		orlop_msgw_init(&w, NULL);
		orlop_msgw_str(&w, ORLOP_ADMIN_T_NAME, name);
		r = ctl_call(c, ORLOP_ADMIN_MODULE_UNLOAD, &w, &answer, &err);
		orlop_msgw_done(&w);
		if (r) {
			complain("unloading the kubelet", &err);
			break;
		}
	}
	obuf_done(&answer);
}

/* One stop_container; sent here, answered later. */
static int stop_send(struct ctl *c, const char *id, int64_t grace_s)
{
	cleanup_ojson struct ojson *req = ojson_new_object();
	cleanup_free char *text = NULL;
	struct orlop_msgw w;
	int r;

	if (!req || ojson_set_cstr(req, "containerId", id) || ojson_set_i64(req, "timeout", grace_s))
		return -ENOMEM;
	text = ojson_text(req, 0, NULL);
	if (!text)
		return -ENOMEM;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_RUNTIME_T_REQUEST, text);
	r = ctl_forward_send(c, "runtime", ORLOP_RUNTIME_STOP_CONTAINER, &w, NULL);
	orlop_msgw_done(&w);
	return r;
}

static void stop_containers(const struct setup *s, struct ctl *c, int64_t grace_s)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;
	struct obuf answer = OBUF_INIT;
	struct ctl side[SIDE_BY_SIDE];
	const struct ojson *list;
	size_t n;

	if (ctl_runtime(c, ORLOP_RUNTIME_LIST_CONTAINERS, NULL, &j, &err)) {
		complain("listing containers", &err);
		return;
	}
	list = ojson_get(j, "containers");
	n = ojson_count(list);
	for (size_t at = 0; at < n; at += SIDE_BY_SIDE) {
		size_t k = n - at < SIDE_BY_SIDE ? n - at : SIDE_BY_SIDE;

		for (size_t i = 0; i < k; i++) {
			side[i].fd = -1;
			if (ctl_open(s->control, &side[i], &err) == 0 &&
			    stop_send(&side[i], ojson_get_cstr(ojson_index(list, at + i), "id", ""), grace_s))
				ctl_close(&side[i]);
		}
		for (size_t i = 0; i < k; i++) {
			if (side[i].fd >= 0 && ctl_forward_recv(&side[i], &answer, &err))
				complain("stopping a container", &err);
			ctl_close(&side[i]);
		}
	}
	obuf_done(&answer);
}

static int sandbox_op(struct ctl *c, uint32_t op, const char *id, struct orlop_error *err)
{
	struct ojson *req = ojson_new_object();
	cleanup_ojson struct ojson *out = NULL;

	if (req)
		(void)ojson_set_cstr(req, "podSandboxId", id);
	return ctl_runtime(c, op, req, &out, err);
}

static void sandbox_end(struct ctl *c, const char *id)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf answer = OBUF_INIT;
	struct orlop_msgw w;

	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_CNI_T_CONTAINER_ID, id);
	if (ctl_forward(c, "cni", ORLOP_CNI_DEL, &w, &answer, &err))
		complain("taking a pod off the network", &err);
	orlop_msgw_done(&w);
	obuf_done(&answer);
	if (sandbox_op(c, ORLOP_RUNTIME_STOP_SANDBOX, id, &err) || sandbox_op(c, ORLOP_RUNTIME_REMOVE_SANDBOX, id, &err))
		complain("removing a pod", &err);
}

static void sandboxes_end(struct ctl *c)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	cleanup_ojson struct ojson *j = NULL;

	if (ctl_runtime(c, ORLOP_RUNTIME_LIST_SANDBOXES, NULL, &j, &err)) {
		complain("listing pods", &err);
		return;
	}
	OJSON_FOREACH_ELEM(i, e, ojson_get(j, "items"))
		sandbox_end(c, ojson_get_cstr(e, "id", ""));
}

void drain(const struct setup *s, struct ctl *c, int64_t grace_s)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf answer = OBUF_INIT;
	char name[256];

	unload_kubelet(c);
	if (instance_of(c, "runtime", name, sizeof(name)) == 0) {
		stop_containers(s, c, grace_s);
		sandboxes_end(c);
	}
	if (instance_of(c, "cni", name, sizeof(name)) == 0 &&
	    ctl_forward(c, "cni", ORLOP_CNI_TEARDOWN, NULL, &answer, &err))
		complain("removing the pods' network", &err);
	obuf_done(&answer);
}

/* How many of its pods have not ended; -ENODATA: it does not say (any more). */
static int pods_left(struct ctl *c, const char *kubelet)
{
	cleanup_ojson struct ojson *j = NULL;
	int r = ctl_json(c, ORLOP_ADMIN_STATUS, NULL, &j, NULL);

	OJSON_FOREACH_ELEM(i, m, r ? NULL : ojson_get(j, "modules")) {
		const char *text = ojson_get_cstr(m, "text", "");
		const char *at = strstr(text, "shutting down, ");
		unsigned int n;

		if (!strcmp(ojson_get_cstr(m, "name", ""), kubelet) && at && sscanf(at, "shutting down, %u", &n) == 1)
			return n > INT32_MAX ? INT32_MAX : (int)n;
	}
	return r ? r : -ENODATA;
}

/* Told when the last of @kubelet's pods has ended. */
static int ended_wait(struct ctl *c, const char *kubelet, struct orlop_error *err)
{
	cleanup_obuf struct obuf answer = OBUF_INIT;

	for (;;) {
		int r = ctl_forward_fd(c, kubelet, ORLOP_KUBELET_ENDED, NULL, -1, ASK_NS, &answer, err);

		if (r != -ETIMEDOUT && r != -ECANCELED && r != -ECONNRESET)
			return r;
		r = pods_left(c, kubelet);
		if (r <= 0)
			return r ? orlop_fail(err, -r, 0, "", "%s does not say how many pods are left", kubelet) : 0;
	}
}

int drain_shutdown(struct ctl *c, struct orlop_error *err)
{
	struct obuf answer = OBUF_INIT;
	struct orlop_msgw w;
	char name[256];
	int r = instance_of(c, "kubelet", name, sizeof(name));

	if (r)
		return r == -ENOENT ? 0 : orlop_fail(err, -r, 0, "", "the daemon does not say what it runs");
	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_ADMIN_T_NAME, name);
	orlop_msgw_str(&w, ORLOP_ADMIN_T_PARAM, "shutdown=true");
	r = ctl_call(c, ORLOP_ADMIN_MODULE_SET, &w, &answer, err);
	orlop_msgw_done(&w);
	obuf_done(&answer);
	return r ? r : ended_wait(c, name, err);
}
