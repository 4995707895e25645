/*
 * statics.h - static pods: manifests of a folder, run without the API, and shown there as mirror pods.
 */
#ifndef KUBELET_STATICS_H
#define KUBELET_STATICS_H

#include "kubelet.h"

/* ---- static.c: the folder --------------------------------------------------------------------- */

/* Nothing if no folder is set. 0 or -errno with @err. */
int static_start(struct kubelet *k, struct orlop_error *err);
void static_stop(struct kubelet *k);
void static_free(struct kubelet *k);
/* Look at all of it once more. */
void static_again(struct kubelet *k);
/* All manifests that were there at start are known. */
bool static_ready(const struct kubelet *k);

/* ---- manifest.c (logic): one file ------------------------------------------------------------- */

/*
 * The pod of a manifest, as it runs here: name, uid, node and annotations filled in. 0, or -EINVAL with what is wrong
 * in @why. @text is YAML or JSON.
 */
int manifest_read(const char *text, size_t len, const char *path, const char *node_name, int64_t now_ns,
		  struct ojson **ret, struct obuf *why);

/* ---- mirror.c: its picture in the API ---------------------------------------------------------- */

/* Is it one? Then it is not a pod of its own. */
bool mirror_is(const struct ojson *obj);
/* The API has it so (borrowed). */
void mirror_seen(struct kubelet *k, const struct ojson *obj);
/* The API has none of this uid any more. */
void mirror_gone(struct kubelet *k, struct orlop_bytes uid);
/* Make it be there. */
void mirror_sync(struct pod *p);
/* Nothing is left of the static pod: its mirror goes. */
void mirror_forget(struct pod *p);
/* After a list: deletions may have gone unseen. */
void mirror_resync(struct kubelet *k, const struct orlop_snapshot *s);
/* A pod of the same name still ends: this one waits. */
bool static_waits(const struct pod *p);

#endif
