#!/usr/bin/env -S python3 -B
# run: timeout=120
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
    more = "".join(',\n { module = "%s"; %s}' % (m, 'params = { ca_file = "%s"; }; ' % d.pki.ca if m.endswith("/serviceaccount") else "") for m in MODULES)
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
t.eq(d.stop(), 0, "the daemon ends in order")
t.done()
