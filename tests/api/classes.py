#!/usr/bin/env -S python3 -B
# run: timeout=120
"""Classes that admission looks up: of runtimes, of storage, of ingresses; claims that want to grow, and what is in use."""
from rig import Api, Daemon, Tap, group, until

t = Tap()
d = Daemon(modules=("controllers/pv-protection", "controllers/pvc-protection")).start()
api = Api(d)
N = "/api/v1/namespaces/default"
SC, ING = "/apis/storage.k8s.io/v1/storageclasses", "/apis/networking.k8s.io/v1/namespaces/default/ingresses"


def pod(name, **spec):
    s = {"containers": [{"name": "c", "image": "i"}]}
    s.update(spec)
    return api.post(N + "/pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": s})


def says(a, code, message, name):
    t.ok(a.status == code and a.json.get("message") == message, name, "%s\nwant %d %s" % (a, code, message))


def runtime():
    api.post(N + "/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    api.post("/apis/node.k8s.io/v1/runtimeclasses", {
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "vm"}, "handler": "vm",
        "overhead": {"podFixed": {"memory": "64Mi"}}, "scheduling": {
            "nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}})
    says(pod("a", runtimeClassName="none"), 403, 'pods "a" is forbidden: pod rejected: RuntimeClass "none" not found', "an unknown one")
    a = pod("a", runtimeClassName="vm", nodeSelector={"x": "y"}).json["spec"]
    t.eq((a["overhead"], a["nodeSelector"], {"key": "vm", "operator": "Exists"} in a["tolerations"]),
         ({"memory": "64Mi"}, {"vm": "yes", "x": "y"}, True), "overhead and scheduling of the class")
    says(pod("b", runtimeClassName="vm", nodeSelector={"vm": "no"}), 403, 'pods "b" is forbidden: conflict: '
         'runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no', "a node that it cannot be")
    says(pod("b", runtimeClassName="vm", overhead={"memory": "1"}), 403, 'pods "b" is forbidden: pod rejected: '
         "Pod's Overhead doesn't match RuntimeClass's defined Overhead", "another overhead")
    says(pod("b", overhead={"memory": "1"}), 403, 'pods "b" is forbidden: pod rejected: '
         "Pod Overhead set without corresponding RuntimeClass defined Overhead", "overhead of no class")
    t.eq(api.delete("/apis/node.k8s.io/v1/runtimeclasses/vm").status, 200, "a class goes while pods have it")
    a = api.patch(N + "/pods/a", {"metadata": {"labels": {"k": "v"}}})
    t.eq((a.status, a.json["spec"]["overhead"]), (200, {"memory": "64Mi"}), "which may change nevertheless")
    t.eq(api.put(N + "/pods/a", a.json).status, 200, "however that is said")
    a = api.patch(N + "/pods/a/status", {"status": {"phase": "Running"}})
    t.eq(a.status, 200, "and so may their status")


def claim(name, **spec):
    s = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    s.update(spec)
    return api.post(N + "/persistentvolumeclaims", {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": s})


def storage():
    t.ok("storageClassName" not in claim("none").json["spec"], "no class, no default")
    for name, default in (("old", "true"), ("fast", None)):
        api.post(SC, {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "p.example/x",
                      "allowVolumeExpansion": name == "fast", "metadata": {
                          "name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": default} if default else {}}})
    t.eq(claim("a").json["spec"].get("storageClassName"), "old", "the default class")
    t.eq(claim("b", storageClassName="fast").json["spec"]["storageClassName"], "fast", "one that is named")
    t.eq(claim("c", storageClassName="").json["spec"]["storageClassName"], "", "or none at all")
    grow = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    t.eq(api.patch(N + "/persistentvolumeclaims/b", grow).status, 422, "an unbound claim does not grow")
    for n in "ab":
        api.patch(N + "/persistentvolumeclaims/%s/status" % n, {"status": {"phase": "Bound"}})
        api.patch(N + "/persistentvolumeclaims/" + n, {"spec": {"volumeName": "v"}})
    says(api.patch(N + "/persistentvolumeclaims/a", grow), 403, 'persistentvolumeclaims "a" is forbidden: only dynamically '
         'provisioned pvc can be resized and the storageclass that provisions the pvc must support resize', "nor one of a class that cannot")
    t.eq(api.patch(N + "/persistentvolumeclaims/b", grow).status, 200, "one of a class that can does")


def protection():
    """Volumes and claims in use do not go; what nobody uses does, by the controllers that are loaded here."""
    pvs, claims, pods = "/api/v1/persistentvolumes", N + "/persistentvolumeclaims", N + "/pods"
    a = api.post(pvs, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}}})
    t.eq((a.status, a.json["metadata"]["finalizers"]), (201, ["kubernetes.io/pv-protection"]), "a volume has a finalizer")
    a = api.post(claims, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "used"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
    t.eq((a.status, a.json["metadata"]["finalizers"]), (201, ["kubernetes.io/pvc-protection"]), "a claim too")
    api.post(N + "/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    a = api.post(pods, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {
        "nodeName": "n", "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]}})
    t.eq(a.status, 201, "a pod uses it")
    api.patch(pvs + "/pv/status", {"status": {"phase": "Bound"}})
    api.delete(pvs + "/pv")
    api.delete(claims + "/used")
    a = api.post(claims, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "idle"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
    api.delete(claims + "/idle")
    until("the claim that nobody uses is gone", lambda: api.get(claims + "/idle").status == 404)
    t.ok("deletionTimestamp" in api.get(claims + "/used").json["metadata"], "the one that is used waits")
    t.ok("deletionTimestamp" in api.get(pvs + "/pv").json["metadata"], "so does the bound volume")
    api.delete(pods + "/user?gracePeriodSeconds=0")
    until("the claim goes after its pod", lambda: api.get(claims + "/used").status == 404)
    api.patch(pvs + "/pv/status", {"status": {"phase": "Released"}})
    until("the volume goes when it is released", lambda: api.get(pvs + "/pv").status == 404)
    t.ok(True, "what was waited for has gone")


def ingress():
    def new(name):
        return api.post(ING, {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": {
            "defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}}).json["spec"].get("ingressClassName")
    t.eq(new("a"), None, "no class of ingresses")
    api.post("/apis/networking.k8s.io/v1/ingressclasses", {
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {
            "name": "web", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}, "spec": {"controller": "e.example/c"}})
    t.eq(new("b"), "web", "the default one")


for g in (runtime, storage, protection, ingress):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
