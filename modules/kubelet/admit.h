/* admit.h - pods that this node refuses (admit.c, logic), and asking for it (refuse.c). */
#ifndef KUBELET_ADMIT_H
#define KUBELET_ADMIT_H

#include "limits.h"

struct admission {
	const struct ojson *pod;
	const struct ojson *node;	/* our Node; NULL: not known */
	const struct ojson **others;	/* pods that are here already */
	size_t		n_others;
	struct reserve	free;		/* allocatable */
	int64_t		max_pods;
	bool		pressure[N_PRESSURES];
	bool		apparmor;	/* this machine has it */
	bool		shutdown;
	const char	*allowed_sysctls;
	char		reason[48];	/* of a refusal, with @message */
	struct obuf	*message;
};

bool admit_pod(struct admission *a);
bool pod_tolerates(const struct ojson *pod, const char *key, const char *value, const char *effect);

/* ---- refuse.c ------------------------------------------------------------------------------------ */

/* May the pod begin here? Asked once; if not, it fails. */
bool pod_admitted(struct pod *p);

#endif
