/* admit.h - pods that this node refuses (admit.c, logic), and asking for it (refuse.c). */
#ifndef KUBELET_ADMIT_H
#define KUBELET_ADMIT_H

#include "limits.h"

/* Of what there is not enough; by <= 0, or no name: there is. */
struct lack {
	const char	*name;
	bool		milli;
	int64_t		by;
};

#define N_LACKS	4

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
	struct lack	lacks[N_LACKS];	/* of a critical pod that is admitted: others have to go first */
	bool		lacking;
};

bool admit_pod(struct admission *a);
bool pod_tolerates(const struct ojson *pod, const char *key, const char *value, const char *effect);

/* ---- preempt.c ----------------------------------------------------------------------------------- */

/* Who of the others has to go, so that nothing is lacking: marked in @chosen. -1 and @err: that is not possible. */
int preempt_choose(const struct admission *a, uint8_t *chosen, struct obuf *err);

#define PREEMPTED "Preempting"			/* upstream's reason */
#define PREEMPTED_MESSAGE "Preempted in order to admit critical pod"
#define PREEMPTED_CONDITION "Pod was preempted by Kubelet to accommodate a critical pod."

/* ---- refuse.c ------------------------------------------------------------------------------------ */

/* May the pod begin here? Asked once; if not, it fails. */
bool pod_admitted(struct pod *p);
/* Something has become of a pod: who waits until it has gone looks again. */
void preempt_step(struct pod *p);

#endif
