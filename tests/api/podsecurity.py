#!/usr/bin/env -S python3 -B
# run: timeout=120
"""PodSecurity: labels of a namespace that refuse, warn, or are refused themselves, in upstream's words."""
import json

from rig import Api, Daemon, Tap, group, until

t = Tap()
d = Daemon().start()
api = Api(d)
L = "pod-security.kubernetes.io/"
RESTRICTED = ('allowPrivilegeEscalation != false (container "x" must set securityContext.allowPrivilegeEscalation=false), '
              'unrestricted capabilities (container "x" must set securityContext.capabilities.drop=["ALL"]), '
              'runAsNonRoot != true (pod or container "x" must set securityContext.runAsNonRoot=true), '
              'seccompProfile (pod or container "x" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")')
GOOD = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}, "containers": [
    {"name": "x", "image": "i", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}]}


def namespace(name, **labels):
    labels = {L + k.replace("_", "-"): v for k, v in labels.items()}
    a = api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    if a.status == 201:
        api.post("/api/v1/namespaces/%s/serviceaccounts" % name,
                 {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    return a


def pod(n, name, spec=None, **more):
    s = spec or dict({"containers": [{"name": "x", "image": "i"}]}, **more)
    return api.post("/api/v1/namespaces/%s/pods" % n, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": s})


def warnings(a):
    return [w.split(' ', 2)[2][1:-1].replace('\\"', '"').replace("\\\\", "\\") for w in a.headers.get_all("Warning") or []]


def enforce():
    namespace("hard", enforce="restricted")
    a = pod("hard", "p")
    t.eq((a.status, a.json["reason"]), (403, "Forbidden"), "a plain pod is refused")
    t.eq(a.json["message"], 'pods "p" is forbidden: violates PodSecurity "restricted:latest": ' + RESTRICTED, "and told why")
    t.eq(pod("hard", "p", GOOD).status, 201, "one that hardens itself is not")
    a = api.patch("/api/v1/namespaces/hard/pods/p", {"metadata": {"labels": {"a": "b"}}})
    t.eq(a.status, 200, "a label is no matter")
    a = api.patch("/api/v1/namespaces/hard/pods/p/ephemeralcontainers",
                  {"spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}}, kind="strategic")
    t.ok(a.status == 403 and 'container "e" must set' in a.json["message"], "an ephemeral container is", a)
    namespace("base", enforce="baseline", enforce_version="v1.20")
    t.eq(pod("base", "p").status, 201, "baseline takes a plain pod")
    a = pod("base", "q", hostNetwork=True, hostPID=True)
    t.eq(a.json["message"], 'pods "q" is forbidden: violates PodSecurity "baseline:v1.20": '
         'host namespaces (hostNetwork=true, hostPID=true)', "but not one of the host")


def warn():
    namespace("soft", warn="restricted", audit="baseline")
    a = pod("soft", "p")
    t.eq((a.status, warnings(a)), (201, ['would violate PodSecurity "restricted:latest": ' + RESTRICTED]), "a pod is warned of")
    a = api.post("/apis/apps/v1/namespaces/soft/deployments", {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}}, "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "i"}]}}}})
    t.eq((a.status, warnings(a)), (201, ['would violate PodSecurity "restricted:latest": ' + RESTRICTED]), "so is what makes pods")
    a = api.post("/apis/batch/v1/namespaces/soft/cronjobs", {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {
            "schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "x", "image": "i"}]}}}}}})
    t.eq((a.status, len(warnings(a))), (201, 1), "however deep")
    namespace("hard2", enforce="restricted")
    a = api.post("/api/v1/namespaces/hard2/replicationcontrollers", {
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "w"}, "spec": {
            "selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "i"}]}}}})
    t.eq((a.status, warnings(a)), (201, []), "enforcing alone says nothing of what makes pods")


def labels():
    a = namespace("bad", enforce="strict", warn_version="1.20")
    t.eq(a.status, 422, "labels that mean nothing are refused")
    t.eq(a.json["message"], 'Namespace "bad" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": '
         'must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: '
         'Invalid value: "1.20": must be "latest" or "v1.x"]', "in one answer")
    namespace("grow")
    for n in "ab":
        pod("grow", n)
    pod("grow", "c", hostNetwork=True)
    a = api.patch("/api/v1/namespaces/grow", {"metadata": {"labels": {L + "enforce": "restricted"}}})
    t.eq((a.status, warnings(a)), (200, [
        'existing pods in namespace "grow" violate the new PodSecurity enforce level "restricted:latest"',
        'a (and 1 other pod): allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile',
        'c: host namespaces, allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile']),
        "a namespace that asks for more hears of its pods")
    a = api.patch("/api/v1/namespaces/grow", {"metadata": {"labels": {L + "enforce": "baseline"}}})
    t.eq((a.status, warnings(a)), (200, []), "one that asks for less does not")
    a = api.patch("/api/v1/namespaces/grow?dryRun=All", {"metadata": {"labels": {L + "enforce": "restricted"}}})
    t.eq((a.status, len(warnings(a))), (200, 3), "a dry run asks beforehand")


def notes(d, name):
    """What the request log has as audit annotations of a pod, or of what makes pods: {key: value}; and who asked."""
    lines = until("notes about " + name, lambda: [x for x in d.log().split("\n") if " event=audit " in x and " name=%s " % name in x])
    pairs = [x.split(" key=", 1)[1].split(" value=", 1) for x in lines]
    return {k.replace(L, ""): json.loads(v) for k, v in pairs}, {x.split(" user=")[1].split(" ")[0] for x in lines}


def audit(d):
    namespace("looked-at", enforce="baseline", audit="restricted")
    t.eq(pod("looked-at", "audited").status, 201, "what audit alone asks for refuses nothing")
    t.eq(notes(d, "audited"), ({"enforce-policy": "baseline:latest", "audit-violations": 'would violate PodSecurity "restricted:latest": ' + RESTRICTED},
                               {"kubernetes-admin"}), "it stands in the request log, by whom")
    pod("looked-at", "audited-well", GOOD)
    t.eq(notes(d, "audited-well")[0], {"enforce-policy": "baseline:latest"}, "where nothing is wrong only the policy does")
    pod("looked-at", "audited-not", hostNetwork=True)
    t.eq(sorted(notes(d, "audited-not")[0]), ["audit-violations", "enforce-policy"], "what is refused is in it, too")
    api.post("/apis/apps/v1/namespaces/looked-at/deployments", {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "audited-maker"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}}, "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "i"}]}}}})
    t.eq(list(notes(d, "audited-maker")[0]), ["audit-violations"], "what makes pods is judged by audit, not by enforce")


def exempt(d):
    for rc in ("kata", "plain"):
        api.post("/apis/node.k8s.io/v1/runtimeclasses", {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": rc}, "handler": "h"})
    a = namespace("let-be", enforce="restricted", warn="baseline")
    t.eq((a.status, warnings(a)), (201, ['namespace "let-be" is exempt from Pod Security, and the policy (enforce=restricted:latest, '
                                         'warn=baseline:latest) will be ignored']), "who labels a namespace that is let be is told")
    a = pod("let-be", "in-exempt", hostNetwork=True)
    t.eq((a.status, warnings(a), notes(d, "in-exempt")[0]), (201, [], {"exempt": "namespace"}), "its pods are")
    a = api.patch("/api/v1/namespaces/let-be", {"metadata": {"labels": {L + "enforce-version": "v1.30"}}})
    t.eq((a.status, len(warnings(a))), (200, 1), "and not looked at when its labels change")
    namespace("let-not-be", enforce="restricted")
    t.eq(pod("let-not-be", "by-admin").status, 403, "elsewhere nobody is")
    who = Api(d, token="token-of-root")
    a = who.post("/api/v1/namespaces/let-not-be/pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "by-root"},
                                                         "spec": {"containers": [{"name": "x", "image": "i"}]}})
    t.eq((a.status, notes(d, "by-root")), (201, ({"exempt": "user"}, {"root"})), "but a user that is named")
    t.eq(pod("let-not-be", "by-class", runtimeClassName="kata").status, 201, "and pods of a RuntimeClass that is")
    t.eq((notes(d, "by-class")[0], pod("let-not-be", "by-class-2", runtimeClassName="plain").status), ({"exempt": "runtimeClass"}, 403), "of no other")


for g in (enforce, warn, labels):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
d = Daemon(params='log_requests = true; pod_security_exempt_namespaces = "x , let-be ,"; pod_security_exempt_users = " root,  somebody"; '
           'pod_security_exempt_runtimeclasses = "kata";').start()
api = Api(d)
group(t, audit, d)
group(t, exempt, d)
t.eq(d.stop(), 0, "it ends in order with exemptions")
t.done()
