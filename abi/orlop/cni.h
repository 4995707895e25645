/*
 * cni.h - the class "cni": a pod's network interface, on this machine.
 *
 * The documents follow the Container Network Interface specification 1.0: the answer of add is a
 * CNI result ({"cniVersion","interfaces","ips","routes","dns"}). Ops are idempotent: add of what
 * is there answers the same result; del of what is not there succeeds.
 */
#ifndef ORLOP_CNI_H
#define ORLOP_CNI_H

#include <orlop/call.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orlop_cni_ops {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	reserved_op0;
	orlop_op_fn	add;		/* 1 */
	orlop_op_fn	del;		/* 2 */
	orlop_op_fn	check;		/* 3 */
	orlop_op_fn	gc;		/* 4  KEEP: everything not named is removed */
	orlop_op_fn	status;		/* 5  answers RESULT {"ready":bool,"message":…,"gateway":ip,"podCIDR":…} */
	orlop_op_fn	teardown;	/* 6  remove all that was made on this machine; EBUSY while pods are attached */
};

enum {
	ORLOP_CNI_ADD = 1, ORLOP_CNI_DEL, ORLOP_CNI_CHECK, ORLOP_CNI_GC, ORLOP_CNI_STATUS,
	ORLOP_CNI_TEARDOWN,
};

/*
 * add/del/check: CONTAINER_ID (the sandbox id), NETNS (path of the pinned namespace), IFNAME
 * (absent: "eth0"), ARGS (JSON: {"namespace","name","uid","hostPorts":[…],"bandwidth":{…}};
 * hostPorts: the ports of the pod's containers that have a hostPort, as in their spec; bandwidth:
 * {"ingressRate","egressRate"} in bits a second, 0: any). The answer of add has an address of each
 * family, the pod's first one first; that of status may have "podCIDRs":[…] likewise.
 * gc: KEEP (bytes, repeated): sandbox ids that live.
 */
#define ORLOP_CNI_T_CONTAINER_ID	1	/* bytes */
#define ORLOP_CNI_T_NETNS		2	/* bytes */
#define ORLOP_CNI_T_IFNAME		3	/* bytes */
#define ORLOP_CNI_T_ARGS		4	/* bytes: JSON */
#define ORLOP_CNI_T_RESULT		5	/* bytes: JSON */
#define ORLOP_CNI_T_KEEP		6	/* bytes, repeated */

#ifdef __cplusplus
}
#endif
#endif
