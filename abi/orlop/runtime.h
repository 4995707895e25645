/*
 * runtime.h - the class "runtime": pod sandboxes, containers, images, on this machine.
 *
 * The documents are the JSON mapping of CRI v1 (k8s.io/cri-api runtime.v1, proto3 JSON names:
 * lowerCamelCase, enums by name, 64-bit integers as numbers or strings): REQUEST is the JSON of the
 * CRI request message, the answer's RESPONSE that of the CRI response. A module for a CRI engine
 * passes them through; others implement them. What CRI does by streaming URLs is done with
 * descriptors here.
 * Ops of one pod carry the same order key. Ops are idempotent as CRI demands.
 */
#ifndef ORLOP_RUNTIME_H
#define ORLOP_RUNTIME_H

#include <orlop/call.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orlop_runtime_ops {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	reserved_op0;
	orlop_op_fn	version;		/* 1  VersionRequest */
	orlop_op_fn	status;			/* 2  StatusRequest */
	orlop_op_fn	run_sandbox;		/* 3  RunPodSandboxRequest; see NETNS */
	orlop_op_fn	stop_sandbox;		/* 4 */
	orlop_op_fn	remove_sandbox;		/* 5 */
	orlop_op_fn	sandbox_status;		/* 6 */
	orlop_op_fn	list_sandboxes;		/* 7 */
	orlop_op_fn	create_container;	/* 8 */
	orlop_op_fn	start_container;	/* 9 */
	orlop_op_fn	stop_container;		/* 10 */
	orlop_op_fn	remove_container;	/* 11 */
	orlop_op_fn	container_status;	/* 12 */
	orlop_op_fn	list_containers;	/* 13 */
	orlop_op_fn	update_resources;	/* 14 UpdateContainerResourcesRequest */
	orlop_op_fn	reopen_log;		/* 15 */
	orlop_op_fn	exec_sync;		/* 16 ExecSyncRequest */
	orlop_op_fn	exec;			/* 17 ExecRequest; answers with descriptors */
	orlop_op_fn	attach;			/* 18 AttachRequest; answers with descriptors */
	orlop_op_fn	port_forward;		/* 19 PortForwardRequest, one port; a connected socket */
	orlop_op_fn	container_stats;	/* 20 ListContainerStatsRequest */
	orlop_op_fn	events;			/* 21 long poll, see CURSOR */
	orlop_op_fn	image_list;		/* 22 */
	orlop_op_fn	image_status;		/* 23 */
	orlop_op_fn	image_pull;		/* 24 PullImageRequest */
	orlop_op_fn	image_remove;		/* 25 */
	orlop_op_fn	image_fs_info;		/* 26 */
	orlop_op_fn	image_import;		/* 27 FD 0: docker or OCI archive; or PATH */
	orlop_op_fn	exec_resize;		/* 28 EXEC_ID, WIDTH, HEIGHT */
	orlop_op_fn	exec_wait;		/* 29 EXEC_ID → EXIT_CODE */
	orlop_op_fn	sandbox_stats;		/* 30 ListPodSandboxStatsRequest; since ABI 1.1 */
};

enum {
	ORLOP_RUNTIME_VERSION = 1, ORLOP_RUNTIME_STATUS, ORLOP_RUNTIME_RUN_SANDBOX,
	ORLOP_RUNTIME_STOP_SANDBOX, ORLOP_RUNTIME_REMOVE_SANDBOX, ORLOP_RUNTIME_SANDBOX_STATUS,
	ORLOP_RUNTIME_LIST_SANDBOXES, ORLOP_RUNTIME_CREATE_CONTAINER,
	ORLOP_RUNTIME_START_CONTAINER, ORLOP_RUNTIME_STOP_CONTAINER,
	ORLOP_RUNTIME_REMOVE_CONTAINER, ORLOP_RUNTIME_CONTAINER_STATUS,
	ORLOP_RUNTIME_LIST_CONTAINERS, ORLOP_RUNTIME_UPDATE_RESOURCES,
	ORLOP_RUNTIME_REOPEN_LOG, ORLOP_RUNTIME_EXEC_SYNC, ORLOP_RUNTIME_EXEC,
	ORLOP_RUNTIME_ATTACH, ORLOP_RUNTIME_PORT_FORWARD, ORLOP_RUNTIME_CONTAINER_STATS,
	ORLOP_RUNTIME_EVENTS, ORLOP_RUNTIME_IMAGE_LIST, ORLOP_RUNTIME_IMAGE_STATUS,
	ORLOP_RUNTIME_IMAGE_PULL, ORLOP_RUNTIME_IMAGE_REMOVE, ORLOP_RUNTIME_IMAGE_FS_INFO,
	ORLOP_RUNTIME_IMAGE_IMPORT, ORLOP_RUNTIME_EXEC_RESIZE, ORLOP_RUNTIME_EXEC_WAIT,
	ORLOP_RUNTIME_SANDBOX_STATS,
};

/*
 * run_sandbox makes the pod's network namespace (unless hostNetwork), pinned by a file, and answers
 * RESPONSE with NETNS (its path); the kubelet then asks cni to attach it. sandbox_status repeats
 * NETNS. The IP is the kubelet's business (it keeps the cni result).
 *
 * exec, attach: descriptors in the answer: with tty [0] the terminal (both ways); without
 * [0] stdin (write end, or -1 /dev/null if not asked for), [1] stdout, [2] stderr. EXEC_ID names
 * it for exec_resize and exec_wait (which answers when the command ended).
 *
 * events: long poll. CURSOR (0: from now), WAIT_NS; answers CURSOR (next) and EVENTS: a JSON array
 * of {"containerId","podSandboxId","type": "CONTAINER_CREATED_EVENT"|"CONTAINER_STARTED_EVENT"|
 * "CONTAINER_STOPPED_EVENT"|"CONTAINER_DELETED_EVENT","createdAt": ns}. RELIST=1: events were lost.
 *
 * image_pull may emit parts with PROGRESS (JSON: {"current": bytes, "total": bytes}).
 * image_import answers RESPONSE {"images":[{"id":…,"repoTags":[…]}]}.
 */
#define ORLOP_RUNTIME_T_REQUEST		1	/* bytes: JSON */
#define ORLOP_RUNTIME_T_RESPONSE	2	/* bytes: JSON */
#define ORLOP_RUNTIME_T_NETNS		3	/* bytes: path */
#define ORLOP_RUNTIME_T_EXEC_ID		4	/* bytes */
#define ORLOP_RUNTIME_T_EXIT_CODE	5
#define ORLOP_RUNTIME_T_WIDTH		6
#define ORLOP_RUNTIME_T_HEIGHT		7
#define ORLOP_RUNTIME_T_CURSOR		8
#define ORLOP_RUNTIME_T_WAIT_NS		9
#define ORLOP_RUNTIME_T_EVENTS		10	/* bytes: JSON */
#define ORLOP_RUNTIME_T_RELIST		11
#define ORLOP_RUNTIME_T_PROGRESS	12	/* bytes: JSON */
#define ORLOP_RUNTIME_T_PATH		13	/* bytes */
#define ORLOP_RUNTIME_T_NAME		14	/* bytes: image name to give */

#ifdef __cplusplus
}
#endif
#endif
