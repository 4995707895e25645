/* node.h - what the files about this machine's Node object share. */
#ifndef KUBELET_NODE_H
#define KUBELET_NODE_H

#include "kubelet.h"
#include "limits.h"

#define LEASE_NS	(10 * NS_PER_S)
#define LEASE_S		40

struct node {
	struct kubelet	*k;
	struct machine	m;
	bool		known;		/* the machine has been read */
	bool		created;
	bool		runtime_ok;
	bool		network_ok;
	bool		told_ready;
	bool		told_unschedulable;
	bool		fresh;		/* the Node was made by us, not found */
	int8_t		told_pressure[3];	/* of status_told()'s table: 0 not yet, 1 none, 2 there is */
	bool		busy;
	bool		leased;
	bool		asking;
	char		*why_not;
	char		*runtime_version;
	char		*image_dir;	/* where the runtime keeps images, "" not known */
	char		*uid;
	struct ojson	*images;
	struct ojson	*handlers;	/* runtimeHandlers, as the runtime tells them; NULL: not asked yet */
	bool		strict_groups;	/* it knows supplementalGroupsPolicy */
	struct ojson	*cidrs;		/* of pods, as the network says; NULL: not known */
	struct ojson	*sent;		/* conditions as sent */
	int64_t		status_ns;
	uint32_t	failures;
	struct orlop_timer *timer;	/* lease, and with it all that is looked at now and then */
	struct orlop_timer *retry;
};

static inline struct orlop_bytes node_name_bytes(const struct kubelet *k)
{
	return (struct orlop_bytes){ k->node_name, __builtin_strlen(k->node_name) };
}

/* ---- nodestatus.c ---------------------------------------------------------------------------- */

/* The whole status of the Node. */
struct ojson *node_status(struct node *n);
void node_labels(const struct node *n, struct ojson *labels);
const struct ojson *node_sent_condition(const struct node *n, const char *type);
bool node_is_ready(const struct node *n);

/* ---- nodelease.c ------------------------------------------------------------------------------ */

void lease_send(struct node *n);

#endif
