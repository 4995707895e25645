/*
 * status.c - the Deployment's status: counts, and the conditions Available, Progressing and
 * ReplicaFailure with upstream's reasons and words, which kubectl rollout status reads.
 */
#include "deploy.h"

#include <stdio.h>
#include <string.h>

#include "base/otime.h"
#include "kube/okube.h"

static struct ojson *status_of(struct rollout *r)
{
	return ojson_ensure_object(r->d, "status");
}

/* Zero is absent. */
static void count_set(struct ojson *status, const char *key, int64_t v)
{
	if (v)
		(void)ojson_set_i64(status, key, v);
	else
		ojson_del(status, key);
}

void condition_drop(struct rollout *r, const char *type)
{
	struct ojson *list = ojson_get_array(ojson_get(r->d, "status"), "conditions");
	size_t i;

	for (i = 0; i < ojson_count(list); i++) {
		if (strcmp(ojson_get_cstr(ojson_index(list, i), "type", ""), type))
			continue;
		(void)ojson_remove(list, i);
		break;
	}
	if (list && !ojson_count(list))
		ojson_del(status_of(r), "conditions");
}

/* Anew, at the end of the list; the transition time stays if the status does. */
static void condition_put(struct rollout *r, const char *type, const char *status, const char *reason,
			  const char *message)
{
	const struct ojson *old = okube_condition(r->d, type);
	struct ojson *c = ojson_new_object();
	char now[OTIME_BUF];

	if (!c)
		return;
	otime_format(r->now_ns, now);
	(void)ojson_set_cstr(c, "type", type);
	(void)ojson_set_cstr(c, "status", status);
	(void)ojson_set_cstr(c, "lastUpdateTime", now);
	if (old && !strcmp(ojson_get_cstr(old, "status", ""), status))
		(void)ojson_set_cstr(c, "lastTransitionTime", ojson_get_cstr(old, "lastTransitionTime", now));
	else
		(void)ojson_set_cstr(c, "lastTransitionTime", now);
	(void)ojson_set_cstr(c, "reason", reason);
	(void)ojson_set_cstr(c, "message", message);
	condition_drop(r, type);
	(void)ojson_append(ojson_ensure_array(status_of(r), "conditions"), c);
}

bool condition_set(struct rollout *r, const char *type, const char *status, const char *reason,
		   const char *message)
{
	const struct ojson *c = okube_condition(r->d, type);

	if (c && !strcmp(ojson_get_cstr(c, "status", ""), status) &&
	    !strcmp(ojson_get_cstr(c, "reason", ""), reason))
		return false;
	condition_put(r, type, status, reason, message);
	return true;
}

void status_paused(struct rollout *r)
{
	const char *reason = ojson_get_cstr(okube_condition(r->d, "Progressing"), "reason", "");
	bool shown = !strcmp(reason, "DeploymentPaused");

	/* A missed deadline stays visible. */
	if (r->spec.deadline_s >= NO_LIMIT || !strcmp(reason, "ProgressDeadlineExceeded"))
		return;
	if (r->spec.paused && !shown)
		(void)condition_set(r, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
	else if (!r->spec.paused && shown)
		(void)condition_set(r, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed");
}

/* ---- counts ------------------------------------------------------------------------------------------- */

static void counts_renew(struct rollout *r)
{
	struct ojson *st = status_of(r);
	int64_t actual = 0;
	int64_t ready = 0;
	int64_t available = 0;
	int64_t terminating = 0;
	int64_t missing;
	size_t i;

	for (i = 0; i < r->n; i++) {
		actual += r->v[i].actual;
		ready += r->v[i].ready;
		available += r->v[i].available;
		terminating += r->v[i].terminating;
	}
	missing = rollout_pods(r, false) - available;
	count_set(st, "observedGeneration", ojson_get_i64(ojson_get(r->d, "metadata"), "generation", 0));
	count_set(st, "replicas", actual);
	count_set(st, "updatedReplicas", r->newest ? r->newest->actual : 0);
	count_set(st, "readyReplicas", ready);
	count_set(st, "availableReplicas", available);
	count_set(st, "unavailableReplicas", missing > 0 ? missing : 0);
	(void)ojson_set_i64(st, "terminatingReplicas", terminating);
	if (available >= r->spec.replicas - r->spec.unavailable)
		(void)condition_set(r, "Available", "True", "MinimumReplicasAvailable",
			      "Deployment has minimum availability.");
	else
		(void)condition_set(r, "Available", "False", "MinimumReplicasUnavailable",
			      "Deployment does not have minimum availability.");
}

/* ---- progress ------------------------------------------------------------------------------------------- */

static bool has_progressed(const struct ojson *was, const struct ojson *now)
{
	int64_t new_was = ojson_get_i64(was, "updatedReplicas", 0);
	int64_t new_now = ojson_get_i64(now, "updatedReplicas", 0);

	return new_now > new_was ||
	       ojson_get_i64(now, "replicas", 0) - new_now < ojson_get_i64(was, "replicas", 0) - new_was ||
	       ojson_get_i64(now, "readyReplicas", 0) > ojson_get_i64(was, "readyReplicas", 0) ||
	       ojson_get_i64(now, "availableReplicas", 0) > ojson_get_i64(was, "availableReplicas", 0);
}

/* When the deadline passes, from the last progress; 0: unknown. */
static int64_t deadline_ns(const struct rollout *r)
{
	struct orlop_bytes at = ojson_get_bytes(okube_condition(r->d, "Progressing"), "lastUpdateTime");
	int64_t ns;

	if (!at.p || otime_parse(at.p, at.len, &ns))
		return 0;
	return ns + r->spec.deadline_s * OTIME_SECOND;
}

static bool has_timed_out(const struct rollout *r)
{
	const char *reason = ojson_get_cstr(okube_condition(r->d, "Progressing"), "reason", "");
	int64_t at = deadline_ns(r);

	if (!strcmp(reason, "NewReplicaSetAvailable"))
		return false;
	return !strcmp(reason, "ProgressDeadlineExceeded") || (at && at < r->now_ns);
}

static void say(const struct rollout *r, const char *what, char *out, size_t size)
{
	if (r->newest)
		snprintf(out, size, "ReplicaSet \"%s\" %s.", okube_meta(r->newest->obj, "name"), what);
	else
		snprintf(out, size, "Deployment \"%s\" %s.", okube_meta(r->d, "name"), what);
}

static void progress_renew(struct rollout *r)
{
	const struct ojson *was = ojson_get(r->was, "status");
	const struct ojson *now = ojson_get(r->d, "status");
	const char *reason = ojson_get_cstr(okube_condition(r->d, "Progressing"), "reason", "");
	char text[600];

	if (ojson_get_i64(now, "replicas", 0) == ojson_get_i64(now, "updatedReplicas", 0) &&
	    !strcmp(reason, "NewReplicaSetAvailable"))
		return;		/* no rollout under way: only a new look */
	if (rollout_complete(r, now)) {
		say(r, "has successfully progressed", text, sizeof(text));
		(void)condition_set(r, "Progressing", "True", "NewReplicaSetAvailable", text);
	} else if (has_progressed(was, now)) {
		say(r, "is progressing", text, sizeof(text));
		condition_put(r, "Progressing", "True", "ReplicaSetUpdated", text);
	} else if (has_timed_out(r)) {
		say(r, "has timed out progressing", text, sizeof(text));
		(void)condition_set(r, "Progressing", "False", "ProgressDeadlineExceeded", text);
	}
}

/* A set that cannot make or delete its pods: the newest's failure before that of others. */
static void failure_renew(struct rollout *r)
{
	const struct ojson *c = r->newest ? okube_condition(r->newest->obj, "ReplicaFailure") : NULL;
	size_t i;

	for (i = 0; i < r->n && !c; i++)
		c = okube_condition(r->v[i].obj, "ReplicaFailure");
	if (c)
		(void)condition_set(r, "ReplicaFailure", ojson_get_cstr(c, "status", "True"),
			      ojson_get_cstr(c, "reason", ""), ojson_get_cstr(c, "message", ""));
	else
		condition_drop(r, "ReplicaFailure");
}

void status_renew(struct rollout *r, bool progress)
{
	counts_renew(r);
	if (!progress)
		return;
	if (r->spec.deadline_s < NO_LIMIT)
		progress_renew(r);
	else
		condition_drop(r, "Progressing");
	failure_renew(r);
}

uint64_t status_deadline(const struct rollout *r)
{
	const char *reason = ojson_get_cstr(okube_condition(r->d, "Progressing"), "reason", "");
	int64_t at = r->spec.deadline_s < NO_LIMIT ? deadline_ns(r) : 0;

	if (!at || rollout_complete(r, ojson_get(r->d, "status")) || r->spec.paused ||
	    !strcmp(reason, "ProgressDeadlineExceeded") || !strcmp(reason, "NewReplicaSetAvailable"))
		return 0;
	if (at < r->now_ns)
		return OTIME_SECOND;
	return (uint64_t)(at - r->now_ns + OTIME_SECOND);	/* times in the status are whole seconds */
}
