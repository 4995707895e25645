/*
 * nodelease.c - the Node's Lease, renewed every ten seconds: by it the control plane knows that we live.
 */
#include "node.h"

#include <string.h>

#include <orlop/inline/log.h>

#include "base/otime.h"

static void lease_answer(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct node *n = arg;

	(void)rev;
	if (n->k->stopping)
		return;
	if (!status && (code < 300 || code == 409)) {
		n->leased = true;
		return;
	}
	if (!status && code == 404 && n->leased) {
		n->leased = false;
		n->k->h->timer_set(n->timer, 1, LEASE_NS);
		return;
	}
	OLOG(n->k->h, WARN, "lease", "code=%u why=\"%s\" retrying=1", code,
	     status ? strerrordesc_np(-status) : ojson_get_cstr(body, "message", ""));
	/* the namespace may not be there yet */
	n->k->h->timer_set(n->timer, NS_PER_S / 2, LEASE_NS);
}

void lease_send(struct node *n)
{
	struct orlop_bytes ns = OBYTES("kube-node-lease");
	struct ojson *obj = ojson_new_object();
	struct ojson *spec = obj ? ojson_ensure_object(obj, "spec") : NULL;
	struct ojson *owner;
	struct ojson *meta;
	char now[OTIME_BUF];

	otime_format_micro(kubelet_now(n->k), now);
	(void)ojson_set_cstr(spec, "holderIdentity", n->k->node_name);
	(void)ojson_set_i64(spec, "leaseDurationSeconds", LEASE_S);
	(void)ojson_set_cstr(spec, "renewTime", now);
	if (n->leased) {
		(void)okube_patch(n->k->h, "leases.coordination.k8s.io", ns, node_name_bytes(n->k), NULL, OKUBE_MERGE_PATCH, obj,
				  lease_answer, n);
	} else {
		(void)ojson_set_cstr(obj, "kind", "Lease");
		(void)ojson_set_cstr(obj, "apiVersion", "coordination.k8s.io/v1");
		meta = ojson_ensure_object(obj, "metadata");
		(void)ojson_set_cstr(meta, "name", n->k->node_name);
		(void)ojson_set_string(meta, "namespace", ns.p, ns.len);
		if (n->uid) {
			owner = ojson_new_object();
			(void)ojson_set_cstr(owner, "apiVersion", "v1");
			(void)ojson_set_cstr(owner, "kind", "Node");
			(void)ojson_set_cstr(owner, "name", n->k->node_name);
			(void)ojson_set_cstr(owner, "uid", n->uid);
			(void)ojson_append(ojson_ensure_array(meta, "ownerReferences"), owner);
		}
		(void)okube_create(n->k->h, "leases.coordination.k8s.io", ns, obj, lease_answer, n);
	}
	ojson_unref(obj);
}

