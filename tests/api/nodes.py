#!/usr/bin/env -S python3 -B
# run: timeout=90
"""The Node authorizer's graph: what a node may read is what pods bound to it refer to, directly or by claims and volumes, and its own."""
from rig import CM, Api, Daemon, Tap, config_map, group

t = Tap()
d = Daemon().start()
api = Api(d)
for n in ("n1", "n2"):
    d.pki.client(n, "/O=system:nodes/CN=system:node:" + n)
n1, n2 = Api(d, "n1"), Api(d, "n2")
NS = "/api/v1/namespaces/default/"
PODS = NS + "pods"
STORAGE = "/apis/storage.k8s.io/v1/"
C = {"name": "c", "image": "i"}
api.post(NS + "serviceaccounts", {"metadata": {"name": "default"}})
for n in ("n1", "n2"):
    api.post("/api/v1/nodes", {"metadata": {"name": n}})


def pod(name, node="n1", containers=(C,), **spec):
    a = api.post(PODS, {"metadata": {"name": name}, "spec": dict({"nodeName": node, "containers": list(containers)}, **spec)})
    assert a.status == 201, a


def only_n1(path, what):
    t.ok(n1.get(path).status == 200, "the node of the pod reads " + what, n1.get(path))
    a = n2.get(path)
    t.ok(a.status == 403 and "no relationship found between node 'n2' and this object" in a.json["message"], "another does not", a)


def secret(name):
    assert api.post(NS + "secrets", {"metadata": {"name": name}, "stringData": {"k": "v"}}).status == 201
    return NS + "secrets/" + name


def references():
    ways = {
        "volume": {"volumes": [{"name": "v", "secret": {"secretName": "%s"}}]},
        "projected": {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "%s"}}]}}]},
        "pull": {"imagePullSecrets": [{"name": "%s"}]},
        "env": {"containers": [dict(C, env=[{"name": "E", "valueFrom": {"secretKeyRef": {"name": "%s", "key": "k"}}}])]},
        "env-from": {"containers": [dict(C, envFrom=[{"secretRef": {"name": "%s"}}])]},
        "init": {"initContainers": [dict(C, name="i", envFrom=[{"secretRef": {"name": "%s"}}])]},
        "csi": {"volumes": [{"name": "v", "csi": {"driver": "x.y", "nodePublishSecretRef": {"name": "%s"}}}]},
        "iscsi": {"volumes": [{"name": "v", "iscsi": {"targetPortal": "1.2.3.4", "iqn": "iqn.2020-01.a.b:c", "lun": 0, "secretRef": {"name": "%s"}}}]},
        "azure": {"volumes": [{"name": "v", "azureFile": {"secretName": "%s", "shareName": "s"}}]},
    }
    import json
    for what, spec in ways.items():
        path = secret("s-" + what)
        t.eq((n1.get(path).status, n2.get(path).status), (403, 403), "nobody's: s-" + what)
        pod("p-" + what, **json.loads(json.dumps(spec).replace("%s", "s-" + what)))
        only_n1(path, "a secret by " + what)
        t.eq((n1.get(NS + "secrets?fieldSelector=metadata.name%3Ds-" + what).status, n2.get(NS + "secrets?fieldSelector=metadata.name%3Ds-" + what).status),
             (200, 403), "or lists that one")
    pod("plain")
    path = secret("s-ephemeral")
    api.patch(PODS + "/plain/ephemeralcontainers", {"spec": {"ephemeralContainers": [dict(C, name="e", envFrom=[{"secretRef": {"name": "s-ephemeral"}}])]}}, "strategic")
    only_n1(path, "a secret of an ephemeral container")
    api.post(CM, config_map("m"))
    t.eq(n1.get(CM + "/m").status, 403, "nor a ConfigMap of nobody")
    pod("maps", volumes=[{"name": "v", "configMap": {"name": "m"}}])
    only_n1(CM + "/m", "a ConfigMap")
    for verb in ("post", "put", "delete"):
        a = {"post": lambda: n1.post(NS + "secrets", {"metadata": {"name": "new"}}), "put": lambda: n1.put(NS + "secrets/s-env", {"metadata": {"name": "s-env"}}),
             "delete": lambda: n1.delete(NS + "secrets/s-env")}[verb]()
        t.eq(a.status, 403, "and only reads")
    t.eq((n1.get(NS + "secrets").status, n1.get("/api/v1/secrets").status, n1.get(NS + "secrets?fieldSelector=metadata.name%21%3Dx").status), (403,) * 3, "not all of them")
    api.delete(PODS + "/p-env?gracePeriodSeconds=0")
    t.eq(n1.get(NS + "secrets/s-env").status, 403, "and no more when the pod is gone")


def mirrors():
    """A node does not get at a secret by making a pod itself."""
    path = secret("wanted")
    uid = api.get("/api/v1/nodes/n2").json["metadata"]["uid"]
    o = {"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"},
                      "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n2", "uid": uid, "controller": True}]},
         "spec": {"nodeName": "n2", "containers": [dict(C, envFrom=[{"secretRef": {"name": "wanted"}}])]}}
    t.eq(n2.post(PODS, o).status, 403, "no mirror pod that names one")
    t.eq(api.post(PODS, o).status in (201, 403), True, "made by somebody else")
    t.eq(n2.get(path).status, 403, "it is no way to the secret")


def volumes():
    path = secret("mount")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    for n in ("claim", "gen-v"):
        assert api.post(NS + "persistentvolumeclaims", {"metadata": {"name": n}, "spec": claim}).status == 201
    a = api.post("/api/v1/persistentvolumes", {"metadata": {"name": "pv"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "claimRef": {"namespace": "default", "name": "claim"},
        "csi": {"driver": "x.y", "volumeHandle": "h", "nodeStageSecretRef": {"name": "mount", "namespace": "default"},
                "controllerPublishSecretRef": {"name": "attach", "namespace": "default"}}}})
    assert a.status == 201, a
    attach = secret("attach")
    t.eq((n1.get(NS + "persistentvolumeclaims/claim").status, n1.get("/api/v1/persistentvolumes/pv").status, n1.get(path).status), (403,) * 3, "nobody's")
    pod("with-claim", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}])
    only_n1(NS + "persistentvolumeclaims/claim", "a claim")
    only_n1("/api/v1/persistentvolumes/pv", "its volume")
    only_n1(path, "the secret by which it is mounted")
    t.eq(n1.get(attach).status, 403, "not that by which it is attached")
    t.eq((n1.get("/api/v1/persistentvolumes").status, n1.get(NS + "persistentvolumeclaims").status), (403, 403), "not all")
    pod("gen", volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}}])
    only_n1(NS + "persistentvolumeclaims/gen-v", "a claim made for a pod")
    a = api.post(STORAGE + "volumeattachments", {"metadata": {"name": "va"}, "spec": {"attacher": "x.y", "nodeName": "n1", "source": {"persistentVolumeName": "pv"}}})
    assert a.status == 201, a
    only_n1(STORAGE + "volumeattachments/va", "an attachment")
    t.eq(n1.get(STORAGE + "volumeattachments").status, 403, "not all")


def own():
    t.eq((n1.get("/api/v1/nodes/n1").status, n1.get("/api/v1/nodes/n2").status, n1.get("/api/v1/nodes").status), (200, 403, 403), "its own Node alone")
    t.eq(n1.get("/api/v1/nodes?fieldSelector=metadata.name%3Dn1").status, 200, "also as a list")
    t.eq((n1.get("/api/v1/pods").status, n1.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").status, n1.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2").status),
         (403, 200, 403), "pods bound to it")
    pod("theirs", "n2")
    t.eq((n1.get(PODS + "/plain").status, n1.get(PODS + "/theirs").status), (200, 403), "one of them")
    for what, a in (("pods/status", n1.get(PODS + "/plain/status")), ("services/status", n1.get(NS + "services/nix/status")),
                    ("endpointslices", n1.get("/apis/discovery.k8s.io/v1/endpointslices")),
                    ("networkpolicies", n1.get("/apis/networking.k8s.io/v1/networkpolicies")), ("deployments", n1.get("/apis/apps/v1/deployments")),
                    ("the newer events", n1.post("/apis/events.k8s.io/v1/namespaces/default/events", {"metadata": {"name": "e"}}))):
        t.eq(a.status, 403, "what upstream's nodes may not, ours may not: " + what)
    token = NS + "serviceaccounts/default/token"

    def bound(name):
        return {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": name}}}
    t.eq((n1.post(token, bound("plain")).status, n1.post(token, bound("theirs")).status, n1.post(token, {"spec": {}}).status), (201, 403, 403), "tokens for its own pods")
    api.post(NS + "serviceaccounts", {"metadata": {"name": "other"}})
    t.eq(n1.post(NS + "serviceaccounts/other/token", bound("plain")).status, 403, "of their accounts")
    pod("vault", volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}}])
    for name, aud, code in (("vault", ["vault"], 201), ("plain", ["vault"], 403), ("vault", ["other"], 403), ("vault", ["vault", "other"], 403), ("vault", [], 201)):
        a = n1.post(token, {"spec": dict(bound(name)["spec"], audiences=aud)})
        t.ok(a.status == code and (code == 201 or "audience" in a.json["message"]), "for whom a pod's volumes need them: %s of %s" % (aud, name), a)
    t.eq(n1.get(NS + "serviceaccounts/default").status, 200, "which it may read")
    t.eq(n1.get(NS + "serviceaccounts/other").status, 403, "others not")
    L = "/apis/coordination.k8s.io/v1/namespaces/%s/leases"
    api.post("/api/v1/namespaces", {"metadata": {"name": "kube-node-lease"}})
    t.eq(n1.post(L % "kube-node-lease", {"metadata": {"name": "n1"}}).status, 201, "its Lease")
    t.eq((n1.post(L % "kube-node-lease", {"metadata": {"name": "n2"}}).status, n1.post(L % "default", {"metadata": {"name": "n1"}}).status, n2.get(L % "kube-node-lease" + "/n1").status,
          n1.get(L % "kube-node-lease").status), (403,) * 4, "nobody else's, nowhere else")
    d.pki.client("fake", "/CN=system:node:n1")
    t.eq(Api(d, "fake").get(PODS + "/plain").status, 403, "a node's name without its group is no node")
    d.pki.client("noname", "/O=system:nodes/CN=system:node:")
    t.ok(Api(d, "noname").get(PODS + "/plain").status == 403 and Api(d, "noname").get("/api/v1/pods?fieldSelector=spec.nodeName%3D").status == 403, "nor a node without a name")


for g in (references, mirrors, volumes, own):
    group(t, g)
t.ok(d.alive(), "the daemon lives")
t.eq(d.stop(), 0, "and ends in order")
t.done()
