#!/usr/bin/env -S python3 -B
# run: timeout=240
"""Each module has just the rights that its work needs: with one verb less its work is refused, and with it again it is done."""
import re

from rig import Api, Daemon, Tap, group, until

MODULES = ["scheduler/default"] + ["controllers/" + n for n in (
    "namespace", "garbage-collector", "serviceaccount", "replicaset", "deployment", "replicationcontroller", "endpoints",
    "endpointslice", "disruption", "resourcequota", "pv-protection", "pvc-protection", "ephemeral-volume", "node-lifecycle", "taint-eviction", "pod-garbage-collector")]

t = Tap()
d = Daemon()
with open(d.conf) as f:
    conf = f.read()
with open(d.conf, "w") as f:
    more = "".join(',\n { module = "%s"; %s}' % (m, 'params = { ca_file = "%s"; token_secrets = true; }; ' % d.pki.ca if m.endswith("/serviceaccount") else "") for m in MODULES)
    f.write(conf.replace(" }; }\n);\n", " }; }" + more + "\n);\n"))
d.start()
api = Api(d)
RB = "/apis/rbac.authorization.k8s.io/v1/clusterroles/"
ROOT = "/api/v1/namespaces"
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def made(a):
    assert a.status < 300, a
    return a.json


def without(role, resource, verb, user, provoke, name, is_done):
    """Take the verb away, give reason to work: refused. Give it back: done."""
    whole = made(api.get(RB + role))
    rules = []
    for r in whole["rules"]:
        hit = verb in r["verbs"] and set(r.get("resources", [])) & {resource, "*"} and "nonResourceURLs" not in r
        if hit and "*" not in r["resources"]:
            keep = [x for x in r["resources"] if x != resource]
            if keep:
                rules.append(dict(r, resources=keep))
            r = dict(r, resources=[resource])
        verbs = [v for v in r["verbs"] if not (hit and v == verb)]
        if verbs:
            rules.append(dict(r, verbs=verbs))
    made(api.patch(RB + role, {"rules": rules}))
    seen = len(d.log())
    provoke(name + "-no")
    pattern = r'event=module_forbidden .*%s.* cannot %s resource .{0,2}%s\W' % (re.escape(user), verb, re.escape(resource))
    good = until("refused", lambda: re.search(pattern, d.log()[seen:]))
    t.ok(good and not is_done(name + "-no"), "%s needs to %s %s" % (user.split(":")[-1], verb, resource))
    made(api.patch(RB + role, {"rules": whole["rules"]}))
    provoke(name + "-yes")
    t.ok(until("done", lambda: is_done(name + "-yes")), "and with that right it is done")


def namespace(name):
    made(api.post(ROOT, {"metadata": {"name": name}}))


def there(path):
    return lambda name: api.get(path % name).status == 200


def deployment(name):
    made(api.post("/apis/apps/v1/namespaces/default/deployments", {"metadata": {"name": name}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"a": "b", "n": name}}, "template": dict(TEMPLATE, metadata={"labels": {"a": "b", "n": name}})}}))


def labelled(path, field=None):
    def is_done(name):
        items = [i for i in api.get(path).json["items"] if (i["metadata"].get("labels") or {}).get("n") == name]
        return any(field(i) for i in items) if field else bool(items)
    return is_done


def service(name):
    made(api.post(ROOT + "/default/services", {"metadata": {"name": name, "labels": {"n": name}}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}))


def controller(name):
    made(api.post(ROOT + "/default/replicationcontrollers", {"metadata": {"name": name}, "spec": {
        "replicas": 1, "selector": {"a": "rc", "n": name}, "template": dict(TEMPLATE, metadata={"labels": {"a": "rc", "n": name}})}}))


def budget(name):
    made(api.post("/apis/policy/v1/namespaces/default/poddisruptionbudgets", {"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}))


def quota(name):
    made(api.post(ROOT + "/default/resourcequotas", {"metadata": {"name": name}, "spec": {"hard": {"secrets": "99"}}}))


def volume(name):
    made(api.post("/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}}}))
    made(api.delete("/api/v1/persistentvolumes/" + name))


def claim(name):
    made(api.post(ROOT + "/default/persistentvolumeclaims", {"metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))
    made(api.delete(ROOT + "/default/persistentvolumeclaims/" + name))


def scratch(name):
    """A pod with a claim of its own."""
    made(api.post(ROOT + "/default/pods", {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "ephemeral": {
        "volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}]}}))


def orphaned(name):
    """A ConfigMap of an owner that is not there."""
    made(api.post(ROOT + "/default/configmaps", {"metadata": {"name": name, "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "nix", "uid": "0b3e0d1e-0000-4000-8000-000000000000"}]}}))


def ended(name):
    made(api.post(ROOT, {"metadata": {"name": name}}))
    made(api.delete(ROOT + "/" + name))


def token_secret(name):
    made(api.post(ROOT + "/default/secrets", {"metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": "default"}},
                                              "type": "kubernetes.io/service-account-token"}))


def has_token(name):
    return "token" in (api.get(ROOT + "/default/secrets/" + name).json.get("data") or {})


def pod(name):
    made(api.post(ROOT + "/default/pods", {"metadata": {"name": name}, "spec": {"tolerations": [{"operator": "Exists"}], "containers": [{"name": "c", "image": "i"}]}}))


def scaled(replicas):
    """A deployment that has one pod and shall have another number."""
    def provoke(name):
        deployment(name)
        until("its pod", lambda: labelled(ROOT + "/default/pods")(name))
        made(api.patch("/apis/apps/v1/namespaces/default/deployments/" + name, {"spec": {"replicas": replicas}}))
    return provoke


def relabelled(what):
    def provoke(name):
        service(name)
        until(what, lambda: items_of(what, name))
        made(api.patch(ROOT + "/default/services/" + name, {"metadata": {"labels": {"z": "1"}}}))
    return provoke


def items_of(path, name):
    return [i for i in api.get(path).json["items"] if i["metadata"]["name"] == name or (i["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name]


def service_gone(name):
    service(name)
    until("endpoints", lambda: items_of(EP, name))
    made(api.delete(ROOT + "/default/services/" + name))


def foreground(name):
    made(api.post(ROOT + "/default/configmaps", {"metadata": {"name": name}}))
    made(api.delete(ROOT + "/default/configmaps/" + name, {"propagationPolicy": "Foreground"}))


def forged(name):
    """A namespace in which somebody has changed the authority's certificate."""
    namespace(name)
    path = ROOT + "/%s/configmaps/kube-root-ca.crt" % name
    until("the authority's", lambda: api.get(path).status == 200)
    made(api.patch(path, {"data": {"ca.crt": "x"}}))


def node(name, taints=(), **conditions):
    made(api.post("/api/v1/nodes", {"metadata": {"name": name}, "spec": {"taints": [{"key": k, "effect": "NoExecute"} for k in taints]}}))
    made(api.patch("/api/v1/nodes/%s/status" % name, {"status": {"conditions": [{"type": k, "status": v} for k, v in conditions.items()]}}))


def pressed(name):
    node(name, Ready="True", MemoryPressure="True")


def bound(name):
    return made(api.post(ROOT + "/default/pods", {"metadata": {"name": name}, "spec": {"nodeName": name, "containers": [{"name": "c", "image": "i"}]}}))


def driven(name):
    """A pod on a node that drives it away."""
    node(name, taints=["away"], Ready="True")
    bound(name)


def stuck(name):
    """A pod that is to end on a node that is out of service."""
    node(name, taints=["node.kubernetes.io/out-of-service"], Ready="False")
    bound(name)
    made(api.delete(ROOT + "/default/pods/" + name))


def unplaceable(name):
    made(api.post(ROOT + "/default/pods", {"metadata": {"name": name}, "spec": {"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "i"}]}}))


def condition(kind):
    return lambda n: any(c["type"] == kind for c in (api.get(ROOT + "/default/pods/" + n).json.get("status") or {}).get("conditions", []))


EP, SLICES = ROOT + "/default/endpoints", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def more_rows():
    """Other verbs of the same modules, and modules that look after nodes."""
    SA = "system:serviceaccount:kube-system:"
    apps = "/apis/apps/v1/namespaces/default/"
    gone = lambda path: lambda n: api.get(path + n).status == 404
    without("orlop:service-account-controller", "configmaps", "update", SA + "service-account-controller", forged, "forged",
            lambda n: api.get(ROOT + "/%s/configmaps/kube-root-ca.crt" % n).json["data"]["ca.crt"] != "x")
    without("orlop:service-account-controller", "secrets", "create", SA + "service-account-controller", namespace, "ts",
            lambda n: bool(api.get(ROOT + "/%s/secrets" % n).json["items"]))
    without("orlop:service-account-controller", "serviceaccounts", "update", SA + "service-account-controller", namespace, "tu",
            lambda n: bool(api.get(ROOT + "/%s/serviceaccounts/default" % n).json.get("secrets")))
    without("system:controller:deployment-controller", "replicasets", "update", SA + "deployment-controller", scaled(2), "du",
            labelled(apps + "replicasets", lambda i: i["spec"]["replicas"] == 2))
    without("system:controller:deployment-controller", "events", "create", SA + "deployment-controller", deployment, "de",
            lambda n: any(e["involvedObject"]["kind"] == "Deployment" and e["involvedObject"]["name"] == n for e in api.get(ROOT + "/default/events").json["items"]))
    without("system:controller:replicaset-controller", "pods", "delete", SA + "replicaset-controller", scaled(0), "rd",
            lambda n: not labelled(ROOT + "/default/pods", lambda i: not i["metadata"].get("deletionTimestamp"))(n))
    without("system:controller:endpoint-controller", "endpoints", "update", SA + "endpoint-controller", relabelled(EP), "eu",
            lambda n: any((i["metadata"].get("labels") or {}).get("z") for i in items_of(EP, n)))
    without("system:controller:endpoint-controller", "endpoints", "delete", SA + "endpoint-controller", service_gone, "ed", gone(EP + "/"))
    without("system:controller:endpointslice-controller", "endpointslices", "update", SA + "endpointslice-controller", relabelled(SLICES), "su",
            lambda n: any((i["metadata"].get("labels") or {}).get("z") for i in items_of(SLICES, n)))
    without("system:controller:generic-garbage-collector", "configmaps", "patch", SA + "generic-garbage-collector", foreground, "gp", gone(ROOT + "/default/configmaps/"))
    without("system:controller:generic-garbage-collector", "configmaps", "get", SA + "generic-garbage-collector", orphaned, "gg", gone(ROOT + "/default/configmaps/"))
    without("system:controller:namespace-controller", "configmaps", "deletecollection", SA + "namespace-controller", ended_full, "nd", gone(ROOT + "/"))
    without("system:kube-scheduler", "pods/status", "patch", "system:kube-scheduler", unplaceable, "up", condition("PodScheduled"))
    without("system:controller:node-controller", "nodes", "patch", SA + "node-controller", pressed, "nt",
            lambda n: any(x["key"] == "node.kubernetes.io/memory-pressure" for x in api.get("/api/v1/nodes/" + n).json["spec"].get("taints", [])))
    without("system:controller:node-controller", "pods", "delete", SA + "node-controller", driven, "nv",
            lambda n: api.get(ROOT + "/default/pods/" + n).json["metadata"].get("deletionTimestamp"))
    without("orlop:node-controller", "pods/status", "patch", SA + "node-controller", driven, "nw", condition("DisruptionTarget"))
    without("system:controller:pod-garbage-collector", "pods", "delete", SA + "pod-garbage-collector", stuck, "gd", gone(ROOT + "/default/pods/"))


def ended_full(name):
    made(api.post(ROOT, {"metadata": {"name": name}}))
    made(api.post(ROOT + "/%s/configmaps" % name, {"metadata": {"name": "in"}}))
    made(api.delete(ROOT + "/" + name))


def rows():
    SA = "system:serviceaccount:kube-system:"
    apps = "/apis/apps/v1/namespaces/default/"
    until("the default account", lambda: api.get(ROOT + "/default/serviceaccounts/default").status == 200)
    without("system:controller:service-account-controller", "serviceaccounts", "create", SA + "service-account-controller", namespace, "sa", there(ROOT + "/%s/serviceaccounts/default"))
    without("orlop:service-account-controller", "configmaps", "create", SA + "service-account-controller", namespace, "ca", there(ROOT + "/%s/configmaps/kube-root-ca.crt"))
    for resource, verb in (("serviceaccounts", "get"), ("serviceaccounts/token", "create"), ("secrets", "patch")):
        without("orlop:service-account-controller", resource, verb, SA + "service-account-controller", token_secret, "t-" + verb, has_token)
    without("system:controller:deployment-controller", "replicasets", "create", SA + "deployment-controller", deployment, "d", labelled(apps + "replicasets"))
    without("system:controller:deployment-controller", "deployments/status", "update", SA + "deployment-controller", deployment, "ds",
            lambda n: (api.get(apps + "deployments/" + n).json.get("status") or {}).get("observedGeneration") == 1)
    without("system:controller:replicaset-controller", "pods", "create", SA + "replicaset-controller", deployment, "rs", labelled(ROOT + "/default/pods"))
    without("system:controller:replicaset-controller", "replicasets/status", "update", SA + "replicaset-controller", deployment, "rss",
            labelled(apps + "replicasets", lambda i: (i.get("status") or {}).get("observedGeneration")))
    without("system:controller:replication-controller", "pods", "create", SA + "replication-controller", controller, "rc", labelled(ROOT + "/default/pods"))
    without("system:controller:endpointslice-controller", "endpointslices", "create", SA + "endpointslice-controller", service, "es",
            lambda n: any(i["metadata"]["labels"].get("kubernetes.io/service-name") == n for i in api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices").json["items"]))
    without("system:controller:endpoint-controller", "endpoints", "create", SA + "endpoint-controller", service, "ep", there(ROOT + "/default/endpoints/%s"))
    without("system:controller:disruption-controller", "poddisruptionbudgets/status", "update", SA + "disruption-controller", budget, "b",
            lambda n: (api.get("/apis/policy/v1/namespaces/default/poddisruptionbudgets/" + n).json.get("status") or {}).get("observedGeneration") == 1)
    without("system:controller:resourcequota-controller", "resourcequotas/status", "update", SA + "resourcequota-controller", quota, "q",
            lambda n: "secrets" in ((api.get(ROOT + "/default/resourcequotas/" + n).json.get("status") or {}).get("used") or {}))
    without("system:controller:pv-protection-controller", "persistentvolumes", "update", SA + "pv-protection-controller", volume, "pv",
            lambda n: api.get("/api/v1/persistentvolumes/" + n).status == 404)
    without("system:controller:pvc-protection-controller", "persistentvolumeclaims", "update", SA + "pvc-protection-controller", claim, "pvc",
            lambda n: api.get(ROOT + "/default/persistentvolumeclaims/" + n).status == 404)
    without("system:controller:ephemeral-volume-controller", "persistentvolumeclaims", "create", SA + "ephemeral-volume-controller", scratch, "e",
            lambda n: api.get(ROOT + "/default/persistentvolumeclaims/" + n + "-v").status == 200)
    without("system:controller:generic-garbage-collector", "configmaps", "delete", SA + "generic-garbage-collector", orphaned, "o",
            lambda n: api.get(ROOT + "/default/configmaps/" + n).status == 404)
    without("system:controller:namespace-controller", "namespaces/finalize", "update", SA + "namespace-controller", ended, "n",
            lambda n: api.get(ROOT + "/" + n).status == 404)
    made(api.post("/api/v1/nodes", {"metadata": {"name": "n1"}}))
    made(api.patch("/api/v1/nodes/n1/status", {"status": {"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "110"}, "capacity": {"cpu": "4", "memory": "4Gi", "pods": "110"},
                                                         "conditions": [{"type": "Ready", "status": "True"}]}}))
    without("system:kube-scheduler", "pods/binding", "create", "system:kube-scheduler", pod, "p", lambda n: api.get(ROOT + "/default/pods/" + n).json["spec"].get("nodeName") == "n1")


group(t, rows)
group(t, more_rows)
t.eq(d.stop(), 0, "the daemon ends in order")
t.done()
