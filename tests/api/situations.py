"""Situations in which a module has something to do: each makes one under the name given, or says whether it has been dealt with."""
from rig import until

NS = "/api/v1/namespaces/default/"
ROOT = "/api/v1/namespaces"
APPS = "/apis/apps/v1/namespaces/default/"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
CSR = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
PV = "/api/v1/persistentvolumes"
NODES = "/api/v1/nodes"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
ONE = [{"name": "c", "image": "i"}]


def made(a):
    assert a.status < 300, a
    return a.json


def meta(name, **labels):
    return {"name": name, "labels": dict(labels, n=name)}


def template(name, **labels):
    return {"metadata": {"labels": dict(labels, n=name)}, "spec": {"containers": ONE}}


# ---- what is to be seen ------------------------------------------------------------------------------------------

def there(path):
    return lambda api, n: api.get(path % n).status == 200


def gone(path):
    return lambda api, n: api.get(path % n).status == 404


def has(path, look):
    """look(the object) is true."""
    def done(api, n):
        a = api.get(path % n)
        return a.status == 200 and bool(look(a.json))
    return done


def some(path, look=lambda i: True):
    """One of the list that has the label n=NAME and of which look() is true."""
    return lambda api, n: any(look(i) for i in api.get("%s?labelSelector=n%%3D%s" % (path, n)).json["items"])


def condition(kind, status=None):
    return lambda o: any(c["type"] == kind and status in (None, c["status"]) for c in (o.get("status") or {}).get("conditions", []))


def status(key):
    return lambda o: (o.get("status") or {}).get(key)


# ---- namespaces, accounts ----------------------------------------------------------------------------------------

def namespace(api, name):
    made(api.post(ROOT, {"metadata": {"name": name}}))


def ended(api, name, finalizers=()):
    """A namespace that is to go and has something in it."""
    namespace(api, name)
    made(api.post(ROOT + "/%s/configmaps" % name, {"metadata": {"name": "in", "finalizers": list(finalizers)}}))
    made(api.delete(ROOT + "/" + name))


def held(api, name):
    ended(api, name, ["example.com/hold"])


def forged(api, name):
    """A namespace in which somebody has changed the authority's certificate."""
    path = ROOT + "/%s/configmaps/kube-root-ca.crt" % name
    namespace(api, name)
    until("the authority's", lambda: api.get(path).status == 200)
    made(api.patch(path, {"data": {"ca.crt": "x"}}))


def token_secret(api, name, account="default"):
    made(api.post(NS + "secrets", {"metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": account}},
                                   "type": "kubernetes.io/service-account-token"}))


def orphan_secret(api, name):
    token_secret(api, name, "nobody")


# ---- garbage, quota, volumes -------------------------------------------------------------------------------------

def orphaned(api, name):
    """A ConfigMap of an owner that is not there."""
    made(api.post(NS + "configmaps", {"metadata": {"name": name, "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "nix", "uid": "0b3e0d1e-0000-4000-8000-000000000000"}]}}))


def foreground(api, name):
    made(api.post(NS + "configmaps", {"metadata": {"name": name}}))
    made(api.delete(NS + "configmaps/" + name, {"propagationPolicy": "Foreground"}))


def quota(api, name):
    made(api.post(NS + "resourcequotas", {"metadata": {"name": name}, "spec": {"hard": {"secrets": "999"}}}))


def quota_of(what, n):
    """A quota in a namespace where something is used already."""
    def provoke(api, name):
        namespace(api, name)
        path = ROOT + "/%s/" % name
        until("its account", lambda: api.get(path + "serviceaccounts/default").status == 200)
        made(api.post(path + "pods", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]}}))
        made(api.post(path + "services", {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}))
        made(api.post(path + "persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": CLAIM}))
        made(api.post(path + "resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {what: "9" + n}}}))
    return provoke


def quota_is(what, n):
    return has(ROOT + "/%s/resourcequotas/q", lambda o: ((o.get("status") or {}).get("used") or {}).get(what) == n)


def volume(api, name):
    made(api.post(PV, {"metadata": {"name": name}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}}}))
    made(api.delete(PV + "/" + name))


def claim(api, name):
    made(api.post(NS + "persistentvolumeclaims", {"metadata": {"name": name}, "spec": CLAIM}))
    made(api.delete(NS + "persistentvolumeclaims/" + name))


def scratch(api, name):
    """A pod with a claim of its own."""
    made(api.post(NS + "pods", {"metadata": {"name": name}, "spec": {"containers": ONE, "volumes": [
        {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}]}}))


def scratch_taken(api, name):
    """One whose claim is somebody else's; he is told again and again."""
    made(api.post(NS + "persistentvolumeclaims", {"metadata": {"name": name + "-v"}, "spec": CLAIM}))
    scratch(api, name)
    return lambda n: api.patch(NS + "pods/" + name, {"metadata": {"labels": {"x": str(n)}}})


# ---- deployments and replica sets --------------------------------------------------------------------------------

def deployment(api, name, replicas=1, **spec):
    made(api.post(APPS + "deployments", {"metadata": meta(name), "spec": dict({
        "replicas": replicas, "selector": {"matchLabels": {"n": name}}, "template": template(name)}, **spec)}))


def resize(api, name, replicas):
    until("it has been seen", lambda: any(i["spec"]["replicas"] != replicas for i in api.get(APPS + "replicasets?labelSelector=n%3D" + name).json["items"]))
    made(api.patch(APPS + "deployments/" + name, {"spec": {"replicas": replicas}}))


def deployment_scaled(api, name):
    deployment(api, name)
    resize(api, name, 2)


def deployment_swings(api, name):
    """Up, down, up: what is told of it is the same twice."""
    deployment(api, name)
    for n in (2, 1, 2):
        resize(api, name, n)


def deployment_adopts(api, name):
    """A replica set that nobody owns, and a deployment that wants it."""
    made(api.post(APPS + "replicasets", {"metadata": meta(name), "spec": {
        "replicas": 0, "selector": {"matchLabels": {"n": name}}, "template": template(name)}}))
    deployment(api, name)


def deployment_forgets(api, name):
    """One that keeps no old replica sets, and has one."""
    deployment(api, name, 0, revisionHistoryLimit=0)
    until("the first", lambda: some(APPS + "replicasets", status("observedGeneration"))(api, name))
    made(api.patch(APPS + "deployments/" + name, {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}))


def forgotten(api, n):
    return ["b"] == [i["spec"]["template"]["metadata"].get("annotations", {}).get("a") for i in api.get(APPS + "replicasets?labelSelector=n%3D" + n).json["items"]]


class Sets:
    """The same of replica sets and replication controllers."""

    def __init__(self, path, plain):
        self.path, self.plain = path, plain

    def new(self, api, name, replicas=1, **spec):
        selector = {"n": name}
        body = template(name)
        body["spec"] = dict(body["spec"], **spec)
        made(api.post(self.path, {"metadata": meta(name), "spec": {
            "replicas": replicas, "selector": selector if self.plain else {"matchLabels": selector}, "template": body}}))

    def fewer(self, api, name):
        self.new(api, name)
        until("its pod", lambda: some(NS + "pods")(api, name))
        made(api.patch(self.path + "/" + name, {"spec": {"replicas": 0}}))

    def adopts(self, api, name):
        made(api.post(NS + "pods", {"metadata": meta(name), "spec": {"containers": ONE}}))
        self.new(api, name)

    def refused(self, api, name):
        """Its pods are refused, each time in the same words."""
        self.new(api, name, serviceAccountName="nix")
        return lambda n: api.patch(self.path + "/" + name, {"metadata": {"annotations": {"x": str(n)}}})


def leaving(o):
    return o["metadata"].get("deletionTimestamp")


# ---- services ----------------------------------------------------------------------------------------------------

def service(api, name):
    made(api.post(NS + "services", {"metadata": {"name": name, "labels": {"n": name}}, "spec": {"selector": {"n": name}, "ports": [{"port": 80}]}}))


def service_relabelled(path):
    def provoke(api, name):
        service(api, name)
        until("what is made of it", lambda: some(path)(api, name))
        made(api.patch(NS + "services/" + name, {"metadata": {"labels": {"z": "1"}}}))
    return provoke


def service_gone(api, name):
    service(api, name)
    until("endpoints", lambda: some(NS + "endpoints")(api, name))
    made(api.delete(NS + "services/" + name))


def slice_of_another_family(api, name):
    service(api, name)
    made(api.post(SLICES, {"metadata": {"name": name, "labels": {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
                           "addressType": "IPv6", "endpoints": []}))


def budget(api, name):
    made(api.post(BUDGETS, {"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"n": name}}}}))


def budget_waits(api, name):
    """A pod that was to go, and has not."""
    late = {"status": {"disruptedPods": {name: "2020-01-01T00:00:00Z"}}}
    made(api.post(NS + "pods", {"metadata": meta(name), "spec": {"containers": ONE}}))
    budget(api, name)
    made(api.patch(BUDGETS + "/%s/status" % name, late))
    return lambda n: api.patch(BUDGETS + "/%s/status" % name, late)


# ---- nodes -------------------------------------------------------------------------------------------------------

def node(api, name, taints=(), **conditions):
    made(api.post(NODES, {"metadata": meta(name), "spec": {"taints": [{"key": k, "effect": "NoExecute"} for k in taints]}}))
    node_says(api, name, **conditions)


def node_says(api, name, **conditions):
    made(api.patch(NODES + "/%s/status" % name, {"status": {"conditions": [{"type": k, "status": v} for k, v in conditions.items()]}}, kind="strategic"))


def silent(api, name):
    """A node that never says anything."""
    made(api.post(NODES, {"metadata": {"name": name}}))


def pressed(api, name):
    node(api, name, Ready="True", MemoryPressure="True")


def has_taint(key):
    return lambda o: any(x["key"] == key for x in o["spec"].get("taints", []))


def bound(api, name, **spec):
    return made(api.post(NS + "pods", {"metadata": meta(name), "spec": dict({"nodeName": name, "containers": ONE}, **spec)}))


def pod_ready(api, name):
    made(api.patch(NS + "pods/%s/status" % name, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, kind="strategic"))


def unready(api, name):
    """A pod that is ready, on a node that is not any more; and again."""
    node(api, name, Ready="True")
    bound(api, name)
    pod_ready(api, name)
    node_says(api, name, Ready="False")

    def again(n):
        pod_ready(api, name)
        node_says(api, name, Ready="False", PIDPressure="True" if n % 2 else "False")
    return again


def driven(api, name):
    """A pod on a node that drives it away."""
    node(api, name, taints=["away"], Ready="True")
    bound(api, name)


def wavering(api, name):
    """A node that would drive its pod away in an hour, and thinks better of it."""
    node(api, name, Ready="True")
    bound(api, name, tolerations=[{"key": "away", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3600}])
    return lambda n: api.patch(NODES + "/" + name, {"spec": {"taints": [{"key": "away", "effect": "NoExecute"}] if n % 2 else None}})


def stuck(api, name):
    """A pod that is to end on a node that is out of service."""
    node(api, name, taints=["node.kubernetes.io/out-of-service"], Ready="False")
    bound(api, name)
    made(api.delete(NS + "pods/" + name))


def lost(api, name):
    """A pod on a node that is not there."""
    bound(api, name)


# ---- scheduling --------------------------------------------------------------------------------------------------

def roomy(api, name, cpu="4", **labels):
    made(api.post(NODES, {"metadata": meta(name, **labels)}))
    room = {"cpu": cpu, "memory": "64Gi", "pods": "999"}
    made(api.patch(NODES + "/%s/status" % name, {"status": {"allocatable": room, "capacity": room, "conditions": [{"type": "Ready", "status": "True"}]}}))
    return name


def pod(api, name, **spec):
    made(api.post(NS + "pods", {"metadata": meta(name), "spec": dict({"tolerations": [{"operator": "Exists"}], "containers": ONE}, **spec)}))


def unplaceable(api, name):
    pod(api, name, nodeSelector={"no": "where"})


def claimless(api, name):
    """A pod whose claim is not there: each new claim is a hope, and what is told is the same."""
    pod(api, name, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": name}}])
    return lambda n: api.post(NS + "persistentvolumeclaims", {"metadata": {"name": "%s-%d" % (name, n)}, "spec": CLAIM})


def preempting(api, name):
    """A pod that is more important than the one that has its place."""
    whole = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "900m"}}}]
    made(api.post("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": name}, "value": 1000}))
    roomy(api, name, "1")
    pod(api, name, nodeName=name, containers=whole)
    pod(api, name + "-over", nodeSelector={"n": name}, containers=whole, priorityClassName=name)


def storage(api, name, provisioner):
    made(api.post("/apis/storage.k8s.io/v1/storageclasses", {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"}))
    made(api.post(NS + "persistentvolumeclaims", {"metadata": {"name": name}, "spec": dict(CLAIM, storageClassName=name)}))
    pod(api, name, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": name}}])


def provisioned(api, name):
    """A claim whose volume is made where its pod goes."""
    storage(api, name, "example.com/disk")


def matched(api, name):
    """A claim that takes a volume that is there."""
    made(api.post(PV, {"metadata": {"name": name}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}, "storageClassName": name}}))
    made(api.patch(PV + "/%s/status" % name, {"status": {"phase": "Available"}}))
    storage(api, name, "kubernetes.io/no-provisioner")
