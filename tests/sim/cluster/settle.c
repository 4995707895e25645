/*
 * settle.c - what must come true once nothing disturbs any more: as many pods as asked for, ready, on nodes
 * that live; nothing left over anywhere; every cache what the storage is.
 */
#include "cluster.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool missing(struct cluster *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool missing(struct cluster *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->unsettled, sizeof(c->unsettled), fmt, ap);
	va_end(ap);
	return false;
}

static struct member *member_named(struct cluster *c, const char *name)
{
	uint32_t i;

	for (i = 0; i < c->n_members; i++)
		if (!strcmp(c->members[i].name, name))
			return &c->members[i];
	return NULL;
}

struct look {
	struct cluster	*c;
	bool		ok;
	const char	*uid;
	int64_t		n;
	int64_t		ready;
};

static const char *controller_uid(const struct version *v)
{
	OJSON_FOREACH_ELEM(i, o, OJSON_AT(v->obj, "metadata", "ownerReferences")) {
		if (ojson_get_bool(o, "controller", false))
			return ojson_get_cstr(o, "uid", "");
	}
	return "";
}

static void pod_count(void *arg, const struct version *v)
{
	struct look *l = arg;
	struct member *m;

	if (strcmp(controller_uid(v), l->uid) || !version_alive(v) || !strcmp(cj_text(v->obj, "status.phase"), "Failed") ||
	    !strcmp(cj_text(v->obj, "status.phase"), "Succeeded"))
		return;
	m = member_named(l->c, cj_text(v->obj, "spec.nodeName"));
	l->n++;
	l->ready += m && !m->dead && cj_condition(v->obj, "Ready", "True");
}

static void set_look(void *arg, const struct version *v)
{
	struct look *l = arg;
	struct look pods = { .c = l->c, .uid = version_uid(v) };
	int64_t want = cj_int(v->obj, "spec.replicas", 1);

	if (!version_alive(v)) {
		l->ok = missing(l->c, "%s is still to go", v->key);
		return;
	}
	truth_each(l->c, "pods", pod_count, &pods);
	if (pods.n != want || pods.ready != want)
		l->ok = missing(l->c, "%s wants %lld pods and has %lld, %lld ready on nodes that live", v->key, (long long)want,
				(long long)pods.n, (long long)pods.ready);
	else if (cj_int(v->obj, "status.readyReplicas", 0) != want || cj_int(v->obj, "status.replicas", 0) != want)
		l->ok = missing(l->c, "%s has %lld ready pods and says %lld of %lld", v->key, (long long)want,
				(long long)cj_int(v->obj, "status.readyReplicas", 0),
				(long long)cj_int(v->obj, "status.replicas", 0));
}

static void deployment_look(void *arg, const struct version *v)
{
	struct look *l = arg;
	int64_t want = cj_int(v->obj, "spec.replicas", 1);

	if (!version_alive(v))
		l->ok = missing(l->c, "%s is still to go", v->key);
	else if (cj_int(v->obj, "status.updatedReplicas", 0) != want ||
		 cj_int(v->obj, "status.availableReplicas", 0) != want || cj_int(v->obj, "status.replicas", 0) != want ||
		 cj_int(v->obj, "status.observedGeneration", 0) != cj_int(v->obj, "metadata.generation", 0))
		l->ok = missing(l->c, "%s: %lld wanted, %lld there, %lld up to date, %lld available, generation %lld of %lld", v->key,
				(long long)want, (long long)cj_int(v->obj, "status.replicas", 0),
				(long long)cj_int(v->obj, "status.updatedReplicas", 0),
				(long long)cj_int(v->obj, "status.availableReplicas", 0),
				(long long)cj_int(v->obj, "status.observedGeneration", 0),
				(long long)cj_int(v->obj, "metadata.generation", 0));
}

static void gone_look(void *arg, const struct version *v)
{
	struct look *l = arg;

	if (!version_alive(v))
		l->ok = missing(l->c, "%s is still to go", v->key);
}

/* Pods of a node that lives are there; those of a dead one are on their way out. */
static void pod_look(void *arg, const struct version *v)
{
	struct look *l = arg;
	struct member *m = member_named(l->c, cj_text(v->obj, "spec.nodeName"));
	const char *phase = cj_text(v->obj, "status.phase");

	if (!m)
		return;
	if (m->dead) {
		if (version_alive(v))
			l->ok = missing(l->c, "%s is still on the dead node %s", v->key, m->name);
		return;
	}
	if (!version_alive(v))
		l->ok = missing(l->c, "%s is still to go", v->key);
	else if (!strcmp(phase, "Running") && !machine_running(m->m, version_uid(v)))
		l->ok = missing(l->c, "%s says it runs on %s, where nothing of it does", v->key, m->name);
}

static bool node_look(struct cluster *c, struct member *m)
{
	const struct version *v = truth_get(c, "nodes", "", m->name);
	const struct container *ct;
	const struct sandbox *s;

	if (m->dead)
		return true;
	if (!v || !v->obj || !cj_condition(v->obj, "Ready", "True"))
		return missing(c, "node %s is not Ready", m->name);
	if (ojson_count(OJSON_AT(v->obj, "spec", "taints")))
		return missing(c, "node %s has taints", m->name);
	for (ct = m->m->containers; ct; ct = ct->next) {
		const struct version *pod = truth_uid(c, ct->uid);

		if (!pod || strcmp(cj_text(pod->obj, "spec.nodeName"), m->name))
			return missing(c, "%s has container %s of a pod that is not its own", m->name, ct->id);
	}
	for (s = m->m->sandboxes; s; s = s->next)
		if (!truth_uid(c, s->uid))
			return missing(c, "%s has sandbox %s (%s) of a pod that is gone", m->name, s->id, s->ip);
	return true;
}

bool settle_look(struct cluster *c)
{
	struct look l = { .c = c, .ok = true };
	uint32_t i;

	c->unsettled[0] = '\0';
	for (i = 0; i < c->n_members; i++) {
		struct member *m = &c->members[i];

		if (!m->dead && (m->down || !sim_ready(m->p)))
			return missing(c, "%s is not up", m->name);
		if (m->power_due)	/* the storm may end between the decision and the cut */
			return missing(c, "the power of %s is still to go", m->name);
	}
	if (!load_calm(c))
		return missing(c, "clients are not done");
	for (i = 0; i < c->n_members; i++)
		if (c->members[i].role & ROLE_NODE && !node_look(c, &c->members[i]))
			return false;
	truth_each(c, "namespaces", gone_look, &l);
	truth_each(c, "configmaps", gone_look, &l);
	truth_each(c, "replicasets.apps", set_look, &l);
	truth_each(c, "deployments.apps", deployment_look, &l);
	truth_each(c, "pods", pod_look, &l);
	if (!l.ok)
		return false;
	objects_end(c);
	if (c->unsettled[0])
		return false;
	for (i = 0; i < c->n_members; i++)
		if (!c->members[i].dead && c->members[i].role != ROLE_STORE && !watch_complete(&c->members[i]))
			return missing(c, "%s has not seen everything", c->members[i].name);
	return true;
}
