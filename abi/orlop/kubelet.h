/*
 * kubelet.h - the class "kubelet": it makes this machine run the pods that are bound to it.
 *
 * What it is to do it reads from the cache, so it serves hardly any request.
 */
#ifndef ORLOP_KUBELET_H
#define ORLOP_KUBELET_H

#include <orlop/call.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orlop_kubelet_ops {
	uint32_t	size;
	uint32_t	reserved0;
	orlop_op_fn	reserved_op0;
	orlop_op_fn	ended;		/* 1  answers when, by its parameter shutdown, all pods have ended and the API knows; EINVAL: it is not set */
};

enum {
	ORLOP_KUBELET_ENDED	= 1,
};

#ifdef __cplusplus
}
#endif
#endif
